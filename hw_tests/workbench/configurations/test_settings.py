# SPDX-License-Identifier: Apache-2.0
"""Parameters as a user writes them, and what is said of those that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from workbench.configurations.settings import (
    PARAMETERS,
    ConfigFile,
    built,
    read_config_file,
    read_settings,
)


def read(folder: Path, text: str | bytes) -> ConfigFile:
    path = folder / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_config_file(path)


@pytest.mark.parametrize(
    ("text", "base", "values"),
    [
        ("", None, {}),
        ("lanes = 1", None, {"lanes": 1}),
        ("base = 'tiny'\nlanes = 1", "tiny", {"lanes": 1}),
        ("[accelerator]\nbase = 'nano'\nbaseline = true", "nano", {"baseline": True}),
        ("base = 'small'\n[accelerator]\ncodecs = ['raw']", "small", {"codecs": ["raw"]}),
        (b"\xef\xbb\xbfwidth = 0x20\r\n", None, {"width": 32}),
    ],
)
def test_keys_stand_alone_or_in_the_table(
    text: str | bytes, base: str | None, values: dict[str, Any], tmp_path: Path
) -> None:
    assert read(tmp_path, text) == ConfigFile(base, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lanes = ", r"it is not TOML: Invalid value \(at .*"),
        ("lanes = 1\nlanes = 2", "it is not TOML: .*"),
        (b"\xff\xfe", "it is not TOML: .*utf-8.*"),
        ("lanes = " + 5000 * "1", "it is not TOML: .*digits.*"),
        ("lanes = " + 3000 * "[", "it is not TOML: .*"),
        ("#" * (1 << 17), "it must have at most 65536 bytes"),
        ("lans = 1", r"unknown parameter 'lans': lanes is meant\?"),
        ("[tables]\nx = 1", "unknown parameter 'tables': choose from width, lanes, rows, .*"),
        ("accelerator = 3", "accelerator must be a table, not 3"),
        ("lanes = 1\n[accelerator]\nrows = 2", r"lanes must stand in the table \[accelerator\].*"),
        ("base = 'tiny'\n[accelerator]\nbase = 'tiny'", "base must stand in the table .*, once"),
        ("base = 'huge'", "base must be one of tiny, small, .*, not 'huge'"),
        ("base = ['tiny']", r"base must be one of tiny, .*, not \['tiny'\]"),
    ],
)
def test_a_file_that_says_something_else_is_named(
    text: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"^configuration {tmp_path}/mine.toml: {message}$"):
        read(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for place, message in (
        (tmp_path / "none.toml", "No such file or directory"),
        (tmp_path, "it is a folder, not a file"),
        (tmp_path / f"{300 * 'x'}.toml", "File name too long"),
    ):
        with pytest.raises(ValueError, match=f"^configuration {place}: {message}$"):
            read_config_file(place)


def test_settings_are_read_as_toml_or_words() -> None:
    assert read_settings(["lanes=8", "rows = 0x4", "baseline=true", "codecs=raw, rice"]) == {
        "lanes": 8,
        "rows": 4,
        "baseline": True,
        "codecs": ["raw", "rice"],
    }
    for text in ("codecs=raw,rice", "codecs=['raw', 'rice']", 'codecs="raw,rice"'):
        assert read_settings([text]) == {"codecs": ["raw", "rice"]}
    for text in ("lanes=eight", "lanes=8\nrows=4", "lanes=[[["):
        assert read_settings([text]) == {"lanes": text.removeprefix("lanes=")}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["lanes"], "--set must be given KEY=VALUE, not 'lanes'"),
        (["=8"], "--set must be given KEY=VALUE, not '=8'"),
        (["lanes="], "--set must be given KEY=VALUE, not 'lanes='"),
        (["lane=8"], r"--set lane=8: unknown parameter 'lane': lanes is meant\?"),
        (["base=tiny"], "--set base=tiny: unknown parameter 'base': .*"),
        (["lanes=8", "lanes=4"], "--set lanes=4: lanes must be set once"),
    ],
)
def test_a_setting_that_is_none_is_named(settings: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        read_settings(settings)


def test_all_parameters_or_a_base() -> None:
    tiny = CONFIGURATIONS["tiny"]
    assert tuple(tiny.to_dict()) == PARAMETERS
    assert built(None, tiny.to_dict()) == built(tiny, {}) == tiny
    assert built(tiny, {"lanes": 1}).lanes == 1
    with pytest.raises(ValueError, match=r"^it must set rows, groups, .* too, or a base$"):
        built(None, {"width": 16, "lanes": 2})
    least = {name: value for name, value in tiny.to_dict().items() if name not in _WITH_DEFAULT}
    assert built(None, least) == AcceleratorConfig(**least)  # pyright: ignore[reportArgumentType]


_WITH_DEFAULT = (
    *("probability_bits", "prefetch_beats", "outstanding", "address_bits", "codecs"),
    *("baseline", "norm_lanes"),
)


def test_the_norm_follows_the_width_unless_it_is_set() -> None:
    whole, narrow = CONFIGURATIONS["zcu102"], CONFIGURATIONS["nano"]
    assert built(whole, {"width": 128}).norm_lanes == 64
    smaller = {"width": 32, "lanes": 8}
    assert built(whole, smaller).norm_lanes == 16
    assert built(whole, {**smaller, "norm_lanes": 4}).norm_lanes == 4
    assert built(narrow, {"width": 32}).norm_lanes == narrow.norm_lanes == 1
