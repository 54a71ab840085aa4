"""glTF 2.0 binary (.glb) of any program: the joints of its skins, moved by its animations.

Every skin, or several skins that share joints, is a person. The rest pose is the one that the
skin is bound in; without skins it is the pose in which the nodes are stored, and the animated nodes
are the joints. Each node follows the first animation that moves it, so of a file with several
actions of one person the first is read.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from duomotion.formats import limits
from duomotion.formats.conventions import check_scale, find_unit, in_known_order, turned_up
from duomotion.formats.gltf_container import Container
from duomotion.formats.gltf_scene import Scene
from duomotion.motion.canonical import scaled
from duomotion.motion.interaction import Interaction, together
from duomotion.motion.kinematics import local_rotations
from duomotion.motion.retarget import match_joints
from duomotion.motion.rotations import nearest_rotation
from duomotion.motion.skeleton import Skeleton

STRETCH = 0.01  # of its longest bone by which a body may stretch


def read(
    paths: str | Path | Sequence[str | Path], *, scale: float | None = None, up: str = "auto"
) -> Interaction:
    """Read the people of one file, or of several that share frame count and world.

    Args:
        paths: one path or several.
        scale: metres per unit of the file. glTF's unit is the metre, but not all programs keep to
            that; by default the unit in which the bodies have the height of people.
        up: "y" as in glTF, "z", or "auto": as the bodies stand.

    Raises:
        ValueError: the file is no .glb, is damaged or too large, holds no joints, or bones that
            change their length.
        OSError: a file can't be read.
    """
    if scale is not None:
        check_scale(scale)
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    names = " and ".join(map(str, paths))
    people = [person for path in paths for person in _people(Container(Path(path)))]
    limits.check_people(names, len(people))
    unit = scale or find_unit(names, [person.skeletons[0] for person in people])
    try:
        both = together(turned_up(names, [scaled(person, unit) for person in people], up))
    except ValueError as problem:
        raise ValueError(f"{names}: {problem}") from None
    limits.check_numbers(names, "the motion", both.positions)
    return in_known_order(both)


def first_body(scene: Scene) -> tuple[list[int], np.ndarray, Interaction]:
    """The first person's nodes, their rest rotations (J, 3, 3), and the person as stated."""
    bound = _bound(scene)
    body = _from_pelvis(scene, _bodies(scene)[0], bound)
    return body, nearest_rotation(_rest(scene, body, bound)[:, :3, :3]), _person(scene, body, bound)


def _people(file: Container) -> list[Interaction]:
    scene = Scene(file)
    bound = _bound(scene)
    return [_person(scene, _from_pelvis(scene, body, bound), bound) for body in _bodies(scene)]


def _bodies(scene: Scene) -> list[list[int]]:
    """The joints of each person, depth first."""
    groups: list[set[int]] = []
    for skin in scene.file.items("skins"):
        joints = set(scene.file.indices(skin, "joints", scene.nodes))
        for other in [group for group in groups if group & joints]:
            groups.remove(other)
            joints |= other
        groups += [joints] if joints else []
        limits.check_people(scene.path, len(groups))
    groups = groups or _animated(scene)
    if not groups:
        raise ValueError(f"{scene.path}: no skin and no animated node, so there is no body")
    limits.check_people(scene.path, len(groups))
    limits.check_joints(scene.path, max(map(len, groups)))
    limits.check_rotations(scene.path, scene.frames, sum(map(len, groups)))
    return [_below_one_root(scene, group) for group in groups]


def _animated(scene: Scene) -> list[set[int]]:
    """Nodes that animations move with all that hangs on them, by the uppermost one."""
    moved = {node for node, _ in scene.tracks}
    tops: dict[int, int] = {}
    groups: dict[int, set[int]] = {}
    for node in scene.order:
        top = tops.get(scene.parents[node], node if node in moved else -1)
        if top >= 0:
            tops[node] = top
            groups.setdefault(top, set()).add(node)
    return list(groups.values())


def _below_one_root(scene: Scene, group: set[int]) -> list[int]:
    """The joints depth first; those that hang on no common joint have the node that joins them."""
    hanging = dict.fromkeys((-1, *scene.order), 0)  # how many of the group are below each node
    for node in reversed(scene.order):
        hanging[node] += node in group
        hanging[scene.parents[node]] += hanging[node]
    shared = [node for node in scene.order if hanging[node] == len(group)]
    if not shared:
        raise ValueError(f"{scene.path}: the joints of a skin do not hang on one node")
    return [node for node in scene.order if node in group | {shared[-1]}]


