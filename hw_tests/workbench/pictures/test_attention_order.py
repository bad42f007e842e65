# SPDX-License-Identifier: Apache-2.0
"""The picture of the order of attention tiles: keys are one block ahead of values."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from workbench.pictures.attention_order import attention_order_picture, tile_order

SVG = "{http://www.w3.org/2000/svg}"


def words(text: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(text).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("blocks", "order"),
    [
        (1, "K0 V0"),
        (2, "K0 K1 V0 V1"),
        (4, "K0 K1 V0 K2 V1 K3 V2 V3"),
    ],
)
def test_keys_are_one_block_ahead_of_values(blocks: int, order: str) -> None:
    assert " ".join(f"{tile}{block}" for tile, block in tile_order(blocks)) == order
    tiles = [
        word for word in words(attention_order_picture(blocks)) if re.fullmatch(r"[KV]\d", word)
    ]
    assert " ".join(tiles) == order
