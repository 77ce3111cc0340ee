# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GPU targets, from kernels in the nvvm dialect to the artifact."""

from __future__ import annotations

import json
from pathlib import Path

import gpu_sample
import pytest
from tessera.artifact import Artifact
from tessera.cli.app import OK, USAGE, app
from tessera.container import Container
from tessera.driver.build import Options, Traced, build, lower_to, make_job
from tessera.driver.targets import GpuTarget, known_targets, parse_target
from tessera.errors import ArgumentError, ArtifactError, CompileError, ToolError
from typer.testing import CliRunner

IN_PROCESS = Options(in_process=True)


def gpu(name: str) -> GpuTarget:
    target = parse_target(name)
    assert isinstance(target, GpuTarget)
    return target


def compiled(name: str, options: Options = IN_PROCESS, kernels: str = gpu_sample.KERNELS) -> bytes:
    target = gpu(name)
    with gpu_sample.from_nvvm_on():
        return build((gpu_sample.traced(target, kernels),), (target,), options)[0]


def manifest_of(data: bytes) -> dict[str, object]:
    with Container(data) as container:
        return container.manifest


def test_a_portable_target() -> None:
    data = compiled("sm_80")
    with Container(data) as container:
        container.verify()
        manifest = container.manifest
        module = manifest["modules"]["sm_80"]
        digest = manifest["members"][module["cubin"]]["sha256"]
        assert module["cubin"] == f"cuda/sm_80/{digest[:16]}.cubin"
        assert module["ptx"].startswith("cuda/compute_80/")
        assert container.read(module["cubin"]).startswith(b"\x7fELF")
        ptx = container.read(module["ptx"]).decode()
    assert ".target sm_80\n" in ptx and ".entry add_one(" in ptx and "__nv_erff" not in ptx
    first, second = module["kernels"]
    usage = {key: first.pop(key) for key in ("registers", "spills", "shared", "source")}
    assert first == {"name": "add_one", "threads": 256, "cluster": 1, "dynamic_shared": 0, "pdl": False}
    assert usage["registers"] > 0 and usage["spills"] == usage["shared"] == 0
    assert second["name"] == "add_one_1"
    assert (second["threads"], second["cluster"], second["dynamic_shared"], second["pdl"]) == (128, 2, 65536, True)
    (variant,) = manifest["entries"]["add_one"]["variants"]
    assert (variant["target"], variant["module"], variant["features"]) == ("sm_80", "sm_80", [])
    assert variant["object"] == "host/x86_64-linux-gnu/sm_80.o"
    assert {"ptxas", "libdevice"} <= set(manifest["producer"])


def test_code_for_one_architecture_has_no_ptx() -> None:
    manifest = manifest_of(compiled("sm_90a"))
    assert "ptx" not in manifest["modules"]["sm_90a"]  # type: ignore[index]
    assert not [name for name in manifest["members"] if "compute" in name]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name in ("sm_86", "sm_89", "sm_90", "sm_100a", "sm_103", "sm_120a")])
def test_every_kind_of_target_assembles(name: str) -> None:
    assert "cubin" in manifest_of(compiled(name))["modules"][name]  # type: ignore[index]


def test_the_same_bytes_twice() -> None:
    assert compiled("sm_80") == compiled("sm_80")


def test_a_program_without_kernels_has_no_code() -> None:
    data = compiled("sm_80", kernels="")
    manifest = manifest_of(data)
    assert manifest["modules"] == {"sm_80": {"arch": "sm_80", "kernels": []}}
    assert list(manifest["members"]) == ["host/x86_64-linux-gnu/sm_80.o"]  # type: ignore[call-overload]
    assert Artifact(data).mlir("sass") == ""


def test_text_of_the_stages(tmp_path: Path) -> None:
    data = compiled("sm_80", Options(in_process=True, keep_ir=True, dump_dir=tmp_path))
    artifact = Artifact(data)
    assert "gpu.module @kernels" in artifact.mlir("nvvm")
    assert ".entry add_one(" in artifact.mlir("ptx", "sm_80")
    assert "STG.E" in artifact.mlir("sass")
    assert "define i32 @add_one(" in artifact.mlir("llvmir")
    assert "kernel" not in artifact.mlir("llvmir")
    names = ["0-tessera.mlir", "1-linalg.mlir", "2-kernels.mlir", "3-rt.mlir", "4-gpu.mlir", "5-nvvm.mlir", "6-ptx.ptx"]
    assert sorted(path.name for path in (tmp_path / "sm_80").iterdir()) == [*names, "8-llvmir.ll"]
    with pytest.raises(ArgumentError, match=r"unknown stage 'llvm' of target 'sm_80': .*nvvm, ptx, sass"):
        artifact.mlir("llvm")


