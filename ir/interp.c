/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter's run: symbols, tensors of results, regions. What an op does is its eval hook. */
#include "ir/interp.h"

#include "base/checked.h"
#include "ir/scalar_eval.h"
#include "ir/shard_index.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define SYMBOL_UNBOUND INT64_MIN

static struct dim_table *dims_of(const struct interp *in) { return in->function->module->dims; }

status interp_fail(struct interp *in, const struct op *op, enum diag_code code, const char *format,
                   ...) {
  struct strbuf text = {0};
  va_list args;
  va_start(args, format);
  strbuf_vprintf(&text, format, args);
  va_end(args);
  struct diag_where where = module_where(in->function->module, op ? op->provenance : 0);
  in->failure =
      diag_report(in->diags, code, &where, NULL, "%s%s%s",
                  op ? op_infos[op->kind].name : in->function->name, ": ", strbuf_c(&text));
  strbuf_deinit(&text);
  return in->failure;
}

/* ---- numbers ---- */

bool interp_in_f32(const struct interp *in, enum dtype dtype) {
  return in->mode == INTERP_TYPED && dtype_is_float(dtype) && dtype != DTYPE_F64;
}

double interp_round(const struct interp *in, enum dtype dtype, double x) {
  return in->mode == INTERP_TYPED ? scalar_round(dtype, x) : x;
}

int64_t interp_wrap(enum dtype dtype, int64_t x) { return scalar_literal_i64(dtype, x); }

void interp_settle(const struct interp *in, struct tensor *t) {
  if (dtype_is_float(t->dtype)) {
    if (in->mode == INTERP_TYPED && t->dtype != DTYPE_F64)
      for (int64_t i = 0; i < t->count; i++)
        t->f64[i] = scalar_round(t->dtype, t->f64[i]);
  } else if (dtype_bits(t->dtype) < 64) {
    for (int64_t i = 0; i < t->count; i++)
      t->i64[i] = scalar_literal_i64(t->dtype, t->i64[i]);
  }
}

/* ---- dims ---- */

#define COORDS_ROOM 64

/* This rank's coordinates by their numbers in the table, which may know axes of other meshes; NULL
 * where it has none. */
static const int64_t *coords_of(const struct interp *in, const struct dim_table *t,
                                int64_t out[COORDS_ROOM]) {
  uint32_t n = dim_coord_count(t);
  if (!in->rank || n > COORDS_ROOM)
    return NULL;
  for (uint32_t i = 0; i < n; i++) {
    out[i] = 0;
    for (uint32_t axis = 0; axis < in->rank->mesh->n_axes; axis++)
      if (!strcmp(in->rank->mesh->axes[axis].name, dim_coord_name(t, i)) &&
          in->rank->mesh->axes[axis].size == dim_coord_size(t, i))
        out[i] = in->rank->coords[axis];
  }
  return out;
}

bool interp_dim(struct interp *in, dim d, int64_t *out) {
  struct dim_table *t = dims_of(in);
  uint32_t symbol;
  if (dim_is_const(t, d, out))
    return true;
  if (dim_symbol_of(t, d, &symbol)) {
    *out = in->symbols[symbol];
    return *out != SYMBOL_UNBOUND;
  }
  for (symbol = 0; symbol < dim_symbol_count(t); symbol++)
    if (in->symbols[symbol] == SYMBOL_UNBOUND && dim_uses_symbol(t, d, symbol))
      return false;
  int64_t coords[COORDS_ROOM];
  return dim_eval_at(t, d, in->symbols, coords_of(in, t, coords), out);
}

bool interp_dims(struct interp *in, const struct op *op, const dim *dims, uint32_t n,
                 int64_t *out) {
  for (uint32_t i = 0; i < n; i++) {
    if (interp_dim(in, dims[i], &out[i]))
      continue;
    struct strbuf text = {0};
    dim_print(dims_of(in), dims[i], &text);
    interp_fail(in, op, DIAG_E0622, "%s has no value here", strbuf_c(&text));
    strbuf_deinit(&text);
    return false;
  }
  return true;
}

/* The sharding by which this rank holds a part of values of a type; NULL: it holds all. */
static const struct sharding *rank_sharding(const struct interp *in, const struct type *type) {
  return in->rank && type->sharding ? in->function->module->shardings.data[type->sharding] : NULL;
}

void interp_local_dims(const struct interp *in, const struct type *type, int64_t *dims) {
  const struct sharding *s = rank_sharding(in, type);
  for (uint32_t d = 0; s && d < type->rank; d++) {
    struct shard_part p = shard_part_of(in->rank->mesh, in->rank->coords, &s->dims[d], dims[d]);
    dims[d] = shard_part_count(&p);
  }
}

