/* SPDX-License-Identifier: Apache-2.0 */
/* From fused regions to kernels: which are the same, which schedule each gets, and the function
 * around a schedule's tiles. */
#include "codegen/kernel.h"

#include "codegen/kernel_check.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "codegen/nvptx/entry.h"
#include "codegen/schedule.h"

enum { FOR_cpu = 1 << TARGET_CPU, FOR_nvptx = 1 << TARGET_NVPTX, FOR_any = FOR_cpu | FOR_nvptx };

static const struct {
  const struct schedule *schedule;
  int targets;
} schedules[] = {
#define KERNEL(target, root, name) {&schedule_##name, FOR_##target},
#include "codegen/kernels.def"
#undef KERNEL
};

/* ---- helpers of schedules ---- */

const struct op *kernel_op(const struct kernel *k) { return function_op(k->function, k->op); }

const struct op *kernel_root_op(const struct kernel *k, enum op_kind kind) {
  const struct region *r = &k->function->regions.data[kernel_op(k)->regions[0]];
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(k->function, r->ops.data[i]);
    if (op->kind == kind)
      return op;
  }
  return NULL;
}

bool operand_may_pack(const struct function *f, value_id v) {
  const struct op *def = value_def(f, v);
  int64_t dims[IR_MAX_RANK];
  if (!def || (def->kind != OP_CONST && def->kind != OP_PART))
    return false;
  constant_id id = def->kind == OP_CONST ? OP_ATTRS(const, def)->value : OP_ATTRS(part, def)->value;
  return !f->module->constants.data[id].reference &&
         type_static_dims(f->module->dims, value_type(f, v), dims);
}

bool kernel_may_pack(const struct kernel *k, uint32_t operand) {
  const struct function *f = k->function;
  return operand_may_pack(f, kernel_op(k)->operands[operand]);
}

void kernel_pack_outputs(struct kernel *k, uint32_t operand, const struct type *w, uint32_t columns,
                         uint32_t pairs) {
  struct kernel_pack pack = {.operand = operand,
                             .pack = {.panels = true, .columns = columns, .pairs = pairs}};
  for (uint32_t i = 1; i < w->rank; i++)
    pack.pack.k_axes |= 1u << i;
  vec_push(&k->packs, pack);
}

value_id kernel_result(const struct kernel *k, uint32_t i) {
  return k->function->regions.data[kernel_op(k)->regions[0]].results.data[i];
}

uint32_t kernel_result_buffer(const struct kernel *k, uint32_t i) {
  return kernel_op(k)->n_operands + i;
}

void kernel_lines(const struct kernel *k, const struct op *op, int64_t axis, dim *out) {
  const struct type *type = value_type(k->function, op->operands[0]);
  memcpy(out, type->dims, type->rank * sizeof *out);
  out[axis] = dim_const(k->function->module->dims, 1);
}

value_id kernel_lse(const struct kernel *k) {
  const struct op *root = kernel_root_op(k, OP_ATTENTION);
  if (!root || !OP_ATTRS(attention, root)->lse)
    return VALUE_NONE;
  for (uint32_t i = 0; i < kernel_op(k)->n_results; i++)
    if (kernel_result(k, i) == root->results[1])
      return root->results[1];
  return VALUE_NONE;
}

/* Those results that are, or are not, an lse. */
static void store_results(struct emit *e, const struct point *p, bool lse) {
  value_id other = kernel_lse(e->kernel);
  for (uint32_t i = 0; i < e->fused->n_results; i++) {
    value_id v = kernel_result(e->kernel, i);
    if ((other && v == other) == lse)
      emit_store(e, kernel_result_buffer(e->kernel, i), value_type(e->f, v), p,
                 emit_value(e, v, p));
  }
}

void kernel_store_results(struct emit *e, const struct point *p) { store_results(e, p, false); }

void kernel_store_lse(struct emit *e, const struct point *p) { store_results(e, p, true); }

void kernel_grid(struct kernel *k, const dim *dims, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    vec_push(&k->grid, dims[i]);
}

void kernel_scratch(struct kernel *k, const dim *dims, uint32_t n, int64_t bytes) {
  for (uint32_t i = 0; i < n; i++)
    vec_push(&k->scratch, dims[i]);
  vec_push(&k->scratch, dim_const(k->function->module->dims, bytes));
}

/* ---- the set ---- */

static uint32_t function_index(const struct module *m, const struct function *f) {
  for (uint32_t i = 0; i < m->functions.len; i++) {
    if (m->functions.data[i] == f)
      return i;
  }
  return 0;
}

struct kernel *kernel_of(const struct kernel_set *set, const struct function *f, op_id op) {
  uint32_t n = set->of_op[function_index(set->module, f)][op];
  return n ? &set->kernels.data[n - 1] : NULL;
}

