/* SPDX-License-Identifier: Apache-2.0 */
/* LLVM-C: what targets are called, target machines, the pass lists, and a leash on fatal errors. */
#include "codegen/target.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "base/diag.h"
#include "base/mem.h"

/* Ours arrives as straight-line vector code in simple loops, so most of O2 has nothing to do: there
 * is nothing to inline, and what should be vectorised or unrolled is. What pays is promoting the
 * allocas of tiles (sroa), common addresses (early-cse), the peepholes, and hoisting out of loops
 * (licm, which wants rotated ones); strength reduction comes with instruction selection.
 * Measured on 8 GEMM micro-kernels and 8 element-wise kernels: 27 ms; with gvn and dse 60 ms; O2
 * 269 ms; selection and emission 210 ms each time; the same speed of the code within noise. */
#define FUNCTION_PASSES                                                                            \
  "function(sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg,"                           \
  "loop-mssa(loop-rotate,licm),early-cse<memssa>,simplifycfg)"

/* What LLVM has to be told per kind of target. */
static const struct target_traits {
  const char *triple, *passes;
  LLVMRelocMode relocation;
  LLVMCodeModel code_model;
} traits_of[] = {
    [TARGET_CPU] = {"x86_64-unknown-linux-gnu", FUNCTION_PASSES, LLVMRelocPIC, LLVMCodeModelSmall},
    /* Inlined whole, so that arguments are read where they are used, and pointers are known to be
     * global; then what is left of the functions goes. */
    [TARGET_NVPTX] = {"nvptx64-nvidia-cuda",
                      "always-inline,globaldce,function(infer-address-spaces)," FUNCTION_PASSES,
                      LLVMRelocDefault, LLVMCodeModelDefault},
};

struct target {
  struct target_isa isa;
  LLVMContextRef context;
  LLVMTargetMachineRef machine;
  LLVMTargetDataRef layout;
  struct diags *diags; /* of the call in progress: where the context's handler reports */
  bool complained;     /* an error came through the context since the last call began */
  bool poisoned;
};

/* ---- Fatal errors ---- */

/* LLVM exits the process after its handler returns, so the handler does not return: it jumps to the
 * call that is in progress on this thread. What LLVM held is lost, hence "poisoned". */
static _Thread_local jmp_buf *fatal_jump;
static _Thread_local char fatal_message[512];

static void on_fatal_error(const char *reason) {
  snprintf(fatal_message, sizeof fatal_message, "%s", reason);
  if (fatal_jump)
    longjmp(*fatal_jump, 1);
}

static status report_fatal(struct target *target, struct diags *diags) {
  target->poisoned = true;
  return diag_report(diags, DIAG_E0402, NULL, NULL, "LLVM gave up: %s", fatal_message);
}

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *user) {
  struct target *target = user;
  if (LLVMGetDiagInfoSeverity(info) != LLVMDSError)
    return;
  target->complained = true;
  char *text = LLVMGetDiagInfoDescription(info);
  diag_report(target->diags, DIAG_E0402, NULL, NULL, "LLVM: %s", text);
  LLVMDisposeMessage(text);
}

/* ---- Which processor ---- */

static pthread_once_t setup_once = PTHREAD_ONCE_INIT;

static void setup(void) {
  LLVMInstallFatalErrorHandler(on_fatal_error);
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetMC();
  LLVMInitializeNVPTXAsmPrinter();
}

/* Whether "+name" is one of the comma-separated features. */
static bool has_feature(const char *features, const char *name) {
  size_t length = strlen(name);
  for (const char *at = features; (at = strchr(at, '+')); at++)
    if (strncmp(at + 1, name, length) == 0 && (at[1 + length] == ',' || at[1 + length] == '\0'))
      return true;
  return false;
}

static bool has_vnni(const struct target_isa *isa) {
  return isa->avx512 ? has_feature(isa->features, "avx512vnni")
                     : isa->avx2 && has_feature(isa->features, "avxvnni");
}

static bool has_avx512(const char *features) {
  return has_feature(features, "avx512f") && has_feature(features, "avx512vl") &&
         has_feature(features, "avx512bw") && has_feature(features, "avx512dq") &&
         has_feature(features, "avx512cd");
}

/* "+avxvnni+...": what there is code for, on levels that have it. */
static bool add_features(struct target_isa *isa, const char *list) {
  static const struct {
    const char *name;
    bool wide;
  } known[] = {{"+avxvnni", false}, {"+avx512vnni", true}};
  for (size_t length; *list; list += length) {
    bool found = false;
    length = 1 + strcspn(list + 1, "+");
    for (size_t i = 0; i < sizeof known / sizeof *known && !found; i++) {
      if (strlen(known[i].name) != length || strncmp(list, known[i].name, length) != 0 ||
          (known[i].wide ? !isa->avx512 : !isa->avx2))
        continue;
      size_t used = strlen(isa->features);
      snprintf(isa->features + used, sizeof isa->features - used, "%s%s", used ? "," : "",
               known[i].name);
      found = true;
    }
    if (!found)
      return false;
  }
  isa->vnni = has_vnni(isa);
  return true;
}

