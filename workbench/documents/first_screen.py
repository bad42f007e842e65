# SPDX-License-Identifier: Apache-2.0
"""The figures of README's first screen out of stored reports, each beside a published one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.documents.measurement_tables import Load, Table, markdown

__all__ = ["FIRST_SCREEN_RUNS", "FIRST_SCREEN_TABLES"]

_MISSING = "not measured"
_TELLME = "[TeLLMe v2](https://arxiv.org/abs/2510.15926)"
_MEADOW = "[MEADOW](https://arxiv.org/abs/2503.11663)"


FIRST_SCREEN_RUNS: Mapping[str, tuple[str, ...]] = {
    "SmolLM2, decode": ("smollm2-peer",),
    "OPT-1.3B, prompt": ("meadow-conditions",),
    "OPT-1.3B, decode": ("meadow-decode",),
    "OPT-125M, first token": ("ttft-opt-125m-1-gemm-raw", "ttft-opt-125m-1-tphs-raw"),
    "TinyLlama, decode": ("decode-tinyllama",),
    "OPT-125M, decode": ("memory-12-zynqmp",),
}
"""Line of README -> the stored runs that it is made from."""


def _rate(report: Mapping[str, Any] | None) -> str:
    return _MISSING if report is None else f"**{report['tokens_per_s']:.3g} tokens/s**"


def _chat_rate(report: Mapping[str, Any] | None) -> str:
    return (
        _MISSING
        if report is None
        else _rate({"tokens_per_s": report["decode"]["tokens_per_second"]})
    )


def _figures(load: Load) -> str:
    """Model, clock, DRAM rate and result, beside what others published."""
    baseline, plain = (load(f"ttft-opt-125m-1-{run}-raw") for run in ("gemm", "tphs"))
    ratio = _MISSING
    if baseline is not None and plain is not None:
        ratio = f"**{baseline['time_ms'] / plain['time_ms']:.2f}×**"
    memory = load("memory-12-zynqmp")
    used = _MISSING
    if memory is not None:
        used = f"**{memory['bandwidth_utilisation']:.1%}** of the 12 Gbit/s"
    decode = load("meadow-decode")
    bits = "" if decode is None else f", {decode['bits_per_weight']:.1f} bits per weight"
    rows = [
        [
            "SmolLM2-135M-Instruct, its own weights in raw INT8, decode behind a question",
            "100 MHz, 25.6 Gbit/s",
            _chat_rate(load("smollm2-peer")),
            "12.6 tokens/s, Torch2RISCV on a KV260",
        ],
        [
            "OPT-1.3B, raw INT8, tokens of a prompt of 512",
            "100 MHz, 12 Gbit/s",
            _rate(load("meadow-conditions")),
            f"100 tokens/s, MEADOW on ZCU102 as {_TELLME} gives it",
        ],
        [
            f"OPT-1.3B, decode at context 512{bits}",
            "100 MHz, 12 Gbit/s",
            _rate(decode),
            "2 tokens/s, the same source",
        ],
        [
            "OPT-125M, first token against layer by layer, raw INT8 both",
            "100 MHz, 1 Gbit/s",
            ratio,
            f"1.57–2.5×, {_MEADOW} on ZCU102, packed against raw",
        ],
        [
            "TinyLlama 1.1B, raw INT8, decode at context 512",
            "250 MHz, DRAM unlimited, so the ports' 128 Gbit/s",
            _rate(load("decode-tinyllama")),
            "1.5 tokens/s, [LlamaF](https://arxiv.org/abs/2409.11424) on ZCU102, behind its DRAM",
        ],
        [
            "OPT-125M, raw INT8, decode behind a DRAM with refresh and page misses",
            "250 MHz, 12 Gbit/s",
            used,
            "93–94% of the memory's rate, [Hummingbird](https://arxiv.org/abs/2507.03308) on "
            "ZynqMP boards",
        ],
    ]
    return markdown(("model", "clock, DRAM", "here, *simulated*", "published"), rows)


def _story(load: Load) -> str:
    """What `make run` prints, shortened."""
    report = load("demo-story")
    if report is None:
        return "Not measured yet."
    story = f"Once upon a time{report['text']}".split("\n")[0]
    sentences = ". ".join(story.split(". ")[:2])
    phases = (report["prefill"], report["decode"])
    lines = [
        f"{sentences}. ...",
        f"            {report['config']} on {report['device']} ({report['label']})",
        "  per token                 prefill    decode",
        "  cycles               {:>12,.0f}{:>10,.0f}".format(
            *(phase["cycles_per_token"] for phase in phases)
        ),
        "  DRAM bytes, weights  {:>12,.0f}{:>10,.0f}".format(
            *(phase["dram_bytes"]["weights"] / phase["tokens"] for phase in phases)
        ),
        "  ...",
        f"{len(report['tokens'])} tokens, every one equal to golden",
    ]
    return "\n".join(["```", *lines, "```"])


FIRST_SCREEN_TABLES: Mapping[str, Table] = {"figures": _figures, "story": _story}
"""Marker in README.md -> its table."""
