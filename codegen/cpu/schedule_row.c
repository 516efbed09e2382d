/* SPDX-License-Identifier: Apache-2.0 */
/* Rows: one or more reductions over the same trailing dims, and what follows from them (softmax,
 * layer norm, RMS norm, ...).
 *
 * A tile is one row, of a thread or of the threads of a block. Each reduction in turn is one pass
 * over the row, in several accumulators where adding is what takes the time; then one pass stores
 * the results. A value that a pass computes at some cost and a later pass wants again is kept in a
 * row of scratch, so exp is evaluated once. Reduction results are registers.
 *
 * The fusion pass promises: reductions share their axes, which are the last dims of one space;
 * everything between them and the results is a map in that space, or in it with the row dims 1. */
#include <string.h>

#include "codegen/emit_nest.h"
#include "codegen/emit_view.h"
#include "codegen/nvptx/block.h"
#include "codegen/schedule.h"

struct row {
  dim dims[IR_MAX_RANK];
  uint32_t rank, from; /* row dims are [from, rank) */
};

static bool row_space(const struct kernel *k, struct row *out) {
  const struct op *reduce = kernel_root_op(k, OP_REDUCE);
  if (!reduce)
    return false;
  const struct type *type = value_type(k->function, reduce->operands[0]);
  out->rank = type->rank;
  out->from = (uint32_t)OP_ATTRS(reduce, reduce)->axes.data[0];
  memcpy(out->dims, type->dims, sizeof out->dims);
  return true;
}

#define KEPT_COST 8

/* Values worth keeping: maps in the whole space, read by a reduction and used again, of at least
 * such a cost to compute. */
static uint32_t values_to_keep(const struct kernel *k, value_id *out) {
  const struct function *f = k->function;
  const struct region *r = &f->regions.data[kernel_op(k)->regions[0]];
  uint32_t n = 0;
  for (uint32_t i = 0; i < r->ops.len && n < 4; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    if (op->kind != OP_REDUCE)
      continue;
    value_id v = op->operands[0];
    const struct op *def = value_def(f, v);
    if (!def || def->kind != OP_MAP || def->parent != kernel_op(k)->regions[0])
      continue;
    uint32_t cost = 0, uses = 0;
    const struct scalar_body *body = OP_ATTRS(map, def)->body;
    for (uint32_t j = 0; j < body->len; j++)
      cost += scalar_infos[body->insts[j].op].cost;
    for (uint32_t j = 0; j < r->ops.len; j++) {
      const struct op *user = function_op(f, r->ops.data[j]);
      for (uint32_t o = 0; o < user->n_operands; o++)
        uses += user->operands[o] == v;
    }
    for (uint32_t j = 0; j < r->results.len; j++)
      uses += r->results.data[j] == v;
    bool listed = false;
    for (uint32_t j = 0; j < n; j++)
      listed |= out[j] == v;
    if (cost >= KEPT_COST && uses > 1 && !listed)
      out[n++] = v;
  }
  return n;
}

/* Threads for rows whose last dim is `d`: some elements each, and not more than pays. */
static uint32_t block_for(const struct kernel *k, dim d) {
  int64_t n;
  uint32_t threads = 256;
  if (!dim_is_const(k->function->module->dims, d, &n))
    return 128;
  while (threads > 32 && 4 * (int64_t)threads > n)
    threads /= 2;
  return threads;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  struct row row;
  if (!row_space(k, &row))
    return false;
  if (isa->kind == TARGET_NVPTX)
    k->block_threads = block_for(k, row.dims[row.rank - 1]);
  value_id kept[4];
  kernel_grid(k, row.dims, row.from);
  uint32_t n = values_to_keep(k, kept);
  kernel_scratch(k, row.dims + row.from, row.rank - row.from, 8 * (int64_t)n);
  return true;
}

struct pass {
  const struct op *op; /* the reduction */
  LLVMValueRef keep;   /* where its operand is written, or NULL */
  const struct row *row;
};

static void reduce_step(struct emit *e, void *user, const struct point *p, const LLVMValueRef *acc,
                        LLVMValueRef *out_acc) {
  const struct pass *pass = user;
  value_id v = pass->op->operands[0];
  enum dtype dtype = value_type(e->f, v)->dtype;
  LLVMValueRef x = emit_value(e, v, p);
  if (pass->keep) {
    struct point q = {.rank = p->rank - pass->row->from, .width = p->width};
    memcpy(q.c, p->c + pass->row->from, q.rank * sizeof q.c[0]);
    emit_store_row(e, pass->keep, dtype, pass->row->dims + pass->row->from, &q, x);
  }
  out_acc[0] = emit_combine(e, OP_ATTRS(reduce, pass->op)->kind, dtype, acc[0], x, p->width);
}

static LLVMValueRef merge_streams(struct emit *e, void *user, LLVMValueRef a, LLVMValueRef b) {
  const struct op *op = ((const struct pass *)user)->op;
  enum dtype dtype = value_type(e->f, op->operands[0])->dtype;
  uint32_t width = LLVMGetVectorSize(LLVMTypeOf(a));
  return emit_combine(e, OP_ATTRS(reduce, op)->kind, dtype, a, b, width);
}

#define STREAM_COST 8

/* Accumulators that a reduction goes on with side by side: several where what it reduces is made
 * faster than it is added up. */
