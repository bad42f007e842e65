# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the whole accelerator: a model on the Verilog against the golden model.

Copy it, and change what you like. `make` in this folder runs it, `make cocotb` in the checkout too.
The design is what `meadow generate` wrote; beside it lies the manifest that MEADOW_MANIFEST names.
"""

from __future__ import annotations

import cocotb
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiResp

from cocotb_bench.coverage import Coverage
from cocotb_bench.design import design_config
from cocotb_bench.device import drive
from cocotb_bench.memory import CHANNELS
from cocotb_bench.small_models import models_for
from cocotb_bench.step_bench import StepBench
from firmware.device import RegisterError
from meadow.spec.commands import Command, Opcode
from meadow.spec.registers import ErrorCode, Status

CONFIG = design_config()
MODELS = models_for(CONFIG)
CAUSAL = [name for name in MODELS if name in ("opt", "llama", "qwen2")]
TIMEOUT = {"timeout_time": 4, "timeout_unit": "ms"}
"""A million cycles."""


async def start(dut, model: str, sequences: int = 1) -> StepBench:
    """A model on the chip, with weights and tokens of the run's seed; coverage is kept."""
    bench = await StepBench.start(
        dut, model, sequences=sequences, seed=cocotb.RANDOM_SEED % (1 << 31)
    )
    bench.device.observer = Coverage(bench.device)
    return bench


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(model=MODELS, rests=[0.0, 0.3])
async def prefill_and_decode(dut, model: str, rests: float) -> None:
    """A prompt, then token by token; with `rests` every channel of every interface rests."""
    bench = await start(dut, model)
    bench.device.pause(cocotb.RANDOM_SEED, rests, longest=9)
    if model in CAUSAL:
        for count in (7, 1, 1, CONFIG.lanes + 1):
            await bench.step({0: count})
        await bench.step({0: 3}, head_all=False)
    else:  # all tokens at once, and no more
        await bench.step({0: 9})


@cocotb.test(**TIMEOUT)
async def two_sequences(dut) -> None:
    """Sequences of different length in one step, one after the other, and one that starts anew."""
    if CONFIG.sequences < 2:
        return
    bench = await start(dut, CAUSAL[-1], sequences=2)
    bench.device.pause(cocotb.RANDOM_SEED, 0.1)
    for new in ({0: 5, 1: 2}, {0: 1, 1: 1}, {1: 4}, {1: 1, 0: 2}):
        await bench.step(new, head_all=False)
    await bench.rewind(1)
    await bench.step({0: 1, 1: 3})


@cocotb.test(**TIMEOUT)
async def several_key_blocks(dut) -> None:
    """A context that is longer than some key blocks of W tokens, and a full chunk."""
    bench = await start(dut, "opt")
    chunk = min(CONFIG.chunk_tokens, bench.image.manifest.chunk_tokens, 40)
    await bench.step({0: chunk}, head_all=False)
    await bench.step({0: 1})
    while left := 60 - bench.session.positions[0]:
        await bench.step({0: min(chunk, left)}, head_all=False)


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(answer=[AxiResp.SLVERR, AxiResp.DECERR])
async def error_responses(dut, answer: AxiResp) -> None:
    """A read and a write that the memory refuses: the error names address and port."""
    bench = await start(dut, "opt")
    bus = bench.device.bus
    bus.answer = answer
    await bench.step({0: 3})
    weights = bench.field("layers.0.fc1.0", "offset0") + 1
    values = bench.image.manifest.kv_base(0) + bench.field("layers.0.v_store", "offset")
    for code, place, label in (
        (ErrorCode.READ_RESPONSE, weights, "layers.0.fc1.0"),
        (ErrorCode.WRITE_RESPONSE, values, "layers.0.v_store"),
    ):
        if label == "layers.0.v_store":  # the first row that is not there yet
            place += bench.session.positions[0] * bench.field(label, "segment_beats")
        address = bench.address(place)
        bus.refused.add(address)
        error = await bench.fails(code, label)
        assert error.address // 4096 == address // 4096, str(error)  # that of its burst
        await bench.recover()


@cocotb.test(**TIMEOUT)
async def broken_programs(dut) -> None:
    """A damaged command, weight or field each ends the program with its error and its command."""
    bench = await start(dut, CAUSAL[-1])
    await bench.step({0: 2})

    def weight() -> None:
        bench.device.memory[bench.field("layers.0.v", "offset0") * 16 + 40] ^= 4

    def check() -> None:
        bench.command("layers.0.o")[9] ^= 32

    for plant, code, label in (
        (weight, ErrorCode.STREAM, "layers.0.v"),
        (check, ErrorCode.COMMAND_CHECK, "layers.0.o"),
        (lambda: bench.patch("layers.0.o", tiles=0), ErrorCode.ILLEGAL_COMMAND, "layers.0.o"),
        (lambda: bench.patch("layers.0.k_store", offset=1 << 31), ErrorCode.WINDOW, ""),
        (
            lambda: bench.patch("layers.0.q", destination=CONFIG.activation_words - 1),
            ErrorCode.ACTIVATION,
            "layers.0.q",
        ),
    ):
        plant()
        await bench.fails(code, label)
        await bench.recover()


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(channel=CHANNELS)
async def silent_memory(dut, channel: str) -> None:
    """A channel falls silent: the watchdog ends the program; when it answers, all is well again."""
    bench = await start(dut, "opt")
    await bench.step({0: 1})
    await drive(bench.session.registers.set_watchdog, 500)
    bench.device.ports.silence(channel)
    await bench.fails(ErrorCode.WATCHDOG)
    bench.device.ports.silence(channel, False)
    await drive(bench.session.registers.reset)
    await bench.recover()


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(soft=[False, True])
async def reset_in_mid_program(dut, soft: bool) -> None:
    """At any time, with bursts under way: the next program is right."""
    bench = await start(dut, CAUSAL[-1])
    bench.device.pause(cocotb.RANDOM_SEED, 0.2)
    for cycles in bench.random.integers(1, 1500, 8).tolist():
        await bench.begin(4, cycles)
        if soft:
            await drive(bench.session.registers.reset)
        else:
            await bench.device.reset()
        await bench.recover()


@cocotb.test(**TIMEOUT)
async def registers_of_a_busy_device(dut) -> None:
    """Nothing but `control` takes a write while a program runs, and the interrupt tells its end."""
    bench = await start(dut, "opt")
    registers = bench.session.registers
    await bench.begin(5, 50)
    assert await drive(registers.read, "status") == Status.BUSY and not int(dut.irq.value)
    try:
        await drive(registers.write, "rows", 1)
    except RegisterError as error:
        assert "busy" in str(error)
    else:
        raise AssertionError("a busy device took a step")
    await drive(bench.device.wait)
    assert await drive(registers.read, "status") == Status.DONE | Status.INTERRUPT
    await drive(registers.reset)
    await ClockCycles(dut.clk, 2)
    assert not int(dut.irq.value)
    await drive(bench.session.run_commands, [Command(Opcode.FENCE), Command(Opcode.END)])
    await bench.recover()
