# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Symbolic sizes: integer expressions over symbols, in a canonical form, so that equal sizes compare equal.

A size is a polynomial with integer coefficients. Its variables ("atoms") are symbols and the results of ``//``, ``%``,
``max`` and ``min`` that do not simplify. A symbol known to be a multiple of ``m`` stands for its value divided by ``m``
inside the polynomial, so that divisibility needs no rules of its own: ``S`` is ``16·s``, ``S // 16`` is ``s`` and
``S % 16`` is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn, TypeAlias, TypeGuard

from tessera.frontend.expressions import Expression, Symbol, format_expression
from tessera.frontend.source import diagnostic

SizeLike: TypeAlias = "int | Size"


@dataclass(frozen=True, eq=False)
class Compound:
    """The result of ``//``, ``%``, ``max`` or ``min`` that has no simpler form."""

    operator: str
    left: SizeLike
    right: SizeLike

    def __eq__(self, other: object) -> bool:  # sizes refuse comparisons that they cannot decide; a key must not
        return (
            isinstance(other, Compound)
            and self.operator == other.operator
            and same(self.left, other.left)
            and same(self.right, other.right)
        )

    def __hash__(self) -> int:
        return hash((self.operator, self.left, self.right))


Atom: TypeAlias = Symbol | Compound
Monomial: TypeAlias = tuple[tuple[Atom, int], ...]
Terms: TypeAlias = dict[Monomial, int]
Bounds: TypeAlias = tuple[float, float]


