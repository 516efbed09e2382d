/* SPDX-License-Identifier: Apache-2.0 */
/* A crew of threads takes modules off a counter; what each module gave lies in its own slot, and
 * the slots are joined in order. */
#include "codegen/assemble.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/diag.h"
#include "base/mem.h"
#include "codegen/nvptx/ptxas.h"

#define DEFAULT_KERNELS_PER_MODULE 16
#define MAX_THREADS 256

struct slot {
  struct diags diags;
  LLVMMemoryBufferRef buffer; /* object or assembly */
  uint8_t *cubin;             /* of mem_try_alloc */
  size_t cubin_bytes;
  char *text; /* IR, owned by LLVM */
  status status;
};

struct crew {
  const struct assemble_options *options;
  uint32_t per_module;
  uint32_t module_count;
  struct slot *slots;
  atomic_uint next;
};

/* What a thread holds of LLVM is written here, so that it can be let go when memory runs out. */
struct worker {
  struct crew *crew;
  pthread_t thread;
  status status;
  struct target *target;
  LLVMModuleRef module;
};

static uint32_t first_kernel(const struct crew *crew, uint32_t index) {
  return index * crew->per_module;
}

static uint32_t last_kernel(const struct crew *crew, uint32_t index) {
  uint32_t first = first_kernel(crew, index), left = crew->options->kernel_count - first;
  return first + (left < crew->per_module ? left : crew->per_module);
}

static status build_kernels(struct crew *crew, uint32_t index, struct target *target,
                            LLVMModuleRef module, struct diags *diags) {
  const struct assemble_options *options = crew->options;
  status s = STATUS_OK;
  for (uint32_t k = first_kernel(crew, index); k < last_kernel(crew, index) && s == STATUS_OK; k++)
    s = options->build(options->user, k, target, module, diags);
  return s;
}

static status make_cubin(struct crew *crew, struct slot *slot) {
  const struct assemble_options *o = crew->options;
  uint32_t index = (uint32_t)(slot - crew->slots);
  struct ptxas_names names = {.name = o->name,
                              .where = o->where,
                              .user = o->user,
                              .first = first_kernel(crew, index),
                              .last = last_kernel(crew, index)};
  return ptxas_assemble(o->ptxas, o->isa, LLVMGetBufferStart(slot->buffer),
                        LLVMGetBufferSize(slot->buffer), &names, &slot->diags, &slot->cubin,
                        &slot->cubin_bytes);
}

static status emit_module(struct crew *crew, struct slot *slot, struct target *target,
                          LLVMModuleRef module) {
  switch (crew->options->emit) {
  case ASSEMBLE_LLVM: slot->text = LLVMPrintModuleToString(module); return STATUS_OK;
  case ASSEMBLE_ASM:
    return target_emit(target, module, LLVMAssemblyFile, &slot->diags, &slot->buffer);
  case ASSEMBLE_BLOB: break;
  }
  bool text = target_isa(target)->kind == TARGET_NVPTX;
  status s = target_emit(target, module, text ? LLVMAssemblyFile : LLVMObjectFile, &slot->diags,
                         &slot->buffer);
  return s == STATUS_OK && text && crew->options->ptxas ? make_cubin(crew, slot) : s;
}

static void drop_module(struct worker *worker) {
  if (worker->module && !target_poisoned(worker->target))
    LLVMDisposeModule(worker->module);
  worker->module = NULL;
}

static void drop_target(struct worker *worker) {
  target_destroy(worker->target);
  worker->target = NULL;
}

static status make_module(struct worker *worker, uint32_t index) {
  struct crew *crew = worker->crew;
  struct slot *slot = &crew->slots[index];
  struct target *target = worker->target;
  char name[32];
  snprintf(name, sizeof name, "kernels.%u", index);
  LLVMModuleRef module = worker->module = target_module_create(target, name);
  status s = build_kernels(crew, index, target, module, &slot->diags);
  if (s == STATUS_OK)
    s = target_verify(target, module, &slot->diags);
  if (s == STATUS_OK && !crew->options->skip_passes)
    s = target_optimize(target, module, &slot->diags);
  if (s == STATUS_OK)
    s = emit_module(crew, slot, target, module);
  drop_module(worker);
  return s;
}

static status work(void *context) {
  struct worker *worker = context;
  struct crew *crew = worker->crew;
  uint32_t index;
  while ((index = atomic_fetch_add(&crew->next, 1)) < crew->module_count) {
    struct slot *slot = &crew->slots[index];
    if (worker->target && target_poisoned(worker->target))
      drop_target(worker);
    if (!worker->target)
      slot->status = target_create(&slot->diags, crew->options->isa, &worker->target);
    if (worker->target)
      slot->status = make_module(worker, index);
  }
  return STATUS_OK;
}

static void *thread_main(void *context) {
  struct worker *worker = context;
  worker->status = oom_guard_run(work, worker);
  drop_module(worker);
  drop_target(worker);
  return NULL;
}

static uint32_t choose_threads(const struct crew *crew) {
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  uint32_t threads =
      crew->options->threads ? crew->options->threads : (uint32_t)(online > 1 ? online : 1);
  if (threads > crew->module_count)
    threads = crew->module_count;
  return threads > MAX_THREADS ? MAX_THREADS : threads;
}

