"""What is built from `web/` is built from what is there now."""

import hashlib
import re
from importlib.resources import files
from pathlib import Path

import pytest

WEB = Path(__file__).parents[1] / "web"


def source_hash(other: str) -> str:
    """As web/bundle.ts takes it: names and contents in the order of names, without `other`'s."""
    digest = hashlib.sha256()
    names = (path.relative_to(WEB).as_posix() for path in WEB.rglob("*") if path.is_file())
    foreign = ("node_modules/", f"src/{other}/")
    for name in sorted(name for name in names if not name.startswith(foreign)):
        digest.update(name.encode() + b"\0" + (WEB / name).read_bytes() + b"\0")
    return digest.hexdigest()


@pytest.mark.parametrize(
    "package, bundle, other",
    [("duomotion.formats", "player.js", "studio"), ("duomotion.studio", "studio.js", "player")],
)
def test_bundle_is_built_from_the_sources_that_are_here(package, bundle, other):
    text = (files(package) / "assets" / bundle).read_text(encoding="utf-8")
    built = re.search(r"Built from sources (\w{64})", text[:400])
    assert built is not None
    assert built[1] == source_hash(other), f"{bundle} is stale; run: npm --prefix web run build"


def test_the_studio_is_a_page_a_script_and_a_style_sheet():
    folder = files("duomotion.studio") / "assets"
    names = {asset.name for asset in folder.iterdir()}
    assert names == {"index.html", "studio.js", "studio.css", "three-license.txt"}
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'(?:src|href)="([^"]+)"', page)) == {
        *("./studio.js", "./studio.css", "data:,"),
    }
    for name in names:
        assert "node_modules" not in (folder / name).read_text(encoding="utf-8")
    assert sum(len((folder / name).read_bytes()) for name in names) < 1e6
