# Part of Tessera, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# ruff: noqa: E501  (tables of cases, one a line)
"""The host-object loader: what it runs, what it refuses, and that no bytes make it crash."""

from __future__ import annotations

import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from handmade import compile_c, rt, tensor, value
from programs import function, load


class Section(NamedTuple):
    """A section header and where it stands in the file."""

    at: int
    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int


def sections(elf: bytes) -> list[Section]:
    (table,) = struct.unpack_from("<Q", elf, 40)
    count, names = struct.unpack_from("<HH", elf, 60)
    rows = [struct.unpack_from("<IIQQQQIIQQ", elf, table + 64 * i) for i in range(count)]
    base = rows[names][4]
    return [
        Section(table + 64 * i, elf[base + r[0] : elf.index(b"\0", base + r[0])].decode(), r[1], r[2], *r[4:8])
        for i, r in enumerate(rows)
    ]


def section(elf: bytes, name: str) -> Section:
    return next(s for s in sections(elf) if s.name == name)


def patch(elf: bytes, at: int, layout: str, *values: int) -> bytes:
    packed = struct.pack("<" + layout, *values)
    return elf[:at] + packed + elf[at + len(packed) :]


def symbol_at(elf: bytes, name: str) -> int:
    """The file offset of a symbol's entry."""
    table = section(elf, ".symtab")
    strings = sections(elf)[table.link]
    for at in range(table.offset, table.offset + table.size, 24):
        (start,) = struct.unpack_from("<I", elf, at)
        if elf[strings.offset + start : elf.index(b"\0", strings.offset + start)].decode() == name:
            return at
    raise LookupError(name)


# One object with everything that the loader supports: calls, a jump table, pointers in data, constants, GOT accesses.
RICH_PRELUDE = """
static __attribute__((noinline)) int64_t helper(int64_t x) { return x * 3; }
static int64_t twice(int64_t x) { return x * 2; }
static int64_t negate(int64_t x) { return -x; }
typedef int64_t (*unary)(int64_t);
static const unary table[] = {twice, negate, helper};
__attribute__((visibility("default"))) const int64_t shared[4] = {10, 20, 30, 40};
const unary *volatile_table(void) { return table; }
"""
RICH_BODY = """
int64_t k = *(const int64_t *)b[0], r = volatile_table()[k % 3](k) + shared[k & 3] + helper(k);
switch (k) { case 0: r += 5; break; case 1: r *= 7; break; case 2: r -= k; break; case 3: r ^= 9; break;
             case 4: r = k - r; break; case 5: r <<= 3; break; case 6: r = r * r; break; }
*(int64_t *)b[1] = tsr_runtime ? r : -1;
((double *)b[2])[0] = 1.25 + k; ((double *)b[2])[1] = 2.5 * k;
*(int64_t *)b[3] = (int64_t)&rich; *(int64_t *)b[4] = (int64_t)&tsr_runtime;
"""
RICH = RICH_PRELUDE + function("rich", RICH_BODY)


def rich() -> object:
    outputs = [value("int64"), value("f64", 2), value("int64"), value("int64")]
    return load("rich", RICH_BODY, [tensor("k", "int64")], outputs, prelude=RICH_PRELUDE)


@pytest.mark.parametrize("k", range(8))
def test_code_with_every_supported_relocation_runs(k: int) -> None:
    result, floats, _, _ = rich()(k)
    expected = [2 * k, -k, 3 * k][k % 3] + [10, 20, 30, 40][k & 3] + 3 * k
    expected = [
        expected + 5,
        expected * 7,
        expected - k,
        expected ^ 9,
        k - expected,
        expected << 3,
        expected**2,
        expected,
    ][k]
    assert result == expected
    np.testing.assert_array_equal(floats, [1.25 + k, 2.5 * k])


def test_the_rich_object_has_the_relocations_it_is_for() -> None:
    elf = compile_c(RICH)
    kinds = set()
    for table in sections(elf):
        if table.type == 4:  # SHT_RELA
            kinds |= {
                struct.unpack_from("<Q", elf, at + 8)[0] & 0xFFFFFFFF
                for at in range(table.offset, table.offset + table.size, 24)
            }
    assert kinds >= {1, 2, 42} and kinds <= {1, 2, 4, 9, 41, 42}  # 64, PC32, REX_GOTPCRELX; PLT32, GOTPCREL, GOTPCRELX


def permissions(address: int) -> str:
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(end, 16) for end in line.split()[0].split("-"))
        if low <= address < high:
            return line.split()[1]
    raise LookupError(address)


def test_no_page_is_writable_and_executable() -> None:
    entry = rich()
    _, _, code, slot = entry(1)
    assert permissions(int(code)) == "r-xp" and permissions(int(slot)) == "r--p"


GOOD = compile_c(RICH)
HEADER = "host object"


