"""HumanML3D's joints from AMASS's SMPL+H files (Mahmood et al. 2019), as its authors take them.

ROOT/index.csv             of HumanML3D's repository: source_path, start_frame, end_frame, new_name
ROOT/HumanML3D/            texts/ (texts.zip, unpacked) and {train,val,test}.txt
ROOT/pose_data/humanact12/ joints of the clips that are not from AMASS (humanact12.zip, unpacked)
AMASS/KIT/3/x_poses.npz    "SMPL+H G"; stands for the source_path ./pose_data/KIT/3/x_poses.npy
MODELS/male/model.npz      SMPL-H of the model's authors (also SMPLH_MALE.npz), and of female; they
                           say where joints rest in a body of given shape

A clip is every int(fps / 20)-th frame of a recording, whatever frame rate that gives, without the
first seconds of data sets that begin in a pose for calibration, and of these the frames from start
to end. Whoever is not male has the female body. The released code also turns everybody by half a
turn about the vertical, which no feature shows.
"""

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from duomotion.data import humanml3d
from duomotion.data.humanml3d import read_joints
from duomotion.data.interhuman import Problem
from duomotion.formats import smpl
from duomotion.motion.humanml3d import HUMANML3D
from duomotion.motion.skeleton import SMPL22
from duomotion.names import check_name
from duomotion.reading import open_text, read_arrays

COLUMNS = ("source_path", "start_frame", "end_frame", "new_name")
SOURCES = "pose_data"  # the folder in which every source_path is
HUMANACT12 = "humanact12"
CALIBRATION = {  # seconds at the start of the recordings of a data set
    "Eyes_Japan_Dataset": 3.0,
    "MPI_HDM05": 3.0,
    "TotalCapture": 1.0,
    "MPI_Limits": 1.0,
    "Transitions_mocap": 0.5,
}
NUM_BETAS = 10  # of a body's shape; those behind are passed over
LARGEST_INDEX = 10_000_000  # bytes


@dataclass(frozen=True)
class Entry:
    """A clip of the index.

    Attributes:
        source: parts of the path behind pose_data.
        start, end: frames at 20 a second, calibration left out; those of HumanAct12 are whole.
    """

    source: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True)
class BodyModel:
    """Where the joints of an SMPL-H body rest.

    Attributes:
        mean_J3: those of the mean shape, metres.
        shapes_J3S: how they move with each number of a shape.
    """

    mean_J3: np.ndarray
    shapes_J3S: np.ndarray

    def offsets(self, betas: np.ndarray) -> np.ndarray:
        """(22, 3) metres from each joint's parent to the joint, 0 for the root."""
        used = betas[: self.shapes_J3S.shape[-1]]
        joints_J3 = self.mean_J3 + self.shapes_J3S[..., : len(used)] @ used
        offsets = joints_J3.copy()
        offsets[1:] -= joints_J3[list(SMPL22.parents[1:])]
        offsets[0] = 0
        return offsets


class AmassJoints:
    """The joints that the index tells, `humanml3d.Joints`.

    Args:
        root: of HumanML3D's repository.
        amass: AMASS's data sets, by the names that the index has for them.
        models: SMPL-H body models. None: all have the bones of an average adult, so that neither
            bones nor ways are those of the published data set.

    Raises:
        ValueError: the index or a body model is not what it should be.
        OSError: one can't be read.
    """

    def __init__(self, root: Path, amass: Path, models: Path | None) -> None:
        self.root, self.amass = root, amass
        self.entries = read_index(root / "index.csv")
        self.bodies: Mapping[str, BodyModel] | None = None
        if models is not None:
            self.bodies = {gender: read_body(models, gender) for gender in ("male", "female")}

    @property
    def names(self) -> Collection[str]:
        return self.entries.keys()

    def read(self, name: str) -> np.ndarray:
        if name not in self.entries:
            raise ValueError("it is not in index.csv")
        entry = self.entries[name]
        if entry.source[0] == HUMANACT12:
            label = "/".join((SOURCES, *entry.source))
            return read_joints(self.root / label, label, HUMANML3D)
        label = str(PurePosixPath(*entry.source).with_suffix(".npz"))
        path = self.amass / label
        try:
            recording = smpl.read(path)
            skeleton = recording.skeletons[0]
            if self.bodies is not None:
                gender, betas = _read_shape(path)
                body = self.bodies["male" if gender == "male" else "female"]
                skeleton = skeleton.with_offsets(body.offsets(betas))
        except OSError as error:
            raise ValueError(f"{label} can't be read: {error.strerror or error}") from None
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), label)) from None
        every = int(recording.fps / HUMANML3D.fps)
        if not every:
            raise ValueError(f"{label} has {recording.fps:g} frames a second, fewer than 20")
        skipped = int(CALIBRATION.get(entry.source[0], 0) * HUMANML3D.fps)
        frames = slice((skipped + entry.start) * every, (skipped + entry.end) * every, every)
        stretch = replace(
            recording,
            root_positions=recording.root_positions[:, frames],
            rotations=recording.rotations[:, frames],
            skeletons=(skeleton,),
        )
        return stretch.positions[0].astype(np.float64)


