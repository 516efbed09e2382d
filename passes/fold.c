/* SPDX-License-Identifier: Apache-2.0 */
/* fold: ops on constants become constants.
 *
 *     %w = const @w : f32[64, 32]
 *     %1 = transpose %w { perm = [1, 0] }     =>     %1 = const @w.transposed : f32[32, 64]
 *
 * Small results (up to 64 KiB) come from the reference interpreter in typed mode, so folding
 * changes no bit. Larger ones, up to 64 MiB, only where that is a move, or an exact map that makes
 * the weight no larger: dequantised weights stay as they are stored, for kernels to widen on the
 * way.
 *
 * What would be an error at run time (an index out of range) stays for run time to report. Not
 * folded: broadcasts and iotas, which are cheaper to compute than to load.
 *
 * Requires: nothing. Preserves: values bit by bit. */
#include "ir/interp.h"
#include "passes/pass.h"
#include "passes/pattern.h"
#include "passes/rewrite.h"

#include <string.h>

#define SMALL_BYTES (UINT64_C(64) << 10)
#define LARGE_BYTES (UINT64_C(64) << 20)
/* Work that a fold may take: about 0.1 s. */
#define MAX_FLOPS 50000000
#define MAX_OPERAND_BYTES (UINT64_C(4) << 20)

/* Bytes that the result would have as a constant; UINT64_MAX where its shape is not static. */
static uint64_t result_bytes(const struct rewriter *w, value_id v, int64_t *out_dims) {
  const struct type *type = value_type(w->f, v);
  uint64_t n = 1;
  if (!type_static_dims(w->dims, type, out_dims) || dtype_kind(type->dtype) == DTYPE_KIND_STRING)
    return UINT64_MAX;
  for (uint32_t i = 0; i < type->rank; i++) {
    if (out_dims[i] < 0 || __builtin_mul_overflow(n, (uint64_t)out_dims[i], &n))
      return UINT64_MAX;
  }
  return n > LARGE_BYTES * 2 ? UINT64_MAX : (n * dtype_bits(type->dtype) + 7) / 8;
}

static const struct constant *constant_of(const struct rewriter *w, value_id v) {
  const struct op *op = def_of_kind(w->f, v, OP_CONST);
  const struct constant *c = op ? &w->f->module->constants.data[OP_ATTRS(const, op)->value] : NULL;
  return c && (c->data || !c->bytes) && dtype_kind(c->dtype) != DTYPE_KIND_STRING ? c : NULL;
}

static bool operands_constant(const struct rewriter *w, const struct op *op, uint64_t *out_bytes) {
  *out_bytes = 0;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct constant *c = constant_of(w, op->operands[i]);
    if (!c)
      return false;
    *out_bytes += c->bytes;
  }
  return op->n_operands > 0;
}

static bool is_move(enum op_kind kind) {
  return kind == OP_TRANSPOSE || kind == OP_SLICE || kind == OP_CONCAT || kind == OP_BITCAST;
}

static bool is_cheap(const struct rewriter *w, const struct op *op) {
  int64_t flops;
  if (!op_infos[op->kind].hooks->flops)
    return true;
  return dim_is_const(w->dims, op_infos[op->kind].hooks->flops(w->f, op), &flops) && flops >= 0 &&
         flops <= MAX_FLOPS;
}

static bool worth_it(const struct rewriter *w, const struct op *op, uint64_t from, uint64_t to) {
  if (to <= SMALL_BYTES && from <= MAX_OPERAND_BYTES)
    return is_cheap(w, op);
  if (to > LARGE_BYTES || from > LARGE_BYTES * 2)
    return false;
  return is_move(op->kind) || (op->kind == OP_MAP && to <= from);
}

static value_id add_constant(struct rewriter *w, value_id like, const int64_t *dims,
                             const void *data, uint64_t bytes) {
  const struct type *type = value_type(w->f, like);
  struct constant c = {.dtype = type->dtype, .rank = type->rank, .data = data, .bytes = bytes};
  memcpy(c.dims, dims, type->rank * sizeof *dims);
  return build_const(&w->b, module_add_constant(w->f->module, &c));
}

/* reshape %c => the same bytes under other dims. A large one is no work as it is, and stays. */
static value_id fold_reshape(struct rewriter *w, const struct op *op, const int64_t *dims) {
  struct constant c = *constant_of(w, op->operands[0]);
  if (c.bytes > SMALL_BYTES)
    return VALUE_NONE;
  c.name = NULL;
  c.rank = value_type(w->f, op->results[0])->rank;
  memcpy(c.dims, dims, c.rank * sizeof *dims);
  return build_const(&w->b, module_add_constant(w->f->module, &c));
}

