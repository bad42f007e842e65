# SPDX-License-Identifier: Apache-2.0
"""Steps and drain jobs of an ATTEND: token-parallel attention of one head over the cached keys and values."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.array.bundles import DrainMode, Target
from rtl_gen.array.schedule_bundles import array_step_layout, drain_job_layout
from rtl_gen.control.bundles import command_layout, step_layout

__all__ = ["AttendSchedule"]


class AttendSchedule(wiring.Component):
    """for each sequence: K0 K1 V0 K2 V1 ... V_last, then the output job.

    K_b: for h in head-dim blocks: for g in groups that see a key of block b: step (trimmed to the keys that the group's
    last row sees); then a SCORE job over these groups. V_b: the same groups, h by h, steps by column over the columns
    of the head. Groups before low[b] see no key of block b and are skipped; low never falls, as rows are in order.

    Members
    -------
    i_command : In stream of an ATTEND; taken when idle. Sequences of the table cover ascending rows.
    step : In(step_layout), stable.
    o_step, o_job : Out streams; a job follows the last step of its phase. Scores go to the target BUFFER0, which of the
        two buffers is chosen behind.
    busy : from the cycle after a command was taken until its last job was.

    Throughput: one step in STEP_CYCLES cycles, which is below the least step; up to 3 cycles more per skipped group and
    about 8 per block, all hidden while steps are queued.
    """

    STEP_CYCLES = 4

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
        width, lanes = config.width, config.lanes
        lane_bits, width_bits = (lanes - 1).bit_length(), (width - 1).bit_length()
        index_bits = (config.step_cycles - 1).bit_length()
        group_shape = self.o_step.payload.shape().members["group"]
        block_shape = range(config.max_context // width + 2)

        command = Signal(command_layout(Opcode.ATTEND))
        entry = Signal(self.step.entries.shape().elem_shape)
        sequence = Signal(8)
        end_row = Signal(16)
        keys = Signal(21)
        base = Signal(signed(22))  # position of a row = base + row
        first_group, last_group = Signal(group_shape), Signal(group_shape)
        last_block, key_block, value_block = (
            Signal(block_shape, name=name) for name in ("last_block", "key_block", "value_block")
        )
        by_value = Signal()  # this pass reads a value block
        block = Signal(block_shape)
        head = Signal(6)  # head-dim block
        head_base = Signal(range(config.max_head_dim // width * config.groups + config.groups + 1))
        low = Signal(group_shape)  # first group that sees a key of the latest key block
        low_of_bank = Array(Signal(group_shape, name=f"low_{bank}") for bank in range(2))
        low_source, first_source, group_source = Signal(20), Signal(20), Signal(20)
        group = Signal(group_shape)
        row_end = Signal(17)
        reach = Signal(signed(22))  # keys that the group's last row sees
        cycles = Signal(range(config.step_cycles + 1))
        limit = Signal(signed(24))

        bank = block[0]
        block_keys = Cat(Const(0, width_bits), block)
        group_stride = Cat(Const(0, lane_bits), command.query_stride)
        heads_end, groups_end, sequence_ends = Signal(), Signal(), Signal()
        mask = Signal(width // BEAT_BYTES)
        m.d.comb += [
            heads_end.eq(head == command.blocks - 1),
            groups_end.eq(group == last_group),
            sequence_ends.eq(by_value & (block == last_block)),
            mask.eq(((1 << command.segment_beats) - 1) << command.column_beats),
        ]
        unit_bits = (BEAT_BYTES // config.rows).bit_length() - 1
        column = Signal(range(config.step_cycles))
        column_cycles = Signal(range(config.step_cycles + 1))
        m.d.sync += [
            column.eq(Cat(Const(0, unit_bits), command.column_beats)),
            column_cycles.eq(Cat(Const(0, unit_bits), command.segment_beats)),
        ]

        step = self.o_step.payload
        first_step = (head == 0) & (group == low_of_bank[bank])
        last_step = heads_end & groups_end
        m.d.comb += [
            step.tile_last.eq(groups_end),
            step.phase_first.eq(first_step & (~by_value | (block == 0))),
            step.phase_last.eq(last_step & (~by_value | sequence_ends)),
            step.by_column.eq(by_value),
            step.cycles.eq(Mux(by_value, column_cycles, cycles)),
            step.bank.eq(bank),
            step.group.eq(group),
            step.stride.eq(command.query_stride),
            step.source.eq(group_source),
            step.mask.eq(mask),
        ]
        with m.If(by_value):
            m.d.comb += [
                step.index.eq(column),
                step.target.eq(Target.OUTPUT),
                step.address.eq(Cat(column, (head_base + group))),
                step.first.eq(block == 0),
                step.rescale.eq(block != 0),
                step.fetch.eq(1),
                step.fetch_first.eq(head == 0),
            ]
        with m.Else():
            m.d.comb += [
                step.address.eq(Cat(Const(0, index_bits), group)),
                step.first.eq(head == 0),
                step.words.eq(row_end - Cat(Const(0, lane_bits), group)),
            ]

        job = self.o_job.payload
        m.d.comb += [
            job.row.eq(entry.first_row),
            job.end.eq(end_row),
            job.address.eq(first_source),
            job.stride.eq(command.query_stride),
            job.mask.eq(mask),
            job.bank.eq(bank),
            job.reset.eq(block == 0),
            job.causal.eq(command.causal),
            job.limit.eq(limit),
        ]
        with m.If(by_value):
            m.d.comb += [
                job.mode.eq(DrainMode.OUTPUT),
                job.target.eq(Target.OUTPUT),
                job.group.eq(first_group),
                job.blocks.eq(command.blocks),
                job.multiplier.eq(command.output_multiplier),
                job.shift.eq(command.output_shift),
            ]
        with m.Else():
            m.d.comb += [
                job.mode.eq(DrainMode.SCORE),
                job.group.eq(low),
                job.blocks.eq(1),
                job.multiplier.eq(command.score_multiplier),
                job.shift.eq(command.score_shift),
            ]

        def end_of(index) -> Mux:
            """Row after the last one of this sequence in a group."""
            whole = Cat(Const(0, lane_bits), (index + 1)[: len(group) + 1])
            return Mux(whole < end_row, whole, end_row)

        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.comb += self.i_command.ready.eq(1)
                m.d.sync += [
                    command.eq(self.i_command.payload),
                    sequence.eq(0),
                    low.eq(0),
                    low_source.eq(self.i_command.payload.query),
                ]
                with m.If(self.i_command.valid):
                    m.next = "ENTRY"
            with m.State("ENTRY"):
                m.d.sync += entry.eq(self.step.entries[sequence[: _bits(config.sequences)]])
                m.next = "SPAN"
            with m.State("SPAN"):
                m.d.sync += [
                    end_row.eq(entry.first_row + entry.tokens),
                    keys.eq(entry.position + entry.tokens),
                    base.eq(entry.position - entry.first_row),
                    first_group.eq(entry.first_row >> lane_bits),
                ]
                m.next = "BLOCKS"
            with m.State("BLOCKS"):
                m.d.sync += [
                    last_group.eq((end_row - 1) >> lane_bits),
                    last_block.eq((keys - 1) >> width_bits),
                    key_block.eq(0),
                    value_block.eq(0),
                ]
                m.next = "CHOOSE"
            with m.State("CHOOSE"):
                m.d.sync += [head.eq(0), head_base.eq(0)]
                with m.If((key_block <= last_block) & (key_block <= value_block + 1)):
                    m.d.sync += [by_value.eq(0), block.eq(key_block)]
                    m.next = "LOW_ROWS"
                with m.Else():
                    m.d.sync += [by_value.eq(1), block.eq(value_block)]
                    m.next = "TILE"
            # The first group that sees a key of this block.
            with m.State("LOW_ROWS"):
                m.d.sync += row_end.eq(end_of(low))
                m.next = "LOW_REACH"
            with m.State("LOW_REACH"):
                m.d.sync += reach.eq(Mux(command.causal, base + row_end, keys))
                m.next = "LOW_TEST"
            with m.State("LOW_TEST"):
                with m.If((low < first_group) | (reach <= block_keys)):
                    m.d.sync += [low.eq(low + 1), low_source.eq(low_source + group_stride)]
                    m.next = "LOW_ROWS"
                with m.Else():
                    m.d.sync += low_of_bank[bank].eq(low)
                    with m.If(block == 0):
                        m.d.sync += first_source.eq(low_source)
                    m.next = "TILE"
            with m.State("TILE"):
                m.d.sync += [group.eq(low_of_bank[bank]), group_source.eq(low_source + head)]
                m.next = "ROWS"
            with m.State("ROWS"):
                m.d.sync += row_end.eq(end_of(group))
                m.next = "REACH"
            with m.State("REACH"):
                seen = Mux(command.causal, base + row_end, keys) - block_keys
                m.d.sync += reach.eq(seen)
                m.next = "TRIM"
            with m.State("TRIM"):
                with m.If(reach >= width):
                    m.d.sync += cycles.eq(config.step_cycles)
                with m.Else():
                    rounded = reach[:width_bits] + (config.rows - 1)
                    m.d.sync += cycles.eq(rounded >> (config.rows - 1).bit_length())
                m.next = "STEP"
            with m.State("STEP"):
                m.d.comb += self.o_step.valid.eq(1)
                with m.If(self.o_step.ready):
                    m.d.sync += [group.eq(group + 1), group_source.eq(group_source + group_stride)]
                    m.next = "ROWS"
                    with m.If(groups_end):
                        m.d.sync += [head.eq(head + 1), head_base.eq(head_base + config.groups)]
                        m.next = "TILE"
                    with m.If(last_step):
                        m.next = "LIMIT"
            with m.State("LIMIT"):
                lane0_keys = base + 1 + Cat(Const(0, lane_bits), low)
                m.d.sync += limit.eq(Mux(command.causal, lane0_keys, keys) - block_keys)
                m.next = "JOB"
                with m.If(by_value & ~sequence_ends):
                    m.next = "NEXT"
            with m.State("JOB"):
                m.d.comb += self.o_job.valid.eq(1)
                with m.If(self.o_job.ready):
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.d.sync += [
                    key_block.eq(key_block + ~by_value),
                    value_block.eq(value_block + by_value),
                ]
                m.next = "CHOOSE"
                with m.If(sequence_ends):
                    m.d.sync += sequence.eq(sequence + 1)
                    m.next = "ENTRY"
                    with m.If(sequence + 1 == self.step.sequences):
                        m.next = "IDLE"
        return m


def _bits(entries: int) -> int:
    return max(1, (entries - 1).bit_length())
