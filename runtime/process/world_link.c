/* SPDX-License-Identifier: Apache-2.0 */
/* Streams between processes: rings in shared memory, or TCP. */
#include "runtime/process/world.h"

#include "base/clock.h"
#include "base/mem.h"
#include "runtime/futex.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- Bells. Other processes sleep on them, so their futexes are not private. --- */

void world_ring(struct bell *bell) {
  atomic_fetch_add(&bell->news, 1);
  if (atomic_load(&bell->asleep))
    syscall(SYS_futex, &bell->news, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

uint32_t world_news(struct sinter_world *w) { return atomic_load(&w->bell->news); }

static void sleep_on_bell(struct bell *bell, uint32_t seen, uint64_t ns) {
  struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  atomic_store(&bell->asleep, 1);
  syscall(SYS_futex, &bell->news, FUTEX_WAIT, seen, &t, NULL, 0);
  atomic_store(&bell->asleep, 0);
}

/* How long to watch sockets alone while rings may have news too. */
#define GLANCE_NS 200000u

void world_sleep(struct sinter_world *w, uint32_t seen, const short *events, uint64_t ns) {
  struct pollfd p[WORLD_MOST];
  nfds_t n = 0;
  bool rings = w->neighbours > 1;
  for (uint32_t i = 0; events && i < w->size; i++)
    if (events[i] && w->links[i].fd >= 0)
      p[n++] = (struct pollfd){.fd = w->links[i].fd, .events = events[i]};
  if (!n) {
    sleep_on_bell(w->bell, seen, ns);
    return;
  }
  if (rings && ns > GLANCE_NS)
    ns = GLANCE_NS;
  if (world_news(w) == seen)
    ppoll(p, n,
          &(struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)},
          NULL);
}

/* --- Bytes --- */

static status hung_up(const char *why) {
  return fault_report(DIAG_E0708, NULL, NULL, "the connection to another rank's process broke: %s",
                      why);
}

static status bad_ring(void) {
  return fault_report(DIAG_E0707, NULL, NULL, "a ring in shared memory counts what it cannot hold");
}

static void copy_in(uint8_t *ring, uint64_t capacity, uint64_t at, const uint8_t *data,
                    uint64_t n) {
  uint64_t first = capacity - at % capacity;
  if (first > n)
    first = n;
  memcpy(ring + at % capacity, data, first);
  memcpy(ring, data + first, n - first);
}

static void copy_out(uint8_t *data, const uint8_t *ring, uint64_t capacity, uint64_t at,
                     uint64_t n) {
  uint64_t first = capacity - at % capacity;
  if (first > n)
    first = n;
  memcpy(data, ring + at % capacity, first);
  memcpy(data + first, ring, n - first);
}

static status ring_send(struct link *link, uint64_t capacity, const uint8_t *data, uint64_t n,
                        uint64_t *out_sent) {
  struct ring *ring = link->out;
  uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
  uint64_t used = head - atomic_load(&ring->tail);
  if (used > capacity)
    return bad_ring();
  *out_sent = n < capacity - used ? n : capacity - used;
  if (!*out_sent)
    return STATUS_OK;
  copy_in((uint8_t *)(ring + 1), capacity, head, data, *out_sent);
  atomic_store(&ring->head, head + *out_sent);
  world_ring(link->bell);
  return STATUS_OK;
}

static status ring_receive(struct link *link, uint64_t capacity, uint8_t *data, uint64_t n,
                           uint64_t *out_received) {
  struct ring *ring = link->in;
  uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
  uint64_t there = atomic_load(&ring->head) - tail;
  if (there > capacity)
    return bad_ring();
  *out_received = n < there ? n : there;
  if (!*out_received)
    return STATUS_OK;
  copy_out(data, (uint8_t *)(ring + 1), capacity, tail, *out_received);
  atomic_store(&ring->tail, tail + *out_received);
  world_ring(link->bell);
  return STATUS_OK;
}

/* Of one call: the kernel takes no more anyway. */
#define MOST_AT_ONCE (1u << 30)

status link_send(struct link *link, uint64_t ring_bytes, const uint8_t *data, uint64_t n,
                 uint64_t *out_sent) {
  *out_sent = 0;
  if (!n)
    return STATUS_OK;
  if (link->fd < 0)
    return ring_send(link, ring_bytes, data, n, out_sent);
  ssize_t sent = send(link->fd, data, n < MOST_AT_ONCE ? n : MOST_AT_ONCE, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR)
    return hung_up(strerror(errno));
  *out_sent = sent < 0 ? 0 : (uint64_t)sent;
  return STATUS_OK;
}

status link_receive(struct link *link, uint64_t ring_bytes, uint8_t *data, uint64_t n,
                    uint64_t *out_received) {
  *out_received = 0;
  if (!n)
    return STATUS_OK;
  if (link->fd < 0)
    return ring_receive(link, ring_bytes, data, n, out_received);
  ssize_t got = recv(link->fd, data, n < MOST_AT_ONCE ? n : MOST_AT_ONCE, 0);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
    return hung_up(got ? strerror(errno) : "it was closed");
  *out_received = got < 0 ? 0 : (uint64_t)got;
  return STATUS_OK;
}

/* --- The shared segment --- */

/* Who shares memory with whom: everyone says which process of its host makes the segment, and
 * where. */
struct segment_blob {
  uint32_t process, fd;
  uint32_t mapped;
};

static uint64_t segment_size(uint32_t n, uint64_t ring_bytes) {
  return n * sizeof(struct bell) + (uint64_t)n * n * (sizeof(struct ring) + ring_bytes);
}

static struct ring *ring_of(const struct sinter_world *w, uint32_t n, uint32_t from, uint32_t to) {
  uint8_t *rings = (uint8_t *)w->segment + n * sizeof(struct bell);
  return (struct ring *)(void *)(rings + (from * n + to) * (sizeof(struct ring) + w->ring_bytes));
}

/* Its size is sealed, so that nobody's access can be made to fail. */
static int make_segment(uint64_t bytes) {
  int fd = memfd_create("sinter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd >= 0 && (ftruncate(fd, (off_t)bytes) ||
                  fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))) {
    close(fd);
    fd = -1;
  }
  return fd;
}

