/* SPDX-License-Identifier: Apache-2.0 */
/* The reference interpreter: slow, plain, and independent of passes and code generation.
 *
 * Two modes. `exact` holds floats as f64 throughout; `typed` rounds every result to its dtype after
 * each primitive (and computes f32 arithmetic in f32, integers in their own width). Constant
 * folding uses typed; verify's bound is the distance between the two. Casts to the quantised
 * formats (8 bits and less) round in both, as casts to integers do.
 *
 * Everything is checked again on the concrete shapes: what does not fit ends in a diagnostic.
 * Memory is bounded by `budget`; time is not, so callers bound the work that they ask for. */
#ifndef SINTER_IR_INTERP_H
#define SINTER_IR_INTERP_H

#include "ir/graph.h"

enum interp_mode {
  INTERP_TYPED,
  INTERP_EXACT,
  INTERP_FIELD, /* floats are elements of a prime field: ir/field.h */
};

struct mesh;
struct shard_part; /* ir/shard_index.h */

/* Which rank of a mesh runs: values whose types have a sharding are then the rank's part. */
struct interp_rank {
  const struct mesh *mesh;
  const int64_t *coords;
  /* Executes a collective among all ranks; see ir/interp_spmd.h. */
  status (*collective)(struct interp_rank *rank, struct interp *in, const struct op *op);
};

/* A tensor of the interpreter. One element per slot: floats as f64 (rounded to the dtype in typed
 * mode; in field mode an element of the field, in i64), ints and bools as i64 (u64 bit-cast).
 * Row-major. */
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
  struct arena *arena; /* tensors of this run */
  struct diags *diags;
  int64_t *symbols;       /* by symbol index; INT64_MIN: not bound */
  struct tensor **values; /* by value id; NULL: not computed */
  uint64_t budget;        /* elements that may still be allocated; exceeding is STATUS_RESOURCES */
  struct arena scratch;   /* of the op under evaluation; emptied after it */
  status failure;         /* why a helper returned NULL or false */
  /* Called after each op, for bisecting; may be NULL. */
  void (*on_op)(void *user, const struct interp *in, op_id op);
  void *user;
  struct interp_rank *rank; /* NULL: one rank that holds everything */
};

/* What interp_run and interp_fold begin with: 2 GiB. */
#define INTERP_BUDGET (UINT64_C(1) << 28)

/* Evaluates `f` on inputs (one per parameter, dtypes and dims checked against the types, which
 * binds symbols). Outputs live in `arena`. */
status interp_run(const struct function *f, enum interp_mode mode, struct tensor *const *inputs,
                  struct arena *arena, struct diags *diags, struct tensor **out_results);
/* The same in parts, for callers that set budget, on_op or user in between. */
void interp_init(struct interp *in, const struct function *f, enum interp_mode mode,
                 struct arena *arena, struct diags *diags);
status interp_start(struct interp *in, struct tensor *const *inputs, struct tensor **out_results);
void interp_deinit(struct interp *in); /* tensors stay in the arena */
/* What interp_start does before it runs the body: dtypes, dims and symbols of the inputs, guards.
 */
status interp_bind_inputs(struct interp *in, struct tensor *const *inputs);
/* The function of the first variant whose guards hold for the inputs. Errors: as interp_bind_inputs
 * of the last variant, which has the entry's signature. */
status interp_variant(const struct entry *e, struct tensor *const *inputs, struct arena *arena,
                      struct diags *diags, const struct function **out_function);
/* Evaluates one op whose operands are constants; for folding. */
status interp_fold(const struct function *f, op_id op, struct arena *arena, struct diags *diags,
                   struct tensor **out_results);

/* Zeroes. NULL where a dim is negative or the elements cannot be counted; rank is at most
 * IR_MAX_RANK. */
struct tensor *tensor_create(struct arena *arena, enum dtype dtype, const int64_t *dims,
                             uint32_t rank);
/* From and to packed little-endian bytes (ONNX's packing), as constants and the API hold them. NULL
 * as tensor_create; strings are numbers of the module's. A bool byte other than 0 reads as true. */
struct tensor *tensor_from_bytes(struct arena *arena, enum dtype dtype, const int64_t *dims,
                                 uint32_t rank, const void *bytes);
