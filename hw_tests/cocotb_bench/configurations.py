# SPDX-License-Identifier: Apache-2.0
"""Configurations that nobody has named, drawn by a seed: does the whole-chip bench pass on each?

`make cocotb-configurations SEED=n`. Each is written as a TOML file, from which `meadow generate`
makes the design that is linted and simulated, in a folder elsewhere.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cosim.verilator_build import lint
from hw_tests.cocotb_bench.suites import Design, covered_chip
from hw_tests.seeds import salted
from meadow.spec.config import ACTIVATION_RAMS, AcceleratorConfig
from meadow.spec.streams import CODEC_NAMES
from workbench.configurations.chosen import ChosenConfig
from workbench.configurations.toml_text import config_toml

__all__ = ["COUNT", "MOST_MACS", "drawn_configurations", "generated_from_file"]

COUNT = 5
MOST_MACS = 128
"""Multiply-accumulates per cycle of a chip that is simulated in a minute."""
_SIZES = tuple((width, rows) for width in (16, 32) for rows in (2, 4))
_CODECS = tuple(
    ("raw", *others)
    for others in ((), ("rice",), ("dictionary",), tuple(n for n in CODEC_NAMES if n != "raw"))
)
_BENCH_CHANNELS = 64
"""Padded width of the widest of the bench's models."""
_BENCH_CONTEXT = 64
_BENCH_CHUNK = 9
"""Tokens that the bench's models of an encoder take at once."""


def drawn_configurations(seed: int) -> list[AcceleratorConfig]:
    """COUNT of them; every width, number of rows and set of codecs is among them.

    They are large enough for the models of the bench, and everything else of them is drawn.
    """
    draw = random.Random(salted(f"configurations {seed}"))
    sizes, codecs = list(_SIZES), list(_CODECS)
    draw.shuffle(sizes)
    draw.shuffle(codecs)
    return [_drawn(draw, *sizes[i % len(sizes)], codecs[i % len(codecs)]) for i in range(COUNT)]


def _drawn(
    draw: random.Random, width: int, rows: int, codecs: tuple[str, ...]
) -> AcceleratorConfig:
    def power(least: int, most: int) -> int:
        return 1 << draw.randint(least.bit_length() - 1, most.bit_length() - 1)

    lanes = draw.randint(1, min(width // (2 * rows), MOST_MACS // (width * rows)))
    lanes = 1 << lanes.bit_length() - 1
    least_groups = -(-_BENCH_CHUNK // lanes)
    return AcceleratorConfig(
        width=width,
        lanes=lanes,
        rows=rows,
        groups=draw.randint(least_groups, least_groups + 24),
        ports=power(1, min(4, width // rows)),
        activation_words=256 * draw.randint(8, 40),
        max_context=width * draw.randint(_BENCH_CONTEXT // width, 512 // width),
        probability_bits=draw.randint(4, 12),
        sequences=draw.randint(1, 6),
        max_head_dim=power(16, 128),
        norm_channels=width * draw.randint(_BENCH_CHANNELS // width, 512 // width),
        decoder_elements=power(16, width),
        dictionary_entries=power(256, 1024),
        prefetch_beats=power(32, 256),
        outstanding=draw.randint(1, 16),
        address_bits=draw.randint(32, 48),
        codecs=codecs,
        baseline=draw.random() < 0.5,
        norm_lanes=power(1, width // 2),
        activation_ram=draw.choice(ACTIVATION_RAMS),
    )


def generated_from_file(config: AcceleratorConfig, folder: Path) -> Design:
    """What `meadow generate --config FILE.toml` makes of it, called in `folder`."""
    chosen = ChosenConfig(name="drawn", config=config, base=None, arguments="")
    (folder / "drawn.toml").write_text(config_toml(chosen), "utf-8")
    command = [sys.executable, "-m", "workbench.cli", "generate"]
    command += ["--config", "drawn.toml", "--out", "generated"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return Design(folder / "generated" / "meadow.v", folder / "generated" / "manifest.json")


def try_configuration(config: AcceleratorConfig, folder: Path, *, seed: int) -> int:
    """Number of the tests of the whole-chip bench that passed; AssertionError if the configuration
    cannot be generated, has a message of lint, fails a test or leaves a hole in the coverage that
    its parts do not explain.
    """
    design = generated_from_file(config, folder)
    assert design.config == config, "the manifest tells of another configuration"
    messages = lint(design.verilog.read_text("utf-8"), top=design.top)
    assert messages == [], messages
    return covered_chip(design, folder, seed=seed)


def _tried(seed: int, log: Callable[[str], None]) -> list[str]:
    """What went wrong, of all of them."""
    failures = []
    for number, config in enumerate(drawn_configurations(seed), 1):
        words = ", ".join(f"{name}={value}" for name, value in config.to_dict().items())
        log(f"configuration {number}: {words}")
        with tempfile.TemporaryDirectory() as folder:
            try:
                count = try_configuration(config, Path(folder), seed=seed)
            except AssertionError as error:
                failures.append(f"configuration {number}: {error}")
                log(failures[-1])
            else:
                log(f"configuration {number}: {count} tests passed")
    return failures


def main() -> int:
    """Exit code 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    failures = _tried(arguments.seed, lambda line: print(line, flush=True))
    print(f"seed {arguments.seed}: {COUNT - len(failures)} of {COUNT} configurations passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
