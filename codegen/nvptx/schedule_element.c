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

#define ELEMENT(name, root)                                                                        \
  const struct schedule schedule_##name##_element = {#name "_element", root, plan, emit};
ELEMENT(pointwise, ROOT_KIND_POINTWISE)
ELEMENT(reduce, ROOT_KIND_REDUCE)
ELEMENT(contract, ROOT_KIND_CONTRACT)
ELEMENT(conv, ROOT_KIND_CONV)
ELEMENT(window, ROOT_KIND_WINDOW)
ELEMENT(attention, ROOT_KIND_ATTENTION)
