# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a call is refused for, word by word, and that nothing is written then."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from handmade import Entry, build, rt, tensor, value
from programs import ADD, M, N, load, program

f32 = np.float32


def zeros(*shape: int, dtype: object = f32) -> np.ndarray:
    return np.zeros(shape, dtype)


def call(kind: str, name: str) -> Callable[..., object]:
    return lambda *args, **kwargs: program(kind).entry(name)(*args, **kwargs)


norm, add = call("norm", "norm"), call("add", "add")

WHERE = "(norm, file.py:12)"
CASES: list[tuple[str, Callable[[], object], str]] = [
    ("ArgumentError", lambda: add(zeros(3)), "[TSR2001] add takes 2 arrays (x, y): got 1"),
    ("ArgumentError", lambda: add(), "[TSR2001] add takes 2 arrays (x, y): got 0"),
    (
        "ShapeError",
        lambda: norm(zeros(2, 16), zeros(64), zeros(32)),
        f"[TSR2002] argument 'x': expected rank 3 [B, S, D], got rank 2 [2, 16] {WHERE}",
    ),
    (
        "ShapeError",
        lambda: norm(zeros(1, 1000, 64), zeros(64), zeros(32)),
        f"[TSR2003] argument 'x' dim 1 (symbol S): expected a multiple of 16 between 16 and 8192, got 1000 {WHERE}",
    ),
    (
        "ShapeError",
        lambda: norm(zeros(5, 16, 64), zeros(64), zeros(32)),
        f"[TSR2003] argument 'x' dim 0 (symbol B): expected at most 4, got 5 {WHERE}",
    ),
    (
        "ShapeError",
        lambda: norm(zeros(1, 16, 65), zeros(65), zeros(32)),
        f"[TSR2003] argument 'x' dim 2 (symbol D): expected a multiple of 2, got 65 {WHERE}",
    ),
    (
        "ShapeError",
        lambda: norm(zeros(1, 16, 4096), zeros(2048), zeros(2048)),
        "[TSR2004] symbol D is 4096 from x dim 2 but 2048 from weight dim 0 (norm, file.py:13)",
    ),
    (
        "ShapeError",
        lambda: norm(zeros(1, 16, 64), zeros(64), zeros(31)),
        "[TSR2006] argument 'half' dim 0: expected D // 2 = 32 (D is 64 from x dim 2), got 31 (norm)",
    ),
    (
        "ShapeError",
        lambda: norm(zeros(1, 16, 32), zeros(32), zeros(16)),
        "[TSR2007] D must be whole blocks: expected D % 64 == 0 * S, got 32 (D is 32 from x dim 2) and 0 "
        "(S is 16 from x dim 1) (norm, file.py:20)",
    ),
    (
        "ShapeError",
        lambda: norm(zeros(1, 16, 0), zeros(0), zeros(0)),
        "[TSR2021] output 0 dim 2: D - 8 is negative, overflows or divides by zero (D is 0 from x dim 2) (norm)",
    ),
    (
        "DTypeError",
        lambda: add(zeros(3, dtype=float), zeros(3)),
        "[TSR2008] argument 'x': expected dtype f32, got f64 (add, file.py:3)",
    ),
    (
        "DTypeError",
        lambda: add(zeros(3), zeros(3, dtype=np.uint16)),
        "[TSR2008] argument 'y': expected dtype f32, got uint16 (add, file.py:4)",
    ),
    (
        "DTypeError",
        lambda: add(zeros(3, dtype=complex), zeros(3)),
        "[TSR2008] argument 'x': expected dtype f32, got complex128 (add, file.py:3)",
    ),
    (
        "DTypeError",
        lambda: add(np.array(["a"]), zeros(1)),
        "[TSR2008] argument 'x': NumPy dtype '<U1' has no counterpart in Tessera (add, file.py:3)",
    ),
    (
        "DTypeError",
        lambda: add(zeros(3, dtype=">f4"), zeros(3)),
        "[TSR2009] argument 'x': expected the machine's byte order, got dtype '>f4' (add, file.py:3)",
    ),
    (
        "ArgumentError",
        lambda: add([0.0], zeros(1)),
        "[TSR2010] argument 'x': expected an array, got list (add, file.py:3)",
    ),
    (
        "ArgumentError",
        lambda: add(zeros(1), None),
        "[TSR2010] argument 'y': expected an array, got NoneType (add, file.py:4)",
    ),
    (
        "ShapeError",
        lambda: add(1.0, zeros(1)),
        "[TSR2002] argument 'x': expected rank 1 [N], got rank 0 [] (add, file.py:3)",
    ),
    ("ArgumentError", lambda: add(zeros(3), zeros(3), out=()), "[TSR2012] add returns 1 array: got 0 to write to"),
    (
        "DTypeError",
        lambda: add(zeros(3), zeros(3), out=zeros(3, dtype=float)),
        "[TSR2013] output 0: expected dtype f32, got f64 (add)",
    ),
    (
        "ShapeError",
        lambda: add(zeros(3), zeros(3), out=zeros(4)),
        "[TSR2014] output 0: expected shape [3], got [4] (add)",
    ),
    (
        "ShapeError",
        lambda: add(zeros(3), zeros(3), out=zeros(1, 3)),
        "[TSR2014] output 0: expected shape [3], got [1, 3] (add)",
    ),
    (
        "ArgumentError",
        lambda: add(zeros(3), zeros(3), out=zeros(6)[::2]),
        "[TSR2015] output 0: expected a row-major contiguous array, aligned to its element size; write to one and copy "
        "it (add)",
    ),
    (
        "ArgumentError",
        lambda: add(zeros(3), zeros(3), out=np.zeros(13, np.uint8)[1:].view(f32)),
        "[TSR2015] output 0: expected a row-major contiguous array, aligned to its element size; write to one and copy "
        "it (add)",
    ),
    (
        "ArgumentError",
        lambda: add(zeros(3), zeros(3), out=np.zeros(3, np.dtype("u1, f4"))["f1"]),
        "[TSR2015] output 0: expected a row-major contiguous array (add)",
    ),
    (
        "ArgumentError",
        lambda: add(zeros(3), zeros(3), out=np.broadcast_to(f32(0), (3,))),
        "[TSR2016] output 0: the array is read-only (add)",
    ),
    (
        "ArgumentError",
        lambda: add(zeros(3), zeros(3), out=3.0),
        "[TSR2010] output 0: expected an array, got float (add)",
    ),
    (
        "ArgumentError",
        lambda: add(zeros(3), zeros(3), dim=0),
        "[TSR2027] add takes arrays by position, out= and stream=: got keyword 'dim'",
    ),
    (
        "ArgumentError",
        lambda: program("add").entry("ad"),
        "[TSR2022] no entry 'ad': the artifact holds 'add'",
    ),
    (
        "ArgumentError",
        lambda: program("add").entry("add").workspace_size({}),
        "[TSR2023] expected a size of 0 or more for symbol 'N', got none (add)",
    ),
    (
        "ArgumentError",
        lambda: program("add").entry("add").workspace_size({"N": 1, "Q": 2}),
        "[TSR2023] no symbol 'Q' (add)",
    ),
]


