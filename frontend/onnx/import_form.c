/* SPDX-License-Identifier: Apache-2.0 */
/* One form for values of different kinds. */
#include "frontend/onnx/import_form.h"

#include "base/dtype.h"
#include "frontend/onnx/import_internal.h"
#include "frontend/onnx/import_packed.h"
#include "frontend/onnx/import_util.h"

/* ---- tensors of a value ---- */

static bool is_list(enum import_kind kind) {
  return kind == IMPORT_SEQUENCE || kind == IMPORT_OPTIONAL || kind == IMPORT_PACKED ||
         kind == IMPORT_MAYBE;
}

bool import_form_flatten(struct import_node *n, struct import_value *v, struct form_ids *out) {
  if (v->kind == IMPORT_TENSOR) {
    vec_push(out, import_value_id(n, v));
    return vec_last(out) != VALUE_NONE;
  }
  bool sound = is_list(v->kind);
  for (uint32_t i = 0; sound && i < v->n_items; i++)
    sound = import_form_flatten(n, v->items[i], out);
  if (!sound && !n->failed)
    import_unsupported(n, "a subgraph gives a value that is not numeric");
  return sound;
}

struct import_value *import_form_rebuild(struct import_node *n, const struct import_value *form,
                                         const value_id **next) {
  if (form->kind == IMPORT_TENSOR)
    return import_value_tensor(n, *(*next)++);
  struct import_value **items = ARENA_ARRAY(import_arena(n), struct import_value *, form->n_items);
  for (uint32_t i = 0; i < form->n_items; i++)
    items[i] = import_form_rebuild(n, form->items[i], next);
  struct import_value *v = import_value_list(n, form->kind, items, form->n_items);
  v->item_dtype = form->item_dtype;
  v->item_rank = form->item_rank;
  return v;
}

/* ---- optionals ---- */

value_id import_optional_given(struct import_node *n, struct import_value *v) {
  if (v->kind == IMPORT_MAYBE)
    return v->items[0]->id;
  if (v->kind != IMPORT_OPTIONAL || !v->given_name)
    return build_scalar_i64(n->b, DTYPE_BOOL, v->kind != IMPORT_OPTIONAL || v->n_items);
  if (!v->id) {
    struct type flag = type_make(DTYPE_BOOL, NULL, 0);
    v->id = region_add_param(n->f, 0, &flag, v->given_name);
    vec_push(&n->im->entry->input_names, intern_c(&n->im->module->names, v->given_name));
  }
  return v->id;
}

struct import_value *import_optional_value(struct import_node *n, struct import_value *v) {
  if (v->kind == IMPORT_OPTIONAL && v->n_items == 0) {
    import_invalid(n, "its operand is empty");
    return NULL;
  }
  if (v->kind == IMPORT_OPTIONAL && !v->id)
    return v->items[0];
  if (v->kind != IMPORT_MAYBE && v->kind != IMPORT_OPTIONAL)
    return v;
  value_id given = build_cast(n->b, import_optional_given(n, v), DTYPE_I64);
  dim flag = import_value_symbol(n, given, 0);
  if (flag != DIM_NONE)
    build_check(n->b, flag, RELATION_EQ, dim_const(n->dims, 1), "an optional value is not there");
  return v->kind == IMPORT_MAYBE ? v->items[1] : v->items[0];
}

/* ---- forms ---- */

static struct import_value *form_new(struct import_node *n, enum import_kind kind,
                                     struct import_value *item) {
  struct import_value *items[] = {import_value_new(n->im, IMPORT_TENSOR), item};
  return import_value_list(n, kind, items, 2);
}

static struct import_value *packed_form(struct import_node *n, enum dtype dtype, int32_t rank) {
  struct import_value *form = form_new(n, IMPORT_PACKED, import_value_new(n->im, IMPORT_TENSOR));
  form->item_dtype = dtype;
  form->item_rank = rank;
  return form;
}

static bool is_sequence(const struct import_value *v) {
  return v->kind == IMPORT_SEQUENCE || v->kind == IMPORT_PACKED;
}

