/* SPDX-License-Identifier: Apache-2.0 */
/* What choices cost, by the definition in search_problem.h. */
#include <math.h>

#include "base/mem.h"
#include "passes/partition/search_table.h"

/* What converting a value to the distinct classes that its readers want costs. */
static double convert_value(const struct search_block *b, uint32_t v, uint32_t made,
                            const uint32_t *choices) {
  const struct search_value *value = &b->values[v];
  bool *paid = mem_calloc(value->n_classes, sizeof *paid);
  double time = 0;
  for (uint32_t i = 0; i < b->n_variables; i++) {
    const struct search_variable *x = &b->variables[i];
    for (uint32_t k = 0; k < x->n_reads; k++) {
      uint32_t wanted = x->reads[k].classes[choices[i]];
      if (x->reads[k].value != v || paid[wanted])
        continue;
      paid[wanted] = true;
      time += value->convert[made * value->n_classes + wanted];
    }
  }
  mem_free(paid);
  return time;
}

static uint32_t made_in(const struct search_block *b, uint32_t v, const uint32_t *choices) {
  for (uint32_t i = 0; i < b->n_variables; i++)
    for (uint32_t k = 0; k < b->variables[i].n_makes; k++)
      if (b->variables[i].makes[k].value == v)
        return b->variables[i].makes[k].classes[choices[i]];
  return SEARCH_NONE;
}

double search_block_time(const struct search_block *b, const uint32_t *choices, uint32_t input,
                         double *bytes) {
  double time = 0;
  for (uint32_t i = 0; i < b->n_variables; i++) {
    time += b->variables[i].time[choices[i]];
    *bytes += b->variables[i].bytes[choices[i]];
  }
  for (uint32_t v = 0; v < b->n_values; v++) {
    uint32_t made = v == b->input ? input : made_in(b, v, choices);
    if (made != SEARCH_NONE)
      time += convert_value(b, v, made, choices);
  }
  return time;
}

static bool ties_hold(const struct search_problem *p, uint32_t *const *const *choices) {
  uint32_t *layouts = mem_calloc(p->n_weights + 1, sizeof *layouts); /* 0: none yet */
  bool hold = true;
  for (uint32_t i = 0; i < p->n_phases; i++)
    for (uint32_t n = 0; n < p->phases[i].n_blocks; n++) {
      const struct search_block *b = p->phases[i].blocks[n];
      for (uint32_t v = 0; v < b->n_variables; v++)
        for (uint32_t k = 0; k < b->variables[v].n_ties; k++) {
          const struct search_tie *tie = &b->variables[v].ties[k];
          uint32_t here = 1u + tie->layouts[choices[i][n][v]], *layout = &layouts[tie->weight];
          hold &= !*layout || *layout == here;
          *layout = here;
        }
    }
  mem_free(layouts);
  return hold;
}

void search_evaluate(const struct search_problem *p, uint32_t *const *const *choices,
                     double *out_time, double *out_bytes, double *out_phase_time) {
  *out_time = ties_hold(p, choices) ? 0 : INFINITY;
  *out_bytes = 0;
  for (uint32_t i = 0; i < p->n_phases; i++) {
    double time = 0;
    uint32_t passed = SEARCH_NONE;
    for (uint32_t n = 0; n < p->phases[i].n_blocks; n++) {
      const struct search_block *b = p->phases[i].blocks[n];
      time += search_block_time(b, choices[i][n], passed, out_bytes);
      passed = b->output == SEARCH_NONE ? SEARCH_NONE : made_in(b, b->output, choices[i][n]);
    }
    if (out_phase_time)
      out_phase_time[i] = time;
    *out_time += time;
  }
}
