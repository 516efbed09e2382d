/* SPDX-License-Identifier: Apache-2.0 */
/* What the verifier of functions asks of the module's own checks. */
#ifndef SINTER_IR_VERIFY_MODULE_H
#define SINTER_IR_VERIFY_MODULE_H

#include "ir/graph.h"

/* Whether the sharding of a type (0 is fine) fits its rank and its mesh; else a message. */
bool sharding_check(const struct module *m, const struct type *type, struct strbuf *why);

#endif
