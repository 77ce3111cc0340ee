# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Elementwise operations.

Floats narrower than the policy's compute dtype are widened for each operation and narrowed again. The compiler removes
such pairs between operations, so that chains stay wide.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tessera import dtypes
from tessera.dtypes import DType
from tessera.frontend.dims import Size
from tessera.frontend.promotion import current_policy, float_dtype, result_dtype
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import Traced, broadcast_shapes, emit, lift, lift_to, operand_type
from tessera.frontend.traced import cast as cast_traced
from tessera.ops._dispatch import operation

#: Integer powers up to this one are products.
_LARGEST_PRODUCT = 8


def _unary(name: str, x: Any, *, floats: bool = True) -> Traced:
    x = lift(x)
    dtype = float_dtype(x.dtype) if floats else x.dtype
    compute = current_policy().elementwise(dtype)
    wide = widen(x, dtype, compute)
    return narrow(emit(name, [wide], wide.shape, compute), dtype)


def widen(x: Traced, dtype: DType, compute: DType) -> Traced:
    """``x`` in the dtype in which an operation whose result is ``dtype`` is computed."""
    wide = cast_traced(x, compute, implicit=True)
    wide.pinned = x.pinned and x.dtype == dtype
    return wide


def narrow(x: Traced, dtype: DType) -> Traced:
    """The result of a wide operation in its dtype."""
    pinned, weak = x.pinned, x.weak
    x = cast_traced(x, dtype, implicit=True)
    x.pinned, x.weak = pinned, weak
    return x


def _same_dtype(name: str, operands: tuple[Any, ...], dtype: DType | None = None) -> tuple[list[Traced], DType]:
    """The operands in the dtype in which the operation is computed, and the dtype of its result."""
    types = [operand_type(_sequence(x)) for x in operands]
    dtype = dtype or result_dtype(*types)
    compute = current_policy().elementwise(dtype)
    lifted = [lift_to(x, compute) for x in operands]
    pinned = any(isinstance(x, Traced) and x.pinned and x.dtype == dtype for x in operands)
    for x, original, kind in zip(lifted, operands, types, strict=True):
        x.weak = kind in (bool, int, float)
        if not isinstance(original, Traced) or x is not original:
            x.pinned = pinned and not x.weak
    return lifted, dtype


def _sequence(x: Any) -> Any:
    return lift(x) if isinstance(x, (list, tuple)) else x


def _binary(name: str, a: Any, b: Any, dtype: DType | None = None) -> Traced:
    a, b = _sequence(a), _sequence(b)
    operands, dtype = _same_dtype(name, (a, b), dtype)
    shape = broadcast_shapes(name, *(x.shape for x in operands))
    return narrow(emit(name, operands, shape, operands[0].dtype), dtype)


def _no_bool(name: str, *operands: Any, instead: str) -> None:
    kinds = [operand_type(_sequence(x)) for x in operands]
    if result_dtype(*kinds).is_bool:
        raise diagnostic("TSR1301", f"{name}: expected numbers, got bool", help=instead)


# -- arithmetic ------------------------------------------------------------------------------------------------------


@operation
def add(a: Any, b: Any) -> Tensor:
    """``a + b``; of bools, their ``or``."""
    if _is_bool(a, b):
        return _binary("or", a, b)
    result = _binary("add", a, b)
    result.offset_of = _offset(a, b, 1) or _offset(b, a, 1)
    return result


@operation
def sub(a: Any, b: Any) -> Tensor:
    """``a - b``."""
    _no_bool("sub", a, b, instead="use a ^ b, or cast to an integer dtype first")
    result = _binary("sub", a, b)
    result.offset_of = _offset(a, b, -1)
    return result


@operation
def mul(a: Any, b: Any) -> Tensor:
    """``a * b``; of bools, their ``and``."""
    return _binary("and" if _is_bool(a, b) else "mul", a, b)


