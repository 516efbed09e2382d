/* SPDX-License-Identifier: Apache-2.0 */
/* States of a session: how many rows each batch row has, and room for more. The rows themselves are
 * the ranks' (rank_state.c). */
#include "runtime/session.h"

#include "base/checked.h"
#include "base/mem.h"
#include "runtime/fault.h"

#include <string.h>

void session_states_init(struct sinter_session *s) {
  const Engine__Manifest *m = s->engine->plan.manifest;
  for (size_t i = m->n_entries; i-- > 0;)
    if (m->entries[i]->n_states)
      s->states.entry = m->entries[i];
}

void session_states_deinit(struct sinter_session *s) {
  mem_free(s->states.length);
  mem_free(s->states.added);
}

/* ---- room ---- */

/* The least room; then it doubles, so that few capacities, and so few shapes, come up. */
#define LEAST_CAPACITY 64

static int64_t most_capacity(const struct sinter_session *s) {
  return s->engine->plan.manifest->symbols[s->states.entry->capacity]->hi;
}

static status no_room(const struct sinter_session *s, int64_t wanted) {
  return fault_report(DIAG_E0625, s->engine->file.path, NULL,
                      "states of %lld rows are needed, the engine allows %lld", (long long)wanted,
                      (long long)most_capacity(s));
}

static status capacity_for(const struct sinter_session *s, int64_t wanted, int64_t *out) {
  int64_t capacity = s->states.capacity ? s->states.capacity : LEAST_CAPACITY,
          most = most_capacity(s);
  if (wanted > most)
    return no_room(s, wanted);
  while (capacity < wanted && capacity <= INT64_MAX / 2)
    capacity *= 2;
  *out = capacity < wanted || capacity > most ? most : capacity;
  return STATUS_OK;
}

static status grow_lengths(struct session_states *x, int64_t rows) {
  int64_t *length = mem_try_calloc((size_t)rows, sizeof *length);
  int64_t *added = mem_try_calloc((size_t)rows, sizeof *added);
  if (!length || !added) {
    mem_free(length);
    mem_free(added);
    return fault_no_memory("lengths of states", (unsigned long long)rows);
  }
  if (x->rows)
    memcpy(length, x->length, (size_t)x->rows * sizeof *length);
  mem_free(x->length);
  mem_free(x->added);
  x->length = length;
  x->added = added;
  return STATUS_OK;
}

/* A failure may have left ranks with more than others. */
static bool has_room(const struct sinter_session *s, int64_t rows, int64_t capacity) {
  bool all = rows == s->states.rows && capacity == s->states.capacity;
  for (uint32_t i = 0; i < s->rank_count; i++)
    all &= s->ranks[i].states.rows == rows && s->ranks[i].states.capacity == capacity;
  return all;
}

static status make_room(struct sinter_session *s, int64_t rows, int64_t wanted) {
  struct session_states *x = &s->states;
  int64_t capacity;
  status st = capacity_for(s, wanted, &capacity);
  if (rows < x->rows)
    rows = x->rows;
  if (st || has_room(s, rows, capacity))
    return st;
  if (rows > x->rows)
    st = grow_lengths(x, rows);
  for (uint32_t i = 0; i < s->rank_count && !st; i++)
    st = rank_states_reserve(&s->ranks[i], x->entry, rows, capacity);
  if (st)
    return st;
  x->rows = rows;
  x->capacity = capacity;
  return STATUS_OK;
}

/* ---- runs ---- */

static status bad_count(const struct sinter_session *s, int64_t row, int64_t count,
                        int64_t tokens) {
  return fault_report(DIAG_E0625, s->engine->file.path, NULL,
                      "batch row %lld is to get %lld of %lld tokens", (long long)row,
                      (long long)count, (long long)tokens);
}

/* How many rows each batch row gets, and the most that one has then. */
static status count_rows(struct sinter_session *s, const int64_t *count, int64_t batch,
                         int64_t tokens, int64_t *out_most) {
  struct session_states *x = &s->states;
  *out_most = 1;
  for (int64_t i = 0; i < batch; i++) {
    int64_t added = count ? count[i] : tokens, after;
    if (added < 0 || added > tokens)
      return bad_count(s, i, added, tokens);
    x->added[i] = added;
    if (__builtin_add_overflow(x->length[i], added, &after))
      return no_room(s, INT64_MAX);
    if (after > *out_most)
      *out_most = after;
  }
  return STATUS_OK;
}

