# SPDX-License-Identifier: Apache-2.0
"""`meadow chat`: its JSON, its text, its errors, and its terminal."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hw_tests.models import family_description
from hw_tests.seeds import salted
from hw_tests.workbench.chat.terminal import Terminal
from meadow.compiler.image import compile_image, write_image
from meadow.compiler.synthetic import synthetic_model
from meadow.spec.config import named_config
from workbench.chat.talk import Talk
from workbench.cli import app

TURN_KEYS = [
    *("user", "text", "tokens", "ended", "cached_tokens", "prompt_tokens", "cycles"),
    *("tokens_per_second", "prefill", "decode", "matches_golden", "first_difference"),
]


def chat(*arguments: object, said: str | bytes = "", code: int = 0) -> Any:
    given = ["chat", *(str(argument) for argument in arguments)]
    result = CliRunner().invoke(app, given, input=said)
    assert result.exit_code == code, result.output
    return result


def report(*arguments: object, said: str) -> dict[str, Any]:
    return json.loads(chat(*arguments, "--json", said=said).stdout)


def test_json_is_one_object_with_a_turn_for_each_line(chatting: Path, chatting_image: Path) -> None:
    common = ("--device", "golden", "--check", "--max-tokens", 4)
    values = report(chatting, *common, said="abc\n\nde\n")
    assert [turn["user"] for turn in values["turns"]] == ["abc", "de"]
    for turn in values["turns"]:
        assert list(turn) == TURN_KEYS
        assert turn["matches_golden"] is True and 1 <= len(turn["tokens"]) <= 4
        assert turn["cycles"] == 0 and turn["tokens_per_second"] is None
    first, second = values["turns"]
    assert first["cached_tokens"] == 0 and second["cached_tokens"] >= first["prompt_tokens"]
    assert values["chat_template"] is True and values["matches_golden"] is True
    assert (values["config"], values["device"], values["context"]) == ("tiny", "golden", 64)
    # An image has template and tokenizer in it, and is compared with the golden machine.
    again = report(chatting_image, *common, said="abc\n\nde\n")
    assert [turn["text"] for turn in again["turns"]] == [turn["text"] for turn in values["turns"]]


def test_without_lines_there_are_no_turns_and_without_checks_no_verdict(
    chatting_image: Path,
) -> None:
    values = report(chatting_image, "--device", "golden", said="")
    assert values["turns"] == [] and values["matches_golden"] is None
    values = report(chatting_image, "--device", "golden", "--max-tokens", 1, said="a")
    assert values["turns"][0]["matches_golden"] is None


def test_answers_go_to_standard_output_and_figures_beside_it(chatting_image: Path) -> None:
    common = (chatting_image, "--device", "golden", "--max-tokens", 4)
    turns = report(*common, said="abc\nde\n")["turns"]
    result = chat(*common, said="abc\nde\n")
    assert result.stdout == "".join(turn["text"] + "\n" for turn in turns)
    figures = [line for line in result.stderr.splitlines() if line.startswith("[")]
    assert len(figures) == 2 and "tokens behind 19 new ones; golden model" in figures[0]
    assert "from the cache" in figures[1]


def test_a_model_without_a_template_continues_plain_text(checkpoint: Path) -> None:
    common = (checkpoint, "--device", "golden", "--check", "--max-tokens", 3)
    result = chat(*common, "--json", said="abc\nde\n")
    lines = [line for line in result.stderr.splitlines() if "no chat template" in line]
    assert lines == [
        "meadow: the model has no chat template: what is typed is continued as plain text"
    ]
    values = json.loads(result.stdout)
    assert values["chat_template"] is False and values["matches_golden"] is True
    assert [turn["user"] for turn in values["turns"]] == ["abc", "de"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for a in range(99999) %}{{ 'x' * 99 }}{% endfor %}", "its text is longer than"),
        ("{{ messages.__class__.__mro__ }}", "it does what the sandbox forbids"),
        ("{% for %}", "its line 1 is not understood"),
        ("{{ raise_exception('no') }}", "it refuses this conversation: no"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("command", ["chat", "run"])
def test_a_template_that_misbehaves_is_one_line_before_anything_slow(
    chatting: Path, tmp_path: Path, template: str, message: str, command: str
) -> None:
    own = shutil.copytree(chatting, tmp_path / "own")
    (own / "chat_template.jinja").write_text(template)
    given = [command, str(own), "--device", "golden", "--json"]
    result = CliRunner().invoke(app, given + (["--chat", "a"] if command == "run" else []))
    assert result.exit_code == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("meadow: the chat template cannot be used: ")
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said", "message"),
    [
        (["--max-tokens", "0"], "", "max_tokens must be at least 1, not 0"),
        (["--chunk", "99"], "", "a chunk of this image holds 1..64 tokens, not 99"),
        (["--device", "none"], "", "unknown device 'none'"),
        ([], b"\xff\n", "a prompt must be UTF-8 text, not '"),
        ([], "a\n" + "b" * 60, "the prompt has 76 tokens, the context of this image holds 64 more"),
    ],
)
def test_a_mistake_is_one_line(
    chatting_image: Path, arguments: list[str], said: str | bytes, message: str
) -> None:
    given = arguments if "--device" in arguments else ["--device", "golden", *arguments]
    result = chat(chatting_image, *given, "--json", said=said, code=2)
    assert result.stdout == ""
    assert message in result.stderr.splitlines()[-1]


def test_models_that_cannot_chat_are_refused(silent_checkpoint: Path, tmp_path: Path) -> None:
    result = chat(silent_checkpoint, "--device", "golden", code=2)
    assert "a chat needs a tokenizer, which this model does not have" in result.stderr
    model = synthetic_model(family_description("opt"), seed=salted(1))
    options = {"config_name": "tiny", "tokenizer_json": b"{}", "dataflow": "gemm", "step": (0, 3)}
    write_image(compile_image(model, named_config("tiny"), **options), tmp_path / "image")
    result = chat(tmp_path / "image", "--device", "golden", code=2)
    assert "a chat needs a model that is compiled for any step" in result.stderr


def test_run_takes_one_turn_of_a_chat(chatting: Path, chatting_image: Path) -> None:
    common = ["--device", "golden", "--max-tokens", "4", "--json"]
    turn = report(chatting_image, "--device", "golden", "--max-tokens", 4, said="abc")["turns"][0]
    for model in (chatting, chatting_image):
        result = CliRunner().invoke(app, ["run", str(model), "--chat", "abc", *common])
        assert result.exit_code == 0, result.output
        values = json.loads(result.stdout)
        assert values["tokens"] == turn["tokens"] and values["matches_golden"] is True
        assert values["text"].startswith(turn["text"])
        assert values["prefill"]["tokens"] == turn["prompt_tokens"]
    shown = CliRunner().invoke(app, ["run", str(chatting_image), "--chat", "abc", *common[:-1]])
    assert shown.stdout.startswith(values["text"])


def test_run_refuses_a_chat_without_a_template_or_beside_a_prompt(checkpoint: Path) -> None:
    for more, message in (
        ([], "the model has no chat template: give --prompt, a text to continue"),
        (["--prompt", "b"], "give either --prompt or --chat, not both"),
        (["--prompt-tokens", "3"], "give either --prompt-tokens or --chat, not both"),
    ):
        given = ["run", str(checkpoint), "--device", "golden", "--chat", "a", *more]
        result = CliRunner().invoke(app, given)
        assert result.exit_code == 2
        assert result.stderr == f"meadow: {message}\n"


@pytest.mark.sim
def test_every_token_of_the_simulated_chip_equals_golden(chatting: Path) -> None:
    common = (chatting, "--max-tokens", 4)
    values = report(*common, "--stalls", 0.3, "--seed", salted(2), said="abc\nde\n")
    golden = report(*common, "--device", "golden", said="abc\nde\n")
    assert values["matches_golden"] is True and values["label"] == "simulated"
    for turn, other in zip(values["turns"], golden["turns"], strict=True):
        assert turn["tokens"] == other["tokens"] and turn["matches_golden"] is True
        assert turn["cycles"] > 0 and turn["tokens_per_second"] > 0


def long_talker(path: Path, chatting: Path) -> Path:
    """An image of a model that talks for long: its end token never comes."""
    tokenizer = (chatting / "tokenizer.json").read_bytes()
    description = family_description("opt", vocabulary=71, max_positions=2000, eos_token=1)
    model = synthetic_model(description, seed=salted(3))
    image = compile_image(model, named_config("tiny"), config_name="tiny", tokenizer_json=tokenizer)
    write_image(image, path)
    return path


def test_a_terminal_is_asked_and_ctrl_d_leaves(chatting_image: Path) -> None:
    with Terminal("chat", chatting_image, "--device", "golden", "--max-tokens", 4) as terminal:
        terminal.until("> ")
        terminal.press("abc\n")
        assert "19 new ones" in terminal.until("golden model, without time]")
        terminal.until("> ")
        terminal.press("\n")  # an empty line is no turn
        terminal.until("> ")
        terminal.press("x" * 70 + "\n")
        assert "the context of this image holds 64 more" in terminal.until("> ")
        terminal.press("de\n")
        terminal.until("golden model, without time]")
        terminal.until("> ")
        terminal.press("\x04")
        assert terminal.ended() == 0
        assert "Traceback" not in terminal.screen


def test_ctrl_c_ends_an_answer_and_a_second_one_at_the_prompt_leaves(
    chatting: Path, tmp_path: Path
) -> None:
    image = long_talker(tmp_path / "image", chatting)
    with Terminal("chat", image, "--device", "golden", "--max-tokens", 1900) as terminal:
        terminal.until("plain text")
        terminal.until("> ")
        terminal.press("abc\n")
        terminal.until("taking in 4 tokens")
        terminal.press("\x03")
        assert "Traceback" not in terminal.until("; interrupted; golden model, without time]")
        terminal.until("> ")
        terminal.interrupt("Ctrl-C once more, or Ctrl-D, leaves")
        terminal.until("leaves")
        terminal.until("> ")
        terminal.interrupt("")
        assert terminal.ended() == 0
        assert "Traceback" not in terminal.screen


def test_json_on_a_terminal_asks_on_standard_error(chatting_image: Path, tmp_path: Path) -> None:
    given = ("chat", chatting_image, "--device", "golden", "--max-tokens", 3, "--json")
    with Terminal(*given, output=tmp_path / "report.json") as terminal:
        terminal.until("> ")
        terminal.press("abc\n")
        terminal.until("golden model, without time]")
        terminal.until("> ")
        terminal.press("\x04")
        assert terminal.ended() == 0
    values = json.loads((tmp_path / "report.json").read_text())
    assert [turn["user"] for turn in values["turns"]] == ["abc"]


def test_a_second_ctrl_c_leaves_an_answer_at_once_and_reports_what_was_said(
    chatting_image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Talk.answer

    def interrupted(self: Talk, line: str, **options: Any) -> dict[str, Any]:
        if line == "de":
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
        return answer(self, line, **options)

    monkeypatch.setattr(Talk, "answer", interrupted)
    common = (chatting_image, "--device", "golden", "--max-tokens", 3, "--json")
    result = chat(*common, said="abc\nde\nf\n")
    assert [turn["user"] for turn in json.loads(result.stdout)["turns"]] == ["abc"]
    assert result.stderr.splitlines()[-1] == "meadow: left in the middle of an answer"
