/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution by the threads of a block, without tensor cores, for every dtype: for each image and
 * group a product of two matrices, tile by tile (block_product.h), whose operand of the input is
 * never written anywhere.
 *
 *   results with channels first       outputs x places = weights x input under the places' taps
 *   with channels last (layout.c)     places x outputs = the same with sides changed
 *
 * so that columns are neighbours in memory. What is summed over runs through (channel, tap) where
 * the input lies with channels first, which is read place by place; through (tap, channel) where
 * they are last, several channels at a time. Weights that the compiler knows lie in panels of
 * outputs. */
#include "codegen/contract_util.h"
#include "codegen/cpu/plane.h"
#include "codegen/cpu/plane_last.h"
#include "codegen/emit_view.h"
#include "codegen/index_math.h"
#include "codegen/nvptx/block_product.h"
#include "codegen/schedule.h"

enum {
  LEAST_OUTPUTS = 16, /* fewer leave most of a tile idle */
  LEAST_SUMMED = 16,
  MOST_SUMMED = 1 << 24,
  ENOUGH_TILES = 100, /* for the processors of a large GPU, so that larger ones pay */
  COLUMNS = 64,       /* of a panel of weights */
};

struct shape {
  const struct op *op;
  const struct conv_attrs *a;
  const struct type *x, *w, *y;
  enum dtype acc;
  int64_t outputs, inputs, taps; /* of a group */
  bool turned;                   /* results have channels last */
  bool packed;                   /* weights lie in panels */
};

static bool shape_of(const struct kernel *k, struct shape *s) {
  const struct function *f = k->function;
  const struct dim_table *t = f->module->dims;
  int64_t outputs, n;
  *s = (struct shape){.op = kernel_root_op(k, OP_CONV)};
  s->a = OP_ATTRS(conv, s->op);
  s->x = value_type(f, s->op->operands[0]);
  s->w = value_type(f, s->op->operands[1]);
  s->y = value_type(f, s->op->results[0]);
  s->acc = contract_accumulator(s->x->dtype);
  s->turned = plane_last_turn(k, s->op);
  if (!dim_is_const(t, s->w->dims[0], &outputs) || !dim_is_const(t, s->w->dims[1], &s->inputs) ||
      s->inputs < 1 || s->inputs > MOST_SUMMED)
    return false;
  s->outputs = outputs / s->a->groups;
  s->taps = 1;
  for (uint32_t i = 2; i < s->w->rank; i++) {
    if (!dim_is_const(t, s->w->dims[i], &n) || n < 1 || n > MOST_SUMMED / s->inputs / s->taps)
      return false;
    s->taps *= n;
  }
  const struct value *w = function_value(f, s->op->operands[1]);
  s->packed =
      w->def == OP_ID_NONE && !dtype_is_sub_byte(s->w->dtype) && kernel_may_pack(k, w->index);
  return s->outputs >= LEAST_OUTPUTS && s->inputs * s->taps >= LEAST_SUMMED;
}

/* ---- plan ---- */

/* Rows and columns of a thread. */
static uint32_t choose(const struct dim_table *t, const struct shape *s, dim places) {
  int64_t n, images, tile = product_tile(PRODUCT_MOST);
  if (dtype_unpacked_bytes(s->acc) > 4 || !dim_is_const(t, places, &n) || n <= tile / 2 ||
      s->outputs <= tile / 2)
    return PRODUCT_PER;
  double tiles = (double)((n + tile - 1) / tile) * (double)((s->outputs + tile - 1) / tile);
  tiles *= (double)s->a->groups;
  tiles *= dim_is_const(t, s->x->dims[0], &images) ? (double)images : 1;
  return tiles >= ENOUGH_TILES ? PRODUCT_MOST : PRODUCT_PER;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct dim_table *t = k->function->module->dims;
  struct shape s;
  if (!shape_of(k, &s))
    return false;
  dim places = dim_product(t, s.y->dims + 2, s.y->rank - 2);
  if (places == DIM_NONE)
    return false;
  k->choice = choose(t, &s, places);
  k->block_threads = PRODUCT_THREADS;
  int64_t tile = product_tile(k->choice);
  dim grid[] = {s.y->dims[0], dim_const(t, s.a->groups),
                dim_const(t, (s.outputs + tile - 1) / tile),
                dim_ceildiv(t, places, dim_const(t, tile))};
  kernel_grid(k, grid, 4);
  if (s.packed)
    kernel_pack_outputs(k, function_value(k->function, s.op->operands[1])->index, s.w, COLUMNS, 0);
  return true;
}

