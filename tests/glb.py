"""Reads .glb files for the tests with pygltflib, knowing nothing of how duomotion writes them."""

import numpy as np
from pygltflib import GLTF2
from scipy.spatial.transform import Rotation

_TYPES = {5126: np.float32, 5121: np.uint8, 5123: np.uint16}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    def __init__(self, data: bytes) -> None:
        self.gltf = GLTF2.load_from_bytes(data)

    def array(self, index: int) -> np.ndarray:
        accessor = self.gltf.accessors[index]
        view = self.gltf.bufferViews[accessor.bufferView]
        width = _WIDTHS[accessor.type]
        values = np.frombuffer(
            self.gltf.binary_blob(),
            _TYPES[accessor.componentType],
            accessor.count * width,
            view.byteOffset + (accessor.byteOffset or 0),
        )
        return values if width == 1 else values.reshape(-1, width)

    def tracks(self, path: str) -> dict[int, np.ndarray]:
        """Values (T, 3 or 4) by node."""
        (animation,) = self.gltf.animations
        return {
            channel.target.node: self.array(animation.samplers[channel.sampler].output)
            for channel in animation.channels
            if channel.target.path == path
        }

    @property
    def times(self) -> np.ndarray:
        (animation,) = self.gltf.animations
        (clock,) = {sampler.input for sampler in animation.samplers}
        return self.array(clock)

    def world(self, frame: int) -> np.ndarray:
        """World matrices (N, 4, 4) of all nodes at a key."""
        moves, turns = self.tracks("translation"), self.tracks("rotation")
        matrices = np.zeros((len(self.gltf.nodes), 4, 4))

        def visit(index: int, parent: np.ndarray) -> None:
            node = self.gltf.nodes[index]
            local = np.eye(4)
            turn = turns[index][frame] if index in turns else node.rotation or [0, 0, 0, 1]
            move = moves[index][frame] if index in moves else node.translation or [0, 0, 0]
            local[:3, :3], local[:3, 3] = Rotation.from_quat(turn).as_matrix(), move
            matrices[index] = parent @ local
            for child in node.children or []:
                visit(child, matrices[index])

        for root in self.gltf.scenes[self.gltf.scene].nodes:
            visit(root, np.eye(4))
        return matrices

    def joint_matrices(self, frame: int) -> np.ndarray:
        """(P, J, 4, 4): what each skin moves its vertices by at a key."""
        world = self.world(frame)
        return np.stack(
            [
                world[skin.joints]
                @ self.array(skin.inverseBindMatrices).reshape(-1, 4, 4).swapaxes(-1, -2)
                for skin in self.gltf.skins
            ]
        )

    def joints(self, frame: int) -> np.ndarray:
        """World positions (P, J, 3): the rest pose's joints moved by the skins."""
        rest = [
            np.linalg.inv(self.array(skin.inverseBindMatrices).reshape(-1, 4, 4).swapaxes(-1, -2))
            for skin in self.gltf.skins
        ]
        return (self.joint_matrices(frame) @ np.stack(rest))[..., :3, 3]
