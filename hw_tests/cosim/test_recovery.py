# SPDX-License-Identifier: Apache-2.0
"""After an error the whole chip says what happened, publishes nothing, and runs the next program correctly."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.device import CosimDevice
from cosim.library import DramSettings
from firmware.device import DeviceError
from firmware.session import Session
from hw_tests.opt_models import opt_description
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.bit_true import BitTrueModel
from meadow.golden.image import Image
from meadow.spec.commands import COMMAND_BYTES, Command, Outputs
from meadow.spec.config import BEAT_BYTES, named_config
from meadow.spec.registers import ErrorCode

pytestmark = pytest.mark.sim

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]


def field(image: Image, label: str, name: str) -> int:
    start = image.manifest.regions["program"].offset * BEAT_BYTES
    start += image.manifest.labels.index(label) * COMMAND_BYTES
    return Command.decode(image.dram[start : start + COMMAND_BYTES].tobytes()).values[name]


@pytest.mark.parametrize("config", ["tiny", "small"])
@pytest.mark.parametrize("stalls", [0, 80])
@pytest.mark.parametrize(
    ("fault", "code", "label"),
    [
        ("weight", ErrorCode.STREAM, "layers.0.fc1.0"),
        ("preamble", ErrorCode.STREAM, "layers.1.v"),
        ("opcode", ErrorCode.ILLEGAL_COMMAND, "layers.0.o"),
        ("offset", ErrorCode.WINDOW, "layers.1.k_store"),
        ("bus", ErrorCode.READ_RESPONSE, "layers.0.fc2.0"),
    ],
)
def test_an_error_is_named_and_the_next_program_runs(
    config: str, stalls: int, fault: str, code: ErrorCode, label: str
) -> None:
    model = synthetic_model(
        opt_description(
            layers=2,
            width=64,
            heads=2,
            head_dim=32,
            hidden=96,
            vocabulary=60,
            max_positions=64,
        ),
        seed=4,
    )
    chosen = named_config(config)
    image = compile_image(model, chosen, config_name=config, codec="raw", tokenizer_json="{}")
    expected = BitTrueModel(model, chosen).forward(TOKENS)
    settings = DramSettings(stalls=stalls, seed=11)
    with CosimDevice(
        chosen, Session.window_bytes(image), settings=settings, timeout_cycles=2_000_000
    ) as device:
        session = Session(device, image)
        command = image.manifest.regions["program"].offset * BEAT_BYTES
        command += image.manifest.labels.index(label) * COMMAND_BYTES
        memory = device.memory
        if fault == "weight":
            memory[field(image, label, "offset0") * BEAT_BYTES + 700] ^= 4
        elif fault == "preamble":
            memory[field(image, label, "offset0") * BEAT_BYTES] = 77
        elif fault == "opcode":
            memory[command] = 200
        elif fault == "offset":
            wrong = Command.decode(memory[command : command + COMMAND_BYTES].tobytes())
            changed = Command(
                wrong.opcode, {**wrong.values, "offset": 1 << 31}, wrong.wait, flags=wrong.flags
            )
            memory[command : command + COMMAND_BYTES] = np.frombuffer(changed.encode(), np.uint8)
        else:
            address = device.memory_base + field(image, label, "offset0") * BEAT_BYTES + 256
            device.simulation.configure(error_address=address)
        before = memory.copy()
        with pytest.raises(DeviceError) as caught:
            session.step({0: TOKENS}, outputs=Outputs.LOGITS, head_all=True)
        assert caught.value.code == code
        assert session.positions == [0]
        logits = image.manifest.regions["logits"]
        area = slice(logits.offset * BEAT_BYTES, (logits.offset + logits.beats) * BEAT_BYTES)
        assert np.array_equal(memory[area], before[area])
        memory[: image.dram.size] = image.dram
        device.simulation.configure(error_address=None)
        result = session.step({0: TOKENS}, outputs=Outputs.LOGITS, head_all=True)
        assert np.array_equal(result.logits, expected)
