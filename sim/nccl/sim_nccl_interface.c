/* SPDX-License-Identifier: Apache-2.0 */
/* The whole of nccl.h by name: what is not simulated refuses and says so; the second names, for
 * profilers that put themselves before the first, call those.
 *
 * Such a call hands its arguments on as words, whatever they are: all of them are integers,
 * pointers or structures of whole words, which calls pass alike; words that nobody gave are read
 * and ignored. Sixteen of them are a ncclUniqueId. */
#include "sim/nccl/nccl_comm.h"

typedef uintptr_t word;
#define WORDS                                                                                      \
  word a, word b, word c, word d, word e, word f, word g, word h, word i, word j, word k, word l,  \
      word m, word n, word o, word p, word q, word r, word s, word t, word u, word v, word w,      \
      word x
typedef word (*any_call)(WORDS);
#define ANY __attribute__((visibility("default"))) word
/* The address of a symbol whose parameters are nobody's business here. */
#define ADDRESS(symbol) address_##symbol
#define ADDRESS_OF(symbol) extern const char ADDRESS(symbol)[] __asm__(#symbol);
#define FORWARD(symbol, other)                                                                     \
  ANY symbol(WORDS);                                                                               \
  ANY symbol(WORDS) {                                                                              \
    return ((any_call)(word)ADDRESS(other))(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r,  \
                                            s, t, u, v, w, x);                                     \
  }

static ncclResult_t refuse(const char *name) {
  fprintf(stderr, "sim: nccl error: %s is not simulated\n", name);
  return ncclInvalidUsage;
}

#define DONE(name) ADDRESS_OF(name)
#define SAME(name, other)
#define REFUSED(name)
#include "sim/nccl/nccl_interface.def"
#undef DONE
#undef SAME
#undef REFUSED

#define DONE(name) FORWARD(p##name, name)
#define SAME(name, other) FORWARD(name, other) FORWARD(p##name, other)
#define REFUSED(name)                                                                              \
  NCCL_API name(void);                                                                             \
  NCCL_API p##name(void);                                                                          \
  NCCL_API name(void) { return refuse(#name); }                                                    \
  NCCL_API p##name(void) { return refuse(#name); }
#include "sim/nccl/nccl_interface.def"
#undef DONE
#undef SAME
#undef REFUSED
