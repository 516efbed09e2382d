/* SPDX-License-Identifier: Apache-2.0 */
/* Losses, and Dropout. */
#include "frontend/onnx/import_build.h"

#include <math.h>
#include <string.h>

struct loss {
  value_id log_prob; /* [N, C, d...] */
  value_id target;   /* [N, d...] */
  uint32_t weight;   /* operand */
  bool has_ignore;
  int64_t ignore;
  const char *reduction;
};

static bool read_loss(struct import_node *n, struct loss *l) {
  l->reduction = import_attr_string(n, "reduction", "mean");
  l->has_ignore = import_attr_has(n, "ignore_index");
  l->ignore = import_attr_int(n, "ignore_index", 0);
  if (strcmp(l->reduction, "mean") && strcmp(l->reduction, "sum") && strcmp(l->reduction, "none")) {
    import_invalid(n, "reduction is '%s'", l->reduction);
    return false;
  }
  return true;
}

/* The log probability of each target's class: data[n, target, d...]. */
static value_id pick_class(struct import_node *n, value_id data, value_id target) {
  struct type type = *value_type(n->f, target);
  value_id indices[IR_MAX_RANK];
  uint32_t rank = type.rank + 1;
  for (uint32_t i = 0, k = 0; i < rank; i++) {
    dim dims[IR_MAX_RANK];
    if (i == 1) {
      indices[i] = target;
      continue;
    }
    for (uint32_t j = 0; j < type.rank; j++)
      dims[j] = j == k ? type.dims[j] : dim_const(n->dims, 1);
    indices[i] = build_iota(n->b, type.dtype, dims, type.rank, k++);
  }
  struct ints axes = import_range(n, 0, rank);
  return build_gather(n->b, data, indices, axes.data, rank, OUT_OF_RANGE_ERROR);
}

/* The weight of each target, 0 where it is ignored; VALUE_NONE if all are 1. */
static value_id target_weights(struct import_node *n, const struct loss *l, value_id safe,
                               value_id ignored, enum dtype dtype) {
  int64_t axis = 0;
  value_id w = VALUE_NONE;
  if (import_has(n, l->weight))
    w = build_gather(n->b, import_in(n, l->weight), &safe, &axis, 1, OUT_OF_RANGE_ERROR);
  if (ignored == VALUE_NONE)
    return w;
  value_id one = w != VALUE_NONE ? w : build_scalar_f64(n->b, dtype, 1);
  return build_select(n->b, ignored, build_scalar_f64(n->b, dtype, 0), one);
}

static value_id sum_all(struct import_node *n, value_id x) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  x = import_reduce(n, x, import_range(n, 0, value_type(n->f, x)->rank), COMBINER_SUM);
  return build_reshape(n->b, x, NULL, 0);
}

static value_id build_loss(struct import_node *n, const struct loss *l) {
  if (l->log_prob == VALUE_NONE)
    return VALUE_NONE;
  struct type target = *value_type(n->f, l->target);
  enum dtype dtype = value_type(n->f, l->log_prob)->dtype;
  value_id safe = l->target, ignored = VALUE_NONE;
  if (l->has_ignore) {
    ignored = build_binary_i64(n->b, SCALAR_EQ, l->target, l->ignore);
    safe = build_select(n->b, ignored, build_scalar_i64(n->b, target.dtype, 0), l->target);
  }
  value_id loss = build_unary(n->b, SCALAR_NEG, pick_class(n, l->log_prob, safe));
  value_id weights = target_weights(n, l, safe, ignored, dtype);
  if (weights != VALUE_NONE)
    loss = build_binary(n->b, SCALAR_MUL, loss, weights);
  if (!strcmp(l->reduction, "none"))
    return loss;
  value_id sum = sum_all(n, loss);
  if (!strcmp(l->reduction, "sum"))
    return sum;
  value_id total = weights != VALUE_NONE
                       ? sum_all(n, build_broadcast_to(n->b, weights, target.dims, target.rank))
                       : import_dim_scalar(n, type_elements(n->dims, &target), dtype);
  return build_binary(n->b, SCALAR_DIV, sum, total);
}

static bool check_loss_shapes(struct import_node *n) {
  if (import_rank(n, 0) >= 2 && import_rank(n, 1) + 1 == import_rank(n, 0))
    return true;
  import_invalid(n, "scores of rank %u and targets of rank %u do not go together",
                 import_rank(n, 0), import_rank(n, 1));
  return false;
}

void import_nll_loss(struct import_node *n) {
  struct loss l = {.weight = 2};
  if (!read_loss(n, &l) || !import_arity(n, 2, 3, 1) || !check_loss_shapes(n))
    return;
  l.log_prob = import_in(n, 0);
  l.target = import_in(n, 1);
  import_out(n, 0, build_loss(n, &l));
}

void import_softmax_cross_entropy(struct import_node *n) {
  struct loss l = {.weight = 2};
  if (!read_loss(n, &l) || !import_arity(n, 2, 3, 2) || !check_loss_shapes(n))
    return;
  l.log_prob = import_log_softmax_over(n, import_in(n, 0), import_range(n, 1, 2));
  l.target = import_in(n, 1);
  import_out(n, 0, build_loss(n, &l));
  import_out(n, 1, l.log_prob);
}

/* ---- dropout ---- */

/* Below opset 12 ratio is an attribute and there is no training. */
static void drop_nothing(struct import_node *n) {
  struct type type = *import_type(n, 0);
  enum dtype mask = n->opset < 10 ? type.dtype : DTYPE_BOOL;
  import_out(n, 0, import_in(n, 0));
  if (import_wants(n, 1))
    import_out(n, 1,
               build_broadcast_to(n->b, build_scalar_i64(n->b, mask, 1), type.dims, type.rank));
}

/* x / (1 - ratio) where kept; kept where a random number is at least the ratio. */
static void drop_some(struct import_node *n, value_id training, int64_t seed) {
  struct type type = *import_type(n, 0), uniform = type;
  uniform.dtype = DTYPE_F32;
  struct random_attrs attrs = {.type = &uniform, .kind = RANDOM_KIND_UNIFORM, .seed = seed};
  value_id ratio = import_has(n, 1) ? build_cast(n->b, import_in(n, 1), DTYPE_F32)
                                    : build_scalar_f64(n->b, DTYPE_F32, 0.5);
  ratio = build_select(n->b, training, ratio, build_scalar_f64(n->b, DTYPE_F32, 0));
  value_id random = build_op1(n->b, OP_RANDOM, NULL, 0, &attrs);
  value_id keep = build_binary(n->b, SCALAR_GE, random, ratio);
  value_id rest = build_binary(n->b, SCALAR_SUB, build_scalar_f64(n->b, DTYPE_F32, 1), ratio);
  value_id y = build_binary(n->b, SCALAR_DIV, build_cast(n->b, import_in(n, 0), DTYPE_F32), rest);
  y = build_select(n->b, keep, y, build_scalar_f64(n->b, DTYPE_F32, 0));
  import_out(n, 0, build_cast(n->b, y, type.dtype));
  import_out(n, 1, keep);
}

void import_dropout(struct import_node *n) {
  struct ints training;
  int64_t seed = import_attr_int(n, "seed", 0);
  import_attr_ignore(n, "ratio");
  import_attr_ignore(n, "is_test");
  if (!import_arity(n, 1, 3, 2))
    return;
  if (!import_has(n, 2) ||
      (import_const_ints_get(n, 2, &training) && training.len == 1 && !training.data[0]))
    drop_nothing(n);
  else
    drop_some(n, import_in(n, 2), seed);
}
