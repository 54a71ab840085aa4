"""What the property tests share: settings and made-up rotations."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.transform import Rotation

from duomotion.motion.skeleton import Skeleton


def examples(count: int) -> settings:
    """So many examples, the same in every run."""
    return settings(max_examples=count, deadline=None, derandomize=True)


def vectors(*shape: int, limit: float = 4.0) -> st.SearchStrategy[np.ndarray]:
    """Arrays (*shape, 3) of numbers up to `limit`, zeros and equal ones among them."""
    numbers = st.floats(-limit, limit)
    return arrays.arrays(np.float64, (*shape, 3), elements=numbers).map(lambda v: v.round(6))


def matrices(*shape: int) -> st.SearchStrategy[np.ndarray]:
    """Rotation matrices (*shape, 3, 3), identities and half turns among them."""
    return vectors(*shape).map(
        lambda v: Rotation.from_rotvec(v.reshape(-1, 3)).as_matrix().reshape(*shape, 3, 3)
    )


@st.composite
def skeletons(draw: st.DrawFn, most: int = 12) -> Skeleton:
    """Trees of up to `most` joints, some bones without length."""
    joints = draw(st.integers(1, most))
    parents = [-1, *(draw(st.integers(0, joint - 1)) for joint in range(1, joints))]
    offsets = draw(vectors(joints, limit=1.0))
    offsets[0] = 0
    return Skeleton(tuple(f"joint {j}" for j in range(joints)), tuple(parents), offsets)


def is_rotation(matrix: np.ndarray, atol: float = 1e-6) -> bool:
    """Whether all of (..., 3, 3) are orthogonal and keep left and right."""
    square = np.swapaxes(matrix, -1, -2) @ matrix
    return np.allclose(square, np.eye(3), atol=atol) and bool((np.linalg.det(matrix) > 0).all())
