/* SPDX-License-Identifier: Apache-2.0 */
/* States of which each rank has a part: batch rows dealt among ranks stay where they are when there
 * are more, and are copied to the rank that has the other row. Then manifests whose sizes make no
 * sense, each of which is refused or does no harm. */
#include "tests/support/state_plan.h"

#include "runtime/session.h"

enum { RANKS = 4 };

/* Sizes of a state, as expressions. */
struct sizes {
  uint32_t batch, capacity, coord, other; /* other: of a symbol that nothing binds */
  uint32_t rows, held, inner;             /* of the state; made by a case */
  uint32_t bytes;                         /* of the value; 0: as the dims say */
};

typedef void (*sizes_fn)(struct engine_maker *e, struct sizes *s);

static uint32_t expr(struct engine_maker *e, enum expr_op op, uint32_t a, uint32_t b) {
  return manifest_build_expr(&e->build, op, a, b, 0);
}

/* tokens [batch, 1], length [batch], state [rows, held, inner] of which nothing is read. */
static void make_plan(struct engine_maker *e, uint32_t ranks, sizes_fn fn) {
  engine_maker_init(e, 0);
  struct manifest_build *b = &e->build;
  struct sizes s = {0};
  uint32_t axis = ranks > 1 ? manifest_build_axis(b, "a", ranks) : 0, one = engine_const(e, 1);
  uint32_t sc = manifest_build_symbol(b, "capacity", 1, 4096);
  s.batch = manifest_build_symbol_expr(b, manifest_build_symbol(b, "batch", 1, 64));
  s.capacity = manifest_build_symbol_expr(b, sc);
  s.other = manifest_build_symbol_expr(b, manifest_build_symbol(b, "other", 1, 64));
  s.coord = ranks > 1 ? manifest_build_expr(b, EXPR_COORD, axis, 0, ranks) : engine_const(e, 0);
  s.rows = s.batch;
  s.held = s.capacity;
  s.inner = one;
  fn(e, &s);
  uint32_t all = expr(e, EXPR_MUL, expr(e, EXPR_MUL, s.rows, s.held), s.inner);
  struct state_plan p =
      state_plan_begin(e, sc, s.batch, (uint32_t[]){s.rows, s.held, s.inner}, 3, all);
  if (s.bytes)
    b->manifest.values[p.past]->bytes = b->manifest.values[p.present]->bytes = s.bytes;
  engine_launch(e, p.block, KERNEL_add_i64, (uint32_t[]){p.past, p.past, p.present},
                (uint32_t[]){all, one}, all);
  engine_launch(e, p.block, KERNEL_add_i64, (uint32_t[]){p.tokens, p.length, p.y},
                (uint32_t[]){s.batch, one}, s.batch);
}

static sinter_status run(sinter_session *session, int64_t rows) {
  static int64_t tokens[64];
  sinter_tensor out = {0};
  sinter_tensor in = {
      .dtype = SINTER_I64, .rank = 2, .dims = {rows, 1}, .data = tokens, .bytes = sizeof tokens};
  return sinter_session_run(session, "decode", &in, 1, &out, 1);
}

/* ---- dealt rows ---- */

/* Row i on rank i mod 4, at place i / 4. */
static void dealt(struct engine_maker *e, struct sizes *s) {
  s->rows = expr(e, EXPR_FLOORDIV,
                 expr(e, EXPR_ADD, s->batch,
                      expr(e, EXPR_MUL, engine_plus(e, s->coord, -3), engine_const(e, -1))),
                 engine_const(e, 4));
}

static int64_t *element(sinter_session *session, int64_t row, int64_t at) {
  const struct rank_states *x = &session->ranks[row % RANKS].states;
  return (int64_t *)(void *)x->buffers[0].data + row / RANKS * x->capacity + at;
}

