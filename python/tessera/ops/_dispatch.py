# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One function for each operation, inside a trace and outside: there it runs at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from tessera.frontend.scope import is_tracing

P = ParamSpec("P")
R = TypeVar("R")


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function of traced tensors an operation: called outside a trace, it is compiled and run."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if is_tracing():
            return function(*args, **kwargs)
        from tessera.frontend.eager import run

        return run(function, args, kwargs)  # type: ignore[no-any-return]

    return call
