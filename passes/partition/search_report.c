/* SPDX-License-Identifier: Apache-2.0 */
/* From a solution to a report: the times of what was chosen, block by block. */
#include "passes/partition/search_report.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/vec.h"
#include "ir/sharding_form.h"
#include "passes/partition/cost.h"

struct reporter {
  const struct space_tables *t;
  const struct mesh *mesh; /* with the names that people see */
  const struct cost *cost;
  double scale;
  struct arena *arena;
};

/* ---- words ---- */

static void print_axes(const struct reporter *r, const struct axis_ref *axes, uint32_t n,
                       struct strbuf *out) {
  for (uint32_t i = 0; i < n; i++)
    strbuf_printf(out, "%s%s=%lld", i ? "*" : "", r->mesh->axes[axes[i].axis].name,
                  (long long)r->mesh->axes[axes[i].axis].size);
}

/* "n over tp=8, m over cp=2"; "whole". */
static const char *split_words(const struct reporter *r, const struct op *op,
                               const struct op_split *split) {
  struct factor_list factors = {0};
  struct arena scratch = {0};
  struct strbuf out = {0};
  factors_of(r->t->space->function, op, &scratch, &factors);
  for (uint32_t i = 0; i < split->n; i++) {
    const struct factor *x = &factors.factors.data[split->splits[i].factor];
    strbuf_printf(&out, "%s%s", i ? ", " : "", x->name);
    if (x->index)
      strbuf_printf(&out, "%u", x->index);
    strbuf_append_c(&out, " over ");
    print_axes(r, split->splits[i].axes, split->splits[i].n_axes, &out);
  }
  const char *words = arena_strdup(r->arena, split->n ? strbuf_c(&out) : "whole");
  strbuf_deinit(&out);
  vec_deinit(&factors.factors);
  arena_deinit(&scratch);
  return words;
}

static void print_sharding(const struct reporter *r, const struct type *type, sharding_id id,
                           struct strbuf *out) {
  struct sharding room;
  const struct sharding *s = sharding_get(r->t->space->module, id, r->t->mesh, type->rank, &room);
  strbuf_char(out, '{');
  for (uint32_t i = 0; i < type->rank; i++) {
    strbuf_append_c(out, i ? ", " : "");
    if (!s->dims[i].n_axes)
      strbuf_char(out, '-');
    print_axes(r, s->dims[i].axes, s->dims[i].n_axes, out);
  }
  strbuf_char(out, '}');
  if (s->partial.kind) {
    strbuf_printf(out, " partial(%s, ", partial_text(s->partial.kind));
    print_axes(r, s->partial.axes, s->partial.n_axes, out);
    strbuf_char(out, ')');
  }
}

/* ---- one block ---- */

static void add_time(struct report_time *to, const struct report_time *x, double times) {
  to->compute += times * x->compute;
  to->memory += times * x->memory;
  to->launch += times * x->launch;
  to->communication += times * x->communication;
  to->bytes += times * x->bytes;
}

static void report_splits(struct reporter *r, uint32_t block, const uint32_t *choices,
                          struct report_block *out) {
  const struct space *s = r->t->space;
  const struct space_block *b = &s->blocks[block];
  struct report_split *splits = ARENA_ARRAY(r->arena, struct report_split, b->n);
  for (uint32_t v = 0; v < b->n; v++) {
    const struct space_group *g = &s->groups[b->first + v];
    const struct space_choice *x = &r->t->variables[b->kind][v].choices[choices[v]];
    const struct op *rep = function_op(s->function, g->rep);
    const struct provenance *from = &s->module->provenance.data[rep->provenance];
    struct report_split *to = &splits[out->n_splits];
    double kernel = fmax(x->compute, x->memory) / r->scale;
    if (g->free || (kernel == 0 && x->split.n == 0))
      continue;
    to->op = op_infos[rep->kind].name;
    to->node = rep->provenance ? from->node : NULL;
    to->words = split_words(r, rep, &x->split);
    to->time = (struct report_time){.launch = x->launch / r->scale};
    *(x->compute > x->memory ? &to->time.compute : &to->time.memory) = kernel;
    add_time(&out->time, &to->time, 1);
    out->n_splits++;
  }
  out->splits = splits;
}

static uint32_t made_class(const struct search_block *b, uint32_t v, const uint32_t *choices,
                           uint32_t input) {
  for (uint32_t i = 0; i < b->n_variables; i++)
    for (uint32_t k = 0; k < b->variables[i].n_makes; k++)
      if (b->variables[i].makes[k].value == v)
        return b->variables[i].makes[k].classes[choices[i]];
  return input;
}

