# SPDX-License-Identifier: Apache-2.0
"""Where a chat template stands, and which one counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from meadow.compiler.importers.checkpoint_folder import CheckpointError
from workbench.models.chat_template_files import read_chat_template

MESSAGES = [{"role": "user", "content": "Hi"}]


def settings(directory: Path, **values: Any) -> Path:
    (directory / "tokenizer_config.json").write_text(json.dumps(values))
    return directory


def test_a_directory_may_have_none(tmp_path: Path) -> None:
    assert read_chat_template(tmp_path) is None
    assert read_chat_template(settings(tmp_path, bos_token="<s>")) is None


def test_special_tokens_are_texts_or_objects(tmp_path: Path) -> None:
    source = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token }}"
    values = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": None}
    template = read_chat_template(settings(tmp_path, chat_template=source, **values))
    assert template is not None and template.render(MESSAGES) == "<s>Hi</s>"


def test_a_file_counts_before_the_settings(tmp_path: Path) -> None:
    settings(tmp_path, chat_template="settings", bos_token="<s>")
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}file")
    template = read_chat_template(tmp_path)
    assert template is not None and template.render(MESSAGES) == "<s>file"


def test_of_named_templates_the_default_counts(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    template = read_chat_template(settings(tmp_path, chat_template=named))
    assert template is not None and template.source == "d"
    assert read_chat_template(settings(tmp_path, chat_template=named[:1])) is None


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"^chat_template of tokenizer_config.json must be te"
    ):
        read_chat_template(settings(tmp_path, chat_template=3))
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match=r"^chat_template.jinja must be UTF-8 text: "):
        read_chat_template(tmp_path)


@pytest.mark.parametrize("text", ["{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", None])
def test_a_gguf_file_has_its_own(tmp_path: Path, text: str | None) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_array("tokenizer.ggml.tokens", ["<unk>", "<s>", "</s>"])
    writer.add_uint32("tokenizer.ggml.bos_token_id", 1)
    writer.add_uint32("tokenizer.ggml.eos_token_id", 7)
    if text is not None:
        writer.add_string("tokenizer.chat_template", text)
    writer.add_tensor("token_embd.weight", np.zeros((3, 2), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    template = read_chat_template(tmp_path / "m.gguf")
    if text is None:
        assert template is None
    else:
        assert template is not None and template.render(MESSAGES) == "<s>Hi"
