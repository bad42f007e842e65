# SPDX-License-Identifier: Apache-2.0
"""What a mutant is, and of which units there are some."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MUTANT_VARIABLE", "UNITS", "Mutant"]

MUTANT_VARIABLE = "MEADOW_MUTANT"
"""Environment variable that the simulation reads when it is opened: number of a mutant, 0 or
nothing for none.
"""

UNITS = {
    "dma": ("port0", "fetch", "loader", "storer"),
    "decoder": ("decoder0",),
    "sequencer": ("sequencer",),
    "softmax": ("vector.softmax", "lane.softmax", "lane.reciprocal"),
}
"""Units and their modules: below the accelerator, or of a lane. (Port 0 and decoder 0 stand for the
others.)
"""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change of the netlist.

    number: what `MUTANT_VARIABLE` says. mode: `inv`, `const0`, `const1`, or `cnot0`, `cnot1`
    (inverted where bit `control` of the same port is 0 or 1; else it is None). module, cell, port,
    bit: where; wire: name of the signal with its bit, "" if it has none. sources: lines of the
        Amaranth text, outermost last.
    """

    number: int
    unit: str
    mode: str
    module: str
    cell: str
    port: str
    bit: int
    control: int | None
    wire: str
    sources: tuple[str, ...]

    def __str__(self) -> str:
        where = f"{self.module} {self.cell}.{self.port}[{self.bit}]"
        mode = self.mode if self.control is None else f"{self.mode} [{self.control}]"
        return f"{self.number} {mode} {where} {self.wire} {' '.join(self.sources)}"
