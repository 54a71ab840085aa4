"""Inter-X: the layout, the published files, and a training from pairs to motion."""

import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from motions import standing, waving
from properties import examples, matrices
from recordings import needs_recordings, prepare, take
from scipy.spatial.transform import Rotation

import duomotion
from duomotion.data import interx as dataset
from duomotion.data.interhuman import Span, write_splits, write_timed_clip
from duomotion.data.interx_views import InterxWindows, draw_example, maps, whole
from duomotion.data.pairs import PairConfig
from duomotion.data.windows import WindowConfig
from duomotion.models import find_recipe
from duomotion.models.intermask.config import TokenizerLossWeights
from duomotion.models.intermask.tokenizer import TokenizerOutput
from duomotion.models.intermask.tokenizer_loss import interx_tokenizer_loss
from duomotion.motion.interx import INTERX, body
from duomotion.motion.kinematics import global_rotations
from duomotion.motion.layouts import layout_of
from duomotion.motion.skeleton import SMPL22, SMPLX55, SMPLX_PELVIS

NEUTRAL = (SMPLX55,) * 2


@pytest.fixture(autouse=True)
def fresh_body():
    body.cache_clear()
    yield
    body.cache_clear()


def moving(frames=40):
    """Two people on the neutral SMPL-X body, all joints turning."""
    return replace(waving(2, frames, SMPLX55), skeletons=NEUTRAL)


def test_smplx_has_smpls_body_and_mirrored_hands():
    assert SMPLX55.names[:22] == SMPL22.names and SMPLX55.parents[:22] == SMPL22.parents
    assert SMPLX55.num_joints == 55
    wrist = SMPLX55.index("right_wrist")
    assert SMPLX55.children[wrist] == tuple(range(40, 55, 3))
    hand = SMPLX55.rest_positions[40:] - SMPLX55.rest_positions[wrist]
    other = SMPLX55.rest_positions[25:40] - SMPLX55.rest_positions[SMPLX55.index("left_wrist")]
    np.testing.assert_allclose(hand * [-1, 1, 1], other, atol=1e-12)
    assert (hand[:, 0] < 0).all() and 0.12 < np.linalg.norm(hand, axis=-1).max() < 0.17


def test_features_and_back():
    motion = moving()
    encoded = INTERX.encode(motion)
    assert encoded.shape == (2, 39, 336) and encoded.dtype == np.float32
    back = INTERX.decode(encoded)
    np.testing.assert_allclose(back.positions, motion.positions[:, :-1], atol=1e-5)
    joints = INTERX.to_joint_map(encoded)
    np.testing.assert_array_equal(INTERX.from_joint_map(joints), encoded)
    np.testing.assert_allclose(
        joints[:, :-1, 55, :3] + joints[:, :-1, 55, 3:], joints[:, 1:, 55, :3], atol=1e-6
    )
    np.testing.assert_allclose(
        joints[0, 0, 55, :3], motion.root_positions[0, 0] - SMPLX_PELVIS, atol=1e-6
    )


def test_positions_by_forward_kinematics_in_numpy_and_torch():
    motion = moving()
    encoded = INTERX.encode(motion)
    positions = INTERX.positions(encoded)
    np.testing.assert_allclose(positions, motion.positions[:, :-1], atol=1e-5)
    tensor = torch.from_numpy(encoded).requires_grad_()
    np.testing.assert_allclose(INTERX.positions(tensor).detach(), positions, atol=1e-5)
    INTERX.positions(tensor).square().sum().backward()
    assert tensor.grad.isfinite().all() and tensor.grad.abs().sum() > 0


@examples(20)
@given(turns=matrices(2, 3))
def test_rotations_are_stored_as_their_first_two_rows(turns):
    rotations = np.tile(np.eye(3), (2, 3, 55, 1, 1))
    rotations[:, :, 7] = turns
    rows = INTERX.to_joint_map(INTERX.encode_smplx(rotations, np.zeros((2, 3, 3))))[:, :, 7]
    np.testing.assert_allclose(rows.reshape(2, 2, 2, 3), turns[:, :2, :2], atol=1e-6)


