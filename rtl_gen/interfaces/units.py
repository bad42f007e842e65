# SPDX-License-Identifier: Apache-2.0
"""Commands on their way to the units that execute them."""

from __future__ import annotations

from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Out

from meadow.spec.commands import Unit
from rtl_gen.interfaces.command import COMMAND_BITS

__all__ = ["UNITS", "UnitsSignature"]

UNITS = {"array": Unit.ARRAY, "vector": Unit.VECTOR, "loader": Unit.LOADER, "storer": Unit.STORER}
"""The units that execute commands, by their Unit bits from bit 0 on."""
assert all(unit == 1 << bit for bit, unit in enumerate(UNITS.values()))


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
