/* SPDX-License-Identifier: Apache-2.0 */
/* The ONNX backend test cases through the importer and the reference interpreter.
 *
 *   interp_node_tests [--filter TEXT] [--passes A,B|all] [--range R] [--seconds N] [--symbolic]
 * [--quiet] FOLDER...
 *
 * A case is a folder with model.onnx and test_data_set_N (input_I.pb, output_I.pb); a FOLDER is a
 * case or holds cases. One line per case (PASS, FAIL or UNSUPPORTED, with the reason), then a
 * count. Outputs must agree in dtype, shape and, for integers, value; floats to 1e-3 of the value
 * or to R (1e-7) of the output's greatest magnitude; values of models with random numbers are not
 * compared. With --symbolic all dims of inputs are unknown when importing, but those of lists of
 * integers, whose length is often a rank. With --passes the module goes through these passes first,
 * or through the pipeline. Every case runs in a process of its own, so that a crash or a hang is
 * one failure. Exit code 1 if any case fails. */
#include "base/file.h"
#include "frontend/onnx/import.h"
#include "frontend/onnx/model_load.h"
#include "ir/interp.h"
#include "ir/verify.h"
#include "passes/pipeline.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum outcome { PASS, FAIL, UNSUPPORTED, OUTCOMES };
static const char *const outcome_names[] = {"PASS", "FAIL", "UNSUPPORTED"};

struct settings {
  const char *filter;
  const char *passes; /* NULL: none; "all": the pipeline */
  double range;
  unsigned seconds;
  bool symbolic;
  bool quiet;
};

struct test_case {
  const char *name;
  const char *path;
  struct onnx_model *model;
  struct module *module;
  struct arena arena;
  struct diags diags;
  const struct settings *settings;
};

static bool exists(const char *path) {
  struct stat st;
  return !stat(path, &st);
}

/* The line of a case. Control characters of names and messages are left to diag.c's care. */
static enum outcome say(const struct test_case *t, enum outcome o, const char *format, ...) {
  if (o != PASS || !t->settings->quiet) {
    printf("%s %s: ", outcome_names[o], t->name);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
  }
  return o;
}

static enum outcome say_diags(const struct test_case *t, status s, const char *what) {
  const struct diag *d = NULL;
  for (uint32_t i = 0; !d && i < diags_count(&t->diags); i++)
    if (diag_code_status(diags_get(&t->diags, i)->code) != STATUS_OK)
      d = diags_get(&t->diags, i);
  return say(t, s == STATUS_UNSUPPORTED ? UNSUPPORTED : FAIL, "%s: %s%s%s: %s", what,
             d ? diag_code_name(d->code) : status_name(s), d && d->where.op ? " " : "",
             d && d->where.op ? d->where.op : "", d ? d->message : "");
}

/* ---- tensors ---- */

/* The proto stays with the process: resolved views are remembered by its address. */
static struct tensor *read_tensor(struct test_case *t, const char *path) {
  char *bytes;
  size_t size;
  struct onnx_tensor view;
  enum dtype dtype;
  if (file_read(path, UINT64_C(1) << 31, &t->diags, &bytes, &size))
    return NULL;
  Onnx__TensorProto *proto = onnx__tensor_proto__unpack(NULL, size, (const uint8_t *)bytes);
  if (!proto || onnx_tensor_resolve(t->model, proto, &t->diags, &view) ||
      !dtype_from_onnx(view.onnx_type, &dtype) || view.rank > IR_MAX_RANK)
    return NULL;
  return tensor_from_bytes(&t->arena, dtype, view.dims, view.rank, view.data);
}

static bool close_enough(double got, double want, double slack) {
  if (isnan(want) || isnan(got))
    return isnan(want) && isnan(got);
  if (isinf(want) || isinf(got))
    return want == got;
  return fabs(got - want) <= fmax(slack, 1e-7 + 1e-3 * fabs(want));
}

static double greatest(const struct tensor *x) {
  double m = 0;
  for (int64_t i = 0; i < x->count; i++)
    if (isfinite(x->f64[i]))
      m = fmax(m, fabs(x->f64[i]));
  return m;
}

