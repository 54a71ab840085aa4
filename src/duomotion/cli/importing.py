"""`import-official`: one sub-command for each kind of released checkpoint, with its own options."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path

import tyro

from duomotion.config import nearest

Importer = Callable[..., Mapping[str, int]]
"""(source, /, *, out, its options) -> number of parameters of each network."""


def import_official() -> None:
    """Convert a checkpoint released by a paper's authors; the systems and their options are listed
    by `duomotion import-official --help`.
    """


def run(words: Sequence[str]) -> None:
    """Do what is typed behind `duomotion import-official`.

    Raises:
        ValueError: there is no such importer, or the checkpoint can't be read.
    """
    known = importers()
    if words and not words[0].startswith("-") and words[0].replace("_", "-") not in known:
        raise ValueError(
            f"import-official: no importer is called {words[0]!r}; {nearest(words[0], list(known))}"
        )
    app = tyro.extras.SubcommandApp()
    for name, importer in known.items():
        app.command(name=name)(_printed(importer))
    description = "Convert a checkpoint released by a paper's authors into a duomotion checkpoint."
    app.cli(prog="duomotion import-official", description=description, args=words)


def importers() -> dict[str, Importer]:
    """All importers by name: those of the systems, and "clip"."""
    from duomotion.models import systems

    found = {name: each for system in systems().values() for name, each in system.importers.items()}
    return {**found, "clip": import_clip}


def import_clip(source: Path, /, *, out: Path, vocabulary: Path) -> Mapping[str, int]:
    """Convert the CLIP text tower inside an InterGen checkpoint, for text encoders clip:FOLDER.

    Args:
        source: InterGen's .ckpt file, or that of a system with the same text tower.
        out: Folder to write.
        vocabulary: CLIP's bpe_simple_vocab_16e6.txt.gz, or the folder of a tokenizer of CLIP; the
            checkpoint does not hold it.
    """
    from duomotion.text.official_clip import import_text_tower

    return {"text tower": import_text_tower(source, vocabulary, out)}


def _printed(importer: Importer) -> Callable[..., None]:
    """The same that prints what it returns."""

    @wraps(importer)
    def command(source: Path, /, *, out: Path, **options: object) -> None:
        for network, parameters in importer(source, out=out, **options).items():
            print(f"{network}: {parameters:,} parameters")
        print(out)

    return command
