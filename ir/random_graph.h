/* SPDX-License-Identifier: Apache-2.0 */
/* Random well-typed modules, for tests that compare two ways of doing the same: printing and
 * parsing, interpreting and compiling, before and after a pass. */
#ifndef SINTER_IR_RANDOM_GRAPH_H
#define SINTER_IR_RANDOM_GRAPH_H

#include "ir/graph.h"

#define RANDOM_GRAPH_OP(E) (UINT64_C(1) << OP_##E)
#define RANDOM_GRAPH_DTYPE(E) (UINT64_C(1) << DTYPE_##E)
#define RANDOM_GRAPH_ALL UINT64_MAX
/* The dtypes that every target computes with. */
#define RANDOM_GRAPH_COMMON_DTYPES                                                                 \
  (RANDOM_GRAPH_DTYPE(F32) | RANDOM_GRAPH_DTYPE(F64) | RANDOM_GRAPH_DTYPE(F16) |                   \
   RANDOM_GRAPH_DTYPE(BF16) | RANDOM_GRAPH_DTYPE(I64) | RANDOM_GRAPH_DTYPE(I32) |                  \
   RANDOM_GRAPH_DTYPE(I8) | RANDOM_GRAPH_DTYPE(U8) | RANDOM_GRAPH_DTYPE(BOOL))

struct random_graph_options {
  uint64_t seed;
  uint32_t ops;  /* how many random steps; each makes one op or a few */
  bool symbolic; /* some dims of inputs are symbols, 1..4 */
  bool empty;    /* those symbols begin at 0 */
  bool wide;     /* some dims are up to 40, longer than vectors; also of symbols */
  /* Scalar bodies are one inexact operation (a transcendental function), or none of them: what is
   * computed in one body then does not hang on the last bit. */
  bool exact_bodies;
  uint64_t kinds; /* of ops that steps make, as RANDOM_GRAPH_OP bits; helpers of them come anyway */
  uint64_t dtypes; /* RANDOM_GRAPH_DTYPE bits; helpers may need i64, f32 and bool */
};

/* A verified module with an entry @main over one function. Every value that nothing uses is an
 * output. The same options give the same module on every machine. Shapes are small (dims up to 12),
 * and the function runs without a failing check for any inputs within the bounds of its symbols:
 * indices are in range or clamped, sizes that data decides are bounded. Problems, which are bugs,
 * are reported to diags; then NULL. */
struct module *random_graph(const struct random_graph_options *options, struct diags *diags);

#endif
