# SPDX-License-Identifier: Apache-2.0
"""`meadow torture`: the chip stands it, and the campaign tells if it did not."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest

import workbench.campaigns.torture
import workbench.campaigns.torture_bench
from cosim.device import CosimDevice
from cosim.library import ProtocolError, Simulation
from firmware.registers import Registers
from hw_tests.seeds import salted
from hw_tests.workbench.commands import meadow
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.spec.config import BEAT_BYTES
from meadow.spec.registers import ErrorCode, Status
from workbench.campaigns.torture import FAULTS, campaign
from workbench.campaigns.torture_bench import TortureBench
from workbench.campaigns.torture_model import TortureModel, draw_torture_model
from workbench.campaigns.torture_outcome import Outcome
from workbench.campaigns.torture_scene import Hang, Scene
from workbench.configurations.chosen import choose_config

pytestmark = pytest.mark.sim

CONTRACT = {"programs", "faults", "hangs", "wrong_results", "silent_errors", "recoveries"}
KEYS = CONTRACT | {
    *(
        "protocol_errors",
        "seed",
        "config",
        "contract_hash",
        "parameters",
        "seconds",
        "doorbells",
        "cycles",
        "by_kind",
        "by_code",
    ),
    *("first_failure", "failures", "label"),
}
FAILURES = ("hangs", "wrong_results", "silent_errors", "protocol_errors")


run = partial(meadow, "torture")


def bench(seed: int = 5) -> TortureBench:
    made = TortureBench(
        np.random.default_rng(salted(seed)), choose_config("tiny"), lambda text: None
    )
    made.good_step(made.prepare(made.draw_plan()))
    return made


def test_a_prompt_that_begins_with_the_prefix_is_compared_without_it() -> None:
    def drawn(seed: int) -> TortureModel:
        return draw_torture_model(np.random.default_rng(salted(seed)), choose_config("tiny"))

    with_prefix = (seed for seed in range(100) if drawn(seed).image.manifest.prefix)
    made = next(one for one in map(bench, with_prefix) if one.fixed is None)
    prefix, start = list(made.image.manifest.prefix), made.first_position
    assert len(prefix) == start > 0
    other = [(prefix[0] + 1) % 5]
    repeated = [*prefix, *prefix]
    for tokens, taken in (([*prefix, 1, 2], 2), (repeated, start), (prefix, 0), (other, 1)):
        made.rewind(0, start)
        made.prefill(0, tokens, chunk=1)
        assert made.session.positions[0] == made.caches[0].length == start + taken
    made.close()


@pytest.mark.slow
def test_the_chip_stands_it() -> None:
    report = json.loads(run("--programs", 12, "--seed", salted(3), "--json").stdout)
    assert set(report) == KEYS
    assert report["first_failure"] is None and report["failures"] == []
    assert [report[key] for key in FAILURES] == [0, 0, 0, 0]
    assert report["programs"] == 12 and report["label"] == "simulated"
    assert report["recoveries"] == report["faults"] > 80
    assert report["cycles"] > 1000 * report["doorbells"] > 2000 * report["faults"]
    assert set(report["by_kind"]) == set(FAULTS)
    for counts in report["by_kind"].values():
        assert counts["faults"] == sum(counts.values()) - counts["faults"]
    assert sum(counts["faults"] for counts in report["by_kind"].values()) == report["faults"]
    assert set(report["by_code"]) == {code.name for code in ErrorCode if code}
    for code in ("WINDOW", "READ_RESPONSE", "STREAM", "COMMAND_CHECK", "WATCHDOG"):
        assert report["by_code"][code] > 0


@pytest.mark.slow
def test_two_ports() -> None:
    report = campaign(salted(1), chosen=choose_config("small"), programs=3)
    assert report["first_failure"] is None and report["recoveries"] == report["faults"] > 15


@pytest.mark.slow
def test_the_seed_and_the_number_decide_everything() -> None:
    first, again = (campaign(7, programs=2) for _ in range(2))
    alone = [campaign(7, only=number) for number in range(2)]
    for report in (first, again, *alone):
        del report["seconds"]
    assert first == again
    for key in ("programs", "faults", "doorbells", "cycles"):
        assert first[key] == sum(report[key] for report in alone)
    assert alone[0]["cycles"] != alone[1]["cycles"]


def test_the_time_ends_it() -> None:
    report = json.loads(run("--seconds", 0.1, "--json").stdout)
    assert report["programs"] == 1 and 0 < report["seconds"] < 30


def only(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Faults of one kind."""
    monkeypatch.setattr(workbench.campaigns.torture, "FAULTS", {kind: FAULTS[kind]})


