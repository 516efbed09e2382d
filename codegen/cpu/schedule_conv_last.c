/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution whose results are stored with channels last (passes/layout.c).
 *
 * A tile is a block of output channels of one image and group by a tile of its plane (plane.h). For
 * each block of input channels:
 *
 *   copy    the input under the tile, borders filled in, to scratch as [16
 * channels][place][channel] rhs     the weights in panels of output channels, packed by the
 * compiler
 *
 * and the micro-kernel, whose rows are results (places of the plane) and whose columns are output
 * channels, adds the product to a block of sums, from which the epilogue stores rows of channels.
 * Taps are offsets into the copy: nothing is unfolded. Products are added in the order of the other
 * schedules (channel, row, column), so the sums are the same bits.
 *
 * The input may be stored in either layout: with channels last, channels are copied in lanes, else
 * neighbours of a row are, and spread out. */
#include "codegen/contract_util.h"
#include "codegen/cpu/micro.h"
#include "codegen/cpu/plane.h"
#include "codegen/cpu/plane_last.h"
#include "codegen/emit_view.h"
#include "codegen/index_math.h"
#include "codegen/schedule.h"

#define PLACES 168     /* of a tile at most: rows of 56, 28 and 14 fill it, and blocks of 6 it */
#define BLOCK_K 144    /* steps: a panel of rhs, and the input beside it, stay in the first cache */
#define MANY_TILES 8   /* with fewer, blocks of output channels are small */
#define MAX_COPY 65536 /* elements of the input under a tile, of all channels of a block */

struct shape {
  const struct op *op;
  const struct conv_attrs *a;
  const struct type *x, *w, *y;
  enum dtype acc;
  struct plane plane;
  int64_t outputs, inputs, taps; /* of a group */
  int64_t block_c, block_n;
  uint32_t columns; /* of a panel */
  bool pairs;       /* of channels, as 16 bits; else channels are elements of acc */
};

static int64_t up_to(int64_t a, int64_t unit) { return (a + unit - 1) / unit * unit; }

static bool shape_of(const struct kernel *k, dim one, dim zero, struct shape *s) {
  const struct function *f = k->function;
  const struct dim_table *t = f->module->dims;
  int64_t outputs;
  *s = (struct shape){.op = kernel_root_op(k, OP_CONV)};
  s->a = OP_ATTRS(conv, s->op);
  s->x = value_type(f, s->op->operands[0]);
  s->w = value_type(f, s->op->operands[1]);
  s->y = value_type(f, s->op->results[0]);
  s->acc = contract_accumulator(s->x->dtype);
  s->columns = PANEL_BYTES / dtype_unpacked_bytes(s->acc);
  const struct value *w = function_value(f, s->op->operands[1]);
  if (!dim_is_const(t, s->w->dims[0], &outputs) || !dim_is_const(t, s->w->dims[1], &s->inputs) ||
      s->acc == DTYPE_I64 || s->acc == DTYPE_U64 || outputs < 1 || s->inputs < 1 ||
      !plane_of_conv(k, s->op, one, zero, &s->plane) || s->plane.size[1] > MICRO_TAPS)
    return false;
  s->outputs = outputs / s->a->groups;
  if (s->a->groups > 1 && s->outputs % s->columns)
    return false;
  if (w->def != OP_ID_NONE || dtype_is_sub_byte(s->w->dtype) || !kernel_may_pack(k, w->index))
    return false;
  s->taps = s->plane.size[0] * s->plane.size[1];
  s->plane.most = PLACES;
  s->pairs = micro_takes_pairs(s->x->dtype, s->w->dtype);
  return true;
}

static int64_t known_tiles(const struct kernel *k, const struct shape *s) {
  const struct dim_table *t = k->function->module->dims;
  int64_t n, tiles = plane_known_tiles(t, &s->plane);
  return dim_is_const(t, s->x->dims[0], &n) && n < 4096 ? n * tiles * s->a->groups : 0;
}

/* Channels of a block of the copy. */
static int64_t unit_of(const struct shape *s) { return MICRO_CHANNELS * (s->pairs ? 2 : 1); }

