/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine file's figures mean, and which it must have: the actions behind machine.y. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "passes/partition/machine_parse.h"

void machine_error_at(struct machine_parser *p, const struct machine_loc *at, const char *hint,
                      const char *format, ...) {
  struct strbuf text = {0};
  va_list args;
  va_start(args, format);
  strbuf_vprintf(&text, format, args);
  va_end(args);
  struct diag_where where = DIAG_NOWHERE;
  where.file = p->name;
  if (at) {
    where.line = at->line;
    where.column = at->column;
  }
  diag_report(p->diags, DIAG_E0342, &where, hint, "%s", strbuf_c(&text));
  strbuf_deinit(&text);
  p->errors++;
}

/* ---- numbers and lists ---- */

static bool unit_find(const char *text, double *out_scale, enum machine_unit *out_unit) {
  static const struct {
    const char *text;
    double scale;
    enum machine_unit unit;
  } units[] = {
      {"", 1, UNIT_PLAIN},
      {"B", 1, UNIT_BYTES},
      {"KB", 1e3, UNIT_BYTES},
      {"MB", 1e6, UNIT_BYTES},
      {"GB", 1e9, UNIT_BYTES},
      {"TB", 1e12, UNIT_BYTES},
      {"KiB", 0x1p10, UNIT_BYTES},
      {"MiB", 0x1p20, UNIT_BYTES},
      {"GiB", 0x1p30, UNIT_BYTES},
      {"s", 1, UNIT_SECONDS},
      {"ms", 1e-3, UNIT_SECONDS},
      {"us", 1e-6, UNIT_SECONDS},
      {"ns", 1e-9, UNIT_SECONDS},
      {"MB/s", 1e6, UNIT_BYTES_PER_SECOND},
      {"GB/s", 1e9, UNIT_BYTES_PER_SECOND},
      {"TB/s", 1e12, UNIT_BYTES_PER_SECOND},
      {"G/s", 1e9, UNIT_PER_SECOND},
      {"T/s", 1e12, UNIT_PER_SECOND},
      {"P/s", 1e15, UNIT_PER_SECOND},
  };
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strcmp(units[i].text, text))
      continue;
    *out_scale = units[i].scale;
    *out_unit = units[i].unit;
    return true;
  }
  return false;
}

bool machine_number(const char *text, size_t len, double *out, enum machine_unit *out_unit) {
  char room[64];
  *out = 1;
  *out_unit = UNIT_PLAIN;
  if (len >= sizeof room)
    return false;
  memcpy(room, text, len);
  room[len] = 0;
  char *end;
  double scale, x = strtod(room, &end);
  if (!unit_find(end, &scale, out_unit) || !isfinite(x * scale))
    return false;
  *out = x * scale;
  return true;
}

void machine_push(struct machine_parser *p, struct machine_tokens *list, struct machine_token x) {
  if (list->len == list->cap) {
    uint32_t cap = list->cap ? 2 * list->cap : 8;
    struct machine_token *data = ARENA_ARRAY(p->scratch, struct machine_token, cap);
    if (list->len)
      memcpy(data, list->data, list->len * sizeof *data);
    list->data = data;
    list->cap = cap;
  }
  list->data[list->len++] = x;
}

static const char *unit_text(enum machine_unit unit) {
  static const char *const texts[] = {"plain number", "size (80GB)", "time (1.5us)",
                                      "bandwidth (2.9TB/s)", "rate (790T/s)"};
  return texts[unit];
}

/* ---- figures ---- */

/* What a figure consists of. */
enum figure_form { FORM_NUMBER, FORM_DTYPE, FORM_CURVE, FORM_COLUMNS, FORM_RANKS };

struct figure_rule {
  const char *name;
  bool in_level;
  bool required;
  enum figure_form form;
  enum machine_unit x, y; /* of points; y also of a single number */
  double most;            /* of y */
};

