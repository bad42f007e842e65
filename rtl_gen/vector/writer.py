# SPDX-License-Identifier: Apache-2.0
"""Result writer: takes result words from the array to the activation memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.delay import delayed
from rtl_gen.vector.activation_memory import (
    ADDRESS_BITS,
    ActivationMemory,
    memory_read_layout,
    memory_write_layout,
)
from rtl_gen.vector.argmax import CANDIDATE, ArgMax, row_range
from rtl_gen.vector.bundles import ResultMode, result_word_layout, writer_depth

__all__ = ["ResultWriter"]

_OUTPUT_WORDS = 16
"""Words between their issue and the memory's write port; covers LATENCY at one word per cycle."""


class ResultWriter(wiring.Component):
    """WRITE: memory[address] = data. ADD16: memory[address][i] = sat16(memory[address][i] + data[i]). LOGITS16: as
    WRITE, and ArgMax over the word. Only bytes of `mask` change.

    Parameters
    ----------
    config : width W, lanes T (writer_depth words are buffered).

    Members
    -------
    i_result : In({valid, payload: result_word_layout}); no back-pressure. The sender keeps at most writer_depth(config)
        words between `i_result` and `o_retired`. ADD16 words that are not retired must have different addresses.
    o_retired : Out(1), a pulse per word: reads that the memory grants from this cycle on see it.
    o_read, i_read : client "writer" of ActivationMemory; relies on its fixed LATENCY.
    o_write : client "writer" of ActivationMemory.
    i_candidate_row, o_candidate : read port of the arg-max candidates, ArgMax.READ_LATENCY cycles.
    busy : Out(1), 1 from the first word on until every word is retired and in the arg-max.

    Order: words reach the memory in the order they came. Latency: LATENCY cycles from `i_result` to `o_retired` when
    idle. Throughput: one word per cycle in every mode while the memory grants reads and writes. Saturation to 16 bits.
    """

    LATENCY = 11

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_result": In(
                    data.StructLayout({"valid": 1, "payload": result_word_layout(config)})
                ),
                "o_retired": Out(1),
                "o_read": Out(stream.Signature(ADDRESS_BITS)),
                "i_read": In(memory_read_layout(config)),
                "o_write": Out(stream.Signature(memory_write_layout(config))),
                "i_candidate_row": In(row_range(config)),
                "o_candidate": Out(CANDIDATE),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        layout = result_word_layout(config)
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(
            width=layout.size, depth=writer_depth(config)
        )
        head_valid = Signal()
        head = Signal(layout, reset_less=True)
        issue = Signal()
        take = Signal()
        m.d.comb += [
            queue.w_en.eq(self.i_result.valid),
            queue.w_data.eq(self.i_result.payload.as_value()),
            take.eq(~head_valid | issue),
            queue.r_en.eq(take),
        ]
        with m.If(take):
            m.d.sync += [head_valid.eq(queue.r_rdy), head.as_value().eq(queue.r_data)]

        # A word is issued with its read and room reserved behind it, so the pipeline after it never stalls.
        room = Signal(range(_OUTPUT_WORDS + 1), init=_OUTPUT_WORDS)
        written = Signal()
        adds = head.mode == ResultMode.ADD16
        m.d.comb += [
            self.o_read.valid.eq(head_valid & adds & room.any()),
            self.o_read.payload.eq(head.address),
            issue.eq(head_valid & room.any() & (~adds | self.o_read.ready)),
            written.eq(self.o_write.valid & self.o_write.ready),
        ]
        m.d.sync += room.eq(room - issue + written)

        output = self._add(m, issue, head)
        m.submodules.output = output_queue = fifo.SyncFIFO(
            width=memory_write_layout(config).size, depth=_OUTPUT_WORDS
        )
        m.d.comb += [
            output_queue.w_en.eq(output[0]),
            output_queue.w_data.eq(output[1]),
            self.o_write.valid.eq(output_queue.r_rdy),
            self.o_write.payload.as_value().eq(output_queue.r_data),
            output_queue.r_en.eq(self.o_write.ready),
        ]

        m.submodules.argmax = argmax = ArgMax(config=config)
        m.d.comb += [
            argmax.i.valid.eq(issue & (head.mode == ResultMode.LOGITS16)),
            argmax.i.row.eq(head.row),
            argmax.i.channel.eq(head.channel),
            argmax.i.elements.eq(head.elements),
            argmax.i.restart.eq(head.restart),
            argmax.i.data.eq(head.data),
            argmax.i_row.eq(self.i_candidate_row),
            self.o_candidate.eq(argmax.o),
        ]

        in_flight = Signal(range(writer_depth(config) + 1))
        m.d.sync += [
            self.o_retired.eq(written),
            in_flight.eq(in_flight + self.i_result.valid - written),
        ]
        m.d.comb += self.busy.eq(
            self.i_result.valid | in_flight.any() | argmax.busy | self.o_retired
        )
        return m

    def _add(self, m: Module, issue: Value, head: data.View) -> tuple[Value, Value]:
        """Valid and memory_write_layout bits of the word, two cycles after its old data."""
        config = self._config
        valid = delayed(m, issue, ActivationMemory.LATENCY + 2, "valid", reset_less=False)
        target = delayed(m, Cat(head.address, head.mask), ActivationMemory.LATENCY + 2, "target")
        adds = delayed(m, head.mode == ResultMode.ADD16, ActivationMemory.LATENCY, "adds")
        new = delayed(m, head.data, ActivationMemory.LATENCY, "new")
        elements = []
        for index in range(config.width // 2):
            total = Signal(signed(17), name=f"total{index}", reset_less=True)
            result = Signal(16, name=f"result{index}", reset_less=True)
            old = Mux(adds, self.i_read.data.word_select(index, 16), 0).as_signed()
            m.d.sync += [
                total.eq(old + new.word_select(index, 16).as_signed()),
                result.eq(
                    Mux(
                        total[16] == total[15],
                        total[:16],
                        Cat((~total[16]).replicate(15), total[16]),
                    )
                ),
            ]
            elements.append(result)
        return valid, Cat(target, *elements)
