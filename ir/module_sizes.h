/* SPDX-License-Identifier: Apache-2.0 */
/* Values that no machine holds. */
#ifndef SINTER_IR_MODULE_SIZES_H
#define SINTER_IR_MODULE_SIZES_H

#include "base/diag.h"
#include "base/status.h"

struct module;

/* E0149, with the node, for every op that makes a value of more than 128 TiB whatever the symbols
 * are, and for such parameters: more than the address space of a process, so that no run could
 * succeed. Without it a few bytes of a model name exabytes, and the mistake shows only at a run. */
status module_check_sizes(const struct module *m, struct diags *diags);

#endif
