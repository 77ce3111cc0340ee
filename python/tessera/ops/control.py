# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Control flow that depends on values: branches and loops over tensors."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tessera import dtypes, tree
from tessera.frontend.dims import Size, SizeLike
from tessera.frontend.source import diagnostic
from tessera.frontend.traced import (
    Shape,
    Traced,
    active_scope,
    cast,
    emit_many,
    emit_sized,
    format_shape,
    lift,
)
from tessera.ops._dispatch import operation
from tessera.ops.elementwise import as_mask

_regions = itertools.count(-1, -1)
TensorType = tuple[Shape, dtypes.DType]


@contextlib.contextmanager
def _region(arguments: Sequence[TensorType]) -> Iterator[tuple[Any, list[Traced]]]:
    """A block under construction, and its arguments; tensors made in it are dead outside."""
    scope = active_scope()
    with scope.builder.block(arguments) as block:
        scope.regions.append(next(_regions))
        try:
            pairs = zip(block.arguments, arguments, strict=True)
            yield block, [Traced(value, *argument, scope) for value, argument in pairs]
        finally:
            scope.regions.pop()


def _flatten(value: Any, where: str) -> tuple[list[Traced], Any]:
    leaves, structure = tree.flatten(value)
    if not leaves:
        raise diagnostic("TSR1005", f"{where}: expected tensors, got {value!r}", help="return the new values")
    return [lift(leaf) for _, leaf in leaves], structure


def _type(tensor: Traced) -> TensorType:
    return tensor.shape, tensor.dtype


def _fit(tensors: list[Traced], types: Sequence[TensorType], where: str) -> list[Traced]:
    """The values in exactly these types, or an error that says which differs."""
    scope = active_scope()
    fitted = []
    for position, (tensor, (shape, dtype)) in enumerate(zip(tensors, types, strict=True)):
        label = f"{where}: value {position}"
        if tensor.dtype != dtype and not tensor.weak:
            raise diagnostic(
                "TSR1305", f"{label}: expected {dtype.name}, got {tensor.dtype.name}", help="cast it with x.cast(...)"
            )
        if len(shape) != tensor.ndim:
            raise diagnostic(
                "TSR1505", f"{label}: expected shape {format_shape(shape)}, got {format_shape(tensor.shape)}"
            )
        for dim, (wanted, size) in enumerate(zip(shape, tensor.shape, strict=True)):
            known = scope.proven_equal(wanted, size)
            if known is False:
                raise diagnostic(
                    "TSR1505", f"{label}: expected shape {format_shape(shape)}, got {format_shape(tensor.shape)}"
                )
            if known is None:
                scope.require_equal(wanted, size, f"{label}: dimension {dim}")
        tensor = cast(tensor, dtype)
        if [isinstance(s, int) for s in shape] != [isinstance(s, int) for s in tensor.shape]:
            tensor = emit_sized("reshape", [tensor], shape, dtype)
        fitted.append(tensor)
    return fitted


def _same_tree(expected: Any, got: Any, where: str) -> None:
    if expected != got:
        raise diagnostic("TSR1505", f"{where}: expected values of one structure, got different ones")


@operation
def cond(pred: Any, then: Callable[..., Any], otherwise: Callable[..., Any], *operands: Any) -> Any:
    """``then(*operands)`` if ``pred`` holds, else ``otherwise(*operands)``.

    Parameters
    ----------
    pred
        A tensor of one element, or a Python bool, which decides while tracing.
    then, otherwise
        Functions of tensors without side effects, that return trees of equal structure, shapes and dtypes. They may use
        tensors from outside.
    operands
        What both functions are called with.
    """
    if isinstance(pred, (bool, np.bool_)):
        return (then if pred else otherwise)(*operands)
    mask = as_mask(pred)
    if mask.ndim:
        raise diagnostic(
            "TSR1107",
            f"cond: expected a predicate of rank 0, got shape {format_shape(mask.shape)}",
            help="reduce it with tessera.any or tessera.all, or choose by element with tessera.where",
        )
    scope = active_scope()
    with _region([]) as (then_block, _):
        first, structure = _flatten(then(*operands), "cond: first branch")
        first = [x if not x.weak else cast(x, x.dtype) for x in first]
        scope.builder.yield_([x.value for x in first])
    with _region([]) as (else_block, _):
        second, other = _flatten(otherwise(*operands), "cond: second branch")
        _same_tree(structure, other, "cond: branches")
        second = _fit(second, [_type(x) for x in first], "cond: second branch")
        scope.builder.yield_([x.value for x in second])
    sizes = [size for x in first for size in x.shape if isinstance(size, Size)]
    results = emit_many("cond", [mask], [_type(x) for x in first], indices=sizes, blocks=[then_block, else_block])
    for result, one, two in zip(results, first, second, strict=True):
        result.weak, result.pinned = one.weak and two.weak, one.pinned or two.pinned
    return tree.unflatten(structure, results)