/* Random numbers are not those of the reference: only dtype and shape can agree. */
static bool is_random(const struct test_case *t) {
  const struct function *f = t->module->entries.data[0].variants.data[0].function;
  for (uint32_t i = 1; i < f->ops.len; i++)
    if (f->ops.data[i].kind == OP_RANDOM)
      return true;
  return false;
}

static enum outcome compare(struct test_case *t, uint32_t output, const struct tensor *got,
                            const struct tensor *want) {
  if (got->dtype != want->dtype)
    return say(t, FAIL, "output %u: dtype %s, expected %s", output, dtype_name(got->dtype),
               dtype_name(want->dtype));
  if (got->rank != want->rank ||
      (got->rank && memcmp(got->dims, want->dims, got->rank * sizeof *got->dims)))
    return say(t, FAIL, "output %u: shape differs (rank %u, expected %u; first dim %lld, %lld)",
               output, got->rank, want->rank, got->rank ? (long long)got->dims[0] : 0,
               want->rank ? (long long)want->dims[0] : 0);
  if (is_random(t))
    return PASS;
  bool is_float = dtype_is_float(got->dtype);
  double most = is_float ? greatest(want) : 0;
  double slack = fmax(t->settings->range, 1e-7) * most;
  for (int64_t i = 0; i < want->count; i++) {
    if (is_float && !close_enough(got->f64[i], want->f64[i], slack))
      return say(t, FAIL, "output %u: element %lld is %.9g, expected %.9g", output, (long long)i,
                 got->f64[i], want->f64[i]);
    if (!is_float && got->i64[i] != want->i64[i])
      return say(t, FAIL, "output %u: element %lld is %lld, expected %lld", output, (long long)i,
                 (long long)got->i64[i], (long long)want->i64[i]);
  }
  return PASS;
}

/* ---- cases ---- */

static enum outcome run_data_set(struct test_case *t, const char *folder) {
  const struct entry *entry = &t->module->entries.data[0];
  const struct function *f = entry->variants.data[0].function;
  const char *path;
  uint32_t n_in = f->regions.data[0].params.len, n_out = f->regions.data[0].results.len;
  struct tensor **in = ARENA_ARRAY(&t->arena, struct tensor *, n_in);
  struct tensor **out = ARENA_ARRAY(&t->arena, struct tensor *, n_out);
  for (uint32_t i = 0; i < n_in; i++) {
    path = arena_printf(&t->arena, "%s/input_%u.pb", folder, i);
    if (!(in[i] = read_tensor(t, path)))
      return say(t, FAIL, "%s cannot be read", path);
  }
  status s = interp_run(f, INTERP_TYPED, in, &t->arena, &t->diags, out);
  if (s)
    return say_diags(t, s, "run");
  for (uint32_t i = 0; i < n_out; i++) {
    path = arena_printf(&t->arena, "%s/output_%u.pb", folder, i);
    struct tensor *want = read_tensor(t, path);
    if (!want)
      return say(t, FAIL, "%s cannot be read", path);
    enum outcome o = compare(t, i, out[i], want);
    if (o != PASS)
      return o;
  }
  return PASS;
}

static void forget_dims(Onnx__ValueInfoProto *const *infos, size_t n, bool lists) {
  for (size_t i = 0; i < n; i++) {
    const Onnx__TypeProto *type = infos[i]->type;
    if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ||
        !type->tensor_type->shape)
      continue;
    const Onnx__TensorShapeProto *shape = type->tensor_type->shape;
    enum dtype dtype;
    bool list = shape->n_dim == 1 && dtype_from_onnx(type->tensor_type->elem_type, &dtype) &&
                dtype_is_int(dtype);
    for (size_t d = 0; d < shape->n_dim && (lists || !list); d++)
      shape->dim[d]->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
  }
}

