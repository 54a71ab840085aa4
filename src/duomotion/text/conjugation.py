"""Forms of English verbs."""

import re

PRESENT = {"be": "is", "have": "has"}
PLURAL = {"be": "are"}
PAST = {
    "be": "was",
    "do": "did",
    "go": "went",
    "run": "ran",
    "stand": "stood",
    "sit": "sat",
    "throw": "threw",
    "take": "took",
    "get": "got",
    "make": "made",
    "give": "gave",
    "hold": "held",
    "lie": "lay",
    "bend": "bent",
    "swing": "swung",
    "catch": "caught",
    "drink": "drank",
    "fall": "fell",
    "fight": "fought",
    "put": "put",
    "hit": "hit",
    "spin": "spun",
    "shake": "shook",
    "swim": "swam",
    "come": "came",
    "bring": "brought",
    "eat": "ate",
    "write": "wrote",
    "rise": "rose",
    "begin": "began",
    "leap": "leapt",
    "kneel": "knelt",
    "creep": "crept",
    "sweep": "swept",
    "dig": "dug",
    "draw": "drew",
    "set": "set",
    "let": "let",
    "have": "had",
    "ride": "rode",
    "drive": "drove",
    "thrust": "thrust",
    "shoot": "shot",
    "stick": "stuck",
}
GERUNDS = {"lie": "lying", "die": "dying", "tie": "tying"}
# Their last letter is doubled before "ing" and "ed".
_DOUBLED = (
    "get put set let hit sit run spin swim jog step hop clap flap chop dig drop flip grab hug nod "
    "pat rub skip slip stop swat tap trip squat strut sidestep sip slap stab spar stir mop cut "
    "begin"
)
DOUBLED = frozenset(_DOUBLED.split())
_CONSONANT_Y = re.compile(r"[^aeiou]y$")


def third_person(verb: str) -> str:
    """What he, she or it does, as in "walks"."""
    if verb in PRESENT:
        return PRESENT[verb]
    if re.search(r"(?:s|sh|ch|x|z|o)$", verb):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if _CONSONANT_Y.search(verb) else f"{verb}s"


def plural(verb: str) -> str:
    """What several people do, as in "walk"."""
    return PLURAL.get(verb, verb)


def gerund(verb: str) -> str:
    """As in "walking"."""
    if verb in GERUNDS:
        return GERUNDS[verb]
    if verb in DOUBLED:
        return f"{verb}{verb[-1]}ing"
    silent = verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb != "be"
    return f"{verb[:-1]}ing" if silent else f"{verb}ing"


def past(verb: str) -> str:
    """As in "walked"."""
    if verb in PAST:
        return PAST[verb]
    if verb in DOUBLED:
        return f"{verb}{verb[-1]}ed"
    if verb.endswith("e"):
        return f"{verb}d"
    return f"{verb[:-1]}ied" if _CONSONANT_Y.search(verb) else f"{verb}ed"
