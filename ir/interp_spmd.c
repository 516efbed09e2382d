/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks in lock-step: a baton goes round, so that one thread runs at any time; a rank gives it back
 * at each collective, which the caller executes when all ranks have come to the same one. */
#include "ir/interp_spmd.h"

#include "ir/exchange_group.h"
#include "ir/ops/collective_util.h"
#include "ir/rank_merge.h"
#include "ir/shard_index.h"
#include "ir/sharding_form.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

enum rank_state { RANK_RUNS, RANK_WAITS, RANK_DONE };

struct spmd;
struct spmd_rank {
  struct interp_rank place; /* first: the hook finds its rank by it */
  struct spmd *spmd;
  int64_t number, coords[MESH_MAX_AXES];
  struct interp in;
  enum rank_state state;
  const struct op *at; /* the collective that it waits in */
  status result;
  struct tensor **inputs, **outputs;
  pthread_t thread;
};

#define NO_RANK (-1)

struct spmd {
  const struct function *f;
  const struct function *ports; /* whose parameters and results have the shardings */
  const struct mesh *mesh;
  enum interp_mode mode;
  struct arena *arena;
  pthread_mutex_t lock;
  pthread_cond_t moved;
  int64_t turn; /* the rank that runs; NO_RANK: the caller */
  status abort; /* what waiting ranks end with */
  int64_t n;
  struct spmd_rank *ranks;
};

static const struct sharding *sharding_of(const struct function *f, value_id v) {
  static const struct sharding none;
  sharding_id id = value_type(f, v)->sharding;
  return id ? f->module->shardings.data[id] : &none;
}

/* ---- the baton ---- */

static void give_turn(struct spmd *s, int64_t to) {
  s->turn = to;
  pthread_cond_broadcast(&s->moved);
}

static void await_turn(struct spmd *s, int64_t mine) {
  while (s->turn != mine)
    pthread_cond_wait(&s->moved, &s->lock);
}

/* A rank's side of a collective. */
static status wait_in_collective(struct interp_rank *place, struct interp *in,
                                 const struct op *op) {
  struct spmd_rank *r = (struct spmd_rank *)place;
  (void)in;
  r->state = RANK_WAITS;
  r->at = op;
  give_turn(r->spmd, NO_RANK);
  await_turn(r->spmd, r->number);
  r->state = RANK_RUNS;
  return r->spmd->abort;
}

