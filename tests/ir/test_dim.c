/* SPDX-License-Identifier: Apache-2.0 */
/* Dims: the algebra by example, then random expressions against direct evaluation. SINTER_TEST_SEED
 * repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/str.h"
#include "ir/dim.h"

/* --- A reader for dim_print's grammar --- */

struct reader {
  struct dim_table *t;
  const char *p;
};

static dim read_expr(struct reader *r);

static void skip_spaces(struct reader *r) {
  while (*r->p == ' ') {
    r->p++;
  }
}

static bool eat(struct reader *r, const char *token) {
  skip_spaces(r);
  size_t n = strlen(token);
  if (strncmp(r->p, token, n) != 0) {
    return false;
  }
  r->p += n;
  return true;
}

static void must(struct reader *r, const char *token) {
  if (!eat(r, token)) {
    fail_msg("wanted '%s' at '%s'", token, r->p);
  }
}

static void read_name(struct reader *r, char *name) {
  skip_spaces(r);
  if (*r->p == '"') {
    for (r->p++; *r->p != '"'; r->p++) {
      if (*r->p == '\\' && r->p[1] == 'x') {
        char hex[3] = {r->p[2], r->p[3], 0};
        *name++ = (char)strtol(hex, NULL, 16);
        r->p += 3;
      } else {
        r->p += *r->p == '\\';
        *name++ = *r->p;
      }
    }
    r->p++;
  } else {
    size_t n = strspn(r->p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
    memcpy(name, r->p, n);
    name += n;
    r->p += n;
  }
  *name = '\0';
}

static dim read_unary(struct reader *r) {
  static const struct {
    const char *word;
    enum dim_kind kind;
  } calls[] = {{"min(", DIM_KIND_MIN}, {"max(", DIM_KIND_MAX}, {"exactdiv(", DIM_KIND_EXACTDIV}};
  char name[64], *end;
  skip_spaces(r);
  if (*r->p == '-' || (*r->p >= '0' && *r->p <= '9')) {
    long long value = strtoll(r->p, &end, 10);
    r->p = end;
    return dim_const(r->t, value);
  }
  if (eat(r, "(")) {
    dim inner = read_expr(r);
    must(r, ")");
    return inner;
  }
  for (size_t i = 0; i < 3; i++) {
    if (eat(r, calls[i].word)) {
      dim a = read_expr(r);
      must(r, ",");
      dim b = read_expr(r);
      must(r, ")");
      return dim_binary(r->t, calls[i].kind, a, b);
    }
  }
  if (eat(r, "coord(")) {
    read_name(r, name);
    must(r, ")");
    return dim_coord(r->t, name, 4);
  }
  read_name(r, name);
  return dim_symbol(r->t, name, INT64_MIN, INT64_MAX);
}

static dim read_term(struct reader *r) {
  dim a = read_unary(r);
  for (;;) {
    if (eat(r, "*")) {
      a = dim_mul(r->t, a, read_unary(r));
    } else if (eat(r, "floordiv ")) {
      a = dim_floordiv(r->t, a, read_unary(r));
    } else if (eat(r, "mod ")) {
      a = dim_mod(r->t, a, read_unary(r));
    } else {
      return a;
    }
  }
}

static dim read_expr(struct reader *r) {
  dim a = read_term(r);
  for (;;) {
    if (eat(r, "+")) {
      a = dim_add(r->t, a, read_term(r));
    } else if (eat(r, "-")) {
      a = dim_sub(r->t, a, read_term(r));
    } else {
      return a;
    }
  }
}

static dim parse(struct dim_table *t, const char *text) {
  struct reader r = {.t = t, .p = text};
  dim d = read_expr(&r);
  skip_spaces(&r);
  assert_string_equal(r.p, "");
  return d;
}

static void expect_text(struct dim_table *t, dim d, const char *wanted) {
  struct strbuf b = {0};
  dim_print(t, d, &b);
  assert_string_equal(b.data, wanted);
  strbuf_deinit(&b);
}

/* --- Examples --- */

/* a, b, n >= 1; z >= 0; s any; i in [0, 7]; j in [0, 7]. */
static struct dim_table *sample_table(void) {
  struct dim_table *t = dim_table_create();
  dim_symbol(t, "a", 1, INT64_MAX);
  dim_symbol(t, "b", 1, INT64_MAX);
  dim_symbol(t, "n", 1, 4096);
  dim_symbol(t, "z", 0, INT64_MAX);
  dim_symbol(t, "s", INT64_MIN, INT64_MAX);
  dim_symbol(t, "i", 0, 7);
  dim_symbol(t, "j", 0, 7);
  return t;
}

static void test_identities(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"a + b - a", "b"},
      {"2*(a + 1) - 2", "2*a"},
      {"b*a", "a*b"},
      {"(a + b)*(a - b)", "(a*a - b*b)"},
      {"a - a", "0"},
      {"a + b + 1 + a", "(2*a + b + 1)"},
      {"0 - a", "-1*a"},
      {"b - a", "(-1*a + b)"},
      {"exactdiv(a*b, b)", "a"},
      {"exactdiv(a*b*64, (a*8))", "8*b"},
      {"exactdiv(n*(a + b)*64, (a + b)*64)", "n"},
      {"exactdiv(a, 2)*2", "a"},
      {"exactdiv(a, 2) + exactdiv(a, 2)", "a"},
      {"exactdiv(a, b)*b*3", "3*a"},
      {"exactdiv(n, a + b)*(a + b)", "n"},
      {"exactdiv(exactdiv(a, 2), 3)", "exactdiv(a, 6)"},
      {"exactdiv(6*a, 4)", "(a + exactdiv(a, 2))"},
      {"exactdiv(a, 0)", "0"},
      {"(6*a) floordiv 3", "2*a"},
      {"(6*a + 5) floordiv 3", "(2*a + 1)"},
      {"(4*a + 1) mod 4", "1"},
      {"a floordiv 1", "a"},
      {"a mod 1", "0"},
      {"a floordiv 0", "0"},
      {"a mod 0", "0"},
      {"a floordiv 2 floordiv 3", "a floordiv 6"},
      {"(a + 1) floordiv 2 floordiv 3", "(a + 1) floordiv 6"},
      {"(a - 1) floordiv 2 + 1", "(a + 1) floordiv 2"},
      {"a floordiv -2", "(-1*a) floordiv 2"},
      {"-7 floordiv 2", "-4"},
      {"-7 mod 2", "1"},
      {"7 mod -2", "-1"},
      {"i mod 8", "i"},
      {"i floordiv 8", "0"},
      {"(8*a + i) floordiv 8", "a"},
      {"(8*a + i) mod 8", "i"},
      {"(64*a + 8*i + j) floordiv 64", "a"},
      {"(64*a + 8*i + j) mod 64", "(8*i + j)"},
      {"(8*a + i) floordiv 32", "a floordiv 4"},
      {"(8*a + i) mod 32", "(i + 8*(a mod 4))"},
      {"8*(a floordiv 8) + a mod 8", "a"},
      {"(a*b) mod b", "0"},
      {"(a*b) floordiv b", "a"},
      {"(a*b + z) floordiv b", "(a + (z floordiv b))"},
      {"(2*z) floordiv (2*b)", "z floordiv b"},
      {"(n*z) mod (n*b)", "n*(z mod b)"},
      {"z floordiv a floordiv b", "z floordiv (a*b)"},
      {"(z mod 4) mod 2", "z mod 2"},
      {"(z mod b) floordiv b", "0"},
      {"(z mod b) mod b", "z mod b"},
      {"s floordiv s", "s floordiv s"},
      {"(a*s) mod s", "0"},
      {"max(a, 1)", "a"},
      {"max(a, a)", "a"},
      {"max(z, 1)", "max(1, z)"},
      {"min(i, 9)", "i"},
      {"min(a, a + b)", "a"},
      {"min(a, a*b)", "a"},
      {"max(b, max(a, b))", "max(a, b)"},
      {"max(max(b, n), a)", "max(max(a, b), n)"},
      {"max(z, z floordiv 2)", "z"},
      {"coord(tp) mod 4", "coord(tp)"},
      {"(4*a + coord(tp)) floordiv 4", "a"},
      {"9223372036854775807 + 1", "?"},
      {"-9223372036854775808 floordiv -1", "-9223372036854775808 floordiv -1"},
  };
  int wrong = 0;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct dim_table *t = sample_table();
    struct strbuf text = {0};
    dim_print(t, parse(t, rows[i][0]), &text);
    if (strcmp(text.data, rows[i][1]) != 0) {
      print_error("%s gives %s, wanted %s\n", rows[i][0], text.data, rows[i][1]);
      wrong++;
    }
    strbuf_deinit(&text);
    dim_table_destroy(t);
  }
  assert_int_equal(wrong, 0);
}