@operation
def div(a: Any, b: Any) -> Tensor:
    """``a / b``; of integers, in f32."""
    a, b = _sequence(a), _sequence(b)
    return _binary("div", a, b, float_dtype(result_dtype(operand_type(a), operand_type(b))))


@operation
def floor_divide(a: Any, b: Any) -> Tensor:
    """``a // b``, rounding down. An integer divided by 0 is 0."""
    return _binary("floor_div", a, b, _number_dtype(a, b))


@operation
def remainder(a: Any, b: Any) -> Tensor:
    """``a % b``, with the sign of ``b``. An integer modulo 0 is 0."""
    return _binary("rem", a, b, _number_dtype(a, b))


@operation
def pow(a: Any, b: Any) -> Tensor:
    """``a ** b``. Small constant integer powers are products, halves are square roots.

    Raises
    ------
    ArgumentError
        For an integer tensor to a negative constant power.
    """
    if isinstance(b, (int, float)) and not isinstance(a, (int, float)):
        expanded = _constant_power(lift(_sequence(a)), b)
        if expanded is not None:
            return expanded
    return _binary("pow", a, b, _number_dtype(a, b))


def _constant_power(x: Traced, power: float) -> Traced | None:
    dtype = _number_dtype(x, power)
    if dtype.is_int and power < 0:
        raise diagnostic(
            "TSR1504",
            f"pow: expected a power that is not negative for {x.dtype.name}, got {power}",
            help="cast to a float dtype first: x.cast(tessera.f32)",
        )
    compute = current_policy().elementwise(dtype)
    wide = widen(x, dtype, compute)
    if power in (0.5, -0.5):
        result = emit("sqrt" if power > 0 else "rsqrt", [wide], wide.shape, compute)
    elif power == int(power) and 1 <= builtin_abs(power) <= _LARGEST_PRODUCT:
        result = _product_power(wide, int(builtin_abs(power)))
        if power < 0:
            result = emit("div", [lift(1.0, compute), result], wide.shape, compute)
    else:
        return None
    return narrow(result, dtype)


