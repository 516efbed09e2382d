/* SPDX-License-Identifier: Apache-2.0 */
/* Non-maximum suppression: class by class, the boxes above the score threshold in order of score,
 * each kept unless it overlaps one kept before. One tile, because results are appended in order. */
#include "codegen/emit_sort.h"
#include "codegen/schedule.h"

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  const struct op *op = kernel_root_op(k, OP_NMS);
  kernel_scratch(k, &value_type(k->function, op->operands[0])->dims[1], 1, 16);
  return true;
}

struct nms {
  const struct op *op;
  LLVMValueRef batch, class_;
};

static LLVMValueRef scalar_operand(struct emit *e, const struct nms *s, uint32_t i) {
  struct point none = {.rank = 0, .width = 1};
  return emit_value(e, s->op->operands[i], &none);
}

static LLVMValueRef score(struct emit *e, const struct nms *s, LLVMValueRef box) {
  struct point p = {.rank = 3, .width = 1};
  p.c[0] = coord_uniform(e, s->batch);
  p.c[1] = coord_uniform(e, s->class_);
  p.c[2] = coord_uniform(e, box);
  return emit_value(e, s->op->operands[1], &p);
}

static LLVMValueRef before(struct emit *e, void *user, LLVMValueRef a, LLVMValueRef b) {
  return emit_less(e, DTYPE_F32, score(e, user, b), score(e, user, a));
}

struct box {
  LLVMValueRef y1, x1, y2, x2;
};

static LLVMValueRef binary(struct emit *e, enum scalar_op op, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef args[3] = {a, b, NULL};
  return emit_scalar_op(e, op, DTYPE_F32, args, 1);
}

static struct box load_box(struct emit *e, const struct nms *s, LLVMValueRef box) {
  struct point p = {.rank = 3, .width = 1};
  LLVMValueRef c[4];
  p.c[0] = coord_uniform(e, s->batch);
  p.c[1] = coord_uniform(e, box);
  for (int i = 0; i < 4; i++) {
    p.c[2] = coord_uniform(e, emit_i64(e, i));
    c[i] = emit_value(e, s->op->operands[0], &p);
  }
  if (OP_ATTRS(nms, s->op)->center) {
    LLVMValueRef half = LLVMConstReal(e->f32, 0.5);
    LLVMValueRef w = LLVMBuildFMul(e->b, c[2], half, ""), h = LLVMBuildFMul(e->b, c[3], half, "");
    return (struct box){LLVMBuildFSub(e->b, c[1], h, ""), LLVMBuildFSub(e->b, c[0], w, ""),
                        LLVMBuildFAdd(e->b, c[1], h, ""), LLVMBuildFAdd(e->b, c[0], w, "")};
  }
  return (struct box){binary(e, SCALAR_MIN, c[0], c[2]), binary(e, SCALAR_MIN, c[1], c[3]),
                      binary(e, SCALAR_MAX, c[0], c[2]), binary(e, SCALAR_MAX, c[1], c[3])};
}

static LLVMValueRef area(struct emit *e, struct box a) {
  return LLVMBuildFMul(e->b, LLVMBuildFSub(e->b, a.y2, a.y1, ""),
                       LLVMBuildFSub(e->b, a.x2, a.x1, ""), "");
}

static LLVMValueRef positive(struct emit *e, LLVMValueRef x) {
  return LLVMBuildFCmp(e->b, LLVMRealOGT, x, LLVMConstReal(e->f32, 0), "");
}

/* i1: intersection over union is above the threshold. Boxes without area overlap nothing. */
static LLVMValueRef overlaps(struct emit *e, struct box a, struct box b, LLVMValueRef threshold) {
  LLVMBuilderRef w = e->b;
  LLVMValueRef height =
      LLVMBuildFSub(w, binary(e, SCALAR_MIN, a.y2, b.y2), binary(e, SCALAR_MAX, a.y1, b.y1), "");
  LLVMValueRef width =
      LLVMBuildFSub(w, binary(e, SCALAR_MIN, a.x2, b.x2), binary(e, SCALAR_MAX, a.x1, b.x1), "");
  LLVMValueRef both = LLVMBuildFMul(w, height, width, "");
  LLVMValueRef area_a = area(e, a), area_b = area(e, b);
  LLVMValueRef either = LLVMBuildFSub(w, LLVMBuildFAdd(w, area_a, area_b, ""), both, "");
  LLVMValueRef tests[] = {positive(e, height), positive(e, width), positive(e, area_a),
                          positive(e, area_b), positive(e, either)};
  LLVMValueRef yes =
      LLVMBuildFCmp(w, LLVMRealOGT, LLVMBuildFDiv(w, both, either, ""), threshold, "");
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
    yes = LLVMBuildAnd(w, yes, tests[i], "");
  return yes;
}

