# SPDX-License-Identifier: Apache-2.0
"""What is proven of a Decoder's control: its parts keep to what they assume of each other, for any
bytes in the streams.

Data are left out: what head and data of the window show, whether a checksum matches, which
sub-streams need a word and whether an index or a run is wrong is free in every cycle. That covers
all streams, also corrupt ones. Numbers stay.
"""

from __future__ import annotations

from typing import Any

from amaranth.asserts import AnySeq
from amaranth.hdl import Const, Module, Mux, Signal, Value, ValueLike

from hw_tests.formal.bench import Bench, Probe
from hw_tests.formal.mutation import mutant
from meadow.spec.streams import Codec
from rtl_gen.blocks.delay import delayed
from rtl_gen.decoder.byte_window import ByteWindow
from rtl_gen.decoder.checksum import StreamChecksum
from rtl_gen.decoder.decoder import Decoder
from rtl_gen.decoder.dictionary import DictionaryUnpacker
from rtl_gen.decoder.preamble import PREAMBLE
from rtl_gen.decoder.rice import RiceUnpacker
from rtl_gen.decoder.weight_block import ISSUE

__all__ = ["decoder_bench", "open_decoder"]

_BEATS = 12
"""Beats of a job here at most."""
_BLOCK = 2
"""Cycles from `issue` to `block` of BlockIssue; proven by `block_bench`."""


class _AnyChecksum(StreamChecksum):
    """Any stream may mismatch."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        end = delayed(m, self.valid & self.last, self.latency, "end", reset_less=False)
        m.d.comb += self.mismatch.eq(end & AnySeq(1))
        return m


def _any_result(unpacker: Any, checked: Any) -> Module:
    """A part for each block, and any error for what is `checked`, as late as the unpacker's."""
    m = Module()
    valid = delayed(m, unpacker.block.valid, unpacker.latency, "valid", reset_less=False)
    check = delayed(m, checked, unpacker.bad_latency, "check", reset_less=False)
    m.d.comb += [unpacker.part.valid.eq(valid), unpacker.bad.eq(check & AnySeq(1))]
    return m


class _AnyDictionary(DictionaryUnpacker):
    """Any block may have a wrong index."""

    def elaborate(self, platform: object) -> Module:
        return _any_result(self, self.block.valid)


class _AnyRice(RiceUnpacker):
    """Any block may finish any words and have a wrong run."""

    def elaborate(self, platform: object) -> Module:
        m = _any_result(self, self.issue.valid)
        m.d.comb += self.need.eq(AnySeq(len(self.need)))
        return m


def _any_window(window: type) -> type:
    class AnyWindow(window):
        """Its counts, with any bytes."""

        def elaborate(self, platform: object) -> Module:
            m = Module()
            m.submodules.real = real = window()
            m.d.comb += [
                real.i_beat.valid.eq(self.i_beat.valid),
                self.i_beat.ready.eq(real.i_beat.ready),
                real.take.eq(self.take),
                real.block.eq(self.block),
                real.block_bytes.eq(self.block_bytes),
                self.available.eq(real.available),
                self.arrives.eq(real.arrives),
                self.offset.eq(real.offset),
                self.head.eq(AnySeq(len(self.head))),
                self.data.eq(AnySeq(len(self.data))),
                self.word.eq(AnySeq(len(self.word))),
            ]
            return m

    return AnyWindow


def open_decoder(old: str = "", new: str = "", **parts: Any) -> type:
    """Decoder with free data, short queues of jobs, and changes as in `mutant`."""
    window = parts.pop("ByteWindow", ByteWindow)
    return mutant(
        Decoder,
        old,
        new,
        ByteWindow=_any_window(window),
        StreamChecksum=_AnyChecksum,
        UNPACKERS={Codec.DICTIONARY: _AnyDictionary, Codec.RICE: _AnyRice},
        _JOBS=3,
        _PARTS=8,  # a bounded run fills it; the margin above _RESERVED is that of the real one
        _RESERVED=4,
        **parts,
    )


def _late(bench: Bench, value: ValueLike, cycles: int) -> Value:
    late = Value.cast(value)
    for _ in range(cycles):
        late = bench.past(late)
    return late


