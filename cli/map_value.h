/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences of maps as engines give them: the values of each map as a row, f32 [maps, keys], and
 * the keys once, i64 or string [keys]. */
#ifndef SINTER_CLI_MAP_VALUE_H
#define SINTER_CLI_MAP_VALUE_H

#include "base/diag.h"
#include "sinter/runtime.h"

struct onnx_value;

/* The rows of v, a sequence of maps from `keys`, in their order. The caller frees *out_rows
 * (host_tensor_free). E0802 where v holds something else, or a map has other keys; E0901. */
status map_value_rows(const struct onnx_value *v, const sinter_tensor *keys, struct diags *d,
                      sinter_tensor *out_rows);

#endif
