/* SPDX-License-Identifier: Apache-2.0 */
/* Every factor of every primitive: operands sliced as the factor says, the op evaluated per rank,
 * results put together by the factor's rule, against the op that was not split. Equality is exact:
 * on small integers in the typed mode (attention on one-hot scores), on anything in the field. */
#include "tests/ir/eval_fixture.h"

#include "base/hash.h"
#include "ir/factor.h"
#include "ir/field.h"
#include "ir/rank_merge.h"
#include "ir/shard_index.h"

#define MAX_INPUTS 8

struct instance {
  struct fixture x;
  struct tensor *inputs[MAX_INPUTS];
  uint32_t n_inputs;
  uint64_t seed, state; /* of the random numbers */
  uint32_t splits;      /* that were tried */
};

static void instance_init(struct instance *s, uint64_t seed) {
  memset(s, 0, sizeof *s);
  fixture_init(&s->x);
  s->seed = s->state = seed;
}

static int64_t below(struct instance *s, int64_t n) {
  s->state = hash_combine(s->state, 1);
  return (int64_t)(s->state >> 8) % n;
}

/* A parameter of integers in [lo, hi]. */
static value_id input(struct instance *s, enum dtype dtype, const int64_t *dims, size_t rank,
                      int64_t lo, int64_t hi) {
  dim d[IR_MAX_RANK];
  struct tensor *t = tensor_create(&s->x.arena, dtype, dims, (uint32_t)rank);
  for (size_t i = 0; i < rank; i++)
    d[i] = k(&s->x, dims[i]);
  for (int64_t i = 0; i < t->count; i++) {
    int64_t v = lo + below(s, hi - lo + 1);
    if (dtype_is_float(dtype))
      t->f64[i] = (double)v;
    else
      t->i64[i] = v;
  }
  s->inputs[s->n_inputs++] = t;
  return param(&s->x, dtype, d, rank);
}
#define FLOATS(s, ...) input(s, DTYPE_F32, SHAPE(__VA_ARGS__), -2, 2)

/* Floats as elements of the field. */
static struct tensor *as_mode(struct instance *s, enum interp_mode mode, const struct tensor *t) {
  struct tensor *copy = tensor_create(&s->x.arena, t->dtype, t->dims, t->rank);
  for (int64_t i = 0; i < t->count; i++)
    copy->i64[i] =
        mode == INTERP_FIELD && dtype_is_float(t->dtype) ? field_from_f64(t->f64[i]) : t->i64[i];
  return copy;
}

static void expect_equal(const struct instance *s, enum interp_mode mode, const struct op *op,
                         const struct factor *x, const struct tensor *want,
                         const struct tensor *have) {
  (void)s;
  for (int64_t i = 0; i < want->count; i++) {
    bool floats = mode != INTERP_FIELD && dtype_is_float(want->dtype);
    if (floats ? want->f64[i] == have->f64[i] : want->i64[i] == have->i64[i])
      continue;
    fail_msg("%s, factor %s %u: element %lld is %lld (%g), not %lld (%g)", op_infos[op->kind].name,
             x->name, x->index, (long long)i, (long long)have->i64[i], have->f64[i],
             (long long)want->i64[i], want->f64[i]);
  }
}

static sharding_id shard_by(struct instance *s, const struct factor_map *map, uint32_t rank,
                            int64_t extent, int64_t n, enum split_order order, int64_t block,
                            bool *possible) {
  struct sharding sharding = {.rank = rank};
  if (map->dim == FACTOR_WHOLE)
    return 0;
  if (!factor_dim_split(map, extent, &(struct axis_ref){0, 0, 0}, 1, n, order, block,
                        &sharding.dims[map->dim])) {
    *possible = false;
    return 0;
  }
  return module_add_sharding(s->x.m, &sharding);
}

