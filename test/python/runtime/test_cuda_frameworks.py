# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Frameworks' arrays on GPUs: in and out without copies, on the right stream, results from their own allocators."""

from __future__ import annotations

import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import fake_torch
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
    view,
)
from fake_torch import Tensor
from handmade import Entry, rt, tensor, value
from programs import ADD, function

X = np.arange(1000, dtype=np.float32)


def launches(driver: Driver) -> list[str]:
    """The streams of the launches since the last time, and what else was queued or set."""
    lines = driver.log("Launch|Alloc|Wait|cpy|CurrentSet|Event|Sync")
    return [re.sub(r"cuLaunchKernelEx .* stream=", "launch ", line) for line in lines]


# ---- The exchange API


@on_gpus()
def test_a_call_with_the_exchange_api() -> None:
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
    assert launches(driver) == [f"launch {Tensor.current:x}"]
    out = Tensor.of(0 * X)
    assert entry(x, out=out) is out
    np.testing.assert_array_equal(out.numpy(), X)


@on_gpus()
def test_results_belong_to_the_stream_that_is_given() -> None:
    driver = fake_torch.start()
    entry, x, stream = copy_program().entry("copy"), Tensor.of(X), driver.stream()
    entry(x, stream=stream)
    assert launches(driver) == [f"launch {stream:x}"]
    assert Tensor.allocated_on == [stream] and Tensor.current == 0
    entry(x, stream=0)
    assert Tensor.allocated_on == [stream, 0]
    with pytest.raises(Exception, match="TSR2"):
        entry(x, out=X, stream=stream)
    assert Tensor.current == 0

    class Mine(Tensor):
        pass

    entry(Mine.of(X), stream=stream)
    assert Tensor.allocated_on == [stream, 0, stream]


@on_gpus()
def test_no_memory_for_a_result() -> None:
    fake_torch.start()
    Tensor.out_of_memory = True
    text = "[TSR2901] no memory for a result of 4000 bytes on GPU 0: the fake allocator has no memory"
    with pytest.raises(Exception, match=re.escape(text) + "$"):
        copy_program().entry("copy")(Tensor.of(X))


@on_gpus("9.0,9.0")
def test_results_of_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = fake_torch.start()
    copies(driver)
    monkeypatch.setattr(fake_torch, "float32", X.dtype, raising=False)
    entry = copy_program().entry("copy")
    for device in (0, 1):
        y = entry(Tensor.of(X, device))
        assert type(y) is Tensor and y.memory.device == device
        np.testing.assert_array_equal(y.numpy(), X)
    assert Tensor.allocated_on == []  # nothing by the exchange API


@on_gpus("9.0,9.0")
def test_results_of_torchs_own_on_the_current_device(monkeypatch: pytest.MonkeyPatch) -> None:
    driver, made = fake_torch.start(), []
    copies(driver)

    def on_current_device(shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype) -> Tensor:
        made.append(fake_torch.empty_strided(shape, strides, dtype=dtype, device="cuda:0"))
        return made[-1]

    guards = SimpleNamespace(_empty_strided_cuda=on_current_device)
    internals = SimpleNamespace(_dynamo=SimpleNamespace(guards=guards))
    monkeypatch.setattr(fake_torch, "_C", internals, raising=False)
    monkeypatch.setattr(fake_torch, "float32", X.dtype, raising=False)
    entry = copy_program().entry("copy")
    assert entry(Tensor.of(X, 0)) is made[0]
    y = entry(Tensor.of(X, 1))
    assert y not in made and y.memory.device == 1
    np.testing.assert_array_equal(y.numpy(), X)


