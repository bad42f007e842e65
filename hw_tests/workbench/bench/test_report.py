# SPDX-License-Identifier: Apache-2.0
"""From counters to figures, against closed forms and loops over every key."""

from __future__ import annotations

import pytest

from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.spec.config import named_config
from meadow.spec.families import FAMILIES
from workbench.bench.report import (
    STALLS,
    Totals,
    attention_macs,
    figures,
    linear_macs,
    stall_cycles,
)
from workbench.devices import Throttle

TINY = named_config("tiny")
COUNTERS = {
    "cycles": 1000,
    "array_busy": 500,
    "stall_tile": 300,
    "stall_decoder": 40,
    "stall_operand": 30,
    "stall_drain": 20,
    "stall_softmax": 15,
    "stall_vector": 10,
    "bytes_weights": 4096,
    "bytes_kv_read": 128,
    "bytes_kv_write": 64,
    "bytes_activations": 32,
    "bytes_commands": 640,
}


def numbers(totals: Totals, throttle: Throttle, **options: float) -> dict[str, object]:
    values = {"macs": 12800, "weights": 4000, "needed_bytes": 4000.0, "tokens": 20} | options
    return figures(totals, TINY, throttle, **values)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", FAMILIES)
def test_linear_macs_are_the_weights_of_a_layer(name: str) -> None:
    description = family_description(name, hidden=40)
    model = synthetic_model(description, hidden_block=16, seed=salted(0))
    image = compile_image(model, TINY, config_name="tiny", tokenizer_json="{}")
    matrices = [m for m in image.manifest.matrices if m.name.startswith("layers.1.")]
    assert linear_macs(description) == sum(m.outputs * m.inputs for m in matrices)


@pytest.mark.parametrize(("position", "tokens"), [(0, 1), (0, 5), (7, 3)])
@pytest.mark.parametrize("name", ["llama", "vit"])
def test_attention_macs_count_visible_keys(name: str, position: int, tokens: int) -> None:
    d = family_description(name)
    pairs = sum(
        not d.causal or key <= query
        for query in range(position, position + tokens)
        for key in range(position + tokens)
    )
    assert attention_macs(d, position, tokens) == 2 * d.heads * d.head_dim * pairs


def test_busy_and_stalls_are_all_cycles() -> None:
    totals = Totals({})
    totals.add(COUNTERS)
    stalls = stall_cycles(totals)
    assert tuple(stalls) == STALLS
    assert stalls == {
        **{"dram": 260, "decoder": 40, "operand": 30, "drain": 20, "softmax": 15, "vector": 10},
        "other": 125,
    }
    assert sum(stalls.values()) + totals["array_busy"] == totals["cycles"]


def test_parts_stand_for_several() -> None:
    totals = Totals({})
    totals.add(COUNTERS, 2.5)
    totals.add(COUNTERS)
    assert (totals["cycles"], totals.simulated) == (3500, 2000)
    assert sum(stall_cycles(totals).values()) + totals["array_busy"] == 3500


def test_figures_of_an_unlimited_memory() -> None:
    totals = Totals({})
    totals.add(COUNTERS)
    values = numbers(totals, Throttle(clock_mhz=100))
    assert values["array_utilisation"] == 12800 / 1000 / 64
    assert values["weights_per_cycle"] == 4
    assert values["bytes_per_cycle_offered"] == 16
    assert values["bandwidth_utilisation"] == 4000 / 16000
    assert values["time_ms"] == pytest.approx(0.01)
    assert values["tokens_per_s"] == pytest.approx(2e6)
    assert values["dram_bytes"] == {
        **{"weights": 4096, "kv_read": 128, "kv_write": 64, "activations": 32, "commands": 640}
    }


@pytest.mark.parametrize(("gbps", "offered"), [(3.2, 4.0), (1000, 16.0)])
def test_the_limit_is_what_is_offered_up_to_the_ports(gbps: float, offered: float) -> None:
    totals = Totals({})
    totals.add(COUNTERS)
    values = numbers(totals, Throttle(clock_mhz=100, bandwidth_gbps=gbps))
    assert values["bytes_per_cycle_offered"] == offered
    assert values["bandwidth_utilisation"] == 4 / offered


def test_the_memory_offers_its_cycles_without_refresh_and_misses() -> None:
    """Scaled like everything else: one segment three times, another once."""
    totals = Totals({})
    memory = {"dram_cycles": 1000, "dram_refresh_cycles": 40, "dram_page_miss_cycles": 10}
    totals.add(COUNTERS | memory | {"dram_page_misses": 5}, 3)
    totals.add(COUNTERS | {"dram_cycles": 1000, "dram_refresh_cycles": 10})
    values = numbers(totals, Throttle(clock_mhz=100, dram="zynqmp"))
    assert values["bandwidth_offered"] == pytest.approx(1 - 160 / 4000)
    assert values["page_misses"] == 15
    assert numbers(totals, Throttle(clock_mhz=100))["bytes_per_cycle_offered"] == 16


@pytest.mark.parametrize(
    ("gbps", "dram", "bytes_per_cycle"),
    [(None, "ideal", None), (12, "ideal", 15), (None, "zynqmp", 170.64), (12, "zynqmp", 15)],
)
def test_a_memory_has_a_peak_of_its_own(
    gbps: float | None, dram: str, bytes_per_cycle: float | None
) -> None:
    throttle = Throttle(clock_mhz=100, bandwidth_gbps=gbps, dram=dram)
    seen = throttle.bytes_per_cycle
    assert seen == bytes_per_cycle or float(seen or 0) == bytes_per_cycle
    assert throttle.settings().page_miss_cycles == (3 if dram == "zynqmp" else 0)
    assert Throttle(clock_mhz=100, bandwidth_gbps=1000, dram="zynqmp").bytes_per_cycle == (
        Throttle(clock_mhz=100, dram="zynqmp").bytes_per_cycle
    )
