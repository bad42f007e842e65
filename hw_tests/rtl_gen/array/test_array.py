# SPDX-License-Identifier: Apache-2.0
"""The array with its real lanes: MATMUL and ATTEND against scalar models, with and without stalls."""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from collections.abc import Iterator

import numpy as np
import pytest
from amaranth.sim import Simulator

from meadow.spec.commands import Command, MatmulOutput, Opcode, RowSet
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.numerics import (
    RESCALE_LIMIT,
    block_maximum,
    output_scale,
    probability,
    requantise,
    rounding_shift,
    saturate,
)
from meadow.spec.step import Sequence, Step
from rtl_gen.array.array import Array
from rtl_gen.vector.bundles import ResultMode, writer_depth

_TINY = dataclasses.replace(CONFIGURATIONS["tiny"], groups=5, max_head_dim=32)
_WIDE = dataclasses.replace(
    CONFIGURATIONS["tiny"], width=32, lanes=4, groups=3, ports=2, max_head_dim=64
)
_SHORT_STEPS = dataclasses.replace(_TINY, rows=4)
_CAUSES = ("tile", "operand", "drain", "softmax")
_SEED = 20


@dataclasses.dataclass(kw_only=True)
class _Scenario:
    """What the array is given, and what must come of it. tiles: (header or None, int8 [W, W]) in order."""

    name: str
    memory: np.ndarray
    expected: np.ndarray
    tiles: list[tuple]
    commands: list[Command]
    step: Step
    stalls: bool
    logits: list[tuple[int, ...]] = dataclasses.field(default_factory=list)
    words: list[dict[str, int]] = dataclasses.field(default_factory=list)
    busy: list[int] = dataclasses.field(default_factory=list)

    def check(self) -> None:
        wrong = np.argwhere(self.memory != self.expected)
        assert not len(wrong), f"{self.name}: {len(wrong)} bytes differ, first {wrong[0]}"
        fields = ("row", "channel", "elements", "restart")
        seen = [tuple(word[f] for f in fields) for word in self.words]
        assert not self.logits or sorted(seen) == sorted(self.logits), self.name

    @property
    def span(self) -> int:
        """Cycles from the first to the last issue."""
        return len(self.busy) - self.busy[::-1].index(1) - self.busy.index(1)


def _simulate(config: AcceleratorConfig, scenarios: list[_Scenario]) -> None:
    """Run scenarios one after the other in one simulation, so that each starts in the state the last one left."""
    bench = _Bench(config)
    simulator = Simulator(bench.dut)
    simulator.add_clock(1e-8)

    async def testbench(ctx) -> None:
        for scenario in scenarios:
            await bench.run(ctx, scenario)
            scenario.check()

    simulator.add_testbench(testbench)
    simulator.run()


