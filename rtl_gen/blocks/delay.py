# SPDX-License-Identifier: Apache-2.0
"""Delay lines that keep control fields in step with a datapath of fixed latency."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, Value

__all__ = ["delayed"]


def delayed(m: Module, source: Any, cycles: int, name: str, *, reset_less: bool = True) -> Any:
    """`source` (value or view) as it was `cycles` cycles ago, through registers in `m`.

    Payload registers have no reset, so that a synthesiser may build shift-register LUTs; strobes
    that cause an effect need `reset_less=False`. To be called outside `m.If`, which would gate the
    registers. ValueError for a negative number of cycles: the result would have to precede its
    source.
    """
    if cycles < 0:
        raise ValueError(f"a delay must be 0 or more cycles, not {cycles} ({name})")
    shape = Value.cast(source).shape() if isinstance(source, Value) else source.shape()
    for cycle in range(cycles):
        register = Signal(shape, name=f"{name}_{cycle + 1}", reset_less=reset_less)
        m.d.sync += register.eq(source)
        source = register
    return source
