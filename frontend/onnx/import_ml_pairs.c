/* SPDX-License-Identifier: Apache-2.0 */
/* Probabilities of classes from the scores of all pairs of classes.
 *
 * A score becomes the probability r_ij that it is class i where it is i or j, by a logistic
 * function (Platt, "Probabilistic outputs for support vector machines", 1999). The probabilities of
 * classes are those that fit all r best: they minimise sum (r_ji p_i - r_ij p_j)^2 over i, j, which
 * is p Q p with Q_ii = sum r_ji^2 and Q_ij = -r_ji r_ij. They are found by correcting one p_i after
 * the other until Q p is as good as constant (Wu, Lin, Weng, "Probability estimates for multi-class
 * classification by pairwise coupling", 2004, algorithm 2). Where it stops is part of the result,
 * so rows that are there stay as they are while others go on. */
#include "frontend/onnx/import_ml.h"
#include "frontend/onnx/import_repeat.h"
#include "frontend/onnx/import_steps.h"
#include "frontend/onnx/import_util.h"

enum { MAX_ROUNDS = 100 };

struct coupling {
  value_id q;    /* f32 [N, classes, classes] */
  value_id axis; /* i64 [1, classes]: 0, 1, ... */
  int64_t classes;
};

static value_id sum_last(struct builder *b, value_id x, enum combiner kind) {
  if (x == VALUE_NONE)
    return x;
  int64_t last = (int64_t)value_type(b->function, x)->rank - 1;
  return build_reduce(b, x, &last, 1, kind);
}

static value_id column(struct import_node *n, value_id x, value_id index) {
  return build_unsqueeze(n->b, import_gather_axis(n, x, index, 1, OUT_OF_RANGE_CLAMP),
                         (int64_t[]){1}, 1);
}

/* r [N, classes, classes]: 0 on the diagonal. */
static value_id pair_matrix(struct import_node *n, value_id r, int64_t classes) {
  int64_t pairs = classes * (classes - 1) / 2, pair = 0, dims[2] = {classes, classes};
  int64_t *at = ARENA_ARRAY(import_arena(n), int64_t, (size_t)(classes * classes));
  for (int64_t i = 0; i < classes; i++) {
    at[i * classes + i] = 2 * pairs;
    for (int64_t j = i + 1; j < classes; j++, pair++) {
      at[i * classes + j] = pair;
      at[j * classes + i] = pairs + pair;
    }
  }
  value_id other = value_sub(n->b, build_scalar_f64(n->b, DTYPE_F32, 1), r);
  value_id none = build_binary_f64(
      n->b, SCALAR_MUL, build_slice_axis(n->b, r, 1, dim_const(n->dims, 0), dim_const(n->dims, 1)),
      0);
  value_id all = build_concat(n->b, (value_id[]){r, other, none}, 3, 1);
  return import_gather_axis(n, all, ml_const_ints(n, DTYPE_I64, at, dims, 2), 1,
                            OUT_OF_RANGE_CLAMP);
}

static value_id quadratic_form(struct import_node *n, value_id r, int64_t classes) {
  struct builder *b = n->b;
  if (r == VALUE_NONE)
    return r;
  dim square[2] = {dim_const(n->dims, classes), dim_const(n->dims, classes)};
  value_id turned = build_transpose(b, r, (int64_t[]){0, 2, 1});
  value_id diagonal = build_binary(b, SCALAR_EQ, build_iota(b, DTYPE_I64, square, 2, 0),
                                   build_iota(b, DTYPE_I64, square, 2, 1));
  value_id own = sum_last(b, value_mul(b, turned, turned), COMBINER_SUM);
  value_id others = build_unary(b, SCALAR_NEG, value_mul(b, turned, r));
  return build_select(b, diagonal, own, others);
}

