/* SPDX-License-Identifier: Apache-2.0 */
/* order: runs kernels in an order that needs less memory at once.
 *
 *     %a = fused ... (big)                    %a = fused ... (big)
 *     %b = fused ... (big)                    %c = fused %a (small)      %a is dead from here
 *     %c = fused %a  (small)           =>     %b = fused ... (big)
 *     %d = fused %b  (small)                  %d = fused %b (small)
 *
 * A list schedule: of the kernels that are ready, the one after which the fewest bytes are live
 * goes first; of equals, the one that came first. What binds symbols, checks or branches stays
 * where it is, and only what lies between two such ops is reordered. Sizes of symbolic dims are
 * taken at 64, or the nearest that their bounds allow. The new order is kept only if its peak is
 * lower by the same count.
 *
 * Why greedy: optimal orders are hard, and the graphs are mostly chains, where greedy is optimal.
 * Requires: fuse. Preserves: values. */
#include <string.h>

#include "base/mem.h"
#include "passes/pass.h"

#define NOMINAL 64

struct order {
  const struct function *f;
  const op_id *ops; /* the stretch */
  uint32_t n;
  struct uses uses;
  int64_t *symbols;
  uint32_t *root;    /* by value: what its storage belongs to */
  uint64_t *bytes;   /* by value that is its own root */
  uint32_t *left;    /* by root: reads still to come, whole function */
  uint32_t *waiting; /* by position: operands not yet made */
  uint32_t *place;   /* by op: position in the stretch + 1 */
};

static uint64_t nominal_bytes(const struct order *o, value_id v) {
  const struct type *type = value_type(o->f, v);
  uint64_t bytes = dtype_unpacked_bytes(type->dtype);
  for (uint32_t i = 0; i < type->rank; i++) {
    int64_t n = NOMINAL;
    if (!dim_eval(o->f->module->dims, type->dims[i], o->symbols, &n) || n < 0)
      n = NOMINAL;
    if (__builtin_mul_overflow(bytes, (uint64_t)n, &bytes))
      return UINT64_MAX / 2;
  }
  return bytes;
}

/* The op of the stretch that a reader is, or is inside of; 0: none. */
static uint32_t place_of(const struct order *o, op_id user) {
  while (user != OP_ID_NONE && !o->place[user]) {
    user = o->f->regions.data[function_op(o->f, user)->parent].parent;
  }
  return user == OP_ID_NONE ? 0 : o->place[user];
}

static bool is_movable(const struct op *op) {
  return op->kind == OP_FUSED || op->kind == OP_CONST || op->kind == OP_PART ||
         op->kind == OP_RESHAPE;
}

/* Bytes that running the op at `i` adds to what is live (negative: frees). */
static int64_t live_change(const struct order *o, uint32_t i) {
  const struct op *op = function_op(o->f, o->ops[i]);
  int64_t change = 0;
  for (uint32_t r = 0; r < op->n_results; r++) {
    if (o->root[op->results[r]] == op->results[r])
      change += (int64_t)o->bytes[op->results[r]];
  }
  for (uint32_t k = 0; k < op->n_operands; k++) {
    value_id root = o->root[op->operands[k]];
    if (o->left[root] == 1)
      change -= (int64_t)o->bytes[root];
  }
  return change;
}

/* Runs the op: its operands are read. Returns the most that is live on the way, updates *live. */
static int64_t run_op(struct order *o, uint32_t i, int64_t *live) {
  const struct op *op = function_op(o->f, o->ops[i]);
  for (uint32_t r = 0; r < op->n_results; r++) {
    if (o->root[op->results[r]] == op->results[r])
      *live += (int64_t)o->bytes[op->results[r]];
  }
  int64_t most = *live;
  for (uint32_t k = 0; k < op->n_operands; k++) {
    value_id root = o->root[op->operands[k]];
    if (--o->left[root] == 0)
      *live -= (int64_t)o->bytes[root];
  }
  return most;
}

/* Undoes what run_op of the whole stretch did to `left`. */
static void restore_reads(struct order *o) {
  for (uint32_t i = 0; i < o->n; i++) {
    const struct op *op = function_op(o->f, o->ops[i]);
    for (uint32_t k = 0; k < op->n_operands; k++)
      o->left[o->root[op->operands[k]]]++;
  }
}

/* The peak of an order, relative to what is live before; leaves `left` as it was. */
static int64_t peak_of(struct order *o, const uint32_t *sequence) {
  int64_t live = 0, peak = 0;
  for (uint32_t i = 0; i < o->n; i++) {
    int64_t most = run_op(o, sequence ? sequence[i] : i, &live);
    if (most > peak)
      peak = most;
  }
  restore_reads(o);
  return peak;
}

static void release_readers(struct order *o, uint32_t i) {
  const struct op *op = function_op(o->f, o->ops[i]);
  for (uint32_t r = 0; r < op->n_results; r++) {
    value_id v = op->results[r];
    for (uint32_t u = o->uses.start[v]; u < o->uses.start[v + 1]; u++) {
      uint32_t reader = place_of(o, o->uses.ops[u]);
      if (reader)
        o->waiting[reader - 1]--;
    }
  }
}

