# SPDX-License-Identifier: Apache-2.0
"""The decoder at `zcu102` on streams of real weights: a beat per cycle or 24 weights, whichever is
slower.
"""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from hw_tests.rtl_gen.decoder.decoder_bench import check
from hw_tests.rtl_gen.decoder.decoder_load import Load
from hw_tests.seeds import salted
from meadow.compiler.packing.packing import pack_matrix
from meadow.golden.streams.decode import read_preamble
from meadow.model.quantised import QuantisedLinear
from meadow.spec.config import CONFIGURATIONS
from workbench.packing.grids import GRIDS, grid_integers
from workbench.packing.minilm import load_minilm, minilm_path

CONFIG = CONFIGURATIONS["zcu102-paper"]
MATRICES = ("layer.0.attention.self.query", "layer.3.output.dense")
SLICES = 2


def stream_load(integers: np.ndarray, codec: str) -> tuple[Load, int]:
    """What port 0 reads of the first channels of a matrix, and its table entries."""
    weight = integers[: SLICES * CONFIG.width]
    channels = len(weight)
    linear = QuantisedLinear(
        weight=weight,
        bias=np.zeros(channels, np.int32),
        multiplier=np.ones(channels, np.uint16),
        shift=np.ones(channels, np.uint8),
    )
    stream = pack_matrix(linear, CONFIG, codec).streams[0]
    tiles = weight.shape[1] // CONFIG.width
    own = weight.reshape(SLICES, CONFIG.ports, CONFIG.port_rows, tiles, CONFIG.width)[:, 0]
    weights = [part.transpose(1, 0, 2).tobytes() for part in own]
    plain = np.zeros(CONFIG.port_rows, [("bias", "<i4"), ("multiplier", "<u2"), ("shift", "<u2")])
    plain["multiplier"] = plain["shift"] = 1
    entries = read_preamble(stream)["entries"] if codec == "dictionary" else 0
    return Load(CONFIG, Random(salted(0))).add_stream(
        stream, weights, [plain.tobytes()] * SLICES, tiles
    ), entries


@pytest.mark.skipif(minilm_path() is None, reason="needs the extra `minilm`: 91 MB of weights")
@pytest.mark.parametrize("codec", ["dictionary", "rice"])
def test_rate_on_trained_weights(codec: str) -> None:
    matrices = load_minilm()
    cases = [(name, grid) for name in MATRICES for grid in GRIDS]
    loads = [
        stream_load(grid_integers(matrices[name], GRIDS[grid])[:, :384], codec)
        for name, grid in cases
    ]
    for (name, grid), (load, entries), outcome in zip(
        cases, loads, check([load for load, _ in loads]), strict=True
    ):
        weights = sum(len(tile) for tile in load.tiles) * CONFIG.width
        print(
            f"{name} {grid} {codec}: {len(load.beats)} beats, {weights} weights, {outcome.cycles} "
            f"cycles, "
            f"{weights / outcome.cycles:.1f} weights per cycle"
        )
        slowest = max(len(load.beats), weights / 24)
        assert outcome.cycles <= slowest + entries / 4 + 40