static void choose_blocks(const struct kernel *k, struct shape *s) {
  int64_t unit = unit_of(s), copy = plane_copy_size(k->function->module->dims, &s->plane);
  int64_t most = BLOCK_K / s->taps / MICRO_CHANNELS * unit;
  if (copy > 0 && most > MAX_COPY / copy / unit * unit)
    most = MAX_COPY / copy / unit * unit;
  if (most < unit)
    most = unit;
  int64_t blocks = (s->inputs + most - 1) / most;
  s->block_c = up_to((s->inputs + blocks - 1) / blocks, unit);
  int64_t tiles = known_tiles(k, s);
  int64_t panels = s->taps == 1 && (!tiles || tiles >= MANY_TILES) ? 8 : 4;
  s->block_n = panels * s->columns;
  if (s->block_n > s->outputs)
    s->block_n = up_to(s->outputs, s->columns);
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct dim_table *t = k->function->module->dims;
  dim one = dim_const(t, 1), zero = dim_const(t, 0);
  struct shape s;
  if (!plane_last_turn(k, kernel_root_op(k, OP_CONV)) || !shape_of(k, one, zero, &s))
    return false;
  choose_blocks(k, &s);
  dim tiles = plane_tiles(t, &s.plane), copy = plane_scratch(t, &s.plane, s.block_c);
  if (tiles == DIM_NONE || copy == DIM_NONE)
    return false;
  int64_t sums = (PLACES + MICRO_SPARE_ROWS) * s.block_n + 2 * PLACES + 64;
  dim elements = dim_add(t, copy, dim_const(t, sums + 64 * MICRO_CHANNELS));
  if (elements == DIM_NONE)
    return false;
  int64_t blocks = (s.outputs + s.block_n - 1) / s.block_n;
  dim grid[4] = {s.x->dims[0], dim_const(t, s.a->groups), dim_const(t, blocks), tiles};
  kernel_grid(k, grid, 4);
  kernel_pack_outputs(k, function_value(k->function, s.op->operands[1])->index, s.w, s.columns,
                      s.pairs ? (uint32_t)s.taps : 0);
  vec_push(&k->kept, one);
  vec_push(&k->kept, zero);
  kernel_scratch(k, &elements, 1, dtype_unpacked_bytes(s.acc));
  return true;
}

/* ---- emission ---- */

struct tile {
  struct shape s;
  struct plane_tile plane;
  LLVMValueRef image, group;
  LLVMValueRef n0, outputs;   /* output channels of this block, within the group */
  LLVMValueRef c0, channels;  /* input channels of this block, within the group */
  LLVMValueRef sums, offsets; /* scratch: [PLACES][block_n]; i64 [PLACES] */
  LLVMValueRef copy, block;   /* scratch; elements of 16 channels of it */
  uint32_t width;
};

static LLVMValueRef read(struct emit *e, const struct tile *t, struct coord c, LLVMValueRef y,
                         struct coord x, uint32_t width) {
  const struct shape *s = &t->s;
  struct point p = {.rank = s->x->rank, .width = width};
  p.c[0] = coord_uniform(e, t->image);
  LLVMValueRef first = index_add(e, index_scale(e, t->group, s->inputs), t->c0);
  p.c[1] = c;
  p.c[1].base = index_add(e, first, c.base);
  if (p.rank == 4)
    p.c[2] = coord_uniform(e, y);
  p.c[p.rank - 1] = x;
  LLVMValueRef v = emit_value(e, s->op->operands[0], &p);
  return emit_cast(e, v, s->x->dtype, s->pairs ? DTYPE_I16 : s->acc, CAST_DEFAULT, width);
}

/* One row of the copy: where it goes, the row of the input, and the input's column at place 0. */
struct line {
  LLVMValueRef to, y, x_start;
};

static LLVMValueRef place(struct emit *e, const struct tile *t, const struct line *l,
                          LLVMValueRef x, LLVMValueRef c) {
  LLVMValueRef unit = emit_i64(e, MICRO_CHANNELS);
  LLVMValueRef at = index_mul(e, LLVMBuildUDiv(e->b, c, unit, ""), t->block);
  at = index_add(e, at, LLVMBuildURem(e->b, c, unit, ""));
  return micro_at(e, t->s.acc, l->to, index_add(e, at, index_scale(e, x, MICRO_CHANNELS)));
}

