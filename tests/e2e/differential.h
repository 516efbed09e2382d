/* SPDX-License-Identifier: Apache-2.0 */
/* One module, given as text, compiled in several ways and compared with the interpreter.
 *
 * What counts as equal: the interpreter runs in both modes, and a few more times with the results
 * of inexact ops (transcendental functions, sums of numbers that are not short) moved by a unit or
 * two in the last place. An engine's element must lie within what these runs gave, or beyond it by
 * as much again and a few units; where one of them is NaN or infinite, that is allowed too. Thus a
 * comparison or a rounding that hangs on the last bit excuses what follows from it, and nothing
 * else. */
#ifndef SINTER_TESTS_E2E_DIFFERENTIAL_H
#define SINTER_TESTS_E2E_DIFFERENTIAL_H

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "codegen/target.h"
#include "compiler/compile_driver.h"
#include "include/sinter/runtime.h"
#include "ir/interp.h"
#include "ir/random_inputs.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "ir/verify_module.h"
#include "tests/e2e/guard_driver.h"

#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIFF_RUNS = 10, DIFF_INPUTS = 3, DIFF_SECONDS = 60 };

/* How a module is compiled. */
struct differential_variant {
  const char *disabled, *target;
  uint32_t threads;
  bool guarded;        /* guard_driver.h */
  const char *devices; /* NULL: the processor */
};

static const struct differential_variant differential_variants[] = {
    {NULL, "native", 1, false, NULL},
    {NULL, "native", 2, false, NULL},
    {NULL, "native", 1, true, NULL},
    {"simplify", "native", 1, true, NULL},
    {"fold", "native", 1, true, NULL},
    {"cse,dce", "native", 1, true, NULL},
    {"unroll,hoist", "native", 1, true, NULL},
    {"check_shapes,simplify,fold,cse,unroll", "native", 1, true, NULL},
    {NULL, "x86-64-v3,x86-64-v2", 1, true, NULL},
    {NULL, "x86-64-v2", 1, true, NULL},
    {NULL, "x86-64-v3", 1, true, NULL},
};

/* The variants that are tried: the first `always`, and one of the others in turn. */
static struct {
  const struct differential_variant *list;
  uint32_t n, always;
  bool rounds_weights; /* of attention to its result's dtype, as op.def allows */
} differential_set = {differential_variants,
                      sizeof differential_variants / sizeof *differential_variants, 2, false};

static inline struct module *differential_parse(const char *text, struct diags *d) {
  struct module *m = NULL;
  module_parse("random.sir", text, strlen(text), d, &m);
  return m;
}

/* ---- moving what rounding may move ---- */

static inline double dtype_unit(enum dtype t) {
  switch (t) {
  case DTYPE_F64: return 0x1p-52;
  case DTYPE_F32: return 0x1p-23;
  case DTYPE_F16: return 0x1p-10;
  case DTYPE_BF16: return 0x1p-7;
  case DTYPE_F8E4M3FN:
  case DTYPE_F8E4M3FNUZ: return 0x1p-3;
  case DTYPE_F8E5M2:
  case DTYPE_F8E5M2FNUZ: return 0x1p-2;
  default: return 0.5;
  }
}

static inline bool inexact_body(const struct scalar_body *body) {
  for (uint32_t i = 0; i < body->len; i++) {
    enum scalar_op op = body->insts[i].op;
    if (op == SCALAR_POW || (op >= SCALAR_EXP && op <= SCALAR_ATANH))
      return true;
  }
  return false;
}

static inline bool short_number(double x) {
  return !isfinite(x) || (fabs(x) < 1024 && x * 64 == floor(x * 64));
}

/* Whether how terms are summed shows: not for a few small multiples of 1/64. */
static inline bool inexact_op(const struct interp *in, const struct op *op) {
  switch (op->kind) {
  case OP_MAP: return inexact_body(OP_ATTRS(map, op)->body);
  case OP_RANDOM:
  case OP_ATTENTION: return true;
  case OP_REDUCE:
  case OP_SCAN:
  case OP_WINDOW:
  case OP_CONTRACT:
  case OP_CONV:
  case OP_SCATTER:
    for (uint32_t i = 0; i < op->n_operands && i < 2; i++) {
      const struct tensor *x = in->values[op->operands[i]];
      for (int64_t k = 0; dtype_is_float(x->dtype) && k < x->count; k++)
        if (!short_number(x->f64[k]))
          return true;
    }
    return false;
  default: return false;
  }
}

