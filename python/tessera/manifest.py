# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The form of ``manifest.json``, for what Python reads of it: a damaged one is an error and never a traceback.

docs/artifact.md says what each key means. The runtime's reader checks for itself what calls rely on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, NoReturn, TypeAlias

# A type or several; [form], a list of these; {str: form}, one for each name; {"key": form}, an object with these keys
# and maybe others; or a function that checks.
Form: TypeAlias = "type | tuple[type, ...] | list[Any] | dict[Any, Any] | _Maybe | Callable[[Any, str], None]"

_COLLECTIVES = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "shift")
_OPERATORS = ("+", "-", "*", "//", "%", "max", "min")


class _Maybe:
    """The form of a key that may be left out."""

    def __init__(self, form: Form) -> None:
        self.form = form


def _size(value: Any, place: str) -> None:
    if isinstance(value, list) and len(value) == 3 and value[0] in _OPERATORS:
        _size(value[1], f"{place}[1]")
        _size(value[2], f"{place}[2]")
    elif type(value) not in (int, str):
        _refuse(place, "a number, a symbol or [operator, left, right]", value)


def _known_size(value: Any, place: str) -> None:
    """A size, or null where it depends on data."""
    if value is not None:
        _size(value, place)


def _kind(value: Any, place: str) -> None:
    if value not in _COLLECTIVES:
        _refuse(place, f"one of {', '.join(_COLLECTIVES)}", value)


def _tree(value: Any, place: str) -> None:
    if value is None or type(value) is int:
        return
    forms: dict[str, dict[Any, Any]] = {
        "static": {"static": _static},
        "tuple": {"tuple": [_tree]},
        "list": {"list": [_tree]},
        "dict": {"dict": {str: _tree}},
        "object": {"object": str, "fields": {str: _tree}},
    }
    kind = next((kind for kind in forms if isinstance(value, dict) and kind in value), None)
    if kind is None:
        _refuse(place, "a tree", value)
    _check(value, forms[kind], place)


def _static(value: Any, place: str) -> None:
    if not isinstance(value, dict):
        return
    kind, inner = next(iter(value.items()), ("", None))
    if kind in ("tuple", "list"):
        _check(inner, [_static], f"{place}.{kind}")
    elif not (kind == "float" and inner in ("inf", "-inf", "nan")) and kind != "repr":
        _refuse(place, "a compile-time value", value)


_TENSOR = {"name": str, "dtype": str, "shape": [_size]}
_ENTRY = {
    "symbols": [{"name": str, "min": int, "max": (int, NoneType), "multiple_of": int}],
    "inputs": [{**_TENSOR, "kind": str, "donated": _Maybe(bool), "source": _Maybe(str)}],
    "outputs": [{**_TENSOR, "alias": _Maybe(int)}],
    "parameters": [{"name": str, "kind": str, "tree": _tree}],
    "output_tree": _tree,
    "static": _Maybe({str: object}),
    "guards": _Maybe([{"left": _size, "right": _size, "message": str, "source": str}]),
    "variants": [
        {"target": str, "triple": str, "object": str, "symbol": str, "workspace": _Maybe((str, NoneType))}
        | {"features": _Maybe([str]), "module": _Maybe(str), "allow_infinity": _Maybe(bool)}
        | {"values": _Maybe([{"kernel": str, "result": int, "dtype": str, "rank": int, "source": [str]}])}
    ],
    "kernels": _Maybe(
        [{"name": str, "kind": str, "dispatches": int} | dict.fromkeys(("source", "targets"), _Maybe([str]))]
    ),
    "host_syncs": _Maybe([object]),
    "mesh": _Maybe({"shape": [int], "axes": [str], "devices": [int]}),
    "collectives": _Maybe(
        [
            {"kind": _kind, "axes": [str], "dtype": str, "source": _Maybe(str)}
            | dict.fromkeys(("count", "runs"), _Maybe(_known_size))
            | {"offset": _Maybe(int), "periodic": _Maybe(bool)}
        ]
    ),
}
_MODULE = {
    "arch": str,
    "cubin": _Maybe(str),
    "ptx": _Maybe(str),
    "kernels": [
        {"name": str, "threads": int, "cluster": int, "dynamic_shared": int, "pdl": bool, "source": _Maybe([str])}
        | dict.fromkeys(("shared", "registers", "spills"), _Maybe(int))
    ],
}
_MANIFEST = {
    "abi": int,
    "producer": _Maybe({str: object}),
    "entries": {str: _ENTRY},
    "modules": _Maybe({str: _MODULE}),
    "members": {str: {"size": int, "sha256": str}},
}


