/* SPDX-License-Identifier: Apache-2.0 */
/* sinter bench: latency, throughput, and with --profile the time of each kernel beside the roof. */
#include "cli/exchanges.h"

#include "base/clock.h"
#include "cli/host_tensor.h"
#include "cli/model_engine.h"
#include "cli/ranked.h"
#include "cli/roofline.h"
#include "cli/run_inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What one kernel did for one ONNX node in all profiled runs. */
struct kernel_time {
  const char *kernel, *node, *op; /* the engine's */
  uint64_t ns, launches, flops, bytes;
  double least_s; /* by the roofline */
};

struct bench {
  struct invocation *v;
  sinter_engine *engine;
  sinter_session_options session_options;
  const char *entry;
  uint32_t n_outputs;
  sinter_tensor *outputs;
  struct run_inputs inputs;
  VEC(uint64_t) latencies; /* ns, sorted once measured */
  double seconds;          /* of all measured runs */
  sinter_session_stats stats;
  sinter_session *session; /* the one measured */
  VEC(struct kernel_time) kernels;
  uint32_t profiled_runs;
  double profiled_s;
  struct roofline roof;
};

static double seconds_since(uint64_t begin) { return (double)(clock_now_ns() - begin) * 1e-9; }

/* ---- measuring ---- */

static status session_for(struct bench *b, sinter_profile_hook *hook, sinter_session **out) {
  sinter_session_options options = b->session_options;
  options.profile = hook;
  options.profile_user = b;
  return runtime_error_to_diags(sinter_session_create(b->engine, &options, out), &b->v->diags);
}

/* Outputs in the session's memory, which it keeps from run to run. */
static status run_once(struct bench *b, sinter_session *session) {
  for (uint32_t i = 0; i < b->n_outputs; i++)
    b->outputs[i] = (sinter_tensor){0};
  return runtime_error_to_diags(sinter_session_run(session, b->entry, b->inputs.tensors,
                                                   b->inputs.n, b->outputs, b->n_outputs),
                                &b->v->diags);
}

/* Rank 0's clock counts: all processes make as many runs. */
static bool goes_on(struct bench *b, bool more, status *s) {
  uint8_t mine = more, all[SINTER_WORLD_MOST];
  if (!b->v->world)
    return more;
  *s = runtime_error_to_diags(sinter_world_exchange(b->v->world, &mine, 1, all), &b->v->diags);
  return !*s && all[0];
}

static status warm_up(struct bench *b, sinter_session *session) {
  double limit = option_real(&b->v->options, OPT_WARMUP, 0.5);
  uint64_t begin = clock_now_ns();
  status s;
  do
    s = run_once(b, session);
  while (!s && goes_on(b, seconds_since(begin) < limit, &s));
  return s;
}

static int by_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static status measure(struct bench *b) {
  const struct options *o = &b->v->options;
  bool counted = option_given(o, OPT_ITERATIONS);
  uint64_t most = option_number(o, OPT_ITERATIONS, 10000000);
  double limit = option_real(o, OPT_DURATION, 3);
  status s = session_for(b, NULL, &b->session);
  if (s)
    return s;
  s = warm_up(b, b->session);
  uint64_t begin = clock_now_ns();
  while (!s && b->latencies.len < most &&
         (counted || goes_on(b, seconds_since(begin) < limit, &s))) {
    uint64_t start = clock_now_ns();
    s = run_once(b, b->session);
    vec_push(&b->latencies, clock_now_ns() - start);
  }
  b->seconds = seconds_since(begin);
  b->stats.struct_size = sizeof b->stats;
  if (!s)
    s = runtime_error_to_diags(sinter_session_get_stats(b->session, &b->stats), &b->v->diags);
  if (b->latencies.len)
    qsort(b->latencies.data, b->latencies.len, sizeof *b->latencies.data, by_size);
  return s;
}

static void on_kernel(void *user, const sinter_profile_event *e) {
  struct bench *b = user;
  struct kernel_time *k = NULL;
  for (uint32_t i = 0; i < b->kernels.len && !k; i++)
    if (b->kernels.data[i].kernel == e->kernel && b->kernels.data[i].node == e->node)
      k = &b->kernels.data[i];
  if (!k) {
    vec_push(&b->kernels,
             ((struct kernel_time){.kernel = e->kernel, .node = e->node, .op = e->op}));
    k = &vec_last(&b->kernels);
  }
  k->ns += e->end_ns - e->start_ns;
  k->launches++;
  k->flops += e->flops;
  k->bytes += e->bytes;
}

static int by_time(const void *a, const void *b) {
  const struct kernel_time *x = a, *y = b;
  return (x->ns < y->ns) - (x->ns > y->ns);
}

