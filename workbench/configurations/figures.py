# SPDX-License-Identifier: Apache-2.0
"""What follows from the parameters of a configuration alone: sizes and rates, by arithmetic.
Nothing is synthesised or measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from meadow.spec.config import ACCUMULATOR_BITS, BEAT_BYTES, AcceleratorConfig
from meadow.spec.numerics import TABLE_ENTRIES
from meadow.spec.streams import Codec

__all__ = ["FIGURES", "Figure", "derived"]


@dataclass(frozen=True)
class Figure:
    """meaning: in words, with its formula; of: its value."""

    meaning: str
    of: Callable[[AcceleratorConfig], int]


def _accumulator_bits(config: AcceleratorConfig) -> int:
    """Two buffers of a slice of W channels, and the attention outputs of a head."""
    from rtl_gen.interfaces.lane import accumulator_depth, output_depth

    words = 2 * accumulator_depth(config) + output_depth(config)
    return words * config.rows * ACCUMULATOR_BITS


def _probability_bits(config: AcceleratorConfig) -> int:
    words = 2 * config.groups * config.tile_cycles
    return words * config.rows * config.probability_bits


FIGURES: Mapping[str, Figure] = {
    "macs_per_cycle": Figure(
        "INT8 multiply-accumulates per cycle, width * lanes * rows", lambda c: c.macs
    ),
    "lane_multipliers": Figure(
        "multipliers of the lanes, one for two products: width * lanes * rows / 2",
        lambda c: c.macs // 2,
    ),
    "chunk_tokens": Figure("tokens of the largest chunk, groups * lanes", lambda c: c.chunk_tokens),
    "tile_cycles": Figure(
        "cycles that a tile takes for a token group, width / rows", lambda c: c.tile_cycles
    ),
    "norm_cycles_per_word": Figure(
        "cycles that the norm takes for width / 2 elements", lambda c: c.norm_turns
    ),
    "activation_memory_bytes": Figure(
        "activation memory, activation_words * width", lambda c: c.activation_words * c.width
    ),
    "tile_buffer_bytes": Figure("two tiles, 2 * width**2", lambda c: 2 * c.width**2),
    "activation_table_bytes": Figure(
        f"width / 4 copies of the table of the activation function, {TABLE_ENTRIES} * 2 each",
        lambda c: c.width // 4 * TABLE_ENTRIES * 2,
    ),
    "accumulator_bits_per_lane": Figure(
        f"accumulators of a lane, of {ACCUMULATOR_BITS} bits: two buffers of groups * width, and "
        "groups * max_head_dim of attention",
        _accumulator_bits,
    ),
    "probability_bits_per_lane": Figure(
        "softmax probabilities of a lane, 2 * groups * width * probability_bits", _probability_bits
    ),
    "norm_parameter_bytes": Figure(
        "norm parameters, norm_channels * 4", lambda c: 4 * c.norm_channels
    ),
    "prefetch_bytes": Figure(
        "read data held ahead, ports * prefetch_beats * 16",
        lambda c: c.ports * c.prefetch_beats * BEAT_BYTES,
    ),
    "dictionary_bytes_per_table": Figure(
        "a dictionary, dictionary_entries * 2; a port has several copies, none without the codec",
        lambda c: 2 * c.dictionary_entries if c.has_codec(Codec.DICTIONARY) else 0,
    ),
    "decoded_weights_per_cycle": Figure(
        "weights that the decoders hand on at most, ports * decoder_elements",
        lambda c: c.ports * c.decoder_elements,
    ),
    "dram_bytes_per_cycle": Figure(
        "DRAM bytes per cycle that the ports carry at most, in each direction: ports * 16",
        lambda c: c.ports * BEAT_BYTES,
    ),
}
"""By name, which ends in the unit."""


def derived(config: AcceleratorConfig) -> dict[str, int]:
    """Value of every figure, by name."""
    return {name: figure.of(config) for name, figure in FIGURES.items()}
