# SPDX-License-Identifier: Apache-2.0
"""How often every signal of a simulation switches, as SAIF 2.0 (IEEE 1801, annex I), from which
Vivado estimates power; made of the waveforms that `--waves` writes.

It reads the file with pywellen, Surfer's reader, which is in the extra `power`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cosim.wave_views import SCOPE
from cosim.waves import CYCLE_UNITS

__all__ = ["bit_activity", "switching_activity"]

_MISSING = "power from waveforms needs the extra power of MEADOW (pip install pywellen)"


@dataclass
class _Scope:
    """Nets of an instance, and the instances in it."""

    nets: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    below: dict[str, _Scope] = field(default_factory=dict)


def bit_activity(
    times: Sequence[int], values: Sequence[int], width: int, end: int
) -> list[tuple[int, int]]:
    """For each bit from 0 on: how long it is 1, and how often it changes, until `end`.

    times: of the changes, in ascending order, values: from then on.
    """
    size = (width + 7) // 8
    raw = b"".join(value.to_bytes(size, "little") for value in values)
    data = np.frombuffer(raw, np.uint8).reshape(len(values), size)
    bits = np.unpackbits(data, axis=1, bitorder="little")[:, :width]
    lasts = np.diff(np.array([*times, end], np.int64))
    high = lasts @ bits.astype(np.int64)
    toggles = np.count_nonzero(bits[1:] != bits[:-1], axis=0)
    return [(int(one), int(count)) for one, count in zip(high, toggles, strict=True)]


def _read(path: Path) -> tuple[_Scope, int, int]:
    """All signals below SCOPE that the source has named, and the first and last time of the
    file.
    """
    from pywellen import Waveform  # pyright: ignore[reportAttributeAccessIssue]

    with path.open("rb"):
        pass  # the reader says less about a file that cannot be read
    try:
        waves = Waveform(str(path))
    except Exception as error:
        raise ValueError(f"{path} holds no waveforms: {error}") from error
    variables: dict[str, Any] = {}
    for variable in waves.all_vars():
        scope, _, name = variable.full_name.partition(f"{SCOPE}.")
        # Yosys calls what has no name $1; Vivado has no net of that name.
        if not scope and "$" not in name:
            variables[name] = variable
    if "clk" not in variables:
        raise ValueError(f"{path} has no signal {SCOPE}.clk: write it with --waves")
    clock = variables["clk"].signal
    begin, end = clock[0][0], clock[len(clock) - 1][0]
    if end <= begin:
        raise ValueError(f"{path} has no clock cycle")
    root = _Scope()
    for name, variable in variables.items():
        signal = variable.signal
        changes = [signal[index] for index in range(len(signal))]
        if not changes or variable.bitwidth is None:
            continue
        *scopes, last = name.split(".")
        scope = root
        for part in scopes:
            scope = scope.below.setdefault(part, _Scope())
        times = [min(max(time, begin), end) for time, _ in changes]
        values = [int(value) for _, value in changes]
        scope.nets[last] = bit_activity(times, values, variable.bitwidth, end)
    return root, begin, end


def _net(name: str, bits: Sequence[tuple[int, int]], span: int, scale: int) -> Iterator[str]:
    for index, (high, toggles) in enumerate(bits):
        bit = name if len(bits) == 1 else rf"{name}\[{index}\]"
        low = span - high
        yield f"({bit} (T0 {low * scale}) (T1 {high * scale}) (TX 0) (TC {toggles}) (IG 0))"


def _instance(name: str, scope: _Scope, span: int, scale: int) -> Iterator[str]:
    yield f"(INSTANCE {name}"
    if scope.nets:
        yield "(NET"
        for net, bits in scope.nets.items():
            yield from _net(net, bits, span, scale)
        yield ")"
    for below, inner in scope.below.items():
        yield from _instance(below, inner, span, scale)
    yield ")"


def switching_activity(path: Path, clock_hz: int, instances: Sequence[str]) -> str:
    """SAIF of the core that the waveforms show, as if its clock had `clock_hz`.

    instances: names of the instances around the core in the design that is estimated, the core's
    last. ValueError if the file is none of the core, or pywellen is missing.
    """
    if importlib.util.find_spec("pywellen") is None:
        raise ValueError(_MISSING)
    root, begin, end = _read(path)
    # Femtoseconds of a time unit of the file: a cycle has the period of the clock.
    scale = round(10**15 / clock_hz / CYCLE_UNITS)
    span = end - begin
    opened = [f"(INSTANCE {name}" for name in instances[:-1]]
    header: Mapping[str, str] = {
        "SAIFVERSION": '"2.0"',
        "DIRECTION": '"backward"',
        "DIVIDER": "/",
        "TIMESCALE": "1 fs",
        "DURATION": str(span * scale),
    }
    lines = ["(SAIFILE", *(f"({key} {value})" for key, value in header.items()), *opened]
    lines += [*_instance(instances[-1], root, span, scale), *(")" for _ in opened), ")"]
    return "\n".join(lines) + "\n"
