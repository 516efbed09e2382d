/* SPDX-License-Identifier: Apache-2.0 */
/* Points through views, and the values of concat, pad, gather, bitcast; see emit_view.h.
 *
 * Views are index arithmetic. The lanes of a point stay affine (base + lane * stride) as long as a
 * view provably keeps them so; otherwise they become a vector of indices, and memory is read
 * element by element: slower, never wrong. */
#include "codegen/emit_view.h"

#include <assert.h>
#include <string.h>

static int64_t gcd(int64_t a, int64_t b) {
  if (a < 0)
    a = -a;
  if (b < 0)
    b = -b;
  while (b) {
    int64_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

static bool const_value(LLVMValueRef x, int64_t *out) {
  if (!LLVMIsAConstantInt(x))
    return false;
  *out = LLVMConstIntGetSExtValue(x);
  return true;
}

struct coord coord_affine(struct emit *e, const struct coord *c, int64_t scale, LLVMValueRef offset,
                          uint32_t width) {
  int64_t k = 1;
  bool known = const_value(offset, &k);
  struct coord out = {0};
  if (c->lanes) {
    LLVMValueRef x = LLVMBuildMul(e->b, c->lanes, emit_splat(e, emit_i64(e, scale), width), "");
    out.lanes = LLVMBuildAdd(e->b, x, emit_splat(e, offset, width), "");
    return out;
  }
  LLVMValueRef x = scale == 1 ? c->base : LLVMBuildMul(e->b, c->base, emit_i64(e, scale), "");
  out.base = LLVMBuildAdd(e->b, x, offset, "");
  out.stride = c->stride * scale;
  out.align = known ? gcd(c->align * scale, k) : 1;
  return out;
}

void point_broadcast(struct emit *e, const struct type *operand, const struct type *reader,
                     const struct point *p, struct point *out) {
  const struct dim_table *t = e->f->module->dims;
  out->rank = p->rank;
  out->width = p->width;
  for (uint32_t i = 0; i < p->rank; i++) {
    dim d = operand->dims[i];
    if (dim_is_const_value(t, d, 1)) {
      out->c[i] = coord_zero(e);
    } else if (d == reader->dims[i] || dim_is_const(t, d, NULL)) {
      out->c[i] = p->c[i];
    } else {
      LLVMValueRef one = LLVMBuildICmp(e->b, LLVMIntEQ, emit_dim(e, d), emit_i64(e, 1), "");
      bool uniform = !p->c[i].lanes && !p->c[i].stride;
      LLVMValueRef x = uniform ? p->c[i].base : coord_vector(e, &p->c[i], p->width);
      x = LLVMBuildSelect(e->b, one, LLVMConstNull(LLVMTypeOf(x)), x, "");
      out->c[i] = (struct coord){.align = 1};
      if (uniform) {
        out->c[i].base = x;
      } else if (p->width == 1) {
        out->c[i].base = x;
      } else {
        out->c[i].lanes = x;
      }
    }
  }
}

/* ---- reshape ---- */

struct coord coord_linearize(struct emit *e, const struct coord *c, const dim *dims, uint32_t n,
                             uint32_t width) {
  struct coord acc = c[0];
  for (uint32_t i = 1; i < n; i++) {
    LLVMValueRef size = emit_dim(e, dims[i]);
    int64_t k = 0;
    bool known = const_value(size, &k);
    bool vector = acc.lanes || c[i].lanes || (acc.stride && !known);
    struct coord next = {0};
    if (vector) {
      LLVMValueRef x =
          LLVMBuildMul(e->b, coord_vector(e, &acc, width), emit_splat(e, size, width), "");
      next.lanes = LLVMBuildAdd(e->b, x, coord_vector(e, &c[i], width), "");
    } else {
      next.base = LLVMBuildAdd(e->b, LLVMBuildMul(e->b, acc.base, size, ""), c[i].base, "");
      next.stride = acc.stride * k + c[i].stride;
      next.align = known ? gcd(acc.align * k, c[i].align) : acc.align == 0 ? c[i].align : 1;
    }
    acc = next;
  }
  return acc;
}

/* One step of the reverse: splits x into x div n and x mod n. */
static void split_coord(struct emit *e, struct coord x, LLVMValueRef n, uint32_t width,
                        struct coord *out_quotient, struct coord *out_remainder) {
  int64_t k;
  bool known = const_value(n, &k);
  int64_t span = x.stride * width;
  if (known && !k) { /* there are no such points */
    *out_quotient = *out_remainder = coord_zero(e);
    return;
  }
  bool whole = x.stride > 0 && known && k % span == 0 && x.align % span == 0;
  if (x.lanes || (x.stride && !whole)) {
    LLVMValueRef v = coord_vector(e, &x, width);
    LLVMValueRef ns = emit_splat(e, n, width);
    *out_quotient = (struct coord){.lanes = LLVMBuildUDiv(e->b, v, ns, "")};
    *out_remainder = (struct coord){.lanes = LLVMBuildURem(e->b, v, ns, "")};
    return;
  }
  *out_quotient = (struct coord){.base = LLVMBuildUDiv(e->b, x.base, n, ""), .align = 1};
  *out_remainder = (struct coord){.base = LLVMBuildURem(e->b, x.base, n, ""),
                                  .stride = x.stride,
                                  .align = known ? gcd(x.align, k) : 1};
  if (known && x.align % k == 0)
    out_quotient->align = x.align / k;
}

void coord_delinearize(struct emit *e, struct coord x, const dim *dims, uint32_t n, uint32_t width,
                       struct coord *out) {
  for (uint32_t i = n; i-- > 1;) {
    struct coord quotient;
    split_coord(e, x, emit_dim(e, dims[i]), width, &quotient, &out[i]);
    x = quotient;
  }
  out[0] = x;
}

/* Result to operand, group by group; a dim of 1 has coordinate 0. */
static void point_through_reshape(struct emit *e, const struct op *op, const struct type *from,
                                  const struct type *to, const struct point *p, struct point *out) {
  const struct reshape_groups *groups = reshape_groups_of(&e->kernel->reshapes, op->results[0]);
  out->rank = to->rank;
  out->width = p->width;
  for (uint32_t i = 0; i < to->rank; i++)
    out->c[i] = coord_zero(e);
  const uint32_t *ia = groups->result_axes, *ib = groups->operand_axes;
  for (uint32_t g = 0; g < groups->n; g++) {
    uint32_t n_result = groups->groups[g].n_result, n_operand = groups->groups[g].n_operand;
    struct coord c[IR_MAX_RANK], split[IR_MAX_RANK];
    dim a[IR_MAX_RANK], b[IR_MAX_RANK];
    for (uint32_t k = 0; k < n_result; k++) {
      c[k] = p->c[ia[k]];
      a[k] = from->dims[ia[k]];
    }
    for (uint32_t k = 0; k < n_operand; k++)
      b[k] = to->dims[ib[k]];
    struct coord x = coord_linearize(e, c, a, n_result, p->width);
    coord_delinearize(e, x, b, n_operand, p->width, split);
    for (uint32_t k = 0; k < n_operand; k++)
      out->c[ib[k]] = split[k];
    ia += n_result;
    ib += n_operand;
  }
}

void point_through_view(struct emit *e, const struct op *op, const struct point *p,
                        struct point *out) {
  const struct type *operand = value_type(e->f, op->operands[0]);
  const struct type *result = value_type(e->f, op->results[0]);
  out->rank = operand->rank;
  out->width = p->width;
  switch (op->kind) {
  case OP_RESHAPE: point_through_reshape(e, op, result, operand, p, out); break;
  case OP_BROADCAST: point_broadcast(e, operand, result, p, out); break;
  case OP_TRANSPOSE:
    for (uint32_t i = 0; i < p->rank; i++)
      out->c[OP_ATTRS(transpose, op)->perm.data[i]] = p->c[i];
    break;
  case OP_SLICE: {
    const struct slice_attrs *a = OP_ATTRS(slice, op);
    for (uint32_t i = 0; i < p->rank; i++) {
      out->c[i] =
          coord_affine(e, &p->c[i], a->step.data[i], emit_dim(e, a->start.data[i]), p->width);
    }
    break;
  }
  default: assert(!"not a view of one operand");
  }
}

/* ---- lanes one by one ---- */

struct point point_lane(struct emit *e, const struct point *p, uint32_t lane) {
  struct point q = {.rank = p->rank, .width = 1};
  for (uint32_t i = 0; i < p->rank; i++) {
    const struct coord *c = &p->c[i];
    q.c[i].align = 1;
    if (c->lanes) {
      q.c[i].base = emit_lane(e, c->lanes, p->width, lane);
    } else if (c->stride) {
      q.c[i].base = LLVMBuildAdd(e->b, c->base, emit_i64(e, c->stride * lane), "");
    } else {
      q.c[i] = *c;
    }
  }
  return q;
}

LLVMValueRef emit_by_lanes(struct emit *e, value_id v, const struct point *p) {
  LLVMValueRef init = LLVMConstNull(emit_type(e, value_type(e->f, v)->dtype, p->width));
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, p->width), 1, 1, &init);
  struct point q = {.rank = p->rank, .width = 1};
  for (uint32_t i = 0; i < p->rank; i++) {
    const struct coord *c = &p->c[i];
    q.c[i].align = 1;
    if (c->lanes) {
      q.c[i].base = LLVMBuildExtractElement(e->b, c->lanes, l.index, "");
    } else if (c->stride) {
      LLVMValueRef step = LLVMBuildMul(e->b, l.index, emit_i64(e, c->stride), "");
      q.c[i].base = LLVMBuildAdd(e->b, c->base, step, "");
    } else {
      q.c[i] = *c;
    }
  }
  LLVMValueRef x = emit_value(e, v, &q);
  LLVMValueRef next = LLVMBuildInsertElement(e->b, l.carried[0], x, l.index, "");
  emit_loop_end(e, &l, &next);
  return l.carried[0];
}