static enum outcome run_case(struct test_case *t) {
  const char *path = arena_printf(&t->arena, "%s/model.onnx", t->path);
  status s = onnx_model_load(path, NULL, &t->diags, &t->model);
  if (s)
    return say_diags(t, s, "load");
  Onnx__GraphProto *graph = t->settings->symbolic ? t->model->proto->graph : NULL;
  if (graph) {
    forget_dims(graph->input, graph->n_input, false);
    forget_dims(graph->output, graph->n_output, true);
    forget_dims(graph->value_info, graph->n_value_info, true);
  }
  s = onnx_import(t->model, NULL, &t->diags, &t->module);
  if (s)
    return say_diags(t, s, "import");
  s = module_verify(t->module, &t->diags);
  if (s)
    return say_diags(t, s, "verify");
  if (t->settings->passes) {
    bool all = !strcmp(t->settings->passes, "all");
    struct pipeline_options options = {.passes = all ? NULL : t->settings->passes,
                                       .verify_each = true};
    s = pipeline_run(t->module, &options, &t->diags);
    if (s)
      return say_diags(t, s, "passes");
  }
  for (uint32_t i = 0;; i++) {
    path = arena_printf(&t->arena, "%s/test_data_set_%u", t->path, i);
    if (!exists(path))
      return say(t, PASS, "%u data sets", i);
    enum outcome o = run_data_set(t, path);
    if (o != PASS)
      return o;
  }
}

static enum outcome fork_case(struct test_case *t) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    alarm(t->settings->seconds);
    enum outcome o = run_case(t);
    fflush(stdout);
    _exit((int)o);
  }
  int code = 0;
  if (child < 0 || waitpid(child, &code, 0) != child)
    return say(t, FAIL, "no process for it");
  if (WIFSIGNALED(code))
    return say(t, FAIL, WTERMSIG(code) == SIGALRM ? "took too long" : "crashed (signal %d)",
               WTERMSIG(code));
  return WEXITSTATUS(code) < OUTCOMES ? (enum outcome)WEXITSTATUS(code)
                                      : say(t, FAIL, "exited with %d", WEXITSTATUS(code));
}

static void run_at(const struct settings *settings, const char *path, uint32_t *counts) {
  struct test_case t = {.settings = settings};
  const char *slash = strrchr(path, '/');
  t.path = path;
  t.name = slash ? slash + 1 : path;
  if (!settings->filter || strstr(t.name, settings->filter))
    counts[fork_case(&t)]++;
}

static void run_folder(const struct settings *settings, const char *folder, uint32_t *counts) {
  char path[8192];
  snprintf(path, sizeof path, "%s/model.onnx", folder);
  if (exists(path)) {
    run_at(settings, folder, counts);
    return;
  }
  struct dirent **names;
  int n = scandir(folder, &names, NULL, alphasort);
  for (int i = 0; i < n; i++) {
    snprintf(path, sizeof path, "%s/%s/model.onnx", folder, names[i]->d_name);
    bool is_case = names[i]->d_name[0] != '.' && exists(path);
    snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
    if (is_case)
      run_at(settings, path, counts);
    free(names[i]);
  }
  if (n >= 0)
    free(names);
}

int main(int argc, char **argv) {
  struct settings settings = {.seconds = 60};
  uint32_t counts[OUTCOMES] = {0};
  int i = 1;
  for (; i < argc && argv[i][0] == '-'; i++) {
    bool more = i + 1 < argc;
    if (!strcmp(argv[i], "--filter") && more)
      settings.filter = argv[++i];
    else if (!strcmp(argv[i], "--passes") && more)
      settings.passes = argv[++i];
    else if (!strcmp(argv[i], "--range") && more)
      settings.range = atof(argv[++i]);
    else if (!strcmp(argv[i], "--seconds") && more)
      settings.seconds = (unsigned)atoi(argv[++i]);
    else if (!strcmp(argv[i], "--symbolic"))
      settings.symbolic = true;
    else if (!strcmp(argv[i], "--quiet"))
      settings.quiet = true;
    else
      return fprintf(stderr, "unknown option %s\n", argv[i]), 2;
  }
  for (; i < argc; i++)
    run_folder(&settings, argv[i], counts);
  printf("%u passed, %u failed, %u unsupported\n", counts[PASS], counts[FAIL], counts[UNSUPPORTED]);
  return counts[FAIL] ? 1 : 0;
}
