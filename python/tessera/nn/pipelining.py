# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# mypy: disable-error-code="name-defined,type-arg,valid-type,misc"
"""Layers that the ranks of a mesh axis divide into stages, through which a batch passes in parts.

Huang et al.: GPipe, 2018 (arXiv 1811.06965).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tessera import ops, tree
from tessera.frontend.mesh import ShardSpec
from tessera.frontend.source import diagnostic
from tessera.frontend.tensor import Tensor
from tessera.frontend.traced import Shape, Traced, active_scope, emit_sized, lift
from tessera.nn.module import Module, walk, with_parameters
from tessera.nn.parameter import Parameter


def pipeline(stage: Callable[[Any], Any], x: Any, microbatches: int = 1, axis: str = "pipeline") -> Any:
    """Pass a batch through the stages that the ranks along a mesh axis are, one microbatch after the other.

    At step t the rank at place p works on microbatch t - p, and hands it on: n stages take microbatches + n - 1 steps,
    which are one loop in the program. At the others it works on zeros, and what comes of them is left out.

    Parameters
    ----------
    stage
        A function of one microbatch that returns another of its structure, shapes and dtypes. All ranks run the same;
        what differs are their parts of the weights, cut along ``axis``.
    x
        A tensor ``[B, ...]``, or a tree of such tensors, that each rank of a group has; the first stage's counts.
    microbatches
        Into how many parts the batch is divided; they must divide B.
    axis
        The mesh axis along which the stages follow each other.

    Returns
    -------
    tensor or tree
        What the last stage makes of all of x, on every rank.

    Raises
    ------
    MeshError
        Outside a function on a mesh, if the mesh has no such axis, or if ``microbatches`` does not divide B.
    ArgumentError
        If ``microbatches`` is no positive int.
    ShapeError
        If the stage changes a shape or the structure.
    """
    if type(microbatches) is not int or microbatches < 1:
        raise diagnostic("TSR1504", f"pipeline: expected microbatches to be an int of 1 or more, got {microbatches!r}")
    stages = ops.axis_size(axis)
    is_first = ops.axis_index(axis) == 0
    leaves, structure = tree.flatten(x)
    parts = [_divided(lift(leaf), microbatches) for _, leaf in leaves]
    bubbles = [ops.zeros(stages - 1, *part.shape[1:], dtype=part.dtype) for part in parts]

    def step(received: list[Any], fed: list[Any]) -> tuple[list[Any], list[Any]]:
        inputs = [ops.where(is_first, one, other) for one, other in zip(fed, received, strict=True)]
        made = [leaf for _, leaf in tree.flatten(stage(tree.unflatten(structure, inputs)))[0]]
        return [ops.mesh_shift(leaf, axis, periodic=False) for leaf in made], made

    nothing = [ops.zeros(*part.shape[1:], dtype=part.dtype) for part in parts]
    _, made = ops.scan(step, nothing, [ops.concat(pair) for pair in zip(parts, bubbles, strict=True)])
    results = [ops.broadcast(leaf[stages - 1 :], axis, root=stages - 1) for leaf in made]
    shapes = [lift(leaf).shape for _, leaf in leaves]
    return tree.unflatten(structure, [_shaped(lift(y), shape) for y, shape in zip(results, shapes, strict=True)])


def _divided(x: Traced, microbatches: int) -> Traced:
    """``[microbatches, B / microbatches, ...]``."""
    if x.ndim == 0:
        raise diagnostic("TSR1107", "pipeline: expected tensors of rank 1 or more, got rank 0")
    size = active_scope().divide(x.shape[0], microbatches, "pipeline: microbatches: dimension 0")
    return _shaped(x, (microbatches, size, *x.shape[1:]))


def _shaped(x: Traced, shape: Shape) -> Traced:
    """A reshape that `_divided` made sure of, which algebra on the sizes alone cannot."""
    return emit_sized("reshape", [x], shape, x.dtype)


class Pipeline(Module):
    """Equal layers one after the other, of which each rank along an axis has some: ``nn.Sequential`` in stages.

    Parameters
    ----------
    layers
        Modules that differ in their parameters' values only, each of which takes the result of the one before. They may
        be parallel themselves, along other axes. Their values are copied: for each parameter of a layer, such as
        ``weight``, this module has one, ``layers.weight``, with the values of all layers along a new dimension 0.
    microbatches
        Into how many parts a batch, the first dimension, is divided. See ``pipeline``.
    axis
        The mesh axis that divides the layers; it must divide their number.

    Raises
    ------
    ArgumentError
        If there is no layer, or they differ in more than their values.
    """

    def __init__(self, layers: Iterable[Module], microbatches: int = 1, axis: str = "pipeline") -> None:
        members = list(layers)
        _check_alike(members)
        self.num_layers, self.microbatches, self.axis = len(members), microbatches, axis
        columns = zip(*(member.parameters() for member in members), strict=True)
        self.layers = with_parameters(members[0], {id(column[0]): _stacked(column, axis) for column in columns})

    def forward(self, x: Tensor["B", "S", "?"]) -> Tensor["B", "S", "?"]:
        parameters = list(self.layers.parameters())
        count = active_scope().divide(self.num_layers, ops.axis_size(self.axis), "Pipeline: layers")

        def layer(x: Any, values: list[Any]) -> tuple[Any, None]:
            bound = dict(zip(map(id, parameters), values, strict=True))
            return with_parameters(self.layers, bound)(x), None

        def stage(x: Any) -> Any:
            return ops.scan(layer, x, parameters, length=count)[0]

        result: Tensor = pipeline(stage, x, self.microbatches, self.axis)
        return result


def _stacked(parameters: tuple[Parameter, ...], axis: str) -> Parameter:
    inner = parameters[0].sharding.axes if parameters[0].sharding is not None else ()
    sharding = ShardSpec(axis, *(names or None for names in inner))
    return Parameter(np.stack([parameter.numpy() for parameter in parameters]), sharding=sharding)


def _check_alike(layers: list[Module]) -> None:
    if not layers:
        raise diagnostic("TSR1504", "Pipeline: expected at least one layer, got none")
    first, outline = layers[0], _outline(layers[0])
    for number, layer in enumerate(layers):
        if type(layer) is not type(first):
            one, other = type(first).__name__, type(layer).__name__
            raise diagnostic("TSR1504", f"Pipeline: layer {number}: expected a {one}, as layer 0, got a {other}")
        mine = _outline(layer)
        for path in outline | mine:
            one, other = outline.get(path, "none"), mine.get(path, "none")
            if one != other:
                raise diagnostic(
                    "TSR1504", f"Pipeline: layer {number}: '{path}': expected {one}, as in layer 0, got {other}"
                )


def _outline(layer: Module) -> dict[str, str]:
    """What a layer must have in common with others, by path."""
    names = {id(parameter): path for path, parameter in layer.named_parameters()}
    return {
        path: _describe(path, value, names) if isinstance(value, Parameter) else f"{value!r:.60}"
        for path, value in walk(layer)
    }


def _describe(path: str, parameter: Parameter, names: Mapping[int, str]) -> str:
    if names[id(parameter)] != path:
        return f"the parameter '{names[id(parameter)]}'"
    cut = "" if parameter.sharding is None else f" divided by {parameter.sharding}"
    return f"a parameter {parameter.dtype.name}{list(parameter.shape)}{cut}"
