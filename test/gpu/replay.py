# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Run recorded tests on a GPU and compare with the CPU's results: ``python test/gpu/replay.py DIR [--report FILE]``.

What ``gpu_record`` (test/python) kept. Floats may differ by a few units of their dtype, and by as much of the largest
element's size where sums were added in another order; everything else is equal.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import tessera
import torch

#: Relative bounds: some units in the last place, as f32 arithmetic is rounded to the dtype once.
BOUNDS = {
    torch.float64: 1e-11,
    torch.float32: 2e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
    torch.float8_e4m3fn: 0.13,
    torch.float8_e5m2: 0.26,
}


def difference(got: torch.Tensor, want: torch.Tensor) -> str:
    """What is wrong with a result; empty if nothing is."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"expected {want.dtype}{list(want.shape)}, got {got.dtype}{list(got.shape)}"
    got = got.cpu()
    if want.numel() == 0:
        return ""
    if want.dtype not in BOUNDS:
        return "" if torch.equal(got, want) else f"{(got != want).sum().item()} of {want.numel()} differ"
    wide, exact = got.double(), want.double()
    finite = exact[exact.isfinite()].abs()
    bound = BOUNDS[want.dtype]
    allowed = bound * (exact.abs() + 0.1 * (finite.max() if finite.numel() else 0))
    same = (wide == exact) | (wide.isnan() & exact.isnan()) | ((wide - exact).abs() <= allowed)
    if bool(same.all()):
        return ""
    at = (~same).flatten().nonzero()[0].item()
    return (
        f"{(~same).sum().item()} of {want.numel()} differ; element {at}: "
        f"expected {exact.flatten()[at].item():.9g}, got {wide.flatten()[at].item():.9g}"
    )


def leaves(result: Any) -> list[torch.Tensor]:
    if isinstance(result, tuple):
        return [leaf for item in result for leaf in leaves(item)]
    # A call without arguments from torch gives arrays of the runtime's own.
    return [result if isinstance(result, torch.Tensor) else torch.from_dlpack(result)]


def run(path: Path) -> tuple[str, str]:
    """Run one recorded call; its test's name, and what went wrong."""
    values = torch.load(path.with_suffix(".pt"))
    try:
        entry = tessera.load(path).entry()
        results = leaves(entry._entry(*(tensor.cuda() for tensor in values["inputs"])))
        torch.cuda.synchronize()
        if len(results) != len(values["outputs"]):
            return values["test"], f"expected {len(values['outputs'])} results, got {len(results)}"
        problems = [difference(got, want) for got, want in zip(results, values["outputs"], strict=True)]
        return values["test"], "; ".join(filter(None, problems))
    except Exception as error:
        return values["test"], f"{type(error).__name__}: {str(error).splitlines()[0]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--report", type=Path, help="write the failures as JSON")
    parser.add_argument("--show", type=int, default=40, help="how many failures to print")
    options = parser.parse_args()
    passed, failed = Counter[str](), []
    for path in sorted(options.folder.glob("*.tsr")):
        test, problem = run(path)
        file = test.partition("::")[0]
        passed[file] += not problem
        if problem:
            failed.append({"test": test, "artifact": path.name, "problem": problem})
            if "launch failure" in problem or "illegal" in problem:
                break  # the device is lost for this process
    if options.report:
        options.report.write_text(json.dumps({"device": torch.cuda.get_device_name(), "failed": failed}, indent=1))
    for failure in failed[: options.show]:
        print(f"{failure['test']} ({failure['artifact']}): {failure['problem']}")
    for file, count in passed.items():
        print(f"{file}: {count} passed, {sum(f['test'].startswith(file + '::') for f in failed)} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
