/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules of products, windows, rows and point-wise code, with epilogues, at random shapes. */
#include "tests/codegen/kernel_cases.h"

/* ---- convolution ---- */

struct spatial {
  uint32_t n;
  int64_t in[2], out[2], size[2], stride[2], dilation[2], low[2], high[2];
  bool open; /* the last dim is a symbol: the size or up to 3 more */
};

static void pick_spatial(struct spatial *s, int64_t most) {
  s->n = (uint32_t)pick(1, 2);
  bool plain = pick(0, 3) == 0;
  for (uint32_t i = 0; i < s->n; i++) {
    s->size[i] = plain ? 1 : pick(1, 5);
    s->stride[i] = plain ? 1 : pick(0, 1) ? 1 : pick(1, 3);
    s->dilation[i] = pick(0, 3) ? 1 : 2;
    s->low[i] = plain ? 0 : pick(0, s->size[i] - 1);
    s->high[i] = plain ? 0 : pick(0, s->size[i] - 1);
    int64_t least = (s->size[i] - 1) * s->dilation[i] + 1 - s->low[i] - s->high[i];
    s->in[i] = pick(0, 7) == 0 ? 130 : size(most);
    if (s->in[i] < least)
      s->in[i] = least;
    s->out[i] =
        (s->in[i] + s->low[i] + s->high[i] - (s->size[i] - 1) * s->dilation[i] - 1) / s->stride[i] +
        1;
  }
  s->open = s->stride[s->n - 1] == 1 && pick(0, 2) == 0;
}

static void put_dims(struct strbuf *b, const struct spatial *s, bool out) {
  for (uint32_t i = 0; i < s->n; i++) {
    int64_t n = out ? s->out[i] : s->in[i];
    if (s->open && i + 1 == s->n) {
      strbuf_printf(b, ", w + %lld", (long long)(n - s->in[i]));
    } else {
      strbuf_printf(b, ", %lld", (long long)n);
    }
  }
}

static void put_ints(struct strbuf *b, const char *name, const int64_t *x, uint32_t n,
                     int64_t before) {
  strbuf_printf(b, "%s = [", name);
  for (int64_t i = 0; before >= 0 && i < 2; i++)
    strbuf_printf(b, "%lld, ", (long long)before);
  for (uint32_t i = 0; i < n; i++)
    strbuf_printf(b, "%s%lld", i ? ", " : "", (long long)x[i]);
  strbuf_printf(b, "], ");
}

static void put_where(struct strbuf *b, const struct spatial *s) {
  int64_t n = s->in[s->n - 1];
  if (s->open)
    strbuf_printf(b, " where w in %lld..%lld", (long long)n, (long long)n + 3);
}

static const char *pick_float(void) { return pick(0, 4) ? "f32" : pick(0, 1) ? "f16" : "f64"; }

/* Integers whose products fit pairs of 16 bits, and what they are multiplied with. */
static const char *pick_small(void) { return pick(0, 2) == 0 ? "i16" : pick(0, 1) ? "i8" : "u8"; }
static const char *pick_operand(void) { return pick(0, 2) ? pick_float() : pick_small(); }

static void put_weight_type(struct strbuf *b, const struct spatial *s, const char *t, int64_t co,
                            int64_t ci) {
  strbuf_printf(b, "%s[%lld, %lld", t, (long long)co, (long long)ci);
  for (uint32_t i = 0; i < s->n; i++)
    strbuf_printf(b, ", %lld", (long long)s->size[i]);
  strbuf_printf(b, "]");
}

/* Weights that the compiler knows: it packs them. */
static bool put_constant(struct strbuf *b, const struct spatial *s, const char *t, int64_t co,
                         int64_t ci) {
  int64_t n = co * ci * s->size[0] * (s->n == 2 ? s->size[1] : 1);
  if (n > 20000 || pick(0, 1))
    return false;
  strbuf_printf(b, "constant @w : ");
  put_weight_type(b, s, t, co, ci);
  bool real = strchr(t, 'f'), sign = t[0] != 'u';
  for (int64_t i = 0; i < n; i++) {
    int64_t x = pick(-16, 16);
    if (real)
      strbuf_printf(b, "%s%.3f", i ? ", " : " = [", (double)x / 8);
    else
      strbuf_printf(b, "%s%lld", i ? ", " : " = [", (long long)(sign ? x * 7 : (x + 16) * 7));
  }
  strbuf_printf(b, "]\n");
  return true;
}

/* A type of [n, c, spatial...], or with channels last. */
static void put_plane(struct strbuf *b, const struct spatial *s, const char *t, int64_t n,
                      int64_t c, bool out, bool last) {
  strbuf_printf(b, "%s[%lld", t, (long long)n);
  if (!last)
    strbuf_printf(b, ", %lld", (long long)c);
  put_dims(b, s, out);
  if (last)
    strbuf_printf(b, ", %lld", (long long)c);
  strbuf_printf(b, "]");
}

/* x, w, a bias per channel and a residual; relu. With `last`, x and the result have channels last.
 * t: the operands' dtype, or NULL: any. */
