/* SPDX-License-Identifier: Apache-2.0 */
/* localise: attention whose keys go round the ranks (Liu et al., Ring Attention, 2023).
 *
 *     %K = all_gather %k { dim = 2 }           %o, %l = attention %q, %k, ...   of the rank's own
 * keys %o = attention %q, %K, ... { ring }  =>  %k1 = exchange %k { permute }    of the rank before
 * it %o, %l = combine of these and attention %q, %k1, ... and so on, once for every other rank
 *
 * No rank has more than two parts of the keys at a time. The gathers, then unused, are swept. */
#include "ir/sharding_form.h"
#include "passes/partition/localise_parts.h"
#include "passes/partition/part_views.h"

#define KEYS 2 /* the dim of k and v that goes round */

struct ring {
  struct localise *l;
  const struct op *op;
  struct localise_group group;
  struct part_dims part; /* of the keys, as this rank has them at first */
  value_id pair[2];      /* k and v of some rank, as long as the longest part */
};

/* The gather of all keys that makes operand i; NULL: none does. */
static const struct op *gather_of(const struct localise *l, const struct op *op, uint32_t i) {
  const struct op *from = value_def(l->from, op->operands[i]);
  bool all = from && from->kind == OP_ALL_GATHER && OP_ATTRS(all_gather, from)->dim == KEYS &&
             localise_sharding(l, from->results[0])->dims[KEYS].n_axes == 0;
  return all ? from : NULL;
}

/* Whether a part of dim d, which is that of the keys or 1, can be told. */
static bool can_take(const struct localise *l, const struct op *op, uint32_t i, uint32_t d) {
  dim has = value_type(l->from, op->operands[i])->dims[d];
  return dim_is_const_value(l->m->dims, has, 1) ||
         dim_known_eq(l->m->dims, has, value_type(l->from, op->operands[1])->dims[KEYS]);
}

static bool can_go_round(const struct localise *l, const struct op *op) {
  const struct attention_attrs *a = OP_ATTRS(attention, op);
  const struct op *k = gather_of(l, op, 1), *v = gather_of(l, op, 2);
  if (!a->ring || !k || !v || ((a->causal || a->window > 0) && !a->has_pos))
    return false;
  return dim_split_equal(&localise_sharding(l, k->operands[0])->dims[KEYS],
                         &localise_sharding(l, v->operands[0])->dims[KEYS]) &&
         (!a->has_bias || can_take(l, op, 3, 3)) &&
         (!a->has_pos || can_take(l, op, op->n_operands - 1, 1));
}

/* What belongs to the keys of part p, of a value that has it of all keys or the same for all. */
static value_id take(struct ring *r, const struct part_dims *p, uint32_t i, uint32_t d) {
  value_id x = localise_operand(r->l, r->op, i);
  dim has = value_type(r->l->from, r->op->operands[i])->dims[d];
  return dim_is_const_value(r->l->m->dims, has, 1) ? x : part_view_take(&r->l->b, p, x, d);
}

/* With the keys that the rank has after i steps: those of the rank i places before it. */
static void attend(struct ring *r, int64_t i, value_id out[2]) {
  struct localise *l = r->l;
  struct dim_table *t = l->m->dims;
  struct attention_attrs a = *OP_ATTRS(attention, r->op);
  struct part_dims p = r->part;
  value_id operands[6];
  uint32_t n = 3;
  if (i)
    p.part = dim_mod(t, dim_add(t, p.part, dim_const(t, p.parts - i)), dim_const(t, p.parts));
  operands[0] = localise_operand(l, r->op, 0);
  for (uint32_t k = 0; k < 2; k++)
    operands[1 + k] =
        part_view_cut(&l->b, r->pair[k], KEYS, dim_const(t, 0), part_dims_count(t, &p));
  if (a.has_bias) {
    operands[n] = take(r, &p, n, 3);
    n++;
  }
  if (a.has_pos) {
    operands[n] = localise_operand(l, r->op, n);
    operands[n + 1] = take(r, &p, n + 1, 1);
    n += 2;
  }
  a.lse = true;
  a.ring = false;
  op_id made = build_op(&l->b, OP_ATTENTION, operands, n, NULL, 0, &a);
  for (uint32_t k = 0; k < 2; k++)
    out[k] = op_result(l->b.function, made, k);
}

static void merge(struct ring *r, value_id sum[2], const value_id more[2]) {
  struct builder *b = &r->l->b;
  value_id both[2];
  for (uint32_t k = 0; k < 2; k++) {
    const int64_t first = 0;
    value_id entries[2] = {build_unsqueeze(b, sum[k], &first, 1),
                           build_unsqueeze(b, more[k], &first, 1)};
    both[k] = build_op1(b, OP_CONCAT, entries, 2, &(struct concat_attrs){.axis = 0});
  }
  op_id made =
      build_op(b, OP_COMBINE, both, 2, NULL, 0, &(struct combine_attrs){PARTIAL_SOFTMAX, 0});
  for (uint32_t k = 0; k < 2; k++)
    sum[k] = op_result(b->function, made, k);
}

/* k and v of the rank before, this rank's to the one behind. */
static void pass_on(struct ring *r) {
  struct localise *l = r->l;
  int64_t n = r->part.parts;
  struct ints from = {ARENA_ARRAY(l->scratch, int64_t, (size_t)n), (uint32_t)n};
  int64_t *places = (int64_t *)from.data;
  for (int64_t i = 0; i < n; i++)
    places[i] = (i + n - 1) % n;
  op_id made = localise_exchange(l, &r->group, EXCHANGE_PERMUTE, PARTIAL_NONE, &from, r->pair, 2);
  for (uint32_t k = 0; k < 2; k++)
    r->pair[k] = op_result(l->b.function, made, k);
}

bool localise_ring(struct localise *l, const struct op *op) {
  struct ring r = {.l = l, .op = op};
  if (!can_go_round(l, op))
    return false;
  const struct op *gathers[2] = {gather_of(l, op, 1), gather_of(l, op, 2)};
  if (!localise_group(l, gathers[0], &r.group) ||
      !localise_nested(l, gathers[0], &r.group, gathers[0]->results[0], gathers[0]->operands[0],
                       KEYS, &r.part))
    return true;
  for (uint32_t k = 0; k < 2; k++)
    r.pair[k] = part_view_pad(&l->b, l->map[gathers[k]->operands[0]], KEYS,
                              part_dims_most(l->m->dims, &r.part));
  value_id sum[2], more[2];
  attend(&r, 0, sum);
  for (int64_t i = 1; i < r.part.parts && !l->b.failures; i++) {
    pass_on(&r);
    attend(&r, i, more);
    merge(&r, sum, more);
  }
  for (uint32_t k = 0; k < op->n_results; k++)
    localise_set(l, op, k, sum[k]);
  return true;
}
