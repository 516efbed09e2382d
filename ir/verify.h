/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier: whether a module is one that every pass and target may rely on.
 *
 * Checked: ids in range; tables that refer to each other do so both ways; values defined before use
 * and used in the region that defines them or inside it; operands, attributes and regions fit each
 * op's rule, and value types are what the rule gives; symbols bound (by an input's dims, `symbol`,
 * `if`, `loop`) before use; constants' bytes fit their types; names unique; entries fit their
 * functions; shardings fit types and meshes, and of sharded functions what ir/verify_sharding.h
 * checks. All problems are reported, as E03xx. */
#ifndef SINTER_IR_VERIFY_H
#define SINTER_IR_VERIFY_H

#include "ir/graph.h"

/* The status of the first problem, or STATUS_OK. The module is not changed (its tables of dims and
 * of shardings may grow). */
status module_verify(const struct module *m, struct diags *diags);
status function_verify(const struct function *f, struct diags *diags);
/* The same without ir/verify_sharding.h: shardings fit their types, and what they are is not
 * proved. */
status module_verify_form(const struct module *m, struct diags *diags);
status function_verify_form(const struct function *f, struct diags *diags);

/* The deepest nesting of regions that verifier and parser accept. */
#define IR_MAX_NESTING 48

#endif
