/* SPDX-License-Identifier: Apache-2.0 */
/* The control connections: frames, the thread that reads and answers them, gathers, failures. */
#include "runtime/process/world.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "runtime/futex.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum frame_type {
  FRAME_SIGN = 1, /* to rank 0: a world_sign */
  FRAME_SIGNS,    /* from rank 0: those of all */
  FRAME_FAIL,     /* to rank 0: a cause */
  FRAME_CAUSE,    /* from rank 0: the first one */
  FRAME_BLOB,     /* to rank 0: a blob of a gather */
  FRAME_BLOBS,    /* from rank 0: those of all */
  FRAME_BYE,
};

struct frame {
  uint64_t magic;
  uint32_t version, type, from, bytes; /* of what follows */
  uint64_t number;                     /* of a gather */
  uint64_t check;                      /* hash of all else, and of what follows */
};

static uint64_t frame_check(const struct frame *f, const uint8_t *body) {
  struct frame bare = *f;
  bare.check = 0;
  return hash_bytes(body, f->bytes, hash_bytes(&bare, sizeof bare, 0));
}

/* --- Sending. Under the mutex. --- */

static void wake_watcher(struct sinter_world *w) {
  uint64_t one = 1;
  if (write(w->wake, &one, sizeof one) < 0)
    return; /* it is awake */
}

static bool queue(struct sinter_world *w, struct control *c, enum frame_type type, uint64_t number,
                  const void *body, size_t n) {
  struct frame f = {.magic = WORLD_MAGIC,
                    .version = WORLD_VERSION,
                    .type = type,
                    .from = w->rank,
                    .bytes = (uint32_t)n,
                    .number = number};
  if (c->fd < 0 || c->out_bytes + sizeof f + n > w->control_room)
    return false;
  f.check = frame_check(&f, body);
  memcpy(c->out + c->out_bytes, &f, sizeof f);
  if (n)
    memcpy(c->out + c->out_bytes + sizeof f, body, n);
  c->out_bytes += sizeof f + n;
  return true;
}

static void queue_to_all(struct sinter_world *w, enum frame_type type, uint64_t number,
                         const void *body, size_t n) {
  for (uint32_t i = 0; i < w->control_count; i++)
    queue(w, &w->controls[i], type, number, body, n);
}

/* --- Failures --- */

/* Under the mutex. */
static void set_cause(struct sinter_world *w, const struct fault_wire *cause) {
  fault_import(cause);
  fault_save(&w->cause);
  atomic_store(&w->failed, 1);
}

/* Under the mutex: rank 0 decides, the others ask it. */
static void raise_cause(struct sinter_world *w, const struct fault_wire *cause) {
  if (world_failed(w))
    return;
  if (w->rank == 0) {
    set_cause(w, cause);
    queue_to_all(w, FRAME_CAUSE, 0, cause, sizeof *cause);
  } else if (!queue(w, &w->controls[0], FRAME_FAIL, 0, cause, sizeof *cause)) {
    set_cause(w, cause);
  }
}

/* The calling thread's error as a cause, under the mutex. */
static void raise_own(struct sinter_world *w) {
  struct fault_wire own;
  fault_export(&own);
  raise_cause(w, &own);
}

/* How long rank 0 may take to name the first cause. */
#define ANSWER_NS 2000000000u

status world_fail(struct sinter_world *w) {
  struct fault_wire own;
  struct fault cause;
  fault_export(&own);
  pthread_mutex_lock(&w->mutex);
  raise_cause(w, &own);
  pthread_mutex_unlock(&w->mutex);
  wake_watcher(w);
  for (uint64_t until = clock_now_ns() + ANSWER_NS; !world_failed(w) && clock_now_ns() < until;) {
    uint32_t seen = world_news(w);
    if (!world_failed(w))
      world_sleep(w, seen, NULL, 20000000u);
  }
  pthread_mutex_lock(&w->mutex);
  if (!world_failed(w))
    set_cause(w, &own);
  cause = w->cause;
  pthread_mutex_unlock(&w->mutex);
  return fault_restore(&cause);
}

static void report_end(struct sinter_world *w, uint32_t rank) {
  fault_report(DIAG_E0708, NULL, NULL, "the process of rank %u has ended while others run", rank);
  raise_own(w);
}

static void report_damage(struct sinter_world *w, uint32_t rank) {
  fault_report(DIAG_E0707, NULL, "all processes must be of one release",
               "a control message from rank %u is damaged", rank);
  raise_own(w);
}

