/* SPDX-License-Identifier: Apache-2.0 */
/* What cuda_driver.c and cuda_module.c share. */
#ifndef SINTER_RUNTIME_CUDA_DEVICE_H
#define SINTER_RUNTIME_CUDA_DEVICE_H

#include "runtime/drivers/cuda/cuda_api.h"
#include "runtime/drivers/driver.h"
#include "runtime/fault.h"

/* What is looked at while the host waits for the GPU: an error ends the wait. begins: the wait has
 * begun, or the GPU was seen to work. */
typedef status cuda_watch(void *user, bool begins);

struct device {
  const struct cuda_api *api;
  int ordinal;
  int capability;    /* 90: compute capability 9.0 */
  bool takes_cubins; /* a simulated one runs PTX only */
  int multiprocessors;
  int most_shared; /* bytes of shared memory that a block can ask for */
  cuda_context *context;
  cuda_stream *stream;
  struct driver_buffer scratch;
  uint64_t memory_limit, memory_held; /* bytes */
  bool pools;                         /* memory comes from the driver's pool, in stream order */
  uint64_t moves;                     /* how often memory was handed out anew */
  bool recording;
  cuda_event *mark; /* behind the launches before the last `queued` ones */
  bool marked;
  cuda_event *timing[2]; /* around a launch that is timed; NULL before the first */
  uint32_t queued;
  cuda_watch *watch; /* NULL: none */
  void *watch_user;
  bool dead; /* the context is lost */
  struct fault death;
};

/* Work recorded once, launched as one. */
struct driver_recording {
  cuda_exec *exec;
};

struct driver_module {
  cuda_module **modules; /* one per text of the code section that a kernel names */
  uint32_t module_count;
  cuda_function **functions; /* per row of the manifest */
  const struct plan *plan;   /* the engine's */
};

/* Calls may come from any thread; the context is made current first. */
#define CUDA_TRY(device, what, call)                                                               \
  do {                                                                                             \
    if ((device)->dead)                                                                            \
      return cuda_device_dead(device);                                                             \
    int result_ = (device)->api->context_set((device)->context);                                   \
    if (result_ == CUDA_SUCCESS)                                                                   \
      result_ = (device)->api->call;                                                               \
    if (result_ != CUDA_SUCCESS)                                                                   \
      return cuda_device_fail(device, result_, what);                                              \
  } while (0)

/* --- cuda_wait.c --- */

/* As cuda_fail; after a sticky error the device is dead. */
status cuda_device_fail(struct device *device, int result, const char *what);
/* Reports what a device died of: E0725. */
status cuda_device_dead(const struct device *device);
bool cuda_device_lost(const struct device *device);

/* Waits for all work; with a watch, looking at that. */
status cuda_device_wait(struct device *device);
/* Before a launch: keeps the queue short of what makes the driver wait, which nothing could end. */
status cuda_device_make_room(struct device *device);
/* For those that gave up: waits without watching until no work is left; a GPU that does not come to
 * that counts as dead. */
void cuda_device_drain(struct device *device);
void cuda_device_watch(struct device *device, cuda_watch *watch, void *user);

/* --- cuda_graph.c: as in struct driver --- */

status cuda_record(struct device *device);
status cuda_record_end(struct device *device, bool keep, struct driver_recording **recording);
status cuda_replay(struct device *device, struct driver_recording *recording);
void cuda_recording_destroy(struct device *device, struct driver_recording *recording);

/* --- cuda_module.c --- */

/* The best of the plan's targets for a GPU: cubins before PTX, of each the highest capability. A
 * cubin runs on GPUs of its major capability that are no older, PTX on all that are no older, code
 * for an "a" on that alone. `worth` is that of the target taken before, UINT32_MAX at first; it
 * becomes that of the one found. False: there is no other. */
bool cuda_next_target(const struct plan *plan, int capability, bool cubins, uint32_t *worth,
                      uint32_t *out_target);

/* As in struct driver. Errors: E0723 no code for this GPU, E0724 the driver refuses it. */
status cuda_module_create(struct device *device, const struct engine_file *file,
                          const struct plan *plan, struct driver_module **out_module,
                          uint32_t *out_target);
void cuda_module_destroy(struct device *device, struct driver_module *module);

#endif