def test_mirrored_twice_is_the_same_and_once_is_the_mirror_image():
    joints = INTERX.to_joint_map(INTERX.encode(moving()))
    mirrored = INTERX.mirror(joints)
    np.testing.assert_allclose(INTERX.mirror(mirrored), joints, atol=1e-6)
    seen, image = (INTERX.decode(INTERX.from_joint_map(x)) for x in (joints, mirrored))
    across = np.diag([-1.0, 1, 1])
    turned, other = (global_rotations(x.rotations, SMPLX55) for x in (seen, image))
    np.testing.assert_allclose(other, across @ turned[:, :, SMPLX55.mirrored] @ across, atol=1e-5)
    np.testing.assert_allclose(
        (image.root_positions - SMPLX_PELVIS) * [-1, 1, 1],
        seen.root_positions - SMPLX_PELVIS,
        atol=1e-6,
    )


@needs_recordings
def test_recorded_people_keep_their_poses_and_their_place():
    motion = take("18_01")
    posed = INTERX.bodies(motion)
    assert posed.skeletons[0].same_tree(SMPLX55)
    np.testing.assert_allclose(posed.positions[:, :, :22], motion.positions, atol=1e-4)
    assert (posed.rotations[:, :, 22:] == np.eye(3)).all()
    assert INTERX.bodies(posed) is posed


def test_a_body_model_of_the_user_is_taken(tmp_path, monkeypatch):
    vertices = np.random.default_rng(0).normal(size=(60, 3))
    regressor = np.eye(55, 60)
    path = tmp_path / "SMPLX_NEUTRAL.npz"
    np.savez(path, v_template=vertices, J_regressor=regressor)
    monkeypatch.setenv("DUOMOTION_SMPLX", str(path))
    skeleton, pelvis = body()
    np.testing.assert_allclose(pelvis, vertices[0])
    np.testing.assert_allclose(skeleton.rest_positions + pelvis, vertices[:55])


@pytest.mark.parametrize("kind", ["missing", "cut", "another", "not finite"])
def test_a_bad_body_model_is_named(tmp_path, monkeypatch, kind):
    path = tmp_path / "model.npz"
    vertices = np.full((60, 3), np.nan if kind == "not finite" else 1.0)
    np.savez(path, v_template=vertices, J_regressor=np.eye(24 if kind == "another" else 55, 60))
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:300])
    if kind == "missing":
        path.unlink()
    monkeypatch.setenv("DUOMOTION_SMPLX", str(path))
    with pytest.raises(OSError if kind == "missing" else ValueError, match=r"model\.npz"):
        body()


def test_no_layout_has_other_sizes():
    assert layout_of(56, 6) is INTERX
    with pytest.raises(ValueError, match=r"no layout of motion has 24 x 6 .* 22 x 12 .* 56 x 6"):
        layout_of(24, 6)


def test_loss_is_zero_for_the_same_motion_and_feet_have_to_stay():
    still = INTERX.bodies(standing(2, 24))
    target = torch.from_numpy(INTERX.to_joint_map(INTERX.encode(still)))

    def terms(prediction):
        output = TokenizerOutput(
            prediction, torch.zeros(()), torch.ones(()), torch.zeros(2, 1).long()
        )
        return interx_tokenizer_loss(output, target, TokenizerLossWeights())[1]

    same = terms(target)
    assert all(term < 1e-3 for term in same.values()), same
    sliding = target.clone()
    sliding[..., 55, 0] += 0.02 * torch.arange(target.shape[1])[None]
    slid = terms(sliding)
    assert slid["contact"] > 1e-5 and slid["position"] > 0 and slid["rotation"] < 1e-3


# the published files ---------------------------------------------------------------------------


