/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sinter's runtime: open an engine file, create a session on a device, run entry points.
 *
 *     sinter_engine *engine;
 *     sinter_session *session;
 *     sinter_session_options options = { .struct_size = sizeof options, .devices = "cpu" };
 *     if (sinter_engine_open("model.sinter", NULL, &engine) ||
 *         sinter_session_create(engine, &options, &session) ||
 *         sinter_session_run(session, "main", inputs, n_inputs, outputs, n_outputs))
 *       fprintf(stderr, "%s\n", sinter_last_error());
 *
 * Status and errors. Every function that can fail returns a sinter_status, SINTER_OK being 0, and
 * leaves a text for people in the calling thread's sinter_last_error. Output parameters are written
 * on success only, unless said otherwise. Passing NULL where an object is required is SINTER_USAGE.
 *
 * Trust. An engine for the cpu is native code: open only files that you would execute. Digests find
 * damage, not malice.
 *
 * Threads. An engine does not change after it was opened and may be shared by threads and sessions.
 * A session runs one call at a time; different sessions may run at once from different threads.
 *
 * Options structs begin with struct_size, which the caller sets to sizeof the struct: fields that a
 * caller compiled against an older header does not have take their defaults. A field of 0 or NULL
 * is its default.
 */
#ifndef SINTER_RUNTIME_H
#define SINTER_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SINTER_API __attribute__((visibility("default")))
#else
#define SINTER_API
#endif

typedef enum sinter_status {
  SINTER_OK = 0,
  SINTER_MISMATCH,    /* a comparison asked for found a difference */
  SINTER_USAGE,       /* an argument is wrong: a name, a shape, a type, an option */
  SINTER_INVALID,     /* the engine file, or the data, breaks a rule */
  SINTER_UNSUPPORTED, /* sound, but this build or machine cannot do it */
  SINTER_RESOURCES,   /* memory, files */
  SINTER_DEVICE,      /* a device, its driver, or communication */
  SINTER_INTERNAL,    /* a mistake of ours or of the compiler's */
  SINTER_CANCELLED,   /* sinter_session_cancel */
} sinter_status;

/*
 * The calling thread's last error: "error[E0605]: input 'x', dim 1: ..." with lines for the place
 * and for what to do.
 * "" if the thread's last call succeeded. Valid until the thread's next call into this library.
 */
SINTER_API const char *sinter_last_error(void);

/* Its code, such as "E0605", or "". Static storage. Codes are stable over releases. */
SINTER_API const char *sinter_last_error_code(void);

/* "0.1.0". Static storage. */
SINTER_API const char *sinter_version(void);

/* Element types, numbered as ONNX numbers them (TensorProto.DataType). */
typedef enum sinter_dtype {
  SINTER_UNDEFINED = 0,
  SINTER_F32 = 1,
  SINTER_U8 = 2,
  SINTER_I8 = 3,
  SINTER_U16 = 4,
  SINTER_I16 = 5,
  SINTER_I32 = 6,
  SINTER_I64 = 7,
  SINTER_STRING = 8,
  SINTER_BOOL = 9, /* one byte, 0 or 1 */
  SINTER_F16 = 10,
  SINTER_F64 = 11,
  SINTER_U32 = 12,
  SINTER_U64 = 13,
  SINTER_BF16 = 16,
  SINTER_F8E4M3FN = 17,
  SINTER_F8E4M3FNUZ = 18,
  SINTER_F8E5M2 = 19,
  SINTER_F8E5M2FNUZ = 20,
  SINTER_U4 = 21, /* types of less than a byte are packed, low bits first */
  SINTER_I4 = 22,
  SINTER_F4E2M1 = 23,
  SINTER_F8E8M0 = 24,
  SINTER_U2 = 25,
  SINTER_I2 = 26,
} sinter_dtype;

/* The type's name, such as "f32"; NULL for a number that is none. Static storage. */
SINTER_API const char *sinter_dtype_name(sinter_dtype dtype);

#define SINTER_MAX_RANK 16

/* An element of a tensor of strings: `size` bytes (mostly UTF-8), with no terminator. */
typedef struct sinter_string {
  const char *data;
  size_t size;
} sinter_string;

/* A dense row-major tensor in host memory. One of SINTER_STRING is an array of sinter_string; the
 * bytes are the caller's for inputs, and the session's, until its next run or destruction, for
 * outputs, whoever's memory the array is. */
typedef struct sinter_tensor {
  sinter_dtype dtype;
  uint32_t rank;                 /* number of dims used; 0 is a scalar */
  int64_t dims[SINTER_MAX_RANK]; /* in elements */
  void *data;     /* aligned as the element type; NULL is allowed where there are no elements */
  uint64_t bytes; /* size of the memory at data */
} sinter_tensor;

