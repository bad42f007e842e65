# SPDX-License-Identifier: Apache-2.0
"""A program on the architectural machine next to the bit-true model."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Tokens
from dataclasses import replace

import numpy as np

from hw_tests.seeds import salted
from meadow.compiler.lowering.program import Program
from meadow.golden.machine.machine import Machine
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import Opcode, Outputs, TrafficClass
from meadow.spec.numerics import TABLE_ENTRIES
from meadow.spec.step import Sequence, Step

__all__ = ["BOTH", "Bench"]

BOTH = Outputs.ARGMAX | Outputs.LOGITS


class Bench:
    """A program in a machine's DRAM next to the bit-true model, sequence by sequence."""

    def __init__(self, model: QuantisedModel, program: Program, sequences: int = 2) -> None:
        self.model, self.program = model, program
        self.reference = BitTrueModel(model, program.config, dataflow=program.dataflow)
        self.caches = [self.reference.new_cache() for _ in range(sequences)]
        window = (program.kv_start + sequences * program.cache.sequence_beats) * 16
        # Noise shows whatever is read before it was written.
        dram = np.random.default_rng(salted(0)).integers(0, 256, window, np.uint8)
        dram[: len(program.dram)] = program.dram
        self.machine = Machine(program.config, dram)
        self.machine.activations[:], self.machine.exponents[:] = 0x5A, 5

    def preset(self, position: int, seed: int) -> None:
        """Random keys and values for the first `position` tokens of sequence 0."""
        random = np.random.default_rng(salted(seed))
        cache, layout = self.caches[0], self.program.cache
        shape = (layout.layers, 2, layout.heads, layout.blocks, layout.rows)
        start = self.program.kv_start * 16
        data = self.machine.dram[start : start + layout.sequence_beats * 16].view(np.int8)
        rows = data.reshape(*shape, layout.segment_beats * 16)
        size = rows.shape[-1]
        for part, golden in enumerate((cache.keys, cache.values)):
            drawn = random.integers(-127, 128, (*golden.shape[:2], position, golden.shape[-1]))
            golden[:, :, :position] = drawn
            for block in range(layout.blocks):
                columns = drawn[..., block * size : (block + 1) * size]
                rows[:, part, :, block, :position] = 0
                rows[:, part, :, block, :position, : columns.shape[-1]] = columns
        cache.length = position

    def step(
        self, tokens: Mapping[int, Tokens[int]], outputs: Outputs = BOTH, *, head_all: bool = False
    ) -> Step:
        """Run new tokens of some sequences on both and compare what was asked for."""
        program, model, entries, rows, logits = self.program, self.model, [], [], []
        places: list[int] = []
        d = model.description
        for index, ids in tokens.items():
            cache = self.caches[index]
            base = program.kv_start + index * program.cache.sequence_beats
            first = sum(len(part) for part in rows)
            entries.append(Sequence(base, cache.length, len(ids), first))
            places += range(cache.length, cache.length + len(ids))
            rows.append(model.embed(np.array(ids), cache.length + np.arange(len(ids))))
            expected = self.reference.forward(ids, cache)
            every = head_all or d.outputs == "hidden"
            logits.append(expected if every else expected[-1:])
        step = Step(tuple(entries), outputs, head_all)
        step = replace(step, outputs=step.outputs_register(program.config, d.group_heads))
        residual = np.zeros((step.rows, program.sizes.width), "<i2")
        residual[:, : d.width] = np.concatenate(rows)
        self._fill("embeddings", residual)
        if "rotary" in program.regions:
            self._fill("rotary", program.rotary[places])
        self.machine.clear_traffic()
        count = self.machine.run_program(program.regions["program"][0], len(program.commands), step)
        assert count == len(program.commands)
        self.compare(np.concatenate(logits), outputs)
        return step

    def _fill(self, region: str, rows: np.ndarray) -> None:
        start, beats = self.program.regions[region]
        assert rows.nbytes <= beats * 16
        data = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
        self.machine.dram[start * 16 : start * 16 + data.size] = data

    def compare(self, expected: np.ndarray, outputs: Outputs) -> None:
        """Logits or hidden states, and arg-max, as far as they were asked for."""
        program, dram, rows = self.program, self.machine.dram, len(expected)
        if Outputs.LOGITS in outputs:
            pieces = []
            for piece in program.logits:
                data = dram[piece.offset * 16 :][: rows * piece.channels * 2]
                pieces.append(data.view("<i2").reshape(rows, piece.channels))
            got = np.concatenate(pieces, axis=1)
            assert (got[:, : expected.shape[1]] == expected).all()
            assert not got[:, expected.shape[1] :].any()
        if Outputs.ARGMAX in outputs and self.model.head is not None:
            start = program.regions["argmax"][0] * 16
            words = dram[start : start + 16 * rows].view("<i4").reshape(rows, 4)
            assert words[:, 0].tolist() == expected.argmax(axis=1).tolist()
            assert words[:, 1].tolist() == expected.max(axis=1).tolist()

    def attends(self, step: Step) -> list[int]:
        """Query heads of every ATTEND that runs in the step."""
        return [
            command.values["heads"]
            for command in self.program.commands
            if command.opcode == Opcode.ATTEND
            and (not command.condition or command.condition & step.outputs)
        ]

    def traffic(self, step: Step) -> dict[TrafficClass, int]:
        """Closed forms of the bytes of a step."""
        program, model, d = self.program, self.model, self.model.description
        sizes, asked = program.sizes, bool(step.outputs & BOTH)
        head = asked and model.head is not None
        heads = len(step.head_rows)
        matrices = sum(
            facts.size_bytes
            for facts in program.matrices
            if head or not facts.name.startswith("head")
        )
        norms = (len(model.norms) - (model.head is not None and not asked)) * 4 * sizes.width
        tables = 2 * TABLE_ENTRIES * any(one.activation_table is not None for one in model.layers)
        row_head = 2 * sizes.head_dim
        activations = step.rows * 2 * sizes.width
        if Outputs.LOGITS in step.outputs:
            rows, channels = (heads, sizes.vocabulary) if head else (step.rows, sizes.width)
            activations += rows * 2 * channels
        if head and Outputs.ARGMAX in step.outputs:
            activations += heads * 16
        return {
            TrafficClass.WEIGHTS: matrices + norms + tables + step.rows * sizes.rotary,
            TrafficClass.KV_READ: row_head
            * len(self.attends(step))
            * sum(entry.position + entry.tokens for entry in step.sequences),
            TrafficClass.KV_WRITE: row_head * d.layers * d.kv_heads * step.rows,
            TrafficClass.ACTIVATIONS: activations,
            TrafficClass.COMMANDS: 64 * len(program.commands),
        }
