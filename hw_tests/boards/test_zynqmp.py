# SPDX-License-Identifier: Apache-2.0
"""The ports of the processing system have the names and register numbers that others have found."""

from __future__ import annotations

from boards.zynqmp import AFI_WIDTHS, MEMORY_PORTS, REGISTER_PORT


def test_memory_ports_are_numbered_as_the_processing_system_counts() -> None:
    # corundum fpga/mqnic/ZCU102/fpga/ps/overlay.dtsi
    assert {name: port.afi for name, port in MEMORY_PORTS.items()} == {
        "HP0": (4, 5),
        "HP1": (6, 7),
        "HP2": (8, 9),
        "HP3": (10, 11),
    }
    port = MEMORY_PORTS["HP3"]
    assert (port.interface, port.clock) == ("S_AXI_HP3_FPD", "saxihp3_fpd_aclk")
    assert (port.parameter, port.segments) == (5, "SAXIGP5/HP3")


def test_the_two_kinds_of_port_count_widths_in_opposite_directions() -> None:
    assert AFI_WIDTHS["memory"] == {128: 0, 64: 1, 32: 2}
    assert AFI_WIDTHS["register"] == {32: 0, 64: 1, 128: 2}
    assert REGISTER_PORT.width in AFI_WIDTHS["register"]