@operation
def while_loop(condition: Callable[[Any], Any], body: Callable[[Any], Any], init: Any) -> Any:
    """Repeat ``value = body(value)`` while ``condition(value)`` holds; returns the last value.

    Parameters
    ----------
    condition, body
        Functions of one value, a tree of tensors like ``init``. The body keeps its structure, shapes and dtypes.
    init
        The first value.
    """
    inits, structure = _flatten(init, "while_loop: initial value")
    types = [_type(x) for x in inits]
    scope = active_scope()
    with _region(types) as (condition_block, arguments):
        holds = as_mask(condition(tree.unflatten(structure, arguments)))
        if holds.ndim:
            raise diagnostic(
                "TSR1107", f"while_loop: expected a condition of rank 0, got shape {format_shape(holds.shape)}"
            )
        scope.builder.yield_([holds.value])
    with _region(types) as (body_block, arguments):
        outputs, other = _flatten(body(tree.unflatten(structure, arguments)), "while_loop: body")
        _same_tree(structure, other, "while_loop: initial value and body")
        scope.builder.yield_([x.value for x in _fit(outputs, types, "while_loop: body")])
    results = emit_many("while_loop", inits, types, blocks=[condition_block, body_block])
    for result in results:
        result.weak = False
    return tree.unflatten(structure, results)


@operation
def scan(
    body: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: SizeLike | None = None
) -> tuple[Any, Any]:
    """Repeat ``carry, y = body(carry, x)`` over the slices of ``xs`` along dimension 0.

    Parameters
    ----------
    body
        A function of the carried value and one slice that returns the next carried value and ``y``, which may be None.
    init
        The first carried value: a tree of tensors.
    xs
        A tree of tensors of one leading size, or None to only count.
    length
        The number of steps, needed if ``xs`` is None.

    Returns
    -------
    carry, ys
        The last carried value, and every ``y`` stacked along a new dimension 0.
    """
    carries, carry_tree = _flatten(init, "scan: initial value")
    xs_leaves, xs_tree = tree.flatten(xs)
    slices = [lift(leaf) for _, leaf in xs_leaves]
    scope = active_scope()
    for x in slices:
        if x.ndim == 0:
            raise diagnostic("TSR1107", "scan: expected xs of rank 1 or more, got rank 0")
        length = x.shape[0] if length is None else scope.require_equal(x.shape[0], length, "scan: leading size of xs")
    if length is None:
        raise diagnostic("TSR1504", "scan: expected xs or a length, got neither", help="give length=n")
    types = [_type(x) for x in carries]
    with _region([*types, *((x.shape[1:], x.dtype) for x in slices)]) as (block, arguments):
        carry = tree.unflatten(carry_tree, arguments[: len(carries)])
        step = body(carry, tree.unflatten(xs_tree, arguments[len(carries) :]))
        if not isinstance(step, tuple) or len(step) != 2:
            raise diagnostic(
                "TSR1005", "scan: expected the body to return (carry, y), got something else", help="y may be None"
            )
        next_carries, other = _flatten(step[0], "scan: carried value")
        _same_tree(carry_tree, other, "scan: initial and carried value")
        y_leaves, y_tree = tree.flatten(step[1])
        ys = [lift(leaf) for _, leaf in y_leaves]
        next_carries = _fit(next_carries, types, "scan: carried value")
        scope.builder.yield_([x.value for x in (*next_carries, *ys)])
    results = [*types, *(((length, *y.shape), y.dtype) for y in ys)]
    sizes = [size for y in ys for size in y.shape if isinstance(size, Size)]
    inputs = [*carries, *slices]
    values = emit_many(
        "scan",
        inputs,
        results,
        {"num_carry": len(carries)},
        indices=[length, *sizes],
        segments=[len(inputs), 1, len(sizes)],
        blocks=[block],
    )
    for value in values:
        value.weak = False
    return tree.unflatten(carry_tree, values[: len(carries)]), tree.unflatten(y_tree, values[len(carries) :])
