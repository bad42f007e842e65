# SPDX-License-Identifier: Apache-2.0
"""Proofs of the memory port, and planted bugs that they find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hw_tests.formal.beat_benches import (
    read_beats_bench,
    read_descriptors_bench,
    read_flush_bench,
    write_bench,
)
from hw_tests.formal.bench import Bench
from hw_tests.formal.dma_benches import (
    credit_bench,
    master_bench,
    port_bench,
    splitter_bench,
)
from hw_tests.formal.mutation import mutant
from hw_tests.formal.prover import ABC_BMC, prove, prove_and_reach, refute
from meadow.spec.config import AcceleratorConfig, named_config
from rtl_gen.blocks.skid import Skid
from rtl_gen.dma.bursts import BurstSplitter
from rtl_gen.dma.memory_port import MemoryPort
from rtl_gen.dma.read_engine import ReadEngine
from rtl_gen.dma.write_engine import WriteEngine
from rtl_gen.interfaces.dma import READ_DESCRIPTOR, WRITE_DESCRIPTOR

pytestmark = pytest.mark.formal

FULL = named_config("zcu102")
BEATS_DEPTH = 20
"""Cycles of the bounded proofs; a descriptor's first beat comes out in cycle 12 at the earliest."""


def small() -> AcceleratorConfig:
    """Storage of 8 beats in bursts of 2, which a bounded run can fill; below what a configuration
    may have.
    """
    config = replace(named_config("tiny"), outstanding=3, address_bits=32)
    object.__setattr__(config, "prefetch_beats", 8)
    return config


@pytest.mark.quick
@pytest.mark.parametrize("shape", [READ_DESCRIPTOR, WRITE_DESCRIPTOR], ids=["read", "write"])
def test_bursts_are_legal(tmp_path: Path, shape: Any) -> None:
    prove_and_reach(splitter_bench(BurstSplitter(config=FULL, shape=shape)), tmp_path, depth=10)


@pytest.mark.parametrize(
    ("old", "new", "checks"),
    [
        ("Mux(page_beats < limit, page_beats, limit)", "limit", ("page",)),
        ("(end > self.window_beats) | (remaining == 0)", "remaining == 0", ("window",)),
        ("end.eq(source.offset + source.beats)", "end[:32].eq(source.offset + source.beats)", ("window",)),
        ("beyond.eq(wrong | (end > top))", "beyond.eq(wrong)", ("wraps",)),
        ("last.eq(remaining <= short)", "last.eq(remaining <= limit)", ("last",)),
        ("beat_address.eq(beat_address + burst.beats)", "beat_address.eq(beat_address + limit)", ("address",)),
        ("with m.Elif(self.o.ready):", "with m.Else():", ("offer_stable", "address")),
    ],
)  # fmt: skip
def test_planted_bugs_in_the_splitter(tmp_path: Path, old: str, new: str, checks: tuple) -> None:
    wrong = mutant(BurstSplitter, old, new)(config=FULL, shape=READ_DESCRIPTOR)
    refute(splitter_bench(wrong), tmp_path, *checks, depth=12)


@pytest.mark.quick
def test_the_window_is_kept(tmp_path: Path) -> None:
    prove_and_reach(master_bench(MemoryPort(config=FULL)), tmp_path, depth=10)


@pytest.mark.parametrize(
    ("side", "part", "old", "new", "checks"),
    [
        ("read", BurstSplitter, "(end > self.window_beats) | (remaining == 0)", "remaining == 0", ("ar_window",)),
        ("write", BurstSplitter, "(end > self.window_beats) | (remaining == 0)", "(end > self.window_beats + 1) | (remaining == 0)", ("aw_window",)),
        ("read", BurstSplitter, "end.eq(source.offset + source.beats)", "end[:32].eq(source.offset + source.beats)", ("ar_window",)),
        ("write", BurstSplitter, "beyond.eq(wrong | (end > top))", "beyond.eq(wrong)", ("aw_place",)),
        ("write", BurstSplitter, "Mux(page_beats < limit, page_beats, limit)", "limit", ("aw_page",)),
        ("read", BurstSplitter, "beats.eq(Mux(remaining < short, remaining, short))", "beats.eq(short)", ("ar_window",)),
        ("read", BurstSplitter, "self.window_base[_BEAT_LOG2:] + source.offset", "source.offset", ("ar_place",)),
        ("read", ReadEngine, "address.eq(burst.address)", "address.eq(burst.address + 8)", ("ar_aligned", "ar_place")),
        ("write", WriteEngine, "length.eq(burst.beats - 1)", "length.eq(burst.beats)", ("aw_length", "aw_window", "aw_page")),
    ],
)  # fmt: skip
def test_planted_bugs_in_the_window(
    tmp_path: Path, side: str, part: type, old: str, new: str, checks: tuple
) -> None:
    engine = ReadEngine if side == "read" else WriteEngine
    wrong = mutant(part, old, new)
    if part is BurstSplitter:
        wrong = mutant(engine, "", "", BurstSplitter=wrong)
    port = mutant(MemoryPort, "", "", **{engine.__name__: wrong})(config=small())
    refute(master_bench(port), tmp_path, *checks, depth=12)


@pytest.mark.quick
def test_channels_keep_their_handshakes(tmp_path: Path) -> None:
    prove_and_reach(port_bench(MemoryPort(config=FULL)), tmp_path, depth=12)


