# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled functions on fake GPUs: what the compiler makes, the runtime loads, launches and passes arguments to.

The fake driver takes PTX as it is, so the GPUs are newer than any target; what a kernel computes, the test says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tessera
from fake_cuda import Driver, InterfaceArray, Memory, on_gpus, view
from tessera import Tensor

# mypy: disable-error-code="name-defined, type-arg, valid-type"


@tessera.function
def double(x: Tensor["N"]) -> Tensor["N"]:
    return x + x


@tessera.function
def row_sums(x: Tensor["B", "D"]) -> Tensor["B"]:
    return x.sum(1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERA_CACHE_DIR", str(tmp_path))


def doubles(driver: Driver, n: int) -> None:
    """Let the kernel of ``double`` do so, from the first two buffers that it is given."""

    def body(blocks: int, threads: int, shared: int, words: list[int]) -> None:
        addresses = [word for word in words if word > 1 << 20]
        view(addresses[1], np.float32, n)[:] = 2 * view(addresses[0], np.float32, n)

    driver.kernel("double_0", body)


def on_device(driver: Driver, array: np.ndarray[Any, Any]) -> InterfaceArray:
    """An array in a GPU's memory, with what every library's arrays have beside the protocol."""
    moved = InterfaceArray(Memory(driver, array))
    moved.shape, moved.dtype = array.shape, array.dtype  # type: ignore[attr-defined]
    return moved


@on_gpus("11.0")
def test_one_artifact_on_the_cpu_and_on_a_newer_gpu() -> None:
    driver = Driver()
    artifact = tessera.compile(double, targets=["sm_80", "cpu"])
    x = np.arange(1000, dtype=np.float32)
    np.testing.assert_array_equal(artifact(x), 2 * x)
    assert driver.log("Launch") == []
    doubles(driver, x.size)
    out = on_device(driver, np.zeros_like(x))
    assert artifact(on_device(driver, x), out=out) is out
    np.testing.assert_array_equal(out.numpy(), 2 * x)
    loaded, launched = driver.log("Load|Launch")
    assert loaded == "cuLibraryLoadData ptx"
    threads = artifact.manifest["modules"]["sm_80"]["kernels"][0]["threads"]
    assert "cuLaunchKernelEx double_0 grid=" in launched and f" block={threads} cluster=1 " in launched


@on_gpus("11.0")
def test_nothing_is_launched_for_nothing() -> None:
    driver = Driver()
    artifact = tessera.compile(row_sums, targets="sm_80")
    out = on_device(driver, np.zeros(0, np.float32))
    artifact(on_device(driver, np.zeros((0, 7), np.float32)), out=out)
    assert driver.log("Launch") == []


@on_gpus("11.0")
def test_direct_calls_on_both() -> None:
    driver = Driver()
    x = np.arange(64, dtype=np.float32)
    doubles(driver, x.size)
    for _ in range(2):
        np.testing.assert_array_equal(double(x), 2 * x)
        out = on_device(driver, np.zeros_like(x))
        double(on_device(driver, x), out=out)
        np.testing.assert_array_equal(out.numpy(), 2 * x)
    assert len(driver.log("Launch")) == 2


@on_gpus("9.0")
def test_code_of_another_architecture_is_refused() -> None:
    driver = Driver()
    artifact = tessera.compile(double, targets="sm_100a")
    with pytest.raises(tessera.TesseraError, match=r"sm_100a.*sm_90a|sm_90a.*sm_100a"):
        artifact(on_device(driver, np.zeros(4, np.float32)))
