# SPDX-License-Identifier: Apache-2.0
"""Proofs of the decoder's control, and planted bugs that they find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hw_tests.formal.block_bench import CODECS, StatedIssue, block_bench, block_count_bench
from hw_tests.formal.decoder_bench import decoder_bench, open_decoder
from hw_tests.formal.mutation import mutant
from hw_tests.formal.prover import ABC_BMC, prove, refute
from hw_tests.formal.window_benches import front_bench, window_bench
from hw_tests.formal.writer_bench import writer_bench
from meadow.spec.config import AcceleratorConfig, named_config
from meadow.spec.streams import Codec
from rtl_gen.decoder.beat_front import BeatFront
from rtl_gen.decoder.block_issue import BlockIssue
from rtl_gen.decoder.byte_window import ByteWindow
from rtl_gen.decoder.mode_words import ModeWords
from rtl_gen.decoder.reader import StreamReader
from rtl_gen.decoder.tile_writer import TileWriter

pytestmark = pytest.mark.formal

TINY, FULL = named_config("tiny"), named_config("zcu102")
SHORT = replace(TINY, ports=4)
"""Headers of 2 beats, slices of 2 blocks: whole streams fit in a bounded run."""
WHOLE = replace(named_config("small"), ports=4, decoder_elements=32)
"""Writes 32 elements at once; SHORT 16."""
WRITER_DEPTH = 20
BLOCKS_DEPTH = 21
BLOCK_CHECKS = ("size.*", "width0", "width(?!0$).*", "(?!size|width).*")
"""One solver for each: together they take a multiple of the time."""
RICE_DEPTH = 43
DECODER_DEPTHS = {None: 20, Codec.DICTIONARY: 26, Codec.RICE: 31}
"""Of streams of any codec, one after the other, and of one codec. The last unpacked weights come in
cycle 23 and 29.
"""


@pytest.mark.quick
def test_front(tmp_path: Path) -> None:
    prove(front_bench(BeatFront()), tmp_path)
    prove(front_bench(BeatFront()), tmp_path, mode="cover", depth=12)


@pytest.mark.parametrize(
    ("old", "new", "checks"),
    [
        ("beat.ready.eq((self.o_beat.ready & passing) | self.drop)", "beat.ready.eq(self.o_beat.ready | self.drop)", ("once",)),
        ("final.eq(transfer & (left == 1))", "final.eq(transfer & (left == 2))", ("one_job", "held_back", "passes")),
        ("(final & ~weights)", "final", ("one_job", "held_back")),
        ("free.eq((~passing & ~self.exhausted)", "free.eq(~passing", ("held_back", "one_job")),
        ("self.exhausted.eq(~job.cache & ~job.beats.any()),", "self.exhausted.eq(0),", ("exhausted",)),
        ("self.checked_first.eq(first)", "self.checked_first.eq(first & ~self.checked_last)", ("marks",)),
    ],
)  # fmt: skip
def test_planted_bugs_in_the_front(tmp_path: Path, old: str, new: str, checks: tuple) -> None:
    refute(front_bench(mutant(BeatFront, old, new)()), tmp_path, *checks, depth=12)


@pytest.mark.quick
def test_window(tmp_path: Path) -> None:
    prove(window_bench(ByteWindow()), tmp_path)
    prove(window_bench(ByteWindow()), tmp_path, mode="cover", depth=14)


@pytest.mark.parametrize(
    ("old", "new", "checks"),
    [
        ("self.i_beat.ready.eq(held != RING_BEATS)", "self.i_beat.ready.eq(1)", ("ready", "bounded")),
        ("self.i_beat.ready.eq(held != RING_BEATS)", "self.i_beat.ready.eq(held != RING_BEATS - 1)", ("ready",)),
        ("(push << 4) - taken", "(push << 4) - after[:6]", ("counted", "aligned", "ready")),
        ("tail.eq(tail + push)", "tail.eq(tail + self.i_beat.valid)", ("head", "data")),
        ("offset.eq(self.offset)", "offset.eq(self.offset + self.take)", ("data",)),
        ("words[8 * i : 8 * (i + ANY_BYTE_BLOCK)] for", "words[8 * (i & 1) : 8 * ((i & 1) + ANY_BYTE_BLOCK)] for", ("data",)),
        ("Cat(*ring[index:], *ring[:index])", "Cat(*ring[index:], *ring[1 : index + 1])", ("data", "head")),
    ],
)  # fmt: skip
def test_planted_bugs_in_the_window(tmp_path: Path, old: str, new: str, checks: tuple) -> None:
    refute(window_bench(mutant(ByteWindow, old, new)()), tmp_path, *checks, depth=14)


@pytest.mark.quick
@pytest.mark.parametrize("config", [TINY, FULL], ids=["tiny", "zcu102"])
def test_number_of_blocks(tmp_path: Path, config: AcceleratorConfig) -> None:
    prove(block_count_bench(BlockIssue(config=config)), tmp_path)
    prove(block_count_bench(BlockIssue(config=config)), tmp_path, mode="cover", depth=12)


@pytest.mark.parametrize(
    ("part", "old", "new", "checks"),
    [
        (BlockIssue, "moves.bit_select(refills + more, 1)", "moves.bit_select(more, 1)", ("overrun",)),
        (BlockIssue, "before.eq(Mux(full, margin, self.available)", "before.eq(margin", ("overrun", "underrun")),
        (BlockIssue, "enough & self.credit & ~self.stop", "enough & ~self.stop", ("issues",)),
        (BlockIssue, "(waiting & ~opening)) & ~self.stop)", "(waiting & ~opening)))", ("quiet",)),
        (BlockIssue, "self.exhausted & ((waiting", "((waiting", ("underrun",)),
        (ModeWords, "self.last.eq(left == 1)", "self.last.eq(left <= 2)", ("lost", "ends")),
        (ModeWords, "left.eq(left - 1)", "left.eq(left - (position != 3))", ("lost", "invented", "ends")),
        (BlockIssue, "Mux(known.o.ready, known.o.valid, 1) & ~self.stop", "Mux(known.o.ready, known.o.valid, 1)", ("quiet",)),
    ],
)  # fmt: skip
def test_planted_bugs_in_the_number_of_blocks(
    tmp_path: Path, part: type, old: str, new: str, checks: tuple
) -> None:
    wrong = mutant(part, old, new)
    issue = wrong if part is BlockIssue else mutant(BlockIssue, "", "", ModeWords=wrong)
    refute(block_count_bench(issue(config=TINY)), tmp_path, *checks, depth=14)


@pytest.mark.parametrize("checks", BLOCK_CHECKS)
@pytest.mark.parametrize("codec", CODECS)
def test_blocks(tmp_path: Path, codec: str, checks: str) -> None:
    bench = block_bench(StatedIssue(config=TINY), codec, pauses=1)
    prove(bench, tmp_path, mode="bmc", depth=BLOCKS_DEPTH, engine=ABC_BMC, only=checks)


@pytest.mark.parametrize("codec", CODECS)
def test_blocks_of_several_mode_words_are_reached(tmp_path: Path, codec: str) -> None:
    bench = block_bench(StatedIssue(config=TINY), codec, pauses=1)
    prove(bench, tmp_path, mode="cover", depth=BLOCKS_DEPTH + 4)


@pytest.mark.parametrize("checks", BLOCK_CHECKS)
def test_second_mode_word_of_rice(tmp_path: Path, checks: str) -> None:
    """It is due after 32 blocks: a run without pauses, so that it may be this long."""
    bench = block_bench(StatedIssue(config=TINY), "rice", pauses=0, word=1)
    prove(bench, tmp_path, mode="bmc", depth=RICE_DEPTH, engine=ABC_BMC, only=checks)


def test_a_planted_bug_in_the_second_mode_word_of_rice(tmp_path: Path) -> None:
    wrong = mutant(BlockIssue, "word_first.eq(refills)", "word_first.eq(0)")(config=TINY)
    refute(block_bench(wrong, "rice", pauses=0, word=1), tmp_path, "width0", depth=RICE_DEPTH)


@pytest.mark.parametrize(
    ("codec", "part", "old", "new", "checks"),
    [
        ("rice", BlockIssue, "self.need.word_select(block.half, REFILLS)", "self.need[:REFILLS]", ("refill",)),
        ("rice", ModeWords, "Mux(position[0], modes >> MODE_BITS, modes)", "Mux(position[0], modes, modes >> MODE_BITS)", ("width0",)),
        ("chunk1", ModeWords, "self.due.eq((position == 0) & (due != 0))", "self.due.eq(position == 0)", ("mode_word",)),
        ("chunk1", BlockIssue, "words.word.payload.eq(self.word)", "words.word.payload.eq(self.data)", ("width0", "width1")),
        ("chunk1", BlockIssue, "words.word.valid.eq(first_valid & first.mode_word)", "words.word.valid.eq(second_valid & second.mode_word)", ("width0", "rate")),
        ("chunk1", ModeWords, "vacant.eq(~held | ends)", "vacant.eq(~held)", ("width0", "width1", "rate")),
        ("chunk1", BlockIssue, "~(self.rice | self.chunk2), ~(self.rice | self.chunk2)", "~(self.rice | self.chunk2), ~self.rice & self.chunk2", ("width3",)),
        ("chunk2", ModeWords, "modes >> WIDTHS // 2 * MODE_BITS", "modes >> WIDTHS * MODE_BITS", ("width0", "width1")),
        ("chunk2", BlockIssue, "packets) + (words.due << 2)", "packets) + words.due", ("size",)),
    ],
)  # fmt: skip
def test_planted_bugs_in_blocks(
    tmp_path: Path, codec: str, part: type, old: str, new: str, checks: tuple
) -> None:
    wrong = mutant(part, old, new)
    issue = wrong if part is BlockIssue else mutant(BlockIssue, "", "", ModeWords=wrong)
    bench = block_bench(issue(config=TINY), codec, pauses=1)
    refute(bench, tmp_path, *checks, depth=BLOCKS_DEPTH)


@pytest.mark.quick
@pytest.mark.parametrize("config", [SHORT, WHOLE], ids=["split", "whole"])
def test_writer(tmp_path: Path, config: AcceleratorConfig) -> None:
    bench = writer_bench(TileWriter(config=config))
    prove(bench, tmp_path, mode="bmc", depth=WRITER_DEPTH, engine=ABC_BMC)
    prove(bench, tmp_path, mode="cover", depth=WRITER_DEPTH)


@pytest.mark.parametrize(
    ("config", "old", "new", "checks"),
    [
        (SHORT, "more = part.wide & ~second", "more = part.wide & ~second & (self.o_tile.write.valid | ~part.wide)", ("lost", "data")),
        (SHORT, "part.ready.eq(allowed & ~empty & ~more)", "part.ready.eq(allowed & ~empty)", ("lost",)),
        (SHORT, "Mux(second, part.data[_BEAT_BITS:], part.data[:_BEAT_BITS])", "part.data[:_BEAT_BITS]", ("data",)),
        (SHORT, "(active | (credits != 0))", "(active | self.i_part.valid)", ("credit",)),
        (SHORT, "last_row.eq(row + 1 == Mux(job.cache, job.rows, config.port_rows))", "last_row.eq(row + 1 == config.port_rows)", ("done", "row")),
        (SHORT, "self.i_job.ready.eq(finished & (job.cache | (last_tile & last_slice)))", "self.i_job.ready.eq(finished & (job.cache | last_tile))", ("job",)),
        (WHOLE, "Mux(part.wide, 2, 1), Const(0)", "Const(1), Const(0)", ("mask", "column", "done")),
        (WHOLE, "column + Mux(job.cache, job.column_beats, 0)", "column + job.column_beats", ("column",)),
        (WHOLE, "slot.eq(~slot), row.eq(0)", "slot.eq(slot ^ taken), row.eq(0)", ("slot",)),
    ],
)  # fmt: skip
def test_planted_bugs_in_the_writer(
    tmp_path: Path, config: AcceleratorConfig, old: str, new: str, checks: tuple
) -> None:
    wrong = mutant(TileWriter, old, new)(config=config)
    refute(writer_bench(wrong), tmp_path, *checks, depth=WRITER_DEPTH)


@pytest.mark.parametrize(
    "codec", [pytest.param(None, marks=pytest.mark.quick), Codec.DICTIONARY, Codec.RICE]
)
def test_decoder(tmp_path: Path, codec: Codec | None) -> None:
    bench = decoder_bench(open_decoder()(config=SHORT), codec)
    depth = DECODER_DEPTHS[codec]
    prove(bench, tmp_path, mode="bmc", depth=depth, engine=ABC_BMC)
    if (
        codec is None
    ):  # that blocks come out of each unpacker is shown by their planted bugs, at less cost
        prove(bench, tmp_path, mode="cover", depth=depth + 2)


@pytest.mark.parametrize(
    ("codec", "part", "old", "new", "checks"),
    [
        (None, "reader", "self.release.eq(dry", "self.release.eq(self.exhausted", ("release",)),
        (None, "reader", "beat.eq((self.available != 0) & ~skip & ~self.stop)", "beat.eq(~skip & ~self.stop)", ("overrun",)),
        (Codec.DICTIONARY, "decoder", "reader.idle.eq(in_flight == 0)", "reader.idle.eq(1)", ("one_part", "prime", "invented", "command_index")),
        (None, "decoder", "blocks.stop.eq(stop)", "blocks.stop.eq(0)", ("stops", "error_once")),
        (None, "decoder", "self.error.eq(wrong & ~failed)", "self.error.eq(wrong)", ("error_once",)),
        (None, "decoder", "failed | reader.busy", "reader.busy", ("error_busy",)),
        (None, "decoder", "reader.credit.eq(reserved < _RESERVED)", "reader.credit.eq(1)", ("place",)),
        (None, "decoder", "sent.eq(reader.part.valid | issued)", "sent.eq(issued)", ("place",)),
        (Codec.RICE, "decoder", "blocks.block.valid & chosen", "blocks.block.valid & chosen & ~blocks.block.payload.half", ("lost1",)),
        (Codec.DICTIONARY, "decoder", "unpacked.eq(Cat(unpacker.part.valid for unpacker in unpackers).any())", "unpacked.eq(unpackers[-1].part.valid)", ("kept",)),
        (Codec.DICTIONARY, "decoder", "Mux(by_checksum, summed, reader.command)", "reader.command", ("command_checksum",)),
        (None, "decoder", "Mux(by_checksum, summed, reader.command)", "reader.i_job.payload.command", ("command_checksum", "command_reader", "command_index", "command_run")),
        (Codec.RICE, "decoder", "unpacker.block.valid.eq(blocks.block.valid & chosen)", "unpacker.block.valid.eq(blocks.block.valid)", ("one_part", "invented")),
    ],
)  # fmt: skip
def test_planted_bugs_in_the_decoder(
    tmp_path: Path, codec: Codec | None, part: str, old: str, new: str, checks: tuple
) -> None:
    if part == "reader":
        wrong: Any = open_decoder(StreamReader=mutant(StreamReader, old, new))
    else:
        wrong = open_decoder(old, new)
    bench = decoder_bench(wrong(config=SHORT), codec)
    refute(bench, tmp_path, *checks, depth=DECODER_DEPTHS[codec])
