/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of several eval hooks. */
#include "ir/ops/eval_util.h"

#include "base/checked.h"
#include "ir/ops/op_util.h"

#include <math.h>

struct axis_split split_at(const int64_t *dims, uint32_t rank, int64_t axis) {
  struct axis_split s = {1, dims[axis], 1};
  for (uint32_t d = 0; d < rank; d++) {
    if (d < axis)
      s.outer *= dims[d];
    if (d > axis)
      s.inner *= dims[d];
  }
  return s;
}

status interp_constant(struct interp *in, const struct op *op, constant_id id, sharding_id split) {
  const struct module *m = in->function->module;
  const struct constant *c = &m->constants.data[id];
  uint64_t bytes;
  struct tensor *t = interp_tensor(in, op, c->dtype, c->dims, c->rank);
  if (!t)
    return in->failure;
  if (!shape_bytes(c->dims, c->rank, dtype_bits(c->dtype), &bytes) || bytes > c->bytes)
    return interp_fail(in, op, DIAG_E0622, "the data is shorter than the type");
  tensor_read_bytes(t, c->data);
  if (in->mode == INTERP_FIELD && dtype_is_float(t->dtype))
    for (int64_t i = 0; i < t->count; i++)
      t->i64[i] = field_from_f64(t->f64[i]);
  if (in->rank && split)
    t = shard_take(in->arena, in->rank->mesh, m->shardings.data[split], in->rank->coords, t);
  interp_set_result(in, op, 0, t);
  return STATUS_OK;
}

enum arithmetic interp_arithmetic(const struct interp *in, enum dtype dtype) {
  if (in->mode == INTERP_FIELD && dtype_is_float(dtype))
    return ARITHMETIC_FIELD;
  return interp_in_f32(in, dtype) ? ARITHMETIC_F32 : ARITHMETIC_F64;
}

union scalar interp_identity(const struct interp *in, enum combiner kind, enum dtype dtype) {
  if (in->mode == INTERP_FIELD && dtype_is_float(dtype))
    return (union scalar){.i64 = field_identity(kind)};
  return scalar_identity(kind, dtype);
}

void range_inside_of(int64_t base, int64_t step, int64_t count, int64_t n, int64_t *out_first,
                     int64_t *out_end) {
  int64_t first = base < 0 ? ceil_div(-base, step) : 0;
  int64_t end = base < n ? ceil_div(n - base, step) : 0;
  *out_first = first;
  *out_end = end < count ? end : count;
}

int slot_compare(enum dtype dtype, union scalar a, union scalar b) {
  if (dtype_is_float(dtype)) {
    if (isnan(a.f64) || isnan(b.f64))
      return (isnan(a.f64) != 0) - (isnan(b.f64) != 0);
    return (a.f64 > b.f64) - (a.f64 < b.f64);
  }
  if (dtype_is_unsigned(dtype))
    return ((uint64_t)a.i64 > (uint64_t)b.i64) - ((uint64_t)a.i64 < (uint64_t)b.i64);
  return (a.i64 > b.i64) - (a.i64 < b.i64);
}

bool slot_better(bool least, enum dtype dtype, union scalar x, union scalar y) {
  int order = slot_compare(dtype, x, y);
  if (least && dtype_is_float(dtype) && isnan(x.f64) != isnan(y.f64))
    return order > 0;
  return least ? order < 0 : order > 0;
}

bool window_fits(int64_t n, int64_t low, int64_t high, int64_t size, int64_t stride,
                 int64_t dilation, int64_t places) {
  int64_t padded, reach;
  if (!i64_add(low, high, &padded) || !i64_add(padded, n, &padded) ||
      !i64_mul(size - 1, dilation, &reach) || reach == INT64_MAX)
    return false;
  int64_t room = padded - (reach + 1);
  return places == (room < 0 ? -((-room - 1) / stride + 1) : room / stride) + 1;
}

void product_settle(const struct interp *in, enum dtype lhs, enum dtype rhs, struct tensor *t) {
  if (dtype_is_int(lhs) && dtype_bits(lhs) <= 16 && dtype_bits(rhs) <= 16)
    for (int64_t i = 0; i < t->count; i++)
      t->i64[i] = scalar_literal_i64(DTYPE_I32, t->i64[i]);
  interp_settle(in, t);
}

status index_walk_init(struct interp *in, const struct op *op, const struct ints *axes,
                       const struct tensor *data, uint32_t first, struct index_walk *w) {
  int64_t strides[IR_MAX_RANK];
  uint32_t mask = 0;
  *w = (struct index_walk){.n = axes->len};
  w->rank = interp_operand(in, op, first)->rank;
  strides_of(data->dims, data->rank, strides);
  for (uint32_t d = 0; d < w->rank; d++) {
    w->dims[d] = 1;
    for (uint32_t j = 0; j < w->n; j++) {
      int64_t n = interp_operand(in, op, first + j)->dims[d];
      w->dims[d] = n == 1 ? w->dims[d] : n;
    }
  }
  for (uint32_t j = 0; j < w->n; j++) {
    w->tensors[j] = interp_operand(in, op, first + j);
    if (!interp_part(in, op, op->operands[0], (uint32_t)axes->data[j], &w->parts[j]))
      return in->failure;
    if (shard_part_count(&w->parts[j]) != data->dims[axes->data[j]])
      return interp_fail(in, op, DIAG_E0620, "dim %" PRId64 " of the data is %" PRId64,
                         axes->data[j], data->dims[axes->data[j]]);
    w->data_strides[j] = strides[axes->data[j]];
    mask |= 1u << axes->data[j];
    strides_broadcast(w->tensors[j], w->strides[j]);
    status s = interp_check_dims(in, op, w->tensors[j], w->dims, true);
    if (s)
      return s;
  }
  for (uint32_t d = 0; d < data->rank; d++) {
    if (mask >> d & 1)
      continue;
    w->rest_dims[w->rest_rank] = data->dims[d];
    w->rest_strides[w->rest_rank++] = strides[d];
  }
  return STATUS_OK;
}

bool index_walk_offset(const struct index_walk *w, int64_t *out_offset, int64_t *out_bad) {
  bool ok = true, here = true;
  int64_t offset = 0;
  for (uint32_t j = 0; j < w->n; j++) {
    int64_t at = 0;
    for (uint32_t d = 0; d < w->rank; d++)
      at += w->index[d] * w->strides[j][d];
    int64_t i = w->tensors[j]->i64[at], n = w->parts[j].n, local;
    bool huge = i < 0 && w->tensors[j]->dtype == DTYPE_U64;
    if (i < 0 || i >= n) {
      if (ok)
        *out_bad = i;
      ok = false;
      i = i < 0 && !huge ? 0 : n - 1;
    }
    here = here && n > 0 && shard_part_local(&w->parts[j], i, &local);
    offset += here ? local * w->data_strides[j] : 0;
  }
  *out_offset = here ? offset : -1;
  return ok;
}

dim flops_per_element(const struct function *f, value_id v, int64_t each) {
  struct dim_table *t = f->module->dims;
  return dim_mul(t, type_elements(t, value_type(f, v)), dim_const(t, each));
}
