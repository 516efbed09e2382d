/* SPDX-License-Identifier: Apache-2.0 */
/* The plan writer; see plan_write.h.
 *
 * Each region of control flow becomes a block. Values between kernels get storage:
 *
 *   - a parameter of the entry: INPUT (sub-byte: unpacked into the arena first)
 *   - const, part: CONSTANT
 *   - a result of an exchange: ARENA; what is exchanged is stored whole, by kernels
 *   - a result of a kernel: OUTPUT where it is a result of the entry, else ARENA with the steps it
 *     lives between
 *   - reshape: ALIAS
 *   - results of `if`, what loops carry, results of kernels that run once: DYNAMIC
 *
 * Arenas are laid out in phases: a value whose size needs a symbol that is bound on the way belongs
 * to a phase that begins after the binding. Lifetimes are counted in steps over all blocks; a value
 * used inside a nested block lives until the step that holds the block ends. */
#include "codegen/plan_writer.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "codegen/in_place.h"
#include "ir/exchange_group.h"
#include "ir/shard_index.h"
#include "ir/states.h"
#include "runtime/engine_format.h"

/* ---- provenance ---- */

void plan_provenance(struct plan_writer *w, uint32_t block, uint32_t provenance) {
  if (provenance)
    manifest_build_step_provenance(w->b, block, &provenance, 1);
}

/* ---- steps ---- */

void plan_begin_phase(struct plan_writer *w, uint32_t block) {
  w->phase = w->b->manifest.phases++;
  w->stale = false;
  manifest_build_step_layout(w->b, block)->phase = w->phase;
}

void plan_copy(struct plan_writer *w, uint32_t block, uint32_t dst, uint32_t src, uint32_t bytes) {
  Engine__Copy *step = manifest_build_step_copy(w->b, block);
  step->dst = dst;
  step->src = src;
  step->bytes = bytes;
}

static uint32_t kernel_row(struct plan_writer *w, const struct kernel *k) {
  return w->kernel_row[k - w->set->kernels.data] - 1;
}

/* An operand in this block's arena that nothing reads after this step and that the result may be
 * written over; 0: none. */
static uint32_t reusable_operand(const struct plan_writer *w, const struct op *op) {
  for (uint32_t i = 0; i < op->n_operands; i++) {
    uint32_t row = w->value[op->operands[i]];
    if (!row)
      continue; /* a constant */
    uint32_t root = plan_alias_root(w, row);
    if (plan_row(w, root)->storage != ENGINE__STORAGE__ARENA || w->depth_of[root] != w->depth)
      continue;
    bool counted = root < w->uses_left.len; /* an iteration number is not */
    if (counted && w->uses_left.data[root] == 0 && in_place_allowed(w->f, op, i))
      return row;
  }
  return 0;
}

static uint32_t add_result(struct plan_writer *w, const struct op *op, value_id v) {
  uint32_t over = reusable_operand(w, op);
  uint32_t row = plan_add_typed(w, value_type(w->f, v), w->f->values.data[v].name,
                                over ? ENGINE__STORAGE__ALIAS : ENGINE__STORAGE__ARENA, 0);
  if (over)
    plan_row(w, row)->alias_of = over;
  plan_count_uses(w, row, v);
  plan_touch(w, row);
  return row;
}

/* ---- estimates of a launch ---- */

static uint32_t sum(struct plan_writer *w, uint32_t a, uint32_t b) {
  return !a ? b : !b ? a : manifest_build_expr(w->b, EXPR_ADD, a, b, 0);
}

/* 0: nothing is computed, or it is too long an expression. */
static uint32_t flops_of(struct plan_writer *w, const struct op *fused) {
  const struct region *r = &w->f->regions.data[fused->regions[0]];
  uint32_t total = 0;
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(w->f, r->ops.data[i]);
    if (!op_infos[op->kind].hooks->flops)
      continue;
    dim d = op_infos[op->kind].hooks->flops(w->f, op);
    if (d != DIM_NONE)
      total = sum(w, total, plan_expr(w, d));
  }
  return total;
}

static bool reads_part(const struct op *op, value_id v) {
  return op->kind == OP_SLICE || (op->kind == OP_GATHER && op->operands[0] == v);
}