def check(manifest: Any) -> None:
    """Refuse a manifest of this version that is not of its form.

    Raises
    ------
    ValueError
        Naming the place.
    """
    _check(manifest, _MANIFEST, "")
    for name, entry in manifest["entries"].items():
        _check_collectives(f"entries.{name}", entry)
        arguments = sum(value["kind"] == "argument" for value in entry["inputs"])
        for key, trees, count in (
            ("parameters", [parameter["tree"] for parameter in entry["parameters"]], arguments),
            ("output_tree", [entry["output_tree"]], len(entry["outputs"])),
        ):
            leaves = [leaf for tree in trees for leaf in _leaves(tree)]
            if sorted(leaves) != list(range(count)):
                _refuse(f"entries.{name}.{key}", f"each of {count} tensors once", leaves)


def _check_collectives(place: str, entry: Any) -> None:
    mesh = entry.get("mesh", {"shape": [], "axes": [], "devices": [0]})
    if math.prod(mesh["shape"]) != len(mesh["devices"]):
        _refuse(f"{place}.mesh.devices", f"a rank for each place of {mesh['shape']}", mesh["devices"])
    symbols = {symbol["name"] for symbol in entry["symbols"]}
    for i, collective in enumerate(entry.get("collectives", ())):
        if unknown := set(collective["axes"]) - set(mesh["axes"]):
            _refuse(f"{place}.collectives[{i}].axes", "axes of the mesh", min(unknown))
        for key in ("count", "runs"):
            if unknown := set(_names(collective.get(key))) - symbols:
                _refuse(f"{place}.collectives[{i}].{key}", "symbols of the entry", min(unknown))


def _names(size: Any) -> Iterator[str]:
    if isinstance(size, str):
        yield size
    elif isinstance(size, list):
        yield from _names(size[1])
        yield from _names(size[2])


def _leaves(tree: Any) -> Iterator[int]:
    if isinstance(tree, int):
        yield tree
    elif tree is not None and "static" not in tree:
        children = next(tree[kind] for kind in ("tuple", "list", "dict", "fields") if kind in tree)
        for child in children.values() if isinstance(children, dict) else children:
            yield from _leaves(child)


def _check(value: Any, form: Form, place: str) -> None:
    if isinstance(form, list):
        if not isinstance(value, list):
            _refuse(place, "a list", value)
        for i, item in enumerate(value):
            _check(item, form[0], f"{place}[{i}]")
    elif isinstance(form, dict):
        if not isinstance(value, dict):
            _refuse(place, "an object", value)
        if str in form:
            for key, item in value.items():
                _check(item, form[str], f"{place}.{key}".lstrip("."))
            return
        for key, inner in form.items():
            if key in value:
                _check(value[key], inner.form if isinstance(inner, _Maybe) else inner, f"{place}.{key}".lstrip("."))
            elif not isinstance(inner, _Maybe):
                _refuse(place, f"a key '{key}'", "none")
    elif isinstance(form, (type, tuple)):
        # JSON's true is no number, though Python's is.
        if not isinstance(value, form) or (isinstance(value, bool) and form not in (bool, object)):
            names = form if isinstance(form, tuple) else (form,)
            _refuse(place, " or ".join("null" if name is NoneType else name.__name__ for name in names), value)
    elif not isinstance(form, _Maybe):
        form(value, place)


def _refuse(place: str, expected: str, got: Any) -> NoReturn:
    text = repr(got)
    text = text if len(text) <= 60 else text[:60] + "..."
    raise ValueError(f"{place or 'manifest.json'}: expected {expected}, got {text}")
