/* SPDX-License-Identifier: Apache-2.0 */
/* Models of ONNX's tests, changed at random (onnx_mutate.h), compiled and run, against the
 * interpreter: what the importer takes must compile or be refused with a code, and what runs must
 * give what the graph says (differential.h). Each case is a process of its own, so that a crash or
 * a hang is a failure like any other. The changes are such that many models stay models;
 * hostile/mutated_models makes wilder ones, and only looks for crashes.
 *
 *   SINTER_MUTATED_SECONDS  how long, 600 with SINTER_ALL=1; otherwise the first 200 cases are run
 *   SINTER_MUTATED_SEED     1 unless set; a failure prints it
 *   SINTER_MUTATED_CASE     this case only, in this process, made smaller if it fails
 *   SINTER_MUTATED_MODELS   a folder of folders with model.onnx; Debian's ONNX test data unless set
 */
#include "tests/e2e/differential.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "frontend/onnx/import.h"
#include "frontend/onnx/model_load.h"
#include "tests/support/environment.h"
#include "tests/support/model_list.h"
#include "tests/support/onnx_mutate.h"

#define MODELS "/usr/share/libonnx-testdata/data/node"

/* What changes values within rounding, as much as a sum that cancels makes of it, is left out;
 * end_unless_compiled has all passes. */
#define ROUGH "strength,fold_affine,recognise_attention"

static const struct differential_variant variants[] = {
    {ROUGH, "native", 2, false, NULL},
    {ROUGH, "x86-64-v2", 1, true, NULL},
    {ROUGH ",simplify", "native", 1, true, NULL},
    {ROUGH ",fold,cse", "x86-64-v3", 1, true, NULL},
    {ROUGH ",unroll,hoist,layout", "native", 1, true, NULL},
};

enum { LARGEST_MODEL = 1 << 20, SECONDS_A_CASE = 60, USUAL_CASES = 200 };

enum outcome { REFUSED, SLOW, FITS, BUG, OUTCOMES };

static struct model_list models;

/* ---- one case, in a process of its own ---- */

_Noreturn static void end(enum outcome outcome) {
  fflush(NULL);
  _exit(10 + (int)outcome);
}

static void too_slow(int number) {
  (void)number;
  _exit(10 + SLOW);
}

/* The changed model as a graph; ends the process where it is refused. */
static struct module *import_case(const uint8_t *bytes, size_t n) {
  struct diags d = {0};
  struct onnx_model *model;
  struct module *m;
  if (onnx_model_load_memory(bytes, n, NULL, &d, &model) != STATUS_OK)
    end(REFUSED);
  status st = onnx_import(model, NULL, &d, &m);
  if (st == STATUS_INTERNAL || (st != STATUS_OK && st != STATUS_RESOURCES && !diags_errors(&d))) {
    fprintf(stderr, "import\n");
    diags_print(&d, stderr);
    end(BUG);
  }
  if (st != STATUS_OK)
    end(REFUSED);
  if (module_verify(m, &d) != STATUS_OK) {
    diags_print(&d, stderr);
    end(BUG);
  }
  return m;
}

/* Strings have no form outside of sessions; other graphs must be quick to interpret. */
static void end_unless_quick(const struct module *m, uint64_t seed) {
  const struct function *f = m->functions.data[0];
  struct arena arena = {0};
  struct diags d = {0};
  uint32_t n_in = f->regions.data[0].params.len, n_out = f->regions.data[0].results.len;
  struct tensor **in = ARENA_ARRAY(&arena, struct tensor *, n_in + 1);
  struct tensor **out = ARENA_ARRAY(&arena, struct tensor *, n_out + 1);
  struct interp it;
  for (value_id v = 1; v < f->values.len; v++)
    if (value_type(f, v)->dtype == DTYPE_STRING)
      end(REFUSED);
  if (!random_inputs(f, seed * 31, &arena, in))
    end(REFUSED);
  interp_init(&it, f, INTERP_TYPED, &arena, &d);
  it.budget = 1 << 22;
  signal(SIGALRM, too_slow);
  alarm(1);
  status st = interp_start(&it, in, out);
  alarm(0);
  if (st == STATUS_RESOURCES)
    end(SLOW);
  interp_deinit(&it);
  diags_deinit(&d);
  arena_deinit(&arena);
}

/* What the compiler refuses is refused with a code. */
static void end_unless_compiled(const char *text) {
  struct diags d = {0};
  struct strbuf path = {0};
  struct module *m = differential_parse(text, &d);
  struct compiler_options o = {.threads = 1, .output_path = compiler_temporary_path(&path)};
  status st = m ? compiler_build(&o, m, &d) : STATUS_INTERNAL;
  unlink(path.data);
  if (st == STATUS_INTERNAL || (st != STATUS_OK && st != STATUS_RESOURCES && !diags_errors(&d))) {
    fprintf(stderr, "%s\n", m ? "compile" : "what was printed does not parse");
    diags_print(&d, stderr);
    end(BUG);
  }
  module_destroy(m);
  if (st != STATUS_OK)
    end(REFUSED);
  strbuf_deinit(&path);
  diags_deinit(&d);
}

