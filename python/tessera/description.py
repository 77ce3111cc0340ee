# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a manifest says, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `Artifact.inspect` returns, from a manifest."""
    entries: Mapping[str, Any] = manifest["entries"]

    def gather(key: str) -> list[Any]:
        return [item for entry in entries.values() for item in entry.get(key, ())]

    def listed(entry: Mapping[str, Any], kind: str) -> list[Any]:
        return [item for item in entry["inputs"] if item.get("kind", "argument") == kind]

    return {
        "signature": {
            name: {
                "text": signature_text(name, entry),
                "symbols": entry["symbols"],
                "inputs": listed(entry, "argument"),
                "outputs": entry["outputs"],
                "static": entry.get("static", {}),
                "guards": entry.get("guards", []),
            }
            for name, entry in entries.items()
        },
        "targets": list(dict.fromkeys(variant["target"] for variant in gather("variants"))),
        "kernels": _kernels(gather("kernels"), manifest.get("modules", {})),
        "weights": {
            item["name"]: _describe_weight(item, entry)
            for entry in entries.values()
            for item in listed(entry, "weight")
        },
        "collectives": gather("collectives"),
        "host_syncs": gather("host_syncs"),
        "versions": {
            "format": manifest.get("format"),
            "abi": manifest.get("abi"),
            **manifest.get("producer", {}),
        },
        "members": manifest.get("members", {}),
    }


def _describe_weight(item: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """A weight as it is in the file: whole, also where the ranks of a mesh divide it."""
    described = {"dtype": item["dtype"], "shape": item["shape"]}
    if "sharding" in item:
        from tessera.dist import Mesh, ShardSpec

        mesh, spec = Mesh.from_manifest(entry["mesh"]), ShardSpec.from_manifest(item["sharding"])
        described |= {"shape": list(mesh.whole(item["shape"], spec)), "sharding": item["sharding"]}
    return described


def _kernels(kernels: list[Any], modules: Mapping[str, Any]) -> list[Any]:
    """Each kernel, with what it takes on each GPU target; those that no entry names come last."""
    facts: dict[str, dict[str, Any]] = {}
    for target, module in modules.items():
        for kernel in module["kernels"]:
            taken = {key: value for key, value in kernel.items() if key != "name"}
            facts.setdefault(kernel["name"], {})[target] = taken
    rows = []
    for kernel in kernels:
        on = facts.get(kernel["name"], {})
        if "targets" in kernel:
            on = {target: on.get(target, {}) for target in kernel["targets"]}
        rows.append({**kernel, "targets": on} if on else kernel)
    named = {kernel["name"] for kernel in kernels}
    return rows + [{"name": name, "targets": on} for name, on in facts.items() if name not in named]


def signature_text(name: str, entry: Mapping[str, Any]) -> str:
    """Write an entry's signature for people: ``rms_norm(x: f32[B, S, D], weight: f32[D]) -> f32[B, S, D]``."""

    def tensor(item: Mapping[str, Any]) -> str:
        return f"{item['dtype']}[{', '.join(map(size_text, item['shape']))}]"

    inputs = [
        f"{item['name']}: {tensor(item)}" for item in entry["inputs"] if item.get("kind", "argument") == "argument"
    ]
    outputs = [tensor(item) for item in entry["outputs"]]
    result = outputs[0] if len(outputs) == 1 else f"({', '.join(outputs)})"
    return f"{name}({', '.join(inputs)}) -> {result}"


def size_text(size: Any) -> str:
    """Write a size expression of a manifest: ``["*", "D", 2]`` is ``D * 2``."""
    if not isinstance(size, list):
        return str(size)
    operator, *operands = size
    texts = [
        f"({size_text(o)})" if isinstance(o, list) and o[0] not in ("max", "min") else size_text(o) for o in operands
    ]
    if operator in ("max", "min"):
        return f"{operator}({', '.join(texts)})"
    return f" {operator} ".join(texts)
