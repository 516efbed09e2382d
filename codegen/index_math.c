/* SPDX-License-Identifier: Apache-2.0 */
/* See index_math.h. */
#include "codegen/index_math.h"

static LLVMValueRef of_type(LLVMValueRef a, int64_t b) {
  return LLVMConstInt(LLVMTypeOf(a), (unsigned long long)b, true);
}

LLVMValueRef index_add(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildAdd(e->b, a, b, "");
}
LLVMValueRef index_add_n(struct emit *e, LLVMValueRef a, int64_t b) {
  return LLVMBuildAdd(e->b, a, of_type(a, b), "");
}
LLVMValueRef index_sub(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildSub(e->b, a, b, "");
}
LLVMValueRef index_mul(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildMul(e->b, a, b, "");
}
LLVMValueRef index_scale(struct emit *e, LLVMValueRef a, int64_t b) {
  return LLVMBuildMul(e->b, a, of_type(a, b), "");
}
LLVMValueRef index_quotient(struct emit *e, LLVMValueRef a, int64_t b) {
  return LLVMBuildUDiv(e->b, a, of_type(a, b), "");
}
LLVMValueRef index_rest(struct emit *e, LLVMValueRef a, int64_t b) {
  return LLVMBuildURem(e->b, a, of_type(a, b), "");
}
LLVMValueRef index_min(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, a, b, ""), a, b, "");
}
LLVMValueRef index_max(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSGT, a, b, ""), a, b, "");
}
