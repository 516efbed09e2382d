/* SPDX-License-Identifier: Apache-2.0 */
/* Files: limits, mappings, and writers that leave all or nothing. */
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char folder[] = "/tmp/sinter-test-XXXXXX";
static char path[64];

static int make_folder(void **state) {
  (void)state;
  if (!mkdtemp(folder))
    return -1;
  snprintf(path, sizeof path, "%s/engine", folder);
  return 0;
}

static int remove_folder(void **state) {
  (void)state;
  unlink(path);
  return rmdir(folder);
}

static int entries(void) {
  int n = 0;
  DIR *d = opendir(folder);
  while (readdir(d))
    n++;
  closedir(d);
  return n - 2;
}

static void write_text(const char *text) {
  struct file_writer w;
  assert_int_equal(file_writer_open(path, NULL, &w), STATUS_OK);
  fputs(text, w.stream);
  assert_int_equal(file_writer_commit(&w, NULL), STATUS_OK);
}

static void expect_text(const char *text) {
  char *data;
  size_t size;
  assert_int_equal(file_read(path, 100, NULL, &data, &size), STATUS_OK);
  assert_int_equal(size, strlen(text));
  assert_string_equal(data, text);
  mem_free(data);
}

static void committed_files_replace_aborted_ones_do_not(void **state) {
  (void)state;
  struct file_writer w;
  write_text("one");
  write_text("two");
  assert_int_equal(file_writer_open(path, NULL, &w), STATUS_OK);
  fputs("three", w.stream);
  assert_int_equal(entries(), 2);
  file_writer_abort(&w);
  file_writer_abort(&w);
  assert_int_equal(entries(), 1);
  expect_text("two");
}

static void a_failed_commit_keeps_the_old_file(void **state) {
  (void)state;
  struct diags d = {0};
  struct file_writer w;
  write_text("old");
  assert_int_equal(file_writer_open(path, NULL, &w), STATUS_OK);
  fputs("new", w.stream);
  fclose(w.stream);
  w.stream = fopen("/dev/full", "w");
  fputs("new", w.stream);
  assert_int_equal(file_writer_commit(&w, &d), STATUS_RESOURCES);
  assert_int_equal(diags_get(&d, 0)->code, DIAG_E0905);
  diags_deinit(&d);
  assert_int_equal(entries(), 1);
  expect_text("old");
}

static void limits_and_missing_files_are_reported(void **state) {
  (void)state;
  struct diags d = {0};
  char *data;
  size_t size;
  write_text("12345");
  assert_int_equal(file_read(path, 4, &d, &data, &size), STATUS_INVALID);
  assert_int_equal(file_read("/nonexistent/x", 4, &d, &data, &size), STATUS_USAGE);
  assert_int_equal(file_read(folder, 4, &d, &data, &size), STATUS_USAGE);
  assert_int_equal(diags_get(&d, 0)->code, DIAG_E0906);
  assert_string_equal(diags_get(&d, 0)->where.file, path);
  struct file_writer w;
  assert_int_equal(file_writer_open("/nonexistent/x", &d, &w), STATUS_RESOURCES);
  assert_int_equal(diags_errors(&d), 4);
  diags_deinit(&d);
}

static void pipes_do_not_block(void **state) {
  (void)state;
  char *data;
  size_t size;
  unlink(path);
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_int_equal(file_read(path, 100, NULL, &data, &size), STATUS_USAGE);
  unlink(path);
}

static void mappings_hold_the_bytes(void **state) {
  (void)state;
  struct mapped_file f;
  write_text("mapped");
  assert_int_equal(mapped_file_open(path, NULL, &f), STATUS_OK);
  assert_int_equal(f.size, 6);
  assert_memory_equal(f.data, "mapped", 6);
  mapped_file_close(&f);
  write_text("");
  assert_int_equal(mapped_file_open(path, NULL, &f), STATUS_OK);
  assert_null(f.data);
  mapped_file_close(&f);
  expect_text("");
}

static void any_allocation_may_fail(void **state) {
  (void)state;
  write_text("abc");
  for (uint64_t n = 1; n < 20; n++) {
    struct file_writer w;
    char *data;
    size_t size;
    mem_fail_nth(n);
    status s = file_read(path, 10, NULL, &data, &size);
    if (s == STATUS_OK)
      mem_free(data);
    status written = file_writer_open(path, NULL, &w);
    if (written == STATUS_OK)
      file_writer_abort(&w);
    bool pending = mem_fail_pending();
    mem_fail_nth(0);
    assert_int_equal(pending, s == STATUS_OK && written == STATUS_OK);
  }
  assert_int_equal(entries(), 1);
}

static void a_signal_removes_the_temporary(void **state) {
  (void)state;
  int outcome;
  write_text("before");
  pid_t child = fork();
  if (child == 0) {
    struct file_writer w;
    signal(SIGTERM, SIG_DFL);
    file_remove_temporaries_on_signal();
    if (file_writer_open(path, NULL, &w) == STATUS_OK)
      raise(SIGTERM);
    _exit(9);
  }
  assert_int_equal(waitpid(child, &outcome, 0), child);
  assert_true(WIFSIGNALED(outcome) && WTERMSIG(outcome) == SIGTERM);
  assert_int_equal(entries(), 1);
  expect_text("before");
}

/* What is no regular file stays what it is, and gets the bytes. */
static void writer_into_a_pipe(void **state) {
  (void)state;
  char pipe_path[80], got[8] = "";
  struct file_writer w;
  struct stat st;
  snprintf(pipe_path, sizeof pipe_path, "%s/pipe", folder);
  assert_int_equal(mkfifo(pipe_path, 0600), 0);
  int reader = open(pipe_path, O_RDONLY | O_NONBLOCK);
  assert_true(reader >= 0);
  assert_int_equal(file_writer_open(pipe_path, NULL, &w), STATUS_OK);
  fputs("text", w.stream);
  assert_int_equal(file_writer_commit(&w, NULL), STATUS_OK);
  assert_int_equal(read(reader, got, sizeof got), 4);
  assert_string_equal(got, "text");
  assert_int_equal(stat(pipe_path, &st), 0);
  assert_true(S_ISFIFO(st.st_mode));
  close(reader);
  unlink(pipe_path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(writer_into_a_pipe),
      cmocka_unit_test(committed_files_replace_aborted_ones_do_not),
      cmocka_unit_test(a_failed_commit_keeps_the_old_file),
      cmocka_unit_test(limits_and_missing_files_are_reported),
      cmocka_unit_test(pipes_do_not_block),
      cmocka_unit_test(mappings_hold_the_bytes),
      cmocka_unit_test(any_allocation_may_fail),
      cmocka_unit_test(a_signal_removes_the_temporary),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
