# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The ``tessera-opt`` command: becomes the binary that the package holds."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Replace this process with ``tessera-opt``."""
    binary = Path(__file__).resolve().parents[1] / "bin" / "tessera-opt"
    if not binary.is_file():
        sys.exit(f"tessera-opt: expected the binary at {binary}: this installation has the runtime only")
    os.execv(binary, [str(binary), *sys.argv[1:]])
