/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of an import: options, the graph's inputs and outputs, the entry point. */
#include "frontend/onnx/import_internal.h"
#include "frontend/onnx/import_packed.h"
#include "ir/module_sizes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- options ---- */

struct bounds {
  int64_t lo, hi;
};

static bool parse_number(const char **s, int64_t *out) {
  if (**s < '0' || **s > '9')
    return false;
  errno = 0;
  char *end;
  long long x = strtoll(*s, &end, 10);
  *s = end;
  *out = x;
  return errno == 0;
}

/* "4", "1..8" or "1.." */
static bool parse_bounds(const char *s, struct bounds *out) {
  if (!parse_number(&s, &out->lo))
    return false;
  out->hi = out->lo;
  if (s[0] == '.' && s[1] == '.') {
    s += 2;
    if (!*s)
      out->hi = DIM_UNBOUNDED_HI;
    else if (!parse_number(&s, &out->hi))
      return false;
  }
  return !*s && out->lo <= out->hi;
}

static void bad_option(struct importer *im, const char *text, const char *why) {
  diag_report(im->diags, DIAG_E0151, NULL, "write \"name:1..8x3x224x224\" or \"symbol=1..8\"",
              "cannot use '%s': %s", text, why);
}

static void apply_symbol_option(struct importer *im, const char *text) {
  const char *eq = strrchr(text, '=');
  struct bounds bounds;
  if (!eq || eq == text || !parse_bounds(eq + 1, &bounds)) {
    bad_option(im, text, "not a symbol with bounds");
    return;
  }
  char *name = arena_strndup(&im->module->arena, text, (size_t)(eq - text));
  if (dim_symbol(im->module->dims, name, bounds.lo, bounds.hi) == DIM_NONE)
    bad_option(im, text, "no value is left between this and the other bounds");
}

/* ---- inputs ---- */

static const struct diag_where *where_model(const struct importer *im, struct diag_where *out) {
  *out = DIAG_NOWHERE;
  out->file = im->model->path;
  return out;
}

static void bad_input(struct importer *im, const char *name, const char *hint, const char *why) {
  struct diag_where where;
  diag_report(im->diags, DIAG_E0150, where_model(im, &where), hint, "graph input '%s' %s", name,
              why);
}

static const char *shape_override(const struct importer *im, const char *name) {
  const struct onnx_import_options *o = im->options;
  for (uint32_t i = 0; o && i < o->n_shapes; i++) {
    const char *colon = strrchr(o->shapes[i], ':');
    if (colon && (size_t)(colon - o->shapes[i]) == strlen(name) &&
        !strncmp(o->shapes[i], name, strlen(name)))
      return colon + 1;
  }
  return NULL;
}

/* A symbol that its bounds leave one value is that value. */
static dim symbol_or_value(struct dim_table *t, const char *name, int64_t lo, int64_t hi) {
  dim d = dim_symbol(t, name, lo, hi);
  if (d == DIM_NONE)
    return DIM_NONE;
  dim_bounds(t, d, &lo, &hi);
  return lo == hi ? dim_const(t, lo) : d;
}

static dim declared_dim(struct importer *im, const char *input,
                        const Onnx__TensorShapeProto__Dimension *d) {
  struct dim_table *t = im->module->dims;
  if (d && d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
      d->dim_value >= 0)
    return dim_const(t, d->dim_value);
  if (d && d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && d->dim_param[0])
    return symbol_or_value(t, d->dim_param, 0, DIM_UNBOUNDED_HI);
  return dim_fresh(t, input, 0, DIM_UNBOUNDED_HI);
}

/* One dim of an override on what the model declares; DIM_NONE if they disagree. */
static dim override_dim(struct importer *im, dim declared, const char *text) {
  struct dim_table *t = im->module->dims;
  struct bounds bounds;
  uint32_t symbol;
  if (!strcmp(text, "?"))
    return declared;
  if (!parse_bounds(text, &bounds)) {
    dim d = symbol_or_value(t, text, 0, DIM_UNBOUNDED_HI);
    return dim_is_const(t, declared, NULL) && d != declared ? DIM_NONE : d;
  }
  if (dim_symbol_of(t, declared, &symbol))
    return symbol_or_value(t, dim_symbol_name(t, symbol), bounds.lo, bounds.hi);
  int64_t value;
  return dim_is_const(t, declared, &value) && value >= bounds.lo && value <= bounds.hi ? declared
                                                                                       : DIM_NONE;
}

