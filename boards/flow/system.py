# SPDX-License-Identifier: Apache-2.0
"""A configuration on a board: everything that block design, constraints, overlay and package must
agree on, each derived once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from boards.board import named_board
from boards.record import Board
from boards.zynqmp import (
    AFI_WIDTHS,
    CLOCK_MHZ,
    DDR_LOW_BYTES,
    FAMILY_INTERRUPTS,
    MEMORY_PORTS,
    REGISTER_PORT,
    MemoryPort,
)
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.contract import contract_hash
from meadow.spec.linux import BUFFER_NAME, REGISTER_BYTES, UIO_NAME

__all__ = ["System", "chosen_system"]

_MIB = 1 << 20
_KHZ = 1000
_HIGH_ADDRESS_BITS = 36
"""Of the DDR memory above 4 GiB, which is at 0x8_0000_0000."""


@dataclass(frozen=True, kw_only=True)
class System:
    """A configuration on a board.

    board_name, board: where. configuration, config: what, and what it is called. clock_mhz: of
    pl_clk0. buffer_mib: of the DMA buffer.

    ValueError, naming rule and value, for what the board does not have.
    """

    board_name: str
    board: Board
    configuration: str
    config: AcceleratorConfig
    clock_mhz: float
    buffer_mib: int

    def __post_init__(self) -> None:
        low, high = CLOCK_MHZ
        if not low <= self.clock_mhz <= high:
            raise ValueError(f"clock must be {low}..{high} MHz, not {self.clock_mhz:g}")
        if self.clock_mhz * _KHZ != round(self.clock_mhz * _KHZ):
            raise ValueError(f"clock must be whole kilohertz, not {self.clock_mhz!r} MHz")
        most = DDR_LOW_BYTES // _MIB - 1
        if not 1 <= self.buffer_mib <= most:
            raise ValueError(f"buffer must be 1..{most} MiB, not {self.buffer_mib}")
        if self.config.ports > len(self.board.ports):
            raise ValueError(
                f"{self.board_name} has {len(self.board.ports)} memory ports, the configuration "
                f"{self.config.ports}"
            )

    @cached_property
    def contract(self) -> str:
        """The contract hash."""
        return contract_hash(self.config)

    @property
    def name(self) -> str:
        """What files on the board are called: no two contracts share one."""
        return f"meadow-{self.board_name}-{self.contract[:8]}"

    @property
    def firmware(self) -> str:
        """The file that the FPGA manager loads."""
        return f"{self.name}.bit.bin"

    @property
    def label(self) -> str:
        """What comments call the configuration: ASCII, whatever the user's file is called."""
        return self.configuration.encode("ascii", "replace").decode().replace("?", "_")

    @property
    def mhz(self) -> str:
        """Megahertz of pl_clk0, as short as they are."""
        return f"{self.clock_mhz:g}"

    @property
    def clock_hz(self) -> int:
        """Hertz of pl_clk0."""
        return round(self.clock_mhz * _KHZ) * _KHZ

    @property
    def register_bytes(self) -> int:
        """The window of the registers."""
        return REGISTER_BYTES

    @property
    def buffer_bytes(self) -> int:
        """The size of the DMA buffer."""
        return self.buffer_mib * _MIB

    @property
    def interrupt(self) -> int:
        """Number among the GIC's shared interrupts, as device trees count."""
        return FAMILY_INTERRUPTS[self.board.interrupt]

    @property
    def masters(self) -> dict[str, MemoryPort]:
        """AXI master of the accelerator -> port of the processing system."""
        return {
            f"m_axi{index}": MEMORY_PORTS[self.board.ports[index]]
            for index in range(self.config.ports)
        }

    @property
    def address_space(self) -> int:
        """Bytes that a master can name."""
        return 1 << self.config.address_bits

    @property
    def reaches_high_memory(self) -> bool:
        """Whether addresses are wide enough for memory above 4 GiB."""
        return self.config.address_bits >= _HIGH_ADDRESS_BITS

    @property
    def afi(self) -> dict[int, int]:
        """Register of the AFI -> its value: ports that are not used have their reset value, 0."""
        memory = AFI_WIDTHS["memory"][8 * BEAT_BYTES]
        widths = {number: memory for port in self.masters.values() for number in port.afi}
        width = AFI_WIDTHS["register"][REGISTER_PORT.width] << REGISTER_PORT.afi_shift
        return {number: 0 for number in range(16)} | widths | {REGISTER_PORT.afi: width}

    def facts(self) -> Mapping[str, Any]:
        """JSON-ready, for whoever copies, loads or looks at the result."""
        return {
            "name": self.name,
            "board": self.board_name,
            "part": self.board.part,
            "board_part": self.board.board_part,
            "configuration": self.configuration,
            "parameters": self.config.to_dict(),
            "contract_hash": self.contract,
            "clock_hz": self.clock_hz,
            "registers": {"base": self.board.base, "bytes": self.register_bytes},
            "interrupt": {"pin": self.board.interrupt, "number": self.interrupt},
            "ports": {name: port.interface for name, port in self.masters.items()},
            "uio": UIO_NAME,
            "buffer": {"name": BUFFER_NAME, "bytes": self.buffer_bytes},
            "loader": self.board.loader,
        }


def chosen_system(
    board_name: str,
    configuration: str,
    config: AcceleratorConfig,
    *,
    clock_mhz: float | None = None,
    buffer_mib: int | None = None,
) -> System:
    """A configuration on a named board, with the board's clock and buffer where None; ValueError as
    `named_board` and System.
    """
    board = named_board(board_name)
    return System(
        board_name=board_name,
        board=board,
        configuration=configuration,
        config=config,
        clock_mhz=board.clock_mhz if clock_mhz is None else clock_mhz,
        buffer_mib=board.buffer_mib if buffer_mib is None else buffer_mib,
    )
