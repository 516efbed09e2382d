/* SPDX-License-Identifier: Apache-2.0 */
/* Point-wise, where operands are transposed so that neighbours of the last dim are far apart.
 *
 * Such a transpose has its operand's last dim somewhere else, at `turned`. A tile is a block of
 * BLOCK x BLOCK results along `turned` and the last dim. Squares of W x W are read with lanes along
 * `turned`, as they lie, and turned in registers; the rest of the region finds the transposes
 * computed. What is left at the edges is done one by one. */
#include "codegen/cpu/micro.h"
#include "codegen/emit_nest.h"
#include "codegen/emit_view.h"
#include "codegen/index_math.h"
#include "codegen/schedule.h"

#define BLOCK 64
#define MAX_TURNS 4
#define LEAST 8 /* elements of either dim, where it is known */

struct turns {
  const struct type *space;
  uint32_t turned; /* a dim of the space; the other one is the last */
  uint32_t n;
  const struct op *ops[MAX_TURNS];
};

/* The dim of the result that has the operand's last one; the last dim itself where that stays. */
static uint32_t turned_dim(const struct function *f, const struct op *op) {
  struct ints perm = OP_ATTRS(transpose, op)->perm;
  const struct type *from = value_type(f, op->operands[0]);
  uint32_t last = perm.len - 1;
  while (last > 0 && dim_is_const_value(f->module->dims, from->dims[last], 1))
    last--;
  for (uint32_t i = 0; i < perm.len; i++) {
    if (perm.data[i] == (int64_t)last)
      return i;
  }
  return perm.len - 1;
}

/* Whether the value reaches a result by maps of the whole space. */
static bool is_reached(const struct kernel *k, const struct type *space, value_id v) {
  const struct function *f = k->function;
  const struct region *r = &f->regions.data[kernel_op(k)->regions[0]];
  for (uint32_t i = 0; i < r->results.len; i++) {
    if (r->results.data[i] == v)
      return true;
  }
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    for (uint32_t j = 0; j < op->n_operands; j++) {
      if (op->operands[j] == v && op->kind == OP_MAP &&
          type_same_dims(value_type(f, op->results[0]), space) &&
          is_reached(k, space, op->results[0]))
        return true;
    }
  }
  return false;
}

static bool is_long(const struct dim_table *t, dim d) {
  int64_t n;
  return !dim_is_const(t, d, &n) || n >= LEAST;
}

static bool turns_of(const struct kernel *k, struct turns *out) {
  const struct function *f = k->function;
  const struct dim_table *t = f->module->dims;
  const struct region *r = &f->regions.data[kernel_op(k)->regions[0]];
  *out = (struct turns){.space = value_type(f, kernel_result(k, 0))};
  uint32_t rank = out->space->rank;
  for (uint32_t i = 0; i < r->ops.len && out->n < MAX_TURNS; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    if (op->kind != OP_TRANSPOSE || !type_same_dims(value_type(f, op->results[0]), out->space))
      continue;
    uint32_t turned = turned_dim(f, op);
    if (turned + 1 == rank || (out->n && turned != out->turned) ||
        !is_long(t, out->space->dims[turned]) || !is_reached(k, out->space, op->results[0]))
      continue;
    out->turned = turned;
    out->ops[out->n++] = op;
  }
  return out->n > 0 && is_long(t, out->space->dims[rank - 1]);
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct turns s;
  if (!turns_of(k, &s))
    return false;
  struct dim_table *t = k->function->module->dims;
  dim block = dim_const(t, BLOCK);
  for (uint32_t i = 0; i < s.space->rank; i++) {
    dim d = s.space->dims[i];
    if (i == s.turned || i + 1 == s.space->rank)
      d = dim_ceildiv(t, d, block);
    kernel_grid(k, &d, 1);
  }
  return true;
}

/* ---- emission ---- */

struct span {
  LLVMValueRef lo, whole, hi;
};

static struct coord lanes_at(LLVMValueRef base) {
  return (struct coord){.base = base, .stride = 1, .align = 1};
}

