# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights in the safetensors format: written in pieces, read by mapping the file.

The safetensors package reads into copies, and knows neither bf16 nor fp8 in NumPy; what is here does without it.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from tessera.dtypes import DType, find_dtype
from tessera.errors import ArtifactError

ALIGNMENT = 256

#: Turns a file's name for a tensor into ours; None leaves the tensor out.
Rename = Callable[[str], "str | None"]
Path = str | os.PathLike[str]

# NumPy's (and ml_dtypes') names to safetensors' names.
_SAFETENSORS_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "bool": "BOOL",
}
_NUMPY_DTYPES = {
    **{theirs: np.dtype(getattr(ml_dtypes, ours, ours)) for ours, theirs in _SAFETENSORS_NAMES.items()},
    # No dtypes of ours, but what holds them may be told so.
    **{f"U{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "C64": np.dtype(np.complex64),
}
_MAX_RANK = 64  # NumPy's, and the runtime's


class WeightsFile:
    """Weights in the safetensors format, widest elements first, with the data on 256 bytes.

    Weights may take most of a machine's memory, so that the file is never put together: iterating gives its bytes in
    pieces, as often as asked, and what is copied to make a piece (a weight that is not contiguous) goes with it.

    Parameters
    ----------
    weights
        Arrays by name.

    Raises
    ------
    ArtifactError
        When the format has no such dtype.
    """

    def __init__(self, weights: Mapping[str, np.ndarray[Any, Any]]) -> None:
        ordered = sorted(weights.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
        header: dict[str, Any] = {}
        offset = 0
        for name, array in ordered:
            dtype = _SAFETENSORS_NAMES.get(array.dtype.name)
            if dtype is None:
                expected = ", ".join(_SAFETENSORS_NAMES)
                raise ArtifactError(
                    f"[TSR4005] weight '{name}': expected a dtype of {expected}, got {array.dtype.name}"
                )
            end = offset + array.nbytes
            header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, end]}
            offset = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-(8 + len(text)) % ALIGNMENT)
        self._header = struct.pack("<Q", len(text)) + text
        self._arrays = [array for _, array in ordered]
        self._size = len(self._header) + offset

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield self._header
        for array in self._arrays:
            # As bytes: narrow floats are no buffers of their own.
            yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def read_weights(paths: Iterable[Path], rename: Rename | None = None) -> dict[str, np.ndarray[Any, Any]]:
    """Map the tensors of safetensors files.

    Nothing is read but the headers: the system loads what is used, and may drop it again. A file must not be rewritten
    in place while its tensors are in use; to replace it by another file is safe.

    Parameters
    ----------
    paths
        The files, which have different tensors.
    rename
        Gives a tensor the name that it has in the result, or None to leave it out.

    Returns
    -------
    dict
        Read-only arrays by name, of any dtype that NumPy or ml_dtypes has. One that does not lie on a multiple of its
        element's size is a copy.

    Raises
    ------
    ArtifactError
        If a file is damaged or truncated, or holds a dtype that NumPy and ml_dtypes lack.
    ArgumentError
        If two tensors get one name.
    OSError
        If a file cannot be opened.
    """
    weights: dict[str, np.ndarray[Any, Any]] = {}
    origins: dict[str, str] = {}
    for path in paths:
        file = _MappedFile(path)
        for theirs in file.entries:
            name = theirs if rename is None else rename(theirs)
            if name is None:
                continue
            origin = f"'{theirs}' in {os.fspath(path)}"
            if name in weights:
                raise _mismatch(f"weights: '{name}': expected one tensor, got {origins[name]} and {origin}")
            weights[name], origins[name] = file.tensor(theirs), origin
    return weights


