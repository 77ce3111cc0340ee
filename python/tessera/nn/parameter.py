# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``nn.Parameter``: an array that compiled functions take as a weight, whatever its size."""

from __future__ import annotations

from typing import Any

import numpy as np

from tessera.array import Array, to_numpy
from tessera.frontend.source import diagnostic


class Parameter(Array):
    """A module's weight. Inside a trace it is an argument of the compiled function, never a constant in its code."""

    __slots__ = ("version",)

    def __init__(self, data: Any, dtype: Any = None) -> None:
        super().__init__(data, dtype)
        #: Counts replacements of the values, so that whoever copied them can tell.
        self.version = 0

    def load(self, value: Any) -> None:
        """Take the values of another array of this shape and dtype.

        Raises
        ------
        ArgumentError
            If its shape or dtype differs.
        """
        array = to_numpy(value)
        if array.shape != self.shape or array.dtype != self._data.dtype:
            raise diagnostic(
                "TSR1506",
                f"parameter: expected {self.dtype.name}{list(self.shape)}, got {array.dtype}{list(array.shape)}",
            )
        self._data = np.array(array)
        self.version += 1

    def __repr__(self) -> str:
        return f"Parameter({super().__repr__()})"
