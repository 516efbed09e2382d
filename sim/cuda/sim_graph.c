/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: nodes of operations with dependencies, and what was instantiated of them: a list in an
 * order that respects them, submitted to one stream per launch. */
#include "sim/cuda/sim_driver.h"

struct exec_node {
  struct op *op;
  const struct sim_graph_node *source;
  bool disabled;
};
struct sim_graph_exec {
  VEC(struct exec_node) nodes;
  uint64_t flags;
  struct sim_graph objects; /* a graph of no nodes that keeps those of the source */
};
static uint64_t graph_ids;

struct sim_graph *graph_create(void) {
  struct sim_graph *g = mem_calloc(1, sizeof *g);
  g->id = __atomic_add_fetch(&graph_ids, 1, __ATOMIC_RELAXED);
  return g;
}
static void node_destroy(struct sim_graph_node *n) {
  op_release(n->op);
  vec_deinit(&n->dependencies);
  mem_free(n);
}
void graph_destroy(struct sim_graph *g) {
  if (!g)
    return;
  for (uint32_t k = 0; k < g->nodes.len; k++)
    node_destroy(g->nodes.data[k]);
  vec_deinit(&g->nodes);
  vec_deinit(&g->streams);
  user_objects_release(g);
  mem_free(g);
}

struct sim_graph_node *graph_add(struct sim_graph *g, struct op *o,
                                 struct sim_graph_node *const *dependencies, size_t count) {
  struct sim_graph_node *n = mem_calloc(1, sizeof *n);
  n->graph = g;
  n->op = o;
  for (size_t k = 0; k < count; k++)
    vec_push(&n->dependencies, dependencies[k]);
  vec_push(&g->nodes, n);
  return n;
}

/* Nodes in an order that respects dependencies; false if there is a cycle. */
static bool visit(struct sim_graph_node *n, struct sim_graph_node **out, uint32_t *count) {
  if (n->mark)
    return n->mark == 2;
  n->mark = 1;
  for (uint32_t k = 0; k < n->dependencies.len; k++)
    if (!visit(n->dependencies.data[k], out, count))
      return false;
  n->mark = 2;
  out[(*count)++] = n;
  return true;
}
static bool sorted(struct sim_graph *g, struct sim_graph_node **out) {
  uint32_t count = 0;
  bool good = true;
  for (uint32_t k = 0; k < g->nodes.len; k++)
    g->nodes.data[k]->mark = 0;
  for (uint32_t k = 0; k < g->nodes.len && good; k++)
    good = visit(g->nodes.data[k], out, &count);
  return good;
}

static bool flatten(struct sim_graph *g, struct sim_graph_exec *e) {
  struct sim_graph_node **order = mem_alloc((g->nodes.len + 1) * sizeof *order);
  bool good = sorted(g, order);
  for (uint32_t k = 0; k < g->nodes.len && good; k++) {
    struct op *o = order[k]->op;
    if (o->kind == OP_CHILD)
      good = flatten(o->child, e);
    op_retain(o);
    vec_push(&e->nodes, ((struct exec_node){o, order[k], false}));
  }
  mem_free(order);
  return good;
}

/* Interface. */

DECLARE(cuGraphCreate, (CUgraph * graph, unsigned flags)) {
  NEED(graph && !flags);
  *graph = graph_create();
  return CUDA_SUCCESS;
}
DECLARE(cuGraphDestroy, (CUgraph graph)) {
  NEED(graph);
  graph_destroy(graph);
  return CUDA_SUCCESS;
}

CUresult graph_add_op(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                      size_t count, struct op *o) {
  bool good = node && graph && (dependencies || !count) && count < 1 << 20;
  for (size_t k = 0; good && k < count; k++)
    good = dependencies[k] && dependencies[k]->graph == graph;
  if (!good) {
    op_release(o);
    return CUDA_ERROR_INVALID_VALUE;
  }
  *node = graph_add(graph, o, dependencies, count);
  return CUDA_SUCCESS;
}

