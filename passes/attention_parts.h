/* SPDX-License-Identifier: Apache-2.0 */
/* Inside recognise_attention: what the walk has found so far, and the op made of it. */
#ifndef SINTER_PASSES_ATTENTION_PARTS_H
#define SINTER_PASSES_ATTENTION_PARTS_H

#include "passes/affine.h"
#include "passes/rewrite.h"

#define MAX_BIASES 4

/* A bias: a value, or a mask that puts `low` where it is off (on: where it is true). */
struct bias_part {
  value_id value;
  double factor; /* of all that came after it */
  bool is_mask, keep_where_true;
  double low;
};

struct parts {
  struct rewriter *w;
  struct affines *affines;
  const struct op *pv; /* the last contract */
  uint32_t p_side;     /* which of its operands are the probabilities */
  uint32_t n_biases;
  struct bias_part biases[MAX_BIASES];
  double factor;  /* of the scores, from the walk's place to the softmax or the soft cap */
  double softcap; /* 0: none */
  bool has_heads; /* the scores were seen with four dims: */
  dim batch, heads;
  value_id scores; /* the first contract's result */
};

void parts_init(struct parts *p, struct rewriter *w, struct affines *a, const struct op *pv,
                uint32_t p_side);
/* False where there are too many. */
bool parts_add_bias(struct parts *p, value_id v);
bool parts_add_mask(struct parts *p, value_id mask, bool keep_where_true, double low);
/* The scores pass through a reshape to v: of batch and heads only. */
bool parts_note_view(struct parts *p, value_id v);
/* v is the product of q and k. */
bool parts_take_scores(struct parts *p, value_id v);
/* The attention in the shape of the last contract's result, or VALUE_NONE where it does not fit. */
value_id parts_build(struct parts *p);

#endif