def published(root, frames=160):
    """Inter-X's folder as it is published, of two people who turn all their joints."""
    for index, name in enumerate(("G001T000A000R000", "G001T000A001R000", "G001T000A002R000")):
        rng = np.random.default_rng(index)
        phase = np.sin(np.linspace(0, 6, frames))[:, None, None]
        for number, person in enumerate(("P1", "P2")):
            folder = root / "motions" / name
            folder.mkdir(parents=True, exist_ok=True)
            vectors = 0.6 * rng.normal(size=(1, 55, 3)) * phase
            trans = np.array([0.8 * number, 1.1 + 0.3 * number, 0]) + 0.2 * phase[:, 0]
            np.savez(
                folder / f"{person}.npz",
                root_orient=vectors[:, 0],
                pose_body=vectors[:, 1:22],
                pose_lhand=vectors[:, 25:40],
                pose_rhand=vectors[:, 40:],
                trans=trans,
                betas=np.zeros((1, 10)),
                gender=np.array("male"),
            )
        (root / "texts").mkdir(exist_ok=True)
        (root / "texts" / f"{name}.txt").write_text("One waves at the other.\nThey greet.\n")
    (root / "splits").mkdir()
    for split, number in (("train", 0), ("val", 1), ("test", 2)):
        (root / "splits" / f"{split}.txt").write_text(f"G001T000A00{number}R000\n")
    return root


def test_published_files_are_prepared_as_the_authors_do(tmp_path):
    source, target = published(tmp_path / "source"), tmp_path / "target"
    assert dataset.prepare(source, target) == []
    assert dataset.check(target) == (3, [])
    (clip,), problems = dataset.read_split(target, "train")
    assert not problems and clip.num_frames == 40 and len(clip.rotations) == 2
    assert clip.captions == ("One waves at the other.", "They greet.")
    np.testing.assert_array_equal(clip.translations[0, 0], 0)
    with np.load(source / "motions" / clip.name / "P2.npz") as raw:
        arm, hand, trans = (raw[name][::4] for name in ("pose_body", "pose_rhand", "trans"))
    for joint, vectors in ((17, arm[:, 16]), (42, hand[:, 2])):
        turned = Rotation.from_matrix(clip.rotations[1, :, joint]).as_rotvec()
        np.testing.assert_allclose(turned, vectors, atol=1e-4)
    np.testing.assert_allclose(
        np.diff(clip.translations[1], axis=0), np.diff(trans, axis=0), atol=1e-5
    )
    lowest = INTERX.decode(INTERX.encode_smplx(clip.rotations, clip.translations)).positions[..., 1]
    lowest = lowest.min((1, 2))
    np.testing.assert_allclose(lowest[0], lowest[1], atol=0.02)


def test_who_acts_is_read_from_the_published_pickle_and_nothing_else(tmp_path):
    source, target = published(tmp_path / "source"), tmp_path / "target"
    dataset.prepare(source, target)
    (clip,), _ = dataset.read_split(target, "train")
    assert clip.actor is None
    order = source / "annots" / "interaction_order.pkl"
    order.parent.mkdir()
    order.write_bytes(pickle.dumps({clip.name: 1, "another": 0}))
    dataset.prepare(source, target)
    assert dataset.read_split(target, "train")[0][0].actor == 1
    assert [clip.actor for clip in dataset.read_split(target, "test")[0]] == [None]
    for content, reason in (({clip.name: 2}, "0, where P1 acts"), (print, "is refused")):
        order.write_bytes(pickle.dumps(content))
        (problem,) = dataset.prepare(source, tmp_path / "other")
        assert problem.name == "annots/interaction_order.pkl" and reason in problem.reason
        assert dataset.read_split(tmp_path / "other", "train")[0][0].actor is None
    (target / "actors.txt").write_text(f"{clip.name} 0\nanother x\n")
    with pytest.raises(ValueError, match=r"actors.txt, line 2: 'NAME 0' or 'NAME 1' is expected"):
        dataset.read_split(target, "train")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("person", "P2.npz can't be read"),
        ("array", "P2.npz has no array named pose_lhand"),
        ("shape", "P2.npz has pose_body of"),
        ("nan", "P2.npz has trans that is not finite"),
        ("cut", "P2.npz can't be read as an .npz file"),
        ("length", "the people have"),
        ("text", "it has no caption"),
        ("short", "it has 5 frames, not 24 to 999"),
    ],
)
def test_what_is_wrong_with_a_clip_is_named(tmp_path, harm, reason):
    source, target = published(tmp_path / "source"), tmp_path / "target"
    name = "G001T000A000R000"
    for person in ("P1", "P2") if harm == "short" else ("P2",):
        path = source / "motions" / name / f"{person}.npz"
        with np.load(path) as file:
            arrays = dict(file)
        if harm == "array":
            del arrays["pose_lhand"]
        elif harm == "shape":
            arrays["pose_body"] = arrays["pose_body"][:, :20]
        elif harm == "nan":
            arrays["trans"][3] = np.nan
        elif harm in ("length", "short"):
            arrays = {
                key: value[:20] if len(np.atleast_1d(value)) == 160 else value
                for key, value in arrays.items()
            }
        np.savez(path, **arrays)
        if harm == "cut":
            path.write_bytes(path.read_bytes()[:500])
        if harm == "person":
            path.unlink()
    if harm == "text":
        (source / "texts" / f"{name}.txt").write_text("\n")
    problems = dataset.prepare(source, target)
    if harm == "short":
        _, problems = dataset.check(target)
    assert [problem.name for problem in problems] == [name]
    assert reason in problems[0].reason


