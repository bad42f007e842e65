# SPDX-License-Identifier: Apache-2.0
"""One step of the machine: which rows of the chunk belong to which sequence, and what is asked of
the LM head.
"""

from __future__ import annotations

from dataclasses import dataclass

from meadow.spec.commands import Outputs, RowSet
from meadow.spec.config import AcceleratorConfig

__all__ = ["Sequence", "Step"]


@dataclass(frozen=True)
class Sequence:
    """Entry of the sequence table.

    kv_base: beats from the window base to the sequence's KV cache; position: tokens already cached;
    tokens: new tokens, which are rows first_row .. first_row + tokens - 1 of the chunk.
    """

    kv_base: int
    position: int
    tokens: int
    first_row: int = 0


@dataclass(frozen=True)
class Step:
    """What the registers `rows sequences outputs head_all` and the sequence table hold at a
    doorbell.
    """

    sequences: tuple[Sequence, ...]
    outputs: Outputs = Outputs.ARGMAX
    head_all: bool = False

    @property
    def rows(self) -> int:
        """Tokens of the chunk."""
        return sum(sequence.tokens for sequence in self.sequences)

    @property
    def head_rows(self) -> tuple[int, ...]:
        """Chunk rows of the HEAD row set, in order."""
        if self.head_all:
            return tuple(range(self.rows))
        return tuple(entry.first_row + entry.tokens - 1 for entry in self.sequences)

    def outputs_register(self, config: AcceleratorConfig, group_heads: int) -> Outputs:
        """Value of register `outputs`: what is asked for, and the variant of attention that fits
        this step.

        group_heads: query heads of a KV head. NARROW if min(group_heads, T) of them run together
        for every sequence, that is in at most G groups of T div heads tokens.
        """
        heads = min(group_heads, config.lanes)
        tokens = max(entry.tokens for entry in self.sequences)
        groups = -(-tokens // (config.lanes // heads))
        return self.outputs | (Outputs.NARROW if groups <= config.groups else Outputs.WIDE)

    def row_count(self, row_set: RowSet, fixed: int) -> int:
        """Rows of a row set; `fixed` is the command's `rows` field."""
        if row_set == RowSet.FIXED:
            return fixed
        return self.rows if row_set == RowSet.CHUNK else len(self.head_rows)

    def check(self, config: AcceleratorConfig) -> None:
        """ValueError naming the rule and the value if the step does not fit the configuration."""
        if not 1 <= len(self.sequences) <= config.sequences:
            raise ValueError(
                f"a step takes 1..{config.sequences} sequences, not {len(self.sequences)}"
            )
        row = 0
        for index, entry in enumerate(self.sequences):
            if entry.tokens < 1:
                raise ValueError(
                    f"sequence {index} must bring at least 1 token, not {entry.tokens}"
                )
            if entry.first_row != row:
                raise ValueError(f"sequence {index} must start at row {row}, not {entry.first_row}")
            if entry.position < 0 or entry.position + entry.tokens > config.max_context:
                raise ValueError(
                    f"sequence {index} reaches {entry.position + entry.tokens} tokens, "
                    f"the configuration holds {config.max_context}"
                )
            row += entry.tokens
        if row > config.chunk_tokens:
            raise ValueError(f"a chunk holds {config.chunk_tokens} tokens, not {row}")
