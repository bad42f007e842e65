# SPDX-License-Identifier: Apache-2.0
"""A seeded generator of little stories: the training and held-out text of the demo model.

Every sentence was written for this project. A story is an opening, the beats of one plot and a
closing, told of a hero and a friend in the past tense. The same seed gives the same story.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection

from workbench.demo import words
from workbench.demo.beats import CLOSINGS, OPENINGS, Beat, Plot
from workbench.demo.plots import PLOTS

__all__ = ["generate_stories", "generate_story", "indefinite", "sentences"]

MIN_SENTENCES = 5
MAX_SENTENCES = 9

_PRONOUNS = {
    "he": {"he": "he", "him": "him", "his": "his", "himself": "himself"},
    "she": {"he": "she", "him": "her", "his": "her", "himself": "herself"},
}
_NAMES = {"he": words.BOYS, "she": words.GIRLS}
# Written with a vowel and spoken with a consonant, and the other way round.
_SPOKEN_CONSONANT = ("uni", "use", "one", "euro")
_SPOKEN_VOWEL = ("hour", "honest", "heir")
_SENTENCE_END = re.compile(r'(?<=[.!?])"? +(?=["A-Z])')


def indefinite(phrase: str) -> str:
    """The phrase with its indefinite article: ``"old owl"`` -> ``"an old owl"``."""
    word = phrase.lower()
    spoken_vowel = word.startswith(_SPOKEN_VOWEL) or (
        word[0] in "aeiou" and not word.startswith(_SPOKEN_CONSONANT)
    )
    return f"{'an' if spoken_vowel else 'a'} {phrase}"


def sentences(story: str) -> list[str]:
    """The sentences of a story; speech belongs to the sentence that reports it."""
    return _SENTENCE_END.split(story)


def generate_story(seed: int) -> str:
    """One story of 5 to 9 sentences on one line, the same for the same seed."""
    source = random.Random(seed)
    # The plot is drawn once: drawn again with every attempt, plots of few beats would prevail.
    plot = source.choice(PLOTS)
    while True:
        story = _tell(source, plot)
        if MIN_SENTENCES <= len(sentences(story)) <= MAX_SENTENCES:
            return story


def generate_stories(*, seed: int, count: int, exclude: Collection[str] = ()) -> list[str]:
    """``count`` different stories, none of them in ``exclude``.

    Story i of one seed does not depend on ``count``.
    """
    source = random.Random(seed)
    known = set(exclude)
    stories: list[str] = []
    while len(stories) < count:
        story = generate_story(source.getrandbits(64))
        if story not in known:
            known.add(story)
            stories.append(story)
    return stories


def _tell(source: random.Random, plot: Plot) -> str:
    slots = _cast(source, plot)
    told = (_choose(source, beat) for beat in (*OPENINGS, *plot.beats, CLOSINGS))
    return " ".join(_capitalised(text.format_map(slots)) for text in told if text)


def _choose(source: random.Random, beat: Beat) -> str:
    """One alternative; empty half of the time where the beat may be left out."""
    if "" in beat and source.random() < 0.5:
        return ""
    return source.choice([text for text in beat if text])


def _cast(source: random.Random, plot: Plot) -> dict[str, str]:
    """Values of all slots: hero, friend, place, time and the plot's props."""
    slots = dict(source.choice(plot.props))
    lacks = plot.hero_lacks | ({slots["skill"]} if slots.get("skill") else set())
    hero_gender, friend_gender = source.sample(("he", "she"), 2)

    hero = source.choice(
        [k for k in words.KINDS if k.gender in ("", hero_gender) and not k.skills & lacks]
    )
    friend = source.choice(
        [
            kind
            for kind in words.KINDS
            if kind.gender in ("", friend_gender)
            and kind.noun != hero.noun
            and (not plot.friend_has or kind.skills & plot.friend_has)
        ]
    )
    # A kind of one gender is a child, which is neither old nor wise.
    friend_traits = words.HERO_TRAITS if friend.gender else words.FRIEND_TRAITS
    place = source.choice(words.PLACES)
    colour = source.choice(words.COLOURS)
    thing = slots.setdefault("thing", source.choice(words.TOYS))
    looked, looked_too, found = source.sample(words.LOOKED, 3)
    slots |= _PRONOUNS[hero_gender]
    slots |= {f"f{name}": value for name, value in _PRONOUNS[friend_gender].items()}
    slots |= {
        "hero": source.choice(_NAMES[hero_gender]),
        "friend": source.choice(_NAMES[friend_gender]),
        "friend_kind": friend.noun,
        "a_hero": indefinite(f"{source.choice(words.HERO_TRAITS)} {hero.noun}"),
        "a_friend": indefinite(f"{source.choice(friend_traits)} {friend.noun}"),
        "went_up": "flew up" if "fly" in friend.skills else "climbed up",
        "home": f"{hero.home} {_near(place)}",
        "at": f"{place.at} {place.noun}",
        "place": place.noun,
        "time": source.choice(words.TIMES),
        "hobby": source.choice(words.HOBBIES),
        "colour": colour,
        "food": source.choice(words.FOODS),
        "looked": looked,
        "looked_too": looked_too,
        "found": found,
        "a_coloured_thing": indefinite(f"{colour} {thing}"),
        "a_coloured_gift": indefinite(f"{colour} {slots.get('gift', 'ball')}"),
    }
    # A prop may itself speak of the hero.
    return {name: value.format_map(slots) for name, value in slots.items()}


def _near(place: words.Place) -> str:
    """Where a home stands: beside what has no inside to live in."""
    return f"{place.at if place.at in ('in', 'on') else 'by'} {place.noun}"


def _capitalised(sentence: str) -> str:
    """First letter as a capital, also behind an opening quotation mark."""
    return re.sub(r'^("?)([a-z])', lambda m: m[1] + m[2].upper(), sentence)