/* Bytes of operand i that are read: of one that is only gathered or sliced, what that gives. */
static uint32_t read_bytes(struct plan_writer *w, const struct op *fused, uint32_t i) {
  const struct region *r = &w->f->regions.data[fused->regions[0]];
  const struct type *type = value_type(w->f, fused->operands[i]);
  value_id inner = r->params.data[i];
  uint32_t total = 0, parts = 0;
  for (uint32_t k = 0; k < r->ops.len; k++) {
    const struct op *op = function_op(w->f, r->ops.data[k]);
    for (uint32_t j = 0; j < op->n_operands; j++) {
      if (op->operands[j] != inner)
        continue;
      if (!reads_part(op, inner))
        return plan_value_bytes(w, type);
      if (parts++ == 8)
        return plan_value_bytes(w, type);
      total = sum(w, total,
                  plan_product(w, value_type(w->f, op->results[0])->dims,
                               value_type(w->f, op->results[0])->rank,
                               dtype_unpacked_bytes(type->dtype)));
    }
  }
  return total ? total : plan_value_bytes(w, type);
}

static uint32_t traffic_of(struct plan_writer *w, const struct op *fused) {
  uint32_t total = 0;
  for (uint32_t i = 0; i < fused->n_operands; i++)
    total = sum(w, total, read_bytes(w, fused, i));
  for (uint32_t i = 0; i < fused->n_results; i++) {
    total = sum(w, total, plan_value_bytes(w, value_type(w->f, fused->results[i])));
  }
  return total;
}

static uint32_t launch_dim(struct plan_writer *w, const struct op *fused,
                           const struct kernel_dim *d) {
  if (!d->reporter)
    return plan_expr(w, d->d);
  const struct region *r = &w->f->regions.data[fused->regions[0]];
  const struct op *op = function_op(w->f, r->ops.data[d->reporter - 1]);
  return manifest_build_const(w->b, (int64_t)op->provenance + 1);
}

/* Results that stay from run to run: buffers of their own. */
static void keep_results(struct plan_writer *w, uint32_t block, const struct op *op) {
  for (uint32_t i = 0; i < op->n_results; i++) {
    value_id v = op->results[i];
    w->value[v] = plan_add_typed(w, value_type(w->f, v), w->f->values.data[v].name,
                                 ENGINE__STORAGE__DYNAMIC, 0);
    manifest_build_step_reserve(w->b, block)->value = w->value[v];
  }
}

static uint32_t once_block(struct plan_writer *w) {
  if (!w->variant->once)
    w->variant->once = manifest_build_block(w->b);
  return w->variant->once;
}

static void write_launch(struct plan_writer *w, uint32_t block, op_id id) {
  const struct op *op = function_op(w->f, id);
  bool once = OP_ATTRS(fused, op)->once;
  if (once) {
    block = once_block(w);
    keep_results(w, block, op);
  }
  const struct kernel *k = kernel_of(w->set, w->f, id);
  uint32_t n = op->n_operands + op->n_results;
  uint32_t *buffers = ARENA_ARRAY(w->b->arena, uint32_t, n);
  uint32_t *dims = ARENA_ARRAY(w->b->arena, uint32_t, k->dims.len + 1);
  if (w->stale && !once)
    plan_begin_phase(w, block);
  w->clock++;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct pack *pack = NULL;
    for (uint32_t j = 0; j < k->packs.len; j++) {
      if (k->packs.data[j].operand == i)
        pack = &k->packs.data[j].pack;
    }
    buffers[i] =
        pack ? plan_constant_value(w, op->operands[i], pack) : plan_use(w, op->operands[i]);
  }
  for (uint32_t i = 0; i < op->n_results; i++) {
    value_id v = op->results[i];
    if (!w->value[v]) {
      w->value[v] = add_result(w, op, v);
    } else if (!once) {
      plan_row(w, w->value[v])->phase = w->phase; /* an output: sized with this phase */
    }
    buffers[op->n_operands + i] = w->value[v];
  }
  for (uint32_t i = 0; i < k->dims.len; i++)
    dims[i] = launch_dim(w, op, &k->dims.data[i]);
  Engine__Launch *step =
      manifest_build_launch(w->b, block, kernel_row(w, k), buffers, n, dims, k->dims.len);
  step->tiles = plan_product(w, k->grid.data, k->grid.len, 1);
  step->scratch = k->scratch.len ? plan_product(w, k->scratch.data, k->scratch.len, 1) : 0;
  step->flops = flops_of(w, op);
  step->traffic = traffic_of(w, op);
  plan_provenance(w, block, op->provenance);
}

