/* SPDX-License-Identifier: Apache-2.0 */
/* How a function is split: today by the roles of the mesh's axes. */
#include "passes/partition/partition_choose.h"

#include "passes/partition/role_assignment.h"

status partition_choose(struct function *f, uint32_t mesh, struct arena *arena, struct diags *diags,
                        struct assignment *out) {
  return role_assignment(f, mesh, arena, diags, out);
}
