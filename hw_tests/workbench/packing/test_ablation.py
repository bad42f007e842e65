# SPDX-License-Identifier: Apache-2.0
"""`meadow ablation`: MEADOW's steps in order, ratios that belong to their bits, errors in one
line.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest

from hw_tests.workbench.commands import meadow
from meadow.compiler.packing.packing import pack_matrix
from meadow.spec.config import named_config
from workbench.packing.ablation import OPT_LIKE, PUBLISHED, STEP_TEXTS, AblationCase, ablate
from workbench.packing.figures import padded_weights

run = partial(meadow, "ablation")


def steps(case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {step["step"]: step for step in case["steps"]}
    assert list(found) == list(STEP_TEXTS)
    for name, step in found.items():
        assert step["published_ratio"] == PUBLISHED.get(name)
        for prefix in ("", "one_table_"):
            bits = step[f"{prefix}bits_per_weight"]
            assert step[f"{prefix}ratio"] == (None if bits is None else pytest.approx(8 / bits))
    return found


def test_meadows_steps_on_a_matrix_like_its_own() -> None:
    """Few degrees of freedom: outliers set the step, and each step of the packing gains, as
    published.
    """
    case = ablate(
        AblationCase(name="fc2-like", rows=768, columns=3072, degrees=4),
        named_config("zcu102-paper"),
        0,
    )
    found = steps(case)
    naive, precise, ordered = (found[name]["one_table_ratio"] for name in PUBLISHED)
    assert 1.3 < naive < precise < ordered < 3.5
    assert found["best_chunk"]["ratio"] >= found["frequency_order"]["ratio"]
    assert found["rice"]["ratio"] > found["best_chunk"]["ratio"]
    assert found["rice"]["one_table_ratio"] is None
    assert 8 / case["entropy_bits"] > found["rice"]["ratio"]


def test_the_steps_are_streams_that_are_really_packed() -> None:
    config, case = named_config("small"), AblationCase(name="a", rows=64, columns=96, degrees=3)
    weight = case.draw(5)
    padded = padded_weights(weight, config)
    found = steps(ablate(case, config, 5))
    rice = pack_matrix(padded, config, "rice")
    assert found["rice"]["bits_per_weight"] == 8 * rice.payload_bytes / weight.size
    dictionary = pack_matrix(padded, config, "dictionary")
    best = found["best_chunk"]["bits_per_weight"]
    assert 8 * dictionary.payload_bytes / weight.size == pytest.approx(best, rel=0.05)


def test_unique_chunks_that_do_not_fit_are_told() -> None:
    result = run("--rows", 512, "--columns", 768, "--degrees", 1000, "--config", "small")
    assert "over 1,024 chunks" in result.stdout
    case = json.loads(
        run(
            "--rows", 512, "--columns", 768, "--degrees", 1000, "--config", "small", "--json"
        ).stdout
    )["cases"][0]
    found = steps(case)
    assert case["unique_chunks"]["2"] > 1024
    assert found["frequency_order"]["bits_per_weight"] is None
    assert found["best_chunk"]["bits_per_weight"] is not None


def test_the_report_has_four_matrices_of_opt() -> None:
    values = json.loads(run("--json").stdout)
    assert values["label"] == "synthetic" and values["seed"] == 0
    assert values["config"] == "zcu102-paper" and "arXiv 2503.11663" in values["published"]
    for case, drawn in zip(values["cases"], OPT_LIKE, strict=True):
        assert case["shape"] == [drawn.rows, drawn.columns]
        assert (case["name"], case["degrees"]) == (drawn.name, drawn.degrees)
        steps(case)


def test_the_seed_decides() -> None:
    case = AblationCase(name="a", rows=8, columns=8, degrees=4)
    assert np.array_equal(case.draw(1), case.draw(1))
    assert not np.array_equal(case.draw(1), case.draw(2))
    assert np.abs(case.draw(1)).max() == 127


def test_published_ratios_are_labelled() -> None:
    result = run("--rows", 64, "--columns", 64, "--config", "tiny")
    for text in ("published", "1.54×", "2.63×", "rice instead", "(synthetic)"):
        assert text in result.stdout
    assert "packing own, 64 × 64, 5 degrees" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", 0], "rows must be at least 1 and columns even"),
        (["--columns", 3], "columns even and at least 2, not 3072 and 3"),
        (["--rows", 1 << 20, "--columns", 1 << 20], "rows * columns must be at most"),
        (["--degrees", 0], "degrees must be at least 0.1 and finite, not 0.0"),
        (["--degrees", "nan"], "degrees must be at least 0.1 and finite, not nan"),
        (["--seed", -1], "seed must be at least 0, not -1"),
        (["--config", "huge"], "unknown configuration 'huge'"),
    ],
)
def test_wrong_input_is_told_in_one_line(arguments: list[object], message: str) -> None:
    result = run(*arguments, "--json", code=2)
    assert result.stdout == "" and message in result.stderr
    assert result.stderr.startswith("meadow: ") and result.stderr.count("\n") == 1
