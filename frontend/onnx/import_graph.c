/* SPDX-License-Identifier: Apache-2.0 */
/* Walking the nodes of a graph or function body: names, constants, the choice of an importer. */
#include "frontend/onnx/import_activation.h"
#include "frontend/onnx/import_internal.h"
#include "frontend/onnx/import_reduce.h"
#include "frontend/onnx/import_string.h"
#include "frontend/onnx/import_util.h"

#include <string.h>

/* ---- the table of operators ---- */

#define DOMAIN_ONNX ""
#define DOMAIN_ML "ai.onnx.ml"
#define DOMAIN_PREVIEW "ai.onnx.preview"
#define DOMAIN_TRAINING "ai.onnx.preview.training"
#define DOMAIN_MICROSOFT "com.microsoft"

static const struct row {
  const char *domain, *op;
  int64_t since;
  import_fn *function;
  int arg;
} rows[] = {
#define IMPORT(domain, op, since, function, arg) {DOMAIN_##domain, #op, since, function, arg},
#include "frontend/onnx/import.def"
#undef IMPORT
};

enum { N_ROWS = sizeof rows / sizeof rows[0] };

static const char *canonical_domain(const char *domain) {
  return !strcmp(domain, "ai.onnx") ? "" : domain;
}

const char *import_key(struct strbuf *buf, const char *a, const char *b, const char *c) {
  strbuf_clear(buf);
  strbuf_printf(buf, "%s\x1f%s\x1f%s", a, b, c);
  return strbuf_c(buf);
}

void import_tables_init(struct importer *im) {
  struct strbuf buf = {0};
  for (uint32_t i = N_ROWS; i-- > 0;)
    strmap_put_c(&im->rows, import_key(&buf, rows[i].domain, rows[i].op, ""), i);
  const Onnx__ModelProto *p = im->model->proto;
  for (size_t i = 0; i < p->n_functions; i++) {
    const Onnx__FunctionProto *f = p->functions[i];
    strmap_put_c(&im->functions,
                 import_key(&buf, canonical_domain(f->domain), f->name, f->overload), i);
  }
  strbuf_deinit(&buf);
}

static const struct row *find_row(const struct importer *im, const char *domain, const char *op,
                                  int64_t opset) {
  struct strbuf buf = {0};
  uint64_t first;
  const struct row *best = NULL;
  if (strmap_get_c(&im->rows, import_key(&buf, domain, op, ""), &first))
    for (uint64_t i = first; i < N_ROWS; i++)
      if (!strcmp(rows[i].op, op) && !strcmp(rows[i].domain, domain) && rows[i].since <= opset &&
          (!best || rows[i].since > best->since))
        best = &rows[i];
  strbuf_deinit(&buf);
  return best;
}

/* Domains other than ONNX's own are often used without an import; their version is 1 then. */
int64_t import_opset(const struct importer *im, const struct import_frame *frame,
                     const char *domain) {
  domain = canonical_domain(domain);
  int64_t version = 0;
  for (size_t i = 0; frame->function && i < frame->function->n_opset_import; i++)
    if (!strcmp(canonical_domain(frame->function->opset_import[i]->domain), domain))
      version = frame->function->opset_import[i]->version;
  if (!version)
    version = onnx_model_opset(im->model, domain);
  return version ? version : 1;
}

const Onnx__FunctionProto *import_find_function(const struct importer *im,
                                                const Onnx__NodeProto *node) {
  struct strbuf buf = {0};
  uint64_t i;
  const char *key = import_key(&buf, canonical_domain(node->domain), node->op_type, node->overload);
  bool found = strmap_get_c(&im->functions, key, &i);
  strbuf_deinit(&buf);
  return found ? im->model->proto->functions[i] : NULL;
}

/* ---- names ---- */

void import_scope_init(struct import_scope *s, struct import_scope *outer,
                       struct import_frame *frame, region_id region) {
  *s = (struct import_scope){.outer = outer, .frame = frame, .region = region};
  strmap_init(&s->names);
}

