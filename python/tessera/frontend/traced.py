# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors whose values are not known yet, and the few functions through which all operations make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from tessera import dtypes
from tessera.dtypes import DType, find_dtype
from tessera.frontend import dims
from tessera.frontend.dims import Size, SizeLike
from tessera.frontend.mesh import ShardSpec
from tessera.frontend.promotion import Operand, result_dtype
from tessera.frontend.scope import Scope, Weight, current_scope
from tessera.frontend.source import diagnostic, user_frames
from tessera.frontend.tensor import Tensor

#: Closed-over arrays up to this many bytes are constants in the code; larger ones are weights.
CONSTANT_BYTES = 64

Shape = tuple[SizeLike, ...]


class Traced(Tensor):
    """A tensor inside a function that is being traced.

    Attributes
    ----------
    value
        The IR value.
    scope, region
        The function, and the branch or loop body in it, that the value belongs to.
    weak
        It comes from sizes and Python numbers only, so that its dtype doesn't widen others.
    pinned
        The user named its dtype; a result keeps it (see ``trace``).
    offset_of
        For a scalar ``i + 3``: ``(i, 3)``, by which a slice ``x[i : i + 3]`` knows its length.
    origin
        The argument of which this is a changed value; None where the caller keeps the argument as it is.
    """

    __slots__ = ("_dtype", "_shape", "offset_of", "origin", "pinned", "region", "scope", "value", "weak")

    def __init__(self, value: Any, shape: Shape, dtype: DType, scope: Scope) -> None:
        self.value = value
        self._shape = shape
        self._dtype = dtype
        self.scope = scope
        self.region = scope.regions[-1]
        self.weak = False
        self.pinned = False
        self.offset_of: tuple[Traced, SizeLike] | None = None
        self.origin: Traced | None = None

    @property
    def shape(self) -> Any:
        return self._shape

    @property
    def dtype(self) -> DType:
        return self._dtype

    def __repr__(self) -> str:
        return f"Tensor[{', '.join(map(str, self._shape))}, {self._dtype.name}]"

    # -- what has no meaning while values are unknown ----------------------------------------------------------------

    def __bool__(self) -> bool:
        raise diagnostic(
            "TSR1401",
            f"truth value of a tensor: expected a Python bool, got {self!r}, whose value is not known while tracing",
            help="choose by element with tessera.where(mask, a, b), branch with tessera.cond(pred, then, otherwise), "
            "loop with tessera.while_loop; a compile-time choice needs a parameter like `flag: bool = False`",
        )

    def _refuse_number(self, kind: str, instead: str) -> NoReturn:
        raise diagnostic(
            "TSR1402",
            f"{kind}(tensor): expected a Python value, got {self!r}, whose value is not known while tracing",
            help=instead,
        )

    def __float__(self) -> float:
        self._refuse_number("float", "use tessera's functions for math's: tessera.sqrt(x), tessera.exp(x)")

    def __int__(self) -> int:
        self._refuse_number("int", "use x.cast(tessera.int64), or a parameter `n: int = ...` for a compile-time number")

    def __index__(self) -> int:
        self._refuse_number("index", "a tensor can index a tensor (x[i], tessera.take); sizes must come from shapes")

    def __complex__(self) -> complex:
        self._refuse_number("complex", "complex numbers are not supported")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self._refuse_number("numpy.asarray", "use the tessera function in place of NumPy's")

    def item(self) -> NoReturn:
        self._refuse_number("item", "stay in tensors; return the value from the function to read it")

    def tolist(self) -> NoReturn:
        self._refuse_number("tolist", "stay in tensors; return the value from the function to read it")

    def numpy(self) -> NoReturn:
        self._refuse_number("numpy", "stay in tensors; return the value from the function to read it")

    def __iter__(self) -> NoReturn:
        raise diagnostic(
            "TSR1403",
            f"iteration over a tensor: expected a Python sequence, got {self!r}",
            help="unpack with tessera.split or tessera.unbind, index with `for i in range(n)`, or use tessera.scan",
        )

    def __contains__(self, item: object) -> bool:
        raise diagnostic(
            "TSR1401",
            f"`in` on a tensor: expected a Python collection, got {self!r}",
            help="use tessera.any(x == value)",
        )

    def __setitem__(self, key: Any, value: Any) -> None:
        raise diagnostic(
            "TSR1404",
            f"assignment to elements: expected a new tensor, got a write into {self!r}; tensors don't change",
            help="build the tensor with tessera.where(mask, value, x) or tessera.concat([...])",
        )

    def __delitem__(self, key: Any) -> None:
        self.__setitem__(key, None)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from tessera.frontend.numpy_calls import call_ufunc

        return call_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from tessera.frontend.numpy_calls import refuse_function

        return refuse_function(function)


