# SPDX-License-Identifier: Apache-2.0
"""The picture of the order of tiles in attention, with the softmax of each key block beneath."""

from __future__ import annotations

from workbench.pictures.svg import Arrow, Cell, Part, Words, svg

__all__ = ["attention_order_picture", "tile_order"]

_LEFT, _TOP, _SLOT = 130, 144, 104
_HEIGHT, _GAP = 34, 50


def tile_order(blocks: int) -> list[tuple[str, int]]:
    """Tiles of an ATTEND over `blocks` key blocks, each ("K" or "V", block).

    `AttendSchedule` and `PortFetch` walk them in this order: a key tile is next unless its block
    is more than one ahead of the values, so K0 K1 V0 K2 V1 ... V_last.
    """
    order, key, value = [], 0, 0
    while value < blocks:
        if key < blocks and key <= value + 1:
            order.append(("K", key))
            key += 1
        else:
            order.append(("V", value))
            value += 1
    return order


def attention_order_picture(blocks: int = 4) -> str:
    """SVG text for one head and one sequence of `blocks` key blocks; bars are not to scale."""
    order = tile_order(blocks)
    column = {tile: index for index, tile in enumerate(order)}
    softmax, output = _TOP + _HEIGHT + _GAP, _TOP - _HEIGHT - 26
    parts: list[Part] = [
        Words(20, 28, f"Order of tiles in attention, {blocks} key blocks", "title", "start"),
        Words(
            20,
            48,
            "the softmax of a block runs while the array works on the next tile",
            "note",
            "start",
        ),
        Words(20, _TOP + 22, "array", "title", "start"),
        Words(20, softmax + 22, "softmax", "title", "start"),
        Words(20, output + 22, "accumulators", "title", "start"),
    ]
    for (tile, block), index in column.items():
        x = _LEFT + index * _SLOT
        parts.append(
            Cell(x, _TOP, _SLOT - 6, _HEIGHT, f"{tile}{block}", "blue" if tile == "K" else "green")
        )
        if tile == "K":
            parts += _softmax(x, block, softmax, _LEFT + column["V", block] * _SLOT)
        else:
            text = "P·V" if block == 0 else "rescale, + P·V"
            parts += [
                Cell(x, output, _SLOT - 6, _HEIGHT, text, "green"),
                Arrow([(x + 49, _TOP), (x + 49, output + _HEIGHT)]),
            ]
    end = _LEFT + len(order) * _SLOT
    axis = softmax + _HEIGHT + 22
    parts += [
        Cell(end, output, _SLOT - 6, _HEIGHT, "divide, store", "violet"),
        Arrow([(_LEFT, axis), (end + _SLOT, axis)]),
        Words(_LEFT, axis + 18, "time, not to scale", "note", "start"),
    ]
    title = (
        f"Tiles come in the order {' '.join(f'{tile}{block}' for tile, block in order)}. "
        "The softmax of each key block begins when its scores are there, and its probabilities "
        "are used by the value tile of the same block."
    )
    return svg(end + _SLOT + 24, axis + 38, title, parts)


def _softmax(x: float, block: int, y: float, value: float) -> list[Part]:
    """The softmax beneath a key tile at x; its probabilities go to the value tile at `value`."""
    below, leave, start, end = _TOP + _HEIGHT, x + _SLOT - 20, x + _SLOT + 48, value + 14
    parts: list[Part] = [
        Cell(x + _SLOT, y, _SLOT - 34, _HEIGHT, f"softmax {block}", "amber"),
        Arrow([(leave, below), (leave, y + _HEIGHT / 2), (x + _SLOT, y + _HEIGHT / 2)]),
        Arrow([(start, y), (start, below + 18), (end, below + 18), (end, below)]),
    ]
    if block == 0:
        parts.append(Words(leave - 6, below + 34, "scores", "note", "end"))
    if block == 1:
        parts.append(Words(start + 6, below + 34, "probabilities", "note", "start"))
    return parts
