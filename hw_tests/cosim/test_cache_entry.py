# SPDX-License-Identifier: Apache-2.0
"""An entry of the cache is believed only if it is whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cosim.cache import obtain
from hw_tests.cosim.cache_builds import refuse, write


def _empty(entry: Path) -> None:
    (entry / "file").write_bytes(b"")


def _cut(entry: Path) -> None:
    os.truncate(entry / "file", 2)


def _flip(entry: Path) -> None:
    (entry / "file").write_text("dune")


def _lose(entry: Path) -> None:
    (entry / "file").unlink()


def _unlist(entry: Path) -> None:
    (entry / "entry.json").unlink()


def _tear(entry: Path) -> None:
    os.truncate(entry / "entry.json", 20)


def _renew(entry: Path) -> None:
    (entry / "entry.json").write_text('{"format": 99}')


def _swap(entry: Path) -> None:
    (entry / "file").rename(entry / "other")
    (entry / "file").symlink_to("other")


def _pipe(entry: Path) -> None:
    (entry / "file").unlink()
    os.mkfifo(entry / "file")


def _pipe_list(entry: Path) -> None:
    (entry / "entry.json").unlink()
    os.mkfifo(entry / "entry.json")


def _nest(entry: Path) -> None:
    (entry / "entry.json").write_text("[" * 200_000)


def _misname(entry: Path) -> None:
    files = '{"format": 1, "entry": "%s/thing", "files": {"a\\u0000b": {}}}'
    (entry / "entry.json").write_text(files % entry.parent.name)


def _stand_in(entry: Path) -> None:
    """Another whole entry in its place."""
    other = obtain(entry.with_name("other"), write)
    entry.rename(entry.with_name("gone"))
    other.rename(entry)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_empty, "file has 0 bytes, not 4"),
        (_cut, "file has 2 bytes, not 4"),
        (_flip, "file is not what was built"),
        (_lose, "file is missing"),
        (_unlist, "entry.json is missing"),
        (_tear, "entry.json is damaged"),
        (_renew, "entry.json is of another version"),
        (_swap, "file is not what was built"),
        (_pipe, "file is no file"),
        (_pipe_list, "entry.json is no file"),
        (_nest, "entry.json is damaged"),
        (_misname, "entry.json is damaged"),
        (_stand_in, "it is {folder}/other"),
    ],
)
def test_a_wrong_entry_is_built_again_and_said(tmp_path: Path, damage, reason: str) -> None:
    said: list[str] = []
    entry = obtain(tmp_path / "thing", write, log=said.append)
    assert said == []
    damage(entry)
    assert (obtain(entry, write, log=said.append) / "file").read_text() == "done"
    name = f"{tmp_path.name}/thing"
    assert said == [f"building {name} of the cache again: {reason.format(folder=tmp_path.name)}"]
    assert obtain(entry, refuse) == entry


def test_a_folder_of_the_old_format_is_built_again(tmp_path: Path) -> None:
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "file").write_text("old")
    assert (obtain(tmp_path / "thing", write) / "file").read_text() == "done"
