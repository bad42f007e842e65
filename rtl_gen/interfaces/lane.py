# SPDX-License-Identifier: Apache-2.0
"""Micro-operations that travel from lane to lane, one register per hop, and what comes back.

All micro-operations are delayed by exactly one cycle per lane, so a timing relation that holds at
lane 0 holds in every lane: lane t is the machine of lane 0, t cycles later. Nothing stalls inside
the lanes; the array control only issues what tile buffer, operands, accumulators and the writer can
take.
"""

from __future__ import annotations

from amaranth.hdl import signed
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import EXPONENT_BITS
from rtl_gen.interfaces.rows import row_sums_layout, rows_layout

__all__ = [
    "PARAMETER",
    "SCALE",
    "DrainMode",
    "LaneControlSignature",
    "LaneSignature",
    "Target",
    "WordKind",
    "accumulation_layout",
    "accumulator_depth",
    "drain_layout",
    "drain_task_layout",
    "fetch_layout",
    "finish_layout",
    "lane_range",
    "output_depth",
    "result_layout",
    "word_layout",
]


class Target(enum.Enum, shape=2):
    """Accumulator memory of a micro-operation."""

    BUFFER0 = 0  # matmul and scores, one of two
    BUFFER1 = 1
    OUTPUT = 2  # P.V


class DrainMode(enum.Enum, shape=3):
    """What the drain makes of accumulators (value = acc + bias unless said otherwise)."""

    INT8 = 0  # sat8(rq(value))
    RELU16 = 1  # max(0, INT16)
    INT16 = 2  # sat16(rq(value))
    # z = sat16(rq(acc, parameter 0)); online softmax; writes probabilities and rescale shift, no
    # result
    SCORE = 3
    OUTPUT = 4  # sat8(rq(acc, m, s)), m and s of this lane from the latest finish
    SCORE16 = 5  # z as SCORE, -2^15 if masked, at 16-bit elements like INT16; no softmax
    OUTPUT16 = 6  # sat16(rq(acc, m, s)), m and s as OUTPUT


class WordKind(enum.Enum, shape=2):
    """What an operand word holds."""

    INT8 = 0  # W operand elements, with the exponent of the word
    # 16-bit elements, probabilities in the low probability_bits: operand elements 0 .. W/2-1
    LOW = 1
    HIGH = 2  # the same for operand elements W/2 .. W-1; both make the exponent 0
    # {u32 total}: becomes the softmax total of `group` (for a finish), the operand is untouched
    TOTAL = 3


def accumulator_depth(config: AcceleratorConfig) -> int:
    """Words of R accumulators in BUFFER0 and BUFFER1: G * W/R; address = group * W/R + row
    index.
    """
    return config.groups * config.tile_cycles


