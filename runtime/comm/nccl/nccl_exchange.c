/* SPDX-License-Identifier: Apache-2.0 */
/* The kind of communication that NVIDIA GPUs have: NCCL's collectives on each rank's own stream. */
#include "base/mem.h"
#include "runtime/comm/nccl/nccl_state.h"

#include <string.h>

/* --- Types --- */

static int type_of(enum dtype dtype) {
  switch (dtype) {
  case DTYPE_F32: return NCCL_F32;
  case DTYPE_F64: return NCCL_F64;
  case DTYPE_F16: return NCCL_F16;
  case DTYPE_BF16: return NCCL_BF16;
  case DTYPE_I8: return NCCL_I8;
  case DTYPE_U8:
  case DTYPE_BOOL: return NCCL_U8;
  case DTYPE_I32: return NCCL_I32;
  case DTYPE_U32: return NCCL_U32;
  case DTYPE_I64: return NCCL_I64;
  case DTYPE_U64: return NCCL_U64;
  default: return NCCL_NO_TYPE;
  }
}

/* All are: with those that NCCL does not have nccl_combine.c helps. */
static bool nccl_on_device(const struct comm *c, const struct plan_exchange *exchange) {
  (void)c;
  (void)exchange;
  return true;
}

/* --- One exchange --- */

/* A rank's part in one: what travels is bytes, what is combined has a type. */
struct part {
  struct nccl_rank *rank;
  const struct nccl_api *api;
  const struct plan_exchange *exchange;
  nccl_handle *handle;
  cuda_stream *stream;
  uint32_t place, n;
  int result; /* the first that is not a success */
};

static void note(struct part *p, int result) {
  if (!p->result || p->result == NCCL_IN_PROGRESS)
    p->result = result ? result : p->result;
}

static int reduction_of(const Engine__Exchange *body) {
  static const int ops[] = {NCCL_SUM, NCCL_MAX, NCCL_MIN, NCCL_PROD};
  return ops[body->reduction];
}

static void send_and_receive(struct part *p, const struct comm_block *b, uint64_t bytes) {
  const Engine__Exchange *body = p->exchange->body;
  bool permute = body->kind == ENGINE__EXCHANGE_KIND__PERMUTE;
  for (uint32_t q = 0; q < p->n; q++) {
    if (!permute || body->from[q] == p->place)
      note(p, p->api->send(b->src + (permute ? 0 : q * bytes), bytes, NCCL_U8, (int)q, p->handle,
                           p->stream));
    if (!permute || body->from[p->place] == q)
      note(p, p->api->receive(b->dst + (permute ? 0 : q * bytes), bytes, NCCL_U8, (int)q, p->handle,
                              p->stream));
  }
}

static void enqueue(struct part *p, const struct comm_block *b) {
  uint64_t bytes = b->elements * dtype_unpacked_bytes(b->dtype);
  if (!b->elements)
    return;
  switch (p->exchange->body->kind) {
  case ENGINE__EXCHANGE_KIND__ALL_REDUCE:
    note(p, p->api->all_reduce(b->src, b->dst, b->elements, type_of(b->dtype),
                               reduction_of(p->exchange->body), p->handle, p->stream));
    break;
  case ENGINE__EXCHANGE_KIND__ALL_GATHER:
    note(p, p->api->all_gather(b->src, b->dst, bytes, NCCL_U8, p->handle, p->stream));
    break;
  case ENGINE__EXCHANGE_KIND__REDUCE_SCATTER:
    note(p, p->api->reduce_scatter(b->src, b->dst, b->elements, type_of(b->dtype),
                                   reduction_of(p->exchange->body), p->handle, p->stream));
    break;
  default: send_and_receive(p, b, bytes);
  }
}

/* What those that wait in vain are told of. */
static void note_exchange(struct nccl_rank *r, uint32_t number) {
  if (!r->in_flight)
    r->first = number;
  r->last = number;
  r->in_flight = true;
}

static void nccl_repeat(struct comm *c, uint32_t rank, const struct plan_exchange *exchange,
                        const struct comm_block *blocks, uint32_t n) {
  struct nccl_rank *r = nccl_rank_of(c, rank);
  uint32_t place = plan_group_place(c->plan, &c->plan->groups[exchange->group], rank);
  uint32_t number = exchange->body->number;
  for (uint32_t i = 0; i < n; i++)
    r->received[number] += comm_rank_bytes(c->plan, exchange, place, blocks[i].elements,
                                           dtype_unpacked_bytes(blocks[i].dtype));
  r->times[number]++;
  note_exchange(r, number);
}

