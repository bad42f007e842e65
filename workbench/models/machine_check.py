# SPDX-License-Identifier: Apache-2.0
"""A sample of what the bit-true tier has computed, computed again by the golden machine: command by
command on the bytes of an image, as the hardware does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from firmware.golden_device import GoldenDevice
from firmware.session import Session
from meadow.compiler.image import compile_image
from meadow.compiler.quantise.text_figures import Stream, Window
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import Outputs
from meadow.spec.config import AcceleratorConfig

__all__ = ["CHECKED_TOKENS", "CHECKED_WINDOWS", "check_with_machine"]

CHECKED_WINDOWS = 2
CHECKED_TOKENS = 16
"""First tokens of text of so many windows: all of them go through every layer, and the logits of
the last one see them all."""


def check_with_machine(
    stream: Stream,
    model: QuantisedModel,
    windows: Sequence[Window],
    config: AcceleratorConfig,
    config_name: str,
) -> dict[str, Any]:
    """Compare the logits behind the beginning of some windows, those of the stream with the
    machine's; JSON-ready: how much was compared.

    model : that of the stream. ValueError for the first logit that differs, and as `compile_image`
    raises it.
    """
    image = compile_image(model, config, config_name=config_name, codec="raw", tokenizer_json=b"")
    session = Session(GoldenDevice(config, Session.window_bytes(image)), image)
    compared = tokens = 0
    for number, window in enumerate(windows[:CHECKED_WINDOWS]):
        behind = window.tokens[model.start :][:CHECKED_TOKENS]
        session.rewind(position=model.start)
        result = session.prefill(behind.tolist(), outputs=Outputs.LOGITS)
        assert result.logits is not None
        found = result.logits[-1] * np.float32(model.logits_scale)
        expected = _last_logits(stream, window.tokens[: model.start + len(behind)])
        wrong = np.flatnonzero(found != expected)
        if wrong.size:
            raise ValueError(
                f"the bit-true tier must equal the machine; {wrong.size} logits of window {number} "
                f"differ, first token {wrong[0]}: {expected[wrong[0]]}, not {found[wrong[0]]}"
            )
        tokens += len(behind)
        compared += found.size
    return {"windows": min(len(windows), CHECKED_WINDOWS), "tokens": tokens, "logits": compared}


def _last_logits(stream: Stream, tokens: np.ndarray) -> np.ndarray:
    rows = stream.start(tokens)
    for index in range(stream.layers):
        rows = stream.layer(index, rows)
    return stream.logits(rows[-1:])[0]
