/* SPDX-License-Identifier: Apache-2.0 */
/* map: broadcasting, rounding and casts by hand, and every row of scalar.def on every dtype that it
 * takes against plain C. */
#include "tests/ir/eval_fixture.h"

#include "base/softfloat.h"

#include <float.h>

/* ---- by hand ---- */

static void test_broadcasting(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = i64(&x, SHAPE(2, 1, 3), I(1, 2, 3, 4, 5, 6)), b = i64(&x, SHAPE(2, 1), I(10, 20));
  value_id none = i64(&x, SHAPE(0, 1), NULL);
  give(&x, build_binary(&x.b, SCALAR_ADD, a, b));
  give(&x, build_binary(&x.b, SCALAR_ADD, none, i64(&x, SHAPE(3), I(1, 2, 3))));
  give(&x,
       build_binary(&x.b, SCALAR_MUL, i64(&x, SCALAR_SHAPE, I(3)), i64(&x, SCALAR_SHAPE, I(4))));
  struct body_builder body;
  body_init(&body, 0);
  body_i64(&body, DTYPE_I64, 42);
  give(&x, build_map(&x.b, NULL, 0, body_finish(&body, x.m)));
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(2, 2, 3), I(11, 12, 13, 21, 22, 23, 14, 15, 16, 24, 25, 26));
  expect_i(x.out[1], SHAPE(0, 3), NULL);
  expect_i(x.out[2], SCALAR_SHAPE, I(12));
  expect_i(x.out[3], SCALAR_SHAPE, I(42));
  fixture_deinit(&x);
}

/* Longer than a block, with a row dim that is not a multiple of it. */
static void test_many_elements(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim dims[2] = {k(&x, 3), k(&x, 1000)};
  value_id row = build_iota(&x.b, DTYPE_I64, (dim[]){k(&x, 1), k(&x, 1000)}, 2, 1);
  value_id column = build_iota(&x.b, DTYPE_I64, (dim[]){k(&x, 3), k(&x, 1)}, 2, 0);
  value_id all = build_iota(&x.b, DTYPE_I64, dims, 2, 1);
  value_id sum =
      build_binary(&x.b, SCALAR_ADD, row, build_binary_i64(&x.b, SCALAR_MUL, column, 1000));
  give(&x, build_binary(&x.b, SCALAR_ADD, sum, all));
  run(&x, INTERP_TYPED);
  for (int64_t i = 0; i < 3000; i++)
    assert_int_equal(x.out[0]->i64[i], i + i % 1000);
  fixture_deinit(&x);
}

static void test_unknown_dims_at_run_time(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  dim a = dim_symbol(x.t, "a", 0, 10), b = dim_symbol(x.t, "b", 0, 10);
  value_id p = param(&x, DTYPE_F32, &a, 1), q = param(&x, DTYPE_F32, &b, 1);
  struct body_builder body;
  body_init(&body, 2);
  body_op(&body, SCALAR_ADD, body_arg(&body, 0, DTYPE_F32), body_arg(&body, 1, DTYPE_F32), 0);
  struct map_attrs attrs = {body_finish(&body, x.m)};
  give_op(&x, OP_MAP, (value_id[]){p, q}, 2, &attrs);
  struct tensor *in[2] = {tensor_create(&x.arena, DTYPE_F32, I(3), 1),
                          tensor_create(&x.arena, DTYPE_F32, I(1), 1)};
  in[1]->f64[0] = 5;
  assert_int_equal(run_with(&x, INTERP_TYPED, in), STATUS_OK);
  expect_f(x.out[0], SHAPE(3), F(5, 5, 5));
  in[1] = tensor_create(&x.arena, DTYPE_F32, I(2), 1);
  run_fails(&x, in, DIAG_E0620);
  fixture_deinit(&x);
}

