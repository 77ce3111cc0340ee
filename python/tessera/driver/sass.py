# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The machine code of a cubin as text, by NVIDIA's disassembler."""

from __future__ import annotations

import shutil
import subprocess
import tempfile

from tessera.driver.toolkit import toolkit_folders
from tessera.errors import ToolError


def disassemble(cubin: bytes) -> str:
    """Return the SASS of a cubin.

    Raises
    ------
    ToolError
        When ``nvdisasm`` is not found, or refuses the cubin.
    """
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        result = subprocess.run([_nvdisasm(), "-c", file.name], capture_output=True, text=True, errors="replace")
    if result.returncode != 0:
        raise ToolError(f"[TSR4008] nvdisasm refused the cubin: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout


def _nvdisasm() -> str:
    places = [*(str(folder / "bin") for folder in toolkit_folders()), None]  # None: PATH
    found = next(filter(None, (shutil.which("nvdisasm", path=place) for place in places)), None)
    if found is None:
        raise ToolError(
            "[TSR4008] showing SASS needs nvdisasm: expected it in the wheel nvidia-cuda-nvdisasm, in $CUDA_HOME/bin "
            "or on PATH, got none; install it with: pip install nvidia-cuda-nvdisasm"
        )
    return found
