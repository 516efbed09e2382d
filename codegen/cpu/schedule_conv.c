/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution as a matrix product, without the matrix.
 *
 * A tile is a block of output channels of one image and group by a tile of its plane (plane.h). For
 * each block of input channels:
 *
 *   copy    the input under the tile, borders filled in, to scratch
 *   unfold  [channel, tap][pixel]: runs of that copy, one per row of the tile and tap
 *   lhs     the weights in panels of output channels, from the engine if they are constant; else
 * where they lie (rows of channel, tap), or converted into scratch
 *
 * and the micro-kernel adds the product to a block of sums, from which the epilogue stores rows of
 * pixels. A window of one element that moves by one, without padding, is read without the copy,
 * over the whole plane as one row. */
#include <string.h>

#include "codegen/contract_util.h"
#include "codegen/cpu/micro.h"
#include "codegen/cpu/plane.h"
#include "codegen/cpu/plane_last.h"
#include "codegen/emit_view.h"
#include "codegen/index_math.h"
#include "codegen/schedule.h"

#define PIXELS                                                                                     \
  112 /* of a tile at most; 7 cache lines of f32: rows of the unfolded block do not collide */
#define BLOCK_K 216
#define TILES 8 /* fewer are split by output channels as far as MIN_M allows */
#define MIN_M 96
#define MAX_M 192
#define MAX_COPY 24576 /* elements of the input under a tile, all channels of a block */

struct shape {
  const struct op *op;
  const struct conv_attrs *a;
  const struct type *x, *w, *y;
  enum dtype acc;
  struct plane plane;
  bool flat;                     /* the plane may be walked as one row by the epilogue */
  bool plain;                    /* a window of one element, read in place */
  int64_t outputs, inputs, taps; /* of a group */
  int64_t block_c, block_m;
  int64_t pixels; /* from row to row of the unfolded input and of the sums */
};

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static bool is_const_zero(const struct dim_table *t, dim d) { return dim_is_const_value(t, d, 0); }

static bool is_plain(const struct kernel *k, const struct shape *s) {
  const struct dim_table *t = k->function->module->dims;
  if (function_value(k->function, s->op->operands[0])->def != OP_ID_NONE || !s->flat)
    return false;
  for (uint32_t i = 0; i < s->plane.axes; i++) {
    if (s->w->dims[2 + i] != s->w->dims[2] || s->a->stride.data[i] != 1)
      return false;
    if (!is_const_zero(t, s->a->low.data[i]) || !is_const_zero(t, s->a->high.data[i]))
      return false;
  }
  return s->taps == 1;
}

static bool shape_of(const struct kernel *k, struct shape *s) {
  const struct function *f = k->function;
  const struct dim_table *t = f->module->dims;
  int64_t outputs;
  *s = (struct shape){.op = kernel_root_op(k, OP_CONV)};
  s->a = OP_ATTRS(conv, s->op);
  s->x = value_type(f, s->op->operands[0]);
  s->w = value_type(f, s->op->operands[1]);
  s->y = value_type(f, s->op->results[0]);
  s->acc = contract_accumulator(s->x->dtype);
  if (!dim_is_const(t, s->w->dims[0], &outputs) || !dim_is_const(t, s->w->dims[1], &s->inputs))
    return false;
  s->outputs = outputs / s->a->groups;
  return s->outputs > 0 && s->inputs > 0;
}

/* Blocks of channels: of inputs, so that the unfolded block is about BLOCK_K high; of outputs, so
 * that there are some tiles to share out. `tiles` are there without (0: not known). */
static void choose_blocks(const struct dim_table *t, struct shape *s, int64_t tiles) {
  int64_t most = s->taps >= BLOCK_K ? 1 : BLOCK_K / s->taps;
  if (s->inputs <= 2 * most && s->taps == 1)
    most = s->inputs;
  int64_t copy = s->plain ? 0 : plane_copy_size(t, &s->plane);
  if (copy > 0 && most > MAX_COPY / copy)
    most = copy > MAX_COPY ? 1 : MAX_COPY / copy;
  s->block_c = ceil_div(s->inputs, ceil_div(s->inputs, most));
  int64_t blocks = tiles > 0 ? ceil_div(TILES, tiles) : 1;
  if (blocks > ceil_div(s->outputs, MIN_M))
    blocks = ceil_div(s->outputs, MIN_M);
  if (blocks < ceil_div(s->outputs, MAX_M))
    blocks = ceil_div(s->outputs, MAX_M);
  s->block_m = ceil_div(ceil_div(s->outputs, blocks), MICRO_LHS_PANEL) * MICRO_LHS_PANEL;
  if (s->block_m > s->outputs)
    s->block_m = s->outputs;
}

