/* SPDX-License-Identifier: Apache-2.0 */
/* reduce: axes combined into one element each. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct reduce_attrs *a = VIEW_ATTRS(reduce, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  uint32_t mask;
  if (!op_check_combiner(why, a->kind, x->dtype) ||
      !op_check_axes(why, "axes", &a->axes, x->rank, &mask))
    return false;
  bool arg = combiner_is_arg(a->kind);
  if (arg && a->axes.len != 1)
    return op_refuse(why, "%s takes one axis, not %u",
                     keyword_text(KEYWORD_KIND_combiner, (int)a->kind), a->axes.len);
  if (a->last && !arg)
    return op_refuse(why, "'last' is for argmax and argmin");
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; i++)
    dims[i] = mask >> i & 1 ? dim_const(t, 1) : x->dims[i];
  *out_n_types = arg ? 2 : 1;
  return op_make_type(why, t, x->dtype, dims, x->rank, out_types) &&
         (!arg || op_make_type(why, t, DTYPE_I64, dims, x->rank, out_types + 1));
}

static void fill_identity(struct interp *in, struct tensor *t, enum combiner kind) {
  union scalar identity = interp_identity(in, kind, t->dtype);
  for (int64_t i = 0; i < t->count; i++)
    tensor_slots(t)[i] = identity;
}

/* Combines n neighbouring elements into places `stride` apart (0: into one). */
static void reduce_row(enum arithmetic how, enum combiner kind, enum dtype dtype, union scalar *to,
                       int64_t stride, const union scalar *from, int64_t n) {
  if (kind != COMBINER_SUM || !dtype_is_float(dtype) || how == ARITHMETIC_FIELD) {
    for (int64_t i = 0; i < n; i++)
      to[i * stride] = accumulate(how, kind, dtype, to[i * stride], from[i]);
  } else if (how == ARITHMETIC_F32) {
    for (int64_t i = 0; i < n; i++)
      to[i * stride].f64 = (float)to[i * stride].f64 + (float)from[i].f64;
  } else {
    for (int64_t i = 0; i < n; i++)
      to[i * stride].f64 += from[i].f64;
  }
}

/* Walks the operand in memory order, so that every result combines its elements in row-major order.
 */
static void reduce_plain(enum arithmetic how, enum combiner kind, const struct tensor *x,
                         struct tensor *t) {
  int64_t dims[IR_MAX_RANK], index[IR_MAX_RANK] = {0}, strides[2 * IR_MAX_RANK];
  int64_t *to = strides + IR_MAX_RANK;
  memcpy(dims, x->dims, sizeof dims);
  strides_of(x->dims, x->rank, strides);
  strides_of(t->dims, t->rank, to);
  for (uint32_t d = 0; d < x->rank; d++)
    to[d] = t->dims[d] == 1 ? 0 : to[d];
  uint32_t outer = strides_collapse(dims, x->rank, strides, 2) - 1;
  const union scalar *from = x->data;
  do {
    int64_t at = 0;
    for (uint32_t d = 0; d < outer; d++)
      at += index[d] * to[d];
    reduce_row(how, kind, x->dtype, tensor_slots(t) + at, to[outer], from, dims[outer]);
    from += dims[outer];
  } while (index_next(index, dims, outer));
}

static void reduce_arg(const struct reduce_attrs *a, enum dtype order, const struct tensor *x,
                       const struct shard_part *part, struct tensor *value,
                       struct tensor *position) {
  struct axis_split s = split_at(x->dims, x->rank, a->axes.data[0]);
  bool least = a->kind == COMBINER_ARGMIN;
  for (int64_t i = 0; i < s.outer * s.inner; i++) {
    const union scalar *from = tensor_slots(x) + i / s.inner * s.n * s.inner + i % s.inner;
    int64_t best = 0;
    for (int64_t k = 1; k < s.n; k++)
      if (a->last ? !slot_better(least, order, from[best * s.inner], from[k * s.inner])
                  : slot_better(least, order, from[k * s.inner], from[best * s.inner]))
        best = k;
    tensor_slots(value)[i] = from[best * s.inner];
    position->i64[i] = shard_part_global(part, best);
  }
}

static status eval(struct interp *in, const struct op *op) {
  const struct reduce_attrs *a = OP_ATTRS(reduce, op);
  const struct tensor *x = interp_operand(in, op, 0);
  struct tensor *t = interp_result(in, op, 0);
  bool arg = combiner_is_arg(a->kind);
  struct tensor *position = t && arg ? interp_result(in, op, 1) : NULL;
  if (!t || (arg && !position))
    return in->failure;
  int64_t dims[IR_MAX_RANK];
  memcpy(dims, x->dims, sizeof dims);
  for (uint32_t i = 0; i < a->axes.len; i++)
    dims[a->axes.data[i]] = 1;
  status s = interp_check_dims(in, op, t, dims, false);
  if (s)
    return s;
  struct shard_part part;
  if (arg && !interp_part(in, op, op->operands[0], (uint32_t)a->axes.data[0], &part))
    return in->failure;
  fill_identity(in, t, a->kind);
  if (x->count > 0 && arg)
    reduce_arg(a, interp_order_dtype(in, x->dtype), x, &part, t, position);
  else if (x->count > 0)
    reduce_plain(interp_arithmetic(in, x->dtype), a->kind, x, t);
  else if (arg && part.parts > 1)
    for (int64_t i = 0; i < position->count; i++)
      position->i64[i] = INT64_MAX;
  interp_settle(in, t);
  return STATUS_OK;
}

static dim flops(const struct function *f, const struct op *op) {
  return flops_per_element(f, op->operands[0], 1);
}

/* The partial that ranks hold after reducing parts; NONE where there is none. */
static enum partial_kind partial_of(const struct reduce_attrs *a) {
  switch (a->kind) {
  case COMBINER_SUM: return PARTIAL_SUM;
  case COMBINER_PROD: return PARTIAL_PROD;
  case COMBINER_MAX: return PARTIAL_MAX;
  case COMBINER_MIN: return PARTIAL_MIN;
  case COMBINER_ARGMAX: return a->last ? PARTIAL_NONE : PARTIAL_ARGMAX;
  case COMBINER_ARGMIN: return a->last ? PARTIAL_NONE : PARTIAL_ARGMIN;
  default: return PARTIAL_NONE;
  }
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct reduce_attrs *a = OP_ATTRS(reduce, op);
  const struct type *x = value_type(f, op->operands[0]);
  uint32_t reduced = 0;
  for (uint32_t i = 0; i < a->axes.len; i++)
    reduced |= 1u << a->axes.data[i];
  factors_same_dims(f, op, ~reduced, out);
  for (uint32_t i = 0; partial_of(a) != PARTIAL_NONE && i < a->axes.len; i++) {
    uint32_t d = (uint32_t)a->axes.data[i];
    factor_operand(factor_add_contracted(out, "reduced", x->dims[d], partial_of(a)), 0, d);
  }
}

const struct op_hooks reduce_hooks = {
    .infer = infer,
    .eval = eval,
    .flops = flops,
    .factors = factors,
};
