/* SPDX-License-Identifier: Apache-2.0 */
/* Stencils over planes with channels last (passes/layout.c): depth-wise convolution, and pooling by
 * any plain combiner.
 *
 * A tile is one row of results. Channels lie in lanes and the input is read where it is stored, so
 * nothing is copied: taps outside the plane are left out of the loops. GROUP neighbours are
 * computed at once while all their columns lie inside, as they share most of what they read. Sums
 * go to scratch, from which the epilogue stores the results. */
#include "codegen/contract_util.h"
#include "codegen/cpu/micro.h"
#include "codegen/cpu/plane.h"
#include "codegen/cpu/plane_last.h"
#include "codegen/index_math.h"
#include "codegen/schedule.h"

#define GROUP 4
#define MAX_COLUMNS 9 /* of a window */

struct stencil {
  const struct op *op;
  bool conv;
  const struct type *x;
  dim channels;
  enum dtype acc, to;
  struct plane plane;
  uint32_t columns; /* of a panel of weights */
  uint32_t weights; /* their buffer */
};

static bool conv_of(const struct kernel *k, struct stencil *s) {
  const struct dim_table *t = k->function->module->dims;
  const struct conv_attrs *a = OP_ATTRS(conv, s->op);
  const struct type *w = value_type(k->function, s->op->operands[1]);
  const struct value *v = function_value(k->function, s->op->operands[1]);
  if (!dim_is_const_value(t, w->dims[1], 1) || !dim_is_const_value(t, w->dims[0], a->groups) ||
      v->def != OP_ID_NONE || dtype_is_sub_byte(w->dtype) || !kernel_may_pack(k, v->index))
    return false;
  s->weights = v->index;
  s->channels = s->x->dims[1];
  s->acc = contract_accumulator(s->x->dtype);
  s->to = a->dtype;
  s->columns = PANEL_BYTES / dtype_unpacked_bytes(s->acc);
  return s->acc != DTYPE_I64 && s->acc != DTYPE_U64;
}

static bool window_of(struct stencil *s) {
  enum combiner kind = OP_ATTRS(window, s->op)->kind;
  enum dtype dtype = s->x->dtype;
  if (kind == COMBINER_ARGMAX || kind == COMBINER_ARGMIN || dtype == DTYPE_BOOL ||
      dtype_is_sub_byte(dtype))
    return false;
  s->channels = s->x->dims[s->x->rank - 1];
  s->acc = dtype_is_float(dtype) ? dtype_compute(dtype) : dtype;
  s->to = dtype;
  return true;
}

static bool stencil_of(const struct kernel *k, bool conv, dim one, dim zero, struct stencil *s) {
  *s = (struct stencil){.op = kernel_root_op(k, conv ? OP_CONV : OP_WINDOW), .conv = conv};
  s->x = value_type(k->function, s->op->operands[0]);
  if (conv && (!conv_of(k, s) || !plane_of_conv(k, s->op, one, zero, &s->plane)))
    return false;
  if (!conv && (!window_of(s) || !plane_of_window_last(k, s->op, one, zero, &s->plane)))
    return false;
  return s->plane.size[1] <= MAX_COLUMNS;
}

static bool plan(struct kernel *k, bool conv) {
  struct dim_table *t = k->function->module->dims;
  dim one = dim_const(t, 1), zero = dim_const(t, 0);
  struct stencil s;
  if (!stencil_of(k, conv, one, zero, &s) || (conv && !plane_last_turn(k, s.op)))
    return false;
  dim channels = dim_add(t, s.channels, dim_const(t, 64));
  if (channels == DIM_NONE)
    return false;
  kernel_grid(k, s.x->dims, 1);
  kernel_grid(k, s.plane.out, 1);
  kernel_scratch(k, &channels, 1, GROUP * dtype_unpacked_bytes(s.acc));
  if (conv)
    kernel_pack_outputs(k, s.weights, value_type(k->function, s.op->operands[1]), s.columns, 0);
  vec_push(&k->kept, one);
  vec_push(&k->kept, zero);
  vec_push(&k->kept, channels);
  return true;
}

static bool plan_conv(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  return plan(k, true);
}

static bool plan_window(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  return plan(k, false);
}

/* ---- emission ---- */

struct tile {
  struct stencil s;
  uint32_t width;
  LLVMValueRef image, y, channels, stride; /* row of results; channels of one in scratch */
  LLVMValueRef row_lo, row_hi;             /* taps inside */
};

/* What one pass over the channels computes: `n` neighbours from x on, taps [lo, hi) of a row. */
struct span {
  LLVMValueRef x, lo, hi; /* lo NULL: all, and all inside */
  uint32_t n;
};

