/* SPDX-License-Identifier: Apache-2.0 */
/* One test case, in its own process. */
#include "cli/test_case.h"

#include "cli/host_tensor.h"
#include "cli/map_value.h"
#include "cli/model_engine.h"
#include "cli/packed_value.h"
#include "frontend/onnx/import.h"
#include "frontend/onnx/model_load.h"
#include "frontend/onnx/onnx_value.h"
#include "ir/graph.h"

#include <string.h>

const char *test_outcome_name(enum test_outcome outcome) {
  static const char *const names[] = {"passed", "failed", "unsupported"};
  return names[outcome];
}

struct test_run {
  const struct test_settings *settings;
  const struct compare_limits *limits;
  struct diags diags;
  struct onnx_model *model;
  sinter_engine *engine;
  sinter_session *session;
  sinter_world *world;
  struct strbuf *reason;
};

/* ---- reasons ---- */

static enum test_outcome fail_by_diags(struct test_run *t, status s) {
  const struct diag *first = NULL;
  for (uint32_t i = 0; i < diags_count(&t->diags) && !first; i++)
    if (diag_code_status(diags_get(&t->diags, i)->code))
      first = diags_get(&t->diags, i);
  if (first) {
    strbuf_printf(t->reason, "%s: %s", diag_code_name(first->code), first->message);
    if (first->where.op && first->where.op[0])
      strbuf_printf(t->reason, " (node %d, %s)", first->where.node_index, first->where.op);
    if (diags_errors(&t->diags) > 1)
      strbuf_printf(t->reason, ", and %u more", diags_errors(&t->diags) - 1);
  } else {
    strbuf_printf(t->reason, "%s, without a diagnostic", status_name(s));
  }
  return s == STATUS_UNSUPPORTED ? TEST_UNSUPPORTED : TEST_FAILED;
}

/* ---- one data set ---- */

struct test_values {
  uint32_t n;
  struct onnx_value_file *files;
};

static bool is_initializer(const Onnx__GraphProto *graph, const char *name) {
  for (size_t i = 0; i < graph->n_initializer; i++)
    if (!strcmp(graph->initializer[i]->name, name))
      return true;
  for (size_t i = 0; i < graph->n_sparse_initializer; i++)
    if (graph->sparse_initializer[i]->values &&
        !strcmp(graph->sparse_initializer[i]->values->name, name))
      return true;
  return false;
}

static int64_t engine_input_named(const sinter_engine *e, const char *name) {
  for (uint32_t i = 0; i < sinter_engine_input_count(e, 0); i++)
    if (!strcmp(sinter_engine_input(e, 0, i)->name, name))
      return i;
  return -1;
}

/* A copy of a file's tensor: the runtime wants aligned memory. `info` declares the type. numpy has
 * no bfloat16, so ONNX up to 1.12 wrote the bits of bfloat16 data as uint16: such a file is read as
 * what the model declares. */
static status copy_of(struct test_run *t, const struct onnx_tensor *from,
                      const Onnx__ValueInfoProto *info, sinter_tensor *out) {
  bool bits = from->onnx_type == SINTER_U16 && info->type &&
              info->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE &&
              info->type->tensor_type->elem_type == SINTER_BF16;
  status s = host_tensor_from_onnx(from, &t->diags, out);
  if (!s && bits)
    out->dtype = SINTER_BF16;
  return s;
}

static bool is_plain_tensor(const struct onnx_value *v) {
  enum dtype dtype;
  return v->kind == ONNX_VALUE_TENSOR && v->tensor.rank <= SINTER_MAX_RANK &&
         dtype_from_onnx(v->tensor.onnx_type, &dtype);
}

static enum test_outcome no_such_value(struct test_run *t, const char *what, const char *name) {
  strbuf_printf(t->reason, "%s '%s' is not a tensor, which is not supported", what, name);
  return TEST_UNSUPPORTED;
}

/* The engine's input NAME.SUFFIX, or -1. */
static int64_t input_part(const struct test_run *t, const char *name, const char *suffix) {
  struct strbuf whole = {0};
  strbuf_printf(&whole, "%s.%s", name, suffix);
  int64_t port = engine_input_named(t->engine, whole.data);
  strbuf_deinit(&whole);
  return port;
}

