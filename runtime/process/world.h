/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes that are ranks of one session, as one of them sees the others: sinter_world of
 * include/sinter/runtime.h.
 *
 * Control: every process has a connection to rank 0's, served by a thread of its own
 * (world_watch.c). It carries signs of life, the first cause of a failure, and blobs that all are
 * to have (world_gather). Rank 0's word counts: the failure that it hears of first is the first
 * cause. A failure is final: processes that lost their place in each other's streams cannot go on.
 *
 * Links: a stream of bytes each way between every two processes. On one host it is a ring in shared
 * memory, beside a word per process that others change, and wake by futex, when there is something
 * new; between hosts it is a TCP connection.
 *
 * Control and links are for one thread at a time. What comes from another process is checked and
 * never believed.
 */
#ifndef SINTER_RUNTIME_WORLD_H
#define SINTER_RUNTIME_WORLD_H

#include "include/sinter/runtime.h"
#include "runtime/fault.h"
#include "runtime/process/meeting_socket.h"
#include "runtime/process/place.h"

#include <pthread.h>
#include <stdatomic.h>

#define WORLD_MAGIC 0x53696e7465726d67u /* also tells hosts of another byte order */
#define WORLD_VERSION 1u
#define WORLD_BLOB 4096u /* the largest blob of world_gather, bytes */
#define WORLD_TOKEN 16u

/* Where a process is in its run, for those who wait for it. */
struct world_sign {
  uint64_t at;         /* as its comm counts */
  uint32_t heartbeat;  /* changes while it gets things done */
  uint32_t waiting;    /* for other ranks */
  uint32_t silence_ms; /* since it last sent a sign; rank 0 fills it in */
  uint32_t left;       /* it has said good-bye */
};

/* --- Links --- */

struct ring {
  _Alignas(64) _Atomic uint64_t head; /* bytes ever written, by the sender */
  _Alignas(64) _Atomic uint64_t tail; /* bytes ever taken, by the receiver */
};

struct bell {
  _Alignas(64) _Atomic uint32_t news; /* changes when there is something new for its process */
  _Atomic uint32_t asleep;
};

struct link {
  int fd;                /* of TCP; -1: rings */
  struct ring *out, *in; /* each is followed by its bytes */
  struct bell *bell;     /* the other's */
};

/* --- Control --- */

struct control {
  int fd; /* -1: closed */
  uint8_t *in, *out;
  size_t in_bytes, out_bytes;
  uint64_t heard; /* when something last came */
  bool left;
};

struct sinter_world {
  struct place place;
  uint32_t rank, size;
  uint64_t timeout_ns;
  uint8_t token[WORLD_TOKEN]; /* of this world: links without it are dropped */
  bool sockets_only;

  struct link *links; /* per rank; its own is unused */
  void *segment;      /* shared with the processes of this host; NULL: none */
  size_t segment_bytes;
  uint64_t ring_bytes;
  struct bell *_Atomic bell; /* which changes when the segment is there */
  struct bell own_bell;
  uint32_t neighbours;   /* processes that share the segment */
  uint32_t here, before; /* processes of this host, and how many of them are lower ranks */

  struct control *controls; /* rank 0: per rank; others: [0] is rank 0's */
  uint32_t control_count;
  size_t control_room;
  pthread_t watcher;
  bool watching;
  int wake; /* eventfd: the watcher is to look at what there is to send */
  _Atomic uint32_t stop;
  _Atomic uint32_t own_waiting;
  _Atomic uint32_t *heartbeats; /* per rank; of others, what was last heard */
  _Atomic uint64_t own_at;
  _Atomic uint64_t period_ns; /* between signs of life */

  _Atomic uint32_t failed;
  _Atomic uint32_t busy; /* a session has it */

  pthread_mutex_t mutex; /* of what follows, and of the controls' bytes to send */
  struct fault cause;
  struct world_sign *signs; /* per rank */
  uint64_t signs_at;        /* when they came */
  uint64_t gather;          /* number of the one that is open, from 1 */
  uint64_t gathered;        /* number of the last one that is complete */
  uint32_t gather_bytes;    /* of each blob */
  uint8_t *blobs;           /* rank 0: what has come for the open one */
  uint8_t *all_blobs;       /* of the complete one */
  bool *blob_there;
  uint32_t blobs_there;
};

/* --- world_watch.c --- */

/* Starts the thread that serves the control connections. Errors: E0702. */
status world_watch(struct sinter_world *w);
/* Says good-bye, and ends it. */
void world_unwatch(struct sinter_world *w);

/*
 * All processes give a blob of the same size, at most WORLD_BLOB, and get those of all, by rank.
 * Returns on none before all have called. For addresses, identifiers, numbers that all must agree
 * on: not for speed. Errors: E0703 after `deadline_ns`, E0618 for the size, or the first cause of a
 * failure.
 */
status world_gather(struct sinter_world *w, const void *mine, uint32_t bytes, void *out_all,
                    uint64_t deadline_ns);

/* The thread's last error is what went wrong here; returns with the first cause instead. */
status world_fail(struct sinter_world *w);

static inline bool world_failed(const struct sinter_world *w) {
  return atomic_load(&((struct sinter_world *)(uintptr_t)w)->failed) != 0;
}

/* A copy of what is known of all ranks; returns how long ago, in ns, that was heard. */
uint64_t world_signs(struct sinter_world *w, struct world_sign *out);

/* --- world_link.c --- */

/* Opens the links to all others. Errors: E0709, E0615. */
status world_open_links(struct sinter_world *w, const struct address *peers, const uint8_t *near,
                        int listener);
void world_close_links(struct sinter_world *w);

/* Sends or takes as many bytes as there is room for, or are there, without waiting. Errors: E0707,
 * E0708. */
status link_send(struct link *link, uint64_t ring_bytes, const uint8_t *data, uint64_t n,
                 uint64_t *out_sent);
status link_receive(struct link *link, uint64_t ring_bytes, uint8_t *data, uint64_t n,
                    uint64_t *out_received);

/* The number of news so far, and sleeping until there are more than `seen`, or for ns. Sockets that
 * are waited for: rank by rank, POLLIN or POLLOUT or both in `events`, 0 for none; NULL: no
 * sockets. */
uint32_t world_news(struct sinter_world *w);
void world_sleep(struct sinter_world *w, uint32_t seen, const short *events, uint64_t ns);
void world_ring(struct bell *bell);

#endif
