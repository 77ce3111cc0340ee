# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""docs/artifact.md against the files that are written and the readers that read them."""

from __future__ import annotations

import dataclasses
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tessera
from tessera import Tensor
from tessera.artifact import Artifact
from tessera.container import ABI_VERSION, FORMAT_VERSION, Container, pack

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "artifact.md").read_text()
SCALE = np.linspace(0, 1, 4, dtype=np.float32)


@dataclasses.dataclass
class State:
    step: Any
    total: Any


@tessera.function
def everything(x: Tensor["B", "?"], y: Tensor["?", "B*2"], k: int = 3, mode: float = float("inf")) -> Any:
    return x @ y, {"a": x.sum(), "b": [y]}, State(x, y)


@tessera.function
def scaled(x: Tensor["N", 4], twice: bool = True) -> Tensor["N", 4]:
    return x * SCALE * (2 if twice else 1)


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return tessera.compile({"everything": everything, "scaled": scaled}, keep_ir=True)


def keys(value: Any, holder: str = "") -> Iterator[str]:
    """Every key of a manifest that is not the name of an entry, a member, a parameter or a field."""
    if isinstance(value, list):
        for item in value:
            yield from keys(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            is_name = holder in ("entries", "members", "static", "dict", "fields")
            if not is_name:
                yield key
            yield from keys(item, "" if is_name else key)


def test_every_key_of_the_manifest_is_documented(artifact: Artifact) -> None:
    found = set(keys(artifact.manifest))
    assert {"multiple_of", "left", "dispatches", "sha256", "tree", "tuple", "object", "fields", "mlir"} <= found
    assert {key for key in found if f"`{key}`" not in PAGE and f'"{key}"' not in PAGE} == set()


def test_every_member_is_documented(artifact: Artifact) -> None:
    named = [re.sub(r"<[^>]*>", "*", name) for name in re.findall(r"^\| `([^`]*[/.][^`]*)`", PAGE, re.MULTILINE)]
    for member in ["manifest.json", *artifact.manifest["members"]]:
        assert any(Path(member).match(name) for name in named) or member.endswith("/llvmir.ll"), member


def test_every_error_of_an_artifact_is_documented() -> None:
    documented = set()
    for first, last in re.findall(r"TSR(3\d+)(?: to TSR(3\d+))?", PAGE):
        documented |= set(range(int(first), int(last or first) + 1))
    table = (ROOT / "runtime" / "errors.def").read_text()
    assert {int(number) for number in re.findall(r"TSR_ERROR\((3\d+)", table)} == documented


def test_versions_are_those_of_the_compiler(artifact: Artifact) -> None:
    import llvmlite
    from tessera._mlir._mlir_libs import _tessera

    versions = artifact.inspect()["versions"]
    assert list(versions) == ["format", "abi", "tessera", "mlir", "llvmlite"]
    assert (versions["format"], versions["abi"]) == (FORMAT_VERSION, ABI_VERSION)
    assert versions["mlir"] == _tessera.mlir_version and re.fullmatch(r"22\.\d+\.\d+", versions["mlir"])
    assert versions["llvmlite"] == llvmlite.__version__


def test_readers_skip_keys_that_they_do_not_know(artifact: Artifact) -> None:
    def extended(value: Any, holder: str = "") -> Any:
        if isinstance(value, list):
            return [extended(item) for item in value]
        if not isinstance(value, dict):
            return value
        # Trees are read by their one key; the other holders' keys are names.
        if holder in ("tree", "output_tree", "static"):
            return value
        changed = {key: extended(item, key) for key, item in value.items()}
        return changed if holder in ("entries", "members") else {**changed, "later": {"than": ["this"]}}

    manifest = {key: item for key, item in artifact.manifest.items() if key != "members"}
    with Container(artifact.to_bytes()) as container:
        members = {name: container.read(name) for name in container.names()}
    later = Artifact(pack(extended(manifest), members))
    assert "later" in later.manifest["entries"]["scaled"]["inputs"][0]
    np.testing.assert_array_equal(later.scaled(np.ones((1, 4), np.float32)), 2 * SCALE[None])


def test_values_that_were_compiled_in_are_checked_by_python(artifact: Artifact) -> None:
    x = np.ones((2, 4), np.float32)
    with pytest.raises(tessera.ArgumentError, match=r"\[TSR1102\] argument 'twice': expected True"):
        artifact.scaled(x, twice=False)
    with pytest.raises(tessera.ArgumentError, match=r"\[TSR1101\]"):
        artifact.scaled(x, twicd=True)


def test_members_that_the_manifest_does_not_list_are_not_read(artifact: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "more.tsr"
    artifact.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "kept beside")
    loaded = tessera.load(path)
    assert "notes.txt" not in loaded.inspect()["members"]
    assert loaded.scaled(np.ones((1, 4), np.float32)).shape == (1, 4)


def test_source_names_no_folder(artifact: Artifact) -> None:
    text = json.dumps(artifact.manifest)
    sources = set(re.findall(r'"source": "([^"]+)"', text))
    assert sources and all(re.fullmatch(r"test_artifact_docs\.py:\d+", source) for source in sources)
    assert str(ROOT).encode() not in artifact.to_bytes()


def test_an_object_of_a_class_that_is_not_there(artifact: Artifact) -> None:
    x, y = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    assert isinstance(artifact.everything(x, y)[2], State)
    renamed = json.loads(json.dumps(artifact.manifest).replace(":State", ":Elsewhere"))
    with Container(artifact.to_bytes()) as container:
        members = {name: container.read(name) for name in container.names()}
    state = Artifact(pack(renamed, members)).everything(x, y)[2]
    assert type(state).__name__ == "SimpleNamespace"
    np.testing.assert_array_equal(state.step, x)
