# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Calls on GPUs, seen by a fake driver: what is loaded, launched and allocated, where and in which order."""

from __future__ import annotations

import numpy as np
from fake_cuda import Driver, InterfaceArray, Memory, copies, copy_program, on_gpus
from handmade import rt


@on_gpus("9.0,8.6")
def test_devices() -> None:
    assert rt.cuda_devices() == [("Fake 0", "sm_90a", 1 << 30), ("Fake 1", "sm_86", 1 << 30)]


@on_gpus()
def test_a_call() -> None:
    driver = Driver()
    copies(driver)
    entry = copy_program().entry("copy")
    x = np.arange(1000, dtype=np.float32)
    target = InterfaceArray(Memory(driver, np.zeros_like(x)))
    assert entry(InterfaceArray(Memory(driver, x)), out=target) is target
    np.testing.assert_array_equal(target.numpy(), x)
    launch = "cuLaunchKernelEx copy_0 grid=4 block=256 cluster=1 shared=0 pdl=0 device=0 stream=0"
    assert driver.log("Launch|Load|Function|Alloc") == [
        "cuLibraryLoadData cubin",
        "cuKernelGetFunction copy_0 device=0",
        launch,
    ]
    entry(InterfaceArray(Memory(driver, x)), out=target)
    assert driver.log("Launch|Load|Function|Alloc") == [launch]
