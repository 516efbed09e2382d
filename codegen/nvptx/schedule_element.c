/* SPDX-License-Identifier: Apache-2.0 */
/* A thread per result element: point-wise code, and, with the root emitted as loops at each point,
 * the slow schedule of every root that has one result space. */
#include "codegen/schedule.h"

static const struct type *space(const struct kernel *k) {
  return value_type(k->function, kernel_result(k, 0));
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  kernel_grid(k, space(k)->dims, space(k)->rank);
  return true;
}

static void emit(struct emit *e, LLVMValueRef tile) {
  const struct type *type = space(e->kernel);
  struct point p = {.rank = type->rank, .width = 1};
  emit_delinearize(e, tile, type->dims, type->rank, p.c);
  kernel_store_results(e, &p);
}

/* ---- attention that gives its lse: the first element of a row gives it, and stands for the row
 * where it has no elements ---- */

static const struct type *rows_of(const struct kernel *k) {
  return value_type(k->function, kernel_root_op(k, OP_ATTENTION)->results[0]);
}

static bool plan_lse(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct dim_table *t = k->function->module->dims;
  if (!kernel_lse(k))
    return false;
  uint32_t last = rows_of(k)->rank - 1;
  dim width = dim_max(t, rows_of(k)->dims[last], dim_const(t, 1));
  if (width == DIM_NONE)
    return false;
  kernel_grid(k, rows_of(k)->dims, last);
  kernel_grid(k, &width, 1);
  vec_push(&k->kept, width);
  return true;
}

static void emit_lse(struct emit *e, LLVMValueRef tile) {
  const struct type *type = rows_of(e->kernel);
  uint32_t last = type->rank - 1;
  struct type padded = *type;
  struct point p = {.rank = type->rank, .width = 1}, row;
  struct emit_if s;
  padded.dims[last] = e->kernel->kept.data[0];
  emit_delinearize(e, tile, padded.dims, type->rank, p.c);
  row = p;
  row.rank = last;
  emit_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntEQ, p.c[last].base, emit_i64(e, 0), ""));
  kernel_store_lse(e, &row);
  emit_if_else(e, &s, NULL);
  emit_if_end(e, &s, NULL);
  LLVMValueRef n = emit_dim(e, type->dims[last]);
  emit_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntSLT, p.c[last].base, n, ""));
  kernel_store_results(e, &p);
  emit_if_else(e, &s, NULL);
  emit_if_end(e, &s, NULL);
}

const struct schedule schedule_attention_lse_element = {"attention_lse_element",
                                                        ROOT_KIND_ATTENTION, plan_lse, emit_lse};

#define ELEMENT(name, root)                                                                        \
  const struct schedule schedule_##name##_element = {#name "_element", root, plan, emit};
ELEMENT(pointwise, ROOT_KIND_POINTWISE)
ELEMENT(reduce, ROOT_KIND_REDUCE)
ELEMENT(contract, ROOT_KIND_CONTRACT)
ELEMENT(conv, ROOT_KIND_CONV)
ELEMENT(window, ROOT_KIND_WINDOW)
ELEMENT(attention, ROOT_KIND_ATTENTION)
