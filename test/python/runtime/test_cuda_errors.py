# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What goes wrong with drivers and devices is an error with a cause, and the process lives."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from fake_cuda import (
    COPY,
    COPY_BODY,
    Driver,
    InterfaceArray,
    Memory,
    build_gpu,
    copies,
    copy_program,
    load_gpu,
    module,
    on_gpus,
)
from handmade import rt
from test_cuda_variants import BOTH

X = np.arange(1000, dtype=np.float32)


class Elsewhere:
    """An array that claims to lie on a GPU."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    __cuda_array_interface__ = {"shape": (8,), "typestr": "<f4", "data": (4096, False), "stream": 1, "version": 3}  # noqa: RUF012

    def __dlpack__(self, **options: object) -> object:
        raise AssertionError("not called")


@on_gpus()
def test_no_driver() -> None:
    os.environ["TESSERA_LIBCUDA"] = "/nowhere/libcuda.so.1"
    assert rt.cuda_devices() == []
    rt.trim()
    entry = rt.load_bytes(build_gpu({"copy": BOTH}, {"sm_90a": module("sm_90a", {"name": "copy_0"})}, cpu=True)).entry(
        "copy"
    )
    np.testing.assert_array_equal(entry(X), X)
    gpu = load_gpu("nothing", "", [], [])
    for call in (gpu, lambda: entry(Elsewhere())):
        with pytest.raises(Exception, match=r"TSR2904\] no NVIDIA driver: /nowhere/libcuda.so.1: cannot open"):
            call()
    with pytest.raises(Exception, match=r"TSR2011.*expected an array on a GPU, got one in CPU memory"):
        copy_program().entry("copy")(X)


@on_gpus()
def test_drivers_that_cannot_be_used() -> None:
    gpu = load_gpu("nothing", "", [], [])
    path = os.environ["TESSERA_LIBCUDA"]
    os.environ["TESSERA_LIBCUDA"] = "libm.so.6"
    with pytest.raises(Exception, match=r"TSR2904\] libm.so.6 has no cuInit: expected a driver for CUDA 12.0 or newer"):
        gpu()
    os.environ["TESSERA_LIBCUDA"] = path
    driver = Driver()
    driver.fail("cuInit", 803, 100)
    assert rt.cuda_devices() == []
    with pytest.raises(
        Exception, match=r"TSR2904\] the NVIDIA driver does not start: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"
    ):
        gpu()
    driver.fail("cuInit", 0, 0)
    assert len(rt.cuda_devices()) == 1  # what is repaired is found


@on_gpus("")
def test_no_gpu() -> None:
    gpu = load_gpu("nothing", "", [], [])
    assert rt.cuda_devices() == []
    with pytest.raises(Exception, match=r"TSR2905\] the NVIDIA driver finds no GPU"):
        gpu()


@on_gpus("9.0,9.0", FAKE_CUDA_MEMORY="10000")
def test_no_memory() -> None:
    driver = Driver()
    entry = load_gpu("copy", COPY_BODY, COPY.inputs, COPY.outputs, prelude="WORKSPACE(copy) { return s[0] * 8; }",
                     workspace=True)  # fmt: skip
    x, y = InterfaceArray(Memory(driver, X)), InterfaceArray(Memory(driver, X))
    text = "[TSR2901] no memory for a workspace of 8000 bytes on GPU 0: 1998 of 10000 bytes are free"
    with pytest.raises(Exception, match=re.escape(text)):
        entry(x, out=y)
    with pytest.raises(Exception, match=r"TSR2901\] no memory for an array of 4000 bytes on GPU 0: 1998 of 10000"):
        copy_program().entry("copy")(x)
    small = InterfaceArray(x.memory, shape=(9,))
    entry(small, out=InterfaceArray(y.memory, shape=(9,)))


@on_gpus()
def test_a_refused_launch() -> None:
    driver = Driver()
    entry = copy_program().entry("copy")
    x, y = InterfaceArray(Memory(driver, X)), InterfaceArray(Memory(driver, X))
    driver.fail("cuLaunchKernelEx", 701)
    text = (
        "[TSR2907] GPU 0: launching kernel 'copy_0' (4 blocks of 256 threads, clusters of 1, 0 bytes of dynamic shared "
        "memory) failed: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES (a fake error) (copy)"
    )
    with pytest.raises(Exception, match=re.escape(text)):
        entry(x, out=y)
    entry(x, out=y)


@on_gpus("9.0,9.0")
def test_a_fault_stays_with_its_device() -> None:
    driver = Driver()
    copies(driver)
    program = rt.load_bytes(build_gpu({"copy": BOTH}, {"sm_90a": module("sm_90a", {"name": "copy_0"})}, cpu=True))
    entry = program.entry("copy")
    x, y = InterfaceArray(Memory(driver, X)), InterfaceArray(Memory(driver, X))
    driver.fail("cuLaunchKernelEx", 700)
    text = "[TSR2908] GPU 0 has faulted, seen at launching kernel 'copy_0' (4 blocks of 256 threads, clusters of 1, "
    text += (
        "0 bytes of dynamic shared memory): CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was encountered); the"
    )
    with pytest.raises(Exception, match=re.escape(text)):
        entry(x, out=y)
    driver.log()
    text = "[TSR2908] GPU 0 takes no more work in this process after a fault: CUDA_ERROR_ILLEGAL_ADDRESS"
    for call in (lambda: entry(x, out=y), lambda: copy_program().entry("copy")(x, out=y), lambda: entry(x)):
        with pytest.raises(Exception, match=re.escape(text)):
            call()
    assert not driver.log("Launch")
    there = InterfaceArray(Memory(driver, X, 1))
    entry(there, out=InterfaceArray(Memory(driver, X, 1)))
    np.testing.assert_array_equal(entry(X), X)


@on_gpus()
def test_a_driver_that_fails_in_between() -> None:
    driver = Driver()
    x, y = InterfaceArray(Memory(driver, X)), InterfaceArray(Memory(driver, X, offset=4))
    for function, what in [
        ("cuDevicePrimaryCtxRetain", "making its context"),
        ("cuMemPoolCreate", "making a pool of memory"),
        ("cuMemAllocFromPoolAsync", "allocating memory"),
        ("cuKernelGetFunction", "loading kernel 'copy_0'"),
        ("cuMemcpyAsync", "copying on the device"),
    ]:
        driver.fail(function, 1)
        with pytest.raises(Exception, match=rf"TSR2906\] GPU 0: {what} failed: CUDA_ERROR_INVALID_VALUE"):
            copy_program().entry("copy")(x, out=y)
    driver.fail("cuMemcpyAsync", 12345)
    with pytest.raises(Exception, match=r"TSR2906\] GPU 0: copying on the device failed: CUDA error 12345"):
        copy_program().entry("copy")(x, out=y)
    copy_program().entry("copy")(x, out=y)
