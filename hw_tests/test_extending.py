# SPDX-License-Identifier: Apache-2.0
"""The worked examples of docs/extending.md are true: they fit, touch few files, and what they add
works bit for bit. That of a board is in hw_tests/boards/test_extending.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hw_tests.test_floors import violations
from hw_tests.traces import ROOT, apply, copied_sources, differences, run_in, source_files

DOCUMENT = ROOT / "docs" / "extending.md"
MOST_FILES = {
    "An activation function": 3,
    "An epilogue": 6,
    "A codec": 9,
    "A family": 3,
    "A board": 6,
}
# A compiled program on the architectural machine against the bit-true tier.
MODEL = """
import numpy as np
from hw_tests.meadow.compiler.family_models import describe
from hw_tests.meadow.compiler.program_bench import Bench
from meadow.compiler.lowering.program import compile_program
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.tiers.float_tier import FloatModel
from meadow.spec.config import named_config

def run(family, **sizes):
    d = describe(family, heads=2, head_dim=8, **sizes)
    random = np.random.default_rng(1)
    tensors = {name: random.normal(size=shape) for name, shape in d.tensor_shapes.items()}
    assert np.isfinite(FloatModel(d, tensors).forward(range(9))).all()
    model = synthetic_model(d, hidden_block=40, seed=1)
    Bench(model, compile_program(model, named_config("tiny"))).step({0: range(9)}, head_all=True)
    return model
"""
ACTIVATION = (
    MODEL
    + """
import math
from meadow.compiler.lowering.activation import activation_table
table = activation_table("gelu_tanh", 1 / 4096, 1 / 2048)
for entry in range(2048):
    x = (32 * entry - 32768 + 15.5) / 4096
    y = x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    assert table[entry] == max(-32767, min(32767, round(2048 * y))), entry
changed = run("llama", activation="gelu_tanh").layers[0].activation_table
print((changed != run("llama").layers[0].activation_table).any())
"""
)
# The same weights as a Llama and as a Mistral are the same model.
FAMILY = (
    MODEL
    + """
import sys
from pathlib import Path
from hw_tests.meadow.compiler.llama_checkpoint import config_of, llama_weights
from workbench.campaigns.llama_files import write_directory
from meadow.compiler.importers.checkpoint import CheckpointError, load_checkpoint
from meadow.spec.families import FAMILIES
from workbench.campaigns.random_models import draw_architecture
folder, seen = Path(sys.argv[1]), []
for name in ("llama", "mistral"):
    config = config_of(name, "width72", sliding_window=None)
    loaded = load_checkpoint(write_directory(folder / name, config, llama_weights(config)))
    seen.append(FloatModel(loaded.description, loaded.tensors).forward(range(9)))
print(loaded.description.architecture, (seen[0] == seen[1]).all())
config = config_of("mistral", "width72", sliding_window=4096)
try:
    load_checkpoint(write_directory(folder / "window", config, llama_weights(config)))
except CheckpointError as error:
    print(error)
random = np.random.default_rng(1)
drawn = {draw_architecture(random) for _ in range(99)}
print(run("mistral").description.activation, drawn == set(FAMILIES))
"""
)
# Golden, vectorised and as a command, and the hardware's functions against the scalar definition.
EPILOGUE_TESTS = (
    "hw_tests/meadow/golden/test_epilogue.py",
    "hw_tests/meadow/golden/machine/test_matmul.py::test_matmul_outputs",
    "hw_tests/rtl_gen/writer/test_element_functions.py",
)
# The same through writer and memory, and from the command to the writer, with the real lanes.
EPILOGUE_UNITS = (
    "hw_tests/rtl_gen/writer/test_writer.py",
    "hw_tests/rtl_gen/array/test_array.py::test_matmul_tiny",
)
EPILOGUE = """
from meadow.spec.commands import Command, Opcode
from meadow.spec.config import named_config
from meadow.spec.epilogue import MatmulOutput
from meadow.spec.ranges import check_command
fields = dict(tiles=1, slices=1, row_set=1, beats0=1, output=MatmulOutput.SQUARE)
check_command(named_config("tiny"), Command(Opcode.MATMUL, fields | {"post_shift": 31}))
try:
    check_command(named_config("tiny"), Command(Opcode.MATMUL, fields))
except ValueError as error:
    print(error)
