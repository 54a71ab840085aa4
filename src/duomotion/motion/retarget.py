"""Other skeletons onto SMPL-22 and KIT-21, each person keeping their own bone lengths.

Because bone lengths stay, joints that both skeletons have stay where they are in the world: feet
keep their ground contacts and hands that touch the partner keep touching.
"""

import re
from dataclasses import replace
from textwrap import shorten

import numpy as np

from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import fit_rotations, global_rotations, local_rotations
from duomotion.motion.rotations import align_vectors, rotation_between, yaw
from duomotion.motion.skeleton import KIT21, SMPL22, Skeleton

# The two joints that are found by name; all others follow from where they are in the tree.
KNEES = ("knee", "leg", "lowerleg", "shin", "calf", "tibia")
ELBOWS = ("elbow", "forearm", "lowerarm", "radius")

KIT_SPINE = {"spine": "spine1", "chest": "spine3"}  # KIT-21's names of joints of SMPL-22


def to_smpl22(interaction: Interaction) -> Interaction:
    """The same motion on SMPL-22.

    Bones point where they pointed. Turns about a bone are taken over from the source, measured from
    its rest pose, which is expected to be close to a T-pose. Spine joints that SMPL-22 does not
    have are left out; missing ones divide the way between their neighbours.

    Raises:
        ValueError: knees or elbows are not found by name, or a limb is too short.
    """
    source = interaction.skeletons[0]
    if source.same_tree(SMPL22):
        return interaction
    joints = match_joints(source)
    positions = _on_smpl22(interaction.positions.astype(np.float64), joints)
    skeletons, rotations = [], []
    for person, skeleton in enumerate(interaction.skeletons):
        rest = _on_smpl22(skeleton.rest_positions, joints)
        turn = _facing_forward(rest)
        world = global_rotations(interaction.rotations[person].astype(np.float64), source)
        twist = local_rotations(world[:, _carriers(joints)] @ turn.T, SMPL22)
        target = _target_skeleton(rest @ turn.T, positions[person])
        skeletons.append(target)
        rotations.append(fit_rotations(positions[person], target, twist))
    return replace(
        interaction,
        root_positions=positions[:, :, 0],
        rotations=np.stack(rotations),
        skeletons=tuple(skeletons),
    )


def to_kit21(interaction: Interaction) -> Interaction:
    """The same motion on KIT-21, whose middle of the foot lies halfway between ankle and foot.

    Bones point where they pointed; limbs turn about themselves as little as they can.

    Raises:
        ValueError: as `to_smpl22`.
    """
    positions = to_smpl22(interaction).positions
    found = []
    for name in KIT21.names:
        if name.endswith("midfoot"):
            side = name.split("_")[0]
            both = [SMPL22.index(f"{side}_{part}") for part in ("ankle", "foot")]
            found.append(positions[..., both, :].mean(-2))
        else:
            found.append(positions[..., SMPL22.index(KIT_SPINE.get(name, name)), :])
    bodies = Interaction.from_positions(np.stack(found, -2), like=KIT21, fps=interaction.fps)
    return bodies.with_caption(interaction.caption, interaction.reading)


def in_rest_of(body: Skeleton, interaction: Interaction) -> Interaction:
    """The same joint positions with rotations that are measured from the rest pose of `body`.

    A skeleton with the joints of SMPL-22 may have another rest pose, above all another shape of
    pelvis and chest. Each joint's frame is turned so that the bones that leave it point as closely
    as they can where those of `body` do (Kabsch); the bones keep their lengths and their places.

    Args:
        body: as many joints as SMPL-22, or more behind them.
        interaction: on SMPL-22.
    """
    assert interaction.skeletons[0].same_tree(SMPL22)
    rest = body.offsets[: SMPL22.num_joints]
    skeletons, rotations = [], []
    for skeleton, own in zip(interaction.skeletons, interaction.rotations, strict=True):
        turns = _turns_from(rest, skeleton)
        world = global_rotations(own.astype(np.float64), SMPL22) @ turns
        rotations.append(local_rotations(world, SMPL22))
        offsets = skeleton.offsets.copy()
        for child, parent in SMPL22.bones:
            offsets[child] = turns[parent].T @ skeleton.offsets[child]
        skeletons.append(SMPL22.with_offsets(offsets))
    return replace(interaction, rotations=np.stack(rotations), skeletons=tuple(skeletons))


