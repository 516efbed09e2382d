/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that run ranks: as threads, or as one of the processes that a launcher started. */
#ifndef SINTER_CLI_RANKED_H
#define SINTER_CLI_RANKED_H

#include "cli/verb.h"
#include "sinter/runtime.h"

/* Of which rank this process is; E0802 for a --world that cannot be read. */
struct ranked {
  bool several; /* processes */
  uint32_t rank, size;
  const char *meeting; /* NULL: the launcher's */
};

/* Looks at --world and the environment. Errors: E0802, E0710. */
status ranked_find(struct invocation *v, struct ranked *out);

/* What is for people to see is printed by rank 0: the others' standard output goes nowhere. */
void ranked_mute(const struct ranked *r);

/* Joins the world of that name; NULL if there is only this process. Errors: E0709, E0710. */
status ranked_join(const struct ranked *r, const char *name, struct diags *d,
                   sinter_world **out_world);

/* The options of a session: --devices, --threads, --deadline, --check-collectives. */
sinter_session_options ranked_options(const struct options *o, sinter_world *world);

/* For verbs with one session: all of the above. */
status ranked_begin(struct invocation *v, sinter_session_options *out);

#endif
