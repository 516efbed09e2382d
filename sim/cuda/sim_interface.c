/* SPDX-License-Identifier: Apache-2.0 */
/* The whole of the interface by name: what is not simulated refuses and says so, old names stand
 * for newer ones of the same form, and the forms for per-thread default streams (_ptsz, _ptds) call
 * the plain ones with a note that NULL means the thread's stream.
 *
 * Such a form hands its arguments on as words, whatever they are: all of them are integers,
 * pointers or structures of one word, which calls pass alike; words that nobody gave are read and
 * ignored. */
#include "sim/cuda/sim_driver.h"

#define NOT_SIMULATED __attribute__((visibility("default"), cold)) CUresult
static CUresult refuse(const char *name) {
  fprintf(stderr, "sim: error: %s is not simulated\n", name);
  return CUDA_ERROR_NOT_SUPPORTED;
}
#define DONE(name, version, symbol)
#define SAME(name, version, symbol, other)
#define THREAD(name, version, symbol, suffix)
#define REFUSED(name, version, symbol)                                                             \
  NOT_SIMULATED symbol(void);                                                                      \
  NOT_SIMULATED symbol(void) { return refuse(#symbol); }
#include "sim/cuda/cuda_interface.def"
#undef REFUSED
#undef THREAD
#undef SAME

typedef uintptr_t word;
#define WORDS                                                                                      \
  word a, word b, word c, word d, word e, word f, word g, word h, word i, word j, word k, word l
typedef CUresult (*any_call)(WORDS);
/* The address of a symbol whose parameters are nobody's business here. */
#define ADDRESS(symbol) address_##symbol
#define ADDRESS_OF(symbol) extern const char ADDRESS(symbol)[] __asm__(#symbol);
#define CALL(symbol) ((any_call)(word)ADDRESS(symbol))(a, b, c, d, e, f, g, h, i, j, k, l)

#define REFUSED(name, version, symbol) ADDRESS_OF(symbol)
#undef DONE
#define DONE(name, version, symbol) ADDRESS_OF(symbol)
#define SAME(name, version, symbol, other) ADDRESS_OF(symbol)
#define THREAD(name, version, symbol, suffix) ADDRESS_OF(symbol##_##suffix)
#include "sim/cuda/cuda_interface.def"
#undef REFUSED
#undef DONE
#undef SAME
#undef THREAD

#define REFUSED(name, version, symbol)
#define DONE(name, version, symbol)
#define SAME(name, version, symbol, other)                                                         \
  API symbol(WORDS);                                                                               \
  API symbol(WORDS) { return CALL(other); }
#define THREAD(name, version, symbol, suffix)                                                      \
  API symbol##_##suffix(WORDS);                                                                    \
  API symbol##_##suffix(WORDS) {                                                                   \
    null_is_per_thread++;                                                                          \
    CUresult r = CALL(symbol);                                                                     \
    null_is_per_thread--;                                                                          \
    return r;                                                                                      \
  }
#include "sim/cuda/cuda_interface.def"
#undef SAME
#undef THREAD

#undef REFUSED
#undef DONE
#undef SAME
#undef THREAD

static const struct entry {
  const char *name;
  int version; /* of the interface that brought this form */
  bool per_thread;
  const char *address;
} entries[] = {
#define REFUSED(name, version, symbol) {#name, version, false, ADDRESS(symbol)},
#define DONE(name, version, symbol) {#name, version, false, ADDRESS(symbol)},
#define SAME(name, version, symbol, other) {#name, version, false, ADDRESS(symbol)},
#define THREAD(name, version, symbol, suffix) {#name, version, true, ADDRESS(symbol##_##suffix)},
#include "sim/cuda/cuda_interface.def"
};

/* The newest form that the given version of the interface has. */
DECLARE(cuGetProcAddress_v2,
        (const char *symbol, void **address, int version, uint64_t flags, int *found)) {
  enum { FOUND = 0, NO_SYMBOL = 1, NO_VERSION = 2, PER_THREAD = 2 };
  const struct entry *best = NULL;
  int state = NO_SYMBOL;
  NEED(symbol && address && flags < 4);
  for (size_t k = 0; k < sizeof entries / sizeof *entries; k++) {
    const struct entry *e = &entries[k];
    if (strcmp(e->name, symbol) || (e->per_thread && !(flags & PER_THREAD)))
      continue;
    state = state == NO_SYMBOL ? NO_VERSION : state;
    if (e->version > version || (best && best->per_thread > e->per_thread))
      continue;
    if (!best || e->per_thread > best->per_thread || e->version > best->version)
      best = e;
  }
  *address = best ? (void *)(uintptr_t)best->address : NULL;
  if (found)
    *found = best ? FOUND : state;
  return best ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
DECLARE(cuGetProcAddress, (const char *symbol, void **address, int version, uint64_t flags)) {
  return cuGetProcAddress_v2(symbol, address, version, flags, NULL);
}
