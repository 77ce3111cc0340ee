# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Target names."""

from __future__ import annotations

import pytest
from tessera.driver.targets import known_targets, parse_target, parse_targets
from tessera.errors import TargetError


def test_known_targets() -> None:
    assert parse_target("cpu").vector_bits == 256
    assert parse_target("cpu:avx512").vector_bits == 512
    assert parse_target("cpu:avx2") is parse_target("cpu")
    for name in known_targets():
        target = parse_target(name)
        assert target.object_member.startswith("host/x86_64-linux-gnu/cpu")
    assert parse_target("cpu:avx512").object_member == "host/x86_64-linux-gnu/cpu-avx512.o"


@pytest.mark.parametrize(
    ("name", "nearest"), [("cpu:avx51", "cpu:avx512"), ("CPU", "cpu"), ("sm_91a", "sm_90a"), ("nativ", "native")]
)
def test_an_unknown_target_gets_the_nearest_name(name: str, nearest: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse_target(name)
    message = str(caught.value)
    assert f"[TSR4003] unknown target '{name}': expected one of cpu, " in message
    assert f"did you mean '{nearest}'?" in message


def test_gpu_targets_say_that_they_are_not_there_yet() -> None:
    with pytest.raises(TargetError, match="target 'sm_90a': GPU targets are not built yet"):
        parse_target("sm_90a")


def test_lists_of_targets() -> None:
    assert [t.name for t in parse_targets(["cpu:avx512", "cpu", "cpu:avx2"])] == ["cpu:avx512", "cpu"]
    assert [t.name for t in parse_targets("cpu")] == ["cpu"]
    with pytest.raises(TargetError, match="no target"):
        parse_targets([])
