# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which code of an artifact runs where: by where the arrays lie, and by the architecture of the GPU."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from fake_cuda import COPY, COPY_BODY, Driver, InterfaceArray, Memory, build_gpu, copies, module, on_gpus
from handmade import Entry, build, pack, rt, tensor, value
from hypothesis import given
from hypothesis import strategies as st
from programs import ADD, N, function

X = np.arange(8, dtype=np.float32)
KERNEL = {"name": "copy_0"}
# copy(x) on the CPU as well
BOTH = Entry(
    f"""int32_t copy(void *const *b, const int64_t *s, void *w) {{
    if (ON_GPU) {{ {COPY_BODY} }}
    for (int64_t i = 0; i < s[0]; ++i) ((float *)b[1])[i] = ((const float *)b[0])[i];
    return 0; }}""",
    COPY.inputs,
    COPY.outputs,
    [N],
)


def on(driver: Driver, device: int, values: np.ndarray = X) -> InterfaceArray:
    return InterfaceArray(Memory(driver, values, device))


def chosen(driver: Driver, data: bytes, device: int) -> tuple[str | None, str]:
    """The target that a call on a device picks, and what the driver is given."""
    entry = rt.load_bytes(data).entry("copy")
    entry(on(driver, device), out=on(driver, device))
    return entry.target, driver.log("Load")[-1].split()[-1]


@on_gpus("8.0,8.6,8.9,9.0,10.0,12.1")
def test_the_best_architecture() -> None:
    driver = Driver()
    all_of_them = {
        arch: module(arch, KERNEL, ptx=arch == "sm_80") for arch in ("sm_80", "sm_86", "sm_90", "sm_90a", "sm_120f")
    }
    data = build_gpu({"copy": COPY}, all_of_them)
    assert [chosen(driver, data, i) for i in range(6)] == [
        ("sm_80", "cubin"),
        ("sm_86", "cubin"),
        ("sm_86", "cubin"),
        ("sm_90a", "cubin"),
        ("sm_80", "ptx"),
        ("sm_120f", "cubin"),
    ]
    newer = build_gpu({"copy": COPY}, {arch: module(arch, KERNEL, ptx=True) for arch in ("sm_80", "sm_86")})
    assert [chosen(driver, newer, i) for i in (2, 3, 5)] == [("sm_86", "cubin"), ("sm_86", "ptx"), ("sm_86", "ptx")]
    text = build_gpu({"copy": COPY}, {"sm_80": module("sm_80", KERNEL, ptx=True, cubin=False)})
    assert chosen(driver, text, 1) == ("sm_80", "ptx")


@on_gpus("8.6,9.0,10.0")
def test_no_code_for_the_device() -> None:
    driver = Driver()
    only = rt.load_bytes(build_gpu({"copy": COPY}, {"sm_90a": module("sm_90a", KERNEL, ptx=True)})).entry("copy")
    for device, name in [(0, "sm_86"), (2, "sm_100a")]:
        text = (
            f"[TSR3010] entry 'copy' holds no code for GPU {device} (Fake {device}): expected {name} or code that is "
            "compatible with it, got sm_90a (with PTX)"
        )
        with pytest.raises(Exception, match=re.escape(text)):
            only(on(driver, device))
    only(on(driver, 1), out=on(driver, 1))
    later = rt.load_bytes(build_gpu({"copy": COPY}, {"sm_89": module("sm_89", KERNEL)})).entry("copy")
    with pytest.raises(Exception, match=r"TSR3010.*expected sm_86 .*, got sm_89"):
        later(on(driver, 0))
    call = rt.Dispatcher(lambda *args: "slow")  # which may compile for the device
    call.add(only)
    assert call(on(driver, 0)) == "slow"


@on_gpus()
def test_code_runs_where_the_arrays_lie() -> None:
    driver = Driver()
    copies(driver)
    entry = rt.load_bytes(build_gpu({"copy": BOTH}, {"sm_90a": module("sm_90a", KERNEL)}, cpu=True)).entry("copy")
    assert entry.target == "cpu"
    np.testing.assert_array_equal(entry(X), X)
    assert not driver.log("Load|Launch")
    y = on(driver, 0, -X)
    entry(on(driver, 0), out=y)
    np.testing.assert_array_equal(y.numpy(), X)
    np.testing.assert_array_equal(entry(X), X)
    assert len(driver.log("Load|Launch")) == 2
    with pytest.raises(Exception, match=r"TSR2026\] copy runs on the CPU: expected no stream"):
        entry(X, stream=5)
    with pytest.raises(Exception, match=r"TSR2011\] output 0: expected an array in CPU memory, got one on GPU 0"):
        entry(X, out=y)
    with pytest.raises(Exception, match=r"TSR2011\] output 0: expected an array on GPU 0, got one in CPU memory"):
        entry(y, out=X.copy())


