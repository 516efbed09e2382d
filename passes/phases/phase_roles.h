/* SPDX-License-Identifier: Apache-2.0 */
/* What the ports of a decoder are for: tokens, mask, positions, logits, and the caches that come in
 * as past and go out as present. By their names (phase_role.def) or as asked for, then by their
 * types. */
#ifndef SINTER_PASSES_PHASE_ROLES_H
#define SINTER_PASSES_PHASE_ROLES_H

#include "ir/graph.h"

#define PORT_NONE UINT32_MAX

enum phase_role { PHASE_TOKENS, PHASE_MASK, PHASE_POSITIONS, PHASE_LOGITS, PHASE_ROLES };

struct phase_state {
  uint32_t past, present; /* an input and an output of the entry */
  uint32_t axis;          /* of its rows */
};

struct phase_roles {
  uint32_t port[PHASE_ROLES]; /* an input (logits: an output), or PORT_NONE */
  VEC(struct phase_state) states;
  dim batch;
  uint32_t sequence, past; /* symbols: tokens of a run, rows of the caches before it */
  dim total;               /* the mask's columns; DIM_NONE without a mask */
};

/* `asked`: "tokens=ids,mask=m,positions=p,logits=y,state=past:present", or NULL: any of them in
 * place of what names say; states that are asked for are all there are. False, with a reason, where
 * the entry is no decoder with caches; *out_wrong is set where what was asked for names no port. */
bool phase_roles_find(const struct entry *e, const struct function *f, const char *asked,
                      struct phase_roles *out, struct strbuf *why, bool *out_wrong);
void phase_roles_deinit(struct phase_roles *r);

#endif
