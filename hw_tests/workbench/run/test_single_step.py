# SPDX-License-Identifier: Apache-2.0
"""Single-stepping finds where a device first differs, and names the place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from firmware.golden_device import GoldenDevice
from firmware.session import Session
from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.model.image import Image
from meadow.spec.commands import Opcode
from meadow.spec.config import BEAT_BYTES, named_config
from meadow.spec.families import FAMILIES
from workbench.cli import app
from workbench.configurations.chosen import choose_config
from workbench.models.cached import CompileOptions, compile_directory
from workbench.run.single_step import single_step


@pytest.fixture(scope="module")
def image(checkpoint: Path) -> Image:
    return compile_directory(
        checkpoint, CompileOptions(chosen=choose_config("tiny")), lambda text: None
    ).image


class Broken(GoldenDevice):
    """Flips bits after the command with a label has run for the n-th time."""

    def __init__(self, image: Image, label: str, row: int, element: int, times: int = 1) -> None:
        super().__init__(image.manifest.config, Session.window_bytes(image))
        self.image, self.label, self.row, self.element = image, label, row, element
        self.left = times

    def wait(self, timeout_s: float | None = None) -> None:
        manifest = self.image.manifest
        index = manifest.labels.index(self.label)
        offset = manifest.regions["program"].offset + 4 * index
        if self._values["program"] != offset:
            return
        self.left -= 1
        if self.left == 0:
            self.hurt()

    def hurt(self) -> None:
        raise NotImplementedError


class BrokenWord(Broken):
    """`row` and `element` are a word and a byte of the activation memory."""

    def hurt(self) -> None:
        self.machine.activations[self.row, self.element] ^= 0x55


class BrokenExponent(Broken):
    """`row` is a word of the activation memory."""

    def hurt(self) -> None:
        self.machine.exponents[self.row] ^= 5


class BrokenByte(Broken):
    """`row` is a byte of the window."""

    def hurt(self) -> None:
        self.memory[self.row] ^= 1


def place(image: Image, label: str, row: int, element: int, size: int) -> tuple[int, int]:
    """Word and byte of an element that a command writes."""
    fields = image.command(image.manifest.labels.index(label)).values
    word, byte = divmod(element * size, image.manifest.config.width)
    return fields["destination"] + row * fields["destination_stride"] + word, byte


def test_equal_devices_are_equal(image: Image) -> None:
    device = GoldenDevice(image.manifest.config, Session.window_bytes(image))
    assert single_step(device, image) == (3 * image.manifest.commands, None)


@pytest.mark.parametrize(
    ("label", "row", "element", "size", "layer"),
    [
        ("layers.0.k", 3, 20, 1, 0),
        ("layers.1.fc2.0", 4, 31, 2, 1),
        ("layers.1.mlp_norm", 0, 0, 1, 1),
        ("embed", 2, 5, 2, None),
    ],
)
def test_the_first_difference_is_named(
    image: Image, label: str, row: int, element: int, size: int, layer: int | None
) -> None:
    word, byte = place(image, label, row, element, size)
    compared, found = single_step(BrokenWord(image, label, word, byte), image)
    assert found is not None
    assert (found.step, found.layer, found.label) == (0, layer, label)
    assert (found.token, found.element) == (row, element)
    assert compared == image.manifest.labels.index(label) == found.command
    assert found.device != found.golden
    named = "" if layer is None else f"layer {layer}, "
    expected = f"step 0, {named}command {found.command} ({label}), token {row}, element {element}: "
    assert str(found).startswith(expected)


@pytest.mark.parametrize("label", ["layers.0.attention_norm", "layers.1.fc1.0", "layers.0.q"])
def test_a_wrong_exponent_is_named(image: Image, label: str) -> None:
    """Of a word that a NORM or a MATMUL writes; 0 is an exponent too."""
    word, _ = place(image, label, 3, 16, 1)
    compared, found = single_step(BrokenExponent(image, label, word, 0), image)
    assert found is not None and found.where == "exponents"
    assert compared == image.manifest.labels.index(label) == found.command
    assert (found.token, found.element, found.address) == (3, 16, word)
    assert found.device == found.golden ^ 5
    text = f"token 3, element 16: {found.device}, golden {found.golden} (exponents, word {word:#x})"
    assert str(found).endswith(text)


def test_a_write_elsewhere_is_called_that(image: Image) -> None:
    _, found = single_step(BrokenWord(image, "layers.0.k", 0, 0), image)
    assert found is not None and found.token is None
    assert "outside of what the command writes" in str(found)


def test_a_later_step_is_counted(image: Image) -> None:
    word, byte = place(image, "layers.0.v", 0, 1, 1)
    _, found = single_step(BrokenWord(image, "layers.0.v", word, byte, times=3), image)
    assert found is not None and found.step == 2


def test_the_window_is_compared_too(image: Image) -> None:
    address = image.manifest.cache.start * BEAT_BYTES + 4000
    _, found = single_step(BrokenByte(image, "end", address, 0), image)
    assert found is not None
    assert (found.where, found.label, found.address) == ("dram", "KV cache", address)


def family_image(name: str, *, prefix: tuple[int, ...] = (), **options: object) -> Image:
    description = family_description(name, vocabulary=30)
    return compile_image(
        synthetic_model(description, seed=salted(4), prefix=prefix),
        named_config("tiny"),
        config_name="tiny",
        tokenizer_json="{}",
        **options,
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_stepped(name: str) -> None:
    """Models that are not causal have one step, the others two decode steps as well."""
    image = family_image(name)
    device = GoldenDevice(image.manifest.config, Session.window_bytes(image))
    steps = 3 if image.manifest.model.causal else 1
    assert single_step(device, image, tokens=20) == (steps * image.manifest.commands, None)


@pytest.mark.parametrize("options", [{}, {"dataflow": "gemm", "step": (2, 9)}])
def test_a_model_with_a_prefix_is_stepped_behind_it(options: dict[str, object]) -> None:
    """A byte of the prefix in the cache that differs is found."""
    image = family_image("llama", prefix=(3, 4), **options)
    device = GoldenDevice(image.manifest.config, Session.window_bytes(image))
    compared, found = single_step(device, image, tokens=9)
    assert compared == (1 if options else 3) * image.manifest.commands and found is None
    address = image.manifest.cache.start * BEAT_BYTES + 1
    _, found = single_step(BrokenByte(image, "end", address, 0), image, tokens=9)
    assert found is not None and (found.label, found.address) == ("KV cache", address)
    if not options:
        with pytest.raises(ValueError, match=r"the prefill chunk must have 1\.\.44 tokens, not 45"):
            single_step(device, image, tokens=45)


def test_the_normalised_residual_of_a_post_norm_is_named() -> None:
    image = family_image("bert")
    fields = image.command(image.manifest.labels.index("layers.1.mlp_norm")).values
    word = fields["source"] + 2 * fields["source_stride"] + 1
    _, found = single_step(BrokenWord(image, "layers.1.mlp_norm", word, 4), image, tokens=5)
    assert found is not None and (found.token, found.element) == (2, 10)
    assert -(1 << 15) <= found.device < 1 << 15


@pytest.mark.parametrize("name", ["llama", "vit"])
def test_the_baseline_is_stepped_at_its_own_step(name: str) -> None:
    """A wrong probability is named; other steps are refused."""
    position = 3 if name == "llama" else 0
    image = family_image(name, dataflow="gemm", step=(position, 21))
    device = GoldenDevice(image.manifest.config, Session.window_bytes(image))
    assert single_step(device, image) == (image.manifest.commands, None)
    with pytest.raises(ValueError, match="serves a step of 21 tokens only, not of 20"):
        single_step(device, image, tokens=20)
    commands = [image.command(index) for index in range(image.manifest.commands)]
    index = next(i for i, command in enumerate(commands) if command.opcode == Opcode.SOFTMAX)
    fields, label = commands[index].values, image.manifest.labels[index]
    word = fields["source"] + fields["source_stride"] + 1
    _, found = single_step(BrokenWord(image, label, word, 2), image)
    assert found is not None and (found.label, found.token, found.element) == (label, 1, 9)


def test_a_chunk_too_large_is_refused(image: Image) -> None:
    device = GoldenDevice(image.manifest.config, Session.window_bytes(image))
    for tokens in (0, -1, 1000, 10**20):
        with pytest.raises(
            ValueError, match=rf"the prefill chunk must have 1..\d+ tokens, not {tokens}"
        ):
            single_step(device, image, tokens=tokens)


def test_a_context_too_small_to_step_is_named(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "image"
    made = CliRunner().invoke(app, ["compile", str(checkpoint), "-o", str(path), "--context", "2"])
    assert made.exit_code == 0, made.output
    result = CliRunner().invoke(app, ["verify", str(path), "--device", "golden"])
    assert result.exit_code == 2
    assert "single-stepping needs a context of at least 3 tokens, not 2" in result.stderr


def test_verify_reports_json(checkpoint: Path) -> None:
    arguments = ["verify", str(checkpoint), "--device", "golden", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["matches_golden"] is True and values["difference"] is None
    assert values["commands_compared"] > 0


@pytest.mark.sim
@pytest.mark.slow
@pytest.mark.parametrize("config", ["tiny", "small"])
@pytest.mark.parametrize("stalls", ["0", "0.3"])
def test_the_simulated_device_equals_golden_after_every_command(
    checkpoint: Path, config: str, stalls: str
) -> None:
    arguments = ["verify", str(checkpoint), "--device", "sim", "--config", config, "--json"]
    result = CliRunner().invoke(app, [*arguments, "--stalls", stalls])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["matches_golden"] is True


def test_the_dump_leaves_the_memory_alone(image: Image) -> None:
    device = GoldenDevice(image.manifest.config, Session.window_bytes(image))
    device.machine.activations[:] = np.random.default_rng(salted(0)).integers(
        0, 256, device.machine.activations.shape
    )
    device.machine.exponents[:] = np.arange(len(device.machine.exponents)) % 8
    kept, exponents = device.machine.activations.copy(), device.machine.exponents.copy()
    session = Session(device, image)
    session.prepare({0: [3]})
    words, exponents_seen = session.dump_activations()
    assert np.array_equal(words, kept) and np.array_equal(exponents_seen, exponents)
    assert np.array_equal(device.machine.activations, kept)
    assert np.array_equal(device.machine.exponents, exponents)
