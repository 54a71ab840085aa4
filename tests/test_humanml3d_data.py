"""HumanML3D's and KIT-ML's folders: reading, checking, making them from joints."""

import re
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motions import waving
from properties import examples

from duomotion.data import humanml3d as dataset
from duomotion.data.captions import Caption, parse_caption
from duomotion.data.humanml3d import read_split
from duomotion.motion.humanml3d import HUMANML3D, KIT, SOLO_LAYOUTS

both = pytest.mark.parametrize("layout", SOLO_LAYOUTS, ids=lambda layout: layout.name)
LINE = "a man waves.#a/DET man/NOUN wave/VERB#0.0#0.0\n"
OTHER = "he greets#he/PRON greet/VERB#nan#nan\n"


def published(root, layout=HUMANML3D, clips=("000001", "000002", "000003"), frames=60):
    """A folder as it is published, one clip a split."""
    rng = np.random.default_rng(0)
    (root / "new_joint_vecs").mkdir(parents=True)
    (root / "texts").mkdir()
    for name in clips:
        vectors = rng.normal(size=(frames, layout.num_features)).astype(np.float32)
        np.save(root / "new_joint_vecs" / f"{name}.npy", vectors)
        (root / "texts" / f"{name}.txt").write_text(
            f"{LINE}\nhe greets#he/PRON greet/VERB#nan#nan\n"
        )
    for split, name in zip(("train", "val", "test"), clips, strict=True):
        (root / f"{split}.txt").write_text(f"{name}\n")
    (root / "all.txt").write_text("".join(f"{name}\n" for name in clips))
    np.save(root / "Mean.npy", np.zeros(layout.num_features, np.float32))
    np.save(root / "Std.npy", np.full(layout.num_features, 2, np.float32))
    return root


def vectors(root, name="000001"):
    return root / "new_joint_vecs" / f"{name}.npy"


@both
def test_published_clips_are_read(tmp_path, layout):
    root = published(tmp_path, layout)
    (clip,), problems = read_split(root, "train")
    assert not problems and clip.name == "000001" and clip.layout is layout
    np.testing.assert_array_equal(clip.features, np.load(vectors(root)))
    assert clip.features.dtype == np.float32 and clip.num_frames == 60
    assert clip.captions == (
        Caption("a man waves.", ("a/DET", "man/NOUN", "wave/VERB")),
        Caption("he greets", ("he/PRON", "greet/VERB")),
    )
    assert len(read_split(root, "all")[0]) == 3
    assert dataset.check(root) == (3, [])


@both
def test_stretches_with_times_are_clips_of_their_own(tmp_path, layout):
    root = published(tmp_path, layout, frames=150)
    lines = ["he sits#he/PRON sit/VERB#1.0#4.5", LINE.strip(), "he stands#he/PRON stand/VERB#4.5#5"]
    (root / "texts" / "000001.txt").write_text("\n".join(lines))
    clips, (problem,) = read_split(root, "train")
    assert [(clip.name, clip.num_frames) for clip in clips] == [("000001", 150), ("000001-1", 70)]
    np.testing.assert_array_equal(clips[1].features, clips[0].features[20:90])
    assert [caption.text for clip in clips for caption in clip.captions] == [
        "a man waves.",
        "he sits",
    ]
    assert problem.name == "000001" and "line 3: it has 10 frames" in problem.reason


def test_tokenizers_get_whole_clips_of_any_length_with_captions_or_without(tmp_path):
    root = published(tmp_path, frames=250)
    lines = ["he sits#he/PRON sit/VERB#1.0#4.5", LINE.strip()]
    (root / "texts" / "000001.txt").write_text("\n".join(lines))
    (root / "texts" / "000002.txt").unlink()
    np.save(vectors(root, "000003"), np.load(vectors(root, "000003"))[:63])
    found, (problem,) = dataset.read_motions(root, "all", at_least=64)
    assert {name: len(motion) for name, motion in found.items()} == {"000001": 250, "000002": 250}
    np.testing.assert_array_equal(found["000001"], np.load(vectors(root)))
    assert problem.name == "000003" and "63 frames, fewer than 64" in problem.reason


def saved(change):
    """Harm: the first clip's vectors changed."""

    def harm(root):
        np.save(vectors(root), change(np.load(vectors(root))))

    return harm


