"""Fixtures that tests of several modules use."""

import sys
from dataclasses import replace

import pytest
import tiny

from duomotion import cli
from duomotion.evaluation import protocols


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


@pytest.fixture
def few_clips(monkeypatch, tmp_path):
    """The published protocols with pools and repeats for nine clips."""
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))
    for name, protocol in protocols.PUBLISHED.items():
        monkeypatch.setitem(protocols.PUBLISHED, name, replace(protocol, **tiny.FEW))