def _product_power(x: Traced, power: int) -> Traced:
    if power == 1:
        return x
    half = _product_power(x, power // 2)
    square = emit("mul", [half, half], x.shape, x.dtype)
    return square if power % 2 == 0 else emit("mul", [square, x], x.shape, x.dtype)


def builtin_abs(x: float) -> float:
    return x if x >= 0 else -x


@operation
def maximum(a: Any, b: Any) -> Tensor:
    """The larger of two elements; NaN wins."""
    return _binary("or" if _is_bool(a, b) else "maximum", a, b)


@operation
def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of two elements; NaN wins."""
    return _binary("and" if _is_bool(a, b) else "minimum", a, b)


def _is_bool(a: Any, b: Any) -> bool:
    return result_dtype(operand_type(_sequence(a)), operand_type(_sequence(b))).is_bool


def _number_dtype(a: Any, b: Any) -> DType:
    """The dtype of arithmetic that has no meaning for bools: NumPy takes int8 for them."""
    dtype = result_dtype(operand_type(_sequence(a)), operand_type(_sequence(b)))
    return dtypes.int8 if dtype.is_bool else dtype


def _offset(a: Any, b: Any, sign: int) -> tuple[Traced, Any] | None:
    """What a sum of an integer scalar and a size is away from the scalar."""
    if isinstance(a, Traced) and a.dtype.is_int and a.shape == () and isinstance(b, (int, Size)):
        base, distance = a.offset_of or (a, 0)
        return base, distance + sign * b
    return None


# -- bits ------------------------------------------------------------------------------------------------------------


def _bits(name: str, a: Any, b: Any) -> Traced:
    dtype = result_dtype(operand_type(_sequence(a)), operand_type(_sequence(b)))
    if dtype.is_float or (dtype.is_bool and name.startswith("shift")):
        expected = "integers" if name.startswith("shift") else "integers or bools"
        raise diagnostic("TSR1301", f"{name}: expected {expected}, got {dtype.name}", help="cast the operands first")
    return _binary(name, a, b, dtype)


@operation
def bitwise_and(a: Any, b: Any) -> Tensor:
    """``a & b`` of integers or bools."""
    return _bits("and", a, b)


@operation
def bitwise_or(a: Any, b: Any) -> Tensor:
    """``a | b`` of integers or bools."""
    return _bits("or", a, b)


@operation
def bitwise_xor(a: Any, b: Any) -> Tensor:
    """``a ^ b`` of integers or bools."""
    return _bits("xor", a, b)


@operation
def left_shift(a: Any, b: Any) -> Tensor:
    """``a << b`` of integers; by the width or more it is 0."""
    return _bits("shift_left", a, b)


@operation
def right_shift(a: Any, b: Any) -> Tensor:
    """``a >> b`` of integers, keeping the sign."""
    return _bits("shift_right", a, b)


@operation
def bitwise_not(x: Any) -> Tensor:
    """``~x`` of integers or bools."""
    x = lift(x)
    if x.dtype.is_float:
        raise diagnostic(
            "TSR1301", f"not: expected integers or bools, got {x.dtype.name}", help="compare first: ~(x > 0)"
        )
    return emit("not", [x], x.shape, x.dtype)


logical_and, logical_or, logical_xor, logical_not = bitwise_and, bitwise_or, bitwise_xor, bitwise_not


# -- comparison and choice -------------------------------------------------------------------------------------------


def _compare(predicate: str, a: Any, b: Any) -> Traced:
    a, b = _sequence(a), _sequence(b)
    # Bools have no order in the IR: as int8, False < True.
    as_int = _is_bool(a, b) and predicate not in ("eq", "ne")
    operands, _ = _same_dtype("compare", (a, b), dtypes.int8 if as_int else None)
    shape = broadcast_shapes("compare", *(x.shape for x in operands))
    return emit("compare", operands, shape, dtypes.bool_, {"predicate": predicate})


@operation
def equal(a: Any, b: Any) -> Tensor:
    """``a == b``, by element."""
    return _compare("eq", a, b)


@operation
def not_equal(a: Any, b: Any) -> Tensor:
    """``a != b``, by element."""
    return _compare("ne", a, b)


@operation
def less(a: Any, b: Any) -> Tensor:
    """``a < b``, by element."""
    return _compare("lt", a, b)


@operation
def less_equal(a: Any, b: Any) -> Tensor:
    """``a <= b``, by element."""
    return _compare("le", a, b)


@operation
def greater(a: Any, b: Any) -> Tensor:
    """``a > b``, by element."""
    return _compare("gt", a, b)


@operation
def greater_equal(a: Any, b: Any) -> Tensor:
    """``a >= b``, by element."""
    return _compare("ge", a, b)


def as_mask(x: Any) -> Traced:
    """Whether each element is true: not 0."""
    x = lift(x)
    return x if x.dtype.is_bool else _compare("ne", x, 0)


@operation
def where(condition: Any, a: Any, b: Any) -> Tensor:
    """``a`` where the condition holds, ``b`` elsewhere; all three broadcast."""
    mask = as_mask(condition)
    a, b = _sequence(a), _sequence(b)
    (a, b), dtype = _same_dtype("where", (a, b))
    shape = broadcast_shapes("where", mask.shape, a.shape, b.shape)
    result = emit("select", [mask, a, b], shape, a.dtype)
    result.weak = a.weak and b.weak
    return narrow(result, dtype)


@operation
def clip(x: Any, min: Any = None, max: Any = None) -> Tensor:
    """``x`` held between ``min`` and ``max``, either of which may be None."""
    result = lift(x)
    if min is not None:
        result = _binary("maximum", result, min)
    if max is not None:
        result = _binary("minimum", result, max)
    return result


@operation
def isnan(x: Any) -> Tensor:
    """Whether each element is NaN."""
    x = lift(x)
    return _compare("ne", x, x)


@operation
def isfinite(x: Any) -> Tensor:
    """Whether each element is neither infinite nor NaN."""
    x = lift(x)
    if not x.dtype.is_float:
        return _compare("eq", x, x)
    return _compare("lt", _unary("abs", x), float("inf"))


@operation
def cast(x: Any, dtype: Any, *, saturate: bool = False) -> Tensor:
    """Convert to another dtype.

    Floats become integers by truncation, saturating; ``saturate`` keeps floats beyond fp8's range at its largest value.
    """
    dtype = dtypes.as_dtype(dtype)
    x = lift(x)
    # A new name for the value, even where nothing is to do: the user's dtype is kept from here on.
    result = (
        emit("cast", [x], x.shape, dtype, {"saturate": True} if saturate else {}) if x.dtype != dtype else _again(x)
    )
    result.weak, result.pinned = False, True
    return result


def _again(x: Traced) -> Traced:
    copy = Traced(x.value, x.shape, x.dtype, x.scope)
    copy.region, copy.offset_of = x.region, x.offset_of
    return copy


# -- functions -------------------------------------------------------------------------------------------------------


@operation
def neg(x: Any) -> Tensor:
    """``-x``."""
    _no_bool("neg", x, instead="use ~x, or cast to an integer dtype first")
    return _unary("neg", x, floats=False)


@operation
def abs(x: Any) -> Tensor:
    """The absolute value."""
    x = lift(x)
    return x if x.dtype.is_bool else _unary("abs", x, floats=False)


@operation
def sign(x: Any) -> Tensor:
    """-1, 0 or 1; NaN stays NaN."""
    _no_bool("sign", x, instead="cast to an integer dtype first")
    return _unary("sign", x, floats=False)


@operation
def floor(x: Any) -> Tensor:
    """Round down; integers stay as they are."""
    return _rounding("floor", x)


@operation
def ceil(x: Any) -> Tensor:
    """Round up; integers stay as they are."""
    return _rounding("ceil", x)


@operation
def round(x: Any) -> Tensor:
    """Round to the nearest integer, ties to even; integers stay as they are."""
    return _rounding("round", x)


def _rounding(name: str, x: Any) -> Traced:
    x = lift(x)
    return _unary(name, x) if x.dtype.is_float else x


@operation
def exp(x: Any) -> Tensor:
    """E to the power x."""
    return _unary("exp", x)


@operation
def exp2(x: Any) -> Tensor:
    """2 to the power x."""
    return _unary("exp2", x)


@operation
def expm1(x: Any) -> Tensor:
    """exp(x) - 1, without cancellation near 0."""
    return _unary("expm1", x)


@operation
def log(x: Any) -> Tensor:
    """The natural logarithm."""
    return _unary("log", x)


@operation
def log1p(x: Any) -> Tensor:
    """log(1 + x), without cancellation near 0."""
    return _unary("log1p", x)


@operation
def log2(x: Any) -> Tensor:
    """The logarithm to base 2."""
    return _unary("log2", x)


@operation
def sqrt(x: Any) -> Tensor:
    """The square root, correctly rounded."""
    return _unary("sqrt", x)


@operation
def rsqrt(x: Any) -> Tensor:
    """1 / sqrt(x)."""
    return _unary("rsqrt", x)


@operation
def tanh(x: Any) -> Tensor:
    """The hyperbolic tangent."""
    return _unary("tanh", x)


@operation
def erf(x: Any) -> Tensor:
    """The Gauss error function."""
    return _unary("erf", x)


@operation
def sin(x: Any) -> Tensor:
    """The sine."""
    return _unary("sin", x)


@operation
def cos(x: Any) -> Tensor:
    """The cosine."""
    return _unary("cos", x)


@operation
def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x))."""
    return _unary("sigmoid", x)


@operation
def square(x: Any) -> Tensor:
    """The square: x * x."""
    return mul(x, x)


@operation
def reciprocal(x: Any) -> Tensor:
    """1 / x."""
    return div(1.0, x)


pi = float(np.pi)
