# SPDX-License-Identifier: Apache-2.0
"""The DMA controller alone executes LOAD and STORE as the golden machine does, and hands beats of
weights, keys and values to decoders.
"""

from __future__ import annotations

import random

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.dma.controller_bench import background_benches, check_commands, some_commands
from hw_tests.seeds import salted
from hw_tests.streams import STALLS, Rig
from hw_tests.unit_config import unit_config
from meadow.spec.config import AcceleratorConfig, named_config
from rtl_gen.dma.controller import DmaController

_PAIR = unit_config(
    32, ports=2, groups=8, sequences=4, max_context=128, max_head_dim=32, norm_channels=64
)


@pytest.mark.parametrize("stalls", ["free", *(slow(name) for name in STALLS if name != "free")])
@pytest.mark.parametrize("config", [named_config("tiny"), _PAIR], ids=["tiny", "pair"])
def test_commands_of_every_kind(config: AcceleratorConfig, stalls: str) -> None:
    dut = DmaController(config=config)
    rig = Rig(dut, background=background_benches(config))
    commands, step = some_commands(config, random.Random(salted(41)))
    check_commands(config, commands, step, (dut, rig), stall=max(STALLS[stalls]), seed=41)
