/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exchanges between ranks: each kind, over whole axes and parts of them, in every type that can be
 * combined, against plain loops; in place; several values at once; bytes counted.
 */
#include "tests/support/engine_fixture.h"

#include "base/softfloat.h"
#include "runtime/comm/comm.h"
#include "runtime/session.h"

#include <math.h>
#include <pthread.h>

enum { MOST_RANKS = 8, MOST_BYTES = 1 << 14 };

struct axis {
  uint32_t axis, sub_size, sub_stride;
};

/* Every rank takes its part of x, exchanges it, and all ranks' results are gathered in y. */
struct exchange_case {
  uint32_t mesh[2]; /* 0: one axis */
  uint32_t n_group;
  struct axis group[2];
  Engine__ExchangeKind kind;
  Engine__Reduction reduction;
  enum dtype dtype;
  uint32_t elements; /* of a block */
  bool in_place;
};

struct running {
  struct fixture f;
  uint32_t ranks, n; /* in all, in a group */
  uint32_t src_blocks, dst_blocks;
  const struct plan *plan;
};

static uint32_t value_of_bytes(struct engine_maker *e, Engine__Storage storage, enum dtype dtype,
                               uint64_t elements) {
  return engine_value(e, storage, 0, 0, dtype, engine_const(e, (int64_t)elements), 0, 9);
}

/* An expression for the rank's number. */
static uint32_t rank_number(struct engine_maker *e, const uint32_t mesh[2]) {
  struct manifest_build *b = &e->build;
  uint32_t number = manifest_build_expr(b, EXPR_COORD, 0, 0, mesh[0]);
  if (!mesh[1])
    return number;
  number = manifest_build_expr(b, EXPR_MUL, number, engine_const(e, mesh[1]), 0);
  return manifest_build_expr(b, EXPR_ADD, number, manifest_build_expr(b, EXPR_COORD, 1, 0, mesh[1]),
                             0);
}

static void start(struct running *r, const struct exchange_case *c) {
  struct engine_maker *e = &r->f.maker;
  struct manifest_build *b = &e->build;
  engine_maker_init(e, 1);
  r->ranks = c->mesh[0] * (c->mesh[1] ? c->mesh[1] : 1);
  r->n = 1;
  manifest_build_axis(b, "a", c->mesh[0]);
  if (c->mesh[1])
    manifest_build_axis(b, "b", c->mesh[1]);
  for (uint32_t i = 0; i < c->n_group; i++)
    r->n *= c->group[i].sub_size ? c->group[i].sub_size : c->mesh[c->group[i].axis];
  bool from_n = c->kind == ENGINE__EXCHANGE_KIND__REDUCE_SCATTER ||
                c->kind == ENGINE__EXCHANGE_KIND__ALL_TO_ALL,
       to_n = c->kind == ENGINE__EXCHANGE_KIND__ALL_GATHER ||
              c->kind == ENGINE__EXCHANGE_KIND__ALL_TO_ALL;
  r->src_blocks = from_n ? r->n : 1, r->dst_blocks = to_n ? r->n : 1;
  uint64_t src_n = (uint64_t)r->src_blocks * c->elements,
           dst_n = (uint64_t)r->dst_blocks * c->elements;
  uint32_t size = dtype_unpacked_bytes(c->dtype);
  uint32_t entry = manifest_build_entry(b, "main");
  uint32_t x = engine_input(e, entry, "x", c->dtype, engine_const(e, (int64_t)(r->ranks * src_n)));
  uint32_t y =
      engine_output(e, entry, 0, "y", c->dtype, engine_const(e, (int64_t)(r->ranks * dst_n)));
  uint32_t part = value_of_bytes(e, ENGINE__STORAGE__ALIAS, c->dtype, src_n);
  b->manifest.values[part]->alias_of = x;
  b->manifest.values[part]->offset = manifest_build_expr(
      b, EXPR_MUL, rank_number(e, c->mesh), engine_const(e, (int64_t)(src_n * size)), 0);
  uint32_t result = value_of_bytes(e, ENGINE__STORAGE__ARENA, c->dtype, dst_n);
  uint32_t block = manifest_build_block(b);
  manifest_build_variant(b, entry, block);
  manifest_build_step_layout(b, block);
  if (c->in_place) {
    Engine__Copy *copy = manifest_build_step_copy(b, block);
    copy->dst = result, copy->src = part, copy->bytes = engine_const(e, (int64_t)(src_n * size));
  }
  Engine__Exchange *ex = manifest_build_step_exchange(b, block);
  ex->kind = c->kind, ex->reduction = c->reduction;
  for (uint32_t i = 0; i < c->n_group; i++)
    manifest_build_exchange_axis(b, ex, c->group[i].axis, c->group[i].sub_size,
                                 c->group[i].sub_stride);
  manifest_build_exchange_part(b, ex, c->in_place ? result : part, result,
                               engine_const(e, c->elements));
  if (c->kind == ENGINE__EXCHANGE_KIND__PERMUTE) {
    uint32_t from[MOST_RANKS];
    for (uint32_t i = 0; i < r->n; i++)
      from[i] = (i + 1) % r->n;
    manifest_build_exchange_from(b, ex, from, r->n);
  }
  Engine__Exchange *all = manifest_build_step_exchange(b, block);
  all->kind = ENGINE__EXCHANGE_KIND__ALL_GATHER;
  for (uint32_t i = 0; i < b->manifest.n_mesh; i++)
    manifest_build_exchange_axis(b, all, i, 0, 0);
  manifest_build_exchange_part(b, all, result, y, engine_const(e, (int64_t)dst_n));
  fixture_open(&r->f, 0);
  r->plan = &r->f.engine->plan;
}

