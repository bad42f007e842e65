# SPDX-License-Identifier: Apache-2.0
"""From a phase's counters to what is reported: cycles per token, use of array and DRAM, bytes by
class.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from firmware.results import Phase
from meadow.spec.commands import TrafficClass
from meadow.spec.config import BEAT_BYTES
from meadow.spec.image import Manifest

__all__ = ["phase_report", "useful_macs"]


def useful_macs(manifest: Manifest, *, first: int, tokens: int, head_rows: int) -> int:
    """Multiply-accumulates that the model itself asks for, without any padding.

    first, tokens: positions first .. first + tokens - 1 are taken in; head_rows: rows of the LM
        head.
    Per token: every weight once, and for position p the products with p + 1 keys and p + 1 values
        in every head.
    """
    model = manifest.model
    weights = head = 0
    for matrix in manifest.matrices:
        if matrix.name.startswith("head."):
            head += matrix.outputs * matrix.inputs
        else:
            weights += matrix.outputs * matrix.inputs
    keys = sum(range(first + 1, first + tokens + 1))
    attention = 2 * model.layers * model.heads * model.head_dim * keys
    return weights * tokens + head * head_rows + attention


def phase_report(
    manifest: Manifest,
    phase: Phase,
    *,
    first: int,
    head_rows: int,
    rate: Fraction | None,
    clock_mhz: float,
) -> dict[str, Any]:
    """JSON-ready numbers of a phase that started at position `first`; `rate` in DRAM bytes per
    cycle, None unlimited;
    `clock_mhz`: of the accelerator, for the tokens per second.

    Bandwidth utilisation is against `rate`, or without a limit against what the ports can carry.
    Utilisations and tokens per second are None where there is no time (golden device).
    """
    offered = BEAT_BYTES * manifest.config.ports if rate is None else rate
    dram = {
        kind.name.lower(): phase.counters.get(f"bytes_{kind.name.lower()}", 0)
        for kind in TrafficClass
    }
    cycles = phase.counters.get("cycles", 0)
    macs = useful_macs(manifest, first=first, tokens=phase.tokens, head_rows=head_rows)
    return {
        "tokens": phase.tokens,
        "cycles": cycles,
        "cycles_per_token": cycles / phase.tokens if phase.tokens else 0.0,
        "array_utilisation": macs / cycles / manifest.config.macs if cycles else None,
        "bandwidth_utilisation": (
            float(sum(dram.values()) / (cycles * offered)) if cycles else None
        ),
        "dram_bytes": dram,
        "tokens_per_second": 1e6 * clock_mhz * phase.tokens / cycles if cycles else None,
    }