CUresult op_of_kernel_node(const CUDA_KERNEL_NODE_PARAMS *p, struct op **out) {
  NEED(p);
  CUlaunchConfig c = {.shared_bytes = p->shared_bytes};
  memcpy(c.grid, p->grid, sizeof c.grid);
  memcpy(c.block, p->block, sizeof c.block);
  return op_of_launch(&c, p->function ? p->function : p->kernel, p->params, p->extra, out);
}
CUresult op_of_set_node(const CUDA_MEMSET_NODE_PARAMS *p, struct op **out) {
  NEED(p);
  return op_of_set(p->to, p->pitch, p->value, p->element, p->width, p->height, out);
}
CUresult op_of_copy_node(const CUDA_MEMCPY3D *p, struct op **out) {
  NEED_CONTEXT();
  NEED(p);
  return op_of_copy(p, out);
}
CUresult op_of_host_node(const CUDA_HOST_NODE_PARAMS *p, struct op **out) {
  NEED_CONTEXT();
  NEED(p && p->fn);
  *out = op_create(OP_HOST, current);
  (*out)->host = *p;
  return CUDA_SUCCESS;
}

#define ADD(name, Params, make)                                                                    \
  DECLARE(name, (CUgraphNode * node, CUgraph graph, const CUgraphNode *dependencies, size_t count, \
                 const Params *params)) {                                                          \
    struct op *o = NULL;                                                                           \
    CUresult r = make(params, &o);                                                                 \
    return r ? r : graph_add_op(node, graph, dependencies, count, o);                              \
  }
ADD(cuGraphAddKernelNode_v2, CUDA_KERNEL_NODE_PARAMS, op_of_kernel_node)
ADD(cuGraphAddHostNode, CUDA_HOST_NODE_PARAMS, op_of_host_node)
DECLARE(cuGraphAddMemcpyNode, (CUgraphNode * node, CUgraph graph, const CUgraphNode *dependencies,
                               size_t count, const CUDA_MEMCPY3D *params, CUcontext context)) {
  struct op *o = NULL;
  (void)context;
  CUresult r = op_of_copy_node(params, &o);
  return r ? r : graph_add_op(node, graph, dependencies, count, o);
}
DECLARE(cuGraphAddMemsetNode,
        (CUgraphNode * node, CUgraph graph, const CUgraphNode *dependencies, size_t count,
         const CUDA_MEMSET_NODE_PARAMS *params, CUcontext context)) {
  struct op *o = NULL;
  (void)context;
  CUresult r = op_of_set_node(params, &o);
  return r ? r : graph_add_op(node, graph, dependencies, count, o);
}
DECLARE(cuGraphAddEmptyNode,
        (CUgraphNode * node, CUgraph graph, const CUgraphNode *dependencies, size_t count)) {
  NEED_CONTEXT();
  return graph_add_op(node, graph, dependencies, count, op_create(OP_EMPTY, current));
}

