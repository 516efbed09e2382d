/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on indices and sizes, of any one integer type, for the schedules of every target.
 * Callers know that nothing overflows. */
#ifndef SINTER_CODEGEN_INDEX_MATH_H
#define SINTER_CODEGEN_INDEX_MATH_H

#include "codegen/emit.h"

LLVMValueRef index_add(struct emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef index_add_n(struct emit *e, LLVMValueRef a, int64_t b);
LLVMValueRef index_sub(struct emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef index_mul(struct emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef index_scale(struct emit *e, LLVMValueRef a, int64_t b);
/* Of what is not negative. */
LLVMValueRef index_quotient(struct emit *e, LLVMValueRef a, int64_t b);
LLVMValueRef index_rest(struct emit *e, LLVMValueRef a, int64_t b);
LLVMValueRef index_min(struct emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef index_max(struct emit *e, LLVMValueRef a, LLVMValueRef b);

#endif
