/* SPDX-License-Identifier: Apache-2.0 */
/* See flat_problem.h. */
#include "tests/support/flat_problem.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

/* ---- flat ---- */

struct flattener {
  struct flat_problem *out;
  struct arena *arena;
  uint32_t *names; /* by value of the block at hand */
};

static const struct flat_use *flat_uses(struct flattener *f, const struct search_use *uses,
                                        uint32_t n, bool made) {
  struct flat_use *out = ARENA_ARRAY(f->arena, struct flat_use, n);
  for (uint32_t i = 0; i < n; i++) {
    struct flat_value *v = &f->out->values[f->names[uses[i].value]];
    out[i] = (struct flat_use){f->names[uses[i].value], uses[i].classes};
    v->last = f->out->n_variables;
    v->n_uses += !made;
    if (made)
      v->maker = f->out->n_variables;
  }
  return out;
}

static void flat_block(struct flattener *f, const struct search_block *b, uint32_t passed) {
  for (uint32_t v = 0; v < b->n_values; v++) {
    if (v == b->input && passed != SEARCH_NONE) {
      f->names[v] = passed;
      f->out->values[passed].from = &b->values[v]; /* it is converted where it is read */
      continue;
    }
    f->out->values[f->out->n_values] =
        (struct flat_value){.from = &b->values[v], .maker = SEARCH_NONE};
    f->names[v] = f->out->n_values++;
  }
  for (uint32_t i = 0; i < b->n_variables; i++) {
    const struct search_variable *x = &b->variables[i];
    struct flat_variable *to = &f->out->variables[f->out->n_variables];
    to->from = x;
    to->n_makes = x->n_makes;
    to->n_reads = x->n_reads;
    to->makes = flat_uses(f, x->makes, x->n_makes, true);
    to->reads = flat_uses(f, x->reads, x->n_reads, false);
    f->out->n_variables++;
    f->out->size *= x->n_choices;
  }
}

void flat_problem_of(const struct search_problem *p, struct arena *arena,
                     struct flat_problem *out) {
  uint32_t n_variables = 0, n_values = 0;
  for (uint32_t i = 0; i < p->n_phases; i++)
    for (uint32_t k = 0; k < p->phases[i].n_blocks; k++) {
      n_variables += p->phases[i].blocks[k]->n_variables;
      n_values += p->phases[i].blocks[k]->n_values;
    }
  *out = (struct flat_problem){.n_weights = p->n_weights, .limit = p->limit, .size = 1};
  out->variables = ARENA_ARRAY(arena, struct flat_variable, n_variables);
  out->values = ARENA_ARRAY(arena, struct flat_value, n_values);
  struct flattener f = {out, arena, ARENA_ARRAY(arena, uint32_t, n_values)};
  for (uint32_t i = 0; i < p->n_phases; i++) {
    uint32_t passed = SEARCH_NONE;
    for (uint32_t k = 0; k < p->phases[i].n_blocks; k++) {
      const struct search_block *b = p->phases[i].blocks[k];
      flat_block(&f, b, passed);
      passed = b->output == SEARCH_NONE ? SEARCH_NONE : f.names[b->output];
    }
  }
}

/* ---- every choice ---- */

struct walk {
  const struct flat_problem *p;
  struct flat_best *best;
  uint32_t *chosen;    /* by variable */
  uint32_t *layouts;   /* by weight: 1 + its layout; 0: none yet */
  uint32_t **closing;  /* by variable: values that are settled with it; SEARCH_NONE ends */
  uint32_t **touching; /* by value: variables that read it */
};

static uint16_t class_in(const struct flat_use *uses, uint32_t n, uint32_t value, uint32_t choice,
                         uint32_t *from) {
  while (*from < n && uses[*from].value != value)
    ++*from;
  return *from < n ? uses[(*from)++].classes[choice] : UINT16_MAX;
}

