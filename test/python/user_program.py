# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What type checkers make of a program that uses Tessera: `test_types.py` runs it, and mypy checks it.

pyright, in strict mode and without the next line, has nothing to say about it either.
"""

# mypy: disable-error-code="name-defined, type-arg, valid-type"

import tempfile
from pathlib import Path
from typing import Any, Optional, assert_type

import numpy as np
import tessera
from tessera import Tensor


@tessera.function
def scale(
    x: Tensor["B", "S", "D"],
    bias: Optional[Tensor["D"]] = None,  # noqa: UP045 - both spellings
    gain: Tensor["D", tessera.bf16] | None = None,
    half: "Tensor['...', 'D//2'] | None" = None,
    offset: Tensor[()] | None = None,
    eps: float = 1e-6,
) -> Tensor["B", "S", "D"]:
    y = x / tessera.sqrt(tessera.mean(x**2, dim=-1, keepdim=True) + eps)
    if bias is not None:
        y = y + bias
    if gain is not None:
        y = y * gain.astype(tessera.f32)
    if half is not None:
        y = y + tessera.concat([half, -half], dim=-1)
    if offset is not None:
        y = 1 + y - offset
    return assert_type(y, Tensor)


@tessera.function(name="largest")
def two(x: Tensor["B", 4]) -> tuple[Tensor["B"], Tensor["B", 1]]:
    values, order = tessera.topk(x, 1)
    return values.sum(dim=-1), order


@tessera.module
class Dense(tessera.nn.Module):
    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        self.weight = tessera.nn.Parameter(tessera.ones(inputs, outputs))
        self.bias = tessera.nn.Parameter(tessera.zeros(outputs)) if bias else None

    def forward(self, x: Tensor["B", "?"]) -> Tensor["B", "?"]:
        y = x @ self.weight
        return y if self.bias is None else y + self.bias


def main() -> None:
    array = np.ones((2, 3, 4), np.float32)
    tensor = tessera.asarray(array)

    # Of tensors, a call has the type that the function says; of other arrays, that of their library.
    assert_type(scale(tensor), Tensor)
    assert_type(scale(tensor, tensor[0, 0], eps=0.0).numpy(), np.ndarray[Any, Any])
    assert_type(scale(array), Any)
    assert_type(two(tensor[0]), tuple[Tensor, Tensor])
    assert float(two(tensor[0])[0][1]) == 1.0
    assert [row.tolist() for row in two(tensor[0])[1]] == [[0], [0], [0]]
    assert_type(two.name, str)

    dense = Dense(4, 5, bias=True)
    assert [name for name, _ in dense.named_parameters()] == ["weight", "bias"]
    assert dense(tensor[0]).shape == (3, 5)

    artifact = tessera.compile({"scale": scale, "largest": two}, dims={"D": 4})
    with tempfile.TemporaryDirectory() as folder:
        artifact.save(Path(folder) / "program.tsr")
        loaded = assert_type(tessera.load(Path(folder) / "program.tsr"), tessera.Artifact)
        assert loaded.scale(array).shape == (2, 3, 4)
        assert_type(loaded.entry("largest").workspace_size(B=3), int)


if __name__ == "__main__":
    main()