@pytest.mark.quick
def test_outstanding_bursts_are_bounded(tmp_path: Path) -> None:
    prove_and_reach(credit_bench(MemoryPort(config=FULL)), tmp_path, depth=12)


READ_BUGS = [
    (port_bench, "with m.Elif(axi.arready):", "with m.Else():", ("ar_stable", "ar_once")),
    (port_bench, "(~axi.arvalid | axi.arready) & in_flight", "in_flight", ("ar_stable", "ar_once")),
    (port_bench, "address.eq(burst.address)", "address.eq(burst.address + 16)", ("ar_offered",)),
    (credit_bench, "(burst.beats <= free)", "(burst.beats <= free + 1)", ("places",)),
    (credit_bench, "& in_flight.i.ready & (burst", "& (burst", ("reads_bounded",)),
    (credit_bench, "& (in_flight.level == 0)", "", ("idle",)),
]  # fmt: skip
WRITE_BUGS = [
    (port_bench, "with m.Elif(axi.awready):", "with m.Else():", ("aw_stable", "aw_once")),
    (port_bench, "register_free.eq(~axi.wvalid | axi.wready)", "register_free.eq(1)", ("w_stable",)),
    (credit_bench, "bursts.i.ready & in_flight.i.ready", "bursts.i.ready", ("writes_bounded",)),
    (credit_bench, "| (in_flight.level != 0)", "", ("idle", "writes_pending")),
]  # fmt: skip


@pytest.mark.parametrize(("bench", "old", "new", "checks"), READ_BUGS)
def test_planted_bugs_in_reads(
    tmp_path: Path, bench: Any, old: str, new: str, checks: tuple
) -> None:
    wrong = mutant(MemoryPort, "", "", ReadEngine=mutant(ReadEngine, old, new))
    refute(bench(wrong(config=small())), tmp_path, *checks, depth=20)


@pytest.mark.parametrize(("bench", "old", "new", "checks"), WRITE_BUGS)
def test_planted_bugs_in_writes(
    tmp_path: Path, bench: Any, old: str, new: str, checks: tuple
) -> None:
    wrong = mutant(MemoryPort, "", "", WriteEngine=mutant(WriteEngine, old, new))
    refute(bench(wrong(config=small())), tmp_path, *checks, depth=20)


def beat_bench(name: str, engine: Any) -> Bench:
    benches = {
        "read_beats": read_beats_bench,
        "read_descriptors": read_descriptors_bench,
        "read_flush": read_flush_bench,
        "write_beats": write_bench,
        "write_flush": lambda engine: write_bench(engine, flush=True),
    }
    return benches[name](engine)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("read_beats", ReadEngine),
        ("read_descriptors", ReadEngine),
        ("read_flush", ReadEngine),
        ("write_beats", WriteEngine),
        ("write_flush", WriteEngine),
    ],
)
def test_no_beat_is_lost_or_invented(tmp_path: Path, name: str, engine: Any) -> None:
    bench = beat_bench(name, engine(config=small()))
    prove(bench, tmp_path, mode="bmc", depth=BEATS_DEPTH, engine=ABC_BMC)
    prove(bench, tmp_path, mode="cover", depth=BEATS_DEPTH + 4)


SKID_BUG = {"Skid": mutant(Skid, "self.i.ready.eq(~spare_valid)", "self.i.ready.eq(1)")}


@pytest.mark.parametrize(
    ("name", "engine", "old", "new", "parts", "checks"),
    [
        ("read_beats", ReadEngine, "", "", SKID_BUG, ("beat_lost", "beat_order", "idle")),
        ("read_beats", ReadEngine, "storage.i.valid.eq(taken_valid)", "storage.i.valid.eq(taken_valid & ~taken.last)", {}, ("beat_lost", "beat_order")),
        ("read_beats", ReadEngine, "axi.rready.eq(in_flight.o.valid)", "axi.rready.eq(in_flight.o.valid & (free != 0))", {}, ("rready",)),
        ("read_beats", ReadEngine, "& ~taken_valid\n", "\n", {}, ("beat_lost",)),
        ("read_descriptors", ReadEngine, "current.last & axi.rlast", "axi.rlast", {}, ("last",)),
        ("read_descriptors", ReadEngine, "taken.route.eq(current.route)", "taken.route.eq(burst.route)", {}, ("all", "together", "marked", "last")),
        ("read_flush", ReadEngine, "self.o.valid.eq(output.o.valid & ~dropping)", "self.o.valid.eq(output.o.valid)", {}, ("dropped",)),
        ("write_beats", WriteEngine, "", "", SKID_BUG, ("beat_lost", "beat_order")),
        ("write_beats", WriteEngine, "self.flush | (register_free & bursts.o.valid)", "self.flush | register_free", {}, ("beat_lost", "beat_order")),
        ("write_beats", WriteEngine, "last.eq(sent + 1 == current.beats)", "last.eq(sent + 1 >= burst.beats)", {}, ("wlast", "unasked")),
        ("write_flush", WriteEngine, "sent.eq(0)", "sent.eq(self.flush)", {}, ("wlast", "unasked")),
    ],
)  # fmt: skip
def test_planted_bugs_in_beats(
    tmp_path: Path, name: str, engine: Any, old: str, new: str, parts: dict, checks: tuple
) -> None:
    wrong = mutant(engine, old, new, **parts)(config=small())
    refute(beat_bench(name, wrong), tmp_path, *checks, depth=BEATS_DEPTH)
