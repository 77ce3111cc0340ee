# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The ``tessera`` command.

Exit codes
----------
====  ==================================================================================
0     done
1     the run failed, or its result is not the expected one
2     wrong usage: an unknown option, target or entry, a file that is not there
3     the function cannot be compiled
4     the artifact is damaged, altered, or not for this machine
====  ==================================================================================
"""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from tessera.cli.app import app

    app()
