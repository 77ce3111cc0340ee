# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A reference interpreter of the tessera dialect in NumPy: what the text of each operation's td says, and no more.

It lets tests of the frontend check numbers without the compiler, and tests of the compiler compare with something that
shares no code with it. It is slow and computes every intermediate in the dtype that the IR says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

NUMPY = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f8E4M3FN": ml_dtypes.float8_e4m3fn,
    "f8E5M2": ml_dtypes.float8_e5m2,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "i1": np.bool_,
}

_erf = np.vectorize(math.erf, otypes=[np.float64])
UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "not": np.invert,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "tanh": np.tanh,
    "erf": lambda x: _erf(x) if x.size else x,
    "sin": np.sin,
    "cos": np.cos,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "floor_div": np.floor_divide,
    "rem": np.remainder,
    "pow": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "shift_left": np.left_shift,
    "shift_right": np.right_shift,
}
COMPARE = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
REDUCE: dict[str, Callable[..., Any]] = {
    "reduce_sum": np.sum,
    "reduce_prod": np.prod,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_any": np.any,
    "reduce_all": np.all,
}
INDEX: dict[str, Callable[[int, int], int]] = {
    "arith.addi": lambda a, b: a + b,
    "arith.subi": lambda a, b: a - b,
    "arith.muli": lambda a, b: a * b,
    "arith.floordivsi": lambda a, b: a // b,
    "arith.remsi": lambda a, b: int(math.fmod(a, b)),
    "arith.maxsi": max,
    "arith.minsi": min,
}


