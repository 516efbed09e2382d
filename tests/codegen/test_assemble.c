/* SPDX-License-Identifier: Apache-2.0 */
/* From builders to running code: results, independence of thread count, and every way in which it
 * can fail. */
#include "codegen/assemble.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/diag.h"
#include "base/mem.h"
#include "tests/support/jit.h"

/* kernel i: int64 f(int64 x) { switch (x) { cases 0..9: table } default: x * i + 0.5-ish constant
 * }. The switch makes a jump or lookup table, the double a constant in .rodata: both must survive
 * linking. */
static void build_body(LLVMContextRef c, LLVMValueRef f, uint32_t i) {
  LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
  LLVMTypeRef i64 = LLVMInt64TypeInContext(c);
  LLVMTypeRef f64 = LLVMDoubleTypeInContext(c);
  LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(c, f, "");
  LLVMBasicBlockRef other = LLVMAppendBasicBlockInContext(c, f, "");
  LLVMPositionBuilderAtEnd(b, entry);
  LLVMValueRef x = LLVMGetParam(f, 0);
  LLVMValueRef choice = LLVMBuildSwitch(b, x, other, 10);
  for (unsigned k = 0; k < 10; k++) {
    LLVMBasicBlockRef block = LLVMAppendBasicBlockInContext(c, f, "");
    LLVMAddCase(choice, LLVMConstInt(i64, k, false), block);
    LLVMPositionBuilderAtEnd(b, block);
    LLVMValueRef v = LLVMBuildMul(b, x, LLVMConstInt(i64, k * k * k + i, false), "");
    LLVMBuildRet(b, k % 3 ? v : LLVMBuildXor(b, v, LLVMConstInt(i64, 1000 + k, false), ""));
  }
  LLVMPositionBuilderAtEnd(b, other);
  LLVMValueRef scaled =
      LLVMBuildFMul(b, LLVMBuildSIToFP(b, x, f64, ""), LLVMConstReal(f64, 1.25 + i), "");
  LLVMBuildRet(b, LLVMBuildFPToSI(b, scaled, i64, ""));
  LLVMDisposeBuilder(b);
}

static int64_t expected(uint32_t i, int64_t x) {
  if (x < 0 || x > 9)
    return (int64_t)((double)x * (1.25 + i));
  int64_t v = x * (x * x * x + i);
  return x % 3 ? v : v ^ (1000 + x);
}

static LLVMValueRef declare(struct target *target, LLVMModuleRef module, uint32_t i) {
  LLVMTypeRef i64 = LLVMInt64TypeInContext(target_context(target));
  char name[32];
  snprintf(name, sizeof name, "kernel_%u", i);
  return target_function_create(target, module, name, LLVMFunctionType(i64, &i64, 1, false));
}

static status build_good(void *user, uint32_t i, struct target *target, LLVMModuleRef module,
                         struct diags *diags) {
  (void)user, (void)diags;
  build_body(target_context(target), declare(target, module, i), i);
  return STATUS_OK;
}

/* Kernel *user has a block without a terminator. */
static status build_broken(void *user, uint32_t i, struct target *target, LLVMModuleRef module,
                           struct diags *diags) {
  if (i != *(uint32_t *)user)
    return build_good(NULL, i, target, module, diags);
  LLVMAppendBasicBlockInContext(target_context(target), declare(target, module, i), "open");
  return STATUS_OK;
}

static status build_calling_out(void *user, uint32_t i, struct target *target, LLVMModuleRef module,
                                struct diags *diags) {
  (void)user, (void)diags;
  LLVMContextRef c = target_context(target);
  LLVMTypeRef i64 = LLVMInt64TypeInContext(c);
  LLVMTypeRef type = LLVMFunctionType(i64, &i64, 1, false);
  LLVMValueRef f = declare(target, module, i);
  LLVMValueRef out = LLVMAddFunction(module, i == 0 ? "elsewhere" : "nowhere", type);
  LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
  LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(c, f, ""));
  LLVMValueRef x = LLVMGetParam(f, 0);
  LLVMBuildRet(b, LLVMBuildCall2(b, type, out, &x, 1, ""));
  LLVMDisposeBuilder(b);
  return STATUS_OK;
}

/* Inline assembly that nothing can select: LLVM reports it through the context. */
static status build_unselectable(void *user, uint32_t i, struct target *target,
                                 LLVMModuleRef module, struct diags *diags) {
  (void)user, (void)diags;
  LLVMContextRef c = target_context(target);
  LLVMTypeRef i64 = LLVMInt64TypeInContext(c);
  LLVMTypeRef type = LLVMFunctionType(i64, &i64, 1, false);
  LLVMValueRef f = declare(target, module, i);
  LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
  LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(c, f, ""));
  LLVMValueRef assembly =
      LLVMGetInlineAsm(type, "nop", 3, "=f,Q", 4, false, false, LLVMInlineAsmDialectATT, false);
  LLVMValueRef x = LLVMGetParam(f, 0);
  LLVMBuildRet(b, LLVMBuildCall2(b, type, assembly, &x, 1, ""));
  LLVMDisposeBuilder(b);
  return STATUS_OK;
}

