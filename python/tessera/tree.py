# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trees of arguments and results: nested Python values to flat lists of leaves and back.

The shape of a tree is JSON: a manifest holds it, and a process that only loads artifacts rebuilds values from it.

===================================== =====================================================================
tree                                  Python value
===================================== =====================================================================
``3``                                 a leaf: the flat list's element 3
``null``                              ``None`` (an absent optional argument)
``{"static": v}``                     a compile-time constant, as `encode_static` writes it
``{"tuple": [t, ...]}``               a tuple
``{"list": [t, ...]}``                a list
``{"dict": {"k": t, ...}}``           a dict with string keys
``{"object": "m:C", "fields": {...}}`` a dataclass, named tuple, or class with ``__tessera_tree__``
===================================== =====================================================================
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from types import SimpleNamespace
from typing import Any, TypeAlias

from tessera.dtypes import DType
from tessera.errors import ArgumentError

Tree: TypeAlias = "int | dict[str, Any] | None"

STATIC_TYPES = (bool, int, float, str)


def flatten(value: Any, name: str = "") -> tuple[list[tuple[str, Any]], Tree]:
    """Flatten a nested value.

    Parameters
    ----------
    value
        Tuples, lists, dicts with string keys, dataclasses, named tuples, objects with ``__tessera_tree__`` and ``None``
        are nodes; anything else is a leaf.
    name
        The name of the root; leaves below it are named by path, like ``cache.pool`` or ``layers.0.weight``.

    Returns
    -------
    leaves
        ``(name, leaf)`` pairs in order.
    tree
        The structure; leaf numbers start at 0.
    """
    leaves: list[tuple[str, Any]] = []

    def visit(node: Any, path: str) -> Tree:
        if node is None:
            return None
        children = _children(node)
        if children is None:
            leaves.append((path, node))
            return len(leaves) - 1
        kind, items = children
        trees = {key: visit(child, f"{path}.{key}" if path else str(key)) for key, child in items.items()}
        if kind in ("tuple", "list"):
            return {kind: list(trees.values())}
        if kind == "dict":
            return {"dict": trees}
        return {"object": kind, "fields": trees}

    return leaves, visit(value, name)


def unflatten(tree: Tree, leaves: Sequence[Any]) -> Any:
    """Rebuild the value that has this structure and these leaves.

    An object whose class this process has not imported becomes a ``types.SimpleNamespace`` with the same fields:
    loading an artifact never imports what the artifact names.
    """
    if tree is None:
        return None
    if isinstance(tree, int):
        return leaves[tree]
    if "static" in tree:
        return decode_static(tree["static"])
    if "tuple" in tree:
        return tuple(unflatten(item, leaves) for item in tree["tuple"])
    if "list" in tree:
        return [unflatten(item, leaves) for item in tree["list"]]
    if "dict" in tree:
        return {key: unflatten(item, leaves) for key, item in tree["dict"].items()}
    fields = {key: unflatten(item, leaves) for key, item in tree["fields"].items()}
    return _construct(tree["object"], fields)


def flatten_like(tree: Tree, value: Any, name: str = "") -> Iterator[Any]:
    """Flatten ``value``, which must have the structure ``tree``, and yield its leaves in order.

    Objects are matched by their fields, not by their class.

    Raises
    ------
    ArgumentError
        Where the structures differ, or a static value is not the one compiled in.
    """
    if tree is None:
        if value is not None:
            raise ArgumentError(
                f"[TSR1101] argument '{name}': expected None, got {_describe(value)}; it was compiled as absent"
            )
    elif isinstance(tree, int):
        if value is None:
            raise ArgumentError(f"[TSR1101] argument '{name}': expected an array, got None; it was compiled as present")
        yield value
    elif "static" in tree:
        if not _same_static(tree["static"], value):
            raise ArgumentError(
                f"[TSR1102] argument '{name}': expected {decode_static(tree['static'])!r}, the value compiled in, "
                f"got {value!r}; compile again with static={{{name!r}: {value!r}}}"
            )
    else:
        expected, subtrees = _subtrees(tree)
        children = _match(expected, subtrees, value)
        if children is None:
            raise ArgumentError(
                f"[TSR1101] argument '{name}': expected {_expectation(expected, subtrees)}, got {_describe(value)}"
            )
        for key, subtree in subtrees.items():
            yield from flatten_like(subtree, children[key], f"{name}.{key}" if name else str(key))


