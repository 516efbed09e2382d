/* SPDX-License-Identifier: Apache-2.0 */
/* reshape: the same elements in row-major order under other dims. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct dims *dims = &VIEW_ATTRS(reshape, op)->dims;
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0);
  if (!op_make_type(why, t, x->dtype, dims->data, dims->len, out_types))
    return false;
  *out_n_types = 1;
  if (dim_known_ne(t, type_elements(t, x), type_elements(t, out_types)))
    return op_refuse(why, "the number of elements changes");
  return true;
}

static status eval(struct interp *in, const struct op *op) {
  return interp_alias(in, op, 0, interp_operand(in, op, 0));
}

/* Walks both shapes from the outside and pairs up runs of dims with equal products. Of each run the
 * outermost dims share a factor that can be split while what lies inside it stays whole. */
struct shape_run {
  uint32_t from_first, from_end, to_first, to_end;
};

static uint32_t skip_ones(struct dim_table *t, const struct type *x, uint32_t d) {
  while (d < x->rank && dim_is_const_value(t, x->dims[d], 1))
    d++;
  return d;
}

/* The next run that begins at the given dims; false where products never meet provably. */
static bool next_run(struct dim_table *t, const struct type *from, const struct type *to,
                     struct shape_run *r) {
  r->from_first = skip_ones(t, from, r->from_end);
  r->to_first = skip_ones(t, to, r->to_end);
  if (r->from_first == from->rank || r->to_first == to->rank)
    return false;
  for (uint32_t i = r->from_first + 1; i <= from->rank; i++)
    for (uint32_t k = r->to_first + 1; k <= to->rank; k++) {
      dim a = dim_product(t, from->dims + r->from_first, i - r->from_first);
      dim b = dim_product(t, to->dims + r->to_first, k - r->to_first);
      if (a != DIM_NONE && dim_known_eq(t, a, b)) {
        r->from_end = i;
        r->to_end = k;
        return true;
      }
    }
  return false;
}

static int64_t gcd(int64_t a, int64_t b) { return b ? gcd(b, a % b) : a; }

/* Elements of one unit of the factor in the outermost dim of a side of a run. */
static bool run_factor(struct dim_table *t, const struct type *from, const struct type *to,
                       const struct shape_run *r, dim *out_extent, int64_t *out_from,
                       int64_t *out_to) {
  dim a = from->dims[r->from_first], b = to->dims[r->to_first];
  int64_t m, n;
  *out_from = *out_to = 1;
  *out_extent = a;
  if (dim_known_eq(t, a, b))
    return true;
  if (dim_is_const(t, a, &m) && dim_is_const(t, b, &n) && m > 0 && n > 0) {
    int64_t common = gcd(m, n);
    *out_extent = dim_const(t, common);
    *out_from = m / common;
    *out_to = n / common;
    return common > 1;
  }
  /* One side's outermost dim is the other's times a constant. */
  dim inner_a = dim_exactdiv(t, a, b), inner_b = dim_exactdiv(t, b, a);
  if (dim_is_const(t, inner_a, out_from)) {
    *out_extent = b;
    return true;
  }
  return dim_is_const(t, inner_b, out_to);
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  struct dim_table *t = f->module->dims;
  const struct type *from = value_type(f, op->operands[0]), *to = value_type(f, op->results[0]);
  struct shape_run r = {0};
  while (next_run(t, from, to, &r)) {
    dim extent;
    int64_t from_granule, to_granule;
    if (!run_factor(t, from, to, &r, &extent, &from_granule, &to_granule))
      continue;
    struct factor *x = factor_add(out, "dim", extent);
    x->index = r.to_first;
    x->operands[0] = (struct factor_map){(uint8_t)r.from_first, 1, from_granule};
    x->results[0] = (struct factor_map){(uint8_t)r.to_first, 1, to_granule};
  }
}

const struct op_hooks reshape_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
