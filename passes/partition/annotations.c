/* SPDX-License-Identifier: Apache-2.0 */
/* Annotations of nodes, from and to the splits of ops. */
#include "passes/partition/annotations.h"

#include <string.h>

#include "ir/sharding_form.h"

/* ---- tensors of nodes ---- */

static struct node_tensor *first_of_node(const struct module *m, uint32_t provenance) {
  uint32_t lo = 0, hi = m->node_tensors.len;
  while (lo < hi) {
    uint32_t middle = lo + (hi - lo) / 2;
    if (m->node_tensors.data[middle].provenance < provenance)
      lo = middle + 1;
    else
      hi = middle;
  }
  return lo < m->node_tensors.len && m->node_tensors.data[lo].provenance == provenance
             ? &m->node_tensors.data[lo]
             : NULL;
}

/* How often an exporter repeated each kv head of a value to get the node's tensor; 1: it did not.
 */
static int64_t repeats(const struct function *f, const struct op *op, const struct type *tensor,
                       const struct type *value) {
  int64_t a, b;
  bool known = op->kind == OP_ATTENTION && tensor->rank == 4 && value->rank == 4 &&
               dim_is_const(f->module->dims, tensor->dims[1], &a) &&
               dim_is_const(f->module->dims, value->dims[1], &b);
  return known && b > 0 && a > b && a % b == 0 ? a / b : 1;
}

/* The same dims, but for repeated kv heads; symbols are others in other entries. */
static bool may_be(const struct function *f, const struct op *op, const struct type *tensor,
                   const struct type *value) {
  if (tensor->rank != value->rank || tensor->dtype != value->dtype)
    return false;
  for (uint32_t i = 0; i < tensor->rank; i++) {
    bool fixed = dim_is_const(f->module->dims, tensor->dims[i], NULL);
    if (fixed != dim_is_const(f->module->dims, value->dims[i], NULL) ||
        (fixed && tensor->dims[i] != value->dims[i] &&
         (i != 1 || repeats(f, op, tensor, value) == 1)))
      return false;
  }
  return true;
}

/* Attention is of the node that multiplies weights with values, or of one that has it all. */
static bool has_slot(const struct function *f, const struct op *op, uint32_t operand,
                     uint32_t slot) {
  if (op->kind != OP_ATTENTION)
    return true;
  bool product = !strcmp(f->module->provenance.data[op->provenance].op, "MatMul");
  return product ? operand == 2 && slot == 1 : operand < 3 && slot == operand;
}

/* A constant is the tensor of its name; other operands come from another node. */
static bool may_be_read(const struct function *f, const struct op *op, value_id v,
                        const struct node_tensor *t) {
  const struct op *def = value_def(f, v);
  if (def && def->kind == OP_CONST)
    return !strcmp(f->module->constants.data[OP_ATTRS(const, def)->value].name, t->name);
  return !def || def->provenance != op->provenance || (op_infos[def->kind].flags & OP_FLAG_RANKS);
}

/* Of slices of equal size one after the other, as a Split makes them: which it is. */
static uint32_t place_of_slice(const struct function *f, const struct op *op) {
  const struct dim_table *t = f->module->dims;
  uint32_t place = UINT32_MAX;
  int64_t start, size;
  for (uint32_t i = 0; op->kind == OP_SLICE && i < OP_ATTRS(slice, op)->start.len; i++) {
    const struct slice_attrs *a = OP_ATTRS(slice, op);
    if (dim_known_eq(f->module->dims, a->size.data[i], value_type(f, op->operands[0])->dims[i]))
      continue;
    if (place != UINT32_MAX || !dim_is_const(t, a->start.data[i], &start) ||
        !dim_is_const(t, a->size.data[i], &size) || size < 1 || start % size)
      return UINT32_MAX;
    place = (uint32_t)(start / size);
  }
  return place;
}