def refused_by_compiling() -> list[tuple[str, bytes, str]]:
    def f(expression: str) -> str:
        return function("f", f"*(int *)b[0] = {expression};")

    return [
        ("an import", compile_c("int other(int);" + f("other(1)")), "[TSR3014] host object needs symbols from outside: 'other'"),
        ("libm", compile_c("double sin(double);" + f("sin(*(double *)b[0])")), "[TSR3014] host object needs symbols from outside: 'sin'"),
        ("a counter", compile_c("static int count;" + f("++count")), "[TSR3015] host object: expected one 'tsr_runtime', an aligned writable word alone in its section: compiled code keeps no state"),
        ("data", compile_c("int count = 5;" + f("++count")), "[TSR3012] host object: section '.data' is writable"),
        ("a constructor", compile_c("__attribute__((constructor)) void start(void) {}" + f("1")), "[TSR3012] host object: section"),
        ("thread-local", compile_c("static __thread int count;" + f("++count")), "[TSR3014] host object needs symbols from outside: '__tls_"),
        ("thread-local, local", compile_c("static __thread int count;" + f("++count"), "-ftls-model=local-exec"), "[TSR3012] host object: section '.tbss' is thread-local"),
        ("fixed addresses", compile_c("const int t[2] = {1, 2};" + f("t[s[0]]"), "-fno-pic", "-mcmodel=small"), "[TSR3013] host object: relocation kind 11"),
        ("the large model", compile_c("const int t[2] = {1, 2};" + f("t[s[0]]"), "-mcmodel=large"), "[TSR3013] host object: relocation kind 29 in section '.text' is not supported"),
        ("no code", compile_c(""), "[TSR3012] host object holds no code"),
        ("32 bits", compile_c("", "-m32", "-D__SIZEOF_INT128__"), "[TSR3011] host object: expected a relocatable x86-64 ELF file, got class 1"),
    ]  # fmt: skip


def refused_by_patching() -> list[tuple[str, bytes, str]]:
    text, slot_at = section(GOOD, ".text"), symbol_at(GOOD, "tsr_runtime")
    slot = sections(GOOD)[struct.unpack_from("<H", GOOD, slot_at + 6)[0]]
    symtab, rela = section(GOOD, ".symtab"), section(GOOD, ".rela.text")
    rich_at = symbol_at(GOOD, "rich")
    out_of_file = len(GOOD) + 1
    return [
        ("nothing", b"", "[TSR3011] host object is truncated or damaged"),
        ("not ELF", b"MZ" + GOOD[2:], "[TSR3011] host object is not an ELF file"),
        ("big-endian", patch(GOOD, 5, "B", 2), "[TSR3011] host object: expected a relocatable x86-64 ELF file"),
        ("an executable", patch(GOOD, 16, "H", 2), "[TSR3011] host object: expected a relocatable x86-64 ELF file, got class 2, type 2"),
        ("another machine", patch(GOOD, 18, "H", 183), "[TSR3011] host object: expected a relocatable x86-64 ELF file, got class 2, type 1, machine 183"),
        ("no section table", patch(GOOD, 60, "H", 0), "[TSR3011] host object is damaged: its section table is malformed"),
        ("sections outside", patch(GOOD, 40, "Q", out_of_file), "[TSR3011] host object is truncated or damaged"),
        ("text outside", patch(GOOD, text.at + 24, "Q", out_of_file), "[TSR3011] host object is truncated or damaged"),
        ("text too large", patch(GOOD, text.at + 32, "Q", 2**63), "[TSR3011] host object is truncated or damaged"),
        ("writable text", patch(GOOD, text.at + 8, "Q", 7), "[TSR3012] host object: section '.text' is writable and executable"),
        ("thread-local text", patch(GOOD, text.at + 8, "Q", 0x406), "[TSR3012] host object: section '.text' is thread-local"),
        ("an odd alignment", patch(GOOD, text.at + 48, "Q", 3), "[TSR3012] host object: section '.text' has an alignment"),
        ("a huge alignment", patch(GOOD, text.at + 48, "Q", 2**40), "[TSR3012] host object: section '.text' has an alignment"),
        ("text without bytes", patch(GOOD, text.at + 4, "I", 8), "[TSR3012] host object: section '.text' has no bytes"),
        ("overlapping sections", patch(GOOD, text.at + 24, "QQ", 0, len(GOOD)), "[TSR3011] host object is damaged: its sections overlap"),
        ("a wide slot", patch(GOOD, slot.at + 32, "Q", 16), "[TSR3015] host object: expected one 'tsr_runtime'"),
        ("a slot in no memory", patch(GOOD, slot.at + 8, "Q", 1), "[TSR3015] host object: expected one 'tsr_runtime'"),
        ("a filled slot", patch(patch(GOOD, slot.at + 4, "I", 1), slot.at + 24, "Q", 0), "[TSR3015] host object: expected 'tsr_runtime' to be zero"),
        ("a relocated slot", patch(GOOD, rela.at + 44, "I", sections(GOOD).index(slot)), "[TSR3013] host object: 'tsr_runtime' may not be reloc"),
        ("relocations nowhere", patch(GOOD, rela.at + 44, "I", 999), "[TSR3011] host object is damaged: relocations of a section"),
        ("no addends", patch(GOOD, rela.at + 4, "I", 9), "[TSR3013] host object: expected relocations with addends"),
        ("a relocation outside", patch(GOOD, rela.offset, "Q", text.size - 3), "[TSR3013] host object: a relocation points outside"),
        ("a far relocation", patch(GOOD, rela.offset, "Q", 2**64 - 1), "[TSR3013] host object: a relocation points outside"),
        ("a wide addend", patch(GOOD, rela.offset + 16, "q", 2**40), "[TSR3013] host object: a relocation in section '.text' does not fit"),
        ("an unknown kind", patch(GOOD, rela.offset + 8, "I", 37), "[TSR3013] host object: relocation kind 37 in section '.text'"),
        ("an unknown symbol", patch(GOOD, rela.offset + 12, "I", 9999), "[TSR3013] host object: a relocation refers to symbol 9999"),
        ("the null symbol", patch(GOOD, rela.offset + 12, "I", 0), "[TSR3013] host object: a relocation refers to symbol 0"),
        ("two symbol tables", patch(GOOD, rela.at + 4, "I", 2), "[TSR3011] host object is damaged: it has two symbol tables"),
        ("no names", patch(GOOD, symtab.at + 40, "I", 99), "[TSR3011] host object is damaged: its symbol table is malformed"),
        ("a name outside", patch(GOOD, rich_at, "I", 2**31), "[TSR3011] host object is truncated or damaged"),
        ("an absolute symbol", patch(GOOD, symbol_at(GOOD, "shared") + 6, "H", 0xFFF1), "[TSR3015] host object: symbol 'shared' is not plain"),
        ("a common symbol", patch(GOOD, symbol_at(GOOD, "shared") + 6, "H", 0xFFF2), "[TSR3015] host object: symbol 'shared' is not plain"),
        ("an indirect symbol", patch(GOOD, symbol_at(GOOD, "shared") + 4, "B", 0x1A), "[TSR3015] host object: symbol 'shared' is not plain"),
        ("a symbol outside", patch(GOOD, symbol_at(GOOD, "shared") + 8, "Q", 2**33), "[TSR3015] host object: symbol 'shared' lies outside"),
        ("a double symbol", patch(GOOD, symbol_at(GOOD, "volatile_table"), "I", struct.unpack_from("<I", GOOD, rich_at)[0]), "[TSR3015] host object: symbol 'rich' is defined twice"),
    ]  # fmt: skip