static void set_level(struct target_isa *isa, unsigned level) {
  snprintf(isa->cpu, sizeof isa->cpu, "x86-64-v%u", level);
  isa->fma = isa->f16c = isa->avx2 = level >= 3;
  isa->avx512 = level >= 4;
  isa->vector_bytes = level >= 4 ? 64 : level >= 3 ? 32 : 16;
}

/* A level, perhaps with features after it. */
static bool resolve_level(const char *name, struct target_isa *isa) {
  static const char *const levels[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
  size_t length = strcspn(name, "+");
  for (unsigned i = 0; i < 3; i++) {
    if (strlen(levels[i]) != length || strncmp(name, levels[i], length) != 0)
      continue;
    set_level(isa, i + 2);
    return !name[length] || add_features(isa, name + length);
  }
  return false;
}

static status resolve_native(struct diags *diags, struct target_isa *isa) {
  char *cpu = LLVMGetHostCPUName();
  char *features = LLVMGetHostCPUFeatures();
  bool fits =
      snprintf(isa->cpu, sizeof isa->cpu, "%s", cpu) < (int)sizeof isa->cpu &&
      snprintf(isa->features, sizeof isa->features, "%s", features) < (int)sizeof isa->features;
  LLVMDisposeMessage(cpu);
  LLVMDisposeMessage(features);
  if (!fits || !has_feature(isa->features, "sse4.2"))
    return diag_report(diags, DIAG_E0404, NULL, "name a level with --target x86-64-v2",
                       "this machine is not an x86-64 processor with SSE4.2");
  isa->avx2 = has_feature(isa->features, "avx2");
  isa->fma = isa->avx2 && has_feature(isa->features, "fma");
  isa->f16c = isa->avx2 && has_feature(isa->features, "f16c");
  isa->avx512 = isa->fma && has_avx512(isa->features);
  isa->vector_bytes = isa->avx512 ? 64 : isa->avx2 ? 32 : 16;
  isa->vnni = has_vnni(isa);
  return STATUS_OK;
}

/* Rows of sm.def: compute capabilities, with the oldest PTX that serves us. */
static bool resolve_gpu(const char *name, struct target_isa *isa) {
  static const struct {
    const char *name, *features;
    uint32_t shared;
  } rows[] = {
#define SM(name, ptx, shared) {#name, "+" #ptx, shared},
#include "codegen/nvptx/sm.def"
#undef SM
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (strcmp(name, rows[i].name) != 0)
      continue;
    isa->kind = TARGET_NVPTX;
    snprintf(isa->cpu, sizeof isa->cpu, "%s", name);
    snprintf(isa->features, sizeof isa->features, "%s", rows[i].features);
    isa->fma = isa->f16c = true;
    isa->vector_bytes = 16;
    isa->capability = (uint32_t)strtoul(name + strlen("sm_"), NULL, 10);
    isa->shared_bytes = rows[i].shared << 10;
    return true;
  }
  return false;
}

status target_isa_resolve(struct diags *diags, const char *name, struct target_isa *out_isa) {
  pthread_once(&setup_once, setup);
  *out_isa = (struct target_isa){0};
  snprintf(out_isa->name, sizeof out_isa->name, "%s", name);
  if (resolve_level(name, out_isa))
    return STATUS_OK;
  if (strcmp(name, "native") == 0)
    return resolve_native(diags, out_isa);
  if (resolve_gpu(name, out_isa))
    return STATUS_OK;
  return diag_report(
      diags, DIAG_E0403, NULL,
      "use x86-64-v2, x86-64-v3, x86-64-v4 (x86-64-v3+avxvnni, x86-64-v4+avx512vnni), "
      "native, or a GPU as sm_80 or sm_90a",
      "there is no target '%s'", name);
}

bool target_isa_runs_here(const struct target_isa *isa) {
  struct target_isa host;
  if (isa->kind != TARGET_CPU || target_isa_resolve(NULL, "native", &host) != STATUS_OK)
    return false;
  if (strcmp(isa->name, "native") == 0)
    return strcmp(isa->cpu, host.cpu) == 0 && strcmp(isa->features, host.features) == 0;
  return (!isa->avx2 ||
          (host.avx2 && host.fma && host.f16c && has_feature(host.features, "bmi2") &&
           has_feature(host.features, "lzcnt") && has_feature(host.features, "movbe"))) &&
         (!isa->avx512 || host.avx512) &&
         (!isa->vnni || has_feature(host.features, isa->avx512 ? "avx512vnni" : "avxvnni"));
}

/* ---- Target machines ---- */

static status create_machine(struct target *target, struct diags *diags) {
  const struct target_traits *traits = &traits_of[target->isa.kind];
  LLVMTargetRef backend;
  char *message = NULL;
  if (LLVMGetTargetFromTriple(traits->triple, &backend, &message)) {
    status s = diag_report(diags, DIAG_E0402, NULL, NULL, "LLVM: %s", message);
    LLVMDisposeMessage(message);
    return s;
  }
  target->machine =
      LLVMCreateTargetMachine(backend, traits->triple, target->isa.cpu, target->isa.features,
                              LLVMCodeGenLevelDefault, traits->relocation, traits->code_model);
  if (!target->machine)
    return diag_report(diags, DIAG_E0402, NULL, NULL, "LLVM has no machine for '%s'",
                       target->isa.cpu);
  LLVMSetTargetMachineAsmVerbosity(target->machine, false);
  target->layout = LLVMCreateTargetDataLayout(target->machine);
  return STATUS_OK;
}

status target_create(struct diags *diags, const struct target_isa *isa,
                     struct target **out_target) {
  pthread_once(&setup_once, setup);
  *out_target = NULL;
  /* Not a guard's to free: the context inside has to go first. */
  struct target *target = mem_try_calloc(1, sizeof *target);
  if (!target)
    return diag_report(diags, DIAG_E0901, NULL, NULL, "out of memory for a code generator");
  target->isa = *isa;
  target->context = LLVMContextCreate();
  LLVMContextSetDiagnosticHandler(target->context, on_diagnostic, target);
  status s = create_machine(target, diags);
  if (s != STATUS_OK) {
    target_destroy(target);
    target = NULL;
  }
  *out_target = target;
  return s;
}

void target_destroy(struct target *target) {
  if (!target)
    return;
  if (!target->poisoned) {
    if (target->layout)
      LLVMDisposeTargetData(target->layout);
    if (target->machine)
      LLVMDisposeTargetMachine(target->machine);
    LLVMContextDispose(target->context);
  }
  mem_free(target);
}

const struct target_isa *target_isa(const struct target *target) { return &target->isa; }

LLVMContextRef target_context(const struct target *target) { return target->context; }

bool target_poisoned(const struct target *target) { return target->poisoned; }

/* ---- Modules and functions ---- */

LLVMModuleRef target_module_create(struct target *target, const char *name) {
  LLVMModuleRef module = LLVMModuleCreateWithNameInContext(name, target->context);
  LLVMSetTarget(module, traits_of[target->isa.kind].triple);
  LLVMSetModuleDataLayout(module, target->layout);
  return module;
}

static void add_string_attribute(LLVMContextRef context, LLVMValueRef function, const char *key,
                                 const char *value) {
  LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex,
                          LLVMCreateStringAttribute(context, key, (unsigned)strlen(key), value,
                                                    (unsigned)strlen(value)));
}