static void rows_stay_on_their_ranks(void **state) {
  (void)state;
  struct fixture f;
  make_plan(&f.maker, RANKS, dealt);
  fixture_open(&f, 2);
  assert_ok(sinter_session_reserve(f.session, 5, 64));
  for (int64_t row = 0; row < 5; row++)
    for (int64_t i = 0; i < 64; i++)
      *element(f.session, row, i) = row * 1000 + i;
  /* More rows, then more room: what is there stays, the rest is zeros. */
  assert_ok(sinter_session_reserve(f.session, 11, 64));
  assert_ok(sinter_session_reserve(f.session, 11, 200));
  for (int64_t row = 0; row < 11; row++)
    for (int64_t i = 0; i < 256; i++)
      assert_int_equal(*element(f.session, row, i), row < 5 && i < 64 ? row * 1000 + i : 0);
  assert_ok(sinter_session_copy(f.session, 1, 10)); /* to another rank */
  assert_ok(sinter_session_copy(f.session, 4, 0));  /* on the same */
  assert_ok(sinter_session_copy(f.session, 2, 2));
  for (int64_t i = 0; i < 64; i++) {
    assert_int_equal(*element(f.session, 10, i), 1000 + i);
    assert_int_equal(*element(f.session, 0, i), 4000 + i);
    assert_int_equal(*element(f.session, 2, i), 2000 + i);
    assert_int_equal(*element(f.session, 6, i), 0);
  }
  /* A run of fewer rows writes the first ones only. */
  assert_ok(run(f.session, 2));
  for (int64_t i = 0; i < 64; i++) {
    assert_int_equal(*element(f.session, 0, i), 2 * (4000 + i));
    assert_int_equal(*element(f.session, 1, i), 2 * (1000 + i));
    assert_int_equal(*element(f.session, 2, i), 2000 + i);
    assert_int_equal(*element(f.session, 10, i), 1000 + i);
  }
  fixture_close(&f);
}

/* ---- sizes that make no sense ---- */

static void negative_rows(struct engine_maker *e, struct sizes *s) {
  s->rows = engine_plus(e, s->batch, -5);
}
static void shrinking_capacity(struct engine_maker *e, struct sizes *s) {
  s->held = expr(e, EXPR_ADD, engine_const(e, 100), engine_times(e, s->capacity, -1));
}
static void other_parts(struct engine_maker *e, struct sizes *s) {
  (void)e;
  s->inner = s->capacity;
}
static void unknown_rows(struct engine_maker *e, struct sizes *s) {
  (void)e;
  s->rows = s->other;
}
static void huge(struct engine_maker *e, struct sizes *s) {
  s->held = engine_times(e, s->capacity, INT64_C(1) << 50);
  s->inner = engine_const(e, INT64_C(1) << 40);
}
static void more_bytes(struct engine_maker *e, struct sizes *s) {
  s->bytes = engine_times(e, expr(e, EXPR_MUL, s->batch, s->capacity), 80);
}
static void squared(struct engine_maker *e, struct sizes *s) {
  s->rows = expr(e, EXPR_MUL, s->batch, s->batch);
}
static void fewer_for_more(struct engine_maker *e, struct sizes *s) {
  s->rows = expr(e, EXPR_ADD, engine_const(e, 9), engine_times(e, s->batch, -1));
}

/* Whatever is called on it, in this order, until one fails. */
static sinter_status everything(sinter_session *session) {
  sinter_status st = sinter_session_reserve(session, 2, 10);
  if (!st)
    st = run(session, 2);
  if (!st)
    st = sinter_session_reserve(session, 8, 100);
  if (!st)
    st = run(session, 8);
  if (!st)
    st = run(session, 1);
  for (int64_t i = 0; i < 8 && !st; i++)
    st = sinter_session_copy(session, i, 7 - i);
  return st;
}

static void senseless_sizes(void **state) {
  (void)state;
  static const struct {
    sizes_fn fn;
    const char *code; /* NULL: it does no harm */
  } cases[] = {{negative_rows, "E0611"}, {shrinking_capacity, "E0611"},
               {other_parts, "E0611"},   {unknown_rows, "E0612"},
               {huge, "E0611"},          {more_bytes, "E0612"},
               {squared, NULL},          {fewer_for_more, NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct fixture f;
    make_plan(&f.maker, RANKS, cases[i].fn);
    fixture_open(&f, 2);
    sinter_status st = everything(f.session);
    const char *code = st ? sinter_last_error_code() : "none";
    if (cases[i].code && (!st || strcmp(code, cases[i].code)))
      fail_msg("case %zu: wanted %s, found %s: %s", i, cases[i].code, code, sinter_last_error());
    fixture_close(&f);
  }
}

/* On one rank a state has the batch rows of the tokens. */
static void one_rank_has_all_rows(void **state) {
  (void)state;
  struct engine_maker e;
  size_t n;
  sinter_engine *engine = NULL;
  make_plan(&e, 1, squared);
  uint8_t *bytes = engine_maker_bytes(&e, &n);
  assert_error(sinter_engine_open_memory(bytes, n, NULL, &engine), SINTER_INVALID, "E0507",
               "state 0 has other batch rows than the tokens");
  free(bytes);
  engine_maker_deinit(&e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rows_stay_on_their_ranks),
      cmocka_unit_test(senseless_sizes),
      cmocka_unit_test(one_rank_has_all_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
