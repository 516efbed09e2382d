/* SPDX-License-Identifier: Apache-2.0 */
/* Sampling; see sample.h. Candidates are sorted by logit, then by number, so that the outcome does
 * not depend on the machine. */
#include "cli/sample.h"

#include "base/mem.h"
#include "base/philox.h"
#include "cli/host_tensor.h"

#include <math.h>
#include <stdlib.h>

struct candidate {
  double logit, weight;
  int64_t token;
};

static double logit_at(const sinter_tensor *logits, int64_t row, int64_t i) {
  double x = host_tensor_get(logits, (uint64_t)(row * logits->dims[logits->rank - 1] + i));
  return isnan(x) ? -INFINITY : x;
}

static int64_t greatest(const sinter_tensor *logits, int64_t row, int64_t n) {
  int64_t best = 0;
  double most = logit_at(logits, row, 0);
  for (int64_t i = 1; i < n; i++) {
    double x = logit_at(logits, row, i);
    if (x > most) {
      most = x;
      best = i;
    }
  }
  return best;
}

static int compare(const void *a, const void *b) {
  const struct candidate *x = a, *y = b;
  if (x->logit != y->logit)
    return x->logit > y->logit ? -1 : 1;
  return x->token < y->token ? -1 : 1;
}

/* How many of the sorted candidates stay; *out_sum is their weights'. */
static int64_t keep(const struct sampler *s, struct candidate *c, int64_t n, double *out_sum) {
  double all = 0, sum = 0;
  if (s->top_k && s->top_k < (uint64_t)n)
    n = (int64_t)s->top_k;
  for (int64_t i = 0; i < n; i++) {
    /* Of -inf alone, each is as likely. */
    double below = c[i].logit == c[0].logit ? 0 : c[i].logit - c[0].logit;
    c[i].weight = exp(below / s->temperature);
    all += c[i].weight;
  }
  int64_t kept = 0;
  while (kept < n && (kept == 0 || sum < s->top_p * all))
    sum += c[kept++].weight;
  *out_sum = sum;
  return kept;
}

int64_t sample_token(const struct sampler *s, const sinter_tensor *logits, int64_t row,
                     uint64_t draw) {
  int64_t n = logits->dims[logits->rank - 1];
  uint32_t words[4];
  double sum;
  if (!(s->temperature > 0))
    return greatest(logits, row, n);
  struct candidate *c = mem_calloc((size_t)n, sizeof *c);
  for (int64_t i = 0; i < n; i++)
    c[i] = (struct candidate){.logit = logit_at(logits, row, i), .token = i};
  qsort(c, (size_t)n, sizeof *c, compare);
  int64_t kept = keep(s, c, n, &sum);
  philox_4x32_10(draw, s->seed, words);
  double at = ((double)words[0] + 0.5) * 0x1p-32 * sum;
  int64_t i = 0;
  while (i + 1 < kept && at >= c[i].weight)
    at -= c[i++].weight;
  int64_t token = c[i].token;
  mem_free(c);
  return token;
}
