# SPDX-License-Identifier: Apache-2.0
"""Primitives for netlists written by hand; net 0 is the clock."""

from __future__ import annotations

from boards.synthesis.netlist import Cell

__all__ = ["CLOCK", "Net", "carry", "dsp", "flip_flop", "lut"]

CLOCK = 0
Net = int | str


def flip_flop(name: str, d: Net, q: int, *, enable: Net = "1", reset: Net = "0") -> Cell:
    """A register of one bit, at line 1 of a file of its name."""
    inputs: dict[str, list[Net]] = {"C": [CLOCK], "D": [d], "CE": [enable], "R": [reset]}
    return Cell("FDRE", inputs, {"Q": [q]}, name=name, place=f"rtl_gen/{name}.py:1")


def lut(*inputs: Net, o: int) -> Cell:
    """A LUT with as many inputs."""
    pins: dict[str, list[Net]] = {f"I{index}": [net] for index, net in enumerate(inputs)}
    return Cell(f"LUT{len(inputs)}", pins, {"O": [o]}, name=f"lut{o}")


def carry(s: list[Net], di: list[Net], ci: Net, o: list[Net], co: list[Net]) -> Cell:
    """Four bits of a carry chain."""
    inputs: dict[str, list[Net]] = {"S": s, "DI": di, "CI": [ci], "CYINIT": ["0"]}
    return Cell("CARRY4", inputs, {"O": o, "CO": co}, name="chain")


def dsp(inputs: dict[str, list[Net]], p: list[Net], **parameters: int) -> Cell:
    """A DSP48E2; registers that `parameters` leave out are not there."""
    kept: dict[str, int | str] = dict(parameters)
    return Cell("DSP48E2", {"CLK": [CLOCK], **inputs}, {"P": p}, kept, "product")
