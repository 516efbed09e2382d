/* SPDX-License-Identifier: Apache-2.0 */
/* The content key of a fused region: two regions with the same key compile to the same code, so
 * that the equal layers of a model share one kernel. Values are numbered in order of appearance;
 * dims enter as ids, which are canonical within a module. */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "codegen/emit_view.h"
#include "codegen/kernel.h"

struct key {
  uint64_t a, b;
  uint32_t *number; /* by value id; 0: not seen */
  uint32_t next;
};

static void add(struct key *k, uint64_t x) {
  k->a = hash_combine(k->a, x);
  k->b = hash_combine(k->b, x ^ 0x9e3779b97f4a7c15u);
}

static void add_value(struct key *k, const struct function *f, value_id v) {
  if (!k->number[v])
    k->number[v] = ++k->next;
  add(k, k->number[v]);
  const struct type *type = value_type(f, v);
  add(k, (uint64_t)type->dtype << 32 | type->rank);
  for (uint32_t i = 0; i < type->rank; i++)
    add(k, type->dims[i]);
}

/* A literal inside the region enters by its bytes, not by the constant that holds it. */
static void add_constant(struct key *k, const struct function *f, const struct op *op) {
  const struct constant *c = &f->module->constants.data[OP_ATTRS(const, op)->value];
  add(k, hash_bytes(c->data, c->bytes, 0));
  add(k, c->bytes);
}

void kernel_key(const struct function *f, const struct op *fused, uint64_t out_key[2]) {
  struct key k = {.a = 1, .b = 2};
  k.number = mem_calloc(f->values.len, sizeof *k.number);
  const struct region *r = &f->regions.data[fused->regions[0]];
  add(&k, OP_ATTRS(fused, fused)->root);
  for (uint32_t i = 0; i < fused->n_operands; i++) {
    add_value(&k, f, r->params.data[i]);
    add(&k, operand_may_pack(f, fused->operands[i]));
    add(&k, emit_is_packed(f, fused->operands[i]));
  }
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    add(&k, op->kind);
    if (op->kind == OP_CONST) {
      add_constant(&k, f, op);
    } else {
      add(&k, attrs_hash(op->kind, op->attrs));
    }
    for (uint32_t j = 0; j < op->n_operands; j++)
      add_value(&k, f, op->operands[j]);
    for (uint32_t j = 0; j < op->n_results; j++)
      add_value(&k, f, op->results[j]);
  }
  for (uint32_t i = 0; i < r->results.len; i++)
    add_value(&k, f, r->results.data[i]);
  mem_free(k.number);
  out_key[0] = k.a;
  out_key[1] = k.b;
}
