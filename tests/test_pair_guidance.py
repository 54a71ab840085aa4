"""What guides two people in sampling: layouts that move, paths, bodies of other packages."""

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from motions import off, standing, waving
from scipy.spatial.transform import Rotation
from torch import nn

from duomotion.body import smpl_volumes
from duomotion.body.constraints import Contact, RootPath
from duomotion.body.pair_bodies import CAPSULES, CapsuleBodies, pair_bodies
from duomotion.models.pair_denoiser import SHIFTS
from duomotion.models.pair_guidance import PairGuidance, Paths, ShiftGuidance
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.interx import INTERX
from duomotion.motion.kinematics import forward_kinematics
from duomotion.motion.normaliser import Normaliser
from duomotion.motion.skeleton import SMPL22, Skeleton
from duomotion.motion.splines import spline_basis
from duomotion.sampling.diffusion import Known

LAYOUTS = [pytest.param(each, id=each.name) for each in (INTERHUMAN, INTERX)]
BODY_JOINTS = 24
PARENTS = np.array(
    [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
)


def moved(motion, by_PT3):
    return replace(motion, root_positions=motion.root_positions + by_PT3)


def features_of(layout, motion):
    return torch.from_numpy(layout.encode(layout.bodies(motion)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shifted_features_are_those_of_shifted_people(layout):
    motion = waving(frames=31)
    by = np.zeros((2, 31, 3))
    by[1, :, 0], by[0, :, 2] = np.linspace(0, 1, 31) ** 2, 0.3
    expected = features_of(layout, moved(motion, by)).numpy()
    made = features_of(layout, motion)
    shift, steps = by[:, :-1], np.diff(by, axis=1)
    for found in (
        layout.shifted(made.numpy(), shift, steps),
        layout.shifted(made, torch.from_numpy(shift), torch.from_numpy(steps)).numpy(),
    ):
        if layout is INTERHUMAN:  # feet that are carried along are in contact no longer
            found[..., INTERHUMAN.blocks.contacts] = expected[..., INTERHUMAN.blocks.contacts]
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rotations_are_those_of_the_bodies(layout):
    people = layout.bodies(waving(frames=11))
    features = layout.encode(people)
    for found in (layout.rotations(features), layout.rotations(torch.from_numpy(features))):
        np.testing.assert_allclose(found, people.rotations[:, :-1, :22], atol=1e-4)


def test_a_spline_basis_holds_what_is_constant_or_straight():
    basis = spline_basis(50, 30.0, 0.2)
    np.testing.assert_allclose(basis.sum(1), 1)
    straight = np.arange(50.0)
    fitted = basis @ np.linalg.lstsq(basis, straight, rcond=None)[0]
    np.testing.assert_allclose(fitted, straight, atol=1e-9)
    assert spline_basis(1, 30.0, 0.2).shape[0] == 1


def shift_guidance(frames, *, contacts=(), bodies=None, known=None, steps=20):
    normaliser = Normaliser(torch.full((262,), 0.1), torch.full((262,), 2.0))
    guidance = PairGuidance(
        SHIFTS,
        INTERHUMAN,
        normaliser,
        bodies=bodies,
        contacts=contacts,
        steps=steps,
        collision_steps=SHIFTS.collision_steps,
    )
    return ShiftGuidance(guidance, frames, normaliser.mean, known)


def steps_of(guidance, clean, steps=20):
    """All steps, with a network that predicts what it is given."""
    for step in range(steps):
        clean = guidance(clean, step)
    return clean


def test_people_are_shifted_to_a_path_and_nothing_else_changes():
    path = RootPath(1, ((0.5, 0.7, 0.0), (1.5, 0.2, 0.6)))
    clean = 0.5 * (features_of(INTERHUMAN, standing(2, 61, 1.0))[None] - 0.1)
    normaliser = Normaliser(torch.full((262,), 0.1), torch.full((262,), 2.0))
    made = Paths((path,), INTERHUMAN, normaliser, 60, normaliser.mean)(clean)
    before, joints = (INTERHUMAN.positions(normaliser.denormalise(each)) for each in (clean, made))
    missing = off(path, joints[0, 1, :, 0, ::2]).norm(dim=-1)
    assert missing.max() < 0.05 < 0.1 * float(before[0, 1, 0, 0, 0])
    torch.testing.assert_close(joints[:, 0], before[:, 0])
    relative = [each[:, 1] - each[:, 1, :, :1] for each in (joints, before)]
    torch.testing.assert_close(*relative, atol=1e-4, rtol=0)


def test_hands_that_are_to_touch_are_shifted_together():
    clean = 0.5 * (features_of(INTERHUMAN, standing(2, 61, 2.0))[None] - 0.1)
    contact = Contact(("left_hand", "right_hand"), 1.0, 1.5)
    guidance = shift_guidance(60, contacts=(contact,))
    before, made = (float(guidance.guidance.goals(x)) for x in (clean, steps_of(guidance, clean)))
    assert before > 1 and made < 0.05 * before


def test_bodies_in_each_other_are_shifted_apart_but_where_they_are_known():
    clean = 0.5 * (features_of(INTERHUMAN, standing(2, 61, 0.1))[None] - 0.1)
    bodies = CapsuleBodies(INTERHUMAN, SMPL22)
    mask = torch.zeros(1, 2, 60, 1, dtype=torch.bool)
    mask[:, :, :20] = True
    for known in (None, Known(clean, mask)):
        made = steps_of(shift_guidance(60, bodies=bodies, known=known), clean)
        gap_T = (INTERHUMAN.positions(made * 2 + 0.1)[0, :, :, 0].diff(dim=0)).norm(dim=-1)[0]
        assert gap_T[40:].min() > 0.15
        assert (gap_T[:20].max() < 0.1001) == (known is not None)


class FakeSmpl(nn.Module):
    """Balls around joints, with the interface of smplx's SMPL and of VolumetricSMPL."""

    def __init__(self, *, model_path, data_struct, gender, batch_size):
        super().__init__()
        assert (model_path, gender, batch_size) == ("", "neutral", 1)
        for name in ("v_template", "J_regressor"):
            self.register_buffer(name, torch.from_numpy(getattr(data_struct, name)).float())
        joints = (self.J_regressor @ self.v_template).numpy()
        offsets = joints - np.where(PARENTS[:, None] < 0, 0, joints[PARENTS])
        self.skeleton = Skeleton(
            tuple(map(str, range(BODY_JOINTS))), tuple(PARENTS.tolist()), offsets
        )

    def forward(self, *, global_orient, body_pose, transl, return_full_pose):
        assert return_full_pose and body_pose.shape[1] == 69
        turns = torch.cat([global_orient, body_pose], 1).unflatten(1, (-1, 3))
        angle = turns.norm(dim=-1, keepdim=True).clamp_min(1e-9)[..., None]
        cross = torch.linalg.cross(
            torch.eye(3).expand(*turns.shape[:-1], 3, 3), (turns / angle[..., 0])[..., None, :]
        )
        matrices = torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) * cross @ cross
        offsets = torch.from_numpy(self.skeleton.offsets).float()
        roots = transl + offsets[0]
        joints = forward_kinematics(roots, matrices, offsets, self.skeleton)
        return SimpleNamespace(vertices=joints, joints=joints, full_pose=turns.flatten(1))


class FakeVolume(nn.Module):
    def __init__(self):
        super().__init__()
        self.radius = nn.Parameter(torch.zeros(()))

    def query(self, points, output):
        return torch.cdist(points, output.joints).amin(-1) - self.radius


@pytest.fixture
def body_files(tmp_path, monkeypatch):
    """A body whose joints and vertices are SMPL-22's, with hands, and the packages that read it."""
    smplx, volumetric = ModuleType("smplx"), ModuleType("VolumetricSMPL")
    smplx.SMPL = FakeSmpl

    def attach_volume(body, pretrained):
        assert not pretrained
        body.volume = FakeVolume()

    volumetric.attach_volume = attach_volume
    monkeypatch.setitem(sys.modules, "smplx", smplx)
    monkeypatch.setitem(sys.modules, "VolumetricSMPL", volumetric)
    rest = SMPL22.rest_positions
    joints = np.concatenate([rest, rest[[20, 21]] + [[0.08, 0, 0], [-0.08, 0, 0]]])
    arrays = {
        "v_template": joints + [0.0, -0.2, 0.0],
        "shapedirs": np.zeros((24, 3, 10)),
        "posedirs": np.zeros((24, 3, 207)),
        "J_regressor": np.eye(24),
        "kintree_table": np.stack([PARENTS, np.arange(24)]),
        "weights": np.eye(24),
        "f": np.zeros((1, 3), int),
    }
    file = tmp_path / "SMPL_NEUTRAL.npz"
    np.savez(file, **arrays)
    torch.save({"state_dict": {"radius": torch.tensor(0.1)}}, tmp_path / smpl_volumes.WEIGHTS)
    return file, arrays


@pytest.mark.parametrize("layout", LAYOUTS)
def test_volumes_are_posed_as_the_features_say(body_files, layout):
    volumes = pair_bodies(str(body_files[0]), layout, SMPL22)
    motion = replace(waving(frames=9), skeletons=(SMPL22, SMPL22))
    people = layout.bodies(motion)
    features = torch.from_numpy(layout.encode(people))[None]
    posed = volumes._posed(features).vertices.reshape(2, 8, 24, 3)[:, :, :22]
    if layout is INTERX:  # whose body has other bones
        torch.testing.assert_close(posed[:, :, 0], layout.positions(features)[0, :, :, 0])
    else:
        np.testing.assert_allclose(posed, people.positions[:, :-1], atol=1e-3)


def test_depths_are_those_of_the_balls_and_gradients_move_people_apart(body_files):
    volumes = pair_bodies(str(body_files[0]), INTERHUMAN, SMPL22)
    pairs = [standing(2, 4, gap) for gap in (0.05, 3.0)]
    features = torch.stack([features_of(INTERHUMAN, pair) for pair in pairs]).requires_grad_()
    depths = volumes.depths(features)
    assert depths[0] > 1 and depths[1] == 0
    torch.testing.assert_close(depths[0], volumes.depths(features[:1])[0])
    (gradient,) = torch.autograd.grad(depths.sum(), features)
    assert gradient[1].abs().max() == 0
    along = INTERHUMAN.positions(gradient[0])[..., 0, 0].mean(1)
    assert along[0] > 0 > along[1]


def test_body_models_that_are_missing_or_of_another_kind(body_files, monkeypatch, tmp_path):
    file, arrays = body_files

    def load():
        return pair_bodies(str(file), INTERHUMAN, SMPL22)

    (tmp_path / smpl_volumes.WEIGHTS).rename(tmp_path / "kept")
    with pytest.raises(ValueError, match="is missing; it holds the volume"):
        load()
    torch.save({"state_dict": {"size": torch.zeros(2)}}, tmp_path / smpl_volumes.WEIGHTS)
    with pytest.raises(ValueError, match="does not fit"):
        load()
    torch.save({"weights": torch.zeros(2)}, tmp_path / smpl_volumes.WEIGHTS)
    with pytest.raises(ValueError, match="holds no state_dict"):
        load()
    np.savez(file, **{**arrays, "weights": np.eye(24)[:, :22]})
    with pytest.raises(ValueError, match="of another kind, not SMPL with its 24 joints"):
        load()
    np.savez(file, v_template=arrays["v_template"])
    with pytest.raises(ValueError, match="does not have the arrays of SMPL"):
        load()
    file.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"SMPL's body model as an \.npz file"):
        load()
    file.unlink()
    with pytest.raises(ValueError, match="there is no such body model"):
        load()
    monkeypatch.setitem(sys.modules, "VolumetricSMPL", None)
    with pytest.raises(ValueError, match="needs the packages smplx, VolumetricSMPL, roma"):
        load()
    assert isinstance(pair_bodies(CAPSULES, INTERHUMAN, SMPL22), CapsuleBodies)


def test_turns_of_half_a_circle_have_gradients(body_files):
    volumes = pair_bodies(str(body_files[0]), INTERHUMAN, SMPL22)
    turned = standing(2, 4, 0.05)
    half = Rotation.from_euler("y", 180, degrees=True).as_matrix()
    rotations = turned.rotations.copy()
    rotations[1, :, 0] = half
    features = features_of(INTERHUMAN, replace(turned, rotations=rotations))[None].requires_grad_()
    (gradient,) = torch.autograd.grad(volumes.depths(features).sum(), features)
    assert gradient.isfinite().all()
