# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the packed-weight decoder alone, as `meadow generate --unit decoder` writes it:
streams of every codec become the tiles and the channel parameters that the golden model unpacks.

Copy it, and change what you like. In this folder:

    make TOP=DIR/decoder.v COCOTB_TOPLEVEL=meadow_decoder COCOTB_TEST_MODULES=bench_decoder

Everything happens at the falling edge of the clock: what is driven and seen there is what the next
rising edge takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly

from cocotb_bench.design import design_config
from cocotb_bench.payload import payload_of
from meadow.compiler.packing.packing import pack_matrix
from meadow.golden.streams.decode import HEADER_DTYPE, unpack_stream
from meadow.model.quantised import QuantisedLinear
from meadow.spec.config import BEAT_BYTES
from meadow.spec.streams import CODEC_NAMES

CONFIG = design_config()
CODECS = [name for name in CODEC_NAMES if name in CONFIG.codecs]
JOB, TILE, PARAMETER = map(payload_of, ("i_job", "o_tile__write", "o_parameter__write"))
RESET_CYCLES = 4
QUIET_CYCLES = 30
"""After which a decoder that is not busy has nothing more to say."""
TIMEOUT = {"timeout_time": 1, "timeout_unit": "ms"}


@dataclass
class Work:
    """What the decoder is given, and what it must write.

    jobs, beats: payloads of `i_job` and `i_beat`. tiles: of one port, [rows, W]; an element that is
    not written stays 0. parameters: beats of slice headers, in order.
    """

    jobs: list[int] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)
    tiles: list[np.ndarray] = field(default_factory=list)
    parameters: list[int] = field(default_factory=list)

    def weights(self, random: np.random.Generator, codec: str, *, command: int = 0) -> Work:
        """Add the stream of a random matrix of two slices and three tiles, packed with a codec."""
        slices, tiles, width, rows = 2, 3, CONFIG.width, CONFIG.port_rows
        shape = (slices * width, tiles * width)
        normal = np.rint(random.normal(0, 9, shape)).clip(-127, 127)  # packs well
        linear = QuantisedLinear(
            weight=normal.astype(np.int8),
            bias=random.integers(-(1 << 20), 1 << 20, shape[0], np.int32),
            multiplier=random.integers(1 << 14, 1 << 16, shape[0]).astype(np.uint16),
            shift=random.integers(16, 32, shape[0]).astype(np.uint8),
        )
        stream = pack_matrix(linear, CONFIG, codec).streams[0]  # that of port 0
        beats = _beats(stream)
        self.jobs.append(JOB.pack(slices=slices, tiles=tiles, beats=len(beats), command=command))
        self.beats += beats
        matrix, headers = unpack_stream(stream, slices, tiles, CONFIG)
        parts = matrix.reshape(slices, rows, tiles, width).transpose(0, 2, 1, 3)
        self.tiles += list(parts.reshape(-1, rows, width))
        channels = np.zeros((slices, rows), HEADER_DTYPE)
        for name in ("bias", "multiplier", "shift"):
            channels[name] = getattr(headers, name)
        self.parameters += _beats(channels.tobytes())
        return self

    def cache(self, random: np.random.Generator, rows: int) -> Work:
        """Add a tile of rows of keys or values, a beat each, which are written as they are."""
        own = random.integers(-127, 128, (rows, BEAT_BYTES), np.int8)
        self.jobs.append(JOB.pack(cache=1, rows=rows, segment_beats=1, beats=rows))
        self.beats += _beats(own.tobytes())
        tile = np.zeros((CONFIG.port_rows, CONFIG.width), np.int8)
        tile[:rows, :BEAT_BYTES] = own
        self.tiles.append(tile)
        return self


def _beats(data: bytes) -> list[int]:
    starts = range(0, len(data), BEAT_BYTES)
    return [int.from_bytes(data[start : start + BEAT_BYTES], "little") for start in starts]


class Source:
    """Offers payloads on a stream, with rests; what it offers stays until it is taken."""

    def __init__(self, dut, name: str, payloads: list[int], random: Random, rests: float) -> None:
        self.valid, self.ready, self.payload = (
            getattr(dut, f"{name}__{end}") for end in ("valid", "ready", "payload")
        )
        self.left, self.random, self.rests, self.offers = list(payloads), random, rests, False

    def drive(self) -> None:
        """Before the edge."""
        self.offers = bool(self.left) and (self.offers or self.random.random() >= self.rests)
        self.valid.value = self.offers
        self.payload.value = self.left[0] if self.offers else self.random.getrandbits(64)

    def look(self) -> None:
        """What the edge takes."""
        if self.offers and int(self.ready.value):
            self.left.pop(0)
            self.offers = False


