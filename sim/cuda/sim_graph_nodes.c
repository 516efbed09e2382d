/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of graphs by one structure for all kinds, nodes that allocate and free, those of events,
 * edges with data, and objects that live as long as the graphs that hold them. */
#include "sim/cuda/sim_driver.h"

/* CUgraphNodeParams. */
struct node_params {
  int type, reserved[3];
  union {
    int64_t room[29];
    CUDA_KERNEL_NODE_PARAMS kernel;
    struct {
      int flags, reserved;
      CUcontext context;
      CUDA_MEMCPY3D copy;
    } copy;
    CUDA_MEMSET_NODE_PARAMS set;
    CUDA_HOST_NODE_PARAMS host;
    struct {
      CUgraph graph;
      int ownership;
    } child;
    CUevent event;
    struct alloc_params {
      CUmemPoolProps pool;
      const CUmemAccessDesc *access;
      size_t access_count, bytes;
      CUdeviceptr address;
    } alloc;
    CUdeviceptr address;
  };
  int64_t reserved2;
};

static CUresult alloc_op(struct alloc_params *p, struct op **out) {
  NEED_CONTEXT();
  NEED(p && p->bytes && p->pool.location.type == 1);
  if (p->pool.location.id < 0 || p->pool.location.id >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  p->address = device_alloc((uint32_t)p->pool.location.id, p->bytes, ALLOCATION_DEVICE, NULL);
  if (!p->address)
    return CUDA_ERROR_OUT_OF_MEMORY;
  device_suspend(p->address); /* until the graph runs */
  *out = op_create(OP_ALLOC, current);
  (*out)->address = p->address;
  return CUDA_SUCCESS;
}
static CUresult free_op(CUdeviceptr address, struct op **out) {
  struct allocation a;
  NEED_CONTEXT();
  NEED(device_find(address, &a) && a.address == address);
  *out = op_create(OP_FREE, current);
  (*out)->address = address;
  return CUDA_SUCCESS;
}
static CUresult op_of(struct node_params *p, struct op **out) {
  NEED_CONTEXT();
  NEED(p);
  switch (p->type) {
  case OP_KERNEL: return op_of_kernel_node(&p->kernel, out);
  case OP_COPY: return op_of_copy_node(&p->copy.copy, out);
  case OP_SET: return op_of_set_node(&p->set, out);
  case OP_HOST: return op_of_host_node(&p->host, out);
  case OP_CHILD: return op_of_child_node(p->child.graph, out);
  case OP_EMPTY: *out = op_create(OP_EMPTY, current); return CUDA_SUCCESS;
  case OP_WAIT:
  case OP_RECORD: return op_of_event_node(p->event, (enum op_kind)p->type, out);
  case OP_ALLOC: return alloc_op(&p->alloc, out);
  case OP_FREE: return free_op(p->address, out);
  default:
    fprintf(stderr, "sim: error: graph nodes of type %d are not simulated\n", p->type);
    return CUDA_ERROR_NOT_SUPPORTED;
  }
}

DECLARE(cuGraphAddNode, (CUgraphNode * node, CUgraph graph, const CUgraphNode *dependencies,
                         size_t count, struct node_params *params)) {
  struct op *o = NULL;
  NEED(node && graph && params);
  CUresult r = op_of(params, &o);
  return r ? r : graph_add_op(node, graph, dependencies, count, o);
}
DECLARE(cuGraphAddNode_v2, (CUgraphNode * node, CUgraph graph, const CUgraphNode *dependencies,
                            const void *edges, size_t count, struct node_params *params)) {
  (void)edges; /* when a dependent may begin early, it need not */
  return cuGraphAddNode(node, graph, dependencies, count, params);
}
static CUresult set_params(struct op **slot, struct node_params *params) {
  struct op *o = NULL;
  NEED(params && slot && (int)(*slot)->kind == params->type);
  NEED(params->type != OP_ALLOC && params->type != OP_FREE && params->type != OP_CHILD);
  CUresult r = op_of(params, &o);
  return r ? r : op_exchange(slot, o);
}
DECLARE(cuGraphNodeSetParams, (CUgraphNode node, struct node_params *params)) {
  NEED(node);
  return set_params(&node->op, params);
}
DECLARE(cuGraphExecNodeSetParams, (CUgraphExec e, CUgraphNode node, struct node_params *params)) {
  NEED(params);
  return params->type == OP_CHILD ? cuGraphExecChildGraphNodeSetParams(e, node, params->child.graph)
                                  : set_params(graph_exec_op(e, node), params);
}

/* Memory. */

DECLARE(cuGraphAddMemAllocNode, (CUgraphNode * node, CUgraph graph, const CUgraphNode *dependencies,
                                 size_t count, struct alloc_params *params)) {
  struct op *o = NULL;
  NEED(node && graph);
  CUresult r = alloc_op(params, &o);
  return r ? r : graph_add_op(node, graph, dependencies, count, o);
}
DECLARE(cuGraphAddMemFreeNode, (CUgraphNode * node, CUgraph graph, const CUgraphNode *dependencies,
                                size_t count, CUdeviceptr address)) {
  struct op *o = NULL;
  NEED(node && graph);
  CUresult r = free_op(address, &o);
  return r ? r : graph_add_op(node, graph, dependencies, count, o);
}
DECLARE(cuGraphMemAllocNodeGetParams, (CUgraphNode node, struct alloc_params *params)) {
  struct allocation a;
  NEED(node && params && node->op->kind == OP_ALLOC && device_find(node->op->address, &a));
  *params = (struct alloc_params){.bytes = a.size, .address = a.address};
  params->pool.type = 1;
  params->pool.location = (CUmemLocation){1, (int)a.device};
  return CUDA_SUCCESS;
}
DECLARE(cuGraphMemFreeNodeGetParams, (CUgraphNode node, CUdeviceptr *address)) {
  NEED(node && address && node->op->kind == OP_FREE);
  *address = node->op->address;
  return CUDA_SUCCESS;
}
/* Graphs hold no memory back: there is none to count or to give up. */
DECLARE(cuDeviceGetGraphMemAttribute, (CUdevice device, int attribute, uint64_t *value)) {
  if (device < 0 || device >= device_count)
    return CUDA_ERROR_INVALID_DEVICE;
  NEED(value && attribute >= 0 && attribute < 4);
  *value = 0;
  return CUDA_SUCCESS;
}
DECLARE(cuDeviceSetGraphMemAttribute, (CUdevice device, int attribute, uint64_t *value)) {
  return cuDeviceGetGraphMemAttribute(device, attribute, value);
}
DECLARE(cuDeviceGraphMemTrim, (CUdevice device)) {
  return device < 0 || device >= device_count ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS;
}

/* Events. */

static CUresult get_event(const struct op *o, enum op_kind kind, CUevent *event) {
  NEED(o && event && o->kind == kind);
  *event = o->event;
  return CUDA_SUCCESS;
}
static CUresult set_event(struct op **slot, enum op_kind kind, CUevent event) {
  struct op *o = NULL;
  NEED(slot && (*slot)->kind == kind);
  CUresult r = op_of_event_node(event, kind, &o);
  return r ? r : op_exchange(slot, o);
}
#define EVENT_NODE(Kind, kind)                                                                     \
  DECLARE(cuGraphEvent##Kind##NodeGetEvent, (CUgraphNode node, CUevent * event)) {                 \
    return get_event(node ? node->op : NULL, kind, event);                                         \
  }                                                                                                \
  DECLARE(cuGraphEvent##Kind##NodeSetEvent, (CUgraphNode node, CUevent event)) {                   \
    return set_event(node ? &node->op : NULL, kind, event);                                        \
  }                                                                                                \
  DECLARE(cuGraphExecEvent##Kind##NodeSetEvent,                                                    \
          (CUgraphExec e, CUgraphNode node, CUevent event)) {                                      \
    return set_event(graph_exec_op(e, node), kind, event);                                         \
  }
EVENT_NODE(Record, OP_RECORD)
EVENT_NODE(Wait, OP_WAIT)

/* Edges whose data is the default: full order. */

enum { EDGE_BYTES = 8 };
static void clear_edges(void *edges, const size_t *count) {
  if (edges && count)
    memset(edges, 0, EDGE_BYTES * *count);
}
DECLARE(cuGraphGetEdges_v2,
        (CUgraph graph, CUgraphNode *from, CUgraphNode *to, void *edges, size_t *count)) {
  CUresult r = cuGraphGetEdges(graph, from, to, count);
  clear_edges(r ? NULL : edges, count);
  return r;
}
DECLARE(cuGraphNodeGetDependencies_v2,
        (CUgraphNode node, CUgraphNode *out, void *edges, size_t *count)) {
  CUresult r = cuGraphNodeGetDependencies(node, out, count);
  clear_edges(r ? NULL : edges, count);
  return r;
}
DECLARE(cuGraphNodeGetDependentNodes_v2,
        (CUgraphNode node, CUgraphNode *out, void *edges, size_t *count)) {
  CUresult r = cuGraphNodeGetDependentNodes(node, out, count);
  clear_edges(r ? NULL : edges, count);
  return r;
}
DECLARE(cuGraphAddDependencies_v2, (CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                    const void *edges, size_t count)) {
  (void)edges;
  return cuGraphAddDependencies(graph, from, to, count);
}
DECLARE(cuGraphRemoveDependencies_v2, (CUgraph graph, const CUgraphNode *from,
                                       const CUgraphNode *to, const void *edges, size_t count)) {
  (void)edges;
  return cuGraphRemoveDependencies(graph, from, to, count);
}

/* User objects. */

struct sim_user_object {
  unsigned references; /* atomic */
  CUhostFn destroy;
  void *data;
};
static void release(struct sim_user_object *o, unsigned count) {
  if (__atomic_sub_fetch(&o->references, count, __ATOMIC_ACQ_REL))
    return;
  o->destroy(o->data);
  mem_free(o);
}
DECLARE(cuUserObjectCreate, (struct sim_user_object * *out, void *data, CUhostFn destroy,
                             unsigned references, unsigned flags)) {
  NEED(out && destroy && references && references <= INT32_MAX && flags == 1);
  *out = mem_alloc(sizeof **out);
  **out = (struct sim_user_object){references, destroy, data};
  return CUDA_SUCCESS;
}
DECLARE(cuUserObjectRetain, (struct sim_user_object * o, unsigned count)) {
  NEED(o && count);
  __atomic_add_fetch(&o->references, count, __ATOMIC_RELAXED);
  return CUDA_SUCCESS;
}
DECLARE(cuUserObjectRelease, (struct sim_user_object * o, unsigned count)) {
  NEED(o && count && count <= __atomic_load_n(&o->references, __ATOMIC_RELAXED));
  release(o, count);
  return CUDA_SUCCESS;
}
DECLARE(cuGraphRetainUserObject,
        (CUgraph graph, struct sim_user_object *o, unsigned count, unsigned flags)) {
  NEED(graph && o && count && flags < 2);
  if (!flags) /* else the caller's references move */
    __atomic_add_fetch(&o->references, count, __ATOMIC_RELAXED);
  vec_push(&graph->objects, ((struct user_reference){o, count}));
  return CUDA_SUCCESS;
}
DECLARE(cuGraphReleaseUserObject, (CUgraph graph, struct sim_user_object *o, unsigned count)) {
  NEED(graph && o && count);
  for (uint32_t k = 0; k < graph->objects.len; k++) {
    struct user_reference *r = &graph->objects.data[k];
    if (r->object != o || r->count < count)
      continue;
    r->count -= count;
    release(o, count);
    if (!r->count) {
      *r = vec_last(&graph->objects);
      (void)vec_pop(&graph->objects);
    }
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}
void user_objects_share(const struct sim_graph *from, struct sim_graph *to) {
  for (uint32_t k = 0; k < from->objects.len; k++) {
    const struct user_reference *r = &from->objects.data[k];
    __atomic_add_fetch(&r->object->references, r->count, __ATOMIC_RELAXED);
    vec_push(&to->objects, *r);
  }
}
void user_objects_release(struct sim_graph *g) {
  for (uint32_t k = 0; k < g->objects.len; k++)
    release(g->objects.data[k].object, g->objects.data[k].count);
  vec_deinit(&g->objects);
}
