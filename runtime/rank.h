/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one rank of a session holds to run a plan: its device, its memory, the state of its run.
 * Ranks share nothing but the engine, the caller's inputs and what they exchange, so each may run
 * on a thread of its own.
 */
#ifndef SINTER_RUNTIME_RANK_H
#define SINTER_RUNTIME_RANK_H

#include "base/host_op.h"
#include "include/sinter/runtime.h"
#include "runtime/comm/comm.h"
#include "runtime/drivers/driver.h"
#include "runtime/engine_format.h"
#include "runtime/expr_state.h"
#include "runtime/fault_script.h"
#include "runtime/memory_plan.h"
#include "runtime/plan.h"

#include <stdatomic.h>

/* Where a value that is no alias lies, and how much of it there is. data NULL: nowhere yet. */
struct slot {
  uint8_t *data;
  uint64_t bytes;
};

/* A packing of a phase's values, for one set of sizes. */
struct phase_layout {
  uint64_t *sizes, *offsets; /* per value of the phase */
  uint64_t total;
  bool valid;
};

#define PHASE_LAYOUTS 4

struct phase_state {
  struct driver_buffer arena;
  struct memory_overlaps overlaps; /* items NULL: too many to be worth a table */
  struct phase_layout layouts[PHASE_LAYOUTS];
  uint32_t current; /* the layout the slots were set from; PHASE_LAYOUTS: none */
  uint32_t victim;  /* replaced next */
};

/* Strings of a run, and what ports of strings need: their elements as numbers, and as the caller
 * sees them. */
struct rank_strings {
  struct host_strings table;
  struct slot *inputs;  /* per input: numbers */
  struct slot *outputs; /* per output: what the session gives to the caller, sinter_string each */
  struct slot host[HOST_OP_MAX_OPERANDS + 1]; /* of a device with its own memory: of one step */
};

/* What a rank holds of the states. */
struct rank_states {
  struct driver_buffer *buffers; /* per state */
  int64_t rows, capacity;        /* that the buffers were made for; the batch's and each row's */
  /* Of the run in progress: the session's lengths. */
  const int64_t *length;
};

/* Whether a run's steps do their work, have it noted for replaying, or leave it to a replay. */
enum run_mode { RUN_DIRECT, RUN_RECORD, RUN_REPLAY };

#define RANK_RECORDINGS 8u

struct rank_recording {
  uint64_t *key; /* what must be the same */
  bool valid;
  bool refused;                       /* it cannot be recorded */
  bool ran;                           /* directly, to the end: memory has the size it needs */
  uint64_t moves;                     /* the device's, when it was recorded */
  uint64_t used;                      /* when, in runs */
  struct driver_recording *recording; /* NULL: not yet */
};

/* Runs of entry points at shapes that came before; see rank_record.c. */
struct rank_recordings {
  struct rank_recording items[RANK_RECORDINGS];
  uint64_t *key; /* of the run in progress */
  size_t words;  /* of a key */
  bool on;
  uint64_t runs, made, replayed;
};

struct rank {
  const struct sinter_engine *engine;
  const struct plan *plan;
  uint32_t number;  /* 0 to plan->ranks - 1 */
  struct pool pool; /* the tables below */
  const struct driver *driver;
  struct device *device;
  struct driver_module *module;
  uint32_t target;
  sinter_profile_hook *profile;
  void *profile_user;

  uint32_t coords[ENGINE_MAX_AXES]; /* this rank's place in the mesh */
  struct expr_state exprs;
  struct slot *slots;            /* per CONSTANT, ARENA and DYNAMIC value */
  struct driver_buffer *buffers; /* of DYNAMIC values, and spares */
  struct phase_state *phases;
  struct memory_item *items; /* room for the largest phase */
  uint64_t *sizes;
  uint32_t *packing;
  uint64_t *args;          /* of one launch */
  uint64_t *arg_bytes;     /* of its buffers */
  int64_t *carried;        /* new dims of one loop's carried values */
  uint64_t *carried_bytes; /* and their new sizes */
  uint64_t *scan_bytes;    /* per buffer: of one element of a scan result */
  struct driver_buffer error_word;

