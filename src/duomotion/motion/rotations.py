"""Rotations as matrices, 6-D vectors and quaternions; numpy arrays and torch tensors alike.

A rotation matrix turns column vectors from a joint's frame into its parent's. Three 6-D forms are
in use, and reading one as another gives plausible nonsense, so each has its name here:

    interleaved    [r00, r01, r10, r11, r20, r21], the first two columns row by row: InterHuman
    concatenated   [r00, r10, r20, r01, r11, r21], the first column, then the second: HumanML3D
                   (Zhou et al. 2019)
    rows           [r00, r01, r02, r10, r11, r12], the first two rows: Inter-X
"""

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

Array = Any  # np.ndarray or torch.Tensor, the same one in and out


def namespace(array: Array) -> Any:
    """The library the array belongs to; both have the functions used here under the same names."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def normalise(vectors: Array, eps: float = 1e-8) -> Array:
    """Vectors (..., D) scaled to length one."""
    return vectors / ((vectors * vectors).sum(-1)[..., None] ** 0.5 + eps)


def matrix_to_sixd_interleaved(matrix: Array) -> Array:
    """(..., 3, 3) -> (..., 6)."""
    return matrix[..., :2].reshape(*matrix.shape[:-2], 6)


def sixd_interleaved_to_matrix(sixd: Array) -> Array:
    """(..., 6) -> (..., 3, 3), by Gram-Schmidt."""
    return _from_columns(sixd[..., 0::2], sixd[..., 1::2])


def matrix_to_sixd_concatenated(matrix: Array) -> Array:
    """(..., 3, 3) -> (..., 6)."""
    return namespace(matrix).concatenate([matrix[..., 0], matrix[..., 1]], -1)


def sixd_concatenated_to_matrix(sixd: Array) -> Array:
    """(..., 6) -> (..., 3, 3), by Gram-Schmidt."""
    return _from_columns(sixd[..., :3], sixd[..., 3:])


def matrix_to_sixd_rows(matrix: Array) -> Array:
    """(..., 3, 3) -> (..., 6)."""
    return matrix[..., :2, :].reshape(*matrix.shape[:-2], 6)


def sixd_rows_to_matrix(sixd: Array) -> Array:
    """(..., 6) -> (..., 3, 3), by Gram-Schmidt."""
    columns = sixd_concatenated_to_matrix(sixd)
    return namespace(sixd).swapaxes(columns, -1, -2)


def _from_columns(first: Array, second: Array) -> Array:
    xp = namespace(first)
    x = normalise(first)
    y = normalise(second - (x * second).sum(-1)[..., None] * x)
    return xp.stack([x, y, xp.linalg.cross(x, y)], -1)


def matrix_to_quaternion(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (..., 4) unit quaternions (x, y, z, w), w >= 0."""
    flat = Rotation.from_matrix(np.asarray(matrix).reshape(-1, 3, 3))
    return flat.as_quat(canonical=True).reshape(*matrix.shape[:-2], 4)


def quaternion_to_matrix(quaternion: np.ndarray) -> np.ndarray:
    """(..., 4) quaternions (x, y, z, w) of any length but zero -> (..., 3, 3)."""
    flat = Rotation.from_quat(np.asarray(quaternion).reshape(-1, 4))
    return flat.as_matrix().reshape(*quaternion.shape[:-1], 3, 3)


def yaw(angle: np.ndarray | float) -> np.ndarray:
    """Rotation matrices (..., 3, 3) about +Y by `angle` radians: +Z turns towards +X."""
    angle = np.asarray(angle, dtype=np.float64)
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    rows = [np.stack(row, -1) for row in ([c, zero, s], [zero, one, zero], [-s, zero, c])]
    return np.stack(rows, -2)


def rotate_about_y(vectors: Array, angles: Array) -> Array:
    """Vectors (..., 3) turned by `yaw(angles)`, angles (...) in radians; numpy or torch."""
    xp = namespace(vectors)
    c, s = xp.cos(angles), xp.sin(angles)
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return xp.stack([c * x + s * z, y, c * z - s * x], -1)


def rotation_between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The smallest rotation (..., 3, 3) that turns the direction `source` (..., 3) into `target`.

    For opposite directions the axis is any perpendicular one; a zero vector gives the identity.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    axis, cosine = np.cross(source, target), (source * target).sum(-1)
    sine = np.linalg.norm(axis, axis=-1)
    angle = np.arctan2(sine, cosine)[..., None, None]
    parallel = sine <= 1e-12 * np.abs(cosine)
    if parallel.any():
        helper = np.eye(3)[np.abs(source).argmin(-1)]
        axis = np.where(parallel[..., None], np.cross(source, helper), axis)
    length = np.linalg.norm(axis, axis=-1, keepdims=True)
    cross = _cross_matrix(axis / np.where(length > 0, length, 1))
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _cross_matrix(v: np.ndarray) -> np.ndarray:
    zero = np.zeros_like(v[..., 0])
    rows = (
        [zero, -v[..., 2], v[..., 1]],
        [v[..., 2], zero, -v[..., 0]],
        [-v[..., 1], v[..., 0], zero],
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def align_vectors(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation (..., 3, 3) that brings `source` (..., N, 3) closest to `target` (..., N, 3).

    Kabsch (1976): least squares over the N vectors, reflections excluded.
    """
    return nearest_rotation(np.swapaxes(target, -1, -2) @ source)


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation (..., 3, 3) closest to a matrix in least squares."""
    u, _, vt = np.linalg.svd(matrix)
    u[..., 2] *= np.linalg.det(u @ vt)[..., None]
    return u @ vt