/* Gives operands and results the shardings of a split. */
static bool shard_values(struct instance *s, const struct op *op, const struct factor *x,
                         int64_t extent, int64_t n, enum split_order order, int64_t block) {
  bool possible = true;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    struct type *type = &s->x.f->values.data[op->operands[i]].type;
    type->sharding = shard_by(s, &x->operands[i], type->rank, extent, n, order, block, &possible);
  }
  for (uint32_t i = 0; i < op->n_results; i++) {
    struct type *type = &s->x.f->values.data[op->results[i]].type;
    type->sharding = shard_by(s, &x->results[i], type->rank, extent, n, order, block, &possible);
  }
  return possible;
}

static const struct sharding *sharding_of(const struct instance *s, value_id v) {
  static const struct sharding none;
  sharding_id id = value_type(s->x.f, v)->sharding;
  return id ? s->x.m->shardings.data[id] : &none;
}

static void run_rank(struct instance *s, enum interp_mode mode, const struct mesh *mesh,
                     int64_t rank, struct tensor *const *whole, struct tensor **out) {
  struct interp in;
  struct interp_rank place = {.mesh = mesh, .coords = &rank};
  struct tensor *local[MAX_INPUTS];
  interp_init(&in, s->x.f, mode, &s->x.arena, &s->x.diags);
  in.rank = &place;
  assert_int_equal(interp_bind_inputs(&in, whole), STATUS_OK);
  for (uint32_t i = 0; i < s->n_inputs; i++) {
    value_id v = s->x.f->regions.data[0].params.data[i];
    local[i] = shard_take(&s->x.arena, mesh, sharding_of(s, v), &rank, whole[i]);
  }
  status st = interp_region(&in, 0, local, out);
  if (st)
    print_diags(&s->x);
  assert_int_equal(st, STATUS_OK);
  interp_deinit(&in);
}

static void check_split(struct instance *s, enum interp_mode mode, const struct op *op,
                        const struct factor *x, int64_t n, struct tensor *const *whole,
                        struct tensor *const *want) {
  struct mesh mesh = {.n_axes = 1, .axes = {{"x", n}}};
  struct tensor *parts[8][2] = {{0}}, *merged[2];
  for (int64_t r = 0; r < n; r++)
    run_rank(s, mode, &mesh, r, whole, parts[r]);
  if (x->kind == FACTOR_CONTRACTED) {
    uint32_t axis = op->kind == OP_TOPK ? (uint32_t)OP_ATTRS(topk, op)->axis : 0;
    assert_int_equal(partial_tuple(x->partial), op->n_results);
    assert_true(rank_merge(mode, x->partial, axis, (struct tensor *const(*)[2])parts, (uint32_t)n,
                           &s->x.arena, merged));
    for (uint32_t i = 0; i < op->n_results; i++)
      expect_equal(s, mode, op, x, want[i], merged[i]);
    return;
  }
  for (uint32_t i = 0; i < op->n_results; i++) {
    struct tensor *t = tensor_create(&s->x.arena, want[i]->dtype, want[i]->dims, want[i]->rank);
    for (int64_t r = 0; r < n; r++)
      assert_true(shard_put(&mesh, sharding_of(s, op->results[i]), &r, parts[r][i], t));
    expect_equal(s, mode, op, x, want[i], t);
  }
}

static void check_mode(struct instance *s, enum interp_mode mode, op_id id) {
  static const int64_t ranks[] = {2, 3, 4, 8};
  struct factor_list list = {0};
  struct tensor *want[2], *whole[MAX_INPUTS];
  const struct op *op = function_op(s->x.f, id);
  for (uint32_t i = 0; i < s->n_inputs; i++)
    whole[i] = as_mode(s, mode, s->inputs[i]);
  assert_int_equal(interp_run(s->x.f, mode, whole, &s->x.arena, &s->x.diags, want), STATUS_OK);
  factors_of(s->x.f, op, &s->x.arena, &list);
  for (uint32_t i = 0; i < list.factors.len; i++) {
    const struct factor *x = &list.factors.data[i];
    int64_t extent;
    assert_true(dim_is_const(s->x.t, x->extent, &extent));
    assert_ptr_equal(factor_find(&list, x->name, x->index), x);
    for (uint32_t r = 0; r < 4; r++)
      for (int order = SPLIT_BLOCK; order <= SPLIT_INTERLEAVED; order++) {
        if (!shard_values(s, op, x, extent, ranks[r], (enum split_order)order, 1 + below(s, 2)))
          continue;
        check_split(s, mode, op, x, ranks[r], whole, want);
        s->splits++;
      }
  }
  for (uint32_t v = 1; v < s->x.f->values.len; v++)
    s->x.f->values.data[v].type.sharding = 0;
  vec_deinit(&list.factors);
}