def _blame(bench: Bench, probe: Probe, decoder: Any, job: Any) -> None:
    """An error names the command of the stream that is wrong: here commands count the weight
    streams.
    """
    m = bench.m
    queued, ended, read = Signal(4), Signal(4), Signal(4)
    m.d.sync += [
        queued.eq(queued + (decoder.i_job.valid & decoder.i_job.ready & ~job.cache)),
        ended.eq(ended + (probe["front.checked"] & probe["front.checked_last"])),
        read.eq(read + probe["reader.release"]),
    ]
    bench.assume(job.command == Mux(job.cache, 0xFF, queued))
    reader = probe.every("reader.error")[0] | probe["blocks.underrun"]
    broken = reader | probe["dictionary.bad"] | probe["rice.bad"]  # of an earlier stream
    sources = {
        "reader": (reader, read),
        "checksum": (
            probe["checksum.mismatch"] & ~broken,
            _late(bench, ended, StreamChecksum.latency),
        ),
        "index": (
            probe["dictionary.bad"],
            _late(bench, read, _BLOCK + DictionaryUnpacker.bad_latency),
        ),
        "run": (probe["rice.bad"], _late(bench, read, RiceUnpacker.bad_latency)),
    }
    for name, (wrong, stream) in sources.items():
        blamed = decoder.error & bench.past(wrong)
        bench.check(f"command_{name}", ~blamed | (decoder.error_command == bench.past(stream)))


def decoder_bench(decoder: Any, codec: Codec | None = None) -> Bench:
    """Contracts between the parts of an `open_decoder`, a place for every part, and no end before
    everything is checked.

    With `codec` all weight streams have that one, which makes longer runs possible.
    """
    bench = Bench("decoder" if codec is None else f"decoder_{codec.name.lower()}")
    probe = bench.add(decoder)
    m = bench.m
    job = decoder.i_job.payload
    bench.assume((job.beats != 0) & (job.beats <= _BEATS) & (job.slices == 1) & (job.tiles == 1))
    bench.assume((job.rows <= decoder.config.port_rows) & (job.segment_beats == 1))
    bench.assume(~job.cache | (job.beats == job.rows))

    if codec is not None:
        preamble = PREAMBLE(probe.every("reader.preamble")[1])  # behind the input of its check
        bench.assume((probe["reader.fsm_state"] == 0) | (preamble.codec == codec.value))

    available, offset = probe["window.available"], probe["window.offset"]
    read_take, word_take = probe.every("reader.take")[0], probe["blocks.take"]
    issued, block_bytes = probe["blocks.issue__valid"], probe["blocks.block_bytes"]
    release, exhausted = probe["reader.release"], probe["front.exhausted"]
    takes = read_take != 0, word_take != 0, issued
    bench.check("one_take", sum(takes, Const(0, 1)) <= 1)
    bench.check("overrun", Mux(issued, block_bytes, read_take | word_take) <= available)
    bench.check("release", ~release | (exhausted & (available == 0) & (offset == 0)))

    unpacked = probe["dictionary.part__valid"], probe["rice.part__valid"]
    plain = probe["reader.part__valid"]
    bench.check(
        "one_part", ~((unpacked[0] & unpacked[1]) | (unpacked[0] & plain) | (unpacked[1] & plain))
    )
    arrives = unpacked[0] | unpacked[1] | plain
    bench.check("place", ~arrives | probe["parts.i__ready"])
    bench.check("kept", arrives == probe["parts.put"])

    half = ISSUE(probe["blocks.issue__payload"]).half
    in_flight = Signal(6)
    m.d.sync += in_flight.eq(in_flight + issued - (unpacked[0] | unpacked[1]))
    bench.check("invented", ~(unpacked[0] | unpacked[1]) | (in_flight != 0))
    bench.check("prime", ~probe["reader.prime__valid"] | ((in_flight == 0) & ~issued))
    before = bench.past(issued), bench.past(half)
    rice = probe["reader.rice"]
    for unit, latency, chosen in (
        (0, DictionaryUnpacker.latency, issued & ~rice),
        (1, RiceUnpacker.latency, issued & rice),
    ):
        bench.check(f"lost{unit}", unpacked[unit] == _late(bench, chosen, _BLOCK + latency))
    bench.check("alternate", ~(issued & before[0] & rice) | (half != before[1]))

    failed, wrong = probe["failed"], probe["wrong"]
    error = decoder.error
    pulses = Signal()
    with m.If(error):
        m.d.sync += pulses.eq(1)
    bench.check("error_once", ~(error & pulses))
    bench.check("silent", ~bench.past(wrong) | error | pulses)
    bench.check("late_error", decoder.busy | ~(wrong | error))
    writes = decoder.o_tile.write.valid | decoder.o_parameter.write.valid | decoder.o_tile.done
    bench.check("late_write", ~writes | decoder.busy | bench.past(decoder.busy))
    bench.check("error_busy", ~failed | decoder.busy)
    bench.check("stops", ~failed | (issued == 0) & (read_take == 0))
    _blame(bench, probe, decoder, job)
    bench.cover("cache", decoder.o_tile.done & bench.past(plain))
    bench.cover("released", release)
    return bench
