# SPDX-License-Identifier: Apache-2.0
"""Where `AttendSchedule` is: in which pass over a key block, at which token group of it, and at
which drain job.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from meadow.spec.commands import AttendPart, Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.attend_span import AttendSpan
from rtl_gen.interfaces.command import attends_part, command_layout
from rtl_gen.interfaces.lane import accumulation_layout, lane_range
from rtl_gen.interfaces.memory import ADDRESS_BITS

__all__ = ["AttendPlace", "attend_group_layout", "attend_job_layout", "attend_pass_layout"]


def attend_pass_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A pass: the tiles of one key block, K or V.

    Fields
    ------
    by_value: 0 multiplies queries with keys, 1 probabilities with values.
    block: key block.
    head: head-dim block.
    head_base: head * G, of the accumulators in OUTPUT.
    low: first token group that sees a key of the block.
    low_token: its first token.
    low_source: word of Q of that token.
    low_scores: first word of its scores, for a part of attention.
    """
    group = accumulation_layout(config).members["group"]
    head_blocks = max(1, config.max_head_dim // config.width)
    return data.StructLayout(
        {
            "by_value": 1,
            "block": range(config.max_context // config.width + 2),
            "head": 6,
            "head_base": range((head_blocks + 1) * config.groups),
            "low": group,
            "low_token": 17,
            "low_source": ADDRESS_BITS,
            "low_scores": ADDRESS_BITS,
        }
    )


def attend_group_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A token group of a tile.

    Fields
    ------
    opens: the first one of its tile.
    ends: the last one of its tile.
    group: its number.
    token: its first token.
    source: operand word of lane 0.
    words: lanes that have a token.
    cycles: R keys are read in each; those behind the last key that a token sees are left out.
    """
    return data.StructLayout(
        {
            "opens": 1,
            "ends": 1,
            "group": accumulation_layout(config).members["group"],
            "token": 17,
            "source": ADDRESS_BITS,
            "words": lane_range(config),
            "cycles": range(config.tile_cycles + 1),
        }
    )


def attend_job_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What changes from drain job to drain job of a command.

    Fields
    ------
    tokens: of the job.
    row: chunk row of the first one.
    address: word of the first one.
    limit: keys that it sees in the block.
    """
    return data.StructLayout(
        {"tokens": 16, "row": 16, "address": ADDRESS_BITS, "limit": signed(24)}
    )


class AttendPlace:
    """The registers of `AttendSchedule` that its states share, and what follows from them.

    Members
    -------
    command: the ATTEND.
    sequence: entry of the sequence table.
    span: what the command takes of that sequence.
    place: the pass over a key block, attend_pass_layout.
    group: the token group, attend_group_layout.
    job: the drain job, attend_job_layout.
    low_of_bank, low_token_of_bank: `low` and `low_token` of the last pass over the keys of an even
        and of an odd block, which the pass over the block's values takes over.
    scores_only, values_only: the command is this part of attention.
    sequence_ends: the pass is the last one of its sequence.
    pass_ends: the group is the last one of its pass.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.command = Signal(command_layout(Opcode.ATTEND), name="command", reset_less=True)
        self.sequence = Signal(8, name="sequence")
        self.span = AttendSpan(config=config)
        self.place = Signal(attend_pass_layout(config), name="place", reset_less=True)
        self.group = Signal(attend_group_layout(config), name="group", reset_less=True)
        self.job = Signal(attend_job_layout(config), name="job", reset_less=True)
        banks = range(2)
        self.low_of_bank = Array(
            Signal(self.place.low.shape(), name=f"low_{bank}", reset_less=True) for bank in banks
        )
        self.low_token_of_bank = Array(
            Signal(self.place.low_token.shape(), name=f"low_token_{bank}", reset_less=True)
            for bank in banks
        )
        self.scores_only = Signal(name="scores_only")
        self.values_only = Signal(name="values_only")
        self.sequence_ends = Signal(name="sequence_ends")
        self.pass_ends = Signal(name="pass_ends")
        self._config = config
        self._width_bits = (config.width - 1).bit_length()

    def derive(self, m: Module) -> None:
        """Drive what follows from the registers."""
        command, place = self.command, self.place
        m.d.comb += [
            self.span.command.eq(command),
            self.span.sequence.eq(self.sequence),
            self.scores_only.eq(attends_part(self._config, command, AttendPart.SCORES)),
            self.values_only.eq(attends_part(self._config, command, AttendPart.VALUES)),
            self.sequence_ends.eq(
                (place.by_value | self.scores_only) & (place.block == self.span.last_block)
            ),
            self.pass_ends.eq((place.head == command.blocks - 1) & self.group.ends),
        ]

    @property
    def bank(self) -> Value:
        """Probability buffer of the key block."""
        return self.place.block[0]

    @property
    def block_keys(self) -> Value:
        """Keys before the block."""
        return Cat(Const(0, self._width_bits), self.place.block)

    def token_end(self, token: Value) -> Value:
        """Token after the last one of a group that begins with `token`."""
        end = token + self.span.group_tokens
        return Mux(end < self.span.tokens, end, self.span.tokens)

    def reach(self, token_end: Value) -> Value:
        """Keys that the token before `token_end` sees."""
        return Mux(self.command.causal, self.span.position + token_end, self.span.keys)
