"""Files of prompts: one JSON object a line, each of which is one clip."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from duomotion.config import from_dict
from duomotion.reading import open_file

LONGEST_LINE = 20_000  # bytes; far more than the longest prompts take
PIECE = 2**20  # bytes that are read at once


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a line asks for; None is as the job has it.

    Attributes:
        text: what happens.
        partner: what the other person does, where the text describes only one of the two.
        seconds: length of the motion.
        seed: of the random numbers.
        model: name or folder.
        known: file of given motion, from the folder of the prompts' file. To one person of two a
            partner is generated; other motion is extended to `seconds`.
    """

    text: str
    partner: str = ""
    seconds: float | None = None
    seed: int | None = None
    model: str | None = None
    known: str | None = None


@dataclass(frozen=True)
class Summary:
    """How many lines a file has, and what becomes another with any change in it (SHA-256)."""

    lines: int
    sha256: str


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number, from 1, and content of each line; of longer ones than `LONGEST_LINE` a piece.

    Raises:
        ValueError: there is something else than a file.
        OSError: the file can't be read.
    """
    with open_file(path) as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            rest = line
            while not rest.endswith(b"\n") and (rest := file.readline(LONGEST_LINE)):
                pass
            yield number, line


def summarise(path: Path) -> Summary:
    """Raises as `read_lines`, and ValueError where the file is empty."""
    digest, lines, piece = hashlib.sha256(), 0, b"\n"
    with open_file(path) as file:
        while following := file.read(PIECE):
            piece = following
            digest.update(piece)
            lines += piece.count(b"\n")
    lines += not piece.endswith(b"\n")
    if not lines:
        raise ValueError(
            f'{path} is empty; a JSON object per line is expected, as in {{"text": "they dance"}}'
        )
    return Summary(lines, digest.hexdigest())


def parse(number: int, line: bytes) -> Prompt:
    """What a line asks for.

    Raises:
        ValueError: it is too long, no JSON object, or has other fields than a `Prompt`; the
            sentence begins with its number.
    """
    where = f"line {number}"
    if len(line) > LONGEST_LINE:
        raise ValueError(f"{where}: has more than {LONGEST_LINE:,} bytes")
    try:
        values = json.loads(line.decode())
    except UnicodeDecodeError:
        raise ValueError(f"{where}: is not UTF-8") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{where}: is no JSON") from None
    return from_dict(Prompt, values, where)
