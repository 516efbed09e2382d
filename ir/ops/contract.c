/* SPDX-License-Identifier: Apache-2.0 */
/* contract: batched matrix product over any dims. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

/* The dims that lhs[i] and rhs[i] pair up must be able to agree; merged[i] is the better known. */
static bool pair_dims(const struct op_view *op, struct strbuf *why, const char *what,
                      const struct ints *lhs, const struct ints *rhs, dim *merged) {
  for (uint32_t i = 0; i < lhs->len; i++) {
    merged[i] = op_dim_merge(op_dim_table(op), op_operand(op, 0)->dims[lhs->data[i]],
                             op_operand(op, 1)->dims[rhs->data[i]]);
    if (merged[i] == DIM_NONE)
      return op_refuse(why, "%s dim %u differs between the operands", what, i);
  }
  return true;
}

static bool check_lists(struct strbuf *why, const char *side, const struct ints *batch,
                        const struct ints *k, uint32_t rank, uint32_t *out_mask) {
  uint32_t batch_mask, k_mask;
  if (!op_check_axes(why, side, batch, rank, &batch_mask) ||
      !op_check_axes(why, side, k, rank, &k_mask))
    return false;
  if (batch_mask & k_mask)
    return op_refuse(why, "%s has a dim that is batch and contracted", side);
  *out_mask = batch_mask | k_mask;
  return true;
}

