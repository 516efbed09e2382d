/* SPDX-License-Identifier: Apache-2.0 */
/* Point-wise code of maps, and of views and gathers that leave neighbours of the last dim together:
 * a thread has some neighbours along the last dim, or (of maps) along trailing dims that are walked
 * as one, and reads and writes them 16 bytes at a time where they lie so.
 *
 * What is aligned is proved from the index; that buffers begin at 16 bytes is looked at when the
 * kernel runs, since an alias need not. Ends of rows, and all where a buffer does not, are computed
 * one by one. */
#include "base/mem.h"
#include "codegen/cpu/plane.h"
#include "codegen/schedule.h"

#define BYTES 16

static const struct type *space(const struct kernel *k) {
  return value_type(k->function, kernel_result(k, 0));
}

/* Elements of a thread: 16 bytes of the narrowest operand or result; bytes beside what is wider are
 * read and written by as many as of the latter. */
static uint32_t width_of(const struct kernel *k) {
  const struct op *op = kernel_op(k);
  uint32_t narrowest = 0;
  for (uint32_t i = 0; i < op->n_operands + op->n_results; i++) {
    value_id v = i < op->n_operands ? op->operands[i] : kernel_result(k, i - op->n_operands);
    uint32_t bytes = dtype_unpacked_bytes(value_type(k->function, v)->dtype);
    if (bytes > 1 && (!narrowest || bytes < narrowest))
      narrowest = bytes;
  }
  return narrowest ? BYTES / (narrowest < 4 ? narrowest : 4) : BYTES;
}

/* ---- views: where neighbours of a result come from ---- */

/* The last dim that is not 1, from 1; 0: there is none. */
static uint32_t last_axis(const struct dim_table *t, const struct type *type) {
  uint32_t axis = type->rank;
  while (axis && dim_is_const_value(t, type->dims[axis - 1], 1))
    axis--;
  return axis;
}

/* For each value that is read with lanes, the dim that they run along, from 1. */
struct lanes {
  const struct kernel *k;
  const struct function *f;
  uint32_t width;
  uint32_t *axis;
};

/* Lanes of v run along dim `axis` (from 0), if it has more than one element there. */
static bool put_lanes(struct lanes *l, value_id v, uint32_t axis) {
  const struct type *type = value_type(l->f, v);
  if (dim_is_const_value(l->f->module->dims, type->dims[axis], 1))
    return true;
  bool first = !l->axis[v];
  l->axis[v] = axis + 1;
  return first || l->axis[v] == axis + 1;
}

/* What is read of a gather's data, dim by dim: those behind the dims of the indices. */
static bool through_gather(struct lanes *l, const struct op *op, uint32_t axis) {
  const struct type *data = value_type(l->f, op->operands[0]);
  const struct type *result = value_type(l->f, op->results[0]);
  struct ints axes = OP_ATTRS(gather, op)->axes;
  uint32_t window = result->rank - (data->rank - axes.len);
  if (axis < window)
    return false;
  for (uint32_t i = 0; i < data->rank; i++) {
    bool indexed = false;
    for (uint32_t j = 0; j < axes.len; j++)
      indexed |= axes.data[j] == i;
    if (!indexed && window++ == axis)
      return put_lanes(l, op->operands[0], i);
  }
  return false;
}

/* Whether a dim is whole runs. */
static bool has_runs(const struct lanes *l, dim d) {
  int64_t n;
  return dim_is_const(l->f->module->dims, d, &n) && n % l->width == 0;
}

/* Runs of a reshape stay whole where both its last dims are made of them. */
static bool through_reshape(struct lanes *l, const struct op *op, uint32_t axis) {
  const struct dim_table *t = l->f->module->dims;
  const struct type *from = value_type(l->f, op->operands[0]),
                    *to = value_type(l->f, op->results[0]);
  uint32_t last = last_axis(t, from);
  return axis + 1 == last_axis(t, to) && last && has_runs(l, to->dims[axis]) &&
         has_runs(l, from->dims[last - 1]) && put_lanes(l, op->operands[0], last - 1);
}

static bool is_zero(const struct lanes *l, dim d) {
  return dim_is_const_value(l->f->module->dims, d, 0);
}

static bool pieces_have_runs(const struct lanes *l, const struct op *op, uint32_t axis) {
  bool ok = true;
  for (uint32_t i = 0; i < op->n_operands && OP_ATTRS(concat, op)->axis == (int64_t)axis; i++)
    ok = ok && has_runs(l, value_type(l->f, op->operands[i])->dims[axis]);
  return ok;
}

/* Whether lanes stay neighbours from an op's result, where they run along `axis`, to its operands.
 */
static bool through(struct lanes *l, const struct op *op, uint32_t axis) {
  bool ok = true;
  switch (op->kind) {
  case OP_CONST:
  case OP_IOTA: return true;
  case OP_TRANSPOSE:
    return put_lanes(l, op->operands[0], (uint32_t)OP_ATTRS(transpose, op)->perm.data[axis]);
  case OP_RESHAPE: return through_reshape(l, op, axis);
  case OP_GATHER: return through_gather(l, op, axis);
  case OP_SLICE:
    return OP_ATTRS(slice, op)->step.data[axis] == 1 && put_lanes(l, op->operands[0], axis);
  case OP_PAD:
    return is_zero(l, OP_ATTRS(pad, op)->low.data[axis]) &&
           is_zero(l, OP_ATTRS(pad, op)->high.data[axis]) &&
           !OP_ATTRS(pad, op)->interior.data[axis] && put_lanes(l, op->operands[0], axis);
  case OP_CONCAT: ok = pieces_have_runs(l, op, axis); break;
  case OP_MAP:
  case OP_BROADCAST:
  case OP_BITCAST: break;
  default: return false;
  }
  for (uint32_t i = 0; i < op->n_operands; i++)
    ok = ok && put_lanes(l, op->operands[i], axis);
  return ok;
}

