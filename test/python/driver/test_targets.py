# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Target names."""

from __future__ import annotations

import pytest
from tessera.driver.targets import CpuTarget, GpuTarget, gpu_target, known_targets, parse_target, parse_targets
from tessera.errors import TargetError


def cpu(name: str) -> CpuTarget:
    target = parse_target(name)
    assert isinstance(target, CpuTarget)
    return target


def gpu(name: str) -> GpuTarget:
    target = parse_target(name)
    assert isinstance(target, GpuTarget)
    return target


def test_cpu_targets() -> None:
    assert cpu("cpu").vector_bits == 256
    assert cpu("cpu:avx512").vector_bits == 512
    assert cpu("cpu:avx2") is cpu("cpu")
    assert cpu("native") in [cpu(name) for name in known_targets() if name.startswith("cpu")]
    assert cpu("cpu:avx512").object_member == "host/x86_64-linux-gnu/cpu-avx512.o"
    assert cpu("cpu").stages == ("tessera", "linalg", "kernels", "rt", "llvm", "llvmir", "obj")
    assert cpu("cpu").pipeline("llvm") == "builtin.module(tessera-stage-llvm{vector-bits=256 bf16-dot=false})"


@pytest.mark.parametrize(
    ("name", "capability", "is_portable", "ptx_folder"),
    [
        ("sm_80", (8, 0), True, "cuda/compute_80"),
        ("sm_89", (8, 9), True, "cuda/compute_89"),
        ("sm_90", (9, 0), True, "cuda/compute_90"),
        ("sm_90a", (9, 0), False, "cuda/compute_90a"),
        ("sm_103", (10, 3), True, "cuda/compute_103"),
        ("sm_120a", (12, 0), False, "cuda/compute_120a"),
    ],
)
def test_gpu_targets(name: str, capability: tuple[int, int], is_portable: bool, ptx_folder: str) -> None:
    target = gpu(name)
    assert (target.capability, target.is_portable, target.ptx_folder) == (capability, is_portable, ptx_folder)
    assert (target.cpu, target.features) == ("x86-64", ())
    assert target.object_member == f"host/x86_64-linux-gnu/{name}.o"
    assert target.pipeline("gpu").startswith(f"builtin.module(tessera-stage-gpu{{chip={name} features=+ptx")
    assert target.pipeline("nvvm") == "builtin.module(tessera-stage-nvvm)"
    assert target.pipeline("linalg") == "builtin.module(tessera-stage-linalg)"
    assert target.pipeline("ptx") == target.pipeline("sass") == target.pipeline("obj") == ""


def test_every_known_name_is_a_target() -> None:
    names = known_targets()
    assert {"cpu", "native", "sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_90a", "sm_100a", "sm_120a"} <= set(names)
    for name, description in names.items():
        assert parse_target(name).object_member.startswith("host/x86_64-linux-gnu/")
        assert description


@pytest.mark.parametrize(
    ("architecture", "best"),
    [
        ("sm_90a", "sm_90a"),
        ("sm_80", "sm_80"),
        ("sm_88", "sm_87"),
        ("sm_101a", "sm_100"),
        ("sm_110a", "sm_103"),
        ("sm_121a", "sm_120"),
        ("sm_130", "sm_120"),
    ],
)
def test_the_best_target_for_a_gpu(architecture: str, best: str) -> None:
    assert gpu_target(architecture).name == best


def test_a_gpu_that_is_too_old() -> None:
    with pytest.raises(TargetError, match=r"\[TSR4003\] .*expected architecture sm_80 or newer, got sm_75"):
        gpu_target("sm_75")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("cpu:avx51", "cpu:avx512"),
        ("CPU", "cpu"),
        ("nativ", "native"),
        ("sm_91a", "sm_90a"),
        ("sm90a", "sm_90a"),
        ("SM_80", "sm_80"),
        ("sm_80a", "sm_80"),
        ("sm_90f", "sm_90"),
        ("compute_80", "sm_80"),
    ],
)
def test_an_unknown_target_gets_the_nearest_name(name: str, nearest: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse_target(name)
    message = str(caught.value)
    assert f"[TSR4003] unknown target '{name}': expected one of cpu, " in message
    assert f"did you mean '{nearest}'?" in message


def test_lists_of_targets() -> None:
    assert [t.name for t in parse_targets(["cpu:avx512", "cpu", "cpu:avx2"])] == ["cpu:avx512", "cpu"]
    assert [t.name for t in parse_targets("cpu")] == ["cpu"]
    assert [t.name for t in parse_targets(["sm_90a", "sm_80", "cpu", "sm_90a"])] == ["sm_90a", "sm_80", "cpu"]
    with pytest.raises(TargetError, match="no target"):
        parse_targets([])
