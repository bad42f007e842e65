# SPDX-License-Identifier: Apache-2.0
"""Payloads of the streams of a unit alone, field by field, from the manifest beside the Verilog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cocotb_bench.design import design_manifest

__all__ = ["Payload", "payload_of"]


@dataclass(frozen=True)
class Payload:
    """fields: name -> lowest bit, number of bits, whether it is signed."""

    fields: dict[str, tuple[int, int, bool]]

    def pack(self, **values: int) -> int:
        """The bits of a payload; a field that is not named is 0. ValueError for a value that does
        not fit, KeyError for a field that there is not.
        """
        bits = 0
        for name, value in values.items():
            first, width, signed = self.fields[name]
            low = -(1 << (width - 1)) if signed else 0
            if not low <= value < low + (1 << width):
                raise ValueError(f"{name} must be of {width} bits, not {value}")
            bits |= (value & ((1 << width) - 1)) << first
        return bits

    def unpack(self, bits: int) -> dict[str, int]:
        """The fields of a payload."""
        found = {}
        for name, (first, width, signed) in self.fields.items():
            value = bits >> first & ((1 << width) - 1)
            found[name] = value - (value >> (width - 1) << width) if signed else value
        return found


def payload_of(interface: str) -> Payload:
    """That of an interface of the simulated unit; ValueError if it has none."""
    manifest: dict[str, Any] = design_manifest()
    for entry in manifest.get("interfaces", ()):
        if entry["name"] == interface and entry.get("fields"):
            return Payload({f["name"]: (f["bit"], f["bits"], f["signed"]) for f in entry["fields"]})
    raise ValueError(f"the manifest has no interface {interface} with fields")
