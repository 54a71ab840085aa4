"""One self-contained page (.html) that plays an interaction in 3D, without any network.

The page carries the player, built from `web/`, and the same .glb that `gltf` writes, gzipped.
"""

import base64
import gzip
import hashlib
from html import escape
from importlib.resources import files
from pathlib import Path

from duomotion.formats import gltf
from duomotion.motion.interaction import Interaction
from duomotion.storage import atomic_file

_START = """\
duomotion
  .unpack(document.getElementById("clip").textContent)
  .then((bytes) => duomotion.mount(document.getElementById("player"), bytes))
  .then((player) => { window.player = player; });
"""


def write(interaction: Interaction, path: str | Path) -> None:
    """Write an .html file.

    Raises:
        ValueError: there are more than eight people.
        OSError: the file can't be written.
    """
    text = page(interaction)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")


def page(interaction: Interaction) -> str:
    """The page's text.

    The caption stands in it twice: escaped as the title, and inside the packed clip, from where the
    player shows it as text. The page's policy runs its own two scripts and no other, whatever the
    caption says, and lets nothing be fetched.
    """
    assets = files("duomotion.formats") / "assets"
    library = (assets / "player.js").read_text(encoding="utf-8")
    text = (assets / "page.html").read_text(encoding="utf-8")
    clip = gzip.compress(gltf.encode(interaction), compresslevel=9, mtime=0)
    parts = {
        "{{title}}": escape(interaction.caption) or "duomotion",
        "{{script_hashes}}": " ".join(map(_hash, (library, _START))),
        "{{clip}}": base64.b64encode(clip).decode(),
        "{{library}}": library,
        "{{start}}": _START,
    }
    # From one mark to the next, so that nothing is looked for in what was put in.
    pieces = []
    for mark, value in sorted(parts.items(), key=lambda part: text.index(part[0])):
        before, text = text.split(mark, 1)
        pieces += [before, value]
    return "".join([*pieces, text])


def frame(interaction: Interaction, height: int = 480) -> str:
    """An element of another page that holds the page and nothing else of it.

    Args:
        height: in pixels.
    """
    return (
        f'<iframe sandbox="allow-scripts" style="width: 100%; height: {height}px; border: 0" '
        f'srcdoc="{escape(page(interaction))}"></iframe>'
    )


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
