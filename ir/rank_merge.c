/* SPDX-License-Identifier: Apache-2.0 */
/* Merging of partials. */
#include "ir/rank_merge.h"

#include "ir/ops/eval_util.h"

#include <math.h>
#include <stdlib.h>

uint32_t partial_tuple(enum partial_kind kind) { return kind >= PARTIAL_SOFTMAX ? 2 : 1; }

static bool same_dims(const struct tensor *a, const struct tensor *b) {
  return a->rank == b->rank && a->dtype == b->dtype &&
         !memcmp(a->dims, b->dims, a->rank * sizeof *a->dims);
}

static double settled(enum interp_mode mode, enum dtype dtype, double x) {
  return mode == INTERP_TYPED ? scalar_round(dtype, x) : x;
}

/* ---- one by one ---- */

static void merge_sums(enum interp_mode mode, enum partial_kind kind,
                       struct tensor *const (*parts)[2], uint32_t n, struct tensor *t) {
  static const enum combiner combiners[] = {[PARTIAL_SUM] = COMBINER_SUM,
                                            [PARTIAL_MAX] = COMBINER_MAX,
                                            [PARTIAL_MIN] = COMBINER_MIN,
                                            [PARTIAL_PROD] = COMBINER_PROD};
  bool is_float = dtype_is_float(t->dtype);
  enum arithmetic how = is_float && mode == INTERP_FIELD ? ARITHMETIC_FIELD
                        : is_float && mode == INTERP_TYPED && t->dtype != DTYPE_F64
                            ? ARITHMETIC_F32
                            : ARITHMETIC_F64;
  for (int64_t i = 0; i < t->count; i++) {
    union scalar acc = tensor_slots(parts[0][0])[i];
    for (uint32_t r = 1; r < n; r++)
      acc = accumulate(how, combiners[kind], t->dtype, acc, tensor_slots(parts[r][0])[i]);
    if (how != ARITHMETIC_FIELD && is_float)
      acc.f64 = settled(mode, t->dtype, acc.f64);
    tensor_slots(t)[i] = acc;
  }
}

/* ---- softmax ---- */

/* Weights of the ranks in row i, and its lse. */
static double softmax_weights(struct tensor *const (*parts)[2], uint32_t n, int64_t i,
                              double *weights) {
  double most = -(double)INFINITY, total = 0;
  for (uint32_t r = 0; r < n; r++)
    most = fmax(most, parts[r][1]->f64[i]);
  for (uint32_t r = 0; r < n; r++) {
    weights[r] = isinf(most) ? 0 : exp(parts[r][1]->f64[i] - most);
    total += weights[r];
  }
  for (uint32_t r = 0; r < n && total > 0; r++)
    weights[r] /= total;
  return total > 0 ? most + log(total) : most;
}

static int64_t field_weights(struct tensor *const (*parts)[2], uint32_t n, int64_t i,
                             int64_t *weights) {
  int64_t total = 0;
  for (uint32_t r = 0; r < n; r++)
    total = field_add(total, parts[r][1]->i64[i]);
  for (uint32_t r = 0; r < n; r++)
    weights[r] = field_div(parts[r][1]->i64[i], total);
  return total;
}

static bool merge_softmax(enum interp_mode mode, struct tensor *const (*parts)[2], uint32_t n,
                          struct arena *arena, struct tensor *t, struct tensor *lse) {
  if (t->rank != lse->rank + 1 || memcmp(t->dims, lse->dims, lse->rank * sizeof *lse->dims))
    return false;
  int64_t width = t->dims[t->rank - 1];
  union scalar *weights = ARENA_ARRAY(arena, union scalar, n);
  for (int64_t i = 0; i < lse->count; i++) {
    if (mode == INTERP_FIELD)
      lse->i64[i] = field_weights(parts, n, i, &weights->i64);
    else
      lse->f64[i] = settled(mode, lse->dtype, softmax_weights(parts, n, i, &weights->f64));
    for (int64_t at = i * width; at < (i + 1) * width; at++) {
      union scalar sum = {.i64 = 0};
      for (uint32_t r = 0; r < n; r++) {
        union scalar x = tensor_slots(parts[r][0])[at];
        if (mode == INTERP_FIELD)
          sum.i64 = field_add(sum.i64, field_mul(weights[r].i64, x.i64));
        else if (weights[r].f64 != 0)
          sum.f64 += weights[r].f64 * x.f64;
      }
      if (mode != INTERP_FIELD)
        sum.f64 = settled(mode, t->dtype, sum.f64);
      tensor_slots(t)[at] = sum;
    }
  }
  return true;
}

