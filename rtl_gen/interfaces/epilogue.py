# SPDX-License-Identifier: Apache-2.0
"""Epilogues as the hardware knows them: a drain mode of the lanes and a mode of the result writer.

The records of meadow.spec.epilogue say which modes belong to an output of a MATMUL; here is what
the drain modes differ in, those of attention too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Value

from meadow.spec.epilogue import Epilogue
from rtl_gen.interfaces.lane import DrainMode

__all__ = ["drain_mode", "drain_modes_with", "is_one_of"]


@dataclass(frozen=True, kw_only=True)
class _Drain:
    """What a drain mode makes of accumulators.

    bits : of a requantised value.
    parameters : bias, multiplier and shift are those of the channel (of a MATMUL).
    relu : a value below 0 becomes 0.
    scores : values are scores: bias 0, multiplier and shift of the pass, keys may be masked.
    outputs : values are the attention output: bias 0, multiplier and shift of the lane's latest
        finish.
    emits : values leave the lane as results.
    """

    bits: int
    parameters: bool = False
    relu: bool = False
    scores: bool = False
    outputs: bool = False
    emits: bool = True

    @property
    def wide(self) -> bool:
        """Two result words for W channels."""
        return self.emits and self.bits == 16


_DRAINS = {
    DrainMode.INT8: _Drain(bits=8, parameters=True),
    DrainMode.RELU16: _Drain(bits=16, parameters=True, relu=True),
    DrainMode.INT16: _Drain(bits=16, parameters=True),
    DrainMode.SCORE: _Drain(bits=16, scores=True, emits=False),
    DrainMode.OUTPUT: _Drain(bits=8, outputs=True),
    DrainMode.SCORE16: _Drain(bits=16, scores=True),
    DrainMode.OUTPUT16: _Drain(bits=16, outputs=True),
}


def drain_mode(epilogue: Epilogue) -> DrainMode:
    """The drain mode of a MATMUL with this epilogue; ValueError if the lanes have none for it."""
    for mode, drain in _DRAINS.items():
        if drain.parameters and (drain.bits, drain.relu) == (epilogue.bits, epilogue.relu):
            return mode
    raise ValueError(
        f"the lanes have no drain mode of {epilogue.bits} bits with relu {epilogue.relu}"
    )


def drain_modes_with(holds: Callable[[_Drain], bool]) -> tuple[DrainMode, ...]:
    """The drain modes that have a property, in the order of their numbers."""
    return tuple(mode for mode, drain in _DRAINS.items() if holds(drain))


def is_one_of(value: Any, members: Iterable[Any]) -> Value:
    """Whether a hardware value is one of the members of its enumeration."""
    return reduce(or_, (value == member for member in members))
