# SPDX-License-Identifier: Apache-2.0
"""Small transformers of random weights, compiled for a design: what a bench of the chip runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.config import AcceleratorConfig
from meadow.spec.families import FAMILIES
from meadow.spec.model import ModelDescription
from meadow.spec.streams import CODEC_NAMES, Codec

__all__ = ["MODELS", "SmallModel", "models_for"]


@dataclass(frozen=True, kw_only=True)
class SmallModel:
    """A family of `meadow.spec.families` with small sizes, and how it is compiled.

    codec: of its weights, or `raw` if the design has no decoder for that. wide_head: its one head
    fills two words, if the design has room for such. step: (position, tokens) of the only step that
    a program of the dataflow "gemm" serves.
    """

    name: str
    architecture: str
    codec: str
    sizes: Mapping[str, int] = field(default_factory=dict)
    wide_head: bool = False
    dataflow: str = "tphs"
    step: tuple[int, int] | None = None

    def build(self, config: AcceleratorConfig, seed: int) -> tuple[QuantisedModel, Image]:
        """The model, and its image for a design."""
        family = FAMILIES[self.architecture]
        values = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "head_dim": 16}
        values |= {"hidden": 48, "vocabulary": 40, "max_positions": 64}
        values |= {"bos_token": 1, "eos_token": 2, **self.sizes}
        if self.wide_head and 2 * config.width <= config.max_head_dim:
            size = 2 * config.width
            values |= {"width": size, "head_dim": size, "heads": 1, "kv_heads": 1}
        rotary = {"rotary_base": 100.0} if family.rotary else {}
        tied = {"tied_head": self.architecture in ("opt", "bert")}
        description = ModelDescription.of_family(self.architecture, **values, **rotary, **tied)
        model = synthetic_model(description, seed=seed)
        image = compile_image(
            model,
            config,
            config_name="bench",
            codec=self.codec if self.codec in config.codecs else CODEC_NAMES[Codec.RAW],
            tokenizer_json="{}",
            dataflow=self.dataflow,
            step=self.step,
        )
        return model, image

    def fits(self, config: AcceleratorConfig) -> bool:
        """Whether the design has the parts that its program needs."""
        return self.dataflow == "tphs" or config.baseline


MODELS = (
    SmallModel(name="opt", architecture="opt", codec="raw"),
    SmallModel(
        name="llama",
        architecture="llama",
        codec="rice",
        sizes={"layers": 2, "width": 40, "heads": 4, "hidden": 60},
    ),
    SmallModel(  # with an MLP that is worth a dictionary on each of four ports
        name="qwen2",
        architecture="qwen2",
        codec="dictionary",
        sizes={"heads": 4, "hidden": 144},
    ),
    SmallModel(name="vit", architecture="vit", codec="raw", wide_head=True),
    SmallModel(name="bert", architecture="bert", codec="raw"),
    SmallModel(
        name="layer by layer", architecture="opt", codec="raw", dataflow="gemm", step=(0, 9)
    ),
)
"""Together they use every opcode, epilogue, codec and mask."""


def models_for(config: AcceleratorConfig) -> list[str]:
    """Names of the models that a design can run."""
    return [model.name for model in MODELS if model.fits(config)]
