"""Collisions of two SMPL bodies, as ILD measures them while it samples (section 3.2).

The packages smplx, VolumetricSMPL (Mihajlovic et al. 2025) and roma have to be installed, and the
user has to have what SMPL's authors give to those who register:

    SMPL_NEUTRAL.npz                     the body model, its arrays in an .npz file
    VolumetricSMPL_smpl_neutral.ckpt     in the same folder, its volume

Bodies have the model's mean shape; they are posed by rotations, with the pelvis where it is.

Axes: B samples, P the 2 people, T frames, F features, J joints, N frames in which bodies are near,
V vertices.
"""

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from duomotion.motion.layout import MapLayout
from duomotion.official.reading import read_official
from duomotion.reading import read_arrays

PACKAGES = "smplx", "VolumetricSMPL", "roma"
NUM_BODY_JOINTS = 23  # SMPL's, the pelvis aside; the last two are hands
ARRAYS = {  # with the number of their axes
    "v_template": 2,
    "shapedirs": 3,
    "posedirs": 3,
    "J_regressor": 2,
    "kintree_table": 2,
    "weights": 2,
    "f": 2,
}
WEIGHTS = "VolumetricSMPL_smpl_neutral.ckpt"


class SmplVolumes:
    """Depths of the vertices of each body in the volume of the other.

    `depths` gives metres over all vertices, both ways (L_ip, section 3.2, which has one way).
    """

    shallow = 0.2  # ten vertices that are 2 cm deep

    def __init__(self, body: Any, layout: MapLayout) -> None:
        """Take smplx's SMPL with a volume attached."""
        self.body, self.layout = body, layout

    @classmethod
    def load(cls, file: str | Path, layout: MapLayout) -> "SmplVolumes":
        """Read a body model and its volume.

        Raises:
            ValueError: packages or a file are missing, or a file is of another kind.
        """
        smplx, volumetric, _ = (_package(name) for name in PACKAGES)
        path = Path(file)
        arrays = read_body(path)
        body = smplx.SMPL(
            model_path="", data_struct=SimpleNamespace(**arrays), gender="neutral", batch_size=1
        )
        volumetric.attach_volume(body, pretrained=False)
        weights = _weights(path.parent / WEIGHTS)
        try:
            body.volume.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{path.parent / WEIGHTS} does not fit {path}: {error}") from error
        return cls(body.requires_grad_(False).eval(), layout)

    def depths(self, features_BPTF: Tensor) -> Tensor:
        frames = features_BPTF.shape[2]
        self.body.to(features_BPTF)
        with torch.no_grad():
            vertices_BPTV3 = self._posed(features_BPTF).vertices.unflatten(
                0, features_BPTF.shape[:3]
            )
            low, high = vertices_BPTV3.amin(3), vertices_BPTV3.amax(3)
            near_BT = ((low[:, 0] < high[:, 1]) & (low[:, 1] < high[:, 0])).all(-1)
        sample_N, frame_N = near_BT.nonzero(as_tuple=True)
        total_B = 0 * features_BPTF.flatten(1).sum(1)  # with gradients where nobody is near, too
        if not len(sample_N):
            return total_B
        one, other = (self._posed(features_BPTF[sample_N, person, frame_N]) for person in (0, 1))
        query = self.body.volume.query
        inside_N2V = torch.stack(
            [query(points.vertices, body) for points, body in ((one, other), (other, one))], 1
        )
        depth_N = (-inside_N2V).relu().sum((1, 2))
        return total_B.index_add(0, sample_N, depth_N / frames)

    def _posed(self, features: Tensor) -> Any:
        """The body in each frame (..., F), one after the other."""
        roma = _package("roma")
        rotations_NJ33 = self.layout.rotations(features).flatten(0, -4)
        pelvis_N3 = self.layout.positions(features)[..., 0, :].flatten(0, -2)
        turns_NJ3 = roma.rotmat_to_rotvec(rotations_NJ33)
        hands = turns_NJ3.new_zeros(len(turns_NJ3), 1 + NUM_BODY_JOINTS - turns_NJ3.shape[1], 3)
        start_3 = self.body.J_regressor[0] @ self.body.v_template
        return self.body(
            global_orient=turns_NJ3[:, 0],
            body_pose=torch.cat([turns_NJ3[:, 1:], hands], 1).flatten(1),
            transl=pelvis_N3 - start_3,
            return_full_pose=True,
        )


def read_body(path: Path) -> dict[str, np.ndarray]:
    """The arrays of SMPL's body model.

    Raises:
        ValueError: there is no such file, or it is of another kind.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such body model; SMPL_NEUTRAL.npz is expected")
    arrays = read_arrays(path, ARRAYS, what="SMPL's body model as an .npz file")
    joints = 1 + NUM_BODY_JOINTS
    if set(arrays) != set(ARRAYS) or any(arrays[k].ndim != n for k, n in ARRAYS.items()):
        raise ValueError(f"{path} does not have the arrays of SMPL: {', '.join(ARRAYS)}")
    vertices = len(arrays["v_template"])
    if arrays["weights"].shape != (vertices, joints) or arrays["J_regressor"].shape != (
        joints,
        vertices,
    ):
        raise ValueError(
            f"{path} is a model of another kind, not SMPL with its {joints} joints: its weights "
            f"are {arrays['weights'].shape}"
        )
    return arrays


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"a body model needs the packages {', '.join(PACKAGES)}; {name} can't be imported: "
            f"{error}"
        ) from error


def _weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path} is missing; it holds the volume that goes with the body model")
    content = read_official(path)
    if "state_dict" not in content:
        raise ValueError(f"{path} holds no state_dict, as a volume's weights do")
    return content["state_dict"]