def encode_static(value: Any) -> Any:
    """Write a compile-time constant as JSON; a value that JSON cannot hold is known by its ``repr``."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, STATIC_TYPES):
        return value
    if isinstance(value, (tuple, list)):
        return {type(value).__name__: [encode_static(item) for item in value]}
    if isinstance(value, DType):
        return value.name
    return {"repr": repr(value)}


def decode_static(encoded: Any) -> Any:
    """Read what `encode_static` wrote; an unknown object comes back as the text of its ``repr``."""
    if not isinstance(encoded, dict):
        return encoded
    kind, value = next(iter(encoded.items()))
    if kind == "float":
        return float(value)
    if kind in ("tuple", "list"):
        items = [decode_static(item) for item in value]
        return tuple(items) if kind == "tuple" else items
    return value


def leaf_order(tree: Tree) -> Iterator[int]:
    """Leaf numbers of a tree in visiting order."""
    if isinstance(tree, int):
        yield tree
    elif tree is not None and "static" not in tree:
        for subtree in _subtrees(tree)[1].values():
            yield from leaf_order(subtree)


def binder(
    name: str, parameters: Sequence[Mapping[str, Any]]
) -> Callable[[tuple[Any, ...], Mapping[str, Any]], list[Any]]:
    """Make the function that turns a Python call's arguments into the flat list of input arrays.

    Parameters
    ----------
    name
        The entry's name, for messages.
    parameters
        The manifest's ``parameters`` in signature order: ``{"name": str, "kind": str, "tree": Tree}``, where ``kind``
        is ``positional_only``, ``positional_or_keyword`` or ``keyword_only``.
    """
    positional = [p for p in parameters if p.get("kind") != "keyword_only"]
    by_name = {p["name"]: p for p in parameters if p.get("kind") != "positional_only"}
    count = sum(1 for p in parameters for _ in leaf_order(p["tree"]))

    def bind(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        if len(args) > len(positional):
            raise ArgumentError(
                f"[TSR1101] {name}(): expected at most {len(positional)} positional arguments, got {len(args)}"
            )
        given = {p["name"]: value for p, value in zip(positional, args, strict=False)}
        for key, value in kwargs.items():
            if key not in by_name:
                expected = ", ".join(by_name)
                raise ArgumentError(
                    f"[TSR1101] {name}(): unexpected keyword argument '{key}': expected one of {expected}"
                )
            if key in given:
                raise ArgumentError(f"[TSR1101] {name}(): argument '{key}' is given twice: by position and by keyword")
            given[key] = value
        flat: list[Any] = [None] * count
        for parameter in parameters:
            tree, key = parameter["tree"], parameter["name"]
            order = list(leaf_order(tree))
            if key in given:
                for index, leaf in zip(order, flatten_like(tree, given[key], key), strict=True):
                    flat[index] = leaf
            elif order:
                raise ArgumentError(f"[TSR1101] {name}(): missing argument '{key}'")
        return flat

    return bind


def is_flat(parameters: Sequence[Mapping[str, Any]]) -> int | None:
    """Return n if inputs 0..n-1 are the first n parameters, by position, and no other parameter needs a value."""
    trees = [p["tree"] for p in parameters if p.get("kind") != "keyword_only"]
    count = 0
    while count < len(trees) and trees[count] == count and not isinstance(trees[count], bool):
        count += 1
    total = sum(1 for p in parameters for _ in leaf_order(p["tree"]))
    return count if count == total else None


def _children(node: Any) -> tuple[str, dict[Any, Any]] | None:
    """The kind and the named children of a node; None for a leaf."""
    if isinstance(node, tuple):
        if hasattr(node, "_fields"):
            return _type_name(node), dict(zip(node._fields, node, strict=True))
        return "tuple", dict(enumerate(node))
    if isinstance(node, list):
        return "list", dict(enumerate(node))
    if isinstance(node, Mapping):
        for key in node:
            if not isinstance(key, str):
                raise ArgumentError(f"[TSR1101] a dict argument needs string keys: expected str, got {key!r}")
        return "dict", dict(node)
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return _type_name(node), {f.name: getattr(node, f.name) for f in dataclasses.fields(node)}
    if hasattr(type(node), "__tessera_tree__"):
        return _type_name(node), dict(node.__tessera_tree__())
    return None


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _construct(type_name: str, fields: dict[str, Any]) -> Any:
    module, _, qualname = type_name.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        return SimpleNamespace(**fields)
    if hasattr(found, "__tessera_from_tree__"):
        return found.__tessera_from_tree__(fields)
    if issubclass(found, tuple) or dataclasses.is_dataclass(found):
        return found(**fields)
    return SimpleNamespace(**fields)


def _subtrees(tree: dict[str, Any]) -> tuple[str, dict[Any, Tree]]:
    for kind in ("tuple", "list"):
        if kind in tree:
            return kind, dict(enumerate(tree[kind]))
    if "dict" in tree:
        return "dict", tree["dict"]
    return tree["object"], tree["fields"]


def _match(kind: str, subtrees: Mapping[Any, Tree], value: Any) -> Mapping[Any, Any] | None:
    if kind in ("tuple", "list"):
        if isinstance(value, (tuple, list)) and len(value) == len(subtrees):
            return dict(enumerate(value))
        return None
    if isinstance(value, Mapping):
        return value if value.keys() == subtrees.keys() else None
    if kind != "dict":
        children = _children(value)
        if children is not None and children[1].keys() == subtrees.keys():
            return children[1]
        if all(hasattr(value, key) for key in subtrees):
            return {key: getattr(value, key) for key in subtrees}
    return None


def _same_static(encoded: Any, given: Any) -> bool:
    """Whether a value is the one compiled in. 1 is 1.0, for NumPy's numbers too; True is not 1."""
    numbers: Any = (encoded, given)
    if all(isinstance(number, Real) and not isinstance(number, bool) for number in numbers):
        return bool(numbers[0] == numbers[1])
    return json.dumps(encoded) == json.dumps(encode_static(given))


def _expectation(kind: str, subtrees: Iterable[Any]) -> str:
    keys = list(subtrees)
    if kind in ("tuple", "list"):
        return f"a {kind} of {len(keys)}"
    what = "a dict with keys" if kind == "dict" else f"{kind.rpartition(':')[2]} with fields"
    return f"{what} {', '.join(keys) or '(none)'}"


def _describe(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Mapping):
        return f"a dict with keys {', '.join(map(str, value)) or '(none)'}"
    if isinstance(value, STATIC_TYPES) or value is None:
        return repr(value)
    return f"a {type(value).__name__}"
