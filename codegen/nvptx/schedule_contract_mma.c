/* SPDX-License-Identifier: Apache-2.0 */
/* Contraction by tensor cores: a tile of one batch element's product (matrix_product.h). */
#include "codegen/contract_shape.h"
#include "codegen/nvptx/matrix_product.h"
#include "codegen/nvptx/tensor_core.h"
#include "codegen/schedule.h"

static bool plan(struct kernel *k, const struct target_isa *isa) {
  struct dim_table *t = k->function->module->dims;
  struct contract_shape s;
  contract_shape_of(k, &s);
  dim m = dim_product(t, s.m, s.n_m), n = dim_product(t, s.n, s.n_n);
  int64_t columns;
  if ((s.lhs->dtype == DTYPE_F32 && !s.a->tf32) || !matrix_has_product(s.lhs->dtype, s.rhs->dtype))
    return false;
  if (m == DIM_NONE || n == DIM_NONE || dim_product(t, s.k, s.n_k) == DIM_NONE)
    return false;
  if (dim_is_const(t, n, &columns) && columns < 8)
    return false;
  return matrix_product_plan(k, isa, m, n, s.batch, s.n_batch);
}

struct tile {
  struct contract_shape s;
  struct coord batch[IR_MAX_RANK];
};

static LLVMValueRef operand(struct emit *e, const void *user, bool left, struct coord own,
                            struct coord k, uint32_t width, enum dtype as) {
  const struct tile *t = user;
  return contract_operand(e, &t->s, t->batch, left, own, k, width, as);
}

static LLVMValueRef address(struct emit *e, const void *user, bool left, struct coord own,
                            struct coord k, uint32_t width, uint32_t *out_buffer,
                            int64_t *out_align) {
  const struct tile *t = user;
  struct point p;
  contract_operand_point(e, &t->s, t->batch, left, own, k, width, &p);
  return emit_address(e, t->s.op->operands[left ? 0 : 1], &p, out_buffer, out_align);
}

static void store(struct emit *e, const void *user, LLVMValueRef row, struct coord column,
                  uint32_t width, LLVMValueRef sums) {
  const struct tile *t = user;
  struct point p = contract_result_point(e, &t->s, t->batch, coord_uniform(e, row), column, width);
  emit_know(e, t->s.op->results[0], &p,
            emit_cast(e, sums, t->s.acc, t->s.a->dtype, CAST_DEFAULT, width));
  kernel_store_results(e, &p);
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct tile t = {0};
  struct contract_shape *s = &t.s;
  contract_shape_of(e->kernel, s);
  struct matrix_product p = {
      .acc = s->acc,
      .dtype = {s->lhs->dtype, s->rhs->dtype},
      .size = {emit_product(e, s->m, s->n_m), emit_product(e, s->n, s->n_n)},
      .k = emit_product(e, s->k, s->n_k),
      .along_k = {contract_lies_along_k(e->f, s, true), contract_lies_along_k(e->f, s, false)},
      .operand = operand,
      .address = address,
      .store = store,
      .user = &t};
  number = matrix_product_blocks(e, &p, number);
  emit_delinearize(e, number, s->batch, s->n_batch, t.batch);
  matrix_product_emit(e, &p);
}

const struct schedule schedule_contract_mma = {"contract_mma", ROOT_KIND_CONTRACT, plan, emit};