/* The same into a tensor that is there. */
void tensor_read_bytes(struct tensor *t, const void *bytes);
void *tensor_to_bytes(struct arena *arena, const struct tensor *t, uint64_t *out_bytes);

/* ---- for eval hooks; what returns NULL or false has reported why and set in->failure ---- */

/* Reports an error at the op's place (NULL: the function's) and returns its status. */
status interp_fail(struct interp *in, const struct op *op, enum diag_code code, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));
/* The tensor of an operand; never NULL. */
struct tensor *interp_operand(struct interp *in, const struct op *op, uint32_t i);
/* A fresh tensor, zeroed, that becomes result i, with its dims evaluated under the bound symbols.
 */
struct tensor *interp_result(struct interp *in, const struct op *op, uint32_t i);
/* The elements of x under the dims of result i; they must be as many. */
status interp_alias(struct interp *in, const struct op *op, uint32_t i, const struct tensor *x);
/* A fresh tensor of these dims. */
struct tensor *interp_tensor(struct interp *in, const struct op *op, enum dtype dtype,
                             const int64_t *dims, uint32_t rank);
void interp_set_result(struct interp *in, const struct op *op, uint32_t i, struct tensor *t);
/* n zeroed items of `size` bytes that live until the op is done. Not for ops with regions. */
void *interp_scratch(struct interp *in, const struct op *op, uint64_t n, size_t size);
/* The value of a dim under the bound symbols; false if one is not bound, or on overflow. */
bool interp_dim(struct interp *in, dim d, int64_t *out);
/* n of them, with a diagnostic. */
bool interp_dims(struct interp *in, const struct op *op, const dim *dims, uint32_t n, int64_t *out);
/* From the dims of whole values of that type to those of this rank's part. */
void interp_local_dims(const struct interp *in, const struct type *type, int64_t *dims);
/* The part that this rank holds of dim d of a value that has its tensor; all of it where the dim is
 * not split. */
bool interp_part(struct interp *in, const struct op *op, value_id v, uint32_t d,
                 struct shard_part *out);
/* Binds a symbol: inside its bounds, and no other value than it has. */
status interp_bind(struct interp *in, const struct op *op, uint32_t symbol, int64_t value);
/* A value against its type: binds the symbols that stand alone as dims that are not split, then
 * compares the others. */
status interp_bind_type(struct interp *in, const struct op *op, const struct type *type,
                        const struct tensor *t);
bool interp_relation(int64_t lhs, enum relation relation, int64_t rhs);
/* The dims of a tensor are these, or (broadcasting) 1 where they are not; else a report. */
status interp_check_dims(struct interp *in, const struct op *op, const struct tensor *t,
                         const int64_t *dims, bool broadcasting);
/* x as the mode holds a result of that dtype. */
double interp_round(const struct interp *in, enum dtype dtype, double x);
/* Rounds a whole float tensor, wraps an integer one, to its dtype. */
void interp_settle(const struct interp *in, struct tensor *t);
int64_t interp_wrap(enum dtype dtype, int64_t x); /* to the width and sign of an integer dtype */
/* Whether floats are to be computed in f32. */
bool interp_in_f32(const struct interp *in, enum dtype dtype);
/* Runs a region; params may be NULL where it has none. */
status interp_region(struct interp *in, region_id r, struct tensor *const *params,
                     struct tensor **out_results);

/* ---- strided access; strides are in elements ---- */

/* Row-major strides of a shape. */
void strides_of(const int64_t *dims, uint32_t rank, int64_t *out_strides);
/* The same with 0 where a dim of t is 1: for reading t broadcast. */
void strides_broadcast(const struct tensor *t, int64_t *out_strides);
/* Copies a box of 8-byte slots between two strided places. */
void strided_copy(void *to, const int64_t *to_strides, const void *from,
                  const int64_t *from_strides, const int64_t *dims, uint32_t rank);
/* Fuses neighbouring dims that n_lists stride lists (each IR_MAX_RANK apart in `strides`) walk as
 * one, and drops dims of 1. Returns the rank left, at least 1; lists and dims are changed. */
uint32_t strides_collapse(int64_t *dims, uint32_t rank, int64_t *strides, uint32_t n_lists);
/* The next index of a row-major walk over dims; false after the last. */
bool index_next(int64_t *index, const int64_t *dims, uint32_t rank);
#endif
