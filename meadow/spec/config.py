# SPDX-License-Identifier: Apache-2.0
# Longer than 300 lines: one class with all its rules, and the table of the named ones.
"""The size of one accelerator: every derived width, depth and limit is computed here and only
here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from meadow.spec.numerics import LARGEST_EXPONENT, LIMIT_INT8
from meadow.spec.streams import CODEC_NAMES, Codec

__all__ = [
    "ACCUMULATOR_BITS",
    "ACTIVATION_RAMS",
    "BEAT_BYTES",
    "CONFIGURATIONS",
    "MAX_INPUTS",
    "AcceleratorConfig",
    "Parameter",
    "named_config",
]

BEAT_BYTES = 16
"""Bytes of one AXI4 data beat: every port is 128 bits wide."""

ACCUMULATOR_BITS = 36
"""Signed accumulators: products of words with exponents, or of probabilities."""

MAX_INPUTS = ((1 << ACCUMULATOR_BITS - 1) - (1 << 31)) // (LIMIT_INT8**2 << LARGEST_EXPONENT)
"""Most inputs of a matrix: the sum of their largest products and a bias of 32 bits stays inside the
accumulator."""

ACTIVATION_RAMS = ("block", "ultra")
"""What the activation memory can be made of; the place of each is its number in a register."""

Parameter = int | bool | str | list[str]
"""What a parameter is where it is data."""


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _codecs(value: object) -> tuple[str, ...]:
    """The codecs in the order of `Codec`; ValueError unless each is one of them, once."""
    names = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    known = all(name in CODEC_NAMES and names.count(name) == 1 for name in names)
    if not known or CODEC_NAMES[Codec.RAW] not in names:
        raise ValueError(
            f"codecs must be a list of {', '.join(CODEC_NAMES)}, each once at most and raw "
            f"always, not {value!r:.60}"
        )
    return tuple(name for name in CODEC_NAMES if name in names)


@dataclass(frozen=True, kw_only=True)
class AcceleratorConfig:
    """Parameters of a generated accelerator.

    Parameters
    ----------
    width: elements (bytes) of an activation word and side of a stationary tile, W.
    lanes: tokens processed in parallel, T.
    rows: tile rows broadcast per cycle, R; 2*T*R <= W keeps the lanes' results from colliding.
    groups: token groups of a chunk, G; a chunk holds at most C = G*T tokens.
    ports: 128-bit AXI4 masters, P.
    activation_words: W-byte words of on-chip activation memory, a multiple of 256.
    max_context: largest number of keys a query attends to.
    probability_bits: bits of an unnormalised softmax probability.
    sequences: entries of the sequence table, S.
    max_head_dim: largest padded head dimension of the attention accumulators.
    norm_channels: largest padded model dimension of the norm parameter memory.
    decoder_elements: weights a port's decoder hands to the tile buffer per cycle at most.
    dictionary_entries: depth of a port's dictionary table (chunks of up to two weights).
    prefetch_beats: beats of read data a port holds ahead of its consumer.
    outstanding: read bursts a port keeps in flight.
    address_bits: width of an AXI4 byte address.
    codecs: those of weight streams that the decoders can read, names of CODEC_NAMES; `raw` is
        always one of them.
    norm_lanes: elements that the norm normalises per cycle; 0 stands for W/2, those of a word.
    baseline: whether there is what only `--dataflow gemm` needs: SOFTMAX and its unit, and ATTEND
        in parts.
    activation_ram: what the activation memory is made of, one of ACTIVATION_RAMS: block RAM, or
        UltraRAM with the exponents in the bits that the bytes of a word leave free.

    Raises ValueError, naming the rule and the value, for a combination that cannot be built.
    """

    width: int
    lanes: int
    rows: int
    groups: int
    ports: int
    activation_words: int
    max_context: int
    sequences: int
    max_head_dim: int
    norm_channels: int
    decoder_elements: int
    dictionary_entries: int
    probability_bits: int = 12
    prefetch_beats: int = 512
    outstanding: int = 16
    address_bits: int = 40
    codecs: tuple[str, ...] = CODEC_NAMES
    baseline: bool = True
    norm_lanes: int = 0
    activation_ram: str = "block"

    def __post_init__(self) -> None:
        object.__setattr__(self, "codecs", _codecs(self.codecs))
        if type(self.norm_lanes) is int and self.norm_lanes == 0 and type(self.width) is int:
            object.__setattr__(self, "norm_lanes", self.width // 2)
        if not isinstance(self.baseline, bool):
            raise ValueError(f"baseline must be true or false, not {self.baseline!r:.60}")
        if self.activation_ram not in ACTIVATION_RAMS:
            raise ValueError(
                f"activation_ram must be {' or '.join(ACTIVATION_RAMS)}, "
                f"not {self.activation_ram!r:.60}"
            )
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type != "int":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
                raise ValueError(f"{field.name} must be a positive integer, not {value!r}")
        for name in (
            "width",
            "lanes",
            "rows",
            "ports",
            "decoder_elements",
            "dictionary_entries",
            "prefetch_beats",
            "max_head_dim",
            "norm_lanes",
        ):
            if not _is_power_of_two(getattr(self, name)):
                raise ValueError(f"{name} must be a power of two, not {getattr(self, name)}")
        self._rule(16 <= self.width <= 256, "16 <= width <= 256", self.width)
        self._rule(2 <= self.rows <= BEAT_BYTES, "2 <= rows <= 16", self.rows)
        self._rule(
            2 * self.lanes * self.rows <= self.width,
            "2 * lanes * rows <= width",
            f"2 * {self.lanes} * {self.rows} with width {self.width}",
        )
        self._rule(self.ports <= 4, "ports <= 4", self.ports)
        self._rule(
            self.rows <= self.width // self.ports,
            "rows <= width / ports",
            f"{self.rows} with {self.width} / {self.ports}",
        )
        self._rule(self.groups <= 256, "groups <= 256", self.groups)
        self._rule(
            BEAT_BYTES <= self.decoder_elements <= self.width,
            "16 <= decoder_elements <= width",
            self.decoder_elements,
        )
        self._rule(
            256 <= self.dictionary_entries <= 4096,
            "256 <= dictionary_entries <= 4096",
            self.dictionary_entries,
        )
        self._rule(self.prefetch_beats >= 32, "prefetch_beats >= 32", self.prefetch_beats)
        self._rule(self.outstanding <= 16, "outstanding <= 16", self.outstanding)
        # Half of what 20 bits name: rows that run past the end meet a word that there is not before
        # their address wraps.
        self._rule(
            self.activation_words % 256 == 0 and self.activation_words <= 1 << 19,
            "activation_words is a multiple of 256 and at most 2**19",
            self.activation_words,
        )
        self._rule(
            self.max_context % self.width == 0 and self.max_context <= 1 << 19,
            "max_context is a multiple of width and at most 2**19",
            self.max_context,
        )
        self._rule(
            4 <= self.probability_bits <= 12, "4 <= probability_bits <= 12", self.probability_bits
        )
        bits = self.probability_bits + 7 + (self.max_context - 1).bit_length()
        self._rule(
            bits <= ACCUMULATOR_BITS - 1,
            "probability_bits + 7 + ceil(log2 max_context) <= 35",
            f"{bits} bits",
        )
        self._rule(self.sequences <= 64, "sequences <= 64", self.sequences)
        self._rule(
            BEAT_BYTES <= self.max_head_dim <= 512, "16 <= max_head_dim <= 512", self.max_head_dim
        )
        self._rule(
            self.norm_channels % self.width == 0 and self.norm_channels <= MAX_INPUTS,
            f"norm_channels is a multiple of width and at most {MAX_INPUTS}",
            self.norm_channels,
        )
        self._rule(
            2 * self.norm_lanes <= self.width,
            "2 * norm_lanes <= width",
            f"2 * {self.norm_lanes} with width {self.width}",
        )
        self._rule(32 <= self.address_bits <= 48, "32 <= address_bits <= 48", self.address_bits)

    @staticmethod
    def _rule(holds: bool, rule: str, value: object) -> None:
        if not holds:
            raise ValueError(f"AcceleratorConfig rule {rule} is broken by {value}")

    @property
    def macs(self) -> int:
        """Multiply-accumulates per cycle: W*T*R."""
        return self.width * self.lanes * self.rows

    @property
    def chunk_tokens(self) -> int:
        """Tokens of the largest chunk: C = G*T."""
        return self.groups * self.lanes

    @property
    def tile_cycles(self) -> int:
        """Cycles one full tile is broadcast to one token group: W/R."""
        return self.width // self.rows

    @property
    def port_rows(self) -> int:
        """Rows of a tile that one port carries, as one run: W/P."""
        return self.width // self.ports

    @property
    def norm_turns(self) -> int:
        """Cycles that the norm takes for a 16-bit word of W/2 elements."""
        return self.width // 2 // self.norm_lanes

    @property
    def word_beats(self) -> int:
        """AXI beats of one activation word: W/16."""
        return self.width // BEAT_BYTES

    @property
    def header_beats(self) -> int:
        """Beats of one port's part of a slice header: 8 bytes for each of its W/P channels."""
        return (8 * self.port_rows + BEAT_BYTES - 1) // BEAT_BYTES

    def has_codec(self, codec: Codec) -> bool:
        """Whether the decoders can read streams of this codec."""
        return CODEC_NAMES[codec] in self.codecs

    def to_dict(self) -> dict[str, Parameter]:
        """The parameters by name, as the manifest and the contract hash hold them."""
        return dataclasses.asdict(self) | {"codecs": list(self.codecs)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AcceleratorConfig:
        """Inverse of `to_dict`; ValueError names unknown or missing parameters."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown AcceleratorConfig parameters: {', '.join(unknown)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"AcceleratorConfig is incomplete: {error}") from None


_ZCU102 = AcceleratorConfig(
    width=64,
    lanes=16,
    rows=2,
    groups=40,
    ports=4,
    activation_words=32768,
    max_context=4096,
    sequences=8,
    max_head_dim=128,
    norm_channels=8192,
    decoder_elements=32,
    dictionary_entries=4096,
    prefetch_beats=512,
    outstanding=16,
)

CONFIGURATIONS: dict[str, AcceleratorConfig] = {
    "tiny": AcceleratorConfig(
        width=16,
        lanes=2,
        rows=2,
        groups=32,
        ports=1,
        activation_words=8192,
        max_context=512,
        sequences=4,
        max_head_dim=64,
        norm_channels=512,
        decoder_elements=16,
        dictionary_entries=1024,
        prefetch_beats=64,
        outstanding=4,
    ),
    "small": AcceleratorConfig(
        width=32,
        lanes=4,
        rows=2,
        groups=16,
        ports=2,
        activation_words=8192,
        max_context=1024,
        sequences=4,
        max_head_dim=64,
        norm_channels=1024,
        decoder_elements=16,
        dictionary_entries=1024,
        prefetch_beats=128,
        outstanding=8,
    ),
    "zcu102": replace(_ZCU102, activation_words=24 * 1024, codecs=("raw", "rice"), baseline=False),
    "zcu102-paper": _ZCU102,
    "kv260": AcceleratorConfig(
        width=32,
        lanes=8,
        rows=2,
        groups=40,
        ports=2,
        activation_words=52 * 1024,
        max_context=2048,
        sequences=8,
        max_head_dim=128,
        norm_channels=4096,
        decoder_elements=32,
        dictionary_entries=256,
        prefetch_beats=256,
        outstanding=16,
        codecs=("raw", "rice"),
        baseline=False,
        norm_lanes=4,
        activation_ram="ultra",
    ),
    "nano": AcceleratorConfig(
        width=16,
        lanes=1,
        rows=2,
        groups=8,
        ports=1,
        activation_words=1024,
        max_context=256,
        sequences=1,
        max_head_dim=32,
        norm_channels=128,
        decoder_elements=16,
        dictionary_entries=256,
        prefetch_beats=32,
        outstanding=2,
        address_bits=32,
        codecs=("raw",),
        baseline=False,
        norm_lanes=1,
    ),
}
"""The configurations that a command line names. What is for use has what its programs need;
`zcu102-paper` has everything, for comparisons with what MEADOW published: dictionary and baseline.
"""


def named_config(name: str) -> AcceleratorConfig:
    """The named configuration; ValueError lists the names there are."""
    if name not in CONFIGURATIONS:
        raise ValueError(f"unknown configuration {name!r}: choose from {', '.join(CONFIGURATIONS)}")
    return CONFIGURATIONS[name]