"""
# What the compiler packs is what golden unpacks and what the decoder writes.
CODEC = """
from random import Random
import numpy as np
from hw_tests.rtl_gen.decoder.decoder_bench import check
from hw_tests.rtl_gen.decoder.decoder_load import QUAD, Load
from meadow.compiler.packing.packing import CODECS, pack_matrix
from meadow.golden.streams.decode import StreamError, unpack_stream
from meadow.model.quantised import QuantisedLinear
from workbench.packing.figures import PACKINGS
random, loads = np.random.default_rng(5), []
size, head = 2 * QUAD.port_rows * QUAD.width, 16 * QUAD.header_beats
for largest, slices in ((7, 2), (60, 1)):
    rows = slices * QUAD.width
    matrix = QuantisedLinear(
        weight=random.integers(-largest, largest + 1, (rows, 2 * QUAD.width)).astype(np.int8),
        bias=random.integers(-1000, 1000, rows).astype(np.int32),
        multiplier=random.integers(1, 1 << 16, rows).astype(np.uint16),
        shift=random.integers(1, 48, rows).astype(np.uint8),
    )
    narrow, raw = (pack_matrix(matrix, QUAD, name) for name in ("narrow", "raw"))
    assert narrow.codec.name == "NARROW" and narrow.size_bytes < raw.size_bytes
    for stream, plain in zip(narrow.streams, raw.streams, strict=True):
        weights = unpack_stream(stream, slices, 2, QUAD)[0]
        assert (weights == unpack_stream(plain, slices, 2, QUAD)[0]).all()
    bodies = [plain[16 + n * (head + size) :][: head + size] for n in range(slices)]
    load = Load(QUAD, Random(1), 0.3, 0.3)
    headers, payloads = [body[:head] for body in bodies], [body[head:] for body in bodies]
    loads.append(load.add_stream(stream, payloads, headers, 2))
check(loads)
print(CODECS, PACKINGS)
"""


def applied(folder: Path, section: str) -> Path:
    """A copy of the sources with the example of a section."""
    copied_sources(folder)
    apply(differences(DOCUMENT, section), folder)
    assert violations(folder) == []
    return folder


@pytest.mark.parametrize("section", MOST_FILES)
def test_an_example_touches_few_files_and_names_them_in_order(section: str) -> None:
    patch = differences(DOCUMENT, section)
    files = source_files(patch)
    assert 2 <= len(files) <= MOST_FILES[section], files
    named = re.findall(r"^\+\+\+ b/(\S+)$", patch, re.M)
    assert len(named) == len(set(named)), "a file is changed in one place of the example"


def test_the_table_of_the_document_counts_the_files() -> None:
    rows = re.findall(r"^\| an? .* \| (\d+), (\d+) \|$", DOCUMENT.read_text("utf-8"), re.M)
    counted = [
        (len(source_files(differences(DOCUMENT, section))), most)
        for section, most in MOST_FILES.items()
    ]
    assert [(int(here), int(most)) for here, most in rows] == counted


def test_the_activation_function_of_the_example_is_there(tmp_path: Path) -> None:
    assert run_in(applied(tmp_path, "An activation function"), "-c", ACTIVATION) == "True\n"


def test_the_family_of_the_example_is_there(tmp_path: Path) -> None:
    folder = applied(tmp_path / "sources", "A family")
    assert run_in(folder, "-c", FAMILY, str(tmp_path)).splitlines() == [
        "mistral True",
        "sliding_window must be None, not 4096",
        "silu True",
    ]


def test_the_epilogue_of_the_example_is_there(tmp_path: Path) -> None:
    folder = applied(tmp_path, "An epilogue")
    assert run_in(folder, "-c", EPILOGUE) == (
        "MATMUL post_shift must be in 1..31 with output ROTATE8, GATE or SQUARE: "
        "tiles 1, slices 1, output 8, row_set 1, beats0 1\n"
    )
    small = ("-m", "not slow", "-k", "not zcu102 and not small")
    assert " passed" in run_in(folder, "-m", "pytest", "-q", *small, *EPILOGUE_TESTS)


@pytest.mark.slow
def test_the_units_take_the_epilogue_of_the_example(tmp_path: Path) -> None:
    folder = applied(tmp_path, "An epilogue")
    assert " passed" in run_in(folder, "-m", "pytest", "-q", "-m", "not slow", *EPILOGUE_UNITS)


def test_the_codec_of_the_example_is_there(tmp_path: Path) -> None:
    shown = run_in(applied(tmp_path, "A codec"), "-c", CODEC).splitlines()[-1]
    assert shown == (
        "('auto', 'dictionary', 'narrow', 'raw', 'rice') "
        "('raw', 'dictionary', 'rice', 'narrow', 'auto')"
    )
