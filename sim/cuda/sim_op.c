/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of streams and graphs: kernels, copies, sets, callbacks, waits; and launches. */
#include "sim/cuda/sim_driver.h"

#include "base/clock.h"

struct op *op_create(enum op_kind kind, CUcontext context) {
  struct op *o = mem_calloc(1, sizeof *o);
  o->kind = kind;
  o->context = context;
  o->references = 1;
  return o;
}
void op_retain(struct op *o) { __atomic_add_fetch(&o->references, 1, __ATOMIC_RELAXED); }
void op_release(struct op *o) {
  if (!o || __atomic_sub_fetch(&o->references, 1, __ATOMIC_ACQ_REL))
    return;
  if (o->kind == OP_KERNEL) {
    free(o->kernel.params);
    mem_free(o->kernel.pointers);
  }
  if (o->kind == OP_CHILD)
    graph_destroy(o->child);
  if (o->kind == OP_CUSTOM)
    o->custom.work->release(o->custom.data);
  mem_free(o);
}

static void complete_event(CUevent e, uint64_t generation) {
  e->seconds = clock_now_s();
  uint64_t before = e->completed;
  if (before < generation)
    __atomic_store_n(&e->completed, generation, __ATOMIC_RELEASE);
}

static CUresult run_kernel(const struct op *o) {
  struct launch l = {.program = o->kernel.function->program,
                     .kernel = o->kernel.function,
                     .dynamic_shared = o->kernel.shared,
                     .device = (uint32_t)o->context->device,
                     .cooperative = o->kernel.cooperative,
                     .stack = (uint32_t)o->context->limits[0],
                     .params = o->kernel.params};
  memcpy(l.grid, o->kernel.grid, sizeof l.grid);
  memcpy(l.block, o->kernel.block, sizeof l.block);
  memcpy(l.cluster, o->kernel.cluster, sizeof l.cluster);
  CUresult r = (CUresult)launch_run(&l);
  if (o->kernel.completion)
    complete_event(o->kernel.completion,
                   __atomic_add_fetch(&o->kernel.completion->recorded, 1, __ATOMIC_SEQ_CST));
  return r;
}

static uint64_t side_base(const sim_copy_side *s) {
  uint64_t base = s->type == MEMORY_HOST ? (uint64_t)(uintptr_t)s->host : s->device;
  return base + s->x + s->y * s->pitch + s->z * s->pitch * s->height;
}
/* Whether bytes lie in one allocation; before it runs an operation may name what a graph will have
 * allocated by then. */
static bool inside(uint64_t a, size_t n, bool runs) {
  struct allocation found;
  return runs ? device_valid(a, n)
              : device_find(a, &found) && a - found.address <= found.size &&
                    n <= found.size - (a - found.address);
}
static bool side_valid(CUcontext c, const sim_copy_side *s, uint64_t a, size_t n, bool runs) {
  struct allocation found;
  if (s->type == MEMORY_HOST)
    return true;
  if (device_find(a, &found) && a - found.address < found.size)
    return inside(a, n, runs) && (found.kind != ALLOCATION_MAPPED || found.access ||
                                  device_reachable((uint32_t)c->device, &found));
  return s->type == MEMORY_UNIFIED; /* a pointer of the host's */
}

static CUresult check_copy(CUcontext c, const CUDA_MEMCPY3D *x, bool runs) {
  for (size_t z = 0; z < x->depth; z++)
    for (size_t y = 0; y < x->height; y += x->height > 1 ? x->height - 1 : 1) {
      uint64_t from = side_base(&x->from) + y * x->from.pitch + z * x->from.pitch * x->from.height;
      uint64_t to = side_base(&x->to) + y * x->to.pitch + z * x->to.pitch * x->to.height;
      if (x->width && (!side_valid(c, &x->from, from, x->width, runs) ||
                       !side_valid(c, &x->to, to, x->width, runs))) {
        fprintf(stderr,
                "sim: error: a copy of %zu bytes from 0x%llx to 0x%llx leaves its allocation\n",
                x->width, (unsigned long long)from, (unsigned long long)to);
        return CUDA_ERROR_INVALID_VALUE;
      }
    }
  return CUDA_SUCCESS;
}
static CUresult run_copy(const struct op *o) {
  const CUDA_MEMCPY3D *x = &o->copy;
  CUresult r = check_copy(o->context, x, true);
  for (size_t z = 0; z < x->depth && !r; z++)
    for (size_t y = 0; y < x->height; y++) {
      uint64_t to = side_base(&x->to) + y * x->to.pitch + z * x->to.pitch * x->to.height;
      memmove(P(to),
              P(side_base(&x->from) + y * x->from.pitch + z * x->from.pitch * x->from.height),
              x->width);
      written_mark(to, x->width);
    }
  return r;
}