static void test_symbols(void **state) {
  (void)state;
  struct dim_table *t = dim_table_create();
  dim a = dim_symbol(t, "a", 0, 100);
  uint32_t index = 9;
  assert_int_equal(dim_symbol(t, "a", 2, INT64_MAX), a);
  assert_true(dim_symbol_of(t, a, &index));
  assert_int_equal(index, 0);
  assert_int_equal(dim_symbol_lo(t, 0), 2);
  assert_int_equal(dim_symbol_hi(t, 0), 100);
  assert_int_equal(dim_symbol(t, "a", 200, 300), DIM_NONE);
  assert_int_equal(dim_symbol_hi(t, 0), 100);
  assert_int_equal(dim_symbol(t, "c", 2, 1), DIM_NONE);
  dim f = dim_fresh(t, "d", 1, 5), g = dim_fresh(t, "d", 1, 5);
  assert_int_not_equal(f, g);
  assert_int_equal(dim_symbol_count(t), 3);
  assert_true(dim_uses_symbol(t, dim_floordiv(t, dim_add(t, a, g), f), 2));
  assert_int_equal(dim_coord(t, "tp", 1), dim_const(t, 0));
  assert_int_equal(dim_coord(t, "tp", 0), DIM_NONE);
  dim odd = dim_symbol(t, "past \"len\"\n\\", 0, 5), word = dim_symbol(t, "mod", 0, 5);
  expect_text(t, odd, "\"past \\\"len\\\"\\x0A\\\\\"");
  expect_text(t, word, "\"mod\"");
  assert_int_equal(parse(t, "\"past \\\"len\\\"\\x0A\\\\\" + \"mod\""), dim_add(t, odd, word));
  dim_table_destroy(t);
}

