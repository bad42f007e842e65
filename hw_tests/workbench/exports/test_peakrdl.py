# SPDX-License-Identifier: Apache-2.0
"""HTML and IP-XACT of PeakRDL: the same bytes each time, nothing of the machine in them."""

from __future__ import annotations

import importlib.util
import time

import pytest

from hw_tests.workbench.exports.cores import named_core
from workbench.exports import peakrdl
from workbench.exports.peakrdl import has_exporters, html_pages, ip_xact_registers
from workbench.exports.rdl import register_map_rdl


def test_pages_are_the_same_at_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    core = named_core("nano")
    rdl = register_map_rdl(core)
    pages = html_pages(core, rdl)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)
    assert html_pages(core, rdl) == pages
    index = pages["index.html"].decode()
    assert core.contract in index
    registers = pages["data/ral-data-0.json"].decode()
    for entry in core.registers:
        assert f'"{entry.path.rpartition(".")[2]}"' in registers
    texts = [page for path, page in pages.items() if path.endswith((".html", ".js", ".json"))]
    assert not any(b"/tmp" in text or b"registers.rdl" in text for text in texts)
    assert b"GNU LESSER GENERAL PUBLIC LICENSE" in pages["LICENSE"]
    assert b"FontAwesome" in pages["LICENSE-3RD-PARTY"]


def test_meanings_are_on_the_pages() -> None:
    core = named_core("tiny")
    pages = html_pages(core, register_map_rdl(core))
    text = b"".join(page for path, page in pages.items() if path.startswith("content/")).decode()
    for words in ("tokens already in the cache", "INTERRUPT_ENABLE", "SLVERR or DECERR for a read"):
        assert words in text


def test_ip_xact_has_every_register() -> None:
    core = named_core("nano")
    text = ip_xact_registers(core, register_map_rdl(core))
    assert text == ip_xact_registers(core, register_map_rdl(core))
    for entry in core.registers:
        name = entry.path.rpartition(".")[2]
        assert f"<ipxact:name>{name}</ipxact:name>" in text


@pytest.mark.parametrize("missing", peakrdl._PACKAGES)
def test_a_missing_exporter_is_seen(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_exporters()
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else find(name)
    )
    assert not has_exporters()
