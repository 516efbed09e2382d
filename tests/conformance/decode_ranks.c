/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A decoder with a cache on one rank and on several: decode_ranks ONE.sinter SEVERAL.sinter [FIRST
 * LAST STEPS]. For prompts of FIRST to LAST tokens (1 to 70), alone and in a batch of three rows of
 * which two are padded on the left, a first run and STEPS (32) decode steps: of the one's `main`,
 * of the several's `main`, and, where it has them, of its `prefill` (in two pieces where the prompt
 * is long enough) and `decode` with states. The logits may differ by rounding only, and the best
 * token must be the same, unless two are as good as equal. The token of one rank is the next input
 * of all. Of the last, bytes counted must be those that the plan expects. Inputs are known by name:
 * input_ids, attention_mask, position_ids, and past values in the order of the outputs after the
 * logits.
 */
#include "include/sinter/runtime.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PORTS = 256, MOST_TOKENS = 256, BATCH = 3 };

struct side {
  sinter_engine *engine;
  sinter_session *session;
  sinter_tensor inputs[MOST_PORTS], outputs[MOST_PORTS];
  sinter_tensor past[MOST_PORTS]; /* copies, as outputs are the session's until its next run */
  uint32_t n_inputs, n_outputs;
};

/* The several's states: whether it has prefill and decode. */
static bool with_states;
static sinter_session *states;
static uint64_t exchanges, received;

static int64_t ids[BATCH * MOST_TOKENS], mask[BATCH * MOST_TOKENS], positions[BATCH * MOST_TOKENS];
static double worst; /* difference over the largest logit */
static uint64_t compared, near_ties;

static void must(int failed, const char *what) {
  if (!failed)
    return;
  fprintf(stderr, "%s: %s\n", what, sinter_last_error());
  exit(1);
}

static void open_side(struct side *s, const char *path) {
  must(sinter_engine_open(path, NULL, &s->engine), path);
  must(sinter_session_create(s->engine, NULL, &s->session), path);
  s->n_inputs = sinter_engine_input_count(s->engine, 0);
  s->n_outputs = sinter_engine_output_count(s->engine, 0);
  must(s->n_inputs > MOST_PORTS || s->n_outputs > MOST_PORTS, "too many inputs or outputs");
}

static void close_side(struct side *s) {
  sinter_session_destroy(s->session);
  sinter_engine_close(s->engine);
  for (uint32_t i = 0; i < MOST_PORTS; i++)
    free(s->past[i].data);
}

static sinter_tensor numbers(int64_t *data, int64_t batch, int64_t n) {
  return (sinter_tensor){.dtype = SINTER_I64,
                         .rank = 2,
                         .dims = {batch, n},
                         .data = data,
                         .bytes = (uint64_t)(batch * n) * 8};
}

/* A past of no tokens: the dim that the engine does not fix and that is no batch. */
static sinter_tensor empty_past(const sinter_port *port, int64_t batch) {
  sinter_tensor t = {.dtype = port->dtype, .rank = port->rank};
  for (uint32_t i = 0; i < port->rank; i++)
    t.dims[i] = port->dims[i].value >= 0 ? port->dims[i].value : i ? 0 : batch;
  return t;
}

static void run_side(struct side *s, int64_t batch, int64_t n, int64_t total, int first) {
  uint32_t past = 0;
  for (uint32_t i = 0; i < s->n_inputs; i++) {
    const sinter_port *port = sinter_engine_input(s->engine, 0, i);
    if (!strcmp(port->name, "input_ids"))
      s->inputs[i] = numbers(ids, batch, n);
    else if (!strcmp(port->name, "attention_mask"))
      s->inputs[i] = numbers(mask, batch, total);
    else if (!strcmp(port->name, "position_ids"))
      s->inputs[i] = numbers(positions, batch, n);
    else
      s->inputs[i] = first ? empty_past(port, batch) : s->past[past++];
  }
  memset(s->outputs, 0, sizeof s->outputs);
  must(sinter_session_run(s->session, sinter_engine_entry_name(s->engine, 0), s->inputs,
                          s->n_inputs, s->outputs, s->n_outputs),
       "run");
  for (uint32_t i = 1; i < s->n_outputs; i++) {
    void *copy = malloc(s->outputs[i].bytes ? s->outputs[i].bytes : 1);
    memcpy(copy, s->outputs[i].data, s->outputs[i].bytes);
    free(s->past[i - 1].data);
    s->past[i - 1] = s->outputs[i];
    s->past[i - 1].data = copy;
  }
}

