# SPDX-License-Identifier: Apache-2.0
"""AXI4 rules of a master, checked every cycle of a cocotb bench from its pins alone."""

from __future__ import annotations

from collections import deque

from cocotb.triggers import ReadOnly, RisingEdge

from rtl_gen.interfaces.command import INDEX_BITS

__all__ = ["AxiMonitor"]

PAGE = 4096
_PAYLOADS = {
    "ar": ("araddr", "arlen", "arsize", "arburst"),
    "aw": ("awaddr", "awlen", "awsize", "awburst"),
    "w": ("wdata", "wstrb", "wlast"),
}
_PINS = (
    *(pin for payload in _PAYLOADS.values() for pin in payload),
    *(f"{name}{part}" for name in ("ar", "aw", "w", "r", "b") for part in ("valid", "ready")),
    "rlast",
)


class AxiMonitor:
    """Watches `m_axi0_*` of a design with `rst` and the port's `error`.

    VALID stays with a stable payload until READY and is low in reset; bursts are INCR of whole
    beats inside `window` (first and end address), cross no 4 KiB boundary, have at most
    `burst_beats` beats, and WLAST where AWLEN says, whether data or address comes first; at most
    `outstanding` of each kind are unanswered; responses never wait.

    bursts: (address, beats) of "ar" and "aw" in the order of their transfers.
    faults: (code, address) of what comes from `error`.
    blamed: their commands.
    written: transfers of W.
    """

    def __init__(
        self,
        dut,
        *,
        window: tuple[int, int],
        burst_beats: int,
        outstanding: int,
        address_bits: int,
    ) -> None:
        self.dut, self.address_bits = dut, address_bits
        self.window, self.burst_beats, self.outstanding = window, burst_beats, outstanding
        self.bursts: dict[str, list[tuple[int, int]]] = {"ar": [], "aw": []}
        self.faults: list[tuple[int, int]] = []
        self.blamed: list[int] = []
        self.written = 0
        self.most = {"ar": 0, "aw": 0}
        self._pins = {name: getattr(dut, f"m_axi0_{name}") for name in _PINS}
        self._restart()

    def _restart(self) -> None:
        self._held: dict[str, tuple[int, ...] | None] = dict.fromkeys(_PAYLOADS)
        self._promised: deque[int] = deque()  # beats of the AW bursts
        self._sent: deque[int] = deque()  # beats up to each WLAST
        self._beats = 0
        self._unanswered = {"ar": 0, "aw": 0}

    async def run(self) -> None:
        """Start this with the design out of reset."""
        edge, settled = RisingEdge(self.dut.clk), ReadOnly()
        reset_cycles = 0
        while True:
            await edge
            await settled
            if int(self.dut.rst.value):
                reset_cycles += 1
                self._restart()
                if reset_cycles > 1:  # the first edge of a synchronous reset is still to come
                    assert not any(self._pin(f"{name}valid") for name in _PAYLOADS), (
                        "VALID in reset"
                    )
                continue
            reset_cycles = 0
            for name in _PAYLOADS:
                self._forward(name)
            while self._sent and self._promised:
                sent, promised = self._sent.popleft(), self._promised.popleft()
                assert sent == promised, f"WLAST at beat {sent} of a burst of {promised}"
            self._responses()
            if int(self.dut.error_valid.value):
                fault = int(self.dut.error_payload.value)
                address = fault >> 4 & ((1 << self.address_bits) - 1)
                self.faults.append((fault & 15, address))
                self.blamed.append(fault >> 4 + self.address_bits & ((1 << INDEX_BITS) - 1))

    def _pin(self, name: str) -> int:
        return int(self._pins[name].value)

    def _forward(self, name: str) -> None:
        """One of the channels that the master drives."""
        held = self._held[name]
        if not self._pin(f"{name}valid"):
            assert held is None, f"{name}valid fell before {name}ready"
            return
        payload = tuple(self._pin(pin) for pin in _PAYLOADS[name])
        assert held in (None, payload), f"{name} changed before {name}ready"
        if not self._pin(f"{name}ready"):
            self._held[name] = payload
            return
        self._held[name] = None
        if name == "w":
            self._data(payload[1], payload[2])
        else:
            self._address(name, *payload)

    def _data(self, strobes: int, last: int) -> None:
        assert strobes in (0, 0xFFFF), f"strobes {strobes:#x}"
        self._beats += 1
        self.written += 1
        if last:
            self._sent.append(self._beats)
            self._beats = 0

    def _address(self, name: str, address: int, length: int, size: int, kind: int) -> None:
        beats = length + 1
        assert (size, kind, address % 16) == (4, 1, 0), f"{name}size, {name}burst, alignment"
        assert address // PAGE == (address + 16 * length) // PAGE, f"{address:#x} crosses 4 KiB"
        assert beats <= self.burst_beats
        assert self.window[0] <= address and address + 16 * beats <= self.window[1]
        self.bursts[name].append((address, beats))
        self._unanswered[name] += 1
        self.most[name] = max(self.most[name], self._unanswered[name])
        assert self._unanswered[name] <= self.outstanding, f"{name}: too many bursts outstanding"
        if name == "aw":
            self._promised.append(beats)

    def _responses(self) -> None:
        if self._pin("rvalid"):
            assert self._pin("rready"), "a read beat had to wait"
            self._unanswered["ar"] -= self._pin("rlast")
        if self._pin("bvalid"):
            assert self._pin("bready"), "a write response had to wait"
            self._unanswered["aw"] -= 1
