# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How much memory weights take beside their own: one copy for an artifact in memory, none to save it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tessera
from tessera import Tensor

# Of the two, only the transposed table has to be copied before it is written.
ROWS = 4 << 20
TABLE, TRANSPOSED = np.zeros((ROWS, 2), np.float32), np.zeros((2, ROWS // 4), np.float32).T
BYTES = TABLE.nbytes + TRANSPOSED.nbytes


@tessera.function
def look_up(ids: Tensor["B", tessera.int64]) -> Tensor["B", 2]:
    return tessera.take(TABLE, ids, dim=0) + tessera.take(TRANSPOSED, ids, dim=0)


def peak(work: Callable[[], object]) -> float:
    """The most memory that work takes at a time, in sizes of the weights."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / BYTES
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def artifact() -> tessera.Artifact:
    return tessera.compile(look_up)


def test_compile_makes_one_copy(artifact: tessera.Artifact) -> None:
    # The artifact itself, whose buffer grows by an eighth more than it needs, and one weight made contiguous.
    assert peak(lambda: tessera.compile(look_up)) < 1 + 1 / 8 + TRANSPOSED.nbytes / BYTES + 0.05


def test_save_makes_none(artifact: tessera.Artifact, tmp_path: Path) -> None:
    assert peak(lambda: artifact.save(tmp_path / "a.tsr")) < 0.1
    loaded = tessera.load(tmp_path / "a.tsr")
    assert peak(lambda: loaded.save(tmp_path / "b.tsr")) < 0.1
    assert (tmp_path / "b.tsr").read_bytes() == (tmp_path / "a.tsr").read_bytes() == artifact.to_bytes()
    assert peak(lambda: tessera.load(tmp_path / "a.tsr")) < 0.1