/* ---- a tile ---- */

struct tile {
  struct shape s;
  bool last, flat;                  /* the input has channels last; places are walked as one dim */
  LLVMValueRef image, group, first; /* first: output of the group */
  LLVMValueRef weights;             /* of panels */
};

/* What index `k` of the sum is: a channel of the group, and the tap. Lanes are of channels. */
static void split_k(struct emit *e, const struct tile *t, struct coord k, struct coord *out_channel,
                    LLVMValueRef *out_tap) {
  if (t->last) {
    *out_tap = index_quotient(e, k.base, t->s.inputs);
    *out_channel = k;
    out_channel->base = index_rest(e, k.base, t->s.inputs);
  } else {
    *out_channel = coord_uniform(e, index_quotient(e, k.base, t->s.taps));
    *out_tap = index_rest(e, k.base, t->s.taps);
  }
}

/* Elements of the input under a place; zeros beyond its edges. */
static LLVMValueRef read_input(struct emit *e, const struct tile *t, LLVMValueRef place,
                               struct coord k, uint32_t width) {
  const struct shape *s = &t->s;
  struct point p = {.rank = s->x->rank, .width = width};
  struct coord at[IR_MAX_RANK], taps[IR_MAX_RANK];
  LLVMValueRef tap, zero = emit_i64(e, 0), inside = LLVMConstInt(e->i1, 1, false);
  uint32_t n = s->x->rank - 2;
  split_k(e, t, k, &p.c[1], &tap);
  p.c[0] = coord_uniform(e, t->image);
  p.c[1].base = index_add(e, p.c[1].base, index_scale(e, t->group, s->inputs));
  emit_delinearize(e, place, s->y->dims + 2, n, at);
  emit_delinearize(e, tap, s->w->dims + 2, n, taps);
  for (uint32_t i = 0; i < n; i++) {
    LLVMValueRef x = index_add(e, index_scale(e, at[i].base, s->a->stride.data[i]),
                               index_scale(e, taps[i].base, s->a->dilation.data[i]));
    p.c[2 + i] = coord_uniform(e, index_sub(e, x, emit_dim(e, s->a->low.data[i])));
    inside = LLVMBuildAnd(
        e->b, inside, coord_in_range(e, &p.c[2 + i], zero, emit_dim(e, s->x->dims[2 + i]), width),
        "");
  }
  struct emit_if c;
  emit_if_begin(e, &c, inside);
  LLVMValueRef x = emit_value(e, s->op->operands[0], &p);
  x = emit_cast(e, x, s->x->dtype, s->acc, CAST_DEFAULT, width);
  emit_if_else(e, &c, x);
  return emit_if_end(e, &c, LLVMConstNull(emit_type(e, s->acc, width)));
}

/* Weights of outputs of the group; in panels, of `width` of them. */
static LLVMValueRef read_weights(struct emit *e, const struct tile *t, struct coord output,
                                 struct coord k, uint32_t width) {
  const struct shape *s = &t->s;
  struct coord channel;
  LLVMValueRef tap, own = index_add(e, output.base, index_scale(e, t->group, s->outputs));
  split_k(e, t, k, &channel, &tap);
  if (s->packed) {
    LLVMValueRef row = index_add(e, index_scale(e, channel.base, s->taps), tap);
    LLVMValueRef at = index_scale(e, index_quotient(e, own, COLUMNS), s->inputs * s->taps);
    at = index_add(e, index_scale(e, index_add(e, at, row), COLUMNS), index_rest(e, own, COLUMNS));
    return emit_load_lanes(e, t->weights, s->w->dtype, at, width, s->acc, width);
  }
  struct point p = {.rank = s->w->rank, .width = 1};
  p.c[0] = coord_uniform(e, own);
  p.c[1] = channel;
  emit_delinearize(e, tap, s->w->dims + 2, s->w->rank - 2, p.c + 2);
  return emit_cast(e, emit_value(e, s->op->operands[1], &p), s->w->dtype, s->acc, CAST_DEFAULT, 1);
}

static LLVMValueRef operand(struct emit *e, const void *user, bool left, struct coord own,
                            struct coord k, uint32_t width) {
  const struct tile *t = user;
  return left == t->s.turned ? read_input(e, t, own.base, k, width)
                             : read_weights(e, t, own, k, width);
}

