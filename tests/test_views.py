"""Which views an epoch has, where recorded and composed clips are mixed."""

import numpy as np
import pytest
import torch

from duomotion.models.intermask.tokenized import tokenized
from duomotion.training.views import CONVERTED_AT_ONCE, FixedViews, MixedViews, View, balanced


def views(name: str, count: int) -> FixedViews:
    return FixedViews(
        [View(torch.zeros(2, 5, 3), (name,), name, num_frames=3 + n) for n in range(count)]
    )


@pytest.mark.parametrize(("composed", "share"), [(100, 0.5), (100, 0.25), (6, 0.5), (100, 0.9)])
def test_an_epoch_has_all_recorded_views_and_its_share_of_composed_ones(composed, share):
    mixed = MixedViews(views("recorded", 20), views("composed", composed), share)
    epochs = [mixed.epoch(np.random.default_rng(seed)) for seed in (0, 1)]
    for rows in epochs:
        assert sorted(rows[rows < 20]) == list(range(20))
        assert (rows >= 20).mean() == pytest.approx(share, abs=0.02)
        times = np.bincount(rows[rows >= 20] - 20, minlength=composed)
        assert times.max() - times.min() <= 1
    assert composed < 20 or not np.array_equal(*epochs)


def test_without_composed_views_an_epoch_is_what_it_was():
    mixed = MixedViews(views("recorded", 20), views("composed", 0), 0.5)
    rng = np.random.default_rng(0)
    assert mixed.epoch(rng).tolist() == list(range(20))
    assert rng.random() == np.random.default_rng(0).random()


def test_views_come_in_the_order_in_which_they_are_asked_for():
    mixed = MixedViews(views("recorded", 2), views("composed", 2), 0.5)
    drawn = mixed.draw([3, 0, 2], np.random.default_rng(0))
    assert [view.name for view in drawn] == ["composed", "recorded", "composed"]
    assert [view.num_frames for view in drawn] == [mixed.lengths[row] for row in (3, 0, 2)]


def test_rare_kinds_have_more_views_a_clip():
    kinds = ["handshake", *4 * ["march"], *9 * ["salsa"]]
    assert balanced(12, kinds, 0.5) == [12, *4 * [6], *9 * [4]]
    assert balanced(12, kinds, 0) == 14 * [12]
    assert sum(balanced(36, kinds, 1)) == 3 * 36
    assert min(balanced(1, kinds, 1)) == 1
    assert balanced(None, kinds, 0.5) == [3, *4 * [2], *9 * [1]]
    assert balanced(None, kinds, 0) == 14 * [1] and balanced(None, [], 0.5) == []


class Codec:
    """Its tokens are sums over two frames, in two parts; remembers how much it saw at once."""

    class tokenizer:  # noqa: N801
        num_parts = 2

    def __init__(self):
        self.batches = []

    def encode(self, motion_BTF):
        self.batches.append(len(motion_BTF))
        sums = motion_BTF.unflatten(1, (-1, 2)).sum((2, 3)).long()
        return torch.cat([sums, sums + 1], 1)


def test_views_are_tokenized_some_at_a_time_in_their_order():
    rng = np.random.default_rng(0)
    drawn = [
        View(torch.full((2, 2 * int(rng.integers(1, 4)), 1), float(number)), (), str(number))
        for number in range(150)
    ]
    codec = Codec()
    made = tokenized(codec, iter(drawn), len(drawn))
    assert [view.name for view in made] == [view.name for view in drawn]
    for number, (view, source) in enumerate(zip(made, drawn, strict=True)):
        assert view.motion.shape == (2, 2, source.motion.shape[1] // 2)
        assert (view.motion[:, 0] == 2 * number).all() and (
            view.motion[:, 1] == 2 * number + 1
        ).all()
    assert max(codec.batches) == 2 * CONVERTED_AT_ONCE and sum(codec.batches) == 300
