/* SPDX-License-Identifier: Apache-2.0 */
/* layout: convolution networks with channels last.
 *
 *     %1 = conv %x, %w          (n c h w)         %1 = conv %x, %w
 *     %2 = map %1, %b { add, max }                %2 = transpose %1           n h w c
 *     %3 = window %2 { max }              =>      %3 = map %2, %b' { add, max }
 *     %4 = conv %3, %w2                           %4 = window %3 { max }
 *                                                 %5 = transpose %4           n c h w
 *                                                 %6 = conv %5, %w2
 *                                                 %7 = transpose %6           n h w c ...
 *
 * A graph says conv with channels first. In memory, channels last are better on a CPU: taps of a
 * window are whole vectors of channels at fixed offsets, so nothing is unfolded, a window of one
 * element is a plain contraction, and no vector ends inside a row. The transposes beside a conv
 * become views inside its kernel (fuse, codegen/cpu/plane_last.h); those that meet in between
 * cancel, because maps, windows, concats, slices, pads and reductions follow their operands. What
 * is left is a copy where a chain ends.
 *
 * Chains are chosen by cost: convolutions and the ops between them are one set, which is turned if
 * what its convolutions gain is more than what the transposes around it cost. Transposes that the
 * graph has there by itself (a patch embedding, a layer norm over channels) count for it.
 *
 * Requires: nothing; after the last simplify that hoists views it would find less. Preserves:
 * values bit by bit: a sum that is reduced keeps its order. */
#include "passes/layout.h"

#include <string.h>

#include "base/mem.h"
#include "passes/pass.h"
#include "passes/pattern.h"
#include "passes/rewrite.h"

#define NO_SET UINT32_MAX
/* Of a panel of output channels; a group of a grouped convolution fills whole ones. */
#define PANEL 16
/* Picoseconds: that a convolution gains per operation, that a transpose costs per element. */
#define GAIN_PER_FLOP 0.8
#define COST_PER_ELEMENT 300.0
/* What unknown dims are taken for. */
#define LIKELY_SIZE 32

/* ---- what may be turned ---- */

bool layout_turns_last(const struct op *op) {
  if (!op || op->kind != OP_TRANSPOSE)
    return false;
  struct ints perm = OP_ATTRS(transpose, op)->perm;
  for (uint32_t i = 1; i + 1 < perm.len; i++) {
    if (perm.data[i] != (int64_t)i + 1)
      return false;
  }
  return perm.len > 2 && perm.data[0] == 0 && perm.data[perm.len - 1] == 1;
}

static bool turns_first(const struct op *op) {
  if (!op || op->kind != OP_TRANSPOSE)
    return false;
  struct ints perm = OP_ATTRS(transpose, op)->perm;
  for (uint32_t i = 2; i < perm.len; i++) {
    if (perm.data[i] != (int64_t)i - 1)
      return false;
  }
  return perm.len > 2 && perm.data[0] == 0 && perm.data[1] == (int64_t)perm.len - 1;
}

bool layout_is_depth_wise(const struct function *f, const struct op *op) {
  const struct type *w = value_type(f, op->operands[1]);
  const struct dim_table *t = f->module->dims;
  return dim_is_const_value(t, w->dims[1], 1) &&
         dim_is_const_value(t, w->dims[0], OP_ATTRS(conv, op)->groups);
}

bool layout_conv_allowed(const struct function *f, const struct op *op) {
  const struct dim_table *t = f->module->dims;
  const struct conv_attrs *a = OP_ATTRS(conv, op);
  const struct type *x = value_type(f, op->operands[0]), *w = value_type(f, op->operands[1]);
  const struct op *def = def_of_kind(f, op->operands[1], OP_CONST);
  int64_t outputs, size, taps = 1;
  if (!def || f->module->constants.data[OP_ATTRS(const, def)->value].reference || x->rank < 3 ||
      x->rank > 4 || dtype_is_sub_byte(w->dtype) || dtype_is_sub_byte(x->dtype))
    return false;
  if (!dtype_is_float(x->dtype) && dtype_bits(x->dtype) > 16)
    return false;
  for (uint32_t i = 2; i < w->rank; i++) {
    if (!dim_is_const(t, w->dims[i], &size) || size < 1 || size > 1024 ||
        a->stride.data[i - 2] > 4096 || a->dilation.data[i - 2] > 4096)
      return false;
    taps *= size;
  }
  if (size > LAYOUT_COLUMNS || taps > 1024 || !dim_is_const(t, w->dims[0], &outputs) ||
      outputs < 1 || !dim_is_const(t, w->dims[1], &size) || size < 1)
    return false;
  return a->groups == 1 || outputs / a->groups % PANEL == 0 || layout_is_depth_wise(f, op);
}

