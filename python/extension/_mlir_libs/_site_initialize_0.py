# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MLIR's bindings import this module to fill the registry of every new context."""

from ._tessera import register_dialects  # noqa: F401