/* --- What is expected --- */

static double load(enum dtype dtype, const uint8_t *at) {
  uint16_t half = 0;
  unsigned unused;
  union {
    uint8_t bytes[8];
    double f64;
    float f32;
    int64_t i64;
  } u = {0};
  memcpy(u.bytes, at, dtype_unpacked_bytes(dtype));
  memcpy(&half, at, dtype_unpacked_bytes(dtype) < 2 ? 1 : 2);
  switch (dtype) {
  case DTYPE_F64: return u.f64;
  case DTYPE_F32: return u.f32;
  case DTYPE_F16: return softfloat_decode(SOFTFLOAT_F16, half);
  case DTYPE_BF16: return softfloat_decode(SOFTFLOAT_BF16, half);
  default:
    if (!dtype_is_signed(dtype))
      return (double)(uint64_t)u.i64;
    unused = 64 - 8 * dtype_unpacked_bytes(dtype);
    return (double)((int64_t)((uint64_t)u.i64 << unused) >> unused);
  }
}

static void store(enum dtype dtype, uint8_t *at, double x) {
  float f32 = (float)x;
  int64_t i64 = dtype_is_float(dtype) ? 0 : (int64_t)x;
  uint16_t half;
  switch (dtype) {
  case DTYPE_F64: memcpy(at, &x, 8); break;
  case DTYPE_F32: memcpy(at, &f32, 4); break;
  case DTYPE_F16:
  case DTYPE_BF16:
    half = softfloat_encode(dtype == DTYPE_F16 ? SOFTFLOAT_F16 : SOFTFLOAT_BF16, x, false,
                            SOFTFLOAT_ROUND_NEAREST);
    memcpy(at, &half, 2);
    break;
  default: memcpy(at, &i64, dtype_unpacked_bytes(dtype));
  }
}

static double combine(enum dtype dtype, Engine__Reduction reduction, double x, double y) {
  double z = reduction == ENGINE__REDUCTION__MAX   ? (isnan(x)            ? x
                                                      : isnan(y) || y > x ? y
                                                                          : x)
             : reduction == ENGINE__REDUCTION__MIN ? (isnan(x)            ? x
                                                      : isnan(y) || y < x ? y
                                                                          : x)
             : reduction == ENGINE__REDUCTION__SUM ? x + y
                                                   : x * y;
  return dtype_is_float(dtype) && dtype != DTYPE_F64 ? (double)(float)z : z;
}

