# SPDX-License-Identifier: Apache-2.0
"""One test bench against one unit in Amaranth's simulator, and the step registers of a unit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from amaranth.sim import Simulator

from meadow.spec.step import Step

__all__ = ["run", "set_step"]


def run(dut: Any, bench: Callable[[Any], Awaitable[None]]) -> None:
    """Simulate `dut` until `bench` returns."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


def set_step(ctx: Any, port: Any, step: Step) -> None:
    """Drive a step_layout port as the registers would."""
    ctx.set(port.rows, step.rows)
    ctx.set(port.sequences, len(step.sequences))
    ctx.set(port.head_all, step.head_all)
    for entry, sequence in zip(port.entries, step.sequences, strict=False):
        for name in ("position", "tokens", "first_row"):
            ctx.set(getattr(entry, name), getattr(sequence, name))
