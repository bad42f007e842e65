# SPDX-License-Identifier: Apache-2.0
"""AXI4 and AXI4-Lite signatures, and their flat port names at the boundary of the chip."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from meadow.spec.config import BEAT_BYTES
from rtl_gen.interfaces.members import members

__all__ = [
    "LITE_ADDRESS_BITS",
    "Axi4ReadSignature",
    "Axi4Signature",
    "Axi4WriteSignature",
    "LiteSignature",
    "axi_channels",
    "axi_ports",
]

LITE_ADDRESS_BITS = 12
"""Byte address of the register file: one 4 KiB page."""


class Axi4ReadSignature(wiring.Signature):
    """The channels ar* and r* of an Axi4Signature."""

    def __init__(self, *, address_bits: int) -> None:
        self.address_bits = address_bits
        super().__init__(
            {
                **_address_channel("ar", address_bits),
                "rid": In(1),
                "rdata": In(8 * BEAT_BYTES),
                "rresp": In(2),
                "rlast": In(1),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Axi4ReadSignature) and other.address_bits == self.address_bits


class Axi4WriteSignature(wiring.Signature):
    """The channels aw*, w* and b* of an Axi4Signature."""

    def __init__(self, *, address_bits: int) -> None:
        self.address_bits = address_bits
        super().__init__(
            {
                **_address_channel("aw", address_bits),
                "wdata": Out(8 * BEAT_BYTES),
                "wstrb": Out(BEAT_BYTES),
                "wlast": Out(1),
                "wvalid": Out(1),
                "wready": In(1),
                "bid": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Axi4WriteSignature) and other.address_bits == self.address_bits


class Axi4Signature(wiring.Signature):
    """AXI4 master port of 128 bits, seen from the master (ARM IHI 0022).

    Parameter: address_bits, width of a byte address. Identifiers are one bit and always 0, so all
    responses come in order. Members carry their lower-case AXI names: aw*, w*, b*, ar*, r*.
    """

    def __init__(self, *, address_bits: int) -> None:
        self.address_bits = address_bits
        write = Axi4WriteSignature(address_bits=address_bits)
        read = Axi4ReadSignature(address_bits=address_bits)
        super().__init__({**write.members, **read.members})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Axi4Signature) and other.address_bits == self.address_bits


def _address_channel(prefix: str, address_bits: int) -> dict[str, Member]:
    channel = {
        "id": Out(1),
        "addr": Out(address_bits),
        "len": Out(8),
        "size": Out(3),
        "burst": Out(2),
        "lock": Out(1),
        "cache": Out(4),
        "prot": Out(3),
        "qos": Out(4),
        "valid": Out(1),
        "ready": In(1),
    }
    return {f"{prefix}{name}": member for name, member in channel.items()}


class LiteSignature(wiring.Signature):
    """AXI4-Lite port of 32 bits, seen from the master; a register file has it as In."""

    def __init__(self) -> None:
        super().__init__(
            {
                "awaddr": Out(LITE_ADDRESS_BITS),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(32),
                "wstrb": Out(4),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(LITE_ADDRESS_BITS),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(32),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LiteSignature)


def axi_ports(prefix: str, interface: Any) -> dict[str, Value]:
    """Signals of an interface of either signature by flat name, `<prefix>_awaddr` and so on.

    `verilog.convert(ports={name: (signal, None) for name, signal in ...})` gives the names that
    Vivado groups into an AXI interface.
    """
    return {f"{prefix}_{name}": port for name, port in members(interface).items()}


def axi_channels(interface: Any, signature: wiring.Signature) -> Any:
    """The channels of an AXI4 interface that `signature` has, as an interface of their own: its
    read or its write half.
    """
    ports = members(interface)
    return SimpleNamespace(signature=signature, **{name: ports[name] for name in signature.members})
