# SPDX-License-Identifier: Apache-2.0
"""After an error the whole chip says what happened, publishes nothing, and runs the next program
correctly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from firmware.device import DeviceError, RegisterError
from hw_tests.cosim.chip_bench import TOKENS, Bench, bench
from hw_tests.seeds import salted
from meadow.spec.commands import Command, Opcode, Outputs, Unit
from meadow.spec.config import BEAT_BYTES, named_config
from meadow.spec.epilogue import MatmulOutput
from meadow.spec.ranges import field_ranges
from meadow.spec.registers import ErrorCode
from rtl_gen.dma.bursts import max_burst_beats

pytestmark = pytest.mark.sim

Plant = Callable[[Bench], None]


def weight(run: Bench) -> None:
    run.device.memory[run.field("layers.0.fc1.0", "offset0") * BEAT_BYTES + 700] ^= 4


def preamble(run: Bench) -> None:
    run.device.memory[run.field("layers.1.v", "offset0") * BEAT_BYTES] = 77


def opcode(run: Bench) -> None:
    run.command_bytes("layers.0.o")[0] = 200
    run.seal("layers.0.o")


def damaged(run: Bench) -> None:
    run.command_bytes("layers.1.q")[9] ^= 32


def no_tiles(run: Bench) -> None:
    run.change("layers.1.fc2.0", tiles=0)


def far_store(run: Bench) -> None:
    run.change("layers.1.k_store", offset=1 << 31)


def far_stream(run: Bench) -> None:
    port = run.session.config.ports - 1
    run.change("layers.0.fc2.0", **{f"offset{port}": (1 << 32) - 1})


def far_words(run: Bench) -> None:
    run.change("layers.1.q", destination=run.session.config.activation_words - 1)


def read_response(run: Bench) -> None:
    address = run.address(run.field("layers.0.fc2.0", "offset0") + 16)
    run.device.simulation.configure(error_address=address, error_writes=False)


def write_response(run: Bench) -> None:
    address = run.address(run.session.manifest.kv_base(0) + run.field("layers.1.v_store", "offset"))
    run.device.simulation.configure(error_address=address, error_reads=False)


FAULTS: list[tuple[Plant, ErrorCode, str]] = [
    (weight, ErrorCode.STREAM, "layers.0.fc1.0"),
    (preamble, ErrorCode.STREAM, "layers.1.v"),
    (opcode, ErrorCode.ILLEGAL_COMMAND, "layers.0.o"),
    (no_tiles, ErrorCode.ILLEGAL_COMMAND, "layers.1.fc2.0"),
    (damaged, ErrorCode.COMMAND_CHECK, "layers.1.q"),
    (far_store, ErrorCode.WINDOW, "layers.1.k_store"),
    (far_stream, ErrorCode.WINDOW, "layers.0.fc2.0"),
    (far_words, ErrorCode.ACTIVATION, "layers.1.q"),
    (read_response, ErrorCode.READ_RESPONSE, "layers.0.fc2.0"),
    (write_response, ErrorCode.WRITE_RESPONSE, "layers.1.v_store"),
]


def place(run: Bench, plant: Plant) -> tuple[int, int] | None:
    """Address and port of an access that must be named."""
    config = run.session.config
    if plant is far_store:
        beats = run.session.manifest.kv_base(0) + (1 << 31)
        return run.address(beats), 0
    if plant is far_stream:
        return run.address((1 << 32) - 1), config.ports - 1
    if plant is read_response:
        burst = max_burst_beats(config)
        return run.address(run.field("layers.0.fc2.0", "offset0") + 16 // burst * burst), 0
    if plant is write_response:
        offset = run.field("layers.1.v_store", "offset")
        return run.address(run.session.manifest.kv_base(0) + offset), 0
    return None


@pytest.mark.parametrize("config", ["tiny", "small"])
@pytest.mark.parametrize("stalls", [0, 80])
@pytest.mark.parametrize(
    ("plant", "code", "label"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS]
)
def test_an_error_is_named_and_the_next_program_runs(
    config: str, stalls: int, plant: Plant, code: ErrorCode, label: str
) -> None:
    with bench(config, stalls=stalls, seed=salted(11)) as run:
        plant(run)
        error = run.fails(code, label)
        expected = place(run, plant)
        if expected is not None:
            assert (error.address, error.port) == expected, str(error)
        run.check_recovery()


def test_every_field_out_of_its_range_is_refused() -> None:
    """The least and the largest value of each field that may not take all of its bits, and those
    beyond them.
    """
    with bench("tiny") as run:
        config, tried = run.session.config, 0
        seen: set[Opcode] = set()
        for index, label in enumerate(run.image.manifest.labels):
            command = run.image.command(index)
            if command.opcode in seen:
                continue
            seen.add(command.opcode)
            for name, (least, most) in field_ranges(config, command.opcode).items():
                for value in (least - 1, most + 1):
                    try:
                        run.change(label, **{name: value})
                    except ValueError:
                        continue  # the bits of the field cannot say so
                    tried += 1
                    run.fails(ErrorCode.ILLEGAL_COMMAND, label)
                    run.command_bytes(label)[:] = np.frombuffer(command.encode(), np.uint8)
        assert tried > 20 and len(seen) >= 7
        run.check_recovery()


def test_every_flipped_bit_of_a_command_is_found() -> None:
    random = np.random.default_rng(salted(6))
    with bench("tiny") as run:
        for label in ("embed", "layers.0.k_store", "layers.1.attend.0", "head.0", "end"):
            for bit in random.choice(512, 6, replace=False):
                run.command_bytes(label)[bit // 8] ^= 1 << bit % 8
                run.fails(ErrorCode.COMMAND_CHECK, label)
                run.command_bytes(label)[bit // 8] ^= 1 << bit % 8
        run.check_recovery()


@pytest.mark.parametrize("code", [ErrorCode.COMMAND_CHECK, ErrorCode.ILLEGAL_COMMAND])
def test_a_command_is_checked_though_its_condition_is_not_met(code: ErrorCode) -> None:
    with bench("tiny") as run:
        if code == ErrorCode.COMMAND_CHECK:
            run.command_bytes("argmax")[5] ^= 1
        else:
            run.change("argmax", function=3)
        with pytest.raises(DeviceError) as caught:
            run.session.step({0: TOKENS}, outputs=Outputs.LOGITS)
        assert (caught.value.code, caught.value.label) == (code, "argmax")
        run.check_recovery()


@pytest.mark.parametrize("values", [{"rows": 0}, {"rows": 65}, {"sequences": 0}, {"sequences": 5}])
def test_a_start_with_a_step_that_does_not_fit_is_refused(values: dict[str, int]) -> None:
    with bench("tiny") as run:
        run.session.prepare({0: TOKENS})
        for name, value in values.items():
            run.session.registers.write(name, value)
        with pytest.raises(RegisterError, match=r"takes 1\.\.64 rows of 1\.\.4 sequences, not"):
            run.session.execute(0, run.image.manifest.commands)
        assert run.session.registers.read("status") == 0
        run.device.simulation.run(500)
        assert not len(run.device.simulation.take_bursts())
        run.check_recovery()


@pytest.mark.parametrize("config", ["tiny", "small"])
def test_every_way_beyond_the_activation_memory(config: str) -> None:
    with bench(config) as run:
        last = run.session.config.activation_words - 1
        for label, name in (
            ("embed", "destination"),
            ("layers.0.attention_norm", "source"),
            ("layers.0.attention_norm", "destination"),
            ("layers.0.k", "source"),
            ("layers.0.o", "source"),
            ("layers.0.o", "destination"),
            ("layers.1.fc1.0", "destination"),
            ("layers.1.v_store", "source"),
            ("layers.1.attend.1", "query"),
            ("final_norm", "source"),
            ("head.0", "destination"),
            ("argmax", "destination"),
            ("argmax_store", "source"),
        ):
            run.change(label, **{name: last})
            run.fails(ErrorCode.ACTIVATION, label)
            index = run.index(label)
            run.command_bytes(label)[:] = np.frombuffer(run.image.command(index).encode(), np.uint8)
        run.check_recovery()


def test_no_rows_move_nothing_wherever_they_are() -> None:
    far = dict(offset=(1 << 32) - 1, rows=0)
    with bench("tiny") as run:
        run.step()
        run.session.rewind()
        run.session.run_commands(
            [
                Command(Opcode.LOAD, far | dict(row_beats=1)),
                Command(Opcode.STORE, far | dict(segments=1, segment_beats=1)),
                Command(Opcode.END),
            ]
        )
        counters = run.session.registers.counters()
        assert counters["bytes_commands"] > 0
        assert not any(
            size for name, size in counters.items() if "bytes" in name and "commands" not in name
        )
        run.check_recovery()


def product_fields(run: Bench) -> dict[str, int]:
    """Stream and sizes of a MATMUL of the model."""
    label = "layers.0.k"
    names = ["tiles", "slices", "row_set", "source", "source_stride", "destination_stride"]
    names += [
        f"{what}{port}" for port in range(run.session.config.ports) for what in ("offset", "beats")
    ]
    return {name: run.field(label, name) for name in names}


@pytest.mark.parametrize("config", ["tiny", "small"])
@pytest.mark.parametrize("name", ["source", "destination"])
def test_of_several_products_under_way_the_culprit_is_named(config: str, name: str) -> None:
    """The array reads for one while results of another are written and more have been handed over.
    Of the one that is wrong only the last word of a slice, or of all results, is outside."""
    with bench(config, stalls=40, seed=salted(5)) as run:
        product = product_fields(run) | dict(destination=run.field("layers.0.k", "destination"))
        words = "tiles" if name == "source" else "slices"
        ahead = (len(TOKENS) - 1) * product[f"{name}_stride"] + product[words] - 1
        first = run.session.config.activation_words - ahead
        run.step()
        run.session.rewind()
        for bad in range(4):
            commands = [
                Command(
                    Opcode.MATMUL, product | ({name: first} if index == bad else {}), wait=Unit(0)
                )
                for index in range(4)
            ]
            with pytest.raises(DeviceError) as caught:
                run.session.run_commands([*commands, Command(Opcode.END)])
            assert (caught.value.code, caught.value.command) == (ErrorCode.ACTIVATION, bad)
            run.check_bursts()
        run.check_recovery()


@pytest.mark.parametrize("config", ["tiny", "small"])
def test_commands_that_the_model_does_not_use(config: str) -> None:
    last = named_config(config).activation_words - 1
    scores = dict(blocks=1, segment_beats=1, score_shift=9, heads=1, part=1, scores_stride=64)
    with bench(config) as run:
        product = product_fields(run)
        rotated = dict(output=MatmulOutput.ROTATE8, post_shift=9, operand=last, operand_stride=2)
        rotated |= dict(operand_words=2, source_stride=8, destination_stride=8)
        run.step()
        run.session.rewind()
        for command in (
            Command(Opcode.SOFTMAX, dict(source=last, rows=1, keys=4)),
            Command(Opcode.ATTEND, scores | dict(scores=last, query_stride=1)),
            Command(Opcode.MATMUL, product | rotated),
        ):
            program = [Command(Opcode.FENCE), command, Command(Opcode.END)]
            with pytest.raises(DeviceError) as caught:
                run.session.run_commands(program)
            assert (caught.value.code, caught.value.command) == (ErrorCode.ACTIVATION, 1)
            run.check_bursts()
        run.check_recovery()
