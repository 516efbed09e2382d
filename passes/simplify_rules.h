/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of simplify, by the op that they replace; simplify.c says what they share. */
#ifndef SINTER_PASSES_SIMPLIFY_RULES_H
#define SINTER_PASSES_SIMPLIFY_RULES_H

#include "passes/affine.h"
#include "passes/rewrite.h"

struct simplify {
  struct affines affines;
  struct uses uses;  /* of before; what was built since has none */
  uint32_t n_values; /* then */
};

static inline struct simplify *simplify_of(const struct rewriter *w) { return w->user; }
/* Whether v had one reader when the pass began. */
bool simplify_used_once(const struct rewriter *w, value_id v);

enum rewrite simplify_map(struct rewriter *w, op_id op);
enum rewrite simplify_view(struct rewriter *w, op_id op);
enum rewrite simplify_gather(struct rewriter *w, op_id op);
/* Small integer tensors, as dim expressions. */
enum rewrite simplify_shape(struct rewriter *w, op_id op);

enum rewrite simplify_contract(struct rewriter *w, op_id id);

#endif
