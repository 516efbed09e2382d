/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution by tensor cores, of f16, bf16 and f32 that may be rounded to tf32: products of
 * matrices (conv_product.h), tile by tile (matrix_product.h). Weights lie in panels and are copied
 * as they are; the input has its channels last, in runs of 16 bytes that are of one tap each, which
 * are read where they lie inside the plane. */
#include "codegen/nvptx/conv_product.h"
#include "codegen/nvptx/matrix_product.h"
#include "codegen/nvptx/tensor_core.h"
#include "codegen/schedule.h"

static bool plan(struct kernel *k, const struct target_isa *isa) {
  struct dim_table *t = k->function->module->dims;
  struct conv_product s;
  if (!conv_product_of(k, &s) || !s.packed || !s.last)
    return false;
  enum dtype dtype = s.x->dtype;
  bool taken = dtype == DTYPE_F16 || dtype == DTYPE_BF16 || (dtype == DTYPE_F32 && s.a->tf32);
  if (!taken || s.w->dtype != dtype ||
      s.inputs % (MATRIX_CHUNK / (int64_t)dtype_unpacked_bytes(dtype)))
    return false;
  dim places = conv_product_places(t, &s), outputs = dim_const(t, s.outputs);
  dim others[] = {s.y->dims[0], dim_const(t, s.a->groups)};
  if (places == DIM_NONE || !matrix_product_plan(k, isa, s.turned ? places : outputs,
                                                 s.turned ? outputs : places, others, 2))
    return false;
  conv_product_pack(k, &s);
  return true;
}

static LLVMValueRef operand(struct emit *e, const void *user, bool left, struct coord own,
                            struct coord k, uint32_t width, enum dtype as) {
  (void)as; /* sums are of it */
  return conv_product_operand(e, user, left, own, k, width);
}

static LLVMValueRef address(struct emit *e, const void *user, bool left, struct coord own,
                            struct coord k, uint32_t width, uint32_t *out_buffer,
                            int64_t *out_align) {
  const struct conv_tile *t = user;
  (void)width;
  *out_buffer = t->buffer;
  return conv_product_address(e, t, left, own, k, out_align);
}

static void store(struct emit *e, const void *user, LLVMValueRef row, struct coord column,
                  uint32_t width, LLVMValueRef sums) {
  conv_product_store(e, user, row, column, width, sums);
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct conv_tile t = {0};
  struct conv_product *s = &t.s;
  conv_product_of(e->kernel, s);
  LLVMValueRef places = emit_product(e, s->y->dims + 2, s->y->rank - 2);
  LLVMValueRef outputs = emit_i64(e, s->outputs);
  struct matrix_product p = {.acc = s->acc,
                             .dtype = {s->x->dtype, s->w->dtype},
                             .size = {s->turned ? places : outputs, s->turned ? outputs : places},
                             .k = emit_i64(e, s->inputs * s->taps),
                             .along_k = {true, true}, /* of the input; weights have an address */
                             .operand = operand,
                             .address = address,
                             .store = store,
                             .user = &t};
  conv_tile_init(e, &t, matrix_product_blocks(e, &p, number));
  matrix_product_emit(e, &p);
}

const struct schedule schedule_conv_mma = {"conv_mma", ROOT_KIND_CONV, plan, emit};
