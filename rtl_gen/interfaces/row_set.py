# SPDX-License-Identifier: Apache-2.0
"""How many rows a command covers."""

from __future__ import annotations

from amaranth.hdl import Mux, Value
from amaranth.lib import data

from meadow.spec.commands import RowSet

__all__ = ["ROW_BITS", "gathers", "row_count"]

ROW_BITS = 20
"""Bits of a row count: the `rows` field of a FIXED row set."""


def row_count(step: data.View, row_set: Value, fixed: Value) -> Value:
    """Rows of a row set, as `meadow.spec.step.Step.row_count`; `step` is a view of step_layout."""
    head = Mux(step.head_all, step.rows, step.sequences)
    chunk = Mux(row_set == RowSet.HEAD.value, head, step.rows)
    return Mux(row_set == RowSet.FIXED.value, fixed, chunk)


def gathers(step: data.View, row_set: Value) -> Value:
    """1 if row s of the set is the last row of sequence s instead of chunk row s."""
    return (row_set == RowSet.HEAD.value) & ~step.head_all
