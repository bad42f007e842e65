# SPDX-License-Identifier: Apache-2.0
"""The fault that the sequencer reports to the registers."""

from __future__ import annotations

from amaranth.lib import data

from meadow.spec.config import AcceleratorConfig

__all__ = ["error_layout"]


def error_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A fault: ErrorCode, index of the command that caused it, byte address and AXI port of the
    access.
    """
    return data.StructLayout(
        {
            "valid": 1,
            "code": 4,
            "command": 32,
            "address": config.address_bits,
            "port": range(max(2, config.ports)),
        }
    )
