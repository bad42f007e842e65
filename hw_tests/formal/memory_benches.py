# SPDX-License-Identifier: Apache-2.0
"""What is proven of the activation memory: which writes a read sees, and who is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from amaranth.hdl import Cat, Const, Mux, Signal, Value, ValueLike

from hw_tests.formal.bench import Bench
from hw_tests.formal.mutation import mutant
from meadow.spec.config import named_config
from rtl_gen.interfaces.members import members
from rtl_gen.interfaces.memory import READ_CLIENTS, WRITE_CLIENTS
from rtl_gen.memory.activation_memory import ActivationMemory

__all__ = ["memory_bench", "narrow_memory"]

_WORDS = 3
"""Of the memory under proof: no power of two, so that its end is not that of the addresses."""
_TO_RAM = 2
"""Slots from that of a read to that of the first write which it does not see, less one."""


def narrow_memory(old: str = "", new: str = "", **parts: Any) -> Any:
    """An ActivationMemory of three words of two parts and an exponent, of one bit each; changes as
    in `mutant`.

    Nothing looks at the bits of a word, each goes its own way beside the others, so one of each
    kind stands for all of them.
    """
    config = replace(named_config("small"))
    object.__setattr__(config, "activation_words", _WORDS)
    return mutant(ActivationMemory, old, new, BEAT_BITS=1, EXPONENT_BITS=1, **parts)(config=config)


def _late(bench: Bench, value: ValueLike, cycles: int) -> Value:
    late = Value.cast(value)
    for _ in range(cycles):
        late = bench.past(late)
    return late


def _refusals(bench: Bench, side: str, ports: Sequence[Any]) -> list[Value]:
    """A client is refused exactly when the slot that passes it was filled by one of higher
    priority; transfers of the clients.
    """
    transfers: list[Value] = [port.valid & port.ready for port in ports]
    for number, port in enumerate(ports):
        filled = Cat(Const(0, 1), *(_late(bench, transfers[k], number - k) for k in range(number)))
        bench.check(f"{side}_refused{number}", port.ready == ~filled.any())
        both = Cat(filled[a] & filled[b] for a in range(number + 1) for b in range(a))
        bench.check(f"{side}_slot{number}", ~both.any())
    return transfers


def memory_bench(memory: Any, *, exact: bool = True) -> Bench:
    """Every read returns the last write before it, or one that comes at most OVERTAKES cycles after
    it, and exactly which one; whom the memory refuses gave way to one of higher priority.

    Clients, addresses, masks and data are free. One word of the memory, any, is followed. Two
    statements about its contents, for each part and for the exponent:

    exact: write client j puts its word of cycle t into slot t - j, read client k asks in slot
        t - k; a read sees the writes of the slots up to two behind its own, in the order of slots.
    sees: as long as writes of two clients to the word are len(WRITE_CLIENTS) cycles apart, a read
        transferred in cycle t returns what the word was after all transfers before t, or after
        those of cycle t + n, n = 0..OVERTAKES.

    Without `exact` only the second is checked, so that a planted bug is found by it alone.
    """
    bench = Bench("memory")
    # What the followed word is, for the induction: a port that only the bench has.
    looks = [bank.read_port(domain="comb") for bank in (*memory.banks, memory.exponents)]
    bench.add(memory)
    m = bench.m
    readers, writers = (list(members(side).values()) for side in (memory.i_read, memory.i_write))
    reads = _refusals(bench, "read", [client.address for client in readers])
    writes = _refusals(bench, "write", [client.word for client in writers])
    followed = bench.constant("followed", range(_WORDS))
    bench.assume(followed < _WORDS)
    m.d.comb += [look.addr.eq(followed) for look in looks]

    words = [client.word.payload for client in writers]
    hits = [
        transfer & (word.address == followed) for transfer, word in zip(writes, words, strict=True)
    ]
    asked = [
        _late(bench, transfer & (client.address.payload == followed), latency)
        for transfer, client, latency in zip(
            reads, readers, memory.READ_LATENCY.values(), strict=True
        )
    ]
    # Writes of two clients to the word have so far been far enough apart.
    apart = Signal(init=1)
    near = [
        hits[j] & _late(bench, hits[k], cycles)
        for j in range(len(hits))
        for k in range(len(hits))
        for cycles in range(len(WRITE_CLIENTS))
        if j != k
    ]
    m.d.sync += apart.eq(apart & ~Cat(near).any())
    far = ~Cat(near).any() & apart

    beats = memory._config.word_beats
    for part in range(beats + 1):
        exponent = part == beats
        name = "exponent" if exponent else f"part{part}"
        bits = [word.exponent[0] if exponent else word.data[part] for word in words]
        masked = [word.mask.all() if exponent else word.mask[part] for word in words]
        puts = [hit & mask for hit, mask in zip(hits, masked, strict=True)]
        # What the word is after all transfers before this cycle, and after all slots before.
        now, slots = Signal(name=f"{name}_now"), Signal(name=f"{name}_slots")
        for number, (put, bit) in enumerate(zip(puts, bits, strict=True)):
            wait = len(WRITE_CLIENTS) - 1 - number
            with m.If(put):
                m.d.sync += now.eq(bit)
            with m.If(_late(bench, put, wait)):
                m.d.sync += slots.eq(_late(bench, bit, wait))
        bench.check(f"inv_{name}", looks[part].data == bench.past(slots))
        coming = slots
        for cycles, number in ((2, 0), (1, 1), (1, 0)):  # transferred, but not yet in `slots`
            put, bit = (_late(bench, value[number], cycles) for value in (puts, bits))
            coming = Mux(put, bit, coming)
        bench.check(f"inv_{name}_now", ~apart | (now == coming))
        for number, client in enumerate(readers):
            reader = READ_CLIENTS[number]
            latency = memory.READ_LATENCY[reader]
            got = client.exponent[0] if exponent else client.data.payload[part]
            # The writes of a slot have left the last write client len(WRITE_CLIENTS) - 1 later.
            wait = latency + number - (len(WRITE_CLIENTS) + _TO_RAM)
            if exact:
                right = got == _late(bench, slots, wait)
                bench.check(f"exact_{name}_{reader}", ~asked[number] | right)
            seen = Cat(
                got == _late(bench, now, latency - after) for after in range(memory.OVERTAKES + 2)
            )
            sound = _late(bench, far, latency - memory.OVERTAKES - 1) & apart
            bench.check(f"sees_{name}_{reader}", ~(asked[number] & sound) | seen.any())
            if part == 0:
                last = _late(bench, now, latency)
                bench.cover(f"old_{reader}", asked[number] & (got == last) & last)
                if number < len(READ_CLIENTS) - 1:
                    overtaken = _late(bench, now, latency - memory.OVERTAKES + number)
                    new = got & ~overtaken & far
                    bench.cover(f"overtakes_{reader}", asked[number] & new)

    for number, (client, reader) in enumerate(zip(readers, READ_CLIENTS, strict=True)):
        came = _late(bench, reads[number], memory.READ_LATENCY[reader])
        bench.check(f"comes_{reader}", client.data.valid == came)
    beyond = [
        transfer & (address >= _WORDS)
        for transfer, address in (
            *zip(reads, (client.address.payload for client in readers), strict=True),
            *zip(writes, (word.address for word in words), strict=True),
        )
    ]
    outside = _late(bench, Cat(beyond).any(), memory.ERROR_LATENCY)
    bench.check("outside", memory.o_outside.any() == outside)
    bench.check("active", memory.o_active == bench.past(Cat(*reads, *writes).any()))
    bench.cover("all_read", Cat(reads).all())
    bench.cover("all_write", Cat(writes).all())
    storer = readers[-1].address
    waited = bench.past(bench.past(storer.valid & ~storer.ready))
    bench.cover("last_waits", waited & storer.valid & storer.ready)
    return bench