class _MappedFile:
    """A safetensors file: 8 bytes with the header's length, the header (JSON), the data that its offsets count from."""

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < 8:  # mmap refuses files without bytes
                raise self._damaged(f"expected 8 bytes or more, got {size}")
            self._bytes = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        (length,) = struct.unpack_from("<Q", self._bytes.data)
        self._start = 8 + length
        if self._start > self._bytes.size:
            raise self._damaged(f"expected a header of {length} bytes, got {self._bytes.size - 8}")
        try:
            self.entries = json.loads(self._bytes[8 : self._start].tobytes())
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise self._damaged(f"the header is no JSON: {error}") from None
        if not isinstance(self.entries, dict):
            raise self._damaged(f"the header: expected an object, got {type(self.entries).__name__}")
        self.entries.pop("__metadata__", None)

    def tensor(self, name: str) -> np.ndarray[Any, Any]:
        entry = self.entries[name]
        try:
            code, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            numbers = [*shape, begin, end]
            is_sound = len(shape) <= _MAX_RANK and all(type(number) is int and number >= 0 for number in numbers)
        except (KeyError, TypeError, ValueError):
            is_sound = False
        if not is_sound:
            raise self._damaged(f"'{name}': expected dtype, shape and data_offsets, got {entry!r:.100}")
        dtype = _NUMPY_DTYPES.get(str(code))
        if dtype is None:
            raise self._damaged(f"'{name}': expected a dtype of {', '.join(_NUMPY_DTYPES)}, got {code}")
        size, data = math.prod(shape) * dtype.itemsize, self._bytes[self._start :]
        if end - begin != size:
            raise self._damaged(f"'{name}': expected {size} bytes for {code}{shape}, got {end - begin}")
        if end > data.size:
            raise self._damaged(f"'{name}': expected data up to byte {end}, got {data.size} bytes")
        try:
            array: np.ndarray[Any, Any] = data[begin:end].view(dtype).reshape(shape)
        except (OverflowError, ValueError) as error:  # sizes that no array can have, beside one of 0
            raise self._damaged(f"'{name}': {code}{shape}: {error}") from None
        return array if array.flags.aligned else array.copy()

    def _damaged(self, what: str) -> ArtifactError:
        return ArtifactError(f"[TSR4007] {self._path}: {what}")


def check_weights(
    expected: Mapping[str, tuple[DType, tuple[Any, ...]]],
    given: Mapping[str, np.ndarray[Any, Any]],
    source: str,
    *,
    strict: bool,
    cast: bool,
) -> list[str]:
    """Check that arrays can be taken for weights, and name those that can.

    Parameters
    ----------
    expected
        Dtype and shape by name; a size that is no int may be any.
    given
        Arrays by name.
    source
        Where they come from, for messages.
    strict
        Whether the names have to be the same.
    cast
        Whether a float may have another float dtype.

    Raises
    ------
    ArgumentError
        If they can't.
    """
    missing, unexpected = sorted(expected.keys() - given.keys()), sorted(given.keys() - expected.keys())
    if strict and (missing or unexpected):
        raise _mismatch(
            f"{source}: expected {len(expected)} tensors, got {len(given)}; "
            f"missing: {_listed(missing)}; unexpected: {_listed(unexpected)}",
            help="pass strict=False to load what fits",
        )
    common = [name for name in expected if name in given]
    for name in common:
        check_weight(f"{source}: '{name}'", *expected[name], given[name], cast=cast)
    return common


def check_weight(what: str, dtype: DType, shape: tuple[Any, ...], array: np.ndarray[Any, Any], *, cast: bool) -> None:
    """Check that an array can be taken for one weight; see `check_weights`."""
    own = find_dtype(array.dtype)
    convertible = own is not None and own.is_float and dtype.is_float
    fits = len(shape) == array.ndim and all(
        size == theirs or not isinstance(size, int) for size, theirs in zip(shape, array.shape, strict=True)
    )
    if not fits or not (own == dtype or (cast and convertible)):
        raise _mismatch(
            f"{what}: expected {dtype.name}{list(shape)}, got {own.name if own else array.dtype}{list(array.shape)}",
            help="pass cast=True to convert floats" if fits and convertible else "",
        )


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:8]) or "none"
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def _mismatch(message: str, help: str = "") -> Exception:
    from tessera.frontend.source import diagnostic

    return diagnostic("TSR1506", message, help=help)
