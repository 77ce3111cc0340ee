# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Calls that succeed: dtypes, layouts, results, workspaces, threads."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import timeit
import weakref
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
from handmade import Entry, build, rt, tensor, value
from programs import M, N, function, load, program

DTYPES = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "bool": np.bool_,
}


def sample(dtype: str, *shape: int) -> np.ndarray:
    return (np.arange(np.prod(shape, dtype=int)) % 7).reshape(shape).astype(DTYPES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back_as_itself(dtype: str) -> None:
    x = sample(dtype, 3, 5)
    y = program(dtype).entry("copy")(x)
    assert type(y) is np.ndarray and y.dtype == DTYPES[dtype] and y.flags.c_contiguous and y.flags.writeable
    np.testing.assert_array_equal(y, x)


LAYOUTS = {
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "reversed": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "strided": lambda x: np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "misaligned": lambda x: np.frombuffer(b"?" + x.tobytes(), dtype=np.uint8)[1:].view(x.dtype).reshape(x.shape),
    "field": lambda x: (lambda r: (r["v"].__setitem__(..., x), r["v"])[1])(
        np.zeros(x.shape, np.dtype([("pad", "u1"), ("v", x.dtype)]))
    ),
    "fortran": np.asfortranarray,
    "read-only": lambda x: (x.setflags(write=False), x)[1],
    "subclass": lambda x: x.view(np.memmap),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f64", "f32", "bf16", "int8", "fp8_e4m3"])
def test_any_layout_is_read_right(dtype: str, layout: str) -> None:
    x = LAYOUTS[layout](sample(dtype, 4, 6))
    np.testing.assert_array_equal(program(dtype).entry("copy")(x), np.array(x))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (1, 1)])
def test_empty_and_single(shape: tuple[int, int]) -> None:
    y = program("f32").entry("copy")(np.ones(shape, np.float32))
    assert y.shape == shape and (y == 1).all()
    out = np.zeros(shape, np.float32)
    assert program("f32").entry("copy")(np.ones(shape, np.float32), out=out) is out


def test_large_results_are_aligned_and_their_memory_is_reused() -> None:
    entry, x = program("f32").entry("copy"), np.ones((64, 1024), np.float32)
    addresses = set()
    for _ in range(8):
        y = entry(x)
        assert y.ctypes.data % 64 == 0
        addresses.add(y.ctypes.data)
        del y
    assert len(addresses) == 1
    first, second = entry(x), entry(x)
    assert not np.shares_memory(first, second)


def test_result_shapes_are_computed_from_symbols() -> None:
    doubled, halved = (
        value("f32", ["*", "N", 2], ["max", "M", 3]),
        value("int64", ["//", ["-", 0, "N"], -2], ["%", "M", 4]),
    )
    entry = load("shapes", "", [tensor("x", "f32", "N", "M")], [doubled, halved, value("bool")], [N, M])
    a, b, c = entry(np.zeros((5, 6), np.float32))
    assert (a.shape, b.shape, c.shape) == ((10, 6), (2, 2), ())
    assert (a.dtype, b.dtype, c.dtype) == (np.float32, np.int64, np.bool_)


def test_no_results_and_no_arguments() -> None:
    assert load("nothing", "", [], [])() == ()
    assert load("constant", "*(double *)b[0] = 2.5;", [], [value("f64")])() == 2.5


SCALARS = [
    ("f32", 1.5), ("f32", 2), ("f64", np.float32(1.5)), ("f32", np.float64(0.5)), ("bf16", ml_dtypes.bfloat16(3)),
    ("fp8_e4m3", 0.5), ("int64", -7), ("int8", np.int32(5)), ("bool", True), ("bool", np.bool_(False)),
    ("f16", np.int8(3)),
]  # fmt: skip


@pytest.mark.parametrize("dtype, number", SCALARS)
def test_numbers_for_rank_0_inputs(dtype: str, number: object) -> None:
    size = np.dtype(DTYPES[dtype]).itemsize
    body = f"for (int i = 0; i < {size}; ++i) ((char *)b[1])[i] = ((const char *)b[0])[i];"
    entry = load("identity", body, [tensor("x", dtype)], [value(dtype)])
    for given in (number, np.array(number, DTYPES[dtype])):
        y = entry(given)
        assert y.shape == () and y.dtype == DTYPES[dtype] and y == np.array(number, DTYPES[dtype])


