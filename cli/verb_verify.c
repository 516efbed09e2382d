/* SPDX-License-Identifier: Apache-2.0 */
/* sinter verify: an engine against the interpreter; with --bisect, the first node that diverges.
 *
 * Bisection compiles the graph up to some op, that op's results being the outputs, and halves the
 * range of ops: what comes before the output is fused and scheduled as in the whole. */
#include "cli/host_tensor.h"
#include "cli/model_engine.h"
#include "cli/reference.h"
#include "cli/run_inputs.h"
#include "frontend/onnx/model_load.h"
#include "ir/graph.h"

#include <stdio.h>
#include <string.h>

struct verifier {
  struct invocation *v;
  struct compiler_options compile;
  struct run_inputs inputs;
  double limit;
};

/* ---- one engine ---- */

struct verified {
  uint32_t n;
  struct reference_result *results; /* in the invocation's arena */
  bool passes;
};

static status run_engine(struct verifier *w, sinter_engine *engine, sinter_session **session,
                         sinter_tensor *outputs, uint32_t n) {
  const struct options *o = &w->v->options;
  sinter_session_options options = {.struct_size = sizeof options,
                                    .devices = option_text(o, OPT_DEVICES),
                                    .threads = (uint32_t)option_number(o, OPT_THREADS, 0),
                                    .no_graphs = option_given(o, OPT_NO_GRAPHS),
                                    .check_collectives = option_given(o, OPT_CHECK_COLLECTIVES)};
  sinter_status s = sinter_session_create(engine, &options, session);
  if (!s)
    s = sinter_session_run(*session, sinter_engine_entry_name(engine, 0), w->inputs.tensors,
                           w->inputs.n, outputs, n);
  return runtime_error_to_diags(s, &w->v->diags);
}

static status verify_engine(struct verifier *w, sinter_engine *engine, const struct module *m,
                            struct verified *out) {
  struct arena *arena = &w->v->arena;
  uint32_t n = sinter_engine_output_count(engine, 0);
  sinter_tensor *outputs = ARENA_ARRAY(arena, sinter_tensor, n);
  sinter_session *session = NULL;
  *out = (struct verified){.n = n, .results = ARENA_ARRAY(arena, struct reference_result, n)};
  status s = run_engine(w, engine, &session, outputs, n);
  if (!s)
    s = reference_compare(m, w->inputs.tensors, w->inputs.n, outputs, n, &w->v->diags,
                          out->results);
  sinter_session_destroy(session);
  out->passes = !s;
  for (uint32_t i = 0; i < n && !s; i++)
    out->passes &= reference_passes(&out->results[i], w->limit);
  return s;
}

/* ---- bisection ---- */

/* The module cut after one op of the body. */
static void cut_after(struct module *m, op_id op) {
  struct entry *entry = &m->entries.data[0];
  struct function *f = vec_last(&entry->variants).function;
  struct region *body = function_region(f, 0);
  const struct op *last = function_op(f, op);
  vec_clear(&body->results);
  vec_clear(&entry->output_names);
  for (uint32_t i = 0; i < last->n_results; i++) {
    char name[32];
    snprintf(name, sizeof name, "%u", i);
    vec_push(&body->results, last->results[i]);
    vec_push(&entry->output_names, module_intern(m, name));
  }
  function_sweep(f);
}

/* The engine of the graph up to the op, and that graph as it was imported. */
static status build_cut(struct verifier *w, op_id op, struct onnx_model **out_model,
                        struct module **out_module, sinter_engine **out_engine) {
  struct diags *d = &w->v->diags;
  status s = compiler_import(&w->compile, d, out_model, out_module);
  if (s)
    return s;
  cut_after(*out_module, op);
  s = engine_from_module(&w->compile, *out_module, d, out_engine);
  module_destroy(*out_module);
  onnx_model_destroy(*out_model);
  if (!s)
    s = compiler_import(&w->compile, d, out_model, out_module);
  if (!s)
    cut_after(*out_module, op);
  return s;
}

/* Whether the graph up to the op passes. What cannot be compiled or run does not. */
static bool probe(struct verifier *w, op_id op) {
  struct diags kept = w->v->diags;
  struct onnx_model *model;
  struct module *m;
  struct verified result = {0};
  sinter_engine *engine = NULL;
  diags_init(&w->v->diags);
  status s = build_cut(w, op, &model, &m, &engine);
  if (!s) {
    s = verify_engine(w, engine, m, &result);
    module_destroy(m);
    onnx_model_destroy(model);
  }
  sinter_engine_close(engine);
  diags_deinit(&w->v->diags);
  w->v->diags = kept;
  return !s && result.passes;
}

static bool can_be_output(const struct function *f, const struct op *op) {
  for (uint32_t i = 0; i < op->n_results; i++)
    if (value_type(f, op->results[i])->dtype == DTYPE_STRING)
      return false;
  return op->n_results > 0 && op->kind != OP_CONST;
}

