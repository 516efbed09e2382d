/* SPDX-License-Identifier: Apache-2.0 */
/* Storing and printing diagnostics. Everything is allocated with mem_try_*, so that a report made
 * on the way out of an exhausted guard is still safe. */
#include "base/diag.h"

#include "base/json.h"
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

static const struct {
  const char *name;
  status status;
  const char *meaning;
} rows[] = {
#define DIAG(code, status, meaning) [DIAG_##code] = {#code, status, meaning},
#include "base/diag.def"
#undef DIAG
};

const char *diag_code_name(enum diag_code code) { return rows[code].name; }
status diag_code_status(enum diag_code code) { return rows[code].status; }
const char *diag_code_meaning(enum diag_code code) { return rows[code].meaning; }

void diags_init(struct diags *d) { *d = (struct diags){0}; }

static void free_item(struct diag *item) {
  mem_free((void *)item->where.file);
  mem_free((void *)item->where.node);
  mem_free((void *)item->where.op);
  mem_free((void *)item->where.source_line);
  mem_free(item->hint);
  mem_free(item->message);
}

void diags_clear(struct diags *d) {
  for (uint32_t i = 0; i < d->len; i++)
    free_item(&d->items[i]);
  d->len = d->errors = d->total = 0;
  d->first_error = STATUS_OK;
}

void diags_deinit(struct diags *d) {
  diags_clear(d);
  mem_free(d->items);
  *d = (struct diags){0};
}

/* Names may be as long as a hostile file likes. */
static char *copy_text(const char *s) {
  enum { LONGEST = 2000 };
  if (!s)
    return NULL;
  size_t n = strnlen(s, LONGEST);
  char *copy = mem_try_alloc(n + 1);
  if (copy) {
    memcpy(copy, s, n);
    copy[n] = 0;
  }
  return copy;
}

static char *format_text(const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  char *text = n < 0 ? NULL : mem_try_alloc((size_t)n + 1);
  if (text)
    vsnprintf(text, (size_t)n + 1, format, again);
  va_end(again);
  return text;
}

static struct diag *new_item(struct diags *d) {
  if (d->len == DIAGS_CAP)
    return NULL;
  if (d->len == d->cap) {
    uint32_t cap = d->cap ? d->cap * 2 : 8;
    struct diag *items = mem_try_realloc(d->items, cap * sizeof *items);
    if (!items)
      return NULL;
    d->items = items;
    d->cap = cap;
  }
  return &d->items[d->len++];
}

status diag_report(struct diags *d, enum diag_code code, const struct diag_where *where,
                   const char *hint, const char *format, ...) {
  status s = rows[code].status;
  if (!d)
    return s;
  d->total++;
  if (s != STATUS_OK && d->errors++ == 0)
    d->first_error = s;
  struct diag *item = new_item(d);
  if (!item)
    return s;
  *item = (struct diag){.code = code, .where = where ? *where : DIAG_NOWHERE};
  item->where.file = copy_text(item->where.file);
  item->where.node = copy_text(item->where.node);
  item->where.op = copy_text(item->where.op);
  item->where.source_line = copy_text(item->where.source_line);
  item->hint = copy_text(hint);
  va_list args;
  va_start(args, format);
  item->message = format_text(format, args);
  va_end(args);
  return s;
}

void diags_merge(struct diags *into, struct diags *from) {
  if (into->errors == 0)
    into->first_error = from->first_error;
  into->errors += from->errors;
  into->total += from->total;
  for (uint32_t i = 0; i < from->len; i++) {
    struct diag *item = new_item(into);
    if (item)
      *item = from->items[i];
    else
      free_item(&from->items[i]);
  }
  from->len = 0;
  diags_deinit(from);
}

uint32_t diags_count(const struct diags *d) { return d->len; }

const struct diag *diags_get(const struct diags *d, uint32_t i) {
  assert(i < d->len);
  return &d->items[i];
}

uint32_t diags_errors(const struct diags *d) { return d->errors; }

status diags_status(const struct diags *d) { return d->first_error; }

static const char *message_of(const struct diag *item) {
  return item->message ? item->message : rows[item->code].meaning;
}

