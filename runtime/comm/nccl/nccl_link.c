/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL's communicators: making them without blocking, looking after them, ending them. */
#include "base/clock.h"
#include "base/mem.h"
#include "runtime/comm/nccl/nccl_state.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

static void doze(void) { nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL); }

static status nccl_fault(struct nccl_rank *r, int result, const char *what) {
  const struct nccl_api *api = r->comm->api;
  const char *text = api->error_text(result),
             *detail = api->last_error ? api->last_error(NULL) : "";
  if (detail && strstr(detail, "out of memory"))
    return fault_report(DIAG_E0615, NULL, NULL, "rank %u: NCCL is out of memory: %s", r->number,
                        what);
  return fault_report(DIAG_E0731, NULL, "NCCL_DEBUG=WARN makes NCCL say more",
                      "rank %u, %s: NCCL: %s%s%s", r->number, what, text ? text : "unknown error",
                      detail && *detail ? ": " : "", detail ? detail : "");
}

/* --- Looking after them --- */

static uint32_t signs_of_life(const struct comm *c) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < c->plan->ranks; i++)
    sum = sum * 31 +
          atomic_load_explicit(c->controls->heartbeat(c->control, i), memory_order_relaxed);
  return sum;
}

static int state_of_one(const struct comm *c, nccl_handle *handle) {
  int state = NCCL_SUCCESS, result = handle ? c->api->async_error(handle, &state) : NCCL_SUCCESS;
  return result ? result : state;
}

/* The first of a rank's communicators that is not at peace. */
static int state_of(const struct nccl_rank *r) {
  const struct comm *c = r->comm;
  int state = state_of_one(c, r->world);
  for (uint32_t g = 0; g < c->plan->group_count && (!state || state == NCCL_IN_PROGRESS); g++) {
    int next = r->groups[g] == r->world ? state : state_of_one(c, r->groups[g]);
    state = next ? next : state;
  }
  return state;
}

static status look_for_errors(struct nccl_rank *r) {
  int state = state_of(r);
  return !state || state == NCCL_IN_PROGRESS ? STATUS_OK
                                             : nccl_fault(r, state, "exchanging elements");
}

static status report_silence(struct nccl_rank *r) {
  const struct comm *c = r->comm;
  const struct plan_exchange *e = r->in_flight ? &c->plan->exchanges[r->first] : NULL;
  char node[256];
  const char *where = e ? plan_node_text(c->plan, e->step, node, sizeof node) : NULL;
  if (!e)
    return fault_report(DIAG_E0703, NULL, "the deadline is an option of the session",
                        "rank %u has waited %.1f s for its GPU", r->number,
                        (double)c->deadline_ns * 1e-9);
  return fault_report(DIAG_E0703, where, "the deadline is an option of the session",
                      "rank %u has waited %.1f s for exchange %u (%s)%s, and no rank did anything",
                      r->number, (double)c->deadline_ns * 1e-9, r->first,
                      comm_kind_text(e->body->kind),
                      r->last != r->first ? " or one behind it" : "");
}

status nccl_watch(void *user, bool begins) {
  struct nccl_rank *r = user;
  struct comm *c = r->comm;
  uint64_t now = clock_now_ns();
  if (begins) /* or did something: others that wait for this rank are to see it */
    atomic_fetch_xor(c->controls->heartbeat(c->control, r->number), COMM_SIGN_OF_LIFE);
  uint32_t signs = signs_of_life(c);
  if (begins || signs != r->signs)
    r->since = now;
  r->signs = signs;
  if (begins)
    return STATUS_OK;
  if (c->controls->failed(c->control))
    return c->controls->fail(c->control, r->number);
  if (c->cancelled && atomic_load_explicit(c->cancelled, memory_order_relaxed))
    return fault_report(DIAG_E0617, NULL, NULL, "the run was cancelled");
  status st = look_for_errors(r);
  return st || now - r->since < c->deadline_ns ? st : report_silence(r);
}

/* Whether those of several ranks are at peace: all are asked, since some NCCLs go on only in calls.
 */
