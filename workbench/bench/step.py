# SPDX-License-Identifier: Apache-2.0
"""One step of a synthetic model on the simulated chip: presets, segments of the program, counters,
comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from cosim.device import CosimDevice
from cosim.library import DramSettings
from cosim.waves import Waves
from firmware.session import Session
from meadow.golden.sampling import greedy
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.cache import KeyValueCache
from meadow.model.image import Image, cache_rows
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import Outputs
from meadow.spec.config import BEAT_BYTES
from meadow.spec.image import Manifest
from workbench.devices import Throttle
from workbench.waves import placed_waves

__all__ = [
    "SEGMENTS",
    "Check",
    "StepRun",
    "execute_counted",
    "preset_cache",
    "run_step",
    "segments",
]

SEGMENTS = ("before", "layers", "after")
"""Parts of a program: embeddings and tables in, the layers, final norm and head."""


@dataclass
class Check:
    """Values compared with golden, by what they are, and the first difference in words."""

    counts: dict[str, int] = field(default_factory=dict)
    difference: str | None = None

    def compare(self, what: str, seen: np.ndarray, expected: np.ndarray) -> None:
        """Count and compare two arrays of one shape."""
        if seen.shape != expected.shape:
            raise ValueError(
                f"{what} of {list(seen.shape)} cannot be compared with {list(expected.shape)}"
            )
        self.counts[what] = self.counts.get(what, 0) + seen.size
        wrong = np.argwhere(seen != expected)
        if len(wrong) and self.difference is None:
            place = tuple(int(index) for index in wrong[0])
            self.difference = (
                f"{what} {list(place)}: {int(seen[place])}, golden {int(expected[place])}, "
                f"{len(wrong)} of {seen.size} differ"
            )

    @property
    def total(self) -> int:
        """Values compared."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class StepRun:
    """Counters of the device by segment of the program ("whole" if it ran in one piece)."""

    counters: Mapping[str, Mapping[str, int]]


def segments(manifest: Manifest) -> dict[str, tuple[int, int]]:
    """{segment: (first command, commands)}; the layers are what is labelled so."""
    inside = [index for index, label in enumerate(manifest.labels) if label.startswith("layers.")]
    first, end = inside[0], inside[-1] + 1
    return {
        "before": (0, first),
        "layers": (first, end - first),
        "after": (end, manifest.commands - end),
    }


def _heads(rows: np.ndarray, head_dim: int) -> np.ndarray:
    """[..., blocks, positions, bytes] as [..., positions, head_dim]."""
    joined = np.moveaxis(rows, -3, -2)
    return joined.reshape(*joined.shape[:-2], -1)[..., :head_dim]


def preset_cache(
    random: np.random.Generator,
    cache: KeyValueCache,
    memory: np.ndarray,
    manifest: Manifest,
    sequence: int,
    position: int,
) -> None:
    """Random keys and values, bell-shaped as real ones, up to `position` tokens in golden and in
    the device; those of the prefix, which both have already, stay.
    """
    view = cache_rows(memory, manifest, sequence)
    head_dim, block = manifest.model.head_dim, view.shape[-1]
    rows = slice(len(manifest.prefix), position)
    for part, golden in ((0, cache.keys), (1, cache.values)):
        shape = (*golden.shape[:2], rows.stop - rows.start, head_dim)
        drawn = np.clip(np.rint(random.normal(0, 30, shape)), -127, 127).astype(np.int8)
        golden[:, :, rows] = drawn
        for index in range(view.shape[3]):
            columns = drawn[..., index * block : (index + 1) * block]
            view[:, part, :, index, rows, : columns.shape[-1]] = columns
    cache.length = position