static void apply_override(struct importer *im, const char *input, const char *text, bool has_rank,
                           struct type *type) {
  struct str rest = str_from_c(text);
  uint32_t rank = 0;
  while (rest.len) {
    struct str one = str_split(&rest, 'x');
    if (rank == IR_MAX_RANK || (has_rank && rank == type->rank) || !one.len) {
      bad_option(im, text, "its number of dims is not that of the input");
      return;
    }
    if (!has_rank)
      type->dims[rank] = declared_dim(im, input, NULL);
    char *word = arena_strndup(&im->module->arena, one.data, one.len);
    type->dims[rank] = override_dim(im, type->dims[rank], word);
    if (type->dims[rank] == DIM_NONE) {
      bad_option(im, text, "it contradicts what the model says of the input");
      return;
    }
    rank++;
  }
  if (has_rank && rank != type->rank)
    bad_option(im, text, "its number of dims is not that of the input");
  type->rank = rank;
}

/* The type in an optional one. */
static const Onnx__TypeProto *plain_type(const Onnx__TypeProto *p, bool *out_optional) {
  *out_optional = p && p->value_case == ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE;
  return *out_optional ? p->optional_type->elem_type : p;
}

static bool input_type(struct importer *im, const Onnx__ValueInfoProto *info, struct type *out) {
  const char *name = info->name;
  bool optional;
  const Onnx__TypeProto *p = plain_type(info->type, &optional);
  if (!p || p->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) {
    bad_input(im, name, NULL, p ? "is not a tensor, which is not supported" : "has no type");
    return false;
  }
  *out = (struct type){0};
  if (!dtype_from_onnx(p->tensor_type->elem_type, &out->dtype)) {
    bad_input(im, name, NULL, "has an element type that is not supported");
    return false;
  }
  const Onnx__TensorShapeProto *shape = p->tensor_type->shape;
  const char *override = shape_override(im, name);
  if (!shape && !override) {
    bad_input(im, name, "give its shape as an option", "has no declared rank");
    return false;
  }
  if (shape && shape->n_dim > IR_MAX_RANK) {
    bad_input(im, name, NULL, "has more dims than are supported");
    return false;
  }
  out->rank = shape ? (uint32_t)shape->n_dim : 0;
  for (uint32_t i = 0; i < out->rank; i++) {
    out->dims[i] = declared_dim(im, name, shape->dim[i]);
    if (out->dims[i] == DIM_NONE) {
      bad_input(im, name, NULL, "has a dim that no size can satisfy");
      return false;
    }
  }
  if (override)
    apply_override(im, name, override, shape != NULL, out);
  return true;
}

static struct import_value *add_input(struct importer *im, const char *name,
                                      const struct type *type) {
  struct import_value *v = import_value_new(im, IMPORT_TENSOR);
  v->id = region_add_param(im->function, 0, type, name);
  vec_push(&im->entry->input_names, intern_c(&im->module->names, name));
  return v;
}

static const char *name_with(struct importer *im, const char *name, const char *suffix) {
  return arena_printf(&im->module->arena, "%s.%s", name, suffix);
}

static struct import_value *list_of(struct importer *im, enum import_kind kind, uint32_t n,
                                    struct import_value *const *items) {
  struct import_value *v = import_value_new(im, kind);
  struct import_value **copy = ARENA_ARRAY(&im->module->arena, struct import_value *, n);
  memcpy(copy, items, n * sizeof *items);
  v->items = copy;
  v->n_items = n;
  return v;
}

/* A sequence is two inputs, as import_packed.h has it. */
static struct import_value *sequence_input(struct importer *im, const char *name,
                                           const Onnx__TypeProto *p) {
  struct dim_table *t = im->module->dims;
  enum dtype dtype;
  int32_t rank;
  if (!import_declared_items(p, &dtype, &rank)) {
    bad_input(im, name, NULL, "is a sequence of something else than tensors");
    return import_value_new(im, IMPORT_BROKEN);
  }
  dim total = dim_fresh(t, name_with(im, name, "total"), 0, DIM_UNBOUNDED_HI);
  dim table[] = {dim_fresh(t, name_with(im, name, "count"), 0, DIM_UNBOUNDED_HI),
                 dim_const(t, PACKED_ROW)};
  struct type data = type_make(dtype, &total, 1), shapes = type_make(DTYPE_I64, table, 2);
  struct import_value *items[] = {add_input(im, name, &data),
                                  add_input(im, name_with(im, name, "shapes"), &shapes)};
  struct import_value *v = list_of(im, IMPORT_PACKED, 2, items);
  v->item_dtype = dtype;
  v->item_rank = rank;
  return v;
}

