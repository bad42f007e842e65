# SPDX-License-Identifier: Apache-2.0
"""A configuration on a board derives everything once, and refuses what the board does not have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from boards.board import BOARDS
from boards.flow.system import System, chosen_system
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash

TINY = CONFIGURATIONS["tiny"]


@pytest.mark.parametrize("board", BOARDS)
def test_a_board_has_its_own_clock_and_buffer(board: str) -> None:
    record = BOARDS[board]
    system = chosen_system(board, "tiny", TINY)
    assert system.clock_mhz == record.clock_mhz and system.buffer_mib == record.buffer_mib
    assert system.contract == contract_hash(TINY)
    assert system.name == f"meadow-{board}-{system.contract[:8]}"
    asked = chosen_system(board, "tiny", TINY, clock_mhz=187.5, buffer_mib=3)
    assert (asked.clock_hz, asked.mhz, asked.buffer_bytes) == (187_500_000, "187.5", 3 << 20)
    assert asked.name == system.name


def test_ports_are_taken_in_the_order_of_the_board() -> None:
    system = chosen_system("zcu102", "zcu102", CONFIGURATIONS["zcu102"])
    assert {name: port.interface for name, port in system.masters.items()} == {
        "m_axi0": "S_AXI_HP1_FPD",
        "m_axi1": "S_AXI_HP3_FPD",
        "m_axi2": "S_AXI_HP0_FPD",
        "m_axi3": "S_AXI_HP2_FPD",
    }
    assert set(system.afi) == set(range(16)) and set(system.afi.values()) == {0}


def test_a_narrow_address_does_not_reach_high_memory() -> None:
    assert chosen_system("kv260", "tiny", TINY).reaches_high_memory
    nano = CONFIGURATIONS["nano"]
    assert nano.address_bits == 32
    assert not chosen_system("kv260", "nano", nano).reaches_high_memory


def test_a_label_is_ascii() -> None:
    assert chosen_system("kv260", "größer+lanes=2", TINY).label == "gr__er+lanes=2"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"clock_mhz": 20.0}, "clock must be 25..333 MHz, not 20"),
        ({"clock_mhz": 400.0}, "clock must be 25..333 MHz, not 400"),
        ({"clock_mhz": float("nan")}, "clock must be 25..333 MHz, not nan"),
        ({"clock_mhz": 150.00001}, "clock must be whole kilohertz, not 150.00001 MHz"),
        ({"buffer_mib": 0}, "buffer must be 1..2047 MiB, not 0"),
        ({"buffer_mib": 2048}, "buffer must be 1..2047 MiB, not 2048"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        chosen_system("zcu102", "tiny", TINY, **asked)  # pyright: ignore[reportArgumentType]
    assert str(refused.value) == message


def test_more_ports_than_a_board_has_are_refused() -> None:
    small = replace(BOARDS["kv260"], ports=("HP0",))
    with pytest.raises(ValueError, match="^kv260 has 1 memory ports, the configuration 2$"):
        System(
            board_name="kv260",
            board=small,
            configuration="small",
            config=CONFIGURATIONS["small"],
            clock_mhz=150.0,
            buffer_mib=8,
        )
