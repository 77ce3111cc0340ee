# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""LLVM IR to a relocatable host object, by llvmlite.

Run as a program, it replays the last stage of a compile from a reproducer::

    python -m tessera.driver.codegen before-obj.ll --target cpu:avx512 -o out.o
"""

from __future__ import annotations

import functools

import llvmlite.binding as llvm

from tessera.driver.targets import Target, parse_target
from tessera.errors import CompileError

RUNTIME_SLOT = "tsr_runtime"


@functools.cache
def _initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@functools.cache
def _target_machine(target: Target) -> llvm.TargetMachine:
    _initialize()
    return llvm.Target.from_triple(target.llvm_triple).create_target_machine(
        cpu=target.cpu, features=target.llvm_features, opt=3, reloc="pic", codemodel="small"
    )


def generate_object(llvm_ir: str, target: Target, *, name: str = "tessera") -> tuple[bytes, str]:
    """Optimise LLVM IR and compile it to an object that the runtime's loader takes.

    Parameters
    ----------
    llvm_ir
        A module as text. Its triple and data layout are replaced by the target's.
    target
        A CPU target.
    name
        Recorded as the module's name; never a path of the building machine.

    Returns
    -------
    object, optimised_ir
        The ELF relocatable file, and the LLVM IR it was made from.

    Raises
    ------
    CompileError
        When LLVM refuses the text, or the object is one that the loader would refuse.
    """
    machine = _target_machine(target)
    try:
        module = llvm.parse_assembly(llvm_ir, llvm.create_context())
        module.name = name
        module.triple = target.llvm_triple
        module.data_layout = str(machine.target_data)
        for variable in module.global_variables:
            if not variable.is_declaration and variable.linkage == llvm.Linkage.external:
                # Hidden symbols are reached relative to the code; others through a GOT, which the loader lacks.
                variable.visibility = "hidden"
        module.verify()
    except RuntimeError as error:
        raise CompileError(f"[TSR4001] LLVM refused the generated code: {error}") from None
    # The passes have vectorised already; LLVM's own vectorisers pick up the scalar remainders.
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    data: bytes = machine.emit_object(module)
    check_object(data)
    return data, str(module)


def check_object(data: bytes) -> None:
    """Refuse an object that the runtime's loader would refuse.

    Raises
    ------
    CompileError
        Naming the undefined symbol or the relocation at fault.
    """
    from tessera import _runtime

    try:
        _runtime.check_object(data)
    except Exception as error:
        raise CompileError(f"[TSR4001] the generated object cannot be loaded: {error}") from None


def main(arguments: list[str] | None = None) -> int:
    """Compile a file of LLVM IR: what a reproducer of the last stage calls."""
    import argparse
    from pathlib import Path

    parser = argparse.ArgumentParser(prog="python -m tessera.driver.codegen", description=main.__doc__)
    parser.add_argument("input", type=Path)
    parser.add_argument("--target", default="cpu")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    data, _ = generate_object(options.input.read_text(), parse_target(options.target))
    options.output.write_bytes(data)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