static void put_conv(struct strbuf *b, const char *t, int64_t groups, int64_t ci, int64_t co,
                     int64_t most) {
  struct spatial s = {0};
  pick_spatial(&s, most);
  int64_t n = pick(1, 2);
  t = t ? t : pick_operand();
  const char *w = strchr(t, 'f') ? t : pick_small(), *r = strchr(t, 'f') ? t : "i32";
  bool constant = put_constant(b, &s, w, groups * co, ci), last = constant && pick(0, 2);
  strbuf_printf(b, "func @main(%%x: ");
  put_plane(b, &s, t, n, groups * ci, false, last);
  if (!constant) {
    strbuf_printf(b, ", %%w: ");
    put_weight_type(b, &s, w, groups * co, ci);
  }
  strbuf_printf(b, ", %%b: %s[1, %lld%s], %%r: ", r, (long long)(groups * co),
                s.n == 2 ? ", 1, 1" : ", 1");
  put_plane(b, &s, r, n, groups * co, true, false);
  strbuf_printf(b, ") -> (");
  put_plane(b, &s, r, n, groups * co, true, last);
  strbuf_printf(b, ")");
  put_where(b, &s);
  strbuf_printf(b, " {\n%s", constant ? "  %w = const @w\n" : "");
  if (last)
    strbuf_printf(b, "  %%f = transpose %%x { perm = [%s] }\n",
                  s.n == 2 ? "0, 3, 1, 2" : "0, 2, 1");
  bool tf32 = constant && !strcmp(t, "f32") && pick(0, 1); /* these weights are numbers of tf32 */
  if (tf32)
    strbuf_printf(b, "  %%t = map %s { tf32($0) }\n", last ? "%f" : "%x");
  strbuf_printf(b, "  %%y = conv %s, %%w { %s",
                tf32   ? "%t"
                : last ? "%f"
                       : "%x",
                tf32 ? "tf32 = true, " : "");
  put_ints(b, "stride", s.stride, s.n, -1);
  put_ints(b, "dilation", s.dilation, s.n, -1);
  put_ints(b, "low", s.low, s.n, -1);
  put_ints(b, "high", s.high, s.n, -1);
  strbuf_printf(b, "groups = %lld, dtype = %s }\n", (long long)groups, r);
  strbuf_printf(b, "  %%z = map %%y, %%b, %%r { max(add(add($0, $1), $2), %s) }\n",
                r == t ? "0.0" : "0");
  if (last)
    strbuf_printf(b, "  %%l = transpose %%z { perm = [%s] }\n",
                  s.n == 2 ? "0, 2, 3, 1" : "0, 2, 1");
  strbuf_printf(b, "  return %s\n}\n", last ? "%l" : "%z");
  strbuf_printf(b, "entry @main(\"x\", %s\"b\", \"r\") -> (\"z\") { @main; }\n",
                constant ? "" : "\"w\", ");
}

static void conv_text(struct strbuf *b) {
  int64_t groups = pick(0, 2) ? 1 : pick(2, 3);
  put_conv(b, NULL, groups, pick(0, 4) ? pick(1, 12) : pick(200, 300), size(100), 24);
}

static void depth_text(struct strbuf *b) { put_conv(b, NULL, size(20), 1, pick(1, 3), 60); }

static void test_conv(void **state) {
  (void)state;
  check_many(conv_text, 60);
}

/* Of more outputs, so that blocks of a GPU have them. */
static void wide_conv_text(struct strbuf *b) {
  put_conv(b, NULL, pick(0, 2) ? 1 : 2, pick(1, 12), 14 + size(60), pick(0, 7) ? 10 : 24);
}

/* By tensor cores, if weights are known and channels last: runs of channels, outputs at the edges
 * of runs, panels and blocks. */
static void matrix_conv_text(struct strbuf *b) {
  static const int64_t outputs[] = {16, 17, 24, 63, 64, 65, 72, 130};
  static const char *const dtypes[] = {"f16", "bf16", "f32"};
  put_conv(b, dtypes[pick(0, 2)], pick(0, 2) ? 1 : 2, 8 * pick(1, 3), outputs[pick(0, 7)],
           pick(0, 3) ? 12 : 30);
}

static void test_gpu_conv(void **state) {
  (void)state;
  check_gpu(conv_text, 6);
  check_gpu(wide_conv_text, 8);
  check_gpu(matrix_conv_text, 16);
}

static void test_conv_depth(void **state) {
  (void)state;
  check_many(depth_text, 40);
}

/* Three dims, of which no fast schedule knows. */
static void volume_text(struct strbuf *b) {
  long long n = pick(1, 2), groups = pick(1, 2), ci = pick(1, 4), co = pick(1, 5), d[3], o[3], k[3];
  const char *t = pick_float();
  for (int i = 0; i < 3; i++) {
    d[i] = pick(3, 9);
    k[i] = pick(1, 3);
    o[i] = d[i] + 2 - k[i];
  }
  bool pooled = pick(0, 1);
  strbuf_printf(b, "func @main(%%x: %s[%lld, %lld, %lld, %lld, %lld]", t, n, groups * ci, d[0],
                d[1], d[2]);
  if (!pooled)
    strbuf_printf(b, ", %%w: %s[%lld, %lld, %lld, %lld, %lld]", t, groups * co, ci, k[0], k[1],
                  k[2]);
  strbuf_printf(b, ") -> (%s[%lld, %lld, %lld, %lld, %lld]) {\n", t, n,
                pooled ? groups * ci : groups * co, o[0], o[1], o[2]);
  if (pooled)
    strbuf_printf(b,
                  "  %%y = window %%x { kind = max, size = [1, 1, %lld, %lld, %lld], stride = [1, "
                  "1, 1, 1, 1], dilation = [1, 1, 1, 1, 1], low = [0, 0, 1, 1, 1], high = [0, 0, "
                  "0, 0, 0] }\n",
                  k[0], k[1], k[2]);
  else
    strbuf_printf(b,
                  "  %%y = conv %%x, %%w { stride = [1, 1, 1], dilation = [1, 1, 1], low = [1, 1, "
                  "1], high = [0, 0, 0], groups = %lld, dtype = %s }\n",
                  groups, t);
  strbuf_printf(b, "  %%z = map %%y { add($0, $0) }\n  return %%z\n}\n");
  strbuf_printf(b, "entry @main(\"x\"%s) -> (\"z\") { @main; }\n", pooled ? "" : ", \"w\"");
}

static void test_volumes(void **state) {
  (void)state;
  check_many(volume_text, 24);
}

/* ---- pooling ---- */

/* One entry per dim. */
static void put_all(struct strbuf *b, const char *name, const int64_t *x, uint32_t n, int64_t other,
                    bool last) {
  strbuf_printf(b, "%s = [%lld", name, (long long)other);
  if (!last)
    strbuf_printf(b, ", %lld", (long long)other);
  for (uint32_t i = 0; i < n; i++)
    strbuf_printf(b, ", %lld", (long long)x[i]);
  if (last)
    strbuf_printf(b, ", %lld", (long long)other);
  strbuf_printf(b, "]");
}

static void window_text(struct strbuf *b) {
  static const char *const kinds[] = {"max", "sum", "min"};
  struct spatial s = {0};
  pick_spatial(&s, 60);
  const char *t = pick(0, 3) ? pick_float() : pick(0, 1) ? "i8" : "i32";
  bool last = pick(0, 1);
  int64_t n = pick(1, 2), c = last ? size(40) : pick(1, 5);
  strbuf_printf(b, "func @main(%%x: ");
  put_plane(b, &s, t, n, c, false, last);
  strbuf_printf(b, ") -> (");
  put_plane(b, &s, t, n, c, true, last);
  strbuf_printf(b, ")");
  put_where(b, &s);
  strbuf_printf(b, " {\n  %%y = window %%x { kind = %s, ", kinds[pick(0, 2)]);
  const char *const names[] = {"size", ", stride", ", dilation", ", low", ", high"};
  const int64_t *const lists[] = {s.size, s.stride, s.dilation, s.low, s.high};
  for (uint32_t i = 0; i < 5; i++)
    put_all(b, names[i], lists[i], s.n, i < 3, last);
  strbuf_printf(b, " }\n  %%z = map %%y { add($0, $0) }\n  return %%z\n}\n");
  strbuf_printf(b, "entry @main(\"x\") -> (\"z\") { @main; }\n");
}

