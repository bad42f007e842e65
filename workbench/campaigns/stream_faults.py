# SPDX-License-Identifier: Apache-2.0
"""Faults in weight streams: where the streams of an image are, and what may be done to one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meadow.model.image import Image
from meadow.spec.commands import COMMAND_BYTES, Opcode
from meadow.spec.config import BEAT_BYTES
from meadow.spec.streams import Codec

__all__ = ["Fault", "WeightStream", "draw_fault", "weight_streams"]


@dataclass(frozen=True)
class WeightStream:
    """A stream of the program: its command and port, and where it is in the window, in beats."""

    command: int
    port: int
    offset: int
    beats: int


@dataclass(frozen=True)
class Fault:
    """What is done to a stream.

    kind: "flip" (`places` are bits of the stream), "zero" (its bytes from places[0] on become 0) or
    "cut" (its command says places[0] beats).
    """

    stream: WeightStream
    kind: str
    places: tuple[int, ...]

    def plant(self, image: Image, memory: np.ndarray) -> None:
        """Spoil the copy of the image at the beginning of `memory`."""
        stream = self.stream
        if self.kind == "cut":
            command = image.command(stream.command)
            values = {**command.values, f"beats{stream.port}": self.places[0]}
            start = image.manifest.regions["program"].offset * BEAT_BYTES
            start += stream.command * COMMAND_BYTES
            encoded = replace(command, values=values).encode()
            memory[start : start + COMMAND_BYTES] = np.frombuffer(encoded, np.uint8)
            return
        data = memory[stream.offset * BEAT_BYTES : (stream.offset + stream.beats) * BEAT_BYTES]
        if self.kind == "zero":
            data[self.places[0] :] = 0
        else:
            for place in self.places:
                data[place // 8] ^= 1 << place % 8


def weight_streams(image: Image, codec: str) -> list[WeightStream]:
    """Streams of this codec that the program reads."""
    found = []
    for index in range(image.manifest.commands):
        command = image.command(index)
        if command.opcode != Opcode.MATMUL:
            continue
        for port in range(image.manifest.config.ports):
            offset, beats = command.values[f"offset{port}"], command.values[f"beats{port}"]
            if image.dram[offset * BEAT_BYTES] == Codec[codec.upper()]:
                found.append(WeightStream(index, port, offset, beats))
    return found


def draw_fault(random: np.random.Generator, image: Image, streams: list[WeightStream]) -> Fault:
    """Two of three faults are 1..3 flipped bits, the others a lost end; every fault changes
    something.
    """
    stream = streams[int(random.integers(len(streams)))]
    size = stream.beats * BEAT_BYTES
    choice = random.random()
    if choice < 2 / 3:
        # A preamble is a small part of a stream, and has most of the ways to lead a decoder astray.
        reach = 8 * (BEAT_BYTES if random.random() < 0.2 else size)
        places = random.choice(reach, int(random.integers(1, 4)), replace=False)
        return Fault(stream, "flip", tuple(int(place) for place in places))
    if choice < 5 / 6:
        return Fault(stream, "cut", (int(random.integers(1, stream.beats)),))
    data = image.dram[stream.offset * BEAT_BYTES :][:size]
    end = int(np.flatnonzero(data)[-1]) + 1
    return Fault(stream, "zero", (int(random.integers(0, end)),))
