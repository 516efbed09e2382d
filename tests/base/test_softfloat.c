/* SPDX-License-Identifier: Apache-2.0 */
/* softfloat against a search over all codes: the nearest one in exact double arithmetic, ties to
 * the even code. */
#include "base/softfloat.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const kind_names[SOFTFLOAT_KINDS] = {"f16",  "bf16",     "e4m3fn", "e4m3fnuz",
                                                        "e5m2", "e5m2fnuz", "e8m0",   "e2m1"};

static double sample(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  uint64_t bits = *state ^ (*state >> 29);
  /* Exponents near the formats' ranges: 2^-160 .. 2^160. */
  uint64_t exponent = 1023 - 160 + (bits >> 40) % 320;
  bits = (bits & (UINT64_C(1) << 63)) | (exponent << 52) | (bits & ((UINT64_C(1) << 52) - 1));
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static bool is_max(enum softfloat_kind kind, uint32_t code) {
  return softfloat_decode(kind, (uint16_t)code) == softfloat_max(kind);
}

/* The nearest finite code of the magnitude by bisection over codes, which are monotonic. */
static uint32_t nearest_code(enum softfloat_kind kind, double magnitude, bool *overflow) {
  uint32_t max_code = 0;
  while (!is_max(kind, max_code))
    max_code++;
  uint32_t low = 0, high = max_code;
  while (high - low > 1) {
    uint32_t mid = (low + high) / 2;
    *(softfloat_decode(kind, (uint16_t)mid) <= magnitude ? &low : &high) = mid;
  }
  double a = softfloat_decode(kind, (uint16_t)low), b = softfloat_decode(kind, (uint16_t)high);
  double beyond = b + (b - a);
  *overflow = magnitude > (b + beyond) / 2 || (magnitude == (b + beyond) / 2 && (max_code & 1));
  if (magnitude >= b)
    return high;
  double middle = (a + b) / 2;
  return magnitude < middle || (magnitude == middle && !(low & 1)) ? low : high;
}

static void check_encode(enum softfloat_kind kind, double value) {
  bool overflow;
  uint32_t code = nearest_code(kind, fabs(value), &overflow);
  double want = copysign(softfloat_decode(kind, (uint16_t)code), value);
  double saturated =
      softfloat_decode(kind, softfloat_encode(kind, value, true, SOFTFLOAT_ROUND_UP));
  if (saturated != want)
    fail_msg("%s: %a gives %a, want %a", kind_names[kind], value, saturated, want);
  double open = softfloat_decode(kind, softfloat_encode(kind, value, false, SOFTFLOAT_ROUND_UP));
  bool has_inf = kind == SOFTFLOAT_F16 || kind == SOFTFLOAT_BF16 || kind == SOFTFLOAT_F8E5M2;
  if (overflow && kind != SOFTFLOAT_F4E2M1)
    assert_true(has_inf ? isinf(open) && signbit(open) == signbit(value) : isnan(open));
  else
    assert_true(open == want);
}

static void codes_survive(void **unused) {
  (void)unused;
  for (int k = 0; k < SOFTFLOAT_KINDS; k++) {
    for (uint32_t code = 0; code < 1u << softfloat_bits(k); code++) {
      double value = softfloat_decode(k, (uint16_t)code);
      uint16_t again = softfloat_encode(k, value, false, SOFTFLOAT_ROUND_NEAREST);
      if (isnan(value))
        assert_true(isnan(softfloat_decode(k, again)));
      else
        assert_int_equal(again, code);
    }
  }
}

static void known_values(void **unused) {
  (void)unused;
  assert_true(softfloat_max(SOFTFLOAT_F16) == 65504.0);
  assert_true(softfloat_max(SOFTFLOAT_F8E4M3FN) == 448.0);
  assert_true(softfloat_max(SOFTFLOAT_F8E4M3FNUZ) == 240.0);
  assert_true(softfloat_max(SOFTFLOAT_F8E5M2) == 57344.0);
  assert_true(softfloat_max(SOFTFLOAT_F8E5M2FNUZ) == 57344.0);
  assert_true(softfloat_max(SOFTFLOAT_F8E8M0) == 0x1p127);
  assert_true(softfloat_max(SOFTFLOAT_F4E2M1) == 6.0);
  assert_true(softfloat_max(SOFTFLOAT_BF16) == 0x1.FEp127);
  static const double e2m1[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (int i = 0; i < 8; i++) {
    assert_true(softfloat_decode(SOFTFLOAT_F4E2M1, (uint16_t)i) == e2m1[i]);
    assert_true(softfloat_decode(SOFTFLOAT_F4E2M1, (uint16_t)(i + 8)) == -e2m1[i]);
  }
  assert_true(softfloat_decode(SOFTFLOAT_F8E4M3FN, 0x01) == 0x1p-9);
  assert_true(softfloat_decode(SOFTFLOAT_F8E4M3FNUZ, 0x01) == 0x1p-10);
  assert_true(softfloat_decode(SOFTFLOAT_F8E5M2, 0x01) == 0x1p-16);
  assert_true(softfloat_decode(SOFTFLOAT_F8E5M2FNUZ, 0x01) == 0x1p-17);
  assert_true(softfloat_decode(SOFTFLOAT_F16, 0x3C00) == 1.0);
}

static void encode_is_nearest(void **unused) {
  (void)unused;
  uint64_t state = 12345;
  for (int k = 0; k < SOFTFLOAT_KINDS; k++) {
    if (k == SOFTFLOAT_F8E8M0)
      continue;
    for (int i = 0; i < 3000; i++)
      check_encode(k, sample(&state));
    /* Every midpoint of adjacent codes, and its neighbours. */
    for (uint32_t code = 0; code < 1u << (softfloat_bits(k) - 1);
         code += softfloat_bits(k) == 16 ? 97 : 1) {
      double a = softfloat_decode(k, (uint16_t)code), b = softfloat_decode(k, (uint16_t)(code + 1));
      if (!isfinite(a) || !isfinite(b) || b < a)
        continue;
      double middle = (a + b) / 2;
      check_encode(k, middle);
      check_encode(k, -nextafter(middle, 0));
      check_encode(k, nextafter(middle, INFINITY));
    }
  }
}

static void encode_specials(void **unused) {
  (void)unused;
  const enum softfloat_round r = SOFTFLOAT_ROUND_UP;
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E4M3FN, INFINITY, true, r), 0x7E);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E4M3FN, -INFINITY, true, r), 0xFE);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E4M3FN, -INFINITY, false, r), 0xFF);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E4M3FN, 464.0, false, r), 0x7E);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E4M3FN, 465.0, false, r), 0x7F);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E4M3FNUZ, INFINITY, true, r), 0x7F);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E4M3FNUZ, -1e9, false, r), 0x80);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E4M3FNUZ, -0.0, false, r), 0x00);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E4M3FNUZ, -1e-30, false, r), 0x00);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E5M2, INFINITY, false, r), 0x7C);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E5M2, -INFINITY, true, r), 0xFB);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E5M2, -0.0, true, r), 0x80);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F8E5M2FNUZ, (double)NAN, true, r), 0x80);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F4E2M1, (double)NAN, true, r), 0x7);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F4E2M1, -INFINITY, false, r), 0xF);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F4E2M1, -0.25, false, r), 0x8);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F16, 65519.9, false, r), 0x7BFF);
  assert_int_equal(softfloat_encode(SOFTFLOAT_F16, 65520.0, false, r), 0x7C00);
  assert_int_equal(softfloat_encode(SOFTFLOAT_BF16, (double)NAN, false, r) & 0x7FFF, 0x7FC0);
}

