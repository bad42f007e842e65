# SPDX-License-Identifier: Apache-2.0
"""The workloads are the published models in size, and can be cut."""

from __future__ import annotations

import pytest

from workbench.bench.workloads import WORKLOADS, workload

# What the models' papers and cards say, in millions of parameters (deit: without the patch
# projection).
MILLIONS = {
    "opt-125m": 125.2,
    "opt-1.3b": 1315.8,
    "deit-s": 22.05,
    "deit-b": 86.6,
    "minilm": 22.7,
    "tinyllama": 1100.0,
}


def test_every_workload_is_listed() -> None:
    assert set(WORKLOADS) == set(MILLIONS)


@pytest.mark.parametrize("name", MILLIONS)
def test_sizes_are_the_published_ones(name: str) -> None:
    assert WORKLOADS[name].parameters / 1e6 == pytest.approx(MILLIONS[name], rel=0.01)


def test_a_workload_is_cut_and_gets_room() -> None:
    whole = workload("opt-125m")
    assert whole == WORKLOADS["opt-125m"]
    cut = workload("opt-125m", layers=2, positions=4096)
    assert (cut.layers, cut.max_positions, cut.width) == (2, 4096, whole.width)
    assert workload("opt-125m", positions=20).max_positions == whole.max_positions


@pytest.mark.parametrize("layers", [0, -1, 13])
def test_layers_that_there_are_not_are_refused(layers: int) -> None:
    with pytest.raises(ValueError, match=rf"opt-125m has 1\.\.12 layers, not {layers}"):
        workload("opt-125m", layers=layers)


def test_an_unknown_workload_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown workload 'opt': choose from opt-125m, opt-1.3b"):
        workload("opt")
