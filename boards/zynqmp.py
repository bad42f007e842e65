# SPDX-License-Identifier: Apache-2.0
"""What all boards with a Zynq UltraScale+ MPSoC have in common: the processing system as seen from
the logic, each name with its public source.

Sources, by letter: C corundum fpga/mqnic/ZCU102 (ip/zynq_ps.tcl, ps/overlay.dtsi); T AMD UG1085,
"PL-PS Interface Specifics", and UG1087; K Xilinx kria-vitis-platforms (overlays of the KV260).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "AFI_WIDTHS",
    "CLOCK_MHZ",
    "DDR_LOW_BYTES",
    "FAMILY_INTERRUPTS",
    "MEMORY_PORTS",
    "PL_CLOCK",
    "PL_RESET",
    "REGISTER_PORT",
    "MemoryPort",
    "RegisterPort",
]


@dataclass(frozen=True, kw_only=True)
class MemoryPort:
    """A port by which the logic reaches DDR memory without the caches.

    interface, clock: of the block zynq_ultra_ps_e. parameter: the number in its parameters,
    PSU__USE__S_AXI_GP2. segments: how its address segments begin. afi: numbers of the registers
    that hold the width of reads and of writes, in the node xlnx,afi-fpga.
    """

    interface: str
    clock: str
    parameter: int
    segments: str
    afi: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class RegisterPort:
    """A port by which the processor reaches the logic.

    interface, clock, parameter: as those of MemoryPort; the parameter is PSU__USE__M_AXI_GP0.
    base, size: of its window in the processor's addresses. width: bits of data. afi, afi_shift:
    the register that holds the width, and the lowest bit of it there.
    """

    interface: str
    clock: str
    parameter: int
    base: int
    size: int
    width: int
    afi: int
    afi_shift: int


MEMORY_PORTS: Mapping[str, MemoryPort] = {
    f"HP{number}": MemoryPort(  # C, T
        interface=f"S_AXI_HP{number}_FPD",
        clock=f"saxihp{number}_fpd_aclk",
        parameter=number + 2,
        segments=f"SAXIGP{number + 2}/HP{number}",
        afi=(2 * number + 4, 2 * number + 5),
    )
    for number in range(4)
}
"""By their short names."""

REGISTER_PORT = RegisterPort(  # C, T
    interface="M_AXI_HPM0_FPD",
    clock="maxihpm0_fpd_aclk",
    parameter=0,
    base=0xA000_0000,
    size=0x1000_0000,
    width=32,
    afi=14,
    afi_shift=8,
)
"""Of 32 bits, as the register file is: nothing splits or widens an access."""

AFI_WIDTHS: Mapping[str, Mapping[int, int]] = {  # C, T
    "memory": {128: 0, 64: 1, 32: 2},
    "register": {32: 0, 64: 1, 128: 2},
}
"""Code of a width in the AFI registers: the two kinds of port count in opposite directions. A width
that differs from the port's in the bitstream is not reported by anything: words come in pieces.
"""

FAMILY_INTERRUPTS: Mapping[str, int] = {"pl_ps_irq0": 89, "pl_ps_irq1": 104}  # C, K
"""Pin of the processing system -> number of its first line among the GIC's shared interrupts."""

PL_CLOCK = 71  # C, K
"""Number of pl_clk0 among the clocks of the firmware, `zynqmp_clk`."""
PL_RESET = 116  # C, K
"""Number of pl_resetn0 among its resets, `zynqmp_reset`."""

CLOCK_MHZ = (25, 333)
"""What may be asked of pl_clk0: an undivided PLL is far above what this logic is made for."""

DDR_LOW_BYTES = 1 << 31
"""DDR memory at address 0; what a board has beyond is at 0x8_0000_0000."""
