# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``nn.Parameter``: an array that compiled functions take as a weight, whatever its size."""

from __future__ import annotations

from typing import Any

import numpy as np

from tessera.array import Array, is_immutable, to_numpy
from tessera.frontend.mesh import ShardSpec
from tessera.weights import check_weight


class Parameter(Array):
    """A module's weight. Inside a trace it is an argument of the compiled function, never a constant in its code.

    Parameters
    ----------
    data, dtype
        As for ``Array``: all of the weight.
    sharding
        How the ranks of a mesh divide it. In a function on the mesh, each has its own part.
    """

    __slots__ = ("sharding", "version")

    def __init__(self, data: Any, dtype: Any = None, sharding: ShardSpec | None = None) -> None:
        super().__init__(data, dtype)
        self.sharding = sharding
        #: Counts replacements of the values, so that whoever copied them can tell.
        self.version = 0

    def load(self, value: Any, cast: bool = False) -> None:
        """Take the values of another array of this shape and dtype.

        They are copied, unless nobody can write to them: a mapped file is used in place.

        Parameters
        ----------
        value
            An array of any library.
        cast
            Whether a float of another dtype is converted.

        Raises
        ------
        ArgumentError
            If its shape or dtype differs.
        """
        array = to_numpy(value)
        check_weight("parameter", self.dtype, self.shape, array, cast=cast)
        flags, dtype = array.flags, self._data.dtype
        in_place = array.dtype == dtype and flags.c_contiguous and flags.aligned and is_immutable(array)
        self._data = array if in_place else np.array(array, dtype, order="C")
        self.version += 1

    def __repr__(self) -> str:
        return f"Parameter({super().__repr__()})"
