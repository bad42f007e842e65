# SPDX-License-Identifier: Apache-2.0
"""`meadow soak`: what it draws fits, runs equal golden, and a difference or a hang ends it with its
combination.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest

import workbench.campaigns.soak
from firmware.device import DeviceTimeout
from hw_tests.seeds import salted
from hw_tests.workbench.commands import meadow
from meadow.compiler.lowering.layout import (
    CompileError,
    plan_activations,
    plan_cache,
    plan_sizes,
)
from meadow.spec.config import CONFIGURATIONS, named_config
from meadow.spec.families import FAMILIES
from workbench.bench.step import Check
from workbench.campaigns.random_checkpoints import CHECKPOINTS, FORMS
from workbench.campaigns.soak import SoakCase, draw_case, run_case
from workbench.configurations.chosen import ChosenConfig, choose_config

KEYS = {
    *("config", "seed", "cases", "checked", "matches_golden", "first_difference"),
    *("combinations", "label", "parameters", "contract_hash"),
}


def draw(config: str, count: int, seed: int = 0, **kind: Any) -> list[SoakCase]:
    random = np.random.default_rng(salted(seed))
    return [
        draw_case(random, named_config(config), int(random.integers(0, 1 << 31)), **kind)
        for _ in range(count)
    ]


run = partial(meadow, "soak", "--config", "tiny")


@pytest.mark.parametrize("config", CONFIGURATIONS)
def test_every_case_that_is_drawn_fits(config: str) -> None:
    settings, cases = named_config(config), draw(config, 200)
    for case in cases:
        plan = plan_activations(plan_sizes(case.description, case.hidden_block, settings), settings)
        assert sum(case.tokens) <= plan.tokens
        plan_cache(case.description, settings, case.description.max_positions)
        assert len(case.tokens) == len(case.positions) <= settings.sequences
    assert {case.description.architecture for case in cases} == set(FAMILIES)
    assert {case.codec for case in cases} == {*settings.codecs, "auto"}
    assert {case.dataflow for case in cases} == {"tphs", *["gemm"] * settings.baseline}
    assert any(d.heads > d.kv_heads > 1 for d in (case.description for case in cases))
    several = [case for case in cases if len(case.tokens) > 1]
    assert any(any(case.positions) for case in several) == (settings.sequences > 1)
    assert any(case.throttle.stalls for case in cases)
    assert all(len(case.prefix) <= min(case.positions) for case in cases)
    assert {0, 1, 2} <= {len(case.prefix) for case in cases}


def test_the_seed_decides_what_is_drawn() -> None:
    first, again, other = (draw("small", 5, seed) for seed in (1, 1, 2))
    assert first == again != other
    json.dumps([case.to_dict() for case in first], allow_nan=False)


@pytest.mark.sim
@pytest.mark.slow
def test_three_cases_of_every_family_equal_golden() -> None:
    """Smallest first of what seed 8 draws, so that each takes about a second."""
    cases = sorted(
        draw("tiny", 80, seed=8), key=lambda case: max(case.positions) + sum(case.tokens)
    )
    for family in sorted(FAMILIES):
        chosen = [case for case in cases if case.description.architecture == family][1:4]
        assert len(chosen) == 3
        for case in chosen:
            check = run_case(case, choose_config("tiny"))
            assert check.difference is None, f"{check.difference}: {case}"
            assert check.total > 0


@pytest.mark.parametrize("config", CONFIGURATIONS)
def test_every_checkpoint_that_is_drawn_fits(config: str) -> None:
    settings, cases = named_config(config), draw(config, 200, checkpoints=True)
    for case in cases:
        plan = plan_activations(plan_sizes(case.description, case.hidden_block, settings), settings)
        assert sum(case.tokens) <= plan.tokens
        assert case.dataflow == "tphs" and case.prefix == () and min(case.positions) > 0
        assert case.description.max_positions <= settings.max_context
    assert {case.description.architecture for case in cases} == set(CHECKPOINTS)
    assert {case.description.tied_head for case in cases} == {True, False}
    made = [case.checkpoint for case in cases if case.checkpoint is not None]
    assert len(made) == len(cases) and {one.form for one in made} == set(FORMS)
    assert {one.rotate for one in made} == {"auto", "on", "off"}
    assert any(one.sink and one.prefix == "auto" for one in made)
    # Odd shapes: what W does not divide, and query heads that share a KV head.
    sizes = [case.description for case in cases]
    assert any(d.width % 16 and d.hidden % 16 and d.vocabulary % 16 for d in sizes)
    assert any(d.heads > d.kv_heads > 1 for d in sizes) and any(d.head_dim < 16 for d in sizes)
    fixed = draw(config, 20, checkpoints=True, head_dim=settings.max_head_dim)
    assert {case.description.head_dim for case in fixed} == {settings.max_head_dim}
    assert len({case.description.heads for case in fixed}) > 2


@pytest.mark.sim
@pytest.mark.slow
def test_checkpoints_of_every_form_equal_golden_from_files_to_the_chip() -> None:
    """Of each architecture and form the case of seed 5 with the fewest positions."""
    cases = sorted(
        draw("tiny", 60, seed=5, checkpoints=True),
        key=lambda case: max(case.positions) + sum(case.tokens),
    )
    for architecture in CHECKPOINTS:
        for form in FORMS:
            case = next(
                case
                for case in cases
                if case.description.architecture == architecture
                and case.checkpoint is not None
                and case.checkpoint.form == form
            )
            check = run_case(case, choose_config("tiny"))
            assert check.difference is None, f"{check.difference}: {case}"
            assert check.total > 0


@pytest.mark.sim
def test_a_checkpoint_is_reported_with_how_it_was_made() -> None:
    result = run("--checkpoints", "--head-dim", 8, "--count", 1, "--seed", salted(3), "--json")
    values = json.loads(result.stdout)
    assert values["matches_golden"] is True and values["checked"] > 0
    (case,) = values["combinations"]
    assert case["head_dim"] == 8 and case["checkpoint"]["form"] in FORMS


@pytest.mark.parametrize("head_dim", [0, -2, 7, 66])
def test_a_head_dim_that_cannot_be_is_refused(head_dim: int) -> None:
    assert run("--head-dim", head_dim, code=2).stderr == (
        f"meadow: head_dim must be even and at most max_head_dim (64), not {head_dim}\n"
    )


@pytest.mark.sim
def test_equal_runs_are_reported() -> None:
    result = run("--count", 2, "--seed", salted(3), "--json")
    values = json.loads(result.stdout)
    assert set(values) == KEYS and values["label"] == "simulated"
    assert (values["config"], values["seed"], values["cases"]) == ("tiny", salted(3), 2)
    assert values["matches_golden"] is True and values["first_difference"] is None
    assert values["checked"] > 0 and len(values["combinations"]) == 2
    assert "case 2 of 2" in result.stderr


def difference(case: SoakCase, chosen: ChosenConfig) -> Check:
    """The second case of the seed differs."""
    check = Check()
    expected = [1, 3] if case == draw("tiny", 2)[1] else [1, 2]
    check.compare("logits", np.array([1, 2]), np.array(expected))
    return check


def test_the_first_difference_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbench.campaigns.soak, "run_case", difference)
    seed = salted(0)
    result = run("--count", 3, "--seed", seed, "--json", code=1)
    values = json.loads(result.stdout)
    assert (values["cases"], values["checked"], values["matches_golden"]) == (2, 4, False)
    assert values["first_difference"] == "logits [1]: 2, golden 3, 1 of 2 differ"
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"meadow: case 2 differs from golden: {values['first_difference']}: ")
    assert str(values["combinations"][1]) in last
    assert "2 combinations on tiny, 4 values" in run("--count", 3, "--seed", seed, code=1).stdout


@pytest.mark.parametrize(
    "fault", [DeviceTimeout("no interrupt within 7 cycles"), CompileError("no room for 7 words")]
)
def test_a_run_that_does_not_end_is_told_with_its_combination(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(case: SoakCase, chosen: ChosenConfig) -> Check:
        raise fault

    monkeypatch.setattr(workbench.campaigns.soak, "run_case", fail)
    result = run("--count", 3, code=1)
    last = result.stderr.splitlines()[-1]
    assert f"case 1 differs from golden: {type(fault).__name__}: {fault}: {{" in last
