/* SPDX-License-Identifier: Apache-2.0 */
/* Machines: found by name, and asked for times. */
#include "passes/partition/machine_model.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "passes/partition/machine.tab.h"
#include "passes/partition/machine_parse.h"

#define YYSTYPE MACHINE_FILE_STYPE
#define YYLTYPE MACHINE_FILE_LTYPE
#include "passes/partition/machine.lex.h"

/* ---- from text ---- */

static void read_text(struct machine_parser *p, const char *text, size_t length) {
  yyscan_t scanner;
  if (machine_file_lex_init_extra(p, &scanner))
    mem_exhausted();
  machine_file__scan_bytes(text, (int)length, scanner);
  machine_file_parse(p, scanner);
  machine_file_lex_destroy(scanner);
}

/* The number of devices asked for, laid out over the levels: `outer` nodes of `inner`. */
static void set_devices(struct machine *m, int64_t outer, int64_t inner) {
  m->levels[0].size = inner;
  for (uint32_t i = 1; i < m->n_levels; i++)
    m->levels[i].size = i == 1 ? outer : 1;
}

static status check_devices(const struct machine *m, const char *name, int64_t outer, int64_t inner,
                            struct diags *d) {
  const struct machine_level *first = &m->levels[0];
  if (inner < 1 || outer < 1 || inner > MACHINE_MAX_DEVICES || outer > MACHINE_MAX_DEVICES / inner)
    return diag_report(d, DIAG_E0341, NULL, NULL, "'%s' must have between 1 and %d devices", name,
                       MACHINE_MAX_DEVICES);
  if (inner > first->max_size)
    return diag_report(d, DIAG_E0341, NULL, m->n_levels > 1 ? "more nodes: 2xh100x8" : NULL,
                       "'%s' has %lld devices on one %s, which has room for %lld", name,
                       (long long)inner, first->name, (long long)first->max_size);
  if (outer > 1 && (m->n_levels < 2 || outer > m->levels[1].max_size))
    return diag_report(d, DIAG_E0341, NULL, NULL, "'%s' has %lld nodes; %s connects at most %lld",
                       name, (long long)outer, m->n_levels < 2 ? "nothing" : m->levels[1].name,
                       (long long)(m->n_levels < 2 ? 1 : m->levels[1].max_size));
  return STATUS_OK;
}

status machine_parse(const char *name, const char *text, size_t length, struct arena *arena,
                     struct diags *d, struct machine *out) {
  struct arena scratch = {0};
  *out = (struct machine){0};
  out->figures = ARENA_ARRAY(arena, struct machine_figure, MACHINE_MAX_FIGURES);
  struct machine_parser p = {
      .arena = arena, .scratch = &scratch, .diags = d, .name = name, .next = {1, 1}, .out = out};
  if (length > MACHINE_MAX_TEXT) {
    machine_error_at(&p, NULL, NULL, "the file has %zu bytes; %zu are the most", length,
                     MACHINE_MAX_TEXT);
  } else {
    read_text(&p, text, length);
    machine_finish(&p);
  }
  strmap_deinit(&p.seen);
  arena_deinit(&scratch);
  return p.errors ? diag_code_status(DIAG_E0342) : STATUS_OK;
}

/* ---- by name ---- */

/* "2xh100x8": nodes, name, devices; 1 where they are absent. */
struct machine_name {
  struct str base;
  int64_t nodes, devices;
};

static int64_t take_count(struct str digits) {
  int64_t n = 0;
  for (size_t i = 0; i < digits.len; i++) {
    if (digits.data[i] < '0' || digits.data[i] > '9')
      return -1;
    n = n > MACHINE_MAX_DEVICES ? n : 10 * n + (digits.data[i] - '0');
  }
  return digits.len ? n : -1;
}

static struct machine_name split_name(const char *name) {
  struct machine_name out = {.base = str_from_c(name), .nodes = 1, .devices = 1};
  const char *x = strchr(name, 'x');
  if (x && take_count((struct str){name, (size_t)(x - name)}) >= 0) {
    out.nodes = take_count((struct str){name, (size_t)(x - name)});
    out.base = str_from_c(x + 1);
  }
  for (size_t i = out.base.len; i-- > 0;) {
    if (out.base.data[i] != 'x')
      continue;
    struct str digits = {out.base.data + i + 1, out.base.len - i - 1};
    if (take_count(digits) >= 0) {
      out.devices = take_count(digits);
      out.base.len = i;
    }
    break;
  }
  return out;
}

static status find_named(const char *name, struct arena *arena, struct diags *d,
                         struct machine *out) {
  struct machine_name parts = split_name(name);
  struct strbuf known = {0};
  status st = STATUS_OK;
  for (const struct machine_file *f = machine_files; f->name; f++) {
    strbuf_printf(&known, "%s%sxN", known.len ? ", " : "", f->name);
    if (!str_eq_c(parts.base, f->name))
      continue;
    strbuf_deinit(&known);
    st = machine_parse(f->name, f->text, strlen(f->text), arena, d, out);
    if (st == STATUS_OK)
      st = check_devices(out, name, parts.nodes, parts.devices, d);
    if (st == STATUS_OK)
      set_devices(out, parts.nodes, parts.devices);
    out->name = arena_strdup(arena, name);
    return st;
  }
  st = diag_report(d, DIAG_E0341, NULL, strbuf_c(&known), "there is no machine '%s'", name);
  strbuf_deinit(&known);
  return st;
}