/* Whether runs along the results' last dim are runs of all that is read, through all views. */
static bool views_keep_runs(const struct kernel *k, uint32_t width) {
  const struct function *f = k->function;
  const struct region *r = &f->regions.data[kernel_op(k)->regions[0]];
  struct lanes l = {.k = k, .f = f, .width = width};
  l.axis = mem_calloc(f->values.len + 1, sizeof *l.axis);
  bool ok = space(k)->rank && has_runs(&l, space(k)->dims[space(k)->rank - 1]);
  for (uint32_t i = 0; i < r->results.len && ok; i++)
    ok = put_lanes(&l, r->results.data[i], space(k)->rank - 1);
  for (uint32_t i = r->ops.len; i-- > 0 && ok;) {
    const struct op *op = function_op(f, r->ops.data[i]);
    uint32_t axis = l.axis[op->results[0]];
    ok = !axis || through(&l, op, axis - 1);
  }
  for (uint32_t i = 0; i < r->params.len && ok; i++) {
    value_id v = r->params.data[i];
    ok = !l.axis[v] || l.axis[v] == last_axis(f->module->dims, value_type(f, v));
  }
  mem_free(l.axis);
  return ok;
}

/* Maps, and what lies as they do. */
static bool is_plain(const struct kernel *k) {
  const struct region *r = &k->function->regions.data[kernel_op(k)->regions[0]];
  for (uint32_t i = 0; i < r->ops.len; i++) {
    enum op_kind kind = function_op(k->function, r->ops.data[i])->kind;
    if (kind != OP_MAP && kind != OP_CONST && kind != OP_BROADCAST && kind != OP_IOTA)
      return false;
  }
  return true;
}

/* Elements of a thread; 0: the schedule does not apply. */
static uint32_t choose_width(const struct kernel *k) {
  uint32_t width = width_of(k);
  if (is_plain(k))
    return width;
  while (width > 1 && !views_keep_runs(k, width))
    width /= 2;
  return width > 1 ? width : 0;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct dim_table *t = k->function->module->dims;
  const struct type *type = space(k);
  int64_t n;
  if (!type->rank)
    return false;
  uint32_t from = kernel_flat_from(k);
  dim row = dim_product(t, type->dims + from, type->rank - from);
  if (row == DIM_NONE) {
    from = type->rank - 1;
    row = type->dims[from];
  }
  uint32_t width = choose_width(k);
  if (!width || (dim_is_const(t, row, &n) && n < width))
    return false;
  k->choice = width;
  dim chunks = dim_ceildiv(t, row, dim_const(t, width));
  kernel_grid(k, type->dims, from);
  kernel_grid(k, &chunks, 1);
  vec_push(&k->kept, from);
  vec_push(&k->kept, row);
  return true;
}

static void emit(struct emit *e, LLVMValueRef tile) {
  const struct type *type = space(e->kernel);
  uint32_t from = e->kernel->kept.data[0], width = e->kernel->choice;
  uint32_t axis = type_flat_axis(e->f->module->dims, type, from);
  LLVMValueRef size = emit_dim(e, e->kernel->kept.data[1]), step = emit_i64(e, width);
  struct point p = {.rank = type->rank, .width = width};
  LLVMValueRef up = LLVMBuildAdd(e->b, size, emit_i64(e, width - 1), "");
  LLVMValueRef chunks = LLVMBuildUDiv(e->b, up, step, "");
  LLVMValueRef lo = LLVMBuildMul(e->b, LLVMBuildURem(e->b, tile, chunks, ""), step, "");
  LLVMValueRef end = LLVMBuildAdd(e->b, lo, step, "");
  emit_delinearize(e, LLVMBuildUDiv(e->b, tile, chunks, ""), type->dims, from, p.c);
  for (uint32_t i = from; i < type->rank; i++)
    p.c[i] = coord_zero(e);
  LLVMValueRef whole = LLVMBuildICmp(e->b, LLVMIntSLE, end, size, "");
  struct emit_if s;
  emit_if_begin(e, &s, LLVMBuildAnd(e->b, whole, emit_are_aligned(e, BYTES), ""));
  p.c[axis] = (struct coord){.base = lo, .stride = 1, .align = width};
  e->base_align = BYTES;
  kernel_store_results(e, &p);
  e->base_align = 0;
  emit_if_else(e, &s, NULL);
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, LLVMBuildSelect(e->b, whole, end, size, ""), 1, 0, NULL);
  p.width = 1;
  p.c[axis] = coord_uniform(e, l.index);
  kernel_store_results(e, &p);
  emit_loop_end(e, &l, NULL);
  emit_if_end(e, &s, NULL);
}

const struct schedule schedule_pointwise_wide = {"pointwise_wide", ROOT_KIND_POINTWISE, plan, emit};
