/* SPDX-License-Identifier: Apache-2.0 */
/* Builders of constants and dims, and of the compute and indexed ops. */
#include "ir/build.h"

#include "base/checked.h"
#include "ir/literal.h"

#include <string.h>

value_id build_const(struct builder *b, constant_id c) {
  struct const_attrs attrs = {.value = c};
  return build_op1(b, OP_CONST, NULL, 0, &attrs);
}

value_id build_const_data(struct builder *b, enum dtype dtype, const int64_t *dims, uint32_t rank,
                          const void *data, uint64_t bytes) {
  uint64_t want;
  if (!builder_rank_allowed(b, rank))
    return VALUE_NONE;
  if (!shape_bytes(dims, rank, dtype_bits(dtype), &want) || want != bytes)
    return builder_fail(b, "a constant whose %llu bytes do not fit its type",
                        (unsigned long long)bytes);
  struct module *m = b->function->module;
  struct constant c = {.dtype = dtype, .rank = rank, .bytes = bytes};
  if (rank)
    memcpy(c.dims, dims, rank * sizeof *dims);
  c.data = arena_memdup(&m->arena, data, bytes);
  return build_const(b, module_add_constant(m, &c));
}

static value_id scalar_from_bits(struct builder *b, enum dtype dtype, uint64_t bits) {
  if (dtype_bits(dtype) == 0)
    return builder_fail(b, "a string constant is not made of a number");
  uint8_t data[8];
  for (unsigned i = 0; i < 8; i++)
    data[i] = (uint8_t)(bits >> (8 * i));
  return build_const_data(b, dtype, NULL, 0, data, dtype_unpacked_bytes(dtype));
}

value_id build_scalar_f64(struct builder *b, enum dtype dtype, double x) {
  if (dtype_is_float(dtype))
    return scalar_from_bits(b, dtype, literal_bits_f64(dtype, x));
  struct body_builder s; /* for its conversion */
  body_init(&s, 0);
  return build_scalar_i64(b, dtype, s.insts[body_f64(&s, dtype, x)].imm.i64);
}

value_id build_scalar_i64(struct builder *b, enum dtype dtype, int64_t x) {
  if (dtype_is_float(dtype))
    return scalar_from_bits(b, dtype, literal_bits_f64(dtype, (double)x));
  return scalar_from_bits(b, dtype, literal_bits_i64(dtype, x));
}

value_id build_iota(struct builder *b, enum dtype dtype, const dim *dims, uint32_t rank,
                    uint32_t axis) {
  if (!builder_rank_allowed(b, rank))
    return VALUE_NONE;
  struct type type = type_make(dtype, dims, rank);
  struct iota_attrs attrs = {.type = &type, .axis = axis};
  return build_op1(b, OP_IOTA, NULL, 0, &attrs);
}

value_id build_dims(struct builder *b, const dim *dims, uint32_t n) {
  struct dims_attrs attrs = {.dims = {dims, n}};
  return build_op1(b, OP_DIMS, NULL, 0, &attrs);
}

value_id build_reduce(struct builder *b, value_id x, const int64_t *axes, uint32_t n_axes,
                      enum combiner kind) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  if (n_axes == 0 && kind != COMBINER_ARGMAX && kind != COMBINER_ARGMIN)
    return x;
  struct reduce_attrs attrs = {.axes = {axes, n_axes}, .kind = kind};
  return build_op1(b, OP_REDUCE, &x, 1, &attrs);
}

value_id build_contract(struct builder *b, value_id lhs, value_id rhs,
                        const struct contract_attrs *a) {
  return build_op1(b, OP_CONTRACT, (value_id[]){lhs, rhs}, 2, a);
}

value_id build_matmul(struct builder *b, value_id lhs, value_id rhs, enum dtype dtype) {
  if (lhs == VALUE_NONE || rhs == VALUE_NONE)
    return VALUE_NONE;
  uint32_t rank = builder_type(b, lhs)->rank;
  if (rank < 2 || builder_type(b, rhs)->rank != rank)
    return builder_fail(b, "a matrix product of rank %u and rank %u", rank,
                        builder_type(b, rhs)->rank);
  int64_t batch[IR_MAX_RANK], last = rank - 1, before = rank - 2;
  for (uint32_t i = 0; i < rank - 2; i++)
    batch[i] = i;
  struct contract_attrs attrs = {.lhs_batch = {batch, rank - 2},
                                 .rhs_batch = {batch, rank - 2},
                                 .lhs_k = {&last, 1},
                                 .rhs_k = {&before, 1},
                                 .dtype = dtype};
  return build_contract(b, lhs, rhs, &attrs);
}

value_id build_gather(struct builder *b, value_id data, const value_id *indices,
                      const int64_t *axes, uint32_t n, enum out_of_range mode) {
  value_id operands[1 + IR_MAX_RANK] = {data};
  if (n > IR_MAX_RANK)
    return builder_fail(b, "%u indexed axes", n);
  if (n)
    memcpy(operands + 1, indices, n * sizeof *indices);
  struct gather_attrs attrs = {.axes = {axes, n}, .mode = mode};
  return build_op1(b, OP_GATHER, operands, n + 1, &attrs);
}

void build_check(struct builder *b, dim lhs, enum relation relation, dim rhs, const char *message) {
  if (relation_known(builder_dims(b), lhs, relation, rhs))
    return;
  struct check_attrs attrs = {.lhs = lhs, .relation = relation, .rhs = rhs, .message = message};
  build_op(b, OP_CHECK, NULL, 0, NULL, 0, &attrs);
}

void build_symbol(struct builder *b, value_id x, int64_t index, dim symbol) {
  struct symbol_attrs attrs = {.symbol = symbol, .index = index};
  build_op(b, OP_SYMBOL, &x, 1, NULL, 0, &attrs);
}
