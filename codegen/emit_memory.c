/* SPDX-License-Identifier: Apache-2.0 */
/* Elements in memory: addresses, loads and stores, storage formats; see emit.h, emit_view.h. */
#include <assert.h>
#include <string.h>

#include "base/softfloat.h"
#include "codegen/contract_util.h"
#include "codegen/convert.h"
#include "codegen/emit_view.h"

/* The element type in memory. */
static LLVMTypeRef stored_type(struct emit *e, enum dtype dtype, uint32_t width) {
  LLVMTypeRef t;
  switch (dtype) {
  case DTYPE_F64: t = e->f64; break;
  case DTYPE_F32: t = e->f32; break;
  default: t = LLVMIntTypeInContext(e->context, dtype_unpacked_bytes(dtype) * 8); break;
  }
  return width == 1 ? t : LLVMVectorType(t, width);
}

/* Stored bits to the compute dtype. */
static LLVMValueRef decode(struct emit *e, enum dtype dtype, LLVMValueRef raw) {
  enum softfloat_kind kind;
  if (softfloat_from_dtype(dtype, &kind))
    return convert_decode(e->math->target, e->b, kind, raw);
  if (dtype != DTYPE_BOOL)
    return raw;
  return LLVMBuildICmp(e->b, LLVMIntNE, raw, LLVMConstNull(LLVMTypeOf(raw)), "");
}

static LLVMValueRef encode_mode(struct emit *e, enum dtype dtype, LLVMValueRef x,
                                enum cast_mode mode, uint32_t width) {
  enum softfloat_kind kind;
  if (softfloat_from_dtype(dtype, &kind)) {
    bool wide = dtype == DTYPE_F16 || dtype == DTYPE_BF16;
    bool saturate = !wide && mode != CAST_NO_SATURATE;
    enum softfloat_round round = mode == CAST_UP     ? SOFTFLOAT_ROUND_UP
                                 : mode == CAST_DOWN ? SOFTFLOAT_ROUND_DOWN
                                                     : SOFTFLOAT_ROUND_NEAREST;
    return convert_encode(e->math->target, e->b, kind, x, saturate, round);
  }
  if (dtype != DTYPE_BOOL)
    return x;
  return LLVMBuildZExt(e->b, x, stored_type(e, DTYPE_BOOL, width), "");
}

/* Of a value that the dtype holds exactly: a cast that was to saturate has done so. */
LLVMValueRef emit_encode(struct emit *e, enum dtype dtype, LLVMValueRef x, uint32_t width) {
  return encode_mode(e, dtype, x, CAST_NO_SATURATE, width);
}

LLVMValueRef emit_round_mode(struct emit *e, enum dtype dtype, LLVMValueRef x, enum cast_mode mode,
                             uint32_t width) {
  enum softfloat_kind kind;
  if (softfloat_from_dtype(dtype, &kind))
    return decode(e, dtype, encode_mode(e, dtype, x, mode, width));
  if (!dtype_is_sub_byte(dtype))
    return x;
  LLVMValueRef top = LLVMConstInt(e->i8, 8 - dtype_bits(dtype), false);
  top = emit_splat(e, top, width);
  x = LLVMBuildShl(e->b, x, top, "");
  return dtype_is_signed(dtype) ? LLVMBuildAShr(e->b, x, top, "") : LLVMBuildLShr(e->b, x, top, "");
}

/* As ops round: one byte saturates, but for infinities where the format has them. */
LLVMValueRef emit_round_to(struct emit *e, enum dtype dtype, LLVMValueRef x, uint32_t width) {
  if (!dtype_is_float(dtype) || dtype_bits(dtype) > 8) {
    return emit_round_mode(e, dtype, x, CAST_NO_SATURATE, width);
  }
  LLVMValueRef rounded = emit_round_mode(e, dtype, x, CAST_DEFAULT, width);
  if (dtype != DTYPE_F8E5M2)
    return rounded;
  LLVMValueRef inf = emit_literal(e, dtype, __builtin_inf(), 0, width);
  LLVMValueRef infinite = LLVMBuildFCmp(e->b, LLVMRealOEQ, vmath_fabs(e->math, e->b, x), inf, "");
  return LLVMBuildSelect(e->b, infinite, x, rounded, "");
}

LLVMValueRef emit_bitcast(struct emit *e, const struct op *op, const struct point *p) {
  enum dtype from = value_type(e->f, op->operands[0])->dtype;
  enum dtype to = OP_ATTRS(bitcast, op)->dtype;
  LLVMValueRef x = emit_value(e, op->operands[0], p);
  LLVMValueRef raw = emit_encode(e, from, x, p->width);
  raw = LLVMBuildBitCast(e->b, raw, stored_type(e, to, p->width), "");
  return decode(e, to, raw);
}