/* A model's strings must not drive the terminal: C0, DEL and C1 (as UTF-8) are spelt out. */
static void print_text(FILE *out, const char *s) {
  for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
    bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f;
    if (*p < 0x20 || *p == 0x7f || c1) {
      fprintf(out, "\\x%02x", c1 ? *++p : *p);
    } else {
      fputc(*p, out);
    }
  }
}

static void print_node(const struct diag_where *w, FILE *out) {
  if (w->node_index >= 0)
    fprintf(out, "node %d", w->node_index);
  if (w->node) {
    fputs(w->node_index >= 0 ? " '" : "node '", out);
    print_text(out, w->node);
    fputc('\'', out);
  }
  if (w->op) {
    fputs(w->node || w->node_index >= 0 ? " (" : "(", out);
    print_text(out, w->op);
    fputc(')', out);
  }
}

static void print_where(const struct diag_where *w, FILE *out) {
  bool has_node = w->node || w->op || w->node_index >= 0;
  bool has_byte = w->byte_offset != UINT64_MAX;
  if (!w->file && !has_node && !has_byte && !w->line)
    return;
  fputs("  --> ", out);
  if (w->file)
    print_text(out, w->file);
  if (w->line) {
    fprintf(out, "%s%u", w->file ? ":" : "line ", w->line);
    if (w->column)
      fprintf(out, ":%u", w->column);
  }
  const char *separator = w->file || w->line ? ": " : "";
  if (has_node) {
    fputs(separator, out);
    print_node(w, out);
    separator = ", ";
  }
  if (has_byte)
    fprintf(out, "%sbyte %llu", separator, (unsigned long long)w->byte_offset);
  fputc('\n', out);
}

static void print_source_line(const struct diag_where *w, FILE *out) {
  if (!w->source_line)
    return;
  fputs("    | ", out);
  for (const char *p = w->source_line; *p; p++)
    fputc((unsigned char)*p < 0x20 || *p == 0x7f ? ' ' : *p, out);
  fputc('\n', out);
  if (w->column && w->column <= strlen(w->source_line) + 1)
    fprintf(out, "    | %*s^\n", (int)(w->column - 1), "");
}

static const char *severity(const struct diag *item) {
  return rows[item->code].status == STATUS_OK ? "warning" : "error";
}

void diags_print(const struct diags *d, FILE *out) {
  for (uint32_t i = 0; i < d->len; i++) {
    const struct diag *item = &d->items[i];
    fprintf(out, "%s[%s]: ", severity(item), rows[item->code].name);
    print_text(out, message_of(item));
    fputc('\n', out);
    print_where(&item->where, out);
    print_source_line(&item->where, out);
    if (item->hint) {
      fputs("  hint: ", out);
      print_text(out, item->hint);
      fputc('\n', out);
    }
  }
  if (d->total > d->len)
    fprintf(out, "and %u more\n", d->total - d->len);
}

static void json_text(struct json *out, const char *key, const char *value) {
  if (value) {
    json_key(out, key);
    json_string(out, value);
  }
}

static void json_number(struct json *out, const char *key, uint64_t value, uint64_t none) {
  if (value != none) {
    json_key(out, key);
    json_u64(out, value);
  }
}

void diags_write_json(const struct diags *d, struct json *out) {
  json_array_begin(out);
  for (uint32_t i = 0; i < d->len; i++) {
    const struct diag *item = &d->items[i];
    const struct diag_where *w = &item->where;
    json_object_begin(out);
    json_text(out, "code", rows[item->code].name);
    json_text(out, "severity", severity(item));
    json_text(out, "message", message_of(item));
    json_text(out, "hint", item->hint);
    json_text(out, "file", w->file);
    json_text(out, "node", w->node);
    json_text(out, "op", w->op);
    json_number(out, "node_index", w->node_index < 0 ? UINT64_MAX : (uint64_t)w->node_index,
                UINT64_MAX);
    json_number(out, "line", w->line, 0);
    json_number(out, "column", w->column, 0);
    json_number(out, "byte_offset", w->byte_offset, UINT64_MAX);
    json_object_end(out);
  }
  json_array_end(out);
}
