/* SPDX-License-Identifier: Apache-2.0 */
/* One scope per graph: all definitions are entered first, then uses are looked up from the inside
 * out. A use inside a subgraph makes the node that owns the subgraph depend on the definition. */
#include "frontend/onnx/graph_check.h"

#include <inttypes.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "frontend/onnx/model_load.h"

enum { NO_NODE = -1 };

/* A named value of a scope. */
struct definition {
  int32_t node;     /* that computes it; NO_NODE: an input or initializer */
  int32_t consumer; /* the first node that reads it; NO_NODE so far */
  bool initializer;
};

struct scope {
  struct scope *outer;
  Onnx__NodeProto **nodes;
  size_t n_nodes;
  Onnx__OperatorSetIdProto **opsets;
  size_t n_opsets;
  struct strmap names; /* → index into definitions */
  VEC(struct definition) definitions;
  struct topo topo;
  int32_t current; /* the node whose uses are being looked up */
  bool out_of_order;
};

struct checker {
  struct onnx_model *model;
  struct diags *diags;
  struct strbuf text;
};

static struct diag_where where_node(const struct checker *c, const struct scope *s, int32_t index) {
  struct diag_where where = {.file = c->model->path, .node_index = -1, .byte_offset = UINT64_MAX};
  if (index != NO_NODE) {
    where.node_index = index;
    where.node = s->nodes[index]->name;
    where.op = s->nodes[index]->op_type;
  }
  return where;
}

/* ---- Definitions ---- */

static struct definition *definition_find(struct scope *s, const char *name) {
  uint64_t index;
  return strmap_get_c(&s->names, name, &index) ? &s->definitions.data[index] : NULL;
}

static void define(struct checker *c, struct scope *s, const char *name, struct definition d,
                   const char *what) {
  struct diag_where where = where_node(c, s, d.node);
  struct definition *before = definition_find(s, name);
  if (!*name) {
    diag_report(c->diags, DIAG_E0113, &where, NULL, "%s has no name", what);
  } else if (!before) {
    strmap_put_c(&s->names, name, s->definitions.len);
    vec_push(&s->definitions, d);
  } else if (d.initializer && before->node == NO_NODE && !before->initializer) {
    before->initializer = true; /* the default of an input */
  } else {
    diag_report(c->diags, DIAG_E0113, &where, NULL, "%s '%s' has a name that is defined already",
                what, name);
  }
}

static const char *sparse_name(const Onnx__SparseTensorProto *sparse) {
  return sparse->values ? sparse->values->name : "";
}

static void define_node_outputs(struct checker *c, struct scope *s) {
  for (size_t i = 0; i < s->n_nodes; i++) {
    const Onnx__NodeProto *node = s->nodes[i];
    for (size_t k = 0; k < node->n_output; k++) {
      if (!*node->output[k])
        continue; /* an output that nobody wants */
      define(c, s, node->output[k], (struct definition){(int32_t)i, NO_NODE, false}, "node output");
    }
  }
}

static void define_graph(struct checker *c, struct scope *s, const Onnx__GraphProto *g) {
  const struct definition input = {NO_NODE, NO_NODE, false}, initializer = {NO_NODE, NO_NODE, true};
  for (size_t i = 0; i < g->n_input; i++)
    define(c, s, g->input[i]->name, input, "graph input");
  for (size_t i = 0; i < g->n_initializer; i++) {
    define(c, s, g->initializer[i]->name, initializer, "initializer");
  }
  for (size_t i = 0; i < g->n_sparse_initializer; i++) {
    define(c, s, sparse_name(g->sparse_initializer[i]), initializer, "sparse initializer");
  }
  define_node_outputs(c, s);
}

/* ---- Uses ---- */

/* Looks `name` up from scope `s` outwards and notes the dependency. */
static bool use(struct scope *s, const char *name) {
  for (; s; s = s->outer) {
    struct definition *d = definition_find(s, name);
    if (!d)
      continue;
    if (d->consumer == NO_NODE)
      d->consumer = s->current;
    if (d->node == NO_NODE || s->current == NO_NODE)
      return true;
    topo_edge(&s->topo, (uint32_t)d->node, (uint32_t)s->current);
    if (d->node >= s->current)
      s->out_of_order = true;
    return true;
  }
  return false;
}

static void graph_check(struct checker *c, struct scope *outer, Onnx__GraphProto *graph);

/* ---- Attributes ---- */

static Onnx__AttributeProto__AttributeType attribute_type_of_value(const Onnx__AttributeProto *a) {
  if (a->g)
    return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
  if (a->t)
    return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
  if (a->sparse_tensor)
    return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSOR;
  if (a->tp)
    return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTO;
  if (a->n_ints)
    return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
  if (a->n_floats)
    return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
  if (a->n_strings)
    return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS;
  if (a->n_tensors)
    return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSORS;
  if (a->n_graphs)
    return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPHS;
  if (a->s.len)
    return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
  if (a->f != 0)
    return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
  return ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
}

