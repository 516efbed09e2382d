/* SPDX-License-Identifier: Apache-2.0 */
/* Growth of vectors: by doubling, from 8 elements. */
#include "base/vec.h"

void *vec_grow(void *data, uint32_t *cap, uint64_t need, size_t element_size) {
  uint64_t target = *cap < 8 ? 8 : (uint64_t)*cap * 2;
  if (target < need)
    target = need;
  if (target > UINT32_MAX)
    target = need;
  size_t bytes;
  if (target > UINT32_MAX || __builtin_mul_overflow((size_t)target, element_size, &bytes))
    mem_exhausted();
  data = mem_realloc(data, bytes);
  *cap = (uint32_t)target;
  return data;
}