class _Bench:
    """Everything around the array: activation memory, decoders and writer, each with random stalls if wanted.

    A header is written before its tile, as decoders do.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.dut = Array(config=config)
        self.rng = random.Random(_SEED)
        self.slots = {"tile": [0] * config.ports, "parameter": [0] * config.ports}

    def _chance(self, share: float) -> bool:
        return not self.scenario.stalls or self.rng.random() < share

    def _port(self, port: int) -> Iterator[tuple]:
        """What port's decoder does, one item per cycle."""
        config = self.config
        rows = slice(port * config.port_rows, (port + 1) * config.port_rows)
        tile_slot, parameter_slot = self.slots["tile"], self.slots["parameter"]
        step = config.decoder_elements
        for header, tile in self.scenario.tiles:
            if header is not None:
                yield ("need_parameter",)
                mine = [values[rows] for values in header]
                for beat in range(config.port_rows // 2):
                    packed = 0
                    for i in range(2):
                        bias, multiplier, shift = (int(v[2 * beat + i]) for v in mine)
                        packed |= (bias & 0xFFFFFFFF | multiplier << 32 | shift << 48) << 64 * i
                    done = beat == config.port_rows // 2 - 1
                    yield ("parameter", dict(slot=parameter_slot[port], beat=beat, data=packed), done)
                parameter_slot[port] ^= 1
            yield ("need_tile",)
            for row, values in enumerate(tile[rows]):
                for column in range(0, config.width, step):
                    data = int.from_bytes(values[column : column + step].tobytes(), "little")
                    done = row == config.port_rows - 1 and column + step >= config.width
                    mask = (1 << step // 16) - 1
                    part = dict(slot=tile_slot[port], row=row, column_beats=column // 16)
                    part |= dict(mask=mask, data=data)
                    yield ("tile", part, done)
            tile_slot[port] ^= 1

    async def run(self, ctx, scenario: _Scenario, limit: int = 20000) -> None:
        self.scenario = scenario
        dut, config, step, commands = self.dut, self.config, scenario.step, scenario.commands
        ports = range(config.ports)
        ctx.set(dut.step.rows, step.rows)
        ctx.set(dut.step.sequences, len(step.sequences))
        ctx.set(dut.step.head_all, step.head_all)
        for index, entry in enumerate(step.sequences):
            for name in ("position", "tokens", "first_row"):
                ctx.set(getattr(dut.step.entries[index], name), getattr(entry, name))
        pending = deque(int.from_bytes(command.encode(), "little") for command in commands)
        decoders = [self._port(port) for port in ports]
        items = [next(decoder, None) for decoder in decoders]
        tile_credits, parameter_credits = [2] * config.ports, [2] * config.ports
        answers: deque[int] = deque()
        unretired = 0
        for _ in range(limit):
            ctx.set(dut.i_command.valid, bool(pending))
            if pending:
                ctx.set(dut.i_command.payload, pending[0])
            for port in ports:
                self._decode(ctx, port, items, decoders, tile_credits, parameter_credits)
            answer = bool(answers) and self._chance(0.5)
            ctx.set(dut.i_read.valid, answer)
            if answer:
                word = scenario.memory[answers.popleft()]
                ctx.set(dut.i_read.data, int.from_bytes(word.tobytes(), "little"))
            ready = self._chance(0.6)
            ctx.set(dut.o_read.ready, ready)
            retire = unretired > 0 and self._chance(0.15)
            ctx.set(dut.i_result_retired, retire)
            unretired -= retire

            if ctx.get(dut.o_read.valid) and ready:
                answers.append(ctx.get(dut.o_read.payload))
            if ctx.get(dut.o_tile_free):
                tile_credits = [credit + 1 for credit in tile_credits]
            if ctx.get(dut.o_parameter_free):
                parameter_credits = [credit + 1 for credit in parameter_credits]
            if ctx.get(dut.o_result.valid):
                self._write(ctx)
                unretired += 1
                assert unretired <= writer_depth(config)
            scenario.busy.append(ctx.get(dut.busy_cycle))
            causes = [ctx.get(getattr(dut, f"stall_{name}")) for name in _CAUSES]
            assert sum(causes) + scenario.busy[-1] <= 1
            taken = pending and ctx.get(dut.i_command.ready)
            await ctx.tick()
            if taken:
                pending.popleft()
            if not pending and not ctx.get(dut.busy):
                break
        else:
            raise AssertionError(f"{scenario.name}: the array is still busy")
        assert not any(items), "tiles are left"
        assert tile_credits == parameter_credits == [2] * config.ports
        assert not answers and not unretired

    def _decode(self, ctx, port, items, decoders, tile_credits, parameter_credits) -> None:
        dut, item = self.dut, items[port]
        if item and item[0].startswith("need"):
            credits = tile_credits if item[0] == "need_tile" else parameter_credits
            if credits[port]:
                credits[port] -= 1
                item = items[port] = next(decoders[port])
        acts = bool(item) and not item[0].startswith("need") and self._chance(0.5)
        for kind in ("tile", "parameter"):
            mine = acts and item[0] == kind
            ctx.set(getattr(dut, f"i_{kind}_{port}").valid, mine)
            ctx.set(getattr(dut, f"i_{kind}_done_{port}"), mine and item[2])
            if mine:
                ctx.set(getattr(dut, f"i_{kind}_{port}").payload, item[1])
        if acts:
            items[port] = next(decoders[port], None)

    def _write(self, ctx) -> None:
        payload = self.dut.o_result.payload
        names = "address mask mode row channel elements restart data".split()
        word = {name: ctx.get(getattr(payload, name)) for name in names}
        self.scenario.words.append(word)
        data = np.frombuffer(word["data"].to_bytes(self.config.width, "little"), np.uint8)
        memory = self.scenario.memory
        old = memory[word["address"]]
        if word["mode"] == ResultMode.ADD16:
            total = old.view("<i2").astype(int) + data.view("<i2")
            data = np.clip(total, -(1 << 15), (1 << 15) - 1).astype("<i2").view(np.uint8)
        mask = np.repeat([word["mask"] >> i & 1 for i in range(self.config.word_beats)], 16)
        memory[word["address"]] = np.where(mask, data, old)


def _matmul(
    config: AcceleratorConfig,
    output: MatmulOutput,
    rows: int,
    slices: int,
    tiles: int,
    *,
    seed: int,
    stalls: bool,
    repeats: int = 1,
) -> _Scenario:
    """`repeats` MATMULs into different places."""
    rng = np.random.default_rng(seed)
    width = config.width
    memory = rng.integers(0, 256, (1024, width), np.uint8)
    words = slices * (1 if output in (MatmulOutput.INT8, MatmulOutput.RELU8) else 2)
    stride, out_stride = tiles + 1, words + 1
    channels = slices * width - 3
    feed, commands = [], []
    expected = memory.copy()
    want: list[tuple[int, ...]] = []
    for repeat in range(repeats):
        source, destination = 3, 200 + repeat * out_stride * rows
        weights = rng.integers(-127, 128, (slices * width, tiles * width))
        bias = rng.integers(-(10**5), 10**5, slices * width)
        multiplier = rng.integers(1, 1 << 16, slices * width)
        shift = rng.integers(20, 26, slices * width)
        for n in range(slices):
            part = slice(n * width, (n + 1) * width)
            for k in range(tiles):
                tile = weights[part, k * width : (k + 1) * width].astype(np.int8)
                feed.append(((bias[part], multiplier[part], shift[part]) if k == 0 else None, tile))
        x = np.stack([memory[source + r * stride :][:tiles].reshape(-1) for r in range(rows)])
        total = x.view(np.int8).astype(np.int64) @ weights.T + bias
        bits = 8 if words == slices else 16
        for row, values in enumerate(total.tolist()):
            result = [
                requantise(v, int(a), int(s), bits)
                for v, a, s in zip(values, multiplier, shift, strict=True)
            ]
            target = expected[destination + row * out_stride :][:words]
            if output == MatmulOutput.RELU8:
                result = [max(0, v) for v in result]
            if output == MatmulOutput.RESIDUAL16:
                old = target.reshape(-1).view("<i2")
                result = [saturate(int(a) + b, 16) for a, b in zip(old, result, strict=True)]
            kind = np.int8 if bits == 8 else np.dtype("<i2")
            target[:] = np.array(result).astype(kind).view(np.uint8).reshape(words, width)
            if output == MatmulOutput.LOGITS16:
                half = width // 2
                for i in range(words):
                    elements = max(0, min(half, channels - i * half))
                    want.append((row, 70 + i * half, elements, int(i == 0)))
        values = dict(
            source=source,
            source_stride=stride,
            tiles=tiles,
            slices=slices,
            destination=destination,
            destination_stride=out_stride,
            output=output,
            row_set=RowSet.CHUNK,
            first_channel=70,
            channels=channels,
            restart=1,
        )
        commands.append(Command(Opcode.MATMUL, values))
    return _Scenario(
        name=f"{output.name} {rows} rows, {slices} slices, {tiles} tiles, seed {seed}, stalls {stalls}",
        memory=memory,
        expected=expected,
        tiles=feed,
        commands=commands,
        step=Step((Sequence(0, 0, rows),)),
        stalls=stalls,
        logits=want,
    )


def _head_rows(config: AcceleratorConfig) -> _Scenario:
    """A MATMUL over one row for each of three sequences."""
    rng = np.random.default_rng(_SEED)
    width = config.width
    memory = rng.integers(0, 256, (64, width), np.uint8)
    weights = rng.integers(-127, 128, (width, width), np.int8)
    header = (np.zeros(width, int), np.full(width, 1 << 10), np.full(width, 16))
    total = memory[:3].view(np.int8).astype(int) @ weights.T.astype(int)
    result = [[requantise(v, 1 << 10, 16, 8) for v in row] for row in total.tolist()]
    expected = memory.copy()
    expected[32:38:2] = np.array(result, np.int8).view(np.uint8)
    values = dict(source_stride=1, tiles=1, slices=1, destination=32, destination_stride=2)
    return _Scenario(
        name="head rows",
        memory=memory,
        expected=expected,
        tiles=[(header, weights)],
        commands=[Command(Opcode.MATMUL, {**values, "row_set": RowSet.HEAD})],
        step=Step((Sequence(0, 4, 2), Sequence(0, 0, 3, 2), Sequence(0, 9, 1, 5))),
        stalls=False,
    )


def test_matmul_tiny() -> None:
    scenarios = [_head_rows(_TINY), _matmul(_TINY, MatmulOutput.INT8, 1, 4, 1, seed=3, stalls=True)]
    for stalls in (False, True):
        for seed, output in enumerate(MatmulOutput):
            scenarios.append(_matmul(_TINY, output, 5, 3, 2, seed=seed, stalls=stalls, repeats=2))
    _simulate(_TINY, scenarios)


@pytest.mark.parametrize("config", [_WIDE, _SHORT_STEPS], ids=["wide", "short_steps"])
def test_matmul_shapes(config: AcceleratorConfig) -> None:
    shapes = [(9, 3, 2), (1, 2, 3), (5, 3, 1)]
    _simulate(
        config,
        [
            _matmul(config, MatmulOutput.RESIDUAL16, *shape, seed=12, stalls=stalls)
            for stalls in (False, True)
            for shape in shapes
        ],
    )


@pytest.mark.parametrize(
    ("config", "scenarios"),
    [
        (_TINY, [(10, 4, 4, MatmulOutput.INT8), (8, 4, 3, MatmulOutput.RESIDUAL16)]),
        (_WIDE, [(12, 3, 3, MatmulOutput.RESIDUAL16)]),
    ],
    ids=["tiny", "wide"],
)
def test_issue_has_no_gaps(config: AcceleratorConfig, scenarios: list[tuple]) -> None:
    for rows, slices, tiles, output in scenarios:
        scenario = _matmul(config, output, rows, slices, tiles, seed=13, stalls=False, repeats=2)
        _simulate(config, [scenario])
        issued = sum(scenario.busy)
        assert issued == 2 * slices * tiles * -(-rows // config.lanes) * config.step_cycles
        assert issued >= 0.99 * scenario.span, f"{scenario.name}: {issued} of {scenario.span}"


def _attention_row(
    query: np.ndarray, keys: np.ndarray, values: np.ndarray, seen: int, config, scales
) -> list[int]:
    """Online softmax over the first `seen` keys in blocks of W, as numerics defines its parts."""
    maximum, total, output = None, 0, [0] * values.shape[1]
    for start in range(0, seen, config.width):
        block = slice(start, min(start + config.width, seen))
        scores = [
            requantise(v, scales["score_multiplier"], scales["score_shift"], 16)
            for v in (keys[block].astype(int) @ query).tolist()
        ]
        new = block_maximum(max(scores))
        new = new if maximum is None else max(new, maximum)
        delta = 0 if maximum is None else min(new - maximum, RESCALE_LIMIT)
        maximum = new
        power = [probability(score, new, config.probability_bits) for score in scores]
        total = rounding_shift(total, delta) + sum(power)
        mixed = (np.array(power) @ values[block].astype(int)).tolist()
        output = [rounding_shift(o, delta) + v for o, v in zip(output, mixed, strict=True)]
    multiplier, shift = output_scale(total, scales["output_multiplier"], scales["output_shift"])
    return [requantise(o, multiplier, shift, 8) for o in output]


_SCALES = dict(score_multiplier=3000, score_shift=15, output_multiplier=50000, output_shift=10)


def _attend(
    config: AcceleratorConfig,
    head_dim: int,
    spans: list[tuple[int, int]],
    *,
    causal: bool,
    seed: int,
    stalls: bool,
    column_beats: int = 0,
    heads: int = 1,
) -> _Scenario:
    """spans: (position, tokens) of each sequence. Every byte outside of the head must stay as it was."""
    rng = np.random.default_rng(seed)
    width = config.width
    blocks = max(1, head_dim // width)
    segment = min(width, head_dim)
    rows = sum(tokens for _, tokens in spans)
    query, stride = 5, blocks + 1
    memory = rng.integers(0, 256, (400, width), np.uint8)
    expected = memory.copy()
    columns = slice(16 * column_beats, 16 * column_beats + segment)
    feed, commands, sequences = [], [], []
    for head in range(heads):
        base = query + head * stride * rows
        first = 0
        for position, tokens in spans:
            if head == 0:
                sequences.append(Sequence(0, position, tokens, first))
            length = position + tokens
            keys = rng.integers(-127, 128, (length, head_dim), np.int8)
            values = rng.integers(-127, 128, (length, head_dim), np.int8)
            for row in range(first, first + tokens):
                words = expected[base + row * stride :][:blocks]
                x = words[:, columns].reshape(-1).view(np.int8).astype(int)
                seen = position + row - first + 1 if causal else length
                result = _attention_row(x, keys, values, seen, config, _SCALES)
                words[:, columns] = np.array(result, np.int8).view(np.uint8).reshape(blocks, -1)
            count = -(-length // width)
            order = [("k", 0)]
            for b in range(1, count):
                order += [("k", b), ("v", b - 1)]
            for kind, b in [*order, ("v", count - 1)]:
                for h in range(blocks):
                    tile = rng.integers(-127, 128, (width, width), np.int8)
                    part = (keys if kind == "k" else values)[b * width : (b + 1) * width]
                    tile[: len(part), columns] = part[:, h * segment : (h + 1) * segment]
                    feed.append((None, tile))
            first += tokens
        fields = dict(
            query=base,
            query_stride=stride,
            blocks=blocks,
            segment_beats=segment // 16,
            column_beats=column_beats,
            causal=int(causal),
            **_SCALES,
        )
        commands.append(Command(Opcode.ATTEND, fields))
    return _Scenario(
        name=f"head dim {head_dim}, {spans}, causal {causal}, seed {seed}, stalls {stalls}",
        memory=memory,
        expected=expected,
        tiles=feed,
        commands=commands,
        step=Step(tuple(sequences)),
        stalls=stalls,
    )


@pytest.mark.parametrize(
    ("config", "cases"),
    [
        (_TINY, [(16, 0, [(0, 9)]), (16, 0, [(30, 9)]), (32, 0, [(13, 5), (37, 4)])]),
        (_WIDE, [(16, 1, [(40, 3), (0, 7)]), (32, 0, [(70, 1), (3, 1), (31, 1)])]),
        (_WIDE, [(64, 0, [(33, 6)])]),
        (_SHORT_STEPS, [(16, 0, [(30, 2)]), (32, 0, [(5, 9)])]),
    ],
    ids=["tiny", "wide", "wide_two_blocks", "short_steps"],
)
def test_attend(config: AcceleratorConfig, cases: list[tuple]) -> None:
    _simulate(
        config,
        [
            _attend(
                config, head_dim, spans, causal=causal, seed=21, stalls=stalls, column_beats=column
            )
            for head_dim, column, spans in cases
            for causal in (True, False)
            for stalls in (False, True)
        ],
    )


def test_attention_keeps_the_array_busy() -> None:
    many = _attend(_TINY, 16, [(64, 10)], causal=False, seed=23, stalls=False)
    heads = _attend(_TINY, 16, [(20, 10)], causal=True, seed=22, stalls=False, heads=3)
    mixed = _matmul(_TINY, MatmulOutput.INT8, 10, 2, 2, seed=24, stalls=True)
    _simulate(_TINY, [many, heads, mixed])
    assert sum(many.busy) >= 0.9 * many.span, (sum(many.busy), many.span)
