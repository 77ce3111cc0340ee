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
from tessera.stages import stages_of

X86_TRIPLE = "x86_64-linux-gnu"


@dataclass(frozen=True)
class Target:
    """One machine kind: what every target has, a processor that runs the host program.

    Attributes
    ----------
    name
        The canonical name, as the manifest records it: ``"cpu:avx512"``, ``"sm_90a"``.
    triple
        The folder of host objects in an artifact: ``"x86_64-linux-gnu"``.
    llvm_triple, cpu, llvm_features
        What LLVM's code generator is told.
    features
        The CPU features that the runtime checks before it uses an object for this target.
    """

    name: str
    triple: str
    llvm_triple: str
    cpu: str
    llvm_features: str
    features: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """The name as a file name: ``cpu-avx512``."""
        return self.name.replace(":", "-")

    @property
    def object_member(self) -> str:
        """Where an artifact keeps this target's host object."""
        return f"host/{self.triple}/{self.file_name}.o"

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of a compile for this target, in order."""
        return stages_of(self.name)

    def pipeline(self, stage: str, *, debug: bool = False) -> str:
        """Return the pipeline of one stage, as ``tessera-opt --pass-pipeline`` takes it; empty where it has none.

        What these named pipelines consist of is written in C++ alone.
        """
        if stage not in ("linalg", "kernels", "rt", "llvm", "gpu", "nvvm"):
            return ""
        options = self._stage_options(stage)
        if debug and stage in ("kernels", "rt"):
            options.append("debug=true")
        told = f"{{{' '.join(options)}}}" if options else ""
        return f"builtin.module(tessera-stage-{stage}{told})"

    def _stage_options(self, stage: str) -> list[str]:
        """What a stage is told of the target."""
        raise NotImplementedError


@dataclass(frozen=True)
class CpuTarget(Target):
    """A CPU.

    Attributes
    ----------
    vector_bits
        The width that the passes vectorise for.
    """

    vector_bits: int

    def _stage_options(self, stage: str) -> list[str]:
        if stage != "llvm":
            return []
        has_bf16_dot = str("avx512bf16" in self.features).lower()
        return [f"vector-bits={self.vector_bits}", f"bf16-dot={has_bf16_dot}"]


@dataclass(frozen=True)
class GpuTarget(Target):
    """An NVIDIA GPU's architecture. The host program is for any x86-64.

    Attributes
    ----------
    capability
        The compute capability: ``(9, 0)``.
    ptx_features
        The version of PTX that kernels are written in, as LLVM's NVPTX backend is told.
    """

    capability: tuple[int, int]
    ptx_features: str

    @property
    def is_portable(self) -> bool:
        """Whether the code runs on later architectures too: cubins of the same major version, PTX of any.

        Code for a name with an ``a`` uses instructions that one architecture alone has.
        """
        return not self.name.endswith("a")

    @property
    def description(self) -> str:
        """What it runs on, for people."""
        major, minor = self.capability
        return f"NVIDIA GPUs of compute capability {major}.{minor} {'and later' if self.is_portable else 'alone'}"

    @property
    def ptx_folder(self) -> str:
        """Where an artifact keeps this architecture's PTX."""
        return f"cuda/{self.name.replace('sm', 'compute')}"

    def _stage_options(self, stage: str) -> list[str]:
        options = {"kernels": ["device=gpu"], "gpu": [f"chip={self.name}", f"features={self.ptx_features}"]}
        return options.get(stage, [])


# All that LLVM may use for x86-64-v3 and -v4.
_AVX2 = ("popcnt", "sse4.2", "avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe")
_AVX512 = (*_AVX2, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
_LLVM_TRIPLE = "x86_64-unknown-linux-gnu"


def _x86(name: str, cpu: str, llvm_features: str, vector_bits: int, features: tuple[str, ...]) -> CpuTarget:
    return CpuTarget(name, X86_TRIPLE, _LLVM_TRIPLE, cpu, llvm_features, features, vector_bits)


def _nvidia(name: str, ptx: int) -> GpuTarget:
    number = name.removeprefix("sm_").removesuffix("a")
    capability = int(number[:-1]), int(number[-1])
    return GpuTarget(name, X86_TRIPLE, _LLVM_TRIPLE, "x86-64", "", (), capability, f"+ptx{ptx}")


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

# PTX 8.0 is what every driver that has cuLibraryLoadData reads; 8.1 has the fp8 conversions of sm_89, and the later
# ones are the first that know the architecture.
_GPU_TARGETS = {
    target.name: target
    for target in (
        _nvidia("sm_80", 80),
        _nvidia("sm_86", 80),
        _nvidia("sm_87", 80),
        _nvidia("sm_89", 81),
        _nvidia("sm_90", 81),
        _nvidia("sm_90a", 81),
        _nvidia("sm_100", 86),
        _nvidia("sm_100a", 86),
        _nvidia("sm_103", 88),
        _nvidia("sm_103a", 88),
        _nvidia("sm_120", 87),
        _nvidia("sm_120a", 87),
    )
}


def known_targets() -> dict[str, str]:
    """Return the names that ``compile(targets=...)`` understands, each with what it means."""
    cpus = {name: f"x86-64 with {', '.join(target.features)}" for name, target in _CPU_TARGETS.items()}
    aliases = {name: f"the same as {target}" for name, target in _ALIASES.items()}
    gpus = {name: target.description for name, target in _GPU_TARGETS.items()}
    return {**cpus, **aliases, "native": "the best of these for this machine's processor", **gpus}


def parse_target(name: str) -> Target:
    """Return the target of this name.

    Raises
    ------
    TargetError
        When the name is unknown.
    """
    if name == "native":
        return _native_target()
    target = _CPU_TARGETS.get(_ALIASES.get(name, name)) or _GPU_TARGETS.get(name)
    if target is not None:
        return target
    nearest = difflib.get_close_matches(name.lower(), known_targets(), n=1, cutoff=0.4)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    raise TargetError(f"[TSR4003] unknown target '{name}': expected one of {', '.join(known_targets())}{hint}")


def gpu_target(architecture: str) -> GpuTarget:
    """Return the target whose code is best on a GPU.

    Parameters
    ----------
    architecture
        The most specific name of what the GPU is, as ``_runtime.cuda_devices()`` gives it: ``"sm_90a"``.

    Raises
    ------
    TargetError
        When the GPU is older than every target.
    """
    found = _GPU_TARGETS.get(architecture)
    if found is not None:
        return found
    capability = _nvidia(architecture, 0).capability
    older = [target for target in _GPU_TARGETS.values() if target.is_portable and target.capability <= capability]
    if not older:
        raise TargetError(f"[TSR4003] this GPU is too old: expected architecture sm_80 or newer, got {architecture}")
    return max(older, key=lambda target: target.capability)


def _native_target() -> CpuTarget:
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