static struct sim_graph *graph_clone(const struct sim_graph *g) {
  struct sim_graph *c = graph_create();
  for (uint32_t k = 0; k < g->nodes.len; k++) {
    op_retain(g->nodes.data[k]->op);
    graph_add(c, g->nodes.data[k]->op, NULL, 0);
  }
  for (uint32_t k = 0; k < g->nodes.len; k++)
    for (uint32_t d = 0; d < g->nodes.data[k]->dependencies.len; d++)
      for (uint32_t n = 0; n < g->nodes.len; n++)
        if (g->nodes.data[n] == g->nodes.data[k]->dependencies.data[d])
          vec_push(&c->nodes.data[k]->dependencies, c->nodes.data[n]);
  user_objects_share(g, c);
  return c;
}
DECLARE(cuGraphClone, (CUgraph * clone, CUgraph graph)) {
  NEED(clone && graph);
  *clone = graph_clone(graph);
  return CUDA_SUCCESS;
}
DECLARE(cuGraphNodeFindInClone, (CUgraphNode * node, CUgraphNode original, CUgraph clone)) {
  NEED(node && original && clone);
  struct sim_graph *g = original->graph;
  for (uint32_t k = 0; k < g->nodes.len && k < clone->nodes.len; k++)
    if (g->nodes.data[k] == original) {
      *node = clone->nodes.data[k];
      return CUDA_SUCCESS;
    }
  return CUDA_ERROR_INVALID_VALUE;
}
CUresult op_of_child_node(CUgraph child, struct op **out) {
  NEED_CONTEXT();
  NEED(child);
  *out = op_create(OP_CHILD, current);
  (*out)->child = graph_clone(child);
  return CUDA_SUCCESS;
}
DECLARE(cuGraphAddChildGraphNode, (CUgraphNode * node, CUgraph graph,
                                   const CUgraphNode *dependencies, size_t count, CUgraph child)) {
  struct op *o = NULL;
  CUresult r = op_of_child_node(child, &o);
  return r ? r : graph_add_op(node, graph, dependencies, count, o);
}
DECLARE(cuGraphChildGraphNodeGetGraph, (CUgraphNode node, CUgraph *graph)) {
  NEED(node && graph && node->op->kind == OP_CHILD);
  *graph = node->op->child;
  return CUDA_SUCCESS;
}
CUresult op_of_event_node(CUevent event, enum op_kind kind, struct op **out) {
  NEED_CONTEXT();
  NEED(event);
  *out = op_create(kind, current);
  (*out)->event = event;
  return CUDA_SUCCESS;
}
static CUresult event_node(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                           size_t count, CUevent event, enum op_kind kind) {
  struct op *o = NULL;
  CUresult r = op_of_event_node(event, kind, &o);
  return r ? r : graph_add_op(node, graph, dependencies, count, o);
}
DECLARE(cuGraphAddEventRecordNode, (CUgraphNode * node, CUgraph graph,
                                    const CUgraphNode *dependencies, size_t count, CUevent event)) {
  return event_node(node, graph, dependencies, count, event, OP_RECORD);
}
DECLARE(cuGraphAddEventWaitNode, (CUgraphNode * node, CUgraph graph,
                                  const CUgraphNode *dependencies, size_t count, CUevent event)) {
  return event_node(node, graph, dependencies, count, event, OP_WAIT);
}

/* Looking at graphs. */

DECLARE(cuGraphNodeGetType, (CUgraphNode node, int *type)) {
  NEED(node && type);
  enum op_kind k = node->op->kind;
  *type = k == OP_CUSTOM ? OP_KERNEL : k == OP_WAIT_VALUE ? OP_WRITE_VALUE : (int)k;
  return CUDA_SUCCESS;
}
static CUresult give(CUgraphNode *out, size_t *count, CUgraphNode const *from, size_t n) {
  NEED(count);
  for (size_t k = 0; out && k < *count; k++)
    out[k] = k < n ? from[k] : NULL;
  *count = out && *count < n ? *count : n;
  return CUDA_SUCCESS;
}
DECLARE(cuGraphGetNodes, (CUgraph graph, CUgraphNode *nodes, size_t *count)) {
  NEED(graph);
  return give(nodes, count, graph->nodes.data, graph->nodes.len);
}
DECLARE(cuGraphGetRootNodes, (CUgraph graph, CUgraphNode *nodes, size_t *count)) {
  NEED(graph && count);
  VEC(CUgraphNode) roots = {0};
  for (uint32_t k = 0; k < graph->nodes.len; k++)
    if (!graph->nodes.data[k]->dependencies.len)
      vec_push(&roots, graph->nodes.data[k]);
  CUresult r = give(nodes, count, roots.data, roots.len);
  vec_deinit(&roots);
  return r;
}
DECLARE(cuGraphNodeGetDependencies, (CUgraphNode node, CUgraphNode *out, size_t *count)) {
  NEED(node);
  return give(out, count, node->dependencies.data, node->dependencies.len);
}
DECLARE(cuGraphNodeGetDependentNodes, (CUgraphNode node, CUgraphNode *out, size_t *count)) {
  NEED(node && count);
  VEC(CUgraphNode) found = {0};
  for (uint32_t k = 0; k < node->graph->nodes.len; k++)
    for (uint32_t d = 0; d < node->graph->nodes.data[k]->dependencies.len; d++)
      if (node->graph->nodes.data[k]->dependencies.data[d] == node)
        vec_push(&found, node->graph->nodes.data[k]);
  CUresult r = give(out, count, found.data, found.len);
  vec_deinit(&found);
  return r;
}
DECLARE(cuGraphGetEdges, (CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *count)) {
  NEED(graph && count);
  size_t n = 0;
  for (uint32_t k = 0; k < graph->nodes.len; k++)
    for (uint32_t d = 0; d < graph->nodes.data[k]->dependencies.len; d++, n++)
      if (from && to && n < *count) {
        from[n] = graph->nodes.data[k]->dependencies.data[d];
        to[n] = graph->nodes.data[k];
      }
  *count = from && *count < n ? *count : n;
  return CUDA_SUCCESS;
}
DECLARE(cuGraphAddDependencies,
        (CUgraph graph, const CUgraphNode *from, const CUgraphNode *to, size_t count)) {
  NEED(graph && (count == 0 || (from && to)));
  for (size_t k = 0; k < count; k++) {
    NEED(from[k] && to[k] && from[k]->graph == graph && to[k]->graph == graph && from[k] != to[k]);
    vec_push(&to[k]->dependencies, from[k]);
  }
  return CUDA_SUCCESS;
}
static bool drop(struct sim_graph_node *n, const struct sim_graph_node *dependency) {
  for (uint32_t d = 0; d < n->dependencies.len; d++)
    if (n->dependencies.data[d] == dependency) {
      n->dependencies.data[d] = vec_last(&n->dependencies);
      (void)vec_pop(&n->dependencies);
      return true;
    }
  return false;
}
DECLARE(cuGraphRemoveDependencies,
        (CUgraph graph, const CUgraphNode *from, const CUgraphNode *to, size_t count)) {
  NEED(graph && (count == 0 || (from && to)));
  for (size_t k = 0; k < count; k++)
    NEED(to[k] && drop(to[k], from[k]));
  return CUDA_SUCCESS;
}
DECLARE(cuGraphDestroyNode, (CUgraphNode node)) {
  NEED(node);
  struct sim_graph *g = node->graph;
  uint32_t at = 0;
  for (uint32_t k = 0; k < g->nodes.len; k++) {
    at = g->nodes.data[k] == node ? k : at;
    while (drop(g->nodes.data[k], node)) {
    }
  }
  memmove(g->nodes.data + at, g->nodes.data + at + 1,
          (g->nodes.len - at - 1) * sizeof *g->nodes.data);
  g->nodes.len--;
  node_destroy(node);
  return CUDA_SUCCESS;
}

