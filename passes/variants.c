/* SPDX-License-Identifier: Apache-2.0 */
/* variants: an `if` that the inputs' shapes decide becomes two variants of the entry.
 *
 *     entry @main { @main; }                       entry @main { @main.1 where batch eq 1; @main; }
 *     func @main {                                 func @main.1 {        func @main {
 *       %c = batch == 1                     =>       %c = true             %c = false
 *       %r = if %c ...                               %r = if %c ...        %r = if %c ...
 *
 * The conditions that count are made of comparisons of dims, `and`, `or`, `not`: those whose one
 * side is a conjunction of guards. The variant with the guards takes that side and knows what they
 * say (an equated symbol is its value); what is left for the other function has the other side. A
 * decided `if` is only given its literal condition here: unroll takes the branch. At most 4 such
 * conditions per entry, and none in functions of more than 20,000 ops, which would be compiled that
 * often.
 *
 * Afterwards an entry's functions give the right results for the inputs that reach them only.
 *
 * Requires: simplify before (dims as such). Preserves: values bit by bit, of entries as a whole. */
#include <string.h>

#include "ir/symbols.h"
#include "passes/affine.h"
#include "passes/entry_variant.h"
#include "passes/pass.h"
#include "passes/pattern.h"

#define MAX_SPLITS 4
#define MAX_GUARDS 4
#define MAX_OPS 20000

/* Holds, or (negated) does not hold, exactly where all guards do. */
struct condition {
  bool known, negated;
  uint32_t n;
  struct guard guards[MAX_GUARDS];
};

static const struct condition unknown;

/* ---- conditions of values ---- */

static bool inst_dim(struct affines *a, const struct op *map, uint32_t inst, dim *out) {
  if (OP_ATTRS(map, map)->body->insts[inst].dtype != DTYPE_I64)
    return false;
  struct affine x = affine_of_inst(a, map, inst);
  uint32_t rank = value_type(a->f, map->results[0])->rank;
  for (uint32_t i = 0; i < rank && x.known; i++)
    x.known = dim_is_const_value(a->dims, x.stride[i], 0);
  *out = x.base;
  return x.known && x.base != DIM_NONE;
}

static struct condition comparison(dim lhs, enum relation relation, dim rhs, bool negated) {
  return (struct condition){
      .known = true, .negated = negated, .n = 1, .guards = {{lhs, relation, rhs}}};
}

/* not (a < b) is b <= a: a single inequality need not be negated. */
static struct condition plain(struct condition c) {
  struct guard *g = &c.guards[0];
  if (!c.known || !c.negated || c.n != 1 || g->relation == RELATION_EQ)
    return c;
  enum relation other = g->relation == RELATION_LT ? RELATION_LE : RELATION_LT;
  return comparison(g->rhs, other, g->lhs, false);
}

static struct condition negate(struct condition c) {
  c.negated = !c.negated;
  return plain(c);
}

static struct condition both(struct condition a, struct condition b) {
  if (!a.known || !b.known || a.negated || b.negated || a.n + b.n > MAX_GUARDS)
    return unknown;
  memcpy(a.guards + a.n, b.guards, b.n * sizeof *b.guards);
  a.n += b.n;
  return a;
}

static struct condition of_value(struct affines *a, value_id v);

static struct condition of_comparison(struct affines *a, const struct op *map,
                                      const struct scalar_inst *inst) {
  dim x, y;
  if (!inst_dim(a, map, inst->args[0], &x) || !inst_dim(a, map, inst->args[1], &y))
    return unknown;
  switch (inst->op) {
  case SCALAR_EQ: return comparison(x, RELATION_EQ, y, false);
  case SCALAR_NE: return comparison(x, RELATION_EQ, y, true);
  case SCALAR_LT: return comparison(x, RELATION_LT, y, false);
  case SCALAR_LE: return comparison(x, RELATION_LE, y, false);
  case SCALAR_GT: return comparison(y, RELATION_LT, x, false);
  case SCALAR_GE: return comparison(y, RELATION_LE, x, false);
  default: return unknown;
  }
}

static struct condition of_inst(struct affines *a, const struct op *map, uint32_t at) {
  const struct scalar_inst *inst = &OP_ATTRS(map, map)->body->insts[at];
  if (inst->dtype != DTYPE_BOOL)
    return unknown;
  switch (inst->op) {
  case SCALAR_ARG: return of_value(a, map->operands[inst->args[0]]);
  case SCALAR_NOT: return negate(of_inst(a, map, inst->args[0]));
  case SCALAR_AND: return both(of_inst(a, map, inst->args[0]), of_inst(a, map, inst->args[1]));
  case SCALAR_OR:
    return negate(
        both(negate(of_inst(a, map, inst->args[0])), negate(of_inst(a, map, inst->args[1]))));
  default: return of_comparison(a, map, inst);
  }
}

static struct condition of_value(struct affines *a, value_id v) {
  const struct op *op = value_def(a->f, v);
  while (op && op->kind == OP_RESHAPE)
    op = value_def(a->f, op->operands[0]);
  return op && op->kind == OP_MAP ? of_inst(a, op, OP_ATTRS(map, op)->body->len - 1) : unknown;
}

/* ---- what is decided ---- */

static bool same_guards(const struct condition *a, const struct condition *b) {
  bool same = a->n == b->n;
  for (uint32_t i = 0; i < a->n && same; i++) {
    const struct guard *x = &a->guards[i], *y = &b->guards[i];
    same = x->lhs == y->lhs && x->relation == y->relation && x->rhs == y->rhs;
  }
  return same;
}