/* Everything but the dims that only plan may make. */
static bool shape_full(const struct kernel *k, struct shape *s, dim one, dim zero, dim flat_out) {
  if (!shape_of(k, s) || s->acc == DTYPE_I64 || s->acc == DTYPE_U64 ||
      !plane_of_conv(k, s->op, one, zero, &s->plane))
    return false;
  s->taps = s->plane.size[0] * s->plane.size[1];
  s->pixels = PIXELS * 4 / dtype_unpacked_bytes(s->acc);
  s->plane.most = (uint32_t)s->pixels;
  s->flat = plane_is_flat(k, s->op, 2);
  s->plain = is_plain(k, s);
  if (!s->plain)
    return true;
  s->plane.in[0] = s->plane.out[0] = one;
  s->plane.in[1] = s->plane.out[1] = flat_out;
  return true;
}

static int64_t known_tiles(const struct kernel *k, const struct shape *s) {
  const struct dim_table *t = k->function->module->dims;
  int64_t n, tiles = plane_known_tiles(t, &s->plane);
  return dim_is_const(t, s->x->dims[0], &n) && n <= 4096 ? n * tiles * s->a->groups : 0;
}

/* Whether the engine can hold the weights in panels of lhs: no panel has channels of two groups. */
static bool packs(const struct kernel *k, const struct shape *s) {
  const struct function *f = k->function;
  const struct value *v = function_value(f, s->op->operands[1]);
  if (v->def != OP_ID_NONE || s->w->dtype != s->acc)
    return false;
  if (s->a->groups > 1 && s->outputs % MICRO_LHS_PANEL)
    return false;
  return kernel_may_pack(k, v->index);
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct dim_table *t = k->function->module->dims;
  const struct op *op = kernel_root_op(k, OP_CONV);
  const struct type *y = value_type(k->function, op->results[0]);
  dim one = dim_const(t, 1), zero = dim_const(t, 0);
  dim flat_out = dim_product(t, y->dims + 2, y->rank - 2);
  struct shape s;
  if (plane_last_turn(k, op) || flat_out == DIM_NONE || !shape_full(k, &s, one, zero, flat_out))
    return false;
  choose_blocks(t, &s, known_tiles(k, &s));
  dim tiles = plane_tiles(t, &s.plane), copy = plane_scratch(t, &s.plane, s.block_c);
  if (tiles == DIM_NONE || copy == DIM_NONE)
    return false;
  int64_t lhs = s.block_m * s.block_c * s.taps;
  int64_t rhs = s.block_c * s.taps * s.pixels + 64,
          sums = (s.block_m + MICRO_SPARE_ROWS) * s.pixels + 64;
  dim elements = dim_const(t, lhs + rhs + sums);
  if (!s.plain)
    elements = dim_add(t, elements, copy);
  if (elements == DIM_NONE)
    return false;
  dim grid[4] = {s.x->dims[0], dim_const(t, s.a->groups),
                 dim_const(t, ceil_div(s.outputs, s.block_m)), tiles};
  kernel_grid(k, grid, 4);
  if (packs(k, &s))
    kernel_pack_outputs(k, function_value(k->function, s.op->operands[1])->index, s.w,
                        MICRO_LHS_PANEL, 0);
  vec_push(&k->kept, one);
  vec_push(&k->kept, zero);
  vec_push(&k->kept, flat_out);
  kernel_scratch(k, &elements, 1, dtype_unpacked_bytes(s.acc));
  return true;
}

/* ---- emission ---- */

struct tile {
  struct shape s;
  struct plane_tile plane;
  LLVMValueRef image, group;
  LLVMValueRef m0, rows;       /* output channels within the group */
  LLVMValueRef c0, channels;   /* of this block of input channels, within the group */
  LLVMValueRef lhs, rhs, sums; /* scratch */
};

