# SPDX-License-Identifier: Apache-2.0
"""What each remedy for real models is worth: perplexity and divergence with all of them, and with
each one left out.

python -m workbench.documents.remedies MODEL --text FILE --calibration FILE [--tokens N] prints one
JSON object, as `docs/measurements/remedies.json` keeps it. The float model is computed once.

Left out is

- the prefix, or the rotation: the model is calibrated and quantised again without it;
- 16-bit entries of the activation table: entries are rounded to 8 bits of their largest;
- exponents of a site: its words have 8 bits with one static scale, which is exponent 7 for all.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meadow.compiler.importers.checkpoint import load_checkpoint
from meadow.compiler.quantise.integer_stream import IntegerStream
from meadow.compiler.quantise.kept_tensors import KeptTensors
from meadow.compiler.quantise.quantise import require_quantisable
from meadow.compiler.quantise.text_figures import FloatStream, TextFigures, Window, compare_on_text
from meadow.golden.numerics import saturate
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.float_tier import FloatModel
from meadow.golden.tiers.layer_parts import norm
from meadow.model.quantised import QuantisedLayer, QuantisedModel, QuantisedNorm
from meadow.spec.config import AcceleratorConfig
from workbench.configurations.chosen import choose_config
from workbench.documents.measurements import checkout_commit
from workbench.models.accuracy_command import measured_windows
from workbench.models.compile_model import CompileOptions, quantise_directory
from workbench.progress import log, settle

__all__ = ["SITES", "StaticSites", "main", "measure_remedies", "with_narrow_tables"]

SITES = ("norm outputs", "attention output", "MLP hiddens")
"""Where words with exponents are."""

_WIDTHS = (64, 32, 16)
_STATIC_EXPONENT = 7


class StaticSites(BitTrueModel):
    """A bit-true tier in which some sites have no exponents of their own, but 8 bits and one scale.

    sites : of SITES.
    """

    def __init__(
        self, model: QuantisedModel, config: AcceleratorConfig, sites: Sequence[str]
    ) -> None:
        super().__init__(model, config)
        self._sites = frozenset(sites)
        if not self._sites <= set(SITES):
            raise ValueError(f"sites must be of {', '.join(SITES)}, not {', '.join(sites)}")

    def norm_words(self, x: np.ndarray, parameters: QuantisedNorm) -> np.ndarray:
        """See `BitTrueModel`."""
        if "norm outputs" in self._sites:
            return _static(norm(x, parameters))
        return super().norm_words(x, parameters)

    def head_words(self, heads: np.ndarray) -> np.ndarray:
        """See `BitTrueModel`."""
        return _static(heads) if "attention output" in self._sites else super().head_words(heads)

    def hidden_words(self, layer: QuantisedLayer, hidden: np.ndarray) -> list[np.ndarray]:
        """See `BitTrueModel`."""
        if "MLP hiddens" in self._sites:
            return [_static(hidden[:, block]) for block in self.model.blocks]
        return super().hidden_words(layer, hidden)


def _static(values: np.ndarray) -> np.ndarray:
    """Values int16 as 8-bit values in steps of 2^7."""
    half = 1 << (_STATIC_EXPONENT - 1)
    m = saturate((values.astype(np.int32) + half) >> _STATIC_EXPONENT, 8)
    return (m << _STATIC_EXPONENT).astype(np.int16)


def with_narrow_tables(model: QuantisedModel) -> QuantisedModel:
    """The model with entries of its activation tables rounded to 8 bits of the largest of them."""

    def narrow(layer: QuantisedLayer) -> QuantisedLayer:
        table = layer.activation_table
        if table is None:
            return layer
        step = max(1.0, float(np.abs(table.astype(np.int32)).max()) / 127)
        entries = np.rint(np.rint(table / step) * step).astype(np.int16)
        return dataclasses.replace(layer, activation_table=entries)

    return dataclasses.replace(model, layers=tuple(map(narrow, model.layers)))


class _Kept:
    """The logits of a stream for every window, computed once; windows must come in this order."""

    def __init__(self, stream: FloatStream, windows: Sequence[Window]) -> None:
        self.layers = stream.layers
        rows = [stream.start(window.tokens) for window in windows]
        for index in range(self.layers):
            rows = [stream.layer(index, part) for part in rows]
        self._logits = [stream.logits(part).astype(np.float32) for part in rows]
        self._started = 0

    def start(self, tokens: np.ndarray) -> np.ndarray:
        """See `text_figures.Stream`: window and position stand for a row, [n, 2]."""
        window = self._started % len(self._logits)
        self._started += 1
        return np.stack([np.full(len(tokens), window), np.arange(len(tokens))], axis=1)

    def layer(self, index: int, rows: np.ndarray) -> np.ndarray:
        """See `text_figures.Stream`."""
        return rows

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """See `text_figures.Stream`."""
        return self._logits[int(rows[0, 0])][rows[:, 1]]


def measure_remedies(
    directory: Path, text: Path | None, calibration: Path | None, tokens: int
) -> dict[str, Any]:
    """`tokens`, `windows` and `rows`: `name`, `width` of words, `ratio`, `kl_nats` each.

    directory : a checkpoint folder or a GGUF file. text, calibration : as for `meadow accuracy`.
    Raises the ValueErrors of `meadow accuracy`.
    """
    chosen = choose_config("zcu102")
    config = chosen.config
    checkpoint = load_checkpoint(directory)
    require_quantisable(checkpoint.description)
    windows = measured_windows(directory, checkpoint.description, config, text, tokens)
    log("computing the float model")
    tensors = KeptTensors(checkpoint.tensors, np.float32)
    kept = _Kept(
        FloatStream(FloatModel(checkpoint.description, tensors, np.float32, resident=False)),
        windows,
    )
    rows: list[dict[str, Any]] = []

    def measure(name: str, tier: BitTrueModel) -> None:
        log(f"measuring: {name}, words of {tier.config.width}")
        figures = compare_on_text(kept, IntegerStream(tier), windows)
        rows.append({"name": name, "width": tier.config.width, **_figures(figures)})

    def quantised(rotate: str = "auto", prefix: str = "auto") -> QuantisedModel:
        options = CompileOptions(
            chosen=chosen, calibration=calibration, rotate=rotate, prefix=prefix
        )
        return quantise_directory(directory, options, log)[0].model

    model = quantised()
    for width in _WIDTHS:
        # A width has room for so many lanes and decoders; results do not depend on them.
        narrow = dataclasses.replace(
            config,
            width=width,
            lanes=width // 4,
            decoder_elements=min(width, 32),
            norm_lanes=0,
        )
        measure("all", BitTrueModel(model, narrow))
    for name, sites in ({site: (site,) for site in SITES} | {"any site": SITES}).items():
        measure(f"no exponents of {name}", StaticSites(model, config, sites))
    measure(
        "entries of the activation table of 8 bits", BitTrueModel(with_narrow_tables(model), config)
    )
    rotated = "on" if model.notes["rotated"] else "off"
    if model.notes["rotated"]:
        measure("no rotation", BitTrueModel(quantised(rotate="off"), config))
    if model.prefix is not None:
        measure("no prefix", BitTrueModel(quantised(prefix="none", rotate=rotated), config))
    return {
        "model": directory.name,
        "text": None if text is None else text.name,
        "calibration": model.notes["calibration"],
        "windows": [len(windows), len(windows[0].tokens)],
        "rotated": model.notes["rotated"],
        "prefix": model.notes["prefix"],
        "rows": rows,
    }


def _figures(figures: TextFigures) -> dict[str, Any]:
    found = figures.to_dict()
    return {name: found[name] for name in ("tokens", "ratio", "kl_nats", "top1_agreement")}


def main(arguments: Sequence[str]) -> int:
    """Exit code 2 and one line for what cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m workbench.documents.remedies")
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--tokens", type=int, default=4088)
    given = parser.parse_args(arguments)
    try:
        commit = checkout_commit()
        report = measure_remedies(given.model, given.text, given.calibration, given.tokens)
    except (ValueError, OSError) as error:
        settle()
        print(f"remedies: {error}", file=sys.stderr)
        return 2
    settle()
    print(json.dumps({"commit": commit, **report}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
