/* SPDX-License-Identifier: Apache-2.0 */
/* A convolution as products of matrices; see conv_product.h. */
#include "codegen/nvptx/conv_product.h"

#include "codegen/contract_util.h"
#include "codegen/cpu/plane.h"
#include "codegen/cpu/plane_last.h"
#include "codegen/emit_view.h"
#include "codegen/index_math.h"
#include "codegen/schedule.h"

enum {
  LEAST_OUTPUTS = 16, /* fewer leave most of a tile idle */
  LEAST_SUMMED = 16,
  MOST_SUMMED = 1 << 24,
  COLUMNS = 64, /* of a panel of weights */
};

/* Whether a value (batch, channels, ...), perhaps a map of it, is a view of one with channels last.
 */
static bool lies_last(const struct function *f, value_id v) {
  const struct op *op = value_def(f, v);
  while (op && op->kind == OP_MAP && op->n_operands == 1) {
    v = op->operands[0];
    op = value_def(f, v);
  }
  return plane_last_read(f, v);
}

bool conv_product_of(const struct kernel *k, struct conv_product *s) {
  const struct function *f = k->function;
  const struct dim_table *t = f->module->dims;
  int64_t outputs, n;
  *s = (struct conv_product){.op = kernel_root_op(k, OP_CONV)};
  s->a = OP_ATTRS(conv, s->op);
  s->x = value_type(f, s->op->operands[0]);
  s->w = value_type(f, s->op->operands[1]);
  s->y = value_type(f, s->op->results[0]);
  s->acc = contract_accumulator(s->x->dtype);
  s->turned = plane_last_turn(k, s->op);
  s->last = lies_last(f, s->op->operands[0]);
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

void conv_product_pack(struct kernel *k, const struct conv_product *s) {
  if (s->packed)
    kernel_pack_outputs(k, function_value(k->function, s->op->operands[1])->index, s->w, COLUMNS,
                        0);
}

dim conv_product_places(struct dim_table *t, const struct conv_product *s) {
  return dim_product(t, s->y->dims + 2, s->y->rank - 2);
}

void conv_tile_init(struct emit *e, struct conv_tile *t, LLVMValueRef number) {
  struct conv_product *s = &t->s;
  conv_product_of(e->kernel, s);
  t->flat = plane_is_flat(e->kernel, s->op, 2);
  t->group = index_rest(e, number, s->a->groups);
  t->image = index_quotient(e, number, s->a->groups);
  t->buffer = s->packed ? function_value(e->f, s->op->operands[1])->index : 0;
}

/* What index `k` of the sum is: a channel of the group, and the tap. Lanes are of channels. */
static void split_k(struct emit *e, const struct conv_tile *t, struct coord k,
                    struct coord *out_channel, LLVMValueRef *out_tap) {
  if (t->s.last) {
    *out_tap = index_quotient(e, k.base, t->s.inputs);
    *out_channel = k;
    out_channel->base = index_rest(e, k.base, t->s.inputs);
  } else {
    *out_channel = coord_uniform(e, index_quotient(e, k.base, t->s.taps));
    *out_tap = index_rest(e, k.base, t->s.taps);
  }
}

/* Elements of the input under a place; zeros beyond its edges. */
static LLVMValueRef read_input(struct emit *e, const struct conv_tile *t, LLVMValueRef place,
                               struct coord k, uint32_t width) {
  const struct conv_product *s = &t->s;
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

/* Where a weight lies in the panels. */
static LLVMValueRef panel_place(struct emit *e, const struct conv_product *s, LLVMValueRef output,
                                LLVMValueRef channel, LLVMValueRef tap) {
  LLVMValueRef row = index_add(e, index_scale(e, channel, s->taps), tap);
  LLVMValueRef at = index_scale(e, index_quotient(e, output, COLUMNS), s->inputs * s->taps);
  return index_add(e, index_scale(e, index_add(e, at, row), COLUMNS),
                   index_rest(e, output, COLUMNS));
}

/* Weights of outputs of the group; in panels, of `width` of them. */
static LLVMValueRef read_weights(struct emit *e, const struct conv_tile *t, struct coord output,
                                 struct coord k, uint32_t width) {
  const struct conv_product *s = &t->s;
  struct coord channel;
  LLVMValueRef tap, own = index_add(e, output.base, index_scale(e, t->group, s->outputs));
  split_k(e, t, k, &channel, &tap);
  if (s->packed) {
    LLVMValueRef at = panel_place(e, s, own, channel.base, tap);
    return emit_load_lanes(e, e->buffers[t->buffer], s->w->dtype, at, width, s->acc, width);
  }
  struct point p = {.rank = s->w->rank, .width = 1};
  p.c[0] = coord_uniform(e, own);
  p.c[1] = channel;
  emit_delinearize(e, tap, s->w->dims + 2, s->w->rank - 2, p.c + 2);
  return emit_cast(e, emit_value(e, s->op->operands[1], &p), s->w->dtype, s->acc, CAST_DEFAULT, 1);
}

LLVMValueRef conv_product_operand(struct emit *e, const struct conv_tile *t, bool left,
                                  struct coord own, struct coord k, uint32_t width) {
  return left == t->s.turned ? read_input(e, t, own.base, k, width)
                             : read_weights(e, t, own, k, width);
}

LLVMValueRef conv_product_address(struct emit *e, const struct conv_tile *t, bool left,
                                  struct coord own, struct coord k, int64_t *out_align) {
  const struct conv_product *s = &t->s;
  if (left == s->turned || !s->packed || k.stride || k.lanes)
    return NULL;
  struct coord channel;
  LLVMValueRef tap, output = index_add(e, own.base, index_scale(e, t->group, s->outputs));
  split_k(e, t, k, &channel, &tap);
  *out_align = s->a->groups > 1 && s->outputs % own.align ? 1 : own.align;
  return emit_element_pointer(e, e->buffers[t->buffer], s->w->dtype,
                              panel_place(e, s, output, channel.base, tap));
}

/* The root's point is channels first; `last` is where results are, with channels last. */
static void store_last(struct emit *e, const struct conv_tile *t, LLVMValueRef place,
                       struct coord output, uint32_t width, LLVMValueRef sums) {
  const struct conv_product *s = &t->s;
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

static void store_first(struct emit *e, const struct conv_tile *t, LLVMValueRef output,
                        struct coord place, uint32_t width, LLVMValueRef sums) {
  const struct conv_product *s = &t->s;
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

void conv_product_store(struct emit *e, const struct conv_tile *t, LLVMValueRef row,
                        struct coord column, uint32_t width, LLVMValueRef sums) {
  LLVMValueRef first = index_scale(e, t->group, t->s.outputs);
  sums = emit_cast(e, sums, t->s.acc, t->s.a->dtype, CAST_DEFAULT, width);
  if (!t->s.turned) {
    store_first(e, t, index_add(e, first, row), column, width, sums);
    return;
  }
  column.base = index_add(e, first, column.base);
  if (t->s.a->groups > 1 && t->s.outputs % column.align)
    column.align = 1;
  store_last(e, t, row, column, width, sums);
}