static bool map_segment(struct sinter_world *w, int fd, uint64_t bytes) {
  struct stat s;
  if (fstat(fd, &s) || (uint64_t)s.st_size != bytes ||
      (fcntl(fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
    return false;
  void *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED)
    return false;
  w->segment = p;
  w->segment_bytes = (size_t)bytes;
  return true;
}

/* near[i]: whether process i is on this host. Afterwards w->segment, and in near who has it too. */
static status share_memory(struct sinter_world *w, uint8_t *near) {
  struct segment_blob mine = {.process = (uint32_t)getpid()}, all[WORLD_MOST];
  uint32_t n = 0, leader = w->size;
  for (uint32_t i = 0; i < w->size; i++) {
    n += near[i];
    leader = near[i] && leader == w->size ? i : leader;
  }
  w->ring_bytes = n <= 16 ? 256u << 10 : 64u << 10;
  uint64_t bytes = segment_size(n, w->ring_bytes);
  int fd = leader == w->rank && n > 1 ? make_segment(bytes) : -1;
  mine.fd = (uint32_t)fd;
  status st = world_gather(w, &mine, sizeof mine, all, w->timeout_ns);
  if (!st && n > 1 && leader != w->rank && (int)all[leader].fd >= 0) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%u/fd/%u", all[leader].process, all[leader].fd);
    fd = open(path, O_RDWR | O_CLOEXEC);
  }
  mine.mapped = !st && fd >= 0 && map_segment(w, fd, bytes);
  if (!st)
    st = world_gather(w, &mine, sizeof mine, all, w->timeout_ns);
  if (fd >= 0)
    close(fd);
  for (uint32_t i = 0; !st && i < w->size; i++)
    near[i] = mine.mapped && near[i] && all[i].mapped;
  return st;
}

static void use_rings(struct sinter_world *w, const uint8_t *on_host, const uint8_t *near) {
  uint32_t n = 0, own = 0;
  uint32_t place[WORLD_MOST];
  for (uint32_t i = 0; i < w->size; i++) {
    place[i] = n;
    n += on_host[i];
  }
  own = place[w->rank];
  struct bell *bells = w->segment;
  for (uint32_t i = 0; i < w->size; i++) {
    if (i == w->rank || !near[i])
      continue;
    w->links[i] = (struct link){.fd = -1,
                                .out = ring_of(w, n, own, place[i]),
                                .in = ring_of(w, n, place[i], own),
                                .bell = &bells[place[i]]};
    w->neighbours++;
  }
  w->bell = &bells[own];
}

/* --- TCP --- */

struct link_greeting {
  uint64_t magic;
  uint32_t version, rank;
  uint8_t token[WORLD_TOKEN];
};

static status no_link(const struct sinter_world *w, uint32_t rank, const char *why) {
  return fault_report(DIAG_E0709, NULL,
                      "TCP connections between the hosts must be let through, on all ports",
                      "rank %u cannot reach the process of rank %u: %s", w->rank, rank, why);
}

static status connect_to(struct sinter_world *w, uint32_t rank, const struct address *peer,
                         uint64_t until) {
  struct link_greeting g = {.magic = WORLD_MAGIC, .version = WORLD_VERSION, .rank = w->rank};
  memcpy(g.token, w->token, sizeof g.token);
  int fd = socket_connect(peer, until);
  if (fd < 0 || !socket_send(fd, &g, sizeof g, until)) {
    const char *why = strerror(errno);
    if (fd >= 0)
      close(fd);
    return no_link(w, rank, why);
  }
  w->links[rank] = (struct link){.fd = fd};
  return STATUS_OK;
}

static bool is_wanted(const struct sinter_world *w, const uint8_t *near,
                      const struct link_greeting *g) {
  return g->magic == WORLD_MAGIC && g->version == WORLD_VERSION && g->rank > w->rank &&
         g->rank < w->size && !near[g->rank] && w->links[g->rank].fd < 0 &&
         memcmp(g->token, w->token, sizeof g->token) == 0;
}

static status accept_from(struct sinter_world *w, const uint8_t *near, int listener, uint32_t n,
                          uint64_t until) {
  struct greeter g = {.listener = listener, .greeting_bytes = sizeof(struct link_greeting)};
  while (n && !world_failed(w)) {
    struct link_greeting greeting;
    uint64_t soon = clock_now_ns() + 100000000u;
    int fd = greeter_next(&g, soon < until ? soon : until, &greeting);
    if (fd < 0 && clock_now_ns() >= until)
      break;
    if (fd < 0)
      continue;
    if (!is_wanted(w, near, &greeting)) {
      close(fd);
      continue;
    }
    w->links[greeting.rank] = (struct link){.fd = fd};
    n--;
  }
  greeter_deinit(&g);
  for (uint32_t i = w->rank + 1; n && i < w->size; i++)
    if (!near[i] && w->links[i].fd < 0)
      return no_link(w, i, "it did not connect in time");
  return STATUS_OK;
}

status world_open_links(struct sinter_world *w, const struct address *peers, const uint8_t *near,
                        int listener) {
  uint8_t shared[WORLD_MOST], all[WORLD_MOST];
  uint64_t until = clock_now_ns() + w->timeout_ns;
  uint32_t awaited = 0;
  memcpy(shared, near, w->size);
  for (uint32_t i = 0; i < w->size; i++)
    w->links[i] = (struct link){.fd = -1};
  w->bell = &w->own_bell;
  w->neighbours = 1;
  status st = share_memory(w, shared);
  if (st)
    return st;
  if (shared[w->rank])
    use_rings(w, near, shared);
  shared[w->rank] = 1;
  for (uint32_t i = 0; i < w->rank && !st; i++)
    if (!shared[i])
      st = connect_to(w, i, &peers[i], until);
  for (uint32_t i = w->rank + 1; i < w->size; i++)
    awaited += !shared[i];
  if (!st && awaited)
    st = accept_from(w, shared, listener, awaited, until);
  if (st)
    return world_fail(w);
  return world_gather(w, &(uint8_t){0}, 1, all, w->timeout_ns);
}

void world_close_links(struct sinter_world *w) {
  for (uint32_t i = 0; w->links && i < w->size; i++)
    if (w->links[i].fd >= 0)
      close(w->links[i].fd);
  if (w->segment)
    munmap(w->segment, w->segment_bytes);
}
