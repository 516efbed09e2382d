/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/exec/written.h"

#include <stdlib.h>
#include <sys/mman.h>

uint64_t written_base, written_bytes;
uint8_t *written_words, *written_pages;

static uint8_t *space(uint64_t bytes) {
  void *p =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

void written_begin(uint64_t base, uint64_t bytes) {
  const char *text = getenv("SINTER_SIM_UNWRITTEN");
  if (text && !strcmp(text, "ignore"))
    return;
  written_words = space(bytes >> WRITTEN_WORD);
  written_pages = written_words ? space(bytes >> WRITTEN_PAGE) : NULL;
  if (!written_pages)
    return;
  written_base = base;
  written_bytes = bytes;
}

void written_mark(uint64_t address, uint64_t n) {
  uint64_t at = address - written_base, page = UINT64_C(1) << WRITTEN_PAGE;
  if (at >= written_bytes || !n || n > written_bytes - at)
    return;
  uint64_t first = (at + page - 1) >> WRITTEN_PAGE, end = (at + n) >> WRITTEN_PAGE;
  if (first >= end) {
    written_mark_few(address, n);
    return;
  }
  memset(written_pages + first, 1, end - first);
  if (at % page)
    written_mark_few(address, page - at % page);
  if ((at + n) % page)
    written_mark_few(written_base + end * page, (at + n) % page);
}

void written_forget(uint64_t address, uint64_t n) {
  uint64_t at = address - written_base, page = UINT64_C(1) << WRITTEN_PAGE;
  if (at >= written_bytes || !n || n > written_bytes - at)
    return;
  for (uint64_t p = at >> WRITTEN_PAGE; p <= (at + n - 1) >> WRITTEN_PAGE; p++) {
    uint64_t low = p * page > at ? p * page : at;
    uint64_t high = (p + 1) * page < at + n ? (p + 1) * page : at + n;
    uint64_t word = low >> WRITTEN_WORD;
    if (written_pages[p] && high - low < page) /* the rest of the page stays as it is */
      memset(written_words + (p * page >> WRITTEN_WORD), 1, page >> WRITTEN_WORD);
    written_pages[p] = 0;
    memset(written_words + word, 0, ((high - 1) >> WRITTEN_WORD) - word + 1);
  }
}
