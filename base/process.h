/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs, run to their end within bounds. */
#ifndef SINTER_BASE_PROCESS_H
#define SINTER_BASE_PROCESS_H

#include <stddef.h>

enum process_end {
  PROCESS_EXITED,     /* by itself: out_exit */
  PROCESS_KILLED,     /* by a signal: out_exit is its number */
  PROCESS_TIMED_OUT,  /* it was killed when its time was over */
  PROCESS_NOT_STARTED /* out_exit is errno */
};

/* Runs argv[0], a path, in `folder` (NULL: here), without input. What it prints to standard output
 * and standard error goes to `text`, zero-terminated, up to `size` - 1 bytes; the rest is dropped.
 * Neither allocates nor touches signals; from any thread. */
enum process_end process_run(const char *const *argv, const char *folder, double seconds,
                             char *text, size_t size, int *out_exit);

#endif