static LLVMValueRef read(struct emit *e, const struct tile *t, LLVMValueRef y, LLVMValueRef x,
                         LLVMValueRef c, uint32_t width) {
  const struct stencil *s = &t->s;
  struct point p = {.rank = s->x->rank, .width = width};
  uint32_t axis = s->conv ? 1 : p.rank - 1, first = s->conv ? 2 : 1;
  p.c[0] = coord_uniform(e, t->image);
  if (p.rank == 4)
    p.c[first] = coord_uniform(e, y);
  p.c[first + p.rank - 3] = coord_uniform(e, x);
  p.c[axis] = (struct coord){.base = c, .stride = width > 1, .align = width};
  LLVMValueRef v = emit_value(e, s->op->operands[0], &p);
  return emit_cast(e, v, s->x->dtype, s->acc, CAST_DEFAULT, width);
}

static LLVMValueRef weight(struct emit *e, const struct tile *t, LLVMValueRef ty, LLVMValueRef tx,
                           LLVMValueRef c, uint32_t width) {
  const struct stencil *s = &t->s;
  const struct type *type = value_type(e->f, s->op->operands[1]);
  LLVMValueRef columns = emit_i64(e, s->columns);
  LLVMValueRef at = index_scale(e, LLVMBuildUDiv(e->b, c, columns, ""), s->plane.size[0]);
  at = index_add(e, index_scale(e, index_add(e, at, ty), s->plane.size[1]), tx);
  at = index_add(e, index_mul(e, at, columns), LLVMBuildURem(e->b, c, columns, ""));
  return emit_load_lanes(e, e->buffers[s->weights], type->dtype, at, 1, s->acc, width);
}

static LLVMValueRef include(struct emit *e, const struct tile *t, LLVMValueRef acc, LLVMValueRef x,
                            LLVMValueRef w, uint32_t width) {
  if (t->s.conv)
    return contract_multiply_add(e, t->s.acc, acc, x, w);
  return emit_combine(e, OP_ATTRS(window, t->s.op)->kind, t->s.x->dtype, acc, x, width);
}

static LLVMValueRef input_x(struct emit *e, const struct tile *t, LLVMValueRef x, LLVMValueRef tx) {
  const struct plane *p = &t->s.plane;
  LLVMValueRef at =
      index_add(e, index_scale(e, x, p->stride[1]), index_scale(e, tx, p->dilation[1]));
  return index_sub(e, at, emit_dim(e, p->low[1]));
}

/* All taps of a row for `n` neighbours; a column of the input that several of them meet is read
 * once. */
static void row_inside(struct emit *e, const struct tile *t, const struct span *s, LLVMValueRef y,
                       LLVMValueRef ty, LLVMValueRef c, uint32_t width, LLVMValueRef *acc) {
  const struct plane *p = &t->s.plane;
  LLVMValueRef w[MAX_COLUMNS] = {NULL}, first = input_x(e, t, s->x, emit_i64(e, 0));
  int64_t reach = (s->n - 1) * p->stride[1] + (p->size[1] - 1) * p->dilation[1];
  for (int64_t i = 0; t->s.conv && i < p->size[1]; i++)
    w[i] = weight(e, t, ty, emit_i64(e, i), c, width);
  for (int64_t at = 0; at <= reach; at++) {
    LLVMValueRef x = NULL;
    for (uint32_t i = 0; i < s->n; i++) {
      int64_t tap = at - (int64_t)i * p->stride[1];
      if (tap < 0 || tap % p->dilation[1] || tap / p->dilation[1] >= p->size[1])
        continue;
      if (!x)
        x = read(e, t, y, index_add(e, first, emit_i64(e, at)), c, width);
      acc[i] = include(e, t, acc[i], x, w[tap / p->dilation[1]], width);
    }
  }
}

static void row_border(struct emit *e, const struct tile *t, const struct span *s, LLVMValueRef y,
                       LLVMValueRef ty, LLVMValueRef c, uint32_t width, LLVMValueRef *acc) {
  struct emit_loop l;
  emit_loop_begin(e, &l, s->lo, s->hi, 1, 1, acc);
  LLVMValueRef x = read(e, t, y, input_x(e, t, s->x, l.index), c, width);
  LLVMValueRef w = t->s.conv ? weight(e, t, ty, l.index, c, width) : NULL;
  LLVMValueRef next = include(e, t, l.carried[0], x, w, width);
  emit_loop_end(e, &l, &next);
  acc[0] = l.carried[0];
}