/* One square, from rows `row` of `turned` and columns `column` of the last dim. */
static void square(struct emit *e, const struct turns *s, struct point p, LLVMValueRef row,
                   LLVMValueRef column, uint32_t width) {
  LLVMValueRef x[MAX_TURNS][MICRO_SQUARE];
  uint32_t last = s->space->rank - 1;
  p.width = width;
  for (uint32_t i = 0; i < width; i++) {
    p.c[s->turned] = lanes_at(row);
    p.c[last] = coord_uniform(e, index_add(e, column, emit_i64(e, i)));
    for (uint32_t j = 0; j < s->n; j++) {
      struct point q;
      point_through_view(e, s->ops[j], &p, &q);
      x[j][i] = emit_value(e, s->ops[j]->operands[0], &q);
    }
  }
  for (uint32_t j = 0; j < s->n; j++)
    micro_turn(e, x[j], width);
  for (uint32_t i = 0; i < width; i++) {
    p.c[s->turned] = coord_uniform(e, index_add(e, row, emit_i64(e, i)));
    p.c[last] = lanes_at(column);
    for (uint32_t j = 0; j < s->n; j++)
      emit_know(e, s->ops[j]->results[0], &p, x[j][i]);
    kernel_store_results(e, &p);
  }
}

static void edge(struct emit *e, const struct turns *s, struct point p, LLVMValueRef row_lo,
                 LLVMValueRef row_hi, LLVMValueRef lo, LLVMValueRef hi) {
  struct emit_loop rows, columns;
  p.width = 1;
  emit_loop_begin(e, &rows, row_lo, row_hi, 1, 0, NULL);
  emit_loop_begin(e, &columns, lo, hi, 1, 0, NULL);
  p.c[s->turned] = coord_uniform(e, rows.index);
  p.c[s->space->rank - 1] = coord_uniform(e, columns.index);
  kernel_store_results(e, &p);
  emit_loop_end(e, &columns, NULL);
  emit_loop_end(e, &rows, NULL);
}

static struct span span_of(struct emit *e, LLVMValueRef block, dim size, uint32_t width) {
  struct span s = {.lo = index_scale(e, block, BLOCK)};
  LLVMValueRef n = index_min(e, index_sub(e, emit_dim(e, size), s.lo), emit_i64(e, BLOCK));
  s.hi = index_add(e, s.lo, n);
  s.whole = index_add(e, s.lo, micro_whole(e, n, width));
  return s;
}

static void emit(struct emit *e, LLVMValueRef tile) {
  struct turns s;
  turns_of(e->kernel, &s);
  uint32_t last = s.space->rank - 1, width = e->vector_bytes / 4;
  if (width > MICRO_SQUARE)
    width = MICRO_SQUARE;
  struct point p = {.rank = s.space->rank};
  const dim *dims = s.space->dims;
  LLVMValueRef rest = tile;
  for (uint32_t i = p.rank; i-- > 0;) { /* of turned and last the block */
    LLVMValueRef n = emit_dim(e, dims[i]);
    if (i == s.turned || i == last) {
      n = index_add(e, n, emit_i64(e, BLOCK - 1));
      n = LLVMBuildUDiv(e->b, n, emit_i64(e, BLOCK), "");
    }
    p.c[i] = coord_uniform(e, LLVMBuildURem(e->b, rest, n, ""));
    rest = LLVMBuildUDiv(e->b, rest, n, "");
  }
  struct span r = span_of(e, p.c[s.turned].base, dims[s.turned], width);
  struct span c = span_of(e, p.c[last].base, dims[last], width);
  struct emit_loop columns, rows;
  emit_loop_begin(e, &columns, c.lo, c.whole, width, 0, NULL);
  emit_loop_begin(e, &rows, r.lo, r.whole, width, 0, NULL);
  square(e, &s, p, rows.index, columns.index, width);
  emit_loop_end(e, &rows, NULL);
  emit_loop_end(e, &columns, NULL);
  edge(e, &s, p, r.whole, r.hi, c.lo, c.whole);
  edge(e, &s, p, r.lo, r.hi, c.whole, c.hi);
}

const struct schedule schedule_pointwise_turned = {"pointwise_turned", ROOT_KIND_POINTWISE, plan,
                                                   emit};
