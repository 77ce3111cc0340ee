# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights of 8 bits against NumPy in f64."""

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tessera
from compiled import data
from tessera import Tensor, nn
from tolerance import assert_close


@pytest.mark.parametrize("dtype", [tessera.int8, tessera.fp8_e4m3, tessera.fp8_e5m2], ids=lambda d: d.name)
@pytest.mark.parametrize("per_channel", [False, True])
def test_quantize(dtype: Any, per_channel: bool) -> None:
    w = data((40, 6), tessera.f32, -3, 3)
    w[:, 2] = 0
    quantized, scale = tessera.quantize(w, dtype, per_channel)
    assert quantized.dtype == dtype.numpy and scale.shape == ((6,) if per_channel else ())
    assert scale.dtype == np.float32 and np.isfinite(np.asarray(quantized, np.float32)).all()
    back = np.asarray(quantized, np.float64) * scale
    # Half a step: of the largest value for int8; of floats of the value itself, or of the least one.
    if dtype == tessera.int8:
        bound = scale / 2
    else:
        info = ml_dtypes.finfo(dtype.numpy)
        bound = np.maximum(np.abs(w) * float(info.eps), scale * float(info.smallest_subnormal)) / 2
    bound = bound * (1 + 1e-6)
    assert (np.abs(back - w) <= bound).all()


def test_quantize_a_module() -> None:
    made = tessera.quantize(nn.Sequential(nn.Linear(4, 8), nn.RMSNorm(8), nn.Linear(8, 2)), tessera.int8)
    assert sorted(made) == ["0.weight", "2.weight"]
    assert made["0.weight"][0].shape == (4, 8) and made["0.weight"][1].shape == (8,)
    with pytest.raises(tessera.TesseraError, match="expected int8, fp8_e4m3 or fp8_e5m2, got bf16"):
        tessera.quantize(np.ones((2, 2), np.float32), tessera.bf16)


def reference(x: Any, weights: Any, scales: Any, hidden: float | None, rounded: Any) -> Any:
    wide = [np.asarray(w, np.float64) * s for w, s in zip(weights, scales, strict=True)]
    gate = x @ wide[0]
    h = gate / (1 + np.exp(-gate)) * (x @ wide[1])
    if hidden is not None:
        h = np.clip(h / hidden, -448, 448).astype(ml_dtypes.float8_e4m3fn).astype(np.float64) * hidden
    else:
        h = h.astype(rounded).astype(np.float64)
    return h @ wide[2]


@pytest.mark.parametrize("weight", [tessera.int8, tessera.fp8_e4m3], ids=lambda d: d.name)
@pytest.mark.parametrize("activation", [tessera.bf16, tessera.f32, tessera.fp8_e4m3], ids=lambda d: d.name)
@pytest.mark.parametrize("per_channel", [False, True])
def test_swiglu_quantized(weight: Any, activation: Any, per_channel: bool) -> None:
    depth, width = 24, 40
    matrices = [
        data(s, tessera.f32, -0.3, 0.3, seed=i) for i, s in enumerate([(depth, width), (depth, width), (width, depth)])
    ]
    weights, scales = zip(*(tessera.quantize(m, weight, per_channel) for m in matrices), strict=True)
    named = dict(zip(("gate_weight", "up_weight", "down_weight"), scales, strict=True))
    is_fp8 = activation == tessera.fp8_e4m3
    if is_fp8:
        named |= {"input": np.float32(0.5), "hidden": np.float32(0.25)}
    x = data((2, 9, depth), activation, -2, 2, seed=7)

    @tessera.function
    def f(
        x: Tensor["B", "S", 24, activation],
        gate: Tensor[24, "F", weight],
        up: Tensor[24, "F", weight],
        down: Tensor["F", 24, weight],
    ) -> Any:
        return nn.swiglu_quantized(x, gate, up, down, named)

    artifact = tessera.compile(f, dims={"F": width}, keep_ir=True)
    got = artifact(x, *weights)
    result = tessera.bf16 if is_fp8 else activation
    assert got.dtype == result.numpy
    wide = np.asarray(x, np.float64) * (0.5 if is_fp8 else 1)
    want = reference(wide, weights, scales, 0.25 if is_fp8 else None, result.numpy)
    # The reference rounds the hidden activations as we do: none of these lies close to the middle of two numbers.
    assert_close(got, want, dtype=result.numpy, terms=width, scale=np.abs(want).max(), operations=3)
    # Weights are never held in another dtype.
    held = set(re.findall(r"tensor<24x40x(\w+)>", artifact.mlir("kernels")))
    assert held == {"i8" if weight.is_int else "f8E4M3FN"}
    kinds = [kernel["kind"] for kernel in artifact.inspect()["kernels"]]
    assert kinds == ["matmul", "matmul"]


def test_errors() -> None:
    x, w = np.ones((2, 4), np.float32), np.ones((4, 4), np.int8)
    for arguments, message in [
        ((x, w, w, w, {"gate": 1.0}), "expected scales of input, gate_weight"),
        ((x, w.astype(np.float32), w, w), "expected W_gate of int8 or fp8, got f32"),
        ((x, w, w[:3], w), "W_up [3, 4]: expected equal sizes, got 4 and 3"),
        ((np.ones((2, 4), np.int8), w, w, w), "expected x of floats, got int8"),
    ]:
        with pytest.raises(tessera.TesseraError) as caught:
            nn.swiglu_quantized(*arguments)
        assert message in str(caught.value)