def test_pairs_whose_captions_describe_parts_are_not_converted(tmp_path):
    source = tmp_path / "source"
    for name, span in (("a", Span("they wave", 0, 1)), ("b", Span("they wave", 0.2, 0.7))):
        write_timed_clip(source, name, waving(2, 30), [span])
    write_splits(source, {"train": ["a", "b"], "val": [], "test": []})
    (problem,) = dataset.prepare(source, tmp_path / "target")
    assert (problem.name, problem.reason) == ("b", "no caption describes all of it")


def test_a_data_set_of_which_nothing_can_be_used_is_refused(tmp_path):
    source = published(tmp_path / "source")
    for path in source.glob("motions/*/P2.npz"):
        path.unlink()
    with pytest.raises(ValueError, match=r"has no usable clip \(G001T000A000R000: P2\.npz"):
        dataset.prepare(source, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_arrays_that_unpack_to_more_than_motion_are_refused(tmp_path):
    source = published(tmp_path / "source")
    path = source / "motions" / "G001T000A000R000" / "P1.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("trans.npy", "w") as member,
    ):
        for _ in range(257):
            member.write(bytes(10**6))
    assert path.stat().st_size < 2 * 10**6
    problems = dataset.prepare(source, tmp_path / "target")
    assert [problem.name for problem in problems] == ["G001T000A000R000"]
    assert "takes 257,000,000 bytes" in problems[0].reason


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no split/train\.txt"):
        dataset.prepare(tmp_path, tmp_path / "target")


# what networks see -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interx")
    dataset.prepare(published(folder / "source"), folder / "target")
    return dataset.read_split(folder / "target", "train")[0]


def test_windows_are_seen_from_where_somebody_was(clips):
    config = WindowConfig(frames=16, reach=20, mirror=False)
    places = maps(clips[0])[..., -1, :3]  # (2, T, 3)
    for window in InterxWindows(clips, config).draw(40, np.random.default_rng(1)):
        steps = places[:, :, None] - places.reshape(-1, 3)  # of everybody from everybody
        assert np.abs(steps - window[0, -1, :3]).max(-1).min() < 1e-6


def test_windows_are_stretches_of_one_person(clips):
    config = WindowConfig(frames=16, mirror=False)
    windows = InterxWindows(clips, config).draw(20, np.random.default_rng(0))
    assert windows.shape == (20, 16, 56, 6) and windows.dtype == np.float32
    joints = maps(clips[0])
    stretches = np.lib.stride_tricks.sliding_window_view(joints, 16, 1)  # (2, S, 56, 6, 16)
    flat = np.moveaxis(stretches, -1, 2).reshape(-1, 16 * 56 * 6)
    for some in (flat := flat.reshape(-1, 16, 56, 6), windows):
        some[..., -1, :3] -= some[:, :1, -1, :3].copy()
    flat = flat.reshape(-1, 16 * 56 * 6)
    for window in windows.reshape(20, -1):
        assert np.abs(flat - window).max(1).min() < 1e-6
    both = InterxWindows(clips, replace(config, people=2)).draw(8, np.random.default_rng(1))
    assert both.shape == (8, 16, 56, 6)
    with pytest.raises(ValueError, match="no clip is as long as a window of 60 frames"):
        InterxWindows(clips, replace(config, frames=60))