/* Indices of the boxes above the score threshold, in order; returns how many. */
static LLVMValueRef candidates(struct emit *e, const struct nms *s, LLVMValueRef n,
                               LLVMValueRef out) {
  LLVMValueRef threshold = scalar_operand(e, s, 4), zero = emit_i64(e, 0);
  struct emit_loop l;
  emit_loop_begin(e, &l, zero, n, 1, 1, &zero);
  LLVMValueRef ok = LLVMBuildFCmp(e->b, LLVMRealOGT, score(e, s, l.index), threshold, "");
  emit_store_index(e, out, l.carried[0], l.index); /* overwritten unless it counts */
  LLVMValueRef next = LLVMBuildAdd(e->b, l.carried[0], LLVMBuildZExt(e->b, ok, e->i64, ""), "");
  emit_loop_end(e, &l, &next);
  return l.carried[0];
}

/* Keeps boxes of `order` one by one at its front; returns how many. */
static LLVMValueRef choose(struct emit *e, const struct nms *s, LLVMValueRef order,
                           LLVMValueRef count) {
  LLVMValueRef most = scalar_operand(e, s, 2), threshold = scalar_operand(e, s, 3);
  LLVMValueRef zero = emit_i64(e, 0), no = LLVMConstInt(e->i1, 0, false);
  struct emit_loop l, m;
  emit_loop_begin(e, &l, zero, count, 1, 1, &zero);
  LLVMValueRef box = emit_load_index(e, order, l.index), kept = l.carried[0];
  struct box b = load_box(e, s, box);
  emit_loop_begin(e, &m, zero, kept, 1, 1, &no);
  struct box a = load_box(e, s, emit_load_index(e, order, m.index));
  LLVMValueRef any = LLVMBuildOr(e->b, m.carried[0], overlaps(e, a, b, threshold), "");
  emit_loop_end(e, &m, &any);
  LLVMValueRef room = LLVMBuildICmp(e->b, LLVMIntSLT, kept, most, "");
  LLVMValueRef keep = LLVMBuildAnd(e->b, room, LLVMBuildNot(e->b, m.carried[0], ""), "");
  struct emit_if t;
  emit_if_begin(e, &t, keep);
  emit_store_index(e, order, kept, box); /* kept <= l.index: already read */
  LLVMValueRef more = LLVMBuildAdd(e->b, kept, emit_i64(e, 1), "");
  emit_if_else(e, &t, more);
  LLVMValueRef next = emit_if_end(e, &t, kept);
  emit_loop_end(e, &l, &next);
  return l.carried[0];
}

static LLVMValueRef write_rows(struct emit *e, const struct nms *s, LLVMValueRef order,
                               LLVMValueRef count, LLVMValueRef row) {
  const struct type *type = value_type(e->f, s->op->results[0]);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), count, 1, 1, &row);
  LLVMValueRef columns[3] = {s->batch, s->class_, emit_load_index(e, order, l.index)};
  struct point p = {.rank = 2, .width = 1};
  p.c[0] = coord_uniform(e, l.carried[0]);
  for (int i = 0; i < 3; i++) {
    p.c[1] = coord_uniform(e, emit_i64(e, i));
    emit_store(e, kernel_result_buffer(e->kernel, 0), type, &p, columns[i]);
  }
  LLVMValueRef next = LLVMBuildAdd(e->b, l.carried[0], emit_i64(e, 1), "");
  emit_loop_end(e, &l, &next);
  return l.carried[0];
}

static void emit(struct emit *e, LLVMValueRef tile) {
  (void)tile;
  struct nms s = {.op = kernel_root_op(e->kernel, OP_NMS)};
  const struct type *scores = value_type(e->f, s.op->operands[1]);
  LLVMValueRef n = emit_dim(e, scores->dims[2]), row = emit_i64(e, 0);
  struct emit_loop batch, class_;
  emit_loop_begin(e, &batch, emit_i64(e, 0), emit_dim(e, scores->dims[0]), 1, 1, &row);
  emit_loop_begin(e, &class_, emit_i64(e, 0), emit_dim(e, scores->dims[1]), 1, 1, batch.carried);
  s.batch = batch.index;
  s.class_ = class_.index;
  LLVMValueRef first = e->scratch, second = emit_scratch_at(e, n);
  LLVMValueRef count = candidates(e, &s, n, first);
  LLVMValueRef order = emit_sort(e, first, second, count, before, &s);
  count = choose(e, &s, order, count);
  row = write_rows(e, &s, order, count, class_.carried[0]);
  emit_loop_end(e, &class_, &row);
  emit_loop_end(e, &batch, class_.carried);
  struct point none = {.rank = 0, .width = 1};
  emit_store(e, kernel_result_buffer(e->kernel, 1), value_type(e->f, s.op->results[1]), &none,
             batch.carried[0]);
}

const struct schedule schedule_nms = {"nms", ROOT_KIND_NMS, plan, emit};
