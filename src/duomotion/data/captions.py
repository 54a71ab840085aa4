"""Lines of captions as HumanML3D, KIT-ML and Inter-X have them for evaluators.

    caption#word/TAG word/TAG ...#start#end

The words are those of the caption after a tagger has seen it: letters only, nouns and verbs in
their basic form. Start and end are seconds; 0.0 and 0.0 (or nan) stand for the whole clip.
"""

import math
import re
from dataclasses import dataclass

OTHER = "OTHER"  # a tag


@dataclass(frozen=True)
class Caption:
    """A description, and its words as word/TAG, the tag being the part of speech."""

    text: str
    tokens: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The tokens with a space between them; empty where nobody tagged the caption."""
        return " ".join(self.tokens)


def read_caption(line: str) -> Caption:
    """A line that describes a whole clip, with tagged words or without.

    Raises:
        ValueError: it has # and other parts than the four, or describes a part of the clip.
    """
    if "#" not in line:
        return Caption(line.strip())
    caption, start, end = parse_caption(line)
    if start != end:
        raise ValueError(f"{line[:80]!r} describes a part of the clip")
    return caption


def parse_line(line: str) -> tuple[str, float, float]:
    """A line of annots/: a plain caption of the whole clip, or one as `parse_caption` reads.

    Raises:
        ValueError: it has three # or more, and no words, start and end behind them.
    """
    if is_plain_line(line):
        return line, 0.0, 0.0
    caption, start, end = parse_caption(line)
    return caption.text, start, end


def is_plain_line(line: str) -> bool:
    """Whether nothing stands behind the caption of a line of annots/."""
    return line.count("#") < 3


def timed_line(text: str, words: str, start: float = 0.0, end: float = 0.0) -> str:
    """What `parse_caption` reads."""
    return f"{text}#{words}#{round(start, 3)}#{round(end, 3)}"


def untagged(text: str) -> str:
    """The words of a caption that nobody has tagged, each as an `OTHER`; hyphens join words."""
    words = re.findall(r"[^\W\d_]+", text.replace("-", "").lower())
    return " ".join(f"{word}/{OTHER}" for word in words)


def parse_caption(line: str) -> tuple[Caption, float, float]:
    """A line of texts/, with start and end in seconds, which count as 0 where they are NaN.

    Raises:
        ValueError: it is no caption#word/TAG word/TAG#start#end.
    """
    text, *rest = line.rsplit("#", 3)
    if len(rest) != 3:
        raise ValueError("it is no caption#word/TAG word/TAG#start#end")
    words, *times = rest
    tokens = tuple(words.split())
    broken = [token for token in tokens if not all(token.rpartition("/"))]
    if broken or not tokens:
        raise ValueError(f"{' '.join(broken) or 'no word'} where words are expected as word/TAG")
    try:
        start, end = (0.0 if math.isnan(float(time)) else float(time) for time in times)
    except ValueError:
        raise ValueError(f"{'#'.join(times)} where start and end in seconds are expected") from None
    if not (start == end == 0 or 0 <= start < end < math.inf):
        raise ValueError(f"it begins at {start:g} s and ends at {end:g} s")
    return Caption(text.strip(), tokens), start, end