def test_examples_start_where_the_first_person_does(clips):
    config = PairConfig(max_frames=30, tempo=(0.8, 1.25), shortest=0.7)
    rng = np.random.default_rng(0)
    for _ in range(20):
        example = draw_example(clips[0], config, rng)
        joints = INTERX.to_joint_map(example.features)
        assert joints.shape[0] == 2 and joints.shape[1] <= 31
        assert example.captions == clips[0].captions and example.name == clips[0].name
        np.testing.assert_array_equal(joints[0, 0, 55, :3], 0)
        steps = np.diff(joints[..., 55, :3], axis=1)
        assert np.abs(steps - joints[:, :-1, 55, 3:]).max() < 0.01
    np.testing.assert_allclose(whole(clips[0])[0, 0, -6:-3], 0)


# from recordings to motion ---------------------------------------------------------------------


@pytest.mark.slow
@needs_recordings
def test_training_on_pairs_in_this_layout(tmp_path, monkeypatch):
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))
    pairs = prepare(tmp_path / "pairs", ("18_01", "20_11", "22_01"))
    assert dataset.prepare(pairs, tmp_path / "interx") == []
    tokenizer = tiny.tokenizer_recipe(
        f"data.pairs={tmp_path / 'interx'}",
        "continuous_steps=30",
        "optim.steps=80",
        "optim.batch_size=8",
        "optim.lr=5e-3",
        "optim.warmup_steps=0",
        *tiny.FAST,
        name="intermask/tokenizer-interx-open",
    )
    records = tiny.train(tokenizer, tmp_path / "tokenizer")
    losses = [record["loss"] for record in records if "loss" in record]
    assert losses[-1] < 0.9 * losses[0]
    assert 0 < records[-1]["validation/mpjpe_mm"] < 3000
    generator = tiny.generator_recipe(
        f"data.pairs={tmp_path / 'interx'}",
        f"data.tokenizer={tmp_path / 'tokenizer' / 'best'}",
        "data.examples.max_frames=150",
        "data.views=2",
        "optim.steps=20",
        "optim.batch_size=4",
        "optim.warmup_steps=0",
        *tiny.FAST,
    )
    tiny.train(generator, tmp_path / "generator")

    model = duomotion.load(tmp_path / "generator" / "last")
    clip = model.generate("two people shake hands", seconds=2)
    assert clip.skeletons[0].same_tree(SMPLX55) and clip.num_frames == 60
    assert np.isfinite(clip.positions).all()
    given = take("18_01").frames(0, 60)
    both = model.react(given.person(0), "two people shake hands")
    np.testing.assert_allclose(both.positions[:1, :, :22], given.positions[:1], atol=1e-4)
    with pytest.raises(ValueError, match=r"0\.8 to 5 s|0\.8 to"):
        model.inpaint(take("18_01").frames(0, 20), unknown=(0.1, 0.3))
    for ending in ("glb", "bvh", "npz"):
        clip.save(tmp_path / f"clip.{ending}")
        assert (tmp_path / f"clip.{ending}").stat().st_size > 1000


def test_recipes_at_paper_size_are_complete():
    tokenizer = find_recipe("intermask/tokenizer-interx")
    assert tokenizer.model.num_joints == 56 and tokenizer.model.widths == (512, 512, 512)
    assert (tokenizer.losses.velocity, tokenizer.losses.contact, tokenizer.losses.bone) == (
        100.0,
        100.0,
        5.0,
    )
    assert os.fspath(find_recipe("intermask/generator-interx").data.pairs) == "data/interx"
