# SPDX-License-Identifier: Apache-2.0
"""Array control: from commands to the micro-operations of the lanes, and from their words to result
words.
"""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.drain import Drain
from rtl_gen.array.drain_passes import DrainPasses
from rtl_gen.array.issue import Issue
from rtl_gen.array.operand_loader import OperandLoader
from rtl_gen.array.parameter_buffer import ParameterReadSignature
from rtl_gen.array.result_address import ResultAddress
from rtl_gen.array.tile_buffer import tile_read_layout
from rtl_gen.array.tile_op_generator import TileOpGenerator
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.blocks.queue import Queue
from rtl_gen.blocks.skid import Skid
from rtl_gen.interfaces.array_activity import ArrayActivitySignature
from rtl_gen.interfaces.command import COMMAND_BITS, INDEX_BITS, step_layout
from rtl_gen.interfaces.lane import LaneControlSignature, result_layout
from rtl_gen.interfaces.memory import MemoryReadSignature
from rtl_gen.interfaces.result import result_word_layout
from rtl_gen.interfaces.schedule import drain_job_layout
from rtl_gen.lane.latency import LaneLatency

__all__ = ["ArrayControl"]

_JOBS_AHEAD = 4


class ArrayControl(wiring.Component):
    """Generator -> operand loader -> issue, and generator -> jobs -> passes -> drain -> result
    words.

    Why it cannot deadlock: jobs and phases have one order, and a job is queued after all tile
    operations of its phase. A tile operation waits only for tiles, operand words, drains of earlier
    phases and score passes of earlier phases; a drain waits only for the tile operations of its own
    phase, parameters (which arrive before the tiles of their slice) and result credits.

    Distances kept here: a phase is drained `LaneLatency.accumulate` after its last issue,
    probabilities are fetched `LaneLatency.score` after their score pass. All others are kept by the
    parts. Totals go to the lanes with the operands of their phase's first tile operations, after
    one that waits until earlier OUTPUT jobs are drained (`AttendSchedule`): so no finish before and
    no sum of earlier scores meets them, and their own finish follows the last issue of the phase.

    Members
    -------
    i_tile_done, i_parameter_done: In, a bit for each port, pulse: its part of a slot is complete.
    o_tile_free, o_parameter_free: Out, pulse: a slot is free again.
    o_tile: Out(tile_read_layout), reads of the tile buffer.
    o_parameters: Out(ParameterReadSignature), reads of the parameter buffer.
    o_lanes: Out(LaneControlSignature), in step with the rows that come of o_tile.
    i_result: In stream of result_layout, always ready: the words of the lanes.

    The others are those of `Array`.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        words = stream.Signature(result_word_layout(config), always_ready=True)
        results = stream.Signature(result_layout(config), always_ready=True)
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "busy": Out(1),
                "i_tile_done": In(config.ports),
                "o_tile_free": Out(1),
                "i_parameter_done": In(config.ports),
                "o_parameter_free": Out(1),
                "o_tile": Out(tile_read_layout(config)),
                "o_parameters": Out(ParameterReadSignature(config)),
                "o_read": Out(MemoryReadSignature(config)),
                "o_lanes": Out(LaneControlSignature(config)),
                "i_result": In(results),
                "o_result": Out(words),
                "i_result_retired": In(1),
                "o_activity": Out(ArrayActivitySignature()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        latency = LaneLatency.of(config)
        m.submodules.generator = generator = TileOpGenerator(config=config)
        m.submodules.loader = loader = OperandLoader(
            config=config, start_to_swap=Issue.START_TO_SWAP
        )
        m.submodules.issue = issue = Issue(config=config)
        m.submodules.jobs = jobs = Queue(shape=drain_job_layout(config), depth=_JOBS_AHEAD)
        m.submodules.passes = passes = DrainPasses(config=config)
        m.submodules.pass_skid = pass_skid = Skid(shape=passes.o_pass.payload.shape())
        m.submodules.drain = drain = Drain(config=config)
        m.submodules.result_address = result_address = ResultAddress(config=config)

        outside = wiring.flipped(self)
        for source, sink in (
            (outside.i_command, generator.i_command),
            (generator.o_op, loader.i_op),
            (loader.o_read, outside.o_read),
            (loader.o_op, issue.i_op),
            (generator.o_job, jobs.i),
            (jobs.o, passes.i_job),
            (passes.o_pass, pass_skid.i),
            (pass_skid.o, drain.i_pass),
            (drain.o_parameters, outside.o_parameters),
            (drain.o_context, result_address.i_context),
            (outside.i_result, result_address.i_result),
            (result_address.o_result, outside.o_result),
            (issue.o_issue, outside.o_lanes.issue),
            (loader.o_word, outside.o_lanes.word),
            (loader.o_fetch, outside.o_lanes.fetch),
            (drain.o_drain, outside.o_lanes.drain),
            (drain.o_finish, outside.o_lanes.finish),
        ):
            wiring.connect(m, source, sink)

        # A tile read in cycle x is at the lanes in x + START_TO_ISSUE - 1; a phase known to be done
        # in cycle y is drained from y + the latencies of passes, skid and drain on.
        known_to_drain = DrainPasses.LATENCY + Skid.latency + Drain.START_TO_DRAIN
        drain_delay = max(0, latency.accumulate + Issue.START_TO_ISSUE - 1 - known_to_drain)
        # The last score is at the lanes ACTIVE_TO_DRAIN after its pulse, a fetch one cycle after it
        # is decided on.
        score_delay = Drain.ACTIVE_TO_DRAIN + latency.score - 2
        m.d.comb += [
            generator.step.eq(self.step),
            issue.i_tile_done.eq(self.i_tile_done),
            issue.i_drained.eq(drain.o_drained),
            passes.i_parameter_done.eq(self.i_parameter_done),
            loader.i_score_done.eq(
                delayed(m, drain.o_score_done, score_delay, "score_done", reset_less=False)
            ),
            passes.i_phase_done.eq(
                delayed(m, issue.o_phase_done, drain_delay, "phase_done", reset_less=False)
            ),
            drain.i_result_retired.eq(self.i_result_retired),
            self.o_tile_free.eq(issue.o_tile_free),
            self.o_parameter_free.eq(drain.o_parameter_free),
            self.o_tile.eq(issue.o_tile),
            self.o_lanes.swap.eq(issue.o_swap),
        ]
        self._account(m, generator, loader, issue, drain)
        return m

    def _account(self, m: Module, generator, loader, issue, drain) -> None:
        """busy, and one counter pulse for each busy cycle."""
        job_queued = generator.o_job.valid & generator.o_job.ready
        job_ended = drain.o_drained.any()
        jobs = Signal(4)  # from the queue's input to the last drain cycle
        with m.If(job_queued & ~job_ended):
            m.d.sync += jobs.eq(jobs + 1)
        with m.Elif(job_ended & ~job_queued):
            m.d.sync += jobs.eq(jobs - 1)
        m.d.comb += self.busy.eq(generator.busy | (jobs != 0) | ~drain.idle)

        tile, drained, softmax, operand = (
            Signal(name=f"{name}_cause") for name in ("tile", "drain", "softmax", "operand")
        )
        with m.If(issue.waiting_tile):
            m.d.comb += tile.eq(1)
        with m.Elif(issue.waiting_drain):
            m.d.comb += drained.eq(1)
        with m.Elif(loader.waiting_probabilities):
            m.d.comb += softmax.eq(1)
        with m.Elif(issue.i_op.valid | loader.pending | generator.o_op.valid):
            m.d.comb += operand.eq(1)
        with m.Else():  # nothing left to issue, or the next phase has not been laid out
            m.d.comb += drained.eq(1)
        # The command of the tile operation that is issued, else of the one that comes next, else
        # the last one taken.
        command = Signal(INDEX_BITS, name="accounted_command")
        with m.If(issue.active):
            m.d.comb += command.eq(issue.active_command)
        with m.Elif(issue.i_op.valid):
            m.d.comb += command.eq(issue.i_op.payload.command)
        with m.Elif(loader.pending):
            m.d.comb += command.eq(loader.pending_command)
        with m.Else():
            m.d.comb += command.eq(generator.o_op.payload.command)
        activity = self.o_activity
        m.d.comb += [
            activity.drain_cycle.eq(drain.active),
            activity.score_cycle.eq(drain.active_scores),
            activity.drain_command.eq(drain.active_command),
        ]
        idle = self.busy & ~issue.active
        busy_command = payload_register(m, activity.busy_command, "busy_command")
        m.d.sync += [
            activity.busy_cycle.eq(issue.active),
            busy_command.eq(command),
            activity.stall_tile.eq(idle & tile),
            activity.stall_drain.eq(idle & drained),
            activity.stall_softmax.eq(idle & softmax),
            activity.stall_operand.eq(idle & operand),
        ]
