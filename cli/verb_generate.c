/* SPDX-License-Identifier: Apache-2.0 */
/* sinter generate: tokens that follow a prompt. The new ids, or with --bytes the text, go to
 * standard output, a line per prompt; times to standard error. */
#include "cli/generate.h"
#include "cli/host_tensor.h"
#include "cli/model_engine.h"
#include "cli/option_value.h"
#include "cli/ranked.h"

#include <stdio.h>
#include <string.h>

/* "72,101,108" */
static bool parse_tokens(const char *text, tokens *out) {
  while (*text) {
    char number[24];
    size_t n = strcspn(text, ",");
    uint64_t x;
    if (n == 0 || n >= sizeof number)
      return false;
    memcpy(number, text, n);
    number[n] = 0;
    if (!value_count(number, &x) || x > INT32_MAX)
      return false;
    vec_push(out, (int64_t)x);
    text += n;
    if (*text && !*++text)
      return false;
  }
  return out->len > 0;
}

static status take_prompts(struct invocation *v, struct generation *g) {
  const struct option_value *given = &v->options.values[OPT_TOKENS];
  if (!given->count)
    return diag_report(&v->diags, DIAG_E0803, NULL, "write --tokens 72,101,108",
                       "'sinter generate' needs the prompt's tokens");
  g->rows = given->count;
  g->prompts = ARENA_ARRAY(&v->arena, tokens, given->count);
  g->results = ARENA_ARRAY(&v->arena, tokens, given->count);
  for (uint32_t i = 0; i < given->count; i++)
    if (!parse_tokens(given->texts[i], &g->prompts[i]))
      diag_report(&v->diags, DIAG_E0802, NULL, "write numbers with commas between them",
                  "'--tokens %s' is not understood", given->texts[i]);
  return diags_status(&v->diags);
}

static void take_options(const struct options *o, struct generation *g) {
  g->sampler = (struct sampler){.temperature = option_real(o, OPT_TEMPERATURE, 0),
                                .top_k = option_number(o, OPT_TOP_K, 0),
                                .top_p = option_real(o, OPT_TOP_P, 1),
                                .seed = option_number(o, OPT_SEED, 0)};
  g->most = option_number(o, OPT_MAX_NEW_TOKENS, 64);
  g->chunk = option_number(o, OPT_PREFILL_CHUNK, 0);
  g->eos = option_given(o, OPT_EOS) ? (int64_t)option_number(o, OPT_EOS, 0) : -1;
}

/* ---- the report ---- */

static void print_ids(const tokens *t) {
  for (uint32_t i = 0; i < t->len; i++)
    printf(i ? ",%lld" : "%lld", (long long)t->data[i]);
  putchar('\n');
}

/* A token is a byte; one that is none shows as U+FFFD. */
static void print_bytes(const tokens *t) {
  for (uint32_t i = 0; i < t->len; i++) {
    if (t->data[i] < 256)
      putchar((int)t->data[i]);
    else
      fputs("\xef\xbf\xbd", stdout);
  }
  putchar('\n');
}

static void report_json(struct json *j, const struct generation *g) {
  json_key(j, "tokens");
  json_array_begin(j);
  for (uint32_t i = 0; i < g->rows; i++) {
    json_array_begin(j);
    for (uint32_t k = 0; k < g->results[i].len; k++)
      json_i64(j, g->results[i].data[k]);
    json_array_end(j);
  }
  json_array_end(j);
  json_key(j, "prompt_tokens"), json_u64(j, g->prompt_tokens);
  json_key(j, "prefill_s"), json_f64(j, g->prefill_s);
  json_key(j, "decode_steps"), json_u64(j, g->steps);
  json_key(j, "decode_s"), json_f64(j, g->decode_s);
  json_key(j, "graphs_made"), json_u64(j, g->graphs_made);
  json_key(j, "graphs_launched"), json_u64(j, g->graphs_launched);
}

static void report(struct invocation *v, const struct generation *g) {
  if (v->as_json) {
    report_json(&v->json, g);
    return;
  }
  for (uint32_t i = 0; i < g->rows; i++) {
    if (option_given(&v->options, OPT_BYTES))
      print_bytes(&g->results[i]);
    else
      print_ids(&g->results[i]);
  }
  fflush(stdout);
  if (sinter_world_rank(v->world))
    return;
  fprintf(stderr, "prefill: %llu tokens in %.3f ms\n", (unsigned long long)g->prompt_tokens,
          g->prefill_s * 1e3);
  fprintf(stderr, "decode: %llu steps in %.3f ms", (unsigned long long)g->steps, g->decode_s * 1e3);
  if (g->steps)
    fprintf(stderr, ", %.3f ms each", g->decode_s * 1e3 / (double)g->steps);
  fputc('\n', stderr);
  if (g->graphs_made)
    fprintf(stderr, "graphs: %llu recorded, %llu launched\n", (unsigned long long)g->graphs_made,
            (unsigned long long)g->graphs_launched);
}

static status run(struct invocation *v, sinter_engine *engine,
                  const sinter_session_options *options, struct generation *g) {
  sinter_session *session = NULL;
  const char *why = NULL;
  sinter_status st = sinter_session_create(engine, options, &session);
  if (!st)
    st = generate(engine, session, g, &why);
  status s = why ? diag_report(&v->diags, DIAG_E0323, NULL,
                               "SINTER_LOG=phases:1 sinter compile says what is missing",
                               "the engine is no decoder that text can be generated with: %s", why)
                 : runtime_error_to_diags(st, &v->diags);
  sinter_session_destroy(session);
  return s;
}

status verb_generate(struct invocation *v) {
  struct generation g = {0};
  sinter_engine *engine = NULL;
  sinter_session_options options;
  status s = take_prompts(v, &g);
  take_options(&v->options, &g);
  if (!s)
    s = ranked_begin(v, &options);
  if (!s)
    s = engine_for_verb(v, v->options.arguments[0], &engine);
  if (!s)
    s = run(v, engine, &options, &g);
  if (!s)
    report(v, &g);
  for (uint32_t i = 0; i < g.rows; i++) {
    vec_deinit(&g.prompts[i]);
    vec_deinit(&g.results[i]);
  }
  sinter_engine_close(engine);
  return s;
}
