/* SPDX-License-Identifier: Apache-2.0 */
/* unique: distinct rows, with their places and counts. */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

#include <stdlib.h>

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  if (x->dtype == DTYPE_STRING)
    return op_refuse(why, "unique does not take strings");
  if (!op_check_rank(op, why, 0, 2))
    return false;
  *out_n_types = 4;
  for (uint32_t i = 0; i < 3; i++)
    if (!op_make_type(why, t, DTYPE_I64, x->dims, 1, out_types + i))
      return false;
  return op_make_type(why, t, DTYPE_I64, NULL, 0, out_types + 3);
}

static int compare_rows(const struct tensor *x, enum dtype order, int64_t a, int64_t b) {
  int64_t m = x->dims[1];
  for (int64_t i = 0; i < m; i++) {
    int c = slot_compare(order, tensor_slots(x)[a * m + i], tensor_slots(x)[b * m + i]);
    if (c)
      return c;
  }
  return 0;
}

struct rows {
  const struct tensor *x;
  enum dtype order;
};

static int compare(const void *a, const void *b, void *user) {
  const int64_t *x = a, *y = b;
  const struct rows *r = user;
  int c = compare_rows(r->x, r->order, *x, *y);
  return c ? c : (*x > *y) - (*x < *y);
}

static int compare_first(const void *a, const void *b, void *user) {
  const int64_t *x = a, *y = b, *first = user;
  return (first[*x] > first[*y]) - (first[*x] < first[*y]);
}

static status eval(struct interp *in, const struct op *op) {
  const struct tensor *x = interp_operand(in, op, 0);
  struct tensor *results[4];
  int64_t n = x->dims[0];
  for (uint32_t i = 0; i < 4; i++) {
    results[i] = interp_result(in, op, i);
    status s = results[i] ? interp_check_dims(in, op, results[i], &n, false) : in->failure;
    if (s)
      return s;
  }
  int64_t *order = interp_scratch(in, op, (uint64_t)n, 8),
          *group = interp_scratch(in, op, (uint64_t)n, 8);
  int64_t *first = interp_scratch(in, op, (uint64_t)n, 8),
          *rank = interp_scratch(in, op, (uint64_t)n, 8);
  if (!order || !group || !first || !rank)
    return in->failure;
  struct rows rows = {x, interp_order_dtype(in, x->dtype)};
  for (int64_t i = 0; i < n; i++)
    order[i] = i;
  qsort_r(order, (size_t)n, sizeof *order, compare, &rows);
  /* Groups in sorted order; the first of a run of equal rows is the first occurrence. */
  int64_t groups = 0;
  for (int64_t i = 0; i < n; i++) {
    if (i == 0 || compare_rows(x, rows.order, order[i - 1], order[i]) != 0)
      first[groups++] = order[i];
    group[order[i]] = groups - 1;
  }
  for (int64_t g = 0; g < groups; g++)
    order[g] = g;
  if (!OP_ATTRS(unique, op)->sorted)
    qsort_r(order, (size_t)groups, sizeof *order, compare_first, first);
  for (int64_t g = 0; g < groups; g++) {
    rank[order[g]] = g;
    results[0]->i64[g] = first[order[g]];
  }
  for (int64_t i = 0; i < n; i++) {
    results[1]->i64[i] = rank[group[i]];
    results[2]->i64[rank[group[i]]]++;
  }
  results[3]->i64[0] = groups;
  return STATUS_OK;
}

const struct op_hooks unique_hooks = {
    .infer = infer,
    .eval = eval,
};
