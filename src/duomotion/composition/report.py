"""What became of all that was tried for a data set of composed pairs."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from duomotion.config import from_dict
from duomotion.reading import read_text
from duomotion.storage import atomic_file

MARKDOWN, JSON = "report.md", "report.json"


@dataclass(frozen=True, kw_only=True)
class Report:
    """Numbers of clips.

    Attributes:
        captions: of the data set of one person.
        takes: stretches that these describe in a way that can be turned, and that fit a clip.
        kept: clips by their sort.
        tried: what was tried for them, by sort; of two recordings several pairs for each clip.
        dropped: by sort and reason.
        arrangements, kinds: of the clips that were kept.
    """

    captions: int
    takes: int
    kept: dict[str, int]
    tried: dict[str, int]
    dropped: dict[str, dict[str, int]]
    arrangements: dict[str, int]
    kinds: dict[str, int]

    @classmethod
    def of(cls, tries: Mapping[str, Mapping[str, Any]], *, takes: int, captions: int) -> Self:
        """Of what became of each clip, by name."""
        kept: Counter[str] = Counter()
        tried: Counter[str] = Counter()
        dropped: dict[str, Counter[str]] = {}
        arrangements: Counter[str] = Counter()
        kinds: Counter[str] = Counter()
        for name, entry in tries.items():
            sort, _, _ = name.rpartition("-")
            dropped.setdefault(sort, Counter()).update(entry["dropped"])
            tried[sort] += sum(entry["dropped"].values())
            if (clip := entry["clip"]) is not None:
                kept[sort] += 1
                tried[sort] += 1
                arrangements[clip["arrangement"]] += 1
                kinds[clip["kind"]] += 1
        return cls(
            captions=captions,
            takes=takes,
            kept=_sorted(kept),
            tried=_sorted(tried),
            dropped={sort: _sorted(reasons) for sort, reasons in dropped.items()},
            arrangements=_sorted(arrangements),
            kinds=_sorted(kinds),
        )

    @classmethod
    def read(cls, root: Path) -> Self:
        """What `write` wrote; raises ValueError where that was changed."""
        path = root / JSON
        try:
            document = json.loads(read_text(path))
        except ValueError:
            raise ValueError(f"{path} is no report of composed pairs") from None
        return from_dict(cls, document, str(path))

    def write(self, root: Path) -> None:
        for name, text in ((MARKDOWN, str(self)), (JSON, json.dumps(asdict(self), indent=1))):
            with atomic_file(root / name) as path:
                path.write_text(f"{text}\n", encoding="utf-8")

    def __str__(self) -> str:
        lines = [
            "# Composed pairs",
            "",
            f"From {self.takes:,} stretches of one person's recordings, described by "
            f"{self.captions:,} captions.",
            "",
            "| clips | tried | kept | share |",
            "|---|---|---|---|",
        ]
        for sort, tried in self.tried.items():
            kept = self.kept.get(sort, 0)
            lines.append(f"| {sort} | {tried:,} | {kept:,} | {kept / max(tried, 1):.0%} |")
        for sort, reasons in self.dropped.items():
            if reasons:
                lines += ["", *_table(f"dropped, {sort}", reasons)]
        lines += ["", *_table("arrangement", self.arrangements), "", *_table("kind", self.kinds)]
        return "\n".join(lines)


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _table(title: str, counts: Mapping[str, int]) -> list[str]:
    rows = [f"| {name} | {count:,} |" for name, count in counts.items()]
    return [f"| {title} | number |", "|---|---|", *rows]
