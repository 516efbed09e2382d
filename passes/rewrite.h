/* SPDX-License-Identifier: Apache-2.0 */
/* One walk over a function that rewrites op by op, in linear time.
 *
 * Ops are visited in execution order, operands already replaced, so a rule sees what its operands
 * have become. A rule either leaves its op alone or builds others with w->b and names the values
 * that stand for the op's results; what it built is visited in turn (RETRY and REPLACED alike), so
 * that rules compose, and rules must go downhill: a limit on the depth of rewriting an op stops the
 * walk from going round in circles. A replaced op stays, without uses, until the sweep at the end
 * of the walk; so definitions and attributes of operands may always be looked at.
 *
 *     static enum rewrite identity(struct rewriter *w, op_id id) {
 *       ...
 *       return rewrite_with(w, id, value);
 *     }
 *     rewrite_function(f, diags, &(struct rewrite_options){.rule = identity});
 */
#ifndef SINTER_PASSES_REWRITE_H
#define SINTER_PASSES_REWRITE_H

#include "ir/graph.h"

enum rewrite {
  NO_MATCH, /* nothing was built or changed */
  REPLACED, /* rewrite_with or rewrite_result named the new values; or the op is to go (no results)
             */
};

struct rewriter;
typedef enum rewrite (*rewrite_rule)(struct rewriter *w, op_id op);

struct rewriter {
  struct function *f;
  struct dim_table *dims;
  struct builder b; /* in the region of the op at hand, before it, with its provenance */
  void *user;
  rewrite_rule rule;
  VEC(value_id) to; /* by value: what stands for it; VALUE_NONE: itself */
  uint32_t depth;
  uint32_t replaced; /* ops so far */
};

struct rewrite_options {
  rewrite_rule rule;
  void *user;
};

/* Visits every op, in regions too; then sweeps. Returns how many ops were replaced; STATUS_INTERNAL
 * through out_status if a rule built what is not well-formed (reported). */
uint32_t rewrite_function(struct function *f, struct diags *diags,
                          const struct rewrite_options *options, status *out_status);

/* What stands for v now. */
value_id rewrite_resolve(struct rewriter *w, value_id v);
/* Result i of the op is v from now on. False, and nothing done, where v is VALUE_NONE, or its type
 * is not provably that of the result. */
bool rewrite_result(struct rewriter *w, op_id op, uint32_t i, value_id v);
/* The same for an op's only result: REPLACED or NO_MATCH. */
enum rewrite rewrite_with(struct rewriter *w, op_id op, value_id v);

#endif
