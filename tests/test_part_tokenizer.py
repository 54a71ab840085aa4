"""The tokenizer of body parts: what its frames, fit and codes promise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from motions import waving
from properties import examples
from torch import Tensor

from duomotion.config import from_dict
from duomotion.data.windows import joint_map
from duomotion.models.intermask.config import PartTokenizerConfig
from duomotion.models.intermask.part_tokenizer import (
    FACING_DIM,
    LEFT_ARM,
    RIGHT_ARM,
    BodyFrame,
    PartTokenizer,
    join_blocks,
)
from duomotion.motion.canonical import facing
from duomotion.motion.rotations import matrix_to_sixd_interleaved, rotate_about_y, yaw
from duomotion.motion.skeleton import SMPL22

UNIT = 4
PLACES, COURSES, BODIES, LEFT, RIGHT = range(5)


def moving(blocks: int = 40) -> Tensor:
    """Joint maps (2, 4 blocks, 22, 12) of two people who turn all their joints."""
    motion = waving(2, UNIT * blocks + 1)
    sixd = matrix_to_sixd_interleaved(motion.rotations[:, :, 1:])
    return torch.from_numpy(joint_map(motion.positions, sixd))


def pca_encoder(joints: Tensor, **sizes: int) -> PartTokenizer:
    config = PartTokenizerConfig(**{"frames": UNIT, "channels": 6, "num_codes": 16, **sizes})
    tokenizer = PartTokenizer(config).eval()
    tokenizer.fit(joints, torch.Generator().manual_seed(0))
    return tokenizer


def elsewhere(joints: Tensor, angle: float, x: float, z: float) -> Tensor:
    """The same motion at another place of the world, turned about +Y."""
    turn = torch.full(joints.shape[:-1], angle)
    position = rotate_about_y(joints[..., :3], turn) + torch.tensor([x, 0, z])
    return torch.cat([position, rotate_about_y(joints[..., 3:6], turn), joints[..., 6:]], -1)


def rows(tokenizer: PartTokenizer, joints: Tensor) -> Tensor:
    return tokenizer.encode(joints).unflatten(1, (5, -1))


@torch.no_grad()
def error_mm(tokenizer: PartTokenizer, joints: Tensor) -> float:
    back = tokenizer.decode(tokenizer.encode(joints))
    return float((back - joints)[..., :3].norm(dim=-1).mean() * 1000)


def test_with_a_code_for_every_block_little_is_lost():
    """What remains is what the components leave out."""
    joints = moving()
    tokenizer = pca_encoder(joints, channels=12, num_codes=80)
    assert rows(tokenizer, joints).shape == (2, 5, 40)
    back = tokenizer.decode(tokenizer.encode(joints))
    assert error_mm(tokenizer, joints) < 15
    torch.testing.assert_close(back[:, :-1, :, 3:6], back[..., :3].diff(dim=1))
    assert not back[:, :, 0, 6:].any()


def test_more_codes_and_neighbours_lose_less():
    joints = moving()
    errors = [
        error_mm(pca_encoder(joints, num_codes=num_codes, reach=reach), joints)
        for num_codes, reach in ((4, 0), (32, 0), (32, 1))
    ]
    assert errors == sorted(errors, reverse=True)


@given(angle=st.floats(-3, 3), x=st.floats(-2, 2), z=st.floats(-2, 2))
@examples(10)
def test_a_pose_has_the_same_tokens_everywhere(angle, x, z):
    joints = moving()
    tokenizer = pca_encoder(joints)
    moved = elsewhere(joints, angle, x, z)
    here, there = (tokenizer.latents(*tokenizer._blocks(m)) for m in (joints, moved))
    for row in (BODIES, LEFT, RIGHT):
        torch.testing.assert_close(here[row], there[row], atol=1e-4, rtol=0)
    path = slice(FACING_DIM, None)
    torch.testing.assert_close(
        here[COURSES][..., path], there[COURSES][..., path], atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(("arm", "row"), [(LEFT_ARM, LEFT), (RIGHT_ARM, RIGHT)])
def test_an_arm_that_moves_changes_its_own_row_only(arm, row):
    joints = moving()
    tokenizer = pca_encoder(joints)
    changed = joints.clone()
    changed[:, :, arm[1:], 1] += 0.6
    same = (rows(tokenizer, joints) == rows(tokenizer, changed)).all(-1).all(0)
    assert same.tolist() == [other != row for other in range(5)]


@given(angle=st.floats(-3, 3), x=st.floats(-9, 9), z=st.floats(-9, 9), seed=st.integers(0, 9))
@examples(20)
def test_stands_say_where_people_are_and_face(angle, x, z, seed):
    rest = SMPL22.rest_positions @ yaw(angle).T + [x, 0, z]
    body_frame = BodyFrame.from_positions(torch.from_numpy(rest).float()[None, None, None])
    root = rest[0]
    np.testing.assert_allclose(body_frame.position_BN2[0, 0], root[[0, 2]], atol=1e-5)
    np.testing.assert_allclose(body_frame.heading_BN[0, 0], facing(rest, SMPL22), atol=1e-4)
    points = torch.randn(1, 1, 2, 22, 3, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        body_frame.to_world(body_frame.to_local(points)), points, atol=1e-4, rtol=0
    )


def test_a_stand_seen_from_another():
    """Two metres ahead of somebody who faces +X, and turned to face +Z."""
    other = BodyFrame(torch.tensor([[[1.0, 1.0]]]), torch.tensor([[torch.pi / 2]]))
    body_frame = BodyFrame(torch.tensor([[[3.0, 1.0]]]), torch.tensor([[0.0]]))
    expected = torch.tensor([[[0.0, 2.0, -1.0, 0.0]]])
    torch.testing.assert_close(body_frame.relative_to(other), expected, atol=1e-6, rtol=0)


def test_training_moves_the_decoder_only():
    joints = moving()
    tokenizer = pca_encoder(joints).train()
    before = {name: tensor.clone() for name, tensor in tokenizer.state_dict().items()}
    optimizer = torch.optim.SGD((p for p in tokenizer.parameters() if p.requires_grad), lr=0.1)
    output = tokenizer(joints)
    (output.reconstruction - joints).square().mean().backward()
    optimizer.step()
    after = tokenizer.state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"decoder.weight", "decoder.bias"}
    assert 1 <= output.perplexity <= 16


@pytest.mark.parametrize("sizes", [{"channels": 0}, {"channels": 25}, {"reach": -1}, {"frames": 0}])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=r"channels|reach|frames"):
        from_dict(PartTokenizerConfig, sizes, "recipe")


def test_motion_and_tokens_that_do_not_fit_are_refused():
    tokenizer = pca_encoder(moving())
    with pytest.raises(ValueError, match="frames a multiple of 4"):
        tokenizer.encode(torch.zeros(1, 6, 22, 12))
    with pytest.raises(ValueError, match="must be a multiple of 5"):
        tokenizer.decode(torch.zeros(1, 6, dtype=torch.long))


def test_steady_motion_is_joined_as_it_is_and_steps_between_blocks_are_spread():
    time = torch.arange(24.0)[None, :, None, None]
    steady = (0.1 * time + torch.tensor([1.0, 2, 3])).unflatten(1, (3, 8))
    torch.testing.assert_close(join_blocks(steady), steady.flatten(1, 2))
    torn = steady.clone()
    torn[:, 1] += 1
    whole = join_blocks(torn)
    assert (torn.flatten(1, 2).diff(dim=1)[:, [7, 15]].abs() > 0.85).all()
    assert whole.diff(dim=1).abs().max() < 0.25
    torch.testing.assert_close(whole.mean(1), torn.flatten(1, 2).mean(1), atol=1e-3, rtol=0)
    assert join_blocks(steady[:, :1]).shape == (1, 8, 1, 3)
