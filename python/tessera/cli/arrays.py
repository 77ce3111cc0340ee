# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Arrays for the command line: ``.npy`` files with every dtype, random inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from tessera.errors import ArgumentError

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

_NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "f64": np.dtype(np.float64),
    "f32": np.dtype(np.float32),
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "fp8_e4m3": np.dtype(ml_dtypes.float8_e4m3fn),
    "fp8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "int8": np.dtype(np.int8),
    "int16": np.dtype(np.int16),
    "int32": np.dtype(np.int32),
    "int64": np.dtype(np.int64),
    "bool": np.dtype(np.bool_),
}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return NumPy's dtype of a manifest's dtype name."""
    return _NUMPY_DTYPES[name]


def read_array(path: Path, dtype: str) -> Array:
    """Read a ``.npy`` file that is to have a dtype.

    NumPy writes ml_dtypes' arrays as raw bytes of their width; these are read back as what the manifest says.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ArgumentError(f"[TSR4006] {path}: expected a .npy file, got something else ({error})") from None
    if not isinstance(array, np.ndarray):
        raise ArgumentError(f"[TSR4006] {path}: expected a .npy file with one array, got an archive of several")
    wanted = numpy_dtype(dtype)
    if array.dtype.kind == "V" and array.dtype.itemsize == wanted.itemsize:
        array = array.view(wanted)
    return array


def random_array(dtype: str, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Return an input for timing: normal floats; zeros for integers, which may be indices of anything."""
    target = numpy_dtype(dtype)
    if dtype.startswith(("int", "bool")):
        return np.zeros(shape, target)
    return generator.standard_normal(shape, np.float32).astype(target)


def evaluate(size: Any, sizes: Mapping[str, int]) -> int:
    """Compute a manifest's size expression."""
    if isinstance(size, int):
        return size
    if isinstance(size, str):
        return sizes[size]
    left, right = (evaluate(operand, sizes) for operand in size[1:])
    operations = {
        "+": lambda: left + right,
        "-": lambda: left - right,
        "*": lambda: left * right,
        "//": lambda: left // right,
        "%": lambda: left % right,
        "max": lambda: max(left, right),
        "min": lambda: min(left, right),
    }
    return operations[size[0]]()
