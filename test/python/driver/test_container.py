# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The artifact's file: layout, determinism, damage, weights, atomic writing."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tessera import container
from tessera.container import Container, pack, write_atomically
from tessera.errors import ArtifactError
from tessera.weights import WeightsFile

MEMBERS = {"host/x86_64-linux-gnu/cpu.o": b"\x7fELF" * 100, "b.bin": b"", "a.bin": bytes(1000)}
MANIFEST = {"producer": {"tessera": "test"}, "entries": {}}


def data_offset(data: bytes, info: zipfile.ZipInfo) -> int:
    name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
    return info.header_offset + 30 + int(name) + int(extra)


def pack_weights(weights: dict[str, np.ndarray[Any, Any]]) -> bytes:
    file = WeightsFile(weights)
    data = b"".join(file)
    assert len(data) == len(file)
    return data


def test_layout() -> None:
    data = pack(MANIFEST, MEMBERS)
    infos = zipfile.ZipFile(io.BytesIO(data)).infolist()
    assert [info.filename for info in infos] == ["manifest.json", *sorted(MEMBERS)]
    for info in infos:
        assert info.compress_type == zipfile.ZIP_STORED
        assert info.flag_bits == 0
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
        assert data_offset(data, info) % 256 == 0
        if info.filename in MEMBERS:
            start = data_offset(data, info)
            assert data[start : start + info.file_size] == MEMBERS[info.filename]


def test_same_members_same_bytes() -> None:
    assert pack(MANIFEST, MEMBERS) == pack(MANIFEST, dict(reversed(MEMBERS.items())))


def test_round_trip() -> None:
    with Container(pack(MANIFEST, MEMBERS)) as opened:
        opened.verify()
        assert opened.manifest["format"] == container.FORMAT_VERSION
        assert {name: opened.read(name) for name in opened.names()} == MEMBERS


def test_an_altered_member_is_found() -> None:
    data = bytearray(pack(MANIFEST, MEMBERS))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info = archive.getinfo("a.bin")
    data[data_offset(bytes(data), info) + 5] ^= 1
    with pytest.raises(ArtifactError, match=r"member 'a.bin' is damaged"):  # the zip's own checksum
        Container(bytes(data)).verify()
    replaced = io.BytesIO()
    with zipfile.ZipFile(replaced, "w") as archive, Container(pack(MANIFEST, MEMBERS)) as opened:
        archive.writestr("manifest.json", opened._archive.read("manifest.json"))
        archive.writestr("a.bin", b"other")
    with pytest.raises(ArtifactError, match=r"member 'a.bin' was altered"):
        Container(replaced.getvalue()).read("a.bin")


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04" + bytes(100)])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"\[TSR4005\]"):
        Container(data)


def test_every_truncation_is_refused() -> None:
    data = pack(MANIFEST, MEMBERS)
    for size in range(0, len(data), 37):
        with pytest.raises(ArtifactError):
            Container(data[:size])


def test_another_format_is_refused() -> None:
    data = pack({**MANIFEST, "format": 99}, {})
    with pytest.raises(ArtifactError, match="expected artifact format 1, got 99"):
        Container(data)


def test_a_zip_without_a_manifest_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", b"")
    with pytest.raises(ArtifactError, match=r"expected a member 'manifest.json', got none"):
        Container(file.getvalue())


def test_weights_are_safetensors() -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="reads what was written with another reader")
    weights = {
        "small": np.arange(3, dtype=np.int8),
        "w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.arange(4, dtype=np.float16),
        "flags": np.array([True, False]),
        "strided": np.arange(12, dtype=np.int64).reshape(3, 4)[:, ::2],
        "scalar": np.array(1.5),
        "empty": np.ones((0, 3), np.float32),
    }
    data = pack_weights(weights)
    (header_size,) = struct.unpack_from("<Q", data)
    assert (8 + header_size) % 256 == 0
    loaded = safetensors.load(data)
    assert loaded.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(loaded[name], array)
    assert data == pack_weights(dict(reversed(weights.items())))


def test_weights_of_every_dtype() -> None:
    for dtype in (np.float64, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, np.int16, np.int32):
        assert pack_weights({"w": np.ones(3, dtype)}).endswith(np.ones(3, dtype).tobytes())
    with pytest.raises(ArtifactError, match=r"weight 'w': expected a dtype of .*, got complex64"):
        pack_weights({"w": np.ones(3, np.complex64)})


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.tsr"
    path.write_bytes(b"old")

    def chunks() -> object:
        yield b"new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, chunks())  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.tsr"]
    write_atomically(path, [b"new", b"er"])
    assert path.read_bytes() == b"newer"
    assert os.listdir(tmp_path) == ["a.tsr"]


def test_written_files_have_the_usual_mode(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", [b""])
    (tmp_path / "b").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)
