/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of prefill and decode; see phase_build.h.
 *
 * The model's own function is walked once, from what its results need, and copied with other dims:
 * the caches' rows together with the new ones are `capacity` rows of a state, so that past becomes
 * capacity - tokens. Row k of a state is the key of position k, in a state as in the model's
 * concat; what differs is that each batch row has its own length, which is data.
 *
 *     %k = concat %past, %new               =>   %k = update %state, %new, %length, %count
 *     attention %q, %k, %v, %mask           =>   attention %q, %k, %v, %positions, iota { causal }
 *
 * The mask is all ones, and positions follow from the length, because a row's tokens lie together
 * from position 0 on: padding on the left is the caller's to leave out. A mask that says more than
 * which keys are there (causal, windows) is read as positions; any other stays a bias, and keys
 * behind the row's length are masked besides. */
#include "passes/phases/phase_build.h"

#include <string.h>

#include "base/mem.h"
#include "passes/pattern.h"
#include "passes/substitute.h"

static bool fail(struct phase *p, uint32_t provenance, const char *text) {
  if (p->why->len)
    return false;
  struct diag_where where = module_where(p->from->module, provenance);
  strbuf_append_c(p->why, text);
  if (provenance && where.node)
    strbuf_printf(p->why, " (at '%s')", where.node);
  return false;
}

static dim renamed(const struct phase *p, dim d) {
  return d == DIM_NONE ? d : dim_substitute(p->t, d, p->by_symbol);
}

static dim known(const struct phase *p, dim d) {
  return d == DIM_NONE ? d : dim_substitute(p->t, d, p->known);
}

static struct type renamed_type(const struct phase *p, const struct type *type) {
  struct type r = *type;
  r.sharding = 0;
  for (uint32_t i = 0; i < r.rank; i++)
    r.dims[i] = renamed(p, r.dims[i]);
  return r;
}

/* ---- symbols ---- */

/* symbol == constant, as the model's own checks require of it. */
static void take_facts(struct phase *p) {
  const struct function *f = p->from;
  const struct region *r = &f->regions.data[0];
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    uint32_t symbol;
    if (op->kind != OP_CHECK || OP_ATTRS(check, op)->relation != RELATION_EQ)
      continue;
    dim a = OP_ATTRS(check, op)->lhs, b = OP_ATTRS(check, op)->rhs;
    if (dim_is_const(p->t, b, NULL) && dim_symbol_of(p->t, a, &symbol))
      p->known[symbol] = b;
    if (dim_is_const(p->t, a, NULL) && dim_symbol_of(p->t, b, &symbol))
      p->known[symbol] = a;
  }
}

static void name_symbols(struct phase *p) {
  struct dim_table *t = p->t;
  uint32_t total, n;
  p->past = dim_symbol_dim(t, p->roles->past);
  dim sequence = dim_symbol_dim(t, p->roles->sequence);
  p->tokens = p->decode ? dim_const(t, 1) : sequence;
  n = dim_symbol_count(t);
  p->known = mem_calloc(n, sizeof *p->known);
  p->by_symbol = mem_calloc(n, sizeof *p->by_symbol);
  if (p->roles->total != DIM_NONE && dim_symbol_of(t, p->roles->total, &total) &&
      total != p->roles->past)
    p->known[total] = dim_add(t, p->past, sequence);
  take_facts(p);
  memcpy(p->by_symbol, p->known, n * sizeof *p->known);
  if (p->roles->total != DIM_NONE && dim_symbol_of(t, p->roles->total, &total))
    p->by_symbol[total] = p->capacity;
  if (p->decode)
    p->by_symbol[p->roles->sequence] = p->tokens;
  p->by_symbol[p->roles->past] = dim_sub(t, p->capacity, p->tokens);
}

/* ---- states in the model ---- */

static const struct op *present_op(const struct phase *p, const struct phase_state *s) {
  return value_def(p->from, p->from->regions.data[0].results.data[s->present]);
}

