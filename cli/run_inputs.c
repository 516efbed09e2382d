/* SPDX-License-Identifier: Apache-2.0 */
/* The inputs of a run. */
#include "cli/run_inputs.h"

#include "base/checked.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/dim_text.h"
#include "cli/host_tensor.h"
#include "cli/option_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum source { SOURCE_NONE, SOURCE_FILE, SOURCE_RAW, SOURCE_RANDOM, SOURCE_ZEROS };

struct wanted_input {
  const sinter_port *port;
  enum source source;
  const char *path;
  const char *shape; /* of --shape, behind the colon */
  bool has_range;
  double lo, hi;
};

struct maker {
  const struct options *o;
  struct arena *arena;
  struct diags *d;
  struct wanted_input *inputs;
  struct dim_names names;
  uint64_t seed;
  struct run_inputs *out;
};

/* ---- what is asked for ---- */

static struct wanted_input *find_input(struct maker *m, const char *name, size_t n,
                                       const char *option) {
  char *wanted = arena_strndup(m->arena, name, n);
  struct near_miss near = {.wanted = wanted};
  const char *all = NULL;
  for (uint32_t i = 0; i < m->out->n; i++) {
    const char *here = m->inputs[i].port->name;
    if (!strcmp(here, wanted))
      return &m->inputs[i];
    near_miss_consider(&near, here);
    all = all ? arena_printf(m->arena, "%s, %s", all, here) : here;
  }
  const char *hint = near.best ? arena_printf(m->arena, "did you mean '%s'?", near.best)
                     : all     ? arena_printf(m->arena, "the inputs are %s", all)
                               : "the entry point takes no input";
  diag_report(m->d, DIAG_E0802, NULL, hint, "--%s names '%s', which is no input", option, wanted);
  return NULL;
}

/* LO..HI; the cut comes first, as "0..5" begins with the number "0.". */
static bool parse_range(struct maker *m, const char *text, struct wanted_input *in) {
  const char *dots = strstr(text, "..");
  if (!dots || dots == text || !dots[2])
    return false;
  char *end, *high;
  const char *low = arena_strndup(m->arena, text, (size_t)(dots - text));
  in->lo = strtod(low, &end);
  in->hi = strtod(dots + 2, &high);
  in->has_range = true;
  return !*end && !*high && in->lo <= in->hi;
}

static bool parse_source(struct maker *m, const char *text, struct wanted_input *in) {
  if (text[0] == '@' && text[1]) {
    in->path = text + 1;
    in->source = host_format_of(in->path) == HOST_RAW ? SOURCE_RAW : SOURCE_FILE;
    return true;
  }
  if (!strcmp(text, "zeros")) {
    in->source = SOURCE_ZEROS;
    return true;
  }
  if (strncmp(text, "random", 6))
    return false;
  in->source = SOURCE_RANDOM;
  return !text[6] || (text[6] == ':' && parse_range(m, text + 7, in));
}

static void read_input_option(struct maker *m, const char *text) {
  const char *equals = strchr(text, '=');
  const char *hint =
      "write name=@file.npy, name=@file.pb, name=@file.f32, name=random or name=zeros";
  if (!equals || equals == text) {
    diag_report(m->d, DIAG_E0802, NULL, hint, "'--input %s' is not understood", text);
    return;
  }
  /* Names may hold '='; a value begins behind the last one before '@', or behind the last. */
  const char *at = strstr(text, "=@");
  equals = at ? at : strrchr(text, '=');
  struct wanted_input *in = find_input(m, text, (size_t)(equals - text), "input");
  if (!in)
    return;
  if (in->source)
    diag_report(m->d, DIAG_E0803, NULL, NULL, "input '%s' is given twice", in->port->name);
  else if (!parse_source(m, equals + 1, in))
    diag_report(m->d, DIAG_E0802, NULL, hint, "'--input %s' is not understood", text);
}

static void read_shape_option(struct maker *m, const char *text) {
  const char *colon = strrchr(text, ':');
  if (!colon || colon == text) {
    diag_report(m->d, DIAG_E0802, NULL, "write name:1x3x224x224", "'--shape %s' is not understood",
                text);
    return;
  }
  struct wanted_input *in = find_input(m, text, (size_t)(colon - text), "shape");
  if (in)
    in->shape = colon + 1;
}

static void want_all(struct maker *m) {
  bool random = option_given(m->o, OPT_RANDOM_INPUTS);
  for (uint32_t i = 0; i < m->out->n; i++) {
    struct wanted_input *in = &m->inputs[i];
    if (in->source || in->port->optional)
      continue;
    in->source = SOURCE_RANDOM;
    if (!random)
      diag_report(m->d, DIAG_E0803, NULL, "--random-inputs fills all that are not given",
                  "input '%s' is not given", in->port->name);
  }
}

