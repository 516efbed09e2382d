/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that the type rules of several ops share. */
#include "ir/ops/op_util.h"

#include <inttypes.h>
#include <stdarg.h>

bool op_refuse(struct strbuf *why, const char *format, ...) {
  va_list args;
  va_start(args, format);
  strbuf_vprintf(why, format, args);
  va_end(args);
  return false;
}

bool op_check_len(struct strbuf *why, const char *name, uint32_t len, uint32_t wanted) {
  if (len == wanted)
    return true;
  return op_refuse(why, "'%s' has %u entries, not %u", name, len, wanted);
}

bool op_check_axis(struct strbuf *why, int64_t axis, uint32_t rank) {
  if (axis >= 0 && axis < rank)
    return true;
  return op_refuse(why, "axis %" PRId64 " is not in a tensor of rank %u", axis, rank);
}

bool op_check_axes(struct strbuf *why, const char *name, const struct ints *axes, uint32_t rank,
                   uint32_t *out_mask) {
  uint32_t mask = 0;
  for (uint32_t i = 0; i < axes->len; i++) {
    if (!op_check_axis(why, axes->data[i], rank))
      return false;
    uint32_t bit = 1u << axes->data[i];
    if (mask & bit)
      return op_refuse(why, "'%s' lists axis %" PRId64 " twice", name, axes->data[i]);
    mask |= bit;
  }
  if (out_mask)
    *out_mask = mask;
  return true;
}

bool op_check_ints(struct strbuf *why, const char *name, const struct ints *xs, int64_t least) {
  for (uint32_t i = 0; i < xs->len; i++)
    if (xs->data[i] < least)
      return op_refuse(why, "'%s' has %" PRId64 ", below %" PRId64, name, xs->data[i], least);
  return true;
}

static bool known_negative(struct dim_table *t, dim d) {
  int64_t lo, hi;
  dim_bounds(t, d, &lo, &hi);
  return hi < 0;
}

bool op_check_sizes(struct strbuf *why, struct dim_table *t, const char *name,
                    const struct dims *xs) {
  for (uint32_t i = 0; i < xs->len; i++) {
    if (xs->data[i] == DIM_NONE)
      return op_refuse(why, "entry %u of '%s' is not an expression", i, name);
    if (known_negative(t, xs->data[i]))
      return op_refuse(why, "entry %u of '%s' is negative", i, name);
  }
  return true;
}

static bool check_dims(struct strbuf *why, struct dim_table *t, const dim *dims, uint32_t rank) {
  if (rank > IR_MAX_RANK)
    return op_refuse(why, "rank %u is above %u", rank, IR_MAX_RANK);
  for (uint32_t i = 0; i < rank; i++) {
    if (dims[i] == DIM_NONE)
      return op_refuse(why, "dim %u has no expression: it is too large or too complex", i);
    if (known_negative(t, dims[i]))
      return op_refuse(why, "dim %u of the type is negative", i);
  }
  return true;
}

bool op_check_type(struct strbuf *why, struct dim_table *t, const struct type *type) {
  if (!type)
    return op_refuse(why, "attribute 'type' is missing");
  if ((unsigned)type->dtype >= DTYPE_COUNT)
    return op_refuse(why, "attribute 'type' has no dtype");
  return check_dims(why, t, type->dims, type->rank);
}

bool op_check_rank(const struct op_view *op, struct strbuf *why, uint32_t i, uint32_t rank) {
  uint32_t has = op_operand(op, i)->rank;
  return has == rank || op_refuse(why, "operand %u has rank %u, not %u", i, has, rank);
}

bool op_check_operand(const struct op_view *op, struct strbuf *why, uint32_t i, enum dtype dtype,
                      uint32_t rank) {
  enum dtype has = op_operand(op, i)->dtype;
  if (has != dtype)
    return op_refuse(why, "operand %u is %s, not %s", i, dtype_name(has), dtype_name(dtype));
  return op_check_rank(op, why, i, rank);
}

bool op_check_same_type(struct strbuf *why, struct dim_table *t, const char *what,
                        const struct type *a, const struct type *b) {
  if (a->dtype != b->dtype)
    return op_refuse(why, "%s: %s against %s", what, dtype_name(a->dtype), dtype_name(b->dtype));
  if (a->rank != b->rank)
    return op_refuse(why, "%s: rank %u against rank %u", what, a->rank, b->rank);
  for (uint32_t i = 0; i < a->rank; i++)
    if (dim_known_ne(t, a->dims[i], b->dims[i]))
      return op_refuse(why, "%s: dim %u differs", what, i);
  return true;
}

