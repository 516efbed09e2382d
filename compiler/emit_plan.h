/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of an engine file as text. Apart from the driver, because the runtime's struct plan and
 * the plan writer's cannot meet in one file. */
#ifndef SINTER_COMPILER_EMIT_PLAN_H
#define SINTER_COMPILER_EMIT_PLAN_H

#include "base/status.h"

#include <stdio.h>

/* Errors: the loader's, which reports them in its own way (runtime/fault.h). */
status emit_plan_text(const char *engine_path, FILE *out);

/* What running it would cost, as CSV (compiler/plan_costs.h). */
status emit_plan_costs(const char *engine_path, FILE *out);

#endif
