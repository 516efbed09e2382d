/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of an engine file outside of its sections: header and section table, and the limits the
 * loader holds files to. docs/engine-format.md is the description for people. The manifest section
 * is engine.proto.
 *
 *     page 0          struct engine_header, then section_count × struct engine_section, then zeros
 *     page k…         sections, each at a multiple of ENGINE_PAGE, zeros between them
 *
 * All numbers are little-endian. Digests are XXH3-128 in canonical (big-endian) byte order.
 */
#ifndef SINTER_RUNTIME_ENGINE_FORMAT_H
#define SINTER_RUNTIME_ENGINE_FORMAT_H

#include <stdint.h>

#define ENGINE_MAGIC "\x7fSNTR\r\n\x1a" /* 8 bytes; a text-mode transfer damages it visibly */
#define ENGINE_FORMAT_VERSION 1u
#define ENGINE_PAGE 4096u
#define ENGINE_WEIGHT_ALIGNMENT 64u

/* Limits of one file. A writer refuses to exceed them, a loader refuses what does. */
#define ENGINE_MAX_SECTIONS 16u
#define ENGINE_MAX_MANIFEST (256u << 20)
#define ENGINE_MAX_ROWS (1u << 24) /* of any table of the manifest */
#define ENGINE_MAX_RANK 16u        /* dims of a value */
#define ENGINE_MAX_ARGUMENTS 4096u /* buffers and dims of one launch */
#define ENGINE_MAX_NESTING 64u     /* blocks in blocks, aliases of aliases */
#define ENGINE_MAX_RANKS 4096u
#define ENGINE_MAX_AXES 8u          /* of the mesh, and of a group */
#define ENGINE_MAX_GROUPS 64u       /* lists of axes along which ranks exchange */
#define ENGINE_MAX_PARTS 64u        /* values of one exchange */
#define ENGINE_MAX_TARGET_NAME 192u /* with the terminating zero */

enum engine_section_kind {
  ENGINE_SECTION_MANIFEST = 1, /* exactly one: engine.proto's Manifest */
  ENGINE_SECTION_CODE =
      2, /* one per target: position-independent machine code and its read-only data */
  ENGINE_SECTION_WEIGHTS = 3, /* at most one: the constants, at the offsets the manifest gives */
  ENGINE_SECTION_TUNING =
      4, /* at most one: the tuning record the compiler used; the runtime does not read it */
};

struct engine_header {
  uint8_t magic[8];
  uint32_t version; /* ENGINE_FORMAT_VERSION */
  uint32_t section_count;
  uint64_t file_bytes;
  uint64_t reserved;  /* 0 */
  uint8_t digest[16]; /* of the header up to this field, followed by the section table */
};

struct engine_section {
  uint32_t kind;
  uint32_t reserved; /* 0 */
  uint64_t offset;   /* a multiple of ENGINE_PAGE */
  uint64_t bytes;
  uint8_t digest[16];
  char target[ENGINE_MAX_TARGET_NAME]; /* code sections; zero-filled */
};

_Static_assert(sizeof(struct engine_header) == 48, "the header is part of the file format");
_Static_assert(sizeof(struct engine_section) == 232,
               "the section table is part of the file format");
_Static_assert(sizeof(struct engine_header) + ENGINE_MAX_SECTIONS * sizeof(struct engine_section) <=
                   ENGINE_PAGE,
               "header and table fit in the first page");

/* Kinds of dim expression; see expr_op.def. 0 is none. */
enum expr_op {
#define EXPR_OP(name, number, text) EXPR_##name = number,
#include "runtime/expr_op.def"
#undef EXPR_OP
  EXPR_OP_COUNT
};

/* Kinds of step; see plan_op.def. */
enum plan_op {
#define PLAN_OP(name, field, number, text) PLAN_##name = number,
#include "runtime/plan_op.def"
#undef PLAN_OP
  PLAN_OP_END
};

/*
 * A kernel of a code section. args is a flat array of 8-byte slots: [0] points to the session's
 * int64_t error word, then one pointer per buffer, then one int64_t per dim, as the launch step
 * lists them. [first, last) is a range of the tile grid, scratch is this thread's own memory,
 * 64-byte aligned, of the size the launch step gives. Pointers to arena, dynamic and constant
 * values are 64-byte aligned; inputs, outputs and aliases only as their element type needs. A
 * kernel that finds an error (an index out of range) stores provenance row + 1 in the error word,
 * if that still holds 0, and goes on.
 */
typedef void kernel_function(const uint64_t *args, uint32_t first, uint32_t last, void *scratch);

/*
 * A kernel of a GPU's code section is an .entry of a PTX module (a text, zero-terminated) that
 * begins at its code offset. Its parameters are the slots as one array, u32 tiles, u64 address of
 * scratch and u64 bytes of scratch per thread. Thread t of n takes tiles t, t + n, ...: any grid is
 * right, of blocks of at most GPU_THREADS_PER_BLOCK threads. Where the manifest gives the kernel's
 * block_threads, blocks have exactly these and take the place of threads;
 * shared_bytes are the block's dynamic shared memory.
 */
#define GPU_THREADS_PER_BLOCK 128u
#define GPU_MOST_THREADS 1024u       /* of a block */
#define GPU_MOST_SHARED (227u << 10) /* bytes of a block, of any GPU */

#endif
