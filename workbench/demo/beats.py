# SPDX-License-Identifier: Apache-2.0
"""What the plots of the demo stories are made of, and the beats that they share.

A beat is a tuple of alternatives, of which one is told; an empty one means that the beat is left
out half of the time. Slots in braces: ``hero he him his``, ``friend fhe fhim fhis`` (the friend is
always of the other gender, so a pronoun is never in doubt), ``a_hero a_friend`` (with article,
trait and kind), ``friend_kind``, ``home``, ``at`` ("in the park"), ``place`` ("the park"),
``time``, ``hobby``, and those of the plot's own props. A sentence's first letter is made a
capital.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ASKING",
    "CLOSINGS",
    "MEETING",
    "OPENINGS",
    "SADNESS",
    "TAKING",
    "THANKS",
    "Beat",
    "Plot",
    "Prop",
]

Beat = tuple[str, ...]
Prop = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One line of events.

    beats : what is told between opening and closing. props : sets of slot values of which one is
    used throughout a story. hero_lacks : skill that would spoil the plot if the hero had it.
    friend_has : skills of which the friend needs one; empty for any friend.
    """

    beats: tuple[Beat, ...]
    props: tuple[Prop, ...] = ({},)
    hero_lacks: frozenset[str] = frozenset()
    friend_has: frozenset[str] = frozenset()


OPENINGS: tuple[Beat, ...] = (
    (
        "once upon a time, there was {a_hero} named {hero}.",
        "once upon a time, {a_hero} named {hero} lived in {home}.",
        "once upon a time, there lived {a_hero} named {hero} {at}.",
        "{hero} was {a_hero} who lived in {home}.",
        "{hero} was {a_hero} who lived {at}.",
        "there once was {a_hero} named {hero}, and {he} lived in {home}.",
        "long ago, {a_hero} named {hero} lived in {home}.",
        "in {home} lived {a_hero} named {hero}.",
    ),
    ("", "{he} loved {hobby}.", "{he} liked {hobby}.", "every day, {he} wanted {hobby}."),
)

CLOSINGS: Beat = (
    "from that day on, {hero} and {friend} were best friends.",
    "they laughed and played until the sun went down.",
    "{hero} went home with a big smile.",
    "that night, {hero} fell asleep with a smile.",
    "after that, they met {at} every day.",
    "and they were happy for the rest of the day.",
    "it was the best day of the whole year.",
    "{friend} was happy too, and they sang a song together.",
)

MEETING: Beat = (
    "just then, {a_friend} named {friend} came by.",
    "soon {a_friend} named {friend} heard {him} and came closer.",
    "then {he} met {a_friend} named {friend}.",
    "luckily, {friend} the {friend_kind} was not far away.",
)
SADNESS: Beat = (
    "",
    "{he} felt very sad.",
    "{hero} sat down and began to cry.",
    "{he} did not know what to do.",
    '"oh no!" cried {hero}.',
)
ASKING: Beat = (
    '"what is wrong?" asked {friend}.',
    '"can you help me?" asked {hero}.',
    '"do not be sad," said {friend}, "I can help you."',
    "{hero} told {fhim} everything, and {friend} listened.",
    "",
)
THANKS: Beat = (
    "",
    '"thank you!" said {hero}.',
    "{hero} thanked {fhim} again and again.",
    '"you are a good friend," said {hero}.',
    "{hero} was so happy that {he} gave {fhim} a hug.",
    '"thank you, {friend}," said {hero}, and {he} jumped for joy.',
)
TAKING: Beat = (
    "{time}, {hero} played with {his} {colour} {thing} {at}.",
    "{time}, {hero} took {his} {colour} {thing} to {place}.",
    "{time}, {he} went to {place} with {his} new {thing}.",
    "{his} grandmother gave {him} {a_coloured_thing}, and {time} {he} took it to {place}.",
)