/* Builds the op, and checks that it has so many factors. */
static void check_op(struct instance *s, enum op_kind kind, const value_id *operands, uint32_t n,
                     const void *attrs, uint32_t n_factors) {
  op_id id = give_op(&s->x, kind, operands, n, attrs);
  struct factor_list list = {0};
  factors_of(s->x.f, function_op(s->x.f, id), &s->x.arena, &list);
  if (list.factors.len != n_factors)
    fail_msg("%s has %u factors, not %u", op_infos[kind].name, list.factors.len, n_factors);
  vec_deinit(&list.factors);
  check_mode(s, INTERP_TYPED, id);
  check_mode(s, INTERP_FIELD, id);
  assert_true(n_factors == 0 || s->splits > 0);
  fixture_deinit(&s->x);
}

static bool instance_next(struct instance *s) {
  uint64_t seed = s->seed + 1;
  if (seed > 3)
    return false;
  instance_init(s, seed);
  return true;
}
#define EACH_SEED(s) for (struct instance s = {.seed = 0}; instance_next(&s);)

static void test_data(void **state) {
  (void)state;
  EACH_SEED(s) {
    struct type type = type_make(DTYPE_I64, (dim[]){k(&s.x, 5), k(&s.x, 9)}, 2);
    check_op(&s, OP_IOTA, NULL, 0, &(struct iota_attrs){&type, 1}, 2);
  }
  EACH_SEED(s) {
    struct type type = type_make(DTYPE_F32, (dim[]){k(&s.x, 5), k(&s.x, 4), k(&s.x, 3)}, 3);
    check_op(&s, OP_RANDOM, NULL, 0, &(struct random_attrs){&type, RANDOM_KIND_UNIFORM, 7}, 3);
  }
  EACH_SEED(s) {
    double values[20];
    for (int i = 0; i < 20; i++)
      values[i] = i;
    value_id c = f32(&s.x, SHAPE(4, 5), values);
    constant_id id = OP_ATTRS(const, value_def(s.x.f, c))->value;
    check_op(&s, OP_CONST, NULL, 0, &(struct const_attrs){id}, 2);
  }
  EACH_SEED(s)
  check_op(&s, OP_DIMS, NULL, 0, &(struct dims_attrs){DIMS(k(&s.x, 4), k(&s.x, 2))}, 0);
}

static void test_map(void **state) {
  (void)state;
  EACH_SEED(s) {
    struct body_builder b;
    body_init(&b, 2);
    uint32_t x = body_arg(&b, 0, DTYPE_F32), y = body_arg(&b, 1, DTYPE_F32);
    body_op(&b, SCALAR_EXP, body_op(&b, SCALAR_MUL, x, body_op(&b, SCALAR_ADD, x, y, 0), 0), 0, 0);
    struct map_attrs a = {body_finish(&b, s.x.m)};
    value_id v[] = {FLOATS(&s, 6, 1, 5), FLOATS(&s, 6, 7, 1)};
    check_op(&s, OP_MAP, v, 2, &a, 3);
  }
}

