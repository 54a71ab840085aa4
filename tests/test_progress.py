"""Progress is reported by library code and drawn by the command line."""

import logging

import pytest

from duomotion.progress import console, counter, track, training_bar


def shown_at_last(line):
    """What a terminal shows of a line that was written over."""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown.rstrip()


LOGGER = logging.getLogger("duomotion.somewhere")


def test_nothing_is_drawn_unasked(capsys):
    assert list(track("abc", "letters", unit="letter")) == ["a", "b", "c"]
    with counter("letters", unit="letter", total=3) as add:
        add(3)
    assert capsys.readouterr() == ("", "")


def test_a_console_draws_on_standard_error(capsys):
    with console():
        assert list(track("abc", "letters", unit="letter")) == ["a", "b", "c"]
        with counter("hidden", unit="letter", total=3, is_shown=False) as add:
            add(3)
    out, error = capsys.readouterr()
    assert "letters" in error and "3/3" in error and "hidden" not in error and not out
    assert list(track("abc", "letters", unit="letter")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_messages_of_the_package_are_shown(capsys):
    with console():
        LOGGER.info("half of it is done")
        LOGGER.debug("a detail")
    LOGGER.info("nobody hears this")
    assert capsys.readouterr() == ("", "half of it is done\n")


def test_a_training_goes_on_where_it_was(capsys):
    with training_bar() as draw:
        for step in range(8, 24):
            draw(step, 23, None if step < 10 else 0.25)
    error = capsys.readouterr().err
    assert " 8/23 " in error and "23/23" in error and "loss=0.25" in error and " 0/23" not in error


def test_what_ends_a_training_is_said_last(capsys):
    with pytest.raises(SystemExit), console(), training_bar() as draw:
        draw(0, 23, None)
        draw(8, 23, None)
        LOGGER.warning("Stopped after step 8.")
        raise SystemExit
    shown = [shown_at_last(line) for line in capsys.readouterr().err.split("\n")]
    assert [line for line in shown if line] == ["Stopped after step 8."]