/* An intrinsic of another processor: nothing selects it, which LLVM takes for the end of the world.
 */
static status build_fatal(void *user, uint32_t i, struct target *target, LLVMModuleRef module,
                          struct diags *diags) {
  if (i != *(uint32_t *)user)
    return build_good(NULL, i, target, module, diags);
  LLVMContextRef c = target_context(target);
  LLVMTypeRef i32 = LLVMInt32TypeInContext(c), i64 = LLVMInt64TypeInContext(c);
  LLVMTypeRef type = LLVMFunctionType(i32, NULL, 0, false);
  LLVMValueRef foreign = LLVMAddFunction(module, "llvm.nvvm.read.ptx.sreg.tid.x", type);
  LLVMValueRef f = declare(target, module, i);
  LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
  LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(c, f, ""));
  LLVMBuildRet(b, LLVMBuildZExt(b, LLVMBuildCall2(b, type, foreign, NULL, 0, ""), i64, ""));
  LLVMDisposeBuilder(b);
  return STATUS_OK;
}

static struct target_isa resolve(const char *name) {
  struct target_isa isa;
  assert_int_equal(target_isa_resolve(NULL, name, &isa), STATUS_OK);
  return isa;
}

static void kernels_run(void **unused) {
  (void)unused;
  struct target_isa isa = resolve("native");
  struct jit jit;
  jit_open(&jit, &(struct assemble_options){.isa = &isa, .build = build_good, .kernel_count = 37});
  assert_int_equal(jit.result.blob.size % CODE_BLOB_ALIGN, 0);
  assert_int_equal(jit.result.blob.symbol_count, 37);
  for (uint32_t i = 0; i < 37; i++) {
    char name[32];
    snprintf(name, sizeof name, "kernel_%u", i);
    int64_t (*kernel)(int64_t) = (int64_t (*)(int64_t))jit_function(&jit, name);
    for (int64_t x = -3; x < 15; x++)
      assert_int_equal(kernel(x), expected(i, x));
    assert_string_equal(jit.result.blob.symbols[i].name, name);
    assert_true(jit.result.blob.symbols[i].global);
  }
  assert_null(code_blob_find(&jit.result.blob, "kernel_37"));
  jit_close(&jit);
}

static void threads_do_not_show(void **unused) {
  (void)unused;
  for (unsigned level = 2; level <= 4; level++) {
    char name[16];
    snprintf(name, sizeof name, "x86-64-v%u", level);
    struct target_isa isa = resolve(name);
    assert_int_equal(isa.vector_bytes, 4u << level);
    for (int emit = ASSEMBLE_BLOB; emit <= ASSEMBLE_ASM; emit++) {
      struct arena arena = {0};
      struct assemble_result one, many;
      struct assemble_options options = {.isa = &isa,
                                         .build = build_good,
                                         .kernel_count = 21,
                                         .kernels_per_module = 4,
                                         .threads = 1,
                                         .emit = (enum assemble_emit)emit};
      assert_int_equal(assemble(&options, &arena, NULL, &one), STATUS_OK);
      options.threads = 5;
      assert_int_equal(assemble(&options, &arena, NULL, &many), STATUS_OK);
      assert_int_equal(one.blob.size, many.blob.size);
      assert_int_equal(one.text_size, many.text_size);
      if (emit == ASSEMBLE_BLOB)
        assert_memory_equal(one.blob.data, many.blob.data, one.blob.size);
      else
        assert_string_equal(one.text, many.text);
      if (emit == ASSEMBLE_LLVM)
        assert_non_null(strstr(one.text, "define i64 @kernel_20("));
      if (emit == ASSEMBLE_ASM)
        assert_non_null(strstr(one.text, "kernel_20:"));
      arena_deinit(&arena);
    }
  }
}

static status try_assemble(assemble_build build, void *user, uint32_t count, struct diags *diags) {
  struct target_isa isa = resolve("x86-64-v3");
  struct arena arena = {0};
  struct assemble_result result;
  status s = assemble(&(struct assemble_options){.isa = &isa,
                                                 .build = build,
                                                 .user = user,
                                                 .kernel_count = count,
                                                 .kernels_per_module = 1},
                      &arena, diags, &result);
  arena_deinit(&arena);
  return s;
}

