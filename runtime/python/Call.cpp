// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Call.h"

#include "../src/Inline.h"
#include "Torch.h"

namespace tsr::python {

namespace {

constexpr size_t usualArguments = 8, usualSymbols = 16;

/// Below this, a call ends before another thread could have made use of the lock, and taking it back may cost a whole
/// switch interval (5 ms) when a busy thread holds it.
constexpr int64_t releaseGilBytes = 64 << 10;

using Arguments = Inline<Argument, usualArguments>;
using Symbols = Inline<int64_t, usualSymbols>;
using Tensors = Inline<const tsr_tensor *, usualArguments>;

std::string typeName(PyObject *object) { return Py_TYPE(object)->tp_name; }

/// The value of out=, or null, and the stream given. Throws for any other keyword.
PyObject *readKeywords(PyObject *kwargs, const char *name, Stream &stream) {
  PyObject *key, *value, *out = nullptr;
  for (Py_ssize_t at = 0; kwargs && PyDict_Next(kwargs, &at, &key, &value);) {
    if (PyUnicode_CompareWithASCIIString(key, "out") == 0)
      out = value == Py_None ? nullptr : value;
    else if (PyUnicode_CompareWithASCIIString(key, "stream") != 0)
      raise(Code::unexpected_keyword, std::string(name) + " takes arrays by position, out= and stream=: got keyword '" +
                                          nb::str(key).c_str() + "'");
    else if (value != Py_None)
      stream = {streamHandle(value), true, true};
  }
  return out;
}

template <class Body> PyObject *guarded(Body &&body) noexcept {
  try {
    return body().release().ptr();
  } catch (nb::python_error &error) {
    error.restore();
  } catch (const std::bad_alloc &) {
    PyErr_NoMemory();
  } catch (const std::exception &error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

} // namespace

Entry::Entry(tsr_program *program, const char *name) : program(program) {
  check(tsr_program_entry(program, name, &entry));
  check(tsr_entry_prepare(entry));
  info.struct_size = sizeof info;
  check(tsr_entry_get_info(entry, &info));
  tsr_value_info value{};
  value.struct_size = sizeof value;
  for (int32_t i = 0; i < info.num_arguments; ++i) {
    check(tsr_entry_argument(entry, i, &value));
    arguments.push_back(value);
  }
  for (int32_t i = 0; i < info.num_outputs; ++i) {
    check(tsr_entry_output(entry, i, &value));
    outputs.push_back(value);
  }
  hasWeights = tsr_program_weight_count(program) > 0;
  tsr_program_retain(program);
}

std::string Entry::where(const tsr_value_info &value) const {
  return std::string(" (") + info.name + (*value.source ? ", " : "") + value.source + ")";
}

void Entry::readArguments(PyObject *tuple, Argument *values, Stream &stream) const {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i) {
    PyObject *object = PyTuple_GET_ITEM(tuple, i);
    Refusal refusal{Code::not_an_array, {}};
    try {
      if (readArray(object, values[i], stream))
        continue;
      refusal.text = "expected an array, got " + typeName(object);
    } catch (const Refusal &thrown) {
      refusal = thrown;
    }
    if (i >= info.num_arguments) // one too many, which bind tells better
      continue;
    const tsr_value_info &value = arguments[static_cast<size_t>(i)];
    raise(refusal.code, std::string("argument '") + value.name + "': " + refusal.text + where(value));
  }
}

void Entry::readScalars(Argument *values, size_t count) const {
  for (size_t i = 0; i < count && i < arguments.size(); ++i)
    if (values[i].kind == Kind::scalar)
      try {
        readScalar(values[i], arguments[i].dtype);
      } catch (const Refusal &refusal) {
        raise(refusal.code, std::string("argument '") + arguments[i].name + "': " + refusal.text + where(arguments[i]));
      }
}

bool Entry::accepts(Argument *values, size_t count, int64_t *symbols) const {
  if (count != arguments.size())
    return false;
  Tensors tensors(count);
  for (size_t i = 0; i < count; ++i) {
    if (values[i].kind == Kind::scalar) {
      if (arguments[i].ndim != 0)
        return false;
      try {
        readScalar(values[i], arguments[i].dtype);
      } catch (const Refusal &) {
        return false;
      }
    }
    tensors[i] = &values[i].tensor;
  }
  return tsr_entry_accepts(entry, tensors.data(), static_cast<int32_t>(count), symbols);
}

void Entry::run(const tsr_call_args &args, tsr_device device, Graph *graph) const {
  tsr_graph *captured = nullptr;
  auto make = [&] { return graph ? tsr_entry_capture(entry, &args, &captured) : tsr_entry_call(entry, &args); };
  int64_t bytes = 0;
  for (int32_t i = 0; i < args.num_inputs; ++i)
    bytes += byteSize(*args.inputs[i]);
  for (int32_t i = 0; i < args.num_outputs; ++i)
    bytes += byteSize(*args.outputs[i]);
  int32_t status;
  // A launch may wait for the device's queue, and what is in that for a thread that wants the lock; a rank for others.
  if (bytes >= releaseGilBytes || hasWeights || info.num_ranks > 0 || device.type == TSR_CUDA) {
    nb::gil_scoped_release release;
    status = make();
  } else {
    status = make();
  }
  check(status);
  if (graph) {
    graph->handle.reset(captured);
    graph->device = device;
  }
}

nb::object Entry::callInto(const tsr_call_args &args, tsr_device device, PyObject *out, Stream &stream,
                           Graph *graph) const {
  const bool several = PyTuple_Check(out) || PyList_Check(out);
  const size_t count = several ? static_cast<size_t>(PySequence_Fast_GET_SIZE(out)) : 1;
  Arguments targets(count);
  Tensors tensors(count);
  for (size_t i = 0; i < count; ++i) {
    PyObject *object = several ? PySequence_Fast_GET_ITEM(out, static_cast<Py_ssize_t>(i)) : out;
    auto refuse = [&](Code code, const std::string &text) {
      raise(code, "output " + std::to_string(i) + ": " + text + " (" + info.name + ")");
    };
    try {
      if (!readArray(object, targets[i], stream) || targets[i].kind == Kind::scalar)
        refuse(Code::not_an_array, "expected an array, got " + typeName(object));
    } catch (const Refusal &refusal) {
      refuse(refusal.code, refusal.text);
    }
    if (targets[i].isReadOnly)
      refuse(Code::output_readonly, "the array is read-only");
    if (targets[i].strides && targets[i].owner)
      refuse(Code::output_layout, "expected a row-major contiguous array");
    tensors[i] = &targets[i].tensor;
  }
  tsr_call_args into = args;
  if (count && targets[0].tensor.device.type == TSR_CUDA) { // where no argument is on a GPU, the results say where
    device = targets[0].tensor.device;
    into.stream =
        stream.decide(targets[0].framework && !stream.isKnown ? targets[0].framework->currentStream(device) : nullptr);
  }
  into.outputs = tensors.data();
  into.num_outputs = static_cast<int32_t>(count);
  run(into, device, graph);
  return nb::borrow(out);
}

template <class Make, class Finish>
nb::object Entry::callToFresh(Argument *values, tsr_call_args &args, tsr_device device, Graph *graph, Make &&make,
                              Finish &&finish) const {
  const size_t numOutputs = outputs.size();
  Inline<nb::object, usualArguments> results(numOutputs);
  Inline<tsr_tensor, usualArguments> tensors(numOutputs);
  Tensors pointers(numOutputs);
  size_t ranks = 0;
  for (const tsr_value_info &value : outputs)
    ranks += static_cast<size_t>(value.ndim);
  Inline<int64_t, 4 * usualArguments> shapes(ranks);
  int64_t *shape = shapes.data();
  for (size_t i = 0; i < numOutputs; ++i) {
    if (outputs[i].alias >= 0) {
      const size_t alias = static_cast<size_t>(outputs[i].alias);
      if (values[alias].isReadOnly)
        raise(Code::output_readonly, std::string("argument '") + arguments[alias].name +
                                         "': the array is read-only, and the call changes it" +
                                         where(arguments[alias]));
      results[i] = nb::borrow(values[alias].object);
      pointers[i] = &values[alias].tensor;
      continue;
    }
    check(tsr_entry_output_shape(entry, static_cast<int32_t>(i), args.symbols, shape));
    results[i] = make(outputs[i], shape, tensors[i]);
    pointers[i] = &tensors[i];
    shape += outputs[i].ndim;
  }
  args.outputs = pointers.data();
  args.num_outputs = static_cast<int32_t>(numOutputs);
  run(args, device, graph);
  auto finished = [&](size_t i) {
    return outputs[i].alias >= 0 ? std::move(results[i]) : finish(std::move(results[i]));
  };
  if (numOutputs == 1)
    return finished(0);
  nb::object tuple = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(numOutputs)));
  for (size_t i = 0; i < numOutputs; ++i)
    PyTuple_SET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(i), finished(i).release().ptr());
  return tuple;
}

