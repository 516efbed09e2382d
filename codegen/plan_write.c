/* SPDX-License-Identifier: Apache-2.0 */
/* The plan writer; see plan_write.h.
 *
 * Each region of control flow becomes a block. Values between kernels get storage:
 *
 *   parameter of the entry        INPUT (sub-byte: unpacked into the arena first)
 *   const, part                   CONSTANT
 *   result of an exchange         ARENA; what is exchanged is stored whole, by kernels
 *   result of a kernel            OUTPUT where it is a result of the entry, else ARENA with the
 * steps it lives between reshape                       ALIAS results of if, loop-carried, of
 * kernels that run once   DYNAMIC
 *
 * Arenas are laid out in phases: a value whose size needs a symbol that is bound on the way belongs
 * to a phase that begins after the binding. Lifetimes are counted in steps over all blocks; a value
 * used inside a nested block lives until the step that holds the block ends. */
#include "codegen/plan_write.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "codegen/const_part.h"
#include "codegen/in_place.h"
#include "ir/exchange_group.h"
#include "ir/shard_index.h"
#include "ir/states.h"
#include "runtime/engine_format.h"

struct writer {
  struct plan *plan;
  struct manifest_build *b;
  struct module *m;
  const struct kernel_set *set;
  struct diags *diags;
  const struct function *f;
  const struct mesh *mesh; /* that ranks are of; NULL: one rank */
  uint32_t *value;         /* by value id of f: manifest value; 0: none */
  uint32_t *constant;      /* by constant id: the latest of its forms in plan->constants, + 1 */
  VEC(uint32_t) next_form; /* by plan->constants: the form before, + 1 */
  uint32_t *expr;          /* by dim id */
  uint32_t n_expr;
  uint32_t *kernel_row; /* by kernel number: manifest kernel + 1 */
  uint32_t clock;
  uint32_t phase; /* of the block being written */
  bool stale;     /* symbols were bound since that phase was laid out */
  uint32_t depth;
  uint32_t *depth_of; /* by manifest value: of the block that made it */
  uint32_t depth_cap;
  Engine__Variant *variant;
  bool failed;      /* a size is no expression */
  struct uses uses; /* of f */
  VEC(uint32_t)
  uses_left; /* by manifest value that is no alias: reads of its storage still to come */
  VEC(uint32_t) borrowed; /* outer values read since their nested block began */
};

/* ---- dims ---- */

static uint32_t symbol_row(uint32_t symbol) { return symbol + 1; }

/* The number of a coordinate's axis in the mesh. */
static uint32_t axis_of(struct writer *w, uint32_t coord) {
  const struct dim_table *t = w->m->dims;
  for (uint32_t i = 0; w->mesh && i < w->mesh->n_axes; i++) {
    if (!strcmp(w->mesh->axes[i].name, dim_coord_name(t, coord)) &&
        w->mesh->axes[i].size == dim_coord_size(t, coord))
      return i;
  }
  w->failed = true;
  return 0;
}

static uint32_t expr_of(struct writer *w, dim d) {
  struct dim_table *t = w->m->dims;
  if (d >= w->n_expr) {
    uint32_t n = d + 64;
    w->expr = mem_realloc(w->expr, n * sizeof *w->expr);
    memset(w->expr + w->n_expr, 0, (n - w->n_expr) * sizeof *w->expr);
    w->n_expr = n;
  }
  if (w->expr[d])
    return w->expr[d] - 1;
  if (d == DIM_NONE) {
    w->failed = true;
    return 0;
  }
  int64_t value = 0;
  uint32_t leaf, row;
  dim a, b;
  if (dim_is_const(t, d, &value)) {
    row = manifest_build_const(w->b, value);
  } else if (dim_symbol_of(t, d, &leaf)) {
    row = manifest_build_symbol_expr(w->b, symbol_row(leaf));
  } else if (dim_coord_of(t, d, &leaf)) {
    row = manifest_build_expr(w->b, EXPR_COORD, axis_of(w, leaf), 0, dim_coord_size(t, leaf));
  } else {
    bool binary = dim_operands(t, d, &a, &b);
    assert(binary);
    (void)binary;
    uint32_t x = expr_of(w, a), y = expr_of(w, b);
    row = manifest_build_expr(w->b, (enum expr_op)dim_kind(t, d), x, y, 0);
  }
  w->expr[d] = row + 1;
  return row;
}

/* A product as the manifest's own expression: the product of symbolic sums, multiplied out, may be
 * too long for one dim. */
static uint32_t product(struct writer *w, const dim *dims, uint32_t n, int64_t factor) {
  struct dim_table *t = w->m->dims;
  uint32_t row = 0;
  bool none = true;
  for (uint32_t i = 0; i < n; i++) {
    int64_t value;
    if (dim_is_const(t, dims[i], &value) && !__builtin_mul_overflow(factor, value, &value)) {
      factor = value;
      continue;
    }
    uint32_t x = expr_of(w, dims[i]);
    row = none ? x : manifest_build_expr(w->b, EXPR_MUL, row, x, 0);
    none = false;
  }
  if (none)
    return manifest_build_const(w->b, factor);
  if (factor == 1)
    return row;
  return manifest_build_expr(w->b, EXPR_MUL, row, manifest_build_const(w->b, factor), 0);
}

static uint32_t elements(struct writer *w, const struct type *type) {
  return product(w, type->dims, type->rank, 1);
}