@pytest.mark.parametrize("kind, action, message", CASES, ids=[case[2][1:8] for case in CASES])
def test_message(kind: str, action: Callable[[], object], message: str) -> None:
    with pytest.raises(Exception) as caught:
        action()
    assert str(caught.value) == message
    errors = pytest.importorskip("tessera.errors", reason="the package is not built, only the runtime")
    assert type(caught.value) is getattr(errors, kind)


def overlaps() -> dict[str, Callable[[], object]]:
    x, y = np.ones(8, f32), np.ones(8, f32)
    backward = x[::-1]
    return {
        "the very input": lambda: add(x, y, out=x),
        "the second input": lambda: add(x, y, out=y),
        "one element": lambda: add(x[:4], y[:4], out=x[3:7]),
        "an input that is copied": lambda: add(backward, y, out=x),
    }


@pytest.mark.parametrize("case", overlaps())
def test_overlap_is_refused_before_anything_is_written(case: str) -> None:
    with pytest.raises(
        Exception, match=r"\[TSR2017\] output 0 shares memory with argument '[xy]': expected an array of"
    ):
        overlaps()[case]()


def test_outputs_may_not_share_memory() -> None:
    entry = load("two", "*(float *)b[0] = 1; *(float *)b[1] = 2;", [], [value("f32"), value("f32")])
    out = np.zeros((), f32)
    with pytest.raises(Exception, match=re.escape("[TSR2017] output 1 shares memory with output 0")):
        entry(out=(out, out))
    assert out == 0


