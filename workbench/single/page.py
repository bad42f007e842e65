# SPDX-License-Identifier: Apache-2.0
"""The page that describes the interface of a unit alone, from its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["HANDSHAKES", "interface_page", "interface_table"]

HANDSHAKES = """\
- `valid/ready`: a payload is taken at the end of a cycle in which both are 1. What is offered stays
  as it is until then; valid never waits for ready.
- `valid`: the payload must be taken at the end of the cycle in which valid is 1.
- `level`: a signal that counts in every cycle.
- `AXI4`: a master of 128 bits (ARM IHI 0022): INCR bursts that stay within 4 KiB, one identifier.\
"""
"""What the handshakes of a manifest mean."""


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return "\n".join((lines[0], "|" + "---|" * len(head), *lines[1:]))


def _fields(fields: list[dict[str, Any]]) -> str:
    rows = []
    for field in fields:
        last = field["bit"] + field["bits"] - 1
        place = f"{last}:{field['bit']}" if field["bits"] > 1 else str(last)
        signed = ", signed" if field["signed"] else ""
        rows.append((place, f"`{field['name']}`", f"{field['meaning']}{signed}"))
    return _table(("bits", "field", "meaning"), rows)


def interface_table(interfaces: Iterable[Mapping[str, Any]]) -> str:
    """The interfaces of a manifest, a line for each."""
    return _table(
        ("interface", "data is", "handshake", "role"),
        (
            (f"`{entry['name']}`", entry["direction"], entry["handshake"], entry["role"])
            for entry in interfaces
        ),
    )


def interface_page(manifest: Mapping[str, Any], diagrams: Mapping[str, str]) -> str:
    """Markdown: interfaces, payloads, commands, ports, and the timing diagrams."""
    interfaces = manifest["interfaces"]
    parts = [
        f"# {manifest['top']}",
        manifest["summary"],
        f"Configuration `{manifest['configuration']}`; Verilog in `{manifest['verilog']}`. All "
        "ports are synchronous to the rising edge of `clk`.",
        "## Interfaces",
        HANDSHAKES,
        interface_table(interfaces),
    ]
    if manifest["limits"]:
        rows = ((f"`{name}`", value) for name, value in manifest["limits"].items())
        parts += ["## Numbers to keep to", _table(("what", "value"), rows)]
    parts.append("## Payloads")
    parts += [
        f"`{entry['name']}`:\n\n{_fields(entry['fields'])}"
        for entry in interfaces
        if entry.get("fields")
    ]
    if manifest["commands"]:
        parts += ["## Commands", "512 bits; those that no field has are of no account."]
    parts += [f"{entry['opcode']}:\n\n{_fields(entry['fields'])}" for entry in manifest["commands"]]
    ports = ((f"`{p['name']}`", p["direction"], p["width"], p["role"]) for p in manifest["ports"])
    parts += ["## Ports", _table(("port", "direction", "bits", "role"), ports), "## Timing"]
    parts.append(
        "Recorded in a simulation of the Verilog of configuration `tiny`; a column is a cycle. "
        "[WaveDrom](https://wavedrom.com) draws them."
    )
    parts += [f"`{name}`:\n\n```wavedrom\n{text}```" for name, text in diagrams.items()]
    return "\n\n".join(parts) + "\n"
