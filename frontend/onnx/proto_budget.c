/* SPDX-License-Identifier: Apache-2.0 */
/* Each allocation carries its size in front of it, so that freeing gives it back to the budget. */
#include "frontend/onnx/proto_budget.h"

#include <stddef.h>

#include "base/mem.h"

union header {
  size_t size;
  max_align_t align;
};

static void *budget_alloc(void *data, size_t size) {
  struct proto_budget *b = data;
  uint64_t total = (uint64_t)size + sizeof(union header);
  if (total < size || total > b->limit || b->used > b->limit - total) {
    b->exhausted = true;
    return NULL;
  }
  union header *h = mem_try_alloc(total);
  if (!h) {
    b->failed = true;
    return NULL;
  }
  h->size = total;
  b->used += total;
  if (b->used > b->peak)
    b->peak = b->used;
  return h + 1;
}

static void budget_free(void *data, void *pointer) {
  struct proto_budget *b = data;
  if (!pointer)
    return;
  union header *h = (union header *)pointer - 1;
  b->used -= h->size;
  mem_free(h);
}

void proto_budget_init(struct proto_budget *budget, uint64_t limit) {
  *budget = (struct proto_budget){
      .allocator = {.alloc = budget_alloc, .free = budget_free, .allocator_data = budget},
      .limit = limit,
  };
}
