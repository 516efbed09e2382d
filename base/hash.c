/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that includes xxHash, inlined, so that nothing links to its library. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct digest_stream), "room for xxHash's state");
_Static_assert(sizeof(XXH128_canonical_t) == sizeof(struct digest), "128 bits");

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed) {
  return XXH3_64bits_withSeed(p, n, seed);
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014), which spreads small ids over all bits. */
uint64_t hash_combine(uint64_t hash, uint64_t word) {
  uint64_t z = hash * 0x9e3779b97f4a7c15u + word + 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static struct digest canonical(XXH128_hash_t h) {
  XXH128_canonical_t c;
  struct digest d;
  XXH128_canonicalFromHash(&c, h);
  memcpy(d.b, c.digest, sizeof d.b);
  return d;
}

struct digest digest_bytes(const void *p, size_t n) { return canonical(XXH3_128bits(p, n)); }

bool digest_eq(const struct digest *a, const struct digest *b) {
  return memcmp(a->b, b->b, sizeof a->b) == 0;
}

void digest_hex(const struct digest *d, char out[33]) {
  static const char digits[] = "0123456789abcdef";
  for (int i = 0; i < 16; i++) {
    out[2 * i] = digits[d->b[i] >> 4];
    out[2 * i + 1] = digits[d->b[i] & 15];
  }
  out[32] = 0;
}

void digest_stream_init(struct digest_stream *s) {
  XXH3_128bits_reset((XXH3_state_t *)(void *)s->state);
}

void digest_stream_update(struct digest_stream *s, const void *p, size_t n) {
  XXH3_128bits_update((XXH3_state_t *)(void *)s->state, p, n);
}

struct digest digest_stream_final(const struct digest_stream *s) {
  return canonical(XXH3_128bits_digest((const XXH3_state_t *)(const void *)s->state));
}
