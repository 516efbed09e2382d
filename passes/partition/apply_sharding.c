/* SPDX-License-Identifier: Apache-2.0 */
/* apply_sharding: one walk in execution order that rebuilds the lists of ops of all regions. */
#include "passes/partition/apply_sharding.h"

#include "base/map.h"
#include "ir/verify_sharding.h"
#include "passes/partition/conversion.h"

#include <stdarg.h>
#include <string.h>

struct applier {
  struct function *f;
  const struct assignment *a;
  struct diags *diags;
  struct arena arena;
  struct map made;  /* (value, sharding) -> the value in that sharding */
  struct map cheap; /* value -> whether it is made of constants and indices alone */
  struct factor_list factors;
  status result;
};

static status refuse(struct applier *ap, const struct op *op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static status refuse(struct applier *ap, const struct op *op, const char *format, ...) {
  struct strbuf text = {0};
  va_list args;
  va_start(args, format);
  strbuf_vprintf(&text, format, args);
  va_end(args);
  struct diag_where where = module_where(ap->f->module, op ? op->provenance : 0);
  ap->result = diag_report(ap->diags, DIAG_E0330, &where, NULL, "@%s%s%s: %s", ap->f->name,
                           op ? ", " : "", op ? op_infos[op->kind].name : "", strbuf_c(&text));
  strbuf_deinit(&text);
  return ap->result;
}

static sharding_id sharding_of(const struct applier *ap, value_id v) {
  return value_type(ap->f, v)->sharding;
}

static void set_sharding(struct applier *ap, value_id v, sharding_id s) {
  ap->f->values.data[v].type.sharding = s;
}

static uint64_t made_key(value_id v, sharding_id s) { return (uint64_t)v << 32 | s; }

static value_id made_as(const struct applier *ap, value_id v, sharding_id s) {
  uint64_t to;
  if (sharding_of(ap, v) == s)
    return v;
  return map_get(&ap->made, made_key(v, s), &to) ? (value_id)to : VALUE_NONE;
}

static value_id read_as(struct applier *ap, value_id v, sharding_id want);

/* ---- values made again ---- */

static bool is_light(enum op_kind kind) {
  return kind == OP_CONST || kind == OP_IOTA || kind == OP_DIMS || kind == OP_MAP ||
         kind == OP_RESHAPE || kind == OP_TRANSPOSE || kind == OP_BROADCAST || kind == OP_SLICE ||
         kind == OP_CONCAT || kind == OP_PAD || kind == OP_BITCAST;
}

/* Steps from constants and indices to the value; 0: it is made of other things, or of very many. */
static uint64_t cheap_steps(const struct applier *ap, value_id v) {
  uint64_t steps;
  return map_get(&ap->cheap, v, &steps) ? steps : 0;
}

#define MOST_STEPS 64

static void note_cheap(struct applier *ap, const struct op *op) {
  uint64_t most = 0;
  if (!is_light(op->kind))
    return;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    uint64_t steps = cheap_steps(ap, op->operands[i]);
    if (steps == 0 || steps >= MOST_STEPS)
      return;
    most = steps > most ? steps : most;
  }
  map_put(&ap->cheap, op->results[0], most + 1);
}

/* The shardings of an op's operands that make its one result in a sharding. */
static bool operands_for(struct applier *ap, const struct op *op, sharding_id want,
                         sharding_id *out_operands) {
  struct factor_list factors = {0};
  struct sharding room;
  struct strbuf why = {0};
  struct op_split split;
  sharding_id result = 0;
  const struct type *type = value_type(ap->f, op->results[0]);
  const struct sharding *sharding =
      sharding_get(ap->f->module, want, ap->a->mesh, type->rank, &room);
  const struct sharding **unknown =
      ARENA_ARRAY(&ap->arena, const struct sharding *, op->n_operands + 1);
  factors_of(ap->f, op, &ap->arena, &factors);
  bool found =
      op_split_recover(ap->f, op, &factors, ap->a->mesh, unknown, &sharding, 0, &ap->arena,
                       &split) &&
      op_split_shardings(ap->f, op, &factors, ap->a->mesh, &split, out_operands, &result, &why) &&
      result == want;
  vec_deinit(&factors.factors);
  strbuf_deinit(&why);
  return found;
}

static struct builder builder_at(struct applier *ap, value_id v, uint32_t provenance) {
  struct builder b;
  builder_init(&b, ap->f, ap->f->values.data[v].region, ap->diags);
  b.provenance = provenance;
  return b;
}