/* Whether the message that the type promises is there. */
static bool attribute_complete(const Onnx__AttributeProto *a) {
  switch (a->type) {
  case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR: return a->t != NULL;
  case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH: return a->g != NULL;
  case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSOR: return a->sparse_tensor != NULL;
  case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTO: return a->tp != NULL;
  default: return a->type > 0 && a->type <= ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTOS;
  }
}

static void attribute_tensor_check(struct checker *c, const Onnx__AttributeProto *a,
                                   const Onnx__TensorProto *tensor,
                                   const struct diag_where *where) {
  struct onnx_tensor ignored;
  strbuf_clear(&c->text);
  strbuf_printf(&c->text, "the tensor of attribute '%s'", a->name);
  onnx_tensor_resolve_at(c->model, tensor, strbuf_c(&c->text), where, c->diags, &ignored);
}

static void attribute_tensors_check(struct checker *c, const Onnx__AttributeProto *a,
                                    const struct diag_where *where) {
  struct onnx_tensor ignored;
  if (a->t)
    attribute_tensor_check(c, a, a->t, where);
  for (size_t i = 0; i < a->n_tensors; i++)
    attribute_tensor_check(c, a, a->tensors[i], where);
  if (a->sparse_tensor)
    onnx_sparse_resolve(c->model, a->sparse_tensor, where, c->diags, &ignored);
  for (size_t i = 0; i < a->n_sparse_tensors; i++) {
    onnx_sparse_resolve(c->model, a->sparse_tensors[i], where, c->diags, &ignored);
  }
}

static void attributes_check(struct checker *c, struct scope *s, Onnx__NodeProto *node,
                             const struct diag_where *where) {
  struct strmap seen = {0};
  for (size_t i = 0; i < node->n_attribute; i++) {
    Onnx__AttributeProto *a = node->attribute[i];
    if (!*a->name) {
      diag_report(c->diags, DIAG_E0113, where, NULL, "attribute %zu has no name", i);
    } else if (strmap_get_c(&seen, a->name, NULL)) {
      diag_report(c->diags, DIAG_E0113, where, NULL, "attribute '%s' is given twice", a->name);
    }
    strmap_put_c(&seen, a->name, 1);
    if (a->type == 0)
      a->type = attribute_type_of_value(a);
    if (!*a->ref_attr_name && !attribute_complete(a)) {
      diag_report(c->diags, DIAG_E0121, where, NULL, "attribute '%s' of type %d has no such value",
                  a->name, (int)a->type);
    }
    attribute_tensors_check(c, a, where);
    if (a->g)
      graph_check(c, s, a->g);
    for (size_t k = 0; k < a->n_graphs; k++)
      graph_check(c, s, a->graphs[k]);
  }
  strmap_deinit(&seen);
}

/* ---- Nodes ---- */

static bool domain_same(const char *a, const char *b) {
  bool a_default = !*a || strcmp(a, "ai.onnx") == 0, b_default = !*b || strcmp(b, "ai.onnx") == 0;
  return a_default || b_default ? a_default == b_default : strcmp(a, b) == 0;
}

static bool domain_imported(const struct checker *c, const struct scope *s, const char *domain) {
  for (size_t i = 0; i < s->n_opsets; i++) {
    if (domain_same(s->opsets[i]->domain, domain))
      return true;
  }
  const Onnx__ModelProto *proto = c->model->proto;
  if (proto->ir_version < 3 && domain_same(domain, ""))
    return true;
  return strmap_get_c(&c->model->known_domains, domain_same(domain, "") ? "" : domain, NULL);
}

static void node_check(struct checker *c, struct scope *s, int32_t index) {
  Onnx__NodeProto *node = s->nodes[index];
  struct diag_where where = where_node(c, s, index);
  s->current = index;
  if (!*node->op_type)
    diag_report(c->diags, DIAG_E0121, &where, NULL, "the node names no operator");
  if (!domain_imported(c, s, node->domain)) {
    diag_report(c->diags, DIAG_E0111, &where, NULL,
                "no opset of the node's domain '%s' is imported",
                *node->domain ? node->domain : "ai.onnx");
    strmap_put_c(&c->model->known_domains, node->domain, 1);
  }
  for (size_t i = 0; i < node->n_input; i++) {
    if (*node->input[i] && !use(s, node->input[i])) {
      diag_report(c->diags, DIAG_E0114, &where, NULL, "input %zu, '%s', is defined nowhere", i,
                  node->input[i]);
    }
  }
  attributes_check(c, s, node, &where);
  s->current = NO_NODE;
}

