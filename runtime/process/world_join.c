/* SPDX-License-Identifier: Apache-2.0 */
/* How processes meet: each greets rank 0, which knows all when the last has come and tells each
 * where the others are; then links are opened. Also the public functions of worlds. */
#include "runtime/process/world.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "runtime/futex.h"
#include "runtime/options_take.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST_ID 16u

/* What a process tells rank 0. */
struct greeting {
  uint64_t magic;
  uint32_t version, rank, size, port; /* where it listens for links */
  uint64_t name;                      /* hash of the world's */
  uint8_t host[HOST_ID];              /* equal: memory can be shared */
};

/* What rank 0 answers, and then a row for each process. */
struct roster {
  uint64_t magic;
  uint32_t version, refused;
  uint8_t token[WORLD_TOKEN];
};
struct roster_row {
  struct sockaddr_storage at;
  uint32_t bytes;
  uint8_t host[HOST_ID];
};

struct meeting {
  struct sinter_world *w;
  uint64_t until, name;
  int listener, link_listener;
  struct address own; /* where this process listens for links */
  struct roster_row rows[WORLD_MOST];
};

/* The machine, as it was booted, and what of it this process sees. */
static void host_id(const struct sinter_world *w, uint8_t out[HOST_ID]) {
  static const char *const namespaces[] = {"/proc/self/ns/net", "/proc/self/ns/pid",
                                           "/proc/self/ns/user"};
  char text[256] = {0};
  FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
  size_t n = f ? fread(text, 1, 64, f) : 0;
  if (f)
    fclose(f);
  for (int i = 0; i < 3; i++) {
    struct stat s = {0};
    if (!stat(namespaces[i], &s))
      n += (size_t)snprintf(text + n, sizeof text - n, " %llu", (unsigned long long)s.st_ino);
  }
  n += (size_t)snprintf(text + n, sizeof text - n, " %u %u", (unsigned)geteuid(),
                        w->sockets_only ? w->rank + 1 : 0);
  struct digest d = digest_bytes(text, n);
  memcpy(out, &d, HOST_ID);
}

/* Where processes of one host reach each other, on a port of the system's choice. */
static struct address loopback(void) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct address out = {.bytes = sizeof in};
  memcpy(&out.at, &in, sizeof in);
  return out;
}

/* --- Rank 0 --- */

static status cannot_listen(const char *meeting) {
  return fault_report(DIAG_E0709, NULL,
                      "rank 0's host must have that address, and the port be free",
                      "cannot listen at '%s': %s", meeting, strerror(errno));
}

static status listen_at_meeting(struct meeting *m) {
  struct address found[8];
  uint32_t n;
  const char *at = m->w->place.meeting;
  status st = address_find(at, true, found, 8, &n);
  /* The one of a process that has just ended may still hold the name for a moment. */
  for (m->listener = -1; !st && m->listener < 0;) {
    for (uint32_t i = 0; i < n && m->listener < 0; i++) {
      m->listener = socket_listen(&found[i]);
      m->own = found[i];
    }
    if (m->listener < 0 && (errno != EADDRINUSE || clock_now_ns() >= m->until))
      return cannot_listen(at);
    if (m->listener < 0)
      usleep(50000);
  }
  return st;
}

static void refuse(int fd, const struct meeting *m) {
  struct roster r = {.magic = WORLD_MAGIC, .version = WORLD_VERSION, .refused = 1 + m->w->size};
  socket_send(fd, &r, sizeof r, clock_now_ns() + 100000000u);
  close(fd);
}

/* Of the right form, and of this world? Otherwise it is sent away, or dropped as a stranger. */
static bool let_in(struct meeting *m, int fd, const struct greeting *g) {
  struct sinter_world *w = m->w;
  bool ours = g->magic == WORLD_MAGIC && g->version == WORLD_VERSION && g->name == m->name;
  if (ours &&
      (g->size != w->size || !g->rank || g->rank >= w->size || w->controls[g->rank].fd >= 0)) {
    refuse(fd, m);
    return false;
  }
  struct roster_row *row = ours ? &m->rows[g->rank] : NULL;
  struct address peer = {.bytes = sizeof peer.at};
  if (!ours || getpeername(fd, (struct sockaddr *)&peer.at, &peer.bytes)) {
    close(fd);
    return false;
  }
  if (peer.at.ss_family == AF_UNIX)
    peer = m->own;
  address_set_port(&peer, g->port);
  row->at = peer.at;
  row->bytes = peer.bytes;
  memcpy(row->host, g->host, HOST_ID);
  w->controls[g->rank].fd = fd;
  return true;
}