/* Of [batch, n, vocabulary] those of the last place; of [batch, vocabulary] all there are. */
static const float *last_logits(const sinter_tensor *logits, int64_t row) {
  int64_t n = logits->rank == 3 ? logits->dims[1] : 1, vocabulary = logits->dims[logits->rank - 1];
  return (const float *)logits->data + (row * n + n - 1) * vocabulary;
}

/* The best token of the last place of a row. */
static int64_t best_of(const sinter_tensor *logits, int64_t row, float *out_best, float *out_gap) {
  int64_t vocabulary = logits->dims[logits->rank - 1], best = 0;
  const float *x = last_logits(logits, row);
  float second = -INFINITY;
  for (int64_t i = 1; i < vocabulary; i++)
    if (x[i] > x[best])
      second = x[best], best = i;
    else if (x[i] > second)
      second = x[i];
  *out_best = x[best];
  *out_gap = x[best] - second;
  return best;
}

/* Logits of the last place in all rows, where no padding is. */
static void compare(const sinter_tensor *a, const sinter_tensor *b, const char *what, int64_t batch,
                    int64_t prompt, int64_t step) {
  int64_t vocabulary = a->dims[a->rank - 1];
  for (int64_t row = 0; row < batch; row++) {
    float best, other, gap, unused;
    int64_t token = best_of(a, row, &best, &gap);
    int64_t theirs = best_of(b, row, &other, &unused);
    const float *x = last_logits(a, row), *y = last_logits(b, row);
    double most = 1e-6, difference = 0;
    for (int64_t i = 0; i < vocabulary; i++) {
      most = fmax(most, fabs((double)x[i]));
      difference = isnan(y[i]) ? INFINITY : fmax(difference, fabs((double)x[i] - (double)y[i]));
    }
    worst = fmax(worst, difference / most);
    compared++;
    near_ties += token != theirs;
    if (difference / most > 1e-4 || (token != theirs && gap > 2 * difference)) {
      fprintf(stderr,
              "%s: prompt of %lld, row %lld of %lld, step %lld: token %lld and %lld, logits differ "
              "by %g of %g\n",
              what, (long long)prompt, (long long)row, (long long)batch, (long long)step,
              (long long)token, (long long)theirs, difference, most);
      exit(1);
    }
  }
}

/* ---- with states ---- */

static int64_t padding(int64_t prompt, int64_t row, int64_t batch) {
  return row ? (prompt - 1) * row / batch : 0;
}

/* What was exchanged in the last run is what the plan says. */
static void check_exchanges(const char *entry) {
  for (uint32_t i = 0; i < sinter_session_exchange_count(states); i++) {
    sinter_exchange e = {.struct_size = sizeof e};
    must(sinter_session_get_exchange(states, i, &e), entry);
    if (e.times && e.bytes != e.expected) {
      fprintf(stderr, "%s: exchange %u (%s at '%s') received %llu B, the plan says %llu B\n", entry,
              i, e.kind, e.node, (unsigned long long)e.bytes, (unsigned long long)e.expected);
      exit(1);
    }
    exchanges += e.times;
    received += e.bytes;
  }
}

static void run_states(const char *entry, const int64_t *tokens, int64_t *counts, int64_t batch,
                       int64_t n, sinter_tensor *out) {
  sinter_tensor inputs[2] = {numbers((int64_t *)tokens, batch, n), numbers(counts, batch, 1)};
  inputs[1].rank = 1;
  *out = (sinter_tensor){0};
  must(sinter_session_run(states, entry, inputs, counts ? 2 : 1, out, 1), entry);
  check_exchanges(entry);
}

