# SPDX-License-Identifier: Apache-2.0
"""A bad argument of any command is one line that names rule and value, and nothing was built or
written for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.models.cached import DEMO_MODEL

# "@name" is a path below a folder with an empty folder `folder` and a file `file`; MODEL the demo
# model; '' an empty argument.
SIMULATED = {
    "--config huge": "unknown configuration 'huge': choose from tiny, small, zcu102, zcu102-paper",
    "--seed -1": "seed must be ",
}
MEMORY = {
    "--stalls 1": "stalls must be a probability below 1, not 1.0",
    "--stalls nan": "stalls must be a probability below 1, not nan",
    "--seed 99999999999999999999": "seed must be 0..2**64 - 1, not 99999999999999999999",
}
THROTTLE = {
    "--bandwidth-gbps 0": "bandwidth must be 0.001..1e6 Gbit/s, not 0.0",
    "--bandwidth-gbps inf": "bandwidth must be 0.001..1e6 Gbit/s, not inf",
    "--clock-mhz -1": "clock must be 0.001..1e5 MHz, not -1.0",
    "--latency-cycles -1": "latency must be 0..1000000 cycles, not -1",
}
EMPTY = "a path must not be empty, not ''"
QUANTISED = {
    "--rotate x": "rotate must be one of auto, on, off, not 'x'",
    "--prefix x": "prefix must be one of auto, none, not 'x'",
    "--calibration @none": "No such file or directory: ",
    "--calibration @folder": "Is a directory: ",
    "--calibration ''": f"'--calibration': {EMPTY}",
}
SOURCE = {
    "''": f"Invalid value for 'model': {EMPTY} (see --help)",
    "@none": "No such file or directory: ",
    "@file": " is not a model image: ",
    "@folder": "a checkpoint must hold config.json; there is none in ",
}
WAVES = {
    "--waves @none/w.fst": "cannot write the waveforms: No such file or directory: ",
    "--waves @folder": "waveforms are written as FST: the file must end in .fst, not ",
    "--waves ''": f"'--waves': {EMPTY}",
    "--waves-commands 1:2": "--waves-commands 1:2 needs --waves FILE.fst, where to write them",
    "--waves @w.fst --waves-commands 5": "--waves-commands must be A:B, the first and the last ",
    "--waves @w.fst --waves-commands a:b": "--waves-commands must be A:B, the first and the last ",
    "--waves @w.fst --waves-commands 5:4": "command 5 comes after command 4",
}
STEPS = {
    "--waves-step 1": "--waves-step 1 needs --waves FILE.fst, where to write them",
    "--waves @w.fst --waves-step -1": "the waveforms' step must be at least 0, not -1",
    "--waves @w.fst --device golden": "only device sim has waveforms, not 'golden': leave --waves ",
}
BAD: dict[str, dict[str, str]] = {
    "run": SIMULATED
    | MEMORY
    | THROTTLE
    | SOURCE
    | WAVES
    | STEPS
    | {
        "--device fpga": "unknown device 'fpga': choose from sim, golden",
        "--max-tokens 0": "max_tokens must be at least 1, not 0",
        "--max-tokens 1.5": "'--max-tokens': Input should be a valid integer, ",
        "--chunk 0": "a chunk of this image holds 1..64 tokens, not 0",
        "--chunk 65": "a chunk of this image holds 1..64 tokens, not 65",
        "--top-k 0": "top-k must be at least 1, not 0",
        "--prompt-tokens -3": "a prompt token must be at least 0, not -3",
        "--prompt-tokens 5,1024": "a token must be in 0..1023, not 1024",
        "--prompt-tokens 1,,2": "prompt tokens must be numbers like 1,2,3, not '1,,2'",
        f"--prompt {'a.' * 400}": "tokens, the context of this image holds 256 more of 256",
        f"--prompt-tokens {','.join(['5'] * 257)}": "the prompt has 257 tokens, the context ",
        "--trace ''": f"'--trace': {EMPTY}",
        "--prompt a --prompt-tokens 1": "give either --prompt or --prompt-tokens, not both",
        "--chat a --prompt b": "give either --prompt or --chat, not both",
        "--chat a": "the model has no chat template: give --prompt, a text to continue",
    },
    "chat": SIMULATED
    | MEMORY
    | THROTTLE
    | SOURCE
    | {
        "--device fpga": "unknown device 'fpga': choose from sim, golden",
        "--max-tokens 0": "max_tokens must be at least 1, not 0",
        "--chunk 65": "a chunk of this image holds 1..64 tokens, not 65",
        "--top-k 0": "top-k must be at least 1, not 0",
        "--trace @folder": "cannot write the timeline: Is a directory: ",
        "--check=1": "Option '--check' does not take a value",
    },
    "run --json": SIMULATED
    | MEMORY
    | THROTTLE
    | {
        "--device fpga": "unknown device 'fpga': choose from sim, golden",
        "--prompt-tokens 1,x": "prompt tokens must be numbers like 1,2,3, not '1,x'",
        "--prompt-tokens 9999": "a token must be in 0..1023, not 9999",
        "--prompt a --prompt-tokens 1": "give either --prompt or --prompt-tokens",
        "--bandwidth-gbps nan": "bandwidth must be 0.001..1e6 Gbit/s, not nan",
        "--max-tokens x": "'--max-tokens': Input should be a valid integer",
        "--bogus": "No such option: --bogus (see --help)",
        "MODEL extra": "(extra) (see --help)",
    },
    "verify": SIMULATED
    | MEMORY
    | SOURCE
    | WAVES
    | STEPS
    | {
        "--device x": "unknown device 'x': choose from sim, golden",
        "--tokens 0": "the prefill chunk must have at least 1 token, not 0",
        "--tokens 65": "the prefill chunk must have 1..64 tokens, not 65",
    },
    "compile MODEL": {f"-o @x {line}": message for line, message in QUANTISED.items()}
    | {
        "-o @none/x": "cannot write the image: No such file or directory: ",
        "-o ''": f"'-o' / '--output': {EMPTY}",
        "-o @folder": "cannot write the image: Is a directory: ",
        "-o @file/x": "cannot write the image: Not a directory: ",
        "-o @x --config x": "unknown configuration 'x'",
        "-o @x --codec zip": "codec must be one of auto, dictionary, raw, rice, not 'zip'",
        "-o @x --granularity row": "granularity must be one of channel, tensor, not 'row'",
        "-o @x --context 0": "context must be at least 1, not 0",
        "-o @x --context 257": "context must be at most the model's 256 positions, not 257",
        "-o @x --context 9999": "context must be at most max_context (512), not 9999",
        "-o @x --hidden-block 0": "hidden_block must be at least 1, not 0",
    },
    "compile '' -o @x": {"": EMPTY},
    "accuracy": QUANTISED
    | {
        "--config huge": "unknown configuration 'huge'",
        "--tokens 0": "tokens must be at least 1, not 0",
        "--text @none": "No such file or directory: ",
        "--text @folder": "Is a directory: ",
        "--text ''": f"'--text': {EMPTY}",
        "''": EMPTY,
        "@none": "a checkpoint must be a directory or a GGUF file; there is none at ",
        "@file": "accuracy needs the float model too, a checkpoint directory or a GGUF file, not ",
        "@folder": "a checkpoint must hold config.json; there is none in ",
    },
    "compile @none -o @x": {
        "": "a checkpoint must be a directory or a GGUF file; there is none at ",
        "--config zcu102 --codec dictionary": "configuration zcu102 has no decoder of codec dict",
    },
    "bench opt-125m": SIMULATED
    | MEMORY
    | THROTTLE
    | WAVES
    | {
        "--phase x": "phase must be one of prefill, decode, attention, not 'x'",
        "--tokens 0": "tokens must be at least 1, not 0",
        "--tokens 9999": "zcu102 attends to 4096 tokens, not 9999",
        "--context 4096": "zcu102 attends to 4096 tokens, not 4608",
        "--batch 0": "batch must be at least 1, not 0",
        "--batch 9": "zcu102 takes 1..8 sequences, not 9",
        "--batch 8": "a chunk must hold all 512 tokens of 8 sequences, it holds 64 of each",
        "--layers 13": "opt-125m has 1..12 layers, not 13",
        "--chunks 2": "chunks must be 0 (all) or 1 (one for all), not 2",
        "--head-channels 1": "head_channels must be 0 (all) or at least 3",
        "--dataflow x": "dataflow must be one of tphs, gemm, auto, not 'x'",
        "--codec x": "codec must be one of auto, dictionary, raw, rice, not 'x'",
        "--codec dictionary": "configuration zcu102 has no decoder of codec dictionary (it has ",
        "--dataflow gemm": "configuration zcu102 has no softmax unit for dataflow gemm: tiny, ",
        "--dram x": "dram must be one of ideal, zynqmp, not 'x'",
        "--trace @none/t.json": "cannot write the timeline: No such file or directory: ",
        "--trace @folder": "cannot write the timeline: Is a directory: ",
        "--trace ''": f"'--trace': {EMPTY}",
        "--phase decode --tokens 2": "decode takes in 1 token of each sequence, not 2",
        "--config tiny": "padded width must be at most norm_channels (512), not 768",
    },
    "bench": {
        "nope": "unknown workload 'nope': choose from opt-125m, ",
        "minilm --config tiny": "a bidirectional model needs all 512 tokens in one chunk, ",
        "deit-s --context 5": "deit-s is bidirectional: it has no decode and no context",
    },
    "soak": SIMULATED
    | {
        "--count 0": "count must be at least 1, not 0",
        "--count x": "'--count': Input should be a valid integer",
    },
    "torture": SIMULATED
    | {
        "--seconds 0": "seconds must be at least 0.1, not 0.0",
        "--seconds nan": "seconds must be at least 0.1, not nan",
        "--seconds inf": "seconds must be finite, not inf",
        "--programs 0": "programs must be at least 1, not 0",
        "--only -1": "only must be at least 0, not -1",
    },
    "corrupt": SIMULATED
    | {
        "--runs 0": "runs must be at least 1, not 0",
        "--codec auto": "codec must be one of raw, dictionary, rice, not 'auto'",
        "--config zcu102 --codec dictionary": "configuration zcu102 has no decoder of codec dict",
        "--device x": "unknown device 'x': choose from sim, golden",
    },
    "report MODEL": {
        "--grid x": "grid must be one of w8-tensor, w8-channel, w6-channel, w4-channel, not 'x'",
        "--codec x": "codec must be one of auto, dictionary, raw, rice, not 'x'",
        "--config x": "unknown configuration 'x'",
    },
    "report": {
        "@none --plot @pictures": "there is no image file or checkpoint directory ",
        "''": EMPTY,
        "minilm --plot ''": f"'--plot': {EMPTY}",
    },
    "ablation": {
        "--rows 0": "rows must be at least 1",
        "--columns 3": "columns even and at least 2, not 3072 and 3",
        "--degrees nan": "degrees must be at least 0.1 and finite, not nan",
        "--seed -1": "seed must be at least 0, not -1",
        "--config x": "unknown configuration 'x'",
    },
    "config": {
        "nope": "unknown configuration 'nope': choose from tiny, ",
        "nope.toml": "configuration nope.toml: No such file or directory",
        "@file": "it is not TOML: Expected '=' after a key in a key/value pair (at line 1, ",
        "tiny --set nope=1": "--set nope=1: unknown parameter 'nope': choose from width, ",
        "tiny --set lanes=0": "configuration tiny with lanes=0: lanes must be a positive integer",
        "tiny --set lanes": "--set must be given KEY=VALUE, not 'lanes'",
        "--set lanes=4": "config needs a NAME or FILE with --set and --toml",
        "--toml": "config needs a NAME or FILE with --set and --toml",
        "tiny --toml --json": "config takes --toml or --json, not both",
    },
    "resources": {
        "--config x": "unknown configuration 'x'",
        "--device x": "unknown device 'x'",
        "--jobs 0": "jobs must be at least 1, not 0",
    },
    "timing": {
        "--config x": "unknown configuration 'x'",
        "--block lanes": "unknown block 'lanes': choose from tile_buffer, ",
        "--paths 0": "paths must be at least 1, not 0",
        "--jobs 0": "jobs must be at least 1, not 0",
    },
    "bitstream": {
        "--board u250 --out @x": "unknown board 'u250': choose from zcu102, kv260",
        "--board kv260 --out ''": f"'--out': {EMPTY}",
        "--board kv260 --out @x --config huge": "unknown configuration 'huge'",
        "--board kv260 --out @x --set lanes=0": "kv260 with lanes=0: lanes must be a positive",
        "--board kv260 --out @x --clock-mhz 500": "clock must be 25..333 MHz, not 500",
        "--board kv260 --out @x --clock-mhz nan": "clock must be 25..333 MHz, not nan",
        "--board kv260 --out @x --buffer-mib 0": "buffer must be 1..2047 MiB, not 0",
        "--board kv260 --out @file": "cannot write meadow.v: Not a directory: ",
    },
    "generate": {
        "--out ''": f"'--out': {EMPTY}",
        "--out @x --config huge": "unknown configuration 'huge'",
        "--out @file": "cannot write meadow.v: Not a directory: ",
    },
}


def cases() -> Iterator[tuple[str, str]]:
    for command, bad in BAD.items():
        for arguments, message in bad.items():
            yield f"{command} {arguments}", message


@pytest.mark.parametrize(
    ("line", "message"),
    [pytest.param(*case, id=case[0][:60]) for case in cases()],
)
def test_a_bad_argument_is_told_before_anything_is_built(
    line: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, place = tmp_path / "cache", tmp_path / "place"
    (place / "folder").mkdir(parents=True)
    (place / "file").write_text("no image")
    monkeypatch.setenv("MEADOW_CACHE", str(cache))
    words = [word.replace("@", f"{place}/") for word in line.split(" ") if word]
    meant = {"MODEL": str(DEMO_MODEL), "''": ""}
    arguments = [meant.get(word, word) for word in words]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and result.stdout == "", result.output
    assert result.stderr.startswith("meadow: ") and message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not cache.exists() and sorted(path.name for path in place.iterdir()) == [
        "file",
        "folder",
    ]


def test_every_command_is_tried() -> None:
    tried = {line.split()[0] for line in BAD}
    assert tried == {command.name for command in app.registered_commands}
