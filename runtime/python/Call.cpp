// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Call.h"

#include "../src/Inline.h"

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

/// The value of out=, or null. Throws for any other keyword.
PyObject *outKeyword(PyObject *kwargs, const char *name) {
  PyObject *key, *value, *out = nullptr;
  for (Py_ssize_t at = 0; kwargs && PyDict_Next(kwargs, &at, &key, &value);) {
    if (PyUnicode_CompareWithASCIIString(key, "out") != 0)
      raise(Code::unexpected_keyword,
            std::string(name) + " takes arrays by position and out=: got keyword '" + nb::str(key).c_str() + "'");
    out = value == Py_None ? nullptr : value;
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

void Entry::readArguments(PyObject *tuple, Argument *values) const {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i) {
    PyObject *object = PyTuple_GET_ITEM(tuple, i);
    Refusal refusal{Code::not_an_array, "expected an array, got " + typeName(object)};
    try {
      if (readArray(object, values[i]))
        continue;
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

void Entry::run(const tsr_call_args &args) const {
  int64_t bytes = 0;
  for (int32_t i = 0; i < args.num_inputs; ++i)
    bytes += byteSize(*args.inputs[i]);
  for (int32_t i = 0; i < args.num_outputs; ++i)
    bytes += byteSize(*args.outputs[i]);
  int32_t status;
  if (bytes >= releaseGilBytes || hasWeights) {
    nb::gil_scoped_release release;
    status = tsr_entry_call(entry, &args);
  } else {
    status = tsr_entry_call(entry, &args);
  }
  check(status);
}

nb::object Entry::callInto(const tsr_call_args &args, PyObject *out) const {
  const bool several = PyTuple_Check(out) || PyList_Check(out);
  const size_t count = several ? static_cast<size_t>(PySequence_Fast_GET_SIZE(out)) : 1;
  Arguments targets(count);
  Tensors tensors(count);
  for (size_t i = 0; i < count; ++i) {
    PyObject *object = several ? PySequence_Fast_GET_ITEM(out, static_cast<Py_ssize_t>(i)) : out;
    const std::string place = "output " + std::to_string(i) + ": ", entryName = std::string(" (") + info.name + ")";
    try {
      if (!readArray(object, targets[i]) || targets[i].kind == Kind::scalar)
        raise(Code::not_an_array, place + "expected an array, got " + typeName(object) + entryName);
    } catch (const Refusal &refusal) {
      raise(refusal.code, place + refusal.text + entryName);
    }
    if (targets[i].isReadOnly)
      raise(Code::output_readonly, place + "the array is read-only" + entryName);
    if (targets[i].strides && targets[i].owner)
      raise(Code::output_layout, place + "expected a row-major contiguous array" + entryName);
    tensors[i] = &targets[i].tensor;
  }
  tsr_call_args into = args;
  into.outputs = tensors.data();
  into.num_outputs = static_cast<int32_t>(count);
  run(into);
  return nb::borrow(out);
}

nb::object Entry::call(Argument *values, size_t count, const int64_t *symbols, PyObject *out) const {
  Tensors inputs(count);
  Kind kind = Kind::scalar;
  const Framework *framework = nullptr;
  for (size_t i = 0; i < count; ++i) {
    inputs[i] = &values[i].tensor;
    kind = values[i].kind > kind ? values[i].kind : kind;
    framework = framework ? framework : values[i].framework;
  }
  Symbols bound(symbols ? 0 : static_cast<size_t>(info.num_symbols));
  if (!symbols) {
    readScalars(values, count);
    check(tsr_entry_bind(entry, inputs.data(), static_cast<int32_t>(count), bound.data()));
    symbols = bound.data();
  }
  tsr_call_args args{sizeof args, static_cast<int32_t>(count), 0, inputs.data(), nullptr, symbols, nullptr, nullptr};
  if (out)
    return callInto(args, out);

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
    check(tsr_entry_output_shape(entry, static_cast<int32_t>(i), symbols, shape));
    results[i] = makeArray(kind, framework, outputs[i].dtype, outputs[i].ndim, shape, tensors[i]);
    pointers[i] = &tensors[i];
    shape += outputs[i].ndim;
  }
  args.outputs = pointers.data();
  args.num_outputs = static_cast<int32_t>(numOutputs);
  run(args);
  auto finish = [&](size_t i) {
    return outputs[i].alias >= 0 ? std::move(results[i]) : finishArray(kind, std::move(results[i]));
  };
  if (numOutputs == 1)
    return finish(0);
  nb::object tuple = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(numOutputs)));
  for (size_t i = 0; i < numOutputs; ++i)
    PyTuple_SET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(i), finish(i).release().ptr());
  return tuple;
}

void Dispatcher::add(nb::object entry) {
  if (!nb::isinstance<Entry>(entry))
    throw nb::type_error("Dispatcher.add: expected an Entry");
  entries.insert(entries.begin(), std::move(entry));
}

nb::object Dispatcher::call(PyObject *args, PyObject *kwargs) {
  const size_t count = static_cast<size_t>(PyTuple_GET_SIZE(args));
  const Py_ssize_t numKeywords = kwargs ? PyDict_GET_SIZE(kwargs) : 0;
  PyObject *out = numKeywords == 1 ? PyDict_GetItemString(kwargs, "out") : nullptr;
  auto callSlow = [&] {
    nb::object target = slow; // it may replace entries, or itself
    nb::object result = nb::steal(PyObject_Call(target.ptr(), args, kwargs));
    if (!result)
      throw nb::python_error();
    return result;
  };
  if (entries.empty() || (numKeywords && !out))
    return callSlow();
  Arguments values(count);
  try {
    for (size_t i = 0; i < count; ++i)
      if (!readArray(PyTuple_GET_ITEM(args, static_cast<Py_ssize_t>(i)), values[i]))
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
    return entry.call(values.data(), count, symbols.data(), out == Py_None ? nullptr : out);
  }
  return callSlow();
}

PyObject *callEntry(PyObject *self, PyObject *args, PyObject *kwargs) {
  return guarded([&] {
    const Entry &entry = *nb::inst_ptr<Entry>(self);
    PyObject *out = outKeyword(kwargs, entry.info.name);
    const size_t count = static_cast<size_t>(PyTuple_GET_SIZE(args));
    Arguments values(count);
    if (count == entry.arguments.size()) // otherwise bind says so before it looks at any
      entry.readArguments(args, values.data());
    return entry.call(values.data(), count, nullptr, out);
  });
}

PyObject *callDispatcher(PyObject *self, PyObject *args, PyObject *kwargs) {
  return guarded([&] { return nb::inst_ptr<Dispatcher>(self)->call(args, kwargs); });
}

} // namespace tsr::python