/* ---- dims ---- */

static void bind_dims(struct maker *m, const sinter_port *port, const int64_t *dims,
                      uint32_t rank) {
  for (uint32_t i = 0; i < rank && rank == port->rank; i++)
    if (port->dims[i].value < 0 && dim_text_is_name(port->dims[i].text))
      dim_names_bind(&m->names, port->dims[i].text, dims[i]);
}

/* "2x8" to dims; words that are no number ("1..8", "batch", "?") say nothing about a run. */
static void bind_shape(struct maker *m, const struct wanted_input *in) {
  struct str rest = str_from_c(in->shape);
  uint32_t rank = 0;
  bool fits = true;
  for (; rest.len; rank++) {
    struct str word = str_split(&rest, 'x');
    const sinter_dim *dim = rank < in->port->rank ? &in->port->dims[rank] : NULL;
    uint64_t value;
    fits &= !word.len || word.data[0] != '-';
    if (!dim || !value_count(arena_strndup(m->arena, word.data, word.len), &value))
      continue;
    if (dim->value >= 0)
      fits &= (uint64_t)dim->value == value;
    else if (dim_text_is_name(dim->text))
      dim_names_bind(&m->names, dim->text, (int64_t)value);
  }
  if (!fits || rank != in->port->rank)
    diag_report(m->d, DIAG_E0802, NULL, "'sinter inspect' shows the shapes of an engine's inputs",
                "--shape %s does not fit input '%s'", in->shape, in->port->name);
}

static int64_t least_size(const sinter_dim *dim) {
  int64_t size = dim->lo > 1 ? dim->lo : 1;
  return size > dim->hi ? dim->hi : size;
}

static void bind_rest(struct maker *m) {
  for (uint32_t i = 0; i < m->out->n; i++)
    for (uint32_t k = 0; k < m->inputs[i].port->rank; k++) {
      const sinter_dim *dim = &m->inputs[i].port->dims[k];
      if (dim->value < 0 && dim_text_is_name(dim->text))
        dim_names_bind(&m->names, dim->text, least_size(dim));
    }
}

static bool dims_of(struct maker *m, const struct wanted_input *in, int64_t *dims) {
  const sinter_port *port = in->port;
  for (uint32_t i = 0; i < port->rank; i++) {
    dims[i] = port->dims[i].value;
    if (dims[i] < 0 && !dim_text_evaluate(port->dims[i].text, &m->names, &dims[i])) {
      diag_report(m->d, DIAG_E0803, NULL, "give the inputs that decide it as files, or --shape",
                  "the size of dim %u of input '%s', %s, is not known", i, port->name,
                  port->dims[i].text);
      return false;
    }
  }
  return true;
}

/* One unknown dim of a raw file follows from the file's size. */
static void bind_from_size(struct maker *m, const struct wanted_input *in) {
  const sinter_port *port = in->port;
  const char *unknown = NULL;
  int64_t known[SINTER_MAX_RANK], elements;
  enum dtype dtype;
  struct stat st;
  if (stat(in->path, &st) || !dtype_from_onnx((int32_t)port->dtype, &dtype))
    return;
  for (uint32_t i = 0; i < port->rank; i++) {
    known[i] = port->dims[i].value;
    if (known[i] >= 0 || dim_text_evaluate(port->dims[i].text, &m->names, &known[i]))
      continue;
    if (unknown || !dim_text_is_name(port->dims[i].text))
      return;
    unknown = port->dims[i].text;
    known[i] = 1;
  }
  if (!unknown || !shape_elements(known, port->rank, &elements) || !elements || !dtype_bits(dtype))
    return;
  dim_names_bind(&m->names, unknown, (int64_t)st.st_size * 8 / dtype_bits(dtype) / elements);
}

/* ---- values ---- */

