/* SPDX-License-Identifier: Apache-2.0 */
/* Unique rows: indices of rows are sorted lexicographically (stable, so the first of equal rows is
 * the first occurrence), runs of equal rows become groups, and groups are numbered in the order
 * asked for. */
#include "codegen/emit_sort.h"
#include "codegen/schedule.h"

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  const struct op *op = kernel_root_op(k, OP_UNIQUE);
  dim n = value_type(k->function, op->operands[0])->dims[0];
  kernel_scratch(k, &n, 1, 5 * 8); /* two of the sort, group, first, number */
  return true;
}

struct rows {
  value_id value;
  enum dtype dtype;
  LLVMValueRef columns;
};

/* -1, 0, 1 as rows a and b compare. */
static LLVMValueRef compare(struct emit *e, const struct rows *r, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef zero = emit_i64(e, 0);
  struct emit_loop l;
  emit_loop_begin(e, &l, zero, r->columns, 1, 1, &zero);
  struct point p = {.rank = 2, .width = 1}, q = p;
  p.c[0] = coord_uniform(e, a);
  q.c[0] = coord_uniform(e, b);
  p.c[1] = q.c[1] = coord_uniform(e, l.index);
  LLVMValueRef x = emit_value(e, r->value, &p), y = emit_value(e, r->value, &q);
  LLVMValueRef less = emit_less(e, r->dtype, x, y), more = emit_less(e, r->dtype, y, x);
  LLVMValueRef here = LLVMBuildSelect(e->b, less, emit_i64(e, -1), zero, "");
  here = LLVMBuildSelect(e->b, more, emit_i64(e, 1), here, "");
  LLVMValueRef open = LLVMBuildICmp(e->b, LLVMIntEQ, l.carried[0], zero, "");
  LLVMValueRef next = LLVMBuildSelect(e->b, open, here, l.carried[0], "");
  emit_loop_end(e, &l, &next);
  return l.carried[0];
}

static LLVMValueRef before(struct emit *e, void *user, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildICmp(e->b, LLVMIntSLT, compare(e, user, a, b), emit_i64(e, 0), "");
}

static void store1(struct emit *e, uint32_t result, LLVMValueRef i, LLVMValueRef x) {
  const struct type *type = value_type(e->f, kernel_result(e->kernel, result));
  struct point p = {.rank = type->rank, .width = 1};
  if (i)
    p.c[0] = coord_uniform(e, i);
  emit_store(e, kernel_result_buffer(e->kernel, result), type, &p, x);
}

/* first[g] and group[row], groups in sorted order; returns their number. */
static LLVMValueRef find_groups(struct emit *e, const struct rows *r, LLVMValueRef n,
                                LLVMValueRef order, LLVMValueRef group, LLVMValueRef first) {
  LLVMValueRef zero = emit_i64(e, 0), one = emit_i64(e, 1);
  LLVMValueRef init[2] = {zero, zero}; /* groups so far, the row before */
  struct emit_loop l;
  emit_loop_begin(e, &l, zero, n, 1, 2, init);
  LLVMValueRef row = emit_load_index(e, order, l.index);
  LLVMValueRef same = LLVMBuildICmp(e->b, LLVMIntEQ, compare(e, r, l.carried[1], row), zero, "");
  LLVMValueRef start = LLVMBuildICmp(e->b, LLVMIntEQ, l.index, zero, "");
  LLVMValueRef fresh = LLVMBuildOr(e->b, start, LLVMBuildNot(e->b, same, ""), "");
  struct emit_if s;
  emit_if_begin(e, &s, fresh);
  emit_store_index(e, first, l.carried[0], row);
  LLVMValueRef more = LLVMBuildAdd(e->b, l.carried[0], one, "");
  emit_if_else(e, &s, more);
  LLVMValueRef groups = emit_if_end(e, &s, l.carried[0]);
  emit_store_index(e, group, row, LLVMBuildSub(e->b, groups, one, ""));
  LLVMValueRef next[2] = {groups, row};
  emit_loop_end(e, &l, next);
  return l.carried[0];
}

/* number[g]: g itself, or its place among first occurrences, found by walking the rows in order. */
static void number_groups(struct emit *e, LLVMValueRef n, bool sorted, LLVMValueRef group,
                          LLVMValueRef first, LLVMValueRef number) {
  LLVMValueRef zero = emit_i64(e, 0);
  struct emit_loop l;
  emit_loop_begin(e, &l, zero, n, 1, 1, &zero);
  LLVMValueRef g = emit_load_index(e, group, l.index);
  LLVMValueRef is_first = LLVMBuildICmp(e->b, LLVMIntEQ, emit_load_index(e, first, g), l.index, "");
  struct emit_if s;
  emit_if_begin(e, &s, is_first);
  LLVMValueRef to = sorted ? g : l.carried[0];
  emit_store_index(e, number, g, to);
  store1(e, 0, to, l.index);
  store1(e, 2, to, zero);
  LLVMValueRef more = LLVMBuildAdd(e->b, l.carried[0], emit_i64(e, 1), "");
  emit_if_else(e, &s, more);
  LLVMValueRef next = emit_if_end(e, &s, l.carried[0]);
  emit_loop_end(e, &l, &next);
}

static void count_rows(struct emit *e, LLVMValueRef n, LLVMValueRef group, LLVMValueRef number) {
  const struct type *type = value_type(e->f, kernel_result(e->kernel, 2));
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), n, 1, 0, NULL);
  LLVMValueRef to = emit_load_index(e, number, emit_load_index(e, group, l.index));
  store1(e, 1, l.index, to);
  struct point p = {.rank = 1, .width = 1};
  p.c[0] = coord_uniform(e, to);
  LLVMValueRef old = emit_load(e, kernel_result_buffer(e->kernel, 2), type, false, &p);
  store1(e, 2, to, LLVMBuildAdd(e->b, old, emit_i64(e, 1), ""));
  emit_loop_end(e, &l, NULL);
}

static void emit(struct emit *e, LLVMValueRef tile) {
  (void)tile;
  const struct op *op = kernel_root_op(e->kernel, OP_UNIQUE);
  const struct type *type = value_type(e->f, op->operands[0]);
  struct rows rows = {
      .value = op->operands[0], .dtype = type->dtype, .columns = emit_dim(e, type->dims[1])};
  LLVMValueRef n = emit_dim(e, type->dims[0]), part[5];
  for (int i = 0; i < 5; i++) {
    part[i] = emit_scratch_at(e, LLVMBuildMul(e->b, n, emit_i64(e, i), ""));
  }
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), n, 1, 0, NULL);
  emit_store_index(e, part[0], l.index, l.index);
  emit_loop_end(e, &l, NULL);
  LLVMValueRef order = emit_sort(e, part[0], part[1], n, before, &rows);
  LLVMValueRef groups = find_groups(e, &rows, n, order, part[2], part[3]);
  number_groups(e, n, OP_ATTRS(unique, op)->sorted, part[2], part[3], part[4]);
  count_rows(e, n, part[2], part[4]);
  store1(e, 3, NULL, groups);
}

const struct schedule schedule_unique = {"unique", ROOT_KIND_UNIQUE, plan, emit};