CUresult op_of_copy(const CUDA_MEMCPY3D *copy, struct op **out) {
  CUDA_MEMCPY3D c = *copy;
  if (c.from.type == MEMORY_ARRAY || c.to.type == MEMORY_ARRAY) {
    fprintf(stderr, "sim: error: arrays are not simulated\n");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  NEED(c.from.type >= 1 && c.from.type <= 4 && c.to.type >= 1 && c.to.type <= 4);
  NEED((c.height <= 1 && c.depth <= 1) ||
       ((!c.from.pitch || c.from.pitch >= c.width) && (!c.to.pitch || c.to.pitch >= c.width)));
  c.from.pitch = c.from.pitch ? c.from.pitch : c.width + c.from.x;
  c.to.pitch = c.to.pitch ? c.to.pitch : c.width + c.to.x;
  c.from.height = c.from.height ? c.from.height : c.height + c.from.y;
  c.to.height = c.to.height ? c.to.height : c.height + c.to.y;
  CUresult r = check_copy(current, &c, false);
  if (r)
    return r;
  struct op *o = op_create(OP_COPY, current);
  o->copy = c;
  *out = o;
  return CUDA_SUCCESS;
}

static CUresult check_set(const CUDA_MEMSET_NODE_PARAMS *s, bool runs) {
  uint64_t rows = s->height ? (s->height - 1) * s->pitch : 0;
  if (!s->width || !s->height || inside(s->to, rows + s->width * s->element, runs))
    return CUDA_SUCCESS;
  fprintf(stderr, "sim: error: a fill of %zu x %zu elements at 0x%llx leaves its allocation\n",
          s->height, s->width, s->to);
  return CUDA_ERROR_INVALID_VALUE;
}
static CUresult run_set(const struct op *o) {
  const CUDA_MEMSET_NODE_PARAMS *s = &o->set;
  CUresult r = check_set(s, true);
  if (r)
    return r;
  for (size_t y = 0; y < s->height; y++) {
    uint8_t *row = P(s->to + y * s->pitch);
    written_mark(s->to + y * s->pitch, s->width * s->element);
    if (s->element == 1)
      memset(row, (int)s->value, s->width);
    for (size_t x = 0; x < s->width && s->element > 1; x++)
      memcpy(row + x * s->element, &s->value, s->element);
  }
  return CUDA_SUCCESS;
}
CUresult op_of_set(CUdeviceptr to, size_t pitch, unsigned value, unsigned element, size_t width,
                   size_t height, struct op **out) {
  CUDA_MEMSET_NODE_PARAMS s = {to, height > 1 ? pitch : 0, value, element, width, height};
  NEED(element == 1 || element == 2 || element == 4);
  NEED(!(to % element) && width <= SIZE_MAX / 8 && (height < 2 || pitch >= width * element));
  CUresult r = check_set(&s, false);
  if (r)
    return r;
  struct op *o = op_create(OP_SET, current);
  o->set = s;
  *out = o;
  return CUDA_SUCCESS;
}

/* Flags of cuStreamWaitValue: at least, equal, and, nor. */
static bool value_reached(const struct op *o) {
  uint64_t v = o->value.wide ? __atomic_load_n((uint64_t *)P(o->value.address), __ATOMIC_ACQUIRE)
                             : __atomic_load_n((uint32_t *)P(o->value.address), __ATOMIC_ACQUIRE);
  uint64_t want = o->value.value;
  switch (o->value.flags & 3) {
  case 0:
    return o->value.wide ? (int64_t)(v - want) >= 0 : (int32_t)((uint32_t)v - (uint32_t)want) >= 0;
  case 1: return v == want;
  case 2: return (v & want) != 0;
  default: return (~(v | want) & (o->value.wide ? UINT64_MAX : UINT32_MAX)) != 0;
  }
}

bool op_poll(struct item *i, CUresult *result) {
  struct op *o = i->op;
  switch (o->kind) {
  case OP_KERNEL: *result = run_kernel(o); return true;
  case OP_COPY: *result = run_copy(o); return true;
  case OP_SET: *result = run_set(o); return true;
  case OP_HOST: o->host.fn(o->host.data); return true;
  case OP_RECORD: complete_event(o->event, i->generation); return true;
  case OP_WAIT: return __atomic_load_n(&o->event->completed, __ATOMIC_ACQUIRE) >= i->generation;
  case OP_ALLOC: device_revive(o->address); return true;
  case OP_FREE:
    *result = device_suspend(o->address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    return true;
  case OP_WRITE_VALUE:
    written_mark(o->value.address, o->value.wide ? 8 : 4);
    if (o->value.wide)
      __atomic_store_n((uint64_t *)P(o->value.address), o->value.value, __ATOMIC_RELEASE);
    else
      __atomic_store_n((uint32_t *)P(o->value.address), (uint32_t)o->value.value, __ATOMIC_RELEASE);
    return true;
  case OP_WAIT_VALUE: return value_reached(o);
  case OP_CUSTOM: return o->custom.work->poll(i->run, result);
  default: return true;
  }
}

/* Launches. */

static bool take_attribute(const CUlaunchAttribute *a, struct op *o) {
  switch (a->id) {
  case ATTRIBUTE_COOPERATIVE: o->kernel.cooperative = a->value.number != 0; return true;
  case ATTRIBUTE_CLUSTER:
    o->kernel.cluster[0] = a->value.cluster.x;
    o->kernel.cluster[1] = a->value.cluster.y;
    o->kernel.cluster[2] = a->value.cluster.z;
    return a->value.cluster.x && a->value.cluster.y && a->value.cluster.z;
  case ATTRIBUTE_PROGRAMMATIC_EVENT:
  case ATTRIBUTE_COMPLETION_EVENT:
    o->kernel.completion = a->value.event.event;
    return a->value.event.event != NULL;
  case ATTRIBUTE_IGNORE:
  case ATTRIBUTE_ACCESS_POLICY_WINDOW:
  case ATTRIBUTE_CLUSTER_SCHEDULING:
  case ATTRIBUTE_PROGRAMMATIC_SERIALIZATION: /* kernels run one after the other */
  case ATTRIBUTE_PRIORITY:
  case ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
  case ATTRIBUTE_MEM_SYNC_DOMAIN:
  case ATTRIBUTE_PREFERRED_CLUSTER:
  case ATTRIBUTE_SHARED_CARVEOUT: return true;
  default:
    fprintf(stderr, "sim: error: launch attribute %d is not simulated\n", a->id);
    return false;
  }
}

/* `extra`: a buffer (1) and its size (2), ended by 0. */
static bool from_extra(const struct function *f, void **extra, uint8_t *to) {
  const void *buffer = NULL;
  size_t size = 0;
  for (; extra && extra[0]; extra += 2) {
    if (extra[0] == (void *)1)
      buffer = extra[1];
    else if (extra[0] == (void *)2)
      size = *(const size_t *)extra[1];
    else
      return false;
  }
  if (!buffer || size < f->param_bytes)
    return false;
  memcpy(to, buffer, f->param_bytes);
  return true;
}

CUresult op_of_launch(const CUlaunchConfig *c, CUfunction f, void **params, void **extra,
                      struct op **out) {
  NEED_CONTEXT();
  if (!f)
    return CUDA_ERROR_INVALID_HANDLE;
  struct op *o = op_create(OP_KERNEL, current);
  o->kernel.function = f;
  o->kernel.shared = c->shared_bytes;
  memcpy(o->kernel.grid, c->grid, sizeof c->grid);
  memcpy(o->kernel.block, c->block, sizeof c->block);
  o->kernel.params = aligned_alloc(64, (f->param_bytes + 127u) & ~63u);
  bool good = o->kernel.params != NULL;
  for (unsigned k = 0; good && k < c->attribute_count; k++)
    good = take_attribute(&c->attributes[k], o);
  if (good && params)
    for (uint32_t k = 0; k < f->params.len; k++)
      memcpy(o->kernel.params + f->params.data[k].offset, params[k], f->params.data[k].size);
  else if (good && f->param_bytes)
    good = from_extra(f, extra, o->kernel.params);
  if (!good) {
    fprintf(stderr,
            "sim: error: launch of '%s' without kernel parameters, or with attributes that do "
            "not fit\n",
            f->name);
    op_release(o);
    return CUDA_ERROR_INVALID_VALUE;
  }
  *out = o;
  return CUDA_SUCCESS;
}

DECLARE(cuLaunchKernelEx, (const CUlaunchConfig *c, CUfunction f, void **params, void **extra)) {
  NEED_CONTEXT();
  NEED(c && (c->attributes || !c->attribute_count));
  struct sim_stream *s = stream_of(c->stream);
  struct op *o = NULL;
  if (!s)
    return CUDA_ERROR_INVALID_HANDLE;
  CUresult r = op_of_launch(c, f, params, extra, &o);
  return r ? r : stream_submit(s, o);
}
DECLARE(cuLaunchKernel,
        (CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
         unsigned shared, CUstream stream, void **params, void **extra)) {
  CUlaunchConfig c = {
      .grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared_bytes = shared, .stream = stream};
  return cuLaunchKernelEx(&c, f, params, extra);
}
DECLARE(cuLaunchCooperativeKernel,
        (CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
         unsigned shared, CUstream stream, void **params)) {
  CUlaunchAttribute a = {.id = ATTRIBUTE_COOPERATIVE, .value.number = 1};
  CUlaunchConfig c = {.grid = {gx, gy, gz},
                      .block = {bx, by, bz},
                      .shared_bytes = shared,
                      .stream = stream,
                      .attributes = &a,
                      .attribute_count = 1};
  return cuLaunchKernelEx(&c, f, params, NULL);
}