static value_id past_value(const struct phase *p, const struct phase_state *s) {
  return p->from->regions.data[0].params.data[s->past];
}

/* pad(past) by rows behind it; the past itself. */
static bool is_widened_past(const struct phase *p, const struct phase_state *s, value_id v) {
  const struct op *pad = def_of_kind(p->from, v, OP_PAD);
  if (v == past_value(p, s))
    return true;
  if (!pad || pad->operands[0] != past_value(p, s))
    return false;
  const struct pad_attrs *a = OP_ATTRS(pad, pad);
  for (uint32_t d = 0; d < a->low.len; d++) {
    if (a->interior.data[d] || !dim_is_const_value(p->t, a->low.data[d], 0) ||
        (d != s->axis && !dim_is_const_value(p->t, known(p, a->high.data[d]), 0)))
      return false;
  }
  return true;
}

/* scatter of rows at (batch row, position): what GroupQueryAttention does. */
static bool is_row_scatter(const struct phase *p, const struct phase_state *s,
                           const struct op *op) {
  const struct scatter_attrs *a = OP_ATTRS(scatter, op);
  if (a->kind != COMBINER_NONE || a->axes.len != 2 || a->axes.data[0] != 0 ||
      a->axes.data[1] != s->axis || value_type(p->from, op->operands[2])->rank != 2 ||
      !is_widened_past(p, s, op->operands[0]))
    return false;
  struct affine row = affine_of(p->affines, op->operands[2]);
  return row.known && dim_is_const_value(p->t, row.base, 0) &&
         dim_is_const_value(p->t, row.stride[0], 1) && dim_is_const_value(p->t, row.stride[1], 0);
}

static bool is_row_concat(const struct phase *p, const struct phase_state *s, const struct op *op) {
  return op->n_operands == 2 && OP_ATTRS(concat, op)->axis == s->axis &&
         op->operands[0] == past_value(p, s);
}

static bool find_states(struct phase *p) {
  for (uint32_t i = 0; i < p->roles->states.len; i++) {
    const struct phase_state *s = &p->roles->states.data[i];
    const struct op *op = present_op(p, s);
    bool fits = op && ((op->kind == OP_CONCAT && is_row_concat(p, s, op)) ||
                       (op->kind == OP_SCATTER && is_row_scatter(p, s, op)));
    if (!fits)
      return fail(p, op ? op->provenance : 0,
                  "a cache goes out as something else than itself with rows behind it");
    p->state_of[function_value(p->from, op->results[0])->def] = i + 1;
  }
  return true;
}

/* Rows of a state may lead to keys and values of attentions, by ways that keep rows apart. Anything
 * else would see what lies behind the rows that are there. */
static bool keeps_rows(enum op_kind kind) {
  switch (kind) {
  case OP_MAP:
  case OP_RESHAPE:
  case OP_TRANSPOSE:
  case OP_BROADCAST:
  case OP_BITCAST: return true;
  default: return false;
  }
}

static bool check_readers(struct phase *p) {
  const struct function *f = p->from;
  const struct region *r = &f->regions.data[0];
  bool *rows = mem_calloc(f->values.len, sizeof *rows), sound = true;
  for (uint32_t i = 0; i < r->ops.len && sound; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    bool reads = false, attends = op->kind == OP_ATTENTION;
    for (uint32_t k = 0; k < op->n_operands; k++) {
      reads |= rows[op->operands[k]];
      attends &= !rows[op->operands[k]] || k == 1 || k == 2;
    }
    bool state = p->state_of[r->ops.data[i]] != 0;
    if (reads && (state || (!attends && !keeps_rows(op->kind))))
      sound = fail(p, op->provenance, "a cache is read by something else than attention");
    for (uint32_t k = 0; k < op->n_results && !attends; k++)
      rows[op->results[k]] = reads || state;
  }
  mem_free(rows);
  return sound;
}

/* ---- what is needed ---- */

