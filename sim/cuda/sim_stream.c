/* SPDX-License-Identifier: Apache-2.0 */
/* Streams, events, and the queues behind them. See sim_driver.h. */
#include "sim/cuda/sim_driver.h"

#include <time.h>

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  VEC(struct sim_stream *) all; /* destroyed ones stay: others may wait for what they did */
  uint64_t ids;
} streams = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static _Thread_local VEC(struct sim_stream *) of_thread;

struct sim_stream *stream_create(CUcontext c, unsigned flags, int priority) {
  struct sim_stream *s = mem_calloc(1, sizeof *s);
  s->context = c;
  s->flags = flags;
  s->priority = priority > 0 ? 0 : priority < -5 ? -5 : priority;
  pthread_mutex_init(&s->lock, NULL);
  pthread_mutex_lock(&streams.lock);
  s->id = ++streams.ids;
  vec_push(&streams.all, s);
  pthread_mutex_unlock(&streams.lock);
  return s;
}

_Thread_local unsigned null_is_per_thread;

struct sim_stream *stream_of(CUstream s) {
  if (!s && null_is_per_thread)
    s = STREAM_PER_THREAD;
  if (!s || s == STREAM_LEGACY)
    return current->legacy;
  if (s != STREAM_PER_THREAD)
    return s->destroyed ? NULL : s;
  for (uint32_t k = 0; k < of_thread.len; k++)
    if (of_thread.data[k]->context == current)
      return of_thread.data[k];
  struct sim_stream *made = stream_create(current, 0, 0);
  vec_push(&of_thread, made);
  return made;
}

static uint64_t completed(const struct sim_stream *s) {
  return __atomic_load_n(&s->completed, __ATOMIC_ACQUIRE);
}
static bool idle(const struct sim_stream *s) {
  return completed(s) == __atomic_load_n(&s->submitted, __ATOMIC_ACQUIRE);
}

static void item_destroy(struct item *i) {
  if (i->run)
    i->op->custom.work->end(i->run);
  op_release(i->op);
  vec_deinit(&i->after);
  mem_free(i);
}

