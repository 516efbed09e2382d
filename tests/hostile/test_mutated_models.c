/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole way with models that were changed at random, each in a process of its own: a model is
 * refused with a code, or its engine opens, and runs on random inputs, or says why not. Nothing
 * crashes, hangs, touches memory beside inputs and outputs, or calls itself an internal error.
 *
 *   SINTER_HOSTILE_SECONDS  how long, 12 unless set
 *   SINTER_HOSTILE_SEED     1 unless set; a failure prints it
 *   SINTER_HOSTILE_CASE     this case only, in this process, for a debugger
 *   SINTER_HOSTILE_MODELS   a folder of folders with model.onnx; Debian's ONNX test data unless set
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "compiler/compile_driver.h"
#include "frontend/onnx/import.h"
#include "frontend/onnx/model_load.h"
#include "ir/graph.h"
#include "ir/verify.h"
#include "sinter/runtime.h"
#include "tests/support/environment.h"
#include "tests/support/model_list.h"
#include "tests/support/model_mutate.h"
#include "tests/support/mutation.h"

#define MODELS "/usr/share/libonnx-testdata/data/node"

enum { LARGEST_MODEL = 64 << 10, SECONDS_A_CASE = 10, FAILURES_SHOWN = 10 };

static struct model_list models;

/* ---- random inputs ---- */

static uint64_t state;

static uint64_t draw(uint64_t n) { return mutation_draw(&state, n); }

/* Memory that ends at a page nobody may touch; at most an element's alignment lies between. */
static void *fenced(size_t bytes, size_t alignment) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
  char *p = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED || mprotect(p + room, page, PROT_NONE))
    _exit(0); /* this machine's memory is not under test */
  return p + (room - bytes) / alignment * alignment;
}

static uint32_t bits_of(sinter_dtype dtype) {
  enum dtype d;
  const char *name = sinter_dtype_name(dtype);
  return dtype_from_name(name, strlen(name), &d) ? (uint32_t)dtype_infos[d].bits : 0;
}

static void fill(void *data, size_t bytes, uint32_t bits, sinter_dtype dtype) {
  uint64_t kind = draw(4);
  for (size_t i = 0; i < bytes; i++)
    ((uint8_t *)data)[i] = (uint8_t)(kind == 0 ? draw(256) : 0);
  if (kind == 0 && dtype != SINTER_BOOL)
    return;
  for (size_t i = 0; bits >= 8 && i < bytes / (bits / 8); i++) {
    int64_t small = (int64_t)draw(7) - 3;
    if (dtype == SINTER_F32)
      ((float *)data)[i] = (float)small / 2;
    else if (dtype == SINTER_F64)
      ((double *)data)[i] = (double)small / 2;
    else if (dtype == SINTER_BOOL)
      ((uint8_t *)data)[i] = small & 1;
    else
      memcpy((char *)data + i * (bits / 8), &small, bits / 8);
  }
}

/* False where the engine wants more than a test should give. */
static bool make_input(const sinter_port *port, int64_t usual, sinter_tensor *t) {
  uint32_t bits = bits_of(port->dtype);
  uint64_t elements = 1;
  *t = (sinter_tensor){.dtype = port->dtype, .rank = port->rank};
  for (uint32_t i = 0; i < port->rank; i++) {
    const sinter_dim *d = &port->dims[i];
    int64_t size = d->value >= 0 ? d->value : draw(4) ? usual : draw(2) ? 0 : (int64_t)draw(6);
    if (size < d->lo && draw(8))
      size = d->lo;
    t->dims[i] = size;
    if (size > 1 << 20 || (elements *= (uint64_t)size) > 1 << 20)
      return false;
  }
  t->bytes = (elements * bits + 7) / 8;
  t->data = fenced(t->bytes, bits >= 8 ? bits / 8 : 1);
  fill(t->data, t->bytes, bits, port->dtype);
  return bits > 0;
}

/* ---- one case ---- */

_Noreturn static void bug(const char *what, const char *text) {
  fprintf(stderr, "%s: %s\n", what, text);
  _exit(1);
}

