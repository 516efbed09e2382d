/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions and arg-reductions over many elements: a block's threads share what gives one result.
 *
 * Thread i of n takes the elements i, i + n, ... in row-major order over the reduced dims; then the
 * threads' results are combined. For arg-reductions that is a choice between two (value, position)
 * pairs which does not depend on their order. */
#include "base/mem.h"
#include "codegen/nvptx/block.h"
#include "codegen/schedule.h"

enum {
  WARP = 32,
  MOST_THREADS = 256,
  LEAST = 128,     /* elements that are worth a block */
  PER_THREAD = 4,  /* elements, at least, before a block gets more threads */
  FEW_LINES = 2048 /* results that are too few for a thread each, where that would read in order */
};

static bool is_arg(enum combiner kind) {
  return kind == COMBINER_ARGMAX || kind == COMBINER_ARGMIN;
}

static bool same_dims(const struct type *a, const struct type *b) {
  bool same = a->rank == b->rank;
  for (uint32_t i = 0; same && i < a->rank; i++)
    same = a->dims[i] == b->dims[i];
  return same;
}

/* Whether `op` reads what comes of `reduce`, as marked so far. */
static bool reads(const struct op *op, const bool *marked) {
  for (uint32_t i = 0; i < op->n_operands; i++)
    if (marked[op->operands[i]])
      return true;
  return false;
}

/* Whether what follows the reduction are maps in its space: then a point of it is one of all
 * results. */
static bool stays_in_space(const struct kernel *k, const struct op *reduce, bool *marked) {
  const struct function *f = k->function;
  const struct region *r = &f->regions.data[kernel_op(k)->regions[0]];
  const struct type *space = value_type(f, reduce->results[0]);
  for (uint32_t i = 0; i < reduce->n_results; i++)
    marked[reduce->results[i]] = true;
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    if (op != reduce && op->kind == OP_REDUCE)
      return false;
    if (!reads(op, marked))
      continue;
    if (op->kind != OP_MAP || !same_dims(space, value_type(f, op->results[0])))
      return false;
    marked[op->results[0]] = true;
  }
  for (uint32_t i = 0; i < r->results.len; i++)
    if (!same_dims(space, value_type(f, r->results.data[i])))
      return false;
  return true;
}

/* Whether so many elements of such a place are better shared: where the last dim stays, a thread
 * per result reads in order, if there are enough of them. */
static bool pays(const struct kernel *k, const struct op *op, int64_t elements, bool known) {
  const struct dim_table *t = k->function->module->dims;
  const struct type *type = value_type(k->function, op->operands[0]);
  struct ints axes = OP_ATTRS(reduce, op)->axes;
  bool last = axes.len && axes.data[axes.len - 1] == (int64_t)type->rank - 1;
  if (known && elements < LEAST)
    return false;
  if (last)
    return true;
  const struct type *space = value_type(k->function, op->results[0]);
  int64_t lines = 1, n;
  for (uint32_t i = 0; i < space->rank && lines < FEW_LINES; i++) {
    if (!dim_is_const(t, space->dims[i], &n))
      return false;
    lines *= n;
  }
  return known && lines < FEW_LINES && elements >= 4 * LEAST;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  const struct function *f = k->function;
  const struct op *op = kernel_root_op(k, OP_REDUCE);
  if (!op)
    return false;
  struct ints axes = OP_ATTRS(reduce, op)->axes;
  const struct type *type = value_type(f, op->operands[0]);
  int64_t elements = 1, n;
  bool known = true;
  for (uint32_t i = 0; i < axes.len; i++) {
    known &= dim_is_const(f->module->dims, type->dims[axes.data[i]], &n);
    elements = known && n < INT32_MAX && elements < INT32_MAX ? elements * n : elements;
  }
  if (!axes.len || !pays(k, op, elements, known))
    return false;
  bool *marked = mem_calloc(f->values.len + 1, sizeof *marked);
  bool fits = stays_in_space(k, op, marked);
  mem_free(marked);
  if (!fits)
    return false;
  k->block_threads = MOST_THREADS / 2;
  if (known)
    for (k->block_threads = MOST_THREADS;
         k->block_threads > WARP && PER_THREAD * (int64_t)k->block_threads > elements;)
      k->block_threads /= 2;
  const struct type *space = value_type(f, op->results[0]);
  kernel_grid(k, space->dims, space->rank);
  return true;
}

/* ---- arg-reductions ---- */

/* The better of two pairs into a. A position of -1 is none; NaN is better than all else; of equals
 * the first, or the last. */
static void choose(struct emit *e, const struct reduce_attrs *a, enum dtype dtype,
                   LLVMValueRef best[2], LLVMValueRef x, LLVMValueRef position) {
  LLVMValueRef args[3] = {x, best[0], NULL};
  enum scalar_op more = a->kind == COMBINER_ARGMAX ? SCALAR_GT : SCALAR_LT;
  LLVMValueRef wins = emit_scalar_op(e, more, dtype, args, 1);
  LLVMValueRef equal = emit_scalar_op(e, SCALAR_EQ, dtype, args, 1);
  if (dtype_is_float(dtype)) {
    LLVMValueRef nan = LLVMBuildFCmp(e->b, LLVMRealUNO, x, x, "");
    LLVMValueRef had = LLVMBuildFCmp(e->b, LLVMRealUNO, best[0], best[0], "");
    wins = LLVMBuildOr(e->b, wins, LLVMBuildAnd(e->b, nan, LLVMBuildNot(e->b, had, ""), ""), "");
    equal = LLVMBuildOr(e->b, equal, LLVMBuildAnd(e->b, nan, had, ""), "");
  }
  LLVMValueRef nearer =
      LLVMBuildICmp(e->b, a->last ? LLVMIntSGT : LLVMIntSLT, position, best[1], "");
  wins = LLVMBuildOr(e->b, wins, LLVMBuildAnd(e->b, equal, nearer, ""), "");
  LLVMValueRef zero = emit_i64(e, 0);
  LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntSLT, best[1], zero, "");
  LLVMValueRef is = LLVMBuildICmp(e->b, LLVMIntSGE, position, zero, "");
  wins = LLVMBuildAnd(e->b, LLVMBuildOr(e->b, wins, none, ""), is, "");
  best[0] = LLVMBuildSelect(e->b, wins, x, best[0], "");
  best[1] = LLVMBuildSelect(e->b, wins, position, best[1], "");
}

