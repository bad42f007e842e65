# SPDX-License-Identifier: Apache-2.0
"""Compiled overlays for tests, and what is in them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hw_tests.boards.flow.flattened_tree import Node, read_tree

__all__ = ["compile_overlay", "needs_dtc", "targets"]

needs_dtc = pytest.mark.skipif(
    shutil.which("dtc") is None,
    reason="there is no dtc: apt-get install device-tree-compiler",
)
"""Of tests that compile overlays."""


def compile_overlay(source: Path) -> tuple[Node, str]:
    """The tree, and what dtc said about it with every warning on; fails if there is none."""
    blob = source.with_suffix(".dtbo")
    done = subprocess.run(
        ["dtc", "-@", "-I", "dts", "-O", "dtb", "-o", str(blob), str(source)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return read_tree(blob.read_bytes()), done.stderr


def targets(tree: Node) -> dict[str, Node]:
    """What the overlay puts into each node of the running tree, by the label of that node."""
    found = {}
    for label, places in tree.nodes["__fixups__"].properties.items():
        for place in places.decode().rstrip("\0").split("\0"):
            path, name, _ = place.split(":")
            if name == "target":
                found[label] = tree.nodes[path.strip("/")].nodes["__overlay__"]
    return found