static void test_window(void **state) {
  (void)state;
  check_many(window_text, 50);
}

/* ---- attention ---- */

/* Positions of keys in another order than their places, so that whole blocks lie behind queries. */
static void key_positions(struct strbuf *b, const char *ts) {
  strbuf_printf(b, "  %%i = iota { axis = 1 } : i64[1, %s]\n", ts);
  if (pick(0, 1))
    strbuf_printf(b, "  %%kp = map %%i { sub(%lld, $0) } : i64[1, %s]\n", (long long)pick(0, 250),
                  ts);
  else
    strbuf_printf(b, "  %%kp = map %%i { add(mod($0, 64), mul(div($0, 64), %lld)) } : i64[1, %s]\n",
                  (long long)pick(64, 200), ts);
}

static void put_attention(struct strbuf *b, const char *dtype, int64_t widest) {
  long long n = pick(1, 2), g = pick(1, 2), h = g * pick(1, 6), s = size(140), t = size(220),
            d = size(widest), v = size(widest);
  const char *wide = strcmp(dtype, "f64") ? "f32" : dtype;
  bool bias = pick(0, 2) == 0, open = pick(0, 2) == 0, pos = pick(0, 2) == 0, lse = pick(0, 1);
  char ts[32], o[64], l[64];
  if (pick(0, 1))
    s = pick(1, 4);
  snprintf(ts, sizeof ts, open ? "t" : "%lld", t);
  snprintf(o, sizeof o, "%s[%lld, %lld, %lld, %lld]", dtype, n, h, s, v);
  snprintf(l, sizeof l, "%s[%lld, %lld, %lld]", wide, n, h, s);
  strbuf_printf(b, "func @main(%%q: %s[%lld, %lld, %lld, %lld], %%k: %s[%lld, %lld, %s, %lld], ",
                dtype, n, h, s, d, dtype, n, g, ts, d);
  strbuf_printf(b, "%%v: %s[%lld, %lld, %s, %lld]", dtype, n, g, ts, v);
  if (bias) {
    strbuf_printf(b, ", %%b: %s[%lld, %lld, %lld, %s]", dtype, pick(0, 1) ? n : 1ll,
                  pick(0, 1) ? h : 1ll, pick(0, 1) ? s : 1ll, ts);
  }
  if (pos)
    strbuf_printf(b, ", %%p: i64[%lld, %lld]", pick(0, 1) ? n : 1ll, s);
  strbuf_printf(b, ") -> (%s%s%s)", o, lse ? ", " : "", lse ? l : "");
  if (open)
    strbuf_printf(b, " where t in %lld..%lld", t, t + 3);
  strbuf_printf(b, " {\n");
  if (pos) {
    strbuf_printf(b, "  %%qp = map %%p { mul($0, %lld) }\n", (long long)pick(1, 60));
    key_positions(b, ts);
  }
  strbuf_printf(b, "  %%y%s = attention %%q, %%k, %%v%s%s { scale = 0.25%s%s", lse ? ", %l" : "",
                bias ? ", %b" : "", pos ? ", %qp, %kp" : "", pick(0, 3) ? "" : ", softcap = 2.0",
                pick(0, 1) || pos ? ", causal = true" : "");
  if (pick(0, 3) == 0)
    strbuf_printf(b, ", window = %lld", (long long)pick(1, 100));
  strbuf_printf(b, "%s%s%s }\n", bias ? ", has_bias = true" : "", pos ? ", has_pos = true" : "",
                lse ? ", lse = true" : "");
  if (lse)
    strbuf_printf(b, "  return %%y, %%l\n}\n");
  else
    strbuf_printf(b, "  %%z = map %%y { mul($0, 2.0) }\n  return %%z\n}\n");
  strbuf_printf(b, "entry @main(\"q\", \"k\", \"v\"%s%s) -> (\"z\"%s) { @main; }\n",
                bias ? ", \"b\"" : "", pos ? ", \"p\"" : "", lse ? ", \"l\"" : "");
}

static void attention_text(struct strbuf *b) {
  static const char *const dtypes[] = {"f32", "f32", "f32", "f16", "f64"};
  put_attention(b, dtypes[pick(0, 4)], 70);
}

/* What tensor cores take, and what is too wide for them. */
static void half_attention_text(struct strbuf *b) {
  put_attention(b, pick(0, 1) ? "f16" : "bf16", 140);
}

static void test_attention(void **state) {
  (void)state;
  check_many(attention_text, 100);
}

/* Heads as decoders have them, and edges of a GPU block's tiles: no keys, one, one more than a
 * tile, many; one query for many heads; heads wider than the sums that a thread has. */
static void wide_attention_text(struct strbuf *b) {
  static const int64_t sizes[] = {1, 3, 17, 64, 96, 128, 130, 256},
                       keys[] = {0, 1, 31, 32, 33, 300}, queries[] = {0, 1, 2, 65};
  static const char *const dtypes[] = {"f32", "f16", "bf16"};
  const char *t = dtypes[pick(0, 2)], *wide = "f32";
  long long g = pick(1, 2), h = g * pick(1, 8), d = sizes[pick(0, 7)], e = sizes[pick(0, 7)],
            least_s = queries[pick(0, 3)], least_t = keys[pick(0, 5)];
  bool lse = pick(0, 1), causal = pick(0, 1);
  char parts[32] = "", first[16] = "";
  if (lse && pick(0, 2) == 0) {
    long long n = pick(1, 4);
    snprintf(parts, sizeof parts, ", parts = %lld", n);
    snprintf(first, sizeof first, "%lld, ", n);
  }
  strbuf_printf(b, "func @main(%%q: %s[1, %lld, s, %lld], %%k: %s[1, %lld, t, %lld], ", t, h, d, t,
                g, d);
  strbuf_printf(b, "%%v: %s[1, %lld, t, %lld]) -> (%s[%s1, %lld, s, %lld]", t, g, e,
                first[0] ? wide : t, first, h, e);
  if (lse)
    strbuf_printf(b, ", %s[%s1, %lld, s]", wide, first, h);
  strbuf_printf(b, ") where s in %lld..%lld, t in %lld..%lld {\n", least_s, least_s + 1, least_t,
                least_t + 1);
  strbuf_printf(b, "  %%y%s = attention %%q, %%k, %%v { scale = 0.125%s%s%s }\n  return %%y%s\n}\n",
                lse ? ", %l" : "", causal ? ", causal = true" : "", lse ? ", lse = true" : "",
                parts, lse ? ", %l" : "");
  strbuf_printf(b, "entry @main(\"q\", \"k\", \"v\") -> (\"y\"%s) { @main; }\n",
                lse ? ", \"l\"" : "");
}

