/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions that NCCL does not have: integers of 16 bits, and max and min of floats in which NaN
 * wins and +0 is above -0. As on the host (host_move.c) each rank combines one segment for all:
 * segments travel as bytes, a kernel of ours combines them in the order of places, results travel
 * back.
 */
#include "base/checked.h"
#include "runtime/comm/nccl/nccl_state.h"

#include <stdio.h>

/* dst[i] = src[i] OP src[n + i] OP ..., i < n: `LOAD` puts the element at %rd7 into X or Y, `OP`
 * combines the two into X, `STORE` writes X to %rd8. */
#define KERNEL(name, bytes, LOAD_X, LOAD_Y, OP, STORE)                                             \
  ".visible .entry " name "(.param .u64 dst, .param .u64 src, .param .u64 n, .param .u64 ranks)\n" \
  "{\n.reg .pred %p<4>; .reg .b16 %h<4>; .reg .b32 %r<8>; .reg .b64 %rd<12>;\n"                    \
  ".reg .f32 %f<6>; .reg .f64 %d<6>;\n"                                                            \
  "mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mov.u32 %r4, %nctaid.x;\n"    \
  "mad.wide.u32 %rd1, %r1, %r2, 0; cvt.u64.u32 %rd2, %r3; add.u64 %rd1, %rd1, %rd2;\n"             \
  "mul.wide.u32 %rd2, %r4, %r2; ld.param.u64 %rd3, [dst]; ld.param.u64 %rd4, [src];\n"             \
  "ld.param.u64 %rd5, [n]; ld.param.u64 %rd6, [ranks];\n"                                          \
  "ELEMENT: setp.ge.u64 %p1, %rd1, %rd5; @%p1 bra DONE;\n"                                         \
  "mul.lo.u64 %rd8, %rd1, " bytes "; add.u64 %rd7, %rd4, %rd8; add.u64 %rd8, %rd3, %rd8;\n"        \
  "mul.lo.u64 %rd9, %rd5, " bytes "; mov.u64 %rd10, 1;\n" LOAD_X                                   \
  "RANK: setp.ge.u64 %p1, %rd10, %rd6; @%p1 bra STORE; add.u64 %rd7, %rd7, %rd9;\n" LOAD_Y OP      \
  "add.u64 %rd10, %rd10, 1; bra RANK;\nSTORE:\n" STORE                                             \
  "add.u64 %rd1, %rd1, %rd2; bra ELEMENT;\nDONE: ret;\n}\n"

#define F32_OP(op)                                                                                 \
  "setp.nan.f32 %p2, %f1, %f2; add.rn.f32 %f3, %f1, %f2; " op                                      \
  ".f32 %f4, %f1, %f2; selp.f32 %f1, %f3, %f4, %p2;\n"
#define F64_OP(op)                                                                                 \
  "setp.nan.f64 %p2, %d1, %d2; add.rn.f64 %d3, %d1, %d2; " op                                      \
  ".f64 %d4, %d1, %d2; selp.f64 %d1, %d3, %d4, %p2;\n"
#define F16_LOAD(x) "ld.global.b16 %h1, [%rd7]; cvt.f32.f16 " x ", %h1;\n"
#define BF16_LOAD(x) "ld.global.u16 %r5, [%rd7]; shl.b32 %r5, %r5, 16; mov.b32 " x ", %r5;\n"
#define I16_LOAD(type, x) "ld.global." type " " x ", [%rd7];\n"

#define FLOATS(op)                                                                                 \
  KERNEL("f32_" op, "4", "ld.global.f32 %f1, [%rd7];\n", "ld.global.f32 %f2, [%rd7];\n",           \
         F32_OP(op), "st.global.f32 [%rd8], %f1;\n")                                               \
  KERNEL("f64_" op, "8", "ld.global.f64 %d1, [%rd7];\n", "ld.global.f64 %d2, [%rd7];\n",           \
         F64_OP(op), "st.global.f64 [%rd8], %d1;\n")                                               \
  KERNEL("f16_" op, "2", F16_LOAD("%f1"), F16_LOAD("%f2"), F32_OP(op),                             \
         "cvt.rn.f16.f32 %h1, %f1; st.global.b16 [%rd8], %h1;\n")                                  \
  KERNEL("bf16_" op, "2", BF16_LOAD("%f1"), BF16_LOAD("%f2"), F32_OP(op),                          \
         "mov.b32 %r5, %f1; shr.u32 %r5, %r5, 16; st.global.u16 [%rd8], %r5;\n")
