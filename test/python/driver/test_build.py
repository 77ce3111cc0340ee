# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""From traced entries to the artifact's parts: weights of several entries, cache keys, headers, missing compilers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample
from tessera.description import describe
from tessera.driver.build import Traced, cache_key, manifest_entry, merge_weights
from tessera.driver.codegen import generate_object
from tessera.driver.header import c_header
from tessera.driver.job import Compiled
from tessera.driver.targets import parse_targets


def with_weight(name: str, array: np.ndarray[Any, Any]) -> Traced:
    item = {"name": "table", "dtype": "f32", "shape": [3], "kind": "weight"}
    return Traced(name, b"", {**sample.ENTRY, "inputs": [*sample.ENTRY["inputs"], item]}, {"table": array})


def weight_names(entries: list[Traced]) -> list[str]:
    return [item["name"] for entry in entries for item in entry.manifest["inputs"] if item["kind"] == "weight"]


def test_entries_share_one_array() -> None:
    table = np.ones(3, np.float32)
    entries, weights = merge_weights([with_weight("prefill", table), with_weight("decode", table)])
    assert list(weights) == ["table"]
    assert weight_names(entries) == ["table", "table"]


def test_different_arrays_of_one_name_are_kept_apart() -> None:
    one, other = np.ones(3, np.float32), np.zeros(3, np.float32)
    entries, weights = merge_weights([with_weight("prefill", one), with_weight("decode", other)])
    assert weights["table"] is one
    assert weights["decode.table"] is other
    assert weight_names(entries) == ["table", "decode.table"]


def test_kernels_that_only_some_targets_have() -> None:
    targets = parse_targets(["sm_80", "cpu"])
    shared = {"name": "f_0", "kind": "rowwise", "dispatches": 1}
    own = {"name": "f_1", "kind": "matmul", "dispatches": 2}
    compiled = [Compiled("sm_80", kernels={"f": [shared]}), Compiled("cpu", kernels={"f": [shared, own]})]
    entry = manifest_entry(Traced("f", b"", sample.ENTRY), targets, compiled)
    assert entry["kernels"] == [shared, {**own, "targets": ["cpu"]}]
    facts = {"threads": 256, "cluster": 1, "dynamic_shared": 0, "pdl": False, "registers": 40}
    modules = {"sm_80": {"arch": "sm_80", "kernels": [{"name": name, **facts} for name in ("f_0", "f_0_1")]}}
    description = describe({"format": 1, "abi": 1, "entries": {"f": entry}, "modules": modules, "members": {}})
    assert description["kernels"] == [
        {**shared, "targets": {"sm_80": facts}},
        {**own, "targets": {"cpu": {}}},
        {"name": "f_0_1", "targets": {"sm_80": facts}},
    ]


def test_cache_keys() -> None:
    entry = Traced("f", b"module", sample.ENTRY)
    cpu, avx512 = parse_targets("cpu"), parse_targets("cpu:avx512")
    key = cache_key((entry,), cpu)
    assert key == cache_key((Traced("f", b"module", dict(sample.ENTRY)),), cpu)
    others = [
        cache_key((entry,), avx512),
        cache_key((replace(entry, module=b"modulf"),), cpu),
        cache_key((replace(entry, name="g"),), cpu),
        cache_key((replace(entry, manifest={**sample.ENTRY, "guards": [1]}),), cpu),
    ]
    assert len({key, *others}) == 5


def test_the_header_compiles_and_links(tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    runtime_header = Path(__file__).parents[3] / "runtime" / "include"
    if compiler is None or not runtime_header.is_dir():
        pytest.skip("needs a C compiler and the runtime's header")
    targets = parse_targets("cpu")
    data, _ = generate_object(sample.LLVM_IR, targets[0])
    entry = manifest_entry(Traced("add_one", b"", sample.ENTRY), targets, [Compiled("cpu", data)])
    header = c_header("add_one", {"producer": {"tessera": "0.1.0"}, "entries": {"add_one": entry}})
    for line in ("add_one(x: f32[N]) -> f32[N]", "buffers[0]  in  x: f32[N]", "buffers[1]  out out", "symbols[0]  N"):
        assert line in header
    (tmp_path / "add_one.h").write_text(header)
    (tmp_path / "add_one.o").write_bytes(data)
    (tmp_path / "main.c").write_text(
        """
#include "add_one.h"
static void inline_for(int64_t n, int64_t grain, void (*body)(void *, int64_t, int64_t), void *args) {
  (void)grain;
  body(args, 0, n);
}
int main(void) {
  static tsr_api api;
  api.parallel_for = inline_for;
  tsr_runtime = &api;
  float x[3] = {1, 2, 3}, y[3] = {0};
  void *buffers[] = {x, y};
  int64_t symbols[] = {3};
  if (add_one_workspace(symbols) != 0 || add_one(buffers, symbols, 0) != 0)
    return 1;
  return y[0] == 2 && y[1] == 3 && y[2] == 4 ? 0 : 2;
}
"""
    )
    command = [compiler, "-Wall", "-Werror", "-I", runtime_header, "main.c", "add_one.o", "-o", "main"]
    subprocess.run(command, check=True, cwd=tmp_path)
    subprocess.run([tmp_path / "main"], check=True, timeout=60)


def test_an_installation_without_the_compiler_says_so() -> None:
    script = """
import sys
sys.modules["tessera._mlir"] = None
import tessera
@tessera.function
def f(x: tessera.Tensor["N"]): return x + x
try:
    tessera.compile(f, in_process=True)
except tessera.CompileError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "[TSR4001] cannot compile: this installation has no compiler" in done.stdout, done.stderr
