# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The exceptions of Tessera, one class for each cause, and the table of error codes.

Every message starts with a stable code, ``[TSR1104]``. The frontend and the driver take theirs from ``CODES``; those of
the runtime (2xxx and 3xxx) are in ``runtime/errors.def``. ``docs/errors.md`` is written from both by ``render_docs``.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class TesseraError(Exception):
    """Base of all errors. The message carries the code, the place and, where there is one, the fix."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    @property
    def code(self) -> str | None:
        """The ``TSR`` code, for example ``"TSR1104"``."""
        match = re.match(r"\[(TSR\d{4})\]", str(self))
        return match.group(1) if match else None


class SignatureError(TesseraError, TypeError):
    """A function's signature or annotation is not one Tessera can compile."""


class ArgumentError(TesseraError, TypeError):
    """A call's arguments don't fit the signature."""


class ShapeError(TesseraError, ValueError):
    """Sizes disagree."""


class DTypeError(TesseraError, TypeError):
    """Element types disagree, or an operation isn't defined for one."""


class TraceError(TesseraError, TypeError):
    """Python that has no meaning for tensors whose values are not known yet."""


class IndexingError(TesseraError, IndexError):
    """An index or a dimension that a tensor doesn't have."""


class CompileError(TesseraError):
    """The compiler failed, or refused what it was asked to compile."""


class TargetError(CompileError, ValueError):
    """An unknown target, or one that this build or this machine cannot serve."""


class ToolError(CompileError):
    """A program or library that compiling for a GPU needs is missing, or isn't what it should be."""


class ArtifactError(TesseraError):
    """A file is not an artifact that this version can load."""


class MeshError(TesseraError, ValueError):
    """A mesh, a sharding or a collective is not one that the ranks can carry out."""


class CapacityError(TesseraError, RuntimeError):
    """Something of a fixed size is full: a cache's pool of pages, or a sequence's slot in it."""


class RuntimeFailure(TesseraError, RuntimeError):
    """A compiled function failed while it ran."""


class NotFiniteError(TesseraError, FloatingPointError):
    """A function that was compiled with ``debug=True`` computed NaN or an infinity."""


class Code(NamedTuple):
    """One row of the table: the class raised, what is wrong, and what fixes it."""

    error: type[TesseraError]
    what: str
    fix: str