/* ---- addresses ---- */

/* The row-major element offset of a point: scalar base, and lanes as a constant stride or a vector.
 */
struct offset {
  LLVMValueRef base, lanes;
  int64_t stride;
  int64_t align; /* base is known to be a multiple of this; 0: base is zero */
};

static int64_t common_divisor(int64_t a, int64_t b) {
  while (b) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a < 0 ? -a : a;
}

/* Strides may pass 64 bits in types that no memory holds, so that no run comes to use them. */
static int64_t wrapping_mul(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }
static int64_t wrapping_add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }

static struct offset point_offset(struct emit *e, const dim *dims, const struct point *p) {
  const struct dim_table *t = e->f->module->dims;
  struct offset o = {.base = emit_i64(e, 0)};
  LLVMValueRef stride = emit_i64(e, 1);
  int64_t k = 1;       /* the stride where constant, else 0 */
  int64_t divisor = 1; /* of the stride */
  for (uint32_t i = p->rank; i-- > 0;) {
    const struct coord *c = &p->c[i];
    if (c->lanes || (c->stride && !k)) {
      LLVMValueRef x = coord_vector(e, c, p->width);
      x = LLVMBuildMul(e->b, x, emit_splat(e, stride, p->width), "");
      o.lanes = o.lanes ? LLVMBuildAdd(e->b, o.lanes, x, "") : x;
    } else {
      o.base = LLVMBuildAdd(e->b, o.base, LLVMBuildMul(e->b, c->base, stride, ""), "");
      o.stride = wrapping_add(o.stride, wrapping_mul(c->stride, k));
      o.align = common_divisor(o.align, wrapping_mul(c->align, divisor));
    }
    int64_t n;
    if (dim_is_const_value(t, dims[i], 1))
      continue;
    bool known = dim_is_const(t, dims[i], &n);
    k = known ? wrapping_mul(k, n) : 0;
    divisor = known ? wrapping_mul(divisor, n) : divisor;
    stride = LLVMBuildMul(e->entry_builder, stride, emit_dim(e, dims[i]), "");
  }
  return o;
}

static LLVMValueRef element_pointer(struct emit *e, LLVMTypeRef type, LLVMValueRef base,
                                    LLVMValueRef index) {
  return LLVMBuildInBoundsGEP2(e->b, type, base, &index, 1, "");
}

static LLVMValueRef lane_index(struct emit *e, const struct offset *o, uint32_t width,
                               uint32_t lane) {
  LLVMValueRef x = o->base;
  if (o->stride)
    x = LLVMBuildAdd(e->b, x, emit_i64(e, o->stride * lane), "");
  if (o->lanes)
    x = LLVMBuildAdd(e->b, x, emit_lane(e, o->lanes, width, lane), "");
  return x;
}

/* One element of less than a byte, from packed storage, as it would be unpacked. */
static LLVMValueRef load_packed(struct emit *e, LLVMValueRef base, enum dtype dtype,
                                LLVMValueRef index) {
  unsigned bits = dtype_bits(dtype), per_byte = 8 / bits;
  LLVMValueRef byte_index = LLVMBuildUDiv(e->b, index, emit_i64(e, per_byte), "");
  LLVMValueRef byte = LLVMBuildLoad2(e->b, e->i8, element_pointer(e, e->i8, base, byte_index), "");
  LLVMValueRef place = LLVMBuildURem(e->b, index, emit_i64(e, per_byte), "");
  place = LLVMBuildTrunc(e->b, LLVMBuildMul(e->b, place, emit_i64(e, bits), ""), e->i8, "");
  LLVMValueRef x = LLVMBuildLShr(e->b, byte, place, "");
  LLVMValueRef top = LLVMConstInt(e->i8, 8 - bits, false);
  x = LLVMBuildShl(e->b, x, top, "");
  return dtype_is_signed(dtype) ? LLVMBuildAShr(e->b, x, top, "") : LLVMBuildLShr(e->b, x, top, "");
}

static LLVMValueRef load_raw(struct emit *e, LLVMValueRef base, LLVMTypeRef type, enum dtype dtype,
                             bool packed, LLVMValueRef index) {
  if (packed)
    return load_packed(e, base, dtype, index);
  LLVMValueRef x = LLVMBuildLoad2(e->b, type, element_pointer(e, type, base, index), "");
  LLVMSetAlignment(x, dtype_unpacked_bytes(dtype));
  return x;
}

