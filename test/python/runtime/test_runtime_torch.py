# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Torch tensors in and out, through DLPack's exchange API, without copies."""

from __future__ import annotations

import re

import numpy as np
import pytest
from handmade import Entry, build, rt, tensor, value
from programs import N, function, load, program

torch = pytest.importorskip("torch", reason="torch is not installed")

DTYPES = {
    "f64": torch.float64,
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8_e4m3": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "bool": torch.bool,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 5), (0, 4), (64, 512)])
def test_every_dtype_comes_back_as_itself(dtype: str, shape: tuple[int, int]) -> None:
    x = torch.arange(shape[0] * shape[1]).reshape(shape).remainder(7).to(DTYPES[dtype])
    y = program(dtype).entry("copy")(x)
    assert type(y) is torch.Tensor and y.dtype == x.dtype and y.shape == x.shape and y.is_contiguous()
    assert torch.equal(
        y.view(torch.uint8) if y.dtype.itemsize == 1 else y, x.view(torch.uint8) if x.dtype.itemsize == 1 else x
    )
    assert y.data_ptr() % 64 == 0


def test_layouts() -> None:
    entry, x = program("f32").entry("copy"), torch.arange(24.0).reshape(4, 6)
    for view in (x.T, x[:, ::2], x[1:], x[:1].expand(3, 6), torch.nn.Parameter(x, requires_grad=False)):
        assert torch.equal(entry(view), view)


def test_kinds_of_results() -> None:
    entry, x = program("add").entry("add"), torch.ones(4)
    assert type(entry(x, np.ones(4, np.float32))) is torch.Tensor
    assert type(entry(np.ones(4, np.float32), x)) is torch.Tensor
    pair = load("pair", "", [tensor("x", "f32", "N")], [value("f32", "N"), value("int64")], [N])
    first, second = pair(x)
    assert first.shape == (4,) and second.shape == () and second.dtype == torch.int64


def test_results_outlive_the_program_and_behave_like_tensors() -> None:
    entry = load("ones", "for (int64_t i = 0; i < s[0]; ++i) ((float *)b[1])[i] = 1;", [tensor("x", "f32", "N")],
                 [value("f32", "N")], [N])  # fmt: skip
    y = entry(torch.zeros(1000))
    del entry
    y += 1
    assert y.sum() == 2000 and y.clone().equal(y) and y.numpy().sum() == 2000


def test_out() -> None:
    entry, x = program("add").entry("add"), torch.ones(4)
    out = torch.zeros(4)
    assert entry(x, x, out=out) is out and torch.equal(out, x + x)
    assert entry(x, np.ones(4, np.float32), out=np.zeros(4, np.float32)).sum() == 8
    with pytest.raises(Exception, match="TSR2017"):
        entry(x, out, out=out)
    with pytest.raises(Exception, match="TSR2015"):
        entry(x, x, out=torch.zeros(8)[::2])


def test_tensors_whose_memory_is_not_their_values() -> None:
    entry = program("f32").entry("copy")
    negated = torch.imag(torch.tensor([[1 + 2j]]).conj())
    assert negated.is_neg()
    text = "[TSR2028] argument 'x': the tensor's memory holds negated values; pass x.resolve_neg() (copy)"
    with pytest.raises(Exception, match=re.escape(text)):
        entry(negated)
    assert entry(negated.resolve_neg()) == -2
    with pytest.raises(
        Exception, match=r"TSR2028\] argument 'x': the tensor has no plain memory: RuntimeError: Cannot"
    ):
        entry(torch.eye(3).to_sparse())
    with pytest.raises(
        Exception, match=r"TSR2028\] argument 'x': the tensor has no plain memory: RuntimeError: Cannot"
    ):
        entry(torch.ones(3, 3, device="meta"))
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.ones(2, 2)
    with pytest.raises(Exception, match="TSR2020"):
        entry(fake)


def test_gradients_are_refused_unless_switched_off() -> None:
    entry, x = program("f32").entry("copy"), torch.ones(2, 2, requires_grad=True)
    with pytest.raises(Exception, match=re.escape("[TSR2028] argument 'x': the tensor requires grad")):
        entry(x)
    with torch.no_grad():
        assert entry(x).equal(x)
    assert entry(x.detach()).equal(x)


def test_weights_by_reference() -> None:
    body = "const float *t = b[1]; float *y = b[2]; for (int64_t i = 0; i < s[0]; ++i) y[i] = t[0];"
    entry = Entry(function("fill", body), [tensor("x", "f32", "N"), tensor("t", "f32", 1, kind="weight")],
                  [value("f32", "N")], [N])  # fmt: skip
    loaded = rt.load_bytes(build({"fill": entry}))
    weight = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    loaded.set_weight("t", weight)
    assert loaded.entry("fill")(torch.zeros(3)).sum() == 3
    weight += 1
    assert loaded.entry("fill")(torch.zeros(3)).sum() == 6


def test_dispatcher() -> None:
    call = rt.Dispatcher(lambda *args: "slow")
    call.add(program("f32").entry("copy"))
    x = torch.ones(2, 3)
    assert torch.equal(call(x), x) and call(x.double()) == "slow" and call(x[0]) == "slow"
