# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A framework for tests, with DLPack's C exchange API over the fake driver's memory, as torch has it over a real one's.

The runtime calls it through C function pointers, which are Python functions here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from fake_cuda import Driver, Memory, view

CUDA = 2
DTYPES = {np.dtype(np.float32): (2, 32), np.dtype(np.float64): (2, 64), np.dtype(np.int32): (0, 32)}


class DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device", ctypes.c_int32),
                ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
                ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64)]  # fmt: skip


class Managed(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32 * 2), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
                ("flags", ctypes.c_uint64), ("tensor", DLTensor)]  # fmt: skip


class Tensor:
    """A tensor on a fake GPU."""

    driver: ClassVar[Driver]
    current: ClassVar[int] = 0
    """The framework's current stream."""
    allocated_on: ClassVar[list[int]] = []
    """The current stream at each allocation by the exchange API."""
    out_of_memory: ClassVar[bool] = False

    def __init__(self, memory: Memory, strides: tuple[int, ...] | None = None) -> None:
        self.memory = memory
        self._shape = (ctypes.c_int64 * (len(memory.shape) + 1))(*memory.shape)
        self._strides = None if strides is None else (ctypes.c_int64 * len(strides))(*strides)

    @classmethod
    def of(cls, array: np.ndarray, device: int = 0, offset: int = 0) -> Tensor:
        return cls(Memory(cls.driver, array, device, offset))

    def numpy(self) -> np.ndarray:
        return self.memory.numpy()

    def contiguous(self) -> Tensor:
        assert self._strides is not None
        memory = self.memory
        base = view(memory.address, memory.dtype, int(np.prod(memory.shape)))
        strides = [stride * memory.dtype.itemsize for stride in self._strides]
        return Tensor.of(np.lib.stride_tricks.as_strided(base, memory.shape, strides), memory.device)

    def describe(self, out: DLTensor) -> None:
        code, bits = DTYPES[self.memory.dtype]
        out.data, out.device_type, out.device = self.memory.address, CUDA, self.memory.device
        out.ndim, out.code, out.bits, out.lanes = len(self.memory.shape), code, bits, 1
        out.shape, out.byte_offset = ctypes.cast(self._shape, ctypes.POINTER(ctypes.c_int64)), 0
        out.strides = ctypes.cast(self._strides, ctypes.POINTER(ctypes.c_int64)) if self._strides else None


class cuda:
    """What torch.cuda has for streams of others."""

    class ExternalStream:
        def __init__(self, handle: int, device: int) -> None:
            self.cuda_stream = handle

    @staticmethod
    @contextmanager
    def stream(stream: ExternalStream) -> Iterator[None]:
        before, Tensor.current = Tensor.current, stream.cuda_stream
        try:
            yield
        finally:
            Tensor.current = before


_made: dict[int, tuple[Tensor, Managed]] = {}


@ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(DLTensor))
def _tensor_from_object(tensor: Tensor, out: Any) -> int:
    tensor.describe(out[0])
    return 0


def empty_strided(shape: tuple[int, ...], strides: tuple[int, ...], *, dtype: np.dtype, device: str) -> Tensor:
    """torch's own allocator, for tests that give this module the dtypes that it takes."""
    kind, _, number = device.partition(":")
    assert kind == "cuda" and strides == tuple(s // dtype.itemsize for s in np.empty(shape, dtype).strides)
    return Tensor.of(np.zeros(shape, dtype), int(number))


_SetError = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)


@ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.POINTER(DLTensor), ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p, _SetError)
def _allocate(prototype: Any, out: Any, context: int, set_error: Any) -> int:
    if Tensor.out_of_memory:
        set_error(context, b"MemoryError", b"the fake allocator has no memory\nand a long story")
        return -1
    wanted = prototype[0]
    dtype = next(dtype for dtype, code in DTYPES.items() if code == (wanted.code, wanted.bits))
    tensor, managed = Tensor.of(np.zeros(wanted.shape[: wanted.ndim], dtype), wanted.device), Managed()
    tensor.describe(managed.tensor)
    Tensor.allocated_on.append(Tensor.current)
    address = ctypes.addressof(managed)
    _made[address] = tensor, managed
    out[0] = address
    return 0


@ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p))
def _object_from_managed(managed: int, out: Any) -> int:
    tensor, _ = _made.pop(managed)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(tensor))
    out[0] = id(tensor)
    return 0


@ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_int32, ctypes.c_int32, ctypes.POINTER(ctypes.c_void_p))
def _current_stream(kind: int, device: int, out: Any) -> int:
    out[0] = Tensor.current
    return 0


class _Api(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32 * 2), ("previous", ctypes.c_void_p), ("functions", ctypes.c_void_p * 5)]


_FUNCTIONS = (_allocate, None, _object_from_managed, _tensor_from_object, _current_stream)
_api = _Api((1, 3), None, tuple(ctypes.cast(f, ctypes.c_void_p).value if f else None for f in _FUNCTIONS))
_NAME = b"dlpack_exchange_api"  # which the capsule refers to
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
Tensor.__dlpack_c_exchange_api__ = _new_capsule(ctypes.addressof(_api), _NAME, None)  # type: ignore[attr-defined]


def start() -> Driver:
    """The driver, with this framework on it."""
    Tensor.driver = Driver()
    return Tensor.driver
