/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of the runtime: one per thread, in fixed memory, so that reporting one can neither
 * allocate nor fail.
 */
#ifndef SINTER_RUNTIME_FAULT_H
#define SINTER_RUNTIME_FAULT_H

#include "base/diag.h"
#include "base/status.h"

/*
 * Replaces the thread's error by one of the given code (a row of base/diag.def) and returns the
 * row's status. where: a file or a node, NULL for none. hint: what to do about it, NULL for none.
 * Long texts are cut, control characters shown as '?'.
 */
status fault_report(enum diag_code code, const char *where, const char *hint, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));

/* Says where the thread's error was, unless it says so already. */
void fault_add_place(const char *where);

/* Out of memory (E0615): what was to be allocated. */
status fault_no_memory(const char *what, unsigned long long bytes);

/* Forgets the thread's error. Public entry points begin with it. */
void fault_clear(void);

/* The error's text and code ("E0501"); "" if there is none. */
const char *fault_text(void);
const char *fault_code(void);

/* An error kept for another thread. */
struct fault {
  char text[1536];
  const char *code;
  status status;
};
void fault_save(struct fault *out);
status fault_restore(const struct fault *fault);

/* An error of the given code that follows from an earlier one: "<what> since: <its text>", with its
 * place. */
status fault_follow(enum diag_code code, const struct fault *cause, const char *hint,
                    const char *what);
/* An error on its way to another process. */
struct fault_wire {
  char code[8]; /* "E0615"; "" for none */
  char text[sizeof((struct fault *)0)->text];
};
/* The thread's error. */
void fault_export(struct fault_wire *out);
/* Another process's, whatever its bytes are, as this thread's. A code that there is not is E0707.
 */
status fault_import(const struct fault_wire *wire);

#endif
