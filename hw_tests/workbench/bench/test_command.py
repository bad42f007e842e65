# SPDX-License-Identifier: Apache-2.0
"""`meadow bench`: its JSON, what it stands for, its errors; small workloads on the simulated
chip.
"""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

import workbench.bench.attention
import workbench.bench.step
from hw_tests.seeds import salted
from hw_tests.workbench.commands import meadow
from meadow.model.image import cache_rows
from workbench.bench.report import STALLS
from workbench.bench.step import preset_cache
from workbench.cli import app

pytestmark = [pytest.mark.sim, pytest.mark.usefixtures("small_workloads")]

KEYS = {
    *("workload", "phase", "config", "contract_hash", "dataflow", "dataflow_of_layers", "codec"),
    *("bits_per_weight", "tokens", "context", "batch", "chunk_tokens", "chunks_total"),
    *("chunks_simulated", "layers_simulated", "layers_total", "head_channels_simulated"),
    *("head_channels_total", "hidden_block", "bandwidth_gbps", "clock_mhz", "latency_cycles"),
    *(
        "seed",
        "cycles",
        "cycles_simulated",
        "array_utilisation",
        "array_utilisation_layers",
        "weights_per_cycle",
    ),
    *("bandwidth_utilisation", "bytes_per_cycle_offered", "dram_bytes", "array_busy", "stalls"),
    *("time_ms", "tokens_per_s", "checked", "checked_values", "matches_golden"),
    *("first_difference", "label", "dram", "bandwidth_offered", "page_misses", "parameters"),
}
TRAFFIC = {"weights", "kv_read", "kv_write", "activations", "commands"}


def run(*arguments: object, code: int = 0) -> Any:
    return meadow("bench", *arguments, "--config", "tiny", code=code)


def report(*arguments: object, code: int = 0) -> dict[str, Any]:
    values = json.loads(run(*arguments, "--json", code=code).stdout)
    assert set(values) == KEYS
    assert values["label"] == "simulated" and values["checked"] > 0
    assert values["checked"] == sum(values["checked_values"].values())
    assert set(values["stalls"]) == set(STALLS) and min(values["stalls"].values()) >= 0
    assert sum(values["stalls"].values()) + values["array_busy"] == values["cycles"]
    assert set(values["dram_bytes"]) == TRAFFIC
    assert 0.9 < values["bandwidth_offered"] <= 1
    assert 0 < values["array_utilisation"] <= 1 and 0 < values["bandwidth_utilisation"] <= 1
    assert values["time_ms"] == pytest.approx(values["cycles"] / values["clock_mhz"] / 1e3)
    tokens = values["tokens"] * values["batch"]
    assert values["tokens_per_s"] == pytest.approx(1e3 * tokens / values["time_ms"])
    return values


@pytest.mark.parametrize(
    ("arguments", "checked"),
    [
        ("opt --tokens 20", {"residual", "new keys and values", "argmax", "argmax value"}),
        ("llama --tokens 9 --context 30", {"residual", "new keys and values", "argmax"}),
        ("vit --tokens 21", {"residual", "argmax"}),
        ("bert --tokens 21", {"residual", "logits"}),
        ("opt --phase decode --context 33", {"residual", "new keys and values", "argmax"}),
        ("llama --phase decode --context 33 --batch 2", {"residual", "argmax"}),
        ("llama --phase attention --tokens 10 --context 20", {"attention output"}),
        ("bert --phase attention --tokens 17", {"attention output"}),
        ("opt --phase attention --tokens 70 --dataflow gemm", {"attention output"}),
        ("llama --tokens 20 --context 10 --dataflow gemm", {"residual", "argmax"}),
        ("vit --tokens 20 --dataflow auto --codec auto", {"residual", "argmax"}),
        (
            f"opt --tokens 9 --stalls 0.4 --latency-cycles 90 --seed {salted(3)}",
            {"residual", "argmax"},
        ),
        ("llama --tokens 9 --context 30 --stalls 0.4 --dram zynqmp", {"residual", "argmax"}),
    ],
)
def test_every_phase_equals_golden(arguments: str, checked: set[str]) -> None:
    values = report(*arguments.split())
    assert values["matches_golden"] is True and values["first_difference"] is None
    assert checked <= set(values["checked_values"])
    assert values["layers_total"] == 2 and values["layers_simulated"] == 1
    assert values["cycles"] > values["cycles_simulated"] > 0


