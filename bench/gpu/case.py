# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the lists of cases are made of."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tessera
import torch
from tessera import Tensor, dtypes

FLOATS = [dtype.name for dtype in dtypes.ALL if dtype.is_float]
INTEGERS = [dtype.name for dtype in dtypes.ALL if dtype.is_int]
EVERY = [dtype.name for dtype in dtypes.ALL]
MATRICES = ["f64", "f32", "f16", "bf16"]

TORCH_DTYPES = {
    "f64": torch.float64,
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8_e4m3": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "bool": torch.bool,
}


@dataclass(frozen=True)
class Input:
    """One argument: uniform random numbers, made on the device that computes.

    Integers include both ends of the range. ``values`` gives all elements instead, in order.
    """

    shape: tuple[int, ...]
    dtype: str = "f32"
    low: float = -1.0
    high: float = 1.0
    values: Sequence[int] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * TORCH_DTYPES[self.dtype].itemsize

    def make(self, generator: torch.Generator) -> torch.Tensor:
        """The array, on the generator's device."""
        device = generator.device
        if self.values is not None:
            return torch.tensor(self.values, dtype=TORCH_DTYPES[self.dtype], device=device).reshape(self.shape)
        if self.dtype == "bool":
            return torch.rand(self.shape, device=device, generator=generator) > 0.5
        if self.dtype.startswith("int"):
            low, high = int(self.low), int(self.high) + 1
            return torch.randint(low, high, self.shape, device=device, generator=generator).to(TORCH_DTYPES[self.dtype])
        wide = torch.float64 if self.dtype == "f64" else torch.float32
        uniform = torch.rand(self.shape, dtype=wide, device=device, generator=generator)
        return (uniform * (self.high - self.low) + self.low).to(TORCH_DTYPES[self.dtype])


@dataclass(frozen=True)
class Program:
    """What one artifact is compiled from.

    Attributes
    ----------
    name
        The artifact's, and the row's in a table.
    function
        A ``tessera.function``.
    options
        Arguments of ``tessera.compile``: ``dtype``, ``dtypes``, ``dims``, ``static``, ``args``.
    """

    name: str
    function: Any
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """A program on inputs of some shapes, against a reference.

    Attributes
    ----------
    program, inputs
        What runs.
    reference
        Computes the result, or a tuple of several, from the inputs as f64 (integers as int64, bool as it is); None for
        the CPU target of the same artifact.
    terms, operations
        How many numbers each element adds up, and how many elementwise steps lead to it: see `accuracy.tolerance`.
    scale
        The size of the numbers that were added, where they cancel: a number, or a function of the same inputs.
    """

    program: Program
    inputs: tuple[Input, ...]
    reference: Callable[..., Any] | None
    terms: int = 1
    operations: int = 1
    scale: float | Callable[..., torch.Tensor] | None = None


@dataclass(frozen=True)
class Race:
    """A program against other implementations of the same, and a copy of as many bytes.

    Attributes
    ----------
    check
        What runs, and how it is checked before it is timed.
    peers
        Other implementations by name; ``inductor`` is compiled by ``torch.compile`` first.
    moved
        Bytes that must be read and written.
    wanted
        What is to be reached: the part of the copy's speed, and how many times the best peer's.
    """

    check: Check
    peers: Mapping[str, Callable[..., torch.Tensor]]
    moved: int
    wanted: tuple[float, float | None]

    @property
    def title(self) -> str:
        """The row's name: the program and the shape of its first input."""
        return f"{self.check.program.name} {'x'.join(map(str, self.check.inputs[0].shape))}"


def function(body: Callable[..., Any], *ranks: int) -> Any:
    """A function of tensors of these ranks and any sizes."""

    def wrapper(*args: Any) -> Any:
        return body(*args)

    kind = inspect.Parameter.POSITIONAL_ONLY
    annotations = (Tensor[("?",) * rank] for rank in ranks)
    parameters = [inspect.Parameter(f"a{i}", kind, annotation=a) for i, a in enumerate(annotations)]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return tessera.function(wrapper)


def program(name: str, body: Callable[..., Any], *tensors: tuple[int, str]) -> Program:
    """A program of tensors of these ranks and dtypes and any sizes."""
    ranks = [rank for rank, _ in tensors]
    kinds = {f"a{i}": dtypes.as_dtype(dtype) for i, (_, dtype) in enumerate(tensors)}
    return Program(name, function(body, *ranks), {"dtypes": kinds})
