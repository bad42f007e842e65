# SPDX-License-Identifier: Apache-2.0
"""What the remedies are worth: what is left out is left out, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hw_tests.meadow.compiler.llama_checkpoint import config_of, llama_weights
from hw_tests.models import family_description, random_model
from hw_tests.seeds import salted
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.spec.config import named_config
from workbench.campaigns.llama_files import write_directory
from workbench.documents.remedies import SITES, StaticSites, main, with_narrow_tables

TINY = named_config("tiny")
MODEL = random_model(family_description("llama"))
INPUTS = {"norm outputs": "qkv_in", "attention output": "o_in", "MLP hiddens": "fc2_in"}


def seen(tier: BitTrueModel) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    tokens = np.random.default_rng(salted(21)).integers(0, MODEL.description.vocabulary, 9)
    tier.forward(tokens, observe=lambda site, values: found.update({site: values}))
    return found


def is_static(values: np.ndarray) -> bool:
    return bool(np.all(values % 128 == 0) and np.abs(values.astype(int)).max() <= 127 * 128)


@pytest.mark.parametrize("site", SITES)
def test_one_site_has_8_bits_and_one_scale_and_what_comes_before_is_as_it_was(site: str) -> None:
    plain, static = seen(BitTrueModel(MODEL, TINY)), seen(StaticSites(MODEL, TINY, [site]))
    name = f"layers.0.{INPUTS[site]}"
    order = list(plain)
    before = order[: order.index(name)]
    assert all(np.array_equal(plain[other], static[other]) for other in before)
    assert is_static(static[name])


def test_without_a_site_it_is_the_bit_true_tier() -> None:
    plain, same = seen(BitTrueModel(MODEL, TINY)), seen(StaticSites(MODEL, TINY, []))
    assert all(np.array_equal(plain[name], same[name]) for name in plain)


def test_an_unknown_site_is_refused() -> None:
    with pytest.raises(ValueError, match="sites must be of norm outputs, .*, not residual"):
        StaticSites(MODEL, TINY, ["residual"])


def test_narrow_tables_have_8_bits_of_their_largest_entry() -> None:
    for layer, narrow in zip(MODEL.layers, with_narrow_tables(MODEL).layers, strict=True):
        before, after = layer.activation_table, narrow.activation_table
        assert before is not None and after is not None
        step = max(1.0, np.abs(before.astype(int)).max() / 127)
        assert len(np.unique(after)) <= 255
        assert np.abs(after.astype(int) - before).max() <= step / 2 + 0.5
        assert not np.array_equal(before, after)


def test_the_report_has_a_row_with_all_and_one_without_each(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of("llama", "width72")
    model = write_directory(tmp_path / "model", config, llama_weights(config))
    (model / "tokenizer.json").write_bytes((checkpoint / "tokenizer.json").read_bytes())
    text = tmp_path / "text.txt"
    letters = np.random.default_rng(salted(22)).choice(list("abcdefgh "), (8, 90))
    text.write_text("\n\n".join("".join(line).strip() for line in letters), "utf-8")
    assert (
        main([str(model), "--text", str(text), "--calibration", str(text), "--tokens", "80"]) == 0
    )
    report = json.loads(capsys.readouterr().out)
    rows = {(row["name"], row["width"]): row for row in report["rows"]}
    assert {("all", 64), ("all", 32), ("all", 16)} < set(rows)
    assert {f"no exponents of {site}" for site in (*SITES, "any site")} < {n for n, _ in rows}
    assert all(row["tokens"] == rows["all", 64]["tokens"] >= 80 for row in report["rows"])
    assert all(0 < row["kl_nats"] < 1 and 0.5 < row["ratio"] < 2 for row in report["rows"])
    assert rows["no exponents of any site", 64]["kl_nats"] > rows["all", 64]["kl_nats"]


def test_what_cannot_be_measured_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none")]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and "checkpoint" in told.err