static struct import_value *input_value(struct importer *im, const Onnx__ValueInfoProto *info) {
  struct type type;
  bool optional;
  const Onnx__TypeProto *p = plain_type(info->type, &optional);
  struct import_value *v;
  if (p && p->value_case == ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE)
    v = sequence_input(im, info->name, p);
  else if (input_type(im, info, &type))
    v = add_input(im, info->name, &type);
  else
    v = import_value_new(im, IMPORT_BROKEN);
  if (!optional || v->kind == IMPORT_BROKEN)
    return v;
  struct import_value *full = list_of(im, IMPORT_OPTIONAL, 1, &v);
  full->given_name = name_with(im, info->name, "given");
  return full;
}

static void import_inputs(struct importer *im, struct import_scope *scope,
                          const Onnx__GraphProto *graph) {
  for (size_t i = 0; i < graph->n_input; i++) {
    const Onnx__ValueInfoProto *info = graph->input[i];
    if (import_scope_find(scope, info->name))
      continue; /* an initializer: a constant */
    import_scope_define(im, scope, info->name, input_value(im, info));
  }
}

/* Every option must have met its input. */
static void check_overrides(struct importer *im, const struct entry *entry) {
  const struct onnx_import_options *o = im->options;
  for (uint32_t i = 0; o && i < o->n_shapes; i++) {
    const char *colon = strrchr(o->shapes[i], ':');
    bool found = false;
    for (uint32_t j = 0; colon && j < entry->input_names.len; j++)
      found |= strlen(entry->input_names.data[j]) == (size_t)(colon - o->shapes[i]) &&
               !strncmp(entry->input_names.data[j], o->shapes[i], (size_t)(colon - o->shapes[i]));
    if (!found)
      bad_option(im, o->shapes[i], "the model has no such input");
  }
}

/* ---- outputs ---- */

/* Sequences and optionals have no form behind the importer: their tensors are outputs by
 * themselves, item i of sequence y as "y[i]", the value of a full optional by its name. Where a run
 * decides, sequence y is "y" and "y.shapes" (import_packed.h), and "y.given" is whether optional y
 * is full. A sequence of maps is its values as a matrix, and "y.keys" what its columns are. */
static void give_output(struct importer *im, struct entry *entry, const char *name,
                        struct import_value *v) {
  struct diag_where where;
  switch (v->kind) {
  case IMPORT_TENSOR:
    vec_push(&entry->output_names, intern_c(&im->module->names, name));
    vec_push(&function_region(im->function, 0)->results, import_materialize(im, v));
    return;
  case IMPORT_SEQUENCE:
    for (uint32_t i = 0; i < v->n_items; i++)
      give_output(im, entry, arena_printf(&im->module->arena, "%s[%u]", name, i), v->items[i]);
    return;
  case IMPORT_OPTIONAL:
    for (uint32_t i = 0; i < v->n_items; i++)
      give_output(im, entry, name, v->items[i]);
    return;
  case IMPORT_PACKED:
    give_output(im, entry, name, v->items[0]);
    give_output(im, entry, name_with(im, name, "shapes"), v->items[1]);
    return;
  case IMPORT_MAYBE:
    give_output(im, entry, name_with(im, name, "given"), v->items[0]);
    give_output(im, entry, name, v->items[1]);
    return;
  case IMPORT_MAPS:
    give_output(im, entry, name, v->items[0]);
    give_output(im, entry, name_with(im, name, "keys"), v->items[1]);
    return;
  case IMPORT_BROKEN: return; /* which was reported */
  default:
    diag_report(im->diags, DIAG_E0141, where_model(im, &where), NULL,
                "graph output '%s' has a type that is not supported", name);
  }
}

