"""Any file and any tree of joints: a result or a sentence, soon, and in little memory."""

import io
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from limits import memory_left
from motions import TAIL, standing, waving
from properties import examples, matrices
from test_asf import LEG, MOTION

from duomotion.body import MAX_PEOPLE
from duomotion.formats import asf, bvh, load, save, strip, video
from duomotion.motion.interaction import Interaction
from duomotion.motion.skeleton import SMPL22, Skeleton

SUFFIXES = (".npz", ".smpl.npz", ".bvh", ".glb", ".html", ".png", ".gif", ".mp4")
SECONDS, MEMORY = 20, 1_000_000_000


@pytest.fixture(scope="module", autouse=True)
def small_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video, "SIZE", (96, 54))
        patch.setattr(video, "GIF_SIZE", (64, 36))
        patch.setattr(strip, "CELL", (40, 50))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def result(work: Callable, *arguments, **options):
    """What `work` gives, None where it refuses in a sentence; whatever else it raises is raised."""
    started = time.monotonic()
    with memory_left(MEMORY):
        try:
            return work(*arguments, **options)
        except (ValueError, OSError) as problem:
            assert str(problem) and "\n" not in str(problem) and len(str(problem)) < 2000
            return None
        finally:
            assert time.monotonic() - started < SECONDS


def read_and_write(path, suffix):
    """Read, and write what was read: a file that was accepted makes no writer trip."""
    found = result(asf.read if path.suffix == ".amc" else load, path)
    if found is not None:
        assert isinstance(found, Interaction)
        result(save, found.frames(0, 2), path.with_name(f"written{suffix}"))


# Files


@pytest.fixture(scope="module")
def whole(folder):
    """A whole file of each format that is read."""
    for name, motion in {
        "ours.npz": waving(2, 2, TAIL),
        "amass.smpl.npz": standing(1, 2),
        "three.bvh": waving(3, 2, TAIL),
        "two.glb": waving(2, 2, TAIL),
    }.items():
        save(motion, folder / name)
    (folder / "leg.asf").write_text(LEG)
    (folder / "leg_01.amc").write_text(MOTION)
    names = ("ours.npz", "amass.smpl.npz", "three.bvh", "two.glb", "leg.asf", "leg_01.amc")
    return {name: (folder / name).read_bytes() for name in names}


def damaged(folder, name, content, suffix):
    target = folder / f"damaged-{name}"
    if name.startswith("leg"):
        target = folder / "damaged" / name
        target.parent.mkdir(exist_ok=True)
        (target.parent / "leg.asf").write_text(LEG)
        (target.parent / "leg_01.amc").write_text(MOTION)
    target.write_bytes(content)
    read_and_write(target.with_name("leg_01.amc") if name == "leg.asf" else target, suffix)


@examples(80)
@given(
    name=st.sampled_from(
        ["ours.npz", "amass.smpl.npz", "three.bvh", "two.glb", "leg.asf", "leg_01.amc"]
    ),
    suffix=st.sampled_from(SUFFIXES),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=8)), max_size=4
    ),
    start=st.binary(max_size=2),
)
def test_damaged_files(folder, whole, name, suffix, edits, start):
    content = whole[name]
    for share, length, put in edits:
        place = round(share * len(content))
        content = content[:place] + put + content[place + length :]
    damaged(folder, name, start + content, suffix)


WORDS = (
    *(b"{", b"}", b"ROOT x", b"JOINT x", b"End Site", b"MOTION", b"Frames: 900000000", b"0"),
    *(b"OFFSET 1e8 0 0", b"CHANNELS 0", b"nan", b"1e-300", b"1e300", b"-1", b"\x1c", b"9" * 400),
    *(b":units length 1e-300", b"begin", b"end", b"dof", b"root", b"thigh", b"x" * 5000, b"\n"),
)


@examples(80)
@given(
    name=st.sampled_from(["three.bvh", "leg.asf", "leg_01.amc"]),
    suffix=st.sampled_from(SUFFIXES),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(WORDS)),
        min_size=1,
        max_size=3,
    ),
)
def test_texts_with_other_words(folder, whole, name, suffix, edits):
    words = whole[name].replace(b"\n", b" \n ").split(b" ")
    for share, length, word in edits:
        place = round(share * len(words))
        words[place : place + length] = [word]
    damaged(folder, name, b" ".join(words), suffix)


