# SPDX-License-Identifier: Apache-2.0
"""Steps of small models: after each the whole DRAM window must be what the golden machine
leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from firmware.golden_device import GoldenDevice
from firmware.session import Session
from hw_tests.models import family_description, random_model
from hw_tests.mutation.chip import Chip, Trial, sparse
from hw_tests.mutation.step_cases import CASES, Case, Take
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.model.image import Image
from meadow.spec.config import BEAT_BYTES, named_config
from meadow.spec.step import Step

__all__ = ["check_step", "compiled", "model_trials", "noise"]


def noise(size: int, seed: int = 5) -> np.ndarray:
    """Bytes of a window before anything is put there: what is read before it is written shows."""
    return np.random.default_rng(salted(seed)).integers(0, 256, size, np.uint8)


def compiled(case: Case, config_name: str) -> Image:
    """The image of a case."""
    description = family_description(case.architecture, **case.sizes)
    block = case.hidden_block or description.hidden
    make = random_model if case.uniform else synthetic_model
    step = None
    if case.dataflow == "gemm":
        step = (case.positions[0], case.takes[0].tokens[0])
    return compile_image(
        make(description, hidden_block=block, seed=salted(len(case.name))),
        named_config(config_name),
        config_name=config_name,
        codec=case.codec,
        tokenizer_json="{}",
        dataflow=case.dataflow,
        step=step,
    )


@dataclass(frozen=True)
class _Expected:
    """After a step: the window, and what the driver returns."""

    memory: np.ndarray
    tokens: list[int]
    traffic: dict[str, int]


def _new(case: Case, image: Image, take: Take, index: int) -> dict[int, list[int]]:
    random = np.random.default_rng(salted(100 * len(case.name) + index))
    vocabulary = image.manifest.model.vocabulary
    return {
        sequence: [int(token) for token in random.integers(0, vocabulary, count)]
        for sequence, count in take.tokens.items()
    }


def _tokens(result_tokens: np.ndarray | None) -> list[int]:
    return [] if result_tokens is None else result_tokens.tolist()


def _expectations(case: Case, image: Image, memory: np.ndarray) -> list[_Expected]:
    device = GoldenDevice(image.manifest.config, memory.size)
    device.memory[:] = memory
    session = Session(device, image, sequences=len(case.positions))
    session.positions[:] = case.positions
    expected = []
    for index, take in enumerate(case.takes):
        result = session.step(
            _new(case, image, take, index), outputs=take.outputs, head_all=take.head_all
        )
        traffic = {name: n for name, n in result.counters.items() if name.startswith("bytes_")}
        expected.append(_Expected(device.memory.copy(), _tokens(result.tokens), traffic))
    return expected


def _moved(described: Step, far: int) -> Step:
    entries = tuple(replace(entry, kv_base=entry.kv_base + far) for entry in described.sequences)
    return replace(described, sequences=entries)


def check_step(
    chip: Chip, session: Session, name: str, new: Mapping[int, list[int]], take: Take, far: int = 0
) -> tuple[list[int], dict[str, int]]:
    """Run a step; arg-max tokens and the classes of its traffic."""
    described = session.prepare(new, outputs=take.outputs, head_all=take.head_all)
    if far:
        session.registers.set_step(_moved(described, far))
    before = chip.moved
    with chip.timed(name):
        session.execute(0, session.manifest.commands)
    moved = chip.moved - before
    result = session.finish(new, described)
    chip.require_traffic(result.counters, moved)
    traffic = {key: count for key, count in result.counters.items() if key.startswith("bytes_")}
    return _tokens(result.tokens), traffic


def _run(
    case: Case, image: Image, start: np.ndarray, expected: list[_Expected], chip: Chip
) -> None:
    cache = image.manifest.cache.start * BEAT_BYTES
    far = case.far * BEAT_BYTES
    memory = start.copy()
    if far:
        memory = sparse(start.size + far)
        memory[: start.size] = start
        memory[cache + far :] = start[cache:]
    chip.open(memory, settings=case.settings, base=case.base)
    session = chip.session(image, len(case.positions))
    session.positions[:] = case.positions
    for index, (take, wanted) in enumerate(zip(case.takes, expected, strict=True)):
        name = f"{case.name}, step {index}"
        new = _new(case, image, take, index)
        tokens, traffic = check_step(chip, session, name, new, take, case.far)
        if far:
            chip.require_memory(f"{name}: below", memory[:cache], wanted.memory[:cache])
            chip.require_memory(f"{name}: kept", memory[cache : start.size], start[cache:])
            chip.require_memory(f"{name}: cache", memory[cache + far :], wanted.memory[cache:])
        else:
            chip.require_memory(name, memory, wanted.memory)
        chip.require(f"{name}: arg-max", tokens, wanted.tokens)
        chip.require(f"{name}: bytes", traffic, wanted.traffic)


def _trial(case: Case, config_name: str) -> Trial:
    image = compiled(case, config_name)
    size = Session.window_bytes(image, len(case.positions))
    start = noise(size)
    start[: image.dram.size] = image.dram
    return Trial(case.name, partial(_run, case, image, start, _expectations(case, image, start)))


def model_trials(config_name: str) -> list[Trial]:
    """The steps of all cases."""
    return [_trial(case, config_name) for case in CASES]
