/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences of tensors in two tensors. */
#include "cli/packed_value.h"

#include "base/mem.h"
#include "cli/host_tensor.h"
#include "frontend/onnx/onnx_value.h"

#include <string.h>

static status refuse(struct diags *d) {
  return diag_report(d, DIAG_E0802, NULL, NULL,
                     "an item of a sequence is not a tensor of the sequence's type");
}

static uint32_t item_count(const struct onnx_value *v) {
  return v->kind == ONNX_VALUE_SEQUENCE ? v->n_items : 0;
}

static bool fits(const struct onnx_value *item, sinter_dtype dtype, uint32_t row) {
  return item->kind == ONNX_VALUE_TENSOR && item->tensor.onnx_type == (int32_t)dtype &&
         item->tensor.rank < row && item->tensor.rank <= SINTER_MAX_RANK;
}

/* The rows; *out_total receives how many elements there are. */
static status make_rows(const struct onnx_value *v, sinter_dtype dtype, uint32_t row,
                        struct diags *d, sinter_tensor *out, int64_t *out_total) {
  int64_t dims[] = {item_count(v), row};
  *out_total = 0;
  status s = host_tensor_alloc(SINTER_I64, 2, dims, d, out);
  for (uint32_t i = 0; i < item_count(v) && !s; i++) {
    int64_t *to = (int64_t *)out->data + (size_t)i * row;
    const struct onnx_tensor *t = &v->items[i].tensor;
    if (!fits(&v->items[i], dtype, row))
      return refuse(d);
    to[0] = t->rank;
    for (uint32_t k = 1; k < row; k++)
      to[k] = k <= t->rank ? t->dims[k - 1] : 1;
    *out_total += (int64_t)t->elements;
  }
  return s;
}

static status join_strings(const struct onnx_value *v, int64_t total, struct diags *d,
                           sinter_tensor *out) {
  struct str *all = mem_calloc((size_t)total + 1, sizeof *all);
  uint64_t at = 0;
  for (uint32_t i = 0; i < item_count(v); i++)
    for (uint64_t k = 0; k < v->items[i].tensor.elements; k++)
      all[at++] = v->items[i].tensor.strings[k];
  struct onnx_tensor whole = {.onnx_type = SINTER_STRING,
                              .rank = 1,
                              .dims = &total,
                              .elements = (uint64_t)total,
                              .strings = all};
  status s = host_tensor_from_onnx(&whole, d, out);
  mem_free(all);
  return s;
}

status packed_value_make(const struct onnx_value *v, sinter_dtype dtype, uint32_t row,
                         struct diags *d, sinter_tensor *out_data, sinter_tensor *out_shapes) {
  int64_t total;
  uint64_t at = 0;
  status s = make_rows(v, dtype, row, d, out_shapes, &total);
  if (!s && dtype == SINTER_STRING)
    return join_strings(v, total, d, out_data);
  if (!s)
    s = host_tensor_alloc(dtype, 1, &total, d, out_data);
  for (uint32_t i = 0; i < item_count(v) && !s; i++) {
    sinter_tensor item;
    s = host_tensor_from_onnx(&v->items[i].tensor, d, &item);
    if (s)
      break;
    enum dtype own = DTYPE_F32;
    host_tensor_dtype(&item, &own);
    uint32_t bits = (uint32_t)dtype_infos[own].bits;
    uint64_t n = host_tensor_elements(&item);
    if (n && bits >= 8)
      memcpy((char *)out_data->data + at * (bits / 8), item.data, n * (bits / 8));
    for (uint64_t k = 0; bits < 8 && k < n; k++)
      host_tensor_set(out_data, at + k, host_tensor_get(&item, k));
    at += n;
    host_tensor_free(&item);
  }
  return s;
}

bool packed_value_item(const sinter_tensor *data, const sinter_tensor *shapes, uint64_t i,
                       uint64_t *start, sinter_tensor *out) {
  enum dtype dtype;
  uint64_t n = 1, whole = host_tensor_elements(data), row = (uint64_t)shapes->dims[1];
  const int64_t *from = (const int64_t *)shapes->data + i * row;
  bool strings = data->dtype == SINTER_STRING;
  if (!host_tensor_dtype(data, &dtype) || (!strings && dtype_infos[dtype].bits < 8) ||
      from[0] < 0 || from[0] > SINTER_MAX_RANK || (uint64_t)from[0] >= row)
    return false;
  *out = (sinter_tensor){.dtype = data->dtype, .rank = (uint32_t)from[0]};
  for (uint32_t k = 0; k < out->rank; k++) {
    out->dims[k] = from[k + 1];
    if (out->dims[k] < 0 || __builtin_mul_overflow(n, (uint64_t)out->dims[k], &n))
      return false;
  }
  if (*start > whole || n > whole - *start)
    return false;
  uint64_t size = strings ? sizeof(sinter_string) : (uint64_t)dtype_infos[dtype].bits / 8;
  out->data = (char *)data->data + *start * size;
  out->bytes = n * size;
  *start += n;
  return true;
}
