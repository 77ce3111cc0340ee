# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Numerics and speed of GPU targets beside PyTorch.

``python -m bench.gpu build DIR`` compiles every case, on a machine without a GPU; ``python -m bench.gpu run DIR --out
FILE.json`` checks and times them, on one with a GPU and the runtime alone.

``build DIR --target cpu`` and ``run DIR --device cpu`` check the cases themselves, on the CPU target.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="compile the cases")
    build.add_argument("folder", type=Path, help="where the artifacts go")
    build.add_argument("--target", action="append", help="a GPU target; may be repeated (sm_90a)")
    build.add_argument("--jobs", type=int, default=2, help="processes that compile (2)")
    run = commands.add_parser("run", help="check and time what was built")
    run.add_argument("folder", type=Path, help="where the artifacts are")
    run.add_argument("--out", type=Path, help="write the results there, as JSON")
    run.add_argument("--only", choices=["checks", "races", "calls"], help="one part of it")
    run.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu checks the cases themselves")
    run.add_argument("--seed", type=int, default=0, help="of the random inputs (0)")
    for command in (build, run):
        command.add_argument("--select", default="", help="only programs whose name contains this")
    options = parser.parse_args()
    if options.command == "build":
        from .build import build_programs

        return build_programs(options.folder, options.target or ["sm_90a"], options.select, options.jobs)
    from .run import run_programs

    only = "checks" if options.device == "cpu" else options.only
    return run_programs(options.folder, options.out, only, options.select, options.device, options.seed)


if __name__ == "__main__":
    sys.exit(main())
