"""Motion onto the skeleton of a user's rig, which keeps its own bone lengths and rest pose.

The whole scene, people and the ways between them, is scaled by the length of the rig's legs. Bones
of limbs point where they pointed; pelvis, back, head, feet and hands turn as they did from a rest
pose in which everybody stands upright. Then legs are bent so that feet are where they were, and
arms so that hands that touched the other person touch the same place.
"""

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from duomotion.motion.canonical import scaled
from duomotion.motion.ik import bend_limb
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import forward_kinematics, global_rotations, local_rotations
from duomotion.motion.retarget import facing_forward, match_joints, smpl22_positions, to_smpl22
from duomotion.motion.rotations import rotation_between
from duomotion.motion.skeleton import SMPL22, Skeleton

LIMBS = ("hip", "knee", "shoulder", "elbow")  # the joints whose bones are pointed
LEG, ARM = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")
TOUCH, AWAY = 0.20, 0.35  # metres from wrist to bone: a touch, and where it no longer counts
TOUCH_SECONDS = 0.1  # standard deviation of the Gaussian over which a touch fades


def to_rig(interaction: Interaction, rig: Skeleton) -> Interaction:
    """The same motion of people who all have the skeleton `rig`, upright in its rest pose.

    Raises:
        ValueError: the limbs of the motion or of the rig are not found by name.
    """
    joints = match_joints(rig)
    target = _Rig(rig, {name: joint for name, joint in joints.items() if joint is not None})
    source = to_smpl22(interaction)
    legs = [_leg(skeleton) for skeleton in source.skeletons]
    source = scaled(source, target.leg * len(legs) / sum(legs))
    people = [_Body(target, source, person) for person in range(source.num_people)]
    for body in people:
        body.place_feet()
    before = [body.joints() for body in people]
    for person, body in enumerate(people):
        for other, partner in enumerate(before):
            if other != person:
                body.place_hands(source.positions[other].astype(np.float64), partner)
    return replace(
        interaction,
        root_positions=np.stack([body.roots for body in people]),
        rotations=np.stack([local_rotations(body.followed(), rig) for body in people]),
        skeletons=(rig,) * len(people),
    )


def _leg(skeleton: Skeleton) -> float:
    """Metres from hip to ankle of SMPL-22."""
    bones = [SMPL22.index(f"left_{joint}") for joint in LEG[1:]]
    return float(np.linalg.norm(skeleton.offsets[bones], axis=-1).sum())


class _Rig:
    """A skeleton and which of its joints are those of SMPL-22.

    Attributes:
        joints: the rig's joint for each name of SMPL-22; spine joints may be missing.
        forward: (3, 3) that makes its rest pose face +Z.
        rest: (J, 3) metres of its rest pose on the floor, facing +Z.
    """

    def __init__(self, skeleton: Skeleton, joints: dict[str, int]) -> None:
        self.skeleton, self.joints = skeleton, joints
        rest = skeleton.rest_positions
        self.forward = facing_forward(smpl22_positions(rest, joints))
        self.rest = rest @ self.forward.T
        self.rest[:, 1] -= self.rest[:, 1].min()

    @property
    def leg(self) -> float:
        hip, knee, ankle = (self.rest[self.joints[f"left_{joint}"]] for joint in LEG)
        return float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))

    def turns(self, body: Skeleton) -> dict[str, np.ndarray]:
        """(3, 3) for each joint: from the rig's rest pose to that of a body on SMPL-22."""
        found = {}
        for name, joint in self.joints.items():
            side, _, part = name.partition("_")
            turn = np.eye(3)
            if part in LIMBS:
                limb = LEG if part in LEG else ARM
                end = f"{side}_{limb[limb.index(part) + 1]}"
                bone = self.rest[self.joints[end]] - self.rest[joint]
                turn = rotation_between(bone, body.offsets[SMPL22.index(end)])
            elif part == "wrist":
                turn = found[f"{side}_elbow"]
            found[name] = turn @ self.forward if part != "wrist" else turn
        return found