/* Parameters of nodes. */

CUresult op_exchange(struct op **slot, struct op *made) {
  if ((*slot)->kind != made->kind) {
    op_release(made);
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (made->kind == OP_KERNEL) { /* attributes stay */
    memcpy(made->kernel.cluster, (*slot)->kernel.cluster, sizeof made->kernel.cluster);
    made->kernel.cooperative = (*slot)->kernel.cooperative;
  }
  op_release(*slot);
  *slot = made;
  return CUDA_SUCCESS;
}
static struct exec_node *find(CUgraphExec e, CUgraphNode node) {
  for (uint32_t k = 0; e && k < e->nodes.len; k++)
    if (e->nodes.data[k].source == node)
      return &e->nodes.data[k];
  return NULL;
}
struct op **graph_exec_op(CUgraphExec e, CUgraphNode node) {
  struct exec_node *x = find(e, node);
  return x ? &x->op : NULL;
}
#define SETTERS(node_name, Params, make)                                                           \
  DECLARE(node_name, (CUgraphNode node, const Params *params)) {                                   \
    struct op *o = NULL;                                                                           \
    NEED(node);                                                                                    \
    CUresult r = make(params, &o);                                                                 \
    return r ? r : op_exchange(&node->op, o);                                                      \
  }                                                                                                \
  static CUresult set_##node_name(CUgraphExec e, CUgraphNode node, const Params *params) {         \
    struct op *o = NULL;                                                                           \
    struct exec_node *x = find(e, node);                                                           \
    NEED(x);                                                                                       \
    CUresult r = make(params, &o);                                                                 \
    return r ? r : op_exchange(&x->op, o);                                                         \
  }
