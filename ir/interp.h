/* SPDX-License-Identifier: Apache-2.0 */
/* The reference interpreter: slow, plain, and independent of passes and code generation.
 *
 * Two modes. `exact` holds floats as f64 throughout; `typed` rounds every result to its dtype after
 * each primitive (and computes f32 arithmetic in f32, integers in their own width). Constant folding
 * uses typed; verify's bound is the distance between the two. */
#ifndef SINTER_IR_INTERP_H
#define SINTER_IR_INTERP_H

#include "ir/graph.h"

enum interp_mode { INTERP_TYPED, INTERP_EXACT };

/* A tensor of the interpreter. One element per slot: floats as f64 (rounded to the dtype in typed
 * mode), ints and bools as i64 (u64 bit-cast). Row-major. */
struct tensor {
  enum dtype dtype;
  uint32_t rank;
  int64_t dims[IR_MAX_RANK];
  int64_t count; /* elements */
  union {
    double *f64;
    int64_t *i64;
    void *data;
  };
};

struct interp {
  const struct function *function;
  enum interp_mode mode;
  struct arena *arena;      /* tensors of this run */
  struct diags *diags;
  int64_t *symbols;         /* by symbol index; INT64_MIN: not bound */
  struct tensor **values;   /* by value id; NULL: not computed */
  uint64_t budget;          /* elements that may still be allocated; exceeding is STATUS_RESOURCES */
  /* Called after each op, for bisecting; may be NULL. */
  void (*on_op)(void *user, const struct interp *in, op_id op);
  void *user;
};

/* Evaluates `f` on inputs (one per parameter, dtypes and dims checked against the types, which binds
 * symbols). Outputs live in `arena`. */
status interp_run(const struct function *f, enum interp_mode mode, struct tensor *const *inputs,
                  struct arena *arena, struct diags *diags, struct tensor **out_results);
/* Evaluates one op whose operands are constants; for folding. */
status interp_fold(const struct function *f, op_id op, struct arena *arena, struct diags *diags,
                   struct tensor **out_results);

struct tensor *tensor_create(struct arena *arena, enum dtype dtype, const int64_t *dims, uint32_t rank);
/* From and to packed little-endian bytes (ONNX's packing), as constants and the API hold them. */
struct tensor *tensor_from_bytes(struct arena *arena, enum dtype dtype, const int64_t *dims,
                                 uint32_t rank, const void *bytes);
void *tensor_to_bytes(struct arena *arena, const struct tensor *t, uint64_t *out_bytes);

/* For eval hooks: the tensor of an operand; a fresh tensor for result i with its dims evaluated under
 * the bound symbols (NULL with a diagnostic on failure); rounding to a dtype; the regions. */
struct tensor *interp_operand(struct interp *in, const struct op *op, uint32_t i);
struct tensor *interp_result(struct interp *in, const struct op *op, uint32_t i);
bool interp_dim(struct interp *in, dim d, int64_t *out);
double interp_round(const struct interp *in, enum dtype dtype, double x);
int64_t interp_wrap(enum dtype dtype, int64_t x); /* to the width and sign of an integer dtype */
status interp_region(struct interp *in, region_id r, struct tensor *const *params,
                     struct tensor **out_results);
void scalar_body_eval(const struct interp *in, const struct scalar_body *body,
                      const struct tensor *const *args, const int64_t *element_of_arg, struct tensor *out,
                      int64_t element);
#endif
