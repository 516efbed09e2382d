/* SPDX-License-Identifier: Apache-2.0 */
/* See contract_shape.h. */
#include "codegen/contract_shape.h"

#include <string.h>

#include "codegen/emit_view.h"
#include "codegen/schedule.h"

/* The dims of an operand that are neither batch nor summed over. */
static uint32_t own_dims(const struct type *type, struct ints batch, struct ints k, dim *dims,
                         uint32_t *axes) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < type->rank; i++) {
    if (ints_contain(batch, i) || ints_contain(k, i))
      continue;
    axes[n] = i;
    dims[n++] = type->dims[i];
  }
  return n;
}

void contract_shape_of(const struct kernel *kernel, struct contract_shape *s) {
  const struct function *f = kernel->function;
  *s = (struct contract_shape){.op = kernel_root_op(kernel, OP_CONTRACT)};
  s->a = OP_ATTRS(contract, s->op);
  s->lhs = value_type(f, s->op->operands[0]);
  s->rhs = value_type(f, s->op->operands[1]);
  s->acc = contract_accumulator(s->lhs->dtype);
  for (uint32_t i = 0; i < s->a->lhs_batch.len; i++)
    s->batch[s->n_batch++] = s->lhs->dims[s->a->lhs_batch.data[i]];
  for (uint32_t i = 0; i < s->a->lhs_k.len; i++)
    s->k[s->n_k++] = s->lhs->dims[s->a->lhs_k.data[i]];
  s->n_m = own_dims(s->lhs, s->a->lhs_batch, s->a->lhs_k, s->m, s->m_axis);
  s->n_n = own_dims(s->rhs, s->a->rhs_batch, s->a->rhs_k, s->n, s->n_axis);
}

bool contract_lies_along_k(const struct function *f, const struct contract_shape *s, bool left) {
  const struct type *type = left ? s->lhs : s->rhs;
  uint32_t last = type->rank;
  while (last > 1 && dim_is_const_value(f->module->dims, type->dims[last - 1], 1))
    last--;
  return last == 0 || ints_contain(left ? s->a->lhs_k : s->a->rhs_k, last - 1);
}

void contract_operand_point(struct emit *e, const struct contract_shape *s,
                            const struct coord *batch, bool left, struct coord own, struct coord k,
                            uint32_t width, struct point *out) {
  const struct type *type = left ? s->lhs : s->rhs;
  struct ints batches = left ? s->a->lhs_batch : s->a->rhs_batch;
  struct ints ks = left ? s->a->lhs_k : s->a->rhs_k;
  struct coord c[IR_MAX_RANK];
  *out = (struct point){.rank = type->rank, .width = width};
  for (uint32_t i = 0; i < batches.len; i++)
    out->c[batches.data[i]] = batch[i];
  uint32_t n = left ? s->n_m : s->n_n;
  if (n)
    coord_delinearize(e, own, left ? s->m : s->n, n, width, c);
  for (uint32_t i = 0; i < n; i++)
    out->c[left ? s->m_axis[i] : s->n_axis[i]] = c[i];
  if (s->n_k)
    coord_delinearize(e, k, s->k, s->n_k, width, c);
  for (uint32_t i = 0; i < s->n_k; i++)
    out->c[ks.data[i]] = c[i];
}

LLVMValueRef contract_operand(struct emit *e, const struct contract_shape *s,
                              const struct coord *batch, bool left, struct coord own,
                              struct coord k, uint32_t width, enum dtype dtype) {
  struct point p;
  contract_operand_point(e, s, batch, left, own, k, width, &p);
  LLVMValueRef x = emit_value(e, s->op->operands[left ? 0 : 1], &p);
  return emit_cast(e, x, (left ? s->lhs : s->rhs)->dtype, dtype, CAST_DEFAULT, width);
}

struct point contract_result_point(struct emit *e, const struct contract_shape *s,
                                   const struct coord *batch, struct coord row, struct coord column,
                                   uint32_t width) {
  struct point p = {.rank = value_type(e->f, s->op->results[0])->rank, .width = width};
  if (s->n_batch)
    memcpy(p.c, batch, s->n_batch * sizeof p.c[0]);
  if (s->n_m)
    coord_delinearize(e, row, s->m, s->n_m, width, p.c + s->n_batch);
  if (s->n_n)
    coord_delinearize(e, column, s->n, s->n_n, width, p.c + s->n_batch + s->n_m);
  return p;
}
