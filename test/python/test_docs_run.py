# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The Python code of README and of the documentation runs, page by page and in order; its links lead somewhere."""

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import tessera

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(page for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in PAGES if BLOCK.search(page.read_text())], ids=lambda page: page.name)
def test_examples(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    names: dict[str, Any] = {"__name__": page.stem}
    for match in BLOCK.finditer(text):
        # Padded, so that errors name the page's own lines.
        lines = text.count("\n", 0, match.start(1))
        exec(compile("\n" * lines + match[1], str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "code", page.read_text(), flags=re.DOTALL)  # which is full of brackets
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize(
    ("folder", "page", "pattern", "prefix"),
    [
        ("dialects/Tessera", "tessera.md", r'^def \w+ : \w+Op<"(\w+)"', "tessera."),
        ("dialects/Runtime", "rt.md", r'^def \w+ : \w+Op<"(\w+)"', "rt."),
        ("passes", "passes.md", r': (?:Interface)?Pass<"([\w-]+)"', "-"),
    ],
    ids=lambda value: value if value.endswith(".md") else "",
)
def test_reference_names_everything(folder: str, page: str, pattern: str, prefix: str) -> None:
    definitions = "".join(file.read_text() for file in sorted((ROOT / folder).rglob("*.td")))
    names = {prefix + name for name in re.findall(pattern, definitions, re.MULTILINE)}
    titles = set(re.findall(r"^### `([^`]+)`", (ROOT / "docs" / "reference" / page).read_text(), re.MULTILINE))
    assert len(names) > 5
    assert titles == names, "write it again: docs/generate.sh BUILD_DIR"


def test_members_lie_on_256_bytes(tmp_path: Path) -> None:
    @tessera.function
    def f(x: tessera.Tensor["B"]) -> tessera.Tensor["B"]:
        return x + 1

    tessera.compile(f).save(tmp_path / "f.tsr")
    data = (tmp_path / "f.tsr").read_bytes()
    with zipfile.ZipFile(tmp_path / "f.tsr") as archive:
        assert archive.namelist()[0] == "manifest.json"
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            position = data.index(archive.read(info), info.header_offset)
            assert position % 256 == 0