/* The calling thread is one of the crew, so that a thread that cannot be had costs only time. */
static status run_crew(struct crew *crew, struct arena *arena) {
  uint32_t threads = choose_threads(crew), started = 1;
  struct worker *workers = ARENA_ARRAY(arena, struct worker, threads + 1);
  workers[0].crew = crew;
  for (uint32_t i = 1; i < threads; i++, started++) {
    workers[i].crew = crew;
    if (pthread_create(&workers[i].thread, NULL, thread_main, &workers[i]) != 0)
      break;
  }
  thread_main(&workers[0]);
  status s = workers[0].status;
  for (uint32_t i = 1; i < started; i++) {
    pthread_join(workers[i].thread, NULL);
    s = s ? s : workers[i].status;
  }
  return s;
}

/* The first bad module's status; all modules' diagnostics, in order. */
static status collect_diags(struct crew *crew, struct diags *diags) {
  status s = STATUS_OK;
  for (uint32_t i = 0; i < crew->module_count; i++) {
    if (diags)
      diags_merge(diags, &crew->slots[i].diags);
    s = s ? s : crew->slots[i].status;
  }
  return s;
}

static void join_text(const struct crew *crew, struct arena *arena,
                      struct assemble_result *result) {
  for (uint32_t i = 0; i < crew->module_count; i++) {
    const struct slot *slot = &crew->slots[i];
    result->text_size += slot->text ? strlen(slot->text) : LLVMGetBufferSize(slot->buffer);
  }
  char *at = result->text = arena_alloc(arena, result->text_size + 1);
  for (uint32_t i = 0; i < crew->module_count; i++) {
    const struct slot *slot = &crew->slots[i];
    size_t size = slot->text ? strlen(slot->text) : LLVMGetBufferSize(slot->buffer);
    memcpy(at, slot->text ? slot->text : LLVMGetBufferStart(slot->buffer), size);
    at += size;
  }
}

static status join_code(const struct crew *crew, struct arena *arena, struct diags *diags,
                        struct assemble_result *result) {
  struct cpu_object *objects = ARENA_ARRAY(arena, struct cpu_object, crew->module_count);
  for (uint32_t i = 0; i < crew->module_count; i++)
    objects[i] = (struct cpu_object){.data = LLVMGetBufferStart(crew->slots[i].buffer),
                                     .size = LLVMGetBufferSize(crew->slots[i].buffer),
                                     .name = arena_printf(arena, "kernels.%u", i)};
  return cpu_link(diags, arena, objects, crew->module_count, &result->blob);
}

/* What a module became: its PTX, or its cubin; and the room for it with at least a zero behind. */
static const void *image_of(const struct slot *slot, bool cubins, size_t *out_bytes,
                            size_t *out_room) {
  size_t align = cubins ? CUBIN_ALIGNMENT : 1;
  *out_bytes = cubins ? slot->cubin_bytes : LLVMGetBufferSize(slot->buffer);
  *out_room = (*out_bytes + align) / align * align;
  return cubins ? (const void *)slot->cubin : LLVMGetBufferStart(slot->buffer);
}

/* PTX modules, or cubins, one after the other; a kernel's offset is that of its module. */
static void join_images(const struct crew *crew, struct arena *arena, bool cubins,
                        struct code_blob *blob) {
  const struct assemble_options *options = crew->options;
  size_t bytes, room;
  for (uint32_t i = 0; i < crew->module_count; i++) {
    image_of(&crew->slots[i], cubins, &bytes, &room);
    blob->size += room;
  }
  blob->data = memset(arena_alloc(arena, blob->size), 0, blob->size);
  blob->symbols = ARENA_ARRAY(arena, struct code_symbol, options->kernel_count);
  blob->symbol_count = options->kernel_count;
  uint64_t at = 0;
  for (uint32_t i = 0; i < crew->module_count; i++) {
    const void *image = image_of(&crew->slots[i], cubins, &bytes, &room);
    memcpy(blob->data + at, image, bytes);
    for (uint32_t k = first_kernel(crew, i); k < last_kernel(crew, i); k++)
      blob->symbols[k] = (struct code_symbol){options->name(options->user, k), at, bytes, true};
    at += room;
  }
}

static status join_gpu(const struct crew *crew, struct arena *arena,
                       struct assemble_result *result) {
  join_images(crew, arena, false, &result->blob);
  if (crew->options->ptxas)
    join_images(crew, arena, true, &result->cubins);
  return STATUS_OK;
}

static void free_slots(struct crew *crew) {
  for (uint32_t i = 0; i < crew->module_count; i++) {
    struct slot *slot = &crew->slots[i];
    diags_deinit(&slot->diags);
    if (slot->buffer)
      LLVMDisposeMemoryBuffer(slot->buffer);
    LLVMDisposeMessage(slot->text);
    mem_free(slot->cubin);
  }
}

status assemble(const struct assemble_options *options, struct arena *arena, struct diags *diags,
                struct assemble_result *out_result) {
  *out_result = (struct assemble_result){0};
  struct crew crew = {.options = options,
                      .per_module = options->kernels_per_module ? options->kernels_per_module
                                                                : DEFAULT_KERNELS_PER_MODULE};
  crew.module_count =
      options->kernel_count / crew.per_module + (options->kernel_count % crew.per_module != 0);
  crew.slots = ARENA_ARRAY(arena, struct slot, crew.module_count);

  status s = run_crew(&crew, arena);
  status bad = collect_diags(&crew, diags);
  if (s != STATUS_OK)
    diag_report(diags, DIAG_E0901, NULL, NULL, "out of memory in a code generation thread");
  else
    s = bad;
  if (s == STATUS_OK && options->emit == ASSEMBLE_BLOB)
    s = options->isa->kind == TARGET_NVPTX ? join_gpu(&crew, arena, out_result)
                                           : join_code(&crew, arena, diags, out_result);
  else if (s == STATUS_OK)
    join_text(&crew, arena, out_result);
  free_slots(&crew);
  return s;
}