static void *run_rank(void *user) {
  struct spmd_rank *r = user;
  struct spmd *s = r->spmd;
  pthread_mutex_lock(&s->lock);
  await_turn(s, r->number);
  r->result = s->abort ? s->abort : interp_region(&r->in, 0, r->inputs, r->outputs);
  r->state = RANK_DONE;
  give_turn(s, NO_RANK);
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

/* ---- collectives ---- */

/* The ranks that differ from r only along the axes of the op, in the order of their places there.
 */
static uint32_t group_of(const struct spmd *s, const struct spmd_rank *r, const struct op *op,
                         struct spmd_rank **out) {
  struct axis_ref refs[MESH_MAX_AXES];
  uint32_t n = collective_axes(op, refs);
  int64_t size = axis_refs_size(s->mesh, refs, n);
  for (int64_t i = 0; i < size; i++)
    out[i] = &s->ranks[axis_refs_rank(s->mesh, refs, n, r->coords, i)];
  return (uint32_t)size;
}

static bool check_axes(const struct spmd *s, struct interp *in, const struct op *op) {
  struct axis_ref refs[MESH_MAX_AXES];
  uint32_t n = collective_axes(op, refs);
  bool sound = true;
  for (uint32_t i = 0; sound && i < n; i++) {
    sound = axis_ref_check(s->mesh, &refs[i]);
    for (uint32_t k = 0; sound && k < i; k++)
      sound = !axis_refs_overlap(s->mesh, &refs[i], &refs[k]);
  }
  if (!sound)
    interp_fail(in, op, DIAG_E0623, "the mesh does not have these axes");
  return sound;
}

/* A tensor of the whole value's dims in which nothing is known: elements that no part has keep a
 * value that gives the lack away. */
static struct tensor *unknown_whole(struct spmd_rank *r, const struct function *f,
                                    const struct op *op, value_id v) {
  const struct type *type = value_type(f, v);
  int64_t dims[IR_MAX_RANK];
  if (!interp_dims(&r->in, op, type->dims, type->rank, dims))
    return NULL;
  struct tensor *t = interp_tensor(&r->in, op, type->dtype, dims, type->rank);
  for (int64_t i = 0; t && i < t->count; i++)
    t->i64[i] = INT64_C(0x5ca1ab1e5ca1ab1);
  return t;
}

static bool put_part(struct spmd_rank *r, const struct op *op, uint32_t i, struct tensor *part,
                     struct tensor *whole) {
  if (shard_put(r->spmd->mesh, sharding_of(r->spmd->f, op->operands[i]), r->coords, part, whole))
    return true;
  interp_fail(&r->in, op, DIAG_E0620, "operand %u is not the part that its type says", i);
  return false;
}

/* What the group knows of each operand together. */
static bool know(struct spmd *s, struct spmd_rank *r, struct spmd_rank *const *group, uint32_t n,
                 const struct op *op, struct tensor *whole[2]) {
  bool merges = op->kind == OP_ALL_REDUCE || op->kind == OP_REDUCE_SCATTER || op->kind == OP_MERGE;
  enum partial_kind kind = sharding_of(s->f, op->operands[0])->partial.kind;
  struct tensor *parts[INTERP_SPMD_MAX_RANKS][2], *merged[2];
  for (uint32_t k = 0; k < op->n_operands; k++)
    if (!(whole[k] = unknown_whole(r, s->f, op, op->operands[k])))
      return false;
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t k = 0; k < op->n_operands; k++) {
      parts[i][k] = group[i]->in.values[op->operands[k]];
      if (!merges && !put_part(group[i], op, k, parts[i][k], whole[k]))
        return false;
    }
  if (!merges)
    return true;
  uint32_t axis = op->kind == OP_MERGE ? (uint32_t)OP_ATTRS(merge, op)->axis : 0;
  if (kind == PARTIAL_NONE || partial_tuple(kind) != op->n_operands ||
      !rank_merge(s->mode, kind, axis, (struct tensor *const(*)[2])parts, n, s->arena, merged)) {
    interp_fail(&r->in, op, DIAG_E0620, "the operands are no partials that merge");
    return false;
  }
  for (uint32_t k = 0; k < op->n_operands; k++)
    if (!put_part(r, op, k, merged[k], whole[k]))
      return false;
  return true;
}

static void collective_on(struct spmd *s, struct spmd_rank *r, const struct op *op,
                          struct tensor *out[2]) {
  struct spmd_rank *group[INTERP_SPMD_MAX_RANKS];
  struct tensor *whole[2];
  if (!check_axes(s, &r->in, op))
    return;
  uint32_t n = group_of(s, r, op, group);
  if (op->kind == OP_PERMUTE) {
    const struct ints *from = &OP_ATTRS(permute, op)->from;
    for (uint32_t i = 0; i < n; i++)
      if (group[i] == r && from->len == n && from->data[i] < n)
        out[0] = group[from->data[i]]->in.values[op->operands[0]];
    if (!out[0])
      interp_fail(&r->in, op, DIAG_E0623, "'from' does not say where each of %u ranks reads", n);
    return;
  }
  if (!know(s, r, group, n, op, whole))
    return;
  for (uint32_t k = 0; k < op->n_results; k++)
    out[k] = shard_take(s->arena, s->mesh, sharding_of(s->f, op->results[k]), r->coords, whole[k]);
}