static const struct figure_rule rules[] = {
    {"memory", false, true, FORM_NUMBER, 0, UNIT_BYTES, 1e15},
    {"reserve", false, false, FORM_NUMBER, 0, UNIT_BYTES, 1e15},
    {"launch", false, true, FORM_NUMBER, 0, UNIT_SECONDS, 1},
    {"scalar", false, true, FORM_NUMBER, 0, UNIT_PER_SECOND, 1e18},
    {"peak", false, true, FORM_DTYPE, 0, UNIT_PER_SECOND, 1e18},
    {"bandwidth", false, true, FORM_CURVE, UNIT_BYTES, UNIT_BYTES_PER_SECOND, 1e15},
    {"efficiency", false, false, FORM_COLUMNS, UNIT_PLAIN, UNIT_PLAIN, 1},
    {"devices", true, true, FORM_NUMBER, 0, UNIT_PLAIN, MACHINE_MAX_DEVICES},
    {"most", true, false, FORM_NUMBER, 0, UNIT_PLAIN, MACHINE_MAX_DEVICES},
    {"latency", true, true, FORM_NUMBER, 0, UNIT_SECONDS, 1},
    {"bandwidth", true, true, FORM_NUMBER, 0, UNIT_BYTES_PER_SECOND, 1e15},
    {"all_reduce", true, false, FORM_RANKS, UNIT_BYTES, UNIT_SECONDS, 1},
    {"all_gather", true, false, FORM_RANKS, UNIT_BYTES, UNIT_SECONDS, 1},
    {"reduce_scatter", true, false, FORM_RANKS, UNIT_BYTES, UNIT_SECONDS, 1},
    {"all_to_all", true, false, FORM_RANKS, UNIT_BYTES, UNIT_SECONDS, 1},
    {"permute", true, false, FORM_RANKS, UNIT_BYTES, UNIT_SECONDS, 1},
};
#define N_RULES (sizeof rules / sizeof *rules)

static const struct figure_rule *rule_find(const char *name, bool in_level) {
  for (size_t i = 0; i < N_RULES; i++)
    if (rules[i].in_level == in_level && !strcmp(rules[i].name, name))
      return &rules[i];
  return NULL;
}

/* What is smaller makes times that are not finite. */
#define LEAST_NUMBER 1e-18

/* A number of the unit in [LEAST_NUMBER, most]. */
static bool number_check(struct machine_parser *p, const struct machine_token *x,
                         const char *figure, enum machine_unit unit, double most) {
  if (x->word || x->unit != unit) {
    machine_error_at(p, &x->at, NULL, "'%s' takes a %s here", figure, unit_text(unit));
    return false;
  }
  if (!(x->number >= LEAST_NUMBER) || x->number > most) {
    machine_error_at(p, &x->at, NULL, "'%s' must be above 0, at least %g, and at most %g, not %g",
                     figure, LEAST_NUMBER, most, x->number);
    return false;
  }
  return true;
}

static bool curve_make(struct machine_parser *p, const struct machine_entry *e,
                       const struct figure_rule *rule, struct machine_curve *out) {
  uint32_t n = e->points.len / 2;
  if (!n || n > MACHINE_MAX_POINTS) {
    machine_error_at(p, &e->at, NULL, "'%s' needs between 1 and %d points, not %u", e->name,
                     MACHINE_MAX_POINTS, n);
    return false;
  }
  out->n = n;
  out->x = ARENA_ARRAY(p->arena, double, n);
  out->y = ARENA_ARRAY(p->arena, double, n);
  for (uint32_t i = 0; i < n; i++) {
    const struct machine_token *x = &e->points.data[2 * i];
    if (!number_check(p, x, e->name, rule->x, 1e18) ||
        !number_check(p, x + 1, e->name, rule->y, rule->most))
      return false;
    if (i && x->number <= out->x[i - 1]) {
      machine_error_at(p, &x->at, NULL, "the points of '%s' must ascend", e->name);
      return false;
    }
    out->x[i] = x->number;
    out->y[i] = x[1].number;
  }
  return true;
}

static void set_number(struct machine_parser *p, const char *name, double x) {
  struct machine_level *level = p->level;
  if (!level && !strcmp(name, "memory"))
    p->out->memory = (uint64_t)x;
  else if (!level && !strcmp(name, "reserve"))
    p->out->reserve = (uint64_t)x;
  else if (!level && !strcmp(name, "launch"))
    p->out->launch = x;
  else if (!level)
    p->out->scalar_peak = x;
  else if (!strcmp(name, "devices"))
    level->size = (int64_t)x;
  else if (!strcmp(name, "most"))
    level->max_size = (int64_t)x;
  else if (!strcmp(name, "latency"))
    level->latency = x;
  else
    level->bandwidth = x;
}

static void take_dtype(struct machine_parser *p, const struct machine_entry *e,
                       const struct figure_rule *rule) {
  const struct machine_token *a = e->arguments.data;
  if (e->arguments.len != 2 || !a[0].word) {
    machine_error_at(p, &e->at, NULL, "'%s' takes a dtype and a %s", e->name, unit_text(rule->y));
    return;
  }
  for (int t = 0; t < DTYPE_COUNT; t++) {
    if (strcmp(dtype_infos[t].name, a[0].word))
      continue;
    if (number_check(p, &a[1], e->name, rule->y, rule->most))
      p->out->peak[t] = a[1].number;
    return;
  }
  machine_error_at(p, &a[0].at, NULL, "there is no dtype '%s'", a[0].word);
}

