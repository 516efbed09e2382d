/* SPDX-License-Identifier: Apache-2.0 */
/* localise: the walk, and the ops whose local form is the same op of local dims. */
#include "passes/partition/localise.h"

#include "base/str.h"
#include "passes/partition/localise_parts.h"

#include <stdarg.h>
#include <string.h>

void localise_fail(struct localise *l, const struct op *op, const char *format, ...) {
  struct strbuf text = {0};
  va_list args;
  va_start(args, format);
  strbuf_vprintf(&text, format, args);
  va_end(args);
  struct diag_where where = module_where(l->m, op ? op->provenance : 0);
  status st = diag_report(l->diags, DIAG_E0350, &where, NULL, "@%s%s%s: %s", l->from->name,
                          op ? ", " : "", op ? op_infos[op->kind].name : "", strbuf_c(&text));
  if (!l->failure)
    l->failure = st;
  strbuf_deinit(&text);
}

void localise_set(struct localise *l, const struct op *op, uint32_t i, value_id v) {
  l->map[op->results[i]] = v;
  if (v && !function_value(l->b.function, v)->name)
    value_set_name(l->b.function, v, function_value(l->from, op->results[i])->name);
}

/* ---- shardings ---- */

const struct sharding *localise_sharding(const struct localise *l, value_id v) {
  static const struct sharding whole;
  sharding_id id = value_type(l->from, v)->sharding;
  return id ? l->m->shardings.data[id] : &whole;
}

struct part_dims localise_part(struct localise *l, value_id v, uint32_t d) {
  const struct sharding *s = localise_sharding(l, v);
  return part_dims_of(l->m->dims, l->m->meshes.len ? l->m->meshes.data[s->mesh] : NULL, &s->dims[d],
                      value_type(l->from, v)->dims[d]);
}

struct type localise_type(struct localise *l, value_id v) {
  struct type local;
  if (!type_local(l->m, value_type(l->from, v), &local))
    localise_fail(l, NULL, "the size of a part is too long an expression");
  return local;
}

/* ---- ops that stay what they are ---- */

/* Dims that an attribute spells out are those of the result. */
static const void *local_attrs(struct localise *l, const struct op *op, void *room) {
  struct type *type = ARENA_NEW(l->scratch, struct type);
  *type = localise_type(l, op->results[0]);
  struct dims dims = {type->dims, type->rank};
  memcpy(room, op->attrs, op_infos[op->kind].attrs_size);
  if (op->kind == OP_RESHAPE)
    ((struct reshape_attrs *)room)->dims = dims;
  else if (op->kind == OP_BROADCAST)
    ((struct broadcast_attrs *)room)->dims = dims;
  else if (op->kind == OP_SLICE)
    ((struct slice_attrs *)room)->size = dims;
  else
    return op->attrs;
  return room;
}

static void check_results(struct localise *l, const struct op *op, op_id made) {
  for (uint32_t i = 0; i < op->n_results; i++) {
    struct type want = localise_type(l, op->results[i]);
    const struct type *have = value_type(l->b.function, op_result(l->b.function, made, i));
    bool same = want.rank == have->rank && want.dtype == have->dtype;
    for (uint32_t d = 0; same && d < want.rank; d++)
      same = dim_known_eq(l->m->dims, want.dims[d], have->dims[d]);
    if (same)
      continue;
    struct strbuf text = {0};
    type_print(l->m, have, &text);
    strbuf_append_c(&text, " and not ");
    type_print(l->m, &want, &text);
    localise_fail(l, op, "of its parts of the operands a rank makes %s", strbuf_c(&text));
    strbuf_deinit(&text);
  }
}

void localise_same(struct localise *l, const struct op *op, const void *attrs) {
  value_id *operands = ARENA_ARRAY(l->scratch, value_id, op->n_operands + 1);
  for (uint32_t i = 0; i < op->n_operands; i++)
    operands[i] = localise_operand(l, op, i);
  void *room = arena_alloc(l->scratch, op_infos[op->kind].attrs_size + 1);
  if (!attrs && op->n_results)
    attrs = local_attrs(l, op, room);
  op_id made =
      build_op(&l->b, op->kind, operands, op->n_operands, NULL, 0, attrs ? attrs : op->attrs);
  if (made == OP_ID_NONE)
    return;
  check_results(l, op, made);
  for (uint32_t i = 0; i < op->n_results; i++)
    localise_set(l, op, i, op_result(l->b.function, made, i));
}

