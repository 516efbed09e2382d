/* SPDX-License-Identifier: Apache-2.0 */
/* Update: rows written into a state.
 *
 * In place a tile is one row of what is new, and the state is not read. Else a tile is one row of
 * the result, which comes from one of the two. The operand's own chain (a rotation of keys, a
 * transpose) is computed where its row is stored. */
#include <string.h>

#include "codegen/emit_nest.h"
#include "codegen/schedule.h"

struct update {
  const struct op *op;
  const struct type *data, *rows;
  uint32_t axis, last;
  bool in_place;
};

static struct update update_of(const struct kernel *k) {
  const struct op *op = kernel_root_op(k, OP_UPDATE);
  const struct update_attrs *a = OP_ATTRS(update, op);
  struct update u = {.op = op, .axis = (uint32_t)a->axis, .in_place = a->in_place};
  u.data = value_type(k->function, op->operands[0]);
  u.rows = value_type(k->function, op->operands[1]);
  u.last = u.data->rank - 1;
  return u;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct update u = update_of(k);
  kernel_grid(k, u.in_place ? u.rows->dims : u.data->dims, u.last);
  return true;
}

/* What the rows of one batch row ask for. */
struct place {
  LLVMValueRef start, count; /* count: no more than there are */
};

static LLVMValueRef per_row(struct emit *e, const struct update *u, uint32_t operand,
                            struct coord batch) {
  struct point p = {.rank = 1, .width = 1};
  p.c[0] = batch;
  return emit_value(e, u->op->operands[operand], &p);
}

static LLVMValueRef within(struct emit *e, LLVMValueRef x, LLVMValueRef lo, LLVMValueRef hi) {
  LLVMValueRef above = LLVMBuildICmp(e->b, LLVMIntSGE, x, lo, "");
  return LLVMBuildAnd(e->b, above, LLVMBuildICmp(e->b, LLVMIntSLT, x, hi, ""), "");
}

static struct place place_of(struct emit *e, const struct update *u, struct coord batch) {
  struct place p = {per_row(e, u, 2, batch), emit_dim(e, u->rows->dims[u->axis])};
  if (u->op->n_operands > 3) {
    LLVMValueRef count = per_row(e, u, 3, batch);
    LLVMValueRef less = LLVMBuildICmp(e->b, LLVMIntSLT, count, p.count, "");
    p.count = LLVMBuildSelect(e->b, less, count, p.count, "");
  }
  return p;
}

/* One row, or its part that `from` has: to[..., j] = from[..., j] along the last dim. */
struct row {
  const struct update *u;
  value_id from;
  struct coord to;    /* of the axis in the result, where the axis is not the last dim */
  LLVMValueRef shift; /* else what leads from one to the other */
};

static void row_step(struct emit *e, void *user, const struct point *p, const LLVMValueRef *acc,
                     LLVMValueRef *out_acc) {
  const struct row *r = user;
  (void)acc;
  (void)out_acc;
  const struct update *u = r->u;
  LLVMValueRef x = emit_value(e, r->from, p);
  struct point to = *p;
  to.c[u->axis] =
      r->shift ? coord_uniform(e, LLVMBuildAdd(e->b, p->c[u->axis].base, r->shift, "")) : r->to;
  emit_store(e, kernel_result_buffer(e->kernel, 0), value_type(e->f, u->op->results[0]), &to, x);
}

static void store_row(struct emit *e, struct row *r, const struct type *type,
                      const struct point *p) {
  const struct update *u = r->u;
  uint32_t width = r->shift ? 1 : nest_width(e, type->dims[u->last], DTYPE_F32);
  struct nest n = {.n_axes = 1,
                   .axes = {u->last},
                   .dims = type->dims,
                   .width = width,
                   .body = row_step,
                   .user = r};
  emit_nest(e, &n, p, NULL, NULL);
}

/* Rows that fit, of the new ones. The last dim being the axis, its elements are the rows. */
struct element {
  const struct update *u;
  struct place place;
};

