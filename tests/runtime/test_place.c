/* SPDX-License-Identifier: Apache-2.0 */
/* What launchers' environments say of a process's rank and of where ranks meet. */
#include "runtime/fault.h"
#include "runtime/process/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = {"RANK",
                                    "WORLD_SIZE",
                                    "LOCAL_RANK",
                                    "LOCAL_WORLD_SIZE",
                                    "MASTER_ADDR",
                                    "MASTER_PORT",
                                    "TORCHELASTIC_USE_AGENT_STORE",
                                    "OMPI_COMM_WORLD_RANK",
                                    "OMPI_COMM_WORLD_SIZE",
                                    "OMPI_COMM_WORLD_LOCAL_RANK",
                                    "OMPI_COMM_WORLD_LOCAL_SIZE",
                                    "PMIX_NAMESPACE",
                                    "PMI_RANK",
                                    "PMI_SIZE",
                                    "PMI_PORT",
                                    "MPI_LOCALRANKID",
                                    "MPI_LOCALNRANKS",
                                    "SLURM_PROCID",
                                    "SLURM_NTASKS",
                                    "SLURM_LOCALID",
                                    "SLURM_TASKS_PER_NODE",
                                    "SLURM_JOB_ID",
                                    "SLURM_STEP_NODELIST",
                                    "SLURM_NNODES",
                                    "SINTER_MEETING"};

/* "A=1 B=2" */
static status read_with(const char *settings, struct place *out) {
  char text[512], *rest = text;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    unsetenv(names[i]);
  strcpy(text, settings);
  for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
    char *equals = strchr(word, '=');
    *equals = 0;
    setenv(word, equals + 1, 1);
  }
  return place_from_environment(out);
}

static void places(void **state) {
  (void)state;
  static const struct {
    const char *settings;
    uint32_t rank, size, local;
    const char *meeting, *launcher;
  } cases[] = {
      {"", 0, 0, 0, "", NULL},
      {"RANK=2 WORLD_SIZE=4 LOCAL_RANK=0 LOCAL_WORLD_SIZE=2 MASTER_ADDR=a.b MASTER_PORT=123", 2, 4,
       0, "a.b:123", "torchrun"},
      {"RANK=2 WORLD_SIZE=4 MASTER_ADDR=fe80::1 TORCHELASTIC_USE_AGENT_STORE=True", 2, 4, 2,
       "[fe80::1]:29501", "torchrun"},
      {"RANK=1 WORLD_SIZE=2 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MASTER_ADDR=h MASTER_PORT=7", 1, 2, 1,
       "unix:torchrun-7", "torchrun"},
      {"OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=3 "
       "OMPI_COMM_WORLD_LOCAL_SIZE=4 PMIX_NAMESPACE=99",
       3, 4, 3, "unix:mpirun-99", "mpirun"},
      {"OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=1 "
       "OMPI_COMM_WORLD_LOCAL_SIZE=2 PMIX_NAMESPACE=99 MASTER_ADDR=h MASTER_PORT=5",
       3, 4, 1, "h:5", "mpirun"},
      {"SLURM_PROCID=1 SLURM_NTASKS=8 SLURM_LOCALID=1 SLURM_JOB_ID=20007 SLURM_NNODES=2 "
       "SLURM_STEP_NODELIST=gpu[003-004,9],x",
       1, 8, 1, "gpu003:20007", "srun"},
      {"SLURM_PROCID=1 SLURM_NTASKS=8 SLURM_JOB_ID=20007 SLURM_NNODES=1 SLURM_STEP_NODELIST=n", 1,
       8, 1, "unix:srun-20007", "srun"},
      {"SLURM_PROCID=0 SLURM_NTASKS=8 SLURM_JOB_ID=1", 0, 0, 0, "", NULL}, /* a batch script */
      {"RANK=0 WORLD_SIZE=1", 0, 1, 0, "", "torchrun"},
      {"RANK=1 WORLD_SIZE=2 MASTER_ADDR=h SINTER_MEETING=unix:x", 1, 2, 1, "unix:x", "torchrun"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct place p;
    if (read_with(cases[i].settings, &p))
      fail_msg("'%s': %s", cases[i].settings, fault_text());
    assert_int_equal(p.rank, cases[i].rank);
    assert_int_equal(p.size, cases[i].size);
    assert_int_equal(p.local_rank, cases[i].local);
    assert_string_equal(p.meeting, cases[i].meeting);
    assert_true((!p.launcher && !cases[i].launcher) || strcmp(p.launcher, cases[i].launcher) == 0);
  }
}

static void nonsense(void **state) {
  (void)state;
  static const char *const settings[] = {
      "RANK=4 WORLD_SIZE=4 MASTER_ADDR=h",
      "RANK=-1 WORLD_SIZE=4 MASTER_ADDR=h",
      "RANK=1 WORLD_SIZE=4x MASTER_ADDR=h",
      "RANK=1 WORLD_SIZE=99999 MASTER_ADDR=h",
      "RANK=1 WORLD_SIZE=2 MASTER_ADDR=h MASTER_PORT=65536",
      "RANK=1 WORLD_SIZE=2", /* on which host? */
      "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_SIZE=1",
      "SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_JOB_ID=1 SLURM_NNODES=2 SLURM_STEP_NODELIST=n[",
      "SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_NNODES=2 SLURM_STEP_NODELIST=n",
      "RANK=1 WORLD_SIZE=2 SINTER_MEETING=nowhere",
      "RANK=1 WORLD_SIZE=2 SINTER_MEETING=h:0",
  };
  for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
    struct place p;
    if (read_with(settings[i], &p) != STATUS_USAGE || strcmp(fault_code(), "E0710") != 0)
      fail_msg("'%s': %s", settings[i], fault_text());
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(places), cmocka_unit_test(nonsense)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