/* What nobody looks at. */
static status placeholder(struct test_run *t, const sinter_port *port, sinter_tensor *out) {
  int64_t dims[SINTER_MAX_RANK];
  for (uint32_t i = 0; i < port->rank; i++)
    dims[i] = port->dims[i].value >= 0 ? port->dims[i].value : port->dims[i].lo;
  return host_tensor_alloc(port->dtype, port->rank, dims, &t->diags, out);
}

static status set_parts(struct test_run *t, const struct onnx_value *v,
                        const Onnx__ValueInfoProto *info, int64_t port, int64_t shapes,
                        sinter_tensor *inputs) {
  const sinter_port *p = sinter_engine_input(t->engine, 0, (uint32_t)port);
  if (shapes >= 0) {
    const sinter_port *rows = sinter_engine_input(t->engine, 0, (uint32_t)shapes);
    return packed_value_make(v, p->dtype, (uint32_t)rows->dims[1].value, &t->diags, &inputs[port],
                             &inputs[shapes]);
  }
  return v->kind == ONNX_VALUE_NONE ? placeholder(t, p, &inputs[port])
                                    : copy_of(t, &v->tensor, info, &inputs[port]);
}

/* A sequence is two inputs of the engine, and an optional has one that says whether it is there. */
static enum test_outcome set_input(struct test_run *t, const char *path,
                                   const Onnx__ValueInfoProto *info, int64_t port,
                                   sinter_tensor *inputs) {
  struct onnx_value_file file;
  status s = onnx_value_read(path, info->type, &t->diags, &file);
  if (s)
    return fail_by_diags(t, s);
  enum test_outcome outcome = TEST_PASSED;
  int64_t shapes = input_part(t, info->name, "shapes"), given = input_part(t, info->name, "given");
  bool none = file.value.kind == ONNX_VALUE_NONE;
  if (none && given < 0) {
    strbuf_printf(t->reason, "the optional input '%s' is left out, and the engine wants it",
                  info->name);
    outcome = TEST_UNSUPPORTED;
  } else if (!none && (shapes >= 0 ? file.value.kind != ONNX_VALUE_SEQUENCE
                                   : !is_plain_tensor(&file.value))) {
    outcome = no_such_value(t, "input", info->name);
  } else {
    s = set_parts(t, &file.value, info, port, shapes, inputs);
    if (!s && given >= 0)
      s = host_tensor_alloc(SINTER_BOOL, 0, NULL, &t->diags, &inputs[given]);
    if (!s && given >= 0)
      host_tensor_set(&inputs[given], 0, !none);
    if (s)
      outcome = fail_by_diags(t, s);
  }
  onnx_value_deinit(&file);
  return outcome;
}

/* Files are numbered by the graph's inputs; some exporters number only those that are no
 * initializers. */
static enum test_outcome set_inputs(struct test_run *t, const path_list *files,
                                    sinter_tensor *inputs) {
  const Onnx__GraphProto *graph = t->model->proto->graph;
  bool all = files->len >= graph->n_input;
  uint32_t at = 0;
  for (size_t i = 0; i < graph->n_input && at < files->len; i++) {
    const Onnx__ValueInfoProto *info = graph->input[i];
    if (!all && is_initializer(graph, info->name))
      continue;
    int64_t port = engine_input_named(t->engine, info->name);
    const char *path = files->data[at++];
    if (port < 0)
      continue; /* the initializer's value is in the engine */
    enum test_outcome outcome = set_input(t, path, info, port, inputs);
    if (outcome)
      return outcome;
  }
  return TEST_PASSED;
}

/* Whether the model draws random numbers: no two generators draw the same, so a data set made with
 * another one says nothing about the values. */
