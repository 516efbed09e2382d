/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/exec/device.h"

#include "sim/exec/written.h"

#include "base/vec.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARENA_BYTES (UINT64_C(1) << 42)
#define LEAST_ARENA_BYTES (UINT64_C(1) << 28)
#define GRAIN UINT64_C(256)
/* No page holds the end of one large allocation and something else, so that pages can be shared. */
#define PAGE UINT64_C(4096)
/* Larger blocks are not filled: that would touch memory that nobody may ever use. */
#define FILL_LIMIT (UINT64_C(1) << 20)
enum { MAX_DEVICES = 64 };

static struct {
  pthread_rwlock_t lock;
  uint8_t *base;
  uint64_t bytes;             /* from base on */
  uint64_t next;              /* offset of what was never handed out */
  VEC(struct allocation) all; /* sorted by address */
  uint64_t used[MAX_DEVICES];
  _Atomic uint64_t epoch;
} memory = {.lock = PTHREAD_RWLOCK_INITIALIZER};

/* The number of allocations that begin at or below the address. */
static uint32_t count_below(uint64_t address) {
  uint32_t low = 0, high = memory.all.len;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (memory.all.data[middle].address <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void insert(const struct allocation *a) {
  uint32_t at = count_below(a->address);
  vec_push(&memory.all, *a);
  memmove(memory.all.data + at + 1, memory.all.data + at,
          (memory.all.len - 1 - at) * sizeof *memory.all.data);
  memory.all.data[at] = *a;
}

/* Less where the process may have less (ulimit -v). */
static bool reserve(void) {
  if (memory.base)
    return true;
  for (memory.bytes = ARENA_BYTES; memory.bytes >= LEAST_ARENA_BYTES; memory.bytes /= 2) {
    void *p = mmap(NULL, memory.bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
      continue;
    memory.base = p;
    written_begin((uint64_t)(uintptr_t)p, memory.bytes);
    memory.next = 1 << 21;
    return true;
  }
  return false;
}

static uint64_t place(uint32_t device, uint64_t size, enum allocation_kind kind, const char *name) {
  uint64_t taken = (size + 2 * GRAIN - 1) / GRAIN * GRAIN;
  if (taken > PAGE - memory.next % PAGE)
    memory.next = (memory.next + PAGE - 1) / PAGE * PAGE;
  if (taken > PAGE)
    taken = (taken + PAGE - 1) / PAGE * PAGE;
  if (!reserve() || taken > memory.bytes - memory.next)
    return 0;
  uint8_t *p = memory.base + memory.next;
  memory.next += taken;
  struct allocation a = {.address = (uint64_t)(uintptr_t)p,
                         .size = size,
                         .device = device,
                         .kind = kind,
                         .name = name};
  insert(&a);
  if (kind != ALLOCATION_PINNED)
    memory.used[device] += size;
  if (size <= FILL_LIMIT)
    memset(p, 0xcd, size);
  return a.address;
}

uint64_t device_alloc(uint32_t device, uint64_t size, enum allocation_kind kind, const char *name) {
  if (device >= MAX_DEVICES || size > DEVICE_MEMORY)
    return 0;
  pthread_rwlock_wrlock(&memory.lock);
  uint64_t address = 0;
  if (size <= DEVICE_MEMORY - memory.used[device])
    address = place(device, size, kind, name);
  pthread_rwlock_unlock(&memory.lock);
  return address;
}

bool device_free(uint64_t address) {
  pthread_rwlock_wrlock(&memory.lock);
  uint32_t n = count_below(address);
  struct allocation *a = n ? &memory.all.data[n - 1] : NULL;
  bool found = a && a->address == address && !a->freed;
  if (found) {
    a->freed = true;
    a->name = NULL;
    memory.epoch++;
    if (a->kind != ALLOCATION_PINNED && a->kind != ALLOCATION_HOST)
      memory.used[a->device] -= a->size;
    if (a->kind == ALLOCATION_HOST) {
      memmove(a, a + 1, (size_t)(memory.all.len - n) * sizeof *a);
      memory.all.len--;
    } else {
      uint64_t first = (address + 4095) & ~UINT64_C(4095),
               end = (address + a->size) & ~UINT64_C(4095);
      if (end > first)
        madvise((void *)(uintptr_t)first, end - first, MADV_DONTNEED);
    }
  }
  pthread_rwlock_unlock(&memory.lock);
  return found;
}

bool device_register_host(uint32_t device, void *p, uint64_t size) {
  uint64_t address = (uint64_t)(uintptr_t)p;
  pthread_rwlock_wrlock(&memory.lock);
  uint32_t n = count_below(address + size - 1);
  struct allocation *a = n ? &memory.all.data[n - 1] : NULL;
  bool room = device < MAX_DEVICES && size && (!a || a->address + a->size <= address);
  if (room) {
    struct allocation made = {
        .address = address, .size = size, .device = device, .kind = ALLOCATION_HOST};
    insert(&made);
  }
  pthread_rwlock_unlock(&memory.lock);
  return room;
}

uint64_t device_used(uint32_t device) {
  pthread_rwlock_rdlock(&memory.lock);
  uint64_t used = device < MAX_DEVICES ? memory.used[device] : 0;
  pthread_rwlock_unlock(&memory.lock);
  return used;
}

bool device_find(uint64_t address, struct allocation *out) {
  pthread_rwlock_rdlock(&memory.lock);
  uint32_t n = count_below(address);
  if (n)
    *out = memory.all.data[n - 1];
  pthread_rwlock_unlock(&memory.lock);
  return n != 0;
}

bool device_valid(uint64_t address, uint64_t size) {
  struct allocation a;
  return device_find(address, &a) && !a.freed && address - a.address <= a.size &&
         size <= a.size - (address - a.address);
}

static struct allocation *exactly(uint64_t address) {
  uint32_t n = count_below(address);
  struct allocation *a = n ? &memory.all.data[n - 1] : NULL;
  return a && a->address == address ? a : NULL;
}
static bool set_freed(uint64_t address, bool freed) {
  pthread_rwlock_wrlock(&memory.lock);
  struct allocation *a = exactly(address);
  bool found = a && a->freed != freed;
  if (found) {
    written_forget(address, a->size);
    a->freed = freed;
    memory.epoch++;
  }
  pthread_rwlock_unlock(&memory.lock);
  return found;
}
bool device_suspend(uint64_t address) { return set_freed(address, true); }
bool device_revive(uint64_t address) { return set_freed(address, false); }

uint64_t device_reserve(uint64_t size, uint64_t align) {
  pthread_rwlock_wrlock(&memory.lock);
  uint64_t at = 0;
  if (reserve() && size <= memory.bytes / 2 && align <= memory.bytes / 4) {
    uint64_t base = (uint64_t)(uintptr_t)memory.base;
    uint64_t next = (base + memory.next + align - 1) / align * align;
    if (next + size <= base + memory.bytes) {
      at = next;
      memory.next = next + size - base;
    }
  }
  pthread_rwlock_unlock(&memory.lock);
  return at;
}

bool device_map(uint64_t address, uint64_t size, int file, uint64_t offset, uint32_t device) {
  pthread_rwlock_wrlock(&memory.lock);
  uint64_t base = (uint64_t)(uintptr_t)memory.base;
  uint32_t n = count_below(address + size - 1);
  struct allocation *a = n ? &memory.all.data[n - 1] : NULL;
  bool good = memory.base && address >= base && address + size <= base + memory.next &&
              (!a || a->address + a->size <= address);
  good = good && mmap((void *)(uintptr_t)address, size, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_FIXED, file, (off_t)offset) != MAP_FAILED;
  if (good) {
    struct allocation made = {
        .address = address, .size = size, .device = device, .kind = ALLOCATION_MAPPED};
    insert(&made);
  }
  pthread_rwlock_unlock(&memory.lock);
  return good;
}

static VEC(struct shared_pages {
  uint64_t first;
  uint64_t end;
  int file;
}) shared_pages;

static const struct shared_pages *share_pages(uint64_t first, uint64_t end) {
  for (uint32_t k = 0; k < shared_pages.len; k++)
    if (first >= shared_pages.data[k].first && end <= shared_pages.data[k].end)
      return &shared_pages.data[k];
  void *at = (void *)(uintptr_t)first;
  int file = memfd_create("sinter-sim", MFD_CLOEXEC);
  bool good = file >= 0 && !ftruncate(file, (off_t)(end - first));
  for (uint64_t done = 0; good && done < end - first;) {
    ssize_t n = pwrite(file, (uint8_t *)at + done, end - first - done, (off_t)done);
    good = n > 0;
    done += good ? (uint64_t)n : 0;
  }
  good = good && mmap(at, end - first, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) !=
                     MAP_FAILED;
  if (!good) {
    if (file >= 0)
      close(file);
    return NULL;
  }
  vec_push(&shared_pages, ((struct shared_pages){first, end, file}));
  written_mark(first, end - first); /* the others may write unseen */
  return &vec_last(&shared_pages);
}
bool device_share(uint64_t address, int *out_file, uint64_t *out_offset) {
  pthread_rwlock_wrlock(&memory.lock);
  const struct allocation *a = exactly(address);
  const struct shared_pages *s = NULL;
  if (a && !a->freed && a->kind == ALLOCATION_DEVICE)
    s = share_pages(address / PAGE * PAGE, (address + a->size + PAGE - 1) / PAGE * PAGE);
  if (s) {
    *out_file = s->file;
    *out_offset = address - s->first;
  }
  pthread_rwlock_unlock(&memory.lock);
  return s != NULL;
}

uint64_t device_open(int file, uint64_t offset, uint64_t size, uint32_t device) {
  struct stat is;
  uint64_t first = offset / PAGE * PAGE, bytes = (offset - first + size + PAGE - 1) / PAGE * PAGE;
  if (device >= MAX_DEVICES || !size || fstat(file, &is) || (uint64_t)is.st_size < first + bytes)
    return 0;
  uint64_t at = device_reserve((bytes + (UINT64_C(2) << 20) - 1) >> 21 << 21, UINT64_C(2) << 20);
  if (!at || mmap((void *)(uintptr_t)at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                  file, (off_t)first) == MAP_FAILED)
    return 0;
  struct allocation made = {
      .address = at + offset - first, .size = size, .device = device, .kind = ALLOCATION_OPENED};
  pthread_rwlock_wrlock(&memory.lock);
  insert(&made);
  pthread_rwlock_unlock(&memory.lock);
  return made.address;
}
bool device_close(uint64_t address) {
  pthread_rwlock_wrlock(&memory.lock);
  struct allocation *a = exactly(address);
  bool found = a && !a->freed && a->kind == ALLOCATION_OPENED;
  if (found) {
    uint64_t first = address / PAGE * PAGE, end = (address + a->size + PAGE - 1) / PAGE * PAGE;
    a->freed = true;
    memory.epoch++;
    found = mmap((void *)(uintptr_t)first, end - first, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
  }
  pthread_rwlock_unlock(&memory.lock);
  return found;
}

bool device_unmap(uint64_t address, uint64_t size) {
  pthread_rwlock_wrlock(&memory.lock);
  uint64_t at = address;
  while (at < address + size) {
    struct allocation *a = exactly(at);
    if (!a || a->kind != ALLOCATION_MAPPED || a->size > address + size - at)
      break;
    at += a->size;
    uint32_t n = (uint32_t)(a - memory.all.data);
    memmove(a, a + 1, (size_t)(memory.all.len - n - 1) * sizeof *a);
    memory.all.len--;
  }
  bool good = at == address + size;
  if (at > address)
    good &= mmap((void *)(uintptr_t)address, at - address, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
  memory.epoch++;
  pthread_rwlock_unlock(&memory.lock);
  return good;
}

bool device_set_access(uint64_t address, uint64_t size, uint32_t device, bool read, bool write) {
  pthread_rwlock_wrlock(&memory.lock);
  uint64_t at = address;
  while (at < address + size) {
    struct allocation *a = exactly(at);
    if (!a || a->kind != ALLOCATION_MAPPED || a->size > address + size - at || device >= 64)
      break;
    a->access = read ? a->access | UINT64_C(1) << device : a->access & ~(UINT64_C(1) << device);
    a->readonly = read && !write;
    at += a->size;
  }
  memory.epoch++;
  pthread_rwlock_unlock(&memory.lock);
  return at == address + size;
}

static bool peers[MAX_DEVICES][MAX_DEVICES];
bool device_reachable(uint32_t device, const struct allocation *a) {
  if (a->kind == ALLOCATION_MAPPED)
    return a->access >> (device % 64) & 1;
  return a->kind == ALLOCATION_HOST || a->kind == ALLOCATION_PINNED ||
         a->kind == ALLOCATION_MANAGED || a->device == device ||
         __atomic_load_n(&peers[device % MAX_DEVICES][a->device % MAX_DEVICES], __ATOMIC_RELAXED);
}
void device_allow_peer(uint32_t device, uint32_t peer, bool allowed) {
  __atomic_store_n(&peers[device % MAX_DEVICES][peer % MAX_DEVICES], allowed, __ATOMIC_RELAXED);
  memory.epoch++;
}

uint64_t device_epoch(void) { return memory.epoch; }

bool device_watched(const struct allocation *a) {
  return a->kind == ALLOCATION_DEVICE && a->address - written_base < written_bytes;
}
