# SPDX-License-Identifier: Apache-2.0
"""What is proven of the register file: its bus, and that a read returns what the address stands
for.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Mux, Signal, Value

from hw_tests.formal.axi_rules import check_stable
from hw_tests.formal.bench import Bench, Probe
from meadow.spec.config import AcceleratorConfig
from meadow.spec.contract import contract_hash
from meadow.spec.parameters import register_values
from meadow.spec.registers import (
    MAGIC,
    SEQUENCE_FIELDS,
    VERSION,
    WATCHDOG_CYCLES,
    Refusal,
    register_map,
    sequence_offset,
)
from rtl_gen.interfaces.members import members

__all__ = ["lite_bench"]

_OKAY = 0


def _plain(registers: Any, config: AcceleratorConfig) -> dict[str, tuple[int, Value]]:
    """Mask of the bits that exist and the output that shows them, of every read-write register but
    `control`.
    """
    ones = 0xFFFFFFFF
    step = registers.step
    plain: dict[str, tuple[int, Value]] = {
        "program": (ones, registers.program),
        "program_length": (ones, registers.program_length),
        "window_base_low": (ones ^ 0xFFF, registers.window_base[:32]),
        "window_base_high": ((1 << config.address_bits - 32) - 1, registers.window_base[32:]),
        "window_beats": (ones, registers.window_beats),
        "watchdog": (ones, registers.watchdog),
        "rows": (0xFFFF, step.rows),
        "sequences": (0xFF, step.sequences),
        "outputs": (0xF, step.outputs),
        "head_all": (1, step.head_all),
    }
    for index in range(config.sequences):
        for name, bits, _ in SEQUENCE_FIELDS:
            plain[f"sequence{index}_{name}"] = ((1 << bits) - 1, step.entries[index][name])
    return plain


def _constants(config: AcceleratorConfig) -> dict[str, int]:
    digest = bytes.fromhex(contract_hash(config))
    words = [int.from_bytes(digest[4 * index : 4 * index + 4], "little") for index in range(8)]
    return {
        "magic": MAGIC,
        "version": VERSION,
        **{f"contract_hash{index}": word for index, word in enumerate(words)},
        **{f"config_{name}": value for name, value in register_values(config).items()},
    }


class _Held:
    """Own copies of the interrupt enable, of done and of the first error."""

    def __init__(self, bench: Bench, registers: Any) -> None:
        self._registers = registers
        self.enable, self.done, self.failed = Signal(), Signal(), Signal()
        fault = registers.i_error
        self.error = Signal.like(Value.cast(fault.payload))
        m = bench.m
        with m.If(registers.start | registers.acknowledge):
            m.d.sync += [self.done.eq(0), self.failed.eq(0), self.error.eq(0)]
        with m.Elif(~self.failed):
            with m.If(fault.valid):
                m.d.sync += [self.failed.eq(1), self.error.eq(fault.payload)]
            with m.Elif(registers.done_set):
                m.d.sync += self.done.eq(1)

    def interrupt(self) -> Value:
        """A program has ended, and the next doorbell may follow or the memory does not answer."""
        registers = self._registers
        ready = ~(registers.busy | registers.start) | registers.stuck
        return self.enable & (self.done | self.failed) & ready

    def values(self) -> dict[str, Value]:
        registers = self._registers
        error = registers.i_error.payload.shape()(self.error)
        busy = Value.cast(registers.busy | registers.start)
        return {
            "control": self.enable << 2,
            "status": Cat(busy, self.done, self.failed, self.interrupt(), registers.stuck),
            "error_code": error.code,
            "error_command": error.command,
            "error_address_low": error.address[:32],
            "error_address_high": error.address[32:],
            "error_port": error.port,
            "command_index": registers.command_index,
        }


def _counters(bench: Bench, registers: Any, probe: Probe) -> dict[str, Value]:
    """Counters written down once more; the increment of a cycle is added in the next."""
    values: dict[str, Value] = {}
    for name, increment in members(registers.i_counters).items():
        late, count = Signal(8, name=f"late_{name}"), Signal(64, name=f"copy_{name}")
        bench.m.d.sync += [late.eq(increment), count.eq(count + late)]
        with bench.m.If(registers.start):
            bench.m.d.sync += [late.eq(0), count.eq(0)]
        same = (late == probe[f"added_{name}"]) & (count == probe[f"count_{name}"])
        bench.check(f"inv_{name}", same)
        values[f"{name}_low"], values[f"{name}_high"] = count[:32], count[32:]
    return values


class _Told:
    """Own copy of the first refused access. A rule is kept the cycle after it was broken."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.rules, self.offset = Signal(len(Refusal)), Signal(12)
        self._broken, self._place = Signal(len(Refusal)), Signal(12)
        self._lost, self._read_place = Signal(), Signal(12)

    def values(self) -> dict[str, Value]:
        return {"refused": self.rules, "refused_offset": self.offset}

    def follow(
        self,
        *,
        read: tuple[Value, Value],
        write: tuple[Value, Value],
        rules: dict[Refusal, Value],
        clear: Value,
    ) -> None:
        """A refused read and a write, each with its address; of `rules` the first that is broken
        counts.
        """
        m = self._bench.m
        m.d.sync += [self._broken.eq(0), self._lost.eq(read[0])]
        m.d.sync += [self._place.eq(write[1]), self._read_place.eq(read[1])]
        for rule in reversed(Refusal):
            if rule in rules:
                with m.If(write[0] & rules[rule]):
                    m.d.sync += self._broken.eq(rule)
        with m.If(self.rules != 0):
            m.d.sync += self.rules.eq(self.rules & ~clear)
        with m.Elif(self._broken != 0):
            m.d.sync += [self.rules.eq(self._broken), self.offset.eq(self._place)]
        with m.Elif(self._lost):
            m.d.sync += [self.rules.eq(Refusal.NO_REGISTER), self.offset.eq(self._read_place)]
        for rule in Refusal:
            self._bench.cover(f"told_{rule.name}", self.rules == rule)

    def check(self, probe: Probe) -> None:
        """The register file holds the same, for the induction."""
        same = (self.rules == probe["refusals.rules"]) & (self.offset == probe["refusals.offset"])
        late = (self._broken == probe["refusals.broken"]) & (self._lost == probe["refusals.lost"])
        self._bench.check("inv_refused", same & late)
        write_address = probe.every("address")[1]
        read_address = probe.every("address")[0]
        self._bench.check("inv_place", (self._broken == 0) | (self._place == write_address))
        self._bench.check("inv_lost", ~self._lost | (self._read_place == read_address))


