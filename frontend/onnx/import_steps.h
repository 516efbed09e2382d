/* SPDX-License-Identifier: Apache-2.0 */
/* A loop of a known number of steps over values whose types do not change: for operators that have
 * time, or levels, inside. Loops that models write are import_control.c's. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_STEPS_H
#define SINTER_FRONTEND_ONNX_IMPORT_STEPS_H

#include "frontend/onnx/import_node.h"

/* Builds one step where n->b is: sets what is carried on, then what is stacked. */
typedef void import_step_fn(struct import_node *n, void *user, value_id step,
                            const value_id *carried, value_id *out);
enum { IMPORT_MAX_CARRIED = 8 };

/* `carried` values from `initial` on, `stacked` more of each step as [steps, ...]. out_results
 * receives both in this order, VALUE_NONE after a failure. carried + stacked is at most
 * IMPORT_MAX_CARRIED. out_results may be the list of `initial`. */
void import_steps(struct import_node *n, dim steps, const value_id *initial, uint32_t carried,
                  uint32_t stacked, import_step_fn *build, void *user, value_id *out_results);

#endif
