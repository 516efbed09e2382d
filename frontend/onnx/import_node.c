/* SPDX-License-Identifier: Apache-2.0 */
/* What importers call: reports, operands, outputs, attributes. */
#include "frontend/onnx/import_internal.h"
#include "frontend/onnx/import_util.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- reports ---- */

struct diag_where import_where(const struct import_node *n) {
  struct diag_where where = DIAG_NOWHERE;
  where.file = n->im->model->path;
  where.node = n->proto->name;
  where.op = n->op;
  where.node_index = n->index;
  return where;
}

struct arena *import_arena(const struct import_node *n) { return &n->im->module->arena; }

status import_fail(struct import_node *n, enum diag_code code, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  struct diag_where where = import_where(n);
  n->failed = true;
  return diag_report(n->im->diags, code, &where, NULL, "%s", text);
}

/* ---- operands ---- */

bool import_has(const struct import_node *n, uint32_t i) {
  return i < n->n_inputs && n->inputs[i]->kind != IMPORT_ABSENT;
}

value_id import_value_id(struct import_node *n, struct import_value *v) {
  value_id id = import_materialize(n->im, v);
  n->failed |= v->kind == IMPORT_BROKEN;
  return id;
}

value_id import_in(struct import_node *n, uint32_t i) {
  if (!import_has(n, i))
    return VALUE_NONE;
  if (n->inputs[i]->kind != IMPORT_TENSOR) {
    import_unsupported(n, "operand %u is not a tensor", i);
    return VALUE_NONE;
  }
  value_id v = import_value_id(n, n->inputs[i]);
  if (v == VALUE_NONE || n->takes_strings || value_type(n->f, v)->dtype != DTYPE_STRING)
    return v;
  import_unsupported(n, "operand %u is a tensor of strings", i);
  return VALUE_NONE;
}

/* The function's tables move as ops are built, so callers get copies, one per value. */
const struct type *import_value_type(const struct import_node *n, value_id v) {
  uint64_t known;
  if (map_get(&n->im->types, v, &known))
    return (const struct type *)(uintptr_t)known;
  struct type *copy = ARENA_NEW(import_arena(n), struct type);
  *copy = *value_type(n->f, v);
  map_put(&n->im->types, v, (uintptr_t)copy);
  return copy;
}

/* Stands for what cannot be had, so that callers need not check every step. */
static const struct type no_type = {.dtype = DTYPE_STRING};

const struct type *import_type(struct import_node *n, uint32_t i) {
  value_id v = import_in(n, i);
  return v == VALUE_NONE ? &no_type : import_value_type(n, v);
}

enum dtype import_dtype(struct import_node *n, uint32_t i) { return import_type(n, i)->dtype; }
uint32_t import_rank(struct import_node *n, uint32_t i) { return import_type(n, i)->rank; }

dim import_dim(struct import_node *n, uint32_t i, uint32_t axis) {
  const struct type *type = import_type(n, i);
  return axis < type->rank ? type->dims[axis] : DIM_NONE;
}

bool import_arity(struct import_node *n, uint32_t min, uint32_t max, uint32_t outputs) {
  if (n->n_inputs < min || n->n_inputs > max) {
    import_fail(n, DIAG_E0144, "it has %u operands, the operator takes %u to %" PRId64, n->n_inputs,
                min, max == UINT32_MAX ? INT64_C(-1) : (int64_t)max);
    return false;
  }
  if (n->n_outputs > outputs) {
    import_fail(n, DIAG_E0144, "it has %u outputs, the operator has %u", n->n_outputs, outputs);
    return false;
  }
  for (uint32_t i = 0; i < n->n_inputs; i++) {
    if (!import_has(n, i)) {
      if (i < min)
        import_fail(n, DIAG_E0144, "operand %u is missing", i);
    } else {
      import_in(n, i); /* makes constants, and refuses what is no tensor */
    }
  }
  return !n->failed;
}

/* ---- outputs ---- */