static bool is_optional(const struct import_value *v) {
  return v->kind == IMPORT_OPTIONAL || v->kind == IMPORT_MAYBE;
}

/* What an optional holds; NULL if it is known to be empty. */
static struct import_value *held(struct import_value *v) {
  if (v->kind == IMPORT_MAYBE)
    return v->items[1];
  if (v->kind == IMPORT_OPTIONAL)
    return v->n_items ? v->items[0] : NULL;
  return v;
}

bool import_form_joins(struct import_node *n, struct import_value *a, struct import_value *b) {
  if ((is_sequence(a) && b->kind == IMPORT_PACKED) || (a->kind == IMPORT_PACKED && is_sequence(b)))
    return true;
  if (a->kind == IMPORT_MAYBE || b->kind == IMPORT_MAYBE) {
    struct import_value *x = held(a), *y = held(b);
    return !x || !y || import_form_joins(n, x, y);
  }
  if (a->kind != b->kind || a->n_items != b->n_items)
    return false;
  for (uint32_t i = 0; i < a->n_items; i++)
    if (!import_form_joins(n, a->items[i], b->items[i]))
      return false;
  value_id x = import_value_id(n, a), y = import_value_id(n, b);
  return a->kind != IMPORT_TENSOR || x == VALUE_NONE || y == VALUE_NONE ||
         value_type(n->f, x)->rank == value_type(n->f, y)->rank;
}

static struct import_value *common_sequence(struct import_node *n, struct import_value *a,
                                            struct import_value *b) {
  int32_t x = import_sequence_rank(n, a), y = import_sequence_rank(n, b);
  bool a_empty = a->kind == IMPORT_SEQUENCE && a->n_items == 0;
  bool b_empty = b->kind == IMPORT_SEQUENCE && b->n_items == 0;
  int32_t rank = a_empty ? y : b_empty || x == y ? x : PACKED_ANY_RANK;
  return packed_form(n, import_sequence_dtype(n, a_empty ? b : a), rank);
}

struct import_value *import_form_common(struct import_node *n, struct import_value *a,
                                        struct import_value *b) {
  if (a->kind == IMPORT_TENSOR && b->kind == IMPORT_TENSOR)
    return a;
  if (is_sequence(a) && is_sequence(b) &&
      (a->kind == IMPORT_PACKED || !import_form_joins(n, a, b) || b->kind == IMPORT_PACKED))
    return common_sequence(n, a, b);
  if (is_optional(a) || is_optional(b)) {
    struct import_value *x = held(a), *y = held(b);
    if (!x && !y)
      return a->kind == IMPORT_OPTIONAL ? a : b;
    struct import_value *item = x && y ? import_form_common(n, x, y) : x ? x : y;
    bool both = x && y && a->kind == IMPORT_OPTIONAL && b->kind == IMPORT_OPTIONAL &&
                !a->given_name && !b->given_name;
    if (item && item->kind == IMPORT_SEQUENCE && !both)
      item = packed_form(n, import_sequence_dtype(n, item), import_sequence_rank(n, item));
    if (item && both)
      return import_value_list(n, IMPORT_OPTIONAL, &item, 1);
    return item ? form_new(n, IMPORT_MAYBE, item) : NULL;
  }
  if (a->kind == IMPORT_SEQUENCE && b->kind == IMPORT_SEQUENCE) {
    struct import_value **items = ARENA_ARRAY(import_arena(n), struct import_value *, a->n_items);
    for (uint32_t i = 0; i < a->n_items; i++)
      if (!(items[i] = import_form_common(n, a->items[i], b->items[i])))
        return NULL;
    return import_value_list(n, IMPORT_SEQUENCE, items, a->n_items);
  }
  import_unsupported(n, "a value is of one kind or another, as the run decides");
  return NULL;
}

/* A tensor without elements, or with one if it has no dims, that nobody looks at. */
static struct import_value *empty_tensor(struct import_node *n, enum dtype dtype, uint32_t rank) {
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < rank; i++)
    dims[i] = dim_const(n->dims, 0);
  return import_value_tensor(
      n, build_broadcast_to(n->b, build_scalar_i64(n->b, dtype, 0), dims, rank));
}