class _Body:
    """A person of the scaled source on the rig.

    Attributes:
        world: (T, J, 3, 3) rotations of the rig's joints.
        roots: (T, 3) metres.
    """

    def __init__(self, rig: _Rig, source: Interaction, person: int) -> None:
        self.rig, self.fps = rig, source.fps
        body = source.skeletons[person]
        self.source = source.positions[person].astype(np.float64)
        self.soles = body.rest_positions[:, 1] - body.rest_positions[:, 1].min()
        world = global_rotations(source.rotations[person].astype(np.float64), SMPL22)
        self.world = np.tile(np.eye(3), (len(world), rig.skeleton.num_joints, 1, 1))
        for name, turn in rig.turns(body).items():
            self.world[:, rig.joints[name]] = world[:, SMPL22.index(name)] @ turn
        self.roots = np.zeros((len(world), 3))
        pelvis = rig.joints["pelvis"]
        self.roots = self.raised("pelvis") - self.joints()[:, pelvis]

    def followed(self) -> np.ndarray:
        """World rotations where joints that SMPL-22 lacks keep their pose in their parents."""
        known, world = set(self.rig.joints.values()), self.world.copy()
        pelvis = self.rig.skeleton.path_to_root(self.rig.joints["pelvis"])
        for joint, parent in self.rig.skeleton.bones:
            if joint not in known and joint not in pelvis:
                world[:, joint] = world[:, parent]
        return world

    def joints(self) -> np.ndarray:
        """(T, J, 3) metres."""
        skeleton = self.rig.skeleton
        local = local_rotations(self.followed(), skeleton)
        return forward_kinematics(self.roots, local, skeleton.offsets, skeleton)

    def raised(self, name: str) -> np.ndarray:
        """(T, 3) where the source has a joint, as much higher as the rig's is in rest."""
        joint = SMPL22.index(name)
        higher = self.rig.rest[self.rig.joints[name], 1] - self.soles[joint]
        return self.source[:, joint] + [0, higher, 0]

    def place_feet(self) -> None:
        """Bend the legs so that ankles are where they were above the floor."""
        for side in ("left", "right"):
            self._bend(side, LEG, self.raised(f"{side}_ankle"), np.ones(len(self.world)))

    def place_hands(self, source: np.ndarray, partner: np.ndarray) -> None:
        """Bend the arms so that hands keep their places on the other person.

        Args:
            source: (T, 22, 3) metres of the other person in the source.
            partner: (T, J, 3) metres of the other person on the rig.
        """
        on_rig = smpl22_positions(partner, self.rig.joints)
        # Hands that meet do so where they met, as the other's arm is bent as well.
        for side in ("left", "right"):
            for part in ("elbow", "wrist"):
                joint = SMPL22.index(f"{side}_{part}")
                on_rig[:, joint] = source[:, joint]
        children, parents = np.array(SMPL22.bones).T
        for side in ("left", "right"):
            wrist = self.source[:, SMPL22.index(f"{side}_wrist")]
            starts, bones = source[:, parents], source[:, children] - source[:, parents]
            share = ((wrist[:, None] - starts) * bones).sum(-1) / ((bones**2).sum(-1) + 1e-9)
            share = np.clip(share, 0, 1)[..., None]
            away = np.linalg.norm(starts + share * bones - wrist[:, None], axis=-1)
            nearest, frames = away.argmin(-1), np.arange(len(away))
            share, point = share[frames, nearest], (starts + share * bones)[frames, nearest]
            first, last = on_rig[frames, parents[nearest]], on_rig[frames, children[nearest]]
            goal = first + share * (last - first) + wrist - point
            weight = np.clip((AWAY - away.min(-1)) / (AWAY - TOUCH), 0, 1)
            smooth = gaussian_filter1d(weight, TOUCH_SECONDS * self.fps, mode="nearest")
            self._bend(side, ARM, goal, np.maximum(weight, smooth))

    def _bend(self, side: str, limb: tuple[str, ...], goal: np.ndarray, weight: np.ndarray) -> None:
        """Bring the end of a limb so far towards (T, 3) as the weight (T,) says."""
        chain = [self.rig.joints[f"{side}_{joint}"] for joint in limb]
        root, hinge, end = self.joints()[:, chain].swapaxes(0, 1)
        bend_limb(self.world, chain, root, hinge, end, end + weight[:, None] * (goal - end))
