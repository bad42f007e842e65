# SPDX-License-Identifier: Apache-2.0
"""An entry of the cache is believed only if nobody else can have written it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cosim.cache import CacheError, cache_directory, obtain
from hw_tests.cosim.cache_builds import refuse, write


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077, 0o027])
def test_modes_follow_the_umask_and_nobody_else_can_write(tmp_path: Path, umask: int) -> None:
    def build(scratch: Path) -> None:
        write(scratch)
        (scratch / "folder").mkdir()
        (scratch / "folder" / "program").write_text("#!")
        (scratch / "folder" / "program").chmod(0o777 & ~umask)

    previous = os.umask(umask)
    try:
        entry = obtain(tmp_path / "new" / "thing", build)
    finally:
        os.umask(previous)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (entry.parent, *entry.rglob("*"))}
    folder, file = 0o755 & ~umask, 0o644 & ~umask
    assert modes == {
        **{"new": folder, "folder": folder, "program": folder},
        **{"file": file, "entry.json": file},
    }
    assert entry.stat().st_mode & 0o777 == folder
    assert obtain(entry, refuse) == entry


@pytest.mark.parametrize("place", ["thing", "thing/file", "thing/entry.json"])
def test_an_entry_that_others_can_write_is_not_believed(tmp_path: Path, place: str) -> None:
    said: list[str] = []
    entry = obtain(tmp_path / "thing", write)
    (tmp_path / place).chmod(0o777)
    obtain(entry, write, log=said.append)
    assert len(said) == 1 and f"everybody can write {tmp_path / place} (chmod go-w it)" in said[0]
    assert not (tmp_path / place).stat().st_mode & 0o022


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("place", ["thing", "thing/file"])
def test_an_entry_of_somebody_else_is_not_believed(tmp_path: Path, place: str) -> None:
    said: list[str] = []
    entry = obtain(tmp_path / "thing", write)
    os.chown(tmp_path / place, 4321, 4321)
    obtain(entry, write, log=said.append)
    assert len(said) == 1 and f"{tmp_path / place} belongs to user 4321, not to user" in said[0]
    assert (tmp_path / place).stat().st_uid == 0


@pytest.mark.parametrize("place", [".", "verilog"])
def test_a_cache_that_others_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("MEADOW_CACHE", str(tmp_path))
    obtain(cache_directory() / "verilog" / "thing", write)
    (tmp_path / place).chmod(0o777)
    with pytest.raises(CacheError, match="everybody can write .* set MEADOW_CACHE to a folder"):
        obtain(cache_directory() / "verilog" / "thing", refuse)
    (tmp_path / place).chmod(0o1777)  # as /tmp is
    assert obtain(cache_directory() / "verilog" / "thing", refuse).is_dir()
