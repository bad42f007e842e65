# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of the design in docs/pictures again: `python -m workbench.pictures`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from meadow.atomic_write import replacing
from meadow.spec.config import named_config
from workbench.pictures.attention_order import attention_order_picture
from workbench.pictures.machine import machine_picture
from workbench.pictures.pointers import pointers_picture
from workbench.pictures.wavefront import wavefront_picture

__all__ = ["FOLDER", "PICTURES", "main"]

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
PICTURES: Mapping[str, Callable[[], str]] = {
    "machine.svg": lambda: machine_picture(named_config("zcu102"), "zcu102"),
    "wavefront.svg": lambda: wavefront_picture(named_config("small"), "small"),
    "attention-order.svg": attention_order_picture,
    "pointers.svg": pointers_picture,
}
"""File in FOLDER -> its SVG text."""


def main() -> int:
    """Write all pictures."""
    for name, draw in PICTURES.items():
        with replacing(FOLDER / name, "the picture") as file:
            file.write(draw().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
