"""The folder of a job: finished shards, what is there of unfinished ones, and what the job is.

job.json                    the prompts' file and the settings, so that nothing is mixed up
clips-00000.safetensors     a finished shard (`formats.shard`); ids are numbers of lines
index.json                  which ids each shard is for
unfinished/00001/           batches of an unfinished shard, in the same format
left_out.jsonl, report.json   written when a run ends
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from duomotion import __version__
from duomotion.checkpoint import read_json, write_json
from duomotion.config import flatten, to_dict
from duomotion.formats import shard
from duomotion.formats.shard import Entry, Index
from duomotion.motion.interaction import Interaction
from duomotion.scale.lines import Summary
from duomotion.scale.work import Settings
from duomotion.storage import atomic_file

JOB = "job.json"
REPORT = "report.json"
LEFT_OUT = "left_out.jsonl"
SHARD_SIZE = 2_000  # lines


@dataclass(frozen=True)
class Job:
    """A job in its folder.

    Attributes:
        prompts: the file.
        summary: of the file.
        shard_size: lines that share a shard.
    """

    folder: Path
    prompts: Path
    summary: Summary
    settings: Settings
    shard_size: int = SHARD_SIZE

    @property
    def num_shards(self) -> int:
        return -(-self.summary.lines // self.shard_size)

    def ids(self, number: int) -> range:
        """Numbers of the lines that shard `number` is for."""
        first = number * self.shard_size + 1
        return range(first, min(first + self.shard_size, self.summary.lines + 1))

    def shard(self, number: int) -> Path:
        return self.folder / f"clips-{number:05d}{shard.SUFFIX}"

    def begin(self, fingerprint: str | None = None) -> None:
        """Take the folder, or take it up again.

        Args:
            fingerprint: of the model, once that is loaded.

        Raises:
            ValueError: it is the folder of another job.
            OSError: it can't be written.
        """
        settings = to_dict(self.settings)
        del settings["device"]
        facts = {
            "prompts": asdict(self.summary),
            "settings": settings,
            "duomotion": __version__,
            "shard_size": self.shard_size,
            **({} if fingerprint is None else {"fingerprint": fingerprint}),
        }
        path = self.folder / JOB
        found = read_json(path) if path.exists() else {}
        before = dict(flatten(found))
        for name, value in flatten(facts):
            if name in before and before[name] != value:
                raise ValueError(
                    f"{self.folder} is the folder of another job: {name} was {before[name]} and is "
                    f"now {value}; choose another folder with --out"
                )
        with atomic_file(path) as temporary:
            write_json(temporary, {**found, **facts})

    def finished(self) -> Index:
        """The finished shards; what a killed run has left beside them is removed.

        Raises:
            ValueError: a shard or the index is damaged.
        """
        for name in ("clips", *(Path(file).stem for file in (JOB, shard.INDEX, LEFT_OUT, REPORT))):
            for leftover in self.folder.glob(f".{name}-*"):
                leftover.unlink()
        has_index = (self.folder / shard.INDEX).exists()
        index = shard.read_index(self.folder) if has_index else Index()
        known = {each.file: each for each in index.shards}
        entries = []
        for number in range(self.num_shards):
            file = self.shard(number)
            if file.exists():
                self._discard(number)
                entries.append(known.get(file.name) or self._entry(number))
        return Index(tuple(entries))

    def made(self, number: int) -> set[int]:
        """Ids of the clips of an unfinished shard that are there."""
        return {clip for part in self._files(number) for clip in shard.ids(part)}

    def keep(self, number: int, clips: Mapping[int, Interaction]) -> None:
        """Write clips of an unfinished shard, so that they are never made again."""
        if clips:
            shard.write(clips, self._parts(number) / f"{min(clips)}{shard.SUFFIX}")

    def finish(self, number: int, left_out: Mapping[int, str]) -> Entry:
        """Make a shard of its parts."""
        shard.join(self._files(number), left_out, self.shard(number))
        self._discard(number)
        return self._entry(number)

    def left_out(self, index: Index) -> Iterator[tuple[int, str]]:
        """Number of each line of finished shards without a clip, and why."""
        for each in index.shards:
            yield from sorted(shard.left_out(self.folder / each.file).items())

    def _discard(self, number: int) -> None:
        """Remove the parts of a finished shard, and their folder with the last of them."""
        shutil.rmtree(self._parts(number), ignore_errors=True)
        with suppress(OSError):  # others are unfinished
            self._parts(number).parent.rmdir()

    def _entry(self, number: int) -> Entry:
        ids = self.ids(number)
        return shard.entry(self.shard(number), ids[0], ids[-1])

    def _parts(self, number: int) -> Path:
        return self.folder / "unfinished" / f"{number:05d}"

    def _files(self, number: int) -> list[Path]:
        return sorted(self._parts(number).glob(f"[0-9]*{shard.SUFFIX}"))