# -- emission --------------------------------------------------------------------------------------------------------


def active_scope() -> Scope:
    """The function being traced."""
    scope = current_scope()
    assert scope is not None, "operations outside a trace run through tessera.ops.eager"
    return scope


def check_alive(tensor: Traced, scope: Scope) -> None:
    """Refuse a tensor that belongs to another function, or to a branch or loop body that is complete."""
    if tensor.scope is scope and tensor.region in scope.regions:
        return
    where = "function" if tensor.scope is not scope else "branch or loop body"
    raise diagnostic(
        "TSR1406",
        f"{tensor!r} used outside its {where}: expected a tensor of '{scope.name}', "
        f"got one of {where} '{tensor.scope.name}'",
        help="pass it as an argument, or return it from where it was made",
    )


def emit_many(
    name: str,
    operands: Sequence[Traced],
    results: Sequence[tuple[Shape, DType]],
    attributes: Mapping[str, Any] | None = None,
    *,
    indices: Sequence[SizeLike] = (),
    segments: Sequence[int] = (),
    blocks: Sequence[Any] = (),
) -> list[Traced]:
    """Append an operation at the user's line.

    Parameters
    ----------
    name
        The operation, without the prefix if it is of our dialect.
    operands, indices
        Tensors, then sizes, in the operation's order.
    results, attributes, segments, blocks
        As ``FunctionBuilder.op`` takes them.
    """
    scope = active_scope()
    for operand in operands:
        check_alive(operand, scope)
    values = [operand.value for operand in operands] + [scope.builder.index(scope.check_owner(i)) for i in indices]
    for shape, _ in results:
        for size in shape:
            scope.check_owner(size)
    if scope.leading is not None:
        shapes = [operand.shape for operand in operands], [shape for shape, _ in results]
        scope.leading.check(name, *shapes, attributes or {}, indices)
    frames = list(user_frames())
    made = scope.builder.op(
        name if "." in name else f"tessera.{name}",
        values,
        results,
        attributes,
        segments=segments,
        frames=frames,
        blocks=blocks,
    )
    tensors = [Traced(value, *result, scope) for value, result in zip(made, results, strict=True)]
    for tensor in tensors:
        tensor.weak = bool(operands) and all(operand.weak for operand in operands)
        tensor.pinned = any(operand.pinned and operand.dtype == tensor.dtype for operand in operands)
    return tensors


def emit(
    name: str,
    operands: Sequence[Traced],
    shape: Shape,
    dtype: DType,
    attributes: Mapping[str, Any] | None = None,
    *,
    indices: Sequence[SizeLike] = (),
    segments: Sequence[int] = (),
) -> Traced:
    """``emit_many`` for one result."""
    return emit_many(name, operands, [(shape, dtype)], attributes, indices=indices, segments=segments)[0]


def emit_sized(
    name: str,
    operands: Sequence[Traced],
    shape: Shape,
    dtype: DType,
    attributes: Mapping[str, Any] | None = None,
    *,
    offsets: Sequence[SizeLike] | None = None,
) -> Traced:
    """``emit`` for operations that take the dynamic sizes of their result as operands, after ``offsets`` if any."""
    sizes = [size for size in shape if isinstance(size, Size)]
    segments = () if offsets is None else (len(operands), len(offsets), len(sizes))
    result = emit(name, operands, shape, dtype, attributes, indices=[*(offsets or ()), *sizes], segments=segments)
    if name == "reshape":
        result.origin = operands[0].origin
    return result


# -- values ----------------------------------------------------------------------------------------------------------


def operand_type(value: Any) -> Operand:
    """How a value takes part in promotion: by dtype, or as a Python number."""
    if isinstance(value, Traced):
        return {"bool": bool, "int": int, "float": float}[value.dtype.kind] if value.weak else value.dtype
    if isinstance(value, (bool, np.bool_)):
        return bool
    if isinstance(value, Size) or type(value) is int:
        return int
    if isinstance(value, float):  # numpy.float64 is one too: math.sqrt and numpy.sqrt give the same result
        return float
    dtype = dtypes.array_dtype(value)
    if dtype is None:
        raise not_a_tensor(value)
    return dtype


