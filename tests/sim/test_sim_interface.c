/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's interface as a whole: every name of the table is found in each of its forms, what is
 * not simulated says so, the forms for per-thread streams are ordered as they should be; and
 * images: several texts linked, fat binaries, logs of errors. Then graphs by their general calls.
 */
#include "tests/sim/sim_api.h"

#include <sys/wait.h>
#include <unistd.h>

typedef struct {
  char bytes[64];
} ipc_handle;

/* A process that begins before this one has a driver: it adds 1 to what it is handed. */
static int to_other[2];
static pid_t other_process;
static void *find(const char *name, int version, uint64_t flags);
static int add_one(void) {
  CUresult (*open_handle)(CUdeviceptr *, ipc_handle, unsigned), (*close_handle)(CUdeviceptr);
  ipc_handle h;
  CUdeviceptr p;
  uint32_t v;
  if (read(to_other[0], &h, sizeof h) != sizeof h || !sim_open_cuda())
    return 2;
  *(void **)&open_handle = find("cuIpcOpenMemHandle", 13000, 0);
  *(void **)&close_handle = find("cuIpcCloseMemHandle", 13000, 0);
  if (open_handle(&p, h, 1) || cuMemcpyDtoH_v2(&v, p, 4))
    return 3;
  v++;
  if (cuMemcpyHtoD_v2(p, &v, 4) || cuMemcpyHtoD_v2(p + 1000, &v, 4) != CUDA_ERROR_INVALID_VALUE)
    return 4;
  return close_handle(p) || cuMemcpyHtoD_v2(p, &v, 4) != CUDA_ERROR_INVALID_VALUE;
}

static int open_all(void **state) {
  (void)state;
  if (pipe(to_other) || (other_process = fork()) < 0)
    return -1;
  if (!other_process)
    _exit(add_one());
  return sim_open_cuda() ? 0 : -1;
}

static const struct {
  const char *name, *symbol;
  int version;
  bool refused, per_thread;
} all[] = {
#define DONE(name, version, symbol) {#name, #symbol, version, false, false},
#define SAME(name, version, symbol, other) {#name, #symbol, version, false, false},
#define REFUSED(name, version, symbol) {#name, #symbol, version, true, false},
#define THREAD(name, version, symbol, suffix) {#name, #symbol "_" #suffix, version, false, true},
#include "sim/cuda/cuda_interface.def"
#undef DONE
#undef SAME
#undef REFUSED
#undef THREAD
};

static void *find(const char *name, int version, uint64_t flags) {
  void *p = NULL;
  cuGetProcAddress_v2(name, &p, version, flags, NULL);
  return p;
}

static void every_name(void **state) {
  (void)state;
  void *library = dlopen(SINTER_TEST_BUILD_DIR "/sim/libcuda.so.1", RTLD_NOW);
  assert_non_null(library);
  fflush(stderr);
  FILE *silent = freopen("/dev/null", "w", stderr); /* each refusal says its name */
  assert_non_null(silent);
  for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
    void *symbol = dlsym(library, all[k].symbol);
    assert_non_null(symbol);
    assert_ptr_equal(find(all[k].name, all[k].version, all[k].per_thread ? 2 : 0), symbol);
    CUresult (*call)(void);
    *(void **)&call = symbol;
    if (all[k].refused)
      assert_int_equal(call(), CUDA_ERROR_NOT_SUPPORTED);
  }
  void *p;
  int found;
  assert_int_equal(cuGetProcAddress_v2("cuNoSuchCall", &p, 13000, 0, &found), CUDA_ERROR_NOT_FOUND);
  assert_int_equal(found, 1);
  assert_int_equal(cuGetProcAddress_v2("cuLibraryLoadData", &p, 11000, 0, &found),
                   CUDA_ERROR_NOT_FOUND);
  assert_int_equal(found, 2); /* it came later */
  assert_ptr_equal(find("cuCtxCreate", 12000, 0), dlsym(library, "cuCtxCreate_v3"));
  assert_ptr_equal(find("cuCtxCreate", 13000, 0), dlsym(library, "cuCtxCreate_v4"));
  assert_ptr_equal(find("cuMemcpyHtoD", 13000, 2), dlsym(library, "cuMemcpyHtoD_v2_ptds"));
  dlclose(library);
}

