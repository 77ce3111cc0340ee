# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Settings of all tests."""

from hypothesis import settings
from op_coverage import pytest_addoption, pytest_configure

__all__ = ["pytest_addoption", "pytest_configure"]  # hooks

# How long an example takes says how busy the machine is.
settings.register_profile("tessera", deadline=None)
settings.load_profile("tessera")
