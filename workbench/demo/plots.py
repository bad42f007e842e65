# SPDX-License-Identifier: Apache-2.0
# Longer than 300 lines: the ten plots are text, which no reader looks for in several files.
"""The ten plots of the demo stories; :mod:`workbench.demo.beats` explains beats and slots."""

from __future__ import annotations

from workbench.demo.beats import ASKING, MEETING, SADNESS, TAKING, THANKS, Plot

__all__ = ["PLOTS"]

_HIGH = Plot(
    props=tuple({"thing": thing} for thing in ("kite", "balloon", "hat", "scarf", "ribbon")),
    hero_lacks=frozenset({"fly", "climb"}),
    friend_has=frozenset({"fly", "climb"}),
    beats=(
        TAKING,
        (
            "suddenly, a strong wind carried the {thing} up into a tall tree.",
            "the wind blew hard, and the {thing} landed on a high branch.",
            "then the wind lifted the {thing} and left it on the roof.",
        ),
        (
            "{hero} jumped and jumped, but {he} could not reach it.",
            "{he} tried with a long stick, but it was too short.",
            "it was much too high for {him}.",
            "",
        ),
        SADNESS,
        MEETING,
        ASKING,
        (
            "{friend} {went_up} and brought the {thing} back.",
            "so {friend} {went_up}, took the {thing} and gave it to {hero}.",
            "{fhe} {went_up} and came back with the {thing}.",
        ),
        THANKS,
    ),
)
_WATER = Plot(
    props=tuple({"thing": thing} for thing in ("ball", "boat", "hat", "cup", "basket")),
    hero_lacks=frozenset({"swim", "fly"}),
    friend_has=frozenset({"swim"}),
    beats=(
        TAKING,
        (
            "but {he} dropped the {thing}, and it fell into a deep pond.",
            "a gust of wind pushed the {thing} into the cold water.",
            "{he} slipped on a wet stone, and the {thing} fell into the water.",
        ),
        (
            "{hero} could not swim, so {he} could only watch.",
            "it floated away from the shore, and {he} could not reach it.",
            "the water was too deep for {him}.",
            "",
        ),
        SADNESS,
        MEETING,
        ASKING,
        (
            "{friend} jumped into the water and pushed the {thing} to the shore.",
            "{fhe} swam out and brought the {thing} back.",
            "so {friend} swam as fast as {fhe} could and caught the {thing}.",
        ),
        THANKS,
    ),
)
_HOLE = Plot(
    props=tuple({"thing": thing} for thing in ("key", "ring", "bell", "coin", "ball")),
    hero_lacks=frozenset({"dig"}),
    friend_has=frozenset({"dig"}),
    beats=(
        TAKING,
        (
            "but {he} dropped the {thing}, and it fell into a deep hole.",
            "the {thing} rolled away and fell between two big rocks.",
            "then {he} tripped, and the {thing} fell into a narrow hole.",
        ),
        (
            "{hero} looked into the dark, but {he} could not see it.",
            "{he} tried to reach it, but it was too deep.",
            "the ground was too hard for {him}.",
            "",
        ),
        SADNESS,
        MEETING,
        ASKING,
        (
            "{friend} dug in the ground until {fhe} found the {thing}.",
            "{fhe} began to dig, and soon the {thing} was free.",
            "so {friend} dug a tunnel and pulled the {thing} out.",
        ),
        THANKS,
    ),
)
_LOST = Plot(
    beats=(
        (
            "{his} favorite thing was {a_coloured_thing}.",
            "{he} had {a_coloured_thing} that {he} loved very much.",
            "{his} mother gave {him} {a_coloured_thing}.",
        ),
        (
            "{time}, the {thing} was gone.",
            "{time}, {he} could not find the {thing}.",
            "but {time} {he} lost the {thing} {at}.",
        ),
        (
            "{hero} looked {looked} and {looked_too}, but it was not there.",
            "{he} looked {looked}, and then {he} looked {looked_too}.",
            "{he} searched {looked}, but {he} found nothing.",
        ),
        SADNESS,
        MEETING,
        (
            '"where did you see it last?" asked {friend}.',
            '"let us look for it together," said {friend}.',
            "{friend} wanted to help, so they searched together.",
            "",
        ),
        (
            "at last, they found the {thing} {found}.",
            "then {friend} saw something {colour} {found}, and it was the {thing}.",
            "soon {fhe} found the {thing} {found}.",
        ),
        THANKS,
    ),
)
_FEAR = Plot(
    props=(
        {
            "fear": "the dark",
            "when": "one night, the moon was gone and everything was black",
            "help": "lit a small lamp and told a funny story",
            "now": "the dark was soft and quiet",
            "skill": "dark",
        },
        {
            "fear": "thunder",
            "when": "one evening, a big storm came over the hills",
            "help": "sang a loud song until the storm was over",
            "now": "thunder was only a noise",
            "skill": "",
        },
        {
            "fear": "deep water",
            "when": "one hot day, all the others went to swim in the lake",
            "help": "went into the water first and stayed close",
            "now": "the water was cool and fun",
            "skill": "swim",
        },
        {
            "fear": "high places",
            "when": "one day, {he} had to cross a high bridge",
            "help": "walked in front, one small step after another",
            "now": "the view was wonderful",
            "skill": "fly",
        },
    ),
    beats=(
        ("but {he} was afraid of {fear}.", "{he} had one secret: {he} was afraid of {fear}."),
        ("{when}.",),
        (
            "",
            "{hero} hid under a blanket and did not move.",
            "{hero} began to shake.",
            '"I cannot do this," said {hero}.',
            "{his} heart beat fast.",
        ),
        (
            "{his} friend {friend}, {a_friend}, saw it and came to help.",
            "then {a_friend} named {friend} sat down next to {him}.",
        ),
        (
            "",
            '"I was afraid once too," said {friend}.',
            '"we will do it together," said {friend}.',
            '"being brave means to try," said {friend}.',
        ),
        ("{friend} {help}.", "then {fhe} {help}."),
        (
            "slowly, {hero} saw that {now}.",
            "after a while, {he} opened {his} eyes and found that {now}.",
        ),
        ('"I did it!" said {hero}.', "{hero} was proud of {himself}.", ""),
    ),
)
_SHARING = Plot(
    beats=(
        (
            "{time}, {hero} made some {food} for lunch.",
            "{time}, {his} mother gave {him} some {food}.",
            "{time}, {he} packed some {food} and went to {place}.",
        ),
        (
            "soon {he} met {a_friend} named {friend}, who looked tired.",
            "before {he} could eat, {a_friend} named {friend} came by.",
        ),
        (
            '"I am so hungry," said {friend}.',
            "{friend} had not eaten all day.",
            '"that smells very good," said {friend}.',
        ),
        (
            "{hero} wanted to eat it all, but then {he} thought about {friend}.",
            "there was not much, but {hero} smiled.",
            "{hero} thought for a moment.",
            "",
        ),
        (
            "{he} cut the {food} into two parts and gave {fhim} the bigger one.",
            '"we can share the {food}," said {hero}, and they sat down together.',
        ),
        (
            "the next day, {friend} came back with a basket of {gift}.",
            "a week later, {hero} was hungry, and {friend} brought {him} a basket of {gift}.",
            "",
        ),
        (
            "{hero} learned that food tastes better with a friend.",
            "{hero} learned that sharing makes two hearts happy.",
            '"now we are friends," said {friend}.',
        ),
    ),
    props=tuple({"gift": gift} for gift in ("apples", "nuts", "berries", "flowers", "pears")),
)
_BUILDING = Plot(
    props=(
        {"work": "tower", "of": "stones", "harm": "it fell down", "fix": "used bigger stones"},
        {"work": "boat", "of": "wood", "harm": "it began to sink", "fix": "closed every hole"},
        {"work": "bridge", "of": "sticks", "harm": "it broke", "fix": "tied the sticks together"},
        {"work": "house", "of": "leaves", "harm": "the wind blew it away", "fix": "used wood"},
        {"work": "castle", "of": "sand", "harm": "a wave washed it away", "fix": "built a wall"},
    ),
    beats=(
        (
            "{time}, {hero} wanted to build a {work} of {of}.",
            "{time}, {he} had an idea: {he} would build a {work} of {of}.",
        ),
        (
            "{he} worked the whole morning.",
            "{he} worked very hard {at}.",
            "{he} did not want any help.",
            "",
        ),
        ("but when the {work} was ready, {harm}.", "the {work} looked fine, but then {harm}."),
        SADNESS,
        (
            "{a_friend} named {friend} saw it and came closer.",
            "{friend} the {friend_kind} saw what had happened.",
        ),
        (
            '"let us try again together," said {friend}.',
            '"I have an idea," said {friend}.',
            '"two can do more than one," said {friend}.',
        ),
        (
            "this time they {fix}, and the {work} was strong.",
            "they {fix}, and soon the {work} was better than before.",
        ),
        (
            "{hero} was very proud of the new {work}.",
            '"we did it!" said {hero}.',
            "{hero} learned that it is good to ask for help.",
            "",
        ),
    ),
)
_SEED = Plot(
    props=(
        {"plant": "a fine sunflower", "fruit": "it had a big yellow flower"},
        {"plant": "an apple tree", "fruit": "it had sweet red apples"},
        {"plant": "a pumpkin", "fruit": "it was big, round and orange"},
        {"plant": "a rose", "fruit": "it had a lovely red flower"},
    ),
    beats=(
        (
            "{time}, {hero} found a tiny seed {at}.",
            "{time}, {a_friend} named {friend} gave {him} a tiny seed.",
        ),
        (
            "",
            "{he} put it into the ground and gave it water.",
            "{he} planted it behind {his} home.",
        ),
        ("every day {he} came to look, but nothing happened.", "days went by, but nothing grew."),
        (
            '"maybe it is a bad seed," said {hero}.',
            "{hero} wanted to give up.",
            "{hero} felt sad.",
            "",
        ),
        (
            '"be patient," said {friend} the {friend_kind}, "good things take time."',
            '"wait a little longer," said {friend} the {friend_kind}.',
        ),
        (
            "",
            "so {hero} waited, and the rain and the sun came.",
            "{hero} waited and sang to the seed.",
        ),
        (
            "at last, a small green leaf came out of the ground.",
            "one morning, there was a small green plant.",
        ),
        ("it grew into {plant}, and {fruit}.", "in summer it was {plant}, and {fruit}."),
        ("", "{hero} was glad that {he} had waited."),
    ),
)
_QUARREL = Plot(
    beats=(
        (
            "one of {his} friends was {a_friend} named {friend}.",
            "{friend}, {a_friend}, lived next door.",
        ),
        (
            "{time}, they found {a_coloured_thing} {at}.",
            "{time}, they saw {a_coloured_thing} {looked}.",
        ),
        (
            "",
            '"it is mine," said {hero}, but {friend} wanted it too.',
            "both of them wanted to have it.",
        ),
        (
            "they pulled and pulled until the {thing} broke.",
            "{hero} pulled on one side and {friend} on the other, and the {thing} broke.",
        ),
        ("", "now nobody could use it.", "{friend} went home without a word.", "they were angry."),
        (
            "",
            "that evening, {hero} thought about it and felt bad.",
            "without {his} friend, {hero} felt lonely.",
        ),
        (
            '"I am sorry," said {hero} the next day.',
            "the next morning, {hero} went to {friend} and said sorry.",
        ),
        (
            '"I am sorry too," said {friend}, and together they mended the {thing}.',
            "{friend} smiled, and they mended the {thing} together.",
        ),
        ("", "from then on, they took turns.", "a friend is worth more than any {thing}."),
    ),
)
_SURPRISE = Plot(
    props=tuple({"gift": gift} for gift in ("kite", "drum", "book", "hat", "flute", "lantern")),
    beats=(
        ("one morning, {hero} woke up and remembered that it was {his} birthday.",),
        (
            "{he} ran to {friend} the {friend_kind}, but {fhe} had no time.",
            "{he} looked for {his} friend {friend}, {a_friend}, but {fhe} was not at home.",
        ),
        (
            "",
            '"nobody remembers my birthday," said {hero}.',
            "{hero} thought that everyone had forgotten it.",
        ),
        ("{he} walked to {place} all alone.", "sad and slow, {he} walked home."),
        (
            'suddenly, {friend} jumped out and called, "Surprise!"',
            'then {friend} came with a cake and shouted, "Happy birthday!"',
        ),
        (
            "all {his} friends were there with some {food}.",
            "there were lights and songs and a lot of {food}.",
        ),
        (
            "{friend} gave {him} {a_coloured_gift}.",
            "{his} present was {a_coloured_gift}, and {he} loved it.",
        ),
        THANKS,
    ),
)

PLOTS: tuple[Plot, ...] = (
    *(_HIGH, _WATER, _HOLE, _LOST, _FEAR, _SHARING, _BUILDING, _SEED, _QUARREL, _SURPRISE),
)
