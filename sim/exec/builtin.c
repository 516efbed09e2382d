/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that CUDA code calls and the driver has: printf, assert, malloc, free. */
#include "sim/exec/decode.h"
#include "sim/exec/device.h"

#include <ctype.h>
#include <stdio.h>

static uint8_t *argument_at(struct warp *w, uint32_t lane, const struct call_argument *a) {
  return w->local + (uint64_t)lane * w->local_bytes + w->frame->local_base + a->offset;
}

static uint64_t argument(struct warp *w, const struct inst *i, uint32_t lane, uint32_t k) {
  const struct call_site *c = i->call;
  const struct call_argument *a = &c->arguments[c->results + k];
  uint64_t v = 0;
  if (c->results + k >= c->count)
    return 0;
  if (a->in_memory)
    memcpy(&v, argument_at(w, lane, a), a->size < 8 ? a->size : 8);
  else
    v = lane_get(w, &a->value, lane);
  return v;
}

static void give(struct warp *w, const struct inst *i, uint32_t lane, uint64_t v) {
  const struct call_site *c = i->call;
  if (!c->results)
    return;
  const struct call_argument *a = &c->arguments[0];
  if (a->in_memory) {
    memcpy(argument_at(w, lane, a), &v, a->size < 8 ? a->size : 8);
  } else {
    lane_set(w, &a->value, lane, v);
    w->frame->written[a->value.reg] |= 1u << lane;
  }
}

/* Up to `size` - 1 characters of a string in device memory. False after a fault. */
static bool read_text(struct warp *w, const struct inst *i, uint32_t lane, uint64_t address,
                      char *out, size_t size) {
  size_t n = 0;
  for (; n + 1 < size; n++) {
    const uint8_t *p = resolve(w, i, lane, address + n, 1, ACCESS_READ);
    if (!p)
      return false;
    out[n] = (char)*p;
    if (!*p)
      break;
  }
  out[n] = 0;
  return true;
}

struct printing {
  struct warp *w;
  const struct inst *i;
  uint32_t lane;
  uint64_t next; /* address of the next value */
  bool failed;
};

static uint64_t next_value(struct printing *p, uint32_t bytes) {
  uint64_t v = 0;
  p->next = (p->next + bytes - 1) & ~(uint64_t)(bytes - 1);
  const uint8_t *at = resolve(p->w, p->i, p->lane, p->next, bytes, ACCESS_READ);
  if (at)
    memcpy(&v, at, bytes);
  else
    p->failed = true;
  p->next += bytes;
  return v;
}

/* One conversion, from its '%' up to its letter: how it is written. Returns what follows. */
static const char *conversion(struct printing *p, const char *format) {
  char piece[64] = "%", text[1024];
  uint32_t n = 1;
  bool wide = false;
  for (format++; *format && n < 40 && !isalpha((unsigned char)*format) && *format != '%'; format++)
    if (*format == '*')
      n += (uint32_t)snprintf(piece + n, 16, "%d", (int)next_value(p, 4));
    else
      piece[n++] = *format;
  for (; *format && strchr("hlLqjzt", *format); format++)
    wide |= *format != 'h';
  char letter = *format;
  switch (letter) {
  case '%': putchar('%'); break;
  case 'd':
  case 'i':
    memcpy(piece + n, "lld", 4);
    printf(piece, wide ? (long long)next_value(p, 8) : (long long)(int32_t)next_value(p, 4));
    break;
  case 'u':
  case 'x':
  case 'X':
  case 'o':
    snprintf(piece + n, sizeof piece - n, "ll%c", letter);
    printf(piece, (unsigned long long)next_value(p, wide ? 8 : 4));
    break;
  case 'c':
    memcpy(piece + n, "c", 2);
    printf(piece, (int)next_value(p, 4));
    break;
  case 'p':
    memcpy(piece + n, "p", 2);
    printf(piece, (void *)(uintptr_t)next_value(p, 8));
    break;
  case 's':
    memcpy(piece + n, "s", 2);
    if (read_text(p->w, p->i, p->lane, next_value(p, 8), text, sizeof text))
      printf(piece, text);
    break;
  case 'e':
  case 'E':
  case 'f':
  case 'F':
  case 'g':
  case 'G':
  case 'a':
  case 'A': {
    uint64_t bits = next_value(p, 8);
    double v;
    memcpy(&v, &bits, 8);
    snprintf(piece + n, sizeof piece - n, "%c", letter);
    printf(piece, v);
    break;
  }
  default: fputs(piece, stdout); return letter ? format + 1 : format;
  }
  return format + 1;
}

static void run_printf(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    char format[2048];
    struct printing p = {.w = w, .i = i, .lane = l, .next = argument(w, i, l, 1)};
    if (!read_text(w, i, l, argument(w, i, l, 0), format, sizeof format))
      return;
    flockfile(stdout);
    for (const char *at = format; *at && !p.failed;) {
      if (*at == '%')
        at = conversion(&p, at);
      else
        putchar(*at++);
    }
    funlockfile(stdout);
    give(w, i, l, 1);
  }
}

static void run_assert(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t l = (uint32_t)__builtin_ctz(mask);
  char what[200], file[200], function[200];
  if (!read_text(w, i, l, argument(w, i, l, 0), what, sizeof what) ||
      !read_text(w, i, l, argument(w, i, l, 1), file, sizeof file) ||
      !read_text(w, i, l, argument(w, i, l, 3), function, sizeof function))
    return;
  memory_fault_report(w, i, (int)l, FAULT_ASSERT, "assertion '%s' failed: %s:%u, %s", what, file,
                      (uint32_t)argument(w, i, l, 2), function);
}

static void run_malloc(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    uint64_t size = argument(w, i, l, 0);
    give(w, i, l, size ? device_alloc(w->cta->launch->device, size, ALLOCATION_DEVICE, NULL) : 0);
  }
}
static void run_free(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    uint64_t p = argument(w, i, l, 0);
    if (p && !device_free(p)) {
      memory_fault_report(w, i, (int)l, FAULT_LAUNCH_FAILED,
                          "free of 0x%llx, which malloc did not give or which is free",
                          (unsigned long long)p);
      return;
    }
  }
}

const struct builtin *builtin_find(const char *name) {
  static const struct builtin all[] = {
      {"vprintf", run_printf},
      {"__assertfail", run_assert},
      {"malloc", run_malloc},
      {"free", run_free},
  };
  for (uint32_t k = 0; k < sizeof all / sizeof *all; k++)
    if (!strcmp(all[k].name, name))
      return &all[k];
  return NULL;
}