static void need(struct phase *p, value_id v, op_id **stack, uint32_t *n) {
  op_id def = function_value(p->from, v)->def;
  if (def == OP_ID_NONE || p->live[def])
    return;
  p->live[def] = true;
  (*stack)[(*n)++] = def;
}

static void need_region(struct phase *p, region_id id, op_id **stack, uint32_t *n) {
  const struct region *r = &p->from->regions.data[id];
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(p->from, r->ops.data[i]);
    for (uint32_t k = 0; k < op->n_operands; k++)
      need(p, op->operands[k], stack, n);
    for (uint32_t k = 0; k < op->n_regions; k++)
      need_region(p, op->regions[k], stack, n);
  }
  for (uint32_t i = 0; i < r->results.len; i++)
    need(p, r->results.data[i], stack, n);
}

/* Where a mask is read as positions, it is not needed. */
static uint32_t needed_operands(const struct phase *p, const struct op *op) {
  struct phase_sight sight;
  return op->kind == OP_ATTENTION && phase_mask_read(&p->mask, op, &sight) ? 3 : op->n_operands;
}

static void find_live(struct phase *p) {
  const struct function *f = p->from;
  const struct region *r = &f->regions.data[0];
  op_id *stack = mem_alloc(f->ops.len * sizeof *stack);
  uint32_t n = 0;
  for (uint32_t i = 0; i < r->results.len; i++)
    need(p, r->results.data[i], &stack, &n);
  for (uint32_t i = 0; i < r->ops.len; i++) {
    if (!(op_infos[function_op(f, r->ops.data[i])->kind].flags & OP_FLAG_EFFECT) ||
        p->live[r->ops.data[i]])
      continue;
    p->live[r->ops.data[i]] = true;
    stack[n++] = r->ops.data[i];
  }
  while (n) {
    op_id id = stack[--n];
    const struct op *op = function_op(f, id);
    uint32_t first = p->state_of[id] ? 1 : 0, end = needed_operands(p, op);
    for (uint32_t k = first; k < end; k++)
      need(p, op->operands[k], &stack, &n);
    for (uint32_t k = 0; k < op->n_regions; k++)
      need_region(p, op->regions[k], &stack, &n);
  }
  mem_free(stack);
}

/* ---- inputs ---- */

static value_id per_row(struct phase *p, value_id v) {
  const dim dims[2] = {p->roles->batch, dim_const(p->t, 1)};
  return build_reshape(&p->b, v, dims, 2);
}

static value_id row_iota(struct phase *p, dim n) {
  const dim dims[2] = {dim_const(p->t, 1), n};
  return build_iota(&p->b, DTYPE_I64, dims, 2, 1);
}

/* length + i; of tokens that are only padding, the last valid one's, which no table is too short
 * for. */
static value_id make_positions(struct phase *p) {
  value_id length = per_row(p, p->length);
  if (p->decode)
    return length;
  value_id i = build_binary(&p->b, SCALAR_ADD, length, row_iota(p, p->tokens));
  value_id end = build_binary(&p->b, SCALAR_ADD, length, per_row(p, p->count));
  value_id last = build_binary_i64(&p->b, SCALAR_ADD, end, -1);
  return build_binary_i64(&p->b, SCALAR_MAX, build_binary(&p->b, SCALAR_MIN, i, last), 0);
}

/* Ones up to what the run adds. */
static value_id make_mask(struct phase *p, const struct type *type) {
  value_id end =
      build_binary(&p->b, SCALAR_ADD, per_row(p, p->length), build_dims(&p->b, &p->tokens, 1));
  return build_cast(&p->b, build_binary(&p->b, SCALAR_LT, row_iota(p, p->capacity), end),
                    type->dtype);
}

static bool is_state_input(const struct phase *p, uint32_t input) {
  for (uint32_t i = 0; i < p->roles->states.len; i++)
    if (p->roles->states.data[i].past == input)
      return true;
  return false;
}

