/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs, run to their end; see process.h. */
#include "base/process.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int start(const char *const *argv, const char *folder, int output, pid_t *out_pid) {
  posix_spawn_file_actions_t actions;
  int error = posix_spawn_file_actions_init(&actions);
  if (error)
    return error;
  error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (!error)
    error = posix_spawn_file_actions_adddup2(&actions, output, 1);
  if (!error)
    error = posix_spawn_file_actions_adddup2(&actions, output, 2);
  if (!error && folder)
    error = posix_spawn_file_actions_addchdir_np(&actions, folder);
  if (!error)
    error = posix_spawn(out_pid, argv[0], &actions, NULL, (char *const *)argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

/* Until the last holder of the pipe's other end is gone. False: time is over. */
static bool read_all(int from, double deadline, char *text, size_t size) {
  size_t used = 0;
  text[0] = '\0';
  for (;;) {
    char piece[4096];
    struct pollfd p = {.fd = from, .events = POLLIN};
    double left = deadline - clock_now_s();
    if (left <= 0)
      return false;
    int ready = poll(&p, 1, left > 1e6 ? 1000000000 : (int)(left * 1e3) + 1);
    if (ready < 0 && errno != EINTR)
      return true;
    if (ready <= 0)
      continue;
    ssize_t n = read(from, piece, sizeof piece);
    if (n <= 0)
      return true;
    for (ssize_t i = 0; i < n && used + 1 < size; i++)
      text[used++] = piece[i];
    text[used] = '\0';
  }
}

/* A program that closes its output may go on: it has what is left of its time. */
static bool wait_until(pid_t pid, double deadline, int *out_how) {
  const struct timespec pause = {.tv_nsec = 1000000};
  for (;;) {
    pid_t got = waitpid(pid, out_how, WNOHANG);
    if (got == pid)
      return true;
    if (got < 0 && errno != EINTR)
      return false;
    if (clock_now_s() >= deadline)
      return false;
    nanosleep(&pause, NULL);
  }
}

enum process_end process_run(const char *const *argv, const char *folder, double seconds,
                             char *text, size_t size, int *out_exit) {
  int pipes[2], how = 0;
  pid_t pid;
  double deadline = clock_now_s() + seconds;
  text[0] = '\0';
  *out_exit = 0;
  if (pipe2(pipes, O_CLOEXEC) != 0) {
    *out_exit = errno;
    return PROCESS_NOT_STARTED;
  }
  *out_exit = start(argv, folder, pipes[1], &pid);
  close(pipes[1]);
  if (*out_exit) {
    close(pipes[0]);
    return PROCESS_NOT_STARTED;
  }
  bool ended = read_all(pipes[0], deadline, text, size) && wait_until(pid, deadline, &how);
  if (!ended) {
    kill(pid, SIGKILL);
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR)
      ;
  }
  close(pipes[0]);
  if (!ended)
    return PROCESS_TIMED_OUT;
  *out_exit = WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how);
  return WIFEXITED(how) ? PROCESS_EXITED : PROCESS_KILLED;
}