async def decode(dut, work: Work, *, seed: int, rests: float) -> tuple[Work, list[int]]:
    """Give a decoder its work, after a reset; what it wrote, and the commands of its errors."""
    random = Random(seed)
    sources = [
        Source(dut, "i_job", work.jobs, random, rests),
        Source(dut, "i_beat", work.beats, random, rests),
    ]
    seen, errors, quiet = Work(), [], 0
    tile, held = np.zeros((CONFIG.port_rows, CONFIG.width), np.int8), {"tile": 0, "parameter": 0}
    await reset(dut)
    while quiet < QUIET_CYCLES:
        await FallingEdge(dut.clk)
        for source in sources:
            source.drive()
        for name in held:  # slots that are full are given back at any time
            free = held[name] > 0 and random.random() >= rests
            getattr(dut, f"o_{name}__free").value = free
            held[name] -= free
        await ReadOnly()
        for source in sources:
            source.look()
        if int(dut.o_tile__write__valid.value):
            write = TILE.unpack(int(dut.o_tile__write__payload.value))
            assert write["slot"] == len(seen.tiles) % 2, "slots take turns"
            data = write["data"].to_bytes(CONFIG.decoder_elements, "little")
            for part in range(CONFIG.decoder_elements // BEAT_BYTES):
                if write["mask"] >> part & 1:
                    first = BEAT_BYTES * (write["column_beats"] + part)
                    own = data[BEAT_BYTES * part :][:BEAT_BYTES]
                    tile[write["row"], first : first + BEAT_BYTES] = np.frombuffer(own, np.int8)
        if int(dut.o_tile__done.value):
            seen.tiles.append(tile.copy())
            tile[:] = 0
            held["tile"] += 1
        if int(dut.o_parameter__write__valid.value):
            write = PARAMETER.unpack(int(dut.o_parameter__write__payload.value))
            assert write["beat"] == len(seen.parameters) % CONFIG.header_beats, "beats in order"
            seen.parameters.append(write["data"])
        held["parameter"] += int(dut.o_parameter__done.value)
        if int(dut.error.value):
            errors.append(int(dut.error_command.value))
        active = any(source.left for source in sources) or int(dut.busy.value)
        quiet = 0 if active and not errors else quiet + 1
    return seen, errors


async def reset(dut) -> None:
    """Leave a decoder that waits for work."""
    await FallingEdge(dut.clk)
    for name in ("i_job__valid", "i_beat__valid", "o_tile__free", "o_parameter__free"):
        getattr(dut, name).value = 0
    dut.rst.value = 1
    await ClockCycles(dut.clk, RESET_CYCLES)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 2)


def start(dut) -> np.random.Generator:
    """A running clock; random numbers of the run's seed."""
    cocotb.start_soon(Clock(dut.clk, 4, unit="ns").start())
    return np.random.default_rng(cocotb.RANDOM_SEED)


def compare(seen: Work, wanted: Work) -> None:
    """Tile for tile and header for header."""
    assert len(seen.tiles) == len(wanted.tiles), f"{len(seen.tiles)} tiles"
    for number, (own, golden) in enumerate(zip(seen.tiles, wanted.tiles, strict=True)):
        assert np.array_equal(own, golden), f"tile {number}"
    assert seen.parameters == wanted.parameters, "parameters of channels"


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(codec=CODECS, rests=[0.0, 0.4])
async def streams(dut, codec: str, rests: float) -> None:
    """Two streams of a codec, one behind the other, with and without rests on all sides."""
    random = start(dut)
    work = Work().weights(random, codec).weights(random, codec)
    seen, errors = await decode(dut, work, seed=cocotb.RANDOM_SEED, rests=rests)
    assert not errors
    compare(seen, work)


@cocotb.test(**TIMEOUT)
async def streams_and_cache(dut) -> None:
    """Weights of every codec, and rows of keys or values between them."""
    random, work = start(dut), Work()
    for codec in CODECS:
        work.weights(random, codec).cache(random, rows=CONFIG.port_rows - 1)
    seen, errors = await decode(dut, work, seed=cocotb.RANDOM_SEED, rests=0.2)
    assert not errors
    compare(seen, work)


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(codec=CODECS)
async def a_damaged_stream(dut, codec: str) -> None:
    """One wrong bit is an error that names the command; after a reset all is well."""
    random = start(dut)
    work = Work().weights(random, codec, command=77)
    place, bit = int(random.integers(len(work.beats))), int(random.integers(8 * BEAT_BYTES))
    spoiled = Work(work.jobs, list(work.beats))
    spoiled.beats[place] ^= 1 << bit
    _, errors = await decode(dut, spoiled, seed=1, rests=0.1)
    assert errors == [77], f"bit {bit} of beat {place}: {errors}"
    seen, errors = await decode(dut, work, seed=2, rests=0.1)
    assert not errors
    compare(seen, work)
