# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``tessera.Array``: a tensor whose values are known, which operations outside a trace return."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from tessera.dtypes import DType, as_dtype, find_dtype
from tessera.frontend.tensor import Tensor


class Array(Tensor):
    """A tensor with values, on the CPU.

    It holds a NumPy array (of an ml_dtypes type for bf16 and fp8) and shares its memory. Operators and methods are
    Tessera's: they compile once for each shape. It exports DLPack, ``__array__`` and prints.

    Parameters
    ----------
    data
        An array of NumPy or another library, a number, or nested lists.
    dtype
        The dtype to convert to.
    """

    __slots__ = ("__weakref__", "_data")

    def __init__(self, data: Any, dtype: Any = None) -> None:
        array = to_numpy(data)
        if dtype is not None:
            array = array.astype(as_dtype(dtype).numpy)
        if find_dtype(array.dtype) is None:
            as_dtype(array.dtype)
        self._data = array

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._data.shape)

    @property
    def dtype(self) -> DType:
        dtype = find_dtype(self._data.dtype)
        assert dtype is not None
        return dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return int(self._data.nbytes)

    def numpy(self) -> np.ndarray[Any, Any]:
        """The NumPy array that holds the values; no copy."""
        return self._data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy:
            return np.array(self._data, dtype=dtype)
        return np.asarray(self._data, dtype=dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy's functions see the NumPy array; its operators are ours."""
        operator = _OPERATORS.get(ufunc.__name__)
        if method == "__call__" and operator is not None and not kwargs and isinstance(inputs[1], Array):
            import tessera

            return getattr(tessera.ops, operator)(*inputs)
        arrays = (x._data if isinstance(x, Array) else x for x in inputs)
        return getattr(ufunc, method)(*arrays, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return function(*_unwrap(args), **_unwrap(kwargs))

    def __dlpack__(self, **options: Any) -> Any:
        if self._data.dtype.isbuiltin == 1:
            return self._data.__dlpack__(**options)
        from tessera.dlpack import export

        return export(self._data)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __getitem__(self, key: Any) -> Array:
        key = tuple(map(_index, key)) if isinstance(key, tuple) else _index(key)
        return Array(self._data[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._data[_index(key)] = to_numpy(value)

    def __iter__(self) -> Iterator[Array]:
        return (Array(item) for item in self._data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def __int__(self) -> int:
        return int(self._data.item())

    def __float__(self) -> float:
        return float(self._data.item())

    def __index__(self) -> int:
        return operator.index(self._data.item())

    def __contains__(self, item: object) -> bool:
        return item in self._data

    def item(self) -> Any:
        """The value of an array of one element as a Python number."""
        return self._data.item()

    def tolist(self) -> Any:
        """The values as nested lists."""
        return self._data.tolist()

    def __repr__(self) -> str:
        wide = self._data.astype(np.float32) if self.dtype.is_narrow else self._data
        text = np.array2string(wide, separator=", ", prefix="Array(")
        return f"Array({text}, dtype={self.dtype.name})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._data,)


_OPERATORS = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "floor_divide": "floor_divide",
    "remainder": "remainder",
    "power": "pow",
    "matmul": "matmul",
    "equal": "equal",
    "not_equal": "not_equal",
    "less": "less",
    "less_equal": "less_equal",
    "greater": "greater",
    "greater_equal": "greater_equal",
}


def _unwrap(value: Any) -> Any:
    """NumPy arrays in place of ``Array`` in the arguments of a NumPy function."""
    if isinstance(value, Array):
        return value._data
    if isinstance(value, (tuple, list)):
        return type(value)(map(_unwrap, value))
    return {key: _unwrap(item) for key, item in value.items()} if isinstance(value, dict) else value


def _index(key: Any) -> Any:
    return key._data if isinstance(key, Array) else key


def to_numpy(value: Any) -> np.ndarray[Any, Any]:
    """An array of any library as a NumPy array, sharing memory where it can.

    Numbers and lists get the dtypes that Python numbers have in Tessera: f32, int64 and bool.
    """
    if isinstance(value, Array):
        return value._data
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value)
    if type(value).__module__.partition(".")[0] == "torch":
        return _from_torch(value)
    if hasattr(value, "__dlpack__") or hasattr(value, "__array__"):
        return np.asarray(value) if hasattr(value, "__array__") else np.from_dlpack(value)
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _from_torch(value: Any) -> np.ndarray[Any, Any]:
    """A torch tensor; its narrow floats go through integers of their size, as NumPy has no DLPack for them."""
    import torch

    value = value.detach()
    dtype = find_dtype(value.dtype)
    if dtype is not None and dtype.numpy.isbuiltin != 1:
        view = value.view(torch.int16 if dtype.itemsize == 2 else torch.int8)
        return view.numpy().view(dtype.numpy)  # type: ignore[no-any-return]
    return value.numpy()  # type: ignore[no-any-return]


def is_immutable(array: np.ndarray[Any, Any]) -> bool:
    """Whether an array's values can be changed by nobody in this process: it views a read-only buffer."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return False
        owner = owner.base
    while isinstance(owner, memoryview) and owner.readonly:
        owner = owner.obj
    try:
        return owner is not None and memoryview(owner).readonly
    except TypeError:  # an owner that doesn't show its memory
        return False


def wrap(value: Any) -> Any:
    """Arrays in a tree of results as ``Array``."""
    if isinstance(value, (tuple, list)):
        return type(value)(wrap(item) for item in value)
    return value if isinstance(value, Array) else Array(value)