static void element_step(struct emit *e, void *user, const struct point *p, const LLVMValueRef *acc,
                         LLVMValueRef *out_acc) {
  const struct element *x = user;
  (void)acc;
  (void)out_acc;
  const struct update *u = x->u;
  LLVMValueRef i = p->c[u->axis].base, zero = emit_i64(e, 0);
  LLVMValueRef at = LLVMBuildAdd(e->b, x->place.start, i, "");
  LLVMValueRef wanted = LLVMBuildICmp(e->b, LLVMIntSLT, i, x->place.count, "");
  LLVMValueRef fits = within(e, at, zero, emit_dim(e, u->data->dims[u->axis]));
  emit_error_if(e, LLVMBuildAnd(e->b, wanted, LLVMBuildNot(e->b, fits, ""), ""), u->op);
  struct emit_if s;
  emit_if_begin(e, &s, LLVMBuildAnd(e->b, wanted, fits, ""));
  struct row r = {.u = u, .from = u->op->operands[1], .to = coord_uniform(e, at)};
  if (u->axis == u->last) {
    struct point to = *p;
    to.c[u->axis] = r.to;
    emit_store(e, kernel_result_buffer(e->kernel, 0), value_type(e->f, u->op->results[0]), &to,
               emit_value(e, r.from, p));
  } else {
    store_row(e, &r, u->rows, p);
  }
  emit_if_else(e, &s, NULL);
  emit_if_end(e, &s, NULL);
}

static void write_new(struct emit *e, const struct update *u, struct point *p) {
  struct element x = {u, place_of(e, u, p->c[0])};
  if (u->axis != u->last) {
    element_step(e, &x, p, NULL, NULL);
    return;
  }
  struct nest n = {.n_axes = 1,
                   .axes = {u->last},
                   .dims = u->rows->dims,
                   .width = 1,
                   .body = element_step,
                   .user = &x};
  emit_nest(e, &n, p, NULL, NULL);
}

/* ---- not in place ---- */

static void copied_step(struct emit *e, void *user, const struct point *p, const LLVMValueRef *acc,
                        LLVMValueRef *out_acc) {
  const struct element *x = user;
  (void)acc;
  (void)out_acc;
  const struct update *u = x->u;
  LLVMValueRef at = p->c[u->axis].base, i = LLVMBuildSub(e->b, at, x->place.start, "");
  struct row old = {.u = u, .from = u->op->operands[0], .to = p->c[u->axis]};
  struct row new = {.u = u, .from = u->op->operands[1], .to = p->c[u->axis]};
  struct point q = *p;
  q.c[u->axis] = coord_uniform(e, i);
  struct emit_if s;
  emit_if_begin(e, &s, within(e, i, emit_i64(e, 0), x->place.count));
  if (u->axis == u->last) {
    new.shift = x->place.start;
    row_step(e, &new, &q, NULL, NULL);
  } else {
    store_row(e, &new, u->rows, &q);
  }
  emit_if_else(e, &s, NULL);
  if (u->axis == u->last) {
    row_step(e, &old, p, NULL, NULL);
  } else {
    store_row(e, &old, u->data, p);
  }
  emit_if_end(e, &s, NULL);
}

/* A tile knows its batch row, so each says whether all of that one's new rows fit. */
static void check_rows(struct emit *e, const struct update *u, const struct place *p) {
  LLVMValueRef zero = emit_i64(e, 0);
  LLVMValueRef any = LLVMBuildICmp(e->b, LLVMIntSGT, p->count, zero, "");
  LLVMValueRef room = LLVMBuildSub(e->b, emit_dim(e, u->data->dims[u->axis]), p->count, "");
  LLVMValueRef low = LLVMBuildICmp(e->b, LLVMIntSLT, p->start, zero, "");
  LLVMValueRef high = LLVMBuildICmp(e->b, LLVMIntSGT, p->start, room, "");
  emit_error_if(e, LLVMBuildAnd(e->b, any, LLVMBuildOr(e->b, low, high, ""), ""), u->op);
}

static void copy_all(struct emit *e, const struct update *u, struct point *p) {
  struct element x = {u, place_of(e, u, p->c[0])};
  check_rows(e, u, &x.place);
  if (u->axis != u->last) {
    copied_step(e, &x, p, NULL, NULL);
    return;
  }
  struct nest n = {.n_axes = 1,
                   .axes = {u->last},
                   .dims = u->data->dims,
                   .width = 1,
                   .body = copied_step,
                   .user = &x};
  emit_nest(e, &n, p, NULL, NULL);
}

static void emit(struct emit *e, LLVMValueRef tile) {
  struct update u = update_of(e->kernel);
  struct point p = {.rank = u.data->rank, .width = 1};
  emit_delinearize(e, tile, u.in_place ? u.rows->dims : u.data->dims, u.last, p.c);
  p.c[u.last] = coord_zero(e);
  if (u.in_place) {
    write_new(e, &u, &p);
  } else {
    copy_all(e, &u, &p);
  }
}

const struct schedule schedule_update = {"update", ROOT_KIND_UPDATE, plan, emit};