static void test_refuses(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = f32(&x, SHAPE(2), F(1, 2)), b = f32(&x, SHAPE(3), F(1, 2, 3)),
           c = i64(&x, SHAPE(2), I(1, 2));
  value_id m = f32(&x, SHAPE(1, 2), F(1, 2));
  struct body_builder body;
  body_init(&body, 2);
  body_op(&body, SCALAR_ADD, body_arg(&body, 0, DTYPE_F32), body_arg(&body, 1, DTYPE_F32), 0);
  struct map_attrs attrs = {body_finish(&body, x.m)};
  refused(&x, OP_MAP, (value_id[]){a, b}, 2, &attrs);
  refused(&x, OP_MAP, (value_id[]){a, c}, 2, &attrs);
  refused(&x, OP_MAP, (value_id[]){a, m}, 2, &attrs);
  refused(&x, OP_MAP, (value_id[]){a}, 1, &attrs);
  refused(&x, OP_MAP, (value_id[]){a, a}, 2, &(struct map_attrs){NULL});
  fixture_deinit(&x);
}

/* f16 computes in f32 inside a body and rounds at its end; a map of one operation rounds each. */
static void test_rounding_of_small_floats(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id h = constant(&x, DTYPE_F16, SCALAR_SHAPE, F(2048));
  value_id step = build_binary_f64(&x.b, SCALAR_ADD, h, 1);
  give(&x, build_binary_f64(&x.b, SCALAR_ADD, step, 1));
  struct body_builder body;
  body_init(&body, 1);
  uint32_t one = body_f64(&body, DTYPE_F16, 1);
  uint32_t sum = body_op(&body, SCALAR_ADD, body_arg(&body, 0, DTYPE_F16), one, 0);
  body_op(&body, SCALAR_ADD, sum, one, 0);
  give(&x, build_map(&x.b, &h, 1, body_finish(&body, x.m)));
  give(&x, build_binary_f64(&x.b, SCALAR_MUL, h, 100));
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SCALAR_SHAPE, F(2048));
  expect_f(x.out[1], SCALAR_SHAPE, F(2050));
  expect_f(x.out[2], SCALAR_SHAPE, F(INFINITY));
  run(&x, INTERP_EXACT);
  expect_f(x.out[0], SCALAR_SHAPE, F(2050));
  expect_f(x.out[2], SCALAR_SHAPE, F(204800));
  fixture_deinit(&x);
}

static value_id cast(struct fixture *x, value_id v, enum dtype dtype, enum cast_mode mode) {
  value_id y = build_cast_mode(&x->b, v, dtype, mode);
  give(x, y);
  return y;
}

static void test_casts_to_small_floats(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SHAPE(5), F(1000, -INFINITY, NAN, 0.3, 1e-30));
  cast(&x, v, DTYPE_F8E4M3FN, CAST_DEFAULT);
  cast(&x, v, DTYPE_F8E4M3FN, CAST_NO_SATURATE);
  cast(&x, v, DTYPE_F8E5M2, CAST_NO_SATURATE);
  cast(&x, v, DTYPE_F8E8M0, CAST_UP);
  cast(&x, v, DTYPE_F8E8M0, CAST_DOWN);
  cast(&x, v, DTYPE_F4E2M1, CAST_DEFAULT);
  for (int mode = INTERP_TYPED; mode <= INTERP_EXACT; mode++) {
    run(&x, (enum interp_mode)mode);
    expect_f(x.out[0], SHAPE(5), F(448, -448, NAN, 0.3125, 0));
    expect_f(x.out[1], SHAPE(5), F(NAN, NAN, NAN, 0.3125, 0));
    expect_f(x.out[2], SHAPE(5), F(1024, -INFINITY, NAN, 0.3125, 0));
    expect_f(x.out[3], SHAPE(5), F(1024, NAN, NAN, 0.5, ldexp(1, -99)));
    expect_f(x.out[4], SHAPE(5), F(512, NAN, NAN, 0.25, ldexp(1, -100)));
    expect_f(x.out[5], SHAPE(5), F(6, -6, 6, 0.5, 0));
  }
  fixture_deinit(&x);
}

