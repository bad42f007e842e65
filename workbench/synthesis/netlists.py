# SPDX-License-Identifier: Apache-2.0
"""Netlists of the blocks of a configuration, each synthesised once per content."""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
import re
from collections.abc import Callable, Collection
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from boards.synthesis.chip_blocks import PLACES, TOP, Block, chip_texts, cut
from boards.synthesis.flow import FLOW_VERSION, synthesise
from boards.synthesis.netlist import Netlist
from cosim.cache import cache_directory, content_hash, obtain
from cosim.generate import source_hash
from meadow.spec.checks import check_least
from meadow.spec.config import AcceleratorConfig

__all__ = ["chip_blocks", "netlists"]

_FURTHER = re.compile(r"_\d+$")
"""What `cut` adds to the name of a block's second kind."""

_TOP, _LANE, _NETLIST = "top.il", "lane.il", "netlist.json"


def chip_blocks(config: AcceleratorConfig, log: Callable[[str], None]) -> dict[str, Block]:
    """The blocks by name, their texts from the cache if the sources of the hardware have not
    changed.
    """

    def build(scratch: Path) -> None:
        log("generating the netlists' sources")
        for name, text in zip((_TOP, _LANE), chip_texts(config), strict=True):
            (scratch / name).write_text(text, "utf-8")

    made = obtain(cache_directory() / "rtlil" / _source_key(config), build, log=log)
    top, lane = ((made / name).read_text("utf-8") for name in (_TOP, _LANE))
    return dict(cut(top, lane, config).blocks)


def netlists(
    config: AcceleratorConfig,
    log: Callable[[str], None],
    *,
    names: Collection[str] | None = None,
    jobs: int | None = None,
) -> dict[str, tuple[Block, Netlist]]:
    """Blocks with their netlists, by name.

    names: of the blocks asked for; all if left out. ValueError for one that the chip has not.
    jobs: blocks that are synthesised at once, one for each processor if left out.

    SynthesisError names a block that Yosys does not synthesise.
    """
    jobs = len(os.sched_getaffinity(0)) if jobs is None else jobs
    check_least("jobs", jobs, 1)
    for name in names or ():  # before anything is built
        _check_name(name, (*PLACES, "lane", TOP), _FURTHER.sub("", name))
    blocks = chip_blocks(config, log)
    for name in names or ():
        _check_name(name, blocks, name)
    wanted = [block for name, block in blocks.items() if names is None or name in names]
    targets = {block.name: _target(block) for block in wanted}
    # Whoever takes longest begins first.
    missing = sorted(
        (block for block in wanted if not targets[block.name].exists()),
        key=lambda block: -len(block.text),
    )
    if missing:
        _build_all(missing, targets, jobs, log)
    return {
        block.name: (block, Netlist.read(_built(block, targets[block.name]))) for block in wanted
    }


def _check_name(name: str, known: Collection[str], tried: str) -> None:
    if tried not in known:
        raise ValueError(f"unknown block {name!r}: choose from {', '.join(known)}")


def _build_all(
    blocks: list[Block], targets: dict[str, Path], jobs: int, log: Callable[[str], None]
) -> None:
    """In processes of their own, as builds of one process wait for each other."""
    log(f"synthesising {', '.join(block.name for block in blocks)}")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(blocks)), mp_context=context) as pool:
        running = {pool.submit(_built, block, targets[block.name]): block for block in blocks}
        try:
            for number, done in enumerate(as_completed(running), 1):
                done.result()
                log(f"synthesised {running[done].name}, {number} of {len(blocks)}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _built(block: Block, target: Path) -> Path:
    return obtain(target, lambda scratch: synthesise(block, scratch)) / _NETLIST


def _target(block: Block) -> Path:
    tool = importlib.metadata.version("pyosys")
    key = content_hash(FLOW_VERSION, tool, block.name, block.text, block.verilog)
    return cache_directory() / "netlists" / f"{block.name}-{key}"


def _source_key(config: AcceleratorConfig) -> str:
    return content_hash(source_hash(), json.dumps(config.to_dict()))
