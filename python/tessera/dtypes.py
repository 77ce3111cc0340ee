# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Element types. NumPy's side of bf16 and fp8 is ml_dtypes."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np

Kind = Literal["bool", "int", "float"]


@dataclass(frozen=True, eq=False)
class DType:
    """An element type.

    Attributes
    ----------
    name
        The name in Tessera, which manifests use: ``"bf16"``, ``"int32"``, ``"bool"``.
    numpy
        The NumPy dtype.
    mlir
        The MLIR type's text.
    kind
        ``"bool"``, ``"int"`` or ``"float"``.

    A dtype equals its name: ``tessera.bf16 == "bf16"``.
    """

    name: str
    numpy: np.dtype[Any]
    mlir: str
    kind: Kind

    @property
    def itemsize(self) -> int:
        """Bytes in an element."""
        return self.numpy.itemsize

    @property
    def is_float(self) -> builtins.bool:
        return self.kind == "float"

    @property
    def is_int(self) -> builtins.bool:
        return self.kind == "int"

    @property
    def is_bool(self) -> builtins.bool:
        return self.kind == "bool"

    @property
    def is_narrow(self) -> builtins.bool:
        """A float that arithmetic widens to f32."""
        return self.is_float and self.itemsize < 4

    def __eq__(self, other: object) -> builtins.bool:
        return self is other or (isinstance(other, str) and other == self.name)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"tessera.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return as_dtype, (self.name,)


@dataclass(frozen=True)
class MathMode:
    """A way to compute that is no storage type: ``tf32`` for f32 matrix products."""

    name: str

    def __repr__(self) -> str:
        return f"tessera.{self.name}"


f64 = DType("f64", np.dtype(np.float64), "f64", "float")
f32 = DType("f32", np.dtype(np.float32), "f32", "float")
f16 = DType("f16", np.dtype(np.float16), "f16", "float")
bf16 = DType("bf16", np.dtype(ml_dtypes.bfloat16), "bf16", "float")
fp8_e4m3 = DType("fp8_e4m3", np.dtype(ml_dtypes.float8_e4m3fn), "f8E4M3FN", "float")
fp8_e5m2 = DType("fp8_e5m2", np.dtype(ml_dtypes.float8_e5m2), "f8E5M2", "float")
int8 = DType("int8", np.dtype(np.int8), "i8", "int")
int16 = DType("int16", np.dtype(np.int16), "i16", "int")
int32 = DType("int32", np.dtype(np.int32), "i32", "int")
int64 = DType("int64", np.dtype(np.int64), "i64", "int")
bool_ = DType("bool", np.dtype(np.bool_), "i1", "bool")
tf32 = MathMode("tf32")

ALL = (f64, f32, f16, bf16, fp8_e4m3, fp8_e5m2, int8, int16, int32, int64, bool_)
_BY_NAME = {dtype.name: dtype for dtype in ALL}
_BY_NUMPY = {dtype.numpy: dtype for dtype in ALL}
_ALIASES: dict[Any, DType] = {
    **_BY_NAME,
    **{dtype.numpy.name: dtype for dtype in ALL},
    builtins.bool: bool_,
    builtins.int: int64,
    builtins.float: f32,
}


def find_dtype(value: Any) -> DType | None:
    """The dtype that a dtype, a name, or a dtype of NumPy or PyTorch means; None if it means none."""
    if value is None or isinstance(value, DType):
        return value
    try:
        if value in _ALIASES:
            return _ALIASES[value]
    except TypeError:
        return None
    if type(value).__module__ == "torch":  # torch.bfloat16 -> "bfloat16"
        return _ALIASES.get(str(value).rpartition(".")[2])
    try:
        return _BY_NUMPY.get(np.dtype(value))
    except TypeError:
        return None


def as_dtype(value: Any) -> DType:
    """Like ``find_dtype``.

    Raises
    ------
    DTypeError
        If there is no such dtype.
    """
    dtype = find_dtype(value)
    if dtype is None:
        from tessera.frontend.source import diagnostic

        raise diagnostic(
            "TSR1304",
            f"unknown dtype: expected one of {', '.join(_BY_NAME)}, got {value!r}",
            help="use tessera.f32 etc.",
        )
    return dtype


def memory_dtype(mlir: str) -> str:
    """The name of the dtype whose elements an MLIR type is the memory of; booleans are bytes there."""
    return next(dtype.name for dtype in ALL if dtype.mlir == mlir)


def array_dtype(array: Any) -> DType | None:
    """The dtype of an array of any library, or None."""
    return find_dtype(getattr(array, "dtype", None))