uint32_t plan_use_unpacked(struct plan_writer *w, uint32_t block, value_id v) {
  const struct type *type = value_type(w->f, v);
  uint32_t from = plan_value_of(w, v);
  bool packed =
      dtype_is_sub_byte(type->dtype) && plan_row(w, from)->storage == ENGINE__STORAGE__CONSTANT;
  if (!packed)
    return plan_use(w, v);
  if (w->stale)
    plan_begin_phase(w, block);
  uint32_t to = plan_add_typed(w, type, NULL, ENGINE__STORAGE__ARENA, 0);
  Engine__Unpack *step = manifest_build_step_unpack(w->b, block);
  step->dst = to;
  step->src = from;
  step->elements = plan_elements(w, type);
  step->dtype = type->dtype;
  plan_touch(w, from);
  plan_touch(w, to);
  return to;
}

static void write_alias(struct plan_writer *w, uint32_t block, const struct op *op) {
  uint32_t of = plan_use_unpacked(w, block, op->operands[0]);
  value_id v = op->results[0];
  uint32_t saved = w->depth;
  const struct type *type = value_type(w->f, v);
  w->depth = w->depth_of[of];
  w->value[v] = plan_add_value(w, type, w->f->values.data[v].name, ENGINE__STORAGE__ALIAS, 0,
                               plan_value_bytes(w, type));
  w->depth = saved;
  plan_row(w, w->value[v])->alias_of = of;
  plan_count_uses(w, w->value[v], v);
}

static void write_symbol(struct plan_writer *w, uint32_t block, const struct op *op) {
  const struct symbol_attrs *a = OP_ATTRS(symbol, op);
  uint32_t symbol = 0;
  bool plain = dim_symbol_of(w->m->dims, a->symbol, &symbol);
  assert(plain);
  (void)plain;
  w->clock++;
  Engine__BindSymbol *step = manifest_build_step_bind_symbol(w->b, block);
  step->symbol = plan_symbol_row(symbol);
  step->value = plan_use(w, op->operands[0]);
  step->element = manifest_build_const(w->b, a->index);
  plan_provenance(w, block, op->provenance);
  w->stale = true;
}

static void write_check(struct plan_writer *w, uint32_t block, dim lhs, enum relation relation,
                        dim rhs, const char *message, uint32_t provenance) {
  uint32_t a, b;
  Engine__Relation r;
  plan_relate(w, lhs, relation, rhs, &a, &r, &b);
  Engine__Check *step = manifest_build_step_check(w->b, block);
  step->condition->a = a;
  step->condition->relation = r;
  step->condition->b = b;
  step->message = manifest_build_string(w->b, message);
  plan_provenance(w, block, provenance);
}

/* ---- between ranks ---- */

