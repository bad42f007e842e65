# SPDX-License-Identifier: Apache-2.0
"""The story generator: fixed by its seed, varied, and grammatical in what can be checked."""

from __future__ import annotations

import re
import string

import pytest

from hw_tests.seeds import salted
from workbench.demo import words
from workbench.demo.beats import CLOSINGS, OPENINGS
from workbench.demo.plots import PLOTS
from workbench.demo.stories import generate_stories, generate_story, indefinite, sentences

STORIES = generate_stories(seed=salted(77), count=4000)
NAMES = frozenset(words.BOYS + words.GIRLS)
KNOWN_STORY = (
    "Luke was an eager mouse who lived near the stone bridge. He loved to sing songs. One "
    "bright day, Luke played with his silver ball near the stone bridge. The ball rolled "
    "away and fell between two big rocks. Just then, a patient mole named Mia came by. "
    "Luke told her everything, and Mia listened. So Mia dug a tunnel and pulled the ball "
    "out. It was the best day of the whole year."
)


def names_in(story: str) -> list[str]:
    """Names in order of first appearance."""
    return list(dict.fromkeys(word for word in re.findall(r"[A-Z]\w+", story) if word in NAMES))


def test_same_seed_same_stories() -> None:
    assert generate_stories(seed=salted(77), count=4000) == STORIES
    assert generate_stories(seed=salted(77), count=10) == STORIES[:10]
    assert generate_stories(seed=salted(78), count=10) != STORIES[:10]
    assert generate_story(5) == generate_story(5)


def test_known_story() -> None:
    """Pins the generator: the demo model's training text must not change unnoticed."""
    assert generate_story(1) == KNOWN_STORY


def test_stories_differ() -> None:
    assert len(set(STORIES)) == len(STORIES)
    # Whole sentences repeat, as the beats are few; whole middles hardly ever do.
    middles = {" ".join(sentences(story)[1:-1]) for story in STORIES}
    assert len(middles) > 0.99 * len(STORIES)


def test_excluded_stories_do_not_appear() -> None:
    known = STORIES[:100]
    again = generate_stories(seed=salted(77), count=50, exclude=known)
    assert again == STORIES[100:150]


def test_all_material_is_used() -> None:
    text = "\n".join(STORIES)
    for word in (*NAMES, *(kind.noun for kind in words.KINDS), *words.COLOURS, *words.TOYS):
        assert re.search(rf"\b{word}\b", text), word
    for phrase in (*words.LOOKED, *words.FOODS, *words.HOBBIES, *(p.noun for p in words.PLACES)):
        assert phrase in text, phrase


def test_every_line_of_every_beat_is_told() -> None:
    text = "\n".join(STORIES).lower()
    for beat in (*OPENINGS, CLOSINGS, *(beat for plot in PLOTS for beat in plot.beats)):
        for line in beat:
            longest_fixed_part = max(re.split(r"\{\w+\}", line), key=len).lower()
            assert longest_fixed_part in text, line


def test_lengths() -> None:
    counts = [len(sentences(story)) for story in STORIES]
    assert min(counts) >= 5 and max(counts) == 9
    assert len(set(counts)) >= 4


def test_spelling_of_the_page() -> None:
    letters = set(string.ascii_letters + ' .,:!?"')
    for story in STORIES:
        assert set(story) <= letters, set(story) - letters
        assert "  " not in story and story == story.strip()
        assert not re.search(r"\s[.,!?]", story)
        assert story.count('"') % 2 == 0
        for sentence in sentences(story):
            assert re.match(r'"?[A-Z]', sentence), sentence
            # Splitting takes the quotation mark that ends a sentence.
            assert sentence.rstrip('"')[-1] in ".!?", sentence


def test_articles_agree() -> None:
    exceptions = {"honest"}
    for story in STORIES:
        for article, word in re.findall(r"\b([Aa]n?) (\w+)", story):
            vowel = word[0].lower() in "aeiou" or word in exceptions
            assert (article.lower() == "an") == vowel, f"{article} {word}: {story}"


def test_both_characters_have_one_name_and_different_genders() -> None:
    for story in STORIES:
        names = names_in(story)
        assert 1 <= len(names) <= 2, story
        assert len({name in words.BOYS for name in names}) == len(names), story


def test_pronouns_without_a_friend_are_the_heros() -> None:
    """Up to the friend's appearance only the hero can be meant."""
    own = {True: {"he", "him", "his", "himself"}, False: {"she", "her", "herself"}}
    for story in STORIES:
        names = names_in(story)
        alone = story.split(names[1])[0] if len(names) == 2 else story
        found = set(re.findall(r"[a-z]+", alone.lower()))
        assert not found & own[names[0] not in words.BOYS], story


def test_heroes_can_need_the_help() -> None:
    """Nobody who flies or climbs is helpless below a tree."""
    able = {kind.noun for kind in words.KINDS if kind.skills & {"fly", "climb"}}
    seen = 0
    for story in STORIES:
        if re.search(r"tall tree|high branch|on the roof", story):
            seen += 1
            kind = re.search(r"\ba(?:n)? \w+ (\w+)\b", story.split(".")[0])
            assert kind is not None and kind[1] not in able, story
    assert seen > 100


def test_tense_is_the_past() -> None:
    """Outside of speech there is no present form of the verbs that stories are full of."""
    present = re.compile(r"\b(?:goes|runs|says|has|looks|finds|gives|takes|wants|loves|feels)\b")
    for story in STORIES:
        told = re.sub(r'"[^"]*"', "", story)
        assert not present.search(told), story


def test_templates_leave_no_gap() -> None:
    """Every slot that a template names was filled, and every line ends as a sentence."""
    assert not any("{" in story for story in STORIES)
    for beat in (*OPENINGS, CLOSINGS, *(beat for plot in PLOTS for beat in plot.beats)):
        for line in filter(None, beat):
            assert line.rstrip('"')[-1] in ".!?", line


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("old owl", "an old owl"),
        ("honest fox", "an honest fox"),
        ("red kite", "a red kite"),
        ("unicorn", "a unicorn"),
        ("umbrella", "an umbrella"),
        ("useful key", "a useful key"),
        ("hour", "an hour"),
        ("Orange", "an Orange"),
    ],
)
def test_indefinite(phrase: str, expected: str) -> None:
    assert indefinite(phrase) == expected
