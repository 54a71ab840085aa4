"""Names of files: made of texts, and those in files of strangers."""

import re

LONGEST = 200  # bytes; file systems have 255, and suffixes are added

MOST_OF_TEXT = 50  # letters


def slug(text: str) -> str:
    """The beginning of a text as a file name's part: lower-case words with hyphens, or "clip"."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:MOST_OF_TEXT].rstrip("-") or "clip"


def check_name(name: str, where: str) -> None:
    """Make sure that a name is that of one file or folder, and leads nowhere else.

    Args:
        where: the file that has the name, for the sentence.

    Raises:
        ValueError: it is empty or too long, begins with a dot, or holds a separator or a control
            character.
    """
    is_plain = name.isprintable() and not name.startswith(".") and not set(name) & set("/\\:")
    if not is_plain or not 0 < len(name.encode()) <= LONGEST:
        raise ValueError(f"{where}: {name[:80]!r} is not the name of a file or folder")