static inline double largest_finite(const struct tensor *x) {
  double most = 0;
  for (int64_t k = 0; dtype_is_float(x->dtype) && k < x->count; k++)
    most = isfinite(x->f64[k]) ? fmax(most, fabs(x->f64[k])) : most;
  return most;
}

static inline void nudge(void *user, const struct interp *in, op_id id) {
  uint64_t *state = user;
  const struct op *op = function_op(in->function, id);
  if (!inexact_op(in, op))
    return;
  /* Terms that cancel leave their errors. */
  double terms = 0;
  bool sums = op->kind != OP_MAP && op->kind != OP_RANDOM;
  for (uint32_t i = 0; sums && i < op->n_operands && i < 2; i++)
    terms = fmax(terms, largest_finite(in->values[op->operands[i]]));
  if (sums && (op->kind == OP_CONTRACT || op->kind == OP_CONV))
    terms *= terms;
  bool weights = op->kind == OP_ATTENTION && differential_set.rounds_weights;
  if (weights)
    terms = fmax(terms, largest_finite(in->values[op->operands[2]]));
  for (uint32_t i = 0; i < op->n_results; i++) {
    struct tensor *x = in->values[op->results[i]];
    if (!x || !dtype_is_float(x->dtype))
      continue;
    double unit = dtype_unit(x->dtype), acc = x->dtype == DTYPE_F64 ? 0x1p-51 : 0x1p-22;
    if (weights && dtype_bits(x->dtype) < 32)
      acc = unit / 8; /* times 4: half a unit */
    for (int64_t k = 0; k < x->count; k++) {
      *state = hash_combine(*state, 1);
      double way = (double)(*state >> 20 & 15) / 7.5 - 1;
      double y = x->f64[k] + way * (fabs(x->f64[k]) * unit + terms * acc * 4);
      if (isfinite(x->f64[k]))
        x->f64[k] = interp_round(in, x->dtype, y);
    }
  }
}

/* ---- reference ---- */

struct reference_runs {
  uint32_t n, n_results;
  struct tensor **results[DIFF_RUNS];
};

static inline bool run_reference(const struct function *f, struct tensor *const *in, uint64_t seed,
                                 struct arena *arena, struct diags *d, struct reference_runs *out) {
  out->n = 0;
  out->n_results = f->regions.data[0].results.len;
  for (uint32_t r = 0; r < DIFF_RUNS; r++) {
    struct interp it;
    struct diags ignored = {0};
    uint64_t state = hash_combine(seed, r);
    out->results[out->n] = ARENA_ARRAY(arena, struct tensor *, out->n_results + 1);
    interp_init(&it, f, r == 1 ? INTERP_EXACT : INTERP_TYPED, arena, r ? &ignored : d);
    if (r > 1) {
      it.on_op = nudge;
      it.user = &state;
    }
    status st = interp_start(&it, in, out->results[out->n]);
    interp_deinit(&it);
    diags_deinit(&ignored);
    if (!st)
      out->n++;
    else if (r == 0)
      return false;
  }
  return true;
}

/* ---- comparison ---- */

static inline bool float_fits(double x, const double *runs, uint32_t n, enum dtype t) {
  double lo = INFINITY, hi = -INFINITY;
  bool odd = false;
  for (uint32_t i = 0; i < n; i++) {
    if (isnan(runs[i]) ? isnan(x) : runs[i] == x)
      return true;
    if (!isfinite(runs[i])) {
      odd = true;
      continue;
    }
    lo = fmin(lo, runs[i]);
    hi = fmax(hi, runs[i]);
  }
  if (odd)
    return true; /* some overflow and some do not */
  if (!isfinite(x))
    return false;
  double tiny = t == DTYPE_F64 ? DBL_MIN * DBL_EPSILON : t == DTYPE_F16 ? 0x1p-24 : 0x1p-133;
  double slack = (hi - lo) * 3 + fmax(fabs(lo), fabs(hi)) * dtype_unit(t) * 2 + tiny * 2;
  return x >= lo - slack && x <= hi + slack;
}

