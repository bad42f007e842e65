# SPDX-License-Identifier: Apache-2.0
"""Whole chips whose activation memory has a number of words that is no power of two, of block RAM
and of UltraRAM: a model that needs every word is computed bit-exact, and what lies outside is
refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from cosim.device import CosimDevice
from cosim.library import DramSettings
from firmware.device import DeviceError
from firmware.session import Session
from hw_tests.marks import slow
from hw_tests.opt_models import opt_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.machine.machine import Machine
from meadow.golden.machine.state import MachineError
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import Command, Opcode, Outputs, RowSet, TrafficClass
from meadow.spec.config import AcceleratorConfig, named_config
from meadow.spec.registers import ErrorCode

pytestmark = pytest.mark.sim

WORDS = 21 * 256
"""84 words for each of 64 tokens, the largest chunk of `tiny`; a block of RAM and a part of one."""
BOTH = Outputs.LOGITS | Outputs.ARGMAX
TOKENS = [int(token) for token in np.random.default_rng(salted(7)).integers(0, 60, 64)]


def _config(ram: str, words: int = WORDS) -> AcceleratorConfig:
    return replace(named_config("tiny"), activation_words=words, activation_ram=ram)


@pytest.fixture(scope="module")
def model() -> QuantisedModel:
    sizes = dict(layers=1, width=192, heads=6, head_dim=32, hidden=768, vocabulary=60)
    return synthetic_model(opt_description(**sizes, max_positions=96), seed=salted(4))


@pytest.fixture(scope="module")
def expected(model: QuantisedModel) -> np.ndarray:
    """Logits of TOKENS and then 24 of them again."""
    return BitTrueModel(model, _config("block")).forward([*TOKENS, *TOKENS[:24]])


@pytest.fixture(scope="module", params=["ultra", slow("block")])
def session(request: pytest.FixtureRequest, model: QuantisedModel) -> Iterator[Session]:
    config = _config(request.param)
    image = compile_image(model, config, config_name="tiny", codec="raw", tokenizer_json="{}")
    settings = DramSettings(stalls=30, latency_cycles=15, seed=salted(2))
    size = Session.window_bytes(image)
    with CosimDevice(config, size, settings=settings, timeout_cycles=20_000_000) as device:
        yield Session(device, image)


def test_a_chunk_ends_where_the_memory_does(model: QuantisedModel) -> None:
    """With 256 words less the largest chunk is smaller; the sizes are no powers of two."""
    chunks = {}
    for words in (WORDS - 256, WORDS, WORDS + 256):
        config = _config("ultra", words)
        image = compile_image(model, config, config_name="tiny", codec="raw", tokenizer_json="{}")
        chunks[words] = image.manifest.chunk_tokens
    assert chunks == {WORDS - 256: 60, WORDS: 64, WORDS + 256: 64}


def test_a_model_that_needs_every_word(session: Session, expected: np.ndarray) -> None:
    """Prefill of the largest chunk and of a smaller one, then a token."""
    texts = [*TOKENS, *TOKENS[:24]]
    session.rewind()
    found = []
    for start, stop in ((0, 64), (64, 87), (87, 88)):
        result = session.step({0: texts[start:stop]}, outputs=BOTH, head_all=True)
        assert result.logits is not None
        found.append(result.logits)
    assert np.array_equal(np.concatenate(found), expected)


def test_every_word_and_its_exponent_is_stored(session: Session) -> None:
    """The architectural machine begins with zeros: what the chunk leaves behind is all its own, to
    the last word.
    """
    session.rewind()
    session.step({0: TOKENS}, outputs=BOTH, head_all=True)
    words, exponents = session.dump_activations()
    session.rewind()
    machine = Machine(session.config, session.device.memory.copy())
    step = session.prepare({0: TOKENS}, outputs=BOTH, head_all=True)
    manifest = session.manifest
    machine.run_program(manifest.regions["program"].offset, manifest.commands, step)
    assert len(words) == WORDS and words[-1].any() and exponents.any()
    assert np.array_equal(words, machine.activations)
    assert np.array_equal(exponents, machine.exponents)


@pytest.mark.slow
def test_words_of_two_banks_whose_exponents_lie_in_the_first(model: QuantisedModel) -> None:
    """A word of `small` has two banks, each written alone too: the exponent stays then."""
    config = replace(named_config("small"), activation_words=13 * 256, activation_ram="ultra")
    image = compile_image(model, config, config_name="small", codec="raw", tokenizer_json="{}")
    settings = DramSettings(stalls=30, latency_cycles=15, seed=salted(5))
    size = Session.window_bytes(image)
    with CosimDevice(config, size, settings=settings, timeout_cycles=20_000_000) as device:
        session = Session(device, image)
        step = session.prepare({0: TOKENS}, outputs=BOTH, head_all=True)
        machine = Machine(config, device.memory.copy())
        machine.activations[:], machine.exponents[:] = session.dump_activations()
        manifest = session.manifest
        machine.run_program(manifest.regions["program"].offset, manifest.commands, step)
        result = session.step({0: TOKENS}, outputs=BOTH, head_all=True)
        words, exponents = session.dump_activations()
    assert np.array_equal(result.logits, BitTrueModel(model, config).forward(TOKENS))
    assert np.array_equal(words, machine.activations)
    assert np.array_equal(exponents, machine.exponents) and exponents.any()


def test_every_word_is_loaded_and_stored(session: Session) -> None:
    """LOAD of the whole memory and STORE of it: no word is another's."""
    region = session.manifest.regions["dump"]
    noise = np.random.default_rng(salted(3)).integers(0, 256, (WORDS, 16), dtype=np.uint8)
    start = region.offset * 16
    session.device.memory[start : start + noise.size] = noise.ravel()
    session.run_commands([_row(Opcode.LOAD, 0, 21, session), Command(Opcode.END)])
    assert np.array_equal(session.dump_activations()[0], noise)