/* A step of a decoder: few queries at positions that are data, keys in order, of which those behind
 * the last position are not there. On GPUs its keys are split. */
static void decode_text(struct strbuf *b) {
  static const char *const dtypes[] = {"f32", "f16", "bf16"};
  const char *t = dtypes[pick(0, 2)];
  long long n = pick(1, 2), g = pick(1, 3), h = g * pick(1, 4), s = pick(0, 2) ? 1 : pick(2, 4),
            d = pick(0, 1) ? 64 : 128, least = pick(0, 1) ? 600 : pick(1, 200);
  bool windowed = pick(0, 2) == 0;
  strbuf_printf(b, "func @main(%%q: %s[%lld, %lld, %lld, %lld], %%k: %s[%lld, %lld, t, %lld], ", t,
                n, h, s, d, t, n, g, d);
  strbuf_printf(
      b, "%%v: %s[%lld, %lld, t, %lld], %%p: i64[%lld, %lld]) -> (%s[%lld, %lld, %lld, %lld])", t,
      n, g, d, n, s, t, n, h, s, d);
  strbuf_printf(b, " where t in %lld..%lld {\n", least, least + 3);
  strbuf_printf(b, "  %%at = map %%p { mul(add($0, 4), %lld) }\n", (long long)pick(1, 80));
  strbuf_printf(b, "  %%i = iota { axis = 1 } : i64[1, t]\n");
  strbuf_printf(b,
                "  %%y = attention %%q, %%k, %%v, %%at, %%i { scale = 0.125, causal = true, "
                "has_pos = true%s }\n  return %%y\n}\n",
                windowed ? ", window = 70" : "");
  strbuf_printf(b, "entry @main(\"q\", \"k\", \"v\", \"p\") -> (\"y\") { @main; }\n");
}

static void test_attention_wide(void **state) {
  (void)state;
  check_many(wide_attention_text, 24);
}

static void test_gpu_attention(void **state) {
  (void)state;
  check_gpu(attention_text, 16);
  check_gpu(half_attention_text, 12);
  check_gpu(wide_attention_text, 24);
  check_gpu(decode_text, 12);
}

/* ---- contraction ---- */

/* Weights of the compiler, for packing: k x c numbers. */
static bool put_matrix(struct strbuf *b, const char *t, long long k, long long c, bool turned) {
  if (k * c > 12000 || k == 0 || pick(0, 1))
    return false;
  strbuf_printf(b, "constant @w : %s[%lld, %lld]", t, turned ? c : k, turned ? k : c);
  bool real = strchr(t, 'f'), sign = t[0] != 'u';
  for (int64_t i = 0; i < k * c; i++) {
    int64_t x = pick(-16, 16);
    if (real)
      strbuf_printf(b, "%s%.3f", i ? ", " : " = [", (double)x / 8);
    else
      strbuf_printf(b, "%s%lld", i ? ", " : " = [", (long long)(sign ? x * 7 : (x + 16) * 7));
  }
  strbuf_printf(b, "]\n");
  return true;
}

static void contract_text(struct strbuf *b) {
  long long n = pick(1, 3), m = size(120), k = pick(0, 9) ? size(600) : 0, c = size(200);
  const char *t = pick_operand(), *w = strchr(t, 'f') ? t : pick_small(),
             *r = strchr(t, 'f') ? t : "i32";
  bool open = pick(0, 2) == 0, turned = pick(0, 1), constant = put_matrix(b, w, k, c, turned);
  bool left_turned = pick(0, 2) == 0;
  char ms[32], ks[32], ws[64];
  snprintf(ks, sizeof ks, "%lld", k);
  snprintf(ms, sizeof ms, open ? "m" : "%lld", m);
  snprintf(ws, sizeof ws, "%s[%lld, %lld, %lld]", w, n, turned ? c : k, turned ? k : c);
  strbuf_printf(b, "func @main(%%x: %s[%lld, %s, %s]", t, n, left_turned ? ks : ms,
                left_turned ? ms : ks);
  if (!constant)
    strbuf_printf(b, ", %%w: %s", ws);
  strbuf_printf(b, ", %%b: %s[1, 1, %lld]) -> (%s[%lld, %s, %lld])", r, c, r, n, ms, c);
  if (open)
    strbuf_printf(b, " where m in %lld..%lld", m, m + 3);
  strbuf_printf(b, " {\n%s  %%y = contract %%x, %%w { %s", constant ? "  %w = const @w\n" : "",
                constant ? "" : "lhs_batch = [0], rhs_batch = [0], ");
  strbuf_printf(b, "lhs_k = [%d], rhs_k = [%d], dtype = %s }\n", left_turned ? 1 : 2,
                (turned ? 2 : 1) - (constant ? 1 : 0), r);
  strbuf_printf(b, "  %%z = map %%y, %%b { add($0, $1) }\n  return %%z\n}\n");
  strbuf_printf(b, "entry @main(\"x\", %s\"b\") -> (\"z\") { @main; }\n",
                constant ? "" : "\"w\", ");
}

