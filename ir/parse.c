/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of text IR: entry point, reports, tokens' values, and the bounds of symbols, which are
 * read in a pass of their own so that every expression is built knowing them. */
#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "ir/sir_parse.h"
#include "ir/text.h"
#include "ir/verify.h"

#include "ir/sir.tab.h"
#define YYSTYPE SIR_STYPE
#define YYLTYPE SIR_LTYPE
#include "ir/sir.lex.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void *sir_grow(struct sir_parser *p, void *data, uint32_t len, uint32_t *cap, size_t size) {
  if (len < *cap)
    return data;
  uint32_t more = *cap ? *cap * 2 : 4;
  void *grown = arena_alloc_array(&p->scratch, more, size);
  if (len)
    memcpy(grown, data, len * size);
  *cap = more;
  return grown;
}

/* ---- reports ---- */

enum { LINE_SHOWN = 200 };

static const char *line_at(struct sir_parser *p, const struct sir_loc *at) {
  size_t begin = at->offset <= p->len ? at->offset : p->len, end = begin;
  while (begin > 0 && p->text[begin - 1] != '\n' && at->offset - begin < LINE_SHOWN)
    begin--;
  if (begin > 0 && p->text[begin - 1] != '\n')
    return NULL; /* a caret would not show where */
  while (end < p->len && p->text[end] != '\n' && end - begin < 2 * LINE_SHOWN)
    end++;
  return arena_strndup(&p->scratch, p->text + begin, end - begin);
}

struct diag_where sir_where(struct sir_parser *p, const struct sir_loc *at) {
  struct diag_where where = DIAG_NOWHERE;
  where.file = p->file;
  where.line = at->line;
  where.column = at->column;
  where.source_line = line_at(p, at);
  return where;
}

void sir_error(struct sir_parser *p, const struct sir_loc *at, enum diag_code code,
               const char *hint, const char *format, ...) {
  struct strbuf text = {0};
  va_list args;
  va_start(args, format);
  strbuf_vprintf(&text, format, args);
  va_end(args);
  struct diag_where where = sir_where(p, at);
  diag_report(p->diags, code, &where, hint, "%s", strbuf_c(&text));
  strbuf_deinit(&text);
  p->errors++;
}

/* ---- tokens ---- */

static int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

const char *sir_unquote(struct sir_parser *p, const char *text, size_t len) {
  if (!memchr(text, '\\', len))
    return memchr(text, '\0', len) ? NULL : arena_strndup(&p->scratch, text, len);
  char *out = arena_alloc(&p->scratch, len + 1);
  size_t n = 0;
  for (size_t i = 0; i < len; i++) {
    if (text[i] != '\\') {
      if (text[i] == '\0')
        return NULL;
      out[n++] = text[i];
      continue;
    }
    if (++i == len)
      return NULL;
    if (text[i] == '"' || text[i] == '\\') {
      out[n++] = text[i];
      continue;
    }
    if (text[i] != 'x' || i + 2 >= len)
      return NULL;
    int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0 || high + low == 0)
      return NULL;
    out[n++] = (char)(high * 16 + low);
    i += 2;
  }
  out[n] = '\0';
  return out;
}

struct sir_expr sir_integer(struct sir_parser *p, const char *text) {
  struct sir_expr x = {.kind = EXPR_INT};
  errno = 0;
  x.magnitude = strtoull(text, NULL, 10);
  if (errno == ERANGE)
    sir_error(p, &p->next, DIAG_E0205, NULL, "integer '%.40s' is out of range", text);
  return x;
}

struct sir_expr sir_float(const char *text) {
  return (struct sir_expr){.kind = EXPR_FLOAT, .number = strtod(text, NULL)};
}

static bool number_f64(const struct sir_expr *x, double *out) {
  double value;
  if (x->kind == EXPR_INT)
    value = (double)x->magnitude;
  else if (x->kind == EXPR_FLOAT)
    value = x->number;
  else if (x->kind == EXPR_NAME && !strcmp(x->text, "inf"))
    value = INFINITY;
  else if (x->kind == EXPR_NAME && !strcmp(x->text, "nan"))
    value = (double)NAN;
  else
    return false;
  *out = x->negative ? -value : value;
  return true;
}

static bool number_i64(const struct sir_expr *x, enum dtype dtype, int64_t *out) {
  if (dtype_kind(dtype) == DTYPE_KIND_BOOL) {
    bool yes = x->kind == EXPR_NAME && !strcmp(x->text, "true");
    bool no = x->kind == EXPR_NAME && !strcmp(x->text, "false");
    *out = yes;
    return yes || no;
  }
  if (x->kind != EXPR_INT)
    return false;
  uint64_t bits = x->negative ? 0 - x->magnitude : x->magnitude;
  bool sign_fits = x->negative ? dtype_is_signed(dtype) && x->magnitude <= UINT64_C(1) << 63
                               : dtype_is_unsigned(dtype) || x->magnitude <= INT64_MAX;
  *out = (int64_t)bits;
  return (sign_fits || x->magnitude == 0) && scalar_literal_i64(dtype, *out) == *out;
}

bool sir_number(struct sir_parser *p, const struct sir_expr *x, enum dtype dtype, double *out_f64,
                int64_t *out_i64) {
  if (dtype_is_float(dtype) ? number_f64(x, out_f64) : number_i64(x, dtype, out_i64))
    return true;
  sir_error(p, &x->at, DIAG_E0205, NULL, "this is no %s", dtype_name(dtype));
  return false;
}

/* ---- bounds ---- */

/* What the pass over tokens has seen of `name in lo..hi`. */
struct bounds_reader {
  int step;    /* 0 nothing, 1 a name, 2 `in`, 3 the lower bound was read, 4 `..` */
  bool begins; /* the last token was `where` or a comma: bounds may follow */
  struct sir_name name;
  bool negative;
  int64_t lo, hi;
};

