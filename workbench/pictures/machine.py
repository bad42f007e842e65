# SPDX-License-Identifier: Apache-2.0
"""The picture of the machine on README's first screen, drawn from a configuration."""

from __future__ import annotations

from meadow.spec.config import AcceleratorConfig
from meadow.spec.streams import CODEC_NAMES
from workbench.pictures.svg import Arrow, Box, Words, svg

__all__ = ["machine_picture"]

_TITLE = (
    "The host driver writes registers and a DMA window. Packed weights, keys and values stream "
    "from DRAM through memory ports and decoders into a tile buffer; its tiles are broadcast to a "
    "chain of lanes, whose operands and results stay in the activation memory on the chip."
)


def machine_picture(config: AcceleratorConfig, name: str) -> str:
    """SVG text of the machine that `config` describes; `name` is what it is called."""
    memory_kib = config.activation_words * config.width >> 10
    frame = f"accelerator, configuration {name}: {config.macs} INT8 multiply-accumulates per cycle"
    return svg(
        920,
        490,
        _TITLE,
        [
            Box(20, 58, 170, 54, "host driver", ("Python, needs only NumPy",), "outside"),
            Box(
                *(20, 170, 170, 150),
                "DRAM",
                ("command program", "packed weights", "K/V cache", "embeddings, results"),
                "outside",
            ),
            Box(250, 20, 650, 450, frame, (), "frame"),
            Box(270, 58, 150, 54, "registers", ("AXI4-Lite, interrupt",), room="axi"),
            Box(470, 58, 170, 54, "sequencer", ("fetch runs ahead of execute",), room="control"),
            Box(710, 58, 170, 54, "counters", ("cycles, bytes, stalls by cause",), room="axi"),
            Box(
                *(270, 180, 150, 74),
                f"memory port ×{config.ports}",
                ("AXI4, 128 bit", "keeps to the DMA window"),
                room="dma",
            ),
            Box(
                *(470, 180, 170, 74),
                f"decoder ×{config.ports}",
                (", ".join(CODEC_NAMES), f"{config.decoder_elements} weights per cycle"),
                room="decoder",
            ),
            Box(
                *(710, 180, 170, 74),
                "tile buffer, schedules",
                (f"2 tiles of {config.width}×{config.width}", "weights, keys or values"),
                room="array",
            ),
            Box(270, 310, 150, 54, "loader and storer", ("new K/V rows, results",), room="dma"),
            Box(270, 386, 150, 54, "vector unit", ("norms, arg-max",), room="vector, norm"),
            Box(
                *(470, 310, 170, 130),
                "activation memory",
                (f"{memory_kib:,} KiB on chip", "residual, Q, MLP hidden,", "attention output"),
                "strong",
                "memory",
            ),
            Box(
                *(710, 300, 170, 80),
                f"lane ×{config.lanes}",
                ("dot products, softmax,", "requantisation;", "scores stay in the lanes"),
                "strong",
                "lane, softmax",
            ),
            Box(710, 396, 170, 54, "result writer", ("residual, GELU, RoPE, gate",), room="writer"),
            Arrow([(190, 85), (270, 85)], both=True),
            Arrow([(420, 85), (470, 85)]),
            Arrow([(105, 112), (105, 170)], both=True),
            Arrow([(555, 112), (555, 180)]),
            Words(563, 150, "commands to every unit", "note", "start"),
            Arrow([(345, 180), (345, 140), (485, 140), (485, 112)]),
            Words(352, 156, "program", "note", "start"),
            Arrow([(190, 217), (270, 217)], both=True),
            Arrow([(420, 217), (470, 217)]),
            Arrow([(640, 217), (710, 217)]),
            Words(675, 210, "tiles"),
            Arrow([(345, 254), (345, 310)], both=True),
            Arrow([(845, 254), (845, 300)]),
            Words(838, 282, f"{config.rows} rows per cycle to all lanes", "note", "end"),
            Arrow([(420, 337), (470, 337)], both=True),
            Arrow([(420, 413), (470, 413)], both=True),
            Arrow([(640, 340), (710, 340)]),
            Words(675, 333, "operands"),
            Arrow([(845, 380), (845, 396)]),
            Arrow([(710, 423), (640, 423)]),
            Words(675, 416, "results"),
        ],
    )