/* Alone in a group, a rank's block is the result. */
static status copy_blocks(struct comm *c, struct nccl_rank *r, const struct comm_block *blocks,
                          uint32_t n) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < n && !st; i++)
    st = c->driver->copy(r->device, blocks[i].dst, blocks[i].src,
                         blocks[i].elements * dtype_unpacked_bytes(blocks[i].dtype));
  return st;
}

static status put_on_device(struct comm *c, struct nccl_rank *r,
                            const struct plan_exchange *exchange, const struct comm_block *blocks,
                            uint32_t n) {
  const struct plan_group *group = &c->plan->groups[exchange->group];
  if (group->size == 1)
    return copy_blocks(c, r, blocks, n);
  struct part p = {.rank = r,
                   .api = c->api,
                   .exchange = exchange,
                   .handle = r->groups[exchange->group],
                   .stream = r->device->stream,
                   .place = plan_group_place(c->plan, group, r->number),
                   .n = group->size};
  r->device->api->context_set(r->device->context);
  note(&p, c->api->group_start());
  for (uint32_t i = 0; i < n; i++)
    if (!nccl_combines(exchange->body, blocks[i].dtype))
      enqueue(&p, &blocks[i]);
  note(&p, c->api->group_end());
  status st = nccl_result(r, p.result, comm_kind_text(exchange->body->kind));
  for (uint32_t i = 0; i < n && !st; i++)
    if (nccl_combines(exchange->body, blocks[i].dtype))
      st = nccl_combine(r, exchange, &blocks[i]);
  return st;
}

static status checked_exchange(struct comm *c, struct nccl_rank *r,
                               const struct plan_exchange *exchange,
                               const struct comm_block *blocks, uint32_t n, uint64_t decisions) {
  status st = nccl_check_begin(c, r, exchange, blocks, n, decisions);
  if (!st)
    st = put_on_device(c, r, exchange, blocks, n);
  return st ? st : nccl_check_end(c, r, exchange, blocks, n);
}

static status nccl_exchange(struct comm *c, uint32_t rank, const struct plan_exchange *exchange,
                            const struct comm_block *blocks, uint32_t n, uint64_t decisions) {
  struct nccl_rank *r = nccl_rank_of(c, rank);
  if (c->check) {
    note_exchange(r, exchange->body->number);
    return checked_exchange(c, r, exchange, blocks, n, decisions);
  }
  status st = c->controls->agree(c->control, rank, exchange, blocks, n, decisions);
  if (st)
    return st;
  nccl_repeat(c, rank, exchange, blocks, n);
  return put_on_device(c, r, exchange, blocks, n);
}

/* --- Runs --- */

static status nccl_begin(struct comm *c, uint32_t rank, const struct comm_agreement *agreement) {
  struct nccl_rank *r = nccl_rank_of(c, rank);
  size_t n = c->plan->exchange_count;
  if (n) {
    memset(r->received, 0, n * sizeof *r->received);
    memset(r->times, 0, n * sizeof *r->times);
  }
  r->in_flight = false;
  return c->controls->begin(c->control, rank, agreement);
}

static status nccl_agree(struct comm *c, uint32_t rank, const struct plan_exchange *exchange,
                         const struct comm_block *blocks, uint32_t n, uint64_t decisions) {
  return c->controls->agree(c->control, rank, exchange, blocks, n, decisions);
}

static status nccl_vote(struct comm *c, uint32_t rank, uint32_t mine, uint32_t *out_least) {
  return c->controls->vote(c->control, rank, mine, out_least);
}

static status nccl_finish(struct comm *c, uint32_t rank, uint64_t decisions) {
  return c->controls->finish(c->control, rank, decisions);
}

/* A collective that others are in never ends by itself: the communicators are given up, and made
 * anew for the next run. */
static status nccl_fail(struct comm *c, uint32_t rank) {
  status st = c->controls->fail(c->control, rank);
  struct nccl_rank *r = c->ranks ? nccl_rank_of(c, rank) : NULL;
  if (!r || !r->in_flight)
    return st;
  struct fault cause;
  fault_save(&cause);
  nccl_link_abort(r);
  cuda_device_drain(r->device);
  return fault_restore(&cause);
}

static bool nccl_failed(const struct comm *c) { return c->controls->failed(c->control); }

static void nccl_reset(struct comm *c) { c->controls->reset(c->control); }

static _Atomic uint32_t *nccl_heartbeat(struct comm *c, uint32_t rank) {
  return c->controls->heartbeat(c->control, rank);
}

