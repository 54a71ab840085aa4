"""SMPL pose files as AMASS has them (Mahmood et al. 2019), one .npz a person.

poses               (T, 156) axis-angle, radians: root orientation, 21 body joints, 30 hand joints
trans               (T, 3) metres
betas               (16,) body shape; zeros are the mean body
gender              "neutral"
mocap_framerate     frames a second
surface_model_type  "smplh"
offsets, caption    ours: the person's rest pose (22, 3), which `betas` can't hold without the body
                    model, and what happens; other programs pass them over

AMASS's world has Z up: our (x, y, z) is its (x, -z, y), so who faces our +Z faces its -Y. The body
itself stays as the model has it, Y up, hence a person who stands in T-pose has the root orientation
(pi / 2, 0, 0). SMPL turns the body about its pelvis and then moves it by `trans`, and the pelvis of
the rest pose is not at the origin: it is in the world at `trans` plus its place in the rest pose.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from duomotion.body import person_names
from duomotion.formats import limits
from duomotion.motion.interaction import Interaction, together
from duomotion.motion.retarget import in_rest_of, to_smpl22
from duomotion.motion.skeleton import SMPL22, SMPLX_PELVIS
from duomotion.reading import array_names, read_arrays
from duomotion.storage import atomic_file

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
NUM_JOINTS = 52  # of SMPL-H
NUM_BETAS = 16

# Pelvis of the mean body in the rest pose, metres, of SMPL and SMPL-H. No
# body model is at hand here; these are the numbers that programs which use the models publish.
PELVIS = {
    "neutral": np.array([-0.0018, -0.2233, 0.0282]),
    "male": np.array([-0.0022, -0.2408, 0.0286]),
    "female": np.array([-0.0009, -0.2114, 0.0278]),
}

KINDS = {
    "poses": "f",
    "trans": "f",
    "offsets": "f",
    "mocap_framerate": "iuf",
    "mocap_frame_rate": "iuf",
}
TEXTS = ("gender", "surface_model_type", "caption")


def write(interaction: Interaction, path: str | Path) -> list[Path]:
    """Write one person to `path`, several to NAME_A, NAME_B and so on, as in clip_A.smpl.npz.

    Other skeletons are mapped onto SMPL-22 first. Hands are flat and the shape is the mean body's,
    so a program with the body model shows the poses and the pelvis's path on a body of mean size.

    Returns:
        The paths written.

    Raises:
        ValueError: the skeleton can't be mapped onto SMPL-22, or there are more than eight people.
        OSError: a file can't be written.
    """
    path = Path(path)
    letters = person_names(interaction.num_people)
    posed = in_rest_of(SMPL22, to_smpl22(interaction))
    names = [path.name]
    if posed.num_people > 1:
        stem = path.name.removesuffix(".npz").removesuffix(".smpl")
        ending = path.name.removeprefix(stem)
        names = [f"{stem}_{letter}{ending}" for letter in letters]
    paths = [path.with_name(name) for name in names]
    for person, target in enumerate(paths):
        _write_person(posed.person(person), target)
    return paths


def read(path: str | Path, second: str | Path | None = None) -> Interaction:
    """Read a person, and the partner from another file.

    Poses of SMPL, SMPL-H and SMPL-X are read, hands and faces left out. Bone lengths are those that
    `write` noted, else those of the mean body: a shape in `betas` is not taken over, for that takes
    the body model.

    Raises:
        ValueError: a file is no such file or is damaged, or the two don't have the same length.
        OSError: a file can't be read.
    """
    return together([_read_person(Path(file)) for file in (path, second) if file is not None])


def is_smpl(path: str | Path) -> bool:
    """Whether an .npz file holds SMPL poses; False for what is no .npz file at all.

    Raises:
        OSError: the file can't be read.
    """
    try:
        return {"poses", "trans"} <= array_names(path)
    except ValueError:
        return False


def _write_person(person: Interaction, path: Path) -> None:
    local = person.rotations[0].astype(np.float64)
    local[:, 0] = Z_UP @ local[:, 0]
    poses = np.zeros((person.num_frames, NUM_JOINTS, 3))
    poses[:, : SMPL22.num_joints] = (
        Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(*local.shape[:2], 3)
    )
    roots = person.root_positions[0].astype(np.float64) @ Z_UP.T
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            poses=poses.reshape(len(poses), -1),
            trans=roots - PELVIS["neutral"],
            betas=np.zeros(NUM_BETAS),
            gender=np.array("neutral"),
            mocap_framerate=np.float64(person.fps),
            surface_model_type=np.array("smplh"),
            offsets=person.skeletons[0].offsets,
            caption=np.array(person.caption),
        )


def _read_person(path: Path) -> Interaction:
    arrays = read_arrays(path, (*KINDS, *TEXTS), what="an SMPL .npz file")
    fps = arrays.pop("mocap_frame_rate", None)  # the name in AMASS's SMPL-X files
    if fps is not None:
        arrays.setdefault("mocap_framerate", fps)
    if missing := [name for name in ("poses", "trans", "mocap_framerate") if name not in arrays]:
        raise ValueError(
            f"{path} can't be read as an SMPL .npz file: no array named {', '.join(missing)}"
        )
    for name, array in arrays.items():
        if array.dtype.kind not in KINDS.get(name, array.dtype.kind):
            raise ValueError(f"{path}: {name} has the wrong type, {array.dtype}")
        if array.dtype.kind == "f":
            limits.check_numbers(path, name, array)
    poses, trans = arrays["poses"], arrays["trans"]
    frames, body = len(np.atleast_1d(poses)), 3 * SMPL22.num_joints
    if poses.ndim != 2 or poses.shape[1] < body or poses.shape[1] % 3 or not frames:
        raise ValueError(
            f"{path}: poses has shape {poses.shape}; it must be (frames, 3 x joints), "
            f"{SMPL22.num_joints} joints or more"
        )
    offsets = arrays.get("offsets", SMPL22.offsets)
    shapes = {"trans": (frames, 3), "offsets": SMPL22.offsets.shape, "mocap_framerate": ()}
    for name, expected in shapes.items():
        if name in arrays and arrays[name].shape != expected:
            raise ValueError(f"{path}: {name} has shape {arrays[name].shape}, not {expected}")
    fps = limits.check_fps(path, "mocap_framerate", float(arrays["mocap_framerate"]))
    limits.check_rotations(path, frames, SMPL22.num_joints)
    vectors = poses[:, :body].astype(np.float64).reshape(-1, 3)
    local = Rotation.from_rotvec(vectors).as_matrix().reshape(frames, -1, 3, 3)
    local[:, 0] = Z_UP.T @ local[:, 0]
    texts = {
        name: "".join(limits.texts(path, name, arrays[name], limits.LONGEST_CAPTION)[:1])
        for name in TEXTS
        if name in arrays
    }
    roots = (trans + _pelvis(texts)) @ Z_UP
    caption = texts.get("caption", "")
    return Interaction(roots[None], local[None], (SMPL22.with_offsets(offsets),), fps, caption)


def _pelvis(texts: dict[str, str]) -> np.ndarray:
    if texts.get("surface_model_type", "").startswith("smplx"):
        return SMPLX_PELVIS
    return PELVIS.get(texts.get("gender", ""), PELVIS["neutral"])