REFUSED = refused_by_compiling() + refused_by_patching()


@pytest.mark.parametrize("elf, text", [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused(elf: bytes, text: str) -> None:
    with pytest.raises(Exception) as caught:
        rt.check_object(elf)
    assert str(caught.value).startswith(text)


def test_accepted() -> None:
    rt.check_object(GOOD)
    rt.check_object(bytearray(GOOD))
    rt.check_object(compile_c(RICH, "-g", "-ffunction-sections", "-fdata-sections", "-fno-asynchronous-unwind-tables"))
    rt.check_object(compile_c(RICH, "-O3", "-mavx512f", "-fvisibility=hidden"))
    with pytest.raises(TypeError):
        rt.check_object("text")


FUZZ = """
import random, resource, struct, sys
sys.path[:0] = {path!r}
from handmade import rt
good = open({object!r}, "rb").read()
resource.setrlimit(resource.RLIMIT_AS, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + (2 << 30),) * 2)
random.seed({seed})
edges = [0, 1, 2, 7, 8, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63, 2**64 - 1, len(good), len(good) - 1]
(table,), (count,) = struct.unpack_from("<Q", good, 40), struct.unpack_from("<H", good, 60)
accepted = 0
for _ in range({count}):
    data = bytearray(good)
    for _ in range(random.choice([1, 1, 2, 4])):
        # Headers, symbols and relocations are all made of fields of 2, 4 and 8 bytes, of which these are the extremes.
        low, high = random.choice([(0, 64), (table, len(good)), (table, len(good)), (0, len(good))])
        layout, size = random.choice([("<H", 2), ("<I", 4), ("<Q", 8)])
        at = min(random.randrange(low, high) // size * size, len(good) - size)
        number = random.choice([random.choice(edges), random.getrandbits(64), struct.unpack_from(layout, data, at)[0] + random.choice([-8, -1, 1, 8])])
        struct.pack_into(layout, data, at, number % 256**size)
    if random.random() < 0.1:
        del data[random.randrange(len(data)):]
    try:
        rt.check_object(bytes(data))
        accepted += 1
    except Exception as error:
        assert str(error).startswith("[TSR3"), error
print("accepted", accepted)
"""


@pytest.mark.parametrize("seed", range(4))
def test_damaged_objects_never_crash_the_loader(tmp_path: Path, seed: int) -> None:
    target = tmp_path / "good.o"
    target.write_bytes(GOOD)
    path = [str(Path(__file__).parent), *sys.path]
    script = textwrap.dedent(FUZZ.format(path=path, object=str(target), seed=seed, count=6000))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    accepted = int(done.stdout.split()[1])
    assert 0 < accepted < 6000  # both ways are exercised