NUMBERS = st.sampled_from([0, 1, -1, 1e-30, 9e5, 1e30, np.nan, np.inf, 3])
ARRAYS = arrays.arrays(
    st.one_of(arrays.floating_dtypes(), arrays.integer_dtypes(), arrays.unicode_string_dtypes()),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)


@examples(80)
@given(name=st.sampled_from(["ours.npz", "amass.smpl.npz"]), data=st.data())
def test_arrays_with_other_values(folder, whole, name, data):
    with np.load(io.BytesIO(whole[name])) as file:
        kept = {key: file[key] for key in file.files}
    key = data.draw(st.sampled_from(sorted(kept)))
    if data.draw(st.booleans()) and kept[key].dtype.kind == "f":
        kept[key] = np.array(kept[key])
        place = data.draw(st.integers(0, kept[key].size - 1))
        kept[key].flat[place] = data.draw(NUMBERS)
    elif data.draw(st.booleans()):
        kept[key] = kept[key] * 0 if kept[key].dtype.kind in "fi" else kept[key][..., None]
    else:
        kept[key] = data.draw(ARRAYS)
    content = io.BytesIO()
    np.savez(content, **kept)
    damaged(folder, name, content.getvalue(), data.draw(st.sampled_from(SUFFIXES)))


# Trees


PARTS = "hips chest neck head left_hip left_knee left_ankle left_foot left_wrist x"


@st.composite
def trees(draw):
    """Skeletons with joints of all names at all places, of all sizes, far beyond people's."""
    joints = draw(st.one_of(st.integers(1, 16), st.sampled_from([60, 200, 501])))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    reach = draw(st.sampled_from([0, 1, 4, joints]))  # 0 is a star, 1 a chain
    parents = [max(0, joint - 1 - int(rng.integers(0, reach or 1))) for joint in range(joints)]
    parents = [-1, *(parents[1:] if reach else [0] * (joints - 1))]
    offsets = rng.normal(0, 0.2, (joints, 3)) * rng.integers(0, 2, (joints, 1))
    names = [f"{rng.choice(PARTS.split())}{joint}" for joint in range(joints)]
    if draw(st.booleans()):
        names[-1] = draw(st.text(max_size=5))
    size = draw(st.sampled_from([1e-12, 1e-3, 1, 1, 1, 40, 1e4, 1e30]))
    offsets[0] = 0
    return Skeleton(tuple(names), tuple(parents), offsets * size)


@examples(40)
@given(
    skeleton=st.one_of(trees(), st.just(SMPL22)),
    people=st.integers(1, MAX_PEOPLE + 1),
    turn=matrices(1),
    suffix=st.sampled_from(SUFFIXES),
    data=st.data(),
)
def test_trees_of_joints(folder, skeleton, people, turn, suffix, data):
    frames = data.draw(st.integers(1, 2))
    roots = data.draw(
        arrays.arrays(np.float64, (people, frames, 3), elements=st.floats(-2, 2))
    ) * data.draw(st.sampled_from([1, 1, 1e5]))
    motion = Interaction(
        roots,
        np.broadcast_to(turn, (people, frames, skeleton.num_joints, 3, 3)),
        (skeleton,) * people,
        fps=data.draw(st.sampled_from([0.1, 30.0, 9999.0])),
        caption=data.draw(st.text(max_size=9)),
    )
    path = folder / f"tree{suffix}"
    path.unlink(missing_ok=True)
    result(save, motion, path)
    if suffix in (".npz", ".bvh", ".glb") and path.exists() and skeleton.num_joints <= 500:
        again = load(path)
        assert again.num_people == people <= MAX_PEOPLE and again.num_frames == frames
    if suffix == ".bvh":
        result(bvh.write, motion, path, split=True)


def test_all_writers_take_up_to_eight_people(folder):
    one = waving(1, 1, TAIL)
    for people in (1, 3, MAX_PEOPLE):
        motion = replace(
            one,
            root_positions=one.root_positions + np.arange(people)[:, None, None],
            rotations=one.rotations.repeat(people, 0),
            skeletons=one.skeletons * people,
        )
        for suffix in SUFFIXES:
            if suffix != ".smpl.npz":
                save(motion, folder / f"{people}{suffix}")
    crowd = waving(MAX_PEOPLE + 1, 1, SMPL22)
    for suffix in SUFFIXES:
        with pytest.raises(ValueError, match="9 people; files hold at most 8"):
            save(crowd, folder / f"crowd{suffix}")
        assert not list(folder.glob(f"crowd*{suffix}"))