static LLVMValueRef read_at(struct emit *e, const struct tile *t, LLVMValueRef c, LLVMValueRef y,
                            struct coord x, uint32_t width) {
  const struct shape *s = &t->s;
  struct point p = {.rank = s->x->rank, .width = width};
  LLVMValueRef first = index_add(e, index_scale(e, t->group, s->inputs), t->c0);
  p.c[0] = coord_uniform(e, t->image);
  p.c[1] = coord_uniform(e, index_add(e, first, c));
  if (p.rank == 4)
    p.c[2] = p.c[3] = coord_zero(e);
  if (s->plain) {
    p.c[type_flat_axis(e->f->module->dims, s->x, 2)] = x;
  } else {
    if (p.rank == 4)
      p.c[2] = coord_uniform(e, y);
    p.c[p.rank - 1] = x;
  }
  value_id v = s->op->operands[0];
  return emit_cast(e, emit_value(e, v, &p), s->x->dtype, s->acc, CAST_DEFAULT, width);
}

static LLVMValueRef read_input(struct emit *e, void *user, LLVMValueRef c, LLVMValueRef y,
                               struct coord x, uint32_t width) {
  return read_at(e, user, c, y, x, width);
}

/* Rows of the unfolded block from the copy. Runs may write beyond their end: what is there is
 * written later. */
static void unfold(struct emit *e, const struct tile *t) {
  const struct shape *s = &t->s;
  const struct plane *p = &s->plane;
  struct emit_loop lc, ly, lx, lr, l;
  LLVMValueRef zero = emit_i64(e, 0);
  emit_loop_begin(e, &lc, zero, t->channels, 1, 0, NULL);
  emit_loop_begin(e, &ly, zero, emit_i64(e, p->size[0]), 1, 0, NULL);
  emit_loop_begin(e, &lx, zero, emit_i64(e, p->size[1]), 1, 0, NULL);
  LLVMValueRef k = index_add(e, index_scale(e, lc.index, p->size[0]), ly.index);
  k = index_add(e, index_scale(e, k, p->size[1]), lx.index);
  LLVMValueRef row = micro_at(e, s->acc, t->rhs, index_scale(e, k, s->pixels));
  emit_loop_begin(e, &lr, zero, t->plane.rows, 1, 0, NULL);
  LLVMValueRef from = plane_at(e, &t->plane, lc.index, lr.index, ly.index, lx.index);
  LLVMValueRef to = micro_at(e, s->acc, row, index_mul(e, lr.index, t->plane.columns));
  emit_loop_begin(e, &l, zero, t->plane.columns, t->plane.width, 0, NULL);
  micro_store(e, s->acc, micro_at(e, s->acc, to, l.index),
              plane_lanes(e, &t->plane, from, l.index));
  emit_loop_end(e, &l, NULL);
  emit_loop_end(e, &lr, NULL);
  emit_loop_end(e, &lx, NULL);
  emit_loop_end(e, &ly, NULL);
  emit_loop_end(e, &lc, NULL);
}

static void gather_span(struct emit *e, const struct tile *t, LLVMValueRef c, LLVMValueRef lo,
                        LLVMValueRef hi, uint32_t width) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  struct coord x = {.base = index_add(e, t->plane.x0, l.index), .stride = width > 1, .align = 1};
  LLVMValueRef value = read_at(e, t, c, NULL, x, width);
  LLVMValueRef to = index_add(e, index_scale(e, c, t->s.pixels), l.index);
  micro_store(e, t->s.acc, micro_at(e, t->s.acc, t->rhs, to), value);
  emit_loop_end(e, &l, NULL);
}

/* The same of a plain window: rows of the input as they are. */
static void gather_plain(struct emit *e, const struct tile *t) {
  struct emit_loop l;
  LLVMValueRef n = t->plane.columns, whole = micro_whole(e, n, t->plane.width);
  emit_loop_begin(e, &l, emit_i64(e, 0), t->channels, 1, 0, NULL);
  gather_span(e, t, l.index, emit_i64(e, 0), whole, t->plane.width);
  if (t->plane.width > 1)
    gather_span(e, t, l.index, whole, n, 1);
  emit_loop_end(e, &l, NULL);
}