static uint64_t nccl_received(const struct comm *c, uint32_t rank, uint32_t number,
                              uint64_t *out_times) {
  const struct nccl_rank *r = nccl_rank_of(c, rank);
  uint64_t bytes = c->controls->received(c->control, rank, number, out_times);
  *out_times += r->times[number];
  return bytes + r->received[number];
}

static void nccl_damage(struct comm *c, uint32_t rank, enum comm_damage damage) {
  c->controls->damage(c->control, rank, damage);
}

/* --- Life --- */

static void watch_devices(struct comm *c, bool on) {
  for (uint32_t i = 0; i < c->n; i++)
    if (c->ranks[i].device)
      cuda_device_watch(c->ranks[i].device, on ? nccl_watch : NULL, &c->ranks[i]);
}

static status prepare(struct comm *c, uint32_t first, uint32_t n, struct device *const *devices) {
  uint32_t groups = c->plan->group_count, exchanges = c->plan->exchange_count;
  c->ranks = mem_try_calloc(n, sizeof *c->ranks);
  if (!c->ranks)
    return fault_no_memory("communication", n * sizeof *c->ranks);
  c->first = first;
  c->n = n;
  for (uint32_t i = 0; i < n; i++) {
    struct nccl_rank *r = &c->ranks[i];
    *r = (struct nccl_rank){.comm = c, .number = first + i, .device = devices[i]};
    r->groups = mem_try_calloc(groups + 1, sizeof *r->groups);
    r->received = mem_try_calloc(exchanges + 1, sizeof *r->received);
    r->times = mem_try_calloc(exchanges + 1, sizeof *r->times);
    if (!r->groups || !r->received || !r->times)
      return fault_no_memory("communication", groups * sizeof *r->groups);
  }
  watch_devices(c, true);
  return STATUS_OK;
}

static status nccl_connect(struct comm *c, uint32_t first, uint32_t n,
                           struct device *const *devices) {
  status st = STATUS_OK;
  if (c->connected && !atomic_load(&c->broken))
    return st;
  if (!c->ranks)
    st = prepare(c, first, n, devices);
  else
    nccl_link_close(c, true);
  atomic_store(&c->broken, true);
  if (!st)
    st = nccl_combine_load(c);
  if (!st)
    st = nccl_link_open(c);
  if (!st)
    st = nccl_known_answers(c);
  if (st)
    return st;
  atomic_store(&c->broken, false);
  c->connected = true;
  return STATUS_OK;
}

static void nccl_destroy(struct comm *c) {
  if (!c)
    return;
  if (c->ranks) {
    watch_devices(c, false);
    nccl_link_close(c, atomic_load(&c->broken));
  }
  for (uint32_t i = 0; c->ranks && i < c->n; i++) {
    nccl_combine_unload(&c->ranks[i]);
    nccl_check_deinit(&c->ranks[i].check);
    mem_free(c->ranks[i].groups);
    mem_free(c->ranks[i].received);
    mem_free(c->ranks[i].times);
  }
  if (c->control)
    c->controls->destroy(c->control);
  mem_free(c->ranks);
  mem_free(c);
}

static status nccl_create(const struct comm_options *options, struct comm **out_comm) {
  struct comm *c = mem_try_calloc(1, sizeof *c);
  if (!c)
    return fault_no_memory("communication", sizeof *c);
  c->plan = options->plan;
  c->driver = options->driver;
  c->cancelled = options->cancelled;
  c->deadline_ns = options->deadline_ns;
  c->check = options->check;
  c->controls = options->controls ? options->controls : &host_comm;
  const struct cuda_api *cuda; /* NCCL takes the driver that is there */
  bool simulated = options->driver == &sim_driver;
  status st = simulated ? cuda_api_load_simulated(c->plan->ranks, &cuda) : cuda_api_load(&cuda);
  if (!st)
    st = nccl_api_load(simulated, &c->api);
  if (!st)
    st = c->controls->create(options, &c->control);
  if (st)
    nccl_destroy(c);
  else
    *out_comm = c;
  return st;
}

const struct comm_driver nccl_comm = {
    .name = "nccl",
    .create = nccl_create,
    .destroy = nccl_destroy,
    .connect = nccl_connect,
    .on_device = nccl_on_device,
    .begin = nccl_begin,
    .exchange = nccl_exchange,
    .agree = nccl_agree,
    .repeat = nccl_repeat,
    .vote = nccl_vote,
    .finish = nccl_finish,
    .fail = nccl_fail,
    .failed = nccl_failed,
    .reset = nccl_reset,
    .heartbeat = nccl_heartbeat,
    .received = nccl_received,
    .damage = nccl_damage,
};
