/* SPDX-License-Identifier: Apache-2.0 */
/* What threads of a block do together; see block.h. */
#include "codegen/nvptx/block.h"

#include <stdio.h>

#include "codegen/nvptx/ptx_instruction.h"

#define WARP 32u
#define SHARED 3u /* address space */

void block_barrier(struct emit *e) { nvptx_call(e, "llvm.nvvm.barrier0", NULL, 0); }

static LLVMValueRef i32(struct emit *e, uint32_t x) { return LLVMConstInt(e->i32, x, false); }

static LLVMValueRef shuffle(struct emit *e, LLVMValueRef x, uint32_t distance) {
  LLVMValueRef args[] = {i32(e, UINT32_MAX), x, i32(e, distance), i32(e, WARP - 1)};
  return nvptx_call(e, "llvm.nvvm.shfl.sync.bfly.i32", args, 4);
}

/* Warps shuffle words of 32 bits. */
LLVMValueRef warp_partner(struct emit *e, LLVMValueRef x, uint32_t distance) {
  LLVMTypeRef type = LLVMTypeOf(x);
  bool is_double = type == e->f64, is_float = type == e->f32;
  LLVMValueRef bits = is_double  ? LLVMBuildBitCast(e->b, x, e->i64, "")
                      : is_float ? LLVMBuildBitCast(e->b, x, e->i32, "")
                                 : x;
  LLVMTypeRef integer = LLVMTypeOf(bits);
  if (LLVMGetIntTypeWidth(integer) <= 32) {
    bits = LLVMBuildTrunc(e->b, shuffle(e, LLVMBuildZExt(e->b, bits, e->i32, ""), distance),
                          integer, "");
  } else {
    LLVMValueRef half = emit_i64(e, 32);
    LLVMValueRef low = shuffle(e, LLVMBuildTrunc(e->b, bits, e->i32, ""), distance);
    LLVMValueRef high = LLVMBuildTrunc(e->b, LLVMBuildLShr(e->b, bits, half, ""), e->i32, "");
    high = LLVMBuildZExt(e->b, shuffle(e, high, distance), e->i64, "");
    bits = LLVMBuildOr(e->b, LLVMBuildShl(e->b, high, half, ""),
                       LLVMBuildZExt(e->b, low, e->i64, ""), "");
  }
  return is_double || is_float ? LLVMBuildBitCast(e->b, bits, type, "") : bits;
}

LLVMValueRef block_shared(struct emit *e, const char *name, LLVMTypeRef type, uint32_t elements) {
  char symbol[80];
  snprintf(symbol, sizeof symbol, "%s_%s", e->kernel->symbol, name);
  LLVMValueRef memory = LLVMGetNamedGlobal(e->module, symbol);
  if (memory)
    return memory;
  LLVMTypeRef array = LLVMArrayType2(type, elements);
  memory = LLVMAddGlobalInAddressSpace(e->module, array, symbol, SHARED);
  LLVMSetLinkage(memory, LLVMInternalLinkage);
  LLVMSetInitializer(memory, LLVMGetUndef(array));
  LLVMSetAlignment(memory, 16);
  return memory;
}

/* One declaration serves all kernels of a module. */
LLVMValueRef block_dynamic(struct emit *e) {
  static const char name[] = "dynamic_shared";
  LLVMValueRef memory = LLVMGetNamedGlobal(e->module, name);
  if (memory)
    return memory;
  memory = LLVMAddGlobalInAddressSpace(e->module, LLVMArrayType2(e->i8, 0), name, SHARED);
  LLVMSetLinkage(memory, LLVMExternalLinkage);
  LLVMSetAlignment(memory, 1024);
  return memory;
}

static LLVMValueRef slot(struct emit *e, LLVMValueRef slots, LLVMValueRef warp) {
  return LLVMBuildInBoundsGEP2(e->b, e->i64, slots, &warp, 1, "");
}

LLVMValueRef warp_combine(struct emit *e, enum combiner kind, enum dtype dtype, LLVMValueRef x,
                          uint32_t lanes) {
  for (uint32_t distance = lanes / 2; distance; distance /= 2)
    x = emit_combine(e, kind, dtype, x, warp_partner(e, x, distance), 1);
  return x;
}

LLVMValueRef block_combine(struct emit *e, enum combiner kind, enum dtype dtype, LLVMValueRef x) {
  uint32_t warps = e->kernel->block_threads / WARP;
  x = warp_combine(e, kind, dtype, x, WARP);
  if (warps == 1)
    return x;
  LLVMTypeRef type = LLVMTypeOf(x);
  /* A byte in memory, where a value is a single bit. */
  LLVMTypeRef stored = type == e->i1 ? e->i8 : type;
  LLVMValueRef slots = block_shared(e, "warps", e->i64, warps); /* 8 bytes each, for any dtype */
  LLVMValueRef warp = LLVMBuildLShr(e->b, e->lane, emit_i64(e, 5), "");
  block_barrier(e); /* what was here before has been read */
  LLVMValueRef first = LLVMBuildAnd(e->b, e->lane, emit_i64(e, WARP - 1), "");
  struct emit_if once;
  emit_if_begin(e, &once, LLVMBuildICmp(e->b, LLVMIntEQ, first, emit_i64(e, 0), ""));
  LLVMBuildStore(e->b, stored == type ? x : LLVMBuildZExt(e->b, x, stored, ""),
                 slot(e, slots, warp));
  emit_if_else(e, &once, NULL);
  emit_if_end(e, &once, NULL);
  block_barrier(e);
  for (uint32_t i = 0; i < warps; i++) {
    LLVMValueRef y = LLVMBuildLoad2(e->b, stored, slot(e, slots, emit_i64(e, i)), "");
    y = stored == type ? y : LLVMBuildTrunc(e->b, y, type, "");
    x = i ? emit_combine(e, kind, dtype, x, y, 1) : y;
  }
  return x;
}
