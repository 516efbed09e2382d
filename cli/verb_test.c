/* SPDX-License-Identifier: Apache-2.0 */
/* sinter test: a zoo of models against their expected outputs. */
#include "base/file.h"
#include "base/hash.h"
#include "cli/model_engine.h"
#include "cli/test_jobs.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tester {
  struct invocation *v;
  struct test_settings settings;
  struct test_jobs jobs;
  uint32_t counts[3]; /* by outcome */
  bool draw;          /* progress */
};

/* ---- while it runs ---- */

static void clear_progress(const struct tester *t) {
  if (t->draw)
    fprintf(stderr, "\r\033[K");
}

static void on_result(void *user, const struct test_result *r) {
  struct tester *t = user;
  t->counts[r->outcome]++;
  if (t->v->as_json || r->outcome == TEST_PASSED)
    return;
  clear_progress(t);
  printf("%s %s: %s\n", test_outcome_name(r->outcome), r->name, r->reason ? r->reason : "");
  fflush(stdout);
}

static void on_change(void *user, uint32_t done) {
  struct tester *t = user;
  if (!t->draw)
    return;
  fprintf(stderr, "\r\033[K[%u/%u]", done, t->jobs.n);
  fflush(stderr);
}

/* ---- the expected outcomes: lines of "name outcome" ---- */

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Failures are never expected, so a list that is written has none. */
static void sorted_outcomes(const struct tester *t, bool failures, path_list *out) {
  for (uint32_t i = 0; i < t->jobs.n; i++) {
    struct strbuf line = {0};
    if (!failures && t->jobs.results[i].outcome == TEST_FAILED)
      continue;
    strbuf_printf(&line, "%s %s", t->jobs.results[i].name,
                  test_outcome_name(t->jobs.results[i].outcome));
    vec_push(out, line.data);
  }
  if (out->len)
    qsort(out->data, out->len, sizeof *out->data, by_text);
}

static status write_expected(const struct tester *t, const char *path) {
  struct file_writer w;
  path_list lines = {0};
  status s = file_writer_open(path, &t->v->diags, &w);
  if (s)
    return s;
  sorted_outcomes(t, false, &lines);
  for (uint32_t i = 0; i < lines.len; i++)
    fprintf(w.stream, "%s\n", lines.data[i]);
  path_list_deinit(&lines);
  return file_writer_commit(&w, &t->v->diags);
}

static bool in_part(const struct tester *t, const char *name, size_t n) {
  uint64_t part = option_number(&t->v->options, OPT_PART, 1);
  return part <= 1 || hash_bytes(name, n, option_number(&t->v->options, OPT_SEED, 0)) % part == 0;
}

static status read_expected(const struct tester *t, const char *path, path_list *out) {
  char *data;
  size_t size;
  status s = file_read(path, 64 << 20, &t->v->diags, &data, &size);
  if (s)
    return s;
  struct str rest = {data, size};
  while (rest.len) {
    struct str line = str_split(&rest, '\n');
    struct str words = line;
    struct str name = str_split(&words, ' ');
    struct strbuf copy = {0};
    if (!line.len || line.data[0] == '#' || !in_part(t, name.data, name.len))
      continue;
    strbuf_append(&copy, line.data, line.len);
    vec_push(out, copy.data);
  }
  if (out->len)
    qsort(out->data, out->len, sizeof *out->data, by_text);
  mem_free(data);
  return STATUS_OK;
}

/* Both sorted: prints what only one of them has, and counts it. */
static uint32_t print_changes(const path_list *was, const path_list *is, FILE *out) {
  uint32_t i = 0, k = 0, changes = 0;
  while (i < was->len || k < is->len) {
    int order = i == was->len ? 1 : k == is->len ? -1 : strcmp(was->data[i], is->data[k]);
    if (order < 0)
      fprintf(out, "-%s\n", was->data[i++]);
    else if (order > 0)
      fprintf(out, "+%s\n", is->data[k++]);
    else
      i++, k++;
    changes += order != 0;
  }
  return changes;
}

static status compare_expected(const struct tester *t, const char *path) {
  path_list was = {0}, is = {0};
  status s = read_expected(t, path, &was);
  if (s)
    return s;
  sorted_outcomes(t, true, &is);
  uint32_t changes = print_changes(&was, &is, t->v->as_json ? stderr : stdout);
  path_list_deinit(&was);
  path_list_deinit(&is);
  if (!changes)
    return STATUS_OK;
  struct diag_where where = DIAG_NOWHERE;
  where.file = path;
  return diag_report(&t->v->diags, DIAG_E0804, &where,
                     "if it is meant, write the list again with --write-expect",
                     "the outcomes differ from the list in %u lines", changes);
}

/* ---- reports ---- */

