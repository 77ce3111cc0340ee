# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A hand-written host program and its manifest entry: ``add_one(x[N]) -> [N]``, as the pipeline would emit it."""

LLVM_IR = """
@tsr_runtime = global ptr null

define internal void @add_one.body(ptr %args, i64 %begin, i64 %end) {
entry:
  %x.slot = getelementptr ptr, ptr %args, i64 0
  %y.slot = getelementptr ptr, ptr %args, i64 1
  %x = load ptr, ptr %x.slot
  %y = load ptr, ptr %y.slot
  %any = icmp slt i64 %begin, %end
  br i1 %any, label %loop, label %done
loop:
  %i = phi i64 [ %begin, %entry ], [ %next, %loop ]
  %from = getelementptr float, ptr %x, i64 %i
  %to = getelementptr float, ptr %y, i64 %i
  %value = load float, ptr %from
  %sum = fadd float %value, 1.0
  store float %sum, ptr %to
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  ret void
}

define i32 @add_one(ptr %buffers, ptr %symbols, ptr %workspace) {
  %n = load i64, ptr %symbols
  %api = load ptr, ptr @tsr_runtime
  %slot = getelementptr i8, ptr %api, i64 8
  %parallel = load ptr, ptr %slot
  call void %parallel(i64 %n, i64 4096, ptr @add_one.body, ptr %buffers)
  ret i32 0
}

define i64 @add_one.workspace(ptr %symbols) {
  ret i64 0
}
"""

ENTRY = {
    "symbols": [{"name": "N", "min": 0, "max": None, "multiple_of": 1}],
    "inputs": [
        {"name": "x", "dtype": "f32", "shape": ["N"], "kind": "argument", "donated": False, "source": "sample.py:1"}
    ],
    "outputs": [{"name": "out", "dtype": "f32", "shape": ["N"]}],
    "parameters": [
        {"name": "x", "kind": "positional_or_keyword", "tree": 0},
        {"name": "one", "kind": "positional_or_keyword", "tree": {"static": 1.0}},
    ],
    "output_tree": 0,
    "static": {"one": 1.0},
    "guards": [],
}


def artifact_bytes(targets: tuple[str, ...] = ("cpu", "cpu:avx512")) -> bytes:
    """Pack the program as an artifact, as the end of a compile does."""
    from tessera.container import pack
    from tessera.driver.build import Traced, manifest_entry
    from tessera.driver.codegen import generate_object
    from tessera.driver.job import Compiled
    from tessera.driver.targets import parse_targets

    chosen = parse_targets(targets)
    compiled = [Compiled(target.name, generate_object(LLVM_IR, target)[0]) for target in chosen]
    entry = manifest_entry(Traced("add_one", b"", ENTRY), chosen, compiled)
    members = {target.object_member: result.object for target, result in zip(chosen, compiled, strict=True)}
    return pack({"producer": {"tessera": "test"}, "entries": {"add_one": entry}}, members)
