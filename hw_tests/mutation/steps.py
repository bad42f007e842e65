# SPDX-License-Identifier: Apache-2.0
"""Steps of small models: after each the whole DRAM window must be what the golden machine
leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from cosim.library import DramSettings
from firmware.golden_device import GoldenDevice
from firmware.session import Session
from hw_tests.models import family_description, random_model
from hw_tests.mutation.chip import Chip, Trial, sparse
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.model.image import Image
from meadow.spec.commands import Outputs
from meadow.spec.config import BEAT_BYTES, named_config
from meadow.spec.step import Step

__all__ = ["BOTH", "Case", "Take", "check_step", "compiled", "model_trials", "noise"]

BOTH = Outputs.ARGMAX | Outputs.LOGITS


@dataclass(frozen=True, kw_only=True)
class Take:
    """A step: new tokens of some sequences, {sequence: count}, and what is asked of the head."""

    tokens: Mapping[int, int]
    outputs: Outputs = BOTH
    head_all: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model, what its sequences have cached (noise), its steps, and the memory.

    uniform: weights of all 8-bit values instead of bell-shaped ones. far: the caches start so many
    beats higher than the image says, in a window that is as much larger.
    """

    name: str
    architecture: str
    sizes: Mapping[str, object]
    takes: tuple[Take, ...]
    codec: str = "auto"
    dataflow: str = "tphs"
    hidden_block: int | None = None
    positions: tuple[int, ...] = (0,)
    uniform: bool = False
    settings: DramSettings = DramSettings(latency_cycles=12)
    base: int = 0x1000_0000
    far: int = 0


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


_SMALL = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "head_dim": 16, "hidden": 48}
_STALLS = DramSettings(stalls=90, latency_cycles=20, seed=salted(7))

_CASES = (
    Case(
        name="opt raw",
        architecture="opt",
        sizes=_SMALL | {"vocabulary": 40},
        codec="raw",
        takes=(Take(tokens={0: 5}), Take(tokens={0: 1}), Take(tokens={0: 1}, head_all=True)),
    ),
    Case(
        name="opt dictionary, stalls",
        architecture="opt",
        sizes=_SMALL | {"vocabulary": 70, "heads": 1, "kv_heads": 1, "head_dim": 48, "width": 48},
        codec="dictionary",
        settings=_STALLS,
        takes=(Take(tokens={0: 9}, head_all=True), Take(tokens={0: 1}, outputs=Outputs.ARGMAX)),
    ),
    Case(
        name="opt rice, stalls, high addresses",
        architecture="opt",
        sizes=_SMALL | {"vocabulary": 70, "hidden": 100},
        codec="rice",
        hidden_block=64,
        settings=replace(_STALLS, stalls=(40, 120, 200, 160, 40), latency_cycles=70),
        base=0xA5_5A5A_6000,
        takes=(Take(tokens={0: 3}), Take(tokens={0: 1})),
    ),
    Case(
        name="uniform weights, rice",
        architecture="opt",
        sizes={"layers": 1, "hidden": 24},
        codec="rice",
        uniform=True,
        takes=(Take(tokens={0: 2}, head_all=True),),
    ),
    Case(
        name="uniform weights, dictionary",
        architecture="opt",
        sizes={"layers": 1, "hidden": 40, "vocabulary": 50},
        codec="dictionary",
        uniform=True,
        takes=(Take(tokens={0: 3}, head_all=True),),
    ),
    Case(
        name="llama, cached tokens, shared keys",
        architecture="llama",
        sizes=_SMALL
        | {"width": 40, "heads": 4, "kv_heads": 2, "hidden": 60, "vocabulary": 33}
        | {"max_positions": 160},
        settings=replace(_STALLS, stalls=40, latency_cycles=1),
        positions=(100,),
        base=0x5A_A5A5_9000,
        takes=(Take(tokens={0: 6}), Take(tokens={0: 1}), Take(tokens={0: 40}, head_all=True)),
    ),
    Case(
        name="vit, wide heads",
        architecture="vit",
        sizes=_SMALL | {"width": 64, "heads": 1, "kv_heads": 1, "head_dim": 64},
        takes=(Take(tokens={0: 21}, head_all=True),),
    ),
    Case(
        name="bert",
        architecture="bert",
        sizes=_SMALL,
        settings=replace(_STALLS, stalls=60),
        takes=(Take(tokens={0: 18}, outputs=Outputs.LOGITS),),
    ),
    Case(
        name="layer by layer, first tokens",
        architecture="opt",
        sizes=_SMALL,
        dataflow="gemm",
        takes=(Take(tokens={0: 37}),),
    ),
    Case(
        name="layer by layer, long context",
        architecture="llama",
        sizes=_SMALL | {"head_dim": 32, "width": 30, "max_positions": 512},
        dataflow="gemm",
        positions=(477,),
        settings=_STALLS,
        takes=(Take(tokens={0: 35}),),
    ),
    *(
        Case(
            name=f"four sequences, to the end of the context, caches at {far:#x}",
            architecture="opt",
            sizes=_SMALL
            | {"max_positions": 512, "heads": 3, "kv_heads": 3, "head_dim": 20, "width": 60},
            positions=(511, 3, 200, 64),
            far=far,
            base=0x2A_AAAA_A000,
            settings=replace(_STALLS, latency_cycles=33, stalls=30),
            takes=(
                Take(tokens={0: 1, 1: 1, 2: 1, 3: 1}),
                Take(tokens={1: 13, 2: 7, 3: 17}, head_all=True),
            ),
        )
        for far in (0xFEDC_B000, 0x0123_4000)
    ),
    Case(
        name="a full chunk",
        architecture="opt",
        sizes=_SMALL | {"max_positions": 160},
        positions=(90,),
        takes=(Take(tokens={0: 64}, outputs=Outputs.LOGITS, head_all=True), Take(tokens={0: 3})),
    ),
    *(
        Case(
            name=f"many weights, {architecture} {codec}",
            architecture=architecture,
            sizes=_SMALL
            | {"width": 128, "heads": 4, "kv_heads": 4, "head_dim": 32, "vocabulary": 150}
            | {"hidden": 256},
            codec=codec,
            settings=DramSettings(latency_cycles=5, stalls=(20, 50, 0, 0, 0), seed=salted(3)),
            takes=(Take(tokens={0: 1}),),
        )
        for codec, architecture in (("rice", "opt"), ("rice", "llama"), ("dictionary", "opt"))
    ),
    Case(
        name="narrow memory with refresh and page misses",
        architecture="opt",
        sizes=_SMALL | {"width": 96, "heads": 6, "kv_heads": 6, "vocabulary": 200},
        settings=DramSettings(
            rate=(5, 1),
            latency_cycles=40,
            refresh_interval_cycles=700,
            refresh_cycles=50,
            page_miss_cycles=7,
        ),
        takes=(Take(tokens={0: 2}), Take(tokens={0: 1})),
    ),
)


def model_trials(config_name: str) -> list[Trial]:
    """The steps of all cases."""
    return [_trial(case, config_name) for case in _CASES]
