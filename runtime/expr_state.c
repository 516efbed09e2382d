/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation of dim expressions; see expr_state.h. */
#include "runtime/expr_state.h"

#include "base/checked.h"
#include "runtime/engine_format.h"

#include <string.h>

status expr_state_init(struct expr_state *x, const struct plan *plan, const uint32_t *coords,
                       struct pool *pool) {
  const Engine__Manifest *m = plan->manifest;
  *x = (struct expr_state){.plan = plan, .coords = coords};
  x->values = POOL_ARRAY(pool, int64_t, m->n_dim_exprs);
  x->validity = POOL_ARRAY(pool, uint8_t, m->n_dim_exprs);
  x->symbol_values = POOL_ARRAY(pool, int64_t, m->n_symbols);
  x->symbol_bound = POOL_ARRAY(pool, bool, m->n_symbols);
  return x->values && x->validity && x->symbol_values && x->symbol_bound ? STATUS_OK
                                                                         : STATUS_RESOURCES;
}

void expr_state_reset(struct expr_state *x) {
  memset(x->symbol_bound, 0, x->plan->manifest->n_symbols * sizeof *x->symbol_bound);
  x->stale_from = 0;
}

void expr_state_bind(struct expr_state *x, uint32_t symbol, int64_t value) {
  if (x->symbol_bound[symbol] && x->symbol_values[symbol] == value)
    return;
  x->symbol_bound[symbol] = true;
  x->symbol_values[symbol] = value;
  if (x->plan->symbol_first_use[symbol] < x->stale_from)
    x->stale_from = x->plan->symbol_first_use[symbol];
}

/* Quotient and remainder that belong together under rounding to minus infinity; 0 for divisor 0. */
static enum expr_validity divide(int64_t a, int64_t b, int64_t *out_quotient, int64_t *out_rest) {
  *out_quotient = *out_rest = 0;
  if (b == 0)
    return EXPR_VALID;
  if (b == -1) /* INT64_MIN / -1 traps */
    return i64_sub(0, a, out_quotient) ? EXPR_VALID : EXPR_OVERFLOW;
  int64_t q = a / b, r = a % b;
  if (r != 0 && (r < 0) != (b < 0)) {
    q--;
    r += b;
  }
  *out_quotient = q;
  *out_rest = r;
  return EXPR_VALID;
}

static enum expr_validity combine(uint32_t kind, int64_t a, int64_t b, int64_t *out) {
  int64_t quotient, rest;
  enum expr_validity validity;
  switch (kind) {
  case EXPR_ADD: return i64_add(a, b, out) ? EXPR_VALID : EXPR_OVERFLOW;
  case EXPR_MUL: return i64_mul(a, b, out) ? EXPR_VALID : EXPR_OVERFLOW;
  case EXPR_FLOORDIV: return divide(a, b, out, &rest);
  case EXPR_MOD: divide(a, b, &quotient, out); return EXPR_VALID;
  case EXPR_MIN: *out = a < b ? a : b; return EXPR_VALID;
  case EXPR_MAX: *out = a > b ? a : b; return EXPR_VALID;
  default: /* EXPR_EXACTDIV; the loader refused what is not listed */
    validity = divide(a, b, out, &rest);
    return validity == EXPR_VALID && (b == 0 || rest != 0) ? EXPR_INEXACT : validity;
  }
}

static enum expr_validity evaluate(struct expr_state *x, const Engine__DimExpr *e, int64_t *out) {
  switch (e->kind) {
  case EXPR_CONST: *out = e->value; return EXPR_VALID;
  case EXPR_SYMBOL:
    *out = x->symbol_values[e->a];
    return x->symbol_bound[e->a] ? EXPR_VALID : EXPR_UNBOUND;
  case EXPR_COORD: *out = x->coords ? x->coords[e->a] : 0; return EXPR_VALID;
  default:
    if (x->validity[e->a] != EXPR_VALID)
      return (enum expr_validity)x->validity[e->a];
    if (x->validity[e->b] != EXPR_VALID)
      return (enum expr_validity)x->validity[e->b];
    return combine(e->kind, x->values[e->a], x->values[e->b], out);
  }
}

void expr_state_refresh(struct expr_state *x) {
  uint32_t n = (uint32_t)x->plan->manifest->n_dim_exprs;
  for (uint32_t i = x->stale_from; i < n; i++)
    x->validity[i] = (uint8_t)evaluate(x, x->plan->manifest->dim_exprs[i], &x->values[i]);
  x->stale_from = n;
}
