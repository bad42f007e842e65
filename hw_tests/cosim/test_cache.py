# SPDX-License-Identifier: Apache-2.0
"""Things are built once, by one process, wholly or not at all."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from cosim.cache import cache_directory, content_hash, obtain


def test_a_thing_is_built_once_by_several_workers(tmp_path: Path) -> None:
    builds = []

    def build(scratch: Path) -> None:
        builds.append(scratch)
        time.sleep(0.1)
        (scratch / "file").write_text("done")

    def worker() -> None:
        assert (obtain(tmp_path / "thing", build) / "file").read_text() == "done"

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(scratch: Path) -> None:
        (scratch / "half").write_text("x")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        obtain(tmp_path / "thing", build)
    assert [path.name for path in tmp_path.iterdir()] == ["thing.lock"]


def test_the_hash_keeps_parts_apart() -> None:
    assert content_hash("ab", "c") != content_hash("a", "bc")
    assert content_hash("a", b"b") == content_hash(b"a", "b")


def test_the_directory_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEADOW_CACHE", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.delenv("MEADOW_CACHE")
    assert cache_directory().name == "build"
