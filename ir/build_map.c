/* SPDX-License-Identifier: Apache-2.0 */
/* Builders of maps, with numpy's broadcasting: shapes are filled up with leading 1s, and what is
 * not known to broadcast is checked at run time. */
#include "ir/build.h"

/* How two dims of operands at one place relate. */
static bool dims_meet(struct builder *b, dim a, dim c) {
  struct dim_table *t = builder_dims(b);
  dim one = dim_const(t, 1);
  if (relation_known(t, a, RELATION_BROADCAST, c) || dim_is_const_value(t, a, 1) ||
      dim_is_const_value(t, c, 1))
    return true;
  bool never = dim_known_ne(t, a, c) && dim_known_ne(t, a, one) && dim_known_ne(t, c, one);
  if (!never)
    build_check(b, a, RELATION_BROADCAST, c, "operands of an element-wise op do not broadcast");
  return !never;
}

static void fail_dims(struct builder *b, uint32_t axis, dim a, dim c) {
  struct strbuf text = {0};
  dim_print(builder_dims(b), a, &text);
  strbuf_append_c(&text, " and ");
  dim_print(builder_dims(b), c, &text);
  builder_fail(b, "operands of an element-wise op do not broadcast: dim %u is %s", axis,
               strbuf_c(&text));
  strbuf_deinit(&text);
}

/* One place of the shapes. The dims seen so far, apart from 1, are kept so that each is compared
 * with the others once and a repetition costs no check. */
static bool check_axis(struct builder *b, const value_id *xs, uint32_t n, uint32_t axis) {
  struct dim_table *t = builder_dims(b);
  dim seen[8], widest = DIM_NONE;
  uint32_t n_seen = 0;
  for (uint32_t i = 0; i < n; i++) {
    dim d = builder_type(b, xs[i])->dims[axis];
    if (dim_is_const_value(t, d, 1))
      continue;
    bool known = false;
    for (uint32_t k = 0; k < n_seen && !known; k++)
      known = dim_known_eq(t, seen[k], d);
    if (known)
      continue;
    if (widest != DIM_NONE && !dims_meet(b, widest, d)) {
      fail_dims(b, axis, widest, d);
      return false;
    }
    widest = widest == DIM_NONE ? d : dim_max(t, widest, d);
    if (n_seen < sizeof seen / sizeof *seen)
      seen[n_seen++] = d;
  }
  return true;
}

/* x with its rank raised to `rank`. */
static value_id raise_rank(struct builder *b, value_id x, uint32_t rank) {
  const struct type type = *builder_type(b, x);
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < rank; i++)
    dims[i] =
        i < rank - type.rank ? dim_const(builder_dims(b), 1) : type.dims[i - (rank - type.rank)];
  return build_reshape(b, x, dims, rank);
}

value_id build_map(struct builder *b, const value_id *xs, uint32_t n,
                   const struct scalar_body *body) {
  if (!body)
    return builder_fail(b, "a scalar body is not well-typed, or too long");
  uint32_t rank = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (xs[i] == VALUE_NONE)
      return VALUE_NONE;
    uint32_t r = builder_type(b, xs[i])->rank;
    rank = r > rank ? r : rank;
  }
  struct arena scratch = {0};
  value_id *operands = ARENA_ARRAY(&scratch, value_id, n);
  bool sound = true;
  for (uint32_t i = 0; i < n; i++) {
    operands[i] = raise_rank(b, xs[i], rank);
    sound &= operands[i] != VALUE_NONE;
  }
  for (uint32_t i = 0; i < rank && sound; i++)
    sound = check_axis(b, operands, n, i);
  struct map_attrs attrs = {.body = body};
  value_id result = sound ? build_op1(b, OP_MAP, operands, n, &attrs) : VALUE_NONE;
  arena_deinit(&scratch);
  return result;
}

/* A body under construction whose arguments are given values. */
static void body_of(struct builder *b, struct body_builder *s, const value_id *xs, uint32_t n) {
  body_init(s, n);
  for (uint32_t i = 0; i < n; i++)
    body_arg(s, i, builder_type(b, xs[i])->dtype);
}

static bool all_there(const value_id *xs, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    if (xs[i] == VALUE_NONE)
      return false;
  }
  return true;
}

/* op(xs...), each operand one value. */
static value_id map_op(struct builder *b, enum scalar_op op, const value_id *xs, uint32_t n) {
  if (!all_there(xs, n))
    return VALUE_NONE;
  struct body_builder s;
  body_of(b, &s, xs, n);
  body_op(&s, op, 0, n > 1 ? 1 : 0, n > 2 ? 2 : 0);
  const struct scalar_body *body =
      scalar_infos[op].arity == n ? body_finish(&s, b->function->module) : NULL;
  if (body)
    return build_map(b, xs, n, body);
  struct strbuf dtypes = {0};
  for (uint32_t i = 0; i < n; i++)
    strbuf_printf(&dtypes, "%s%s", i ? ", " : "", dtype_name(builder_type(b, xs[i])->dtype));
  builder_fail(b, "scalar '%s' does not take (%s)", scalar_infos[op].name, strbuf_c(&dtypes));
  strbuf_deinit(&dtypes);
  return VALUE_NONE;
}

value_id build_unary(struct builder *b, enum scalar_op op, value_id x) {
  return map_op(b, op, &x, 1);
}

value_id build_binary(struct builder *b, enum scalar_op op, value_id x, value_id y) {
  return map_op(b, op, (value_id[]){x, y}, 2);
}

value_id build_select(struct builder *b, value_id c, value_id x, value_id y) {
  return map_op(b, SCALAR_SELECT, (value_id[]){c, x, y}, 3);
}

value_id build_cast(struct builder *b, value_id x, enum dtype dtype) {
  return build_cast_mode(b, x, dtype, CAST_DEFAULT);
}

value_id build_cast_mode(struct builder *b, value_id x, enum dtype dtype, enum cast_mode mode) {
  if (x == VALUE_NONE || builder_type(b, x)->dtype == dtype)
    return x;
  struct body_builder s;
  body_of(b, &s, &x, 1);
  body_cast(&s, 0, dtype, mode);
  const struct scalar_body *body = body_finish(&s, b->function->module);
  if (!body)
    return builder_fail(b, "no such cast from %s to %s", dtype_name(builder_type(b, x)->dtype),
                        dtype_name(dtype));
  return build_map(b, &x, 1, body);
}

static value_id map_literal(struct builder *b, enum scalar_op op, value_id x, double f, int64_t i,
                            bool is_float) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  enum dtype dtype = builder_type(b, x)->dtype;
  struct body_builder s;
  body_of(b, &s, &x, 1);
  uint32_t literal = is_float ? body_f64(&s, dtype, f) : body_i64(&s, dtype, i);
  body_op(&s, op, 0, literal, 0);
  const struct scalar_body *body =
      scalar_infos[op].arity == 2 ? body_finish(&s, b->function->module) : NULL;
  if (!body)
    return builder_fail(b, "scalar '%s' does not take %s", scalar_infos[op].name,
                        dtype_name(dtype));
  return build_map(b, &x, 1, body);
}

value_id build_binary_f64(struct builder *b, enum scalar_op op, value_id x, double y) {
  return map_literal(b, op, x, y, 0, true);
}

value_id build_binary_i64(struct builder *b, enum scalar_op op, value_id x, int64_t y) {
  return map_literal(b, op, x, 0, y, false);
}
