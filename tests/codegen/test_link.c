/* SPDX-License-Identifier: Apache-2.0 */
/* The linker on objects that are cut short or damaged: a diagnostic or a blob, never a crash (run
 * under the sanitizers). */
#include "codegen/cpu/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/diag.h"
#include "codegen/target.h"

static LLVMMemoryBufferRef object;
static struct target *target;

/* callee: a global; caller: calls it, reads a constant and, if asked, a writable global. */
static LLVMModuleRef build(const char *caller, const char *callee, bool define_callee,
                           bool writable) {
  LLVMContextRef c = target_context(target);
  LLVMTypeRef f64 = LLVMDoubleTypeInContext(c);
  LLVMTypeRef type = LLVMFunctionType(f64, &f64, 1, false);
  LLVMModuleRef module = target_module_create(target, caller);
  LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
  LLVMValueRef inner = target_function_create(target, module, callee, type);
  if (define_callee) {
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(c, inner, ""));
    LLVMBuildRet(b, LLVMBuildFMul(b, LLVMGetParam(inner, 0), LLVMConstReal(f64, 3.5), ""));
  }
  LLVMValueRef outer = target_function_create(target, module, caller, type);
  LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(c, outer, ""));
  LLVMValueRef x = LLVMGetParam(outer, 0);
  LLVMValueRef y = LLVMBuildCall2(b, type, inner, &x, 1, "");
  if (writable) {
    LLVMValueRef global = LLVMAddGlobal(module, f64, "state");
    LLVMSetInitializer(global, LLVMConstReal(f64, 2.0));
    LLVMBuildStore(b, y, global);
  }
  LLVMBuildRet(b, LLVMBuildFAdd(b, y, LLVMConstReal(f64, 0.7), ""));
  LLVMDisposeBuilder(b);
  return module;
}

static LLVMMemoryBufferRef compile(LLVMModuleRef module) {
  LLVMMemoryBufferRef buffer;
  assert_int_equal(target_emit(target, module, LLVMObjectFile, NULL, &buffer), STATUS_OK);
  LLVMDisposeModule(module);
  return buffer;
}

static int set_up(void **unused) {
  (void)unused;
  struct target_isa isa;
  if (target_isa_resolve(NULL, "x86-64-v2", &isa) || target_create(NULL, &isa, &target))
    return -1;
  object = compile(build("outer", "inner", true, false));
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  LLVMDisposeMemoryBuffer(object);
  target_destroy(target);
  return 0;
}

static struct cpu_object view(LLVMMemoryBufferRef buffer, const char *name) {
  return (struct cpu_object){LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer), name};
}

static status link_bytes(const void *data, size_t size) {
  struct arena arena = {0};
  struct diags diags = {0};
  struct code_blob blob;
  status s = cpu_link(&diags, &arena, &(struct cpu_object){data, size, "test.o"}, 1, &blob);
  assert_int_equal(s == STATUS_OK, diags_errors(&diags) == 0);
  diags_deinit(&diags);
  arena_deinit(&arena);
  return s;
}

static void truncation_is_diagnosed(void **unused) {
  (void)unused;
  size_t size = LLVMGetBufferSize(object);
  for (size_t n = 0; n < size; n++) {
    void *copy = malloc(n + 1);
    memcpy(copy, LLVMGetBufferStart(object), n);
    assert_int_not_equal(link_bytes(copy, n), STATUS_OK);
    free(copy);
  }
  assert_int_equal(link_bytes(LLVMGetBufferStart(object), size), STATUS_OK);
}

static void damage_is_survived(void **unused) {
  (void)unused;
  size_t size = LLVMGetBufferSize(object);
  static const uint8_t patterns[] = {0x01, 0x80, 0xFF, 0x10};
  for (size_t i = 0; i < size; i++) {
    for (size_t k = 0; k < sizeof patterns; k++) {
      uint8_t *copy = malloc(size);
      memcpy(copy, LLVMGetBufferStart(object), size);
      copy[i] ^= patterns[k];
      link_bytes(copy, size);
      free(copy);
    }
  }
}

static void objects_see_each_other(void **unused) {
  (void)unused;
  LLVMMemoryBufferRef user = compile(build("third", "inner", false, false));
  struct cpu_object objects[] = {view(user, "a.o"), view(object, "b.o"), view(object, "c.o")};
  struct arena arena = {0};
  struct diags diags = {0};
  struct code_blob blob;
  assert_int_equal(cpu_link(&diags, &arena, objects, 2, &blob), STATUS_OK);
  assert_int_equal(blob.symbol_count, 3);
  assert_string_equal(blob.symbols[0].name, "third");
  assert_non_null(code_blob_find(&blob, "inner"));
  assert_int_equal(cpu_link(&diags, &arena, objects, 3, &blob), STATUS_INTERNAL);
  assert_int_equal(diags_get(&diags, 0)->code, DIAG_E0408);
  diags_deinit(&diags);
  arena_deinit(&arena);
  LLVMDisposeMemoryBuffer(user);
}

static void writable_data_is_refused(void **unused) {
  (void)unused;
  LLVMMemoryBufferRef stateful = compile(build("outer", "inner", true, true));
  struct cpu_object objects[] = {view(stateful, "a.o")};
  struct arena arena = {0};
  struct diags diags = {0};
  struct code_blob blob;
  assert_int_equal(cpu_link(&diags, &arena, objects, 1, &blob), STATUS_INTERNAL);
  assert_int_equal(diags_get(&diags, 0)->code, DIAG_E0407);
  assert_non_null(strstr(diags_get(&diags, 0)->message, "'.data'"));
  diags_deinit(&diags);
  arena_deinit(&arena);
  LLVMDisposeMemoryBuffer(stateful);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(truncation_is_diagnosed),
      cmocka_unit_test(damage_is_survived),
      cmocka_unit_test(objects_see_each_other),
      cmocka_unit_test(writable_data_is_refused),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