static inline bool integer_fits(int64_t x, const int64_t *runs, uint32_t n, bool is_signed) {
  int64_t lo = runs[0], hi = runs[0];
  for (uint32_t i = 0; i < n; i++) {
    if (runs[i] == x)
      return true;
    bool less = is_signed ? runs[i] < lo : (uint64_t)runs[i] < (uint64_t)lo;
    bool more = is_signed ? runs[i] > hi : (uint64_t)runs[i] > (uint64_t)hi;
    lo = less ? runs[i] : lo;
    hi = more ? runs[i] : hi;
  }
  return is_signed ? lo <= x && x <= hi
                   : (uint64_t)lo <= (uint64_t)x && (uint64_t)x <= (uint64_t)hi;
}

/* Each element of one result, of which `x` is the engine's. */
static inline bool result_fits(const struct reference_runs *ref, uint32_t result,
                               const struct tensor *x) {
  uint32_t n = 0;
  const struct tensor *runs[DIFF_RUNS];
  for (uint32_t r = 0; r < ref->n; r++) {
    const struct tensor *t = ref->results[r][result];
    if (t->count == x->count && t->rank == x->rank &&
        !memcmp(t->dims, x->dims, x->rank * sizeof *x->dims))
      runs[n++] = t;
  }
  const struct tensor *want = ref->results[0][result];
  if (n == 0) {
    fprintf(stderr, "result %u has another shape\n", result);
    return false;
  }
  for (int64_t k = 0; k < x->count; k++) {
    double fs[DIFF_RUNS];
    int64_t is[DIFF_RUNS];
    bool fits;
    for (uint32_t r = 0; r < n; r++) {
      if (dtype_is_float(x->dtype))
        fs[r] = runs[r]->f64[k];
      else
        is[r] = runs[r]->i64[k];
    }
    fits = dtype_is_float(x->dtype) ? float_fits(x->f64[k], fs, n, x->dtype)
                                    : integer_fits(x->i64[k], is, n, dtype_is_signed(x->dtype));
    if (fits)
      continue;
    if (dtype_is_float(x->dtype))
      fprintf(stderr, "result %u, element %lld of %lld: %.17g (%a), not %.17g (%a)\n", result,
              (long long)k, (long long)x->count, x->f64[k], x->f64[k], want->f64[k], want->f64[k]);
    else
      fprintf(stderr, "result %u, element %lld of %lld: %lld, not %lld\n", result, (long long)k,
              (long long)x->count, (long long)x->i64[k], (long long)want->i64[k]);
    return false;
  }
  return true;
}

/* ---- engines ---- */

static inline void as_input(struct arena *arena, const struct tensor *t, sinter_tensor *out) {
  uint64_t bytes;
  void *data = tensor_to_bytes(arena, t, &bytes);
  *out = (sinter_tensor){
      .dtype = (sinter_dtype)dtype_infos[t->dtype].onnx, .rank = t->rank, .bytes = bytes};
  memcpy(out->dims, t->dims, t->rank * sizeof *t->dims);
  out->data = guarded_create(bytes, true).data;
  if (bytes)
    memcpy(out->data, data, bytes);
}

static inline struct tensor *from_output(struct arena *arena, const sinter_tensor *t) {
  enum dtype dtype = DTYPE_F32;
  dtype_from_onnx((int32_t)t->dtype, &dtype);
  return tensor_from_bytes(arena, dtype, t->dims, t->rank, t->data);
}

struct engine_under_test {
  sinter_engine *engine;
  sinter_session *session;
};