/* One rounding from 64 bits: through a double these would be ties. */
static void test_casts_of_wide_ints(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  int64_t tie32 = (INT64_C(1) << 62) + (INT64_C(1) << 38),
          tie16 = (INT64_C(1) << 62) + (INT64_C(1) << 54);
  value_id v = i64(&x, SHAPE(4), I(tie32 + 1, tie32, -tie32 - 1, tie16 + 1));
  value_id u = constant(&x, DTYPE_U64, SHAPE(2), I(-1, INT64_MIN));
  cast(&x, v, DTYPE_F32, CAST_DEFAULT);
  cast(&x, v, DTYPE_BF16, CAST_DEFAULT);
  cast(&x, u, DTYPE_F64, CAST_DEFAULT);
  cast(&x, u, DTYPE_BF16, CAST_DEFAULT);
  cast(&x, u, DTYPE_I32, CAST_DEFAULT);
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SHAPE(4),
           F((float)(tie32 + 1), (float)tie32, (float)(-tie32 - 1), (float)(tie16 + 1)));
  assert_true(x.out[0]->f64[0] > x.out[0]->f64[1]);
  expect_f(x.out[1], SHAPE(4), F(0x1p62, 0x1p62, -0x1p62, 0x1p62 + 0x1p55));
  expect_f(x.out[2], SHAPE(2), F(0x1p64, 0x1p63));
  expect_f(x.out[3], SHAPE(2), F(0x1p64, 0x1p63));
  expect_i(x.out[4], SHAPE(2), I(-1, 0));
  fixture_deinit(&x);
}

static void test_casts_to_ints_and_bool(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = constant(&x, DTYPE_F64, SHAPE(7), F(-1.9, 2.9, 300, -1e30, 1e30, NAN, -0.0));
  cast(&x, v, DTYPE_I8, CAST_DEFAULT);
  cast(&x, v, DTYPE_U8, CAST_DEFAULT);
  cast(&x, v, DTYPE_I64, CAST_DEFAULT);
  cast(&x, v, DTYPE_U64, CAST_DEFAULT);
  cast(&x, v, DTYPE_I4, CAST_DEFAULT);
  cast(&x, v, DTYPE_BOOL, CAST_DEFAULT);
  value_id w = i64(&x, SHAPE(3), I(300, -1, 0));
  cast(&x, w, DTYPE_U8, CAST_DEFAULT);
  cast(&x, w, DTYPE_BOOL, CAST_DEFAULT);
  run(&x, INTERP_TYPED);
  expect_i(x.out[0], SHAPE(7), I(-1, 2, 127, -128, 127, 0, 0));
  expect_i(x.out[1], SHAPE(7), I(0, 2, 255, 0, 255, 0, 0));
  expect_i(x.out[2], SHAPE(7), I(-1, 2, 300, INT64_MIN, INT64_MAX, 0, 0));
  expect_i(x.out[3], SHAPE(7), I(0, 2, 300, 0, -1, 0, 0));
  expect_i(x.out[4], SHAPE(7), I(-1, 2, 7, -8, 7, 0, 0));
  expect_i(x.out[5], SHAPE(7), I(1, 1, 1, 1, 1, 1, 0));
  expect_i(x.out[6], SHAPE(3), I(44, 255, 0));
  expect_i(x.out[7], SHAPE(3), I(1, 1, 0));
  fixture_deinit(&x);
}

static void test_exact_mode_keeps_f64(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id v = f32(&x, SCALAR_SHAPE, F(1));
  value_id tiny = f32(&x, SCALAR_SHAPE, F(ldexp(1, -40)));
  give(&x, build_binary(&x.b, SCALAR_ADD, v, tiny));
  give(&x, build_cast(&x.b, build_binary(&x.b, SCALAR_ADD, v, tiny), DTYPE_F16));
  run(&x, INTERP_EXACT);
  expect_f(x.out[0], SCALAR_SHAPE, F(1 + ldexp(1, -40)));
  expect_f(x.out[1], SCALAR_SHAPE, F(1 + ldexp(1, -40)));
  run(&x, INTERP_TYPED);
  expect_f(x.out[0], SCALAR_SHAPE, F(1));
  fixture_deinit(&x);
}

/* ---- against plain C: integers, in 128 bits ---- */

typedef __int128 wide;
typedef unsigned __int128 uwide;

static int64_t wrapped(enum dtype t, uwide v) {
  unsigned bits = dtype_bits(t);
  uint64_t low = (uint64_t)v;
  if (bits == 64)
    return (int64_t)low;
  low %= UINT64_C(1) << bits;
  if (dtype_is_signed(t) && low >= UINT64_C(1) << (bits - 1))
    return (int64_t)low - (INT64_C(1) << bits);
  return (int64_t)low;
}

