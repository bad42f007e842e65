# SPDX-License-Identifier: Apache-2.0
"""Configurations: the named ones, derived sizes, and one broken rule at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from meadow.spec.config import (
    ACCUMULATOR_BITS,
    CONFIGURATIONS,
    MAX_INPUTS,
    AcceleratorConfig,
    named_config,
)
from meadow.spec.streams import Codec

ZCU102 = named_config("zcu102")


def test_derived_values_of_the_named_configurations() -> None:
    facts = {
        name: (c.macs, c.chunk_tokens, c.tile_cycles, c.port_rows, c.word_beats, c.header_beats)
        for name, c in CONFIGURATIONS.items()
    }
    assert facts == {
        "tiny": (64, 64, 8, 16, 1, 8),
        "small": (256, 64, 16, 16, 2, 8),
        "zcu102": (2048, 640, 32, 16, 4, 8),
        "zcu102-paper": (2048, 640, 32, 16, 4, 8),
        "kv260": (512, 320, 16, 16, 2, 8),
        "nano": (32, 8, 8, 16, 1, 8),
    }


def test_configurations_for_use_have_what_their_programs_need_others_everything() -> None:
    parts = {name: (c.codecs, c.baseline) for name, c in CONFIGURATIONS.items()}
    everything = ("raw", "dictionary", "rice"), True
    assert parts == {
        "tiny": everything,
        "small": everything,
        "zcu102": (("raw", "rice"), False),
        "zcu102-paper": everything,
        "kv260": (("raw", "rice"), False),
        "nano": (("raw",), False),
    }


def test_the_norm_has_a_lane_for_each_element_of_a_word_unless_told_otherwise() -> None:
    lanes = {name: (c.norm_lanes, c.norm_turns) for name, c in CONFIGURATIONS.items()}
    assert lanes["tiny"] == (8, 1) and lanes["zcu102-paper"] == (32, 1)
    assert lanes["nano"] == (1, 8) and lanes["kv260"] == (4, 4)
    config = replace(ZCU102, norm_lanes=8)
    assert config.norm_turns == 4 and config.to_dict()["norm_lanes"] == 8
    assert replace(config, norm_lanes=0) == replace(config, norm_lanes=32)


def test_activation_memories_of_the_named_configurations() -> None:
    memories = {name: (c.activation_words, c.activation_ram) for name, c in CONFIGURATIONS.items()}
    assert memories == {
        "tiny": (8192, "block"),
        "small": (8192, "block"),
        "zcu102": (24_576, "block"),
        "zcu102-paper": (32_768, "block"),
        "kv260": (53_248, "ultra"),
        "nano": (1024, "block"),
    }


@pytest.mark.parametrize("words", [256, 768, 21 * 256, 24_576, 2047 * 256, 1 << 19])
def test_activation_words_are_any_multiple_of_256(words: int) -> None:
    for ram in ("block", "ultra"):
        config = replace(ZCU102, activation_words=words, activation_ram=ram)
        assert config.to_dict()["activation_words"] == words
        assert AcceleratorConfig.from_dict(config.to_dict()) == config


def test_a_configuration_that_says_nothing_of_the_ram_has_block_ram() -> None:
    values = ZCU102.to_dict()
    del values["activation_ram"]
    assert AcceleratorConfig.from_dict(values) == ZCU102 and ZCU102.activation_ram == "block"


def test_codecs_are_kept_in_the_order_of_their_numbers() -> None:
    config = replace(ZCU102, codecs=["rice", "dictionary", "raw"])
    assert config.codecs == ("raw", "dictionary", "rice") and hash(config) != hash(ZCU102)
    assert replace(config, codecs=("raw",)).to_dict()["codecs"] == ["raw"]
    assert [config.has_codec(codec) for codec in Codec] == [True, True, True]
    assert [ZCU102.has_codec(codec) for codec in Codec] == [True, False, True]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_dictionary_form_is_the_inverse(name: str) -> None:
    config = CONFIGURATIONS[name]
    assert AcceleratorConfig.from_dict(config.to_dict()) == config
    assert AcceleratorConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 48}, "width must be a power of two, not 48"),
        ({"width": 8, "decoder_elements": 16}, "16 <= width <= 256 is broken by 8"),
        ({"width": 512}, "16 <= width <= 256 is broken by 512"),
        ({"lanes": 0}, "lanes must be a positive integer, not 0"),
        ({"lanes": True}, "lanes must be a positive integer, not True"),
        ({"lanes": 2.0}, "lanes must be a positive integer, not 2.0"),
        ({"rows": 1}, "2 <= rows <= 16 is broken by 1"),
        ({"rows": 32, "width": 64}, "2 <= rows <= 16 is broken by 32"),
        ({"lanes": 32}, r"2 \* lanes \* rows <= width is broken by 2 \* 32 \* 2 with width 64"),
        ({"ports": 8}, "ports <= 4 is broken by 8"),
        (
            {"lanes": 1, "rows": 16, "width": 32},
            "rows <= width / ports is broken by 16 with 32 / 4",
        ),
        ({"groups": 257}, "groups <= 256 is broken by 257"),
        ({"decoder_elements": 8}, "16 <= decoder_elements <= width is broken by 8"),
        ({"decoder_elements": 128}, "16 <= decoder_elements <= width is broken by 128"),
        ({"dictionary_entries": 8192}, "256 <= dictionary_entries <= 4096 is broken by 8192"),
        ({"prefetch_beats": 16}, "prefetch_beats >= 32 is broken by 16"),
        ({"outstanding": 17}, "outstanding <= 16 is broken by 17"),
        (
            {"activation_words": (1 << 19) + 256},
            r"activation_words is a multiple of 256 and at most 2\*\*19 is broken by 524544",
        ),
        (
            {"activation_words": 24_577},
            r"activation_words is a multiple of 256 and at most .* is broken by 24577",
        ),
        ({"activation_words": 128}, r"a multiple of 256 and at most 2\*\*19 is broken by 128"),
        ({"activation_words": 0}, "activation_words must be a positive integer, not 0"),
        ({"activation_ram": "distributed"}, "activation_ram must be block or ultra, not 'dis"),
        ({"activation_ram": True}, "activation_ram must be block or ultra, not True"),
        ({"activation_ram": ["ultra"]}, r"activation_ram must be block or ultra, not \['ultra'\]"),
        ({"norm_lanes": 24}, "norm_lanes must be a power of two, not 24"),
        ({"norm_lanes": 64}, r"2 \* norm_lanes <= width is broken by 2 \* 64 with width 64"),
        ({"norm_lanes": False}, "norm_lanes must be a positive integer, not False"),
        ({"max_context": 100}, "max_context is a multiple of width and at most .* broken by 100"),
        ({"probability_bits": 13}, "4 <= probability_bits <= 12 is broken by 13"),
        ({"max_context": 1 << 18}, r"probability_bits \+ 7 \+ .* <= 35 is broken by 37 bits"),
        ({"sequences": 65}, "sequences <= 64 is broken by 65"),
        ({"max_head_dim": 1024}, "16 <= max_head_dim <= 512 is broken by 1024"),
        ({"norm_channels": 100}, "norm_channels is a multiple of width and at most 15602"),
        ({"address_bits": 64}, "32 <= address_bits <= 48 is broken by 64"),
        ({"baseline": 1}, "baseline must be true or false, not 1"),
        ({"codecs": ["raw", "zip"]}, r"codecs must be .*, not \['raw', 'zip'\]"),
        ({"codecs": ["raw", "raw"]}, "codecs must be a list of raw, dictionary, rice, each once"),
        ({"codecs": ()}, r"raw always, not \(\)"),
        ({"codecs": ("rice",)}, r"raw always, not \('rice',\)"),
        ({"codecs": "rice"}, "raw always, not 'rice'"),
        ({"codecs": [["raw"]]}, r"raw always, not \[\['raw'\]\]"),
        ({"codecs": 5}, "raw always, not 5"),
    ],
)
def test_broken_rules_name_rule_and_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(ZCU102, **changes)


def test_the_largest_sum_of_products_fits_the_accumulator() -> None:
    largest = MAX_INPUTS * (127 * 127 << 7) + 2**31
    assert largest <= 1 << ACCUMULATOR_BITS - 1 < largest + (127 * 127 << 7)


def test_unknown_names_are_listed() -> None:
    with pytest.raises(ValueError, match="unknown configuration 'huge': choose from tiny, small"):
        named_config("huge")
    with pytest.raises(ValueError, match="unknown AcceleratorConfig parameters: speed"):
        AcceleratorConfig.from_dict({**ZCU102.to_dict(), "speed": 1})
    values = ZCU102.to_dict()
    del values["lanes"]
    with pytest.raises(ValueError, match="AcceleratorConfig is incomplete: .*'lanes'"):
        AcceleratorConfig.from_dict(values)
