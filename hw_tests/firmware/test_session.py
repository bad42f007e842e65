# SPDX-License-Identifier: Apache-2.0
"""A session on the golden device computes what the bit-true model computes, however the steps are
cut.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from firmware.device import DeviceError
from firmware.golden_device import GoldenDevice
from firmware.registers import ContractMismatch
from firmware.session import Session
from hw_tests.seeds import salted
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.cache import KeyValueCache
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import COMMAND_BYTES, Outputs
from meadow.spec.config import BEAT_BYTES, CONFIGURATIONS
from meadow.spec.registers import ErrorCode

BOTH = Outputs.ARGMAX | Outputs.LOGITS
MakeSession = Callable[..., Session]


@pytest.fixture(scope="session")
def golden(quantised: QuantisedModel) -> BitTrueModel:
    return BitTrueModel(quantised, CONFIGURATIONS["tiny"])


def prompt(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(salted(seed)).integers(0, 99, count).tolist()


@pytest.mark.parametrize("chunk", [None, 1, 3, 64])
@pytest.mark.parametrize("count", [1, 5, 40])
def test_prefill_gives_the_golden_logits(
    make_session: MakeSession, golden: BitTrueModel, count: int, chunk: int | None
) -> None:
    result = make_session().prefill(prompt(count), chunk=chunk, outputs=BOTH)
    expected = golden.forward(prompt(count), head_rows=[count - 1])
    assert result.logits is not None and result.tokens is not None and result.values is not None
    assert np.array_equal(result.logits, expected)
    assert result.tokens[0] == np.argmax(expected[0])
    assert result.values[0] == expected[0].max()


def test_next_tokens_are_those_of_the_step(make_session: MakeSession) -> None:
    session = make_session(2)
    result = session.step({1: prompt(4), 0: prompt(3)})
    assert result.tokens is not None and result.next_tokens == result.tokens.tolist()
    with pytest.raises(
        ValueError, match="this step has no tokens: it was not asked for Outputs.AR"
    ):
        _ = session.step({0: [1]}, outputs=Outputs.LOGITS).next_tokens


def test_generate_follows_the_arg_max(make_session: MakeSession, golden: BitTrueModel) -> None:
    session = make_session()
    tokens = list(session.generate(prompt(4), 5))
    cache = golden.new_cache()
    logits = golden.forward(prompt(4), cache)
    expected = []
    for _ in range(5):
        expected.append(int(np.argmax(logits[-1])))
        logits = golden.forward(expected[-1:], cache)
    assert tokens == expected
    assert session.phases["prefill"].tokens == 4
    assert session.phases["decode"].tokens == session.phases["decode"].steps == 4
    assert session.positions == [8]


def test_generate_ends_with_the_end_token(make_session: MakeSession) -> None:
    assert list(make_session().generate(prompt(4), 8, sampler=lambda logits: 99)) == [99]


def test_generate_ends_with_the_context(make_session: MakeSession) -> None:
    assert len(list(make_session().generate(prompt(60), 50, sampler=lambda logits: 1))) == 5


def test_a_sampler_sees_logits_in_real_units(make_session: MakeSession, image: Image) -> None:
    seen = []

    def sampler(logits: np.ndarray) -> int:
        seen.append(logits)
        return 7

    session = make_session()
    assert list(session.generate(prompt(4), 2, sampler=sampler)) == [7, 7]
    assert session.last is not None and session.last.logits is not None
    assert np.allclose(seen[-1], session.last.logits[-1] * image.manifest.logits_scale)


def test_several_sequences_run_in_one_step(make_session: MakeSession, golden: BitTrueModel) -> None:
    session = make_session(sequences=3)
    caches: list[KeyValueCache] = [golden.new_cache() for _ in range(3)]
    steps = (
        {0: prompt(5, 1), 2: prompt(7, 2)},  # two prompts
        {0: [3], 1: prompt(4, 3), 2: [5]},  # a prompt beside two decodes
        {2: [8], 0: [9]},  # any order
        {1: prompt(3, 4)},  # drafted tokens
    )
    for tokens in steps:
        result = session.step(tokens, outputs=BOTH)
        expected = np.concatenate(
            [
                golden.forward(new, caches[who], head_rows=[len(new) - 1])
                for who, new in tokens.items()
            ]
        )
        assert result.logits is not None and np.array_equal(result.logits, expected)
    assert session.positions == [cache.length for cache in caches]


def test_logits_of_all_rows(make_session: MakeSession, golden: BitTrueModel) -> None:
    result = make_session().step({0: prompt(9)}, outputs=BOTH, head_all=True)
    expected = golden.forward(prompt(9))
    assert result.logits is not None and result.tokens is not None
    assert np.array_equal(result.logits, expected)
    assert np.array_equal(result.tokens, expected.argmax(axis=1))


def test_rewinding_forgets(make_session: MakeSession, golden: BitTrueModel) -> None:
    session = make_session()
    session.prefill(prompt(9, 1))
    session.rewind(position=4)
    result = session.step({0: prompt(3, 2)}, outputs=BOTH)
    expected = golden.forward(prompt(9, 1)[:4] + prompt(3, 2), head_rows=[6])
    assert result.logits is not None and np.array_equal(result.logits, expected)
    with pytest.raises(ValueError, match="position must be 0..7, not 8"):
        session.rewind(position=8)


def test_single_stepping_equals_a_step(make_session: MakeSession, image: Image) -> None:
    session, other = make_session(), make_session()
    expected = other.step({0: prompt(5)}, outputs=BOTH)
    described = session.prepare({0: prompt(5)}, outputs=BOTH)
    for index in range(image.manifest.commands):
        session.execute(index)
        session.dump_activations()
    result = session.finish({0: prompt(5)}, described)
    assert result.logits is not None and expected.logits is not None
    assert np.array_equal(result.logits, expected.logits)
    assert session.positions == other.positions


def test_counters_add_up_over_a_phase(make_session: MakeSession, image: Image) -> None:
    session = make_session()
    session.prefill(prompt(12), chunk=4)
    phase = session.phases["prefill"]
    assert (phase.tokens, phase.steps) == (12, 3)
    weights = sum(matrix.size_bytes for matrix in image.manifest.matrices)
    head = sum(m.size_bytes for m in image.manifest.matrices if m.name.startswith("head."))
    # The head is read in the last chunk only; norm parameters count as weights.
    assert 3 * (weights - head) + head < phase.counters["bytes_weights"] < 3.3 * weights
    session.clear_phases()
    assert session.phases["prefill"].tokens == 0


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda s: s.prefill([]), "a prompt must have at least 1 token"),
        (lambda s: s.prefill([1] * 65), "the prompt has 65 tokens, the context of this image"),
        (lambda s: s.prefill([1, 2], chunk=0), r"a chunk of this image holds 1..64 tokens, not 0"),
        (lambda s: s.step({0: [1] * 65}), "65 tokens are too many: the context of this image"),
        (lambda s: s.step({1: [1]}), r"sequence must be 0..0, not 1"),
        (lambda s: s.step({0: [100]}), r"a token must be in 0..99, not 100"),
        (lambda s: s.execute(0, 0), r"the program has commands 0\.\."),
        (lambda s: list(s.generate([1], 0)), "max_tokens must be at least 1, not 0"),
    ],
)
def test_what_does_not_fit_is_refused(
    make_session: MakeSession, action: Callable[[Session], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        action(make_session())


def test_another_contract_is_refused_naming_both(image: Image) -> None:
    config = dataclasses.replace(CONFIGURATIONS["tiny"], outstanding=8)
    device = GoldenDevice(config, Session.window_bytes(image))
    with pytest.raises(ContractMismatch) as caught:
        Session(device, image)
    assert image.manifest.contract_hash in str(caught.value)
    assert Session.window_bytes(image) and "the device has contract" in str(caught.value)


def test_no_device_is_noticed(image: Image) -> None:
    device = GoldenDevice(CONFIGURATIONS["tiny"], Session.window_bytes(image))
    device._values["magic"] = 0
    with pytest.raises(ContractMismatch, match="no MEADOW device: magic is 0x00000000"):
        Session(device, image)


def test_a_small_window_is_refused(image: Image) -> None:
    device = GoldenDevice(CONFIGURATIONS["tiny"], Session.window_bytes(image, 1))
    with pytest.raises(ValueError, match="the DMA window must hold .* bytes for 4 sequences"):
        Session(device, image, sequences=4)
    with pytest.raises(ValueError, match=r"a session has 1..4 sequences, not 5"):
        Session(device, image, sequences=5)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("code", [ErrorCode.COMMAND_CHECK, ErrorCode.ILLEGAL_COMMAND])
def test_an_error_names_command_and_label(
    make_session: MakeSession, image: Image, single: bool, code: ErrorCode
) -> None:
    session = make_session()
    index = image.manifest.labels.index("layers.1.q")
    start = image.manifest.regions["program"].offset * BEAT_BYTES + index * COMMAND_BYTES
    command = session.device.memory[start : start + COMMAND_BYTES]
    if code == ErrorCode.COMMAND_CHECK:
        command[30] ^= 8
    else:
        wrong = image.command(index)
        values = {**wrong.values, "tiles": 0}
        command[:] = np.frombuffer(dataclasses.replace(wrong, values=values).encode(), np.uint8)
    session.prepare({0: [1]})
    with pytest.raises(DeviceError, match=rf"{code.name} at command \d+ \(layers.1.q\)") as found:
        if single:
            session.execute(index)
        else:
            session.step({0: [1]})
    assert (found.value.code, found.value.command) == (code, index)
    assert session.positions == [0]
    command[:] = image.dram[start : start + COMMAND_BYTES]
    session.step({0: [1]})


@pytest.mark.parametrize(
    ("tokens", "options", "message"),
    [
        ([], {}, "a prompt must have at least 1 token, not 0"),
        ([1] * 65, {}, "the prompt has 65 tokens"),
        ([1, 2, 3, 100], {"chunk": 2}, r"a token must be in 0\.\.99, not 100"),
        ([1], {"chunk": 65}, r"a chunk of this image holds 1\.\.64 tokens, not 65"),
        ([1], {"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
    ],
)
def test_generate_refuses_at_once_and_before_anything_runs(
    make_session: MakeSession, tokens: list[int], options: dict[str, int], message: str
) -> None:
    session = make_session()
    with pytest.raises(ValueError, match=message):
        session.generate(tokens, **({"max_tokens": 3} | options))
    assert session.positions == [0] and session.phases["prefill"].steps == 0