/* ---- weights ---- */

static bool weights_in_place(const struct emit *e, const struct shape *s) {
  return function_value(e->f, s->op->operands[1])->def == OP_ID_NONE && s->w->dtype == s->acc;
}

static void pack_span(struct emit *e, const struct tile *t, LLVMValueRef row, LLVMValueRef lo,
                      LLVMValueRef hi, uint32_t width) {
  const struct shape *s = &t->s;
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  struct point p = {.rank = s->w->rank, .width = width};
  LLVMValueRef channel =
      index_add(e, index_scale(e, t->group, s->outputs), index_add(e, t->m0, row));
  p.c[0] = coord_uniform(e, channel);
  LLVMValueRef k = index_add(e, index_scale(e, t->c0, s->taps), l.index);
  struct coord lanes = {.base = k, .stride = width > 1, .align = 1};
  coord_delinearize(e, lanes, s->w->dims + 1, s->w->rank - 1, width, p.c + 1);
  LLVMValueRef x =
      emit_cast(e, emit_value(e, s->op->operands[1], &p), s->w->dtype, s->acc, CAST_DEFAULT, width);
  LLVMValueRef to = index_add(e, index_scale(e, row, s->block_c * s->taps), l.index);
  micro_store(e, s->acc, micro_at(e, s->acc, t->lhs, to), x);
  emit_loop_end(e, &l, NULL);
}

static void pack_weights(struct emit *e, const struct tile *t, LLVMValueRef steps) {
  struct emit_loop l;
  uint32_t width = t->s.taps == 1 ? t->plane.width : 1;
  LLVMValueRef whole = micro_whole(e, steps, width);
  emit_loop_begin(e, &l, emit_i64(e, 0), t->rows, 1, 0, NULL);
  if (width > 1)
    pack_span(e, t, l.index, emit_i64(e, 0), whole, width);
  pack_span(e, t, l.index, width > 1 ? whole : emit_i64(e, 0), steps, 1);
  emit_loop_end(e, &l, NULL);
}

static void multiply(struct emit *e, const struct tile *t, struct micro *m) {
  const struct shape *s = &t->s;
  m->steps = index_scale(e, t->channels, s->taps);
  if (packs(e->kernel, s)) {
    int64_t panel = s->inputs * s->taps * MICRO_LHS_PANEL;
    LLVMValueRef row = index_add(e, index_scale(e, t->group, s->outputs), t->m0);
    row = LLVMBuildUDiv(e->b, row, emit_i64(e, MICRO_LHS_PANEL), "");
    LLVMValueRef at = index_scale(e, t->c0, s->taps * MICRO_LHS_PANEL);
    at = index_add(e, at, index_scale(e, row, panel));
    uint32_t buffer = function_value(e->f, s->op->operands[1])->index;
    m->lhs = micro_at(e, s->acc, e->buffers[buffer], at);
    m->lhs_panel_stride = emit_i64(e, panel);
  } else if (weights_in_place(e, s)) {
    LLVMValueRef row = index_add(e, index_scale(e, t->group, s->outputs), t->m0);
    LLVMValueRef at = index_scale(e, row, s->inputs * s->taps);
    at = index_add(e, at, index_scale(e, t->c0, s->taps));
    uint32_t buffer = function_value(e->f, s->op->operands[1])->index;
    m->lhs = micro_at(e, s->acc, e->buffers[buffer], at);
    m->lhs_stride = emit_i64(e, s->inputs * s->taps);
  } else {
    pack_weights(e, t, m->steps);
    m->lhs = t->lhs;
    m->lhs_stride = emit_i64(e, s->block_c * s->taps);
  }
  m->rhs = t->rhs;
  m->rhs_dtype = s->acc;
  m->panel_stride = emit_i64(e, m->columns);
  m->k_stride = m->sums_stride = emit_i64(e, s->pixels);
  m->sums = t->sums;
  m->rows = t->rows;
  LLVMValueRef columns = emit_i64(e, m->columns);
  LLVMValueRef rest = LLVMBuildURem(e->b, t->plane.elements, columns, "");
  m->panels = LLVMBuildUDiv(e->b, t->plane.elements, columns, "");
  LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntNE, rest, emit_i64(e, 0), "");
  if (micro_has_half(m) &&
      plane_ends_in(e->f->module->dims, &s->plane, m->columns, m->columns / 2)) {
    LLVMValueRef much = LLVMBuildICmp(e->b, LLVMIntUGT, rest, emit_i64(e, m->columns / 2), "");
    m->half =
        LLVMBuildZExt(e->b, LLVMBuildAnd(e->b, some, LLVMBuildNot(e->b, much, ""), ""), e->i64, "");
    some = much;
  }
  m->panels = index_add(e, m->panels, LLVMBuildZExt(e->b, some, e->i64, ""));
  m->first = s->block_c >= s->inputs ? LLVMConstInt(e->i1, 1, false)
                                     : LLVMBuildICmp(e->b, LLVMIntEQ, t->c0, emit_i64(e, 0), "");
  m->most_rows = s->block_m;
  micro_multiply(e, m);
}

