# SPDX-License-Identifier: Apache-2.0
"""Result writer with the real activation memory: all modes, credits, read and write stalls, table,
reset.
"""

from __future__ import annotations

import random
from collections import deque

import pytest

from hw_tests.epilogues import written_word
from hw_tests.marks import slow
from hw_tests.rtl_gen.writer.writer_bench import (
    HALVED,
    IN_PLACE,
    LOOKING_UP,
    OPERAND,
    WriterBench,
    WriterModel,
    join,
    small_config,
)
from hw_tests.seeds import salted
from meadow.spec.config import AcceleratorConfig
from meadow.spec.epilogue import ResultMode
from meadow.spec.numerics import TABLE_ENTRIES
from rtl_gen.writer.writer import ResultWriter


def _random_elements(rng: random.Random, count: int) -> int:
    extreme = [-32768, 32767, -1, 0, 1, 32766]
    values = [
        rng.choice(extreme) if rng.random() < 0.5 else rng.randrange(-32768, 32768)
        for _ in range(count)
    ]
    return join(values)


def _elements_of_any_size(rng: random.Random, count: int) -> int:
    """Half of the time elements of a few bits, of which one may be an outlier: words of these have
    every exponent.
    """
    if rng.random() < 0.5:
        return _random_elements(rng, count)
    size = 1 << rng.choice([0, 4, 7, rng.randrange(16)])
    values = [rng.randrange(-size, size) for _ in range(count)]
    if rng.random() < 0.5:
        values[rng.randrange(count)] = rng.choice([-1, 1]) * (1 << rng.randrange(15))
    return join(values)