@on_gpus("9.0,9.0")
def test_arrays_where_there_is_no_code_for_them() -> None:
    driver = Driver()
    gpu = rt.load_bytes(build_gpu({"add": ADD}, {"sm_90a": module("sm_90a", KERNEL)})).entry("add")
    cpu = rt.load_bytes(build({"add": ADD})).entry("add")
    text = (
        "[TSR2011] argument 'x': expected an array on a GPU, got one in CPU memory: the code is for sm_90a; move it to "
    )
    with pytest.raises(Exception, match=re.escape(text + "the GPU, or compile for 'cpu' too (add, file.py:3)")):
        gpu(X, X)
    text = (
        "[TSR2011] argument 'y': expected an array in CPU memory, got one on GPU 1: the code is for cpu; move it to the"
    )
    with pytest.raises(Exception, match=re.escape(text + " CPU, or compile for the GPU too (add, file.py:4)")):
        cpu(X, on(driver, 1))
    for pair, text in [
        ((on(driver, 0), on(driver, 1)), "argument 'y': expected an array on GPU 0, as argument 'x', got one on GPU 1"),
        ((on(driver, 0), X), "argument 'y': expected an array on GPU 0, as argument 'x', got one in CPU memory"),
        ((X, on(driver, 0)), "argument 'x': expected an array on GPU 0, as argument 'y', got one in CPU memory"),
    ]:
        with pytest.raises(Exception, match=re.escape("[TSR2036] " + text)):
            gpu(*pair)
    call = rt.Dispatcher(lambda *args: "slow")
    call.add(gpu)
    call.add(cpu)
    assert call(on(driver, 0), X) == "slow" and call(on(driver, 0), on(driver, 1)) == "slow"


@on_gpus("9.0,9.0")
def test_entries_without_arrays() -> None:
    driver = Driver()
    entry = Entry(function("f", "if (ON_GPU) return tsr_runtime->copy(b[0], b[0], 4); *(float *)b[0] = 1;"), [],
                  [value("f32", 1)])  # fmt: skip
    both = rt.load_bytes(build_gpu({"f": entry}, {"sm_90a": module("sm_90a")}, cpu=True)).entry("f")
    assert both() == 1
    y = on(driver, 1, X[:1])
    driver.log()
    assert both(out=y) is y and len(driver.log("cpy")) == 1
    gpu = rt.load_bytes(build_gpu({"f": entry}, {"sm_90a": module("sm_90a")})).entry("f")
    made = gpu()
    assert type(made) is rt.DeviceArray and made.shape == (1,) and made.__dlpack_device__() == (2, 0)
    numbers = Entry(function("f", "return tsr_runtime->copy(b[1], b[0], 4);"), [tensor("n", "f32")], [value("f32")])
    assert rt.load_bytes(build_gpu({"f": numbers}, {"sm_90a": module("sm_90a")})).entry("f")(2.5).shape == ()


