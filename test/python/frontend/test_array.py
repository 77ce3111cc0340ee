# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``tessera.Array``: values, dtypes, exchange with NumPy and other libraries."""

import gc
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tessera
from tessera import Array, dtypes
from tessera.dtypes import as_dtype, find_dtype


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda d: d.name)
def test_holds_every_dtype(dtype: Any) -> None:
    x = np.array([[0, 1], [1, 0]]).astype(dtype.numpy)
    array = Array(x)
    assert (array.shape, array.dtype, array.ndim, array.nbytes) == ((2, 2), dtype, 2, 4 * dtype.itemsize)
    assert array.numpy() is x
    assert np.asarray(array) is x
    assert np.array_equal(np.array(array, copy=True), x)
    assert dtype.name in repr(array)
    assert isinstance(array, tessera.Tensor)
    again = pickle.loads(pickle.dumps(array))
    assert again.dtype == dtype
    np.testing.assert_array_equal(again.numpy(), x)


def test_numbers_and_lists() -> None:
    assert Array(1.5).dtype == tessera.f32
    assert Array([1, 2]).dtype == tessera.int64
    assert Array([True]).dtype == tessera.bool_
    assert Array([1, 2], tessera.bf16).numpy().dtype == ml_dtypes.bfloat16
    assert (int(Array(3)), float(Array(2.5)), bool(Array(0)), Array([7]).item()) == (3, 2.5, False, 7)
    assert [10, 20, 30][Array(1)] == 20
    assert Array([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert len(Array([1, 2, 3])) == 3
    assert [int(v) for v in Array([1, 2])] == [1, 2]
    assert 2 in Array([1, 2])


def test_text() -> None:
    assert repr(Array([1.0, 2.5])) == "Array([1. , 2.5], dtype=f32)"
    assert repr(Array([1.0, 2.5], tessera.bf16)) == "Array([1. , 2.5], dtype=bf16)"


def test_refuses_other_dtypes() -> None:
    with pytest.raises(tessera.DTypeError, match="unknown dtype: expected one of f64, f32"):
        Array(np.ones(2, np.complex64))


def test_indexing_shares_memory() -> None:
    array = Array(np.arange(6.0).reshape(2, 3))
    array[0, 1] = 9.0
    assert array[0].tolist() == [0.0, 9.0, 2.0]
    row = array[1]
    row[0] = 5
    assert array[1, 0].item() == 5
    assert array[Array([1])].shape == (1, 3)


def test_numpy_functions_see_the_array() -> None:
    array = Array([1.0, 4.0])
    assert np.sqrt(array).tolist() == [1.0, 2.0]
    assert np.mean(array) == 2.5
    assert np.concatenate([array, array]).shape == (4,)


@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL], ids=lambda d: d.name)
def test_dlpack_to_torch(dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    array = Array(np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype.numpy)[:, ::2])
    tensor = torch.from_dlpack(array)
    assert find_dtype(tensor.dtype) == dtype
    assert tensor.float().tolist() == array.numpy().astype(np.float32).tolist()
    if dtype == tessera.bf16:
        tensor[0, 0] = 3  # the same memory
        assert float(array[0, 0]) == 3
    del tensor
    gc.collect()


def test_dlpack_lifetimes() -> None:
    torch = pytest.importorskip("torch")
    from tessera import dlpack

    before = len(dlpack._alive)
    array = Array([1, 2], tessera.bf16)
    capsule = array.__dlpack__()
    del capsule  # nobody took it
    assert len(dlpack._alive) == before
    tensor = torch.from_dlpack(array)
    del array
    gc.collect()
    assert tensor.tolist() == [1.0, 2.0]
    del tensor
    assert len(dlpack._alive) == before


def test_dlpack_refuses_read_only() -> None:
    x = np.ones(2, ml_dtypes.bfloat16)
    x.flags.writeable = False
    with pytest.raises(BufferError, match="read-only"):
        Array(x).__dlpack__()


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float32, torch.int32):
        tensor = torch.tensor([[1, 2], [3, 4]]).to(dtype).T
        array = Array(tensor)
        assert array.dtype == as_dtype(dtype)
        assert array.numpy().astype(np.float32).tolist() == [[1, 3], [2, 4]]
    assert Array(torch.ones(2, requires_grad=True)).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bf16", "bf16"),
        ("bfloat16", "bf16"),
        ("float8_e4m3fn", "fp8_e4m3"),
        (np.float64, "f64"),
        ("int8", "int8"),
        (np.dtype("i2"), "int16"),
        (bool, "bool"),
        (float, "f32"),
        (int, "int64"),
        (ml_dtypes.bfloat16, "bf16"),
        (tessera.f16, "f16"),
    ],
)
def test_names_of_dtypes(value: Any, expected: str) -> None:
    assert as_dtype(value) == expected
    assert pickle.loads(pickle.dumps(as_dtype(value))) is as_dtype(value)


def test_no_dtype() -> None:
    assert find_dtype(None) is None
    assert find_dtype("uint8") is None
    assert find_dtype(np.complex64) is None
    assert tessera.bf16 != tessera.f16
    assert tessera.bf16 == "bf16"
    assert {tessera.bf16: 1}["bf16"] == 1