/* Again, with outputs in memory whose end is guarded. */
static void run_into_fences(sinter_session *s, const char *entry, sinter_tensor *in, uint32_t n_in,
                            const sinter_tensor *out, uint32_t n_out) {
  sinter_tensor own[64];
  for (uint32_t i = 0; i < n_out; i++) {
    uint32_t bits = bits_of(out[i].dtype);
    own[i] = (sinter_tensor){.bytes = out[i].bytes,
                             .data = fenced(out[i].bytes, bits >= 8 ? bits / 8 : 1)};
  }
  if (sinter_session_run(s, entry, in, n_in, own, n_out) == SINTER_INTERNAL)
    bug("run into own memory", sinter_last_error());
}

static void run_entry(sinter_engine *e, sinter_session *s, uint32_t entry) {
  uint32_t n_in = sinter_engine_input_count(e, entry);
  uint32_t n_out = sinter_engine_output_count(e, entry);
  sinter_tensor in[64], out[64] = {0};
  int64_t usual = 1 + (int64_t)draw(4);
  if (n_in > 64 || n_out > 64)
    return;
  for (uint32_t i = 0; i < n_in; i++)
    if (!make_input(sinter_engine_input(e, entry, i), usual, &in[i]))
      return;
  const char *name = sinter_engine_entry_name(e, entry);
  sinter_status st = sinter_session_run(s, name, in, n_in, out, n_out);
  if (st == SINTER_INTERNAL)
    bug("run", sinter_last_error());
  if (st == SINTER_OK)
    run_into_fences(s, name, in, n_in, out, n_out);
}

static sinter_session *running;

static void on_timer(int number) {
  (void)number;
  sinter_session_cancel(running);
}

/* A model may loop for as long as it likes, until it is cancelled. */
static void cancel_after_a_second(sinter_session *s) {
  running = s;
  signal(SIGPROF, on_timer);
  setitimer(ITIMER_PROF, &(struct itimerval){{1, 0}, {1, 0}}, NULL);
}

static void run_engine(const char *path) {
  sinter_engine *e;
  sinter_session *s;
  if (sinter_engine_open(path, NULL, &e))
    bug("open", sinter_last_error());
  sinter_session_options o = {.struct_size = sizeof o, .threads = 1, .memory_limit = 64 << 20};
  if (sinter_session_create(e, &o, &s) == SINTER_OK) {
    cancel_after_a_second(s);
    for (int round = 0; round < 4; round++)
      for (uint32_t i = 0; i < sinter_engine_entry_count(e); i++)
        run_entry(e, s, i);
    setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);
    sinter_session_destroy(s);
  }
  sinter_engine_close(e);
}

struct attempt {
  const uint8_t *bytes;
  size_t n;
  const char *engine;
  struct diags diags;
  bool imported;
};

static status compile(void *context) {
  struct attempt *a = context;
  struct onnx_model *model;
  struct module *m;
  status st = onnx_model_load_memory(a->bytes, a->n, NULL, &a->diags, &model);
  if (st != STATUS_OK)
    return st;
  st = onnx_import(model, NULL, &a->diags, &m);
  if (st == STATUS_OK) {
    a->imported = true;
    if (module_verify(m, &a->diags) != STATUS_OK)
      st = STATUS_INTERNAL;
    else
      st = compiler_build(&(struct compiler_options){.output_path = a->engine, .threads = 1}, m,
                          &a->diags);
    module_destroy(m);
  }
  onnx_model_destroy(model);
  return st;
}

static char folder[] = "/tmp/sinter_hostile_XXXXXX";

enum outcome { REFUSED, COMPILED, BUG };

/* In the child. Prints and exits; the exit code is 10 + outcome. */
_Noreturn static void try_case(uint64_t seed, uint64_t at) {
  struct arena arena = {0};
  struct attempt a = {0};
  char engine[64], path[64];
  size_t n;
  char *bytes;
  state = (seed * 1000003 + at) * UINT64_C(0x9e3779b97f4a7c15) | 1;
  for (int i = 0; i < 8; i++)
    draw(1);
  const char *model = models.paths[draw(models.n)];
  if (file_read(model, LARGEST_MODEL, &a.diags, &bytes, &n) != STATUS_OK)
    _exit(10 + REFUSED);
  uint32_t changes = 1 + (uint32_t)draw(draw(2) ? 2 : 8);
  a.bytes = model_mutate(&onnx__model_proto__descriptor, (uint8_t *)bytes, n, draw(UINT64_MAX),
                         changes, &arena, &a.n);
  if (!a.bytes)
    _exit(10 + REFUSED);
  snprintf(path, sizeof path, "%s/%llu.onnx", folder, (unsigned long long)at);
  snprintf(engine, sizeof engine, "%s/%llu.sinter", folder, (unsigned long long)at);
  fprintf(stderr, "%s, %u changes\n", model, changes);
  FILE *f = fopen(path, "wb");
  if (f) {
    fwrite(a.bytes, 1, a.n, f);
    fclose(f);
  }
  a.engine = engine;
  status st = oom_guard_run(compile, &a);
  if (st == STATUS_INTERNAL) {
    diags_print(&a.diags, stderr);
    _exit(1);
  }
  if (st != STATUS_OK && st != STATUS_RESOURCES && diags_errors(&a.diags) == 0)
    bug("compile", "a failure without a word");
  if (st == STATUS_OK)
    run_engine(engine);
  fflush(NULL);
  _exit(10 + (st == STATUS_OK ? COMPILED : REFUSED));
}

