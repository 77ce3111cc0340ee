# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# ruff: noqa: E501  (tables of cases, one a line)
"""Artifacts that are truncated, altered, of another version or for another machine: an error each, never a crash."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import OBJECT, Entry, build, compile_c, rt, tensor, value
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import ADD, N, function

TINY = Entry(function("f", "*(float *)b[1] = *(const float *)b[0];"), [tensor("x", "f32")], [value("f32")])
DATA = build({"f": TINY})


def message(data: bytes, **options: bool) -> str:
    """What opening and calling says; "" when all is well."""
    try:
        result = rt.load_bytes(data, **options).entry("f")(2.5)
    except Exception as error:
        assert re.match(r"\[TSR3\d\d\d\] ", str(error)), error
        return str(error)
    assert result == 2.5
    return ""


def rewrite(edit: Callable[[dict[str, bytes]], None], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The archive with other members, correct as a zip."""
    members = {name: zipfile.ZipFile(io.BytesIO(DATA)).read(name) for name in ("manifest.json", OBJECT)}
    edit(members)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def manifest(**changes: Any) -> bytes:
    """The archive with fields of its manifest replaced; dots lead into it, ``...`` removes."""

    def edit(members: dict[str, bytes]) -> None:
        document = json.loads(members["manifest.json"])
        for path, new in changes.items():
            *parents, last = path.split("__")
            target = document
            for key in parents:
                target = target[int(key) if key.isdigit() else key]
            target[int(last) if last.isdigit() else last] = new
            if new is ...:
                del target[last]
        members["manifest.json"] = json.dumps(document).encode()

    return rewrite(edit)


def test_the_artifact_itself(tmp_path: Path) -> None:
    assert message(DATA) == ""
    path = tmp_path / "tiny.tsr"
    path.write_bytes(DATA)
    for name in (path, str(path), bytes(path)):
        assert rt.load(name, verify_weights=True).entry("f")(1.0) == 1
    assert message(rewrite(lambda members: None)) == ""  # no alignment is fine for code
    assert message(bytearray(DATA)) == "" and message(memoryview(DATA)) == ""


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"\[TSR3001\] cannot open '.*/none': No such file or directory"):
        rt.load(tmp_path / "none")
    with pytest.raises(Exception, match=r"\[TSR3001\] cannot map '.*': it is not a regular file"):
        rt.load(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(Exception, match=r"\[TSR3002\] '.*empty' is empty: expected a .tsr artifact"):
        rt.load(tmp_path / "empty")
    with pytest.raises(TypeError):
        rt.load(3)


def test_every_truncation_is_told() -> None:
    for size in range(len(DATA)):
        assert message(DATA[:size]).startswith("[TSR3002]"), size


def test_every_flipped_byte_is_told_or_harmless() -> None:
    # Padding, timestamps and such may differ; whatever loads gives the right result, which `message` asserts.
    for at in range(len(DATA)):
        altered = bytearray(DATA)
        altered[at] ^= 0x41
        message(bytes(altered))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_random_damage(data: st.DataObject) -> None:
    altered = bytearray(DATA)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(altered) - 1))
        altered[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=12))
    message(bytes(altered))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    assert message(data).startswith("[TSR3002]")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.sampled_from(["", "N", "+", "f32", "f"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "min", "left", "f"]), inner),
    max_leaves=8,
)
PLACES = [
    "format", "abi", "members", "entries", "entries__f", "entries__f__symbols", "entries__f__inputs", "entries__f__outputs",
    "entries__f__guards", "entries__f__variants", "entries__f__inputs__0__shape", "entries__f__inputs__0__dtype",
    "entries__f__variants__0__symbol", "entries__f__variants__0__features",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLACES), json_values)
def test_any_json_in_the_manifest(place: str, new: Any) -> None:
    try:
        loaded = rt.load_bytes(manifest(**{place: new}))
        if "f" in loaded.entries:
            loaded.entry("f")
    except Exception as error:
        assert re.match(r"\[TSR3\d\d\d\] ", str(error)), error


def expression(*parts: Any) -> bytes:
    return manifest(entries__f__outputs=[value("f32", list(parts))])


DEEP: Any = 1
for _ in range(100):
    DEEP = ["+", 1, DEEP]