/* A row's tokens without its padding; the first piece has about a third of them. */
static void prefill(int64_t batch, int64_t prompt, sinter_tensor *out) {
  static int64_t piece[BATCH * MOST_TOKENS];
  int64_t counts[BATCH], first = prompt > 4 ? prompt / 3 : 0;
  must(sinter_session_reset(states), "reset");
  for (int64_t from = 0, n = first ? first : prompt; from < prompt; from += n, n = prompt - from) {
    for (int64_t row = 0; row < batch; row++) {
      int64_t pad = padding(prompt, row, batch), have = prompt - pad;
      /* What comes first is short in padded rows, so that all end in the last piece. */
      int64_t done = first * have / prompt, begin = from ? done : 0,
              end = from || !first ? have : done;
      counts[row] = end - begin;
      for (int64_t i = 0; i < n; i++)
        piece[row * n + i] = i < end - begin ? ids[row * prompt + pad + begin + i] : 0;
    }
    run_states("prefill", piece, counts, batch, n, out);
  }
}

static void try_prompt(struct side *a, struct side *b, int64_t batch, int64_t prompt,
                       int64_t steps) {
  int64_t n = prompt;
  sinter_tensor logits = {0};
  for (int64_t row = 0; row < batch; row++) {
    int64_t pad = padding(prompt, row, batch);
    for (int64_t i = 0; i < n; i++) {
      ids[row * n + i] = i < pad ? 0 : 32 + (i * 37 + row * 11 + prompt * 7) % 90;
      positions[row * n + i] = i < pad ? 0 : i - pad;
    }
  }
  for (int64_t step = 0; step <= steps; step++) {
    int64_t total = prompt + step;
    for (int64_t row = 0; row < batch; row++)
      for (int64_t i = 0; i < total; i++)
        mask[row * total + i] = i >= padding(prompt, row, batch);
    run_side(a, batch, n, total, step == 0);
    run_side(b, batch, n, total, step == 0);
    compare(&a->outputs[0], &b->outputs[0], "main", batch, prompt, step);
    if (with_states && step == 0)
      prefill(batch, prompt, &logits);
    else if (with_states)
      run_states("decode", ids, NULL, batch, 1, &logits);
    if (with_states)
      compare(&a->outputs[0], &logits, step ? "decode" : "prefill", batch, prompt, step);
    n = 1;
    for (int64_t row = 0; row < batch; row++) {
      float unused[2];
      ids[row] = best_of(&a->outputs[0], row, &unused[0], &unused[1]);
      positions[row] = total - padding(prompt, row, batch);
    }
  }
}

static void open_states(const struct side *b) {
  bool prefill_there = false, decode_there = false;
  for (uint32_t i = 0; i < sinter_engine_entry_count(b->engine); i++) {
    prefill_there |= !strcmp(sinter_engine_entry_name(b->engine, i), "prefill");
    decode_there |= !strcmp(sinter_engine_entry_name(b->engine, i), "decode");
  }
  with_states = prefill_there && decode_there;
  if (with_states)
    must(sinter_session_create(b->engine, NULL, &states), "states");
}

int main(int argc, char **argv) {
  static struct side a, b;
  if (argc < 3) {
    fprintf(stderr, "usage: decode_ranks ONE.sinter SEVERAL.sinter [FIRST LAST STEPS]\n");
    return 2;
  }
  long first = argc > 3 ? atol(argv[3]) : 1, last = argc > 4 ? atol(argv[4]) : 70,
       steps = argc > 5 ? atol(argv[5]) : 32;
  must(first < 1 || last + steps >= MOST_TOKENS, "at most 255 tokens");
  open_side(&a, argv[1]);
  open_side(&b, argv[2]);
  open_states(&b);
  for (long prompt = first; prompt <= last; prompt++)
    for (int64_t batch = 1; batch <= BATCH; batch += BATCH - 1)
      try_prompt(&a, &b, batch, prompt, steps);
  printf("%llu rows of logits: at most %.2g of the largest apart, %llu near ties\n",
         (unsigned long long)compared, worst, (unsigned long long)near_ties);
  if (with_states)
    printf("with states: %llu exchanges, %llu B received, as the plan says\n",
           (unsigned long long)exchanges, (unsigned long long)received);
  sinter_session_destroy(states);
  close_side(&a);
  close_side(&b);
  return 0;
}
