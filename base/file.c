/* SPDX-License-Identifier: Apache-2.0 */
/* Whole-file reading, mapping, and atomic writing. */
#include "base/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct diag_where in_file(const char *path) {
  struct diag_where w = DIAG_NOWHERE;
  w.file = path;
  return w;
}

static status fail(struct diags *d, enum diag_code code, const char *path, const char *what) {
  int error = errno;
  struct diag_where w = in_file(path);
  return diag_report(d, code, &w, NULL, "cannot %s '%s': %s", what, path, strerror(error));
}

static status no_memory(struct diags *d, const char *path, uint64_t size) {
  struct diag_where w = in_file(path);
  return diag_report(d, DIAG_E0901, &w, NULL, "out of memory: %llu B are needed for '%s'",
                     (unsigned long long)size, path);
}

/* Opens without blocking, because the name may be a pipe, and looks only then what it is. */
static status open_regular(const char *path, struct diags *d, int *out_fd, uint64_t *out_size) {
  struct stat info;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0)
    return fail(d, DIAG_E0903, path, "open");
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    struct diag_where w = in_file(path);
    close(fd);
    return diag_report(d, DIAG_E0903, &w, NULL, "cannot open '%s': not a regular file", path);
  }
  *out_fd = fd;
  *out_size = (uint64_t)info.st_size;
  return STATUS_OK;
}

/* Bytes read, fewer at the end of the file; -1 on error. */
static int64_t read_fully(int fd, char *p, size_t n) {
  size_t done = 0;
  while (done < n) {
    ssize_t got = read(fd, p + done, n - done);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return -1;
    if (got == 0)
      break;
    done += (size_t)got;
  }
  return (int64_t)done;
}

status file_read(const char *path, uint64_t limit, struct diags *d, char **out_data,
                 size_t *out_size) {
  int fd;
  uint64_t size;
  status s = open_regular(path, d, &fd, &size);
  if (s)
    return s;
  char *data = NULL;
  if (size > limit) {
    struct diag_where w = in_file(path);
    s = diag_report(d, DIAG_E0906, &w, NULL, "'%s' has %llu B, more than the limit of %llu B", path,
                    (unsigned long long)size, (unsigned long long)limit);
    goto cleanup;
  }
  data = mem_try_alloc(size + 1);
  if (!data) {
    s = no_memory(d, path, size);
    goto cleanup;
  }
  int64_t got = read_fully(fd, data, size);
  if (got < 0) {
    s = fail(d, DIAG_E0904, path, "read");
    goto cleanup;
  }
  data[got] = 0;
  *out_data = data;
  *out_size = (size_t)got;
  data = NULL;
cleanup:
  mem_free(data);
  close(fd);
  return s;
}

status mapped_file_open(const char *path, struct diags *d, struct mapped_file *out) {
  int fd;
  uint64_t size;
  *out = (struct mapped_file){0};
  status s = open_regular(path, d, &fd, &size);
  if (s)
    return s;
  if (size > 0) {
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
      s = fail(d, DIAG_E0904, path, "map");
    else
      *out = (struct mapped_file){p, size};
  }
  close(fd);
  return s;
}

void mapped_file_close(struct mapped_file *f) {
  if (f->data)
    munmap((void *)f->data, f->size);
  *f = (struct mapped_file){0};
}

/* A signal handler may only read what is already in place: fixed slots, published by a flag. */
enum { SLOTS = 8, SLOT_PATH = 4096, FREE = 0, FILLING = 1, LIVE = 2 };
static struct {
  atomic_int state;
  char path[SLOT_PATH];
} temporaries[SLOTS];

static int32_t take_slot(const char *path) {
  if (strlen(path) >= SLOT_PATH)
    return -1;
  for (int32_t i = 0; i < SLOTS; i++) {
    int expected = FREE;
    if (atomic_compare_exchange_strong(&temporaries[i].state, &expected, FILLING)) {
      strcpy(temporaries[i].path, path);
      atomic_store(&temporaries[i].state, LIVE);
      return i;
    }
  }
  return -1;
}

static void release_slot(int32_t slot) {
  if (slot >= 0)
    atomic_store(&temporaries[slot].state, FREE);
}

static void on_signal(int number) {
  for (int i = 0; i < SLOTS; i++)
    if (atomic_load(&temporaries[i].state) == LIVE)
      unlink(temporaries[i].path);
  signal(number, SIG_DFL);
  raise(number);
}

void file_remove_temporaries_on_signal(void) {
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    struct sigaction old;
    struct sigaction action = {.sa_handler = on_signal};
    /* A parent that ignores a signal (nohup) means it. */
    if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
      sigaction(numbers[i], &action, NULL);
  }
}

static void writer_free(struct file_writer *w) {
  release_slot(w->slot);
  mem_free(w->path);
  mem_free(w->temporary);
  *w = (struct file_writer){.slot = -1};
}

/* mkstemp makes files for the owner alone; an engine has the mode any new file would have. */
static void set_usual_mode(int fd) {
  mode_t mask = umask(0);
  umask(mask);
  fchmod(fd, 0666 & ~mask);
}

/* A device or a pipe, which a new file must not take the place of. */
static bool is_special(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static status open_special(struct file_writer *w, struct diags *d) {
  w->stream = fopen(w->path, "wbe");
  if (w->stream)
    return STATUS_OK;
  status s = fail(d, DIAG_E0905, w->path, "open");
  writer_free(w);
  return s;
}

status file_writer_open(const char *path, struct diags *d, struct file_writer *out) {
  static const char suffix[] = ".XXXXXX.tmp";
  size_t n = strlen(path);
  struct file_writer w = {.slot = -1};
  *out = w;
  w.path = mem_try_alloc(n + 1);
  if (!w.path)
    return no_memory(d, path, n);
  memcpy(w.path, path, n + 1);
  if (is_special(path)) {
    status s = open_special(&w, d);
    *out = w;
    return s;
  }
  w.temporary = mem_try_alloc(n + sizeof suffix);
  if (!w.temporary) {
    writer_free(&w);
    return no_memory(d, path, n);
  }
  memcpy(w.temporary, path, n);
  memcpy(w.temporary + n, suffix, sizeof suffix);
  int fd = mkostemps(w.temporary, 4, O_CLOEXEC);
  if (fd < 0) {
    status s = fail(d, DIAG_E0905, path, "create");
    writer_free(&w);
    return s;
  }
  w.slot = take_slot(w.temporary);
  set_usual_mode(fd);
  w.stream = fdopen(fd, "wb");
  if (!w.stream) {
    status s = fail(d, DIAG_E0905, path, "create");
    close(fd);
    unlink(w.temporary);
    writer_free(&w);
    return s;
  }
  *out = w;
  return STATUS_OK;
}

/* No fsync: a power cut may lose the newest file, which can be built again, but digests show it. */
status file_writer_commit(struct file_writer *w, struct diags *d) {
  bool failed = ferror(w->stream) != 0;
  if (fclose(w->stream) != 0)
    failed = true;
  w->stream = NULL;
  status s = STATUS_OK;
  if (failed || (w->temporary && rename(w->temporary, w->path) != 0)) {
    s = fail(d, DIAG_E0905, w->path, "write");
    if (w->temporary)
      unlink(w->temporary);
  }
  writer_free(w);
  return s;
}

void file_writer_abort(struct file_writer *w) {
  if (!w->stream)
    return;
  fclose(w->stream);
  if (w->temporary)
    unlink(w->temporary);
  writer_free(w);
}
