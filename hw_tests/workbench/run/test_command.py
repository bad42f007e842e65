# SPDX-License-Identifier: Apache-2.0
"""`meadow run`: its JSON, its text, its errors; on the golden device, and marked `sim` on the
simulated one.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from firmware.device import DeviceTimeout
from firmware.golden_device import GoldenDevice
from hw_tests.models import family_description
from hw_tests.seeds import salted
from hw_tests.workbench.commands import meadow
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.spec.config import named_config
from workbench.cli import app
from workbench.devices import Throttle
from workbench.models.cached import Loaded
from workbench.run import reference
from workbench.run.command import run_model

KEYS = [
    *("text", "tokens", "device", "config", "contract_hash", "clock_mhz", "matches_golden"),
    *("prefill", "decode"),
]
PHASE_KEYS = [
    *("tokens", "cycles", "cycles_per_token", "array_utilisation", "bandwidth_utilisation"),
    *("dram_bytes", "tokens_per_second"),
]
DRAM_KEYS = ["weights", "kv_read", "kv_write", "activations", "commands"]


run = partial(meadow, "run")


def report(*arguments: object) -> dict[str, Any]:
    return json.loads(run(*arguments, "--json").stdout)


def test_json_has_exactly_these_keys_first(checkpoint: Path) -> None:
    values = report(checkpoint, "--device", "golden", "--prompt", "abc", "--max-tokens", 5)
    assert list(values)[: len(KEYS)] == KEYS
    for phase in ("prefill", "decode"):
        assert list(values[phase]) == PHASE_KEYS
        assert list(values[phase]["dram_bytes"]) == DRAM_KEYS
    assert values["matches_golden"] is True
    assert values["golden"] == "bit_true"
    assert values["prompt_tokens"] == [2, 3, 4, 5]
    assert values["prefill"]["tokens"] == 4
    assert values["decode"]["tokens"] == len(values["tokens"]) - 1
    assert values["decode"]["cycles"] == 0
    assert values["decode"]["array_utilisation"] is None
    assert values["decode"]["tokens_per_second"] is None
    assert values["dram_limit"] == "DRAM unlimited"
    assert values["label"] == "golden model, without time"
    assert all(values["decode"]["dram_bytes"][key] > 0 for key in DRAM_KEYS)


def test_chunks_and_configurations_of_one_width_do_not_change_the_tokens(checkpoint: Path) -> None:
    common = (checkpoint, "--device", "golden", "--prompt", "hello you", "--max-tokens", 12)
    whole = report(*common)
    assert report(*common, "--chunk", 3)["tokens"] == whole["tokens"]
    assert report(*common, "--chunk", 1)["prefill"]["dram_bytes"]["weights"] > (
        5 * whole["prefill"]["dram_bytes"]["weights"]
    )


def test_sampling_follows_the_seed(checkpoint: Path) -> None:
    common = (checkpoint, "--device", "golden", "--prompt", "hello", "--max-tokens", 12)
    tokens = [
        report(*common, "--top-k", 20, "--seed", salted(seed))["tokens"] for seed in (1, 1, 2)
    ]
    assert tokens[0] == tokens[1] != tokens[2]


def test_text_is_streamed_and_a_table_follows(checkpoint: Path) -> None:
    result = run(checkpoint, "--device", "golden", "--prompt", "abc", "--max-tokens", 5)
    text = report(checkpoint, "--device", "golden", "--prompt", "abc", "--max-tokens", 5)["text"]
    assert result.stdout.startswith("abc" + text)
    assert "every one equal to golden" in result.stdout
    assert "DRAM bytes, weights" in result.stdout


def test_a_model_without_tokenizer_runs_on_token_numbers(silent_checkpoint: Path) -> None:
    values = report(
        silent_checkpoint, "--device", "golden", "--prompt-tokens", "2,7,9", "--max-tokens", 4
    )
    assert values["text"] is None and values["prompt_tokens"] == [2, 7, 9]


def test_an_image_file_is_compared_with_the_golden_machine(
    checkpoint: Path, tmp_path: Path
) -> None:
    image = tmp_path / "model.meadow"
    made = CliRunner().invoke(app, ["compile", str(checkpoint), "-o", str(image)])
    assert made.exit_code == 0, made.output
    common = ("--device", "golden", "--prompt", "abc", "--max-tokens", 4)
    values = report(image, *common)
    assert values["golden"] == "machine" and values["matches_golden"]
    assert values["tokens"] == report(checkpoint, *common)["tokens"]


@pytest.mark.parametrize("quantised", [True, False])
def test_a_model_with_a_prefix_equals_golden(quantised: bool) -> None:
    """Of a prompt that begins with it the rest is taken in, and counted from behind it."""
    model = synthetic_model(
        family_description("llama", eos_token=19), seed=salted(6), prefix=(1, 3)
    )
    config = named_config("tiny")
    image = compile_image(model, config, config_name="tiny", tokenizer_json=b"")

    def told(prompt: list[int]) -> dict[str, Any]:
        return run_model(
            Loaded(image, model if quantised else None),
            prompt,
            device_name="golden",
            throttle=Throttle(),
            max_tokens=6,
            chunk=2,
            top_k=None,
            seed=0,
        )

    long, short = told([1, 3, 7, 8, 9]), told([7, 8, 9])
    for values in (long, short):
        assert values["matches_golden"] and values["prefill"]["tokens"] == 3
        assert values["golden"] == ("bit_true" if quantised else "machine")
    assert long["tokens"] == short["tokens"] and long["prompt_tokens"] == [1, 3, 7, 8, 9]
    assert told([1, 7, 8])["matches_golden"]


def test_a_difference_ends_with_exit_code_1(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = reference._BitTrue.follow
    calls = []

    def wrong(self: Any, tokens: list[int]) -> np.ndarray:
        calls.append(tokens)
        return follow(self, tokens) + (1 if len(calls) == 3 else 0)

    monkeypatch.setattr(reference._BitTrue, "follow", wrong)
    result = run(
        *(checkpoint, "--device", "golden", "--prompt", "abc", "--max-tokens", 6, "--json"), code=1
    )
    values = json.loads(result.stdout)
    assert values["matches_golden"] is False
    assert values["first_difference"].startswith("generated token 2: arg-max is token")
    assert "differs from the golden model at generated token 2" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", "a" * 99], "the prompt has 100 tokens, the context of this image holds 64"),
        (["--prompt-tokens", "9" * 30], "a token must be in 0..70, not 99999"),
        (["--prompt", "\udcff"], "a prompt must be UTF-8 text"),
        (["--prompt-tokens", ""], "prompt tokens must be numbers like 1,2,3, not ''"),
        (["--max-tokens", "x"], "not 'x' (see --help)"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    checkpoint: Path, arguments: list[str], message: str
) -> None:
    given = arguments if "--device" in arguments else ["--device", "golden", *arguments]
    result = run(checkpoint, *given, "--json", code=2)
    lines = [line for line in result.stderr.splitlines() if line.startswith("meadow: ")]
    assert len(lines) == 1 and message in lines[0]
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    result = run(tmp_path / "none.meadow", "--device", "golden", code=2)
    assert result.stderr == f"meadow: No such file or directory: {tmp_path / 'none.meadow'}\n"


def test_text_without_tokenizer_says_what_to_do(silent_checkpoint: Path) -> None:
    result = run(silent_checkpoint, "--device", "golden", "--prompt", "a", code=2)
    assert "the image has no tokenizer" in result.stderr and "--prompt-tokens" in result.stderr


def test_a_device_that_never_finishes_is_one_line(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(self: GoldenDevice, timeout_s: float | None = None) -> None:
        raise DeviceTimeout("no interrupt within 5000 cycles")

    monkeypatch.setattr(GoldenDevice, "wait", wait)
    result = run(checkpoint, "--device", "golden", "--json", code=2)
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == "meadow: no interrupt within 5000 cycles"


def test_a_full_disk_is_named(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.run.command.print_json", full)
    result = run(checkpoint, "--device", "golden", "--max-tokens", 1, "--json", code=2)
    assert result.stderr.splitlines()[-1] == "meadow: No space left on device"


@pytest.mark.sim
@pytest.mark.parametrize("config", ["tiny", "small"])
@pytest.mark.parametrize("stalls", [0, 0.3])
def test_the_simulated_device_equals_golden(checkpoint: Path, config: str, stalls: float) -> None:
    common = (checkpoint, "--config", config, "--prompt", "hello you", "--max-tokens", 6)
    values = report(
        *common, "--device", "sim", "--stalls", stalls, "--seed", salted(7), "--chunk", 5
    )
    golden = report(*common, "--device", "golden", "--chunk", 5)
    assert values["matches_golden"] and values["label"] == "simulated"
    assert values["tokens"] == golden["tokens"]
    for phase in ("prefill", "decode"):
        assert values[phase]["cycles"] > 0
        assert 0 < values[phase]["array_utilisation"] <= 1
        assert values[phase]["dram_bytes"] == golden[phase]["dram_bytes"]


@pytest.mark.sim
def test_a_bandwidth_limit_is_used_and_kept(checkpoint: Path) -> None:
    common = (checkpoint, "--device", "sim", "--prompt", "abc", "--max-tokens", 4)
    free = report(*common)
    limited = report(*common, "--bandwidth-gbps", 2, "--clock-mhz", 250)
    table = run(*common, "--bandwidth-gbps", 2, "--clock-mhz", 250).stdout
    assert "tokens per second, DRAM 2 Gbit/s" in table and "at 250 MHz" in table
    for values, limit in ((free, "DRAM unlimited"), (limited, "DRAM 2 Gbit/s")):
        assert values["dram_limit"] == limit
        for phase in (values["prefill"], values["decode"]):
            seconds = phase["cycles"] / 250e6
            assert phase["tokens_per_second"] == pytest.approx(phase["tokens"] / seconds)
    assert limited["bytes_per_cycle"] == 1.0
    assert 0.5 < limited["decode"]["bandwidth_utilisation"] <= 1
    assert limited["decode"]["cycles"] > 1.5 * free["decode"]["cycles"]
    assert limited["tokens"] == free["tokens"]


def test_a_timeline_does_not_replace_the_model(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.meadow"
    result = CliRunner().invoke(app, ["compile", str(checkpoint), "-o", str(output)])
    assert result.exit_code == 0, result.output
    for model, timeline in ((output, output), (checkpoint, checkpoint / "config.json")):
        before = timeline.read_bytes()
        result = CliRunner().invoke(app, ["run", str(model), "--trace", str(timeline)])
        assert result.exit_code == 2
        expected = f"meadow: cannot write the timeline: It is made from this file: {timeline}\n"
        assert result.stderr == expected
        assert timeline.read_bytes() == before
