# SPDX-License-Identifier: Apache-2.0
"""Tile operations and drain jobs of an ATTEND: token-parallel attention of one KV head over the
cached keys and values.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.attend_job import AttendJob
from rtl_gen.array.attend_place import AttendPlace
from rtl_gen.array.attend_span import AttendSpan
from rtl_gen.array.attend_tile_op import AttendTileOp
from rtl_gen.interfaces.command import command_layout, step_layout
from rtl_gen.interfaces.lane import lane_range
from rtl_gen.interfaces.memory import ADDRESS_BITS
from rtl_gen.interfaces.schedule import drain_job_layout, tile_op_layout

__all__ = ["AttendSchedule"]


class AttendSchedule(wiring.Component):
    """for each sequence: K0 K1 V0 K2 V1 ... V_last (SCORES: K0 .. K_last, VALUES: V0 .. V_last),
    then the output job.

    Groups of T div heads tokens count from the first token of the sequence's part on. K_b: for h in
    head-dim blocks: for g in groups that see a key of block b: tile operation (trimmed to the keys
    that the group's last token sees, but not for SCORES); then a SCORE or SCORE16 job over these
    groups. V_b: the same groups, h by h, tile operations by column over the columns of the head.
    Groups before low[b] see no key of block b and are skipped; low never falls, as tokens are in
    order.

    VALUES takes operands from the scores area, and totals with the first tile operation of every
    group. A lane holds one total per group, so none may be loaded before the finishes of an earlier
    OUTPUT job, but an operand is loaded ahead of its tile operation's wait for that job. Therefore
    the phase opens with a tile operation of no cycles, tile and totals, which waits in its place.

    Members
    -------
    i_command: In stream of an ATTEND; taken when idle. Sequences of the table cover ascending
        rows.
    step: In(step_layout), stable.
    o_op: Out stream of tile_op_layout. Scores go to the target BUFFER0, which of the two buffers is
        chosen behind.
    o_job: Out stream of drain_job_layout; a job follows the last tile operation of its phase.
    busy: Out, from the cycle after a command was taken until its last job was.

    Throughput: one tile operation in OP_CYCLES cycles, which is below the least one's length; up to
    3 cycles more per skipped group, about 8 per block and per sequence, all hidden while tile
    operations are queued.
    Latency: LATENCY cycles from the command to the first tile operation of a WHOLE.
    """

    OP_CYCLES = 4
    LATENCY = AttendSpan.LATENCY + 10

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(command_layout(Opcode.ATTEND))),
                "step": In(step_layout(config)),
                "o_op": Out(stream.Signature(tile_op_layout(config))),
                "o_job": Out(stream.Signature(drain_job_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.tile_op = tile_op = AttendTileOp(config=self._config)
        m.submodules.job = job = AttendJob(config=self._config)
        at = AttendPlace(config=self._config)
        m.submodules.span = at.span
        at.derive(m)
        m.d.comb += [
            at.span.step.eq(self.step),
            tile_op.command.eq(at.command),
            tile_op.place.eq(at.place),
            tile_op.group.eq(at.group),
            tile_op.sequence_ends.eq(at.sequence_ends),
            tile_op.pass_ends.eq(at.pass_ends),
            self.o_op.payload.eq(tile_op.op),
            job.command.eq(at.command),
            job.place.eq(at.place),
            job.part.eq(at.job),
            job.mask.eq(tile_op.mask),
            self.o_job.payload.eq(job.job),
        ]
        with m.FSM() as fsm:
            m.d.comb += [self.busy.eq(~fsm.ongoing("IDLE")), tile_op.hold.eq(fsm.ongoing("HOLD"))]
            self._choose(m, at)
            self._find_low(m, at)
            self._make_ops(m, at)
            self._end_pass(m, at)
        return m

    def _choose(self, m: Module, at: AttendPlace) -> None:
        """Take a command, wait for the span of each sequence, choose the next pass."""
        command, span = at.command, at.span
        wait = Signal(range(span.LATENCY))
        key_block = Signal(at.place.block.shape(), name="key_block", reset_less=True)
        value_block = Signal(at.place.block.shape(), name="value_block", reset_less=True)
        with m.State("IDLE"):
            m.d.comb += self.i_command.ready.eq(1)
            m.d.sync += [command.eq(self.i_command.payload), at.sequence.eq(0)]
            with m.If(self.i_command.valid):
                m.next = "SPAN"
        with m.State("SPAN"):
            m.d.sync += wait.eq(wait + 1)
            with m.If(wait == span.LATENCY - 1):
                m.d.sync += wait.eq(0)
                m.next = "START"
        with m.State("START"):
            m.d.sync += [
                at.place.low.eq(0),
                at.place.low_token.eq(0),
                at.place.low_source.eq(span.start),
                at.place.low_scores.eq(command.scores),
                key_block.eq(0),
                value_block.eq(0),
            ]
            m.next = "CHOOSE"
        with m.State("CHOOSE"):
            m.d.sync += [at.place.head.eq(0), at.place.head_base.eq(0)]
            key_next = (key_block <= span.last_block) & (key_block <= value_block + 1)
            with m.If(at.scores_only | (key_next & ~at.values_only)):
                m.d.sync += [at.place.by_value.eq(0), at.place.block.eq(key_block)]
                m.next = "LOW_END"
            with m.Else():
                m.d.sync += [at.place.by_value.eq(1), at.place.block.eq(value_block)]
                m.next = "TILE"
                with m.If(at.values_only):
                    m.next = "LOW_END"
        with m.State("NEXT"):
            m.d.sync += [
                key_block.eq(key_block + ~at.place.by_value),
                value_block.eq(value_block + at.place.by_value),
            ]
            m.next = "CHOOSE"
            with m.If(at.sequence_ends):
                m.d.sync += at.sequence.eq(at.sequence + 1)
                m.next = "SPAN"
                with m.If(at.sequence + 1 == self.step.sequences):
                    m.next = "IDLE"

    def _find_low(self, m: Module, at: AttendPlace) -> None:
        """The first group that sees a key of the block."""
        lane_bits = (self._config.lanes - 1).bit_length()
        end, reach = (
            Signal(17, name="low_end", reset_less=True),
            Signal(22, name="low_reach", reset_less=True),
        )
        # Only commands with one head have a scores area: its groups have T tokens.
        scores_stride = Cat(Const(0, lane_bits), at.command.scores_stride)
        with m.State("LOW_END"):
            m.d.sync += end.eq(at.token_end(at.place.low_token))
            m.next = "LOW_REACH"
        with m.State("LOW_REACH"):
            m.d.sync += reach.eq(at.reach(end))
            m.next = "LOW_TEST"
        with m.State("LOW_TEST"):
            with m.If(reach <= at.block_keys):
                m.d.sync += [
                    at.place.low.eq(at.place.low + 1),
                    at.place.low_token.eq(at.place.low_token + at.span.group_tokens),
                    at.place.low_source.eq(at.place.low_source + at.span.group_stride),
                    at.place.low_scores.eq(at.place.low_scores + scores_stride),
                ]
                m.next = "LOW_END"
            with m.Else():
                m.d.sync += [
                    at.low_of_bank[at.bank].eq(at.place.low),
                    at.low_token_of_bank[at.bank].eq(at.place.low_token),
                ]
                m.next = "TILE"

    def _make_ops(self, m: Module, at: AttendPlace) -> None:
        """The tile operations of a pass, tile by tile."""
        config, command, span = self._config, at.command, at.span
        width = config.width
        lane_bits, width_bits = (config.lanes - 1).bit_length(), (width - 1).bit_length()
        left = Signal(17, reset_less=True)  # tokens from this group on
        left_words = Signal(lane_range(config), reset_less=True)
        token_end = Signal(17, reset_less=True)
        # Keys of this block, and after it, that the group's last token sees.
        reach = Signal(22, reset_less=True)
        stride = Signal(ADDRESS_BITS, reset_less=True)
        m.d.sync += stride.eq(
            Mux(
                at.values_only,
                Cat(Const(0, lane_bits), command.scores_stride),
                span.group_stride,
            )
        )
        with m.State("TILE"):
            m.d.sync += [
                at.group.opens.eq(1),
                at.group.group.eq(at.low_of_bank[at.bank]),
                at.group.token.eq(at.low_token_of_bank[at.bank]),
                at.group.source.eq(at.place.low_source + at.place.head),
            ]
            m.next = "ENDS"
            with m.If(at.values_only):
                m.d.sync += at.group.source.eq(at.place.low_scores + Cat(1, at.place.block))
                with m.If((at.place.block == 0) & (at.place.head == 0)):
                    m.next = "HOLD"
        with m.State("HOLD"):
            m.d.comb += self.o_op.valid.eq(1)
            with m.If(self.o_op.ready):
                m.next = "ENDS"
        with m.State("ENDS"):
            m.d.sync += [
                left.eq(span.tokens - at.group.token),
                token_end.eq(at.token_end(at.group.token)),
            ]
            m.next = "REACH"
        with m.State("REACH"):
            m.d.sync += [
                at.group.ends.eq(left <= span.group_tokens),
                left_words.eq(left[: lane_bits + 1] * command.heads[: lane_bits + 1]),
                reach.eq(at.reach(token_end) - at.block_keys),
            ]
            m.next = "TRIM"
        with m.State("TRIM"):
            m.d.sync += at.group.words.eq(Mux(at.group.ends, left_words, span.group_lanes))
            with m.If((reach >= width) | at.scores_only):
                m.d.sync += at.group.cycles.eq(config.tile_cycles)
            with m.Else():
                rounded = reach[:width_bits] + (config.rows - 1)
                m.d.sync += at.group.cycles.eq(rounded >> (config.rows - 1).bit_length())
            m.next = "OP"
        with m.State("OP"):
            m.d.comb += self.o_op.valid.eq(1)
            with m.If(self.o_op.ready):
                m.d.sync += [
                    at.group.opens.eq(0),
                    at.group.group.eq(at.group.group + 1),
                    at.group.token.eq(at.group.token + span.group_tokens),
                    at.group.source.eq(at.group.source + stride),
                ]
                m.next = "ENDS"
                with m.If(at.group.ends):
                    m.d.sync += [
                        at.place.head.eq(at.place.head + 1),
                        at.place.head_base.eq(at.place.head_base + config.groups),
                    ]
                    m.next = "TILE"
                with m.If(at.pass_ends):
                    m.next = "VISIBLE"

    def _end_pass(self, m: Module, at: AttendPlace) -> None:
        """The job of the pass, if its phase ends with it."""
        command, span = at.command, at.span
        low_keys = Signal(22, reset_less=True)  # keys that the first token of the first group sees
        with m.State("VISIBLE"):
            m.d.sync += [
                low_keys.eq(span.first_keys + Mux(command.causal, at.place.low_token, 0)),
                at.job.tokens.eq(span.tokens - Mux(at.place.by_value, 0, at.place.low_token)),
                at.job.row.eq(span.row + Mux(at.place.by_value, 0, at.place.low_token)),
                at.job.address.eq(span.start),
            ]
            with m.If(at.scores_only):
                m.d.sync += at.job.address.eq(at.place.low_scores + Cat(1, at.place.block))
            m.next = "LIMIT"
        with m.State("LIMIT"):
            m.d.sync += at.job.limit.eq(low_keys - at.block_keys)
            m.next = "JOB"
            with m.If(at.place.by_value & ~at.sequence_ends):
                m.next = "NEXT"
        with m.State("JOB"):
            m.d.comb += self.o_job.valid.eq(1)
            with m.If(self.o_job.ready):
                m.next = "NEXT"