/* Of nccl.h, each under both of its names. */
static void every_nccl_name(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bool refused;
  } every[] = {
#define DONE(name) {#name, false}, {"p" #name, false},
#define SAME(name, other) DONE(name)
#define REFUSED(name) {#name, true}, {"p" #name, true},
#include "sim/nccl/nccl_interface.def"
#undef DONE
#undef SAME
#undef REFUSED
  };
  void *library = dlopen(SINTER_TEST_BUILD_DIR "/sim/libnccl.so.2", RTLD_NOW);
  assert_non_null(library);
  for (size_t k = 0; k < sizeof every / sizeof *every; k++) {
    ncclResult_t (*call)(void);
    *(void **)&call = dlsym(library, every[k].name);
    assert_non_null(call);
    if (every[k].refused)
      assert_int_equal(call(), ncclInvalidUsage);
  }
  ncclResult_t (*of_unique)(ncclUniqueId *), (*begin)(ncclComm_t *, int, ncclUniqueId, int),
      (*add)(const void *, void *, size_t, int, int, ncclComm_t, CUstream, const void *),
      (*end)(ncclComm_t);
  *(void **)&of_unique = dlsym(library, "pncclGetUniqueId");
  *(void **)&begin = dlsym(library, "pncclCommInitRank");
  *(void **)&add = dlsym(library, "pncclAllReduceConfig");
  *(void **)&end = dlsym(library, "pncclCommDestroy");
  ncclUniqueId id;
  ncclComm_t comm;
  CUdeviceptr p;
  assert_int_equal(cuMemAllocManaged(&p, 64, 1), 0);
  float *v = (float *)(uintptr_t)p;
  v[0] = 2.5f;
  assert_int_equal(of_unique(&id), 0);
  assert_int_equal(begin(&comm, 1, id, 0), 0);
  assert_int_equal(add(v, v + 4, 1, ncclFloat32, ncclSum, comm, NULL, NULL), 0);
  assert_int_equal(cuCtxSynchronize(), 0);
  assert_true(v[4] == 2.5f);
  assert_int_equal(end(comm), 0);
  assert_int_equal(cuMemFree_v2(p), 0);
}

#define HEAD ".version 8.0\n.target sm_90\n.address_size 64\n"
static const char write_text[] =
    HEAD ".visible .entry write(.param .u64 p, .param .u32 v) {\n"
         ".reg .b64 %d0; .reg .b32 %r0; ld.param.u64 %d0, [p]; ld.param.u32 %r0, [v];\n"
         "st.global.u32 [%d0], %r0; ret; }\n";

static CUmodule module;
static CUfunction function_of(const char *text, const char *name) {
  CUfunction f;
  assert_int_equal(cuModuleLoadData(&module, text), 0);
  assert_int_equal(cuModuleGetFunction(&f, module, name), 0);
  return f;
}
static uint32_t *managed(size_t n) {
  CUdeviceptr p;
  assert_int_equal(cuMemAllocManaged(&p, n, 1), 0);
  memset((void *)(uintptr_t)p, 0, n);
  return (uint32_t *)(uintptr_t)p;
}

