# SPDX-License-Identifier: Apache-2.0
"""The packer of the decoder's tests and the golden unpacker: two readings of meadow.spec.streams
that must agree.
"""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from hw_tests.rtl_gen.decoder.stream_packer import (
    draw_dictionary,
    draw_header,
    draw_rice,
    draw_table,
    pack_dictionary,
    pack_raw,
    pack_rice,
    reseal,
)
from hw_tests.seeds import salted
from meadow.golden.streams.decode import StreamError, unpack_stream
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig

CONFIGS = ["tiny", "small", "zcu102-paper"]


def agree(
    stream: bytes, config: AcceleratorConfig, slices: list[bytes], headers: list[bytes], tiles: int
) -> None:
    weights, found = unpack_stream(stream, len(slices), tiles, config)
    shape = (len(slices), tiles, config.port_rows, config.width)
    expected = np.frombuffer(b"".join(slices), np.int8).reshape(shape).transpose(0, 2, 1, 3)
    assert np.array_equal(weights, expected.reshape(len(slices), config.port_rows, -1))
    for index, header in enumerate(headers):
        for row in range(config.port_rows):
            record = header[8 * row : 8 * row + 8]
            assert found.bias[index, row] == int.from_bytes(record[:4], "little", signed=True)
            assert found.multiplier[index, row] == int.from_bytes(record[4:6], "little")
            assert found.shift[index, row] == record[6]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("codec", ["raw", "chunk1", "chunk2", "fixed1", "fixed2", "rice"])
def test_the_golden_unpacker_agrees(codec: str, seed: int, config: str) -> None:
    random, chosen = Random(salted(f"{codec} {seed}")), CONFIGURATIONS[config]
    count, tiles = random.randrange(1, 4), random.randrange(1, 4)
    size = tiles * chosen.port_rows * chosen.width
    headers = [draw_header(random, chosen.port_rows) for _ in range(count)]
    if codec == "raw":
        slices = [random.randbytes(size) for _ in range(count)]
        stream = pack_raw(slices, headers)
    elif codec == "rice":
        widths = random.choices([*range(7), 8], k=4)
        slices = [draw_rice(random, size, widths) for _ in range(count)]
        stream = pack_rice(slices, headers, widths=widths, random=random)
    else:
        chunk, fixed = int(codec[-1]), codec.startswith("fixed")
        widths = [random.randrange(5 + 4 * chunk) for _ in range(4)]
        largest = min(1 << max(widths), 256**chunk, chosen.dictionary_entries)
        table = draw_table(random, random.randrange(1, largest + 1), chunk)
        slices = [
            draw_dictionary(random, size, table, widths[:1] if fixed else widths)
            for _ in range(count)
        ]
        stream = pack_dictionary(
            slices, headers, table=table, widths=widths, fixed=fixed, random=random
        )
    agree(stream, chosen, slices, headers, tiles)
    for _ in range(20):
        spoiled = bytearray(stream)
        spoiled[random.randrange(len(spoiled))] ^= 1 << random.randrange(8)
        with pytest.raises(StreamError):
            unpack_stream(bytes(spoiled), count, tiles, chosen)


def test_a_small_rice_stream_by_hand() -> None:
    """One group of 64 zeros but for its first weight, k = 0: every codeword is a one, the first has
    three zeros before.
    """
    config = CONFIGURATIONS["tiny"]
    group = bytes([0xFE]) + bytes(255)  # -2 is z = 3
    header = draw_header(Random(salted(0)), config.port_rows)
    stream = pack_rice([group], [header], widths=[0, 8, 8, 8])
    primer, payload = stream[16 : 16 + 128], stream[16 + 128 + 128 :]
    ones = (1 << 32) - 1
    first = ones << 3 & ones
    assert primer[:16] == first.to_bytes(4, "little") + (7).to_bytes(4, "little") + bytes(8)
    assert primer[16:] == (ones.to_bytes(4, "little") + bytes(12)) * 7
    # The words of the primer last: the first four groups have crossings only behind the last one.
    assert payload == bytes(16)
    agree(stream, config, [group], [header], 1)


def test_the_order_of_a_rice_payload_by_hand() -> None:
    """20 groups of zeros in mode 1, k = 0: a run is 8 ones, so every fourth group finishes a word
    of each sub-stream.
    """
    config = CONFIGURATIONS["tiny"]
    weights, header = bytes(20 * 64), draw_header(Random(salted(0)), config.port_rows)
    stream = pack_rice([weights], [header], widths=[8, 0, 1, 2])
    modes = bytes.fromhex("55555555 55000000")  # of 16 groups, and in the first block of 4 more
    refills = bytes([255]) * 32 + bytes(
        3 * 32
    )  # of groups 4, 8, 12, 16: the fifth words, then words beyond
    assert stream[16 : 16 + 128] == bytes([255]) * 128
    assert stream[16 + 128 + 128 :] == modes + refills + bytes(8)
    agree(stream, config, [weights], [header], 5)


def test_a_field_of_the_preamble_can_be_replaced() -> None:
    config = CONFIGURATIONS["tiny"]
    random = Random(salted(1))
    headers, slices = [draw_header(random, 16)], [random.randbytes(256)]
    stream = pack_raw(slices, headers)
    assert reseal(stream) == stream
    with pytest.raises(StreamError, match="codec"):
        unpack_stream(reseal(stream, codec=3), 1, 1, config)
