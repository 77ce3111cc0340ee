# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Values that programs for debugging show the runtime: checked, handed on, and timed, on CPUs and on GPUs."""

from __future__ import annotations

import ctypes
import json
import zipfile
from io import BytesIO
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from fake_cuda import COPY_BODY, Driver, InterfaceArray, Memory, build_gpu, copies, module, on_gpus
from handmade import Entry, build, compile_c, pack, rt, tensor, value
from programs import C_TYPES, M, N, function
from test_runtime_c import VALUE, C, Observer


def shown(dtype: str, rank: int = 1, kernel: str = "copy_0", result: int = 0) -> dict[str, Any]:
    """A value of a manifest."""
    return {"kernel": kernel, "result": result, "dtype": dtype, "rank": rank, "source": ["file.py:7", "file.py:5"]}


def with_values(data: bytes, *values: dict[str, Any], **fields: Any) -> bytes:
    """An artifact whose code shows these."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != "manifest.json"}
        manifest = json.loads(archive.read("manifest.json"))
    for entry in manifest["entries"].values():
        for variant in entry["variants"]:
            variant |= {"values": list(values), **fields}
    return pack(members, manifest)


def copy_entry(dtype: str, *shape: str) -> Entry:
    """``copy(x) -> x``, which shows its result as value 0, and then its argument as value 1."""
    c = C_TYPES[dtype]
    body = f"const {c} *x = b[0]; {c} *y = b[1]; for (int64_t i = 0; i < s[0] * s[1]; ++i) y[i] = x[i];"
    body += "int32_t e = tsr_runtime->observe(0, y, s); return e ? e : tsr_runtime->observe(1, x, s);"
    return Entry(function("copy", body), [tensor("x", dtype, "N", "M")], [value(dtype, "N", "M")], [N, M])


def on_cpu(dtype: str, **fields: Any) -> Any:
    """The entry ``copy`` of a program for the CPU."""
    data = build({"copy": copy_entry(dtype)})
    return rt.load_bytes(with_values(data, shown(dtype, 2), shown(dtype, 2, "copy_1"), **fields)).entry("copy")


DTYPES = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16,
          "fp8_e4m3": ml_dtypes.float8_e4m3fn, "fp8_e5m2": ml_dtypes.float8_e5m2}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_ends_the_call(dtype: str) -> None:
    entry = on_cpu(dtype)
    kind = DTYPES[dtype]
    x = np.ones((3, 4), kind)
    largest = float(ml_dtypes.finfo(kind).max)
    x[0] = [-largest, largest, float(ml_dtypes.finfo(kind).smallest_subnormal), -0.0]
    np.testing.assert_array_equal(entry(x), x)
    x[1, 2] = -np.nan
    x[2, 0] = np.nan
    message = rf"TSR2920\] kernel 'copy_0' computed NaN \(file.py:7, file.py:5\): 2 of 12 elements of {dtype}\[3, 4\], "
    with pytest.raises(FloatingPointError, match=message + r"the first at \[1, 2\] \(copy\)"):
        entry(x)
    if dtype == "fp8_e4m3":  # which has no infinity
        return
    x[0, 3] = -np.inf
    with pytest.raises(FloatingPointError, match=r"computed an infinity .*3 of 12 elements.* the first at \[0, 3\]"):
        entry(x)
    with pytest.raises(FloatingPointError, match=r"computed NaN .*2 of 12 elements.* the first at \[1, 2\]"):
        on_cpu(dtype, allow_infinity=True)(x)
    x[1, 2] = x[2, 0] = np.inf
    np.testing.assert_array_equal(on_cpu(dtype, allow_infinity=True)(x), x)


@pytest.mark.parametrize("dtype", ["int8", "int64"])
def test_integers_are_all_finite(dtype: str) -> None:
    x = np.full((2, 3), -1, dtype)
    np.testing.assert_array_equal(on_cpu(dtype)(x), x)


def test_who_watches_gets_values_and_may_end_the_call() -> None:
    entry = on_cpu("bf16")
    x = np.full((2, 3), np.nan, ml_dtypes.bfloat16)
    seen: list[tuple[str, int, np.ndarray]] = []
    entry.observe(x, on_value=lambda *shown: seen.append(shown))  # whoever looks is not told of NaN
    assert [(target, index) for target, index, _ in seen] == [("cpu", 0), ("cpu", 1)]
    assert all(array.dtype == x.dtype and array.shape == x.shape and np.isnan(array).all() for _, _, array in seen)
    seen.clear()

    def stop(*shown: Any) -> None:
        seen.append(shown)
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        entry.observe(x, on_value=stop)
    assert len(seen) == 1


def test_an_observer_in_c_ends_the_call() -> None:
    data = with_values(build({"copy": copy_entry("f32")}), shown("f32", 2), shown("f32", 2, "copy_1"))
    c = C("copy", data)
    x, y = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
    seen: list[tuple[bytes, int, tuple[int, ...]]] = []

    def on_value(context: int, target: bytes, index: int, value: Any) -> int:
        seen.append((target, index, tuple(value[0].shape[:2])))
        return index

    observer = Observer(ctypes.sizeof(Observer), None, None, VALUE(on_value))
    assert c.call([c.tensor(x)], [c.tensor(y)], observer=ctypes.pointer(observer)) == 2921
    ended = "[TSR2921] who watches the call ended it at kernel 'copy_1' (file.py:7, file.py:5) (copy)"
    assert c.error() == ended and seen == [(b"cpu", 0, (2, 3)), (b"cpu", 1, (2, 3))]
    observer.struct_size = 8
    assert c.call([c.tensor(x)], [c.tensor(y)], observer=ctypes.pointer(observer)) == 2025
    assert c.call([c.tensor(x)], [c.tensor(y)], observer=None) == 0


def test_kernels_on_the_cpu_are_timed_apart() -> None:
    entry = on_cpu("f32")
    told: list[tuple[str, float]] = []
    entry.observe(np.full((300, 300), np.nan, np.float32), on_kernel=lambda *kernel: told.append(kernel))
    assert [name for name, _ in told] == ["copy_0", "copy_1"] and told[0][1] > told[1][1] >= 0


def test_what_a_manifest_must_say() -> None:
    data = build({"copy": copy_entry("f32")})
    one = rt.load_bytes(with_values(data, shown("f32", 2))).entry("copy")
    with pytest.raises(RuntimeError, match=r"TSR2903\] compiled code shows value 1 of 1"):
        one(np.ones((2, 2), np.float32))
    for wrong in ({"dtype": "f31"}, {"rank": -1}, {"rank": 65}, {"source": 3}, {"kernel": None}):
        with pytest.raises(Exception, match="TSR3007"):
            rt.load_bytes(with_values(data, {**shown("f32", 2), **wrong}))
    empty = rt.load_bytes(with_values(data)).entry("copy")  # nothing is listed: what is shown is not looked at
    assert np.isnan(empty(np.full((1, 1), np.nan, np.float32)))


@on_gpus()
def test_values_on_a_gpu() -> None:
    driver = Driver()
    copies(driver)
    body = COPY_BODY.replace("return ", "int32_t e = ").replace(
        "0, a);", "0, a); return e ? e : tsr_runtime->observe(0, y, s);"
    )
    copy = Entry(function("copy", body), [tensor("x", "f32", "N")], [value("f32", "N")], [N])
    data = build_gpu({"copy": copy}, {"sm_90a": module("sm_90a", {"name": "copy_0"})})
    entry = rt.load_bytes(with_values(data, shown("f32"))).entry("copy")
    values = np.arange(10, dtype=np.float32)
    x, y = InterfaceArray(Memory(driver, values)), InterfaceArray(Memory(driver, 0 * values))
    entry(x, out=y)
    assert [line.split()[0] for line in driver.log("Launch|DtoH|Sync")] == [
        "cuLaunchKernelEx",
        "cuMemcpyDtoHAsync",
        "cuStreamSynchronize",
    ]
    seen: list[tuple[str, int, np.ndarray]] = []
    entry.observe(x, out=y, on_value=lambda *shown: seen.append(shown))
    ((target, index, array),) = seen
    assert (target, index) == ("sm_90a", 0)
    np.testing.assert_array_equal(array, values)
    driver.log()
    entry.observe(x, out=y, on_kernel=lambda name, microseconds: None)  # times are not disturbed by values
    assert driver.log("DtoH") == []
    values[3] = np.nan
    x = InterfaceArray(Memory(driver, values))
    with pytest.raises(FloatingPointError, match=r"TSR2920\] kernel 'copy_0' computed NaN .* at \[3\] \(copy\)"):
        entry(x, out=y)
    entry(InterfaceArray(Memory(driver, 0 * y.numpy()[:2])), out=InterfaceArray(Memory(driver, values[:2])))
    with pytest.raises(Exception, match="TSR2038"):
        entry.capture(x, out=y)
    empty = InterfaceArray(Memory(driver, values[:0]))
    entry(empty, out=InterfaceArray(Memory(driver, values[:0])))


@on_gpus()
def test_copies_to_a_gpu_and_back() -> None:
    driver = Driver()
    for dtype in (np.float32, np.int8, ml_dtypes.bfloat16):
        x = np.arange(6).reshape(2, 3).astype(dtype)
        moved = rt.to_gpu(x)
        assert moved.shape == (2, 3) and moved.__dlpack_device__() == (2, 0)
        x += x
        np.testing.assert_array_equal(moved.numpy(), np.arange(6).reshape(2, 3))
        assert moved.numpy().dtype == dtype
    assert rt.to_gpu(np.zeros((0, 3), np.float32)).numpy().shape == (0, 3)
    assert rt.to_gpu(np.array(2.5)).numpy() == 2.5
    for wrong in (3, np.ones((4, 4))[:, 1], InterfaceArray(Memory(driver, np.ones(3)))):
        with pytest.raises(Exception, match=r"TSR2010\] expected a contiguous array in CPU memory, got "):
            rt.to_gpu(wrong)
    with pytest.raises(Exception, match="TSR2905"):
        rt.to_gpu(np.ones(3), device=7)
    driver.fail("cuMemcpyAsync", 1)
    with pytest.raises(Exception, match=r"TSR2906\] GPU 0: copying an array failed"):
        rt.to_gpu(np.ones(3))


def test_one_target_of_several() -> None:
    source = function("which", "((float *)b[0])[0] = WHICH;")
    names = enumerate(["cpu", "cpu-avx2"])
    objects = {f"host/x86_64-linux-gnu/{name}.o": compile_c(source, f"-DWHICH={which}") for which, name in names}
    data = build({"which": Entry(source, [], [value("f32", 1)])}, objects=objects)
    assert [rt.load_bytes(data, target=target).entry("which")()[0] for target in ("cpu", "cpu:avx2")] == [0, 1]
    with pytest.raises(Exception, match=r"TSR3010\] entry 'which' holds no code for 'sm_80': it is for cpu, cpu:avx2"):
        rt.load_bytes(data, target="sm_80")