/* --- Engines --- */

typedef struct sinter_engine sinter_engine;

typedef struct sinter_engine_options {
  size_t struct_size;
  int verify_weights; /* nonzero: read all weights and compare their digests; code and manifest are
                         always compared */
  const char *weights_root; /* folder beneath which weight files lie that the engine refers to
                               (`--weights by-reference`); NULL: the engine's own */
} sinter_engine_options;

/*
 * Opens the engine file at path. The file is mapped: do not change it while it is open. options may
 * be NULL. Errors: SINTER_RESOURCES the file cannot be read; SINTER_INVALID it is no engine,
 * truncated or damaged, or a
 * weight file that it refers to is not as it was; SINTER_UNSUPPORTED a newer format.
 */
SINTER_API sinter_status sinter_engine_open(const char *path, const sinter_engine_options *options,
                                            sinter_engine **out_engine);

/* The same for a file's bytes in memory, aligned to 64 bytes, unchanged and valid until the engine
 * is closed. */
SINTER_API sinter_status sinter_engine_open_memory(const void *data, size_t bytes,
                                                   const sinter_engine_options *options,
                                                   sinter_engine **out_engine);

/* Closes an engine; its sessions must have been destroyed. NULL is allowed. */
SINTER_API void sinter_engine_close(sinter_engine *engine);

/* Compares all weights with their digests, as verify_weights does. SINTER_INVALID names the first
 * damaged one. */
SINTER_API sinter_status sinter_engine_verify_weights(const sinter_engine *engine);

/* --- What an engine has. Strings and arrays belong to the engine; an index out of range gives NULL
 * or 0. --- */

typedef struct sinter_dim {
  int64_t value;    /* the size where the engine fixes it, else -1 */
  const char *text; /* "128", "batch", "(past + 1)" */
  int64_t lo, hi; /* bounds of a named dim, inclusive; both `value` if fixed; 0 and INT64_MAX for an
                     expression */
} sinter_dim;

typedef struct sinter_port {
  const char *name;
  sinter_dtype dtype;
  uint32_t rank;
  const sinter_dim *dims;
  int optional; /* inputs: may be left out by a tensor of dtype SINTER_UNDEFINED */
} sinter_port;

SINTER_API const char *sinter_engine_producer(const sinter_engine *engine);
SINTER_API uint32_t sinter_engine_entry_count(const sinter_engine *engine);
SINTER_API const char *sinter_engine_entry_name(const sinter_engine *engine, uint32_t entry);
SINTER_API uint32_t sinter_engine_input_count(const sinter_engine *engine, uint32_t entry);
SINTER_API uint32_t sinter_engine_output_count(const sinter_engine *engine, uint32_t entry);
SINTER_API const sinter_port *sinter_engine_input(const sinter_engine *engine, uint32_t entry,
                                                  uint32_t input);
SINTER_API const sinter_port *sinter_engine_output(const sinter_engine *engine, uint32_t entry,
                                                   uint32_t output);
SINTER_API uint32_t sinter_engine_target_count(const sinter_engine *engine);
SINTER_API const char *sinter_engine_target_name(const sinter_engine *engine, uint32_t target);
SINTER_API uint32_t sinter_engine_rank_count(const sinter_engine *engine); /* at least 1 */
SINTER_API uint64_t sinter_engine_weight_bytes(const sinter_engine *engine);

/* --- Worlds: ranks as processes --- */

/*
 * The processes that run one engine together, one rank each, as mpirun, srun or torchrun start
 * them. Every process joins the world, opens the same engine, creates a session with
 * sinter_session_options.world and makes the same calls in the same order:
 *
 *     sinter_world *world = NULL;
 *     if (sinter_world_launched(NULL))
 *       sinter_world_join(NULL, &world);
 *     sinter_session_options options = { .struct_size = sizeof options, .world = world };
 *
 * Processes of one host exchange elements in shared memory, those of several by TCP. All have the
 * outputs. What goes wrong on one of them (an error, no memory, no answer, the end of its process)
 * is the error of the call that each is in, or of its next: the first cause, wherever it was. Such
 * a failure is final: leave the world and start the processes again.
 *
 * Whoever can connect to the meeting place can keep the processes from meeting, though not make
 * them read or write other memory: let only trusted hosts reach it.
 */
typedef struct sinter_world sinter_world;

#define SINTER_WORLD_MOST 256u /* processes of one world */

typedef struct sinter_world_options {
  size_t struct_size;
  uint32_t rank, size; /* size 0: both as the launcher's environment says */
  const char *meeting; /* where rank 0 listens: "host:port", or "unix:NAME" for one host; NULL: as
                          $SINTER_MEETING or the launcher says */
  const char *name;    /* processes meet only those of the same name; NULL: "" */
  uint64_t timeout_ms; /* to wait for the others to come; 0: a minute */
  int sockets_only;    /* nonzero: no shared memory, for tests and comparisons */
} sinter_world_options;