/* Elements of the copy per place: channels or pairs of them. */
static LLVMValueRef steps_of(struct emit *e, const struct tile *t, LLVMValueRef channels) {
  if (!t->s.pairs)
    return channels;
  return LLVMBuildLShr(e->b, index_add(e, channels, emit_i64(e, 1)), emit_i64(e, 1), "");
}

static void fill(struct emit *e, const struct tile *t, const struct line *l, LLVMValueRef lo,
                 LLVMValueRef hi) {
  struct emit_loop lx, lc;
  LLVMValueRef zero = LLVMConstNull(emit_type(e, t->s.acc, t->width));
  emit_loop_begin(e, &lx, lo, hi, 1, 0, NULL);
  emit_loop_begin(e, &lc, emit_i64(e, 0), steps_of(e, t, t->channels), t->width, 0, NULL);
  micro_store(e, t->s.acc, place(e, t, l, lx.index, lc.index), zero);
  emit_loop_end(e, &lc, NULL);
  emit_loop_end(e, &lx, NULL);
}

/* Elements of the copy (channels or pairs of them) [lo, hi) of one place, n vectors at a time. */
static void copy_channels(struct emit *e, const struct tile *t, const struct line *l,
                          LLVMValueRef x, LLVMValueRef lo, LLVMValueRef hi, uint32_t width,
                          uint32_t n) {
  uint32_t per = t->s.pairs ? 2 : 1;
  struct emit_loop lc;
  emit_loop_begin(e, &lc, lo, hi, width * n, 0, NULL);
  for (uint32_t i = 0; i < n; i++) {
    LLVMValueRef c = index_add(e, lc.index, emit_i64(e, (int64_t)(i * width)));
    struct coord channel = {.base = index_scale(e, c, per), .stride = width * per > 1, .align = 1};
    struct coord column = coord_uniform(e, index_add(e, l->x_start, x));
    LLVMValueRef v = read(e, t, channel, l->y, column, width * per);
    v = LLVMBuildBitCast(e->b, v, emit_type(e, t->s.acc, width), "");
    micro_store(e, t->s.acc, place(e, t, l, x, c), v);
  }
  emit_loop_end(e, &lc, NULL);
}

/* Channels in lanes. */
static void copy_last(struct emit *e, const struct tile *t, const struct line *l, LLVMValueRef lo,
                      LLVMValueRef hi) {
  struct emit_loop lx, odd;
  LLVMValueRef zero = emit_i64(e, 0), n = t->channels;
  emit_loop_begin(e, &lx, lo, hi, 1, 0, NULL);
  if (t->s.pairs)
    n = LLVMBuildLShr(e->b, n, emit_i64(e, 1), "");
  LLVMValueRef blocks = micro_whole(e, n, MICRO_CHANNELS), whole = micro_whole(e, n, t->width);
  copy_channels(e, t, l, lx.index, zero, blocks, t->width, MICRO_CHANNELS / t->width);
  copy_channels(e, t, l, lx.index, blocks, whole, t->width, 1);
  copy_channels(e, t, l, lx.index, whole, n, 1, 1);
  if (t->s.pairs) { /* a last one alone is beside a 0 */
    LLVMValueRef rest = LLVMBuildAnd(e->b, t->channels, emit_i64(e, 1), "");
    emit_loop_begin(e, &odd, zero, rest, 1, 0, NULL);
    LLVMValueRef x = index_add(e, l->x_start, lx.index);
    LLVMValueRef v =
        read(e, t, coord_uniform(e, index_scale(e, n, 2)), l->y, coord_uniform(e, x), 1);
    micro_store(e, t->s.acc, place(e, t, l, lx.index, n), LLVMBuildZExt(e->b, v, e->i32, ""));
    emit_loop_end(e, &odd, NULL);
  }
  emit_loop_end(e, &lx, NULL);
}