static void test_narrowing(void **state) {
  (void)state;
  struct dim_table *t = dim_table_create();
  dim a = dim_symbol(t, "a", 0, INT64_MAX);
  dim m = dim_max(t, a, dim_const(t, 1));
  int64_t lo, hi;
  dim_bounds(t, m, &lo, &hi);
  assert_true(lo == 1 && hi == INT64_MAX);
  dim_symbol(t, "a", 3, 9);
  dim_bounds(t, m, &lo, &hi);
  assert_true(lo == 3 && hi == 9);
  assert_int_equal(dim_substitute(t, m, NULL), a);
  dim_table_destroy(t);
}

static void test_none(void **state) {
  (void)state;
  struct dim_table *t = sample_table();
  dim a = parse(t, "a"), bad[] = {DIM_NONE, 1u << 30};
  int64_t lo, hi, value = 5;
  for (size_t i = 0; i < 2; i++) {
    for (int kind = DIM_KIND_ADD; kind <= DIM_KIND_EXACTDIV; kind++) {
      assert_int_equal(dim_binary(t, (enum dim_kind)kind, a, bad[i]), DIM_NONE);
      assert_int_equal(dim_binary(t, (enum dim_kind)kind, bad[i], a), DIM_NONE);
    }
    dim_bounds(t, bad[i], &lo, &hi);
    assert_true(lo == INT64_MIN && hi == INT64_MAX);
    assert_false(dim_known_eq(t, bad[i], bad[i]) || dim_known_le(t, bad[i], a) ||
                 dim_known_lt(t, a, bad[i]) || dim_known_ne(t, a, bad[i]) ||
                 dim_known_divides(t, 1, bad[i]) || dim_known_positive(t, bad[i]));
    assert_false(dim_eval(t, bad[i], NULL, &value));
  }
  assert_int_equal(value, 5);
  assert_int_equal(dim_binary(t, DIM_KIND_SYMBOL, a, a), DIM_NONE);
  dim_table_destroy(t);
}