static value_id make_again(struct applier *ap, value_id v, sharding_id want) {
  const struct op op = *value_def(ap->f, v);
  sharding_id *wants = ARENA_ARRAY(&ap->arena, sharding_id, op.n_operands + 1);
  value_id *operands = ARENA_ARRAY(&ap->arena, value_id, op.n_operands + 1);
  if (!operands_for(ap, &op, want, wants))
    return VALUE_NONE;
  for (uint32_t i = 0; i < op.n_operands; i++)
    if (!(operands[i] = read_as(ap, op.operands[i], wants[i])))
      return VALUE_NONE;
  struct builder b = builder_at(ap, v, op.provenance);
  value_id again = build_op1(&b, op.kind, operands, op.n_operands, op.attrs);
  if (again != VALUE_NONE) {
    set_sharding(ap, again, want);
  }
  return again;
}

/* ---- conversions ---- */

/* Both values of a merged tuple, and the axis of its candidates. */
static int64_t tuple_of(const struct applier *ap, value_id v, value_id out[2]) {
  const struct op *op = value_def(ap->f, v);
  out[0] = v;
  if (!op || op->n_results < 2)
    return 0;
  out[1] = op->results[v == op->results[0]];
  return op->kind == OP_TOPK    ? OP_ATTRS(topk, op)->axis
         : op->kind == OP_MERGE ? OP_ATTRS(merge, op)->axis
                                : 0;
}

static value_id build_merge(struct applier *ap, struct builder *b,
                            const struct conversion_step *step, value_id v) {
  value_id pair[2], operands[2], out[2];
  int64_t axis = tuple_of(ap, v, pair);
  struct conversion_step ordered = *step;
  bool second = ap->f->values.data[v].index == 1;
  /* The op takes the tuple in its order; the step speaks of v. */
  operands[0] = pair[second];
  operands[1] = pair[!second];
  if (second) {
    struct sharding rooms[2];
    const struct type *type = value_type(ap->f, pair[1]);
    struct sharding s =
        *sharding_get(ap->f->module, type->sharding, ap->a->mesh, type->rank, &rooms[0]);
    const struct sharding *to =
        sharding_get(ap->f->module, step->after, ap->a->mesh, type->rank, &rooms[1]);
    s.partial = to->partial;
    if (step->dim != CONVERSION_NO_DIM)
      s.dims[step->dim] = to->dims[step->dim];
    ordered.after = module_shard(ap->f->module, type, &s);
  }
  conversion_build(b, &ordered, operands, axis, out);
  for (uint32_t i = 0; i < 2 && out[i]; i++)
    map_put(&ap->made, made_key(operands[i], sharding_of(ap, out[i])), out[i]);
  return out[second];
}

static value_id convert(struct applier *ap, value_id v, sharding_id want) {
  struct conversion c;
  const struct op *def = value_def(ap->f, v);
  struct builder b = builder_at(ap, v, def ? def->provenance : 0);
  value_id at = v;
  if (!conversion_plan(ap->f->module, value_type(ap->f, v), ap->a->mesh, sharding_of(ap, v), want,
                       &ap->arena, &c)) {
    struct strbuf text = {0};
    struct type type = *value_type(ap->f, v);
    type_print(ap->f->module, &type, &text);
    strbuf_append_c(&text, " cannot be brought to ");
    type.sharding = want;
    type_print(ap->f->module, &type, &text);
    refuse(ap, def, "%s", strbuf_c(&text));
    strbuf_deinit(&text);
    return VALUE_NONE;
  }
  for (uint32_t i = 0; i < c.n && at != VALUE_NONE; i++) {
    value_id next = made_as(ap, v, c.steps[i].after);
    if (next == VALUE_NONE && c.steps[i].kind == OP_MERGE)
      next = build_merge(ap, &b, &c.steps[i], at);
    else if (next == VALUE_NONE)
      conversion_build(&b, &c.steps[i], &at, 0, &next);
    map_put(&ap->made, made_key(v, c.steps[i].after), next);
    at = next;
  }
  return at;
}

/* The value as a reader wants it. */
static value_id read_as(struct applier *ap, value_id v, sharding_id want) {
  value_id to = made_as(ap, v, want);
  if (to == VALUE_NONE && cheap_steps(ap, v)) {
    to = make_again(ap, v, want);
    if (to != VALUE_NONE)
      map_put(&ap->made, made_key(v, want), to);
  }
  return to == VALUE_NONE ? convert(ap, v, want) : to;
}

/* ---- ops and regions ---- */

static void apply_region(struct applier *ap, region_id r);

