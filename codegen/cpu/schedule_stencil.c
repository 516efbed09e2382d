/* SPDX-License-Identifier: Apache-2.0 */
/* Stencils: every result channel from the window of one input channel. Depth-wise convolution, and
 * pooling by any plain combiner.
 *
 * A tile is a tile of one plane (plane.h): the input under it is copied to scratch with its borders
 * filled in; vectors of neighbours along a row then meet the taps one by one, a few vectors at a
 * time; sums go to scratch, from which the epilogue stores the results. */
#include "codegen/contract_util.h"
#include "codegen/cpu/micro.h"
#include "codegen/cpu/plane.h"
#include "codegen/cpu/plane_last.h"
#include "codegen/index_math.h"
#include "codegen/schedule.h"

#define MOST 1024  /* elements of a tile */
#define UNROLL 9   /* taps that are unrolled, their weights in registers */
#define ROW_TAPS 8 /* taps of a row that are unrolled where there are more */
#define VECTORS 4  /* at a time */

struct stencil {
  const struct op *op;
  bool conv;
  const struct type *x;
  enum dtype acc, to;
  int64_t per_input; /* result channels per input channel */
  bool flat;
  struct plane plane;
};

static bool conv_of(const struct kernel *k, struct stencil *s) {
  const struct dim_table *t = k->function->module->dims;
  const struct conv_attrs *a = OP_ATTRS(conv, s->op);
  const struct type *w = value_type(k->function, s->op->operands[1]);
  int64_t outputs;
  if (!dim_is_const_value(t, w->dims[1], 1) || !dim_is_const(t, w->dims[0], &outputs))
    return false;
  s->per_input = outputs / a->groups;
  s->acc = contract_accumulator(s->x->dtype);
  s->to = a->dtype;
  /* A single channel that many come from is better off as a matrix product. */
  return s->per_input >= 1 && s->per_input <= 4 && s->acc != DTYPE_I64 && s->acc != DTYPE_U64;
}

static bool window_of(struct stencil *s) {
  enum combiner kind = OP_ATTRS(window, s->op)->kind;
  if (kind == COMBINER_ARGMAX || kind == COMBINER_ARGMIN)
    return false;
  enum dtype dtype = s->x->dtype;
  if (dtype == DTYPE_BOOL || dtype_is_sub_byte(dtype))
    return false;
  s->per_input = 1;
  s->acc = dtype_is_float(dtype) ? dtype_compute(dtype) : dtype;
  s->to = dtype;
  return true;
}

static bool stencil_of(const struct kernel *k, bool conv, dim one, dim zero, struct stencil *s) {
  *s = (struct stencil){.op = kernel_root_op(k, conv ? OP_CONV : OP_WINDOW), .conv = conv};
  s->x = value_type(k->function, s->op->operands[0]);
  if (conv && (!conv_of(k, s) || !plane_of_conv(k, s->op, one, zero, &s->plane)))
    return false;
  if (!conv && (!window_of(s) || !plane_of_window(k, s->op, one, zero, &s->plane)))
    return false;
  s->plane.most = MOST;
  s->flat = plane_is_flat(k, s->op, 2);
  return true;
}

static bool plan(struct kernel *k, bool conv) {
  struct dim_table *t = k->function->module->dims;
  dim one = dim_const(t, 1), zero = dim_const(t, 0);
  struct stencil s;
  if (!stencil_of(k, conv, one, zero, &s) || plane_last_turn(k, s.op))
    return false;
  const struct type *y = value_type(k->function, s.op->results[0]);
  dim tiles = plane_tiles(t, &s.plane), copy = plane_scratch(t, &s.plane, 1);
  if (tiles == DIM_NONE || copy == DIM_NONE)
    return false;
  dim elements = dim_add(t, copy, dim_const(t, MOST + 64 * VECTORS));
  if (elements == DIM_NONE)
    return false;
  kernel_grid(k, y->dims, 2);
  kernel_grid(k, &tiles, 1);
  kernel_scratch(k, &elements, 1, dtype_unpacked_bytes(s.acc));
  vec_push(&k->kept, one);
  vec_push(&k->kept, zero);
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
  struct plane_tile plane;
  LLVMValueRef image, channel, input; /* result channel, its input channel */
  LLVMValueRef sums;
  LLVMValueRef weights[UNROLL]; /* where all taps are unrolled */
};