static uint32_t value_bytes(struct writer *w, const struct type *type) {
  return product(w, type->dims, type->rank, dtype_unpacked_bytes(type->dtype));
}

/* Packed, as constants and the API hold it. */
static uint32_t packed_bytes(struct writer *w, const struct type *type) {
  if (!dtype_is_sub_byte(type->dtype))
    return value_bytes(w, type);
  uint32_t per_byte = 8 / dtype_bits(type->dtype);
  uint32_t up = manifest_build_expr(w->b, EXPR_ADD, elements(w, type),
                                    manifest_build_const(w->b, per_byte - 1), 0);
  return manifest_build_expr(w->b, EXPR_FLOORDIV, up, manifest_build_const(w->b, per_byte), 0);
}

/* A relation as the manifest has it: lhs relation rhs. */
static void relate(struct writer *w, dim lhs, enum relation relation, dim rhs, uint32_t *out_a,
                   Engine__Relation *out_relation, uint32_t *out_b) {
  struct dim_table *t = w->m->dims;
  dim one = dim_const(t, 1), zero = dim_const(t, 0);
  *out_relation = relation == RELATION_LE   ? ENGINE__RELATION__LE
                  : relation == RELATION_LT ? ENGINE__RELATION__LT
                                            : ENGINE__RELATION__EQ;
  if (relation == RELATION_BROADCAST) {
    /* a = b, or one of them is 1 and the other not 0:
     * (a - b) * (((a - 1) * (b - 1))^2 + (1 - min(a, b, 1))) = 0. */
    dim a_1 = dim_sub(t, lhs, one), b_1 = dim_sub(t, rhs, one);
    dim units[4] = {a_1, b_1, a_1, b_1};
    dim empty = dim_sub(t, one, dim_min(t, dim_min(t, lhs, rhs), one));
    uint32_t either =
        manifest_build_expr(w->b, EXPR_ADD, product(w, units, 4, 1), expr_of(w, empty), 0);
    uint32_t differ = expr_of(w, dim_sub(t, lhs, rhs));
    *out_a = manifest_build_expr(w->b, EXPR_MUL, differ, either, 0);
    *out_b = expr_of(w, zero);
    return;
  }
  if (relation == RELATION_DIVIDES) {
    lhs = dim_mod(t, rhs, lhs);
    rhs = zero;
  }
  *out_a = expr_of(w, lhs);
  *out_b = expr_of(w, rhs);
}

/* ---- provenance ---- */

static void step_provenance(struct writer *w, uint32_t block, uint32_t provenance) {
  if (provenance)
    manifest_build_step_provenance(w->b, block, &provenance, 1);
}

/* ---- values ---- */

static Engine__Value *row_of(const struct writer *w, uint32_t value) {
  return w->b->manifest.values[value];
}

static uint32_t add_value(struct writer *w, const struct type *type, const char *name,
                          Engine__Storage storage, uint32_t index, uint32_t bytes) {
  uint32_t dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < type->rank; i++)
    dims[i] = expr_of(w, type->dims[i]);
  Engine__Value row = ENGINE__VALUE__INIT;
  row.name = name ? manifest_build_string(w->b, name) : 0;
  row.dtype = type->dtype;
  row.bytes = bytes;
  row.storage = storage;
  row.index = index;
  row.phase = w->phase;
  row.first = row.last = w->clock;
  uint32_t v = manifest_build_value(w->b, row, dims, type->rank);
  if (v >= w->depth_cap) {
    w->depth_cap = v * 2 + 64;
    w->depth_of = mem_realloc(w->depth_of, w->depth_cap * sizeof *w->depth_of);
  }
  w->depth_of[v] = w->depth;
  return v;
}

static uint32_t add_typed(struct writer *w, const struct type *type, const char *name,
                          Engine__Storage storage, uint32_t index) {
  return add_value(w, type, name, storage, index, value_bytes(w, type));
}

static uint32_t alias_root(const struct writer *w, uint32_t v) {
  while (row_of(w, v)->storage == ENGINE__STORAGE__ALIAS)
    v = row_of(w, v)->alias_of;
  return v;
}

/* The value is read (or written) by the step of now. */
static void touch(struct writer *w, uint32_t v) {
  v = alias_root(w, v);
  row_of(w, v)->last = w->clock;
  if (w->depth_of[v] < w->depth)
    vec_push(&w->borrowed, v);
}

/* Bytes from one part of a constant to the next: of the largest in this form, aligned. */
static uint64_t part_stride(struct writer *w, const struct plan_constant *p, struct constant *out) {
  uint64_t most = 0;
  for (uint32_t i = 0; i < p->parts; i++) {
    struct constant part;
    uint64_t k, n;
    const_part_shape(w->m, p->id, p->whole, i, &part);
    uint64_t bytes = part.bytes;
    if (p->pack.panels)
      w->failed |= !pack_size(&part, &p->pack, &k, &n, &bytes);
    if (bytes >= most)
      *out = part;
    if (bytes > most)
      most = bytes;
  }
  return (most + ENGINE_WEIGHT_ALIGNMENT - 1) / ENGINE_WEIGHT_ALIGNMENT * ENGINE_WEIGHT_ALIGNMENT;
}

/* Where the data is in a file of its own, which engines refer to, if they can name it there. */
static bool stays_outside(struct writer *w, const struct plan_constant *p) {
  const struct constant *c = &w->m->constants.data[p->id];
  if (!c->reference)
    return false;
  return !p->whole || (const_part_contiguous(w->m, p->id, p->whole) &&
                       c->bytes / p->parts % ENGINE_WEIGHT_ALIGNMENT == 0);
}

