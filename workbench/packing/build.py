# SPDX-License-Identifier: Apache-2.0
"""What `meadow report` measures: the matrices of an image, or real weights on every grid, in every
packing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firmware.image import read_image
from meadow.compiler.importers.checkpoint import load_checkpoint
from meadow.compiler.importers.gguf_file import is_gguf
from meadow.compiler.packing.packing import CODECS
from meadow.golden.streams.decode import unpack_stream
from meadow.model.image import Image
from meadow.model.quantised import QuantisedLinear
from meadow.spec.checks import check_choice
from meadow.spec.commands import Opcode
from meadow.spec.config import BEAT_BYTES, CONFIGURATIONS, AcceleratorConfig
from meadow.spec.contract import contract_hash
from meadow.spec.image import Manifest
from workbench.configurations.chosen import ChosenConfig, choose_config, config_facts
from workbench.packing.figures import (
    PACKINGS,
    MatrixFigures,
    figures,
    pack_every_way,
    padded_weights,
    table_row,
    total,
)
from workbench.packing.grids import GRIDS, grid_integers
from workbench.packing.minilm import load_minilm
from workbench.packing.variants import VARIANT_GRIDS, dictionary_variants

__all__ = [
    "CODEC",
    "CONFIG",
    "GRID",
    "MINILM",
    "Measured",
    "ReportOptions",
    "check_source",
    "measure",
]

GRID, CODEC, CONFIG = "w8-channel", "auto", "zcu102-paper"
"""What matrices that are no image's are shown with, if nothing else is asked for."""

MINILM = "minilm"
"""The source that is not a path."""

STORED_GRID = "stored"
"""Grid of an image that does not say how it was quantised."""

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """grid: of GRIDS, codec: of `packing.CODECS`, chosen: the configuration for which the single
    matrices are shown; None is the default (GRID, CODEC, CONFIG), or what an image has. ValueError
    names the choices."""

    grid: str | None = None
    codec: str | None = None
    chosen: ChosenConfig | None = None

    def __post_init__(self) -> None:
        for name, choices in (("grid", tuple(GRIDS)), ("codec", CODECS)):
            if getattr(self, name) is not None:
                check_choice(name, getattr(self, name), choices)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """report: JSON-ready; counts: by grid how often each integer -127..127 occurs, int64 [255],
    true weights only.
    """

    report: dict[str, Any]
    counts: Mapping[str, np.ndarray]


def measure(source: str, options: ReportOptions, log: Log) -> Measured:
    """The report on `minilm`, a checkpoint (directory or GGUF file) or an image file.

    ValueError for a source that is none of them, or an option that an image has fixed.
    """
    if source == MINILM:
        return _measure_weights(MINILM, MINILM, load_minilm(), options, log)
    check_source(source)
    path = Path(source)
    if path.is_dir() or is_gguf(path):
        return _measure_weights(source, "checkpoint", _checkpoint_matrices(path), options, log)
    return _measure_image(source, read_image(path), options, log)


def check_source(source: str) -> None:
    """ValueError unless there is such a file or directory, or it is `minilm`."""
    if source != MINILM and not Path(source).exists():
        raise ValueError(f"there is no image file or checkpoint directory {source}")


def _checkpoint_matrices(source: Path) -> dict[str, np.ndarray]:
    """All matrices that a compiled model has streams of: those of the layers and the head."""
    checkpoint = load_checkpoint(source)
    matrices = {
        name.removesuffix(".weight"): tensor
        for name, tensor in checkpoint.tensors.items()
        if name.startswith("layers.") and tensor.ndim == 2
    }
    head = "embed_tokens" if checkpoint.description.tied_head else "head"
    return {**matrices, "head": checkpoint.tensors[head]}


def _measure_weights(
    source: str,
    kind: str,
    weights: Mapping[str, np.ndarray],
    options: ReportOptions,
    log: Log,
) -> Measured:
    """Real weights on every grid."""
    grid, codec = options.grid or GRID, options.codec or CODEC
    chosen = options.chosen or choose_config(CONFIG)
    config = chosen.config
    table: dict[str, Any] = {}
    counts, shown = {}, []
    variants = {}
    for name in GRIDS:
        log(f"packing {len(weights)} matrices, {name}")
        integers = {key: grid_integers(weight, GRIDS[name]) for key, weight in weights.items()}
        found = {packing: [] for packing in PACKINGS}
        for key, weight in integers.items():
            for packing, part in _every_figure(
                key, weight.shape, padded_weights(weight, config), config
            ).items():
                found[packing].append(part)
        table[name] = table_row(found)
        counts[name] = sum(_counts(weight) for weight in integers.values())
        if name == grid:
            shown = found[codec]
        if kind == MINILM and name in VARIANT_GRIDS:
            variants[name] = dictionary_variants(list(integers.values()), config)
    report = _report(source, kind, chosen.name, config, grid, codec, shown, table)
    if variants:
        report["dictionary_variants"] = variants
    return Measured(report=report, counts=counts)


