/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as text, for people and for tests of the compiler: entries, values that steps use, and
 * blocks step by step. */
#ifndef SINTER_RUNTIME_PLAN_PRINT_H
#define SINTER_RUNTIME_PLAN_PRINT_H

#include "runtime/plan.h"

#include <stdio.h>

/*
 * Values are written %number, expressions as plan_expr_text writes them, blocks indented within the
 * step that holds them. Control characters in names are shown as '?'. Errors of the stream are the
 * caller's to find.
 *
 *     entry "main"
 *       input 0 "x": f32[n] = %1
 *       output 0 "y": f32[n] = %4
 *       variant when n <= 64
 *         layout 0
 *         launch "k0_row"(%1, %2, %4; n, 512) tiles (n floordiv 512)    // node 3 'fc1' (MatMul)
 *     values
 *       %2 "fc1.weight": f32[10], 40 B, constant 0
 */
void plan_print(const struct plan *plan, FILE *out);

#endif
