"""Several clips at a glance (.png): a strip of each, one below the other."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from duomotion.formats import drawing, strip
from duomotion.motion.interaction import Interaction
from duomotion.storage import atomic_file

SCALE = 0.5  # of a strip
MAX_CLIPS = 60  # in one picture; further ones are left out


def write(clips: Sequence[Interaction], path: str | Path) -> None:
    """Write a .png with the strips of at most `MAX_CLIPS` clips, their captions above them.

    Raises:
        ValueError: there are more than eight people.
        OSError: the file can't be written.
    """
    strips = [_small(strip.draw(clip)) for clip in clips[:MAX_CLIPS]]
    size = max(each.width for each in strips), sum(each.height for each in strips)
    sheet, top = Image.new("RGB", size, drawing.BACKGROUND), 0
    for each in strips:
        sheet.paste(each, (0, top))
        top += each.height
    with atomic_file(path) as temporary:
        sheet.save(temporary)


def _small(picture: Image.Image) -> Image.Image:
    size = round(SCALE * picture.width), round(SCALE * picture.height)
    return picture.resize(size, Image.Resampling.LANCZOS)
