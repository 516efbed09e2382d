/* SPDX-License-Identifier: Apache-2.0 */
/* cse: ops that compute the same from the same become one.
 *
 *     %1 = map %x { exp($0) }
 *     %2 = map %x { exp($0) }      =>     %1 = map %x { exp($0) }
 *     %3 = map %1, %2 { ... }             %3 = map %1, %1 { ... }
 *
 * An op may stand for one in its own region or in a region inside. Checks of the same relation are
 * one too. Random numbers and ops with regions are left alone.
 *
 * Requires: nothing. Preserves: values bit by bit. */
#include "base/hash.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

#include <string.h>

struct cse {
  struct map found; /* hash -> the last op with it */
};

static uint64_t hash_op(const struct op *op) {
  uint64_t h = attrs_hash(op->kind, op->attrs);
  return hash_bytes(op->operands, op->n_operands * sizeof *op->operands, hash_combine(h, op->kind));
}

static bool same_op(const struct function *f, const struct op *a, const struct op *b) {
  if (a->kind != b->kind || a->n_operands != b->n_operands || a->n_results != b->n_results ||
      memcmp(a->operands, b->operands, a->n_operands * sizeof *a->operands) ||
      !attrs_equal(a->kind, a->attrs, b->attrs))
    return false;
  for (uint32_t i = 0; i < a->n_results; i++) {
    if (!type_equal(value_type(f, a->results[i]), value_type(f, b->results[i])))
      return false;
  }
  return true;
}

/* Whether what region `outer` defines may be read in region `inner`. */
static bool visible(const struct function *f, region_id outer, region_id inner) {
  while (inner != outer && f->regions.data[inner].parent != OP_ID_NONE)
    inner = function_op(f, f->regions.data[inner].parent)->parent;
  return inner == outer;
}

static enum rewrite merge(struct rewriter *w, op_id id) {
  struct cse *s = w->user;
  const struct op *op = function_op(w->f, id);
  uint64_t h, first;
  if (op->n_regions || op->kind == OP_RANDOM || op->kind == OP_SYMBOL)
    return NO_MATCH;
  h = hash_op(op);
  if (!map_get(&s->found, h, &first) ||
      !visible(w->f, function_op(w->f, (op_id)first)->parent, op->parent) ||
      !same_op(w->f, function_op(w->f, (op_id)first), op)) {
    map_put(&s->found, h, id);
    return NO_MATCH;
  }
  for (uint32_t i = 0; i < op->n_results; i++)
    rewrite_result(w, id, i, op_result(w->f, (op_id)first, i));
  return REPLACED;
}

status pass_cse(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < ctx->module->functions.len && st == STATUS_OK; i++) {
    struct cse s = {0};
    rewrite_function(ctx->module->functions.data[i], ctx->diags,
                     &(struct rewrite_options){.rule = merge, .user = &s}, &st);
    map_deinit(&s.found);
  }
  return st;
}
