# SPDX-License-Identifier: Apache-2.0
"""A memory that refuses a read: what the exception carries, and that the device goes on afterwards.

python examples/bus_error.py
"""

from cosim.device import CosimDevice
from firmware.device import DeviceError
from firmware.session import Session
from firmware.tokenizer import TextTokenizer
from meadow.spec.config import BEAT_BYTES
from workbench.configurations.chosen import choose_config
from workbench.models.cached import CompileOptions, load_model

TOKENS = 4


def main() -> None:
    image = load_model(None, CompileOptions(chosen=choose_config("tiny")), print).image
    tokenizer = TextTokenizer(image)
    prompt = tokenizer.encode("Once upon a time")
    with CosimDevice(image.manifest.config, Session.window_bytes(image), log=print) as device:
        session = Session(device, image)

        # The DRAM model answers SLVERR at the address where the embeddings of the prompt begin.
        beat = image.manifest.regions["embeddings"].offset
        device.simulation.configure(error_address=device.memory_base + beat * BEAT_BYTES)
        try:
            list(session.generate(prompt, max_tokens=TOKENS))
        except DeviceError as error:
            print(f"code:    {error.code.name}")
            print(f"command: {error.command} ({error.label})")
            print(f"address: {error.address:#x}, port {error.port}")
            print(f"message: {error}")

        # A step that failed has moved no sequence on: mend the cause and ask again, without a
        # reset.
        print(f"tokens in the cache: {session.positions[0]}")
        device.simulation.configure(error_address=None)
        tokens = list(session.generate(prompt, max_tokens=TOKENS))
        print(f"again:   {tokenizer.decode(prompt + tokens)}")


if __name__ == "__main__":
    main()
