/* SPDX-License-Identifier: Apache-2.0 */
/* Generation; see generate.h. */
#include "cli/generate.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

struct generator {
  struct generation *g;
  sinter_session *session;
  bool states;           /* the engine has prefill and decode */
  sinter_dtype dtype;    /* of tokens */
  uint32_t n_outputs[2]; /* of prefill (or main), of decode */
  uint32_t logits[2];    /* which of them */
  sinter_tensor *outputs;
  void *tokens;    /* the next run's, [rows, n] */
  int64_t *counts; /* per row */
  bool *done;      /* per row */
  uint64_t draws;
};

/* ---- the engine ---- */

static bool find_entry(const sinter_engine *e, const char *name, uint32_t *out) {
  for (uint32_t i = 0; i < sinter_engine_entry_count(e); i++) {
    if (strcmp(sinter_engine_entry_name(e, i), name))
      continue;
    *out = i;
    return true;
  }
  return false;
}

static bool is_float(sinter_dtype t) {
  return t == SINTER_F32 || t == SINTER_F16 || t == SINTER_BF16 || t == SINTER_F64;
}

/* The output that holds logits: the first of floats and that rank. */
static bool find_logits(const sinter_engine *e, uint32_t entry, uint32_t rank, uint32_t *out) {
  for (uint32_t i = 0; i < sinter_engine_output_count(e, entry); i++) {
    const sinter_port *port = sinter_engine_output(e, entry, i);
    if (!is_float(port->dtype) || port->rank != rank)
      continue;
    *out = i;
    return true;
  }
  return false;
}

static bool takes_tokens(const sinter_engine *e, uint32_t entry, uint32_t n, sinter_dtype *out) {
  const sinter_port *port = sinter_engine_input(e, entry, 0);
  if (sinter_engine_input_count(e, entry) != n || port->rank != 2)
    return false;
  *out = port->dtype;
  return port->dtype == SINTER_I64 || port->dtype == SINTER_I32;
}

static const char *examine(struct generator *r, const sinter_engine *e) {
  uint32_t prefill = 0, decode = 0;
  sinter_dtype same;
  r->states = find_entry(e, "prefill", &prefill) && find_entry(e, "decode", &decode);
  if (!r->states && !find_entry(e, "main", &prefill))
    return "it has no entry point 'main'";
  if (!takes_tokens(e, prefill, r->states ? 2 : 1, &r->dtype))
    return r->states ? "its 'prefill' takes more than tokens"
                     : "it has no 'prefill' and 'decode', and its 'main' takes more than tokens";
  if (!find_logits(e, prefill, r->states ? 2 : 3, &r->logits[0]))
    return "it gives no logits";
  r->n_outputs[0] = sinter_engine_output_count(e, prefill);
  if (!r->states)
    return NULL;
  if (!takes_tokens(e, decode, 1, &same) || same != r->dtype)
    return "its 'decode' takes more than tokens";
  r->n_outputs[1] = sinter_engine_output_count(e, decode);
  return find_logits(e, decode, 2, &r->logits[1]) ? NULL : "its 'decode' gives no logits";
}

/* ---- runs ---- */

static void put_token(struct generator *r, int64_t place, int64_t token) {
  if (r->dtype == SINTER_I64)
    ((int64_t *)r->tokens)[place] = token;
  else
    ((int32_t *)r->tokens)[place] = (int32_t)token;
}

static sinter_status run(struct generator *r, const char *entry, int64_t n, uint32_t kind) {
  uint64_t size = r->dtype == SINTER_I64 ? 8 : 4, rows = r->g->rows;
  sinter_tensor inputs[2] = {
      {.dtype = r->dtype,
       .rank = 2,
       .dims = {r->g->rows, n},
       .data = r->tokens,
       .bytes = rows * (uint64_t)n * size},
      {.dtype = SINTER_I64, .rank = 1, .dims = {r->g->rows}, .data = r->counts, .bytes = rows * 8}};
  uint32_t n_inputs = r->states && kind == 0 ? 2 : 1;
  memset(r->outputs, 0, r->n_outputs[kind] * sizeof *r->outputs);
  return sinter_session_run(r->session, entry, inputs, n_inputs, r->outputs, r->n_outputs[kind]);
}

/* A row's next token; of [batch, n, vocabulary] it is behind the row's last. */
static void take_token(struct generator *r, uint32_t row, const sinter_tensor *logits,
                       int64_t place) {
  struct generation *g = r->g;
  if (r->done[row])
    return;
  int64_t token = sample_token(&g->sampler, logits, place, r->draws++);
  vec_push(&g->results[row], token);
  r->done[row] = token == g->eos || g->results[row].len >= g->most;
}

static bool all_done(const struct generator *r) {
  for (uint32_t i = 0; i < r->g->rows; i++)
    if (!r->done[i])
      return false;
  return true;
}

/* ---- with states ---- */