static void expect(const struct running *r, const struct exchange_case *c, const uint8_t *x,
                   uint8_t *y) {
  const struct plan_exchange *ex = &r->plan->exchanges[0];
  const struct plan_group *group = &r->plan->groups[ex->group];
  uint32_t size = dtype_unpacked_bytes(c->dtype), block = c->elements * size;
  uint32_t src_bytes = block * r->src_blocks, dst_bytes = block * r->dst_blocks;
  for (uint32_t rank = 0; rank < r->ranks; rank++) {
    uint32_t place = plan_group_place(r->plan, group, rank);
    uint8_t *out = y + rank * dst_bytes;
    const uint8_t *of[MOST_RANKS];
    for (uint32_t q = 0; q < r->n; q++)
      of[q] = x + plan_group_rank(r->plan, group, rank, q) * src_bytes;
    bool scatter = c->kind == ENGINE__EXCHANGE_KIND__REDUCE_SCATTER;
    for (uint32_t i = 0;
         i < c->elements && (scatter || c->kind == ENGINE__EXCHANGE_KIND__ALL_REDUCE); i++) {
      uint32_t at = (scatter ? place * block : 0) + i * size;
      double acc = load(c->dtype, of[0] + at);
      for (uint32_t q = 1; q < r->n; q++)
        acc = combine(c->dtype, c->reduction, acc, load(c->dtype, of[q] + at));
      store(c->dtype, out + i * size, acc);
    }
    for (uint32_t q = 0; q < r->n; q++) {
      if (c->kind == ENGINE__EXCHANGE_KIND__ALL_GATHER)
        memcpy(out + q * block, of[q], block);
      if (c->kind == ENGINE__EXCHANGE_KIND__ALL_TO_ALL)
        memcpy(out + q * block, of[q] + place * block, block);
    }
    if (c->kind == ENGINE__EXCHANGE_KIND__PERMUTE)
      memcpy(out, of[(place + 1) % r->n], block);
  }
}

static uint64_t seed = 1;

static uint64_t random_u64(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  return seed ^= seed << 17;
}

/* Small numbers, whose products stay in i8; of floats, some with many digits, and NaN. */
static void fill(const struct exchange_case *c, uint8_t *x, uint64_t n) {
  for (uint64_t i = 0; i < n; i++) {
    double value = (double)(int64_t)(random_u64() % 3);
    if (dtype_is_float(c->dtype))
      value = random_u64() % 50 ? ((double)(random_u64() % 2001) - 1000) / 300.0 : (double)NAN;
    if (c->dtype == DTYPE_BOOL)
      value = (double)(random_u64() % 2);
    if (dtype_is_int(c->dtype) && dtype_is_signed(c->dtype) && random_u64() % 2)
      value = -value;
    store(c->dtype, x + i * dtype_unpacked_bytes(c->dtype), value);
  }
}

/* NaNs of any payload are equal. GPUs round sums and products of 16-bit floats in their own way. */
static bool same(enum dtype dtype, const uint8_t *a, const uint8_t *b, uint64_t n) {
  uint32_t size = dtype_unpacked_bytes(dtype);
  bool half = dtype_is_float(dtype) && size == 2 && strcmp(fixture_driver, "cpu") != 0;
  for (uint64_t i = 0; i < n; i++) {
    if (memcmp(a + i * size, b + i * size, size) == 0)
      continue;
    double x = load(dtype, a + i * size), y = load(dtype, b + i * size);
    if (!(isnan(x) && isnan(y)) && !(half && fabs(x - y) <= 0x1p-7 * fabs(y)))
      return false;
  }
  return true;
}

