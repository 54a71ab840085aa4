"""The salsa takes of the CMU database: subject 60 leads, subject 61 follows.

The archive holds each take as a BVH of both dancers in one world frame, 6S_TT_scaled.bvh, whose
generic skeleton is neither dancer's; the lead of most takes is there once more as an SMPL fit,
lead_amass_smpl/60_TT_poses.bvh. What turns the one version of the lead into the other shapes and
places the follower, and both dancers of a take that has no fit.
"""

import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from duomotion.formats import bvh
from duomotion.motion.canonical import ground
from duomotion.motion.contacts import lock_feet, snap_to_floor
from duomotion.motion.holds import held_hands, join_hands
from duomotion.motion.interaction import Interaction, together
from duomotion.motion.kinematics import global_rotations, local_rotations
from duomotion.motion.repair import remove_spikes, smooth
from duomotion.motion.retarget import to_smpl22
from duomotion.motion.rotations import nearest_rotation, yaw
from duomotion.motion.skeleton import SMPL22, Skeleton
from duomotion.reading import unpacked

ARCHIVE = "cmu_60_61.tar.xz"
LEAD, FOLLOWER = "60", "61"
MEMBER = re.compile(r"6[01]_\d\d_scaled\.bvh|60_\d\d_poses\.bvh")

SCALE = 1.265  # metres per unit; it lays the lead's path on that of the SMPL fit
FPS = 30.0
STEP = 2  # the takes have 60 frames a second, whatever their headers say
TREMBLING = 0.6  # frames; brings the lead's accelerations down to those of the SMPL fit

# Frames further off in metres, or in the Frobenius norm of rotations, hardly count in a fit.
PLACE_SPREAD, TURN_SPREAD = 0.02, 0.2
ROUNDS = 6  # of reweighted least squares