static status choose_schedule(struct kernel *k, const struct target_isa *isa, struct diags *diags) {
  enum root_kind root = OP_ATTRS(fused, kernel_op(k))->root;
  for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++) {
    const struct schedule *schedule = schedules[i].schedule;
    if (!(schedules[i].targets >> isa->kind & 1) || schedule->root != root ||
        !schedule->plan(k, isa))
      continue;
    k->schedule = schedule;
    return STATUS_OK;
  }
  return diag_report(diags, DIAG_E0410, NULL, NULL, "no schedule for a region of class '%s'",
                     keyword_text(KEYWORD_KIND_root_kind, (int)root));
}

static status add_kernel(struct kernel_set *set, struct map *by_key, struct function *f, op_id id,
                         const struct target_isa *isa, struct diags *diags, uint32_t *out_number) {
  struct kernel k = {.function = f, .op = id};
  kernel_key(f, function_op(f, id), k.key);
  uint64_t found;
  if (map_get(by_key, k.key[0], &found) && set->kernels.data[found].key[1] == k.key[1]) {
    *out_number = (uint32_t)found + 1;
    return STATUS_OK;
  }
  status st = choose_schedule(&k, isa, diags);
  if (st != STATUS_OK)
    return st;
  reshape_table_fill(&k.reshapes, f, function_op(f, id)->regions[0]);
  snprintf(k.symbol, sizeof k.symbol, "k%u_%s", set->kernels.len, k.schedule->name);
  map_put(by_key, k.key[0], set->kernels.len);
  vec_push(&set->kernels, k);
  *out_number = set->kernels.len;
  return STATUS_OK;
}

/* Which is reported as such. */
static bool across_ranks(const struct function *f) {
  bool found = false;
  for (op_id id = 1; id < f->ops.len; id++) {
    uint32_t flags = op_infos[function_op(f, id)->kind].flags;
    found |= (flags & OP_FLAG_RANKS) && !(flags & OP_FLAG_MESH);
  }
  return found;
}

status kernel_set_init(struct kernel_set *set, struct module *m, const struct target_isa *isa,
                       struct diags *diags) {
  *set = (struct kernel_set){.module = m};
  set->of_op = mem_calloc(m->functions.len, sizeof *set->of_op);
  struct map by_key;
  map_init(&by_key);
  status st = STATUS_OK;
  for (uint32_t i = 0; i < m->functions.len; i++) {
    struct function *f = m->functions.data[i];
    if (st == STATUS_OK && !across_ranks(f))
      st = kernel_check(f, diags);
    set->of_op[i] = mem_calloc(f->ops.len, sizeof **set->of_op);
    for (op_id id = 1; id < f->ops.len && st == STATUS_OK; id++) {
      const struct op_info *info = &op_infos[function_op(f, id)->kind];
      if ((info->flags & OP_FLAG_RANKS) && !(info->flags & OP_FLAG_MESH))
        st = diag_report(diags, DIAG_E0412, NULL,
                         "the pass 'partition' makes the program of each rank",
                         "'%s' is of all ranks", info->name);
      if (function_op(f, id)->kind != OP_FUSED)
        continue;
      st = add_kernel(set, &by_key, f, id, isa, diags, &set->of_op[i][id]);
    }
  }
  map_deinit(&by_key);
  return st;
}

void kernel_set_deinit(struct kernel_set *set) {
  for (uint32_t i = 0; i < set->kernels.len; i++) {
    vec_deinit(&set->kernels.data[i].dims);
    vec_deinit(&set->kernels.data[i].grid);
    vec_deinit(&set->kernels.data[i].scratch);
    vec_deinit(&set->kernels.data[i].kept);
    vec_deinit(&set->kernels.data[i].packs);
    reshape_table_deinit(&set->kernels.data[i].reshapes);
  }
  vec_deinit(&set->kernels);
  for (uint32_t i = 0; set->of_op && i < set->module->functions.len; i++)
    mem_free(set->of_op[i]);
  mem_free(set->of_op);
}

/* ---- one function ---- */

static LLVMValueRef load_slot(struct emit *e, struct target *target, uint32_t slot) {
  LLVMValueRef index = emit_i64(e, slot);
  LLVMValueRef at = LLVMBuildInBoundsGEP2(e->entry_builder, e->i64, e->args, &index, 1, "");
  LLVMValueRef x = LLVMBuildLoad2(e->entry_builder, e->i64, at, "");
  return target_pointer(target, e->entry_builder, x);
}

