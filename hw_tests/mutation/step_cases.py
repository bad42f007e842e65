# SPDX-License-Identifier: Apache-2.0
"""Models, what is asked of them, and the memory behind the chip: the cases of `steps`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cosim.library import DramSettings
from hw_tests.seeds import salted
from meadow.spec.commands import Outputs

__all__ = ["BOTH", "CASES", "Case", "Take"]

BOTH = Outputs.ARGMAX | Outputs.LOGITS


@dataclass(frozen=True, kw_only=True)
class Take:
    """A step: new tokens of some sequences, {sequence: count}, and what is asked of the head."""

    tokens: Mapping[int, int]
    outputs: Outputs = BOTH
    head_all: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model, what its sequences have cached (noise), its steps, and the memory.

    uniform: weights of all 8-bit values instead of bell-shaped ones. far: the caches start so many
    beats higher than the image says, in a window that is as much larger.
    """

    name: str
    architecture: str
    sizes: Mapping[str, object]
    takes: tuple[Take, ...]
    codec: str = "auto"
    dataflow: str = "tphs"
    hidden_block: int | None = None
    positions: tuple[int, ...] = (0,)
    uniform: bool = False
    settings: DramSettings = DramSettings(latency_cycles=12)
    base: int = 0x1000_0000
    far: int = 0


_SMALL = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "head_dim": 16, "hidden": 48}
_STALLS = DramSettings(stalls=90, latency_cycles=20, seed=salted(7))


def _uniform(codec: str, tokens: int, **sizes: int) -> Case:
    """One layer whose weights are all equal."""
    return Case(
        name=f"uniform weights, {codec}",
        architecture="opt",
        sizes={"layers": 1, **sizes},
        codec=codec,
        uniform=True,
        takes=(Take(tokens={0: tokens}, head_all=True),),
    )


CASES = (
    Case(
        name="opt raw",
        architecture="opt",
        sizes=_SMALL | {"vocabulary": 40},
        codec="raw",
        takes=(Take(tokens={0: 5}), Take(tokens={0: 1}), Take(tokens={0: 1}, head_all=True)),
    ),
    Case(
        name="opt dictionary, stalls",
        architecture="opt",
        sizes=_SMALL | {"vocabulary": 70, "heads": 1, "kv_heads": 1, "head_dim": 48, "width": 48},
        codec="dictionary",
        settings=_STALLS,
        takes=(Take(tokens={0: 9}, head_all=True), Take(tokens={0: 1}, outputs=Outputs.ARGMAX)),
    ),
    Case(
        name="opt rice, stalls, high addresses",
        architecture="opt",
        sizes=_SMALL | {"vocabulary": 70, "hidden": 100},
        codec="rice",
        hidden_block=64,
        settings=replace(_STALLS, stalls=(40, 120, 200, 160, 40), latency_cycles=70),
        base=0xA5_5A5A_6000,
        takes=(Take(tokens={0: 3}), Take(tokens={0: 1})),
    ),
    _uniform("rice", 2, hidden=24),
    _uniform("dictionary", 3, hidden=40, vocabulary=50),
    Case(
        name="llama, cached tokens, shared keys",
        architecture="llama",
        sizes=_SMALL
        | {"width": 40, "heads": 4, "kv_heads": 2, "hidden": 60, "vocabulary": 33}
        | {"max_positions": 160},
        settings=replace(_STALLS, stalls=40, latency_cycles=1),
        positions=(100,),
        base=0x5A_A5A5_9000,
        takes=(Take(tokens={0: 6}), Take(tokens={0: 1}), Take(tokens={0: 40}, head_all=True)),
    ),
    Case(
        name="vit, wide heads",
        architecture="vit",
        sizes=_SMALL | {"width": 64, "heads": 1, "kv_heads": 1, "head_dim": 64},
        takes=(Take(tokens={0: 21}, head_all=True),),
    ),
    Case(
        name="bert",
        architecture="bert",
        sizes=_SMALL,
        settings=replace(_STALLS, stalls=60),
        takes=(Take(tokens={0: 18}, outputs=Outputs.LOGITS),),
    ),
    Case(
        name="layer by layer, first tokens",
        architecture="opt",
        sizes=_SMALL,
        dataflow="gemm",
        takes=(Take(tokens={0: 37}),),
    ),
    Case(
        name="layer by layer, long context",
        architecture="llama",
        sizes=_SMALL | {"head_dim": 32, "width": 30, "max_positions": 512},
        dataflow="gemm",
        positions=(477,),
        settings=_STALLS,
        takes=(Take(tokens={0: 35}),),
    ),
    *(
        Case(
            name=f"four sequences, to the end of the context, caches at {far:#x}",
            architecture="opt",
            sizes=_SMALL
            | {"max_positions": 512, "heads": 3, "kv_heads": 3, "head_dim": 20, "width": 60},
            positions=(511, 3, 200, 64),
            far=far,
            base=0x2A_AAAA_A000,
            settings=replace(_STALLS, latency_cycles=33, stalls=30),
            takes=(
                Take(tokens={0: 1, 1: 1, 2: 1, 3: 1}),
                Take(tokens={1: 13, 2: 7, 3: 17}, head_all=True),
            ),
        )
        for far in (0xFEDC_B000, 0x0123_4000)
    ),
    Case(
        name="a full chunk",
        architecture="opt",
        sizes=_SMALL | {"max_positions": 160},
        positions=(90,),
        takes=(Take(tokens={0: 64}, outputs=Outputs.LOGITS, head_all=True), Take(tokens={0: 3})),
    ),
    *(
        Case(
            name=f"many weights, {architecture} {codec}",
            architecture=architecture,
            sizes=_SMALL
            | {"width": 128, "heads": 4, "kv_heads": 4, "head_dim": 32, "vocabulary": 150}
            | {"hidden": 256},
            codec=codec,
            settings=DramSettings(latency_cycles=5, stalls=(20, 50, 0, 0, 0), seed=salted(3)),
            takes=(Take(tokens={0: 1}),),
        )
        for codec, architecture in (("rice", "opt"), ("rice", "llama"), ("dictionary", "opt"))
    ),
    Case(
        name="narrow memory with refresh and page misses",
        architecture="opt",
        sizes=_SMALL | {"width": 96, "heads": 6, "kv_heads": 6, "vocabulary": 200},
        settings=DramSettings(
            rate=(5, 1),
            latency_cycles=40,
            refresh_interval_cycles=700,
            refresh_cycles=50,
            page_miss_cycles=7,
        ),
        takes=(Take(tokens={0: 2}), Take(tokens={0: 1})),
    ),
)