SETTERS(cuGraphKernelNodeSetParams_v2, CUDA_KERNEL_NODE_PARAMS, op_of_kernel_node)
SETTERS(cuGraphMemcpyNodeSetParams, CUDA_MEMCPY3D, op_of_copy_node)
SETTERS(cuGraphMemsetNodeSetParams, CUDA_MEMSET_NODE_PARAMS, op_of_set_node)
SETTERS(cuGraphHostNodeSetParams, CUDA_HOST_NODE_PARAMS, op_of_host_node)
DECLARE(cuGraphExecKernelNodeSetParams_v2,
        (CUgraphExec e, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *params)) {
  return set_cuGraphKernelNodeSetParams_v2(e, node, params);
}
DECLARE(cuGraphExecMemcpyNodeSetParams,
        (CUgraphExec e, CUgraphNode node, const CUDA_MEMCPY3D *params, CUcontext context)) {
  (void)context;
  return set_cuGraphMemcpyNodeSetParams(e, node, params);
}
DECLARE(cuGraphExecMemsetNodeSetParams,
        (CUgraphExec e, CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS *params,
         CUcontext context)) {
  (void)context;
  return set_cuGraphMemsetNodeSetParams(e, node, params);
}
DECLARE(cuGraphExecHostNodeSetParams,
        (CUgraphExec e, CUgraphNode node, const CUDA_HOST_NODE_PARAMS *params)) {
  return set_cuGraphHostNodeSetParams(e, node, params);
}
DECLARE(cuGraphMemcpyNodeGetParams, (CUgraphNode node, CUDA_MEMCPY3D *params)) {
  NEED(node && params && node->op->kind == OP_COPY);
  *params = node->op->copy;
  return CUDA_SUCCESS;
}
DECLARE(cuGraphMemsetNodeGetParams, (CUgraphNode node, CUDA_MEMSET_NODE_PARAMS *params)) {
  NEED(node && params && node->op->kind == OP_SET);
  *params = node->op->set;
  return CUDA_SUCCESS;
}
DECLARE(cuGraphHostNodeGetParams, (CUgraphNode node, CUDA_HOST_NODE_PARAMS *params)) {
  NEED(node && params && node->op->kind == OP_HOST);
  *params = node->op->host;
  return CUDA_SUCCESS;
}
/* What both forms of the structure begin with. */
static CUresult kernel_params(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS *out, size_t size) {
  NEED(node && out && node->op->kind == OP_KERNEL);
  struct op *o = node->op;
  const struct function *f = o->kernel.function;
  if (!o->kernel.pointers) {
    o->kernel.pointers = mem_calloc(f->params.len + 1, sizeof(void *));
    for (uint32_t k = 0; k < f->params.len; k++)
      o->kernel.pointers[k] = o->kernel.params + f->params.data[k].offset;
  }
  CUDA_KERNEL_NODE_PARAMS p = {.function = o->kernel.function,
                               .shared_bytes = o->kernel.shared,
                               .params = o->kernel.pointers,
                               .context = o->context};
  memcpy(p.grid, o->kernel.grid, sizeof p.grid);
  memcpy(p.block, o->kernel.block, sizeof p.block);
  memcpy(out, &p, size);
  return CUDA_SUCCESS;
}
DECLARE(cuGraphKernelNodeGetParams_v2, (CUgraphNode node, CUDA_KERNEL_NODE_PARAMS *params)) {
  return kernel_params(node, params, sizeof *params);
}
DECLARE(cuGraphKernelNodeGetParams, (CUgraphNode node, CUDA_KERNEL_NODE_PARAMS *params)) {
  return kernel_params(node, params, offsetof(CUDA_KERNEL_NODE_PARAMS, kernel));
}
DECLARE(cuGraphKernelNodeGetAttribute, (CUgraphNode node, int id, void *value)) {
  NEED(node && value && node->op->kind == OP_KERNEL);
  unsigned cooperative = node->op->kernel.cooperative;
  memset(value, 0, 64);
  if (id == ATTRIBUTE_CLUSTER)
    memcpy(value, node->op->kernel.cluster, sizeof node->op->kernel.cluster);
  else if (id == ATTRIBUTE_COOPERATIVE)
    memcpy(value, &cooperative, sizeof cooperative);
  return CUDA_SUCCESS;
}
DECLARE(cuGraphKernelNodeCopyAttributes, (CUgraphNode to, CUgraphNode from)) {
  NEED(to && from && to->op->kind == OP_KERNEL && from->op->kind == OP_KERNEL);
  memcpy(to->op->kernel.cluster, from->op->kernel.cluster, sizeof to->op->kernel.cluster);
  to->op->kernel.cooperative = from->op->kernel.cooperative;
  return CUDA_SUCCESS;
}
DECLARE(cuGraphKernelNodeSetAttribute, (CUgraphNode node, int id, const void *value)) {
  NEED(node && value && node->op->kind == OP_KERNEL);
  const unsigned *n = value;
  if (id == ATTRIBUTE_CLUSTER)
    memcpy(node->op->kernel.cluster, n, sizeof node->op->kernel.cluster);
  else if (id == ATTRIBUTE_COOPERATIVE)
    node->op->kernel.cooperative = n[0] != 0;
  return CUDA_SUCCESS;
}