/* Whether the environment is that of a launcher that started several processes, and as which rank
 * it started this one; out_rank may be NULL. */
SINTER_API int sinter_world_launched(uint32_t *out_rank);

/*
 * Meets the other processes. options may be NULL. Errors: SINTER_USAGE the rank, the number of
 * ranks or the meeting place makes no sense; SINTER_DEVICE the others did not come in time, or
 * cannot be reached; SINTER_RESOURCES.
 */
SINTER_API sinter_status sinter_world_join(const sinter_world_options *options,
                                           sinter_world **out_world);

/* Leaves; its sessions must have been destroyed. NULL is allowed. */
SINTER_API void sinter_world_leave(sinter_world *world);

SINTER_API uint32_t sinter_world_rank(const sinter_world *world); /* NULL: 0 */
SINTER_API uint32_t sinter_world_size(const sinter_world *world); /* NULL: 1 */

/*
 * Gives all processes the bytes of each: `all` has room for size times as many, by rank. At most
 * 4096 bytes, as many from each. Not while a session of the world runs. Errors: SINTER_DEVICE.
 */
SINTER_API sinter_status sinter_world_exchange(sinter_world *world, const void *mine, size_t bytes,
                                               void *all);

/* --- Sessions --- */

typedef struct sinter_session sinter_session;

/* One kernel launch, for a profile. Strings belong to the engine. */
typedef struct sinter_profile_event {
  const char *kernel;
  const char *node;          /* the first ONNX node it came from; "" if unknown */
  const char *op;            /* its operator */
  uint64_t start_ns, end_ns; /* CLOCK_MONOTONIC; on a GPU their difference is by its own clock */
  uint64_t tiles;
  uint64_t flops, bytes; /* the compiler's estimates; 0: unknown */
} sinter_profile_event;

typedef void sinter_profile_hook(void *user, const sinter_profile_event *event);

typedef struct sinter_session_options {
  size_t struct_size;
  const char *devices; /* one for each of the engine's ranks: "cpu"; "cpu:4" or "cpu:0-3"; "cuda:0",
                          "cuda:0-3" or "cuda:0,2"; "sim:4"; NULL: the cpu, as often as there are
                          ranks */
  uint32_t threads;    /* of all cpu devices together, the caller's included; 0: one per cpu this
                          thread may run on. Each rank has at least one. Results do not depend on it */
  uint64_t memory_limit;        /* bytes that each device may hold; 0: what the device has */
  sinter_profile_hook *profile; /* called on the thread that runs, after each kernel of rank 0 */
  void *profile_user;
  uint64_t deadline_ms; /* ranks that wait for one that has done nothing for so long give up; 0: ten
                           seconds */
  const char *faults;   /* for tests: failures to provoke, such as "rank=2 step=7 stall" (or fail,
                           oom, kill, corrupt, corrupt-payload), each once, separated by semicolons;
                           NULL: none */
  int no_graphs; /* nonzero: GPUs are given a run's kernels one by one, also when it is repeated */
  int check_collectives; /* nonzero: ranks also compare hashes of what they exchange; what GPUs give
                            each other is compared, element by element, with what the host makes of
                            it; slow */
  sinter_world *world;   /* the processes that are the engine's ranks, one each; `devices` names one
                            device then, or as many as there are processes on this host, of which each
                            takes its own. A world has one session at a time. NULL: all ranks are
                            threads of this process */
} sinter_session_options;

/*
 * Creates a session: the devices' memory, threads and loaded code. The engine must outlive it.
 * options may be NULL. Errors: SINTER_USAGE unknown device; SINTER_UNSUPPORTED the engine has no
 * code for this processor, or is for another number of devices; SINTER_RESOURCES.
 */
SINTER_API sinter_status sinter_session_create(sinter_engine *engine,
                                               const sinter_session_options *options,
                                               sinter_session **out_session);

/* NULL is allowed. The session must not be running. Memory of session-owned outputs is freed. */
SINTER_API void sinter_session_destroy(sinter_session *session);

/*
 * Runs an entry point; returns when the outputs are complete. Inputs and outputs are in the
 * engine's order and as many.
 *
 * Inputs are read only. An optional input is left out by dtype SINTER_UNDEFINED.
 * Outputs: where data is NULL, the session provides memory, which is valid until its next run or
 * destruction; otherwise data and bytes are the caller's memory, which must be large enough and
 * overlap no input. dtype, rank, dims and (for session memory) data and bytes are filled in; with
 * caller's memory, bytes stays as it was. On failure outputs are unspecified; session-provided ones
 * are reset to data NULL.
 *
 * Errors: SINTER_USAGE names the input or output, wanted and found; SINTER_INVALID the data break a
 * rule of the model (an index out of range), naming the ONNX node; SINTER_RESOURCES,
 * SINTER_CANCELLED. With several ranks also SINTER_DEVICE: one did not answer within the
 * deadline, or ranks went different ways; the error is the first cause, wherever it was. A session
 * remains usable. The first run at new shapes may allocate; later runs
 * at the same shapes neither allocate nor lock.
 */
