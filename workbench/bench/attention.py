# SPDX-License-Identifier: Apache-2.0
"""Attention of one layer alone: random Q, K and V in, the ATTEND commands, the output compared with
golden.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cosim.waves import Waves
from firmware.session import Session
from meadow.compiler.lowering.heads import HeadLayout
from meadow.golden.numerics import word_numbers
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import Command, Opcode, Outputs, RowSet, Space, TrafficClass
from meadow.spec.config import BEAT_BYTES
from workbench.bench.step import Check, execute_counted, open_simulation, preset_cache, unlimited
from workbench.devices import Throttle

__all__ = ["run_attention"]

_PREFIX = "layers.0.attend"


def run_attention(
    image: Image,
    model: QuantisedModel,
    golden: BitTrueModel,
    *,
    positions: Sequence[int],
    tokens: int,
    throttle: Throttle,
    seed: int,
    check: Check,
    log: Callable[[str], None],
    timeline: Path | None = None,
    waves: Waves | None = None,
) -> dict[str, int]:
    """Counters of all commands labelled "layers.0.attend..." in one run, for `tokens` new tokens of
    each sequence.

    The caches hold `positions[i]` + `tokens` random rows, Q lies in the activation memory as the
    projection leaves it.
    """
    manifest, description = image.manifest, model.description
    random = np.random.default_rng(seed)
    inside = [i for i, label in enumerate(manifest.labels) if label.startswith(_PREFIX)]
    if waves is not None and (
        waves.first > inside[-1] or (waves.last is not None and waves.last < inside[0])
    ):
        raise ValueError(
            f"attention alone runs commands {inside[0]}..{inside[-1]}, none of --waves-commands"
        )
    query = next(
        image.command(index).values
        for index in inside
        if image.command(index).opcode == Opcode.ATTEND
    )
    heads = HeadLayout.of(description, manifest.config)
    channels = heads.query_channels
    rows = len(positions) * tokens
    width = manifest.config.width
    # With one KV head per word the first ATTEND starts at the first word of Q.
    words = np.zeros((rows, query["query_stride"] * width), np.int8)
    drawn = np.clip(np.rint(random.normal(0, 30, (rows, len(channels)))), -127, 127)
    words[:, channels] = drawn.astype(np.int8)
    with open_simulation(image, len(positions), throttle, log, timeline, waves) as device:
        session = Session(device, image, sequences=len(positions))
        caches = []
        for sequence, position in enumerate(positions):
            cache = golden.new_cache()
            preset_cache(random, cache, device.memory, manifest, sequence, position + tokens)
            session.positions[sequence] = position
            caches.append(cache)
        session.prepare({s: [0] * tokens for s in range(len(positions))}, outputs=Outputs(0))
        place = session.manifest.regions["dump"].offset
        device.memory[place * BEAT_BYTES :][: words.size] = words.view(np.uint8).reshape(-1)
        load = Command(
            Opcode.LOAD,
            {
                "destination": query["query"],
                "destination_stride": query["query_stride"],
                "space": Space.ACTIVATION,
                "offset": place,
                "row_beats": words.shape[1] // BEAT_BYTES,
                "row_set": RowSet.FIXED,
                "rows": rows,
                "traffic": TrafficClass.ACTIVATIONS,
            },
        )
        with unlimited(device):
            session.run_commands([load, Command(Opcode.END)])
        log(f"simulating {len(inside)} commands of attention")
        device.label_commands(manifest.labels[inside[0] :])
        counters = execute_counted(session, device, inside[0], inside[-1] + 1 - inside[0])
        with unlimited(device):
            memory, exponents = session.dump_activations()
    address = query["query"] + query["query_stride"] * np.arange(rows)[:, None]
    address = address + np.arange(query["query_stride"])
    if heads.exponent:
        exponents = np.full_like(exponents, heads.exponent)
    values = memory[address].reshape(rows, -1).view(np.int8)
    seen = word_numbers(values, exponents[address], width)[:, channels]
    log("computing the golden attention")
    expected = [
        golden.attention(
            0,
            drawn[s * tokens : (s + 1) * tokens].astype(np.int8),
            cache.keys[0, :, : cache.length],
            cache.values[0, :, : cache.length],
            position + np.arange(tokens),
        )
        for s, (cache, position) in enumerate(zip(caches, positions, strict=True))
    ]
    check.compare("attention output", seen, np.concatenate(expected))
    return counters