/* ---- concat ---- */

LLVMValueRef coord_in_range(struct emit *e, const struct coord *c, LLVMValueRef lo, LLVMValueRef hi,
                            uint32_t width) {
  int64_t reach = c->stride * (int64_t)(width - 1);
  LLVMValueRef least = c->base, most = c->base;
  if (reach > 0)
    most = LLVMBuildAdd(e->b, c->base, emit_i64(e, reach), "");
  if (reach < 0)
    least = LLVMBuildAdd(e->b, c->base, emit_i64(e, reach), "");
  LLVMValueRef ok = LLVMBuildICmp(e->b, LLVMIntSGE, least, lo, "");
  if (!hi)
    return ok;
  return LLVMBuildAnd(e->b, ok, LLVMBuildICmp(e->b, LLVMIntSLT, most, hi, ""), "");
}

/* Whether no lanes along the axis are of two pieces. */
static bool pieces_hold_lanes(const struct emit *e, const struct op *op, const struct coord *c,
                              uint32_t width) {
  int64_t axis = OP_ATTRS(concat, op)->axis, n;
  if (!c->stride)
    return true;
  if (c->stride != 1 || c->align % width)
    return false;
  for (uint32_t i = 0; i < op->n_operands; i++)
    if (!dim_is_const(e->f->module->dims, value_type(e->f, op->operands[i])->dims[axis], &n) ||
        n % width)
      return false;
  return true;
}

