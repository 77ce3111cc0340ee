# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The compiler's child process: reuse, crashes, time limits, threads, forks, scripts without a guard."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tessera.driver import worker
from tessera.driver.build import Options, run_job
from tessera.driver.job import CompilationFailed, Job
from tessera.driver.targets import parse_targets
from tessera.driver.worker import Worker
from tessera.errors import CompileError

IDENTITY = b"""
func.func private @helper(%x: tensor<?xf32>) -> tensor<?xf32> {
  return %x : tensor<?xf32>
}
func.func @f(%x: tensor<?xf32>) -> tensor<?xf32> attributes {tessera.entry} {
  %y = call @helper(%x) : (tensor<?xf32>) -> tensor<?xf32>
  return %y : tensor<?xf32>
}
"""
JOB = Job((("f", IDENTITY),), parse_targets("cpu"), keep=("tessera",), last="tessera")


@pytest.fixture
def child() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def test_the_child_is_reused(child: Worker) -> None:
    first = child.run(JOB)
    pid = child.pid
    assert "func.func @f(" in first[0].ir["tessera"]
    assert child.run(JOB)[0].ir == first[0].ir
    assert child.pid == pid
    child.close()
    assert child.pid is None
    assert child.run(JOB)[0].ir == first[0].ir


def test_progress_is_reported(child: Worker) -> None:
    seen: list[tuple[str, str]] = []
    child.run(JOB, progress=lambda target, stage: seen.append((target, stage)))
    assert seen == [("cpu", "tessera")]


@pytest.mark.parametrize(("fault", "signal_name"), [("abort", "SIGABRT"), ("segv", "SIGSEGV")])
def test_a_crash_is_an_error_and_the_next_compile_works(
    child: Worker, monkeypatch: pytest.MonkeyPatch, fault: str, signal_name: str
) -> None:
    monkeypatch.setenv("TESSERA_TEST_FAULT", f"tessera:{fault}")
    with pytest.raises(CompilationFailed) as caught:
        child.run(JOB)
    failure = caught.value.failure
    assert failure.crash == f"crashed with {signal_name}"
    assert (failure.target, failure.stage) == ("cpu", "tessera")
    assert "Fatal Python error" in failure.log  # the child's own standard error
    monkeypatch.delenv("TESSERA_TEST_FAULT")
    assert child.run(JOB)


def test_a_crash_leaves_a_reproducer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker.shared().close()
    monkeypatch.setenv("TESSERA_TEST_FAULT", "tessera:abort")
    with pytest.raises(CompileError) as caught:
        run_job(JOB, Options())
    worker.shared().close()
    message = str(caught.value)
    assert message.startswith("[TSR4002] cannot compile for target 'cpu': stage 'tessera' failed: the compiler crashed")
    (folder,) = (tmp_path / "reproducers").iterdir()
    assert f"reproducer: {folder} (replay with: sh {folder}/replay.sh)" in message
    assert {path.name for path in folder.iterdir()} == {
        "before-tessera.mlir",
        "input-f.mlirbc",
        "pipeline.txt",
        "replay.sh",
        "stderr.txt",
    }
    assert "func.func @f(" in (folder / "before-tessera.mlir").read_text()
    assert "tessera-opt before-tessera.mlir" in (folder / "replay.sh").read_text()
    assert "Fatal Python error" in (folder / "stderr.txt").read_text()


def test_a_time_limit(child: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    child.run(JOB)
    child.close()
    monkeypatch.setenv("TESSERA_TEST_FAULT", "tessera:hang")
    start = time.monotonic()
    with pytest.raises(CompilationFailed, match="ran past its time limit"):
        child.run(JOB, timeout=1.5)
    assert time.monotonic() - start < 30
    assert child.pid is None


def test_wrong_ir_names_the_line(child: Worker) -> None:
    bad = replace(JOB, modules=(("f", IDENTITY.replace(b"return %y", b"return %z")),))
    with pytest.raises(CompilationFailed) as caught:
        child.run(bad)
    (diagnostic,) = caught.value.failure.diagnostics
    assert "undeclared SSA value" in diagnostic.message
    assert diagnostic.frames[0].line == 7
    assert child.run(JOB)


def test_diagnostics_quote_the_users_source(tmp_path: Path) -> None:
    source = tmp_path / "model.py"
    source.write_text("def f(x):\n    return helper(x)\n")
    text = f"""
    func.func @f(%x: tensor<?xf32>) -> tensor<?xf32> attributes {{tessera.entry}} {{
      %y = func.call @missing(%x) : (tensor<?xf32>) -> tensor<?xf32> loc("f"("{source}":2:12 to :21))
      return %y : tensor<?xf32>
    }}
    """
    with pytest.raises(CompileError) as caught:
        run_job(replace(JOB, modules=(("f", text.encode()),)), Options())
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("[TSR4001] cannot compile")
    assert "'missing' does not reference a valid function" in lines[0]
    assert lines[1:4] == [
        f"  --> {source}:2, in f",
        "  2 |     return helper(x)",
        "    |            ^^^^^^^^^",
    ]


def test_in_process_gives_the_same(child: Worker) -> None:
    here = run_job(JOB, Options(in_process=True))
    assert here[0].ir == child.run(JOB)[0].ir
    with pytest.raises(CompileError, match=r"\[TSR4001\]"):
        run_job(replace(JOB, modules=(("f", b"nonsense"),)), Options(in_process=True))


def test_several_entries_are_merged(child: Worker) -> None:
    ir = child.run(replace(JOB, modules=(("f", IDENTITY), ("helper", IDENTITY))))[0].ir["tessera"]
    names = [line.split("@")[1].split("(")[0] for line in ir.splitlines() if "func.func" in line]
    assert names == ["helper_0", "f", "helper_1", "helper"]


def test_threads_share_the_child(child: Worker) -> None:
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(child.run(JOB)[0].ir)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(result == results[0] for result in results)


def test_a_forked_process_starts_its_own_child() -> None:
    worker.shared().run(JOB)
    pid = worker.shared().pid
    forked = os.fork()
    if forked == 0:
        status = 1
        try:
            worker.shared().run(JOB)
            status = 0 if worker.shared().pid != pid else 2
            worker.shared().close()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0
    assert worker.shared().run(JOB)
    assert worker.shared().pid == pid


def test_a_script_needs_no_guard_and_keeps_its_streams(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import sys
print("started")
from tessera.driver import worker
from tessera.driver.job import Job
from tessera.driver.targets import parse_targets
job = Job((("f", {IDENTITY!r}),), parse_targets("cpu"), last="tessera")
worker.shared().run(job)
print("pid", worker.shared().pid)
print("read", sys.stdin.readline().strip())
"""
    )
    (tmp_path / "numpy.py").write_text("raise RuntimeError('a file of the user stood in for a library')")
    result = subprocess.run(
        [sys.executable, "-P", str(script)], input="line\n", capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert result.returncode == 0, result.stderr
    started, pid, read = result.stdout.splitlines()
    assert (started, read) == ("started", "read line")
    assert result.stderr == ""
    _wait_until_gone(int(pid.split()[1]))


def test_an_interrupt_ends_the_job(child: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    child.run(JOB)

    def interrupt(target: str, stage: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        child.run(JOB, progress=interrupt)
    assert child.pid is None
    assert child.run(JOB)


def _wait_until_gone(pid: int) -> None:
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            return
        time.sleep(0.05)
    raise AssertionError("the child outlived its parent")
