# SPDX-License-Identifier: Apache-2.0
"""The seeds of all tests, so that `pytest --seed N` draws everything anew.

Every generator of random numbers in the tests gets its seed through `salted`:

    random = np.random.default_rng(salted(3))

Without `--seed`, or with 0, that is 3: each test draws what it always drew. With another number N
it is a number made of N and 3. A draw whose outcome stands in the test as a figure says
`recorded(3)` and stays what it is.
"""

from __future__ import annotations

import hashlib
import os
from typing import TypeVar

__all__ = ["VARIABLE", "chosen_seed", "recorded", "salted"]

Seed = TypeVar("Seed", int, str)

VARIABLE = "MEADOW_TEST_SEED"
"""Environment variable that carries `--seed` into the processes that tests start."""


def chosen_seed() -> int:
    """What `--seed` said, 0 if nothing."""
    return int(os.environ.get(VARIABLE, "0"))


def salted(seed: Seed) -> Seed:
    """`seed` itself, or with `--seed` a value of the same kind that depends on both: a number of 31
    bits, or a text.
    """
    chosen = chosen_seed()
    if chosen == 0:
        return seed
    if isinstance(seed, str):
        return f"{seed} --seed {chosen}"
    digest = hashlib.sha256(f"{chosen} {int(seed)}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def recorded(seed: int) -> int:
    """`seed`, whatever `--seed` says: what this draw gives is written down in the test."""
    return seed
