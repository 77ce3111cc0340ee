# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Calls on GPUs, seen by a fake driver: what is loaded, launched and allocated, where and in which order."""

from __future__ import annotations

import ctypes
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_cuda import COPY, COPY_BODY, Driver, InterfaceArray, Memory, build_gpu, copies, copy_program, module, on_gpus
from fake_cuda import load_gpu as load
from handmade import Entry, rt, tensor, value
from programs import N, function

X = np.arange(1000, dtype=np.float32)


def launch(**changed: object) -> str:
    """A line of the log: the usual launch, and what differs."""
    fields = {"grid": 4, "block": 256, "cluster": 1, "shared": 0, "pdl": 0, "device": 0, "stream": 0, **changed}
    return " ".join(["cuLaunchKernelEx copy_0", *(f"{name}={field}" for name, field in fields.items())])


def array(driver: Driver, values: np.ndarray, device: int = 0, offset: int = 0) -> InterfaceArray:
    return InterfaceArray(Memory(driver, values, device, offset))


@on_gpus("9.0,8.6")
def test_devices() -> None:
    assert rt.cuda_devices() == [("Fake 0", "sm_90a", 1 << 30), ("Fake 1", "sm_86", 1 << 30)]


@on_gpus()
def test_a_call() -> None:
    driver = Driver()
    copies(driver)
    entry = copy_program().entry("copy")
    assert entry.target is None and repr(entry) == "<tessera entry 'copy' for GPUs>"
    target = array(driver, np.zeros_like(X))
    assert entry(array(driver, X), out=target) is target
    np.testing.assert_array_equal(target.numpy(), X)
    assert entry.target == "sm_90a"
    loading = ["cuLibraryLoadData cubin", "cuKernelGetFunction copy_0 device=0"]
    assert driver.log("Launch|Load|Function|Alloc|Synchronize|Attribute") == [*loading, launch()]
    entry(array(driver, X), out=target)
    assert driver.log("Launch|Load|Function|Alloc|Synchronize|Attribute") == [launch()]


@on_gpus()
def test_clusters_shared_memory_and_programmatic_launch() -> None:
    driver = Driver()
    body = COPY_BODY.replace("(0, (n + 255) / 256, 0, a)", "(0, (n + 255) / 256, 100000, a)")
    kernel = {"name": "copy_0", "threads": 64, "cluster": 2, "dynamic_shared": 101_376, "pdl": True}
    entry = load("copy", body, COPY.inputs, COPY.outputs, {"sm_90a": module("sm_90a", kernel)})
    x, y = array(driver, X), array(driver, X)
    driver.log()
    entry(x, out=y)
    entry(x, out=y)
    line = launch(block=64, cluster=2, shared=100_000, pdl=1)
    assert driver.log("Launch|Attribute") == ["cuKernelSetAttribute copy_0 8=101376 device=0", line, line]


@on_gpus()
def test_large_clusters_are_asked_for() -> None:
    driver = Driver()
    x = array(driver, np.zeros(16 * 256, np.float32))
    entry = copy_program(cluster=16).entry("copy")
    entry(x, out=array(driver, x.numpy()))
    assert driver.log("Attribute|Launch") == [
        "cuKernelSetAttribute copy_0 14=1 device=0",
        launch(grid=16, cluster=16),
    ]
    with pytest.raises(
        Exception, match=r"TSR2907\] GPU 0: launching kernel 'copy_0' \(4 blocks of 256 threads, clusters"
    ):
        entry(array(driver, X), out=array(driver, X))


@on_gpus("9.0,9.0,8.6")
def test_several_devices() -> None:
    driver = Driver()
    copies(driver)
    modules = {arch: module(arch, {"name": "copy_0", "dynamic_shared": 60_000}) for arch in ("sm_90a", "sm_80")}
    entry = rt.load_bytes(build_gpu({"copy": COPY}, modules)).entry("copy")
    for device in (0, 1, 2, 1, 0):
        y = array(driver, np.zeros_like(X), device)
        entry(array(driver, X, device), out=y)
        np.testing.assert_array_equal(y.numpy(), X)
    log = driver.log("Launch|Load|Set|Function|Retain")
    assert [line for line in log if "Load" in line] == ["cuLibraryLoadData cubin"] * 2  # one for each architecture
    assert [line for line in log if "Attr" in line] == [
        f"cuKernelSetAttribute copy_0 8=60000 device={i}" for i in range(3)
    ]
    assert [line for line in log if "Retain" in line] == [f"cuDevicePrimaryCtxRetain device={i}" for i in range(3)]
    assert [line[-17:] for line in log if "Launch" in line] == [f"device={i} stream=0" for i in (0, 1, 2, 1, 0)]


