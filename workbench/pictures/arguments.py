# SPDX-License-Identifier: Apache-2.0
"""Arguments of the programs that draw a picture out of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["PictureArgument", "TitleOption"]

PictureArgument = Annotated[Path, typer.Argument(help="SVG to write.")]
TitleOption = Annotated[str, typer.Option(help="Heading.")]