static void spread(struct emit *e, const struct tile *t, const struct line *l, LLVMValueRef c,
                   LLVMValueRef lo, LLVMValueRef hi, uint32_t width) {
  struct emit_loop lx;
  emit_loop_begin(e, &lx, lo, hi, width, 0, NULL);
  struct coord x = {.base = index_add(e, l->x_start, lx.index), .stride = width > 1, .align = 1};
  LLVMValueRef half = NULL, word = c;
  if (t->s.pairs) {
    half = LLVMBuildAnd(e->b, c, emit_i64(e, 1), "");
    word = LLVMBuildLShr(e->b, c, emit_i64(e, 1), "");
  }
  LLVMValueRef v = read(e, t, coord_uniform(e, c), l->y, x, width);
  LLVMValueRef to = place(e, t, l, lx.index, word);
  for (uint32_t i = 0; i < width; i++) {
    LLVMValueRef at = micro_at(e, t->s.acc, to, emit_i64(e, (int64_t)i * MICRO_CHANNELS));
    LLVMValueRef lane = width == 1 ? v : emit_lane(e, v, width, i);
    if (half)
      micro_store(e, DTYPE_I16, micro_at(e, DTYPE_I16, at, half), lane);
    else
      micro_store(e, t->s.acc, at, lane);
  }
  emit_loop_end(e, &lx, NULL);
}

/* Element `word` of the copy (a channel, or a pair of them) at `width` neighbours of a row. */
static LLVMValueRef read_word(struct emit *e, const struct tile *t, const struct line *l,
                              LLVMValueRef word, LLVMValueRef x, uint32_t width) {
  struct coord column = {.base = index_add(e, l->x_start, x), .stride = 1, .align = 1};
  if (!t->s.pairs)
    return read(e, t, coord_uniform(e, word), l->y, column, width);
  LLVMValueRef c = index_scale(e, word, 2), half[2];
  for (uint32_t i = 0; i < 2; i++) {
    half[i] = read(e, t, coord_uniform(e, index_add(e, c, emit_i64(e, i))), l->y, column, width);
    half[i] = LLVMBuildZExt(e->b, half[i], emit_type(e, t->s.acc, width), "");
  }
  LLVMValueRef up = emit_splat(e, LLVMConstInt(e->i32, 16, false), width);
  return LLVMBuildOr(e->b, half[0], LLVMBuildShl(e->b, half[1], up, ""), "");
}

/* Squares of words and neighbours, read along the row and turned. */
static void spread_squares(struct emit *e, const struct tile *t, const struct line *l,
                           LLVMValueRef words, LLVMValueRef lo, LLVMValueRef hi, uint32_t width) {
  struct emit_loop lc, lx;
  LLVMValueRef v[MICRO_SQUARE];
  emit_loop_begin(e, &lc, emit_i64(e, 0), words, width, 0, NULL);
  emit_loop_begin(e, &lx, lo, hi, width, 0, NULL);
  for (uint32_t i = 0; i < width; i++)
    v[i] = read_word(e, t, l, index_add(e, lc.index, emit_i64(e, i)), lx.index, width);
  micro_turn(e, v, width);
  for (uint32_t i = 0; i < width; i++) {
    LLVMValueRef x = index_add(e, lx.index, emit_i64(e, i));
    micro_store(e, t->s.acc, place(e, t, l, x, lc.index), v[i]);
  }
  emit_loop_end(e, &lx, NULL);
  emit_loop_end(e, &lc, NULL);
}

/* Neighbours of a row in lanes. */
static void copy_first(struct emit *e, const struct tile *t, const struct line *l, LLVMValueRef lo,
                       LLVMValueRef hi) {
  struct emit_loop lc;
  uint32_t square = t->width < MICRO_SQUARE ? t->width : MICRO_SQUARE;
  LLVMValueRef done = emit_i64(e, 0), words = t->channels;
  if (t->s.pairs) {
    fill(e, t, l, lo, hi); /* a last one alone is beside a 0 */
    words = LLVMBuildLShr(e->b, words, emit_i64(e, 1), "");
  }
  LLVMValueRef whole = index_add(e, lo, micro_whole(e, index_sub(e, hi, lo), square));
  if (square > 1) {
    words = micro_whole(e, words, square);
    spread_squares(e, t, l, words, lo, whole, square);
    done = t->s.pairs ? index_scale(e, words, 2) : words;
    emit_loop_begin(e, &lc, emit_i64(e, 0), done, 1, 0, NULL);
    spread(e, t, l, lc.index, whole, hi, 1);
    emit_loop_end(e, &lc, NULL);
  }
  emit_loop_begin(e, &lc, done, t->channels, 1, 0, NULL);
  spread(e, t, l, lc.index, lo, whole, square);
  if (square > 1)
    spread(e, t, l, lc.index, whole, hi, 1);
  emit_loop_end(e, &lc, NULL);
}

