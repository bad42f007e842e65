# SPDX-License-Identifier: Apache-2.0
"""The runs whose figures are published, by name: commands of `meadow`."""

from __future__ import annotations

from workbench.documents.measurement_tables import DECODE_CODECS, DECODE_RATES
from workbench.documents.memory_tables import MEMORY_RATES
from workbench.documents.synthesis_tables import SYNTHESIS_RUNS

__all__ = [
    "CHAT_RUNS",
    "DEMO_RUNS",
    "NAMES",
    "PACKING_RUNS",
    "RAW_IMAGE",
    "RUNS",
    "SMOLLM2",
    "SMOLLM2_RAW",
    "command_line",
]

PACKING_RUNS = {
    "packing-minilm": "report minilm",
    "packing-steps": "ablation",
    "packing-student-4": "ablation --rows 2048 --columns 8192 --degrees 4",
}
"""Name -> arguments of `meadow`; they simulate nothing."""

DEMO_RUNS = {
    "demo-tiny": "run --config tiny --max-tokens 32",
    "demo-small": "run --config small --max-tokens 32",
    "demo-story": "run --config tiny",
}
"""Name -> arguments of `meadow`; the demo model, simulated whole."""

SMOLLM2, SMOLLM2_RAW = "SMOLLM2", "SMOLLM2_RAW"
_QUESTION = '--chat "What is the capital of France?" --config zcu102'
CHAT_RUNS = {
    "smollm2-chat": f"run {SMOLLM2} {_QUESTION} --max-tokens 12",
    "smollm2-peer": f"run {SMOLLM2_RAW} {_QUESTION} --max-tokens 2 --clock-mhz 100 "
    "--bandwidth-gbps 25.6",
}
"""Name -> arguments of `meadow`; SMOLLM2 is the file of the extra `smollm2`, simulated whole, and
SMOLLM2_RAW its image that RAW_IMAGE makes.
"""

RAW_IMAGE = f"compile {SMOLLM2} --config zcu102 --codec raw -o {SMOLLM2_RAW}"


_PAPER = "--config zcu102-paper"
"""Of comparisons with what MEADOW published: all dataflows and codecs on one configuration."""


def _runs() -> dict[str, str]:
    """Name -> arguments of `meadow bench`."""
    runs = {
        "prefill-opt-125m": "opt-125m",
        "prefill-opt-1.3b": "opt-1.3b --head-channels 1024",
        "prefill-tinyllama": "tinyllama --head-channels 1024",
        "prefill-deit-s": "deit-s",
        "prefill-deit-b": "deit-b",
        "prefill-minilm": "minilm --tokens 128",
        "attention-512": "opt-125m --phase attention --tokens 512",
        "attention-2048": "opt-125m --phase attention --tokens 2048",
        "attention-4096": "opt-125m --phase attention --tokens 512 --context 3584",
        "decode-64": "opt-125m --phase decode --context 64 --layers 0 --head-channels 0",
        "decode-1024": "opt-125m --phase decode --context 1024 --layers 0 --head-channels 0",
        "decode-tinyllama": "tinyllama --phase decode --context 512",
        "batch-1": "opt-125m --phase decode --context 64 --layers 0 --head-channels 0 "
        "--bandwidth-gbps 12",
        "batch-8": "opt-125m --phase decode --context 64 --batch 8 --layers 0 --head-channels 0 "
        "--bandwidth-gbps 12",
        "meadow-conditions": "opt-1.3b --bandwidth-gbps 12 --clock-mhz 100 --head-channels 1024 "
        + _PAPER,
        "meadow-decode": "opt-1.3b --phase decode --context 512 --bandwidth-gbps 12 --clock-mhz "
        "100 "
        "--codec rice --head-channels 1024 " + _PAPER,
    }
    for rate in DECODE_RATES:
        for codec in DECODE_CODECS:
            runs[f"decode-{rate}-{codec}"] = (
                f"opt-125m --phase decode --context 64 --bandwidth-gbps {rate} --codec {codec} "
                + _PAPER
            )
    for rate in MEMORY_RATES:
        for dram in ("ideal", "zynqmp"):
            runs[f"memory-{rate}-{dram}"] = (
                "opt-125m --phase decode --context 64 --layers 0 --head-channels 0 "
                f"--bandwidth-gbps {rate} --dram {dram}"
            )
    runs["memory-3-zynqmp-layer"] = (
        "opt-125m --phase decode --context 64 --layers 1 --head-channels 2048 "
        "--bandwidth-gbps 3 --dram zynqmp"
    )
    runs["memory-minilm-tiny"] = "minilm --config tiny --tokens 4 --dram zynqmp"
    for rate in (1, 3, 6, 12):
        for dataflow in ("tphs", "gemm"):
            for codec in ("raw", "auto"):
                limits = f"--bandwidth-gbps {rate} --clock-mhz 100 {_PAPER}"
                runs[f"ttft-opt-125m-{rate}-{dataflow}-{codec}"] = (
                    f"opt-125m {limits} --dataflow {dataflow} --codec {codec} --head-channels 2048"
                )
                if rate in (1, 12):
                    runs[f"ttft-opt-1.3b-{rate}-{dataflow}-{codec}"] = (
                        f"opt-1.3b {limits} --dataflow {dataflow} --codec {codec} "
                        "--chunks 1 --head-channels 1024"
                    )
    return runs


RUNS = _runs()
NAMES = (*RUNS, *PACKING_RUNS, *DEMO_RUNS, *CHAT_RUNS, *SYNTHESIS_RUNS)


def command_line(name: str) -> str:
    """The command whose report is stored under `name`."""
    others = {**PACKING_RUNS, **DEMO_RUNS, **CHAT_RUNS, **SYNTHESIS_RUNS}
    return f"meadow {others[name] if name in others else f'bench {RUNS[name]}'} --json"
