/* SPDX-License-Identifier: Apache-2.0 */
/* The first reader of hostile bytes: walks a protobuf message without recursion before
 * protobuf-c sees it.
 *
 * protobuf-c recurses without limit, turns two bytes into a 200-byte struct, keeps unknown
 * fields, cuts strings at a NUL and copies every byte field. So the scan
 *   - bounds nesting (WIRE_DEPTH_MAX) and the memory that unpacking will take,
 *   - checks every tag, wire type, length and packed list, and that strings are UTF-8 without NUL,
 *   - refuses what protobuf would silently merge: a singular message or byte field given twice,
 *   - drops fields that onnx.proto does not know,
 *   - leaves large TensorProto.raw_data in the file: the field is replaced by TensorProto.cut, the
 *     1-based index into a table of (offset, size). No input may contain that field, so the marker
 *     cannot be forged.
 * The tables are protobuf-c's own descriptors of onnx.proto: the schema is said once.
 *
 * Dropped and replaced fields shrink the messages around them. Their length prefixes are
 * rewritten at their old width (a varint may carry trailing zero groups), so the compact stream
 * is a plain copy with edits. Where nothing was dropped or replaced there is no copy at all. */
#ifndef SINTER_FRONTEND_ONNX_WIRE_SCAN_H
#define SINTER_FRONTEND_ONNX_WIRE_SCAN_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/status.h"
#include "base/vec.h"

enum {
  WIRE_DEPTH_MAX = 100,       /* nested messages, as Google's protobuf */
  WIRE_CUT_ABOVE = 64 * 1024, /* bytes; smaller raw_data is copied by protobuf-c */
};

struct wire_cut {
  uint64_t offset; /* in the scanned bytes */
  uint64_t size;
};

struct wire_scan_options {
  const char *file;      /* for diagnostics */
  uint64_t cut_above;    /* raw_data longer than this is cut; UINT64_MAX: none */
  uint64_t memory_limit; /* bytes that unpacking may take; 0: wire_memory_limit(size) */
};

struct wire_scan {
  const uint8_t *bytes; /* what to unpack: the input itself, or `rewritten` */
  size_t size;
  uint8_t *rewritten; /* owned; NULL if the input needed no edit */
  VEC(struct wire_cut) cuts;
  uint64_t memory;   /* estimate of the unpacked tree, in bytes */
  uint64_t messages; /* number of messages met */
};

/* The memory that unpacking `size` bytes may take: fixed slack plus a multiple of the size that
 * real models stay far below. */
uint64_t wire_memory_limit(uint64_t size);

/* Scans `size` bytes as one message of `type`. Structural errors end the scan; bad strings are
 * all reported. Diagnostics name the byte offset and the path of fields. On failure *out needs
 * no deinit. The input must outlive *out.
 * Errors: E0103, E0105, E0106, E0109; W0101 for dropped fields. */
status wire_scan_run(const uint8_t *bytes, size_t size, const ProtobufCMessageDescriptor *type,
                     const struct wire_scan_options *options, struct diags *diags,
                     struct wire_scan *out);
void wire_scan_deinit(struct wire_scan *scan);

/* True if the bytes are UTF-8 (no surrogates, no overlong forms) without NUL. */
bool wire_utf8_valid(const uint8_t *bytes, size_t size);

#endif
