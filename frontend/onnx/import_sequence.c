/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences and optionals, which exist while importing only: their operators pick, add and drop
 * items of a list. Where a run decides how long that is, or where in it something happens, they are
 * made of two tensors (import_packed.h). */
#include "frontend/onnx/import_form.h"
#include "frontend/onnx/import_packed.h"
#include "frontend/onnx/import_repeat.h"
#include "frontend/onnx/import_util.h"

#include <string.h>

/* As import_arity, for operands of any kind. */
static bool counts_allowed(struct import_node *n, uint32_t operands, uint32_t outputs) {
  if (n->n_inputs <= operands && n->n_outputs <= outputs)
    return true;
  import_fail(n, DIAG_E0144, "it has %u operands and %u outputs, the operator %u and %u",
              n->n_inputs, n->n_outputs, operands, outputs);
  return false;
}

static struct import_value *sequence_in(struct import_node *n, uint32_t i) {
  if (import_has(n, i) &&
      (n->inputs[i]->kind == IMPORT_SEQUENCE || n->inputs[i]->kind == IMPORT_PACKED))
    return n->inputs[i];
  import_invalid(n, "operand %u is not a sequence", i);
  return NULL;
}

static void out_list(struct import_node *n, enum import_kind kind,
                     struct import_value *const *items, uint32_t count) {
  import_out_value(n, 0, import_value_list(n, kind, items, count));
}

void import_sequence_construct(struct import_node *n) {
  if (!import_arity(n, 1, UINT32_MAX, 1))
    return;
  for (uint32_t i = 0; i < n->n_inputs; i++) {
    if (!import_has(n, i)) {
      import_invalid(n, "operand %u is missing", i);
      return;
    }
  }
  out_list(n, IMPORT_SEQUENCE, n->inputs, n->n_inputs);
}

void import_sequence_empty(struct import_node *n) {
  enum dtype dtype = import_attr_dtype(n, "dtype", DTYPE_F32);
  if (!import_arity(n, 0, 0, 1))
    return;
  struct import_value *v = import_value_list(n, IMPORT_SEQUENCE, NULL, 0);
  v->item_dtype = dtype;
  import_out_value(n, 0, v);
}

/* A constant position below `count`, counted from the end if negative. `otherwise` if absent. */
static bool position_in(struct import_node *n, uint32_t i, uint32_t count, uint32_t otherwise,
                        uint32_t *out) {
  int64_t p;
  *out = otherwise;
  if (!import_has(n, i))
    return true;
  if (!import_const_int(n, i, "a position in a sequence", &p))
    return false;
  if (p < -(int64_t)count || p >= (int64_t)count) {
    import_invalid(n, "position %lld in a sequence of %u", (long long)p, count);
    return false;
  }
  *out = (uint32_t)(p < 0 ? p + count : p);
  return true;
}

/* Whether position operand i is there and not a constant. */
static bool position_varies(struct import_node *n, uint32_t i) {
  struct ints given;
  return import_has(n, i) && !import_const_ints_get(n, i, &given);
}

/* A position operand as i64 []; VALUE_NONE if it is absent. */
static value_id packed_position(struct import_node *n, uint32_t i, const struct import_value *s) {
  return import_has(n, i)
             ? import_wrap_index(n, import_scalar(n, i, DTYPE_I64), import_packed_count(n, s))
             : VALUE_NONE;
}

static void packed_insert(struct import_node *n, struct import_value *s) {
  value_id x = import_in(n, 1);
  s = import_pack(n, s);
  if (!s || x == VALUE_NONE)
    return;
  if (value_type(n->f, x)->dtype != s->item_dtype) {
    import_invalid(n, "a tensor of %s in a sequence of %s", dtype_name(value_type(n->f, x)->dtype),
                   dtype_name(s->item_dtype));
    return;
  }
  import_out_value(n, 0, import_packed_insert(n, s, x, packed_position(n, 2, s)));
}

