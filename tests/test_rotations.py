import numpy as np
import pytest
import torch
from hypothesis import assume, given
from properties import examples, is_rotation, matrices, vectors
from scipy.spatial.transform import Rotation

from duomotion.motion import rotations
from duomotion.motion.rotations import (
    align_vectors,
    matrix_to_quaternion,
    matrix_to_sixd_concatenated,
    matrix_to_sixd_interleaved,
    matrix_to_sixd_rows,
    normalise,
    quaternion_to_matrix,
    rotation_between,
    sixd_concatenated_to_matrix,
    sixd_interleaved_to_matrix,
    sixd_rows_to_matrix,
    yaw,
)

ORDERS = {
    "interleaved": (matrix_to_sixd_interleaved, sixd_interleaved_to_matrix),
    "concatenated": (matrix_to_sixd_concatenated, sixd_concatenated_to_matrix),
    "rows": (matrix_to_sixd_rows, sixd_rows_to_matrix),
}


@pytest.mark.parametrize("order", ORDERS)
@examples(40)
@given(matrix=matrices(2, 3))
def test_sixd_round_trip_in_numpy_and_torch(order, matrix):
    write, read = ORDERS[order]
    sixd = write(matrix)
    assert sixd.shape == (2, 3, 6)
    np.testing.assert_allclose(read(sixd), matrix, atol=1e-7)
    other = write(torch.from_numpy(matrix))
    np.testing.assert_array_equal(other.numpy(), sixd)
    np.testing.assert_allclose(read(other).numpy(), read(sixd), atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@examples(40)
@given(first=vectors(5), second=vectors(5))
def test_any_two_directions_give_a_rotation(order, first, second):
    assume(np.linalg.norm(np.cross(first, second), axis=-1).min() > 0.3)
    sixd = np.concatenate([first, second], -1)
    if order == "interleaved":
        sixd = np.stack([first, second], -1).reshape(5, 6)
    matrix = ORDERS[order][1](sixd)
    assert is_rotation(matrix, atol=1e-5)
    if order == "rows":
        matrix = np.swapaxes(matrix, -1, -2)
    np.testing.assert_allclose(matrix[..., 0], normalise(first), atol=1e-6)
    assert ((matrix[..., 1] * second).sum(-1) > 0).all()


def test_the_orders_are_what_their_names_say():
    matrix = np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(matrix_to_sixd_interleaved(matrix), [0, 1, 3, 4, 6, 7])
    np.testing.assert_array_equal(matrix_to_sixd_concatenated(matrix), [0, 3, 6, 1, 4, 7])
    np.testing.assert_array_equal(matrix_to_sixd_rows(matrix), [0, 1, 2, 3, 4, 5])
    turned = Rotation.from_euler("xyz", [20, 40, 60], degrees=True).as_matrix()
    wrong = sixd_concatenated_to_matrix(matrix_to_sixd_interleaved(turned))
    assert not np.allclose(wrong, turned, atol=0.1)


@examples(60)
@given(matrix=matrices(4))
def test_quaternions_round_trip(matrix):
    quaternion = matrix_to_quaternion(matrix)
    np.testing.assert_allclose(np.linalg.norm(quaternion, axis=-1), 1, atol=1e-9)
    assert (quaternion[..., 3] >= 0).all()
    np.testing.assert_allclose(quaternion_to_matrix(quaternion), matrix, atol=1e-7)
    np.testing.assert_allclose(quaternion_to_matrix(-3 * quaternion), matrix, atol=1e-7)


def test_the_scalar_of_a_quaternion_comes_last():
    half = np.sqrt(0.5)
    np.testing.assert_allclose(matrix_to_quaternion(yaw(np.pi / 2)), [0, half, 0, half], atol=1e-9)


@examples(40)
@given(angle=vectors(1, limit=10).map(lambda v: v[0]))
def test_yaw_turns_z_towards_x(angle):
    turned = yaw(angle) @ [0, 0, 1.0]
    expected = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], -1)
    np.testing.assert_allclose(turned, expected, atol=1e-12)
    assert is_rotation(yaw(angle))


@examples(100)
@given(source=vectors(6), target=vectors(6))
def test_rotation_between_turns_one_direction_into_the_other(source, target):
    lengths = np.linalg.norm([source, target], axis=-1)
    assume(((lengths == 0) | (lengths > 1e-2)).all())
    turn = rotation_between(source, target)
    assert is_rotation(turn)
    both = (lengths > 0).all(0)
    turned = (turn @ source[..., None])[..., 0]
    np.testing.assert_allclose(normalise(turned)[both], normalise(target)[both], atol=1e-5)
    np.testing.assert_array_equal(turn[~both], np.broadcast_to(np.eye(3), turn[~both].shape))
    # The smallest such rotation turns by just the angle between the two.
    cosine = (normalise(source) * normalise(target)).sum(-1)[both]
    angle = Rotation.from_matrix(turn[both].reshape(-1, 3, 3)).magnitude()
    np.testing.assert_allclose(angle, np.arccos(np.clip(cosine, -1, 1)), atol=2e-3)


@pytest.mark.parametrize("axis", [[1.0, 0, 0], [0, 1.0, 0], [0, 0, -1.0], [0.6, 0.8, 0]])
@pytest.mark.parametrize("off", [0, 1e-9, 1e-5, 1e-3])
def test_rotation_between_opposite_directions(axis, off):
    source = np.array(axis)
    target = -source + off * np.array([0.3, -0.2, 0.5])
    turn = rotation_between(source, target)
    assert is_rotation(turn)
    np.testing.assert_allclose(turn @ source, normalise(target), atol=1e-3)


@examples(60)
@given(turn=matrices(3), source=vectors(3, 4))
def test_align_vectors_finds_the_rotation_that_was_applied(turn, source):
    spread = np.linalg.svd(source, compute_uv=False)
    assume((spread[:, 1] > 1e-2).all())  # two directions at least, else it is not determined
    target = source @ np.swapaxes(turn, -1, -2)
    np.testing.assert_allclose(align_vectors(source, target), turn, atol=1e-5)


@examples(60)
@given(source=vectors(2, 3), target=vectors(2, 3), other=matrices(2))
def test_align_vectors_is_the_best_rotation_whatever_it_is_given(source, target, other):
    best = align_vectors(source, target)
    assert is_rotation(best)

    def error(turn):
        return ((source @ np.swapaxes(turn, -1, -2) - target) ** 2).sum((-1, -2))

    assert (error(best) <= error(other) + 1e-9).all()


def test_gradients_flow_through_sixd():
    sixd = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    for read in (sixd_interleaved_to_matrix, sixd_concatenated_to_matrix):
        assert torch.autograd.gradcheck(read, sixd)


def test_namespace_tells_numpy_from_torch():
    assert rotations.namespace(np.zeros(1)) is np
    assert rotations.namespace(torch.zeros(1)) is torch