static LLVMValueRef read_input(struct emit *e, void *user, LLVMValueRef c, LLVMValueRef y,
                               struct coord x, uint32_t width) {
  const struct tile *t = user;
  struct point p = {.rank = t->s.x->rank, .width = width};
  (void)c;
  p.c[0] = coord_uniform(e, t->image);
  p.c[1] = coord_uniform(e, t->input);
  if (p.rank == 4)
    p.c[2] = coord_uniform(e, y);
  p.c[p.rank - 1] = x;
  LLVMValueRef value = emit_value(e, t->s.op->operands[0], &p);
  return emit_cast(e, value, t->s.x->dtype, t->s.acc, CAST_DEFAULT, width);
}

static LLVMValueRef weight(struct emit *e, const struct tile *t, LLVMValueRef ty, LLVMValueRef tx) {
  value_id w = t->s.op->operands[1];
  const struct type *type = value_type(e->f, w);
  struct point p = {.rank = type->rank, .width = 1};
  p.c[0] = coord_uniform(e, t->channel);
  p.c[1] = coord_zero(e);
  if (p.rank == 4)
    p.c[2] = coord_uniform(e, ty);
  p.c[p.rank - 1] = coord_uniform(e, tx);
  LLVMValueRef x = emit_cast(e, emit_value(e, w, &p), type->dtype, t->s.acc, CAST_DEFAULT, 1);
  return emit_splat(e, x, t->plane.width);
}

struct span {
  LLVMValueRef y, x;
  uint32_t vectors;
};

static bool unrolled(const struct tile *t) {
  return t->s.plane.size[0] * t->s.plane.size[1] <= UNROLL;
}

static void tap(struct emit *e, const struct tile *t, const struct span *s, LLVMValueRef ty,
                LLVMValueRef tx, LLVMValueRef w, LLVMValueRef *acc) {
  LLVMValueRef at = plane_at(e, &t->plane, emit_i64(e, 0), s->y, ty, tx);
  if (t->s.conv && !w)
    w = weight(e, t, ty, tx);
  for (uint32_t v = 0; v < s->vectors; v++) {
    LLVMValueRef column = index_add(e, s->x, emit_i64(e, v * t->plane.width));
    LLVMValueRef x = plane_lanes(e, &t->plane, at, column);
    if (t->s.conv) {
      acc[v] = contract_multiply_add(e, t->s.acc, acc[v], x, w);
    } else {
      enum combiner kind = OP_ATTRS(window, t->s.op)->kind;
      acc[v] = emit_combine(e, kind, t->s.x->dtype, acc[v], x, t->plane.width);
    }
  }
}

static void tap_row(struct emit *e, const struct tile *t, const struct span *s, LLVMValueRef ty,
                    LLVMValueRef *acc) {
  int64_t n = t->s.plane.size[1];
  if (n <= ROW_TAPS) {
    for (int64_t i = 0; i < n; i++)
      tap(e, t, s, ty, emit_i64(e, i), NULL, acc);
    return;
  }
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, n), 1, s->vectors, acc);
  for (uint32_t v = 0; v < s->vectors; v++)
    acc[v] = l.carried[v];
  tap(e, t, s, ty, l.index, NULL, acc);
  emit_loop_end(e, &l, acc);
  for (uint32_t v = 0; v < s->vectors; v++)
    acc[v] = l.carried[v];
}

static void taps(struct emit *e, const struct tile *t, const struct span *s, LLVMValueRef *acc) {
  const int64_t *size = t->s.plane.size;
  if (unrolled(t)) {
    for (int64_t i = 0; i < size[0] * size[1]; i++) {
      tap(e, t, s, emit_i64(e, i / size[1]), emit_i64(e, i % size[1]), t->weights[i], acc);
    }
    return;
  }
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, size[0]), 1, s->vectors, acc);
  for (uint32_t v = 0; v < s->vectors; v++)
    acc[v] = l.carried[v];
  tap_row(e, t, s, l.index, acc);
  emit_loop_end(e, &l, acc);
  for (uint32_t v = 0; v < s->vectors; v++)
    acc[v] = l.carried[v];
}

