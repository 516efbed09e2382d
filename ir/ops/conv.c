/* SPDX-License-Identifier: Apache-2.0 */
/* conv: grouped convolution with zero padding. */
#include "base/checked.h"
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

/* Channel counts against groups, as far as they are known. */
static bool check_channels(struct strbuf *why, struct dim_table *t, const struct type *x,
                           const struct type *w, int64_t groups) {
  if (groups < 1)
    return op_refuse(why, "'groups' is below 1");
  if (dim_known_ne(t, x->dims[1], dim_mul(t, w->dims[1], dim_const(t, groups))))
    return op_refuse(why, "the input's channels are not groups times the filter's");
  int64_t out_channels;
  if (dim_is_const(t, w->dims[0], &out_channels) && out_channels % groups != 0)
    return op_refuse(why, "groups does not divide the filter's %lld output channels",
                     (long long)out_channels);
  return true;
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct conv_attrs *a = VIEW_ATTRS(conv, op);
  struct dim_table *t = op_dim_table(op);
  const struct type *x = op_operand(op, 0), *w = op_operand(op, 1);
  if (x->rank < 3)
    return op_refuse(why, "the input has rank %u, below 3", x->rank);
  uint32_t spatial = x->rank - 2;
  if (!op_check_product_dtypes(why, x->dtype, w->dtype, a->dtype) ||
      !op_check_rank(op, why, 1, x->rank) || !op_check_len(why, "stride", a->stride.len, spatial) ||
      !op_check_len(why, "dilation", a->dilation.len, spatial) ||
      !op_check_len(why, "low", a->low.len, spatial) ||
      !op_check_len(why, "high", a->high.len, spatial) ||
      !op_check_ints(why, "stride", &a->stride, 1) ||
      !op_check_ints(why, "dilation", &a->dilation, 1) || !op_check_sizes(why, t, "low", &a->low) ||
      !op_check_sizes(why, t, "high", &a->high) || !check_channels(why, t, x, w, a->groups))
    return false;
  dim dims[IR_MAX_RANK] = {x->dims[0], w->dims[0]};
  for (uint32_t i = 0; i < spatial; i++)
    dims[i + 2] = op_dim_window(t, x->dims[i + 2], a->low.data[i], a->high.data[i], w->dims[i + 2],
                                a->stride.data[i], a->dilation.data[i]);
  *out_n_types = 1;
  return op_make_type(why, t, a->dtype, dims, x->rank, out_types);
}

/* One convolution: what is the same for all of its planes. */
struct conv_plan {
  uint32_t spatial;
  int64_t x[IR_MAX_RANK], w[IR_MAX_RANK], y[IR_MAX_RANK]; /* spatial dims */
  int64_t x_size, w_size, y_size;                         /* their products */
  int64_t low[IR_MAX_RANK], stride[IR_MAX_RANK], dilation[IR_MAX_RANK];
  int64_t groups, per_group_in, per_group_out;
};

/* Adds weight * x to the places of y that one kernel element reaches: a box of y, read from x at
 * steps of the stride. */
struct reach {
  uint32_t rank;
  int64_t count[IR_MAX_RANK];
  int64_t steps[2 * IR_MAX_RANK]; /* of x, then of y */
  int64_t x_at, y_at;
};

static bool reach_of(const struct conv_plan *p, const int64_t *kernel_index, struct reach *r) {
  int64_t *x_step = r->steps, *y_step = r->steps + IR_MAX_RANK;
  strides_of(p->x, p->spatial, x_step);
  strides_of(p->y, p->spatial, y_step);
  r->x_at = r->y_at = 0;
  for (uint32_t d = 0; d < p->spatial; d++) {
    int64_t base = kernel_index[d] * p->dilation[d] - p->low[d], first, end;
    range_inside_of(base, p->stride[d], p->y[d], p->x[d], &first, &end);
    r->count[d] = end - first;
    if (r->count[d] <= 0)
      return false;
    r->x_at += (base + first * p->stride[d]) * x_step[d];
    r->y_at += first * y_step[d];
    x_step[d] *= p->stride[d];
  }
  r->rank = strides_collapse(r->count, p->spatial, r->steps, 2);
  return true;
}

