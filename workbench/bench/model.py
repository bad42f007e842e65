# SPDX-License-Identifier: Apache-2.0
"""What a bench run builds: a synthetic model in the shape of a workload, and its image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from meadow.compiler.image import compile_image
from meadow.compiler.lowering.baseline.predict import Rate, best_gemm_plan, layer_cycles
from meadow.compiler.lowering.layout import (
    CompileError,
    choose_hidden_block,
    plan_activations,
    plan_sizes,
)
from meadow.compiler.lowering.program import DATAFLOWS as LOWERED
from meadow.compiler.packing.packing import check_codec
from meadow.compiler.synthetic import synthetic_model
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.checks import check_choice, check_least
from meadow.spec.config import AcceleratorConfig
from meadow.spec.model import ModelDescription
from meadow.spec.parts import require_baseline
from workbench.bench.workloads import workload
from workbench.configurations.chosen import ChosenConfig
from workbench.devices import Throttle

__all__ = ["DATAFLOWS", "PHASES", "BenchModel", "BenchOptions"]

PHASES = ("prefill", "decode", "attention")
DATAFLOWS = (*LOWERED, "auto")
_DEFAULT_TOKENS = 512
_PACKED_BYTES = 0.75
"""Stored bytes per weight that predictions assume for packed streams of synthetic weights."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """The options of `meadow bench`; see its help. 0 layers, chunks or head_channels mean all of
    them.

    Raises ValueError naming the rule and the value.
    """

    workload: str
    chosen: ChosenConfig
    phase: str = "prefill"
    tokens: int | None = None
    context: int = 0
    batch: int = 1
    layers: int = 1
    chunks: int = 0
    head_channels: int = 4096
    dataflow: str = "tphs"
    codec: str = "raw"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in (("phase", PHASES), ("dataflow", DATAFLOWS)):
            check_choice(name, getattr(self, name), choices)
        check_codec(self.codec, self.config)
        if self.dataflow == "gemm":
            require_baseline(self.config)
        for name, least in (
            *(("context", 0), ("batch", 1), ("layers", 0), ("chunks", 0)),
            *(("head_channels", 0), ("seed", 0)),
        ):
            check_least(name, getattr(self, name), least)
        if self.chunks not in (0, 1):
            raise ValueError(f"chunks must be 0 (all) or 1 (one for all), not {self.chunks}")
        check_least("tokens", self.tokens, 1)
        if self.phase == "decode" and self.tokens not in (None, 1):
            raise ValueError(f"decode takes in 1 token of each sequence, not {self.tokens}")
        full = self.full
        workload(self.workload, layers=self.layers or None)
        special = 1 + max(full.bos_token, full.eos_token)
        if full.outputs == "tokens" and 0 < self.head_channels < special:
            raise ValueError(
                f"head_channels must be 0 (all) or at least {special}, which hold the special "
                f"tokens, "
                f"not {self.head_channels}"
            )
        if not full.causal and (self.phase == "decode" or self.context):
            raise ValueError(f"{self.workload} is bidirectional: it has no decode and no context")
        if self.batch > self.config.sequences:
            raise ValueError(
                f"{self.chosen.name} takes 1..{self.config.sequences} sequences, not {self.batch}"
            )
        if self.batch > 1 and self.dataflow != "tphs":
            raise ValueError(f"dataflow {self.dataflow} takes 1 sequence, not {self.batch}")
        end = self.context + self.prompt
        if end > self.config.max_context:
            raise ValueError(
                f"{self.chosen.name} attends to {self.config.max_context} tokens, not {end}"
            )

    @property
    def config(self) -> AcceleratorConfig:
        """The configuration."""
        return self.chosen.config

    @property
    def full(self) -> ModelDescription:
        """The whole model's shape."""
        return workload(self.workload)

    @property
    def prompt(self) -> int:
        """Tokens that each sequence takes in."""
        if self.phase == "decode":
            return 1
        return self.tokens or min(_DEFAULT_TOKENS, self.full.max_positions)