/* Inputs are looked at again, and in full, by the ranks: here only as far as states need it. */
static status look(struct sinter_session *s, const Engine__Entry *e, const sinter_tensor *inputs,
                   size_t n, int64_t *out_batch, int64_t *out_tokens, const int64_t **out_count) {
  if (n != plan_entry_inputs(e))
    return fault_report(DIAG_E0602, s->engine->file.path, NULL,
                        "entry point '%s' has %zu inputs, %zu were given",
                        plan_string(&s->engine->plan, e->name), plan_entry_inputs(e), n);
  const sinter_tensor *tokens = &inputs[0];
  *out_count = NULL;
  if (tokens->rank != e->inputs[0]->n_dims || tokens->dims[0] < 0 || tokens->dims[1] < 0)
    return fault_report(DIAG_E0604, s->engine->file.path, NULL, "the tokens have %u dims",
                        tokens->rank);
  *out_batch = tokens->dims[0];
  *out_tokens = tokens->dims[1];
  if (!e->count)
    return STATUS_OK;
  const sinter_tensor *count = &inputs[e->count - 1];
  if (count->dtype != SINTER_I64 || count->rank != 1 || count->dims[0] != *out_batch ||
      (*out_batch && !count->data) || (uintptr_t)count->data % sizeof(int64_t) ||
      count->bytes / sizeof(int64_t) < (uint64_t)*out_batch)
    return fault_report(DIAG_E0607, s->engine->file.path, NULL,
                        "input '%s' must have an i64 for each of %lld batch rows",
                        plan_string(&s->engine->plan, e->inputs[e->count - 1]->name),
                        (long long)*out_batch);
  *out_count = count->data;
  return STATUS_OK;
}

status session_states_begin(struct sinter_session *s, const Engine__Entry *e,
                            const sinter_tensor *inputs, size_t n) {
  int64_t batch, tokens, most;
  const int64_t *count;
  if (!e->n_states)
    return STATUS_OK;
  status st = look(s, e, inputs, n, &batch, &tokens, &count);
  if (!st)
    st = make_room(s, batch > 0 ? batch : 1, 1);
  if (!st)
    st = count_rows(s, count, batch, tokens, &most);
  if (!st)
    st = make_room(s, 1, most);
  for (int64_t i = batch; i < s->states.rows && !st; i++)
    s->states.added[i] = 0;
  for (uint32_t i = 0; i < s->rank_count; i++)
    s->ranks[i].states.length = s->states.length;
  return st;
}

void session_states_end(struct sinter_session *s, const Engine__Entry *e) {
  for (int64_t i = 0; e->n_states && i < s->states.rows; i++)
    s->states.length[i] += s->states.added[i];
}

/* ---- the public functions ---- */

/* A call on the states of a session that is not running. */
static status take(sinter_session *s, const char *function) {
  fault_clear();
  if (!s)
    return fault_report(DIAG_E0618, NULL, NULL, "%s was given NULL", function);
  if (!s->states.entry)
    return fault_report(DIAG_E0625, s->engine->file.path, "`sinter inspect` lists entry points",
                        "the engine has no entry point with states");
  if (atomic_exchange(&s->busy, true))
    return fault_report(DIAG_E0616, NULL, "create a session per thread",
                        "the session is already running");
  status st = session_alive(s);
  if (st)
    atomic_store(&s->busy, false);
  return st;
}

static sinter_status give(sinter_session *s, status st) {
  atomic_store(&s->busy, false);
  return (sinter_status)st;
}

static status no_row(const sinter_session *s, int64_t row) {
  return fault_report(DIAG_E0625, s->engine->file.path, "sinter_session_reserve makes room",
                      "there is no batch row %lld among %lld", (long long)row,
                      (long long)s->states.rows);
}

static bool has_row(const sinter_session *s, int64_t row) {
  return row >= 0 && row < s->states.rows;
}

SINTER_API sinter_status sinter_session_reserve(sinter_session *session, int64_t rows,
                                                int64_t length) {
  status st = take(session, "sinter_session_reserve");
  if (st)
    return (sinter_status)st;
  if (rows < 1 || length < 1)
    st = no_row(session, rows);
  return give(session, st ? st : make_room(session, rows, length));
}

SINTER_API sinter_status sinter_session_reset(sinter_session *session) {
  status st = take(session, "sinter_session_reset");
  if (st)
    return (sinter_status)st;
  for (int64_t i = 0; i < session->states.rows; i++)
    session->states.length[i] = 0;
  return give(session, st);
}

SINTER_API sinter_status sinter_session_length(sinter_session *session, int64_t row,
                                               int64_t *out_length) {
  status st = take(session, "sinter_session_length");
  if (st)
    return (sinter_status)st;
  if (!out_length)
    st = fault_report(DIAG_E0618, NULL, NULL, "sinter_session_length was given NULL");
  else
    *out_length = has_row(session, row) ? session->states.length[row] : 0;
  return give(session, st);
}

SINTER_API sinter_status sinter_session_truncate(sinter_session *session, int64_t row,
                                                 int64_t length) {
  status st = take(session, "sinter_session_truncate");
  if (st)
    return (sinter_status)st;
  if (!has_row(session, row))
    st = no_row(session, row);
  else if (length < 0 || length > session->states.length[row])
    st = fault_report(DIAG_E0625, session->engine->file.path, NULL,
                      "batch row %lld has %lld rows, not %lld", (long long)row,
                      (long long)session->states.length[row], (long long)length);
  else
    session->states.length[row] = length;
  return give(session, st);
}