def output_depth(config: AcceleratorConfig) -> int:
    """Words of R accumulators in OUTPUT: address = (block * G + group) * W/R + column index / R.

    block counts head-dim blocks of W (at least one).
    """
    return max(1, config.max_head_dim // config.width) * config.groups * config.tile_cycles


def _address_bits(config: AcceleratorConfig) -> int:
    return max(accumulator_depth(config), output_depth(config)).bit_length()


def lane_range(config: AcceleratorConfig) -> range:
    """0..T, for counts of lanes."""
    return range(config.lanes + 1)


SCALE = data.StructLayout({"multiplier": 16, "shift": signed(7)})
"""Multiplier and shift of a requantisation that a command gives."""

PARAMETER = data.StructLayout({"bias": signed(32), "multiplier": 16, "shift": 6})
"""What the drain needs of a channel."""


def accumulation_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One cycle of array work: acc[target][address][r] = (first ? 0 : rescaled acc) + (dot(x,
    rows[r]) << exponent of x), r < R.

    Fields
    ------
    target, address: the accumulators.
    first: their old value counts as 0.
    rescale: the stored accumulator is shifted right (rounded) by the lane's rescale shift of
        (bank, group) first.
    bank, group: of the probabilities that are the operand; `group` also of scores and of rows.
    """
    return data.StructLayout(
        {
            "target": Target,
            "address": _address_bits(config),
            "first": 1,
            "rescale": 1,
            "bank": 1,
            "group": range(max(2, config.groups)),
        }
    )


def word_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word for the shadow register (or the total) of lane `lane`; element 0 in the low byte.

    `exponent` counts with kind INT8 only.
    """
    return data.StructLayout(
        {
            "lane": range(max(2, config.lanes)),
            "kind": WordKind,
            "group": range(max(2, config.groups)),
            "exponent": EXPONENT_BITS,
            "data": 8 * config.width,
        }
    )


def fetch_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Copy R probabilities of (bank, group), elements index*R .. index*R+R-1, into every lane's
    shadow register, and make its exponent 0. Probabilities fill all W elements before a swap.
    """
    return data.StructLayout(
        {
            "bank": 1,
            "group": range(max(2, config.groups)),
            "index": range(config.tile_cycles),
        }
    )


def drain_task_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What is drained and why: the same from the drain job to every cycle of a pass.

    Fields
    ------
    mode: what is made of the accumulators.
    target: where they are.
    group: token group; SCORE puts probabilities and rescale shift to (bank, group).
    bank: see `group`.
    reset: SCORE, on every cycle of a row's first key block: forget the row's softmax state.
    causal, limit: SCORE and SCORE16: lane t sees limit + (causal ? t div heads : 0) keys of this
        block, clamped to 0..W; keys from there on are masked.
    """
    return data.StructLayout(
        {
            "mode": DrainMode,
            "target": Target,
            "group": range(max(2, config.groups)),
            "bank": 1,
            "reset": 1,
            "causal": 1,
            "limit": signed(24),
        }
    )


def drain_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Read R accumulators of every lane and requantise them.

    Fields
    ------
    task: what is drained and why.
    address: of the accumulators in the target.
    parameters: of these R channels.
    position: index of these R channels in the word or block (channel = position*R + r). INT8 and
        OUTPUT put them at bytes position*R.. of the result word, INT16, RELU16, SCORE16 and
        OUTPUT16 at 16-bit elements (position*R mod W/2)... SCORE: positions 0..W/R-1 of a group
        come in W/R consecutive cycles.
    start: SCORE: position 0. OUTPUT, OUTPUT16: first cycle of a group, which takes over m and s.
    emit: this completes a word, which leaves as a result.
    lanes_low, lanes_high: other lanes than lanes_low <= t < lanes_high emit nothing and see no key.
    heads: lanes of a token, at least 1, the same on all cycles of a group.
    """
    return data.StructLayout(
        {
            "task": drain_task_layout(config),
            "address": _address_bits(config),
            "parameters": data.ArrayLayout(PARAMETER, config.rows),
            "position": range(config.tile_cycles),
            "start": 1,
            "emit": 1,
            "lanes_low": lane_range(config),
            "lanes_high": lane_range(config),
            "heads": lane_range(config),
        }
    )


def finish_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Compute m and s of the attention output of `group` from every lane's running sum and `scale`
    (numerics.output_scale).
    """
    return data.StructLayout({"group": range(max(2, config.groups)), "scale": SCALE})


def result_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A W-byte word of lane `lane`."""
    return data.StructLayout({"lane": range(max(2, config.lanes)), "data": 8 * config.width})


class LaneControlSignature(wiring.Signature):
    """Micro-operations on their way to a lane, seen from who sends them; all streams are always
    ready.

    Members
    -------
    swap: Out, the shadow operand becomes the active one, used from the next cycle on. It counts in
        cycles without an issue too.
    issue: Out stream of accumulation_layout.
    word: Out stream of word_layout.
    fetch: Out stream of fetch_layout.
    drain: Out stream of drain_layout.
    finish: Out stream of finish_layout.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config

        def pushed(layout: data.StructLayout) -> wiring.Member:
            return Out(stream.Signature(layout, always_ready=True))

        super().__init__(
            {
                "swap": Out(1),
                "issue": pushed(accumulation_layout(config)),
                "word": pushed(word_layout(config)),
                "fetch": pushed(fetch_layout(config)),
                "drain": pushed(drain_layout(config)),
                "finish": pushed(finish_layout(config)),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LaneControlSignature) and other.config == self.config


class LaneSignature(wiring.Signature):
    """All that a lane is told, and passes on.

    Members
    -------
    control: Out(LaneControlSignature).
    rows: Out(rows_layout), with `control.issue`.
    row_sums: Out(row_sums_layout), those of the rows `LaneLatency.row_sum` cycles before.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "control": Out(LaneControlSignature(config)),
                "rows": Out(rows_layout(config)),
                "row_sums": Out(row_sums_layout(config)),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LaneSignature) and other.config == self.config
