/* SPDX-License-Identifier: Apache-2.0 */
/* Between which ranks an `exchange` op goes. */
#ifndef SINTER_IR_EXCHANGE_GROUP_H
#define SINTER_IR_EXCHANGE_GROUP_H

#include "ir/sharding.h"

/* The group as references to axes of the op's mesh, and how many ranks it has. False where the
 * attributes name no mesh of the module, or no parts of its axes. */
bool exchange_group(const struct module *m, const struct exchange_attrs *a,
                    struct axis_ref out_refs[MESH_MAX_AXES], uint32_t *out_n, int64_t *out_size);

#endif