#define INTEGERS(op, text)                                                                         \
  KERNEL("i16_" op, "2", I16_LOAD("s16", "%r5"), I16_LOAD("s16", "%r6"),                           \
         text ".s32 %r5, %r5, %r6;\n", "st.global.u16 [%rd8], %r5;\n")                             \
  KERNEL("u16_" op, "2", I16_LOAD("u16", "%r5"), I16_LOAD("u16", "%r6"),                           \
         text ".u32 %r5, %r5, %r6;\n", "st.global.u16 [%rd8], %r5;\n")

static const char kernels[] = ".version 6.4\n.target sm_75\n.address_size 64\n" FLOATS("max")
    FLOATS("min") INTEGERS("sum", "add") INTEGERS("prod", "mul.lo") INTEGERS("max", "max")
        INTEGERS("min", "min");

/* --- Which --- */

static const char *dtype_word(enum dtype dtype) {
  switch (dtype) {
  case DTYPE_F32: return "f32";
  case DTYPE_F64: return "f64";
  case DTYPE_F16: return "f16";
  case DTYPE_BF16: return "bf16";
  case DTYPE_I16: return "i16";
  case DTYPE_U16: return "u16";
  default: return NULL;
  }
}

bool nccl_combines(const Engine__Exchange *body, enum dtype dtype) {
  bool orders =
      body->reduction == ENGINE__REDUCTION__MAX || body->reduction == ENGINE__REDUCTION__MIN;
  if (body->kind != ENGINE__EXCHANGE_KIND__ALL_REDUCE &&
      body->kind != ENGINE__EXCHANGE_KIND__REDUCE_SCATTER)
    return false;
  return dtype_word(dtype) && (orders || dtype == DTYPE_I16 || dtype == DTYPE_U16);
}

static bool wanted(const struct plan *plan) {
  for (uint32_t i = 0; i < plan->exchange_count; i++) {
    const Engine__Exchange *body = plan->exchanges[i].body;
    for (size_t k = 0; k < body->n_parts; k++)
      if (nccl_combines(body, (enum dtype)plan->manifest->values[body->parts[k]->src]->dtype))
        return true;
  }
  return false;
}

/* --- Code --- */

status nccl_combine_load(struct comm *c) {
  bool needed = wanted(c->plan);
  for (uint32_t i = 0; i < c->n && needed; i++) {
    struct nccl_rank *r = &c->ranks[i];
    if (!r->code)
      CUDA_TRY(r->device, "loading reductions", module_load(&r->code, kernels, 0, NULL, NULL));
  }
  return STATUS_OK;
}

void nccl_combine_unload(struct nccl_rank *r) {
  if (r->code && r->device->api->context_set(r->device->context) == CUDA_SUCCESS)
    r->device->api->module_unload(r->code);
  r->comm->driver->buffer_release(r->device, &r->segments);
  r->code = NULL;
}

#define THREADS 128u
#define MOST_BLOCKS 1024u

static status launch(struct nccl_rank *r, enum dtype dtype, Engine__Reduction reduction,
                     uint8_t *dst, uint64_t n, uint64_t ranks) {
  static const char *const words[] = {"sum", "max", "min", "prod"};
  char name[16];
  cuda_function *function;
  uint64_t to = (uint64_t)(uintptr_t)dst, from = (uint64_t)(uintptr_t)r->segments.data;
  uint64_t blocks = n / THREADS + 1;
  void *parameters[] = {&to, &from, &n, &ranks};
  snprintf(name, sizeof name, "%s_%s", dtype_word(dtype), words[reduction]);
  CUDA_TRY(r->device, "finding a reduction", module_function(&function, r->code, name));
  CUDA_TRY(r->device, "combining elements",
           launch(function, blocks < MOST_BLOCKS ? (unsigned)blocks : MOST_BLOCKS, 1, 1, THREADS, 1,
                  1, 0, r->device->stream, parameters, NULL));
  return STATUS_OK;
}

