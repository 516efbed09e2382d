/* SPDX-License-Identifier: Apache-2.0 */
/* map: a scalar body applied element by element. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

/* The body is well typed in itself and reads the operands as what they are. */
static bool check_body(const struct op_view *op, struct strbuf *why, enum dtype *out_dtype) {
  const struct scalar_body *body = VIEW_ATTRS(map, op)->body;
  if (!scalar_body_check(body, why))
    return false;
  if (body->n_args != op->n_operands)
    return op_refuse(why, "has %u operands and a body of %u", op->n_operands, body->n_args);
  for (uint32_t i = 0; i < body->len; i++) {
    const struct scalar_inst *inst = &body->insts[i];
    if (inst->op != SCALAR_ARG)
      continue;
    enum dtype has = op_operand(op, inst->args[0])->dtype;
    if (inst->dtype != has)
      return op_refuse(why, "the body reads operand %u as %s, which is %s", inst->args[0],
                       dtype_name(inst->dtype), dtype_name(has));
  }
  *out_dtype = body->insts[body->len - 1].dtype;
  return true;
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  struct dim_table *t = op_dim_table(op);
  enum dtype dtype = 0;
  if (!check_body(op, why, &dtype))
    return false;
  uint32_t rank = op->n_operands ? op_operand(op, 0)->rank : 0;
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct type *x = op_operand(op, i);
    if (!op_check_rank(op, why, i, rank))
      return false;
    for (uint32_t d = 0; d < rank; d++) {
      dims[d] = i ? op_dim_broadcast(t, dims[d], x->dims[d]) : x->dims[d];
      if (dims[d] == DIM_NONE)
        return op_refuse(why, "dim %u of operand %u does not broadcast with those before", d, i);
    }
  }
  *out_n_types = 1;
  return op_make_type(why, t, dtype, dims, rank, out_types);
}

/* Operands as strided sources of a walk that all of them share; strides holds one list for each. */
struct map_walk {
  uint32_t rank;
  int64_t dims[IR_MAX_RANK];
  int64_t *strides;
  struct scalar_source *row; /* where the row under evaluation begins */
};

static status map_begin(struct interp *in, const struct op *op, const struct tensor *result,
                        struct map_walk *w) {
  w->strides = interp_scratch(in, op, op->n_operands + 1u, sizeof(int64_t[IR_MAX_RANK]));
  w->row = interp_scratch(in, op, op->n_operands + 1u, sizeof *w->row);
  if (!w->strides || !w->row)
    return in->failure;
  memcpy(w->dims, result->dims, sizeof w->dims);
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct tensor *x = interp_operand(in, op, i);
    status s = interp_check_dims(in, op, x, result->dims, true);
    if (s)
      return s;
    strides_broadcast(x, w->strides + (size_t)i * IR_MAX_RANK);
    w->row[i].data = x->data;
  }
  w->rank = strides_collapse(w->dims, result->rank, w->strides, op->n_operands);
  for (uint32_t i = 0; i < op->n_operands; i++)
    w->row[i].stride = w->strides[(size_t)i * IR_MAX_RANK + w->rank - 1];
  return STATUS_OK;
}

/* Moves the sources to the next row; false after the last. */
static bool map_next_row(struct map_walk *w, uint32_t n, int64_t *index) {
  for (uint32_t d = w->rank - 1; d-- > 0;) {
    bool more = ++index[d] < w->dims[d];
    for (uint32_t i = 0; i < n; i++) {
      int64_t stride = w->strides[(size_t)i * IR_MAX_RANK + d];
      w->row[i].data += more ? stride : stride - stride * w->dims[d];
    }
    if (more)
      return true;
    index[d] = 0;
  }
  return false;
}

static status eval(struct interp *in, const struct op *op) {
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  struct map_walk w;
  struct tensor *result = interp_result(in, op, 0);
  status s = result ? map_begin(in, op, result, &w) : in->failure;
  if (s || result->count == 0)
    return s;
  uint32_t n = op->n_operands;
  union scalar *scratch =
      interp_scratch(in, op, (uint64_t)body->len * SCALAR_BLOCK, sizeof *scratch);
  struct scalar_source *block = interp_scratch(in, op, n + 1u, sizeof *block);
  if (!scratch || !block)
    return in->failure;
  union scalar *to = result->data;
  int64_t index[IR_MAX_RANK] = {0}, row = w.dims[w.rank - 1];
  do {
    for (int64_t at = 0; at < row; at += SCALAR_BLOCK) {
      uint32_t len = (uint32_t)(row - at < SCALAR_BLOCK ? row - at : SCALAR_BLOCK);
      for (uint32_t i = 0; i < n; i++) {
        block[i].data = w.row[i].data + at * w.row[i].stride;
        block[i].stride = w.row[i].stride;
      }
      scalar_block_eval(in->mode, body, block, len, scratch, to);
      to += len;
    }
  } while (map_next_row(&w, n, index));
  return STATUS_OK;
}

static dim flops(const struct function *f, const struct op *op) {
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  int64_t cost = 0;
  for (uint32_t i = 0; i < body->len; i++)
    cost += scalar_infos[body->insts[i].op].cost;
  return flops_per_element(f, op->results[0], cost);
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  factors_same_dims(f, op, UINT32_MAX, out);
}

const struct op_hooks map_hooks = {
    .infer = infer,
    .eval = eval,
    .flops = flops,
    .factors = factors,
};
