# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table of errors: its form, and the page written from it."""

from pathlib import Path

from tessera import errors

ROOT = Path(__file__).resolve().parents[3]


def test_page_of_errors_is_up_to_date() -> None:
    expected = errors.render_docs((ROOT / "runtime" / "errors.def").read_text())
    page = ROOT / "docs" / "errors.md"
    assert page.read_text() == expected, "write it again: python tools/write_error_docs.py"


def test_page_holds_the_runtimes_codes() -> None:
    text = (ROOT / "runtime" / "errors.def").read_text()
    page = (ROOT / "docs" / "errors.md").read_text()
    assert page.count("## TSR") == len(errors.CODES) + text.count("\nTSR_ERROR(")


def test_every_row_is_a_sentence() -> None:
    for code, row in errors.CODES.items():
        assert row.what.endswith("."), code
        assert row.fix.endswith("."), code
        assert issubclass(row.error, errors.TesseraError)


def test_code_of_an_error() -> None:
    assert errors.ShapeError("[TSR1105] mul: ...").code == "TSR1105"
    assert errors.ShapeError("no code").code is None
    assert errors.TesseraError().code is None
