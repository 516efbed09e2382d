/* SPDX-License-Identifier: Apache-2.0 */
/* once: kernels that read constants only run once per session.
 *
 *     %w = const @w : i8[4096, 4096]
 *     %0 = fused %w { root = pointwise } ...
 *     %1 = fused %x, %0 { root = contract } ...
 *   =>
 *     %w = const @w : i8[4096, 4096]
 *     %0 = fused %w { root = pointwise, once = true } ...
 *     %1 = fused %x, %0 { root = contract } ...
 *
 * A large constant that is made of a smaller one (a cast, scales and zero points, a transposition)
 * is not stored in the engine: fold stops at 64 KiB. Its kernels are its recipe, which the session
 * follows before it first runs the variant, on its own device; what they make stays as long as the
 * session. What such kernels read may be made by others of the kind.
 *
 * Not marked are kernels inside of loops and branches, random numbers, sizes that a run decides,
 * and what is more than EXPANSION times as large as what it is made of (and not small): to write
 * that again costs less than the memory for keeping it.
 *
 * Requires: fuse, order. Preserves: values bit by bit. */
#include "ir/symbols.h"
#include "passes/pass.h"

#define EXPANSION 8
#define SMALL_BYTES (1 << 20)

struct once {
  struct function *f;
  bool *constant; /* by value: a constant, or made once */
  struct symbol_sets symbols;
  bool varies;
};

/* Bytes of a value whose dims are numbers; false for others. */
static bool static_bytes(const struct function *f, value_id v, uint64_t *out) {
  const struct type *type = value_type(f, v);
  int64_t dims[IR_MAX_RANK];
  uint64_t bytes = dtype_unpacked_bytes(type->dtype);
  if (!type_static_dims(f->module->dims, type, dims))
    return false;
  for (uint32_t i = 0; i < type->rank; i++)
    if (__builtin_mul_overflow(bytes, (uint64_t)dims[i], &bytes))
      return false;
  *out = bytes;
  return true;
}

static void look_at_dim(void *user, dim d) {
  struct once *s = user;
  const uint32_t *symbols;
  s->varies |= symbols_of(&s->symbols, d, &symbols) > 0;
}

/* Whether a kernel draws random numbers, or anything in it depends on the sizes of a run. */
static bool varies(struct once *s, const struct op *fused) {
  const struct region *r = &s->f->regions.data[fused->regions[0]];
  s->varies = false;
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(s->f, r->ops.data[i]);
    s->varies |= op->kind == OP_RANDOM;
    op_visit_dims(s->f, op, look_at_dim, s);
  }
  return s->varies;
}

static bool is_worth_keeping(const struct once *s, const struct op *op) {
  uint64_t in = 0, out = 0, bytes;
  for (uint32_t i = 0; i < op->n_operands; i++) {
    if (!static_bytes(s->f, op->operands[i], &bytes))
      return false;
    in += bytes;
  }
  for (uint32_t i = 0; i < op->n_results; i++) {
    if (!static_bytes(s->f, op->results[i], &bytes) || __builtin_add_overflow(out, bytes, &out))
      return false;
  }
  return out <= SMALL_BYTES || out / EXPANSION <= in;
}

static bool reads_constants(const struct once *s, const struct op *op) {
  bool all = true;
  for (uint32_t i = 0; i < op->n_operands; i++)
    all &= s->constant[op->operands[i]];
  return all;
}

static void visit(struct once *s, op_id id) {
  struct op *op = &s->f->ops.data[id];
  bool kept = op->kind == OP_CONST || op->kind == OP_PART;
  if (op->kind == OP_RESHAPE) /* another name; packed elements would be unpacked by the way */
    kept = reads_constants(s, op) && !dtype_is_sub_byte(value_type(s->f, op->results[0])->dtype);
  if (op->kind == OP_FUSED && reads_constants(s, op) && !varies(s, op) && is_worth_keeping(s, op)) {
    struct fused_attrs attrs = *OP_ATTRS(fused, op);
    attrs.once = kept = true;
    op->attrs = attrs_copy(s->f->module, OP_FUSED, &attrs);
  }
  for (uint32_t i = 0; i < op->n_results; i++)
    s->constant[op->results[i]] = kept;
}

status pass_once(struct pass_context *ctx) {
  for (uint32_t i = 0; i < ctx->module->functions.len; i++) {
    struct function *f = ctx->module->functions.data[i];
    struct once s = {.f = f, .constant = ARENA_ARRAY(ctx->scratch, bool, f->values.len)};
    symbol_sets_init(&s.symbols, f->module->dims);
    for (uint32_t k = 0; k < f->regions.data[0].ops.len; k++)
      visit(&s, f->regions.data[0].ops.data[k]);
    symbol_sets_deinit(&s.symbols);
  }
  return STATUS_OK;
}
