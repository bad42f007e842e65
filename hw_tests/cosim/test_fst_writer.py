# SPDX-License-Identifier: Apache-2.0
"""What stands in for lz4 and zlib packs so that others unpack it, and nothing of them is linked."""

from __future__ import annotations

import random
import subprocess
import zlib
from pathlib import Path

import pytest

from cosim import fst_writer
from cosim.fst_writer import FST_FOLDER, fst_options, fst_texts
from cosim.verilator_build import build_library
from cosim.verilator_tool import BuildError, Verilator, find_verilator
from hw_tests.cosim.copy_engine import copy_engine_verilog
from hw_tests.seeds import salted

_PROGRAM = """\
#include <lz4.h>
#include <zlib.h>
#include <cstdio>
#include <string>
int main(int, char** arguments) {
    std::string data;
    for (int c; (c = std::getchar()) != EOF;) data.push_back(static_cast<char>(c));
    const int size = static_cast<int>(data.size());
    if (std::string(arguments[1]) == "lz4") {
        std::vector<char> out(LZ4_compressBound(size));
        const int room = LZ4_compressBound(size);
        const int bytes = LZ4_compress_default(data.data(), out.data(), size, room);
        return std::fwrite(out.data(), 1, bytes, stdout) != size_t(bytes);
    }
    uLongf bytes = compressBound(size);
    std::vector<Bytef> out(bytes);
    const Bytef* from = reinterpret_cast<const Bytef*>(data.data());
    if (compress2(out.data(), &bytes, from, size, 9) != Z_OK) return 1;
    return std::fwrite(out.data(), 1, bytes, stdout) != bytes;
}
"""


@pytest.fixture(scope="module")
def packer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that packs standard input; the compiler is told to watch its memory."""
    folder = tmp_path_factory.mktemp("packer")
    (folder / "packer.cpp").write_text(_PROGRAM)
    headers = Path(fst_writer.__file__).parent / FST_FOLDER
    checks = ("-Wall", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover")
    subprocess.run(
        ["g++", "-std=gnu++17", "-O1", *checks, f"-I{headers}", "packer.cpp", "-o", "packer"],
        cwd=folder,
        check=True,
    )
    return folder / "packer"


def _unpacked(block: bytes) -> bytes:
    """What an LZ4 block stands for, by the description of the format."""
    out, place = bytearray(), 0

    def length(base: int) -> int:
        nonlocal place
        while base >= 15:
            place += 1
            base += block[place - 1]
            if block[place - 1] != 255:
                break
        return base

    while True:
        token = block[place]
        place += 1
        literals = length(token >> 4)
        out += block[place : place + literals]
        place += literals
        if place == len(block):
            return bytes(out)
        distance = int.from_bytes(block[place : place + 2], "little")
        place += 2
        assert 0 < distance <= len(out)
        for _ in range(length(token & 15) + 4):
            out.append(out[-distance])


def _cases() -> list[bytes]:
    drawn = random.Random(salted(0))
    cases = [b"", b"a", b"ab" * 3, b"abcd" * 4, b"x" * 12, b"x" * 13, b"0" * 100_000]
    cases += [bytes(drawn.choice(b"01") for _ in range(50_000)), drawn.randbytes(5000)]
    cases += [bytes(range(256)) * 300, b"x" * 300 + drawn.randbytes(70_000) + b"x" * 700]
    return cases + [
        bytes(drawn.choice(b"abc") for _ in range(drawn.randrange(60))) for _ in range(40)
    ]


@pytest.mark.parametrize("format", ["lz4", "zlib"])
def test_what_is_packed_is_unpacked_by_others(packer: Path, format: str) -> None:
    for data in _cases():
        packed = subprocess.run(
            [packer, format], input=data, capture_output=True, check=True
        ).stdout
        assert (_unpacked if format == "lz4" else zlib.decompress)(packed) == data
        if data == b"0" * 100_000:
            assert len(packed) < 1000


def test_a_writer_that_needs_the_real_libraries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="Verilator 5.036 cannot write waveforms here: run `make"):
        fst_options(Verilator("verilator", str(tmp_path), "Verilator 5.036"), "..")
    assert "--trace-fst" in fst_options(find_verilator(), "..")


@pytest.mark.slow  # builds a library with tracing
def test_a_library_that_writes_waveforms_is_linked_with_neither() -> None:
    library = build_library(copy_engine_verilog(ports=1), ports=1, trace=True)
    content = library.read_bytes()
    assert b"libz.so" not in content and b"liblz4.so" not in content
    kept = {path.name for path in library.parent.iterdir()}
    assert not kept & {Path(name).parts[0] for name in fst_texts()}  # of the build nothing stays