static void try_case(const struct exchange_case *c) {
  static _Alignas(64) uint8_t x[MOST_BYTES * 8], wanted[MOST_BYTES * 8];
  struct running r;
  start(&r, c);
  uint64_t x_n = (uint64_t)r.ranks * r.src_blocks * c->elements,
           y_n = (uint64_t)r.ranks * r.dst_blocks * c->elements;
  uint32_t size = dtype_unpacked_bytes(c->dtype);
  assert_true(x_n * size <= sizeof x && y_n * size <= sizeof wanted);
  for (int run = 0; run < 3; run++) {
    fill(c, x, x_n);
    sinter_tensor input = engine_tensor((sinter_dtype)dtype_infos[c->dtype].onnx, (int64_t)x_n, x,
                                        sizeof x),
                  output = {0};
    assert_ok(sinter_session_run(r.f.session, "main", &input, 1, &output, 1));
    expect(&r, c, x, wanted);
    if (!same(c->dtype, output.data, wanted, y_n))
      fail_msg("kind %d, reduction %d, %s, %u ranks in groups of %u", c->kind, c->reduction,
               dtype_name(c->dtype), r.ranks, r.n);
  }
  /* Bytes: what the plan says, and for the gather the formula of the textbooks. */
  sinter_exchange counted = {.struct_size = sizeof counted};
  assert_int_equal(sinter_session_exchange_count(r.f.session), 2);
  assert_ok(sinter_session_get_exchange(r.f.session, 0, &counted));
  assert_int_equal(counted.times, 1);
  assert_int_equal(counted.ranks, r.n);
  assert_int_equal(counted.bytes,
                   r.ranks / r.n *
                       comm_group_bytes(r.plan, &r.plan->exchanges[0], c->elements * size));
  assert_int_equal(counted.bytes, counted.expected);
  assert_ok(sinter_session_get_exchange(r.f.session, 1, &counted));
  assert_int_equal(counted.bytes, counted.expected);
  assert_string_equal(counted.kind, "all_gather");
  assert_int_equal(counted.bytes, r.ranks * (r.ranks - 1) * r.dst_blocks * c->elements * size);
  fixture_close(&r.f);
}

static void every_kind_over_every_group(void **state) {
  (void)state;
  static const struct exchange_case meshes[] = {
      {.mesh = {2}, .n_group = 1},
      {.mesh = {3}, .n_group = 1},
      {.mesh = {8}, .n_group = 1},
      {.mesh = {8}, .n_group = 1, .group = {{0, 2, 2}}},
      {.mesh = {2, 4}, .n_group = 1, .group = {{1, 0, 0}}},
      {.mesh = {2, 4}, .n_group = 1, .group = {{0, 0, 0}}},
      {.mesh = {2, 4}, .n_group = 2, .group = {{1, 2, 1}, {0, 0, 0}}},
      {.mesh = {2, 2}, .n_group = 0},
  };
  for (size_t i = 0; i < sizeof meshes / sizeof meshes[0]; i++)
    for (int kind = 0; kind <= ENGINE__EXCHANGE_KIND__PERMUTE; kind++)
      for (uint32_t elements = 0; elements <= 64; elements = elements ? elements * 4 : 1) {
        struct exchange_case c = meshes[i];
        c.kind = (Engine__ExchangeKind)kind;
        c.dtype = DTYPE_F32;
        c.elements = elements == 16 ? 13 : elements;
        try_case(&c);
      }
}

static void every_type_and_reduction(void **state) {
  (void)state;
  static const enum dtype types[] = {DTYPE_F64, DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I64,
                                     DTYPE_I32, DTYPE_I16, DTYPE_I8,  DTYPE_U64,  DTYPE_U32,
                                     DTYPE_U16, DTYPE_U8,  DTYPE_BOOL};
  for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
    for (int reduction = 0; reduction <= ENGINE__REDUCTION__PROD; reduction++) {
      if (types[t] == DTYPE_BOOL && reduction != ENGINE__REDUCTION__MAX &&
          reduction != ENGINE__REDUCTION__MIN)
        continue;
      struct exchange_case c = {.mesh = {4},
                                .n_group = 1,
                                .reduction = (Engine__Reduction)reduction,
                                .dtype = types[t],
                                .elements = 1031};
      try_case(&c); /* longer than a segment, and no multiple of anything */
      c.in_place = true;
      try_case(&c);
      c.in_place = false;
      c.kind = ENGINE__EXCHANGE_KIND__REDUCE_SCATTER;
      c.elements = 65;
      try_case(&c);
    }
}

/* Sums whose value depends on the order: that of the places, on every rank. */
static void order_of_sums(void **state) {
  (void)state;
  struct exchange_case c = {.mesh = {4}, .n_group = 1, .dtype = DTYPE_F32, .elements = 5};
  struct running r;
  start(&r, &c);
  float x[4][5];
  const float of_rank[] = {1e8f, 1, -1e8f, 1};
  for (int rank = 0; rank < 4; rank++)
    for (int i = 0; i < 5; i++)
      x[rank][i] = of_rank[rank];
  sinter_tensor input = engine_tensor(SINTER_F32, 20, x, sizeof x), output = {0};
  assert_ok(sinter_session_run(r.f.session, "main", &input, 1, &output, 1));
  for (int i = 0; i < 20; i++)
    assert_true(((float *)output.data)[i] == 1); /* (1e8 + 1 = 1e8) - 1e8 + 1 */
  fixture_close(&r.f);
}

