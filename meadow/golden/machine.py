# SPDX-License-Identifier: Apache-2.0
"""The architectural machine: what every command does to memory, bit for bit, without time.

It interprets the same program, packed streams and DRAM image as the hardware and keeps the same
state, so RTL is compared with it command by command, and a compiled program is compared with the
bit-true model through it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from meadow.golden.bit_true import accumulate, attend
from meadow.golden.machine_state import MachineError, MachineState, member, require
from meadow.golden.numerics import layer_norm, requantise, saturate
from meadow.golden.quantised import QuantisedLinear
from meadow.golden.streams import unpack_stream
from meadow.spec.commands import (
    COMMAND_BYTES,
    Command,
    MatmulOutput,
    Opcode,
    RowSet,
    Space,
    TrafficClass,
    VectorFunction,
    command_fields,
)
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.numerics import MAX_SHIFT
from meadow.spec.registers import ErrorCode
from meadow.spec.step import Sequence, Step

__all__ = ["Machine"]

_CACHED_WEIGHTS = 1 << 26

Fields = dict[str, int]


class Machine(MachineState):
    """`MachineState` and the commands that change it.

    A row that is not in a command's row set, or in no sequence, is never written. Rows of a HEAD
    row set are compact: row s of the set is row s of every operand, but of a NORM's source, which
    is the chunk. Commands whose condition is not met have no effect and no traffic but their own 64
    bytes.

    Traffic: WEIGHTS every port's whole stream, preamble and padding included; KV_READ, per ATTEND
    and sequence, the position + tokens rows of K and of V in every head-dim block; LOAD and STORE
    by their own class; COMMANDS 64 bytes per command up to END.

    Raises MachineError (a ValueError) naming the rule and the value: illegal opcode, a DRAM range
    outside the window, an activation address out of range, a stream that breaks its format, a field
    out of range.
    """

    def __init__(self, config: AcceleratorConfig, dram: np.ndarray) -> None:
        super().__init__(config, dram)
        self._matrices: dict[tuple[object, ...], QuantisedLinear] = {}
        self._actions: dict[Opcode, Callable[[Fields, Step], None]] = {
            Opcode.LOAD: self._load,
            Opcode.STORE: self._store,
            Opcode.MATMUL: self._matmul,
            Opcode.ATTEND: self._attend,
            Opcode.NORM: self._norm,
            Opcode.VECTOR: self._vector,
        }

    def run(self, program_offset_beats: int, length: int, step: Step) -> int:
        """Execute the program in DRAM until END or `length` commands.

        Returns the commands fetched, END included.

        ValueError for a step the configuration cannot hold; MachineError, with its `command` set,
        for a program.
        """
        step.check(self.config)
        command_beats = COMMAND_BYTES // BEAT_BYTES
        for index in range(length):
            try:
                data = self.window(
                    program_offset_beats + index * command_beats, COMMAND_BYTES, "command fetch"
                )
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
        if command.condition and not command.condition & step.outputs:
            return
        action = self._actions.get(command.opcode)
        if action is not None:
            names = (field.name for field in command_fields(command.opcode))
            action({name: int(command.values.get(name, 0)) for name in names}, step)

    def _load(self, fields: Fields, step: Step) -> None:
        rows, beats = _rows(fields, step, "LOAD"), fields["row_beats"]
        word_beats = self.config.word_beats
        require(
            beats > 0 and beats % word_beats == 0,
            f"LOAD row_beats must be a multiple of {word_beats}",
            beats,
        )
        space = member(Space, fields["space"], "LOAD space")
        memory = self.activations if space == Space.ACTIVATION else self.norm_parameters
        address = self.words(
            fields["destination"],
            fields["destination_stride"],
            rows,
            beats // word_beats,
            f"LOAD to {space.name}",
            memory_words=len(memory),
        )
        size = rows * beats * BEAT_BYTES
        data = self.window(fields["offset"], size, "LOAD")
        memory[address] = data.reshape(*address.shape, self.config.width)
        self.traffic[member(TrafficClass, fields["traffic"], "LOAD traffic")] += size

    def _store(self, fields: Fields, step: Step) -> None:
        rows, beats = _rows(fields, step, "STORE"), fields["segment_beats"]
        word_beats, segments = self.config.word_beats, fields["segments"]
        require(
            beats > 0 and (beats % word_beats == 0 or beats <= word_beats),
            f"STORE segment_beats must be at most {word_beats} or a multiple of it",
            beats,
        )
        require(segments > 0, "STORE segments must be at least 1", segments)
        size = beats * BEAT_BYTES
        words = -(-segments * size // self.config.width)
        address = self.words(fields["source"], fields["source_stride"], rows, words, "STORE")
        data = self.activations[address].reshape(rows, -1)
        spans = [(0, 0, rows)]
        if fields["cache"]:
            require(
                fields["row_set"] == RowSet.CHUNK,
                "STORE to the cache must have row_set CHUNK",
                fields["row_set"],
            )
            spans = [
                (entry.kv_base + entry.position * beats, entry.first_row, entry.tokens)
                for entry in step.sequences
            ]
        for base, first, count in spans:
            for segment in range(segments):
                start = base + fields["offset"] + segment * fields["segment_stride"]
                source = data[first : first + count, segment * size : (segment + 1) * size]
                self.window(start, count * size, "STORE")[:] = source.reshape(-1)
        traffic = member(TrafficClass, fields["traffic"], "STORE traffic")
        self.traffic[traffic] += rows * segments * size

    def _matmul(self, fields: Fields, step: Step) -> None:
        output = member(MatmulOutput, fields["output"], "MATMUL output")
        require(
            fields["row_set"] != RowSet.FIXED,
            "MATMUL row_set must be CHUNK or HEAD",
            fields["row_set"],
        )
        rows, width = _rows(fields, step, "MATMUL"), self.config.width
        slices, tiles = fields["slices"], fields["tiles"]
        require(
            slices > 0 and tiles > 0,
            "MATMUL slices and tiles must be at least 1",
            f"{slices} and {tiles}",
        )
        matrix = self._matrix(fields, slices, tiles)
        source = self.words(fields["source"], fields["source_stride"], rows, tiles, "MATMUL source")
        wide = output in (MatmulOutput.RESIDUAL16, MatmulOutput.LOGITS16)
        target = self.words(
            fields["destination"],
            fields["destination_stride"],
            rows,
            slices * (1 + wide),
            "MATMUL destination",
        )
        x = self.activations[source].reshape(rows, tiles * width).view(np.int8)
        total = accumulate(x, matrix)
        result = requantise(total, matrix.multiplier, matrix.shift, 16 if wide else 8)
        if output == MatmulOutput.RELU8:
            result = np.maximum(result, 0)
        elif output == MatmulOutput.RESIDUAL16:
            result = saturate(result + self.activations[target].reshape(rows, -1).view("<i2"), 16)
        elif output == MatmulOutput.LOGITS16:
            self._compare(result[:, : fields["channels"]], fields)
        self._write(target, result.astype("<i2" if wide else np.int8))

    def _compare(self, logits: np.ndarray, fields: Fields) -> None:
        """Running arg-max over true channels [rows, channels]; the lowest of equals wins."""
        if fields["restart"]:
            self.forget_candidates()
        if not logits.size:
            return
        rows = np.arange(len(logits))
        index = np.argmax(logits, axis=1)
        value = logits[rows, index]
        better = rows[value > self.best_value[rows]]
        self.best_value[better] = value[better]
        self.best_index[better] = index[better] + fields["first_channel"]

    def _matrix(self, fields: Fields, slices: int, tiles: int) -> QuantisedLinear:
        """The padded matrix [slices*W, tiles*W] in all ports' streams."""
        config = self.config
        streams = []
        for port in range(config.ports):
            size = fields[f"beats{port}"] * BEAT_BYTES
            streams.append(self.window(fields[f"offset{port}"], size, f"stream of port {port}"))
            self.traffic[TrafficClass.WEIGHTS] += size
        key = (slices, tiles, *(hash(stream.tobytes()) for stream in streams))
        known = self._matrices.get(key)
        if known is not None:
            return known
        try:
            parts = [unpack_stream(stream.data, slices, tiles, config) for stream in streams]
            outputs = slices * config.width
            matrix = QuantisedLinear(
                weight=np.concatenate([part for part, _ in parts], axis=1).reshape(outputs, -1),
                bias=np.concatenate([head.bias for _, head in parts], axis=1).reshape(-1),
                multiplier=np.concatenate([head.multiplier for _, head in parts], axis=1).reshape(
                    -1
                ),
                shift=np.concatenate([head.shift for _, head in parts], axis=1).reshape(-1),
            )
        except ValueError as error:
            raise MachineError(f"MATMUL {error}", code=ErrorCode.STREAM) from error
        if sum(entry.weight.size for entry in self._matrices.values()) < _CACHED_WEIGHTS:
            self._matrices[key] = matrix
        return matrix

    def _attend(self, fields: Fields, step: Step) -> None:
        config = self.config
        blocks, beats, column = (
            fields[name] for name in ("blocks", "segment_beats", "column_beats")
        )
        require(blocks > 0, "ATTEND blocks must be at least 1", blocks)
        require(
            beats > 0
            and (config.word_beats % beats == 0 if blocks == 1 else beats == config.word_beats),
            f"ATTEND segment_beats must divide {config.word_beats}, or equal it with blocks > 1",
            beats,
        )
        require(
            column % beats == 0 and column + beats <= config.word_beats,
            f"ATTEND column_beats must be a multiple of {beats} below {config.word_beats}",
            column,
        )
        head_dim = blocks * beats * BEAT_BYTES
        require(
            head_dim <= config.max_head_dim,
            f"ATTEND head dim must be at most {config.max_head_dim}",
            head_dim,
        )
        _require_range("ATTEND", fields, "score_shift", 1, MAX_SHIFT)
        address = self.words(
            fields["query"], fields["query_stride"], step.rows, blocks, "ATTEND query"
        )
        place = slice(column * BEAT_BYTES, (column + beats) * BEAT_BYTES)
        for entry in step.sequences:
            rows = address[entry.first_row : entry.first_row + entry.tokens]
            query = self.activations[rows, place].reshape(entry.tokens, head_dim).view(np.int8)
            result = attend(
                query,
                self._cached(fields, entry, "key_offset"),
                self._cached(fields, entry, "value_offset"),
                positions=entry.position + np.arange(entry.tokens),
                width=config.width,
                probability_bits=config.probability_bits,
                score_multiplier=fields["score_multiplier"],
                score_shift=fields["score_shift"],
                output_multiplier=fields["output_multiplier"],
                output_shift=fields["output_shift"],
                causal=bool(fields["causal"]),
            )
            self.activations[rows, place] = result.view(np.uint8).reshape(*rows.shape, -1)

    def _cached(self, fields: Fields, entry: Sequence, offset: str) -> np.ndarray:
        """K or V of one head of a sequence: int8 [position + tokens, padded head dim]."""
        keys, size = entry.position + entry.tokens, fields["segment_beats"] * BEAT_BYTES
        start = entry.kv_base + fields[offset]
        parts = [
            self.window(start + block * fields["block_stride"], keys * size, "ATTEND").reshape(
                keys, -1
            )
            for block in range(fields["blocks"])
        ]
        self.traffic[TrafficClass.KV_READ] += keys * size * len(parts)
        return np.concatenate(parts, axis=1).view(np.int8)

    def _norm(self, fields: Fields, step: Step) -> None:
        words, channels = fields["words"], fields["channels"]
        padded = words * self.config.width // 2
        limit = self.config.norm_channels
        require(words > 0 and words % 2 == 0, "NORM words must be even and positive", words)
        require(padded <= limit, f"NORM padded channels must be at most {limit}", padded)
        require(1 <= channels <= padded, f"NORM channels must be in 1..{padded}", channels)
        _require_range("NORM", fields, "epsilon", 1, (1 << 60) - 1)
        _require_range("NORM", fields, "mean_shift", 1, MAX_SHIFT)
        _require_range("NORM", fields, "offset_shift", 0, 16)
        _require_range("NORM", fields, "output_shift", 1, 32)
        rows, source_rows = _rows(fields, step, "NORM"), step.rows
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
        result = np.zeros((rows, padded), np.int8)
        result[:, :channels] = layer_norm(
            x[:, :channels],
            parameters[:channels, 0],
            parameters[:channels, 1],
            epsilon=fields["epsilon"],
            mean_multiplier=fields["mean_multiplier"],
            mean_shift=fields["mean_shift"],
            norm_shift=fields["norm_shift"],
            offset_shift=fields["offset_shift"],
            output_shift=fields["output_shift"],
            rms=bool(fields["rms"]),
        )
        self._write(target, result)

    def _vector(self, fields: Fields, step: Step) -> None:
        member(VectorFunction, fields["function"], "VECTOR function")
        rows, limit = _rows(fields, step, "VECTOR"), len(self.best_index)
        require(rows <= limit, f"VECTOR rows must be at most {limit}", rows)
        target = self.words(
            fields["destination"], fields["destination_stride"], rows, 1, "VECTOR destination"
        )
        words = np.zeros((rows, self.config.width // 4), "<i4")
        words[:, 0], words[:, 1] = self.best_index[:rows], self.best_value[:rows]
        self._write(target, words)

    def _write(self, target: np.ndarray, rows: np.ndarray) -> None:
        """Little-endian rows into the words at [rows, words]."""
        data = np.ascontiguousarray(rows).view(np.uint8)
        self.activations[target] = data.reshape(*target.shape, self.config.width)


def _decode(data: bytes) -> Command:
    try:
        return Command.decode(data)
    except ValueError as error:
        raise MachineError(str(error)) from error


def _rows(fields: Fields, step: Step, what: str) -> int:
    """Rows of a command's row set."""
    row_set = member(RowSet, fields["row_set"], f"{what} row_set")
    return step.row_count(row_set, fields.get("rows", 0))


def _require_range(what: str, fields: Fields, name: str, low: int, high: int) -> None:
    require(low <= fields[name] <= high, f"{what} {name} must be in {low}..{high}", fields[name])
