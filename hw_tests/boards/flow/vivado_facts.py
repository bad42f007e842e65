# SPDX-License-Identifier: Apache-2.0
# Longer than 300 lines: one table of what Vivado has, each entry with its source.
"""What the stub of Vivado knows: commands with their options, IPs with parameters, pins and
interfaces, properties with their legal values. Whatever does not stand here is refused.

Sources by letter, all public; a command without one more is in AMD UG835 alone:

C corundum fpga/mqnic/ZCU102/fpga/ip/zynq_ps.tcl
K Xilinx kria-vitis-platforms k26 and kv260 platforms, scripts/main.tcl and config_bd.tcl
D Xilinx kria-vitis-platforms kv260/overlays/*/scripts/package_dpu_kernel.tcl
N stnolting neorv32 rtl/system_integration/neorv32_vivado_ip.tcl
A analogdevicesinc hdl library/*/*_ip.tcl
F Xilinx FINN, transformation/fpgadataflow/create_stitched_ip.py and make_zynq_proj.py
B Xilinx XilinxBoardStore boards/Xilinx/{zcu102,kv260_som,kv260_carrier}
U AMD UG835 (Tcl commands), UG908 (bitstream), UG912 (properties), UG994 (block designs, X_
    attributes), UG1118 (packager), PG164 (proc_sys_reset), PG201 (zynq_ultra_ps_e), PG247
    (smartconnect)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "AXI_PARAMETERS",
    "COMMANDS",
    "INTERFACE_TYPES",
    "IPS",
    "PROPERTIES",
    "SEGMENTS",
    "SIGNAL_PARAMETERS",
    "VERSIONS",
    "Command",
    "Ip",
    "Pin",
]

VERSIONS = ("2023.2", "2024.1", "2024.2", "2025.1", "2025.2")


@dataclass(frozen=True)
class Command:
    """A command: options with their legal values (None for any, () for a flag), how many words it
    takes besides, where it is from.
    """

    source: str
    options: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    words: tuple[int, int] = (0, 0)


_FLAG: tuple[str, ...] = ()
_REPORT: Mapping[str, tuple[str, ...] | None] = {"-file": None}

COMMANDS: Mapping[str, Command] = {
    "puts": Command("Tcl", words=(1, 1)),
    "version": Command("U K", {"-short": _FLAG}),
    "create_project": Command("U K D", {"-force": _FLAG, "-part": None}, (2, 2)),
    "close_project": Command("U"),
    "current_project": Command("U K"),
    "current_fileset": Command("U K D"),
    "current_design": Command("U C"),
    "add_files": Command("U D", {"-norecurse": _FLAG, "-fileset": ("constrs_1",)}, (1, 1)),
    "update_compile_order": Command("U K D", {"-fileset": ("sources_1",)}),
    "set_property": Command("U K C", {"-dict": _FLAG}, (2, 3)),
    "get_property": Command("U K", {}, (2, 2)),
    "get_board_parts": Command("U K", {"-quiet": _FLAG, "-latest_file_version": _FLAG}, (1, 1)),
    "update_ip_catalog": Command("U K"),
    "get_files": Command("U K", {}, (1, 1)),
    "get_runs": Command("U", {}, (1, 1)),
    "get_ports": Command("U C K", {}, (1, 1)),
    # packager
    "ipx::package_project": Command(
        "U D N",
        {
            **{"-force": _FLAG, "-import_files": _FLAG, "-root_dir": None},
            **{"-vendor": None, "-library": None, "-taxonomy": ("/UserIP",)},
        },
    ),
    "ipx::current_core": Command("U D N A"),
    "ipx::get_bus_interfaces": Command("U N A F", {"-of_objects": None}, (1, 1)),
    "ipx::get_memory_maps": Command("U N A", {"-of_objects": None}, (1, 1)),
    "ipx::add_memory_map": Command("U A", {}, (2, 2)),
    "ipx::get_address_blocks": Command("U A", {"-of_objects": None}, (1, 1)),
    "ipx::add_address_block": Command("U A", {}, (2, 2)),
    "ipx::get_address_spaces": Command("U A F", {"-of_objects": None}, (1, 1)),
    "ipx::add_address_space": Command("U A", {}, (2, 2)),
    "ipx::create_xgui_files": Command("U D N", {}, (1, 1)),
    "ipx::update_checksums": Command("U D N", {}, (1, 1)),
    "ipx::check_integrity": Command("U N", {}, (1, 1)),
    "ipx::save_core": Command("U D N A", {}, (1, 1)),
    # block designs
    "create_bd_design": Command("U C K", {}, (1, 1)),
    "create_bd_cell": Command(
        "U C K F", {"-type": ("ip", "module"), "-vlnv": None, "-reference": None}, (1, 1)
    ),
    "create_bd_port": Command("U K", {"-dir": ("I", "O", "IO")}, (1, 1)),
    "apply_bd_automation": Command("U K", {"-rule": None, "-config": None}, (1, 1)),
    "get_bd_cells": Command("U C K", {}, (1, 1)),
    "get_bd_pins": Command("U C K", {}, (1, 1)),
    "get_bd_ports": Command("U C K", {}, (1, 1)),
    "get_bd_intf_pins": Command("U C K", {}, (1, 1)),
    "connect_bd_net": Command("U C K", {}, (2, 2)),
    "connect_bd_intf_net": Command("U C K", {}, (2, 2)),
    "get_bd_addr_spaces": Command("U K", {}, (1, 1)),
    "get_bd_addr_segs": Command("U C K", {"-quiet": _FLAG}, (1, 1)),
    "assign_bd_address": Command(
        "U C",
        {"-force": _FLAG, "-offset": None, "-range": None, "-target_address_space": None},
        (1, 1),
    ),
    "exclude_bd_addr_seg": Command("U", {"-target_address_space": None}, (1, 1)),
    "validate_bd_design": Command("U C K"),
    "save_bd_design": Command("U C K"),
    "make_wrapper": Command("U K", {"-files": None, "-top": _FLAG}),
    # runs and reports
    "launch_runs": Command("U K", {"-to_step": ("write_bitstream",), "-jobs": None}, (1, 1)),
    "wait_on_run": Command("U K", {}, (1, 1)),
    "open_run": Command("U", {}, (1, 1)),
    "report_timing_summary": Command("U", {**_REPORT, "-max_paths": None}),
    "report_utilization": Command(
        "U F", {**_REPORT, "-hierarchical": _FLAG, "-hierarchical_depth": None}
    ),
    "report_ram_utilization": Command("U", _REPORT),
    "report_control_sets": Command("U", {**_REPORT, "-verbose": _FLAG}),
    "report_high_fanout_nets": Command("U", {**_REPORT, "-load_types": _FLAG, "-max_nets": None}),
    "report_clock_utilization": Command("U", _REPORT),
    "report_cdc": Command("U", _REPORT),
    "report_methodology": Command("U", _REPORT),
    "report_drc": Command("U", _REPORT),
    "report_power": Command("U", _REPORT),
    "read_saif": Command("U", {"-strip_path": None, "-out_file": None}, (1, 1)),
    "get_timing_paths": Command("U", {"-delay_type": ("max", "min"), "-max_paths": None}),
    "write_hw_platform": Command(
        "U K", {"-fixed": _FLAG, "-force": _FLAG, "-include_bit": _FLAG, "-file": None}
    ),
    "set_false_path": Command("U C", {"-to": None}),
}

_DIRECTIVES = ("Default", "Explore", "AggressiveExplore", "ExtraTimingOpt")
PROPERTIES: Mapping[str, Mapping[str, tuple[str, ...] | None]] = {
    # U K
    "project": {"board_part": None, "board_connections": None, "ip_repo_paths": None},
    "fileset": {"top": None},
    # D F N; the values of ipi_drc are from FINN
    "core": {
        "version": None,
        "display_name": None,
        "description": None,
        "ipi_drc": ("ignore_freq_hz true", "ignore_freq_hz false"),
    },
    # A
    "bus": {"slave_memory_map_ref": None, "master_address_space_ref": None},
    "block": {"range": None, "width": ("32",), "usage": ("register", "memory", "reserved")},
    "space": {"range": None, "width": None},
    # U; read only those of the second line
    "run": {
        "STEPS.OPT_DESIGN.ARGS.DIRECTIVE": _DIRECTIVES[:2],
        "STEPS.PLACE_DESIGN.ARGS.DIRECTIVE": (*_DIRECTIVES[:2], "ExtraTimingOpt"),
        "STEPS.PHYS_OPT_DESIGN.IS_ENABLED": ("true", "false"),
        "STEPS.PHYS_OPT_DESIGN.ARGS.DIRECTIVE": _DIRECTIVES[:3],
        "STEPS.ROUTE_DESIGN.ARGS.DIRECTIVE": _DIRECTIVES[:3],
        **{"PROGRESS": None, "STATUS": None, "DIRECTORY": None},
    },
    "path": {"SLACK": None},
    # U (UG908), C K
    "design": {
        "BITSTREAM.GENERAL.COMPRESS": ("TRUE", "FALSE"),
        "BITSTREAM.CONFIG.USR_ACCESS": None,
    },
    # U (UG912), C K
    "port": {
        "PACKAGE_PIN": None,
        "IOSTANDARD": ("LVCMOS18", "LVCMOS33"),
        "SLEW": ("SLOW", "FAST"),
        "DRIVE": ("2", "4", "8", "12", "16"),
    },
}
"""Kind of object -> its properties, with their values."""


@dataclass(frozen=True)
class Pin:
    """A pin or an interface of an IP.

    kind: "clock", "reset", "interrupt", "wave", or of an interface "axi".
    out: whether it drives. when: parameter and value without which it is not there.
    clock: of an interface, the pin that clocks it. polarity: of a reset.
    """

    kind: str
    out: bool = False
    when: tuple[str, str] | None = None
    clock: str = ""
    polarity: str = ""
    width: int = 1
    protocol: str = ""


@dataclass(frozen=True)
class Ip:
    """An IP: parameters with their legal values (None for any number), pins and interfaces."""

    source: str
    parameters: Mapping[str, tuple[str, ...] | None]
    pins: Mapping[str, Pin]
    optional: tuple[str, ...] = ()


_BIT = ("0", "1")
_WIDTHS = ("32", "64", "128")

_PS_PARAMETERS: Mapping[str, tuple[str, ...] | None] = {
    **{f"PSU__USE__M_AXI_GP{number}": _BIT for number in range(3)},  # C K B
    **{f"PSU__MAXIGP{number}__DATA_WIDTH": _WIDTHS for number in range(3)},  # C K
    **{f"PSU__USE__S_AXI_GP{number}": _BIT for number in range(7)},  # C K
    **{f"PSU__SAXIGP{number}__DATA_WIDTH": _WIDTHS for number in range(7)},  # C K
    **{f"PSU__USE__IRQ{number}": _BIT for number in range(2)},  # C K B
    "PSU__FPGA_PL0_ENABLE": _BIT,  # K B
    "PSU__CRL_APB__PL0_REF_CTRL__SRCSEL": ("IOPLL", "RPLL", "DPLL"),  # C B
    "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ": None,  # C B
    "PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ": None,  # U; read only
    "PSU__TTC0__PERIPHERAL__ENABLE": _BIT,  # C B
    "PSU__TTC0__WAVEOUT__ENABLE": _BIT,  # K
    "PSU__TTC0__WAVEOUT__IO": ("EMIO",),  # K
}

_PS_PINS: Mapping[str, Pin] = {
    "pl_clk0": Pin("clock", out=True, when=("PSU__FPGA_PL0_ENABLE", "1")),  # C K
    "pl_resetn0": Pin("reset", out=True, polarity="ACTIVE_LOW"),  # C K
    **{  # C K
        f"pl_ps_irq{number}": Pin("interrupt", when=(f"PSU__USE__IRQ{number}", "1"))
        for number in range(2)
    },
    "emio_ttc0_wave_o": Pin(  # K
        "wave", out=True, width=3, when=("PSU__TTC0__WAVEOUT__IO", "EMIO")
    ),
    **{  # C K
        f"maxihpm{number}_fpd_aclk": Pin("clock", when=(f"PSU__USE__M_AXI_GP{number}", "1"))
        for number in range(2)
    },
    **{  # C K
        f"M_AXI_HPM{number}_FPD": Pin(
            "axi",
            out=True,
            when=(f"PSU__USE__M_AXI_GP{number}", "1"),
            clock=f"maxihpm{number}_fpd_aclk",
            protocol="AXI4",
        )
        for number in range(2)
    },
    **{  # C K
        f"saxihp{number}_fpd_aclk": Pin("clock", when=(f"PSU__USE__S_AXI_GP{number + 2}", "1"))
        for number in range(4)
    },
    **{  # C K
        f"S_AXI_HP{number}_FPD": Pin(
            "axi",
            when=(f"PSU__USE__S_AXI_GP{number + 2}", "1"),
            clock=f"saxihp{number}_fpd_aclk",
            protocol="AXI4",
        )
        for number in range(4)
    },
}

IPS: Mapping[str, Ip] = {
    "xilinx.com:ip:zynq_ultra_ps_e": Ip("C K PG201", _PS_PARAMETERS, _PS_PINS),
    "xilinx.com:ip:proc_sys_reset": Ip(
        "C K PG164",
        {},
        {
            "slowest_sync_clk": Pin("clock"),
            "ext_reset_in": Pin("reset", polarity="ACTIVE_LOW"),
            "aux_reset_in": Pin("reset", polarity="ACTIVE_LOW"),
            "dcm_locked": Pin("locked"),
            "peripheral_reset": Pin("reset", out=True, polarity="ACTIVE_HIGH"),
            "peripheral_aresetn": Pin("reset", out=True, polarity="ACTIVE_LOW"),
            "interconnect_aresetn": Pin("reset", out=True, polarity="ACTIVE_LOW"),
        },
        optional=("aux_reset_in", "dcm_locked"),
    ),
    "xilinx.com:ip:smartconnect": Ip(
        "K PG247",
        {"NUM_SI": tuple(map(str, range(1, 17))), "NUM_MI": tuple(map(str, range(1, 17)))},
        {
            "aclk": Pin("clock"),
            "aresetn": Pin("reset", polarity="ACTIVE_LOW"),
            "S00_AXI": Pin("axi", clock="aclk", protocol="any"),
            "M00_AXI": Pin("axi", out=True, clock="aclk", protocol="any"),
        },
    ),
}

SEGMENTS: Mapping[str, tuple[int, int]] = {  # C K; offset and range
    "DDR_LOW": (0x0000_0000, 0x8000_0000),
    "DDR_HIGH": (0x8_0000_0000, 0x8000_0000),
    "LPS_OCM": (0xFF00_0000, 0x0100_0000),
    "QSPI": (0xC000_0000, 0x2000_0000),
    "PCIE_LOW": (0xE000_0000, 0x1000_0000),  # with the preset of the ZCU102, which has PCIe
}
"""Address segments behind a memory port of the processing system, with 4 GB of DDR memory."""

INTERFACE_TYPES = {  # U (UG994)
    "xilinx.com:signal:clock:1.0": ("CLK",),
    "xilinx.com:signal:reset:1.0": ("RST",),
    "xilinx.com:signal:interrupt:1.0": ("INTERRUPT",),
    "xilinx.com:interface:aximm:1.0": (
        *(
            f"{channel}{name}"
            for channel in ("AW", "AR")
            for name in (
                *("ID", "ADDR", "LEN", "SIZE", "BURST", "LOCK", "CACHE", "PROT", "QOS", "REGION"),
                *("USER", "VALID", "READY"),
            )
        ),
        *("WDATA", "WSTRB", "WLAST", "WVALID", "WREADY", "BID", "BRESP", "BVALID", "BREADY"),
        *("RID", "RDATA", "RRESP", "RLAST", "RVALID", "RREADY"),
    ),
}
"""Interfaces that attributes may name, with their logical ports."""

SIGNAL_PARAMETERS: Mapping[str, Mapping[str, tuple[str, ...] | None]] = {  # U (UG994)
    "clock": {"ASSOCIATED_BUSIF": None, "ASSOCIATED_RESET": None},
    "reset": {"POLARITY": ("ACTIVE_HIGH", "ACTIVE_LOW")},
    "interrupt": {
        "SENSITIVITY": ("LEVEL_HIGH", "LEVEL_LOW", "EDGE_RISING", "EDGE_FALLING"),
        "PortWidth": None,
    },
}
AXI_PARAMETERS: Mapping[str, tuple[str, ...] | None] = {  # U (UG994); C
    "PROTOCOL": ("AXI4", "AXI4LITE", "AXI3"),
    "DATA_WIDTH": ("32", "64", "128", "256", "512", "1024"),
    "ADDR_WIDTH": tuple(map(str, range(1, 65))),
    "ID_WIDTH": tuple(map(str, range(33))),
    "READ_WRITE_MODE": ("READ_WRITE", "READ_ONLY", "WRITE_ONLY"),
    "MAX_BURST_LENGTH": tuple(map(str, range(1, 257))),
    "SUPPORTS_NARROW_BURST": _BIT,
    **{f"NUM_{way}_OUTSTANDING": tuple(map(str, range(1, 33))) for way in ("READ", "WRITE")},
    **{f"NUM_{way}_THREADS": tuple(map(str, range(1, 17))) for way in ("READ", "WRITE")},
    **{
        f"HAS_{name}": _BIT
        for name in ("BURST", "LOCK", "CACHE", "PROT", "QOS", "REGION", "WSTRB", "BRESP", "RRESP")
    },
}
