/* SPDX-License-Identifier: Apache-2.0 */
/* Test cases in child processes. A child writes its outcome (one byte) and its reason to a pipe;
 * one that dies before is a failure that says how it died. */
#include "cli/test_jobs.h"

#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct job {
  uint32_t at; /* of the result */
  pid_t pid;
  int fd;
  struct strbuf said;
  double begin;
  bool timed_out;
};

struct pool_state {
  struct test_jobs *jobs;
  struct job *running;
  uint32_t n_running, next, n_done, n_told;
  char folder[4096]; /* temporary, of all children */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) { interrupted = number; }

/* ---- the child ---- */

static void limit_memory(uint64_t bytes) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  (void)bytes; /* shadow memory is most of the address space */
#else
  struct rlimit limit = {bytes, bytes};
  if (bytes)
    setrlimit(RLIMIT_AS, &limit);
#endif
}

static void write_all(int fd, const char *data, size_t n) {
  while (n) {
    ssize_t written = write(fd, data, n);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return;
    data += written;
    n -= (size_t)written;
  }
}

_Noreturn static void child(const struct pool_state *p, const char *case_folder, int fd) {
  struct rlimit no_core = {0, 0};
  struct strbuf reason = {0};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setrlimit(RLIMIT_CORE, &no_core);
  limit_memory(p->jobs->memory_limit);
  file_remove_temporaries_on_signal();
  setenv("TMPDIR", p->folder, 1);
  char outcome = (char)('0' + test_case_run(p->jobs->settings, case_folder, &reason));
  write_all(fd, &outcome, 1);
  write_all(fd, strbuf_c(&reason), reason.len);
  _exit(0);
}

/* ---- the parent ---- */

static status start(struct pool_state *p, struct diags *d) {
  int ends[2];
  struct test_result *result = &p->jobs->results[p->next];
  if (pipe2(ends, O_CLOEXEC))
    return diag_report(d, DIAG_E0902, NULL, NULL, "cannot make a pipe: %s", strerror(errno));
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0)
    child(p, result->folder, ends[1]);
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    return diag_report(d, DIAG_E0902, NULL, NULL, "cannot start a process: %s", strerror(errno));
  }
  p->running[p->n_running++] =
      (struct job){.at = p->next++, .pid = pid, .fd = ends[0], .begin = clock_now_s()};
  return STATUS_OK;
}

static void describe_death(const struct pool_state *p, const struct job *job, int how,
                           struct strbuf *out) {
  if (job->timed_out)
    strbuf_printf(out, "took more than %g s", p->jobs->timeout_s);
  else if (WIFSIGNALED(how))
    strbuf_printf(out, "ended by signal %d (%s)", WTERMSIG(how), strsignal(WTERMSIG(how)));
  else if (WIFEXITED(how) && WEXITSTATUS(how) == status_exit_code(STATUS_RESOURCES))
    strbuf_append_c(out, "ran out of memory");
  else
    strbuf_printf(out, "ended with exit code %d", WIFEXITED(how) ? WEXITSTATUS(how) : -1);
}

static void finish(struct pool_state *p, uint32_t i) {
  struct job *job = &p->running[i];
  struct test_result *result = &p->jobs->results[job->at];
  struct strbuf reason = {0};
  int how = 0;
  close(job->fd);
  while (waitpid(job->pid, &how, 0) < 0 && errno == EINTR)
    continue;
  bool told = job->said.len > 0 && job->said.data[0] >= '0' && job->said.data[0] <= '2';
  result->outcome = told ? (enum test_outcome)(job->said.data[0] - '0') : TEST_FAILED;
  if (told)
    strbuf_append_c(&reason, job->said.data + 1);
  else
    describe_death(p, job, how, &reason);
  for (size_t c = 0; c < reason.len; c++)
    if ((unsigned char)reason.data[c] < ' ')
      reason.data[c] = ' ';
  result->reason = reason.data;
  result->seconds = clock_now_s() - job->begin;
  result->done = true;
  strbuf_deinit(&job->said);
  p->running[i] = p->running[--p->n_running];
  p->n_done++;
}

/* True if the child has said all. */
static bool read_some(struct job *job) {
  char buffer[4096];
  ssize_t n = read(job->fd, buffer, sizeof buffer);
  if (n > 0)
    strbuf_append(&job->said, buffer, (size_t)n);
  return n == 0 || (n < 0 && errno != EINTR);
}

static void kill_late(struct pool_state *p) {
  for (uint32_t i = 0; i < p->n_running; i++)
    if (clock_now_s() - p->running[i].begin > p->jobs->timeout_s && !p->running[i].timed_out) {
      p->running[i].timed_out = true;
      kill(p->running[i].pid, SIGKILL);
    }
}

static void wait_for_news(struct pool_state *p) {
  struct pollfd fds[TEST_JOBS_MOST];
  for (uint32_t i = 0; i < p->n_running; i++)
    fds[i] = (struct pollfd){.fd = p->running[i].fd, .events = POLLIN};
  int ready = poll(fds, p->n_running, 200);
  kill_late(p);
  for (uint32_t i = p->n_running; ready > 0 && i-- > 0;)
    if (fds[i].revents && read_some(&p->running[i]))
      finish(p, i);
}

static void tell(struct pool_state *p) {
  struct test_jobs *j = p->jobs;
  while (p->n_told < j->n && j->results[p->n_told].done) {
    if (j->on_result)
      j->on_result(j->user, &j->results[p->n_told]);
    p->n_told++;
  }
  if (j->on_change)
    j->on_change(j->user, p->n_done);
}

static void end_all(struct pool_state *p) {
  for (uint32_t i = 0; i < p->n_running; i++)
    kill(p->running[i].pid, SIGKILL);
  while (p->n_running)
    finish(p, p->n_running - 1);
}

/* ---- the temporary folder ---- */

static status make_folder(struct pool_state *p, struct diags *d) {
  const char *parent = getenv("TMPDIR");
  int n = snprintf(p->folder, sizeof p->folder, "%s/sinter-test-XXXXXX",
                   parent && *parent ? parent : "/tmp");
  if (n >= (int)sizeof p->folder || !mkdtemp(p->folder))
    return diag_report(d, DIAG_E0905, NULL, "set TMPDIR to a folder with room",
                       "cannot make a temporary folder: %s", strerror(errno));
  return STATUS_OK;
}

/* Children that were killed leave files. */
static void remove_folder(const struct pool_state *p) {
  DIR *dir = opendir(p->folder);
  for (struct dirent *e; dir && (e = readdir(dir));)
    unlinkat(dirfd(dir), e->d_name, 0);
  if (dir)
    closedir(dir);
  rmdir(p->folder);
}

static void catch_interrupts(void) {
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction action = {.sa_handler = on_interrupt};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    struct sigaction old;
    /* A parent that ignores a signal (nohup) means it. */
    if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
      sigaction(numbers[i], &action, NULL);
  }
}

status test_jobs_run(struct test_jobs *jobs, struct diags *d) {
  struct pool_state p = {.jobs = jobs};
  struct job running[TEST_JOBS_MOST];
  p.running = running;
  status s = make_folder(&p, d);
  if (s)
    return s;
  catch_interrupts();
  while (!s && !interrupted && p.n_done < jobs->n) {
    while (!s && p.n_running < jobs->parallel && p.next < jobs->n)
      s = start(&p, d);
    tell(&p);
    if (p.n_running)
      wait_for_news(&p);
  }
  if (interrupted)
    s = STATUS_CANCELLED;
  else
    tell(&p);
  end_all(&p);
  remove_folder(&p);
  file_remove_temporaries_on_signal();
  return s;
}
