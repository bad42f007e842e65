# SPDX-License-Identifier: Apache-2.0
"""`meadow verify` against a chip with one wrong weight, one wrong multiplier, one wrong table
entry.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import workbench.run.verify
from cosim.device import CosimDevice
from cosim.generate import generated_verilog
from firmware.device import Device
from firmware.image import read_image
from firmware.session import Session
from meadow.compiler.image import write_image
from meadow.golden.streams.decode import stream_checksum
from meadow.model.image import Image
from meadow.spec.config import BEAT_BYTES, named_config
from meadow.spec.registers import Control, register_map
from meadow.spec.streams import HEADER_BYTES
from rtl_gen.lane.lane_chain import LANE_MODULE
from workbench.cli import app
from workbench.configurations.chosen import choose_config
from workbench.models.cached import CompileOptions, load_model

pytestmark = pytest.mark.sim

CONFIG = "tiny"
LABEL = "layers.1.fc1.0"
CHANNEL = 5
TABLE_ENTRY = 37

Fault = Callable[[np.ndarray], None]


class FaultyDevice(CosimDevice):
    """Changes the window once, when the driver has written the image and rings the doorbell."""

    def __init__(self, *args: object, fault: Fault, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._fault: Fault | None = fault
        offsets = {entry.name: entry.offset for entry in register_map(self.config)}
        self._control = offsets["control"]

    def write(self, offset: int, value: int) -> None:
        if self._fault is not None and offset == self._control and value & Control.START:
            self._fault(self.memory)
            self._fault = None
        super().write(offset, value)


def stream_of(image: Image, label: str) -> slice:
    """Bytes of the (only) port's weight stream of a MATMUL."""
    values = image.command(image.manifest.labels.index(label)).values
    first = values["offset0"] * BEAT_BYTES
    return slice(first, first + values["beats0"] * BEAT_BYTES)


def sealed(stream: np.ndarray) -> None:
    """Make the checksum right again: the fault is in the value, not on the way."""
    checksum = stream_checksum(stream.tobytes())
    stream[12:16] = np.frombuffer(checksum.to_bytes(4, "little"), np.uint8)


def wrong_weight(image: Image) -> Fault:
    width = named_config(CONFIG).width

    def plant(memory: np.ndarray) -> None:
        stream = memory[stream_of(image, LABEL)]
        weights = stream[BEAT_BYTES + HEADER_BYTES * width :].view(np.int8)
        place = CHANNEL * width + 3
        weights[place] = -weights[place] if abs(int(weights[place])) > 20 else 90
        sealed(stream)

    return plant


def wrong_multiplier(image: Image) -> Fault:
    def plant(memory: np.ndarray) -> None:
        stream = memory[stream_of(image, LABEL)]
        start = BEAT_BYTES + HEADER_BYTES * CHANNEL + 4
        multiplier = stream[start : start + 2].view("<u2")
        multiplier[0] ^= 1 << 13
        sealed(stream)

    return plant


@pytest.fixture(scope="module")
def raw_image(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("raw") / "model.meadow"
    options = CompileOptions(chosen=choose_config(CONFIG), codec="raw")
    write_image(load_model(checkpoint, options, print).image, file)
    return file


def verify(
    monkeypatch: pytest.MonkeyPatch, file: Path, opened: Callable[..., Device]
) -> dict[str, object]:
    monkeypatch.setattr(workbench.run.verify, "open_device", opened)
    arguments = ["verify", str(file), "--config", CONFIG, "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output
    values = json.loads(result.stdout)
    assert values["matches_golden"] is False
    return values["difference"]


@pytest.mark.parametrize("make", [wrong_weight, wrong_multiplier])
def test_a_fault_in_the_stream_is_named(
    monkeypatch: pytest.MonkeyPatch, raw_image: Path, make: Callable[[Image], Fault]
) -> None:
    image = read_image(raw_image)

    def opened(name: str, config: object, size: int, *rest: object, **waves: object) -> Device:
        return FaultyDevice(config, Session.window_bytes(image), fault=make(image))

    found = verify(monkeypatch, raw_image, opened)
    assert (found["step"], found["layer"], found["label"]) == (0, 1, LABEL)
    assert found["element"] == CHANNEL
    assert found["token"] is not None and found["device"] != found["golden"]


@pytest.mark.slow  # builds a simulator of its own
def test_a_fault_in_the_exponent_table_is_named(
    monkeypatch: pytest.MonkeyPatch, raw_image: Path
) -> None:
    """One wrong entry of the table of every lane's first exponent unit: attention is the first to
    differ.
    """
    text = generated_verilog(named_config(CONFIG))
    entry = f"\\table [{TABLE_ENTRY}] = 17'h"
    # The vector unit has such tables too.
    place = text.index(entry, text.index(f"module \\{LANE_MODULE}.softmax.exponent")) + len(entry)
    changed = text[:place] + f"{int(text[place : place + 5], 16) ^ 0x4000:05x}" + text[place + 5 :]

    def opened(name: str, config: object, size: int, *rest: object, **waves: object) -> Device:
        return CosimDevice(config, size, verilog=changed)

    found = verify(monkeypatch, raw_image, opened)
    assert found["step"] == 0 and ".attend" in str(found["label"])
