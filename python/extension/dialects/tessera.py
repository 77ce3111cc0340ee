# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The generated builders of the tessera dialect."""

from ._tessera_ops_gen import *  # noqa: F403
