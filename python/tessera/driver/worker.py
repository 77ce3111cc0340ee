# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The compiler's child process.

MLIR's passes may assert on IR they don't expect, and an assertion ends the process it is in. Pipelines therefore run in
a child: started on first use, kept for the next compile, started again after a crash, gone when its parent goes. It is
a plain ``python -c`` that talks over one socket, so that it needs no ``if __name__`` guard in the user's script, works
in notebooks and threads, and leaves standard input and output alone.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

import tessera
from tessera.driver.job import CompilationFailed, Compiled, Failure, Job, Progress, StoppedBefore
from tessera.errors import CompileError

_POLL_SECONDS = 0.5
_LOG_TAIL = 16 * 1024

# The child needs two modules of ours and not the whole frontend, which the package would import: an empty package with
# the same path stands in for it and halves the time until the child is ready.
_CHILD = """
import sys, types
package = sys.modules["tessera"] = types.ModuleType("tessera")
package.__path__ = sys.argv[2:]
from tessera.driver.worker import main
main(int(sys.argv[1]))
"""


class Worker:
    """A child process that compiles, one job at a time. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._log: Any = None

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the child if there is none, without waiting for it to be ready."""
        with self._lock:
            self._start()

    def run(self, job: Job, *, timeout: float | None = None, progress: Progress | None = None) -> list[Compiled]:
        """Run a job in the child.

        Raises
        ------
        CompilationFailed
            When a stage failed, crashed, or ran past the timeout (in seconds).
        StoppedBefore
            Where the job asked for it.
        """
        with self._lock:
            self._start()
            assert self._connection is not None
            at = ("", "tessera")
            deadline = None if timeout is None else time.monotonic() + timeout
            try:
                log_start = os.fstat(self._log.fileno()).st_size
                self._connection.send(job)
                while True:
                    if not self._wait(deadline):
                        self._kill()
                        message = f"the compiler ran past its time limit of {timeout:g} s"
                        raise CompilationFailed(Failure(*at, "", message, crash="timeout"))
                    kind, value = self._connection.recv()
                    if kind == "result":
                        return value  # type: ignore[no-any-return]
                    if kind == "stage":
                        at = value
                        if progress is not None:
                            progress(*at)
                    else:
                        assert isinstance(value, Exception)
                        raise value
            except (EOFError, ConnectionError):
                crash = self._describe_end()
                log = self._read_log(log_start)
                self._kill()
                message = f"the compiler {crash}"
                raise CompilationFailed(Failure(*at, "", message, crash=crash, log=log)) from None
            except (CompilationFailed, StoppedBefore):
                raise
            except BaseException:
                # Interrupted in a job (Ctrl-C): what the child says later would answer the wrong question.
                self._kill()
                raise

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._kill()

    def forget(self) -> None:
        """Let go of the parent's child after a fork: it is not ours to talk to or to end."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.returncode = 0  # stops Popen's finaliser from waiting for it

    def _start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self._kill()
        if not sys.executable:
            raise CompileError(
                "[TSR4002] the compiler's child process needs sys.executable; compile with in_process=True"
            )
        ours, theirs = socket.socketpair()
        self._log = tempfile.TemporaryFile(prefix="tessera-worker-")  # noqa: SIM115 (lives as long as the child)
        # -P: modules in the user's working directory must not stand in for ours.
        command = [sys.executable, "-P", "-c", _CHILD, str(theirs.fileno()), *map(os.path.abspath, tessera.__path__)]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(theirs.fileno(),),
                # A group of its own: programs that it runs end with it, and Ctrl-C in a terminal is for the parent to
                # decide upon.
                process_group=0,
            )
        except OSError as error:
            ours.close()
            raise CompileError(f"[TSR4002] cannot start the compiler's child process: {error}") from None
        finally:
            theirs.close()
        self._connection = Connection(ours.detach())

    def _wait(self, deadline: float | None) -> bool:
        """Wait for a message or the child's end; False at the deadline."""
        assert self._connection is not None and self._process is not None
        while True:
            left = _POLL_SECONDS if deadline is None else min(_POLL_SECONDS, deadline - time.monotonic())
            if self._connection.poll(max(left, 0)):
                return True
            # The end of the child closes the socket, unless a process forked elsewhere holds a copy of its end.
            if self._process.poll() is not None and not self._connection.poll(0):
                raise EOFError
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def _describe_end(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"crashed with {signal.Signals(-code).name}"
        return f"ended with exit status {code}"

    def _read_log(self, start: int) -> str:
        end = os.fstat(self._log.fileno()).st_size
        start = max(start, end - _LOG_TAIL)
        return os.pread(self._log.fileno(), end - start, start).decode(errors="replace")

    def _kill(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for resource in (self._connection, self._log):
            if resource is not None:
                resource.close()
        self._process = self._connection = self._log = None


_shared = Worker()


def shared() -> Worker:
    """The worker that every compile of this process uses."""
    return _shared


def _after_fork() -> None:
    global _shared
    _shared.forget()
    _shared = Worker()


def _at_exit() -> None:
    _shared.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)


def main(descriptor: int) -> None:
    """Serve jobs that come over a socket until the parent closes its end."""
    faulthandler.enable()
    connection = Connection(descriptor)

    at = ("", "tessera")

    def report(target: str, stage: str) -> None:
        nonlocal at
        at = (target, stage)
        connection.send(("stage", (target, stage)))

    from tessera.driver import codegen, pipeline  # noqa: F401 (loaded before the first job arrives)

    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            job = connection.recv()
            try:
                reply: tuple[str, Any] = ("result", pipeline.run(job, report))
            except (CompilationFailed, StoppedBefore) as error:
                reply = ("error", error)
            except Exception as error:
                # A mistake of ours; the traceback is in the reproducer's log.
                import traceback

                message = f"internal error: {error!r}"
                reply = ("error", CompilationFailed(Failure(*at, "", message, log=traceback.format_exc())))
            connection.send(reply)
