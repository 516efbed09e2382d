/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exchanges between processes, over the links of their world. Every message begins with a header
 * that says where in which run its sender is and what it is about to give; a receiver that is
 * elsewhere says so. In an all_reduce each rank combines one segment for all, in the order of
 * places, as threads do (host_move.c): the same bits.
 */
#include "base/checked.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "runtime/comm/host/host_state.h"
#include "runtime/futex.h"
#include "runtime/process/world.h"

#include <poll.h>
#include <string.h>

enum message_kind {
  MESSAGE_BEGIN = 1,
  MESSAGE_BLOCKS,
  MESSAGE_SEGMENTS,
  MESSAGE_AGREE,
  MESSAGE_VOTE,
  MESSAGE_FINISH,
  MESSAGE_FINISHED
};

struct message {
  uint64_t magic;
  uint32_t version, kind;
  uint64_t run, at;   /* which run of the session, and where in it */
  uint64_t decisions; /* as comm.h says */
  uint64_t sizes;     /* hash of the blocks' numbers of elements and types */
  uint64_t bytes;     /* that follow */
  uint64_t engine;    /* hash of the file's digest */
  uint64_t payload;   /* hash of what follows; 0: not compared */
  uint64_t check;     /* hash of all else */
};

struct piece {
  uint8_t *data;
  uint64_t bytes;
};

/* A message on its way to a rank, or from one. */
struct stream {
  bool active;
  bool deserted; /* its sender was seen to have left; what it gave before may still be there */
  struct message header;
  uint64_t headed; /* bytes of the header that are through */
  struct piece *pieces;
  uint32_t n, at;  /* pieces, and how many are through */
  uint64_t offset; /* bytes of the present one */
};

/* What is shared by all that this process does: see host_state.h for the threads' kind. */
struct process {
  const struct plan *plan;
  struct sinter_world *w;
  const _Atomic bool *cancelled;
  uint64_t deadline_ns;
  uint32_t rank, ranks, most_spins;
  bool check;
  enum comm_damage damage;
  uint64_t run, engine, decisions;
  struct stream *out, *in; /* per rank */
  struct piece *pieces;
  struct comm_agreement *agreements; /* per rank */
  uint32_t *votes;                   /* per rank */
  struct world_sign *signs;
  uint64_t *received, *times; /* per exchange */
  uint8_t *scratch;           /* of what is to be combined */
  uint64_t scratch_bytes;
  const uint8_t **sources;
  uint64_t alive; /* when somebody was last seen to get on */
  uint64_t lives; /* sum of the heartbeats then */
};

static struct process *of(struct comm *c) { return (struct process *)(void *)c; }

static uint64_t at_of(const struct process *c) { return atomic_load(&c->w->own_at); }

static uint64_t message_check(const struct message *m) {
  struct message bare = *m;
  bare.check = 0;
  return hash_bytes(&bare, sizeof bare, 0);
}

/* --- What can be wrong --- */

static status report_elsewhere(struct process *c, uint32_t member, uint64_t at) {
  char a[320], b[320];
  return fault_report(
      DIAG_E0704, NULL, "a condition or size may depend on values that ranks do not share",
      "rank %u has come to %s, rank %u to %s", c->rank,
      comm_at_text(c->plan, at_of(c), a, sizeof a), member, comm_at_text(c->plan, at, b, sizeof b));
}

static status report_difference(struct process *c, uint32_t member, const char *what) {
  char text[320];
  return fault_report(DIAG_E0704, NULL, NULL, "ranks %u and %u are at %s with different %s",
                      c->rank, member, comm_at_text(c->plan, at_of(c), text, sizeof text), what);
}

/* The header of a message, beside the one that this rank would have sent. */
static status check_header(struct process *c, uint32_t from) {
  const struct message *m = &c->in[from].header, *own = &c->out[c->rank].header;
  if (m->magic != WORLD_MAGIC || m->version != WORLD_VERSION || m->check != message_check(m))
    return fault_report(DIAG_E0707, NULL, NULL, "a message from rank %u to rank %u is damaged",
                        from, c->rank);
  if (m->run != own->run || m->kind != own->kind || m->at != own->at)
    return report_elsewhere(c, from, m->at);
  if (m->engine != own->engine)
    return report_difference(c, from, "engines");
  if (m->decisions != own->decisions)
    return report_difference(c, from,
                             "decisions behind them (conditions or sizes that the data give)");
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < c->in[from].n; i++)
    bytes += c->in[from].pieces[i].bytes;
  if (m->sizes != own->sizes || m->bytes != bytes)
    return report_difference(c, from, "numbers of elements");
  return STATUS_OK;
}

