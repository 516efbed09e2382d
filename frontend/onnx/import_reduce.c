/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions along axes, the softmax family, and running sums. */
#include "frontend/onnx/import_reduce.h"

#include "frontend/onnx/import_build.h"

struct reduction {
  enum import_reduction kind;
  value_id x;
  bool keep, noop;
  uint32_t rank;
};

/* log(sum(e^x)), shifted by the maximum, or not at all where that is infinite. */
static value_id log_sum_exp(struct import_node *n, value_id x, struct ints axes) {
  value_id max = import_reduce(n, x, axes, COMBINER_MAX);
  if (max == VALUE_NONE)
    return VALUE_NONE;
  value_id zero = build_scalar_f64(n->b, value_type(n->f, max)->dtype, 0);
  max = build_select(n->b, build_unary(n->b, SCALAR_ISINF, max), zero, max);
  value_id e = build_unary(n->b, SCALAR_EXP, build_binary(n->b, SCALAR_SUB, x, max));
  value_id sum = import_reduce(n, e, axes, COMBINER_SUM);
  return build_binary(n->b, SCALAR_ADD, build_unary(n->b, SCALAR_LOG, sum), max);
}

static value_id reduce_composite(struct import_node *n, enum import_reduction kind, value_id x,
                                 struct ints axes) {
  struct builder *b = n->b;
  switch (kind) {
  case REDUCTION_MEAN: return import_reduce_mean(n, x, axes);
  case REDUCTION_L1: return import_reduce(n, build_unary(b, SCALAR_ABS, x), axes, COMBINER_SUM);
  case REDUCTION_L2:
    x = import_reduce(n, build_binary(b, SCALAR_MUL, x, x), axes, COMBINER_SUM);
    return build_unary(b, SCALAR_SQRT, x);
  case REDUCTION_LOG_SUM:
    return build_unary(b, SCALAR_LOG, import_reduce(n, x, axes, COMBINER_SUM));
  case REDUCTION_LOG_SUM_EXP: return log_sum_exp(n, x, axes);
  case REDUCTION_SUM_SQUARE:
    return import_reduce(n, build_binary(b, SCALAR_MUL, x, x), axes, COMBINER_SUM);
  default: return VALUE_NONE;
  }
}

static value_id reduce_kind(struct import_node *n, enum import_reduction kind, value_id x,
                            struct ints axes) {
  enum dtype dtype = value_type(n->f, x)->dtype;
  switch (kind) {
  case REDUCTION_SUM: return import_reduce(n, x, axes, COMBINER_SUM);
  case REDUCTION_PROD: return import_reduce(n, x, axes, COMBINER_PROD);
  case REDUCTION_MAX:
    return import_reduce(n, x, axes, dtype == DTYPE_BOOL ? COMBINER_OR : COMBINER_MAX);
  case REDUCTION_MIN:
    return import_reduce(n, x, axes, dtype == DTYPE_BOOL ? COMBINER_AND : COMBINER_MIN);
  default: break;
  }
  /* Integers that stay so under sums; roots, logs and quotients go through f64. */
  bool exact = dtype_is_int(dtype) && (kind == REDUCTION_L1 || kind == REDUCTION_SUM_SQUARE);
  enum dtype work = dtype_is_float(dtype) ? dtype_compute(dtype) : exact ? dtype : DTYPE_F64;
  return build_cast(n->b, reduce_composite(n, kind, build_cast(n->b, x, work), axes), dtype);
}

static void reduce_over(struct import_node *n, void *user, struct ints axes, value_id *out) {
  struct reduction *r = user;
  if (axes.len == 0 && !r->noop)
    axes = import_range(n, 0, r->rank);
  *out = reduce_kind(n, r->kind, r->x, axes);
  if (!r->keep && axes.len)
    *out = build_squeeze(n->b, *out, axes.data, axes.len);
}

void import_reduction(struct import_node *n) {
  struct ints axes;
  bool by_attribute = import_attr_ints(n, "axes", &axes);
  struct reduction r = {.kind = (enum import_reduction)n->arg};
  r.keep = import_attr_int(n, "keepdims", 1) != 0;
  r.noop = import_attr_int(n, "noop_with_empty_axes", 0) != 0;
  value_id v = VALUE_NONE;
  if (n->failed || !import_arity(n, 1, 2, 1))
    return;
  r.x = import_in(n, 0);
  r.rank = import_rank(n, 0);
  if (by_attribute) {
    if (!import_axes(n, axes, r.rank, true, &axes))
      return;
    reduce_over(n, &r, axes, &v);
  } else if (!import_with_axes(n, 1, r.rank, reduce_over, &r, 1, &v)) {
    return;
  }
  import_out(n, 0, v);
}

