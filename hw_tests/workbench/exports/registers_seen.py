# SPDX-License-Identifier: Apache-2.0
"""A register map as the SystemRDL compiler has it, in the words of ours."""

from __future__ import annotations

from systemrdl.node import RegNode, RootNode

__all__ = ["Seen", "seen_registers"]

FieldSeen = tuple[int, str, str, int, bool]
Seen = dict[int, tuple[str, dict[str, FieldSeen]]]
"""Offset -> name, and of each field by name: mask, software access, hardware access, reset value,
whether it is a pulse.
"""


def seen_registers(root: RootNode) -> Seen:
    """All registers, those of tables one by one, with the names that they have in our map."""
    found: Seen = {}
    for node in root.top.descendants(unroll=True):
        if not isinstance(node, RegNode):
            continue
        path = node.get_path().partition(".")[2]
        fields = {}
        for field in node.fields():
            mask = (1 << field.high + 1) - (1 << field.low)
            access = (field.get_property("sw").name, field.get_property("hw").name)
            reset = (field.get_property("reset") or 0) << field.low
            fields[field.inst_name] = (mask, *access, reset, field.get_property("singlepulse"))
        name = path.replace("[", "").replace("]", "").replace(".", "_")
        found[node.absolute_address] = (name, fields)
    return found