bool op_check_combiner(struct strbuf *why, enum combiner kind, enum dtype dtype) {
  bool ok = false;
  switch (kind) {
  case COMBINER_NONE: return op_refuse(why, "a combiner is needed");
  case COMBINER_SUM:
  case COMBINER_PROD:
  case COMBINER_MAX:
  case COMBINER_MIN:
  case COMBINER_ARGMAX:
  case COMBINER_ARGMIN: ok = dtype_is_number(dtype); break;
  case COMBINER_AND:
  case COMBINER_OR:
  case COMBINER_XOR: ok = dtype_is_int(dtype) || dtype == DTYPE_BOOL; break;
  }
  if (ok)
    return true;
  return op_refuse(why, "combiner %s does not take %s", keyword_text(KEYWORD_KIND_combiner, kind),
                   dtype_name(dtype));
}

bool op_check_product_dtypes(struct strbuf *why, enum dtype lhs, enum dtype rhs,
                             enum dtype result) {
  unsigned mixed = dtype_is_float(lhs) ? 8 : 16;
  bool same_class =
      (dtype_is_float(lhs) && dtype_is_float(rhs)) || (dtype_is_int(lhs) && dtype_is_int(rhs));
  if (!same_class || (lhs != rhs && (dtype_bits(lhs) > mixed || dtype_bits(rhs) > mixed)))
    return op_refuse(why, "does not take %s with %s", dtype_name(lhs), dtype_name(rhs));
  if ((unsigned)result >= DTYPE_COUNT)
    return op_refuse(why, "attribute 'dtype' is no dtype");
  if (dtype_is_float(lhs) ? dtype_is_float(result) : dtype_is_int(result))
    return true;
  return op_refuse(why, "does not make %s of %s", dtype_name(result), dtype_name(lhs));
}

dim op_dim_merge(struct dim_table *t, dim a, dim b) {
  if (a == b)
    return a;
  if (dim_known_ne(t, a, b))
    return DIM_NONE;
  return dim_is_const(t, b, NULL) ? b : a;
}

dim op_dim_broadcast(struct dim_table *t, dim a, dim b) {
  if (dim_is_const_value(t, a, 1) || dim_known_eq(t, a, b))
    return b;
  if (dim_is_const_value(t, b, 1))
    return a;
  dim one = dim_const(t, 1);
  bool a_is_size = dim_known_ne(t, a, one), b_is_size = dim_known_ne(t, b, one);
  if (a_is_size && b_is_size)
    return op_dim_merge(t, a, b);
  if (a_is_size)
    return a;
  if (b_is_size)
    return b;
  return dim_max(t, a, b);
}

dim op_dim_window(struct dim_table *t, dim n, dim low, dim high, dim size, int64_t stride,
                  int64_t dilation) {
  dim padded = dim_add(t, n, dim_add(t, low, high));
  dim reach = dim_mul(t, dim_sub(t, size, dim_const(t, 1)), dim_const(t, dilation));
  dim room = dim_sub(t, padded, dim_add(t, reach, dim_const(t, 1)));
  return dim_add(t, dim_floordiv(t, room, dim_const(t, stride)), dim_const(t, 1));
}

bool op_make_type(struct strbuf *why, struct dim_table *t, enum dtype dtype, const dim *dims,
                  uint32_t rank, struct type *out_type) {
  if (!check_dims(why, t, dims, rank))
    return false;
  *out_type = type_make(dtype, dims, rank);
  return true;
}

/* The dims that the index operands broadcast to. */
static bool index_space(const struct op_view *op, struct strbuf *why, uint32_t first, uint32_t n,
                        dim *out_dims, uint32_t *out_rank) {
  struct dim_table *t = op_dim_table(op);
  uint32_t rank = op_operand(op, first)->rank;
  for (uint32_t j = 0; j < n; j++) {
    const struct type *index = op_operand(op, first + j);
    if (!dtype_is_int(index->dtype))
      return op_refuse(why, "index operand %u is %s, not integer", first + j,
                       dtype_name(index->dtype));
    if (!op_check_rank(op, why, first + j, rank))
      return false;
    for (uint32_t i = 0; i < rank; i++) {
      out_dims[i] = j ? op_dim_broadcast(t, out_dims[i], index->dims[i]) : index->dims[i];
      if (out_dims[i] == DIM_NONE)
        return op_refuse(why, "dim %u of the index operands does not broadcast", i);
    }
  }
  *out_rank = rank;
  return true;
}

bool op_indexed_dims(const struct op_view *op, struct strbuf *why, const struct type *data,
                     const struct ints *axes, uint32_t first, dim *out_dims, uint32_t *out_rank,
                     uint32_t *out_index_rank) {
  uint32_t mask;
  if (!op_check_len(why, "axes", axes->len, op->n_operands - first) ||
      !op_check_axes(why, "axes", axes, data->rank, &mask) ||
      !index_space(op, why, first, axes->len, out_dims, out_index_rank))
    return false;
  uint32_t rank = *out_index_rank + data->rank - axes->len;
  if (rank > IR_MAX_RANK)
    return op_refuse(why, "the result would have rank %u, above %u", rank, IR_MAX_RANK);
  *out_rank = *out_index_rank;
  for (uint32_t i = 0; i < data->rank; i++)
    if (!(mask >> i & 1))
      out_dims[(*out_rank)++] = data->dims[i];
  return true;
}