def lite_bench(registers: Any) -> Bench:
    """LiteRegisters against the register map: one register of any address is followed by a copy of
    its own.
    """
    config, bus = registers.config, registers.bus
    bench = Bench("lite")
    probe = bench.add(registers)
    m = bench.m
    check_stable(bench, "r", bus, "data", "resp")
    check_stable(bench, "b", bus, "resp")
    offsets = {register.name: register.offset for register in register_map(config)}
    assert offsets["sequence1_tokens"] == sequence_offset(1, "tokens")
    plain = _plain(registers, config)
    held = _Held(bench, registers)
    told = _Told(bench)

    # Writes.
    where = bench.constant("where", 12)
    address, word, whole = Signal(12), Signal(32), Signal()
    has_address, has_word = Signal(), Signal()
    both = has_address & has_word
    with m.If(bus.awvalid & bus.awready):
        m.d.sync += [address.eq(bus.awaddr), has_address.eq(1)]
    with m.If(bus.wvalid & bus.wready):
        m.d.sync += [word.eq(bus.wdata), whole.eq(bus.wstrb.all()), has_word.eq(1)]
    with m.If(both):
        m.d.sync += [has_address.eq(0), has_word.eq(0)]
    bench.check("window_aligned", registers.window_base[:12] == 0)
    busy = registers.busy | registers.start
    control = address == offsets["control"]
    clears = address == offsets["refused"]
    known, mask = Signal(), Signal(32, init=0xF)
    with m.If(clears):
        m.d.comb += mask.eq(sum(Refusal))
    for name, (bits, _) in plain.items():
        with m.If(address == offsets[name]):
            m.d.comb += [known.eq(1), mask.eq(bits)]
    rows, sequences = registers.step.rows, registers.step.sequences
    startable = Signal()
    m.d.comb += startable.eq(
        (rows != 0)
        & (rows <= config.chunk_tokens)
        & (sequences != 0)
        & (sequences <= config.sequences)
    )
    has_bits = (word & ~mask) == 0
    allowed = Mux(control, ~(word[0] & (busy | ~startable)), clears | (known & ~busy))
    accepted = both & whole & has_bits & allowed
    broken = {
        Refusal.NOT_WRITABLE: ~(known | control | clears),
        Refusal.PARTIAL: ~whole,
        Refusal.BUSY: busy & ~clears & ~(control & ~word[0]),
        Refusal.BITS: ~has_bits,
        Refusal.STEP: control & word[0] & ~startable,
    }
    any_broken = Cat(*broken.values()).any()
    bench.check("refused_or_not", ~both | (accepted == ~any_broken))
    kept, changed, since = Signal(32), Signal(), Signal(32)
    reset_value = Mux(where == offsets["watchdog"], WATCHDOG_CYCLES, 0)
    m.d.comb += kept.eq(Mux(changed, since, reset_value))
    with m.If(accepted & (address == where) & ~control & ~clears):
        m.d.sync += [since.eq(word), changed.eq(1)]
    with m.If(accepted & control):
        m.d.sync += held.enable.eq(word[2])
    bench.check("response", bus.bvalid == (bench.past(both) | bench.past(bus.bvalid & ~bus.bready)))
    bench.check("okay", (bus.bresp == _OKAY) & (bus.rresp == _OKAY))
    for bit, pulse in ((0, registers.start), (1, registers.soft_reset), (3, registers.acknowledge)):
        bench.check(f"pulse{bit}", pulse == bench.past(accepted & control & word[bit]))
    for name, (_, output) in plain.items():
        bench.check(f"kept_{name}", (where != offsets[name]) | (output == kept))
    program = registers.program, registers.program_length, registers.watchdog
    window = registers.window_base, registers.window_beats
    for index, output in enumerate((Value.cast(registers.step), *window, *program)):
        bench.check(f"fixed{index}", ~bench.past(busy) | (output == bench.past(output)))

    bench.check("interrupt", registers.interrupt == held.interrupt())
    bench.check("one_write", ~(bus.awready & has_address) & ~(bus.wready & has_word))

    # Reads.
    wanted, asked = Signal(12), Signal()
    m.d.sync += asked.eq(bus.arvalid & bus.arready)
    with m.If(bus.arvalid & bus.arready):
        m.d.sync += wanted.eq(bus.araddr)
    values: dict[str, Any] = {
        **_constants(config),
        **{name: output for name, (_, output) in plain.items()},
        **_counters(bench, registers, probe),
        **held.values(),
        **told.values(),
    }
    expected, mapped = Signal(32), Signal()
    for name, offset in offsets.items():
        with m.If(wanted == offset):
            m.d.comb += [expected.eq(values.pop(name)), mapped.eq(1)]
    assert not values
    bench.check("answer", bus.rvalid == (bench.past(asked) | bench.past(bus.rvalid & ~bus.rready)))
    bench.check("read", ~bench.past(asked) | (bus.rdata == bench.past(expected)))
    told.follow(
        read=(asked & ~mapped, wanted),
        write=(both, address),
        rules=broken,
        clear=Mux(accepted & clears, word, 0),
    )
    bench.check("one_read", ~bus.arready | ~(asked | bus.rvalid))

    # The copies are what the registers hold, for the induction.
    read_address, write_address = probe.every("address")
    bench.check("inv_read", (probe["taken"] == asked) & (~asked | (read_address == wanted)))
    bench.check("inv_idle", ~asked | ~bus.rvalid)
    bench.check("inv_address", ~has_address | (write_address == address))
    bench.check(
        "inv_word", ~has_word | ((probe.every("word")[1] == word) & (probe["full"] == whole))
    )
    flags = Cat(probe["address_taken"], probe["word_taken"])
    bench.check("inv_flags", (flags == Cat(has_address, has_word)) & ~(bus.bvalid & flags.any()))
    error = Value.cast(probe["error"])
    bench.check("inv_error", (probe["failed"] == held.failed) & (error == held.error))
    bench.check("inv_done", (probe["done"] == held.done) & (probe["enable"] == held.enable))
    told.check(probe)
    bench.cover("written", bus.bvalid & bench.past(accepted))
    bench.cover("read", bus.rvalid & (wanted == where) & (kept != 0))
    bench.cover("cleared", (told.rules == 0) & (told.offset != 0))
    return bench
