# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The on-disk cache: least recently used first out, sizes, folders that cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tessera.driver.cache import DiskCache, default_folder, default_limit, format_size, parse_size
from tessera.errors import ArgumentError


def fill(cache: DiskCache, *keys: str) -> None:
    for age, key in enumerate(keys):
        path = cache.put(key, bytes(100))
        assert path is not None
        os.utime(path, ns=(0, 1000 * (age + 1)))


def test_get_and_put(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "c", 1000)
    assert cache.get("abc") is None
    path = cache.put("abc", b"data")
    assert path is not None and path.read_bytes() == b"data"
    assert cache.get("abc") == path
    assert cache.info().entries == 1
    assert cache.info().bytes == 4
    cache.remove("abc")
    assert cache.get("abc") is None


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 350)
    fill(cache, "aa1", "bb2", "cc3")
    assert cache.get("aa1") is not None  # now the latest
    assert cache.put("dd4", bytes(100)) is not None
    assert cache.get("bb2") is None
    assert all(cache.get(key) for key in ("aa1", "cc3", "dd4"))


def test_prune_and_clear(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1000)
    fill(cache, "aa1", "bb2", "cc3")
    assert cache.prune(200) == 100
    assert cache.get("aa1") is None
    assert cache.clear() == 200
    assert cache.info().entries == 0


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    assert DiskCache(tmp_path, 10).put("aa", bytes(11)) is None
    assert DiskCache(tmp_path, 0).put("aa", b"x") is None


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = DiskCache(tmp_path / "file" / "below", 1000)
    assert cache.put("aa", b"x") is None
    assert cache.get("aa") is None
    assert cache.info().entries == 0


def test_sizes() -> None:
    assert parse_size("1GiB") == 1 << 30
    assert parse_size("500M") == 500 << 20
    assert parse_size("1.5 kb") == 1536
    assert parse_size("12") == 12
    assert format_size(1536) == "1.5 KiB"
    assert format_size(12) == "12 B"
    with pytest.raises(ArgumentError, match="cache size: expected a number with an optional unit"):
        parse_size("lots")


def test_the_environment_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERA_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TESSERA_CACHE_SIZE", "2K")
    assert default_folder() == tmp_path
    assert default_limit() == 2048
    monkeypatch.delenv("TESSERA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg" / "tessera"