static uint64_t next_random(uint64_t *state) { /* splitmix64 (Steele, Lea, Flood 2014) */
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static void usual_range(enum dtype dtype, double *lo, double *hi) {
  unsigned bits = dtype_bits(dtype);
  *lo = dtype_is_float(dtype) ? -1 : 0;
  *hi = 1;
  if (!dtype_is_int(dtype) || bits > 16)
    return;
  *lo = dtype_is_signed(dtype) ? -(double)(1 << (bits - 1)) : 0;
  *hi = *lo + (double)((1 << bits) - 1);
}

/* Few words, so that some are equal. */
static void fill_words(sinter_tensor *t, uint64_t state) {
  static const char *const words[] = {"",        "a", "A",    "monday",
                                      "Tuesday", "1", "-2.5", "to be or not"};
  sinter_string *to = t->data;
  for (uint64_t i = 0; i < host_tensor_elements(t); i++) {
    const char *word = words[next_random(&state) % (sizeof words / sizeof *words)];
    to[i] = (sinter_string){word, strlen(word)};
  }
}

static void fill_random(struct maker *m, const struct wanted_input *in, sinter_tensor *t) {
  uint64_t state = m->seed ^ hash_bytes(in->port->name, strlen(in->port->name), 0);
  uint64_t n = host_tensor_elements(t);
  enum dtype dtype = DTYPE_F32;
  double lo = in->lo, hi = in->hi;
  host_tensor_dtype(t, &dtype);
  if (dtype == DTYPE_STRING) {
    fill_words(t, state);
    return;
  }
  if (!in->has_range)
    usual_range(dtype, &lo, &hi);
  for (uint64_t i = 0; i < n; i++) {
    double unit = (double)(next_random(&state) >> 11) * 0x1p-53;
    host_tensor_set(
        t, i, dtype_is_float(dtype) ? lo + unit * (hi - lo) : floor(lo + unit * (hi - lo + 1)));
  }
}

static void make_one(struct maker *m, uint32_t i) {
  const struct wanted_input *in = &m->inputs[i];
  sinter_tensor *t = &m->out->tensors[i];
  int64_t dims[SINTER_MAX_RANK];
  if (in->source == SOURCE_NONE || in->source == SOURCE_FILE || !dims_of(m, in, dims))
    return;
  if (in->source == SOURCE_RAW)
    host_tensor_read_raw(in->path, in->port->dtype, in->port->rank, dims, m->d, t);
  else if (!host_tensor_alloc(in->port->dtype, in->port->rank, dims, m->d, t) &&
           in->source == SOURCE_RANDOM)
    fill_random(m, in, t);
}

/* What is known decides what is not: files that carry shapes, then --shape, then sizes of raw
 * files, then lower bounds. */
static void make_all(struct maker *m) {
  uint32_t n = m->out->n;
  for (uint32_t i = 0; i < n; i++) {
    const struct wanted_input *in = &m->inputs[i];
    sinter_tensor *t = &m->out->tensors[i];
    if (in->source == SOURCE_FILE && !host_tensor_read(in->path, m->d, t))
      bind_dims(m, in->port, t->dims, t->rank);
  }
  for (uint32_t i = 0; i < n; i++)
    if (m->inputs[i].shape)
      bind_shape(m, &m->inputs[i]);
  for (uint32_t i = 0; i < n; i++)
    if (m->inputs[i].source == SOURCE_RAW)
      bind_from_size(m, &m->inputs[i]);
  bind_rest(m);
  for (uint32_t i = 0; i < n; i++)
    make_one(m, i);
}

static void read_options(struct maker *m) {
  const struct option_value *inputs = &m->o->values[OPT_INPUT];
  const struct option_value *shapes = &m->o->values[OPT_SHAPE];
  for (uint32_t i = 0; i < inputs->count; i++)
    read_input_option(m, inputs->texts[i]);
  for (uint32_t i = 0; i < shapes->count; i++)
    read_shape_option(m, shapes->texts[i]);
  want_all(m);
}

status run_inputs_make(const struct options *o, const sinter_engine *engine, uint32_t entry,
                       struct arena *arena, struct diags *d, struct run_inputs *out) {
  uint32_t errors = diags_errors(d);
  *out = (struct run_inputs){.n = sinter_engine_input_count(engine, entry)};
  out->tensors = mem_calloc(out->n + 1, sizeof *out->tensors);
  struct maker m = {.o = o,
                    .arena = arena,
                    .d = d,
                    .inputs = ARENA_ARRAY(arena, struct wanted_input, out->n),
                    .names = {.arena = arena},
                    .seed = option_number(o, OPT_SEED, 0),
                    .out = out};
  for (uint32_t i = 0; i < out->n; i++)
    m.inputs[i].port = sinter_engine_input(engine, entry, i);
  read_options(&m);
  if (diags_errors(d) == errors)
    make_all(&m);
  if (diags_errors(d) == errors)
    return STATUS_OK;
  run_inputs_deinit(out);
  return diags_status(d);
}

void run_inputs_deinit(struct run_inputs *inputs) {
  for (uint32_t i = 0; i < inputs->n; i++)
    mem_free(inputs->tensors[i].data);
  mem_free(inputs->tensors);
  *inputs = (struct run_inputs){0};
}
