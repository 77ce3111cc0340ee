# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The page allocator of paged KV caches: against a model, and what it refuses word by word."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from handmade import rt, tensor, value
from hypothesis import given
from hypothesis import strategies as st
from programs import M, N, library, load


class Model:
    """What the table should say: lists of pages, and a stack of free ones."""

    def __init__(self, pages: int, page_size: int, batch: int, max_pages: int) -> None:
        self.page_size, self.max_pages = page_size, max_pages
        self.free = list(reversed(range(pages)))
        self.lengths = [0] * batch
        self.owned: list[list[int]] = [[] for _ in range(batch)]

    def extend(self, counts: list[int]) -> bool:
        wanted = [-(-(length + count) // self.page_size) for length, count in zip(self.lengths, counts, strict=True)]
        missing = sum(wanted) - sum(map(len, self.owned))
        if max(wanted) > self.max_pages or missing > len(self.free):
            return False
        for slot, pages in enumerate(wanted):
            while len(self.owned[slot]) < pages:
                self.owned[slot].append(self.free.pop())
            self.lengths[slot] += counts[slot]
        return True

    def truncate(self, slot: int, length: int) -> bool:
        if length > self.lengths[slot]:
            return False
        while len(self.owned[slot]) * self.page_size >= length + self.page_size:
            self.free.append(self.owned[slot].pop())
        self.lengths[slot] = length
        return True

    def tables(self) -> list[list[int]]:
        return [pages + [-1] * (self.max_pages - len(pages)) for pages in self.owned]


@st.composite
def runs(draw: st.DrawFn) -> tuple[tuple[int, int, int, int], list[tuple[str, list[int]]]]:
    """A table's sizes, and what is done to it."""
    sizes = draw(st.tuples(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(1, 5)))
    slot = st.integers(0, sizes[2] - 1)
    count = st.one_of(st.integers(0, 3), st.integers(0, 30))
    step = st.one_of(
        st.tuples(st.just("extend"), st.lists(count, min_size=sizes[2], max_size=sizes[2])),
        st.tuples(st.just("truncate"), st.tuples(slot, st.integers(0, 25)).map(list)),
        st.tuples(st.just("free"), slot.map(lambda value: [value])),
    )
    return sizes, draw(st.lists(step, max_size=40))


@given(runs())
def test_against_a_model(run: tuple[tuple[int, int, int, int], list[tuple[str, list[int]]]]) -> None:
    sizes, steps = run
    table, model = rt.PageTable(*sizes), Model(*sizes)
    tables, lengths = table.block_tables, table.seq_lens
    for name, arguments in steps:
        if name == "extend":
            took = attempt(lambda counts=arguments: table.extend(counts))
            assert took == model.extend(arguments)
        elif name == "truncate":
            took = attempt(lambda cut=arguments: table.truncate(*cut))
            assert took == model.truncate(*arguments)
        else:
            table.free(*arguments)
            assert model.truncate(arguments[0], 0)
        assert tables.tolist() == model.tables()
        assert lengths.tolist() == model.lengths
        assert table.free_pages == len(model.free)
        owned = tables[tables >= 0]
        assert len(set(owned.tolist())) == owned.size == sizes[0] - table.free_pages


def attempt(action: Callable[[], None]) -> bool:
    try:
        action()
    except Exception as error:
        assert str(error).startswith(("[TSR2032]", "[TSR2033]", "[TSR2035]"))
        return False
    return True


REFUSED: dict[str, tuple[str, Callable[[], object], str]] = {
    "num_pages": (
        "ShapeError",
        lambda: rt.PageTable(0, 4, 2, 3),
        "[TSR2031] page table: num_pages: expected 1 or more, got 0",
    ),
    "page_size": (
        "ShapeError",
        lambda: rt.PageTable(8, -4, 2, 3),
        "[TSR2031] page table: page_size: expected 1 or more, got -4",
    ),
    "tokens of a slot": (
        "ShapeError",
        lambda: rt.PageTable(8, 1 << 16, 2, 1 << 15),
        "[TSR2031] page table: max_pages * page_size: expected less than 2^31, got 2147483648",
    ),
    "entries": (
        "ShapeError",
        lambda: rt.PageTable(8, 1, 2**31 - 1, 2**31 - 1),
        "[TSR2031] page table: max_batch * max_pages: expected less than 2^31, got 4611686014132420609",
    ),
    "pool": (
        "CapacityError",
        lambda: used().extend([4, 7]),
        "[TSR2032] page table: the pool is full: expected 2 free pages, got 1 of 4",
    ),
    "slot full": (
        "CapacityError",
        lambda: used().extend([0, 12]),
        "[TSR2033] page table: slot 1 is full: expected at most 12 tokens (3 pages of 4), got 1 and 12 more",
    ),
    "length that overflows": (
        "CapacityError",
        lambda: used().extend([2**31 - 1, 2**31 - 1]),
        "[TSR2033] page table: slot 0 is full: expected at most 12 tokens (3 pages of 4), got 5 and 2147483647 more",
    ),
    "slot": (
        "ArgumentError",
        lambda: used().free(2),
        "[TSR2034] page table: slot: expected 0 to 1, got 2",
    ),
    "negative slot": (
        "ArgumentError",
        lambda: used().truncate(-1, 0),
        "[TSR2034] page table: slot: expected 0 to 1, got -1",
    ),
    "counts": (
        "ArgumentError",
        lambda: used().extend([1]),
        "[TSR2034] page table: expected 2 counts, one for each slot, got 1",
    ),
    "negative count": (
        "ArgumentError",
        lambda: used().extend([1, -1]),
        "[TSR2035] page table: slot 1: expected to grow by 0 tokens or more, got -1",
    ),
    "huge count": (
        "ArgumentError",
        lambda: used().extend([0, 2**64 + 1]),
        "[TSR2035] page table: slot 1: expected to grow by less than 2^31 tokens, got 18446744073709551617",
    ),
    "length": (
        "ArgumentError",
        lambda: used().truncate(0, 6),
        "[TSR2035] page table: slot 0: expected a length of 0 to 5, got 6",
    ),
    "negative length": (
        "ArgumentError",
        lambda: used().truncate(0, -1),
        "[TSR2035] page table: slot 0: expected a length of 0 to 5, got -1",
    ),
}


def used() -> rt.PageTable:
    """Four pages of four tokens, of which three are taken."""
    table = rt.PageTable(4, 4, 2, 3)
    table.extend([5, 1])
    return table


@pytest.mark.parametrize("kind, action, message", REFUSED.values(), ids=REFUSED)
def test_message(kind: str, action: Callable[[], object], message: str) -> None:
    with pytest.raises(Exception) as caught:
        action()
    assert str(caught.value) == message
    errors = pytest.importorskip("tessera.errors", reason="the package is not built, only the runtime")
    assert type(caught.value) is getattr(errors, kind)


def test_a_refused_step_changes_nothing() -> None:
    table = used()
    before = table.block_tables.copy(), table.seq_lens.copy(), table.free_pages
    for counts in ([4, 7], [3, 12], [3, -1], [3]):
        with pytest.raises(Exception, match=r"\[TSR203[2345]\]"):
            table.extend(counts)
    for slot, length in ((0, 6), (2, 0)):
        with pytest.raises(Exception, match=r"\[TSR203[45]\]"):
            table.truncate(slot, length)
    np.testing.assert_array_equal(table.block_tables, before[0])
    np.testing.assert_array_equal(table.seq_lens, before[1])
    assert table.free_pages == before[2]
    table.extend([3, 7])  # what fits exactly is taken
    assert table.free_pages == 0


def test_counts_of_any_integers() -> None:
    for counts in ([2, 3], (2, 3), np.array([2, 3], np.int32), np.array([2, 3]), np.arange(8)[2:6:1][:2]):
        table = rt.PageTable(4, 4, 2, 2)
        table.extend(counts)
        assert table.seq_lens.tolist() == [2, 3]
    for wrong in ([2.0, 3.0], np.ones((2, 2), np.int32), 5):
        with pytest.raises(TypeError):
            rt.PageTable(4, 4, 2, 2).extend(wrong)


def test_the_arrays_are_views_that_outlive_the_name() -> None:
    table = used()
    tables, lengths = table.block_tables, table.seq_lens
    assert (tables.dtype, tables.shape, lengths.dtype, lengths.shape) == (np.int32, (2, 3), np.int32, (2,))
    assert table.block_tables.ctypes.data == tables.ctypes.data and not tables.flags.writeable
    table.extend([0, 4])
    assert lengths.tolist() == [5, 5]
    del table
    gc.collect()
    assert tables.tolist() == [[0, 1, -1], [2, 3, -1]]


def test_a_call_takes_the_arrays() -> None:
    body = """
      const int32_t *tables = b[0], *lengths = b[1];
      for (int64_t i = 0; i < s[0]; ++i) ((int32_t *)b[2])[i] = tables[i * s[1] + (lengths[i] - 1) / 4];
    """
    inputs = [tensor("tables", "int32", "N", "M"), tensor("lengths", "int32", "N")]
    entry, table = load("last_page", body, inputs, [value("int32", "N")], [N, M]), used()
    assert entry(table.block_tables, table.seq_lens).tolist() == [1, 2]
    table.free(0)
    table.extend([1, 4])
    # The page freed last is taken first.
    assert entry(table.block_tables, table.seq_lens).tolist() == [0, 1]


def test_threads_share_a_table() -> None:
    table = rt.PageTable(64, 1, 8, 8)

    def grow(slot: int) -> None:
        for _ in range(200):
            table.extend([slot == other for other in range(8)])
            table.truncate(slot, 0 if table.seq_lens[slot] == 8 else int(table.seq_lens[slot]))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(grow, range(8)))
    owned = table.block_tables[table.block_tables >= 0]
    assert owned.size == len(set(owned.tolist())) == table.seq_lens.sum() == 64 - table.free_pages


def test_through_the_c_abi() -> None:
    lib, table = ctypes.CDLL(str(library())), ctypes.c_void_p()
    lib.tsr_last_error.restype = ctypes.c_char_p
    for accessor in (lib.tsr_page_table_block_tables, lib.tsr_page_table_seq_lens):
        accessor.restype = ctypes.POINTER(ctypes.c_int32)
    counts = ctypes.c_int32 * 2
    assert lib.tsr_page_table_create(4, 4, 2, 3, ctypes.byref(table)) == 0
    tables, lengths = lib.tsr_page_table_block_tables(table), lib.tsr_page_table_seq_lens(table)
    assert lib.tsr_page_table_extend(table, counts(5, 1)) == 0
    assert lib.tsr_page_table_extend(table, counts(4, 7)) == 2032
    assert lib.tsr_last_error() == b"[TSR2032] page table: the pool is full: expected 2 free pages, got 1 of 4"
    assert lib.tsr_page_table_extend(table, counts(8, 0)) == 2033
    assert lib.tsr_page_table_free(table, 2) == 2034
    assert lib.tsr_page_table_truncate(table, 0, 6) == 2035
    assert lib.tsr_page_table_truncate(table, 0, 4) == 0
    assert (tables[:6], lengths[:2], lib.tsr_page_table_free_pages(table)) == ([0, -1, -1, 2, -1, -1], [4, 1], 2)
    assert lib.tsr_page_table_create(4, 4, 0, 3, ctypes.byref(ctypes.c_void_p())) == 2031
    assert lib.tsr_page_table_create(4, 4, 2, 3, None) == 2025
    assert lib.tsr_page_table_extend(table, None) == lib.tsr_page_table_extend(None, counts(0, 0)) == 2025
    assert lib.tsr_page_table_truncate(None, 0, 0) == lib.tsr_page_table_free(None, 0) == 2025
    assert not lib.tsr_page_table_block_tables(None) and not lib.tsr_page_table_seq_lens(None)
    assert lib.tsr_page_table_free_pages(None) == 0
    lib.tsr_page_table_destroy(table)
    lib.tsr_page_table_destroy(None)