static bool draws_random_numbers(struct test_run *t) {
  struct onnx_import_options import = {.shapes = t->settings->compile.shapes,
                                       .n_shapes = t->settings->compile.n_shapes};
  struct module *m = NULL;
  bool random = false;
  if (onnx_import(t->model, &import, &t->diags, &m))
    return false;
  for (uint32_t i = 0; i < m->functions.len; i++)
    for (uint32_t j = 1; j < m->functions.data[i]->ops.len; j++)
      random |= m->functions.data[i]->ops.data[j].kind == OP_RANDOM;
  module_destroy(m);
  return random;
}

/* Values of a model that draws random numbers say nothing; types and dims must be right all the
 * same. */
static enum test_outcome judge_difference(struct test_run *t, const char *name,
                                          const sinter_tensor *actual,
                                          const sinter_tensor *expected, const char *why) {
  static const struct compare_limits form = {.range = -1, .form_only = true};
  struct compare_result result;
  struct strbuf unused = {0};
  bool random =
      compare_tensors(actual, expected, &form, &unused, &result) && draws_random_numbers(t);
  strbuf_printf(t->reason, "%soutput '%s' %s", random ? "the model draws random numbers: " : "",
                name, why);
  strbuf_deinit(&unused);
  return random ? TEST_UNSUPPORTED : TEST_FAILED;
}

/* The engine's outputs, in order, as far as they were compared. */
struct actual_outputs {
  const sinter_tensor *tensors;
  uint32_t n, at;
};

static enum test_outcome compare_tensor(struct test_run *t, const struct onnx_value *value,
                                        const Onnx__ValueInfoProto *info,
                                        const sinter_tensor *actual) {
  sinter_tensor expected;
  struct compare_result result;
  struct strbuf why = {0};
  enum test_outcome outcome = TEST_PASSED;
  status s = copy_of(t, &value->tensor, info, &expected);
  if (s)
    return fail_by_diags(t, s);
  if (!compare_tensors(actual, &expected, t->limits, &why, &result))
    outcome = judge_difference(t, info->name, actual, &expected, strbuf_c(&why));
  strbuf_deinit(&why);
  host_tensor_free(&expected);
  return outcome;
}

/* The items of a sequence are outputs one by one; what is not there is none. */
static enum test_outcome compare_value(struct test_run *t, const struct onnx_value *value,
                                       const Onnx__ValueInfoProto *info,
                                       struct actual_outputs *actual) {
  enum test_outcome outcome = TEST_PASSED;
  if (value->kind == ONNX_VALUE_NONE)
    return TEST_PASSED;
  if (value->kind == ONNX_VALUE_SEQUENCE) {
    for (uint32_t i = 0; i < value->n_items && !outcome; i++)
      outcome = compare_value(t, &value->items[i], info, actual);
    return outcome;
  }
  if (!is_plain_tensor(value))
    return no_such_value(t, "output", info->name);
  if (actual->at < actual->n)
    return compare_tensor(t, value, info, &actual->tensors[actual->at++]);
  strbuf_printf(t->reason, "the engine has %u outputs, fewer than the data set has tensors",
                actual->n);
  return TEST_FAILED;
}

static bool output_is(const struct test_run *t, const struct actual_outputs *actual,
                      const char *name, const char *suffix) {
  struct strbuf whole = {0};
  strbuf_printf(&whole, "%s%s", name, suffix);
  bool is = actual->at < actual->n &&
            !strcmp(sinter_engine_output(t->engine, 0, actual->at)->name, whole.data);
  strbuf_deinit(&whole);
  return is;
}

/* A sequence as two outputs. */
static enum test_outcome compare_packed(struct test_run *t, const struct onnx_value *value,
                                        const Onnx__ValueInfoProto *info, const sinter_tensor *data,
                                        const sinter_tensor *shapes) {
  enum test_outcome outcome = TEST_PASSED;
  uint64_t start = 0;
  if (value->kind != ONNX_VALUE_SEQUENCE || (uint64_t)shapes->dims[0] != value->n_items) {
    strbuf_printf(t->reason, "output '%s' is a sequence of %lld items instead of %u", info->name,
                  (long long)shapes->dims[0], value->n_items);
    return TEST_FAILED;
  }
  for (uint32_t i = 0; i < value->n_items && !outcome; i++) {
    sinter_tensor item;
    if (!is_plain_tensor(&value->items[i]))
      return no_such_value(t, "output", info->name);
    if (!packed_value_item(data, shapes, i, &start, &item)) {
      strbuf_printf(t->reason, "item %u of output '%s' is not there", i, info->name);
      return TEST_FAILED;
    }
    outcome = compare_tensor(t, &value->items[i], info, &item);
  }
  return outcome;
}

