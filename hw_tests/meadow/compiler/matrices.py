# SPDX-License-Identifier: Apache-2.0
"""Matrices that are hard on a packer, and the check that nothing of them is lost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hw_tests.seeds import salted
from hw_tests.unit_config import unit_config
from meadow.compiler.packing.packing import PackedMatrix
from meadow.golden.streams.decode import unpack_stream
from meadow.model.quantised import QuantisedLinear
from meadow.spec.config import AcceleratorConfig, named_config

__all__ = ["CONFIGS", "KINDS", "Matrix", "assert_lossless", "draw", "linear"]

CONFIGS = {name: named_config(name) for name in ("tiny", "small", "zcu102-paper")}
CONFIGS["slim"] = unit_config(ports=4, groups=4, sequences=1, max_context=64, norm_channels=64)
"""One group of 64 weights in a port's part of a tile, a dictionary that cannot hold all pairs."""

Shape = tuple[int, int]


class Matrix(QuantisedLinear):
    """One that may hold -128: the formats can, though no quantiser makes it."""

    def __post_init__(self) -> None:
        """Whatever it holds is taken."""


def _grid(bits: int) -> Callable[[np.random.Generator, Shape], np.ndarray]:
    """Bell-shaped values on the symmetric grid of `bits` bits."""
    most = (1 << (bits - 1)) - 1
    return lambda random, shape: np.clip(
        np.rint(random.standard_normal(shape) * most / 3), -most, most
    )


def _skewed(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Mostly zero, long tail to one side."""
    return np.minimum(random.geometric(0.4, shape) ** 2 - 1, 127)


def _outliers(random: np.random.Generator, shape: Shape) -> np.ndarray:
    values = random.integers(-2, 3, shape)
    return np.where(random.random(shape) < 0.01, random.choice([-128, 127], shape), values)


def _rough(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Groups of every spread next to each other: every parameter, literals and short runs."""
    spread = np.repeat(np.exp2(random.uniform(-3, 7, (shape[0], shape[1] // 8))), 8, axis=1)
    return np.clip(np.rint(random.standard_normal(shape) * spread), -128, 127)


def _alternating(random: np.random.Generator, shape: Shape) -> np.ndarray:
    cycle = random.permutation(np.array([-127, 127, -128]))
    return np.resize(cycle[: random.integers(1, 4)], shape)


def _full_words(random: np.random.Generator, shape: Shape) -> np.ndarray:
    """Runs of 32 bits with k = 0: every step refills every sub-stream."""
    del random
    return np.resize([1, -2] * 4, shape)


KINDS: dict[str, Callable[[np.random.Generator, Shape], np.ndarray]] = {
    **{f"grid{bits}": _grid(bits) for bits in range(2, 9)},
    "random": lambda random, shape: random.integers(-128, 128, shape),
    "skewed": _skewed,
    "constant": lambda random, shape: np.full(shape, random.integers(-128, 128)),
    "two values": lambda random, shape: random.choice(random.integers(-128, 128, 2), shape),
    "pairs": lambda random, shape: random.integers(-128, 128, (40, 2))[
        random.integers(0, 40, shape[0] * shape[1] // 2)
    ],
    "outliers": _outliers,
    "rough": _rough,
    "alternating": _alternating,
    "full words": _full_words,
}
"""Makers of integers in -128..127 by name."""


def draw(kind: str, shape: Shape, seed: int) -> np.ndarray:
    """Weights int8 of a shape, of one of KINDS."""
    return KINDS[kind](np.random.default_rng(salted(seed)), shape).reshape(shape).astype(np.int8)


def linear(weight: np.ndarray, seed: int = 0) -> Matrix:
    """A matrix with these weights and random slice headers."""
    random = np.random.default_rng(salted(seed))
    outputs = len(weight)
    return Matrix(
        weight=weight.astype(np.int8),
        bias=random.integers(-(1 << 31), 1 << 31, outputs).astype(np.int32),
        multiplier=random.integers(0, 1 << 16, outputs).astype(np.uint16),
        shift=random.integers(1, 48, outputs).astype(np.uint8),
    )


def assert_lossless(packed: PackedMatrix, matrix: Matrix, config: AcceleratorConfig) -> None:
    """All streams together hold the matrix and its headers, bit for bit."""
    slices, tiles = matrix.outputs // config.width, matrix.inputs // config.width
    assert len(packed.streams) == config.ports
    parts = [unpack_stream(stream, slices, tiles, config) for stream in packed.streams]
    weights = np.stack([part for part, _ in parts], axis=1)
    assert (weights.reshape(matrix.weight.shape) == matrix.weight).all()
    for name in ("bias", "multiplier", "shift"):
        values = np.stack([getattr(headers, name) for _, headers in parts], axis=1)
        assert (values.reshape(-1) == getattr(matrix, name)).all(), name