bool interp_part(struct interp *in, const struct op *op, value_id v, uint32_t d,
                 struct shard_part *out) {
  static const struct dim_split whole;
  const struct type *type = value_type(in->function, v);
  const struct sharding *s = rank_sharding(in, type);
  bool split = s && s->dims[d].n_axes;
  int64_t n = split ? 0 : in->values[v]->dims[d];
  if (split && !interp_dims(in, op, &type->dims[d], 1, &n))
    return false;
  *out = shard_part_of(in->rank ? in->rank->mesh : NULL, in->rank ? in->rank->coords : NULL,
                       s ? &s->dims[d] : &whole, n);
  return true;
}

status interp_bind(struct interp *in, const struct op *op, uint32_t symbol, int64_t value) {
  struct dim_table *t = dims_of(in);
  int64_t lo = dim_symbol_lo(t, symbol), hi = dim_symbol_hi(t, symbol);
  if (value < lo || value > hi)
    return interp_fail(in, op, DIAG_E0611, "'%s' is %" PRId64 ", outside of %" PRId64 "..%" PRId64,
                       dim_symbol_name(t, symbol), value, lo, hi);
  int64_t *slot = &in->symbols[symbol];
  if (*slot != SYMBOL_UNBOUND && *slot != value)
    return interp_fail(in, op, DIAG_E0611, "'%s' is %" PRId64 " here and %" PRId64 " elsewhere",
                       dim_symbol_name(t, symbol), value, *slot);
  *slot = value;
  return STATUS_OK;
}

status interp_bind_type(struct interp *in, const struct op *op, const struct type *type,
                        const struct tensor *t) {
  const struct sharding *split = rank_sharding(in, type);
  uint32_t symbol;
  for (uint32_t i = 0; i < type->rank; i++) {
    if (!dim_symbol_of(dims_of(in), type->dims[i], &symbol) || (split && split->dims[i].n_axes))
      continue;
    status s = interp_bind(in, op, symbol, t->dims[i]);
    if (s)
      return s;
  }
  int64_t wanted[IR_MAX_RANK];
  if (!interp_dims(in, op, type->dims, type->rank, wanted))
    return in->failure;
  interp_local_dims(in, type, wanted);
  return interp_check_dims(in, op, t, wanted, false);
}

bool interp_relation(int64_t lhs, enum relation relation, int64_t rhs) {
  switch (relation) {
  case RELATION_EQ: return lhs == rhs;
  case RELATION_LE: return lhs <= rhs;
  case RELATION_LT: return lhs < rhs;
  case RELATION_BROADCAST: return lhs == rhs || (lhs == 1 && rhs != 0) || (rhs == 1 && lhs != 0);
  case RELATION_DIVIDES: return lhs == 0 ? rhs == 0 : lhs == -1 || rhs % lhs == 0;
  }
  return false;
}

status interp_check_dims(struct interp *in, const struct op *op, const struct tensor *t,
                         const int64_t *dims, bool broadcasting) {
  for (uint32_t i = 0; i < t->rank; i++)
    if (t->dims[i] != dims[i] && !(broadcasting && t->dims[i] == 1))
      return interp_fail(in, op, DIAG_E0620, "dim %u is %" PRId64 " where %" PRId64 " is wanted", i,
                         t->dims[i], dims[i]);
  return STATUS_OK;
}

/* ---- tensors ---- */

/* A tensor costs its own description too, so that a loop over small ones comes to an end. */
static bool spend(struct interp *in, const struct op *op, uint64_t elements) {
  elements += sizeof(struct tensor) / sizeof(int64_t);
  if (elements > in->budget) {
    interp_fail(in, op, DIAG_E0621, "%" PRIu64 " more elements are needed, %" PRIu64 " are left",
                elements, in->budget);
    return false;
  }
  in->budget -= elements;
  return true;
}

struct tensor *interp_tensor(struct interp *in, const struct op *op, enum dtype dtype,
                             const int64_t *dims, uint32_t rank) {
  int64_t count;
  for (uint32_t i = 0; i < rank; i++)
    if (dims[i] < 0) {
      interp_fail(in, op, DIAG_E0620, "dim %u of the result would be %" PRId64, i, dims[i]);
      return NULL;
    }
  if (!shape_elements(dims, rank, &count)) {
    interp_fail(in, op, DIAG_E0621, "the elements of a result cannot be counted");
    return NULL;
  }
  return spend(in, op, (uint64_t)count) ? tensor_create(in->arena, dtype, dims, rank) : NULL;
}

