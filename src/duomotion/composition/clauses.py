"""Captions of one person as clauses, which can be given another subject and joined.

"A person is slowly walking forward, turns and waves with his hand." becomes "slowly walks forward,
turns and waves with their hand", of one person, and the same with "walk", "turn" and "wave", of
several. Captions that can't be turned safely have no clause.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from duomotion.composition.verbs import (
    ACTIONS,
    BY_NOUN,
    BY_VERB,
    FORMS,
    LIGHT,
    Action,
    Form,
)
from duomotion.text.augment import mirror_text
from duomotion.text.conjugation import plural, third_person

LONGEST = 28  # words

_PERSON = (
    "person|human being|human|man|woman|someone|somebody|figure|guy|boy|girl|individual|athlete|"
    "male|female|actor|dancer|player|character"
)
_SUBJECT = re.compile(
    rf"(?:(?:a|an|the|this|one|another|some) )?(?:(?:first|second|other|young|male|female) )?"
    rf"(?:{_PERSON}|one|other|another|he|she|they|i)(?P<relative>,? (?:who|that))? "
)
_HEDGE = re.compile(r"(?:appears?|seems?|looks?) to be |(?:can be|is) seen ")
_SOMEBODY_ELSE = re.compile(
    rf"\b(?:{_PERSON}|people|persons|men|women|they're|he's|she's|one's|i|you|we|my|your|our|us|who|"
    r"whose|partner|opponent|friend|adversary|each other|others?|another|transition|sth|maybe|sim|"
    r"than)\b"
)
_DEGREE = re.compile(r"(?<=\d )degree(?=$|,| (?:while|to|in|and|around|clockwise|\w+wards?)\b)")
_UNFINISHED = re.compile(
    r"\b(?:and|or|the|a|his|with|of|at|into|onto|steps? over|(?:hold(?:s|ing)?|held) with .*)$"
)
# Where somebody goes in a place that is not that of the pair.
_TO_SOMETHING = re.compile(r"\b(?:away|towards?|camera)\b")
# What stands for the other of two people, and what is theirs, until a clause is written.
_OTHER, _THEIRS = "xother", "xtheirs"
_PARTNER = re.compile(
    r"\b(?:(?:the |an |his |her |their )?(?:other|another|second|first) "
    r"(?:person|individual|one|man)|"
    r"the (?:others?|second|first)|others|another person|"
    r"(?:the |his |her |their )(?:partner|opponent|adversary))(?P<of>'s|s')?(?![a-z'])"
)
_IN_ROLE = re.compile(r"as (?:a|an|the|another|one) [\w-]+, ")
_OF_PARTNER = re.compile(rf"\bthe ((?:left |right )?\w+) of {_OTHER}\b")
_PARTNER_ACTS = re.compile(rf"\b(?:while|as|and|then|when|for|until|before) {_OTHER}\b")
_NEUTRAL = {
    **dict.fromkeys(("his", "its"), "their"),
    **dict.fromkeys(("himself", "herself", "itself", "themself"), "themselves"),
    "him": "them",
}
_OBJECT_HER = re.compile(r"\bher(?=$|,| (?:to|in|on|with|and|from|at|by|for|up|down|while)\b)")

_LIMBS = (
    "hands?|arms?|legs?|foot|feet|knees?|elbows?|shoulders?|fists?|hips?|wrists?|thighs?|ears?|"
    "fingers?|toes?|ankles?"
)
_BODY = (
    f"(?:left |right |upper |lower )*(?:{_LIMBS}|head|neck|torso|chest|body|nose|face|brow|chin)"
)
_DETERMINERS = frozenset(
    {_THEIRS, "their", "the", "a", "an", "own", "both", "each", "one", "and", "or", "to"}
)
_BODY_BEHIND = (
    re.compile(rf"\b(with|to|on|at|above|behind|over|of|from|around) (?={_BODY}\b)"),
    re.compile(
        r"(?<!with )\b((?:rais|lower|mov|lift|shak|extend|stretch|swing|bend|open|clos|cross|fold|"
        r"hold|put|plac|touch|scratch|rub|wav|flap|spread|bring|tilt|turn|nod|drop|twist|rotat|"
        rf"hunch|cov|duck|lean|throw)(?:e|es|s|ing|ting|ping)?) (?={_BODY}\b)"
    ),
    re.compile(rf"\b(out|up|down|back|forward) (?=(?:left |right )?(?:{_LIMBS})\b)"),
    re.compile(rf"\b(\w+) (?=(?:left|right) (?:{_LIMBS})\b)"),
)
_THING_BEHIND = re.compile(
    r"\b(\w+) (?=(?:heavy |big |large |small |high |low )?(?:ball|box|chair|object|club|ladder|"
    r"bottle|glass|bag|stool|line|circle|cup|phone|door|rope|platform|ledge|item)\b)"
)
_BEFORE_THINGS = frozenset({"on", "from", "in", "into", "onto", "over", "up", "down", "out", "at"})
_FLOOR_BEHIND = re.compile(r"\b(sweep\w*|mop\w*|on|off|to|from|onto) (?=(?:floor|ground|wall)\b)")

_ADVERB = re.compile(r"[a-z]+ly|then|first|now|just|also|again|both|still")
_JOINING = frozenset({"and", "then", "or", "but"})
_BELOW = frozenset(
    {
        *("while", "by", "with", "without", "before", "after", "when", "like", "of"),
        *("for", "as", "from", "if", "until", "because", "where", "so"),
    }
)
_BE = frozenset({"is", "are", "was", "were"})
_SUBJECTS = frozenset({"he", "she", "they"})
_SAME_SUBJECT = re.compile(
    r"(\b(?:and|then|or|but)|,) (?:(?:he|she|they)(?: is| are| was)?|is|are|was) "
)
_SUBJECT_BELOW = re.compile(
    r"\b(while|as|when|before|after|until|because|if|where|like|so) (?:he|she|they) "
    r"((?:\w+ly )*)([\w']+)"
)
# What may follow "and" or a comma and is no verb.
_NO_VERB = re.compile(
    rf"(?:\w+ly|\w+wards?|\w+ways?|the|a|an|their|his|left|right|back|forth|up|down|in|out|on|off|to|"
    rf"from|with|without|while|at|over|around|round|then|again|both|one|two|it|them|side|"
    rf"circles?|{_LIMBS}|head|\d+)"
)
_BEFORE_VERBS = _BELOW | _DETERMINERS | {"in", "on", "one", "two", "three", "while", "up"}
# "and watching out" where nothing says what else goes on meanwhile.
_LOOSE_GERUND = re.compile(
    r"(?:(?!\b(?:while|by|with|without|before|after|when)\b).)*"
    r"\b(?:and|then|or|but) (?:\w+ly )?\w+ing\b.*"
)
_STRIKES = frozenset({"kick", "punch"})
_PHRASES = {
    "step back": re.compile(r"\bstep\w* back|\btakes? (?:\w+ )?steps? back"),
    "get up": re.compile(r"\b(?:gets?|stands?|getting|standing)(?: back)? up\b"),
}
# No greeting, no throw and no turn of the whole body.
_OF_A_PART = {
    "wave": re.compile(r"\bwav(?:e|es|ing) .*\b(?:legs?|foot|feet|hips?|body|head)\b"),
    "throw": re.compile(rf"\bthrow(?:s|ing)? (?:out |up |back )?(?:their|both) {_BODY}\b"),
    "turn": re.compile(rf"\b(?:turn|spin|rotat)(?:e|s|es|ing|ning)? (?:their|both) {_BODY}\b"),
}
_COUNTED = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|half|once|twice|steps?|then|starts?|stops?|"
    r"begins?|finally|turns?|over|onto|up|down|through|different|multiple|several|times|back|forth|"
    r"backwards? and|and backwards?|circles?|curves?|zig-?zag|slalom|pattern|figure|corners?|"
    r"s-shape|alternating|around)\b"
)


@dataclass(frozen=True)
class Clause:
    """What one person does.

    Attributes:
        singular: behind "one person", as in "walks forward".
        plural: behind "two people", as in "walk forward".
        action: its kind; of several the one that is drawn most often.
        is_steady: any part of the motion is described by it as well as the whole.
    """

    singular: str
    plural: str
    action: Action
    is_steady: bool = False

    def mirrored(self) -> "Clause":
        """That of the motion reflected left to right."""
        singular, many = mirror_text(self.singular), mirror_text(self.plural)
        return Clause(singular, many, self.action, self.is_steady)


def clause(caption: str, *, partner: tuple[str, str] | None = None) -> Clause | None:
    """The clause of a caption, or None where it can't be turned safely.

    Args:
        partner: of a caption about one of two people: what the clause calls the other one, and what
            is theirs, as in "them" and "their"; what its first verb says is then an action of its
            own if need be. None: captions that name somebody else have no clause.
    """
    text = _tidy(caption, has_partner=partner is not None)
    subject = _SUBJECT.match(text)
    rest = text[subject.end() :] if subject else text
    tokens = _tokens(_HEDGE.sub("is ", rest, count=1), is_phrase=subject is None)
    if not tokens or (subject and subject["relative"] and not _is_one_verb(tokens)):
        return None
    verbs = [token.verb for token in tokens if isinstance(token, _Verb)]
    action = _action(rest, verbs)
    if action is None and partner is not None:
        action = Action(verbs[0], "", (verbs[0],))
    if action is None or (action.needs_partner and partner is None) or _is_bare_list(tokens):
        return None
    if verbs[0] in LIGHT and not _STRIKES.isdisjoint(verbs[1:]):
        return None  # read from "does punches and kicks"
    if len(tokens) == 1 and action.phrase.startswith(f"{verbs[0]} "):
        tokens = [*tokens, *action.phrase.split()[1:]]
    other, theirs = partner or ("", "")
    singular, many = (
        _written(tokens, inflect).replace(_THEIRS, theirs).replace(_OTHER, other)
        for inflect in (third_person, plural)
    )
    is_steady = action.is_steady and len(verbs) == 1 and not _COUNTED.search(rest)
    return Clause(singular, many, action, is_steady)


@dataclass(frozen=True)
class _Verb:
    """One that agrees with the subject, and a comma where one stands behind it."""

    verb: str
    comma: str = ""


_Token = str | _Verb


def _tidy(caption: str, *, has_partner: bool) -> str:
    """The caption in lower case and without its full stop, with neutral pronouns and with articles;
    empty where it is too long, names somebody else or has other signs than commas."""
    text = re.sub(r"[´`’]", "'", caption.lower())
    text = re.sub(r"\bit's\b|\bhis/her\b|\bhis or her\b", "its", text)
    text = " ".join(text.replace(" ,", ",").split()).rstrip(" .,;!")
    text = re.sub(r"(?<=[a-z]),(?=[a-z])", ", ", text)
    text = _DEGREE.sub("degrees", text)
    is_plain = re.fullmatch(r"[a-z0-9 ,'-]+", text) and " - " not in text
    if not is_plain or len(text.split()) > LONGEST or _UNFINISHED.search(text):
        return ""
    if has_partner:
        text = re.sub(r"\b(?:my|your)\b", "their", _IN_ROLE.sub("", text))
    subject = _SUBJECT.match(text)
    start = subject.end() if subject else 0
    head, tail = text[:start], text[start:]
    if has_partner:
        tail = _PARTNER.sub(lambda match: _THEIRS if match["of"] else _OTHER, tail)
        tail = _OF_PARTNER.sub(rf"{_THEIRS} \1", tail)
    elif _TO_SOMETHING.search(tail):
        return ""
    if _SOMEBODY_ELSE.search(tail) or _PARTNER_ACTS.search(tail):
        return ""
    tail = re.sub(r"\bher\b", "their", _OBJECT_HER.sub("them", tail))
    tail = "".join(_NEUTRAL.get(word, word) for word in re.split(r"\b", tail))
    for pattern in _BODY_BEHIND:
        tail = pattern.sub(_with_their, tail)
    return head + _THING_BEHIND.sub(_with_article, _FLOOR_BEHIND.sub(r"\1 the ", tail))


def _with_their(match: re.Match[str]) -> str:
    is_told = match[1] in _DETERMINERS - {"to"} or match[0].endswith("their ")
    return match[0] if is_told else f"{match[1]} their "


def _with_article(match: re.Match[str]) -> str:
    is_bare = match[1] in FORMS or match[1] in _BEFORE_THINGS
    article = "an" if match.string[match.end()] in "aeiou" else "a"
    return f"{match[1]} {article} " if is_bare else match[0]


def _tokens(text: str, *, is_phrase: bool) -> list[_Token]:
    """The words with the verbs marked that agree with the subject; none where that is unsafe.

    Args:
        is_phrase: there is no subject, as in "turn left".
    """
    words = _SUBJECT_BELOW.sub(_they, _SAME_SUBJECT.sub(r"\1 ", text)).split()
    place = _behind_adverbs(words, 0)
    is_continuous = place < len(words) and words[place] in _BE
    if is_continuous:
        del words[place]
        place = _behind_adverbs(words, place)
    first, comma = _apart(words[place]) if place < len(words) else ("", "")
    rest = words[place + 1 :]
    form = FORMS.get(first)
    if form is None or (is_continuous and "gerund" not in form.kinds) or _has_subject(rest):
        return []
    if is_phrase and form.kinds == {"past"}:
        return []
    if is_phrase and form.verb not in LIGHT and _has_loose_verb(rest):
        return []
    tokens = [*words[:place], _Verb(form.verb, comma), *_joined(rest, form, comma)]
    is_safe = all(_is_known(*pair, is_phrase) for pair in pairwise(tokens))
    return tokens if is_safe and not _LOOSE_GERUND.fullmatch(_written(tokens, plural)) else []


def _they(match: re.Match[str]) -> str:
    """A subordinate clause about them; "is" stays where its verb is unknown, which is unsafe."""
    link, adverbs, word = match.groups()
    form = FORMS.get(word)
    return f"{link} they {adverbs}{plural(form.verb) if form else 'is'}"


def _has_subject(words: list[str]) -> bool:
    """Whether another clause begins among the words, which can't be followed."""
    return any(
        word in _BE or (word in _SUBJECTS and before not in _BELOW)
        for before, word in pairwise(["", *words])
    )


