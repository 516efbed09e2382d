/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions between storage and compute types as LLVM IR, for scalars and fixed vectors, without
 * calls.
 *
 * The results are those of base/softfloat.h bit for bit, NaN payloads aside. A code is an integer:
 * i16 for the 16-bit kinds, i8 for the others (e2m1: its low four bits, the rest zero on encoding
 * and ignored on decoding). */
#ifndef SINTER_CODEGEN_CONVERT_H
#define SINTER_CODEGEN_CONVERT_H

#include <stdbool.h>

#include <llvm-c/Core.h>

#include "base/softfloat.h"
#include "codegen/target.h"

/* The value of `code` (i16 or i8, scalar or vector, as `kind` wants) as float. Exact. */
LLVMValueRef convert_decode(struct target *target, LLVMBuilderRef builder, enum softfloat_kind kind,
                            LLVMValueRef code);

/* The code of `value` (float or double, scalar or vector), rounded once. `saturate` and `round`:
 * see softfloat_encode. */
LLVMValueRef convert_encode(struct target *target, LLVMBuilderRef builder, enum softfloat_kind kind,
                            LLVMValueRef value, bool saturate, enum softfloat_round round);

/* Float or double towards zero to an integer of `bits` (1..64), clamped to its range; NaN gives 0.
 */
LLVMValueRef convert_float_to_int(LLVMBuilderRef builder, LLVMValueRef value, unsigned bits,
                                  bool is_signed);

/* An integer to `element` (float or double), to nearest even. */
LLVMValueRef convert_int_to_float(LLVMBuilderRef builder, LLVMValueRef value, bool is_signed,
                                  LLVMTypeRef element);

/* Floats as doubles. On GPUs lane by lane: of a vector that was just loaded LLVM 19 makes a load of
 * floats into registers of doubles, which no assembler takes. */
LLVMValueRef convert_widen(LLVMBuilderRef builder, LLVMValueRef value, LLVMTypeRef type);

/* Between float and double: extends exactly, or rounds to nearest even. The same type passes
 * through. */
LLVMValueRef convert_float_to_float(LLVMBuilderRef builder, LLVMValueRef value,
                                    LLVMTypeRef element);

#endif
