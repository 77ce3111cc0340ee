// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Graph.h"

#include "../mesh/Watch.h"

using namespace tsr;
using namespace tsr::cuda;

namespace {

/// A stream that is being captured. Relaxed, as what the call does once, loading and uploading, is not to be part of
/// it.
class Capture {
public:
  explicit Capture(Device &device) : device(device) {
    device.check(device.cuda.streamCreate(&stream, streamNonBlocking), "making a stream");
    if (CUresult result = device.cuda.streamBeginCapture(stream, captureRelaxed)) {
      device.cuda.streamDestroy(stream);
      throw device.error(result, "beginning a capture");
    }
  }
  ~Capture() {
    if (!graph) // the call failed: what there is of it is dropped
      device.cuda.streamEndCapture(stream, &graph);
    if (graph)
      device.cuda.graphDestroy(graph);
    device.cuda.streamDestroy(stream);
  }
  Capture(const Capture &) = delete;

  CUgraphExec finish() {
    device.check(device.cuda.streamEndCapture(stream, &graph), "ending a capture");
    CUgraphExec executable;
    device.check(device.cuda.graphInstantiate(&executable, graph, 0), "making a graph");
    return executable;
  }

  Device &device;
  CUstream stream = nullptr;

private:
  CUgraph graph = nullptr;
};

} // namespace

tsr_graph::tsr_graph(tsr_entry &entry, const tsr_call_args &args) : program(entry.program) {
  const tsr_device where = entry.deviceOf(args.inputs, args.num_inputs, args.outputs, args.num_outputs);
  if (where.type != TSR_CUDA)
    refuse(Code::capture, entry.signature.entry, " runs on the CPU here: expected arrays on a GPU");
  if (observerOf(args))
    refuse(Code::capture, entry.signature.entry, " is observed: a graph cannot capture it");
  device = &entry.codeFor(where).resident->device;
  device->requireUsable();
  Current current(*device);
  Capture capture(*device);
  if (entry.mesh)
    label = text("a replay of ", entry.signature.entry);
  tsr_call_args captured = args;
  captured.stream = capture.stream;
  entry.call(captured, &weights);
  executable = capture.finish();
  tsr_program_retain(&program);
}

tsr_graph::~tsr_graph() {
  device->synchronize(); // a replay in flight uses the graph's memory and the weights
  {
    Current current(*device);
    device->cuda.graphExecDestroy(executable);
  }
  weights.clear();
  tsr_program_release(&program);
}

void tsr_graph::launch(CUstream stream) {
  device->requireUsable();
  Current current(*device);
  auto replay = [&] { device->check(device->cuda.graphLaunch(executable, stream), "replaying a graph"); };
  if (mesh::Watch *watch = label.empty() ? nullptr : mesh::Watch::get())
    watch->replay(label, stream, replay);
  else
    replay();
}
