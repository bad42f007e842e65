# SPDX-License-Identifier: Apache-2.0
"""`meadow corrupt`: spoiled weight streams on the simulated chip; each must be reported and nothing
published.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
import typer

from cosim.device import CosimDevice
from cosim.library import SimulationError
from firmware.device import DeviceError, DeviceTimeout, RegisterError
from firmware.golden_device import GoldenDevice
from firmware.registers import Registers
from firmware.results import StepResult
from firmware.session import Session
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.sampling import greedy
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.spec.checks import check_choice, check_least
from meadow.spec.commands import Outputs
from meadow.spec.config import BEAT_BYTES
from meadow.spec.model import ModelDescription
from meadow.spec.parts import require_codec
from meadow.spec.registers import ErrorCode, Status
from meadow.spec.streams import CODEC_NAMES
from workbench.campaigns.stream_faults import Fault, WeightStream, draw_fault, weight_streams
from workbench.configurations.chosen import ChosenConfig, choose_config, config_facts
from workbench.console import EXIT_DIFFERENCE, print_json, say
from workbench.devices import LABELS, Throttle, check_device
from workbench.options import (
    DeviceOption,
    JsonOption,
    choices,
    seed_option,
    takes_config,
)
from workbench.progress import log, tick

__all__ = [
    "campaign",
    "corrupt_command",
    "draw_model",
]

_TINY = choose_config("tiny")
_RUNS_PER_MODEL = 40
_TIMEOUT_CYCLES = 100_000
"""A step of the models drawn here takes some thousand cycles, with stalls too."""

_OUTPUTS = Outputs.LOGITS | Outputs.ARGMAX
_MARK = 0xA5
"""What the places of the outputs hold before a step."""


def draw_model(random: np.random.Generator) -> ModelDescription:
    """A decoder of one layer like OPT's, of which a step is simulated in well under a second."""
    heads, head_dim = int(random.integers(1, 4)), int(random.choice([16, 32]))
    return ModelDescription.of_family(
        "opt",
        layers=1,
        heads=heads,
        head_dim=head_dim,
        hidden=int(random.integers(40, 129)),
        vocabulary=int(random.integers(40, 100)),
        max_positions=16,
        tied_head=True,
        bos_token=2,
        eos_token=2,
    )


class _Registers(Registers):
    """Remembers all bits that `status` has shown since `seen` was cleared."""

    seen = Status(0)

    def read(self, name: str) -> int:
        value = super().read(name)
        if name == "status":
            self.seen |= Status(value)
        return value


class _Trial:
    """One model on one device, spoiled and mended again and again."""

    def __init__(
        self, random: np.random.Generator, codec: str, chosen: ChosenConfig, device: str
    ) -> None:
        config = chosen.config
        seed = int(random.integers(0, 1 << 31))
        self.random = random
        self.streams: list[WeightStream] = []
        while not self.streams:  # a small matrix may be smaller raw
            self.model = synthetic_model(draw_model(random), seed=seed)
            self.image = compile_image(
                self.model, config, config_name=chosen.name, codec=codec, tokenizer_json="{}"
            )
            self.streams = weight_streams(self.image, codec)
        self.golden = BitTrueModel(self.model, config)
        throttle = Throttle(
            stalls=float(random.choice([0, 0.1, 0.4])),
            latency_cycles=int(random.integers(1, 80)),
            seed=seed,
        )
        self.throttle, self.device_name = throttle, device

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A device with the image in it."""
        config, size = self.image.manifest.config, Session.window_bytes(self.image)
        if self.device_name == "sim":
            device = CosimDevice(
                config,
                size,
                settings=self.throttle.settings(),
                timeout_cycles=_TIMEOUT_CYCLES,
                silence_cycles=_TIMEOUT_CYCLES,
                log=log,
            )
        else:
            device = GoldenDevice(config, size)
        with device:
            session = Session(device, self.image)
            session.registers = self.registers = _Registers(device, config)
            yield session

    def tokens(self) -> list[int]:
        """A prompt."""
        count = int(self.random.integers(1, 9))
        return [int(t) for t in self.random.integers(0, self.model.description.vocabulary, count)]

    def outputs(self, memory: np.ndarray) -> np.ndarray:
        """Copy of what is at the places of logits and arg-max."""
        return np.concatenate([memory[place] for place in self._places()])

    def mark(self, memory: np.ndarray) -> None:
        """Fill these places, so that anything that is written there shows."""
        for place in self._places():
            memory[place] = _MARK

    def _places(self) -> list[slice]:
        regions = (self.image.manifest.regions[name] for name in ("logits", "argmax"))
        return [slice(r.offset * BEAT_BYTES, (r.offset + r.beats) * BEAT_BYTES) for r in regions]

    def equals_golden(self, tokens: list[int], result: StepResult) -> bool:
        """Whether a step from position 0 on has golden's logits and arg-max."""
        assert result.logits is not None and result.tokens is not None
        expected = self.golden.forward(tokens)
        best = [greedy(row) for row in expected]
        return np.array_equal(result.logits, expected) and result.tokens.tolist() == best


