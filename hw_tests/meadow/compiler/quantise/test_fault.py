# SPDX-License-Identifier: Apache-2.0
"""Which unit is named, from figures made for it."""

from __future__ import annotations

import numpy as np

from hw_tests.opt_models import opt_description
from meadow.compiler.quantise.calibrate import CalibrationStatistics
from meadow.compiler.quantise.error_figures import ErrorFigures
from meadow.compiler.quantise.fault import Fault, LayerError, UnitError, find_fault
from meadow.golden.tiers.float_tier import FloatModel

DESCRIPTION = opt_description(
    layers=1, width=4, heads=1, head_dim=4, hidden=4, vocabulary=4, max_positions=4
)
REAL = FloatModel(
    DESCRIPTION,
    {name: np.ones(shape, np.float32) for name, shape in DESCRIPTION.tensor_shapes.items()},
)
STATISTICS = CalibrationStatistics(
    maxima={
        "embedding": np.full(4, 3.0),
        "layers.0.residual_attention": np.array([3.0, 900.0, 3.0, 3.0]),
        "layers.0.qkv_in": np.full(4, 1e9),
        "layers.0.residual_mlp": np.array([3.0, 1000.0, 3.0, 3.0]),
    },
    tokens=1,
)
QUIET = np.full(4, 3.0)
NO_CHANNELS = np.zeros(0)


def unit(
    name: str, accumulated: float, own: float, rounding: float = 1.0, reach: np.ndarray = QUIET
) -> UnitError:
    def figures(cosine: float) -> ErrorFigures:
        return ErrorFigures(cosine, 1.0, 10.0, 20.0)

    return UnitError(name, figures(accumulated), figures(own), rounding, reach)


def fault(
    *,
    embedding: tuple[float, ...],
    attention: tuple[float, ...],
    mlp: tuple[float, ...],
    head: tuple[float, ...],
    reach: np.ndarray = QUIET,
) -> Fault:
    """Of four units with these cosines: accumulated, own, and of the rounding alone if not 1.

    reach : of the channels of the residual behind attention and MLP.
    """
    layer = (
        unit("layers.0.attention", *attention, reach=reach),
        unit("layers.0.mlp", *mlp, reach=reach),
    )
    layers = [
        LayerError("embedding", (unit("embedding", *embedding),)),
        LayerError("layers.0", layer),
        LayerError("head", (unit("head", *head, reach=NO_CHANNELS),)),
    ]
    return find_fault(layers, REAL, STATISTICS)


def test_the_lowest_own_figure_names_the_unit() -> None:
    found = fault(embedding=(1.0, 1.0), attention=(0.9, 0.9), mlp=(0.5, 0.95), head=(0.4, 1.0))
    assert found.unit is found.seen and found.unit.name == "layers.0.attention"
    (warning,) = found.warnings({}, tokens=12)
    assert warning.startswith(
        "far from float: layers.0.attention is at fault (cosine 0.9 on its own, 0.4 with all "
        "errors "
        "behind head; at least 0.98 is asked for at percentile 1 of 12 tokens). Try text"
    )


def test_without_a_low_own_figure_the_largest_growth_names_it() -> None:
    found = fault(
        embedding=(0.99, 0.985), attention=(0.99, 0.99), mlp=(0.8, 0.99), head=(0.75, 0.99)
    )
    assert found.unit.name == "layers.0.mlp" and found.warnings({}, tokens=1)


def test_rounding_is_traced_to_the_first_unit_that_takes_the_range() -> None:
    found = fault(
        embedding=(0.3, 0.3, 0.35), attention=(0.9, 0.9), mlp=(0.9, 0.99), head=(0.9, 1.0)
    )
    assert (found.unit.name, found.seen.name) == ("layers.0.attention", "embedding")
    assert found.to_dict()["shown_by"] == "embedding" and found.to_dict()["cosine_worst"] == 0.3
    (warning,) = found.warnings({}, tokens=1)
    assert "layers.0.attention is at fault, shown by embedding" in warning
    assert "channel 1 of the residual reaches 900 there, the median one 3" in warning


def test_a_loud_channel_of_the_kept_tokens_is_traced_and_one_of_sinks_is_not() -> None:
    loud = np.array([1.0, 1.0, 500.0, 1.0])
    for reach, name in ((loud, "layers.0.attention"), (QUIET, "head")):
        found = fault(
            embedding=(1.0, 1.0), attention=(1.0, 1.0), mlp=(1.0, 1.0), head=(0.2, 0.2), reach=reach
        )
        assert (found.unit.name, found.seen.name) == (name, "head")


def test_a_sound_model_has_a_least_exact_unit_and_no_warning() -> None:
    found = fault(embedding=(1.0, 1.0), attention=(0.99, 0.98), mlp=(0.98, 0.99), head=(0.98, 0.99))
    assert found.unit.name == "layers.0.attention"
    assert found.warnings({}, tokens=100) == ()


def test_what_to_try_is_about_how_the_model_was_made() -> None:
    found = fault(embedding=(1, 1), attention=(1, 1), mlp=(1, 1), head=(0.1, 0.1))
    notes = {"calibration": "8 sequences of seeded random tokens", "granularity": "tensor"}
    assert "Try calibration on text: tokenizer.json" in found.warnings(notes, tokens=1)[0]
    assert "Try --granularity channel" in found.warnings({"granularity": "tensor"}, tokens=1)[0]
