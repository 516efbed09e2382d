/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of strings: equal strings are equal numbers, so what only moves or compares elements
 * takes them as it takes numbers. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_STRING_H
#define SINTER_FRONTEND_ONNX_IMPORT_STRING_H

#include "base/str.h"
#include "frontend/onnx/import_node.h"

/* Whether an operator's importer may meet operands and results of strings. */
bool import_takes_strings(const char *operator_name);

/* A constant string [len]. */
value_id import_strings(struct import_node *n, const struct str *list, uint32_t len);

/* A cast from or to strings (or both). */
value_id import_cast_string(struct import_node *n, value_id x, enum dtype from, enum dtype to);

#endif
