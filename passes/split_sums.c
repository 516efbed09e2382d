/* SPDX-License-Identifier: Apache-2.0 */
/* split_sums: contractions of few tiles and long sums in parts, for GPUs.
 *
 *     %c = contract %x, %w                =>    %p = contract of x[m, n, k / n] and w[n, k / n,
 * ...] (x [m, k], w [k, columns])                by part: [n, m, columns], not rounded %c = p[0] +
 * p[1] + ... , rounded as before
 *
 * A tile is a block's of a GPU. Where rows and columns make fewer tiles than it has processors and
 * each sums up thousands of products, the others wait; parts are tiles, too. Parts are added in
 * order, so a run gives the bits of the run before; what follows the contraction is done where they
 * are added. Only static sizes are split, only sums of floats, and each part stays long.
 *
 * Values are those of the op within rounding. Does nothing for CPUs. Requires: localised functions.
 * Before: layout, fuse. */
#include "passes/pass.h"
#include "passes/rewrite.h"

enum {
  TILE = 64,         /* rows and columns of a block */
  ENOUGH_TILES = 96, /* that keep most of a GPU at work */
  FEW = 8,           /* rows that have a kernel of their own (contract_few) ... */
  FEW_TENSOR = 4,    /* ... where tensor cores multiply the operands */
  LEAST_PART = 512,  /* elements of a part's sum */
  PART_UNIT = 64,    /* which are a multiple of that */
  MOST_PARTS = 8,
  MOST_SIZE = 1 << 24,
};

/* The product of an operand's dims that are (not) in the lists; 0: unknown or large. */
static int64_t own_size(const struct rewriter *w, value_id v, struct ints batch, struct ints k,
                        bool batched) {
  const struct type *type = value_type(w->f, v);
  int64_t size = 1, n;
  for (uint32_t i = 0; i < type->rank && size; i++) {
    bool in_batch = false, in_k = false;
    for (uint32_t j = 0; j < batch.len; j++)
      in_batch |= batch.data[j] == i;
    for (uint32_t j = 0; j < k.len; j++)
      in_k |= k.data[j] == i;
    if (in_k || in_batch != batched)
      continue;
    size = dim_is_const(w->dims, type->dims[i], &n) && n > 0 && n < MOST_SIZE / size ? size * n : 0;
  }
  return size;
}

/* How many parts a contraction is worth; 0: it stays whole. */
static int64_t parts_of(const struct rewriter *w, const struct op *op) {
  const struct contract_attrs *a = OP_ATTRS(contract, op);
  const struct type *lhs = value_type(w->f, op->operands[0]);
  enum dtype compute = dtype_compute(lhs->dtype);
  int64_t few = lhs->dtype == DTYPE_F32 ? FEW : FEW_TENSOR;
  int64_t sum, rows = own_size(w, op->operands[0], a->lhs_batch, a->lhs_k, false),
               columns = own_size(w, op->operands[1], a->rhs_batch, a->rhs_k, false),
               batch = own_size(w, op->operands[0], a->lhs_batch, a->lhs_k, true);
  if (a->lhs_k.len != 1 || lhs->rank >= IR_MAX_RANK ||
      value_type(w->f, op->operands[1])->rank >= IR_MAX_RANK ||
      value_type(w->f, op->results[0])->rank >= IR_MAX_RANK || compute != DTYPE_F32 ||
      !dim_is_const(w->dims, lhs->dims[a->lhs_k.data[0]], &sum) || rows <= few || columns <= few ||
      !batch || batch >= ENOUGH_TILES)
    return 0;
  int64_t tiles = (rows + TILE - 1) / TILE * ((columns + TILE - 1) / TILE) * batch;
  for (int64_t parts = MOST_PARTS; parts > 1; parts--)
    if (sum % (parts * PART_UNIT) == 0 && sum / parts >= LEAST_PART &&
        tiles * parts <= 2 * ENOUGH_TILES && tiles * 2 <= ENOUGH_TILES)
      return parts;
  return 0;
}

/* The operand with its summed dim in two, the parts before what is summed over. */
static value_id in_parts(struct rewriter *w, value_id v, int64_t k, int64_t parts) {
  struct type type = *value_type(w->f, v);
  dim dims[IR_MAX_RANK];
  uint32_t n = 0;
  for (uint32_t i = 0; i < type.rank; i++) {
    int64_t size;
    if (i != k || !dim_is_const(w->dims, type.dims[i], &size)) {
      dims[n++] = type.dims[i];
      continue;
    }
    dims[n++] = dim_const(w->dims, parts);
    dims[n++] = dim_const(w->dims, size / parts);
  }
  return build_reshape(&w->b, v, dims, n);
}

/* Dims of the operand in its reshaped form; with `part`, that of the parts before them. */
static struct ints moved(struct ints axes, int64_t k, int64_t *room, bool part) {
  uint32_t n = 0;
  if (part)
    room[n++] = k;
  for (uint32_t i = 0; i < axes.len; i++)
    room[n++] = axes.data[i] + (axes.data[i] >= k);
  return (struct ints){.data = room, .len = n};
}

static value_id product_of_parts(struct rewriter *w, const struct op *op, int64_t parts) {
  const struct contract_attrs *a = OP_ATTRS(contract, op);
  int64_t lhs_k = a->lhs_k.data[0], rhs_k = a->rhs_k.data[0], room[4][IR_MAX_RANK + 1];
  struct contract_attrs split = *a;
  split.lhs_batch = moved(a->lhs_batch, lhs_k, room[0], true);
  split.rhs_batch = moved(a->rhs_batch, rhs_k, room[1], true);
  split.lhs_k = moved(a->lhs_k, lhs_k, room[2], false);
  split.rhs_k = moved(a->rhs_k, rhs_k, room[3], false);
  split.dtype = DTYPE_F32;
  value_id x = in_parts(w, op->operands[0], lhs_k, parts);
  value_id y = in_parts(w, op->operands[1], rhs_k, parts);
  return x == VALUE_NONE || y == VALUE_NONE ? VALUE_NONE : build_contract(&w->b, x, y, &split);
}

static enum rewrite split(struct rewriter *w, op_id id) {
  const struct op op = *function_op(w->f, id);
  int64_t parts = op.kind == OP_CONTRACT ? parts_of(w, &op) : 0;
  if (!parts)
    return NO_MATCH;
  struct type type = *value_type(w->f, op.results[0]);
  value_id product = product_of_parts(w, &op, parts), sum = VALUE_NONE;
  for (int64_t i = 0; i < parts && product != VALUE_NONE; i++) {
    value_id part =
        build_slice_axis(&w->b, product, 0, dim_const(w->dims, i), dim_const(w->dims, 1));
    part = build_reshape(&w->b, part, type.dims, type.rank);
    sum = i ? build_binary(&w->b, SCALAR_ADD, sum, part) : part;
  }
  if (sum == VALUE_NONE)
    return NO_MATCH;
  return rewrite_result(w, id, 0, build_cast(&w->b, sum, type.dtype)) ? REPLACED : NO_MATCH;
}

status pass_split_sums(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; ctx->gpu && i < ctx->module->functions.len && st == STATUS_OK; i++)
    rewrite_function(ctx->module->functions.data[i], ctx->diags,
                     &(struct rewrite_options){.rule = split}, &st);
  return st;
}
