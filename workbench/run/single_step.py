# SPDX-License-Identifier: Apache-2.0
"""A device and the golden machine side by side, one command at a time."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from firmware.device import Device
from firmware.golden_device import GoldenDevice
from firmware.session import Session
from meadow.model.image import Image
from meadow.spec.commands import Outputs
from meadow.spec.config import BEAT_BYTES
from meadow.spec.limits import Limits
from meadow.spec.step import Step
from workbench.run.command_writes import place_of

__all__ = ["Difference", "plan_steps", "single_step"]

_DECODE_STEPS = 2
_PREFILL_TOKENS = 64
"""Enough that every entry of every table is likely to be used."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first place where a device and the golden machine differ.

    step: 0 is the prefill chunk; layer: None outside of layers; label, command: which command;
    where: "activations", "exponents" (of their words) or "dram"; token, element: see `Place`, the
        first one of a word whose exponent differs, None if the command does not write there;
    address: word of the activation memory, or byte of the window; device, golden: the byte (or
        element, or exponent) there.
    """

    step: int
    layer: int | None
    command: int
    label: str
    where: str
    token: int | None
    element: int | None
    address: int
    device: int
    golden: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready fields."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        layer = "" if self.layer is None else f"layer {self.layer}, "
        place = f"token {self.token}, element {self.element}"
        if self.token is None:
            place = "outside of what the command writes"
        unit = "byte" if self.where == "dram" else "word"
        return (
            f"step {self.step}, {layer}command {self.command} ({self.label}), {place}: "
            f"{self.device}, golden {self.golden} ({self.where}, {unit} {self.address:#x})"
        )


def single_step(
    device: Device,
    image: Image,
    *,
    tokens: int | None = None,
    seed: int = 0,
    log: Callable[[str], None] = lambda text: None,
    tick: Callable[[str], None] = lambda text: None,
) -> tuple[int, Difference | None]:
    """Commands compared, and the first difference or None.

    tokens: of the prefill chunk, by default 64, or what chunk and context hold. Token numbers are
    drawn with `seed`. The activation memory and the exponents of its words are compared after every
    command, the DRAM window after every step. An image that serves one step only takes that one,
    with zeros in the cache; a model that is not causal takes no decode steps. log: told every step,
    tick: every command. ValueError for a chunk that does not fit the image.
    """
    manifest = image.manifest
    config = manifest.config
    start, sizes = plan_steps(manifest.limits, manifest.step, tokens)
    outputs = Outputs.LOGITS
    if manifest.model.outputs == "tokens":
        outputs |= Outputs.ARGMAX
    generator = np.random.default_rng(seed)
    golden_device = GoldenDevice(config, Session.window_bytes(image))
    session, golden = Session(device, image), Session(golden_device, image)
    session.positions[0] = golden.positions[0] = start
    compared = 0
    for step, size in enumerate(sizes):
        new = {0: [int(token) for token in generator.integers(0, manifest.model.vocabulary, size)]}
        log(f"step {step}: {size} tokens, {manifest.commands} commands")
        described = [one.prepare(new, outputs=outputs) for one in (session, golden)]
        for index in range(manifest.commands):
            tick(f"step {step}: command {index} of {manifest.commands}")
            session.execute(index)
            golden.execute(index)
            seen = session.dump_activations()
            machine = golden_device.machine
            expected = machine.activations, machine.exponents
            found = _activations(image, step, described[0], index, seen, expected)
            if found is not None:
                return compared, found
            compared += 1
        session.finish(new, described[0])
        golden.finish(new, described[1])
        found = _dram(image, step, device.memory, golden_device.memory)
        if found is not None:
            return compared, found
    return compared, None


def plan_steps(
    limits: Limits, step: tuple[int, int] | None, tokens: int | None
) -> tuple[int, list[int]]:
    """Position of the first step, and the tokens of every step, for a prefill chunk of `tokens`
    tokens.

    step: the only one that the image serves, None for any. ValueError for a chunk that does not
        fit.
    """
    if step is not None:
        position, only = step
        if tokens not in (None, only):
            raise ValueError(f"this image serves a step of {only} tokens only, not of {tokens}")
        return position, [only]
    decode = _DECODE_STEPS if limits.model.causal else 0
    room = min(limits.chunk_tokens, limits.context - limits.start - decode)
    if room < 1:
        raise ValueError(
            f"single-stepping needs a context of at least {limits.start + decode + 1} tokens, "
            f"not {limits.context}"
        )
    count = min(_PREFILL_TOKENS, room) if tokens is None else tokens
    if not 1 <= count <= room:
        raise ValueError(f"the prefill chunk must have 1..{room} tokens, not {count}")
    return limits.start, [count, *[1] * decode]


def _layer(label: str) -> int | None:
    match = re.match(r"layers\.(\d+)\.", label)
    return None if match is None else int(match[1])


def _activations(
    image: Image,
    step: int,
    described: Step,
    index: int,
    seen: tuple[np.ndarray, np.ndarray],
    golden: tuple[np.ndarray, np.ndarray],
) -> Difference | None:
    """The first difference of the words [words, W], else of their exponents [words]."""
    found = _memory(image, step, described, index, "activations", seen[0], golden[0])
    if found is None:
        exponents = seen[1][:, None], golden[1][:, None]
        found = _memory(image, step, described, index, "exponents", *exponents)
    return found


def _memory(
    image: Image,
    step: int,
    described: Step,
    index: int,
    where: str,
    seen: np.ndarray,
    golden: np.ndarray,
) -> Difference | None:
    wrong = np.argwhere(seen != golden)
    if not len(wrong):
        return None
    command, config = image.command(index), image.manifest.config
    places = {
        (word, byte): place_of(command, described, config, word, byte)
        for word, byte in ((int(word), int(byte)) for word, byte in wrong)
    }
    # The first token, then the first element, of what the command writes; else the first word at
    # all.
    inside = [(place, key) for key, place in places.items() if place is not None]
    place, (word, byte) = min(inside) if inside else (None, next(iter(places)))
    size = 1 if place is None or where == "exponents" else place.size_bytes
    start = byte // size * size
    values = [
        int(np.ascontiguousarray(memory[word, start : start + size]).view(f"<i{size}")[0])
        for memory in (seen, golden)
    ]
    label = image.manifest.labels[index]
    return Difference(
        step=step,
        layer=_layer(label),
        command=index,
        label=label,
        where=where,
        token=None if place is None else place.token,
        element=None if place is None else place.element,
        address=word,
        device=values[0],
        golden=values[1],
    )


def _dram(image: Image, step: int, seen: np.ndarray, golden: np.ndarray) -> Difference | None:
    """The KV cache, arg-max and logits; the dump region and the session's own page are not
    compared.
    """
    dump = image.manifest.regions["dump"]
    end = image.manifest.window_beats(1) * BEAT_BYTES
    for first, last in (
        (0, dump.offset * BEAT_BYTES),
        ((dump.offset + dump.beats) * BEAT_BYTES, end),
    ):
        wrong = np.flatnonzero(seen[first:last] != golden[first:last])
        if wrong.size:
            address = first + int(wrong[0])
            index = image.manifest.commands - 1
            return Difference(
                step=step,
                layer=None,
                command=index,
                label=_region(image, address),
                where="dram",
                token=None,
                element=None,
                address=address,
                device=int(seen[address]),
                golden=int(golden[address]),
            )
    return None


def _region(image: Image, address: int) -> str:
    for name, region in image.manifest.regions.items():
        if region.offset <= address // BEAT_BYTES < region.offset + region.beats:
            return f"region {name}"
    in_cache = address // BEAT_BYTES >= image.manifest.cache.start
    return "KV cache" if in_cache else "weights"