def run_step(
    image: Image,
    model: QuantisedModel,
    golden: BitTrueModel,
    *,
    positions: Sequence[int],
    tokens: Sequence[int],
    outputs: Outputs,
    whole: bool,
    throttle: Throttle,
    seed: int,
    check: Check,
    log: Callable[[str], None],
    timeline: Path | None = None,
    waves: Waves | None = None,
) -> StepRun:
    """Take in `tokens[i]` random tokens of sequence i, whose cache is preset with `positions[i]`
    random rows.

    whole: run the program in one piece; else its segments one after the other, each counted for
    itself. Residual rows (not with `whole`), new cache rows and what the head returns are compared
    with golden.
    """
    manifest = image.manifest
    random = np.random.default_rng(seed)
    device = open_simulation(image, len(positions), throttle, log, timeline, waves)
    with device:
        session = Session(device, image, sequences=len(positions))
        caches, new = [], {}
        for sequence, position in enumerate(positions):
            cache = golden.new_cache()
            preset_cache(random, cache, device.memory, manifest, sequence, position)
            session.positions[sequence] = position
            caches.append(cache)
            new[sequence] = [
                int(t) for t in random.integers(0, model.description.vocabulary, tokens[sequence])
            ]
        described = session.prepare(new, outputs=outputs)
        counters: dict[str, dict[str, int]] = {}
        residual = None
        if whole:
            log(f"simulating {manifest.commands} commands")
            device.label_commands(manifest.labels)
            counters["whole"] = execute_counted(session, device, 0, manifest.commands)
        else:
            for name, (first, count) in segments(manifest).items():
                if count == 0 or (name == "after" and not outputs):
                    continue
                log(f"simulating {count} commands ({name})")
                device.label_commands(manifest.labels[first : first + count])
                counters[name] = execute_counted(session, device, first, count)
                if name == "layers":
                    residual = residual_rows(session, device, described.rows)
        result = session.finish(new, described)
        log("computing the golden model")
        expected_rows, heads = [], []
        for sequence in range(len(positions)):
            rows: list[np.ndarray] = []

            def observe(site: str, array: np.ndarray, rows: list[np.ndarray] = rows) -> None:
                if site.endswith(("residual_mlp", "residual_mlp_norm")):
                    rows[:] = [array]

            heads.append(
                golden.forward(new[sequence], caches[sequence], head_rows=[-1], observe=observe)[0]
            )
            expected_rows.append(rows[0])
        if residual is not None:
            check.compare("residual", residual, np.concatenate(expected_rows))
        _compare_caches(check, device.memory, manifest, caches, positions)
        if result.logits is not None:
            check.compare("logits", result.logits, np.stack(heads))
        if result.tokens is not None and result.values is not None:
            best = [greedy(logits) for logits in heads]
            check.compare("argmax", result.tokens, np.array(best))
            values = [int(logits[index]) for logits, index in zip(heads, best, strict=True)]
            check.compare("argmax value", result.values, np.array(values))
    return StepRun(counters)


def open_simulation(
    image: Image,
    sequences: int,
    throttle: Throttle,
    log: Callable[[str], None],
    timeline: Path | None,
    waves: Waves | None,
) -> CosimDevice:
    """The simulated chip for an image."""
    return CosimDevice(
        image.manifest.config,
        Session.window_bytes(image, sequences),
        settings=throttle.settings(),
        timeout_cycles=20_000_000_000,
        silence_cycles=20_000_000,
        timeline=timeline,
        waves=placed_waves(waves, image.manifest),
        clock_mhz=throttle.clock_mhz,
        log=log,
    )


def execute_counted(
    session: Session, device: CosimDevice, first: int, count: int
) -> dict[str, int]:
    """Run commands; the device's counters and, as `dram_...`, those of the memory model."""
    before = asdict(device.simulation.dram_counters)
    session.execute(first, count)
    after = asdict(device.simulation.dram_counters)
    memory = {f"dram_{name}": value - before[name] for name, value in after.items()}
    return session.registers.counters() | memory


@contextmanager
def unlimited(device: CosimDevice) -> Iterator[None]:
    """The DRAM without limit and stalls, for what is not measured."""
    settings = device.simulation.settings
    device.simulation.configure(rate=DramSettings().rate, stalls=0)
    device.label_commands(["copy"])
    yield
    device.simulation.configure(rate=settings.rate, stalls=settings.stalls)


def residual_rows(session: Session, device: CosimDevice, rows: int) -> np.ndarray:
    """Residual int16 [rows, d] out of the activation memory, copied out without the DRAM's
    limits.
    """
    with unlimited(device):
        words, _ = session.dump_activations()
    manifest = session.manifest
    embed = session.image.command(manifest.labels.index("embed")).values
    width, channels = manifest.config.width, manifest.model.width
    first, stride = embed["destination"], embed["destination_stride"]
    count = embed["row_beats"] * BEAT_BYTES // width
    address = first + stride * np.arange(rows)[:, None] + np.arange(count)
    return words[address].reshape(rows, -1).view("<i2")[:, :channels]


def _compare_caches(
    check: Check,
    memory: np.ndarray,
    manifest: Manifest,
    caches: Sequence[KeyValueCache],
    positions: Sequence[int],
) -> None:
    """New rows of K and V of every sequence."""
    for sequence, (cache, position) in enumerate(zip(caches, positions, strict=True)):
        rows = slice(position, cache.length)
        view = cache_rows(memory, manifest, sequence)[..., rows, :]
        seen = _heads(view, manifest.model.head_dim)
        expected = np.stack([cache.keys[:, :, rows], cache.values[:, :, rows]], axis=1)
        check.compare("new keys and values", seen, expected)