void import_arg_extreme(struct import_node *n) {
  uint32_t axis;
  int64_t given = import_attr_int(n, "axis", 0);
  bool keep = import_attr_int(n, "keepdims", 1) != 0;
  bool last = import_attr_int(n, "select_last_index", 0) != 0;
  if (!import_arity(n, 1, 1, 1) || !import_axis(n, given, import_rank(n, 0), &axis))
    return;
  int64_t axes[1] = {axis};
  struct reduce_attrs attrs = {.axes = {axes, 1}, .kind = (enum combiner)n->arg, .last = last};
  value_id x = import_in(n, 0);
  value_id index = op_result(n->f, build_op(n->b, OP_REDUCE, &x, 1, NULL, 0, &attrs), 1);
  import_out(n, 0, keep ? index : build_squeeze(n->b, index, axes, 1));
}

/* ---- softmax ---- */

/* Below opset 13 all dims from `axis` on are one. */
static bool softmax_axes(struct import_node *n, struct ints *out) {
  uint32_t axis;
  int64_t given = import_attr_int(n, "axis", n->opset < 13 ? 1 : -1);
  if (!import_arity(n, 1, 1, 1))
    return false;
  uint32_t rank = import_rank(n, 0);
  if (n->opset < 13 && given == rank) {
    *out = (struct ints){0};
    return true;
  }
  if (!import_axis(n, given, rank, &axis))
    return false;
  *out = import_range(n, axis, n->opset < 13 ? rank : axis + 1);
  return true;
}

void import_softmax(struct import_node *n) {
  struct ints axes;
  if (softmax_axes(n, &axes))
    import_out(n, 0, import_softmax_over(n, import_in(n, 0), axes));
}

void import_log_softmax(struct import_node *n) {
  struct ints axes;
  if (softmax_axes(n, &axes))
    import_out(n, 0, import_log_softmax_over(n, import_in(n, 0), axes));
}

/* 1 at the first maximum along the axes, taken as one dim; else 0. */
void import_hardmax(struct import_node *n) {
  struct ints axes;
  if (!softmax_axes(n, &axes))
    return;
  value_id x = import_in(n, 0);
  struct type type = *import_type(n, 0);
  uint32_t first = axes.len ? (uint32_t)axes.data[0] : type.rank;
  dim flat[IR_MAX_RANK];
  uint32_t rank = 0;
  for (uint32_t i = 0; i < first; i++)
    flat[rank++] = type.dims[i];
  uint32_t axis = rank;
  flat[rank++] = import_dims_product(n, x, axes);
  for (uint32_t i = first + axes.len; i < type.rank; i++)
    flat[rank++] = type.dims[i];
  value_id row = build_reshape(n->b, x, flat, rank);
  int64_t reduced[1] = {axis};
  struct reduce_attrs attrs = {.axes = {reduced, 1}, .kind = COMBINER_ARGMAX};
  value_id best = op_result(n->f, build_op(n->b, OP_REDUCE, &row, 1, NULL, 0, &attrs), 1);
  value_id place = build_iota(n->b, DTYPE_I64, flat, rank, axis);
  value_id hit = build_cast(n->b, build_binary(n->b, SCALAR_EQ, place, best), type.dtype);
  import_out(n, 0, build_reshape(n->b, hit, type.dims, type.rank));
}

/* ---- running sums and products ---- */

struct running {
  value_id x;
  struct scan_attrs attrs;
};

static void scan_along(struct import_node *n, void *user, struct ints axes, value_id *out) {
  struct running *r = user;
  if (axes.len != 1) {
    import_invalid(n, "axis must be one number");
    return;
  }
  r->attrs.axis = axes.data[0];
  *out = build_op1(n->b, OP_SCAN, &r->x, 1, &r->attrs);
}

void import_cumulative(struct import_node *n) {
  struct running r = {.attrs = {.kind = (enum combiner)n->arg}};
  value_id v = VALUE_NONE;
  r.attrs.exclusive = import_attr_int(n, "exclusive", 0) != 0;
  r.attrs.reverse = import_attr_int(n, "reverse", 0) != 0;
  if (!import_arity(n, 2, 2, 1))
    return;
  r.x = import_in(n, 0);
  if (import_with_axes(n, 1, import_rank(n, 0), scan_along, &r, 1, &v))
    import_out(n, 0, v);
}
