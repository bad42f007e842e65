# SPDX-License-Identifier: Apache-2.0
"""The manifest survives JSON and refuses what is not one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hw_tests.models import family_description
from hw_tests.opt_models import opt_description
from meadow.spec.config import named_config
from meadow.spec.image import (
    DATA_ALIGNMENT,
    CacheFacts,
    ChatFacts,
    LogitsPiece,
    Manifest,
    MatrixFacts,
    Region,
    encode_header,
)

MANIFEST = Manifest(
    contract_hash="ab" * 32,
    config_name="tiny",
    config=named_config("tiny"),
    model=opt_description(layers=1, hidden=64, vocabulary=50, max_positions=20),
    context=20,
    prefix=(1, 49),
    chunk_tokens=8,
    dataflow=("tphs",),
    step=None,
    hidden_block=32,
    residual_scale=0.1,
    logits_scale=1 / 3,
    commands=2,
    labels=("embed", "end"),
    regions={"program": Region(0, 8)},
    cache=CacheFacts(256, 64, 32, 2, 1, 1, 32),
    logits=(LogitsPiece(10, 0, 32), LogitsPiece(20, 32, 32)),
    matrices=(MatrixFacts("q", 32, 32, "raw", 2048),),
    tensors_sha256={"dram": "0"},
    notes={"a": [1, None]},
    end_tokens=(2, 7),
    chat=ChatFacts("{{ bos_token }}", {"bos_token": "</s>"}),
)


def test_json_is_canonical_and_reversible() -> None:
    text = MANIFEST.to_json()
    assert Manifest.from_json(text) == MANIFEST
    assert Manifest.from_json(text).to_json() == text
    assert json.loads(text)["format_version"] == 3
    assert json.loads(text)["matrices"][0]["bits_per_weight"] == 16


def test_limits_and_shape_count_the_prefix() -> None:
    assert MANIFEST.limits.prefix == (1, 49) and MANIFEST.limits.start == 2
    assert MANIFEST.prefix_shape == (1, 2, 2, 1, 2, 16)
    assert replace(MANIFEST, prefix=()).prefix_shape == (1, 2, 2, 1, 0, 16)


def test_a_model_without_a_chat_template_survives_json() -> None:
    made = replace(MANIFEST, chat=None, end_tokens=())
    assert Manifest.from_json(made.to_json()) == made


def test_step_survives_json() -> None:
    made = replace(MANIFEST, dataflow=("gemm",), step=(3, 8))
    assert Manifest.from_json(made.to_json()) == made


def test_divisors_of_rotary_frequencies_stand_only_where_there_are_any() -> None:
    assert "rotary_divisors" not in MANIFEST.to_json()
    llama = family_description("llama", rotary_divisors=(1.0, 2.0, 3.0, 4.0))
    made = replace(MANIFEST, model=llama)
    assert json.loads(made.to_json())["model"]["rotary_divisors"] == [1.0, 2.0, 3.0, 4.0]
    assert Manifest.from_json(made.to_json()).model == llama


def test_window_grows_with_sequences() -> None:
    assert [MANIFEST.kv_base(i) for i in range(3)] == [256, 320, 384]
    assert MANIFEST.window_beats(2) == 384


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the manifest is not JSON"),
        ("[]", "the image format version must be 3, not None"),
        ("{}", "the image format version must be 3, not None"),
        ('{"format_version": 9}', "the image format version must be 3, not 9"),
        ('{"format_version": 3}', "missing or malformed field: 'config'"),
    ],
)
def test_what_is_no_manifest(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Manifest.from_json(text)


def test_every_field_is_needed_and_no_other_allowed() -> None:
    values = json.loads(MANIFEST.to_json())
    for name in values:
        broken = json.dumps({key: value for key, value in values.items() if key != name})
        with pytest.raises(ValueError, match="must be 3, not None|missing or malformed field"):
            Manifest.from_json(broken)
    with pytest.raises(ValueError, match="missing or malformed field: .*extra"):
        Manifest.from_json(json.dumps({**values, "extra": 1}))


def test_header_lists_tensors_without_gaps() -> None:
    shapes = {"dram": (32,), "embed_tokens": (5, 4), "embed_positions": (3, 4)}
    shapes |= {"rotary": (3, 8), "prefix": MANIFEST.prefix_shape, "tokenizer": (7,)}
    data = encode_header(shapes, MANIFEST)
    assert len(data) % DATA_ALIGNMENT == 0
    header = json.loads(data[8:])
    assert int.from_bytes(data[:8], "little") == len(data) - 8
    places = [header[name]["data_offsets"] for name in shapes]
    assert places == [[0, 32], [32, 72], [72, 96], [96, 144], [144, 272], [272, 279]]
    assert header["embed_tokens"]["dtype"] == "I16" and header["prefix"]["dtype"] == "I8"