static wide widened(enum dtype t, int64_t x) {
  return dtype_is_unsigned(t) ? (wide)(uint64_t)x : (wide)x;
}

static wide floor_div(wide x, wide y) {
  wide q = x / y;
  return x % y != 0 && (x < 0) != (y < 0) ? q - 1 : q;
}

static wide power(enum dtype t, wide x, wide y) {
  if (y < 0)
    return x == 1 || (x == -1 && y % 2 == 0) ? 1 : x == -1 ? -1 : 0;
  wide r = 1;
  for (wide i = 0; i < y; i++)
    r = widened(t, wrapped(t, (uwide)r * (uwide)x));
  return r;
}

static uwide int_reference(enum scalar_op op, enum dtype t, wide x, wide y) {
  wide bits = dtype_bits(t);
  bool past = y < 0 || y >= bits;
  switch (op) {
  case SCALAR_ADD: return (uwide)x + (uwide)y;
  case SCALAR_SUB: return (uwide)x - (uwide)y;
  case SCALAR_MUL: return (uwide)x * (uwide)y;
  case SCALAR_DIV: return y == 0 ? 0 : (uwide)(x / y);
  case SCALAR_MOD: return y == 0 ? 0 : (uwide)(x - floor_div(x, y) * y);
  case SCALAR_REM: return y == 0 ? 0 : (uwide)(x - x / y * y);
  case SCALAR_POW: return (uwide)power(t, x, y);
  case SCALAR_MAX: return (uwide)(x > y ? x : y);
  case SCALAR_MIN: return (uwide)(x < y ? x : y);
  case SCALAR_NEG: return (uwide)-x;
  case SCALAR_ABS: return (uwide)(x < 0 ? -x : x);
  case SCALAR_SIGN: return (uwide)(wide)((x > 0) - (x < 0));
  case SCALAR_EQ: return x == y;
  case SCALAR_NE: return x != y;
  case SCALAR_LT: return x < y;
  case SCALAR_LE: return x <= y;
  case SCALAR_GT: return x > y;
  case SCALAR_GE: return x >= y;
  case SCALAR_AND: return (uwide)(x & y);
  case SCALAR_OR: return (uwide)(x | y);
  case SCALAR_XOR: return (uwide)(x ^ y);
  case SCALAR_NOT: return t == DTYPE_BOOL ? (uwide)(1 - x) : (uwide)(-1 - x);
  case SCALAR_SHL: return past ? 0 : (uwide)x * ((uwide)1 << y);
  case SCALAR_SHR: return past ? (uwide)(wide)(x < 0 ? -1 : 0) : (uwide)floor_div(x, (wide)1 << y);
  case SCALAR_SELECT: return (uwide)x;
  default: fail_msg("no reference for %s", scalar_infos[op].name); return 0;
  }
}

/* ---- against plain C: floats, T being float for f32 and below ---- */

/* tf32 by arithmetic: round goes away from zero on ties. (Of normal numbers.) */
static double tf32(double x) {
  int e;
  if (x == 0 || !isfinite(x))
    return x;
  double m = frexp(x, &e);
  return ldexp(round(ldexp(m, 11)), e - 11);
}
static float tf32f(float x) { return (float)tf32((double)x); }

