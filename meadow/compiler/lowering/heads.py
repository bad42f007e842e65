# SPDX-License-Identifier: Apache-2.0
"""Where the heads of attention lie in rows of activation words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meadow.model.head_padding import attention_exponent, padded_head_dim
from meadow.spec.config import AcceleratorConfig
from meadow.spec.model import ModelDescription

__all__ = ["HeadLayout"]


@dataclass(frozen=True)
class HeadLayout:
    """Places of query heads, and of the KV heads that `group` of them share each.

    head_dim: true channels of a head; padded: those with zeros, e. Heads with e < W share words,
    W/e side by side. K and V of KV head k start at channel k*e. The query heads of a KV head all
    lie at its column, so that one command
    covers them: member i of head k is in word (k div per_word)*group*blocks + i*blocks of the row.
    exponent: of all words of the attention output, 0 if they have their own.
    """

    width: int
    head_dim: int
    padded: int
    kv_heads: int
    group: int
    exponent: int = 0

    @classmethod
    def of(cls, description: ModelDescription, config: AcceleratorConfig) -> HeadLayout:
        """The layout of a model's heads in a configuration's words."""
        d = description
        padded = padded_head_dim(d, config.width)
        exponent = attention_exponent(d, config.width)
        return cls(config.width, d.head_dim, padded, d.kv_heads, d.group_heads, exponent)

    @property
    def per_word(self) -> int:
        """Heads that share a word."""
        return max(1, self.width // self.padded)

    @property
    def blocks(self) -> int:
        """Words of a head, which are its head-dim blocks."""
        return max(1, self.padded // self.width)

    @property
    def key_words(self) -> int:
        """Words of a row of K, or of V."""
        return -(-self.kv_heads // self.per_word) * self.blocks

    @property
    def query_words(self) -> int:
        """Words of a row of Q."""
        return self.key_words * self.group

    @property
    def rotary_words(self) -> int:
        """Words of cosines and sines that a row of heads goes through again and again."""
        return max(1, 2 * self.padded // self.width)

    def query_word(self, kv_head: int, member: int = 0) -> int:
        """First word of query head `member` of a KV head."""
        return (kv_head // self.per_word * self.group + member) * self.blocks

    def column(self, kv_head: int) -> int:
        """First byte of a KV head, and of its query heads, in their words."""
        return kv_head % self.per_word * self.padded

    @property
    def key_channels(self) -> np.ndarray:
        """Padded channel of every channel of K, or of V: int64 [kv_heads * head_dim]."""
        first = np.arange(self.kv_heads) * self.padded
        return (first[:, None] + np.arange(self.head_dim)).reshape(-1)

    @property
    def query_channels(self) -> np.ndarray:
        """Padded channel of every channel of Q, KV head by KV head: int64 [heads * head_dim]."""
        first = [
            self.query_word(head, member) * self.width + self.column(head)
            for head in range(self.kv_heads)
            for member in range(self.group)
        ]
        return (np.array(first)[:, None] + np.arange(self.head_dim)).reshape(-1)

    def rotary_rows(self, rotary_table: np.ndarray) -> np.ndarray:
        """Rotary words of every position, int16 [n, rotary_words * W/2], of the cosines and sines
        int16 [n, head_dim/2, 2].

        A word has the {cosine, sine} of W/4 pairs. The pairs of padding are 0, and narrow heads
        repeat theirs.
        """
        rows = np.zeros((len(rotary_table), self.padded), "<i2")
        rows[:, : self.head_dim] = rotary_table.reshape(len(rotary_table), -1)
        return np.tile(rows, self.rotary_words * self.width // 2 // self.padded)