static inline bool compile_variant(const char *text, const struct differential_variant *v,
                                   struct engine_under_test *out) {
  struct diags d = {0};
  struct strbuf path = {0};
  struct module *m = differential_parse(text, &d);
  struct compiler_options o = {.target = v->target,
                               .threads = 1,
                               .output_path = compiler_temporary_path(&path),
                               .pipeline = {.disabled = v->disabled, .verify_each = true}};
  status st = m ? compiler_build(&o, m, &d) : STATUS_INVALID;
  if (st) {
    fprintf(stderr, "does not compile\n");
    diags_print(&d, stderr);
  }
  module_destroy(m);
  bool fine = !st && !sinter_engine_open(path.data, NULL, &out->engine);
  sinter_session_options so = {
      .struct_size = sizeof so, .threads = v->threads, .devices = v->devices};
  fine = fine && !sinter_session_create(out->engine, &so, &out->session);
  if (fine && v->guarded)
    out->session->ranks[0].driver = guard_driver();
  if (!fine && !st)
    fprintf(stderr, "does not open: %s\n", sinter_last_error());
  unlink(path.data);
  strbuf_deinit(&path);
  diags_deinit(&d);
  return fine;
}

static inline bool run_variant(const struct engine_under_test *e, const struct function *f,
                               struct tensor *const *in, struct arena *arena,
                               struct tensor **out_results) {
  uint32_t n_in = f->regions.data[0].params.len, n_out = f->regions.data[0].results.len;
  sinter_tensor *inputs = ARENA_ARRAY(arena, sinter_tensor, n_in + 1);
  sinter_tensor *outputs = ARENA_ARRAY(arena, sinter_tensor, n_out + 1);
  for (uint32_t i = 0; i < n_in; i++)
    as_input(arena, in[i], &inputs[i]);
  for (uint32_t again = 0; again < 2; again++) {
    guard_at_end = again;
    if (sinter_session_run(e->session, "main", inputs, n_in, outputs, n_out)) {
      fprintf(stderr, "does not run: %s\n", sinter_last_error());
      return false;
    }
    /* The second time into memory whose size is known now. */
    for (uint32_t i = 0; i < n_out && !again; i++)
      outputs[i].data = guarded_create(outputs[i].bytes, true).data;
  }
  for (uint32_t i = 0; i < n_out; i++)
    out_results[i] = from_output(arena, &outputs[i]);
  return true;
}

static inline bool same_bits(struct tensor *const *a, struct tensor *const *b, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    if (a[i]->count != b[i]->count || memcmp(a[i]->data, b[i]->data, (size_t)a[i]->count * 8)) {
      fprintf(stderr, "result %u depends on the number of threads\n", i);
      return false;
    }
  return true;
}

/* In the calling process. */
static inline bool differential_check(const char *text, uint64_t seed) {
  struct diags d = {0};
  struct arena arena = {0};
  struct module *m = differential_parse(text, &d);
  if (!m) {
    diags_print(&d, stderr);
    return false;
  }
  const struct function *f = m->functions.data[0];
  uint32_t n_in = f->regions.data[0].params.len, n_out = f->regions.data[0].results.len;
  struct tensor **in[DIFF_INPUTS], **first[DIFF_INPUTS], **have;
  struct reference_runs *ref = ARENA_ARRAY(&arena, struct reference_runs, DIFF_INPUTS);
  bool known[DIFF_INPUTS], fine = true;
  uint64_t n_variants = differential_set.n, always = differential_set.always;
  for (uint32_t i = 0; i < DIFF_INPUTS; i++) {
    in[i] = ARENA_ARRAY(&arena, struct tensor *, n_in + 1);
    first[i] = ARENA_ARRAY(&arena, struct tensor *, n_out + 1);
    known[i] = random_inputs(f, seed * 31 + i, &arena, in[i]) &&
               run_reference(f, in[i], seed, &arena, &d, &ref[i]);
  }
  for (uint32_t k = 0; k < n_variants && fine; k++) {
    const struct differential_variant *v = &differential_set.list[k];
    struct engine_under_test e = {0};
    if (k >= always && k != always + seed % (n_variants - always) && !getenv("SINTER_ALL_VARIANTS"))
      continue;
    fine = compile_variant(text, v, &e);
    for (uint32_t i = 0; i < DIFF_INPUTS && fine; i++) {
      if (!known[i])
        continue;
      have = k ? ARENA_ARRAY(&arena, struct tensor *, n_out + 1) : first[i];
      fine = run_variant(&e, f, in[i], &arena, have);
      for (uint32_t r = 0; r < n_out && fine; r++)
        fine = result_fits(&ref[i], r, have[r]);
      if (fine && k == 1 && always > 1)
        fine = same_bits(first[i], have, n_out);
      if (!fine)
        fprintf(stderr, "inputs %u\n", i);
    }
    sinter_session_destroy(e.session);
    sinter_engine_close(e.engine);
    if (!fine)
      fprintf(stderr, "without %s, for %s, %u threads%s\n", v->disabled ? v->disabled : "nothing",
              v->target, v->threads, v->guarded ? ", guarded" : "");
  }
  module_destroy(m);
  arena_deinit(&arena);
  diags_deinit(&d);
  return fine;
}

