# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where NVIDIA's tools are looked for, in which order, and what is said when they are not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tessera.driver import toolkit
from tessera.driver.sass import disassemble
from tessera.driver.toolkit import find_toolkit
from tessera.errors import ToolError

MakeRoot = Callable[..., Path]


@pytest.fixture
def make_root(tmp_path: Path) -> MakeRoot:
    """Makes folders laid out as a toolkit, whose ptxas only tells a version."""

    def make(name: str, version: str, *, libdevice: bool = True) -> Path:
        root = tmp_path / name
        (root / "bin").mkdir(parents=True)
        program = root / "bin" / "ptxas"
        program.write_text(f'#!/bin/sh\necho "Cuda compilation tools, release 13.0, V{version}"\n')
        program.chmod(0o755)
        if libdevice:
            (root / "nvvm" / "libdevice").mkdir(parents=True)
            (root / "nvvm" / "libdevice" / "libdevice.10.bc").write_bytes(version.encode())
        return root

    return make


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any of the tools."""
    monkeypatch.setattr(toolkit, "_WHEELS", "nvidia_that_is_not_there.cu13")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for name in ("TESSERA_PTXAS", "CUDA_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_wheels_serve() -> None:
    found = find_toolkit()
    assert found.ptxas.endswith("nvidia/cu13/bin/ptxas")
    assert found.ptxas_version.startswith("13.0.")
    assert found.libdevice_version.startswith("13.0.")
    assert (Path(found.root) / "nvvm" / "libdevice" / "libdevice.10.bc").is_file()


@pytest.mark.usefixtures("nothing")
def test_the_order(make_root: MakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_root("path", "13.0.1")
    monkeypatch.setenv("PATH", f"{path / 'bin'}:/usr/bin:/bin")
    assert find_toolkit().versions["ptxas"] == "13.0.1"
    assert find_toolkit().root == str(path)  # beside the program
    monkeypatch.setenv("CUDA_HOME", str(make_root("home", "13.0.2")))
    assert find_toolkit().ptxas_version == "13.0.2"
    wheel = make_root("wheel", "13.0.3")
    folders = toolkit.toolkit_folders
    monkeypatch.setattr(toolkit, "toolkit_folders", lambda: iter([wheel, *folders()]))
    assert (find_toolkit().ptxas_version, find_toolkit().root) == ("13.0.3", str(wheel))
    monkeypatch.setenv("TESSERA_PTXAS", str(make_root("variable", "13.0.4") / "bin" / "ptxas"))
    assert find_toolkit().ptxas_version == "13.0.4"
    assert find_toolkit(make_root("option", "13.0.5") / "bin" / "ptxas").ptxas_version == "13.0.5"


@pytest.mark.usefixtures("nothing")
def test_what_is_missing_is_named_with_all_places(make_root: MakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError) as caught:
        find_toolkit()
    assert caught.value.code == "TSR4008"
    for place in ("ptxas=", "TESSERA_PTXAS", "nvidia-cuda-nvcc", "$CUDA_HOME/bin (not set)", "PATH", "[cuda]"):
        assert place in str(caught.value)
    root = make_root("home", "13.0.2", libdevice=False)
    monkeypatch.setenv("CUDA_HOME", str(root))
    with pytest.raises(ToolError) as caught:
        find_toolkit()
    for place in ("needs libdevice", "nvidia-nvvm", f"$CUDA_HOME ({root})", f"beside {root}/bin/ptxas"):
        assert place in str(caught.value)
    with pytest.raises(ToolError, match="needs nvdisasm: expected it in the wheel nvidia-cuda-nvdisasm"):
        disassemble(b"")


def test_what_was_asked_for_by_name_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError, match=r"\[TSR4008\] ptxas=: expected the program ptxas, got '/nowhere/ptxas'"):
        find_toolkit("/nowhere/ptxas")
    monkeypatch.setenv("TESSERA_PTXAS", str(tmp_path))
    with pytest.raises(ToolError, match=rf"TESSERA_PTXAS: expected the program ptxas, got '{tmp_path}'"):
        find_toolkit()


def test_another_program_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "ptxas"
    other.write_text("#!/bin/sh\necho something else\n")
    other.chmod(0o755)
    with pytest.raises(ToolError, match=r"--version says 'something else"):
        find_toolkit(other)
    other.write_bytes(b"\x7fELF of another machine")
    with pytest.raises(ToolError, match="cannot be run"):
        find_toolkit(other)


@pytest.mark.usefixtures("nothing")
def test_libdevice_has_a_version(make_root: MakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_root("home", "13.0.2")
    monkeypatch.setenv("CUDA_HOME", str(root))
    assert find_toolkit().libdevice_version.startswith("sha256 ")
    toolkit._libdevice_version.cache_clear()
    (root / "version.json").write_text(json.dumps({"libnvvm": {"name": "CUDA libnvvm", "version": "13.0.88"}}))
    assert find_toolkit().versions == {"ptxas": "13.0.2", "libdevice": "13.0.88"}


def test_a_cubin_that_is_none_is_refused() -> None:
    with pytest.raises(ToolError, match=r"\[TSR4008\] nvdisasm refused the cubin"):
        disassemble(b"no cubin")