static LLVMValueRef load_lane_by_lane(struct emit *e, LLVMValueRef base, enum dtype dtype,
                                      LLVMTypeRef type, bool packed, const struct offset *o,
                                      uint32_t width) {
  LLVMValueRef x = LLVMGetPoison(LLVMVectorType(type, width));
  for (uint32_t i = 0; i < width; i++) {
    LLVMValueRef y = load_raw(e, base, type, dtype, packed, lane_index(e, o, width, i));
    x = LLVMBuildInsertElement(e->b, x, y, emit_i64(e, i), "");
  }
  return x;
}

/* The low and the high halves of bytes, in turn: two shifts and an interleave, as vectors have no
 * shift of bytes by different amounts. */
static LLVMValueRef interleave_halves(struct emit *e, enum dtype dtype, LLVMValueRef x,
                                      uint32_t width) {
  LLVMValueRef four = emit_splat(e, LLVMConstInt(e->i8, 4, false), width / 2), lanes[64];
  LLVMValueRef low = LLVMBuildShl(e->b, x, four, "");
  bool sign = dtype_is_signed(dtype);
  low = sign ? LLVMBuildAShr(e->b, low, four, "") : LLVMBuildLShr(e->b, low, four, "");
  LLVMValueRef high = sign ? LLVMBuildAShr(e->b, x, four, "") : LLVMBuildLShr(e->b, x, four, "");
  for (uint32_t i = 0; i < width; i++)
    lanes[i] = LLVMConstInt(e->i32, i / 2 + (i % 2 ? width / 2 : 0), false);
  return LLVMBuildShuffleVector(e->b, low, high, LLVMConstVector(lanes, width), "");
}

/* Neighbouring elements of less than a byte, from the start of a byte on: whole bytes are loaded,
 * each is repeated for its elements and shifted by their places. `align` is of the address. */
static LLVMValueRef load_whole_bytes(struct emit *e, LLVMValueRef base, unsigned align,
                                     enum dtype dtype, LLVMValueRef index, uint32_t width) {
  unsigned bits = dtype_bits(dtype), per_byte = 8 / bits;
  uint32_t n = width / per_byte;
  LLVMTypeRef bytes = n == 1 ? e->i8 : LLVMVectorType(e->i8, n);
  LLVMValueRef at = LLVMBuildUDiv(e->b, index, emit_i64(e, per_byte), "");
  LLVMValueRef x = LLVMBuildLoad2(e->b, bytes, element_pointer(e, e->i8, base, at), "");
  LLVMSetAlignment(x, align);
  if (bits == 4 && n > 1)
    return interleave_halves(e, dtype, x, width);
  LLVMValueRef lanes[64], up[64];
  for (uint32_t i = 0; i < width; i++) {
    lanes[i] = LLVMConstInt(e->i32, i / per_byte, false);
    up[i] = LLVMConstInt(e->i8, 8 - bits - i % per_byte * bits, false);
  }
  if (n == 1) {
    x = emit_splat(e, x, width);
  } else {
    LLVMValueRef none = LLVMGetPoison(bytes);
    x = LLVMBuildShuffleVector(e->b, x, none, LLVMConstVector(lanes, width), "");
  }
  LLVMValueRef top = emit_splat(e, LLVMConstInt(e->i8, 8 - bits, false), width);
  x = LLVMBuildShl(e->b, x, LLVMConstVector(up, width), "");
  return dtype_is_signed(dtype) ? LLVMBuildAShr(e->b, x, top, "") : LLVMBuildLShr(e->b, x, top, "");
}

static LLVMValueRef load_packed_lanes(struct emit *e, LLVMValueRef base, enum dtype dtype,
                                      LLVMTypeRef type, const struct offset *o, uint32_t width) {
  unsigned per_byte = 8 / dtype_bits(dtype);
  if (o->lanes || o->stride != 1 || width < per_byte) {
    return load_lane_by_lane(e, base, dtype, type, true, o, width);
  }
  unsigned align = e->base_align ? (unsigned)common_divisor(o->align / per_byte, e->base_align) : 1;
  if (o->align % per_byte == 0)
    return load_whole_bytes(e, base, align, dtype, o->base, width);
  LLVMValueRef place = LLVMBuildAnd(e->b, o->base, emit_i64(e, per_byte - 1), "");
  struct emit_if s;
  emit_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntEQ, place, emit_i64(e, 0), ""));
  LLVMValueRef whole = load_whole_bytes(e, base, 1, dtype, o->base, width);
  emit_if_else(e, &s, whole);
  LLVMValueRef single = load_lane_by_lane(e, base, dtype, type, true, o, width);
  return emit_if_end(e, &s, single);
}

