# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/performance.md out of stored bench reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from meadow.spec.streams import CODEC_NAMES
from workbench.bench.report import STALLS

__all__ = ["DECODE_CODECS", "DECODE_RATES", "TABLES", "Load", "Table", "markdown"]

DECODE_RATES = (1, 12, 64)
"""Gbit/s at 250 MHz: 64 are 8 bytes per cycle and port."""
DECODE_CODECS = CODEC_NAMES

Load = Callable[[str], dict[str, Any] | None]
"""Name of a run -> its stored report, None if there is none."""
Table = Callable[[Load], str]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


_TEXTS = {
    "prefill-opt-125m": "OPT-125M, 512 tokens",
    "prefill-opt-1.3b": "OPT-1.3B, 512 tokens",
    "prefill-tinyllama": "TinyLlama, 512 tokens",
    "prefill-deit-s": "DeiT-S, 197 tokens",
    "prefill-deit-b": "DeiT-B, 197 tokens",
    "prefill-minilm": "MiniLM, 128 tokens",
    "attention-512": "attention alone, OPT-125M, 512 tokens",
    "attention-2048": "attention alone, OPT-125M, 2048 tokens",
    "attention-4096": "attention alone, 512 tokens after 3584",
    "decode-64": "OPT-125M, context 64",
    "decode-1024": "OPT-125M, context 1024",
    "decode-tinyllama": "TinyLlama, context 512",
    "batch-1": "OPT-125M, context 64, 12 Gbit/s",
    "batch-8": "8 sequences, context 64, 12 Gbit/s",
}
"""Runs of the tables of prefill and decode, in their order, and what they are."""


