# SPDX-License-Identifier: Apache-2.0
"""The picture of the machine on README's first screen, drawn from a configuration."""

from __future__ import annotations

from meadow.spec.config import AcceleratorConfig
from workbench.pictures.svg import Arrow, Box, Words, svg

__all__ = ["machine_picture"]

_TITLE = (
    "The host driver writes registers and a DMA window. The fetch unit asks ahead for packed "
    "weights, keys and values; they stream from DRAM through memory ports and decoders into a tile "
    "buffer. Its tiles are broadcast to a chain of lanes, whose operands and results stay in the "
    "activation memory on the chip."
)


def machine_picture(config: AcceleratorConfig, name: str) -> str:
    """SVG text of the machine that `config` describes; `name` is what it is called."""
    memory_kib = config.activation_words * config.width >> 10
    frame = f"accelerator, configuration {name}: {config.macs} INT8 multiply-accumulates per cycle"
    return svg(
        920,
        560,
        _TITLE,
        [
            Box(20, 58, 170, 54, "host driver", ("Python, needs only NumPy",), "outside"),
            Box(
                *(20, 240, 170, 150),
                "DRAM",
                ("command program", "packed weights", "K/V cache", "embeddings, results"),
                "outside",
            ),
            Box(250, 20, 650, 520, frame, (), "frame"),
            Box(270, 58, 150, 54, "registers", ("AXI4-Lite, interrupt",), room="axi"),
            Box(470, 58, 170, 54, "sequencer", ("fetch runs ahead of execute",), room="control"),
            Box(470, 154, 170, 54, "fetch unit", ("asks for what comes next",), room="dma"),
            Box(710, 58, 170, 54, "counters", ("cycles, bytes, stalls by cause",), room="axi"),
            Box(
                *(270, 250, 150, 74),
                f"memory port ×{config.ports}",
                ("AXI4, 128 bit", "keeps to the DMA window"),
                room="dma",
            ),
            Box(
                *(470, 250, 170, 74),
                f"decoder ×{config.ports}",
                (", ".join(config.codecs), f"{config.decoder_elements} weights per cycle"),
                room="decoder",
            ),
            Box(
                *(710, 250, 170, 74),
                "tile buffer, schedules",
                (f"2 tiles of {config.width}×{config.width}", "weights, keys or values"),
                room="array",
            ),
            Box(270, 380, 150, 54, "loader and storer", ("new K/V rows, results",), room="dma"),
            Box(270, 456, 150, 54, "vector unit", ("norms, arg-max",), room="vector, norm"),
            Box(
                *(470, 380, 170, 130),
                "activation memory",
                (f"{memory_kib:,} KiB on chip", "residual, Q, MLP hidden,", "attention output"),
                "strong",
                "memory",
            ),
            Box(
                *(710, 370, 170, 80),
                f"lane ×{config.lanes}",
                ("dot products, softmax,", "requantisation;", "scores stay in the lanes"),
                "strong",
                "lane, softmax",
            ),
            Box(710, 466, 170, 54, "result writer", ("residual, GELU, RoPE, gate",), room="writer"),
            Arrow([(190, 85), (270, 85)], both=True),
            Arrow([(420, 85), (470, 85)]),
            Arrow([(105, 112), (105, 240)], both=True),
            Arrow([(610, 112), (610, 132), (690, 132)]),
            Words(698, 136, "commands to every unit", "note", "start"),
            Arrow([(540, 112), (540, 154)]),
            Arrow([(470, 181), (390, 181), (390, 250)]),
            Words(397, 230, "descriptors", "note", "start"),
            Arrow([(555, 208), (555, 250)]),
            Words(563, 233, "decode jobs", "note", "start"),
            Arrow([(345, 250), (345, 140), (485, 140), (485, 112)]),
            Words(338, 156, "program", "note", "end"),
            Arrow([(190, 287), (270, 287)], both=True),
            Arrow([(420, 287), (470, 287)]),
            Arrow([(640, 287), (710, 287)]),
            Words(675, 280, "tiles"),
            Arrow([(345, 324), (345, 380)], both=True),
            Arrow([(845, 324), (845, 370)]),
            Words(838, 352, f"{config.rows} rows per cycle to all lanes", "note", "end"),
            Arrow([(420, 407), (470, 407)], both=True),
            Arrow([(420, 483), (470, 483)], both=True),
            Arrow([(640, 410), (710, 410)]),
            Words(675, 403, "operands"),
            Arrow([(845, 450), (845, 466)]),
            Arrow([(710, 493), (640, 493)]),
            Words(675, 486, "results"),
        ],
    )
