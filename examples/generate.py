# SPDX-License-Identifier: Apache-2.0
"""An image, a device, a session: text and the counters of the device.

    python examples/generate.py [MODEL]

MODEL is an image, as `meadow compile` writes it, or a checkpoint directory; left out, it is the
demo model.
"""

import sys
from pathlib import Path

from cosim.device import CosimDevice
from firmware.session import Session
from firmware.tokenizer import TextTokenizer
from workbench.models.named import find_model

TOKENS = 16


def main(model: Path | None) -> None:
    image = find_model(model, chosen=None).load(print).image
    tokenizer = TextTokenizer(image)
    prompt = tokenizer.encode("Once upon a time")
    # On a board this is the only line that is different.
    with CosimDevice(image.manifest.config, Session.window_bytes(image), log=print) as device:
        session = Session(device, image)
        tokens = list(session.generate(prompt, max_tokens=TOKENS))
    print(tokenizer.decode(prompt + tokens))
    for name, phase in session.phases.items():
        print(f"{name}: {phase.tokens} tokens, {phase.steps} steps")
        for counter, value in phase.counters.items():
            print(f"  {counter:18} {value:12,}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    except (OSError, ValueError) as error:
        sys.exit(f"generate.py: {error}")
