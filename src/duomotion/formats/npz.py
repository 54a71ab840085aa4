"""duomotion's own file: everything an Interaction holds, as plain arrays.

root_positions  (P, T, 3) float32     metres, Y up
rotations       (P, T, J, 3, 3) float32  local rotation matrices, the root's in the world
offsets         (P, J, 3) float64     metres, rest pose
names           (J,) text             joint names
parents         (J,) int64            -1 for the root
positions       (P, T, J, 3) float32  metres, for readers in other programs
fps, caption    scalars
"""

from pathlib import Path

import numpy as np

from duomotion.motion.interaction import Interaction
from duomotion.motion.skeleton import Skeleton
from duomotion.storage import atomic_file

NEEDED = ("root_positions", "rotations", "offsets", "names", "parents", "fps", "caption")
KINDS = {"root_positions": "f", "rotations": "f", "offsets": "f", "parents": "iu", "fps": "iuf"}


def write(interaction: Interaction, path: str | Path) -> None:
    """Raises OSError when the file can't be written."""
    skeleton = interaction.skeletons[0]
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            root_positions=interaction.root_positions,
            rotations=interaction.rotations,
            offsets=np.stack([person.offsets for person in interaction.skeletons]),
            names=np.array(skeleton.names),
            parents=np.array(skeleton.parents),
            positions=interaction.positions,
            fps=np.float64(interaction.fps),
            caption=np.array(interaction.caption),
        )


def read(path: str | Path) -> Interaction:
    """Raises ValueError when the file is not ours or is damaged, OSError when it can't be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in NEEDED if name not in file]
            if missing:
                raise ValueError(f"no array named {', '.join(missing)}")
            arrays = {name: file[name] for name in NEEDED}
    except OSError:
        raise
    except Exception as problem:  # damaged archives raise a dozen unrelated types
        raise ValueError(f"{path} is not a duomotion .npz file: {problem}") from None
    roots, rotations, offsets = (arrays[name] for name in NEEDED[:3])
    people, frames, joints = (*rotations.shape, 0, 0, 0)[:3]
    shapes = {
        "root_positions": (roots.shape, (people, frames, 3)),
        "rotations": (rotations.shape, (people, frames, joints, 3, 3)),
        "offsets": (offsets.shape, (people, joints, 3)),
        "names": (arrays["names"].shape, (joints,)),
        "parents": (arrays["parents"].shape, (joints,)),
        "fps": (arrays["fps"].shape, ()),
        "caption": (arrays["caption"].shape, ()),
    }
    for name, (found, expected) in shapes.items():
        if found != expected or 0 in found:
            raise ValueError(
                f"{path}: {name} has shape {found}, which does not fit the other arrays"
            )
    for name, kinds in KINDS.items():
        if arrays[name].dtype.kind not in kinds:
            raise ValueError(f"{path}: {name} has the wrong type, {arrays[name].dtype}")
    for name in ("root_positions", "rotations", "offsets"):
        if not (np.abs(arrays[name]) < 1e6).all():
            raise ValueError(f"{path}: {name} holds values that are not finite or far too large")
    if not 0 < arrays["fps"] < 1e4:
        raise ValueError(f"{path}: fps is {arrays['fps']}, not a frame rate above 0")
    parents = tuple(int(parent) for parent in arrays["parents"])
    if parents[0] != -1 or any(not 0 <= p < j for j, p in enumerate(parents) if j):
        raise ValueError(f"{path}: parents must come before their children, the root first with -1")
    names = tuple(str(name) for name in arrays["names"])
    skeletons = tuple(Skeleton(names, parents, person) for person in offsets)
    return Interaction(roots, rotations, skeletons, float(arrays["fps"]), str(arrays["caption"]))