/* Sums of floats keep their order where channels are reduced alone, or not at all. */
static bool reduce_follows(const struct function *f, const struct op *op) {
  const struct reduce_attrs *a = OP_ATTRS(reduce, op);
  bool channels = false;
  if (op->n_results != 1 || a->kind == COMBINER_ARGMAX || a->kind == COMBINER_ARGMIN)
    return false;
  for (uint32_t i = 0; i < a->axes.len; i++)
    channels |= a->axes.data[i] == 1;
  return !channels || a->axes.len == 1 || !dtype_is_float(value_type(f, op->operands[0])->dtype);
}

/* Ops that compute the same with permuted dims. */
static bool follows(const struct function *f, const struct op *op) {
  uint32_t rank;
  if (!op->n_results)
    return false;
  rank = value_type(f, op->results[0])->rank;
  if (rank < 3 || rank > 4)
    return false;
  switch (op->kind) {
  case OP_MAP: return op->n_operands > 0;
  case OP_CONCAT:
  case OP_SLICE:
  case OP_PAD:
  case OP_BROADCAST: return true;
  case OP_WINDOW: return op->n_results == 1;
  case OP_REDUCE: return reduce_follows(f, op);
  default: return false;
  }
}

/* Operands whose dims are those of the result: all but the fill of a pad. */
static uint32_t operands_turned(const struct op *op) {
  return op->kind == OP_CONV || op->kind == OP_PAD ? 1 : op->n_operands;
}

/* At most one dim that is not 1: in memory, either order is the same. */
static bool is_line(const struct dim_table *t, const struct type *type) {
  uint32_t n = 0;
  for (uint32_t i = 1; i < type->rank; i++)
    n += !dim_is_one(t, type->dims[i]);
  return n <= 1;
}

/* ---- which sets are worth it ---- */

struct layout {
  struct function *f;
  struct uses uses;
  uint32_t n_ops;
  uint32_t *set; /* by op: its set, as a forest; NO_SET: not turned */
  double *gain;  /* by set */
  bool *turned;  /* by op: its result has channels last */
};

static uint32_t find_set(struct layout *s, uint32_t op) {
  while (s->set[op] != op)
    op = s->set[op] = s->set[s->set[op]];
  return op;
}

static double size_of(const struct dim_table *t, dim d, bool batch) {
  int64_t n;
  return dim_is_const(t, d, &n) ? (double)n : batch ? 1 : LIKELY_SIZE;
}

static double elements_of(const struct layout *s, value_id v) {
  const struct type *type = value_type(s->f, v);
  double n = 1;
  for (uint32_t i = 0; i < type->rank; i++)
    n *= size_of(s->f->module->dims, type->dims[i], i == 0);
  return n;
}

static double conv_gain(const struct layout *s, const struct op *op) {
  const struct type *w = value_type(s->f, op->operands[1]);
  double n = 2 * elements_of(s, op->results[0]);
  if (layout_is_depth_wise(s->f, op))
    return 0;
  for (uint32_t i = 1; i < w->rank; i++)
    n *= size_of(s->f->module->dims, w->dims[i], false);
  return n * GAIN_PER_FLOP;
}

static bool is_member(const struct layout *s, op_id id) {
  const struct op *op = function_op(s->f, id);
  return op->kind == OP_CONV ? layout_conv_allowed(s->f, op) : follows(s->f, op);
}