/* The thread's own stream does not wait for the legacy one's other work, and NULL names it. */
static void per_thread_streams(void **state) {
  (void)state;
  CUresult (*launch)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                     unsigned, CUstream, void **, void **);
  CUresult (*get_id)(CUstream, unsigned long long *),
      (*get_id_plain)(CUstream, unsigned long long *);
  *(void **)&launch = find("cuLaunchKernel", 13000, 2);
  *(void **)&get_id = find("cuStreamGetId", 13000, 2);
  *(void **)&get_id_plain = find("cuStreamGetId", 13000, 0);
  unsigned long long own, legacy, named;
  assert_int_equal(get_id(NULL, &own), 0);
  assert_int_equal(get_id_plain(NULL, &legacy), 0);
  assert_int_equal(get_id_plain((CUstream)2, &named), 0);
  assert_int_equal(own, named);
  assert_int_not_equal(own, legacy);
  CUfunction f = function_of(write_text, "write");
  uint32_t *out = managed(64), value = 7; /* eleven arguments: some lie on the stack */
  assert_int_equal(launch(f, 1, 1, 1, 1, 1, 1, 0, NULL, (void *[]){&out, &value}, NULL), 0);
  assert_int_equal(cuCtxSynchronize(), 0);
  assert_int_equal(out[0], 7);
  assert_int_equal(cuModuleUnload(module), 0);
}

static void memory_of_two_processes(void **state) {
  (void)state;
  CUresult (*get_handle)(ipc_handle *, CUdeviceptr);
  CUresult (*open_handle)(CUdeviceptr *, ipc_handle, unsigned);
  CUdeviceptr before, p, again;
  ipc_handle h;
  uint32_t v = 41;
  int ended;
  *(void **)&get_handle = find("cuIpcGetMemHandle", 13000, 0);
  *(void **)&open_handle = find("cuIpcOpenMemHandle", 13000, 0);
  assert_int_equal(cuMemAlloc_v2(&before, 100), 0);
  assert_int_equal(cuMemAlloc_v2(&p, 1000), 0);
  assert_int_equal(cuMemcpyHtoD_v2(p, &v, 4), 0);
  assert_int_equal(cuMemcpyHtoD_v2(before, &v, 4), 0);
  assert_int_equal(get_handle(&h, p), 0);
  assert_int_equal(get_handle(&h, before), 0); /* on the same page */
  assert_int_equal(get_handle(&h, p + 8), 0);  /* the whole allocation */
  assert_int_equal(open_handle(&again, h, 1), CUDA_ERROR_INVALID_CONTEXT); /* its own */
  assert_int_equal(write(to_other[1], &h, sizeof h), sizeof h);
  assert_int_equal(waitpid(other_process, &ended, 0), other_process);
  assert_int_equal(ended, 0);
  assert_int_equal(cuMemcpyDtoH_v2(&v, p, 4), 0);
  assert_int_equal(v, 42);
  assert_int_equal(cuMemcpyDtoH_v2(&v, before, 4), 0);
  assert_int_equal(v, 41);
  assert_int_equal(cuMemFree_v2(p), 0);
  assert_int_equal(get_handle(&h, p), 1);
}

/* Images. */

static CUresult (*link_create)(unsigned, int *, void **, void **);
static CUresult (*link_add)(void *, int, void *, size_t, const char *, unsigned, int *, void **);
static CUresult (*link_complete)(void *, void **, size_t *), (*link_destroy)(void *);
static CUresult (*load_ex)(CUmodule *, const void *, unsigned, int *, void **);