static value_id counter(struct phase *p, const char *name) {
  struct type type = type_make(DTYPE_I64, &p->roles->batch, 1);
  return region_add_param(p->to, 0, &type, name);
}

static void add_state_param(struct phase *p, const struct phase_state *s) {
  value_id past = past_value(p, s);
  struct type type = renamed_type(p, value_type(p->from, past));
  type.dims[s->axis] = p->capacity;
  p->map[past] = region_add_param(p->to, 0, &type, function_value(p->from, past)->name);
}

static void add_input(struct phase *p, uint32_t i) {
  value_id from = p->from->regions.data[0].params.data[i];
  struct type type = renamed_type(p, value_type(p->from, from));
  p->map[from] = region_add_param(p->to, 0, &type, function_value(p->from, from)->name);
}

static void add_inputs(struct phase *p) {
  const struct region *r = &p->from->regions.data[0];
  const uint32_t *port = p->roles->port;
  add_input(p, port[PHASE_TOKENS]);
  for (uint32_t i = 0; i < r->params.len; i++)
    if (i != port[PHASE_TOKENS] && i != port[PHASE_MASK] && i != port[PHASE_POSITIONS] &&
        !is_state_input(p, i))
      add_input(p, i);
  if (!p->decode)
    p->count = counter(p, "count");
  p->length = counter(p, "length");
  for (uint32_t i = 0; i < p->roles->states.len; i++)
    add_state_param(p, &p->roles->states.data[i]);
  p->positions = make_positions(p);
  if (port[PHASE_MASK] != PORT_NONE) {
    value_id mask = r->params.data[port[PHASE_MASK]];
    p->map[mask] = make_mask(p, value_type(p->from, mask));
  }
  if (port[PHASE_POSITIONS] != PORT_NONE) {
    value_id positions = r->params.data[port[PHASE_POSITIONS]];
    p->map[positions] = build_cast(&p->b, p->positions, value_type(p->from, positions)->dtype);
  }
}

/* ---- ops ---- */

static value_id mapped(const struct phase *p, value_id v) { return p->map[v]; }

static bool clone_op(struct phase *p, region_id into, op_id id);

static region_id clone_region(struct phase *p, region_id id) {
  region_id to = region_create(p->to);
  for (uint32_t i = 0; i < p->from->regions.data[id].params.len; i++) {
    value_id param = p->from->regions.data[id].params.data[i];
    struct type type = renamed_type(p, value_type(p->from, param));
    p->map[param] = region_add_param(p->to, to, &type, function_value(p->from, param)->name);
  }
  for (uint32_t i = 0; i < p->from->regions.data[id].ops.len; i++)
    if (!clone_op(p, to, p->from->regions.data[id].ops.data[i]))
      break;
  for (uint32_t i = 0; i < p->from->regions.data[id].results.len; i++) {
    value_id result = mapped(p, p->from->regions.data[id].results.data[i]);
    vec_push(&p->to->regions.data[to].results, result);
  }
  return to;
}

/* A copy under the new dims. */
static bool clone_op(struct phase *p, region_id into, op_id id) {
  const struct op *op = function_op(p->from, id);
  struct arena scratch = {0};
  value_id *operands = ARENA_ARRAY(&scratch, value_id, op->n_operands + 1);
  region_id *regions = ARENA_ARRAY(&scratch, region_id, op->n_regions + 1);
  for (uint32_t i = 0; i < op->n_operands; i++)
    operands[i] = mapped(p, op->operands[i]);
  for (uint32_t i = 0; i < op->n_regions; i++)
    regions[i] = clone_region(p, op->regions[i]);
  void *attrs = (void *)attrs_copy(p->from->module, op->kind, op->attrs);
  attrs_substitute(p->t, op->kind, attrs, p->by_symbol);
  struct builder b = p->b;
  b.region = into;
  b.provenance = op->provenance;
  if (op->kind == OP_CHECK) {
    const struct check_attrs *c = attrs;
    build_check(&b, c->lhs, c->relation, c->rhs, c->message);
    arena_deinit(&scratch);
    return true;
  }
  op_id copy = build_op(&b, op->kind, operands, op->n_operands, regions, op->n_regions, attrs);
  arena_deinit(&scratch);
  for (uint32_t i = 0; copy != OP_ID_NONE && i < op->n_results; i++) {
    p->map[op->results[i]] = op_result(p->to, copy, i);
    value_set_name(p->to, op_result(p->to, copy, i), function_value(p->from, op->results[i])->name);
  }
  return copy != OP_ID_NONE || fail(p, op->provenance, "an op does not fit the states' shapes");
}

