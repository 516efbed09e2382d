/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences as engines take and give them where a run decides their length: the elements of all
 * items one after the other, and a row for each item, i64 [items, row]: its rank, its dims, and
 * ones (frontend/onnx/import_packed.h). */
#ifndef SINTER_CLI_PACKED_VALUE_H
#define SINTER_CLI_PACKED_VALUE_H

#include "base/diag.h"
#include "sinter/runtime.h"

#include <stdbool.h>

struct onnx_value;

/* Of the tensors in v, a sequence, or nothing for any other kind. The caller frees both
 * (host_tensor_free). E0802 for items that are not tensors of that dtype, or of more dims than a
 * row has; E0901. */
status packed_value_make(const struct onnx_value *v, sinter_dtype dtype, uint32_t row,
                         struct diags *d, sinter_tensor *out_data, sinter_tensor *out_shapes);

/* Item i as a view of `data`, where element *start begins it, which moves on. False where the rows
 * do not fit the elements, or elements share bytes. */
bool packed_value_item(const sinter_tensor *data, const sinter_tensor *shapes, uint64_t i,
                       uint64_t *start, sinter_tensor *out);

#endif
