/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the manifest of an engine without code: what opens is asked and run, with memory
 * limited and endless loops cancelled. Native code is left out, because an engine that brings its
 * own may do anything. Seeds: the manifest sections of small engines.
 */
#include "base/hash.h"
#include "runtime/engine_format.h"
#include "sinter/runtime.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum { MOST_PORTS = 4, MOST_BYTES = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static sinter_session *volatile running;

static void on_alarm(int number) {
  (void)number;
  sinter_session_cancel(running);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  signal(SIGVTALRM, on_alarm); /* SIGALRM is libFuzzer's */
  setitimer(ITIMER_VIRTUAL, &(struct itimerval){{0, 20000}, {0, 20000}}, NULL);
  return 0;
}

/* An engine file around the manifest, with a page of weights. */
static uint8_t *wrap(const uint8_t *manifest, size_t size, size_t *out_size) {
  size_t total = 2 * ENGINE_PAGE + size;
  uint8_t *file = aligned_alloc(64, (total + 63) & ~(size_t)63);
  if (!file)
    return NULL;
  memset(file, 0, 2 * ENGINE_PAGE);
  memcpy(file + 2 * ENGINE_PAGE, manifest, size);
  struct engine_section sections[2] = {
      {.kind = ENGINE_SECTION_WEIGHTS, .offset = ENGINE_PAGE, .bytes = ENGINE_PAGE},
      {.kind = ENGINE_SECTION_MANIFEST, .offset = 2 * ENGINE_PAGE, .bytes = size}};
  struct digest digest = digest_bytes(manifest, size);
  memcpy(sections[1].digest, digest.b, sizeof digest.b);
  struct engine_header header = {
      .version = ENGINE_FORMAT_VERSION, .section_count = 2, .file_bytes = total};
  memcpy(header.magic, ENGINE_MAGIC, sizeof header.magic);
  struct digest_stream stream;
  digest_stream_init(&stream);
  digest_stream_update(&stream, &header, offsetof(struct engine_header, digest));
  digest_stream_update(&stream, sections, sizeof sections);
  digest = digest_stream_final(&stream);
  memcpy(header.digest, digest.b, sizeof digest.b);
  memcpy(file, &header, sizeof header);
  memcpy(file + sizeof header, sections, sizeof sections);
  *out_size = total;
  return file;
}

/* A tensor that fits the port if its named dims are small. */
static sinter_tensor make_input(const sinter_port *port, void *data) {
  sinter_tensor t = {.dtype = port->dtype, .rank = port->rank, .data = data, .bytes = MOST_BYTES};
  for (uint32_t i = 0; i < port->rank; i++)
    t.dims[i] = port->dims[i].value >= 0 ? port->dims[i].value
                : port->dims[i].lo > 2   ? port->dims[i].lo
                                         : 2;
  return t;
}

static void run_entry(sinter_engine *engine, sinter_session *session, uint32_t entry) {
  static _Alignas(64) uint8_t memory[MOST_PORTS][MOST_BYTES];
  sinter_tensor inputs[MOST_PORTS], outputs[MOST_PORTS] = {0};
  uint32_t n_inputs = sinter_engine_input_count(engine, entry),
           n_outputs = sinter_engine_output_count(engine, entry);
  if (n_inputs > MOST_PORTS || n_outputs > MOST_PORTS)
    return;
  for (uint32_t i = 0; i < n_inputs; i++)
    inputs[i] = make_input(sinter_engine_input(engine, entry, i), memory[i]);
  for (int i = 0; i < 2; i++)
    sinter_session_run(session, sinter_engine_entry_name(engine, entry), inputs, n_inputs, outputs,
                       n_outputs);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  sinter_engine *engine;
  sinter_session *session;
  size_t n;
  uint8_t *file = wrap(bytes, size, &n);
  sinter_session_options options = {
      .struct_size = sizeof options, .threads = 1, .memory_limit = 1 << 22};
  if (file && sinter_engine_open_memory(file, n, NULL, &engine) == SINTER_OK) {
    if (sinter_session_create(engine, &options, &session) == SINTER_OK) {
      running = session;
      for (uint32_t i = 0; i < sinter_engine_entry_count(engine); i++)
        run_entry(engine, session, i);
      running = NULL;
      sinter_session_destroy(session);
    }
    sinter_engine_close(engine);
  }
  free(file);
  return 0;
}
