# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights in and out of modules and artifacts: safetensors files, mapped; conversion; what is refused."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tessera
from tessera import Tensor, nn
from tessera.array import is_immutable
from tessera.dtypes import ALL
from tessera.weights import WeightsFile, read_weights

F = np.float32


@tessera.module
class Dense:
    def __init__(self, inputs: int = 3, outputs: int = 2, dtype: Any = F) -> None:
        self.weight = nn.Parameter(np.zeros((inputs, outputs), dtype))
        self.bias = nn.Parameter(np.zeros(outputs, dtype))

    def forward(self, x: Tensor["B", "?"]) -> Tensor["B", "?"]:
        return x @ self.weight + self.bias


STATE = {"weight": np.arange(6, dtype=F).reshape(3, 2), "bias": np.array([10, 20], F)}
X = np.ones((1, 3), F)
Y = [[6 + 10, 9 + 20]]


def write(path: Path, weights: dict[str, Any]) -> Path:
    path.write_bytes(b"".join(map(bytes, WeightsFile(weights))))
    return path


def write_raw(path: Path, header: bytes, data: bytes = b"") -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def state(module: Any) -> dict[str, list[Any]]:
    return {name: value.tolist() for name, value in module.state_dict().items()}


# ---- Modules


def test_a_module_goes_through_a_file(tmp_path: Path) -> None:
    one, other = Dense(), Dense()
    one.load_state_dict(STATE)
    one.save_safetensors(tmp_path / "w.safetensors")
    assert other(X).tolist() == [[0, 0]]
    other.load_safetensors(tmp_path / "w.safetensors")
    assert other(X).tolist() == Y  # without compiling again
    assert state(other) == state(one)


def test_every_dtype_goes_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    for dtype in ALL:
        one, other = Dense(dtype=dtype.numpy), Dense(dtype=dtype.numpy)
        one.load_state_dict({name: value.astype(dtype.numpy) for name, value in STATE.items()})
        one.save_safetensors(path)
        other.load_safetensors(path)
        assert other.weight.dtype == dtype and state(other) == state(one)


