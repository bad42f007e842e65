# SPDX-License-Identifier: Apache-2.0
"""`meadow ablation`: MEADOW's packing step by step on matrices like OPT's, beside its published
ratios.

The matrices are drawn from Student's t with a fixed seed and quantised per tensor to INT8. Trained
ones are like that
with 8 to 26 degrees of freedom in fc1 and 4 to 6 in fc2: the fewer, the larger the outliers that
set the step, and the more weights share few integers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from meadow.compiler.packing.packing import pack_matrix
from meadow.spec.checks import check_least
from meadow.spec.config import AcceleratorConfig
from workbench.configurations.chosen import ChosenConfig, config_facts
from workbench.console import print_json, show
from workbench.options import JsonOption, seed_option, takes_config
from workbench.packing.figures import figures, padded_weights, with_every_codec
from workbench.packing.grids import GRIDS, grid_integers
from workbench.packing.variants import Variant, one_table_bits, stream_bits, unique_chunks
from workbench.progress import log

__all__ = ["OPT_LIKE", "PUBLISHED", "STEP_TEXTS", "AblationCase", "ablate", "ablation_command"]

PUBLISHED: Mapping[str, float] = {"naive": 1.4, "packet_precision": 1.54, "frequency_order": 2.63}
"""MEADOW's ratios to INT8 (arXiv 2503.11663): OPT-125M, decoder 1, MLP 1, 1272 unique chunks of
two.
"""

_STEPS: Mapping[str, tuple[Variant, ...]] = {
    "naive": (Variant(2, packet_precision=False, frequency_order=False),),
    "packet_precision": (Variant(2, frequency_order=False),),
    "frequency_order": (Variant(2),),
    "best_chunk": (Variant(1), Variant(2)),
}
STEP_TEXTS = {
    "naive": "fixed-width indices, chunk 2",
    "packet_precision": "+ packet precision",
    "frequency_order": "+ frequency order",
    "best_chunk": "the better chunk",
    "rice": "rice instead",
}
"""A step in words."""
_RAW_BITS = 8
_MOST_WEIGHTS = 1 << 25


@dataclass(frozen=True, kw_only=True)
class AblationCase:
    """A matrix to draw: rows outputs, columns inputs, degrees of freedom. ValueError names the
    rule.
    """

    name: str
    rows: int
    columns: int
    degrees: float

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 2 or self.columns % 2:
            raise ValueError(
                "rows must be at least 1 and columns even and at least 2, "
                f"not {self.rows} and {self.columns}"
            )
        if self.rows * self.columns > _MOST_WEIGHTS:
            raise ValueError(
                f"rows * columns must be at most {_MOST_WEIGHTS}, not {self.rows * self.columns}"
            )
        if not (0.1 <= self.degrees < math.inf):
            raise ValueError(f"degrees must be at least 0.1 and finite, not {self.degrees}")

    def draw(self, seed: int) -> np.ndarray:
        """Integers int8 [rows, columns]; the same seed gives the same ones."""
        random = np.random.default_rng(seed)
        drawn = random.standard_t(self.degrees, (self.rows, self.columns))
        return grid_integers(drawn, GRIDS["w8-tensor"])


OPT_LIKE = (
    AblationCase(name="fc1-like", rows=3072, columns=768, degrees=26),
    AblationCase(name="fc1-like", rows=3072, columns=768, degrees=8),
    AblationCase(name="fc2-like", rows=768, columns=3072, degrees=6),
    AblationCase(name="fc2-like", rows=768, columns=3072, degrees=4),
)
"""Shapes of OPT-125M at both ends of the degrees that trained matrices are like."""


def ablate(case: AblationCase, config: AcceleratorConfig, seed: int) -> dict[str, Any]:
    """Bits per weight and ratio to INT8 of every step, JSON-ready, slice headers not counted.

    A step's `bits_per_weight` is that of the ports' streams, None if a port has more unique chunks
    than its table holds; `one_table_bits_per_weight` that of the paper's one table for the whole
    matrix, None for rice, which has none.
    """
    weight = case.draw(seed)
    padded = padded_weights(weight, config)
    rice = figures(
        case.name,
        (case.rows, case.columns),
        padded.weight,
        pack_matrix(padded, with_every_codec(config), "rice").streams,
        config,
    )
    steps = []
    for name, variants in _STEPS.items():
        found = [stream_bits(weight, variant, config) for variant in variants]
        bits = min((value for value in found if value is not None), default=None)
        whole = min(one_table_bits(weight, variant) for variant in variants)
        steps.append(_step(name, weight.size, bits, whole))
    steps.append(_step("rice", weight.size, rice.payload_bits, None))
    return {
        "name": case.name,
        "shape": [case.rows, case.columns],
        "degrees": case.degrees,
        "unique_chunks": {str(chunk): unique_chunks(weight, chunk) for chunk in (1, 2)},
        "entropy_bits": rice.entropy_bits,
        "steps": steps,
    }


def _step(name: str, weights: int, bits: int | None, one_table: int | None) -> dict[str, Any]:
    return {
        "step": name,
        "bits_per_weight": None if bits is None else bits / weights,
        "ratio": None if bits is None else _RAW_BITS * weights / bits,
        "one_table_bits_per_weight": None if one_table is None else one_table / weights,
        "one_table_ratio": None if one_table is None else _RAW_BITS * weights / one_table,
        "published_ratio": PUBLISHED.get(name),
    }


@takes_config("zcu102-paper")
def ablation_command(
    rows: Annotated[
        int | None,
        typer.Option(help="Output channels of one matrix of your own; 3072 if left out."),
    ] = None,
    columns: Annotated[
        int | None, typer.Option(help="Input channels of it, an even number; 768 if left out.")
    ] = None,
    degrees: Annotated[
        float | None,
        typer.Option(help="Degrees of freedom of its Student's t; 5 if left out."),
    ] = None,
    seed: Annotated[int, seed_option("the weights")] = 0,
    *,
    config: ChosenConfig,
    as_json: JsonOption = False,
) -> None:
    """MEADOW's packing step by step on matrices like OPT's; four of them, or one of your own."""
    check_least("seed", seed, 0)
    accelerator = config.config
    cases = OPT_LIKE
    if (rows, columns, degrees) != (None, None, None):
        own = AblationCase(
            name="own",
            rows=3072 if rows is None else rows,
            columns=768 if columns is None else columns,
            degrees=5 if degrees is None else degrees,
        )
        cases = (own,)
    found = []
    for case in cases:
        log(f"packing {case.name}, {case.rows} × {case.columns}, {case.degrees:g} degrees")
        found.append(ablate(case, accelerator, seed))
    report = {
        "label": "synthetic",
        "config": config.name,
        **config_facts(accelerator),
        "seed": seed,
        "published": "MEADOW, arXiv 2503.11663: OPT-125M, decoder 1, MLP 1",
        "cases": found,
    }
    if as_json:
        print_json(report)
        return
    for case in found:
        show(_table(case, accelerator))


def _table(case: dict[str, Any], config: AcceleratorConfig) -> Table:
    shape = " × ".join(map(str, case["shape"]))
    entropy = case["entropy_bits"]
    bound = f"{_RAW_BITS / entropy:.2f}×" if entropy else "no bound"
    table = Table(
        title=f"{case['name']} {shape}, {case['degrees']:g} degrees of freedom (synthetic)\n"
        f"{case['unique_chunks']['1']:,} values, {case['unique_chunks']['2']:,} pairs, "
        f"entropy {entropy:.3f} bits, {bound}"
    )
    table.add_column("step")
    for name in ("streams", "one table", "published"):
        table.add_column(name, justify="right")
    for step in case["steps"]:
        bits, one = step["bits_per_weight"], step["one_table_bits_per_weight"]
        published = step["published_ratio"]
        table.add_row(
            STEP_TEXTS[step["step"]],
            f"over {config.dictionary_entries:,} chunks" if bits is None else _bits(step),
            "" if one is None else _bits(step, "one_table_"),
            "" if published is None else f"{published:g}×",
        )
    return table


def _bits(step: dict[str, Any], prefix: str = "") -> str:
    return f"{step[f'{prefix}bits_per_weight']:.3f} bits, {step[f'{prefix}ratio']:.2f}×"
