// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tessera._runtime: the runtime for Python, through the C ABI.
#include "Call.h"
#include "Gpu.h"
#include "Mesh.h"
#include "PageTable.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

using namespace nanobind::literals;

namespace tsr::python {

namespace {

struct Program {
  tsr_program *handle = nullptr;
  nb::dict ownWeights; // what was set from Python, so that weights() gives back the very arrays
  explicit Program(tsr_program *handle) : handle(handle) {}
  Program(Program &&other) noexcept
      : handle(std::exchange(other.handle, nullptr)), ownWeights(std::move(other.ownWeights)) {}
  ~Program() { tsr_program_release(handle); }
};

tsr_open_options openOptions(bool verifyWeights, const std::optional<std::string> &target) {
  return {sizeof(tsr_open_options), verifyWeights ? uint32_t(TSR_OPEN_VERIFY_WEIGHTS) : 0,
          target ? target->c_str() : nullptr};
}

Program load(nb::object path, bool verifyWeights, std::optional<std::string> target) {
  PyObject *encoded = nullptr;
  if (!PyUnicode_FSConverter(path.ptr(), &encoded))
    throw nb::python_error();
  nb::bytes bytes = nb::steal<nb::bytes>(encoded);
  tsr_open_options options = openOptions(verifyWeights, target);
  tsr_program *program = nullptr;
  int32_t status;
  {
    nb::gil_scoped_release release;
    status = tsr_open(bytes.c_str(), &options, &program);
  }
  check(status);
  return Program(program);
}

/// Any object with the buffer protocol, for as long as this lives.
struct Buffer {
  Py_buffer view;
  explicit Buffer(nb::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view, PyBUF_SIMPLE) != 0)
      throw nb::python_error();
  }
  ~Buffer() { PyBuffer_Release(&view); }
};

Program loadBytes(nb::object data, bool verifyWeights, std::optional<std::string> target) {
  Buffer buffer(data);
  tsr_open_options options = openOptions(verifyWeights, target);
  tsr_program *program = nullptr;
  check(tsr_open_memory(buffer.view.buf, static_cast<size_t>(buffer.view.len), &options, &program));
  return Program(program);
}

void checkObject(nb::object data) {
  Buffer buffer(data);
  check(tsr_check_object(buffer.view.buf, static_cast<size_t>(buffer.view.len)));
}

nb::str manifest(const Program &program) {
  const char *json;
  size_t size;
  check(tsr_program_manifest(program.handle, &json, &size));
  return nb::str(json, size);
}

std::vector<std::string> entryNames(const Program &program) {
  std::vector<std::string> names;
  for (int32_t i = 0; i < tsr_program_entry_count(program.handle); ++i)
    names.push_back(tsr_program_entry_name(program.handle, i));
  return names;
}

/// A weight that Python owns: the array lives until the runtime lets go of it, on whatever thread that is.
struct OwnedWeight {
  tsr_managed_tensor managed;
  Argument argument;
  nb::object array;

  static void release(tsr_managed_tensor *self) {
    auto *weight = static_cast<OwnedWeight *>(self->manager_ctx);
    if (!Py_IsInitialized())
      return; // the interpreter is gone, and its objects with it
    nb::gil_scoped_acquire acquire;
    delete weight;
  }
};

void setWeight(Program &program, const std::string &name, nb::object array) {
  auto weight = std::make_unique<OwnedWeight>();
  weight->array = array;
  Stream stream;
  try {
    if (!readArray(array.ptr(), weight->argument, stream) || weight->argument.kind == Kind::scalar)
      raise(Code::not_an_array, "weight '" + name + "': expected an array, got " + Py_TYPE(array.ptr())->tp_name);
  } catch (const Refusal &refusal) {
    raise(refusal.code, "weight '" + name + "': " + refusal.text);
  }
  // Kept before the runtime takes it: whoever looks in between must not see a view that nothing keeps alive.
  nb::object previous =
      program.ownWeights.contains(name.c_str()) ? nb::object(program.ownWeights[name.c_str()]) : nb::object();
  program.ownWeights[name.c_str()] = array;
  weight->managed = {{1, 0}, weight.get(), OwnedWeight::release, 0, weight->argument.tensor};
  int32_t status;
  {
    nb::gil_scoped_release release; // it waits for calls in flight
    status = tsr_program_set_weight(program.handle, name.c_str(), &weight->managed);
  }
  if (status != 0) {
    if (previous)
      program.ownWeights[name.c_str()] = previous;
    else
      nb::del(program.ownWeights[name.c_str()]);
    check(status);
  }
  weight.release();
}

