/* SPDX-License-Identifier: Apache-2.0 */
/* Changing functions: uses, replacement, erasure. */
#include "ir/change.h"

#include <string.h>

/* ---- uses ---- */

void function_visit_uses(const struct function *f, use_fn fn, void *user) {
  for (uint32_t i = 1; i < f->ops.len; i++) {
    const struct op *op = &f->ops.data[i];
    for (uint32_t k = 0; op->kind != OP_NONE && k < op->n_operands; k++)
      fn(user, op->operands[k], i);
  }
  for (uint32_t i = 0; i < f->regions.len; i++) {
    const struct region *r = &f->regions.data[i];
    /* A region whose op was erased is dead with it; its results were cleared. */
    for (uint32_t k = 0; k < r->results.len; k++)
      fn(user, r->results.data[k], r->parent);
  }
}

static void count_use(void *user, value_id v, op_id by) {
  struct uses *u = user;
  (void)by;
  u->start[v + 1]++;
}

static void enter_use(void *user, value_id v, op_id by) {
  struct uses *u = user;
  u->ops[--u->start[v + 1]] = by;
}

void uses_build(const struct function *f, struct arena *scratch, struct uses *out_uses) {
  uint32_t n = f->values.len;
  struct uses u = {.start = ARENA_ARRAY(scratch, uint32_t, (size_t)n + 2)};
  function_visit_uses(f, count_use, &u);
  for (uint32_t v = 0; v < n; v++)
    u.start[v + 1] += u.start[v];
  u.ops = ARENA_ARRAY(scratch, op_id, u.start[n]);
  /* Entering counts start[v + 1] down from the end of v's users to their beginning, which is where
   * start[v] belongs; so the array is shifted by one afterwards. */
  uint32_t total = u.start[n];
  function_visit_uses(f, enter_use, &u);
  memmove(u.start, u.start + 1, n * sizeof *u.start);
  u.start[n] = total;
  for (uint32_t v = 0; v < n; v++) {
    /* Users were entered from the back; the front one comes first. */
    for (uint32_t lo = u.start[v], hi = u.start[v + 1]; lo + 1 < hi; lo++, hi--) {
      op_id t = u.ops[lo];
      u.ops[lo] = u.ops[hi - 1];
      u.ops[hi - 1] = t;
    }
  }
  *out_uses = u;
}

/* ---- replacement and erasure ---- */

void function_replace_value(struct function *f, value_id old, value_id with) {
  for (uint32_t i = 1; i < f->ops.len; i++) {
    struct op *op = &f->ops.data[i];
    /* Operand lists are the function's own copies; only readers see them as constant. */
    for (uint32_t k = 0; k < op->n_operands; k++) {
      if (op->operands[k] == old)
        ((value_id *)op->operands)[k] = with;
    }
  }
  for (uint32_t i = 0; i < f->regions.len; i++) {
    struct region *r = &f->regions.data[i];
    for (uint32_t k = 0; k < r->results.len; k++) {
      if (r->results.data[k] == old)
        r->results.data[k] = with;
    }
  }
}

void op_set_operands(struct function *f, op_id op, const value_id *operands, uint32_t n) {
  f->ops.data[op].operands = arena_memdup(&f->module->arena, operands, n * sizeof *operands);
  f->ops.data[op].n_operands = n;
}

void op_bury(struct function *f, op_id id) {
  struct op op = f->ops.data[id];
  for (uint32_t i = 0; i < op.n_regions; i++) {
    struct region *r = &f->regions.data[op.regions[i]];
    for (uint32_t k = 0; k < r->ops.len; k++)
      op_bury(f, r->ops.data[k]);
    vec_clear(&r->ops);
    vec_clear(&r->results);
  }
  f->ops.data[id] = (struct op){.kind = OP_NONE, .parent = op.parent};
}

void function_erase_op(struct function *f, op_id op) {
  struct region *r = &f->regions.data[f->ops.data[op].parent];
  for (uint32_t i = 0; i < r->ops.len; i++) {
    if (r->ops.data[i] != op)
      continue;
    memmove(r->ops.data + i, r->ops.data + i + 1, (r->ops.len - i - 1) * sizeof *r->ops.data);
    r->ops.len--;
    break;
  }
  op_bury(f, op);
}
