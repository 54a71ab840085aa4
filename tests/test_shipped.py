"""The model that comes with the package."""

import numpy as np
import pytest
from recordings import needs_recordings, take

import duomotion
from duomotion.loading import alike, shipped
from duomotion.models.windows import OVERLAP_SECONDS
from duomotion.motion.seams import seams
from duomotion.motion.skeleton import SMPL22

NAME = "intermask-open"


@pytest.fixture(scope="module")
def model():
    return duomotion.load(NAME)


@pytest.mark.parametrize("name", shipped())
def test_it_is_small_and_has_a_card(name):
    folder = shipped()[name]
    assert sum(file.stat().st_size for file in folder.rglob("*.safetensors")) <= 16e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    for word in ("non-commercial", "duomotion train", "duomotion evaluate", "mm"):
        assert word in card
    for file in folder.rglob("*.json"):
        assert '"/' not in file.read_text(encoding="utf-8"), f"{file} holds somebody's path"


def test_it_makes_two_people_of_human_size(model, tmp_path, monkeypatch):
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path))
    clip = model.generate("two people shake hands", seconds=3, seed=0)
    assert clip.positions.shape == (2, 90, 22, 3) and np.isfinite(clip.positions).all()
    assert clip.skeletons[0].same_tree(SMPL22)
    for skeleton in clip.skeletons:
        legs = np.linalg.norm(skeleton.offsets[[4, 7]], axis=-1).sum()
        assert 0.7 < legs < 0.95
    heads = clip.positions[:, :, SMPL22.index("head"), 1]
    assert (heads > 1.1).all() and (heads < 2.1).all()
    again = model.generate("two people shake hands", seconds=3, seed=0)
    np.testing.assert_array_equal(again.positions, clip.positions)


@pytest.mark.slow
def test_a_long_motion_shows_no_seams(model, tmp_path, monkeypatch):
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path))
    clip = model.generate("two people do the chicken dance", seconds=20, seed=0)
    window, overlap = model.max_frames, round(30 * OVERLAP_SECONDS)
    seam = seams(clip, range(window, clip.num_frames, window - overlap))
    assert seam["speed"] < 1.1 and seam["acceleration"] < 1.1 and seam["sliding"] < 1.5


@needs_recordings
def test_what_follows_a_recording_does_not_show_where_it_starts(model, tmp_path, monkeypatch):
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path))
    known = take("20_01").frames(0, 60)
    clip = model.extend(known, "two people do the chicken dance", seconds=6)
    np.testing.assert_allclose(clip.positions[:, :60], known.positions, atol=1e-4)
    seam = seams(clip, [60])
    assert seam["speed"] < 1.1 and seam["acceleration"] < 1.1 and seam["sliding"] < 1.5


def test_models_of_as_many_people_are_alike():
    masked = {"intermask-open", "intermask-open-2"}
    two = masked | {
        f"{name}-open" for name in ("ild", "fild", "intergen", "intermoe", "intermamba")
    }
    assert two - {"ild-open"} <= set(alike("ild-open")) and "momask-open" not in alike("ild-open")
    assert alike("momask-open") == []