CODES: dict[str, Code] = {
    # 10xx: signatures
    "TSR1001": Code(
        SignatureError,
        "A shape annotation cannot be read.",
        'Write sizes as strings ("B", "D//2", "?", "..."), ints, and a dtype last: `Tensor["B", 64, tessera.bf16]`.',
    ),
    "TSR1002": Code(
        SignatureError,
        "A symbol occurs in expressions only, so no argument says how large it is.",
        "Let every symbol stand bare, as one whole dimension, in at least one argument.",
    ),
    "TSR1003": Code(
        SignatureError,
        'The extent of "..." is not known, and the function does not treat its dimensions alike.',
        'Give the number of leading dimensions, `dims={"...": 2}`, or example arguments, `args=(x,)`.',
    ),
    "TSR1004": Code(
        SignatureError,
        "A parameter cannot be compiled: it has no value and no annotation, or it is `*args` or `**kwargs`.",
        "Annotate tensors with `Tensor[...]`, give other parameters a default or `static={...}`.",
    ),
    "TSR1005": Code(
        SignatureError,
        "A function returns nothing, or something that is not made of tensors.",
        "Return a tensor, or a tuple, list, dict or dataclass of tensors.",
    ),
    "TSR1006": Code(
        SignatureError,
        "`dims`, `dtypes` or `static` names something that the signature lacks, or gives it an impossible value.",
        "Use the names of the signature.",
    ),
    "TSR1007": Code(
        SignatureError,
        "Something that isn't a function or a module is to be compiled.",
        "Decorate a Python function with `@tessera.function`, or a class with `@tessera.module`.",
    ),
    "TSR1008": Code(
        SignatureError,
        "A donated argument has no result that is its updated value, or several.",
        "Return what `tessera.scatter` makes of it, once; or leave `tessera.donated` away.",
    ),
    # 11xx: arguments and sizes
    "TSR1101": Code(ArgumentError, "A call's arguments don't fit the parameters.", "Call it as its signature says."),
    "TSR1102": Code(
        ArgumentError,
        "A compile-time parameter got a tensor, a value that cannot be compiled in, or another than was compiled in.",
        "Pass a Python number, string, bool or dtype; annotate the parameter as `Tensor[...]` to pass tensors; compile "
        "again with `static={...}` for another value.",
    ),
    "TSR1103": Code(ShapeError, "An argument has another rank than its annotation.", "Pass an array of that rank."),
    "TSR1104": Code(
        ShapeError,
        "One symbol or static dimension has two sizes.",
        "Pass arrays that agree, or give the dimensions different symbols.",
    ),
    "TSR1105": Code(
        ShapeError,
        "Two different symbols, or a symbol and a number, meet where sizes must be equal.",
        "Use one name for both in the signature, or fix the size with `dims={...}`.",
    ),
    "TSR1106": Code(ShapeError, "Two sizes meet that can never be equal.", "Reshape, transpose or slice an operand."),
    "TSR1107": Code(
        ShapeError, "A tensor has too few or too many dimensions for an operation.", "Reshape it to the rank asked for."
    ),
    "TSR1108": Code(
        ShapeError, "A reshape changes the number of elements.", "Give sizes whose product is the number of elements."
    ),
    "TSR1109": Code(
        ShapeError, "A result doesn't have the shape of its annotation.", "Correct the annotation or the function."
    ),
    # 12xx: symbolic sizes
    "TSR1201": Code(
        TraceError,
        "A comparison of sizes holds for some values of the symbols only.",
        "Fix the size with `dims`, give a range with `tessera.Dim`, or choose at run time.",
    ),
    "TSR1202": Code(
        TraceError,
        "A symbolic size is used where Python needs a number.",
        "Fix the size with `dims`, or compute with the size itself.",
    ),
    "TSR1203": Code(ShapeError, "A size is divided by zero.", "Divide by something else."),
    # 13xx: dtypes
    "TSR1301": Code(DTypeError, "An operation isn't defined for this dtype.", "Cast the operand first: `x.cast(...)`."),
    "TSR1302": Code(
        DTypeError,
        "An argument has another dtype than the signature says.",
        "Cast the array, or compile for its dtype with `dtypes={...}`.",
    ),
    "TSR1303": Code(
        DTypeError, "A Python number doesn't fit into the tensor's dtype.", "Cast the tensor to a wider dtype first."
    ),
    "TSR1304": Code(
        DTypeError, "A value has a type that cannot be a tensor.", "Pass tensors, NumPy arrays or Python numbers."
    ),
    "TSR1305": Code(DTypeError, "Branches or loop steps give different dtypes.", "Cast the values to one dtype."),
    # 14xx: Python in a traced function
    "TSR1401": Code(
        TraceError,
        "`if`, `while`, `and`, `or` or `not` on a tensor: its value isn't known while tracing.",
        "Use `tessera.where`, `tessera.cond` or `tessera.while_loop`.",
    ),
    "TSR1402": Code(
        TraceError,
        "A tensor is turned into a Python number, a NumPy array or text.",
        "Stay in tensors: `tessera.sqrt(x)` for `math.sqrt(x)`, `x.cast(tessera.int32)` for `int(x)`.",
    ),
    "TSR1403": Code(
        TraceError,
        "A tensor is iterated over.",
        "Use `tessera.split`, index with a range of known length, or `tessera.scan`.",
    ),
    "TSR1404": Code(
        TraceError, "A tensor is written in place.", "Build a new tensor: `tessera.where`, `tessera.concat`."
    ),
    "TSR1405": Code(
        TraceError,
        "A traced function changes a global or outer variable.",
        "Return the value instead, or pass state in and out.",
    ),
    "TSR1406": Code(
        TraceError,
        "A tensor is used outside the function, branch or loop in which it was made.",
        "Pass it as an argument, or return it.",
    ),
    "TSR1407": Code(TraceError, "A NumPy function that has no tensor form.", "Use the tessera function named."),
    "TSR1408": Code(TraceError, "A function calls itself while being traced.", "Use `tessera.while_loop` or `scan`."),
    # 15xx: operations
    "TSR1501": Code(IndexingError, "A dimension that the tensor doesn't have.", "Count dimensions from 0, or from -1."),
    "TSR1502": Code(IndexingError, "An index is out of bounds.", "Use an index below the size."),
    "TSR1503": Code(
        IndexingError,
        "A form of indexing that tensors don't have.",
        "Use ints, slices, `None`, `...` and integer tensors; `tessera.where` for masks.",
    ),
    "TSR1504": Code(ArgumentError, "An operation got an argument that it cannot take.", "See the operation's docs."),
    "TSR1505": Code(ShapeError, "Branches or loop steps give different shapes.", "Make both give the same shape."),
    "TSR1506": Code(
        ArgumentError,
        "Weights don't fit the module or artifact: their names, shapes or dtypes differ.",
        "Load the weights of the same model; `strict=False` takes what fits, `cast=True` converts floats.",
    ),
    # 16xx: meshes
    "TSR1601": Code(
        MeshError,
        "A mesh or a sharding cannot be read.",
        "Give `Mesh` each rank once and a name for each axis, `ShardSpec` an axis, a tuple or None for each dimension.",
    ),
    "TSR1602": Code(
        MeshError, "A group of ranks is named that the mesh does not have.", "Use the axes that the message gives."
    ),
    "TSR1603": Code(
        MeshError,
        "A tensor cannot be divided so: an axis must divide the dimension that it cuts.",
        "Pad the dimension, cut it along a shorter axis, or leave it whole.",
    ),
    "TSR1604": Code(
        MeshError,
        "A collective operation is used where there is no mesh, or a function on one mesh in a function on another.",
        "Decorate the function with `@tessera.on_mesh(mesh)`.",
    ),
    # 4xxx: compiler and driver
    "TSR4001": Code(CompileError, "The compiler refused the program.", "See the message; it names the user's line."),
    "TSR4002": Code(
        CompileError, "The compiler crashed.", "Report it with the reproducer whose path the message names."
    ),
    "TSR4003": Code(TargetError, "An unknown target.", "Use the nearest name that the message gives."),
    "TSR4004": Code(TargetError, "No code for this machine in the artifact.", "Compile again with its target."),
    "TSR4005": Code(ArtifactError, "The artifact cannot be written or read.", "See the message."),
    "TSR4006": Code(ArgumentError, "Wrong arguments to `compile`, or on the command line.", "See the message."),
    "TSR4007": Code(
        ArtifactError,
        "A safetensors file is damaged or truncated, or holds a dtype that cannot be read.",
        "Copy or save the file again; `rename` can leave a tensor out.",
    ),
    "TSR4008": Code(
        ToolError,
        "A tool of NVIDIA's that compiling for a GPU needs, or that shows machine code, is missing.",
        "`pip install 'tessera-compiler[cuda]'`, or set `TESSERA_PTXAS` or `CUDA_HOME`.",
    ),
    "TSR4009": Code(
        MeshError,
        "A cluster is unknown, or its description cannot be read.",
        "Name one of `tessera.dist.CLUSTERS`, or a .toml file of the form that docs/scaling.md shows.",
    ),
    "TSR4010": Code(
        ArgumentError,
        "An artifact is asked to show what its kernels compute, and was not compiled for that.",
        "Compile it with `debug=True`.",
    ),
}


