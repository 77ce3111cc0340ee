# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Write the stubs of the extension modules again, where these are built: nanobind's, as ruff formats them."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STUBS = {
    "tessera._runtime": ROOT / "python" / "tessera" / "_runtime.pyi",
    "tessera._mlir._mlir_libs._tessera": ROOT / "python" / "extension" / "_mlir_libs" / "_tessera.pyi",
}
LICENSE = """\
# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""


def render(module: str) -> str:
    """The stub of an extension module."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "stub.pyi"
        _run("nanobind.stubgen", "-q", "-m", module, "-p", str(ROOT / "tools" / "stubs.nb"), "-o", str(made))
        text = LICENSE + made.read_text()
    name = str(STUBS[module])
    text = _run("ruff", "check", "--quiet", "--fix-only", "--stdin-filename", name, "-", text=text)
    return _run("ruff", "format", "--stdin-filename", name, "-", text=text)


def _run(tool: str, *arguments: str, text: str | None = None) -> str:
    command = (sys.executable, "-m", tool, *arguments)
    return subprocess.run(command, cwd=ROOT, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    for module, path in STUBS.items():
        path.write_text(render(module))
