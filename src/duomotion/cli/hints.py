"""What was probably meant, where words can't be a command: slips, and prompts without quotes."""

import difflib
from collections.abc import Sequence
from itertools import takewhile

TEXTS = ("--text", "--partner")  # options whose value is a sentence
ONE_ARGUMENT = ("generate", "react", "inpaint", "extend")


def check_words(words: Sequence[str], commands: Sequence[str]) -> None:
    """Make sure that the words begin with a command, and that sentences among them have quotes.

    Args:
        words: what is typed behind `duomotion`.
        commands: all that there are.

    Raises:
        ValueError: they don't; says what was probably meant.
    """
    if not words or words[0].startswith("-"):
        return
    first, rest = words[0].replace("_", "-"), words[1:]
    if first in commands:
        if first in ONE_ARGUMENT:
            _check_quotes(first, rest)
        return
    near = difflib.get_close_matches(first.lower(), commands, n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    elif len(first.split()) > 1 or (rest and not rest[0].startswith("-")):
        sentence = " ".join([words[0], *_values(rest)])
        hint = f'a prompt follows generate, as in: duomotion generate "{sentence}"'
    else:
        hint = f"there are {', '.join(commands)}"
    raise ValueError(f"no command is called {words[0]!r}; {hint}")


def _check_quotes(command: str, words: Sequence[str]) -> None:
    """Raises ValueError where more words stand outside of options than the one argument."""
    before = _values(words)
    groups = {
        option: _values(words[words.index(option) + 1 :]) for option in TEXTS if option in words
    }
    if len(before) + sum(max(0, len(values) - 1) for values in groups.values()) <= 1:
        return
    for option, values in groups.items():
        if len(values) > 1:
            raise ValueError(f'put quotes around the sentence: {option} "{" ".join(values)}"')
    if command == "generate":
        sentence = " ".join(before)
        raise ValueError(f'put quotes around the prompt: duomotion generate "{sentence}"')
    raise ValueError(
        f"{command} takes one file, not {', '.join(before)}; what happens comes after --text, in "
        "quotes"
    )


def _values(words: Sequence[str]) -> list[str]:
    """The words up to the next option."""
    return list(takewhile(lambda word: not word.startswith("-"), words))
