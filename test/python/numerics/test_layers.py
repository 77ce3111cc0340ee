# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers and neural-network functions against NumPy in f64."""

import re
from typing import Any

import numpy as np
import pytest
import tessera
from compiled import call, data
from tessera import Tensor, nn
from tolerance import assert_close


def normalised(x: Any, eps: float) -> Any:
    x = np.asarray(x, np.longdouble)
    return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + eps), np.float64)


@pytest.mark.parametrize("dtype", [tessera.f32, tessera.bf16, tessera.f64], ids=lambda d: d.name)
@pytest.mark.parametrize("magnitude", [1e-30, 1.0, 1e25])
def test_stable_rms_norm(dtype: Any, magnitude: float) -> None:
    if dtype == tessera.f64:
        magnitude = {1e-30: 1e-200, 1.0: 1.0, 1e25: 1e200}[magnitude]
    x = (data((5, 33), tessera.f64, -4, 4) * magnitude).astype(dtype.numpy)
    for eps in (0.0, 1e-6):
        got = call(lambda a, e=eps: nn.stable_rms_norm(a, eps=e), x)
        assert_close(got, normalised(x, eps), dtype=dtype.numpy, terms=33, scale=4, operations=2)
    zeros = call(lambda a: nn.stable_rms_norm(a), np.zeros((2, 3), dtype.numpy))
    np.testing.assert_array_equal(zeros, np.zeros((2, 3)))


@pytest.mark.parametrize("dtype", [tessera.f32, tessera.bf16], ids=lambda d: d.name)
def test_layer_norm(dtype: Any) -> None:
    x, weight, bias = data((3, 40), dtype, -4, 4), data((40,), dtype, -1, 1, seed=1), data((40,), dtype, -1, 1, seed=2)
    wide = np.asarray(x, np.float64)
    centered = wide - wide.mean(-1, keepdims=True)
    want = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5) * np.float64(weight) + np.float64(bias)
    assert_close(call(nn.layer_norm, x, weight, bias), want, dtype=dtype.numpy, terms=40, scale=8, operations=3)
    layer = nn.LayerNorm(40, dtype=dtype)
    layer.load_state_dict({"weight": weight, "bias": bias})
    assert_close(layer(x), want, dtype=dtype.numpy, terms=40, scale=8, operations=3)


def test_dropout_is_inverted_and_reproducible() -> None:
    x = np.ones((100, 100), np.float32)
    got = np.asarray(nn.dropout(x, 0.25, seed=7))
    assert set(np.unique(got)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((got == 0).mean() - 0.25) < 0.02
    np.testing.assert_array_equal(nn.dropout(x, 0.25, seed=7), got)
    assert (np.asarray(nn.dropout(x, 0.25, seed=8)) != got).any()
    np.testing.assert_array_equal(nn.dropout(x, 0.25, training=False), x)
    with pytest.raises(tessera.TesseraError, match="probability"):
        nn.dropout(x, 1.0)


def test_embedding() -> None:
    layer = nn.Embedding(10, 4)
    ids = np.array([[0, 9], [3, 3]])
    np.testing.assert_array_equal(layer(ids), np.asarray(layer.weight)[ids])
    with pytest.raises(tessera.TesseraError, match="out of range"):
        layer(np.array([[0, 10]]))


@pytest.mark.parametrize(
    "storage", [tessera.fp8_e4m3, tessera.fp8_e5m2, tessera.int8, tessera.bf16], ids=lambda d: d.name
)
@pytest.mark.parametrize("compute", [tessera.bf16, tessera.f32], ids=lambda d: d.name)
@pytest.mark.parametrize("by_row", [False, True])
def test_casted_embedding(storage: Any, compute: Any, by_row: bool) -> None:
    scale = np.linspace(0.5, 2, 12, dtype=np.float32) if by_row else np.float32(0.25)
    layer = nn.CastedEmbedding(12, 20, storage, compute, scale)
    ids = np.array([[0, 11, 5], [5, 1, 2]])
    rows = np.asarray(layer.embeddings.numpy()[ids], np.float64)
    want = rows * (scale[ids][..., None] if by_row else scale)
    got = layer(ids)
    assert got.dtype == compute.numpy
    assert_close(got, want, dtype=compute.numpy, scale=np.abs(want).max(), operations=1)


def test_the_table_is_never_held_in_the_compute_dtype() -> None:
    text = tessera.compile(nn.CastedEmbedding(1000, 64), targets=["cpu"], keep_ir=True).mlir("kernels")
    tables = re.findall(r"tensor<1000x64x(\w+)>", text)
    assert tables and set(tables) == {"f8E4M3FN"}
    assert text.count("tensor.extract %arg2") == 1  # one kernel reads it, and writes the result


def test_lists_and_sequences() -> None:
    layers = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 3, bias=False))
    assert sorted(layers.state_dict()) == ["0.bias", "0.weight", "1.bias", "1.weight", "2.weight"]
    x = data((5, 4), tessera.f32, -1, 1)
    state = {name: np.asarray(value, np.float64) for name, value in layers.state_dict().items()}
    hidden = x @ state["0.weight"] + state["0.bias"]
    hidden = hidden - hidden.mean(-1, keepdims=True)
    hidden = hidden / np.sqrt((hidden**2).mean(-1, keepdims=True) + 1e-5)
    assert_close(layers(x), hidden @ state["2.weight"], scale=4, terms=8, operations=4)
    listed = nn.ModuleList([nn.Linear(2, 2)]).append(nn.Linear(2, 3))
    assert len(listed) == 2 and listed[-1] is list(listed)[1]
    assert [name for name, _ in listed.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    with pytest.raises(IndexError):
        listed[2]


def test_rotary_layer() -> None:
    x = data((1, 4, 2, 8), tessera.f32, -1, 1)
    np.testing.assert_allclose(nn.RotaryEmbedding(8)(x), nn.rotary_embedding(x), rtol=1e-6)


def test_plain_text_norms_are_one_kernel() -> None:
    """By structure: whatever the user calls them."""

    @tessera.function
    def rms(x: Tensor["B", "D"], w: Tensor["D"]) -> Tensor["B", "D"]:
        return x / tessera.sqrt(tessera.mean(x**2, dim=-1, keepdim=True) + 1e-6) * w

    @tessera.function
    def layer(x: Tensor["B", "D"], w: Tensor["D"], b: Tensor["D"]) -> Tensor["B", "D"]:
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        return (x - mean) / tessera.sqrt(variance + 1e-5) * w + b

    @tessera.function
    def soft(x: Tensor["B", "D"]) -> Tensor["B", "D"]:
        e = tessera.exp(x - x.max(-1, keepdim=True))
        return e / e.sum(-1, keepdim=True)

    @tessera.function
    def gated(x: Tensor["B", "D"], gate: Tensor["D", "F"], up: Tensor["D", "F"]) -> Tensor["B", "F"]:
        return nn.swish(x @ gate) * (x @ up)

    for function, kind in ((rms, "rowwise"), (layer, "rowwise"), (soft, "rowwise"), (gated, "matmul")):
        kernels = tessera.compile(function).inspect()["kernels"]
        assert [kernel["kind"] for kernel in kernels] == [kind]
