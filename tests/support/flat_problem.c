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

/* ---- a linear program ---- */

/* A value as one of its readers sees it. For each pair of classes, made and wanted, z is 1 where
 * that pair is chosen: its sums are the sums of choices that make and that want. What is converted
 * to is paid for once, by y, which is no less than the z of any reader. So relaxed, the program is
 * still exact where the graph is a tree. */
struct edge {
  uint32_t value, maker, reader, use;
  const uint16_t *made, *wanted; /* by choice */
};

static const uint16_t *made_classes(const struct flat_problem *p, uint32_t value) {
  const struct flat_variable *x = &p->variables[p->values[value].maker];
  uint32_t k = 0;
  while (x->makes[k].value != value)
    k++;
  return x->makes[k].classes;
}

/* Calls for every edge; out for those that want to write. */
typedef void (*edge_fn)(const struct flat_problem *p, const struct edge *e, FILE *out);

static void visit_edges(const struct flat_problem *p, edge_fn fn, FILE *out) {
  for (uint32_t i = 0; i < p->n_variables; i++)
    for (uint32_t k = 0; k < p->variables[i].n_reads; k++) {
      const struct flat_use *use = &p->variables[i].reads[k];
      uint32_t maker = p->values[use->value].maker;
      struct edge e = {use->value, maker, i, k, NULL, use->classes};
      if (maker == SEARCH_NONE)
        continue;
      e.made = made_classes(p, use->value);
      fn(p, &e, out);
    }
}

static bool has_class(const uint16_t *classes, uint32_t n, uint16_t class) {
  for (uint32_t i = 0; i < n; i++)
    if (classes[i] == class)
      return true;
  return false;
}

static bool has_made(const struct flat_problem *p, const struct edge *e, uint16_t class) {
  return has_class(e->made, p->variables[e->maker].from->n_choices, class);
}
static bool has_wanted(const struct flat_problem *p, const struct edge *e, uint16_t class) {
  return has_class(e->wanted, p->variables[e->reader].from->n_choices, class);
}

static void write_choices(const struct flat_problem *p, uint32_t variable, const uint16_t *classes,
                          uint16_t class, const char *sign, FILE *out) {
  for (uint32_t c = 0; c < p->variables[variable].from->n_choices; c++)
    if (classes[c] == class)
      fprintf(out, " %s x%u_%u\n", sign, variable, c);
}

static void constrain_edge(const struct flat_problem *p, const struct edge *e, FILE *out) {
  const struct search_value *v = p->values[e->value].from;
  for (uint32_t side = 0; side < 2; side++)
    for (uint16_t a = 0; a < v->n_classes; a++) {
      if (!(side ? has_wanted(p, e, a) : has_made(p, e, a)))
        continue;
      for (uint16_t b = 0; b < v->n_classes; b++) {
        uint16_t m = side ? b : a, w = side ? a : b;
        if (has_made(p, e, m) && has_wanted(p, e, w) && !isinf(v->convert[m * v->n_classes + w]))
          fprintf(out, " + z%u_%u_%u_%u\n", e->reader, e->use, m, w);
      }
      write_choices(p, side ? e->reader : e->maker, side ? e->wanted : e->made, a, "-", out);
      fprintf(out, " = 0\n");
    }
  for (uint16_t m = 0; m < v->n_classes; m++)
    for (uint16_t w = 0; w < v->n_classes; w++) {
      double time = v->convert[m * v->n_classes + w];
      if (has_made(p, e, m) && has_wanted(p, e, w) && time > 0 && !isinf(time))
        fprintf(out, " z%u_%u_%u_%u - y%u_%u_%u <= 0\n", e->reader, e->use, m, w, e->value, m, w);
    }
}