static void test_views(void **state) {
  (void)state;
  EACH_SEED(s) {
    value_id v = FLOATS(&s, 4, 5, 6);
    check_op(&s, OP_TRANSPOSE, &v, 1, &(struct transpose_attrs){INTS(2, 0, 1)}, 3);
  }
  EACH_SEED(s) {
    value_id v = FLOATS(&s, 4, 1, 6);
    struct broadcast_attrs a = {DIMS(k(&s.x, 4), k(&s.x, 5), k(&s.x, 6))};
    check_op(&s, OP_BROADCAST, &v, 1, &a, 3);
  }
  EACH_SEED(s) {
    value_id v = FLOATS(&s, 7, 9);
    struct slice_attrs a = {DIMS(k(&s.x, 0), k(&s.x, 8)), DIMS(k(&s.x, 7), k(&s.x, 3)),
                            INTS(1, -2)};
    check_op(&s, OP_SLICE, &v, 1, &a, 1);
  }
  EACH_SEED(s) {
    value_id v[] = {FLOATS(&s, 7, 4), input(&s, DTYPE_F32, SCALAR_SHAPE, 1, 9)};
    struct pad_attrs a = {DIMS(k(&s.x, 0), k(&s.x, 2)), DIMS(k(&s.x, 0), k(&s.x, 1)), INTS(0, 1)};
    check_op(&s, OP_PAD, v, 2, &a, 1);
  }
  EACH_SEED(s) {
    value_id v[] = {FLOATS(&s, 5, 2, 6), FLOATS(&s, 5, 3, 6)};
    check_op(&s, OP_CONCAT, v, 2, &(struct concat_attrs){1}, 2);
  }
  EACH_SEED(s) {
    value_id v = input(&s, DTYPE_I32, SHAPE(5, 3), -9, 9);
    check_op(&s, OP_BITCAST, &v, 1, &(struct bitcast_attrs){DTYPE_U32}, 2);
  }
}

static void test_reshape(void **state) {
  (void)state;
  EACH_SEED(s) { /* heads apart: whole heads move */
    value_id v = FLOATS(&s, 3, 5, 24);
    struct reshape_attrs a = {DIMS(k(&s.x, 3), k(&s.x, 5), k(&s.x, 6), k(&s.x, 4))};
    check_op(&s, OP_RESHAPE, &v, 1, &a, 3);
  }
  EACH_SEED(s) { /* rows of the batch together */
    value_id v = FLOATS(&s, 5, 3, 4);
    check_op(&s, OP_RESHAPE, &v, 1, &(struct reshape_attrs){DIMS(k(&s.x, 15), k(&s.x, 4))}, 2);
  }
  EACH_SEED(s) { /* kv heads and their groups; a dim of 1 */
    value_id v = FLOATS(&s, 8, 3);
    struct reshape_attrs a = {DIMS(k(&s.x, 1), k(&s.x, 4), k(&s.x, 2), k(&s.x, 3))};
    check_op(&s, OP_RESHAPE, &v, 1, &a, 2);
  }
  EACH_SEED(s) { /* a common factor of 2 */
    value_id v = FLOATS(&s, 6, 10);
    check_op(&s, OP_RESHAPE, &v, 1, &(struct reshape_attrs){DIMS(k(&s.x, 4), k(&s.x, 15))}, 1);
  }
}

static void test_reduce(void **state) {
  (void)state;
  static const enum combiner kinds[] = {COMBINER_SUM, COMBINER_PROD,   COMBINER_MAX,
                                        COMBINER_MIN, COMBINER_ARGMAX, COMBINER_ARGMIN};
  for (uint32_t i = 0; i < 6; i++) {
    EACH_SEED(s) {
      value_id v = FLOATS(&s, 5, 9, 3);
      check_op(&s, OP_REDUCE, &v, 1, &(struct reduce_attrs){INTS(1), kinds[i], false}, 3);
    }
    EACH_SEED(s) {
      value_id v = input(&s, DTYPE_I32, SHAPE(4, 6), -2, 2);
      check_op(&s, OP_REDUCE, &v, 1, &(struct reduce_attrs){INTS(0), kinds[i], false}, 2);
    }
  }
  EACH_SEED(s) {
    value_id v = FLOATS(&s, 4, 5);
    check_op(&s, OP_REDUCE, &v, 1, &(struct reduce_attrs){INTS(0, 1), COMBINER_SUM, false}, 2);
  }
  EACH_SEED(s) {
    value_id v = FLOATS(&s, 4, 5);
    check_op(&s, OP_REDUCE, &v, 1, &(struct reduce_attrs){INTS(1), COMBINER_ARGMAX, true}, 1);
  }
}