nb::dict weights(nb::handle_t<Program> self) {
  const Program &program = nb::cast<const Program &>(self);
  nb::dict result;
  for (int32_t i = 0; i < tsr_program_weight_count(program.handle); ++i) {
    const char *name = tsr_program_weight_name(program.handle, i);
    tsr_tensor tensor;
    if (program.ownWeights.contains(name))
      result[name] = program.ownWeights[name];
    else if (tsr_program_weight(program.handle, name, &tensor) == 0)
      result[name] = viewArray(tensor, self);
    else
      result[name] = nb::none();
  }
  return result;
}

int64_t workspaceSize(const Entry &entry, nb::dict dims) {
  std::vector<std::string> names;
  std::vector<tsr_dim> sizes;
  for (auto [name, size] : dims) {
    names.push_back(nb::cast<std::string>(name));
    sizes.push_back({nullptr, nb::cast<int64_t>(size)});
  }
  for (size_t i = 0; i < names.size(); ++i)
    sizes[i].symbol = names[i].c_str();
  int64_t bytes = 0;
  check(tsr_workspace_size(entry.entry, sizes.data(), static_cast<int32_t>(sizes.size()), &bytes));
  return bytes;
}

nb::tuple meshTraffic(const Entry &entry, int32_t collective) {
  tsr_traffic traffic{};
  traffic.struct_size = sizeof traffic;
  check(tsr_entry_traffic(entry.entry, collective, &traffic));
  return nb::make_tuple(traffic.calls, traffic.given, traffic.got);
}

std::vector<std::string> hostFeatures() {
  std::vector<std::string> names;
  std::string all = tsr_host_features();
  for (size_t at = 0; at <= all.size();) {
    size_t comma = std::min(all.find(',', at), all.size());
    names.push_back(all.substr(at, comma - at));
    at = comma + 1;
  }
  return names;
}

// A function object and the methods that it calls refer to each other: let the collector see it.
int traverseDispatcher(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self))
    return 0;
  Dispatcher *dispatcher = nb::inst_ptr<Dispatcher>(self);
  Py_VISIT(dispatcher->slow.ptr());
  for (const nb::object &entry : dispatcher->entries)
    Py_VISIT(entry.ptr());
  return 0;
}

int clearDispatcher(PyObject *self) {
  Dispatcher *dispatcher = nb::inst_ptr<Dispatcher>(self);
  dispatcher->slow = nb::none();
  dispatcher->entries.clear();
  return 0;
}

PyType_Slot entrySlots[] = {{Py_tp_call, reinterpret_cast<void *>(callEntry)}, {0, nullptr}};
PyType_Slot dispatcherSlots[] = {{Py_tp_call, reinterpret_cast<void *>(callDispatcher)},
                                 {Py_tp_traverse, reinterpret_cast<void *>(traverseDispatcher)},
                                 {Py_tp_clear, reinterpret_cast<void *>(clearDispatcher)},
                                 {0, nullptr}};
PyType_Slot shortcutSlots[] = {{Py_tp_call, reinterpret_cast<void *>(callShortcut)}, {0, nullptr}};

} // namespace