/* --- What comes in. Under the mutex. --- */

static void close_control(struct control *c) {
  close(c->fd);
  c->fd = -1;
}

/* The open gather's last blob has come. */
static void complete_gather(struct sinter_world *w) {
  size_t bytes = (size_t)w->gather_bytes * w->size;
  w->gathered = w->gather;
  memcpy(w->all_blobs, w->blobs, bytes);
  queue_to_all(w, FRAME_BLOBS, w->gather, w->blobs, bytes);
  memset(w->blob_there, 0, w->size);
  w->blobs_there = 0;
}

/* Whoever calls first says how large blobs are; who says otherwise does not run the same. */
static void take_blob(struct sinter_world *w, uint32_t rank, uint64_t number, const uint8_t *body,
                      uint32_t bytes) {
  if (!w->blobs_there) {
    w->gather = number;
    w->gather_bytes = bytes;
  }
  if (number != w->gather || number != w->gathered + 1 || bytes != w->gather_bytes ||
      bytes > WORLD_BLOB || w->blob_there[rank]) {
    fault_report(DIAG_E0704, NULL, NULL, "rank %u gives the others something they do not expect",
                 rank);
    raise_own(w);
    return;
  }
  memcpy(w->blobs + (size_t)rank * bytes, body, bytes);
  w->blob_there[rank] = true;
  if (++w->blobs_there == w->size)
    complete_gather(w);
}

static bool take_blobs(struct sinter_world *w, const struct frame *f, const uint8_t *body) {
  if (f->number != w->gathered + 1 || f->number != w->gather ||
      f->bytes != (uint64_t)w->gather_bytes * w->size)
    return false;
  memcpy(w->all_blobs, body, f->bytes);
  w->gathered = f->number;
  return true;
}

static void take_bye(struct sinter_world *w, struct control *c, uint32_t rank) {
  c->left = true;
  w->signs[rank].left = 1;
  close_control(c);
}

/* false: nonsense. */
static bool take_frame(struct sinter_world *w, struct control *c, uint32_t rank,
                       const struct frame *f, const uint8_t *body) {
  struct fault_wire cause;
  uint32_t n = f->bytes;
  switch (f->type) {
  case FRAME_SIGN:
    if (w->rank || n != sizeof *w->signs)
      return false;
    memcpy(&w->signs[rank], body, n);
    w->signs[rank].left = 0;
    atomic_store(&w->heartbeats[rank], w->signs[rank].heartbeat);
    return true;
  case FRAME_SIGNS:
    if (!w->rank || n != w->size * sizeof *w->signs)
      return false;
    memcpy(w->signs, body, n);
    w->signs_at = clock_now_ns();
    for (uint32_t i = 0; i < w->size; i++)
      if (i != w->rank)
        atomic_store(&w->heartbeats[i], w->signs[i].heartbeat);
    return true;
  case FRAME_FAIL:
  case FRAME_CAUSE:
    if ((f->type == FRAME_FAIL) != (w->rank == 0) || n != sizeof cause)
      return false;
    memcpy(&cause, body, n);
    if (w->rank == 0)
      raise_cause(w, &cause);
    else if (!world_failed(w))
      set_cause(w, &cause);
    return true;
  case FRAME_BLOB:
    if (w->rank)
      return false;
    take_blob(w, rank, f->number, body, n);
    return true;
  case FRAME_BLOBS: return w->rank && take_blobs(w, f, body);
  case FRAME_BYE: take_bye(w, c, rank); return true;
  default: return false;
  }
}

/* Frames that are there in full. */
static void take_frames(struct sinter_world *w, struct control *c, uint32_t rank) {
  size_t at = 0;
  while (c->fd >= 0 && c->in_bytes - at >= sizeof(struct frame)) {
    struct frame f;
    const uint8_t *body = c->in + at + sizeof f;
    memcpy(&f, c->in + at, sizeof f);
    bool sound = f.magic == WORLD_MAGIC && f.version == WORLD_VERSION && f.from == rank &&
                 f.bytes <= w->control_room - sizeof f;
    if (sound && c->in_bytes - at - sizeof f < f.bytes)
      break;
    if (!sound || f.check != frame_check(&f, body) || !take_frame(w, c, rank, &f, body)) {
      report_damage(w, rank);
      close_control(c);
      return;
    }
    at += sizeof f + f.bytes;
  }
  memmove(c->in, c->in + at, c->in_bytes - at);
  c->in_bytes -= at;
}

