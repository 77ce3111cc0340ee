# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Modules: parameters by path, state dicts, tracing."""

from typing import Any

import numpy as np
import pytest
import tessera
from tessera import Tensor, nn
from tessera.frontend import TraceSpec, trace
from tracing import interpret

F = np.float32
rng = np.random.default_rng(5)


@tessera.module
class Dense:
    """A layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.weight = nn.Parameter(rng.standard_normal((inputs, outputs)).astype(F))
        self.bias = nn.Parameter(np.zeros(outputs, F))

    def forward(self, x: Tensor["B", "D"]) -> Tensor["B", "?"]:
        return x @ self.weight + self.bias


@tessera.module
class Net:
    def __init__(self) -> None:
        self.layers = [Dense(4, 6), Dense(6, 3)]
        self.heads = {"scale": nn.Parameter(np.ones(3, F))}
        self.name = "net"

    def __call__(self, x: Tensor["B", 4]) -> Tensor["B", 3]:
        for layer in self.layers:
            x = nn.relu(layer(x))
        return x * self.heads["scale"]


NAMES = ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "heads.scale"]


def reference(net: Any, x: Any) -> Any:
    for layer in net.layers:
        x = np.maximum(x @ layer.weight.numpy() + layer.bias.numpy(), 0)
    return x * net.heads["scale"].numpy()


def test_decorated_class_is_a_module() -> None:
    assert isinstance(Net(), nn.Module)
    assert (Dense.__name__, Dense.__doc__, Dense.__module__) == ("Dense", "A layer.", __name__)
    assert [name for name, _ in Net().named_parameters()] == NAMES


def test_parameters_are_weights_named_by_path() -> None:
    net = Net()
    entry = trace(net, TraceSpec())
    assert list(entry.weights) == NAMES
    assert entry.name == "Net"
    x = rng.standard_normal((2, 4)).astype(F)
    np.testing.assert_allclose(interpret(entry, x), reference(net, x), rtol=1e-5)


def test_module_in_a_function() -> None:
    layer = Dense(4, 3)

    @tessera.function
    def f(x: Tensor["B", 4]) -> Tensor["B", 3]:
        return layer(x) + layer.bias

    entry = trace(f)
    assert sorted(entry.weights) == ["layer.bias", "layer.weight"]
    x = rng.standard_normal((2, 4)).astype(F)
    np.testing.assert_allclose(interpret(entry, x), x @ layer.weight.numpy(), rtol=1e-5, atol=1e-6)


def test_shared_parameters_come_once() -> None:
    @tessera.module
    class Tied:
        def __init__(self) -> None:
            self.first = nn.Parameter(np.ones((2, 2), F))
            self.second = self.first

        def forward(self, x: Tensor["B", 2]) -> Tensor["B", 2]:
            return x @ self.first @ self.second

    entry = trace(Tied())
    assert list(entry.weights) == ["first"]


def test_state_dict_round_trip() -> None:
    one, other = Net(), Net()
    other.load_state_dict(one.state_dict())
    x = rng.standard_normal((2, 4)).astype(F)
    np.testing.assert_array_equal(interpret(trace(one), x), interpret(trace(other), x))
    assert other.layers[0].weight.version == 1


def test_a_bad_state_dict_changes_nothing() -> None:
    net = Net()
    before = {name: value.copy() for name, value in net.state_dict().items()}
    for change in ({"heads.scale": np.ones(4, F)}, {"heads.scale": np.ones(3)}, {"more": np.ones(1, F)}):
        with pytest.raises(tessera.ArgumentError, match="TSR1506"):
            net.load_state_dict({**{name: value + 1 for name, value in before.items()}, **change})
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(value, before[name])


def test_layers_of_the_library() -> None:
    linear = object.__new__(nn.Linear)
    linear.weight, linear.bias = nn.Parameter(rng.standard_normal((4, 3)).astype(F)), None
    norm = object.__new__(nn.RMSNorm)
    norm.weight, norm.eps = nn.Parameter(np.full(3, 2, F)), 1e-6

    @tessera.function
    def f(x: Tensor["...", 4]) -> Tensor["...", 3]:
        return norm(linear(x))

    x = rng.standard_normal((2, 5, 4)).astype(F)
    y = x @ linear.weight.numpy()
    want = y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-6) * 2
    np.testing.assert_allclose(interpret(trace(f, TraceSpec(args=(x,))), x), want, rtol=1e-5)
    entry = trace(linear, TraceSpec(args=(x,)))
    np.testing.assert_allclose(interpret(entry, x), y, rtol=1e-5, atol=1e-6)
    assert len(entry.signature.guards) == 1  # the width is the weight's


def test_forward_may_be_a_function() -> None:
    @tessera.module
    class Scale:
        def __init__(self) -> None:
            self.weight = nn.Parameter(np.full(2, 3, F))

        @tessera.function
        def forward(self, x: Tensor["B", 2]) -> Tensor["B", 2]:
            return x * self.weight

    entry = trace(Scale())
    assert list(entry.weights) == ["weight"]
    np.testing.assert_array_equal(interpret(entry, np.ones((1, 2), F)), [[3, 3]])


def test_static_arguments_of_forward() -> None:
    @tessera.module
    class Power:
        def forward(self, x: Tensor["B"], n: int = 2) -> Tensor["B"]:
            return x**n

    entry = trace(Power(), TraceSpec(static={"n": 3}))
    np.testing.assert_array_equal(interpret(entry, np.array([2], F), 3), [8])


def test_subclass_of_module_and_super() -> None:
    @tessera.module
    class Base:
        def __init__(self, n: int) -> None:
            self.weight = nn.Parameter(np.full(n, 2, F))

    @tessera.module
    class Derived(Base):
        def __init__(self) -> None:
            super().__init__(2)

        def forward(self, x: Tensor["B", 2]) -> Tensor["B", 2]:
            return x * self.weight

    np.testing.assert_array_equal(interpret(trace(Derived()), np.ones((1, 2), F)), [[2, 2]])