/* ---- values and indices ---- */

struct candidate {
  union scalar value;
  int64_t index;
};
struct preference {
  enum dtype order;
  enum partial_kind kind;
};

/* Before 0: x is preferred. An index of INT64_MAX stands for nothing. */
static int prefer(const void *a, const void *b, void *user) {
  const struct candidate *x = a, *y = b;
  const struct preference *p = user;
  if (x->index == INT64_MAX || y->index == INT64_MAX)
    return (x->index == INT64_MAX) - (y->index == INT64_MAX);
  if (p->kind == PARTIAL_ARGMAX || p->kind == PARTIAL_ARGMIN) {
    bool least = p->kind == PARTIAL_ARGMIN;
    if (slot_better(least, p->order, x->value, y->value))
      return -1;
    if (slot_better(least, p->order, y->value, x->value))
      return 1;
  } else {
    int c = slot_compare(p->order, x->value, y->value);
    if (c)
      return p->kind == PARTIAL_TOPK ? -c : c;
  }
  return (x->index > y->index) - (x->index < y->index);
}

/* Each row of k candidates along the axis from the n ranks' rows of k. */
static void merge_candidates(struct preference *p, uint32_t axis, struct tensor *const (*parts)[2],
                             uint32_t n, struct arena *arena, struct tensor *t,
                             struct tensor *indices) {
  bool rows = p->kind == PARTIAL_TOPK || p->kind == PARTIAL_BOTTOMK;
  struct axis_split s = {t->count, 1, 1};
  if (rows)
    s = split_at(t->dims, t->rank, axis);
  struct candidate *all = ARENA_ARRAY(arena, struct candidate, (size_t)s.n * n);
  for (int64_t i = 0; i < s.outer * s.inner; i++) {
    int64_t first = i / s.inner * s.n * s.inner + i % s.inner;
    for (int64_t j = 0; j < s.n * n; j++) {
      int64_t at = first + j % s.n * s.inner;
      all[j] = (struct candidate){tensor_slots(parts[j / s.n][0])[at], parts[j / s.n][1]->i64[at]};
    }
    qsort_r(all, (size_t)s.n * n, sizeof *all, prefer, p);
    for (int64_t j = 0; j < s.n; j++) {
      tensor_slots(t)[first + j * s.inner] = all[j].value;
      indices->i64[first + j * s.inner] = all[j].index;
    }
  }
}

bool rank_merge(enum interp_mode mode, enum partial_kind kind, uint32_t axis,
                struct tensor *const (*parts)[2], uint32_t n, struct arena *arena,
                struct tensor *out[2]) {
  for (uint32_t k = 0; k < partial_tuple(kind); k++) {
    for (uint32_t r = 1; r < n; r++)
      if (!same_dims(parts[0][k], parts[r][k]))
        return false;
    const struct tensor *x = parts[0][k];
    out[k] = tensor_create(arena, x->dtype, x->dims, x->rank);
  }
  if (partial_is_sum_like(kind)) {
    merge_sums(mode, kind, parts, n, out[0]);
    return true;
  }
  if (kind == PARTIAL_SOFTMAX)
    return merge_softmax(mode, parts, n, arena, out[0], out[1]);
  if (parts[0][0]->count != parts[0][1]->count || parts[0][1]->dtype != DTYPE_I64 ||
      ((kind == PARTIAL_TOPK || kind == PARTIAL_BOTTOMK) && axis >= out[0]->rank))
    return false;
  enum dtype dtype = out[0]->dtype;
  struct preference p = {mode == INTERP_FIELD && dtype_is_float(dtype) ? DTYPE_U64 : dtype, kind};
  merge_candidates(&p, axis, parts, n, arena, out[0], out[1]);
  return true;
}
