# SPDX-License-Identifier: Apache-2.0
"""A small checkpoint that chats, which says nonsense, and its image."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw_tests.workbench.commands import meadow
from hw_tests.workbench.conftest import write_checkpoint

TEMPLATE = (
    "{% for message in messages %}{{ message.role }} {{ message.content }}!{% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


@pytest.fixture(scope="session")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = write_checkpoint(tmp_path_factory.mktemp("chatting") / "model")
    (directory / "chat_template.jinja").write_text(TEMPLATE)
    return directory


@pytest.fixture(scope="session")
def chatting_image(chatting: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "model.meadow"
    meadow("compile", chatting, "-o", path)
    return path
