# SPDX-License-Identifier: Apache-2.0
"""Micro-operations that travel from lane to lane, one register per hop, and what comes back.

All bundles are delayed by exactly one cycle per lane, so a timing relation that holds at lane 0
holds in every lane: lane t is the machine of lane 0, t cycles later. Nothing stalls inside the
lanes; the array control only issues what tile buffer, operands, accumulators and the writer can
take.
"""

from __future__ import annotations

from amaranth.hdl import signed
from amaranth.lib import data, enum

from meadow.spec.config import AcceleratorConfig

__all__ = [
    "DrainMode",
    "Target",
    "WordKind",
    "accumulator_depth",
    "drain_layout",
    "fetch_layout",
    "finish_layout",
    "issue_layout",
    "lane_range",
    "output_depth",
    "result_layout",
    "word_layout",
]


class Target(enum.Enum, shape=2):
    """Accumulator memory of a micro-operation."""

    BUFFER0 = 0  # 32-bit, matmul and scores, one of two
    BUFFER1 = 1
    OUTPUT = 2  # 36-bit, P.V


class DrainMode(enum.Enum, shape=3):
    """What the drain makes of accumulators (value = acc + bias unless said otherwise)."""

    INT8 = 0  # sat8(rq(value))
    RELU8 = 1  # max(0, INT8)
    INT16 = 2  # sat16(rq(value))
    # z = sat16(rq(acc, parameter 0)); online softmax; writes probabilities and rescale shift, no
    # result
    SCORE = 3
    OUTPUT = 4  # sat8(rq(acc, m, s)), m and s of this lane from the latest finish
    SCORE16 = 5  # z as SCORE, -2^15 if masked, at 16-bit elements like INT16; no softmax


class WordKind(enum.Enum, shape=2):
    """What an operand word holds."""

    INT8 = 0  # W operand elements
    # 16-bit elements, unsigned, low probability_bits + 1 bits taken: operand elements 0 .. W/2-1
    LOW = 1
    HIGH = 2  # the same for operand elements W/2 .. W-1
    # {u32 total}: becomes the softmax total of `group` (for a finish), the operand is untouched
    TOTAL = 3


def accumulator_depth(config: AcceleratorConfig) -> int:
    """Words of R accumulators in BUFFER0 and BUFFER1: G * W/R; address = group * W/R + row
    index.
    """
    return config.groups * config.step_cycles


def output_depth(config: AcceleratorConfig) -> int:
    """Words of R accumulators in OUTPUT: address = (block * G + group) * W/R + column index / R.

    block counts head-dim blocks of W (at least one).
    """
    return max(1, config.max_head_dim // config.width) * config.groups * config.step_cycles


def _address_bits(config: AcceleratorConfig) -> int:
    return max(accumulator_depth(config), output_depth(config)).bit_length()


def lane_range(config: AcceleratorConfig) -> range:
    """0..T, for counts of lanes."""
    return range(config.lanes + 1)


def issue_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One cycle of array work: acc[target][address][r] = (first ? 0 : rescaled acc) + dot(x,
    rows[r]), r < R.

    swap: the shadow operand becomes the active one, used from this very cycle on. rescale: the
    stored accumulator is shifted right (rounded) by the lane's rescale shift of (bank, group)
    first. swap is honoured without valid too.
    """
    return data.StructLayout(
        {
            "valid": 1,
            "swap": 1,
            "target": Target,
            "address": _address_bits(config),
            "first": 1,
            "rescale": 1,
            "bank": 1,
            "group": range(max(2, config.groups)),
            "rows": data.ArrayLayout(data.ArrayLayout(signed(8), config.width), config.rows),
        }
    )


def word_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word for the shadow register (or the total) of lane `lane`; element 0 in the low byte."""
    return data.StructLayout(
        {
            "valid": 1,
            "lane": range(max(2, config.lanes)),
            "kind": WordKind,
            "group": range(max(2, config.groups)),
            "data": 8 * config.width,
        }
    )


def fetch_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Copy R probabilities of (bank, group), elements index*R .. index*R+R-1, into every lane's
    shadow register.
    """
    return data.StructLayout(
        {
            "valid": 1,
            "bank": 1,
            "group": range(max(2, config.groups)),
            "index": range(config.step_cycles),
        }
    )


def drain_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Read R accumulators of every lane and requantise them.

    position: index of these R channels in the word or block (channel = position*R + r).
    INT8/RELU8/OUTPUT put them at bytes position*R.. of the result word; INT16 at 16-bit elements
    (position*R mod W/2)... emit: this completes a word, which leaves as a result. Lanes outside
    lanes_low <= t < lanes_high emit nothing.

    SCORE: positions 0..W/R-1 of a group come in W/R consecutive cycles, `start` on the first. Lane
    t sees limit + (causal ? t div heads : 0) keys of this block, clamped to 0..W, and 0 if outside
    lanes_low..lanes_high; keys from there on are masked (SCORE16 alike). heads >= 1 is the same on
    all cycles of a group. `reset` (on every cycle of a row's first block) forgets the row's softmax
    state. Probabilities go to (bank, group), with the rescale shift. OUTPUT: `start` on the first
    cycle of a group takes over m and s.
    """
    parameter = data.StructLayout({"bias": signed(32), "multiplier": 16, "shift": 6})
    return data.StructLayout(
        {
            "valid": 1,
            "mode": DrainMode,
            "target": Target,
            "address": _address_bits(config),
            "parameters": data.ArrayLayout(parameter, config.rows),
            "position": range(config.step_cycles),
            "start": 1,
            "emit": 1,
            "lanes_low": lane_range(config),
            "lanes_high": lane_range(config),
            "group": range(max(2, config.groups)),
            "bank": 1,
            "limit": signed(24),
            "causal": 1,
            "heads": lane_range(config),
            "reset": 1,
        }
    )


def finish_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Compute m and s of the attention output of `group` from every lane's running sum
    (numerics.output_scale).
    """
    return data.StructLayout(
        {
            "valid": 1,
            "group": range(max(2, config.groups)),
            "multiplier": 16,
            "shift": signed(7),
        }
    )


def result_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A W-byte word of lane `lane`."""
    return data.StructLayout(
        {"valid": 1, "lane": range(max(2, config.lanes)), "data": 8 * config.width}
    )