/* Weights in blocks of few bits with scales, widened on the way. */
static void blocks_text(struct strbuf *b) {
  static const char *const dtypes[] = {"u4", "i4", "u8", "i8"};
  static const int64_t lows[] = {0, -8, 0, -100}, highs[] = {15, 7, 200, 100};
  long long block = pick(0, 1) ? 32 : 16, blocks = pick(1, 8), c = size(40),
            m = pick(0, 1) ? pick(1, 3) : size(80);
  bool open = pick(0, 2) == 0;
  int64_t kind = pick(0, 3);
  char ms[32];
  snprintf(ms, sizeof ms, open ? "m" : "%lld", m);
  strbuf_printf(b, "constant @w : %s[%lld, %lld, %lld]", dtypes[kind], c, blocks, block);
  for (int64_t i = 0; i < c * blocks * block; i++)
    strbuf_printf(b, "%s%lld", i ? ", " : " = [", (long long)pick(lows[kind], highs[kind]));
  strbuf_printf(b, "]\nfunc @main(%%x: f32[%s, %lld], %%s: f32[%lld, %lld, 1]) -> (f32[%s, %lld])",
                ms, blocks * block, c, blocks, ms, c);
  if (open)
    strbuf_printf(b, " where m in %lld..%lld", m, m + 3);
  strbuf_printf(b, " {\n  %%w = const @w\n  %%0 = map %%w { sub(f32($0), 3.0) }\n");
  bool scaled = pick(0, 1);
  if (scaled)
    strbuf_printf(b, "  %%1 = map %%0, %%s { mul($0, $1) }\n");
  strbuf_printf(b, "  %%2 = reshape %s { dims = [%lld, %lld] }\n", scaled ? "%1" : "%0", c,
                blocks * block);
  strbuf_printf(
      b, "  %%z = contract %%x, %%2 { lhs_k = [1], rhs_k = [1], dtype = f32 }\n  return %%z\n}\n");
  strbuf_printf(b, "entry @main(\"x\", \"s\") -> (\"z\") { @main; }\n");
}

static void test_blocks(void **state) {
  (void)state;
  check_many(blocks_text, 30);
}

/* Tiles enough for wide ones, of few steps. */
static void many_tiles_text(struct strbuf *b) {
  static const char *const dtypes[] = {"f32", "f16", "i16"};
  const char *t = dtypes[pick(0, 2)], *r = strchr(t, 'f') ? t : "i32";
  long long n = pick(25, 30), m = pick(65, 140), k = pick(1, 40), c = pick(65, 140);
  bool turned = pick(0, 1), left_turned = pick(0, 1);
  if (m <= 128 || c <= 128)
    n *= m <= 128 && c <= 128 ? 4 : 2;
  strbuf_printf(b,
                "func @main(%%x: %s[%lld, %lld, %lld], %%w: %s[%lld, %lld, %lld]) -> (%s[%lld, "
                "%lld, %lld]) {\n",
                t, n, left_turned ? k : m, left_turned ? m : k, t, n, turned ? c : k,
                turned ? k : c, r, n, m, c);
  strbuf_printf(b,
                "  %%y = contract %%x, %%w { lhs_batch = [0], rhs_batch = [0], lhs_k = [%d], rhs_k "
                "= [%d], dtype = %s }\n",
                left_turned ? 1 : 2, turned ? 2 : 1, r);
  strbuf_printf(b, "  return %%y\n}\nentry @main(\"x\", \"w\") -> (\"y\") { @main; }\n");
}

/* Sums that a GPU adds up in parts. */
static void long_text(struct strbuf *b) {
  static const char *const dtypes[] = {"f32", "f16", "bf16"};
  const char *t = dtypes[pick(0, 2)];
  long long n = pick(1, 2), m = pick(9, 80), k = 512 * pick(2, 4), c = pick(9, 80);
  bool turned = pick(0, 1), left_turned = pick(0, 1);
  strbuf_printf(b, "func @main(%%x: %s[%lld, %lld, %lld], %%w: %s[%lld, %lld, %lld], ", t, n,
                left_turned ? k : m, left_turned ? m : k, t, n, turned ? c : k, turned ? k : c);
  strbuf_printf(b, "%%b: %s[1, 1, %lld]) -> (%s[%lld, %lld, %lld]) {\n", t, c, t, n, m, c);
  strbuf_printf(b,
                "  %%y = contract %%x, %%w { lhs_batch = [0], rhs_batch = [0], lhs_k = [%d], rhs_k "
                "= [%d], dtype = %s }\n",
                left_turned ? 1 : 2, turned ? 2 : 1, t);
  strbuf_printf(b, "  %%z = map %%y, %%b { add($0, $1) }\n  return %%z\n}\n");
  strbuf_printf(b, "entry @main(\"x\", \"w\", \"b\") -> (\"z\") { @main; }\n");
}

static void test_contract(void **state) {
  (void)state;
  check_many(contract_text, 50);
  check_gpu(contract_text, 24);
  check_gpu(many_tiles_text, 3);
  check_gpu(long_text, 8);
}

static void put_axes(struct strbuf *b, const char *type, const char *batch, const char *first,
                     const char *second, bool turned) {
  strbuf_printf(b, "%s[%s%s, %s]", type, batch, turned ? second : first, turned ? first : second);
}

/* Few rows, or few columns, of weights either way about: of all dtypes, perhaps of few bits, with
 * ends of runs. */
static void few_text(struct strbuf *b) {
  static const char *const dtypes[] = {"f32", "f16", "bf16", "f64", "i8", "i16", "u8"},
                           *const narrow[] = {"u4", "i4", "i8", "u8"};
  const char *t = dtypes[pick(0, 6)];
  bool real = strchr(t, 'f'), batched = pick(0, 3) == 0, turned = pick(0, 1), few_left = pick(0, 3);
  bool widened = real && pick(0, 2) == 0;
  long long few = pick(1, 9), many = pick(0, 1) ? 8 * pick(1, 40) : size(300),
            k = pick(0, 1) ? 64 * pick(1, 20) : 60 + size(600);
  long long m = few_left ? few : many, n = few_left ? many : few;
  const char *r = real ? t : "i32", *batch = batched ? "2, " : "",
             *w = widened ? narrow[pick(0, 3)] : t;
  bool open = pick(0, 2) == 0, open_k = open && pick(0, 1);
  char ks[32], ms[32], ns[32];
  snprintf(ks, sizeof ks, open_k ? "o" : "%lld", k);
  snprintf(ms, sizeof ms, open && !open_k && !few_left ? "o" : "%lld", m);
  snprintf(ns, sizeof ns, open && !open_k && few_left ? "o" : "%lld", n);
  strbuf_printf(b, "func @main(%%x: %s[%s%s, %s], %%w: ", few_left ? t : w, batch, ms, ks);
  put_axes(b, few_left ? w : t, batch, ks, ns, turned);
  strbuf_printf(b, ", %%b: %s[1, %s]) -> (%s[%s%s, %s])", r, ns, r, batch, ms, ns);
  if (open)
    strbuf_printf(b, " where o in %lld..%lld", open_k ? k : many, (open_k ? k : many) + 3);
  strbuf_printf(b, " {\n");
  const char *weights = few_left ? "%w" : "%x";
  if (widened)
    strbuf_printf(b, "  %%v = map %s { mul(%s($0), 0.25) }\n", weights, t);
  strbuf_printf(b, "  %%y = contract %s, %s { %s", widened && !few_left ? "%v" : "%x",
                widened && few_left ? "%v" : "%w",
                batched ? "lhs_batch = [0], rhs_batch = [0], " : "");
  strbuf_printf(b, "lhs_k = [%d], rhs_k = [%d], dtype = %s }\n", batched + 1, batched + turned, r);
  if (batched)
    strbuf_printf(b, "  %%c = reshape %%b { dims = [1, 1, %s] }\n", ns);
  strbuf_printf(b, "  %%z = map %%y, %s { add($0, $1) }\n  return %%z\n}\n", batched ? "%c" : "%b");
  strbuf_printf(b, "entry @main(\"x\", \"w\", \"b\") -> (\"z\") { @main; }\n");
}