struct node_tensor *annotations_tensor(const struct function *f, const struct op *op, bool result,
                                       uint32_t i) {
  const struct module *m = f->module;
  struct node_tensor *found = NULL;
  uint32_t n = 0;
  value_id v = result ? op->results[i] : op->operands[i];
  if (op_infos[op->kind].flags & OP_FLAG_RANKS)
    return NULL;
  for (struct node_tensor *t = first_of_node(m, op->provenance);
       t && t < m->node_tensors.data + m->node_tensors.len && t->provenance == op->provenance;
       t++) {
    if (t->result != result || !may_be(f, op, &t->type, value_type(f, v)) ||
        (!result && (!may_be_read(f, op, v, t) || !has_slot(f, op, i, t->slot))))
      continue;
    n++;
    if (!found || t->slot == i)
      found = t;
  }
  if (n < 2 || !result)
    return found;
  uint32_t place = place_of_slice(f, op);
  return place < n && op->kind == OP_SLICE && found[place].result ? &found[place] : NULL;
}

/* ---- constraints ---- */

/* Without what is partial. */
static sharding_id merged(const struct function *f, value_id v, sharding_id id) {
  if (!id)
    return id;
  struct sharding s = *f->module->shardings.data[id];
  s.partial = (struct partial){0};
  return module_shard(f->module, value_type(f, v), &s);
}

/* The annotated sharding for a value, whose dims may have other names. */
static sharding_id wanted(const struct function *f, const struct op *op, value_id v,
                          const struct node_tensor *t) {
  int64_t n = repeats(f, op, &t->type, value_type(f, v));
  if (!t->type.sharding)
    return 0;
  struct sharding s = *f->module->shardings.data[t->type.sharding];
  if (s.dims[1].granule % n == 0)
    s.dims[1].granule /= n;
  return module_shard(f->module, value_type(f, v), &s);
}

/* And back: as the tensor has a value's sharding. */
static sharding_id noted(const struct function *f, const struct op *op, value_id v,
                         const struct node_tensor *t) {
  sharding_id id = merged(f, v, value_type(f, v)->sharding);
  int64_t n = repeats(f, op, &t->type, value_type(f, v));
  if (!id || n == 1)
    return id;
  struct sharding s = *f->module->shardings.data[id];
  struct type whole = t->type;
  whole.sharding = 0;
  if (s.dims[1].n_axes)
    s.dims[1].granule = (s.dims[1].granule > 1 ? s.dims[1].granule : 1) * n;
  return module_shard(f->module, &whole, &s);
}

static bool is_partial(const struct function *f, sharding_id id) {
  return id && f->module->shardings.data[id]->partial.kind != PARTIAL_NONE;
}

bool annotations_allow(const struct function *f, const struct op *op, const sharding_id *operands,
                       const sharding_id *results) {
  for (uint32_t i = 0; i < op->n_operands + op->n_results; i++) {
    bool result = i >= op->n_operands;
    uint32_t slot = result ? i - op->n_operands : i;
    const struct node_tensor *t = annotations_tensor(f, op, result, slot);
    value_id v = result ? op->results[slot] : op->operands[slot];
    if (result && is_partial(f, results[slot]))
      continue;
    if (t && t->annotated &&
        merged(f, v, (result ? results : operands)[slot]) != wanted(f, op, v, t))
      return false;
  }
  return true;
}

struct reader {
  struct function *f;
  uint32_t mesh;
  struct arena *arena;
  struct diags *diags;
  struct factor_list factors;
  sharding_id *have;  /* by value: in which sharding its op makes it, merged */
  bool *constant;     /* by value: made of constants alone */
  bool *met, *failed; /* by node_tensor: some op has it as annotated; some op could not */
  const struct op *op;
  sharding_id *operands, *results; /* of the split that was tried last */
};

static bool fits(struct reader *r, const struct op_split *s) {
  struct strbuf why = {0};
  bool ok = op_split_shardings(r->f, r->op, &r->factors, r->mesh, s, r->operands, r->results, &why);
  strbuf_deinit(&why);
  return ok;
}

