# SPDX-License-Identifier: Apache-2.0
"""Rules of AXI (ARM IHI 0022) as checks on a master's or a slave's signals."""

from __future__ import annotations

from amaranth.hdl import Cat, Signal, Value, ValueLike

from hw_tests.formal.bench import Bench, Probe

__all__ = ["check_stable", "counter", "queue_invariant", "stays"]


def stays(bench: Bench, valid: ValueLike, ready: ValueLike, *payload: ValueLike) -> Value:
    """VALID is kept until READY with the same payload (A3.2.1)."""
    word = Cat(Value.cast(value) for value in payload)
    waited = bench.past(Value.cast(valid) & ~Value.cast(ready))
    return ~waited | (Value.cast(valid) & (word == bench.past(word)))


def check_stable(bench: Bench, channel: str, bus: object, *payload: str) -> None:
    """`stays` for a channel of `bus`, by its AXI names."""
    valid, ready = (getattr(bus, channel + name) for name in ("valid", "ready"))
    words = [getattr(bus, channel + name) for name in payload]
    bench.check(f"{channel}_stable", stays(bench, valid, ready, *words))


def counter(bench: Bench, name: str, bits: int, up: ValueLike, down: ValueLike = 0) -> Signal:
    """How often `up` minus how often `down` before this cycle."""
    count = Signal(bits, name=name)
    bench.m.d.sync += count.eq(count + up - down)
    return count


def queue_invariant(bench: Bench, name: str, probe: Probe, prefix: str, depth: int) -> None:
    """Of a Queue that is not `direct`: what an induction over its level needs.

    `stored` payloads wait in the memory; every other one is in the output register or, of a queue
    in block RAM, on its way through the memory's registers to a place that a credit has kept.
    """
    stored, level = probe[f"{prefix}.stored"], probe[f"{prefix}.level"]
    if probe.every(f"{prefix}.credits"):
        credits = probe[f"{prefix}.credits"]
        ahead, output = credits.init, f"{prefix}.output"
        reading = sum(probe[f"{prefix}.read_{stage}"] for stage in (1, 2))
        held = probe[f"{output}.level"]
        bench.check(f"inv_{name}", (level <= depth) & (level == stored + reading + held))
        bench.check(f"inv_{name}_ahead", credits + reading + held == ahead)
        _registers(bench, f"{name}_output", probe, output, ahead, waiting=0)
    else:
        _registers(bench, name, probe, prefix, depth, waiting=1)


def _registers(
    bench: Bench, name: str, probe: Probe, prefix: str, depth: int, *, waiting: int
) -> None:
    """Of a queue in distributed RAM; `waiting`: payloads that the memory holds at most while the
    output register is empty.
    """
    stored, filled = probe[f"{prefix}.stored"], probe[f"{prefix}.valid"]
    bench.check(f"inv_{name}_stored", (stored <= depth - 1) & (filled | (stored <= waiting)))
    bench.check(f"inv_{name}_level", probe[f"{prefix}.level"] == stored + filled)