#define DEFINE_FLOAT_REFERENCE(reference, T, F)                                                    \
  static T reference(enum scalar_op op, T x, T y) {                                                \
    switch (op) {                                                                                  \
    case SCALAR_ADD: return x + y;                                                                 \
    case SCALAR_SUB: return x - y;                                                                 \
    case SCALAR_MUL: return x * y;                                                                 \
    case SCALAR_DIV: return x / y;                                                                 \
    case SCALAR_MOD: {                                                                             \
      T r = F(fmod)(x, y);                                                                         \
      return r != 0 && (r < 0) != (y < 0) ? r + y : r;                                             \
    }                                                                                              \
    case SCALAR_REM: return F(fmod)(x, y);                                                         \
    case SCALAR_POW: return F(pow)(x, y);                                                          \
    case SCALAR_MAX: return isnan(x) || isnan(y) ? (T)NAN : x > y ? x : y;                         \
    case SCALAR_MIN: return isnan(x) || isnan(y) ? (T)NAN : x < y ? x : y;                         \
    case SCALAR_NEG: return -x;                                                                    \
    case SCALAR_ABS: return F(fabs)(x);                                                            \
    case SCALAR_SIGN: return isnan(x) ? x : (T)((x > 0) - (x < 0));                                \
    case SCALAR_FLOOR: return F(floor)(x);                                                         \
    case SCALAR_CEIL: return F(ceil)(x);                                                           \
    case SCALAR_ROUND: return F(nearbyint)(x);                                                     \
    case SCALAR_TRUNC: return F(trunc)(x);                                                         \
    case SCALAR_TF32: return F(tf32)(x);                                                           \
    case SCALAR_SQRT: return F(sqrt)(x);                                                           \
    case SCALAR_EXP: return F(exp)(x);                                                             \
    case SCALAR_LOG: return F(log)(x);                                                             \
    case SCALAR_LOG1P: return F(log1p)(x);                                                         \
    case SCALAR_EXPM1: return F(expm1)(x);                                                         \
    case SCALAR_SIGMOID: return x < 0 ? F(exp)(x) / (1 + F(exp)(x)) : 1 / (1 + F(exp)(-x));        \
    case SCALAR_ERF: return F(erf)(x);                                                             \
    case SCALAR_SIN: return F(sin)(x);                                                             \
    case SCALAR_COS: return F(cos)(x);                                                             \
    case SCALAR_TAN: return F(tan)(x);                                                             \
    case SCALAR_ASIN: return F(asin)(x);                                                           \
    case SCALAR_ACOS: return F(acos)(x);                                                           \
    case SCALAR_ATAN: return F(atan)(x);                                                           \
    case SCALAR_ATAN2: return F(atan2)(x, y);                                                      \
    case SCALAR_SINH: return F(sinh)(x);                                                           \
    case SCALAR_COSH: return F(cosh)(x);                                                           \
    case SCALAR_TANH: return F(tanh)(x);                                                           \
    case SCALAR_ASINH: return F(asinh)(x);                                                         \
    case SCALAR_ACOSH: return F(acosh)(x);                                                         \
    case SCALAR_ATANH: return F(atanh)(x);                                                         \
    case SCALAR_ISNAN: return isnan(x) != 0;                                                       \
    case SCALAR_ISINF: return isinf(x) != 0;                                                       \
    case SCALAR_EQ: return x == y;                                                                 \
    case SCALAR_NE: return !(x == y);                                                              \
    case SCALAR_LT: return isless(x, y);                                                           \
    case SCALAR_LE: return islessequal(x, y);                                                      \
    case SCALAR_GT: return isgreater(x, y);                                                        \
    case SCALAR_GE: return isgreaterequal(x, y);                                                   \
    case SCALAR_SELECT: return x;                                                                  \
    default: fail_msg("no reference for %s", scalar_infos[op].name); return 0;                     \
    }                                                                                              \
  }
#define F32_NAME(name) name##f
#define F64_NAME(name) name
DEFINE_FLOAT_REFERENCE(reference_f32, float, F32_NAME)
DEFINE_FLOAT_REFERENCE(reference_f64, double, F64_NAME)

/* Rows whose result C gives exactly; the others are the library's, good to a few ulp. */
static bool is_exact(enum scalar_op op) {
  return op <= SCALAR_SQRT ? op != SCALAR_POW : op >= SCALAR_ISNAN;
}

static double reference_float(enum scalar_op op, enum dtype t, double x, double y) {
  double r = t == DTYPE_F64 ? reference_f64(op, x, y) : reference_f32(op, (float)x, (float)y);
  if (dtype_bits(t) >= 32 || scalar_infos[op].result_bool)
    return r;
  enum softfloat_kind kind = (enum softfloat_kind)(t - DTYPE_F16);
  if (t == DTYPE_F8E5M2 && isinf(r))
    return r;
  return softfloat_decode(kind,
                          softfloat_encode(kind, r, dtype_bits(t) == 8, SOFTFLOAT_ROUND_NEAREST));
}

/* ---- the grid: every row, every dtype, all pairs of some values ---- */

#define MAX_VALUES 32