def _stored(load: Load, *kinds: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, text and report of those runs whose names begin with one of `kinds`."""
    for name, text in _TEXTS.items():
        report = load(name) if name.startswith(kinds) else None
        if report is not None:
            yield name, text, report


def _part(report: Mapping[str, Any]) -> str:
    """What was simulated of the model."""
    layers = f"{report['layers_simulated']} of {report['layers_total']} layers"
    if report["chunks_simulated"] != report["chunks_total"]:
        layers += f", {report['chunks_simulated']} of {report['chunks_total']} chunks"
    return layers


def _prefill(load: Load) -> str:
    """Prefill and attention at full memory rate."""
    rows = [
        [
            text,
            str(report["chunk_tokens"]),
            _part(report),
            f"{report['cycles']:,}",
            _share(report.get("array_utilisation_layers")),
            f"{report['array_utilisation']:.1%}",
            f"{report['checked']:,}",
            f"`{name}`",
        ]
        for name, text, report in _stored(load, "prefill-", "attention-")
    ]
    head = ("", "chunk", "simulated", "cycles of the model", "array, layers", "array, model")
    return markdown((*head, "values checked", "run"), rows)


def _share(value: float | None) -> str:
    return "" if value is None else f"**{value:.1%}**"


def _decode(load: Load) -> str:
    """Decode of one token, and of eight sequences."""
    rows = [
        [
            text,
            _part(report),
            f"{report['cycles']:,}",
            f"{report['dram_bytes']['weights']:,}",
            f"{report['dram_bytes']['kv_read']:,}",
            f"{report['bandwidth_utilisation']:.1%}",
            f"{report['weights_per_cycle']:.1f}",
            f"{report['checked']:,}",
            f"`{name}`",
        ]
        for name, text, report in _stored(load, "decode-", "batch-")
    ]
    head = ("", "simulated", "cycles", "weight bytes", "K/V bytes read", "bandwidth used")
    return markdown((*head, "weights per cycle", "values checked", "run"), rows)


def _codecs(load: Load) -> str:
    """A decoded token with each codec: its time against its bytes, and what the array waits for
    most.
    """
    rows = []
    for rate in DECODE_RATES:
        raw = load(f"decode-{rate}-raw")
        for codec in DECODE_CODECS:
            report = load(f"decode-{rate}-{codec}")
            if raw is None or report is None:
                continue
            moved, plain = (sum(entry["dram_bytes"].values()) for entry in (report, raw))
            cause = max(STALLS, key=report["stalls"].__getitem__)
            rows.append(
                [
                    f"{rate} Gbit/s",
                    codec,
                    f"{moved:,}",
                    f"{report['time_ms']:.2f}",
                    f"{moved / plain:.3f}",
                    f"{report['time_ms'] / raw['time_ms']:.3f}",
                    f"{report['bandwidth_utilisation']:.1%}",
                    f"{cause}, {report['stalls'][cause] / report['cycles']:.1%}",
                    f"{report['stalls']['decoder'] / report['cycles']:.1%}",
                    f"`decode-{rate}-{codec}`",
                ]
            )
    head = ("rate", "codec", "DRAM bytes", "ms per token", "bytes / raw", "time / raw")
    return markdown((*head, "bandwidth used", "largest stall", "decoder", "run"), rows)


def _context(load: Load) -> str:
    """What longer contexts and more sequences cost, and MEADOW's own conditions."""
    lines = []
    short, long = load("decode-64"), load("decode-1024")
    if short is not None and long is not None:
        cycles = long["cycles"] - short["cycles"]
        moved = long["dram_bytes"]["kv_read"] - short["dram_bytes"]["kv_read"]
        lines.append(
            f"- From context 64 to 1024 a decoded token takes {cycles:,} cycles more for "
            f"{moved:,} more bytes of K "
            f"and V: {cycles / (moved / 64):.3f} of the cycles that four ports need for them."
        )
    one, eight = load("batch-1"), load("batch-8")
    if one is not None and eight is not None:
        lines.append(
            f"- Eight sequences at once: {eight['cycles'] / one['cycles']:.3f} of the cycles of "
            f"one, weight bytes "
            f"{eight['dram_bytes']['weights']:,} against {one['dram_bytes']['weights']:,}."
        )
    own = load("meadow-conditions")
    if own is not None:
        lines.append(
            f"- OPT-1.3B, a prompt of 512 tokens at 100 MHz and 12 Gbit/s, MEADOW's own "
            f"conditions: "
            f"**{own['tokens_per_s']:.0f} tokens per second** in prefill (MEADOW's reported 100), "
            f"{_part(own)} simulated."
        )
    return "\n".join(lines) if lines else "Not measured yet."


def _first_token(load: Load) -> str:
    """Time to first token against the layer-by-layer baseline."""
    rows = []
    for model, rates in (("opt-125m", (1, 3, 6, 12)), ("opt-1.3b", (1, 12))):
        for rate in rates:
            cells, times, parts = [], {}, set()
            for dataflow in ("tphs", "gemm"):
                for codec in ("raw", "auto"):
                    report = load(f"ttft-{model}-{rate}-{dataflow}-{codec}")
                    if report is None:
                        cells.append("not measured")
                        continue
                    parts.add(_part(report))
                    times[dataflow, codec] = report["time_ms"]
                    moved = sum(report["dram_bytes"].values()) / 1e6
                    cells.append(
                        f"{report['time_ms']:,.0f} ms, {report['chunk_tokens']}, {moved:,.0f} MB"
                    )
            ratios = [
                f"{times['gemm', 'raw'] / times[key]:.2f}×"
                if {key, ("gemm", "raw")} <= set(times)
                else ""
                for key in (("tphs", "raw"), ("tphs", "auto"))
            ]
            rows.append([f"{model}, {rate} Gbit/s", *cells, *ratios, "; ".join(sorted(parts))])
    head = ("time, chunk, DRAM bytes", "TPHS raw", "TPHS packed", "GEMM raw", "GEMM packed")
    ratio = ("GEMM raw / TPHS raw", "GEMM raw / TPHS packed", "simulated")
    return markdown((*head, *ratio), rows)


def _stalls(load: Load) -> str:
    """Where the cycles go."""
    rows = []
    for name in (
        *("prefill-opt-125m", "prefill-opt-1.3b", "prefill-tinyllama", "prefill-deit-s"),
        *("attention-512", "attention-2048", "decode-64", "decode-1024", "batch-8"),
    ):
        report = load(name)
        if report is not None:
            share = [report["array_busy"], *(report["stalls"][cause] for cause in STALLS)]
            rows.append([f"`{name}`", *(f"{value / report['cycles']:.2%}" for value in share)])
    return markdown(("run", "array busy", *STALLS), rows)


def _demo(load: Load) -> str:
    """The demo model, whole, on two configurations."""
    reports = [load(name) for name in ("demo-tiny", "demo-small")]
    cells: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("prefill of 5 tokens, cycles", lambda report: f"{report['prefill']['cycles']:,}"),
        (
            "array utilisation of that prefill",
            lambda report: f"{report['prefill']['array_utilisation']:.1%}",
        ),
        ("decode, cycles per token", lambda report: f"{report['decode']['cycles_per_token']:,.0f}"),
        (
            "decode, DRAM bytes per token",
            lambda report: f"{_moved(report['decode']) / report['decode']['tokens']:,.0f}",
        ),
        (
            "decode, share of the ports' peak",
            lambda report: f"{report['decode']['bandwidth_utilisation']:.1%}",
        ),
    ]
    rows = [
        [text, *("not measured" if report is None else cell(report) for report in reports)]
        for text, cell in cells
    ]
    return markdown(("", "`tiny`, 64 MAC per cycle", "`small`, 256 MAC per cycle"), rows)


def _moved(report: Mapping[str, Any]) -> int:
    return sum(report["dram_bytes"].values())


TABLES: Mapping[str, Table] = {
    "prefill": _prefill,
    "decode": _decode,
    "codecs": _codecs,
    "context": _context,
    "first-token": _first_token,
    "stalls": _stalls,
    "demo": _demo,
}
"""Marker in docs/performance.md -> its table."""
