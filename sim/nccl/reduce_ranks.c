/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions over ranks, in the order of ranks: f32 and f64 add in their own type, shorter floats
 * in double with one rounding, integers wrap. */
#include "sim/exec/cvt.h"
#include "sim/nccl/nccl_comm.h"

static const struct {
  uint8_t bytes;
  enum ptx_type type;
} types[] = {
#define NCCLTYPE(number, name, bytes, ptx) {bytes, TYPE_##ptx},
#include "sim/nccl/nccl_types.def"
#undef NCCLTYPE
};
enum { TYPES = sizeof types / sizeof *types };

uint32_t type_bytes(int type) { return type >= 0 && type < TYPES ? types[type].bytes : 0; }
static bool is_float(int type) { return ptx_type_class(types[type].type) == CLASS_FLOAT; }
static bool is_signed(int type) { return ptx_type_class(types[type].type) == CLASS_SIGNED; }

static uint64_t read_integer(int type, const uint8_t *p) {
  uint64_t v = 0;
  uint32_t bits = types[type].bytes * 8u;
  memcpy(&v, p, types[type].bytes);
  if (is_signed(type) && bits < 64 && v >> (bits - 1) & 1)
    v |= UINT64_MAX << bits;
  return v;
}
static double read_float(int type, const uint8_t *p) {
  uint64_t v = 0;
  memcpy(&v, p, types[type].bytes);
  return float_decode(types[type].type, v);
}

double scalar_value(int type, const void *p) {
  return is_float(type) ? read_float(type, p) : (double)(int64_t)read_integer(type, p);
}

static double combine_float(int op, double a, double b, bool single) {
  double r = op == ncclProd  ? a * b
             : op == ncclMax ? (a > b || b != b ? a : b)
             : op == ncclMin ? (a < b || b != b ? a : b)
                             : a + b;
  return single ? (double)(float)r : r;
}
static uint64_t combine_integer(int type, int op, uint64_t a, uint64_t b) {
  bool less = is_signed(type) ? (int64_t)a < (int64_t)b : a < b;
  switch (op) {
  case ncclProd: return a * b;
  case ncclMax: return less ? b : a;
  case ncclMin: return less ? a : b;
  default: return a + b;
  }
}

static void element(int type, int op, double scale, const uint8_t *from, uint8_t *wide,
                    bool first) {
  if (is_float(type)) {
    double x = read_float(type, from), old;
    if (op >= FIRST_CUSTOM_OP) {
      x *= scale;
      if (type == ncclFloat32)
        x = (double)(float)x;
    }
    memcpy(&old, wide, 8);
    x = first ? x : combine_float(op, old, x, type == ncclFloat32);
    memcpy(wide, &x, 8);
  } else {
    uint64_t x = read_integer(type, from), old;
    if (op >= FIRST_CUSTOM_OP)
      x *= (uint64_t)(int64_t)scale;
    memcpy(&old, wide, 8);
    x = first ? x : combine_integer(type, op, old, x);
    memcpy(wide, &x, 8);
  }
}

void reduce_begin(int type, int op, double scale, const uint8_t *from, uint64_t n, uint8_t *wide) {
  for (uint64_t k = 0; k < n; k++)
    element(type, op, scale, from + k * types[type].bytes, wide + 8 * k, true);
}
void reduce_step(int type, int op, double scale, const uint8_t *from, uint64_t n, uint8_t *wide) {
  for (uint64_t k = 0; k < n; k++)
    element(type, op, scale, from + k * types[type].bytes, wide + 8 * k, false);
}
void reduce_finish(int type, int op, uint32_t ranks, const uint8_t *wide, uint64_t n, uint8_t *to) {
  for (uint64_t k = 0; k < n; k++) {
    uint64_t bits;
    memcpy(&bits, wide + 8 * k, 8);
    if (is_float(type)) {
      double v;
      memcpy(&v, &bits, 8);
      bits = float_encode(types[type].type, op == ncclAvg ? v / ranks : v, ROUND_NEAREST);
    } else if (op == ncclAvg) {
      bits = is_signed(type) ? (uint64_t)((int64_t)bits / (int64_t)ranks) : bits / ranks;
    }
    memcpy(to + k * types[type].bytes, &bits, types[type].bytes);
  }
}
