# SPDX-License-Identifier: Apache-2.0
"""Faults on their way from the ports and decoders through the sequencer to the registers."""

from __future__ import annotations

from amaranth.lib import data

from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.command import INDEX_BITS

__all__ = ["error_layout", "fault_layout", "port_fault_layout"]

_CODE_BITS = 4
_COUNT_BITS = 32
"""Bits of a count of commands, of which an index has only the low ones."""


def fault_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What is wrong with an access of one port.

    code: ErrorCode.
    address: byte address of the access, 0 if it is none.
    command: index of the command that caused it.
    of_commands: it is a read of commands, from `command` on, which may lie behind the end of the
        program.
    """
    return data.StructLayout(
        {
            "code": _CODE_BITS,
            "address": config.address_bits,
            "command": INDEX_BITS,
            "of_commands": 1,
        }
    )


def port_fault_layout(config: AcceleratorConfig) -> data.StructLayout:
    """The fault of one of the ports or of its decoder.

    fault: what is wrong.
    port: number of the AXI port.
    """
    return data.StructLayout({"fault": fault_layout(config), "port": _ports(config)})


def error_layout(config: AcceleratorConfig) -> data.StructLayout:
    """The error that ends a program.

    code: ErrorCode.
    command: place in the program of the command that caused it.
    address, port: of the access that caused it, else 0.
    """
    return data.StructLayout(
        {
            "code": _CODE_BITS,
            "command": _COUNT_BITS,
            "address": config.address_bits,
            "port": _ports(config),
        }
    )


def _ports(config: AcceleratorConfig) -> range:
    return range(max(2, config.ports))