static void bounds_finish(struct sir_parser *p, struct bounds_reader *r) {
  if (r->step == 4 && dim_symbol(p->m->dims, r->name.text, r->lo, r->hi) == DIM_NONE)
    sir_error(p, &r->name.at, DIAG_E0205, NULL, "the bounds of '%s' leave no value", r->name.text);
  r->step = 0;
  r->negative = false;
}

static bool limit_value(const struct sir_expr *x, bool negative, int64_t *out) {
  struct sir_expr copy = *x;
  copy.negative = negative;
  return number_i64(&copy, DTYPE_I64, out);
}

static void bounds_token(struct sir_parser *p, struct bounds_reader *r, int token,
                         const SIR_STYPE *value) {
  bool begins = r->begins;
  r->begins = token == KW_WHERE || token == ',';
  if (r->step == 1 && token == KW_IN) {
    r->step = 2;
    r->lo = DIM_UNBOUNDED_LO;
    r->hi = DIM_UNBOUNDED_HI;
    return;
  }
  if ((r->step == 2 || r->step == 3) && token == DOTDOT) {
    r->step = 4;
    r->negative = false;
    return;
  }
  if ((r->step == 2 || r->step == 4) && token == '-' && !r->negative) {
    r->negative = true;
    return;
  }
  if (r->step == 2 && token == INTEGER && limit_value(&value->expr, r->negative, &r->lo)) {
    r->step = 3;
    return;
  }
  if (r->step == 4 && token == INTEGER)
    limit_value(&value->expr, r->negative, &r->hi);
  bounds_finish(p, r);
  /* Any word may be the name of a symbol; what is not followed by `in` is dropped again. */
  bool word = token == NAME || token == STRING || (token >= KW_FUNC && token <= KW_FILE);
  if (begins && word) {
    r->step = 1;
    r->name = value->name;
  }
}

void sir_bounds_of_text(struct sir_parser *p) {
  struct sir_parser quiet = {.text = p->text, .len = p->len, .next = {1, 1, 0}};
  struct bounds_reader r = {0};
  yyscan_t scanner;
  SIR_STYPE value;
  struct sir_loc at;
  int token;
  sir_lex_init_extra(&quiet, &scanner);
  sir__scan_bytes(p->text, (int)p->len, scanner);
  while ((token = sir_lex(&value, &at, scanner)) != END)
    bounds_token(p, &r, token, &value);
  bounds_finish(p, &r);
  sir_lex_destroy(scanner);
  arena_deinit(&quiet.scratch);
}

/* ---- entry point ---- */

static void parse_text(struct sir_parser *p) {
  yyscan_t scanner;
  sir_bounds_of_text(p);
  sir_lex_init_extra(p, &scanner);
  sir__scan_bytes(p->text, (int)p->len, scanner);
  int result = sir_parse(p, scanner);
  if (result && p->errors == 0)
    sir_error(p, &p->next, DIAG_E0201, NULL, "the text does not parse");
  sir_lex_destroy(scanner);
}

status module_parse(const char *name, const char *text, size_t len, struct diags *diags,
                    struct module **out_module) {
  *out_module = NULL;
  struct diag_where where = DIAG_NOWHERE;
  where.file = name;
  if (len > SIR_MAX_TEXT)
    return diag_report(diags, DIAG_E0209, &where, NULL, "text IR of %zu bytes", len);
  struct sir_parser p = {.m = module_create(),
                         .diags = diags,
                         .file = name,
                         .text = text,
                         .len = len,
                         .next = {1, 1, 0}};
  parse_text(&p);
  status result = p.errors ? STATUS_INVALID : module_verify_form(p.m, diags);
  if (result == STATUS_OK)
    *out_module = p.m;
  else
    module_destroy(p.m);
  vec_deinit(&p.open);
  strmap_deinit(&p.values);
  strmap_deinit(&p.constants);
  arena_deinit(&p.scratch);
  return result;
}

/* Gives the constants that are kept in files their data. Neighbours mostly share a file, so one is
 * open at a time. */
static status load_constants(struct module *m, struct diags *diags) {
  struct mapped_file file = {0};
  const char *open = NULL;
  status result = STATUS_OK;
  for (uint32_t i = 1; i < m->constants.len && result == STATUS_OK; i++) {
    struct constant *c = &m->constants.data[i];
    if (!c->file || c->data)
      continue;
    if (open != c->file) {
      mapped_file_close(&file);
      file = (struct mapped_file){0};
      open = c->file;
      result = mapped_file_open(open, diags, &file);
      if (result != STATUS_OK)
        break;
    }
    struct diag_where where = DIAG_NOWHERE;
    where.file = c->file;
    if (!range_inside(c->offset, c->bytes, file.size))
      result = diag_report(diags, DIAG_E0206, &where, NULL,
                           "constant @%s needs %llu bytes from %llu on, of %zu", c->name,
                           (unsigned long long)c->bytes, (unsigned long long)c->offset, file.size);
    else if (c->bytes)
      c->data = arena_memdup(&m->arena, file.data + c->offset, c->bytes);
  }
  mapped_file_close(&file);
  return result;
}

status module_parse_file(const char *path, struct diags *diags, struct module **out_module) {
  char *text;
  size_t len;
  *out_module = NULL;
  status result = file_read(path, SIR_MAX_TEXT, diags, &text, &len);
  if (result != STATUS_OK)
    return result;
  result = module_parse(path, text, len, diags, out_module);
  mem_free(text);
  if (result == STATUS_OK)
    result = load_constants(*out_module, diags);
  if (result != STATUS_OK) {
    module_destroy(*out_module);
    *out_module = NULL;
  }
  return result;
}
