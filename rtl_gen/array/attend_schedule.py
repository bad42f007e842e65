# SPDX-License-Identifier: Apache-2.0
"""Steps and drain jobs of an ATTEND: token-parallel attention of one KV head over the cached keys
and values.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import AttendPart, Opcode
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.epilogue import ResultMode
from rtl_gen.array.attend_span import AttendSpan
from rtl_gen.interfaces.command import command_layout, step_layout
from rtl_gen.interfaces.lane import DrainMode, Target, lane_range
from rtl_gen.interfaces.schedule import array_step_layout, drain_job_layout

__all__ = ["AttendSchedule"]


class AttendSchedule(wiring.Component):
    """for each sequence: K0 K1 V0 K2 V1 ... V_last (SCORES: K0 .. K_last, VALUES: V0 .. V_last),
    then the output job.

    Groups of T div heads tokens count from the first token of the sequence's part on. K_b: for h in
    head-dim blocks:
    for g in groups that see a key of block b: step (trimmed to the keys that the group's last token
    sees, but not for SCORES); then a SCORE or SCORE16 job over these groups. V_b: the same groups,
    h by h, steps by column over the columns of the head. Groups before low[b] see no key of block b
    and are skipped; low never falls, as tokens are in order.

    VALUES takes operands from the scores area, and totals with the first step of every group. A
    lane holds one total per group, so none may be loaded before the finishes of an earlier OUTPUT
    job, but a step is loaded ahead of its wait for that job. Therefore the phase opens with a step
    of no cycles, tile and totals, which waits in its place.

    Members
    -------
    i_command : In stream of an ATTEND; taken when idle. Sequences of the table cover ascending
        rows.
    step : In(step_layout), stable.
    o_step, o_job : Out streams; a job follows the last step of its phase. Scores go to the target
        BUFFER0, which of the two buffers is chosen behind.
    busy : from the cycle after a command was taken until its last job was.

    Throughput: one step in STEP_CYCLES cycles, which is below the least step; up to 3 cycles more
    per skipped group, about 8 per block and per sequence, all hidden while steps are queued.
    Latency: LATENCY cycles from the command to the first step of a WHOLE.
    """

    STEP_CYCLES = 4
    LATENCY = AttendSpan.LATENCY + 10

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(command_layout(Opcode.ATTEND))),
                "step": In(step_layout(config)),
                "o_step": Out(stream.Signature(array_step_layout(config))),
                "o_job": Out(stream.Signature(drain_job_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        m.submodules.span = self._span = span = AttendSpan(config=config)
        self._command = command = Signal(command_layout(Opcode.ATTEND))
        self._sequence = Signal(8)
        self._scores_only = Signal()
        self._values_only = Signal()

        # The pass: a block of keys, and where its groups begin.
        group_shape = self.o_step.payload.shape().members["group"]
        self._by_value = Signal()
        self._holding = Signal()
        self._block = Signal(range(config.max_context // config.width + 2))
        self._head = Signal(6)
        self._bank = self._block[0]
        self._block_keys = Cat(Const(0, (config.width - 1).bit_length()), self._block)
        blocks = max(1, config.max_head_dim // config.width)
        self._head_base = Signal(range((blocks + 1) * config.groups))
        self._low = Signal(group_shape)
        self._low_token = Signal(17)
        self._low_source = Signal(20)
        self._low_scores = Signal(20)
        self._low_of_bank, self._low_token_of_bank = (
            Array(Signal(shape, name=f"{name}_{bank}") for bank in range(2))
            for name, shape in (("low", group_shape), ("low_token", 17))
        )
        # The group, and the job.
        self._opens = Signal()
        self._groups_end = Signal()
        self._group = Signal(group_shape)
        self._token = Signal(17)
        self._source = Signal(20)
        self._words = Signal(lane_range(config))
        self._cycles = Signal(range(config.step_cycles + 1))
        self._limit = Signal(signed(24))
        self._address = Signal(20)
        self._job_tokens = Signal(16)
        self._job_row = Signal(16)

        self._sequence_ends = Signal()
        self._last_step = Signal()
        self._mask = Signal(config.width // BEAT_BYTES)
        m.d.comb += [
            span.command.eq(command),
            span.step.eq(self.step),
            span.sequence.eq(self._sequence),
            self._scores_only.eq(command.part == AttendPart.SCORES.value),
            self._values_only.eq(command.part == AttendPart.VALUES.value),
            self._sequence_ends.eq(
                (self._by_value | self._scores_only) & (self._block == span.last_block)
            ),
            self._last_step.eq((self._head == command.blocks - 1) & self._groups_end),
        ]
        m.d.sync += self._mask.eq(((1 << command.segment_beats) - 1) << command.column_beats)
        self._describe_step(m)
        self._describe_job(m)
        with m.FSM() as fsm:
            m.d.comb += [
                self.busy.eq(~fsm.ongoing("IDLE")),
                self._holding.eq(fsm.ongoing("HOLD")),
            ]
            self._choose(m)
            self._find_low(m)
            self._make_steps(m)
            self._end_pass(m)
        return m

    def _describe_step(self, m: Module) -> None:
        config, command, step = self._config, self._command, self.o_step.payload
        index_bits = (config.step_cycles - 1).bit_length()
        unit_bits = (BEAT_BYTES // config.rows).bit_length() - 1
        column = Signal(range(config.step_cycles))
        column_cycles = Signal(range(config.step_cycles + 1))
        first_step = Signal()
        m.d.sync += [
            column.eq(Cat(Const(0, unit_bits), command.column_beats)),
            column_cycles.eq(Cat(Const(0, unit_bits), command.segment_beats)),
        ]
        m.d.comb += [
            first_step.eq((self._head == 0) & self._opens),
            step.tile_last.eq(self._groups_end),
            step.by_column.eq(self._by_value),
            step.bank.eq(self._bank),
            step.group.eq(self._group),
            step.words.eq(self._words),
            step.source.eq(self._source),
            step.heads.eq(command.heads),
            step.head_stride.eq(command.blocks),
            step.total_source.eq(self._source - 1),
        ]
        with m.If(self._by_value):
            m.d.comb += [
                step.phase_first.eq(first_step & (self._block == 0) & ~self._values_only),
                step.phase_last.eq(self._last_step & self._sequence_ends),
                step.index.eq(column),
                step.cycles.eq(column_cycles),
                step.target.eq(Target.OUTPUT),
                step.address.eq(Cat(column, (self._head_base + self._group))),
                step.first.eq(self._block == 0),
                step.rescale.eq((self._block != 0) & ~self._values_only),
                step.fetch.eq(~self._values_only),
                step.fetch_first.eq((self._head == 0) & ~self._values_only),
            ]
        with m.Else():
            m.d.comb += [
                step.phase_first.eq(first_step),
                step.phase_last.eq(self._last_step),
                step.cycles.eq(self._cycles),
                step.address.eq(Cat(Const(0, index_bits), self._group)),
                step.first.eq(self._head == 0),
            ]
        with m.If(self._values_only):
            m.d.comb += [
                step.stride.eq(command.scores_stride),
                step.mask.eq(~Const(0, len(step.mask))),
                step.wide.eq(1),
                step.totals.eq((self._block == 0) & (self._head == 0)),
            ]
        with m.Else():
            m.d.comb += [step.stride.eq(command.query_stride), step.mask.eq(self._mask)]
        with m.If(self._holding):
            m.d.comb += [
                step.tile_last.eq(0),
                step.phase_first.eq(1),
                step.phase_last.eq(0),
                step.cycles.eq(0),
                step.words.eq(1),
                step.totals.eq(0),
            ]

    def _describe_job(self, m: Module) -> None:
        command, job = self._command, self.o_job.payload
        m.d.comb += [
            job.result.eq(ResultMode.WRITE),
            job.row.eq(self._job_row),
            job.tokens.eq(self._job_tokens),
            job.heads.eq(command.heads),
            job.head_stride.eq(command.blocks),
            job.address.eq(self._address),
            job.stride.eq(Mux(self._scores_only, command.scores_stride, command.query_stride)),
            job.mask.eq(Mux(self._scores_only, ~Const(0, len(job.mask)), self._mask)),
            job.bank.eq(self._bank),
            job.reset.eq(self._block == 0),
            job.causal.eq(command.causal),
            job.limit.eq(self._limit),
        ]
        with m.If(self._by_value):
            m.d.comb += [
                job.mode.eq(DrainMode.OUTPUT),
                job.target.eq(Target.OUTPUT),
                job.blocks.eq(command.blocks),
                job.multiplier.eq(command.output_multiplier),
                job.shift.eq(command.output_shift),
            ]
        with m.Else():
            m.d.comb += [
                job.mode.eq(DrainMode.SCORE),
                job.group.eq(self._low),
                job.blocks.eq(1),
                job.multiplier.eq(command.score_multiplier),
                job.shift.eq(command.score_shift),
            ]
            with m.If(self._scores_only):
                m.d.comb += job.mode.eq(DrainMode.SCORE16)

    def _choose(self, m: Module) -> None:
        """Take a command, wait for the span of each sequence, choose the next pass."""
        command, span = self._command, self._span
        wait = Signal(range(span.LATENCY))
        key_block = Signal(self._block.shape(), name="key_block")
        value_block = Signal(self._block.shape(), name="value_block")
        with m.State("IDLE"):
            m.d.comb += self.i_command.ready.eq(1)
            m.d.sync += [command.eq(self.i_command.payload), self._sequence.eq(0)]
            with m.If(self.i_command.valid):
                m.next = "SPAN"
        with m.State("SPAN"):
            m.d.sync += wait.eq(wait + 1)
            with m.If(wait == span.LATENCY - 1):
                m.d.sync += wait.eq(0)
                m.next = "START"
        with m.State("START"):
            m.d.sync += [
                self._low.eq(0),
                self._low_token.eq(0),
                self._low_source.eq(span.start),
                self._low_scores.eq(command.scores),
                key_block.eq(0),
                value_block.eq(0),
            ]
            m.next = "CHOOSE"
        with m.State("CHOOSE"):
            m.d.sync += [self._head.eq(0), self._head_base.eq(0)]
            key_next = (key_block <= span.last_block) & (key_block <= value_block + 1)
            with m.If(self._scores_only | (key_next & ~self._values_only)):
                m.d.sync += [self._by_value.eq(0), self._block.eq(key_block)]
                m.next = "LOW_END"
            with m.Else():
                m.d.sync += [self._by_value.eq(1), self._block.eq(value_block)]
                m.next = "TILE"
                with m.If(self._values_only):
                    m.next = "LOW_END"
        with m.State("NEXT"):
            m.d.sync += [
                key_block.eq(key_block + ~self._by_value),
                value_block.eq(value_block + self._by_value),
            ]
            m.next = "CHOOSE"
            with m.If(self._sequence_ends):
                m.d.sync += self._sequence.eq(self._sequence + 1)
                m.next = "SPAN"
                with m.If(self._sequence + 1 == self.step.sequences):
                    m.next = "IDLE"

    def _token_end(self, token: Value) -> Value:
        """Token after the last one of a group that begins with `token`."""
        end = token + self._span.group_tokens
        return Mux(end < self._span.tokens, end, self._span.tokens)

    def _reach(self, token_end: Value) -> Value:
        """Keys that the token before `token_end` sees."""
        return Mux(self._command.causal, self._span.position + token_end, self._span.keys)

    def _find_low(self, m: Module) -> None:
        """The first group that sees a key of the block."""
        lane_bits = (self._config.lanes - 1).bit_length()
        end, reach = Signal(17, name="low_end"), Signal(22, name="low_reach")
        # Only commands with one head have a scores area: its groups have T tokens.
        scores_stride = Cat(Const(0, lane_bits), self._command.scores_stride)
        with m.State("LOW_END"):
            m.d.sync += end.eq(self._token_end(self._low_token))
            m.next = "LOW_REACH"
        with m.State("LOW_REACH"):
            m.d.sync += reach.eq(self._reach(end))
            m.next = "LOW_TEST"
        with m.State("LOW_TEST"):
            with m.If(reach <= self._block_keys):
                m.d.sync += [
                    self._low.eq(self._low + 1),
                    self._low_token.eq(self._low_token + self._span.group_tokens),
                    self._low_source.eq(self._low_source + self._span.group_stride),
                    self._low_scores.eq(self._low_scores + scores_stride),
                ]
                m.next = "LOW_END"
            with m.Else():
                m.d.sync += [
                    self._low_of_bank[self._bank].eq(self._low),
                    self._low_token_of_bank[self._bank].eq(self._low_token),
                ]
                m.next = "TILE"

    def _make_steps(self, m: Module) -> None:
        """The steps of a pass, tile by tile."""
        config, command, span = self._config, self._command, self._span
        width = config.width
        lane_bits, width_bits = (config.lanes - 1).bit_length(), (width - 1).bit_length()
        left = Signal(17)  # tokens from this group on
        left_words = Signal(lane_range(config))
        token_end = Signal(17)
        reach = Signal(22)  # keys of this block, and after it, that the group's last token sees
        stride = Signal(20)
        m.d.sync += stride.eq(
            Mux(
                self._values_only,
                Cat(Const(0, lane_bits), command.scores_stride),
                span.group_stride,
            )
        )
        with m.State("TILE"):
            m.d.sync += [
                self._opens.eq(1),
                self._group.eq(self._low_of_bank[self._bank]),
                self._token.eq(self._low_token_of_bank[self._bank]),
                self._source.eq(self._low_source + self._head),
            ]
            m.next = "ENDS"
            with m.If(self._values_only):
                m.d.sync += self._source.eq(self._low_scores + Cat(1, self._block))
                with m.If((self._block == 0) & (self._head == 0)):
                    m.next = "HOLD"
        with m.State("HOLD"):
            m.d.comb += self.o_step.valid.eq(1)
            with m.If(self.o_step.ready):
                m.next = "ENDS"
        with m.State("ENDS"):
            m.d.sync += [
                left.eq(span.tokens - self._token),
                token_end.eq(self._token_end(self._token)),
            ]
            m.next = "REACH"
        with m.State("REACH"):
            m.d.sync += [
                self._groups_end.eq(left <= span.group_tokens),
                left_words.eq(left[: lane_bits + 1] * command.heads[: lane_bits + 1]),
                reach.eq(self._reach(token_end) - self._block_keys),
            ]
            m.next = "TRIM"
        with m.State("TRIM"):
            m.d.sync += self._words.eq(Mux(self._groups_end, left_words, span.group_lanes))
            with m.If((reach >= width) | self._scores_only):
                m.d.sync += self._cycles.eq(config.step_cycles)
            with m.Else():
                rounded = reach[:width_bits] + (config.rows - 1)
                m.d.sync += self._cycles.eq(rounded >> (config.rows - 1).bit_length())
            m.next = "STEP"
        with m.State("STEP"):
            m.d.comb += self.o_step.valid.eq(1)
            with m.If(self.o_step.ready):
                m.d.sync += [
                    self._opens.eq(0),
                    self._group.eq(self._group + 1),
                    self._token.eq(self._token + span.group_tokens),
                    self._source.eq(self._source + stride),
                ]
                m.next = "ENDS"
                with m.If(self._groups_end):
                    m.d.sync += [
                        self._head.eq(self._head + 1),
                        self._head_base.eq(self._head_base + config.groups),
                    ]
                    m.next = "TILE"
                with m.If(self._last_step):
                    m.next = "VISIBLE"

    def _end_pass(self, m: Module) -> None:
        """The job of the pass, if its phase ends with it."""
        command, span = self._command, self._span
        low_keys = Signal(22)  # keys that the first token of the first group sees
        with m.State("VISIBLE"):
            m.d.sync += [
                low_keys.eq(span.first_keys + Mux(command.causal, self._low_token, 0)),
                self._job_tokens.eq(span.tokens - Mux(self._by_value, 0, self._low_token)),
                self._job_row.eq(span.row + Mux(self._by_value, 0, self._low_token)),
                self._address.eq(span.start),
            ]
            with m.If(self._scores_only):
                m.d.sync += self._address.eq(self._low_scores + Cat(1, self._block))
            m.next = "LIMIT"
        with m.State("LIMIT"):
            m.d.sync += self._limit.eq(low_keys - self._block_keys)
            m.next = "JOB"
            with m.If(self._by_value & ~self._sequence_ends):
                m.next = "NEXT"
        with m.State("JOB"):
            m.d.comb += self.o_job.valid.eq(1)
            with m.If(self.o_job.ready):
                m.next = "NEXT"
