/* SPDX-License-Identifier: Apache-2.0 */
/* split_keys: attention of few queries over many keys in parts, for GPUs.
 *
 *     %o = attention %q, %k, %v    =>    %os, %ls = attention %q, %k, %v { lse = true, parts = n }
 *                                        %o, %l = combine %os, %ls { kind = softmax }
 *
 * A step of a decoder has a block of a GPU's threads per batch row and head of keys: too few for
 * its processors. Only a static number of few queries is split, and so that there are about
 * ENOUGH_BLOCKS. What is merged is small beside the keys: per part and query it is as much as a
 * key and its value. Batches of a size that only a run tells count as one row.
 *
 * Values are those of the op within rounding. Does nothing for CPUs, whose schedule of few queries
 * shares keys between threads by heads. Requires: localised functions. Before: expand_combine. */
#include "passes/pass.h"
#include "passes/rewrite.h"

enum {
  MOST_ROWS = 16,      /* queries of the heads of one head of keys: a block's */
  ENOUGH_BLOCKS = 256, /* twice the processors of a large GPU (132 of an H100) */
  LEAST_KEYS = 512,    /* that are worth a second kernel */
  MOST_PARTS = 32,
};

/* A size, 1 where it is not known. */
static int64_t size_of(const struct dim_table *t, dim d) {
  int64_t n;
  return dim_is_const(t, d, &n) && n > 0 ? n : 1;
}

/* How many parts an attention is worth; 0: it stays whole. */
static int64_t parts_of(const struct rewriter *w, const struct op *op) {
  const struct dim_table *t = w->dims;
  const struct type *q = value_type(w->f, op->operands[0]), *k = value_type(w->f, op->operands[1]);
  int64_t queries, heads, shared, keys;
  if (OP_ATTRS(attention, op)->parts || dtype_compute(q->dtype) != DTYPE_F32 ||
      !dim_is_const(t, q->dims[2], &queries) || !dim_is_const(t, q->dims[1], &heads) ||
      !dim_is_const(t, k->dims[1], &shared) || queries < 1 || shared < 1 || queries > MOST_ROWS ||
      heads / shared > MOST_ROWS / queries)
    return 0;
  bool known = dim_is_const(t, k->dims[2], &keys);
  int64_t blocks = shared, batch = size_of(t, k->dims[0]);
  if ((known && keys < LEAST_KEYS) || shared > ENOUGH_BLOCKS || batch > ENOUGH_BLOCKS)
    return 0;
  blocks *= batch;
  int64_t parts = (ENOUGH_BLOCKS + blocks - 1) / blocks;
  int64_t most = known ? (keys + ATTENTION_PART_KEYS - 1) / ATTENTION_PART_KEYS : MOST_PARTS;
  most = most < MOST_PARTS ? most : MOST_PARTS;
  parts = parts < most ? parts : most;
  return parts > 1 ? parts : 0;
}

static enum rewrite split(struct rewriter *w, op_id id) {
  const struct op op = *function_op(w->f, id);
  int64_t parts = op.kind == OP_ATTENTION ? parts_of(w, &op) : 0;
  if (!parts)
    return NO_MATCH;
  struct attention_attrs a = *OP_ATTRS(attention, &op);
  a.lse = true;
  a.parts = parts;
  enum dtype dtype = value_type(w->f, op.results[0])->dtype;
  op_id split = build_op(&w->b, OP_ATTENTION, op.operands, op.n_operands, NULL, 0, &a);
  if (split == OP_ID_NONE)
    return NO_MATCH;
  value_id each[2] = {op_result(w->f, split, 0), op_result(w->f, split, 1)};
  op_id merged = build_op(&w->b, OP_COMBINE, each, 2, NULL, 0,
                          &(struct combine_attrs){.kind = PARTIAL_SOFTMAX});
  if (merged == OP_ID_NONE)
    return NO_MATCH;
  value_id lse = op_result(w->f, merged, 1);
  value_id o = build_cast(&w->b, op_result(w->f, merged, 0), dtype);
  bool done = rewrite_result(w, id, 0, o);
  if (op.n_results > 1)
    done &= rewrite_result(w, id, 1, lse);
  return done ? REPLACED : NO_MATCH;
}

status pass_split_keys(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; ctx->gpu && i < ctx->module->functions.len && st == STATUS_OK; i++)
    rewrite_function(ctx->module->functions.data[i], ctx->diags,
                     &(struct rewrite_options){.rule = split}, &st);
  return st;
}