/* The row of a constant that is stored in this form, at the next place of the weights section. */
static void add_constant(struct writer *w, struct plan_constant *p) {
  struct constant c = w->m->constants.data[p->id];
  const struct pack *pack = &p->pack;
  Engine__Constant row = ENGINE__CONSTANT__INIT;
  uint64_t k = 0, n = 0, stride = 0;
  int64_t dims[3];
  row.name = manifest_build_string(w->b, c.name);
  row.dtype = c.dtype;
  p->outside = stays_outside(w, p);
  const char *file = c.reference;
  p->offset = c.offset;
  p->bytes = c.bytes;
  if (p->whole)
    stride = part_stride(w, p, &c);
  if (p->whole && !p->outside)
    p->bytes = stride * p->parts;
  if (p->outside) {
    assert(!pack->panels);
    row.file = manifest_build_weight_file(w->b, file, w->m->constants.data[p->id].file_bytes);
  } else {
    if (pack->panels)
      w->failed |= !pack_size(&c, pack, &k, &n, p->whole ? &stride : &p->bytes);
    p->offset = (w->plan->weight_bytes + ENGINE_WEIGHT_ALIGNMENT - 1) / ENGINE_WEIGHT_ALIGNMENT *
                ENGINE_WEIGHT_ALIGNMENT;
    w->plan->weight_bytes = p->offset + p->bytes;
  }
  if (pack->panels) {
    dims[0] = (int64_t)(n / pack->columns + (n % pack->columns != 0));
    dims[1] = (int64_t)k;
    dims[2] = pack->columns;
  }
  row.offset = p->offset;
  row.bytes = p->bytes;
  row.parts = p->parts > 1 ? p->parts : 0;
  p->row =
      manifest_build_constant(w->b, row, pack->panels ? dims : c.dims, pack->panels ? 3 : c.rank);
}

static bool same_form(const struct plan_constant *p, const struct type *whole,
                      const struct pack *pack) {
  bool same = !p->whole == !whole && (!whole || p->whole->sharding == whole->sharding);
  return same && pack_equal(&p->pack, pack);
}

/* The manifest value of a constant, or of a rank's part of it, in this form; one row for all its
 * uses. */
static uint32_t constant_value(struct writer *w, value_id v, const struct pack *pack) {
  const struct op *def = value_def(w->f, v);
  bool part = def->kind == OP_PART;
  struct plan_constant c = {.parts = 1, .pack = *pack};
  c.id = part ? OP_ATTRS(part, def)->value : OP_ATTRS(const, def)->value;
  c.whole = part ? OP_ATTRS(part, def)->whole : NULL;
  for (uint32_t i = w->constant[c.id]; i; i = w->next_form.data[i - 1]) {
    const struct plan_constant *other = &w->plan->constants.data[i - 1];
    if (same_form(other, c.whole, pack))
      return other->value;
  }
  if (part)
    c.parts = const_part_count(w->m, c.whole);
  add_constant(w, &c);
  uint32_t saved = w->depth;
  w->depth = 0;
  c.value =
      add_value(w, value_type(w->f, v), w->m->constants.data[c.id].name, ENGINE__STORAGE__CONSTANT,
                c.row, manifest_build_const(w->b, (int64_t)(c.bytes / c.parts)));
  if (c.parts > 1)
    row_of(w, c.value)->part = expr_of(w, const_part_number(w->m, c.whole));
  w->depth = saved;
  vec_push(&w->plan->constants, c);
  vec_push(&w->next_form, w->constant[c.id]);
  w->constant[c.id] = w->plan->constants.len;
  return c.value;
}

/* The manifest value of an IR value; constants appear at first use. */
static uint32_t value_of(struct writer *w, value_id v) {
  if (w->value[v])
    return w->value[v];
  const struct op *def = value_def(w->f, v);
  assert(def && (def->kind == OP_CONST || def->kind == OP_PART));
  (void)def;
  static const struct pack as_is = {0};
  return constant_value(w, v, &as_is);
}

static uint32_t use(struct writer *w, value_id v) {
  uint32_t row = value_of(w, v);
  uint32_t root = alias_root(w, row);
  touch(w, row);
  if (root < w->uses_left.len && w->uses_left.data[root])
    w->uses_left.data[root]--;
  return row;
}

/* The storage behind `row` will be read as often as the IR value is, besides what is known already.
 */
static void count_uses(struct writer *w, uint32_t row, value_id v) {
  uint32_t root = alias_root(w, row);
  while (w->uses_left.len <= root)
    vec_push(&w->uses_left, UINT32_MAX / 2); /* never reused */
  if (row == root)
    w->uses_left.data[root] = 0;
  w->uses_left.data[root] += uses_count(&w->uses, v);
}

/* ---- steps ---- */

static void begin_phase(struct writer *w, uint32_t block) {
  w->phase = w->b->manifest.phases++;
  w->stale = false;
  manifest_build_step_layout(w->b, block)->phase = w->phase;
}

static void copy(struct writer *w, uint32_t block, uint32_t dst, uint32_t src, uint32_t bytes) {
  Engine__Copy *step = manifest_build_step_copy(w->b, block);
  step->dst = dst;
  step->src = src;
  step->bytes = bytes;
}

static uint32_t kernel_row(struct writer *w, const struct kernel *k) {
  return w->kernel_row[k - w->set->kernels.data] - 1;
}