static void test_few(void **state) {
  (void)state;
  check_gpu(few_text, 60);
}

/* ---- contraction by tensor cores ---- */

/* Operands either way about, sizes at the edges of blocks, perhaps rows as a symbol, perhaps an
 * operand that is computed on the way, or cut out of a wider one so that its rows begin anywhere.
 */
static void matrix_text(struct strbuf *b) {
  static const char *const types[] = {"f16", "bf16", "f16", "bf16", "i8", "u8", "f32", "f32"};
  const char *t = types[pick(0, 7)];
  bool tf32 = !strcmp(t, "f32"), real = t[0] == 'f' || t[0] == 'b', open = pick(0, 2) == 0,
       batched = pick(0, 2) == 0;
  const char *r = !real ? "i32" : pick(0, 3) ? t : "f32", *batch = batched ? "2, " : "";
  const char *other = real ? t : pick(0, 1) ? "i8" : "u8";
  long long m = size(200), k = pick(0, 9) ? pick(0, 1) ? 8 * pick(1, 40) : size(300) : 0,
            n = pick(0, 1) ? 8 * pick(1, 24) : 7 + size(200), cut = pick(0, 3) ? 0 : pick(1, 8);
  bool left_turned = pick(0, 3) == 0, right_turned = pick(0, 1);
  bool maps = real && pick(0, 2) == 0;
  char ms[32], ks[32], ns[32], wide[32];
  snprintf(ms, sizeof ms, open ? "m" : "%lld", m);
  snprintf(ks, sizeof ks, "%lld", k);
  snprintf(ns, sizeof ns, "%lld", n);
  snprintf(wide, sizeof wide, "%lld", k + cut);
  strbuf_printf(b, "func @main(%%x: ");
  put_axes(b, t, batch, ms, ks, left_turned);
  strbuf_printf(b, ", %%w: ");
  put_axes(b, other, batch, wide, ns, right_turned);
  strbuf_printf(b, ", %%b: %s[%s%s, %lld]) -> (%s[%s%s, %lld])", r, batch, ms, n, r, batch, ms, n);
  if (open)
    strbuf_printf(b, " where m in %lld..%lld", m, m + 3);
  strbuf_printf(b, " {\n");
  long long from = cut ? pick(0, cut) : 0, axis = right_turned;
  if (cut) {
    strbuf_printf(b, "  %%c = slice %%w { start = [%s%lld, %lld], ", batched ? "0, " : "",
                  axis ? 0 : from, axis ? from : 0);
    strbuf_printf(b, "size = [%s%lld, %lld], step = [%s1, 1] }\n", batch, axis ? n : k,
                  axis ? k : n, batched ? "1, " : "");
  }
  if (maps)
    strbuf_printf(b, "  %%d = map %s { mul($0, 0.5) }\n", cut ? "%c" : "%w");
  const char *right = maps ? "%d" : cut ? "%c" : "%w";
  if (tf32)
    strbuf_printf(b, "  %%e = map %%x { tf32($0) }\n  %%f = map %s { tf32($0) }\n", right);
  strbuf_printf(b, "  %%y = contract %s, %s { %s", tf32 ? "%e" : "%x", tf32 ? "%f" : right,
                batched ? "lhs_batch = [0], rhs_batch = [0], " : "");
  strbuf_printf(b, "lhs_k = [%d], rhs_k = [%d], dtype = %s%s }\n", batched + !left_turned,
                batched + right_turned, r, tf32 ? ", tf32 = true" : "");
  strbuf_printf(b, "  %%z = map %%y, %%b { add($0, $1) }\n  return %%z\n}\n");
  strbuf_printf(b, "entry @main(\"x\", \"w\", \"b\") -> (\"z\") { @main; }\n");
}

static void test_matrix(void **state) {
  (void)state;
  check_gpu(matrix_text, 50);
}

/* ---- point-wise ---- */

/* Transposes between maps, beside something that is not transposed, sizes at the edges of squares
 * and blocks. */
static void turned_text(struct strbuf *b) {
  static const char *const dtypes[] = {"f32", "f32", "i8", "f16", "f64"};
  const char *t = dtypes[pick(0, 4)];
  uint32_t rank = (uint32_t)pick(2, 4);
  long long n[4], to[4];
  int64_t perm[4];
  bool open = pick(0, 2) == 0, two = pick(0, 1);
  for (uint32_t i = 0; i < rank; i++) {
    n[i] = pick(0, 2) ? 8 + size(70) : pick(1, 4);
    perm[i] = i;
  }
  for (uint32_t i = rank; i-- > 1;) {
    int64_t j = pick(0, i), x = perm[i];
    perm[i] = perm[j], perm[j] = x;
  }
  while (rank > 3 && n[0] * n[1] * n[2] * n[3] > 100000)
    n[pick(0, 3)] = 2;
  for (uint32_t i = 0; i < rank; i++)
    to[i] = n[perm[i]];
  const char *names[] = {"func @main(%%x: %s[", "], %%y: %s[", "], %%w: %s[", "]) -> (%s["};
  for (int j = 0; j < 4; j++) {
    strbuf_printf(b, names[j], t);
    for (uint32_t i = 0; i < rank; i++) {
      bool first = j == 0 || (j == 1 && two);
      if (open && (first ? i : perm[i]) == 0)
        strbuf_printf(b, "%sn", i ? ", " : "");
      else
        strbuf_printf(b, "%s%lld", i ? ", " : "", first ? n[i] : to[i]);
    }
  }
  strbuf_printf(b, "])");
  if (open)
    strbuf_printf(b, " where n in %lld..%lld", n[0], n[0] + 2);
  strbuf_printf(b, " {\n  %%0 = map %%x { add($0, $0) }\n");
  for (int j = 0; j < 2; j++) {
    strbuf_printf(b, "  %%%d = transpose %s { perm = [", j + 1, j ? "%y" : "%0");
    for (uint32_t i = 0; i < rank; i++)
      strbuf_printf(b, "%s%lld", i ? ", " : "", (long long)perm[i]);
    strbuf_printf(b, "] }\n");
    if (!two)
      break;
  }
  strbuf_printf(b, "  %%z = map %%1, %s, %%w { sub(add($0, $1), $2) }\n  return %%z\n}\n",
                two ? "%2" : "%y");
  strbuf_printf(b, "entry @main(\"x\", \"y\", \"w\") -> (\"z\") { @main; }\n");
}

