"""InterHuman's features against the released loader's (fixtures interhuman_features_*)."""

import numpy as np
import pytest
from parity import fixtures, load

from duomotion.motion.interhuman import INTERHUMAN, from_interhuman_raw, mirror_pair
from duomotion.motion.normaliser import Normaliser


@pytest.mark.parametrize("name", fixtures("interhuman_features_*"))
def test_features_equal_the_official_loader(name):
    _, tensors = load(name)
    tensors = {key: np.asarray(value) for key, value in tensors.items()}
    raw = np.stack([tensors["in/person1_raw"], tensors["in/person2_raw"]])
    positions, sixd = from_interhuman_raw(raw)
    cases = {
        "plain": INTERHUMAN.encode_pair(positions, sixd),
        "mirror": INTERHUMAN.encode_pair(*mirror_pair(positions, sixd)),
        "reversed": INTERHUMAN.encode_pair(positions[::-1], sixd[::-1]),
    }
    for case, pair in cases.items():
        for person in (0, 1):
            expected = tensors[f"out/{case}/person{person + 1}"]
            np.testing.assert_allclose(pair[person], expected, atol=1e-4, err_msg=case)
    normaliser = Normaliser(tensors["in/global_mean"], tensors["in/global_std"])
    np.testing.assert_allclose(
        normaliser.normalise(cases["plain"][0]), tensors["out/plain/person1_normalised"], atol=3e-4
    )
    joints = INTERHUMAN.to_joint_map(cases["plain"])
    back = INTERHUMAN.from_joint_map(joints)
    np.testing.assert_array_equal(back[..., :258], cases["plain"][..., :258])
    assert not back[..., 258:].any()


def test_the_pinned_fixtures_are_at_hand():
    """A folder that lost files must not pass for one where everything agrees."""
    for pattern in ("vq_codebook_ema*", "intermask_transformer*", "intermask_training_loss*"):
        assert fixtures(pattern), pattern
