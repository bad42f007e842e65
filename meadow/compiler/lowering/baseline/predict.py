# SPDX-License-Identifier: Apache-2.0
"""Predicted cycles of a layer: what `auto` and the baseline's choice of chunks go by. Modelled, not
simulated.
"""

from __future__ import annotations

from dataclasses import dataclass

from meadow.compiler.lowering.baseline.gemm_plan import GemmPlan, gemm_plans
from meadow.compiler.lowering.layout import ActivationPlan, CompileError
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.model import ModelDescription

__all__ = [
    "Rate",
    "best_dataflow",
    "best_gemm_plan",
    "gemm_attention_cycles",
    "layer_cycles",
    "linear_cycles",
    "tphs_attention_cycles",
]

_HEAD_LATENCY = 200
"""Cycles from the first key tile of a head to a full array, and from its last value tile to its
output.
"""
_EXPONENTS = 16
"""Exponentials per cycle of the separate softmax, at most."""


@dataclass(frozen=True)
class Rate:
    """DRAM bytes per cycle, all ports together, and stored bytes per weight."""

    bytes_per_cycle: float
    weight_bytes: float = 1.0

    @classmethod
    def of(cls, config: AcceleratorConfig, limit: float | None, weight_bytes: float = 1.0) -> Rate:
        """The ports' rate, or the limit below it."""
        peak = float(BEAT_BYTES * config.ports)
        return cls(peak if limit is None else min(limit, peak), weight_bytes)


def _tiles(channels: int, width: int) -> int:
    return -(-channels // width)


def linear_cycles(
    description: ModelDescription, config: AcceleratorConfig, tokens: int, rate: Rate
) -> float:
    """Cycles of a layer's matrices for a chunk: the larger of array and weight stream, matrix by
    matrix.
    """
    d, w = description, config.width
    attention, key_value = d.heads * d.head_dim, d.kv_heads * d.head_dim
    shapes = [(attention, d.width), (key_value, d.width), (key_value, d.width)]
    shapes += [(d.width, attention), (d.width, d.hidden)]
    shapes += [(d.hidden, d.width)] * (2 if d.gated else 1)
    steps = -(-tokens // config.lanes) * config.tile_cycles
    cycles = 0.0
    for outputs, inputs in shapes:
        tiles = _tiles(outputs, w) * _tiles(inputs, w)
        fetch = outputs * inputs * rate.weight_bytes / rate.bytes_per_cycle
        cycles += max(tiles * steps, fetch)
    return cycles


def _attention_steps(config: AcceleratorConfig, position: int, tokens: int, *, causal: bool) -> int:
    """Pairs of token group and key block that see each other."""
    w, t = config.width, config.lanes
    ends = [position + min(start + t, tokens) for start in range(0, tokens, t)]
    keys = position + tokens
    return sum(_tiles(end if causal else keys, w) for end in ends)


def tphs_attention_cycles(
    description: ModelDescription, config: AcceleratorConfig, position: int, tokens: int, rate: Rate
) -> float:
    """Cycles of TPHS attention: two products per pair of group and block, or its K/V stream."""
    d = description
    steps = _attention_steps(config, position, tokens, causal=d.causal)
    head_steps = 2 * _tiles(d.head_dim, config.width) * steps * config.tile_cycles
    key_values = 2 * (position + tokens) * d.head_dim * d.kv_heads
    # Beyond what runs together the query heads of a KV head come one by one; few rows share the
    # lanes.
    shared = max(1, min(d.group_heads, config.lanes // max(1, min(tokens, config.lanes))))
    array = d.heads * (head_steps / shared + _HEAD_LATENCY)
    return max(array, key_values / rate.bytes_per_cycle)


def gemm_attention_cycles(
    description: ModelDescription, config: AcceleratorConfig, plan: GemmPlan, rate: Rate
) -> float:
    """Cycles of the baseline's attention: Q, scores and probabilities out and in, and the separate
    softmax; overlapped with the array or not."""
    d = description
    blocks = _tiles(d.head_dim, config.width)
    array = traffic = softmax = 0.0
    half = config.width // 2
    word_cycles = half // min(half, _EXPONENTS)
    for unit in plan.units:
        steps = _attention_steps(config, plan.position + unit.first, unit.rows, causal=plan.causal)
        array += 2 * blocks * steps * config.tile_cycles + _HEAD_LATENCY
        keys = plan.position + unit.first + unit.rows
        traffic += 2 * keys * d.head_dim + unit.rows * d.head_dim
        words = sum(part.rows * part.words for part in unit.parts)
        traffic += 4 * words * config.width
        softmax += words * word_cycles
    traffic += plan.tokens * d.head_dim  # Q out, once for a head
    moved = traffic / rate.bytes_per_cycle
    # Softmax runs beside the transfers, part by part.
    moved = max(moved, softmax)
    cycles = max(array, moved) if len(plan.bases) > 1 else array + moved
    return d.heads * cycles


def layer_cycles(
    description: ModelDescription,
    config: AcceleratorConfig,
    position: int,
    tokens: int,
    rate: Rate,
    gemm: GemmPlan | None = None,
) -> float:
    """Cycles of a layer for one chunk, with TPHS attention or, given a plan, the baseline's."""
    linear = linear_cycles(description, config, tokens, rate)
    if gemm is None:
        return linear + tphs_attention_cycles(description, config, position, tokens, rate)
    return linear + gemm_attention_cycles(description, config, gemm, rate)


def best_gemm_plan(
    description: ModelDescription,
    config: AcceleratorConfig,
    memory: ActivationPlan,
    step: tuple[int, int],
    rate: Rate,
) -> GemmPlan:
    """The baseline's plan with the fewest predicted cycles for a step (position, tokens).

    Scores lie where the norm output was, which nobody needs between projections and MLP, and behind
    everything else. CompileError if nothing fits there.
    """
    position, tokens = step
    extents = (
        (memory.norm.base, memory.tokens * memory.norm.stride),
        (memory.words, config.activation_words - memory.words),
    )
    plans = gemm_plans(config, position, tokens, causal=description.causal, extents=extents)
    if not plans:
        raise CompileError(
            f"activation_words must leave room for scores of {config.lanes} rows of "
            f"{position + tokens} keys with a chunk of {tokens} tokens, not "
            f"{config.activation_words}"
        )
    return min(plans, key=lambda plan: gemm_attention_cycles(description, config, plan, rate))


def best_dataflow(
    description: ModelDescription,
    config: AcceleratorConfig,
    memory: ActivationPlan,
    step: tuple[int, int],
    rate: Rate,
) -> str:
    """ "tphs" or "gemm", whichever is predicted to take fewer cycles for a layer; equal cycles are
    TPHS.
    """
    try:
        plan = best_gemm_plan(description, config, memory, step, rate)
    except CompileError:
        return "tphs"
    tphs = layer_cycles(description, config, *step, rate)
    return "gemm" if layer_cycles(description, config, *step, rate, plan) < tphs else "tphs"
