/* SPDX-License-Identifier: Apache-2.0 */
/* One case of `sinter test`: a folder with model.onnx and test_data_set_*. */
#ifndef SINTER_CLI_TEST_CASE_H
#define SINTER_CLI_TEST_CASE_H

#include "base/str.h"
#include "base/vec.h"
#include "cli/compare.h"
#include "cli/ranked.h"
#include "compiler/compile_driver.h"

enum test_outcome { TEST_PASSED, TEST_FAILED, TEST_UNSUPPORTED };
const char *test_outcome_name(enum test_outcome outcome);

/* Limits by name. The first rule whose glob fits a case's name counts. */
struct tolerance {
  char *glob;
  struct compare_limits limits;
};
struct tolerances {
  VEC(struct tolerance) rules;
  struct compare_limits otherwise;
};
/* Adds the lines of a file: "glob R" (R over the output's range), "glob RTOL ATOL", or "glob
 * random" (only types and dims are compared); '#' begins a comment. Errors: E0802, those of
 * file_read. */
status tolerances_read(struct tolerances *t, const char *path, struct diags *d);
const struct compare_limits *tolerances_find(const struct tolerances *t, const char *name);
void tolerances_deinit(struct tolerances *t);

struct test_settings {
  struct compiler_options compile; /* but for the paths */
  sinter_session_options session;  /* but for the world */
  struct ranked ranked;
  struct tolerances tolerances;
};

/* Compiles the model, runs every data set, compares. `reason` gets one line unless it passes. Meant
 * for a process of its own: a model may exhaust memory, or crash. */
enum test_outcome test_case_run(const struct test_settings *settings, const char *folder,
                                struct strbuf *reason);

/* The folders below `roots` (and these) that hold a model and a data set, by path; names without
 * slash ends. Links to folders are not followed, but roots may be links. E0903 for a root that
 * cannot be read. */
typedef VEC(char *) path_list;
status test_cases_find(const char *const *roots, uint32_t n_roots, struct diags *d, path_list *out);
void path_list_deinit(path_list *list);

/* The paths of folder/<prefix>N<suffix>, for N from 0 as long as they exist. */
void numbered_files(const char *folder, const char *prefix, const char *suffix, path_list *out);

#endif