/* Copies a transposed tensor of elements of `width` bytes; dims and strides (in bytes, of the
 * source) are in the order of the result. Two innermost dims are walked in tiles that stay in
 * cache. */
static void copy_transposed(char *to, const char *from, const int64_t *dims, const int64_t *strides,
                            uint32_t rank, size_t width) {
  if (rank == 1) {
    for (int64_t i = 0; i < dims[0]; i++)
      memcpy(to + (size_t)i * width, from + i * strides[0], width);
    return;
  }
  size_t inner = width;
  for (uint32_t i = 1; i < rank; i++)
    inner *= (size_t)dims[i];
  if (rank > 2) {
    for (int64_t i = 0; i < dims[0]; i++)
      copy_transposed(to + (size_t)i * inner, from + i * strides[0], dims + 1, strides + 1,
                      rank - 1, width);
    return;
  }
  const int64_t tile = 32;
  for (int64_t i = 0; i < dims[0]; i += tile) {
    for (int64_t j = 0; j < dims[1]; j += tile) {
      for (int64_t a = i; a < dims[0] && a < i + tile; a++) {
        int64_t end = j + tile < dims[1] ? j + tile : dims[1];
        for (int64_t b = j; b < end; b++)
          memcpy(to + ((size_t)a * (size_t)dims[1] + (size_t)b) * width,
                 from + a * strides[0] + b * strides[1], width);
      }
    }
  }
}

/* transpose %c, byte by byte */
static value_id fold_transpose(struct rewriter *w, const struct op *op, const int64_t *dims,
                               uint64_t bytes) {
  const struct constant c = *constant_of(w, op->operands[0]);
  struct ints perm = OP_ATTRS(transpose, op)->perm;
  int64_t strides[IR_MAX_RANK], order[IR_MAX_RANK];
  size_t width = dtype_bits(c.dtype) / 8;
  strides_of(c.dims, c.rank, strides);
  for (uint32_t i = 0; i < perm.len; i++)
    order[i] = strides[perm.data[i]] * (int64_t)width;
  char *data = arena_alloc(&w->f->module->arena, bytes);
  if (bytes && perm.len)
    copy_transposed(data, c.data, dims, order, perm.len, width);
  return add_constant(w, op->results[0], dims, data, bytes);
}

static enum rewrite fold_by_interpreter(struct rewriter *w, op_id id) {
  struct arena arena = {0};
  struct diags ignored = {0};
  const struct op op = *function_op(w->f, id);
  struct tensor **results = ARENA_ARRAY(&arena, struct tensor *, op.n_results + 1u);
  enum rewrite done = NO_MATCH;
  if (interp_fold(w->f, id, &arena, &ignored, results) == STATUS_OK) {
    done = REPLACED;
    for (uint32_t i = 0; i < op.n_results; i++) {
      uint64_t bytes;
      const void *data = tensor_to_bytes(&arena, results[i], &bytes);
      value_id v = build_const_data(&w->b, results[i]->dtype, results[i]->dims, results[i]->rank,
                                    data, bytes);
      if (!rewrite_result(w, id, i, v))
        done = NO_MATCH;
    }
  }
  diags_deinit(&ignored);
  arena_deinit(&arena);
  return done;
}

/* What engines refer to is not looked into. */
static bool stays_unread(struct rewriter *w, const struct op *op) {
  for (uint32_t i = 0; i < op->n_operands; i++) {
    if (constant_of(w, op->operands[i])->reference)
      return true;
  }
  return false;
}

static enum rewrite fold_op(struct rewriter *w, op_id id) {
  const struct op op = *function_op(w->f, id);
  int64_t dims[IR_MAX_RANK];
  uint64_t from, to = 0;
  if (!op_is_static(op.kind) || op.kind == OP_BROADCAST || !operands_constant(w, &op, &from))
    return NO_MATCH;
  for (uint32_t i = 0; i < op.n_results; i++) {
    uint64_t bytes = result_bytes(w, op.results[i], dims);
    if (bytes == UINT64_MAX)
      return NO_MATCH;
    to += bytes;
  }
  if (op.kind == OP_RESHAPE)
    return rewrite_with(w, id, fold_reshape(w, &op, dims));
  if (stays_unread(w, &op) || !worth_it(w, &op, from, to))
    return NO_MATCH;
  if (op.kind == OP_TRANSPOSE && dtype_bits(value_type(w->f, op.results[0])->dtype) >= 8)
    return rewrite_with(w, id, fold_transpose(w, &op, dims, to));
  return fold_by_interpreter(w, id);
}

status pass_fold(struct pass_context *ctx) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < ctx->module->functions.len && st == STATUS_OK; i++)
    rewrite_function(ctx->module->functions.data[i], ctx->diags,
                     &(struct rewrite_options){.rule = fold_op}, &st);
  return st;
}