#define DEFINE_CONV(name, axpy, T)                                                                 \
  static void name##_reach(const struct reach *r, T weight, const T *x, T *y) {                    \
    const int64_t *x_step = r->steps, *y_step = r->steps + IR_MAX_RANK;                            \
    uint32_t outer = r->rank - 1;                                                                  \
    int64_t index[IR_MAX_RANK] = {0}, n = r->count[outer];                                         \
    int64_t xs = x_step[outer], ys = y_step[outer];                                                \
    do {                                                                                           \
      int64_t x_at = r->x_at, y_at = r->y_at;                                                      \
      for (uint32_t d = 0; d < outer; d++) {                                                       \
        x_at += index[d] * x_step[d];                                                              \
        y_at += index[d] * y_step[d];                                                              \
      }                                                                                            \
      if (xs == 1 && ys == 1)                                                                      \
        axpy(y + y_at, x + x_at, weight, n);                                                       \
      else                                                                                         \
        for (int64_t i = 0; i < n; i++)                                                            \
          axpy(y + y_at + i * ys, x + x_at + i * xs, weight, 1);                                   \
    } while (index_next(index, r->count, outer));                                                  \
  }                                                                                                \
  static void name(const struct conv_plan *p, const T *x, const T *w, T *y) {                      \
    int64_t kernel_index[IR_MAX_RANK] = {0}, k = 0;                                                \
    struct reach r;                                                                                \
    do {                                                                                           \
      if (reach_of(p, kernel_index, &r))                                                           \
        for (int64_t o = 0; o < p->per_group_out; o++)                                             \
          for (int64_t c = 0; c < p->per_group_in; c++)                                            \
            name##_reach(&r, w[(o * p->per_group_in + c) * p->w_size + k], x + c * p->x_size,      \
                         y + o * p->y_size);                                                       \
      k++;                                                                                         \
    } while (index_next(kernel_index, p->w, p->spatial));                                          \
  }
DEFINE_CONV(conv_f32, axpy_f32, float)
DEFINE_CONV(conv_f64, axpy_f64, double)
DEFINE_CONV(conv_u64, axpy_u64, uint64_t)
DEFINE_CONV(conv_field, axpy_field, int64_t)

static status make_plan(struct interp *in, const struct op *op, const struct tensor *x,
                        const struct tensor *w, const struct tensor *y, struct conv_plan *p) {
  const struct conv_attrs *a = OP_ATTRS(conv, op);
  int64_t high[IR_MAX_RANK];
  *p = (struct conv_plan){.spatial = x->rank - 2, .x_size = 1, .w_size = 1, .y_size = 1};
  if (!interp_dims(in, op, a->low.data, p->spatial, p->low) ||
      !interp_dims(in, op, a->high.data, p->spatial, high))
    return in->failure;
  p->per_group_in = w->dims[1];
  /* A rank may hold a part of the groups: as many as its channels make. */
  p->groups = in->rank && w->dims[1] ? x->dims[1] / w->dims[1] : a->groups;
  p->per_group_out = p->groups ? w->dims[0] / p->groups : 0;
  int64_t channels;
  if (!i64_mul(p->per_group_in, p->groups, &channels) || channels != x->dims[1] ||
      p->per_group_out * p->groups != w->dims[0] || y->dims[0] != x->dims[0] ||
      y->dims[1] != w->dims[0])
    return interp_fail(in, op, DIAG_E0620,
                       "%" PRId64 " channels and a filter of %" PRId64 " x %" PRId64, x->dims[1],
                       w->dims[0], w->dims[1]);
  for (uint32_t d = 0; d < p->spatial; d++) {
    p->x[d] = x->dims[d + 2];
    p->w[d] = w->dims[d + 2];
    p->y[d] = y->dims[d + 2];
    p->stride[d] = a->stride.data[d];
    p->dilation[d] = a->dilation.data[d];
    if (p->low[d] < 0 || high[d] < 0 ||
        !window_fits(p->x[d], p->low[d], high[d], p->w[d], p->stride[d], p->dilation[d], p->y[d]))
      return interp_fail(in, op, DIAG_E0620, "dim %u: %" PRId64 " places over %" PRId64, d + 2,
                         p->y[d], p->x[d]);
    p->x_size *= p->x[d];
    p->w_size *= p->w[d];
    p->y_size *= p->y[d];
  }
  return STATUS_OK;
}

static float *as_floats(struct interp *in, const struct op *op, const struct tensor *t) {
  float *floats = interp_scratch(in, op, (uint64_t)t->count, sizeof *floats);
  for (int64_t i = 0; floats && i < t->count; i++)
    floats[i] = (float)t->f64[i];
  return floats;
}

