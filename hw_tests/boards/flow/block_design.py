# SPDX-License-Identifier: Apache-2.0
"""The block design of the stub of Vivado: cells, connections, addresses, and its validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hw_tests.boards.flow.packaged import Interface
from hw_tests.boards.flow.tcl import TclError
from hw_tests.boards.flow.vivado_facts import IPS, SEGMENTS, Pin

__all__ = ["BlockDesign", "Cell"]

_PS = "xilinx.com:ip:zynq_ultra_ps_e"
_CLOCK = "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"
_MADE = "PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ"
_PRESET = {  # Xilinx XilinxBoardStore, preset of either board
    "PSU__USE__M_AXI_GP0": "1",
    "PSU__USE__M_AXI_GP1": "1",
    "PSU__USE__M_AXI_GP2": "0",
    "PSU__USE__IRQ0": "1",
    "PSU__FPGA_PL0_ENABLE": "1",
    _CLOCK: "100",
}
_REGISTER_WINDOW = 0xA000_0000, 0x1000_0000  # AMD UG1085, "System Addresses"


@dataclass
class Cell:
    """A cell: what it is, its parameters, all pins that it can have, those that may stay open."""

    name: str
    vlnv: str
    pins: Mapping[str, Pin]
    optional: tuple[str, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)

    def present(self) -> dict[str, Pin]:
        """The pins that the parameters give it."""
        return {
            name: pin
            for name, pin in self.pins.items()
            if pin.when is None or self.parameters.get(pin.when[0]) == pin.when[1]
        }


@dataclass
class BlockDesign:
    """A block design.

    nets: driven end -> driver, both "cell/pin" or a port. assigned: space and segment -> offset and
    range. excluded: pairs of the same.
    """

    name: str
    cells: dict[str, Cell] = field(default_factory=dict)
    ports: dict[str, str] = field(default_factory=dict)
    nets: dict[str, str] = field(default_factory=dict)
    assigned: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    excluded: set[tuple[str, str]] = field(default_factory=set)
    spaces: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, int] = field(default_factory=dict)
    validated: bool = False
    saved: bool = False

    def cell(self, name: str) -> Cell:
        """A cell by name."""
        if name not in self.cells:
            raise TclError(f"there is no cell {name}")
        return self.cells[name]

    def _added(self, cell: Cell) -> str:
        if cell.name in self.cells:
            raise TclError(f"there is a cell {cell.name} already")
        self.cells[cell.name] = cell
        return f"cell@{cell.name}"

    def add_ip(self, name: str, vlnv: str) -> str:
        """A cell of an IP of Vivado's catalogue."""
        if vlnv not in IPS:
            raise TclError(f"there is no IP {vlnv}")
        ip = IPS[vlnv]
        return self._added(Cell(name, vlnv, ip.pins, ip.optional))

    def add_module(self, name: str, ports: Mapping[str, tuple[str, int, object]]) -> str:
        """A cell of a Verilog module."""
        pins = {
            port: Pin("wave", out=direction == "output", width=width)
            for port, (direction, width, _) in ports.items()
        }
        return self._added(Cell(name, "module", pins))

    def add_packaged(
        self,
        name: str,
        interfaces: Mapping[str, Interface],
        properties: Mapping[str, Mapping[str, str]],
    ) -> str:
        """A cell of the IP that was packaged."""
        pins = {key: interface.pin() for key, interface in interfaces.items()}
        self.blocks[f"{name}/s_axi/reg0"] = int(properties["block@reg0"]["range"])
        for key, interface in interfaces.items():
            if interface.master:
                space = properties[f"space@{key}"]
                width = int(interface.parameters["ADDR_WIDTH"])
                if int(space["range"], 0) != 1 << width or int(space["width"]) != width:
                    raise TclError(f"the address space of {key} is not that of its address")
                self.spaces[f"{name}/{key}"] = width
        return self._added(Cell(name, "packaged", pins))

    def configure(self, name: str, key: str, value: str, pll_mhz: float) -> None:
        """Set a parameter of a cell."""
        cell = self.cell(name)
        known = IPS[cell.vlnv].parameters if cell.vlnv in IPS else {}
        parameter = key.removeprefix("CONFIG.")
        if not key.startswith("CONFIG.") or parameter not in known or parameter == _MADE:
            raise TclError(f"{cell.vlnv} has no parameter {key} to set")
        values = known[parameter]
        if values is not None and value not in values:
            raise TclError(f"{key} cannot be {value}")
        cell.parameters[parameter] = value
        if parameter == _CLOCK:
            divider = max(1, round(pll_mhz / float(value)))
            cell.parameters[_MADE] = f"{pll_mhz / divider:.6f}"

    def apply_preset(self, name: str, pll_mhz: float) -> None:
        """What a board's files set of the processing system."""
        if self.cell(name).vlnv != _PS:
            raise TclError(f"{name} is no processing system")
        for key, value in _PRESET.items():
            self.configure(name, f"CONFIG.{key}", value, pll_mhz)

    def parameter(self, name: str, key: str) -> str:
        """A parameter of a cell."""
        parameters = self.cell(name).parameters
        if key.removeprefix("CONFIG.") not in parameters:
            raise TclError(f"{name} has no parameter {key}")
        return parameters[key.removeprefix("CONFIG.")]

    def pin(self, path: str, *, axi: bool) -> str:
        """A pin or an interface that is there."""
        name, _, pin = path.partition("/")
        found = self.cell(name).present().get(pin)
        if found is None or (found.kind == "axi") != axi:
            raise TclError(f"there is no {'interface' if axi else 'pin'} {path}")
        return f"{'intf' if axi else 'pin'}@{path}"

    def _pin(self, path: str) -> Pin:
        if path in self.ports:
            return Pin("wave", out=self.ports[path] == "I")
        name, _, pin = path.partition("/")
        return self.cell(name).pins[pin]

    def connect(self, first: str, second: str) -> None:
        """A driver and a driven end of the same kind."""
        ends = {self._pin(path).out: path for path in (first, second)}
        if len(ends) != 2:
            raise TclError(f"{first} and {second} both drive, or neither does")
        driver, driven = self._pin(ends[True]), self._pin(ends[False])
        if driven.kind != driver.kind or driven.width != driver.width:
            raise TclError(f"{first} and {second} are not of one kind")
        if driven.polarity != driver.polarity:
            raise TclError(f"{first} and {second} have different polarities")
        if self.nets.setdefault(ends[False], ends[True]) != ends[True]:
            raise TclError(f"{ends[False]} has two drivers")

    def space(self, path: str) -> str:
        """An address space."""
        if path != "ps/Data" and path not in self.spaces:
            raise TclError(f"there is no address space {path}")
        return f"addr_space@{path}"

    def segment(self, path: str, *, quiet: bool) -> str:
        """An address segment, nothing if quiet and there is none."""
        name, port, last = path.split("/")
        known = path in self.blocks
        if name == "ps" and port.startswith("SAXIGP"):
            number = int(port.removeprefix("SAXIGP"))
            used = self.cell("ps").parameters.get(f"PSU__USE__S_AXI_GP{number}") == "1"
            short, _, kind = last.partition("_")
            known = used and short == f"HP{number - 2}" and kind in SEGMENTS
        if not known and not quiet:
            raise TclError(f"there is no address segment {path}")
        return f"segment@{path}" if known else ""

    def assign(self, space: str, segment: str, offset: str | None, size: str | None) -> None:
        """Put a segment where a master sees it."""
        if segment in self.blocks:
            place, length = int(offset or "0", 0), int(size or "0", 0)
            low, window = _REGISTER_WINDOW
            if space != "ps/Data" or not low <= place <= place + length <= low + window:
                raise TclError(f"{segment} cannot be at {offset} in {space}")
            if length & (length - 1) or length < 4096 or place % length:
                raise TclError(f"{segment} cannot have {size} bytes at {offset}")
        else:
            place, length = SEGMENTS[segment.rsplit("/", 1)[1].partition("_")[2]]
            if place + length > 1 << self.spaces[space]:
                raise TclError(f"{space} does not reach {segment}")
        self.assigned[space, segment] = place, length

    def _clock_of(self, path: str) -> str | None:
        name = path.partition("/")[0]
        return self.nets.get(f"{name}/{self._pin(path).clock}")

    def validate(self) -> None:
        """TclError for the first pin that is open, clock that differs, address that is missing."""
        for cell in self.cells.values():
            for name, pin in cell.present().items():
                path = f"{cell.name}/{name}"
                if pin.kind == "axi":
                    ends = [*self.nets, *self.nets.values()]
                    if path not in ends:
                        raise TclError(f"interface {path} is not connected")
                elif not pin.out and name not in cell.optional and path not in self.nets:
                    raise TclError(f"pin {path} is not connected")
        for driven, driver in self.nets.items():
            if self._pin(driven).kind != "axi":
                continue
            clocks = self._clock_of(driven), self._clock_of(driver)
            if clocks[0] is None or clocks[0] != clocks[1]:
                raise TclError(f"{driven} and {driver} have different clocks")
            protocols = {self._pin(driven).protocol, self._pin(driver).protocol}
            if len(protocols - {"any"}) > 1:
                raise TclError(f"{driven} and {driver} have different protocols")
        for block in self.blocks:
            if ("ps/Data", block) not in self.assigned:
                raise TclError(f"{block} has no address")
        for space in self.spaces:
            port = next(driven for driven, driver in self.nets.items() if driver == space)
            number = int(port[len("ps/S_AXI_HP")])
            for kind in SEGMENTS:
                pair = space, f"ps/SAXIGP{number + 2}/HP{number}_{kind}"
                if pair not in self.assigned and pair not in self.excluded:
                    raise TclError(f"{pair[1]} is neither assigned to {space} nor excluded")
        self.validated = True