CASES = [
    (rewrite(lambda m: m.pop("manifest.json")), "[TSR3002] not a .tsr artifact: the archive holds no manifest.json"),
    (rewrite(lambda m: None, zipfile.ZIP_DEFLATED), "[TSR3003] member 'manifest.json' is compressed or encrypted"),
    (rewrite(lambda m: m.pop(OBJECT)), f"[TSR3004] artifact lacks its member '{OBJECT}'"),
    (manifest(entries__f__variants__0__object="other.o"), "[TSR3004] entry 'f' names a member that the artifact lacks"),
    (rewrite(lambda m: m.update({OBJECT: m[OBJECT] + b"x"})), f"[TSR3005] member '{OBJECT}' is damaged: expected"),
    (
        rewrite(lambda m: m.update({OBJECT: m[OBJECT][:-1] + b"x"})),
        f"[TSR3005] member '{OBJECT}' is damaged: its SHA-256",
    ),
    (DATA.replace(b'"format": 1', b'"format": 2'), "[TSR3005] manifest.json is damaged: its checksum differs"),
    (
        rewrite(lambda m: m.update({"manifest.json": b"{"})),
        "[TSR3006] manifest.json is not well-formed JSON: incomplete",
    ),
    (rewrite(lambda m: m.update({"manifest.json": b"[" * 999})), "[TSR3006] manifest.json is not well-formed JSON: "),
    (manifest(format=...), "[TSR3007] manifest.json: member 'format' is missing"),
    (manifest(format="1"), "[TSR3007] manifest.json.format: expected an integer, got string"),
    (manifest(format=2), "[TSR3008] artifact format: expected version 1, got 2; a newer Tessera wrote it"),
    (manifest(format=0), "[TSR3008] artifact format: expected version 1, got 0; compile it again"),
    (manifest(abi=9), "[TSR3009] artifact ABI: expected version 1 to 1, got 9; update the runtime"),
    (manifest(entries=[]), "[TSR3007] manifest.json.entries: expected an object, got array"),
    (
        manifest(entries__f__inputs__0__dtype="f33"),
        "[TSR3007] manifest.json.entries.f.inputs[0].dtype: unknown dtype 'f33'",
    ),
    (
        manifest(entries__f__inputs__0__kind="x"),
        "[TSR3007] manifest.json.entries.f.inputs[0].kind: expected 'argument' or",
    ),
    (
        manifest(entries__f__inputs__0__donated=1),
        "[TSR3007] manifest.json.entries.f.inputs[0].donated: expected true or",
    ),
    (
        manifest(entries__f__outputs__0__alias=9),
        "[TSR3007] manifest.json.entries.f.outputs[0].alias: expected one of",
    ),
    (
        manifest(entries__f__outputs__0__alias=0),
        "[TSR3007] manifest.json.entries.f.outputs[0].alias: expected a donated argument of",
    ),
    (
        manifest(entries__f__inputs__0__name="a\0"),
        "[TSR3007] manifest.json.entries.f.inputs[0].name: a string may not hold",
    ),
    (
        manifest(entries__f__inputs__0__shape=[-1]),
        "[TSR3007] manifest.json.entries.f.inputs[0].shape[0]: expected a size",
    ),
    (
        manifest(entries__f__inputs__0__shape=[1] * 65),
        "[TSR3007] manifest.json.entries.f.inputs[0].shape: expected a rank",
    ),
    (
        expression("N"),
        "[TSR3007] manifest.json.entries.f.outputs[0].shape[0]: expected an integer, a symbol or [operator",
    ),
    (expression("+", 1), "[TSR3007] manifest.json.entries.f.outputs[0].shape[0]: expected an integer, a symbol or [op"),
    (expression("+", 1, 2, 3), "[TSR3007] manifest.json.entries.f.outputs[0].shape[0][3]: expected two operands"),
    (expression("+", 1, "Q"), "[TSR3007] manifest.json.entries.f.outputs[0].shape[0][2]: unknown symbol 'Q'"),
    (
        expression("+", 1, 2.5),
        "[TSR3007] manifest.json.entries.f.outputs[0].shape[0][2]: expected an array, got double",
    ),
    (expression("+", 1, DEEP), "[TSR3007] manifest.json.entries.f.outputs[0].shape[0]"),
    (manifest(entries__f__symbols=[N]), "[TSR3007] manifest.json.entries.f: symbol 'N' is no input's size on its own"),
    (
        manifest(entries__f__symbols=[{**N, "min": 5, "max": 4}]),
        "[TSR3007] manifest.json.entries.f.symbols[0].max: expected",
    ),
    (
        manifest(entries__f__symbols=[N] * 2000),
        "[TSR3007] manifest.json.entries.f.symbols: expected at most 1024 symbols",
    ),
    (manifest(entries__f__variants__0__symbol="g"), "[TSR3015] host object has no function 'g'"),
    (manifest(entries__f__variants__0__workspace="g"), "[TSR3015] host object has no function 'g'"),
    (manifest(entries__f__variants=[]), "[TSR3010] entry 'f' holds no code for this machine: expected cpu"),
    (
        manifest(entries__f__variants__0__triple="aarch64-linux-gnu"),
        "[TSR3010] entry 'f' holds no code for this machine",
    ),
]