def _measure_image(path: str, image: Image, options: ReportOptions, log: Log) -> Measured:
    """The streams of an image as they are, and its integers packed again in every way."""
    manifest = image.manifest
    _refuse_fixed(path, options, manifest)
    config = manifest.config
    granularity = manifest.notes.get("granularity")
    grid = f"w8-{granularity}" if f"w8-{granularity}" in GRIDS else STORED_GRID
    log(f"reading and packing {len(manifest.matrices)} matrices")
    shown: list[MatrixFigures] = []
    found: dict[str, list[MatrixFigures]] = {packing: [] for packing in PACKINGS}
    counts = np.zeros(255, np.int64)
    stored = _stored(image)
    if len(stored) != len(manifest.matrices):
        raise ValueError(
            f"the manifest of {path} must name the {len(stored)} matrices of its program, "
            f"not {len(manifest.matrices)}"
        )
    for facts, (linear, streams) in zip(manifest.matrices, stored, strict=True):
        shape = (facts.outputs, facts.inputs)
        if not 0 < facts.outputs * facts.inputs <= linear.weight.size:
            raise ValueError(
                f"matrix {facts.name} of {path} is stored as {list(linear.weight.shape)} "
                f"and cannot be {list(shape)}"
            )
        part = figures(facts.name, shape, linear.weight, streams, config)
        shown.append(part)
        counts += _counts(linear.weight)
        counts[127] -= linear.weight.size - part.weights
        for packing, other in _every_figure(facts.name, shape, linear, config).items():
            found[packing].append(other)
    table: dict[str, Any] = dict.fromkeys(GRIDS)
    table[grid] = table_row(found)
    report = _report(path, "image", manifest.config_name, config, grid, "stored", shown, table)
    return Measured(report=report, counts={grid: counts})


def _refuse_fixed(path: str, options: ReportOptions, manifest: Manifest) -> None:
    """An image was quantised and packed when it was compiled."""
    for name in ("grid", "codec"):
        value = getattr(options, name)
        if value is not None:
            raise ValueError(f"{name} is what the image {path} was compiled with; leave it out")
    chosen, own = options.chosen, manifest.config_name
    if chosen is not None and contract_hash(chosen.config) != manifest.contract_hash:
        raise ValueError(
            f"the image {path} was compiled for configuration {own}, not {chosen.name}: "
            f"leave --config out{f' or give --config {own}' if own in CONFIGURATIONS else ''}"
        )


def _stored(image: Image) -> list[tuple[QuantisedLinear, list[bytes]]]:
    """Padded matrix and streams of every MATMUL in order, unpacked by golden.

    ValueError (StreamError) names what is wrong with a stream.
    """
    config, found = image.manifest.config, []
    for index in range(image.manifest.commands):
        command = image.command(index)
        if command.opcode != Opcode.MATMUL:
            continue
        fields = command.values
        slices, tiles = fields["slices"], fields["tiles"]
        streams, parts = [], []
        for port in range(config.ports):
            start = fields[f"offset{port}"] * BEAT_BYTES
            data = image.dram[start : start + fields[f"beats{port}"] * BEAT_BYTES].tobytes()
            streams.append(data)
            parts.append(unpack_stream(data, slices, tiles, config))
        outputs = slices * config.width
        linear = QuantisedLinear(
            weight=np.concatenate([part for part, _ in parts], axis=1).reshape(outputs, -1),
            **{
                name: np.concatenate([getattr(h, name) for _, h in parts], axis=1).reshape(-1)
                for name in ("bias", "multiplier", "shift")
            },
        )
        found.append((linear, streams))
    return found


def _every_figure(
    name: str, shape: tuple[int, ...], linear: QuantisedLinear, config: AcceleratorConfig
) -> dict[str, MatrixFigures]:
    return {
        packing: figures(name, (shape[0], shape[1]), linear.weight, packed.streams, config)
        for packing, packed in pack_every_way(linear, config).items()
    }


def _counts(weight: np.ndarray) -> np.ndarray:
    return np.bincount(weight.reshape(-1).astype(np.int64) + 127, minlength=255)


def _report(
    source: str,
    kind: str,
    config_name: str,
    config: AcceleratorConfig,
    grid: str,
    codec: str,
    shown: list[MatrixFigures],
    table: dict[str, Any],
) -> dict[str, Any]:
    return {
        "source": source,
        "kind": kind,
        "config": config_name,
        **config_facts(config),
        "grid": grid,
        "codec": codec,
        "matrices": [part.to_dict() for part in shown],
        "total": total(shown),
        "table": table,
    }