static LLVMValueRef concat_from(struct emit *e, const struct op *op, const struct point *p,
                                uint32_t piece, LLVMValueRef offset) {
  uint32_t axis = (uint32_t)OP_ATTRS(concat, op)->axis;
  value_id v = op->operands[piece];
  struct point q = *p;
  q.c[axis] = coord_affine(e, &p->c[axis], 1, LLVMBuildNeg(e->b, offset, ""), p->width);
  bool last = piece + 1 == op->n_operands;
  if (last && pieces_hold_lanes(e, op, &p->c[axis], p->width))
    return emit_value(e, v, &q);
  LLVMValueRef end = LLVMBuildAdd(e->b, offset, emit_dim(e, value_type(e->f, v)->dims[axis]), "");
  struct emit_if s;
  emit_if_begin(e, &s, coord_in_range(e, &p->c[axis], offset, end, p->width));
  LLVMValueRef here = emit_value(e, v, &q);
  emit_if_else(e, &s, here);
  LLVMValueRef rest =
      last ? emit_by_lanes(e, op->results[0], p) : concat_from(e, op, p, piece + 1, end);
  return emit_if_end(e, &s, rest);
}

LLVMValueRef emit_concat(struct emit *e, const struct op *op, const struct point *p) {
  uint32_t axis = (uint32_t)OP_ATTRS(concat, op)->axis;
  if (p->c[axis].lanes)
    return emit_by_lanes(e, op->results[0], p);
  return concat_from(e, op, p, 0, emit_i64(e, 0));
}