static uint64_t hash_pieces(const struct stream *s) {
  uint64_t hash = 1;
  for (uint32_t i = 0; i < s->n; i++)
    hash = hash_bytes(s->pieces[i].data, s->pieces[i].bytes, hash);
  return hash ? hash : 1;
}

static status check_payload(struct process *c, uint32_t from) {
  const struct stream *s = &c->in[from];
  char text[320];
  if (!c->check || s->header.payload == hash_pieces(s))
    return STATUS_OK;
  return fault_report(DIAG_E0732, NULL, NULL, "what rank %u gave rank %u at %s was damaged", from,
                      c->rank, comm_at_text(c->plan, at_of(c), text, sizeof text));
}

/* --- Moving bytes --- */

static bool is_through(const struct stream *s) {
  return s->headed == sizeof s->header && s->at == s->n;
}

/* The next bytes of a message that may go through at once. */
static uint8_t *next_bytes(struct stream *s, uint64_t *out_n) {
  while (s->headed == sizeof s->header && s->at < s->n && s->offset == s->pieces[s->at].bytes) {
    s->at++;
    s->offset = 0;
  }
  if (s->headed < sizeof s->header) {
    *out_n = sizeof s->header - s->headed;
    return (uint8_t *)&s->header + s->headed;
  }
  *out_n = s->at < s->n ? s->pieces[s->at].bytes - s->offset : 0;
  return s->at < s->n ? s->pieces[s->at].data + s->offset : NULL;
}

static void advance(struct stream *s, uint64_t n) {
  if (s->headed < sizeof s->header)
    s->headed += n;
  else
    s->offset += n;
}

static status push(struct process *c, uint32_t to, bool *out_moved) {
  struct stream *s = &c->out[to];
  uint64_t n, moved = 1;
  status st = STATUS_OK;
  while (!st && moved) {
    uint8_t *data = next_bytes(s, &n);
    if (!n)
      break;
    st = link_send(&c->w->links[to], c->w->ring_bytes, data, n, &moved);
    advance(s, moved);
    *out_moved |= moved != 0;
  }
  s->active = !is_through(s);
  return st;
}

static status pull(struct process *c, uint32_t from, bool *out_moved) {
  struct stream *s = &c->in[from];
  uint64_t n, moved = 1;
  status st = STATUS_OK;
  while (!st && moved) {
    bool heading = s->headed < sizeof s->header;
    uint8_t *data = next_bytes(s, &n);
    if (!n)
      break;
    st = link_receive(&c->w->links[from], c->w->ring_bytes, data, n, &moved);
    advance(s, moved);
    *out_moved |= moved != 0;
    if (!st && heading && s->headed == sizeof s->header)
      st = check_header(c, from);
  }
  s->active = !is_through(s);
  return st || s->active ? st : check_payload(c, from);
}

/* --- Waiting --- */

#define LOOK_NS 20000000u

static status report_silence(struct process *c, uint64_t age) {
  char text[320];
  uint32_t silent = c->rank, stopped = c->ranks;
  uint64_t mine = at_of(c), half_ms = c->deadline_ns / 2000000u;
  if (c->rank && age > c->deadline_ns / 2)
    stopped = 0; /* from whom all others' signs come */
  for (uint32_t i = 0; i < c->ranks; i++) {
    if (i != c->rank && stopped == c->ranks && c->signs[i].silence_ms > half_ms)
      stopped = i;
    if (c->in[i].active && c->signs[i].at != mine)
      silent = i;
  }
  for (uint32_t i = 0; i < c->ranks; i++) /* the one for whom that one waits in turn */
    if (i != c->rank && !c->signs[i].waiting)
      silent = i;
  if (stopped < c->ranks)
    return fault_report(DIAG_E0703, NULL, "the deadline is an option of the session",
                        "the process of rank %u has given no sign of life for %.1f s, and rank %u "
                        "waits at %s",
                        stopped, (double)c->deadline_ns * 1e-9, c->rank,
                        comm_at_text(c->plan, mine, text, sizeof text));
  return fault_report(DIAG_E0703, NULL, "the deadline is an option of the session",
                      "rank %u has done nothing for %.1f s since its step %u, and rank %u waits at "
                      "%s",
                      silent, (double)c->deadline_ns * 1e-9,
                      c->signs[silent].heartbeat & ~COMM_SIGN_OF_LIFE, c->rank,
                      comm_at_text(c->plan, mine, text, sizeof text));
}

