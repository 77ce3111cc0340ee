# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The mission's own source text traces as it stands."""

from __future__ import annotations

import inspect

import mission
import numpy as np
import pytest
import tessera
from tessera.frontend import TraceSpec, trace
from tracing import interpret

rng = np.random.default_rng(3)


def test_rms_norm() -> None:
    rms_norm = mission.names("def rms_norm")["rms_norm"]
    x = rng.standard_normal((2, 3, 8)).astype(np.float32)
    weight = rng.standard_normal(8).astype(np.float32)
    wide = x.astype(np.float64)
    expected = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6) * weight
    for dims in ({}, {"D": 8}, {"B": 2, "S": 3, "D": 8}):
        np.testing.assert_allclose(interpret(trace(rms_norm, TraceSpec(dims=dims)), x, weight), expected, rtol=2e-6)


def test_rms_norm_of_bf16_with_f32_weight_is_bf16() -> None:
    rms_norm = mission.names("def rms_norm")["rms_norm"]
    entry = trace(rms_norm, TraceSpec(dtype=tessera.bf16, dtypes={"weight": tessera.f32}, static={"eps": 1e-5}))
    manifest = entry.signature.to_manifest()
    assert [row["dtype"] for row in manifest["inputs"]] == ["bf16", "f32"]
    assert [row["dtype"] for row in manifest["outputs"]] == ["bf16"]
    assert manifest["static"] == {"eps": 1e-5}


def test_swiglu() -> None:
    swiglu = mission.names("def swiglu")["swiglu"]
    x = rng.standard_normal((2, 3, 4)).astype(np.float32)
    gate, up = (rng.standard_normal((4, 6)).astype(np.float32) for _ in range(2))
    down = rng.standard_normal((6, 4)).astype(np.float32)
    z = x @ gate
    expected = (z / (1 + np.exp(-z)) * (x @ up)) @ down
    got = interpret(trace(swiglu, TraceSpec()), x, gate, up, down)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "name", "count"), [("def attention", "attention", 4), ("def rotary", "rotary_embedding", 2)]
)
def test_signatures_of_other_blocks(text: str, name: str, count: int) -> None:
    function = mission.names(text)[name]
    assert isinstance(function, tessera.Function)
    assert len(inspect.signature(function).parameters) == count


def test_casted_embedding_is_a_module() -> None:
    cls = mission.names("class CastedEmbedding")["CastedEmbedding"]
    assert issubclass(cls, tessera.nn.Module)
    assert inspect.signature(cls).parameters["storage_dtype"].default == tessera.fp8_e4m3
