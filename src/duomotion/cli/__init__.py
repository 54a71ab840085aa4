"""The command line. Every command is one library call and what is printed around it."""

import sys
from collections.abc import Sequence

import tyro

import duomotion
from duomotion.cli import data, evaluate, generate, hints, importing, serve, train
from duomotion.progress import console
from duomotion.signals import raised
from duomotion.streams import lasting_streams

DESCRIPTION = f"Text to the 3D motion of two interacting people (version {duomotion.__version__})."
COMMANDS = (
    generate.generate,
    generate.react,
    generate.inpaint,
    generate.extend,
    generate.trim,
    generate.view,
    generate.convert,
    train.models,
    train.train,
    train.pack,
    importing.import_official,
    evaluate.evaluate,
    evaluate.reproduce,
    evaluate.ablate,
    evaluate.bench,
    serve.serve,
    serve.studio,
)


def main() -> None:
    """Entry point: one sentence and exit status 2 for whatever the user can put right."""
    with lasting_streams(), raised(), console():
        try:
            run(sys.argv[1:])
            sys.stdout.flush()
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            fail(f"{where}{error.strerror or error}")
        except ValueError as error:
            fail(str(error))
        except KeyboardInterrupt:
            raise SystemExit(130) from None


def run(words: Sequence[str]) -> None:
    """Do what is typed behind `duomotion`.

    Raises:
        ValueError: there is no such command, or the quotes around a prompt are missing.
    """
    if words[:1] == ["--version"]:
        print(f"duomotion {duomotion.__version__}")
        return
    commands = [command.__name__.replace("_", "-") for command in COMMANDS]
    hints.check_words(words, [*commands, "data"])
    if words[:1] in (["import-official"], ["import_official"]):
        importing.run(words[1:])
        return
    app = tyro.extras.SubcommandApp()
    for command in COMMANDS:
        app.command(command)
    app.command(data.app, name="data", help="Prepare and check data sets.")
    app.cli(prog="duomotion", description=DESCRIPTION, args=words or ["--help"])


def fail(sentence: str) -> None:
    print(f"duomotion: {sentence}", file=sys.stderr)
    raise SystemExit(2)