static void test_turned(void **state) {
  (void)state;
  check_many(turned_text, 40);
}

static void pointwise_text(struct strbuf *b) {
  uint32_t rank = (uint32_t)pick(1, 4);
  long long full[4], part[4];
  for (uint32_t i = 0; i < rank; i++) {
    full[i] = pick(0, 3) ? pick(1, 9) : pick(0, 5) ? 1 : size(40);
    part[i] = full[i];
  }
  uint32_t ones = (uint32_t)pick(0, rank); /* trailing, or leading */
  bool leading = pick(0, 1);
  for (uint32_t i = 0; i < ones; i++)
    part[leading ? i : rank - 1 - i] = 1;
  const char *t = pick(0, 2) ? "f32" : "i8";
  for (int j = 0; j < 3; j++) {
    strbuf_printf(b, j == 0 ? "func @main(%%x: %s[" : j == 1 ? "], %%y: %s[" : "]) -> (%s[", t);
    for (uint32_t i = 0; i < rank; i++)
      strbuf_printf(b, "%s%lld", i ? ", " : "", j == 1 ? part[i] : full[i]);
  }
  strbuf_printf(b, "]) {\n  %%z = map %%x, %%y { sub(add($0, $0), $1) }\n  return %%z\n}\n");
  strbuf_printf(b, "entry @main(\"x\", \"y\") -> (\"z\") { @main; }\n");
}

static void test_pointwise(void **state) {
  (void)state;
  check_many(pointwise_text, 60);
}

/* Rows about as long as what a thread or a vector takes, of several dtypes at once. */
static void wide_pointwise_text(struct strbuf *b) {
  static const int64_t lengths[] = {0, 1, 3, 4, 7, 8, 9, 31, 64, 1001, 1024};
  static const char *const dtypes[] = {"f32", "f16", "bf16", "i8", "i64", "f64"};
  const char *t = dtypes[pick(0, 5)], *u = dtypes[pick(0, 5)];
  long long rows = pick(1, 5), n = lengths[pick(0, 10)];
  bool open = pick(0, 1), by_row = pick(0, 1);
  char ns[32];
  snprintf(ns, sizeof ns, open ? "n" : "%lld", n);
  strbuf_printf(b, "func @main(%%x: %s[%lld, %s], %%y: %s[%lld, %s]) -> (%s[%lld, %s])", t, rows,
                ns, u, by_row ? rows : 1, by_row ? "1" : ns, t, rows, ns);
  if (open)
    strbuf_printf(b, " where n in %lld..%lld", n, n + 3);
  strbuf_printf(b, " {\n  %%z = map %%x, %%y { add($0, %s($1)) }\n  return %%z\n}\n", t);
  strbuf_printf(b, "entry @main(\"x\", \"y\") -> (\"z\") { @main; }\n");
}

static void test_gpu_pointwise(void **state) {
  (void)state;
  check_gpu(pointwise_text, 20);
  check_gpu(wide_pointwise_text, 50);
}

/* Along one or two dims, long enough to be shared by a block or not; ties and positions too. */
static void reduce_text(struct strbuf *b) {
  static const char *const kinds[] = {"sum", "max", "min", "argmax", "argmin"};
  static const char *const dtypes[] = {"f32", "f16", "i8", "i64", "f64"};
  const char *t = dtypes[pick(0, 4)], *kind = kinds[pick(0, 4)];
  bool arg = kind[0] == 'a', open = pick(0, 2) == 0, last = pick(0, 1);
  int axis = (int)pick(0, 2), other = arg || pick(0, 1) ? axis : (int)pick(0, 2);
  long long n = pick(0, 1) ? pick(128, 900) : pick(1, 2000);
  char in[112], out[112], dims[3][32];
  for (int i = 0; i < 3; i++)
    snprintf(dims[i], sizeof dims[i], "%lld", i == axis ? n : (long long)pick(1, 5));
  if (open)
    snprintf(dims[axis], sizeof dims[axis], "n");
  snprintf(in, sizeof in, "%s, %s, %s", dims[0], dims[1], dims[2]);
  for (int i = 0; i < 3; i++)
    if (i == axis || i == other)
      snprintf(dims[i], sizeof dims[i], "1");
  snprintf(out, sizeof out, "%s, %s, %s", dims[0], dims[1], dims[2]);
  strbuf_printf(b, "func @main(%%x: %s[%s]) -> (%s[%s]%s%s%s)", t, in, t, out, arg ? ", i64[" : "",
                arg ? out : "", arg ? "]" : "");
  if (open)
    strbuf_printf(b, " where n in %lld..%lld", n, n + 3);
  strbuf_printf(b,
                " {\n  %%v = map %%x { add($0, $0) }\n  %%y%s = reduce %%v { kind = %s, axes = [",
                arg ? ", %p" : "", kind);
  strbuf_printf(b, axis == other ? "%d" : "%d, %d", axis < other ? axis : other,
                axis < other ? other : axis);
  strbuf_printf(b, "]%s }\n  %%z = map %%y { max($0, $0) }\n  return %%z%s\n}\n",
                arg && last ? ", last = true" : "", arg ? ", %p" : "");
  strbuf_printf(b, "entry @main(\"x\") -> (\"z\"%s) { @main; }\n", arg ? ", \"p\"" : "");
}

static void test_reduce(void **state) {
  (void)state;
  check_many(reduce_text, 40);
}

static void test_gpu_reduce(void **state) {
  (void)state;
  check_gpu(reduce_text, 60);
}

