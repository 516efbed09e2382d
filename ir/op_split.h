/* SPDX-License-Identifier: Apache-2.0 */
/* How an op is split over the axes of a mesh, and which shardings that asks of its operands and
 * gives its results: the rule that apply_sharding, the checker and the cost model share. */
#ifndef SINTER_IR_OP_SPLIT_H
#define SINTER_IR_OP_SPLIT_H

#include "ir/factor.h"
#include "ir/sharding.h"

/* One factor over one list of axes, the outer first. */
struct factor_split {
  uint32_t factor; /* number in factors_of() of the op */
  uint32_t n_axes;
  struct axis_ref axes[SHARDING_MAX_AXES_PER_DIM];
  enum split_order order;
  int64_t granule; /* in units of the factor, never cut inside; 0 and 1: any */
  int64_t block;   /* of SPLIT_INTERLEAVED, in units of the factor */
};

struct op_split {
  uint32_t n; /* 0: every rank computes all of it */
  struct factor_split *splits;
  /* An op that is linear in operands may read them partial and gives a partial result: over these
   * axes, none of which a factor is split over. kind NONE: operands are read merged. */
  struct partial passed;
  uint32_t passed_by; /* the operands that are read so, a bit each: op_is_linear */
};

/* Whether the op gives a partial of that kind from operands (a bit each) that are partials of it,
 * the others being whole: sums of them, products with others, views; no narrowing cast. */
bool op_is_linear(const struct function *f, const struct op *op, enum partial_kind kind,
                  uint32_t operands);

/* The shardings of the split, canonical (ir/sharding_form.h), one per operand and result; 0: whole.
 * `factors` are those of the op. False, with a message, where the split is none: an axis twice or
 * not in the mesh, a factor that is not there or whose dim cannot be split so, not linear in what
 * is passed. What an op without factors reads and gives is whole. */
bool op_split_shardings(const struct function *f, const struct op *op,
                        const struct factor_list *factors, uint32_t mesh,
                        const struct op_split *split, sharding_id *out_operands,
                        sharding_id *out_results, struct strbuf *why);

/* The way back: the split that gives values these shardings (canonical; NULL: not known), if there
 * is one. Where several could be meant, attempts 0, 1, ... give one each, until false; whether one
 * is right op_split_shardings tells. Splits live in the arena. */
bool op_split_recover(const struct function *f, const struct op *op,
                      const struct factor_list *factors, uint32_t mesh,
                      const struct sharding *const *operands, const struct sharding *const *results,
                      uint32_t attempt, struct arena *arena, struct op_split *out);

#endif
