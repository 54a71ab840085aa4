"""Frames in patches, side by side and lapped, and the code that lapped ones begin with."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.intergen.network import InterGenDenoiser
from duomotion.models.layers.patches import blended, cut, joined, lapped, principal_code, window

PATCHES, COUNTS = st.sampled_from([2, 4, 8]), st.integers(1, 5)


def motion(frames, seed=0, batch=2):
    return torch.randn(batch, 2, frames, 3, generator=torch.Generator().manual_seed(seed))


@examples(30)
@given(PATCHES, COUNTS)
def test_frames_come_back(patch, count):
    x = motion(patch * count)
    assert torch.equal(joined(cut(x, patch), patch), x)
    parts = lapped(x, patch, None)
    assert parts.shape == (2, 2, count, 2 * patch * 3)
    torch.testing.assert_close(blended(parts, patch, None), x)


@examples(30)
@given(PATCHES, COUNTS, st.integers(1, 3))
def test_what_follows_a_sample_changes_nothing(patch, count, more):
    x = motion(patch * count, batch=1)
    long = torch.cat([x, 1e6 * motion(patch * more, seed=1, batch=1)], 2)
    other = motion(patch * (count + more), seed=2, batch=1)
    lengths = torch.tensor([patch * count, patch * (count + more)])
    parts = lapped(torch.cat([long, other]), patch, lengths)
    torch.testing.assert_close(parts[:1, :, :count], lapped(x, patch, None))
    parts[0, :, count:] = torch.nan_to_num(torch.tensor(float("inf")))
    back = blended(parts, patch, lengths)
    torch.testing.assert_close(back[:1, :, : patch * count], x)
    torch.testing.assert_close(back[1:], other)


def test_patches_fade_into_each_other():
    """A patch alone is a bump of twice its length; side by side it would be a block."""
    parts = torch.zeros(1, 1, 5, 16)
    parts[0, 0, 2] = window(8)
    bump = blended(parts, 8, None)[0, 0, :, 0]
    assert bump[12:28].min() > 0 and bump[:12].abs().max() == bump[28:].abs().max() == 0
    assert bump.diff().abs().max() < 0.2 < 0.9 < bump.max()


def test_the_code_is_the_best_of_its_size():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 4, generator=generator) @ torch.randn(4, 9, generator=generator) + 3
    weights = torch.rand(9, generator=generator) + 0.5

    def error(size):
        into, into_bias, out, out_bias = principal_code(x, weights, size)
        back = (x @ into.mT + into_bias) @ out.mT + out_bias
        return float(((back - x) * weights).square().sum(1).mean())

    centred = (x - x.mean(0)) * weights
    left = torch.linalg.svdvals(centred).square() / len(x)
    assert error(2) == pytest.approx(float(left[2:].sum()), rel=1e-3)
    assert error(4) < 1e-6 < error(3)


def test_a_denoiser_begins_by_giving_back_what_comes_in():
    config = DenoiserConfig(
        width=24, num_heads=2, num_blocks=1, feedforward=8, text_dim=8, text_layers=0, patch=4,
        lapped=True,
    )  # fmt: skip
    torch.manual_seed(0)
    denoiser = InterGenDenoiser(config).eval()
    basis = torch.randn(3, 262)
    motions = [torch.cumsum(torch.randn(2, 40, 3), 1) @ basis for _ in range(20)]
    denoiser.begin_with_code(motions, torch.ones(262))
    x = torch.stack(motions[:2])
    norms = denoiser.modulate(denoiser.embed(torch.zeros(2, 24), torch.tensor([0, 900])))
    with torch.no_grad():
        made = denoiser(x, norms, torch.tensor([40, 40]))
    assert (made - x).square().mean() < 0.01 * x.var()
    with pytest.raises(ValueError, match="lapped patches need an even number of frames, not 5"):
        DenoiserConfig(patch=5, lapped=True)
