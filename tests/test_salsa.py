import tarfile
from dataclasses import replace

import numpy as np
import pytest
from motions import waving
from recordings import SALSA, needs_salsa
from scipy.spatial.transform import Rotation

from duomotion.data import open_pairs, salsa
from duomotion.data.interhuman import Problem, check
from duomotion.data.kinds import read_kinds
from duomotion.data.salsa import ARCHIVE, SCALE, Archive, Fit, dress, fit_placement
from duomotion.formats import bvh
from duomotion.motion.canonical import transform
from duomotion.motion.contacts import foot_joints, foot_sliding
from duomotion.motion.holds import hands
from duomotion.motion.rotations import yaw
from duomotion.motion.seams import joint_motion
from duomotion.motion.skeleton import SMPL22, Skeleton
from duomotion.reading import unpacked

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
FINGERS = [
    f"{finger}{part}" for finger in ("Thumb", "Index", "Mid", "Ring", "Pinky") for part in "12"
]
# The 43 joints and their parents.
TREE = {"hip": None, "abdomen": "hip", "chest": "abdomen", "neck": "chest", "head": "neck"}
TREE |= {"leftEye": "head", "rightEye": "head"}
for side in "rl":
    arm = [f"{side}{name}" for name in ("Collar", "Shldr", "ForeArm", "Hand")]
    leg = [f"{side}{name}" for name in ("Buttock", "Thigh", "Shin", "Foot")]
    TREE |= dict(zip(arm, ["chest", *arm], strict=False))
    for name in FINGERS:
        TREE[f"{side}{name}"] = f"{side}Hand" if name.endswith("1") else f"{side}{name[:-1]}1"
    TREE |= dict(zip(leg, ["hip", *leg], strict=False))
OFFSETS = {"abdomen": (0, 0.2, 0), "chest": (0, 0.12, 0), "neck": (0, 0.22, 0)}
OFFSETS |= {"lCollar": (0.03, 0.19, 0), "lShldr": (0.09, 0, 0), "lForeArm": (0.28, 0, 0)}
OFFSETS |= {"lHand": (0.22, 0, 0), "lButtock": (0.09, 0.04, 0), "lThigh": (0, -0.02, 0)}
OFFSETS |= {"lShin": (0, -0.37, 0), "lFoot": (0, -0.45, -0.05)}
OFFSETS |= {f"r{name[1:]}": (-x, y, z) for name, (x, y, z) in OFFSETS.items() if name[0] == "l"}
GENERIC = Skeleton(
    tuple(TREE),
    tuple(-1 if above is None else list(TREE).index(above) for above in TREE.values()),
    np.array([OFFSETS.get(name, (0, 0.03, 0)) for name in TREE], float),
)
FRAMES = 60  # 30 a second


def turns(seed=1):
    swing = np.random.default_rng(seed).normal(0, 0.2, (22, 3))
    return Rotation.from_rotvec(swing).as_matrix()


TRUE = Fit(0.7, np.array([0.4, 0, -1.2]), turns(), SMPL22)


def couple(frames=FRAMES):
    """Two dancers on the generic skeleton at 30 fps, calm, in front of each other."""
    moving = waving(2, frames, GENERIC)
    swing = Rotation.from_matrix(moving.rotations.reshape(-1, 3, 3)).as_rotvec() * 0.25
    rotations = Rotation.from_rotvec(swing).as_matrix().reshape(moving.rotations.shape)
    return replace(moving, rotations=rotations, skeletons=(GENERIC, GENERIC))


def recorded(dancer):
    """A dancer as in the archive: twice as many frames, a T-pose in front, 120 fps stated."""
    frames = np.concatenate([[0], np.arange(dancer.num_frames).repeat(2)])[:-1]
    rotations = dancer.rotations[:, frames]
    rotations[:, 0] = np.eye(3)
    return replace(
        dancer, root_positions=dancer.root_positions[:, frames], rotations=rotations, fps=120.0
    )


def pack(folder, takes, dancers=None, cut=(), short=()):
    """An archive of `takes`, by name whether the lead has an SMPL fit.

    Files named in `cut` are damaged, fits named in `short` have 50 frames.
    """
    dancers = dancers or couple()
    with tarfile.open(folder / ARCHIVE, "w:xz") as tar:
        for take, has_fit in takes.items():
            people = [(f"60_{take}_scaled", 0), (f"61_{take}_scaled", 1)]
            for name, person in people:
                path = folder / f"{name}.bvh"
                bvh.write(recorded(dancers.person(person)), path, scale=SCALE)
                _add(tar, path, path.name, cut)
            if has_fit:
                path = folder / f"60_{take}_poses.bvh"
                lead = dress(dancers.person(0), TRUE)
                frames = 50 if path.stem in short else lead.num_frames
                bvh.write(transform(lead, Z_UP, np.zeros(3)).frames(0, frames), path)
                _add(tar, path, f"lead_amass_smpl/{path.name}", cut)
    return folder / ARCHIVE


def _add(tar, path, name, cut):
    if path.stem in cut:
        path.write_text(path.read_text()[:5000])
    tar.add(path, arcname=name)
    path.unlink()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return Archive(pack(tmp_path_factory.mktemp("salsa"), {"05": True, "07": False}))


