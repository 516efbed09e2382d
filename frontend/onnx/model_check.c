/* SPDX-License-Identifier: Apache-2.0 */
/* Versions, opset imports and local functions; the graphs are graph_check.c's. */
#include "frontend/onnx/model_check.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "frontend/onnx/graph_check.h"
#include "frontend/onnx/model_load.h"

/* "" and "ai.onnx" are one domain. */
static const char *domain_canonical(const char *domain) {
  return strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

static const char *domain_shown(const char *domain) { return *domain ? domain : "ai.onnx"; }

static struct diag_where where_of(const struct onnx_model *model) {
  return (struct diag_where){.file = model->path, .node_index = -1, .byte_offset = UINT64_MAX};
}

static void ir_version_check(struct onnx_model *model, struct diags *diags) {
  struct diag_where where = where_of(model);
  int64_t version = model->proto->ir_version;
  if (version <= 0) {
    diag_report(diags, DIAG_E0110, &where, "is this a model, and not a tensor or another protobuf?",
                "the model states no IR version");
  } else if (version > ONNX_IR_NEWEST) {
    diag_report(diags, DIAG_E0112, &where, "export the model for an older version of ONNX",
                "the model has IR version %" PRId64 ", and this compiler knows versions up to %d",
                version, ONNX_IR_NEWEST);
  }
}

static void opset_newest_check(struct onnx_model *model, const Onnx__OperatorSetIdProto *opset,
                               struct diags *diags) {
  const char *domain = domain_canonical(opset->domain);
  int64_t newest = *domain == 0                        ? ONNX_OPSET_NEWEST
                   : strcmp(domain, "ai.onnx.ml") == 0 ? ONNX_OPSET_ML_NEWEST
                                                       : INT64_MAX;
  if (opset->version <= newest)
    return;
  struct diag_where where = where_of(model);
  diag_report(diags, DIAG_E0112, &where, "export the model with an older opset",
              "the model imports opset %" PRId64
              " of '%s', and this compiler knows versions up to %" PRId64,
              opset->version, domain_shown(domain), newest);
}

/* `owner` is "the model" or "function 'f'". */
static void opsets_check(struct onnx_model *model, Onnx__OperatorSetIdProto **opsets, size_t n,
                         const char *owner, struct diags *diags) {
  struct diag_where where = where_of(model);
  struct strmap seen = {0};
  for (size_t i = 0; i < n; i++) {
    const char *domain = domain_canonical(opsets[i]->domain);
    uint64_t before;
    if (opsets[i]->version <= 0) {
      diag_report(diags, DIAG_E0111, &where, NULL, "%s imports opset %" PRId64 " of '%s'", owner,
                  opsets[i]->version, domain_shown(domain));
    } else if (strmap_get_c(&seen, domain, &before) && before != (uint64_t)opsets[i]->version) {
      diag_report(diags, DIAG_E0111, &where, NULL,
                  "%s imports two versions of '%s': %" PRIu64 " and %" PRId64, owner,
                  domain_shown(domain), before, opsets[i]->version);
    } else {
      strmap_put_c(&seen, domain, (uint64_t)opsets[i]->version);
      opset_newest_check(model, opsets[i], diags);
    }
  }
  strmap_deinit(&seen);
}

/* ---- Functions ---- */

static void function_key(const char *domain, const char *name, const char *overload,
                         struct strbuf *out) {
  strbuf_clear(out);
  strbuf_printf(out, "%s\n%s\n%s", domain_canonical(domain), name, overload);
}

struct call_edge {
  uint32_t from, to;
};

struct function_graph {
  struct strmap index; /* key → function */
  VEC(struct call_edge) calls;
  struct strbuf key;
};

static void calls_collect(struct function_graph *g, uint32_t from, Onnx__NodeProto **nodes,
                          size_t n);

static void calls_collect_graph(struct function_graph *g, uint32_t from,
                                const Onnx__GraphProto *graph) {
  calls_collect(g, from, graph->node, graph->n_node);
}

/* Recurses into subgraphs, which the wire scan keeps shallow. */
static void calls_collect(struct function_graph *g, uint32_t from, Onnx__NodeProto **nodes,
                          size_t n) {
  for (size_t i = 0; i < n; i++) {
    const Onnx__NodeProto *node = nodes[i];
    uint64_t to;
    function_key(node->domain, node->op_type, node->overload, &g->key);
    if (strmap_get(&g->index, g->key.data, g->key.len, &to)) {
      vec_push(&g->calls, ((struct call_edge){from, (uint32_t)to}));
    }
    for (size_t a = 0; a < node->n_attribute; a++) {
      const Onnx__AttributeProto *attribute = node->attribute[a];
      if (attribute->g)
        calls_collect_graph(g, from, attribute->g);
      for (size_t k = 0; k < attribute->n_graphs; k++)
        calls_collect_graph(g, from, attribute->graphs[k]);
    }
  }
}

static void functions_recursion_check(struct onnx_model *model, struct function_graph *g,
                                      struct diags *diags) {
  const Onnx__ModelProto *proto = model->proto;
  uint32_t n = (uint32_t)proto->n_functions;
  struct topo topo;
  topo_init(&topo, n);
  for (uint32_t i = 0; i < g->calls.len; i++)
    topo_edge(&topo, g->calls.data[i].to, g->calls.data[i].from);
  uint32_t culprit;
  if (!topo_sort(&topo, &culprit)) {
    struct diag_where where = where_of(model);
    diag_report(diags, DIAG_E0120, &where, NULL,
                "function '%s' calls itself, directly or through others",
                proto->functions[culprit]->name);
  }
  topo_deinit(&topo);
}

static void functions_check(struct onnx_model *model, struct diags *diags) {
  const Onnx__ModelProto *proto = model->proto;
  struct diag_where where = where_of(model);
  struct function_graph g = {0};
  for (size_t i = 0; i < proto->n_functions; i++) {
    const Onnx__FunctionProto *f = proto->functions[i];
    strmap_put_c(&model->known_domains, domain_canonical(f->domain), 1);
    if (!*f->name) {
      diag_report(diags, DIAG_E0120, &where, NULL, "function %zu of the model has no name", i);
      continue;
    }
    function_key(f->domain, f->name, f->overload, &g.key);
    if (strmap_get(&g.index, g.key.data, g.key.len, NULL)) {
      diag_report(diags, DIAG_E0120, &where, NULL, "function '%s' of domain '%s' is defined twice",
                  f->name, f->domain);
    } else {
      strmap_put(&g.index, g.key.data, g.key.len, i);
    }
  }
  struct strbuf owner = {0};
  for (size_t i = 0; i < proto->n_functions; i++) {
    const Onnx__FunctionProto *f = proto->functions[i];
    strbuf_clear(&owner);
    strbuf_printf(&owner, "function '%s'", f->name);
    opsets_check(model, f->opset_import, f->n_opset_import, strbuf_c(&owner), diags);
    calls_collect(&g, (uint32_t)i, f->node, f->n_node);
    onnx_function_check(model, f, diags);
  }
  functions_recursion_check(model, &g, diags);
  strbuf_deinit(&owner);
  strbuf_deinit(&g.key);
  strmap_deinit(&g.index);
  vec_deinit(&g.calls);
}

void onnx_model_check(struct onnx_model *model, struct diags *diags) {
  const Onnx__ModelProto *proto = model->proto;
  struct diag_where where = where_of(model);
  ir_version_check(model, diags);
  if (!proto->graph) {
    diag_report(diags, DIAG_E0121, &where, "is this a model, and not a tensor or another protobuf?",
                "the model has no graph");
    return;
  }
  if (proto->n_opset_import == 0 && proto->ir_version >= 3) {
    diag_report(diags, DIAG_E0111, &where, NULL, "the model imports no opset");
    strmap_put_c(&model->known_domains, "", 1); /* said once is enough */
  }
  opsets_check(model, proto->opset_import, proto->n_opset_import, "the model", diags);
  if (proto->n_training_info > 0) {
    diag_report(diags, DIAG_W0103, &where, NULL, "the model's training graphs are ignored");
  }
  functions_check(model, diags);
  onnx_graph_check(model, proto->graph, diags);
}

int64_t onnx_model_opset(const struct onnx_model *model, const char *domain) {
  const Onnx__ModelProto *proto = model->proto;
  for (size_t i = 0; i < proto->n_opset_import; i++) {
    const Onnx__OperatorSetIdProto *o = proto->opset_import[i];
    if (strcmp(domain_canonical(o->domain), domain_canonical(domain)) == 0)
      return o->version;
  }
  return 0;
}
