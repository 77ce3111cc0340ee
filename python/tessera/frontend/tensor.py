# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``Tensor``: the annotation, and what all tensors can do, whether their values are known (``Array``) or not yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np

import tessera
from tessera.dtypes import DType
from tessera.frontend.annotations import parse, parse_shard


class Tensor:
    """A tensor, in annotations and in traced functions.

    ``Tensor["B", "S", 64, tessera.bf16]`` annotates a parameter: strings are symbolic sizes or expressions of them,
    ``"?"`` is an anonymous size, ``"..."`` any leading dimensions, and a dtype may come last. ``Tensor[()]`` has
    rank 0.

    Operators and methods follow NumPy; ``dim=`` and ``keepdim=`` name dimensions as in PyTorch.
    """

    # Not generic: type checkers then leave the subscript alone, and "B" is no forward reference to them.
    def __class_getitem__(cls, items: Any) -> Any:
        return parse(items)

    __slots__ = ()
    __array_priority__ = 1000

    @property
    def shape(self) -> Any:
        """Sizes: ints where known, symbolic sizes otherwise."""
        raise NotImplementedError

    @property
    def dtype(self) -> DType:
        """The element type."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one size of it."""
        return self.shape if dim is None else self.shape[dim]

    @property
    def T(self) -> Tensor:
        """All dimensions in reverse order."""
        return tessera.ops.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The last two dimensions swapped."""
        return tessera.ops.transpose(self, -2, -1)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor of rank 0")
        return int(self.shape[0])

    # -- values: an Array has them, and a tensor in a traced function refuses ------------------------------------------

    def numpy(self) -> np.ndarray[Any, Any]:
        """The NumPy array that holds the values; no copy."""
        raise NotImplementedError

    def item(self) -> Any:
        """The value of a tensor of one element as a Python number."""
        raise NotImplementedError

    def tolist(self) -> Any:
        """The values as nested lists."""
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Tensor]:
        raise NotImplementedError

    def __int__(self) -> int:
        raise NotImplementedError

    def __float__(self) -> float:
        raise NotImplementedError

    # -- operators ---------------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return _binary("add", self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _binary("add", other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _binary("sub", self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _binary("sub", other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _binary("mul", self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _binary("mul", other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _binary("div", self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _binary("div", other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return _binary("floor_divide", self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return _binary("floor_divide", other, self)

    def __mod__(self, other: Any) -> Tensor:
        return _binary("remainder", self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return _binary("remainder", other, self)

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __pow__(self, other: Any) -> Tensor:
        return _binary("pow", self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return _binary("pow", other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return _binary("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return _binary("matmul", other, self)

    def __and__(self, other: Any) -> Tensor:
        return _binary("bitwise_and", self, other)

    def __rand__(self, other: Any) -> Tensor:
        return _binary("bitwise_and", other, self)

    def __or__(self, other: Any) -> Tensor:
        return _binary("bitwise_or", self, other)

    def __ror__(self, other: Any) -> Tensor:
        return _binary("bitwise_or", other, self)

    def __xor__(self, other: Any) -> Tensor:
        return _binary("bitwise_xor", self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return _binary("bitwise_xor", other, self)

    def __lshift__(self, other: Any) -> Tensor:
        return _binary("left_shift", self, other)

    def __rlshift__(self, other: Any) -> Tensor:
        return _binary("left_shift", other, self)

    def __rshift__(self, other: Any) -> Tensor:
        return _binary("right_shift", self, other)

    def __rrshift__(self, other: Any) -> Tensor:
        return _binary("right_shift", other, self)

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return _binary("equal", self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return _binary("not_equal", self, other)

    def __lt__(self, other: Any) -> Tensor:
        return _binary("less", self, other)

    def __le__(self, other: Any) -> Tensor:
        return _binary("less_equal", self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _binary("greater", self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _binary("greater_equal", self, other)

    __hash__ = object.__hash__

    def __neg__(self) -> Tensor:
        return tessera.ops.neg(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return tessera.ops.abs(self)

    def __invert__(self) -> Tensor:
        return tessera.ops.bitwise_not(self)

    def __round__(self, digits: int | None = None) -> Tensor:
        return tessera.ops.round(self)

    def __getitem__(self, key: Any) -> Tensor:
        return tessera.ops.index(self, key)

    # -- methods -----------------------------------------------------------------------------------------------------

    def cast(self, dtype: Any, *, saturate: bool = False) -> Tensor:
        """Convert the elements to another dtype."""
        return tessera.ops.cast(self, dtype, saturate=saturate)

    def astype(self, dtype: Any) -> Tensor:
        """NumPy's name for ``cast``."""
        return tessera.ops.cast(self, dtype)

    def to(self, dtype: Any) -> Tensor:
        """PyTorch's name for ``cast``."""
        return tessera.ops.cast(self, dtype)

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one size may be -1."""
        return tessera.ops.reshape(self, *shape)

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Merge the dimensions from ``start_dim`` to ``end_dim`` into one."""
        return tessera.ops.flatten(self, start_dim, end_dim)

    def transpose(self, *dims: Any) -> Tensor:
        """Swap two dimensions; without arguments, reverse all."""
        return tessera.ops.transpose(self, *dims)

    def permute(self, *dims: Any) -> Tensor:
        """Reorder the dimensions."""
        return tessera.ops.permute(self, *dims)

    def squeeze(self, dim: Any = None) -> Tensor:
        """Drop dimensions of size 1."""
        return tessera.ops.squeeze(self, dim)

    def unsqueeze(self, dim: int) -> Tensor:
        """Insert a dimension of size 1."""
        return tessera.ops.unsqueeze(self, dim)

    def broadcast_to(self, *shape: Any) -> Tensor:
        """Repeat dimensions of size 1 up to this shape."""
        return tessera.ops.broadcast_to(self, *shape)

    def split(self, parts: Any, dim: int = 0) -> list[Tensor]:
        """Cut into parts along a dimension."""
        return tessera.ops.split(self, parts, dim)

    def sum(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return tessera.ops.sum(self, dim, keepdim)

    def mean(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return tessera.ops.mean(self, dim, keepdim)

    def var(self, dim: Any = None, keepdim: bool = False, correction: int = 0) -> Tensor:
        return tessera.ops.var(self, dim, keepdim, correction)

    def prod(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return tessera.ops.prod(self, dim, keepdim)

    def max(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return tessera.ops.max(self, dim, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return tessera.ops.min(self, dim, keepdim)

    def any(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return tessera.ops.any(self, dim, keepdim)

    def all(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        return tessera.ops.all(self, dim, keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return tessera.ops.argmax(self, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return tessera.ops.argmin(self, dim, keepdim)

    def cumsum(self, dim: int) -> Tensor:
        return tessera.ops.cumsum(self, dim)

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        return tessera.ops.clip(self, min, max)

    def abs(self) -> Tensor:
        return tessera.ops.abs(self)

    def exp(self) -> Tensor:
        return tessera.ops.exp(self)

    def log(self) -> Tensor:
        return tessera.ops.log(self)

    def sqrt(self) -> Tensor:
        return tessera.ops.sqrt(self)

    def rsqrt(self) -> Tensor:
        return tessera.ops.rsqrt(self)

    def tanh(self) -> Tensor:
        return tessera.ops.tanh(self)

    def sigmoid(self) -> Tensor:
        return tessera.ops.sigmoid(self)


class MeshTensor(Tensor):
    """In annotations, a tensor of which each rank of a mesh has a part: see ``tessera.on_mesh``.

    ``MeshTensor["B", "S", "D", ShardSpec("data", None, "model")]`` gives the sizes of the whole tensor and how it is
    divided. Without a ``ShardSpec``, sizes are those of a rank's own tensor.
    """

    __slots__ = ()

    def __class_getitem__(cls, items: Any) -> Any:
        return parse_shard(items)


def _binary(operation: str, left: Any, right: Any) -> Tensor:
    """Apply an operation, or let Python try the other operand's method."""
    other = right if isinstance(left, Tensor) else left
    if isinstance(other, (str, bytes, dict, set, type(None))):
        if operation in ("equal", "not_equal"):
            return cast(Tensor, NotImplemented)
        raise tessera.frontend.traced.not_a_tensor(other)
    return cast(Tensor, getattr(tessera.ops, operation)(left, right))
