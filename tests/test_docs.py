"""The documentation: links lead somewhere, commands parse, every page is on the site."""

import functools
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
import tyro

from duomotion import cli
from duomotion.cli import data, importing
from duomotion.models import systems

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)\s]+)\)")
PLACEHOLDER = re.compile(r"\.\.\.|\bSYSTEM\b")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """What the site is made of: pages by name, and their folder."""
    folder = tmp_path_factory.mktemp("site") / "pages"
    subprocess.run(["make", "-s", "pages", f"PAGES={folder}"], cwd=ROOT, check=True)
    return folder, {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.md")}


def prose(path: Path) -> str:
    """A page without its blocks of code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"^ {4,}.*$", "", text, flags=re.M)


def anchors(path: Path) -> set[str]:
    """The names that headings have on the site."""
    titles = re.findall(r"^#+ (.*)$", prose(path), flags=re.M)
    words = (re.sub(r"[^\w\s-]", "", title).strip().lower() for title in titles)
    return {re.sub(r"[\s-]+", "-", each) for each in words}


def test_every_relative_link_leads_somewhere_here_and_on_the_site(pages):
    folder, found = pages
    for name, path in found.items():
        for link in LINK.findall(prose(path)):
            if link.startswith(("https:", "http:")):
                continue
            place, _, anchor = unquote(link).partition("#")
            target = (path.parent / place).resolve() if place else path
            assert target.is_file(), f"{name}: {link} is not on the site"
            assert (ROOT / target.relative_to(folder.resolve())).is_file()
            assert not anchor or anchor in anchors(target), f"{name}: {link} has no such heading"


def names(entry) -> list[str]:
    """The pages of a part of the site's navigation."""
    if isinstance(entry, str):
        return [entry]
    inner = entry.values() if isinstance(entry, dict) else entry
    return [name for each in inner for name in names(each)]


def test_every_page_is_in_the_navigation(pages):
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    listed = names(site["nav"])
    assert len(listed) == len(set(listed))
    assert sorted(listed) == sorted(pages[1])
    for system in systems():
        assert f"src/duomotion/models/{system}/README.md" in listed
    assert all((ROOT / path).is_file() for path in listed)


def commands(path: Path) -> list[list[str]]:
    """What is typed behind `duomotion` in the blocks of a page; variables of a shell are 1."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^(?: {4,}|.*&& )(?:\$ )?duomotion ([^&\n]*)", text, flags=re.M)
    lines = [re.sub(r"\$\w+", "1", line) for line in lines if not PLACEHOLDER.search(line)]
    return [shlex.split(line, comments=True) for line in lines]


def test_every_command_parses(pages):
    known = {each.__name__: each for each in cli.COMMANDS}
    of_data = {"list": data.list_data}
    of_data |= {
        name: getattr(data, name) for name in ("prepare", "check", "shard", "compose", "download")
    }
    groups = {"data": of_data, "import-official": importing.importers()}
    count = 0
    for name, path in pages[1].items():
        for words in commands(path):
            try:
                group = groups.get(words[0])
                command = known[words[0]] if group is None else group[words[1]]
                does_nothing = functools.wraps(command)(lambda *_, **__: None)
                tyro.cli(does_nothing, args=words[1 if group is None else 2 :])
            except (SystemExit, KeyError) as problem:
                pytest.fail(f"{name}: duomotion {shlex.join(words)}: {problem!r}")
            count += 1
    assert count > 100
