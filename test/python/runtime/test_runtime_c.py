# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The C ABI from C and through ctypes: the example program, and what only a C caller can get wrong."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from handmade import Entry, build, header_dir, rt
from programs import ADD, WORKSPACE_SUMS, library

ROOT = Path(__file__).parents[3]


def test_the_example_opens_and_calls_an_artifact(tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler
    (tmp_path / "add.tsr").write_bytes(build({"add": ADD}))
    example, folder = tmp_path / "run_artifact", library().parent
    source = ROOT / "examples" / "c" / "run_artifact.c"
    command = [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", str(source), "-o", str(example),
               f"-I{header_dir()}", f"-L{folder}", "-ltessera_runtime", f"-Wl,-rpath,{folder}"]  # fmt: skip
    subprocess.run(command, check=True)
    run = subprocess.run([example, "add.tsr", "add", "N=3"], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == [
        "add(x: f32[3], y: f32[3]) on cpu, 0 bytes of workspace",
        "output 0: f32[3] = 0 2 4",
    ]
    bad = subprocess.run([example, "add.tsr", "sub", "N=3"], cwd=tmp_path, capture_output=True, text=True)
    assert (bad.returncode, bad.stderr) == (1, "[TSR2022] no entry 'sub': the artifact holds 'add'\n")
    bad = subprocess.run([example, "add.tsr", "add"], cwd=tmp_path, capture_output=True, text=True)
    assert bad.returncode == 1 and "[TSR2023] expected a size of 0 or more for symbol 'N', got none" in bad.stderr


def test_the_header_is_plain_c_and_cxx(tmp_path: Path) -> None:
    for language, standard in [("c", "c99"), ("c++", "c++11")]:
        command = [
            "gcc",
            "-x",
            language,
            f"-std={standard}",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-fsyntax-only",
        ]
        subprocess.run([*command, str(header_dir() / "tessera" / "runtime.h")], check=True)


# ---- Through ctypes: structs and handles that no binding would pass


class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device", ctypes.c_int32 * 2), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64)]  # fmt: skip


ALLOCATE = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
)
RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


class Allocator(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("allocate", ALLOCATE),
        ("release", RELEASE),
    ]


class Call(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("num_inputs", ctypes.c_int32), ("num_outputs", ctypes.c_int32),
                ("inputs", ctypes.c_void_p), ("outputs", ctypes.c_void_p), ("symbols", ctypes.c_void_p),
                ("allocator", ctypes.POINTER(Allocator)), ("stream", ctypes.c_void_p)]  # fmt: skip


VALUE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.POINTER(Tensor))


class Observer(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("context", ctypes.c_void_p), ("on_kernel", ctypes.c_void_p),
                ("on_value", VALUE)]  # fmt: skip


class ObservedCall(Call):
    """A call as newer callers make it."""

    _fields_ = [("observer", ctypes.POINTER(Observer))]


class C:
    """The library with one artifact open."""

    def __init__(self, name: str, entry: Entry | bytes) -> None:
        self.lib = ctypes.CDLL(str(library()))
        self.lib.tsr_last_error.restype = ctypes.c_char_p
        self.lib.tsr_error_meaning.restype = ctypes.c_char_p
        data = entry if isinstance(entry, bytes) else build({name: entry})
        self.program, self.entry = ctypes.c_void_p(), ctypes.c_void_p()
        assert self.lib.tsr_open_memory(data, ctypes.c_size_t(len(data)), None, ctypes.byref(self.program)) == 0
        assert self.lib.tsr_program_entry(self.program, name.encode(), ctypes.byref(self.entry)) == 0

    def error(self) -> str:
        return self.lib.tsr_last_error().decode()

    def tensor(self, array: np.ndarray) -> Tensor:
        shape = (ctypes.c_int64 * max(array.ndim, 1))(*array.shape)
        return Tensor(array.ctypes.data, (1, 0), array.ndim, 2, 8 * array.itemsize, 1, shape, None, 0)

    def call(self, given: list[Tensor], results: list[Tensor], **fields: object) -> int:
        def pointers(tensors: list[Tensor]) -> ctypes.Array:
            return (ctypes.POINTER(Tensor) * max(len(tensors), 1))(*map(ctypes.pointer, tensors))

        held = pointers(given), pointers(results)
        kind = ObservedCall if "observer" in fields else Call
        args = kind(ctypes.sizeof(kind), len(given), len(results), *(ctypes.cast(p, ctypes.c_void_p) for p in held))
        for name, field in fields.items():
            setattr(args, name, field)
        return self.lib.tsr_entry_call(self.entry, ctypes.byref(args))