def test_what_is_there_without_kept_ir() -> None:
    portable, specific = Artifact(compiled("sm_80")), Artifact(compiled("sm_90a"))
    assert ".target sm_80" in portable.mlir("ptx")
    assert "STG.E" in specific.mlir("sass")
    for artifact, stage in ((portable, "nvvm"), (specific, "ptx")):
        with pytest.raises(ArtifactError, match="keeps no IR"):
            artifact.mlir(stage)


def test_one_stage_on_request() -> None:
    target = gpu("sm_90a")
    with gpu_sample.from_nvvm_on():
        job = make_job((gpu_sample.traced(target),), (target,), IN_PROCESS)
        assert ".target sm_90a" in lower_to(job, target, "ptx", IN_PROCESS)


def test_inspect_tells_what_kernels_take() -> None:
    description = Artifact(compiled("sm_80")).inspect()
    assert description["targets"] == ["sm_80"]
    assert [kernel["name"] for kernel in description["kernels"]] == ["add_one", "add_one_1"]
    facts = description["kernels"][1]["targets"]["sm_80"]
    assert facts["threads"] == 128 and facts["cluster"] == 2 and facts["spills"] == 0
    json.dumps(description)


def test_the_command_line_shows_a_gpu_target(tmp_path: Path) -> None:
    path = tmp_path / "sample.tsr"
    path.write_bytes(compiled("sm_80"))
    result = CliRunner().invoke(app, ["inspect", "--verify", str(path)])
    assert result.exit_code == OK, result.output
    for text in ("targets: sm_80", "ptxas 13.0.", "on sm_80: threads 128, cluster 2", "cuda/compute_80/"):
        assert text in " ".join(result.output.split())
    result = CliRunner().invoke(app, ["inspect", "--json", str(path)])
    assert json.loads(result.output)["kernels"][0]["targets"]["sm_80"]["spills"] == 0


def test_the_command_line_lists_targets() -> None:
    result = CliRunner().invoke(app, ["targets"])
    assert result.exit_code == OK
    assert [line.split()[0] for line in result.output.splitlines()] == list(known_targets())
    assert "sm_90a           NVIDIA GPUs of compute capability 9.0 alone" in result.output


def test_a_stage_that_no_target_has(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "import tessera\n@tessera.function\ndef f(x: tessera.Tensor['N']): return x + x\n"
    )
    result = CliRunner().invoke(app, ["compile", f"{tmp_path}/model.py:f", "--emit", "ptx"])
    assert result.exit_code == USAGE
    assert "--emit: no stage 'ptx' of cpu" in result.output


def test_line_information_on_request() -> None:
    data, with_lines = compiled("sm_80"), compiled("sm_80", Options(in_process=True, lineinfo=True))
    assert ".loc" not in Artifact(data).mlir("ptx")
    assert ".loc" in Artifact(with_lines).mlir("ptx")


def test_what_ptxas_refuses_leaves_a_reproducer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = """
    llvm.func @bad() attributes {gpu.kernel, nvvm.kernel, tessera.threads = 32 : i32} {
      llvm.inline_asm has_side_effects "no such instruction;", "" : () -> ()
      llvm.return
    }
  }"""
    bad = gpu_sample.KERNELS.rstrip().removesuffix("}") + kernel
    with pytest.raises(CompileError) as caught:
        compiled("sm_80", kernels=bad)
    message = str(caught.value)
    assert message.startswith("[TSR4001] cannot compile for target 'sm_80': stage 'sass' failed: ptxas ended with exit")
    (folder,) = (tmp_path / "reproducers").iterdir()
    assert "no such instruction" in (folder / "before-sass.ptx").read_text()
    assert "-v -arch=sm_80 -O3 before-sass.ptx -o kernels.cubin" in (folder / "replay.sh").read_text()


def test_a_missing_tool_is_told_before_anything_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERA_PTXAS", "/nowhere/ptxas")
    with pytest.raises(ToolError, match="TESSERA_PTXAS"):
        build((Traced("f", b"not even MLIR", {}),), (gpu("sm_80"),), IN_PROCESS)