@on_gpus("9.0,9.0")
def test_the_callers_context_is_left_as_it_was() -> None:
    driver = Driver()
    entry = copy_program().entry("copy")
    x, y = array(driver, X, 1), array(driver, X, 1)
    entry(x, out=y)
    assert driver.current() is None
    for device in (0, 1):
        driver.context(device)
        before = driver.current()
        driver.log()
        entry(x, out=y)
        assert driver.current() == before
        # Where it is the device's own, nothing is set.
        assert len(driver.log("cuCtxSetCurrent")) == (2 if device == 0 else 0)


@on_gpus()
def test_a_stream_is_given() -> None:
    driver = Driver()
    entry, stream = copy_program().entry("copy"), driver.stream()
    x, y = array(driver, X), array(driver, X)

    class Protocol:
        def __cuda_stream__(self) -> tuple[int, int]:
            return 0, stream

    class Torch:
        cuda_stream = stream

    class CuPy:
        ptr = stream

    for given in (stream, Protocol(), Torch(), CuPy(), np.int64(stream).item()):
        driver.log()
        entry(x, out=y, stream=given)
        assert driver.log("Launch") == [launch(stream=f"{stream:x}")]
    for wrong in ("0", 1.5, True, -1, object()):
        with pytest.raises(Exception, match=r"TSR2026\] stream=: expected a CUDA stream"):
            entry(x, out=y, stream=wrong)
    assert not driver.log("Launch")


# ---- What compiled code asks for


@on_gpus()
def test_workspace_is_one_allocation_in_the_order_of_the_stream() -> None:
    driver = Driver()
    prelude = "WORKSPACE(copy) { return s[0] * 4; }"
    entry = load("copy", COPY_BODY, COPY.inputs, COPY.outputs, prelude=prelude, workspace=True)
    x, y, stream = array(driver, X), array(driver, X), driver.stream()
    used = driver.used()
    driver.log()
    entry(x, out=y, stream=stream)
    assert driver.log("Launch|Alloc|Free") == [
        f"cuMemAllocFromPoolAsync 4000 stream={stream:x}",
        launch(stream=f"{stream:x}"),
        f"cuMemFreeAsync stream={stream:x}",
    ]
    assert driver.used() == used and entry.workspace_size({"N": 3}) == 12


@on_gpus()
def test_sizes_of_workspaces_need_no_gpu() -> None:
    prelude = "WORKSPACE(copy) { return s[0] * 4; }"
    entry = load("copy", COPY_BODY, COPY.inputs, COPY.outputs, prelude=prelude, workspace=True)
    assert entry.workspace_size({"N": 5}) == 20
    assert not Driver().log("Library|Retain")


@on_gpus()
def test_copy_read_and_scratch() -> None:
    driver = Driver()
    body = """
    int32_t e, first; const tsr_api *r = tsr_runtime;
    void *t = r->device_alloc(s[0] * 4), *u = r->device_alloc(8);
    if (!t || (intptr_t)t % 256) return 2902;
    if ((e = r->copy(t, b[0], s[0] * 4))) return e;
    if ((e = r->read(&first, t, 4))) return e;
    r->device_free(u);
    if (first != 7) return r->fail(2902, "read %0", first, 0);
    return r->copy(b[1], t, s[0] * 4);
    """
    entry = load("pass", body, [tensor("x", "int32", "N")], [value("int32", "N")])
    x = np.arange(7, 12, dtype=np.int32)
    y, used = array(driver, np.zeros_like(x)), driver.used()
    source = array(driver, x)
    driver.log()
    entry(source, out=y)
    np.testing.assert_array_equal(y.numpy(), x)
    assert driver.used() == used + 21  # what compiled code did not free is freed for it
    assert [line.split()[0] for line in driver.log("Alloc|Free|cpy|Sync")] == [
        "cuMemAllocFromPoolAsync",
        "cuMemAllocFromPoolAsync",
        "cuMemcpyAsync",
        "cuMemcpyDtoHAsync",
        "cuStreamSynchronize",
        "cuMemFreeAsync",
        "cuMemcpyAsync",
        "cuMemFreeAsync",
    ]
    with pytest.raises(Exception, match=r"TSR2902\] read 8"):
        entry(array(driver, x + 1), out=y)


