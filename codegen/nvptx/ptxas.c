/* SPDX-License-Identifier: Apache-2.0 */
/* ptxas as a program beside us; see ptxas.h. */
#include "codegen/nvptx/ptxas.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/str.h"

#define MOST_SECONDS                                                                               \
  300.0 /* of a module: kernels of thousands of instructions take tens of them                     \
         */
#define PROBE_SECONDS 20.0
#define MOST_CUBIN (UINT64_C(1) << 30)
#define TEXT_BYTES 16384

static const char give_up[] =
    "--ptxas none leaves the engine with PTX, which the GPU's driver translates";

/* ---- which ---- */

/* "V13.0.88" of what --version prints. */
static bool learn_version(struct ptxas *p) {
  char text[TEXT_BYTES];
  int code;
  const char *const argv[] = {p->path, "--version", NULL};
  if (process_run(argv, NULL, PROBE_SECONDS, text, sizeof text, &code) != PROCESS_EXITED || code)
    return false;
  const char *at = strstr(text, ", V");
  if (!at || !strstr(text, "ptx"))
    return false;
  at += strlen(", V");
  size_t n = strspn(at, "0123456789.");
  return n && n < 32 && snprintf(p->version, sizeof p->version, "ptxas %.*s", (int)n, at) > 0;
}

static bool try_path(struct ptxas *p, const char *folder, size_t length, const char *name) {
  int n =
      snprintf(p->path, sizeof p->path, "%.*s%s%s", (int)length, folder, length ? "/" : "", name);
  if (n > 0 && (size_t)n < sizeof p->path && access(p->path, X_OK) == 0 && learn_version(p))
    return true;
  *p = (struct ptxas){0};
  return false;
}

static void look_around(struct ptxas *p) {
  const char *path = getenv("PATH"), *home = getenv("CUDA_HOME");
  for (const char *at = path ? path : ""; *at; at += strcspn(at, ":"), at += *at == ':') {
    size_t n = strcspn(at, ":");
    if (n && try_path(p, at, n, "ptxas"))
      return;
  }
  if (home && *home && try_path(p, home, strlen(home), "bin/ptxas"))
    return;
  static const char usual[] = "/usr/local/cuda/bin";
  try_path(p, usual, strlen(usual), "ptxas");
}

status ptxas_find(struct diags *diags, const char *wish, struct ptxas *out) {
  *out = (struct ptxas){0};
  if (!wish) {
    look_around(out);
    return STATUS_OK;
  }
  if (!strcmp(wish, "none") || try_path(out, "", 0, wish))
    return STATUS_OK;
  return diag_report(diags, DIAG_E0413, NULL, "--ptxas takes its path, or none",
                     "'%s' is no ptxas that runs here", wish);
}

/* ---- files ---- */

struct workplace {
  char folder[4096], ptx[4200], cubin[4200];
};

static bool open_workplace(struct workplace *w) {
  const char *folder = getenv("TMPDIR");
  int n = snprintf(w->folder, sizeof w->folder, "%s/sinter-ptxas-XXXXXX",
                   folder && *folder ? folder : "/tmp");
  if (n < 0 || (size_t)n >= sizeof w->folder || !mkdtemp(w->folder)) {
    w->folder[0] = '\0';
    return false;
  }
  snprintf(w->ptx, sizeof w->ptx, "%s/kernels.ptx", w->folder);
  snprintf(w->cubin, sizeof w->cubin, "%s/kernels.cubin", w->folder);
  return true;
}

static void close_workplace(const struct workplace *w) {
  unlink(w->ptx);
  unlink(w->cubin);
  rmdir(w->folder);
}

static bool write_file(const char *path, const char *data, size_t bytes) {
  FILE *f = fopen(path, "wbxe");
  bool written = f && fwrite(data, 1, bytes, f) == bytes;
  return f && fclose(f) == 0 && written;
}

/* What ptxas has written, of mem_try_alloc; NULL if that is no file of its own or empty. */
static uint8_t *read_cubin(const char *path, size_t *out_bytes) {
  struct stat st;
  char *data = NULL;
  if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0 ||
      file_read(path, MOST_CUBIN, NULL, &data, out_bytes) != STATUS_OK ||
      *out_bytes != (size_t)st.st_size) {
    mem_free(data);
    return NULL;
  }
  return (uint8_t *)data;
}

/* Relative names in a folder of its own: what it makes and says depends on no path. */
static enum process_end run(const struct ptxas *p, const struct workplace *w,
                            const struct target_isa *isa, double seconds, char *text,
                            int *out_code) {
  char arch[64];
  snprintf(arch, sizeof arch, "-arch=%s", isa->cpu);
  const char *const argv[] = {p->path, arch, "kernels.ptx", "-o", "kernels.cubin", NULL};
  return process_run(argv, w->folder, seconds, text, TEXT_BYTES, out_code);
}

