# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# mypy: disable-error-code="name-defined,type-arg,valid-type"
"""Caches of keys and values in pages.

Kwon et al.: Efficient memory management for large language model serving with PagedAttention, 2023.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from tessera import _runtime, ops
from tessera.dtypes import as_dtype, bf16, int32
from tessera.errors import CapacityError
from tessera.frontend.annotations import donated
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import active_scope, format_shape, lift


@dataclasses.dataclass
class PagedCache:
    """What a compiled function sees of a ``PagedKVCache``: an argument, which it updates in place and returns.

    Attributes
    ----------
    pools
        For each layer ``[pages, page_size, width]``, donated.
    block_tables
        int32 ``[B, N]``: the pages of each sequence in order, then -1.
    seq_lens, new_lens
        int32 ``[B]``: the tokens of each sequence, those of this call included, and how many are of this call.
    """

    pools: list[Annotated[Tensor["pages", "page_size", "?"], donated]]
    block_tables: Tensor["?", "?", int32]
    seq_lens: Tensor["?", int32]
    new_lens: Tensor["?", int32]

    def positions(self, count: Any) -> Tensor:
        """Positions ``[B, count]`` in their sequences of the tokens of this call."""
        first: Tensor = self.seq_lens - self.new_lens
        return ops.unsqueeze(first, 1) + ops.arange(count).cast(int32)

    def append(self, values: Any, layer: int = 0) -> "PagedCache":
        """The cache with the tokens of this call written to one layer.

        Parameters
        ----------
        values
            ``[B, S, ...]``, whose last dimensions have ``width`` elements; cast to the pool's dtype. Of sequence ``b``
            the first ``new_lens[b]`` are written.
        layer
            Which pool.
        """
        pool, tokens = self.pools[layer], lift(values)
        count = tokens.shape[1]
        rows = self._rows(count)
        flat = ops.reshape(tokens, (tokens.shape[0], count, -1))
        active_scope().require_equal(flat.shape[2], pool.shape[2], "PagedCache.append: elements of a token")
        slots = ops.reshape(pool, (pool.shape[0] * pool.shape[1], pool.shape[2]))
        written = ops.reshape(ops.scatter(slots, rows, flat), pool.shape)
        pools = [written if number == layer else other for number, other in enumerate(self.pools)]
        return dataclasses.replace(self, pools=pools)

    def pages(self, *shape: int, layer: int = 0) -> Tensor:
        """A layer's pages as ``[pages, page_size, *shape]``."""
        pool = self.pools[layer]
        return ops.reshape(pool, (*pool.shape[:2], *shape))

    def _rows(self, count: Any) -> Tensor:
        """Where the tokens of this call go in a pool of rows, -1 for padding."""
        page_size = self.pools[0].shape[1]
        active_scope().require_equal(self.block_tables.shape[0], self.seq_lens.shape[0], "PagedCache: sequences")
        active_scope().require_equal(self.block_tables.shape[0], self.new_lens.shape[0], "PagedCache: sequences")
        is_new: Tensor = ops.less(ops.arange(count).cast(int32), ops.unsqueeze(self.new_lens, 1))
        position: Tensor = ops.where(is_new, self.positions(count), 0)
        page: Tensor = ops.gather(self.block_tables, position // page_size, 1)
        return ops.where(is_new & (page >= 0), page * page_size + position % page_size, -1)


class PagedKVCache:
    """Keys and values (or what they are made of) of several growing sequences, in pages of a pool.

    A slot holds one sequence. Its pages are taken as it grows, and given back by ``truncate`` and ``free``, for any
    slot to use again. The tables are the runtime's; compiled functions read them as inputs (``PagedCache``).

    Parameters
    ----------
    max_batch
        How many slots there are: the batch size of calls.
    max_seq_len
        How many tokens one slot may hold.
    width
        Elements of one token in one layer.
    page_size
        Tokens of a page.
    dtype
        What the pool is stored in.
    layers
        How many pools there are, all addressed by one table.
    num_pages
        Pages of each pool; enough for all slots to be full if None.

    Raises
    ------
    ShapeError
        If a size is not positive, or too large.
    """

    def __init__(
        self,
        max_batch: int,
        max_seq_len: int,
        width: int,
        page_size: int = 64,
        dtype: Any = bf16,
        layers: int = 1,
        num_pages: int | None = None,
    ) -> None:
        self.max_seq_len, self.dtype = max_seq_len, as_dtype(dtype)
        per_slot = -(-max_seq_len // page_size)
        pages = max_batch * per_slot if num_pages is None else num_pages
        self._table = _runtime.PageTable(pages, page_size, max_batch, per_slot)
        self._new_lens = np.zeros(max_batch, np.int32)
        #: For each layer ``[num_pages, page_size, width]``.
        self.pools = [np.zeros((pages, page_size, width), self.dtype.numpy) for _ in range(layers)]

    @property
    def block_tables(self) -> np.ndarray[Any, Any]:
        """int32 ``[max_batch, pages of a slot]``: each slot's page numbers, then -1. A view that changes with them."""
        return self._table.block_tables

    @property
    def seq_lens(self) -> np.ndarray[Any, Any]:
        """int32 ``[max_batch]``: the tokens in each slot. A view that changes with them."""
        return self._table.seq_lens

    @property
    def free_pages(self) -> int:
        """How many pages no slot has."""
        return self._table.free_pages

    @property
    def bytes_per_token(self) -> int:
        """Bytes that one token takes in all layers."""
        return sum(pool.shape[2] * pool.itemsize for pool in self.pools)

    def extend(self, counts: int | Sequence[int]) -> PagedCache:
        """Make room for new tokens, and return the argument for the call that writes them.

        Parameters
        ----------
        counts
            New tokens of each slot, 0 for slots that take no part; or one number for all.

        Raises
        ------
        CapacityError
            If a slot would outgrow ``max_seq_len``, or the pool has too few free pages. Nothing is changed.
        ArgumentError
            If a count is negative, or there is not one for each slot.
        """
        slots = len(self.seq_lens)
        new = [counts] * slots if isinstance(counts, (int, np.integer)) else [int(count) for count in counts]
        for slot, (length, count) in enumerate(zip(self.seq_lens, new, strict=False)):
            if length + count > self.max_seq_len:
                raise CapacityError(
                    f"[TSR2033] PagedKVCache: slot {slot}: expected at most {self.max_seq_len} tokens (max_seq_len), "
                    f"got {length} and {count} new ones"
                )
        self._table.extend(new)
        self._new_lens[:] = new
        return PagedCache(list(self.pools), self.block_tables, self.seq_lens, self._new_lens)  # type: ignore[arg-type]

    def truncate(self, slot: int, length: int) -> None:
        """Cut a slot's sequence to ``length`` tokens and give back the pages beyond."""
        self._table.truncate(slot, length)

    def free(self, slot: int) -> None:
        """Forget a slot's sequence and give back its pages."""
        self._table.free(slot)

    def __repr__(self) -> str:
        pages, page_size, width = self.pools[0].shape
        return (
            f"PagedKVCache({len(self.seq_lens)} slots, {len(self.pools)} layers of {self.dtype.name}"
            f"{format_shape((pages, page_size, width))}, {self.free_pages} pages free)"
        )
