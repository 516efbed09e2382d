/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the built program; see program.h. */
#include "tests/support/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static char folder[] = "/tmp/sinter_program_XXXXXX";
static int has_folder;

const char *program_folder(void) {
  if (!has_folder && !mkdtemp(folder)) {
    perror(folder);
    exit(1);
  }
  has_folder = 1;
  return folder;
}

const char *program_path(const char *name) {
  static char paths[64][256];
  char path[256];
  snprintf(path, sizeof path, "%s/%s", program_folder(), name);
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    if (!paths[i][0])
      memcpy(paths[i], path, sizeof path);
    if (!strcmp(paths[i], path))
      return paths[i];
  }
  fprintf(stderr, "too many files in a test\n");
  exit(1);
}

void program_clean(void) {
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  if (has_folder && system(command))
    perror(command);
}

void program_write(const char *name, const void *bytes, size_t n) {
  FILE *f = fopen(program_path(name), "wb");
  if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) {
    perror(name);
    exit(1);
  }
}

/* ---- running ---- */

_Noreturn static void become(const char *const *args, int err) {
  const char *argv[32] = {"sinter"};
  for (int i = 0; args[i] && i < 30; i++)
    argv[i + 1] = args[i];
  struct rlimit none = {0, 0}, memory = {2u << 30, 2u << 30};
  setrlimit(RLIMIT_CORE, &none);
  if (!SANITIZED)
    setrlimit(RLIMIT_AS, &memory);
  int null = open("/dev/null", O_RDWR);
  dup2(null, 0);
  dup2(null, 1);
  dup2(err, 2);
  setenv("ASAN_OPTIONS", "allocator_may_return_null=1", 0); /* as malloc may, without it */
  alarm(30);
  execv(SINTER_TEST_BUILD_DIR "/sinter", (char *const *)argv);
  _exit(127);
}

void program_run(const char *const *args, struct program_end *out) {
  struct rusage use;
  int how;
  FILE *err = fopen(program_path("stderr"), "w+");
  *out = (struct program_end){.exit_code = -1};
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0)
    become(args, fileno(err));
  if (pid < 0 || wait4(pid, &how, 0, &use) < 0) {
    perror("sinter");
    exit(1);
  }
  if (WIFEXITED(how))
    out->exit_code = WEXITSTATUS(how);
  else
    out->signal = WTERMSIG(how);
  out->cpu_seconds = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                     1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
  out->peak_mib = use.ru_maxrss >> 10;
  rewind(err);
  out->err[fread(out->err, 1, sizeof out->err - 1, err)] = 0;
  fclose(err);
}

int program_refuses(const char *name, const char *code, long peak_mib, const char *const *args) {
  struct program_end end;
  char wanted[32];
  const char *problem = NULL;
  program_run(args, &end);
  snprintf(wanted, sizeof wanted, "error[%s", code ? code : "E");
  if (end.exit_code < 0)
    problem = strsignal(end.signal);
  else if (end.exit_code < 2 || end.exit_code > 5)
    problem = end.exit_code ? "another exit code" : "was accepted";
  else if (!strstr(end.err, wanted))
    problem = "does not say so";
  else if (end.cpu_seconds > (SANITIZED ? 10 : 1))
    problem = "takes too long";
  else if (!SANITIZED && end.peak_mib > peak_mib)
    problem = "takes too much memory";
  if (!problem)
    return 0;
  printf("%s: sinter %s: %s; exit code %d, %.2f s, %ld MiB, wanted %s...\n%.1200s\n", name, args[0],
         problem, end.exit_code, end.cpu_seconds, end.peak_mib, wanted, end.err);
  return 1;
}
