# SPDX-License-Identifier: Apache-2.0
"""The module that Vivado packages: the ports of the accelerator, with the attributes from which the
packager makes interfaces (AMD UG994, "List of Supported X_ Attributes").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from boards.flow.system import System
from meadow.spec.config import BEAT_BYTES
from rtl_gen.dma.bursts import max_burst_beats
from rtl_gen.interfaces.axi import LITE_ADDRESS_BITS

__all__ = ["WRAPPER_NAME", "interface_wrapper"]

WRAPPER_NAME = "meadow_ip"

_AXI = "xilinx.com:interface:aximm:1.0"
_SIGNALS = {
    "clk": "xilinx.com:signal:clock:1.0 clk CLK",
    "rst": "xilinx.com:signal:reset:1.0 rst RST",
    "irq": "xilinx.com:signal:interrupt:1.0 irq INTERRUPT",
}


def _registers() -> dict[str, object]:
    return {
        "PROTOCOL": "AXI4LITE",
        "DATA_WIDTH": 32,
        "ADDR_WIDTH": LITE_ADDRESS_BITS,
        "READ_WRITE_MODE": "READ_WRITE",
        "NUM_READ_OUTSTANDING": 1,
        "NUM_WRITE_OUTSTANDING": 1,
        "MAX_BURST_LENGTH": 1,
        "HAS_WSTRB": 1,
        "HAS_BRESP": 1,
        "HAS_RRESP": 1,
        "HAS_PROT": 1,
    }


def _memory(system: System) -> dict[str, object]:
    """Bursts of whole beats to normal memory, past the caches, which the port may merge and post:
    AxCACHE is 0b0011. AxPROT is 0, a secure data access, which DDR memory takes unless a protection
    unit was set up against it. AxQOS is 0, so the memory controller decides. All IDs are 0, so that
    answers come in order.
    """
    config = system.config
    return {
        "PROTOCOL": "AXI4",
        "DATA_WIDTH": 8 * BEAT_BYTES,
        "ADDR_WIDTH": config.address_bits,
        "ID_WIDTH": 1,
        "READ_WRITE_MODE": "READ_WRITE",
        "NUM_READ_OUTSTANDING": config.outstanding,
        "NUM_WRITE_OUTSTANDING": config.outstanding,
        "NUM_READ_THREADS": 1,
        "NUM_WRITE_THREADS": 1,
        "MAX_BURST_LENGTH": max_burst_beats(config),
        "SUPPORTS_NARROW_BURST": 0,
        "HAS_BURST": 1,
        "HAS_LOCK": 1,
        "HAS_CACHE": 1,
        "HAS_PROT": 1,
        "HAS_QOS": 1,
        "HAS_REGION": 0,
        "HAS_WSTRB": 1,
        "HAS_BRESP": 1,
        "HAS_RRESP": 1,
    }


def _parameters(name: str, values: Mapping[str, object]) -> str:
    pairs = (f"{key} {value}" for key, value in values.items())
    return ", ".join((f"XIL_INTERFACENAME {name}", *pairs))


def _interface_parameters(system: System) -> dict[str, str]:
    """Of each interface. The clock has no frequency: it takes that of the block design."""
    buses = ("s_axi", *system.masters)
    values = {
        "clk": {"ASSOCIATED_BUSIF": ":".join(buses), "ASSOCIATED_RESET": "rst"},
        "rst": {"POLARITY": "ACTIVE_HIGH"},
        "irq": {"SENSITIVITY": "LEVEL_HIGH", "PortWidth": 1},
        "s_axi": _registers(),
        **{name: _memory(system) for name in system.masters},
    }
    return {name: _parameters(name, pairs) for name, pairs in values.items()}


def _declared(system: System, ports: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    parameters = _interface_parameters(system)
    for port in ports:
        interface = port["interface"] if port["name"] not in _SIGNALS else port["name"]
        signal = port["name"].removeprefix(f"{interface}_").upper()
        info = _SIGNALS.get(port["name"], f"{_AXI} {interface} {signal}")
        lines = [f'  (* X_INTERFACE_INFO = "{info}" *)']
        if interface in parameters:  # once, at the first port of each interface
            lines.append(f'  (* X_INTERFACE_PARAMETER = "{parameters.pop(interface)}" *)')
        size = f" [{port['width'] - 1}:0]" if port["width"] > 1 else ""
        yield "\n".join((*lines, f"  {port['direction']} wire{size} {port['name']}"))


def interface_wrapper(system: System, top: str, ports: Sequence[Mapping[str, Any]]) -> str:
    """Verilog of WRAPPER_NAME around the module `top`.

    ports: of `top`, as `rtl_gen.export.verilog_ports`; those for a logic analyser stay open.
    """
    outer = [port for port in ports if port["interface"] != "debug"]
    inner = ",\n".join(
        f"    .{port['name']}({port['name'] if port in outer else ''})" for port in ports
    )
    declared = ",\n".join(_declared(system, outer))
    return (
        "// SPDX-License-Identifier: Apache-2.0\n"
        f"// Interfaces of {top} for Vivado's IP packager, configuration {system.label}, "
        f"contract {system.contract}\n"
        f"module {WRAPPER_NAME} (\n{declared}\n);\n"
        f"  {top} core (\n{inner}\n  );\n"
        "endmodule\n"
    )
