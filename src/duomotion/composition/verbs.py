"""Verbs of motion: their forms, and the kind of action that each stands for.

Captions whose verbs are not known here can't be turned into clauses safely and are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from duomotion.text.conjugation import gerund, past, third_person


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True)
class Action:
    """A kind of action.

    Attributes:
        name: what the kind is called, as in "walk".
        phrase: it in a few words, for several people: "walk", "throw something"; empty where the
            kind holds too different things.
        verbs: those that say it.
        nouns: what says it behind "does", "performs", "makes" or "takes".
        weight: how often it is drawn beside others of as many recordings.
        is_steady: any part of it is it as well, as with walking.
        speed: m/s at which somebody who does it goes along the floor, at least.
        needs_partner: nobody does it alone; who was recorded alone only pretends to.
    """

    name: str
    phrase: str
    verbs: tuple[str, ...]
    nouns: tuple[str, ...] = ()
    weight: float = 1.0
    is_steady: bool = False
    speed: float = 0.0
    needs_partner: bool = False


def _action(
    name: str,
    verbs: str = "",
    nouns: str = "",
    *,
    phrase: str | None = None,
    weight: float = 1.0,
    steady: bool = False,
    speed: float = 0.0,
    needs_partner: bool = False,
) -> Action:
    said = name if phrase is None else phrase
    words = _words(verbs) or (name,)
    return Action(name, said, words, _words(nouns), weight, steady, speed, needs_partner)


ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        # What people ask for.
        _action("wave", weight=3, steady=True),
        _action(
            "walk",
            "walk stroll strut wander pace meander",
            "walk",
            weight=2,
            steady=True,
            speed=0.3,
        ),
        _action("run", "run sprint rush", "run sprint", weight=3, steady=True, speed=1.0),
        _action("jog", weight=3, steady=True, speed=0.8),
        _action("jump", "jump leap hop skip bounce", "jump hop leap hops jumps", weight=3),
        _action("kick", "kick", "kick kicks", weight=3),
        _action("punch", "punch box", "punch punches jab uppercut boxing", weight=3, steady=True),
        _action("dance", "dance", "dance dancing ballet salsa pirouette", weight=3, steady=True),
        _action("sit", phrase="sit", weight=3),
        _action("turn", "turn spin rotate pivot whirl twirl", "turn spin rotation", weight=2),
        _action("step back", phrase="step back", weight=3),
        _action(
            "step", "step sidestep lunge", "step steps sidestep lunge lunges", phrase="", weight=1.5
        ),
        _action("throw", "throw toss pitch", "throw", phrase="throw something", weight=3),
        _action("clap", steady=True, weight=3),
        _action("bow", "bow curtsey", weight=3),
        _action("crawl", weight=3, steady=True, speed=0.1),
        _action("stretch", "stretch", "stretch stretching stretches", weight=3),
        _action("swing", "swing", "swing", phrase="", weight=2),
        _action("drink", "drink sip", phrase="drink something", weight=3),
        _action("lift", "lift", phrase="lift something", weight=3),
        # Others.
        _action("march", steady=True, speed=0.2),
        _action("sneak", "sneak creep tiptoe", steady=True, speed=0.1),
        _action("limp", "limp hobble stagger waddle stumble", steady=True),
        _action("climb", "climb ascend", phrase=""),
        _action("descend", "descend"),
        _action("pick", "pick", phrase="pick something up"),
        _action("bend", "bend", "bend", phrase=""),
        _action("lean", "lean tilt", phrase=""),
        _action("crouch", "crouch squat duck stoop hunch kneel", "squat squats", phrase="crouch"),
        _action("lie", "lie", phrase="lie down"),
        _action("rise", "rise", phrase="rise"),
        _action("fall", "fall trip slip", phrase="fall"),
        _action("push", "push shove", phrase="push something"),
        _action("pull", "pull drag", phrase="pull something"),
        _action("carry", "carry", phrase="carry something", steady=True),
        _action("catch", "catch", phrase="catch something"),
        _action("hit", "hit strike swat slap smash", phrase="hit something"),
        _action("fight", "fight spar", "kickboxing kata fighting martial", steady=True),
        _action("block", "block parry dodge evade defend fend", "parry block dodge"),
        _action("attack", "attack thrust stab charge", phrase="attack", nouns="thrust"),
        _action("hug", "hug embrace", needs_partner=True),
        _action("swim", "swim paddle row", "swimming", steady=True),
        _action("balance", "balance", steady=True),
        _action("cartwheel", "cartwheel", "cartwheel cartwheels", phrase="turn a cartwheel"),
        _action("flip", "flip", "somersault flip backflip handspring roll", phrase=""),
        _action("handstand", "handstand", "handstand headstand", phrase="do a handstand"),
        _action("exercise", "exercise", "exercise exercises yoga jacks warm-up", steady=True),
        _action("raise", "raise", phrase=""),
        _action("lower", "lower", phrase=""),
        _action("reach", "reach extend", phrase=""),
        _action("point", "point", phrase="point at something"),
        _action("shake", "shake", phrase=""),
        _action("touch", "touch tap rub scratch pat", phrase=""),
        _action("flap", "flap", phrase="flap their arms", steady=True),
        _action("gesture", "gesture signal", "gestures signals", phrase="gesture", steady=True),
        _action("salute", "salute", weight=2),
        _action("nod", "nod"),
        _action("shrug", "shrug"),
        _action("laugh", "laugh", steady=True),
        _action("cry", "cry", steady=True),
        _action("eat", "eat", phrase="eat something"),
        _action("clean", "clean wash wipe sweep vacuum mop rake", phrase=""),
        _action("play", "play dribble", phrase=""),
        _action("hammer", "hammer", phrase="hammer", steady=True),
        _action("write", "write", phrase="write something"),
        _action("paint", "paint", phrase="paint something"),
        _action("dig", "dig shovel", steady=True),
        _action("search", "search", phrase="search for something"),
        _action("look", "look stare glance peek", phrase="look around", weight=0.7),
        _action("move", "move go sway shift shuffle navigate", phrase="", weight=0.5),
        _action("get up", phrase="get up", weight=2),
        _action("hold", "hold", phrase="", weight=0.4),
        _action("stand", "stand wait", "pose", phrase="stand", weight=0.4, steady=True),
    )
}

LIGHT = frozenset(
    _words(
        "do perform make take practice execute give show have put place bring use get come open "
        "close spread cross drop roll set fold wiggle twist circle slide stick press squeeze grab "
        "act pretend mimic imitate begin start continue try attempt stop keep finish prepare "
        "return approach follow leave cover curl let hang rest warm jerk stay become face brush "
        "comb pour cut chop aim shoot ride drive type flail loosen adjust release grasp grip pose "
        "cast stir stroke initiate position receive pass offer accept help assist respond react "
        "draw deflect advance launch lead avoid feel stride maintain allow notice anticipate "
        "engage brace retreat guide greet mirror watch listen explain remain support meet retract"
    )
)
"""Verbs that say little by themselves, or that occur beside the others."""


@dataclass(frozen=True)
class Form:
    """What a word may be a form of.

    Attributes:
        verb: the basic form.
        kinds: among "base", "third", "gerund" and "past".
    """

    verb: str
    kinds: frozenset[str] = field(default_factory=frozenset)


def _forms() -> dict[str, Form]:
    known: dict[str, Form] = {}
    verbs = [v for action in ACTIONS.values() for v in action.verbs if " " not in v]
    for verb in dict.fromkeys([*verbs, *sorted(LIGHT)]):
        makers = {"third": third_person, "gerund": gerund, "past": past}
        for kind, word in [("base", verb), *((kind, make(verb)) for kind, make in makers.items())]:
            before = known.get(word)
            if before is None or before.verb == verb:
                kinds = frozenset({kind}) | (before.kinds if before else frozenset())
                known[word] = Form(verb, kinds)
    return known


FORMS: Mapping[str, Form] = _forms()
BY_VERB: Mapping[str, Action] = {
    verb: action for action in ACTIONS.values() for verb in action.verbs
}
BY_NOUN: Mapping[str, Action] = {
    noun: action for action in ACTIONS.values() for noun in action.nouns
}
