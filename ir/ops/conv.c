/* SPDX-License-Identifier: Apache-2.0 */
/* conv: grouped convolution with zero padding. */
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
      !op_check_rank(op, why, 1, x->rank) ||
      !op_check_len(why, "stride", a->stride.len, spatial) ||
      !op_check_len(why, "dilation", a->dilation.len, spatial) ||
      !op_check_len(why, "low", a->low.len, spatial) ||
      !op_check_len(why, "high", a->high.len, spatial) ||
      !op_check_ints(why, "stride", &a->stride, 1) ||
      !op_check_ints(why, "dilation", &a->dilation, 1) ||
      !op_check_sizes(why, t, "low", &a->low) || !op_check_sizes(why, t, "high", &a->high) ||
      !check_channels(why, t, x, w, a->groups))
    return false;
  dim dims[IR_MAX_RANK] = {x->dims[0], w->dims[0]};
  for (uint32_t i = 0; i < spatial; i++)
    dims[i + 2] = op_dim_window(t, x->dims[i + 2], a->low.data[i], a->high.data[i],
                                w->dims[i + 2], a->stride.data[i], a->dilation.data[i]);
  *out_n_types = 1;
  return op_make_type(why, t, a->dtype, dims, x->rank, out_types);
}

const struct op_hooks conv_hooks = {
    .infer = infer,
};