def test_out() -> None:
    entry, x = program("add").entry("add"), np.arange(5, dtype=np.float32)
    out = np.zeros(5, np.float32)
    assert entry(x, x, out=out) is out
    np.testing.assert_array_equal(out, 2 * x)
    outs = (np.zeros(5, np.float32),)
    assert entry(x, x, out=outs) is outs
    np.testing.assert_array_equal(outs[0], 2 * x)
    np.testing.assert_array_equal(entry(x, x, out=None), 2 * x)
    row = np.zeros((3, 5), np.float32)[1]
    assert entry(x, x, out=row) is row
    # Beside the inputs in one buffer is apart from them.
    buffer = np.ones(15, np.float32)
    entry(buffer[:5], buffer[10:], out=buffer[5:10])
    np.testing.assert_array_equal(buffer, [1] * 5 + [2] * 5 + [1] * 5)


def test_a_donated_argument_may_be_written_over() -> None:
    entry = load("negate", "const float *x = b[0]; float *y = b[1]; for (int64_t i = 0; i < s[0]; ++i) y[i] = -x[i];",
                 [tensor("x", "f32", "N", donated=True)], [value("f32", "N")], [N])  # fmt: skip
    x = np.arange(4, dtype=np.float32)
    entry(x, out=x)
    np.testing.assert_array_equal(x, [0, -1, -2, -3])
    with pytest.raises(Exception, match="TSR2017"):
        entry(x[:3], out=x[1:])


def test_an_output_that_is_a_donated_argument() -> None:
    entry = load("bump", "float *x = b[0]; const float *y = b[1]; for (int64_t i = 0; i < s[0]; ++i) x[i] += y[i];",
                 [tensor("x", "f32", "N", donated=True), tensor("y", "f32", "N")],
                 [{**value("f32", "N"), "alias": 0}], [N])  # fmt: skip
    x, y = np.zeros(4, np.float32), np.ones(4, np.float32)
    assert entry(x, y) is x and entry(x, y, out=x) is x
    np.testing.assert_array_equal(x, [2, 2, 2, 2])
    wide = np.zeros((4, 2), np.float32)
    x.flags.writeable = False
    for arguments, out, message in (
        ((np.zeros(4, np.float32), y), np.zeros(4, np.float32), r"TSR2017.*output 0 is argument 'x', changed in place"),
        ((y, y), None, r"TSR2017.*argument 'x' shares memory with argument 1"),
        ((wide[:, 0], y), None, r"TSR2015.*argument 'x': expected a row-major contiguous array"),
        ((x, y), None, r"TSR2016.*argument 'x': the array is read-only, and the call changes it"),
    ):
        with pytest.raises(Exception, match=message):
            entry(*arguments) if out is None else entry(*arguments, out=out)
    assert x.sum() == 8 and y.sum() == 4


def test_jax_style_dlpack_objects_and_read_only_ones() -> None:
    class Wrapped:
        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def __dlpack__(self, **options: object) -> object:
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self) -> tuple[int, int]:
            return self.array.__dlpack_device__()

    x = np.arange(12, dtype=np.float32).reshape(3, 4).T
    np.testing.assert_array_equal(program("f32").entry("copy")(Wrapped(x)), x)
    out = np.zeros((4, 3), np.float32)
    program("f32").entry("copy")(x, out=Wrapped(out))
    np.testing.assert_array_equal(out, x)
    out.setflags(write=False)
    with pytest.raises(Exception, match="TSR2016"):
        program("f32").entry("copy")(x, out=Wrapped(out))


def test_the_table_that_compiled_code_calls() -> None:
    body = """
      const double *x = b[0]; double *y = b[1];
      for (int i = 0; i < TSR_MATH_COUNT; ++i) y[i] = tsr_runtime->math_f64[i](x[0], x[1]);
      for (int i = 0; i < TSR_MATH_COUNT; ++i) ((float *)b[2])[i] = tsr_runtime->math_f32[i]((float)x[0], (float)x[1]);
      char *scratch = tsr_runtime->alloc(1000);
      scratch[999] = 1;
      int known = tsr_runtime->struct_size == sizeof(tsr_api) && tsr_runtime->abi_version == 1;
      *(int64_t *)b[3] = (intptr_t)scratch % 64 + !known;
      tsr_runtime->free(scratch);"""
    entry = load("math", body, [tensor("x", "f64", 2)], [value("f64", 12), value("f32", 12), value("int64")])
    from math import erf

    x, y = 0.75, 0.5
    unary = (np.exp, np.exp2, np.expm1, np.log, np.log2, np.log1p, np.sin, np.cos, np.tanh, erf)
    expected = [f(x) for f in unary] + [x**y, np.fmod(x, y)]
    f64, f32, zero = entry(np.array([x, y]))
    np.testing.assert_allclose(f64, expected, rtol=1e-15)
    np.testing.assert_allclose(f32, expected, rtol=1e-6)
    assert zero == 0


