/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises files that are given as ONNX by mistake, so that the message can name them. */
#ifndef SINTER_FRONTEND_ONNX_WIRE_SNIFF_H
#define SINTER_FRONTEND_ONNX_WIRE_SNIFF_H

#include <stddef.h>
#include <stdint.h>

struct wire_sniff {
  const char *what; /* "a ZIP archive"; NULL if nothing known was recognised */
  const char *hint; /* may be NULL */
};

/* Looks at the first bytes only. `size` is that of the whole file. */
struct wire_sniff wire_sniff_content(const uint8_t *bytes, size_t size);

#endif