bool ptxas_knows(const struct ptxas *p, const struct target_isa *isa) {
  struct workplace w;
  char ptx[128], text[TEXT_BYTES];
  int version = 0, code, n;
  const char *at = strstr(isa->features, "ptx");
  if (!p->path[0] || !at || sscanf(at, "ptx%d", &version) != 1 || !open_workplace(&w))
    return false;
  n = snprintf(ptx, sizeof ptx, ".version %d.%d\n.target %s\n.address_size 64\n", version / 10,
               version % 10, isa->cpu);
  bool knows = write_file(w.ptx, ptx, (size_t)n) &&
               run(p, &w, isa, PROBE_SECONDS, text, &code) == PROCESS_EXITED && code == 0;
  close_workplace(&w);
  return knows;
}

/* ---- what it says ---- */

/* The kernel that a line of the text is in: the last .entry before it. */
static struct str entry_at(const char *ptx, unsigned long line) {
  struct str name = {0};
  for (unsigned long i = 1; i <= line && *ptx; i++) {
    size_t length = strcspn(ptx, "\n");
    struct str rest = {ptx, length};
    for (size_t k = 0; k + 7 < rest.len; k++) {
      if (memcmp(ptx + k, ".entry ", 7) != 0)
        continue;
      name.data = ptx + k + 7;
      name.len = strcspn(name.data, "( \n");
      break;
    }
    ptx += length + (ptx[length] == '\n');
  }
  return name;
}

/* By the line that is named, or by its own name in quotes. */
static bool is_about(const char *ptx, const char *said, const char *kernel) {
  const char *at = strstr(said, "line ");
  if (at)
    return str_eq_c(entry_at(ptx, strtoul(at + strlen("line "), NULL, 10)), kernel);
  size_t n = strlen(kernel);
  for (at = said; (at = strstr(at, kernel)); at += n)
    if (at > said && at[-1] == '\'' && at[n] == '\'')
      return true;
  return false;
}

static void report_line(const struct ptxas *p, const char *ptx, const struct ptxas_names *names,
                        bool is_error, const char *said, struct diags *diags) {
  struct diag_where where = DIAG_NOWHERE;
  const char *kernel = NULL, *hint = is_error ? give_up : NULL;
  for (uint32_t k = names->first; k < names->last && !kernel; k++) {
    const char *name = names->name(names->user, k);
    if (!is_about(ptx, said, name))
      continue;
    kernel = name;
    if (names->where)
      where = names->where(names->user, k);
  }
  enum diag_code diag = is_error ? DIAG_E0414 : DIAG_W0413;
  if (kernel)
    diag_report(diags, diag, &where, hint, "%s, kernel '%s': %s", p->version, kernel, said);
  else
    diag_report(diags, diag, NULL, hint, "%s: %s", p->version, said);
}

/* Lines "ptxas kernels.ptx, line 12; error   : ...", "ptxas warning : ...". Returns whether one was
 * an error that says what is wrong. */
static bool report_all(const struct ptxas *p, const char *ptx, const struct ptxas_names *names,
                       char *text, struct diags *diags) {
  bool found = false;
  char *rest = text;
  for (char *line; (line = strsep(&rest, "\n"));) {
    bool fatal = strstr(line, "aborted due to errors") != NULL;
    bool is_error = strstr(line, "error") || strstr(line, "fatal");
    if (fatal || (!is_error && !strstr(line, "warning")))
      continue;
    report_line(p, ptx, names, is_error, line, diags);
    found |= is_error;
  }
  return found;
}

static status refuse(const struct ptxas *p, enum process_end end, int code, bool explained,
                     const char *text, struct diags *diags) {
  switch (end) {
  case PROCESS_TIMED_OUT:
    return diag_report(diags, DIAG_E0413, NULL, give_up, "%s took longer than %.0f s", p->path,
                       MOST_SECONDS);
  case PROCESS_KILLED:
    return diag_report(diags, DIAG_E0413, NULL, give_up, "%s was ended by signal %d", p->path,
                       code);
  case PROCESS_NOT_STARTED:
    return diag_report(diags, DIAG_E0413, NULL, give_up, "%s cannot be run: %s", p->path,
                       strerror(code));
  case PROCESS_EXITED: break;
  }
  if (explained)
    return diag_code_status(DIAG_E0414);
  return diag_report(diags, DIAG_E0414, NULL, give_up, "%s failed: %.400s", p->version,
                     *text ? text : "it does not say why");
}

status ptxas_assemble(const struct ptxas *p, const struct target_isa *isa, const char *ptx,
                      size_t bytes, const struct ptxas_names *names, struct diags *diags,
                      uint8_t **out_cubin, size_t *out_bytes) {
  struct workplace w;
  char text[TEXT_BYTES];
  int code = 0;
  *out_cubin = NULL;
  if (!open_workplace(&w) || !write_file(w.ptx, ptx, bytes)) {
    int error = errno;
    if (w.folder[0])
      close_workplace(&w);
    return diag_report(diags, DIAG_E0905, NULL, "TMPDIR names a folder to write to",
                       "cannot write PTX for ptxas: %s", strerror(error));
  }
  enum process_end end = run(p, &w, isa, MOST_SECONDS, text, &code);
  if (end == PROCESS_EXITED && code == 0)
    *out_cubin = read_cubin(w.cubin, out_bytes);
  close_workplace(&w);
  bool explained = report_all(p, ptx, names, text, diags);
  return *out_cubin ? STATUS_OK : refuse(p, end, code, explained, text, diags);
}
