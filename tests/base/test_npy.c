/* SPDX-License-Identifier: Apache-2.0 */
/* .npy round trips, headers as other writers make them, and damaged files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/npy.h"

static char path[] = "/tmp/sinter_npy_XXXXXX";

static void write_bytes(const void *bytes, size_t size) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, size, f), size);
  fclose(f);
}

static void test_round_trip(void **state) {
  (void)state;
  const enum dtype dtypes[] = {DTYPE_F64, DTYPE_F32, DTYPE_F16, DTYPE_BF16,
                               DTYPE_I64, DTYPE_I8,  DTYPE_U16, DTYPE_BOOL};
  const int64_t shapes[][3] = {{2, 3, 4}, {7, 1, 1}, {0, 3, 2}};
  uint8_t data[24 * 8];
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)(i & 1);
  for (size_t t = 0; t < sizeof dtypes / sizeof *dtypes; t++) {
    for (uint32_t rank = 0; rank <= 3; rank++) {
      for (size_t s = 0; s < 3; s++) {
        struct npy_array a;
        assert_int_equal(npy_write(path, dtypes[t], rank, shapes[s], data, NULL), STATUS_OK);
        assert_int_equal(npy_read(path, 1 << 20, NULL, &a), STATUS_OK);
        assert_int_equal(a.dtype, dtypes[t]);
        assert_int_equal(a.rank, rank);
        assert_memory_equal(a.dims, shapes[s], rank * 8);
        if (a.bytes)
          assert_memory_equal(a.data, data, a.bytes);
        assert_int_equal((uintptr_t)a.data % 16, 0);
        npy_deinit(&a);
      }
    }
  }
}

/* A version 1 file with the given header text and `bytes` zeros. */
static size_t make(uint8_t *out, const char *header, size_t bytes) {
  size_t n = strlen(header);
  memcpy(out, "\x93NUMPY\x01\x00", 8);
  out[8] = (uint8_t)n;
  out[9] = (uint8_t)(n >> 8);
  memcpy(out + 10, header, n);
  memset(out + 10 + n, 0, bytes);
  return 10 + n + bytes;
}

static status parse(const char *header, size_t bytes, struct npy_array *a) {
  uint8_t file[512];
  return npy_parse("a.npy", file, make(file, header, bytes), NULL, a);
}

static void test_headers(void **state) {
  (void)state;
  struct npy_array a;
  assert_int_equal(parse("{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"<i4\"}\n", 8, &a),
                   STATUS_OK);
  assert_int_equal(a.dtype, DTYPE_I32);
  assert_int_equal(a.dims[0], 2);
  npy_deinit(&a);
  const char *bad[] = {
      "",
      "{",
      "{}",
      "{'descr': '<f4', 'fortran_order': False}",
      "{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}",
      "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
      "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,)}",
      "{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296,4294967296,4294967296)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(parse(bad[i], 8, &a), STATUS_INVALID);
    assert_null(a.owned);
  }
}

static void test_every_truncation_and_bit_flip(void **state) {
  (void)state;
  uint8_t file[512];
  size_t n = make(file, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }   \n", 8);
  struct npy_array a;
  assert_int_equal(npy_parse("a.npy", file, n, NULL, &a), STATUS_OK);
  npy_deinit(&a);
  for (size_t i = 0; i < n; i++)
    assert_int_equal(npy_parse("a.npy", file, i, NULL, &a), STATUS_INVALID);
  for (size_t bit = 0; bit < n * 8; bit++) {
    file[bit / 8] ^= (uint8_t)(1 << bit % 8);
    if (npy_parse("a.npy", file, n, NULL, &a) == STATUS_OK)
      npy_deinit(&a);
    file[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
}

static void test_raw(void **state) {
  (void)state;
  struct npy_array a;
  const int64_t dims[] = {3, 3};
  write_bytes("12345", 5);
  assert_int_equal(npy_read_raw(path, DTYPE_I4, 2, dims, NULL, &a), STATUS_OK);
  assert_memory_equal(a.data, "12345", 5);
  npy_deinit(&a);
  assert_int_equal(npy_read_raw(path, DTYPE_I8, 2, dims, NULL, &a), STATUS_INVALID);
  assert_int_equal(npy_write(path, DTYPE_I4, 2, dims, "12345", NULL), STATUS_INVALID);
}

static int setup(void **state) {
  (void)state;
  int fd = mkstemp(path);
  if (fd >= 0)
    close(fd);
  return fd < 0;
}

static int teardown(void **state) {
  (void)state;
  return unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_headers),
      cmocka_unit_test(test_every_truncation_and_bit_flip),
      cmocka_unit_test(test_raw),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
