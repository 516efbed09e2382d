/* SPDX-License-Identifier: Apache-2.0 */
/* sinter run: one run, and a line about each output. */
#include "cli/exchanges.h"
#include "cli/host_tensor.h"
#include "cli/model_engine.h"
#include "cli/option_value.h"
#include "cli/ranked.h"
#include "cli/run_inputs.h"

#include <stdio.h>
#include <string.h>

struct runner {
  struct invocation *v;
  sinter_engine *engine;
  sinter_session *session;
  sinter_session_options session_options;
  uint32_t entry;
  uint32_t n_outputs;
  sinter_tensor *outputs;
  const char **files; /* where each output goes; NULL: nowhere */
};

/* --output name=@file */
static void take_output(struct runner *r, const char *text) {
  struct arena *arena = &r->v->arena;
  const char *at = strstr(text, "=@");
  if (!at || at == text || !at[2]) {
    diag_report(&r->v->diags, DIAG_E0802, NULL, "write name=@file.npy",
                "'--output %s' is not understood", text);
    return;
  }
  struct near_miss near = {.wanted = arena_strndup(arena, text, (size_t)(at - text))};
  for (uint32_t i = 0; i < r->n_outputs; i++) {
    const char *name = sinter_engine_output(r->engine, r->entry, i)->name;
    if (!strcmp(name, near.wanted)) {
      r->files[i] = at + 2;
      return;
    }
    near_miss_consider(&near, name);
  }
  diag_report(&r->v->diags, DIAG_E0802, NULL,
              near.best ? arena_printf(arena, "did you mean '%s'?", near.best)
                        : "'sinter inspect' lists the outputs",
              "--output names '%s', which is no output", near.wanted);
}

static status take_outputs(struct runner *r) {
  const struct option_value *given = &r->v->options.values[OPT_OUTPUT];
  r->n_outputs = sinter_engine_output_count(r->engine, r->entry);
  r->outputs = ARENA_ARRAY(&r->v->arena, sinter_tensor, r->n_outputs);
  r->files = ARENA_ARRAY(&r->v->arena, const char *, r->n_outputs);
  for (uint32_t i = 0; i < given->count; i++)
    take_output(r, given->texts[i]);
  return diags_status(&r->v->diags);
}

static status run_once(struct runner *r) {
  struct invocation *v = r->v;
  struct run_inputs inputs;
  status s = run_inputs_make(&v->options, r->engine, r->entry, &v->arena, &v->diags, &inputs);
  if (s)
    return s;
  sinter_status run = sinter_session_create(r->engine, &r->session_options, &r->session);
  if (!run)
    run = sinter_session_run(r->session, sinter_engine_entry_name(r->engine, r->entry),
                             inputs.tensors, inputs.n, r->outputs, r->n_outputs);
  s = runtime_error_to_diags(run, &v->diags);
  run_inputs_deinit(&inputs);
  return s;
}

/* ---- the report ---- */

static void print_output(const char *name, const sinter_tensor *t, const struct host_summary *sum) {
  struct strbuf line = {0};
  uint64_t n = host_tensor_elements(t);
  strbuf_printf(&line, "%s: ", name);
  host_tensor_describe(t, &line);
  if (n > 1 && t->dtype != SINTER_STRING)
    strbuf_printf(&line, "  min %.6g  max %.6g  mean %.6g", sum->min, sum->max, sum->mean);
  if (sum->nans || sum->infinities)
    strbuf_printf(&line, "  %llu NaN  %llu infinite", (unsigned long long)sum->nans,
                  (unsigned long long)sum->infinities);
  strbuf_append_c(&line, "  =");
  for (uint64_t i = 0; i < n && i < 8; i++) {
    if (t->dtype == SINTER_STRING) {
      const sinter_string *s = (const sinter_string *)t->data + i;
      strbuf_printf(&line, " '%.*s'", (int)(s->size < 80 ? s->size : 80), s->data);
    } else {
      strbuf_printf(&line, " %.6g", host_tensor_get(t, i));
    }
  }
  printf("%s%s\n", line.data, n > 8 ? " ..." : "");
  strbuf_deinit(&line);
}

static void json_output(struct json *j, const char *name, const sinter_tensor *t,
                        const struct host_summary *sum) {
  json_object_begin(j);
  json_key(j, "name"), json_string(j, name);
  json_key(j, "dtype"), json_string(j, sinter_dtype_name(t->dtype));
  json_key(j, "dims");
  json_array_begin(j);
  for (uint32_t i = 0; i < t->rank; i++)
    json_i64(j, t->dims[i]);
  json_array_end(j);
  json_key(j, "min"), json_f64(j, sum->min);
  json_key(j, "max"), json_f64(j, sum->max);
  json_key(j, "mean"), json_f64(j, sum->mean);
  json_key(j, "nans"), json_u64(j, sum->nans);
  json_key(j, "infinities"), json_u64(j, sum->infinities);
  json_object_end(j);
}

static status report(struct runner *r) {
  struct invocation *v = r->v;
  status s = STATUS_OK;
  if (v->as_json) {
    json_key(&v->json, "outputs");
    json_array_begin(&v->json);
  }
  for (uint32_t i = 0; i < r->n_outputs; i++) {
    const char *name = sinter_engine_output(r->engine, r->entry, i)->name;
    struct host_summary sum;
    host_tensor_summarize(&r->outputs[i], &sum);
    if (v->as_json)
      json_output(&v->json, name, &r->outputs[i], &sum);
    else
      print_output(name, &r->outputs[i], &sum);
    status written = r->files[i] && !sinter_world_rank(v->world)
                         ? host_tensor_write(r->files[i], name, &r->outputs[i], &v->diags)
                         : STATUS_OK;
    s = s ? s : written;
  }
  if (v->as_json) {
    json_array_end(&v->json);
    exchanges_json(r->session, v->world, &v->json);
  } else {
    exchanges_print(r->session, v->world, stdout);
  }
  return s;
}

status verb_run(struct invocation *v) {
  struct runner r = {.v = v};
  status s = ranked_begin(v, &r.session_options);
  if (!s)
    s = engine_for_verb(v, v->options.arguments[0], &r.engine);
  if (s)
    return s;
  s = engine_entry(&v->options, r.engine, &v->diags, &r.entry);
  if (!s)
    s = take_outputs(&r);
  if (!s)
    s = run_once(&r);
  if (!s)
    s = report(&r);
  sinter_session_destroy(r.session);
  sinter_engine_close(r.engine);
  return s;
}
