# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is checked: every operation at every dtype it takes, and sizes that schedules tell apart."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Check
from . import elementwise, networks, reductions, tensors


def make_checks() -> Iterator[Check]:
    """Every check."""
    for part in (
        elementwise.elementwise,
        elementwise.casts,
        reductions.reductions,
        reductions.rows,
        reductions.long_rows,
        tensors.movement,
        tensors.orders,
        tensors.products,
        networks.networks,
        networks.attention,
        networks.control,
    ):
        yield from part()
