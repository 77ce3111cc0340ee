# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Commands and their options. What they do is imported when they run: ``tessera --help`` must not load a compiler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

OK, FAILED, USAGE, COMPILE_FAILED, BAD_ARTIFACT = range(5)

_EXIT_CODES = "Exit codes: 0 done, 1 run failed or result not as expected, 2 usage, 3 compile error, 4 bad artifact."

app = typer.Typer(
    name="tessera",
    help="Compile tensor functions ahead of time; run, inspect and time the artifacts.",
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cache_app = typer.Typer(help="The on-disk cache of functions compiled on call.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")

ArtifactPath = Annotated[Path, typer.Argument(metavar="ARTIFACT.tsr", help="A compiled artifact.")]
EntryName = Annotated[str | None, typer.Option("--entry", help="The entry point, where there are several.")]


def fail(code: int, message: str) -> typer.Exit:
    """Print an error and return the exit to raise."""
    typer.echo(f"tessera: {message}", err=True)
    return typer.Exit(code)


@contextmanager
def reporting(tessera_error: int) -> Iterator[None]:
    """Turn errors into a message and an exit code: ``tessera_error`` for those without one of their own."""
    from tessera.errors import ArtifactError, TargetError, TesseraError

    try:
        yield
    except TargetError as error:
        raise fail(USAGE, str(error)) from None
    except ArtifactError as error:
        raise fail(BAD_ARTIFACT, str(error)) from None
    except TesseraError as error:
        raise fail(tessera_error, str(error)) from None
    except OSError as error:
        raise fail(USAGE, str(error)) from None


@app.command("compile", epilog=_EXIT_CODES)
def compile_command(
    source: Annotated[str, typer.Argument(metavar="FILE.py:NAME", help="A function or module; NAME,NAME for several.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to write; NAME.tsr by default.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="A machine to compile for; may be repeated.")] = None,
    dim: Annotated[
        list[str] | None, typer.Option(help="D=4096 fixes a size; S=1:8192:16 gives min, max, multiple.")
    ] = None,
    dtype: Annotated[
        list[str] | None, typer.Option(help="bf16 for all tensors without a dtype; w=bf16 for one.")
    ] = None,
    static: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of a compile-time parameter.")] = None,
    emit: Annotated[str | None, typer.Option(help="Give the IR of a stage (or obj) in place of an artifact.")] = None,
    dump_dir: Annotated[Path | None, typer.Option(help="A folder for the IR of every stage.")] = None,
    keep_ir: Annotated[bool, typer.Option("--keep-ir", help="Keep the IR of every stage in the artifact.")] = False,
    in_process: Annotated[bool, typer.Option("--in-process", help="Compile without a child process.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Give up after this many seconds.")] = None,
    ptxas: Annotated[Path | None, typer.Option(help="The assembler for GPU targets.")] = None,
    lineinfo: Annotated[bool, typer.Option("--lineinfo", help="Keep source lines in GPU code.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Have calls check indices, and values for NaN.")] = False,
    allow_infinity: Annotated[bool, typer.Option("--allow-infinity", help="--debug, but for infinities.")] = False,
    times: Annotated[bool, typer.Option("--times", help="Show the table of stage times, however short.")] = False,
) -> None:
    """Compile a function to an artifact."""
    from tessera.cli import compiling

    with reporting(COMPILE_FAILED):
        compiling.compile_file(
            source,
            output=output,
            targets=target or ["cpu"],
            dims=dim or [],
            dtypes=dtype or [],
            static=static or [],
            emit=emit,
            dump_dir=dump_dir,
            keep_ir=keep_ir,
            in_process=in_process,
            timeout=timeout,
            ptxas=ptxas,
            lineinfo=lineinfo,
            debug="nan" if debug and allow_infinity else debug,
            times=times,
        )


@app.command("run", epilog=_EXIT_CODES)
def run_command(
    artifact: ArtifactPath,
    inputs: Annotated[list[str] | None, typer.Option("--input", help="x.npy in order, or name=x.npy.")] = None,
    outputs: Annotated[list[Path] | None, typer.Option("--output", help="Where to write each result (.npy).")] = None,
    expect: Annotated[list[Path] | None, typer.Option("--expect", help="What each result should be (.npy).")] = None,
    rtol: Annotated[float | None, typer.Option(help="Relative tolerance; by dtype when not given.")] = None,
    atol: Annotated[float | None, typer.Option(help="Absolute tolerance; by dtype when not given.")] = None,
    target: Annotated[str | None, typer.Option(help="The only target whose code is used.")] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Show how long each kernel takes.")] = False,
    trace_values: Annotated[
        bool, typer.Option("--trace-values", help="Name the first value that two targets compute differently.")
    ] = False,
    against: Annotated[str, typer.Option(help="With --trace-values: the target that is right.")] = "cpu",
    entry: EntryName = None,
) -> None:
    """Run an artifact on arrays in .npy files, and compare the results with expected ones."""
    from tessera.cli import running

    with reporting(FAILED):
        running.run_artifact(
            artifact,
            entry,
            inputs or [],
            outputs or [],
            expect or [],
            rtol,
            atol,
            target=target,
            profile=profile,
            against=against if trace_values else None,
        )


@app.command("inspect", epilog=_EXIT_CODES)
def inspect_command(
    artifact: ArtifactPath,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole description as JSON.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Check the digest of every member too.")] = False,
) -> None:
    """Show what an artifact holds. Runs none of its code."""
    from tessera.cli import inspecting

    with reporting(BAD_ARTIFACT):
        inspecting.show(artifact, as_json=as_json, verify=verify)


@app.command("explain", epilog=_EXIT_CODES)
def explain_command(
    artifact: ArtifactPath,
    cluster: Annotated[str, typer.Option(help="The machines: h100-8, or a .toml file (docs/scaling.md).")],
    dim: Annotated[list[str] | None, typer.Option(help="The size of a symbol: B=8.")] = None,
    entry: EntryName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Predict what an artifact's ranks send each other, and how long that takes. Runs none of its code."""
    from tessera.cli import explaining

    with reporting(USAGE):
        explaining.explain(artifact, cluster, dim or [], entry, as_json=as_json)


@app.command("bench", epilog=_EXIT_CODES)
def bench_command(
    artifact: ArtifactPath,
    dim: Annotated[list[str] | None, typer.Option(help="The size of a symbol: S=512.")] = None,
    entry: EntryName = None,
    warmup: Annotated[int, typer.Option(help="Calls before measuring.")] = 10,
    seconds: Annotated[float, typer.Option(help="How long to measure.")] = 1.0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Allocate results in every call instead of passing out=.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Time an artifact on random arrays."""
    from tessera.cli import benching

    with reporting(FAILED):
        benching.bench(artifact, entry, dim or [], warmup, seconds, fresh=fresh, as_json=as_json)


@app.command("launch", epilog=_EXIT_CODES, context_settings={"allow_interspersed_args": False})
def launch_command(
    command: Annotated[list[str], typer.Argument(metavar="SCRIPT.py [ARG]...", help="What every rank runs.")],
    ranks: Annotated[int, typer.Option("-n", "--ranks", min=1, help="How many processes to start.")],
    timeout: Annotated[float | None, typer.Option(help="Seconds that ranks wait for each other.")] = None,
) -> None:
    """Run a script on the ranks of a mesh, as processes of this machine."""
    from tessera.cli import launching

    launching.launch(ranks, command, timeout)


@cache_app.command("info")
def cache_info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show where the cache is and what it holds."""
    import json

    from tessera.driver.cache import DiskCache, format_size

    with reporting(USAGE):
        info = DiskCache().info()
    if as_json:
        document = {"folder": str(info.folder), "entries": info.entries, "bytes": info.bytes, "limit": info.limit}
        typer.echo(json.dumps(document))
    else:
        typer.echo(f"{info.folder}: {info.entries} artifacts, {format_size(info.bytes)} of {format_size(info.limit)}")


@cache_app.command("clear")
def cache_clear() -> None:
    """Remove every cached artifact."""
    from tessera.driver.cache import DiskCache, format_size

    with reporting(USAGE):
        typer.echo(f"removed {format_size(DiskCache().clear())}")


@cache_app.command("prune")
def cache_prune(
    size: Annotated[str | None, typer.Option(help="What may stay: 500M. The cache's limit by default.")] = None,
) -> None:
    """Remove the least recently used artifacts until the rest fit."""
    from tessera.driver.cache import DiskCache, format_size, parse_size

    with reporting(USAGE):
        removed = DiskCache().prune(parse_size(size) if size is not None else None)
    typer.echo(f"removed {format_size(removed)}")


@app.command("targets")
def targets_command() -> None:
    """List the machines that can be compiled for."""
    from tessera.driver.targets import known_targets

    for name, machine in known_targets().items():
        typer.echo(f"{name:16} {machine}")


@app.command("version")
def version_command() -> None:
    """Show the versions of Tessera and of what it compiles with."""
    from tessera.driver.build import producer, version

    try:
        versions = producer()
    except ModuleNotFoundError:
        typer.echo(f"tessera {version()}, without a compiler")
        return
    typer.echo(", ".join(f"{name} {number}" for name, number in versions.items()))