def test_the_follower_is_placed_and_shaped_as_the_lead_is(archive):
    assert archive.takes == ["60_05", "60_07"]
    pair = archive.couple("60_05")
    assert (pair.num_people, pair.num_frames, pair.fps) == (2, FRAMES, 30)
    assert all(skeleton.same_tree(SMPL22) for skeleton in pair.skeletons)
    expected = np.concatenate([dress(couple().person(who), TRUE).positions for who in (0, 1)])
    # But for heights, which are found apart, and feet, which are locked.
    legs = [f"{side}_{part}" for side in ("left", "right") for part in ("knee", "ankle", "foot")]
    others = [joint for joint, name in enumerate(SMPL22.names) if name not in legs]
    moved = (pair.positions - expected)[:, :, others][..., [0, 2]]
    np.testing.assert_allclose(moved, np.zeros_like(moved), atol=0.02)
    for person in pair.positions:
        assert np.percentile(person[..., 1].min(-1), 5) == pytest.approx(0, abs=0.02)


def test_a_lead_without_a_fit_is_made_like_the_others(archive):
    fitted, other = archive.couple("60_05"), archive.couple("60_07")
    np.testing.assert_allclose(other.positions, fitted.positions, atol=0.03)


def test_a_few_bad_frames_do_not_move_a_placement():
    path = np.cumsum(np.random.default_rng(0).normal(0, 0.05, (200, 3)), 0)
    target = path @ yaw(1.2).T + [2.0, 0.3, -1.0]
    target[50:60] += 0.5
    heading, shift = fit_placement(path, target)
    assert heading == pytest.approx(1.2, abs=1e-3)
    np.testing.assert_allclose(shift, [2.0, 0, -1.0], atol=2e-3)


def test_spikes_are_gone(archive, tmp_path):
    broken = couple()
    jump = Rotation.from_rotvec([0.8, 0, 0]).as_matrix()
    broken.rotations[1, 30, GENERIC.index("lShin")] @= jump
    found = [
        each.couple("60_05") for each in (archive, Archive(pack(tmp_path, {"05": True}, broken)))
    ]
    sound, mended = (joint_motion(pair.positions[1].astype(float))[1].max() for pair in found)
    assert mended < 1.2 * sound < 100


def test_dancers_stand_on_a_floor_that_rises(tmp_path):
    rising = couple(120)
    rising.root_positions[:, :, 1] += np.linspace(0, 0.1, 120)
    pair = Archive(pack(tmp_path, {"05": True}, rising)).couple("60_05")
    lowest = pair.positions[0, ..., 1].min(-1)
    assert all(0 <= part.min() < 0.02 for part in np.split(lowest, 4))


@pytest.mark.parametrize(
    ("takes", "cut", "message"),
    [
        ({"07": False}, (), "no take with both dancers and an SMPL fit"),
        ({"05": True}, ("60_05_scaled",), "no take with both dancers and an SMPL fit"),
        ({}, (), "no take with both dancers"),
    ],
    ids=["no fit", "the only fit is of no use", "empty"],
)
def test_archives_of_no_use_are_refused(tmp_path, takes, cut, message):
    with pytest.raises(ValueError, match=message):
        Archive(pack(tmp_path, takes, cut=cut))


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / ARCHIVE).write_bytes(b"salsa")
    with pytest.raises(ValueError, match=r"can't be read as a \.tar\.xz archive") as caught:
        Archive(tmp_path / ARCHIVE)
    assert "\n" not in str(caught.value)


def test_damaged_takes_are_named_and_do_not_harm_others(tmp_path):
    takes = {"05": True, "06": True, "07": True}
    archive = Archive(pack(tmp_path, takes, cut=("61_06_scaled", "60_07_poses")))
    assert archive.couple("60_05").num_frames == FRAMES
    for take, message in (("60_06", r"^61_06_scaled\.bvh"), ("60_07", r"60_07_poses\.bvh")):
        with pytest.raises(ValueError, match=message):
            archive.couple(take)


def test_a_lead_of_another_length_is_named(tmp_path):
    archive = Archive(pack(tmp_path, {"05": True, "06": True}, short=("60_06_poses",)))
    with pytest.raises(ValueError, match=r"60_06_poses\.bvh has 50 frames; it should have 60"):
        archive.couple("60_06")


def test_the_archive_becomes_clips_of_the_second_edition(tmp_path, monkeypatch):
    parts = [part for part in open_pairs.segments() if part.take in ("salsa_60_05", "salsa_60_06")]
    parts = [replace(part, start=0.5, end=1.5) for part in parts]
    monkeypatch.setattr(open_pairs, "segments", lambda edition: parts)
    (tmp_path / "below").mkdir()
    pack(tmp_path / "below", {"05": True})
    target = tmp_path / "target"
    problems = open_pairs.prepare(tmp_path, target)
    made = {part.name: part.kind for part in parts if part.take == "salsa_60_05"}
    assert problems == [
        Problem(part.name, "the recording is missing") for part in parts if part.name not in made
    ]
    assert check(target) == (len(made), []) and read_kinds(target) == made


def test_the_first_edition_does_not_look_into_the_archive(tmp_path):
    (tmp_path / ARCHIVE).write_bytes(b"salsa")
    with pytest.raises(ValueError, match="holds none of the recordings"):
        open_pairs.prepare(tmp_path, tmp_path / "target", edition=1)


@needs_salsa
def test_real_dancers_hold_hands_and_do_not_slide(monkeypatch):
    def one_take(path):
        return ((name, content) for name, content in unpacked(path) if "_05_" in name)

    monkeypatch.setattr(salsa, "unpacked", one_take)
    pair = Archive(SALSA).couple("60_05")
    assert pair.num_frames == 839
    both = pair.frames(130, 490)  # they hold both hands, left to right and right to left
    first, second = hands(both)
    gaps = np.linalg.norm(first - second[:, ::-1], axis=-1)
    assert np.percentile(gaps, 99) < 0.08
    positions = pair.positions.astype(float)
    assert joint_motion(positions)[1].max() < 100
    assert foot_sliding(positions[:, :, foot_joints(SMPL22)]).max() < 0.1
    assert positions[..., 1].min() > -0.02
