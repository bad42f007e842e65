# SPDX-License-Identifier: Apache-2.0
"""Commands on their way to the units that execute them."""

from __future__ import annotations

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from meadow.spec.commands import Unit
from rtl_gen.interfaces.command import COMMAND_BITS, INDEX_BITS

__all__ = ["HANDED_COMMAND", "UNITS", "UnitsSignature"]

UNITS = {"array": Unit.ARRAY, "vector": Unit.VECTOR, "loader": Unit.LOADER, "storer": Unit.STORER}
"""The units that execute commands, by their Unit bits from bit 0 on."""
assert all(unit == 1 << bit for bit, unit in enumerate(UNITS.values()))

HANDED_COMMAND = data.StructLayout(
    {name: INDEX_BITS for name, unit in UNITS.items() if unit != Unit.ARRAY}
)
"""Index of the last command handed to each unit that works on one at a time. The array may work on
several and says itself on which.
"""


class UnitsSignature(wiring.Signature):
    """Commands for each of UNITS, by its name, seen from the sequencer.

    Members
    -------
    array, vector, loader, storer: Out streams of COMMAND_BITS.
    """

    def __init__(self) -> None:
        super().__init__({name: Out(stream.Signature(COMMAND_BITS)) for name in UNITS})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnitsSignature)