static void broken_kernels_are_named(void **unused) {
  (void)unused;
  struct diags diags = {0};
  uint32_t bad = 5;
  assert_int_equal(try_assemble(build_broken, &bad, 8, &diags), STATUS_INTERNAL);
  assert_int_equal(diags_count(&diags), 1);
  assert_int_equal(diags_get(&diags, 0)->code, DIAG_E0401);
  assert_non_null(strstr(diags_get(&diags, 0)->message, "'kernel_5'"));
  diags_deinit(&diags);
}

static void undefined_symbols_are_named(void **unused) {
  (void)unused;
  struct diags diags = {0};
  assert_int_equal(try_assemble(build_calling_out, NULL, 2, &diags), STATUS_INTERNAL);
  assert_int_equal(diags_count(&diags), 2);
  assert_int_equal(diags_get(&diags, 0)->code, DIAG_E0405);
  assert_non_null(strstr(diags_get(&diags, 0)->message, "'elsewhere'"));
  assert_non_null(strstr(diags_get(&diags, 1)->message, "'nowhere'"));
  diags_deinit(&diags);
}

static void llvm_errors_are_diagnostics(void **unused) {
  (void)unused;
  struct diags diags = {0};
  assert_int_equal(try_assemble(build_unselectable, NULL, 1, &diags), STATUS_INTERNAL);
  assert_true(diags_count(&diags) >= 1);
  assert_int_equal(diags_get(&diags, 0)->code, DIAG_E0402);
  diags_deinit(&diags);
}

/* In a child, because what LLVM held when it gave up is leaked by design and the sanitizer would
 * say so. */
static bool survives_a_fatal_error(void) {
  struct diags diags = {0};
  uint32_t bad = 2;
  bool ok = try_assemble(build_fatal, &bad, 6, &diags) == STATUS_INTERNAL &&
            diags_count(&diags) == 1 && diags_get(&diags, 0)->code == DIAG_E0402 &&
            strstr(diags_get(&diags, 0)->message, "gave up");
  diags_deinit(&diags);
  return ok;
}

static void fatal_errors_do_not_kill(void **unused) {
  (void)unused;
  fflush(NULL);
  pid_t child = fork();
  if (child == 0)
    _exit(survives_a_fatal_error() ? 0 : 1);
  int state;
  assert_int_equal(waitpid(child, &state, 0), child);
  assert_true(WIFEXITED(state) && WEXITSTATUS(state) == 0);
}

static status guarded_assembly(void *diags) { return try_assemble(build_good, NULL, 3, diags); }

/* Every n-th allocation fails once, until there are no more of them. */
static bool survives_exhaustion(void) {
  for (uint64_t n = 1;; n++) {
    struct diags diags = {0};
    mem_fail_nth(n);
    status s = oom_guard_run(guarded_assembly, &diags);
    bool over = mem_fail_pending();
    mem_fail_nth(0);
    diags_deinit(&diags);
    if (over)
      return s == STATUS_OK;
    if (s != STATUS_OK && s != STATUS_RESOURCES)
      return false;
  }
}

/* In a child too: objects that are waiting to be linked are leaked then. */
static void exhaustion_is_an_error(void **unused) {
  (void)unused;
  fflush(NULL);
  pid_t child = fork();
  if (child == 0)
    _exit(survives_exhaustion() ? 0 : 1);
  int state;
  assert_int_equal(waitpid(child, &state, 0), child);
  assert_true(WIFEXITED(state) && WEXITSTATUS(state) == 0);
}

static void targets_have_names(void **unused) {
  (void)unused;
  struct target_isa isa;
  struct diags diags = {0};
  assert_int_equal(target_isa_resolve(&diags, "pentium", &isa), STATUS_USAGE);
  assert_int_equal(diags_get(&diags, 0)->code, DIAG_E0403);
  diags_deinit(&diags);
  isa = resolve("native");
  assert_true(target_isa_runs_here(&isa));
}

static void nothing_gives_an_empty_blob(void **unused) {
  (void)unused;
  struct diags diags = {0};
  assert_int_equal(try_assemble(build_good, NULL, 0, &diags), STATUS_OK);
  diags_deinit(&diags);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kernels_run),
      cmocka_unit_test(threads_do_not_show),
      cmocka_unit_test(broken_kernels_are_named),
      cmocka_unit_test(undefined_symbols_are_named),
      cmocka_unit_test(llvm_errors_are_diagnostics),
      cmocka_unit_test(fatal_errors_do_not_kill),
      cmocka_unit_test(exhaustion_is_an_error),
      cmocka_unit_test(targets_have_names),
      cmocka_unit_test(nothing_gives_an_empty_blob),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
