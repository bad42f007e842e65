# SPDX-License-Identifier: Apache-2.0
"""`python -m firmware.board IMAGE`: tokens from this board, with nothing but NumPy installed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from firmware.board.device import open_board
from firmware.board.errors import Terminated
from firmware.board.load import load_package
from firmware.device import DeviceError
from firmware.image import read_image
from firmware.session import Session
from firmware.tokenizer import TextTokenizer
from meadow.spec.linux import BUFFER_NAME, UIO_NAME

__all__ = ["main"]

_EXIT_ERROR = 2
_EXIT_INTERRUPTED = 130


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m firmware.board", description=__doc__)
    parser.add_argument("image", type=Path, help="compiled for the device of this board")
    prompt = parser.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--prompt", help="text to continue; needs the package tokenizers")
    prompt.add_argument("--prompt-tokens", help="token numbers, like 1,2,3")
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--timeout", type=float, help="seconds that a step may take")
    parser.add_argument("--load", type=Path, help="folder with bitstream and overlay, loaded first")
    parser.add_argument("--root", type=Path, default=Path("/"), help="folder of dev, lib and sys")
    parser.add_argument("--uio", default=UIO_NAME, help="name of the UIO device")
    parser.add_argument("--buffer", default=BUFFER_NAME, help="name of the u-dma-buf device")
    return parser.parse_args(words)


def _prompt_tokens(text: str) -> list[int]:
    try:
        return [int(token) for token in text.split(",")]
    except ValueError:
        raise ValueError(f"--prompt-tokens must be numbers like 1,2,3, not {text!r:.40}") from None


def _run(options: argparse.Namespace) -> None:
    image = read_image(options.image)
    tokenizer = None
    if options.prompt is None:
        prompt = _prompt_tokens(options.prompt_tokens)
    else:
        tokenizer = TextTokenizer(image)
        prompt = tokenizer.encode(options.prompt)
    image.manifest.limits.check_generation(prompt, options.max_tokens)
    if options.load is not None:
        load_package(options.load, root=options.root, log=_log)
    names = {"name": options.uio, "buffer": options.buffer}
    with open_board(image, root=options.root, **names) as device:
        session = Session(device, image, timeout_s=options.timeout)
        tokens = []
        for token in session.generate(prompt, options.max_tokens):
            tokens.append(token)
            if tokenizer is None:
                print(token, flush=True)
    if tokenizer is not None:
        print(tokenizer.decode([*prompt, *tokens]))


def _log(line: str) -> None:
    print(f"meadow: {line}", file=sys.stderr, flush=True)


def main(words: list[str] | None = None) -> int:
    """Run; 0, or one line on stderr and an exit code."""
    try:
        _run(_arguments(words))
    except KeyboardInterrupt:
        _log("interrupted: the device is stopped")
        return _EXIT_INTERRUPTED
    except Terminated as ended:
        _log("asked to end: the device is stopped")
        return int(ended.code or 0)
    except (OSError, ValueError, DeviceError, RuntimeError) as error:
        _log(" ".join(str(error).split()))
        return _EXIT_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main())