nb::object Entry::call(Argument *values, size_t count, const int64_t *symbols, PyObject *out, Stream &stream,
                       Graph *graph, const tsr_observer *observer) const {
  Tensors inputs(count);
  Kind kind = Kind::scalar;
  const Framework *framework = nullptr;
  bool onHost = false, onGpu = false; // whether there is an array there
  for (size_t i = 0; i < count; ++i) {
    inputs[i] = &values[i].tensor;
    kind = values[i].kind > kind ? values[i].kind : kind;
    framework = framework ? framework : values[i].framework;
    if (values[i].kind != Kind::scalar)
      (values[i].tensor.device.type == TSR_CUDA ? onGpu : onHost) = true;
  }
  Symbols bound(symbols ? 0 : static_cast<size_t>(info.num_symbols));
  if (!symbols) {
    readScalars(values, count);
    check(tsr_entry_bind(entry, inputs.data(), static_cast<int32_t>(count), bound.data()));
    symbols = bound.data();
  }
  tsr_call_args args{sizeof args, static_cast<int32_t>(count), 0, inputs.data(), nullptr, symbols, nullptr, nullptr,
                     observer};
  tsr_device device{TSR_CPU, 0};
  if (onGpu || !onHost) // numbers alone, or nothing: the entry says where
    check(tsr_entry_device(entry, inputs.data(), static_cast<int32_t>(count), &device));
  if (device.type == TSR_CUDA)
    return callOnGpu(values, count, args, device, out, stream, graph);
  args.stream = stream.handle;
  if (out)
    return callInto(args, device, out, stream, graph);
  return callToFresh(
      values, args, device, graph,
      [&](const tsr_value_info &value, int64_t *shape, tsr_tensor &tensor) {
        return makeArray(kind, framework, value.dtype, value.ndim, shape, tensor);
      },
      [&](nb::object array) { return finishArray(kind, std::move(array)); });
}