/* Places [first, first + n) of the operand, a place being an entry of the first dim. */
static struct tensor *entries_of(struct spmd *s, const struct tensor *x, int64_t first, int64_t n) {
  struct tensor *t = ARENA_NEW(s->arena, struct tensor);
  int64_t each = x->count / x->dims[0];
  *t = (struct tensor){.dtype = x->dtype, .rank = x->rank - 1, .count = n * each};
  memcpy(t->dims, x->dims + 1, t->rank * sizeof *t->dims);
  t->i64 = x->i64 + first * each;
  return t;
}

static void exchange_merge(struct spmd *s, struct spmd_rank *r, const struct op *op,
                           struct tensor *const *xs, uint32_t n, struct tensor **out) {
  struct tensor *parts[INTERP_SPMD_MAX_RANKS][2] = {{0}}, *merged[2] = {0};
  for (uint32_t i = 0; i < n; i++)
    parts[i][0] = xs[i];
  if (!rank_merge(s->mode, OP_ATTRS(exchange, op)->reduce, 0, (struct tensor *const(*)[2])parts, n,
                  s->arena, merged))
    interp_fail(&r->in, op, DIAG_E0623, "the ranks' operands do not merge");
  *out = merged[0];
}

/* The group's operands by place as rank r, at place `own`, gets them. */
static struct tensor *exchanged(struct spmd *s, struct spmd_rank *r, const struct op *op,
                                struct tensor **xs, uint32_t n, uint32_t own) {
  const struct exchange_attrs *a = OP_ATTRS(exchange, op);
  struct tensor *t = NULL;
  switch (a->kind) {
  case EXCHANGE_REDUCE_SCATTER:
    for (uint32_t i = 0; i < n; i++)
      xs[i] = entries_of(s, xs[i], own, 1);
    exchange_merge(s, r, op, xs, n, &t);
    return t;
  case EXCHANGE_ALL_REDUCE: exchange_merge(s, r, op, xs, n, &t); return t;
  case EXCHANGE_PERMUTE: return xs[a->from.data[own]];
  case EXCHANGE_ALL_GATHER:
  case EXCHANGE_ALL_TO_ALL: break;
  }
  int64_t dims[IR_MAX_RANK];
  bool gathers = a->kind == EXCHANGE_ALL_GATHER;
  dims[0] = n;
  memcpy(dims + 1, xs[0]->dims + !gathers, (xs[0]->rank - !gathers) * sizeof *dims);
  t = interp_tensor(&r->in, op, xs[0]->dtype, dims, xs[0]->rank + gathers);
  for (uint32_t i = 0; t && i < n; i++) {
    const struct tensor *from = gathers ? xs[i] : entries_of(s, xs[i], own, 1);
    memcpy(t->i64 + i * from->count, from->data, (size_t)from->count * sizeof(int64_t));
  }
  return t;
}

static void exchange_on(struct spmd *s, struct spmd_rank *r, const struct op *op,
                        struct tensor *out[2]) {
  struct axis_ref refs[MESH_MAX_AXES];
  const struct exchange_attrs *a = OP_ATTRS(exchange, op);
  uint32_t n_refs;
  int64_t n;
  if (!exchange_group(s->f->module, a, refs, &n_refs, &n) || n > s->n ||
      s->f->module->meshes.data[a->mesh] != s->mesh) {
    interp_fail(&r->in, op, DIAG_E0623, "the group is not of the mesh that runs");
    return;
  }
  uint32_t own = (uint32_t)axis_refs_coord(s->mesh, refs, n_refs, r->coords);
  for (uint32_t k = 0; k < op->n_operands; k++) {
    struct tensor *xs[INTERP_SPMD_MAX_RANKS];
    for (int64_t i = 0; i < n; i++) {
      struct spmd_rank *other = &s->ranks[axis_refs_rank(s->mesh, refs, n_refs, r->coords, i)];
      xs[i] = other->in.values[op->operands[k]];
      if (xs[i]->rank != xs[0]->rank ||
          memcmp(xs[i]->dims, xs[0]->dims, xs[0]->rank * sizeof *xs[0]->dims)) {
        interp_fail(&r->in, op, DIAG_E0623, "the ranks' operands have different dims");
        return;
      }
    }
    bool entries = a->kind == EXCHANGE_REDUCE_SCATTER || a->kind == EXCHANGE_ALL_TO_ALL;
    if (entries && (!xs[0]->rank || xs[0]->dims[0] != n)) {
      interp_fail(&r->in, op, DIAG_E0623, "the operand has no entry for each rank");
      return;
    }
    out[k] = exchanged(s, r, op, xs, (uint32_t)n, own);
  }
}

