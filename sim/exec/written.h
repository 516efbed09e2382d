/* SPDX-License-Identifier: Apache-2.0 */
/* Which device memory somebody wrote since it was allocated: kernels, copies, fills, other devices.
 *
 * A byte for each word of four bytes, and one for each page of 4 KiB that was written as a whole; a
 * word of which one byte was written counts as written. Both are address space that costs memory
 * only where it is touched. Off where the host gives no such space, or where
 * SINTER_SIM_UNWRITTEN=ignore says so. Only memory of the device alone is watched: what the host or
 * another process reaches may be written unseen. */
#ifndef SINTER_SIM_EXEC_WRITTEN_H
#define SINTER_SIM_EXEC_WRITTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { WRITTEN_WORD = 2, WRITTEN_PAGE = 12 }; /* log2 of bytes */
extern uint64_t written_base, written_bytes;  /* of the memory that is watched; 0: none */
extern uint8_t *written_words, *written_pages;

/* For memory at [base, base + bytes), page-aligned. */
void written_begin(uint64_t base, uint64_t bytes);
/* A range of any length; outside of what is watched it is nothing. */
void written_mark(uint64_t address, uint64_t n);
/* The range is as if it had never been written. */
void written_forget(uint64_t address, uint64_t n);

/* A few bytes inside of what is watched. */
static inline bool written_pages_whole(uint64_t at, uint64_t n) {
  return written_pages[at >> WRITTEN_PAGE] && written_pages[(at + n - 1) >> WRITTEN_PAGE];
}
static inline void written_mark_few(uint64_t address, uint64_t n) {
  uint64_t at = address - written_base, first = at >> WRITTEN_WORD;
  if (!written_pages_whole(at, n))
    memset(written_words + first, 1, ((at + n - 1) >> WRITTEN_WORD) - first + 1);
}
static inline bool written_all(uint64_t address, uint64_t n) {
  uint64_t at = address - written_base, first = at >> WRITTEN_WORD;
  return written_pages_whole(at, n) ||
         !memchr(written_words + first, 0, ((at + n - 1) >> WRITTEN_WORD) - first + 1);
}

#endif
