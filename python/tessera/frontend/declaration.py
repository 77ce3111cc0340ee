# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A Python function's signature as Tessera reads it: which parameters are tensors, trees of them, or constants."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Union, get_args, get_origin

from tessera.dtypes import DType, array_dtype
from tessera.frontend.annotations import TensorSpec, donated
from tessera.frontend.dims import Size
from tessera.frontend.source import Frame, definition, diagnostic
from tessera.frontend.tensor import MeshTensor, Tensor

MISSING: Any = inspect.Parameter.empty
_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional_only",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional_or_keyword",
    inspect.Parameter.KEYWORD_ONLY: "keyword_only",
}


class Leaf:
    """A tensor among the arguments: its name, its annotation if it has one, and its value if one was given."""

    def __init__(self, name: str, spec: TensorSpec | None, value: Any = None) -> None:
        self.name = name
        self.spec = spec
        self.value = value


class Static:
    """A compile-time constant among the arguments."""

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter: ``annotation`` is resolved; ``MISSING`` where there is none."""

    name: str
    kind: str
    annotation: Any
    default: Any


class Declaration:
    """The signature of a function, with annotations resolved and checked.

    Raises
    ------
    SignatureError
        If an annotation cannot be read, or a symbol occurs in expressions only.
    """

    def __init__(self, function: Callable[..., Any], local_names: Mapping[str, Any]) -> None:
        self.function = function
        self.frame: Frame | None = definition(inspect.unwrap(function))
        self.python = inspect.signature(function)
        resolve = _resolver(function, local_names)
        self.parameters: list[Parameter] = []
        for parameter in self.python.parameters.values():
            if parameter.kind not in _KINDS:
                stars = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else "**"
                raise self.error("TSR1004", f"parameter '{stars}{parameter.name}': expected named parameters only")
            annotation = resolve(parameter.annotation)
            self.parameters.append(Parameter(parameter.name, _KINDS[parameter.kind], annotation, parameter.default))
        self.returns = resolve(self.python.return_annotation)
        self._check_symbols()

    def error(self, code: str, message: str, help: str = "") -> Exception:
        """An error at the ``def`` line."""
        return diagnostic(code, message, help=help, frames=[self.frame] if self.frame else [])

    def symbols(self) -> list[str]:
        """The names of symbols that arguments bind, in order."""
        specs = [spec for p in self.parameters for spec in tensor_specs(p.annotation)]
        return list(dict.fromkeys(dim.symbol for spec in specs for dim in spec.dims if dim.symbol))

    def _check_symbols(self) -> None:
        bare = set(self.symbols())
        places = [(f"parameter '{p.name}'", p.annotation) for p in self.parameters] + [("the result", self.returns)]
        for place, annotation in places:
            for spec in tensor_specs(annotation):
                for dim in spec.dims:
                    for name in dim.names():
                        if name not in bare:
                            raise self.error(
                                "TSR1002",
                                f"symbol '{name}' of {place}: expected it to stand bare in some argument's shape, "
                                f"got only '{dim}'",
                                help=f'give an argument a dimension "{name}", or write "?" for a size without a name',
                            )

    # -- arguments ---------------------------------------------------------------------------------------------------

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The value of each parameter that is given, by name.

        Raises
        ------
        ArgumentError
            As Python would raise a TypeError.
        """
        try:
            return dict(self.python.bind_partial(*args, **kwargs).arguments)
        except TypeError as error:
            shown = f"{getattr(self.function, '__name__', 'function')}{self.python}"
            raise diagnostic("TSR1101", f"call of {shown:.200}: {error}") from None

    def arguments(self, given: Mapping[str, Any], present: set[str], static: Mapping[str, Any]) -> dict[str, Any]:
        """Every parameter's value, with ``Leaf`` for tensors and ``Static`` for constants.

        Parameters
        ----------
        given
            Values by parameter.
        present
            Optional tensors to take although no value is given.
        static
            Values of compile-time constants.
        """
        result: dict[str, Any] = {}
        for parameter in self.parameters:
            name = parameter.name
            value = given.get(name, static.get(name, MISSING))
            if value is not MISSING:
                result[name] = self._leaves(parameter.annotation, value, name)
            elif parameter.default is None and name in present:
                result[name] = self._from_annotation(_without_none(parameter.annotation), name)
            elif parameter.default is not MISSING:
                if is_array(parameter.default):
                    raise self.error(
                        "TSR1004",
                        f"parameter '{name}': expected None or a constant as its default, got an array",
                        help="take None and replace it inside the function, which may close over the array",
                    )
                result[name] = self._leaves(parameter.annotation, parameter.default, name)
            else:
                result[name] = self._from_annotation(parameter.annotation, name)
        return result

    def _leaves(self, annotation: Any, value: Any, name: str) -> Any:
        return map_tree(value, annotation, name, self._leaf)

    def _leaf(self, name: str, annotation: Any, value: Any) -> Any:
        annotation = _tensor_choice(annotation, value)
        if isinstance(annotation, TensorSpec) or annotation in (Tensor, MeshTensor):
            return Leaf(name, annotation if isinstance(annotation, TensorSpec) else None, value)
        if is_array(value):
            if annotation is MISSING or annotation in (Any, object) or not _is_constant_type(annotation):
                return Leaf(name, None, value)
            if getattr(value, "ndim", 1) == 0 and not isinstance(value, Tensor):
                return Static(name, value.item())  # numpy.float32(1e-6) for eps
            raise diagnostic(
                "TSR1102",
                f"parameter '{name}': expected a compile-time {_type_name(annotation)}, got a tensor",
                help=f"annotate it as `{name}: Tensor[...]` (Tensor[()] for a number) to pass tensors",
            )
        if isinstance(value, (bool, int, float, str, DType)):
            return Static(name, value)
        if isinstance(value, Size):
            raise diagnostic(
                "TSR1102",
                f"parameter '{name}': expected a compile-time constant, got the symbolic size '{value}'",
                help="fix the size with dims={...}, or take it from a tensor argument's shape inside the function",
            )
        raise diagnostic(
            "TSR1102",
            f"parameter '{name}': expected a tensor, number, string, bool, dtype or a tree of them, "
            f"got {type(value).__name__}",
        )

    def _from_annotation(self, annotation: Any, name: str) -> Any:
        """A parameter for which no value is known: tensors of its annotated shape."""
        if isinstance(annotation, TensorSpec):
            return Leaf(name, annotation)
        inner = _without_none(annotation)
        if inner is not annotation:
            return None if not isinstance(inner, TensorSpec) else Leaf(name, inner)
        origin, items = get_origin(annotation), get_args(annotation)
        if any(True for _ in tensor_specs(annotation)):
            if origin is tuple and Ellipsis not in items:
                return tuple(self._from_annotation(item, f"{name}.{i}") for i, item in enumerate(items))
            if isinstance(annotation, type):
                fields = {k: self._from_annotation(v, f"{name}.{k}") for k, v in _field_hints(annotation).items()}
                return fields if typing.is_typeddict(annotation) else annotation(**fields)
        wanted = "an annotation" if annotation is MISSING else "a value"
        raise self.error(
            "TSR1004",
            f"parameter '{name}': expected {wanted}, a default or a value to compile with, got none",
            help=f'annotate tensors, `{name}: Tensor[...]`; give constants with static={{"{name}": ...}} '
            f"or a default; show trees with args=(...)",
        )


