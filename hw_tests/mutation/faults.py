# SPDX-License-Identifier: Apache-2.0
"""Faults in streams, addresses and on the bus: each must be named, nothing else touched, and the
next step right.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from hw_tests.mutation.chip import Chip, Trial
from hw_tests.mutation.fault_bench import FaultBench, fails, fault_bench, require_unpublished
from hw_tests.mutation.step_cases import BOTH
from hw_tests.seeds import salted
from meadow.spec.commands import Command, Opcode
from meadow.spec.config import BEAT_BYTES
from workbench.campaigns.stream_faults import WeightStream, weight_streams

__all__ = ["fault_trials"]

_BURST_BYTES = 4096
_BASES = (0xA5_5A5A_6000, 0x5A_A5A5_9000)
"""Every bit of an address is 0 with one and 1 with the other."""


def _stream_faults(
    stream: WeightStream, data: np.ndarray, seed: int
) -> list[tuple[str, np.ndarray]]:
    """Copies of a stream, each with something spoiled: bits of every part of it, or its end."""
    random = np.random.default_rng(salted(seed))
    places = [8 * byte + int(random.integers(8)) for byte in range(BEAT_BYTES)]
    size = stream.beats * BEAT_BYTES
    places += [int(place) for place in random.integers(8 * BEAT_BYTES, 8 * size, 10)]
    places += [8 * size - 1, 8 * (size - BEAT_BYTES)]
    spoiled = []
    for place in places:
        copy = data.copy()
        copy[place // 8] ^= 1 << place % 8
        spoiled.append((f"bit {place}", copy))
    for cut in random.integers(BEAT_BYTES, int(np.flatnonzero(data)[-1]), 2):
        copy = data.copy()
        copy[cut:] = 0
        spoiled.append((f"zeros from {cut}", copy))
    return spoiled


def _run_streams(bench: FaultBench, codec: str, chip: Chip) -> None:
    """MATMULs alone, with a spoiled stream each."""
    session = bench.open(chip)
    session.prepare({0: bench.tokens}, outputs=BOTH, head_all=True)
    memory = session.device.memory
    for index, stream in enumerate(weight_streams(bench.image, codec)[:3]):
        place = slice(stream.offset * BEAT_BYTES, (stream.offset + stream.beats) * BEAT_BYTES)
        data = memory[place].copy()
        for what, spoiled in _stream_faults(stream, data, index):
            name = f"{codec} stream {index}, {what}"
            memory[place] = spoiled
            planted = memory.copy()
            fails(chip, name, ("STREAM",), partial(session.execute, stream.command))
            chip.require_memory(f"{name}: window", memory, planted)
            memory[place] = data
        with chip.timed(f"{codec} stream {index} without a fault"):
            session.execute(stream.command)
        command = bench.image.command(stream.command)
        for beats in {1, stream.beats // 2, stream.beats - 1}:
            short = replace(command, values={**command.values, f"beats{stream.port}": beats})
            fails(
                chip,
                f"{codec} stream {index} of {beats} beats",
                ("STREAM",),
                partial(session.run_commands, [short, Command(Opcode.END)]),
            )
    bench.good_step(chip, session, f"{codec}: the step after the faults")


_OFFSETS = {
    Opcode.LOAD: ("offset",),
    Opcode.STORE: ("offset", "segment_stride"),
    Opcode.MATMUL: ("offset0",),
    Opcode.ATTEND: ("key_offset", "value_offset", "block_stride"),
}


def _run_window(bench: FaultBench, chip: Chip) -> None:
    """Commands of the program that point outside of the window; accesses at its very end are
    good.
    """
    session = bench.open(chip)
    memory = session.device.memory
    beats = memory.size // BEAT_BYTES
    step = session.prepare({0: bench.tokens}, outputs=BOTH, head_all=True)
    random = np.random.default_rng(salted(3))
    for opcode, fields in _OFFSETS.items():
        command = bench.image.command(bench.first(opcode))
        for name in fields[:1] if opcode != Opcode.ATTEND else fields[:2]:
            shift = step.sequences[0].kv_base if command.values.get("cache") else 0
            shift = step.sequences[0].kv_base if opcode == Opcode.ATTEND else shift
            for offset in (
                *(beats - shift, beats - shift - 1, 1 << 31, (1 << 32) - 1 - shift),
                *(int(random.integers(beats, 1 << 32)) - shift for _ in range(2)),
            ):
                values = {**command.values, name: offset & 0xFFFF_FFFF}
                changed = replace(command, values=values)
                planted = memory.copy()
                scratch = slice(bench.image.manifest.window_beats(1) * BEAT_BYTES, None)
                what = f"{opcode.name} {name} {offset:#x}"
                fails(
                    chip,
                    what,
                    ("WINDOW",),
                    partial(session.run_commands, [changed, Command(Opcode.END)]),
                )
                planted[scratch] = memory[scratch]
                if opcode != Opcode.STORE:
                    chip.require_memory(f"{what}: window", memory, planted)
    for start in (beats, (1 << 32) - 2):
        fails(
            chip,
            f"program at {start:#x}",
            ("WINDOW",),
            partial(session.registers.run_program, start, 4),
        )
    stream = weight_streams(bench.image, "raw")[0]
    command = bench.image.command(stream.command)
    for bit in range((beats - 1).bit_length(), 28):
        longer = {**command.values, f"beats{stream.port}": stream.beats + (1 << bit)}
        fails(
            chip,
            f"a stream of 2^{bit} beats more",
            ("WINDOW",),
            partial(session.run_commands, [replace(command, values=longer), Command(Opcode.END)]),
        )
    # The last beats of the window, a stride beyond which nothing is, belong to it.
    load = bench.image.command(bench.first(Opcode.LOAD)).values
    size = load["row_beats"]
    last = {**load, "offset": beats - size, "row_set": 0, "rows": 1}
    store = {
        **bench.image.command(bench.first(Opcode.STORE)).values,
        "offset": beats - 1,
        "segments": 1,
        "segment_beats": 1,
        "row_set": 0,
        "rows": 1,
        "cache": 0,
    }
    with chip.timed("last beats of the window"):
        session.run_commands(
            [Command(Opcode.LOAD, last), Command(Opcode.STORE, store), Command(Opcode.END)]
        )
    bench.good_step(chip, session, "the step after the window's faults")


def _run_bus(bench: FaultBench, chip: Chip) -> None:
    """Error responses at addresses of every kind of access, and beyond the memory."""
    session = bench.open(chip)
    device, simulation = session.device, chip.device.simulation
    image, random = bench.image, np.random.default_rng(salted(4))
    stream = weight_streams(image, "raw")[1]
    cache = image.manifest.cache
    regions = image.manifest.regions
    places: list[tuple[str, int, str]] = [
        ("command", bench.place(3) // BEAT_BYTES + 1, "READ_RESPONSE"),
        ("first command", bench.place(0) // BEAT_BYTES, "READ_RESPONSE"),
        ("embedding", regions["embeddings"].offset + 2, "READ_RESPONSE"),
        ("cache", cache.start + 1, "WRITE_RESPONSE"),
        ("logits", regions["logits"].offset, "WRITE_RESPONSE"),
        ("arg-max", regions["argmax"].offset, "WRITE_RESPONSE"),
    ]
    for beat in (0, stream.beats - 1, *random.integers(1, stream.beats - 1, 3)):
        places.append((f"weight beat {beat}", stream.offset + int(beat), "READ_RESPONSE"))
    for what, beat, code in places:
        device.memory[:] = bench.before
        session.rewind()
        address = device.memory_base + beat * BEAT_BYTES
        simulation.configure(error_address=address)
        found = fails(
            chip,
            f"bus error at {what}",
            (code,),
            lambda: session.step({0: bench.tokens}, outputs=BOTH, head_all=True),
        )
        if code == "READ_RESPONSE":
            burst = range(address - _BURST_BYTES + 1, address + 1)
            chip.require(f"bus error at {what}: in its burst", found.address in burst, True)
        simulation.configure(error_address=None)
        require_unpublished(chip, bench, device.memory, what)
    # KV reads alone: the cache is written without an error first.
    device.memory[:] = bench.before
    attend = bench.first(Opcode.ATTEND)
    session.prepare({0: bench.tokens}, outputs=BOTH)
    session.execute(0, attend)
    for beat in (cache.start, cache.start + 3):
        simulation.configure(error_address=device.memory_base + beat * BEAT_BYTES)
        fails(chip, f"key at {beat}", ("READ_RESPONSE",), lambda: session.execute(attend))
    simulation.configure(error_address=None)
    # A window larger than the memory is answered DECERR.
    session.registers.write("window_beats", device.memory.size // BEAT_BYTES + 4096)
    command = image.command(bench.first(Opcode.LOAD))
    beyond = device.memory.size // BEAT_BYTES + 5
    changed = replace(command, values={**command.values, "offset": beyond})
    found = fails(
        chip,
        "no memory there",
        ("READ_RESPONSE",),
        lambda: session.run_commands([changed, Command(Opcode.END)]),
    )
    session.registers.set_window()
    bench.good_step(chip, session, "the step after the bus errors")


def fault_trials(config_name: str) -> list[Trial]:
    """Spoiled streams of every codec, wrong addresses, bus errors."""
    benches = {codec: fault_bench(config_name, codec) for codec in ("raw", "dictionary", "rice")}
    low, high = (replace(benches["raw"], base=base) for base in _BASES)
    trials = [
        Trial(f"spoiled {codec} streams", partial(_run_streams, bench, codec))
        for codec, bench in benches.items()
    ]
    trials += [
        Trial("window", partial(_run_window, low)),
        Trial("window, other base", partial(_run_window, high)),
        Trial("bus errors", partial(_run_bus, low)),
        Trial("bus errors, other base", partial(_run_bus, high)),
    ]
    return trials