def test_files_of_other_writers(tmp_path: Path) -> None:
    writer = pytest.importorskip("safetensors.numpy")
    writer.save_file(STATE, tmp_path / "w.safetensors", metadata={"format": "np"})
    module = Dense()
    module.load_safetensors(tmp_path / "w.safetensors")
    assert module(X).tolist() == Y
    module.save_safetensors(tmp_path / "v.safetensors")
    assert {name: value.tolist() for name, value in writer.load_file(tmp_path / "v.safetensors").items()} == state(
        module
    )


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_floats_from_and_to_torch(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    files = pytest.importorskip("safetensors.torch")
    theirs = {key: torch.from_numpy(value).to(getattr(torch, name)) for key, value in STATE.items()}
    files.save_file(theirs, tmp_path / "w.safetensors")
    module = Dense(dtype=getattr(ml_dtypes, name))
    module.load_safetensors(tmp_path / "w.safetensors")
    assert state(module) == {key: value.float().tolist() for key, value in theirs.items()}
    module.save_safetensors(tmp_path / "v.safetensors")
    back = files.load_file(tmp_path / "v.safetensors")
    assert {key: (value.dtype, value.tolist()) for key, value in back.items()} == {
        key: (value.dtype, value.tolist()) for key, value in theirs.items()
    }


def test_names_of_a_file_are_renamed_or_skipped(tmp_path: Path) -> None:
    given = {"model.weight": STATE["weight"], "model.bias": STATE["bias"], "step": np.array(3, np.uint64)}
    path = write_raw(tmp_path / "w.safetensors", *other_dtypes(given))
    module = Dense()
    module.load_safetensors(path, rename=lambda name: name.removeprefix("model.") if "." in name else None)
    assert module(X).tolist() == Y
    with pytest.raises(tessera.ArgumentError, match=r"missing: bias, weight; unexpected: model.bias, model.w"):
        Dense().load_safetensors(path)
    with pytest.raises(tessera.ArgumentError, match=r"\[TSR1506\].* 'weight': expected one tensor, got 'model.weight'"):
        Dense().load_safetensors(path, rename=lambda name: "weight")


def other_dtypes(weights: dict[str, Any]) -> tuple[bytes, bytes]:
    """A header and its data, of dtypes that we don't write as well."""
    codes = {"float32": "F32", "uint64": "U64"}
    header, data = {}, b""
    for name, array in weights.items():
        span = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": codes[array.dtype.name], "shape": list(array.shape), "data_offsets": span}
        data += array.tobytes()
    return json.dumps(header).encode(), data


def test_several_files(tmp_path: Path) -> None:
    first = write(tmp_path / "1.safetensors", {"weight": STATE["weight"]})
    second = write(tmp_path / "2.safetensors", {"bias": STATE["bias"]})
    module = Dense()
    module.load_safetensors(iter([first, str(second)]))
    assert module(X).tolist() == Y
    with pytest.raises(tessera.ArgumentError, match=r"'bias': expected one tensor, got 'bias' in .*2.* and .*2"):
        module.load_safetensors([first, second, second])


def test_what_fits_is_taken_where_names_may_differ(tmp_path: Path) -> None:
    path = write(tmp_path / "w.safetensors", {"bias": STATE["bias"], "more": np.ones(1)})
    module = Dense()
    module.load_safetensors(path, strict=False)
    assert state(module) == {"weight": [[0, 0]] * 3, "bias": [10, 20]}


def test_floats_are_converted_on_request(tmp_path: Path) -> None:
    floats = [dtype for dtype in ALL if dtype.is_float]
    for theirs in floats:
        given = {name: value.astype(theirs.numpy) for name, value in STATE.items()}
        path = write(tmp_path / "w.safetensors", given)
        for ours in floats:
            from_file, from_dict = Dense(dtype=ours.numpy), Dense(dtype=ours.numpy)
            from_file.load_safetensors(path, cast=True)
            from_dict.load_state_dict(given, cast=True)
            expected = {name: value.astype(ours.numpy).tolist() for name, value in given.items()}
            assert state(from_file) == state(from_dict) == expected
            assert from_file.weight.dtype == ours


@pytest.mark.parametrize("cast", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": np.ones(3, F)}, "'bias': expected f32[2], got f32[3]"),
        ({"bias": np.ones((2, 1), F)}, "'bias': expected f32[2], got f32[2, 1]"),
        ({"bias": np.ones(2, np.int32)}, "'bias': expected f32[2], got int32[2]"),
        ({"bias": np.ones(3)}, "'bias': expected f32[2], got f64[3]"),
        ({"more": np.ones(1, F)}, "expected 2 tensors, got 3; missing: none; unexpected: more"),
    ],
)
def test_what_does_not_fit_changes_nothing(change: dict[str, Any], message: str, cast: bool, tmp_path: Path) -> None:
    given, module = {**STATE, **change}, Dense()
    path = write(tmp_path / "w.safetensors", given)
    for source, load in (("state dict", module.load_state_dict), (path, module.load_safetensors)):
        with pytest.raises(tessera.ArgumentError) as caught:
            load(given if source == "state dict" else path, cast=cast)
        assert str(caught.value).startswith(f"[TSR1506] {source}: {message}")
        assert "cast=True" not in str(caught.value)
    assert state(module) == state(Dense())


def test_the_help_for_another_float(tmp_path: Path) -> None:
    module = Dense()
    for load in (
        lambda: module.load_state_dict({**STATE, "bias": np.ones(2)}),
        lambda: module.load_safetensors(write(tmp_path / "w", {**STATE, "bias": np.ones(2)})),
        lambda: module.bias.load(np.ones(2)),
    ):
        with pytest.raises(tessera.ArgumentError, match=r"expected f32\[2\], got f64\[2\]") as caught:
            load()
        assert "help: pass cast=True to convert floats" in str(caught.value)
    assert state(module) == state(Dense())


def test_long_lists_of_names_are_cut() -> None:
    with pytest.raises(tessera.ArgumentError, match=r"unexpected: n00, .*, n07 and 12 more"):
        Dense().load_state_dict({**STATE, **{f"n{i:02}": X for i in range(20)}})


# ---- Files


