// Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Mesh.h"

#include "Errors.h"

#include <memory>
#include <nanobind/stl/string.h>

namespace nb = nanobind;
using namespace nanobind::literals;

namespace tsr::python {

static tsr_world_info world() {
  tsr_world_info info{};
  info.struct_size = sizeof info;
  check(tsr_world(&info));
  return info;
}

static double timeout() {
  double seconds = 0;
  check(tsr_mesh_timeout(&seconds));
  return seconds;
}

/// A failure that no call reports is raised in Python's main thread, when that next runs Python: a wait for the GPU
/// that the failure ended gives no result.
static void raiseInMainThread(void *, int32_t error, const char *message) {
  struct Failure {
    int32_t error;
    std::string message;
  };
  if (!Py_IsInitialized())
    return;
  auto failure = std::make_unique<Failure>(Failure{error, message});
  const int status = Py_AddPendingCall(
      [](void *argument) {
        const std::unique_ptr<Failure> failure(static_cast<Failure *>(argument));
        try {
          raise(static_cast<Code>(failure->error), failure->message);
        } catch (nb::python_error &thrown) {
          thrown.restore();
        }
        return -1;
      },
      failure.get());
  if (status == 0) // otherwise the next call tells
    failure.release();
}

void bindMesh(nb::module_ &module) {
  nb::module_ sys = nb::module_::import_("sys");
  const std::string prefix = nb::cast<std::string>(sys.attr("prefix"));
  check(tsr_mesh_add_library_folder((prefix + "/lib").c_str()));
  nb::module_::import_("atexit").attr("register")(nb::cpp_function(&tsr_mesh_leave));

  tsr_mesh_on_failure(raiseInMainThread, nullptr);

  module.def("rank", [] { return world().rank; }, "The rank of this process among those of its launcher.");
  module.def("world_size", [] { return world().size; }, "The number of ranks.");
  module.def("local_rank", [] { return world().local_rank; }, "The rank of this process among those of its machine.");
  module.def("mesh_timeout", &timeout, "Seconds that a rank waits for the others.");
  module.def(
      "set_mesh_timeout", [](double seconds) { check(tsr_mesh_set_timeout(seconds)); }, "seconds"_a,
      "Set how long a rank waits for the others, from the next wait on.");
}

} // namespace tsr::python
