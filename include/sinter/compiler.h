/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sinter's compiler: an ONNX model to an engine file, which sinter/runtime.h opens and runs.
 *
 *     sinter_diagnostics *problems;
 *     sinter_compiler_options options = { .struct_size = sizeof options, .target = "x86-64-v3" };
 *     if (sinter_compile("model.onnx", "model.sinter", &options, &problems))
 *       fputs(sinter_diagnostics_text(problems), stderr);
 *     sinter_diagnostics_destroy(problems);
 *
 * Trust. Models may come from anyone: what is wrong with one is a diagnostic, never a crash, and
 * external data is read from beneath the model's own folder only. Engines are native code: see
 * sinter/runtime.h.
 *
 * Threads. Calls from several threads at once are independent. The compiler starts threads of its
 * own and ends them before it returns.
 *
 * The same model, options and compiler give the same bytes, wherever and whenever they are
 * compiled.
 *
 * Options structs begin with struct_size, which the caller sets to sizeof the struct: fields that a
 * caller compiled against an older header does not have take their defaults. A field of 0 or NULL
 * is its default.
 */
#ifndef SINTER_COMPILER_H
#define SINTER_COMPILER_H

#include "sinter/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- Diagnostics: everything a call has to say about a model --- */

typedef struct sinter_diagnostics sinter_diagnostics;

/* One of them. Strings belong to the list; those that are not known are "". */
typedef struct sinter_diagnostic {
  const char *code;    /* "E0140"; stable over releases */
  int is_error;        /* 0: a warning */
  const char *message; /* one line, without the code */
  const char *hint;    /* what to do about it */
  const char *file;    /* where: the model, or a file it refers to */
  const char *node;    /* the ONNX node's name */
  const char *op;      /* its operator, "com.microsoft::Attention" */
  int32_t node_index;  /* its place in its graph; -1: not a node */
} sinter_diagnostic;

/* How many there are, warnings included, in the order of their discovery. NULL has none. */
SINTER_API uint32_t sinter_diagnostics_count(const sinter_diagnostics *list);

/* Fills *out with the index-th. SINTER_USAGE for an index out of range. */
SINTER_API sinter_status sinter_diagnostics_get(const sinter_diagnostics *list, uint32_t index,
                                                sinter_diagnostic *out);

/* All of them as text for people, one or more lines each; "" if there are none. Belongs to the
 * list. */
SINTER_API const char *sinter_diagnostics_text(const sinter_diagnostics *list);

/* All of them as a JSON array of objects. Belongs to the list. */
SINTER_API const char *sinter_diagnostics_json(const sinter_diagnostics *list);

/* NULL is allowed. */
SINTER_API void sinter_diagnostics_destroy(sinter_diagnostics *list);

/* --- Compiling --- */

/*
 * Called on the thread that called sinter_compile when a phase begins: its name ("import",
 * "passes", "kernels"), how many phases are done and how many there are. Anything but 0 ends the
 * compilation with SINTER_CANCELLED before that phase.
 */
typedef int sinter_progress(void *user, const char *phase, uint32_t done, uint32_t total);

typedef struct sinter_compiler_options {
  size_t struct_size;
  const char *target; /* "native" (the default): the best level of the psABI that this machine runs;
                         "x86-64-v2", "x86-64-v3", "x86-64-v4", or several of them:
                         "x86-64-v3,x86-64-v4"; or GPUs: "sm_80,sm_90" */
  const char *const *shapes; /* what inputs look like where the model leaves it open, each
                                "name:1..8x3x224x224": a number, a range, a dim's name, or ? for
                                what the model says */
  size_t n_shapes;
  const char *external_data_root; /* a folder to trust: external data may lie, and links may lead,
                                     anywhere beneath it. NULL: the model's own folder, untrusted */
  uint32_t threads;               /* to compile with; 0: one per cpu */
  const char *disabled_passes;    /* "fold,cse": leave these out; `sinter passes` lists them */
  sinter_progress *progress;
  void *progress_user;
  const char *const *specialize; /* sizes that are worth code of their own, each "symbol=value" or
                                    several of them, "batch=1,sequence=128" */
  size_t n_specialize;
  const char *ptxas; /* for GPUs: the path of NVIDIA's assembler, which makes their own code beside
                        PTX. NULL: what PATH, CUDA_HOME or /usr/local/cuda has; "none" */
  const char *precision; /* of products: "f32", "tf32", "f16", "bf16", and patterns of nodes or
                            operators, "bf16,Gemm=f32". NULL: as the model says */
} sinter_compiler_options;

/*
 * Compiles the ONNX model at model_path (or text IR, if its name ends in .sir) to the file
 * engine_path, which appears only when it is complete; an older file of that name is replaced then.
 * options may be NULL. *out_diagnostics, unless out_diagnostics is NULL, is set whatever the
 * result, and is the caller's to destroy; it holds every problem that was found, not the first
 * only.
 *
 * Errors: SINTER_INVALID the model breaks ONNX's rules; SINTER_UNSUPPORTED it is sound, but has an
 * operator or a use of one that is not supported; SINTER_USAGE an option or a path is wrong;
 * SINTER_RESOURCES memory, disk (when memory runs out, the model's own mapping may stay until the
 * process ends); SINTER_CANCELLED by progress; SINTER_INTERNAL a mistake of ours.
 */
SINTER_API sinter_status sinter_compile(const char *model_path, const char *engine_path,
                                        const sinter_compiler_options *options,
                                        sinter_diagnostics **out_diagnostics);

/*
 * Imports the model only: finds out whether it is supported, with every problem listed, and writes
 * nothing. Of the options, shapes and external_data_root count. Otherwise as sinter_compile.
 */
SINTER_API sinter_status sinter_check(const char *model_path,
                                      const sinter_compiler_options *options,
                                      sinter_diagnostics **out_diagnostics);

#ifdef __cplusplus
}
#endif

#endif
