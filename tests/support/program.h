/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the built `sinter` as a user would, under limits, and says how it ended. */
#ifndef SINTER_TESTS_SUPPORT_PROGRAM_H
#define SINTER_TESTS_SUPPORT_PROGRAM_H

#include <stddef.h>

struct program_end {
  int exit_code; /* -1 if a signal ended it */
  int signal;
  double cpu_seconds;
  long peak_mib;
  char err[4096]; /* the beginning of its stderr */
};

/* Runs `sinter args...` (ended by NULL) in the test's folder. It gets 2 GiB of address space, if it
 * has no sanitizer, and 30 s. */
void program_run(const char *const *args, struct program_end *out);

/* The program must refuse: end by itself with exit code 2 to 5, tell `code` ("E0102"; NULL: any),
 * take at most a second of processor time and `peak_mib` MiB. Prints what was wrong, under `name`,
 * and returns 1; otherwise 0. */
int program_refuses(const char *name, const char *code, long peak_mib, const char *const *args);

#define PROGRAM_REFUSES(name, code, ...)                                                           \
  program_refuses(name, code, 256, (const char *const[]){__VA_ARGS__, NULL})

/* A folder for a test's files, made at the first call and removed with everything in it by
 * program_clean; and the path of a file in it, one of at most 64. */
const char *program_folder(void);
const char *program_path(const char *name);
void program_clean(void);
void program_write(const char *name, const void *bytes, size_t n);

#endif