/* Of neighbouring elements of a buffer, in bytes. */
static unsigned buffer_align(const struct emit *e, enum dtype dtype, const struct offset *o) {
  unsigned bytes = dtype_unpacked_bytes(dtype);
  if (!e->base_align || o->lanes || o->stride != 1)
    return bytes;
  int64_t align = common_divisor(wrapping_mul(o->align, bytes), e->base_align);
  return align > bytes ? (unsigned)align : bytes;
}

static LLVMValueRef load_aligned(struct emit *e, LLVMValueRef at, LLVMTypeRef type, unsigned align,
                                 uint32_t width) {
  LLVMValueRef x = LLVMBuildLoad2(e->b, LLVMVectorType(type, width), at, "");
  LLVMSetAlignment(x, align);
  return x;
}

/* LLVM 19 makes one load of 16 bytes on GPUs, wherever they lie. */
static LLVMValueRef load_bytes(struct emit *e, LLVMValueRef at, unsigned align) {
  LLVMValueRef half = emit_i64(e, 8), lanes[16];
  LLVMValueRef low = load_aligned(e, at, e->i8, align < 8 ? align : 8, 8);
  LLVMValueRef high = load_aligned(e, LLVMBuildInBoundsGEP2(e->b, e->i8, at, &half, 1, ""), e->i8,
                                   align < 8 ? align : 8, 8);
  for (uint32_t i = 0; i < 16; i++)
    lanes[i] = LLVMConstInt(e->i32, i, false);
  return LLVMBuildShuffleVector(e->b, low, high, LLVMConstVector(lanes, 16), "");
}

static LLVMValueRef load_lanes(struct emit *e, LLVMValueRef base, unsigned align, enum dtype dtype,
                               LLVMTypeRef type, bool packed, const struct offset *o,
                               uint32_t width) {
  if (width == 1)
    return load_raw(e, base, type, dtype, packed, lane_index(e, o, 1, 0));
  if (packed)
    return load_packed_lanes(e, base, dtype, type, o, width);
  if (!o->lanes && o->stride == 1) {
    LLVMValueRef at = element_pointer(e, type, base, o->base);
    bool gpu = target_isa(e->math->target)->kind == TARGET_NVPTX;
    if (gpu && type == e->i8 && width == 16 && align < 16)
      return load_bytes(e, at, align);
    return load_aligned(e, at, type, align, width);
  }
  return load_lane_by_lane(e, base, dtype, type, false, o, width);
}

/* LLVM 19 stores bytes by four on GPUs, and makes bytes of words that are casts of them. */
static LLVMValueRef bytes_as_words(struct emit *e, LLVMTypeRef type, unsigned align, LLVMValueRef x,
                                   uint32_t width) {
  bool gpu = target_isa(e->math->target)->kind == TARGET_NVPTX;
  if (!gpu || type != e->i8 || width % 8 || align % 8)
    return x;
  LLVMValueRef words = LLVMGetPoison(LLVMVectorType(e->i32, width / 4));
  for (uint32_t i = 0; i < width; i += 4) {
    LLVMValueRef word = LLVMConstNull(e->i32);
    for (uint32_t j = 0; j < 4; j++) {
      LLVMValueRef y = LLVMBuildZExt(e->b, emit_lane(e, x, width, i + j), e->i32, "");
      word = LLVMBuildOr(e->b, word,
                         LLVMBuildShl(e->b, y, LLVMConstInt(e->i32, 8ull * j, false), ""), "");
    }
    words = LLVMBuildInsertElement(e->b, words, word, emit_i64(e, i / 4), "");
  }
  return words;
}

static void store_lanes(struct emit *e, LLVMValueRef base, unsigned align, LLVMTypeRef type,
                        const struct offset *o, LLVMValueRef x, uint32_t width) {
  if (width == 1 || (!o->lanes && o->stride == 1)) {
    LLVMValueRef index = width == 1 ? lane_index(e, o, 1, 0) : o->base;
    x = bytes_as_words(e, type, align, x, width);
    LLVMSetAlignment(LLVMBuildStore(e->b, x, element_pointer(e, type, base, index)), align);
    return;
  }
  for (uint32_t i = 0; i < width; i++) {
    LLVMValueRef at = element_pointer(e, type, base, lane_index(e, o, width, i));
    LLVMSetAlignment(LLVMBuildStore(e->b, emit_lane(e, x, width, i), at), align);
  }
}