/* An operand in this block's arena that nothing reads after this step and that the result may be
 * written over; 0: none. */
static uint32_t reusable_operand(const struct writer *w, const struct op *op) {
  for (uint32_t i = 0; i < op->n_operands; i++) {
    uint32_t row = w->value[op->operands[i]];
    if (!row)
      continue; /* a constant */
    uint32_t root = alias_root(w, row);
    if (row_of(w, root)->storage != ENGINE__STORAGE__ARENA || w->depth_of[root] != w->depth)
      continue;
    bool counted = root < w->uses_left.len; /* an iteration number is not */
    if (counted && w->uses_left.data[root] == 0 && in_place_allowed(w->f, op, i))
      return row;
  }
  return 0;
}

static uint32_t add_result(struct writer *w, const struct op *op, value_id v) {
  uint32_t over = reusable_operand(w, op);
  uint32_t row = add_typed(w, value_type(w->f, v), w->f->values.data[v].name,
                           over ? ENGINE__STORAGE__ALIAS : ENGINE__STORAGE__ARENA, 0);
  if (over)
    row_of(w, row)->alias_of = over;
  count_uses(w, row, v);
  touch(w, row);
  return row;
}

/* ---- estimates of a launch ---- */

static uint32_t sum(struct writer *w, uint32_t a, uint32_t b) {
  return !a ? b : !b ? a : manifest_build_expr(w->b, EXPR_ADD, a, b, 0);
}

/* 0: nothing is computed, or it is too long an expression. */
static uint32_t flops_of(struct writer *w, const struct op *fused) {
  const struct region *r = &w->f->regions.data[fused->regions[0]];
  uint32_t total = 0;
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(w->f, r->ops.data[i]);
    if (!op_infos[op->kind].hooks->flops)
      continue;
    dim d = op_infos[op->kind].hooks->flops(w->f, op);
    if (d != DIM_NONE)
      total = sum(w, total, expr_of(w, d));
  }
  return total;
}

static bool reads_part(const struct op *op, value_id v) {
  return op->kind == OP_SLICE || (op->kind == OP_GATHER && op->operands[0] == v);
}

/* Bytes of operand i that are read: of one that is only gathered or sliced, what that gives. */
static uint32_t read_bytes(struct writer *w, const struct op *fused, uint32_t i) {
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
        return value_bytes(w, type);
      if (parts++ == 8)
        return value_bytes(w, type);
      total =
          sum(w, total,
              product(w, value_type(w->f, op->results[0])->dims,
                      value_type(w->f, op->results[0])->rank, dtype_unpacked_bytes(type->dtype)));
    }
  }
  return total ? total : value_bytes(w, type);
}

static uint32_t traffic_of(struct writer *w, const struct op *fused) {
  uint32_t total = 0;
  for (uint32_t i = 0; i < fused->n_operands; i++)
    total = sum(w, total, read_bytes(w, fused, i));
  for (uint32_t i = 0; i < fused->n_results; i++) {
    total = sum(w, total, value_bytes(w, value_type(w->f, fused->results[i])));
  }
  return total;
}

static uint32_t launch_dim(struct writer *w, const struct op *fused, const struct kernel_dim *d) {
  if (!d->reporter)
    return expr_of(w, d->d);
  const struct region *r = &w->f->regions.data[fused->regions[0]];
  const struct op *op = function_op(w->f, r->ops.data[d->reporter - 1]);
  return manifest_build_const(w->b, (int64_t)op->provenance + 1);
}

/* Results that stay from run to run: buffers of their own. */
static void keep_results(struct writer *w, uint32_t block, const struct op *op) {
  for (uint32_t i = 0; i < op->n_results; i++) {
    value_id v = op->results[i];
    w->value[v] =
        add_typed(w, value_type(w->f, v), w->f->values.data[v].name, ENGINE__STORAGE__DYNAMIC, 0);
    manifest_build_step_reserve(w->b, block)->value = w->value[v];
  }
}

static uint32_t once_block(struct writer *w) {
  if (!w->variant->once)
    w->variant->once = manifest_build_block(w->b);
  return w->variant->once;
}

static void write_launch(struct writer *w, uint32_t block, op_id id) {
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
    begin_phase(w, block);
  w->clock++;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct pack *pack = NULL;
    for (uint32_t j = 0; j < k->packs.len; j++) {
      if (k->packs.data[j].operand == i)
        pack = &k->packs.data[j].pack;
    }
    buffers[i] = pack ? constant_value(w, op->operands[i], pack) : use(w, op->operands[i]);
  }
  for (uint32_t i = 0; i < op->n_results; i++) {
    value_id v = op->results[i];
    if (!w->value[v]) {
      w->value[v] = add_result(w, op, v);
    } else if (!once) {
      row_of(w, w->value[v])->phase = w->phase; /* an output: sized with this phase */
    }
    buffers[op->n_operands + i] = w->value[v];
  }
  for (uint32_t i = 0; i < k->dims.len; i++)
    dims[i] = launch_dim(w, op, &k->dims.data[i]);
  Engine__Launch *step =
      manifest_build_launch(w->b, block, kernel_row(w, k), buffers, n, dims, k->dims.len);
  step->tiles = product(w, k->grid.data, k->grid.len, 1);
  step->scratch = k->scratch.len ? product(w, k->scratch.data, k->scratch.len, 1) : 0;
  step->flops = flops_of(w, op);
  step->traffic = traffic_of(w, op);
  step_provenance(w, block, op->provenance);
}

