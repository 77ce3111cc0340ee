# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""From the frontend to the runtime: targets, stages, the compiler's child process, code generation, caches."""
