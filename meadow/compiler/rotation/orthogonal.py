# SPDX-License-Identifier: Apache-2.0
"""Orthogonal matrices whose entries are all of about the same size, for any width.

A Hadamard matrix has entries of +1 and -1 and orthogonal rows. There is one of 2^k times the order
of any other; Paley's constructions (1933) give orders q + 1 for a prime q = 3 mod 4 and 2(q + 1)
for a prime q = 1 mod 4: 576 = 16 * 36, 36 = 2 (17 + 1). Where no such order times a power of two is
the width, its odd part is covered by a discrete cosine transform.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["hadamard", "spreading_matrix"]


def hadamard(order: int) -> np.ndarray | None:
    """A Hadamard matrix, int64 ``[order, order]`` of +1 and -1; None where these constructions give
    none.
    """
    for doublings in range(order.bit_length()):
        if order % (1 << doublings) == 0:
            core = _core(order >> doublings)
            if core is not None:
                return np.kron(_sylvester(doublings), core)
    return None


def spreading_matrix(width: int, *, seed: int = 0) -> np.ndarray:
    """An orthogonal matrix, float64 ``[width, width]``: rows with random signs times a Hadamard
    matrix over ``sqrt(width)``.

    ``x @ matrix`` spreads each channel over all of them. Where no Hadamard matrix is known, entries
    are at most ``sqrt(2 / width)``. ValueError unless the width is at least 1.
    """
    if width < 1:
        raise ValueError(f"the width must be at least 1, not {width}")
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], width)
    matrix = hadamard(width)
    if matrix is not None:
        return signs[:, None] * matrix / math.sqrt(width)
    odd = width
    while odd % 2 == 0:
        odd //= 2
    doublings = (width // odd).bit_length() - 1
    even = _sylvester(doublings) / math.sqrt(width // odd)
    return signs[:, None] * np.kron(even, _cosines(odd))


def _sylvester(doublings: int) -> np.ndarray:
    """The Hadamard matrix of order 2^doublings."""
    matrix = np.ones((1, 1), np.int64)
    for _ in range(doublings):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _core(order: int) -> np.ndarray | None:
    """A Hadamard matrix that is no doubling of another one: order 1, or one of Paley's."""
    if order == 1:
        return np.ones((1, 1), np.int64)
    if order % 4:
        return None
    if _is_prime(order - 1):  # order - 1 = 3 mod 4
        return _bordered(order - 1, symmetric=False) + np.eye(order, dtype=np.int64)
    q = order // 2 - 1
    if q % 4 == 1 and _is_prime(q):
        plus = np.array([[1, 1], [1, -1]])
        minus = np.array([[1, -1], [-1, -1]])
        return np.kron(_bordered(q, symmetric=True), plus) + np.kron(
            np.eye(q + 1, dtype=np.int64), minus
        )
    return None


def _bordered(q: int, *, symmetric: bool) -> np.ndarray:
    """Paley's conference matrix of order q + 1: which differences are squares modulo q, with a
    border.
    """
    squares = {value * value % q for value in range(1, q)}
    character = np.array([0, *(1 if value in squares else -1 for value in range(1, q))])
    positions = np.arange(q)
    matrix = np.zeros((q + 1, q + 1), np.int64)
    matrix[1:, 1:] = character[(positions[:, None] - positions[None, :]) % q]
    matrix[0, 1:] = 1
    matrix[1:, 0] = 1 if symmetric else -1
    return matrix


def _cosines(order: int) -> np.ndarray:
    """The orthonormal discrete cosine transform, float64 ``[order, order]``."""
    index = np.arange(order)
    matrix = np.cos(math.pi * (index[:, None] + 0.5) * index[None, :] / order)
    matrix *= math.sqrt(2 / order)
    matrix[:, 0] = 1 / math.sqrt(order)
    return matrix


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