/* In a process of its own; silent: what it says is dropped. */
static inline bool differential_try(const char *text, uint64_t seed, bool silent) {
  fflush(stdout);
  fflush(stderr);
  pid_t child = fork();
  if (child < 0)
    abort();
  if (child == 0) {
    if (silent) {
      int nowhere = open("/dev/null", O_WRONLY);
      dup2(nowhere, 2);
    }
    signal(SIGSEGV, SIG_DFL), signal(SIGABRT, SIG_DFL), signal(SIGFPE, SIG_DFL);
    signal(SIGBUS, SIG_DFL), signal(SIGILL, SIG_DFL);
    alarm(DIFF_SECONDS);
    _exit(differential_check(text, seed) ? 0 : 1);
  }
  int how;
  waitpid(child, &how, 0);
  if (WIFSIGNALED(how) && !silent)
    fprintf(stderr, "%s\n", WTERMSIG(how) == SIGALRM ? "hangs" : strsignal(WTERMSIG(how)));
  return WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

static inline bool differential_holds(const char *text, uint64_t seed) {
  return differential_try(text, seed, false);
}

/* ---- making it smaller ---- */

/* Drops what nothing uses, and prints; NULL where the module does not verify. */
static inline char *finish_reduced(struct module *m) {
  struct diags d = {0};
  struct strbuf text = {0};
  struct pipeline_options o = {.passes = "dce"};
  bool sound = module_verify(m, &d) == STATUS_OK && pipeline_run(m, &o, &d) == STATUS_OK &&
               module_verify(m, &d) == STATUS_OK;
  if (sound)
    module_print(m, &text);
  struct module *back = sound ? differential_parse(text.data, &d) : NULL;
  if (!back) {
    strbuf_deinit(&text);
    text.data = NULL;
  }
  module_destroy(back);
  module_destroy(m);
  diags_deinit(&d);
  return text.data;
}

static inline char *without_result(const char *text, uint32_t i) {
  struct diags d = {0};
  struct module *m = differential_parse(text, &d);
  struct region *body = &m->functions.data[0]->regions.data[0];
  struct entry *e = &m->entries.data[0];
  if (body->results.len < 2 || i >= body->results.len) {
    module_destroy(m);
    return NULL;
  }
  for (uint32_t k = i; k + 1 < body->results.len; k++) {
    body->results.data[k] = body->results.data[k + 1];
    e->output_names.data[k] = e->output_names.data[k + 1];
  }
  body->results.len--;
  e->output_names.len--;
  return finish_reduced(m);
}

static inline void replace_everywhere(struct function *f, value_id from, value_id to) {
  for (uint32_t o = 1; o < f->ops.len; o++) {
    value_id *operands = (value_id *)(uintptr_t)f->ops.data[o].operands;
    for (uint32_t k = 0; k < f->ops.data[o].n_operands; k++)
      if (operands[k] == from)
        operands[k] = to;
  }
  for (uint32_t r = 0; r < f->regions.len; r++)
    for (uint32_t k = 0; k < f->regions.data[r].results.len; k++)
      if (f->regions.data[r].results.data[k] == from)
        f->regions.data[r].results.data[k] = to;
}

/* The op's results become inputs, or, of a region, its first operand of the same type. */
static inline char *without_op(const char *text, op_id id, uint32_t how) {
  struct diags d = {0};
  struct module *m = differential_parse(text, &d);
  struct function *f = m->functions.data[0];
  if (id >= f->ops.len || f->ops.data[id].kind == OP_NONE)
    goto none;
  struct op op = f->ops.data[id];
  if (how == 0 && op.n_results == 0)
    goto none;
  for (uint32_t i = 0; i < op.n_results; i++) {
    value_id with = VALUE_NONE;
    if (how == 0 && op.kind != OP_CONST) {
      struct type type = *value_type(f, op.results[i]);
      char name[24];
      snprintf(name, sizeof name, "r%u", op.results[i]);
      with = region_add_param(f, 0, &type, name);
      vec_push(&m->entries.data[0].input_names, module_intern(m, name));
    }
    for (uint32_t k = 0; how == 1 && k < op.n_operands && with == VALUE_NONE; k++)
      if (type_same_shape(value_type(f, op.operands[k]), value_type(f, op.results[i])) &&
          value_type(f, op.operands[k])->dtype == value_type(f, op.results[i])->dtype)
        with = op.operands[k];
    if (with == VALUE_NONE)
      goto none;
    replace_everywhere(f, op.results[i], with);
  }
  if (op.n_results == 0)
    goto none;
  return finish_reduced(m);
none:
  module_destroy(m);
  return NULL;
}

/* Results of some op in place of all others. */
static inline char *cut_at_op(const char *text, op_id id) {
  struct diags d = {0};
  struct module *m = differential_parse(text, &d);
  struct function *f = m->functions.data[0];
  struct region *body = &f->regions.data[0];
  struct entry *e = &m->entries.data[0];
  if (id >= f->ops.len || f->ops.data[id].kind == OP_NONE || f->ops.data[id].parent != 0 ||
      f->ops.data[id].n_results == 0) {
    module_destroy(m);
    return NULL;
  }
  vec_clear(&body->results);
  vec_clear(&e->output_names);
  for (uint32_t i = 0; i < f->ops.data[id].n_results; i++) {
    char name[16];
    snprintf(name, sizeof name, "out%u", i);
    vec_push(&body->results, f->ops.data[id].results[i]);
    vec_push(&e->output_names, module_intern(m, name));
  }
  return finish_reduced(m);
}

static inline uint32_t count_ops_of(const char *text) {
  struct diags d = {0};
  struct module *m = differential_parse(text, &d);
  uint32_t n = m->functions.data[0]->ops.len;
  module_destroy(m);
  return n;
}

static inline bool take_if_fails(char **text, char *smaller, uint64_t seed) {
  bool taken = smaller && strcmp(*text, smaller) && !differential_try(smaller, seed, true);
  if (taken) {
    mem_free(*text);
    *text = smaller;
  } else {
    mem_free(smaller);
  }
  return taken;
}

static inline char *reduce(const char *whole, uint64_t seed) {
  struct strbuf copy = {0};
  strbuf_printf(&copy, "%s", whole);
  char *text = copy.data;
  uint32_t n = count_ops_of(text);
  for (op_id i = 1; i < n; i++)
    if (take_if_fails(&text, cut_at_op(text, i), seed))
      break;
  for (uint32_t i = 40; i-- > 0;)
    take_if_fails(&text, without_result(text, i), seed);
  for (bool any = true; any;) {
    any = false;
    for (op_id i = count_ops_of(text); i-- > 1;)
      any |= take_if_fails(&text, without_op(text, i, 1), seed) ||
             take_if_fails(&text, without_op(text, i, 0), seed);
  }
  return text;
}

static inline void differential_report(const char *text, uint64_t seed) {
  fprintf(stderr, "%s", text);
  char *small = reduce(text, seed);
  fprintf(stderr, "---- reduced\n%s", small);
  differential_try(small, seed, false);
  mem_free(small);
}

#endif