# The joint of the generic skeleton that turns each joint of SMPL-22.
CARRIERS = (
    "hip", "lThigh", "rThigh", "abdomen", "lShin", "rShin", "abdomen", "lFoot", "rFoot", "chest",
    "lFoot", "rFoot", "neck", "lCollar", "rCollar", "head", "lShldr", "rShldr", "lForeArm",
    "rForeArm", "lHand", "rHand",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Fit:
    """What turns motion of the generic skeleton into that of an SMPL body.

    Attributes:
        heading: radians about +Y from the one world to the other.
        shift: (3,) metres along the floor, after that turn.
        turns: (22, 3, 3) constant turns of the joints in the frames of those that carry them.
        body: the lead's skeleton.
    """

    heading: float
    shift: np.ndarray
    turns: np.ndarray
    body: Skeleton


class Archive:
    """The archive, read once; couples are made one by one.

    Attributes:
        takes: names of the takes, which are those of the lead's recordings ("60_05").

    Raises:
        ValueError: the file is no such archive, or no take in it has an SMPL fit of its lead.
        OSError: the file can't be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._recordings = _recordings(Path(path))
        names = sorted(self._recordings)
        self.takes = [name[:5] for name in names if name.startswith(LEAD) and "scaled" in name]
        fitted = []
        for take in self.takes:
            with suppress(ValueError):
                fitted.append((self._generic(take), self._lead(take)))
        if not fitted:
            raise ValueError(f"{path} holds no take with both dancers and an SMPL fit of the lead")
        self._fit = fit_leads(fitted)

    def couple(self, take: str) -> Interaction:
        """Lead and follower with SMPL-22's joints and the lead's bones, 30 frames a second.

        They stand on the floor, and hands that they hold meet.

        Raises:
            ValueError: a recording of the take is missing or damaged.
        """
        generic = self._generic(take)
        lead, follower = (dress(generic.person(index), self._fit) for index in (0, 1))
        if f"{take}_poses" in self._recordings:
            lead = remove_spikes(self._lead(take))
        pair = lock_feet(snap_to_floor(together([ground(lead), ground(follower)])))
        return join_hands(pair, held_hands(pair))

    def _generic(self, take: str) -> Interaction:
        """Both dancers on the generic skeleton, without the T-pose in front."""
        partner = take.replace(LEAD, FOLLOWER, 1)
        both = together([self._recording(f"{name}_scaled") for name in (take, partner)])
        for name in CARRIERS:
            both.skeletons[0].index(name)
        if both.num_frames <= STEP:
            raise ValueError(f"{take}_scaled.bvh holds nothing but a T-pose")
        return replace(
            both,
            root_positions=both.root_positions[:, 1::STEP],
            rotations=both.rotations[:, 1::STEP],
            fps=FPS,
        )

    def _lead(self, take: str) -> Interaction:
        """The lead as an SMPL fit, frame by frame as in the other version."""
        lead = to_smpl22(self._recording(f"{take}_poses"))
        frames = self._generic(take).num_frames
        if lead.num_frames != frames:
            raise ValueError(
                f"{take}_poses.bvh has {lead.num_frames} frames; it should have {frames}, one for "
                f"every second of {take}_scaled.bvh behind its T-pose"
            )
        return replace(lead, fps=FPS)

    def _recording(self, name: str) -> Interaction:
        found = self._recordings.get(name, f"the archive holds no {name}.bvh")
        if isinstance(found, str):
            raise ValueError(found)
        return found


def fit_leads(takes: Sequence[tuple[Interaction, Interaction]]) -> Fit:
    """What turns the generic version of the lead into the SMPL version.

    Args:
        takes: the lead on the generic skeleton and as an SMPL fit, frame by frame the same.
    """
    roots = np.concatenate([generic.root_positions[0] for generic, _ in takes]).astype(np.float64)
    places = np.concatenate([lead.root_positions[0] for _, lead in takes]).astype(np.float64)
    heading, shift = fit_placement(roots, places)
    turns = [
        (yaw(heading) @ _carrying(generic)[0]).swapaxes(-1, -2)
        @ global_rotations(lead.rotations[0].astype(np.float64), SMPL22)
        for generic, lead in takes
    ]
    return Fit(heading, shift, mean_rotation(np.concatenate(turns)), takes[0][1].skeletons[0])


def fit_placement(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Turn about +Y in radians and shift (3,) along the floor that lay a path on another one.

    Args:
        source, target: (T, 3) metres; the few frames in which they differ much count little.
    """
    # As complex numbers z + ix, points on the floor are turned by a factor.
    source_T, target_T = (path[:, 2] + 1j * path[:, 0] for path in (source, target))
    weights_T = np.ones(len(source))
    for _ in range(ROUNDS):
        middle, goal = (np.average(path, weights=weights_T) for path in (source_T, target_T))
        turn = np.sum(weights_T * (target_T - goal) * np.conj(source_T - middle))
        turn /= abs(turn) + 1e-12
        shift = goal - turn * middle
        off_T = abs(turn * source_T + shift - target_T)
        weights_T = 1 / (1 + (off_T / PLACE_SPREAD) ** 2)
    return float(np.angle(turn)), np.array([shift.imag, 0.0, shift.real])


def mean_rotation(rotations: np.ndarray) -> np.ndarray:
    """The mean (J, 3, 3) of rotations (T, J, 3, 3), in which outlying frames count little."""
    weights_TJ = np.ones(rotations.shape[:2])
    for _ in range(ROUNDS):
        mean = nearest_rotation(np.einsum("tj,tjab->jab", weights_TJ, rotations))
        off_TJ = np.linalg.norm(rotations - mean, axis=(-1, -2))
        weights_TJ = 1 / (1 + (off_TJ / TURN_SPREAD) ** 2)
    return mean


def dress(dancer: Interaction, fit: Fit) -> Interaction:
    """A dancer of the generic skeleton as an SMPL body, at any height."""
    dancer, turn = smooth(remove_spikes(dancer), TREMBLING), yaw(fit.heading)
    return Interaction(
        dancer.root_positions @ turn.T + fit.shift,
        local_rotations(turn @ _carrying(dancer) @ fit.turns, SMPL22),
        (fit.body,),
        dancer.fps,
    )


def _carrying(interaction: Interaction) -> np.ndarray:
    """World rotations (P, T, 22, 3, 3) of the joints that carry those of SMPL-22."""
    skeleton = interaction.skeletons[0]
    world = global_rotations(interaction.rotations.astype(np.float64), skeleton)
    return world[:, :, [skeleton.index(name) for name in CARRIERS]]


def _recordings(path: Path) -> dict[str, Interaction | str]:
    """The recordings in the archive by name without suffix, or what is wrong with them."""
    found: dict[str, Interaction | str] = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "recording.bvh"
        for key, content in unpacked(path):
            name = PurePosixPath(key).name
            if not MEMBER.fullmatch(name):
                continue
            scratch.write_bytes(content)
            generic = name.endswith("_scaled.bvh")
            try:
                found[name.removesuffix(".bvh")] = (
                    bvh.read(scratch, scale=SCALE, up="y")
                    if generic
                    else bvh.read(scratch, scale=1.0, up="z")
                )
            except ValueError as problem:
                found[name.removesuffix(".bvh")] = str(problem).replace(str(scratch), key)
    return found