static void linking(void **state) {
  (void)state;
  static char one[] =
      HEAD ".extern .global .u32 shared_value;\n"
           ".extern .func (.param .b32 r) twice(.param .b32 x);\n"
           ".visible .entry k(.param .u64 p) { .reg .b64 %d0; .reg .b32 %r<3>;\n"
           "ld.param.u64 %d0, [p]; ld.global.u32 %r0, [shared_value];\n"
           "{ .param .b32 a; .param .b32 b; st.param.b32 [a], %r0; call (b), twice, (a);\n"
           "ld.param.b32 %r1, [b]; } st.global.u32 [%d0], %r1; ret; }\n";
  static char two[] = HEAD ".visible .global .u32 shared_value = 21;\n"
                           ".visible .func (.param .b32 r) twice(.param .b32 x) { .reg .b32 %r0;\n"
                           "ld.param.b32 %r0, [x]; add.s32 %r0, %r0, %r0; st.param.b32 [r], %r0;\n"
                           "ret; }\n";
  *(void **)&link_create = find("cuLinkCreate", 13000, 0);
  *(void **)&link_add = find("cuLinkAddData", 13000, 0);
  *(void **)&link_complete = find("cuLinkComplete", 13000, 0);
  *(void **)&link_destroy = find("cuLinkDestroy", 13000, 0);
  void *link, *image;
  size_t size;
  char log[2000] = "";
  int options[] = {5, 6};
  void *values[] = {log, (void *)sizeof log};
  assert_int_equal(link_create(2, options, values, &link), 0);
  assert_int_equal(link_add(link, 1, one, sizeof one, "one", 0, NULL, NULL), 0);
  assert_int_equal(link_complete(link, &image, &size), CUDA_ERROR_INVALID_PTX);
  assert_non_null(strstr(log, "shared_value"));
  assert_int_equal((size_t)values[1], strlen(log));
  assert_int_equal(link_add(link, 1, two, sizeof two, "two", 0, NULL, NULL), 0);
  assert_int_equal(link_complete(link, &image, &size), 0);
  CUfunction f = function_of(image, "k");
  assert_int_equal(link_destroy(link), 0);
  uint32_t *out = managed(64);
  assert_int_equal(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, (void *[]){&out}, NULL), 0);
  assert_int_equal(out[0], 42);
  assert_int_equal(cuModuleUnload(module), 0);
}

static void put(uint8_t *at, uint64_t v, unsigned bytes) { memcpy(at, &v, bytes); }

/* A fat binary of one entry: kind 1 is PTX; flags as the compressor's. */
static size_t fat_of(uint8_t *to, unsigned kind, unsigned arch, uint64_t flags,
                     const uint8_t *payload, size_t packed, size_t full) {
  size_t padded = (packed + 7) / 8 * 8;
  memset(to, 0, 80 + padded);
  put(to, 0xba55ed50, 4), put(to + 4, 1, 2), put(to + 6, 16, 2), put(to + 8, 64 + padded, 8);
  uint8_t *e = to + 16;
  put(e, kind, 2), put(e + 2, 0x101, 2), put(e + 4, 64, 4), put(e + 8, padded, 8);
  put(e + 16, flags & 0xa000 ? packed : 0, 4), put(e + 28, arch, 4), put(e + 40, flags, 8);
  put(e + 56, flags & 0xa000 ? full : 0, 8);
  memcpy(e + 64, payload, packed);
  return 80 + padded;
}
static void fat_binaries(void **state) {
  (void)state;
  static uint8_t fat[4096], packed[2048];
  CUmodule m;
  size_t n = sizeof write_text;
  fat_of(fat, 1, 90, 0x11, (const uint8_t *)write_text, n, n);
  assert_int_equal(cuModuleLoadData(&m, fat), 0);
  assert_int_equal(cuModuleUnload(m), 0);
  uint8_t wrapper[24];
  put(wrapper, 0x466243b1, 4), put(wrapper + 4, 1, 4), put(wrapper + 8, (uintptr_t)fat, 8);
  assert_int_equal(cuModuleLoadData(&m, wrapper), 0);
  assert_int_equal(cuModuleUnload(m), 0);
  /* LZ4 by hand: literals alone, then " ret" that repeats what came four bytes before */
  size_t at = 0, left = n - 15;
  packed[at++] = 0xf0;
  for (; left >= 255; left -= 255)
    packed[at++] = 255;
  packed[at++] = (uint8_t)left;
  memcpy(packed + at, write_text, n);
  at += n;
  fat_of(fat, 1, 90, 0x2011, packed, at, n);
  assert_int_equal(cuModuleLoadData(&m, fat), 0);
  assert_int_equal(cuModuleUnload(m), 0);
  static const uint8_t repeats[] = {0x40, 'a', 'b', 'c', 'd', 4, 0, 0x10, 'x'};
  fat_of(fat, 1, 90, 0x2011, repeats, sizeof repeats, 9); /* abcdabcdx: no PTX, but well packed */
  assert_int_equal(cuModuleLoadData(&m, fat), CUDA_ERROR_INVALID_PTX);
  fat_of(fat, 1, 90, 0x2011, repeats, sizeof repeats, 8); /* larger than it says */
  assert_int_equal(cuModuleLoadData(&m, fat), CUDA_ERROR_INVALID_IMAGE);
  fat_of(fat, 2, 90, 0x11, (const uint8_t *)write_text, n, n); /* a cubin alone */
  assert_int_equal(cuModuleLoadData(&m, fat), CUDA_ERROR_NO_BINARY_FOR_GPU);
  fat_of(fat, 1, 100, 0x11, (const uint8_t *)write_text, n, n); /* newer than the device */
  assert_int_equal(cuModuleLoadData(&m, fat), CUDA_ERROR_NO_BINARY_FOR_GPU);
  fat_of(fat, 1, 90, 0x11, (const uint8_t *)write_text, n, n);
  put(fat + 16 + 8, 1 << 20, 8); /* an entry beyond the end */
  assert_int_equal(cuModuleLoadData(&m, fat), CUDA_ERROR_INVALID_IMAGE);
  assert_int_equal(cuModuleLoadData(&m, "\177ELF"), CUDA_ERROR_NO_BINARY_FOR_GPU);
}
static void error_logs(void **state) {
  (void)state;
  CUmodule m;
  char log[64] = "";
  int options[] = {6, 5};
  void *values[] = {(void *)sizeof log, log};
  *(void **)&load_ex = find("cuModuleLoadDataEx", 13000, 0);
  assert_int_equal(load_ex(&m, HEAD "\n.entry k() { frob.u32 1; }\n", 2, options, values),
                   CUDA_ERROR_INVALID_PTX);
  assert_non_null(strstr(log, "frob"));
  assert_int_equal((size_t)values[0], strlen(log));
}