static void read_operands(struct applier *ap, op_id id, const sharding_id *wants) {
  const struct op op = *function_op(ap->f, id);
  value_id *operands = ARENA_ARRAY(&ap->arena, value_id, op.n_operands + 1);
  for (uint32_t i = 0; i < op.n_operands && !ap->result; i++)
    if (!(operands[i] = read_as(ap, op.operands[i], wants[i])) && !ap->result)
      ap->result = STATUS_INTERNAL;
  if (!ap->result)
    op_set_operands(ap->f, id, operands, op.n_operands);
}

/* The splits of a value without what is partial of it. */
static sharding_id merged(const struct applier *ap, value_id v, sharding_id id) {
  const struct type *type = value_type(ap->f, v);
  struct sharding room, s = *sharding_get(ap->f->module, id, ap->a->mesh, type->rank, &room);
  s.partial = (struct partial){0};
  return module_shard(ap->f->module, type, &s);
}

static bool split_results(struct applier *ap, op_id id, sharding_id *operands, sharding_id *results,
                          struct strbuf *why) {
  static const struct op_split none;
  const struct op *op = function_op(ap->f, id);
  const struct op_split *split = id < ap->a->n_ops ? &ap->a->ops[id] : &none;
  factors_of(ap->f, op, &ap->arena, &ap->factors);
  return op_split_shardings(ap->f, op, &ap->factors, ap->a->mesh, split, operands, results, why);
}

/* How a value that a region yields will be split: by its op's own split, whatever it reads. */
static sharding_id yielded(struct applier *ap, region_id region, value_id v) {
  const struct value *value = function_value(ap->f, v);
  const struct op *op = value_def(ap->f, v);
  sharding_id *operands, *results, id = 0;
  struct strbuf why = {0};
  if (value->region != region)
    return merged(ap, v, sharding_of(ap, v));
  if (!op || op_infos[op->kind].flags & OP_FLAG_CONTROL)
    return 0;
  operands = ARENA_ARRAY(&ap->arena, sharding_id, op->n_operands + 1);
  results = ARENA_ARRAY(&ap->arena, sharding_id, op->n_results + 1);
  if (split_results(ap, value->def, operands, results, &why))
    id = merged(ap, v, results[value->index]);
  strbuf_deinit(&why);
  return id;
}

static bool same_shape(const struct applier *ap, value_id a, value_id b) {
  return type_same_shape(value_type(ap->f, a), value_type(ap->f, b));
}

/* The sharding of the values that are stacked, on the stack of them; 0 where the dims differ. */
static sharding_id stacked(const struct applier *ap, value_id one, value_id stack, sharding_id id) {
  const struct type *type = value_type(ap->f, one), *to = value_type(ap->f, stack);
  struct sharding s = {.mesh = ap->a->mesh, .rank = to->rank};
  for (uint32_t d = 0; id && d < type->rank; d++) {
    if (type->dims[d] != to->dims[d + 1])
      return 0;
    s.dims[d + 1] = ap->f->module->shardings.data[id]->dims[d];
  }
  return module_shard(ap->f->module, to, &s);
}

static void yield_as(struct applier *ap, region_id r, uint32_t i, sharding_id want) {
  value_id v = ap->result ? VALUE_NONE : read_as(ap, ap->f->regions.data[r].results.data[i], want);
  if (v != VALUE_NONE)
    ap->f->regions.data[r].results.data[i] = v;
  else if (!ap->result)
    ap->result = STATUS_INTERNAL;
}

/* Results of an `if` are split where both branches make them so. */
static void apply_if(struct applier *ap, op_id id) {
  const struct op op = *function_op(ap->f, id);
  sharding_id *wants = ARENA_ARRAY(&ap->arena, sharding_id, op.n_results + 1);
  for (uint32_t i = 0; i < op.n_results; i++) {
    value_id x = ap->f->regions.data[op.regions[0]].results.data[i];
    value_id y = ap->f->regions.data[op.regions[1]].results.data[i];
    sharding_id a = yielded(ap, op.regions[0], x), b = yielded(ap, op.regions[1], y);
    wants[i] =
        a == b && same_shape(ap, x, op.results[i]) && same_shape(ap, y, op.results[i]) ? a : 0;
  }
  read_operands(ap, id, ARENA_ARRAY(&ap->arena, sharding_id, 1));
  for (uint32_t k = 0; k < 2; k++) {
    apply_region(ap, op.regions[k]);
    for (uint32_t i = 0; i < op.n_results; i++)
      yield_as(ap, op.regions[k], i, wants[i]);
  }
  for (uint32_t i = 0; i < op.n_results; i++)
    set_sharding(ap, op.results[i], wants[i]);
}