@pytest.mark.parametrize(
    "dtype, number, text",
    [
        ("f32", True, "the bool True cannot be held by dtype float32"),
        ("int32", 1.5, "the float 1.5 cannot be held by dtype int32"),
        ("int8", 300, "the int 300 cannot be held by dtype int8"),
        ("int64", 2**63, "the int 9223372036854775808 cannot be held by dtype int64"),
        ("bool", 1, "the int 1 cannot be held by dtype bool"),
        ("f64", np.complex64(1), "the numpy.complex64 np.complex64(1+0j) cannot be held by dtype float64"),
        ("f32", np.str_("1"), "the numpy.str_ np.str_('1') cannot be held by dtype float32"),
    ],
)
def test_numbers_that_a_dtype_cannot_hold(dtype: str, number: object, text: str) -> None:
    entry = load("take", "", [tensor("x", dtype, source="file.py:1")], [])
    with pytest.raises(Exception, match=re.escape(f"[TSR2024] argument 'x': {text} (take, file.py:1)")):
        entry(number)


def test_static_sizes_and_anonymous_symbols() -> None:
    anonymous = {"name": "?0", "min": 2, "max": None, "multiple_of": 1}
    entry = load("fixed", "", [tensor("x", "f32", "?0", 4)], [], [anonymous])
    with pytest.raises(Exception, match=re.escape("[TSR2005] argument 'x' dim 1: expected 4, got 5 (fixed)")):
        entry(zeros(3, 5))
    with pytest.raises(Exception, match=re.escape("[TSR2003] argument 'x' dim 0: expected at least 2, got 1 (fixed)")):
        entry(zeros(1, 4))
    with pytest.raises(Exception, match=re.escape("[TSR2002] argument 'x': expected rank 2 [?, 4], got rank 1 [4]")):
        entry(zeros(4))


def test_sizes_that_overflow_or_divide_by_zero() -> None:
    big = load("big", "", [tensor("x", "int8", "N")], [value("f32", ["*", "N", 2**62])], [N])
    with pytest.raises(
        Exception, match=re.escape("TSR2021] output 0 dim 0: N * 4611686018427387904 is negative, overf")
    ):
        big(zeros(2, dtype=np.int8))
    with pytest.raises(Exception, match=r"TSR2901|array is too big"):
        big(zeros(1, dtype=np.int8))
    ratio = load("ratio", "", [tensor("x", "f32", "N", "M"), tensor("y", "f32", ["//", "N", "M"])], [], [N, M])
    with pytest.raises(Exception, match=re.escape("[TSR2021] argument 'y' dim 0: N // M overflows or divides by zero")):
        ratio(zeros(2, 0), zeros(2))


FAIL = """
static void body(void *args, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i)
    if (i >= 500) tsr_runtime->fail(2030, "'ids': expected an index below %1, got %0", i, 500);
}
"""


