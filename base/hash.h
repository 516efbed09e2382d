/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes for tables, and digests for files: XXH3 (xxHash, BSD-2-Clause), the same on every
 * machine. They find accidents, not attackers: a digest is no signature. */
#ifndef SINTER_BASE_HASH_H
#define SINTER_BASE_HASH_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed);
/* Mixes one more word in; the order of calls matters. */
uint64_t hash_combine(uint64_t hash, uint64_t word);

/* XXH3-128 in its canonical (big-endian) byte order. */
struct digest {
  uint8_t b[16];
};

struct digest digest_bytes(const void *p, size_t n);
bool digest_eq(const struct digest *a, const struct digest *b);
/* 32 lower-case digits and a NUL. */
void digest_hex(const struct digest *d, char out[33]);

/* The digest of bytes that come piece by piece; equal to digest_bytes of them all. No cleanup. */
struct digest_stream {
  alignas(64) unsigned char state[576];
};
void digest_stream_init(struct digest_stream *s);
void digest_stream_update(struct digest_stream *s, const void *p, size_t n);
struct digest digest_stream_final(const struct digest_stream *s);

#endif
