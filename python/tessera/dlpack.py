# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""DLPack capsules for arrays of ml_dtypes types, for which NumPy exports none."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

#: DLPack's type codes.
_CODES = {"bfloat16": 4, "float8_e4m3fn": 10, "float8_e5m2": 12}
_CPU = 1


class _Tensor(ctypes.Structure):
    """``DLManagedTensor`` with ``DLTensor`` in place."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


#: What consumers still use: the struct, its sizes and the array, by the struct's address.
_alive: dict[int, tuple[Any, ...]] = {}


def _delete(address: int) -> None:
    _alive.pop(address, None)


def _delete_capsule(capsule: int) -> None:
    """Run when a capsule dies. One that was consumed is named ``used_dltensor``; its consumer deletes the tensor."""
    if _is_valid(capsule, b"dltensor"):
        _delete(_pointer_of(capsule, b"dltensor"))


_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_deleter = _CALLBACK(_delete)
_capsule_deleter = _CALLBACK(_delete_capsule)


def _api(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_new = _api("PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_is_valid = _api("PyCapsule_IsValid", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
_pointer_of = _api("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)


def export(array: np.ndarray[Any, Any]) -> Any:
    """A DLPack capsule (of the unversioned protocol) that shares the array's memory and keeps it alive.

    Raises
    ------
    BufferError
        If the array is read-only, which this protocol cannot say.
    """
    if not array.flags.writeable:
        raise BufferError("a read-only array cannot be exported by DLPack; copy it first")
    size = array.dtype.itemsize
    dims = ctypes.c_int64 * array.ndim
    shape, strides = dims(*array.shape), dims(*(stride // size for stride in array.strides))
    code = _CODES[array.dtype.name]
    tensor = _Tensor(array.ctypes.data, _CPU, 0, array.ndim, code, size * 8, 1, shape, strides, 0, None)
    tensor.deleter = ctypes.cast(_deleter, ctypes.c_void_p)
    address = ctypes.addressof(tensor)
    _alive[address] = tensor, shape, strides, array
    return _new(address, b"dltensor", ctypes.cast(_capsule_deleter, ctypes.c_void_p))
