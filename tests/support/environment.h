/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that the environment may give a test. */
#ifndef SINTER_TESTS_SUPPORT_ENVIRONMENT_H
#define SINTER_TESTS_SUPPORT_ENVIRONMENT_H

#include <stdint.h>
#include <stdlib.h>

static inline uint64_t number_from(const char *variable, uint64_t otherwise) {
  const char *text = getenv(variable);
  return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

#endif