@on_gpus()
def test_no_memory_for_a_result_of_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_torch.start()

    def full(*_: Any, **__: Any) -> None:
        raise MemoryError("the fake allocator has no memory\nand a long story")

    monkeypatch.setattr(fake_torch, "float32", X.dtype, raising=False)
    monkeypatch.setattr(fake_torch, "empty_strided", full)
    text = "[TSR2901] no memory for a result of 4000 bytes on GPU 0: MemoryError: the fake allocator has no memory"
    with pytest.raises(Exception, match=re.escape(text) + "$"):
        copy_program().entry("copy")(Tensor.of(X))


@on_gpus()
def test_tensors_that_are_not_contiguous() -> None:
    driver = fake_torch.start()
    copies(driver)
    entry = load_gpu("copy", COPY_BODY, [tensor("x", "f32", "N", 2)], [value("f32", ["*", "N", 2])])
    x = X[:12].reshape(2, 6)
    memory = Memory(driver, x)
    memory.shape = (6, 2)
    np.testing.assert_array_equal(entry(Tensor(memory, (1, 6))).numpy(), x.T.ravel()[:6].tolist() + [0] * 6)
    donated = load_gpu(
        "copy", COPY_BODY, [tensor("x", "f32", "N", 2, donated=True)], [{**value("f32", "N", 2), "alias": 0}]
    )
    with pytest.raises(Exception, match="TSR2015"):
        donated(Tensor(memory, (1, 6)))


@on_gpus()
def test_numbers_beside_tensors() -> None:
    fake_torch.start()
    entry = load_gpu("number", "return tsr_runtime->copy(b[2], b[0], 4);", [tensor("n", "f32"), tensor("x", "f32", 1)],
                     [value("f32")])  # fmt: skip
    y = entry(2.5, Tensor.of(X[:1]))
    assert type(y) is Tensor and y.numpy() == 2.5 and y.numpy().shape == ()


@on_gpus("9.0,9.0")
def test_results_say_where_if_no_argument_does() -> None:
    driver = fake_torch.start()
    body = "if (ON_GPU) return tsr_runtime->copy(b[0], b[0], 4); *(float *)b[0] = 1;"
    entry = Entry(function("f", body), [], [value("f32", 1)])
    both = rt.load_bytes(build_gpu({"f": entry}, {"sm_90a": module("sm_90a")}, cpu=True)).entry("f")
    out, Tensor.current = Tensor.of(X[:1], device=1), driver.stream(1)
    assert both(out=out) is out and both() == 1
    assert driver.log("cpy") == [f"cuMemcpyAsync 4 stream={Tensor.current:x}"]


@on_gpus()
def test_several_results_and_none() -> None:
    fake_torch.start()
    body = "return tsr_runtime->copy(b[2], b[0], s[0] * 4);"
    pair = load_gpu("pair", body, [tensor("x", "f32", "N")], [value("int32"), value("f32", "N")])
    first, second = pair(Tensor.of(X))
    assert first.numpy().dtype == np.int32
    np.testing.assert_array_equal(second.numpy(), X)
    assert load_gpu("none", "", [tensor("x", "f32", "N")], [])(Tensor.of(X)) == ()


@on_gpus()
def test_dispatchers_take_them() -> None:
    driver = fake_torch.start()
    call = rt.Dispatcher(lambda *args, **kwargs: "slow")
    call.add(copy_program().entry("copy"))
    assert type(call(Tensor.of(X))) is Tensor and call(Tensor.of(X.astype(int).astype(np.int32))) == "slow"
    out = Tensor.of(X)
    assert call(Tensor.of(X), out=out) is out
    assert len(driver.log("Launch")) == 2
    stream = driver.stream()
    assert call(Tensor.of(X), out=out, stream=stream) is out and call(Tensor.of(X), stream=None).numpy().shape == (
        1000,
    )
    assert [line.split("=")[-1] for line in driver.log("Launch")] == [f"{stream:x}", "0"]
    assert call(Tensor.of(X), other=1) == "slow"


# ---- __dlpack__, as JAX has it: immutable arrays, ordered by the stream that the consumer names


