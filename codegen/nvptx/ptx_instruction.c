/* SPDX-License-Identifier: Apache-2.0 */
/* See ptx_instruction.h. */
#include "codegen/nvptx/ptx_instruction.h"

#include <assert.h>
#include <string.h>

enum effect { PURE, MEMORY };
enum result { RESULT_none, RESULT_i32, RESULT_f32, RESULT_words };

static const struct row {
  uint32_t capability;
  enum effect effect;
  enum result result;
  const char *constraints, *text;
} rows[] = {
#define INSTRUCTION(name, capability, effect, result, constraints, text)                           \
  {capability, effect, RESULT_##result, constraints, text},
#include "codegen/nvptx/ptx_instruction.def"
#undef INSTRUCTION
};

uint32_t nvptx_least_capability(enum nvptx_instruction which) {
  return which < NVPTX_INSTRUCTION_COUNT ? rows[which].capability : 0;
}

static LLVMTypeRef result_type(struct emit *e, enum result result) {
  LLVMTypeRef words[] = {e->i32, e->i32, e->i32, e->i32};
  switch (result) {
  case RESULT_none: break;
  case RESULT_i32: return e->i32;
  case RESULT_f32: return e->f32;
  case RESULT_words: return LLVMStructTypeInContext(e->context, words, 4, false);
  }
  return LLVMVoidTypeInContext(e->context);
}

static void mark(struct emit *e, LLVMValueRef call, const char *attribute) {
  unsigned kind = LLVMGetEnumAttributeKindForName(attribute, strlen(attribute));
  LLVMAddCallSiteAttribute(call, LLVMAttributeFunctionIndex,
                           LLVMCreateEnumAttribute(e->context, kind, 0));
}

LLVMValueRef nvptx_instruction(struct emit *e, enum nvptx_instruction which, LLVMValueRef *args,
                               unsigned n) {
  enum { MOST_OPERANDS = 16 };
  const struct row *row = &rows[which];
  LLVMTypeRef types[MOST_OPERANDS];
  assert(n <= MOST_OPERANDS);
  for (unsigned i = 0; i < n; i++)
    types[i] = LLVMTypeOf(args[i]);
  bool memory = row->effect == MEMORY;
  char constraints[160];
  size_t used = strlen(row->constraints);
  assert(used + sizeof ",~{memory}" <= sizeof constraints);
  memcpy(constraints, row->constraints, used + 1);
  if (memory)
    strcpy(constraints + used, ",~{memory}");
  LLVMTypeRef type = LLVMFunctionType(result_type(e, row->result), types, n, false);
  LLVMValueRef code =
      LLVMGetInlineAsm(type, row->text, strlen(row->text), constraints, strlen(constraints), memory,
                       false, LLVMInlineAsmDialectATT, false);
  LLVMValueRef call = LLVMBuildCall2(e->b, type, code, args, n, "");
  mark(e, call, "nounwind");
  if (memory)
    mark(e, call, "convergent");
  return call;
}

static LLVMValueRef call(struct emit *e, const char *intrinsic, LLVMTypeRef *overload,
                         size_t n_overload, LLVMValueRef *args, unsigned n) {
  unsigned id = LLVMLookupIntrinsicID(intrinsic, strlen(intrinsic));
  assert(id);
  LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, overload, n_overload);
  LLVMTypeRef type = LLVMIntrinsicGetType(e->context, id, overload, n_overload);
  return LLVMBuildCall2(e->b, type, f, args, n, "");
}

LLVMValueRef nvptx_call(struct emit *e, const char *intrinsic, LLVMValueRef *args, unsigned n) {
  return call(e, intrinsic, NULL, 0, args, n);
}

LLVMValueRef nvptx_call_on(struct emit *e, const char *intrinsic, LLVMValueRef *args, unsigned n) {
  LLVMTypeRef type = LLVMTypeOf(args[0]);
  return call(e, intrinsic, &type, 1, args, n);
}