/* PATH.machine or PATH.machine:N. */
static status find_file(const char *name, const char *colon, struct arena *arena, struct diags *d,
                        struct machine *out) {
  const char *path = colon ? arena_strndup(arena, name, (size_t)(colon - name)) : name;
  char *text;
  size_t size;
  status st = file_read(path, MACHINE_MAX_TEXT, d, &text, &size);
  if (st != STATUS_OK)
    return st;
  st = machine_parse(arena_strdup(arena, path), text, size, arena, d, out);
  mem_free(text);
  if (st != STATUS_OK || !colon)
    return st;
  int64_t n = take_count(str_from_c(colon + 1));
  st = check_devices(out, name, 1, n, d);
  if (st == STATUS_OK)
    set_devices(out, 1, n);
  return st;
}

status machine_find(const char *name, struct arena *arena, struct diags *d, struct machine *out) {
  const char *suffix = ".machine", *colon = strrchr(name, ':');
  struct str path = {name, colon ? (size_t)(colon - name) : strlen(name)};
  if (str_ends(path, str_from_c(suffix)))
    return find_file(name, colon, arena, d, out);
  if (str_ends(str_from_c(name), str_from_c(suffix)))
    return find_file(name, NULL, arena, d, out);
  return find_named(name, arena, d, out);
}

int64_t machine_devices(const struct machine *m) {
  int64_t n = 1;
  for (uint32_t i = 0; i < m->n_levels; i++)
    n *= m->levels[i].size;
  return n;
}

/* ---- times ---- */

double machine_curve_at(const struct machine_curve *c, double x) {
  if (x <= c->x[0])
    return c->y[0];
  for (uint32_t i = 1; i < c->n; i++) {
    if (x > c->x[i])
      continue;
    double f = log(x / c->x[i - 1]) / log(c->x[i] / c->x[i - 1]);
    return c->y[i - 1] + f * (c->y[i] - c->y[i - 1]);
  }
  return c->y[c->n - 1];
}

/* Between the curves of two numbers of columns, in their logarithm. */
static double efficiency_at(const struct machine_efficiency *e, double rows, double columns) {
  if (!e->n)
    return 1;
  uint32_t i = 0;
  while (i < e->n && e->columns[i] < columns)
    i++;
  if (i == 0 || i == e->n)
    return machine_curve_at(&e->by_rows[i ? e->n - 1 : 0], rows);
  double f = log(columns / e->columns[i - 1]) / log(e->columns[i] / e->columns[i - 1]);
  double low = machine_curve_at(&e->by_rows[i - 1], rows);
  return low + f * (machine_curve_at(&e->by_rows[i], rows) - low);
}

double machine_product_time(const struct machine *m, enum dtype dtype, double flops, double rows,
                            double columns) {
  double peak = m->peak[dtype] > 0 ? m->peak[dtype] : m->peak[DTYPE_F32];
  return flops > 0 ? flops / (peak * efficiency_at(&m->efficiency, rows, columns)) : 0;
}

double machine_memory_time(const struct machine *m, double bytes) {
  return bytes > 0 ? bytes / machine_curve_at(&m->bandwidth, bytes) : 0;
}

/* Beyond its last point a table goes on at the bandwidth of the level; below its first it is flat.
 */
static bool table_time(const struct machine_level *level, enum machine_collective kind,
                       int64_t ranks, double bytes, double moved, double *out) {
  const struct machine_table *best = NULL;
  for (uint32_t i = 0; i < level->n_tables; i++) {
    const struct machine_table *t = &level->tables[i];
    if (t->kind == kind && t->ranks >= ranks && (!best || t->ranks < best->ranks))
      best = t;
  }
  if (!best)
    return false;
  double last = best->seconds.x[best->seconds.n - 1];
  *out = machine_curve_at(&best->seconds, bytes);
  if (bytes > last)
    *out += (bytes - last) / bytes * moved / level->bandwidth;
  return true;
}

double machine_collective_time(const struct machine *m, enum machine_collective kind,
                               struct machine_group group, double bytes) {
  if (group.size <= 1)
    return 0;
  int64_t reach = 1;
  uint32_t i = 0;
  for (; i + 1 < m->n_levels; i++) {
    reach *= m->levels[i].size;
    if (group.span <= reach && reach % group.span == 0)
      break;
  }
  const struct machine_level *level = &m->levels[i];
  double n = (double)group.size, steps = ceil(log2(n)), moved = bytes * (n - 1) / n;
  switch (kind) {
  case COLLECTIVE_ALL_REDUCE: moved *= 2, steps *= 2; break;
  case COLLECTIVE_PERMUTE: moved = bytes, steps = 1; break;
  default: break;
  }
  double time;
  if (table_time(level, kind, group.size, bytes, moved, &time))
    return time;
  return steps * level->latency + moved / level->bandwidth;
}