static status run_collective(struct spmd *s, const struct op *op) {
  struct tensor *out[INTERP_SPMD_MAX_RANKS][2] = {{0}};
  for (int64_t i = 0; i < s->n; i++) {
    s->ranks[i].in.failure = STATUS_OK;
    if (op->kind == OP_EXCHANGE)
      exchange_on(s, &s->ranks[i], op, out[i]);
    else
      collective_on(s, &s->ranks[i], op, out[i]);
    if (s->ranks[i].in.failure)
      return s->ranks[i].in.failure;
  }
  for (int64_t i = 0; i < s->n; i++)
    for (uint32_t k = 0; k < op->n_results; k++)
      interp_set_result(&s->ranks[i].in, op, k, out[i][k]);
  return STATUS_OK;
}

/* ---- the run ---- */

/* Lets each rank run to its next collective or end. */
static void sweep(struct spmd *s) {
  for (int64_t i = 0; i < s->n; i++) {
    if (s->ranks[i].state == RANK_DONE)
      continue;
    give_turn(s, i);
    await_turn(s, NO_RANK);
  }
}

/* All ranks are done, or wait in the same collective. */
static status agree(struct spmd *s, const struct op **out_op) {
  const struct spmd_rank *first = &s->ranks[0];
  *out_op = first->state == RANK_WAITS ? first->at : NULL;
  for (int64_t i = 0; i < s->n; i++) {
    struct spmd_rank *r = &s->ranks[i];
    if (r->state == RANK_DONE && r->result)
      return r->result;
    const struct op *at = r->state == RANK_WAITS ? r->at : NULL;
    if (at != *out_op)
      return interp_fail(&r->in, at ? at : *out_op, DIAG_E0623,
                         "rank %" PRId64 " is %s while rank 0 is %s", i,
                         at ? "in this collective" : "done",
                         !*out_op ? "done"
                         : at     ? "in another"
                                  : "in this collective");
  }
  return STATUS_OK;
}

static status run_ranks(struct spmd *s) {
  const struct op *op;
  do {
    sweep(s);
    s->abort = agree(s, &op);
    if (!s->abort && op)
      s->abort = run_collective(s, op);
  } while (op && !s->abort);
  if (s->abort)
    sweep(s);
  return s->abort;
}

static status start_rank(struct spmd *s, int64_t i, struct tensor *const *inputs,
                         struct diags *diags) {
  struct spmd_rank *r = &s->ranks[i];
  const struct region *body = &s->ports->regions.data[0];
  r->place = (struct interp_rank){s->mesh, r->coords, wait_in_collective};
  r->spmd = s;
  r->number = i;
  mesh_coords(s->mesh, i, r->coords);
  interp_init(&r->in, s->f, s->mode, s->arena, diags);
  r->in.rank = &r->place;
  r->outputs = ARENA_ARRAY(s->arena, struct tensor *, body->results.len);
  r->inputs = ARENA_ARRAY(s->arena, struct tensor *, body->params.len);
  /* Symbols are of whole values. */
  r->in.function = s->ports;
  status st = interp_bind_inputs(&r->in, inputs);
  r->in.function = s->f;
  for (uint32_t k = 0; !st && k < body->params.len; k++) {
    const struct sharding *sharding = sharding_of(s->ports, body->params.data[k]);
    if (sharding->partial.kind)
      return interp_fail(&r->in, NULL, DIAG_E0624, "input %u is partial", k);
    r->inputs[k] = shard_take(s->arena, s->mesh, sharding, r->coords, inputs[k]);
  }
  return st;
}