static void e8m0_rounds(void **unused) {
  (void)unused;
  const enum softfloat_kind k = SOFTFLOAT_F8E8M0;
  assert_int_equal(softfloat_encode(k, 1.0, true, SOFTFLOAT_ROUND_UP), 127);
  assert_int_equal(softfloat_encode(k, 1.001, true, SOFTFLOAT_ROUND_UP), 128);
  assert_int_equal(softfloat_encode(k, -1.001, true, SOFTFLOAT_ROUND_UP), 128);
  assert_int_equal(softfloat_encode(k, 1.999, true, SOFTFLOAT_ROUND_DOWN), 127);
  assert_int_equal(softfloat_encode(k, 1.499, true, SOFTFLOAT_ROUND_NEAREST), 127);
  assert_int_equal(softfloat_encode(k, 1.5, true, SOFTFLOAT_ROUND_NEAREST), 128);
  assert_int_equal(softfloat_encode(k, 0.0, true, SOFTFLOAT_ROUND_UP), 0);
  assert_int_equal(softfloat_encode(k, 0x1p-140, true, SOFTFLOAT_ROUND_UP), 0);
  assert_int_equal(softfloat_encode(k, 0x1.8p-127, true, SOFTFLOAT_ROUND_NEAREST), 1);
  assert_int_equal(softfloat_encode(k, 0x1.8p127, true, SOFTFLOAT_ROUND_UP), 0xFE);
  assert_int_equal(softfloat_encode(k, 0x1.8p127, false, SOFTFLOAT_ROUND_UP), 0xFF);
  assert_int_equal(softfloat_encode(k, 0x1.8p127, false, SOFTFLOAT_ROUND_DOWN), 0xFE);
  assert_int_equal(softfloat_encode(k, INFINITY, true, SOFTFLOAT_ROUND_UP), 0xFF);
  assert_int_equal(softfloat_encode(k, (double)NAN, true, SOFTFLOAT_ROUND_UP), 0xFF);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(codes_survive),     cmocka_unit_test(known_values),
      cmocka_unit_test(encode_is_nearest), cmocka_unit_test(encode_specials),
      cmocka_unit_test(e8m0_rounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