def _row(opcode: Opcode, first: int, rows: int, session: Session) -> Command:
    """LOAD or STORE of rows of 256 words from word `first` on, from or to the dump region."""
    common = {"row_set": RowSet.FIXED, "rows": rows, "traffic": TrafficClass.ACTIVATIONS}
    common |= {"offset": session.manifest.regions["dump"].offset}
    if opcode == Opcode.LOAD:
        return Command(
            opcode, common | dict(row_beats=256, destination=first, destination_stride=256)
        )
    return Command(
        opcode, common | dict(segments=1, segment_beats=256, source=first, source_stride=256)
    )


@pytest.mark.parametrize("first", [WORDS - 255, WORDS, WORDS + 256, 8192 - 256, 8191])
@pytest.mark.parametrize("name", ["LOAD", "STORE", "SOFTMAX", "q", "fc1"])
def test_what_lies_outside_is_refused(
    session: Session, expected: np.ndarray, name: str, first: int
) -> None:
    """By each unit that reads or writes, as golden refuses it. Nothing is written, and the next
    step is right.
    """
    session.rewind()
    result = session.step({0: TOKENS[:8]}, outputs=BOTH, head_all=True)
    assert np.array_equal(result.logits, expected[:8])
    session.rewind()
    step = session.prepare({0: TOKENS[:8]}, outputs=BOTH, head_all=False)
    if name == "SOFTMAX":
        command = Command(Opcode.SOFTMAX, dict(source=first + 254, rows=1, keys=4))
    elif name in ("LOAD", "STORE"):
        command = _row(Opcode[name], first, 1, session)
    else:
        label = f"layers.0.{name}" if name == "q" else "layers.0.fc1.0"
        whole = session.image.command(session.image.manifest.labels.index(label))
        place = {"source": first + 255} if name == "q" else {"destination": first + 255}
        command = replace(whole, values=whole.values | place)
    before = session.dump_activations()
    machine = Machine(session.config, session.device.memory.copy())
    machine.activations[:], machine.exponents[:] = before
    with pytest.raises(MachineError) as wanted:
        machine.execute(command, step)
    with pytest.raises(DeviceError) as caught:
        session.run_commands([Command(Opcode.FENCE), command, Command(Opcode.END)])
    assert wanted.value.code == ErrorCode.ACTIVATION
    assert (caught.value.code, caught.value.command) == (ErrorCode.ACTIVATION, 1)
    if name == "q" or first < WORDS:
        return  # words inside may have been written before
    assert all(map(np.array_equal, session.dump_activations(), before))


@pytest.mark.parametrize("name", ["LOAD", "STORE"])
def test_the_last_rows_are_inside(session: Session, name: str) -> None:
    session.run_commands([_row(Opcode[name], WORDS - 256, 1, session), Command(Opcode.END)])