static uint32_t streams_of(const struct emit *e, const struct op *reduce, const struct nest *n) {
  const struct region *r = &e->f->regions.data[e->fused->regions[0]];
  dim size = n->dims[n->axes[n->n_axes - 1]];
  uint32_t cost = 0;
  int64_t known;
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(e->f, r->ops.data[i]);
    if (op == reduce)
      break;
    const struct scalar_body *body = op->kind == OP_MAP ? OP_ATTRS(map, op)->body : NULL;
    for (uint32_t j = 0; body && j < body->len; j++)
      cost += scalar_infos[body->insts[j].op].cost;
  }
  bool few = dim_is_const(e->f->module->dims, size, &known) &&
             known < (int64_t)n->width * 2 * NEST_MAX_STREAMS;
  return n->width == 1 || cost > STREAM_COST || few ? 1 : NEST_MAX_STREAMS;
}

static struct nest row_nest(struct emit *e, const struct row *row, uint32_t n_carried,
                            nest_body body, void *user) {
  struct nest n = {.n_axes = row->rank - row->from,
                   .dims = row->dims,
                   .n_carried = n_carried,
                   .body = body,
                   .user = user};
  for (uint32_t i = 0; i < n.n_axes; i++)
    n.axes[i] = row->from + i;
  n.width = n.n_axes && !e->lane ? nest_width(e, row->dims[row->rank - 1], DTYPE_F32) : 1;
  n.lane = e->lane;
  n.lanes = e->kernel->block_threads;
  return n;
}

static void reduce_pass(struct emit *e, const struct row *row, const struct op *op,
                        const struct point *p, LLVMValueRef keep) {
  enum combiner kind = OP_ATTRS(reduce, op)->kind;
  enum dtype dtype = value_type(e->f, op->operands[0])->dtype;
  struct pass pass = {.op = op, .keep = keep, .row = row};
  struct nest n = row_nest(e, row, 1, reduce_step, &pass);
  LLVMValueRef scalar = emit_identity(e, kind, dtype, 1);
  LLVMValueRef vector = emit_identity(e, kind, dtype, n.width);
  n.streams = n.n_axes && !keep ? streams_of(e, op, &n) : 1;
  n.neutral = vector;
  n.merge = merge_streams;
  emit_nest(e, &n, p, &scalar, &vector);
  if (n.width > 1) {
    LLVMValueRef x = emit_horizontal(e, kind, dtype, vector, n.width);
    scalar = emit_combine(e, kind, dtype, x, scalar, 1);
  }
  if (e->lane)
    scalar = block_combine(e, kind, dtype, scalar);
  emit_bind_scalar(e, op->results[0], emit_round_to(e, dtype, scalar, 1));
}

/* Whether a result has one element per row. */
static bool per_row(const struct emit *e, const struct row *row, value_id v) {
  const struct type *type = value_type(e->f, v);
  for (uint32_t i = row->from; i < row->rank; i++) {
    if (type->dims[i] != row->dims[i])
      return true;
  }
  return false;
}

static void store_step(struct emit *e, void *user, const struct point *p, const LLVMValueRef *acc,
                       LLVMValueRef *out_acc) {
  const struct row *row = user;
  (void)acc;
  (void)out_acc;
  for (uint32_t i = 0; i < e->fused->n_results; i++) {
    value_id v = kernel_result(e->kernel, i);
    if (per_row(e, row, v))
      continue;
    LLVMValueRef x = emit_value(e, v, p);
    emit_store(e, kernel_result_buffer(e->kernel, i), value_type(e->f, v), p, x);
  }
}

/* An element that all threads of a block have: the first stores it. */
static void store_once(struct emit *e, uint32_t result, value_id v, const struct point *p) {
  LLVMValueRef x = emit_value(e, v, p);
  struct emit_if first;
  if (e->lane)
    emit_if_begin(e, &first, LLVMBuildICmp(e->b, LLVMIntEQ, e->lane, emit_i64(e, 0), ""));
  emit_store(e, kernel_result_buffer(e->kernel, result), value_type(e->f, v), p, x);
  if (e->lane) {
    emit_if_else(e, &first, NULL);
    emit_if_end(e, &first, NULL);
  }
}

static void emit(struct emit *e, LLVMValueRef tile) {
  struct row row;
  row_space(e->kernel, &row);
  struct point p = {.rank = row.rank, .width = 1};
  for (uint32_t i = row.from; i < row.rank; i++)
    p.c[i] = coord_zero(e);
  emit_delinearize(e, tile, row.dims, row.from, p.c);
  value_id kept[4];
  uint32_t n_kept = values_to_keep(e->kernel, kept);
  LLVMValueRef elements = emit_product(e, row.dims + row.from, row.rank - row.from);
  const struct region *r = &e->f->regions.data[e->fused->regions[0]];
  bool is_kept[4] = {false};
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(e->f, r->ops.data[i]);
    if (op->kind != OP_REDUCE)
      continue;
    LLVMValueRef keep = NULL;
    for (uint32_t j = 0; j < n_kept; j++) {
      if (kept[j] != op->operands[0] || is_kept[j])
        continue;
      LLVMValueRef offset = LLVMBuildMul(e->b, elements, emit_i64(e, 8 * (int64_t)j), "");
      keep = LLVMBuildInBoundsGEP2(e->b, e->i8, e->scratch, &offset, 1, "");
      is_kept[j] = true;
    }
    reduce_pass(e, &row, op, &p, keep);
    if (!keep)
      continue;
    struct emit_bound bound = {
        .value = op->operands[0], .cache = keep, .cache_rank_from = row.from};
    vec_push(&e->bound, bound);
  }
  bool whole = false;
  for (uint32_t i = 0; i < e->fused->n_results; i++) {
    value_id v = kernel_result(e->kernel, i);
    whole |= !per_row(e, &row, v);
    if (!per_row(e, &row, v))
      continue;
    store_once(e, i, v, &p);
  }
  if (!whole)
    return;
  struct nest n = row_nest(e, &row, 0, store_step, &row);
  emit_nest(e, &n, &p, NULL, NULL);
}

const struct schedule schedule_row = {"row", ROOT_KIND_ROW, plan, emit};
