/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A decoder with a cache on one rank and on several: decode_ranks ONE.sinter SEVERAL.sinter [FIRST
 * LAST STEPS]. For prompts of FIRST to LAST tokens (1 to 70), alone and in a batch of three rows of
 * which two are padded on the left, prefill and STEPS (32) decode steps; the logits may differ by
 * rounding only, and the best token must be the same, unless two are as good as equal. The token of
 * one rank is the next input of both. Inputs are known by name: input_ids, attention_mask,
 * position_ids, and past values in the order of the outputs after the logits.
 */
#include "include/sinter/runtime.h"

#include <math.h>
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

/* The best token of the last place of a row. */
static int64_t best_of(const sinter_tensor *logits, int64_t row, float *out_best, float *out_gap) {
  int64_t n = logits->dims[1], vocabulary = logits->dims[2], best = 0;
  const float *x = (const float *)logits->data + (row * n + n - 1) * vocabulary;
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
static void compare(const struct side *a, const struct side *b, int64_t batch, int64_t prompt,
                    int64_t step) {
  int64_t n = a->outputs[0].dims[1], vocabulary = a->outputs[0].dims[2];
  for (int64_t row = 0; row < batch; row++) {
    float best, other, gap, unused;
    int64_t token = best_of(&a->outputs[0], row, &best, &gap);
    int64_t theirs = best_of(&b->outputs[0], row, &other, &unused);
    double most = 1e-6, difference = 0;
    for (int64_t i = 0; i < vocabulary; i++) {
      size_t at = (size_t)((row * n + n - 1) * vocabulary + i);
      double x = ((float *)a->outputs[0].data)[at], y = ((float *)b->outputs[0].data)[at];
      most = fmax(most, fabs(x));
      difference = isnan(y) ? INFINITY : fmax(difference, fabs(x - y));
    }
    worst = fmax(worst, difference / most);
    compared++;
    near_ties += token != theirs;
    if (difference / most > 1e-4 || (token != theirs && gap > 2 * difference)) {
      fprintf(stderr,
              "prompt of %lld, row %lld of %lld, step %lld: token %lld and %lld, logits differ by "
              "%g of %g\n",
              (long long)prompt, (long long)row, (long long)batch, (long long)step,
              (long long)token, (long long)theirs, difference, most);
      exit(1);
    }
  }
}

static void try_prompt(struct side *a, struct side *b, int64_t batch, int64_t prompt,
                       int64_t steps) {
  int64_t n = prompt;
  for (int64_t row = 0; row < batch; row++) {
    int64_t pad = row ? (prompt - 1) * row / batch : 0;
    for (int64_t i = 0; i < n; i++) {
      ids[row * n + i] = i < pad ? 0 : 32 + (i * 37 + row * 11 + prompt * 7) % 90;
      positions[row * n + i] = i < pad ? 0 : i - pad;
    }
  }
  for (int64_t step = 0; step <= steps; step++) {
    int64_t total = prompt + step;
    for (int64_t row = 0; row < batch; row++)
      for (int64_t i = 0; i < total; i++)
        mask[row * total + i] = i >= (row ? (prompt - 1) * row / batch : 0);
    run_side(a, batch, n, total, step == 0);
    run_side(b, batch, n, total, step == 0);
    compare(a, b, batch, prompt, step);
    n = 1;
    for (int64_t row = 0; row < batch; row++) {
      float unused[2];
      ids[row] = best_of(&a->outputs[0], row, &unused[0], &unused[1]);
      positions[row] = total - (row ? (prompt - 1) * row / batch : 0);
    }
  }
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
  for (long prompt = first; prompt <= last; prompt++)
    for (int64_t batch = 1; batch <= BATCH; batch += BATCH - 1)
      try_prompt(&a, &b, batch, prompt, steps);
  printf("%llu rows of logits: at most %.2g of the largest apart, %llu near ties\n",
         (unsigned long long)compared, worst, (unsigned long long)near_ties);
  close_side(&a);
  close_side(&b);
  return 0;
}