nb::object Entry::callOnGpu(Argument *values, size_t count, tsr_call_args &args, tsr_device device, PyObject *out,
                            Stream &stream, Graph *graph) const {
  const Argument *like = nullptr; // results are arrays like this one
  for (size_t i = 0; i < count; ++i)
    if (values[i].tensor.device.type == TSR_CUDA && (!like || (values[i].framework && !like->framework)))
      like = &values[i];
  const Framework *framework = like ? like->framework : nullptr;
  StreamScope scope;
  void *current = nullptr;
  bool differs = false;
  if (framework) {
    current = framework->currentStream(device);
    differs = stream.decide(current) != current;
    if (differs && !stream.isGiven) // other frameworks' arrays decided
      check(tsr_stream_wait(device, stream.handle, current));
    if (differs && framework->torch)
      scope.enter(*framework, device, stream.handle);
  }
  for (size_t i = 0; i < count; ++i)
    if (!graph && !arguments[i].donated && !isContiguous(values[i].tensor))
      try {
        makeContiguous(values[i], stream);
      } catch (const Refusal &refusal) {
        raise(refusal.code, std::string("argument '") + arguments[i].name + "': " + refusal.text + where(arguments[i]));
      }
  args.stream = stream.decide();
  nb::object result = out ? callInto(args, device, out, stream, graph)
                          : callToFresh(
                                values, args, device, graph,
                                [&](const tsr_value_info &value, int64_t *shape, tsr_tensor &tensor) {
                                  return makeGpuArray(like, device, stream, value.dtype, value.ndim, shape, tensor);
                                },
                                [&](nb::object array) { return finishGpuArray(like, std::move(array)); });
  if (differs && !stream.isGiven) // its memory may be used again on its stream
    check(tsr_stream_wait(device, current, stream.handle));
  if (graph)
    graph->framework = framework;
  return result;
}

void Dispatcher::add(nb::object entry) {
  if (!nb::isinstance<Entry>(entry))
    throw nb::type_error("Dispatcher.add: expected an Entry");
  entries.insert(entries.begin(), std::move(entry));
}

nb::object Dispatcher::call(PyObject *args, PyObject *kwargs) {
  const size_t count = static_cast<size_t>(PyTuple_GET_SIZE(args));
  const Py_ssize_t numKeywords = kwargs ? PyDict_GET_SIZE(kwargs) : 0;
  PyObject *out = numKeywords ? PyDict_GetItemString(kwargs, "out") : nullptr;
  PyObject *given = numKeywords ? PyDict_GetItemString(kwargs, "stream") : nullptr;
  auto callSlow = [&] {
    nb::object target = slow; // it may replace entries, or itself
    nb::object result = nb::steal(PyObject_Call(target.ptr(), args, kwargs));
    if (!result)
      throw nb::python_error();
    return result;
  };
  if (entries.empty() || numKeywords != (out != nullptr) + (given != nullptr))
    return callSlow();
  Stream stream;
  if (given && given != Py_None)
    stream = {streamHandle(given), true, true};
  Arguments values(count);
  try {
    for (size_t i = 0; i < count; ++i)
      if (!readArray(PyTuple_GET_ITEM(args, static_cast<Py_ssize_t>(i)), values[i], stream))
        return callSlow();
  } catch (const Refusal &) {
    return callSlow();
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    const Entry &entry = *nb::inst_ptr<Entry>(entries[i]);
    Symbols symbols(static_cast<size_t>(entry.info.num_symbols));
    if (!entry.accepts(values.data(), count, symbols.data()))
      continue;
    for (size_t j = i; j > 0; --j)
      std::swap(entries[j], entries[j - 1]);
    nb::object keep = entries[0]; // another thread may drop it while the lock is released
    return entry.call(values.data(), count, symbols.data(), out == Py_None ? nullptr : out, stream);
  }
  return callSlow();
}

