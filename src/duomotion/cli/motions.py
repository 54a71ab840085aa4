"""Files of motion that commands read and write: what can be said about them, in one place."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from duomotion.motion.interaction import Interaction
    from duomotion.motion.skeleton import Skeleton

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
        retarget: .bvh, .glb or .fbx of a rig: people get its skeleton, bone lengths and rest pose.
            Names of Mixamo, Rigify, Unreal, CMU and SMPL are known, and others that name knees and
            elbows by side. With a rig in .glb, files in .glb hold it with its own mesh, one for
            each person.
    """

    fps: float | None = None
    unit: Literal["m", "cm", "mm", "in"] = "m"
    split: bool = False
    retarget: Path | None = None

    def check(self) -> None:
        """Raises ValueError where a setting is out of range or the rig is none; OSError."""
        if self.fps is not None and not FPS[0] <= self.fps <= FPS[1]:
            raise ValueError(f"--fps {self.fps:g}: {FPS[0]:g} to {FPS[1]:g} frames a second")
        _ = self.rig

    @cached_property
    def rig(self) -> "Skeleton | None":
        """The skeleton of the rig; raises as `check`."""
        from duomotion.formats import load
        from duomotion.motion.retarget import match_joints

        if self.retarget is None:
            return None
        rig = load(self.retarget).skeletons[0]
        try:
            match_joints(rig)
        except ValueError as problem:
            raise ValueError(f"--retarget {self.retarget}: {problem}") from None
        return rig

    def finished(self, clip: "Interaction") -> "Interaction":
        """The motion as it is written; raises as `check`."""
        from duomotion.motion.canonical import resample
        from duomotion.motion.rig import to_rig

        if self.fps is not None:
            clip = resample(clip, self.fps)
        rig = self.rig
        return clip if rig is None else to_rig(clip, rig)

    def write(self, clip: "Interaction", path: Path) -> list[Path]:
        """The paths written; raises as `duomotion.formats.save`."""
        from duomotion.formats import bvh, conventions, gltf_rig, save, smpl

        if path.suffix.lower() == ".bvh":
            return bvh.write(clip, path, scale=conventions.UNITS[self.unit], split=self.split)
        if path.name.lower().endswith(".smpl.npz"):
            return smpl.write(clip, path)
        if self.retarget and self.retarget.suffix.lower() == path.suffix.lower() == ".glb":
            return gltf_rig.write(clip, self.retarget, path)
        save(clip, path)
        return [path]


def file_path(path: Path) -> Path:
    """What files that are made of a motion are named after, which may be a clip of a shard."""
    from duomotion.formats import shard

    return shard.file_path(path)


InputOptions = Annotated[Input, tyro.conf.arg(name="")]
OutputOptions = Annotated[Output, tyro.conf.arg(name="")]
GUESSED = Input()
UNCHANGED = Output()