static void write_exchange(struct plan_writer *w, uint32_t block, const struct op *op) {
  static const Engine__Reduction reductions[] = {[PARTIAL_SUM] = ENGINE__REDUCTION__SUM,
                                                 [PARTIAL_MAX] = ENGINE__REDUCTION__MAX,
                                                 [PARTIAL_MIN] = ENGINE__REDUCTION__MIN,
                                                 [PARTIAL_PROD] = ENGINE__REDUCTION__PROD};
  static const Engine__ExchangeKind kinds[] = {
      [EXCHANGE_ALL_REDUCE] = ENGINE__EXCHANGE_KIND__ALL_REDUCE,
      [EXCHANGE_ALL_GATHER] = ENGINE__EXCHANGE_KIND__ALL_GATHER,
      [EXCHANGE_REDUCE_SCATTER] = ENGINE__EXCHANGE_KIND__REDUCE_SCATTER,
      [EXCHANGE_ALL_TO_ALL] = ENGINE__EXCHANGE_KIND__ALL_TO_ALL,
      [EXCHANGE_PERMUTE] = ENGINE__EXCHANGE_KIND__PERMUTE};
  const struct exchange_attrs *a = OP_ATTRS(exchange, op);
  struct axis_ref refs[MESH_MAX_AXES];
  uint32_t n_refs, from[INT8_MAX + 1];
  int64_t n;
  uint32_t src[2], dst[2];
  for (uint32_t i = 0; i < op->n_operands; i++)
    src[i] = plan_use_unpacked(w, block, op->operands[i]);
  if (w->stale)
    plan_begin_phase(w, block);
  w->clock++;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    value_id to = op->results[i];
    plan_touch(w, src[i]);
    dst[i] = w->value[to] = plan_add_typed(w, value_type(w->f, to), w->f->values.data[to].name,
                                           ENGINE__STORAGE__ARENA, 0);
    plan_count_uses(w, dst[i], to);
    plan_touch(w, dst[i]);
  }
  Engine__Exchange *step = manifest_build_step_exchange(w->b, block);
  step->kind = kinds[a->kind];
  step->reduction = a->reduce ? reductions[a->reduce] : 0;
  w->failed |= !exchange_group(w->m, a, refs, &n_refs, &n) || w->m->meshes.data[a->mesh] != w->mesh;
  for (uint32_t i = 0; i < n_refs && !w->failed; i++) {
    manifest_build_exchange_axis(w->b, step, refs[i].axis, (uint32_t)refs[i].sub_size,
                                 (uint32_t)refs[i].sub_stride);
  }
  for (uint32_t i = 0; i < op->n_operands; i++) {
    /* One block: all of the smaller side. */
    bool gathers = a->kind == EXCHANGE_ALL_GATHER;
    const struct type *type = value_type(w->f, gathers ? op->operands[i] : op->results[i]);
    uint32_t first = a->kind == EXCHANGE_ALL_TO_ALL;
    manifest_build_exchange_part(w->b, step, src[i], dst[i],
                                 plan_product(w, type->dims + first, type->rank - first, 1));
  }
  w->failed |= a->from.len > INT8_MAX;
  for (uint32_t i = 0; i < a->from.len && !w->failed; i++)
    from[i] = (uint32_t)a->from.data[i];
  if (a->from.len && !w->failed)
    manifest_build_exchange_from(w->b, step, from, a->from.len);
  plan_provenance(w, block, op->provenance);
}

/* ---- on the host ---- */

static void write_host(struct plan_writer *w, uint32_t block, const struct op *op) {
  const struct host_attrs *a = OP_ATTRS(host, op);
  uint32_t operands[HOST_OP_MAX_OPERANDS], counts[HOST_OP_MAX_OPERANDS];
  value_id to = op->results[0];
  if (w->stale)
    plan_begin_phase(w, block);
  w->clock++;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    operands[i] = plan_use(w, op->operands[i]);
    counts[i] = plan_elements(w, value_type(w->f, op->operands[i]));
  }
  uint32_t result = w->value[to];
  if (result) {
    plan_row(w, result)->phase = w->phase; /* an output: sized with this phase */
  } else {
    result = w->value[to] = plan_add_typed(w, value_type(w->f, to), w->f->values.data[to].name,
                                           ENGINE__STORAGE__ARENA, 0);
    plan_count_uses(w, result, to);
    plan_touch(w, result);
  }
  Engine__Host *step = manifest_build_step_host(w->b, block);
  step->function = a->function;
  manifest_build_host_operands(w->b, step, operands, counts, op->n_operands);
  step->result = result;
  step->elements = plan_elements(w, value_type(w->f, to));
  plan_provenance(w, block, op->provenance);
}

/* The mesh that a module's functions are of; NULL: they are of one rank. */
static const struct mesh *mesh_of(const struct module *m) {
  for (uint32_t i = 0; i < m->functions.len; i++) {
    const struct function *f = m->functions.data[i];
    for (op_id id = 1; id < f->ops.len; id++) {
      const struct op *op = function_op(f, id);
      if (op->kind == OP_EXCHANGE)
        return m->meshes.data[OP_ATTRS(exchange, op)->mesh];
      if (op->kind != OP_PART)
        continue;
      return m->meshes.data[m->shardings.data[OP_ATTRS(part, op)->whole->sharding]->mesh];
    }
  }
  return m->meshes.len == 1 ? m->meshes.data[0] : NULL; /* all of it on every rank */
}