def render_docs(runtime_errors: str = "") -> str:
    """Write ``docs/errors.md``.

    Parameters
    ----------
    runtime_errors
        The text of ``runtime/errors.def``, whose rows read ``TSR_ERROR(2001, ShapeError, "what", "fix")``.
    """
    rows = dict(CODES)
    classes = {name: cls for name, cls in globals().items() if isinstance(cls, type) and issubclass(cls, TesseraError)}
    pattern = r'TSR_ERROR\(\s*(\d{4}),\s*(?:\w+,\s*)?(\w+),\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)"\s*\)'
    for number, name, what, fix in re.findall(pattern, runtime_errors):
        rows[f"TSR{number}"] = Code(classes.get(name, TesseraError), what, fix)
    lines = [
        "# Errors by code",
        "",
        "<!-- Written by tessera.errors.render_docs from its table and runtime/errors.def; do not edit. -->",
        "",
        "Every message starts with its code. 1xxx: the Python frontend; 2xxx, 3xxx: the runtime; 4xxx: the compiler.",
        "",
    ]
    for code, row in sorted(rows.items()):
        lines += [f"## {code}", "", f"`tessera.errors.{row.error.__name__}`: {row.what}", "", f"*Fix:* {row.fix}", ""]
    return "\n".join(lines)
