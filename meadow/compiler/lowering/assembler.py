# SPDX-License-Identifier: Apache-2.0
"""Assembling of a program: commands with labels, constants in DRAM, relocation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from meadow.compiler.lowering.hazards import with_waits
from meadow.compiler.lowering.layout import PAGE_BEATS, STREAM_BEATS, Area, CompileError
from meadow.compiler.packing.packing import pack_matrix
from meadow.model.quantised import QuantisedLinear, QuantisedNorm
from meadow.spec.commands import (
    COMMAND_BYTES,
    Command,
    Flag,
    Opcode,
    Outputs,
    RowSet,
    Space,
    TrafficClass,
)
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.epilogue import MatmulOutput
from meadow.spec.image import MatrixFacts
from meadow.spec.ranges import check_command

__all__ = ["Assembler"]

_ALWAYS = Outputs(0)
_NO_FLAGS = Flag(0)


class Assembler:
    """A program under construction; CompileError for a command that the device would refuse.

    Constants are placed as they are made; what the program writes lies behind them, so a command
    that touches it is emitted with an offset into its region and relocated by `finish` once the
    regions are placed.

    Members
    -------
    commands, labels : the program and a name for each of its commands.
    matrices : one entry per MATMUL, in order.
    regions : {name: (offset, beats)} of what `region` placed.
    """

    def __init__(self, config: AcceleratorConfig, codec: str) -> None:
        self.config = config
        self.codec = codec
        self.commands: list[Command] = []
        self.labels: list[str] = []
        self.matrices: list[MatrixFacts] = []
        self.regions: dict[str, tuple[int, int]] = {}
        self._end = 0
        self._constants: list[tuple[int, bytes]] = []
        self._relocations: dict[int, str] = {}

    def emit(
        self,
        label: str,
        opcode: Opcode,
        *,
        condition: Outputs = _ALWAYS,
        flags: Flag = _NO_FLAGS,
        region: str | None = None,
        **values: int,
    ) -> None:
        """Append a command; with `region` its `offset` counts from the start of that region."""
        if region is not None:
            self._relocations[len(self.commands)] = region
        self._append(label, Command(opcode, values, condition=condition, flags=flags))

    def matmul(
        self,
        label: str,
        linear: QuantisedLinear,
        padded: QuantisedLinear,
        source: Area,
        destination: Area,
        output: MatmulOutput,
        *,
        row_set: RowSet = RowSet.CHUNK,
        condition: Outputs = _ALWAYS,
        **fields: int,
    ) -> None:
        """Pack and place `padded`, whose true part is `linear`, and append its MATMUL, with what
        else its output needs in `fields`."""
        packed = pack_matrix(padded, self.config, self.codec)
        values = {}
        for port, stream in enumerate(packed.streams):
            values[f"offset{port}"] = self.constant(stream)
            values[f"beats{port}"] = len(stream) // BEAT_BYTES
        self.matrices.append(
            MatrixFacts(
                label,
                linear.outputs,
                linear.inputs,
                packed.codec.name.lower(),
                packed.size_bytes,
            )
        )
        values.update(
            source=source.base,
            source_stride=source.stride,
            tiles=padded.inputs // self.config.width,
            slices=padded.outputs // self.config.width,
            destination=destination.base,
            destination_stride=destination.stride,
            output=output,
            row_set=row_set,
            channels=linear.outputs,
            **fields,
        )
        self._append(label, Command(Opcode.MATMUL, values, condition=condition))

    def norm(
        self,
        label: str,
        norm: QuantisedNorm,
        channels: int,
        source: Area,
        destination: Area,
        *,
        row_set: RowSet = RowSet.CHUNK,
        condition: Outputs = _ALWAYS,
    ) -> None:
        """Place the parameters of a norm, padded to `channels`, and append their LOAD and the NORM,
        which replaces its source if the norm has a residual_shift."""
        parameters = np.zeros((channels, 2), "<i2")
        parameters[: norm.channels, 0], parameters[: norm.channels, 1] = norm.gain, norm.offset
        self.load_constant(label + "_load", Space.NORM, parameters.tobytes(), condition=condition)
        self.emit(
            label,
            Opcode.NORM,
            condition=condition,
            source=source.base,
            source_stride=source.stride,
            destination=destination.base,
            destination_stride=destination.stride,
            words=2 * channels // self.config.width,
            channels=norm.channels,
            epsilon=norm.epsilon,
            mean_multiplier=norm.mean_multiplier,
            mean_shift=norm.mean_shift,
            norm_shift=norm.norm_shift,
            offset_shift=norm.offset_shift,
            output_shift=norm.output_shift,
            rms=int(norm.rms),
            row_set=row_set,
            residual=int(norm.residual_shift is not None),
            residual_shift=norm.residual_shift or 0,
        )

    def load_constant(
        self, label: str, space: Space, data: bytes, *, condition: Outputs = _ALWAYS
    ) -> None:
        """Place bytes, whole words, and append their LOAD to the start of a space.

        A word is a row of its own, so that all ports take part.
        """
        self.emit(
            label,
            Opcode.LOAD,
            condition=condition,
            space=space,
            offset=self.constant(data),
            destination_stride=1,
            row_beats=self.config.word_beats,
            row_set=RowSet.FIXED,
            rows=len(data) // self.config.width,
            traffic=TrafficClass.WEIGHTS,
        )

    def constant(self, data: bytes) -> int:
        """Place bytes, whole beats; returns their offset in beats."""
        offset = self._take(len(data) // BEAT_BYTES, STREAM_BEATS)
        self._constants.append((offset, data))
        return offset

    def place_program(self) -> None:
        """Reserve the region `program` behind the constants, for all commands emitted so far."""
        self.region("program", len(self.commands) * COMMAND_BYTES // BEAT_BYTES)

    def region(self, name: str, beats: int) -> int:
        """Reserve beats at a page boundary under a name; returns their offset."""
        offset = self._take(beats, PAGE_BEATS)
        self.regions[name] = (offset, beats)
        return offset

    def finish(self, tokens: int) -> tuple[np.ndarray, int]:
        """Relocate the commands and find what they wait for, for chunks of at most `tokens` rows.

        Returns constants and program, uint8 from beat 0 on, and the offset of the first free page.
        """
        for index, region in self._relocations.items():
            command = self.commands[index]
            offset = command.values.get("offset", 0) + self.regions[region][0]
            self.commands[index] = replace(command, values={**command.values, "offset": offset})
        self.commands = with_waits(self.commands, self.config, tokens)
        start, beats = self.regions["program"]
        program = b"".join(command.encode() for command in self.commands)
        dram = np.zeros((start + beats) * BEAT_BYTES, np.uint8)
        for offset, data in (*self._constants, (start, program)):
            first = offset * BEAT_BYTES
            dram[first : first + len(data)] = np.frombuffer(data, np.uint8)
        return dram, self._take(0, PAGE_BEATS)

    def _append(self, label: str, command: Command) -> None:
        try:
            check_command(self.config, command)
        except ValueError as error:
            raise CompileError(f"{label}: the device would refuse this command: {error}") from error
        self.commands.append(command)
        self.labels.append(label)

    def _take(self, beats: int, alignment: int) -> int:
        start = -(-self._end // alignment) * alignment
        self._end = start + beats
        if self._end >= 1 << 32:
            raise CompileError(f"the DMA window must have fewer than 2**32 beats, not {self._end}")
        return start