static void channel_span(struct emit *e, const struct tile *t, const struct span *s,
                         LLVMValueRef from, LLVMValueRef to, uint32_t width) {
  const struct plane *p = &t->s.plane;
  struct emit_loop lc, ly;
  LLVMValueRef acc[GROUP];
  emit_loop_begin(e, &lc, from, to, width, 0, NULL);
  for (uint32_t i = 0; i < s->n; i++)
    acc[i] = t->s.conv ? LLVMConstNull(emit_type(e, t->s.acc, width))
                       : emit_identity(e, OP_ATTRS(window, t->s.op)->kind, t->s.x->dtype, width);
  emit_loop_begin(e, &ly, t->row_lo, t->row_hi, 1, s->n, acc);
  LLVMValueRef y =
      index_add(e, index_scale(e, t->y, p->stride[0]), index_scale(e, ly.index, p->dilation[0]));
  y = index_sub(e, y, emit_dim(e, p->low[0]));
  for (uint32_t i = 0; i < s->n; i++)
    acc[i] = ly.carried[i];
  if (s->lo)
    row_border(e, t, s, y, ly.index, lc.index, width, acc);
  else
    row_inside(e, t, s, y, ly.index, lc.index, width, acc);
  emit_loop_end(e, &ly, acc);
  for (uint32_t i = 0; i < s->n; i++) {
    LLVMValueRef at = index_add(e, index_scale(e, t->stride, i), lc.index);
    micro_store(e, t->s.acc, micro_at(e, t->s.acc, e->scratch, at), ly.carried[i]);
  }
  emit_loop_end(e, &lc, NULL);
}

/* `n` neighbours at a time from lo to hi. */
static void columns(struct emit *e, const struct tile *t, LLVMValueRef lo, LLVMValueRef hi,
                    uint32_t n, bool border) {
  const struct plane *p = &t->s.plane;
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, n, 0, NULL);
  struct span s = {.x = l.index, .n = n};
  if (border)
    plane_taps_inside(e, p, 1, l.index, &s.lo, &s.hi);
  LLVMValueRef whole = micro_whole(e, t->channels, t->width);
  channel_span(e, t, &s, emit_i64(e, 0), whole, t->width);
  if (t->width > 1)
    channel_span(e, t, &s, whole, t->channels, 1);
  struct plane_last_finish f = {.root = t->s.op,
                                .from = t->s.acc,
                                .to = t->s.to,
                                .width = t->width,
                                .batch = t->image,
                                .channel = emit_i64(e, 0),
                                .channels = t->channels,
                                .sums = e->scratch,
                                .stride = t->stride};
  plane_last_finish(e, &f, t->y, l.index, emit_i64(e, n));
  emit_loop_end(e, &l, NULL);
}

/* The results [lo, hi) of a row all of whose taps lie inside. */
static void inside(struct emit *e, const struct plane *p, LLVMValueRef *out_lo,
                   LLVMValueRef *out_hi) {
  LLVMValueRef zero = emit_i64(e, 0), out = emit_dim(e, p->out[1]), low = emit_dim(e, p->low[1]);
  LLVMValueRef stride = emit_i64(e, p->stride[1]);
  LLVMValueRef up = index_add(e, index_max(e, low, zero), emit_i64(e, p->stride[1] - 1));
  LLVMValueRef lo = index_min(e, LLVMBuildUDiv(e->b, up, stride, ""), out);
  LLVMValueRef room = index_add(e, emit_dim(e, p->in[1]), low);
  room = index_sub(e, room, emit_i64(e, (p->size[1] - 1) * p->dilation[1] + 1));
  LLVMValueRef steps = LLVMBuildUDiv(e->b, index_max(e, room, zero), stride, "");
  LLVMValueRef hi = index_min(e, index_add(e, steps, emit_i64(e, 1)), out);
  LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntSLT, room, zero, "");
  hi = LLVMBuildSelect(e->b, none, lo, index_max(e, hi, lo), "");
  *out_lo = lo;
  *out_hi = hi;
}

static void emit(struct emit *e, LLVMValueRef number, bool conv) {
  struct tile t = {0};
  const dim *kept = e->kernel->kept.data;
  stencil_of(e->kernel, conv, kept[0], kept[1], &t.s);
  const struct plane *p = &t.s.plane;
  t.width = e->vector_bytes / dtype_unpacked_bytes(t.s.acc);
  LLVMValueRef rows = emit_dim(e, p->out[0]), lo, hi;
  t.y = LLVMBuildURem(e->b, number, rows, "");
  t.image = LLVMBuildUDiv(e->b, number, rows, "");
  t.channels = emit_dim(e, t.s.channels);
  t.stride = emit_dim(e, kept[2]);
  plane_taps_inside(e, p, 0, t.y, &t.row_lo, &t.row_hi);
  inside(e, p, &lo, &hi);
  LLVMValueRef groups = index_add(e, lo, micro_whole(e, index_sub(e, hi, lo), GROUP));
  columns(e, &t, emit_i64(e, 0), lo, 1, true);
  columns(e, &t, lo, groups, GROUP, false);
  columns(e, &t, groups, emit_dim(e, p->out[1]), 1, true);
}

static void emit_conv(struct emit *e, LLVMValueRef number) { emit(e, number, true); }
static void emit_window(struct emit *e, LLVMValueRef number) { emit(e, number, false); }

const struct schedule schedule_conv_depth_last = {"conv_depth_last", ROOT_KIND_CONV, plan_conv,
                                                  emit_conv};
const struct schedule schedule_window_last = {"window_last", ROOT_KIND_WINDOW, plan_window,
                                              emit_window};