def _spoiled_step(trial: _Trial, session: Session, fault: Fault, tokens: list[int]) -> str:
    """What a step with the fault comes to: "reported", "hangs", "other_errors", or "silent_errors"
    if there was no error, done was set, or the position moved on."""
    memory = session.device.memory
    trial.mark(memory)
    fault.plant(trial.image, memory)
    trial.registers.seen = Status(0)
    try:
        session.step({0: tokens}, outputs=_OUTPUTS, head_all=True)
        return "silent_errors"
    except DeviceTimeout:
        return "hangs"
    except DeviceError as error:
        if session.positions != [0] or Status.DONE in trial.registers.seen:
            return "silent_errors"
        found = (error.code, error.command)
        return "reported" if found == (ErrorCode.STREAM, fault.stream.command) else "other_errors"


def _good_step(trial: _Trial, session: Session, tokens: list[int]) -> str:
    """The step after a fault, with a mended image: "recoveries" if it equals golden, else
    "wrong_results".
    """
    try:
        result = session.step({0: tokens}, outputs=_OUTPUTS, head_all=True)
    except (DeviceError, DeviceTimeout, RegisterError, SimulationError):
        return "wrong_results"
    session.rewind()
    return "recoveries" if trial.equals_golden(tokens, result) else "wrong_results"


def campaign(
    codec: str,
    runs: int,
    seed: int,
    *,
    chosen: ChosenConfig = _TINY,
    device: str = "sim",
    tick: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """The report of `runs` faults in streams of one codec, each followed by a step without; see
    `corrupt_command`.
    """
    random = np.random.default_rng(seed)
    counts: Counter[str] = Counter()
    done, cycles, first_failure = 0, 0, None
    while done < runs:
        trial = _Trial(random, codec, chosen, device)
        batch = min(_RUNS_PER_MODEL, runs - done)
        ended = done + batch
        with trial.session() as session:
            while done < ended:
                done += 1
                fault = draw_fault(random, trial.image, trial.streams)
                tick(f"run {done} of {runs}: {fault.kind}")
                counts["flips" if fault.kind == "flip" else "truncations"] += 1
                tokens = trial.tokens()
                found = _spoiled_step(trial, session, fault, tokens)
                if found == "hangs":
                    counts[found] += 1
                    first_failure = first_failure or f"run {done}: {found}: {fault}"
                    break
                memory = session.device.memory
                left = trial.outputs(memory)
                memory[: trial.image.dram.size] = trial.image.dram
                session.rewind()
                again = _good_step(trial, session, tokens)
                # Parts of the head before the fault may have stored their logits; nothing else may
                # stand there.
                if ((left != _MARK) & (left != trial.outputs(memory))).any():
                    found = "silent_errors"
                counts[found] += 1
                if found != "reported":
                    first_failure = first_failure or f"run {done}: {found}: {fault}"
                counts[again] += 1
                if again != "recoveries":
                    first_failure = first_failure or f"run {done}: {again} after {fault}"
                    break
            if isinstance(session.device, CosimDevice):
                cycles += session.device.simulation.cycle
    keys = (
        *("flips", "truncations", "reported", "hangs", "silent_errors", "other_errors"),
        *("wrong_results", "recoveries"),
    )
    return {
        "codec": codec,
        "config": chosen.name,
        **config_facts(chosen.config),
        "seed": seed,
        "runs": done,
        **{key: counts[key] for key in keys},
        "cycles": cycles,
        "first_failure": first_failure,
        "label": LABELS[device],
    }


@takes_config("tiny")
def corrupt_command(
    codec: Annotated[str, typer.Option(help=f"{choices(CODEC_NAMES)}.")] = "rice",
    runs: Annotated[int, typer.Option(help="Faults to try.")] = 1000,
    seed: Annotated[int, seed_option("models, faults and stalls")] = 0,
    *,
    config: ChosenConfig,
    device: DeviceOption = "sim",
    as_json: JsonOption = False,
) -> None:
    """Flip bits in weight streams of small random models, or cut streams, and let the chip run
    them.

    Each fault must end the step with the error STREAM of its command, without an output, and the
    next step with a mended image must equal golden. Exit code 1 if one did not.
    """
    check_choice("codec", codec, CODEC_NAMES)
    check_device(device)
    for name, value, least in (("runs", runs, 1), ("seed", seed, 0)):
        check_least(name, value, least)
    require_codec(config.config, codec)
    log(f"{runs} faults in {codec} streams on {config.name}")
    report = campaign(codec, runs, seed, chosen=config, device=device, tick=tick)
    if as_json:
        print_json(report)
    else:
        say(
            f"{report['runs']} faults in {codec} streams on {config.name} ({report['label']}): "
            f"{report['reported']} reported, {report['recoveries']} correct steps after them"
        )
    if report["first_failure"] is not None:
        say(f"meadow: {report['first_failure']}", err=True)
        raise typer.Exit(EXIT_DIFFERENCE)