/* A sequence of maps as two outputs: a row of values for each, and what the columns are. */
static enum test_outcome compare_maps(struct test_run *t, const struct onnx_value *value,
                                      const Onnx__ValueInfoProto *info, const sinter_tensor *values,
                                      const sinter_tensor *keys) {
  sinter_tensor expected;
  struct compare_result result;
  struct strbuf why = {0};
  enum test_outcome outcome = TEST_PASSED;
  status s = map_value_rows(value, keys, &t->diags, &expected);
  if (s)
    return fail_by_diags(t, s);
  if (!compare_tensors(values, &expected, t->limits, &why, &result))
    outcome = judge_difference(t, info->name, values, &expected, strbuf_c(&why));
  strbuf_deinit(&why);
  host_tensor_free(&expected);
  return outcome;
}

/* The output that says whether an optional is full, if there is one. */
static enum test_outcome compare_given(struct test_run *t, const struct onnx_value *value,
                                       const Onnx__ValueInfoProto *info,
                                       struct actual_outputs *actual, bool *out_given) {
  *out_given = true;
  if (!output_is(t, actual, info->name, ".given"))
    return TEST_PASSED;
  *out_given = host_tensor_get_i64(&actual->tensors[actual->at++], 0) != 0;
  if (*out_given == (value->kind != ONNX_VALUE_NONE))
    return TEST_PASSED;
  strbuf_printf(t->reason, "output '%s' is %s", info->name, *out_given ? "full" : "empty");
  return TEST_FAILED;
}

/* All of one output of the model. */
static enum test_outcome compare_whole(struct test_run *t, const struct onnx_value *value,
                                       const Onnx__ValueInfoProto *info,
                                       struct actual_outputs *actual) {
  bool given;
  enum test_outcome outcome = compare_given(t, value, info, actual, &given);
  struct actual_outputs next = {.n = actual->n, .at = actual->at + 1};
  bool packed = output_is(t, actual, info->name, "") && output_is(t, &next, info->name, ".shapes");
  bool maps = output_is(t, actual, info->name, "") && output_is(t, &next, info->name, ".keys") &&
              value->kind == ONNX_VALUE_SEQUENCE;
  if (outcome)
    return outcome;
  if (maps) {
    actual->at += 2;
    return compare_maps(t, value, info, &actual->tensors[actual->at - 2],
                        &actual->tensors[actual->at - 1]);
  }
  if (!packed && given)
    return compare_value(t, value, info, actual);
  const sinter_tensor *data = &actual->tensors[actual->at];
  actual->at += packed ? 2 : 1;
  return given ? compare_packed(t, value, info, data, data + 1) : TEST_PASSED;
}

static enum test_outcome compare_output(struct test_run *t, const char *path,
                                        const Onnx__ValueInfoProto *info,
                                        struct actual_outputs *actual) {
  struct onnx_value_file file;
  status s = onnx_value_read(path, info->type, &t->diags, &file);
  if (s)
    return fail_by_diags(t, s);
  enum test_outcome outcome = compare_whole(t, &file.value, info, actual);
  onnx_value_deinit(&file);
  return outcome;
}

static enum test_outcome compare_outputs(struct test_run *t, const path_list *files,
                                         const sinter_tensor *outputs, uint32_t n) {
  const Onnx__GraphProto *graph = t->model->proto->graph;
  struct actual_outputs actual = {.tensors = outputs, .n = n};
  if (graph->n_output != files->len || !files->len) {
    strbuf_printf(t->reason, "the model has %zu outputs, the data set %u", graph->n_output,
                  files->len);
    return TEST_FAILED;
  }
  for (uint32_t i = 0; i < files->len; i++) {
    enum test_outcome outcome = compare_output(t, files->data[i], graph->output[i], &actual);
    if (outcome)
      return outcome;
  }
  if (actual.at == n)
    return TEST_PASSED;
  strbuf_printf(t->reason, "the engine has %u outputs, the data set %u tensors", n, actual.at);
  return TEST_FAILED;
}

