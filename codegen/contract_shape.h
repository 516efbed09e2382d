/* SPDX-License-Identifier: Apache-2.0 */
/* A contraction as products of matrices: rows (m), columns (n) and what is summed over (k) are each
 * the row-major index over some dims, for every index of the batch dims. */
#ifndef SINTER_CODEGEN_CONTRACT_SHAPE_H
#define SINTER_CODEGEN_CONTRACT_SHAPE_H

#include "codegen/contract_util.h"

struct contract_shape {
  const struct op *op;
  const struct contract_attrs *a;
  const struct type *lhs, *rhs;
  enum dtype acc;
  uint32_t n_batch, n_m, n_n, n_k; /* dims of each class, in result order */
  dim batch[IR_MAX_RANK], m[IR_MAX_RANK], n[IR_MAX_RANK], k[IR_MAX_RANK];
  uint32_t m_axis[IR_MAX_RANK], n_axis[IR_MAX_RANK]; /* where they are in the operands */
};

/* Of the kernel's contraction. */
void contract_shape_of(const struct kernel *kernel, struct contract_shape *s);

/* Whether the last dim of the operand of more than one element is summed over. */
bool contract_lies_along_k(const struct function *f, const struct contract_shape *s, bool left);

/* Where in the operand that is, as a point of `width` lanes. */
void contract_operand_point(struct emit *e, const struct contract_shape *s,
                            const struct coord *batch, bool left, struct coord own, struct coord k,
                            uint32_t width, struct point *out);

/* The operand's values, as `dtype`, at row (left) or column `own` and at `k`; one of them may have
 * lanes. */
LLVMValueRef contract_operand(struct emit *e, const struct contract_shape *s,
                              const struct coord *batch, bool left, struct coord own,
                              struct coord k, uint32_t width, enum dtype dtype);

/* The point of the result at a row and a column, either of which may have lanes. */
struct point contract_result_point(struct emit *e, const struct contract_shape *s,
                                   const struct coord *batch, struct coord row, struct coord column,
                                   uint32_t width);

#endif
