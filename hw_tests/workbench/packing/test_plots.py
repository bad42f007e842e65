# SPDX-License-Identifier: Apache-2.0
"""Pictures of a report: SVG that says what the report says, the same bytes every time; messages
without matplotlib.
"""

from __future__ import annotations

import importlib.util
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_tests.seeds import salted
from workbench.packing.plots import PlotError, check_plotting, write_plots

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="needs the extra `plot`: matplotlib"
)


def report(parts: int = 3) -> dict[str, Any]:
    row = {"entropy": 5.11, "raw": 8.01, "dictionary": 6.52, "rice": 5.23, "auto": 5.23}
    codecs = ("rice", "dictionary", "raw")
    return {
        "source": "a <model> & $more^$",
        "config": "tiny",
        "grid": "w8-channel",
        "table": {"w8-tensor": None, "w8-channel": row, "w4-channel": row},
        "matrices": [
            {
                "name": f"layers.{n}.q",
                "codec": codecs[n % 3],
                "bits_per_weight": 5.0 + n,
                "entropy_bits": 4.5,
            }
            for n in range(parts)
        ],
    }


def counts() -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(salted(0)).normal(0, 20, 5000).round().astype(int)
    only_zero = np.zeros(255, np.int64)
    only_zero[127] = 9
    return {"w8-channel": np.bincount(drawn + 127, minlength=255), "w4-channel": only_zero}


def text(path: Path) -> str:
    return " ".join("".join(node.itertext()) for node in ElementTree.parse(path).iter())


@needs_matplotlib
def test_pictures_show_the_report(tmp_path: Path) -> None:
    paths = write_plots(report(), counts(), tmp_path)
    assert [path.name for path in paths] == ["bits.svg", "weights.svg", "matrices.svg"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    bits, weights, matrices = (text(path) for path in paths)
    for word in ("a <model> & $more^$", "8.01", "6.52", "5.23", "entropy", "w8-channel", "rice"):
        assert word in bits
    assert "w8-tensor" not in bits
    assert "w4-channel" in weights and "integer weight" in weights
    for word in ("layers.0.q", "layers.2.q", "rice", "dictionary", "raw", "entropy"):
        assert word in matrices


@needs_matplotlib
def test_the_same_report_gives_the_same_files(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths = write_plots(report(1), counts(), tmp_path / name)
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]


@needs_matplotlib
def test_the_directory_is_checked_and_not_made_before_the_work(tmp_path: Path) -> None:
    check_plotting(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "pictures" / "weights.svg").mkdir(parents=True)
    with pytest.raises(OSError, match="weights.svg"):
        check_plotting(tmp_path / "pictures")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        check_plotting(tmp_path / "file")


def test_without_matplotlib_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlotError, match="it is the extra `plot`"):
        check_plotting(tmp_path / "pictures")
    assert not (tmp_path / "pictures").exists()
