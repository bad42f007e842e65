# SPDX-License-Identifier: Apache-2.0
"""Lines of a file, and what Ctrl-C asks for; a terminal is tried with the whole command."""

from __future__ import annotations

import io
import os
import signal
import sys

import pytest

from workbench.chat.lines import StopRequest, user_lines


def test_lines_of_a_file_without_empty_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a b\n\n   \n  c \nlast"))
    assert list(user_lines(quiet=False)) == ["a b", "c", "last"]


def test_bytes_that_are_no_text_end_no_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"a\n\xff\nb\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert list(user_lines(quiet=False)) == ["a", "\udcff", "b"]


def test_the_first_ctrl_c_is_a_request_and_the_second_an_interrupt() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        assert not stop.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
