/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a GPU, and what becomes of one that fails. */
#include <time.h>

#include "runtime/drivers/cuda/cuda_device.h"

#include "base/clock.h"
#include "runtime/futex.h"

/* --- Errors --- */

status cuda_device_dead(const struct device *device) {
  return fault_follow(DIAG_E0725, &device->death,
                      "create another session, in a new process if the GPU is still refused",
                      "the GPU cannot be used any more");
}

bool cuda_device_lost(const struct device *device) { return device->dead; }

status cuda_device_fail(struct device *device, int result, const char *what) {
  status st = cuda_fail(device->api, result, what);
  if (cuda_classify(result) == CUDA_STICKY && !device->dead) {
    fault_save(&device->death);
    device->dead = true;
  }
  return st;
}

/* --- Waiting --- */

/* Simulated GPUs work inside of a query. */
#define WORKED_NS 1000000u

/* Asks once; whether the GPU was seen to work. */
static int query(struct device *device, cuda_event *event, bool *out_worked) {
  uint64_t wall = clock_now_ns(), cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
  int result = event ? device->api->event_query(event) : device->api->stream_query(device->stream);
  *out_worked =
      clock_now_ns() - wall > WORKED_NS && clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu > WORKED_NS;
  return result;
}

/* The host spins for what is short, then sleeps in between. */
#define SPIN_NS 100000u

static void rest(uint64_t waited_ns) {
  if (waited_ns < SPIN_NS)
    FUTEX_PAUSE();
  else
    nanosleep(&(struct timespec){.tv_nsec = waited_ns < 50 * SPIN_NS ? 50000 : 300000}, NULL);
}

/* For the event, or for all work. */
static status watch_until(struct device *device, cuda_event *event) {
  uint64_t start = clock_now_ns(), looked = start;
  status st = device->watch(device->watch_user, true);
  while (!st) {
    bool worked;
    int result = query(device, event, &worked);
    if (result != CUDA_NOT_READY)
      return result == CUDA_SUCCESS ? STATUS_OK
                                    : cuda_device_fail(device, result, "running kernels");
    uint64_t now = clock_now_ns();
    if (worked)
      device->watch(device->watch_user, true);
    if (now - looked > SPIN_NS) {
      st = device->watch(device->watch_user, false);
      looked = now;
    }
    if (!worked)
      rest(now - start);
  }
  return st;
}

status cuda_device_wait(struct device *device) {
  if (!device->watch)
    CUDA_TRY(device, "running kernels", stream_wait(device->stream));
  else {
    CUDA_TRY(device, "using the GPU", context_set(device->context));
    status st = watch_until(device, NULL);
    if (st)
      return st;
  }
  device->queued = 0;
  device->marked = false;
  return STATUS_OK;
}

/* The driver takes about a thousand launches before it waits for room. */
#define MOST_QUEUED 256u

status cuda_device_make_room(struct device *device) {
  if (device->recording || ++device->queued < MOST_QUEUED)
    return STATUS_OK;
  if (!device->mark)
    CUDA_TRY(device, "making an event", event_create(&device->mark, CUDA_EVENT_DISABLE_TIMING));
  if (device->marked && device->watch) {
    status st = watch_until(device, device->mark);
    if (st)
      return st;
  }
  CUDA_TRY(device, "recording an event", event_record(device->mark, device->stream));
  device->marked = true;
  device->queued = 0;
  return STATUS_OK;
}

#define DRAIN_NS 5000000000u

void cuda_device_drain(struct device *device) {
  if (device->dead || device->api->context_set(device->context) != CUDA_SUCCESS)
    return;
  uint64_t start = clock_now_ns(), now = start;
  int result = CUDA_NOT_READY;
  for (bool worked; result == CUDA_NOT_READY && now - start < DRAIN_NS;) {
    result = query(device, NULL, &worked);
    now = clock_now_ns();
    if (worked)
      start = now;
    if (result == CUDA_NOT_READY)
      rest(now - start);
  }
  device->queued = 0;
  device->marked = false;
  if (result == CUDA_SUCCESS)
    return;
  if (result == CUDA_NOT_READY)
    fault_report(DIAG_E0722, NULL, NULL, "work that was given up does not end");
  else
    cuda_device_fail(device, result, "ending work that was given up");
  if (!device->dead)
    fault_save(&device->death);
  device->dead = true;
}

void cuda_device_watch(struct device *device, cuda_watch *watch, void *user) {
  device->watch = watch;
  device->watch_user = user;
}