/* ---- pad ---- */

LLVMValueRef emit_pad(struct emit *e, const struct op *op, const struct point *p) {
  const struct pad_attrs *a = OP_ATTRS(pad, op);
  const struct type *type = value_type(e->f, op->operands[0]);
  const struct dim_table *t = e->f->module->dims;
  struct point q = *p;
  struct point fill_point = {.rank = 0, .width = p->width};
  LLVMValueRef inside = LLVMConstInt(e->i1, 1, false);
  bool lanes_padded = false;
  for (uint32_t i = 0; i < p->rank; i++) {
    int64_t hole = a->interior.data[i] + 1;
    if (dim_is_const_value(t, a->low.data[i], 0) && dim_is_const_value(t, a->high.data[i], 0) &&
        hole == 1) {
      continue;
    }
    bool lanes = p->c[i].lanes || p->c[i].stride;
    if (lanes && (p->c[i].lanes || hole != 1))
      return emit_by_lanes(e, op->results[0], p);
    lanes_padded |= lanes;
    LLVMValueRef low = emit_dim(e, a->low.data[i]);
    q.c[i] = coord_affine(e, &p->c[i], 1, LLVMBuildNeg(e->b, low, ""), p->width);
    LLVMValueRef size = emit_dim(e, type->dims[i]);
    if (hole != 1) {
      LLVMValueRef k = emit_i64(e, hole);
      LLVMValueRef rest = LLVMBuildSRem(e->b, q.c[i].base, k, "");
      LLVMValueRef on = LLVMBuildICmp(e->b, LLVMIntEQ, rest, emit_i64(e, 0), "");
      inside = LLVMBuildAnd(e->b, inside, on, "");
      q.c[i] = coord_uniform(e, LLVMBuildSDiv(e->b, q.c[i].base, k, ""));
      /* -1 div 2 is 0 in truncating division: the test for on-grid has excluded it. */
    }
    inside =
        LLVMBuildAnd(e->b, inside, coord_in_range(e, &q.c[i], emit_i64(e, 0), size, p->width), "");
  }
  struct emit_if s;
  emit_if_begin(e, &s, inside);
  LLVMValueRef x = emit_value(e, op->operands[0], &q);
  emit_if_else(e, &s, x);
  LLVMValueRef other = lanes_padded ? emit_by_lanes(e, op->results[0], p)
                                    : emit_value(e, op->operands[1], &fill_point);
  return emit_if_end(e, &s, other);
}

/* ---- gather ---- */

struct gathered {
  struct point at;
  LLVMValueRef outside; /* i1 or a vector of it; NULL while every index is known to be inside */
};

