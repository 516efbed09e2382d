/* SPDX-License-Identifier: Apache-2.0 */
/* The rest of a graph, imported once per branch of an If.
 *
 *     y = If(c) {squeeze x} {x}              if c { y = squeeze x; z = rest(y); yield z }
 *     z = rest(y)                       =>         { z = rest(x); yield z }
 *
 * A value has one rank, so what follows an If whose branches differ in rank must be there twice. */
#include "frontend/onnx/import_internal.h"

#include <string.h>

/* The scope of the whole graph or function body that this one is of. */
static struct import_scope *whole(struct import_scope *s) {
  while (s->rest_of)
    s = s->rest_of;
  return s;
}

static size_t output_count(const struct import_scope *s) {
  return s->graph ? s->graph->n_output : s->frame->function ? s->frame->function->n_output : 0;
}

static const char *output_name(const struct import_scope *s, size_t i) {
  return s->graph ? s->graph->output[i]->name : s->frame->function->output[i];
}

/* Whether an output is still to be given. */
static bool is_open(const struct import_node *n, const char *name) {
  return !import_scope_find(n->scope, name);
}

uint32_t import_rest_count(struct import_node *n) {
  const struct import_scope *all = whole(n->scope);
  uint32_t count = 0;
  if (n->im->rests >= IMPORT_MAX_RESTS || n->im->depth >= IMPORT_MAX_DEPTH) {
    import_unsupported(n, "too many If whose branches differ in rank follow each other");
    return 0;
  }
  for (size_t i = 0; i < output_count(all); i++)
    count += is_open(n, output_name(all, i));
  return count;
}

static void define_given(struct import_node *n, struct import_scope *s,
                         struct import_value *const *outputs) {
  for (uint32_t i = 0; i < n->n_outputs; i++)
    if (import_wants(n, i))
      import_scope_define(n->im, s, n->proto->output[i], outputs[i]);
}

static bool collect(struct import_node *n, struct import_scope *s, struct diags *why,
                    struct import_value **out_results) {
  const struct import_scope *all = whole(s);
  uint32_t at = 0;
  bool sound = true;
  for (size_t i = 0; i < output_count(all); i++) {
    const char *name = output_name(all, i);
    if (!is_open(n, name))
      continue;
    struct import_value *v = import_scope_find(s, name);
    struct diag_where where = import_where(n);
    if (!v)
      diag_report(why, DIAG_E0114, &where, NULL, "output '%s' is not defined by any node", name);
    else if (v->kind == IMPORT_TENSOR)
      import_materialize(n->im, v);
    out_results[at++] = v;
    sound &= v && v->kind != IMPORT_BROKEN;
  }
  return sound;
}

bool import_rest(struct import_node *n, region_id region, struct import_value *const *outputs,
                 struct diags *why, struct import_value **out_results) {
  struct importer *im = n->im;
  struct import_scope scope;
  struct diags *reported = im->diags;
  region_id outer = n->b->region;
  uint32_t provenance = n->b->provenance, errors = diags_errors(why);
  import_scope_init(&scope, n->scope, n->scope->frame, region);
  scope.rest_of = n->scope;
  scope.first = n->index + 1;
  im->rests++;
  im->depth++;
  im->diags = n->b->diags = why;
  n->b->region = region;
  define_given(n, &scope, outputs);
  bool sound = import_nodes(im, &scope, n->scope->rest, n->scope->n_rest) &&
               collect(n, &scope, why, out_results) && diags_errors(why) == errors;
  n->b->region = outer;
  n->b->provenance = provenance;
  im->diags = n->b->diags = reported;
  im->depth--;
  import_scope_deinit(&scope);
  return sound;
}

/* Names that nothing can ask for any more. */
static struct import_value *nothing(struct import_node *n) {
  return import_value_new(n->im, IMPORT_OPAQUE);
}

bool import_rest_fork(struct import_node *n, value_id condition, const region_id regions[2],
                      uint32_t symbols, struct import_value *const *const results[2]) {
  struct import_scope *s = n->scope;
  struct arena *arena = import_arena(n);
  if (!s->inlined || s->rest_of)
    return false;
  struct import_fork *fork = ARENA_NEW(arena, struct import_fork);
  *fork = (struct import_fork){condition, {regions[0], regions[1]}, {NULL, NULL}, symbols};
  for (uint32_t k = 0; k < 2; k++) {
    uint32_t at = 0;
    fork->results[k] = ARENA_ARRAY(arena, struct import_value *, output_count(s));
    for (size_t i = 0; i < output_count(s); i++) {
      struct import_value *given = import_scope_find(s, output_name(s, i));
      fork->results[k][i] = given ? given : results[k][at++];
    }
  }
  for (uint32_t i = 0; i < n->n_outputs; i++)
    n->outputs[i] = nothing(n);
  s->fork = fork;
  s->done = true;
  return true;
}

void import_rest_done(struct import_node *n, struct import_value *const *results) {
  const struct import_scope *all = whole(n->scope);
  uint32_t at = 0;
  for (size_t i = 0; i < output_count(all); i++) {
    const char *name = output_name(all, i);
    if (!is_open(n, name))
      continue;
    struct import_value *v = results[at++];
    bool own = false;
    for (uint32_t k = 0; k < n->n_outputs; k++) {
      if (!import_wants(n, k) || strcmp(n->proto->output[k], name) != 0)
        continue;
      import_out_value(n, k, v);
      own = true;
    }
    if (!own)
      import_scope_define(n->im, n->scope, name, v);
  }
  for (uint32_t k = 0; k < n->n_outputs; k++)
    if (!n->outputs[k])
      n->outputs[k] = nothing(n);
  n->scope->done = true;
}
