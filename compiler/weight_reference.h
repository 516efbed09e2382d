/* SPDX-License-Identifier: Apache-2.0 */
/* Weights that stay where the model's external data has them: an engine of a large model is small
 * then, and made without reading them. */
#ifndef SINTER_COMPILER_WEIGHT_REFERENCE_H
#define SINTER_COMPILER_WEIGHT_REFERENCE_H

#include "base/diag.h"
#include "ir/graph.h"

/*
 * Marks the constants of m that engines are to refer to: those that lie, at a multiple of 64 B, in
 * a file beneath `folder` other than the model itself. All others are copied into the engine as
 * usual. Paths are relative to the folder, so that engine and files may be moved together. Errors:
 * E0904.
 */
status weights_by_reference(struct module *m, const char *model_path, const char *folder,
                            struct diags *diags);

#endif
