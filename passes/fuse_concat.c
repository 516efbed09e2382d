/* SPDX-License-Identifier: Apache-2.0 */
/* fuse, before its steps: a concat of very many operands becomes a tree of concats. The code of one
 * kernel would grow with the operands faster than they do, and an engine's kernels take only so
 * many buffers; a tree costs one more copy per level. */
#include "base/mem.h"
#include "passes/fuse_region.h"
#include "passes/rewrite.h"

#define WIDEST 128

static enum rewrite split_concat(struct rewriter *w, op_id id) {
  const struct op *op = function_op(w->f, id);
  if (op->kind != OP_CONCAT || op->n_operands <= WIDEST)
    return NO_MATCH;
  uint32_t n = op->n_operands, axis = (uint32_t)OP_ATTRS(concat, op)->axis;
  value_id *parts = mem_alloc(n * sizeof *parts);
  for (uint32_t i = 0; i < n; i++)
    parts[i] = op->operands[i];
  while (n > WIDEST) {
    uint32_t groups = 0;
    for (uint32_t i = 0; i < n; i += WIDEST) {
      uint32_t size = n - i < WIDEST ? n - i : WIDEST;
      parts[groups++] = size == 1 ? parts[i] : build_concat(&w->b, parts + i, size, axis);
    }
    n = groups;
  }
  value_id whole = build_concat(&w->b, parts, n, axis);
  mem_free(parts);
  return rewrite_with(w, id, whole);
}

status fuse_split_concats(struct function *f, struct diags *diags) {
  const struct rewrite_options options = {.rule = split_concat};
  status st = STATUS_OK;
  rewrite_function(f, diags, &options, &st);
  return st;
}