PARALLEL = """
static void body(void *args, int64_t begin, int64_t end) {
  void *const *b = args;
  const float *x = b[0]; float *y = b[1];
  for (int64_t i = begin; i < end; ++i) y[i] += x[i] + 1;
}
static void nested(void *args, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    void *row[2] = {(float *)((void **)args)[0] + i * 100, (float *)((void **)args)[1] + i * 100};
    tsr_runtime->parallel_for(100, 7, body, row);
  }
}
"""
CLEAR = "for (int64_t i = 0; i < s[0]; ++i) ((float *)b[1])[i] = 0;"


@pytest.mark.parametrize("n", [0, 1, 64, 65, 1000, 99_999])
@pytest.mark.parametrize("grain", [0, 1, 64])
def test_parallel_for_covers_every_index_once(n: int, grain: int) -> None:
    entry = load("loop", CLEAR + f"tsr_runtime->parallel_for(s[0], {grain}, body, (void *)b);",
                 [tensor("x", "f32", "N")], [value("f32", "N")], [N], prelude=PARALLEL)  # fmt: skip
    x = np.arange(n, dtype=np.float32)
    np.testing.assert_array_equal(entry(x), x + 1)


def test_nested_parallel_for_runs_inline() -> None:
    entry = load("loop", CLEAR + "tsr_runtime->parallel_for(s[0] / 100, 1, nested, (void *)b);",
                 [tensor("x", "f32", "N")], [value("f32", "N")], [N], prelude=PARALLEL)  # fmt: skip
    x = np.arange(5000, dtype=np.float32)
    np.testing.assert_array_equal(entry(x), x + 1)


def test_workspace() -> None:
    entry = program("sums").entry("sums")
    assert entry.workspace_size({"N": 1000}) == 8000 and entry.workspace_size({"N": 0}) == 0
    x = np.ones(300_000, np.float32)
    np.testing.assert_array_equal(entry(x), np.cumsum(x))
    np.testing.assert_array_equal(entry(x[:0]), x[:0])
    assert program("f32").entry("copy").workspace_size({"N": 1, "M": 1}) == 0


def test_one_entry_from_many_threads() -> None:
    entry = program("sums").entry("sums")
    sizes = [1, 100, 20_000, 100_000]
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            for n, y in pool.map(lambda n: (n, entry(np.ones(n, np.float32))), sizes * 25):
                np.testing.assert_array_equal(y, np.arange(1, n + 1))
    finally:
        sys.setswitchinterval(switch)


def test_weights_from_the_file_and_set() -> None:
    body = """const float *x = b[0], *t = b[1], *bias = b[2]; float *y = b[3];
      for (int64_t i = 0; i < s[0]; ++i) y[i] = x[i] * t[i] + *bias;"""
    weights = [tensor("t", "f32", "N", kind="weight"), tensor("bias", "f32", kind="weight")]
    entry = Entry(function("scale", body), [tensor("x", "f32", "N"), *weights], [value("f32", "N")], [N])
    data = build({"scale": entry}, weights={"t": np.arange(4, dtype=np.float32), "unused": np.zeros(1)})
    loaded = rt.load_bytes(data, verify_weights=True)
    x, call = np.ones(4, np.float32), loaded.entry("scale")
    np.testing.assert_array_equal(loaded.weights()["t"], [0, 1, 2, 3])
    assert loaded.weights()["bias"] is None and not loaded.weights()["t"].flags.writeable
    with pytest.raises(Exception, match=r"\[TSR2018\] weight 'bias' has no value: set it before the call \(scale\)"):
        call(x)
    bias = np.array(10, np.float32)
    loaded.set_weight("bias", bias)
    np.testing.assert_array_equal(call(x), [10, 11, 12, 13])
    bias[...] = 20  # used in place
    np.testing.assert_array_equal(call(x), [20, 21, 22, 23])
    assert loaded.weights()["bias"] is bias
    longer = np.zeros(6, np.float32)
    alive = weakref.ref(longer)
    loaded.set_weight("t", longer)
    np.testing.assert_array_equal(call(np.ones(6, np.float32)), [20] * 6)
    with pytest.raises(Exception, match=r"symbol N is 4 from x dim 0 but 6 from t dim 0"):
        call(x)
    with pytest.raises(Exception, match=r"TSR2017.*weight 't'"):
        call(np.ones(6, np.float32), out=longer)
    del longer
    assert alive() is not None
    loaded.set_weight("t", np.zeros(4, np.float32))
    gc.collect()
    assert alive() is None
    with pytest.raises(Exception, match=r"TSR2019.*no weight 'missing'"):
        loaded.set_weight("missing", bias)
    with pytest.raises(Exception, match=r"TSR2008.*weight 'bias': expected dtype f32, got f64"):
        loaded.set_weight("bias", np.array(1.0))
    with pytest.raises(Exception, match=r"TSR2010.*weight 'bias': expected an array, got float"):
        loaded.set_weight("bias", 1.0)
    assert loaded.weights()["bias"] is bias