def ends_with(key: str, text: str) -> None:
    """The campaign of one program counts one failure, and says how to see it again."""
    seed = salted(4)
    report = campaign(seed, programs=1)
    assert {name: report[name] for name in FAILURES} == dict.fromkeys(FAILURES, 0) | {key: 1}
    assert report["first_failure"].startswith(f"seed {seed}, program 0, step ")
    assert f": {key}: " in report["first_failure"] and text in report["first_failure"]
    again = campaign(seed, only=0)
    assert again["first_failure"] == report["first_failure"]
    result = run("--programs", 1, "--seed", seed, code=1)
    last = result.stderr.splitlines()[-1]
    assert last.startswith(
        f"meadow: {report['first_failure']} (replay: --seed {seed} --config tiny"
    )
    assert f"1 {key.replace('_', ' ')}" in result.stdout


def test_a_step_that_differs_from_golden_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = BitTrueModel.forward
    monkeypatch.setattr(
        BitTrueModel,
        "forward",
        lambda *given, **more: forward(*given, **more) + 1,
    )
    ends_with("wrong_results", "from golden")


def test_a_byte_that_differs_from_golden_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    compare = TortureBench.compare_memory

    def spoiled(self: TortureBench, scene: Scene) -> None:
        self.device.memory[-1] ^= 1
        compare(self, scene)

    monkeypatch.setattr(TortureBench, "compare_memory", spoiled)
    ends_with("wrong_results", "1 bytes of the window differ from golden")


@pytest.mark.parametrize(
    "kind", ["slave_error", "decode_error", "stream", "command", "small_window"]
)
def test_an_error_that_the_chip_ignores_is_silent(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Registers.read

    def ignore(self: Registers, name: str) -> int:
        value = read(self, name)
        if name == "status" and value & Status.ERROR:
            return value & ~Status.ERROR | Status.DONE
        return 0 if name == "error_code" else value

    only(monkeypatch, kind)
    monkeypatch.setattr(Registers, "read", ignore)
    ends_with("silent_errors", "was not reported")


@pytest.mark.parametrize("kind", ["slave_error", "stream", "command", "small_window"])
def test_an_error_that_names_another_command_is_silent(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Registers.read

    def mislead(self: Registers, name: str) -> int:
        return read(self, name) + (1000 if name == "error_command" else 0)

    only(monkeypatch, kind)
    monkeypatch.setattr(Registers, "read", mislead)
    ends_with("silent_errors", "names command 1")


def test_an_error_with_another_code_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Registers.read

    def mislead(self: Registers, name: str) -> int:
        value = read(self, name)
        return int(ErrorCode.WINDOW) if name == "error_code" and value else value

    only(monkeypatch, "stream")
    monkeypatch.setattr(Registers, "read", mislead)
    ends_with("silent_errors", "was reported as WINDOW")


def test_what_is_published_beside_an_error_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = FAULTS["command"]

    def publish(made: TortureBench, scene: Scene) -> Outcome:
        outcome = fault(made, scene)
        place = next(access for access in scene.accesses if access.write).start
        made.device.memory[place] = scene.after[place] ^ 1
        return outcome

    monkeypatch.setattr(workbench.campaigns.torture, "FAULTS", {"command": publish})
    ends_with("silent_errors", "1 bytes stand that are wrong")


def test_a_byte_outside_the_window_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = TortureBench.ring

    def spill(self: TortureBench) -> int:
        self.device.guards[1][0] ^= 1
        return ring(self)

    monkeypatch.setattr(TortureBench, "ring", spill)
    only(monkeypatch, "command")
    ends_with("silent_errors", "memory outside the window was written")


def test_a_burst_outside_the_window_is_silent() -> None:
    made = bench()
    scene = made.prepare(made.draw_plan())
    made.ended(made.start())
    with pytest.raises(Exception, match="burst outside the window"):
        made.check_bounds(size=scene.accesses[-1].start // BEAT_BYTES)
    made.close()


def test_a_chip_without_interrupt_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CosimDevice, "interrupt", False)
    monkeypatch.setattr(workbench.campaigns.torture_bench, "_TIMEOUT_CYCLES", 1000)
    ends_with("hangs", "no interrupt within")


def test_a_chip_that_stays_busy_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench()
    monkeypatch.setattr(made, "status", lambda: Status.BUSY)
    with pytest.raises(Hang, match="busy for 100 cycles"):
        made.until_ready(100)
    made.start()
    with pytest.raises(Exception, match="interrupt with"):
        made.ended(0)
    made.close()


def test_a_breach_of_axi_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def breach(self: Simulation, *given: Any, **more: Any) -> int:
        raise ProtocolError("1 violations of AXI")

    monkeypatch.setattr(Simulation, "run", breach)
    ends_with("protocol_errors", "1 violations of AXI")


def test_a_doorbell_that_is_taken_though_illegal_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workbench.campaigns.torture_events._refuses", lambda *given: False)
    only(monkeypatch, "illegal_start")
    ends_with("silent_errors", "was taken")