def _has_loose_verb(words: list[str]) -> bool:
    """Whether there is a verb that nothing joins to the first, as in "jump kick" and "run, hop"."""
    for before, word in pairwise(["", *words]):
        form = FORMS.get(_apart(word)[0])
        is_joined = before.endswith(",") or before in _JOINING or before in _BEFORE_VERBS
        if (
            form is not None
            and "base" in form.kinds
            and not (is_joined or _ADVERB.fullmatch(before))
        ):
            return True
    return bool(words) and words[0] in ("motion", "movement", "series", "position")


def _joined(words: list[str], first: Form, comma: str) -> Iterator[_Token]:
    """What follows the first verb, with the verbs marked that are joined to it."""
    link = comma
    is_below = False
    for full in words:
        word, comma = _apart(full)
        form = FORMS.get(word)
        if form is not None and link and form.kinds & _kinds_behind(link, first, is_below):
            yield _Verb(form.verb, comma)
            is_below = False
        else:
            yield full
            is_below = is_below or word in _BELOW
        if comma:
            link = ","
        elif word in _JOINING:
            link = "and"
        elif not _ADVERB.fullmatch(word):
            link = ""


def _kinds_behind(link: str, first: Form, is_below: bool) -> frozenset[str]:
    """In which forms a verb that is joined to the first one may stand."""
    if "gerund" in first.kinds:
        return frozenset({"third"} if link == "," or is_below else {"third", "gerund"})
    if first.kinds == {"past"}:
        return first.kinds
    return frozenset({"third", "base"} if "base" in first.kinds and not is_below else {"third"})