static LLVMValueRef place(struct emit *e, LLVMValueRef slots, LLVMValueRef index) {
  return LLVMBuildInBoundsGEP2(e->b, e->i64, slots, &index, 1, "");
}

/* The threads' pairs chosen from, on every thread. */
static void block_choose(struct emit *e, const struct reduce_attrs *a, enum dtype dtype,
                         LLVMValueRef best[2]) {
  uint32_t warps = e->kernel->block_threads / WARP;
  for (uint32_t distance = WARP / 2; distance; distance /= 2)
    choose(e, a, dtype, best, warp_partner(e, best[0], distance),
           warp_partner(e, best[1], distance));
  if (warps == 1)
    return;
  LLVMTypeRef type = LLVMTypeOf(best[0]), stored = type == e->i1 ? e->i8 : type;
  LLVMValueRef slots = block_shared(e, "pairs", e->i64, 2 * warps); /* 8 bytes for any dtype */
  LLVMValueRef first = LLVMBuildAnd(e->b, e->lane, emit_i64(e, WARP - 1), "");
  LLVMValueRef own = LLVMBuildLShr(e->b, e->lane, emit_i64(e, 4), ""); /* 2 * warp */
  block_barrier(e); /* what was here before has been read */
  struct emit_if once;
  emit_if_begin(e, &once, LLVMBuildICmp(e->b, LLVMIntEQ, first, emit_i64(e, 0), ""));
  LLVMBuildStore(e->b, stored == type ? best[0] : LLVMBuildZExt(e->b, best[0], stored, ""),
                 place(e, slots, own));
  LLVMBuildStore(e->b, best[1], place(e, slots, LLVMBuildAdd(e->b, own, emit_i64(e, 1), "")));
  emit_if_else(e, &once, NULL);
  emit_if_end(e, &once, NULL);
  block_barrier(e);
  for (uint32_t i = 0; i < warps; i++) {
    LLVMValueRef x = LLVMBuildLoad2(e->b, stored, place(e, slots, emit_i64(e, 2 * i)), "");
    LLVMValueRef at = LLVMBuildLoad2(e->b, e->i64, place(e, slots, emit_i64(e, 2 * i + 1)), "");
    choose(e, a, dtype, best, stored == type ? x : LLVMBuildTrunc(e->b, x, type, ""), at);
  }
}

/* ---- a tile: one result ---- */

static void emit(struct emit *e, LLVMValueRef tile) {
  const struct op *op = kernel_root_op(e->kernel, OP_REDUCE);
  const struct reduce_attrs *a = OP_ATTRS(reduce, op);
  const struct type *type = value_type(e->f, op->operands[0]);
  const struct type *space = value_type(e->f, op->results[0]);
  enum dtype dtype = type->dtype;
  bool arg = is_arg(a->kind);
  struct point p = {.rank = space->rank, .width = 1}, q;
  struct coord c[IR_MAX_RANK];
  dim dims[IR_MAX_RANK];
  emit_delinearize(e, tile, space->dims, space->rank, p.c);
  for (uint32_t i = 0; i < a->axes.len; i++)
    dims[i] = type->dims[a->axes.data[i]];
  LLVMValueRef acc[2] = {emit_identity(e, a->kind, dtype, 1), emit_i64(e, -1)}, next[2];
  struct emit_loop l;
  emit_loop_begin(e, &l, e->lane, emit_product(e, dims, a->axes.len), e->kernel->block_threads,
                  arg ? 2 : 1, acc);
  q = p;
  emit_delinearize(e, l.index, dims, a->axes.len, c);
  for (uint32_t i = 0; i < a->axes.len; i++)
    q.c[a->axes.data[i]] = c[i];
  LLVMValueRef x = emit_value(e, op->operands[0], &q);
  next[0] = l.carried[0];
  next[1] = l.carried[1];
  if (arg)
    choose(e, a, dtype, next, x, l.index);
  else
    next[0] = emit_combine(e, a->kind, dtype, next[0], x, 1);
  emit_loop_end(e, &l, next);
  acc[0] = l.carried[0];
  acc[1] = l.carried[1];
  if (arg) {
    block_choose(e, a, dtype, acc);
    acc[1] = emit_arg_position(e, acc[1]);
  } else {
    acc[0] = emit_round_to(e, dtype, block_combine(e, a->kind, dtype, acc[0]), 1);
  }
  struct emit_if first;
  emit_if_begin(e, &first, LLVMBuildICmp(e->b, LLVMIntEQ, e->lane, emit_i64(e, 0), ""));
  for (uint32_t i = 0; i < op->n_results; i++)
    emit_know(e, op->results[i], &p, acc[i]);
  kernel_store_results(e, &p);
  emit_if_else(e, &first, NULL);
  emit_if_end(e, &first, NULL);
}

const struct schedule schedule_reduce_block = {"reduce_block", ROOT_KIND_REDUCE, plan, emit};