def test_the_whole_model_against_closed_forms() -> None:
    """Prefill of 20 tokens after 10, two layers of width 32: useful work and bytes counted by
    hand.
    """
    values = report("opt", "--tokens", 20, "--context", 10, "--layers", 0, "--head-channels", 0)
    assert (values["layers_simulated"], values["head_channels_simulated"]) == (2, 40)
    assert values["cycles"] == values["cycles_simulated"]
    layer = 4 * 32 * 32 + 2 * 32 * 48
    attention = 2 * 32 * sum(range(11, 31))
    macs = 2 * (20 * layer + attention) + 32 * 40
    assert values["array_utilisation"] == pytest.approx(macs / values["cycles"] / 64)
    assert values["weights_per_cycle"] == pytest.approx((2 * layer + 32 * 40) / values["cycles"])
    moved = values["dram_bytes"]
    assert moved["kv_write"] == 2 * 2 * 32 * 20 and moved["kv_read"] == 2 * 2 * 32 * 30
    assert moved["activations"] == 2 * 32 * 20 + 16
    assert values["bits_per_weight"] > 8


def test_a_layer_stands_for_all() -> None:
    one = report("opt", "--tokens", 20)
    both = report("opt", "--tokens", 20, "--layers", 2)
    assert one["cycles_simulated"] < both["cycles_simulated"] == both["cycles"]
    assert one["cycles"] == pytest.approx(both["cycles"], rel=0.1)
    assert one["dram_bytes"]["weights"] == both["dram_bytes"]["weights"]


def test_the_last_chunk_stands_for_all() -> None:
    every = report("opt", "--tokens", 70, "--phase", "attention")
    last = report("opt", "--tokens", 70, "--phase", "attention", "--chunks", 1)
    assert (every["chunk_tokens"], every["chunks_total"]) == (36, 2)
    assert (every["chunks_simulated"], last["chunks_simulated"]) == (2, 1)
    assert last["cycles_simulated"] < every["cycles_simulated"]
    assert last["cycles"] >= every["cycles"]


def test_the_limit_of_the_memory_is_felt() -> None:
    free = report("opt", "--phase", "decode", "--context", 9)
    limited = report("opt", "--phase", "decode", "--context", 9, "--bandwidth-gbps", 2)
    assert (free["bandwidth_gbps"], limited["bandwidth_gbps"]) == (None, 2)
    assert limited["bytes_per_cycle_offered"] == 1
    assert limited["cycles"] > 5 * free["cycles"]
    assert limited["bandwidth_utilisation"] > 0.8
    assert limited["stalls"]["dram"] > 0.5 * limited["cycles"]


def test_a_real_memory_offers_less() -> None:
    """Refresh alone takes 72 of 1950 cycles; the chip still uses what is left."""
    arguments = ("opt", "--phase", "decode", "--context", 9, "--bandwidth-gbps", 4)
    ideal, real = report(*arguments), report(*arguments, "--dram", "zynqmp")
    assert (ideal["dram"], ideal["bandwidth_offered"], ideal["page_misses"]) == ("ideal", 1, 0)
    assert real["dram"] == "zynqmp" and real["page_misses"] > 0
    assert real["bandwidth_offered"] < 1 - 72 / 1950 + 0.005
    assert real["cycles"] > ideal["cycles"]
    share = ideal["cycles"] / real["cycles"] / real["bandwidth_offered"]
    assert share == pytest.approx(1, abs=0.02)
    assert real["dram_bytes"] == ideal["dram_bytes"]


def test_the_table_shows_the_figures() -> None:
    result = run("opt", "--tokens", 6)
    for text in ("opt prefill on tiny (simulated)", "1 of 2 layers", "cycles (scaled)", "softmax"):
        assert text in result.stdout
    assert "tokens per second, DRAM unlimited" in result.stdout
    limited = run("opt", "--tokens", 6, "--bandwidth-gbps", 8).stdout
    assert "tokens per second, DRAM 8 Gbit/s" in limited and "time at 250 MHz" in limited