LLVMValueRef emit_load(struct emit *e, uint32_t buffer, const struct type *type, bool packed,
                       const struct point *p) {
  struct offset o = point_offset(e, type->dims, p);
  LLVMTypeRef element = stored_type(e, type->dtype, 1);
  LLVMValueRef raw = load_lanes(e, e->buffers[buffer], buffer_align(e, type->dtype, &o),
                                type->dtype, element, packed, &o, p->width);
  return decode(e, type->dtype, raw);
}

void emit_store(struct emit *e, uint32_t buffer, const struct type *type, const struct point *p,
                LLVMValueRef x) {
  struct offset o = point_offset(e, type->dims, p);
  LLVMTypeRef element = stored_type(e, type->dtype, 1);
  LLVMValueRef raw = emit_encode(e, type->dtype, x, p->width);
  store_lanes(e, e->buffers[buffer], buffer_align(e, type->dtype, &o), element, &o, raw, p->width);
}

LLVMValueRef emit_address(struct emit *e, value_id v, const struct point *p, uint32_t *out_buffer,
                          int64_t *out_align) {
  struct point at = *p;
  const struct value *value = function_value(e->f, v);
  for (; value->def != OP_ID_NONE; value = function_value(e->f, v)) {
    const struct op *op = function_op(e->f, value->def);
    if (op->kind != OP_RESHAPE && op->kind != OP_TRANSPOSE && op->kind != OP_BROADCAST &&
        op->kind != OP_SLICE)
      return NULL;
    struct point through;
    point_through_view(e, op, &at, &through);
    at = through;
    v = op->operands[0];
  }
  value_id outer = e->fused->operands[value->index];
  const struct type *type = value_type(e->f, outer);
  if (emit_is_packed(e->f, outer))
    return NULL;
  struct offset o = point_offset(e, type->dims, &at);
  if (p->width > 1 && (o.lanes || o.stride != 1))
    return NULL;
  *out_buffer = value->index;
  *out_align = o.align;
  return element_pointer(e, stored_type(e, type->dtype, 1), e->buffers[value->index], o.base);
}

LLVMValueRef emit_are_aligned(struct emit *e, uint32_t bytes) {
  LLVMValueRef all = emit_i64(e, 0);
  for (uint32_t i = 0; i < e->fused->n_operands + e->fused->n_results; i++)
    all = LLVMBuildOr(e->b, all, LLVMBuildPtrToInt(e->b, e->buffers[i], e->i64, ""), "");
  all = LLVMBuildAnd(e->b, all, emit_i64(e, bytes - 1), "");
  return LLVMBuildICmp(e->b, LLVMIntEQ, all, emit_i64(e, 0), "");
}

/* Rows of scratch hold the compute dtype, so that what is read back is what was written. */
static enum dtype row_dtype(enum dtype dtype) {
  return dtype == DTYPE_BOOL ? DTYPE_BOOL : dtype_compute(dtype);
}

LLVMValueRef emit_load_row(struct emit *e, LLVMValueRef base, enum dtype dtype, const dim *dims,
                           const struct point *p) {
  struct offset o = point_offset(e, dims, p);
  dtype = row_dtype(dtype);
  LLVMValueRef raw = load_lanes(e, base, dtype_unpacked_bytes(dtype), dtype,
                                stored_type(e, dtype, 1), false, &o, p->width);
  return decode(e, dtype, raw);
}

void emit_store_row(struct emit *e, LLVMValueRef base, enum dtype dtype, const dim *dims,
                    const struct point *p, LLVMValueRef x) {
  struct offset o = point_offset(e, dims, p);
  dtype = row_dtype(dtype);
  LLVMValueRef raw = emit_encode(e, dtype, x, p->width);
  store_lanes(e, base, dtype_unpacked_bytes(dtype), stored_type(e, dtype, 1), &o, raw, p->width);
}

LLVMValueRef emit_element_pointer(struct emit *e, LLVMValueRef base, enum dtype dtype,
                                  LLVMValueRef index) {
  return element_pointer(e, stored_type(e, dtype, 1), base, index);
}

LLVMValueRef emit_load_lanes(struct emit *e, LLVMValueRef base, enum dtype dtype,
                             LLVMValueRef index, int64_t align, enum dtype to, uint32_t width) {
  struct offset o = {.base = index, .stride = 1, .align = align};
  LLVMValueRef raw = load_lanes(e, base, buffer_align(e, dtype, &o), dtype,
                                stored_type(e, dtype, 1), false, &o, width);
  return emit_cast(e, decode(e, dtype, raw), dtype, to, CAST_DEFAULT, width);
}

bool emit_is_packed(const struct function *f, value_id v) {
  const struct op *def = value_def(f, v);
  return def && (def->kind == OP_CONST || def->kind == OP_PART) &&
         dtype_is_sub_byte(value_type(f, v)->dtype);
}