void import_sequence_insert(struct import_node *n) {
  struct import_value *s = counts_allowed(n, 3, 1) ? sequence_in(n, 0) : NULL;
  uint32_t at;
  int64_t end = 0;
  if (!s)
    return;
  if (!import_has(n, 1)) {
    import_invalid(n, "its tensor is missing");
    return;
  }
  if (s->kind == IMPORT_PACKED || position_varies(n, 2)) {
    packed_insert(n, s);
    return;
  }
  /* The end is a place too. */
  struct ints given;
  bool at_end = import_has(n, 2) && import_const_ints_get(n, 2, &given) && given.len == 1 &&
                given.data[0] == (end = s->n_items);
  if (!at_end && !position_in(n, 2, s->n_items, s->n_items, &at))
    return;
  at = at_end ? (uint32_t)end : at;
  struct import_value **items = ARENA_ARRAY(import_arena(n), struct import_value *, s->n_items + 1);
  for (uint32_t i = 0; i <= s->n_items; i++)
    items[i] = i < at ? s->items[i] : i == at ? n->inputs[1] : s->items[i - 1];
  out_list(n, IMPORT_SEQUENCE, items, s->n_items + 1);
}

void import_sequence_erase(struct import_node *n) {
  struct import_value *s = counts_allowed(n, 2, 1) ? sequence_in(n, 0) : NULL;
  uint32_t at;
  if (!s)
    return;
  if (s->kind == IMPORT_PACKED || (s->n_items && position_varies(n, 1))) {
    s = import_pack(n, s);
    if (s)
      import_out_value(n, 0, import_packed_erase(n, s, packed_position(n, 1, s)));
    return;
  }
  if (s->n_items == 0) {
    import_invalid(n, "its sequence is empty");
    return;
  }
  if (!position_in(n, 1, s->n_items, s->n_items - 1, &at))
    return;
  struct import_value **items = ARENA_ARRAY(import_arena(n), struct import_value *, s->n_items);
  for (uint32_t i = 0; i + 1 < s->n_items; i++)
    items[i] = s->items[i < at ? i : i + 1];
  out_list(n, IMPORT_SEQUENCE, items, s->n_items - 1);
}

/* The rank that the items of a sequence have, as it is known or declared. */
static bool rank_of_items(struct import_node *n, const struct import_value *s,
                          const Onnx__TypeProto *declared, uint32_t *out) {
  int32_t rank = s->item_rank == PACKED_ANY_RANK ? import_declared_rank(declared) : s->item_rank;
  *out = (uint32_t)rank;
  if (rank == PACKED_ANY_RANK)
    import_unsupported(n, "the rank of the items of its sequence is not known");
  return rank != PACKED_ANY_RANK;
}

static value_id packed_at(struct import_node *n, const struct import_value *s) {
  uint32_t rank;
  if (!rank_of_items(n, s, import_declared(n, 0), &rank))
    return VALUE_NONE;
  return import_packed_at(n, s, packed_position(n, 1, s), rank);
}

/* A run-time position in tensors that are alike: a gather of their stack. */
static value_id item_dynamic(struct import_node *n, const struct import_value *s) {
  value_id *xs = ARENA_ARRAY(import_arena(n), value_id, s->n_items);
  bool same = s->n_items > 0;
  for (uint32_t i = 0; same && i < s->n_items; i++) {
    xs[i] = import_value_id(n, s->items[i]);
    same =
        xs[i] != VALUE_NONE &&
        type_same_shape(value_type(n->f, xs[i]), value_type(n->f, import_value_id(n, s->items[0])));
    xs[i] = build_unsqueeze(n->b, xs[i], (int64_t[]){0}, 1);
  }
  if (!same) {
    struct import_value *packed = import_pack(n, (struct import_value *)(uintptr_t)s);
    return packed ? packed_at(n, packed) : VALUE_NONE;
  }
  value_id index =
      import_wrap_index(n, import_scalar(n, 1, DTYPE_I64), dim_const(n->dims, s->n_items));
  value_id stack = build_concat(n->b, xs, s->n_items, 0);
  return import_gather_axis(n, stack, index, 0, OUT_OF_RANGE_ERROR);
}

void import_sequence_at(struct import_node *n) {
  struct import_value *s = counts_allowed(n, 2, 1) ? sequence_in(n, 0) : NULL;
  struct ints given;
  uint32_t at;
  if (!s)
    return;
  if (!import_has(n, 1))
    import_invalid(n, "its position is missing");
  else if (s->kind == IMPORT_PACKED)
    import_out(n, 0, packed_at(n, s));
  else if (!import_const_ints_get(n, 1, &given))
    import_out(n, 0, item_dynamic(n, s));
  else if (position_in(n, 1, s->n_items, 0, &at))
    import_out_value(n, 0, s->items[at]);
}