static void add_enum_attribute(LLVMContextRef context, LLVMValueRef function, const char *name) {
  unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
  LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex,
                          LLVMCreateEnumAttribute(context, kind, 0));
}

LLVMValueRef target_function_create(struct target *target, LLVMModuleRef module, const char *name,
                                    LLVMTypeRef type) {
  LLVMContextRef context = target->context;
  LLVMValueRef function = LLVMAddFunction(module, name, type);
  add_enum_attribute(context, function, "nounwind");
  char bits[16];
  snprintf(bits, sizeof bits, "%u", target->isa.vector_bytes * 8);
  add_string_attribute(context, function, "no-builtins", "");
  add_string_attribute(context, function, "target-cpu", target->isa.cpu);
  if (target->isa.features[0])
    add_string_attribute(context, function, "target-features", target->isa.features);
  add_string_attribute(context, function, "prefer-vector-width", bits);
  return function;
}

LLVMValueRef target_helper_create(struct target *target, LLVMModuleRef module, const char *name,
                                  LLVMTypeRef type) {
  LLVMValueRef function = target_function_create(target, module, name, type);
  LLVMSetLinkage(function, LLVMInternalLinkage);
  if (target->isa.kind == TARGET_NVPTX)
    add_enum_attribute(target->context, function, "alwaysinline");
  return function;
}