bool import_wants(const struct import_node *n, uint32_t i) {
  return i < n->n_outputs && n->proto->output[i][0];
}

void import_out_value(struct import_node *n, uint32_t i, struct import_value *v) {
  if (i < n->n_outputs)
    n->outputs[i] = v;
}

struct import_value *import_value_tensor(struct import_node *n, value_id v) {
  struct import_value *value = import_value_new(n->im, v ? IMPORT_TENSOR : IMPORT_BROKEN);
  value->id = v;
  return value;
}

void import_out(struct import_node *n, uint32_t i, value_id v) {
  import_out_value(n, i, import_value_tensor(n, v));
}

struct import_value *import_value_list(struct import_node *n, enum import_kind kind,
                                       struct import_value *const *items, uint32_t n_items) {
  struct import_value *v = import_value_new(n->im, kind);
  struct import_value **copy = ARENA_ARRAY(import_arena(n), struct import_value *, n_items);
  if (n_items)
    memcpy(copy, items, n_items * sizeof *items);
  v->items = copy;
  v->n_items = n_items;
  return v;
}

const Onnx__TypeProto *import_declared(const struct import_node *n, uint32_t i) {
  if (!import_wants(n, i))
    return NULL;
  const char *name = n->proto->output[i];
  const Onnx__GraphProto *graph = n->scope->graph;
  uint64_t found;
  if (graph && !n->scope->outer)
    return strmap_get_c(&n->im->declared, name, &found) ? n->im->declarations.data[found] : NULL;
  for (size_t j = 0; graph && j < graph->n_output; j++)
    if (!strcmp(graph->output[j]->name, name))
      return graph->output[j]->type;
  for (size_t j = 0; graph && j < graph->n_value_info; j++)
    if (!strcmp(graph->value_info[j]->name, name))
      return graph->value_info[j]->type;
  return NULL;
}

/* ---- attributes ---- */

static const Onnx__AttributeProto *own_attr(struct import_node *n, const char *name) {
  for (size_t i = 0; i < n->proto->n_attribute; i++)
    if (!strcmp(n->proto->attribute[i]->name, name)) {
      n->attrs_read |= i < 64 ? UINT64_C(1) << i : 0;
      return n->proto->attribute[i];
    }
  return NULL;
}

static const Onnx__AttributeProto *referenced_attr(struct import_node *n,
                                                   const Onnx__AttributeProto *a) {
  const struct import_frame *frame = n->scope->frame;
  if (!frame->call) {
    import_fail(n, DIAG_E0143, "attribute '%s' refers to a function's attribute, outside of one",
                a->name);
    return NULL;
  }
  const Onnx__AttributeProto *found = import_attr(frame->call, a->ref_attr_name);
  for (size_t i = 0; !found && i < frame->function->n_attribute_proto; i++)
    if (!strcmp(frame->function->attribute_proto[i]->name, a->ref_attr_name))
      found = frame->function->attribute_proto[i];
  if (found && (found->g || found->n_graphs)) {
    import_fail(n, DIAG_E0141, "attribute '%s' passes a graph into a function", a->name);
    return NULL;
  }
  return found;
}

const Onnx__AttributeProto *import_attr(struct import_node *n, const char *name) {
  const Onnx__AttributeProto *a = own_attr(n, name);
  return a && a->ref_attr_name[0] ? referenced_attr(n, a) : a;
}

void import_attr_ignore(struct import_node *n, const char *name) { own_attr(n, name); }

/* Files older than IR version 3 may leave the type out. */
static const Onnx__AttributeProto *typed_attr(struct import_node *n, const char *name,
                                              Onnx__AttributeProto__AttributeType type) {
  const Onnx__AttributeProto *a = import_attr(n, name);
  if (!a || a->type == type || !a->type)
    return a;
  import_fail(n, DIAG_E0143, "attribute '%s' has type %d where %d is due", name, (int)a->type,
              (int)type);
  return NULL;
}