void *interp_scratch(struct interp *in, const struct op *op, uint64_t n, size_t size) {
  uint64_t bytes;
  if (!u64_mul(n, size, &bytes) || bytes / sizeof(int64_t) > in->budget) {
    interp_fail(in, op, DIAG_E0621, "%" PRIu64 " items of %zu B are needed", n, size);
    return NULL;
  }
  return arena_alloc(&in->scratch, bytes);
}

struct tensor *interp_operand(struct interp *in, const struct op *op, uint32_t i) {
  return in->values[op->operands[i]];
}

void interp_set_result(struct interp *in, const struct op *op, uint32_t i, struct tensor *t) {
  in->values[op->results[i]] = t;
}

struct tensor *interp_result(struct interp *in, const struct op *op, uint32_t i) {
  const struct type *type = value_type(in->function, op->results[i]);
  int64_t dims[IR_MAX_RANK];
  if (!interp_dims(in, op, type->dims, type->rank, dims))
    return NULL;
  interp_local_dims(in, type, dims);
  struct tensor *t = interp_tensor(in, op, type->dtype, dims, type->rank);
  interp_set_result(in, op, i, t);
  return t;
}

status interp_alias(struct interp *in, const struct op *op, uint32_t i, const struct tensor *x) {
  const struct type *type = value_type(in->function, op->results[i]);
  int64_t count;
  struct tensor *t = ARENA_NEW(in->arena, struct tensor);
  *t = (struct tensor){.dtype = x->dtype, .rank = type->rank, .count = x->count, .data = x->data};
  if (!spend(in, op, 0) || !interp_dims(in, op, type->dims, type->rank, t->dims))
    return in->failure;
  interp_local_dims(in, type, t->dims);
  if (!shape_elements(t->dims, t->rank, &count) || count != x->count)
    return interp_fail(in, op, DIAG_E0620, "%" PRId64 " elements do not fill the result", x->count);
  interp_set_result(in, op, i, t);
  return STATUS_OK;
}

/* ---- running ---- */

/* Operands that are constants are evaluated when something first asks for them, which is how
 * interp_fold finds them. */
static status need_value(struct interp *in, const struct op *op, value_id v) {
  if (in->values[v])
    return STATUS_OK;
  const struct op *def = value_def(in->function, v);
  if (!def || def->kind != OP_CONST)
    return interp_fail(in, op, DIAG_E0622, "an operand has no value");
  return op_infos[OP_CONST].hooks->eval(in, def);
}

static status eval_op(struct interp *in, op_id id) {
  const struct op *op = function_op(in->function, id);
  if (op->kind == OP_NONE)
    return STATUS_OK;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    status s = need_value(in, op, op->operands[i]);
    if (s)
      return s;
  }
  status s = op_infos[op->kind].hooks->eval(in, op);
  if (!(op_infos[op->kind].flags & OP_FLAG_CONTROL))
    arena_reset(&in->scratch);
  if (!s && in->on_op)
    in->on_op(in->user, in, id);
  return s;
}

status interp_region(struct interp *in, region_id r, struct tensor *const *params,
                     struct tensor **out_results) {
  const struct region *region = &in->function->regions.data[r];
  for (uint32_t i = 0; i < region->params.len; i++)
    in->values[region->params.data[i]] = params[i];
  for (uint32_t i = 0; i < region->ops.len; i++) {
    status s = eval_op(in, region->ops.data[i]);
    if (s)
      return s;
  }
  for (uint32_t i = 0; i < region->results.len; i++) {
    status s = need_value(in, NULL, region->results.data[i]);
    if (s)
      return s;
    out_results[i] = in->values[region->results.data[i]];
  }
  return STATUS_OK;
}

void interp_init(struct interp *in, const struct function *f, enum interp_mode mode,
                 struct arena *arena, struct diags *diags) {
  *in = (struct interp){
      .function = f, .mode = mode, .arena = arena, .diags = diags, .budget = INTERP_BUDGET};
  uint32_t n_symbols = dim_symbol_count(f->module->dims);
  in->symbols = ARENA_ARRAY(arena, int64_t, n_symbols);
  for (uint32_t i = 0; i < n_symbols; i++)
    in->symbols[i] = SYMBOL_UNBOUND;
  in->values = ARENA_ARRAY(arena, struct tensor *, f->values.len);
}