def test_failures_in_worker_threads_reach_the_caller() -> None:
    body, x = "tsr_runtime->parallel_for(s[0], 1, body, 0);", tensor("x", "f32", "N")
    entry = load("gather", body, [x], [value("f32", "N")], [N], prelude=FAIL)
    assert entry(zeros(500)).shape == (500,)
    with pytest.raises(Exception) as caught:
        entry(zeros(501))
    assert str(caught.value) == "[TSR2030] 'ids': expected an index below 500, got 500 (gather)"
    assert entry(zeros(3)).shape == (3,)


def test_codes_that_compiled_code_returns() -> None:
    failing = 'return tsr_runtime->fail({}, "broken at %0 of %1, 100%", s[0], -1);'
    argument = [tensor("x", "f32", "N")]
    for number in (2902, 1234):
        entry = load("broken", failing.format(number), argument, [], [N])
        with pytest.raises(Exception, match=rf"\[TSR{number}\] broken at 7 of -1, 100% \(broken\)"):
            entry(zeros(7))
    entry = load("broken", "return 5;", argument, [], [N])
    with pytest.raises(Exception, match=re.escape("[TSR2902] compiled code returned 5 (broken)")):
        entry(zeros(7))
    huge = load("huge", "", argument, [], [N], workspace=True, prelude="WORKSPACE(huge) { return s[0] << 44; }")
    with pytest.raises(Exception, match=re.escape("[TSR2901] no memory for a workspace of 123145302310912 bytes")):
        huge(zeros(7))
    negative = load("huge", "", argument, [], [N], workspace=True, prelude="WORKSPACE(huge) { return -s[0]; }")
    with pytest.raises(Exception, match=r"TSR2021.*workspace"):
        negative(zeros(7))


def test_arrays_elsewhere_and_broken_dlpack() -> None:
    class Device:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (10, 0)

        def __dlpack__(self, **options: object) -> object:
            raise AssertionError("not called")

    class Broken(Device):
        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

    class Empty(Broken):
        def __dlpack__(self, **options: object) -> object:
            return None

    for argument, text in [
        (Device(), "[TSR2011] argument 'x': expected an array in CPU memory or on a CUDA device (add, file.py:3)"),
        (Broken(), "[TSR2010] argument 'x': its __dlpack__ failed: AssertionError: not called"),
        (Empty(), "[TSR2010] argument 'x': its __dlpack__ gave no tensor (add, file.py:3)"),
    ]:
        with pytest.raises(Exception, match=re.escape(text)):
            add(argument, zeros(1))


def test_a_refused_call_writes_nothing() -> None:
    body = ADD.source.replace("add(", "fill(")
    entry = rt.load_bytes(build({"fill": Entry(body, ADD.inputs, ADD.outputs, ADD.symbols)})).entry("fill")
    out = np.full(3, 7, f32)
    for args in [(zeros(3),), (zeros(3), zeros(4)), (zeros(3), zeros(3, dtype=int))]:
        with pytest.raises(Exception, match="TSR2"):
            entry(*args, out=out)
    assert (out == 7).all()


def test_every_code_is_reached_by_a_test() -> None:
    """errors.def is the only table; a code that no test mentions is one nobody has seen."""
    folder = Path(__file__).parent
    table = folder.parents[2] / "runtime" / "errors.def"
    codes = set(re.findall(r"TSR_ERROR\((\d{4})", table.read_text()))
    tests = "".join(path.read_text() for path in folder.glob("test_*.py"))
    unreachable = {"2903", "3016"}  # a bug of ours, and a system that forbids executable memory
    assert codes - set(re.findall(r"\d{4}", tests)) == set() and unreachable < codes


def test_masked_arrays_are_refused() -> None:
    masked = np.ma.masked_array(zeros(3), mask=[0, 1, 0])
    with pytest.raises(Exception, match=re.escape("[TSR2010] argument 'x': masked arrays have no count")):
        add(masked, zeros(3))