static status report_missing(const struct meeting *m, uint32_t come, uint32_t dropped) {
  uint32_t first = 1;
  while (first < m->w->size && m->w->controls[first].fd >= 0)
    first++;
  return fault_report(DIAG_E0709, NULL, "all processes must be given the same meeting place",
                      "%u of %u ranks came to '%s' within %.1f s, rank %u did not (%u other "
                      "visitors were turned away)",
                      come, m->w->size, m->w->place.meeting, (double)m->w->timeout_ns * 1e-9, first,
                      dropped);
}

static status receive_all(struct meeting *m) {
  struct greeter g = {.listener = m->listener, .greeting_bytes = sizeof(struct greeting)};
  uint32_t come = 1, turned_away = 0;
  while (come < m->w->size && clock_now_ns() < m->until) {
    struct greeting greeting;
    int fd = greeter_next(&g, m->until, &greeting);
    if (fd >= 0 && let_in(m, fd, &greeting))
      come++;
    else
      turned_away += fd >= 0;
  }
  turned_away += g.dropped;
  greeter_deinit(&g);
  return come == m->w->size ? STATUS_OK : report_missing(m, come, turned_away);
}

static status tell_all(struct meeting *m) {
  struct sinter_world *w = m->w;
  struct roster r = {.magic = WORLD_MAGIC, .version = WORLD_VERSION};
  if (getrandom(w->token, sizeof w->token, 0) != sizeof w->token)
    return fault_report(DIAG_E0709, NULL, NULL, "the system gives no random numbers");
  memcpy(r.token, w->token, sizeof r.token);
  m->rows[0].at = m->own.at; /* of links */
  m->rows[0].bytes = m->own.bytes;
  for (uint32_t i = 1; i < w->size; i++)
    if (!socket_send(w->controls[i].fd, &r, sizeof r, m->until) ||
        !socket_send(w->controls[i].fd, m->rows, w->size * sizeof m->rows[0], m->until))
      return fault_report(DIAG_E0708, NULL, NULL,
                          "the process of rank %u ended while the others met", i);
  return STATUS_OK;
}

/* --- The others --- */

/* On the interface by which rank 0 is reached. */
static bool listen_beside(struct meeting *m, int fd) {
  struct address *own = &m->own;
  if (m->link_listener >= 0)
    return true;
  own->bytes = sizeof own->at;
  if (getsockname(fd, (struct sockaddr *)&own->at, &own->bytes))
    return false;
  if (own->at.ss_family == AF_UNIX)
    *own = loopback();
  address_set_port(own, 0);
  m->link_listener = socket_listen(own);
  own->bytes = sizeof own->at;
  return m->link_listener >= 0 &&
         !getsockname(m->link_listener, (struct sockaddr *)&own->at, &own->bytes);
}

/* Rank 0 may not be there yet, or still be busy with a world of another name. */
static bool greet(struct meeting *m, const struct address *to, struct roster *out) {
  struct sinter_world *w = m->w;
  int fd = socket_connect(to, m->until);
  if (fd < 0)
    return false;
  if (listen_beside(m, fd)) {
    struct greeting g = {.magic = WORLD_MAGIC,
                         .version = WORLD_VERSION,
                         .rank = w->rank,
                         .size = w->size,
                         .port = address_port(&m->own),
                         .name = m->name};
    host_id(w, g.host);
    if (socket_send(fd, &g, sizeof g, m->until) && socket_receive(fd, out, sizeof *out, m->until)) {
      w->controls[0].fd = fd;
      return true;
    }
  }
  close(fd);
  return false;
}

static status read_roster(struct meeting *m, const struct roster *r) {
  struct sinter_world *w = m->w;
  if (r->magic != WORLD_MAGIC || r->version != WORLD_VERSION)
    return fault_report(DIAG_E0709, NULL, "all processes must be of one release",
                        "what listens at '%s' is no process of this world", w->place.meeting);
  if (r->refused)
    return fault_report(DIAG_E0709, NULL, "no two processes may be given one rank",
                        "rank 0 has %u ranks and room for no other than it has seen; this process "
                        "was started as rank %u of %u",
                        r->refused - 1, w->rank, w->size);
  memcpy(w->token, r->token, sizeof w->token);
  if (!socket_receive(w->controls[0].fd, m->rows, w->size * sizeof m->rows[0], m->until))
    return fault_report(DIAG_E0708, NULL, NULL, "the process of rank 0 ended while the others met");
  return STATUS_OK;
}

