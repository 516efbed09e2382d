/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A communicator that joins other ranks than the plan means gives wrong numbers and no error. So
 * each is tried before it is used: its members' numbers are gathered, which shows who they are and
 * in which order, their squares are added, and each member's number is sent on to the next.
 */
#include "base/mem.h"
#include "runtime/comm/nccl/nccl_state.h"

#include <string.h>

/* A rank's memory in a trial: own number and its square; then what the exchanges give. */
struct trial {
  int64_t own, square;
  int64_t sum, before;
  int64_t members[];
};

struct trials {
  struct comm *c;
  uint32_t group;
  struct driver_buffer *buffers; /* per rank of this process */
  struct trial *trial;           /* on the host */
  uint64_t bytes;
};

static status enqueue(struct trials *t, struct nccl_rank *r, struct trial *place) {
  const struct nccl_api *api = t->c->api;
  const struct plan_group *group = &t->c->plan->groups[t->group];
  nccl_handle *handle = r->groups[t->group];
  cuda_stream *stream = r->device->stream;
  int n = (int)group->size, at = (int)plan_group_place(t->c->plan, group, r->number);
  int results[4] = {
      api->all_gather(&place->own, place->members, 1, NCCL_I64, handle, stream),
      api->all_reduce(&place->square, &place->sum, 1, NCCL_I64, NCCL_SUM, handle, stream),
      api->send(&place->own, 1, NCCL_I64, (at + 1) % n, handle, stream),
      api->receive(&place->before, 1, NCCL_I64, (at + n - 1) % n, handle, stream),
  };
  for (int i = 0; i < 4; i++)
    if (results[i] && results[i] != NCCL_IN_PROGRESS)
      return nccl_result(r, results[i], "trying a group");
  return STATUS_OK;
}

static status write_all(struct trials *t) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < t->c->n && !st; i++) {
    struct nccl_rank *r = &t->c->ranks[i];
    int64_t own = (int64_t)r->number + 1;
    memset(t->trial, 0xff, t->bytes);
    t->trial->own = own;
    t->trial->square = own * own;
    st = t->c->driver->buffer_reserve(r->device, &t->buffers[i], t->bytes, false);
    if (!st)
      st = t->c->driver->write(r->device, t->buffers[i].data, t->trial, t->bytes);
  }
  return st;
}

static status run_all(struct trials *t) {
  struct comm *c = t->c;
  status st = STATUS_OK;
  c->api->group_start();
  for (uint32_t i = 0; i < c->n && !st; i++) {
    struct nccl_rank *r = &c->ranks[i];
    r->device->api->context_set(r->device->context);
    st = enqueue(t, r, (struct trial *)(void *)t->buffers[i].data);
  }
  int result = c->api->group_end();
  for (uint32_t i = 0; i < c->n && !st; i++)
    st = nccl_result(&c->ranks[i], result, "trying a group");
  return st;
}

static status compare(struct trials *t, struct nccl_rank *r) {
  const struct plan *plan = t->c->plan;
  const struct plan_group *group = &plan->groups[t->group];
  uint32_t n = group->size, at = plan_group_place(plan, group, r->number);
  int64_t sum = 0;
  bool good = true;
  for (uint32_t i = 0; i < n; i++) {
    int64_t member = (int64_t)plan_group_rank(plan, group, r->number, i) + 1;
    good &= t->trial->members[i] == member;
    sum += member * member;
  }
  int64_t before = (int64_t)plan_group_rank(plan, group, r->number, (at + n - 1) % n) + 1;
  if (good && t->trial->sum == sum && t->trial->before == before)
    return STATUS_OK;
  return fault_report(DIAG_E0732, NULL, "try another version of NCCL",
                      "rank %u of group %u (of %u ranks) %s, in a trial before any run", r->number,
                      t->group, n,
                      good ? "received a wrong sum, or from the wrong rank"
                           : "is connected to other ranks than the plan says");
}

static status try_group(struct trials *t) {
  struct comm *c = t->c;
  status st = write_all(t);
  if (!st)
    st = run_all(t);
  for (uint32_t i = 0; i < c->n && !st; i++) {
    st = c->driver->read(c->ranks[i].device, t->trial, t->buffers[i].data, t->bytes);
    if (!st)
      st = compare(t, &c->ranks[i]);
  }
  return st;
}

/* What is still under way uses memory that is about to go. */
static void give_up(struct comm *c) {
  struct fault cause;
  fault_save(&cause);
  nccl_link_close(c, true);
  for (uint32_t i = 0; i < c->n; i++)
    cuda_device_drain(c->ranks[i].device);
  fault_restore(&cause);
}

status nccl_known_answers(struct comm *c) {
  struct trials t = {.c = c, .bytes = sizeof(struct trial) + c->plan->ranks * sizeof(int64_t)};
  t.buffers = mem_try_calloc(c->n, sizeof *t.buffers);
  t.trial = mem_try_alloc(t.bytes);
  status st = t.buffers && t.trial ? STATUS_OK : fault_no_memory("a trial", t.bytes);
  for (t.group = 0; t.group < c->plan->group_count && !st; t.group++)
    if (c->plan->groups[t.group].size > 1)
      st = try_group(&t);
  if (st)
    give_up(c);
  for (uint32_t i = 0; t.buffers && i < c->n; i++)
    c->driver->buffer_release(c->ranks[i].device, &t.buffers[i]);
  mem_free(t.buffers);
  mem_free(t.trial);
  return st;
}
