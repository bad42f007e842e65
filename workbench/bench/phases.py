# SPDX-License-Identifier: Apache-2.0
"""The phases of `meadow bench`: which steps are simulated and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cosim.waves import Waves
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image
from meadow.spec.commands import Outputs
from workbench.bench.attention import run_attention
from workbench.bench.model import BenchModel, BenchOptions
from workbench.bench.report import Totals, attention_macs, figures, linear_macs
from workbench.bench.step import Check, StepRun, run_step
from workbench.devices import Throttle

__all__ = ["bench"]

Log = Callable[[str], None]


def bench(
    options: BenchOptions,
    throttle: Throttle,
    *,
    log: Log,
    timeline: Path | None = None,
    waves: Waves | None = None,
) -> dict[str, Any]:
    """Simulate a phase; the JSON-ready report.

    ValueError for what model or configuration do not allow; simulation errors as they come.
    """
    built = BenchModel(options, log)
    run = _Attention if options.phase == "attention" else _Steps
    return run(built, throttle, log, timeline, waves).report()


class _Phase:
    """What the phases share: chunks, comparison, the frame of the report."""

    def __init__(
        self,
        built: BenchModel,
        throttle: Throttle,
        log: Log,
        timeline: Path | None,
        waves: Waves | None,
    ) -> None:
        self.built, self.options, self.throttle = built, built.options, throttle
        self.log, self.timeline, self.waves = log, timeline, waves
        self.full = built.options.full
        self.check = Check()
        self.totals = Totals({})
        self.context = self.options.context + self.options.prompt
        self.chunk = built.chunk_tokens(throttle)
        self.starts = range(0, self.options.prompt, self.chunk)
        if self.options.batch > 1 and len(self.starts) > 1:
            raise ValueError(
                f"a chunk must hold all {self.options.prompt} tokens of {self.options.batch} "
                f"sequences, it holds {self.chunk} of each"
            )
        self.image: Image | None = None
        """The last image that ran."""

    def _simulated(self) -> list[tuple[int, int, float]]:
        """(start, tokens, how many chunks it stands for) of the chunks to simulate.

        One for all lies at the mean position, with the mean number of tokens: what grows with the
        keys is then right.
        """
        prompt, count = self.options.prompt, len(self.starts)
        if self.options.chunks and count > 1:
            mean = round(sum(self.starts) / count / self.options.config.lanes)
            return [(mean * self.options.config.lanes, -(-prompt // count), float(count))]
        return [(start, min(self.chunk, prompt - start), 1.0) for start in self.starts]

    def _image(self, start: int, tokens: int) -> Image:
        """The image that serves a step; a program for any step is compiled once."""
        if self.image is None or self.image.manifest.step is not None:
            self.log(f"compiling for {self.options.chosen.name}")
            step = (self.options.context + start, tokens)
            self.image = self.built.image(context=self.context, step=step, throttle=self.throttle)
        return self.image

    def _golden(self, image: Image) -> BitTrueModel:
        return BitTrueModel(self.built.model, self.options.config, dataflow=image.manifest.dataflow)

    def _frame(self, layers: int, figures: dict[str, Any]) -> dict[str, Any]:
        options, image = self.options, self.image
        assert image is not None
        dataflows = sorted(set(image.manifest.dataflow))
        layer_matrices = [m for m in image.manifest.matrices if m.name.startswith("layers.")]
        stored = sum(matrix.size_bytes for matrix in layer_matrices)
        elements = sum(matrix.outputs * matrix.inputs for matrix in layer_matrices)
        head = self.full.vocabulary if self.full.outputs == "tokens" else 0
        simulated_head = self.built.description.vocabulary if head else 0
        return {
            "workload": options.workload,
            "phase": options.phase,
            "config": options.chosen.name,
            "contract_hash": image.manifest.contract_hash,
            "parameters": image.manifest.config.to_dict(),
            "dataflow": options.dataflow,
            "dataflow_of_layers": dataflows[0] if len(dataflows) == 1 else dataflows,
            "codec": options.codec,
            "bits_per_weight": 8 * stored / elements,
            "tokens": options.prompt,
            "context": options.context,
            "batch": options.batch,
            "chunk_tokens": self.chunk,
            "chunks_total": len(self.starts),
            "chunks_simulated": len(self._simulated()),
            "layers_simulated": layers,
            "layers_total": self.full.layers,
            "head_channels_simulated": simulated_head,
            "head_channels_total": head,
            "hidden_block": self.built.hidden_block,
            "bandwidth_gbps": self.throttle.bandwidth_gbps,
            "clock_mhz": self.throttle.clock_mhz,
            "latency_cycles": self.throttle.latency_cycles,
            "dram": self.throttle.dram,
            "seed": options.seed,
            **figures,
            "checked": self.check.total,
            "checked_values": self.check.counts,
            "matches_golden": self.check.difference is None and self.check.total > 0,
            "first_difference": self.check.difference,
            "label": "simulated",
        }


class _Steps(_Phase):
    """Prefill and decode: whole steps, with the head, or the hidden states, at the end of the last
    one.
    """

    def report(self) -> dict[str, Any]:
        """Simulate and report."""
        options, full, built = self.options, self.full, self.built
        description = built.description
        heads = full.outputs == "tokens"
        every = description.layers == full.layers and description.vocabulary == full.vocabulary
        whole = every and not options.chunks
        repeat = full.layers / description.layers
        head_repeat = full.vocabulary / description.vocabulary if heads else 1.0
        macs = 0
        layers = Totals({})
        for start, tokens, times in self._simulated():
            last = start + tokens == options.prompt or times > 1
            outputs = (Outputs.ARGMAX if heads else Outputs.LOGITS) if last else Outputs(0)
            image = self._image(start, tokens)
            run = run_step(
                image,
                built.model,
                self._golden(image),
                positions=[options.context + start] * options.batch,
                tokens=[tokens] * options.batch,
                outputs=outputs,
                whole=whole,
                throttle=self.throttle,
                seed=options.seed + start,
                check=self.check,
                log=self.log,
                timeline=self.timeline if last else None,
                waves=self.waves if last else None,
            )
            self._count(run, times, repeat, head_repeat)
            if not whole:
                layers.add(run.counters["layers"], times * repeat)
        passes = len(self.starts)
        for start in self.starts:
            end = min(start + self.chunk, options.prompt)
            position = options.context + start
            macs += attention_macs(full, position, end - start) * full.layers * options.batch
            macs += linear_macs(full) * full.layers * (end - start) * options.batch
        alone = None if whole else macs / layers["cycles"] / options.config.macs
        head = full.width * full.vocabulary if heads else 0
        macs += head * options.batch
        weights = linear_macs(full) * full.layers * passes + head
        return self._frame(
            description.layers,
            {"array_utilisation_layers": alone}
            | figures(
                self.totals,
                options.config,
                self.throttle,
                macs=macs,
                weights=weights,
                needed_bytes=self._needed(repeat),
                tokens=options.prompt * options.batch,
            ),
        )

    def _count(self, run: StepRun, times: float, layers: float, head: float) -> None:
        for name, counters in run.counters.items():
            repeat = {"layers": layers, "after": head}.get(name, 1.0)
            # Further chunks have no head.
            self.totals.add(counters, repeat if name == "after" else repeat * times)

    def _needed(self, layers: float) -> float:
        """Every byte once: weights, K/V rows, embeddings and results; the baseline's Q and scores
        are not needed.
        """
        options, full, image = self.options, self.full, self.image
        assert image is not None
        manifest = image.manifest
        head = full.vocabulary / self.built.description.vocabulary
        weights = sum(
            matrix.size_bytes * (head if matrix.name.startswith("head.") else layers)
            for matrix in manifest.matrices
        )
        # Old rows are read and new ones written; that new ones are read back is this design's
        # choice.
        row = full.kv_heads * full.head_dim
        key_values = 2 * full.layers * row * self.context * options.batch
        # Embeddings in and, of a model without head, hidden states out.
        ends = 2 * full.width * options.prompt * options.batch
        if full.outputs == "hidden":
            ends *= 2
        return weights + key_values + ends


class _Attention(_Phase):
    """Attention alone: the ATTEND commands of one layer, on random Q, K and V."""

    def report(self) -> dict[str, Any]:
        """Simulate and report."""
        options, full = self.options, self.full
        macs = 0
        chunks = self._simulated()
        for start, tokens, times in chunks:
            image = self._image(start, tokens)
            counters = run_attention(
                image,
                self.built.model,
                self._golden(image),
                positions=[options.context + start] * options.batch,
                tokens=tokens,
                throttle=self.throttle,
                seed=options.seed + start,
                check=self.check,
                log=self.log,
                timeline=self.timeline if start == chunks[-1][0] else None,
                waves=self.waves if start == chunks[-1][0] else None,
            )
            self.totals.add(counters, times * full.layers)
        for start in self.starts:
            end = min(start + self.chunk, options.prompt)
            position = options.context + start
            macs += attention_macs(full, position, end - start) * full.layers * options.batch
        needed = 2 * full.layers * full.kv_heads * full.head_dim * self.context * options.batch
        return self._frame(
            1,
            {"array_utilisation_layers": None}
            | figures(
                self.totals,
                options.config,
                self.throttle,
                macs=macs,
                weights=0,
                needed_bytes=needed,
                tokens=options.prompt * options.batch,
            ),
        )
