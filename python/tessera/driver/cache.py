# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The on-disk cache of functions compiled on call.

One artifact a file, named by the digest of everything it was made from, so that a file is right for ever and nothing
needs locking: writers rename whole files into place, and the one that comes last writes the same bytes. The least
recently used go first when the cache outgrows its limit.

``TESSERA_CACHE_DIR`` moves it (default: ``$XDG_CACHE_HOME/tessera``, else ``~/.cache/tessera``); ``TESSERA_CACHE_SIZE``
limits it (default ``1GiB``; ``0`` turns it off).
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from tessera.container import write_atomically
from tessera.errors import ArgumentError

DEFAULT_LIMIT = 1 << 30
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class CacheInfo:
    """What a cache holds: its folder, how many artifacts, their bytes, and the limit."""

    folder: Path
    entries: int
    bytes: int
    limit: int


class DiskCache:
    """Artifacts by key.

    A folder that cannot be written makes a cache that keeps nothing; it never makes a call fail.
    """

    def __init__(self, folder: Path | None = None, limit: int | None = None) -> None:
        self.folder = folder if folder is not None else default_folder()
        self.limit = limit if limit is not None else default_limit()

    def get(self, key: str) -> Path | None:
        """Return the file of a key and mark it as used, or None."""
        path = self._path(key)
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def put(self, key: str, data: bytes) -> Path | None:
        """Keep an artifact and return its file; None when it does not fit or cannot be written."""
        if len(data) > self.limit:
            return None
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, (data,))
        except OSError:
            return None
        self.prune()
        return path

    def remove(self, key: str) -> None:
        """Drop a key, where a file proved to be damaged."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def prune(self, limit: int | None = None) -> int:
        """Remove the least recently used artifacts until the rest fit a limit; return the bytes removed."""
        limit = self.limit if limit is None else limit
        files = sorted(self._files(), key=lambda file: file[1].st_mtime_ns)
        excess = sum(status.st_size for _, status in files) - limit
        removed = 0
        for path, status in files:
            if removed >= excess:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                removed += status.st_size
        return removed

    def clear(self) -> int:
        """Remove everything; return the bytes removed."""
        return self.prune(limit=-1)

    def info(self) -> CacheInfo:
        """Count what is there."""
        files = self._files()
        return CacheInfo(self.folder, len(files), sum(status.st_size for _, status in files), self.limit)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.tsr"

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for path in self.folder.glob("??/*.tsr"):
            with contextlib.suppress(OSError):  # another process may prune at the same time
                found.append((path, path.stat()))
        return found


def default_folder() -> Path:
    """Where the cache is, by the environment."""
    explicit = os.environ.get("TESSERA_CACHE_DIR")
    if explicit:
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tessera"


def default_limit() -> int:
    """The limit in bytes, by the environment."""
    return parse_size(os.environ.get("TESSERA_CACHE_SIZE") or str(DEFAULT_LIMIT))


def parse_size(text: str) -> int:
    """Read ``1GiB``, ``500M``, ``1.5 GB`` or a number of bytes; units are powers of 1024."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if match is None:
        raise ArgumentError(
            f"[TSR4006] cache size: expected a number with an optional unit such as 500M or 1GiB, got {text!r}"
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])


def format_size(size: int) -> str:
    """Write a number of bytes for people."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