/* What a declared type says of a value that is not there. */
static struct import_value *declared_form(struct import_node *n, const Onnx__TypeProto *type) {
  enum dtype dtype;
  int32_t rank;
  if (import_declared_items(type, &dtype, &rank))
    return packed_form(n, dtype, rank);
  if (!import_declared_tensor(type, &dtype, &rank) || rank == PACKED_ANY_RANK) {
    import_unsupported(n, "an optional that is empty at first, and whose type is not declared");
    return NULL;
  }
  return empty_tensor(n, dtype, (uint32_t)rank);
}

struct import_value *import_form_carried(struct import_node *n, struct import_value *v,
                                         const Onnx__TypeProto *declared) {
  if (is_sequence(v)) {
    enum dtype dtype;
    int32_t rank = import_sequence_rank(n, v), said;
    bool known = import_declared_items(declared, &dtype, &said);
    return packed_form(n, import_sequence_dtype(n, v),
                       rank == PACKED_ANY_RANK && known ? said : rank);
  }
  if (!is_optional(v))
    return v;
  struct import_value *item = held(v);
  bool optional = declared && declared->value_case == ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE &&
                  declared->optional_type;
  const Onnx__TypeProto *inner = optional ? declared->optional_type->elem_type : NULL;
  item = item ? import_form_carried(n, item, inner) : declared_form(n, inner);
  return item ? form_new(n, IMPORT_MAYBE, item) : NULL;
}

/* ---- values in a form ---- */

/* Something of that form that nobody looks at. */
static struct import_value *placeholder(struct import_node *n, const struct import_value *form) {
  if (form->kind == IMPORT_PACKED)
    return import_packed_empty(n, form->item_dtype);
  value_id like = import_value_id(n, (struct import_value *)(uintptr_t)form);
  if (like == VALUE_NONE || value_type(n->f, like)->dtype == DTYPE_STRING) {
    import_unsupported(n, "an optional of this kind that may be empty");
    return NULL;
  }
  const struct type type = *value_type(n->f, like);
  return empty_tensor(n, type.dtype, type.rank);
}

static struct import_value *as_maybe(struct import_node *n, const struct import_value *form,
                                     struct import_value *v) {
  struct import_value *item = held(v);
  value_id given = import_optional_given(n, v);
  item = item ? import_form_conform(n, form->items[1], item) : placeholder(n, form->items[1]);
  if (!item)
    return NULL;
  struct import_value *items[] = {import_value_tensor(n, given), item};
  return import_value_list(n, IMPORT_MAYBE, items, 2);
}

static struct import_value *as_packed(struct import_node *n, const struct import_value *form,
                                      struct import_value *v) {
  bool empty = v->kind == IMPORT_SEQUENCE && v->n_items == 0;
  if (!empty && import_sequence_dtype(n, v) != form->item_dtype) {
    import_invalid(n, "a sequence of %s where one of %s is expected",
                   dtype_name(import_sequence_dtype(n, v)), dtype_name(form->item_dtype));
    return NULL;
  }
  return empty ? import_packed_empty(n, form->item_dtype) : import_pack(n, v);
}

struct import_value *import_form_conform(struct import_node *n, const struct import_value *form,
                                         struct import_value *v) {
  if (form->kind == IMPORT_MAYBE)
    return as_maybe(n, form, v);
  if (form->kind == IMPORT_PACKED && is_sequence(v))
    return as_packed(n, form, v);
  if (form->kind == v->kind && form->n_items == v->n_items) {
    if (form->kind == IMPORT_TENSOR)
      return v;
    struct import_value **items =
        ARENA_ARRAY(import_arena(n), struct import_value *, form->n_items);
    for (uint32_t i = 0; i < form->n_items; i++)
      if (!(items[i] = import_form_conform(n, form->items[i], v->items[i])))
        return NULL;
    return import_value_list(n, form->kind, items, form->n_items);
  }
  if (v->kind != IMPORT_BROKEN)
    import_unsupported(n, "a value is of one kind or another, as the run decides");
  return NULL;
}
