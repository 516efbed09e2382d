/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences of maps as matrices. */
#include "cli/map_value.h"

#include "cli/host_tensor.h"
#include "frontend/onnx/onnx_value.h"

#include <string.h>

static bool same_key(const struct onnx_tensor *of, uint64_t i, const sinter_tensor *keys,
                     uint64_t k) {
  if (of->strings) {
    const sinter_string *key = (const sinter_string *)keys->data + k;
    return keys->dtype == SINTER_STRING && key->size == of->strings[i].len &&
           !memcmp(key->data, of->strings[i].data, key->size);
  }
  int64_t own;
  memcpy(&own, (const char *)of->data + i * sizeof own, sizeof own);
  return keys->dtype == SINTER_I64 && host_tensor_get_i64(keys, k) == own;
}

/* The place of the map's i-th key among `keys`. */
static bool place_of(const struct onnx_tensor *of, uint64_t i, const sinter_tensor *keys,
                     uint64_t *out) {
  for (*out = 0; *out < host_tensor_elements(keys); ++*out)
    if (same_key(of, i, keys, *out))
      return true;
  return false;
}

static bool is_number(const struct onnx_value *v) {
  return v->kind == ONNX_VALUE_TENSOR && v->tensor.elements == 1 &&
         v->tensor.onnx_type == SINTER_F32;
}

static bool set_row(const struct onnx_value *map, const sinter_tensor *keys, sinter_tensor *rows,
                    uint64_t row) {
  uint64_t n = host_tensor_elements(keys), k;
  if (map->kind != ONNX_VALUE_MAP || map->n_items != n)
    return false;
  for (uint32_t i = 0; i < map->n_items; i++) {
    float x;
    if (!is_number(&map->items[i]) || !place_of(&map->tensor, i, keys, &k))
      return false;
    memcpy(&x, map->items[i].tensor.data, sizeof x);
    host_tensor_set(rows, row * n + k, (double)x);
  }
  return true;
}

status map_value_rows(const struct onnx_value *v, const sinter_tensor *keys, struct diags *d,
                      sinter_tensor *out_rows) {
  int64_t dims[2] = {v->n_items, (int64_t)host_tensor_elements(keys)};
  status s = host_tensor_alloc(SINTER_F32, 2, dims, d, out_rows);
  for (uint32_t i = 0; i < v->n_items && !s; i++)
    if (!set_row(&v->items[i], keys, out_rows, i)) {
      host_tensor_free(out_rows);
      s = diag_report(d, DIAG_E0802, NULL, NULL,
                      "item %u of the sequence is not a map of numbers from the engine's keys", i);
    }
  return s;
}