/* The first split that these shardings can mean, and that has the annotated ones if `strict`. */
static bool recover(struct reader *r, const struct sharding *const *operands,
                    const struct sharding *const *results, bool strict, struct op_split *out) {
  for (uint32_t attempt = 0; op_split_recover(r->f, r->op, &r->factors, r->mesh, operands, results,
                                              attempt, r->arena, out);
       attempt++)
    if (fits(r, out) && (!strict || annotations_allow(r->f, r->op, r->operands, r->results)))
      return true;
  return false;
}

static const struct sharding *sharding_at(struct reader *r, value_id v, sharding_id id) {
  return sharding_get(r->f->module, id, r->mesh, value_type(r->f, v)->rank,
                      ARENA_NEW(r->arena, struct sharding));
}

/* As annotated: from all of its tensors, or from the results or the operands alone. */
static bool from_annotations(struct reader *r, struct op_split *out) {
  const struct op *op = r->op;
  const struct sharding **all[2] = {
      ARENA_ARRAY(r->arena, const struct sharding *, op->n_operands + 1),
      ARENA_ARRAY(r->arena, const struct sharding *, op->n_results + 1)};
  const struct sharding **none[2] = {
      ARENA_ARRAY(r->arena, const struct sharding *, op->n_operands + 1),
      ARENA_ARRAY(r->arena, const struct sharding *, op->n_results + 1)};
  const struct node_tensor *tensors = r->f->module->node_tensors.data;
  bool any = false;
  for (uint32_t i = 0; i < op->n_operands + op->n_results; i++) {
    bool result = i >= op->n_operands;
    uint32_t slot = result ? i - op->n_operands : i;
    value_id v = result ? op->results[slot] : op->operands[slot];
    const struct node_tensor *t = annotations_tensor(r->f, op, result, slot);
    if (!t || !t->annotated)
      continue;
    any = true;
    all[result][slot] = sharding_at(r, v, wanted(r->f, op, v, t));
  }
  if (!any)
    return false;
  bool found = recover(r, all[0], all[1], true, out) || recover(r, none[0], all[1], true, out) ||
               recover(r, all[0], none[1], true, out);
  for (uint32_t i = 0; i < op->n_operands + op->n_results; i++) {
    bool result = i >= op->n_operands;
    const struct node_tensor *t =
        annotations_tensor(r->f, op, result, result ? i - op->n_operands : i);
    if (t && t->annotated)
      (found ? r->met : r->failed)[t - tensors] = true;
  }
  return found;
}

/* As the operands are, or the one of them of the highest rank that can be gone on with. */
static void from_operands(struct reader *r, struct op_split *out) {
  const struct op *op = r->op;
  const struct sharding **operands =
      ARENA_ARRAY(r->arena, const struct sharding *, op->n_operands + 1);
  const struct sharding **results =
      ARENA_ARRAY(r->arena, const struct sharding *, op->n_results + 1);
  bool any = false;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    value_id v = op->operands[i];
    if (!r->have[v] || r->constant[v])
      continue;
    operands[i] = sharding_at(r, v, r->have[v]);
    any = true;
  }
  if (any && recover(r, operands, results, false, out))
    return;
  for (uint32_t rank = IR_MAX_RANK + 1; any && rank-- > 0;)
    for (uint32_t i = 0; i < op->n_operands; i++) {
      const struct sharding **one =
          ARENA_ARRAY(r->arena, const struct sharding *, op->n_operands + 1);
      one[i] = operands[i];
      if (operands[i] && operands[i]->rank == rank && recover(r, one, results, false, out))
        return;
    }
  *out = (struct op_split){0};
}