@pytest.mark.parametrize("data, text", CASES, ids=[f"{i}-{case[1][1:8]}" for i, case in enumerate(CASES)])
def test_message(data: bytes, text: str) -> None:
    assert message(data).startswith(text), message(data)


def test_the_variant_that_suits_this_machine() -> None:
    def constant(number: int) -> bytes:
        return compile_c(function("f", f"*(float *)b[1] = {number};"))

    plain, better, alien = (f"host/x86_64-linux-gnu/{name}.o" for name in ("cpu", "cpu-sse2", "cpu-alien"))
    objects = {plain: constant(1), better: constant(2), alien: constant(3)}
    features = {better: ["sse2"], alien: ["sse2", "alien9000", "warp"]}
    entry = rt.load_bytes(build({"f": TINY}, objects=objects, features=features)).entry("f")
    assert entry(0.0) == 2 and entry.target == "cpu:sse2"
    only = rt.load_bytes(build({"f": TINY}, objects={alien: constant(3)}, features=features))
    assert only.entries == ["f"]  # looking needs no code
    text = "got cpu:alien for x86_64-linux-gnu (this CPU lacks alien9000 warp)"
    with pytest.raises(Exception, match=re.escape(text)):
        only.entry("f")


def test_zip64_archives_and_comments() -> None:
    stream = io.BytesIO()
    source = zipfile.ZipFile(io.BytesIO(DATA))
    with zipfile.ZipFile(stream, "w") as archive:
        archive.comment = b"PK\5\6 looks like an end record " * 9
        for name in source.namelist():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(source.read(name))
    assert message(stream.getvalue()) == ""
    # The same directory behind a ZIP64 end record.
    end = DATA.rindex(b"PK\5\6")
    count, _, size, offset = struct.unpack("<HHII", DATA[end + 8 : end + 20])
    record = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<IIQI", 0x07064B50, 0, end, 1)
    tail = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert message(DATA[:end] + record + locator + tail) == ""


def weighted(**tensors: np.ndarray) -> bytes:
    body = "*(float *)b[2] = *(const float *)b[0] + *(const float *)b[1] - 1;"
    entry = Entry(function("f", body), [tensor("x", "f32"), tensor("t", "f32", kind="weight")], [value("f32")])
    return build({"f": entry}, weights=tensors)


def test_weights_are_verified_on_request() -> None:
    data = weighted(t=np.array(1, np.float32))
    assert message(data, verify_weights=True) == ""
    at = data.index(b'"data_offsets":[0,4]')
    altered = data[:at] + data[at:].replace(struct.pack("<f", 1), struct.pack("<f", 2))
    assert altered != data and rt.load_bytes(altered).entry("f")(1.0) == 2
    assert message(altered, verify_weights=True).startswith("[TSR3005] member 'weights.safetensors' is damaged")


@pytest.mark.parametrize(
    "data, text",
    [
        (
            weighted(t=np.zeros(2, np.float32)),
            "weights.safetensors: weight 't': expected rank 0 [], got rank 1 [2] (f)",
        ),
        (weighted(t=np.array(0.0)), "weights.safetensors: weight 't': expected dtype f32, got f64 (f)"),
        (weighted(t=np.array(0, np.uint8)), "weights.safetensors.t.dtype: unknown dtype 'U8'"),
        (
            weighted(t=np.array(1, np.float32)).replace(b"[0,4]", b"[1,5]"),
            "weights.safetensors is truncated or damaged",
        ),
        (
            weighted(t=np.array(1, np.float32)).replace(b"[0,4]", b"[0,3]"),
            "weights.safetensors.t: expected data_offsets",
        ),
        (
            weighted(t=np.array(1, np.float32)).replace(b"[0,4]", b"[4,0]"),
            "weights.safetensors.t: expected data_offsets",
        ),
        (
            weighted(t=np.array(1, np.float32)).replace(b'"shape":[', b'"shapf":['),
            "weights.safetensors.t: member 'shape' is m",
        ),
        (
            weighted(t=np.array(1, np.float32)).replace(b'{"t"', b'["t"'),
            "the header of weights.safetensors is not well-f",
        ),
    ],
)
def test_weights_files(data: bytes, text: str) -> None:
    assert message(data).startswith(f"[TSR3017] {text}"), message(data)


def test_entries_share_one_program_and_outlive_its_object() -> None:
    loaded = rt.load_bytes(build({"f": TINY, "add": ADD}))
    assert sorted(loaded.entries) == ["add", "f"]
    add, f = loaded.entry("add"), loaded.entry("f")
    del loaded
    assert f(3.0) == 3 and (add(np.ones(3, np.float32), np.ones(3, np.float32)) == 2).all()