static status go_to_meeting(struct meeting *m) {
  struct address found[8];
  uint32_t n;
  struct roster r;
  status st = address_find(m->w->place.meeting, false, found, 8, &n);
  int why = ETIMEDOUT;
  while (!st && clock_now_ns() < m->until) {
    for (uint32_t i = 0; i < n; i++) {
      if (greet(m, &found[i], &r))
        return read_roster(m, &r);
      why = errno;
    }
    usleep(20000);
  }
  return st ? st
            : fault_report(DIAG_E0709, NULL, "all processes must be given the same meeting place",
                           "rank %u did not find rank 0 at '%s' within %.1f s: %s", m->w->rank,
                           m->w->place.meeting, (double)m->w->timeout_ns * 1e-9, strerror(why));
}

/* --- All --- */

/* Rank 0's own links come to the interface that the others met it at. */
static status listen_for_links(struct meeting *m) {
  struct address *own = &m->own;
  if (own->at.ss_family == AF_UNIX)
    *own = loopback();
  address_set_port(own, 0);
  m->link_listener = socket_listen(own);
  own->bytes = sizeof own->at;
  if (m->link_listener < 0 ||
      getsockname(m->link_listener, (struct sockaddr *)&own->at, &own->bytes))
    return cannot_listen("a free port");
  return STATUS_OK;
}

static status meet(struct meeting *m) {
  struct sinter_world *w = m->w;
  if (w->rank)
    return go_to_meeting(m);
  status st = listen_at_meeting(m);
  if (!st)
    st = listen_for_links(m);
  host_id(w, m->rows[0].host);
  if (!st)
    st = receive_all(m);
  return st ? st : tell_all(m);
}

static status open_links(struct meeting *m) {
  struct sinter_world *w = m->w;
  struct address peers[WORLD_MOST];
  uint8_t near[WORLD_MOST];
  for (uint32_t i = 0; i < w->size; i++) {
    peers[i] = (struct address){m->rows[i].at, m->rows[i].bytes};
    if (peers[i].bytes > sizeof peers[i].at)
      peers[i].bytes = sizeof peers[i].at;
    near[i] = memcmp(m->rows[i].host, m->rows[w->rank].host, HOST_ID) == 0;
    w->here += near[i];
    w->before += near[i] && i < w->rank;
  }
  if (w->rank) { /* rank 0 listens where it was met, by whatever name it knows the place itself */
    struct address met = {.bytes = sizeof met.at};
    uint32_t port = address_port(&peers[0]);
    getpeername(w->controls[0].fd, (struct sockaddr *)&met.at, &met.bytes);
    if (met.at.ss_family != AF_UNIX) {
      address_set_port(&met, port);
      peers[0] = met;
    }
  }
  return world_open_links(w, peers, near, m->link_listener);
}

static status allocate(struct sinter_world *w) {
  size_t blobs = (size_t)w->size * WORLD_BLOB;
  w->control_count = w->rank ? 1 : w->size;
  w->control_room = blobs + (64u << 10);
  w->links = mem_try_calloc(w->size, sizeof *w->links);
  w->controls = mem_try_calloc(w->control_count, sizeof *w->controls);
  w->signs = mem_try_calloc(w->size, sizeof *w->signs);
  w->heartbeats = mem_try_calloc(w->size, sizeof *w->heartbeats);
  w->blobs = mem_try_calloc(1, blobs);
  w->all_blobs = mem_try_calloc(1, blobs);
  w->blob_there = mem_try_calloc(w->size, sizeof *w->blob_there);
  bool all = w->links && w->controls && w->signs && w->heartbeats && w->blobs && w->all_blobs &&
             w->blob_there;
  for (uint32_t i = 0; w->links && i < w->size; i++)
    w->links[i].fd = -1;
  for (uint32_t i = 0; w->controls && i < w->control_count; i++) {
    struct control *c = &w->controls[i];
    *c = (struct control){.fd = -1,
                          .in = mem_try_alloc(w->control_room),
                          .out = mem_try_alloc(w->control_room),
                          .heard = clock_now_ns()};
    all &= c->in && c->out;
  }
  return all ? STATUS_OK : fault_no_memory("a world of processes", blobs);
}