class Interpreter:
    """Runs the functions of a module."""

    def __init__(self, module: Any) -> None:
        self.functions = {op.attributes["sym_name"].value: op for op in module.body.operations}

    def run(self, name: str, arguments: Sequence[Any], symbols: Mapping[str, int]) -> list[Any]:
        """Call a function on NumPy arrays (and ints for index arguments)."""
        block = self.functions[name].operation.regions[0].blocks[0]
        self.symbols = symbols
        return self._block(block, arguments, {})

    def _block(self, block: Any, arguments: Sequence[Any], outer: Mapping[Any, Any]) -> list[Any]:
        env = dict(outer)
        for argument, value in zip(block.arguments, arguments, strict=True):
            env[argument] = self._typed(value, argument.type)
        for view in block.operations:
            op = view.operation
            values = [env[operand] for operand in op.operands]
            if op.name in ("func.return", "tessera.yield"):
                return values
            with np.errstate(all="ignore"):
                results = self._op(op, values, env)
            for result, value in zip(op.results, results, strict=True):
                env[result] = self._typed(value, result.type)
        raise AssertionError("a block without terminator")

    def _typed(self, value: Any, type_: Any) -> Any:
        """The value, checked against its static type and rounded to its dtype."""
        if str(type_) == "index":
            return int(value)
        array = np.asarray(value)
        sizes = [None if type_.is_dynamic_dim(i) else type_.get_dim_size(i) for i in range(type_.rank)]
        assert len(sizes) == array.ndim, f"rank {array.ndim} for {type_}"
        assert all(s in (None, n) for s, n in zip(sizes, array.shape, strict=True)), f"{array.shape} for {type_}"
        return array.astype(NUMPY[str(type_.element_type)])

    def _op(self, op: Any, values: list[Any], env: Mapping[Any, Any]) -> list[Any]:
        name = op.name.removeprefix("tessera.")
        attributes = op.attributes
        if name in UNARY:
            return [UNARY[name](_wide(values[0]))]
        if name in BINARY:
            return [_integer_zero(name, *values)]
        if name in REDUCE:
            dims = tuple(attributes["dims"])
            return [_reduce(name, values[0], dims, "keepdims" in attributes)]
        if op.name in INDEX:
            return [INDEX[op.name](*values)]
        handler: Callable[[Any, list[Any], Mapping[Any, Any]], list[Any]] = getattr(self, "_" + name.replace(".", "_"))
        return handler(op, values, env)

    # -- one method for each other operation -------------------------------------------------------------------------

    def _symbol(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        return [self.symbols[op.attributes["name"].value]]

    def _bind_shape(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        array, *sizes = values
        dynamic = [n for i, n in enumerate(array.shape) if op.operands[0].type.is_dynamic_dim(i)]
        assert dynamic == sizes, f"shape {array.shape} bound to {sizes}"
        return []

    def _arith_constant(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        return [op.attributes["value"].value]

    def _from_index(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        return [np.int64(values[0])]

    def _constant(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        attribute, type_ = op.attributes["value"], op.results[0].type
        shape = tuple(type_.shape)
        dtype = np.dtype(NUMPY[str(type_.element_type)])
        if dtype == np.bool_:
            return [np.array([bool(attribute[i]) for i in range(math.prod(shape))], dtype).reshape(shape)]
        inner = re.fullmatch(r"dense<(.*)> : tensor<.*>", str(attribute), re.DOTALL)
        assert inner is not None
        if inner[1].startswith('"0x'):  # many elements are printed as their bytes
            return [np.frombuffer(bytes.fromhex(inner[1][3:-1]), dtype).reshape(shape)]
        elements = [_parse(text, dtype) for text in re.findall(r"[^\[\],\s]+", inner[1])]
        return [np.array(elements * (math.prod(shape) if attribute.is_splat else 1), dtype).reshape(shape)]

    def _compare(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        return [COMPARE[op.attributes["predicate"].value](*values)]

    def _select(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        return [np.where(*values)]

    def _cast(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        (x,), target = values, np.dtype(NUMPY[str(op.results[0].type.element_type)])
        if target == np.bool_:
            return [x != 0]
        if np.issubdtype(target, np.integer) and x.dtype.kind not in "ib":
            info = np.iinfo(target)
            wide = np.nan_to_num(np.trunc(x.astype(np.float64)), nan=0.0, posinf=np.inf, neginf=-np.inf)
            clipped = np.clip(wide, float(info.min), float(info.max))
            result = np.where(wide >= float(info.max), info.max, clipped.astype(np.float64))
            return [
                np.array(
                    [int(v) if abs(v) < 2.0**62 else info.max if v > 0 else info.min for v in result.ravel()], target
                ).reshape(x.shape)
            ]
        if "saturate" in op.attributes:
            limit = ml_dtypes.finfo(target).max
            return [np.clip(x.astype(np.float64), -float(limit), float(limit)).astype(target)]
        return [x.astype(target)]

    def _broadcast_to(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        return [np.broadcast_to(values[0], self._shape(op, values[1:]))]

    def _iota(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        shape, dim = self._shape(op, values), op.attributes["dim"].value
        along = np.arange(shape[dim]).reshape([-1 if i == dim else 1 for i in range(len(shape))])
        return [np.broadcast_to(along, shape)]

    def _reshape(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        return [values[0].reshape(self._shape(op, values[1:]))]

    def _transpose(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        return [values[0].transpose(list(op.attributes["permutation"]))]

    def _slice(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        x, rank = values[0], values[0].ndim
        shape = self._shape(op, values[1 + rank :])
        for dim, (offset, size, stride) in enumerate(
            zip(values[1 : 1 + rank], shape, op.attributes["strides"], strict=True)
        ):
            positions = offset + stride * np.arange(size)
            inside = not size or (positions.min() >= 0 and positions.max() < x.shape[dim])
            assert size >= 0 and inside, f"slice out of bounds: {offset}, {size}, {stride} of {x.shape[dim]}"
            x = np.take(x, positions, dim)
        return [x]

    def _concat(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        return [np.concatenate(values, op.attributes["dim"].value)]

    def _gather(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        x, indices = values
        dim = op.attributes["dim"].value
        if indices.size and not (indices.min() >= 0 and indices.max() < x.shape[dim]):
            raise IndexError(f"index out of range of {x.shape[dim]}")
        return [np.take(x, indices.astype(np.int64), dim)]

    def _argmax(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        return [np.argmax(values[0], op.attributes["dim"].value, keepdims="keepdims" in op.attributes)]

    def _argmin(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        return [np.argmin(values[0], op.attributes["dim"].value, keepdims="keepdims" in op.attributes)]

    def _cumsum(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        return [np.cumsum(values[0], op.attributes["dim"].value)]

    def _sort(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        (x,), dim = values, op.attributes["dim"].value
        order = _stable_order(x, dim, "descending" in op.attributes)
        return [np.take_along_axis(x, order, dim), order]

    def _topk(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        (x,), dim, k = values, op.attributes["dim"].value, op.attributes["k"].value
        order = np.take(_stable_order(x, dim, True), range(k), dim)
        return [np.take_along_axis(x, order, dim), order]

    def _matmul(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        a, b = values
        integers = a.dtype.kind == b.dtype.kind == "i"
        wide = np.float64 if not integers else a.dtype if a.dtype.itemsize >= 4 else np.int32
        return [a.astype(wide) @ b.astype(wide)]

    def _flash_attention(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        attributes = op.attributes
        assert "dropout" not in attributes, "the interpreter has no dropout"
        mask = values[3] if attributes["operandSegmentSizes"][3] else None
        scale = attributes["scale"].value if "scale" in attributes else None
        window = tuple(attributes["window"]) if "window" in attributes else None
        result, lse = attention(*values[:3], mask, "is_causal" in attributes, scale, window)
        return [result, lse][: len(op.results)]

    def _flash_attention_varlen(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        attributes = op.attributes
        assert "dropout" not in attributes, "the interpreter has no dropout"
        scale = attributes["scale"].value if "scale" in attributes else None
        window = tuple(attributes["window"]) if "window" in attributes else None
        result, lse = varlen_attention(*values[:5], "is_causal" in attributes, scale, window)
        return [result, lse][: len(op.results)]

    def _paged_attention(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        scale = op.attributes["scale"].value if "scale" in op.attributes else None
        window = op.attributes["window"].value if "window" in op.attributes else None
        return [paged_attention(*values, scale, window)]

    def _scatter(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        result, indices, updates = values[0].copy(), values[1], values[2]
        for index, update in zip(indices, updates, strict=True):
            if 0 <= index < len(result):
                result[index] = update
        return [result]

    def _cond(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        region = op.regions[0 if values[0] else 1]
        return self._block(region.blocks[0], [], env)

    def _while_loop(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        while self._block(op.regions[0].blocks[0], values, env)[0]:
            values = self._block(op.regions[1].blocks[0], values, env)
        return values

    def _scan(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        count, tensors = op.attributes["num_carry"].value, op.attributes["operandSegmentSizes"][0]
        carries, xs, length = values[:count], values[count:tensors], values[tensors]
        steps: list[list[Any]] = []
        for i in range(length):
            outputs = self._block(op.regions[0].blocks[0], [*carries, *(x[i] for x in xs)], env)
            carries = outputs[:count]
            steps.append(outputs[count:])
        if not steps:  # one step on zeros tells the shapes
            outputs = self._block(
                op.regions[0].blocks[0], [*carries, *(np.zeros(x.shape[1:], x.dtype) for x in xs)], env
            )
            return [*carries, *(np.zeros((0, *y.shape)) for y in outputs[count:])]
        stacked = [np.stack(ys) for ys in zip(*steps, strict=True)]
        return [*carries, *stacked]

    def _func_call(self, op: Any, values: list[Any], env: Any) -> list[Any]:
        callee = op.attributes["callee"].value
        return self._block(self.functions[callee].operation.regions[0].blocks[0], values, {})

    def _shape(self, op: Any, sizes: Sequence[int]) -> list[int]:
        type_, left = op.results[0].type, list(sizes)
        shape = [left.pop(0) if type_.is_dynamic_dim(i) else type_.get_dim_size(i) for i in range(type_.rank)]
        assert not left and all(n >= 0 for n in shape), f"sizes {sizes} for {type_}"
        return shape


def attention(
    q: Any, k: Any, v: Any, mask: Any = None, is_causal: bool = False, scale: Any = None, window: Any = None
) -> tuple[Any, Any]:
    """Attention in f64 by its definition, and the logarithm of the sum of exponentials."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    k, v = (np.repeat(x, q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = np.einsum("bhid,bhjd->bhij", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + np.asarray(mask, np.float64)
    i, j = np.arange(q.shape[2])[:, None] + k.shape[2] - q.shape[2], np.arange(k.shape[2])
    left, right = window or (-1, -1)
    hidden = (j > i) & is_causal | (j > i + right) & (right >= 0) | (j < i - left) & (left >= 0)
    scores = np.where(hidden, -np.inf, scores)
    highest = scores.max(-1, keepdims=True, initial=-np.inf)
    weights = np.exp(scores - np.where(np.isinf(highest), 0, highest))
    total = weights.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        lse = (np.log(total) + np.where(np.isinf(highest), 0, highest))[..., 0]
    return np.einsum("bhij,bhjd->bhid", weights / np.where(total == 0, 1, total), v), lse


def varlen_attention(
    q: Any, k: Any, v: Any, starts: Any, key_starts: Any, is_causal: bool = False, scale: Any = None, window: Any = None
) -> tuple[Any, Any]:
    """Attention of each sequence by itself."""
    out, lse = np.zeros((*q.shape[:2], v.shape[2])), np.full(q.shape[1::-1], -np.inf)
    for n in range(len(starts) - 1):
        mine, theirs = slice(*starts[n : n + 2]), slice(*key_starts[n : n + 2])
        heads_first = (np.swapaxes(x, 0, 1)[None] for x in (q[mine], k[theirs], v[theirs]))
        one, one_lse = attention(*heads_first, None, is_causal, scale, window)
        out[mine], lse[:, mine] = np.swapaxes(one[0], 0, 1), one_lse[0]
    return out, lse


def paged_attention(
    q: Any, k: Any, v: Any, tables: Any, lengths: Any, new: Any, scale: Any = None, window: Any = None
) -> Any:
    """Attention of each sequence's new tokens to its keys, gathered from their pages."""
    out = np.zeros((*q.shape[:3], v.shape[3]))
    for b, (length, count) in enumerate(zip(lengths, new, strict=True)):
        pages = tables[b, : -(-int(length) // k.shape[1])]
        keys, values = (x[pages].reshape(-1, *x.shape[2:])[:length].swapaxes(0, 1)[None] for x in (k, v))
        bounds = None if window is None else (window, 0)
        out[b, :, :count] = attention(q[b : b + 1, :, :count], keys, values, None, True, scale, bounds)[0][0]
    return out


def _wide(x: Any) -> Any:
    """ml_dtypes arrays lack some functions; f32 has them all."""
    return x if x.dtype.isbuiltin == 1 else x.astype(np.float32)


def _reduce(name: str, x: Any, dims: tuple[int, ...], keepdims: bool) -> Any:
    wide = _wide(x)
    if name in ("reduce_max", "reduce_min") and 0 in (x.shape[d] for d in dims):
        sign = -1 if name == "reduce_max" else 1
        extreme = (
            sign * np.inf if wide.dtype.kind == "f" else np.iinfo(x.dtype).min if sign < 0 else np.iinfo(x.dtype).max
        )
        return REDUCE[name](wide, axis=dims, keepdims=keepdims, initial=extreme)
    more = {"dtype": np.float64} if name in ("reduce_sum", "reduce_prod") and wide.dtype.kind == "f" else {}
    return REDUCE[name](wide, axis=dims, keepdims=keepdims, **more)


def _integer_zero(name: str, a: Any, b: Any) -> Any:
    if a.dtype.kind == "i" and name in ("shift_left", "shift_right"):
        width = a.dtype.itemsize * 8
        beyond = (b < 0) | (b >= width)
        shifted = BINARY[name](a, np.where(beyond, 0, b).astype(a.dtype))
        return np.where(beyond, np.where(a < 0, -1, 0) if name == "shift_right" else 0, shifted)
    return BINARY[name](_wide(a), _wide(b))


def _stable_order(x: Any, dim: int, descending: bool) -> Any:
    """Positions in sorted order, equals in theirs; NaN last, or first if descending."""
    keys = np.asarray(_wide(x))
    if not descending:
        return np.argsort(keys, dim, kind="stable")
    backwards = np.flip(np.argsort(np.flip(keys, dim), dim, kind="stable"), dim)
    return x.shape[dim] - 1 - backwards


def _parse(text: str, dtype: Any) -> Any:
    if text.startswith("0x") and dtype.kind != "i":  # NaN and infinities are printed as their bits
        return np.array([int(text, 16)], f"u{dtype.itemsize}").view(dtype)[0]
    return dtype.type(float(text)) if dtype.kind != "i" else dtype.type(int(text))