static void write_op(struct plan_writer *w, uint32_t block, op_id id) {
  const struct op *op = function_op(w->f, id);
  switch (op->kind) {
  case OP_CONST:
  case OP_PART: break;
  case OP_EXCHANGE: write_exchange(w, block, op); break;
  case OP_HOST: write_host(w, block, op); break;
  case OP_FUSED: write_launch(w, block, id); break;
  case OP_RESHAPE: write_alias(w, block, op); break;
  case OP_SYMBOL: write_symbol(w, block, op); break;
  case OP_CHECK: {
    const struct check_attrs *a = OP_ATTRS(check, op);
    write_check(w, block, a->lhs, a->relation, a->rhs, a->message, op->provenance);
    break;
  }
  case OP_IF: plan_write_if(w, block, op); break;
  case OP_LOOP: plan_write_loop(w, block, op); break;
  default: assert(!"an op that fuse leaves nowhere"); break;
  }
}

void plan_write_region(struct plan_writer *w, uint32_t block, region_id region) {
  const struct region *r = &w->f->regions.data[region];
  for (uint32_t i = 0; i < r->ops.len; i++)
    write_op(w, block, r->ops.data[i]);
}

/* ---- entries ---- */

/* The last variant has the entry's signature: in others dims may be what their guards say. */
static void write_inputs(struct plan_writer *w, uint32_t block, const struct entry *e,
                         uint32_t entry, bool last_variant) {
  const struct region *r = &w->f->regions.data[0];
  for (uint32_t i = 0; i < r->params.len; i++) {
    value_id v = r->params.data[i];
    const struct type *type = value_type(w->f, v);
    bool packed = dtype_is_sub_byte(type->dtype);
    uint32_t input =
        plan_add_value(w, type, e->input_names.data[i], ENGINE__STORAGE__INPUT, i,
                       packed ? plan_packed_bytes(w, type) : plan_value_bytes(w, type));
    w->value[v] = input;
    if (last_variant) {
      uint32_t dims[IR_MAX_RANK];
      for (uint32_t d = 0; d < type->rank; d++)
        dims[d] = plan_expr(w, type->dims[d]);
      manifest_build_input(w->b, entry, e->input_names.data[i], type->dtype, dims, type->rank,
                           input);
    }
    if (!packed)
      continue;
    w->value[v] = plan_add_typed(w, type, NULL, ENGINE__STORAGE__ARENA, 0);
    plan_count_uses(w, w->value[v], v);
    Engine__Unpack *step = manifest_build_step_unpack(w->b, block);
    step->dst = w->value[v];
    step->src = input;
    step->elements = plan_elements(w, type);
    step->dtype = type->dtype;
  }
}

/* A result that a kernel of the body can write where the caller wants it. */
static bool writes_directly(const struct plan_writer *w, uint32_t i) {
  const struct region *r = &w->f->regions.data[0];
  value_id v = r->results.data[i];
  const struct op *def = value_def(w->f, v);
  if (!def || (def->kind != OP_FUSED && def->kind != OP_HOST) || def->parent != 0)
    return false;
  if (dtype_is_sub_byte(value_type(w->f, v)->dtype) ||
      (def->kind == OP_FUSED && OP_ATTRS(fused, def)->once))
    return false;
  for (uint32_t j = 0; j < i; j++) {
    if (r->results.data[j] == v)
      return false;
  }
  return true;
}

static void declare_outputs(struct plan_writer *w, uint32_t *out_rows) {
  const struct region *r = &w->f->regions.data[0];
  for (uint32_t i = 0; i < r->results.len; i++) {
    value_id v = r->results.data[i];
    const struct type *type = value_type(w->f, v);
    bool packed = dtype_is_sub_byte(type->dtype);
    out_rows[i] = plan_add_value(w, type, NULL, ENGINE__STORAGE__OUTPUT, i,
                                 packed ? plan_packed_bytes(w, type) : plan_value_bytes(w, type));
    if (writes_directly(w, i))
      w->value[v] = out_rows[i];
  }
}