/* Values of several types in one message, and one that overlaps, which is refused. */
static void several_values(void **state) {
  (void)state;
  struct fixture f;
  struct engine_maker *e = &f.maker;
  struct manifest_build *b = &e->build;
  engine_maker_init(e, 1);
  manifest_build_axis(b, "tp", 2);
  uint32_t one = engine_const(e, 1), three = engine_const(e, 3);
  uint32_t entry = manifest_build_entry(b, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_F32, three),
           i = engine_input(e, entry, "i", DTYPE_I64, one);
  uint32_t ys = engine_output(e, entry, 0, "y", DTYPE_F32, engine_const(e, 6)),
           is = engine_output(e, entry, 0, "j", DTYPE_I64, engine_const(e, 2));
  uint32_t block = manifest_build_block(b);
  manifest_build_variant(b, entry, block);
  manifest_build_step_layout(b, block);
  Engine__Exchange *ex = manifest_build_step_exchange(b, block);
  ex->kind = ENGINE__EXCHANGE_KIND__ALL_GATHER;
  manifest_build_exchange_axis(b, ex, 0, 0, 0);
  manifest_build_exchange_part(b, ex, x, ys, three);
  manifest_build_exchange_part(b, ex, i, is, one);
  fixture_open(&f, 0);
  float x_data[] = {1, 2, 3};
  int64_t i_data[] = {7};
  sinter_tensor inputs[] = {engine_tensor(SINTER_F32, 3, x_data, sizeof x_data),
                            engine_tensor(SINTER_I64, 1, i_data, sizeof i_data)},
                outputs[2] = {0};
  assert_ok(sinter_session_run(f.session, "main", inputs, 2, outputs, 2));
  for (int k = 0; k < 6; k++)
    assert_true(((float *)outputs[0].data)[k] == x_data[k % 3]);
  assert_int_equal(((int64_t *)outputs[1].data)[1], 7);
  sinter_exchange counted = {.struct_size = sizeof counted};
  assert_ok(sinter_session_get_exchange(f.session, 0, &counted));
  assert_int_equal(counted.bytes, 2 * (3 * 4 + 8));
  assert_error(sinter_session_get_exchange(f.session, 1, &counted), SINTER_USAGE, "E0618",
               "number");
  fixture_close(&f);
}

static void overlap_is_refused(void **state) {
  (void)state;
  struct fixture f;
  struct engine_maker *e = &f.maker;
  struct manifest_build *b = &e->build;
  engine_maker_init(e, 1);
  manifest_build_axis(b, "tp", 2);
  uint32_t two = engine_const(e, 2);
  uint32_t entry = manifest_build_entry(b, "main");
  uint32_t y = engine_output(e, entry, 0, "y", DTYPE_F32, two);
  uint32_t part =
      engine_value(e, ENGINE__STORAGE__ALIAS, 0, 0, DTYPE_F32, engine_const(e, 1), 0, 0);
  b->manifest.values[part]->alias_of = y;
  b->manifest.values[part]->offset = engine_const(e, 4);
  uint32_t block = manifest_build_block(b);
  manifest_build_variant(b, entry, block);
  manifest_build_step_layout(b, block);
  Engine__Exchange *ex = manifest_build_step_exchange(b, block);
  ex->kind = ENGINE__EXCHANGE_KIND__ALL_GATHER;
  manifest_build_exchange_axis(b, ex, 0, 0, 0);
  manifest_build_exchange_part(b, ex, part, y, engine_const(e, 1));
  fixture_open(&f, 0);
  sinter_tensor output = {0};
  assert_error(sinter_session_run(f.session, "main", NULL, 0, &output, 1), SINTER_INTERNAL, "E0612",
               "overlap");
  fixture_close(&f);
}

