/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier of functions: one walk over the regions in execution order, keeping what is visible.
 */
#include "ir/verify.h"

#include "base/str.h"
#include "ir/symbols.h"
#include "ir/verify_module.h"
#include "ir/verify_sharding.h"

#include <stdarg.h>
#include <string.h>

struct verifier {
  const struct function *f;
  struct diags *diags;
  status result;
  struct arena scratch;
  struct symbol_sets symbols;
  bool *defined; /* per value: visible here */
  bool *bound;   /* per symbol: has a value here */
  bool *op_seen, *region_seen;
  op_id at; /* for reports */
  VEC(value_id) scope_values;
  VEC(uint32_t) scope_symbols;
};

static void problem(struct verifier *v, enum diag_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void problem(struct verifier *v, enum diag_code code, const char *format, ...) {
  struct strbuf text = {0};
  va_list args;
  va_start(args, format);
  strbuf_vprintf(&text, format, args);
  va_end(args);
  struct diag_where where = DIAG_NOWHERE;
  if (v->at != OP_ID_NONE) {
    const struct op *op = &v->f->ops.data[v->at];
    where = module_where(v->f->module, op->provenance);
    const char *name = (unsigned)op->kind < OP_COUNT ? op_infos[op->kind].name : "?";
    diag_report(v->diags, code, &where, NULL, "@%s, op %u '%s': %s", v->f->name, v->at, name,
                strbuf_c(&text));
  } else {
    diag_report(v->diags, code, &where, NULL, "@%s: %s", v->f->name, strbuf_c(&text));
  }
  if (v->result == STATUS_OK)
    v->result = diag_code_status(code);
  strbuf_deinit(&text);
}

/* ---- values and symbols in scope ---- */

static void define_value(struct verifier *v, value_id id) {
  v->defined[id] = true;
  vec_push(&v->scope_values, id);
}

static void bind_symbol(void *user, uint32_t symbol, bool unless_bound) {
  struct verifier *v = user;
  (void)unless_bound;
  if (v->bound[symbol])
    return;
  v->bound[symbol] = true;
  vec_push(&v->scope_symbols, symbol);
}

static void bind_type(struct verifier *v, const struct type *type) {
  for (uint32_t i = 0; i < type->rank; i++) {
    const uint32_t *symbols;
    uint32_t n = symbols_of(&v->symbols, type->dims[i], &symbols);
    for (uint32_t k = 0; k < n; k++)
      bind_symbol(v, symbols[k], false);
  }
}

static void check_dim(void *user, dim d) {
  struct verifier *v = user;
  const uint32_t *symbols;
  uint32_t n = symbols_of(&v->symbols, d, &symbols);
  for (uint32_t i = 0; i < n; i++) {
    if (!v->bound[symbols[i]])
      problem(v, DIAG_E0305, "symbol '%s' is not bound here",
              dim_symbol_name(v->f->module->dims, symbols[i]));
  }
}

static bool check_use(struct verifier *v, value_id id, const char *what, uint32_t index) {
  if (id == VALUE_NONE || id >= v->f->values.len) {
    problem(v, DIAG_E0302, "%s %u is value %u, which does not exist", what, index, id);
    return false;
  }
  if (!v->defined[id]) {
    const char *name = v->f->values.data[id].name;
    problem(v, DIAG_E0303, "%s %u, value %u%s%s, is not defined here", what, index, id,
            name ? " " : "", name ? name : "");
    return false;
  }
  return true;
}

/* A value that `def` (or the region, for OP_ID_NONE) says it defines. */
static bool check_definition(struct verifier *v, value_id id, op_id def, uint32_t index,
                             region_id region) {
  if (id == VALUE_NONE || id >= v->f->values.len) {
    problem(v, DIAG_E0302, "result or parameter %u is value %u, which does not exist", index, id);
    return false;
  }
  const struct value *value = &v->f->values.data[id];
  if (value->def != def || value->index != index || value->region != region) {
    problem(v, DIAG_E0310, "value %u does not refer back to what defines it", id);
    return false;
  }
  if (v->defined[id]) {
    problem(v, DIAG_E0310, "value %u is defined twice", id);
    return false;
  }
  if (value->type.rank > IR_MAX_RANK || (unsigned)value->type.dtype >= DTYPE_COUNT) {
    problem(v, DIAG_E0304, "value %u has no valid type", id);
    return false;
  }
  struct strbuf why = {0};
  if (!sharding_check(v->f->module, &value->type, &why))
    problem(v, DIAG_E0309, "value %u: %s", id, strbuf_c(&why));
  strbuf_deinit(&why);
  return true;
}

/* ---- ops ---- */

static bool types_agree(struct dim_table *t, const struct type *a, const struct type *b) {
  if (a->dtype != b->dtype || a->rank != b->rank)
    return false;
  for (uint32_t i = 0; i < a->rank; i++) {
    if (!dim_known_eq(t, a->dims[i], b->dims[i]))
      return false;
  }
  return true;
}

static void check_types(struct verifier *v, const struct op *op) {
  struct op_view view = {.function = (struct function *)v->f,
                         .kind = op->kind,
                         .n_operands = op->n_operands,
                         .operands = op->operands,
                         .n_regions = op->n_regions,
                         .regions = op->regions,
                         .attrs = op->attrs};
  struct arena scratch = {0};
  struct strbuf why = {0};
  uint32_t n = 0;
  struct type *types = ARENA_ARRAY(&scratch, struct type, op_results_room(&view) + 1);
  if (!op_infer(&view, &why, types, &n)) {
    problem(v, DIAG_E0301, "%s", strbuf_c(&why));
  } else if (n != op->n_results) {
    problem(v, DIAG_E0304, "has %u results, not %u", op->n_results, n);
  } else {
    for (uint32_t i = 0; i < n; i++) {
      const struct type *have = value_type(v->f, op->results[i]);
      if (types_agree(v->f->module->dims, have, &types[i]))
        continue;
      struct strbuf text = {0};
      type_print(v->f->module, &types[i], &text);
      strbuf_append_c(&text, ", but the value has ");
      type_print(v->f->module, have, &text);
      problem(v, DIAG_E0304, "result %u is %s", i, strbuf_c(&text));
      strbuf_deinit(&text);
    }
  }
  strbuf_deinit(&why);
  arena_deinit(&scratch);
}

static void check_bodies(struct verifier *v, const struct op *op) {
  for (const struct attr_desc *d = op_infos[op->kind].attrs; d->name; d++) {
    if (d->kind != ATTR_BODY)
      continue;
    const struct scalar_body *body =
        *(const struct scalar_body *const *)((const char *)op->attrs + d->offset);
    struct strbuf why = {0};
    if (!scalar_body_check(body, &why))
      problem(v, DIAG_E0301, "%s", strbuf_c(&why));
    else if (body->n_args != op->n_operands)
      problem(v, DIAG_E0301, "the body takes %u operands of %u", body->n_args, op->n_operands);
    strbuf_deinit(&why);
  }
}

static void verify_region(struct verifier *v, region_id id, op_id parent, uint32_t depth);

static void verify_op(struct verifier *v, op_id id, region_id region, uint32_t depth) {
  const struct op *op = &v->f->ops.data[id];
  v->at = id;
  if ((unsigned)op->kind >= OP_COUNT || op->kind == OP_NONE || !op->attrs) {
    problem(v, DIAG_E0310, "an erased op, or none at all, is in region %u", region);
    return;
  }
  if (op->parent != region || v->op_seen[id])
    problem(v, DIAG_E0310, "is not in its region, or in two places");
  v->op_seen[id] = true;
  if (op->provenance >= v->f->module->provenance.len)
    problem(v, DIAG_E0302, "provenance %u does not exist", op->provenance);
  bool sound = true;
  for (uint32_t i = 0; i < op->n_operands; i++)
    sound &= check_use(v, op->operands[i], "operand", i);
  for (uint32_t i = 0; i < op->n_regions; i++) {
    if (op->regions[i] >= v->f->regions.len) {
      problem(v, DIAG_E0302, "region %u does not exist", op->regions[i]);
      return;
    }
    verify_region(v, op->regions[i], id, depth + 1);
    v->at = id;
  }
  for (uint32_t i = 0; i < op->n_results; i++) {
    bool result = check_definition(v, op->results[i], id, i, region);
    sound &= result;
    if (result)
      define_value(v, op->results[i]);
  }
  if (!sound)
    return;
  op_visit_bound(&v->symbols, v->f, op, bind_symbol, v);
  op_visit_dims(v->f, op, check_dim, v);
  check_bodies(v, op);
  check_types(v, op);
}

/* ---- regions ---- */

static void leave_scope(struct verifier *v, uint32_t values, uint32_t symbols) {
  while (v->scope_values.len > values)
    v->defined[vec_pop(&v->scope_values)] = false;
  while (v->scope_symbols.len > symbols)
    v->bound[vec_pop(&v->scope_symbols)] = false;
}

static void verify_region(struct verifier *v, region_id id, op_id parent, uint32_t depth) {
  const struct region *r = &v->f->regions.data[id];
  if (depth > IR_MAX_NESTING || v->region_seen[id] || r->parent != parent) {
    problem(v, DIAG_E0310, "region %u is nested too deeply, in two ops, or not of its op", id);
    return;
  }
  v->region_seen[id] = true;
  uint32_t values = v->scope_values.len, symbols = v->scope_symbols.len;
  for (uint32_t i = 0; i < r->params.len; i++) {
    value_id param = r->params.data[i];
    if (!check_definition(v, param, OP_ID_NONE, i, id))
      continue;
    define_value(v, param);
    bind_type(v, value_type(v->f, param));
  }
  for (uint32_t i = 0; i < r->ops.len; i++) {
    if (r->ops.data[i] == OP_ID_NONE || r->ops.data[i] >= v->f->ops.len)
      problem(v, DIAG_E0302, "op %u does not exist", r->ops.data[i]);
    else
      verify_op(v, r->ops.data[i], id, depth);
    v->at = parent;
  }
  for (uint32_t i = 0; i < r->results.len; i++)
    check_use(v, r->results.data[i], "region result", i);
  leave_scope(v, values, symbols);
}

static void check_where(struct verifier *v) {
  const struct region *body = &v->f->regions.data[0];
  for (uint32_t i = 0; i < body->params.len; i++) {
    if (body->params.data[i] < v->f->values.len)
      bind_type(v, value_type(v->f, body->params.data[i]));
  }
  for (uint32_t i = 0; i < v->f->where.len; i++) {
    const struct guard *g = &v->f->where.data[i];
    if (g->lhs == DIM_NONE || g->rhs == DIM_NONE)
      problem(v, DIAG_E0305, "condition %u has no expression", i);
    check_dim(v, g->lhs);
    check_dim(v, g->rhs);
  }
  leave_scope(v, 0, 0);
}

static void check_value_names(struct verifier *v) {
  struct strmap names = {0};
  for (uint32_t i = 1; i < v->f->values.len; i++) {
    const struct value *value = &v->f->values.data[i];
    if (!value->name)
      continue;
    if (strmap_get_c(&names, value->name, NULL))
      problem(v, DIAG_E0307, "two values are named '%s'", value->name);
    strmap_put_c(&names, value->name, i);
  }
  strmap_deinit(&names);
}

status function_verify_form(const struct function *f, struct diags *diags) {
  struct verifier v = {.f = f, .diags = diags};
  if (f->regions.len == 0 || f->values.len == 0 || f->ops.len == 0) {
    problem(&v, DIAG_E0310, "has no body");
    return v.result;
  }
  symbol_sets_init(&v.symbols, f->module->dims);
  v.defined = ARENA_ARRAY(&v.scratch, bool, f->values.len);
  v.bound = ARENA_ARRAY(&v.scratch, bool, dim_symbol_count(f->module->dims));
  v.op_seen = ARENA_ARRAY(&v.scratch, bool, f->ops.len);
  v.region_seen = ARENA_ARRAY(&v.scratch, bool, f->regions.len);
  check_where(&v);
  verify_region(&v, 0, OP_ID_NONE, 0);
  check_value_names(&v);
  symbol_sets_deinit(&v.symbols);
  vec_deinit(&v.scope_values);
  vec_deinit(&v.scope_symbols);
  arena_deinit(&v.scratch);
  return v.result;
}

/* Local programs of ranks, with exchanges, have no shardings. */
static bool is_sharded(const struct function *f) {
  for (uint32_t i = 1; i < f->values.len; i++)
    if (f->values.data[i].type.sharding)
      return true;
  for (uint32_t i = 1; i < f->ops.len; i++)
    if ((op_infos[f->ops.data[i].kind].flags & (OP_FLAG_RANKS | OP_FLAG_MESH)) == OP_FLAG_RANKS)
      return true;
  return false;
}

status function_verify(const struct function *f, struct diags *diags) {
  status result = function_verify_form(f, diags);
  return result == STATUS_OK && is_sharded(f) ? sharding_verify(f, diags) : result;
}
