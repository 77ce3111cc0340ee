# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights on GPUs: uploaded once for each, replaced in the right order, used in place where they lie."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fake_cuda import Driver, InterfaceArray, Memory, build_gpu, module, on_gpus
from handmade import Entry, rt, tensor, value
from programs import N, function

W = np.linspace(0, 1, 64, dtype=np.float32)
X = np.zeros(64, np.float32)
# weight(x) is the weight
ENTRY = Entry(
    function("weight", "if (ON_GPU) return tsr_runtime->copy(b[2], b[1], 256); for (int i = 0; i < 64; ++i) "
                       "((float *)b[2])[i] = ((float *)b[1])[i];"),
    [tensor("x", "f32", "N"), tensor("w", "f32", 64, kind="weight")],
    [value("f32", "N")],
    [N],
)  # fmt: skip


def program(cpu: bool = True, weights: Any = None) -> Any:
    return rt.load_bytes(build_gpu({"weight": ENTRY}, {"sm_90a": module("sm_90a")}, cpu=cpu, weights=weights))


def call(driver: Driver, loaded: Any, device: int = 0) -> np.ndarray:
    y = InterfaceArray(Memory(driver, X, device))
    loaded.entry("weight")(InterfaceArray(Memory(driver, X, device)), out=y)
    return y.numpy()


@on_gpus("9.0,9.0")
def test_one_upload_for_each_device() -> None:
    driver = Driver()
    loaded = program(weights={"w": W})
    np.testing.assert_array_equal(loaded.entry("weight")(X), W)
    assert not driver.log("Alloc|cpy")
    for device in (0, 1, 0, 1):
        np.testing.assert_array_equal(call(driver, loaded, device), W)
    log = [line.split(" stream")[0] for line in driver.log("cuMemAlloc|cpy|Synchronize")]
    upload = ["cuMemcpyAsync 256", "cuStreamSynchronize"]  # on a stream of its own, which no other work waits for
    assert log == ["cuMemAlloc 256 device=0", *upload, "cuMemcpyAsync 256", "cuMemAlloc 256 device=1", *upload,
                   *["cuMemcpyAsync 256"] * 3]  # fmt: skip


@on_gpus()
def test_a_replaced_weight_is_uploaded_anew_when_calls_in_flight_are_done() -> None:
    driver = Driver()
    loaded = program(weights={"w": W})
    call(driver, loaded)
    used = driver.used()
    driver.log()
    loaded.set_weight("w", -W)
    assert driver.log("Sync|Free|Alloc") == ["cuCtxSynchronize device=0", "cuMemFree"]
    assert driver.used() == used - 256
    np.testing.assert_array_equal(call(driver, loaded), -W)
    np.testing.assert_array_equal(loaded.entry("weight")(X), -W)
    assert driver.used() == used
    del loaded
    assert driver.used() == 0


@on_gpus("9.0,9.0")
def test_a_weight_on_a_gpu_is_used_in_place_there() -> None:
    driver = Driver()
    loaded = program()
    memory = Memory(driver, W, 1)
    weight = InterfaceArray(memory)
    loaded.set_weight("w", weight)
    assert loaded.weights()["w"] is weight
    driver.log()
    np.testing.assert_array_equal(call(driver, loaded, 1), W)
    assert not driver.log("cuMemAlloc ")
    np.testing.assert_array_equal(call(driver, loaded, 0), W)  # copied from the other device
    assert driver.log("cuMemAlloc ") == ["cuMemAlloc 256 device=0"]
    with pytest.raises(Exception, match=r"TSR2011\] weight 'w': expected an array in CPU memory, got one on GPU 1"):
        loaded.entry("weight")(X)
    loaded.set_weight("w", InterfaceArray(Memory(driver, 2 * W, 0, offset=4)))  # not aligned: copied
    for device in (0, 1):
        np.testing.assert_array_equal(call(driver, loaded, device), 2 * W)
    with pytest.raises(Exception, match="TSR2018"):
        call(driver, program())


@on_gpus()
def test_no_memory_for_a_weight() -> None:
    driver = Driver()
    loaded = program(weights={"w": W})
    driver.fail("cuMemAlloc", 2)
    text = r"TSR2901\] no memory for a weight of 256 bytes on GPU 0: \d+ of 1073741824 bytes are free"
    with pytest.raises(Exception, match=text):
        call(driver, loaded)
    driver.fail("cuMemcpyAsync", 1)
    with pytest.raises(Exception, match=r"TSR2906\] GPU 0: uploading a weight failed: CUDA_ERROR_INVALID_VALUE"):
        call(driver, loaded)
    np.testing.assert_array_equal(call(driver, loaded), W)


@on_gpus("9.0,9.0")
def test_threads_that_call_while_weights_change() -> None:
    driver = Driver()
    loaded = program(weights={"w": W})
    values = [W, W + 1, W + 2]

    def work(thread: int) -> None:
        for _ in range(30):
            if thread == 0:
                loaded.set_weight("w", values[np.random.randint(3)])
            else:
                y = call(driver, loaded, thread % 2)
                assert any(np.array_equal(y, value) for value in values)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(work, range(5)))
