"""Motion made up for the tests of file formats."""

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from duomotion.body.constraints import RootPath
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import global_rotations, local_rotations
from duomotion.motion.rotations import normalise, rotation_between
from duomotion.motion.skeleton import SMPL22, Skeleton

CAPTION = "two people </script><script>alert('x')</script> \"shake\" <hands> & laugh: 握手 🤝"
TAIL = Skeleton(
    names=("base", "link_a", "link_b", "tip", "fork"),
    parents=(-1, 0, 1, 2, 1),
    offsets=np.array(
        [[0, 0, 0], [0, 0.4, 0], [0.3, 0.1, 0], [0.3, 0, 0.1], [-0.2, 0.3, 0.0]], dtype=float
    ),
)


def waving(
    people: int = 2, frames: int = 20, skeleton: Skeleton = SMPL22, caption: str = CAPTION
) -> Interaction:
    """People of different size who turn all their joints smoothly, by more than half a turn."""
    rng = np.random.default_rng(3)
    joints = skeleton.num_joints
    time = np.linspace(0, 1, frames)[None, :, None, None]
    swing = rng.normal(0, 0.5, (people, 1, joints, 3)) * np.sin(5 * time)
    swing[:, :, 0, 1] = 4.0 * time[:, :, 0, 0] + np.arange(people)[:, None]
    rotations = Rotation.from_rotvec(swing.reshape(-1, 3)).as_matrix()
    roots = np.zeros((people, frames, 3))
    roots[..., 0] = np.arange(people)[:, None] * 0.9 + 0.3 * time[0, :, 0, 0]
    roots[..., 1] = 1.0
    sizes = 1 - 0.1 * np.arange(people)
    return Interaction(
        roots,
        rotations.reshape(people, frames, joints, 3, 3),
        tuple(skeleton.with_offsets(skeleton.offsets * size) for size in sizes),
        fps=30.0,
        caption=caption,
    )


def off(path: RootPath, roots_T2: Tensor, fps: float = 30.0) -> Tensor:
    """(T, 2) metres from the pelvis to its place on a path, the ends held."""
    frames_T, path_T2 = path.places(len(roots_T2), fps)
    return torch.from_numpy(path_T2).to(roots_T2) - roots_T2[frames_T]


def standing(people: int = 2, frames: int = 4, gap: float = 1.0) -> Interaction:
    """People in T-pose on the ground who don't move, side by side along x."""
    height = -float(SMPL22.rest_positions[:, 1].min())
    roots = np.tile([0.0, height, 0.0], (people, frames, 1))
    roots[..., 0] = np.arange(people)[:, None] * gap
    rotations = np.tile(np.eye(3), (people, frames, SMPL22.num_joints, 1, 1))
    return Interaction(roots, rotations, (SMPL22,) * people, caption="two people stand")


def point(motion: Interaction, person, joint, direction, frames=slice(None)) -> Interaction:
    """The bone below a joint points where the person's own +X (left), +Y, +Z (ahead) say.

    One direction (3,) for all frames, or one a frame (T, 3).
    """
    skeleton, index = motion.skeletons[0], SMPL22.index(joint)
    child = SMPL22.children[index][0]
    world = global_rotations(motion.rotations[person].astype(float), skeleton)
    aim = (world[frames, 0] @ normalise(np.asarray(direction, float))[..., None])[..., 0]
    now = world[frames, index] @ skeleton.offsets[child]
    world[frames, index] = rotation_between(now, aim) @ world[frames, index]
    rotations = motion.rotations.copy()
    rotations[person] = local_rotations(world, skeleton)
    return replace(motion, rotations=rotations)


def swaying(seed: int, frames: int = 75) -> np.ndarray:
    """Two people (2, T, 22, 3) near each other who move all their joints smoothly."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 30
    speed, phase = rng.uniform(1, 5, (2, 1, 22, 3)), rng.uniform(0, 6, (2, 1, 22, 3))
    sway = 0.15 * np.sin(speed * time + phase)
    place = np.array([[0.0, 1, 0], [0.2, 1, 1]])[:, None, None]
    return SMPL22.rest_positions + place + sway