def prepare(
    source: str | Path, target: str | Path, amass: str | Path, models: str | Path | None
) -> list[Problem]:
    """Make HumanML3D from AMASS; returns what had to be left out.

    Args:
        source: HumanML3D's repository, as above; texts and splits may also be in it directly.
        target: the folder to be written.
        amass, models: see `AmassJoints`.

    Raises:
        ValueError: something of this is not there or not what it should be, or no clip can be used.
        OSError: a file can't be read, or the target can't be written.
    """
    root = Path(source)
    lists = root / "HumanML3D" if (root / "HumanML3D").is_dir() else root
    if not (lists / "texts").is_dir():
        raise ValueError(f"{lists} has no folder texts; unpack texts.zip of HumanML3D there")
    joints = AmassJoints(root, Path(amass), None if models is None else Path(models))
    return humanml3d.prepare(lists, target, HUMANML3D, joints)


def read_index(path: Path) -> dict[str, Entry]:
    """The clips of an index by name.

    Raises:
        ValueError: it is no such index; the sentence names the line.
        OSError: it can't be read.
    """
    if not path.is_file():
        raise ValueError(f"{path.parent} has no index.csv; is it HumanML3D's repository?")
    with open_text(path, limit=LARGEST_INDEX) as file:
        rows = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
            raise ValueError(f"{path} has no column {', '.join(missing)}")
        return dict(_entry(row, f"{path}, line {rows.line_num}") for row in rows)


def _entry(row: Mapping[str, str | None], where: str) -> tuple[str, Entry]:
    source, start, end, name = (row[column] or "" for column in COLUMNS)
    parts = PurePosixPath(source).parts
    if len(parts) < 3 or parts[0] != SOURCES:
        raise ValueError(f"{where}: {source!r} where ./{SOURCES}/FOLDER/FILE.npy is expected")
    stem = name.removesuffix(".npy")
    for part in (*parts, stem):
        check_name(part, where)
    try:
        first, last = int(start), int(end)
    except ValueError:
        raise ValueError(f"{where}: {start!r} and {end!r} where frames are expected") from None
    if parts[1] != HUMANACT12 and not 0 <= first < last:
        raise ValueError(f"{where}: it begins at frame {first} and ends at frame {last}")
    return stem, Entry(parts[1:], first, last)


def read_body(models: Path, gender: str) -> BodyModel:
    """The body model of a gender.

    Raises:
        ValueError: it is not there, or no SMPL-H model.
        OSError: it can't be read.
    """
    places = (models / gender / "model.npz", models / f"SMPLH_{gender.upper()}.npz")
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise ValueError(f"{models} has neither {gender}/model.npz nor SMPLH_{gender.upper()}.npz")
    names = ("J_regressor", "v_template", "shapedirs")
    arrays = read_arrays(path, names, what="an SMPL-H model in .npz format")
    regressor_JV, template_V3, shapes_V3S = (arrays.get(name, np.zeros(0)) for name in names)
    joints, vertices = SMPL22.num_joints, template_V3.size // 3
    shapes = (regressor_JV.shape[1:], template_V3.shape, shapes_V3S.shape[:2])
    if (
        shapes != ((vertices,), (vertices, 3), (vertices, 3))
        or len(regressor_JV) < joints
        or shapes_V3S.ndim != 3
        or not all(map(_is_finite, arrays.values()))
    ):
        found = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
        raise ValueError(
            f"{path} is no SMPL-H model: it has {found or 'nothing'}, not finite numbers in "
            f"J_regressor ({joints} or more, V), v_template (V, 3) and shapedirs (V, 3, shapes)"
        )
    regressor_JV = regressor_JV[:joints].astype(np.float64)
    shapes_J3S = np.einsum("jv,vcs->jcs", regressor_JV, shapes_V3S[..., :NUM_BETAS], optimize=True)
    return BodyModel(regressor_JV @ template_V3, shapes_J3S)


def _read_shape(path: Path) -> tuple[str, np.ndarray]:
    """Gender and shape of the body of a recording."""
    arrays = read_arrays(path, ("gender", "betas"), what="an SMPL .npz file")
    gender, betas = (arrays.get(name, np.zeros(0)) for name in ("gender", "betas"))
    if gender.size != 1 or gender.dtype.kind not in "US":
        raise ValueError(f"{path} has gender of {gender.dtype} {gender.shape}, not one word")
    if betas.ndim != 1 or not _is_finite(betas):
        raise ValueError(f"{path} has betas of {betas.dtype} {betas.shape}, not finite numbers")
    return str(gender.astype(str).item()), betas.astype(np.float64)


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" and bool(np.isfinite(array).all())