class Immutable:
    """An array whose framework takes results over by ``from_dlpack``."""

    streams: list[Any] = []  # noqa: RUF012 - what consumers asked for

    def __init__(self, memory: Any) -> None:
        self.memory = memory

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, *, stream: Any = None, **options: Any) -> Any:
        Immutable.streams.append(stream)
        return rt_array(self.memory).__dlpack__(stream=-1, **options)

    def __array_namespace__(self) -> Any:
        return SimpleNamespace(from_dlpack=lambda array: ("taken", array))


def rt_array(memory: Memory) -> Any:
    """A DeviceArray with these values."""
    give = load_gpu(
        "give", "return tsr_runtime->copy(b[1], b[0], s[0] * 4);", [tensor("x", "f32", "N")], [value("f32", "N")]
    )
    return give(InterfaceArray(memory))


@on_gpus()
def test_dlpack() -> None:
    driver = Driver()
    copies(driver)
    entry, x = copy_program().entry("copy"), Immutable(Memory(driver, X))
    word, y = entry(x)
    assert word == "taken" and type(y) is rt.DeviceArray
    interface = y.__cuda_array_interface__
    np.testing.assert_array_equal(view(interface["data"][0], np.float32, *y.shape), X)
    assert Immutable.streams == [1]  # the legacy default stream
    stream = driver.stream()
    entry(x, stream=stream)
    assert Immutable.streams == [1, stream]
    assert launches(driver)[-1] == f"launch {stream:x}"


@on_gpus()
def test_managed_memory() -> None:
    driver = Driver()
    copies(driver)

    class Managed(Immutable):
        def __dlpack_device__(self) -> tuple[int, int]:
            return (13, 0)

    target = InterfaceArray(Memory(driver, 0 * X))
    copy_program().entry("copy")(Managed(Memory(driver, X)), out=target)
    np.testing.assert_array_equal(target.numpy(), X)


@on_gpus()
def test_arrays_that_are_older_than_dlpack_1() -> None:
    driver = Driver()

    class Old(Immutable):
        def __dlpack__(self, *, stream: Any = None) -> Any:
            return super().__dlpack__(stream=stream)

    target = InterfaceArray(Memory(driver, 0 * X))
    copies(driver)
    copy_program().entry("copy")(Old(Memory(driver, X)), out=target)
    np.testing.assert_array_equal(target.numpy(), X)


@on_gpus()
def test_two_frameworks_in_one_call() -> None:
    driver = fake_torch.start()
    entry = rt.load_bytes(build_gpu({"add": ADD}, {"sm_90a": module("sm_90a")}))
    add = Entry(
        function("add", "return tsr_runtime->copy(b[2], b[0], s[0] * 4);"), ADD.inputs, ADD.outputs, ADD.symbols
    )
    entry = rt.load_bytes(build_gpu({"add": add}, {"sm_90a": module("sm_90a")})).entry("add")
    x, y = Immutable(Memory(driver, X)), Tensor.of(X)
    Tensor.current = driver.stream()
    assert type(entry(x, y)) is Tensor
    # The immutable array decided for the default stream, and the framework's own waits before and after.
    own = f"{Tensor.current:x}"
    waits = [line for line in launches(driver) if "stream" in line and "Pool" not in line]
    assert waits[-5:] == [
        f"cuEventRecord stream={own}",
        "cuStreamWaitEvent stream=0",
        "cuMemcpyAsync 4000 stream=0",
        "cuEventRecord stream=0",
        f"cuStreamWaitEvent stream={own}",
    ]
    assert Tensor.allocated_on == [0]


# ---- __cuda_array_interface__ with a stream, as CuPy has it