  const Engine__Entry *entry;              /* of the run in progress */
  sinter_tensor *outputs;                  /* likewise */
  struct slot *input_slots, *output_slots; /* per input and output of the entry */
  bool *output_owned;                      /* per output: the session provides the memory */
  struct driver_buffer *output_buffers;    /* per output; entries share them */
  uint32_t output_buffer_count;
  /* Of a device with its own memory: what is there of constants and inputs, and what was read back
   * of outputs that the session provides. */
  struct driver_buffer weights, *input_buffers;
  struct slot *output_copies;
  uint32_t input_buffer_count;
  struct rank_states states;
  struct slot staged;  /* host memory for exchanges that the devices do not do themselves */
  uint64_t launches;   /* of the last run */
  bool *once_done;     /* per block: of those that run once */
  uint32_t once_begun; /* in the run in progress; 0: none */
  enum run_mode mode;  /* of the run in progress */
  struct rank_recordings recordings;
  struct rank_strings strings;

  const struct comm_driver *comms; /* with several ranks; else NULL, as is comm */
  struct comm *comm;
  _Atomic uint32_t *heartbeat;
  struct comm_block *blocks; /* of one exchange */
  uint64_t *expected; /* per exchange: bytes that the group of which this rank is the first should
                         have received in this run; else 0 */
  uint64_t decisions; /* what data decided in this run, hashed: the same on all ranks */
  uint64_t steps;     /* begun in this run */
  bool sync;          /* wait for each launch: SINTER_SYNC */
  struct planned_fault fault;
  bool is_process; /* the only rank of this one */

  const _Atomic bool *cancelled; /* the session's */
};

/* --- rank.c --- */

/*
 * Prepares rank `number`: memory for its tables, a device of the session's driver, loaded code,
 * constants in their places. On failure nothing is held. Errors: those of sinter_session_create.
 */
status rank_init(struct rank *r, struct sinter_session *session, uint32_t number,
                 const sinter_session_options *options);
void rank_deinit(struct rank *r); /* of a zeroed one, nothing */

/*
 * Runs an entry point on this rank; the ports are as sinter_session_run has them. With several
 * ranks it is called on all of them at once, and fails on all or on none, but for disagreement that
 * a rank sees after the last step: then comm->failed says so. rank_release_ports follows, when no
 * rank runs.
 */
status rank_run(struct rank *r, const Engine__Entry *entry, const sinter_tensor *inputs,
                size_t n_inputs, sinter_tensor *outputs, size_t n_outputs);

/* What data decided, for other ranks to compare. */
void rank_decide(struct rank *r, int64_t value);

/* Adds the memory the rank holds. */
void rank_add_stats(const struct rank *r, sinter_session_stats *stats);

/* --- rank_ports.c --- */

/*
 * Binds the symbols of the entry's inputs, compares all other dims, and places the inputs. Errors:
 * E0602..E0607.
 */
status rank_bind_inputs(struct rank *r, const sinter_tensor *inputs, size_t n);
status rank_bind_outputs(struct rank *r, sinter_tensor *outputs, size_t n);

/* Whether an OUTPUT value's dims have values by now. */
bool rank_output_known(struct rank *r, uint32_t value);

/* Sizes an OUTPUT value's memory, now that its dims are known, and says so in the caller's tensor.
 * Errors: E0607, E0611, E0612. */
status rank_size_output(struct rank *r, uint32_t value, const Engine__Step *step);

/* After a successful run: gives session-owned memory to the caller's tensors. Errors: E0612 for an
 * output nothing produced. */
status rank_finish_outputs(struct rank *r);

/* Forgets the caller's memory; after a failure, takes back what the session gave. */
void rank_release_ports(struct rank *r, bool failed);

/* --- rank_staging.c: for devices with memory of their own; nothing on others --- */

status staging_constants(struct rank *r); /* after all are placed in host memory */
status staging_input(struct rank *r, uint32_t input);
/* After the last step; the caller's tensor has the bytes then. */
status staging_output(struct rank *r, uint32_t output);
/* Where the caller finds an output that the session provides. */
const void *staging_output_memory(const struct rank *r, uint32_t output);
void staging_deinit(struct rank *r);

/* Host memory of that size; what was there is gone. Errors: E0615. */
status staging_reserve(struct slot *host, uint64_t bytes);

/* --- rank_record.c: for devices that record; elsewhere runs are direct --- */

status rank_recordings_init(struct rank *r, bool on); /* E0615 */
void rank_recordings_deinit(struct rank *r);

