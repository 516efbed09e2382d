/* SPDX-License-Identifier: Apache-2.0 */
/* The one place where it is decided how a function is split. */
#ifndef SINTER_PASSES_PARTITION_CHOOSE_H
#define SINTER_PASSES_PARTITION_CHOOSE_H

#include "passes/partition/assignment.h"

/* An assignment of a prepared function (prepare_sharding) over a mesh of the module, by the roles
 * of its axes. It lives in the arena. Errors: E0344. */
status partition_choose(struct function *f, uint32_t mesh, struct arena *arena, struct diags *diags,
                        struct assignment *out);

#endif