/* What conversions cost: by value, so that each counts once. */
static void write_costs(const struct flat_problem *p, double unit, FILE *out) {
  for (uint32_t v = 0; v < p->n_values; v++) {
    const struct search_value *value = p->values[v].from;
    for (uint16_t w = 0; w < value->n_classes && p->values[v].maker != SEARCH_NONE; w++) {
      bool wanted = false;
      for (uint32_t i = 0; i < p->n_variables; i++)
        for (uint32_t k = 0; k < p->variables[i].n_reads; k++)
          wanted |= p->variables[i].reads[k].value == v &&
                    has_class(p->variables[i].reads[k].classes, p->variables[i].from->n_choices, w);
      for (uint16_t m = 0; m < value->n_classes && wanted; m++) {
        double time = value->convert[m * value->n_classes + w];
        if (time > 0 && !isinf(time) &&
            has_class(made_classes(p, v), p->variables[p->values[v].maker].from->n_choices, m))
          fprintf(out, " + %.17g y%u_%u_%u\n", time / unit, v, m, w);
      }
    }
  }
}

/* A variable's layout of a weight. */
struct reading {
  uint32_t variable;
  const uint16_t *layouts; /* by choice */
};

/* Both have that layout, or neither has. */
static void write_equal(const struct flat_problem *p, const struct reading *a,
                        const struct reading *b, uint16_t layout, FILE *out) {
  bool same = a->variable == b->variable;
  uint32_t n_a = p->variables[a->variable].from->n_choices, n = 0;
  for (uint32_t c = 0; c < n_a; c++)
    if (a->layouts[c] == layout && !(same && b->layouts[c] == layout))
      n += (uint32_t)fprintf(out, " + x%u_%u\n", a->variable, c);
  for (uint32_t c = 0; c < p->variables[b->variable].from->n_choices; c++)
    if (b->layouts[c] == layout && !(same && a->layouts[c] == layout))
      n += (uint32_t)fprintf(out, " - x%u_%u\n", b->variable, c);
  if (n)
    fprintf(out, " = 0\n");
}

/* Variables of one weight choose one layout: for each layout, the sums of choices are equal. */
static void write_ties(const struct flat_problem *p, FILE *out) {
  struct reading *first = mem_calloc(p->n_weights + 1, sizeof *first);
  for (uint32_t i = 0; i < p->n_variables; i++) {
    const struct search_variable *x = p->variables[i].from;
    for (uint32_t k = 0; k < x->n_ties; k++) {
      struct reading *to = &first[x->ties[k].weight], here = {i, x->ties[k].layouts};
      if (!to->layouts)
        *to = here;
      bool done[1 << 15] = {false};
      for (uint32_t side = 0; side < 2; side++) {
        const struct reading *of = side ? &here : to;
        for (uint32_t c = 0; c < p->variables[of->variable].from->n_choices; c++) {
          if (!done[of->layouts[c]])
            write_equal(p, to, &here, of->layouts[c], out);
          done[of->layouts[c]] = true;
        }
      }
    }
  }
  mem_free(first);
}

bool flat_problem_write_lp(const struct flat_problem *p, double unit, FILE *out) {
  fprintf(out, "Minimize\n time:\n");
  for (uint32_t i = 0; i < p->n_variables; i++)
    for (uint32_t c = 0; c < p->variables[i].from->n_choices; c++)
      fprintf(out, " + %.17g x%u_%u\n", p->variables[i].from->time[c] / unit, i, c);
  write_costs(p, unit, out);
  fprintf(out, "Subject To\n");
  for (uint32_t i = 0; i < p->n_variables; i++) {
    for (uint32_t c = 0; c < p->variables[i].from->n_choices; c++)
      fprintf(out, " + x%u_%u\n", i, c);
    fprintf(out, " = 1\n");
  }
  visit_edges(p, constrain_edge, out);
  write_ties(p, out);
  if (!isinf(p->limit)) {
    for (uint32_t i = 0; i < p->n_variables; i++)
      for (uint32_t c = 0; c < p->variables[i].from->n_choices; c++)
        fprintf(out, " + %.17g x%u_%u\n", p->variables[i].from->bytes[c], i, c);
    fprintf(out, " <= %.17g\n", p->limit);
  }
  fprintf(out, "Binary\n");
  for (uint32_t i = 0; i < p->n_variables; i++)
    for (uint32_t c = 0; c < p->variables[i].from->n_choices; c++)
      fprintf(out, " x%u_%u\n", i, c);
  fprintf(out, "End\n");
  return !ferror(out);
}
