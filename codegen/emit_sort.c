/* SPDX-License-Identifier: Apache-2.0 */
/* Merge sort as LLVM IR; see emit_sort.h. */
#include "codegen/emit_sort.h"
#include "codegen/index_math.h"

LLVMValueRef emit_scratch_at(struct emit *e, LLVMValueRef words) {
  return LLVMBuildInBoundsGEP2(e->b, e->i64, e->scratch, &words, 1, "");
}

LLVMValueRef emit_load_index(struct emit *e, LLVMValueRef base, LLVMValueRef i) {
  return LLVMBuildLoad2(e->b, e->i64, LLVMBuildInBoundsGEP2(e->b, e->i64, base, &i, 1, ""), "");
}

void emit_store_index(struct emit *e, LLVMValueRef base, LLVMValueRef i, LLVMValueRef x) {
  LLVMBuildStore(e->b, x, LLVMBuildInBoundsGEP2(e->b, e->i64, base, &i, 1, ""));
}

LLVMValueRef emit_less(struct emit *e, enum dtype dtype, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef args[3] = {a, b, NULL};
  if (dtype == DTYPE_BOOL)
    return LLVMBuildICmp(e->b, LLVMIntULT, a, b, "");
  LLVMValueRef less = emit_scalar_op(e, SCALAR_LT, dtype, args, 1);
  if (!dtype_is_float(dtype))
    return less;
  LLVMValueRef a_is = LLVMBuildFCmp(e->b, LLVMRealORD, a, a, "");
  LLVMValueRef b_nan = LLVMBuildFCmp(e->b, LLVMRealUNO, b, b, "");
  return LLVMBuildOr(e->b, less, LLVMBuildAnd(e->b, a_is, b_nan, ""), "");
}

/* Merges the sorted runs [lo, mid) and [mid, hi) of `from` into `to`. */
static void merge(struct emit *e, LLVMValueRef from, LLVMValueRef to, LLVMValueRef lo,
                  LLVMValueRef mid, LLVMValueRef hi, sort_before before, void *user) {
  LLVMValueRef one = emit_i64(e, 1);
  LLVMValueRef init[2] = {lo, mid};
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, 1, 2, init);
  LLVMValueRef i = l.carried[0], j = l.carried[1];
  LLVMValueRef has_i = LLVMBuildICmp(e->b, LLVMIntSLT, i, mid, "");
  LLVMValueRef has_j = LLVMBuildICmp(e->b, LLVMIntSLT, j, hi, "");
  /* An exhausted run is read at its last place: there, and not used. */
  LLVMValueRef a = emit_load_index(e, from, index_min(e, i, LLVMBuildSub(e->b, mid, one, "")));
  LLVMValueRef b = emit_load_index(e, from, index_min(e, j, LLVMBuildSub(e->b, hi, one, "")));
  LLVMValueRef right_first = before(e, user, b, a);
  LLVMValueRef take_j = LLVMBuildOr(e->b, right_first, LLVMBuildNot(e->b, has_i, ""), "");
  take_j = LLVMBuildAnd(e->b, take_j, has_j, "");
  emit_store_index(e, to, l.index, LLVMBuildSelect(e->b, take_j, b, a, ""));
  LLVMValueRef step_j = LLVMBuildZExt(e->b, take_j, e->i64, "");
  LLVMValueRef next[2] = {LLVMBuildAdd(e->b, i, LLVMBuildSub(e->b, one, step_j, ""), ""),
                          LLVMBuildAdd(e->b, j, step_j, "")};
  emit_loop_end(e, &l, next);
}

LLVMValueRef emit_sort(struct emit *e, LLVMValueRef from, LLVMValueRef other, LLVMValueRef n,
                       sort_before before, void *user) {
  /* 63 passes are enough for any n; those whose runs cover everything already do nothing. */
  LLVMValueRef init[2] = {from, other};
  struct emit_loop pass;
  emit_loop_begin(e, &pass, emit_i64(e, 0), emit_i64(e, 62), 1, 2, init);
  LLVMValueRef run = LLVMBuildShl(e->b, emit_i64(e, 1), pass.index, "");
  LLVMValueRef pair = LLVMBuildShl(e->b, run, emit_i64(e, 1), "");
  LLVMValueRef needed = LLVMBuildICmp(e->b, LLVMIntSLT, run, n, "");
  LLVMValueRef up = LLVMBuildAdd(e->b, n, LLVMBuildSub(e->b, pair, emit_i64(e, 1), ""), "");
  LLVMValueRef pairs = LLVMBuildUDiv(e->b, up, pair, "");
  pairs = LLVMBuildSelect(e->b, needed, pairs, emit_i64(e, 0), "");
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), pairs, 1, 0, NULL);
  LLVMValueRef lo = LLVMBuildMul(e->b, l.index, pair, "");
  LLVMValueRef mid = index_min(e, LLVMBuildAdd(e->b, lo, run, ""), n);
  LLVMValueRef hi = index_min(e, LLVMBuildAdd(e->b, lo, pair, ""), n);
  merge(e, pass.carried[0], pass.carried[1], lo, mid, hi, before, user);
  emit_loop_end(e, &l, NULL);
  LLVMValueRef next[2] = {LLVMBuildSelect(e->b, needed, pass.carried[1], pass.carried[0], ""),
                          LLVMBuildSelect(e->b, needed, pass.carried[0], pass.carried[1], "")};
  emit_loop_end(e, &pass, next);
  return pass.carried[0];
}