static void read_control(struct sinter_world *w, struct control *c, uint32_t rank) {
  ssize_t n = recv(c->fd, c->in + c->in_bytes, w->control_room - c->in_bytes, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0) {
    close_control(c);
    report_end(w, rank);
    return;
  }
  c->in_bytes += (size_t)n;
  c->heard = clock_now_ns();
  take_frames(w, c, rank);
}

static void write_control(struct control *c) {
  ssize_t n = send(c->fd, c->out, c->out_bytes, MSG_NOSIGNAL);
  if (n <= 0)
    return; /* a broken one is seen by reading */
  memmove(c->out, c->out + n, c->out_bytes - (size_t)n);
  c->out_bytes -= (size_t)n;
}

/* --- The thread --- */

static void fill_own_sign(struct sinter_world *w) {
  w->signs[w->rank] = (struct world_sign){.at = atomic_load(&w->own_at),
                                          .heartbeat = atomic_load(&w->heartbeats[w->rank]),
                                          .waiting = atomic_load(&w->own_waiting)};
}

static void give_sign(struct sinter_world *w) {
  uint64_t now = clock_now_ns();
  fill_own_sign(w);
  if (w->rank) { /* not behind others that wait to be sent */
    if (!w->controls[0].out_bytes)
      queue(w, &w->controls[0], FRAME_SIGN, 0, &w->signs[w->rank], sizeof *w->signs);
    return;
  }
  for (uint32_t i = 1; i < w->size; i++)
    w->signs[i].silence_ms = (uint32_t)((now - w->controls[i].heard) / 1000000u);
  w->signs_at = now;
  for (uint32_t i = 1; i < w->size; i++)
    if (!w->controls[i].out_bytes)
      queue(w, &w->controls[i], FRAME_SIGNS, 0, w->signs, w->size * sizeof *w->signs);
}

/* Serves the connections once; waits at most until a time. */
static void serve(struct sinter_world *w, uint64_t until) {
  struct pollfd p[WORLD_MOST + 1] = {{.fd = w->wake, .events = POLLIN}};
  uint64_t now = clock_now_ns(), count;
  bool news = false;
  pthread_mutex_lock(&w->mutex);
  for (uint32_t i = 0; i < w->control_count; i++) {
    struct control *c = &w->controls[i];
    p[i + 1] = (struct pollfd){.fd = c->fd, .events = POLLIN | (c->out_bytes ? POLLOUT : 0)};
  }
  pthread_mutex_unlock(&w->mutex);
  if (poll(p, w->control_count + 1, until > now ? (int)((until - now) / 1000000u) + 1 : 0) < 0)
    return;
  if (p[0].revents && read(w->wake, &count, sizeof count) < 0)
    return;
  pthread_mutex_lock(&w->mutex);
  for (uint32_t i = 0; i < w->control_count; i++) {
    struct control *c = &w->controls[i];
    if (c->fd >= 0 && p[i + 1].revents & POLLOUT)
      write_control(c);
    if (c->fd >= 0 && p[i + 1].revents & (POLLIN | POLLHUP | POLLERR)) {
      read_control(w, c, w->rank ? 0 : i);
      news = true;
    }
    if (c->fd >= 0 && c->out_bytes)
      write_control(c);
  }
  pthread_mutex_unlock(&w->mutex);
  if (news)
    world_ring(w->bell);
}

static void *watcher_main(void *argument) {
  struct sinter_world *w = argument;
  for (uint64_t next = 0; !atomic_load(&w->stop);) {
    if (clock_now_ns() >= next) {
      pthread_mutex_lock(&w->mutex);
      give_sign(w);
      pthread_mutex_unlock(&w->mutex);
      next = clock_now_ns() + atomic_load(&w->period_ns);
    }
    serve(w, next);
  }
  return NULL;
}

status world_watch(struct sinter_world *w) {
  sigset_t all, before;
  w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  sigfillset(&all); /* the program's handlers run on the program's threads */
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = w->wake < 0 ? errno : pthread_create(&w->watcher, NULL, watcher_main, w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error)
    return fault_report(DIAG_E0702, NULL, NULL, "the thread that watches the ranks: %s",
                        strerror(error));
  pthread_setname_np(w->watcher, "sinter-watch");
  w->watching = true;
  return STATUS_OK;
}

