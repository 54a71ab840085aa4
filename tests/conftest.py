"""Fixtures that tests of several modules use."""

import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from motions import waving

from duomotion import cli
from duomotion.body import separation
from duomotion.data.interhuman import write_clip, write_splits
from duomotion.evaluation.metrics import protocols
from duomotion.models import pair_views
from duomotion.models.momask import tokenizer_training

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="slow tests too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--all"):
        return
    skipped = pytest.mark.skip(reason="takes 5 s and more; `make test-all` runs it")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skipped)


@pytest.fixture(scope="session", autouse=True)
def heeded_signals():
    """A shell makes what it runs in the background ignore Ctrl-C, and nohup a hang-up."""
    defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def few_statistics():
    """Statistics of a few made-up clips need fewer views and windows than those of recordings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_views, "STATISTICS_VIEWS", 100)
        patch.setattr(tokenizer_training, "STARTING_WINDOWS", 400)
        yield


@pytest.fixture(scope="module")
def hardly_separated():
    """Tiny models put bodies deep in each other; to get them apart would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(separation, "ITERATIONS", 2)
        yield


@pytest.fixture(scope="module")
def one_thread():
    """Sums depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A module's own cache of text vectors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUOMOTION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Six clips of two people in InterHuman's layout."""
    folder = tmp_path_factory.mktemp("data") / "interhuman"
    names = [str(number) for number in range(6)]
    for number, name in enumerate(names):
        write_clip(folder, name, waving(frames=40 + 3 * number), [f"two wave {name}", "hi"])
    write_splits(folder, {"train": names, "val": names[:3], "test": names})
    return folder


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


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