static void write_outputs(struct plan_writer *w, uint32_t block, const uint32_t *rows) {
  const struct region *r = &w->f->regions.data[0];
  w->clock++;
  bool any = false;
  for (uint32_t i = 0; i < r->results.len; i++)
    any |= !writes_directly(w, i);
  for (uint32_t i = 0; i < r->results.len; i++) {
    if (!writes_directly(w, i))
      plan_row(w, rows[i])->phase = w->b->manifest.phases;
  }
  if (any)
    plan_begin_phase(w, block); /* sizes the outputs that are copied to */
  for (uint32_t i = 0; i < r->results.len; i++) {
    value_id v = r->results.data[i];
    const struct type *type = value_type(w->f, v);
    if (writes_directly(w, i))
      continue;
    uint32_t from = plan_use(w, v);
    bool constant = plan_row(w, from)->storage == ENGINE__STORAGE__CONSTANT;
    if (!dtype_is_sub_byte(type->dtype) || constant) {
      plan_copy(w, block, rows[i], from, plan_packed_bytes(w, type));
      continue;
    }
    Engine__Pack *step = manifest_build_step_pack(w->b, block);
    step->dst = rows[i];
    step->src = from;
    step->elements = plan_elements(w, type);
    step->dtype = type->dtype;
  }
}

static void write_function(struct plan_writer *w, uint32_t block, const struct entry *e,
                           uint32_t entry, bool last_variant) {
  const struct region *r = &w->f->regions.data[0];
  w->value = mem_calloc(w->f->values.len, sizeof *w->value);
  uses_build(w->f, w->b->arena, &w->uses);
  for (uint32_t i = 0; i < w->f->where.len; i++) {
    const struct guard *g = &w->f->where.data[i];
    write_check(w, block, g->lhs, g->relation, g->rhs, "the inputs' dims do not fit together", 0);
  }
  plan_begin_phase(w, block);
  write_inputs(w, block, e, entry, last_variant);
  uint32_t *rows = ARENA_ARRAY(w->b->arena, uint32_t, r->results.len + 1);
  declare_outputs(w, rows);
  plan_write_region(w, block, 0);
  write_outputs(w, block, rows);
  for (uint32_t i = 0; last_variant && i < r->results.len; i++) {
    const struct type *type = value_type(w->f, r->results.data[i]);
    uint32_t dims[IR_MAX_RANK];
    for (uint32_t d = 0; d < type->rank; d++)
      dims[d] = plan_expr(w, type->dims[d]);
    manifest_build_output(w->b, entry, e->output_names.data[i], type->dtype, dims, type->rank,
                          rows[i]);
  }
  mem_free(w->value);
}

/* The one symbol that the rows of a state, or of a rank's part of it, are counted by. */
static bool capacity_symbol(const struct dim_table *t, dim rows, uint32_t *out) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < dim_symbol_count(t); i++) {
    if (!dim_uses_symbol(t, rows, i))
      continue;
    *out = i;
    found++;
  }
  return found == 1;
}

/* The session gives the capacity a value. */
static void write_states(struct plan_writer *w, const struct entry *e, uint32_t entry) {
  Engine__Entry *row = w->b->manifest.entries[entry];
  const struct function *f = e->variants.data[0].function;
  row->length = e->length;
  row->count = e->count;
  for (uint32_t i = 0; i < e->states.len; i++) {
    const struct entry_state *s = &e->states.data[i];
    value_id result;
    uint32_t symbol = 0;
    const struct op *update = state_update(f, s->input, &result);
    assert(update);
    uint32_t axis = (uint32_t)OP_ATTRS(update, update)->axis;
    dim rows = value_type(f, f->regions.data[0].params.data[s->input])->dims[axis];
    w->failed |= !capacity_symbol(w->m->dims, rows, &symbol);
    row->capacity = plan_symbol_row(symbol);
    manifest_build_state(w->b, entry, s->input, s->output, axis);
  }
}

static void write_entry(struct plan_writer *w, const struct entry *e) {
  uint32_t entry = manifest_build_entry(w->b, e->name);
  write_states(w, e, entry);
  for (uint32_t i = 0; i < e->variants.len; i++) {
    const struct entry_variant *v = &e->variants.data[i];
    w->f = v->function;
    uint32_t block = manifest_build_block(w->b);
    Engine__Variant *variant = manifest_build_variant(w->b, entry, block);
    for (uint32_t g = 0; g < v->guards.len; g++) {
      uint32_t a, b;
      Engine__Relation r;
      plan_relate(w, v->guards.data[g].lhs, v->guards.data[g].relation, v->guards.data[g].rhs, &a,
                  &r, &b);
      manifest_build_guard(w->b, variant, a, r, b);
    }
    w->variant = variant;
    write_function(w, block, e, entry, i + 1 == e->variants.len);
  }
}

