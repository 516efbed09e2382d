/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors, strings, interning, maps and hashes. */
#include "base/hash.h"
#include "base/intern.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void vectors_grow_and_shrink(void **state) {
  (void)state;
  VEC(uint64_t) v = {0};
  for (uint64_t i = 0; i < 1000; i++)
    vec_push(&v, i);
  vec_push(&v, v.data[3]);
  assert_int_equal(v.len, 1001);
  assert_int_equal(vec_last(&v), 3);
  assert_int_equal(vec_pop(&v), 3);
  vec_last(&v) = 5;
  assert_int_equal(v.data[999], 5);
  uint64_t more[] = {8, 9};
  vec_append(&v, more, 2);
  vec_append(&v, more, 0);
  assert_int_equal(vec_last(&v), 9);
  vec_deinit(&v);
  assert_null(v.data);
}

static void views_compare_and_split(void **state) {
  (void)state;
  struct str rest = STR("a,bc,,d");
  assert_true(str_eq_c(str_split(&rest, ','), "a"));
  assert_true(str_eq_c(str_split(&rest, ','), "bc"));
  assert_true(str_eq_c(str_split(&rest, ','), ""));
  assert_true(str_eq_c(str_split(&rest, ','), "d"));
  assert_int_equal(rest.len, 0);
  assert_true(str_starts(STR("abc"), STR("ab")));
  assert_false(str_starts(STR("a"), STR("ab")));
  assert_true(str_ends(STR("abc"), STR("bc")));
  assert_true(str_eq_c(str_from_c(NULL), ""));
}

static void buffers_hold_any_length(void **state) {
  (void)state;
  struct strbuf b = {0};
  assert_string_equal(strbuf_c(&b), "");
  for (int i = 0; i < 1000; i++)
    strbuf_printf(&b, "%d,", i % 10);
  strbuf_append(&b, "\0x", 2);
  strbuf_char(&b, '!');
  assert_int_equal(b.len, 2003);
  assert_int_equal(strlen(b.data), 2000);
  assert_int_equal(strbuf_view(&b).data[2002], '!');
  strbuf_clear(&b);
  strbuf_append_c(&b, "again");
  assert_string_equal(strbuf_c(&b), "again");
  strbuf_deinit(&b);
}

static void equal_bytes_intern_to_one_pointer(void **state) {
  (void)state;
  struct intern t;
  intern_init(&t);
  const char *a = intern_c(&t, "weight");
  for (int i = 0; i < 500; i++) {
    char name[16];
    int n = snprintf(name, sizeof name, "n%d", i);
    assert_int_equal(intern_id(&t, name, (size_t)n), i + 1);
  }
  assert_ptr_equal(intern_str(&t, "weights", 6), a);
  assert_int_equal(intern_id(&t, "", 0), 501);
  assert_int_not_equal(intern_id(&t, "\0", 1), 501);
  assert_true(str_eq_c(intern_get(&t, 500), "n499"));
  intern_deinit(&t);
}

/* Against a plain array, with keys that collide often because the range is small. */
static void maps_agree_with_an_array(void **state) {
  (void)state;
  enum { KEYS = 300 };
  struct map m = {0};
  uint64_t expected[KEYS] = {0}, seed = 1, value;
  for (int step = 1; step < 20000; step++) {
    seed = hash_combine(seed, 1);
    uint64_t key = seed % KEYS;
    if (seed >> 62 == 0) {
      assert_int_equal(map_remove(&m, key * 16), expected[key] != 0);
      expected[key] = 0;
    } else {
      map_put(&m, key * 16, (uint64_t)step);
      expected[key] = (uint64_t)step;
    }
  }
  for (uint64_t key = 0; key < KEYS; key++) {
    assert_int_equal(map_get(&m, key * 16, &value), expected[key] != 0);
    if (expected[key])
      assert_int_equal(value, expected[key]);
  }
  map_clear(&m);
  assert_false(map_get(&m, 16, NULL));
  map_deinit(&m);
  assert_false(map_get(&m, 16, NULL));
  assert_false(map_remove(&m, 16));
}

static void string_maps_own_their_keys(void **state) {
  (void)state;
  struct strmap m;
  uint64_t value;
  char key[] = "key";
  strmap_init(&m);
  assert_false(strmap_get_c(&m, "key", &value));
  const char *own = strmap_put_c(&m, key, 1);
  key[0] = 'x';
  assert_ptr_equal(strmap_put_c(&m, "key", 2), own);
  assert_true(strmap_get(&m, "keys", 3, &value));
  assert_int_equal(value, 2);
  assert_false(strmap_get_c(&m, "xey", NULL));
  strmap_deinit(&m);
}

static void digests_do_not_depend_on_the_pieces(void **state) {
  (void)state;
  unsigned char bytes[5000];
  char hex[33];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (unsigned char)(i * 31);
  struct digest whole = digest_bytes(bytes, sizeof bytes);
  struct digest_stream s;
  digest_stream_init(&s);
  for (size_t at = 0, n = 1; at < sizeof bytes; at += n, n = n * 3 % 97 + 1) {
    if (n > sizeof bytes - at)
      n = sizeof bytes - at;
    digest_stream_update(&s, bytes + at, n);
  }
  struct digest pieces = digest_stream_final(&s);
  assert_true(digest_eq(&whole, &pieces));
  bytes[4999] ^= 1;
  whole = digest_bytes(bytes, sizeof bytes);
  assert_false(digest_eq(&whole, &pieces));
  /* The value of XXH3-128 for no bytes, seed 0: a change of algorithm would break old files. */
  whole = digest_bytes(NULL, 0);
  digest_hex(&whole, hex);
  assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(vectors_grow_and_shrink),
      cmocka_unit_test(views_compare_and_split),
      cmocka_unit_test(buffers_hold_any_length),
      cmocka_unit_test(equal_bytes_intern_to_one_pointer),
      cmocka_unit_test(maps_agree_with_an_array),
      cmocka_unit_test(string_maps_own_their_keys),
      cmocka_unit_test(digests_do_not_depend_on_the_pieces),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
