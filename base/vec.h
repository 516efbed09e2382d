/* SPDX-License-Identifier: Apache-2.0 */
/* A growing array of any type. Zero-initialised is empty; out of memory goes through mem.h.
 *
 *     VEC(int) v = {0};
 *     vec_push(&v, 7);
 *     for (uint32_t i = 0; i < v.len; i++) use(v.data[i]);
 *     vec_deinit(&v);
 *
 * The macros evaluate v more than once. Growth moves the elements: keep indices, not pointers. */
#ifndef SINTER_BASE_VEC_H
#define SINTER_BASE_VEC_H

#include "base/mem.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VEC(T)                                                                                     \
  struct {                                                                                         \
    T *data;                                                                                       \
    uint32_t len, cap;                                                                             \
  }

/* Grows to hold at least `need` elements; exhaustion past 2^32 - 1. */
void *vec_grow(void *data, uint32_t *cap, uint64_t need, size_t element_size);

/* Room for n elements in all. */
#define vec_reserve(v, n)                                                                          \
  ((uint64_t)(n) > (v)->cap                                                                        \
       ? (void)((v)->data = vec_grow((v)->data, &(v)->cap, (n), sizeof *(v)->data))                \
       : (void)0)
#define vec_push(v, x)                                                                             \
  (vec_reserve((v), (uint64_t)(v)->len + 1), (void)((v)->data[(v)->len] = (x)), (void)(v)->len++)
/* n more elements from p, which must not point into the vector. */
#define vec_append(v, p, n)                                                                        \
  (vec_reserve((v), (uint64_t)(v)->len + (n)),                                                     \
   (void)((n) ? memcpy((v)->data + (v)->len, (p), (size_t)(n) * sizeof *(v)->data) : NULL),        \
   (void)((v)->len += (uint32_t)(n)))
/* The last element, as an lvalue; the vector must not be empty. */
#define vec_last(v) ((v)->data[(assert((v)->len > 0), (v)->len - 1)])
/* Removes and yields the last element. */
#define vec_pop(v) ((v)->data[(assert((v)->len > 0), --(v)->len)])
#define vec_clear(v) ((void)((v)->len = 0))
#define vec_deinit(v)                                                                              \
  (mem_free((v)->data), (void)((v)->data = NULL), (void)((v)->len = (v)->cap = 0))

#endif