def _random_words(
    rng: random.Random, config: AcceleratorConfig, count: int, modes: tuple[ResultMode, ...]
) -> list[dict]:
    """Words of `modes` in any order, at most T halves waiting.

    ADD16 words that may be in flight together have addresses of their own among 0..199; others
    share 200..203 at times, where only the order decides. Operand words are at 204..255.
    """
    addresses = list(range(200))
    rng.shuffle(addresses)
    words: list[dict] = []
    waiting: deque[dict] = deque()
    number = 0
    while len(words) < count or waiting:
        word = {
            "operand": rng.randrange(204, 256),
            "data": _elements_of_any_size(rng, config.width // 2),
            "command": rng.getrandbits(24),
        }
        # Half of the words need small shifts: the others are 0 or saturate.
        word["shift"] = rng.choice([rng.randrange(1, 32), rng.randrange(14, 26)])
        full = len(words) >= count or len(waiting) == config.lanes
        if waiting and (full or rng.random() < 0.4):
            word |= waiting.popleft() | {"half": 1}
        else:
            mode = rng.choice(modes)
            word |= {"mode": mode, "half": 0, "mask": (1 << config.word_beats) - 1}
            if mode in IN_PLACE or rng.random() < 0.7:
                word["address"] = addresses[number % 200]
                number += 1
            else:
                word["address"] = rng.randrange(200, 204)
            if mode in HALVED:
                kept = ("address", "mode", "mask", "shift")
                waiting.append({name: word[name] for name in kept})
            else:
                word["half"] = rng.randrange(2)
                word["mask"] = rng.getrandbits(config.word_beats) | (rng.random() < 0.7)
        words.append(word)
    return words


def _check(
    config: AcceleratorConfig,
    rng: random.Random,
    words: list[dict],
    **stalls: float,
) -> list[int]:
    """Run on random memory and a random table; the memory must be the model's, and accesses name
    their commands.
    """
    content = [
        _random_elements(rng, config.width // 2)
        if rng.random() < 0.5
        else rng.getrandbits(8 * config.width)
        for _ in range(config.activation_words)
    ]
    # An activation: small for small inputs, so that words of look-ups have every exponent too.
    table = [(number - 1024) * 32 + rng.randrange(32) for number in range(TABLE_ENTRIES)]
    uses_table = any(word.get("mode") in LOOKING_UP for word in words)
    bench = WriterBench(config, rng, content)
    retired = bench.run(words, table=table if uses_table else None, **stalls)
    model = WriterModel(config.width, content, table)
    accesses: dict[str, list[tuple[int, int]]] = {"read": [], "write": []}
    for word in words:
        model.apply(word)
        mode, command = word.get("mode"), word.get("command", 0)
        if mode in (*IN_PLACE, *OPERAND):
            accesses["read"].append((command, word["operand" if mode in OPERAND else "address"]))
        if mode is not None and (mode not in HALVED or word["half"]):
            accesses["write"].append((command, word["address"]))
    assert bench.accesses == accesses
    assert bench.content == model.content
    assert bench.exponents == model.exponents
    assert model.content != content
    return retired


def _drawn(seed: int) -> random.Random:
    print(f"seed {seed}")
    return random.Random(salted(seed))


_STALLS = pytest.mark.parametrize(
    ("send", "operand", "write_stall"),
    [(1.0, 0.0, 0.0), (0.4, 0.5, 0.3), slow(1.0, 0.8, 0.0), slow(1.0, 0.0, 0.8)],
)


@pytest.mark.parametrize(("width", "lanes"), [(16, 4), slow(32, 1)])
@_STALLS
def test_writes_and_saturating_additions(
    width: int, lanes: int, send: float, operand: float, write_stall: float
) -> None:
    rng, config = _drawn(7 + width), small_config(width, lanes)
    words = _random_words(rng, config, 250, (ResultMode.WRITE, ResultMode.ADD16))
    _check(config, rng, words, send=send, operand=operand, write_stall=write_stall)


@pytest.mark.parametrize(("width", "lanes"), [(16, 2), slow(32, 4), slow(64, 1)])
@_STALLS
def test_all_modes_mixed(
    width: int, lanes: int, send: float, operand: float, write_stall: float
) -> None:
    rng, config = _drawn(90 + width), small_config(width, lanes)
    words = _random_words(rng, config, 100 + 2400 // width, tuple(ResultMode))
    retired = _check(config, rng, words, send=send, operand=operand, write_stall=write_stall)
    if send == 1.0 and operand == write_stall == 0.0:
        # Once the table is written, there is no gap any more, whatever follows what.
        assert retired[50:] == list(range(retired[50], retired[50] + len(words) - 50))


@pytest.mark.parametrize("width", [16, 64])
def test_table_words_wait_for_the_table(width: int) -> None:
    """The first ones arrive while the last word of the table is being written."""
    rng = random.Random(salted(8))
    config = small_config(width, 2)
    words = _random_words(rng, config, 8, LOOKING_UP)
    retired = _check(config, rng, words, send=1.0, operand=0.0)
    assert retired == list(range(retired[0], retired[0] + len(words)))
    assert retired[0] > ResultWriter.LATENCY


def test_groups_of_halves_as_the_array_sends_them() -> None:
    """Half 0 of T lanes, then half 1 of the T lanes; the queue of halves is full between them."""
    rng = random.Random(salted(5))
    config = small_config(16, 4)
    words = []
    for group in range(20):
        mode = HALVED[group % len(HALVED)]
        for half in range(2):
            for lane in range(4):
                place = {"address": 4 * group + lane, "operand": 204 + group, "half": half}
                word = {"mode": mode, "mask": 1, "shift": 17}
                words.append(word | place | {"data": _elements_of_any_size(rng, 8)})
    _check(config, rng, words, send=1.0, operand=0.3, write_stall=0.3)


def test_a_reset_forgets_waiting_halves() -> None:
    rng = random.Random(salted(6))
    config = small_config(16, 2)
    word = {"mode": ResultMode.GATE, "mask": 1, "shift": 12, "address": 3, "operand": 9}
    words = [
        word | {"half": half, "data": _random_elements(rng, 8)} if half >= 0 else {"reset": 1}
        for half in (0, 0, -1, 0, 1)
    ]
    _check(config, rng, words, send=1.0, operand=0.0)


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("mode", list(ResultMode))
def test_one_word_per_cycle_and_latency(mode: ResultMode, lanes: int) -> None:
    config = small_config(16, lanes)
    bench = WriterBench(config, random.Random(salted(3)))
    words = [
        {"address": index // 2 if mode in HALVED else index, "half": index % 2, "mask": 1}
        | {"mode": mode, "shift": 1}
        for index in range(100)
    ]
    retired = bench.run(words, send=1.0, operand=0.0)
    assert retired[0] == ResultWriter.LATENCY
    assert retired == list(range(retired[0], retired[0] + 100))


@pytest.mark.parametrize(("width", "lanes"), [(16, 4), slow(64, 2)])
@pytest.mark.parametrize(("send", "write_stall"), [(1.0, 0.0), (1.0, 0.7), (0.5, 0.0)])
def test_gates_that_replace_the_activation_in_place(
    width: int, lanes: int, send: float, write_stall: float
) -> None:
    """Word j of a row is written where its operand words stood, or those that were read before."""
    rng, config = _drawn(50 + width), small_config(width, lanes)
    half_words = 16
    words = []
    for group in range(0, 3 * lanes, lanes):
        for number in range(half_words):
            for lane in range(lanes):
                row = half_words * (group + lane)
                words.append(
                    {
                        "mode": ResultMode.GATE,
                        "address": row + number // 2,
                        "operand": row + number,
                        "half": number % 2,
                        "mask": (1 << config.word_beats) - 1,
                        "shift": 15,
                        "data": _elements_of_any_size(rng, width // 2),
                    }
                )
    _check(config, rng, words, send=send, operand=0.0, write_stall=write_stall)


@pytest.mark.parametrize("lanes", [1, 2])
def test_words_at_the_ends_of_every_exponent(lanes: int) -> None:
    """Zeros, values that just fit each exponent or just do not, one outlier in either half, words
    that saturate.
    """
    config = small_config(16, lanes)
    bench = WriterBench(config, random.Random(salted(4)))
    words, expected = [], []
    rows: list[list[int]] = [[0] * 16, [-1] * 16, [-32768] * 16, [32767] * 16, [16320] * 16]
    for exponent in range(9):
        for value in (127 << exponent, (128 << exponent) - 1, 128 << exponent, -(128 << exponent)):
            for place in (0, 7, 8, 15):
                row = [1, -1] * 8
                row[place] = max(-32768, min(32767, value))
                rows.append(row)
    for address, row in enumerate(rows):
        for half in range(2):
            data = join(row[8 * half : 8 * half + 8])
            word = {"mode": ResultMode.WORD, "mask": 1, "half": half, "address": address}
            words.append(word | {"data": data})
        values, exponent = written_word(row)
        expected.append((exponent, join(values, 8)))
    bench.run(words, send=1.0, operand=0.0)
    assert [(bench.exponents[a], bench.content[a]) for a in range(len(rows))] == expected
    assert {exponent for exponent, _ in expected} == set(range(8))
    ends = [(0, [0] * 16), (0, [-1] * 16), (7, [-127] * 16), (7, [127] * 16), (7, [127] * 16)]
    assert expected[:5] == [(exponent, join(values, 8)) for exponent, values in ends]