def text(content):
    def harm(root):
        (root / "texts" / "000001.txt").write_text(content)

    return harm


def with_nan(array):
    array[7, 30] = np.nan
    return array


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (saved(with_nan), r"new_joint_vecs/000001\.npy is not finite at frame 7"),
        (saved(lambda a: a[:, :262]), r"is float32 \(60, 262\), not float \(T, 263\)"),
        (saved(lambda a: a.astype(int)), r"is int64 \(60, 263\), not float"),
        (saved(lambda a: a[:39]), "it has 39 frames, not 40 to 199"),
        (saved(lambda a: np.concatenate([a] * 4)[:200]), "it has 200 frames, not 40 to 199"),
        (lambda root: vectors(root).unlink(), "000001.npy is missing"),
        (lambda root: vectors(root).write_bytes(b"no array"), "000001.npy can't be read"),
        (lambda root: (root / "texts/000001.txt").unlink(), "it has no caption in texts/"),
        (text("\n\n"), "it has no caption in texts/"),
        (text("he waves"), "line 1: it is no caption#word/TAG word/TAG#start#end"),
        (text("he waves#he/PRON wave#0#0"), "line 1: wave where words are expected as word/TAG"),
        (text("he waves##0#0"), "line 1: no word where words are expected"),
        (text("he waves#he/PRON#a#0"), "line 1: a#0 where start and end in seconds are expected"),
        (text("he waves#he/PRON#2#1"), "line 1: it begins at 2 s and ends at 1 s"),
        (text("he waves#he/PRON#0#inf"), "line 1: it begins at 0 s and ends at inf s"),
    ],
)
def test_what_is_wrong_with_a_clip_is_named_and_the_others_are_used(tmp_path, harm, reason):
    root = published(tmp_path)
    harm(root)
    clips, (problem,) = read_split(root, "all")
    assert [clip.name for clip in clips] == ["000002", "000003"] and problem.name == "000001"
    assert re.search(reason, problem.reason), problem.reason
    assert dataset.check(root) == (2, [problem])


def test_a_broken_line_does_not_spoil_the_others(tmp_path):
    root = published(tmp_path)
    text(f"he waves#wave#0#0\n{LINE}")(root)
    (clip,), (problem,) = read_split(root, "train")
    assert len(clip.captions) == 1 and "line 1" in problem.reason


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no split/train\.txt"):
        read_split(tmp_path, "train")
    (tmp_path / "train.txt").write_text("a\n")
    with pytest.raises(ValueError, match=r"no \.npy file of vectors of 263 or 251 numbers"):
        read_split(tmp_path, "train")
    root = published(tmp_path / "other")
    vectors(root).unlink()
    with pytest.raises(ValueError, match=r"'train' has no usable clip .*000001"):
        read_split(root, "train")


@examples(60)
@given(line=st.text(alphabet="ab/#. 01nif-", max_size=30))
def test_any_line_is_a_caption_or_refused(line):
    try:
        caption, start, end = parse_caption(line)
    except ValueError as error:
        assert str(error)
    else:
        assert caption.tokens and (start == end == 0 or 0 <= start < end)


def test_captions_may_hold_a_number_sign_and_words_a_slash():
    caption, *_ = parse_caption("he is #1#his/her/PRON one/NUM#0.0#0.0")
    assert caption == Caption("he is #1", ("his/her/PRON", "one/NUM"))


# statistics ----------------------------------------------------------------------------------


@both
def test_statistics_have_one_deviation_a_block(layout):
    rng = np.random.default_rng(1)
    motions = [rng.normal(3, 2, (n, layout.num_features)).astype(np.float32) for n in (50, 70)]
    for motion in motions:
        motion[:, layout.blocks.contacts] = 1
    found = dataset.statistics(iter(motions), layout)
    together = np.concatenate(motions)
    np.testing.assert_allclose(found.mean, together.mean(0), atol=1e-5)
    for block in layout.blocks[:-1]:
        np.testing.assert_allclose(found.std[block], together.std(0)[block].mean(), rtol=1e-5)
    np.testing.assert_array_equal(found.std[layout.blocks.contacts], 1)
    tokenizer = dataset.tokenizer_statistics(found, layout)
    np.testing.assert_array_equal(tokenizer.mean, found.mean)
    ratio = found.std / tokenizer.std
    np.testing.assert_allclose(ratio[:4], 5, rtol=1e-6)
    np.testing.assert_allclose(ratio[-4:], 5, rtol=1e-6)
    np.testing.assert_array_equal(ratio[4:-4], 1)