bool import_attr_has(struct import_node *n, const char *name) { return import_attr(n, name); }

int64_t import_attr_int(struct import_node *n, const char *name, int64_t otherwise) {
  const Onnx__AttributeProto *a = typed_attr(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
  return a ? a->i : otherwise;
}

double import_attr_float(struct import_node *n, const char *name, double otherwise) {
  const Onnx__AttributeProto *a = typed_attr(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
  return a ? (double)a->f : otherwise;
}

const char *import_attr_string(struct import_node *n, const char *name, const char *otherwise) {
  const Onnx__AttributeProto *a =
      typed_attr(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
  if (!a)
    return otherwise;
  if (a->s.len && memchr(a->s.data, 0, a->s.len)) {
    import_fail(n, DIAG_E0143, "attribute '%s' has a zero byte in it", name);
    return otherwise;
  }
  return arena_strndup(import_arena(n), a->s.len ? (const char *)a->s.data : "", a->s.len);
}

bool import_attr_ints(struct import_node *n, const char *name, struct ints *out) {
  const Onnx__AttributeProto *a = typed_attr(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
  *out = (struct ints){0};
  if (!a)
    return false;
  *out = (struct ints){.data = a->ints, .len = (uint32_t)a->n_ints};
  return true;
}

bool import_attr_floats(struct import_node *n, const char *name, const float **out,
                        uint32_t *out_n) {
  const Onnx__AttributeProto *a =
      typed_attr(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
  *out = a ? a->floats : NULL;
  *out_n = a ? (uint32_t)a->n_floats : 0;
  return a;
}

bool import_attr_strings(struct import_node *n, const char *name, const struct str **out,
                         uint32_t *out_n) {
  const Onnx__AttributeProto *a =
      typed_attr(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS);
  *out = NULL;
  *out_n = 0;
  if (!a)
    return false;
  struct str *list = ARENA_ARRAY(import_arena(n), struct str, a->n_strings);
  for (size_t i = 0; i < a->n_strings; i++)
    list[i] = (struct str){(const char *)a->strings[i].data, a->strings[i].len};
  *out = list;
  *out_n = (uint32_t)a->n_strings;
  return true;
}

const Onnx__TensorProto *import_attr_tensor(struct import_node *n, const char *name) {
  const Onnx__AttributeProto *a =
      typed_attr(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR);
  return a ? a->t : NULL;
}

const Onnx__GraphProto *import_attr_graph(struct import_node *n, const char *name) {
  const Onnx__AttributeProto *a = typed_attr(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH);
  return a ? a->g : NULL;
}

const Onnx__TypeProto *import_attr_type(struct import_node *n, const char *name) {
  const Onnx__AttributeProto *a =
      typed_attr(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTO);
  return a ? a->tp : NULL;
}

bool import_dtype_of(struct import_node *n, int32_t onnx_type, enum dtype *out) {
  if (dtype_from_onnx(onnx_type, out) && (*out != DTYPE_STRING || n->takes_strings))
    return true;
  const struct onnx_type *known = onnx_type_get(onnx_type);
  if (known)
    import_unsupported(n, "element type %s", known->name);
  else
    import_invalid(n, "%d is not an element type", onnx_type);
  return false;
}

enum dtype import_attr_dtype(struct import_node *n, const char *name, enum dtype otherwise) {
  enum dtype dtype = otherwise;
  int64_t code = import_attr_int(n, name, -1);
  if (import_attr_has(n, name) && !n->failed)
    import_dtype_of(n, code < 0 || code > INT32_MAX ? 0 : (int32_t)code, &dtype);
  return dtype;
}

bool import_axis(struct import_node *n, int64_t axis, uint32_t rank, uint32_t *out) {
  if (axis < -(int64_t)rank || axis >= (int64_t)rank) {
    import_invalid(n, "axis %" PRId64 " is out of range for rank %u", axis, rank);
    return false;
  }
  *out = (uint32_t)(axis < 0 ? axis + rank : axis);
  return true;
}

bool import_axes(struct import_node *n, struct ints axes, uint32_t rank, bool sort,
                 struct ints *out) {
  int64_t *list = ARENA_ARRAY(import_arena(n), int64_t, axes.len);
  bool seen[IR_MAX_RANK] = {0};
  for (uint32_t i = 0; i < axes.len; i++) {
    uint32_t axis;
    if (!import_axis(n, axes.data[i], rank, &axis))
      return false;
    if (axis >= IR_MAX_RANK || seen[axis]) {
      import_invalid(n, "axis %u is given twice", axis);
      return false;
    }
    seen[axis] = true;
    list[i] = axis;
  }
  uint32_t k = 0;
  for (uint32_t axis = 0; sort && axis < rank; axis++)
    if (seen[axis])
      list[k++] = axis;
  *out = (struct ints){list, axes.len};
  return true;
}

/* ---- constants ---- */

struct import_value *import_tensor_value(struct import_node *n, const Onnx__TensorProto *t) {
  return import_proto_value(n->im, n->b->region, t);
}

value_id import_tensor_const(struct import_node *n, const Onnx__TensorProto *t) {
  struct diag_where where = import_where(n);
  constant_id c = import_constant_add(n->im, t, &where);
  n->failed |= c == CONSTANT_NONE;
  return c == CONSTANT_NONE ? VALUE_NONE : build_const(n->b, c);
}

const struct constant *import_constant(struct import_node *n, uint32_t i) {
  value_id v = import_in(n, i);
  const struct op *op = v == VALUE_NONE ? NULL : value_def(n->f, v);
  if (!op || op->kind != OP_CONST)
    return NULL;
  return &n->im->module->constants.data[OP_ATTRS(const, op)->value];
}

bool import_const_strings(struct import_node *n, uint32_t i, const char *what,
                          const struct str **out, uint32_t *out_n) {
  const struct constant *c = import_constant(n, i);
  if (!c || c->dtype != DTYPE_STRING) {
    import_unsupported(n, "%s must be constant strings", what);
    return false;
  }
  *out_n = (uint32_t)(c->bytes / sizeof(uint64_t));
  struct str *list = ARENA_ARRAY(import_arena(n), struct str, *out_n);
  for (uint32_t k = 0; k < *out_n; k++) {
    struct host_string s = {"", 0};
    host_strings_get(&n->im->module->strings, ((const uint64_t *)c->data)[k], &s);
    list[k] = (struct str){s.data, s.size};
  }
  *out = list;
  return true;
}

/* ---- known values ---- */

/* How many elements an operand has, if that is known and at most IMPORT_MAX_LIST. */
static bool element_count(struct import_node *n, uint32_t i, value_id *out_v, uint32_t *out_n) {
  int64_t dims[IR_MAX_RANK], count = 1;
  value_id v = import_in(n, i);
  *out_v = v;
  if (v == VALUE_NONE || !type_static_dims(n->dims, value_type(n->f, v), dims))
    return false;
  for (uint32_t j = 0; j < value_type(n->f, v)->rank; j++)
    if (__builtin_mul_overflow(count, dims[j], &count) || count > IMPORT_MAX_LIST)
      return false;
  *out_n = (uint32_t)count;
  return true;
}

dim import_value_dim(struct import_node *n, value_id v, int64_t element) {
  struct fact f = v == VALUE_NONE ? (struct fact){0} : import_fact(n->im, v, element, false);
  return f.kind == FACT_DIM ? f.d : DIM_NONE;
}

dim import_value_symbol(struct import_node *n, value_id v, int64_t element) {
  struct fact f = v == VALUE_NONE ? (struct fact){0} : import_fact(n->im, v, element, true);
  return f.kind == FACT_DIM ? import_short_dim(n, f.d) : DIM_NONE;
}

static bool dims_list(struct import_node *n, uint32_t i, bool bind, struct dims *out) {
  value_id v;
  uint32_t count;
  if (!element_count(n, i, &v, &count))
    return false;
  dim *list = ARENA_ARRAY(import_arena(n), dim, count);
  for (uint32_t j = 0; j < count; j++) {
    list[j] = bind ? import_value_symbol(n, v, j) : import_value_dim(n, v, j);
    if (list[j] == DIM_NONE)
      return false;
  }
  *out = (struct dims){list, count};
  return true;
}

bool import_dims_get(struct import_node *n, uint32_t i, struct dims *out) {
  return dims_list(n, i, false, out);
}

bool import_dims_or_symbols(struct import_node *n, uint32_t i, const char *what, struct dims *out) {
  if (dims_list(n, i, true, out))
    return true;
  if (!n->failed)
    import_unsupported(n, "the number of elements of %s must be known", what);
  return false;
}

bool import_dim_or_symbol(struct import_node *n, uint32_t i, const char *what, dim *out) {
  struct dims list;
  if (!import_dims_or_symbols(n, i, what, &list))
    return false;
  if (list.len != 1) {
    import_invalid(n, "%s must have one element, it has %u", what, list.len);
    return false;
  }
  *out = list.data[0];
  return true;
}

bool import_const_ints_get(struct import_node *n, uint32_t i, struct ints *out) {
  struct dims list;
  if (!import_dims_get(n, i, &list))
    return false;
  int64_t *ints = ARENA_ARRAY(import_arena(n), int64_t, list.len);
  for (uint32_t j = 0; j < list.len; j++)
    if (!dim_is_const(n->dims, list.data[j], &ints[j]))
      return false;
  *out = (struct ints){ints, list.len};
  return true;
}

bool import_const_ints(struct import_node *n, uint32_t i, const char *what, struct ints *out) {
  if (import_const_ints_get(n, i, out))
    return true;
  if (!n->failed)
    import_unsupported(n, "%s must be a constant", what);
  return false;
}

bool import_const_int(struct import_node *n, uint32_t i, const char *what, int64_t *out) {
  struct ints list;
  if (!import_const_ints(n, i, what, &list))
    return false;
  if (list.len != 1) {
    import_invalid(n, "%s must have one element, it has %u", what, list.len);
    return false;
  }
  *out = list.data[0];
  return true;
}

bool import_const_floats_get(struct import_node *n, uint32_t i, const double **out,
                             uint32_t *out_n) {
  value_id v;
  uint32_t count;
  if (!element_count(n, i, &v, &count))
    return false;
  double *list = ARENA_ARRAY(import_arena(n), double, count);
  for (uint32_t j = 0; j < count; j++) {
    struct fact f = import_fact(n->im, v, j, false);
    int64_t x;
    if (f.kind == FACT_FLOAT)
      list[j] = f.f;
    else if (f.kind == FACT_DIM && dim_is_const(n->dims, f.d, &x))
      list[j] = (double)x;
    else
      return false;
  }
  *out = list;
  *out_n = count;
  return true;
}

bool import_const_floats(struct import_node *n, uint32_t i, const char *what, const double **out,
                         uint32_t *out_n) {
  if (import_const_floats_get(n, i, out, out_n))
    return true;
  if (!n->failed)
    import_unsupported(n, "%s must be a constant", what);
  return false;
}

dim import_size(struct import_node *n, dim d) {
  int64_t lo, hi;
  uint32_t symbol;
  dim_bounds(n->dims, d, &lo, &hi);
  if (d == DIM_NONE || lo >= 0 || import_narrow_size(n, d))
    return d;
  if (dim_symbol_of(n->dims, d, &symbol))
    return dim_symbol(n->dims, dim_symbol_name(n->dims, symbol), 0, DIM_UNBOUNDED_HI);
  build_check(n->b, dim_const(n->dims, 0), RELATION_LE, d, "a size is negative");
  return d;
}

dim import_fresh_dim(struct import_node *n, const char *prefix) {
  return dim_fresh(n->dims, prefix, 0, DIM_UNBOUNDED_HI);
}
