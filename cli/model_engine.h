/* SPDX-License-Identifier: Apache-2.0 */
/* An engine for a verb that runs one: the given file, or compiled from the given model. */
#ifndef SINTER_CLI_MODEL_ENGINE_H
#define SINTER_CLI_MODEL_ENGINE_H

#include "cli/verb.h"
#include "compiler/compile_driver.h"
#include "sinter/runtime.h"

/* The compile options among a verb's options. Lists stay those of `o`. */
void compiler_options_from(struct invocation *v, const char *model, struct compiler_options *out);

/* Whether the file begins as an engine does. E0903 if it cannot be read. */
status file_is_engine(const char *path, struct diags *d, bool *out_is);

/* Compiles to a file in the temporary folder ($TMPDIR) that has lost its name before this returns.
 */
status engine_from_model(const struct compiler_options *o, struct diags *d, sinter_engine **out);
/* The same for an imported module, which its passes change. */
status engine_from_module(const struct compiler_options *o, struct module *m, struct diags *d,
                          sinter_engine **out);

/* Opens an engine, or compiles a model. Compile options beside an engine are E0803. */
status engine_for_verb(struct invocation *v, const char *path, sinter_engine **out);

/* Opens an engine file; --weights-root counts. */
status engine_from_file(const struct options *o, const char *path, struct diags *d,
                        sinter_engine **out);

/* The entry that --entry names, or the first. E0601. */
status engine_entry(const struct options *o, const sinter_engine *e, struct diags *d,
                    uint32_t *out_entry);

#endif