/* Runs a variant of the entry: directly, or by recording it and replaying. */
status rank_run_variant(struct rank *r, const Engine__Variant *variant);

/* --- rank_strings.c --- */

/* Tables for so many inputs and outputs; the engine's strings. */
status rank_strings_init(struct rank *r, uint32_t inputs, uint32_t outputs);
void rank_strings_deinit(struct rank *r);
uint64_t rank_strings_bytes(const struct rank *r);

/* Places an input of strings: as numbers, of which equal strings have equal ones. Errors: E0607,
 * E0615. */
status rank_strings_input(struct rank *r, uint32_t input, const sinter_tensor *tensor);
/* An output of strings, from numbers to what the caller sees. Errors: E0612, E0615. */
status rank_strings_output(struct rank *r, uint32_t output);
/* Runs a function of the host. Errors: E0610, E0612, E0615. */
status rank_host(struct rank *r, const Engine__Step *step, const Engine__Host *body);

/* --- rank_state.c --- */

status rank_states_init(struct rank *r); /* empty ones; E0615 */
void rank_states_deinit(struct rank *r);
uint64_t rank_states_bytes(const struct rank *r);

/*
 * Makes room for states of `rows` batch rows of `capacity` rows each, no less than there is; what
 * is there stays, what is new is zeros. On failure everything is as before. Errors: E0611, E0615.
 */
status rank_states_reserve(struct rank *r, const Engine__Entry *entry, int64_t rows,
                           int64_t capacity);

/* Where this rank has batch row `row` of a state; data NULL: another one has it. */
struct states_row {
  uint8_t *data;
  uint64_t bytes;
};
status rank_states_row(struct rank *r, const Engine__Entry *entry, size_t state, int64_t row,
                       struct states_row *out);

/* Binds the capacity, before the inputs are looked at; places states and their length, after. */
void rank_bind_capacity(struct rank *r);
status rank_bind_states(struct rank *r);
/* Places a state that goes out: where it came in. */
status rank_size_state(struct rank *r, uint32_t value, const Engine__Step *step);

/* --- execute.c --- */

/* The value of an expression for a step (NULL: outside of the plan). Errors: E0611, E0612. */
status rank_expr(struct rank *r, uint32_t expr, const Engine__Step *step, int64_t *out_value);

/* A size: an expression that must not be negative. */
status rank_size(struct rank *r, uint32_t expr, const Engine__Step *step, uint64_t *out_size);
status rank_size_fail(struct rank *r, uint32_t expr, const Engine__Step *step, int64_t value);

/* A value's memory and its size in bytes, aliases followed, within what was placed. Errors: as
 * above. */
status rank_value(struct rank *r, uint32_t value, const Engine__Step *step, struct slot *out_slot);

/* A value's memory, of which a step uses a given number of bytes. */
status rank_span(struct rank *r, uint32_t value, uint64_t bytes, const Engine__Step *step,
                 uint8_t **out_data);

/* Whether a relation holds. Errors: those of rank_expr. */
status rank_relate(struct rank *r, const Engine__Relate *relate, const Engine__Step *step,
                   bool *out_holds);
status rank_relate_all(struct rank *r, Engine__Relate **relates, size_t n, const Engine__Step *step,
                       bool *out_hold);

/* An integer element of a value, waiting for what computes it. */
status rank_read_integer(struct rank *r, uint32_t value, int64_t element, const Engine__Step *step,
                         int64_t *out_number);

/* Symbol := value, within its bounds. Errors: E0611. */
status rank_bind_symbol(struct rank *r, uint32_t symbol, int64_t value, const Engine__Step *step);

/* Makes a value's own buffer hold that many bytes and places the value there. */
status rank_reserve(struct rank *r, uint32_t value, uint64_t bytes, bool keep);

/* Runs the steps of a block. Nesting is bounded by ENGINE_MAX_NESTING. */
status rank_run_block(struct rank *r, uint32_t block);

/* After the last step: waits, and reports what kernels noted in the error word (E0610). */
status rank_finish_kernels(struct rank *r);

/* --- execute_loop.c --- */

status rank_run_loop(struct rank *r, const Engine__Step *step, const Engine__Loop *loop);

/* --- execute_exchange.c --- */

status rank_exchange(struct rank *r, const Engine__Step *step, const Engine__Exchange *body);

#endif
