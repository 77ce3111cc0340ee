# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the kernels of a call compute, where a program was compiled to show it, and where two targets part."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tessera import _runtime
from tessera.comparison import Array, compare, tolerance
from tessera.errors import ArgumentError

if TYPE_CHECKING:
    from tessera.entry import EntryPoint


@dataclass(frozen=True)
class KernelValue:
    """A result of a kernel in a call.

    Attributes
    ----------
    kernel
        The kernel's name.
    source
        The lines that it computes, ``file.py:12``, the one of its result first.
    dtype
        The name of the element type; booleans are ``int8``.
    array
        The values.
    """

    kernel: str
    source: tuple[str, ...]
    dtype: str
    array: Array

    def __str__(self) -> str:
        return f"kernel '{self.kernel}' ({', '.join(self.source)}), {self.dtype}{list(self.array.shape)}"


@dataclass(frozen=True)
class ValueComparison:
    """What two targets compute for one call.

    Attributes
    ----------
    target, against
        The targets.
    compared
        How many values were compared, until the first that differs.
    unmatched
        How many of the target's were not, as the other has them in kernels of other shape.
    difference
        The first value that differs, as the target has it; None where none does.
    text
        How far it is off.
    """

    target: str
    against: str
    compared: int
    unmatched: int
    difference: KernelValue | None
    text: str

    def __str__(self) -> str:
        where = f"{self.target} against {self.against}: "
        if self.difference is not None:
            return f"{where}value {self.compared} is the first that differs: {self.difference}: {self.text}"
        rest = f", and {self.unmatched} have no counterpart" if self.unmatched else ""
        return f"{where}{self.compared} values agree{rest}"


def shown_values(name: str, manifest: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """What an entry's code for each target shows.

    Raises
    ------
    ArgumentError
        When the artifact was not compiled for debugging.
    """
    shown = {variant["target"]: variant["values"] for variant in manifest["variants"] if "values" in variant}
    if not shown:
        raise ArgumentError(f"[TSR4010] {name} does not show what its kernels compute: compile it with debug=True")
    return shown


def value_reader(
    name: str, manifest: Mapping[str, Any], on_value: Callable[[KernelValue], object] | None
) -> Callable[[str, int, Array], object] | None:
    """Return what the runtime calls with each value, for a function of `KernelValue`."""
    if on_value is None:
        return None
    shown = shown_values(name, manifest)

    def read(target: str, index: int, array: Array) -> None:
        value = shown[target][index]
        on_value(KernelValue(value["kernel"], tuple(value["source"]), value["dtype"], array))

    return read


class _Stop(Exception):
    """Ends a call whose rest nobody wants."""


def compare_values(
    entry: EntryPoint,
    reference: EntryPoint,
    targets: tuple[str, str],
    arrays: Sequence[Any],
    rtol: float | None,
    atol: float | None,
) -> ValueComparison:
    """Compare what an entry's code for two targets computes from flat arguments; see `Artifact.compare_values`."""
    counts = [Counter(map(_place, shown_values(entry.name, entry.manifest)[target])) for target in targets]
    common = {place for place, count in counts[0].items() if counts[1][place] == count}
    expected: defaultdict[Any, deque[Array]] = defaultdict(deque)
    reference.flat_observer(on_value=lambda value: expected[_place_of(value)].append(value.array))(
        *place_arrays(reference, targets[1], arrays)
    )
    compared = unmatched = 0
    difference, text = None, ""

    def check(value: KernelValue) -> None:
        nonlocal compared, unmatched, difference, text
        place = _place_of(value)
        if place not in common or not expected[place]:
            unmatched += 1
            return
        compared += 1
        same, text = _compare(value, expected[place].popleft(), rtol, atol)
        if not same:
            difference = value
            raise _Stop

    with contextlib.suppress(_Stop):
        entry.flat_observer(on_value=check)(*place_arrays(entry, targets[0], arrays))
    return ValueComparison(*targets, compared, unmatched, difference, text)


def _compare(value: KernelValue, want: Array, rtol: float | None, atol: float | None) -> tuple[bool, str]:
    """Compare, by default with a tolerance that grows with the largest element, as the errors of sums do."""
    usual = tolerance(value.dtype)
    if atol is None:
        wide = np.abs(want.astype(np.float64))
        atol = usual * float(np.max(wide, initial=0.0, where=np.isfinite(wide)))
    return compare(value.array, want, usual if rtol is None else rtol, atol)


def _place(value: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where a value stands in the user's program, whatever kernel computes it."""
    return tuple(value["source"][:1]), value["dtype"], value["rank"]


def _place_of(value: KernelValue) -> tuple[Any, ...]:
    return value.source[:1], value.dtype, value.array.ndim


def place_arrays(entry: EntryPoint, target: str | None, arrays: Sequence[Any]) -> list[Any]:
    """Copies of host arrays where code for a target takes them; numbers as they are."""
    copies = [array if isinstance(array, (bool, int, float)) else np.array(array) for array in arrays]
    if target not in entry.modules:
        return copies
    return [array if np.ndim(array) == 0 else _runtime.to_gpu(array) for array in copies]