/* The parts of result k, checked to cover it and to agree where they overlap. */
static struct tensor *put_together(struct spmd *s, uint32_t k) {
  value_id v = s->ports->regions.data[0].results.data[k];
  const struct sharding *sharding = sharding_of(s->ports, v);
  struct spmd_rank *first = &s->ranks[0];
  struct tensor *t = unknown_whole(first, s->ports, NULL, v);
  if (t && sharding->partial.kind)
    interp_fail(&first->in, NULL, DIAG_E0624, "result %u is partial", k);
  if (!t || sharding->partial.kind)
    return NULL;
  for (int64_t i = 0; i < s->n; i++)
    if (!shard_put(s->mesh, sharding, s->ranks[i].coords, s->ranks[i].outputs[k], t)) {
      interp_fail(&first->in, NULL, DIAG_E0624, "rank %" PRId64 " has another part of result %u", i,
                  k);
      return NULL;
    }
  for (int64_t i = 0; i < s->n; i++) {
    struct tensor *again = shard_take(s->arena, s->mesh, sharding, s->ranks[i].coords, t);
    if (memcmp(again->data, s->ranks[i].outputs[k]->data, (size_t)again->count * sizeof(int64_t))) {
      interp_fail(&first->in, NULL, DIAG_E0624,
                  "ranks hold the same elements of result %u, but not the same values", k);
      return NULL;
    }
  }
  return t;
}

status interp_spmd_run(const struct function *f, const struct mesh *mesh, enum interp_mode mode,
                       struct tensor *const *inputs, struct arena *arena, struct diags *diags,
                       struct tensor **out_results) {
  return interp_spmd_run_local(f, f, mesh, mode, inputs, arena, diags, out_results);
}

status interp_spmd_run_local(const struct function *f, const struct function *sharded,
                             const struct mesh *mesh, enum interp_mode mode,
                             struct tensor *const *inputs, struct arena *arena, struct diags *diags,
                             struct tensor **out_results) {
  struct spmd s = {
      .f = f, .ports = sharded, .mesh = mesh, .mode = mode, .arena = arena, .turn = NO_RANK};
  s.n = mesh_ranks(mesh);
  if (s.n < 1 || s.n > INTERP_SPMD_MAX_RANKS)
    return diag_report(diags, DIAG_E0623, NULL, NULL, "a mesh of 1 to %d ranks can be interpreted",
                       INTERP_SPMD_MAX_RANKS);
  s.ranks = ARENA_ARRAY(arena, struct spmd_rank, (size_t)s.n);
  pthread_mutex_init(&s.lock, NULL);
  pthread_cond_init(&s.moved, NULL);
  status st = STATUS_OK;
  for (int64_t i = 0; !st && i < s.n; i++)
    st = start_rank(&s, i, inputs, diags);
  int64_t started = 0;
  pthread_mutex_lock(&s.lock);
  while (!st && started < s.n) {
    if (pthread_create(&s.ranks[started].thread, NULL, run_rank, &s.ranks[started]))
      st = s.abort = diag_report(diags, DIAG_E0621, NULL, NULL, "no thread for a rank");
    else
      started++;
  }
  if (!st) {
    st = run_ranks(&s);
  } else {
    s.n = started;
    sweep(&s);
  }
  pthread_mutex_unlock(&s.lock);
  for (int64_t i = 0; i < started; i++)
    pthread_join(s.ranks[i].thread, NULL);
  for (uint32_t k = 0; !st && k < sharded->regions.data[0].results.len; k++) {
    out_results[k] = put_together(&s, k);
    st = out_results[k] ? STATUS_OK : s.ranks[0].in.failure;
  }
  for (int64_t i = 0; i < mesh_ranks(mesh); i++)
    interp_deinit(&s.ranks[i].in);
  pthread_cond_destroy(&s.moved);
  pthread_mutex_destroy(&s.lock);
  return st;
}