def _is_known(before: _Token, token: _Token, is_phrase: bool) -> bool:
    """Whether a word behind "and" or a comma is a verb that is known, or certainly none."""
    if isinstance(token, _Verb) or token in _JOINING:
        return True
    word, _ = _apart(token)
    previous = before if isinstance(before, str) else f"{before.verb}{before.comma}"
    if not (previous in _JOINING or previous.endswith(",")) or _NO_VERB.fullmatch(word):
        return True
    looks_like_one = word in FORMS or re.fullmatch(r"\w+(?:[^s]s|ed)", word)
    return not is_phrase and not (looks_like_one and not word.endswith("ing"))


def _is_one_verb(tokens: list[_Token]) -> bool:
    """Whether there is no second verb behind "a person who ..."."""
    words = [_apart(token)[0] for token in tokens if isinstance(token, str)]
    return not any("third" in FORMS[word].kinds for word in words if word in FORMS)


def _is_bare_list(tokens: list[_Token]) -> bool:
    """Whether two verbs have a comma alone between them, as in "runs, leaps"."""
    pairs = pairwise(tokens)
    return any(isinstance(b, _Verb) and isinstance(a, _Verb) and a.comma for a, b in pairs)


def _written(tokens: list[_Token], inflect: Callable[[str], str]) -> str:
    return " ".join(
        token if isinstance(token, str) else inflect(token.verb) + token.comma for token in tokens
    )


def _action(text: str, verbs: list[str]) -> Action | None:
    """The kind of action, of several the one that is drawn most often and comes first."""
    found = [ACTIONS[name] for name, phrase in _PHRASES.items() if phrase.search(text)]
    found += [BY_VERB[verb] for verb in verbs if verb in BY_VERB]
    if not found or LIGHT.intersection(verbs):
        words = [_apart(word)[0] for word in text.split()]
        found += [BY_NOUN[word] for word in words if word in BY_NOUN]
        found += [
            BY_VERB[FORMS[word].verb]
            for before, word in pairwise(words)
            if word in FORMS
            and FORMS[word].verb in BY_VERB
            and (before in ("to", "while", "by") or "gerund" in FORMS[word].kinds)
        ]
    for name, pattern in _OF_A_PART.items():
        if pattern.search(text):
            found = [ACTIONS["move"] if action.name == name else action for action in found]
    return max(found, key=lambda action: action.weight, default=None)


def _behind_adverbs(words: list[str], place: int) -> int:
    while place < len(words) - 1 and _ADVERB.fullmatch(words[place]):
        place += 1
    return place


def _apart(word: str) -> tuple[str, str]:
    return (word[:-1], ",") if word.endswith(",") else (word, "")