void import_scope_deinit(struct import_scope *s) {
  strmap_deinit(&s->names);
  vec_deinit(&s->values);
}

struct import_value *import_scope_find(const struct import_scope *s, const char *name) {
  uint64_t i;
  for (; s; s = s->outer)
    if (strmap_get_c(&s->names, name, &i))
      return s->values.data[i];
  return NULL;
}

bool import_scope_define(struct importer *im, struct import_scope *s, const char *name,
                         struct import_value *v) {
  if (strmap_get_c(&s->names, name, NULL)) {
    struct diag_where where = DIAG_NOWHERE;
    where.file = im->model->path;
    diag_report(im->diags, DIAG_E0113, &where, NULL, "value '%s' is defined twice", name);
    return false;
  }
  strmap_put_c(&s->names, name, s->values.len);
  vec_push(&s->values, v);
  return true;
}

/* ---- constants ---- */

struct import_value *import_value_new(struct importer *im, enum import_kind kind) {
  struct import_value *v = ARENA_NEW(&im->module->arena, struct import_value);
  v->kind = kind;
  return v;
}

/* Elements are numbers of the module's strings. The text form has no NUL. */
static constant_id import_strings_constant(struct importer *im, const struct onnx_tensor *t,
                                           struct constant *c, const struct diag_where *where) {
  uint64_t *ids = ARENA_ARRAY(&im->module->arena, uint64_t, t->elements);
  for (uint64_t i = 0; i < t->elements; i++) {
    if (t->strings[i].len && memchr(t->strings[i].data, 0, t->strings[i].len)) {
      diag_report(im->diags, DIAG_E0141, where, NULL,
                  "tensor '%s' has a string with a zero byte, which is not supported", c->name);
      return CONSTANT_NONE;
    }
    ids[i] = module_add_string(im->module, t->strings[i].data, t->strings[i].len);
  }
  c->data = ids;
  c->bytes = t->elements * sizeof *ids;
  return module_add_constant(im->module, c);
}

/* Small data is copied, so that it is aligned; large data stays where it is. */
constant_id import_constant_of(struct importer *im, const struct onnx_tensor *t,
                               const struct diag_where *where) {
  enum { COPY_BELOW = 4096 };
  struct constant c = {.name = t->name && t->name[0] ? t->name : "const"};
  if (!dtype_from_onnx(t->onnx_type, &c.dtype) || t->rank > IR_MAX_RANK) {
    diag_report(im->diags, DIAG_E0141, where, NULL,
                "tensor '%s' has a type or rank that is not supported", c.name);
    return CONSTANT_NONE;
  }
  c.rank = t->rank;
  for (uint32_t i = 0; i < t->rank; i++)
    c.dims[i] = t->dims[i];
  if (c.dtype == DTYPE_STRING)
    return import_strings_constant(im, t, &c, where);
  c.bytes = t->bytes;
  c.data = t->bytes && t->bytes <= COPY_BELOW ? arena_memdup(&im->module->arena, t->data, t->bytes)
                                              : t->data;
  if (t->source != ONNX_SOURCE_MEMORY) {
    c.file = t->file;
    c.offset = t->offset;
  }
  return module_add_constant(im->module, &c);
}

constant_id import_constant_add(struct importer *im, const Onnx__TensorProto *t,
                                const struct diag_where *where) {
  uint64_t known;
  struct onnx_tensor view;
  if (map_get(&im->initializers, (uintptr_t)t, &known))
    return (constant_id)known;
  constant_id c = CONSTANT_NONE;
  if (onnx_tensor_resolve(im->model, t, im->diags, &view) == STATUS_OK)
    c = import_constant_of(im, &view, where);
  map_put(&im->initializers, (uintptr_t)t, c);
  return c;
}

struct import_value *import_proto_value(struct importer *im, region_id home,
                                        const Onnx__TensorProto *t) {
  struct import_value *v = import_value_new(im, IMPORT_TENSOR);
  v->initializer = t;
  v->home = home;
  return v;
}

