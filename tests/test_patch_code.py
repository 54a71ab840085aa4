"""Patches of frames as a few numbers each."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.intergen.network import MotionDiffusion
from duomotion.models.layers.patch_code import PatchCode, PatchCodeConfig

FEATURES = 5


def motions(count=40, patches=6, patch=4, rank=3):
    """Smooth motion that `rank` numbers a frame say."""
    rng = torch.Generator().manual_seed(0)
    basis = torch.randn(rank, FEATURES, generator=rng)
    drawn = torch.randn(count, 2, patch * patches, rank, generator=rng).cumsum(2)
    return [x @ basis + 3 for x in drawn]


def fitted(size, importance=None, patch=4):
    code = PatchCode(PatchCodeConfig(patch=patch, size=size), FEATURES)
    code.fit(motions(patch=patch), torch.ones(FEATURES) if importance is None else importance)
    return code


@examples(20)
@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 5))
def test_as_many_numbers_as_features_lose_nothing(patch, count):
    code = PatchCode(PatchCodeConfig(patch=patch, size=patch * FEATURES), FEATURES)
    x = torch.randn(3, 2, patch * count, FEATURES)
    z = code.encode(x)
    assert z.shape == (3, 2, count, patch * FEATURES)
    torch.testing.assert_close(code.decode(z), x)
    code.fit([torch.randn(2, patch * 100, FEATURES)], torch.rand(FEATURES) + 0.5)
    torch.testing.assert_close(code.decode(code.encode(x)), x, atol=1e-4, rtol=1e-4)


def test_patches_are_coded_one_by_one():
    code, x = fitted(6), torch.stack(motions()[:2])
    torch.testing.assert_close(code.encode(x)[:, :, 2:4], code.encode(x[:, :, 8:16]))
    z = code.encode(x)
    torch.testing.assert_close(code.decode(z)[:, :, 8:16], code.decode(z[:, :, 2:4]))


def test_the_code_is_the_best_of_its_size():
    importance = torch.rand(FEATURES, generator=torch.Generator().manual_seed(1)) + 0.5
    x = torch.stack(motions())
    patches = x.unflatten(2, (-1, 4)).flatten(3).flatten(0, 2)
    weights = importance.repeat(4)
    left = torch.linalg.svdvals((patches - patches.mean(0)) * weights).square() / len(patches)
    for size in (2, 5, 9):
        code = fitted(size, importance)
        error = ((code.decode(code.encode(x)) - x) * importance).square().sum(-1)
        found = float(error.mean()) * 4
        assert found == pytest.approx(float(left[size:].sum()), rel=1e-3, abs=1e-6)


def test_a_coded_motion_is_coded_as_itself():
    code, x = fitted(4), torch.stack(motions())
    z = code.encode(x)
    torch.testing.assert_close(code.encode(code.decode(z)), z, atol=1e-4, rtol=1e-4)


def test_numbers_have_about_the_size_of_noise_and_the_largest_come_first():
    z = fitted(8).encode(torch.stack(motions())).flatten(0, 2)
    assert float(z.square().mean()) == pytest.approx(1, rel=0.01)
    sizes = z.std(0)
    assert (sizes.diff() <= 1e-5).all()
    spread = torch.stack(motions()).unflatten(2, (-1, 4)).flatten(3).flatten(0, 2)
    variances = torch.linalg.eigvalsh(spread.T.cov()).flip(0)
    assert float(sizes[0] / sizes[7]) < float((variances[0] / variances[7]).sqrt()) / 3


def test_what_never_moves_is_no_number_beyond_bounds():
    code = PatchCode(PatchCodeConfig(patch=2, size=8), FEATURES)
    still = motions(patch=2, rank=1)
    code.fit(still, torch.ones(FEATURES))
    assert code.encode(torch.stack(still)).abs().max() < 20
    assert code.decode(torch.randn(2, 2, 5, 8)).isfinite().all()


def test_more_numbers_than_a_patch_has_are_refused():
    config = DenoiserConfig(code=PatchCodeConfig(patch=2, size=525), width=16, text_dim=8)
    with pytest.raises(ValueError, match=r"code\.size must be at most 524, .* not 525"):
        MotionDiffusion(config)
