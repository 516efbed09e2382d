/* SPDX-License-Identifier: Apache-2.0 */
/* Test cases in processes of their own: some at a time, each under a time and a memory limit. */
#ifndef SINTER_CLI_TEST_JOBS_H
#define SINTER_CLI_TEST_JOBS_H

#include "cli/test_case.h"

struct test_result {
  char *folder;
  const char *name; /* the folder's last part */
  enum test_outcome outcome;
  char *reason; /* one line; NULL if passed */
  double seconds;
  bool done;
};

enum { TEST_JOBS_MOST = 64 };

struct test_jobs {
  const struct test_settings *settings;
  uint32_t parallel; /* 1 to TEST_JOBS_MOST */
  double timeout_s;
  uint64_t memory_limit; /* bytes of address space; 0: none */
  uint32_t n;
  struct test_result *results;
  /* Called in the order of `results`, each as soon as those before it are done; may be NULL. */
  void (*on_result)(void *user, const struct test_result *result);
  /* Called whenever something has changed: for progress; may be NULL. */
  void (*on_change)(void *user, uint32_t done);
  void *user;
};

/* Runs all. Errors: E0905 no temporary folder, E0902 no process; STATUS_CANCELLED after SIGINT,
 * SIGTERM or SIGHUP. No process and no file is left behind. */
status test_jobs_run(struct test_jobs *jobs, struct diags *d);

#endif