/* The value with an element per byte, as what is computed is stored: constants of less than a byte
 * are packed, and only kernels that read them directly know. */
static uint32_t use_unpacked(struct writer *w, uint32_t block, value_id v) {
  const struct type *type = value_type(w->f, v);
  uint32_t from = value_of(w, v);
  bool packed =
      dtype_is_sub_byte(type->dtype) && row_of(w, from)->storage == ENGINE__STORAGE__CONSTANT;
  if (!packed)
    return use(w, v);
  if (w->stale)
    begin_phase(w, block);
  uint32_t to = add_typed(w, type, NULL, ENGINE__STORAGE__ARENA, 0);
  Engine__Unpack *step = manifest_build_step_unpack(w->b, block);
  step->dst = to;
  step->src = from;
  step->elements = elements(w, type);
  step->dtype = type->dtype;
  touch(w, from);
  touch(w, to);
  return to;
}

static void write_alias(struct writer *w, uint32_t block, const struct op *op) {
  uint32_t of = use_unpacked(w, block, op->operands[0]);
  value_id v = op->results[0];
  uint32_t saved = w->depth;
  const struct type *type = value_type(w->f, v);
  w->depth = w->depth_of[of];
  w->value[v] = add_value(w, type, w->f->values.data[v].name, ENGINE__STORAGE__ALIAS, 0,
                          value_bytes(w, type));
  w->depth = saved;
  row_of(w, w->value[v])->alias_of = of;
  count_uses(w, w->value[v], v);
}

static void write_symbol(struct writer *w, uint32_t block, const struct op *op) {
  const struct symbol_attrs *a = OP_ATTRS(symbol, op);
  uint32_t symbol = 0;
  bool plain = dim_symbol_of(w->m->dims, a->symbol, &symbol);
  assert(plain);
  (void)plain;
  w->clock++;
  Engine__BindSymbol *step = manifest_build_step_bind_symbol(w->b, block);
  step->symbol = symbol_row(symbol);
  step->value = use(w, op->operands[0]);
  step->element = manifest_build_const(w->b, a->index);
  step_provenance(w, block, op->provenance);
  w->stale = true;
}

static void write_check(struct writer *w, uint32_t block, dim lhs, enum relation relation, dim rhs,
                        const char *message, uint32_t provenance) {
  uint32_t a, b;
  Engine__Relation r;
  relate(w, lhs, relation, rhs, &a, &r, &b);
  Engine__Check *step = manifest_build_step_check(w->b, block);
  step->condition->a = a;
  step->condition->relation = r;
  step->condition->b = b;
  step->message = manifest_build_string(w->b, message);
  step_provenance(w, block, provenance);
}

static void set_symbol(struct writer *w, uint32_t block, uint32_t symbol, dim value) {
  Engine__SetSymbol *step = manifest_build_step_set_symbol(w->b, block);
  step->symbol = symbol_row(symbol);
  step->expr = expr_of(w, value);
  w->stale = true;
}

/* Symbols of `to` get the values of `from`'s dims, by a SET_SYMBOL each, where they differ. */
static void set_symbols(struct writer *w, uint32_t block, const struct type *to,
                        const struct type *from) {
  for (uint32_t i = 0; i < to->rank; i++) {
    uint32_t symbol;
    if (to->dims[i] == from->dims[i] || !dim_symbol_of(w->m->dims, to->dims[i], &symbol))
      continue;
    set_symbol(w, block, symbol, from->dims[i]);
  }
}

/* The element dims of a stacked loop result: those of the last iteration's element (all are alike);
 * `element` NULL: 0, for a loop that makes no iteration. */
static void set_stacked_symbols(struct writer *w, uint32_t block, const struct type *stacked,
                                const struct type *element) {
  for (uint32_t i = 1; i < stacked->rank; i++) {
    uint32_t symbol;
    bool plain = dim_symbol_of(w->m->dims, stacked->dims[i], &symbol);
    if (!plain || (element && element->dims[i - 1] == stacked->dims[i]))
      continue;
    set_symbol(w, block, symbol, element ? element->dims[i - 1] : dim_const(w->m->dims, 0));
  }
}

static void write_region(struct writer *w, uint32_t block, region_id region);

/* A nested block: its own phases; what it reads from outside lives on until it ends. */
struct nested {
  uint32_t phase, mark;
  bool stale;
};

static struct nested enter(struct writer *w, uint32_t block) {
  struct nested n = {.phase = w->phase, .mark = w->borrowed.len, .stale = w->stale};
  w->depth++;
  begin_phase(w, block);
  return n;
}

static void leave(struct writer *w, struct nested n) {
  w->depth--;
  w->clock++;
  uint32_t end = w->borrowed.len;
  for (uint32_t i = n.mark; i < end; i++) {
    uint32_t v = w->borrowed.data[i];
    row_of(w, v)->last = w->clock;
    if (w->depth_of[v] < w->depth)
      vec_push(&w->borrowed, v);
  }
  /* Those still borrowed by the block around move down. */
  uint32_t kept = w->borrowed.len - end;
  if (kept)
    memmove(w->borrowed.data + n.mark, w->borrowed.data + end, kept * sizeof *w->borrowed.data);
  w->borrowed.len = n.mark + kept;
  w->phase = n.phase;
  w->stale = true; /* symbols may have been bound inside */
}