@on_gpus()
def test_launches_that_cannot_be() -> None:
    driver = Driver()
    x, y = array(driver, X), array(driver, X)
    for call, text in [
        ("(0, 1ll << 31, 0, a)", "TSR2907] kernel 'copy_0' would need 2147483648 blocks"),
        ("(0, -1, 0, a)", "TSR2907] kernel 'copy_0' would need -1 blocks"),
        ("(0, 1, 1, a)", "TSR2907] kernel 'copy_0' asks for 1 bytes of shared memory: it was compiled for 0"),
        ("(1, 1, 0, a)", "TSR2903] compiled code launches kernel 1 of 1"),
        ("(-1, 1, 0, a)", "TSR2903] compiled code launches kernel -1 of 1"),
    ]:
        entry = load("copy", COPY_BODY.replace("(0, (n + 255) / 256, 0, a)", call), COPY.inputs, COPY.outputs)
        with pytest.raises(Exception, match=re.escape(text)):
            entry(x, out=y)
    nothing = array(driver, X[:0])
    copy_program().entry("copy")(nothing, out=nothing)
    assert not driver.log("Launch")


@on_gpus()
def test_a_program_that_launches_nothing_needs_no_machine_code() -> None:
    driver = Driver()
    entry = load("pass", "return tsr_runtime->copy(b[1], b[0], s[0] * 4);", COPY.inputs, COPY.outputs,
                 {"sm_90a": module("sm_90a", cubin=False)})  # fmt: skip
    y = array(driver, np.zeros_like(X))
    entry(array(driver, X), out=y)
    np.testing.assert_array_equal(y.numpy(), X)
    assert not driver.log("Library")


@on_gpus()
def test_code_for_gpus_that_is_called_on_the_cpu_says_so() -> None:
    api = "return tsr_runtime->launch(0, 1, 0, 0);"
    entry = rt.load_bytes(
        build_gpu({"f": Entry(function("f", api), [], [value("f32", 1)])}, {}, cpu=True)
    ).entry("f")  # fmt: skip
    with pytest.raises(Exception, match=r"TSR2903\] compiled code uses a GPU outside of a call on one"):
        entry()


# ---- Arguments


@on_gpus()
def test_numbers() -> None:
    driver = Driver()
    for dtype, numpy, given in [
        ("f32", np.float32, 1.5),
        ("f64", np.float64, -2.5),
        ("f16", np.float16, 0.5),
        ("int8", np.int8, -3),
        ("int64", np.int64, 1 << 40),
        ("bool", np.bool_, True),
    ]:
        size = np.dtype(numpy).itemsize
        body = f"return tsr_runtime->copy(b[2], b[1], {size});"
        entry = load("number", body, [tensor("x", "f32", 1), tensor("n", dtype)], [value(dtype)])
        for number in (given, np.array(given, numpy), numpy(given)):
            y = array(driver, np.zeros((), numpy))
            driver.log()
            entry(array(driver, X[:1]), number, out=y)
            assert y.numpy() == given
            assert not driver.log("Synchronize|HtoD") and y.memory.address % 16 == 0


@on_gpus()
@pytest.mark.parametrize("offset", [4, 2])
def test_bases_that_are_not_aligned(offset: int) -> None:
    driver = Driver()
    copies(driver)
    prelude = "WORKSPACE(copy) { return 100; }"
    body = "if ((intptr_t)b[0] % 16 || (intptr_t)b[1] % 16 || (intptr_t)w % 256) return 2902;" + COPY_BODY
    entry = load("copy", body, COPY.inputs, COPY.outputs, prelude=prelude, workspace=True)
    x, y = array(driver, X, offset=offset), array(driver, np.zeros_like(X), offset=4)
    used = driver.used()
    driver.log()
    entry(x, out=y)
    np.testing.assert_array_equal(y.numpy(), X)
    assert driver.log("Alloc|cpy|Launch|Free|Sync") == [
        f"cuMemAllocFromPoolAsync {256 + 4096 + 4000} stream=0",
        "cuMemcpyAsync 4000 stream=0",
        launch(),
        "cuMemcpyAsync 4000 stream=0",
        "cuMemFreeAsync stream=0",
    ]
    assert driver.used() == used


@on_gpus()
@pytest.mark.parametrize("offset", [0, 4])
def test_arguments_that_are_changed_in_place(offset: int) -> None:
    driver = Driver()
    body = "if (b[0] != b[2]) return 2902; return tsr_runtime->copy(b[2], b[1], s[0] * 2);"
    entry = load("half", body, [tensor("x", "f32", "N", donated=True), tensor("y", "f32", "N")],
                 [{**value("f32", "N"), "alias": 0}])  # fmt: skip
    x, y = array(driver, X, offset=offset), array(driver, -X)
    assert entry(x, y) is x
    np.testing.assert_array_equal(x.numpy(), np.concatenate([-X[:500], X[500:]]))


