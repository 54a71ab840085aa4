"""glTF 2.0 binary (.glb): every person a skinned mesh on an animated skeleton.

Metres, Y up, right-handed, which is also what glTF uses, so nothing is converted. The scene's
default pose is the first frame; the inverse bind matrices hold the T-pose, in which people stand on
the floor side by side.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageColor

from duomotion.body import PERSON_COLOURS, person_names
from duomotion.body.mesh import BodyMesh, body_mesh
from duomotion.formats.conventions import resting_places
from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import matrix_to_quaternion
from duomotion.storage import atomic_file

_FLOAT, _UBYTE, _USHORT, _UINT = 5126, 5121, 5123, 5125
_VERTEX_BUFFER, _INDEX_BUFFER = 34962, 34963
# Steps that numbers are rounded to: far below what is measured, and files pack to half their size.
_PATH_STEP, _TURN_STEP, _VERTEX_STEP, _NORMAL_STEP = 2.0**-15, 2.0**-16, 2.0**-13, 2.0**-8


def write(interaction: Interaction, path: str | Path) -> None:
    """Write a .glb file.

    Raises:
        ValueError: there are more than eight people.
        OSError: the file can't be written.
    """
    data = encode(interaction)
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def encode(interaction: Interaction) -> bytes:
    """The bytes of a .glb file.

    Nodes are, for each person, an empty parent "Person A" with the joints below it and a "Body A"
    with the mesh. One animation turns all joints and moves the root joints, a key a frame, linear
    in between. The caption and the frame rate are in `asset.extras`.

    Raises:
        ValueError: there are more than eight people.
    """
    builder = Builder()
    times = np.arange(interaction.num_frames, dtype=np.float32) / np.float32(interaction.fps)
    clock = builder.accessor(times, bounds=True)
    document: dict[str, Any] = {
        "asset": {
            "version": "2.0",
            "generator": "duomotion",
            "extras": {"caption": interaction.caption, "fps": interaction.fps},
        },
        "scene": 0,
        "scenes": [{"nodes": []}],
        "nodes": [],
        "meshes": [],
        "skins": [],
        "materials": [],
        "animations": [{"name": "interaction", "samplers": [], "channels": []}],
    }
    places = resting_places(interaction.skeletons)
    for person, name in enumerate(person_names(interaction.num_people)):
        _add_person(document, builder, interaction, person, name, places[person], clock)
    return builder.container(document)


def quaternion_tracks(rotations: np.ndarray) -> np.ndarray:
    """(..., T, J, 3, 3) -> (..., T, J, 4) unit quaternions (x, y, z, w) that never flip their sign.

    From each frame to the next the nearer of q and -q is taken, as linear interpolation needs.
    """
    quaternions = matrix_to_quaternion(rotations)
    turned = (quaternions[..., 1:, :, :] * quaternions[..., :-1, :, :]).sum(-1) < 0
    sign = np.where(np.cumsum(turned, axis=-2) % 2, -1.0, 1.0)
    quaternions[..., 1:, :, :] *= sign[..., None]
    return quaternions


def _add_person(
    document: dict[str, Any],
    builder: "Builder",
    interaction: Interaction,
    person: int,
    name: str,
    place: np.ndarray,
    clock: int,
) -> None:
    skeleton = interaction.skeletons[person]
    mesh = body_mesh(skeleton)
    tracks = _rounded(quaternion_tracks(interaction.rotations[person]), _TURN_STEP)
    path = _rounded(interaction.root_positions[person], _PATH_STEP)
    nodes, animation = document["nodes"], document["animations"][0]
    armature = len(nodes)
    root = armature + 1
    body = root + skeleton.num_joints

    nodes.append({"name": f"Person {name}", "children": [root]})
    offsets = np.concatenate([path[:1], np.asarray(skeleton.offsets, dtype=np.float32)[1:]])
    for joint, joint_name in enumerate(skeleton.names):
        node = {
            "name": joint_name,
            "translation": offsets[joint].tolist(),
            "rotation": _unit(tracks[0, joint]),
        }
        if skeleton.children[joint]:
            node["children"] = [root + child for child in skeleton.children[joint]]
        nodes.append(node)
    nodes.append({"name": f"Body {name}", "mesh": person, "skin": person})
    document["scenes"][0]["nodes"] += [armature, body]

    document["materials"].append(_material(name, PERSON_COLOURS[person]))
    document["meshes"].append(_mesh(builder, mesh, place, f"Body {name}", person))
    bind = np.tile(np.eye(4, dtype=np.float32), (skeleton.num_joints, 1, 1))
    bind[:, 3, :3] = -(mesh.rest + place)
    document["skins"].append(
        {
            "name": f"Person {name}",
            "joints": list(range(root, body)),
            "skeleton": root,
            "inverseBindMatrices": builder.accessor(bind.reshape(-1, 16)),
        }
    )

    def animate(node: int, what: str, values: np.ndarray) -> None:
        animation["channels"].append(
            {"sampler": len(animation["samplers"]), "target": {"node": node, "path": what}}
        )
        animation["samplers"].append(
            {"input": clock, "interpolation": "LINEAR", "output": builder.accessor(values)}
        )

    animate(root, "translation", path)
    for joint in range(skeleton.num_joints):
        animate(root + joint, "rotation", tracks[:, joint])


def _material(name: str, colour: str) -> dict[str, Any]:
    srgb = np.array(ImageColor.getrgb(colour)) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return {
        "name": f"Person {name}",
        "pbrMetallicRoughness": {
            "baseColorFactor": [*linear.round(5).tolist(), 1.0],
            "metallicFactor": 0.0,
            "roughnessFactor": 0.65,
        },
    }


def _mesh(
    builder: "Builder", mesh: BodyMesh, place: np.ndarray, name: str, material: int
) -> dict[str, Any]:
    weights = np.round(mesh.weights * 255).astype(np.int64)
    weights[:, 0] += 255 - weights.sum(-1)
    small = np.uint8 if len(mesh.rest) <= 256 else np.uint16
    joints = np.where(weights > 0, mesh.joints, 0).astype(small)
    target = _VERTEX_BUFFER
    attributes = {
        "POSITION": builder.accessor(
            _rounded(mesh.vertices + place, _VERTEX_STEP), bounds=True, target=target
        ),
        "NORMAL": builder.accessor(_rounded(mesh.normals, _NORMAL_STEP), target=target),
        "JOINTS_0": builder.accessor(joints, target=target),
        "WEIGHTS_0": builder.accessor(weights.astype(np.uint8), normalized=True, target=target),
    }
    wide = np.uint16 if len(mesh.vertices) < 65536 else np.uint32
    indices = mesh.triangles.astype(wide).ravel()
    primitive = {
        "attributes": attributes,
        "indices": builder.accessor(indices, target=_INDEX_BUFFER),
        "material": material,
    }
    return {"name": name, "primitives": [primitive]}


def _rounded(values: np.ndarray, step: float) -> np.ndarray:
    return (np.round(np.asarray(values, dtype=np.float64) / step) * step).astype(np.float32)


def _unit(quaternion: np.ndarray) -> list[float]:
    exact = quaternion.astype(np.float64)
    return (exact / np.linalg.norm(exact)).tolist()


class Builder:
    """Collects arrays into one buffer behind what it holds; an array twice is stored once."""

    def __init__(
        self,
        chunk: bytes = b"",
        views: Sequence[dict[str, Any]] = (),
        accessors: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.chunk = bytearray(chunk + b"\0" * (-len(chunk) % 4))
        self.views, self.accessors = [*views], [*accessors]
        self.known: dict[tuple[bytes, str], int] = {}

    def accessor(
        self,
        array: np.ndarray,
        *,
        bounds: bool = False,
        normalized: bool = False,
        target: int | None = None,
    ) -> int:
        kinds = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
        types = {"float32": _FLOAT, "uint8": _UBYTE, "uint16": _USHORT, "uint32": _UINT}
        entry: dict[str, Any] = {
            "componentType": types[array.dtype.name],
            "count": len(array),
            "type": kinds[array.shape[1] if array.ndim > 1 else 1],
        }
        if bounds:
            entry["min"] = array.min(axis=0, keepdims=array.ndim == 1).tolist()
            entry["max"] = array.max(axis=0, keepdims=array.ndim == 1).tolist()
        if normalized:
            entry["normalized"] = True
        data = array.tobytes()
        key = (data, json.dumps([entry, target]))
        if key not in self.known:
            view = {"buffer": 0, "byteOffset": len(self.chunk), "byteLength": len(data)}
            if target:
                view["target"] = target
            self.views.append(view)
            self.known[key] = len(self.accessors)
            self.accessors.append({"bufferView": len(self.views) - 1, **entry})
            self.chunk += data + b"\0" * (-len(data) % 4)
        return self.known[key]

    def container(self, document: dict[str, Any]) -> bytes:
        document = {
            **document,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.chunk)}],
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + len(self.chunk)
        header = struct.pack("<4sII", b"glTF", 2, total)
        json_header = struct.pack("<I4s", len(text), b"JSON")
        binary_header = struct.pack("<I4s", len(self.chunk), b"BIN\0")
        return b"".join([header, json_header, text, binary_header, bytes(self.chunk)])