/* Every (image, group): `x`, `w` and `y` of the accumulation's type, elements of `size` bytes. */
static void all_groups(const struct conv_plan *p, int64_t images, int64_t groups,
                       enum arithmetic how, bool f64, const char *x, const char *w, char *y) {
  size_t size = how == ARITHMETIC_F32 ? sizeof(float) : sizeof(double);
  size_t x_step = (size_t)(p->per_group_in * p->x_size) * size;
  size_t y_step = (size_t)(p->per_group_out * p->y_size) * size;
  size_t w_step = (size_t)(p->per_group_out * p->per_group_in * p->w_size) * size;
  for (int64_t i = 0; i < images * groups; i++, x += x_step, y += y_step) {
    const char *filter = w + (size_t)(i % groups) * w_step;
    if (how == ARITHMETIC_FIELD)
      conv_field(p, (const int64_t *)x, (const int64_t *)filter, (int64_t *)y);
    else if (how == ARITHMETIC_F32)
      conv_f32(p, (const float *)x, (const float *)filter, (float *)y);
    else if (f64)
      conv_f64(p, (const double *)x, (const double *)filter, (double *)y);
    else
      conv_u64(p, (const uint64_t *)x, (const uint64_t *)filter, (uint64_t *)y);
  }
}

static status eval(struct interp *in, const struct op *op) {
  const struct tensor *x = interp_operand(in, op, 0), *w = interp_operand(in, op, 1);
  struct tensor *y = interp_result(in, op, 0);
  struct conv_plan p;
  status s = y ? make_plan(in, op, x, w, y, &p) : in->failure;
  if (s || y->count == 0 || w->count == 0 || x->count == 0)
    return s;
  int64_t groups = p.groups;
  bool f32 = interp_in_f32(in, x->dtype);
  if (f32) {
    float *xf = as_floats(in, op, x), *wf = as_floats(in, op, w), *yf = as_floats(in, op, y);
    if (!xf || !wf || !yf)
      return in->failure;
    all_groups(&p, x->dims[0], groups, ARITHMETIC_F32, true, (char *)xf, (char *)wf, (char *)yf);
    for (int64_t i = 0; i < y->count; i++)
      y->f64[i] = yf[i];
  } else {
    all_groups(&p, x->dims[0], groups, interp_arithmetic(in, x->dtype), dtype_is_float(x->dtype),
               x->data, w->data, y->data);
  }
  product_settle(in, x->dtype, w->dtype, y);
  return STATUS_OK;
}

static dim flops(const struct function *f, const struct op *op) {
  struct dim_table *t = f->module->dims;
  const struct type *w = value_type(f, op->operands[1]);
  dim each = dim_mul(t, dim_const(t, 2), dim_product(t, w->dims + 1, w->rank - 1));
  return dim_mul(t, type_elements(t, value_type(f, op->results[0])), each);
}

/* Channels are groups × channels of a group; a factor of one side has the other as outer or
 * granule.
 */
static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  const struct type *x = value_type(f, op->operands[0]), *w = value_type(f, op->operands[1]);
  struct dim_table *t = f->module->dims;
  int64_t groups = OP_ATTRS(conv, op)->groups, in, co;
  struct factor *batch = factor_add(out, "batch", x->dims[0]);
  factor_operand(batch, 0, 0);
  factor_result(batch, 0, 0);
  if (!dim_is_const(t, w->dims[1], &in) || !dim_is_const(t, w->dims[0], &co))
    return;
  if (groups > 1) {
    struct factor *g = factor_add(out, "group", dim_const(t, groups));
    g->operands[0] = (struct factor_map){1, 1, in};
    g->operands[1] = g->results[0] = (struct factor_map){0, 1, co / groups};
    g->results[0].dim = 1;
  }
  struct factor *o = factor_add(out, "out_channel", dim_const(t, co / groups));
  o->operands[1] = o->results[0] = (struct factor_map){0, groups, 1};
  o->results[0].dim = 1;
  struct factor *i = factor_add_contracted(out, "in_channel", w->dims[1], PARTIAL_SUM);
  i->operands[0] = (struct factor_map){1, groups, 1};
  factor_operand(i, 1, 1);
}

const struct op_hooks conv_hooks = {
    .infer = infer,
    .eval = eval,
    .flops = flops,
    .factors = factors,
};