@on_gpus()
def test_strides() -> None:
    driver = Driver()
    entry = copy_program().entry("copy")
    memory, y = Memory(driver, X), array(driver, X[:500])
    with pytest.raises(Exception, match=r"TSR2037\] argument 'x': expected a row-major contiguous array; pass a cont"):
        entry(InterfaceArray(memory, strides=(8,), shape=(500,)), out=y)
    entry(InterfaceArray(memory, strides=(4,), shape=(500,)), out=y)  # as good as none
    with pytest.raises(Exception, match="TSR2015"):
        entry(y, out=InterfaceArray(memory, strides=(8,), shape=(500,)))
    with pytest.raises(Exception, match="TSR2016"):
        entry(y, out=InterfaceArray(memory, shape=(500,), readonly=True))
    with pytest.raises(Exception, match="TSR2017"):
        entry(y, out=y)


@on_gpus()
def test_more_than_2_to_the_31_elements() -> None:
    driver = Driver()
    seen = []
    driver.kernel("copy_0", lambda blocks, threads, shared, words: seen.append((blocks, words[2])))
    entry = load("copy", COPY_BODY, [tensor("x", "int8", "N")], [value("f32", 1)])
    n = (1 << 33) + 5
    y, x = sorted((Memory(driver, np.zeros(4, np.int8)) for _ in range(2)), key=lambda memory: memory.address)
    x.shape, y.shape, y.dtype = (n,), (1,), np.dtype(np.float32)
    entry(InterfaceArray(x), out=InterfaceArray(y))
    assert seen == [((n + 255) // 256, n)]


@on_gpus("9.0,9.0")
def test_threads() -> None:
    driver = Driver()
    copies(driver)
    entry = copy_program().entry("copy")

    def work(thread: int) -> None:
        device = thread % 2
        for i in range(30):
            x = X + thread * 100 + i
            y = array(driver, np.zeros_like(X), device)
            entry(array(driver, x, device), out=y)
            np.testing.assert_array_equal(y.numpy(), x)
            assert driver.current() is None

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    log = driver.log("Load|Launch")
    assert log.count("cuLibraryLoadData cubin") == 1 and len(log) == 241


@on_gpus()
def test_the_callers_allocator() -> None:
    from test_runtime_c import ALLOCATE, RELEASE, Allocator, C

    driver = Driver()
    entry = Entry("WORKSPACE(copy) { return 64; }" + COPY.source, COPY.inputs, COPY.outputs, [N], workspace=True)
    data = build_gpu({"copy": entry}, {"sm_90a": module("sm_90a", {"name": "copy_0"})})
    c = C("copy", data)
    x, y, space = (Memory(driver, X) for _ in range(3))
    tensors = [c.tensor(X), c.tensor(X)]
    for made, memory in zip(tensors, (x, y), strict=True):
        made.data, made.device = memory.address, (2, 0)
    calls = []

    def allocate(context: int, size: int, alignment: int, device: int, stream: int) -> int:
        calls.append(("allocate", context, size, alignment, device & 0xFFFFFFFF, stream))
        return space.address

    release = RELEASE(lambda context, memory, size, device, stream: calls.append(("release", context, size, stream)))
    allocator = Allocator(ctypes.sizeof(Allocator), 42, ALLOCATE(allocate), release)
    stream = driver.stream()
    assert c.call(tensors[:1], tensors[1:], allocator=ctypes.pointer(allocator), stream=stream) == 0, c.error()
    assert calls == [("allocate", 42, 64, 256, 2, stream), ("release", 42, 64, stream)]
    assert not driver.log("Pool.*stream")
    allocator.allocate = ALLOCATE(lambda *args: None)
    assert c.call(tensors[:1], tensors[1:], allocator=ctypes.pointer(allocator)) == 2901
    assert c.error() == "[TSR2901] the allocator gave no workspace of 64 bytes on GPU 0"


@on_gpus()
def test_trim() -> None:
    driver = Driver()
    rt.trim()
    assert not driver.log("Trim")  # nothing was used
    copy_program().entry("copy")(array(driver, X), out=array(driver, X))
    rt.trim()
    assert driver.log("Trim") == ["cuMemPoolTrimTo device=0"]


@on_gpus()
def test_a_program_waits_for_its_kernels_before_it_unloads_them() -> None:
    driver = Driver()
    program = copy_program()
    program.entry("copy")(array(driver, X), out=array(driver, X))
    driver.log()
    del program
    assert driver.log("Sync|Unload") == ["cuCtxSynchronize device=0", "cuLibraryUnload"]
