# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tests that want GPUs, ``@on_gpus("9.0")``, run in a child process with a fake driver, whatever the machine has."""

from __future__ import annotations

import os
import signal
import traceback

import pytest
from fake_cuda import marked_devices, start

TIMEOUT_SECONDS = 120


def pytest_configure(config: pytest.Config) -> None:
    """Say what the mark is."""
    config.addinivalue_line("markers", "gpus: run on fake GPUs, see fake_cuda.on_gpus")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Fork: a process opens its driver once, and a fault of a device stays."""
    devices = marked_devices(pyfuncitem)
    if devices is None:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(TIMEOUT_SECONDS)  # a test that hangs ends, and says so by its status
            start(devices)
            pyfuncitem.obj(**arguments)
        except BaseException:
            os.write(sink, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(sink)
    with os.fdopen(source, "rb") as stream:
        told = stream.read().decode()
    _, status = os.waitpid(child, 0)
    if told or status:
        pytest.fail(told or f"the test's process ended with status {status:#x}", pytrace=False)
    return True
