/* SPDX-License-Identifier: Apache-2.0 */
/* Factors: the loop dimensions of an op's own definition, and how splitting one over ranks splits
 * its operands and results (DESIGN: Shardings). Every parallelism is a split of one factor.
 *
 * A parallel factor leaves each rank with its part of the results. A contracted one leaves results
 * of full size that are partial, and the partial's kind says how they merge. A value that a factor
 * does not map to is needed whole by every rank (an operand), or is the same on all (a result of a
 * parallel factor with no dim for it does not exist). */
#ifndef SINTER_IR_FACTOR_H
#define SINTER_IR_FACTOR_H

#include "ir/graph.h"
#include "ir/sharding.h"

enum factor_kind { FACTOR_PARALLEL, FACTOR_CONTRACTED };

#define FACTOR_WHOLE UINT8_MAX

/* The dim of a value that a factor walks. Seen from outside in, the dim is outer × the factor's
 * extent × granule elements; outer is above 1 for query heads within their group. */
struct factor_map {
  uint8_t dim; /* FACTOR_WHOLE: none */
  int64_t outer, granule;
};

struct factor {
  const char *name; /* its role: "batch", "m", "head", ...; `index` tells equals apart */
  uint32_t index;
  enum factor_kind kind;
  enum partial_kind partial; /* of a contracted one */
  dim extent;
  struct factor_map *operands, *results; /* one each */
};

struct factor_list {
  struct arena *arena;
  uint32_t n_operands, n_results;
  VEC(struct factor) factors; /* vec_deinit by the owner; the maps live in the arena */
};

/* The factors of an op; none where nothing of it can be split. `out` is emptied first. */
void factors_of(const struct function *f, const struct op *op, struct arena *arena,
                struct factor_list *out);
/* The factor of that role and number; NULL. */
const struct factor *factor_find(const struct factor_list *list, const char *name, uint32_t index);

/* How the mapped dim is split where the factor, of `extent` units, is split over the axes in an
 * order (`block` in units, for SPLIT_INTERLEAVED). False where no dim_split says that: within an
 * outer factor only even blocks can be. `parts` is the number of ranks on the axes. */
bool factor_dim_split(const struct factor_map *map, int64_t extent, const struct axis_ref *axes,
                      uint32_t n_axes, int64_t parts, enum split_order order, int64_t block,
                      struct dim_split *out);

/* ---- for the hooks ---- */

/* A new factor that maps to nothing yet. The pointer is good until the next call. */
struct factor *factor_add(struct factor_list *out, const char *name, dim extent);
struct factor *factor_add_contracted(struct factor_list *out, const char *name, dim extent,
                                     enum partial_kind kind);
void factor_operand(struct factor *x, uint32_t operand, uint32_t dim);
void factor_result(struct factor *x, uint32_t result, uint32_t dim);
/* Drops the factor added last: a value broadcasts over it in a way that is not known. */
void factor_drop(struct factor_list *out);
/* Maps an operand's dim that is `size` or broadcasts (1). False where neither is provable. */
bool factor_broadcast(const struct function *f, const struct op *op, struct factor *x,
                      uint32_t operand, uint32_t d, dim size);
/* A parallel factor for each dim of the result where keep has its bit, in which every operand
 * either has the dim at the same place or broadcasts. For ops whose operands and results have one
 * rank. */
void factors_same_dims(const struct function *f, const struct op *op, uint32_t keep,
                       struct factor_list *out);

#endif