class BenchModel:
    """The simulated part of a workload: `layers` layers and `head_channels` outputs of the head.

    model : quantised, synthetic; description : its shape; hidden_block : H, chosen for the
    configuration. Positions beyond the real model's are allowed (its weights are synthetic anyway).
    """

    def __init__(self, options: BenchOptions, log: Callable[[str], None]) -> None:
        self.options = options
        full = options.full
        description = workload(
            options.workload,
            layers=options.layers or full.layers,
            positions=options.context + options.prompt,
        )
        if options.head_channels and full.outputs == "tokens":
            channels = min(options.head_channels, full.vocabulary)
            description = replace(description, vocabulary=channels)
        self.description = description
        self.hidden_block = choose_hidden_block(description, options.config)
        self._log = log

    @cached_property
    def model(self) -> QuantisedModel:
        """Drawn when it is asked for: what does not fit is refused before."""
        self._log(f"drawing {self.description.parameters:,} synthetic weights")
        return synthetic_model(
            self.description, hidden_block=self.hidden_block, seed=self.options.seed
        )

    def chunk_tokens(self, throttle: Throttle) -> int:
        """Tokens of one sequence in a chunk: as few chunks as memory allows, equal ones in whole
        token groups.

        The baseline takes the number of chunks with the fewest predicted cycles: smaller ones read
        the weights more often, but leave room for scores. ValueError for a bidirectional model that
        does not fit one chunk.
        """
        options, config = self.options, self.options.config
        sizes = plan_sizes(self.description, self.hidden_block, config)
        room = max(1, plan_activations(sizes, config).tokens // options.batch)
        prompt, fewest = options.prompt, -(-options.prompt // room)
        if not self.description.causal and fewest > 1:
            raise ValueError(
                f"a bidirectional model needs all {prompt} tokens in one chunk, which holds {room}"
            )
        counts = [fewest]
        if options.dataflow == "gemm":
            counts = [count for count in range(fewest, 4 * fewest + 1) if count <= prompt]
        chunks = {count: min(room, whole_groups(-(-prompt // count), config)) for count in counts}
        predicted = {
            count: cycles
            for count, tokens in chunks.items()
            if (cycles := self._predicted(tokens, throttle)) is not None
        }
        if not predicted:
            raise ValueError(f"no chunk of {options.workload} leaves room for scores on the chip")
        return min(prompt, chunks[min(predicted, key=lambda count: predicted[count])])

    def _predicted(self, tokens: int, throttle: Throttle) -> float | None:
        """Cycles of a layer over the whole prompt, None if the dataflow does not fit."""
        options, config = self.options, self.options.config
        limit = throttle.bytes_per_cycle
        stored = 1.0 if options.codec == "raw" else _PACKED_BYTES
        rate = Rate.of(config, None if limit is None else float(limit), stored)
        sizes = plan_sizes(self.description, self.hidden_block, config)
        memory = plan_activations(sizes, config, most=tokens)
        total = 0.0
        for start in range(0, options.prompt, tokens):
            step = (options.context + start, min(tokens, options.prompt - start))
            plan = None
            if options.dataflow == "gemm":
                try:
                    plan = best_gemm_plan(self.description, config, memory, step, rate)
                except CompileError:
                    return None
            total += layer_cycles(self.description, config, *step, rate, plan)
        return total

    def image(self, *, context: int, step: tuple[int, int], throttle: Throttle) -> Image:
        """Image for contexts of `context` tokens; the baseline's program is made for one step
        (position, tokens).
        """
        options = self.options
        limit = throttle.bytes_per_cycle
        return compile_image(
            self.model,
            options.config,
            config_name=options.chosen.name,
            codec=options.codec,
            tokenizer_json="{}",
            context=context,
            dataflow=options.dataflow,
            step=None if options.dataflow == "tphs" else step,
            bytes_per_cycle=None if limit is None else float(limit),
        )


def whole_groups(tokens: int, config: AcceleratorConfig) -> int:
    """Tokens rounded up to whole token groups of T."""
    return -(-tokens // config.lanes) * config.lanes