def not_a_tensor(value: Any) -> Exception:
    kind = type(value).__name__
    dtype = getattr(value, "dtype", None)
    shown = f"{kind} of dtype {dtype}" if dtype is not None else f"{kind} ({value!r:.40})"
    names = ", ".join(dtype.name for dtype in dtypes.ALL)
    return diagnostic(
        "TSR1304",
        f"not a tensor: expected a tensor, an array or a number, got {shown}",
        help=f"supported dtypes: {names}" if dtype is not None else "",
    )


def lift(value: Any, dtype: DType | None = None) -> Traced:
    """The tensor that a value stands for.

    Parameters
    ----------
    value
        A traced tensor, an array (which becomes a constant or a weight), a number, a size, or a list of them.
    dtype
        For a number or a size: the dtype to hold it in, if not its default.
    """
    if isinstance(value, Traced):
        check_alive(value, active_scope())
        return value
    if isinstance(value, (list, tuple)):
        value = _from_sequence(value)
    if isinstance(value, Size):
        tensor = emit("from_index", [], (), dtypes.int64, indices=[value])
        tensor.weak = True
        return cast(tensor, dtype or dtypes.int64)
    if isinstance(value, (bool, int, float)):
        tensor = constant(scalar(value, dtype or result_dtype(operand_type(value))))
        tensor.weak = dtype is None
        return tensor
    if isinstance(value, np.generic):
        operand_type(value)
        tensor = constant(np.asarray(value))
        return tensor if dtype is None else cast(tensor, dtype)
    return _closed_over(value)


def scalar(value: bool | int | float, dtype: DType) -> np.ndarray[Any, Any]:
    """A Python number as an array of rank 0.

    Raises
    ------
    DTypeError
        If an integer dtype cannot hold it.
    """
    if dtype.is_int:
        info = np.iinfo(dtype.numpy)
        if value != value or not info.min <= value <= info.max or value != int(value):
            raise diagnostic(
                "TSR1303",
                f"number in {dtype.name}: expected one in [{info.min}, {info.max}], got {value!r}",
                help="cast the tensor to a wider dtype first, for example x.cast(tessera.int64)",
            )
    return np.asarray(value).astype(dtype.numpy)


def constant(array: np.ndarray[Any, Any]) -> Traced:
    """A constant with these values."""
    dtype = find_dtype(array.dtype)
    assert dtype is not None
    scope = active_scope()
    return emit("constant", [], array.shape, dtype, {"value": scope.module.builder.dense(array, dtype)})


def _from_sequence(value: Any) -> Any:
    """A nested list of numbers, with the dtypes that Python numbers have."""
    if any(isinstance(item, (Tensor, Size)) for item in value):
        import tessera

        return tessera.ops.stack([lift(item) for item in value])
    array = np.asarray(value)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return array


def _closed_over(value: Any) -> Traced:
    """An array that the function didn't get as an argument: a small one is a constant, others are weights."""
    from tessera.array import to_numpy
    from tessera.nn.parameter import Parameter

    scope = active_scope()
    key = _identity(value)
    known = scope.weights.get(key)
    if known is None:
        operand_type(value)
        array = to_numpy(value)
        dtype = find_dtype(array.dtype)
        assert dtype is not None
        if array.nbytes <= CONSTANT_BYTES and not isinstance(value, Parameter):
            return constant(array)
        name = scope.weight_name(value)
        attributes = {"tessera.name": name, "tessera.weight": True}
        sharding = value.sharding if isinstance(value, Parameter) else None
        # Asked for in both modes: this is what checks the sharding.
        part = array.shape if sharding is None else _part_shape(array.shape, sharding, scope, name)
        shape = array.shape if scope.module.partition else part
        argument = scope.builder.argument(shape, dtype, attributes)
        if scope.module.partition and scope.module.mesh is not None and sharding is not None:
            argument = scope.builder.shard(argument, scope.module.mesh, sharding)
        known = Weight(name, value, shape, dtype, argument, sharding)
        scope.weights[key] = known
    tensor = Traced(known.value, known.shape, known.dtype, scope)
    tensor.region = scope.id
    return tensor