class Size:
    """A size that is not a known integer; see the module's text. Arithmetic gives an int where the result is known."""

    __slots__ = ("__dict__", "terms")

    def __init__(self, terms: Terms) -> None:
        self.terms = terms

    # -- arithmetic --------------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        if not _is_size(other):
            return _lifted("add", self, other)
        terms = dict(self.terms)
        for monomial, coefficient in _terms(other).items():
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return _make(terms)

    def __mul__(self, other: Any) -> Any:
        if not _is_size(other):
            return _lifted("mul", self, other)
        terms: Terms = {}
        for left, a in self.terms.items():
            for right, b in _terms(other).items():
                monomial = _multiply(left, right)
                terms[monomial] = terms.get(monomial, 0) + a * b
        return _make(terms)

    def __neg__(self) -> SizeLike:
        return _make({monomial: -c for monomial, c in self.terms.items()})

    def __pos__(self) -> Size:
        return self

    def __sub__(self, other: Any) -> Any:
        return self + -other if _is_size(other) else _lifted("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return -self + other if _is_size(other) else _lifted("sub", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return floordiv(self, other) if _is_size(other) else _lifted("floor_divide", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return floordiv(other, self) if _is_size(other) else _lifted("floor_divide", other, self)

    def __mod__(self, other: Any) -> Any:
        return remainder(self, other) if _is_size(other) else _lifted("remainder", self, other)

    def __rmod__(self, other: Any) -> Any:
        return remainder(other, self) if _is_size(other) else _lifted("remainder", other, self)

    def __pow__(self, other: Any) -> Any:
        if not isinstance(other, int) or other < 0:
            return _lifted("pow", self, other)
        result: SizeLike = 1
        for _ in range(other):
            result = self * result
        return result

    def __truediv__(self, other: Any) -> Any:
        return _lifted("div", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _lifted("div", other, self)

    __radd__ = __add__
    __rmul__ = __mul__

    # -- comparison: proven, or an error -----------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if not _is_size(other):
            return False
        known = proven_equal(self, other)
        return _decided(known, self, "==", other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        return _order(self, "<", other, lambda: proven_le(self + 1, other), lambda: proven_le(other, self))

    def __le__(self, other: Any) -> bool:
        return _order(self, "<=", other, lambda: proven_le(self, other), lambda: proven_le(other + 1, self))

    def __gt__(self, other: Any) -> bool:
        return _order(self, ">", other, lambda: proven_le(other + 1, self), lambda: proven_le(self, other))

    def __ge__(self, other: Any) -> bool:
        return _order(self, ">=", other, lambda: proven_le(other, self), lambda: proven_le(self + 1, other))

    def __hash__(self) -> int:
        return hash(self.key)

    def __bool__(self) -> bool:
        return self != 0

    def _refuse_number(self, kind: str) -> NoReturn:
        raise diagnostic(
            "TSR1202",
            f"{kind}(size): expected a size known at compile time, got the symbol '{self}'",
            help=f"fix it with {_fix(self)}, or compute with the size itself: sizes take part in tensor arithmetic",
        )

    def __int__(self) -> int:
        self._refuse_number("int")

    def __index__(self) -> int:
        self._refuse_number("int")

    def __float__(self) -> float:
        self._refuse_number("float")

    # -- views -------------------------------------------------------------------------------------------------------

    @cached_property
    def key(self) -> frozenset[tuple[Monomial, int]]:
        """What makes two sizes the same, for dictionaries: comparing keys never fails."""
        return frozenset(self.terms.items())

    @cached_property
    def expression(self) -> Expression:
        """The size as a manifest writes it."""
        ordered = sorted(self.terms.items(), key=lambda term: (term[1] < 0, not term[0], _monomial_key(term[0])))
        result: Expression | None = None
        for monomial, coefficient in ordered:
            if result is None:
                result = _term_expression(monomial, coefficient)
            elif coefficient < 0:
                result = ["-", result, _term_expression(monomial, -coefficient)]
            else:
                result = ["+", result, _term_expression(monomial, coefficient)]
        assert result is not None
        return result

    def symbols(self) -> Iterator[Symbol]:
        """Every symbol in the expression, in order of appearance, possibly more than once."""
        for monomial in self.terms:
            for atom, _ in monomial:
                if isinstance(atom, Symbol):
                    yield atom
                else:
                    yield from symbols(atom.left)
                    yield from symbols(atom.right)

    def __str__(self) -> str:
        return format_expression(self.expression)

    def __repr__(self) -> str:
        return str(self)


# -- construction ----------------------------------------------------------------------------------------------------


def size_of(symbol: Symbol) -> Size:
    """The size that a symbol stands for."""
    return Size({((symbol, 1),): symbol.multiple_of})


def symbols(size: SizeLike) -> Iterator[Symbol]:
    return size.symbols() if isinstance(size, Size) else iter(())


def expression(size: SizeLike) -> Expression:
    return size.expression if isinstance(size, Size) else size


def bare_symbol(size: SizeLike) -> Symbol | None:
    """The symbol, if the size is nothing but one."""
    if isinstance(size, Size) and len(size.terms) == 1:
        ((monomial, coefficient),) = size.terms.items()
        if len(monomial) == 1:
            atom, power = monomial[0]
            if isinstance(atom, Symbol) and power == 1 and coefficient == atom.multiple_of:
                return atom
    return None


def product(sizes: Any) -> SizeLike:
    result: SizeLike = 1
    for size in sizes:
        result = result * size
    return result


def _is_size(value: object) -> TypeGuard[SizeLike]:
    return isinstance(value, Size) or (isinstance(value, int) and not isinstance(value, bool))


def _terms(size: SizeLike) -> Terms:
    if isinstance(size, Size):
        return size.terms
    return {(): int(size)} if size else {}


def _make(terms: Terms) -> SizeLike:
    terms = {monomial: c for monomial, c in terms.items() if c}
    if not terms:
        return 0
    if len(terms) == 1 and () in terms:
        return terms[()]
    return Size(terms)


def _atom(operator: str, left: SizeLike, right: SizeLike) -> Size:
    return Size({((Compound(operator, left, right), 1),): 1})


def _atom_key(atom: Atom) -> str:
    if isinstance(atom, Symbol):
        return atom.name
    return "~" + format_expression([atom.operator, expression(atom.left), expression(atom.right)])


def _monomial_key(monomial: Monomial) -> list[tuple[str, int]]:
    return [(_atom_key(atom), power) for atom, power in monomial]


def _multiply(left: Monomial, right: Monomial) -> Monomial:
    powers = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted(((a, p) for a, p in powers.items() if p), key=lambda item: _atom_key(item[0])))


# -- division, extremes ----------------------------------------------------------------------------------------------


def floordiv(left: SizeLike, right: SizeLike) -> SizeLike:
    """``left // right``, rounding down. A quotient that is exact for every value of the symbols simplifies."""
    if isinstance(right, int):
        if right == 0:
            raise _zero_division(left)
        if isinstance(left, int):
            return left // right
        if right < 0:
            return floordiv(-left, -right)
        whole = _make({m: c // right for m, c in left.terms.items()})
        rest = _make({m: c % right for m, c in left.terms.items()})
        low, high = bounds(rest)
        if low >= 0 and high < right:
            return whole
        assert isinstance(rest, Size)
        divisor = math.gcd(right, *(c for m, c in rest.terms.items() if m))
        reduced = Size({m: c // divisor for m, c in rest.terms.items() if c // divisor})
        quotient: SizeLike = _atom("//", reduced, right // divisor) + whole
        return quotient
    exact = _divide(left, right)
    if exact is not None:
        return exact
    if bounds(left)[0] >= 0 and proven_le(left + 1, right):
        return 0
    return _atom("//", left, right)


def remainder(left: SizeLike, right: SizeLike) -> SizeLike:
    """``left % right``, with the divisor's sign."""
    if isinstance(right, int):
        if right == 0:
            raise _zero_division(left)
        if isinstance(left, int):
            return left % right
        rest = _make({m: c % right for m, c in left.terms.items()})
        low, high = bounds(rest)
        if right > 0 and low >= 0 and high < right:
            return rest
        return _atom("%", rest, right)
    if _divide(left, right) is not None:
        return 0
    if bounds(left)[0] >= 0 and proven_le(left + 1, right):
        return left
    return _atom("%", left, right)


def minimum(left: SizeLike, right: SizeLike) -> SizeLike:
    """The smaller of two sizes."""
    return _extreme("min", left, right, proven_le(left, right), proven_le(right, left))


def maximum(left: SizeLike, right: SizeLike) -> SizeLike:
    """The larger of two sizes."""
    return _extreme("max", left, right, proven_le(right, left), proven_le(left, right))


def _extreme(operator: str, left: SizeLike, right: SizeLike, take_left: bool, take_right: bool) -> SizeLike:
    if take_left:
        return left
    if take_right:
        return right
    first, second = sorted((left, right), key=str)
    return _atom(operator, first, second)


def _divide(left: SizeLike, right: Size) -> SizeLike | None:
    """The polynomial ``q`` with ``q * right == left``, if there is one (long division in lexicographic order)."""
    atoms = sorted({a for s in (left, right) for m in _terms(s) for a, _ in m}, key=_atom_key)

    def exponents(monomial: Monomial) -> tuple[int, ...]:
        powers = dict(monomial)
        return tuple(powers.get(atom, 0) for atom in atoms)

    lead = max(right.terms, key=exponents)
    quotient: SizeLike = 0
    rest = left
    while rest_terms := _terms(rest):
        monomial = max(rest_terms, key=exponents)
        powers = [a - b for a, b in zip(exponents(monomial), exponents(lead), strict=True)]
        if min(powers, default=0) < 0 or rest_terms[monomial] % right.terms[lead]:
            return None
        step = _make(
            {tuple((a, p) for a, p in zip(atoms, powers, strict=True) if p): rest_terms[monomial] // right.terms[lead]}
        )
        quotient = quotient + step
        rest = rest - right * step
    return quotient


def _zero_division(size: SizeLike) -> Exception:
    return diagnostic("TSR1203", f"size {size} divided by zero: expected a divisor other than 0, got 0")


# -- proofs ----------------------------------------------------------------------------------------------------------


def same(left: SizeLike, right: SizeLike) -> bool:
    """Whether two sizes are one expression. Never fails."""
    return _terms(left) == _terms(right)


def proven_equal(left: SizeLike, right: SizeLike) -> bool | None:
    """True or False where that holds for all values of the symbols, else None."""
    difference = left - right
    if isinstance(difference, int):
        return difference == 0
    low, high = bounds(difference)
    if low > 0 or high < 0:
        return False
    divisor = math.gcd(*(c for m, c in difference.terms.items() if m))
    if difference.terms.get((), 0) % divisor:
        return False
    return None


def proven_le(left: SizeLike, right: SizeLike) -> bool:
    """Whether ``left <= right`` for all values of the symbols."""
    return bounds(right - left)[0] >= 0


def bounds(size: SizeLike) -> Bounds:
    """An interval that holds the size for all values of its symbols."""
    if isinstance(size, int):
        return size, size
    low, high = _lower(size, 3), -_lower(-size, 3)
    return low, high


def _lower(size: SizeLike, depth: int) -> float:
    if isinstance(size, int):
        return size
    best = max(_interval(size)[0], _interval(_from_minimum(size))[0])
    if depth == 0:
        return best
    # A quotient or an extreme is bounded by its operands: replacing it relates it to other terms (D - D//2 >= 0).
    for monomial, coefficient in size.terms.items():
        if len(monomial) == 1 and monomial[0][1] == 1 and isinstance(atom := monomial[0][0], Compound):
            for scale, bound in _replacements(atom, upper=coefficient < 0):
                others = _make({m: c for m, c in size.terms.items() if m != monomial})
                low = _lower(others * scale + bound * coefficient, depth - 1)
                best = max(best, low if math.isinf(low) else -(-int(low) // scale))
    return best


def _from_minimum(size: Size) -> Size:
    """The size in symbols that count from 0, so that terms with a common factor combine (B * D - D, where B >= 1)."""
    result: SizeLike = 0
    for monomial, coefficient in size.terms.items():
        term: SizeLike = coefficient
        for atom, power in monomial:
            low, high = _atom_bounds(atom)
            shifted: SizeLike = Size({((atom, 1),): 1})
            if isinstance(atom, Symbol) and low > 0:
                rest = Symbol(f"{atom.name}'", 0, None if math.isinf(high) else int(high - low), 1, atom.scope)
                shifted = size_of(rest) + int(low)
            for _ in range(power):
                term = shifted * term
        result = result + term
    return result if isinstance(result, Size) else Size({(): result})


def _replacements(atom: Compound, upper: bool) -> Iterator[tuple[int, SizeLike]]:
    """``(scale, bound)`` with ``scale * atom <= bound`` (``upper``) or ``>=``."""
    left, right = atom.left, atom.right
    if atom.operator == "//" and isinstance(right, int):
        yield right, left if upper else left - (right - 1)
    elif atom.operator == "%" and isinstance(right, int):
        if upper and bounds(left)[0] >= 0:
            yield 1, left
    elif atom.operator == ("min" if upper else "max"):
        yield 1, left
        yield 1, right


def _interval(size: Size) -> Bounds:
    low: float = 0
    high: float = 0
    for monomial, coefficient in size.terms.items():
        term: Bounds = (coefficient, coefficient)
        for atom, power in monomial:
            for _ in range(power):
                term = _interval_product(term, _atom_bounds(atom))
        low, high = low + term[0], high + term[1]
    return low, high


def _interval_product(a: Bounds, b: Bounds) -> Bounds:
    products = [0 if 0 in (x, y) else x * y for x in a for y in b]
    return min(products), max(products)


def _atom_bounds(atom: Atom) -> Bounds:
    if isinstance(atom, Symbol):
        unit = atom.multiple_of
        return -(-atom.min // unit), math.inf if atom.max is None else atom.max // unit
    (left_low, left_high), (right_low, right_high) = bounds(atom.left), bounds(atom.right)
    if atom.operator == "min":
        return min(left_low, right_low), min(left_high, right_high)
    if atom.operator == "max":
        return max(left_low, right_low), max(left_high, right_high)
    if atom.operator == "%":
        return (0, right_high - 1) if right_low > 0 else (-math.inf, math.inf)
    if right_low > 0 and left_low >= 0:
        return (
            0 if math.isinf(right_high) else left_low // right_high,
            left_high if math.isinf(left_high) else left_high // right_low,
        )
    if isinstance(atom.right, int) and atom.right > 0:
        low, high = (b if math.isinf(b) else b // atom.right for b in (left_low, left_high))
        return low, high
    return -math.inf, math.inf


def divisor(size: SizeLike) -> int:
    """The largest number known to divide the size for all values of its symbols (0 divides by everything)."""
    return math.gcd(*_terms(size).values())


def _order(size: Size, operator: str, other: Any, true: Callable[[], bool], false: Callable[[], bool]) -> bool:
    if not _is_size(other):
        return NotImplemented  # type: ignore[no-any-return]
    known = True if true() else False if false() else None
    return _decided(known, size, operator, other)


def _decided(known: bool | None, size: Size, operator: str, other: object) -> bool:
    if known is None:
        raise diagnostic(
            "TSR1201",
            f"comparison of sizes: expected one that holds for every value of the symbols or for none, "
            f"got '{size} {operator} {other}'",
            help=f"fix the size with {_fix(size)}, give its range with tessera.Dim(min, max, multiple_of=...), "
            f"or choose at run time with tessera.cond or tessera.where",
        )
    return known


def _fix(size: Size) -> str:
    names = sorted({symbol.name for symbol in size.symbols()})
    return "dims={" + ", ".join(f'"{name}": ...' for name in names) + "}"


def _lifted(operation: str, left: Any, right: Any) -> Any:
    """Sizes among tensors and floats are numbers: compute in tensors."""
    import tessera

    if not all(isinstance(v, (int, float, Size, tessera.Tensor)) for v in (left, right)):
        return NotImplemented
    return getattr(tessera.ops, operation)(left, right)


# -- substitution, evaluation, text ----------------------------------------------------------------------------------


def substitute(size: SizeLike, value: Callable[[Symbol], SizeLike]) -> SizeLike:
    """Replace every symbol by ``value(symbol)`` and simplify again."""
    result: SizeLike = 0
    for monomial, coefficient in _terms(size).items():
        term: SizeLike = coefficient
        for atom, power in monomial:
            if isinstance(atom, Symbol):
                replaced = floordiv(value(atom), atom.multiple_of)
            else:
                replaced = apply(atom.operator, substitute(atom.left, value), substitute(atom.right, value))
            for _ in range(power):
                term = replaced * term
        result = result + term
    return result


def apply(operator: str, left: SizeLike, right: SizeLike) -> SizeLike:
    """Compute ``left operator right`` for an operator of manifest expressions."""
    return _OPERATORS[operator](left, right)


_OPERATORS: dict[str, Callable[[Any, Any], SizeLike]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": floordiv,
    "%": remainder,
    "max": maximum,
    "min": minimum,
}


def _term_expression(monomial: Monomial, coefficient: int) -> Expression:
    factors: list[Expression] = []
    for atom, power in monomial:
        for _ in range(power):
            if isinstance(atom, Compound):
                factors.append([atom.operator, expression(atom.left), expression(atom.right)])
            elif coefficient % atom.multiple_of == 0:
                coefficient //= atom.multiple_of
                factors.append(atom.name)
            elif atom.multiple_of % coefficient == 0:
                factors.append(["//", atom.name, atom.multiple_of // coefficient])
                coefficient = 1
            else:
                factors.append(["//", atom.name, atom.multiple_of])
    if not factors:
        return coefficient
    result = factors[0]
    for factor in factors[1:]:
        result = ["*", result, factor]
    return result if coefficient == 1 else ["*", result, coefficient]
