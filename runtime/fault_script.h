/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failures that are asked for, to test what follows them: "rank=2 step=7 fail; rank=0 step=1 oom".
 * Steps count from 1 over all that a rank runs, in loops each time. A failure happens once.
 */
#ifndef SINTER_RUNTIME_FAULT_SCRIPT_H
#define SINTER_RUNTIME_FAULT_SCRIPT_H

#include "base/status.h"

#include <stdint.h>

enum fault_kind {
  FAULT_NONE,
  FAULT_FAIL,    /* the step reports an error */
  FAULT_OOM,     /* the step runs out of memory */
  FAULT_STALL,   /* the step does not end, until another rank gives up or the run is cancelled */
  FAULT_KILL,    /* of a rank that is a process: it ends by SIGKILL; a thread stalls */
  FAULT_CORRUPT, /* the rank's next exchange says something wrong about itself */
  FAULT_CORRUPT_PAYLOAD, /* an element of it changes on its way */
};

struct planned_fault {
  enum fault_kind kind;
  uint64_t step;
};

/* The failure asked for on a rank; kind NONE: none. script NULL: none. Errors, reported: E0618. */
status fault_script_read(const char *script, uint32_t rank, struct planned_fault *out);

#endif