def test_published_statistics_are_read(tmp_path):
    root = published(tmp_path)
    found = dataset.read_statistics(root)
    assert found.mean.shape == (263,) and (found.std == 2).all()
    np.save(root / "Std.npy", np.zeros(263))
    with pytest.raises(ValueError, match=r"Std\.npy is not above 0 everywhere"):
        dataset.read_statistics(root)
    np.save(root / "Std.npy", np.ones(251))
    with pytest.raises(ValueError, match=r"Std\.npy has 251 numbers, not 263"):
        dataset.read_statistics(root)
    (root / "Mean.npy").unlink()
    with pytest.raises(ValueError, match=r"Mean\.npy is missing"):
        dataset.read_statistics(root)


# from joints ---------------------------------------------------------------------------------


def recorded(root, layout, splits=True, names=("000001", "000021", "03950")):
    """A folder of joints, people of different size."""
    (root / "joints").mkdir(parents=True)
    (root / "texts").mkdir()
    for index, name in enumerate(names):
        motion = waving(1, 120, layout.skeleton).frames(5 * index, 5 * index + 50)
        joints = motion.positions[0] * (1 + 0.2 * index) / layout.metres
        if layout is HUMANML3D:  # hands, as SMPL-H has them
            joints = np.concatenate([joints, np.zeros((50, 30, 3), np.float32)], 1)
        np.save(root / "joints" / f"{name}.npy", joints)
        line = "he raises the left hand#he/PRON raise/VERB the/DET left/ADJ hand/NOUN#0.0#0.0\n"
        (root / "texts" / f"{name}.txt").write_text(line)
    if splits:
        for split, name in zip(("train", "val", "test"), names, strict=True):
            (root / f"{split}.txt").write_text(f"{name}\n")
    return root


@both
def test_joints_become_a_data_set_of_equal_bodies(tmp_path, layout):
    source, target = recorded(tmp_path / "source", layout), tmp_path / "target"
    assert dataset.prepare(source, target, layout) == []
    assert dataset.check(target) == (4, [])
    plain, mirrored = read_split(target, "train")[0]
    assert (plain.name, mirrored.name) == ("000001", "M000001") and plain.num_frames == 49
    assert plain.captions[0].text == "he raises the left hand"
    assert mirrored.captions[0].text == "he raises the right hand"
    assert mirrored.captions[0].tokens[3] == "right/ADJ"
    reference = np.load(source / "joints" / f"{dataset.REFERENCES[layout.name]}.npy")
    lengths = layout.lengths(reference[0, : layout.num_joints])
    for clip in (plain, mirrored):
        joints = layout.decode_joints(clip.features)
        np.testing.assert_allclose(
            layout.lengths(joints)[:-9], np.tile(lengths, (40, 1)), rtol=2e-2
        )
        assert joints[..., 1].min() == pytest.approx(0, abs=1e-3 / layout.metres)
    (val,), _ = read_split(target, "val")
    assert val.name == "000021"
    features = [clip.features for clip in (plain, mirrored)]
    np.testing.assert_allclose(
        dataset.read_statistics(target).std, dataset.statistics(features, layout).std, rtol=1e-5
    )


@both
def test_mirrored_copies_are_mirrored_first_and_get_the_same_bones(tmp_path, layout):
    source, target = recorded(tmp_path / "source", layout), tmp_path / "target"
    limp = layout.skeleton.index("left_knee")
    for path in (source / "joints").glob("*.npy"):  # whose left thigh is twice as long
        joints = np.load(path)
        joints[:, limp] += joints[:, limp] - joints[:, layout.skeleton.parents[limp]]
        np.save(path, joints)
    dataset.prepare(source, target, layout)
    plain, mirrored = read_split(target, "train")[0]
    lengths = [layout.lengths(layout.decode_joints(clip.features))[0] for clip in (plain, mirrored)]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-4)
    joints = layout.mirror(np.load(source / "joints" / "000001.npy")[:, : layout.num_joints])
    dataset.write_clip(
        tmp_path, "a", layout, joints.astype(float), [LINE],
        lengths_J=lengths[0].astype(float), published_turns=True,
    )  # fmt: skip
    np.testing.assert_allclose(np.load(vectors(tmp_path, "a")), mirrored.features, atol=1e-3)


