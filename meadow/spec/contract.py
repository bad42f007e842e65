# SPDX-License-Identifier: Apache-2.0
"""The contract hash: one number over everything that Verilog, image file, driver and overlay must
agree on.
"""

from __future__ import annotations

import hashlib
import json

from meadow.spec.commands import FIELDS, command_fields
from meadow.spec.config import AcceleratorConfig
from meadow.spec.layout import BitField
from meadow.spec.numerics import vector_constants
from meadow.spec.registers import register_map
from meadow.spec.streams import HEADER_FIELDS, PACKET_IDS, PREAMBLE_FIELDS, Codec

__all__ = ["CONTRACT_VERSION", "contract_hash", "contract_text", "reset_values"]

CONTRACT_VERSION = 5
"""Raised when behaviour changes that no table below shows."""


def _fields(fields: tuple[BitField, ...]) -> list[list[object]]:
    return [[field.name, field.bits, field.signed] for field in fields]


def contract_text(config: AcceleratorConfig) -> str:
    """Canonical JSON of the configuration, numerics, commands, streams and registers."""
    return json.dumps(
        {
            "version": CONTRACT_VERSION,
            "config": config.to_dict(),
            "numerics": vector_constants(),
            "commands": {code.name: [int(code), _fields(command_fields(code))] for code in FIELDS},
            "streams": {
                "codecs": {codec.name: int(codec) for codec in Codec},
                "preamble": _fields(PREAMBLE_FIELDS),
                "header": _fields(HEADER_FIELDS),
                "packet_ids": PACKET_IDS,
            },
            "registers": [
                [entry.offset, entry.name, entry.access, entry.mask]
                for entry in register_map(config)
            ],
        },
        sort_keys=True,
        separators=(",", ":"),
    )


def contract_hash(config: AcceleratorConfig) -> str:
    """SHA-256 of `contract_text` as 64 hexadecimal digits."""
    return hashlib.sha256(contract_text(config).encode()).hexdigest()


def reset_values(config: AcceleratorConfig) -> dict[str, int]:
    """What every register reads after the pin `rst`, by name, the contract hash included."""
    digest = bytes.fromhex(contract_hash(config))
    words = {
        f"contract_hash{index}": int.from_bytes(digest[4 * index : 4 * index + 4], "little")
        for index in range(8)
    }
    return {
        entry.name: words[entry.name] if entry.reset is None else entry.reset
        for entry in register_map(config)
    }