/* The `const` op of an initializer goes to the region of the graph that has it, so that all of that
 * graph, inner regions included, can share it. */
value_id import_materialize(struct importer *im, struct import_value *v) {
  if (v->kind != IMPORT_TENSOR || v->id != VALUE_NONE || !v->initializer)
    return v->kind == IMPORT_TENSOR ? v->id : VALUE_NONE;
  struct diag_where where = DIAG_NOWHERE;
  where.file = im->model->path;
  constant_id c = import_constant_add(im, v->initializer, &where);
  if (c == CONSTANT_NONE) {
    v->kind = IMPORT_BROKEN;
    return VALUE_NONE;
  }
  struct builder *b = &im->builder;
  region_id region = b->region;
  uint32_t provenance = b->provenance;
  b->region = v->home;
  b->provenance = 0;
  v->id = build_const(b, c);
  b->region = region;
  b->provenance = provenance;
  if (v->id == VALUE_NONE)
    v->kind = IMPORT_BROKEN;
  return v->id;
}

static struct import_value *sparse_value(struct importer *im, struct import_scope *s,
                                         const Onnx__SparseTensorProto *sparse) {
  struct diag_where where = DIAG_NOWHERE;
  where.file = im->model->path;
  struct onnx_tensor view;
  struct import_value *v = import_value_new(im, IMPORT_BROKEN);
  if (onnx_sparse_resolve(im->model, sparse, &where, im->diags, &view) != STATUS_OK)
    return v;
  constant_id c = import_constant_of(im, &view, &where);
  if (c == CONSTANT_NONE)
    return v;
  map_put(&im->initializers, (uintptr_t)sparse->values, c);
  v->kind = IMPORT_TENSOR;
  v->initializer = sparse->values;
  v->home = s->region;
  return v;
}

void import_scope_initializers(struct importer *im, struct import_scope *s,
                               const Onnx__GraphProto *graph) {
  for (size_t i = 0; i < graph->n_initializer; i++) {
    const Onnx__TensorProto *t = graph->initializer[i];
    import_scope_define(im, s, t->name, import_proto_value(im, s->region, t));
  }
  for (size_t i = 0; i < graph->n_sparse_initializer; i++) {
    const Onnx__SparseTensorProto *t = graph->sparse_initializer[i];
    if (t->values)
      import_scope_define(im, s, t->values->name, sparse_value(im, s, t));
  }
}

/* ---- nodes ---- */

static void report_unknown(struct importer *im, struct import_node *n, const char *domain) {
  struct strbuf buf = {0};
  const char *key = import_key(&buf, domain, n->op, n->proto->overload);
  if (!strmap_get_c(&im->unknown, key, NULL)) {
    strmap_put_c(&im->unknown, key, 1);
    struct diag_where where = import_where(n);
    diag_report(im->diags, DIAG_E0140, &where, NULL,
                "operator %s%s%s of opset %lld is not supported", domain, domain[0] ? "::" : "",
                n->op, (long long)n->opset);
  }
  strbuf_deinit(&buf);
  n->failed = true;
}

static bool resolve_inputs(struct import_node *n) {
  bool sound = true;
  for (uint32_t i = 0; i < n->n_inputs; i++) {
    const char *name = n->proto->input[i];
    struct import_value *v =
        name[0] ? import_scope_find(n->scope, name) : import_value_new(n->im, IMPORT_ABSENT);
    if (!v) {
      import_fail(n, DIAG_E0114, "input '%s' is not defined before this node", name);
      v = import_value_new(n->im, IMPORT_BROKEN);
    }
    sound &= v->kind != IMPORT_BROKEN;
    n->inputs[i] = v;
  }
  return sound;
}

static void check_attrs_read(struct import_node *n) {
  for (size_t i = 0; i < n->proto->n_attribute && i < 64; i++)
    if (!(n->attrs_read >> i & 1))
      import_fail(n, DIAG_E0147, "attribute '%s' is not handled", n->proto->attribute[i]->name);
}

