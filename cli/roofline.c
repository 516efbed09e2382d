/* SPDX-License-Identifier: Apache-2.0 */
/* Peak arithmetic and bandwidth of this host. */
#include "cli/roofline.h"

#include "base/clock.h"
#include "base/mem.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { CHAINS = 12, STEPS = 4096 }; /* chains hide a latency of 4 to 6 cycles on two ports */

/* Each returns the operations it did; *sink keeps the work alive. */
typedef double arithmetic(float *sink);

static double arithmetic_sse(float *sink) {
  __m128 a[CHAINS], x = _mm_set1_ps(0.999f), y = _mm_set1_ps(0.001f);
  for (int i = 0; i < CHAINS; i++)
    a[i] = _mm_set1_ps((float)i);
  for (int s = 0; s < STEPS; s++)
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
      a[i] = _mm_add_ps(_mm_mul_ps(a[i], x), y);
  for (int i = 0; i < CHAINS; i++)
    *sink += _mm_cvtss_f32(a[i]);
  return 2.0 * 4 * CHAINS * STEPS;
}

__attribute__((target("avx2,fma"))) static double arithmetic_avx2(float *sink) {
  __m256 a[CHAINS], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
  for (int i = 0; i < CHAINS; i++)
    a[i] = _mm256_set1_ps((float)i);
  for (int s = 0; s < STEPS; s++)
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
      a[i] = _mm256_fmadd_ps(a[i], x, y);
  for (int i = 0; i < CHAINS; i++)
    *sink += _mm256_cvtss_f32(a[i]);
  return 2.0 * 8 * CHAINS * STEPS;
}

__attribute__((target("avx512f"))) static double arithmetic_avx512(float *sink) {
  __m512 a[CHAINS], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
  for (int i = 0; i < CHAINS; i++)
    a[i] = _mm512_set1_ps((float)i);
  for (int s = 0; s < STEPS; s++)
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
      a[i] = _mm512_fmadd_ps(a[i], x, y);
  for (int i = 0; i < CHAINS; i++)
    *sink += _mm512_cvtss_f32(a[i]);
  return 2.0 * 16 * CHAINS * STEPS;
}

static arithmetic *best_arithmetic(void) {
  if (__builtin_cpu_supports("avx512f"))
    return arithmetic_avx512;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? arithmetic_avx2
                                                                         : arithmetic_sse;
}

/* Four sums, so that loads and not additions are what it waits for. */
static double read_all(const float *data, size_t bytes, float *sink) {
  __m128 a = _mm_setzero_ps(), b = a, c = a, d = a;
  for (size_t i = 0; i < bytes / sizeof *data; i += 16) {
    a = _mm_add_ps(a, _mm_load_ps(data + i));
    b = _mm_add_ps(b, _mm_load_ps(data + i + 4));
    c = _mm_add_ps(c, _mm_load_ps(data + i + 8));
    d = _mm_add_ps(d, _mm_load_ps(data + i + 12));
  }
  *sink += _mm_cvtss_f32(_mm_add_ps(_mm_add_ps(a, b), _mm_add_ps(c, d)));
  return (double)bytes;
}

struct worker {
  pthread_t thread;
  bool started;
  size_t buffer_bytes; /* 0: arithmetic */
  atomic_bool *go;
  double seconds;
  double rate;
  float sink;
};

enum { SLICE = 1 << 20 };

/* One slice of the buffer, or some arithmetic; returns the bytes or operations. */
static double work_step(struct worker *w, const float *data, size_t bytes, size_t *at) {
  if (!bytes)
    return best_arithmetic()(&w->sink);
  size_t n = bytes - *at < SLICE ? bytes - *at : SLICE;
  double done = read_all(data + *at / sizeof *data, n, &w->sink);
  *at = *at + n < bytes ? *at + n : 0;
  return done;
}

/* The best of many short windows: other programs take time from some of them. */
static void work_windows(struct worker *w, const float *data, size_t bytes) {
  double begin = clock_now_s();
  size_t at = 0;
  while (clock_now_s() - begin < w->seconds) {
    double start = clock_now_s(), end = start, done = 0;
    while (end - start < 2e-3) {
      done += work_step(w, data, bytes, &at);
      end = clock_now_s();
    }
    double rate = done / (end - start);
    w->rate = rate > w->rate ? rate : w->rate;
  }
}

static void *work(void *argument) {
  struct worker *w = argument;
  size_t bytes = w->buffer_bytes & ~(size_t)63;
  float *data = bytes ? mem_try_calloc(bytes + 64, 1) : NULL;
  float *aligned = (float *)(((uintptr_t)data + 63) & ~(uintptr_t)63);
  if (data)
    memset(data, 1, bytes); /* touched pages, none of them the shared zero page */
  while (!atomic_load(w->go))
    sched_yield();
  if (data || !bytes)
    work_windows(w, aligned, bytes);
  mem_free(data);
  return NULL;
}

/* The sum of the threads' best rates while all of them are at it. */
static double measure(uint32_t *threads, size_t buffer_bytes, double seconds) {
  atomic_bool go = false;
  struct worker *workers = mem_calloc(*threads, sizeof *workers);
  double rate = 0;
  uint32_t started = 0;
  for (uint32_t i = 0; i < *threads; i++) {
    workers[i] = (struct worker){.buffer_bytes = buffer_bytes, .go = &go, .seconds = seconds};
    workers[i].started = !pthread_create(&workers[i].thread, NULL, work, &workers[i]);
  }
  atomic_store(&go, true);
  for (uint32_t i = 0; i < *threads; i++)
    if (workers[i].started) {
      pthread_join(workers[i].thread, NULL);
      rate += workers[i].rate;
      started++;
    }
  mem_free(workers);
  *threads = started ? started : 1;
  return rate;
}

void roofline_measure(uint32_t threads, struct roofline *out) {
  long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
  size_t cache = l2 > 0 ? (size_t)l2 : 256 << 10;
  *out = (struct roofline){.threads = threads ? threads : 1};
  out->flops_per_s = measure(&out->threads, 0, 0.25);
  out->cache_bytes_per_s = measure(&out->threads, cache / 2, 0.25);
  out->memory_bytes_per_s = measure(&out->threads, (512u << 20) / out->threads, 0.4);
  out->cache_bytes = (uint64_t)cache * out->threads;
}

double roofline_seconds(const struct roofline *r, double flops, double bytes) {
  double rate = bytes <= (double)r->cache_bytes ? r->cache_bytes_per_s : r->memory_bytes_per_s;
  double compute = r->flops_per_s > 0 ? flops / r->flops_per_s : 0;
  double move = rate > 0 ? bytes / rate : 0;
  return compute > move ? compute : move;
}