/* --- Segments --- */

struct segments {
  struct nccl_rank *r;
  nccl_handle *handle;
  const struct comm_block *block;
  bool scatter; /* blocks take the place of segments */
  uint32_t place, n;
  uint64_t size; /* of an element */
};

static uint64_t start_of(const struct segments *s, uint32_t place) {
  return s->size *
         (s->scatter ? place * s->block->elements : comm_segment(s->block->elements, place, s->n));
}

static int first_result(int a, int b) { return a && a != NCCL_IN_PROGRESS ? a : b ? b : a; }

/* Everybody's segment to whom combines it. */
static status send_parts(const struct segments *s) {
  const struct nccl_api *api = s->r->comm->api;
  cuda_stream *stream = s->r->device->stream;
  uint64_t own = start_of(s, s->place + 1) - start_of(s, s->place);
  int result = api->group_start();
  for (uint32_t q = 0; q < s->n; q++) {
    uint64_t bytes = start_of(s, q + 1) - start_of(s, q);
    if (bytes)
      result = first_result(result, api->send(s->block->src + start_of(s, q), bytes, NCCL_U8,
                                              (int)q, s->handle, stream));
    if (own)
      result = first_result(result, api->receive(s->r->segments.data + q * own, own, NCCL_U8,
                                                 (int)q, s->handle, stream));
  }
  result = first_result(result, api->group_end());
  return nccl_result(s->r, result, "sending parts of a reduction");
}

static status send_results(const struct segments *s) {
  const struct nccl_api *api = s->r->comm->api;
  cuda_stream *stream = s->r->device->stream;
  uint8_t *dst = s->block->dst;
  uint64_t own = start_of(s, s->place + 1) - start_of(s, s->place);
  int result = api->group_start();
  for (uint32_t q = 0; q < s->n; q++) {
    uint64_t bytes = start_of(s, q + 1) - start_of(s, q);
    if (q == s->place)
      continue;
    if (own)
      result = first_result(
          result, api->send(dst + start_of(s, s->place), own, NCCL_U8, (int)q, s->handle, stream));
    if (bytes)
      result = first_result(
          result, api->receive(dst + start_of(s, q), bytes, NCCL_U8, (int)q, s->handle, stream));
  }
  result = first_result(result, api->group_end());
  return nccl_result(s->r, result, "sending results of a reduction");
}

static status combine_block(const struct segments *s, Engine__Reduction reduction) {
  uint64_t own = start_of(s, s->place + 1) - start_of(s, s->place), all;
  uint8_t *to = s->block->dst + (s->scatter ? 0 : start_of(s, s->place));
  if (!u64_mul(own, s->n, &all))
    return fault_no_memory("a reduction", own);
  status st = s->r->comm->driver->buffer_reserve(s->r->device, &s->r->segments, all, false);
  if (!st)
    st = send_parts(s);
  if (!st && own)
    st = launch(s->r, s->block->dtype, reduction, to, own / s->size, s->n);
  return st || s->scatter ? st : send_results(s);
}

status nccl_combine(struct nccl_rank *r, const struct plan_exchange *exchange,
                    const struct comm_block *block) {
  const struct plan_group *group = &r->comm->plan->groups[exchange->group];
  struct segments s = {.r = r,
                       .handle = r->groups[exchange->group],
                       .block = block,
                       .scatter = exchange->body->kind == ENGINE__EXCHANGE_KIND__REDUCE_SCATTER,
                       .place = plan_group_place(r->comm->plan, group, r->number),
                       .n = group->size,
                       .size = dtype_unpacked_bytes(block->dtype)};
  return block->elements ? combine_block(&s, exchange->body->reduction) : STATUS_OK;
}