/* The hook costs time, so profiled runs are not among the latencies. */
static status profile(struct bench *b) {
  double limit = option_real(&b->v->options, OPT_DURATION, 3) / 2;
  sinter_session *session;
  status s = session_for(b, on_kernel, &session);
  if (s)
    return s;
  s = run_once(b, session);
  vec_clear(&b->kernels);
  uint64_t begin = clock_now_ns();
  while (!s && (b->profiled_runs < 3 ||
                (b->profiled_runs < 1000 && goes_on(b, seconds_since(begin) < limit, &s)))) {
    s = run_once(b, session);
    b->profiled_runs++;
  }
  b->profiled_s = seconds_since(begin);
  sinter_session_destroy(session);
  roofline_measure(b->stats.threads, &b->roof);
  for (uint32_t i = 0; i < b->kernels.len; i++) {
    struct kernel_time *k = &b->kernels.data[i];
    double n = (double)k->launches;
    k->least_s = n * roofline_seconds(&b->roof, (double)k->flops / n, (double)k->bytes / n);
  }
  if (b->kernels.len)
    qsort(b->kernels.data, b->kernels.len, sizeof *b->kernels.data, by_time);
  return s;
}

/* ---- reports ---- */

/* The smallest latency that `percent` of the runs do not exceed. */
static double percentile_ms(const struct bench *b, uint32_t percent) {
  uint64_t n = b->latencies.len, rank = (n * percent + 99) / 100;
  return n ? (double)b->latencies.data[rank ? rank - 1 : 0] * 1e-6 : 0;
}

static double runs_per_s(const struct bench *b) {
  return b->seconds > 0 ? b->latencies.len / b->seconds : 0;
}

static double per_ns(uint64_t amount, uint64_t ns) { return ns ? (double)amount / (double)ns : 0; }

static double of_roof(const struct kernel_time *k) {
  return k->ns ? k->least_s * 1e9 / (double)k->ns : 0;
}

static void print_profile(const struct bench *b) {
  double runs = b->profiled_runs, total = 0;
  for (uint32_t i = 0; i < b->kernels.len; i++)
    total += (double)b->kernels.data[i].ns;
  printf("\nroof: %.1f GFLOP/s, %.1f GB/s from cache, %.1f GB/s from memory, on %u threads\n",
         b->roof.flops_per_s * 1e-9, b->roof.cache_bytes_per_s * 1e-9,
         b->roof.memory_bytes_per_s * 1e-9, b->roof.threads);
  printf("kernels: %.1f %% of the time of %u runs\n\n",
         b->profiled_s > 0 ? total * 1e-7 / b->profiled_s : 0, b->profiled_runs);
  printf("%7s %10s %8s %9s %9s %7s  %s\n", "share", "us/run", "launches", "GFLOP/s", "GB/s", "roof",
         "kernel: first node");
  for (uint32_t i = 0; i < b->kernels.len; i++) {
    const struct kernel_time *k = &b->kernels.data[i];
    printf("%6.1f%% %10.1f %8.1f ", total > 0 ? 100 * (double)k->ns / total : 0,
           (double)k->ns * 1e-3 / runs, (double)k->launches / runs);
    if (k->flops || k->bytes)
      printf("%9.2f %9.2f %6.1f%%", per_ns(k->flops, k->ns), per_ns(k->bytes, k->ns),
             100 * of_roof(k));
    else
      printf("%9s %9s %7s", "-", "-", "-"); /* the compiler made no estimate */
    printf("  %s: %s (%s)\n", k->kernel, k->node, k->op);
  }
}

static void print_report(const struct bench *b) {
  printf("%u runs in %.2f s on %u threads (%s)\n", b->latencies.len, b->seconds, b->stats.threads,
         b->stats.target);
  printf("latency   min %.4f ms  p50 %.4f ms  p90 %.4f ms  p99 %.4f ms\n", percentile_ms(b, 0),
         percentile_ms(b, 50), percentile_ms(b, 90), percentile_ms(b, 99));
  printf("rate      %.1f runs/s\n", runs_per_s(b));
  printf("memory    %.2f MiB of intermediate values, %.2f MiB of scratch\n",
         (double)(b->stats.arena_bytes + b->stats.dynamic_bytes) / 0x1p20,
         (double)b->stats.scratch_bytes / 0x1p20);
  if (b->stats.graphs_made)
    printf("graphs    %llu recorded, %llu runs by them\n", (unsigned long long)b->stats.graphs_made,
           (unsigned long long)b->stats.graphs_launched);
  exchanges_print(b->session, b->v->world, stdout);
  if (b->profiled_runs)
    print_profile(b);
}

