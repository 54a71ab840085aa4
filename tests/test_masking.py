"""Mask schedules, confidence remasking, sampling, guidance, and the masking of training."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from duomotion.losses.masked import sample_mask
from duomotion.models.intermask.config import InterMConfig
from duomotion.models.intermask.objective import corrupt, draw_corruption
from duomotion.models.layers.masks import token_map_mask
from duomotion.sampling.guidance import apply_cfg, draw_text_drop, duplicate_batch
from duomotion.sampling.masking import (
    decoding_mask_counts,
    gumbel_argmax,
    gumbel_noise,
    keep_top_k,
    least_confident,
    top_k_of_ratio,
)

CONFIG = InterMConfig(num_codes=12)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_decoding_starts_with_all_tokens_and_ends_with_one():
    counts = decoding_mask_counts(torch.tensor([220, 3, 0]), 20)
    assert counts[0].tolist() == [220, 3, 0]
    assert counts[-1].tolist() == [1, 1, 0]
    assert (counts.diff(dim=0) <= 0).all()


def test_least_confident_takes_the_count_of_each_row():
    confidence = torch.tensor([[0.5, 0.1, 0.9, 0.2], [0.4, 0.3, 0.2, 0.1]])
    mask = least_confident(confidence, torch.tensor([2, 1]))
    assert mask.tolist() == [[False, True, False, True], [False, False, False, True]]


def test_top_k_keeps_the_largest():
    logits = torch.tensor([1.0, 3.0, 2.0, 0.0])
    assert keep_top_k(logits, 2).tolist() == [-math.inf, 3.0, 2.0, -math.inf]
    assert top_k_of_ratio(0.9, 1024) == 103  # released code, C = 1024


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_pick_draws_from_the_tempered_softmax(temperature: float):
    logits = torch.tensor([0.0, 1.0, 2.0])
    count = 40_000
    picked = gumbel_argmax(logits, gumbel_noise((count, 3), seeded()), temperature)
    share = torch.bincount(picked, minlength=3) / count
    torch.testing.assert_close(share, (logits / temperature).softmax(-1), atol=0.01, rtol=0)


def test_guidance_of_a_double_batch():
    conditioned, unconditioned = torch.tensor([[2.0, 3.0]]), torch.tensor([[1.0, -1.0]])
    both = torch.cat((conditioned, unconditioned))
    assert torch.equal(apply_cfg(both, 1), conditioned)
    assert torch.equal(apply_cfg(both, 0), unconditioned)
    assert torch.equal(apply_cfg(both, 2), 2 * conditioned - unconditioned)
    assert duplicate_batch(torch.tensor([1, 2])).tolist() == [1, 2, 1, 2]


def test_random_masking_counts_the_tokens_of_the_sample_alone():
    lengths = torch.tensor([6, 2])
    real = token_map_mask(lengths, CONFIG.num_parts, 6)
    time = torch.tensor([0.0, 0.5])
    selected = sample_mask(real, time, torch.rand(real.shape, generator=seeded()))
    assert not (selected & ~real).any()
    assert selected.flatten(1).sum(1).tolist() == [60, round(20 * math.cos(math.pi / 4))]


def test_corruption_has_the_shares_of_the_configuration():
    lengths = torch.full((2001,), 4)  # an odd batch
    lengths[0] = 1
    draw = draw_corruption(lengths, 4, CONFIG, seeded())
    real = token_map_mask(lengths, CONFIG.num_parts, 4)
    assert not (draw.selected & ~real).any()
    assert draw.selected.flatten(1).any(1).all()
    assert not (draw.randomised & ~draw.selected).any()
    assert not (draw.masked & (~draw.selected | draw.randomised)).any()
    assert set(draw.random_ids.unique().tolist()) == set(range(CONFIG.num_codes))
    selected = draw.selected.sum()
    assert draw.randomised.sum() / selected == pytest.approx(0.1, abs=0.01)
    assert draw.masked.sum() / selected == pytest.approx(0.9 * 0.88, abs=0.01)

    person = (draw.selected | ~real).all(-1) & draw.selected.any(-1)
    one_person = person.sum(1) == 1
    none_of_the_other = ~(draw.selected.any(-1) & ~person).any(1)
    interaction = one_person & none_of_the_other
    assert interaction.float().mean() == pytest.approx(1 - CONFIG.random_mask_prob, abs=0.04)
    first = person[interaction, 0].float().mean()
    assert first == pytest.approx(0.5, abs=0.1)


def test_of_blank_samples_nothing_is_seen():
    lengths = torch.full((1000,), 4)
    lengths[::2] = 2
    config = replace(CONFIG, blank_prob=0.3)
    draw, plain = (draw_corruption(lengths, 4, each, seeded()) for each in (config, CONFIG))
    real = token_map_mask(lengths, CONFIG.num_parts, 4)
    blank = (draw.masked == real).flatten(1).all(1)
    assert blank.float().mean() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(draw.selected[blank], real[blank])
    assert not draw.randomised[blank].any()
    for name in ("selected", "randomised", "masked"):
        assert torch.equal(getattr(draw, name)[~blank], getattr(plain, name)[~blank])


def test_corrupted_inputs_show_what_the_draws_say():
    lengths = torch.tensor([4, 2, 3])
    ids = torch.randint(CONFIG.num_codes, (3, 2, 20), generator=seeded(1))
    draw = draw_corruption(lengths, 4, CONFIG, seeded(2))
    targets = corrupt(ids, lengths, draw, CONFIG)
    real = token_map_mask(lengths, CONFIG.num_parts, 4)
    untouched = real & ~draw.randomised & ~draw.masked
    assert (targets.inputs[draw.masked] == CONFIG.mask_id).all()
    assert (targets.inputs[~real] == CONFIG.pad_id).all()
    assert torch.equal(targets.inputs[untouched], ids[untouched])
    assert torch.equal(targets.inputs[draw.randomised], draw.random_ids[draw.randomised])


def test_draws_follow_the_generator():
    lengths = torch.tensor([4, 3])
    first, same, other = (draw_corruption(lengths, 4, CONFIG, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first.selected, same.selected)
    assert torch.equal(first.random_ids, same.random_ids)
    assert not torch.equal(first.random_ids, other.random_ids)
    for training, share in ((True, CONFIG.cond_drop), (False, 0)):
        network = SimpleNamespace(config=CONFIG, training=training)
        drop = draw_text_drop(network, 20_000, seeded())
        assert drop.float().mean() == pytest.approx(share, abs=0.01)
