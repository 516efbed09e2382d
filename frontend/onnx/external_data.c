/* SPDX-License-Identifier: Apache-2.0 */
/* Opens, checks and maps external data files. */
#include "frontend/onnx/external_data.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

#define ROOT_HINT                                                                                  \
  "if links or another folder are intended, name a trusted folder with --external-data-root"

/* O_NONBLOCK: opening a FIFO must not wait for a writer. */
enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

static char *path_join(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b);
  char *path = mem_alloc(n + m + 1);
  memcpy(path, a, n);
  memcpy(path + n, b, m + 1);
  return path;
}

/* The folder of `path`: "x/y.onnx" → "x", "y.onnx" → ".". */
static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash)
    return path_join(".", "");
  if (slash == path)
    return path_join("/", "");
  char *folder = path_join(path, "");
  folder[slash - path] = 0;
  return folder;
}

/* "a/b/" if `inner` is beneath `outer` (both resolved), "" if they are the same or it is not. */
static char *prefix_beneath(const char *outer, const char *inner) {
  char *o = realpath(outer, NULL), *i = realpath(inner, NULL);
  const char *rest = "";
  if (o && i) {
    size_t n = strlen(o);
    if (strcmp(o, "/") == 0) {
      rest = i + 1;
    } else if (strncmp(o, i, n) == 0 && i[n] == '/') {
      rest = i + n + 1;
    }
  }
  char *prefix = path_join(rest, *rest ? "/" : "");
  free(o);
  free(i);
  return prefix;
}