def _bound(scene: Scene) -> dict[int, np.ndarray]:
    """(4, 4) of joints in the space of their skin, when it was bound."""
    found: dict[int, np.ndarray] = {}
    for skin in scene.file.items("skins"):
        joints = scene.file.indices(skin, "joints", scene.nodes)
        if "inverseBindMatrices" not in skin:
            continue
        inverse = scene.file.array(skin, "inverseBindMatrices", "MAT4").reshape(-1, 4, 4).mT
        if len(inverse) < len(joints):
            raise ValueError(f"{scene.path}: a skin has fewer inverse bind matrices than joints")
        found.update(zip(joints, _inverted(scene, inverse), strict=False))
    return found


def _inverted(scene: Scene, matrices: np.ndarray) -> np.ndarray:
    """(..., 4, 4); raises ValueError where a matrix has no inverse."""
    with np.errstate(all="ignore"):
        try:
            inverse = np.linalg.inv(matrices)
        except np.linalg.LinAlgError:
            inverse = np.array(np.nan)
    if not np.isfinite(inverse).all():
        raise ValueError(f"{scene.path}: a joint's matrix can't be inverted")
    return inverse


def _parents(scene: Scene, body: list[int]) -> tuple[int, ...]:
    """The joint on which each joint of a body hangs, -1 for the first."""
    place = {node: joint for joint, node in enumerate(body)}
    nearest = {-1: -1}  # the joint that each node is or hangs on
    parents = []
    for node in scene.order:
        above = nearest[scene.parents[node]]
        nearest[node] = place.get(node, above)
        parents += [above] if node in place else []
    return tuple(parents)


def _rest(scene: Scene, body: list[int], bound: dict[int, np.ndarray]) -> np.ndarray:
    """(J, 4, 4) of joints in the rest pose; what no skin binds is where the file stores it."""
    stored = scene.world(set(body), is_moving=False)
    known = next((node for node in body if node in bound), None)
    to_bound = np.eye(4) if known is None else bound[known] @ _inverted(scene, stored[known][0])
    return np.stack([bound[n] if n in bound else to_bound @ stored[n][0] for n in body])


def _from_pelvis(scene: Scene, body: list[int], bound: dict[int, np.ndarray]) -> list[int]:
    """The joints without those above the pelvis or beside it, such as game engines have."""
    parents = _parents(scene, body)
    places = _rest(scene, body, bound)[:, :3, 3]
    offsets = np.concatenate([places[:1], places[1:] - places[list(parents[1:])]])
    skeleton = Skeleton(_names(scene, body), parents, offsets)
    try:
        pelvis = match_joints(skeleton)["pelvis"]
    except ValueError:
        return body
    return [node for j, node in enumerate(body) if pelvis in skeleton.path_to_root(j)]


def _person(scene: Scene, body: list[int], bound: dict[int, np.ndarray]) -> Interaction:
    parents, above = _parents(scene, body), list(_parents(scene, body)[1:])
    posed, shape = scene.world(set(body)), (scene.frames, 4, 4)
    world = np.stack([np.broadcast_to(posed[node], shape) for node in body], axis=1)
    turns, places = nearest_rotation(world[..., :3, :3]), world[..., :3, 3]
    rest = nearest_rotation(_rest(scene, body, bound)[:, :3, :3])
    steps = places[:, 1:] - places[:, above]
    seen = (turns[:, above].mT @ steps[..., None])[..., 0]
    _check_rigid(scene, body, seen)
    offsets = np.zeros((len(body), 3))
    offsets[1:] = (rest[above] @ np.median(seen, axis=0)[..., None])[..., 0]
    limits.check_numbers(scene.path, "the rest pose", offsets)
    limits.check_numbers(scene.path, "the path of the root", places[:, 0])
    skeleton = Skeleton(_names(scene, body), parents, offsets)
    rotations = local_rotations(turns @ rest.mT, skeleton)
    return Interaction(places[None, :, 0], rotations[None], (skeleton,), scene.fps, scene.caption)


def _check_rigid(scene: Scene, body: list[int], seen: np.ndarray) -> None:
    """Raises ValueError when joints (T, J - 1, 3) leave their places in their parents' frames."""
    moved = np.ptp(seen, axis=0).max(-1)
    size = np.linalg.norm(seen, axis=-1).max(initial=0)
    for joint in np.flatnonzero(moved > STRETCH * size)[:1]:
        raise ValueError(
            f"{scene.path}: joint {_names(scene, body)[joint + 1]!r} moves in its parent's frame; "
            "bake the animation to rotations first"
        )


def _names(scene: Scene, body: list[int]) -> tuple[str, ...]:
    names = [scene.nodes[node].get("name") for node in body]
    names = [
        name if isinstance(name, str) and name else f"joint{n}" for n, name in enumerate(names)
    ]
    if len(set(names)) < len(names):
        names = [f"{name} {n}" for n, name in enumerate(names)]
    limits.check_names(scene.path, tuple(names))
    return tuple(names)
