# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GPUs for tests: a fake driver (``test/fake_cuda``), arrays in its memory, artifacts with code for it."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import Entry, compile_c, pack, rt, tensor, value
from programs import N, function

SOURCE = Path(__file__).parents[2] / "fake_cuda" / "fake_cuda.cpp"


def on_gpus(devices: str = "9.0", **environment: str) -> pytest.MarkDecorator:
    """Run a test on fake GPUs of these capabilities; see ``fake_cuda.cpp`` for the environment."""
    return pytest.mark.gpus({"FAKE_CUDA_DEVICES": devices, **environment})


def marked_devices(item: pytest.Function) -> dict[str, str] | None:
    """The environment that a test is marked with."""
    mark = item.get_closest_marker("gpus")
    return {"TESSERA_LIBCUDA": str(library_path()), **mark.args[0]} if mark else None


@cache
def library_path() -> Path:
    """The fake driver, compiled once for a process."""
    compiler = shutil.which("g++") or shutil.which("c++")
    assert compiler, "the fake driver is C++: install g++"
    target = Path(tempfile.mkdtemp(prefix="fake-cuda-")) / "libfakecuda.so"
    command = [compiler, "-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", str(SOURCE)]
    subprocess.run([*command, "-o", str(target)], check=True)
    return target


def start(environment: dict[str, str]) -> None:
    """Let this process, which has no driver yet, find the fake one."""
    assert "libcuda" not in Path("/proc/self/maps").read_text(), "a driver is open already"
    os.environ.update(environment)


# ---- Controlling the driver

KernelBody = ctypes.CFUNCTYPE(
    None, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, ctypes.POINTER(ctypes.POINTER(ctypes.c_uint64))
)


class Driver:
    """The fake driver of this process."""

    def __init__(self) -> None:
        self.lib = ctypes.CDLL(os.environ["TESSERA_LIBCUDA"])
        self.lib.fake_cuda_log.restype = ctypes.c_char_p
        self.lib.fake_cuda_allocate.restype = ctypes.c_void_p
        self.lib.fake_cuda_used.restype = ctypes.c_size_t
        self._kept: list[Any] = []
        self.lib.cuInit(0)

    def log(self, pattern: str = "") -> list[str]:
        """What was called since the last time, and matches."""
        lines = self.lib.fake_cuda_log().decode().splitlines()
        return [line for line in lines if re.search(pattern, line)]

    def fail(self, function: str, result: int, calls: int = 1) -> None:
        """Let the next calls of a function fail."""
        self.lib.fake_cuda_fail(function.encode(), result, calls)

    def kernel(self, name: str, body: Callable[..., None]) -> None:
        """Give a kernel a meaning: ``body(blocks, threads, shared, words)``, of its parameters the first 8 bytes."""

        def run(blocks: int, threads: int, shared: int, parameters: Any) -> None:
            body(blocks, threads, shared, [parameters[i][0] for i in range(4)])

        self._kept.append(KernelBody(run))
        self.lib.fake_cuda_kernel(name.encode(), self._kept[-1])

    def used(self, device: int = 0) -> int:
        """Bytes allocated on a device."""
        return self.lib.fake_cuda_used(device)

    def context(self, device: int | None = None) -> int | None:
        """Make a device's context current (or none, for ``None``), and tell the one that was."""
        before, handle = ctypes.c_void_p(), ctypes.c_void_p()
        self.lib.cuCtxGetCurrent(ctypes.byref(before))
        if device is not None:
            self.lib.cuDevicePrimaryCtxRetain(ctypes.byref(handle), device)
        self.lib.cuCtxSetCurrent(handle)
        return before.value

    def current(self) -> int | None:
        """The calling thread's context."""
        now = ctypes.c_void_p()
        self.lib.cuCtxGetCurrent(ctypes.byref(now))
        return now.value

    def stream(self, device: int = 0) -> int:
        """A new stream."""
        before = self.context(device)
        stream = ctypes.c_void_p()
        self.lib.cuStreamCreate(ctypes.byref(stream), 1)
        self.lib.cuCtxSetCurrent(ctypes.c_void_p(before))
        self.log()
        assert stream.value
        return stream.value


class Memory:
    """Device memory with the bytes of a NumPy array, ``offset`` bytes after an aligned address."""

    def __init__(self, driver: Driver, array: np.ndarray, device: int = 0, offset: int = 0) -> None:
        self.driver, self.device = driver, device
        self.base = driver.lib.fake_cuda_allocate(ctypes.c_size_t(array.nbytes + offset + 1), device)
        self.address = self.base + offset
        self.shape, self.dtype = array.shape, array.dtype
        ctypes.memmove(self.address, np.ascontiguousarray(array).ctypes.data, array.nbytes)

    def __del__(self) -> None:
        self.driver.lib.fake_cuda_free(ctypes.c_void_p(self.base))

    def numpy(self) -> np.ndarray:
        """Its values now."""
        return view(self.address, self.dtype, *self.shape).copy()


