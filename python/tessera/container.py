# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The ``.tsr`` file: a zip of stored members, each on 256 bytes, with ``manifest.json`` first.

The same members always give the same bytes. Reading here is for tools (``inspect``, IR text) and runs no code; calls go
through the runtime's own reader.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import secrets
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tessera.errors import ArtifactError
from tessera.manifest import check
from tessera.weights import ALIGNMENT, WeightsFile

FORMAT_VERSION = 1
ABI_VERSION = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
_PADDING_ID = 0xD935  # the extra field that Android's zipalign uses for the same purpose
_LOCAL_HEADER = 30
_ZIP64_EXTRA = 20


def pack(manifest: Mapping[str, Any], members: Mapping[str, bytes | WeightsFile]) -> bytes:
    """Return the bytes of an artifact.

    Parameters
    ----------
    manifest
        Everything but ``format``, ``abi`` and ``members``, which are filled in here.
    members
        The other members' contents by name.
    """
    ordered = dict(sorted(members.items()))
    document = {
        "format": FORMAT_VERSION,
        "abi": ABI_VERSION,
        **manifest,
        "members": {name: {"sha256": _sha256(data), "size": len(data)} for name, data in ordered.items()},
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {MANIFEST: text.encode(), **ordered}.items():
            _append(archive, file, name, data)
    return file.getvalue()


def _pieces(data: bytes | WeightsFile) -> Iterable[bytes | memoryview]:
    return (data,) if isinstance(data, bytes) else data


def _sha256(data: bytes | WeightsFile) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(data):
        digest.update(piece)
    return digest.hexdigest()


def _append(archive: zipfile.ZipFile, file: BinaryIO, name: str, data: bytes | WeightsFile) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3  # Unix, wherever this runs
    info.external_attr = 0o644 << 16
    info.file_size = len(data)
    start = file.tell() + _LOCAL_HEADER + len(name.encode())
    if len(data) * 1.05 > zipfile.ZIP64_LIMIT:  # zipfile's own rule for adding its 64-bit field
        start += _ZIP64_EXTRA
    padding = -(start + 6) % ALIGNMENT
    info.extra = struct.pack("<HHH", _PADDING_ID, 2 + padding, ALIGNMENT) + bytes(padding)
    with archive.open(info, "w") as member:
        for piece in _pieces(data):
            member.write(piece)


class Container:
    """Reads an artifact's members without running any of its code.

    Parameters
    ----------
    source
        A path, or the artifact's bytes.

    Raises
    ------
    ArtifactError
        When the file is not an artifact, is damaged, or has a format this version does not know.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes) -> None:
        self._name = "artifact" if isinstance(source, bytes) else os.fspath(source)
        file: Any = io.BytesIO(source) if isinstance(source, bytes) else self._name
        try:
            self._archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, EOFError, ValueError, struct.error) as error:
            raise ArtifactError(
                f"[TSR4005] {self._name}: expected a Tessera artifact, got a damaged or different file ({error})"
            ) from None
        try:
            manifest = json.loads(self._read(MANIFEST))
            version = manifest.get("format") if isinstance(manifest, dict) else FORMAT_VERSION
            if version == FORMAT_VERSION:  # another version's may have another form
                check(manifest)
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"[TSR4005] {self._name}: the manifest is damaged: {error}") from None
        if version != FORMAT_VERSION:
            raise ArtifactError(
                f"[TSR4005] {self._name}: expected artifact format {FORMAT_VERSION}, got {version}: "
                "compile it again, or use the version of Tessera that made it"
            )
        self.manifest: dict[str, Any] = manifest

    def names(self) -> list[str]:
        """Names of the members that the manifest lists."""
        return list(self.manifest["members"])

    def read(self, name: str) -> bytes:
        """Return a member's contents, after checking its digest."""
        data = self._read(name)
        member = self.manifest["members"].get(name)
        if member is None or hashlib.sha256(data).hexdigest() != member["sha256"]:
            raise ArtifactError(
                f"[TSR4005] {self._name}: member '{name}' was altered: its digest is not the manifest's"
            )
        return data

    def verify(self) -> None:
        """Check the digest of every member."""
        for name in self.names():
            self.read(name)

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, name: str) -> bytes:
        try:
            info = self._archive.getinfo(name)
            # What is compressed could be of any size.
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise ArtifactError(f"[TSR4005] {self._name}: member '{name}' is compressed: expected it stored")
            return self._archive.read(info)
        except KeyError:
            raise ArtifactError(f"[TSR4005] {self._name}: expected a member '{name}', got none") from None
        except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OSError, struct.error) as error:
            raise ArtifactError(f"[TSR4005] {self._name}: member '{name}' is damaged: {error}") from None


def write_atomically(path: str | os.PathLike[str], chunks: Iterable[bytes | memoryview]) -> None:
    """Write a file whole or not at all: to a temporary name in the same folder, then renamed."""
    target = Path(path)
    temporary = target.parent / f".{target.name}.{secrets.token_hex(8)}.tmp"
    # "x": never follow or overwrite what someone else put there; the mode follows the umask, as open()'s does.
    with open(temporary, "xb") as file:
        try:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
