/* SPDX-License-Identifier: Apache-2.0 */
/* Weight files; see weight_file.h. */
#include "runtime/weight_file.h"

#include "runtime/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* Kernels or sandboxes without openat2 follow no link at all in the last component, and plan_load
 * has refused paths that climb. */
static int open_beneath(int folder, const char *path) {
  struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  for (int tries = 0; tries < 8; tries++) {
    long fd = syscall(SYS_openat2, folder, path, &how, sizeof how);
    if (fd >= 0)
      return (int)fd;
    if (errno == ENOSYS || errno == EPERM)
      return openat(folder, path, OPEN_FLAGS | O_NOFOLLOW);
    if (errno != EAGAIN && errno != EINTR)
      break;
  }
  return -1;
}

static status refuse(const char *path, const char *why) {
  return fault_report(
      DIAG_E0513, path,
      "keep the weight files beside the engine, or name their folder when opening it",
      "the weight file '%s' %s", path, why);
}

static status map_file(int fd, const char *path, uint64_t bytes, const uint8_t **out_data) {
  struct stat st;
  char why[128];
  if (fstat(fd, &st) || !S_ISREG(st.st_mode))
    return refuse(path, "is not a regular file");
  if ((uint64_t)st.st_size != bytes) {
    snprintf(why, sizeof why, "has %llu B and had %llu B when the engine was compiled",
             (unsigned long long)st.st_size, (unsigned long long)bytes);
    return refuse(path, why);
  }
  void *p = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  if (p == MAP_FAILED)
    return refuse(path, strerror(errno));
  *out_data = p;
  return STATUS_OK;
}

static status open_all(struct weight_files *files, const struct plan *plan, int folder) {
  const Engine__Manifest *m = plan->manifest;
  status s = STATUS_OK;
  for (size_t i = 0; i < m->n_weight_files && !s; i++) {
    const char *path = plan_string(plan, m->weight_files[i]->path);
    int fd = open_beneath(folder, path);
    if (fd < 0)
      return refuse(path, strerror(errno));
    s = map_file(fd, path, m->weight_files[i]->bytes, &files->data[i]);
    close(fd);
    if (!s)
      files->count++;
  }
  return s;
}

/* The folder of a file. */
static int open_folder_of(const char *path, struct pool *pool) {
  const char *slash = strrchr(path, '/');
  const char *folder = !slash ? "." : pool_printf(pool, "%.*s", (int)(slash - path) + 1, path);
  return folder ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
}

status weight_files_open(struct weight_files *files, const struct plan *plan,
                         const char *engine_path, const char *root, struct pool *pool) {
  const Engine__Manifest *m = plan->manifest;
  *files = (struct weight_files){.manifest = m};
  if (!m->n_weight_files)
    return STATUS_OK;
  files->data = POOL_ARRAY(pool, const uint8_t *, m->n_weight_files);
  if (!files->data)
    return STATUS_RESOURCES;
  const char *first = plan_string(plan, m->weight_files[0]->path);
  if (!root && !engine_path)
    return refuse(first, "has no folder to be looked for in: the engine lies in memory");
  int folder =
      root ? open(root, O_PATH | O_DIRECTORY | O_CLOEXEC) : open_folder_of(engine_path, pool);
  if (folder < 0)
    return refuse(first, strerror(errno));
  status s = open_all(files, plan, folder);
  close(folder);
  if (s)
    weight_files_close(files);
  return s;
}

void weight_files_close(struct weight_files *files) {
  for (uint32_t i = 0; i < files->count; i++)
    munmap((void *)(uintptr_t)files->data[i], (size_t)files->manifest->weight_files[i]->bytes);
  files->count = 0;
}
