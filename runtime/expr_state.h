/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of a plan's dim expressions in one run. Binding a symbol marks what may depend on it
 * as stale; the next question evaluates that part of the table in one sweep, so a question costs a
 * table look-up and never recurses.
 */
#ifndef SINTER_RUNTIME_EXPR_STATE_H
#define SINTER_RUNTIME_EXPR_STATE_H

#include "runtime/plan.h"

#include <stdbool.h>
#include <stdint.h>

enum expr_validity {
  EXPR_VALID,
  EXPR_UNBOUND,  /* a symbol has no value yet */
  EXPR_OVERFLOW, /* passes 64 bits */
  EXPR_INEXACT,  /* a division promised to be exact is not */
};

struct expr_state {
  const struct plan *plan;
  const uint32_t *coords; /* this rank's, per axis of the mesh; NULL: those of rank 0 */
  int64_t *values;        /* per expression */
  uint8_t *validity;      /* per expression: enum expr_validity */
  int64_t *symbol_values; /* per symbol */
  bool *symbol_bound;
  uint32_t stale_from; /* expressions from here on may be out of date */
};

/* Memory comes from the pool; coords must outlive the state. Errors: E0615. */
status expr_state_init(struct expr_state *x, const struct plan *plan, const uint32_t *coords,
                       struct pool *pool);

/* No symbol has a value. */
void expr_state_reset(struct expr_state *x);

/* Bounds are the caller's affair. */
void expr_state_bind(struct expr_state *x, uint32_t symbol, int64_t value);

/* Evaluates what is stale. */
void expr_state_refresh(struct expr_state *x);

/* The value of an expression; anything but EXPR_VALID leaves *out_value alone. */
static inline enum expr_validity expr_state_get(struct expr_state *x, uint32_t expr,
                                                int64_t *out_value) {
  if (expr >= x->stale_from)
    expr_state_refresh(x);
  if (x->validity[expr] == EXPR_VALID)
    *out_value = x->values[expr];
  return (enum expr_validity)x->validity[expr];
}

#endif