static void take_columns(struct machine_parser *p, const struct machine_entry *e,
                         const struct figure_rule *rule) {
  struct machine_efficiency *all = &p->out->efficiency;
  struct machine_curve curve;
  const struct machine_token *a = e->arguments.data;
  if (e->arguments.len != 1 || !number_check(p, a, e->name, UNIT_PLAIN, 1e9)) {
    if (e->arguments.len != 1)
      machine_error_at(p, &e->at, NULL, "'%s' takes a number of columns before its points",
                       e->name);
    return;
  }
  if (all->n && all->columns[all->n - 1] >= a->number) {
    machine_error_at(p, &a->at, NULL, "the columns of '%s' must ascend", e->name);
    return;
  }
  if (!curve_make(p, e, rule, &curve))
    return;
  struct machine_efficiency grown = {.n = all->n + 1};
  grown.columns = ARENA_ARRAY(p->arena, double, grown.n);
  grown.by_rows = ARENA_ARRAY(p->arena, struct machine_curve, grown.n);
  if (all->n) {
    memcpy(grown.columns, all->columns, all->n * sizeof *all->columns);
    memcpy(grown.by_rows, all->by_rows, all->n * sizeof *all->by_rows);
  }
  grown.columns[all->n] = a->number;
  grown.by_rows[all->n] = curve;
  *all = grown;
}

static enum machine_collective collective_find(const char *name) {
  static const char *const names[] = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all",
                                      "permute"};
  uint32_t i = 0;
  while (strcmp(names[i], name))
    i++;
  return (enum machine_collective)i;
}

static void take_ranks(struct machine_parser *p, const struct machine_entry *e,
                       const struct figure_rule *rule) {
  struct machine_level *level = p->level;
  struct machine_curve curve;
  const struct machine_token *a = e->arguments.data;
  if (e->arguments.len != 1) {
    machine_error_at(p, &e->at, NULL, "'%s' takes a number of ranks before its points", e->name);
    return;
  }
  if (!number_check(p, a, e->name, UNIT_PLAIN, MACHINE_MAX_DEVICES) ||
      !curve_make(p, e, rule, &curve))
    return;
  struct machine_table *tables = ARENA_ARRAY(p->arena, struct machine_table, level->n_tables + 1);
  if (level->n_tables)
    memcpy(tables, level->tables, level->n_tables * sizeof *tables);
  tables[level->n_tables++] =
      (struct machine_table){collective_find(e->name), (int64_t)a->number, curve};
  level->tables = tables;
}

static void take_number(struct machine_parser *p, const struct machine_entry *e,
                        const struct figure_rule *rule) {
  const struct machine_token *a = e->arguments.data;
  if (e->arguments.len != 1) {
    machine_error_at(p, &e->at, NULL, "'%s' takes one %s", e->name, unit_text(rule->y));
    return;
  }
  if (!number_check(p, a, e->name, rule->y, rule->most))
    return;
  if (rule->y == UNIT_PLAIN && a->number != floor(a->number))
    machine_error_at(p, &a->at, NULL, "'%s' must be a whole number", e->name);
  else
    set_number(p, e->name, a->number);
}

/* Each figure once per scope and first argument. */
static bool is_double(struct machine_parser *p, const struct machine_entry *e) {
  struct strbuf key = {0};
  strbuf_printf(&key, "%s.%s", p->level ? p->level->name : "", e->name);
  if (e->arguments.len && (e->arguments.len > 1 || e->points.len)) {
    const struct machine_token *a = e->arguments.data;
    a->word ? strbuf_printf(&key, " %s", a->word) : strbuf_printf(&key, " %g", a->number);
  }
  bool has = strmap_get_c(&p->seen, strbuf_c(&key), NULL);
  strmap_put_c(&p->seen, strbuf_c(&key), 1);
  if (has)
    machine_error_at(p, &e->at, NULL, "'%s' is there twice", strbuf_c(&key));
  strbuf_deinit(&key);
  return has;
}

static void remember(struct machine_parser *p, const struct machine_entry *e) {
  struct machine *m = p->out;
  struct strbuf name = {0};
  strbuf_printf(&name, "%s%s%s", p->level ? p->level->name : "", p->level ? "." : "", e->name);
  for (uint32_t i = 0; i < e->arguments.len && (e->points.len || e->arguments.len > 1); i++) {
    const struct machine_token *a = &e->arguments.data[i];
    if (a->word)
      strbuf_printf(&name, " %s", a->word);
    else if (e->points.len)
      strbuf_printf(&name, " %g", a->number);
  }
  m->figures[m->n_figures++] =
      (struct machine_figure){arena_strdup(p->arena, strbuf_c(&name)), e->source};
  strbuf_deinit(&name);
}

