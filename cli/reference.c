/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter as the judge of an engine. */
#include "cli/reference.h"

#include "cli/host_tensor.h"
#include "ir/interp.h"

#include <math.h>
#include <string.h>

bool reference_passes(const struct reference_result *r, double limit) {
  return !r->wrong && r->multiple <= limit;
}

/* Half the distance of 1 and the next number. */
static double unit_roundoff(enum dtype dtype) {
  switch (dtype) {
  case DTYPE_F64: return 0x1p-53;
  case DTYPE_F32: return 0x1p-24;
  case DTYPE_F16: return 0x1p-11;
  case DTYPE_BF16: return 0x1p-8;
  case DTYPE_F8E4M3FN:
  case DTYPE_F8E4M3FNUZ: return 0x1p-4;
  case DTYPE_F8E5M2:
  case DTYPE_F8E5M2FNUZ: return 0x1p-3;
  default: return 0.5;
  }
}

static void take_wrong(struct reference_result *r, int64_t i, double engine, double exact) {
  if (!r->wrong++) {
    r->worst = (uint64_t)i;
    r->engine = engine;
    r->exact = exact;
  }
}

static bool same_class(double a, double b) { return (isnan(a) && isnan(b)) || a == b; }

static void compare_floats(const sinter_tensor *engine, const struct tensor *typed,
                           const struct tensor *exact, struct reference_result *r) {
  double largest = 0;
  for (int64_t i = 0; i < exact->count; i++) {
    double x = host_tensor_get(engine, (uint64_t)i), t = typed->f64[i], e = exact->f64[i];
    if (!isfinite(x) || !isfinite(e)) {
      /* What overflows in the type may be finite in f64. */
      if (!same_class(x, e) && !same_class(x, t))
        take_wrong(r, i, x, e);
      continue;
    }
    largest = fmax(largest, fabs(e));
    if (isfinite(t))
      r->unit = fmax(r->unit, fabs(t - e));
    if (fabs(x - e) > r->error) {
      r->error = fabs(x - e);
      if (!r->wrong) {
        r->worst = (uint64_t)i;
        r->engine = x;
        r->exact = e;
      }
    }
  }
  r->unit = fmax(r->unit, largest * unit_roundoff(exact->dtype));
  r->multiple = r->error > 0 ? r->error / fmax(r->unit, 0x1p-149) : 0;
}

/* A value next to a rounding step may go either way: both runs' answers are right. */
static void compare_integers(const sinter_tensor *engine, const struct tensor *typed,
                             const struct tensor *exact, struct reference_result *r) {
  for (int64_t i = 0; i < exact->count; i++) {
    int64_t x = host_tensor_get_i64(engine, (uint64_t)i);
    if (x != typed->i64[i] && x != exact->i64[i])
      take_wrong(r, i, (double)x, (double)exact->i64[i]);
  }
}

static void compare_strings(const struct module *m, const sinter_tensor *engine,
                            const struct tensor *typed, struct reference_result *r) {
  const sinter_string *x = engine->data;
  for (int64_t i = 0; i < typed->count; i++) {
    struct host_string y;
    if (!host_strings_get(&m->strings, (uint64_t)typed->i64[i], &y) || x[i].size != y.size ||
        (y.size && memcmp(x[i].data, y.data, y.size) != 0))
      take_wrong(r, i, 0, 0);
  }
}

/* The interpreter's strings are numbers of the module's. */
static struct tensor *strings_in(struct module *m, struct arena *arena, const sinter_tensor *from) {
  struct tensor *t = tensor_create(arena, DTYPE_STRING, from->dims, from->rank);
  const sinter_string *x = from->data;
  for (int64_t i = 0; t && i < t->count; i++)
    t->i64[i] = (int64_t)module_add_string(m, x[i].data, x[i].size);
  return t;
}

static bool same_dims(const sinter_tensor *a, const struct tensor *b) {
  bool same = a->rank == b->rank;
  for (uint32_t i = 0; same && i < a->rank; i++)
    same = a->dims[i] == b->dims[i];
  return same;
}

static status compare_output(const struct module *m, const char *name, const sinter_tensor *engine,
                             const struct tensor *typed, const struct tensor *exact,
                             struct diags *d, struct reference_result *r) {
  enum dtype dtype;
  *r = (struct reference_result){.elements = (uint64_t)exact->count};
  bool typed_fits = typed->rank == exact->rank &&
                    !memcmp(typed->dims, exact->dims, exact->rank * sizeof *exact->dims);
  if (!host_tensor_dtype(engine, &dtype) || dtype != exact->dtype || !same_dims(engine, exact) ||
      !typed_fits) {
    struct strbuf form = {0};
    host_tensor_describe(engine, &form);
    status s = diag_report(d, DIAG_E0805, NULL, NULL,
                           "output '%s' is %s, and the interpreter gives another type or shape",
                           name, form.data);
    strbuf_deinit(&form);
    return s;
  }
  if (dtype == DTYPE_STRING)
    compare_strings(m, engine, typed, r);
  else if (dtype_is_float(dtype))
    compare_floats(engine, typed, exact, r);
  else
    compare_integers(engine, typed, exact, r);
  return STATUS_OK;
}

status reference_compare(const struct module *m, const sinter_tensor *inputs, uint32_t n_inputs,
                         const sinter_tensor *outputs, uint32_t n_outputs, struct diags *d,
                         struct reference_result *out_results) {
  const struct entry *entry = &m->entries.data[0];
  const struct function *f = vec_last(&entry->variants).function;
  struct arena arena = {0};
  struct tensor **in = ARENA_ARRAY(&arena, struct tensor *, n_inputs);
  struct tensor **typed = ARENA_ARRAY(&arena, struct tensor *, n_outputs);
  struct tensor **exact = ARENA_ARRAY(&arena, struct tensor *, n_outputs);
  status s = STATUS_OK;
  for (uint32_t i = 0; i < n_inputs; i++) {
    enum dtype dtype = DTYPE_F32;
    host_tensor_dtype(&inputs[i], &dtype);
    in[i] = dtype == DTYPE_STRING
                ? strings_in(f->module, &arena, &inputs[i])
                : tensor_from_bytes(&arena, dtype, inputs[i].dims, inputs[i].rank, inputs[i].data);
  }
  if (entry->output_names.len != n_outputs || entry->input_names.len != n_inputs)
    s = diag_report(d, DIAG_E0805, NULL, NULL,
                    "the engine and the model have not the same signature");
  if (!s)
    s = interp_run(f, INTERP_TYPED, in, &arena, d, typed);
  if (!s)
    s = interp_run(f, INTERP_EXACT, in, &arena, d, exact);
  for (uint32_t i = 0; i < n_outputs && !s; i++)
    s = compare_output(m, entry->output_names.data[i], &outputs[i], typed[i], exact[i], d,
                       &out_results[i]);
  arena_deinit(&arena);
  return s;
}