static void copy(struct emit *e, const struct tile *t) {
  struct emit_loop rows;
  emit_loop_begin(e, &rows, emit_i64(e, 0), t->plane.in_rows, 1, 0, NULL);
  LLVMValueRef lo, hi;
  struct line l;
  plane_row(e, &t->plane, rows.index, &l.y, &l.x_start, &lo, &hi);
  LLVMValueRef at = index_scale(e, index_mul(e, rows.index, t->plane.pitch), MICRO_CHANNELS);
  l.to = micro_at(e, t->s.acc, t->copy, at);
  fill(e, t, &l, emit_i64(e, 0), lo);
  if (plane_last_read(e->f, t->s.op->operands[0]))
    copy_last(e, t, &l, lo, hi);
  else
    copy_first(e, t, &l, lo, hi);
  fill(e, t, &l, hi, t->plane.pitch);
  emit_loop_end(e, &rows, NULL);
}

/* Where the places of the tile's results begin in the copy. */
static void list_offsets(struct emit *e, const struct tile *t) {
  const struct plane *p = &t->s.plane;
  struct emit_loop ly, lx;
  emit_loop_begin(e, &ly, emit_i64(e, 0), t->plane.rows, 1, 0, NULL);
  emit_loop_begin(e, &lx, emit_i64(e, 0), t->plane.columns, 1, 0, NULL);
  LLVMValueRef row = p->size[0] == 1 ? ly.index : index_scale(e, ly.index, p->stride[0]);
  LLVMValueRef at =
      index_add(e, index_mul(e, row, t->plane.pitch), index_scale(e, lx.index, p->stride[1]));
  LLVMValueRef index = index_add(e, index_mul(e, ly.index, t->plane.columns), lx.index);
  LLVMValueRef to = LLVMBuildInBoundsGEP2(e->b, e->i64, t->offsets, &index, 1, "");
  LLVMBuildStore(e->b, index_scale(e, at, MICRO_CHANNELS), to);
  emit_loop_end(e, &lx, NULL);
  emit_loop_end(e, &ly, NULL);
}

static void multiply(struct emit *e, const struct tile *t) {
  const struct shape *s = &t->s;
  struct micro m;
  micro_init(e, &m, s->acc);
  struct micro_taps taps = {.offsets = t->offsets,
                            .block = t->block,
                            .rows = (uint32_t)s->plane.size[0],
                            .columns = (uint32_t)s->plane.size[1]};
  LLVMValueRef unit = emit_i64(e, MICRO_CHANNELS);
  LLVMValueRef row = index_mul(e, index_scale(e, unit, s->plane.dilation[0]), t->plane.pitch);
  for (int64_t i = 0; i < s->plane.size[1]; i++)
    taps.column[i] = index_scale(e, unit, i * s->plane.dilation[1]);
  taps.row = row;
  if (s->taps <= MICRO_TAPS) { /* all of them in one step */
    for (int64_t i = s->taps; i-- > 0;) {
      LLVMValueRef y = index_scale(e, row, i / s->plane.size[1]);
      taps.column[i] = index_add(e, y, taps.column[i % s->plane.size[1]]);
    }
    taps.columns = (uint32_t)s->taps;
    taps.rows = 1;
  }
  m.taps = &taps;
  m.lhs = t->copy;
  int64_t halves = s->pairs ? 2 : 1; /* elements of rhs, of a step */
  int64_t steps = (s->inputs + halves - 1) / halves * s->taps;
  LLVMValueRef columns = emit_i64(e, s->columns), per = emit_i64(e, steps);
  LLVMValueRef n = index_add(e, index_scale(e, t->group, s->outputs), t->n0);
  LLVMValueRef at = index_mul(e, LLVMBuildUDiv(e->b, n, columns, ""), per);
  at = index_add(e, at, index_scale(e, steps_of(e, t, t->c0), s->taps));
  m.rhs_dtype = s->w->dtype;
  uint32_t buffer = function_value(e->f, s->op->operands[1])->index;
  m.rhs = emit_element_pointer(e, e->buffers[buffer], m.rhs_dtype,
                               index_scale(e, at, s->columns * halves));
  m.panel_stride = index_scale(e, per, s->columns * halves);
  m.pairs = s->pairs;
  m.ahead = 16;
  m.k_stride = columns;
  m.sums = t->sums;
  m.sums_stride = emit_i64(e, s->block_n);
  m.rows = t->plane.elements;
  LLVMValueRef up = index_add(e, t->outputs, emit_i64(e, s->columns - 1));
  m.panels = LLVMBuildUDiv(e->b, up, columns, "");
  m.steps = index_scale(e, steps_of(e, t, t->channels), taps.rows);
  m.first = s->block_c >= s->inputs ? LLVMConstInt(e->i1, 1, false)
                                    : LLVMBuildICmp(e->b, LLVMIntEQ, t->c0, emit_i64(e, 0), "");
  micro_multiply(e, &m);
}