/* Symbols that stand alone as dims are bound from all inputs before the other dims are compared. */
static status bind_inputs(struct interp *in, struct tensor *const *inputs) {
  const struct region *body = &in->function->regions.data[0];
  for (uint32_t pass = 0; pass < 2; pass++) {
    for (uint32_t i = 0; i < body->params.len; i++) {
      const struct type *type = value_type(in->function, body->params.data[i]);
      const struct tensor *t = inputs[i];
      if (t->dtype != type->dtype)
        return interp_fail(in, NULL, DIAG_E0603, "input %u is %s, not %s", i, dtype_name(t->dtype),
                           dtype_name(type->dtype));
      if (t->rank != type->rank)
        return interp_fail(in, NULL, DIAG_E0604, "input %u has rank %u, not %u", i, t->rank,
                           type->rank);
      for (uint32_t d = 0; d < type->rank; d++) {
        uint32_t symbol;
        int64_t wanted;
        bool lone = dim_symbol_of(dims_of(in), type->dims[d], &symbol);
        status s = STATUS_OK;
        if (pass == 0 && lone)
          s = interp_bind(in, NULL, symbol, t->dims[d]);
        if (pass == 1 && (!interp_dim(in, type->dims[d], &wanted) || wanted != t->dims[d]))
          s = interp_fail(in, NULL, DIAG_E0605, "dim %u of input %u is %" PRId64, d, i, t->dims[d]);
        if (s)
          return s;
      }
    }
  }
  return STATUS_OK;
}

static status check_guards(struct interp *in) {
  for (uint32_t i = 0; i < in->function->where.len; i++) {
    const struct guard *g = &in->function->where.data[i];
    int64_t sides[2];
    if (!interp_dims(in, NULL, (dim[]){g->lhs, g->rhs}, 2, sides))
      return in->failure;
    if (!interp_relation(sides[0], g->relation, sides[1]))
      return interp_fail(in, NULL, DIAG_E0605,
                         "relation %u of the inputs' dims does not hold: %" PRId64 " %s %" PRId64,
                         i, sides[0], keyword_text(KEYWORD_KIND_relation, (int)g->relation),
                         sides[1]);
  }
  return STATUS_OK;
}

status interp_bind_inputs(struct interp *in, struct tensor *const *inputs) {
  status s = bind_inputs(in, inputs);
  return s ? s : check_guards(in);
}

status interp_start(struct interp *in, struct tensor *const *inputs, struct tensor **out_results) {
  status s = interp_bind_inputs(in, inputs);
  if (!s)
    s = interp_region(in, 0, inputs, out_results);
  return s;
}

void interp_deinit(struct interp *in) { arena_deinit(&in->scratch); }

status interp_run(const struct function *f, enum interp_mode mode, struct tensor *const *inputs,
                  struct arena *arena, struct diags *diags, struct tensor **out_results) {
  struct interp in;
  interp_init(&in, f, mode, arena, diags);
  status s = interp_start(&in, inputs, out_results);
  interp_deinit(&in);
  return s;
}

/* Whether all hold; a guard that cannot be evaluated does not. */
static bool guards_hold(struct interp *in, const struct entry_variant *v) {
  for (uint32_t i = 0; i < v->guards.len; i++) {
    const struct guard *g = &v->guards.data[i];
    int64_t lhs, rhs;
    if (!interp_dim(in, g->lhs, &lhs) || !interp_dim(in, g->rhs, &rhs) ||
        !interp_relation(lhs, g->relation, rhs))
      return false;
  }
  return true;
}

status interp_variant(const struct entry *e, struct tensor *const *inputs, struct arena *arena,
                      struct diags *diags, const struct function **out_function) {
  struct interp in;
  uint32_t i = 0, last = e->variants.len - 1;
  interp_init(&in, e->variants.data[last].function, INTERP_TYPED, arena, diags);
  status s = interp_bind_inputs(&in, inputs);
  while (!s && i < last && !guards_hold(&in, &e->variants.data[i]))
    i++;
  *out_function = e->variants.data[i].function;
  interp_deinit(&in);
  return s;
}

status interp_fold(const struct function *f, op_id op, struct arena *arena, struct diags *diags,
                   struct tensor **out_results) {
  struct interp in;
  interp_init(&in, f, INTERP_TYPED, arena, diags);
  status s = eval_op(&in, op);
  const struct op *o = function_op(f, op);
  for (uint32_t i = 0; !s && i < o->n_results; i++)
    out_results[i] = in.values[o->results[i]];
  interp_deinit(&in);
  return s;
}