static void report_divergence(struct verifier *w, const struct module *m, const struct op *op) {
  struct diag_where where = module_where(m, op->provenance);
  const char *primitive = op_infos[op->kind].name;
  if (w->v->as_json) {
    struct json *j = &w->v->json;
    json_key(j, "first_divergence");
    json_object_begin(j);
    json_key(j, "node"), json_string(j, where.node ? where.node : "");
    json_key(j, "op"), json_string(j, where.op ? where.op : "");
    json_key(j, "node_index"), json_i64(j, where.node_index);
    json_key(j, "primitive"), json_string(j, primitive);
    json_object_end(j);
  } else {
    printf("first divergence: node %d '%s' (%s), at its primitive %s\n", where.node_index,
           where.node ? where.node : "", where.op ? where.op : "", primitive);
  }
}

/* The first op that diverges; those before it are taken to be right. */
static void bisect(struct verifier *w, const struct module *m) {
  const struct function *f = vec_last(&m->entries.data[0].variants).function;
  VEC(op_id) ops = {0};
  for (uint32_t i = 0; i < f->regions.data[0].ops.len; i++)
    if (can_be_output(f, function_op(f, f->regions.data[0].ops.data[i])))
      vec_push(&ops, f->regions.data[0].ops.data[i]);
  uint32_t low = 0, high = ops.len; /* ops before low pass, the one at high does not */
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (probe(w, ops.data[middle]))
      low = middle + 1;
    else
      high = middle;
  }
  if (low < ops.len)
    report_divergence(w, m, function_op(f, ops.data[low]));
  else if (!w->v->as_json)
    printf("every part of the graph passes when it ends the graph\n");
  vec_deinit(&ops);
}

/* ---- the report ---- */

static void print_result(const char *name, const struct reference_result *r, bool passes) {
  printf("%s %s: error %.3g, %.2f times that of the types", passes ? "ok  " : "DIFF", name,
         r->error, r->multiple);
  if (r->wrong)
    printf(", %llu of %llu elements wrong", (unsigned long long)r->wrong,
           (unsigned long long)r->elements);
  if (!passes)
    printf("; element %llu is %.9g instead of %.9g", (unsigned long long)r->worst, r->engine,
           r->exact);
  putchar('\n');
}

static void json_result(struct json *j, const char *name, const struct reference_result *r,
                        bool passes) {
  json_object_begin(j);
  json_key(j, "name"), json_string(j, name);
  json_key(j, "passes"), json_bool(j, passes);
  json_key(j, "elements"), json_u64(j, r->elements);
  json_key(j, "wrong"), json_u64(j, r->wrong);
  json_key(j, "error"), json_f64(j, r->error);
  json_key(j, "unit"), json_f64(j, r->unit);
  json_key(j, "multiple"), json_f64(j, r->multiple);
  json_key(j, "worst"), json_u64(j, r->worst);
  json_object_end(j);
}

static void report(const struct verifier *w, const struct module *m, const struct verified *r) {
  struct json *j = &w->v->json;
  if (w->v->as_json) {
    json_key(j, "outputs");
    json_array_begin(j);
  }
  for (uint32_t i = 0; i < r->n; i++) {
    const char *name = m->entries.data[0].output_names.data[i];
    bool passes = reference_passes(&r->results[i], w->limit);
    if (w->v->as_json)
      json_result(j, name, &r->results[i], passes);
    else
      print_result(name, &r->results[i], passes);
  }
  if (w->v->as_json)
    json_array_end(j);
}

static status verify(struct verifier *w, sinter_engine *engine, const struct module *m) {
  struct verified result;
  status s = run_inputs_make(&w->v->options, engine, 0, &w->v->arena, &w->v->diags, &w->inputs);
  if (!s)
    s = verify_engine(w, engine, m, &result);
  if (s)
    return s;
  report(w, m, &result);
  if (result.passes)
    return STATUS_OK;
  if (option_given(&w->v->options, OPT_BISECT))
    bisect(w, m);
  return STATUS_MISMATCH;
}

/* The given engine, or one of the model. */
static status engine_of(struct verifier *w, sinter_engine **out) {
  const struct options *o = &w->v->options;
  static const enum option_id of_compiler[] = {OPT_TARGET, OPT_DISABLE, OPT_COUNT};
  if (o->n_arguments < 2)
    return engine_from_model(&w->compile, &w->v->diags, out);
  status s = STATUS_OK;
  if (!option_given(o, OPT_BISECT))
    s = options_refuse(o, of_compiler, "has no effect on a compiled engine", &w->v->diags);
  return s ? s : engine_from_file(o, o->arguments[1], &w->v->diags, out);
}

status verb_verify(struct invocation *v) {
  struct verifier w = {.v = v, .limit = option_real(&v->options, OPT_LIMIT, 16)};
  sinter_engine *engine = NULL;
  struct onnx_model *model;
  struct module *m;
  compiler_options_from(v, v->options.arguments[0], &w.compile);
  status s = engine_of(&w, &engine);
  if (s)
    return s;
  s = compiler_import(&w.compile, &v->diags, &model, &m);
  if (!s) {
    s = verify(&w, engine, m);
    module_destroy(m);
    onnx_model_destroy(model);
  }
  run_inputs_deinit(&w.inputs);
  sinter_engine_close(engine);
  return s;
}