static void make_sets(struct layout *s) {
  for (op_id id = 1; id < s->n_ops; id++)
    s->set[id] = is_member(s, id) ? id : NO_SET;
  for (op_id id = 1; id < s->n_ops; id++) {
    if (s->set[id] == NO_SET)
      continue;
    const struct op *op = function_op(s->f, id);
    for (uint32_t i = 0; i < operands_turned(op); i++) {
      op_id def = function_value(s->f, op->operands[i])->def;
      if (def != OP_ID_NONE && s->set[def] != NO_SET)
        s->set[find_set(s, def)] = find_set(s, id);
    }
  }
}

/* Whether v has channels last by now, or as easily could. */
static bool is_turned(const struct layout *s, value_id v) {
  op_id def = function_value(s->f, v)->def;
  if (def == OP_ID_NONE)
    return false;
  return s->turned[def] || turns_first(function_op(s->f, def));
}

/* Convolutions, and what reads something that is turned. A line that the graph has turned by itself
 * is no reason. */
static bool should_turn(const struct layout *s, const struct op *op) {
  if (op->kind == OP_CONV)
    return true;
  for (uint32_t i = 0; i < operands_turned(op); i++) {
    value_id v = op->operands[i];
    op_id def = function_value(s->f, v)->def;
    bool line = is_line(s->f->module->dims, value_type(s->f, v));
    if (is_turned(s, v) && (!line || s->turned[def]))
      return true;
  }
  return false;
}

/* In order of execution. */
static void mark(struct layout *s, region_id region) {
  const struct region *r = &s->f->regions.data[region];
  for (uint32_t i = 0; i < r->ops.len; i++) {
    op_id id = r->ops.data[i];
    const struct op *op = function_op(s->f, id);
    for (uint32_t k = 0; k < op->n_regions; k++)
      mark(s, op->regions[k]);
    s->turned[id] = s->set[id] != NO_SET && s->gain[find_set(s, id)] >= 0 && should_turn(s, op);
  }
}

/* What reading v in the other order costs: nothing where it is a constant or a line. */
static double turn_cost(const struct layout *s, value_id v) {
  if (value_constant(s->f, v) || is_line(s->f->module->dims, value_type(s->f, v)))
    return 0;
  return elements_of(s, v) * COST_PER_ELEMENT;
}

/* Of the ways that v, which is turned, leaves the set: the first of each kind counts. */
static double leave_cost(const struct layout *s, value_id v) {
  bool away = false, wanted = false;
  for (uint32_t u = s->uses.start[v]; u < s->uses.start[v + 1]; u++) {
    op_id user = s->uses.ops[u];
    const struct op *op = user == OP_ID_NONE ? NULL : function_op(s->f, user);
    bool last = layout_turns_last(op);
    wanted |= last;
    away |= !last && (!op || !s->turned[user]);
  }
  return (away ? turn_cost(s, v) : 0) - (wanted ? turn_cost(s, v) : 0);
}

static void weigh(struct layout *s) {
  for (op_id id = 1; id < s->n_ops; id++) {
    if (!s->turned[id])
      continue;
    const struct op *op = function_op(s->f, id);
    double gain = op->kind == OP_CONV ? conv_gain(s, op) : 0;
    for (uint32_t i = 0; op->kind != OP_CONV && i < operands_turned(op); i++)
      gain -= is_turned(s, op->operands[i]) ? 0 : turn_cost(s, op->operands[i]);
    s->gain[find_set(s, id)] += gain - leave_cost(s, op->results[0]);
  }
}

/* ---- turning ---- */

static void last_order(uint32_t rank, int64_t *out) {
  for (uint32_t i = 1; i + 1 < rank; i++)
    out[i] = i + 1;
  out[0] = 0;
  out[rank - 1] = 1;
}

static value_id to_first(struct rewriter *w, value_id v) {
  int64_t perm[IR_MAX_RANK];
  uint32_t rank = v == VALUE_NONE ? 0 : value_type(w->f, v)->rank;
  if (v == VALUE_NONE)
    return v;
  perm[0] = 0;
  perm[1] = rank - 1;
  for (uint32_t i = 2; i < rank; i++)
    perm[i] = i - 1;
  return build_transpose(&w->b, v, perm);
}

