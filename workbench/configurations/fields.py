# SPDX-License-Identifier: Apache-2.0
"""The parameters of a configuration, explained: what each means, must be, buys and takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meadow.spec.config import ACTIVATION_RAMS, MAX_INPUTS, AcceleratorConfig, Parameter
from meadow.spec.streams import CODEC_NAMES
from workbench.configurations.figures import FIGURES

__all__ = ["FIELDS", "Field", "default_of"]


@dataclass(frozen=True, kw_only=True)
class Field:
    """meaning: what it is; unit: it is counted in; rule: what it must fulfil, in the words of the
    errors where there is one; seen: where in the hardware, beside the register `config_` of its
    name; buys: what more of it gives; takes: what it costs, in words; figures: of FIGURES, those
    that change with it.
    """

    meaning: str
    unit: str
    rule: str
    seen: str
    buys: str
    takes: str
    figures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert all(name in FIGURES for name in self.figures), self.figures


FIELDS: Mapping[str, Field] = {
    "width": Field(
        meaning="elements of an activation word and side of a stationary tile, W",
        unit="bytes",
        rule="a power of two; 16 <= width <= 256; 2 * lanes * rows <= width; "
        "rows <= width / ports; max_context and norm_channels are multiples of it",
        seen="tile buffer, dot products of the lanes, activation memory",
        buys="more products per cycle in every lane, fewer commands and tiles for a matrix",
        takes="multipliers in every lane, and the square of it in the tile buffer; what is smaller "
        "than a word is padded",
        figures=(
            *("macs_per_cycle", "lane_multipliers", "tile_cycles", "norm_cycles_per_word"),
            *("activation_memory_bytes", "tile_buffer_bytes", "activation_table_bytes"),
            *("accumulator_bits_per_lane", "probability_bits_per_lane"),
        ),
    ),
    "lanes": Field(
        meaning="tokens processed in parallel, T",
        unit="tokens",
        rule="a power of two; 2 * lanes * rows <= width",
        seen="copies of the module of the lane",
        buys="more tokens of a prompt at once; matrices of one sequence's decode step use one lane",
        takes="a whole lane each: multipliers, accumulators and softmax",
        figures=("macs_per_cycle", "lane_multipliers", "chunk_tokens"),
    ),
    "rows": Field(
        meaning="tile rows broadcast per cycle, R",
        unit="rows",
        rule="a power of two; 2 <= rows <= 16; 2 * lanes * rows <= width; rows <= width / ports",
        seen="dot products of a lane, two of which share multipliers; read side of the tile buffer",
        buys="a tile takes width / rows cycles for a token group",
        takes="multipliers in every lane",
        figures=("macs_per_cycle", "lane_multipliers", "tile_cycles"),
    ),
    "groups": Field(
        meaning="token groups of a chunk, G; a chunk holds at most groups * lanes tokens",
        unit="groups",
        rule="groups <= 256",
        seen="depth of the accumulators in every lane",
        buys="larger chunks: the weights are read less often for a prompt",
        takes="memory in every lane; a chunk needs activation memory as well",
        figures=("chunk_tokens", "accumulator_bits_per_lane", "probability_bits_per_lane"),
    ),
    "ports": Field(
        meaning="AXI4 masters of 128 bits, P",
        unit="ports",
        rule="a power of two; ports <= 4; rows <= width / ports",
        seen="interfaces m_axi0, m_axi1, ... of the top module; a decoder behind each",
        buys="bandwidth to DRAM",
        takes="a DMA port and a decoder each",
        figures=("dram_bytes_per_cycle", "decoded_weights_per_cycle", "prefetch_bytes"),
    ),
    "activation_words": Field(
        meaning="words of width bytes of the activation memory",
        unit="words",
        rule="activation_words is a multiple of 256 and at most 2**19",
        seen="the banks of the activation memory",
        buys="larger chunks, and models with longer rows",
        takes="block RAM or UltraRAM, most of what a chip has",
        figures=("activation_memory_bytes",),
    ),
    "max_context": Field(
        meaning="largest number of keys that a query attends to",
        unit="keys",
        rule="max_context is a multiple of width and at most 2**19; "
        "probability_bits + 7 + ceil(log2 max_context) <= 35",
        seen="counters of attention, and the width of the sums of softmax",
        buys="longer texts",
        takes="bits of counters; no memory on the chip, the K/V cache is in DRAM",
    ),
    "sequences": Field(
        meaning="entries of the sequence table, S",
        unit="sequences",
        rule="sequences <= 64",
        seen="registers of the sequence table",
        buys="more texts side by side, which share the weights that are read",
        takes="registers for each entry",
    ),
    "max_head_dim": Field(
        meaning="largest padded head dimension of attention",
        unit="elements",
        rule="a power of two; 16 <= max_head_dim <= 512",
        seen="depth of the output accumulators in every lane",
        buys="models with larger heads",
        takes="memory in every lane where it is above width",
        figures=("accumulator_bits_per_lane",),
    ),
    "norm_channels": Field(
        meaning="largest padded model dimension of the norm",
        unit="channels",
        rule=f"norm_channels is a multiple of width and at most {MAX_INPUTS}",
        seen="memory of the norm's parameters",
        buys="wider models",
        takes="block RAM",
        figures=("norm_parameter_bytes",),
    ),
    "decoder_elements": Field(
        meaning="weights that a port's decoder hands to the tile buffer per cycle at most",
        unit="weights",
        rule="a power of two; 16 <= decoder_elements <= width",
        seen="the way from each decoder to the tile buffer",
        buys="packed streams that fill a tile faster than the port's 16 bytes per cycle would",
        takes="wires and multiplexers behind each decoder",
        figures=("decoded_weights_per_cycle",),
    ),
    "dictionary_entries": Field(
        meaning="depth of a port's dictionary, chunks of up to two weights",
        unit="entries",
        rule="a power of two; 256 <= dictionary_entries <= 4096",
        seen="tables of the dictionary decoder; there are none without the codec dictionary",
        buys="matrices with more different pairs of weights can be packed",
        takes="block RAM in each decoder",
        figures=("dictionary_bytes_per_table",),
    ),
    "probability_bits": Field(
        meaning="bits of a softmax probability that is not normalised",
        unit="bits",
        rule="4 <= probability_bits <= 12; probability_bits + 7 + ceil(log2 max_context) <= 35",
        seen="exponentials and probability memory of every lane",
        buys="finer attention",
        takes="memory in every lane, and bits of its multipliers above 8",
        figures=("probability_bits_per_lane",),
    ),
    "prefetch_beats": Field(
        meaning="beats of read data that a port holds ahead of its consumer",
        unit="beats of 16 bytes",
        rule="a power of two; prefetch_beats >= 32",
        seen="queue of each port; bursts are a quarter of it at most, and 64 beats at most",
        buys="longer waits for DRAM that nobody notices, and longer bursts",
        takes="memory in each port",
        figures=("prefetch_bytes",),
    ),
    "outstanding": Field(
        meaning="read bursts that a port keeps in flight",
        unit="bursts",
        rule="outstanding <= 16",
        seen="queue of bursts in each port",
        buys="bandwidth where DRAM answers late",
        takes="an entry of the queue each",
    ),
    "address_bits": Field(
        meaning="width of an AXI4 byte address",
        unit="bits",
        rule="32 <= address_bits <= 48",
        seen="m_axi<p>_araddr and m_axi<p>_awaddr, the registers of the window's base",
        buys="a DMA window anywhere in a larger memory",
        takes="bits of addresses in ports and queues",
    ),
    "codecs": Field(
        meaning="codecs of weight streams that the decoders can read",
        unit="names",
        rule=f"a list of {', '.join(CODEC_NAMES)}, each once at most and raw always",
        seen="parts of each decoder",
        buys="fewer bytes per weight, which is speed where DRAM is the limit",
        takes="an unpacker for each codec in each port",
        figures=("dictionary_bytes_per_table",),
    ),
    "activation_ram": Field(
        meaning="what the activation memory is made of",
        unit="a name",
        rule=f"activation_ram must be {' or '.join(ACTIVATION_RAMS)}",
        seen="attribute ram_style of the banks of the activation memory",
        buys="UltraRAM leaves the block RAM of a device that has both to the other units",
        takes="block RAM, or UltraRAM in steps of 4,096 words",
        figures=(),
    ),
    "baseline": Field(
        meaning="whether there is what --dataflow gemm needs: SOFTMAX, and ATTEND in parts",
        unit="true or false",
        rule="true or false",
        seen="the softmax unit of whole rows",
        buys="comparisons with a layer-by-layer accelerator",
        takes="a unit that nothing else uses",
    ),
    "norm_lanes": Field(
        meaning="elements that the norm normalises per cycle; 0 stands for width / 2",
        unit="elements",
        rule="a power of two; 2 * norm_lanes <= width",
        seen="copies of the multipliers behind the norm's statistics",
        buys="a norm that keeps up with the activation memory at width / 2",
        takes="multipliers for each element",
        figures=("norm_cycles_per_word",),
    ),
}
"""By name, every parameter of `AcceleratorConfig`."""


def default_of(name: str) -> Parameter | None:
    """What the parameter is if it is left out, None if it must be given."""
    field: dataclasses.Field[Any] = {f.name: f for f in dataclasses.fields(AcceleratorConfig)}[name]
    if field.default is dataclasses.MISSING:
        return None
    return list(field.default) if isinstance(field.default, tuple) else field.default
