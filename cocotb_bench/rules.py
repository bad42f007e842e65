# SPDX-License-Identifier: Apache-2.0
"""AXI4 rules of the masters, checked every cycle from their pins alone.

VALID stays with a stable payload until READY; bursts are INCR of whole beats inside of the window,
cross no 4 KiB boundary, and WLAST comes where AWLEN says; at most `outstanding` of each kind are
unanswered.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from cocotb.triggers import FallingEdge

from cocotb_bench.device import CocotbDevice

__all__ = ["AxiRules"]

_PAGE = 4096
_BEAT = 16
_PAYLOADS = {
    "ar": ("araddr", "arlen", "arsize", "arburst"),
    "aw": ("awaddr", "awlen", "awsize", "awburst"),
    "w": ("wdata", "wstrb", "wlast"),
}


class _Port:
    """What is under way on a port."""

    def __init__(self, dut: Any, port: int) -> None:
        def pin(name: str) -> Any:
            return getattr(dut, f"m_axi{port}_{name}")

        self.name = f"port {port}"
        self.ends = {
            channel: (pin(f"{channel}valid"), pin(f"{channel}ready"))
            for channel in ("ar", "aw", "w", "r", "b")
        }
        self.last = pin("rlast")
        self.payloads = {name: [pin(p) for p in pins] for name, pins in _PAYLOADS.items()}
        self.clear()

    def clear(self) -> None:
        self.held: dict[str, tuple[int, ...] | None] = dict.fromkeys(_PAYLOADS)
        self.promised: deque[int] = deque()
        self.sent: deque[int] = deque()
        self.beats = 0
        self.unanswered = {"ar": 0, "aw": 0}


class AxiRules:
    """Of all ports of a device.

    bursts: (port, channel, address, beats) in order.
    """

    def __init__(self, device: CocotbDevice) -> None:
        self._device, self._dut = device, device.dut
        self._ports = [_Port(device.dut, port) for port in range(device.config.ports)]
        self._broken: str | None = None
        self.bursts: list[tuple[int, str, int, int]] = []

    def check(self) -> None:
        """AssertionError if a rule was broken."""
        assert self._broken is None, self._broken

    async def run(self) -> None:
        """Start this with the design out of reset. In the middle of a cycle all pins are settled,
        and what they say is taken at its end.
        """
        edge = FallingEdge(self._dut.clk)
        while self._broken is None:
            await edge
            if str(self._dut.rst.value) != "0":
                for port in self._ports:
                    port.clear()
                continue
            for index, port in enumerate(self._ports):
                try:
                    self._look(index, port)
                except AssertionError as error:
                    self._broken = f"{port.name}: {error}"

    def _look(self, index: int, port: _Port) -> None:
        for name, pins in port.payloads.items():
            valid, ready = port.ends[name]
            held = port.held[name]
            if not int(valid.value):
                assert held is None, f"{name}valid fell before {name}ready"
                continue
            payload = tuple(int(pin.value) for pin in pins)
            assert held in (None, payload), f"{name} changed before {name}ready"
            taken = bool(int(ready.value))
            port.held[name] = None if taken else payload
            if taken and name == "w":
                port.beats += 1
                if payload[2]:
                    port.sent.append(port.beats)
                    port.beats = 0
            elif taken:
                self._burst(index, port, name, *payload)
        while port.sent and port.promised:
            sent, promised = port.sent.popleft(), port.promised.popleft()
            assert sent == promised, f"WLAST at beat {sent} of a burst of {promised}"
        for name, of in (("r", "ar"), ("b", "aw")):
            valid, ready = port.ends[name]
            if int(valid.value) and int(ready.value):
                port.unanswered[of] -= int(port.last.value) if name == "r" else 1

    def _burst(
        self, index: int, port: _Port, name: str, address: int, length: int, size: int, kind: int
    ) -> None:
        beats, bus = length + 1, self._device.bus
        assert (size, kind, address % _BEAT) == (4, 1, 0), f"{name}: size, kind or alignment"
        end = address + _BEAT * beats
        assert address // _PAGE == (end - 1) // _PAGE, f"{name} at {address:#x} crosses 4 KiB"
        inside = bus.base <= address and end <= bus.base + bus.window.size
        assert inside, f"{name} at {address:#x} leaves the window"
        self.bursts.append((index, name, address, beats))
        port.unanswered[name] += 1
        most = self._device.config.outstanding
        assert port.unanswered[name] <= most, f"{name}: more than {most} bursts are unanswered"
        if name == "aw":
            port.promised.append(beats)