def damaged(path: Path) -> dict[str, Callable[[], Any]]:
    def header(**fields: Any) -> Callable[[], Any]:
        entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **fields}
        return lambda: write_raw(path, json.dumps({"x": entry}).encode(), bytes(8))

    return {
        "expected 8 bytes or more, got 0": lambda: path.write_bytes(b""),
        "expected a header of 100 bytes, got 2": lambda: path.write_bytes(struct.pack("<Q", 100) + b"{}"),
        f"expected a header of {2**64 - 1} bytes": lambda: path.write_bytes(b"\xff" * 16),
        "the header is no JSON": lambda: write_raw(path, b"{"),
        "the header is no JSON: 'utf-8'": lambda: write_raw(path, b"\xff\xff"),
        "the header: expected an object, got list": lambda: write_raw(path, b"[]"),
        "'x': expected dtype, shape and data_offsets, got []": lambda: write_raw(path, b'{"x": []}'),
        "'x': expected dtype, shape and data_offsets, got {'dtype': 'F32', 'shape': [-2]": header(shape=[-2]),
        "'x': expected dtype, shape and data_offsets, got {'dtype': 'F32', 'shape': [1, ": header(shape=[1] * 65),
        "'x': expected dtype, shape and data_offsets, got {'dtype': 'F32', 'shape': 2": header(shape=2),
        "'x': expected dtype, shape and data_offsets, got {'dtype': 'F32', 'shape': [2.0]": header(shape=[2.0]),
        "'x': expected a dtype of F64, ": header(dtype="F4"),
        "'x': expected 8 bytes for F32[2], got 4": header(data_offsets=[0, 4]),
        "'x': expected 8 bytes for F32[2], got -8": header(data_offsets=[8, 0]),
        "'x': expected data up to byte 12, got 8 bytes": header(data_offsets=[4, 12]),
        f"'x': F32[0, {2**62}, {2**62}]: ": header(shape=[0, 2**62, 2**62], data_offsets=[0, 0]),
    }


@pytest.mark.parametrize("message", damaged(Path()))
def test_a_damaged_file_changes_nothing(message: str, tmp_path: Path) -> None:
    path, module = tmp_path / "w.safetensors", Dense()
    damaged(path)[message]()
    with pytest.raises(tessera.ArtifactError) as caught:
        module.load_safetensors(path)
    assert str(caught.value).startswith(f"[TSR4007] {path}: {message}")
    assert state(module) == state(Dense())


def test_a_file_truncated_anywhere_changes_nothing(tmp_path: Path) -> None:
    data, module = write(tmp_path / "w", STATE).read_bytes(), Dense()
    for size in range(0, len(data), 3):
        (tmp_path / "w").write_bytes(data[:size])
        with pytest.raises(tessera.ArtifactError, match="TSR4007"):
            module.load_safetensors(tmp_path / "w")
    assert state(module) == state(Dense())
    with pytest.raises(FileNotFoundError):
        module.load_safetensors(tmp_path / "none")


def test_what_is_not_aligned_is_copied(tmp_path: Path) -> None:
    header = b'{"x": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]}}'
    header += b" " * (-len(header) % 8)
    path = write_raw(tmp_path / "w", header, b"\0" + np.array([1, 2], F).tobytes())
    array = read_weights([path])["x"]
    assert array.flags.aligned and array.tolist() == [1, 2]


# ---- Memory