/* Reports what is wrong on our own side, so that a broken output is never silent. */
static void check_outputs(struct import_node *n, uint32_t errors) {
  for (uint32_t i = 0; i < n->n_outputs && !n->failed; i++) {
    struct import_value *v = n->outputs[i];
    bool sound = !import_wants(n, i) || (v && v->kind != IMPORT_BROKEN &&
                                         (v->kind != IMPORT_TENSOR || v->id || v->initializer));
    if (sound)
      continue;
    if (diags_errors(n->im->diags) == errors)
      import_fail(n, DIAG_E0902, "the importer gave no value for output %u", i);
    n->failed = true;
  }
}

static void run_importer(struct import_node *n, const char *domain) {
  const Onnx__FunctionProto *function = import_find_function(n->im, n->proto);
  const struct row *row = function ? NULL : find_row(n->im, domain, n->op, n->opset);
  bool sound = resolve_inputs(n);
  if (!row && !function) {
    report_unknown(n->im, n, domain);
    return;
  }
  if (!sound) {
    n->failed = true;
    return;
  }
  uint32_t errors = diags_errors(n->im->diags);
  if (function) {
    import_call_function(n, function);
  } else {
    n->arg = row->arg;
    row->function(n);
    if (!n->failed)
      check_attrs_read(n);
  }
  check_outputs(n, errors);
}

/* A value with a dim cannot be if the dim is negative. */
static void narrow_dims(struct import_node *n, const struct import_value *v) {
  if (v->kind != IMPORT_TENSOR || v->id == VALUE_NONE)
    return;
  const struct type *type = value_type(n->f, v->id);
  for (uint32_t i = 0; i < type->rank; i++)
    import_narrow_size(n, type->dims[i]);
}

/* So that expressions do not grow from node to node. */
static struct import_value *shorten_dims(struct import_node *n, struct import_value *v) {
  if (v->kind != IMPORT_TENSOR || v->id == VALUE_NONE)
    return v;
  struct type type = *value_type(n->f, v->id);
  bool any = false;
  for (uint32_t i = 0; i < type.rank; i++) {
    dim d = import_short_dim(n, type.dims[i]);
    any |= d != type.dims[i];
    type.dims[i] = d;
  }
  return any ? import_value_tensor(n, build_reshape(n->b, v->id, type.dims, type.rank)) : v;
}

static void define_outputs(struct import_node *n) {
  for (uint32_t i = 0; i < n->n_outputs; i++) {
    if (!import_wants(n, i))
      continue;
    struct import_value *v =
        n->failed || !n->outputs[i] ? import_value_new(n->im, IMPORT_BROKEN) : n->outputs[i];
    narrow_dims(n, v);
    import_scope_define(n->im, n->scope, n->proto->output[i], shorten_dims(n, v));
  }
}

static uint32_t provenance_of(struct import_node *n, const char *domain) {
  const char *op = domain[0] ? arena_printf(import_arena(n), "%s::%s", domain, n->op) : n->op;
  return module_add_provenance(n->im->module, n->proto->name, op, n->index);
}

/* What annotations may speak of: the tensors of a node of the main graph. */
static void record_tensors(struct import_node *n, uint32_t provenance) {
  const char *key = n->n_outputs ? module_intern(n->im->module, n->proto->output[0]) : NULL;
  if (n->scope->outer || n->scope->frame->function || n->failed || !key || !key[0])
    return;
  for (uint32_t i = 0; i < n->n_inputs + n->n_outputs; i++) {
    bool result = i >= n->n_inputs;
    uint32_t slot = result ? i - n->n_inputs : i;
    const struct import_value *v = result ? n->outputs[slot] : n->inputs[slot];
    if (!v || v->kind != IMPORT_TENSOR || v->id == VALUE_NONE)
      continue;
    const char *name = result ? n->proto->output[slot] : n->proto->input[slot];
    if (!name[0])
      continue;
    struct node_tensor t = {.provenance = provenance, .result = result, .slot = slot, .key = key};
    t.name = module_intern(n->im->module, name);
    t.type = *value_type(n->f, v->id);
    vec_push(&n->im->module->node_tensors, t);
  }
}

