/* SPDX-License-Identifier: Apache-2.0 */
/* The files beside a model that hold its tensors (TensorProto.external_data).
 *
 * A location comes from an untrusted file, so it may only name a regular file beneath the model's
 * folder: never absolute, no "..", no symbolic link on the way, no hard link (it could show
 * another folder's file), no device or FIFO. The kernel enforces it (openat2, RESOLVE_BENEATH);
 * on kernels without openat2 each component is opened with O_NOFOLLOW.
 *
 * A root given by the user (--external-data-root) is trusted: links are followed as long as they
 * end beneath it, which is how download caches lay files out. A location is relative to the
 * model's folder if that lies beneath the root, else to the root itself.
 *
 * Each file is mapped once, read-only, and no byte of it is touched here: a sparse file of many
 * gigabytes costs address space only. Ranges are checked against the size of the very descriptor
 * that was mapped. A file that another process shortens afterwards faults on access: do not
 * compile from a file that is being written. */
#ifndef SINTER_FRONTEND_ONNX_EXTERNAL_DATA_H
#define SINTER_FRONTEND_ONNX_EXTERNAL_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/map.h"
#include "base/status.h"
#include "base/vec.h"
#include "frontend/onnx/onnx.pb-c.h"

struct external_file {
  char *location;       /* as the model names it; owned */
  char *path;           /* as to open it; owned */
  const uint8_t *bytes; /* the whole file; NULL if empty or refused */
  uint64_t size;
  uint64_t device, inode;
  status state; /* not OK: refused, and already reported */
};

struct external_data {
  int folder;        /* descriptor that locations are opened beneath; -1: no external data */
  char *folder_path; /* for messages */
  char *prefix;      /* of every location, beneath `folder`: "" or "a/b/" */
  bool trusted;      /* the user named the root: links inside it are followed */
  bool no_openat2;   /* take the fallback at once; tests set it */
  VEC(struct external_file) files;
  struct strmap by_location;
};

/* A range of a mapped file. */
struct external_range {
  uint32_t file; /* index into external_data.files */
  uint64_t offset;
  uint64_t size; /* as asked for; UINT64_MAX if the model gives no length */
};

/* `model_path` may be NULL (a model from memory), then `root` must be given for any external
 * tensor to be found. `root` may be NULL. Errors: E0116 if the root cannot be opened. */
status external_data_init(struct external_data *x, const char *model_path, const char *root,
                          struct diags *diags);
void external_data_deinit(struct external_data *x);

/* After an out-of-memory jump has freed the strings and the map: unmaps and closes. */
void external_data_abandon(struct external_data *x);

/* Reads the keys of `tensor`, opens its file if needed, and checks the range. A missing length is
 * taken as `wanted` bytes. A file that cannot be used is reported once, for its first tensor.
 * Errors: E0116 (refused location or keys), E0117 (missing or unreadable), E0118 (range). */
status external_data_locate(struct external_data *x, const Onnx__TensorProto *tensor,
                            uint64_t wanted, const struct diag_where *where, struct diags *diags,
                            struct external_range *out);

#endif