/* The dims of operand i that are neither batch nor contracted. */
static uint32_t free_dims(const struct type *x, uint32_t mask, dim *out) {
  uint32_t n = 0;
  for (uint32_t d = 0; d < x->rank; d++)
    if (!(mask >> d & 1))
      out[n++] = x->dims[d];
  return n;
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct contract_attrs *a = VIEW_ATTRS(contract, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *lhs = op_operand(op, 0), *rhs = op_operand(op, 1);
  uint32_t lhs_mask, rhs_mask;
  dim dims[3 * IR_MAX_RANK], k[IR_MAX_RANK];
  if (!op_check_product_dtypes(why, lhs->dtype, rhs->dtype, a->dtype) ||
      !op_check_len(why, "rhs_batch", a->rhs_batch.len, a->lhs_batch.len) ||
      !op_check_len(why, "rhs_k", a->rhs_k.len, a->lhs_k.len) ||
      !check_lists(why, "lhs", &a->lhs_batch, &a->lhs_k, lhs->rank, &lhs_mask) ||
      !check_lists(why, "rhs", &a->rhs_batch, &a->rhs_k, rhs->rank, &rhs_mask) ||
      !pair_dims(op, why, "batch", &a->lhs_batch, &a->rhs_batch, dims) ||
      !pair_dims(op, why, "contracted", &a->lhs_k, &a->rhs_k, k))
    return false;
  uint32_t rank = a->lhs_batch.len;
  rank += free_dims(lhs, lhs_mask, dims + rank);
  rank += free_dims(rhs, rhs_mask, dims + rank);
  *out_n_types = 1;
  return op_make_type(why, t, a->dtype, dims, rank, out_types);
}

/* c[m, n] += a[m, k] b[k, n], k outermost of the sums, so that each result adds its products in
 * order. */
#define DEFINE_PRODUCT(name, axpy, T)                                                              \
  static void name(const T *a, const T *b, T *c, int64_t m, int64_t n, int64_t k) {                \
    for (int64_t i = 0; i < m; i++)                                                                \
      for (int64_t p = 0; p < k; p++)                                                              \
        axpy(c + i * n, b + p * n, a[i * k + p], n);                                               \
  }
DEFINE_PRODUCT(product_f32, axpy_f32, float)
DEFINE_PRODUCT(product_f64, axpy_f64, double)
DEFINE_PRODUCT(product_u64, axpy_u64, uint64_t)

/* One operand packed as [batch, rows, columns] of the accumulation's type. */
struct side {
  int64_t batch, rows, columns;
  void *data;
};

struct dim_list {
  uint32_t rank;
  int64_t dims[IR_MAX_RANK], strides[IR_MAX_RANK];
};

static int64_t append(struct dim_list *l, const struct tensor *x, const int64_t *strides,
                      const struct ints *which) {
  int64_t n = 1;
  for (uint32_t i = 0; i < which->len; i++) {
    l->dims[l->rank] = x->dims[which->data[i]];
    l->strides[l->rank++] = strides[which->data[i]];
    n *= x->dims[which->data[i]];
  }
  return n;
}

static status pack_side(struct interp *in, const struct op *op, const struct tensor *x,
                        const struct ints *batch, const struct ints *rows,
                        const struct ints *columns, bool f32, struct side *out_side) {
  int64_t strides[IR_MAX_RANK], to[IR_MAX_RANK];
  struct dim_list l = {0};
  strides_of(x->dims, x->rank, strides);
  out_side->batch = append(&l, x, strides, batch);
  out_side->rows = append(&l, x, strides, rows);
  out_side->columns = append(&l, x, strides, columns);
  union scalar *slots = interp_scratch(in, op, (uint64_t)x->count, sizeof *slots);
  if (!slots)
    return in->failure;
  strides_of(l.dims, l.rank, to);
  strided_copy(slots, to, x->data, l.strides, l.dims, l.rank);
  out_side->data = slots;
  if (f32) {
    float *floats = interp_scratch(in, op, (uint64_t)x->count, sizeof *floats);
    if (!floats)
      return in->failure;
    for (int64_t i = 0; i < x->count; i++)
      floats[i] = (float)slots[i].f64;
    out_side->data = floats;
  }
  return STATUS_OK;
}

/* The dims in neither list. */
static void free_axes(uint32_t rank, const struct ints *a, const struct ints *b,
                      int64_t room[IR_MAX_RANK], struct ints *out) {
  uint32_t mask = 0;
  for (uint32_t i = 0; i < a->len; i++)
    mask |= 1u << a->data[i];
  for (uint32_t i = 0; i < b->len; i++)
    mask |= 1u << b->data[i];
  out->data = room;
  out->len = 0;
  for (uint32_t d = 0; d < rank; d++)
    if (!(mask >> d & 1))
      room[out->len++] = d;
}

static status check_pairs(struct interp *in, const struct op *op, const struct ints *l,
                          const struct ints *r) {
  for (uint32_t i = 0; i < l->len; i++) {
    int64_t a = interp_operand(in, op, 0)->dims[l->data[i]];
    int64_t b = interp_operand(in, op, 1)->dims[r->data[i]];
    if (a != b)
      return interp_fail(in, op, DIAG_E0620, "dims %" PRId64 " and %" PRId64 " do not pair", a, b);
  }
  return STATUS_OK;
}

static void multiply(const struct side *a, const struct side *b, enum arithmetic how, bool f64,
                     union scalar *out, float *sums) {
  int64_t m = a->rows, k = a->columns, n = b->columns;
  for (int64_t i = 0; i < a->batch; i++, out += m * n) {
    if (how == ARITHMETIC_FIELD) {
      field_product((const int64_t *)a->data + i * m * k, (const int64_t *)b->data + i * k * n,
                    (int64_t *)out, m, n, k);
    } else if (how == ARITHMETIC_F32) {
      memset(sums, 0, (size_t)(m * n) * sizeof *sums);
      product_f32((const float *)a->data + i * m * k, (const float *)b->data + i * k * n, sums, m,
                  n, k);
      for (int64_t j = 0; j < m * n; j++)
        out[j].f64 = sums[j];
    } else if (f64) {
      product_f64((const double *)a->data + i * m * k, (const double *)b->data + i * k * n,
                  (double *)out, m, n, k);
    } else {
      product_u64((const uint64_t *)a->data + i * m * k, (const uint64_t *)b->data + i * k * n,
                  (uint64_t *)out, m, n, k);
    }
  }
}

static status eval(struct interp *in, const struct op *op) {
  const struct contract_attrs *a = OP_ATTRS(contract, op);
  const struct tensor *x = interp_operand(in, op, 0), *y = interp_operand(in, op, 1);
  int64_t m_room[IR_MAX_RANK], n_room[IR_MAX_RANK];
  struct ints m, n;
  struct side lhs, rhs;
  bool f32 = interp_in_f32(in, x->dtype), is_float = dtype_is_float(x->dtype);
  free_axes(x->rank, &a->lhs_batch, &a->lhs_k, m_room, &m);
  free_axes(y->rank, &a->rhs_batch, &a->rhs_k, n_room, &n);
  struct tensor *t = interp_result(in, op, 0);
  status s = t ? check_pairs(in, op, &a->lhs_batch, &a->rhs_batch) : in->failure;
  if (!s)
    s = check_pairs(in, op, &a->lhs_k, &a->rhs_k);
  if (!s)
    s = pack_side(in, op, x, &a->lhs_batch, &m, &a->lhs_k, f32, &lhs);
  if (!s)
    s = pack_side(in, op, y, &a->rhs_batch, &a->rhs_k, &n, f32, &rhs);
  if (s)
    return s;
  if (lhs.batch * lhs.rows * rhs.columns != t->count)
    return interp_fail(in, op, DIAG_E0620, "the result has %" PRId64 " elements", t->count);
  if (t->count == 0)
    return STATUS_OK;
  float *sums =
      f32 ? interp_scratch(in, op, (uint64_t)(lhs.rows * rhs.columns), sizeof *sums) : NULL;
  if (f32 && !sums)
    return in->failure;
  multiply(&lhs, &rhs, interp_arithmetic(in, x->dtype), is_float, t->data, sums);
  product_settle(in, x->dtype, y->dtype, t);
  return STATUS_OK;
}

static dim flops(const struct function *f, const struct op *op) {
  const struct contract_attrs *a = OP_ATTRS(contract, op);
  struct dim_table *t = f->module->dims;
  dim each = dim_const(t, 2);
  for (uint32_t i = 0; i < a->lhs_k.len; i++)
    each = dim_mul(t, each, value_type(f, op->operands[0])->dims[a->lhs_k.data[i]]);
  return dim_mul(t, type_elements(t, value_type(f, op->results[0])), each);
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct contract_attrs *a = OP_ATTRS(contract, op);
  const struct type *lhs = value_type(f, op->operands[0]), *rhs = value_type(f, op->operands[1]);
  int64_t room[IR_MAX_RANK];
  struct ints free;
  uint32_t at = 0;
  for (uint32_t i = 0; i < a->lhs_batch.len; i++, at++) {
    struct factor *x = factor_add(out, "batch", lhs->dims[a->lhs_batch.data[i]]);
    factor_operand(x, 0, (uint32_t)a->lhs_batch.data[i]);
    factor_operand(x, 1, (uint32_t)a->rhs_batch.data[i]);
    factor_result(x, 0, at);
  }
  free_axes(lhs->rank, &a->lhs_batch, &a->lhs_k, room, &free);
  for (uint32_t i = 0; i < free.len; i++, at++) {
    struct factor *x = factor_add(out, "m", lhs->dims[free.data[i]]);
    factor_operand(x, 0, (uint32_t)free.data[i]);
    factor_result(x, 0, at);
  }
  free_axes(rhs->rank, &a->rhs_batch, &a->rhs_k, room, &free);
  for (uint32_t i = 0; i < free.len; i++, at++) {
    struct factor *x = factor_add(out, "n", rhs->dims[free.data[i]]);
    factor_operand(x, 1, (uint32_t)free.data[i]);
    factor_result(x, 0, at);
  }
  for (uint32_t i = 0; i < a->lhs_k.len; i++) {
    struct factor *x = factor_add_contracted(out, "k", lhs->dims[a->lhs_k.data[i]], PARTIAL_SUM);
    factor_operand(x, 0, (uint32_t)a->lhs_k.data[i]);
    factor_operand(x, 1, (uint32_t)a->rhs_k.data[i]);
  }
}

const struct op_hooks contract_hooks = {
    .infer = infer,
    .eval = eval,
    .flops = flops,
    .factors = factors,
};
