# SPDX-License-Identifier: Apache-2.0
"""The small world of the demo stories: who lives in it, what there is, what one can do."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BOYS",
    "COLOURS",
    "FOODS",
    "FRIEND_TRAITS",
    "GIRLS",
    "HERO_TRAITS",
    "HOBBIES",
    "KINDS",
    "LOOKED",
    "PLACES",
    "TIMES",
    "TOYS",
    "Kind",
    "Place",
]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of character.

    noun : what it is called; home : where it lives, with article; skills : what it can do that
    others cannot, so that no bird is ever helpless below a tree; gender : ``"he"`` or ``"she"``
    for a kind that has only one, empty for both.
    """

    noun: str
    home: str
    skills: frozenset[str] = frozenset()
    gender: str = ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place: noun with article, and the preposition for being there."""

    noun: str
    at: str


GIRLS = (
    *("Mia", "Lily", "Anna", "Rosa", "Ella", "Nora", "Ruby", "Daisy"),
    *("Molly", "Poppy", "Clara", "Lucy", "Emma", "Ivy", "Tilly", "Zoe"),
)
BOYS = (
    *("Tom", "Ben", "Max", "Leo", "Sam", "Oscar", "Finn", "Jack"),
    *("Noah", "Toby", "Hugo", "Otto", "Felix", "Milo", "Theo", "Luke"),
)

KINDS = (
    Kind(noun="girl", home="a small house", gender="she"),
    Kind(noun="boy", home="a small house", gender="he"),
    Kind(noun="rabbit", home="a warm burrow", skills=frozenset({"dig"})),
    Kind(noun="fox", home="a cosy den", skills=frozenset({"dig"})),
    Kind(noun="dog", home="a wooden hut", skills=frozenset({"dig"})),
    Kind(noun="mole", home="a long tunnel", skills=frozenset({"dig", "dark"})),
    Kind(noun="badger", home="a cosy den", skills=frozenset({"dig", "dark"})),
    Kind(noun="mouse", home="a tiny hole"),
    Kind(noun="hedgehog", home="a pile of leaves"),
    Kind(noun="sheep", home="a wooden hut"),
    Kind(noun="pony", home="an old barn"),
    Kind(noun="cat", home="an old barn", skills=frozenset({"climb", "dark"})),
    Kind(noun="squirrel", home="a hollow tree", skills=frozenset({"climb"})),
    Kind(noun="monkey", home="a tree house", skills=frozenset({"climb"})),
    Kind(noun="owl", home="a hollow tree", skills=frozenset({"fly", "dark"})),
    Kind(noun="robin", home="a tiny nest", skills=frozenset({"fly"})),
    Kind(noun="crow", home="a big nest", skills=frozenset({"fly"})),
    Kind(noun="frog", home="a hut of reeds", skills=frozenset({"swim"})),
    Kind(noun="duck", home="a hut of reeds", skills=frozenset({"swim", "fly"})),
    Kind(noun="otter", home="a cosy den", skills=frozenset({"swim"})),
    Kind(noun="turtle", home="a quiet cave", skills=frozenset({"swim"})),
)

HERO_TRAITS = (
    *("little", "small", "brave", "kind", "curious", "clever", "shy", "happy"),
    *("gentle", "cheerful", "quiet", "young", "honest", "eager"),
)
FRIEND_TRAITS = ("old", "wise", "friendly", "kind", "gentle", "clever", "patient", "honest")

PLACES = (
    Place(noun="the forest", at="in"),
    Place(noun="the garden", at="in"),
    Place(noun="the meadow", at="in"),
    Place(noun="the park", at="in"),
    Place(noun="the valley", at="in"),
    Place(noun="the orchard", at="in"),
    Place(noun="the green hill", at="on"),
    Place(noun="the beach", at="on"),
    Place(noun="the old farm", at="on"),
    Place(noun="the river", at="by"),
    Place(noun="the lake", at="by"),
    Place(noun="the old mill", at="near"),
    Place(noun="the stone bridge", at="near"),
)

TIMES = (
    *("one day", "one morning", "one sunny morning", "one warm afternoon", "early one morning"),
    *("one quiet afternoon", "one bright day", "one spring morning", "after breakfast one day"),
)

HOBBIES = (
    *("to sing songs", "to look at the clouds", "to collect round stones", "to paint pictures"),
    *("to tell funny stories", "to count the stars", "to bake bread", "to read books"),
    *("to play outside", "to listen to the rain", "to dance", "to pick berries"),
    *("to draw maps", "to help others", "to make music", "to watch the bees"),
)

COLOURS = ("red", "blue", "green", "yellow", "orange", "white", "golden", "silver", "purple")

TOYS = (
    *("ball", "drum", "hat", "scarf", "book", "bell", "whistle", "key", "basket", "flute"),
    *("blanket", "lantern", "umbrella", "ring", "cup"),
)

LOOKED = (
    *("under the bed", "behind the door", "in the tall grass", "under the bench"),
    *("behind the old tree", "under the leaves", "next to the gate"),
    *("between the stones", "behind the fence", "in the old shed"),
)

FOODS = (
    *("apple pie", "bread", "honey cake", "cheese", "nut bread", "orange cake"),
    *("berry jam", "corn bread"),
)
