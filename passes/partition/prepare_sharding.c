/* SPDX-License-Identifier: Apache-2.0 */
/* Attention with positions and lse, and without them again. */
#include "passes/partition/prepare_sharding.h"

#include "ir/sharding.h"
#include "passes/rewrite.h"

#include <string.h>

static bool by_position(const struct attention_attrs *a) { return a->causal || a->window > 0; }

/* i64 [1, n]: 0, 1, ...; plus `first`. */
static value_id positions(struct rewriter *w, dim n, dim first) {
  dim one = dim_const(w->dims, 1), dims[] = {one, n};
  value_id index = build_iota(&w->b, DTYPE_I64, dims, 2, 1);
  if (dim_is_const_value(w->dims, first, 0))
    return index;
  value_id shift = build_reshape(&w->b, build_dims(&w->b, &first, 1), (dim[]){one, one}, 2);
  return build_binary(&w->b, SCALAR_ADD, index, shift);
}

/* The op with other attributes and these operands; the values of its results in their shardings. */
static enum rewrite rebuild(struct rewriter *w, op_id id, const value_id *operands, uint32_t n,
                            const struct attention_attrs *a) {
  const struct op old = *function_op(w->f, id);
  op_id made = build_op(&w->b, OP_ATTENTION, operands, n, NULL, 0, a);
  if (made == OP_ID_NONE)
    return NO_MATCH;
  uint32_t results = a->lse && old.n_results == 2 ? 2 : 1;
  for (uint32_t i = 0; i < results; i++) {
    value_id v = op_result(w->f, made, i);
    w->f->values.data[v].type.sharding = value_type(w->f, old.results[i])->sharding;
    if (!rewrite_result(w, id, i, v))
      return NO_MATCH;
  }
  return REPLACED;
}

static enum rewrite prepare(struct rewriter *w, op_id id) {
  const struct op *op = function_op(w->f, id);
  if (op->kind != OP_ATTENTION)
    return NO_MATCH;
  struct attention_attrs a = *OP_ATTRS(attention, op);
  value_id operands[6];
  uint32_t n = op->n_operands;
  if (a.lse && (a.has_pos || !by_position(&a)))
    return NO_MATCH;
  memcpy(operands, op->operands, n * sizeof *operands);
  if (!a.has_pos && by_position(&a)) {
    dim s = value_type(w->f, operands[0])->dims[2], t = value_type(w->f, operands[1])->dims[2];
    dim shift = dim_sub(w->dims, t, s);
    if (shift == DIM_NONE)
      return NO_MATCH;
    operands[n++] = positions(w, s, shift);
    operands[n++] = positions(w, t, dim_const(w->dims, 0));
    a.has_pos = true;
  }
  a.lse = true;
  return rebuild(w, id, operands, n, &a);
}

status prepare_sharding(struct function *f, struct diags *diags) {
  status result = STATUS_OK;
  rewrite_function(f, diags, &(struct rewrite_options){.rule = prepare}, &result);
  return result;
}

/* ---- and back ---- */

static bool is_index(const struct rewriter *w, value_id v) {
  const struct op *op = value_def(w->f, v);
  return op && op->kind == OP_IOTA && OP_ATTRS(iota, op)->axis == 1 &&
         value_type(w->f, v)->rank == 2;
}

/* v is index + first, as positions() writes it. */
static bool is_shifted_index(const struct rewriter *w, value_id v, dim first) {
  if (dim_is_const_value(w->dims, first, 0))
    return is_index(w, v);
  const struct op *op = value_def(w->f, v);
  if (!op || op->kind != OP_MAP || op->n_operands != 2 || !is_index(w, op->operands[0]))
    return false;
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  const struct op *reshape = value_def(w->f, op->operands[1]);
  const struct op *shift =
      reshape && reshape->kind == OP_RESHAPE ? value_def(w->f, reshape->operands[0]) : NULL;
  return body->len == 3 && body->insts[2].op == SCALAR_ADD && shift && shift->kind == OP_DIMS &&
         OP_ATTRS(dims, shift)->dims.len == 1 &&
         dim_known_eq(w->dims, OP_ATTRS(dims, shift)->dims.data[0], first);
}

static bool is_split(const struct rewriter *w, value_id v, uint32_t d) {
  sharding_id id = value_type(w->f, v)->sharding;
  return id && w->f->module->shardings.data[id]->dims[d].n_axes;
}

struct finish {
  struct uses uses;
  uint32_t n_values; /* that they count */
};

static bool is_used(const struct finish *f, value_id v) {
  return v >= f->n_values || uses_count(&f->uses, v) > 0;
}

static enum rewrite finish(struct rewriter *w, op_id id) {
  const struct op *op = function_op(w->f, id);
  if (op->kind != OP_ATTENTION)
    return NO_MATCH;
  struct attention_attrs a = *OP_ATTRS(attention, op);
  uint32_t n = op->n_operands;
  value_id operands[6];
  memcpy(operands, op->operands, n * sizeof *operands);
  dim s = value_type(w->f, operands[0])->dims[2], t = value_type(w->f, operands[1])->dims[2];
  dim shift = dim_sub(w->dims, t, s);
  bool split = is_split(w, operands[0], 2) || is_split(w, operands[1], 2);
  bool drop_lse = a.lse && !is_split(w, operands[1], 2) && !is_used(w->user, op->results[1]);
  bool drop_pos = a.has_pos && !split && by_position(&a) && shift != DIM_NONE &&
                  is_index(w, operands[n - 1]) && is_shifted_index(w, operands[n - 2], shift);
  if (!drop_lse && !drop_pos)
    return NO_MATCH;
  a.lse &= !drop_lse;
  a.has_pos &= !drop_pos;
  return rebuild(w, id, operands, drop_pos ? n - 2 : n, &a);
}

status finish_sharding(struct function *f, struct diags *diags) {
  struct arena scratch = {0};
  struct finish state = {.n_values = f->values.len};
  status result = STATUS_OK;
  uses_build(f, &scratch, &state.uses);
  rewrite_function(f, diags, &(struct rewrite_options){.rule = finish, .user = &state}, &result);
  arena_deinit(&scratch);
  return result;
}