@on_gpus()
def test_code_that_the_driver_refuses() -> None:
    driver = Driver()
    bad = {"cuda/sm_90a/code.cubin": b"nonsense"}
    entry = rt.load_bytes(build_gpu({"copy": COPY}, {"sm_90a": module("sm_90a", KERNEL)}, members=bad)).entry("copy")
    text = "[TSR3018] GPU 0: loading the code of 'sm_90a' failed: CUDA_ERROR_INVALID_IMAGE"
    for _ in range(2):
        with pytest.raises(Exception, match=re.escape(text)):
            entry(on(driver, 0), out=on(driver, 0))
    bad = {"cuda/compute_80/code.ptx": b"nonsense"}
    data = build_gpu({"copy": COPY}, {"sm_80": module("sm_80", KERNEL, ptx=True)}, members=bad)
    with pytest.raises(Exception, match=r"TSR3018.*'sm_80' failed: .*: syntax error"):
        rt.load_bytes(data).entry("copy")(on(driver, 0), out=on(driver, 0))
    lacking = build_gpu(
        {"copy": COPY}, {"sm_90a": module("sm_90a", KERNEL)}, members={"cuda/sm_90a/code.cubin": b"fake cubin ;"}
    )
    with pytest.raises(Exception, match=r"TSR2906\] GPU 0: loading kernel 'copy_0' failed: CUDA_ERROR_NOT_FOUND"):
        rt.load_bytes(lacking).entry("copy")(on(driver, 0), out=on(driver, 0))
    damaged = build_gpu({"copy": COPY}, {"sm_90a": module("sm_90a", KERNEL)}).replace(b"fake cubin", b"fake cabin")
    with pytest.raises(Exception, match=r"TSR3005\] member 'cuda/sm_90a/code.cubin' is damaged"):
        rt.load_bytes(damaged).entry("copy")(on(driver, 0), out=on(driver, 0))


# ---- The manifest


def manifest_with(modules: Any) -> bytes:
    entry = COPY.manifest("copy", {"host/x86_64-linux-gnu/sm_90a.o": []})
    entry["variants"][0]["module"] = "sm_90a"
    manifest = {"format": 1, "abi": 1, "entries": {"copy": entry}, "modules": modules}
    return pack({"host/x86_64-linux-gnu/sm_90a.o": b"", "code": b""}, manifest)


def test_modules_that_cannot_be() -> None:
    good = {"arch": "sm_90a", "cubin": "code", "kernels": [{"name": "k", "threads": 32}]}
    rt.load_bytes(manifest_with({"sm_90a": good}))
    for changed, text in [
        ({"arch": "90"}, "modules.sm_90a.arch: expected an architecture such as sm_90a, got '90'"),
        ({"arch": "sm_9"}, "expected an architecture"),
        ({"arch": "sm_90x"}, "expected an architecture"),
        ({"arch": "sm_99999999999"}, "expected an architecture"),
        ({"arch": ""}, "expected an architecture"),
        ({"cubin": None}, "modules.sm_90a: expected a cubin or PTX for its kernels"),
        ({"kernels": 5}, "modules.sm_90a.kernels: expected an array"),
        ({"kernels": [{"threads": 1}]}, "modules.sm_90a.kernels[0]: member 'name' is missing"),
        ({"kernels": [{"name": "k"}]}, "member 'threads' is missing"),
        ({"kernels": [{"name": "k", "threads": 0}]}, "threads: expected an integer between 1 and 1024"),
        ({"kernels": [{"name": "k", "threads": 2048}]}, "threads: expected an integer between 1 and 1024"),
        ({"kernels": [{"name": "k", "threads": 1, "cluster": 17}]}, "cluster: expected an integer between 1 and 16"),
        (
            {"kernels": [{"name": "k", "threads": 1, "dynamic_shared": -1}]},
            "dynamic_shared: expected an integer between",
        ),
        ({"kernels": [{"name": "k", "threads": 1, "pdl": 1}]}, "pdl: expected true or false"),
    ]:
        with pytest.raises(Exception, match=r"TSR3007.*" + re.escape(text)):
            rt.load_bytes(manifest_with({"sm_90a": {**good, **changed}}))
    with pytest.raises(Exception, match=r"TSR3007\] manifest.json.*module: unknown module 'sm_90a'"):
        rt.load_bytes(manifest_with({"sm_80": good}))
    for field in ("cubin", "ptx"):
        with pytest.raises(
            Exception, match=r"TSR3004\] module 'sm_90a' names a member that the artifact lacks: 'other'"
        ):
            rt.load_bytes(manifest_with({"sm_90a": {**good, field: "other"}}))


KEYS = ["arch", "cubin", "ptx", "kernels", "name", "threads", "cluster", "dynamic_shared", "sm_90a"]
LEAVES = [st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()]
JSON = st.recursive(
    st.one_of(*LEAVES, st.just("code"), st.just("sm_90a")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
)


@given(JSON)
def test_any_modules_give_a_result_or_an_error(modules: Any) -> None:
    json.dumps(modules)
    try:
        rt.load_bytes(manifest_with(modules))
    except Exception as error:
        assert re.match(r"\[TSR300[47]\]", str(error))