static char folder[] = "/tmp/sinter_mutated_XXXXXX";

static uint64_t mixed(uint64_t seed, uint64_t at) {
  return hash_combine(hash_combine(seed, at), 7);
}

_Noreturn static void try_case(uint64_t seed, uint64_t at) {
  struct arena arena = {0};
  struct diags d = {0};
  struct strbuf text = {0};
  uint64_t h = mixed(seed, at);
  const char *model = models.paths[h % models.n];
  char *bytes, path[64];
  size_t n, changed_n;
  if (file_read(model, LARGEST_MODEL, &d, &bytes, &n) != STATUS_OK)
    end(REFUSED);
  uint32_t changes = 1 + (uint32_t)(h >> 32) % 4;
  uint8_t *changed = onnx_mutate((uint8_t *)bytes, n, h, changes, &arena, &changed_n);
  if (!changed)
    end(REFUSED);
  fprintf(stderr, "%s, %u changes\n", model, changes);
  snprintf(path, sizeof path, "%s/%llu.onnx", folder, (unsigned long long)at);
  FILE *f = fopen(path, "wb");
  if (f) {
    fwrite(changed, 1, changed_n, f);
    fclose(f);
  }
  alarm(SECONDS_A_CASE);
  struct module *m = import_case(changed, changed_n);
  end_unless_quick(m, h);
  module_print(m, &text);
  signal(SIGALRM, SIG_DFL);
  alarm(SECONDS_A_CASE);
  end_unless_compiled(text.data);
  bool fits = differential_check(text.data, h);
  if (!fits && getenv("SINTER_MUTATED_CASE"))
    differential_report(text.data, h);
  end(fits ? FITS : BUG);
}

static void show_log(const char *path) {
  char line[400];
  FILE *f = fopen(path, "r");
  for (int i = 0; f && i < 40 && fgets(line, sizeof line, f); i++)
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
    signal(SIGSEGV, SIG_DFL), signal(SIGABRT, SIG_DFL), signal(SIGFPE, SIG_DFL);
    signal(SIGBUS, SIG_DFL), signal(SIGILL, SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    try_case(seed, at);
  }
  assert_int_not_equal(pid, -1);
  waitpid(pid, &how, 0);
  snprintf(path, sizeof path, "%s/%llu.onnx", folder, (unsigned long long)at);
  int code = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
  if (code >= 10 && code < 10 + BUG) {
    unlink(path);
    return (enum outcome)(code - 10);
  }
  fprintf(stderr, "case %llu of seed %llu: %s\n  kept as %s\n", (unsigned long long)at,
          (unsigned long long)seed, WIFSIGNALED(how) ? strsignal(WTERMSIG(how)) : "wrong", path);
  show_log(log);
  return BUG;
}

static void changed_models_compute_what_they_say(void **unused) {
  (void)unused;
  const char *from = getenv("SINTER_MUTATED_MODELS");
  models = model_list_of(from ? from : MODELS);
  if (!models.n) {
    print_message("no models in %s: nothing is tested\n", from ? from : MODELS);
    skip();
  }
  assert_non_null(mkdtemp(folder));
  uint64_t seed = number_from("SINTER_MUTATED_SEED", 1);
  differential_set.list = variants;
  differential_set.n = sizeof variants / sizeof *variants;
  differential_set.always = 0;
  if (getenv("SINTER_MUTATED_CASE"))
    try_case(seed, number_from("SINTER_MUTATED_CASE", 0));
  uint64_t counts[OUTCOMES] = {0}, at = number_from("SINTER_MUTATED_FROM", 0);
  bool timed = getenv("SINTER_ALL") || getenv("SINTER_MUTATED_SECONDS");
  uint64_t end_at = timed ? UINT64_MAX : at + USUAL_CASES;
  double begin = clock_now_s(), seconds = (double)number_from("SINTER_MUTATED_SECONDS", 600);
  uint64_t failures = number_from("SINTER_FAILURES", 5);
  for (; at < end_at && clock_now_s() - begin < seconds && counts[BUG] < failures; at++)
    counts[run_case(seed, at)]++;
  print_message("seed %llu: %llu models refused, %llu slow, %llu right, %llu bugs\n",
                (unsigned long long)seed, (unsigned long long)counts[REFUSED],
                (unsigned long long)counts[SLOW], (unsigned long long)counts[FITS],
                (unsigned long long)counts[BUG]);
  char log[64];
  snprintf(log, sizeof log, "%s/log", folder);
  unlink(log);
  rmdir(folder);
  assert_int_equal(counts[BUG], 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(changed_models_compute_what_they_say)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
