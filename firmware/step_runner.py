# SPDX-License-Identifier: Apache-2.0
"""An image's program on a device, step by step: embeddings in, the commands run, results out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from firmware.device import Device, DeviceError
from firmware.registers import Registers
from firmware.results import StepResult
from meadow.model.image import Image
from meadow.spec import step as spec_step
from meadow.spec.commands import (
    COMMAND_BYTES,
    Command,
    Opcode,
    Outputs,
    RowSet,
    TrafficClass,
)
from meadow.spec.config import BEAT_BYTES

__all__ = ["StepRunner"]

_SCRATCH_BYTES = 4096
_DUMP_ROW_BEATS = 256


class StepRunner:
    """Runs the program of `image` on `device`, and knows what each sequence has cached.

    Parameters
    ----------
    device : its window must hold `window_bytes(image, sequences)` bytes.
    image : see meadow.model.image; what firmware.image.read_image returns.
    sequences : KV caches to allocate, at most the configuration's.
    timeout_s : of one step, None waits for ever.

    Members
    -------
    positions : tokens in the cache of each sequence, those of the model's prefix included.
    last : result of the last step, or None.

    Every sequence begins behind the model's prefix, whose keys and values the session writes into
    its cache.

    A step of a model that is not causal takes whole sequences: one that has cached tokens must be
    rewound first. A model with the outputs "hidden" has no head: its steps are asked for
    Outputs.LOGITS.

    Raises ContractMismatch if the device is not what the image was compiled for, ValueError if the
    window is too small. Steps raise DeviceError (with the command's label) and DeviceTimeout.
    """

    def __init__(
        self,
        device: Device,
        image: Image,
        *,
        sequences: int = 1,
        timeout_s: float | None = None,
    ) -> None:
        self.device = device
        self.image = image
        self.manifest = image.manifest
        self.config = image.manifest.config
        self.timeout_s = timeout_s
        self.last: StepResult | None = None
        if not 1 <= sequences <= self.config.sequences:
            raise ValueError(f"a session has 1..{self.config.sequences} sequences, not {sequences}")
        self.registers = Registers(device, self.config)
        self.registers.check_identity()
        needed = self.window_bytes(image, sequences)
        if device.memory.size < needed:
            raise ValueError(
                f"the DMA window must hold {needed} bytes for {sequences} sequences, "
                f"not {device.memory.size}"
            )
        self._scratch_beats = self.manifest.window_beats(sequences)
        self._write(0, image.dram)
        self.registers.set_window()
        self.positions = [self.manifest.limits.start] * sequences
        for sequence in range(sequences):
            self._write_prefix(sequence)

    @staticmethod
    def window_bytes(image: Image, sequences: int = 1) -> int:
        """Bytes of DMA window for an image with so many sequences, a page of the session's own
        included.
        """
        size = image.manifest.window_beats(sequences) * BEAT_BYTES + _SCRATCH_BYTES
        return -(-size // _SCRATCH_BYTES) * _SCRATCH_BYTES

    def rewind(self, sequence: int = 0, position: int | None = None) -> None:
        """Forget what a sequence has cached from `position` on, by default all behind the model's
        prefix. ValueError for a position inside the prefix or beyond what is cached.
        """
        self.device.check_open()
        start, end = self.manifest.limits.start, self.positions[sequence]
        position = start if position is None else position
        if not start <= position <= end:
            kept = f" behind the prefix of {start}" if start else ""
            raise ValueError(f"position must be {start}..{end}{kept}, not {position}")
        if position == start:
            self._write_prefix(sequence)
        self.positions[sequence] = position

    def step(
        self,
        tokens: Mapping[int, Sequence[int]],
        *,
        outputs: Outputs = Outputs.ARGMAX,
        head_all: bool = False,
    ) -> StepResult:
        """Run the program once over new tokens of some sequences, {sequence: tokens}, and advance
        them.

        Head rows are in the order of `tokens`: the last token of each sequence, or all tokens with
        `head_all`. ValueError, before anything runs, for tokens, positions or a chunk that do not
        fit.
        """
        described = self.prepare(tokens, outputs=outputs, head_all=head_all)
        self._run(0, self.manifest.commands)
        return self.finish(tokens, described)

    def prepare(
        self,
        tokens: Mapping[int, Sequence[int]],
        *,
        outputs: Outputs = Outputs.ARGMAX,
        head_all: bool = False,
    ) -> spec_step.Step:
        """The part of `step` before the program runs: embeddings into the window, the step into the
        registers.
        """
        self.device.check_open()
        self._check_outputs(outputs)
        entries, places, rows, first = [], [], [], 0
        for sequence, new in tokens.items():
            if not 0 <= sequence < len(self.positions):
                raise ValueError(f"sequence must be 0..{len(self.positions) - 1}, not {sequence}")
            position = self.positions[sequence]
            if position + len(new) > self.manifest.context:
                raise ValueError(
                    f"{position + len(new)} tokens are too many: "
                    f"the context of this image holds {self.manifest.context}"
                )
            if position and not self.manifest.model.causal:
                raise ValueError(
                    "the tokens of a model that is not causal must be a whole sequence from "
                    "position 0, "
                    f"not from {position}: rewind it first"
                )
            base = self.manifest.kv_base(sequence)
            entries.append(spec_step.Sequence(base, position, len(new), first))
            rows.append(self.image.embed(new, range(position, position + len(new))))
            places.extend(range(position, position + len(new)))
            first += len(new)
        if first > self.manifest.chunk_tokens:
            raise ValueError(
                f"a chunk of this image holds {self.manifest.chunk_tokens} tokens, not {first}"
            )
        self._check_step(entries)
        described = spec_step.Step(tuple(entries), outputs, head_all)
        described.check(self.config)
        group_heads = self.manifest.model.group_heads
        described = replace(described, outputs=described.outputs_register(self.config, group_heads))
        self._fill("embeddings", np.concatenate(rows))
        if self.image.rotary.size:
            self._fill("rotary", self.image.rotary[places])
        self.registers.set_step(described)
        return described

    def finish(self, tokens: Mapping[int, Sequence[int]], described: spec_step.Step) -> StepResult:
        """The part of `step` after the program: results out of the window, positions advanced."""
        rows = len(described.head_rows)
        best = values = logits = None
        if described.outputs & Outputs.ARGMAX:
            best, values = self.image.argmax(self._read, rows)
        if described.outputs & Outputs.LOGITS:
            if self.manifest.model.outputs == "hidden":
                # Nothing gathers the rows of a model without head: the window has those of the
                # chunk.
                hidden = self.image.logits(self._read, described.rows)
                logits = hidden[np.array(described.head_rows)]
            else:
                logits = self.image.logits(self._read, rows)
        for sequence, new in tokens.items():
            self.positions[sequence] += len(new)
        self.last = StepResult(best, values, logits, self.registers.counters())
        return self.last

    def execute(self, first: int, count: int = 1) -> None:
        """Run `count` commands from command `first` of the program, for single-stepping between
        `prepare` and `finish`.
        """
        if not (0 <= first and 0 < count and first + count <= self.manifest.commands):
            raise ValueError(
                f"the program has commands 0..{self.manifest.commands - 1}, "
                f"not {first}..{first + count - 1}"
            )
        self._run(first, count)

    def run_commands(self, commands: Sequence[Command]) -> None:
        """Run a short program that is not the image's, at most 64 commands, on the step in the
        registers.
        """
        program = b"".join(command.encode() for command in commands)
        if len(program) > _SCRATCH_BYTES:
            limit = _SCRATCH_BYTES // COMMAND_BYTES
            raise ValueError(f"there is room for {limit} commands, not {len(commands)}")
        self._write(self._scratch_beats * BEAT_BYTES, np.frombuffer(program, np.uint8))
        self.registers.run_program(self._scratch_beats, len(commands), self.timeout_s)

    def dump_activations(self) -> tuple[np.ndarray, np.ndarray]:
        """Copy of the activation memory by STOREs of the session's own: its words, uint8
        [activation_words, W], and their exponents, uint8 [activation_words].
        """
        return self._dump(exponents=0), self._dump(exponents=1)[:, 0]

    def _dump(self, *, exponents: int) -> np.ndarray:
        """Every word of the activation memory, or {exponent, zeros} of each: uint8
        [activation_words, W].
        """
        config, region = self.config, self.manifest.regions["dump"]
        words = min(_DUMP_ROW_BEATS // config.word_beats, config.activation_words)
        store = Command(
            Opcode.STORE,
            {
                "source": 0,
                "source_stride": words,
                "offset": region.offset,
                "segments": 1,
                "segment_beats": words * config.word_beats,
                "row_set": RowSet.FIXED,
                "rows": config.activation_words // words,
                "exponents": exponents,
                "traffic": TrafficClass.ACTIVATIONS,
            },
        )
        self.run_commands([store, Command(Opcode.END)])
        data = self._read(region.offset * BEAT_BYTES, config.activation_words * config.width)
        return data.reshape(config.activation_words, config.width)

    def _check_outputs(self, outputs: Outputs) -> None:
        model = self.manifest.model
        if model.outputs == "hidden" and outputs & Outputs.ARGMAX:
            raise ValueError(
                f"a model of architecture {model.architecture!r} has no head: ask for "
                "Outputs.LOGITS, its hidden states, not for ARGMAX"
            )

    def _check_step(self, entries: Sequence[spec_step.Sequence]) -> None:
        """A program whose commands count rows serves one step of one sequence only."""
        only = self.manifest.step
        seen = [(entry.position, entry.tokens) for entry in entries]
        if only is not None and seen != [only]:
            raise ValueError(
                f"this image was compiled for one sequence of {only[1]} tokens from position "
                f"{only[0]} "
                f"on, not for {', '.join(f'{tokens} from {position}' for position, tokens in seen)}"
            )

    def _fill(self, region: str, rows: np.ndarray) -> None:
        """Rows into the beginning of a region of the window."""
        data = np.ascontiguousarray(rows).view(np.uint8).reshape(-1)
        self._write(self.manifest.regions[region].offset * BEAT_BYTES, data)

    def _run(self, first: int, count: int) -> None:
        start = self.manifest.regions["program"].offset + first * (COMMAND_BYTES // BEAT_BYTES)
        try:
            self.registers.run_program(start, count, self.timeout_s)
        except DeviceError as error:
            index = first + error.command
            labels = self.manifest.labels
            raise DeviceError(
                code=error.code,
                command=index,
                address=error.address,
                port=error.port,
                label=labels[index] if index < len(labels) else "",
                stuck=error.stuck,
            ) from None

    def _write_prefix(self, sequence: int) -> None:
        self.image.write_prefix(self.device.memory, sequence)
        for start, size in self.image.prefix_spans(sequence):
            self.device.sync_for_device(start, size)

    def _write(self, start: int, data: np.ndarray) -> None:
        self.device.memory[start : start + data.size] = data
        self.device.sync_for_device(start, data.size)

    def _read(self, start: int, size: int) -> np.ndarray:
        self.device.sync_for_cpu(start, size)
        return self.device.memory[start : start + size].copy()
