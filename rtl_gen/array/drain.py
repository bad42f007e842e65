# SPDX-License-Identifier: Apache-2.0
"""Drain: reads accumulators in channel order, R channels of all lanes per cycle, pass after
pass.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.epilogue import result_modes_with
from rtl_gen.array.parameter_buffer import ParameterBuffer, ParameterReadSignature
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.epilogue import drain_modes_with, is_one_of
from rtl_gen.interfaces.lane import DrainMode, Target, drain_layout, finish_layout
from rtl_gen.interfaces.result import writer_depth
from rtl_gen.interfaces.schedule import drain_pass_layout, result_context_layout
from rtl_gen.lane.latency import LaneLatency

__all__ = ["Drain"]


class Drain(wiring.Component):
    """W/R drain cycles for each pass; passes follow each other without a gap while there are result
    credits.

    The credits of a pass are taken before it starts, since nothing can wait inside the lanes. The
    first OUTPUT or OUTPUT16 pass of a group is preceded by its `finish`, which is sent while the
    group before it is drained. INT8, RELU16 and INT16 take bias, multiplier and shift of each
    channel from the parameter buffer, the others multiplier and shift of the pass and no bias. The
    modes of 16 bits emit two words per lane: at two addresses, or as two halves of one (TABLE,
    ROTATE8, GATE, WORD).

    Members
    -------
    i_pass: In stream of drain_pass_layout.
    o_parameters: Out(ParameterReadSignature).
    o_parameter_free: Out, pulse: a parameter slot is free again.
    o_drain: Out stream of drain_layout, always ready, to the lanes.
    o_finish: Out stream of finish_layout, always ready, to the lanes.
    o_context: Out stream of result_context_layout, always ready, one for each `emit`, before its
        results.
    i_result_retired: In, pulse: returns one of writer_depth(config) credits.
    idle: Out, all credits are back.
    o_drained: Out, a bit for each Target, pulse: a job of the target has ended.
    o_score_done: Out, pulse: last cycle of a score pass.
    active: Out, accumulators are read in this cycle.
    active_scores: Out, accumulators of scores are read in this cycle.
    active_command: Out, index of their command.

    Latency: START_TO_DRAIN cycles from a transfer at i_pass to its first o_drain, ACTIVE_TO_DRAIN
    from the pulses of a position to its o_drain, one less from its context.
    """

    ACTIVE_TO_DRAIN = ParameterBuffer.LATENCY + 1
    START_TO_DRAIN = ACTIVE_TO_DRAIN + 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_pass": In(stream.Signature(drain_pass_layout(config))),
                "o_parameters": Out(ParameterReadSignature(config)),
                "o_parameter_free": Out(1),
                "o_drain": Out(stream.Signature(drain_layout(config), always_ready=True)),
                "o_finish": Out(stream.Signature(finish_layout(config), always_ready=True)),
                "o_context": Out(
                    stream.Signature(result_context_layout(config), always_ready=True)
                ),
                "i_result_retired": In(1),
                "idle": Out(1),
                "o_drained": Out(len(Target)),
                "o_score_done": Out(1),
                "active": Out(1),
                "active_scores": Out(1),
                "active_command": Out(INDEX_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        latency = LaneLatency.of(config)
        cycles = config.tile_cycles
        depth = writer_depth(config)
        offered = self.i_pass.payload
        current = Signal(drain_pass_layout(config), reset_less=True)
        task, destination = current.task, current.destination
        position = Signal(range(cycles), reset_less=True)
        active = Signal()
        last = Signal()
        rest = Signal(range(cycles + latency.score_revisit + 1))
        start = Signal()

        credits = Signal(range(depth + 1), init=depth)
        spent = Mux(start, offered.credits, 0)
        m.d.sync += credits.eq(credits - spent + self.i_result_retired)
        m.d.comb += self.idle.eq((credits == depth) & ~active)

        finished = self._finish(m, start)
        m.d.comb += [
            self.i_pass.ready.eq((rest <= 1) & (credits >= offered.credits) & finished),
            start.eq(self.i_pass.valid & self.i_pass.ready),
            last.eq(active & (position == cycles - 1)),
        ]
        with m.If(start):
            pause = Mux(offered.task.mode == DrainMode.SCORE, latency.score_revisit - 1, 0)
            m.d.sync += [
                current.eq(offered),
                position.eq(0),
                active.eq(1),
                rest.eq(cycles + pause),
            ]
        with m.Else():
            m.d.sync += [
                position.eq(position + 1),
                active.eq(active & ~last),
                rest.eq(rest - (rest != 0)),
            ]

        scores = Signal()
        wide = Signal()
        emit = Signal()
        second = Signal()  # the second word of 16-bit results
        halves = Signal()  # which becomes the second half of a word
        parameters = Signal()
        m.d.comb += [
            scores.eq(task.mode == DrainMode.SCORE),
            wide.eq(is_one_of(task.mode, drain_modes_with(lambda drain: drain.wide))),
            second.eq(wide & position[-1]),
            halves.eq(
                is_one_of(destination.result, result_modes_with(lambda epilogue: epilogue.halves))
            ),
            parameters.eq(is_one_of(task.mode, drain_modes_with(lambda drain: drain.parameters))),
            emit.eq(active & ~scores & (last | (wide & (position == cycles // 2 - 1)))),
            self.o_score_done.eq(last & scores),
            self.active.eq(active),
            self.active_scores.eq(active & (scores | (task.mode == DrainMode.SCORE16))),
            self.active_command.eq(destination.command),
            self.o_parameter_free.eq(last & current.last & parameters),
            self.o_parameters.place.slot.eq(current.slot),
            self.o_parameters.place.position.eq(position),
        ]
        m.d.comb += [
            drained.eq(last & current.last & (task.target == target))
            for target, drained in zip(Target, self.o_drained, strict=True)
        ]

        half = config.width // 2
        remaining = Signal(signed(23))
        context = Signal(result_context_layout(config))
        late_context = Signal(context.shape(), reset_less=True)
        m.d.sync += [self.o_context.valid.eq(emit), late_context.eq(context)]
        m.d.comb += [
            self.o_context.payload.eq(late_context),
            remaining.eq(current.remaining - Mux(second, half, 0)),
            context.destination.eq(destination),
            context.destination.walk.base.eq(destination.walk.base + (second & ~halves)),
            context.destination.operand.eq(destination.operand + (second & current.operand_second)),
            context.destination.channel.eq(destination.channel + Mux(second, half, 0)),
            context.destination.restart.eq(destination.restart & ~second),
            context.half.eq(second & halves),
            context.lanes.eq(current.lanes),
        ]
        with m.If(remaining >= half):
            m.d.comb += context.elements.eq(half)
        with m.Elif(remaining > 0):
            m.d.comb += context.elements.eq(remaining)

        operation = Signal(drain_layout(config))
        m.d.comb += [
            operation.task.eq(task),
            operation.address.eq(current.accumulator + position),
            operation.position.eq(position),
            operation.start.eq((position == 0) & (scores | current.start)),
            operation.emit.eq(emit),
            operation.lanes_high.eq(current.lanes),
            operation.heads.eq(destination.walk.heads),
        ]
        ready = delayed(m, operation, ParameterBuffer.LATENCY, "operation")
        valid = delayed(m, active, ParameterBuffer.LATENCY, "active", reset_less=False)
        own = delayed(
            m,
            Cat(parameters, current.scale.multiplier, current.scale.shift[:6]),
            ParameterBuffer.LATENCY,
            "own",
        )
        drained = payload_register(m, self.o_drain.payload, "drained")
        m.d.sync += [self.o_drain.valid.eq(valid), drained.eq(ready)]
        for parameter, filled in zip(drained.parameters, self.o_parameters.parameters, strict=True):
            with m.If(own[0]):
                m.d.sync += parameter.eq(filled)
            with m.Else():
                m.d.sync += [
                    parameter.bias.eq(0),
                    parameter.multiplier.eq(own[1:17]),
                    parameter.shift.eq(own[17:]),
                ]
        return m

    def _finish(self, m: Module, start: Signal) -> Signal:
        """Send the finish of an offered pass of the attention output; 1 when the pass may start as
        far as that is concerned.
        """
        latency = LaneLatency.of(self._config)
        offered = self.i_pass.payload
        # A finish decided on in cycle y is at the lanes in y + 1, a pass that starts in s drains
        # from s + 1 + D on.
        wait_cycles = max(1, latency.finish - self.ACTIVE_TO_DRAIN - 1)
        hold_cycles = self.ACTIVE_TO_DRAIN + latency.finish_reuse - 1
        outputs = drain_modes_with(lambda drain: drain.outputs)
        needed = Signal()
        sent = Signal()
        ready = Signal()
        wait = Signal(range(wait_cycles + 1))
        hold = Signal(range(hold_cycles + 1))
        send = Signal()
        m.d.comb += [
            needed.eq(is_one_of(offered.task.mode, outputs) & offered.start),
            send.eq(self.i_pass.valid & needed & ~sent & (hold == 0)),
            ready.eq(~needed | (sent & (wait == 0))),
        ]
        finish = payload_register(m, self.o_finish.payload, "finish")
        m.d.sync += [
            wait.eq(Mux(send, wait_cycles, wait - (wait != 0))),
            hold.eq(hold - (hold != 0)),
            self.o_finish.valid.eq(send),
            finish.group.eq(offered.task.group),
            finish.scale.eq(offered.scale),
        ]
        with m.If(send):
            m.d.sync += sent.eq(1)
        with m.If(start & needed):
            m.d.sync += [sent.eq(0), hold.eq(hold_cycles)]
        return ready
