# SPDX-License-Identifier: Apache-2.0
"""The architectural machine: what every command does to memory, bit for bit, without time.

It interprets the same program, packed streams and DRAM image as the hardware and keeps the same
state, so RTL is compared with it command by command, and a compiled program is compared with the
bit-true model through it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from meadow.golden.machine.attention import run_attend, run_softmax
from meadow.golden.machine.matmul import MatmulRunner
from meadow.golden.machine.state import (
    Fields,
    MachineError,
    MachineState,
    require,
    row_count,
)
from meadow.golden.numerics import layer_norm
from meadow.spec.commands import (
    CHECK_BYTES,
    COMMAND_BYTES,
    Command,
    Opcode,
    RowSet,
    Space,
    TrafficClass,
    command_fields,
)
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.ranges import check_command
from meadow.spec.registers import ErrorCode
from meadow.spec.step import Step

__all__ = ["Machine"]

_READ_COMMANDS = 4
"""Commands that the hardware reads together: none of them is executed if one is outside the
window.
"""


class Machine(MachineState):
    """`MachineState` and the commands that change it.

    A row that is not in a command's row set, or in no sequence, is never written. Rows of a HEAD
    row set are compact: row s of the set is row s of every operand, but of a NORM's source, which
    is the chunk. Commands whose condition is not met have no effect and no traffic but their own 64
    bytes.

    Traffic: WEIGHTS every port's whole stream, preamble and padding included; KV_READ, per ATTEND
    and sequence, the position + tokens rows (of a part: position + first + rows) of K but for
    VALUES and of V but for SCORES in every head-dim block; LOAD and STORE by their own class;
    COMMANDS 64 bytes per command up to END.

    Raises MachineError (a ValueError) naming the rule and the value: a command whose CRC-32
    differs, an illegal opcode, a field out of range, a DRAM range outside the window, an activation
    address out of range, a stream that breaks its format. A command is checked whether its
    condition is met or not.
    """

    def __init__(self, config: AcceleratorConfig, dram: np.ndarray) -> None:
        super().__init__(config, dram)
        self._actions: dict[Opcode, Callable[[Fields, Step], None]] = {
            Opcode.LOAD: self._load,
            Opcode.STORE: self._store,
            Opcode.MATMUL: MatmulRunner(self).execute,
            Opcode.ATTEND: lambda fields, step: run_attend(self, fields, step),
            Opcode.SOFTMAX: lambda fields, _: run_softmax(self, fields),
            Opcode.NORM: self._norm,
            Opcode.VECTOR: self._vector,
        }

    def run_program(self, program_offset_beats: int, length: int, step: Step) -> int:
        """Execute the program in DRAM until END or `length` commands.

        Returns the commands fetched, END included.

        ValueError for a step the configuration cannot hold; MachineError, with its `command` set,
        for a program.
        """
        step.check(self.config)
        command_beats = COMMAND_BYTES // BEAT_BYTES
        for index in range(length):
            try:
                start = program_offset_beats + index * command_beats
                if index % _READ_COMMANDS == 0:
                    count = min(_READ_COMMANDS, length - index)
                    self.window(start, count * COMMAND_BYTES, "command read")
                data = self.window(start, COMMAND_BYTES, "command fetch")
                self.traffic[TrafficClass.COMMANDS] += COMMAND_BYTES
                command = _decode(data.tobytes())
                self.execute(command, step)
            except MachineError as error:
                raise MachineError(
                    f"command {index}: {error}", code=error.code, command=index
                ) from error
            if command.opcode == Opcode.END:
                return index + 1
        return length

    def execute(self, command: Command, step: Step) -> None:
        """Apply one command to the state. FENCE and END change nothing."""
        try:
            check_command(self.config, command)
        except ValueError as error:
            raise MachineError(str(error)) from error
        if command.condition and not command.condition & step.outputs:
            return
        action = self._actions.get(command.opcode)
        if action is not None:
            names = (field.name for field in command_fields(command.opcode))
            action({name: int(command.values.get(name, 0)) for name in names}, step)

    def _load(self, fields: Fields, step: Step) -> None:
        rows, beats = row_count(fields, step), fields["row_beats"]
        if rows == 0:  # nothing is read, wherever it would be
            return
        space = Space(fields["space"])
        memory = {
            Space.ACTIVATION: self.activations,
            Space.NORM: self.norm_parameters,
            Space.TABLE: self.activation_table,
        }[space]
        address = self.words(
            fields["destination"],
            fields["destination_stride"],
            rows,
            beats // self.config.word_beats,
            f"LOAD to {space.name}",
            memory_words=len(memory),
        )
        size = rows * beats * BEAT_BYTES
        data = self.window(fields["offset"], size, "LOAD")
        memory[address] = data.reshape(*address.shape, self.config.width)
        if space == Space.ACTIVATION:
            self.exponents[address] = 0
        self.traffic[TrafficClass(fields["traffic"])] += size

    def _store(self, fields: Fields, step: Step) -> None:
        rows, beats = row_count(fields, step), fields["segment_beats"]
        if rows == 0:
            return
        segments = fields["segments"]
        size = beats * BEAT_BYTES
        words = -(-segments * size // self.config.width)
        address = self.words(fields["source"], fields["source_stride"], rows, words, "STORE")
        stored = self.activations[address]
        if fields["exponents"]:
            stored[..., 0], stored[..., 1:] = self.exponents[address], 0
        data = stored.reshape(rows, -1)
        spans = [(0, 0, rows)]
        if fields["cache"]:
            spans = [
                (entry.kv_base + entry.position * beats, entry.first_row, entry.tokens)
                for entry in step.sequences
            ]
        for base, first, count in spans:
            for segment in range(segments):
                start = base + fields["offset"] + segment * fields["segment_stride"]
                source = data[first : first + count, segment * size : (segment + 1) * size]
                self.window(start, count * size, "STORE")[:] = source.reshape(-1)
        self.traffic[TrafficClass(fields["traffic"])] += rows * segments * size

    def _norm(self, fields: Fields, step: Step) -> None:
        words, channels = fields["words"], fields["channels"]
        padded = words * self.config.width // 2
        rows, source_rows = row_count(fields, step), step.rows
        if fields["row_set"] == RowSet.FIXED:
            source_rows = rows
        source = self.words(
            fields["source"], fields["source_stride"], source_rows, words, "NORM source"
        )
        if fields["row_set"] == RowSet.HEAD:
            source = source[np.array(step.head_rows)]
        target = self.words(
            fields["destination"],
            fields["destination_stride"],
            rows,
            words // 2,
            "NORM destination",
        )
        x = self.activations[source].reshape(rows, padded * 2).view("<i2")
        parameters = self.norm_parameters.reshape(-1)[: 4 * padded].view("<i2").reshape(padded, 2)
        for what, array in (("rows", x), ("parameters", parameters.T)):
            stray = array[:, channels:]
            require(
                not stray.any(),
                f"NORM {what} must be 0 from channel {channels} on",
                int(stray.max(initial=0)),
            )
        shared = {
            name: fields[name]
            for name in ("epsilon", "mean_multiplier", "mean_shift", "norm_shift", "offset_shift")
        }

        def normalised(shift: int) -> np.ndarray:
            result = np.zeros((rows, padded), "<i2")
            result[:, :channels] = layer_norm(
                x[:, :channels],
                parameters[:channels, 0],
                parameters[:channels, 1],
                **shared,
                output_shift=shift,
                rms=bool(fields["rms"]),
            )
            return result

        self.write_words(target, normalised(fields["output_shift"]))
        if fields["residual"]:
            self.write(source, normalised(fields["residual_shift"]))

    def _vector(self, fields: Fields, step: Step) -> None:
        rows = row_count(fields, step)
        target = self.words(
            fields["destination"], fields["destination_stride"], rows, 1, "VECTOR destination"
        )
        words = np.zeros((rows, self.config.width // 4), "<i4")
        words[:, 0], words[:, 1] = self.best_index[:rows], self.best_value[:rows]
        self.write(target, words)


def _decode(data: bytes) -> Command:
    """The command; MachineError with COMMAND_CHECK if only its CRC-32 can be at fault."""
    try:
        return Command.decode(data)
    except ValueError as error:
        body, check = data[:-CHECK_BYTES], data[-CHECK_BYTES:]
        sealed = zlib.crc32(body) == int.from_bytes(check, "little")
        code = ErrorCode.ILLEGAL_COMMAND if sealed else ErrorCode.COMMAND_CHECK
        raise MachineError(str(error), code=code) from error