/* Corrects p_i: carried are p [N, classes], q p [N, classes] and p q p [N, 1]. */
static void correct_one(struct import_node *n, void *user, value_id i, const value_id *carried,
                        value_id *out) {
  const struct coupling *c = user;
  struct builder *b = n->b;
  value_id p = carried[0], qp = carried[1], pqp = carried[2];
  value_id row = import_gather_axis(n, c->q, i, 1, OUT_OF_RANGE_CLAMP);
  value_id own = column(n, row, i), here = column(n, qp, i);
  value_id step = value_div(b, value_sub(b, pqp, here), own);
  value_id whole = build_binary_f64(b, SCALAR_ADD, step, 1);
  value_id change = build_select(b, build_binary(b, SCALAR_EQ, c->axis, i), step,
                                 build_scalar_f64(b, DTYPE_F32, 0));
  out[0] = value_div(b, value_add(b, p, change), whole);
  out[1] = value_div(b, value_add(b, qp, value_mul(b, step, row)), whole);
  value_id twice = build_binary_f64(b, SCALAR_MUL, here, 2);
  value_id more = value_mul(b, step, value_add(b, value_mul(b, step, own), twice));
  out[2] = value_div(b, value_div(b, value_add(b, pqp, more), whole), whole);
}

/* A round over all classes, for the rows that are not there yet. */
static bool round_step(struct repeat *l, value_id iteration, const value_id *carried,
                       value_id *out) {
  struct import_node *n = l->n;
  struct builder *b = n->b;
  const struct coupling *c = l->user;
  (void)iteration;
  value_id p = carried[0], state[3] = {p};
  value_id qp =
      sum_last(b, value_mul(b, c->q, build_unsqueeze(b, p, (int64_t[]){1}, 1)), COMBINER_SUM);
  state[1] = build_squeeze(b, qp, (int64_t[]){2}, 1);
  state[2] = sum_last(b, value_mul(b, p, state[1]), COMBINER_SUM);
  value_id off = build_unary(b, SCALAR_ABS, value_sub(b, state[1], state[2]));
  value_id open = build_binary_f64(b, SCALAR_GE, sum_last(b, off, COMBINER_MAX),
                                   (double)(0.005F / (float)c->classes));
  import_steps(n, dim_const(n->dims, c->classes), state, 3, 0, correct_one, l->user, state);
  if (open == VALUE_NONE || state[0] == VALUE_NONE)
    return false;
  out[0] = build_reshape(b, build_reduce(b, open, (int64_t[]){0, 1}, 2, COMBINER_OR), NULL, 0);
  out[1] = build_select(b, open, state[0], p);
  return true;
}

value_id ml_couple_pairs(struct import_node *n, value_id scores, const struct ml_numbers *a,
                         const struct ml_numbers *b, int64_t classes) {
  struct builder *build = n->b;
  int64_t row[2] = {1, a->len};
  if (scores == VALUE_NONE)
    return scores;
  scores = build_cast(build, scores, DTYPE_F32);
  value_id x = value_mul(build, scores, ml_const(n, DTYPE_F32, a->data, row, 2));
  x = value_add(build, x, ml_const(n, DTYPE_F32, b->data, row, 2));
  value_id one = build_scalar_f64(build, DTYPE_F32, 1);
  value_id r = value_div(build, one, value_add(build, one, build_unary(build, SCALAR_EXP, x)));
  r = build_binary_f64(build, SCALAR_MAX, r, 1e-7);
  r = build_binary_f64(build, SCALAR_MIN, r, (double)(1 - 1e-7F));
  dim dims[2] = {import_value_type(n, scores)->dims[0], dim_const(n->dims, classes)};
  dim axis[2] = {dim_const(n->dims, 1), dims[1]};
  struct coupling c = {.q = quadratic_form(n, pair_matrix(n, r, classes), classes),
                       .axis = build_iota(build, DTYPE_I64, axis, 2, 1),
                       .classes = classes};
  value_id p = build_scalar_f64(build, DTYPE_F32, 1 / (double)classes);
  p = build_broadcast_to(build, p, dims, 2);
  struct repeat l = {.n = n, .step = round_step, .user = &c, .initial = &p, .carried = 1};
  import_repeat_times(&l, dim_const(n->dims, MAX_ROUNDS));
  return c.q != VALUE_NONE && import_repeat(&l, &p) ? p : VALUE_NONE;
}