/* Whether those waited for are on their way. */
static status look_around(struct process *c) {
  uint64_t age = world_signs(c->w, c->signs), lives = 0, now = clock_now_ns(), mine = at_of(c);
  if (c->cancelled && atomic_load(c->cancelled))
    return fault_report(DIAG_E0617, NULL, NULL, "the run was cancelled");
  for (uint32_t i = 0; i < c->ranks; i++) {
    const struct world_sign *s = &c->signs[i];
    lives += s->heartbeat;
    if (i == c->rank || !c->in[i].active)
      continue;
    /* A connection says itself when no more will come. */
    bool deserted = c->in[i].deserted && c->w->links[i].fd < 0;
    c->in[i].deserted = s->left;
    if (s->left && deserted)
      return fault_report(DIAG_E0708, NULL, "its own error says why",
                          "the process of rank %u has left, and rank %u waits for it", i, c->rank);
    if (s->waiting && s->at != mine && COMM_AT_COUNT(s->at) == COMM_AT_COUNT(mine) &&
        COMM_AT_NUMBER(s->at) != COMM_BEGIN && COMM_AT_NUMBER(mine) != COMM_BEGIN)
      return report_elsewhere(c, i, s->at);
  }
  if (lives != c->lives)
    c->alive = now;
  c->lives = lives;
  return now - c->alive >= c->deadline_ns ? report_silence(c, age) : STATUS_OK;
}

static bool spin(struct process *c, uint32_t seen) {
  for (uint32_t i = 0; i < c->most_spins && world_news(c->w) == seen; i++)
    FUTEX_PAUSE();
  return world_news(c->w) != seen;
}

static status rest(struct process *c, uint32_t seen, uint64_t *looked) {
  short events[WORLD_MOST] = {0};
  uint64_t look = c->deadline_ns / 4 < LOOK_NS ? c->deadline_ns / 4 + 1 : LOOK_NS;
  if (spin(c, seen) && !world_failed(c->w))
    return STATUS_OK;
  for (uint32_t i = 0; i < c->ranks; i++)
    events[i] = (short)((c->in[i].active ? POLLIN : 0) | (c->out[i].active ? POLLOUT : 0));
  if (!world_failed(c->w))
    world_sleep(c->w, seen, events, look);
  uint64_t now = clock_now_ns();
  if (now - *looked < look)
    return STATUS_OK;
  *looked = now;
  return look_around(c);
}

/* Until all active streams are through. Errors are of this process: comm's `fail` tells others. */
static status transfer(struct process *c) {
  status st = STATUS_OK;
  uint64_t looked = c->alive = clock_now_ns();
  atomic_store(&c->w->own_waiting, 1);
  for (;;) {
    uint32_t seen = world_news(c->w);
    bool moved = false, active = false;
    if (world_failed(c->w))
      st = world_fail(c->w);
    for (uint32_t i = 0; i < c->ranks && !st; i++) {
      if (c->out[i].active)
        st = push(c, i, &moved);
      if (!st && c->in[i].active)
        st = pull(c, i, &moved);
      active |= c->out[i].active || c->in[i].active;
    }
    if (st || !active)
      break;
    if (moved)
      c->alive = clock_now_ns();
    else if ((st = rest(c, seen, &looked)) != STATUS_OK)
      break;
  }
  atomic_store(&c->w->own_waiting, 0);
  /* A broken connection is what follows from an ended process, which the watcher names. */
  if (st && strcmp(fault_code(), "E0708") == 0)
    for (int i = 0; i < 100 && !world_failed(c->w); i++)
      world_sleep(c->w, world_news(c->w), NULL, 2000000u);
  return st ? world_fail(c->w) : STATUS_OK;
}

/* --- Messages --- */