/* Columns [lo, hi) of row y, `vectors` at a time; may run over: what is there is written later. */
static void row_span(struct emit *e, const struct tile *t, LLVMValueRef y, LLVMValueRef lo,
                     LLVMValueRef hi, uint32_t vectors) {
  struct emit_loop l;
  LLVMValueRef acc[VECTORS];
  emit_loop_begin(e, &l, lo, hi, vectors * t->plane.width, 0, NULL);
  for (uint32_t v = 0; v < vectors; v++) {
    acc[v] = t->s.conv
                 ? LLVMConstNull(emit_type(e, t->s.acc, t->plane.width))
                 : emit_identity(e, OP_ATTRS(window, t->s.op)->kind, t->s.x->dtype, t->plane.width);
  }
  struct span s = {.y = y, .x = l.index, .vectors = vectors};
  taps(e, t, &s, acc);
  LLVMValueRef to = index_add(e, index_mul(e, y, t->plane.columns), l.index);
  for (uint32_t v = 0; v < vectors; v++) {
    LLVMValueRef at = index_add(e, to, emit_i64(e, v * t->plane.width));
    micro_store(e, t->s.acc, micro_at(e, t->s.acc, t->sums, at), acc[v]);
  }
  emit_loop_end(e, &l, NULL);
}

static void tile_init(struct emit *e, struct tile *t, LLVMValueRef number, bool conv) {
  const dim *kept = e->kernel->kept.data;
  struct stencil *s = &t->s;
  stencil_of(e->kernel, conv, kept[0], kept[1], s);
  t->plane.acc = s->acc;
  t->plane.width = e->vector_bytes / dtype_unpacked_bytes(s->acc);
  number = plane_tile_init(e, &t->plane, &s->plane, number);
  LLVMValueRef channels = emit_dim(e, value_type(e->f, s->op->results[0])->dims[1]);
  t->channel = LLVMBuildURem(e->b, number, channels, "");
  t->image = LLVMBuildUDiv(e->b, number, channels, "");
  t->input = LLVMBuildUDiv(e->b, t->channel, emit_i64(e, s->per_input), "");
  t->sums = e->scratch;
  t->plane.scratch = micro_at(e, s->acc, e->scratch, emit_i64(e, MOST + 64 * VECTORS));
}

static void emit(struct emit *e, LLVMValueRef number, bool conv) {
  struct tile t = {0};
  tile_init(e, &t, number, conv);
  const struct stencil *s = &t.s;
  LLVMValueRef zero = emit_i64(e, 0);
  LLVMValueRef fill = conv ? LLVMConstNull(emit_type(e, s->acc, 1))
                           : emit_identity(e, OP_ATTRS(window, s->op)->kind, s->x->dtype, 1);
  plane_copy(e, &t.plane, emit_i64(e, 1), fill, read_input, &t);
  for (int64_t i = 0; conv && unrolled(&t) && i < s->plane.size[0] * s->plane.size[1]; i++) {
    t.weights[i] =
        weight(e, &t, emit_i64(e, i / s->plane.size[1]), emit_i64(e, i % s->plane.size[1]));
  }
  struct emit_loop l;
  emit_loop_begin(e, &l, zero, t.plane.rows, 1, 0, NULL);
  LLVMValueRef whole = micro_whole(e, t.plane.columns, VECTORS * t.plane.width);
  row_span(e, &t, l.index, zero, whole, VECTORS);
  row_span(e, &t, l.index, whole, t.plane.columns, 1);
  emit_loop_end(e, &l, NULL);
  struct plane_finish f = {.root = s->op,
                           .from = s->acc,
                           .to = s->to,
                           .flat = s->flat,
                           .batch = coord_uniform(e, t.image),
                           .channel = t.channel,
                           .sums = t.sums,
                           .stride = zero,
                           .rows = emit_i64(e, 1)};
  plane_finish(e, &t.plane, &f);
}

static void emit_conv(struct emit *e, LLVMValueRef number) { emit(e, number, true); }
static void emit_window(struct emit *e, LLVMValueRef number) { emit(e, number, false); }

const struct schedule schedule_conv_depth = {"conv_depth", ROOT_KIND_CONV, plan_conv, emit_conv};
const struct schedule schedule_window = {"window", ROOT_KIND_WINDOW, plan_window, emit_window};