/* A carried value is split as the body makes it: then the body's own reading of it is what it is at
 * every iteration, and no other choice is a fixed point without a conversion. */
static void apply_loop(struct applier *ap, op_id id) {
  const struct op op = *function_op(ap->f, id);
  region_id body = op.regions[0];
  uint32_t carried = op.n_operands - 2;
  sharding_id *wants = ARENA_ARRAY(&ap->arena, sharding_id, op.n_results + 1);
  sharding_id *operands = ARENA_ARRAY(&ap->arena, sharding_id, op.n_operands + 1);
  for (uint32_t i = 0; i < op.n_results; i++) {
    value_id v = ap->f->regions.data[body].results.data[1 + i];
    wants[i] = yielded(ap, body, v);
    if (i >= carried) {
      if (!stacked(ap, v, op.results[i], wants[i]))
        wants[i] = 0;
      continue;
    }
    value_id param = ap->f->regions.data[body].params.data[1 + i];
    if (!same_shape(ap, v, param) || !same_shape(ap, op.operands[2 + i], param) ||
        !same_shape(ap, op.results[i], param))
      wants[i] = 0;
    operands[2 + i] = wants[i];
    set_sharding(ap, param, wants[i]);
  }
  read_operands(ap, id, operands);
  apply_region(ap, body);
  yield_as(ap, body, 0, 0);
  for (uint32_t i = 0; i < op.n_results && !ap->result; i++) {
    value_id v = ap->f->regions.data[body].results.data[1 + i];
    sharding_id result = i < carried ? wants[i] : stacked(ap, v, op.results[i], wants[i]);
    yield_as(ap, body, 1 + i, wants[i]);
    set_sharding(ap, op.results[i], result);
  }
}

static void apply_control(struct applier *ap, op_id id) {
  const struct op *op = function_op(ap->f, id);
  if (op->kind == OP_FUSED)
    refuse(ap, op, "is fused already");
  else if (op->kind == OP_IF)
    apply_if(ap, id);
  else
    apply_loop(ap, id);
}

static void apply_op(struct applier *ap, op_id id) {
  const struct op op = *function_op(ap->f, id);
  sharding_id *operands = ARENA_ARRAY(&ap->arena, sharding_id, op.n_operands + 1);
  sharding_id *results = ARENA_ARRAY(&ap->arena, sharding_id, op.n_results + 1);
  struct strbuf why = {0};
  if (!split_results(ap, id, operands, results, &why))
    refuse(ap, &op, "%s", strbuf_c(&why));
  strbuf_deinit(&why);
  if (!ap->result)
    read_operands(ap, id, operands);
  for (uint32_t i = 0; i < op.n_results && !ap->result; i++)
    set_sharding(ap, op.results[i], results[i]);
  note_cheap(ap, &op);
}

static void apply_region(struct applier *ap, region_id r) {
  uint32_t n = ap->f->regions.data[r].ops.len;
  op_id *ops = arena_memdup(&ap->arena, ap->f->regions.data[r].ops.data, n * sizeof *ops);
  vec_clear(&ap->f->regions.data[r].ops);
  for (uint32_t i = 0; i < n; i++) {
    if (!ap->result && op_infos[function_op(ap->f, ops[i])->kind].flags & OP_FLAG_CONTROL)
      apply_control(ap, ops[i]);
    else if (!ap->result)
      apply_op(ap, ops[i]);
    vec_push(&ap->f->regions.data[r].ops, ops[i]);
  }
}

status apply_sharding(struct function *f, const struct assignment *a, struct diags *diags) {
  struct applier ap = {.f = f, .a = a, .diags = diags};
  struct region *body = &f->regions.data[0];
  if (a->mesh >= f->module->meshes.len)
    return refuse(&ap, NULL, "there is no mesh %u", a->mesh);
  for (uint32_t i = 0; a->params && i < body->params.len; i++)
    set_sharding(&ap, body->params.data[i], a->params[i]);
  apply_region(&ap, 0);
  for (uint32_t i = 0; i < f->regions.data[0].results.len && !ap.result; i++) {
    value_id v = read_as(&ap, f->regions.data[0].results.data[i], a->results ? a->results[i] : 0);
    if (v == VALUE_NONE && !ap.result)
      ap.result = STATUS_INTERNAL;
    f->regions.data[0].results.data[i] = v;
  }
  if (!ap.result) {
    function_sweep(f);
    ap.result = sharding_verify(f, diags);
  }
  map_deinit(&ap.made);
  map_deinit(&ap.cheap);
  vec_deinit(&ap.factors.factors);
  arena_deinit(&ap.arena);
  return ap.result;
}