static void test_topk(void **state) {
  (void)state;
  for (int descending = 0; descending < 2; descending++)
    for (int64_t count = 1; count < 6; count += 2)
      EACH_SEED(s) {
        value_id v = FLOATS(&s, 3, 9, 2);
        struct topk_attrs a = {1, k(&s.x, count), descending};
        check_op(&s, OP_TOPK, &v, 1, &a, 3);
      }
}

static void test_scan_scatter_window(void **state) {
  (void)state;
  EACH_SEED(s) {
    value_id v = FLOATS(&s, 4, 5, 3);
    check_op(&s, OP_SCAN, &v, 1, &(struct scan_attrs){1, COMBINER_SUM, true, false}, 2);
  }
  EACH_SEED(s) {
    value_id v[] = {FLOATS(&s, 4, 6, 3), FLOATS(&s, 5, 4, 3), input(&s, DTYPE_I64, SHAPE(5), 0, 5)};
    check_op(&s, OP_SCATTER, v, 3, &(struct scatter_attrs){INTS(1), COMBINER_SUM}, 2);
  }
  EACH_SEED(s) {
    value_id v = FLOATS(&s, 3, 4, 7);
    struct window_attrs a = {COMBINER_MAX,
                             INTS(1, 1, 3),
                             INTS(1, 1, 2),
                             INTS(1, 1, 1),
                             DIMS(k(&s.x, 0), k(&s.x, 0), k(&s.x, 1)),
                             DIMS(k(&s.x, 0), k(&s.x, 0), k(&s.x, 1))};
    check_op(&s, OP_WINDOW, &v, 1, &a, 2);
  }
}

static void test_update(void **state) {
  (void)state;
  EACH_SEED(s) {
    value_id v[] = {FLOATS(&s, 3, 4, 9, 2), FLOATS(&s, 3, 4, 3, 2),
                    input(&s, DTYPE_I64, SHAPE(3), 0, 6)};
    check_op(&s, OP_UPDATE, v, 3, &(struct update_attrs){2, false}, 4);
  }
  EACH_SEED(s) {
    value_id v[] = {FLOATS(&s, 2, 11), FLOATS(&s, 2, 5), input(&s, DTYPE_I64, SHAPE(2), 0, 6),
                    input(&s, DTYPE_I64, SHAPE(2), 0, 5)};
    check_op(&s, OP_UPDATE, v, 4, &(struct update_attrs){1, false}, 2);
  }
}

static void test_gather(void **state) {
  (void)state;
  EACH_SEED(s) {
    value_id v[] = {FLOATS(&s, 9, 4), input(&s, DTYPE_I64, SHAPE(3, 5), 0, 8)};
    check_op(&s, OP_GATHER, v, 2, &(struct gather_attrs){INTS(0), OUT_OF_RANGE_ERROR}, 4);
  }
  for (int mode = OUT_OF_RANGE_CLAMP; mode <= OUT_OF_RANGE_FILL; mode++)
    EACH_SEED(s) {
      value_id v[] = {FLOATS(&s, 5, 3, 4), input(&s, DTYPE_I64, SHAPE(6, 1), 0, 7),
                      input(&s, DTYPE_I64, SHAPE(1, 2), 0, 5)};
      check_op(&s, OP_GATHER, v, 3, &(struct gather_attrs){INTS(0, 2), (enum out_of_range)mode}, 5);
    }
}

