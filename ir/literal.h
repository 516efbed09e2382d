/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as the bits of an element, and as text that reads back to the same bits. */
#ifndef SINTER_IR_LITERAL_H
#define SINTER_IR_LITERAL_H

#include "base/dtype.h"
#include "base/str.h"

/* The bits of an element (low dtype_bits of the result) for a number: floats round to nearest even;
 * the floats of at most 8 bits saturate. Integers wrap. Not for strings. */
uint64_t literal_bits_f64(enum dtype float_dtype, double x);
uint64_t literal_bits_i64(enum dtype int_or_bool_dtype, int64_t x);
/* And back. */
double literal_f64(enum dtype float_dtype, uint64_t bits);
int64_t literal_i64(enum dtype int_or_bool_dtype, uint64_t bits);

/* The shortest decimal that reads back as x (as a float, where `single`), always with a point or an
 * exponent; inf, -inf, nan. */
void literal_print_f64(double x, bool single, struct strbuf *out);
/* An integer of a dtype (u64 bit-cast), or true and false. */
void literal_print_i64(enum dtype dtype, int64_t x, struct strbuf *out);
/* A string in quotes: \" \\ and \xHH for what is not printable. */
void literal_print_string(const char *s, struct strbuf *out);
void literal_print_bytes(const char *s, size_t n, struct strbuf *out);

#endif