/* Softmax, or a norm, over one or two trailing dims. */
static void row_text(struct strbuf *b) {
  const char *t = pick(0, 2) ? "f32" : pick(0, 1) ? "f16" : "f64";
  long long m = pick(1, 6), k = pick(0, 2) ? 1 : pick(1, 5),
            n = pick(0, 3) ? size(300) : pick(1000, 6000);
  bool open = pick(0, 2) == 0, softmax = pick(0, 1);
  char ns[32];
  snprintf(ns, sizeof ns, open ? "n" : "%lld", n);
  strbuf_printf(b, "func @main(%%x: %s[%lld, %lld, %s]) -> (%s[%lld, %lld, %s])", t, m, k, ns, t, m,
                k, ns);
  if (open)
    strbuf_printf(b, " where n in %lld..%lld", n, n + 3);
  const char *axes = k > 1 ? "axes = [1, 2]" : "axes = [2]";
  if (softmax)
    strbuf_printf(b,
                  " {\n  %%m = reduce %%x { kind = max, %s }\n"
                  "  %%e = map %%x, %%m { exp(sub($0, $1)) }\n"
                  "  %%s = reduce %%e { kind = sum, %s }\n"
                  "  %%z = map %%e, %%s { div($0, $1) }\n  return %%z\n}\n",
                  axes, axes);
  else
    strbuf_printf(b,
                  " {\n  %%m = reduce %%x { kind = max, %s }\n"
                  "  %%c = map %%x, %%m { sub($0, mul($1, 0.5)) }\n"
                  "  %%q = map %%c { mul($0, $0) }\n  %%s = reduce %%q { kind = sum, %s }\n"
                  "  %%z = map %%c, %%s { div($0, sqrt(add($1, 1.0))) }\n  return %%z\n}\n",
                  axes, axes);
  strbuf_printf(b, "entry @main(\"x\") -> (\"z\") { @main; }\n");
}

/* Lengths about those that lanes of a warp, a warp and a block have; several results, one of each
 * row, others in other dtypes; rows that begin anywhere, since they are cut out of wider ones. */
static void wide_row_text(struct strbuf *b) {
  static const int64_t lengths[] = {1,   2,   5,    8,    31,   33,   64,    128,  197,
                                    768, 896, 1000, 1024, 1026, 2048, 2056,  3333, 4096,
                                    768, 64,  8192, 4100, 1280, 9000, 16384, 40,   16400};
  static const char *const dtypes[] = {"f32", "f16", "bf16", "f64", "i32", "f16"};
  const char *t = dtypes[pick(0, 5)], *wide = t[0] == 'i' || t[1] == '6' ? t : "f32";
  long long n = lengths[pick(0, 26)], k = pick(0, 4) ? 1 : pick(2, 3),
            m = n > 2000 ? 1 : pick(1, 9), cut = pick(0, 2) ? 0 : pick(1, 8);
  bool open = pick(0, 2) == 0, stored = pick(0, 1), per_row = pick(0, 1);
  const char *axes = k > 1 ? "axes = [1, 2]" : "axes = [2]";
  char ms[32];
  snprintf(ms, sizeof ms, open ? "m" : "%lld", m);
  strbuf_printf(b, "func @main(%%i: %s[%s, %lld, %lld], %%r: %s[%s, %lld, %lld], %%g: %s[1, %lld, ",
                t, ms, k, n + cut, t, ms, k, n, t, pick(0, 1) ? k : 1ll);
  strbuf_printf(b, "%lld]) -> (%s[%s, %lld, %lld]", n, t, ms, k, n);
  if (stored)
    strbuf_printf(b, ", %s[%s, %lld, %lld]", wide, ms, k, n);
  if (per_row)
    strbuf_printf(b, ", %s[%s, %d, 1]", wide, ms, k > 1 ? 1 : (int)k);
  strbuf_printf(b, ")");
  if (open)
    strbuf_printf(b, " where m in %lld..%lld", m - 1, m + 3);
  strbuf_printf(b, " {\n");
  if (cut)
    strbuf_printf(
        b,
        "  %%x = slice %%i { start = [0, 0, %lld], size = [%s, %lld, %lld], step = [1, 1, "
        "1] }\n",
        (long long)pick(0, cut), ms, k, n);
  strbuf_printf(b, "  %%a = map %s, %%r { %s(add($0, $1)) }\n", cut ? "%x" : "%i", wide);
  strbuf_printf(b, "  %%m = reduce %%a { kind = max, %s }\n", axes);
  strbuf_printf(b, t[0] == 'i' ? "  %%e = map %%a, %%m { sub($0, $1) }\n"
                               : "  %%e = map %%a, %%m { exp(sub($0, $1)) }\n");
  strbuf_printf(b, "  %%s = reduce %%e { kind = sum, %s }\n", axes);
  strbuf_printf(b, "  %%z = map %%e, %%s, %%g { %s(add(mul($0, %s), add($1, %s($2)))) }\n", t,
                t[0] == 'i' ? "3" : "0.5", wide);
  strbuf_printf(b, "  return %%z%s%s\n}\n", stored ? ", %a" : "", per_row ? ", %m" : "");
  strbuf_printf(b, "entry @main(\"i\", \"r\", \"g\") -> (\"z\"%s%s) { @main; }\n",
                stored ? ", \"a\"" : "", per_row ? ", \"m\"" : "");
}

static void test_row(void **state) {
  (void)state;
  check_many(row_text, 20);
  check_gpu(row_text, 40);
  check_gpu(wide_row_text, 60);
}

static void test_coverage(void **state) {
  (void)state;
  check_coverage(KERNELS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_conv),          cmocka_unit_test(test_gpu_conv),
      cmocka_unit_test(test_conv_depth),    cmocka_unit_test(test_window),
      cmocka_unit_test(test_attention),     cmocka_unit_test(test_attention_wide),
      cmocka_unit_test(test_gpu_attention), cmocka_unit_test(test_contract),
      cmocka_unit_test(test_blocks),        cmocka_unit_test(test_pointwise),
      cmocka_unit_test(test_matrix),        cmocka_unit_test(test_gpu_pointwise),
      cmocka_unit_test(test_row),           cmocka_unit_test(test_reduce),
      cmocka_unit_test(test_gpu_reduce),    cmocka_unit_test(test_volumes),
      cmocka_unit_test(test_turned),        cmocka_unit_test(test_few),
      cmocka_unit_test(test_coverage),
  };
  cmocka_set_test_filter(getenv("SINTER_TEST"));
  return cmocka_run_group_tests(tests, NULL, NULL);
}