/* Prepares a header; the streams to and from a rank begin without pieces. */
static void open_round(struct process *c, enum message_kind kind, uint64_t sizes) {
  struct message *own = &c->out[c->rank].header;
  *own = (struct message){.magic = WORLD_MAGIC,
                          .version = WORLD_VERSION,
                          .kind = kind,
                          .run = c->run,
                          .at = at_of(c),
                          .decisions = c->decisions,
                          .sizes = sizes,
                          .engine = c->engine};
  for (uint32_t i = 0; i < c->ranks; i++) {
    c->out[i].active = c->in[i].active = false;
    c->out[i].n = c->in[i].n = 0;
  }
}

static void add_piece(struct stream *s, const void *data, uint64_t bytes) {
  s->pieces[s->n++] = (struct piece){(uint8_t *)(uintptr_t)data, bytes};
}

static void open_stream(struct process *c, struct stream *s, bool out) {
  s->active = true;
  s->deserted = false;
  s->headed = s->at = 0;
  s->offset = 0;
  if (!out)
    return;
  s->header = c->out[c->rank].header;
  for (uint32_t i = 0; i < s->n; i++)
    s->header.bytes += s->pieces[i].bytes;
  s->header.payload = c->check ? hash_pieces(s) : 0;
  if (c->damage == COMM_DAMAGED_PAYLOAD && c->check)
    s->header.payload ^= 2;
  s->header.check = message_check(&s->header);
  if (c->damage == COMM_DAMAGED_HEADER)
    s->header.decisions ^= 1;
}

static void come_to(struct process *c, uint64_t at) { atomic_store(&c->w->own_at, at); }

/* A word to every rank, and one from every rank. */
static status meet_all(struct process *c, enum message_kind kind, const void *mine, void *all,
                       uint64_t bytes) {
  open_round(c, kind, 0);
  for (uint32_t i = 0; i < c->ranks; i++) {
    if (i == c->rank)
      continue;
    if (bytes) {
      add_piece(&c->out[i], mine, bytes);
      add_piece(&c->in[i], (uint8_t *)all + i * bytes, bytes);
    }
    open_stream(c, &c->out[i], true);
    open_stream(c, &c->in[i], false);
  }
  c->damage = COMM_SOUND;
  return transfer(c);
}

static status process_begin(struct comm *comm, uint32_t rank,
                            const struct comm_agreement *agreement) {
  struct process *c = of(comm);
  (void)rank;
  c->run++;
  c->decisions = 0;
  memset(c->received, 0, c->plan->exchange_count * sizeof *c->received);
  memset(c->times, 0, c->plan->exchange_count * sizeof *c->times);
  atomic_store(&c->w->heartbeats[c->rank], 0);
  come_to(c, COMM_AT(0, COMM_BEGIN));
  c->agreements[c->rank] = *agreement;
  c->engine = 0; /* this is where they are compared */
  status st = meet_all(c, MESSAGE_BEGIN, agreement, c->agreements, sizeof *agreement);
  c->engine = hash_combine(agreement->engine[0], agreement->engine[1]);
  for (uint32_t i = 0; i < c->ranks && !st; i++) {
    const char *what = comm_compare(agreement, &c->agreements[i]);
    if (what) {
      report_difference(c, i, what);
      st = world_fail(c->w);
    }
  }
  return st;
}

/* Whoever has heard from all cannot know yet that all were content with what they heard of it: only
 * then is the run good, on all ranks or on none. */
static status process_finish(struct comm *comm, uint32_t rank, uint64_t decisions) {
  struct process *c = of(comm);
  (void)rank;
  c->decisions = decisions;
  come_to(c, COMM_AT(COMM_AT_COUNT(at_of(c)) + 1, COMM_FINISH));
  status st = meet_all(c, MESSAGE_FINISH, NULL, NULL, 0);
  return st ? st : meet_all(c, MESSAGE_FINISHED, NULL, NULL, 0);
}

static status process_vote(struct comm *comm, uint32_t rank, uint32_t mine, uint32_t *out_least) {
  struct process *c = of(comm);
  c->votes[rank] = mine;
  status st = meet_all(c, MESSAGE_VOTE, &mine, c->votes, sizeof mine);
  *out_least = mine;
  for (uint32_t i = 0; i < c->ranks && !st; i++)
    if (c->votes[i] < *out_least)
      *out_least = c->votes[i];
  return st;
}

static status process_gather(struct comm *comm, uint32_t rank, const void *mine, size_t bytes,
                             void *out_all) {
  struct process *c = of(comm);
  (void)rank;
  return world_gather(c->w, mine, (uint32_t)bytes, out_all, c->deadline_ns);
}

