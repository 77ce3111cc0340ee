# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The runtime: loads artifacts and calls their entries (C++, in ``runtime/``)."""

import os
from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex

import numpy
import numpy.typing
from typing_extensions import Buffer

class Entry:
    """One compiled function. Called with arrays by position, and out= for results in memory of yours."""

    def __call__(self, *arrays: Any, out: Any | None = None, stream: Any | None = None) -> Any:
        """Call it with arrays by position: on the GPU that they lie on, or on the CPU.

        Parameters
        ----------
        arrays
            NumPy arrays, torch tensors or others with DLPack; numbers for rank-0 inputs. Any strides; what is not
            row-major contiguous and aligned is copied first. All on one device, but for numbers.
        out
            One array, or a tuple or list of them, to write the results to. Contiguous, writable, of exactly the
            result's dtype and shape, and sharing no memory with an input that is not donated.
        stream
            On a GPU: the CUDA stream to run on, an integer or an object with ``__cuda_stream__``, ``cuda_stream`` or
            ``ptr``; it must outlive the results. By default the current stream of the arrays' framework.

        Returns
        -------
        array or tuple of arrays
            ``out`` if given; otherwise torch tensors if an argument was one, else ``tessera.Array`` if one was, else
            NumPy arrays. On a GPU, arrays of the arguments' framework; where there is none, ``DeviceArray``. The call
            does not wait for the GPU.

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
    def target(self) -> str | None:
        """The target whose code was picked: the CPU's, else that of a GPU, and before a call there ``None``."""

    def capture(self, *arrays: Any, out: Any = None) -> Graph:
        """Capture a call on a GPU in a CUDA graph. The graph keeps the arrays and the weights that there are now."""

    def observe(
        self,
        *arrays: Any,
        out: Any = None,
        stream: Any = None,
        on_kernel: Callable[[str, float], object] | None = None,
        on_value: Callable[[str, int, Any], object] | None = None,
    ) -> Any:
        """Call it, and tell who watches what happens.

        ``on_kernel(name, microseconds)`` is called for each kernel that ran on a GPU, when all is done;
        on a CPU, once for the whole call, unless the program is one for debugging. With such a program,
        ``on_value(target, index, array)`` gets a copy of each value that a kernel computes.
        """

    def workspace_size(self, dims: dict[str, int]) -> int:
        """Bytes of workspace that a call takes when the symbols have these sizes."""

    def mesh_traffic(self, collective: int) -> tuple[int, int, int]:
        """How often a collective has run in this process, and the bytes of the arrays given to it and got of it."""

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
        """Give a weight a value.

        The array is used in place and kept alive; calls in flight are waited for. GPUs get a
        copy when a call first needs one; an array on a GPU is used there in place, by calls on any stream.
        """

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

class Shortcut:
    """The base of a callable with a method ``_call`` for what is not the call of an entry.

    Such a call goes to the entry at once, without a frame of Python.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __init__(self) -> None: ...
    def shorten(self, entry: Entry) -> None:
        """Let calls of as many arrays as this entry takes, by position and perhaps with out= and stream=, go to it."""

class DeviceArray:
    """An array on a GPU, for frameworks to take over: ``from_dlpack``.

    Calls return it where no argument says which framework's arrays are wanted.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""

    def numpy(self) -> Any:
        """A copy in CPU memory, of what the array holds when the work on it so far is done."""

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """The array as a DLPack capsule; work on ``stream`` waits for what computes it."""

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's device type and number."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """CUDA Array Interface, version 3."""

class Graph:
    """A call captured in a CUDA graph."""

    def replay(self, stream: Any = None) -> None:
        """Run it again on the same arrays: on ``stream``, or the current one of the framework that they are from."""

    @property
    def outputs(self) -> Any:
        """What the call returned: a replay writes to it."""

def to_gpu(array: Any, device: int = 0) -> DeviceArray:
    """A copy of a contiguous array in a GPU's memory."""

def cuda_devices() -> list[tuple[str, str, int]]:
    """The GPUs of this machine: name, best target (``"sm_90a"``) and bytes of memory. Empty without a driver."""

def rank() -> int:
    """The rank of this process among those of its launcher."""

def world_size() -> int:
    """The number of ranks."""

def local_rank() -> int:
    """The rank of this process among those of its machine."""

def mesh_timeout() -> float:
    """Seconds that a rank waits for the others."""

def set_mesh_timeout(seconds: float) -> None:
    """Set how long a rank waits for the others, from the next wait on."""

class PageTable:
    """Which pages of a paged KV cache hold the tokens of which sequence.

    The cache's memory is the caller's: ``num_pages`` pages of ``page_size`` tokens each. The table gives them
    to ``max_batch`` slots, each for one sequence of at most ``max_pages`` pages. Calls take ``block_tables`` and
    ``seq_lens`` as inputs: change the table only when no call that was given them is in flight.

    Raises
    ------
    ShapeError
        If a size is not positive, or a slot's tokens or the table's entries are 2^31 or more.
    """

    def __init__(self, num_pages: int, page_size: int, max_batch: int, max_pages: int) -> None: ...
    @property
    def block_tables(self) -> numpy.typing.NDArray[numpy.int32]:
        """int32 [max_batch, max_pages]: each slot's page numbers, then -1. A read-only view that changes with it."""

    @property
    def seq_lens(self) -> numpy.typing.NDArray[numpy.int32]:
        """int32 [max_batch]: the tokens in each slot. A read-only view that changes with it."""

    @property
    def free_pages(self) -> int:
        """How many pages no slot has."""

    def extend(self, counts: Iterable[SupportsIndex]) -> None:
        """Grow each slot's sequence by its count of tokens, and take the pages that this needs.

        Pages freed last are taken first, then those never used, lowest first.

        Parameters
        ----------
        counts
            ``max_batch`` integers of 0 or more: a list, or an array of an integer dtype.

        Raises
        ------
        CapacityError
            If the pool has too few free pages, or a slot would outgrow ``max_pages``. Nothing is changed.
        ArgumentError
            If a count is negative or too large, or there is not one for each slot. Nothing is changed.
        """

    def truncate(self, slot: int, length: int) -> None:
        """Cut a slot's sequence to ``length`` tokens and give back the pages beyond.

        Raises
        ------
        ArgumentError
            If there is no such slot, or it has fewer tokens.
        """

    def free(self, slot: int) -> None:
        """Cut a slot's sequence to nothing and give back its pages.

        Raises
        ------
        ArgumentError
            If there is no such slot.
        """

def load(
    path: str | bytes | os.PathLike[str] | os.PathLike[bytes],
    *,
    verify_weights: bool = False,
    target: str | None = None,
) -> Program:
    """Open an artifact. Code digests are always verified, those of weights on request.

    With ``target``, only its code is used.
    """

def load_bytes(data: Buffer, *, verify_weights: bool = False, target: str | None = None) -> Program:
    """Open an artifact held in memory; the bytes are copied."""

def check_object(data: Buffer) -> None:
    """Raise ``ArtifactError`` if the loader would refuse this host object. Runs nothing."""

def host_features() -> list[str]:
    """CPU features that code may use on this machine, in LLVM's names."""

def native_target() -> str:
    """The best CPU target for this machine: ``"cpu:avx512"``, ``"cpu:avx2"`` or ``"cpu"``."""

def trim() -> None:
    """Give unused memory of the runtime's caches back to the system."""