/* The root's point is channels first; `last` is where results are, with channels last. */
static void store_last(struct emit *e, const struct tile *t, LLVMValueRef place,
                       struct coord output, uint32_t width, LLVMValueRef sums) {
  const struct shape *s = &t->s;
  struct point p = {.rank = s->y->rank, .width = width};
  p.c[0] = coord_uniform(e, t->image);
  p.c[1] = output;
  emit_delinearize(e, place, s->y->dims + 2, s->y->rank - 2, p.c + 2);
  struct point last = p;
  for (uint32_t i = 1; i + 1 < p.rank; i++)
    last.c[i] = p.c[i + 1];
  last.c[p.rank - 1] = p.c[1];
  emit_know(e, s->op->results[0], &p, sums);
  kernel_store_results(e, &last);
}

static void store_first(struct emit *e, const struct tile *t, LLVMValueRef output,
                        struct coord place, uint32_t width, LLVMValueRef sums) {
  const struct shape *s = &t->s;
  struct point p = {.rank = s->y->rank, .width = width};
  p.c[0] = coord_uniform(e, t->image);
  p.c[1] = coord_uniform(e, output);
  for (uint32_t i = 2; i < p.rank; i++)
    p.c[i] = coord_zero(e);
  if (t->flat)
    p.c[type_flat_axis(e->f->module->dims, s->y, 2)] = place;
  else
    coord_delinearize(e, place, s->y->dims + 2, p.rank - 2, width, p.c + 2);
  emit_know(e, s->op->results[0], &p, sums);
  kernel_store_results(e, &p);
}

static void store(struct emit *e, const void *user, LLVMValueRef row, struct coord column,
                  uint32_t width, LLVMValueRef sums) {
  const struct tile *t = user;
  LLVMValueRef first = index_scale(e, t->group, t->s.outputs);
  sums = emit_cast(e, sums, t->s.acc, t->s.a->dtype, CAST_DEFAULT, width);
  if (!t->s.turned) {
    store_first(e, t, index_add(e, first, row), column, width, sums);
    return;
  }
  column.base = index_add(e, first, column.base);
  column.align = t->s.outputs % PRODUCT_RUN ? 1 : column.align;
  store_last(e, t, row, column, width, sums);
}

static uint32_t width_for(int64_t size) { return size % PRODUCT_RUN ? 1 : PRODUCT_RUN; }

static void emit(struct emit *e, LLVMValueRef number) {
  struct tile t = {0};
  struct shape *s = &t.s;
  uint32_t tile = product_tile(e->kernel->choice);
  shape_of(e->kernel, s);
  t.last = plane_last_read(e, s->op->operands[0]);
  t.flat = plane_is_flat(e->kernel, s->op, 2);
  LLVMValueRef places = emit_product(e, s->y->dims + 2, s->y->rank - 2);
  LLVMValueRef place_tiles = index_quotient(e, index_add_n(e, places, tile - 1), tile);
  LLVMValueRef place = index_scale(e, LLVMBuildURem(e->b, number, place_tiles, ""), tile);
  number = LLVMBuildUDiv(e->b, number, place_tiles, "");
  int64_t output_tiles = (s->outputs + tile - 1) / tile;
  LLVMValueRef output = index_scale(e, index_rest(e, number, output_tiles), tile);
  number = index_quotient(e, number, output_tiles);
  t.group = index_rest(e, number, s->a->groups);
  t.image = index_quotient(e, number, s->a->groups);
  struct product_side input = {.along_k = t.last, .width = t.last ? width_for(s->inputs) : 1};
  struct product_side weights = {.along_k = !s->packed,
                                 .width = s->packed ? width_for(s->outputs) : 1};
  LLVMValueRef outputs = emit_i64(e, s->outputs);
  if (s->packed)
    t.weights = e->buffers[function_value(e->f, s->op->operands[1])->index];
  struct block_product p = {.acc = s->acc,
                            .per = e->kernel->choice,
                            .m = s->turned ? places : outputs,
                            .n = s->turned ? outputs : places,
                            .k = emit_i64(e, s->inputs * s->taps),
                            .first = {s->turned ? place : output, s->turned ? output : place},
                            .side = {s->turned ? input : weights, s->turned ? weights : input},
                            .operand = operand,
                            .store = store,
                            .user = &t};
  block_product_emit(e, &p);
}

const struct schedule schedule_conv_block = {"conv_block", ROOT_KIND_CONV, plan, emit};