static void import_one(struct importer *im, struct import_scope *scope,
                       const Onnx__NodeProto *proto, int32_t index) {
  const char *domain = canonical_domain(proto->domain);
  struct import_node n = {.im = im,
                          .b = &im->builder,
                          .f = im->function,
                          .dims = im->module->dims,
                          .scope = scope,
                          .proto = proto,
                          .op = proto->op_type,
                          .opset = import_opset(im, scope->frame, domain),
                          .index = index,
                          .takes_strings = import_takes_strings(proto->op_type),
                          .n_inputs = (uint32_t)proto->n_input,
                          .n_outputs = (uint32_t)proto->n_output};
  while (n.n_inputs && !proto->input[n.n_inputs - 1][0])
    n.n_inputs--;
  while (n.n_outputs && !proto->output[n.n_outputs - 1][0])
    n.n_outputs--;
  n.inputs = ARENA_ARRAY(import_arena(&n), struct import_value *, n.n_inputs);
  n.outputs = ARENA_ARRAY(import_arena(&n), struct import_value *, n.n_outputs);
  uint32_t outer = im->builder.provenance;
  im->builder.provenance = provenance_of(&n, domain);
  uint32_t own = im->builder.provenance;
  run_importer(&n, domain);
  define_outputs(&n);
  im->builder.provenance = outer;
  record_tensors(&n, own);
}

bool import_nodes(struct importer *im, struct import_scope *scope, Onnx__NodeProto *const *nodes,
                  size_t n_nodes) {
  for (size_t i = 0; i < n_nodes && !scope->done; i++) {
    if (++im->nodes > IMPORT_MAX_NODES) {
      struct diag_where where = DIAG_NOWHERE;
      where.file = im->model->path;
      if (im->nodes == IMPORT_MAX_NODES + 1)
        diag_report(im->diags, DIAG_E0149, &where, NULL,
                    "the model has more than %d nodes when its functions are expanded",
                    IMPORT_MAX_NODES);
      return false;
    }
    scope->rest = nodes + i + 1;
    scope->n_rest = n_nodes - i - 1;
    import_one(im, scope, nodes[i], scope->first + (int32_t)i);
  }
  return true;
}

bool import_subgraph(struct import_node *n, const Onnx__GraphProto *graph, region_id region,
                     struct import_value *const *params, uint32_t n_params,
                     struct import_value **out_results) {
  struct importer *im = n->im;
  if (n_params != graph->n_input) {
    import_invalid(n, "its subgraph '%s' has %zu inputs where %u are passed", graph->name,
                   graph->n_input, n_params);
    return false;
  }
  if (im->depth >= IMPORT_MAX_DEPTH) {
    import_fail(n, DIAG_E0149, "graphs are nested more than %d deep", IMPORT_MAX_DEPTH);
    return false;
  }
  im->depth++;
  struct import_scope scope;
  region_id outer = n->b->region;
  n->b->region = region;
  import_scope_init(&scope, n->scope, n->scope->frame, region);
  scope.graph = graph;
  scope.inlined = n->inlines;
  for (uint32_t i = 0; i < n_params; i++)
    import_scope_define(im, &scope, graph->input[i]->name, params[i]);
  import_scope_initializers(im, &scope, graph);
  bool sound = import_nodes(im, &scope, graph->node, graph->n_node);
  n->fork = scope.fork;
  for (size_t i = 0; i < graph->n_output && !n->fork; i++) {
    struct import_value *v = import_scope_find(&scope, graph->output[i]->name);
    if (!v)
      import_fail(n, DIAG_E0114, "output '%s' of its subgraph is not defined",
                  graph->output[i]->name);
    else if (v->kind == IMPORT_TENSOR)
      import_materialize(im, v);
    out_results[i] = v;
    sound &= v && v->kind != IMPORT_BROKEN;
  }
  n->b->region = outer;
  n->failed |= !sound;
  import_scope_deinit(&scope);
  im->depth--;
  return sound;
}