/* Whether attributes say the number of past rows where it is data, not a size. */
static void look_for_past(void *user, dim d) {
  struct phase *p = user;
  if (d != DIM_NONE && dim_uses_symbol(p->t, known(p, d), p->roles->past))
    fail(p, p->b.provenance, "it computes with the number of past rows");
}

static bool check_data(struct phase *p, const struct op *op) {
  p->b.provenance = op->provenance;
  if (op->kind == OP_DIMS) {
    struct dims dims = OP_ATTRS(dims, op)->dims;
    for (uint32_t i = 0; i < dims.len; i++)
      look_for_past(p, dims.data[i]);
  } else if (op->kind == OP_SLICE) {
    struct dims start = OP_ATTRS(slice, op)->start;
    for (uint32_t i = 0; i < start.len; i++)
      look_for_past(p, start.data[i]);
  }
  return !p->why->len;
}

/* The sum of the mask along its columns: the row's tokens, old and new. */
static bool build_mask_sum(struct phase *p, const struct op *op) {
  if (op->kind != OP_REDUCE || p->mask.ones == VALUE_NONE)
    return false;
  const struct reduce_attrs *a = OP_ATTRS(reduce, op);
  const struct op *cast = def_of_kind(p->from, op->operands[0], OP_MAP);
  value_id x, v = map_is(cast, SCALAR_CAST, &x) ? x : op->operands[0];
  enum dtype dtype = value_type(p->from, op->operands[0])->dtype;
  if (v != p->mask.ones || a->kind != COMBINER_SUM || a->axes.len != 1 || a->axes.data[0] != 1 ||
      !dtype_is_int(dtype))
    return false;
  value_id sum =
      build_binary(&p->b, SCALAR_ADD, per_row(p, p->length), build_dims(&p->b, &p->tokens, 1));
  p->map[op->results[0]] = build_cast(&p->b, sum, dtype);
  return true;
}

/* ---- attention ---- */

static value_id all_rows(struct phase *p) { return row_iota(p, p->capacity); }

/* Positions that let every query see the row's tokens, and nothing behind them. */
static value_id last_positions(struct phase *p) {
  if (p->decode)
    return p->positions;
  value_id added =
      build_binary(&p->b, SCALAR_MIN, per_row(p, p->count), build_dims(&p->b, &p->tokens, 1));
  value_id end = build_binary(&p->b, SCALAR_ADD, per_row(p, p->length), added);
  const dim dims[2] = {p->roles->batch, p->tokens};
  return build_broadcast(&p->b, build_binary_i64(&p->b, SCALAR_ADD, end, -1), dims, 2);
}

static bool build_attention(struct phase *p, op_id id) {
  const struct op *op = function_op(p->from, id);
  struct attention_attrs a = *OP_ATTRS(attention, op);
  struct phase_sight sight;
  bool of_state = renamed(p, value_type(p->from, op->operands[1])->dims[2]) == p->capacity;
  if (!of_state || (a.has_pos && a.causal))
    return clone_op(p, 0, id);
  bool read = phase_mask_read(&p->mask, op, &sight);
  if (a.has_pos || (!read && (a.causal || a.window)))
    return fail(p, op->provenance, "an attention's mask is of a form that is not known");
  value_id operands[6] = {mapped(p, op->operands[0]), mapped(p, op->operands[1]),
                          mapped(p, op->operands[2])};
  uint32_t n = 3;
  a.causal = a.has_pos = true;
  a.has_bias = a.has_bias && !read;
  a.window = read ? sight.window : 0;
  if (a.has_bias)
    operands[n++] = mapped(p, op->operands[3]);
  operands[n++] = read ? p->positions : last_positions(p);
  operands[n++] = all_rows(p);
  value_id v = build_op1(&p->b, OP_ATTENTION, operands, n, &a);
  p->map[op->results[0]] = v;
  return v != VALUE_NONE || fail(p, op->provenance, "an attention does not fit the states' shapes");
}

