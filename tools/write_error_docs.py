# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Write docs/errors.md from the tables of the frontend, the driver and the runtime."""

from pathlib import Path

from tessera.errors import render_docs

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    (ROOT / "docs" / "errors.md").write_text(render_docs((ROOT / "runtime" / "errors.def").read_text()))