/* Each distinct class that is wanted is converted to once. */
static double convert_value(const struct walk *w, uint32_t v) {
  const struct flat_value *value = &w->p->values[v];
  const struct flat_variable *maker = &w->p->variables[value->maker];
  uint32_t at = 0, n = 0;
  uint16_t seen[64], made = class_in(maker->makes, maker->n_makes, v, w->chosen[value->maker], &at);
  double time = 0;
  for (const uint32_t *i = w->touching[v]; *i != SEARCH_NONE; i++) {
    const struct flat_variable *x = &w->p->variables[*i];
    for (uint32_t from = 0;;) {
      uint16_t wanted = class_in(x->reads, x->n_reads, v, w->chosen[*i], &from);
      if (wanted == UINT16_MAX)
        break;
      uint32_t k = 0;
      while (k < n && seen[k] != wanted)
        k++;
      if (k < n)
        continue;
      seen[n++] = wanted;
      time += value->from->convert[made * value->from->n_classes + wanted];
    }
  }
  return time;
}

static void walk_from(struct walk *w, uint32_t i, double time, double bytes) {
  if (i == w->p->n_variables) {
    struct flat_best *b = w->best;
    if (time < b->free_time || (time == b->free_time && bytes < b->free_bytes)) {
      b->free_time = time;
      b->free_bytes = bytes;
    }
    b->least_bytes = fmin(b->least_bytes, bytes);
    if (bytes <= w->p->limit)
      b->time = fmin(b->time, time);
    return;
  }
  const struct search_variable *x = w->p->variables[i].from;
  for (uint32_t c = 0; c < x->n_choices; c++) {
    uint32_t held[16];
    bool fits = true;
    double here = time + x->time[c];
    for (uint32_t k = 0; k < x->n_ties; k++) {
      uint32_t *layout = &w->layouts[x->ties[k].weight];
      held[k] = *layout;
      fits &= !*layout || *layout == 1u + x->ties[k].layouts[c];
      *layout = 1u + x->ties[k].layouts[c];
    }
    w->chosen[i] = c;
    for (const uint32_t *v = w->closing[i]; fits && *v != SEARCH_NONE; v++)
      here += convert_value(w, *v);
    if (fits && !isinf(here))
      walk_from(w, i + 1, here, bytes + x->bytes[c]);
    for (uint32_t k = x->n_ties; k-- > 0;)
      w->layouts[x->ties[k].weight] = held[k];
  }
}

void flat_problem_enumerate(const struct flat_problem *p, struct flat_best *out) {
  struct arena a = {0};
  struct walk w = {.p = p, .best = out};
  *out = (struct flat_best){INFINITY, INFINITY, INFINITY, INFINITY};
  w.chosen = ARENA_ARRAY(&a, uint32_t, p->n_variables);
  w.layouts = ARENA_ARRAY(&a, uint32_t, p->n_weights + 1);
  w.closing = ARENA_ARRAY(&a, uint32_t *, p->n_variables + 1);
  w.touching = ARENA_ARRAY(&a, uint32_t *, p->n_values + 1);
  for (uint32_t i = 0; i < p->n_variables; i++) {
    uint32_t n = 0;
    w.closing[i] = ARENA_ARRAY(&a, uint32_t, p->n_values + 1);
    for (uint32_t v = 0; v < p->n_values; v++)
      if (p->values[v].maker != SEARCH_NONE && p->values[v].last == i && p->values[v].n_uses)
        w.closing[i][n++] = v;
    w.closing[i][n] = SEARCH_NONE;
  }
  for (uint32_t v = 0; v < p->n_values; v++) {
    uint32_t n = 0;
    w.touching[v] = ARENA_ARRAY(&a, uint32_t, p->n_variables + 1);
    for (uint32_t i = 0; i < p->n_variables; i++) {
      bool reads = false;
      for (uint32_t k = 0; k < p->variables[i].n_reads; k++)
        reads |= p->variables[i].reads[k].value == v;
      if (reads)
        w.touching[v][n++] = i;
    }
    w.touching[v][n] = SEARCH_NONE;
  }
  walk_from(&w, 0, 0, 0);
  arena_deinit(&a);
}
