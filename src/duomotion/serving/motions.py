"""Motion that the server holds for a while: read from uploads, shown as JSON, written as files."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, Literal

from duomotion.body import PERSON_COLOURS, person_names
from duomotion.formats import load, save
from duomotion.models.requests import MAX_SECONDS
from duomotion.motion.interaction import Interaction

FileFormat = Literal["bvh", "glb", "npz", "mp4"]
MEDIA_TYPES: dict[FileFormat, str] = {
    "bvh": "text/plain; charset=utf-8",
    "glb": "model/gltf-binary",
    "npz": "application/octet-stream",
    "mp4": "video/mp4",
}
MAX_ROTATIONS = 1_000_000  # people x frames x joints: a minute of two people at 120 frames a second
DECIMALS = 4  # of metres in JSON


@dataclass(frozen=True)
class StoredMotion:
    """A clip under a name that nobody guesses."""

    id: str
    clip: Interaction


class MotionStore:
    """The last clips that were made, uploaded or asked for; several threads may use it."""

    def __init__(self, max_bytes: int) -> None:
        """Set the limit.

        Args:
            max_bytes: that all clips may take; the last one is kept whatever it takes.
        """
        self._max_bytes = max_bytes
        self._clips: OrderedDict[str, Interaction] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._clips)

    def __contains__(self, name: str) -> bool:
        return name in self._clips

    def add(self, clip: Interaction) -> StoredMotion:
        name = token_hex(16)
        with self._lock:
            self._clips[name] = clip
            self._bytes += _size(clip)
            while self._bytes > self._max_bytes and len(self._clips) > 1:
                _, oldest = self._clips.popitem(last=False)
                self._bytes -= _size(oldest)
        return StoredMotion(name, clip)

    def get(self, name: str) -> StoredMotion | None:
        """None where there is none, or none any more."""
        with self._lock:
            if name not in self._clips:
                return None
            self._clips.move_to_end(name)
            return StoredMotion(name, self._clips[name])


def read_upload(content: bytes) -> Interaction:
    """The motion in an uploaded file, BVH or npz as its first bytes say.

    Raises:
        ValueError: it is no such file, is damaged, or holds too much.
    """
    suffix = ".npz" if content.startswith(b"PK") else ".bvh"
    with TemporaryDirectory(prefix="duomotion-") as folder:
        path = Path(folder) / f"motion{suffix}"
        path.write_bytes(content)
        try:
            clip = load(path)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), "the file")) from None
    rotations = clip.num_people * clip.num_frames * clip.skeletons[0].num_joints
    if rotations > MAX_ROTATIONS or clip.seconds > MAX_SECONDS + 1 / clip.fps:
        raise ValueError(
            f"the file holds {clip.num_frames} frames at {clip.fps:g} a second; at most "
            f"{MAX_SECONDS:g} s and {MAX_ROTATIONS:,} joint rotations are taken"
        )
    return clip


def to_file(clip: Interaction, suffix: FileFormat) -> bytes:
    """The bytes of a file in this format.

    Raises:
        ValueError: the format can't hold the motion.
    """
    with TemporaryDirectory(prefix="duomotion-") as folder:
        path = Path(folder) / f"motion.{suffix}"
        save(clip, path)
        return path.read_bytes()


def summary(motion: StoredMotion) -> dict[str, Any]:
    """Name, people, frames and frames a second."""
    clip = motion.clip
    return {
        "id": motion.id,
        "people": clip.num_people,
        "frames": clip.num_frames,
        "fps": clip.fps,
    }


def player_data(motion: StoredMotion) -> dict[str, Any]:
    """What a player needs to draw skeletons: joint positions (P, T, J, 3) in metres, Y up."""
    clip, skeleton = motion.clip, motion.clip.skeletons[0]
    return {
        **summary(motion),
        "seconds": clip.seconds,
        "caption": clip.caption,
        "names": person_names(clip.num_people),
        "colours": PERSON_COLOURS[: clip.num_people],
        "joints": skeleton.names,
        "parents": skeleton.parents,
        "positions": clip.positions.astype(float).round(DECIMALS).tolist(),
    }


def _size(clip: Interaction) -> int:
    # Positions are computed when they are asked for, and kept.
    return clip.root_positions.nbytes + clip.rotations.nbytes + clip.rotations.nbytes // 3
