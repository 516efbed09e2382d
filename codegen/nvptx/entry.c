/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel around tiles; see entry.h. */
#include "codegen/nvptx/entry.h"

#include <string.h>

#include "runtime/engine_format.h"

#define PTX_KERNEL_CALL 71 /* LLVM's calling convention of .entry */

struct entry {
  LLVMContextRef c;
  LLVMModuleRef module;
  LLVMBuilderRef b;
  LLVMTypeRef i32, i64, ptr;
  LLVMValueRef fn;
};

static void annotate(struct entry *n, const char *what, uint32_t value) {
  LLVMMetadataRef parts[3] = {LLVMValueAsMetadata(n->fn),
                              LLVMMDStringInContext2(n->c, what, strlen(what)),
                              LLVMValueAsMetadata(LLVMConstInt(n->i32, value, false))};
  LLVMMetadataRef node = LLVMMDNodeInContext2(n->c, parts, 3);
  LLVMAddNamedMetadataOperand(n->module, "nvvm.annotations", LLVMMetadataAsValue(n->c, node));
}

static LLVMValueRef special_register(struct entry *n, const char *name) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  LLVMValueRef f = LLVMGetIntrinsicDeclaration(n->module, id, NULL, 0);
  LLVMTypeRef type = LLVMIntrinsicGetType(n->c, id, NULL, 0);
  return LLVMBuildZExt(n->b, LLVMBuildCall2(n->b, type, f, NULL, 0, ""), n->i64, "");
}

static void declare(struct entry *n, const char *name, uint32_t slots, uint32_t threads) {
  LLVMTypeRef array = LLVMArrayType2(n->i64, slots);
  LLVMTypeRef params[] = {n->ptr, n->i32, n->i64, n->i64};
  n->fn = LLVMAddFunction(n->module, name,
                          LLVMFunctionType(LLVMVoidTypeInContext(n->c), params, 4, false));
  LLVMSetFunctionCallConv(n->fn, PTX_KERNEL_CALL);
  unsigned byval = LLVMGetEnumAttributeKindForName("byval", 5);
  LLVMAddAttributeAtIndex(n->fn, 1, LLVMCreateTypeAttribute(n->c, byval, array));
  unsigned align = LLVMGetEnumAttributeKindForName("align", 5);
  LLVMAddAttributeAtIndex(n->fn, 1, LLVMCreateEnumAttribute(n->c, align, 8));
  annotate(n, "maxntidx", threads ? threads : GPU_THREADS_PER_BLOCK);
  if (threads)
    annotate(n, "minctasm", 1); /* else ptxas saves registers, for more blocks, by spilling */
}

/* for (t = thread; t < tiles; t += threads) tiles(args, t, t + 1, scratch of the thread) */
static void fill(struct entry *n, struct target *target, LLVMValueRef tiles, uint32_t threads) {
  LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(n->c, n->fn, "start");
  LLVMBasicBlockRef test = LLVMAppendBasicBlockInContext(n->c, n->fn, "test");
  LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(n->c, n->fn, "body");
  LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(n->c, n->fn, "done");
  LLVMPositionBuilderAtEnd(n->b, start);
  LLVMValueRef thread = special_register(n, "llvm.nvvm.read.ptx.sreg.ctaid.x");
  LLVMValueRef step = special_register(n, "llvm.nvvm.read.ptx.sreg.nctaid.x");
  if (!threads) {
    LLVMValueRef width = special_register(n, "llvm.nvvm.read.ptx.sreg.ntid.x");
    LLVMValueRef lane = special_register(n, "llvm.nvvm.read.ptx.sreg.tid.x");
    thread = LLVMBuildAdd(n->b, LLVMBuildMul(n->b, thread, width, ""), lane, "");
    step = LLVMBuildMul(n->b, step, width, "");
  }
  LLVMValueRef last = LLVMBuildZExt(n->b, LLVMGetParam(n->fn, 1), n->i64, "");
  LLVMValueRef offset = LLVMBuildMul(n->b, thread, LLVMGetParam(n->fn, 3), "");
  LLVMValueRef scratch =
      target_pointer(target, n->b, LLVMBuildAdd(n->b, LLVMGetParam(n->fn, 2), offset, ""));
  LLVMBuildBr(n->b, test);

  LLVMPositionBuilderAtEnd(n->b, test);
  LLVMValueRef t = LLVMBuildPhi(n->b, n->i64, "");
  LLVMBuildCondBr(n->b, LLVMBuildICmp(n->b, LLVMIntULT, t, last, ""), body, done);

  LLVMPositionBuilderAtEnd(n->b, body);
  LLVMValueRef first = LLVMBuildTrunc(n->b, t, n->i32, "");
  LLVMValueRef end = LLVMBuildAdd(n->b, first, LLVMConstInt(n->i32, 1, false), "");
  LLVMValueRef args[] = {LLVMGetParam(n->fn, 0), first, end, scratch};
  LLVMBuildCall2(n->b, LLVMGlobalGetValueType(tiles), tiles, args, 4, "");
  LLVMValueRef next = LLVMBuildAdd(n->b, t, step, "");
  LLVMBuildBr(n->b, test);
  LLVMAddIncoming(t, (LLVMValueRef[]){thread, next}, (LLVMBasicBlockRef[]){start, body}, 2);

  LLVMPositionBuilderAtEnd(n->b, done);
  LLVMBuildRetVoid(n->b);
}

LLVMValueRef nvptx_lane(struct target *target, LLVMModuleRef module, LLVMBuilderRef builder) {
  LLVMContextRef c = target_context(target);
  struct entry n = {.c = c, .module = module, .b = builder, .i64 = LLVMInt64TypeInContext(c)};
  return special_register(&n, "llvm.nvvm.read.ptx.sreg.tid.x");
}

void nvptx_entry_create(struct target *target, LLVMModuleRef module, const char *name,
                        LLVMValueRef tiles, uint32_t slots, uint32_t block_threads) {
  LLVMContextRef c = target_context(target);
  struct entry n = {.c = c,
                    .module = module,
                    .b = LLVMCreateBuilderInContext(c),
                    .i32 = LLVMInt32TypeInContext(c),
                    .i64 = LLVMInt64TypeInContext(c),
                    .ptr = LLVMPointerTypeInContext(c, 0)};
  declare(&n, name, slots, block_threads);
  fill(&n, target, tiles, block_threads);
  LLVMDisposeBuilder(n.b);
}