def test_published_texts_of_mirrored_copies_are_kept(tmp_path):
    source, target = recorded(tmp_path / "source", HUMANML3D), tmp_path / "target"
    (source / "texts" / "M000001.txt").write_text("he waves#he/PRON wave/VERB#0.0#0.0\n")
    dataset.prepare(source, target, HUMANML3D)
    _, mirrored = read_split(target, "train")[0]
    assert [caption.text for caption in mirrored.captions] == ["he waves"]


def test_without_split_files_all_are_to_train_on_with_the_layouts_bones(tmp_path):
    source = recorded(tmp_path / "source", HUMANML3D, splits=False, names=("a", "b", "c"))
    dataset.prepare(source, tmp_path / "target", HUMANML3D)
    clips, _ = read_split(tmp_path / "target", "train")
    assert [clip.name for clip in clips] == ["a", "Ma", "b", "Mb", "c", "Mc"]
    lengths = HUMANML3D.lengths(HUMANML3D.decode_joints(clips[2].features))
    np.testing.assert_allclose(lengths[0], HUMANML3D.reference_lengths, atol=1e-4)


def test_splits_that_list_mirrored_copies_keep_them(tmp_path):
    source, target = recorded(tmp_path / "source", HUMANML3D), tmp_path / "target"
    (source / "test.txt").write_text("03950\nM03950\n")
    assert dataset.prepare(source, target, HUMANML3D) == []
    assert [clip.name for clip in read_split(target, "test")[0]] == ["03950", "M03950"]
    assert [clip.name for clip in read_split(target, "val")[0]] == ["000021"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: a[:, :20], r"joints/000001\.npy has 20 joints, not 22"),
        (lambda a: a[:1], "it has 1 frames of joints, fewer than 2"),
        (lambda a: a[..., :2], r"is float32 \(50, 52, 2\), not float \(T, any, 3\)"),
        (lambda a: a * np.inf, "is not finite at frame 0"),
        (lambda a: a * 0, "the leg has no length"),
    ],
)
def test_joints_that_cant_be_used_are_named(tmp_path, change, reason):
    source = recorded(tmp_path / "source", HUMANML3D)
    path = source / "joints" / "000001.npy"
    with np.errstate(invalid="ignore"):
        np.save(path, change(np.load(path)))
    (problem,) = dataset.prepare(source, tmp_path / "target", HUMANML3D)
    assert problem.name == "000001"
    assert re.search(reason, problem.reason), problem.reason


def test_a_clip_without_joints_or_text_is_named(tmp_path):
    source = recorded(tmp_path / "source", HUMANML3D)
    (source / "texts" / "000001.txt").unlink()
    (source / "joints" / "03950.npy").unlink()
    first, second = dataset.prepare(source, tmp_path / "target", HUMANML3D)
    assert (first.name, first.reason) == ("000001", "it has no caption in texts/")
    assert (second.name, second.reason) == ("03950", "joints/03950.npy is missing")


@both
def test_joints_none_of_which_can_be_used_are_refused(tmp_path, layout):
    source = recorded(tmp_path / "source", layout)
    shutil.rmtree(source / "texts")
    with pytest.raises(ValueError, match=r"has no usable clip \(000001: it has no caption"):
        dataset.prepare(source, tmp_path / "target", layout)
    assert not (tmp_path / "target").exists()


def test_data_sets_by_command(run, tmp_path):
    source, target = recorded(tmp_path / "source", KIT), tmp_path / "target"
    status, output, _ = run("data", "prepare", "kit-ml", source, "--out", target)
    assert status == 0 and f"prepared in {target}" in output
    status, output, _ = run("data", "check", "kit-ml", target)
    assert status == 0 and "4 clips can be used, 0 can't" in output
    status, _, errors = run("data", "prepare", "humanml3d", target)
    assert status == 2 and "has no folder joints" in errors and "is prepared already" in errors
    _, output, _ = run("data", "list")
    names = {line.split()[0] for line in output.splitlines()}
    assert {"solo-open", "solo-interhuman", "humanml3d", "kit-ml"} <= names
