"""Files of motion that commands read and write: what can be said about them, in one place."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from duomotion.motion.interaction import Interaction

FPS = (1.0, 240.0)


@dataclass(frozen=True)
class Input:
    """How a file of motion is read.

    Attributes:
        second: The partner's file, where each person has a file.
        scale: Metres per unit of the file that is read, as in 0.01 for centimetres; by default
            found from the height of the bodies where the format does not state it.
        up: Vertical axis of the file that is read; by default found from how the bodies stand.
        start: Second of the file from which on its motion is taken.
        end: Second of the file up to which its motion is taken; by default its end.
    """

    second: Path | None = None
    scale: float | None = None
    up: Literal["auto", "y", "z"] = "auto"
    start: float = 0.0
    end: float | None = None

    def read(self, path: Path) -> "Interaction":
        """Raises as `duomotion.formats.load`."""
        from duomotion.formats import load

        return load(path, self.second, scale=self.scale, up=self.up, start=self.start, end=self.end)


@dataclass(frozen=True)
class Output:
    """How files of motion are written.

    Attributes:
        fps: Frames a second of what is written, such as 24, 25, 30 or 60; by default those of the
            motion.
        unit: Unit of length of .bvh files that are written.
        split: Write one .bvh file per person.
    """

    fps: float | None = None
    unit: Literal["m", "cm", "mm", "in"] = "m"
    split: bool = False

    def check(self) -> None:
        """Raises ValueError where a setting is out of range."""
        if self.fps is not None and not FPS[0] <= self.fps <= FPS[1]:
            raise ValueError(f"--fps {self.fps:g}: {FPS[0]:g} to {FPS[1]:g} frames a second")

    def finished(self, clip: "Interaction") -> "Interaction":
        """The motion as it is written."""
        from duomotion.motion.canonical import resample

        self.check()
        return clip if self.fps is None else resample(clip, self.fps)

    def write(self, clip: "Interaction", path: Path) -> list[Path]:
        """The paths written; raises as `duomotion.formats.save`."""
        from duomotion.formats import bvh, conventions, save, smpl

        if path.suffix.lower() == ".bvh":
            return bvh.write(clip, path, scale=conventions.UNITS[self.unit], split=self.split)
        if path.name.lower().endswith(".smpl.npz"):
            return smpl.write(clip, path)
        save(clip, path)
        return [path]


InputOptions = Annotated[Input, tyro.conf.arg(name="")]
OutputOptions = Annotated[Output, tyro.conf.arg(name="")]
GUESSED = Input()
UNCHANGED = Output()