/* Ready ops are looked for in a window behind the first that has not run, which bounds the work. */
#define WINDOW 64

static void schedule(struct order *o, uint32_t *out) {
  bool *done = mem_calloc(o->n, sizeof *done);
  uint32_t first = 0;
  int64_t live = 0;
  memset(o->waiting, 0, o->n * sizeof *o->waiting);
  for (uint32_t i = 0; i < o->n; i++) {
    const struct op *op = function_op(o->f, o->ops[i]);
    for (uint32_t r = 0; r < op->n_results; r++) {
      value_id v = op->results[r];
      for (uint32_t u = o->uses.start[v]; u < o->uses.start[v + 1]; u++) {
        uint32_t reader = place_of(o, o->uses.ops[u]);
        if (reader)
          o->waiting[reader - 1]++;
      }
    }
  }
  for (uint32_t k = 0; k < o->n; k++) {
    uint32_t best = UINT32_MAX;
    int64_t least = 0;
    while (done[first])
      first++;
    for (uint32_t i = first; i < o->n && i < first + WINDOW; i++) {
      if (done[i] || o->waiting[i])
        continue;
      int64_t change = live_change(o, i);
      if (best == UINT32_MAX || change < least) {
        best = i;
        least = change;
      }
    }
    done[best] = true;
    out[k] = best;
    run_op(o, best, &live);
    release_readers(o, best);
  }
  restore_reads(o);
  mem_free(done);
}

static void order_stretch(struct order *o, op_id *ops, uint32_t n) {
  if (n < 3)
    return;
  uint32_t *sequence = mem_alloc(n * sizeof *sequence);
  op_id *copy = mem_alloc(n * sizeof *copy);
  o->ops = ops;
  o->n = n;
  for (uint32_t i = 0; i < n; i++)
    o->place[ops[i]] = i + 1;
  schedule(o, sequence);
  if (peak_of(o, sequence) < peak_of(o, NULL)) {
    memcpy(copy, ops, n * sizeof *copy);
    for (uint32_t i = 0; i < n; i++)
      ops[i] = copy[sequence[i]];
  }
  for (uint32_t i = 0; i < n; i++)
    o->place[ops[i]] = 0;
  mem_free(sequence);
  mem_free(copy);
}

static value_id storage_of(const struct function *f, value_id v) {
  for (const struct op *def = value_def(f, v); def && def->kind == OP_RESHAPE;
       def = value_def(f, v)) {
    v = def->operands[0];
  }
  return v;
}

/* Storage of every value, and how often it is read. A reshape has that of its operand; constants
 * have none of their own. */
static void find_storage(struct order *o) {
  for (value_id v = 1; v < o->f->values.len; v++) {
    const struct op *def = value_def(o->f, v);
    o->root[v] = storage_of(o->f, v);
    if (o->root[v] == v)
      o->bytes[v] = def && def->kind != OP_CONST && def->kind != OP_PART ? nominal_bytes(o, v) : 0;
    o->left[o->root[v]] += uses_count(&o->uses, v);
  }
}

static void order_function(struct pass_context *ctx, struct function *f) {
  struct dim_table *t = f->module->dims;
  struct order o = {.f = f};
  uint32_t n_symbols = dim_symbol_count(t);
  o.symbols = ARENA_ARRAY(ctx->scratch, int64_t, n_symbols + 1);
  for (uint32_t i = 0; i < n_symbols; i++) {
    int64_t lo = dim_symbol_lo(t, i), hi = dim_symbol_hi(t, i);
    o.symbols[i] = NOMINAL < lo ? lo : NOMINAL > hi ? hi : NOMINAL;
  }
  uses_build(f, ctx->scratch, &o.uses);
  o.root = ARENA_ARRAY(ctx->scratch, uint32_t, f->values.len);
  o.bytes = ARENA_ARRAY(ctx->scratch, uint64_t, f->values.len);
  o.left = ARENA_ARRAY(ctx->scratch, uint32_t, f->values.len);
  o.waiting = ARENA_ARRAY(ctx->scratch, uint32_t, f->ops.len);
  o.place = ARENA_ARRAY(ctx->scratch, uint32_t, f->ops.len);
  find_storage(&o);
  for (region_id r = 0; r < f->regions.len; r++) {
    op_id parent = f->regions.data[r].parent;
    if (r && (parent == OP_ID_NONE || function_op(f, parent)->kind == OP_FUSED))
      continue;
    struct region *region = function_region(f, r);
    for (uint32_t i = 0, start = 0; i <= region->ops.len; i++) {
      bool movable = i < region->ops.len && is_movable(function_op(f, region->ops.data[i]));
      if (movable)
        continue;
      order_stretch(&o, region->ops.data + start, i - start);
      start = i + 1;
    }
  }
}

status pass_order(struct pass_context *ctx) {
  for (uint32_t i = 0; i < ctx->module->functions.len; i++) {
    order_function(ctx, ctx->module->functions.data[i]);
  }
  return STATUS_OK;
}