static uint32_t float_values(enum dtype t, double *out) {
  static const double xs[] = {0.0,  -0.0, 1,      -1,    0.5,    1.5,      2.5,       -2.5,
                              3.7,  -3.7, 7,      -0.01, 100.25, -64,      6,         0.3,
                              1e-5, -448, 0.9999, 20.5,  1e30,   INFINITY, -INFINITY, NAN};
  uint32_t n = 0;
  for (; n < sizeof xs / sizeof *xs; n++) {
    out[n] = xs[n];
    if (t == DTYPE_F32)
      out[n] = (float)xs[n];
    else if (t != DTYPE_F64)
      out[n] = softfloat_decode((enum softfloat_kind)(t - DTYPE_F16),
                                softfloat_encode((enum softfloat_kind)(t - DTYPE_F16), xs[n], false,
                                                 SOFTFLOAT_ROUND_NEAREST));
  }
  return n;
}

static uint32_t int_values(enum dtype t, int64_t *out) {
  int64_t bits = dtype_bits(t);
  int64_t least = wrapped(t, (uwide)1 << (bits - 1)),
          xs[] = {0,         1,         2,
                  3,         5,         7,
                  -1,        -2,        -3,
                  -5,        bits - 1,  bits,
                  bits + 1,  64,        100,
                  13,        0x5A,      -0x35,
                  least,     least + 1, (int64_t)((uint64_t)least - 1),
                  INT64_MAX, INT64_MIN, 0x123456789};
  uint32_t n = 0;
  for (; n < sizeof xs / sizeof *xs; n++)
    out[n] = t == DTYPE_BOOL ? xs[n] & 1 : wrapped(t, (uwide)(wide)xs[n]);
  return n;
}

static bool takes(enum scalar_operands kind, enum dtype t) {
  switch (kind) {
  case SCALAR_OPERANDS_NUM: return dtype_is_float(t) || dtype_is_int(t);
  case SCALAR_OPERANDS_FLT: return dtype_is_float(t);
  case SCALAR_OPERANDS_INT: return dtype_is_int(t);
  case SCALAR_OPERANDS_LOG: return t == DTYPE_BOOL;
  case SCALAR_OPERANDS_BIT: return dtype_is_int(t) || t == DTYPE_BOOL;
  case SCALAR_OPERANDS_ANY:
  case SCALAR_OPERANDS_ALL: return true;
  }
  return false;
}

/* x op y for x down a column and y along a row; select takes x where x == y, else y. */
static const struct tensor *grid(struct fixture *x, enum scalar_op op, enum dtype t,
                                 const void *values, uint32_t n) {
  value_id v[2] = {constant(x, t, I(n, 1), 2, values), constant(x, t, I(1, n), 2, values)};
  struct body_builder body;
  body_init(&body, 2);
  uint32_t a = body_arg(&body, 0, t), b = body_arg(&body, 1, t);
  if (op == SCALAR_SELECT)
    body_op(&body, op, body_op(&body, SCALAR_EQ, a, b, 0), a, b);
  else
    body_op(&body, op, a, b, 0);
  /* A unary row leaves out the second operand, which must not disappear from the shape. */
  give(x, build_map(&x->b, v, 2, body_finish(&body, x->m)));
  run(x, INTERP_TYPED);
  expect_dims(x->out[0], SHAPE(n, n));
  return x->out[0];
}

static void check_float(enum scalar_op op, enum dtype t, double x, double y, double got) {
  double want = op == SCALAR_SELECT ? (x == y ? x : y) : reference_float(op, t, x, y);
  double epsilon = t == DTYPE_F64 ? DBL_EPSILON : FLT_EPSILON;
  if (isnan(want) ? isnan(got) : got == want)
    return;
  bool near = fabs(got - want) <= 4 * epsilon * fmax(fabs(want), dtype_bits(t) < 32 ? 0 : FLT_MIN);
  /* A function's last bit may tip the rounding to a small format. */
  if (!is_exact(op) && dtype_bits(t) < 32) {
    double exact = reference_f64(op, x, y), step = ldexp(1, -(int)(t == DTYPE_F16 ? 11 : 8));
    near = dtype_bits(t) > 8 ? fabs(got - exact) <= 1.01 * step * fabs(exact) : false;
  }
  if (is_exact(op) || !near)
    fail_msg("%s(%.17g, %.17g) in %s is %.17g, not %.17g", scalar_infos[op].name, x, y,
             dtype_name(t), got, want);
}

