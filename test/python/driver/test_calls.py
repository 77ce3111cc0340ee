# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Calls of compiled functions beyond plain arrays: modules' weights, trees, optional arguments, policies, bad calls."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tessera
from tessera import Tensor
from tessera.errors import ArgumentError, ShapeError

# mypy: disable-error-code="name-defined, type-arg, valid-type"

V = np.arange(3, dtype=np.float32)


@tessera.module
class Scale:
    def __init__(self, size: int) -> None:
        self.weight = tessera.nn.Parameter(np.arange(size, dtype=np.float32))

    def forward(self, x: Tensor["B", 40]) -> Tensor["B", 40]:
        return x * self.weight


@tessera.function
def tree(parts: dict[str, Tensor["N"]], mask: Tensor["N"] | None = None) -> tuple[Tensor["N"], dict[str, Tensor["N"]]]:
    total = parts["a"] + parts["b"]
    if mask is not None:
        total = total * mask
    return total, {"difference": parts["a"] - parts["b"]}


@tessera.function
def scale(x: Tensor["N"], by: float = 1.0) -> Tensor["N"]:
    return x * by


@tessera.function
def add(x: Tensor["N"], y: Tensor["N"]) -> Tensor["N"]:
    return x + y


def test_a_module_called_directly_sees_new_weights() -> None:
    module = Scale(40)
    x = np.ones((2, 40), np.float32)
    np.testing.assert_array_equal(module(x)[1], np.arange(40))
    module.load_state_dict({"weight": np.full(40, 5, np.float32)})
    np.testing.assert_array_equal(module(x), np.full((2, 40), 5))


def test_a_compiled_module_carries_its_weights(tmp_path: Path) -> None:
    module = Scale(40)
    tessera.compile(module).save(tmp_path / "scale.tsr")
    artifact = tessera.load(tmp_path / "scale.tsr")
    assert artifact.inspect()["weights"] == {"weight": {"dtype": "f32", "shape": [40]}}
    x = np.ones((2, 40), np.float32)
    np.testing.assert_array_equal(artifact(x)[0], np.arange(40))
    artifact.set_weight("weight", np.full(40, 7, np.float32))
    np.testing.assert_array_equal(artifact(x), np.full((2, 40), 7))


def test_trees_directly_and_compiled() -> None:
    parts = {"a": V, "b": V + 1}
    compiled = tessera.compile(tree, args=(parts,))
    for function in (tree, compiled):
        total, rest = function(parts)
        np.testing.assert_array_equal(total, 2 * V + 1)
        np.testing.assert_array_equal(rest["difference"], -np.ones(3))
    np.testing.assert_array_equal(compiled({"b": V, "a": V * 2})[1]["difference"], V)  # keys, not their order


def test_out_has_the_structure_of_the_result() -> None:
    out = np.zeros(3, np.float32), {"difference": np.zeros(3, np.float32)}
    tessera.compile(tree, args=({"a": V, "b": V},))({"a": V, "b": V}, out=out)
    np.testing.assert_array_equal(out[0], 2 * V)
    with pytest.raises(ArgumentError, match="argument 'out': expected a tuple of 2, got a list of 3"):
        tree({"a": V, "b": V}, out=[V, V, V])


def test_whether_an_optional_argument_is_there_is_compiled_in() -> None:
    parts = {"a": V, "b": V}
    absent = tessera.compile(tree, args=(parts,))
    present = tessera.compile(tree, args={"parts": parts, "mask": V})
    np.testing.assert_array_equal(present(parts, V)[0], 2 * V * V)
    np.testing.assert_array_equal(tree(parts, mask=V)[0], 2 * V * V)
    with pytest.raises(ArgumentError, match="argument 'mask': expected None, got a ndarray; it was compiled as absent"):
        absent(parts, V)
    with pytest.raises(ArgumentError, match="argument 'mask': expected an array, got None; it was compiled as present"):
        present(parts, None)
    with pytest.raises(ArgumentError, match="missing argument 'mask'"):
        present(parts)


def test_a_loading_process_needs_none_of_the_classes(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text(
        """
import dataclasses, numpy as np, tessera
from tessera import Tensor

@dataclasses.dataclass
class State:
    position: Tensor["N"]
    velocity: Tensor["N"]

@tessera.function
def step(state: State, dt: float = 0.5) -> State:
    return State(state.position + state.velocity * dt, state.velocity)
"""
    )
    script = """
import numpy as np, shapes, tessera
artifact = tessera.compile(shapes.step)
artifact.save("step.tsr")
state = artifact(shapes.State(np.ones(2, np.float32), np.full(2, 4, np.float32)))
assert type(state) is shapes.State and state.position.tolist() == [3, 3], state
"""
    environment = {"PYTHONPATH": f"{tmp_path}:" + os.environ.get("PYTHONPATH", "")}
    full = {**os.environ, **environment}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env=full, timeout=120)
    state = tessera.load(tmp_path / "step.tsr")({"position": V, "velocity": V})
    np.testing.assert_array_equal(state.position, V * 1.5)


def test_static_infinity() -> None:
    compiled = tessera.compile(scale, static={"by": math.inf})
    np.testing.assert_array_equal(compiled(V[1:]), [np.inf, np.inf])
    np.testing.assert_array_equal(scale(V[1:], math.inf), [np.inf, np.inf])


def test_policies_do_not_share_code() -> None:
    np.testing.assert_array_equal(add(V, V), 2 * V)
    with tessera.precision(compute=tessera.f64):
        np.testing.assert_array_equal(add(V, V), 2 * V)
    np.testing.assert_array_equal(add(V, V), 2 * V)


@pytest.mark.parametrize(
    ("error", "args", "kwargs", "message"),
    [
        (ArgumentError, (), {}, "missing argument 'x'"),
        (ArgumentError, (V, 2.0, 3), {}, "too many positional arguments"),
        (ArgumentError, (V,), {"q": 1}, "unexpected keyword argument 'q'"),
        (ArgumentError, (V, V), {}, "parameter 'by': expected a compile-time float, got a tensor"),
        (ShapeError, (np.zeros((2, 2), np.float32),), {}, "argument 'x': expected rank 1"),
    ],
)
def test_bad_direct_calls(error: type[Exception], args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(error) as caught:
        scale(*args, **kwargs)
    assert message in str(caught.value)


def test_one_symbol_of_two_sizes_is_refused_on_the_first_call_and_later() -> None:
    add.__dict__["_direct"] = None  # forget what other tests compiled
    for _ in range(2):
        with pytest.raises(ShapeError, match=r"3.* y |'y'.*3"):
            add(V, V[:2])
        np.testing.assert_array_equal(add(V, V), 2 * V)