SINTER_API sinter_status sinter_session_run(sinter_session *session, const char *entry,
                                            const sinter_tensor *inputs, size_t n_inputs,
                                            sinter_tensor *outputs, size_t n_outputs);

/* Makes the run in progress, if any, return SINTER_CANCELLED at its next step. From any thread, or
 * a signal handler. */
SINTER_API void sinter_session_cancel(sinter_session *session);

typedef struct sinter_session_stats {
  size_t struct_size;     /* set by the caller */
  uint64_t runs;          /* that succeeded */
  uint64_t launches;      /* kernels launched in the last run */
  uint64_t arena_bytes;   /* memory held for intermediate values */
  uint64_t dynamic_bytes; /* memory held for values of data-dependent size and for session-owned
                             outputs */
  uint64_t scratch_bytes; /* memory held for kernels' per-thread scratch */
  uint32_t threads;
  const char *target;       /* of the code in use; belongs to the engine */
  uint64_t state_bytes;     /* memory held for states */
  uint64_t graphs_made;     /* runs that were recorded (GPUs): once per entry point and shapes */
  uint64_t graphs_launched; /* runs that were done by a recording */
} sinter_session_stats;

/* Not while the session runs. */
SINTER_API sinter_status sinter_session_get_stats(const sinter_session *session,
                                                  sinter_session_stats *out_stats);

/* What ranks give each other at one place of the plan. Strings belong to the engine. */
typedef struct sinter_exchange {
  size_t struct_size; /* set by the caller */
  const char *kind;   /* "all_reduce" */
  const char *node;   /* the first ONNX node it came from; "" if unknown */
  uint32_t ranks;     /* that act together in it */
  uint64_t times;     /* in the last run, per rank */
  uint64_t bytes;     /* that all ranks together (of a world: this process) received from others in
                         the last run, counted */
  uint64_t expected;  /* the same by the formula of its kind and the sizes of the run */
} sinter_exchange;

/* Exchanges of the engine's plan, all entry points together. */
SINTER_API uint32_t sinter_session_exchange_count(const sinter_session *session);

/* Not while the session runs. Errors: SINTER_USAGE. */
SINTER_API sinter_status sinter_session_get_exchange(const sinter_session *session, uint32_t number,
                                                     sinter_exchange *out_exchange);

/*
 * --- States ---
 *
 * A decoder's engine has, beside "main", the entry points "prefill" and "decode". What they know of
 * the tokens so far (keys and values) are states of the session: neither inputs nor outputs,
 * written in place. Tokens are the first input, [batch, n]: row i of the batch goes on where row i
 * of the states is. "prefill" takes n tokens per row and, as another input, i64 [batch], how many
 * of them are valid (the first ones; the others only fill up); it may be run again with the next
 * piece of a prompt. "decode" takes one token per row. Both give the logits behind each row's last
 * valid token, [batch, vocabulary]. A run of a batch of b rows works on the first b.
 *
 * Room grows by doubling: a run after which states have to grow, or whose batch is larger than any
 * before, allocates; sinter_session_reserve makes room beforehand. A run that fails adds no rows.
 *
 * None of these functions may be called while the session runs. Errors: SINTER_USAGE for a batch
 * row that is not there, or an engine without states; SINTER_RESOURCES.
 */

/* Room for `rows` batch rows of `length` tokens each; never less than there is. */
SINTER_API sinter_status sinter_session_reserve(sinter_session *session, int64_t rows,
                                                int64_t length);

/* Forgets all rows' tokens. Memory stays. */
SINTER_API sinter_status sinter_session_reset(sinter_session *session);

/* How many tokens a batch row has; 0 for one that no run has had yet. */
SINTER_API sinter_status sinter_session_length(sinter_session *session, int64_t row,
                                               int64_t *out_length);

/* Forgets a batch row's tokens from `length` on, which must not be more than it has. */
SINTER_API sinter_status sinter_session_truncate(sinter_session *session, int64_t row,
                                                 int64_t length);

/* Batch row `to` becomes a copy of `from`: one prompt, several continuations. */
SINTER_API sinter_status sinter_session_copy(sinter_session *session, int64_t from, int64_t to);

#ifdef __cplusplus
}
#endif

#endif