/* ---- one tile ---- */

static void tile_shape(struct emit *e, struct shape *s) {
  const dim *kept = e->kernel->kept.data;
  shape_full(e->kernel, s, kept[0], kept[1], kept[2]);
  choose_blocks(e->f->module->dims, s, known_tiles(e->kernel, s));
}

static void tile_init(struct emit *e, struct tile *t, struct micro *m, LLVMValueRef number) {
  struct shape *s = &t->s;
  tile_shape(e, s);
  micro_init(e, m, s->acc);
  t->plane.acc = s->acc;
  t->plane.width = m->width;
  number = plane_tile_init(e, &t->plane, &s->plane, number);
  LLVMValueRef blocks = emit_i64(e, ceil_div(s->outputs, s->block_m));
  t->m0 = index_scale(e, LLVMBuildURem(e->b, number, blocks, ""), s->block_m);
  number = LLVMBuildUDiv(e->b, number, blocks, "");
  LLVMValueRef groups = emit_i64(e, s->a->groups);
  t->group = LLVMBuildURem(e->b, number, groups, "");
  t->image = LLVMBuildUDiv(e->b, number, groups, "");
  t->rows = index_min(e, index_sub(e, emit_i64(e, s->outputs), t->m0), emit_i64(e, s->block_m));
  int64_t lhs = s->block_m * s->block_c * s->taps;
  int64_t rhs = s->block_c * s->taps * s->pixels + 64;
  t->lhs = e->scratch;
  t->rhs = micro_at(e, s->acc, e->scratch, emit_i64(e, lhs));
  t->sums = micro_at(e, s->acc, t->rhs, emit_i64(e, rhs));
  int64_t sums = (s->block_m + MICRO_SPARE_ROWS) * s->pixels + 64;
  t->plane.scratch = micro_at(e, s->acc, t->sums, emit_i64(e, sums));
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct tile t = {0};
  struct micro m = {0};
  tile_init(e, &t, &m, number);
  const struct shape *s = &t.s;
  LLVMValueRef inputs = emit_i64(e, s->inputs);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), inputs, s->block_c, 0, NULL);
  t.c0 = l.index;
  t.channels = index_min(e, index_sub(e, inputs, l.index), emit_i64(e, s->block_c));
  if (s->plain) {
    gather_plain(e, &t);
  } else {
    plane_copy(e, &t.plane, t.channels, LLVMConstNull(emit_type(e, s->acc, 1)), read_input, &t);
    unfold(e, &t);
  }
  multiply(e, &t, &m);
  emit_loop_end(e, &l, NULL);
  struct plane_finish f = {.root = s->op,
                           .from = s->acc,
                           .to = s->a->dtype,
                           .flat = s->flat,
                           .batch = coord_uniform(e, t.image),
                           .sums = t.sums,
                           .stride = emit_i64(e, s->pixels),
                           .rows = t.rows};
  f.channel = index_add(e, index_scale(e, t.group, s->outputs), t.m0);
  plane_finish(e, &t.plane, &f);
}

const struct schedule schedule_conv = {"conv", ROOT_KIND_CONV, plan, emit};