static value_id to_last(struct rewriter *w, value_id v) {
  int64_t perm[IR_MAX_RANK];
  const struct op *def = value_def(w->f, v);
  if (turns_first(def))
    return def->operands[0];
  struct type type = *value_type(w->f, v);
  last_order(type.rank, perm);
  if (!is_line(w->dims, &type))
    return build_transpose(&w->b, v, perm);
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < type.rank; i++)
    dims[i] = type.dims[perm[i]];
  return build_reshape(&w->b, v, dims, type.rank);
}

/* A list of one entry per dim, in the order of channels last. */
static struct ints turn_ints(const struct ints *list, int64_t *room) {
  int64_t perm[IR_MAX_RANK];
  last_order(list->len, perm);
  for (uint32_t i = 0; i < list->len; i++)
    room[i] = list->data[perm[i]];
  return (struct ints){room, list->len};
}

static struct dims turn_dims(const struct dims *list, dim *room) {
  int64_t perm[IR_MAX_RANK];
  last_order(list->len, perm);
  for (uint32_t i = 0; i < list->len; i++)
    room[i] = list->data[perm[i]];
  return (struct dims){room, list->len};
}

static int64_t turn_axis(int64_t axis, uint32_t rank) {
  return axis == 0 ? 0 : axis == 1 ? (int64_t)rank - 1 : axis - 1;
}

static value_id turn_window(struct rewriter *w, const struct op *op, value_id x) {
  const struct window_attrs *from = OP_ATTRS(window, op);
  struct window_attrs a = *from;
  int64_t ints[3][IR_MAX_RANK];
  dim dims[2][IR_MAX_RANK];
  a.size = turn_ints(&from->size, ints[0]);
  a.stride = turn_ints(&from->stride, ints[1]);
  a.dilation = turn_ints(&from->dilation, ints[2]);
  a.low = turn_dims(&from->low, dims[0]);
  a.high = turn_dims(&from->high, dims[1]);
  return build_op1(&w->b, OP_WINDOW, &x, 1, &a);
}

static value_id turn_slice(struct rewriter *w, const struct op *op, value_id x) {
  const struct slice_attrs *from = OP_ATTRS(slice, op);
  int64_t step[IR_MAX_RANK];
  dim start[IR_MAX_RANK], size[IR_MAX_RANK];
  turn_ints(&from->step, step);
  turn_dims(&from->start, start);
  turn_dims(&from->size, size);
  return build_slice(&w->b, x, start, size, step);
}

static value_id turn_pad(struct rewriter *w, const struct op *op, value_id x) {
  const struct pad_attrs *from = OP_ATTRS(pad, op);
  int64_t interior[IR_MAX_RANK];
  dim low[IR_MAX_RANK], high[IR_MAX_RANK];
  turn_ints(&from->interior, interior);
  turn_dims(&from->low, low);
  turn_dims(&from->high, high);
  return build_pad(&w->b, x, op->operands[1], low, high, interior);
}

static value_id turn_reduce(struct rewriter *w, const struct op *op, value_id x) {
  const struct reduce_attrs *a = OP_ATTRS(reduce, op);
  uint32_t rank = value_type(w->f, x)->rank, n = 0;
  int64_t axes[IR_MAX_RANK];
  for (uint32_t d = 0; d < rank; d++) {
    for (uint32_t i = 0; i < a->axes.len; i++) {
      if (turn_axis(a->axes.data[i], rank) == d)
        axes[n++] = d;
    }
  }
  return build_reduce(&w->b, x, axes, n, a->kind);
}