static void write_branch(struct writer *w, uint32_t block, const struct op *op, region_id region) {
  struct nested n = enter(w, block);
  write_region(w, block, region);
  w->clock++;
  const struct region *r = &w->f->regions.data[region];
  for (uint32_t i = 0; i < op->n_results; i++) {
    set_symbols(w, block, value_type(w->f, op->results[i]), value_type(w->f, r->results.data[i]));
  }
  for (uint32_t i = 0; i < op->n_results; i++) {
    const struct type *type = value_type(w->f, r->results.data[i]);
    uint32_t from = use_unpacked(w, block, r->results.data[i]);
    manifest_build_step_reserve(w->b, block)->value = w->value[op->results[i]];
    copy(w, block, w->value[op->results[i]], from, value_bytes(w, type));
  }
  leave(w, n);
}

static void write_if(struct writer *w, uint32_t block, const struct op *op) {
  w->clock++;
  uint32_t condition = use(w, op->operands[0]);
  for (uint32_t i = 0; i < op->n_results; i++) {
    value_id v = op->results[i];
    w->value[v] =
        add_typed(w, value_type(w->f, v), w->f->values.data[v].name, ENGINE__STORAGE__DYNAMIC, 0);
  }
  Engine__If *step = manifest_build_step_if_(w->b, block);
  step_provenance(w, block, op->provenance);
  step->condition = condition;
  step->then_block = manifest_build_block(w->b);
  write_branch(w, step->then_block, op, op->regions[0]);
  step->else_block = manifest_build_block(w->b);
  write_branch(w, step->else_block, op, op->regions[1]);
}

/* What of a carried value's shape changes: symbols of the parameter against init and next. */
static void carried_dims(struct writer *w, Engine__Carried *c, const struct type *init,
                         const struct type *param, const struct type *next) {
  for (uint32_t i = 0; i < param->rank; i++) {
    uint32_t symbol;
    bool changes = param->dims[i] != init->dims[i] || param->dims[i] != next->dims[i];
    if (!changes || !dim_symbol_of(w->m->dims, param->dims[i], &symbol))
      continue;
    manifest_build_carried_dim(w->b, c, symbol_row(symbol), expr_of(w, init->dims[i]),
                               expr_of(w, next->dims[i]));
  }
}

static void write_loop_results(struct writer *w, uint32_t block, const struct op *op) {
  const struct region *r = &w->f->regions.data[op->regions[0]];
  uint32_t carried = (uint32_t)OP_ATTRS(loop, op)->carried;
  for (uint32_t i = 0; i < carried; i++) {
    w->value[op->results[i]] = w->value[r->params.data[1 + i]];
    set_symbols(w, block, value_type(w->f, op->results[i]),
                value_type(w->f, r->params.data[1 + i]));
  }
}

/* What a carried value becomes. The runtime exchanges buffers with a DYNAMIC one, so that one from
 * outside of the body, which the next iteration reads again, is copied. */
static uint32_t use_next(struct writer *w, uint32_t block, value_id v) {
  uint32_t from = use_unpacked(w, block, v), root = alias_root(w, from);
  if (row_of(w, root)->storage != ENGINE__STORAGE__DYNAMIC || w->depth_of[root] == w->depth)
    return from;
  const struct type *type = value_type(w->f, v);
  begin_phase(w, block);
  uint32_t to = add_typed(w, type, NULL, ENGINE__STORAGE__ARENA, 0);
  copy(w, block, to, from, value_bytes(w, type));
  touch(w, to);
  return to;
}

static void write_loop(struct writer *w, uint32_t block, const struct op *op) {
  const struct loop_attrs *a = OP_ATTRS(loop, op);
  const struct region *r = &w->f->regions.data[op->regions[0]];
  uint32_t carried = (uint32_t)a->carried, symbol;
  w->clock++;
  uint32_t trip = use(w, op->operands[0]), condition = use(w, op->operands[1]);
  uint32_t *init = ARENA_ARRAY(w->b->arena, uint32_t, carried + 1);
  if (w->stale)
    begin_phase(w, block);
  for (uint32_t i = 0; i < carried; i++)
    init[i] = use_unpacked(w, block, op->operands[2 + i]);
  for (uint32_t i = 0; i < r->params.len; i++) {
    value_id v = r->params.data[i];
    w->value[v] = add_typed(w, value_type(w->f, v), w->f->values.data[v].name,
                            i ? ENGINE__STORAGE__DYNAMIC : ENGINE__STORAGE__ARENA, 0);
  }
  uint32_t iteration = w->value[r->params.data[0]];
  for (uint32_t i = carried; i < op->n_results; i++) {
    value_id v = op->results[i];
    w->value[v] =
        add_typed(w, value_type(w->f, v), w->f->values.data[v].name, ENGINE__STORAGE__DYNAMIC, 0);
  }
  for (uint32_t i = carried; i < op->n_results; i++) {
    const struct type *element = value_type(w->f, r->results.data[1 + i]);
    struct type stacked = *value_type(w->f, op->results[i]);
    for (uint32_t d = 1; d < stacked.rank; d++) { /* only what the loop itself binds */
      if (stacked.dims[d] == element->dims[d - 1])
        stacked.dims[d] = dim_const(w->m->dims, 0);
    }
    set_stacked_symbols(w, block, &stacked, NULL);
  }
  Engine__Loop *step = manifest_build_step_loop(w->b, block);
  step_provenance(w, block, op->provenance);
  step->trip = ENGINE__TRIP__FROM_VALUE;
  step->trip_value = trip;
  step->condition = condition;
  step->iteration = iteration;
  if (a->trip != DIM_NONE && dim_symbol_of(w->m->dims, a->trip, &symbol)) {
    step->trip_symbol = symbol_row(symbol);
  }
  step->body = manifest_build_block(w->b);
  struct nested n = enter(w, step->body);
  write_region(w, step->body, op->regions[0]);
  w->clock++;
  step->body_condition = use(w, r->results.data[0]);
  for (uint32_t i = 0; i < carried; i++) {
    value_id param = r->params.data[1 + i], next = r->results.data[1 + i];
    Engine__Carried *c =
        manifest_build_carried(w->b, step, init[i], w->value[param], use_next(w, step->body, next));
    carried_dims(w, c, value_type(w->f, op->operands[2 + i]), value_type(w->f, param),
                 value_type(w->f, next));
  }
  for (uint32_t i = carried; i < op->n_results; i++) {
    set_stacked_symbols(w, step->body, value_type(w->f, op->results[i]),
                        value_type(w->f, r->results.data[1 + i]));
    uint32_t element = use_unpacked(w, step->body, r->results.data[1 + i]);
    manifest_build_scan(w->b, step, element, w->value[op->results[i]]);
  }
  touch(w, iteration);
  leave(w, n);
  row_of(w, iteration)->last = w->clock;
  write_loop_results(w, block, op);
}

