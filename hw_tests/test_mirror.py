# SPDX-License-Identifier: Apache-2.0
"""Every source module has a test file of its own, or is tested by unit: with the unit that it is a
part of.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from hw_tests.test_floors import FLOORS, ROOT, imports

PART_OF: dict[str, tuple[str, ...]] = {
    "boards/routing/test_place.py": ("boards/routing/synthesis",),
    "boards/synthesis/test_absorption.py": ("boards/synthesis/adder",),
    "boards/synthesis/test_chip_blocks.py": ("boards/synthesis/flow", "boards/synthesis/netlist"),
    "cocotb_bench/test_step_bench.py": (
        "cocotb_bench/design",
        "cocotb_bench/device",
        "cocotb_bench/memory",
        "cocotb_bench/rules",
        "cocotb_bench/small_models",
        "examples/cocotb/bench_chip",
    ),
    "cosim/test_cache_lock.py": ("cosim/build_guard",),
    "cosim/test_library.py": ("cosim/native", "cosim/native_library"),
    "examples/test_examples.py": ("examples/batch", "examples/bus_error", "examples/generate"),
    "boards/timing/test_chip.py": ("boards/timing/box",),
    "boards/timing/test_graph.py": ("boards/timing/ways",),
    "boards/timing/test_resets.py": ("boards/timing/limits",),
    "firmware/board/test_command.py": ("firmware/board/__main__", "firmware/board/kernel_files"),
    "firmware/board/test_device.py": (
        "firmware/board/errors",
        "meadow/spec/linux",
    ),
    "firmware/board/test_load.py": ("firmware/board/dfx_manager",),
    "firmware/test_session.py": (
        "firmware/golden_device",
        "firmware/results",
        "firmware/step_runner",
    ),
    "firmware/test_registers.py": ("meadow/spec/registers",),
    "meadow/compiler/importers/test_llama.py": ("meadow/compiler/importers/config_fields",),
    "meadow/compiler/importers/test_model_tensors.py": ("meadow/compiler/importers/family",),
    "meadow/compiler/lowering/baseline/test_gemm.py": (
        "meadow/compiler/lowering/baseline/gemm_plan",
        "meadow/compiler/lowering/baseline/predict",
    ),
    "meadow/compiler/lowering/test_program.py": (
        "meadow/compiler/lowering/lowering",
        "meadow/compiler/lowering/mlp",
        "meadow/compiler/lowering/outputs",
    ),
    "meadow/compiler/packing/test_packing.py": ("meadow/spec/streams",),
    "meadow/compiler/packing/test_bit_fields.py": ("meadow/golden/streams/parts",),
    "meadow/compiler/test_image.py": ("meadow/model/image",),
    "meadow/spec/test_ranges.py": ("meadow/spec/rules",),
    "meadow/golden/tiers/test_float_tier.py": (
        "meadow/golden/tiers/cache",
        "meadow/golden/tiers/observer",
        "meadow/golden/tiers/tokens",
    ),
    "meadow/compiler/importers/test_checkpoint.py": ("meadow/model/shaped_tensors",),
    "meadow/model/test_quantised.py": ("meadow/model/checks", "meadow/model/hidden_blocks"),
    "meadow/spec/test_model.py": ("meadow/spec/checks", "meadow/spec/rotary_divisors"),
    "parity/test_train.py": ("workbench/demo/train",),
    "rtl_gen/array/test_array_control.py": (
        "rtl_gen/array/tile_op_generator",
        "rtl_gen/interfaces/array_activity",
        "rtl_gen/interfaces/schedule",
    ),
    "rtl_gen/array/test_attend_schedule.py": (
        "rtl_gen/array/attend_job",
        "rtl_gen/array/attend_place",
        "rtl_gen/array/attend_span",
        "rtl_gen/array/attend_tile_op",
    ),
    "rtl_gen/array/test_drain_passes.py": ("rtl_gen/lane/lane_tokens",),
    "rtl_gen/array/test_row_pairing.py": ("rtl_gen/interfaces/rows",),
    "rtl_gen/baseline/test_row_probabilities.py": ("rtl_gen/blocks/adder_tree",),
    "rtl_gen/blocks/test_queue.py": ("rtl_gen/blocks/skid",),
    "rtl_gen/axi/test_lite_registers.py": ("rtl_gen/interfaces/counters",),
    "rtl_gen/control/test_sequencer.py": (
        "rtl_gen/control/entry",
        "rtl_gen/control/execute_pointer",
        "rtl_gen/control/fetch_pointer",
        "rtl_gen/interfaces/error",
        "rtl_gen/interfaces/units",
    ),
    "rtl_gen/decoder/test_decoder.py": (
        "rtl_gen/decoder/unpacker",
        "rtl_gen/decoder/weight_block",
        "rtl_gen/interfaces/tile",
    ),
    "rtl_gen/decoder/test_rice.py": ("rtl_gen/decoder/ranks", "rtl_gen/decoder/substreams"),
    "rtl_gen/dma/test_fetch.py": (
        "rtl_gen/dma/load_share",
        "rtl_gen/dma/port_fetch",
        "rtl_gen/interfaces/command",
        "rtl_gen/interfaces/row_set",
    ),
    "rtl_gen/dma/test_memory_port.py": (
        "rtl_gen/dma/bursts",
        "rtl_gen/dma/read_engine",
        "rtl_gen/dma/write_engine",
        "rtl_gen/interfaces/dma",
    ),
    "rtl_gen/dma/test_storer.py": ("rtl_gen/dma/store_reader", "rtl_gen/dma/store_share"),
    "rtl_gen/lane/test_lane.py": ("rtl_gen/interfaces/lane",),
    "rtl_gen/memory/test_activation_memory.py": (
        "rtl_gen/interfaces/members",
        "rtl_gen/interfaces/memory",
        "rtl_gen/memory/belt",
    ),
    "rtl_gen/norm/test_norm.py": (
        "rtl_gen/interfaces/norm",
        "rtl_gen/memory/row_addresses",
        "rtl_gen/norm/norm_output",
        "rtl_gen/norm/norm_parameters",
    ),
    "rtl_gen/softmax/test_online.py": (
        "rtl_gen/interfaces/probability",
        "rtl_gen/softmax/block_maximum",
        "rtl_gen/softmax/running_sum",
        "rtl_gen/softmax/score",
    ),
    "rtl_gen/single/test_interfaces.py": ("rtl_gen/single/roles",),
    "rtl_gen/test_export.py": ("rtl_gen/top", "rtl_gen/units"),
    "rtl_gen/vector/test_vector_unit.py": ("rtl_gen/vector/candidate_store",),
    "rtl_gen/writer/test_writer.py": ("rtl_gen/interfaces/result",),
    "workbench/bench/test_command.py": ("workbench/bench/attention", "workbench/bench/phases"),
    "workbench/campaigns/test_corruption.py": ("workbench/campaigns/stream_faults",),
    "workbench/campaigns/test_random_checkpoints.py": ("workbench/campaigns/llama_files",),
    "workbench/campaigns/test_soak.py": ("workbench/campaigns/random_models",),
    "workbench/campaigns/test_torture.py": (
        "workbench/campaigns/torture_bench",
        "workbench/campaigns/torture_commands",
        "workbench/campaigns/torture_events",
        "workbench/campaigns/torture_faults",
        "workbench/campaigns/torture_model",
        "workbench/campaigns/torture_outcome",
        "workbench/campaigns/torture_scene",
    ),
    "workbench/demo/test_stories.py": (
        "workbench/demo/beats",
        "workbench/demo/plots",
        "workbench/demo/words",
    ),
    "workbench/synthesis/test_resources.py": ("workbench/synthesis/netlists",),
    "workbench/documents/test_measurements.py": (
        "workbench/documents/accuracy_tables",
        "workbench/documents/memory_tables",
        "workbench/documents/runs",
    ),
    "workbench/models/test_command.py": ("workbench/models/compile_model", "workbench/warning"),
    "workbench/packing/test_report.py": ("workbench/packing/build",),
    "workbench/pictures/test_timeline.py": ("workbench/pictures/arguments",),
    "workbench/pictures/test_main.py": ("workbench/pictures/__main__", "workbench/pictures/svg"),
    "workbench/run/test_command.py": (
        "workbench/run/reference",
        "workbench/run/table",
    ),
    "workbench/single/test_folder.py": ("workbench/single/page",),
    "workbench/test_planted_faults.py": ("workbench/run/verify",),
}
"""Test file of a unit -> the modules that are tried as parts of it, in no file of their own."""


def sources(root: Path) -> list[str]:
    """Modules below the folders of sources, as paths without their ending."""
    found = [path for floor in FLOORS for path in (root / floor).rglob("*.py")]
    return sorted(
        path.relative_to(root).with_suffix("").as_posix()
        for path in found
        if path.name != "__init__.py"
    )


def mirrored(root: Path, module: str) -> bool:
    """Whether hw_tests has the test file of that module at the same path."""
    folder, _, name = module.rpartition("/")
    return (root / "hw_tests" / folder / f"test_{name}.py").is_file()


def faults(root: Path, part_of: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """What of the rule does not hold below `root`, one line each."""
    listed = [module for modules in part_of.values() for module in modules]
    known = sources(root)
    for module in known:
        own, times = mirrored(root, module), listed.count(module)
        if not own and not times:
            yield f"{module}.py has no test file, and no unit that it is tested with"
        if own and times:
            yield f"{module}.py has a test file of its own, so it needs no other"
        if times > 1:
            yield f"{module}.py is listed {times} times"
    for test in part_of:
        if not (root / "hw_tests" / test).is_file():
            yield f"{test} is not there"
    for module in listed:
        if module not in known:
            yield f"{module}.py is listed and not there"


@cache
def neighbours(root: Path, place: str) -> set[str]:
    """Modules of this project that a module imports itself."""
    names = imports(root / f"{place}.py")
    # `from a.b import c` may name a module or a thing in it.
    places = {name.replace(".", "/") for name in names | {n.rpartition(".")[0] for n in names}}
    return {other for other in places if (root / f"{other}.py").is_file()}


def reached(root: Path, start: str) -> set[str]:
    """Modules of this project that a module imports, itself or through others."""
    found: set[str] = set()
    pending = {start}
    while pending:
        found |= pending
        pending = {other for place in pending for other in neighbours(root, place)} - found
    return found


def test_every_module_is_mirrored_or_tested_with_its_unit() -> None:
    assert list(faults(ROOT, PART_OF)) == []
    assert len(PART_OF) < len(sources(ROOT)) / 4, "to be listed is the exception"


@pytest.mark.parametrize("test", PART_OF)
def test_the_test_of_a_unit_reaches_its_parts(test: str) -> None:
    seen = reached(ROOT, f"hw_tests/{test.removesuffix('.py')}")
    assert [module for module in PART_OF[test] if module not in seen] == []


def test_a_module_without_a_test_is_found(tmp_path: Path) -> None:
    for place in ("meadow/a.py", "meadow/b.py", "meadow/__init__.py", "hw_tests/meadow/test_a.py"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    assert list(faults(tmp_path, {})) == [
        "meadow/b.py has no test file, and no unit that it is tested with"
    ]
    assert list(faults(tmp_path, {"meadow/test_a.py": ("meadow/b",)})) == []
    assert list(faults(tmp_path, {"meadow/test_c.py": ("meadow/a", "meadow/b", "meadow/c")})) == [
        "meadow/a.py has a test file of its own, so it needs no other",
        "meadow/test_c.py is not there",
        "meadow/c.py is listed and not there",
    ]
