# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Fixtures of the driver's tests: every test has its own cache and reproducer folders."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `import sample`, whatever pytest's import mode


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TESSERA_REPRODUCER_DIR", str(tmp_path / "reproducers"))
    if "PYTHONPATH" in os.environ:  # tests start processes in other folders
        folders = os.environ["PYTHONPATH"].split(os.pathsep)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(os.path.abspath, folders)))
    monkeypatch.delenv("TESSERA_CACHE_SIZE", raising=False)
    monkeypatch.delenv("TESSERA_TEST_FAULT", raising=False)


@pytest.fixture(scope="session")
def sample_bytes() -> bytes:
    """An artifact of the hand-written program in sample.py, for two targets."""
    import sample

    return sample.artifact_bytes()


@pytest.fixture
def sample_path(sample_bytes: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "sample.tsr"
    path.write_bytes(sample_bytes)
    return path
