/* SPDX-License-Identifier: Apache-2.0 */
/* exchange: equal buffers between the ranks of a group. */
#include "ir/exchange_group.h"

#include "ir/ops/collective_util.h"

static const struct axis_ref no_ref;

bool exchange_group(const struct module *m, const struct exchange_attrs *a,
                    struct axis_ref out_refs[MESH_MAX_AXES], uint32_t *out_n, int64_t *out_size) {
  if (a->mesh < 0 || (uint64_t)a->mesh >= m->meshes.len || a->group.len % 3 || !a->group.len ||
      a->group.len > 3 * MESH_MAX_AXES)
    return false;
  const struct mesh *mesh = m->meshes.data[a->mesh];
  *out_n = a->group.len / 3;
  *out_size = 1;
  for (uint32_t i = 0; i < *out_n; i++) {
    const int64_t *x = a->group.data + 3 * i;
    int64_t inner;
    if (x[0] < 0 || x[0] >= mesh->n_axes || x[1] < 1 || x[2] < 1 ||
        __builtin_mul_overflow(x[1], x[2], &inner) || mesh->axes[x[0]].size % inner)
      return false;
    bool whole = x[1] == mesh->axes[x[0]].size;
    out_refs[i] = no_ref;
    out_refs[i].axis = (uint32_t)x[0];
    out_refs[i].sub_size = whole ? 0 : x[1];
    out_refs[i].sub_stride = whole ? 0 : x[2];
    if (__builtin_mul_overflow(*out_size, x[1], out_size))
      return false;
  }
  return true;
}

static bool check_from(struct strbuf *why, const struct exchange_attrs *a, int64_t n) {
  if (a->kind != EXCHANGE_PERMUTE)
    return !a->from.len || op_refuse(why, "'from' is of permute");
  if ((int64_t)a->from.len != n)
    return op_refuse(why, "'from' has %u places, the group %lld ranks", a->from.len, (long long)n);
  for (uint32_t i = 0; i < a->from.len; i++)
    if (a->from.data[i] < 0 || a->from.data[i] >= n)
      return op_refuse(why, "'from' names a place that the group does not have");
  return true;
}

static bool check_reduce(struct strbuf *why, const struct exchange_attrs *a, enum dtype dtype) {
  bool merges = a->kind == EXCHANGE_ALL_REDUCE || a->kind == EXCHANGE_REDUCE_SCATTER;
  if (!merges)
    return a->reduce == PARTIAL_NONE || op_refuse(why, "only reductions have 'reduce'");
  if (a->reduce < PARTIAL_SUM || a->reduce > PARTIAL_PROD)
    return op_refuse(why, "'reduce' is none of sum, max, min, prod");
  return dtype_is_number(dtype) || op_refuse(why, "%s does not reduce", dtype_name(dtype));
}

static bool infer_one(const struct op_view *op, struct strbuf *why, uint32_t i, int64_t n,
                      struct type *out_type) {
  const struct exchange_attrs *a = VIEW_ATTRS(exchange, op);
  const struct type *x = op_operand(op, i);
  struct dim_table *t = op_dim_table(op);
  if (x->dtype == DTYPE_STRING)
    return op_refuse(why, "does not take strings");
  if (!check_reduce(why, a, x->dtype))
    return false;
  bool entries = a->kind == EXCHANGE_REDUCE_SCATTER || a->kind == EXCHANGE_ALL_TO_ALL;
  if (entries && (!x->rank || dim_known_ne(t, x->dims[0], dim_const(t, n))))
    return op_refuse(why, "the operand has no entry for each of %lld ranks", (long long)n);
  dim dims[IR_MAX_RANK + 1] = {dim_const(t, n)};
  bool gathers = a->kind == EXCHANGE_ALL_GATHER, scatters = a->kind == EXCHANGE_REDUCE_SCATTER;
  for (uint32_t d = scatters; d < x->rank; d++)
    dims[d + gathers - scatters] = x->dims[d];
  return op_make_type(why, t, x->dtype, dims, x->rank + gathers - scatters, out_type);
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct exchange_attrs *a = VIEW_ATTRS(exchange, op);
  struct axis_ref refs[MESH_MAX_AXES];
  uint32_t n_refs;
  int64_t n;
  if (!exchange_group(op->function->module, a, refs, &n_refs, &n))
    return op_refuse(why, "'group' is no part of the mesh");
  if (!check_from(why, a, n))
    return false;
  *out_n_types = op->n_operands;
  for (uint32_t i = 0; i < op->n_operands; i++)
    if (!infer_one(op, why, i, n, &out_types[i]))
      return false;
  return true;
}

const struct op_hooks exchange_hooks = {
    .infer = infer,
    .eval = collective_eval,
};