static void json_results(const struct tester *t) {
  struct json *j = &t->v->json;
  json_key(j, "cases");
  json_array_begin(j);
  for (uint32_t i = 0; i < t->jobs.n; i++) {
    const struct test_result *r = &t->jobs.results[i];
    json_object_begin(j);
    json_key(j, "name"), json_string(j, r->name);
    json_key(j, "folder"), json_string(j, r->folder);
    json_key(j, "outcome"), json_string(j, test_outcome_name(r->outcome));
    if (r->outcome != TEST_PASSED)
      json_key(j, "reason"), json_string(j, r->reason ? r->reason : "");
    json_key(j, "seconds"), json_f64(j, r->seconds);
    json_object_end(j);
  }
  json_array_end(j);
  for (int i = 0; i < 3; i++)
    json_key(j, test_outcome_name((enum test_outcome)i)), json_u64(j, t->counts[i]);
}

static status conclude(struct tester *t) {
  const struct options *o = &t->v->options;
  const char *expect = option_text(o, OPT_EXPECT), *write = option_text(o, OPT_WRITE_EXPECT);
  status s = STATUS_OK;
  clear_progress(t);
  if (write)
    s = write_expected(t, write);
  if (expect && !s)
    s = compare_expected(t, expect);
  if (t->v->as_json)
    json_results(t);
  else
    printf("%u passed, %u failed, %u unsupported\n", t->counts[TEST_PASSED], t->counts[TEST_FAILED],
           t->counts[TEST_UNSUPPORTED]);
  return s ? s : t->counts[TEST_FAILED] ? STATUS_MISMATCH : STATUS_OK;
}

/* ---- preparation ---- */

static uint32_t usable_cpus(void) {
  cpu_set_t set;
  uint32_t n = sched_getaffinity(0, sizeof set, &set) ? 1 : (uint32_t)CPU_COUNT(&set);
  return n < TEST_JOBS_MOST ? n : TEST_JOBS_MOST;
}

static status settings_from(struct tester *t) {
  const struct options *o = &t->v->options;
  uint64_t jobs = option_number(o, OPT_JOBS, 1);
  if (jobs < 1 || jobs > TEST_JOBS_MOST)
    return diag_report(&t->v->diags, DIAG_E0802, NULL, NULL, "'--jobs' takes 1 to %d",
                       TEST_JOBS_MOST);
  struct test_settings *s = &t->settings;
  compiler_options_from(t->v, NULL, &s->compile);
  s->session = ranked_options(o, NULL);
  s->session.threads = (uint32_t)option_number(o, OPT_THREADS, 1);
  s->compile.threads = s->session.threads;
  s->tolerances.otherwise = (struct compare_limits){
      .rtol = option_real(o, OPT_RTOL, 1e-3), .atol = option_real(o, OPT_ATOL, 1e-7), .range = -1};
  const char *tolerances = option_text(o, OPT_TOLERANCES);
  return tolerances ? tolerances_read(&s->tolerances, tolerances, &t->v->diags) : STATUS_OK;
}

static const char *last_part(const char *folder) {
  const char *slash = strrchr(folder, '/');
  return slash ? slash + 1 : folder;
}

static status find_cases(struct tester *t, path_list *folders) {
  const struct options *o = &t->v->options;
  status s = test_cases_find(o->arguments, o->n_arguments, &t->v->diags, folders);
  if (s)
    return s;
  t->jobs.results = mem_calloc(folders->len + 1, sizeof *t->jobs.results);
  for (uint32_t i = 0; i < folders->len; i++) {
    const char *name = last_part(folders->data[i]);
    if (in_part(t, name, strlen(name)))
      t->jobs.results[t->jobs.n++] = (struct test_result){.folder = folders->data[i], .name = name};
  }
  if (!t->jobs.n)
    return diag_report(&t->v->diags, DIAG_E0803, NULL,
                       "a case is a folder with model.onnx and test_data_set_0",
                       "there is no test case in %s%s", o->arguments[0],
                       o->n_arguments > 1 ? " and the other folders" : "");
  return STATUS_OK;
}

static void free_results(struct test_jobs *jobs) {
  for (uint32_t i = 0; i < jobs->n; i++)
    mem_free(jobs->results[i].reason);
  mem_free(jobs->results);
}

status verb_test(struct invocation *v) {
  const struct options *o = &v->options;
  struct tester t = {.v = v};
  path_list folders = {0};
  t.draw = stderr_is_terminal() && !option_given(o, OPT_QUIET);
  t.jobs = (struct test_jobs){.settings = &t.settings,
                              .parallel = (uint32_t)option_number(o, OPT_JOBS, usable_cpus()),
                              .timeout_s = option_real(o, OPT_TIMEOUT, 120),
                              .memory_limit = option_number(o, OPT_MEMORY_LIMIT, 8ull << 30),
                              .on_result = on_result,
                              .on_change = on_change,
                              .user = &t};
  status s = ranked_find(v, &t.settings.ranked);
  if (!s)
    s = settings_from(&t);
  if (t.settings.ranked.several) { /* processes meet for one case after the other */
    t.jobs.parallel = 1;
    t.draw = false;
    ranked_mute(&t.settings.ranked);
  }
  if (!s)
    s = find_cases(&t, &folders);
  if (!s)
    s = test_jobs_run(&t.jobs, &v->diags);
  if (!s)
    s = conclude(&t);
  free_results(&t.jobs);
  path_list_deinit(&folders);
  tolerances_deinit(&t.settings.tolerances);
  return s;
}