static nb::object callWith(const Entry &entry, PyObject *args, PyObject *out, Stream &stream, Graph *graph,
                           const tsr_observer *observer = nullptr) {
  const size_t count = static_cast<size_t>(PyTuple_GET_SIZE(args));
  Arguments values(count);
  if (count == entry.arguments.size()) // otherwise bind says so before it looks at any
    entry.readArguments(args, values.data(), stream);
  return entry.call(values.data(), count, nullptr, out, stream, graph, observer);
}

PyObject *callEntry(PyObject *self, PyObject *args, PyObject *kwargs) {
  return guarded([&] {
    const Entry &entry = *nb::inst_ptr<Entry>(self);
    Stream stream;
    PyObject *out = readKeywords(kwargs, entry.info.name, stream);
    return callWith(entry, args, out, stream, nullptr);
  });
}

Graph *captureEntry(const Entry &entry, nb::args args, nb::object out) {
  auto graph = std::make_unique<Graph>();
  Stream stream;
  graph->outputs = callWith(entry, args.ptr(), out.is_none() ? nullptr : out.ptr(), stream, graph.get());
  graph->inputs = args;
  return graph.release();
}

namespace {

/// Functions of Python as an observer. What one of them raises ends the call, and is raised from it.
struct Observer : tsr_observer {
  nb::object kernelFunction, valueFunction;
  std::exception_ptr raised;

  Observer(nb::object onKernel, nb::object onValue)
      : tsr_observer{sizeof(tsr_observer), this, nullptr, nullptr}, kernelFunction(onKernel), valueFunction(onValue) {
    if (!kernelFunction.is_none())
      on_kernel = [](void *self, const char *name, double microseconds) {
        static_cast<Observer *>(self)->run([&](Observer &observer) { observer.kernelFunction(name, microseconds); });
      };
    if (!valueFunction.is_none())
      on_value = [](void *self, const char *target, int32_t index, const tsr_tensor *value) {
        return static_cast<Observer *>(self)->run([&](Observer &observer) {
          observer.valueFunction(target, index, viewArray(*value, nb::none()).attr("copy")());
        });
      };
  }

  template <class Body> int32_t run(Body &&body) noexcept {
    if (!raised) {
      nb::gil_scoped_acquire acquire;
      try {
        body(*this);
      } catch (...) {
        raised = std::current_exception();
      }
    }
    return raised ? 1 : 0;
  }
};

} // namespace

nb::object observeEntry(const Entry &entry, nb::args args, nb::object out, nb::object given, nb::object onKernel,
                        nb::object onValue) {
  Stream stream;
  if (!given.is_none())
    stream = {streamHandle(given.ptr()), true, true};
  Observer observer(onKernel, onValue);
  nb::object result;
  try {
    result = callWith(entry, args.ptr(), out.is_none() ? nullptr : out.ptr(), stream, nullptr, &observer);
  } catch (...) {
    if (!observer.raised)
      throw;
  }
  if (observer.raised)
    std::rethrow_exception(observer.raised);
  return result;
}

PyObject *callShortcut(PyObject *self, PyObject *args, PyObject *kwargs) {
  static PyObject *const method = PyUnicode_InternFromString("_call"), *const out = PyUnicode_InternFromString("out"),
                         *const stream = PyUnicode_InternFromString("stream");
  if (nb::object entry = nb::inst_ready(self) ? nb::inst_ptr<Shortcut>(self)->entry : nb::object()) {
    const Py_ssize_t numOwn = kwargs ? (PyDict_Contains(kwargs, out) == 1) + (PyDict_Contains(kwargs, stream) == 1) : 0;
    if (static_cast<size_t>(PyTuple_GET_SIZE(args)) == nb::inst_ptr<Entry>(entry)->arguments.size() &&
        (!kwargs || PyDict_GET_SIZE(kwargs) == numOwn))
      return callEntry(entry.ptr(), args, kwargs);
  }
  nb::object general = nb::steal(PyObject_GetAttr(self, method));
  return general ? PyObject_Call(general.ptr(), args, kwargs) : nullptr;
}

PyObject *callDispatcher(PyObject *self, PyObject *args, PyObject *kwargs) {
  return guarded([&] { return nb::inst_ptr<Dispatcher>(self)->call(args, kwargs); });
}

} // namespace tsr::python
