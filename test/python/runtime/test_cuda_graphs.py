# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Calls captured in CUDA graphs, and replayed."""

from __future__ import annotations

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
)
from fake_torch import Tensor
from handmade import Entry, build, rt, tensor, value
from programs import ADD, N, function
from test_cuda_weights import W, program

X = np.arange(1000, dtype=np.float32)


@on_gpus()
def test_capture_and_replay() -> None:
    driver = fake_torch.start()
    copies(driver)
    entry = copy_program().entry("copy")
    x = Tensor.of(X)
    graph = entry.capture(x)
    y = graph.outputs
    assert type(y) is Tensor and not y.numpy().any()  # nothing has run
    log = driver.log("Capture|Launch|Load|Sync|Retain")
    assert [line.split()[0] for line in log] == [
        "cuDevicePrimaryCtxRetain",
        "cuLibraryLoadData",
        "cuStreamBeginCapture",
        "cuLaunchKernelEx",
        "cuStreamEndCapture",
    ]
    graph.replay()
    np.testing.assert_array_equal(y.numpy(), X)
    np.copyto(np.frombuffer((fake_torch.ctypes.c_char * X.nbytes).from_address(x.memory.address), np.float32), -X)
    given = driver.stream()  # which takes the log
    graph.replay()
    Tensor.current = given
    graph.replay()
    np.testing.assert_array_equal(y.numpy(), -X)
    graph.replay(stream=given)
    assert driver.log("Graph") == [f"cuGraphLaunch stream={stream:x}" for stream in (0, given, given)]
    del entry
    graph.replay()


@on_gpus()
def test_a_graph_keeps_its_arrays_and_ends_in_order() -> None:
    driver = Driver()
    used = driver.used()
    y = InterfaceArray(Memory(driver, X))
    graph = copy_program().entry("copy").capture(InterfaceArray(Memory(driver, X)), out=y)
    assert graph.outputs is y
    del y
    graph.replay()
    assert driver.log("cuGraphLaunch") == ["cuGraphLaunch stream=0"]
    driver.log()
    del graph
    assert driver.log("Sync|Unload")[0] == "cuCtxSynchronize device=0"
    assert driver.used() == used


@on_gpus()
def test_workspace_numbers_and_bases_are_captured() -> None:
    driver = Driver()
    prelude = "WORKSPACE(number) { return 64; }"
    body = "int32_t e = tsr_runtime->copy(w, b[1], 8); return e ? e : tsr_runtime->copy(b[2], w, 8);"
    entry = load_gpu("number", body, [tensor("x", "f32", 1), tensor("n", "f64")], [value("f64")], prelude=prelude,
                     workspace=True)  # fmt: skip
    y = InterfaceArray(Memory(driver, np.zeros((), np.float64), offset=8))
    graph = entry.capture(InterfaceArray(Memory(driver, X[:1], offset=4)), 2.5, out=y)
    assert y.numpy() == 0
    graph.replay()
    assert y.numpy() == 2.5


@on_gpus()
def test_a_graph_keeps_the_weights_of_its_capture() -> None:
    driver = Driver()
    loaded = program(weights={"w": W})
    y = InterfaceArray(Memory(driver, 0 * W))
    graph = loaded.entry("weight").capture(InterfaceArray(Memory(driver, 0 * W)), out=y)
    loaded.set_weight("w", -W)
    graph.replay()
    np.testing.assert_array_equal(y.numpy(), W)
    used = driver.used()
    del graph
    assert driver.used() == used - 256 - (W.nbytes + 1)  # the weight, and the input that only the graph had


@on_gpus()
def test_what_cannot_be_captured() -> None:
    driver = Driver()
    x, y = InterfaceArray(Memory(driver, X)), InterfaceArray(Memory(driver, X))
    reads = load_gpu("reads", "int first; return tsr_runtime->read(&first, b[0], 4);", COPY.inputs, COPY.outputs)
    with pytest.raises(
        Exception, match=r"TSR2038\] the program reads a value back to choose what it runs: a graph cannot"
    ):
        reads.capture(x, out=y)
    reads(x, out=y)
    with pytest.raises(Exception, match=r"TSR2038\] add runs on the CPU here: expected arrays on a GPU"):
        rt.load_bytes(build({"add": ADD})).entry("add").capture(X, X)
    entry = copy_program().entry("copy")
    with pytest.raises(Exception, match="TSR2037"):
        entry.capture(InterfaceArray(x.memory, strides=(8,), shape=(500,)), out=InterfaceArray(y.memory, shape=(500,)))
    driver.fail("cuStreamBeginCapture", 1)
    with pytest.raises(Exception, match=r"TSR2906\] GPU 0: beginning a capture failed"):
        entry.capture(x, out=y)
    driver.fail("cuGraphInstantiateWithFlags", 1)
    with pytest.raises(Exception, match=r"TSR2906\] GPU 0: making a graph failed"):
        entry.capture(x, out=y)
    entry.capture(x, out=y).replay()


@on_gpus()
def test_artifacts() -> None:
    import json
    import zipfile
    from io import BytesIO

    from handmade import pack
    from tessera.artifact import Artifact

    driver = Driver()
    copies(driver)
    data = build_gpu({"copy": Entry(function("copy", COPY_BODY), COPY.inputs, COPY.outputs, [N])},
                     {"sm_90a": module("sm_90a", {"name": "copy_0"})})  # fmt: skip

    def artifact(**fields: object) -> Artifact:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist() if name != "manifest.json"}
            manifest = json.loads(archive.read("manifest.json"))
        parameters = [{"name": "x", "kind": "positional_or_keyword", "tree": 0}]
        manifest["entries"]["copy"] |= {"parameters": parameters, "output_tree": {"dict": {"y": 0}}, **fields}
        return Artifact(pack(members, manifest))

    x, y = InterfaceArray(Memory(driver, X)), InterfaceArray(Memory(driver, 0 * X))
    called = artifact()(x, out={"y": y}, stream=driver.stream())
    assert called == {"y": y}
    graph = artifact().graph(x=x, out={"y": y})
    assert graph.outputs == {"y": y} and graph.replay() is graph.outputs
    np.testing.assert_array_equal(y.numpy(), X)
    with pytest.raises(
        Exception, match=r"TSR2038\] copy cannot be captured in a graph: it reads .* \(while at f.py:3\)"
    ):
        artifact(host_syncs=["while at f.py:3"]).graph(x)
