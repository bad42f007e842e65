# SPDX-License-Identifier: Apache-2.0
"""Reads a compiled device tree (Devicetree Specification 0.4, chapter 5)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

__all__ = ["Node", "read_tree"]

_MAGIC = 0xD00DFEED
_BEGIN, _END, _PROPERTY, _NOP, _LAST = 1, 2, 3, 4, 9


@dataclass
class Node:
    """A node: properties as bytes, nodes below it by name."""

    properties: dict[str, bytes] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A property that is one string."""
        value = self.properties[name]
        assert value.endswith(b"\0") and value.count(b"\0") == 1
        return value[:-1].decode()

    def cells(self, name: str) -> list[int]:
        """A property of 32-bit cells."""
        value = self.properties[name]
        return list(struct.unpack(f">{len(value) // 4}I", value))


def _string(blob: bytes, start: int) -> str:
    return blob[start : blob.index(b"\0", start)].decode()


def read_tree(blob: bytes) -> Node:
    """The root of a flattened tree."""
    magic, _, structs, strings = struct.unpack_from(">4I", blob)
    assert magic == _MAGIC
    root = Node()
    path = [root]
    place = structs
    while True:
        (token,) = struct.unpack_from(">I", blob, place)
        place += 4
        if token == _BEGIN:
            name = _string(blob, place)
            place += (len(name) + 4) & ~3
            if name:
                path.append(path[-1].nodes.setdefault(name, Node()))
            else:
                path.append(root)
        elif token == _END:
            path.pop()
        elif token == _PROPERTY:
            length, offset = struct.unpack_from(">2I", blob, place)
            place += 8
            path[-1].properties[_string(blob, strings + offset)] = blob[place : place + length]
            place += (length + 3) & ~3
        elif token == _LAST:
            return root
        else:
            assert token == _NOP
