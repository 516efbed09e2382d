/* SPDX-License-Identifier: Apache-2.0 */
/* Recording a stream's work as a graph. A recording is of one thread
 * (CU_STREAM_CAPTURE_MODE_THREAD_LOCAL): ranks in other threads may go on meanwhile. */
#include "base/mem.h"
#include "runtime/drivers/cuda/cuda_device.h"

status cuda_record(struct device *device) {
  if (!device->api->graph_make)
    return fault_report(DIAG_E0726, NULL, NULL, "the driver is too old for graphs");
  CUDA_TRY(device, "recording a graph", capture_begin(device->stream, CUDA_CAPTURE_THREAD_LOCAL));
  device->recording = true;
  return STATUS_OK;
}

/* What has the form of the one before takes its place, which is cheaper than making it anew. */
static bool update(struct device *device, struct driver_recording *r, cuda_graph *graph) {
  struct cuda_update ignored;
  return r->exec && device->api->exec_update &&
         device->api->exec_update(r->exec, graph, &ignored) == CUDA_SUCCESS;
}

static status make(struct device *device, struct driver_recording *r, cuda_graph *graph) {
  if (update(device, r, graph))
    return STATUS_OK;
  if (r->exec)
    device->api->exec_destroy(r->exec);
  r->exec = NULL;
  CUDA_TRY(device, "making a graph", graph_make(&r->exec, graph, 0));
  return STATUS_OK;
}

status cuda_record_end(struct device *device, bool keep, struct driver_recording **recording) {
  cuda_graph *graph = NULL;
  struct fault cause;
  if (!keep)
    fault_save(&cause);
  device->recording = false;
  int result = device->api->context_set(device->context);
  if (result == CUDA_SUCCESS)
    result = device->api->capture_end(device->stream, &graph);
  status st = STATUS_OK;
  if (!keep)
    st = fault_restore(&cause);
  else if (result != CUDA_SUCCESS)
    st = cuda_device_fail(device, result, "recording a graph");
  if (!st && !*recording && !(*recording = mem_try_calloc(1, sizeof **recording)))
    st = fault_no_memory("a graph", sizeof **recording);
  if (!st)
    st = make(device, *recording, graph);
  if (graph)
    device->api->graph_destroy(graph);
  return st;
}

status cuda_replay(struct device *device, struct driver_recording *recording) {
  CUDA_TRY(device, "launching a graph", exec_launch(recording->exec, device->stream));
  return STATUS_OK;
}

void cuda_recording_destroy(struct device *device, struct driver_recording *recording) {
  if (!recording)
    return;
  if (recording->exec && device->api->context_set(device->context) == CUDA_SUCCESS)
    device->api->exec_destroy(recording->exec);
  mem_free(recording);
}
