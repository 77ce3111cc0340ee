# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The stages of a compile, each named for the form that the program has after it."""

from __future__ import annotations

CPU_STAGES = ("tessera", "linalg", "kernels", "rt", "llvm", "llvmir", "obj")
GPU_STAGES = ("tessera", "linalg", "kernels", "rt", "gpu", "nvvm", "ptx", "sass", "llvmir", "obj")
"""The kernels become PTX and then a cubin (``sass``); the host program that launches them becomes an object."""

STAGES = (*GPU_STAGES[:-2], *CPU_STAGES[-3:])
"""Every stage of any target, in order."""

TEXT_STAGES = tuple(stage for stage in STAGES if stage not in ("sass", "obj"))
"""Stages whose result is text that an artifact can keep; SASS is read out of the cubin."""


def stages_of(target: str) -> tuple[str, ...]:
    """Return the stages of the target of this name."""
    return GPU_STAGES if target.startswith("sm_") else CPU_STAGES


def stage_file(stage: str) -> str:
    """Return the name of a file that holds the text of a stage."""
    return f"{stage}.{({'llvmir': 'll', 'ptx': 'ptx'}).get(stage, 'mlir')}"


def input_file(stage: str) -> str:
    """Return the name of a file that holds what a stage begins with."""
    return f"before-{stage}.{({'obj': 'll', 'sass': 'ptx'}).get(stage, 'mlir')}"
