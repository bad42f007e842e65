# SPDX-License-Identifier: Apache-2.0
"""A fetch unit with random stalls, and what it must ask for as an enumeration in Python."""

from __future__ import annotations

import itertools

from hw_tests.streams import Sink, Source, Stalls, simulate
from hw_tests.unit_config import unit_config
from meadow.spec.commands import FIELDS, AttendPart, Command, Opcode, RowSet, TrafficClass
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.step import Step
from rtl_gen.dma.fetch import FetchUnit
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.dma import Route

__all__ = [
    "CONFIGS",
    "INDEX_STEP",
    "QUAD",
    "WIDE",
    "expected",
    "handed",
    "run",
    "set_step",
    "tile_order",
]

QUAD = unit_config(
    ports=4, groups=32, sequences=3, max_context=256, max_head_dim=64, norm_channels=256
)
WIDE = unit_config(64, ports=4, sequences=4, max_context=1024, max_head_dim=128)
INDEX_STEP = 0x10203
"""Between the indices of commands here, so that all bits of them change."""
CONFIGS = {"tiny": CONFIGURATIONS["tiny"], "small": CONFIGURATIONS["small"], "quad": QUAD}
WEIGHTS = {"route": Route.WEIGHTS, "traffic": int(TrafficClass.WEIGHTS)}
KV = {"route": Route.KV, "traffic": int(TrafficClass.KV_READ)}


def tile_order(blocks: int, part: AttendPart = AttendPart.WHOLE) -> list[tuple[str, int]]:
    """K0 K1 V0 K2 V1 ... V_last, or only K0 K1 ..., or only V0 V1 ..."""
    if part != AttendPart.WHOLE:
        return [("key" if part == AttendPart.SCORES else "value", block) for block in range(blocks)]
    pairs = [(("key", block), ("value", block - 1)) for block in range(1, blocks)]
    return [("key", 0), *itertools.chain(*pairs), ("value", blocks - 1)]


def handed(command: Command, index: int) -> int:
    """The bits of a command on its way to a unit, its index in place of what the sequencer has
    dealt with.
    """
    mask = ((1 << INDEX_BITS) - 1) << 8
    return (int.from_bytes(command.encode(), "little") & ~mask) | index << 8


def expected(
    command: Command, step: Step, config: AcceleratorConfig, port: int, index: int = 0
) -> tuple[list[dict], list[dict]]:
    """(descriptors, jobs) of one command on one port; an offset or a length that does not fit is
    one of 0 beats.
    """
    reads, fills = _expected(command, step, config, port)
    for read in reads:
        if read["offset"] >= 1 << 32 or read["beats"] >= 1 << 28:
            read |= {"offset": read["offset"] % (1 << 32), "beats": 0}
    return [{**read, "command": index} for read in reads], [
        {**job, "command": index} for job in fills
    ]


def _expected(command: Command, step: Step, config: AcceleratorConfig, port: int):
    values = {field.name: 0 for field in FIELDS[command.opcode]} | command.values
    reads, fills = [], []
    if command.opcode == Opcode.MATMUL:
        beats = values[f"beats{port}"]
        reads.append({"offset": values[f"offset{port}"], "beats": beats, **WEIGHTS})
        job = {name: values[name] for name in ("slices", "tiles")}
        fills.append({"cache": 0, **job, "beats": beats})
    elif command.opcode == Opcode.LOAD:
        count = step.row_count(RowSet(values["row_set"]), values["rows"])
        share = -(-count // config.ports)
        rows = range(count)[port * share : (port + 1) * share]
        if rows:
            reads.append(
                {
                    "offset": values["offset"] + rows[0] * values["row_beats"],
                    "beats": len(rows) * values["row_beats"],
                    "route": Route.LOAD,
                    "traffic": values["traffic"],
                }
            )
    else:
        beats = values["segment_beats"]
        for entry in step.sequences:
            new = values["first"] + values["rows"] if values["rows"] else entry.tokens
            keys = entry.position + new
            for kind, block in tile_order(-(-keys // config.width), AttendPart(values["part"])):
                first = block * config.width + port * config.port_rows
                rows = max(0, min(config.port_rows, keys - first))
                for head_block in range(values["blocks"]):
                    offset = entry.kv_base + values[f"{kind}_offset"] + first * beats
                    offset += head_block * values["block_stride"]
                    if rows:
                        reads.append({"offset": offset, "beats": rows * beats, **KV})
                    fills.append(
                        {
                            "cache": 1,
                            "rows": rows,
                            "segment_beats": beats,
                            "column_beats": values["column_beats"],
                            "beats": rows * beats,
                        }
                    )
    return reads, fills


def set_step(ctx, port, step: Step) -> None:
    ctx.set(port.rows, step.rows)
    ctx.set(port.sequences, len(step.sequences))
    ctx.set(port.head_all, step.head_all)
    for index, entry in enumerate(step.sequences):
        view = port.entries[index]
        ctx.set(view.kv_base, entry.kv_base)
        ctx.set(view.position, entry.position)
        ctx.set(view.tokens, entry.tokens)
        ctx.set(view.first_row, entry.first_row)


def run(config, commands, step, *, seed, producer=0.0, consumer=0.0, blocked=None):
    """Descriptors and jobs per port; port `blocked` takes nothing for the first 600 cycles.

    The command of index n is handed over as number n * INDEX_STEP.
    """
    print(f"seed={seed}")
    dut = FetchUnit(config=config)
    reads, fills = (
        [Sink(port, Stalls(consumer, f"{seed} {what} {i}")) for i, port in enumerate(ports)]
        for what, ports in (("read", dut.o_read), ("fill", dut.o_decode))
    )
    progress = []
    totals = [0, 0]
    for port in range(config.ports):
        for command in commands:
            for index, part in enumerate(expected(command, step, config, port)):
                totals[index] += len(part)

    async def feed(ctx):
        set_step(ctx, dut.step, step)
        for index, command in enumerate(commands):
            source = Source(
                dut.i_command,
                [handed(command, index * INDEX_STEP)],
                Stalls(producer, f"{seed} {index}"),
            )
            await source.run(ctx)
            assert ctx.get(dut.busy)

    def taker(sink, port):
        async def take(ctx):
            if port == blocked:
                await ctx.tick().repeat(600)
                progress.append([len(part.received) for part in reads])
            await sink.run(ctx)

        return take

    async def watch(ctx):
        for _ in range(60000):
            if [sum(len(sink.received) for sink in sinks) for sinks in (reads, fills)] == totals:
                await ctx.tick().repeat(20)
                assert not ctx.get(dut.busy)
                return
            await ctx.tick()
        raise AssertionError("not finished")

    takers = [taker(sink, port) for sinks in (reads, fills) for port, sink in enumerate(sinks)]
    simulate(dut, watch, background=[feed, *takers])
    return *([_fields(sink) for sink in sinks] for sinks in (reads, fills)), progress


def _fields(sink: Sink) -> list[dict]:
    """What a port took, field by field."""
    return [{name: payload[name] for name in payload.shape().members} for payload in sink.received]
