"""Fixtures that tests of several modules use."""

import sys

import pytest

from duomotion import cli


@pytest.fixture
def run(monkeypatch, capsys):
    """Type a command; returns exit status, standard output and standard error."""

    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["duomotion", *map(str, words)])
        try:
            cli.main()
            status = 0
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return typed