static void fail_context(CUcontext c, CUresult r) {
  int none = CUDA_SUCCESS;
  if (r >= CUDA_ERROR_ILLEGAL_ADDRESS && r != CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE &&
      r != CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES && r < CUDA_ERROR_NOT_PERMITTED)
    __atomic_compare_exchange_n(&c->sticky, &none, r, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Runs what can run of a stream; *result is that of the last operation. Whether anything ran. */
static bool stream_run(struct sim_stream *s, CUresult *result) {
  bool any = false;
  pthread_mutex_lock(&s->lock);
  if (s->running) {
    pthread_mutex_unlock(&s->lock);
    return false;
  }
  s->running = true;
  while (s->head) {
    struct item *i = s->head;
    pthread_mutex_unlock(&s->lock);
    CUresult r = CUDA_SUCCESS;
    bool ready = true;
    for (uint32_t k = 0; k < i->after.len && ready; k++)
      ready = completed(i->after.data[k].stream) >= i->after.data[k].count;
    if (ready && (i->op->context->sticky || i->op->context->destroyed))
      r = i->op->context->sticky; /* nothing runs any more */
    else if (ready)
      ready = op_poll(i, &r);
    pthread_mutex_lock(&s->lock);
    if (!ready)
      break;
    fail_context(s->context, r);
    *result = r;
    s->head = i->next;
    s->tail = s->head ? s->tail : NULL;
    __atomic_add_fetch(&s->completed, 1, __ATOMIC_RELEASE);
    item_destroy(i);
    any = true;
  }
  s->running = false;
  pthread_mutex_unlock(&s->lock);
  if (any) {
    pthread_mutex_lock(&streams.lock);
    pthread_cond_broadcast(&streams.changed);
    pthread_mutex_unlock(&streams.lock);
  }
  return any;
}

void streams_advance(void) {
  bool any = true;
  while (any) {
    any = false;
    pthread_mutex_lock(&streams.lock);
    uint32_t n = streams.all.len;
    pthread_mutex_unlock(&streams.lock);
    for (uint32_t k = 0; k < n; k++) {
      pthread_mutex_lock(&streams.lock);
      struct sim_stream *s = streams.all.data[k];
      pthread_mutex_unlock(&streams.lock);
      CUresult r;
      any |= !idle(s) && stream_run(s, &r);
    }
  }
}

static void pause_briefly(void) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 200000;
  if (until.tv_nsec >= 1000000000)
    until.tv_nsec -= 1000000000, until.tv_sec++;
  pthread_mutex_lock(&streams.lock);
  pthread_cond_timedwait(&streams.changed, &streams.lock, &until);
  pthread_mutex_unlock(&streams.lock);
}

/* The legacy stream and those that are not non-blocking wait for each other. */
static void order_with_legacy(struct sim_stream *s, struct item *i) {
  if (!s->legacy && ((s->flags & 1) || idle(s->context->legacy)))
    return;
  if (!s->legacy) {
    struct sim_stream *l = s->context->legacy;
    vec_push(&i->after, ((struct after){l, l->submitted}));
    return;
  }
  pthread_mutex_lock(&streams.lock);
  for (uint32_t k = 0; k < streams.all.len; k++) {
    struct sim_stream *o = streams.all.data[k];
    if (o != s && o->context == s->context && !(o->flags & 1) && !idle(o))
      vec_push(&i->after, ((struct after){o, o->submitted}));
  }
  pthread_mutex_unlock(&streams.lock);
}

CUresult stream_submit(struct sim_stream *s, struct op *o) {
  if (s->capture)
    return capture_op(s, o);
  struct item *i = mem_calloc(1, sizeof *i);
  i->op = o;
  if (o->kind == OP_RECORD)
    i->generation = __atomic_add_fetch(&o->event->recorded, 1, __ATOMIC_SEQ_CST);
  else if (o->kind == OP_WAIT)
    i->generation = o->event->recorded;
  else if (o->kind == OP_CUSTOM) /* work is numbered in the order of its submission */
    i->run = o->custom.work->begin(o->custom.data);
  order_with_legacy(s, i);
  pthread_mutex_lock(&s->lock);
  if (s->tail)
    s->tail->next = i;
  else
    s->head = i;
  s->tail = i;
  __atomic_add_fetch(&s->submitted, 1, __ATOMIC_RELEASE);
  bool first = s->head == i;
  pthread_mutex_unlock(&s->lock);
  CUresult r = CUDA_SUCCESS;
  stream_run(s, &r);
  return first ? r : CUDA_SUCCESS;
}

CUresult stream_wait(struct sim_stream *s) {
  uint64_t until = __atomic_load_n(&s->submitted, __ATOMIC_ACQUIRE);
  while (completed(s) < until) {
    streams_advance();
    if (completed(s) < until)
      pause_briefly();
  }
  fflush(stdout);
  return s->context->sticky;
}

CUresult context_wait(CUcontext c) {
  for (uint32_t k = 0;; k++) {
    pthread_mutex_lock(&streams.lock);
    struct sim_stream *s = k < streams.all.len ? streams.all.data[k] : NULL;
    pthread_mutex_unlock(&streams.lock);
    if (!s)
      break;
    if (s->context == c)
      stream_wait(s);
  }
  fflush(stdout);
  return c->sticky;
}

CUresult legacy_wait(void) {
  CUresult r = capture_allows_waiting();
  if (r)
    return r;
  struct sim_stream *l = stream_of(NULL);
  struct op *o = op_create(OP_EMPTY, current);
  stream_submit(l, o);
  return stream_wait(l);
}

/* Interface. */

#define STREAM(s)                                                                                  \
  NEED_CONTEXT();                                                                                  \
  struct sim_stream *stream = stream_of(s);                                                        \
  if (!stream)                                                                                     \
  return CUDA_ERROR_INVALID_HANDLE

DECLARE(cuStreamCreateWithPriority, (CUstream * out, unsigned flags, int priority)) {
  NEED_CONTEXT();
  NEED(out && flags < 2);
  *out = stream_create(current, flags, priority);
  return CUDA_SUCCESS;
}
DECLARE(cuStreamCreate, (CUstream * out, unsigned flags)) {
  return cuStreamCreateWithPriority(out, flags, 0);
}
DECLARE(cuStreamDestroy_v2, (CUstream s)) {
  if (!s || s == STREAM_LEGACY || s == STREAM_PER_THREAD || s->destroyed)
    return CUDA_ERROR_INVALID_HANDLE;
  s->destroyed = true; /* its work goes on */
  return CUDA_SUCCESS;
}
DECLARE(cuStreamSynchronize, (CUstream s)) {
  STREAM(s);
  if (stream->capture)
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  return stream->legacy ? legacy_wait() : stream_wait(stream);
}
DECLARE(cuStreamQuery, (CUstream s)) {
  STREAM(s);
  if (stream->capture)
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  streams_advance();
  if (stream->context->sticky)
    return stream->context->sticky;
  return idle(stream) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
DECLARE(cuStreamGetFlags, (CUstream s, unsigned *flags)) {
  STREAM(s);
  NEED(flags);
  *flags = stream->flags;
  return CUDA_SUCCESS;
}
DECLARE(cuStreamGetPriority, (CUstream s, int *priority)) {
  STREAM(s);
  NEED(priority);
  *priority = stream->priority;
  return CUDA_SUCCESS;
}
DECLARE(cuStreamGetId, (CUstream s, unsigned long long *id)) {
  STREAM(s);
  NEED(id);
  *id = stream->id;
  return CUDA_SUCCESS;
}
DECLARE(cuStreamGetCtx, (CUstream s, CUcontext *context)) {
  STREAM(s);
  NEED(context);
  *context = stream->context;
  return CUDA_SUCCESS;
}
DECLARE(cuStreamGetCtx_v2, (CUstream s, CUcontext *context, void **green)) {
  if (green)
    *green = NULL;
  return cuStreamGetCtx(s, context);
}
/* Attributes tune what a GPU would do sooner. */
DECLARE(cuStreamSetAttribute, (CUstream s, int attribute, const void *value)) {
  STREAM(s);
  NEED(value && attribute > 0);
  return CUDA_SUCCESS;
}
DECLARE(cuStreamGetAttribute, (CUstream s, int attribute, void *value)) {
  STREAM(s);
  NEED(value && attribute > 0);
  memset(value, 0, 64);
  if (attribute == ATTRIBUTE_PRIORITY)
    memcpy(value, &stream->priority, sizeof stream->priority);
  return CUDA_SUCCESS;
}
DECLARE(cuStreamCopyAttributes, (CUstream to, CUstream from)) {
  STREAM(from);
  return stream_of(to) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
DECLARE(cuStreamGetDevice, (CUstream s, CUdevice *device)) {
  STREAM(s);
  NEED(device);
  *device = stream->context->device;
  return CUDA_SUCCESS;
}
DECLARE(cuStreamWaitEvent, (CUstream s, CUevent event, unsigned flags)) {
  STREAM(s);
  (void)flags;
  if (!event)
    return CUDA_ERROR_INVALID_HANDLE;
  if (event->capture) { /* the stream joins the capture */
    if (stream->capture && stream->capture != event->capture)
      return CUDA_ERROR_STREAM_CAPTURE_MERGE;
    if (!stream->capture) {
      if (stream->legacy)
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
      stream->capture = event->capture;
      stream->capture_origin = false;
      vec_push(&stream->capture->streams, stream);
    }
    for (uint32_t k = 0; k < event->captured.len; k++)
      vec_push(&stream->capture_last, event->captured.data[k]);
    return CUDA_SUCCESS;
  }
  if (stream->capture)
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  struct op *o = op_create(OP_WAIT, current);
  o->event = event;
  return stream_submit(stream, o);
}
DECLARE(cuLaunchHostFunc, (CUstream s, CUhostFn fn, void *data)) {
  STREAM(s);
  NEED(fn);
  struct op *o = op_create(OP_HOST, current);
  o->host = (CUDA_HOST_NODE_PARAMS){fn, data};
  return stream_submit(stream, o);
}

struct callback {
  void (*fn)(CUstream, CUresult, void *);
  CUstream stream;
  void *data;
};
static void run_callback(void *p) {
  struct callback *c = p;
  c->fn(c->stream, CUDA_SUCCESS, c->data);
  mem_free(c);
}
DECLARE(cuStreamAddCallback,
        (CUstream s, void (*fn)(CUstream, CUresult, void *), void *data, unsigned flags)) {
  STREAM(s);
  NEED(fn && !flags);
  if (stream->capture)
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  struct callback *c = mem_alloc(sizeof *c);
  *c = (struct callback){fn, s, data};
  return cuLaunchHostFunc(s, run_callback, c);
}

static CUresult value_op(CUstream s, CUdeviceptr address, uint64_t value, unsigned flags, bool wide,
                         bool wait) {
  STREAM(s);
  if (address % (wide ? 8 : 4) || !device_valid(address, wide ? 8 : 4))
    return CUDA_ERROR_INVALID_VALUE;
  struct op *o = op_create(wait ? OP_WAIT_VALUE : OP_WRITE_VALUE, current);
  o->value.address = address;
  o->value.value = value;
  o->value.flags = flags;
  o->value.wide = wide;
  return stream_submit(stream, o);
}
DECLARE(cuStreamWriteValue32_v2, (CUstream s, CUdeviceptr a, uint32_t v, unsigned flags)) {
  return value_op(s, a, v, flags, false, false);
}
DECLARE(cuStreamWriteValue64_v2, (CUstream s, CUdeviceptr a, uint64_t v, unsigned flags)) {
  return value_op(s, a, v, flags, true, false);
}
DECLARE(cuStreamWaitValue32_v2, (CUstream s, CUdeviceptr a, uint32_t v, unsigned flags)) {
  return value_op(s, a, v, flags, false, true);
}
DECLARE(cuStreamWaitValue64_v2, (CUstream s, CUdeviceptr a, uint64_t v, unsigned flags)) {
  return value_op(s, a, v, flags, true, true);
}

/* cuStreamBatchMemOp's operations: 1 and 4 wait, 2 and 5 write, the rest order what is in order. */
union batch_op {
  int operation;
  struct {
    int operation;
    CUdeviceptr address;
    uint64_t value;
    unsigned flags;
  } value;
  uint64_t pad[6];
};
DECLARE(cuStreamBatchMemOp_v2,
        (CUstream s, unsigned count, const union batch_op *all, unsigned flags)) {
  STREAM(s);
  NEED(!flags && count <= 256 && (all || !count));
  for (unsigned k = 0; k < count; k++)
    NEED(all[k].operation >= 1 && all[k].operation <= 6);
  for (unsigned k = 0; k < count; k++) {
    int operation = all[k].operation;
    bool wide = operation == 4 || operation == 5, wait = operation == 1 || operation == 4;
    if (operation == 3 || operation == 6)
      continue;
    CUresult r =
        value_op(s, all[k].value.address, wide ? all[k].value.value : (uint32_t)all[k].value.value,
                 all[k].value.flags, wide, wait);
    if (r)
      return r;
  }
  return CUDA_SUCCESS;
}

/* For other simulated libraries: sim_work.h. */
API cuSinterSubmit(CUstream s, const struct sim_work *work, void *data) {
  struct sim_stream *stream = current ? stream_of(s) : NULL;
  CUcontext c = stream ? stream->context : NULL;
  if (!c || c->sticky) {
    work->release(data);
    return c ? c->sticky : CUDA_ERROR_INVALID_CONTEXT;
  }
  struct op *o = op_create(OP_CUSTOM, c);
  o->custom.work = work;
  o->custom.data = data;
  return stream_submit(stream, o);
}
__attribute__((visibility("default"))) void cuSinterAdvance(void) { streams_advance(); }

__attribute__((visibility("default"))) void cuSinterWritten(CUdeviceptr address, size_t bytes) {
  written_mark(address, bytes);
}
API cuSinterReachable(CUdeviceptr address, size_t bytes) {
  struct allocation a;
  NEED_CONTEXT();
  return device_valid(address, bytes) && device_find(address, &a) &&
                 device_reachable((uint32_t)current->device, &a)
             ? CUDA_SUCCESS
             : CUDA_ERROR_INVALID_VALUE;
}

/* Events. */

DECLARE(cuEventCreate, (CUevent * event, unsigned flags)) {
  NEED_CONTEXT();
  NEED(event && flags < 8);
  *event = mem_calloc(1, sizeof **event);
  (*event)->context = current;
  (*event)->flags = flags;
  return CUDA_SUCCESS;
}
DECLARE(cuEventDestroy_v2, (CUevent event)) {
  if (!event)
    return CUDA_ERROR_INVALID_HANDLE;
  while (event->completed < event->recorded && !event->context->sticky) {
    streams_advance(); /* queued operations name it */
    if (event->completed < event->recorded)
      pause_briefly();
  }
  vec_deinit(&event->captured);
  mem_free(event);
  return CUDA_SUCCESS;
}
DECLARE(cuEventRecordWithFlags, (CUevent event, CUstream s, unsigned flags)) {
  STREAM(s);
  (void)flags;
  if (!event)
    return CUDA_ERROR_INVALID_HANDLE;
  if (event->context != stream->context)
    return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture) {
    event->capture = stream->capture;
    vec_clear(&event->captured);
    vec_append(&event->captured, stream->capture_last.data, stream->capture_last.len);
    return CUDA_SUCCESS;
  }
  event->capture = NULL;
  struct op *o = op_create(OP_RECORD, current);
  o->event = event;
  return stream_submit(stream, o);
}
DECLARE(cuEventRecord, (CUevent event, CUstream s)) { return cuEventRecordWithFlags(event, s, 0); }

static bool happened(const struct sim_event *e) {
  return __atomic_load_n(&e->completed, __ATOMIC_ACQUIRE) >= e->recorded;
}
DECLARE(cuEventQuery, (CUevent event)) {
  NEED_CONTEXT();
  if (!event)
    return CUDA_ERROR_INVALID_HANDLE;
  if (event->capture)
    return CUDA_ERROR_CAPTURED_EVENT;
  streams_advance();
  if (event->context->sticky)
    return event->context->sticky;
  return happened(event) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
DECLARE(cuEventSynchronize, (CUevent event)) {
  for (;;) {
    CUresult r = cuEventQuery(event);
    if (r != CUDA_ERROR_NOT_READY) {
      fflush(stdout);
      return r;
    }
    pause_briefly();
  }
}
DECLARE(cuEventElapsedTime_v2, (float *milliseconds, CUevent from, CUevent to)) {
  NEED(milliseconds);
  if (!from || !to || !from->recorded || !to->recorded || (from->flags & 2) || (to->flags & 2))
    return CUDA_ERROR_INVALID_HANDLE;
  if (!happened(from) || !happened(to))
    return CUDA_ERROR_NOT_READY;
  *milliseconds = (float)(1e3 * (to->seconds - from->seconds));
  return CUDA_SUCCESS;
}
DECLARE(cuEventElapsedTime, (float *milliseconds, CUevent from, CUevent to)) {
  return cuEventElapsedTime_v2(milliseconds, from, to);
}

/* Capture. */

static _Thread_local bool relaxed_thread;
static int captures; /* in modes that forbid calls that wait; atomic */

CUresult capture_allows_waiting(void) {
  return __atomic_load_n(&captures, __ATOMIC_RELAXED) && !relaxed_thread
             ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
             : CUDA_SUCCESS;
}
DECLARE(cuThreadExchangeStreamCaptureMode, (int *mode)) {
  NEED(mode && *mode >= 0 && *mode <= 2);
  int before = relaxed_thread ? 2 : 0;
  relaxed_thread = *mode == 2;
  *mode = before;
  return CUDA_SUCCESS;
}

CUresult capture_op(struct sim_stream *s, struct op *o) {
  struct sim_graph_node *n = graph_add(s->capture, o, s->capture_last.data, s->capture_last.len);
  vec_clear(&s->capture_last);
  vec_push(&s->capture_last, n);
  return CUDA_SUCCESS;
}

static void begin_capture(struct sim_stream *stream, struct sim_graph *g, int mode) {
  stream->capture = g;
  vec_push(&g->streams, stream);
  stream->capture_origin = true;
  stream->capture_mode = mode;
  vec_clear(&stream->capture_last);
  if (mode == 0)
    __atomic_add_fetch(&captures, 1, __ATOMIC_RELAXED);
}
DECLARE(cuStreamBeginCapture_v2, (CUstream s, int mode)) {
  STREAM(s);
  NEED(mode >= 0 && mode <= 2);
  if (stream->legacy)
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (stream->capture)
    return CUDA_ERROR_ILLEGAL_STATE;
  begin_capture(stream, graph_create(), mode);
  return CUDA_SUCCESS;
}
DECLARE(cuStreamBeginCaptureToGraph, (CUstream s, CUgraph graph, const CUgraphNode *dependencies,
                                      const void *edges, size_t count, int mode)) {
  (void)edges;
  STREAM(s);
  NEED(graph && mode >= 0 && mode <= 2 && (dependencies || !count) && count < 4096);
  if (stream->legacy)
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (stream->capture || graph->streams.len)
    return CUDA_ERROR_ILLEGAL_STATE;
  graph->given = true;
  begin_capture(stream, graph, mode);
  for (size_t k = 0; k < count; k++)
    vec_push(&stream->capture_last, dependencies[k]);
  return CUDA_SUCCESS;
}
DECLARE(cuStreamBeginCapture, (CUstream s)) { return cuStreamBeginCapture_v2(s, 0); }

static bool is_last(const struct sim_stream *origin, const struct sim_graph_node *n) {
  for (uint32_t k = 0; k < origin->capture_last.len; k++) {
    const struct sim_graph_node *l = origin->capture_last.data[k];
    if (l == n)
      return true;
    for (uint32_t d = 0; d < l->dependencies.len; d++)
      if (l->dependencies.data[d] == n)
        return true;
  }
  return false;
}
/* Whether some later node of the graph depends on n. */
static bool has_dependent(const struct sim_graph *g, const struct sim_graph_node *n) {
  for (uint32_t k = 0; k < g->nodes.len; k++)
    for (uint32_t d = 0; d < g->nodes.data[k]->dependencies.len; d++)
      if (g->nodes.data[k]->dependencies.data[d] == n)
        return true;
  return false;
}

DECLARE(cuStreamEndCapture, (CUstream s, CUgraph *graph)) {
  STREAM(s);
  NEED(graph);
  *graph = NULL;
  if (!stream->capture)
    return CUDA_ERROR_ILLEGAL_STATE;
  if (!stream->capture_origin)
    return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  struct sim_graph *g = stream->capture;
  bool joined = true;
  for (uint32_t k = 0; k < g->streams.len; k++) {
    struct sim_stream *o = g->streams.data[k];
    for (uint32_t n = 0; o != stream && n < o->capture_last.len; n++)
      joined &=
          is_last(stream, o->capture_last.data[n]) || has_dependent(g, o->capture_last.data[n]);
  }
  for (uint32_t k = 0; k < g->streams.len; k++) {
    g->streams.data[k]->capture = NULL;
    vec_deinit(&g->streams.data[k]->capture_last);
  }
  vec_deinit(&g->streams);
  if (stream->capture_mode == 0)
    __atomic_sub_fetch(&captures, 1, __ATOMIC_RELAXED);
  if (!joined) {
    if (!g->given)
      graph_destroy(g);
    return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
  }
  *graph = g;
  return CUDA_SUCCESS;
}
DECLARE(cuStreamIsCapturing, (CUstream s, int *state)) {
  STREAM(s);
  NEED(state);
  *state = stream->capture != NULL;
  return CUDA_SUCCESS;
}
DECLARE(cuStreamGetCaptureInfo_v2, (CUstream s, int *state, uint64_t *id, CUgraph *graph,
                                    const CUgraphNode **dependencies, size_t *count)) {
  STREAM(s);
  NEED(state);
  *state = stream->capture != NULL;
  if (!stream->capture)
    return CUDA_SUCCESS;
  if (id)
    *id = stream->capture->id;
  if (graph)
    *graph = stream->capture;
  if (dependencies)
    *dependencies = (const CUgraphNode *)stream->capture_last.data;
  if (count)
    *count = stream->capture_last.len;
  return CUDA_SUCCESS;
}
DECLARE(cuStreamGetCaptureInfo, (CUstream s, int *state, uint64_t *id)) {
  return cuStreamGetCaptureInfo_v2(s, state, id, NULL, NULL, NULL);
}
DECLARE(cuStreamGetCaptureInfo_v3,
        (CUstream s, int *state, uint64_t *id, CUgraph *graph, const CUgraphNode **dependencies,
         const void **edges, size_t *count)) {
  if (edges)
    *edges = NULL;
  return cuStreamGetCaptureInfo_v2(s, state, id, graph, dependencies, count);
}
DECLARE(cuStreamUpdateCaptureDependencies,
        (CUstream s, CUgraphNode *dependencies, size_t count, unsigned flags)) {
  STREAM(s);
  if (!stream->capture)
    return CUDA_ERROR_ILLEGAL_STATE;
  NEED(flags < 2 && (dependencies || !count) && count < 4096);
  if (flags)
    vec_clear(&stream->capture_last);
  for (size_t k = 0; k < count; k++)
    vec_push(&stream->capture_last, dependencies[k]);
  return CUDA_SUCCESS;
}
DECLARE(cuStreamUpdateCaptureDependencies_v2,
        (CUstream s, CUgraphNode *dependencies, const void *edges, size_t count, unsigned flags)) {
  (void)edges;
  return cuStreamUpdateCaptureDependencies(s, dependencies, count, flags);
}