/* Each rank sees its own part of a constant. */
static void constants_in_parts(void **state) {
  (void)state;
  static float parts[2][16];
  for (int i = 0; i < 32; i++)
    parts[i / 16][i % 16] = (float)i;
  for (int wrong = 0; wrong < 2; wrong++) {
    struct fixture f;
    struct engine_maker *e = &f.maker;
    struct manifest_build *b = &e->build;
    engine_maker_init(e, 1);
    uint32_t axis = manifest_build_axis(b, "tp", 2), n = engine_const(e, 16);
    uint32_t c = engine_constant(e, "w", DTYPE_F32, parts, 32);
    b->manifest.constants[0]->parts = 2;
    b->manifest.values[c]->dims[0] = n;
    b->manifest.values[c]->bytes = engine_const(e, 64);
    b->manifest.values[c]->part =
        engine_plus(e, manifest_build_expr(b, EXPR_COORD, axis, 0, 2), wrong);
    uint32_t entry = manifest_build_entry(b, "main");
    uint32_t y = engine_output(e, entry, 0, "y", DTYPE_F32, engine_const(e, 32));
    uint32_t block = manifest_build_block(b);
    manifest_build_variant(b, entry, block);
    manifest_build_step_layout(b, block);
    Engine__Exchange *ex = manifest_build_step_exchange(b, block);
    ex->kind = ENGINE__EXCHANGE_KIND__ALL_GATHER;
    manifest_build_exchange_axis(b, ex, axis, 0, 0);
    manifest_build_exchange_part(b, ex, c, y, n);
    if (!wrong) {
      fixture_open(&f, 0);
      sinter_tensor output = {0};
      assert_ok(sinter_session_run(f.session, "main", NULL, 0, &output, 1));
      assert_memory_equal(output.data, parts, sizeof parts);
      fixture_close(&f);
      continue;
    }
    f.bytes = engine_maker_bytes(e, &f.n);
    f.engine = engine_maker_open(f.bytes, f.n);
    f.session = NULL;
    sinter_session_options options = {.struct_size = sizeof options, .devices = "cpu:2"};
    assert_error(sinter_session_create(f.engine, &options, &f.session), SINTER_INTERNAL, "E0612",
                 "constant 'w' has no part 2 of its 2");
    fixture_close(&f);
  }
}

/* --- What ranks tell each other beside exchanges --- */

struct teller {
  struct comm *comm;
  uint32_t rank;
  pthread_t thread;
  bool good;
};

static void *tell(void *argument) {
  struct teller *t = argument;
  for (uint32_t i = 0; i < 200; i++) {
    uint64_t mine[3] = {t->rank, i, 7}, all[4][3];
    uint32_t least;
    t->good &= host_comm.gather(t->comm, t->rank, mine, sizeof mine, all) == STATUS_OK;
    for (uint32_t k = 0; k < 4; k++)
      t->good &= all[k][0] == k && all[k][1] == i && all[k][2] == 7;
    t->good &= host_comm.vote(t->comm, t->rank, (t->rank + i) % 4 + i, &least) == STATUS_OK;
    t->good &= least == i;
  }
  return NULL;
}

static void gathering_and_voting(void **state) {
  (void)state;
  struct exchange_case c = {.mesh = {4}, .n_group = 1, .dtype = DTYPE_F32, .elements = 5};
  struct running r;
  start(&r, &c);
  struct teller tellers[4];
  struct comm *comm;
  assert_ok(
      host_comm.create(&(struct comm_options){.plan = r.plan, .deadline_ns = 5000000000u}, &comm));
  for (uint32_t i = 0; i < 4; i++) {
    tellers[i] = (struct teller){.comm = comm, .rank = i, .good = true};
    assert_int_equal(pthread_create(&tellers[i].thread, NULL, tell, &tellers[i]), 0);
  }
  for (uint32_t i = 0; i < 4; i++) {
    pthread_join(tellers[i].thread, NULL);
    assert_true(tellers[i].good);
  }
  host_comm.destroy(comm);
  fixture_close(&r.f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_kind_over_every_group),
      cmocka_unit_test(every_type_and_reduction),
      cmocka_unit_test(order_of_sums),
      cmocka_unit_test(several_values),
      cmocka_unit_test(overlap_is_refused),
      cmocka_unit_test(constants_in_parts),
      cmocka_unit_test(gathering_and_voting),
  };
  int failed = cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
  fixture_driver = "sim"; /* the same by NCCL, or, of what NCCL has not, by way of the host */
  return failed + cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