/* ---- states ---- */

/* Whether v[b, i] is length[b] + i: sums of the length, of i and of sizes. */
struct place {
  bool known;
  int64_t lengths; /* how often the length is in it */
  dim base, step;  /* step: of i, the second index */
};

static struct place place_of(const struct phase *p, value_id v, uint32_t depth);

static struct place place_sum(const struct phase *p, struct place a, struct place b, int64_t sign) {
  struct place r = {.known = a.known && b.known, .lengths = a.lengths + sign * b.lengths};
  if (!r.known)
    return r;
  dim factor = dim_const(p->t, sign);
  r.base = dim_add(p->t, a.base, dim_mul(p->t, b.base, factor));
  r.step = dim_add(p->t, a.step, dim_mul(p->t, b.step, factor));
  r.known = r.base != DIM_NONE && r.step != DIM_NONE;
  return r;
}

/* max(x, 0) of what cannot be below it. */
static struct place place_max(const struct phase *p, struct place a, struct place b) {
  struct dim_table *t = p->t;
  dim zero = dim_const(t, 0);
  bool plain =
      b.known && !b.lengths && dim_is_const_value(t, b.base, 0) && dim_is_const_value(t, b.step, 0);
  bool above =
      a.known && a.lengths >= 0 && dim_known_le(t, zero, a.base) && dim_known_le(t, zero, a.step);
  return plain && above ? a : (struct place){0};
}

static struct place place_of_map(const struct phase *p, const struct op *op, uint32_t depth) {
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  struct place done[96];
  if (body->len > 96)
    return (struct place){0};
  for (uint32_t i = 0; i < body->len; i++) {
    const struct scalar_inst *s = &body->insts[i];
    const struct place *a = &done[s->args[0]], *b = &done[s->args[1]];
    done[i] = (struct place){0};
    if (s->op == SCALAR_ARG)
      done[i] = place_of(p, op->operands[s->args[0]], depth + 1);
    else if (s->op == SCALAR_CONST && dtype_is_int(s->dtype))
      done[i] = (struct place){true, 0, dim_const(p->t, s->imm.i64), dim_const(p->t, 0)};
    else if (s->op == SCALAR_CAST && (s->dtype == DTYPE_I64 || s->dtype == DTYPE_I32))
      done[i] = *a;
    else if (s->op == SCALAR_ADD || s->op == SCALAR_SUB)
      done[i] = place_sum(p, *a, *b, s->op == SCALAR_ADD ? 1 : -1);
    else if (s->op == SCALAR_MAX)
      done[i] = place_max(p, *a, *b);
  }
  return done[body->len - 1];
}

static struct place place_of(const struct phase *p, value_id v, uint32_t depth) {
  const struct op *op = value_def(p->to, v);
  dim zero = dim_const(p->t, 0);
  if (v == p->length)
    return (struct place){true, 1, zero, zero};
  if (!op || depth > 24 || !dtype_is_int(value_type(p->to, v)->dtype))
    return (struct place){0};
  switch (op->kind) {
  case OP_MAP: return place_of_map(p, op, depth);
  case OP_DIMS:
    return OP_ATTRS(dims, op)->dims.len == 1
               ? (struct place){true, 0, OP_ATTRS(dims, op)->dims.data[0], zero}
               : (struct place){0};
  case OP_IOTA:
    return OP_ATTRS(iota, op)->axis == 1 && value_type(p->to, v)->rank == 2
               ? (struct place){true, 0, zero, dim_const(p->t, 1)}
               : (struct place){0};
  case OP_RESHAPE: {
    struct place x = place_of(p, op->operands[0], depth + 1);
    return x.known && dim_is_const_value(p->t, x.step, 0) ? x : (struct place){0};
  }
  default: return (struct place){0};
  }
}