def _part_shape(shape: tuple[int, ...], sharding: ShardSpec, scope: Scope, name: str) -> tuple[int, ...]:
    """The shape of a rank's part of a weight."""
    mesh, what = scope.module.mesh, f"weight '{name}'"
    if mesh is None:
        raise diagnostic(
            "TSR1604",
            f"{what}: expected a function on a mesh for a weight that ranks divide, got one without",
            help="place the function or module with tessera.on_mesh(mesh)",
        )
    sharding.check(len(shape), mesh, what)
    parts = (sharding.parts(dim, mesh) for dim in range(len(shape)))
    sizes = (
        scope.divide(size, n, f"{what}: dimension {i}") for i, (size, n) in enumerate(zip(shape, parts, strict=True))
    )
    return tuple(int(size) for size in sizes)


def _identity(value: Any) -> Any:
    """What tells closed-over arrays apart: equal views of one array, such as ``W.T`` written twice, are one weight."""
    if type(value) is np.ndarray and value.base is not None:
        return value.ctypes.data, value.shape, value.strides, value.dtype
    return id(value)


def cast(tensor: Traced, dtype: DType, *, implicit: bool = False, saturate: bool = False) -> Traced:
    """Convert the element type; ``implicit`` where the numeric policy does it between floats."""
    if tensor.dtype == dtype:
        return tensor
    attributes: dict[str, Any] = {}
    if implicit and tensor.dtype.is_float and dtype.is_float:
        attributes["implicit"] = True
    if saturate:
        attributes["saturate"] = True
    result = emit("cast", [tensor], tensor.shape, dtype, attributes)
    result.weak = tensor.weak
    result.pinned = False
    return result


def lift_to(value: Any, dtype: DType) -> Traced:
    """``lift``, then cast as promotion does. A Python number becomes a constant of ``dtype``, rounded once."""
    if isinstance(value, (bool, int, float)):
        return lift(value, dtype)
    return cast(lift(value), dtype, implicit=True)


# -- shapes ----------------------------------------------------------------------------------------------------------


def broadcast_shapes(where: str, *shapes: Shape) -> Shape:
    """The shape that tensors of these shapes have together: NumPy's rule, but only a dimension statically 1 repeats."""
    scope = active_scope()
    rank = max(map(len, shapes), default=0)
    result: list[SizeLike] = []
    for position in range(-rank, 0):
        size: SizeLike = 1
        for shape in shapes:
            if len(shape) < -position:
                continue
            other = shape[position]
            if isinstance(size, int) and size == 1:
                size = other
            elif not (isinstance(other, int) and other == 1) and not dims.same(size, other):
                size = scope.require_equal(size, other, f"{where}: dimension {position} of {_shapes(shapes)}")
        result.append(size)
    return tuple(result)


def _shapes(shapes: Sequence[Shape]) -> str:
    return " and ".join(format_shape(shape) for shape in shapes)


def format_shape(shape: Sequence[SizeLike]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def normalize_dim(dim: Any, rank: int, where: str) -> int:
    """A dimension counted from 0."""
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)):
        raise diagnostic("TSR1504", f"{where}: expected dim to be an int, got {dim!r}")
    if not -rank <= dim < rank:
        expected = f"a dimension in [-{rank}, {rank})" if rank else "no dim, as the tensor has rank 0"
        raise diagnostic("TSR1501", f"{where}: expected {expected}, got {dim}")
    return int(dim) % rank


def normalize_dims(dim: Any, rank: int, where: str) -> tuple[int, ...]:
    """Dimensions counted from 0, sorted; all of them for None."""
    if dim is None:
        return tuple(range(rank))
    chosen = [normalize_dim(d, rank, where) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    if len(set(chosen)) != len(chosen):
        raise diagnostic("TSR1501", f"{where}: expected distinct dimensions, got {dim}")
    return tuple(sorted(chosen))


def as_sizes(shape: Any, where: str) -> Shape:
    """A shape argument: sizes one by one, or in one tuple."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    for size in shape:
        if not isinstance(size, (int, np.integer, Size)) or isinstance(size, bool):
            help = "a size cannot come from a tensor's values: take it from a shape" if isinstance(size, Tensor) else ""
            raise diagnostic("TSR1504", f"{where}: expected sizes (ints or symbols), got {size!r}", help=help)
    return tuple(size if isinstance(size, Size) else int(size) for size in shape)


def element_count(shape: Shape) -> SizeLike:
    return dims.product(shape)