def test_progress_is_not_on_stdout() -> None:
    result = run("opt", "--tokens", 6, "--json")
    assert result.stdout.startswith("{") and result.stdout.endswith("}\n")
    assert "simulating" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "module", "what"),
    [
        ("opt --tokens 6 --context 9", workbench.bench.step, "residual"),
        (
            "llama --phase attention --tokens 6 --context 9",
            workbench.bench.attention,
            "attention output",
        ),
    ],
)
def test_a_planted_difference_is_told(
    monkeypatch: pytest.MonkeyPatch, arguments: str, module: ModuleType, what: str
) -> None:
    """The device has another value in its cache than the golden model."""

    def wrong(*given: Any) -> None:
        preset_cache(*given)
        _, _, memory, manifest, sequence, _ = given
        # Layer 0, V of head 0, key 2, channel 3.
        cache_rows(memory, manifest, sequence)[0, 1, 0, 0, 2, 3] ^= 0x40

    monkeypatch.setattr(module, "preset_cache", wrong)
    result = run(*arguments.split(), "--json", code=1)
    values = json.loads(result.stdout)
    assert set(values) == KEYS and values["matches_golden"] is False
    assert values["first_difference"].startswith(f"{what} [")
    last = result.stderr.splitlines()[-1]
    assert last == f"meadow: differs from the golden model: {values['first_difference']}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gpt"], "unknown workload 'gpt': choose from opt-125m"),
        (["opt", "--phase", "x"], "phase must be one of prefill, decode, attention, not 'x'"),
        (["opt", "--dataflow", "x"], "dataflow must be one of tphs, gemm, auto, not 'x'"),
        (["opt", "--codec", "x"], "codec must be one of"),
        (["opt", "--tokens", "0"], "tokens must be at least 1, not 0"),
        (["opt", "--tokens", "x"], "'--tokens': Input should be a valid integer"),
        (["opt", "--layers", "3"], "opt has 1..2 layers, not 3"),
        (["opt", "--batch", "9"], "tiny takes 1..4 sequences, not 9"),
        (["opt", "--batch", "2", "--tokens", "40"], "must hold all 40 tokens of 2 sequences"),
        (["opt", "--bandwidth-gbps", "0"], "bandwidth must be 0.001..1e6 Gbit/s, not 0.0"),
        (["opt", "--stalls", "1"], "stalls must be a probability below 1, not 1.0"),
        (["opt", "--clock-mhz", "-1"], "clock must be 0.001..1e5 MHz, not -1.0"),
        (["opt", "--dram", "x"], "dram must be one of ideal, zynqmp, not 'x'"),
        (["opt", "--dram", "zynqmp", "--clock-mhz", "1"], "cannot be counted in cycles of 1 MHz"),
        (["opt", "--seed", "-1"], "seed must be 0..2**64 - 1, not -1"),
        (["vit", "--phase", "decode"], "vit is bidirectional: it has no decode and no context"),
        (["opt", "--tokens", "513"], "tiny attends to 512 tokens, not 513"),
    ],
)
def test_a_bad_option_is_one_line(arguments: list[str], message: str) -> None:
    result = run(*arguments, code=2)
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("meadow: ") and message in last


def test_an_unknown_configuration_is_one_line() -> None:
    result = CliRunner().invoke(app, ["bench", "opt-125m", "--config", "huge"])
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("meadow: unknown configuration 'huge'")


@pytest.mark.slow
def test_a_published_workload_on_a_larger_configuration() -> None:
    arguments = ["bench", "opt-125m", "--config", "small", "--tokens", "20", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--head-channels", "64"])
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert (values["layers_simulated"], values["layers_total"]) == (1, 12)
    assert (values["head_channels_simulated"], values["head_channels_total"]) == (64, 50272)
    assert values["matches_golden"] is True and values["array_utilisation"] > 0.5
    # A stream's preamble and the padding of its headers are less than 2 %.
    weights = values["dram_bytes"]["weights"]
    assert weights == pytest.approx(12 * 12 * 768**2 + 768 * 50272, rel=0.05)
