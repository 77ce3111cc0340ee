# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times of kernels and ranges for NVIDIA's tools, as the runtime takes and makes them."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_cuda import COPY, COPY_BODY, Driver, InterfaceArray, Memory, copies, library_path, load_gpu, module, on_gpus
from handmade import build, rt
from programs import ADD

X = np.arange(1000, dtype=np.float32)
TWO_KERNELS = {"sm_90a": module("sm_90a", {"name": "copy_0"}, {"name": "other_1"})}
BOTH = COPY_BODY.replace("return ", "tsr_runtime->launch(1, 7, 0, a); tsr_runtime->launch(1, 2, 0, a); return ")


@on_gpus()
def test_kernels_of_a_call_on_a_gpu() -> None:
    driver = Driver()
    copies(driver)
    entry = load_gpu("copy", BOTH, COPY.inputs, COPY.outputs, TWO_KERNELS)
    x, y = InterfaceArray(Memory(driver, X)), InterfaceArray(Memory(driver, 0 * X))
    stream = driver.stream()
    told: list[tuple[str, float]] = []
    assert entry.observe(x, out=y, stream=stream, on_kernel=lambda *kernel: told.append(kernel)) is y
    # The fake's clock moves by a microsecond for each block.
    assert [(name, round(time, 3)) for name, time in told] == [("other_1", 7), ("other_1", 2), ("copy_0", 4)]
    np.testing.assert_array_equal(y.numpy(), X)
    log = [line.split()[0] for line in driver.log(f"Launch.*stream={stream:x}|Record|StreamSync")]
    kernel = ["cuEventRecord", "cuLaunchKernelEx", "cuEventRecord"]
    assert log == ["cuLaunchHostFunc", *kernel, *kernel, *kernel, "cuStreamSynchronize"]
    entry(x, out=y)  # nobody watches: nothing is recorded, nobody waits
    assert driver.log("Record|Sync|HostFunc") == []


@on_gpus()
def test_a_value_that_is_read_back_is_not_waited_for_in_vain() -> None:
    import time

    driver = Driver()
    body = "int first; if (tsr_runtime->read(&first, b[0], 4)) return 1;" + COPY_BODY
    entry = load_gpu("copy", body, COPY.inputs, COPY.outputs)
    x, y = InterfaceArray(Memory(driver, X)), InterfaceArray(Memory(driver, 0 * X))
    entry(x, out=y)
    start = time.perf_counter()
    entry.observe(x, out=y, on_kernel=lambda name, microseconds: None)
    assert time.perf_counter() - start < 0.15  # less than the stream is held at most


@on_gpus()
def test_what_goes_wrong_while_kernels_are_timed() -> None:
    driver = Driver()
    entry = load_gpu("copy", COPY_BODY, COPY.inputs, COPY.outputs)
    x, y = InterfaceArray(Memory(driver, X)), InterfaceArray(Memory(driver, 0 * X))

    def observe() -> None:
        entry.observe(x, out=y, on_kernel=lambda name, microseconds: None)

    for function, what in {
        "cuLaunchHostFunc": "holding a stream",
        "cuEventCreate": "making an event",
        "cuEventRecord": "recording an event",
        "cuEventElapsedTime": "reading a time",
        "cuStreamSynchronize": "waiting for a call that is timed",
    }.items():
        driver.fail(function, 1)
        with pytest.raises(Exception, match=rf"TSR2906\] GPU 0: {what} failed"):
            observe()
    driver.fail("cuLaunchKernelEx", 1)
    with pytest.raises(Exception, match="TSR2907"):
        observe()
    observe()
    stream = driver.stream()
    driver.context(0)
    driver.lib.cuStreamBeginCapture_v2(ctypes.c_void_p(stream), 2)
    with pytest.raises(Exception, match=r"TSR2038\] the call waits for the times of its kernels: a graph cannot"):
        entry.observe(x, out=y, stream=stream, on_kernel=lambda name, microseconds: None)
    with pytest.raises(ZeroDivisionError):  # a mistake of the caller's is the caller's to see
        entry.observe(x, out=y, on_kernel=lambda name, microseconds: 1 // 0)


def test_a_call_on_the_cpu_is_one_row() -> None:
    entry = rt.load_bytes(build({"add": ADD})).entry("add")
    told: list[tuple[str, float]] = []
    np.testing.assert_array_equal(entry.observe(X, X, on_kernel=lambda *kernel: told.append(kernel)), 2 * X)
    ((name, time),) = told
    assert name == "add" and 0 < time < 1e6
    np.testing.assert_array_equal(entry.observe(X, X), 2 * X)


NVTX_SCRIPT = """
import numpy as np
from fake_cuda import COPY, COPY_BODY, Driver, InterfaceArray, Memory, load_gpu
driver = Driver()
entry = load_gpu("copy", COPY_BODY, COPY.inputs, COPY.outputs)
x, y = (InterfaceArray(Memory(driver, np.zeros(9, np.float32))) for _ in range(2))
entry(x, out=y)
entry.observe(x, out=y, on_kernel=lambda name, microseconds: None)
try:
    entry(x, x, out=y)
except Exception:
    pass
"""


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tool that prints NVTX's ranges."""
    source = Path(__file__).parents[2] / "fake_nvtx" / "fake_nvtx.c"
    target = tmp_path_factory.mktemp("nvtx") / "libfakenvtx.so"
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "the fake tool is C: install gcc"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", source, "-o", target], check=True)
    return target


def ranges(**environment: str) -> list[str]:
    """What the tool sees of three calls: a plain one, one that is timed, one that is refused by the binding."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "TESSERA_LIBCUDA": str(library_path()), **environment}
    command = [sys.executable, "-c", NVTX_SCRIPT]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return result.stderr.splitlines()


def test_ranges_of_calls(tool: Path) -> None:
    plain, timed = ["push copy", "pop"], ["push copy", "push copy_0", "pop", "pop"]
    assert ranges(NVTX_INJECTION64_PATH=str(tool)) == plain + timed
    assert ranges(NVTX_INJECTION64_PATH=str(tool), TESSERA_NVTX="1") == timed + timed
    assert ranges(NVTX_INJECTION64_PATH=str(tool), TESSERA_NVTX="0") == plain + timed


def test_no_ranges_without_a_tool(tool: Path) -> None:
    for path in ("", "/no/such/library.so", str(library_path())):  # the last is a library, and no tool
        assert ranges(NVTX_INJECTION64_PATH=path, TESSERA_NVTX="1") == []
