/* SPDX-License-Identifier: Apache-2.0 */
/* Finding test cases, and the tolerances that hold for each. */
#include "cli/test_case.h"

#include "base/file.h"
#include "cli/option_value.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- cases ---- */

static char *joined_path(const char *folder, const char *name) {
  struct strbuf b = {0};
  strbuf_printf(&b, "%s/%s", folder, name);
  return b.data;
}

void path_list_deinit(path_list *list) {
  for (uint32_t i = 0; i < list->len; i++)
    mem_free(list->data[i]);
  vec_deinit(list);
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_folder(const char *folder, const char *name) {
  char *path = joined_path(folder, name);
  struct stat st;
  bool is = lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
  mem_free(path);
  return is;
}

enum { DEEPEST_FOLDER = 64 };

static status walk(const char *folder, int depth, struct diags *d, path_list *out) {
  DIR *dir = opendir(folder);
  if (!dir && depth == 0) {
    struct diag_where where = DIAG_NOWHERE;
    where.file = folder;
    return diag_report(d, DIAG_E0903, &where, NULL, "cannot read the folder: %s", strerror(errno));
  }
  path_list below = {0};
  bool model = false, data = false;
  for (struct dirent *e; dir && (e = readdir(dir));) {
    model |= !strcmp(e->d_name, "model.onnx");
    if (e->d_name[0] == '.' || !is_folder(folder, e->d_name))
      continue;
    if (!strncmp(e->d_name, "test_data_set_", 14))
      data = true;
    else if (depth < DEEPEST_FOLDER)
      vec_push(&below, joined_path(folder, e->d_name));
  }
  if (dir)
    closedir(dir);
  if (model && data) {
    struct strbuf b = {0};
    strbuf_append_c(&b, folder);
    vec_push(out, b.data);
  }
  for (uint32_t i = 0; i < below.len; i++)
    walk(below.data[i], depth + 1, d, out);
  path_list_deinit(&below);
  return STATUS_OK;
}

status test_cases_find(const char *const *roots, uint32_t n_roots, struct diags *d,
                       path_list *out) {
  status s = STATUS_OK;
  for (uint32_t i = 0; i < n_roots; i++) {
    size_t n = strlen(roots[i]);
    while (n > 1 && roots[i][n - 1] == '/')
      n--;
    struct strbuf root = {0};
    strbuf_append(&root, roots[i], n);
    status here = walk(root.data, 0, d, out);
    s = s ? s : here;
    strbuf_deinit(&root);
  }
  if (out->len)
    qsort(out->data, out->len, sizeof *out->data, by_text);
  return s;
}

void numbered_files(const char *folder, const char *prefix, const char *suffix, path_list *out) {
  for (unsigned i = 0;; i++) {
    struct strbuf path = {0};
    strbuf_printf(&path, "%s/%s%u%s", folder, prefix, i, suffix);
    if (access(path.data, F_OK)) {
      strbuf_deinit(&path);
      return;
    }
    vec_push(out, path.data);
  }
}

/* ---- tolerances ---- */

static struct str next_word(struct str *line) {
  while (line->len && (line->data[0] == ' ' || line->data[0] == '\t' || line->data[0] == '\r'))
    line->data++, line->len--;
  struct str word = {line->data, 0};
  while (word.len < line->len && !strchr(" \t\r", word.data[word.len]))
    word.len++;
  line->data += word.len;
  line->len -= word.len;
  return word;
}

static bool word_number(struct str word, double *out) {
  char text[64];
  if (!word.len || word.len >= sizeof text)
    return false;
  memcpy(text, word.data, word.len);
  text[word.len] = '\0';
  return value_real(text, out);
}

static bool read_rule(struct tolerances *t, struct str line) {
  struct str glob = next_word(&line), first = next_word(&line), second = next_word(&line);
  struct tolerance rule = {.limits = {.range = -1}};
  if (!glob.len || glob.data[0] == '#')
    return true;
  double number = 0;
  rule.limits.form_only = str_eq_c(first, "random");
  if (!rule.limits.form_only && !word_number(first, &number))
    return false;
  if (!second.len || second.data[0] == '#') {
    rule.limits.range = number;
  } else {
    rule.limits.rtol = number;
    if (!word_number(second, &rule.limits.atol))
      return false;
  }
  struct strbuf copy = {0};
  strbuf_append(&copy, glob.data, glob.len);
  rule.glob = copy.data;
  vec_push(&t->rules, rule);
  return true;
}

status tolerances_read(struct tolerances *t, const char *path, struct diags *d) {
  char *data;
  size_t size;
  status s = file_read(path, 1 << 20, d, &data, &size);
  if (s)
    return s;
  struct str rest = {data, size};
  for (uint32_t line = 1; rest.len; line++) {
    struct diag_where where = DIAG_NOWHERE;
    where.file = path;
    where.line = line;
    if (!read_rule(t, str_split(&rest, '\n')))
      s = diag_report(d, DIAG_E0802, &where,
                      "write 'bert* 0.01', 'test_* 1e-3 1e-7' or 'test_* random'",
                      "the line is no name glob with its limit");
  }
  mem_free(data);
  return s;
}

const struct compare_limits *tolerances_find(const struct tolerances *t, const char *name) {
  for (uint32_t i = 0; i < t->rules.len; i++)
    if (!fnmatch(t->rules.data[i].glob, name, 0))
      return &t->rules.data[i].limits;
  return &t->otherwise;
}

void tolerances_deinit(struct tolerances *t) {
  for (uint32_t i = 0; i < t->rules.len; i++)
    mem_free(t->rules.data[i].glob);
  vec_deinit(&t->rules);
}
