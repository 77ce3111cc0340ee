# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The Python blocks of the mission's API reference, run as they stand under one preamble of imports and inputs."""

from __future__ import annotations

import linecache
import re
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).with_name("api_reference_vol2.md")
PREAMBLE = """\
from typing import Optional

import numpy as np

import tessera
from tessera import DType, Tensor, fp8_e4m3
from tessera.nn import MultiLatentAttention, PagedKVCache

hidden_states = np.random.default_rng(0).standard_normal((1, 3, 4096), np.float32)
kv_cache = PagedKVCache(1, 64, 512 + 64)
"""


def block(containing: str) -> str:
    """The block of the reference that contains this text."""
    blocks = [
        text for text in re.findall(r"```python\n(.*?)```", REFERENCE.read_text(), re.DOTALL) if containing in text
    ]
    assert len(blocks) == 1, f"{len(blocks)} blocks contain {containing!r}"
    return str(blocks[0])


def names(containing: str) -> dict[str, Any]:
    """Run the preamble, then the block; return what they define. Error messages show the block's lines."""
    source = block(containing)
    namespace: dict[str, Any] = {"__name__": "mission"}
    exec(PREAMBLE, namespace)
    file = f"<{REFERENCE.name}: {containing}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), namespace)
    return namespace