static void test_facts(void **state) {
  (void)state;
  struct dim_table *t = sample_table();
  assert_true(dim_known_le(t, parse(t, "a"), parse(t, "a*b")));
  assert_true(dim_known_lt(t, parse(t, "a"), parse(t, "a*b + 1")));
  assert_true(dim_known_le(t, parse(t, "z floordiv 3"), parse(t, "z")));
  assert_true(dim_known_le(t, parse(t, "3*(s floordiv 3)"), parse(t, "s")));
  assert_true(dim_known_lt(t, parse(t, "s"), parse(t, "3*(s floordiv 3) + 3")));
  assert_true(dim_known_le(t, parse(t, "s"), parse(t, "4*((s + 3) floordiv 4)")));
  assert_true(dim_known_le(t, parse(t, "min(9, a + z) - min(9, a)"), parse(t, "z")));
  assert_true(dim_known_le(t, parse(t, "max(9, a + z) - max(9, a)"), parse(t, "z")));
  assert_false(dim_known_le(t, parse(t, "z"), parse(t, "min(9, a + z) - min(9, a)")));
  assert_true(dim_known_le(t, parse(t, "s"), parse(t, "max(s, z)")));
  assert_true(dim_known_le(t, parse(t, "min(s, z)"), parse(t, "z")));
  assert_true(dim_known_lt(t, parse(t, "z mod b"), parse(t, "b")));
  assert_true(dim_known_ne(t, parse(t, "2*s"), parse(t, "4*z + 1")));
  assert_true(dim_known_ne(t, parse(t, "a"), parse(t, "0")));
  assert_true(dim_known_positive(t, parse(t, "a*b*n")));
  assert_false(dim_known_positive(t, parse(t, "z")));
  assert_false(dim_known_le(t, parse(t, "a"), parse(t, "b")));
  assert_true(dim_known_divides(t, 8, parse(t, "16*a + 8*s")));
  assert_true(dim_known_divides(t, 6, parse(t, "3*max(2*a, 4*b)")));
  assert_false(dim_known_divides(t, 8, parse(t, "16*a + 4*s")));
  assert_true(dim_known_divides(t, 0, parse(t, "0")));
  dim_table_destroy(t);
}

static void test_eval_overflow(void **state) {
  (void)state;
  struct dim_table *t = sample_table();
  int64_t values[7] = {INT64_MAX, INT64_MAX, 1, 0, INT64_MIN, 0, 0}, out = 0;
  assert_false(dim_eval(t, parse(t, "a*b"), values, &out));
  assert_false(dim_eval(t, parse(t, "a + b"), values, &out));
  assert_false(dim_eval(t, parse(t, "-1*s"), values, &out));
  assert_true(dim_eval(t, parse(t, "a*b*z"), values, &out));
  assert_int_equal(out, 0);
  assert_true(dim_eval(t, parse(t, "a + b + s"), values, &out));
  assert_true(out == INT64_MAX - 1);
  assert_false(dim_eval(t, parse(t, "exactdiv(a, 2)"), values, &out));
  assert_false(dim_eval(t, parse(t, "coord(tp)"), values, &out));
  int64_t place = 3;
  assert_true(dim_eval_at(t, parse(t, "coord(tp) + n"), values, &place, &out));
  assert_int_equal(out, 4);
  dim_table_destroy(t);
}

/* Expressions that would grow without end turn into DIM_NONE, quickly. */
static void test_growth(void **state) {
  (void)state;
  struct dim_table *t = sample_table();
  dim s = parse(t, "s"), z = parse(t, "z"), x = s;
  for (int i = 0; i < 3000; i++) {
    x = dim_min(t, dim_floordiv(t, dim_add(t, x, dim_mul(t, x, z)), dim_add(t, z, s)),
                dim_mod(t, s, x));
  }
  assert_int_equal(x, DIM_NONE);
  dim sum = dim_add(t, dim_add(t, parse(t, "a + b"), parse(t, "n + z")), parse(t, "s + i + j + 1"));
  dim power = dim_const(t, 1);
  for (int i = 0; i < 40; i++) {
    power = dim_mul(t, power, sum);
  }
  assert_int_equal(power, DIM_NONE);
  dim_table_destroy(t);
}

static void test_substitute(void **state) {
  (void)state;
  struct dim_table *t = sample_table();
  dim e = parse(t, "(a + b) floordiv 2 + max(n, z)*coord(tp)");
  dim by[7] = {0}, place = dim_const(t, 2);
  by[0] = parse(t, "b");
  by[2] = dim_const(t, 3);
  by[3] = dim_const(t, 5);
  expect_text(t, dim_substitute_at(t, e, by, &place), "(b + 10)");
  expect_text(t, dim_substitute(t, e, by), "(b + 5*coord(tp))");
  dim_table_destroy(t);
}

/* --- Random expressions --- */

static uint64_t rng_state;

static uint32_t rng(uint32_t n) {
  rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(rng_state >> 33) % n;
}