/* --- Exchanges --- */

/* One exchange, as this rank sees it. */
struct part {
  struct process *c;
  const struct plan_group *group;
  const Engine__Exchange *body;
  const struct comm_block *blocks;
  uint32_t n, place; /* ranks of the group */
  uint32_t n_blocks;
  uint64_t sizes;
};

static uint32_t rank_at(const struct part *p, uint32_t place) {
  return plan_group_rank(p->c->plan, p->group, p->c->rank, place);
}

static uint64_t size_of(const struct part *p, uint32_t i) {
  return dtype_unpacked_bytes(p->blocks[i].dtype);
}

/* The elements of a block that the rank at a place combines: all, if blocks are scattered. */
static uint64_t segment_start(const struct part *p, uint32_t i, uint32_t place) {
  uint64_t elements = p->blocks[i].elements;
  if (p->body->kind != ENGINE__EXCHANGE_KIND__ALL_REDUCE)
    return elements * place;
  return comm_segment(elements, place, p->n);
}

static uint64_t segment_bytes(const struct part *p, uint32_t i, uint32_t place) {
  return (segment_start(p, i, place + 1) - segment_start(p, i, place)) * size_of(p, i);
}

static void open_both(const struct part *p, uint32_t out_to, uint32_t in_from) {
  struct process *c = p->c;
  if (out_to != p->place)
    open_stream(c, &c->out[rank_at(p, out_to)], true);
  if (in_from != p->place)
    open_stream(c, &c->in[rank_at(p, in_from)], false);
}

static uint64_t bytes_in(const struct process *c) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < c->ranks; i++)
    for (uint32_t k = 0; k < c->in[i].n; k++)
      bytes += c->in[i].pieces[k].bytes;
  return bytes;
}

static status finish_round(const struct part *p) {
  p->c->received[p->body->number] += bytes_in(p->c);
  p->c->damage = COMM_SOUND;
  return transfer(p->c);
}

/* Blocks go as they are: gathered, each to its own, or permuted. */
static status move_blocks(const struct part *p) {
  struct process *c = p->c;
  open_round(c, MESSAGE_BLOCKS, p->sizes);
  for (uint32_t q = 0; q < p->n; q++) {
    bool permute = p->body->kind == ENGINE__EXCHANGE_KIND__PERMUTE,
         scatter = p->body->kind == ENGINE__EXCHANGE_KIND__ALL_TO_ALL,
         out = !permute || p->body->from[q] == p->place,
         in = !permute || p->body->from[p->place] == q;
    for (uint32_t i = 0; i < p->n_blocks; i++) {
      const struct comm_block *b = &p->blocks[i];
      uint64_t bytes = b->elements * size_of(p, i);
      const uint8_t *src = scatter ? b->src + q * bytes : b->src;
      uint8_t *dst = permute ? b->dst : b->dst + q * bytes;
      if (q == p->place && in && bytes)
        memcpy(dst, src, bytes);
      if (q != p->place && out)
        add_piece(&c->out[rank_at(p, q)], src, bytes);
      if (q != p->place && in)
        add_piece(&c->in[rank_at(p, q)], dst, bytes);
    }
    open_both(p, out ? q : p->place, in ? q : p->place);
  }
  return finish_round(p);
}

static status reserve_scratch(const struct part *p) {
  struct process *c = p->c;
  uint64_t bytes = 0, all;
  for (uint32_t i = 0; i < p->n_blocks; i++)
    bytes += segment_bytes(p, i, p->place) + 64;
  if (!u64_mul(bytes, p->n, &all))
    return fault_no_memory("an exchange", UINT64_MAX);
  if (all <= c->scratch_bytes)
    return STATUS_OK;
  mem_free(c->scratch);
  c->scratch = mem_try_alloc(all);
  c->scratch_bytes = c->scratch ? all : 0;
  return c->scratch ? STATUS_OK : fault_no_memory("an exchange", all);
}