/* ---- one tile ---- */

static void tile_init(struct emit *e, struct tile *t, LLVMValueRef number) {
  struct shape *s = &t->s;
  shape_of(e->kernel, e->kernel->kept.data[0], e->kernel->kept.data[1], s);
  choose_blocks(e->kernel, s);
  struct micro m;
  micro_init(e, &m, s->acc);
  t->width = m.width;
  t->plane.acc = s->acc;
  t->plane.width = m.width;
  number = plane_tile_init(e, &t->plane, &s->plane, number);
  LLVMValueRef blocks = emit_i64(e, (s->outputs + s->block_n - 1) / s->block_n);
  t->n0 = index_scale(e, LLVMBuildURem(e->b, number, blocks, ""), s->block_n);
  number = LLVMBuildUDiv(e->b, number, blocks, "");
  LLVMValueRef groups = emit_i64(e, s->a->groups);
  t->group = LLVMBuildURem(e->b, number, groups, "");
  t->image = LLVMBuildUDiv(e->b, number, groups, "");
  t->outputs = index_min(e, index_sub(e, emit_i64(e, s->outputs), t->n0), emit_i64(e, s->block_n));
  t->offsets = e->scratch;
  t->sums = micro_at(e, s->acc, e->scratch, emit_i64(e, 2 * PLACES));
  t->copy = micro_at(e, s->acc, t->sums, emit_i64(e, (PLACES + MICRO_SPARE_ROWS) * s->block_n));
  t->block = index_scale(e, t->plane.channel, MICRO_CHANNELS);
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct tile t = {0};
  tile_init(e, &t, number);
  const struct shape *s = &t.s;
  list_offsets(e, &t);
  LLVMValueRef inputs = emit_i64(e, s->inputs);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), inputs, s->block_c, 0, NULL);
  t.c0 = l.index;
  t.channels = index_min(e, index_sub(e, inputs, l.index), emit_i64(e, s->block_c));
  copy(e, &t);
  multiply(e, &t);
  emit_loop_end(e, &l, NULL);
  struct plane_last_finish f = {.root = s->op,
                                .from = s->acc,
                                .to = s->a->dtype,
                                .width = t.width,
                                .batch = t.image,
                                .sums = t.sums,
                                .channels = t.outputs,
                                .stride = emit_i64(e, s->block_n)};
  f.channel = index_add(e, index_scale(e, t.group, s->outputs), t.n0);
  struct emit_loop ly;
  emit_loop_begin(e, &ly, emit_i64(e, 0), t.plane.rows, 1, 0, NULL);
  struct plane_last_finish row = f;
  LLVMValueRef first = index_mul(e, index_mul(e, ly.index, t.plane.columns), f.stride);
  row.sums = micro_at(e, s->acc, f.sums, first);
  plane_last_finish(e, &row, index_add(e, t.plane.y0, ly.index), t.plane.x0, t.plane.columns);
  emit_loop_end(e, &ly, NULL);
}

const struct schedule schedule_conv_last = {"conv_last", ROOT_KIND_CONV, plan, emit};