static bool is_next_position(struct phase *p, value_id v) {
  const struct type *type = value_type(p->to, v);
  struct place x = place_of(p, v, 0);
  return type->rank == 2 && x.known && x.lengths == 1 && dim_is_const_value(p->t, x.base, 0) &&
         (p->decode || dim_is_const_value(p->t, x.step, 1));
}

/* Positions that rows are scattered to, once it is shown that they are the next ones, are ours:
 * those do not leave tables where a row is only padding. */
static bool settle_positions(struct phase *p, const struct op *op) {
  value_id index = op->operands[3];
  enum dtype dtype = value_type(p->from, index)->dtype;
  if (mapped(p, index) == p->positions)
    return true;
  if (!is_next_position(p, mapped(p, index)))
    return fail(p, op->provenance, "a cache's rows are put elsewhere than behind those it has");
  p->map[index] = build_cast(&p->b, p->positions, dtype);
  return true;
}

/* [batch, tokens, rest...] with the tokens where the state has them. */
static value_id rows_in_place(struct phase *p, const struct phase_state *s, value_id v) {
  uint32_t rank = value_type(p->to, v)->rank;
  int64_t perm[IR_MAX_RANK];
  for (uint32_t d = 0, next = 2; d < rank; d++)
    perm[d] = d == 0 ? 0 : d == s->axis ? 1 : next++;
  return build_transpose(&p->b, v, perm);
}

static bool build_state(struct phase *p, const struct op *op, const struct phase_state *s) {
  value_id rows = mapped(p, op->operands[1]);
  if (op->kind == OP_SCATTER)
    rows = rows_in_place(p, s, rows);
  value_id operands[4] = {mapped(p, past_value(p, s)), rows, p->length, p->count};
  value_id v = build_op1(&p->b, OP_UPDATE, operands, p->decode ? 3 : 4,
                         &(struct update_attrs){.axis = s->axis, .in_place = true});
  p->map[op->results[0]] = v;
  return v != VALUE_NONE || fail(p, op->provenance, "a cache's rows do not fit its state");
}

/* ---- all of it ---- */

/* Ops that compute positions to scatter to: those are settled as soon as they are there. */
static bool settle_after(struct phase *p, op_id id) {
  const struct op *op = function_op(p->from, id);
  for (uint32_t i = 0; i < p->roles->states.len; i++) {
    const struct op *present = present_op(p, &p->roles->states.data[i]);
    if (present->kind == OP_SCATTER && op->n_results && present->operands[3] == op->results[0])
      return settle_positions(p, present);
  }
  return true;
}

static bool build_one(struct phase *p, op_id id) {
  const struct op *op = function_op(p->from, id);
  p->b.provenance = op->provenance;
  if (p->state_of[id])
    return build_state(p, op, &p->roles->states.data[p->state_of[id] - 1]);
  if (op->kind == OP_ATTENTION)
    return build_attention(p, id);
  if (build_mask_sum(p, op))
    return true;
  return check_data(p, op) && clone_op(p, 0, id) && settle_after(p, id);
}

/* Sizes grow with the capacity, or do not know it: nothing has as many rows as there were before.
 */
static void check_size(void *user, dim d) {
  struct phase *p = user;
  uint32_t capacity;
  if (d == DIM_NONE || !dim_symbol_of(p->t, p->capacity, &capacity) ||
      !dim_uses_symbol(p->t, d, capacity))
    return;
  dim *twice = mem_calloc(dim_symbol_count(p->t), sizeof *twice), two = dim_const(p->t, 2);
  twice[capacity] = dim_mul(p->t, p->capacity, two);
  if (!dim_known_eq(p->t, dim_substitute(p->t, d, twice), dim_mul(p->t, d, two)))
    fail(p, 0, "something has as many rows as a cache had before");
  mem_free(twice);
}