/* Segments that this rank combines come from all others into the scratch memory. */
static status collect_parts(const struct part *p) {
  struct process *c = p->c;
  uint8_t *at = c->scratch;
  open_round(c, MESSAGE_BLOCKS, p->sizes);
  for (uint32_t i = 0; i < p->n_blocks; i++)
    for (uint32_t q = 0; q < p->n; q++) {
      if (q == p->place)
        continue;
      uint64_t bytes = segment_bytes(p, i, p->place);
      add_piece(&c->in[rank_at(p, q)], at, bytes);
      add_piece(&c->out[rank_at(p, q)], p->blocks[i].src + segment_start(p, i, q) * size_of(p, i),
                segment_bytes(p, i, q));
      at += (bytes + 63) / 64 * 64;
    }
  for (uint32_t q = 0; q < p->n; q++)
    open_both(p, q, q);
  return finish_round(p);
}

static void combine_parts(const struct part *p) {
  struct process *c = p->c;
  for (uint32_t i = 0; i < p->n_blocks; i++) {
    const struct comm_block *b = &p->blocks[i];
    uint64_t first = segment_start(p, i, p->place) * size_of(p, i),
             elements = segment_bytes(p, i, p->place) / size_of(p, i);
    for (uint32_t q = 0; q < p->n; q++)
      c->sources[q] = q == p->place ? b->src + first : c->in[rank_at(p, q)].pieces[i].data;
    if (elements)
      host_reduce(b->dtype, p->body->reduction,
                  p->body->kind == ENGINE__EXCHANGE_KIND__ALL_REDUCE ? b->dst + first : b->dst,
                  c->sources, p->n, 0, elements);
  }
}

/* The second half of an all_reduce. */
static status spread_segments(const struct part *p) {
  struct process *c = p->c;
  open_round(c, MESSAGE_SEGMENTS, p->sizes);
  for (uint32_t q = 0; q < p->n; q++) {
    if (q == p->place)
      continue;
    for (uint32_t i = 0; i < p->n_blocks; i++) {
      const struct comm_block *b = &p->blocks[i];
      add_piece(&c->out[rank_at(p, q)], b->dst + segment_start(p, i, p->place) * size_of(p, i),
                segment_bytes(p, i, p->place));
      add_piece(&c->in[rank_at(p, q)], b->dst + segment_start(p, i, q) * size_of(p, i),
                segment_bytes(p, i, q));
    }
    open_both(p, q, q);
  }
  return finish_round(p);
}

static status reduce_blocks(const struct part *p) {
  status st = reserve_scratch(p);
  if (st)
    return st;
  st = collect_parts(p);
  if (st)
    return st;
  combine_parts(p);
  return p->body->kind == ENGINE__EXCHANGE_KIND__ALL_REDUCE ? spread_segments(p) : STATUS_OK;
}

static struct part come_to_exchange(struct process *c, const struct plan_exchange *exchange,
                                    const struct comm_block *blocks, uint32_t n,
                                    uint64_t decisions) {
  const struct plan_group *group = &c->plan->groups[exchange->group];
  struct part p = {.c = c,
                   .group = group,
                   .body = exchange->body,
                   .blocks = blocks,
                   .n = group->size,
                   .place = plan_group_place(c->plan, group, c->rank),
                   .n_blocks = n};
  for (uint32_t i = 0; i < n; i++)
    p.sizes = hash_combine(hash_combine(p.sizes, blocks[i].elements), blocks[i].dtype);
  c->decisions = decisions;
  come_to(c, COMM_AT(COMM_AT_COUNT(at_of(c)) + 1, exchange->body->number));
  return p;
}

static status process_agree(struct comm *comm, uint32_t rank, const struct plan_exchange *exchange,
                            const struct comm_block *blocks, uint32_t n, uint64_t decisions) {
  struct part p = come_to_exchange(of(comm), exchange, blocks, n, decisions);
  (void)rank;
  open_round(p.c, MESSAGE_AGREE, p.sizes);
  for (uint32_t q = 0; q < p.n; q++)
    open_both(&p, q, q);
  return finish_round(&p);
}

static status process_exchange(struct comm *comm, uint32_t rank,
                               const struct plan_exchange *exchange,
                               const struct comm_block *blocks, uint32_t n, uint64_t decisions) {
  struct process *c = of(comm);
  struct part p = come_to_exchange(c, exchange, blocks, n, decisions);
  (void)rank;
  c->times[exchange->body->number]++;
  bool reduces = p.body->kind == ENGINE__EXCHANGE_KIND__ALL_REDUCE ||
                 p.body->kind == ENGINE__EXCHANGE_KIND__REDUCE_SCATTER;
  return reduces ? reduce_blocks(&p) : move_blocks(&p);
}

