# SPDX-License-Identifier: Apache-2.0
"""Several sequences at once: each prompt is taken in alone, then all are decoded together.

    python examples/batch.py

A step over all sequences reads every weight once, so that its DRAM bytes hardly grow with their
number.
"""

from cosim.device import CosimDevice
from firmware.session import Session
from firmware.tokenizer import TextTokenizer
from workbench.configurations.chosen import choose_config
from workbench.models.cached import CompileOptions, load_model

PROMPTS = ("Once upon a time", "One day, a little dog", "The sun was")
TOKENS = 8


def main() -> None:
    image = load_model(None, CompileOptions(chosen=choose_config("tiny")), print).image
    tokenizer = TextTokenizer(image)
    texts = [tokenizer.encode(prompt) for prompt in PROMPTS]
    size = Session.window_bytes(image, sequences=len(texts))
    with CosimDevice(image.manifest.config, size, log=print) as device:
        session = Session(device, image, sequences=len(texts))
        for sequence, text in enumerate(texts):
            result = session.prefill(text, sequence=sequence)
            text += result.next_tokens
        for _ in range(TOKENS - 1):
            # Each sequence takes in the token that it has got last; results are in the order of the
            # mapping.
            result = session.step({sequence: text[-1:] for sequence, text in enumerate(texts)})
            for text, token in zip(texts, result.next_tokens, strict=True):
                text.append(token)
    for text in texts:
        print(tokenizer.decode(text))
    cycles, weights = result.counters["cycles"], result.counters["bytes_weights"]
    print(f"last step: {len(texts)} tokens, {cycles:,} cycles, {weights:,} bytes of weights")


if __name__ == "__main__":
    main()
