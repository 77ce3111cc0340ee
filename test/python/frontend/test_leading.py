# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Functions of any rank: what treats the dimensions of ``"..."`` alike is compiled for all, the rest is refused."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tessera
from tessera import Tensor, nn
from tessera.frontend import leading

F = np.float32
TABLE = np.arange(12, dtype=F).reshape(3, 4)

ALIKE: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "elementwise": (lambda x: tessera.exp(x) * 2 + x, lambda x: np.exp(x) * 2 + x),
    "reduction": (lambda x: x.sum(-1), lambda x: x.sum(-1)),
    "softmax": (nn.softmax, lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    "product": (lambda x: x @ TABLE.T, lambda x: x @ TABLE.T),
    "slice": (lambda x: x[..., 1::2], lambda x: x[..., 1::2]),
    "concat": (lambda x: tessera.concat([x, x], -1), lambda x: np.concatenate([x, x], -1)),
    "sort": (lambda x: tessera.sort(x)[0], lambda x: np.sort(x, -1)),
    "gather": (lambda x: tessera.take(x, [3, 0], -1), lambda x: x[..., [3, 0]]),
    "lookup": (lambda x: tessera.take(TABLE, (x > 0).cast(tessera.int64), 0), lambda x: TABLE[(x > 0).astype(int)]),
    "new dimension": (lambda x: x[..., None] * TABLE.T, lambda x: x[..., None] * TABLE.T),
    "reshape": (lambda x: x[..., None].squeeze(-1), lambda x: x),
}
NOT_ALIKE: dict[str, Callable[[Any], Any]] = {
    "reduction of the first": lambda x: x.sum(0),
    "reduction by number": lambda x: x.sum(1),
    "reduction of all": lambda x: x.sum(),
    "transposition": lambda x: x.T,
    "index": lambda x: x[0],
    "part": lambda x: x[1:],
    "reversed": lambda x: tessera.flip(x, 0),
    "flattened": lambda x: x.reshape(-1),
    "size": lambda x: x + x.shape[0],
    "product of rows": lambda x: x @ x.mT,
    "prefix sums": lambda x: x.cumsum(0),
    "joined": lambda x: tessera.concat([x, x], 0),
    "looked up": lambda x: tessera.take(x, [0], 0),
    "condition": lambda x: tessera.cond(x.max(-1).max(-1) > 0, lambda: x, lambda: -x),
    "random": lambda x: x * tessera.rand(x.shape),
}


def annotated(function: Callable[[Any], Any]) -> Any:
    @tessera.function
    def f(x: Tensor["...", 4]) -> Any:
        return function(x)

    return f


@pytest.mark.parametrize("name", ALIKE)
def test_one_artifact_takes_any_rank(name: str) -> None:
    function, reference = ALIKE[name]
    artifact = tessera.compile(annotated(function))
    for shape in ((4,), (3, 4), (2, 3, 4), (2, 1, 3, 4), (0, 3, 4)):
        x = np.random.default_rng(0).standard_normal(shape).astype(F)
        want = reference(x)
        got = artifact(x)
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        out = np.empty(want.shape, got.dtype)
        assert artifact(x, out=out) is out
        np.testing.assert_array_equal(out, got)


@pytest.mark.parametrize("name", NOT_ALIKE)
def test_what_depends_on_the_rank_is_refused(name: str) -> None:
    with pytest.raises(tessera.SignatureError, match="TSR1003"):
        tessera.compile(annotated(NOT_ALIKE[name]))


def test_leading_dimensions_agree() -> None:
    @tessera.function
    def f(x: Tensor["...", "D"], y: Tensor["...", "D"], w: Tensor["D"]) -> Tensor["...", "D"]:
        return (x + y) * w

    artifact = tessera.compile(f)
    w = np.ones(4, F)
    np.testing.assert_array_equal(artifact(np.ones((2, 3, 4), F), np.ones((2, 3, 4), F), w), np.full((2, 3, 4), 2))
    with pytest.raises(tessera.ShapeError, match=r"argument 'y': expected the leading dimensions \[2, 3\] of 'x'"):
        artifact(np.ones((2, 3, 4), F), np.ones((3, 2, 4), F), w)
    with pytest.raises(tessera.ShapeError, match="TSR2004"):
        artifact(np.ones((2, 4), F), np.ones((2, 4), F), np.ones(5, F))


def test_layers_take_any_rank() -> None:
    layers = tessera.compile(nn.Sequential(nn.Linear(4, 8), nn.RMSNorm(8), nn.LayerNorm(8)))
    assert layers(np.ones((2, 3, 4), F)).shape == (2, 3, 8)
    assert layers(np.ones(4, F)).shape == (8,)


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    artifact = tessera.compile(annotated(lambda x: x * 2))
    got = artifact(torch.ones(2, 3, 4))
    assert isinstance(got, torch.Tensor) and got.shape == (2, 3, 4)


def test_elementwise_operations_are_the_dialects() -> None:
    text = (Path(__file__).resolve().parents[3] / "dialects" / "Tessera" / "ElementwiseOps.td").read_text()
    names = re.findall(r'^def \w+ : Tessera_(?:Unary|Binary|Pure)Op<"(\w+)"', text, re.MULTILINE)
    assert {*names, "broadcast_to", "reshape"} == leading._ELEMENTWISE, "see python/tessera/frontend/leading.py"
