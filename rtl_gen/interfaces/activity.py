# SPDX-License-Identifier: Apache-2.0
"""What the chip is doing, and for which command: the names of what the ports `activity` and
`unit_command` hold.
"""

from __future__ import annotations

from typing import NamedTuple

from meadow.spec.config import AcceleratorConfig

__all__ = ["ActivityUnit", "activity_items", "activity_units"]


class ActivityUnit(NamedTuple):
    """A unit that works on one command at a time.

    items: bits of `activity` that belong to the command that `unit_command` names for this unit;
        the first one is its work, the others are kinds of it, or causes of waiting.
    """

    name: str
    items: tuple[str, ...]


_STALLS = ("stall_tile", "stall_decoder", "stall_operand", "stall_drain", "stall_softmax")


def activity_units(config: AcceleratorConfig) -> tuple[ActivityUnit, ...]:
    """Units in the order in which data and commands pass them; field i of `unit_command`,
    INDEX_BITS wide, is unit i's.

    A field is the index of a command in its program in every cycle in which one of the unit's items
    is 1, and means nothing in others. NO_COMMAND stands for the program as a whole: it is what the
    sequencer works on once it has handed over the last command, and what a port reads commands for.

    sequencer: the command that is handed over next.
    fetch: the one whose descriptors are laid out.
    port{p}_read, port{p}_write: the one that asked for the beat.
    decoder{p}_parameter: the one whose slice headers are written.
    decoder{p}_tile: the one whose tiles are written; these two parts of a decoder are often at
        different commands.
    array: the one whose tile operation is issued, or waited for.
    drain: the one whose accumulators are read.
    writer: the one whose result word goes to the activation memory.
    loader, vector, storer: the one executed.
    """
    ports = range(config.ports)
    return (
        ActivityUnit("sequencer", ("sequencer_busy",)),
        ActivityUnit("fetch", ("fetch_busy",)),
        *(_single(f"port{port}_read") for port in ports),
        *(_single(f"decoder{port}_{part}") for port in ports for part in ("parameter", "tile")),
        ActivityUnit("loader", ("loader_busy",)),
        ActivityUnit("array", ("array_busy", *_STALLS)),
        ActivityUnit("drain", ("drain_busy", "score_drain")),
        ActivityUnit("writer", ("writer_busy",)),
        ActivityUnit("vector", ("vector_busy", "stall_vector")),
        ActivityUnit("storer", ("storer_busy",)),
        *(_single(f"port{port}_write") for port in ports),
    )


def _single(name: str) -> ActivityUnit:
    return ActivityUnit(name, (name,))


def activity_items(config: AcceleratorConfig) -> tuple[str, ...]:
    """Names of the bits of `activity` from bit 0 on, unit by unit; bit i is 1 in a cycle in which
    item i happens.

    sequencer_busy: a program runs (counter `cycles`).
    fetch_busy: descriptors of a command are laid out.
    array_busy, stall_*, vector_busy: as the counters of the same names
        (`meadow.spec.registers.COUNTERS`).
    drain_busy: accumulators are read and requantised.
    score_drain: accumulators of scores are, for the lanes' softmax or to be sent out.
    writer_busy: a result word is written to the activation memory.
    loader_busy: a LOAD is executed.
    storer_busy: a STORE is executed.
    decoder{p}_tile: the decoder of port p writes to the tile buffer.
    decoder{p}_parameter: the decoder of port p writes to the parameter buffer.
    port{p}_read, port{p}_write: port p moves a beat of read or write data.

    All bits, and the fields of `unit_command` with them, are registers; how many cycles late a bit
    is differs by a few. They serve the co-simulation's timeline and a logic analyser in the device
    (ILA) alike.
    """
    return tuple(item for unit in activity_units(config) for item in unit.items)