/* ---- regions ---- */

static void walk(struct localise *l, region_id from);

static region_id local_region(struct localise *l, region_id from) {
  const struct region *r = &l->from->regions.data[from];
  region_id outer = l->b.region, to = region_create(l->b.function);
  for (uint32_t i = 0; i < r->params.len; i++) {
    struct type type = localise_type(l, r->params.data[i]);
    l->map[r->params.data[i]] = region_add_param(l->b.function, to, &type,
                                                 function_value(l->from, r->params.data[i])->name);
  }
  l->b.region = to;
  walk(l, from);
  l->b.region = outer;
  for (uint32_t i = 0; i < r->results.len; i++)
    vec_push(&l->b.function->regions.data[to].results, l->map[r->results.data[i]]);
  return to;
}

static void local_control(struct localise *l, const struct op *op) {
  region_id regions[2];
  value_id *operands = ARENA_ARRAY(l->scratch, value_id, op->n_operands + 1);
  struct type *types = ARENA_ARRAY(l->scratch, struct type, op->n_results + 1);
  struct types list = {types, op->n_results};
  union {
    struct if_attrs branch;
    struct loop_attrs loop;
  } attrs;
  for (uint32_t i = 0; i < op->n_operands; i++)
    operands[i] = localise_operand(l, op, i);
  for (uint32_t i = 0; i < op->n_results; i++)
    types[i] = localise_type(l, op->results[i]);
  for (uint32_t i = 0; i < op->n_regions; i++)
    regions[i] = local_region(l, op->regions[i]);
  if (l->failure || l->b.failures)
    return;
  if (op->kind == OP_IF) {
    attrs.branch = *OP_ATTRS(if, op);
    attrs.branch.types = list;
  } else {
    attrs.loop = *OP_ATTRS(loop, op);
    attrs.loop.types = list;
  }
  op_id made = build_op(&l->b, op->kind, operands, op->n_operands, regions, op->n_regions, &attrs);
  for (uint32_t i = 0; i < op->n_results; i++)
    localise_set(l, op, i, op_result(l->b.function, made, i));
}

static void walk(struct localise *l, region_id from) {
  const struct region *r = &l->from->regions.data[from];
  for (uint32_t i = 0; i < r->ops.len && !l->failure && !l->b.failures; i++) {
    const struct op *op = function_op(l->from, r->ops.data[i]);
    l->b.provenance = op->provenance;
    if (op->kind == OP_IF || op->kind == OP_LOOP)
      local_control(l, op);
    else if (!localise_collective(l, op) && !localise_special(l, op))
      localise_same(l, op, NULL);
  }
}

/* ---- the function ---- */

static void copy_frame(struct localise *l) {
  const struct region *body = &l->from->regions.data[0];
  for (uint32_t i = 0; i < body->params.len; i++) {
    struct type type = localise_type(l, body->params.data[i]);
    l->map[body->params.data[i]] = region_add_param(
        l->b.function, 0, &type, function_value(l->from, body->params.data[i])->name);
  }
  for (uint32_t i = 0; i < l->from->where.len; i++)
    vec_push(&l->b.function->where, l->from->where.data[i]);
}

struct function *localise(struct function *sharded, struct diags *diags) {
  struct arena scratch = {0};
  struct localise l = {.m = sharded->module, .from = sharded, .diags = diags, .scratch = &scratch};
  struct function *to = function_create(l.m, sharded->name);
  l.map = ARENA_ARRAY(&scratch, value_id, sharded->values.len);
  builder_init(&l.b, to, 0, diags);
  copy_frame(&l);
  walk(&l, 0);
  const struct region *body = &sharded->regions.data[0];
  for (uint32_t i = 0; i < body->results.len; i++)
    vec_push(&to->regions.data[0].results, l.map[body->results.data[i]]);
  arena_deinit(&scratch);
  return l.failure || l.b.failures ? NULL : to;
}