static void gather_axis(struct emit *e, const struct op *op, const struct point *p, uint32_t j,
                        const struct type *spread, struct gathered *g) {
  const struct gather_attrs *a = OP_ATTRS(gather, op);
  const struct type *data = value_type(e->f, op->operands[0]);
  value_id index = op->operands[1 + j];
  const struct type *index_type = value_type(e->f, index);
  struct point at = {.rank = spread->rank, .width = p->width}, q;
  memcpy(at.c, p->c, spread->rank * sizeof(at.c[0]));
  point_broadcast(e, index_type, spread, &at, &q);
  uint32_t width = point_is_uniform(&q) ? 1 : p->width;
  q.width = width;
  LLVMValueRef i = emit_value(e, index, &q);
  i = emit_cast(e, i, index_type->dtype, DTYPE_I64, CAST_DEFAULT, width);
  LLVMValueRef n = emit_splat(e, emit_dim(e, data->dims[a->axes.data[j]]), width);
  LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(i));
  LLVMValueRef bad = LLVMBuildICmp(e->b, LLVMIntUGE, i, n, "");
  LLVMValueRef top = LLVMBuildSub(e->b, n, emit_splat(e, emit_i64(e, 1), width), "");
  LLVMValueRef low = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, i, top, ""), i, top, "");
  low = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, low, zero, ""), zero, low, "");
  struct coord *c = &g->at.c[a->axes.data[j]];
  *c = width == 1 ? coord_uniform(e, low) : (struct coord){.lanes = low};
  if (a->mode == OUT_OF_RANGE_CLAMP)
    return;
  if (width == 1)
    bad = emit_splat(e, bad, p->width);
  g->outside = g->outside ? LLVMBuildOr(e->b, g->outside, bad, "") : bad;
}

static LLVMValueRef any_lane(struct emit *e, LLVMValueRef x, uint32_t width) {
  if (width == 1)
    return x;
  LLVMValueRef bits = LLVMBuildBitCast(e->b, x, LLVMIntTypeInContext(e->context, width), "");
  return LLVMBuildICmp(e->b, LLVMIntNE, bits, LLVMConstNull(LLVMTypeOf(bits)), "");
}

/* i1: the data has no element along an indexed axis; NULL where it always has. */
static LLVMValueRef gathers_from_nothing(struct emit *e, const struct type *data,
                                         struct ints axes) {
  LLVMValueRef empty = NULL, zero = emit_i64(e, 0);
  for (uint32_t j = 0; j < axes.len; j++) {
    dim d = data->dims[axes.data[j]];
    int64_t n;
    if (dim_is_const(e->f->module->dims, d, &n) && n > 0)
      continue;
    LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntEQ, emit_dim(e, d), zero, "");
    empty = empty ? LLVMBuildOr(e->b, empty, none, "") : none;
  }
  return empty;
}

static LLVMValueRef load_unless(struct emit *e, LLVMValueRef empty, value_id v,
                                const struct point *p) {
  struct emit_if s;
  emit_if_begin(e, &s, empty);
  LLVMValueRef zero = LLVMConstNull(emit_type(e, value_type(e->f, v)->dtype, p->width));
  emit_if_else(e, &s, zero);
  return emit_if_end(e, &s, emit_value(e, v, p));
}

LLVMValueRef emit_gather(struct emit *e, const struct op *op, const struct point *p) {
  const struct gather_attrs *a = OP_ATTRS(gather, op);
  const struct type *data = value_type(e->f, op->operands[0]);
  const struct type *result = value_type(e->f, op->results[0]);
  uint32_t rank = result->rank - (data->rank - a->axes.len);
  struct type spread = {.dtype = DTYPE_I64, .rank = rank};
  memcpy(spread.dims, result->dims, rank * sizeof(dim));
  struct gathered g = {.at = {.rank = data->rank, .width = p->width}};
  bool indexed[IR_MAX_RANK] = {false};
  for (uint32_t j = 0; j < a->axes.len; j++) {
    indexed[a->axes.data[j]] = true;
    gather_axis(e, op, p, j, &spread, &g);
  }
  for (uint32_t i = 0, window = rank; i < data->rank; i++) {
    if (!indexed[i])
      g.at.c[i] = p->c[window++];
  }
  LLVMValueRef empty = gathers_from_nothing(e, data, a->axes);
  if (a->mode == OUT_OF_RANGE_ERROR)
    emit_error_if(e, any_lane(e, g.outside, p->width), op);
  if (a->mode == OUT_OF_RANGE_CLAMP && empty)
    emit_error_if(e, empty, op);
  LLVMValueRef x =
      empty ? load_unless(e, empty, op->operands[0], &g.at) : emit_value(e, op->operands[0], &g.at);
  if (a->mode != OUT_OF_RANGE_FILL)
    return x;
  return LLVMBuildSelect(e->b, g.outside, LLVMConstNull(LLVMTypeOf(x)), x, "");
}
