/* SPDX-License-Identifier: Apache-2.0 */
/* Checking what a plan says of several ranks: the mesh, constants in parts, exchanges. */
#include "runtime/plan_load.h"

#include "runtime/engine_format.h"

/* --- The mesh --- */

status loader_mesh(struct plan_loader *l) {
  const Engine__Manifest *m = l->m;
  uint64_t ranks = 1;
  if (m->n_mesh > ENGINE_MAX_AXES)
    return loader_fail(l, "a mesh of %zu axes", m->n_mesh);
  for (size_t i = 0; i < m->n_mesh; i++) {
    status s = loader_index(l, "string", m->mesh[i]->name, m->n_strings);
    if (!s && (!m->mesh[i]->size || m->mesh[i]->size > ENGINE_MAX_RANKS))
      s = loader_fail(l, "axis %zu has %u ranks", i, m->mesh[i]->size);
    if (s)
      return s;
    ranks *= m->mesh[i]->size;
    if (ranks > ENGINE_MAX_RANKS)
      return loader_fail(l, "a mesh of more than %u ranks", ENGINE_MAX_RANKS);
  }
  l->plan->ranks = (uint32_t)ranks;
  if ((m->ranks ? m->ranks : 1) != ranks)
    return loader_fail(l, "%u ranks for a mesh of %u", m->ranks, l->plan->ranks);
  return STATUS_OK;
}

status loader_constant_parts(struct plan_loader *l, uint32_t constant) {
  const Engine__Constant *c = l->m->constants[constant];
  if (c->parts > 1 && (c->parts > ENGINE_MAX_RANKS || c->bytes % c->parts ||
                       c->bytes / c->parts % ENGINE_WEIGHT_ALIGNMENT))
    return loader_fail(l, "constant %u is of %u parts in %llu B", constant, c->parts,
                       (unsigned long long)c->bytes);
  return STATUS_OK;
}

/* --- Groups --- */

/* Places along what a reference names, and the ranks along its axis from one to the next. */
static uint32_t ref_size(const struct plan *plan, const Engine__AxisRef *ref) {
  return ref->sub_size ? ref->sub_size : plan->manifest->mesh[ref->axis]->size;
}

static uint32_t ref_stride(const Engine__AxisRef *ref) {
  return ref->sub_size ? ref->sub_stride : 1;
}

static status check_ref(struct plan_loader *l, const Engine__AxisRef *ref) {
  status s = loader_index(l, "axis", ref->axis, l->m->n_mesh);
  if (s)
    return s;
  uint32_t size = l->m->mesh[ref->axis]->size;
  bool sound = ref->sub_size
                   ? ref->sub_stride && (uint64_t)ref->sub_size * ref->sub_stride <= size &&
                         size % (ref->sub_size * ref->sub_stride) == 0
                   : !ref->sub_stride;
  if (!sound)
    return loader_fail(l, "a part of %u places and stride %u of an axis of %u", ref->sub_size,
                       ref->sub_stride, size);
  return STATUS_OK;
}

/* Whether b lies within one place of a. */
static bool is_inner(const struct plan *plan, const Engine__AxisRef *a, const Engine__AxisRef *b) {
  return ref_stride(a) % (ref_size(plan, b) * ref_stride(b)) == 0;
}

static status check_refs(struct plan_loader *l, const Engine__Exchange *body) {
  if (body->n_group > ENGINE_MAX_AXES)
    return loader_fail(l, "a group along %zu axes", body->n_group);
  for (size_t i = 0; i < body->n_group; i++) {
    status s = check_ref(l, body->group[i]);
    if (s)
      return s;
    for (size_t k = 0; k < i; k++)
      if (body->group[k]->axis == body->group[i]->axis &&
          !is_inner(l->plan, body->group[k], body->group[i]) &&
          !is_inner(l->plan, body->group[i], body->group[k]))
        return loader_fail(l, "a group names a part of axis %u twice", body->group[i]->axis);
  }
  return STATUS_OK;
}

static bool same_refs(const struct plan *plan, const Engine__Exchange *a,
                      const Engine__Exchange *b) {
  if (a->n_group != b->n_group)
    return false;
  for (size_t i = 0; i < a->n_group; i++)
    if (a->group[i]->axis != b->group[i]->axis ||
        ref_size(plan, a->group[i]) != ref_size(plan, b->group[i]) ||
        ref_stride(a->group[i]) != ref_stride(b->group[i]))
      return false;
  return true;
}

static status find_group(struct plan_loader *l, const Engine__Exchange *body, uint32_t *out_group) {
  struct plan *plan = l->plan;
  for (uint32_t i = 0; i < plan->group_count; i++)
    if (same_refs(plan, plan->groups[i].first, body)) {
      *out_group = i;
      return STATUS_OK;
    }
  if (plan->group_count == ENGINE_MAX_GROUPS)
    return loader_fail(l, "more than %u groups", ENGINE_MAX_GROUPS);
  uint32_t size = 1;
  for (size_t i = 0; i < body->n_group; i++)
    size *= ref_size(plan, body->group[i]);
  *out_group = plan->group_count++;
  plan->groups[*out_group] = (struct plan_group){body, size};
  return STATUS_OK;
}

/* --- Exchanges --- */

status loader_count_exchanges(struct plan_loader *l) {
  struct plan *plan = l->plan;
  for (size_t b = 0; b < l->m->n_blocks; b++)
    for (size_t i = 0; i < l->m->blocks[b]->n_steps; i++)
      plan->exchange_count += l->m->blocks[b]->steps[i]->body_case == ENGINE__STEP__BODY_EXCHANGE;
  plan->exchanges = POOL_ARRAY(&plan->pool, struct plan_exchange, plan->exchange_count);
  plan->groups = POOL_ARRAY(&plan->pool, struct plan_group, ENGINE_MAX_GROUPS);
  return plan->exchanges && plan->groups ? STATUS_OK : STATUS_RESOURCES;
}

