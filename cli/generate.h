/* SPDX-License-Identifier: Apache-2.0 */
/* Text by a decoder's engine: prompts in, new tokens out. */
#ifndef SINTER_CLI_GENERATE_H
#define SINTER_CLI_GENERATE_H

#include "base/arena.h"
#include "base/vec.h"
#include "cli/sample.h"

#include <stdbool.h>

typedef VEC(int64_t) tokens;

struct generation {
  struct sampler sampler;
  uint64_t most;  /* new tokens per row */
  uint64_t chunk; /* prompts go in by pieces of so many tokens; 0: whole */
  int64_t eos;    /* ends a row; -1: nothing does */
  uint32_t rows;
  tokens *prompts; /* per row; none empty */
  tokens *results; /* per row: the new ones, eos included */

  uint64_t prompt_tokens, steps; /* filled in: tokens of all prompts; runs after the first token */
  double prefill_s, decode_s;
  uint64_t graphs_made, graphs_launched; /* on GPUs: runs recorded, and done by a recording */
};

/* Runs prefill and decode, or, of an engine without them, main, which must take tokens [batch, n]
 * alone and give logits [batch, n, vocabulary], over all that is there each time. Errors, as
 * sinter_last_error has them: those of runs; SINTER_UNSUPPORTED, with *out_why set, for an engine
 * that is no decoder. */
sinter_status generate(sinter_engine *engine, sinter_session *session, struct generation *g,
                       const char **out_why);

#endif