static int64_t rng_between(int64_t lo, int64_t hi) {
  return lo + (int64_t)rng((uint32_t)(hi - lo + 1));
}

#define SYMBOLS 6
#define CONSTANTS 10
#define POOL 60
#define SAMPLES 24

static const struct {
  const char *name;
  int64_t lo, hi, sample_lo, sample_hi;
} symbols[SYMBOLS] = {
    {"p", 1, INT64_MAX, 1, 9}, {"q", 1, INT64_MAX, 1, 9},          {"m", 0, 7, 0, 7},
    {"k", 2, 40, 2, 40},       {"v", INT64_MIN, INT64_MAX, -9, 9}, {"w", 0, INT64_MAX, 0, 30},
};

struct entry {
  enum dim_kind kind;
  int a, b;
  int64_t value;
  dim d;
};

/* The value by definition; false where a promise is broken or numbers get too large to compare. */
static bool direct(const struct entry *pool, int e, const int64_t *values, __int128 *out) {
  __int128 x, y;
  if (pool[e].kind == DIM_KIND_CONST || pool[e].kind == DIM_KIND_SYMBOL) {
    *out = pool[e].kind == DIM_KIND_CONST ? pool[e].value : values[pool[e].value];
    return true;
  }
  if (!direct(pool, pool[e].a, values, &x) || !direct(pool, pool[e].b, values, &y)) {
    return false;
  }
  __int128 quotient = y == 0 ? 0 : x / y - (x % y != 0 && (x < 0) != (y < 0));
  switch (pool[e].kind) {
  case DIM_KIND_ADD: *out = x + y; break;
  case DIM_KIND_MUL: *out = x * y; break;
  case DIM_KIND_FLOORDIV: *out = quotient; break;
  case DIM_KIND_MOD: *out = y == 0 ? 0 : x - quotient * y; break;
  case DIM_KIND_MIN: *out = x < y ? x : y; break;
  case DIM_KIND_MAX: *out = x > y ? x : y; break;
  default:
    *out = quotient;
    if (y == 0 || x % y != 0) {
      return false;
    }
    break;
  }
  return *out > -(1 << 30) && *out < (1 << 30);
}

static int push(struct dim_table *t, struct entry *pool, int *n, enum dim_kind kind, int a, int b) {
  pool[*n] = (struct entry){.kind = kind, .a = a, .b = b};
  pool[*n].d = dim_binary(t, kind, pool[a].d, pool[b].d);
  return (*n)++;
}

/* Shapes that the rules look for, and that chance alone would not bring together. */
static void push_related(struct dim_table *t, struct entry *pool, int *n) {
  int x = (int)rng((uint32_t)*n), c = SYMBOLS + (int)rng(CONSTANTS),
      k = SYMBOLS + (int)rng(CONSTANTS);
  int y = rng(2) ? c : (int)rng(SYMBOLS), small = rng(2) ? 2 : x, e;
  switch (rng(5)) {
  case 0: /* y·(x floordiv y) + x mod y */
    e = push(t, pool, n, DIM_KIND_FLOORDIV, x, y);
    e = push(t, pool, n, DIM_KIND_MUL, e, y);
    push(t, pool, n, DIM_KIND_ADD, e, push(t, pool, n, DIM_KIND_MOD, x, y));
    break;
  case 1: /* (x floordiv y + k) floordiv c */
    e = push(t, pool, n, DIM_KIND_FLOORDIV, x, y);
    push(t, pool, n, DIM_KIND_FLOORDIV, e, c);
    push(t, pool, n, DIM_KIND_FLOORDIV, push(t, pool, n, DIM_KIND_ADD, e, k), c);
    break;
  case 2: /* c·x + small, over k·c */
    e = push(t, pool, n, DIM_KIND_ADD, push(t, pool, n, DIM_KIND_MUL, c, x), small);
    c = push(t, pool, n, DIM_KIND_MUL, k, c);
    push(t, pool, n, DIM_KIND_FLOORDIV, e, c);
    push(t, pool, n, DIM_KIND_MOD, e, c);
    break;
  case 3: /* x against c·(x floordiv c) + k */
    e = push(t, pool, n, DIM_KIND_MUL, push(t, pool, n, DIM_KIND_FLOORDIV, x, c), c);
    e = push(t, pool, n, DIM_KIND_ADD, e, k);
    push(t, pool, n, DIM_KIND_MAX, e, x);
    push(t, pool, n, DIM_KIND_MIN, e, x);
    break;
  default: /* exactdiv(x·k, c)·c */
    e = push(t, pool, n, DIM_KIND_EXACTDIV, push(t, pool, n, DIM_KIND_MUL, x, k), y);
    push(t, pool, n, DIM_KIND_EXACTDIV, push(t, pool, n, DIM_KIND_MUL, e, k), c);
    push(t, pool, n, DIM_KIND_MUL, e, y);
    break;
  }
}