void import_sequence_length(struct import_node *n) {
  struct import_value *s = counts_allowed(n, 1, 1) ? sequence_in(n, 0) : NULL;
  if (s)
    import_out(n, 0,
               s->kind == IMPORT_PACKED ? import_dim_scalar(n, import_packed_count(n, s), DTYPE_I64)
                                        : build_scalar_i64(n->b, DTYPE_I64, s->n_items));
}

/* ---- from and to tensors ---- */

/* The sizes of the parts; false, reported, if their number is not known. */
static bool part_sizes(struct import_node *n, dim whole, struct dims *out) {
  struct dim_table *t = n->dims;
  int64_t total, size = 1;
  if (import_has(n, 1) && import_rank(n, 1) == 1)
    return import_dims_or_symbols(n, 1, "the sizes of parts", out);
  if (import_has(n, 1) && !import_const_int(n, 1, "the size of parts", &size))
    return false;
  if (!dim_is_const(t, whole, &total) || size < 1 || total / size >= IMPORT_MAX_LIST) {
    import_unsupported(n, "the number of parts must be known, and at most %d", IMPORT_MAX_LIST);
    return false;
  }
  uint32_t count = (uint32_t)((total + size - 1) / size);
  dim *list = ARENA_ARRAY(import_arena(n), dim, count);
  for (uint32_t i = 0; i < count; i++, total -= size)
    list[i] = dim_const(t, total < size ? total : size);
  *out = (struct dims){list, count};
  return true;
}

/* Whether a run decides how many parts of one size there are. */
static bool parts_vary(struct import_node *n, dim whole) {
  bool listed = import_has(n, 1) && import_rank(n, 1) == 1;
  return !listed && (!dim_is_const(n->dims, whole, NULL) || position_varies(n, 1));
}

void import_split_to_sequence(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", 0);
  bool keep = import_attr_int(n, "keepdims", 1) != 0;
  uint32_t at;
  struct dims sizes;
  if (!import_arity(n, 1, 2, 1) || !import_axis(n, axis, import_rank(n, 0), &at))
    return;
  if (parts_vary(n, import_dim(n, 0, at))) {
    dim size = dim_const(n->dims, 1);
    bool sized = import_has(n, 1);
    if (!sized || import_dim_or_symbol(n, 1, "the size of parts", &size))
      import_out_value(
          n, 0, import_packed_split(n, import_in(n, 0), at, import_size(n, size), keep || sized));
    return;
  }
  if (!part_sizes(n, import_dim(n, 0, at), &sizes))
    return;
  keep |= import_has(n, 1);
  dim start = dim_const(n->dims, 0);
  struct import_value **items = ARENA_ARRAY(import_arena(n), struct import_value *, sizes.len);
  for (uint32_t i = 0; i < sizes.len; i++) {
    value_id part =
        build_slice_axis(n->b, import_in(n, 0), at, start, import_size(n, sizes.data[i]));
    start = dim_add(n->dims, start, sizes.data[i]);
    if (!keep)
      part = build_squeeze(n->b, part, (int64_t[]){at}, 1);
    items[i] = import_value_tensor(n, part);
  }
  build_check(n->b, start, RELATION_EQ, import_dim(n, 0, at), "the parts are not the whole");
  out_list(n, IMPORT_SEQUENCE, items, sizes.len);
}

static void packed_concat(struct import_node *n, const struct import_value *s, int64_t axis,
                          bool fresh) {
  const Onnx__TypeProto *declared = import_declared(n, 0);
  uint32_t rank, at;
  bool known = s->item_rank != PACKED_ANY_RANK;
  if (!rank_of_items(n, s, declared, &rank))
    return;
  rank -= !known && fresh && rank; /* what is declared is the result */
  if (!import_axis(n, axis, rank + fresh, &at))
    return;
  if (fresh)
    import_out(n, 0, import_packed_stack(n, s, rank, at));
  else if (at == 0)
    import_out(n, 0, import_packed_join(n, s, rank));
  else
    import_unsupported(n, "a sequence of run-decided length along another axis than the first");
}