/* ---- between ranks ---- */

static void write_exchange(struct writer *w, uint32_t block, const struct op *op) {
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
    src[i] = use_unpacked(w, block, op->operands[i]);
  if (w->stale)
    begin_phase(w, block);
  w->clock++;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    value_id to = op->results[i];
    touch(w, src[i]);
    dst[i] = w->value[to] =
        add_typed(w, value_type(w->f, to), w->f->values.data[to].name, ENGINE__STORAGE__ARENA, 0);
    count_uses(w, dst[i], to);
    touch(w, dst[i]);
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
                                 product(w, type->dims + first, type->rank - first, 1));
  }
  w->failed |= a->from.len > INT8_MAX;
  for (uint32_t i = 0; i < a->from.len && !w->failed; i++)
    from[i] = (uint32_t)a->from.data[i];
  if (a->from.len && !w->failed)
    manifest_build_exchange_from(w->b, step, from, a->from.len);
  step_provenance(w, block, op->provenance);
}

/* ---- on the host ---- */

static void write_host(struct writer *w, uint32_t block, const struct op *op) {
  const struct host_attrs *a = OP_ATTRS(host, op);
  uint32_t operands[HOST_OP_MAX_OPERANDS], counts[HOST_OP_MAX_OPERANDS];
  value_id to = op->results[0];
  if (w->stale)
    begin_phase(w, block);
  w->clock++;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    operands[i] = use(w, op->operands[i]);
    counts[i] = elements(w, value_type(w->f, op->operands[i]));
  }
  uint32_t result = w->value[to];
  if (result) {
    row_of(w, result)->phase = w->phase; /* an output: sized with this phase */
  } else {
    result = w->value[to] =
        add_typed(w, value_type(w->f, to), w->f->values.data[to].name, ENGINE__STORAGE__ARENA, 0);
    count_uses(w, result, to);
    touch(w, result);
  }
  Engine__Host *step = manifest_build_step_host(w->b, block);
  step->function = a->function;
  manifest_build_host_operands(w->b, step, operands, counts, op->n_operands);
  step->result = result;
  step->elements = elements(w, value_type(w->f, to));
  step_provenance(w, block, op->provenance);
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

static void write_op(struct writer *w, uint32_t block, op_id id) {
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
  case OP_IF: write_if(w, block, op); break;
  case OP_LOOP: write_loop(w, block, op); break;
  default: assert(!"an op that fuse leaves nowhere"); break;
  }
}

static void write_region(struct writer *w, uint32_t block, region_id region) {
  const struct region *r = &w->f->regions.data[region];
  for (uint32_t i = 0; i < r->ops.len; i++)
    write_op(w, block, r->ops.data[i]);
}

/* ---- entries ---- */

/* The last variant has the entry's signature: in others dims may be what their guards say. */
static void write_inputs(struct writer *w, uint32_t block, const struct entry *e, uint32_t entry,
                         bool last_variant) {
  const struct region *r = &w->f->regions.data[0];
  for (uint32_t i = 0; i < r->params.len; i++) {
    value_id v = r->params.data[i];
    const struct type *type = value_type(w->f, v);
    bool packed = dtype_is_sub_byte(type->dtype);
    uint32_t input = add_value(w, type, e->input_names.data[i], ENGINE__STORAGE__INPUT, i,
                               packed ? packed_bytes(w, type) : value_bytes(w, type));
    w->value[v] = input;
    if (last_variant) {
      uint32_t dims[IR_MAX_RANK];
      for (uint32_t d = 0; d < type->rank; d++)
        dims[d] = expr_of(w, type->dims[d]);
      manifest_build_input(w->b, entry, e->input_names.data[i], type->dtype, dims, type->rank,
                           input);
    }
    if (!packed)
      continue;
    w->value[v] = add_typed(w, type, NULL, ENGINE__STORAGE__ARENA, 0);
    count_uses(w, w->value[v], v);
    Engine__Unpack *step = manifest_build_step_unpack(w->b, block);
    step->dst = w->value[v];
    step->src = input;
    step->elements = elements(w, type);
    step->dtype = type->dtype;
  }
}

