"""The linear tokenizer: what the fit finds, and what its layers compute."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duomotion.models.intermask.blocks import BlockDecoder, BlockEncoder, fit
from duomotion.models.intermask.config import BlockTokenizerConfig
from duomotion.models.intermask.tokenizer import MotionTokenizer

TINY = {"num_joints": 3, "joint_dim": 4, "num_parts": 2, "frames": 2, "code_dim": 3}


def fitted(motion_BTJD, importance_JD=None, **sizes):
    tokenizer = MotionTokenizer(BlockTokenizerConfig(**{**TINY, **sizes})).eval()
    assert isinstance(tokenizer.encoder, BlockEncoder)
    assert isinstance(tokenizer.decoder, BlockDecoder)
    if importance_JD is None:
        importance_JD = torch.ones(3, 4)
    generator = torch.Generator().manual_seed(0)
    fit(
        tokenizer.encoder,
        tokenizer.quantizer,
        tokenizer.decoder,
        motion_BTJD,
        importance_JD,
        generator,
    )
    return tokenizer


def in_a_subspace(dimensions, num_motions=4, blocks=5, seed=0):
    """Motions (2 B, T, 3, 4) whose blocks of two frames lie in a space of few dimensions."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(dimensions, 2 * 12, generator=generator)
    points = torch.randn(num_motions, blocks, dimensions, generator=generator)
    points = torch.cat([points, -points])  # on average every frame of a block is the same
    return (points @ basis).view(-1, 2 * blocks, 3, 4)


@pytest.mark.parametrize("reach", [0, 1])
def test_motion_of_few_dimensions_comes_back(reach):
    """With a code for each vector nothing is lost."""
    motion = in_a_subspace(6)
    tokenizer = fitted(motion, reach=reach, num_codes=2 * 8 * 5)
    ids = tokenizer.encode(motion)
    assert ids.shape == (8, 2 * 5)
    torch.testing.assert_close(tokenizer.decode(ids), motion, atol=0.02, rtol=0)


def test_components_are_the_principal_ones():
    motion = torch.randn(50, 8, 3, 4, generator=torch.Generator().manual_seed(1))
    motion = torch.cat([motion, -motion]) * torch.linspace(0.1, 2, 12).view(3, 4)
    tokenizer = fitted(motion, num_codes=16)
    latents = tokenizer.latents(motion).permute(0, 2, 3, 1).reshape(-1, 6)  # component k last
    blocks = motion.transpose(2, 3).reshape(-1, 24)
    singular = torch.linalg.svdvals(blocks - blocks.mean(0))[:6] ** 2
    torch.testing.assert_close(latents.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.square().mean(), torch.tensor(1.0))
    variance = latents.square().sum(0)
    torch.testing.assert_close(variance / variance.sum(), singular / singular.sum())


def test_what_has_no_importance_is_not_coded():
    motion = in_a_subspace(6, num_motions=40)
    importance = torch.ones(3, 4)
    importance[1] = 0
    tokenizer = fitted(motion, importance, num_codes=16)
    changed = motion.clone()
    changed[:, :, 1] += 5
    assert torch.equal(tokenizer.encode(changed), tokenizer.encode(motion))


@given(
    reach=st.integers(0, 2),
    frames=st.integers(1, 4),
    blocks=st.integers(1, 5),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_decoder_equals_a_sum_over_neighbours(reach, frames, blocks, seed):
    torch.manual_seed(seed)
    config = BlockTokenizerConfig(**{**TINY, "frames": frames, "reach": reach, "code_dim": 2})
    decoder = BlockDecoder(config)
    x_BDPN = torch.randn(2, 2, 2, blocks)
    x_BKN, taps = x_BDPN.flatten(1, 2), decoder.synthesis.weight.unflatten(2, (-1, frames))
    literal = torch.empty(2, 12, blocks * frames)
    for block in range(blocks):
        total = decoder.synthesis.bias[:, None].expand(2, 12, frames)
        for ahead in range(-reach, reach + 1):
            seen = x_BKN[:, :, min(max(block + ahead, 0), blocks - 1)]
            total = total + torch.einsum("bk,kcf->bcf", seen, taps[:, :, reach - ahead])
        literal[:, :, block * frames : (block + 1) * frames] = total
    torch.testing.assert_close(decoder(x_BDPN).flatten(1, 2), literal, atol=1e-5, rtol=1e-5)


def test_training_moves_codebook_and_decoder_only():
    motion = in_a_subspace(9, num_motions=16)
    tokenizer = fitted(motion, num_codes=16).train()
    before = {name: tensor.clone() for name, tensor in tokenizer.state_dict().items()}
    optimizer = torch.optim.SGD(tokenizer.parameters(), lr=0.1)
    (tokenizer(motion).reconstruction - motion).square().mean().backward()
    optimizer.step()
    changed = {
        name
        for name, tensor in tokenizer.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert {"decoder.synthesis.weight", "quantizer.codebook"} <= changed
    assert not any(name.startswith("encoder") for name in changed)


@pytest.mark.parametrize("sizes", [{"code_dim": 13}, {"reach": -1}, {"frames": 0}])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=r"numbers of|reach|frames"):
        BlockTokenizerConfig(**{**TINY, **sizes})
