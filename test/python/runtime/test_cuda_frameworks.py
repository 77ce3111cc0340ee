# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Frameworks' arrays on GPUs: in and out without copies, on the right stream, results from their own allocators."""

from __future__ import annotations

import fake_torch
import numpy as np
from fake_cuda import copies, copy_program, on_gpus
from fake_torch import Tensor

X = np.arange(1000, dtype=np.float32)


@on_gpus()
def test_the_exchange_api() -> None:
    driver = fake_torch.start()
    copies(driver)
    entry = copy_program().entry("copy")
    x = Tensor.of(X)
    y = entry(x)
    assert type(y) is Tensor
    np.testing.assert_array_equal(y.numpy(), X)
    driver.log()
    Tensor.current = driver.stream()
    entry(x)
    assert driver.log("Launch|Alloc|Wait|Copy|Set") == [
        "cuCtxSetCurrent device=0",
        f"cuLaunchKernelEx copy_0 grid=4 block=256 cluster=1 shared=0 pdl=0 device=0 stream={Tensor.current:x}",
        "cuCtxSetCurrent device=-1",
    ]
