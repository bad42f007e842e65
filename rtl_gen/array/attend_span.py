# SPDX-License-Identifier: Apache-2.0
"""Span of an ATTEND: which tokens, keys and words of Q it takes of one sequence, and how tokens
fill the lanes.
"""

from __future__ import annotations

from amaranth.hdl import Array, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.payload import payload_register
from rtl_gen.interfaces.command import command_layout, step_layout
from rtl_gen.interfaces.lane import lane_range
from rtl_gen.interfaces.memory import ADDRESS_BITS

__all__ = ["AttendSpan"]


class AttendSpan(wiring.Component):
    """tokens = rows ? rows : tokens of the sequence; position and row of the first one are `first`
    further.

    Members
    -------
    command: In(ATTEND).
    step: In(step_layout).
    sequence: In(8), entry of the sequence table.
    tokens: Out, tokens of this part.
    row: Out, chunk row of the first one.
    position: Out, its position.
    keys: Out, keys that the last token sees.
    first_keys: Out, keys that the first one sees.
    last_block: Out, the last key block with a key.
    group_tokens: Out, TG = T div heads, tokens of a group.
    group_lanes: Out, TG * heads, lanes of a group.
    start: Out, word of Q of the first token.
    group_stride: Out, words from group to group.

    Latency: LATENCY cycles from stable inputs to all outputs. No back-pressure.
    """

    LATENCY = 5

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(command_layout(Opcode.ATTEND)),
                "step": In(step_layout(config)),
                "sequence": In(8),
                "tokens": Out(16),
                "row": Out(16),
                "position": Out(21),
                "keys": Out(21),
                "first_keys": Out(21),
                "last_block": Out(range(max(2, config.max_context // config.width))),
                "group_tokens": Out(lane_range(config)),
                "group_lanes": Out(lane_range(config)),
                "start": Out(ADDRESS_BITS),
                "group_stride": Out(ADDRESS_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config, command = self._config, self.command
        m = Module()
        tokens = payload_register(m, self.tokens, "tokens_register")
        row = payload_register(m, self.row, "row_register")
        position = payload_register(m, self.position, "position_register")
        keys = payload_register(m, self.keys, "keys_register")
        first_keys = payload_register(m, self.first_keys, "first_keys_register")
        last_block = payload_register(m, self.last_block, "last_block_register")
        group_tokens = payload_register(m, self.group_tokens, "group_tokens_register")
        group_lanes = payload_register(m, self.group_lanes, "group_lanes_register")
        start = payload_register(m, self.start, "start_register")
        group_stride = payload_register(m, self.group_stride, "group_stride_register")
        entry = Signal(self.step.entries.shape().elem_shape, reset_less=True)
        index_bits = max(1, (config.sequences - 1).bit_length())
        first_words = Signal(ADDRESS_BITS, reset_less=True)
        group_words = Signal(ADDRESS_BITS, reset_less=True)
        start_words = Signal(ADDRESS_BITS, reset_less=True)
        m.d.sync += [
            entry.eq(self.step.entries[self.sequence[:index_bits]]),
            tokens.eq(Mux(command.rows.any(), command.rows, entry.tokens)),
            row.eq(entry.first_row + command.first),
            position.eq(entry.position + command.first),
            keys.eq(position + tokens),
            last_block.eq((keys - 1) >> (config.width - 1).bit_length()),
            first_keys.eq(Mux(command.causal, position + 1, keys)),
            # One register before and two after each product, for the multiplier's own.
            first_words.eq(row * command.query_stride),
            start_words.eq(first_words),
            start.eq(command.query + start_words),
            group_words.eq(group_tokens * command.query_stride),
            group_stride.eq(group_words),
        ]
        # Quotients by a constant each; `heads` is at least 1.
        counts = [1, *range(1, config.lanes + 1)]
        heads = command.heads[: config.lanes.bit_length()]
        for output, values in (
            (group_tokens, [config.lanes // count for count in counts]),
            (group_lanes, [config.lanes // count * count for count in counts]),
        ):
            constants = Array(Const(value, output.shape()) for value in values)
            m.d.sync += output.eq(constants[heads])
        return m