static uint64_t longest(const struct generation *g) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < g->rows; i++)
    n = g->prompts[i].len > n ? g->prompts[i].len : n;
  return n;
}

/* Tokens [from, from + n) of each prompt. A row whose prompt ends in this piece has its first token
 * from it. */
static sinter_status prefill_piece(struct generator *r, uint64_t from, uint64_t n) {
  struct generation *g = r->g;
  for (uint32_t i = 0; i < g->rows; i++) {
    uint64_t len = g->prompts[i].len, left = len > from ? len - from : 0;
    r->counts[i] = (int64_t)(left < n ? left : n);
    for (uint64_t k = 0; k < n; k++)
      put_token(r, (int64_t)(i * n + k), k < left ? g->prompts[i].data[from + k] : 0);
  }
  sinter_status st = run(r, "prefill", (int64_t)n, 0);
  for (uint32_t i = 0; i < g->rows && !st; i++) {
    uint64_t len = g->prompts[i].len;
    if (len > from && len <= from + n)
      take_token(r, i, &r->outputs[r->logits[0]], i);
  }
  return st;
}

static sinter_status with_states(struct generator *r) {
  struct generation *g = r->g;
  uint64_t n = longest(g), piece = g->chunk && g->chunk < n ? g->chunk : n;
  sinter_status st = sinter_session_reserve(r->session, g->rows, (int64_t)(n + g->most));
  if (!st)
    st = sinter_session_reset(r->session);
  double start = clock_now_s();
  for (uint64_t at = 0; at < n && !st; at += piece)
    st = prefill_piece(r, at, n - at < piece ? n - at : piece);
  g->prefill_s = clock_now_s() - start;
  start = clock_now_s();
  while (!st && !all_done(r)) {
    for (uint32_t i = 0; i < g->rows; i++)
      put_token(r, i, vec_last(&g->results[i]));
    st = run(r, "decode", 1, 1);
    for (uint32_t i = 0; i < g->rows && !st; i++)
      take_token(r, i, &r->outputs[r->logits[1]], i);
    g->steps++;
  }
  g->decode_s = clock_now_s() - start;
  return st;
}

/* ---- without ---- */

/* All tokens of each row, those of short rows followed by zeros, which what is causal does not see.
 */
static sinter_status main_step(struct generator *r) {
  struct generation *g = r->g;
  uint64_t n = 0;
  for (uint32_t i = 0; i < g->rows; i++) {
    uint64_t len = g->prompts[i].len + g->results[i].len;
    n = len > n ? len : n;
  }
  for (uint32_t i = 0; i < g->rows; i++) {
    const tokens *a = &g->prompts[i], *b = &g->results[i];
    for (uint64_t k = 0; k < n; k++)
      put_token(r, (int64_t)(i * n + k),
                k < a->len            ? a->data[k]
                : k - a->len < b->len ? b->data[k - a->len]
                                      : 0);
  }
  sinter_status st = run(r, "main", (int64_t)n, 0);
  for (uint32_t i = 0; i < g->rows && !st; i++)
    take_token(r, i, &r->outputs[r->logits[0]],
               (int64_t)(i * n + g->prompts[i].len + g->results[i].len) - 1);
  return st;
}

static sinter_status without_states(struct generator *r) {
  struct generation *g = r->g;
  double start = clock_now_s();
  sinter_status st = main_step(r);
  g->prefill_s = clock_now_s() - start;
  start = clock_now_s();
  for (; !st && !all_done(r); g->steps++)
    st = main_step(r);
  g->decode_s = clock_now_s() - start;
  return st;
}

sinter_status generate(sinter_engine *engine, sinter_session *session, struct generation *g,
                       const char **out_why) {
  struct generator r = {.g = g, .session = session};
  *out_why = examine(&r, engine);
  if (*out_why)
    return SINTER_UNSUPPORTED;
  uint64_t room = (longest(g) + g->most) * g->rows;
  uint32_t n = r.n_outputs[0] > r.n_outputs[1] ? r.n_outputs[0] : r.n_outputs[1];
  r.tokens = mem_calloc(room ? room : 1, sizeof(int64_t));
  r.counts = mem_calloc(g->rows, sizeof *r.counts);
  r.done = mem_calloc(g->rows, sizeof *r.done);
  r.outputs = mem_calloc(n, sizeof *r.outputs);
  for (uint32_t i = 0; i < g->rows; i++) {
    g->prompt_tokens += g->prompts[i].len;
    r.done[i] = g->most == 0;
  }
  sinter_status st = SINTER_OK;
  if (g->most)
    st = r.states ? with_states(&r) : without_states(&r);
  sinter_session_stats stats = {.struct_size = sizeof stats};
  if (!st)
    st = sinter_session_get_stats(session, &stats);
  g->graphs_made = stats.graphs_made;
  g->graphs_launched = stats.graphs_launched;
  mem_free(r.tokens);
  mem_free(r.counts);
  mem_free(r.done);
  mem_free(r.outputs);
  return st;
}