static status join(struct sinter_world *w, const char *name) {
  struct meeting *m = mem_try_calloc(1, sizeof *m);
  if (!m)
    return fault_no_memory("a meeting", sizeof *m);
  m->w = w;
  m->until = clock_now_ns() + w->timeout_ns;
  m->name = hash_bytes(name, strlen(name), w->size);
  m->listener = m->link_listener = -1;
  status st = meet(m);
  for (uint32_t i = 0; i < w->control_count; i++)
    w->controls[i].heard = clock_now_ns();
  w->signs_at = clock_now_ns();
  if (!st)
    st = world_watch(w);
  if (!st)
    st = open_links(m);
  if (m->listener >= 0)
    close(m->listener);
  if (m->link_listener >= 0)
    close(m->link_listener);
  mem_free(m);
  return st;
}

/* --- The public functions --- */

static status find_place(const sinter_world_options *o, struct place *out) {
  *out = (struct place){.rank = o->rank, .size = o->size, .local_rank = o->rank};
  status st = o->size ? STATUS_OK : place_from_environment(out);
  if (st)
    return st;
  if (!out->size)
    return fault_report(DIAG_E0710, NULL,
                        "start it by mpirun, srun or torchrun, or name rank, size "
                        "and meeting place",
                        "no launcher has said which rank this process is");
  if (out->size > WORLD_MOST || out->rank >= out->size)
    return fault_report(DIAG_E0710, NULL, NULL, "there is no rank %u among %u, of at most %u",
                        out->rank, out->size, WORLD_MOST);
  if (o->meeting)
    return place_set_meeting(out, o->meeting);
  return out->size == 1 || out->meeting[0]
             ? STATUS_OK
             : fault_report(DIAG_E0710, NULL, "name host:port of rank 0",
                            "%u processes have no place to meet", out->size);
}

SINTER_API int sinter_world_launched(uint32_t *out_rank) {
  struct place place;
  status st = place_from_environment(&place);
  fault_clear();
  if (out_rank)
    *out_rank = place.rank;
  return st || place.size > 1; /* joining says what is wrong */
}

SINTER_API sinter_status sinter_world_join(const sinter_world_options *options,
                                           sinter_world **out_world) {
  sinter_world_options o;
  struct place place;
  fault_clear();
  if (!out_world)
    return (sinter_status)fault_report(DIAG_E0618, NULL, NULL, "sinter_world_join was given NULL");
  status st = options_take(options, sizeof o, &o);
  if (!st)
    st = find_place(&o, &place);
  if (st)
    return (sinter_status)st;
  /* Its bell is aligned to a line. */
  struct sinter_world *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);
  if (!w)
    return (sinter_status)fault_no_memory("a world of processes", sizeof *w);
  memset(w, 0, sizeof *w);
  w->place = place;
  w->rank = place.rank;
  w->size = place.size;
  w->timeout_ns = (o.timeout_ms ? o.timeout_ms : 60000u) * 1000000u;
  w->sockets_only = o.sockets_only != 0;
  w->bell = &w->own_bell;
  w->wake = -1;
  w->period_ns = 100000000u;
  pthread_mutex_init(&w->mutex, NULL);
  st = allocate(w);
  if (w->size == 1)
    w->here = w->neighbours = 1;
  else if (!st)
    st = join(w, o.name ? o.name : "");
  if (st)
    sinter_world_leave(w);
  else
    *out_world = w;
  return (sinter_status)st;
}

SINTER_API void sinter_world_leave(sinter_world *world) {
  if (!world)
    return;
  world_unwatch(world);
  world_close_links(world);
  pthread_mutex_destroy(&world->mutex);
  mem_free(world->links);
  mem_free(world->controls);
  mem_free(world->signs);
  mem_free(world->heartbeats);
  mem_free(world->blobs);
  mem_free(world->all_blobs);
  mem_free(world->blob_there);
  free(world);
}

SINTER_API uint32_t sinter_world_rank(const sinter_world *world) { return world ? world->rank : 0; }

SINTER_API uint32_t sinter_world_size(const sinter_world *world) { return world ? world->size : 1; }

SINTER_API sinter_status sinter_world_exchange(sinter_world *world, const void *mine, size_t bytes,
                                               void *all) {
  fault_clear();
  if (!world || !mine || !all || bytes > WORLD_BLOB)
    return (sinter_status)fault_report(DIAG_E0618, NULL, NULL,
                                       "sinter_world_exchange was given NULL or more than %u B",
                                       WORLD_BLOB);
  return (sinter_status)world_gather(world, mine, (uint32_t)bytes, all, world->timeout_ns);
}
