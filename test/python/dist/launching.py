# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Start ranks, and hear from each what was wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

MPIEXEC = Path(sys.prefix) / "bin" / "mpiexec"
HERE = Path(__file__).resolve().parent


def environment() -> dict[str, str]:
    """What ranks inherit: this process's modules, one thread each, and a deadline."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), *filter(None, sys.path)]),
        "TESSERA_MESH_TIMEOUT": "120",
    }


def run_ranks(case: str, folder: Path) -> None:
    """Run a case of ``compiled_ranks.py`` on 16 ranks."""
    command = [MPIEXEC, "-n", "16", sys.executable, HERE / "compiled_ranks.py", case, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment())
    wrong = {
        rank: json.loads(file.read_text()) if (file := folder / f"{case}.{rank}.json").exists() else "no report"
        for rank in range(16)
    }
    assert not any(wrong.values()) and done.returncode == 0, f"{wrong}\n{done.stdout}{done.stderr}"