static bool reduces(const Engine__Exchange *body) {
  return body->kind == ENGINE__EXCHANGE_KIND__ALL_REDUCE ||
         body->kind == ENGINE__EXCHANGE_KIND__REDUCE_SCATTER;
}

/* Types that ranks combine. */
static bool can_reduce(enum dtype t, Engine__Reduction reduction) {
  if (t == DTYPE_BOOL)
    return reduction == ENGINE__REDUCTION__MAX || reduction == ENGINE__REDUCTION__MIN;
  return t == DTYPE_F64 || t == DTYPE_F32 || t == DTYPE_F16 || t == DTYPE_BF16 ||
         (dtype_is_int(t) && !dtype_is_sub_byte(t));
}

static status check_part(struct plan_loader *l, const Engine__Exchange *body,
                         const Engine__ExchangePart *part) {
  status s = loader_value(l, part->src);
  if (!s)
    s = loader_value(l, part->dst);
  if (!s)
    s = loader_expr(l, part->elements);
  if (s)
    return s;
  enum dtype t = (enum dtype)l->m->values[part->src]->dtype;
  if (l->m->values[part->dst]->dtype != t)
    return loader_fail(l, "values %u and %u are exchanged but are of two types", part->src,
                       part->dst);
  if (reduces(body) && !can_reduce(t, body->reduction))
    return loader_fail(l, "elements of type %s are combined by reduction %d", dtype_name(t),
                       body->reduction);
  return STATUS_OK;
}

/* A permutation of n places; `seen` is a bit per place. */
static status check_permutation(struct plan_loader *l, const Engine__Exchange *body, uint32_t n) {
  uint8_t seen[ENGINE_MAX_RANKS / 8] = {0};
  if (body->n_from != (body->kind == ENGINE__EXCHANGE_KIND__PERMUTE ? n : 0))
    return loader_fail(l, "a permutation of %zu places in a group of %u", body->n_from, n);
  for (size_t i = 0; i < body->n_from; i++) {
    uint32_t from = body->from[i];
    if (from >= n || seen[from / 8] >> from % 8 & 1)
      return loader_fail(l, "place %u is no part of a permutation of %u", from, n);
    seen[from / 8] |= (uint8_t)(1u << from % 8);
  }
  return STATUS_OK;
}

status loader_exchange(struct plan_loader *l, const Engine__Step *step,
                       const Engine__Exchange *body) {
  uint32_t group;
  if ((unsigned)body->kind > ENGINE__EXCHANGE_KIND__PERMUTE ||
      (unsigned)body->reduction > ENGINE__REDUCTION__PROD)
    return loader_fail(l, "an exchange of kind %d, reduction %d", body->kind, body->reduction);
  if (!body->n_parts || body->n_parts > ENGINE_MAX_PARTS)
    return loader_fail(l, "an exchange of %zu values", body->n_parts);
  status s = check_refs(l, body);
  if (!s)
    s = find_group(l, body, &group);
  if (!s)
    s = check_permutation(l, body, l->plan->groups[group].size);
  for (size_t i = 0; !s && i < body->n_parts; i++)
    s = check_part(l, body, body->parts[i]);
  if (!s)
    s = loader_index(l, "exchange", body->number, l->plan->exchange_count);
  if (s)
    return s;
  if (l->plan->exchanges[body->number].body)
    return loader_fail(l, "two exchanges have the number %u", body->number);
  l->plan->exchanges[body->number] = (struct plan_exchange){body, step, group};
  if (body->n_parts > l->plan->most_exchange_parts)
    l->plan->most_exchange_parts = (uint32_t)body->n_parts;
  return STATUS_OK;
}

/* --- Ranks and places --- */

/* Ranks from one place of an axis to the next. */
static uint32_t axis_stride(const struct plan *plan, uint32_t axis) {
  uint32_t stride = 1;
  for (size_t i = axis + 1; i < plan->manifest->n_mesh; i++)
    stride *= plan->manifest->mesh[i]->size;
  return stride;
}

uint32_t plan_coord(const struct plan *plan, uint32_t rank, uint32_t axis) {
  return rank / axis_stride(plan, axis) % plan->manifest->mesh[axis]->size;
}

static uint32_t ref_coord(const struct plan *plan, const Engine__AxisRef *ref, uint32_t rank) {
  return plan_coord(plan, rank, ref->axis) / ref_stride(ref) % ref_size(plan, ref);
}

uint32_t plan_group_place(const struct plan *plan, const struct plan_group *group, uint32_t rank) {
  uint32_t place = 0;
  for (size_t i = 0; i < group->first->n_group; i++) {
    const Engine__AxisRef *ref = group->first->group[i];
    place = place * ref_size(plan, ref) + ref_coord(plan, ref, rank);
  }
  return place;
}

uint32_t plan_group_rank(const struct plan *plan, const struct plan_group *group, uint32_t rank,
                         uint32_t place) {
  for (size_t i = group->first->n_group; i-- > 0;) {
    const Engine__AxisRef *ref = group->first->group[i];
    uint32_t size = ref_size(plan, ref), step = ref_stride(ref) * axis_stride(plan, ref->axis);
    rank = rank - ref_coord(plan, ref, rank) * step + place % size * step;
    place /= size;
  }
  return rank;
}