static void import_outputs(struct importer *im, struct import_scope *scope,
                           const Onnx__GraphProto *graph, struct entry *entry) {
  struct diag_where where;
  for (size_t i = 0; i < graph->n_output; i++) {
    const char *name = graph->output[i]->name;
    struct import_value *v = import_scope_find(scope, name);
    if (v)
      give_output(im, entry, name, v);
    else
      diag_report(im->diags, DIAG_E0114, where_model(im, &where), NULL,
                  "graph output '%s' is not defined by any node", name);
  }
}

/* Sequences and optionals bring names that the model may have too. */
static void check_names(struct importer *im, const char *const *names, uint32_t n,
                        const char *what) {
  struct strmap seen;
  uint64_t first;
  struct diag_where where;
  strmap_init(&seen);
  for (uint32_t i = 0; i < n; i++) {
    if (strmap_get_c(&seen, names[i], &first))
      diag_report(im->diags, DIAG_E0113, where_model(im, &where), NULL,
                  "'%s' names two %s, one of them a part of a sequence or optional", names[i],
                  what);
    strmap_put_c(&seen, names[i], i);
  }
  strmap_deinit(&seen);
}

static void declare(struct importer *im, Onnx__ValueInfoProto *const *infos, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (!infos[i]->type)
      continue;
    strmap_put_c(&im->declared, infos[i]->name, im->declarations.len);
    vec_push(&im->declarations, infos[i]->type);
  }
}

/* ---- the whole ---- */

static void importer_init(struct importer *im, struct onnx_model *model,
                          const struct onnx_import_options *options, struct diags *diags) {
  *im = (struct importer){.model = model, .options = options, .diags = diags};
  im->module = module_create();
  im->function = function_create(im->module, "main");
  builder_init(&im->builder, im->function, 0, diags);
  strmap_init(&im->declared);
  strmap_init(&im->rows);
  strmap_init(&im->functions);
  strmap_init(&im->unknown);
  map_init(&im->types);
  map_init(&im->initializers);
  map_init(&im->facts);
  map_init(&im->dim_names);
}

static void importer_deinit(struct importer *im) {
  strmap_deinit(&im->declared);
  strmap_deinit(&im->rows);
  strmap_deinit(&im->functions);
  strmap_deinit(&im->unknown);
  map_deinit(&im->types);
  map_deinit(&im->initializers);
  map_deinit(&im->facts);
  map_deinit(&im->dim_names);
  vec_deinit(&im->declarations);
  vec_deinit(&im->fact_list);
}

static void import_model(struct importer *im) {
  const Onnx__GraphProto *graph = im->model->proto->graph;
  struct import_scope scope;
  struct entry entry = {.name = intern_c(&im->module->names, "main")};
  im->entry = &entry;
  import_tables_init(im);
  declare(im, graph->value_info, graph->n_value_info);
  declare(im, graph->output, graph->n_output);
  for (uint32_t i = 0; im->options && i < im->options->n_symbols; i++)
    apply_symbol_option(im, im->options->symbols[i]);
  import_scope_init(&scope, NULL, &im->root, 0);
  scope.graph = graph;
  import_scope_initializers(im, &scope, graph);
  import_inputs(im, &scope, graph);
  check_overrides(im, &entry);
  import_nodes(im, &scope, graph->node, graph->n_node);
  import_outputs(im, &scope, graph, &entry);
  check_names(im, entry.input_names.data, entry.input_names.len, "inputs");
  check_names(im, entry.output_names.data, entry.output_names.len, "outputs");
  vec_push(&entry.variants, ((struct entry_variant){.function = im->function}));
  vec_push(&im->module->entries, entry);
  import_scope_deinit(&scope);
}

status onnx_import(struct onnx_model *model, const struct onnx_import_options *options,
                   struct diags *diags, struct module **out_module) {
  *out_module = NULL;
  if (!model->proto || !model->proto->graph) {
    struct diag_where where = DIAG_NOWHERE;
    where.file = model->path;
    return diag_report(diags, DIAG_E0142, &where, NULL, "the model has no graph");
  }
  struct importer im;
  uint32_t errors = diags_errors(diags);
  importer_init(&im, model, options, diags);
  import_model(&im);
  status s = STATUS_OK;
  if (diags_errors(diags) == errors) {
    function_sweep(im.function);
    import_annotations(&im);
    module_check_sizes(im.module, diags);
  }
  if (diags_errors(diags) != errors) {
    module_destroy(im.module);
    s = diags_status(diags);
  } else {
    *out_module = im.module;
  }
  importer_deinit(&im);
  return s;
}
