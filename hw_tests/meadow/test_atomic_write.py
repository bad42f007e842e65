# SPDX-License-Identifier: Apache-2.0
"""An output file is whole or what it was before, and devices and links stay devices and links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meadow.atomic_write import (
    OutputError,
    check_apart,
    check_folder,
    check_replaceable,
    made_folder,
    replacing,
    write_files,
)


def test_the_file_appears_at_the_end_as_readable_as_any_other(tmp_path: Path) -> None:
    target, other = tmp_path / "file", tmp_path / "other"
    other.touch()
    with replacing(target, "it") as file:
        file.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode == other.stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("x"), OSError(28, "No space")])
def test_whatever_ends_the_block_keeps_the_old_file(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises((KeyboardInterrupt, ValueError, OutputError)):
        with replacing(target, "it") as file:
            file.write(b"half")
            raise error
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_a_link_keeps_its_name(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with replacing(link, "it") as file:
        file.write(b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_what_cannot_be_written_is_named_before_and_after_the_work(tmp_path: Path) -> None:
    fifo, file, folder = tmp_path / "fifo", tmp_path / "file", tmp_path / "folder"
    os.mkfifo(fifo)
    file.touch()
    folder.mkdir()
    for target, message in (
        (fifo, "Not a regular file"),
        (folder, "Is a directory"),
        (tmp_path / "missing" / "x", "No such file or directory"),
        (file / "x", "Not a directory"),
    ):
        with pytest.raises(OutputError, match=f"cannot write it: {message}.*{target}"):
            check_replaceable(target, "it")
        with pytest.raises(OutputError, match=f"cannot write it: {message}.*{target}"):
            with replacing(target, "it"):
                pass
    assert fifo.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "file", "folder"]


def test_the_error_of_an_inner_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write inner: .*missing"):
        with replacing(tmp_path / "a", "outer"), replacing(tmp_path / "missing" / "b", "inner"):
            pass
    assert not list(tmp_path.iterdir())


def test_an_output_that_is_one_of_its_inputs_is_named(tmp_path: Path) -> None:
    weights, link, hard = tmp_path / "weights", tmp_path / "link", tmp_path / "hard"
    weights.write_bytes(b"old")
    link.symlink_to(weights)
    hard.hardlink_to(weights)
    for target in (weights, link, hard):
        with pytest.raises(OutputError, match=f"cannot write it: It is made from this.*{target}"):
            check_apart(target, [tmp_path, weights], "it")
    check_apart(tmp_path / "new", [weights], "it")
    check_apart(weights, [], "it")


def test_a_folder_is_checked_without_being_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for folder in (tmp_path, tmp_path / "a", tmp_path / "a" / "b b"):
        check_folder(folder, "it")
    for folder, message in (
        (tmp_path / "file", f"Not a directory.*{tmp_path}/file"),
        (tmp_path / "file" / "in", f"Not a directory.*{tmp_path}/file/in"),
        (tmp_path / "dangling" / "in", f"No such file.*{tmp_path}/dangling"),
        (tmp_path / ("x" * 300), "File name too long"),
        (Path("/proc/nowhere"), "cannot write it: .*/proc"),
    ):
        with pytest.raises(OutputError, match=message):
            check_folder(folder, "it")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]


def test_folders_that_were_made_go_when_the_work_fails(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with pytest.raises(KeyboardInterrupt), made_folder(tmp_path / "old" / "a" / "b"):
        raise KeyboardInterrupt
    assert list(tmp_path.rglob("*")) == [tmp_path / "old"]
    with pytest.raises(ValueError, match="x"), made_folder(tmp_path / "old"):
        raise ValueError("x")
    assert (tmp_path / "old").is_dir()
    with pytest.raises(ValueError, match="x"), made_folder(tmp_path / "new" / "a"):
        (tmp_path / "new" / "kept").touch()
        raise ValueError("x")
    assert sorted(tmp_path.rglob("*")) == [
        tmp_path / "new",
        tmp_path / "new" / "kept",
        tmp_path / "old",
    ]
    with made_folder(tmp_path / "c" / "d"):
        pass
    assert (tmp_path / "c" / "d").is_dir()


def test_files_of_a_folder_appear_together(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    write_files(out, {"a": b"1", "b/c": b"2"})
    assert (out / "a").read_bytes() == b"1" and (out / "b" / "c").read_bytes() == b"2"
    (out / "foreign").write_bytes(b"mine")
    write_files(out, {"a": b"3", "d/e": b"4"})
    found = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert found == {"a": b"3", "b/c": b"2", "d/e": b"4", "foreign": b"mine"}
    plain = tmp_path / "plain"
    plain.touch()
    assert (out / "a").stat().st_mode == plain.stat().st_mode
    (tmp_path / "made").mkdir()
    assert out.stat().st_mode == (tmp_path / "made").stat().st_mode


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_failure_leaves_no_file_of_a_folder(
    there: bool, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new" / "out"
    if there:
        out.mkdir(parents=True)
        (out / "a").write_bytes(b"old")
    calls = []

    def full(_: int) -> None:
        calls.append(1)
        if len(calls) == number:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    names = ["a", "b/c", "b/d"]
    with pytest.raises(OutputError, match=f"cannot write {names[number - 1]}: No space left"):
        write_files(out, dict.fromkeys(names, b"new"))
    left = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")]
    assert sorted(left) == (["new", "new/out", "new/out/a"] if there else [])
    assert not there or (out / "a").read_bytes() == b"old"


def test_a_folder_in_the_place_of_a_file_is_named_and_nothing_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").mkdir()
    (tmp_path / "c").touch()
    for name, why in (("b", "Is a directory"), ("c/d", "Not a directory|File exists")):
        with pytest.raises(OutputError, match=f"cannot write {name}: ({why})"):
            write_files(tmp_path, {"a": b"new", name: b"new"})
        assert (tmp_path / "a").read_bytes() == b"old"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]


def test_links_in_a_folder_stay_links(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "a").symlink_to("target")
    write_files(tmp_path, {"a": b"new"})
    assert (tmp_path / "a").is_symlink() and (tmp_path / "target").read_bytes() == b"new"


def test_a_forked_child_that_ends_inside_leaves_the_file_to_its_parent(tmp_path: Path) -> None:
    target = tmp_path / "file"
    block = replacing(target, "it")
    file = block.__enter__()
    file.write(b"new")
    file.flush()  # what is not written yet both would write
    child = os.fork()
    if child == 0:
        try:
            block.__exit__(SystemExit, SystemExit(), None)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 1
    block.__exit__(None, None, None)
    assert target.read_bytes() == b"new"