static void limit(void) {
  struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  struct rlimit memory = {UINT64_C(4) << 30, UINT64_C(4) << 30};
  setrlimit(RLIMIT_AS, &memory);
#endif
  alarm(SECONDS_A_CASE);
}

static void show_log(const char *path) {
  char line[400];
  FILE *f = fopen(path, "r");
  for (int i = 0; f && i < 24 && fgets(line, sizeof line, f); i++)
    fprintf(stderr, "    %s", line);
  if (f)
    fclose(f);
}

static enum outcome run_case(uint64_t seed, uint64_t at) {
  char log[64], path[64];
  int how;
  snprintf(log, sizeof log, "%s/log", folder);
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    if (!freopen(log, "w", stderr))
      _exit(1);
    setvbuf(stderr, NULL, _IONBF, 0);
    signal(SIGSEGV, SIG_DFL); /* cmocka's handlers would end the test, not the case */
    signal(SIGBUS, SIG_DFL);
    signal(SIGFPE, SIG_DFL);
    signal(SIGILL, SIG_DFL);
    limit();
    try_case(seed, at);
  }
  assert_int_not_equal(pid, -1);
  waitpid(pid, &how, 0);
  snprintf(path, sizeof path, "%s/%llu.sinter", folder, (unsigned long long)at);
  unlink(path);
  snprintf(path, sizeof path, "%s/%llu.onnx", folder, (unsigned long long)at);
  int code = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
  if (code >= 10 && code < 10 + BUG) {
    unlink(path);
    return (enum outcome)(code - 10);
  }
  if (WIFSIGNALED(how))
    fprintf(stderr, "case %llu of seed %llu: %s\n", (unsigned long long)at,
            (unsigned long long)seed, strsignal(WTERMSIG(how)));
  else
    fprintf(stderr, "case %llu of seed %llu: exit code %d\n", (unsigned long long)at,
            (unsigned long long)seed, code);
  fprintf(stderr, "  kept as %s\n", path);
  show_log(log);
  return BUG;
}

static void changed_models_are_refused_or_run(void **unused) {
  (void)unused;
  const char *from = getenv("SINTER_HOSTILE_MODELS");
  models = model_list_of(from ? from : MODELS);
  if (!models.n) {
    print_message("no models in %s: nothing is tested\n", from ? from : MODELS);
    skip();
  }
  assert_non_null(mkdtemp(folder));
  uint64_t seed = number_from("SINTER_HOSTILE_SEED", 1);
  if (getenv("SINTER_HOSTILE_CASE"))
    try_case(seed, number_from("SINTER_HOSTILE_CASE", 0));
  uint64_t counts[BUG + 1] = {0}, at = number_from("SINTER_HOSTILE_FROM", 0);
  double begin = clock_now_s(), seconds = (double)number_from("SINTER_HOSTILE_SECONDS", 12);
  for (; clock_now_s() - begin < seconds && counts[BUG] < FAILURES_SHOWN; at++)
    counts[run_case(seed, at)]++;
  print_message("seed %llu: %llu models refused, %llu compiled and run, %llu bugs\n",
                (unsigned long long)seed, (unsigned long long)counts[REFUSED],
                (unsigned long long)counts[COMPILED], (unsigned long long)counts[BUG]);
  char log[64];
  snprintf(log, sizeof log, "%s/log", folder);
  unlink(log);
  rmdir(folder);
  assert_int_equal(counts[BUG], 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(changed_models_are_refused_or_run)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
