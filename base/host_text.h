/* SPDX-License-Identifier: Apache-2.0 */
/* Text as host functions see it: UTF-8, case, numbers. */
#ifndef SINTER_BASE_HOST_TEXT_H
#define SINTER_BASE_HOST_TEXT_H

#include "base/dtype.h"
#include "base/host_strings.h"

#define UTF8_MOST 4 /* bytes of one code point */

/* Bytes of the code point at the front of `text`, which is not empty. A byte that begins none is
 * its own, *out = -1. */
size_t utf8_decode(struct host_string text, int32_t *out);
size_t utf8_encode(int32_t code_point, char out[UTF8_MOST]);

/* Unicode's simple mapping of one code point to one. */
int32_t case_lower(int32_t code_point);
int32_t case_upper(int32_t code_point);

/* Runs of these separate words: blanks and ends of lines of ASCII. */
static inline bool text_is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

#define TEXT_NUMBER_ROOM 64

/* An element of type f64, f32, an integer of at least 8 bits or bool as text; returns its length.
 */
size_t text_format(enum dtype dtype, const void *element, char out[TEXT_NUMBER_ROOM]);
/* The reverse; false for text that is no such number. White space around it does not count. */
bool text_parse(struct host_string text, enum dtype dtype, void *out);

#endif
