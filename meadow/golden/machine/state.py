# SPDX-License-Identifier: Apache-2.0
"""What the architectural machine remembers, and the rules by which commands reach it."""

from __future__ import annotations

import numpy as np

from meadow.golden.numerics import words
from meadow.spec.commands import RowSet, TrafficClass
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.numerics import TABLE_ENTRIES
from meadow.spec.registers import ErrorCode
from meadow.spec.step import Step

__all__ = [
    "Fields",
    "MachineError",
    "MachineState",
    "require",
    "row_count",
]

Fields = dict[str, int]
"""All fields of a command by name."""

_NO_CANDIDATE = -(1 << 15)


class MachineError(ValueError):
    """A program breaks a rule.

    code: the ErrorCode that hardware reports; ILLEGAL_COMMAND for what it leaves unchecked;
    command: index of the command in its program, None outside a program.
    """

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode = ErrorCode.ILLEGAL_COMMAND,
        command: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.command = command


def require(holds: bool, rule: str, value: object) -> None:
    """MachineError "rule, not value" unless the rule holds."""
    if not holds:
        raise MachineError(f"{rule}, not {value}")


def row_count(fields: Fields, step: Step) -> int:
    """Rows of a command's row set."""
    return step.row_count(RowSet(fields["row_set"]), fields.get("rows", 0))


class MachineState:
    """Memories of one accelerator, W = width.

    Parameters
    ----------
    config : the configuration.
    dram : uint8 1-D, the DMA window, whole beats; written in place.

    Members
    -------
    activations : uint8 [activation_words, W].
    exponents : uint8 [activation_words], of the words.
    norm_parameters : uint8 [norm_channels*4/W, W]; byte 4*c holds {int16 gain, int16 offset} of
        channel c.
    activation_table : uint8 [2*TABLE_ENTRIES/W, W], int16 entries.
    best_index, best_value : int64 [C], running arg-max of each row of the LM head's row set.
    traffic : DRAM bytes by TrafficClass since construction or `clear_traffic`.

    Raises ValueError for a `dram` of another type or shape.
    """

    def __init__(self, config: AcceleratorConfig, dram: np.ndarray) -> None:
        if dram.dtype != np.uint8 or dram.ndim != 1 or len(dram) % BEAT_BYTES:
            raise ValueError(
                f"dram must be uint8, 1-D, whole beats of {BEAT_BYTES} bytes, "
                f"not {dram.dtype} of shape {list(dram.shape)}"
            )
        self.config = config
        self.dram = dram
        self.activations = np.zeros((config.activation_words, config.width), np.uint8)
        self.exponents = np.zeros(config.activation_words, np.uint8)
        self.norm_parameters = np.zeros(
            (config.norm_channels * 4 // config.width, config.width), np.uint8
        )
        self.activation_table = np.zeros(
            (2 * TABLE_ENTRIES // config.width, config.width), np.uint8
        )
        self.best_index = np.zeros(config.chunk_tokens, np.int64)
        self.best_value = np.zeros(config.chunk_tokens, np.int64)
        self.traffic = dict.fromkeys(TrafficClass, 0)
        self.forget_candidates()

    def clear_traffic(self) -> None:
        """Set every traffic counter to 0, as the doorbell does."""
        self.traffic = dict.fromkeys(TrafficClass, 0)

    def forget_candidates(self) -> None:
        """Restart the arg-max: index 0 with the least logit, which only a larger one replaces."""
        self.best_index[:], self.best_value[:] = 0, _NO_CANDIDATE

    def words(
        self, first: int, stride: int, rows: int, count: int, what: str, *, memory_words: int = 0
    ) -> np.ndarray:
        """Word addresses [rows, count] of a row-strided operand.

        memory_words: size of its memory, by default of the activation memory; the ranges of fields
        keep commands inside the others.
        """
        limit = memory_words or self.config.activation_words
        address = first + stride * np.arange(rows)[:, None] + np.arange(count)
        last = int(address.max(initial=0))
        if last >= limit:
            raise MachineError(
                f"{what} reaches word {last}, the memory has {limit}",
                code=ErrorCode.ACTIVATION,
            )
        return address

    def write(self, target: np.ndarray, rows: np.ndarray, exponents: np.ndarray | int = 0) -> None:
        """Little-endian rows into the activation words at [rows, words], with their exponents."""
        data = np.ascontiguousarray(rows).view(np.uint8)
        self.activations[target] = data.reshape(*target.shape, self.config.width)
        self.exponents[target] = exponents

    def write_words(self, target: np.ndarray, values: np.ndarray) -> None:
        """Rows of 16-bit values as words, each with its exponent."""
        self.write(target, *words(values, self.config.width))

    def window(self, start_beats: int, size: int, what: str) -> np.ndarray:
        """View of `size` DRAM bytes from beat `start_beats` of the DMA window."""
        start = start_beats * BEAT_BYTES
        if start < 0 or start + size > len(self.dram):
            raise MachineError(
                f"{what} of bytes {start:#x}..{start + size:#x} leaves the DMA window of "
                f"{len(self.dram):#x} bytes",
                code=ErrorCode.WINDOW,
            )
        return self.dram[start : start + size]