static value_id turn_follower(struct rewriter *w, const struct op *op) {
  uint32_t n = operands_turned(op), rank = value_type(w->f, op->results[0])->rank;
  value_id *x = mem_alloc(n * sizeof *x), v;
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < n; i++)
    x[i] = to_last(w, op->operands[i]);
  switch (op->kind) {
  case OP_MAP: v = build_map(&w->b, x, n, OP_ATTRS(map, op)->body); break;
  case OP_CONCAT:
    v = build_concat(&w->b, x, n, (uint32_t)turn_axis(OP_ATTRS(concat, op)->axis, rank));
    break;
  case OP_SLICE: v = turn_slice(w, op, x[0]); break;
  case OP_PAD: v = turn_pad(w, op, x[0]); break;
  case OP_WINDOW: v = turn_window(w, op, x[0]); break;
  case OP_REDUCE: v = turn_reduce(w, op, x[0]); break;
  default:
    turn_dims(&OP_ATTRS(broadcast, op)->dims, dims);
    v = build_broadcast(&w->b, x[0], dims, rank);
  }
  mem_free(x);
  return to_first(w, v);
}

/* A window of one element that moves by one is a contraction over channels. */
static bool is_contraction(const struct rewriter *w, const struct op *op) {
  const struct conv_attrs *a = OP_ATTRS(conv, op);
  const struct type *weights = value_type(w->f, op->operands[1]);
  for (uint32_t i = 2; i < weights->rank; i++) {
    if (!dim_is_one(w->dims, weights->dims[i]) || a->stride.data[i - 2] != 1 ||
        !dim_is_const_value(w->dims, a->low.data[i - 2], 0) ||
        !dim_is_const_value(w->dims, a->high.data[i - 2], 0))
      return false;
  }
  return a->groups == 1;
}

static value_id turn_conv(struct rewriter *w, const struct op *op) {
  const struct conv_attrs *a = OP_ATTRS(conv, op);
  const struct op *def = value_def(w->f, op->operands[0]);
  if (is_contraction(w, op) && turns_first(def)) {
    const struct op *weights = value_def(w->f, op->operands[1]);
    struct constant c = w->f->module->constants.data[OP_ATTRS(const, weights)->value];
    int64_t lhs_k = value_type(w->f, op->operands[0])->rank - 1, rhs_k = 1;
    struct contract_attrs attrs = {
        .lhs_k = {&lhs_k, 1}, .rhs_k = {&rhs_k, 1}, .dtype = a->dtype, .tf32 = a->tf32};
    value_id lhs = def->operands[0];
    c.name = NULL;
    c.rank = 2;
    value_id rhs = build_const(&w->b, module_add_constant(w->f->module, &c));
    return to_first(w, build_contract(&w->b, lhs, rhs, &attrs));
  }
  struct conv_attrs copy = *a;
  return to_first(w, to_last(w, build_op1(&w->b, OP_CONV, op->operands, 2, &copy)));
}

static enum rewrite turn(struct rewriter *w, op_id id) {
  const struct layout *s = w->user;
  if (id >= s->n_ops || !s->turned[id])
    return NO_MATCH;
  const struct op op = *function_op(w->f, id);
  return rewrite_with(w, id, op.kind == OP_CONV ? turn_conv(w, &op) : turn_follower(w, &op));
}

static status layout_function(struct pass_context *ctx, struct function *f) {
  struct layout s = {.f = f, .n_ops = f->ops.len};
  status st = STATUS_OK;
  bool any = false;
  s.set = mem_calloc(s.n_ops, sizeof *s.set);
  s.gain = mem_calloc(s.n_ops, sizeof *s.gain);
  s.turned = mem_calloc(s.n_ops, sizeof *s.turned);
  uses_build(f, ctx->scratch, &s.uses);
  make_sets(&s);
  mark(&s, 0);
  weigh(&s);
  mark(&s, 0);
  for (op_id id = 1; id < s.n_ops; id++)
    any |= s.turned[id];
  if (any)
    rewrite_function(f, ctx->diags, &(struct rewrite_options){.rule = turn, .user = &s}, &st);
  mem_free(s.set);
  mem_free(s.gain);
  mem_free(s.turned);
  return st;
}

status pass_layout(struct pass_context *ctx) {
  for (uint32_t i = 0; i < ctx->module->functions.len; i++) {
    status st = layout_function(ctx, ctx->module->functions.data[i]);
    if (st != STATUS_OK)
      return st;
  }
  return STATUS_OK;
}