/* Whether a guard can be shown not to hold. */
static bool never(struct dim_table *t, const struct guard *g) {
  switch (g->relation) {
  case RELATION_EQ: return dim_known_ne(t, g->lhs, g->rhs);
  case RELATION_LE: return dim_known_lt(t, g->rhs, g->lhs);
  case RELATION_LT: return dim_known_le(t, g->rhs, g->lhs);
  default: return false;
  }
}

/* What is known where `given` holds, or (`holds` false) does not: 1, 0, or -1. */
static int decided(struct dim_table *t, const struct condition *c, const struct condition *given,
                   bool holds) {
  bool all = true, none = false;
  for (uint32_t i = 0; i < c->n; i++) {
    all &= relation_known(t, c->guards[i].lhs, c->guards[i].relation, c->guards[i].rhs);
    none |= never(t, &c->guards[i]);
  }
  if (same_guards(c, given)) {
    all = holds;
    none = !holds;
  }
  return all ? !c->negated : none ? c->negated : -1;
}

/* Literals stand before everything else. */
static value_id literal(struct function *f, struct diags *diags, bool x) {
  struct builder b;
  builder_init(&b, f, 0, diags);
  value_id v = build_scalar_i64(&b, DTYPE_BOOL, x);
  struct region *body = function_region(f, 0);
  op_id id = vec_last(&body->ops);
  memmove(body->ops.data + 1, body->ops.data, (body->ops.len - 1) * sizeof *body->ops.data);
  body->ops.data[0] = id;
  return v;
}

/* Gives every `if` that is decided now its literal. */
static void decide(struct function *f, struct diags *diags, const struct condition *given,
                   bool holds) {
  struct affines a;
  value_id literals[2] = {VALUE_NONE, VALUE_NONE};
  affines_init(&a, f);
  uint32_t n = f->ops.len;
  for (op_id id = 1; id < n; id++) {
    if (function_op(f, id)->kind != OP_IF)
      continue;
    struct condition c = of_value(&a, function_op(f, id)->operands[0]);
    int known = c.known ? decided(a.dims, &c, given, holds) : -1;
    if (known < 0)
      continue;
    if (literals[known] == VALUE_NONE)
      literals[known] = literal(f, diags, known);
    op_set_operands(f, id, &literals[known], 1);
  }
  affines_deinit(&a);
}

/* ---- the pass ---- */

struct bound {
  const struct function *f;
  struct symbol_sets sets;
  bool *by_inputs;
};

static bool bound_by_inputs(struct bound *b, dim d) {
  const uint32_t *symbols;
  uint32_t n = symbols_of(&b->sets, d, &symbols);
  for (uint32_t i = 0; i < n; i++) {
    if (!b->by_inputs[symbols[i]])
      return false;
  }
  return true;
}

static bool can_guard(struct bound *b, const struct condition *c) {
  for (uint32_t i = 0; i < c->n; i++) {
    if (!bound_by_inputs(b, c->guards[i].lhs) || !bound_by_inputs(b, c->guards[i].rhs))
      return false;
  }
  return c->known;
}

static void bound_init(struct bound *b, const struct function *f, struct arena *scratch) {
  struct dim_table *t = f->module->dims;
  const struct region *body = &f->regions.data[0];
  *b = (struct bound){.f = f, .by_inputs = ARENA_ARRAY(scratch, bool, dim_symbol_count(t) + 1)};
  symbol_sets_init(&b->sets, t);
  for (uint32_t i = 0; i < body->params.len; i++) {
    const struct type *type = value_type(f, body->params.data[i]);
    uint32_t symbol;
    for (uint32_t d = 0; d < type->rank; d++) {
      if (dim_symbol_of(t, type->dims[d], &symbol))
        b->by_inputs[symbol] = true;
    }
  }
}

/* The first condition of an `if` that can be a guard and is not decided yet. */
static bool find_condition(const struct function *f, struct arena *scratch, struct condition *out) {
  struct bound b;
  struct affines a;
  bool found = false;
  bound_init(&b, f, scratch);
  affines_init(&a, f);
  for (op_id id = 1; id < f->ops.len && !found; id++) {
    const struct op *op = function_op(f, id);
    if (op->kind != OP_IF)
      continue;
    *out = of_value(&a, op->operands[0]);
    found = can_guard(&b, out) && decided(a.dims, out, &unknown, false) < 0;
  }
  affines_deinit(&a);
  symbol_sets_deinit(&b.sets);
  return found;
}

static status split_entry(struct pass_context *ctx, struct entry *e) {
  struct condition c;
  uint32_t splits = 0;
  for (uint32_t i = 0; i < e->variants.len; i++) {
    struct function *f = e->variants.data[i].function;
    while (f->ops.len <= MAX_OPS && splits < MAX_SPLITS && e->variants.len < ENTRY_MAX_VARIANTS &&
           find_condition(f, ctx->scratch, &c)) {
      struct function *copy = entry_variant_add(ctx->module, e, i, c.guards, c.n, ctx->diags);
      if (!copy)
        return STATUS_INTERNAL;
      splits++;
      decide(copy, ctx->diags, &c, true);
      decide(f, ctx->diags, &c, false);
      f = copy; /* which is variant i now */
    }
  }
  return STATUS_OK;
}

status pass_variants(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < ctx->module->entries.len && st == STATUS_OK; i++)
    st = split_entry(ctx, &ctx->module->entries.data[i]);
  return st;
}