@pytest.fixture(scope="module")
def c() -> C:
    return C("add", ADD)


def test_a_call(c: C) -> None:
    x, y, z = np.arange(3, dtype=np.float32), np.ones(3, np.float32), np.zeros(3, np.float32)
    assert c.call([c.tensor(x), c.tensor(y)], [c.tensor(z)]) == 0
    np.testing.assert_array_equal(z, x + y)
    moved = c.tensor(x)
    moved.data, moved.byte_offset = moved.data - 64, 64
    assert c.call([moved, c.tensor(y)], [c.tensor(z)]) == 0
    np.testing.assert_array_equal(z, x + y)


def test_wrong_structs_and_handles(c: C) -> None:
    x = c.tensor(np.zeros(3, np.float32))
    out = c.tensor(np.zeros(3, np.float32))
    assert c.call([x, x], [out], struct_size=8) == 2025
    assert c.error() == "[TSR2025] tsr_call_args: expected struct_size 56 or more, got 8"
    assert c.call([x, x], [out], stream=1) == 2026
    assert c.error() == "[TSR2026] add runs on the CPU: expected no stream"
    assert c.call([x, x], [out], num_inputs=-1) == 2025
    assert c.call([x, x], [out], inputs=None) == 2025
    null = Tensor.from_buffer_copy(x)
    null.data = None
    assert c.call([null, x], [out]) == 2020
    assert c.error() == "[TSR2020] argument 'x': data is null, but shape [3] is not empty (add, file.py:3)"
    assert c.call([x, x], [null]) == 2020
    for field, wrong in [("ndim", -1), ("ndim", 65)]:
        malformed = Tensor.from_buffer_copy(x)
        setattr(malformed, field, wrong)
        assert c.call([malformed, x], [out]) == 2025
    negative = Tensor.from_buffer_copy(x)
    negative.shape = (ctypes.c_int64 * 1)(-1)
    assert c.call([negative, x], [out]) == 2021
    for device in (2, 10):
        elsewhere = Tensor.from_buffer_copy(x)
        elsewhere.device = (device, 0)
        assert c.call([elsewhere, x], [out]) == 2011
    assert c.lib.tsr_open(None, None, None) == 2025 and c.error() == "[TSR2025] path is null"
    assert c.lib.tsr_entry_call(None, None) == 2025 and c.error() == "[TSR2025] entry is null"
    assert c.lib.tsr_entry_argument(c.entry, 7, None) == 2025
    assert "argument index 7 is out of range: there are 2" in c.error()
    c.lib.tsr_program_release(None)
    c.lib.tsr_free(None)


def test_versions_and_meanings(c: C) -> None:
    assert c.lib.tsr_abi_version() == 1
    assert c.lib.tsr_error_meaning(2001) == b"A call passed more or fewer arrays than the entry takes."
    assert c.lib.tsr_error_meaning(1) is None
    c.lib.tsr_native_target.restype = ctypes.c_char_p
    assert c.lib.tsr_native_target().decode() == rt.native_target()


def test_the_callers_allocator() -> None:
    c = C("sums", WORKSPACE_SUMS)
    asked, given = [], []
    buffer = np.zeros(4096, np.uint8)

    def allocate(context: int, size: int, alignment: int, device: int, stream: int) -> int:
        asked.append((context, size, alignment, device & 0xFFFFFFFF, stream))
        return (buffer.ctypes.data + 63) // 64 * 64

    allocator = Allocator(
        ctypes.sizeof(Allocator), 42, ALLOCATE(allocate), RELEASE(lambda *args: given.append(args[0:3:2]))
    )
    x, y = np.ones(9, np.float32), np.zeros(9, np.float32)
    assert c.call([c.tensor(x)], [c.tensor(y)], allocator=ctypes.pointer(allocator)) == 0
    np.testing.assert_array_equal(y, np.cumsum(x))
    assert asked == [(42, 72, 64, 1, None)] and given == [(42, 72)]
    allocator.allocate = ALLOCATE(lambda *args: None)
    assert c.call([c.tensor(x)], [c.tensor(y)], allocator=ctypes.pointer(allocator)) == 2901
    assert c.error() == "[TSR2901] the allocator gave no workspace of 72 bytes"
    c.lib.tsr_program_release(c.program)
