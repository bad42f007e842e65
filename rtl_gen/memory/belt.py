# SPDX-License-Identifier: Apache-2.0
"""Fixed priority without a wire from one client to another: a belt of slots passes them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

__all__ = ["Belt"]


@dataclass(frozen=True, kw_only=True)
class Belt:
    """One slot per cycle moves past the clients, the one of the highest priority first; a client
    puts its payload into a slot that comes by empty.

    So `ready` of client k is a register, "the slot that comes by is empty": it depends on what the
    clients of higher priority did in the cycle before, and on nothing of the same cycle. One
    payload per cycle in total; the first client is always ready.

    Members
    -------
    transfers: a bit for each client, it transfers in this cycle.
    owner, payload: what leaves the belt: a bit for each client, at most one of them 1, and the
        payload of that one (any value without an owner). Combinational from the last client, so
        the register behind it is the caller's: a transfer of client k is in it
        `stages(clients) - k` cycles later.
    """

    transfers: Value
    owner: Value
    payload: Value

    @staticmethod
    def passing(m: Module, clients: list[Any], name: str) -> Belt:
        """A belt in `m` for these streams of one shape, highest priority first."""
        transfers = []
        owner: Value = Const(0, 0)
        payload: Value = Value.cast(clients[0].payload)
        for number, client in enumerate(clients):
            if number:
                full = owner.any()
                passed = Signal(number, name=f"{name}_owner{number}")
                carried = Signal(len(payload), name=f"{name}_payload{number}", reset_less=True)
                free = Signal(name=f"{name}_free{number}", init=1)
                m.d.sync += [passed.eq(owner), carried.eq(payload), free.eq(~full)]
                owner, payload = passed, Mux(free, Value.cast(client.payload), carried)
            else:
                free = Const(1, 1)
            taken = Signal(name=f"{name}_taken{number}")
            m.d.comb += [client.ready.eq(free), taken.eq(client.valid & free)]
            transfers.append(taken)
            owner = Value.cast(Cat(owner, taken))
        return Belt(transfers=Cat(*transfers), owner=owner, payload=payload)
