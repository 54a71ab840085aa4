"""Progress is reported by library code and drawn by the command line."""

import logging

import pytest

from duomotion.progress import console, counter, one_bar, track, training_bar


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


def test_one_bar_for_all_that_is_counted(capsys):
    with console():
        with one_bar("evaluation", unit="clip", total=5):
            assert list(track("abc", "one model", unit="clip")) == ["a", "b", "c"]
            assert list(track("abcd", "texts", unit="text")) == ["a", "b", "c", "d"]
            with counter("another", unit="clip", total=2, is_shown=False) as add:
                add(2)
        assert list(track("ab", "letters", unit="letter")) == ["a", "b"]
    error = capsys.readouterr().err
    assert "evaluation" in error and "5/5" in error and "letters" in error
    assert "one model" not in error and "texts" not in error and "another" not in error


def test_nothing_is_drawn_of_a_whole_unasked(capsys):
    with one_bar("evaluation", unit="clip", total=3):
        assert list(track("abc", "one model", unit="clip")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")
