/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a module constant. */
#ifndef SINTER_IR_PRINT_CONSTANT_H
#define SINTER_IR_PRINT_CONSTANT_H

#include "ir/graph.h"

/* A line `constant @name : type = ...`: few elements as numbers, more by
 * the file they are in, or as hex digits. */
void constant_print(const struct module *m, const struct constant *c, struct strbuf *out);

#endif