static bool check_sizes(struct phase *p) {
  for (uint32_t v = 1; v < p->to->values.len; v++)
    for (uint32_t d = 0; d < p->to->values.data[v].type.rank; d++)
      check_size(p, p->to->values.data[v].type.dims[d]);
  return !p->why->len;
}

static bool is_present(const struct phase *p, uint32_t output) {
  for (uint32_t i = 0; i < p->roles->states.len; i++)
    if (p->roles->states.data[i].present == output)
      return true;
  return false;
}

static bool add_results(struct phase *p) {
  const struct region *r = &p->from->regions.data[0];
  for (uint32_t i = 0; i < r->results.len; i++)
    if (!is_present(p, i))
      vec_push(&p->to->regions.data[0].results, mapped(p, r->results.data[i]));
  for (uint32_t i = 0; i < p->roles->states.len; i++)
    vec_push(&p->to->regions.data[0].results,
             mapped(p, r->results.data[p->roles->states.data[i].present]));
  uint32_t logits = 0;
  for (uint32_t i = 0; i < p->roles->port[PHASE_LOGITS]; i++)
    logits += !is_present(p, i);
  value_id v = phase_tail(p, p->to->regions.data[0].results.data[logits]);
  p->to->regions.data[0].results.data[logits] = v;
  return v != VALUE_NONE || fail(p, 0, "the logits are not [batch, tokens, ...]");
}

static bool add_guards(struct phase *p) {
  for (uint32_t i = 0; i < p->from->where.len; i++) {
    struct guard g = p->from->where.data[i];
    g.lhs = renamed(p, g.lhs);
    g.rhs = renamed(p, g.rhs);
    if (g.lhs == DIM_NONE || g.rhs == DIM_NONE)
      return fail(p, 0, "a condition of the inputs grows too long");
    if (!relation_known(p->t, g.lhs, g.relation, g.rhs))
      vec_push(&p->to->where, g);
  }
  return true;
}

static bool build(struct phase *p) {
  const struct region *r = &p->from->regions.data[0];
  if (!find_states(p) || !check_readers(p))
    return false;
  find_live(p);
  add_inputs(p);
  for (uint32_t i = 0; i < r->ops.len; i++)
    if (p->live[r->ops.data[i]] && !build_one(p, r->ops.data[i]))
      return false;
  if (p->b.failures || !check_sizes(p) || !add_guards(p) || !add_results(p))
    return fail(p, 0, "it does not fit the states' shapes");
  function_sweep(p->to);
  return true;
}

bool phase_build(struct phase *p, struct strbuf *why) {
  struct diags ignored = {0};
  const struct region *r = &p->from->regions.data[0];
  uint32_t mask = p->roles->port[PHASE_MASK];
  p->why = why;
  p->t = p->from->module->dims;
  name_symbols(p);
  p->map = mem_calloc(p->from->values.len, sizeof *p->map);
  p->live = mem_calloc(p->from->ops.len, sizeof *p->live);
  p->state_of = mem_calloc(p->from->ops.len, sizeof *p->state_of);
  p->mask = (struct phase_mask){.f = p->from,
                                .affines = p->affines,
                                .by_symbol = p->known,
                                .past = p->past,
                                .ones = mask == PORT_NONE ? VALUE_NONE : r->params.data[mask]};
  p->to = function_create(p->from->module, p->name);
  builder_init(&p->b, p->to, 0, &ignored);
  bool built = build(p);
  if (!built)
    module_drop_function(p->from->module, p->to);
  diags_deinit(&ignored);
  mem_free(p->map);
  mem_free(p->live);
  mem_free(p->state_of);
  mem_free(p->known);
  mem_free(p->by_symbol);
  return built;
}
