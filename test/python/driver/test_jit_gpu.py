# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Direct calls on arrays that lie on a GPU are compiled for that GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tessera
from tessera import Tensor, _runtime
from tessera.driver import jit
from tessera.driver.build import Options, make_job
from tessera.driver.targets import parse_target


class DeviceArray:
    """An array that says that it lies on a device; the memory is NumPy's."""

    def __init__(self, array: np.ndarray[Any, Any], device: tuple[int, int]) -> None:
        self.shape, self.dtype, self._device = array.shape, array.dtype, device

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("nothing may be read to know what a call is of")

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device


class CudaInterface:
    """An array of the older protocol only."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.shape, self.dtype = array.shape, array.dtype
        self.__cuda_array_interface__ = {"shape": array.shape, "typestr": array.dtype.str, "data": (1, False)}


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two GPUs, and the names of the targets that calls are compiled for; the code itself is the CPU's."""
    asked: list[str] = []
    original = jit.load_or_build

    def load_or_build(traced: Any, target: Any) -> Any:
        asked.append(target.name)
        return original(traced, parse_target("cpu"))

    devices = [("H100", "sm_90a", 80 << 30), ("RTX A6000", "sm_86", 48 << 30)]
    monkeypatch.setattr(_runtime, "cuda_devices", lambda: devices, raising=False)
    monkeypatch.setattr(jit, "load_or_build", load_or_build)
    monkeypatch.setattr(jit.Variant, "refresh", lambda self: None)
    jit.target_for.cache_clear()
    yield asked
    jit.target_for.cache_clear()


def call(function: jit.JitFunction, *arrays: Any) -> None:
    """Call a function, whose code here cannot take what only looks like a device's array."""
    with pytest.raises(tessera.TesseraError):
        function(*arrays)


def test_the_device_of_the_arrays_decides(targets: list[str]) -> None:
    @tessera.function
    def double(x: Tensor["N"]) -> Tensor["N"]:
        return x + x

    function = jit.JitFunction(double)
    x = np.ones(4, np.float32)
    np.testing.assert_array_equal(function(x), 2 * x)
    call(function, DeviceArray(x, (2, 0)))
    call(function, DeviceArray(x, (2, 1)))
    call(function, DeviceArray(x[:2], (2, 0)))
    call(function, CudaInterface(x))
    np.testing.assert_array_equal(function(DeviceArrayOnHost(x)), 2 * x)
    assert targets == [parse_target("native").name, "sm_90a", "sm_86"]


class DeviceArrayOnHost(np.ndarray[Any, Any]):
    """Pinned memory (kDLCUDAHost), which the CPU reads."""

    def __new__(cls, array: np.ndarray[Any, Any]) -> DeviceArrayOnHost:
        return array.view(cls)

    def __dlpack_device__(self) -> tuple[Any, Any]:
        return 3, 0


def test_one_array_on_a_gpu_is_enough(targets: list[str]) -> None:
    @tessera.function
    def add(x: Tensor["N"], y: Tensor["N"]) -> Tensor["N"]:
        return x + y

    x = np.ones(4, np.float32)
    call(jit.JitFunction(add), x, DeviceArray(x, (2, 1)))
    assert targets == ["sm_86"]


def test_the_tools_are_part_of_the_cache_key() -> None:
    target = parse_target("sm_80")
    job = make_job((), (target,), Options())
    assert job.toolkit is not None
    keys = {jit.cache_key((), (target,), toolkit) for toolkit in (job.toolkit, None)}
    other = type(job.toolkit)(job.toolkit.ptxas, job.toolkit.root, "13.0.1", job.toolkit.libdevice_version)
    assert len(keys | {jit.cache_key((), (target,), other)}) == 3
