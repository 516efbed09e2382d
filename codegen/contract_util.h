/* SPDX-License-Identifier: Apache-2.0 */
/* What the schedules of contractions and convolutions share with the emitter. */
#ifndef SINTER_CODEGEN_CONTRACT_UTIL_H
#define SINTER_CODEGEN_CONTRACT_UTIL_H

#include "codegen/emit.h"

/* What products of operands of this dtype are summed in. */
enum dtype contract_accumulator(enum dtype operand);
/* sum + x * y. */
LLVMValueRef contract_multiply_add(struct emit *e, enum dtype acc, LLVMValueRef sum, LLVMValueRef x,
                                   LLVMValueRef y);

bool ints_contain(struct ints list, int64_t x);

/* `width` stored elements of `dtype` from base + index (elements, a multiple of `align`) of a
 * buffer, decoded and cast to `to`. */
LLVMValueRef emit_load_lanes(struct emit *e, LLVMValueRef base, enum dtype dtype,
                             LLVMValueRef index, int64_t align, enum dtype to, uint32_t width);
LLVMValueRef emit_element_pointer(struct emit *e, LLVMValueRef base, enum dtype dtype,
                                  LLVMValueRef index);

/* Ends an if / else whose branches give `n` values each. */
void emit_if_end_many(struct emit *e, struct emit_if *s, uint32_t n, LLVMValueRef *then_values,
                      LLVMValueRef *else_values, LLVMValueRef *out);

#endif