NB_MODULE(_runtime, module) {
  module.doc() = "The runtime: loads artifacts and calls their entries (C++, in ``runtime/``).";
  initialiseArrays();

  // Signatures are written out where C++ has no word for a type: tools/write_stubs.py makes _runtime.pyi of them.
  nb::class_<Entry>(module, "Entry", nb::type_slots(entrySlots),
                    "One compiled function. Called with arrays by position, and out= for results in memory of yours.")
      .def_prop_ro(
          "name", [](const Entry &self) { return std::string(self.info.name); }, "Its name in the artifact.")
      .def_prop_ro(
          "target", [](const Entry &self) { return tsr_entry_target(self.entry); },
          nb::sig("def target(self) -> str | None"),
          "The target whose code was picked: the CPU's, else that of a GPU, and before a call there ``None``.")
      .def("capture", &captureEntry, "arrays"_a, nb::kw_only(), "out"_a = nb::none(),
           nb::sig("def capture(self, *arrays: typing.Any, out: typing.Any = None) -> Graph"),
           "Capture a call on a GPU in a CUDA graph. The graph keeps the arrays and the weights that there are now.")
      .def(
          "observe", &observeEntry, "arrays"_a, nb::kw_only(), "out"_a = nb::none(), "stream"_a = nb::none(),
          "on_kernel"_a = nb::none(), "on_value"_a = nb::none(),
          nb::sig("def observe(self, *arrays: typing.Any, out: typing.Any = None, stream: typing.Any = None, "
                  "on_kernel: collections.abc.Callable[[str, float], object] | None = None, "
                  "on_value: collections.abc.Callable[[str, int, typing.Any], object] | None = None) -> typing.Any"),
          "Call it, and tell who watches what happens.\n\n``on_kernel(name, microseconds)`` is called for each kernel "
          "that ran on a GPU, when all is done;\non a CPU, once for the whole call, unless the program is one for "
          "debugging. With such a program,\n``on_value(target, index, array)`` gets a copy of each value that a kernel "
          "computes.")
      .def("workspace_size", &workspaceSize, "dims"_a, nb::sig("def workspace_size(self, dims: dict[str, int]) -> int"),
           "Bytes of workspace that a call takes when the symbols have these sizes.")
      .def("mesh_traffic", &meshTraffic, "collective"_a,
           nb::sig("def mesh_traffic(self, collective: int) -> tuple[int, int, int]"),
           "How often a collective has run in this process, and the bytes of the arrays given to it and got of it.")
      .def("__repr__", [](const Entry &self) {
        const char *target = tsr_entry_target(self.entry);
        return std::string("<tessera entry '") + self.info.name + "' for " + (target ? target : "GPUs") + ">";
      });

  nb::class_<Program>(module, "Program", "An opened artifact. Opening runs no code of it.")
      .def_prop_ro("entries", &entryNames, "Names of its entries.")
      .def_prop_ro("manifest", &manifest, "The text of manifest.json.")
      .def(
          "entry", [](const Program &self, const std::string &name) { return new Entry(self.handle, name.c_str()); },
          "name"_a, "The entry of that name, its code loaded for this machine.")
      .def("set_weight", &setWeight, "name"_a, "array"_a,
           nb::sig("def set_weight(self, name: str, array: typing.Any) -> None"),
           "Give a weight a value.\n\nThe array is used in place and kept alive; calls in flight are waited for. GPUs "
           "get a"
           "\ncopy when a call first needs one; an array on a GPU is used there in place, by calls on any stream.")
      .def("weights", &weights, nb::sig("def weights(self) -> dict[str, typing.Any]"),
           "The weights by name: arrays that were set, read-only views of the file, ``None`` where unset.");

  nb::class_<Dispatcher>(
      module, "Dispatcher", nb::type_slots(dispatcherSlots), nb::dynamic_attr(),
      "A callable that tries its entries, the latest used first, and then calls ``slow(*args, **kwargs)``."
      "\n\nAdd only entries that a call with plain positional arrays means: an entry compiled for other static values,"
      "\nor for arguments that don't come first, must not be here.")
      .def(nb::init<nb::object>(), "slow"_a,
           nb::sig("def __init__(self, slow: collections.abc.Callable[..., typing.Any]) -> None"))
      .def("add", &Dispatcher::add, "entry"_a, nb::sig("def add(self, entry: Entry) -> None"),
           "Try this entry first from now on.")
      .def(
          "clear", [](Dispatcher &self) { self.entries.clear(); }, "Forget all entries.")
      .def_prop_ro(
          "entries", [](const Dispatcher &self) { return self.entries; }, nb::sig("def entries(self) -> list[Entry]"),
          "The entries, latest used first.");

  nb::class_<Shortcut>(module, "Shortcut", nb::type_slots(shortcutSlots),
                       "The base of a callable with a method ``_call`` for what is not the call of an entry."
                       "\n\nSuch a call goes to the entry at once, without a frame of Python.")
      .def(nb::init<>())
      .def(
          "shorten", [](Shortcut &self, nb::handle_t<Entry> entry) { self.entry = nb::borrow(entry); }, "entry"_a,
          "Let calls of as many arrays as this entry takes, by position and perhaps with out= and stream=, go to it.");

  bindGpu(module);
  bindMesh(module);
  bindPageTable(module);

  module.def("load", &load, "path"_a, nb::kw_only(), "verify_weights"_a = false, "target"_a = nb::none(),
             nb::sig("def load(path: str | bytes | os.PathLike[str] | os.PathLike[bytes], *, "
                     "verify_weights: bool = False, target: str | None = None) -> Program"),
             "Open an artifact. Code digests are always verified, those of weights on request.\n\nWith ``target``, "
             "only its code is used.");
  module.def("load_bytes", &loadBytes, "data"_a, nb::kw_only(), "verify_weights"_a = false, "target"_a = nb::none(),
             nb::sig("def load_bytes(data: typing_extensions.Buffer, *, verify_weights: bool = False, "
                     "target: str | None = None) -> Program"),
             "Open an artifact held in memory; the bytes are copied.");
  module.def("check_object", &checkObject, "data"_a,
             nb::sig("def check_object(data: typing_extensions.Buffer) -> None"),
             "Raise ``ArtifactError`` if the loader would refuse this host object. Runs nothing.");
  module.def("host_features", &hostFeatures, "CPU features that code may use on this machine, in LLVM's names.");
  module.def(
      "native_target", [] { return std::string(tsr_native_target()); },
      "The best CPU target for this machine: ``\"cpu:avx512\"``, ``\"cpu:avx2\"`` or ``\"cpu\"``.");
  module.def("trim", &tsr_trim, "Give unused memory of the runtime's caches back to the system.");
}

} // namespace tsr::python
