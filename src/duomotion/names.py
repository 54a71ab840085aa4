"""Names in files that become names of files."""

LONGEST = 200  # bytes; file systems have 255, and suffixes are added


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