/* Instances. */

DECLARE(cuGraphInstantiateWithFlags, (CUgraphExec * exec, CUgraph graph, uint64_t flags)) {
  NEED(exec && graph);
  struct sim_graph_exec *e = mem_calloc(1, sizeof *e);
  e->flags = flags;
  *exec = e;
  if (flatten(graph, e)) {
    user_objects_share(graph, &e->objects);
    return CUDA_SUCCESS;
  }
  *exec = NULL;
  for (uint32_t k = 0; k < e->nodes.len; k++)
    op_release(e->nodes.data[k].op);
  vec_deinit(&e->nodes);
  mem_free(e);
  return CUDA_ERROR_INVALID_VALUE;
}
DECLARE(cuGraphInstantiate_v2,
        (CUgraphExec * exec, CUgraph graph, CUgraphNode *error_node, char *log, size_t size)) {
  if (error_node)
    *error_node = NULL;
  if (log && size)
    log[0] = 0;
  return cuGraphInstantiateWithFlags(exec, graph, 0);
}
DECLARE(cuGraphInstantiateWithParams, (CUgraphExec * exec, CUgraph graph, void *params)) {
  NEED(params);
  CUresult r = cuGraphInstantiateWithFlags(exec, graph, *(const uint64_t *)params);
  *(int *)((char *)params + 24) = r ? 1 : 0; /* result */
  return r;
}
DECLARE(cuGraphExecDestroy, (CUgraphExec exec)) {
  NEED(exec);
  for (uint32_t k = 0; k < exec->nodes.len; k++)
    op_release(exec->nodes.data[k].op);
  vec_deinit(&exec->nodes);
  user_objects_release(&exec->objects);
  mem_free(exec);
  return CUDA_SUCCESS;
}
DECLARE(cuGraphExecGetFlags, (CUgraphExec exec, uint64_t *flags)) {
  NEED(exec && flags);
  *flags = exec->flags;
  return CUDA_SUCCESS;
}
DECLARE(cuGraphUpload, (CUgraphExec exec, CUstream s)) {
  (void)s;
  return exec ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
DECLARE(cuGraphLaunch, (CUgraphExec exec, CUstream s)) {
  NEED_CONTEXT();
  NEED(exec);
  struct sim_stream *stream = stream_of(s);
  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  CUresult first = CUDA_SUCCESS;
  for (uint32_t k = 0; k < exec->nodes.len; k++) {
    struct exec_node *n = &exec->nodes.data[k];
    if (n->disabled)
      continue;
    op_retain(n->op);
    CUresult r = stream_submit(stream, n->op);
    first = first ? first : r;
  }
  return first;
}
DECLARE(cuGraphNodeSetEnabled, (CUgraphExec exec, CUgraphNode node, unsigned enabled)) {
  struct exec_node *x = find(exec, node);
  NEED(x && (x->op->kind == OP_KERNEL || x->op->kind == OP_COPY || x->op->kind == OP_SET));
  x->disabled = !enabled;
  return CUDA_SUCCESS;
}
DECLARE(cuGraphNodeGetEnabled, (CUgraphExec exec, CUgraphNode node, unsigned *enabled)) {
  struct exec_node *x = find(exec, node);
  NEED(x && enabled);
  *enabled = !x->disabled;
  return CUDA_SUCCESS;
}

/* What cuGraphExecUpdate says of the outcome. */
struct update_result {
  int result;
  CUgraphNode node, from;
};
static bool same_shape(const struct sim_graph_exec *a, const struct sim_graph_exec *b,
                       uint32_t *at) {
  for (*at = 0; *at < a->nodes.len && *at < b->nodes.len; ++*at) {
    const struct op *x = a->nodes.data[*at].op, *y = b->nodes.data[*at].op;
    if (x->kind != y->kind ||
        (x->kind == OP_KERNEL && x->kernel.cooperative != y->kernel.cooperative))
      return false;
  }
  return a->nodes.len == b->nodes.len;
}
DECLARE(cuGraphExecUpdate_v2, (CUgraphExec exec, CUgraph graph, void *info)) {
  NEED(exec && graph);
  struct update_result *out = info;
  struct sim_graph_exec fresh = {0};
  uint32_t at = 0;
  bool good = flatten(graph, &fresh) && same_shape(exec, &fresh, &at);
  if (out)
    *out =
        (struct update_result){.result = good                                 ? 0
                                         : exec->nodes.len != fresh.nodes.len ? 2
                                                                              : 3,
                               .node = good || at >= fresh.nodes.len
                                           ? NULL
                                           : (CUgraphNode)(uintptr_t)fresh.nodes.data[at].source};
  for (uint32_t k = 0; k < fresh.nodes.len; k++) {
    struct op *o = fresh.nodes.data[k].op;
    if (good) { /* handles of either graph's nodes are those of the first */
      op_release(exec->nodes.data[k].op);
      exec->nodes.data[k].op = o;
    } else {
      op_release(o);
    }
  }
  vec_deinit(&fresh.nodes);
  return good ? CUDA_SUCCESS : CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
}
DECLARE(cuGraphExecUpdate, (CUgraphExec exec, CUgraph graph, CUgraphNode *node, int *result)) {
  struct update_result info = {0};
  CUresult r = cuGraphExecUpdate_v2(exec, graph, &info);
  if (node)
    *node = info.node;
  if (result)
    *result = info.result;
  return r;
}
/* A child's operations lie before its node, in the order of its own flattening. */
DECLARE(cuGraphExecChildGraphNodeSetParams, (CUgraphExec exec, CUgraphNode node, CUgraph child)) {
  struct exec_node *x = find(exec, node);
  NEED(x && child && x->op->kind == OP_CHILD);
  struct sim_graph_exec fresh = {0}, old = {0};
  uint32_t end = (uint32_t)(x - exec->nodes.data), at = 0;
  bool good =
      flatten(child, &fresh) && flatten(x->op->child, &old) && same_shape(&old, &fresh, &at);
  uint32_t first = end - old.nodes.len;
  for (uint32_t k = 0; k < old.nodes.len; k++)
    op_release(old.nodes.data[k].op);
  for (uint32_t k = 0; k < fresh.nodes.len; k++) {
    struct op **slot = good ? &exec->nodes.data[first + k].op : &fresh.nodes.data[k].op;
    op_release(*slot);
    *slot = fresh.nodes.data[k].op;
  }
  vec_deinit(&fresh.nodes);
  vec_deinit(&old.nodes);
  return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
DECLARE(cuGraphDebugDotPrint, (CUgraph graph, const char *path, unsigned flags)) {
  (void)flags;
  NEED(graph && path);
  FILE *f = fopen(path, "w");
  if (!f)
    return CUDA_ERROR_OPERATING_SYSTEM;
  fprintf(f, "digraph {\n");
  for (uint32_t k = 0; k < graph->nodes.len; k++) {
    const struct sim_graph_node *n = graph->nodes.data[k];
    fprintf(f, "  n%u [label=\"%s\"];\n", k,
            n->op->kind == OP_KERNEL ? n->op->kernel.function->name : "node");
    for (uint32_t d = 0; d < n->dependencies.len; d++)
      for (uint32_t j = 0; j < graph->nodes.len; j++)
        if (graph->nodes.data[j] == n->dependencies.data[d])
          fprintf(f, "  n%u -> n%u;\n", j, k);
  }
  fprintf(f, "}\n");
  return fclose(f) ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS;
}
