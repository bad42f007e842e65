# SPDX-License-Identifier: Apache-2.0
"""One token lane: R dot products, accumulators, drain, softmax; it passes on what it is told."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.requantise import Requantise
from rtl_gen.interfaces.epilogue import drain_modes_with, is_one_of
from rtl_gen.interfaces.lane import DrainMode, LaneSignature, WordKind
from rtl_gen.lane.accumulator import Accumulator
from rtl_gen.lane.dot_product import DotProductPair
from rtl_gen.lane.lane_tokens import divided_by_heads
from rtl_gen.lane.operand import Operand
from rtl_gen.lane.result_corner import ResultCorner
from rtl_gen.softmax.online import Softmax
from rtl_gen.softmax.reciprocal import Reciprocal

__all__ = ["Lane"]

_MASKED_SCORE = -(1 << 15)
_VALUE_STAGE = 1 + Accumulator.DRAIN_LATENCY
_RESULT_STAGE = _VALUE_STAGE + Requantise.LATENCY


class Lane(wiring.Component):
    """The machine of one token: executes micro-operations and passes them on, one cycle later.

    Members
    -------
    index: In, this lane's number t, constant.
    i: In(LaneSignature).
    o: Out(LaneSignature), `i` one cycle later; the lane itself works from that register too.
    o_result: Out stream of W bytes, always ready: a result word, `RESULT_LATENCY` cycles after the
        drain with `emit` was at the input.

    Latencies as `LaneLatency` states them; throughput one micro-operation of each kind per cycle;
    no back-pressure. Rounding and saturation are those of `Requantise`. `conflict` (an attribute,
    for simulation) is 1 when array and drain use one accumulator memory, or scores and a TOTAL word
    one running sum memory, in the same cycle, which is an error of the array control.
    """

    RESULT_LATENCY = _RESULT_STAGE + ResultCorner.LATENCY

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        self.conflict = Signal()
        super().__init__(
            {
                "index": In(range(max(2, config.lanes))),
                "i": In(LaneSignature(config)),
                "o": Out(LaneSignature(config)),
                "o_result": Out(stream.Signature(8 * config.width, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._pass_on(m)
        m.submodules.softmax = softmax = Softmax(config=self.config)
        m.submodules.accumulator = accumulator = Accumulator(config=self.config)
        m.d.comb += self.conflict.eq(accumulator.o_conflict | softmax.o_conflict)
        self._array(m, accumulator, softmax)
        scale = self._finish(m, softmax)
        self._drain(m, accumulator, softmax, scale)
        return m

    def _pass_on(self, m: Module) -> None:
        """A register for each signal of `o`; only strobes have a reset."""
        members = self.o.signature.flatten
        for (path, member, output), (_, _, source) in zip(
            members(self.o), members(self.i), strict=True
        ):
            if member.flow != Out:
                continue
            if path[-1] in ("valid", "swap"):
                m.d.sync += output.eq(source)
            else:
                name = "_".join(("passed", *map(str, path)))
                m.d.comb += output.eq(delayed(m, source, 1, name))

    def _array(self, m: Module, accumulator: Accumulator, softmax: Softmax) -> None:
        """Operand, dot products, accumulation: issues, words and fetches."""
        control = self.o.control
        issue, word, fetch = control.issue.payload, control.word.payload, control.fetch.payload
        m.submodules.operand = operand = Operand(config=self.config)
        entering = self.i.control.word
        mine = entering.valid & (entering.payload.lane == self.index)
        for kind, strobe in (
            (WordKind.INT8, operand.i_int8),
            (WordKind.LOW, operand.i_low),
            (WordKind.HIGH, operand.i_high),
            (WordKind.TOTAL, softmax.i_total.valid),
        ):
            hit = Signal(name=f"hit_{kind.name.lower()}")
            m.d.sync += hit.eq(mine & (entering.payload.kind == kind))
            m.d.comb += strobe.eq(hit)
        m.d.comb += [
            operand.i_word.eq(word.data),
            operand.i_exponent.eq(word.exponent),
            softmax.i_total.payload.group.eq(word.group),
            softmax.i_total.payload.value.eq(word.data),
            operand.i_swap.eq(control.swap),
            softmax.i_fetch.eq(fetch),
            operand.i_fetch.eq(delayed(m, control.fetch.valid, 2, "fetch_valid", reset_less=False)),
            operand.i_index.eq(delayed(m, fetch.index, 2, "fetch_index")),
            operand.i_probabilities.eq(softmax.o_probabilities),
        ]
        for pair in range(self.config.rows // 2):
            m.submodules[f"dot_products_{pair}"] = dots = DotProductPair(config=self.config)
            m.d.comb += [
                dots.i_rows.eq(self.o.rows[pair]),
                dots.i_operand.eq(operand.o_active),
                dots.i_probabilities.eq(operand.o_probabilities),
            ]
            for side in range(2):
                row = 2 * pair + side
                m.d.comb += [
                    dots.i_row_sums[side].eq(self.o.row_sums[row]),
                    accumulator.i_sum[row].eq(dots.o_sums[side]),
                ]
        waits = DotProductPair.latency(self.config) - 1
        exponent = delayed(m, operand.o_exponent, waits, "exponent")
        m.d.comb += accumulator.i_exponent.eq(exponent)
        shift_stage = accumulator.LATENCY - 2
        m.d.comb += [
            accumulator.i_issue.valid.eq(control.issue.valid),
            accumulator.i_issue.payload.eq(issue),
            softmax.i_rescale.bank.eq(delayed(m, issue.bank, shift_stage - 2, "rescale_bank")),
            softmax.i_rescale.group.eq(delayed(m, issue.group, shift_stage - 2, "rescale_group")),
        ]
        rescale = delayed(m, issue.rescale, shift_stage - 1, "rescale")
        m.d.comb += accumulator.i_shift.eq(Mux(rescale, softmax.o_rescale, 0))

    def _finish(self, m: Module, softmax: Softmax) -> Reciprocal:
        """Multiplier and shift of the attention output: finishes."""
        m.submodules.reciprocal = reciprocal = Reciprocal(config=self.config)
        finish, valid = self.o.control.finish.payload, self.o.control.finish.valid
        m.d.comb += [
            softmax.i_total_group.eq(finish.group),
            reciprocal.i_total.eq(softmax.o_total),
            reciprocal.i_valid.eq(delayed(m, valid, 1, "finish_valid", reset_less=False)),
            reciprocal.i_multiplier.eq(delayed(m, finish.scale.multiplier, 1, "finish_multiplier")),
            reciprocal.i_shift.eq(delayed(m, finish.scale.shift, 1, "finish_shift")),
        ]
        return reciprocal

    def _drain(
        self, m: Module, accumulator: Accumulator, softmax: Softmax, scale: Reciprocal
    ) -> None:
        """Drains: bias, requantise, corner or softmax. Stage k: k cycles after the input."""
        config = self.config
        drain, task = self.o.control.drain.payload, self.o.control.drain.payload.task
        m.d.comb += [
            accumulator.i_drain.valid.eq(self.o.control.drain.valid),
            accumulator.i_drain.payload.target.eq(task.target),
            accumulator.i_drain.payload.address.eq(drain.address),
        ]

        stage_1 = Signal(
            data.StructLayout(
                {
                    "mode": DrainMode,
                    "start": 1,
                    "emit": 1,
                    "position": drain.position.shape(),
                    "group": task.group.shape(),
                    "bank": 1,
                    "reset": 1,
                }
            )
        )
        m.d.comb += [
            stage_1.mode.eq(task.mode),
            stage_1.start.eq(drain.start),
            stage_1.emit.eq(drain.emit),
            stage_1.position.eq(drain.position),
            stage_1.group.eq(task.group),
            stage_1.bank.eq(task.bank),
            stage_1.reset.eq(task.reset),
        ]
        before = delayed(m, stage_1, _VALUE_STAGE - 2, "before")
        value = delayed(m, before, 1, "value")
        requantised = delayed(m, value, Requantise.LATENCY - 1, "requantised")
        result = delayed(m, requantised, 1, "result")
        entered = self.o.control.drain.valid
        before_valid = delayed(m, entered, _VALUE_STAGE - 2, "before_valid", reset_less=False)
        ahead = Requantise.LATENCY + 1
        result_valid = delayed(m, before_valid, ahead, "result_valid", reset_less=False)

        keep, visible_before = self._visible(m)
        visible = delayed(m, visible_before, 1, "visible_result")
        hidden = Signal(config.rows, reset_less=True)  # SCORE16: masked keys
        with m.If(requantised.mode == DrainMode.SCORE16):
            m.d.sync += hidden.eq(~visible_before)
        with m.Else():
            m.d.sync += hidden.eq(0)

        multiplier = Signal(16, reset_less=True)
        shift = Signal(6, reset_less=True)
        outputs = drain_modes_with(lambda drain: drain.outputs)
        with m.If(before_valid & before.start & is_one_of(before.mode, outputs)):
            m.d.sync += [multiplier.eq(scale.o_multiplier), shift.eq(scale.o_shift)]

        m.submodules.corner = corner = ResultCorner(config=config)
        is_output = is_one_of(value.mode, outputs)
        for row in range(config.rows):
            m.submodules[f"requantise_{row}"] = requantise = Requantise()
            own = delayed(m, drain.parameters[row], _VALUE_STAGE - 2, f"parameter_{row}")
            first = delayed(m, drain.parameters[0], _VALUE_STAGE - 2, f"shared_{row}")
            bias = Signal(signed(32), name=f"bias_{row}", reset_less=True)
            own_multiplier = Signal(16, name=f"own_multiplier_{row}", reset_less=True)
            own_shift = Signal(6, name=f"own_shift_{row}", reset_less=True)
            scored = is_one_of(before.mode, drain_modes_with(lambda drain: drain.scores))
            m.d.sync += [
                bias.eq(Mux(scored | is_one_of(before.mode, outputs), 0, own.bias)),
                own_multiplier.eq(Mux(scored, first.multiplier, own.multiplier)),
                own_shift.eq(Mux(scored, first.shift, own.shift)),
            ]
            m.d.comb += [
                requantise.i_value.eq(accumulator.o_values[row] + bias),
                requantise.i_multiplier.eq(Mux(is_output, multiplier, own_multiplier)),
                requantise.i_shift.eq(Mux(is_output, shift, own_shift)),
                requantise.i_wide.eq(
                    is_one_of(value.mode, drain_modes_with(lambda drain: drain.bits == 16))
                ),
                requantise.i_relu.eq(
                    is_one_of(value.mode, drain_modes_with(lambda drain: drain.relu))
                ),
                corner.i_values[row].eq(Mux(hidden[row], _MASKED_SCORE, requantise.o_value)),
                softmax.i.payload.scores[row].eq(requantise.o_value),
                softmax.i.payload.visible[row].eq(visible[row]),
            ]
        wiring.connect(m, corner.o_result, wiring.flipped(self.o_result))
        scores = result.mode == DrainMode.SCORE
        m.d.comb += [
            corner.i_valid.eq(result_valid & ~scores),
            corner.i_wide.eq(is_one_of(result.mode, drain_modes_with(lambda drain: drain.wide))),
            corner.i_position.eq(result.position),
            corner.i_emit.eq(result.emit),
            corner.i_keep.eq(keep),
            softmax.i.valid.eq(result_valid & scores),
            softmax.i.payload.first.eq(result.start),
            softmax.i.payload.last.eq(result.position == config.tile_cycles - 1),
            softmax.i.payload.index.eq(result.position),
            softmax.i.payload.group.eq(result.group),
            softmax.i.payload.bank.eq(result.bank),
            softmax.i.payload.reset.eq(result.reset),
        ]

    def _visible(self, m: Module) -> tuple[Signal, Signal]:
        """Whether this lane takes part, at the result stage; which of the R keys it sees, one cycle
        earlier.
        """
        config = self.config
        drain, entering = self.o.control.drain.payload, self.i.control.drain.payload
        # Tokens before this lane's one; in step with `drain`, but without its register.
        token = divided_by_heads(m, self.index, entering.heads, config=config, name="token")
        ahead = Signal(token.shape(), reset_less=True)
        member = Signal(reset_less=True)
        limit = Signal(signed(25), reset_less=True)
        m.d.sync += [
            ahead.eq(Mux(entering.task.causal, token, 0)),
            member.eq((self.index >= drain.lanes_low) & (self.index < drain.lanes_high)),
            limit.eq(drain.task.limit + ahead),
        ]
        count = Signal(range(config.width + 1), reset_less=True)
        with m.If(~member | limit[-1]):
            m.d.sync += count.eq(0)
        with m.Elif(limit >= config.width):
            m.d.sync += count.eq(config.width)
        with m.Else():
            m.d.sync += count.eq(limit)
        position = delayed(m, drain.position, 2, "mask_position")
        mask = Signal(config.rows, reset_less=True)
        for row in range(config.rows):
            key = position * config.rows + Const(row, range(config.rows))
            m.d.sync += mask[row].eq(key < count)
        keep = delayed(m, member, _RESULT_STAGE - 2, "keep")
        return keep, delayed(m, mask, _RESULT_STAGE - 5, "visible")
