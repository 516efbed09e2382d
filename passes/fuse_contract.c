/* SPDX-License-Identifier: Apache-2.0 */
/* fuse, before its steps: a contraction of a transpose names the dims where they are.
 *
 *     %1 = transpose %w { perm = [1, 0] }
 *     %2 = contract %x, %1 { rhs_k = [0] }      =>      %2 = contract %x, %w { rhs_k = [1] }
 *
 * Kernels then see weights as they are stored, and the compiler may pack them. Only where the dims
 * that are neither contracted nor of the batch keep their order, which is that of the result. */
#include "passes/fuse_region.h"
#include "passes/pattern.h"
#include "passes/rewrite.h"

static bool listed(const struct ints *list, int64_t axis) {
  for (uint32_t i = 0; i < list->len; i++) {
    if (list->data[i] == axis)
      return true;
  }
  return false;
}

/* The dims of the list where they were before the transpose. */
static struct ints through(const struct ints *list, struct ints perm, int64_t *room) {
  for (uint32_t i = 0; i < list->len; i++)
    room[i] = perm.data[list->data[i]];
  return (struct ints){room, list->len};
}

/* Whether the operand's own dims come in ascending order without the transpose, too. */
static bool keeps_order(const struct ints *batch, const struct ints *k, struct ints perm) {
  int64_t last = -1;
  for (uint32_t i = 0; i < perm.len; i++) {
    if (listed(batch, i) || listed(k, i))
      continue;
    if (perm.data[i] < last)
      return false;
    last = perm.data[i];
  }
  return true;
}

static enum rewrite look_through(struct rewriter *w, op_id id) {
  const struct op op = *function_op(w->f, id);
  int64_t room[4][IR_MAX_RANK];
  if (op.kind != OP_CONTRACT)
    return NO_MATCH;
  struct contract_attrs a = *OP_ATTRS(contract, &op);
  value_id x[2] = {op.operands[0], op.operands[1]};
  bool changed = false;
  for (uint32_t i = 0; i < 2; i++) {
    const struct op *turn = def_of_kind(w->f, x[i], OP_TRANSPOSE);
    struct ints *batch = i ? &a.rhs_batch : &a.lhs_batch, *k = i ? &a.rhs_k : &a.lhs_k;
    if (!turn || !keeps_order(batch, k, OP_ATTRS(transpose, turn)->perm))
      continue;
    *batch = through(batch, OP_ATTRS(transpose, turn)->perm, room[2 * i]);
    *k = through(k, OP_ATTRS(transpose, turn)->perm, room[2 * i + 1]);
    x[i] = turn->operands[0];
    changed = true;
  }
  return changed ? rewrite_with(w, id, build_contract(&w->b, x[0], x[1], &a)) : NO_MATCH;
}

status fuse_turned_operands(struct function *f, struct diags *diags) {
  const struct rewrite_options options = {.rule = look_through};
  status st = STATUS_OK;
  rewrite_function(f, diags, &options, &st);
  return st;
}