void machine_figure_add(struct machine_parser *p, const struct machine_entry *e) {
  const struct figure_rule *rule = rule_find(e->name, p->level != NULL);
  if (!rule) {
    machine_error_at(p, &e->at, NULL, "a %s has no figure '%s'", p->level ? "level" : "device",
                     e->name);
    return;
  }
  if (!*e->source)
    machine_error_at(p, &e->at, NULL, "'%s' must say where it is from", e->name);
  bool curved = rule->form == FORM_CURVE || rule->form == FORM_COLUMNS || rule->form == FORM_RANKS;
  if (e->points.len && !curved) {
    machine_error_at(p, &e->at, NULL, "'%s' takes no points", e->name);
    return;
  }
  if (is_double(p, e))
    return;
  if (p->out->n_figures == MACHINE_MAX_FIGURES) {
    machine_error_at(p, &e->at, NULL, "more than %d figures", MACHINE_MAX_FIGURES);
    return;
  }
  remember(p, e);
  switch (rule->form) {
  case FORM_NUMBER: take_number(p, e, rule); break;
  case FORM_DTYPE: take_dtype(p, e, rule); break;
  case FORM_CURVE:
    if (e->arguments.len)
      machine_error_at(p, &e->at, NULL, "'%s' takes points only", e->name);
    else
      curve_make(p, e, rule, &p->out->bandwidth);
    break;
  case FORM_COLUMNS: take_columns(p, e, rule); break;
  case FORM_RANKS: take_ranks(p, e, rule); break;
  }
}

/* ---- the file ---- */

void machine_set_name(struct machine_parser *p, struct machine_token name) {
  if (p->out->name)
    machine_error_at(p, &name.at, NULL, "the machine has a name already: '%s'", p->out->name);
  else
    p->out->name = arena_strdup(p->arena, name.word);
}

void machine_level_begin(struct machine_parser *p, struct machine_token name) {
  static _Thread_local struct machine_level beyond; /* takes a level too many */
  struct machine *m = p->out;
  if (m->n_levels == MACHINE_MAX_LEVELS) {
    machine_error_at(p, &name.at, NULL, "more than %d levels", MACHINE_MAX_LEVELS);
    beyond = (struct machine_level){.name = arena_strdup(p->arena, name.word)};
    p->level = &beyond;
    return;
  }
  for (uint32_t i = 0; i < m->n_levels; i++)
    if (!strcmp(m->levels[i].name, name.word))
      machine_error_at(p, &name.at, NULL, "level '%s' is there twice", name.word);
  p->level = &m->levels[m->n_levels++];
  *p->level = (struct machine_level){.name = arena_strdup(p->arena, name.word)};
}

void machine_level_end(struct machine_parser *p) { p->level = NULL; }

static void require(struct machine_parser *p, const char *scope, bool in_level) {
  for (size_t i = 0; i < N_RULES; i++) {
    struct strbuf key = {0};
    strbuf_printf(&key, "%s.%s", scope, rules[i].name);
    if (rules[i].form == FORM_DTYPE)
      strbuf_append_c(&key, " f32");
    if (rules[i].in_level == in_level && rules[i].required &&
        !strmap_get_c(&p->seen, strbuf_c(&key), NULL))
      machine_error_at(p, NULL, NULL, "%s%s has no '%s'%s", in_level ? "level " : "the device",
                       scope, rules[i].name, rules[i].form == FORM_DTYPE ? " of f32" : "");
    strbuf_deinit(&key);
  }
}

void machine_finish(struct machine_parser *p) {
  struct machine *m = p->out;
  if (!m->name)
    machine_error_at(p, NULL, "begin with: machine NAME", "the machine has no name");
  require(p, "", false);
  if (!m->n_levels)
    machine_error_at(p, NULL, NULL, "the machine has no level of links");
  for (uint32_t i = 0; i < m->n_levels; i++) {
    struct machine_level *level = &m->levels[i];
    require(p, level->name, true);
    if (level->max_size && level->max_size < level->size)
      machine_error_at(p, NULL, NULL, "level %s has %lld devices, more than its most, %lld",
                       level->name, (long long)level->size, (long long)level->max_size);
    if (!level->max_size)
      level->max_size = level->size;
  }
  if (p->errors == 0 && machine_devices(m) > MACHINE_MAX_DEVICES)
    machine_error_at(p, NULL, NULL, "the levels have %lld devices together, more than %d",
                     (long long)machine_devices(m), MACHINE_MAX_DEVICES);
  if (m->reserve >= m->memory && m->memory)
    machine_error_at(p, NULL, NULL, "the reserve leaves nothing of the memory");
}