static void check_row(enum scalar_op op, enum dtype t) {
  union {
    double f[MAX_VALUES];
    int64_t i[MAX_VALUES];
  } v;
  struct fixture x;
  fixture_init(&x);
  bool is_float = dtype_is_float(t), to_bool = scalar_infos[op].result_bool;
  uint32_t n = is_float ? float_values(t, v.f) : int_values(t, v.i);
  const struct tensor *out = grid(&x, op, t, &v, n);
  for (uint32_t i = 0; i < n * n; i++) {
    uint32_t a = i / n, b = i % n;
    if (is_float) {
      check_float(op, t, v.f[a], v.f[b], to_bool ? (double)out->i64[i] : out->f64[i]);
      continue;
    }
    wide p = widened(t, v.i[a]), q = widened(t, v.i[b]);
    if (op == SCALAR_POW && q > 1000)
      continue;
    if (op == SCALAR_SELECT)
      p = p == q ? p : q;
    int64_t want = wrapped(to_bool           ? DTYPE_I64
                           : t == DTYPE_BOOL ? DTYPE_U8
                                             : t,
                           int_reference(op, t, p, q));
    if (out->i64[i] != want)
      fail_msg("%s(%lld, %lld) in %s is %lld, not %lld", scalar_infos[op].name, (long long)v.i[a],
               (long long)v.i[b], dtype_name(t), (long long)out->i64[i], (long long)want);
  }
  fixture_deinit(&x);
}

static void test_every_row_on_every_dtype(void **state) {
  (void)state;
  uint32_t checked = 0;
  for (int op = SCALAR_CAST + 1; op < SCALAR_OP_COUNT; op++)
    for (int t = 0; t < DTYPE_COUNT; t++)
      if (t != DTYPE_STRING && takes(scalar_infos[op].operands, (enum dtype)t)) {
        check_row((enum scalar_op)op, (enum dtype)t);
        checked++;
      }
  assert_true(checked > 600);
}

/* Large exponents, where multiplying one by one would take for ever. */
static void test_integer_powers(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id a = i64(&x, SHAPE(5), I(3, -1, 2, 0, 0)),
           b = i64(&x, SHAPE(5), I(INT64_MAX, INT64_MAX, 63, 0, -1));
  give(&x, build_binary(&x.b, SCALAR_POW, a, b));
  run(&x, INTERP_TYPED);
  /* 3^(2^63 - 1) is the inverse of 3 modulo 2^64, as 3^(2^62) is 1. */
  expect_i(x.out[0], SHAPE(5), I((int64_t)UINT64_C(0xAAAAAAAAAAAAAAAB), -1, INT64_MIN, 1, 0));
  fixture_deinit(&x);
}

static void test_signed_zeros(void **state) {
  (void)state;
  struct fixture x;
  fixture_init(&x);
  value_id p = f32(&x, SHAPE(1), F(0.0)), m = f32(&x, SHAPE(1), F(-0.0));
  give(&x, build_binary(&x.b, SCALAR_MAX, m, p));
  give(&x, build_binary(&x.b, SCALAR_MIN, p, m));
  give(&x, build_binary(&x.b, SCALAR_MOD, f32(&x, SHAPE(1), F(4)), f32(&x, SHAPE(1), F(-2))));
  run(&x, INTERP_TYPED);
  assert_false(signbit(x.out[0]->f64[0]));
  assert_true(signbit(x.out[1]->f64[0]));
  assert_true(signbit(x.out[2]->f64[0]));
  fixture_deinit(&x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_broadcasting),
      cmocka_unit_test(test_many_elements),
      cmocka_unit_test(test_unknown_dims_at_run_time),
      cmocka_unit_test(test_refuses),
      cmocka_unit_test(test_rounding_of_small_floats),
      cmocka_unit_test(test_casts_to_small_floats),
      cmocka_unit_test(test_casts_of_wide_ints),
      cmocka_unit_test(test_casts_to_ints_and_bool),
      cmocka_unit_test(test_exact_mode_keeps_f64),
      cmocka_unit_test(test_every_row_on_every_dtype),
      cmocka_unit_test(test_integer_powers),
      cmocka_unit_test(test_signed_zeros),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