static enum test_outcome run_and_compare(struct test_run *t, const path_list *in,
                                         const path_list *expected, sinter_tensor *inputs,
                                         uint32_t n_inputs) {
  enum test_outcome outcome = set_inputs(t, in, inputs);
  if (outcome)
    return outcome;
  uint32_t n = sinter_engine_output_count(t->engine, 0);
  sinter_tensor *outputs = mem_calloc(n + 1, sizeof *outputs);
  status s =
      runtime_error_to_diags(sinter_session_run(t->session, sinter_engine_entry_name(t->engine, 0),
                                                inputs, n_inputs, outputs, n),
                             &t->diags);
  outcome = s ? fail_by_diags(t, s) : compare_outputs(t, expected, outputs, n);
  mem_free(outputs);
  return outcome;
}

static enum test_outcome run_data_set(struct test_run *t, const char *folder) {
  path_list in = {0}, expected = {0};
  numbered_files(folder, "input_", ".pb", &in);
  numbered_files(folder, "output_", ".pb", &expected);
  uint32_t n = sinter_engine_input_count(t->engine, 0);
  sinter_tensor *inputs = mem_calloc(n + 1, sizeof *inputs);
  enum test_outcome outcome = run_and_compare(t, &in, &expected, inputs, n);
  for (uint32_t i = 0; i < n; i++)
    mem_free(inputs[i].data);
  mem_free(inputs);
  path_list_deinit(&in);
  path_list_deinit(&expected);
  return outcome;
}

/* ---- the case ---- */

static enum test_outcome run_data_sets(struct test_run *t, const char *folder) {
  path_list sets = {0};
  enum test_outcome outcome = TEST_PASSED;
  numbered_files(folder, "test_data_set_", "", &sets);
  for (uint32_t i = 0; i < sets.len && !outcome; i++) {
    outcome = run_data_set(t, sets.data[i]);
    if (outcome)
      strbuf_printf(t->reason, " [data set %u]", i);
  }
  if (!sets.len) {
    strbuf_append_c(t->reason, "there is no test_data_set_0");
    outcome = TEST_FAILED;
  }
  path_list_deinit(&sets);
  return outcome;
}

/* The engine first, with nothing of the data sets read; the model again for the declared types. */
static status prepare(struct test_run *t, const char *model) {
  struct compiler_options compile = t->settings->compile;
  struct onnx_load_options load = {.external_data_root = compile.external_data_root};
  compile.model_path = model;
  status s = engine_from_model(&compile, &t->diags, &t->engine);
  if (!s)
    s = onnx_model_load(model, &load, &t->diags, &t->model);
  if (s)
    return s;
  sinter_session_options options = t->settings->session;
  s = ranked_join(&t->settings->ranked, model, &t->diags, &t->world);
  options.world = t->world;
  return s ? s
           : runtime_error_to_diags(sinter_session_create(t->engine, &options, &t->session),
                                    &t->diags);
}

enum test_outcome test_case_run(const struct test_settings *settings, const char *folder,
                                struct strbuf *reason) {
  const char *slash = strrchr(folder, '/');
  struct test_run t = {.settings = settings,
                       .limits = tolerances_find(&settings->tolerances, slash ? slash + 1 : folder),
                       .reason = reason};
  struct strbuf model = {0};
  strbuf_printf(&model, "%s/model.onnx", folder);
  status s = prepare(&t, model.data);
  enum test_outcome outcome = s ? fail_by_diags(&t, s) : run_data_sets(&t, folder);
  sinter_session_destroy(t.session);
  sinter_world_leave(t.world);
  sinter_engine_close(t.engine);
  onnx_model_destroy(t.model);
  diags_deinit(&t.diags);
  strbuf_deinit(&model);
  return outcome;
}
