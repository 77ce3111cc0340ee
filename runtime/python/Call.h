// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Entry: a compiled function as a Python callable. Dispatcher: several of them behind one call. Shortcut: the base of
// callables written in Python, past which most calls go to an entry.
#pragma once

#include "Graph.h"

#include <vector>

namespace tsr::python {

class Entry {
public:
  Entry(tsr_program *program, const char *name);
  ~Entry() { tsr_program_release(program); }
  Entry(const Entry &) = delete;
  Entry &operator=(const Entry &) = delete;

  /// Reads what a call passed; throws the error that names the argument.
  void readArguments(PyObject *tuple, Argument *arguments, Stream &stream) const;
  /// Whether scalars can be held by the inputs they stand for, and the entry takes all; fills `symbols`. No error.
  bool accepts(Argument *arguments, size_t count, int64_t *symbols) const;
  /// Checks and calls. `symbols`: null, or what accepts gave. `out`: null, an array or a sequence of arrays. With
  /// `graph`, the call is captured there in place of being made.
  nb::object call(Argument *arguments, size_t count, const int64_t *symbols, PyObject *out, Stream &stream,
                  Graph *graph = nullptr, const tsr_observer *observer = nullptr) const;

  tsr_program *const program;
  tsr_entry *entry = nullptr;
  tsr_entry_info info{};
  std::vector<tsr_value_info> arguments, outputs;
  bool hasWeights = false;

private:
  std::string where(const tsr_value_info &value) const;
  void readScalars(Argument *values, size_t count) const;
  nb::object callInto(const tsr_call_args &args, tsr_device device, PyObject *out, Stream &stream, Graph *graph) const;
  nb::object callOnGpu(Argument *values, size_t count, tsr_call_args &args, tsr_device device, PyObject *out,
                       Stream &stream, Graph *graph) const;
  /// The results' arrays, which `make(index, shape, tensor)` makes, and the call that fills them.
  template <class Make, class Finish>
  nb::object callToFresh(Argument *values, tsr_call_args &args, tsr_device device, Graph *graph, Make &&make,
                         Finish &&finish) const;
  void run(const tsr_call_args &args, tsr_device device, Graph *graph) const;
};

class Dispatcher {
public:
  explicit Dispatcher(nb::object slow) : slow(std::move(slow)) {}
  void add(nb::object entry);
  nb::object call(PyObject *args, PyObject *kwargs);

  nb::object slow;
  std::vector<nb::object> entries; // of Entry, the latest used first
};

/// A call of as many arrays as `entry` takes, by position and with out= and stream= at most, goes to it without a frame
/// of Python; any other goes to the method `_call`.
struct Shortcut {
  nb::object entry; // an Entry, or null
};

/// `Entry.capture`.
Graph *captureEntry(const Entry &entry, nb::args args, nb::object out);
/// `Entry.observe`.
nb::object observeEntry(const Entry &entry, nb::args args, nb::object out, nb::object stream, nb::object onKernel,
                        nb::object onValue);

/// tp_call of the Python classes: no argument parsing in the way.
PyObject *callEntry(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *callDispatcher(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *callShortcut(PyObject *self, PyObject *args, PyObject *kwargs);

} // namespace tsr::python