/* ---- tables ---- */

static void write_kernel(struct plan_writer *w, uint32_t i, const struct plan_target *targets,
                         uint32_t n_targets) {
  const struct kernel *k = &w->set->kernels.data[i];
  const struct op *op = function_op(k->function, k->op);
  uint64_t offsets[CODE_SECTIONS_MAX];
  for (uint32_t t = 0; t < n_targets; t++) {
    const struct code_symbol *symbol = code_blob_find(&targets[t].blob, k->symbol);
    assert(symbol);
    offsets[t] = symbol->offset;
  }
  Engine__Kernel row = ENGINE__KERNEL__INIT;
  row.buffer_count = op->n_operands + op->n_results;
  row.dim_count = k->dims.len;
  row.block_threads = k->block_threads;
  row.shared_bytes = k->shared_bytes;
  w->kernel_row[i] = 1 + manifest_build_kernel(w->b, k->symbol, row, offsets, n_targets);
}

static void write_tables(struct plan_writer *w, const struct plan_target *targets,
                         uint32_t n_targets) {
  struct module *m = w->m;
  w->b->manifest.producer = arena_strdup(w->b->arena, "sinter 0.1.0");
  for (uint32_t i = 0; i < dim_symbol_count(m->dims); i++) {
    uint32_t row = manifest_build_symbol(w->b, dim_symbol_name(m->dims, i),
                                         dim_symbol_lo(m->dims, i), dim_symbol_hi(m->dims, i));
    assert(row == plan_symbol_row(i));
    (void)row;
  }
  for (uint32_t i = 0; w->mesh && i < w->mesh->n_axes; i++)
    manifest_build_axis(w->b, w->mesh->axes[i].name, (uint32_t)w->mesh->axes[i].size);
  if (m->strings.count > 1)
    manifest_build_host_strings(w->b, &m->strings);
  manifest_build_provenance(w->b, "", "", -1); /* row 0: ids are rows */
  for (uint32_t i = 1; i < m->provenance.len; i++) {
    const struct provenance *p = &m->provenance.data[i];
    manifest_build_provenance(w->b, p->node, p->op, p->index);
  }
  for (uint32_t t = 0; t < n_targets; t++)
    manifest_build_target(w->b, targets[t].name, targets[t].section, targets[t].assembler);
  w->kernel_row = mem_calloc(w->set->kernels.len + 1, sizeof *w->kernel_row);
  for (uint32_t i = 0; i < w->set->kernels.len; i++)
    write_kernel(w, i, targets, n_targets);
}

status plan_init(struct plan *p, struct module *m, const struct kernel_set *set,
                 const struct plan_target *targets, uint32_t n_targets, struct arena *arena,
                 struct diags *diags) {
  *p = (struct plan){0};
  manifest_build_init(&p->build, arena);
  struct plan_writer w = {
      .plan = p, .b = &p->build, .m = m, .set = set, .diags = diags, .mesh = mesh_of(m)};
  w.constant = mem_calloc(m->constants.len + 1, sizeof *w.constant);
  write_tables(&w, targets, n_targets);
  for (uint32_t i = 0; i < m->entries.len; i++)
    write_entry(&w, &m->entries.data[i]);
  vec_deinit(&w.borrowed);
  vec_deinit(&w.next_form);
  vec_deinit(&w.uses_left);
  mem_free(w.constant);
  mem_free(w.expr);
  mem_free(w.kernel_row);
  mem_free(w.depth_of);
  if (!w.failed)
    return STATUS_OK;
  return diag_report(diags, DIAG_E0411, NULL, "fix more of the model's dims, with --shape",
                     "a size of the model is too long an expression of its dims");
}

void plan_deinit(struct plan *p) {
  manifest_build_deinit(&p->build);
  vec_deinit(&p->constants);
}
