# SPDX-License-Identifier: Apache-2.0
"""Parts that a configuration may leave out: what is refused where one is missing, in one line that
names part, configuration and the configurations that have it.
"""

from __future__ import annotations

from collections.abc import Callable

from meadow.spec.commands import Opcode
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.streams import CODEC_NAMES, Codec

__all__ = ["BASELINE_OPCODES", "MissingPart", "require_baseline", "require_codec", "used_opcodes"]

BASELINE_OPCODES = (Opcode.SOFTMAX,)
"""Commands of the softmax of whole rows, which only the layer-by-layer baseline needs."""


class MissingPart(ValueError):
    """Something needs a part that the configuration does not have; see the message."""


def used_opcodes(config: AcceleratorConfig) -> tuple[Opcode, ...]:
    """Those that an accelerator of this configuration knows."""
    return tuple(code for code in Opcode if config.baseline or code not in BASELINE_OPCODES)


def require_codec(config: AcceleratorConfig, name: str) -> None:
    """MissingPart unless the decoders can read streams of the codec of this name."""
    codec = Codec(CODEC_NAMES.index(name))
    if not config.has_codec(codec):
        has = ", ".join(config.codecs)
        raise _missing(
            f"decoder of codec {name} (it has {has})", config, lambda c: c.has_codec(codec)
        )


def require_baseline(config: AcceleratorConfig) -> None:
    """MissingPart unless there is the softmax unit of the layer-by-layer baseline."""
    if not config.baseline:
        raise _missing("softmax unit for dataflow gemm", config, lambda c: c.baseline)


def _missing(
    part: str, config: AcceleratorConfig, has: Callable[[AcceleratorConfig], bool]
) -> MissingPart:
    own = [name for name, known in CONFIGURATIONS.items() if known == config]
    others = [name for name, known in CONFIGURATIONS.items() if has(known)]
    named = f"configuration {own[0]}" if own else "this configuration"
    return MissingPart(f"{named} has no {part}: {', '.join(others)} have one")
