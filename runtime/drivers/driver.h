/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the runtime asks of a device. A driver is a table of functions over an opaque device;
 * runtime/README.md says how to add one.
 *
 * Functions that return a status report their error (runtime/fault.h). All are called by one thread
 * at a time per device. Work is done in the order of the calls; `launch`, `copy` and `fill` may
 * return before it is done, `read` and `wait` return after it.
 */
#ifndef SINTER_RUNTIME_DRIVER_H
#define SINTER_RUNTIME_DRIVER_H

#include "base/status.h"
#include "runtime/engine_file.h"
#include "runtime/plan.h"

#include <stdbool.h>
#include <stdint.h>

struct device;        /* a driver's own */
struct driver_module; /* likewise */
struct driver_recording;

/* Device memory that only grows. Zero-initialised is empty. */
struct driver_buffer {
  uint8_t *data; /* 64-byte aligned */
  uint64_t bytes;
};

struct driver_options {
  uint32_t index, count; /* which device, and of how many in use; a cpu is all of them */
  uint32_t threads;      /* cpu: of all devices together; 0: the driver decides */
  uint64_t memory_limit; /* bytes; 0: none */
};

struct driver_launch {
  uint32_t kernel;      /* row of the manifest */
  const uint64_t *args; /* slots as kernel_function takes them; on a device without unified memory,
                           device pointers */
  uint32_t arg_count;
  /* Of the buffers, args[1] up to args[buffer_count]: for drivers that check what kernels touch. */
  const uint64_t *buffer_bytes;
  uint32_t buffer_count;
  uint32_t tiles;         /* at least 1 */
  uint64_t scratch_bytes; /* per thread */
  bool serial;
  uint64_t flops, traffic; /* estimates; flops 0: unknown */
};

struct driver {
  const char *name; /* what a device string begins with: "cpu" */
  bool numbered;    /* ":2" is device 2; else that many devices */
  bool discrete;    /* memory is the device's own: the host reaches it by read and write only */

  status (*device_create)(const struct driver_options *options, struct device **out_device);
  void (*device_destroy)(struct device *device);

  /* Threads that share a launch; 1 where the notion does not apply. */
  uint32_t (*thread_count)(const struct device *device);
  /* Memory the driver holds for kernels' scratch. */
  uint64_t (*scratch_bytes)(const struct device *device);

  /* Makes a buffer at least this large; keep: its contents survive. Grows only. On failure it is as
   * before if keep, else it may be empty. */
  status (*buffer_reserve)(struct device *device, struct driver_buffer *buffer, uint64_t bytes,
                           bool keep);
  void (*buffer_release)(struct device *device, struct driver_buffer *buffer);

  /* Picks the plan's best target for the device and loads its code. out_target: row of the
   * manifest; 0 without kernels. */
  status (*module_load)(struct device *device, const struct engine_file *file,
                        const struct plan *plan, struct driver_module **out_module,
                        uint32_t *out_target);
  void (*module_unload)(struct device *device, struct driver_module *module);

  status (*launch)(struct device *device, struct driver_module *module,
                   const struct driver_launch *launch);
  /* The same, and waits for it; the time that the kernel itself took. NULL: the host's clock around
   * `launch` and `wait` is as good. */
  status (*launch_timed)(struct device *device, struct driver_module *module,
                         const struct driver_launch *launch, uint64_t *out_ns);
  status (*copy)(struct device *device, void *dst, const void *src,
                 uint64_t bytes); /* may overlap */
  status (*fill)(struct device *device, void *dst, uint8_t byte, uint64_t bytes);
  /* Between elements packed as ONNX packs them, low bits first, and one element per byte,
   * sign-extended if the type is a signed integer. dtype is of less than 8 bits. Memory does not
   * overlap. */
  status (*unpack)(struct device *device, uint8_t *dst, const uint8_t *src, uint64_t elements,
                   enum dtype dtype);
  status (*pack)(struct device *device, uint8_t *dst, const uint8_t *src, uint64_t elements,
                 enum dtype dtype);
  /* To and from host memory, at once. */
  status (*read)(struct device *device, void *host, const void *src, uint64_t bytes);
  status (*write)(struct device *device, void *dst, const void *host, uint64_t bytes);
  status (*wait)(struct device *device);
  /* Whether an error has made the device useless for good. NULL: that does not happen. */
  bool (*lost)(const struct device *device);

  /*
   * Recording, NULL in drivers without. What is launched, copied and filled between `record` and
   * `record_end` is noted instead of done, to be done by `replay`, again and again, with the same
   * arguments and memory; nothing else may be called meanwhile, and no memory may grow. keep: makes
   * *recording of it, in place of the one there (NULL: none); else forgets it, and returns the
   * thread's last error. moves: changes whenever memory that was handed out may have moved.
   */
  status (*record)(struct device *device);
  status (*record_end)(struct device *device, bool keep, struct driver_recording **recording);
  status (*replay)(struct device *device, struct driver_recording *recording);
  void (*recording_destroy)(struct device *device, struct driver_recording *recording);
  uint64_t (*moves)(const struct device *device);
};

extern const struct driver cpu_driver;
extern const struct driver cuda_driver; /* GPUs of the system */
extern const struct driver sim_driver;  /* simulated ones (sim/) */

/* Most that a string names one by one. */
#define DRIVER_LISTED_DEVICES 64u

/* Some of a driver's devices: `count` from `first` on, or those listed. */
struct driver_devices {
  const struct driver *driver;
  uint32_t first, count;
  bool listed;
  uint16_t list[DRIVER_LISTED_DEVICES];
};

static inline uint32_t driver_device(const struct driver_devices *devices, uint32_t i) {
  return devices->listed ? devices->list[i] : devices->first + i;
}

/*
 * The devices of a string: "cpu" one, "cpu:4" and "cpu:0-3" four (the same processor, each with
 * memory of its own), "sim:4" likewise; "cuda" and "cuda:0" the first GPU, "cuda:2-5" four,
 * "cuda:0,2,3" those three. Errors: E0701.
 */
status driver_find(const char *devices, struct driver_devices *out);

#endif
