"""A .glb rig, with its own mesh and all, moved by a motion on its skeleton."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from duomotion.body import person_names
from duomotion.formats import gltf, gltf_reading
from duomotion.formats.conventions import turned_up
from duomotion.formats.gltf_container import Container
from duomotion.formats.gltf_scene import Scene
from duomotion.motion.canonical import scaled
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import global_rotations
from duomotion.motion.rotations import align_vectors, nearest_rotation
from duomotion.storage import atomic_file


def write(interaction: Interaction, rig: str | Path, path: str | Path) -> list[Path]:
    """Write a copy of the rig that moves: one person to `path`, several to NAME_A.glb and so on.

    Args:
        interaction: on the skeleton of the rig as it is read, see `duomotion.motion.rig`.
        rig: the .glb file of the rig; its first person is taken, its own animations are not.
        path: where to write.

    Returns:
        The paths written.

    Raises:
        ValueError: the rig can't be read, or there are more than eight people.
        OSError: a file can't be read or written.
    """
    path = Path(path)
    letters = person_names(interaction.num_people)
    paths = [path] if len(letters) == 1 else [path.with_stem(f"{path.stem}_{x}") for x in letters]
    for person, target in enumerate(paths):
        data = _moved(interaction.person(person), Path(rig))
        with atomic_file(target) as temporary:
            temporary.write_bytes(data)
    return paths


def _moved(person: Interaction, rig: Path) -> bytes:
    file = Container(rig)
    scene = Scene(file)
    body, rest, stated = gltf_reading.first_body(scene)
    turns, roots = _in_file(rig, person, stated)
    turns = turns @ rest
    stored = scene.world(set(body), is_moving=False)
    rotations = {node: nearest_rotation(matrix[:, :3, :3]) for node, matrix in stored.items()}
    builder = gltf.Builder(file.binary, file.items("bufferViews"), file.items("accessors"))
    times = np.arange(person.num_frames, dtype=np.float32) / np.float32(person.fps)
    clock = builder.accessor(times, bounds=True)
    animation: dict[str, Any] = {"name": "interaction", "samplers": [], "channels": []}
    place = {node: joint for joint, node in enumerate(body)}
    for node in scene.order:
        if node not in stored:
            continue
        parent = scene.parents[node]
        above = rotations[parent] if parent >= 0 else np.eye(3)
        if node not in place:
            own = nearest_rotation(scene.local(node, is_moving=False)[:, :3, :3])
            rotations[node] = above @ own
            continue
        _as_parts(scene.nodes[node], scene.local(node, is_moving=False)[0])
        rotations[node] = turns[:, place[node]]
        local = np.swapaxes(above, -1, -2) @ rotations[node]
        tracks = {"rotation": gltf.quaternion_tracks(local[:, None])[:, 0]}
        if node == body[0]:
            outside = np.linalg.inv(stored[parent][0]) if parent >= 0 else np.eye(4)
            tracks["translation"] = roots @ outside[:3, :3].T + outside[:3, 3]
        for way, values in tracks.items():
            target = {"node": node, "path": way}
            animation["channels"].append({"sampler": len(animation["samplers"]), "target": target})
            output = builder.accessor(values.astype(np.float32))
            sampler = {"input": clock, "interpolation": "LINEAR", "output": output}
            animation["samplers"].append(sampler)
    return builder.container({**file.document, "animations": [animation]})


def _in_file(rig: Path, person: Interaction, stated: Interaction) -> tuple[np.ndarray, np.ndarray]:
    """World rotations (T, J, 3, 3) and the root's way (T, 3) in the units and axes of the file.

    Args:
        person: on the rig's skeleton in metres with Y up, its joints in any order.
        stated: the rig as the file states it.
    """
    raw, own = stated.skeletons[0], person.skeletons[0]
    order = [own.index(name) for name in raw.names]
    turn_rest = align_vectors(raw.offsets, own.offsets[order])
    unit = float(np.linalg.norm(own.offsets) / np.linalg.norm(raw.offsets))
    (read,) = turned_up(rig, [scaled(stated, unit)], "auto")
    turn_world = read.rotations[0, 0, 0] @ turn_rest @ stated.rotations[0, 0, 0].T
    world = global_rotations(person.rotations[0].astype(np.float64), person.skeletons[0])
    turns = turn_world.T @ world[:, order] @ turn_rest
    return turns, person.root_positions[0].astype(np.float64) @ turn_world / unit


def _as_parts(node: dict[str, Any], local: np.ndarray) -> None:
    """What can be animated, in place of a matrix (4, 4)."""
    if node.pop("matrix", None) is not None:
        size = np.linalg.norm(local[:3, :3], axis=0)
        node["translation"], node["scale"] = local[:3, 3].tolist(), size.tolist()
        node["rotation"] = Rotation.from_matrix(nearest_rotation(local[:3, :3])).as_quat().tolist()
