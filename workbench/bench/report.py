# SPDX-License-Identifier: Apache-2.0
"""From the counters of simulated steps to the figures of the whole model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meadow.spec.commands import TrafficClass
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.model import ModelDescription
from workbench.devices import Throttle

__all__ = ["STALLS", "Totals", "attention_macs", "figures", "linear_macs", "stall_cycles"]

STALLS = ("dram", "decoder", "operand", "drain", "softmax", "vector", "other")
"""Why the array did not compute, in `stalls`; `other`: commands, stores, the ends of a program."""

_CLASSES = tuple(kind.name.lower() for kind in TrafficClass)


def linear_macs(description: ModelDescription) -> int:
    """Multiply-accumulates of a layer's matrices for one token, which is also their weights."""
    d = description
    attention, key_value = d.heads * d.head_dim, d.kv_heads * d.head_dim
    return d.width * (2 * attention + 2 * key_value + (3 if d.gated else 2) * d.hidden)


def attention_macs(description: ModelDescription, position: int, tokens: int) -> int:
    """Multiply-accumulates of Q.K and P.V in one layer: only keys that a token may see count."""
    d = description
    keys = tokens * (position + tokens)
    if d.causal:
        keys = sum(range(position + 1, position + tokens + 1))
    return 2 * d.heads * d.head_dim * keys


@dataclass
class Totals:
    """Counters of the whole model: simulated ones, multiplied where a part stands for several."""

    values: dict[str, float]
    simulated: int = 0

    def add(self, counters: Mapping[str, int], times: float = 1.0) -> None:
        """Count a segment `times` times."""
        self.simulated += counters["cycles"]
        for name, value in counters.items():
            self.values[name] = self.values.get(name, 0) + value * times

    def __getitem__(self, name: str) -> int:
        return round(self.values.get(name, 0))


def stall_cycles(totals: Totals) -> dict[str, int]:
    """Cycles in which the array did not compute, by cause."""
    stalls = {
        "dram": totals["stall_tile"] - totals["stall_decoder"],
        **{name: totals[f"stall_{name}"] for name in STALLS[1:-1]},
    }
    stalls["other"] = max(0, totals["cycles"] - totals["array_busy"] - sum(stalls.values()))
    return stalls


def _moving_share(totals: Totals) -> float:
    """Cycles of the memory in which data could move, of all; refresh and page misses stop it in the
    others.
    """
    cycles = totals["dram_cycles"]
    stopped = totals["dram_refresh_cycles"] + totals["dram_page_miss_cycles"]
    return 1 - stopped / cycles if cycles else 1.0


def figures(
    totals: Totals,
    config: AcceleratorConfig,
    throttle: Throttle,
    *,
    macs: int,
    weights: int,
    needed_bytes: float,
    tokens: int,
) -> dict[str, Any]:
    """JSON-ready figures.

    macs: useful ones; weights: elements that were streamed; needed_bytes: each needed byte once;
    tokens: of all sequences.
    """
    cycles = totals["cycles"]
    rate = throttle.bytes_per_cycle
    peak = BEAT_BYTES * config.ports
    offered = float(peak if rate is None else min(rate, peak))
    seconds = cycles / (throttle.clock_mhz * 1e6)
    return {
        "cycles": cycles,
        "cycles_simulated": totals.simulated,
        "array_utilisation": macs / cycles / config.macs,
        "weights_per_cycle": weights / cycles,
        "bandwidth_utilisation": needed_bytes / (cycles * offered),
        "bytes_per_cycle_offered": offered,
        "bandwidth_offered": _moving_share(totals),
        "page_misses": totals["dram_page_misses"],
        "dram_bytes": {name: totals[f"bytes_{name}"] for name in _CLASSES},
        "array_busy": totals["array_busy"],
        "stalls": stall_cycles(totals),
        "time_ms": 1e3 * seconds,
        "tokens_per_s": tokens / seconds,
    }
