/* SPDX-License-Identifier: Apache-2.0 */
/* Planes with channels last; see plane_last.h. */
#include "codegen/cpu/plane_last.h"

#include "codegen/cpu/micro.h"
#include "codegen/index_math.h"
#include "codegen/schedule.h"

/* [0, 2, ..., 1] */
static bool turns_last(struct ints perm) {
  for (uint32_t i = 1; i + 1 < perm.len; i++) {
    if (perm.data[i] != (int64_t)i + 1)
      return false;
  }
  return perm.len > 2 && perm.data[0] == 0 && perm.data[perm.len - 1] == 1;
}

/* [0, last, 1, ...] */
static bool turns_first(struct ints perm) {
  for (uint32_t i = 2; i < perm.len; i++) {
    if (perm.data[i] != (int64_t)i - 1)
      return false;
  }
  return perm.len > 2 && perm.data[0] == 0 && perm.data[1] == (int64_t)perm.len - 1;
}

const struct op *plane_last_turn(const struct kernel *k, const struct op *root) {
  const struct function *f = k->function;
  const struct region *r = &f->regions.data[kernel_op(k)->regions[0]];
  const struct op *turn = NULL;
  for (uint32_t i = 0; i < r->results.len; i++) {
    if (r->results.data[i] == root->results[0])
      return NULL;
  }
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    for (uint32_t j = 0; j < op->n_operands; j++) {
      if (op->operands[j] != root->results[0])
        continue;
      if (turn || op->kind != OP_TRANSPOSE || !turns_last(OP_ATTRS(transpose, op)->perm))
        return NULL;
      turn = op;
    }
  }
  return turn;
}

bool plane_last_read(const struct function *f, value_id v) {
  const struct op *op = value_def(f, v);
  return op && op->kind == OP_TRANSPOSE && turns_first(OP_ATTRS(transpose, op)->perm);
}

static void finish_span(struct emit *e, const struct plane_last_finish *f, struct point *p,
                        LLVMValueRef sums, uint32_t axis, LLVMValueRef lo, LLVMValueRef hi,
                        uint32_t width) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  struct point at = *p;
  at.width = width;
  at.c[axis] = (struct coord){
      .base = index_add(e, f->channel, l.index), .stride = width > 1, .align = width};
  LLVMValueRef x = micro_load(e, f->from, micro_at(e, f->from, sums, l.index), width);
  x = emit_cast(e, x, f->from, f->to, CAST_DEFAULT, width);
  struct point last = at;
  if (axis == 1) { /* the root is channels first, what follows is not */
    for (uint32_t i = 1; i + 1 < at.rank; i++)
      last.c[i] = at.c[i + 1];
    last.c[at.rank - 1] = at.c[1];
  }
  emit_know(e, f->root->results[0], &at, x);
  kernel_store_results(e, &last);
  emit_loop_end(e, &l, NULL);
}

void plane_last_finish(struct emit *e, const struct plane_last_finish *f, LLVMValueRef y,
                       LLVMValueRef x, LLVMValueRef n) {
  struct point p = {.rank = value_type(e->f, f->root->results[0])->rank};
  bool conv = f->root->kind == OP_CONV;
  uint32_t axis = conv ? 1 : p.rank - 1, first = conv ? 2 : 1;
  p.c[0] = coord_uniform(e, f->batch);
  if (p.rank == 4)
    p.c[first] = coord_uniform(e, y);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), n, 1, 0, NULL);
  p.c[first + p.rank - 3] = coord_uniform(e, index_add(e, x, l.index));
  LLVMValueRef sums = micro_at(e, f->from, f->sums, index_mul(e, l.index, f->stride));
  LLVMValueRef whole = micro_whole(e, f->channels, f->width);
  finish_span(e, f, &p, sums, axis, emit_i64(e, 0), whole, f->width);
  if (f->width > 1)
    finish_span(e, f, &p, sums, axis, whole, f->channels, 1);
  emit_loop_end(e, &l, NULL);
}