static status ask(struct nccl_rank *ranks, uint32_t n, const char *what, bool *out_waits) {
  *out_waits = false;
  for (uint32_t i = 0; i < n; i++) {
    int state = state_of(&ranks[i]);
    if (state && state != NCCL_IN_PROGRESS)
      return nccl_fault(&ranks[i], state, what);
    *out_waits |= state == NCCL_IN_PROGRESS;
  }
  return STATUS_OK;
}

static status settle(struct nccl_rank *ranks, uint32_t n, const char *what) {
  const struct comm *c = ranks->comm;
  bool waits = true;
  status st = STATUS_OK;
  for (uint64_t start = clock_now_ns(); waits && !st;) {
    st = ask(ranks, n, what, &waits);
    if (!st && waits && c->controls->failed(c->control))
      st = c->controls->fail(c->control, ranks->number);
    else if (!st && waits && clock_now_ns() - start > c->deadline_ns)
      st = fault_report(DIAG_E0703, NULL, "the deadline is an option of the session",
                        "rank %u has waited %.1f s for NCCL: %s", ranks->number,
                        (double)c->deadline_ns * 1e-9, what);
    else if (!st && waits)
      doze();
  }
  return st;
}

status nccl_result(struct nccl_rank *r, int result, const char *what) {
  if (!result)
    return STATUS_OK;
  return result == NCCL_IN_PROGRESS ? settle(r, 1, what) : nccl_fault(r, result, what);
}

/* --- Making them --- */

static struct nccl_config not_blocking(void) {
  return (struct nccl_config){.size = sizeof(struct nccl_config),
                              .magic = NCCL_CONFIG_MAGIC,
                              .version = NCCL_CONFIG_VERSION,
                              .blocking = 0,
                              .cga_cluster = NCCL_CONFIG_UNDEFINED,
                              .min_ctas = NCCL_CONFIG_UNDEFINED,
                              .max_ctas = NCCL_CONFIG_UNDEFINED,
                              .split_share = NCCL_CONFIG_UNDEFINED};
}

/* Ranks of one process are made by one thread, so their calls are a group. */
static status finish_group(struct comm *c, int result, const char *what) {
  int ended = c->api->group_end();
  if (!result || result == NCCL_IN_PROGRESS)
    result = ended;
  if (result && result != NCCL_IN_PROGRESS)
    return nccl_fault(&c->ranks[0], result, what);
  return settle(c->ranks, c->n, what);
}

static status use_device(struct nccl_rank *r) {
  int result = r->device->api->context_set(r->device->context);
  return result == CUDA_SUCCESS ? STATUS_OK : cuda_fail(r->device->api, result, "using the GPU");
}

/* One for all ranks: that of rank 0, where others are in other processes. */
static status make_id(struct comm *c, struct nccl_id *out) {
  _Static_assert(sizeof *out <= COMM_GIFT, "an id is small enough to be given to all");
  int result = c->api->unique_id(out);
  if (result)
    return nccl_fault(&c->ranks[0], result, "making an id");
  if (c->n == c->plan->ranks)
    return STATUS_OK;
  struct nccl_id *all = mem_try_calloc(c->plan->ranks, sizeof *all);
  if (!all)
    return fault_no_memory("ids", c->plan->ranks * sizeof *all);
  status st = c->controls->gather(c->control, c->first, out, sizeof *out, all);
  *out = all[0];
  mem_free(all);
  return st;
}

static status open_world(struct comm *c) {
  struct nccl_config config = not_blocking();
  struct nccl_id id;
  int result = NCCL_SUCCESS;
  status st = make_id(c, &id);
  if (st)
    return st;
  c->api->group_start();
  for (uint32_t i = 0; i < c->n && !st && (!result || result == NCCL_IN_PROGRESS); i++) {
    st = use_device(&c->ranks[i]);
    if (!st)
      result = c->api->init(&c->ranks[i].world, (int)c->plan->ranks, id, (int)c->ranks[i].number,
                            &config);
  }
  status ended = finish_group(c, result, "connecting all ranks");
  return st ? st : ended;
}