# -- trees -----------------------------------------------------------------------------------------------------------


def map_tree(value: Any, annotation: Any, name: str, leaf: Callable[[str, Any, Any], Any]) -> Any:
    """Rebuild a nested value with ``leaf(name, annotation, value)`` for every leaf; named as ``tessera.tree`` does."""
    annotation = _without_none(annotation)
    if value is None:
        return None

    def child(key: Any, item: Any) -> Any:
        return map_tree(item, _child_annotation(annotation, key, value), f"{name}.{key}" if name else str(key), leaf)

    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(child(key, item) for key, item in zip(value._fields, value, strict=True)))
    if isinstance(value, (tuple, list)):
        return type(value)(child(i, item) for i, item in enumerate(value))
    if isinstance(value, Mapping):
        return {key: child(key, item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, Tensor, DType)):
        names = [field.name for field in dataclasses.fields(value)]
        return _with_fields(value, {key: child(key, getattr(value, key)) for key in names})
    if hasattr(type(value), "__tessera_tree__"):
        fields = dict(value.__tessera_tree__())
        return type(value).__tessera_from_tree__({key: child(key, item) for key, item in fields.items()})
    return leaf(name, annotation, value)


def _with_fields(value: Any, fields: dict[str, Any]) -> Any:
    """A copy of a dataclass instance with other fields, without running its constructor's checks."""
    copy = object.__new__(type(value))
    for key, item in {**getattr(value, "__dict__", {}), **fields}.items():
        object.__setattr__(copy, key, item)
    return copy


