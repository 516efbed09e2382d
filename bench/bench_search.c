/* SPDX-License-Identifier: Apache-2.0 */
/* How long the search takes: a decoder of 80 layers on 64 devices, all mesh shapes of up to three
 * axes, one phase and both. Weights have no data. */
#include <stdio.h>
#include <string.h>

#include "passes/partition/prepare_sharding.h"

#include "base/clock.h"
#include "passes/partition/search.h"

#define HIDDEN 8192
#define HEADS 64
#define KV_HEADS 8
#define WIDTH 128
#define FFN 28672
#define VOCABULARY 128256

struct decoder {
  struct builder b;
  struct module *m;
  dim batch, tokens, keys;
  value_id positions, key_positions;
};

static value_id weight(struct decoder *d, int64_t rows, int64_t columns) {
  struct constant c = {.name = "w", .dtype = DTYPE_BF16, .rank = 2, .dims = {rows, columns}};
  c.bytes = 2 * (uint64_t)(rows * columns);
  static const char nothing[1];
  c.data = nothing; /* never read */
  return build_const(&d->b, module_add_constant(d->m, &c));
}

static value_id product(struct decoder *d, value_id x, int64_t rows, int64_t columns) {
  int64_t lhs_k = 2, rhs_k = 0;
  struct contract_attrs a = {.lhs_k = {&lhs_k, 1}, .rhs_k = {&rhs_k, 1}, .dtype = DTYPE_BF16};
  return build_contract(&d->b, x, weight(d, rows, columns), &a);
}

static value_id norm(struct decoder *d, value_id x) {
  int64_t axis = 2;
  value_id sum = build_reduce(&d->b, build_binary(&d->b, SCALAR_MUL, x, x), &axis, 1, COMBINER_SUM);
  return build_binary(&d->b, SCALAR_MUL, x, build_unary(&d->b, SCALAR_SQRT, sum));
}

static value_id heads(struct decoder *d, value_id x, int64_t n) {
  struct dim_table *t = d->m->dims;
  dim dims[] = {d->batch, d->tokens, dim_const(t, n), dim_const(t, WIDTH)};
  int64_t perm[] = {0, 2, 1, 3};
  return build_transpose(&d->b, build_reshape(&d->b, x, dims, 4), perm);
}

static value_id attend(struct decoder *d, value_id x, uint32_t layer) {
  struct dim_table *t = d->m->dims;
  dim past_dims[] = {d->batch, dim_const(t, KV_HEADS), dim_sub(t, d->keys, d->tokens),
                     dim_const(t, WIDTH)};
  struct type type = type_make(DTYPE_BF16, past_dims, 4);
  value_id in[] = {region_add_param(d->b.function, 0, &type, "k"),
                   heads(d, product(d, x, HIDDEN, KV_HEADS * WIDTH), KV_HEADS)};
  value_id in_v[] = {region_add_param(d->b.function, 0, &type, "v"),
                     heads(d, product(d, x, HIDDEN, KV_HEADS * WIDTH), KV_HEADS)};
  value_id operands[] = {heads(d, product(d, x, HIDDEN, HEADS * WIDTH), HEADS),
                         build_concat(&d->b, in, 2, 2), build_concat(&d->b, in_v, 2, 2),
                         d->positions, d->key_positions};
  struct attention_attrs a = {.scale = 0.08, .causal = true, .has_pos = true, .lse = true};
  op_id op = build_op(&d->b, OP_ATTENTION, operands, 5, NULL, 0, &a);
  int64_t perm[] = {0, 2, 1, 3};
  dim dims[] = {d->batch, d->tokens, dim_const(t, HEADS * WIDTH)};
  value_id y = build_transpose(&d->b, op_result(d->b.function, op, 0), perm);
  (void)layer;
  return product(d, build_reshape(&d->b, y, dims, 3), HEADS * WIDTH, HIDDEN);
}

static value_id feed_forward(struct decoder *d, value_id x) {
  value_id gate = build_unary(&d->b, SCALAR_SIGMOID, product(d, x, HIDDEN, FFN));
  return product(d, build_binary(&d->b, SCALAR_MUL, gate, product(d, x, HIDDEN, FFN)), FFN, HIDDEN);
}

static struct module *build(uint32_t layers) {
  struct module *m = module_create();
  struct decoder d = {.m = m};
  struct diags none = {0};
  builder_init(&d.b, function_create(m, "main"), 0, &none);
  d.batch = dim_symbol(m->dims, "batch", 1, 1024);
  d.tokens = dim_symbol(m->dims, "sequence", 1, 1 << 20);
  dim past = dim_symbol(m->dims, "past", 0, 1 << 20);
  d.keys = dim_add(m->dims, past, d.tokens);
  dim ids_dims[] = {d.batch, d.tokens}, keys_dims[] = {d.batch, d.keys};
  struct type ids = type_make(DTYPE_I64, ids_dims, 2), keys = type_make(DTYPE_I64, keys_dims, 2);
  value_id tokens = region_add_param(d.b.function, 0, &ids, "tokens");
  d.positions = region_add_param(d.b.function, 0, &ids, "positions");
  d.key_positions = region_add_param(d.b.function, 0, &keys, "key_positions");
  int64_t axis = 0;
  value_id x =
      build_gather(&d.b, weight(&d, VOCABULARY, HIDDEN), &tokens, &axis, 1, OUT_OF_RANGE_CLAMP);
  for (uint32_t i = 0; i < layers; i++) {
    x = build_binary(&d.b, SCALAR_ADD, x, attend(&d, norm(&d, x), i));
    x = build_binary(&d.b, SCALAR_ADD, x, feed_forward(&d, norm(&d, x)));
  }
  value_id logits = product(&d, norm(&d, x), HIDDEN, VOCABULARY);
  vec_push(&d.b.function->regions.data[0].results, logits);
  diags_print(&none, stderr);
  diags_deinit(&none);
  return m;
}

static void measure(const char *machine_name, const char *text) {
  struct arena arena = {0};
  struct diags d = {0};
  struct module *m = build(80);
  struct machine machine;
  struct workload workload;
  struct search_result found;
  status st = machine_find(machine_name, &arena, &d, &machine);
  if (st == STATUS_OK)
    st = workload_parse(m, text, &arena, &d, &workload);
  double begin = clock_now_s();
  if (st == STATUS_OK)
    st = search_plan(m, &(struct search_request){.machine = &machine, .workload = &workload},
                     &arena, &d, &found);
  double seconds = clock_now_s() - begin;
  if (st == STATUS_OK) {
    printf("%s, %s: %u meshes in %.3f s, gap %.3g %%, objective %.3f ms, mesh", machine_name, text,
           found.n_candidates, seconds, 100 * found.gap / found.winner.seconds,
           1e3 * found.winner.seconds);
    for (uint32_t i = 0; i < found.mesh.n_axes; i++)
      printf(" %s=%lld", found.mesh.axes[i].name, (long long)found.mesh.axes[i].size);
    printf("\n");
  }
  diags_print(&d, stderr);
  diags_deinit(&d);
  module_destroy(m);
  arena_deinit(&arena);
}

int main(int argc, char **argv) {
  static const char *const workloads[] = {
      "prefill:batch=4,sequence=8192,past=0", "decode:batch=64,sequence=1,past=32768",
      "prefill:batch=4,sequence=8192,past=0;decode:batch=64,sequence=1,past=32768,weight=256"};
  for (int i = 0; i < 3; i++)
    if (argc < 2 || argv[1][0] == '0' + i)
      measure("8xh100x8", workloads[i]);
  return 0;
}