/* The members of a group are named by the first of them. */
static status open_group(struct comm *c, uint32_t g) {
  const struct plan_group *group = &c->plan->groups[g];
  struct nccl_config config = not_blocking();
  int result = NCCL_SUCCESS;
  status st = STATUS_OK;
  c->api->group_start();
  for (uint32_t i = 0; i < c->n && !st && (!result || result == NCCL_IN_PROGRESS); i++) {
    struct nccl_rank *r = &c->ranks[i];
    st = use_device(r);
    if (!st)
      result =
          c->api->split(r->world, (int)plan_group_rank(c->plan, group, r->number, 0),
                        (int)plan_group_place(c->plan, group, r->number), &r->groups[g], &config);
  }
  status ended = finish_group(c, result, "connecting the ranks of a group");
  return st ? st : ended;
}

/* Whether the group is all ranks, in the order of their numbers. */
static bool is_world(const struct plan *plan, const struct plan_group *group) {
  if (group->size != plan->ranks)
    return false;
  for (uint32_t i = 0; i < plan->ranks; i++)
    if (plan_group_place(plan, group, i) != i)
      return false;
  return true;
}

status nccl_link_open(struct comm *c) {
  status st = open_world(c);
  for (uint32_t g = 0; g < c->plan->group_count && !st; g++) {
    if (c->plan->groups[g].size == 1)
      continue;
    if (is_world(c->plan, &c->plan->groups[g]))
      for (uint32_t i = 0; i < c->n; i++)
        c->ranks[i].groups[g] = c->ranks[i].world;
    else
      st = open_group(c, g);
  }
  return st;
}

/* --- Ending them --- */

struct ending {
  const struct nccl_api *api;
  struct device *device;
  nccl_handle *handle;
};

static void *end_one(void *argument) {
  struct ending *e = argument;
  e->device->api->context_set(e->device->context);
  e->api->abort(e->handle);
  mem_free(e);
  return NULL;
}

/* An abort waits for the communicator's kernels, which may stand behind those of another one: each
 * has a thread. One that does not come back is left behind. */
#define GRACE_S 5

static bool begin_abort(struct nccl_rank *r, nccl_handle *handle, pthread_t *out_thread) {
  struct ending *e = mem_try_alloc(sizeof *e);
  if (!e) {
    r->comm->api->abort(handle);
    return false;
  }
  *e = (struct ending){r->comm->api, r->device, handle};
  if (pthread_create(out_thread, NULL, end_one, e) == 0)
    return true;
  end_one(e);
  return false;
}

static void end_abort(pthread_t thread) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += GRACE_S;
  if (pthread_timedjoin_np(thread, NULL, &until))
    pthread_detach(thread);
}

#define MOST_AT_ONCE 16u

static void abort_all(struct nccl_rank *r) {
  const struct comm *c = r->comm;
  pthread_t threads[MOST_AT_ONCE];
  uint32_t n = 0;
  if (!r->groups)
    return;
  for (uint32_t g = 0; g <= c->plan->group_count; g++) {
    nccl_handle **handle = g < c->plan->group_count ? &r->groups[g] : &r->world;
    if (!*handle || (handle != &r->world && *handle == r->world)) {
      *handle = NULL;
      continue;
    }
    if (n == MOST_AT_ONCE)
      end_abort(threads[--n]);
    n += begin_abort(r, *handle, &threads[n]);
    *handle = NULL;
  }
  while (n)
    end_abort(threads[--n]);
}

void nccl_link_abort(struct nccl_rank *r) {
  atomic_store(&r->comm->broken, true);
  abort_all(r);
  r->in_flight = false;
}

void nccl_link_close(struct comm *c, bool abort) {
  for (uint32_t i = 0; i < c->n; i++) {
    struct nccl_rank *r = &c->ranks[i];
    if (r->device)
      r->device->api->context_set(r->device->context);
    if (abort || !r->groups) {
      abort_all(r);
      continue;
    }
    for (uint32_t g = 0; g < c->plan->group_count; g++) {
      if (r->groups[g] && r->groups[g] != r->world)
        c->api->destroy(r->groups[g]);
      r->groups[g] = NULL;
    }
    if (r->world)
      c->api->destroy(r->world);
    r->world = NULL;
  }
}