def _turns_from(rest: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(22, 3, 3) that turn bones with the offsets `rest` (22, 3) to those of a skeleton."""
    turns = np.tile(np.eye(3), (SMPL22.num_joints, 1, 1))
    for joint, children in enumerate(SMPL22.children):
        given, own = rest[list(children)], skeleton.offsets[list(children)]
        if len(children) > 1:
            turns[joint] = align_vectors(given, own)
        elif children:
            turns[joint] = rotation_between(given[0], own[0])
        else:
            turns[joint] = turns[SMPL22.parents[joint]]
    return turns


def match_joints(skeleton: Skeleton) -> dict[str, int | None]:
    """For each joint of SMPL-22 the index of its counterpart, None for spine joints without one.

    Raises:
        ValueError: knees or elbows are not found by name, or a limb is too short.
    """
    match: dict[str, int] = {}
    for side in ("left", "right"):
        knee = _find(skeleton, side, KNEES)
        elbow = _find(skeleton, side, ELBOWS)
        match[f"{side}_hip"] = _above(skeleton, knee)
        match[f"{side}_knee"] = knee
        match[f"{side}_ankle"] = _next(skeleton, knee)
        match[f"{side}_foot"] = _next(skeleton, match[f"{side}_ankle"])
        match[f"{side}_shoulder"] = shoulder = _above(skeleton, elbow)
        match[f"{side}_collar"] = _above(skeleton, shoulder)
        match[f"{side}_elbow"] = elbow
        match[f"{side}_wrist"] = _next(skeleton, elbow)
    left, right = (skeleton.path_to_root(match[f"{side}_elbow"]) for side in ("left", "right"))
    chest = next(joint for joint in left if joint in right)
    match["spine3"] = chest
    low, high = (skeleton.path_to_root(match[f"{side}_knee"]) for side in ("left", "right"))
    match["pelvis"] = next(joint for joint in low if joint in high)
    neck = [joint for joint in skeleton.children[chest] if joint not in left and joint not in right]
    if not neck:
        raise ValueError("the skeleton has no neck above the joint where the arms meet")
    match["neck"] = max(neck, key=lambda joint: skeleton.rest_positions[joint][1])
    match["head"] = _next(skeleton, match["neck"])
    path = skeleton.path_to_root(chest)
    if match["pelvis"] not in path:
        raise ValueError("the skeleton's arms do not meet above its pelvis, where its legs meet")
    spine = path[1 : path.index(match["pelvis"])][::-1]
    return {
        **match,
        "spine1": spine[0] if spine else None,
        "spine2": spine[len(spine) // 2] if len(spine) > 1 else None,
    }


def _find(skeleton: Skeleton, side: str, parts: tuple[str, ...]) -> int:
    wanted = {
        form
        for part in parts
        for form in (side + part, side[0] + part, part + side, part + side[0])
    }
    for joint, name in enumerate(skeleton.names):
        plain = re.sub(r"[^a-z0-9]", "", name.split(":")[-1].lower())
        if re.sub(r"^(bip0*1?|mixamorig)", "", plain) in wanted:
            return joint
    raise ValueError(
        f"the skeleton has no {side} {parts[0]} that can be told by its name; "
        f"its joints are {shorten(', '.join(skeleton.names), 1000)}"
    )


def _above(skeleton: Skeleton, joint: int) -> int:
    """The parent, from which a limb comes."""
    if joint == 0:
        raise ValueError(f"a limb begins at the root, joint {skeleton.names[0]!r}")
    return skeleton.parents[joint]


def _next(skeleton: Skeleton, joint: int) -> int:
    """The child that continues a limb: the one from which the tree goes on, else the first."""
    children = skeleton.children[joint]
    if not children:
        raise ValueError(f"the limb ends at joint {skeleton.names[joint]!r}; SMPL-22 has one more")
    return max(children, key=lambda child: len(skeleton.children[child]))


def _on_smpl22(positions: np.ndarray, joints: dict[str, int | None]) -> np.ndarray:
    """Positions (..., J, 3) of a skeleton as (..., 22, 3) in the order of SMPL-22."""
    low, high = positions[..., joints["pelvis"], :], positions[..., joints["spine3"], :]
    found = []
    for name in SMPL22.names:
        joint = joints[name]
        share = {"spine1": 1 / 3, "spine2": 2 / 3}.get(name, 0)
        found.append(low + share * (high - low) if joint is None else positions[..., joint, :])
    return np.stack(found, axis=-2)


def _carriers(joints: dict[str, int | None]) -> list[int]:
    """For each SMPL-22 joint the source joint that carries its rotation."""
    pelvis = joints["pelvis"]
    assert pelvis is not None
    found = (joints[name] for name in SMPL22.names)
    return [pelvis if joint is None else joint for joint in found]


def _facing_forward(rest: np.ndarray) -> np.ndarray:
    """The rotation that makes the rest pose (22, 3) face +Z."""
    across = rest[SMPL22.index("left_hip")] - rest[SMPL22.index("right_hip")]
    return yaw(np.arctan2(across[2], across[0]))


def _target_skeleton(rest: np.ndarray, positions: np.ndarray) -> Skeleton:
    """SMPL-22 with this body's bone lengths, medians over positions (T, 22, 3).

    Where several bones leave a joint (pelvis, chest) they keep the shape of the body's own rest
    pose (22, 3), since one rotation moves them all.
    """
    parents = np.array(SMPL22.parents)
    directions = SMPL22.offsets.copy()
    for joint, children in enumerate(SMPL22.children):
        if len(children) > 1:
            directions[list(children)] = rest[list(children)] - rest[joint]
    lengths = np.median(np.linalg.norm(positions[:, 1:] - positions[:, parents[1:]], axis=-1), 0)
    directions[1:] *= (lengths / (np.linalg.norm(directions[1:], axis=-1) + 1e-9))[:, None]
    return SMPL22.with_offsets(directions)
