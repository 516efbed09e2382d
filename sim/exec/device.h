/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of all simulated devices, and what a fault in it is.
 *
 * A device address is a host address inside one reserved range, so that copies are plain and a
 * host pointer can never be taken for one. Allocations are 256-byte aligned with a gap after each,
 * and addresses of freed ones are not used again while the range lasts: both let a bad access be
 * named. Thread safe. */
#ifndef SINTER_SIM_EXEC_DEVICE_H
#define SINTER_SIM_EXEC_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum allocation_kind {
  ALLOCATION_DEVICE,
  ALLOCATION_MODULE,
  ALLOCATION_CONST,
  ALLOCATION_HOST,    /* the program's own memory, registered */
  ALLOCATION_PINNED,  /* the host's, allocated by the driver */
  ALLOCATION_MANAGED, /* of every device and the host */
  ALLOCATION_MAPPED,  /* virtual memory: `access` says of whom */
  ALLOCATION_OPENED,  /* another process's */
};

struct allocation {
  uint64_t address, size;
  uint32_t device;
  enum allocation_kind kind;
  bool freed, readonly;
  uint64_t access;  /* ALLOCATION_MAPPED: a bit for each device */
  const char *name; /* of a module's variable, else NULL; lives as long as the allocation */
};

/* Bytes that each device has. */
#define DEVICE_MEMORY (UINT64_C(80) << 30)

/* 0 when the device has no room or the host gives no addresses. Memory is not cleared by contract;
 * it is filled with 0xcd so that nobody relies on zeros. */
uint64_t device_alloc(uint32_t device, uint64_t size, enum allocation_kind kind, const char *name);
/* False when `address` is not the beginning of a live allocation. */
bool device_free(uint64_t address);
/* The end of an allocation that is kept for device_revive, as graphs free and allocate again. */
bool device_suspend(uint64_t address);
bool device_revive(uint64_t address);
/* Address space without memory; size and align are multiples of 2 MiB. 0: none is left. */
uint64_t device_reserve(uint64_t size, uint64_t align);
/* What is mapped at a reserved address: [offset, offset + size) of a file, and its end. */
bool device_map(uint64_t address, uint64_t size, int file, uint64_t offset, uint32_t device);
bool device_unmap(uint64_t address, uint64_t size);
/* Who may use mappings in a range; false if it is not mapped as a whole. */
bool device_set_access(uint64_t address, uint64_t size, uint32_t device, bool read, bool write);
/* Memory of several processes. Sharing moves an allocation into a file, which keeps it open: nobody
 * may write it meanwhile. `out_offset` is where it begins there. */
bool device_share(uint64_t address, int *out_file, uint64_t *out_offset);
/* 0 when the file is shorter or the host gives no addresses. The caller closes the file. */
uint64_t device_open(int file, uint64_t offset, uint64_t size, uint32_t device);
bool device_close(uint64_t address);
/* Makes the host's bytes known as memory that kernels may reach; false if they overlap others. */
bool device_register_host(uint32_t device, void *p, uint64_t size);

/* Whether kernels of `device` may reach the allocation: its own, the host's, a peer's that was
 * enabled (in either direction of naming: `device` reaches `peer`). */
bool device_reachable(uint32_t device, const struct allocation *a);
void device_allow_peer(uint32_t device, uint32_t peer, bool allowed);

uint64_t device_used(uint32_t device);

/* The live or freed allocation that holds `address`, else the nearest one below it; false if there
 * is none. */
bool device_find(uint64_t address, struct allocation *out);
/* True when [address, address + size) lies in one live allocation. */
bool device_valid(uint64_t address, uint64_t size);
/* Whether all of it that kernels read must have been written: written.h. */
bool device_watched(const struct allocation *a);
/* Counts up whenever an allocation ends: what was found before may be stale. */
uint64_t device_epoch(void);

#endif