static void fill_pool(struct dim_table *t, struct entry *pool) {
  static const int64_t constants[CONSTANTS] = {1, 2, 3, 4, 6, 7, 8, -2, 0, 0};
  int n = 0;
  for (; n < SYMBOLS; n++) {
    pool[n] = (struct entry){.kind = DIM_KIND_SYMBOL, .value = n};
    pool[n].d = dim_symbol(t, symbols[n].name, symbols[n].lo, symbols[n].hi);
  }
  for (int i = 0; i < CONSTANTS; i++, n++) {
    pool[n] = (struct entry){.kind = DIM_KIND_CONST,
                             .value = constants[i] != 0 ? constants[i] : rng_between(-8, 24)};
    pool[n].d = dim_const(t, pool[n].value);
  }
  while (n < POOL) {
    if (n + 8 < POOL && rng(3) == 0) {
      push_related(t, pool, &n);
    } else {
      enum dim_kind kind = (enum dim_kind)rng_between(DIM_KIND_ADD, DIM_KIND_EXACTDIV);
      int a = (int)rng((uint32_t)n);
      push(t, pool, &n, kind, a, (int)rng((uint32_t)(rng(2) ? n : SYMBOLS + CONSTANTS)));
    }
  }
}

static void check_text(struct dim_table *t, struct dim_table *other, dim d) {
  struct strbuf text = {0}, again = {0};
  dim a, b;
  dim_print(t, d, &text);
  if (parse(t, text.data) != d) {
    fail_msg("reading changes %s", text.data);
  }
  if (dim_operands(t, d, &a, &b) && dim_binary(t, dim_kind(t, d), a, b) != d) {
    fail_msg("rebuilding changes %s", text.data);
  }
  dim_print(other, parse(other, text.data), &again);
  assert_string_equal(text.data, again.data);
  strbuf_deinit(&text);
  strbuf_deinit(&again);
}

static void check_values(struct dim_table *t, const struct entry *pool, const int64_t *values,
                         int *compared) {
  bool known[POOL];
  int64_t value[POOL];
  for (int e = 0; e < POOL; e++) {
    __int128 wanted = 0;
    int64_t got = 0, lo, hi;
    known[e] = pool[e].d != DIM_NONE && direct(pool, e, values, &wanted);
    value[e] = (int64_t)wanted;
    if (!known[e]) {
      continue;
    }
    /* An expanded product may overflow where the original does not; it must say so. */
    bool ok = dim_eval(t, pool[e].d, values, &got);
    dim_bounds(t, pool[e].d, &lo, &hi);
    if ((ok && got != value[e]) || value[e] < lo || value[e] > hi) {
      struct strbuf text = {0};
      dim_print(t, pool[e].d, &text);
      fail_msg("%s = %lld, wanted %lld in [%lld, %lld]", text.data, (long long)got,
               (long long)value[e], (long long)lo, (long long)hi);
    }
    *compared += ok;
  }
  for (int i = 0; i < POOL; i++) {
    int e = i, f = (int)rng((uint32_t)(rng(2) ? POOL : i + 1));
    f = rng(3) == 0 && e > 0 ? e - 1 : f;
    if (!known[e] || !known[f]) {
      continue;
    }
    dim a = pool[e].d, b = pool[f].d;
    int64_t x = value[e], y = value[f], k = rng_between(1, 12);
    assert_false(dim_known_eq(t, a, b) && x != y);
    assert_false(dim_known_ne(t, a, b) && x == y);
    assert_false(dim_known_le(t, a, b) && x > y);
    assert_false(dim_known_lt(t, a, b) && x >= y);
    assert_false(dim_known_divides(t, k, a) && x % k != 0);
    assert_false(dim_known_positive(t, a) && x < 1);
  }
}

