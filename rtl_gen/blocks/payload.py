# SPDX-License-Identifier: Apache-2.0
"""Output registers without a reset."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, Value

__all__ = ["payload_register"]


def payload_register(m: Module, port: Any, name: str) -> Any:
    """A register without a reset that drives `port` (value or view): the caller assigns to it in
    the domain sync, as it would to the port.

    To be called outside `m.If` and `m.State`, which would gate the wire to the port. A port of a
    component cannot say that it has no reset. What is looked at only together with a strobe, such
    as the payload of a stream, needs none; the strobe itself does.
    """
    shape = Value.cast(port).shape() if isinstance(port, Value) else port.shape()
    register = Signal(shape, name=name, reset_less=True)
    m.d.comb += port.eq(register)
    return register