static void report_conversions(struct reporter *r, uint32_t block, const uint32_t *choices,
                               uint32_t input, struct report_block *out) {
  const struct space *s = r->t->space;
  uint32_t kind = s->blocks[block].kind;
  const struct search_block *b = &r->t->blocks[kind];
  VEC(struct report_conversion) list = {0};
  struct arena scratch = {0};
  for (uint32_t v = 0; v < b->n_values; v++) {
    uint32_t from = made_class(b, v, choices, input), n = b->values[v].n_classes;
    bool *seen = ARENA_ARRAY(&scratch, bool, n);
    const struct type *type = value_type(s->function, r->t->values[kind][v]);
    for (uint32_t i = 0; i < b->n_variables; i++) {
      for (uint32_t k = 0; k < b->variables[i].n_reads; k++) {
        uint32_t to = b->variables[i].reads[k].classes[choices[i]];
        if (b->variables[i].reads[k].value != v || seen[to] ||
            b->values[v].convert[from * n + to] == 0)
          continue;
        seen[to] = true;
        struct strbuf words = {0};
        print_sharding(r, type, r->t->shardings[kind][v][from], &words);
        strbuf_append_c(&words, " -> ");
        print_sharding(r, type, r->t->shardings[kind][v][to], &words);
        struct report_conversion x = {
            .value = function_value(s->function, r->t->values[kind][v])->name,
            .words = arena_strdup(r->arena, strbuf_c(&words)),
            .seconds = b->values[v].convert[from * n + to] / r->scale,
            .bytes = cost_convert_bytes(r->cost, type, r->t->shardings[kind][v][from],
                                        r->t->shardings[kind][v][to], &scratch)};
        out->time.communication += x.seconds;
        out->time.bytes += x.bytes;
        vec_push(&list, x);
        strbuf_deinit(&words);
      }
    }
  }
  out->n_conversions = list.len;
  out->conversions = arena_memdup(r->arena, list.data, list.len * sizeof *list.data);
  vec_deinit(&list);
  arena_deinit(&scratch);
}

/* ---- a phase: equal blocks with equal choices are shown once ---- */

struct seen_block {
  uint32_t kind, input, at;
  const uint32_t *choices;
};

static void report_phase_of(struct reporter *r, uint32_t *const *choices,
                            struct report_phase *out) {
  const struct space *s = r->t->space;
  struct report_block *blocks = ARENA_ARRAY(r->arena, struct report_block, s->n_blocks);
  struct seen_block *seen = ARENA_ARRAY(r->arena, struct seen_block, s->n_blocks);
  uint32_t input = SEARCH_NONE;
  for (uint32_t i = 0; i < s->n_blocks; i++) {
    const struct search_block *b = &r->t->blocks[s->blocks[i].kind];
    uint32_t k = 0;
    while (k < out->n_blocks &&
           (seen[k].kind != s->blocks[i].kind || seen[k].input != input ||
            memcmp(seen[k].choices, choices[i], s->blocks[i].n * sizeof **choices)))
      k++;
    if (k == out->n_blocks) {
      seen[out->n_blocks++] = (struct seen_block){s->blocks[i].kind, input, i, choices[i]};
      report_splits(r, i, choices[i], &blocks[k]);
      report_conversions(r, i, choices[i], input, &blocks[k]);
    }
    blocks[k].repeats++;
    input =
        b->output == SEARCH_NONE ? SEARCH_NONE : made_class(b, b->output, choices[i], SEARCH_NONE);
  }
  for (uint32_t k = 0; k < out->n_blocks; k++)
    add_time(&out->time, &blocks[k].time, blocks[k].repeats);
  out->blocks = blocks;
}

void report_create(const struct search_request *request, const struct space *spaces,
                   const struct space_tables *tables, const struct search_solution *solution,
                   const double *scales, const struct mesh *mesh, struct arena *arena,
                   struct search_result *out) {
  struct search_report *report = ARENA_NEW(arena, struct search_report);
  const struct workload *w = request->workload;
  struct strbuf text = {0};
  struct report_phase *phases = ARENA_ARRAY(arena, struct report_phase, w->n_phases);
  workload_print(spaces[0].module, w, &text);
  *report = (struct search_report){.machine = request->machine,
                                   .n_phases = w->n_phases,
                                   .phases = phases,
                                   .bytes = (double)out->winner.bytes};
  report->workload = arena_strdup(arena, strbuf_c(&text));
  report->limit = (double)(request->machine->memory - request->machine->reserve);
  for (uint32_t i = 0; i < w->n_phases; i++) {
    struct cost cost;
    cost_init(spaces[0].module, request->machine, tables[i].mesh, w->phases[i].symbols, 1, &cost);
    struct reporter r = {&tables[i], mesh, &cost, scales[i], arena};
    phases[i].name = w->phases[i].name;
    phases[i].weight = w->phases[i].weight;
    report_phase_of(&r, solution->choices[i], &phases[i]);
  }
  strbuf_deinit(&text);
  out->report = report;
}
