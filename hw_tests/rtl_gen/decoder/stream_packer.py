# SPDX-License-Identifier: Apache-2.0
"""Weight streams packed bit by bit from the text of meadow.spec.streams, and random weights for
every codec.

Nothing of meadow.compiler is used: what packs here and what packs there have only the text in
common. `slices` are the weights of one port, slice by slice, in the order of the payload; `headers`
the header of each, padded to beats. `random` of a packer chooses among the modes that can hold a
group; without it the shortest is taken.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from random import Random

from meadow.spec.layout import pack_fields, unpack_fields
from meadow.spec.streams import HEADER_FIELDS, LITERAL, PREAMBLE_FIELDS, Codec

__all__ = [
    "draw_dictionary",
    "draw_header",
    "draw_rice",
    "draw_table",
    "pack_dictionary",
    "pack_raw",
    "pack_rice",
    "padded",
    "reseal",
]

_BEAT = 16


def padded(content: bytes, unit: int = _BEAT) -> bytes:
    """`content` and zeros up to whole units."""
    return content + bytes(-len(content) % unit)


def reseal(stream: bytes, **fields: int) -> bytes:
    """The stream with these fields of its preamble, and the checksum that is right for it."""
    old = unpack_fields(PREAMBLE_FIELDS, int.from_bytes(stream[:_BEAT], "little"))
    values = {**old, **fields, "checksum": 0}
    blank = pack_fields(PREAMBLE_FIELDS, values, "preamble").to_bytes(_BEAT, "little")
    values["checksum"] = zlib.crc32(blank + stream[_BEAT:])
    return pack_fields(PREAMBLE_FIELDS, values, "preamble").to_bytes(_BEAT, "little") + stream[16:]


def pack_raw(slices: Sequence[bytes], headers: Sequence[bytes]) -> bytes:
    """A raw stream."""
    parts = [header + padded(slice_) for header, slice_ in zip(headers, slices, strict=True)]
    return _stream(b"".join(parts), slices, codec=Codec.RAW)


def pack_dictionary(
    slices: Sequence[bytes],
    headers: Sequence[bytes],
    *,
    table: Sequence[bytes],
    widths: Sequence[int],
    fixed: bool = False,
    random: Random | None = None,
) -> bytes:
    """A dictionary stream; every chunk of the weights is in `table`, and its index fits one of
    `widths`.
    """
    chunk, ids = len(table[0]), {entry: index for index, entry in enumerate(table)}
    parts = [padded(b"".join(table))]
    for header, weights in zip(headers, slices, strict=True):
        indices = [ids[weights[at : at + chunk]] for at in range(0, len(weights), chunk)]
        packets = [indices[at : at + 8] for at in range(0, len(indices), 8)]
        modes = [
            0 if fixed else _choose([max(packet) < 1 << width for width in widths], widths, random)
            for packet in packets
        ]
        words = [] if fixed else _mode_words(modes)
        payload = b"".join(words[:1])
        for number, (packet, mode) in enumerate(zip(packets, modes, strict=True)):
            if number % 16 == 0 and number // 16 + 1 < len(words):
                payload += words[number // 16 + 1]
            payload += _bits([(index, widths[mode]) for index in packet])
        parts += [header, padded(payload)]
    return _stream(
        b"".join(parts),
        slices,
        codec=Codec.DICTIONARY,
        chunk=chunk,
        fixed=int(fixed),
        entries=len(table),
        **{f"width{mode}": width for mode, width in enumerate(widths)},
    )


def pack_rice(
    slices: Sequence[bytes],
    headers: Sequence[bytes],
    *,
    widths: Sequence[int],
    random: Random | None = None,
) -> bytes:
    """A rice stream; every group fits one of `widths`."""
    strings: list[list[tuple[int, int]]] = [[] for _ in range(8)]
    lengths = [0] * 8
    ends: list[list[int]] = []
    modes_of_slice: list[list[int]] = []
    for weights in slices:
        modes = []
        for group in _groups(weights):
            mode = _choose([_fits(group, width) for width in widths], widths, random)
            modes.append(mode)
            for number in range(8):
                for quotient in _quotients(group, number, widths[mode]):
                    strings[number].append((1 << quotient, quotient + 1))
                    lengths[number] += quotient + 1
            ends.append(list(lengths))
        modes_of_slice.append(modes)
    words = [padded(_bits(string), 4) for string in strings]

    def word(number: int, index: int) -> bytes:
        return padded(words[number][4 * index : 4 * index + 4], 4) or bytes(4)

    parts = [word(number, index) for number in range(8) for index in range(4)]
    following, refill, before, group_number = [4] * 8, [False] * 8, [0] * 8, 0
    for header, weights, modes in zip(headers, slices, modes_of_slice, strict=True):
        mode_words = _mode_words(modes)
        payload = mode_words[0]
        for place, (group, mode) in enumerate(zip(_groups(weights), modes, strict=True)):
            after = ends[group_number]
            for half in (0, 1):
                for number in range(4 * half, 4 * half + 4):
                    if refill[number]:
                        payload += word(number, following[number])
                        following[number] += 1
                    refill[number] = after[number] // 32 > before[number] // 32
                if half == 0 and place % 16 == 0 and place // 16 + 1 < len(mode_words):
                    payload += mode_words[place // 16 + 1]
                width = widths[mode]
                block = group[32 * half : 32 * half + 32]
                payload += _bits([(value % (1 << width), width) for value in block])
            before, group_number = after, group_number + 1
        parts += [header, padded(payload)]
    return _stream(
        b"".join(parts),
        slices,
        codec=Codec.RICE,
        **{f"width{mode}": width for mode, width in enumerate(widths)},
    )


def draw_header(random: Random, rows: int) -> bytes:
    """A header of `rows` channels with values that a requantisation takes."""
    records = b""
    for _ in range(rows):
        values = {
            "bias": random.randrange(-(1 << 31), 1 << 31),
            "multiplier": random.randrange(1 << 16),
            "shift": random.randrange(1, 48),
        }
        records += pack_fields(HEADER_FIELDS, values, "header").to_bytes(8, "little")
    return padded(records)


def draw_table(random: Random, entries: int, chunk: int) -> list[bytes]:
    """Different chunks."""
    return [
        value.to_bytes(chunk, "little") for value in random.sample(range(256**chunk), k=entries)
    ]


def draw_dictionary(
    random: Random, count: int, table: Sequence[bytes], widths: Sequence[int]
) -> bytes:
    """Weights of whole packets; the indices of each fit a random one of `widths`."""
    weights = b""
    for _ in range(count // (8 * len(table[0]))):
        limit = min(len(table), 1 << random.choice(widths))
        indices = [random.choice([0, limit - 1, random.randrange(limit)]) for _ in range(8)]
        weights += b"".join(table[index] for index in indices)
    return weights


def draw_rice(random: Random, count: int, widths: Sequence[int]) -> bytes:
    """Weights of whole groups; the runs of each fit a random one of `widths`, often with exactly 32
    bits.
    """
    weights = bytearray()
    for _ in range(count // 64):
        width = random.choice(widths)
        busy = random.choice([0, 0.3, 1])  # chance that a run is as long as it can be
        for _ in range(8):
            zeros = 24 if random.random() < busy else random.randrange(25)
            quotients = [0] * 8
            for _ in range(zeros):
                place = random.randrange(8)
                if (quotients[place] + 1) << width < 256:
                    quotients[place] += 1
            for quotient in quotients:
                number = (quotient << width) + random.randrange(1 << width)
                signed = number // 2 if number % 2 == 0 else -(number + 1) // 2
                weights += signed.to_bytes(1, "little", signed=True)
    return bytes(weights)


def _stream(body: bytes, slices: Sequence[bytes], **fields: int) -> bytes:
    return reseal(bytes(_BEAT) + body, weights=sum(map(len, slices)), **fields)


def _bits(values: Sequence[tuple[int, int]]) -> bytes:
    """(value, bits) one behind the other, least significant bits first."""
    string, length = 0, 0
    for value, bits in values:
        string |= value << length
        length += bits
    return string.to_bytes((length + 7) // 8, "little")


def _mode_words(modes: Sequence[int]) -> list[bytes]:
    """Words of 16 modes; those of groups that are not there are 0."""
    return [
        padded(_bits([(mode, 2) for mode in modes[start : start + 16]]), 4)
        for start in range(0, len(modes), 16)
    ]


def _choose(fitting: Sequence[bool], widths: Sequence[int], random: Random | None) -> int:
    modes = [mode for mode, fits in enumerate(fitting) if fits]
    return random.choice(modes) if random else min(modes, key=lambda mode: widths[mode])


def _groups(weights: bytes) -> list[list[int]]:
    """The numbers z of every 64 weights."""
    signed = [weight - 256 if weight > 127 else weight for weight in weights]
    numbers = [2 * weight if weight >= 0 else -2 * weight - 1 for weight in signed]
    return [numbers[start : start + 64] for start in range(0, len(numbers), 64)]


def _quotients(group: Sequence[int], number: int, width: int) -> list[int]:
    """Quotients of the weights of one sub-stream; none in a literal group."""
    run = group[8 * number : 8 * number + 8]
    return [] if width == LITERAL else [value >> width for value in run]


def _fits(group: Sequence[int], width: int) -> bool:
    runs = (_quotients(group, number, width) for number in range(8))
    return all(sum(quotient + 1 for quotient in run) <= 32 for run in runs)