static void emit_init(struct emit *e, struct kernel *k, struct target *target, LLVMModuleRef module,
                      struct vmath *math) {
  LLVMContextRef c = target_context(target);
  *e = (struct emit){.context = c,
                     .module = module,
                     .math = math,
                     .f = k->function,
                     .fused = kernel_op(k),
                     .kernel = k,
                     .vector_bytes = target_isa(target)->vector_bytes};
  e->i1 = LLVMInt1TypeInContext(c);
  e->i8 = LLVMInt8TypeInContext(c);
  e->i16 = LLVMInt16TypeInContext(c);
  e->i32 = LLVMInt32TypeInContext(c);
  e->i64 = LLVMInt64TypeInContext(c);
  e->f32 = LLVMFloatTypeInContext(c);
  e->f64 = LLVMDoubleTypeInContext(c);
  e->ptr = LLVMPointerTypeInContext(c, 0);
  LLVMTypeRef params[4] = {e->ptr, e->i32, e->i32, e->ptr};
  LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(c), params, 4, false);
  e->fn = target_isa(target)->kind == TARGET_CPU
              ? target_function_create(target, module, k->symbol, type)
              : target_helper_create(target, module, "tiles", type);
  e->entry = LLVMAppendBasicBlockInContext(c, e->fn, "entry");
  e->entry_builder = LLVMCreateBuilderInContext(c);
  e->b = LLVMCreateBuilderInContext(c);
  LLVMPositionBuilderAtEnd(e->entry_builder, e->entry);
  e->args = LLVMGetParam(e->fn, 0);
  e->first = LLVMBuildZExt(e->entry_builder, LLVMGetParam(e->fn, 1), e->i64, "");
  e->last = LLVMBuildZExt(e->entry_builder, LLVMGetParam(e->fn, 2), e->i64, "");
  e->scratch = LLVMGetParam(e->fn, 3);
  e->lane = k->block_threads ? nvptx_lane(target, module, e->entry_builder) : NULL;
  uint32_t n = e->fused->n_operands + e->fused->n_results;
  e->buffers = mem_calloc(n ? n : 1, sizeof *e->buffers);
  for (uint32_t i = 0; i < n; i++)
    e->buffers[i] = load_slot(e, target, 1 + i);
}

static void emit_deinit(struct emit *e) {
  LLVMDisposeBuilder(e->b);
  LLVMDisposeBuilder(e->entry_builder);
  vec_deinit(&e->memo);
  vec_deinit(&e->bound);
  vec_deinit(&e->dim_values);
  mem_free(e->buffers);
}

static status build_kernel(void *user, uint32_t index, struct target *target, LLVMModuleRef module,
                           struct diags *diags) {
  (void)diags;
  struct kernel_set *set = user;
  struct kernel *k = &set->kernels.data[index];
  struct vmath math;
  struct emit e;
  vmath_init(&math, target, module);
  emit_init(&e, k, target, module, &math);
  LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(e.context, e.fn, "");
  LLVMPositionBuilderAtEnd(e.b, start);
  struct emit_loop l;
  emit_loop_begin(&e, &l, e.first, e.last, 1, 0, NULL);
  k->schedule->emit(&e, l.index);
  emit_loop_end(&e, &l, NULL);
  LLVMBuildRetVoid(e.b);
  LLVMBuildBr(e.entry_builder, start);
  if (target_isa(target)->kind == TARGET_NVPTX)
    nvptx_entry_create(target, module, k->symbol, e.fn,
                       1 + e.fused->n_operands + e.fused->n_results + k->dims.len,
                       k->block_threads);
  emit_deinit(&e);
  return STATUS_OK;
}

static const char *kernel_symbol(void *user, uint32_t index) {
  struct kernel_set *set = user;
  return set->kernels.data[index].symbol;
}

/* The node of the first region that became this kernel. */
static struct diag_where kernel_where(void *user, uint32_t index) {
  struct kernel_set *set = user;
  return module_where(set->module, kernel_op(&set->kernels.data[index])->provenance);
}

status kernel_set_assemble(struct kernel_set *set, const struct target_isa *isa,
                           const struct ptxas *ptxas, uint32_t threads, enum assemble_emit emit,
                           struct arena *arena, struct diags *diags,
                           struct assemble_result *out_result) {
  struct assemble_options options = {.isa = isa,
                                     .build = build_kernel,
                                     .name = kernel_symbol,
                                     .where = kernel_where,
                                     .ptxas = ptxas,
                                     .user = set,
                                     .kernel_count = set->kernels.len,
                                     .threads = threads,
                                     .emit = emit};
  dim_table_freeze(set->module->dims, true);
  status s = assemble(&options, arena, diags, out_result);
  dim_table_freeze(set->module->dims, false);
  return s;
}
