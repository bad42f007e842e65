# SPDX-License-Identifier: Apache-2.0
"""Which design is simulated: the manifest that `meadow generate` has written beside the Verilog."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from meadow.spec.config import AcceleratorConfig

__all__ = ["MANIFEST_VARIABLE", "design_config", "design_manifest"]

MANIFEST_VARIABLE = "MEADOW_MANIFEST"
"""Environment variable that names `manifest.json`."""


def design_manifest() -> dict[str, Any]:
    """The manifest of the simulated Verilog; ValueError if nobody says which it is."""
    path = os.environ.get(MANIFEST_VARIABLE)
    if not path:
        raise ValueError(
            f"{MANIFEST_VARIABLE} must name the manifest.json that is beside the Verilog"
        )
    return json.loads(Path(path).read_text("utf-8"))


def design_config() -> AcceleratorConfig:
    """The configuration of the simulated Verilog."""
    return AcceleratorConfig.from_dict(design_manifest()["parameters"])
