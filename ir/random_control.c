/* SPDX-License-Identifier: Apache-2.0 */
/* Random steps: if, loop, fused. Their regions are short chains of maps. */
#include "ir/random_build.h"

/* Enters a region: what is built goes there, and values made inside are candidates only inside. */
struct inside {
  region_id outer;
  uint32_t values;
};

static struct inside enter(struct random_gen *g, region_id r) {
  struct inside saved = {g->b.region, g->values.len};
  g->b.region = r;
  return saved;
}

static void leave(struct random_gen *g, struct inside saved) {
  g->b.region = saved.outer;
  g->values.len = saved.values;
}

/* A map of x that keeps its dtype: the random body is cast back. */
static value_id same_type_map(struct random_gen *g, value_id x) {
  enum dtype dtype = value_type(g->f, x)->dtype;
  value_id y = build_map(&g->b, &x, 1, random_body(g, &dtype, 1));
  return build_cast(&g->b, y, dtype);
}

static void give(struct random_gen *g, region_id r, value_id v) {
  vec_push(&g->f->regions.data[r].results, v);
}

/* A condition that the shape of x decides. */
static value_id shape_condition(struct random_gen *g, value_id x) {
  static const enum scalar_op relations[] = {SCALAR_EQ, SCALAR_NE, SCALAR_LT, SCALAR_GE};
  const struct type *type = value_type(g->f, x);
  dim d = type->dims[random_range(g, 0, (int64_t)type->rank - 1)];
  value_id size = build_reshape(&g->b, build_dims(&g->b, &d, 1), NULL, 0);
  return build_binary_i64(&g->b, relations[random_range(g, 0, 3)], size, random_range(g, 1, 4));
}

static void step_if(struct random_gen *g) {
  struct type flag = type_make(DTYPE_BOOL, NULL, 0);
  value_id x = random_pick(g, NULL), c = random_value_of(g, &flag);
  if (x == VALUE_NONE)
    return;
  struct type type = *value_type(g->f, x);
  type.sharding = 0;
  if (type.rank && random_chance(g, 50))
    c = shape_condition(g, x);
  region_id regions[2];
  for (int i = 0; i < 2; i++) {
    regions[i] = region_create(g->f);
    struct inside saved = enter(g, regions[i]);
    value_id y = same_type_map(g, x);
    give(g, regions[i], y);
    give(g, regions[i], random_chance(g, 50) ? same_type_map(g, y) : x);
    leave(g, saved);
  }
  struct if_attrs attrs = {.types = {(struct type[]){type, type}, 2}};
  op_id op = build_op(&g->b, OP_IF, &c, 1, regions, 2, &attrs);
  random_keep(g, op_result(g->f, op, 0));
  random_keep(g, op_result(g->f, op, 1));
}

static void step_loop(struct random_gen *g) {
  value_id x = random_pick(g, NULL);
  if (x == VALUE_NONE || value_type(g->f, x)->rank > 3)
    return;
  struct type type = *value_type(g->f, x), index = type_make(DTYPE_I64, NULL, 0);
  dim trip = dim_fresh(g->t, "trip", 0, 3);
  value_id operands[3];
  bool endless = random_chance(g, 30); /* but for its condition */
  operands[0] = build_scalar_i64(&g->b, DTYPE_I64, endless ? -1 : random_range(g, 0, 3));
  operands[1] = build_scalar_i64(&g->b, DTYPE_BOOL, random_chance(g, 90));
  operands[2] = x;
  region_id r = region_create(g->f);
  value_id iteration = region_add_param(g->f, r, &index, NULL);
  value_id carried = region_add_param(g->f, r, &type, NULL);
  struct inside saved = enter(g, r);
  value_id next = same_type_map(g, carried);
  give(g, r,
       endless ? build_binary_i64(&g->b, SCALAR_LT, iteration, random_range(g, 0, 2))
               : build_scalar_i64(&g->b, DTYPE_BOOL, 1));
  give(g, r, next);
  give(g, r, next);
  leave(g, saved);
  struct type stacked = type;
  stacked.rank = type.rank + 1;
  stacked.dims[0] = trip;
  for (uint32_t i = 0; i < type.rank; i++)
    stacked.dims[i + 1] = type.dims[i];
  struct loop_attrs attrs = {
      .types = {(struct type[]){type, stacked}, 2}, .trip = trip, .carried = 1};
  op_id op = build_op(&g->b, OP_LOOP, operands, 3, &r, 1, &attrs);
  random_keep(g, op_result(g->f, op, 0));
  random_keep(g, op_result(g->f, op, 1));
}

static void step_fused(struct random_gen *g) {
  value_id x = random_pick(g, NULL);
  if (x == VALUE_NONE)
    return;
  struct type type = *value_type(g->f, x);
  value_id operands[2] = {x, random_value_of(g, &type)};
  region_id r = region_create(g->f);
  value_id params[2];
  for (int i = 0; i < 2; i++)
    params[i] = region_add_param(g->f, r, &type, NULL);
  struct inside saved = enter(g, r);
  enum dtype dtypes[2] = {type.dtype, type.dtype};
  value_id y = build_map(&g->b, params, 2, random_body(g, dtypes, 2));
  value_id both[2] = {y, params[0]};
  dtypes[0] = value_type(g->f, y)->dtype;
  give(g, r, build_map(&g->b, both, 2, random_body(g, dtypes, 2)));
  leave(g, saved);
  struct fused_attrs attrs = {.root = ROOT_KIND_POINTWISE};
  random_keep(g, op_result(g->f, build_op(&g->b, OP_FUSED, operands, 2, &r, 1, &attrs), 0));
}

void random_step_control(struct random_gen *g, enum op_kind kind) {
  if (kind == OP_IF)
    step_if(g);
  else if (kind == OP_LOOP)
    step_loop(g);
  else
    step_fused(g);
}