static void nodes_sort(struct checker *c, struct scope *s) {
  uint32_t culprit;
  if (!topo_sort(&s->topo, &culprit)) {
    struct diag_where where = where_node(c, s, (int32_t)culprit);
    diag_report(c->diags, DIAG_E0115, &where, NULL,
                "the node needs its own result, directly or through others");
    return;
  }
  struct diag_where where = where_node(c, s, NO_NODE);
  diag_report(c->diags, DIAG_W0102, &where, NULL,
              "the graph's nodes are out of order and were sorted");
  Onnx__NodeProto **sorted = mem_calloc(s->n_nodes, sizeof *sorted);
  for (size_t i = 0; i < s->n_nodes; i++)
    sorted[i] = s->nodes[s->topo.order[i]];
  memcpy(s->nodes, sorted, s->n_nodes * sizeof *sorted);
  mem_free(sorted);
}

static void nodes_check(struct checker *c, struct scope *s) {
  for (size_t i = 0; i < s->n_nodes; i++)
    node_check(c, s, (int32_t)i);
}

/* ---- Graphs ---- */

static void initializers_check(struct checker *c, struct scope *s, const Onnx__GraphProto *g) {
  struct onnx_tensor ignored;
  for (size_t i = 0; i < g->n_initializer; i++) {
    const Onnx__TensorProto *t = g->initializer[i];
    const struct definition *d = definition_find(s, t->name);
    struct diag_where where = where_node(c, s, d ? d->consumer : NO_NODE);
    strbuf_clear(&c->text);
    strbuf_printf(&c->text, "initializer '%s'", t->name);
    onnx_tensor_resolve_at(c->model, t, strbuf_c(&c->text), &where, c->diags, &ignored);
  }
  for (size_t i = 0; i < g->n_sparse_initializer; i++) {
    const struct definition *d = definition_find(s, sparse_name(g->sparse_initializer[i]));
    struct diag_where where = where_node(c, s, d ? d->consumer : NO_NODE);
    onnx_sparse_resolve(c->model, g->sparse_initializer[i], &where, c->diags, &ignored);
  }
}

static void scope_init(struct scope *s, struct scope *outer, Onnx__NodeProto **nodes,
                       size_t n_nodes) {
  *s = (struct scope){.outer = outer, .nodes = nodes, .n_nodes = n_nodes, .current = NO_NODE};
  strmap_init(&s->names);
  topo_init(&s->topo, (uint32_t)n_nodes);
}

static void scope_deinit(struct scope *s) {
  strmap_deinit(&s->names);
  vec_deinit(&s->definitions);
  topo_deinit(&s->topo);
}

/* Recursion is as deep as graphs nest: the wire scan allows 100 messages, three per level. */
static void graph_check(struct checker *c, struct scope *outer, Onnx__GraphProto *graph) {
  struct scope s;
  scope_init(&s, outer, graph->node, graph->n_node);
  s.opsets = outer ? outer->opsets : c->model->proto->opset_import;
  s.n_opsets = outer ? outer->n_opsets : c->model->proto->n_opset_import;
  define_graph(c, &s, graph);
  nodes_check(c, &s);
  struct diag_where where = where_node(c, &s, NO_NODE);
  for (size_t i = 0; i < graph->n_output; i++) {
    const char *name = graph->output[i]->name;
    if (!*name) {
      diag_report(c->diags, DIAG_E0113, &where, NULL, "graph output %zu has no name", i);
    } else if (!use(&s, name)) {
      diag_report(c->diags, DIAG_E0114, &where, NULL, "graph output '%s' is defined nowhere", name);
    }
  }
  initializers_check(c, &s, graph);
  if (s.out_of_order)
    nodes_sort(c, &s);
  scope_deinit(&s);
}

void onnx_graph_check(struct onnx_model *model, Onnx__GraphProto *graph, struct diags *diags) {
  struct checker c = {.model = model, .diags = diags};
  graph_check(&c, NULL, graph);
  strbuf_deinit(&c.text);
}

void onnx_function_check(struct onnx_model *model, const Onnx__FunctionProto *f,
                         struct diags *diags) {
  struct checker c = {.model = model, .diags = diags};
  struct scope s;
  scope_init(&s, NULL, f->node, f->n_node);
  s.opsets = f->opset_import;
  s.n_opsets = f->n_opset_import;
  for (size_t i = 0; i < f->n_input; i++) {
    define(&c, &s, f->input[i], (struct definition){NO_NODE, NO_NODE, false}, "function input");
  }
  define_node_outputs(&c, &s);
  nodes_check(&c, &s);
  struct diag_where where = where_node(&c, &s, NO_NODE);
  for (size_t i = 0; i < f->n_output; i++) {
    if (!use(&s, f->output[i])) {
      diag_report(diags, DIAG_E0114, &where, NULL,
                  "output '%s' of function '%s' is defined nowhere", f->output[i], f->name);
    }
  }
  if (s.out_of_order)
    nodes_sort(&c, &s);
  scope_deinit(&s);
  strbuf_deinit(&c.text);
}