static uint32_t equal_coords(const struct rank *a, const struct rank *b) {
  uint32_t n = 0;
  for (size_t i = 0; i < a->plan->manifest->n_mesh; i++)
    n += a->coords[i] == b->coords[i];
  return n;
}

/* The row `from` of the part of a state that rank r has rows of: of the ranks that have it, which
 * all stand at one place along the axes that deal rows, the one at r's place along the others. */
static status find_row(struct sinter_session *s, const struct rank *r, size_t state, int64_t from,
                       struct states_row *out, struct rank **out_rank) {
  uint32_t most = 0;
  status st = STATUS_OK;
  *out = (struct states_row){0};
  for (uint32_t i = 0; i < s->rank_count && !st; i++) {
    struct states_row row;
    uint32_t equal = 1 + equal_coords(r, &s->ranks[i]);
    if (equal <= most)
      continue;
    st = rank_states_row(&s->ranks[i], s->states.entry, state, from, &row);
    if (st || !row.data)
      continue;
    *out = row;
    *out_rank = &s->ranks[i];
    most = equal;
  }
  return st;
}

/* From one device's memory to another's. */
static status carry_row(struct rank *from, const uint8_t *src, struct rank *to, uint8_t *dst,
                        uint64_t bytes) {
  void *host = mem_try_calloc(bytes, 1);
  status st = host ? from->driver->read(from->device, host, src, bytes)
                   : fault_no_memory("a row of a state", bytes);
  if (!st)
    st = to->driver->write(to->device, dst, host, bytes);
  mem_free(host);
  return st;
}

static status copy_row(struct sinter_session *s, struct rank *r, size_t state, int64_t from,
                       int64_t to) {
  struct states_row dst, src;
  struct rank *other = NULL;
  status st = rank_states_row(r, s->states.entry, state, to, &dst);
  if (st || !dst.data || !dst.bytes)
    return st;
  st = find_row(s, r, state, from, &src, &other);
  if (st || !src.data || src.bytes != dst.bytes || src.data == dst.data)
    return st;
  return other != r && r->driver->discrete
             ? carry_row(other, src.data, r, dst.data, dst.bytes)
             : r->driver->copy(r->device, dst.data, src.data, dst.bytes);
}

/* Whether a rank here has a row of a state but not the row that it is to become. */
static status lacks_source(struct sinter_session *s, int64_t from, int64_t to, bool *out_lacks) {
  status st = STATUS_OK;
  *out_lacks = false;
  for (uint32_t i = 0; i < s->rank_count; i++)
    for (size_t k = 0; k < s->states.entry->n_states && !st; k++) {
      struct states_row dst, src = {0};
      struct rank *other;
      st = rank_states_row(&s->ranks[i], s->states.entry, k, to, &dst);
      if (!st && dst.data && dst.bytes)
        st = find_row(s, &s->ranks[i], k, from, &src, &other);
      *out_lacks |= !st && dst.data && dst.bytes && !src.data;
    }
  return st;
}

/* Between processes rows do not travel: all refuse it, or none. */
static status find_sources(struct sinter_session *s, int64_t from, int64_t to) {
  bool lacks;
  uint8_t mine, all[WORLD_MOST], any = 0;
  status st = lacks_source(s, from, to, &lacks);
  mine = st || lacks;
  status gathered = world_gather(s->world, &mine, 1, all, s->world->timeout_ns);
  for (uint32_t i = 0; i < s->world->size && !gathered; i++)
    any |= all[i];
  if (st || gathered || !any)
    return st ? st : gathered;
  return fault_report(DIAG_E0625, s->engine->file.path,
                      "let the ranks be threads of one process, or split batch rows over fewer",
                      "batch row %lld is of another process than row %lld", (long long)from,
                      (long long)to);
}

SINTER_API sinter_status sinter_session_copy(sinter_session *session, int64_t from, int64_t to) {
  status st = take(session, "sinter_session_copy");
  if (st)
    return (sinter_status)st;
  if (!has_row(session, from) || !has_row(session, to))
    st = no_row(session, has_row(session, from) ? to : from);
  if (!st && session->world)
    st = find_sources(session, from, to);
  for (uint32_t i = 0; i < session->rank_count && !st; i++) {
    for (size_t k = 0; k < session->states.entry->n_states && !st; k++)
      st = copy_row(session, &session->ranks[i], k, from, to);
    if (!st)
      st = session->ranks[i].driver->wait(session->ranks[i].device);
  }
  if (!st)
    session->states.length[to] = session->states.length[from];
  return give(session, st);
}
