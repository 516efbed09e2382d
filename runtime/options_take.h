/* SPDX-License-Identifier: Apache-2.0 */
/* Options that callers of the public API give, in structs that begin with struct_size. */
#ifndef SINTER_RUNTIME_OPTIONS_TAKE_H
#define SINTER_RUNTIME_OPTIONS_TAKE_H

#include "base/status.h"

#include <stddef.h>

/* Fields that the caller's struct has; the others stay at their defaults, which are 0, as all do
 * where `given` is NULL. `size` is that of the struct as this library knows it. Errors: E0618. */
status options_take(const void *given, size_t size, void *out);

#endif
