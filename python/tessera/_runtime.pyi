# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The runtime: loads artifacts and calls their entries (C++, in ``runtime/``)."""

import os
from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

class Entry:
    """One compiled function. Called with arrays by position, and out= for results in memory of yours."""

    def __call__(self, *arrays: Any, out: Any | None = None) -> Any:
        """Call it with arrays by position.

        Parameters
        ----------
        arrays
            NumPy arrays, torch tensors or others with DLPack; numbers for rank-0 inputs. Any strides; what is not
            row-major contiguous and aligned is copied first.
        out
            One array, or a tuple or list of them, to write the results to. Contiguous, writable, of exactly the
            result's dtype and shape, and sharing no memory with an input that is not donated.

        Returns
        -------
        array or tuple of arrays
            ``out`` if given; otherwise torch tensors if an argument was one, else ``tessera.Array`` if one was, else
            NumPy arrays.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            The arguments don't fit the signature; nothing has run and nothing is written.
        RuntimeFailure
            The compiled code failed.
        """

    @property
    def name(self) -> str:
        """Its name in the artifact."""

    @property
    def target(self) -> str:
        """The target whose code was picked for this machine."""

    def workspace_size(self, dims: dict[str, int]) -> int:
        """Bytes of workspace that a call takes when the symbols have these sizes."""

    def __repr__(self) -> str: ...

class Program:
    """An opened artifact. Opening runs no code of it."""

    @property
    def entries(self) -> list[str]:
        """Names of its entries."""

    @property
    def manifest(self) -> str:
        """The text of manifest.json."""

    def entry(self, name: str) -> Entry:
        """The entry of that name, its code loaded for this machine."""

    def set_weight(self, name: str, array: Any) -> None:
        """Give a weight a value. The array is used in place and kept alive; calls in flight are waited for."""

    def weights(self) -> dict[str, Any]:
        """The weights by name: arrays that were set, read-only views of the file, ``None`` where unset."""

class Dispatcher:
    """A callable that tries its entries, the latest used first, and then calls ``slow(*args, **kwargs)``.

    Add only entries that a call with plain positional arrays means: an entry compiled for other static values,
    or for arguments that don't come first, must not be here.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __init__(self, slow: Callable[..., Any]) -> None: ...
    def add(self, entry: Entry) -> None:
        """Try this entry first from now on."""

    def clear(self) -> None:
        """Forget all entries."""

    @property
    def entries(self) -> list[Entry]:
        """The entries, latest used first."""

def load(path: str | bytes | os.PathLike[str] | os.PathLike[bytes], *, verify_weights: bool = False) -> Program:
    """Open an artifact. Code digests are always verified, those of weights on request."""

def load_bytes(data: Buffer, *, verify_weights: bool = False) -> Program:
    """Open an artifact held in memory; the bytes are copied."""

def check_object(data: Buffer) -> None:
    """Raise ``ArtifactError`` if the loader would refuse this host object. Runs nothing."""

def host_features() -> list[str]:
    """CPU features that code may use on this machine, in LLVM's names."""

def native_target() -> str:
    """The best CPU target for this machine: ``"cpu:avx512"``, ``"cpu:avx2"`` or ``"cpu"``."""

def trim() -> None:
    """Give unused memory of the runtime's caches back to the system."""