def view(address: int, dtype: Any, *shape: int) -> np.ndarray:
    """Device memory as a NumPy array, for kernels."""
    kind = np.dtype(dtype)
    count = int(np.prod(shape))
    return np.frombuffer((ctypes.c_char * (count * kind.itemsize)).from_address(address), kind).reshape(shape)


class InterfaceArray:
    """An array with ``__cuda_array_interface__`` alone, like Numba's; with a stream, like CuPy's."""

    def __init__(self, memory: Memory, stream: int | None = None, strides: Sequence[int] | None = None,
                 shape: Sequence[int] | None = None, readonly: bool = False) -> None:  # fmt: skip
        self.memory = memory
        self.__cuda_array_interface__ = {
            "shape": tuple(memory.shape if shape is None else shape),
            "typestr": memory.dtype.str,
            "data": (memory.address, readonly),
            "strides": None if strides is None else tuple(strides),
            "stream": stream,
            "version": 3,
        }

    def numpy(self) -> np.ndarray:
        """Its values."""
        return self.memory.numpy()


# ---- Artifacts

CUBIN = b"fake cubin "
COPY_BODY = """
int64_t n = s[0]; const void *x = b[0]; void *y = b[1]; void *none = 0;
void *a[] = {&x, &y, &n, &none};
return tsr_runtime->launch(0, (n + 255) / 256, 0, a);
"""


def module(arch: str, *kernels: dict[str, Any], ptx: bool = False, cubin: bool = True) -> dict[str, Any]:
    """A module of a manifest; a kernel is its name and what differs from the usual."""
    usual = {"threads": 256, "cluster": 1, "dynamic_shared": 0, "pdl": False}
    files = {"cubin": f"cuda/{arch}/code.cubin"} if cubin else {}
    files |= {"ptx": f"cuda/compute_{arch[3:]}/code.ptx"} if ptx else {}
    return {"arch": arch, **files, "kernels": [{**usual, **kernel} for kernel in kernels]}


def build_gpu(
    entries: dict[str, Entry],
    modules: dict[str, dict[str, Any]],
    *,
    cpu: bool = False,
    weights: dict[str, Any] | None = None,
    members: dict[str, bytes] | None = None,
) -> bytes:
    """A ``.tsr`` with a variant of every entry for each module, and with ``cpu`` one for the CPU."""
    source = "\n".join(dict.fromkeys(entry.source for entry in entries.values()))
    files: dict[str, bytes] = {}
    if weights is not None:
        from safetensors.numpy import save

        files["weights.safetensors"] = save(weights)
    manifest: dict[str, Any] = {"format": 1, "abi": 1, "producer": {"tessera": "test"}, "modules": modules}
    manifest["entries"] = {}
    for target, code in modules.items():
        files[f"host/x86_64-linux-gnu/{target}.o"] = compile_c(source, "-DON_GPU=1")
        names = " ".join(kernel["name"] for kernel in code["kernels"]).encode()
        if "cubin" in code:
            files[code["cubin"]] = CUBIN + names + b";"
        if "ptx" in code:
            files[code["ptx"]] = b"// ptx " + names
    if cpu:
        files["host/x86_64-linux-gnu/cpu.o"] = compile_c(source, "-DON_GPU=0")
    for name, entry in entries.items():
        targets = [*(["cpu"] if cpu else []), *modules]
        described = entry.manifest(name, {f"host/x86_64-linux-gnu/{target}.o": [] for target in targets})
        for variant in described["variants"]:
            if variant["target"] != "cpu":
                variant["module"] = variant["target"]
        manifest["entries"][name] = described
    return pack({**files, **(members or {})}, manifest)


COPY = Entry(function("copy", COPY_BODY), [tensor("x", "f32", "N", source="file.py:3")], [value("f32", "N")], [N])


def load_gpu(
    name: str,
    body: str,
    inputs: list[Any],
    outputs: list[Any],
    modules: dict[str, dict[str, Any]] | None = None,
    *,
    prelude: str = "",
    **rest: Any,
) -> Any:
    """One entry made on the spot, by default with the kernel ``copy_0`` for sm_90a; its symbol is N if it is used."""
    symbols = [N] if any("N" in item["shape"] for item in inputs) else []
    entry = Entry(prelude + function(name, body), inputs, outputs, symbols, **rest)
    return rt.load_bytes(build_gpu({name: entry}, modules or {"sm_90a": module("sm_90a", {"name": "copy_0"})})).entry(
        name
    )


def copy_program(**kernel: Any) -> Any:
    """``copy(x[N]) -> [N]`` for sm_90a, one launch."""
    return rt.load_bytes(build_gpu({"copy": COPY}, {"sm_90a": module("sm_90a", {"name": "copy_0", **kernel})}))


def copies(driver: Driver) -> None:
    """Let ``copy_0`` copy f32."""

    def body(blocks: int, threads: int, shared: int, words: list[int]) -> None:
        x, y, n, _ = words
        view(y, np.float32, n)[:] = view(x, np.float32, n)

    driver.kernel("copy_0", body)
