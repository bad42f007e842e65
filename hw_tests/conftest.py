# SPDX-License-Identifier: Apache-2.0
"""Settings of the whole test run, and the option `--seed`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import Any

import pytest

from cosim.cache import lend_tools_a_cache
from hw_tests.marks import LARGE_CONFIGURATIONS
from hw_tests.seeds import VARIABLE, chosen_seed

# Two BLAS threads on two busy cores wait for each other: a prefill of the golden model took 50
# times as long.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

lend_tools_a_cache()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--seed N`."""
    parser.addoption(
        "--seed",
        type=_seed,
        default=0,
        metavar="N",
        help="draw everything that tests draw anew; 0, the default, gives each test its own fixed "
        "draws",
    )


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"--seed must be a whole number of at least 0, not {text!r}"
        )
    return int(text)


@pytest.hookimpl(tryfirst=True)  # before Hypothesis looks at its own option
def pytest_configure(config: pytest.Config) -> None:
    """Before anything is collected, as modules draw too, and for processes that tests start."""
    seed = config.option.seed
    os.environ[VARIABLE] = str(seed)
    if seed and config.getoption("--hypothesis-seed", None) is None:
        config.option.hypothesis_seed = str(seed)
        # Where the variable CI is set, Hypothesis has a profile that takes no seed.
        if config.getoption("--hypothesis-profile", None) is None:
            config.option.hypothesis_profile = "default"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A simulation of a larger configuration is slow, see hw_tests.marks."""
    for item in items:
        values = getattr(getattr(item, "callspec", None), "params", {}).values()
        if item.get_closest_marker("sim") and any(
            value in LARGE_CONFIGURATIONS for value in values if isinstance(value, str)
        ):
            item.add_marker(pytest.mark.slow)


def pytest_report_header() -> str:
    """The seed, above all tests."""
    return _told()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The seed once more below failures, which also `-q` shows."""
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(_told())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    """The report of a test that failed says how to repeat it."""
    report = yield
    if report.failed:
        report.sections.append(
            ("seed", f'repeat with: pytest "{report.nodeid}" --seed {chosen_seed()}')
        )
    return report


def _told() -> str:
    seed = chosen_seed()
    return f"seed: {seed}" + (" (each test's own draws; --seed N draws others)" if not seed else "")