void import_concat_from_sequence(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", 0);
  bool fresh = import_attr_int(n, "new_axis", 0) != 0;
  struct import_value *s = counts_allowed(n, 1, 1) ? sequence_in(n, 0) : NULL;
  uint32_t at;
  if (!s)
    return;
  if (s->kind == IMPORT_PACKED) {
    packed_concat(n, s, axis, fresh);
    return;
  }
  if (s->n_items == 0) {
    import_unsupported(n, "its sequence is empty");
    return;
  }
  value_id *xs = ARENA_ARRAY(import_arena(n), value_id, s->n_items);
  for (uint32_t i = 0; i < s->n_items; i++) {
    xs[i] = import_value_id(n, s->items[i]);
    if (xs[i] == VALUE_NONE) {
      import_unsupported(n, "an item of its sequence is not a numeric tensor");
      return;
    }
  }
  if (!import_axis(n, axis, value_type(n->f, xs[0])->rank + fresh, &at))
    return;
  for (uint32_t i = 0; fresh && i < s->n_items; i++)
    xs[i] = build_unsqueeze(n->b, xs[i], (int64_t[]){at}, 1);
  import_out(n, 0, build_concat(n->b, xs, s->n_items, at));
}

/* The body for each item of the first sequence; other operands are sequences of the same length, or
 * tensors that all items share. */
void import_sequence_map(struct import_node *n) {
  const Onnx__GraphProto *body = import_attr_graph(n, "body");
  struct import_value *first = sequence_in(n, 0);
  if (!first)
    return;
  if (!body || body->n_output < n->n_outputs) {
    import_invalid(n, "its body does not give its outputs");
    return;
  }
  for (uint32_t k = 0; k < n->n_inputs; k++)
    if (n->inputs[k]->kind == IMPORT_PACKED) {
      import_map_by_loop(n, body);
      return;
    }
  uint32_t length = first->n_items, outputs = (uint32_t)body->n_output;
  struct arena *arena = import_arena(n);
  struct import_value **params = ARENA_ARRAY(arena, struct import_value *, n->n_inputs);
  struct import_value **results = ARENA_ARRAY(arena, struct import_value *, outputs);
  struct import_value ***lists = ARENA_ARRAY(arena, struct import_value **, outputs);
  for (uint32_t k = 0; k < outputs; k++)
    lists[k] = ARENA_ARRAY(arena, struct import_value *, length);
  for (uint32_t i = 0; i < length; i++) {
    for (uint32_t k = 0; k < n->n_inputs; k++) {
      struct import_value *v = n->inputs[k];
      if (v->kind == IMPORT_SEQUENCE && v->n_items != length) {
        import_invalid(n, "its sequences have %u and %u items", length, v->n_items);
        return;
      }
      params[k] = v->kind == IMPORT_SEQUENCE ? v->items[i] : v;
    }
    if (!import_subgraph(n, body, n->b->region, params, n->n_inputs, results))
      return;
    for (uint32_t k = 0; k < outputs; k++)
      lists[k][i] = results[k];
  }
  for (uint32_t k = 0; k < n->n_outputs; k++)
    import_out_value(n, k, import_value_list(n, IMPORT_SEQUENCE, lists[k], length));
}

/* ---- optionals ---- */

void import_optional(struct import_node *n) {
  import_attr_ignore(n, "type");
  if (counts_allowed(n, 1, 1))
    out_list(n, IMPORT_OPTIONAL, n->inputs, import_has(n, 0));
}

/* What is not an optional counts as a full one. */
void import_optional_has_element(struct import_node *n) {
  if (!counts_allowed(n, 1, 1))
    return;
  import_out(n, 0,
             import_has(n, 0) ? import_optional_given(n, n->inputs[0])
                              : build_scalar_i64(n->b, DTYPE_BOOL, 0));
}

void import_optional_get_element(struct import_node *n) {
  if (!counts_allowed(n, 1, 1))
    return;
  if (!import_has(n, 0))
    import_invalid(n, "its operand is missing");
  else {
    struct import_value *v = import_optional_value(n, n->inputs[0]);
    if (v)
      import_out_value(n, 0, v);
  }
}
