# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The machines that Tessera compiles for, by name.

A target is always explicit; the machine that builds is looked at only when ``"native"`` is asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from tessera.errors import TargetError

X86_TRIPLE = "x86_64-linux-gnu"


@dataclass(frozen=True)
class Target:
    """One machine kind.

    Attributes
    ----------
    name
        The canonical name, as the manifest records it: ``"cpu:avx512"``.
    triple
        The folder of host objects in an artifact: ``"x86_64-linux-gnu"``.
    llvm_triple, cpu, llvm_features
        What LLVM's code generator is told.
    vector_bits
        The width that the passes vectorise for.
    features
        The CPU features that the runtime checks before it uses an object for this target.
    """

    name: str
    triple: str
    llvm_triple: str
    cpu: str
    llvm_features: str
    vector_bits: int
    features: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """The name as a file name: ``cpu-avx512``."""
        return self.name.replace(":", "-")

    @property
    def object_member(self) -> str:
        """Where an artifact keeps this target's host object."""
        return f"host/{self.triple}/{self.file_name}.o"


# All that LLVM may use for x86-64-v3 and -v4.
_AVX2 = ("popcnt", "sse4.2", "avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe")
_AVX512 = (*_AVX2, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")


def _x86(name: str, cpu: str, llvm_features: str, vector_bits: int, features: tuple[str, ...]) -> Target:
    return Target(name, X86_TRIPLE, "x86_64-unknown-linux-gnu", cpu, llvm_features, vector_bits, features)


# -prefer-256-bit: the server tuning behind x86-64-v4 would split or avoid the 512-bit vectors that the passes chose.
_CPU_TARGETS = {
    target.name: target
    for target in (
        _x86("cpu", "x86-64-v3", "", 256, _AVX2),
        _x86("cpu:avx512", "x86-64-v4", "-prefer-256-bit", 512, _AVX512),
        _x86(
            "cpu:avx512-bf16",
            "x86-64-v4",
            "-prefer-256-bit,+avx512bf16,+avx512vnni",
            512,
            (*_AVX512, "avx512vnni", "avx512bf16"),
        ),
    )
}
_ALIASES = {"cpu:avx2": "cpu"}
_GPU_NAMES = (
    *("sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_90a"),
    *("sm_100", "sm_100a", "sm_103", "sm_103a", "sm_120", "sm_120a"),
)


def known_targets() -> list[str]:
    """Names that ``compile(targets=...)`` understands today."""
    return [*_CPU_TARGETS, *_ALIASES, "native"]


def parse_target(name: str) -> Target:
    """Return the target of this name.

    Raises
    ------
    TargetError
        When the name is unknown, or known and not built yet.
    """
    if name == "native":
        return _native_target()
    target = _CPU_TARGETS.get(_ALIASES.get(name, name))
    if target is not None:
        return target
    if name in _GPU_NAMES:
        raise TargetError(
            f"[TSR4003] target '{name}': GPU targets are not built yet: expected one of {', '.join(known_targets())}"
        )
    nearest = difflib.get_close_matches(name.lower(), [*known_targets(), *_GPU_NAMES], n=1, cutoff=0.4)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    raise TargetError(f"[TSR4003] unknown target '{name}': expected one of {', '.join(known_targets())}{hint}")


def _native_target() -> Target:
    """The last target, in the order of their features, that this processor runs."""
    from tessera import _runtime

    host = set(_runtime.host_features())
    runnable = [target for target in _CPU_TARGETS.values() if host.issuperset(target.features)]
    return runnable[-1] if runnable else _CPU_TARGETS["cpu"]


def parse_targets(names: str | Iterable[str]) -> tuple[Target, ...]:
    """Return the targets of these names, without repeats, in the order given."""
    if isinstance(names, str):
        names = (names,)
    targets = tuple(dict.fromkeys(parse_target(name) for name in names))
    if not targets:
        raise TargetError(f"[TSR4003] no target: expected one of {', '.join(known_targets())}, got none")
    return targets


def stage_pipeline(stage: str, target: Target) -> str:
    """Return the pipeline of one stage, as ``tessera-opt --pass-pipeline`` takes it; empty for stages that have none.

    What these named pipelines consist of is written in C++ alone.
    """
    if stage not in ("linalg", "kernels", "rt", "llvm"):
        return ""
    options = ""
    if stage == "llvm":
        has_bf16_dot = str("avx512bf16" in target.features).lower()
        options = f"{{vector-bits={target.vector_bits} bf16-dot={has_bf16_dot}}}"
    return f"builtin.module(tessera-stage-{stage}{options})"