@on_gpus()
def test_the_interface_and_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    copies(driver)
    current = driver.stream()
    cupy = ModuleType("fake_cupy")

    class ndarray(InterfaceArray):
        def __init__(self, memory: Memory) -> None:
            super().__init__(memory, stream=current)

        def __dlpack__(self, **options: Any) -> Any:
            raise AssertionError("the interface says all")

        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

    ndarray.__module__ = "fake_cupy.core"
    cupy.empty = lambda shape, dtype: ndarray(Memory(driver, np.empty(shape, dtype)))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fake_cupy", cupy)
    entry = copy_program().entry("copy")
    y = entry(ndarray(Memory(driver, X)))
    assert type(y) is ndarray
    np.testing.assert_array_equal(y.numpy(), X)
    assert launches(driver) == [f"launch {current:x}"]
    other = driver.stream()
    entry(ndarray(Memory(driver, X)), stream=other)
    assert f"cuStreamWaitEvent stream={other:x}" in launches(driver)


@on_gpus()
def test_interfaces_that_cannot_be_read() -> None:
    driver = Driver()
    entry, memory = copy_program().entry("copy"), Memory(driver, X)
    for changed, text in [
        ({"typestr": "<c8"}, "TSR2010] argument 'x': expected an array, got InterfaceArray"),
        ({"mask": 1}, "TSR2010] argument 'x': masked arrays have no counterpart in Tessera"),
        ({"shape": "abc"}, "TSR2010] argument 'x': its __cuda_array_interface__ failed"),
        ({"shape": None}, "TSR2010] argument 'x': its __cuda_array_interface__ failed: TypeError: 'NoneType' object"),
        (
            {"data": (12345, False)},
            "TSR2010] argument 'x': its __cuda_array_interface__ failed: RuntimeFailure: [TSR2906] GPU",
        ),
        ({"typestr": ">f4"}, "TSR2010] argument 'x': expected an array, got InterfaceArray"),
        ({"typestr": "<f8"}, "TSR2008] argument 'x': expected dtype f32, got f64"),
    ]:
        array = InterfaceArray(memory)
        array.__cuda_array_interface__.update(changed)
        with pytest.raises(Exception, match=re.escape(text)):
            entry(array)


# ---- DeviceArray


@on_gpus()
def test_device_arrays() -> None:
    driver = Driver()
    used, stream = driver.used(), driver.stream()
    y = copy_program().entry("copy")(InterfaceArray(Memory(driver, X)), stream=stream)
    assert y.shape == (1000,) and y.__dlpack_device__() == (2, 0)
    interface = y.__cuda_array_interface__
    assert interface["shape"] == (1000,) and interface["typestr"] == "<f4" and interface["stream"] == stream
    driver.log()
    for asked, waits in [(-1, 0), (stream, 0), (None, 1), (1, 1), (2, 1)]:
        old, new = y.__dlpack__(stream=asked), y.__dlpack__(stream=asked, max_version=(1, 1))
        assert '"dltensor"' in repr(old) and '"dltensor_versioned"' in repr(new)
        assert len(driver.log("WaitEvent")) == 2 * waits
    with pytest.raises(BufferError):
        y.__dlpack__(copy=True)
    # A consumer keeps the memory, which is freed in the order of its stream.
    again = copy_program().entry("copy")
    kept = Capsule(y.__dlpack__(stream=-1))
    del y, old, new
    driver.log()
    again(kept, out=InterfaceArray(Memory(driver, X)))
    assert driver.used() > used and not driver.log("FreeAsync")
    del kept
    assert driver.log("FreeAsync") == [f"cuMemFreeAsync stream={stream:x}"]


class Capsule:
    """An array that is a capsule."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule


@on_gpus()
def test_dtypes_that_the_interface_lacks() -> None:
    driver = Driver()
    entry = load_gpu("cast", COPY_BODY, COPY.inputs, [value("bf16", "N")])
    y = entry(InterfaceArray(Memory(driver, X)))
    assert not hasattr(y, "__cuda_array_interface__")
    assert load_gpu("again", COPY_BODY, [tensor("x", "bf16", "N")], COPY.outputs)(y).shape == (1000,)
