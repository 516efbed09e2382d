/* SPDX-License-Identifier: Apache-2.0 */
/* One phase of a decoder: its function, built from that of the whole model. */
#ifndef SINTER_PASSES_PHASE_BUILD_H
#define SINTER_PASSES_PHASE_BUILD_H

#include "passes/phases/phase_mask.h"
#include "passes/phases/phase_roles.h"

struct phase {
  const struct function *from; /* the whole model's */
  const struct phase_roles *roles;
  const char *name;
  bool decode; /* one token per row; else `sequence` of them, of which `count` are valid */
  struct affines *affines; /* of `from` */
  dim capacity;            /* a symbol of its own: rows of the states */

  /* Made by phase_build: */
  struct function *to;
  struct builder b;
  struct dim_table *t;
  dim tokens;     /* of a run */
  dim past;       /* the symbol, in `from` */
  dim *by_symbol; /* from's symbols in `to` */
  dim *known;     /* from's symbols in `from`: what is known of them */
  struct phase_mask mask;
  value_id *map;                     /* by value of `from` */
  bool *live;                        /* by op of `from` */
  uint32_t *state_of;                /* by op of `from`: 1 + the state that it makes */
  value_id length, count, positions; /* in `to`: i64 [batch], i64 [batch], i64 [batch, tokens] */
  struct strbuf *why;
};

/* Builds the function, with inputs: those of the model that are no mask, positions or cache, the
 * tokens first; count (not in decode); length; the states. And outputs: logits [batch, ...] of each
 * row's last valid token, other outputs, states. False, with a reason, where that cannot be done;
 * what was built is gone then. */
bool phase_build(struct phase *p, struct strbuf *why);

/* From logits of all tokens to those of the last valid token of each row, computing no more than
 * that from where on nothing else needs the others. phase_tail.c. */
value_id phase_tail(struct phase *p, value_id logits);

#endif