static void choose(struct reader *r, op_id id, struct op_split *out) {
  r->op = function_op(r->f, id);
  r->operands = ARENA_ARRAY(r->arena, sharding_id, r->op->n_operands + 1);
  r->results = ARENA_ARRAY(r->arena, sharding_id, r->op->n_results + 1);
  factors_of(r->f, r->op, r->arena, &r->factors);
  bool constant = r->op->n_results > 0 && !(op_infos[r->op->kind].flags & OP_FLAG_CONTROL);
  for (uint32_t i = 0; i < r->op->n_operands; i++)
    constant &= r->constant[r->op->operands[i]];
  for (uint32_t i = 0; i < r->op->n_results; i++)
    r->constant[r->op->results[i]] = constant;
  for (uint32_t i = 0; constant && i < r->op->n_results; i++) {
    /* Made again as readers want it. */
    const struct node_tensor *t = annotations_tensor(r->f, r->op, true, i);
    if (t)
      r->met[t - r->f->module->node_tensors.data] = true;
  }
  if (constant || r->op->n_regions || r->op->n_results == 0)
    return;
  if (!from_annotations(r, out))
    from_operands(r, out);
  if (!fits(r, out))
    return;
  for (uint32_t i = 0; i < r->op->n_results; i++)
    r->have[r->op->results[i]] = merged(r->f, r->op->results[i], r->results[i]);
}

static status report(const struct reader *r) {
  const struct module *m = r->f->module;
  status st = STATUS_OK;
  uint32_t gone = 0;
  const struct node_tensor *first = NULL;
  for (uint32_t i = 0; i < m->node_tensors.len; i++) {
    const struct node_tensor *t = &m->node_tensors.data[i];
    struct diag_where where = module_where(m, t->provenance);
    if (!t->annotated || r->met[i] || !t->type.sharding)
      continue;
    if (r->failed[i]) {
      st = diag_report(r->diags, DIAG_E0347, &where, NULL, "no split of the node holds '%s' so",
                       t->name);
    } else if (!gone++) {
      first = t;
    }
  }
  if (gone)
    diag_report(r->diags, DIAG_W0341, NULL, NULL,
                "%u annotated tensors, '%s' the first, are no values of @%s", gone, first->name,
                r->f->name);
  return st;
}

status annotated_assignment(struct function *f, struct arena *arena, struct diags *diags,
                            struct assignment *out) {
  const struct region *body = &f->regions.data[0];
  uint32_t n = f->module->node_tensors.len;
  struct reader r = {.f = f,
                     .mesh = f->module->annotated_mesh - 1,
                     .arena = arena,
                     .diags = diags,
                     .have = ARENA_ARRAY(arena, sharding_id, f->values.len),
                     .constant = ARENA_ARRAY(arena, bool, f->values.len),
                     .met = ARENA_ARRAY(arena, bool, n + 1),
                     .failed = ARENA_ARRAY(arena, bool, n + 1)};
  *out = (struct assignment){.mesh = r.mesh, .n_ops = f->ops.len};
  out->ops = ARENA_ARRAY(arena, struct op_split, f->ops.len);
  for (uint32_t i = 0; i < body->ops.len; i++)
    choose(&r, f->regions.data[0].ops.data[i], &out->ops[f->regions.data[0].ops.data[i]]);
  vec_deinit(&r.factors.factors);
  return report(&r);
}

void annotations_drop(struct module *m, struct diags *diags) {
  if (m->annotated_mesh)
    diag_report(diags, DIAG_W0341, NULL, NULL,
                "the model is split as the options say, and not as its nodes are annotated");
  m->annotated_mesh = 0;
}

/* ---- and back ---- */

void annotations_note(const struct function *f) {
  struct module *m = f->module;
  const struct region *body = &f->regions.data[0];
  for (uint32_t i = 0; i < m->node_tensors.len; i++)
    m->node_tensors.data[i].annotated = false;
  m->annotated_mesh = 0;
  for (uint32_t i = 0; i < body->ops.len; i++) {
    const struct op *op = function_op(f, body->ops.data[i]);
    for (uint32_t k = 0; k < op->n_operands + op->n_results; k++) {
      bool result = k >= op->n_operands;
      uint32_t slot = result ? k - op->n_operands : k;
      struct node_tensor *t = annotations_tensor(f, op, result, slot);
      value_id v = result ? op->results[slot] : op->operands[slot];
      if (!t || (t->annotated && !result))
        continue;
      sharding_id id = noted(f, op, v, t);
      t->annotated = true;
      t->type.sharding = id;
      if (id)
        m->annotated_mesh = m->shardings.data[id]->mesh + 1;
    }
  }
}
