# SPDX-License-Identifier: Apache-2.0
"""Random checkpoints like Llama and Qwen2: written as files, and compiled as `meadow compile` does
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gguf
import numpy as np

from meadow.compiler.quantise.quantise import GRANULARITIES
from meadow.compiler.quantise.recipe import PREFIXES, ROTATIONS
from meadow.spec.model import ModelDescription
from workbench.campaigns.llama_files import random_weights, write_directory, write_gguf
from workbench.configurations.chosen import ChosenConfig
from workbench.models.compile_model import CompileOptions, Loaded, compile_directory

__all__ = ["CHECKPOINTS", "FORMS", "RandomCheckpoint", "draw_checkpoint"]

CHECKPOINTS = ("llama", "qwen2")
"""Architectures that are written."""

FORMS = ("directory", "shards", "gguf")

_PACKED = (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0)
_PACKED_CHANNELS = 32
"""Types of a GGUF file's matrices whose rows are blocks of so many channels."""


@dataclass(frozen=True, kw_only=True)
class RandomCheckpoint:
    """How random weights become files, and files an image.

    form: of FORMS; kind: type of a GGUF file's matrices;
    factor: that all positions are divided by, 1 for none;
    sink: what is added to a channel of the opening token's embedding: it may become the prefix;
    outlier: factor of one channel of every norm, whose words get large exponents;
    rotate, prefix, granularity: of `CompileOptions`.
    """

    form: str
    kind: str
    factor: float
    sink: float
    outlier: float
    rotate: str
    prefix: str
    granularity: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready fields."""
        return asdict(self)

    def write(self, folder: Path, description: ModelDescription, seed: int) -> Path:
        """The checkpoint, weights drawn with the seed; where it is."""
        random = np.random.default_rng(seed)
        settings = self._settings(description)
        weights = random_weights(settings, random)
        channel = int(random.integers(description.width))
        weights["model.embed_tokens.weight"][description.bos_token, channel] += self.sink
        for name, array in weights.items():
            if name.endswith("norm.weight"):
                array[channel] *= self.outlier
        if self.form != "gguf":
            shards = 3 if self.form == "shards" else 1
            return write_directory(folder / "model", settings, weights, shards=shards)
        scaling = {
            f"{description.architecture}.rope.scaling.type": "linear",
            f"{description.architecture}.rope.scaling.factor": self.factor,
        }
        return write_gguf(
            folder / "model.gguf",
            settings,
            weights,
            metadata=scaling if self.factor != 1 else {},
            kind=gguf.GGMLQuantizationType[self.kind],
        )

    def compiled(
        self,
        description: ModelDescription,
        *,
        chosen: ChosenConfig,
        codec: str,
        hidden_block: int,
        seed: int,
        log: Callable[[str], None],
    ) -> Loaded:
        """Image and integers of the checkpoint; raises what `compile_directory` raises."""
        options = CompileOptions(
            chosen=chosen,
            codec=codec,
            granularity=self.granularity,
            hidden_block=hidden_block,
            rotate=self.rotate,
            prefix=self.prefix,
        )
        with TemporaryDirectory() as folder:
            return compile_directory(self.write(Path(folder), description, seed), options, log)

    def _settings(self, d: ModelDescription) -> dict[str, Any]:
        """config.json."""
        settings: dict[str, Any] = {
            "model_type": d.architecture,
            "vocab_size": d.vocabulary,
            "hidden_size": d.width,
            "num_hidden_layers": d.layers,
            "num_attention_heads": d.heads,
            "num_key_value_heads": d.kv_heads,
            "head_dim": d.head_dim,
            "intermediate_size": d.hidden,
            "max_position_embeddings": d.max_positions,
            "rms_norm_eps": d.norm_epsilon,
            "rope_theta": d.rotary_base,
            "tie_word_embeddings": d.tied_head,
            "bos_token_id": d.bos_token,
            "eos_token_id": d.eos_token,
        }
        if self.factor != 1:
            settings["rope_scaling"] = {"rope_type": "linear", "factor": self.factor}
        return settings


def draw_checkpoint(random: np.random.Generator, description: ModelDescription) -> RandomCheckpoint:
    """A way for a model of an architecture in CHECKPOINTS."""
    d = description
    inputs = (d.width, d.heads * d.head_dim, d.hidden)
    packed = _PACKED if not any(size % _PACKED_CHANNELS for size in inputs) else ()
    kinds = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16, *packed)
    return RandomCheckpoint(
        form=str(random.choice(FORMS)),
        kind=str(random.choice([kind.name for kind in kinds])),
        factor=float(random.choice([1, 1, 2, 8])),
        sink=float(random.choice([0, 0, 1000])),
        outlier=float(random.choice([1, 1, 10, 100])),
        rotate=str(random.choice(ROTATIONS)),
        prefix=str(random.choice(PREFIXES)),
        granularity=str(random.choice(GRANULARITIES)),
    )