/* A result that a kernel of the body can write where the caller wants it. */
static bool writes_directly(const struct writer *w, uint32_t i) {
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

static void declare_outputs(struct writer *w, uint32_t *out_rows) {
  const struct region *r = &w->f->regions.data[0];
  for (uint32_t i = 0; i < r->results.len; i++) {
    value_id v = r->results.data[i];
    const struct type *type = value_type(w->f, v);
    bool packed = dtype_is_sub_byte(type->dtype);
    out_rows[i] = add_value(w, type, NULL, ENGINE__STORAGE__OUTPUT, i,
                            packed ? packed_bytes(w, type) : value_bytes(w, type));
    if (writes_directly(w, i))
      w->value[v] = out_rows[i];
  }
}

static void write_outputs(struct writer *w, uint32_t block, const uint32_t *rows) {
  const struct region *r = &w->f->regions.data[0];
  w->clock++;
  bool any = false;
  for (uint32_t i = 0; i < r->results.len; i++)
    any |= !writes_directly(w, i);
  for (uint32_t i = 0; i < r->results.len; i++) {
    if (!writes_directly(w, i))
      row_of(w, rows[i])->phase = w->b->manifest.phases;
  }
  if (any)
    begin_phase(w, block); /* sizes the outputs that are copied to */
  for (uint32_t i = 0; i < r->results.len; i++) {
    value_id v = r->results.data[i];
    const struct type *type = value_type(w->f, v);
    if (writes_directly(w, i))
      continue;
    uint32_t from = use(w, v);
    bool constant = row_of(w, from)->storage == ENGINE__STORAGE__CONSTANT;
    if (!dtype_is_sub_byte(type->dtype) || constant) {
      copy(w, block, rows[i], from, packed_bytes(w, type));
      continue;
    }
    Engine__Pack *step = manifest_build_step_pack(w->b, block);
    step->dst = rows[i];
    step->src = from;
    step->elements = elements(w, type);
    step->dtype = type->dtype;
  }
}

static void write_function(struct writer *w, uint32_t block, const struct entry *e, uint32_t entry,
                           bool last_variant) {
  const struct region *r = &w->f->regions.data[0];
  w->value = mem_calloc(w->f->values.len, sizeof *w->value);
  uses_build(w->f, w->b->arena, &w->uses);
  for (uint32_t i = 0; i < w->f->where.len; i++) {
    const struct guard *g = &w->f->where.data[i];
    write_check(w, block, g->lhs, g->relation, g->rhs, "the inputs' dims do not fit together", 0);
  }
  begin_phase(w, block);
  write_inputs(w, block, e, entry, last_variant);
  uint32_t *rows = ARENA_ARRAY(w->b->arena, uint32_t, r->results.len + 1);
  declare_outputs(w, rows);
  write_region(w, block, 0);
  write_outputs(w, block, rows);
  for (uint32_t i = 0; last_variant && i < r->results.len; i++) {
    const struct type *type = value_type(w->f, r->results.data[i]);
    uint32_t dims[IR_MAX_RANK];
    for (uint32_t d = 0; d < type->rank; d++)
      dims[d] = expr_of(w, type->dims[d]);
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
static void write_states(struct writer *w, const struct entry *e, uint32_t entry) {
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
    row->capacity = symbol_row(symbol);
    manifest_build_state(w->b, entry, s->input, s->output, axis);
  }
}

static void write_entry(struct writer *w, const struct entry *e) {
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
      relate(w, v->guards.data[g].lhs, v->guards.data[g].relation, v->guards.data[g].rhs, &a, &r,
             &b);
      manifest_build_guard(w->b, variant, a, r, b);
    }
    w->variant = variant;
    write_function(w, block, e, entry, i + 1 == e->variants.len);
  }
}

/* ---- tables ---- */

static void write_kernel(struct writer *w, uint32_t i, const struct plan_target *targets,
                         uint32_t n_targets) {
  const struct kernel *k = &w->set->kernels.data[i];
  const struct op *op = function_op(k->function, k->op);
  uint64_t offsets[TARGETS_MAX];
  for (uint32_t t = 0; t < n_targets; t++) {
    const struct code_symbol *symbol = code_blob_find(&targets[t].blob, k->symbol);
    assert(symbol);
    offsets[t] = symbol->offset;
  }
  w->kernel_row[i] = 1 + manifest_build_kernel(w->b, k->symbol, op->n_operands + op->n_results,
                                               k->dims.len, k->block_threads, offsets, n_targets);
}

static void write_tables(struct writer *w, const struct plan_target *targets, uint32_t n_targets) {
  struct module *m = w->m;
  w->b->manifest.producer = arena_strdup(w->b->arena, "sinter 0.1.0");
  for (uint32_t i = 0; i < dim_symbol_count(m->dims); i++) {
    uint32_t row = manifest_build_symbol(w->b, dim_symbol_name(m->dims, i),
                                         dim_symbol_lo(m->dims, i), dim_symbol_hi(m->dims, i));
    assert(row == symbol_row(i));
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
    manifest_build_target(w->b, targets[t].name, targets[t].section);
  w->kernel_row = mem_calloc(w->set->kernels.len + 1, sizeof *w->kernel_row);
  for (uint32_t i = 0; i < w->set->kernels.len; i++)
    write_kernel(w, i, targets, n_targets);
}

status plan_init(struct plan *p, struct module *m, const struct kernel_set *set,
                 const struct plan_target *targets, uint32_t n_targets, struct arena *arena,
                 struct diags *diags) {
  *p = (struct plan){0};
  manifest_build_init(&p->build, arena);
  struct writer w = {
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