/* How long to wait for the others to read a good-bye. */
#define BYE_NS 300000000u

void world_unwatch(struct sinter_world *w) {
  if (w->watching) {
    atomic_store(&w->stop, 1);
    wake_watcher(w);
    pthread_join(w->watcher, NULL);
    queue_to_all(w, FRAME_BYE, 0, NULL, 0);
    for (uint64_t until = clock_now_ns() + BYE_NS; clock_now_ns() < until;) {
      bool open = false;
      for (uint32_t i = 0; i < w->control_count; i++)
        open |= w->controls[i].fd >= 0;
      if (!open)
        break;
      atomic_store(&w->failed, 1); /* whatever ends now is no failure */
      serve(w, clock_now_ns() + 20000000u);
    }
  }
  for (uint32_t i = 0; w->controls && i < w->control_count; i++) {
    if (w->controls[i].fd >= 0)
      close(w->controls[i].fd);
    mem_free(w->controls[i].in);
    mem_free(w->controls[i].out);
  }
  if (w->wake >= 0)
    close(w->wake);
}

/* --- For the thread that runs --- */

uint64_t world_signs(struct sinter_world *w, struct world_sign *out) {
  pthread_mutex_lock(&w->mutex);
  fill_own_sign(w);
  memcpy(out, w->signs, w->size * sizeof *out);
  uint64_t age = clock_now_ns() - w->signs_at;
  pthread_mutex_unlock(&w->mutex);
  return age;
}

/* Under the mutex: a rank that will give nothing more. */
static uint32_t missing_rank(const struct sinter_world *w) {
  for (uint32_t i = 0; i < w->size; i++)
    if (i != w->rank && w->signs[i].left && (w->rank || !w->blob_there[i]))
      return i;
  return w->size;
}

static status gather_silence(struct sinter_world *w, uint64_t deadline_ns) {
  uint32_t silent = 0;
  pthread_mutex_lock(&w->mutex);
  for (uint32_t i = 0; w->rank == 0 && i < w->size; i++)
    silent = w->blob_there[i] ? silent : i;
  pthread_mutex_unlock(&w->mutex);
  if (w->rank == 0)
    return fault_report(DIAG_E0703, NULL, "all processes must make the same calls",
                        "rank %u has not come to where the others have waited for %.1f s", silent,
                        (double)deadline_ns * 1e-9);
  return fault_report(DIAG_E0703, NULL, "all processes must make the same calls",
                      "rank %u waits for another process and has heard nothing for %.1f s", w->rank,
                      (double)deadline_ns * 1e-9);
}

status world_gather(struct sinter_world *w, const void *mine, uint32_t bytes, void *out_all,
                    uint64_t deadline_ns) {
  if (!bytes || bytes > WORLD_BLOB)
    return fault_report(DIAG_E0618, NULL, NULL, "ranks give each other 1 to %u B, not %u",
                        WORLD_BLOB, bytes);
  pthread_mutex_lock(&w->mutex);
  uint64_t number = w->gathered + 1;
  uint32_t missing = w->size;
  bool there = false;
  if (w->rank == 0) {
    take_blob(w, 0, number, mine, bytes);
  } else {
    w->gather = number;
    w->gather_bytes = bytes;
    queue(w, &w->controls[0], FRAME_BLOB, number, mine, bytes);
  }
  pthread_mutex_unlock(&w->mutex);
  wake_watcher(w);
  /* The others' watches end at about the same time; rank 0 knows best who is missing. */
  uint64_t until = clock_now_ns() + deadline_ns + (w->rank ? deadline_ns / 8 : 0);
  while (!there) {
    uint32_t seen = world_news(w);
    pthread_mutex_lock(&w->mutex);
    there = w->gathered == number;
    if (there)
      memcpy(out_all, w->all_blobs, (size_t)bytes * w->size);
    else
      missing = missing_rank(w);
    pthread_mutex_unlock(&w->mutex);
    if (there)
      break;
    if (missing < w->size)
      fault_report(DIAG_E0708, NULL, "its own error says why",
                   "the process of rank %u has left, and rank %u waits for it", missing, w->rank);
    else if (clock_now_ns() >= until)
      gather_silence(w, deadline_ns);
    if (missing < w->size || clock_now_ns() >= until || world_failed(w))
      return world_fail(w);
    world_sleep(w, seen, NULL, 20000000u);
  }
  return STATUS_OK;
}
