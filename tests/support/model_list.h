/* SPDX-License-Identifier: Apache-2.0 */
/* Models for tests that change them. */
#ifndef SINTER_TESTS_SUPPORT_MODEL_LIST_H
#define SINTER_TESTS_SUPPORT_MODEL_LIST_H

#include <stdint.h>

struct model_list {
  char **paths; /* by name */
  uint32_t n;
};

/* model.onnx of each folder in `folder`; none where that cannot be read. They are kept until the
 * program ends. */
struct model_list model_list_of(const char *folder);

#endif