status external_data_init(struct external_data *x, const char *model_path, const char *root,
                          struct diags *diags) {
  *x = (struct external_data){.folder = -1};
  strmap_init(&x->by_location);
  char *model_folder = model_path ? folder_of(model_path) : NULL;
  if (root) {
    x->trusted = true;
    x->folder_path = path_join(root, "");
    x->prefix = model_folder ? prefix_beneath(root, model_folder) : path_join("", "");
    mem_free(model_folder);
  } else if (model_folder) {
    x->folder_path = model_folder;
    x->prefix = path_join("", "");
  } else {
    return STATUS_OK;
  }
  x->folder = open(x->folder_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (x->folder >= 0 || !root)
    return STATUS_OK;
  return diag_report(diags, DIAG_E0116, NULL, NULL, "cannot open the external data root '%s': %s",
                     root, strerror(errno));
}

void external_data_deinit(struct external_data *x) {
  for (uint32_t i = 0; i < x->files.len; i++) {
    struct external_file *f = &x->files.data[i];
    if (f->bytes)
      munmap((void *)f->bytes, f->size);
    mem_free(f->location);
    mem_free(f->path);
  }
  vec_deinit(&x->files);
  strmap_deinit(&x->by_location);
  if (x->folder >= 0)
    close(x->folder);
  mem_free(x->folder_path);
  mem_free(x->prefix);
  *x = (struct external_data){.folder = -1};
}

void external_data_abandon(struct external_data *x) {
  for (uint32_t i = 0; i < x->files.len; i++) {
    if (x->files.data[i].bytes)
      munmap((void *)x->files.data[i].bytes, x->files.data[i].size);
  }
  vec_deinit(&x->files);
  if (x->folder >= 0)
    close(x->folder);
  *x = (struct external_data){.folder = -1};
}

/* ---- Opening beneath the folder ---- */

/* Why a location may not be used at all; NULL if it may be tried. */
static const char *location_fault(const char *location) {
  if (!*location)
    return "is empty";
  if (*location == '/')
    return "is an absolute path";
  if (strlen(location) >= PATH_MAX)
    return "is too long";
  for (const char *p = location; p;) {
    const char *end = strchrnul(p, '/');
    if (end - p == 2 && p[0] == '.' && p[1] == '.')
      return "contains '..'";
    p = *end ? end + 1 : NULL;
  }
  return NULL;
}

/* One component at a time, no link followed. The location has no "..". */
static int open_by_component(int folder, const char *path) {
  int dir = folder;
  char name[NAME_MAX + 1];
  for (;;) {
    while (*path == '/')
      path++;
    const char *end = strchrnul(path, '/');
    size_t n = (size_t)(end - path);
    const char *rest = end;
    while (*rest == '/')
      rest++;
    int fd = -1;
    if (n > NAME_MAX) {
      errno = ENAMETOOLONG;
    } else {
      memcpy(name, path, n);
      name[n] = 0;
      fd = openat(dir, name,
                  *rest ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : OPEN_FLAGS | O_NOFOLLOW);
    }
    int error = errno;
    struct stat st;
    /* O_DIRECTORY says "not a directory" of a link that it may not follow. */
    if (fd < 0 && error == ENOTDIR && *rest && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK(st.st_mode)) {
      error = ELOOP;
    }
    if (dir != folder)
      close(dir);
    errno = error;
    if (fd < 0 || !*rest)
      return fd;
    dir = fd;
    path = rest;
  }
}

static int open_beneath(struct external_data *x, const char *path) {
  if (!x->no_openat2) {
    struct open_how how = {.flags = OPEN_FLAGS,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
                                      (x->trusted ? 0 : RESOLVE_NO_SYMLINKS)};
    for (int tries = 0; tries < 8; tries++) {
      long fd = syscall(SYS_openat2, x->folder, path, &how, sizeof how);
      if (fd >= 0)
        return (int)fd;
      if (errno != EAGAIN && errno != EINTR)
        break; /* EAGAIN: a rename ran beside us */
    }
    /* EPERM: containers whose seccomp filter is older than the call. */
    if (errno != ENOSYS && errno != EPERM)
      return -1;
    x->no_openat2 = true;
  }
  return open_by_component(x->folder, path);
}

static status refuse(struct diags *diags, const struct diag_where *where, const char *tensor,
                     const char *location, const char *why, const char *hint) {
  return diag_report(diags, DIAG_E0116, where, hint, "external data of '%s': location '%s' %s",
                     tensor, location, why);
}

/* Why the opened thing may not be read; NULL if it may. */
static const char *file_fault(const struct external_data *x, const struct stat *st) {
  if (S_ISDIR(st->st_mode))
    return "is a folder";
  if (!S_ISREG(st->st_mode))
    return "is not a regular file";
  if (st->st_nlink > 1 && !x->trusted)
    return "is a hard link to a file with other names";
  return NULL;
}

static status open_fault(struct external_data *x, const struct diag_where *where,
                         struct diags *diags, const char *tensor, const char *location) {
  int error = errno;
  if (error == ELOOP)
    return refuse(diags, where, tensor, location, "leads through a symbolic link", ROOT_HINT);
  if (error == EXDEV)
    return refuse(diags, where, tensor, location, "leads out of the folder", ROOT_HINT);
  if (error == ENXIO)
    return refuse(diags, where, tensor, location, "is not a regular file", NULL);
  return diag_report(diags, DIAG_E0117, where,
                     "keep the model's data files beside it, under the names that it gives",
                     "external data of '%s': cannot open '%s' in '%s': %s", tensor, location,
                     x->folder_path, strerror(error));
}

static status file_map(int fd, const struct stat *st, struct external_file *file) {
  file->size = (uint64_t)st->st_size;
  file->device = st->st_dev;
  file->inode = st->st_ino;
  if (file->size == 0)
    return STATUS_OK;
  void *p = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (p == MAP_FAILED)
    return STATUS_RESOURCES;
  file->bytes = p;
  return STATUS_OK;
}

static status file_open(struct external_data *x, const char *location, const char *tensor,
                        const struct diag_where *where, struct diags *diags,
                        struct external_file *file) {
  const char *fault = location_fault(location);
  if (fault)
    return refuse(diags, where, tensor, location, fault, ROOT_HINT);
  if (x->folder < 0) {
    return refuse(diags, where, tensor, location, "cannot be resolved: the model has no folder",
                  "name the folder of the data files with --external-data-root");
  }
  char *path = path_join(x->prefix, location);
  char *folder = path_join(x->folder_path, "/");
  file->path = path_join(folder, path);
  mem_free(folder);
  /* From here to close nothing allocates but diagnostics, which never jump. */
  int fd = open_beneath(x, path);
  status result;
  struct stat st;
  if (fd < 0) {
    result = open_fault(x, where, diags, tensor, location);
  } else if (fstat(fd, &st) != 0) {
    result = open_fault(x, where, diags, tensor, location);
  } else if ((fault = file_fault(x, &st))) {
    result = refuse(diags, where, tensor, location, fault, S_ISREG(st.st_mode) ? ROOT_HINT : NULL);
  } else if (file_map(fd, &st, file) != STATUS_OK) {
    result =
        diag_report(diags, DIAG_E0117, where, NULL, "external data of '%s': cannot map '%s': %s",
                    tensor, location, strerror(errno));
  } else {
    result = STATUS_OK;
  }
  if (fd >= 0)
    close(fd);
  mem_free(path);
  return result;
}

/* The list outlives an out-of-memory jump, so that external_data_abandon can unmap. */
static bool files_reserve(struct external_data *x) {
  if (x->files.len < x->files.cap)
    return true;
  uint32_t cap = x->files.cap ? x->files.cap * 2 : 8;
  void *data = mem_try_realloc(x->files.data, cap * sizeof *x->files.data);
  if (!data)
    return false;
  x->files.data = data;
  x->files.cap = cap;
  return true;
}

/* The index of the file at `location`, opened now if it is new. */
static status file_get(struct external_data *x, const char *location, const char *tensor,
                       const struct diag_where *where, struct diags *diags, uint32_t *out_index) {
  uint64_t known;
  if (strmap_get(&x->by_location, location, strlen(location), &known)) {
    *out_index = (uint32_t)known;
    return x->files.data[known].state;
  }
  if (!files_reserve(x))
    return diag_report(diags, DIAG_E0901, where, NULL, "no memory for external data");
  struct external_file file = {.location = path_join(location, "")};
  uint32_t index = x->files.len;
  strmap_put(&x->by_location, location, strlen(location), index);
  file.state = file_open(x, location, tensor, where, diags, &file);
  for (uint32_t i = 0; i < x->files.len && file.bytes; i++) {
    /* Another spelling ("a//b") or a link to a file that is mapped already. */
    struct external_file *other = &x->files.data[i];
    if (other->bytes && other->device == file.device && other->inode == file.inode &&
        other->size == file.size) {
      munmap((void *)file.bytes, file.size);
      mem_free(file.location);
      mem_free(file.path);
      file.bytes = NULL;
      index = i;
      break;
    }
  }
  if (index == x->files.len) {
    vec_push(&x->files, file);
  } else {
    strmap_put(&x->by_location, location, strlen(location), index);
  }
  *out_index = index;
  return x->files.data[index].state;
}

/* ---- Keys ---- */

static bool number_parse(const char *text, uint64_t *out) {
  uint64_t value = 0;
  if (!*text)
    return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9')
      return false;
    if (__builtin_mul_overflow(value, 10, &value))
      return false;
    if (__builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
      return false;
  }
  *out = value;
  return true;
}

struct keys {
  const char *location;
  const char *offset;
  const char *length;
};

/* Keys beyond these three (checksum, exporters' notes) say nothing about where the data is. */
static status keys_read(const Onnx__TensorProto *tensor, const struct diag_where *where,
                        struct diags *diags, struct keys *out) {
  *out = (struct keys){0};
  for (size_t i = 0; i < tensor->n_external_data; i++) {
    const Onnx__StringStringEntryProto *e = tensor->external_data[i];
    const char **slot = strcmp(e->key, "location") == 0 ? &out->location
                        : strcmp(e->key, "offset") == 0 ? &out->offset
                        : strcmp(e->key, "length") == 0 ? &out->length
                                                        : NULL;
    if (!slot)
      continue;
    if (*slot) {
      return diag_report(diags, DIAG_E0116, where, NULL,
                         "external data of '%s': '%s' is given twice", tensor->name, e->key);
    }
    *slot = e->value;
  }
  if (out->location)
    return STATUS_OK;
  return diag_report(diags, DIAG_E0116, where, NULL, "external data of '%s': no location is given",
                     tensor->name);
}

status external_data_locate(struct external_data *x, const Onnx__TensorProto *tensor,
                            uint64_t wanted, const struct diag_where *where, struct diags *diags,
                            struct external_range *out) {
  struct keys keys;
  status st = keys_read(tensor, where, diags, &keys);
  if (st)
    return st;
  *out = (struct external_range){.size = wanted};
  if ((keys.offset && !number_parse(keys.offset, &out->offset)) ||
      (keys.length && !number_parse(keys.length, &out->size))) {
    return diag_report(
        diags, DIAG_E0116, where, NULL,
        "external data of '%s': offset '%s' and length '%s' must be decimal numbers of bytes",
        tensor->name, keys.offset ? keys.offset : "", keys.length ? keys.length : "");
  }
  st = file_get(x, keys.location, tensor->name, where, diags, &out->file);
  if (st)
    return st;
  const struct external_file *file = &x->files.data[out->file];
  if (out->offset <= file->size && out->size <= file->size - out->offset)
    return STATUS_OK;
  return diag_report(
      diags, DIAG_E0118, where, "the data file may be cut short; copy or download it again",
      "external data of '%s': %" PRIu64 " B at offset %" PRIu64 " of '%s', which has %" PRIu64 " B",
      tensor->name, out->size, out->offset, keys.location, file->size);
}
