/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of launchers' environments. */
#include "runtime/process/place.h"

#include "runtime/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static status malformed(const char *name, const char *value) {
  return fault_report(DIAG_E0710, NULL, NULL, "the environment says %s=%s", name, value);
}

/* A decimal number of at most nine digits. */
static bool read_count(const char *text, uint32_t *out) {
  size_t n = strlen(text);
  if (n == 0 || n > 9 || strspn(text, "0123456789") != n)
    return false;
  *out = (uint32_t)strtoul(text, NULL, 10);
  return true;
}

/* otherwise: what holds where the variable is missing; UINT32_MAX: then it is an error. */
static status variable(const char *name, uint32_t otherwise, uint32_t *out) {
  const char *text = getenv(name);
  if (text && *text)
    return read_count(text, out) ? STATUS_OK : malformed(name, text);
  *out = otherwise;
  if (otherwise != UINT32_MAX)
    return STATUS_OK;
  return fault_report(DIAG_E0710, NULL, NULL, "the environment lacks %s", name);
}

/* Variables of one launcher; local_size may be missing. */
struct launcher {
  const char *name, *rank, *size, *local_rank, *local_size, *job;
};

static const struct launcher launchers[] = {
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT"},
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE", "PMIX_NAMESPACE"},
    {"mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "PMI_PORT"},
    {"srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_TASKS_PER_NODE",
     "SLURM_JOB_ID"},
};

bool place_first_node(const char *list, char *out, uint32_t room) {
  size_t n = strcspn(list, "[,");
  size_t first = list[n] == '[' ? strcspn(list + n + 1, "-,]") : 0;
  if (n + first + 1 > room || (list[n] == '[' && (!first || !list[n + 1 + first])) ||
      n + first == 0)
    return false;
  memcpy(out, list, n);
  memcpy(out + n, list + n + 1, first);
  out[n + first] = 0;
  return true;
}

/* Slurm says on which nodes a step runs, and gives each job a number. */
static status meet_on_first_node(struct place *place) {
  char node[200];
  uint32_t job;
  const char *list = getenv("SLURM_STEP_NODELIST");
  status st = variable("SLURM_JOB_ID", UINT32_MAX, &job);
  if (!st && (!list || !place_first_node(list, node, sizeof node)))
    st = malformed("SLURM_STEP_NODELIST", list ? list : "");
  if (!st)
    snprintf(place->meeting, sizeof place->meeting, "%s:%u", node, 20000 + job % 20000);
  return st;
}

/* torchrun's agent listens at the port itself and leaves the one behind it free. */
static status meet_at_master(struct place *place) {
  const char *address = getenv("MASTER_ADDR"), *agent = getenv("TORCHELASTIC_USE_AGENT_STORE");
  uint32_t port;
  status st = variable("MASTER_PORT", 29500, &port);
  if (st)
    return st;
  port += agent && strcmp(agent, "True") == 0;
  if (strlen(address) > 250 || port > 65535)
    return malformed("MASTER_ADDR", address);
  snprintf(place->meeting, sizeof place->meeting, strchr(address, ':') ? "[%s]:%u" : "%s:%u",
           address, port);
  return STATUS_OK;
}

static status choose_meeting(const struct launcher *l, struct place *place) {
  const char *job = getenv(l->job), *master = getenv("MASTER_ADDR"),
             *wanted = getenv("SINTER_MEETING"), *nodes = getenv("SLURM_NNODES");
  uint32_t local;
  bool slurm = strcmp(l->name, "srun") == 0;
  if (wanted && *wanted)
    return place_set_meeting(place, wanted);
  status st = slurm ? STATUS_OK : variable(l->local_size, 0, &local);
  if (slurm)
    local = nodes && strcmp(nodes, "1") == 0 ? place->size : 0;
  if (st)
    return st;
  if (local == place->size && job) {
    snprintf(place->meeting, sizeof place->meeting, "unix:%s-%.80s", l->name, job);
    return STATUS_OK;
  }
  if (master && *master)
    return meet_at_master(place);
  if (slurm)
    return meet_on_first_node(place);
  return fault_report(DIAG_E0710, NULL,
                      "set MASTER_ADDR and MASTER_PORT to the host of rank 0 and a free port there "
                      "(mpirun -x passes them on)",
                      "%s does not say where %u processes on several hosts can meet", l->name,
                      place->size);
}

status place_from_environment(struct place *out) {
  *out = (struct place){0};
  for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++) {
    const struct launcher *l = &launchers[i];
    const char *rank = getenv(l->rank);
    if (!rank || !*rank || !getenv(l->size))
      continue;
    if (strcmp(l->name, "srun") == 0 && !getenv("SLURM_STEP_NODELIST"))
      continue; /* a batch script, which is no task of a step */
    out->launcher = l->name;
    status st = variable(l->rank, UINT32_MAX, &out->rank);
    if (!st)
      st = variable(l->size, UINT32_MAX, &out->size);
    if (!st)
      st = variable(l->local_rank, out->rank, &out->local_rank);
    if (!st && (out->size == 0 || out->size > WORLD_MOST || out->rank >= out->size))
      st = fault_report(DIAG_E0710, NULL, "there may be at most 256 processes",
                        "%s says that this is rank %u of %u", l->name, out->rank, out->size);
    return st || out->size == 1 ? st : choose_meeting(l, out);
  }
  return STATUS_OK;
}

status place_set_meeting(struct place *place, const char *meeting) {
  const char *colon = strrchr(meeting, ':');
  uint32_t port;
  if (strncmp(meeting, "unix:", 5) != 0 &&
      (!colon || colon == meeting || !read_count(colon + 1, &port) || !port || port > 65535))
    return fault_report(DIAG_E0710, NULL, "write host:port or unix:NAME",
                        "'%s' is no place to meet", meeting);
  if (strlen(meeting) >= (strncmp(meeting, "unix:", 5) ? sizeof place->meeting : 90))
    return fault_report(DIAG_E0710, NULL, NULL, "the meeting place's name is too long");
  snprintf(place->meeting, sizeof place->meeting, "%s", meeting);
  return STATUS_OK;
}