LLVMValueRef target_pointer(struct target *target, LLVMBuilderRef builder, LLVMValueRef address) {
  enum { GENERIC = 0, GLOBAL = 1 }; /* address spaces of NVPTX */
  LLVMTypeRef generic = LLVMPointerTypeInContext(target->context, GENERIC);
  if (target->isa.kind != TARGET_NVPTX)
    return LLVMBuildIntToPtr(builder, address, generic, "");
  LLVMTypeRef global = LLVMPointerTypeInContext(target->context, GLOBAL);
  LLVMValueRef p = LLVMBuildIntToPtr(builder, address, global, "");
  return LLVMBuildAddrSpaceCast(builder, p, generic, "");
}

/* ---- Verify, optimise, emit ---- */

/* The calls into LLVM that can end in its fatal error handler, as one closed set so that there is
 * one place which jumps. */
struct llvm_call {
  enum { CALL_VERIFY, CALL_OPTIMIZE, CALL_EMIT } what;
  LLVMModuleRef module;
  LLVMCodeGenFileType file_type;
  LLVMMemoryBufferRef buffer;
  char *message; /* of a failure, for LLVMDisposeMessage */
};

static bool optimize(struct target *target, struct llvm_call *call) {
  LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
  LLVMErrorRef error =
      LLVMRunPasses(call->module, traits_of[target->isa.kind].passes, target->machine, options);
  LLVMDisposePassBuilderOptions(options);
  if (!error)
    return true;
  char *message = LLVMGetErrorMessage(error);
  call->message = LLVMCreateMessage(message);
  LLVMDisposeErrorMessage(message);
  return false;
}

static bool perform(struct target *target, struct llvm_call *call) {
  switch (call->what) {
  case CALL_VERIFY: return !LLVMVerifyModule(call->module, LLVMReturnStatusAction, &call->message);
  case CALL_OPTIMIZE: return optimize(target, call);
  case CALL_EMIT:
    return !LLVMTargetMachineEmitToMemoryBuffer(target->machine, call->module, call->file_type,
                                                &call->message, &call->buffer);
  }
  return false;
}

/* STATUS_OK, or the call failed: with a message in *call, or having been reported here. */
static status guarded(struct target *target, struct diags *diags, struct llvm_call *call,
                      bool *out_ok) {
  *out_ok = false;
  if (target->poisoned)
    return report_fatal(target, diags);
  jmp_buf jump;
  jmp_buf *outer = fatal_jump;
  target->diags = diags;
  target->complained = false;
  if (setjmp(jump)) {
    fatal_jump = outer;
    return report_fatal(target, diags);
  }
  fatal_jump = &jump;
  *out_ok = perform(target, call);
  fatal_jump = outer;
  return STATUS_OK;
}

/* Cuts the verifier's text to its first line. */
static void first_line(char *text) { text[strcspn(text, "\n")] = '\0'; }

static const char *broken_function(LLVMModuleRef module) {
  for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f)) {
    size_t length;
    if (!LLVMIsDeclaration(f) && LLVMVerifyFunction(f, LLVMReturnStatusAction))
      return LLVMGetValueName2(f, &length);
  }
  return "(the module)";
}

status target_verify(struct target *target, LLVMModuleRef module, struct diags *diags) {
  struct llvm_call call = {.what = CALL_VERIFY, .module = module};
  bool ok;
  status s = guarded(target, diags, &call, &ok);
  if (s == STATUS_OK && !ok) {
    first_line(call.message);
    s = diag_report(diags, DIAG_E0401, NULL, NULL, "kernel '%s' is broken: %s",
                    broken_function(module), call.message);
  }
  LLVMDisposeMessage(call.message);
  return s;
}

static status finish(struct target *target, struct diags *diags, struct llvm_call *call, bool ok) {
  status s = STATUS_OK;
  if (!ok)
    s = diag_report(diags, DIAG_E0402, NULL, NULL, "LLVM: %s",
                    call->message ? call->message : "no reason given");
  else if (target->complained)
    s = STATUS_INTERNAL;
  LLVMDisposeMessage(call->message);
  return s;
}

status target_optimize(struct target *target, LLVMModuleRef module, struct diags *diags) {
  struct llvm_call call = {.what = CALL_OPTIMIZE, .module = module};
  bool ok;
  status s = guarded(target, diags, &call, &ok);
  return s == STATUS_OK ? finish(target, diags, &call, ok) : s;
}

status target_emit(struct target *target, LLVMModuleRef module, LLVMCodeGenFileType type,
                   struct diags *diags, LLVMMemoryBufferRef *out_buffer) {
  struct llvm_call call = {.what = CALL_EMIT, .module = module, .file_type = type};
  bool ok;
  *out_buffer = NULL;
  status s = guarded(target, diags, &call, &ok);
  if (s != STATUS_OK)
    return s;
  s = finish(target, diags, &call, ok);
  if (s == STATUS_OK)
    *out_buffer = call.buffer;
  else if (call.buffer)
    LLVMDisposeMemoryBuffer(call.buffer);
  return s;
}