static void test_contract_conv(void **state) {
  (void)state;
  EACH_SEED(s) {
    value_id v[] = {FLOATS(&s, 4, 5, 9), FLOATS(&s, 9, 4, 7)};
    struct contract_attrs a = {INTS(0), INTS(1), INTS(2), INTS(0), DTYPE_F32, false};
    check_op(&s, OP_CONTRACT, v, 2, &a, 4);
  }
  EACH_SEED(s) {
    value_id v[] = {input(&s, DTYPE_I8, SHAPE(5, 6), -9, 9),
                    input(&s, DTYPE_U8, SHAPE(6, 3), 0, 9)};
    struct contract_attrs a = {NO_INTS, NO_INTS, INTS(1), INTS(0), DTYPE_I32, false};
    check_op(&s, OP_CONTRACT, v, 2, &a, 3);
  }
  for (int64_t groups = 1; groups < 5; groups++)
    EACH_SEED(s) {
      int64_t in = 12 / groups;
      value_id v[] = {FLOATS(&s, 3, 12, 6), FLOATS(&s, 4 * groups, in, 3)};
      struct conv_attrs a = {INTS(2),   INTS(1), DIMS(k(&s.x, 1)), DIMS(k(&s.x, 1)), groups,
                             DTYPE_F32, false};
      check_op(&s, OP_CONV, v, 2, &a, groups > 1 ? 4 : 3);
    }
}

/* Keys are distinct unit vectors, each query is one of them: one weight is 1, the others 0. */
static void one_hot(struct instance *s, struct tensor *q, struct tensor *keys) {
  int64_t d = keys->dims[3];
  for (int64_t i = 0; i < keys->count; i++)
    keys->f64[i] = i % d == i / d % keys->dims[2];
  for (int64_t row = 0; row < q->count / d; row++) {
    int64_t hot = below(s, keys->dims[2]);
    for (int64_t c = 0; c < d; c++)
      q->f64[row * d + c] = c == hot;
  }
}

static void check_attention(bool causal, int64_t window, bool bias, bool pos, uint64_t seed,
                            int64_t groups, int64_t keys, uint32_t n_factors) {
  struct instance s;
  instance_init(&s, seed);
  value_id v[6] = {FLOATS(&s, 3, 8, 5, 9), FLOATS(&s, 3, groups, keys, 9),
                   FLOATS(&s, 3, groups, keys, 4)};
  uint32_t n = 3;
  bool plain = !causal && !window && !bias;
  if (plain)
    one_hot(&s, s.inputs[0], s.inputs[1]);
  if (bias)
    v[n++] = FLOATS(&s, 3, 8, 1, keys);
  if (pos) {
    v[n++] = input(&s, DTYPE_I64, SHAPE(1, 5), 0, 9);
    v[n++] = input(&s, DTYPE_I64, SHAPE(3, keys), 0, 9);
  }
  struct attention_attrs a = {
      plain ? 512 : 0.5, bias ? 2 : 0, causal, window, bias, pos, true, 0, false};
  op_id id = give_op(&s.x, OP_ATTENTION, v, n, &a);
  struct factor_list list = {0};
  factors_of(s.x.f, function_op(s.x.f, id), &s.x.arena, &list);
  assert_int_equal(list.factors.len, n_factors);
  vec_deinit(&list.factors);
  if (plain)
    check_mode(&s, INTERP_TYPED, id);
  check_mode(&s, INTERP_FIELD, id);
  assert_true(s.splits > 0);
  fixture_deinit(&s.x);
}

static void test_attention(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed < 3; seed++)
    for (int64_t groups = 1; groups <= 8; groups *= 2) {
      check_attention(false, 0, false, false, seed, groups, 7, 6);
      check_attention(true, 0, false, false, seed, groups, 7, 4); /* no positions: whole */
      check_attention(true, 0, true, true, seed, groups, 7, 6);
      check_attention(true, 3, false, true, seed, groups, 3, 6); /* fewer keys than ranks */
    }
}

static void test_no_factors(void **state) {
  (void)state;
  EACH_SEED(s) {
    value_id v = FLOATS(&s, 4, 3);
    check_op(&s, OP_NONZERO, &v, 1, NULL, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_data),
                                     cmocka_unit_test(test_map),
                                     cmocka_unit_test(test_views),
                                     cmocka_unit_test(test_reshape),
                                     cmocka_unit_test(test_reduce),
                                     cmocka_unit_test(test_topk),
                                     cmocka_unit_test(test_scan_scatter_window),
                                     cmocka_unit_test(test_update),
                                     cmocka_unit_test(test_gather),
                                     cmocka_unit_test(test_contract_conv),
                                     cmocka_unit_test(test_attention),
                                     cmocka_unit_test(test_no_factors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