static void test_random(void **state) {
  (void)state;
  const char *given = getenv("SINTER_TEST_SEED");
  uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 20240607;
  int compared = 0;
  printf("seed %llu\n", (unsigned long long)seed);
  for (uint64_t round = 0; round < 200; round++) {
    rng_state = seed + round * 0x9e3779b97f4a7c15u;
    struct dim_table *t = dim_table_create(), *other = dim_table_create();
    struct entry pool[POOL];
    fill_pool(t, pool);
    for (int i = SYMBOLS - 1; i >= 0; i--) {
      dim_symbol(other, symbols[i].name, symbols[i].lo, symbols[i].hi);
    }
    for (int e = 0; e < POOL; e++) {
      if (pool[e].d != DIM_NONE) {
        check_text(t, other, pool[e].d);
      }
    }
    for (int s = 0; s < SAMPLES; s++) {
      int64_t values[SYMBOLS];
      for (int i = 0; i < SYMBOLS; i++) {
        values[i] = rng_between(symbols[i].sample_lo, symbols[i].sample_hi);
      }
      check_values(t, pool, values, &compared);
    }
    dim_table_destroy(t);
    dim_table_destroy(other);
  }
  assert_true(compared > 200 * SAMPLES * POOL / 4);
}

/* --- The flat table --- */

struct flat {
  struct dim_table *t;
  dim rebuilt[4096];
};

static void rebuild_row(void *user, uint32_t row, const struct dim_row *c) {
  struct flat *f = user;
  assert_true(row < 4096);
  switch (c->kind) {
  case DIM_KIND_CONST: f->rebuilt[row] = dim_const(f->t, c->value); break;
  case DIM_KIND_SYMBOL: f->rebuilt[row] = dim_symbol(f->t, c->name, INT64_MIN, INT64_MAX); break;
  case DIM_KIND_COORD: f->rebuilt[row] = dim_coord(f->t, c->name, c->value); break;
  default:
    assert_true(c->lhs < row && c->rhs < row);
    f->rebuilt[row] = dim_binary(f->t, c->kind, f->rebuilt[c->lhs], f->rebuilt[c->rhs]);
    break;
  }
  for (uint32_t i = 0; i < row; i++) {
    assert_int_not_equal(f->rebuilt[i], f->rebuilt[row]);
  }
}

static void test_flatten(void **state) {
  (void)state;
  static struct flat f;
  f.t = sample_table();
  dim dims[] = {parse(f.t, "(a + 3*b*n + 1) floordiv (2*z + 1)"), DIM_NONE,
                parse(f.t, "max(max(a, 3*b*n), coord(tp)*s)"),
                parse(f.t, "exactdiv(a, b) + z mod 3"),
                parse(f.t, "(a + 3*b*n + 1) floordiv (2*z + 1)")};
  uint32_t rows[5], n = dim_flatten(f.t, dims, 5, rebuild_row, &f, rows);
  assert_true(n > 10);
  assert_int_equal(rows[1], UINT32_MAX);
  assert_int_equal(rows[0], rows[4]);
  for (int i = 0; i < 5; i++) {
    assert_true(dims[i] == DIM_NONE || f.rebuilt[rows[i]] == dims[i]);
  }
  dim_table_destroy(f.t);
}

static void test_speed(void **state) {
  (void)state;
  struct dim_table *t = sample_table();
  dim a = parse(t, "a"), b = parse(t, "b"), e = parse(t, "a*b + z"), sum = DIM_NONE;
  clock_t start = clock();
  for (int64_t i = 0; i < 200000; i++) {
    dim k = dim_const(t, i & 1023);
    sum = dim_add(t, e, k);
    sum = dim_mul(t, sum, a);
    sum = dim_floordiv(t, sum, dim_const(t, 8));
    sum = dim_max(t, b, sum);
  }
  double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
  printf("1e6 constructor calls: %.2f s\n", seconds);
  assert_int_not_equal(sum, DIM_NONE);
  assert_true(seconds < 30); /* only a runaway: sanitizers and busy machines are slow */
  dim_table_destroy(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_identities), cmocka_unit_test(test_symbols),
      cmocka_unit_test(test_narrowing),  cmocka_unit_test(test_none),
      cmocka_unit_test(test_facts),      cmocka_unit_test(test_eval_overflow),
      cmocka_unit_test(test_growth),     cmocka_unit_test(test_substitute),
      cmocka_unit_test(test_random),     cmocka_unit_test(test_flatten),
      cmocka_unit_test(test_speed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