def test_weights_are_replaced_between_calls_of_other_threads() -> None:
    body = "const float *t = b[1]; float *y = b[2]; for (int64_t i = 0; i < s[0]; ++i) y[i] = t[i % 8];"
    entry = Entry(function("spread", body), [tensor("x", "f32", "N"), tensor("t", "f32", 8, kind="weight")],
                  [value("f32", "N")], [N])  # fmt: skip
    loaded = rt.load_bytes(build({"spread": entry}, weights={"t": np.zeros(8, np.float32)}))
    call, stop, mixed = loaded.entry("spread"), threading.Event(), []

    def reader() -> None:
        x = np.zeros(4096, np.float32)
        while not stop.is_set():
            mixed.append(len(np.unique(call(x))) != 1)

    threads = [threading.Thread(target=reader) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(300):
        loaded.set_weight("t", np.full(8, i, np.float32))
    stop.set()
    for thread in threads:
        thread.join()
    assert mixed and not any(mixed)


def test_dispatcher() -> None:
    slow_calls = []

    def slow(*args: object, **kwargs: object) -> str:
        slow_calls.append((args, kwargs))
        return "slow"

    f32, i32 = program("f32").entry("copy"), program("int32").entry("copy")
    call = rt.Dispatcher(slow)
    x = np.ones((2, 3), np.float32)
    assert call(x) == "slow" and len(slow_calls) == 1
    call.add(f32)
    call.add(i32)
    assert call.entries == [i32, f32]
    np.testing.assert_array_equal(call(x), x)
    assert call.entries == [f32, i32]
    assert call(x.astype(np.int32)).dtype == np.int32
    out = np.zeros_like(x)
    assert call(x, out=out) is out and (out == 1).all()
    assert type(call(x, out=None)) is np.ndarray
    assert len(slow_calls) == 1
    for args, kwargs in [((x.astype(np.float64),), {}), (([1.0],), {}), ((x, x), {}), ((x,), {"eps": 1}), ((x[0],), {}),
                         ((2.0,), {}), ((x.astype(">f4"),), {}), ((), {})]:  # fmt: skip
        assert call(*args, **kwargs) == "slow"
        assert slow_calls[-1][1] == kwargs and len(slow_calls[-1][0]) == len(args)
    call.clear()
    assert call(x) == "slow"
    with pytest.raises(TypeError):
        call.add(print)


def test_dispatcher_raises_what_slow_raises_and_frees_cycles() -> None:
    class Function(rt.Dispatcher):
        def __init__(self) -> None:
            super().__init__(self.slow)

        def slow(self, *args: object) -> None:
            raise KeyError("slow")

    f = Function()
    with pytest.raises(KeyError):
        f(1)
    alive = weakref.ref(f)
    del f
    gc.collect()
    assert alive() is None


def test_scalars_through_a_dispatcher() -> None:
    entry = load("half", "*(float *)b[1] = *(const float *)b[0] / 2;", [tensor("x", "f32")], [value("f32")])
    call = rt.Dispatcher(lambda *args: "slow")
    call.add(entry)
    assert call(3.0) == 1.5 and call(np.float32(5)) == 2.5 and call("3") == "slow" and call(True) == "slow"


def test_descriptions() -> None:
    entry = program("add").entry("add")
    assert (entry.name, entry.target, repr(entry)) == ("add", "cpu", "<tessera entry 'add' for cpu>")
    assert program("add").entries == ["add"] and program("add").manifest.startswith('{"format": 1')
    assert "sse2" in rt.host_features() and rt.native_target().startswith("cpu")
    rt.trim()


def test_a_forked_child_can_call() -> None:
    """libgomp's threads don't survive a fork: the child runs its loops alone instead of waiting for them for ever."""
    entry = load("loop", CLEAR + "tsr_runtime->parallel_for(s[0], 1, body, (void *)b);",
                 [tensor("x", "f32", "N")], [value("f32", "N")], [N], prelude=PARALLEL)  # fmt: skip
    x = np.arange(100_000, dtype=np.float32)
    entry(x)
    child = os.fork()
    if child == 0:
        os._exit(0 if (entry(x) == x + 1).all() else 1)
    for _ in range(100):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert done and status == 0


def test_small_calls_are_cheap() -> None:
    """No limit in time, which a busy machine would break: within ten of NumPy's own smallest calls."""
    call, x = program("add").entry("add"), np.arange(16, dtype=np.float32)
    ours = min(timeit.repeat(lambda: call(x, x), number=2000, repeat=20))
    numpy = min(timeit.repeat(lambda: np.add(x, x), number=2000, repeat=20))
    assert ours < 10 * numpy


def test_tessera_arrays() -> None:
    array = pytest.importorskip("tessera.array", reason="the package is not built, only the runtime")
    x = array.Array(np.arange(6, dtype=np.float32).reshape(2, 3))
    y = program("f32").entry("copy")(x)
    assert type(y) is array.Array
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    low = array.Array(np.ones((2, 2), ml_dtypes.float8_e5m2).T)
    assert program("fp8_e5m2").entry("copy")(low).numpy().dtype == ml_dtypes.float8_e5m2
    out = array.Array(np.zeros((2, 3), np.float32))
    assert program("f32").entry("copy")(x, out=out) is out and (out.numpy() == x.numpy()).all()
    with pytest.raises(Exception, match="TSR2017"):
        program("f32").entry("copy")(x, out=x.numpy())
    both = program("add").entry("add")(array.Array(np.ones(3, np.float32)), np.ones(3, np.float32))
    assert type(both) is array.Array


def test_a_shortcut_past_python() -> None:
    class Call(rt.Shortcut):
        def _call(self, *args: object, **kwargs: object) -> object:
            return args, kwargs

    call, x, out = Call(), np.ones(3, np.float32), np.zeros(3, np.float32)
    assert call(x, out=out) == ((x,), {"out": out})
    entry = program("f32").entry("copy")
    call.shorten(entry)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert (call(x) == x).all() and (call(x, out=None, stream=None) == x).all()
    assert call(x, out=(out := np.zeros_like(x))) is out and (out == x).all()
    assert call() == ((), {}) and call(x, x) == ((x, x), {})
    assert call(x, other=1) == ((x,), {"other": 1}) and call(x, out=out, x=1) == ((x,), {"out": out, "x": 1})
    with pytest.raises(Exception, match="TSR2008"):
        call(x.astype(np.float64))
    with pytest.raises(AttributeError, match="_call"):
        rt.Shortcut()()


def test_large_calls_let_other_threads_run() -> None:
    """The kernel waits for a byte that only another Python thread writes; it gives up after a while."""
    body = """volatile const char *x = b[0]; char *y = b[1];
      for (int64_t i = 0; i < 3000000000; ++i) if (x[0]) { y[0] = 1; return 0; }
      y[0] = 0;"""
    entry = load("wait", body, [tensor("x", "int8", "N")], [value("int8")], [N])
    x = np.zeros(1 << 20, np.int8)
    timer = threading.Timer(0.05, x.__setitem__, (0, 1))
    timer.start()
    assert entry(x) == 1
    timer.join()


def test_jax_arrays_come_back_as_numpy() -> None:
    jax = pytest.importorskip("jax", reason="jax is not installed")
    x = jax.numpy.arange(6, dtype=jax.numpy.float32).reshape(2, 3)
    y = program("f32").entry("copy")(x)
    assert type(y) is np.ndarray and (y == np.asarray(x)).all()
    with pytest.raises(Exception, match="TSR2016"):
        program("f32").entry("copy")(np.ones((2, 3), np.float32), out=x)