static void key_f64(struct json *j, const char *key, double value) {
  json_key(j, key);
  json_f64(j, value);
}

static void key_u64(struct json *j, const char *key, uint64_t value) {
  json_key(j, key);
  json_u64(j, value);
}

static void json_profile(const struct bench *b, struct json *j) {
  double runs = b->profiled_runs;
  json_key(j, "roofline");
  json_object_begin(j);
  key_f64(j, "gflops", b->roof.flops_per_s * 1e-9);
  key_f64(j, "cache_gb_s", b->roof.cache_bytes_per_s * 1e-9);
  key_f64(j, "memory_gb_s", b->roof.memory_bytes_per_s * 1e-9);
  json_object_end(j);
  json_key(j, "kernels");
  json_array_begin(j);
  for (uint32_t i = 0; i < b->kernels.len; i++) {
    const struct kernel_time *k = &b->kernels.data[i];
    json_object_begin(j);
    json_key(j, "kernel"), json_string(j, k->kernel);
    json_key(j, "node"), json_string(j, k->node);
    json_key(j, "op"), json_string(j, k->op);
    key_f64(j, "us_per_run", (double)k->ns * 1e-3 / runs);
    key_f64(j, "launches_per_run", (double)k->launches / runs);
    key_f64(j, "gflops", per_ns(k->flops, k->ns));
    key_f64(j, "gb_s", per_ns(k->bytes, k->ns));
    key_f64(j, "of_roof", of_roof(k));
    json_object_end(j);
  }
  json_array_end(j);
}

static void json_report(const struct bench *b) {
  struct json *j = &b->v->json;
  json_key(j, "file"), json_string(j, b->v->options.arguments[0]);
  json_key(j, "target"), json_string(j, b->stats.target);
  key_u64(j, "threads", b->stats.threads);
  key_u64(j, "runs", b->latencies.len);
  json_key(j, "latency_ms");
  json_object_begin(j);
  key_f64(j, "min", percentile_ms(b, 0));
  key_f64(j, "p50", percentile_ms(b, 50));
  key_f64(j, "p90", percentile_ms(b, 90));
  key_f64(j, "p99", percentile_ms(b, 99));
  key_f64(j, "max", percentile_ms(b, 100));
  json_object_end(j);
  key_f64(j, "runs_per_s", runs_per_s(b));
  key_u64(j, "arena_bytes", b->stats.arena_bytes);
  key_u64(j, "dynamic_bytes", b->stats.dynamic_bytes);
  key_u64(j, "scratch_bytes", b->stats.scratch_bytes);
  key_u64(j, "launches", b->stats.launches);
  key_u64(j, "graphs_made", b->stats.graphs_made);
  key_u64(j, "graphs_launched", b->stats.graphs_launched);
  exchanges_json(b->session, b->v->world, j);
  if (b->profiled_runs)
    json_profile(b, j);
}

static status prepare(struct bench *b) {
  struct invocation *v = b->v;
  uint32_t entry;
  status s = ranked_begin(v, &b->session_options);
  if (!s)
    s = engine_for_verb(v, v->options.arguments[0], &b->engine);
  if (!s)
    s = engine_entry(&v->options, b->engine, &v->diags, &entry);
  if (s)
    return s;
  b->entry = sinter_engine_entry_name(b->engine, entry);
  b->n_outputs = sinter_engine_output_count(b->engine, entry);
  b->outputs = ARENA_ARRAY(&v->arena, sinter_tensor, b->n_outputs);
  return run_inputs_make(&v->options, b->engine, entry, &v->arena, &v->diags, &b->inputs);
}

status verb_bench(struct invocation *v) {
  static const enum option_id of_time[] = {OPT_DURATION, OPT_COUNT};
  static const enum option_id of_kernels[] = {OPT_PROFILE, OPT_COUNT};
  struct bench b = {.v = v};
  status s = STATUS_OK;
  if (option_given(&v->options, OPT_ITERATIONS) && !option_given(&v->options, OPT_PROFILE))
    s = options_refuse(&v->options, of_time, "has no effect beside --iterations", &v->diags);
  if (!s)
    s = prepare(&b);
  if (!s && v->world)
    s = options_refuse(&v->options, of_kernels, "is for one process", &v->diags);
  if (!s)
    s = measure(&b);
  if (!s && option_given(&v->options, OPT_PROFILE))
    s = profile(&b);
  if (!s && v->as_json)
    json_report(&b);
  else if (!s)
    print_report(&b);
  run_inputs_deinit(&b.inputs);
  vec_deinit(&b.latencies);
  vec_deinit(&b.kernels);
  sinter_session_destroy(b.session);
  sinter_engine_close(b.engine);
  return s;
}