def _child_annotation(annotation: Any, key: Any, value: Any) -> Any:
    if annotation is object:  # anything goes, whatever the class of the value says of its fields
        return object
    origin, items = get_origin(annotation), get_args(annotation)
    if origin is tuple and items:
        return items[0] if Ellipsis in items else items[key] if key < len(items) else MISSING
    if origin in (list, typing.Sequence) or (isinstance(origin, type) and issubclass(origin, typing.Sequence)):
        return items[0] if items else MISSING
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return items[1] if len(items) == 2 else MISSING
    if isinstance(annotation, type) and typing.is_typeddict(annotation):
        return _field_hints(annotation).get(key, MISSING)
    if dataclasses.is_dataclass(value) or hasattr(value, "_fields"):
        return _field_hints(type(value)).get(key, MISSING)
    return MISSING


def _field_hints(cls: type) -> dict[str, Any]:
    module = __import__("sys").modules.get(cls.__module__)
    names = dict(vars(module)) if module else {}
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for key, annotation in inspect.get_annotations(base).items():
            hints[key] = _evaluate(annotation, names, {"Tensor": Tensor, "MeshTensor": MeshTensor})
    return hints


def tensor_specs(annotation: Any) -> Iterator[TensorSpec]:
    """All tensor annotations inside an annotation."""
    if isinstance(annotation, TensorSpec):
        yield annotation
    elif dataclasses.is_dataclass(annotation) or typing.is_typeddict(annotation) or hasattr(annotation, "_fields"):
        for hint in _field_hints(annotation).values():
            yield from tensor_specs(hint)
    else:
        for item in get_args(annotation):
            yield from tensor_specs(item)


def _without_marks(annotation: Any) -> Any:
    """``Annotated[X, ...]`` as X, which ``tessera.donated`` makes donated."""
    if get_origin(annotation) is not typing.Annotated:
        return annotation
    plain, *marks = get_args(annotation)
    if isinstance(plain, TensorSpec) and any(mark is donated for mark in marks):
        return dataclasses.replace(plain, donated=True)
    return plain


def _without_none(annotation: Any) -> Any:
    """``Optional[X]`` without the None."""
    annotation = _without_marks(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        items = [item for item in get_args(annotation) if item is not type(None)]
        return items[0] if len(items) == 1 else Union[tuple(items)]  # noqa: UP007
    return annotation


def _tensor_choice(annotation: Any, value: Any) -> Any:
    """For an array, the one tensor among the choices that ``Tensor[...] | Cache`` gives."""
    if get_origin(annotation) in (Union, types.UnionType) and is_array(value):
        specs = [item for item in map(_without_marks, get_args(annotation)) if isinstance(item, TensorSpec)]
        return specs[0] if len(specs) == 1 else annotation
    return annotation


def is_array(value: Any) -> bool:
    """Whether a value is a tensor, or an array of NumPy or another library."""
    return isinstance(value, Tensor) or (
        array_dtype(value) is not None and hasattr(value, "shape") and not isinstance(value, type)
    )


def _is_constant_type(annotation: Any) -> bool:
    """Whether an annotation says that the parameter is a number, a string or a dtype."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return all(kind in (bool, int, float, str, DType) or get_origin(kind) is typing.Literal for kind in kinds)


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _resolver(function: Callable[..., Any], local_names: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Evaluate annotations that are strings (written so, or by ``from __future__ import annotations``)."""
    inner = inspect.unwrap(function)
    inner = getattr(inner, "__func__", inner)
    names = {**local_names, **closure_variables(inner)}

    def resolve(annotation: Any) -> Any:
        return _evaluate(annotation, getattr(inner, "__globals__", {}), names)

    return resolve


def closure_variables(function: Any) -> dict[str, Any]:
    """The variables of outer functions that a function uses, as far as they have values."""
    result = {}
    cells = getattr(function, "__closure__", None) or ()
    names = function.__code__.co_freevars if cells else ()
    for name, cell in zip(names, cells, strict=True):
        try:
            result[name] = cell.cell_contents
        except ValueError:
            continue  # not assigned yet
    return result


def _evaluate(annotation: Any, global_names: Mapping[str, Any], local_names: Mapping[str, Any]) -> Any:
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, dict(global_names), dict(local_names))
        except NameError:
            return Any  # a name for type checkers only
        except SyntaxError:
            raise diagnostic("TSR1001", f"annotation: expected Python, got {annotation!r}") from None
        return _evaluate(annotation, global_names, local_names)
    if annotation is None:
        return type(None)
    annotation = _without_marks(annotation)
    if any(isinstance(item, (str, typing.ForwardRef)) for item in get_args(annotation)) and (
        get_origin(annotation) is not typing.Literal
    ):
        items = tuple(_evaluate(item, global_names, local_names) for item in get_args(annotation))
        origin = get_origin(annotation)
        return Union[items] if origin in (Union, types.UnionType) else origin[items]  # noqa: UP007
    return annotation