/* Graphs. */

struct node_params {
  int type, reserved[3];
  union {
    int64_t room[29];
    CUDA_KERNEL_NODE_PARAMS kernel;
    CUDA_MEMSET_NODE_PARAMS set;
    struct {
      CUmemPoolProps pool;
      const CUmemAccessDesc *access;
      size_t access_count, bytes;
      CUdeviceptr address;
    } alloc;
    CUdeviceptr address;
    struct {
      CUgraph graph;
      int ownership;
    } child;
  };
  int64_t reserved2;
};
static unsigned destroyed;
static void count_destroyed(void *data) {
  (void)data;
  destroyed++;
}
static void general_nodes(void **state) {
  (void)state;
  CUresult (*add_node)(CUgraphNode *, CUgraph, const CUgraphNode *, const void *, size_t,
                       struct node_params *);
  CUresult (*get_kernel)(CUgraphNode, CUDA_KERNEL_NODE_PARAMS *);
  CUresult (*exec_set)(CUgraphExec, CUgraphNode, struct node_params *);
  CUresult (*exec_child)(CUgraphExec, CUgraphNode, CUgraph);
  CUresult (*create_object)(void **, void *, void (*)(void *), unsigned, unsigned);
  CUresult (*retain_object)(CUgraph, void *, unsigned, unsigned);
  *(void **)&add_node = find("cuGraphAddNode", 13000, 0);
  *(void **)&get_kernel = find("cuGraphKernelNodeGetParams", 13000, 0);
  *(void **)&exec_set = find("cuGraphExecNodeSetParams", 13000, 0);
  *(void **)&exec_child = find("cuGraphExecChildGraphNodeSetParams", 13000, 0);
  *(void **)&create_object = find("cuUserObjectCreate", 13000, 0);
  *(void **)&retain_object = find("cuGraphRetainUserObject", 13000, 0);
  CUfunction f = function_of(write_text, "write");
  uint32_t *out = managed(64), value = 5, other = 6, *second = out + 1;
  CUgraph g, child;
  CUgraphNode node, last, inner;
  CUgraphExec e;
  assert_int_equal(cuGraphCreate(&child, 0), 0);
  struct node_params p = {.type = 0};
  p.kernel = (CUDA_KERNEL_NODE_PARAMS){
      .function = f, .grid = {1, 1, 1}, .block = {1, 1, 1}, .params = (void *[]){&second, &value}};
  assert_int_equal(add_node(&inner, child, NULL, NULL, 0, &p), 0);
  /* memory of the graph: allocated, filled, used, freed */
  assert_int_equal(cuGraphCreate(&g, 0), 0);
  struct node_params a = {.type = 10};
  a.alloc.pool.type = 1;
  a.alloc.pool.location = (CUmemLocation){1, 0};
  a.alloc.bytes = 4;
  assert_int_equal(add_node(&last, g, NULL, NULL, 0, &a), 0);
  CUdeviceptr inside = a.alloc.address;
  struct node_params s = {.type = 2};
  s.set =
      (CUDA_MEMSET_NODE_PARAMS){.to = inside, .value = 9, .element = 4, .width = 1, .height = 1};
  assert_int_equal(add_node(&last, g, &last, NULL, 1, &s), 0);
  p.kernel.params = (void *[]){&out, &value};
  assert_int_equal(add_node(&node, g, &last, NULL, 1, &p), 0);
  struct node_params c = {.type = 4};
  c.child.graph = child;
  CUgraphNode child_node;
  assert_int_equal(add_node(&child_node, g, &node, NULL, 1, &c), 0);
  struct node_params x = {.type = 11};
  x.address = inside;
  assert_int_equal(add_node(&last, g, &child_node, NULL, 1, &x), 0);
  CUDA_KERNEL_NODE_PARAMS back;
  assert_int_equal(get_kernel(node, &back), 0);
  assert_ptr_equal(back.function, f);
  assert_int_equal(*(uint32_t *)back.params[1], 5);
  void *object;
  assert_int_equal(create_object(&object, NULL, count_destroyed, 1, 1), 0);
  assert_int_equal(retain_object(g, object, 1, 1), 0); /* its reference moves */
  assert_int_equal(cuGraphInstantiateWithFlags(&e, g, 0), 0);
  assert_int_equal(cuGraphDestroy(g), 0);
  assert_int_equal(destroyed, 0); /* the instance holds it */
  for (int k = 0; k < 2; k++)
    assert_int_equal(cuGraphLaunch(e, NULL), 0);
  assert_int_equal(cuCtxSynchronize(), 0);
  assert_int_equal(out[0] * 100 + out[1], 505);
  p.kernel.params = (void *[]){&out, &other};
  assert_int_equal(exec_set(e, node, &p), 0);
  p.kernel.params = (void *[]){&second, &other};
  CUgraph changed;
  assert_int_equal(cuGraphCreate(&changed, 0), 0);
  assert_int_equal(add_node(&inner, changed, NULL, NULL, 0, &p), 0);
  assert_int_equal(exec_child(e, child_node, changed), 0);
  assert_int_equal(cuGraphLaunch(e, NULL), 0);
  assert_int_equal(cuCtxSynchronize(), 0);
  assert_int_equal(out[0] * 100 + out[1], 606);
  assert_int_equal(add_node(&inner, changed, NULL, NULL, 0, &p), 0);
  assert_int_equal(exec_child(e, child_node, changed), 1); /* another shape */
  struct node_params conditional = {.type = 13};
  assert_int_equal(add_node(&node, changed, NULL, NULL, 0, &conditional), CUDA_ERROR_NOT_SUPPORTED);
  assert_int_equal(cuGraphExecDestroy(e), 0);
  assert_int_equal(destroyed, 1);
  assert_int_equal(cuGraphDestroy(child), 0);
  assert_int_equal(cuGraphDestroy(changed), 0);
  assert_int_equal(cuModuleUnload(module), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(memory_of_two_processes),
      cmocka_unit_test(per_thread_streams),
      cmocka_unit_test(linking),
      cmocka_unit_test(fat_binaries),
      cmocka_unit_test(error_logs),
      cmocka_unit_test(general_nodes),
      cmocka_unit_test(every_nccl_name),
      cmocka_unit_test(every_name), /* closes stderr */
  };
  return cmocka_run_group_tests(tests, open_all, NULL);
}