/* --- Life --- */

static status process_fail(struct comm *comm, uint32_t rank) {
  (void)rank;
  return world_fail(of(comm)->w);
}

static bool process_failed(const struct comm *comm) {
  return world_failed(((const struct process *)(const void *)comm)->w);
}

static void process_reset(struct comm *comm) { (void)comm; /* a world's failure is final */ }

static _Atomic uint32_t *process_heartbeat(struct comm *comm, uint32_t rank) {
  return &of(comm)->w->heartbeats[rank];
}

/* Only of this process's rank. */
static uint64_t process_received(const struct comm *comm, uint32_t rank, uint32_t number,
                                 uint64_t *out_times) {
  const struct process *c = (const struct process *)(const void *)comm;
  *out_times = c->times[number];
  return rank == c->rank ? c->received[number] : 0;
}

static void process_damage(struct comm *comm, uint32_t rank, enum comm_damage damage) {
  (void)rank;
  of(comm)->damage = damage;
}

static void process_destroy(struct comm *comm) {
  struct process *c = of(comm);
  if (!c)
    return;
  mem_free(c->out);
  mem_free(c->in);
  mem_free(c->pieces);
  mem_free(c->agreements);
  mem_free(c->votes);
  mem_free(c->signs);
  mem_free(c->received);
  mem_free(c->times);
  mem_free(c->scratch);
  mem_free(c->sources);
  mem_free(c);
}

static bool allocate(struct process *c) {
  size_t n = c->ranks, parts = c->plan->most_exchange_parts + 1u, counters;
  counters = c->plan->exchange_count + 1u;
  c->out = mem_try_calloc(n, sizeof *c->out);
  c->in = mem_try_calloc(n, sizeof *c->in);
  c->pieces = mem_try_calloc(2 * n * parts, sizeof *c->pieces);
  c->agreements = mem_try_calloc(n, sizeof *c->agreements);
  c->votes = mem_try_calloc(n, sizeof *c->votes);
  c->signs = mem_try_calloc(n, sizeof *c->signs);
  c->received = mem_try_calloc(counters, sizeof *c->received);
  c->times = mem_try_calloc(counters, sizeof *c->times);
  c->sources = mem_try_calloc(n, sizeof *c->sources);
  if (!c->out || !c->in || !c->pieces || !c->agreements || !c->votes || !c->signs || !c->received ||
      !c->times || !c->sources)
    return false;
  for (size_t i = 0; i < n; i++) {
    c->out[i].pieces = c->pieces + 2 * i * parts;
    c->in[i].pieces = c->out[i].pieces + parts;
  }
  return true;
}

/* Signs of life between processes, as often as the deadline asks for. */
static uint64_t period_for(uint64_t deadline_ns) {
  uint64_t period = deadline_ns / 16;
  return period < 5000000u ? 5000000u : period > 100000000u ? 100000000u : period;
}

static status process_create(const struct comm_options *options, struct comm **out_comm) {
  struct process *c = mem_try_calloc(1, sizeof *c);
  if (!c)
    return fault_no_memory("communication", sizeof *c);
  c->plan = options->plan;
  c->w = options->world;
  c->rank = c->w->rank;
  c->ranks = options->plan->ranks;
  c->deadline_ns = options->deadline_ns;
  c->cancelled = options->cancelled;
  c->check = options->check;
  c->most_spins = c->w->neighbours == c->ranks ? futex_spins(c->ranks) : 0;
  if (!allocate(c)) {
    process_destroy((struct comm *)(void *)c);
    return fault_no_memory("communication", c->ranks * sizeof(struct stream));
  }
  atomic_store(&c->w->period_ns, period_for(c->deadline_ns));
  *out_comm = (struct comm *)(void *)c;
  return STATUS_OK;
}

const struct comm_driver process_comm = {
    .name = "process",
    .create = process_create,
    .destroy = process_destroy,
    .begin = process_begin,
    .exchange = process_exchange,
    .agree = process_agree,
    .vote = process_vote,
    .gather = process_gather,
    .finish = process_finish,
    .fail = process_fail,
    .failed = process_failed,
    .reset = process_reset,
    .heartbeat = process_heartbeat,
    .received = process_received,
    .damage = process_damage,
};
