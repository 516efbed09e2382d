/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as text for people: entries, blocks of steps, values. Not parsed by anything. */
#ifndef SINTER_COMPILER_PLAN_PRINT_H
#define SINTER_COMPILER_PLAN_PRINT_H

#include "base/status.h"

#include <stdio.h>

struct plan; /* of runtime/plan.h */

/* The same plan gives the same text. */
void plan_print(const struct plan *plan, FILE *out);
/* That of an engine file. Errors: the loader's, which reports them in its own way (runtime/fault.h). */
status plan_print_file(const char *engine_path, FILE *out);

#endif