def test_arrays_that_nobody_can_write_to(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", STATE["bias"])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert is_immutable(mapped) and is_immutable(mapped[1:])
    assert is_immutable(np.frombuffer(b"1234", np.int8))
    hidden = np.frombuffer(memoryview(bytearray(4)).toreadonly(), np.int8)
    shared, owned = np.ones(2)[:], np.ones(2)
    shared.flags.writeable = owned.flags.writeable = False
    for array in (np.ones(2), shared, owned, hidden, np.load(tmp_path / "x.npy", mmap_mode="c")):
        assert not is_immutable(array)


def test_what_a_user_can_write_to_is_copied() -> None:
    module, bias = Dense(), np.ones(2, F)
    view = bias[:]
    view.flags.writeable = False
    module.load_state_dict({"weight": STATE["weight"].T.copy().T, "bias": view})
    bias[:] = 7
    assert state(module) == {"weight": STATE["weight"].tolist(), "bias": [1, 1]}
    assert module.weight.numpy().flags.c_contiguous  # as calls want it


BIG = (4 << 20, 4)  # 64 MiB


def resident() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


def added(work: Callable[[], object]) -> tuple[int, int]:
    """Bytes that Python allocates at most while working, and those that are resident after it."""
    tracemalloc.start()
    before = resident()
    work()
    result = tracemalloc.get_traced_memory()[1], resident() - before
    tracemalloc.stop()
    return result


def test_files_are_mapped(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-8, 8, BIG).astype(F)
    path = write(tmp_path / "w", {"weight": values, "bias": np.zeros(BIG[1], F)})
    module = Dense(*BIG)
    allocated, grown = added(lambda: module.load_safetensors(path))
    assert allocated < values.nbytes / 64 and grown < values.nbytes / 8
    copied = module.weight.numpy().copy()
    np.testing.assert_array_equal(copied, values)
    allocated, _ = added(lambda: module.load_state_dict({"weight": copied}, strict=False))
    assert allocated > values.nbytes * 0.99  # a copy would have been seen above
    module.load_safetensors(path)
    # The mapped array goes on as it is, to another module and to the runtime.
    other = Dense(*BIG)
    other.load_state_dict(module.state_dict())
    assert np.shares_memory(other.weight.numpy(), module.weight.numpy())


def test_an_artifacts_weights_are_mapped(tmp_path: Path) -> None:
    artifact = tessera.compile(Dense(*BIG))
    path = write(tmp_path / "w", {"weight": np.ones(BIG, F), "bias": np.zeros(BIG[1], F)})
    artifact.program  # noqa: B018 - opens it
    allocated, grown = added(lambda: artifact.load_weights(path))
    assert allocated < np.ones(BIG, F).nbytes / 64 and grown < np.ones(BIG, F).nbytes / 8
    assert artifact(np.ones((1, BIG[0]), F)).tolist() == [[BIG[0]] * BIG[1]]


def test_mapped_parameters_are_read_only_until_replaced(tmp_path: Path) -> None:
    path, module = write(tmp_path / "w", STATE), Dense()
    module.load_safetensors(path)
    with pytest.raises(ValueError, match="read-only"):
        module.bias[0] = 1
    module.bias.load(STATE["bias"] + 1)
    module.bias[0] = 1
    module.save_safetensors(path)  # over the file that is mapped
    assert state(module) == {"weight": STATE["weight"].tolist(), "bias": [1, 21]}
    again = Dense()
    again.load_safetensors(path)
    assert state(again) == state(module)


# ---- Artifacts


@pytest.fixture(scope="module")
def artifact_bytes() -> bytes:
    return tessera.compile(Dense()).to_bytes()


def test_an_artifact_takes_weights_without_compiling(artifact_bytes: bytes, tmp_path: Path) -> None:
    artifact = tessera.Artifact(artifact_bytes)
    assert artifact(X).tolist() == [[0, 0]]
    artifact.load_weights(write(tmp_path / "w", STATE))
    assert artifact(X).tolist() == Y
    wide = {name: value.astype(float) * 2 for name, value in STATE.items()}
    artifact.load_weights(write(tmp_path / "v", wide), cast=True)
    assert artifact(X).tolist() == (2 * np.array(Y)).tolist()
    artifact.load_weights(write(tmp_path / "u", {"bias": STATE["bias"], "more": X}), strict=False)
    assert artifact(X).tolist() == [[22, 38]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": np.ones(3, F)}, "'bias': expected f32[2], got f32[3]"),
        ({"bias": np.ones(2)}, "'bias': expected f32[2], got f64[2]"),
        ({"bias": np.ones(2, np.int8)}, "'bias': expected f32[2], got int8[2]"),
        ({"more": np.ones(1, F)}, "expected 2 tensors, got 3; missing: none; unexpected: more"),
    ],
)
def test_an_artifact_keeps_its_weights_on_an_error(
    change: dict[str, Any], message: str, artifact_bytes: bytes, tmp_path: Path
) -> None:
    artifact = tessera.Artifact(artifact_bytes)
    artifact.load_weights(write(tmp_path / "w", STATE))
    path = write(tmp_path / "v", {**STATE, "weight": STATE["weight"] + 1, **change})
    with pytest.raises(tessera.ArgumentError) as caught:
        artifact.load_weights(path)
    assert str(caught.value).startswith(f"[TSR1506] {path}: {message}")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(tessera.ArtifactError, match="TSR4007"):
        artifact.load_weights(path, strict=False, cast=True)
    assert artifact(X).tolist() == Y
